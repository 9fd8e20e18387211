//! What the placeholders of Sigma's `expand` stand for, by reference tables.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Tables;
use super::cell::{each_value, scalar};
use crate::policy::SourceFile;
use crate::sigma::Placeholders;

/// The table whose rows are placeholders: `name`, and `value` (or a list of them).
const TABLE: &str = "placeholders";

/// What `%name%` stands for in policies: the values of that name in the table `placeholders`; and, for `%table.column%`
/// as the policies write it, every value of that column. Values are text in Sigma's notation (`srv*`); the same
/// value counts once.
#[must_use]
pub fn placeholders(tables: &Tables, files: &[SourceFile]) -> Placeholders {
    let mut out = Placeholders::new();
    for row in tables.get(TABLE).map(|t| t.rows()).unwrap_or_default() {
        let name = row.get("name").map(|n| scalar(n).into_owned()).unwrap_or_default();
        let mut values = Vec::new();
        each_value(row, "value", &mut |v| values.extend(text(v)));
        let known = out.entry(name).or_default();
        known.extend(values);
    }
    for file in files {
        for name in file.text.split('%').skip(1) {
            let Some((table, column)) = name.split_once('.') else {
                continue;
            };
            if out.contains_key(name) {
                continue;
            }
            if let Some(table) = tables.get(table) {
                let mut values = Vec::new();
                for row in table.rows() {
                    each_value(row, column, &mut |v| values.extend(text(v)));
                }
                if !values.is_empty() {
                    out.insert(name.to_owned(), values);
                }
            }
        }
    }
    for values in out.values_mut() {
        let mut seen = BTreeSet::new();
        values.retain(|v| seen.insert(v.clone()));
    }
    out
}

fn text(value: &Value) -> Option<String> {
    let text = scalar(value);
    (!value.is_null() && !text.is_empty()).then(|| text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_columns_stand_for_values() {
        let mut tables = Tables::default();
        let rows =
            r#"[{"name": "Administrators", "value": ["adm_*", "root"]}, {"name": "Administrators", "value": "root"}]"#;
        tables.load("placeholders", rows.as_bytes()).unwrap();
        let rows = r#"[{"names": ["web-1", "web-2"], "env": "prod"}, {"names": "db-1"}]"#;
        tables.load("assets", rows.as_bytes()).unwrap();
        let files = [SourceFile::new(
            "a.yml",
            "a: '%assets.names%'\nb: 5% of %assets.nothing%, %none.names%",
        )];
        let found = placeholders(&tables, &files);
        let show = format!("{found:?}");
        assert_eq!(
            show,
            r#"{"Administrators": ["adm_*", "root"], "assets.names": ["web-1", "web-2", "db-1"]}"#
        );
    }
}
