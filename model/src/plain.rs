//! The plain slow way: an event as trees of `serde_json`, and a walk from the root for each column.
//!
//! Tests make events so, and hold the columns of [`crate::Plan`] to it.

use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use serde_json::{Map, Value};

use crate::batch::{Batch, Column, Columns, EXISTS, Field, Namespace, Row, Uids, Wanted};
use crate::{LedgerIndex, LogSource, Millis};

/// An [`Event`](crate::Event) that owns what it holds.
#[derive(Clone, Debug, PartialEq)]
pub struct PlainEvent {
    /// As of [`Event`](crate::Event).
    pub uid: Arc<str>,
    /// As of [`Event`](crate::Event).
    pub class_uid: u32,
    /// As of [`Event`](crate::Event).
    pub time: Millis,
    /// The whole event as OCSF 1.8.0.
    pub ocsf: Map<String, Value>,
    /// As of [`Event`](crate::Event).
    pub native: Map<String, Value>,
    /// As of [`Event`](crate::Event).
    pub system: Option<Arc<str>>,
    /// As of [`Event`](crate::Event).
    pub commands: Vec<String>,
    /// As of [`Event`](crate::Event).
    pub logsource: LogSource,
}

impl PlainEvent {
    /// The value at a dotted path of the OCSF event; the first one where the path crosses an array.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Value> {
        let mut found = None;
        walk(&self.ocsf, path, &mut |v| {
            if found.is_none() {
                found = Some(v);
            }
        });
        found
    }

    /// The text at a dotted path of the OCSF event.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<&str> {
        self.get(path).and_then(Value::as_str)
    }
}

impl Batch {
    /// Builds the wanted columns of `events`, which share `logsource`, `class_uid` and `source`: slowly.
    #[must_use]
    pub fn plain(source: &Arc<str>, events: &[(LedgerIndex, Millis, &PlainEvent)], wanted: &Wanted) -> Batch {
        let first = events.first().map(|(_, _, e)| *e);
        let rows = events
            .iter()
            .map(|(index, received_at, e)| Row {
                index: *index,
                time: e.time,
                received_at: *received_at,
            })
            .collect();
        let mut uids = Uids::default();
        events.iter().for_each(|(_, _, e)| uids.push(&e.uid));
        let places = Arc::new(wanted.iter().cloned().zip(0..).collect());
        let columns = wanted.iter().map(|f| column(source, events, f)).collect();
        Batch {
            logsource: first.map(|e| e.logsource.clone()).unwrap_or_default(),
            class_uid: first.map_or(0, |e| e.class_uid),
            source: source.clone(),
            rows,
            uids,
            columns: Columns::new(&places, columns),
        }
    }
}

/// `None` where every row lacks the field.
fn column(source: &str, events: &[(LedgerIndex, Millis, &PlainEvent)], field: &Field) -> Option<Column> {
    let mut values: Vec<String> = Vec::new();
    let mut ends = Vec::with_capacity(events.len());
    let mut many = false;
    for (_, _, event) in events {
        let before = values.len();
        collect(source, event, field, &mut values);
        many |= values.len() - before > 1;
        ends.push(values.len());
    }
    if values.is_empty() {
        return None;
    }
    let mut start = 0;
    if many {
        let mut list = ListBuilder::new(StringBuilder::new());
        for end in ends {
            for v in &values[start..end] {
                list.values().append_value(v);
            }
            list.append(true);
            start = end;
        }
        return Some(Column::Many(list.finish()));
    }
    let mut one = StringBuilder::with_capacity(events.len(), values.iter().map(String::len).sum());
    for end in ends {
        one.append_option(values[start..end].first());
        start = end;
    }
    Some(Column::One(one.finish()))
}

fn collect(source: &str, event: &PlainEvent, field: &Field, out: &mut Vec<String>) {
    if let Some(path) = field.path.strip_suffix(EXISTS) {
        if has(source, event, field.namespace, path) {
            out.push("true".to_owned());
        }
        return;
    }
    if field.namespace == Namespace::Ocsf && field.path.starts_with("docket.") {
        match &field.path[7..] {
            "system" => out.extend(event.system.as_deref().map(str::to_owned)),
            "command" => out.extend(event.commands.iter().cloned()),
            "source" => out.push(source.to_owned()),
            _ => {}
        }
        return;
    }
    let fields = match field.namespace {
        Namespace::Ocsf => &event.ocsf,
        Namespace::Native => &event.native,
    };
    if &*field.path == "*" {
        return fields.values().for_each(|v| leaves(v, out));
    }
    walk(fields, &field.path, &mut |v| text(v, out));
}

/// Whether the event has a field, be it null.
fn has(source: &str, event: &PlainEvent, namespace: Namespace, path: &str) -> bool {
    let fields = match namespace {
        Namespace::Ocsf if path.starts_with("docket.") => {
            let mut out = Vec::new();
            collect(source, event, &Field::ocsf(path), &mut out);
            return !out.is_empty();
        }
        Namespace::Ocsf => &event.ocsf,
        Namespace::Native => &event.native,
    };
    let mut any = false;
    walk(fields, path, &mut |_| any = true);
    any
}

/// Calls `found` with each value at `path`; crosses arrays; a key that itself holds dots goes first.
pub(crate) fn walk<'a>(object: &'a Map<String, Value>, path: &str, found: &mut dyn FnMut(&'a Value)) {
    if let Some(v) = object.get(path) {
        return found(v);
    }
    for (dot, _) in path.match_indices('.') {
        match object.get(&path[..dot]) {
            Some(Value::Object(inner)) => walk(inner, &path[dot + 1..], &mut *found),
            Some(Value::Array(items)) => {
                for inner in items.iter().filter_map(Value::as_object) {
                    walk(inner, &path[dot + 1..], &mut *found);
                }
            }
            _ => {}
        }
    }
}

/// Every scalar below a value, as text; null is nothing.
fn leaves(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::Object(inner) => inner.values().for_each(|v| leaves(v, out)),
        Value::Array(items) => items.iter().for_each(|v| leaves(v, out)),
        scalar => text(scalar, out),
    }
}

/// Scalars as text, arrays item by item, objects as JSON; null is nothing.
pub(crate) fn text(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::Null => {}
        Value::String(s) => out.push(s.clone()),
        Value::Array(items) => items.iter().for_each(|v| text(v, out)),
        other => out.push(other.to_string()),
    }
}
