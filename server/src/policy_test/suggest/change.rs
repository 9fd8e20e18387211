//! What a condition says should be changed.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::values::{gather, holding, others};

/// Something to change.
#[derive(Debug)]
pub enum Change {
    /// Of a table or the events.
    Set(Option<String>, BTreeMap<String, Value>),
    /// A row more.
    Add(String, Map<String, Value>),
    /// When a record happened.
    Time,
}

/// So that all items of a map hold but one.
pub fn all_but(items: &Map<String, Value>, one: &str) -> Option<Change> {
    let mut set = BTreeMap::new();
    for (key, value) in items {
        let path = key.split('|').next()?.to_owned();
        let value = match key == one {
            true => others(key, value).into_iter().next()?,
            false => holding(key, value)?,
        };
        set.insert(path, value);
    }
    Some(Change::Set(None, set))
}

/// So that of several alternatives one holds alone.
pub fn only(alternatives: &[Value], one: usize) -> Option<Change> {
    let mut set = BTreeMap::new();
    let of = |n: usize| alternatives.get(n).and_then(Value::as_object);
    for other in (0..alternatives.len()).filter(|n| *n != one) {
        let (key, value) = of(other)?.iter().next()?;
        set.insert(
            key.split('|').next()?.to_owned(),
            others(key, value).into_iter().next()?,
        );
    }
    for (key, value) in of(one)? {
        set.insert(key.split('|').next()?.to_owned(), holding(key, value)?);
    }
    Some(Change::Set(None, set))
}

/// What the fields of a condition are of.
pub struct Scope {
    /// A table's rows; the event where there is none.
    pub table: Option<String>,
    /// The joins of the policy, whose rows have names.
    pub lookups: Vec<Value>,
    /// Of which field of an event a column of a kept table is.
    pub columns: BTreeMap<(String, String), String>,
}

impl Scope {
    pub fn event() -> Scope {
        Scope {
            table: None,
            lookups: Vec::new(),
            columns: BTreeMap::new(),
        }
    }

    /// So that each of the conditions does not hold; so that all hold.
    pub fn changes(&self, items: &Map<String, Value>) -> Vec<Change> {
        let mut leaves = Vec::new();
        gather(items, "", &mut leaves);
        let mut out = Vec::new();
        for (key, value) in &leaves {
            for other in others(key, value) {
                out.push(self.set_key(key, other));
            }
        }
        let mut all: BTreeMap<Option<String>, BTreeMap<String, Value>> = BTreeMap::new();
        let mut none = all.clone();
        for (key, value) in &leaves {
            if let (Some(holds), Change::Set(table, set)) = (holding(key, value), self.set_key(key, Value::Null)) {
                let path = set.into_keys().next().unwrap_or_default();
                all.entry(table).or_default().insert(path, holds);
            }
            if let (Some(fails), Change::Set(table, set)) =
                (others(key, value).into_iter().next(), self.set_key(key, Value::Null))
            {
                let path = set.into_keys().next().unwrap_or_default();
                none.entry(table).or_default().insert(path, fails);
            }
        }
        out.extend(all.into_iter().chain(none).map(|(table, set)| Change::Set(table, set)));
        out
    }

    pub fn set_key(&self, key: &str, value: Value) -> Change {
        let path = key.split('|').next().unwrap_or_default();
        if let Some(path) = path.strip_prefix("$event.") {
            return Change::Set(None, BTreeMap::from([(path.to_owned(), value)]));
        }
        if let Some((alias, field)) = path.strip_prefix('$').and_then(|p| p.split_once('.')) {
            let lookup = self.lookups.iter().find(|l| l["as"] == alias);
            let table = lookup.and_then(|l| l["table"].as_str()).map(str::to_owned);
            return self.set(table, field, value);
        }
        self.set(self.table.clone(), path, value)
    }

    pub fn set(&self, table: Option<String>, path: &str, value: Value) -> Change {
        let of_event = table
            .as_ref()
            .and_then(|t| self.columns.get(&(t.clone(), path.to_owned())));
        match of_event {
            Some(field) => Change::Set(None, BTreeMap::from([(field.clone(), value)])),
            None => Change::Set(table, BTreeMap::from([(path.to_owned(), value)])),
        }
    }
}

/// What stands at a dotted path.
pub fn at<'v>(row: &'v Value, path: &str) -> Option<&'v Value> {
    row.get(path)
        .or_else(|| path.split('.').try_fold(row, |row, name| row.get(name)))
}

pub fn event_path(value: &Value) -> Option<&str> {
    value.as_str()?.strip_prefix("$event.")
}
