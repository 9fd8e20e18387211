//! What differs between two states of a table.

use std::collections::BTreeMap;

use serde_json::Value;

use super::cell::scalar;
use super::schema::Schema;

/// Rows that differ, each once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Difference<'r> {
    /// Rows that only the new state has.
    pub added: Vec<&'r Value>,
    /// Rows that only the old state has.
    pub removed: Vec<&'r Value>,
    /// Rows of one key that say something else: old and new.
    pub changed: Vec<(&'r Value, &'r Value)>,
}

impl Difference<'_> {
    /// Whether both states say the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

/// What differs between `old` and `new`. Rows of one key, and the same `valid_from`, are one row that changed; without a schema, and
/// where several rows have a key, a row that is not the same is another. The order of rows means nothing.
#[must_use]
pub fn difference<'r>(schema: Option<&Schema>, old: &'r [Value], new: &'r [Value]) -> Difference<'r> {
    // By the text of a row: how often it is there more in `new` than in `old`.
    let mut count: BTreeMap<String, i64> = BTreeMap::new();
    new.iter().for_each(|row| *count.entry(text(row)).or_default() += 1);
    old.iter().for_each(|row| *count.entry(text(row)).or_default() -= 1);
    let mut out = Difference::default();
    let mut take = |row: &Value, sign: i64| {
        let left = count.entry(text(row)).or_default();
        let takes = *left * sign > 0;
        *left -= if takes { sign } else { 0 };
        takes
    };
    out.added = new.iter().filter(|row| take(row, 1)).collect();
    out.removed = old.iter().filter(|row| take(row, -1)).collect();
    let Some(schema) = schema else { return out };
    let key = |row: &Value| {
        let from = row.get("valid_from").map(scalar).unwrap_or_default().into_owned();
        (schema.key_of(row).to_lowercase(), from)
    };
    let mut by_key: BTreeMap<_, (Vec<&Value>, Vec<&Value>)> = BTreeMap::new();
    for row in &out.removed {
        by_key.entry(key(row)).or_default().0.push(row);
    }
    for row in &out.added {
        by_key.entry(key(row)).or_default().1.push(row);
    }
    let single = |row: &Value| matches!(by_key.get(&key(row)), Some((old, new)) if old.len() == 1 && new.len() == 1);
    out.changed = out
        .added
        .iter()
        .filter(|row| single(row))
        .filter_map(|row| Some((*by_key.get(&key(row))?.0.first()?, *row)))
        .collect();
    out.added.retain(|row| !single(row));
    out.removed.retain(|row| !single(row));
    out
}

/// A row as text, whatever the order of its columns.
fn text(row: &Value) -> String {
    match row {
        Value::Object(columns) => {
            let sorted: BTreeMap<&String, String> = columns.iter().map(|(name, value)| (name, text(value))).collect();
            format!("{sorted:?}")
        }
        Value::Array(items) => format!("{:?}", items.iter().map(text).collect::<Vec<_>>()),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::schema;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn rows_are_told_apart_by_their_key_and_the_start_of_their_validity() {
        let rows = |v: Value| v.as_array().unwrap().clone();
        let old = rows(json!([
            {"employee_id": "E1", "status": "active"}, {"employee_id": "E2", "status": "active", "valid_to": "2026-02-01"},
            {"employee_id": "E2", "status": "terminated", "valid_from": "2026-02-01"}, {"employee_id": "E3"}, {"employee_id": "E5"},
        ]));
        let new = rows(json!([
            {"employee_id": "E5"}, {"employee_id": "e1", "status": "on_leave"}, {"employee_id": "E2", "status": "active", "valid_to": "2026-02-01"},
            {"employee_id": "E2", "status": "terminated", "valid_from": "2026-03-01"}, {"employee_id": "E4"}, {"employee_id": "E4", "a": 1},
        ]));
        let found = difference(schema("hr_roster"), &old, &new);
        assert_eq!(found.changed, [(&old[0], &new[1])]);
        assert_eq!(found.removed, [&old[2], &old[3]]);
        assert_eq!(found.added, [&new[3], &new[4], &new[5]]);
        assert!(difference(schema("hr_roster"), &old, &old).is_empty());
        let turned = [json!({"status": "active", "employee_id": "E1"})];
        assert!(difference(schema("hr_roster"), &old[..1], &turned).is_empty());
        let plain = difference(None, &old, &new);
        assert_eq!((plain.added.len(), plain.removed.len(), plain.changed.len()), (4, 3, 0));
    }

    proptest! {
        #[test]
        fn what_differs_makes_the_new_of_the_old(old in prop::collection::vec((0u8..4, 0u8..3), 0..8), new in prop::collection::vec((0u8..4, 0u8..3), 0..8)) {
            let rows = |of: &[(u8, u8)]| -> Vec<Value> { of.iter().map(|(k, v)| json!({"employee_id": k, "status": v})).collect() };
            let (old, new) = (rows(&old), rows(&new));
            let found = difference(schema("hr_roster"), &old, &new);
            let mut made = old.clone();
            for gone in found.removed.iter().copied().chain(found.changed.iter().map(|c| c.0)) {
                let at = made.iter().position(|row| row == gone).unwrap();
                made.remove(at);
            }
            made.extend(found.added.iter().copied().chain(found.changed.iter().map(|c| c.1)).cloned());
            let sorted = |rows: &[Value]| { let mut t: Vec<String> = rows.iter().map(Value::to_string).collect(); t.sort(); t };
            prop_assert_eq!(sorted(&made), sorted(&new));
        }
    }
}
