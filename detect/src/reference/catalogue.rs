//! `data_tables`: the objects of `data_catalogue` that lie in databases, by the names that a statement gives them.
//!
//! The catalogue names an object `db.schema.table.column` (specs/README.md), with fewer parts or `*` for a part; a statement says `customer`,
//! `public.customer` or `crm.public.customer`. Each row of the catalogue that may name a table or a column is a row here, the highest
//! level first, with the same columns and `tables`: what `unmapped.tables` of an event is compared with. Of a column these are `table.column` and
//! [`model::ALL_COLUMNS`] (`SELECT *` reads it, too).

use std::sync::Arc;

use serde_json::{Value, json};

use super::cell::{scalar, value_at};
use crate::sigma::lower;

/// The table's name.
pub(super) const TABLE: &str = "data_tables";

/// The rows that follow from the catalogue's, in its order.
pub(super) fn rows(catalogue: &[Arc<Value>]) -> Vec<Value> {
    let row = |row: &Arc<Value>| {
        let pattern = lower(&scalar(value_at(row, "pattern")?));
        let tables = names(&pattern);
        let mut row = Value::clone(row);
        if tables.is_empty() {
            return None;
        }
        row.as_object_mut()?.insert("tables".to_owned(), json!(tables));
        Some(row)
    };
    let mut rows: Vec<Value> = catalogue.iter().filter_map(row).collect();
    // The first row found is the strictest.
    rows.sort_by_cached_key(|row| std::cmp::Reverse(value_at(row, "level").map(|level| scalar(level).into_owned())));
    rows
}

/// What a statement may call an object; nothing where it lies in no database (a path, a folder of a bucket).
fn names(pattern: &str) -> Vec<String> {
    let parts: Vec<&str> = pattern.split('.').collect();
    if pattern.contains(['/', ':', ' ']) || parts.len() > 4 || parts.iter().any(|p| p.is_empty()) {
        return Vec::new();
    }
    let mut out: Vec<String> = Vec::new();
    let mut add = |name: String| {
        if !out.contains(&name) {
            out.push(name);
        }
    };
    let whole = match parts.as_slice() {
        [table @ .., "*"] if !table.is_empty() => table,
        [_, _, _, _] => &[],
        parts => parts,
    };
    // A table, with and without what stands before it.
    for from in 0..whole.len() {
        add(whole[from..].join("."));
    }
    // The last part may be a column.
    if let [.., table, column] = parts.as_slice()
        && *column != "*"
    {
        add(format!("{table}.{column}"));
        add(format!("{table}.{}", model::ALL_COLUMNS));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_has_the_names_that_statements_give_it() {
        let told = [
            ("customer", "customer"),
            ("crm.public.customer.*", "crm.public.customer public.customer customer"),
            ("crm.public.customer.id_card", "customer.id_card customer.@all"),
            ("public.customer", "public.customer customer public.@all"),
            (
                "crm.customer.mobile",
                "crm.customer.mobile customer.mobile mobile customer.@all",
            ),
            ("customer_*", "customer_*"),
            ("crm.*", "crm"),
            ("/api/customers/*", ""),
            ("bucket/prefix", ""),
            ("a.b.c.d.e", ""),
            ("*", "*"),
            (".", ""),
        ];
        for (pattern, expected) in told {
            assert_eq!(names(pattern).join(" "), expected, "{pattern}");
        }
    }
}
