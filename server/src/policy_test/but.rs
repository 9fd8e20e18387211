//! A test with one thing changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use model::Field;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Expected;
use crate::offline::Alteration;

/// The records of a test with other values in their events, or in the rows of a table, and what is found then.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct But {
    /// The table whose rows are changed; the events where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// Which row of the table, from 0; all where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<usize>,
    /// The events of which record, from 0; of all where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<u64>,
    /// The fields, and what they are instead; a null takes them away.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, Value>,
    /// A row more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub add: Option<Map<String, Value>>,
    /// What is found.
    pub findings: Vec<Expected>,
    /// Which policies of the file cannot be judged; where it is not said, any may be so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_judged: Option<BTreeSet<String>>,
}

impl But {
    /// Whether the records and tables stay as they are.
    pub fn changes_nothing(&self) -> bool {
        self.set.is_empty() && self.add.is_none()
    }

    /// What is changed of the events.
    pub fn alteration(&self) -> Alteration {
        if self.table.is_some() {
            return Alteration::default();
        }
        let values = |value: &Value| match value {
            Value::Null => Vec::new(),
            Value::Array(all) => all.iter().map(text).collect(),
            one => vec![text(one)],
        };
        Alteration {
            record: self.record,
            values: self
                .set
                .iter()
                .map(|(path, v)| (Field::ocsf(path), values(v)))
                .collect(),
        }
    }

    /// The rows of its table, changed.
    pub fn rows(&self, rows: &Value) -> Value {
        let Value::Array(rows) = rows else { return rows.clone() };
        let mut rows = rows.clone();
        for (n, row) in rows.iter_mut().enumerate() {
            if self.row.is_none_or(|one| one == n) {
                self.set.iter().for_each(|(path, value)| put(row, path, value));
            }
        }
        rows.extend(self.add.clone().map(Value::Object));
        Value::Array(rows)
    }
}

impl fmt::Display for But {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.table, self.row, self.record) {
            (Some(table), Some(row), _) => write!(f, "row {row} of {table} ")?,
            (Some(table), None, _) => write!(f, "{table} ")?,
            (None, _, Some(record)) => write!(f, "record {record} ")?,
            (None, _, None) => {}
        }
        let set = Value::Object(self.set.clone().into_iter().collect());
        write!(f, "with {set}")?;
        match &self.add {
            Some(row) => write!(f, " and {}", Value::Object(row.clone())),
            None => Ok(()),
        }
    }
}

/// As a column holds it.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Sets what stands at a dotted path of a row, in each object of a list on the way.
pub(super) fn put(at: &mut Value, path: &str, value: &Value) {
    match at {
        Value::Array(all) => all.iter_mut().for_each(|one| put(one, path, value)),
        Value::Object(map) => match path.split_once('.') {
            Some((first, rest)) if !map.contains_key(path) => {
                put(
                    map.entry(first).or_insert_with(|| Value::Object(Map::new())),
                    rest,
                    value,
                );
            }
            _ if value.is_null() => drop(map.remove(path)),
            _ => drop(map.insert(path.to_owned(), value.clone())),
        },
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn but(value: Value) -> But {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn rows_are_changed_where_it_says() {
        let rows = json!([{"a": 1, "s": {"x": 1}, "l": [{"k": 1}, {"k": 2}]}, {"a": 2}]);
        let all = but(json!({"table": "t", "set": {"a": 9}, "findings": []}));
        assert_eq!(
            all.rows(&rows),
            json!([{"a": 9, "s": {"x": 1}, "l": [{"k": 1}, {"k": 2}]}, {"a": 9}])
        );
        let one = but(json!({"table": "t", "row": 0, "set": {"s.x": null, "l.k": 3}, "findings": []}));
        assert_eq!(
            one.rows(&rows),
            json!([{"a": 1, "s": {}, "l": [{"k": 3}, {"k": 3}]}, {"a": 2}])
        );
        let more = but(json!({"table": "t", "add": {"a": 3}, "findings": []}));
        assert_eq!(more.rows(&json!([{"a": 1}])), json!([{"a": 1}, {"a": 3}]));
        assert_eq!(one.to_string(), r#"row 0 of t with {"l.k":3,"s.x":null}"#);
    }

    #[test]
    fn a_null_takes_a_field_away() {
        let events = but(json!({"record": 1, "set": {"a": null, "b": [1, "x"], "c": true}, "findings": []}));
        let alteration = events.alteration();
        assert_eq!(alteration.record, Some(1));
        let values: Vec<Vec<String>> = alteration.values.into_iter().map(|(_, v)| v).collect();
        assert_eq!(
            values,
            [vec![], vec!["1".to_owned(), "x".to_owned()], vec!["true".to_owned()]]
        );
        assert!(serde_json::from_value::<But>(json!({"with": {}, "findings": []})).is_err());
    }
}
