//! The events of one log source as Arrow columns, beside their records.
//!
//! Rules are routed once per batch and evaluated over columns. A column exists only where a loaded rule,
//! the index or an output wants it ([`Wanted`]). Values are text: numbers and booleans as JSON writes them,
//! because Sigma compares them so; a null is a missing value.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::{Array, ListArray, StringArray};
use serde_json::{Map, Value};

use crate::{Event, LedgerIndex, LogSource, Millis};

/// Which of an event's two sets of fields a name belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Namespace {
    /// Dotted OCSF paths, and Docket's own under `docket.` (`docket.system`, `docket.command`, `docket.source`).
    Ocsf,
    /// The source's own field names.
    Native,
}

/// At the end of a field's path: the column is `true` in each row whose event has the field, be it null or empty.
pub const EXISTS: &str = "|exists";

/// A field of an event: a namespace and a name. Through arrays of objects a path yields many values.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Field {
    /// Which names.
    pub namespace: Namespace,
    /// The dotted path or the source's name; `*` is every value of the event in that namespace (keywords);
    /// [`EXISTS`] may stand behind it.
    pub path: Arc<str>,
}

impl Field {
    /// An OCSF field.
    #[must_use]
    pub fn ocsf(path: &str) -> Field {
        Field {
            namespace: Namespace::Ocsf,
            path: path.into(),
        }
    }

    /// A field of the source's own.
    #[must_use]
    pub fn native(path: &str) -> Field {
        Field {
            namespace: Namespace::Native,
            path: path.into(),
        }
    }
}

/// The fields for which columns are built.
pub type Wanted = BTreeSet<Field>;

/// One event's place in a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The record's leaf.
    pub index: LedgerIndex,
    /// The event's uid; up to `#` it is the record id.
    pub uid: Arc<str>,
    /// When it happened.
    pub time: Millis,
    /// When the record was received.
    pub received_at: Millis,
}

/// A column of text.
#[derive(Clone, Debug)]
pub enum Column {
    /// At most one value a row.
    One(StringArray),
    /// Any number of values a row.
    Many(ListArray),
}

impl Column {
    /// The first value of a row.
    #[must_use]
    pub fn first(&self, row: usize) -> Option<&str> {
        match self {
            Column::One(a) => a.is_valid(row).then(|| a.value(row)),
            Column::Many(a) => {
                let range = a.value_offsets()[row] as usize..a.value_offsets()[row + 1] as usize;
                range.start.lt(&range.end).then(|| texts(a).value(range.start))
            }
        }
    }

    /// Calls `each` with every value of a row, in order.
    pub fn for_each<'a>(&'a self, row: usize, mut each: impl FnMut(&'a str)) {
        match self {
            Column::One(a) => {
                if a.is_valid(row) {
                    each(a.value(row));
                }
            }
            Column::Many(a) => {
                let values = texts(a);
                for i in a.value_offsets()[row]..a.value_offsets()[row + 1] {
                    each(values.value(i as usize));
                }
            }
        }
    }

    /// Every value of a row, in order.
    #[must_use]
    pub fn all(&self, row: usize) -> Vec<&str> {
        let mut out = Vec::new();
        self.for_each(row, |v| out.push(v));
        out
    }
}

fn texts(list: &ListArray) -> &StringArray {
    // `Batch::build` is the only maker of columns, and its lists hold text.
    list.values().as_any().downcast_ref().expect("a list column holds text")
}

/// The events of one log source and one OCSF class, in ledger order.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Sigma's labels of all its events.
    pub logsource: LogSource,
    /// OCSF `class_uid` of all its events.
    pub class_uid: u32,
    /// The source's id in the configuration.
    pub source: Arc<str>,
    /// The events' places.
    pub rows: Vec<Row>,
    columns: HashMap<Field, Column>,
}

impl Batch {
    /// Builds the wanted columns of `events`, which share `logsource`, `class_uid` and `source`.
    #[must_use]
    pub fn build(source: &Arc<str>, events: &[(LedgerIndex, Millis, &Event)], wanted: &Wanted) -> Batch {
        let first = events.first().map(|(_, _, e)| *e);
        let rows = events
            .iter()
            .map(|(index, received_at, e)| Row {
                index: *index,
                uid: e.uid.clone(),
                time: e.time,
                received_at: *received_at,
            })
            .collect();
        let columns = wanted
            .iter()
            .filter_map(|f| Some((f.clone(), column(source, events, f)?)))
            .collect();
        Batch {
            logsource: first.map(|e| e.logsource.clone()).unwrap_or_default(),
            class_uid: first.map_or(0, |e| e.class_uid),
            source: source.clone(),
            rows,
            columns,
        }
    }

    /// The column of a field; `None` where no event of the batch has it.
    #[must_use]
    pub fn column(&self, field: &Field) -> Option<&Column> {
        self.columns.get(field)
    }

    /// The first value of an OCSF field in a row.
    #[must_use]
    pub fn ocsf(&self, path: &str, row: usize) -> Option<&str> {
        self.columns.get(&Field::ocsf(path))?.first(row)
    }
}

/// `None` where every row lacks the field.
fn column(source: &str, events: &[(LedgerIndex, Millis, &Event)], field: &Field) -> Option<Column> {
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

fn collect(source: &str, event: &Event, field: &Field, out: &mut Vec<String>) {
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
fn has(source: &str, event: &Event, namespace: Namespace, path: &str) -> bool {
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
pub(crate) fn walk<'a>(object: &'a Map<String, Value>, path: &str, found: &mut impl FnMut(&'a Value)) {
    if let Some(v) = object.get(path) {
        return found(v);
    }
    for (dot, _) in path.match_indices('.') {
        match object.get(&path[..dot]) {
            Some(Value::Object(inner)) => walk(inner, &path[dot + 1..], &mut *found),
            Some(Value::Array(items)) => {
                for inner in items.iter().filter_map(Value::as_object) {
                    walk_dyn(inner, &path[dot + 1..], found);
                }
            }
            _ => {}
        }
    }
}

// Breaks the endless instantiation of `walk` by its own closure type.
fn walk_dyn<'a>(object: &'a Map<String, Value>, path: &str, found: &mut dyn FnMut(&'a Value)) {
    walk(object, path, &mut |v| found(v));
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
fn text(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::Null => {}
        Value::String(s) => out.push(s.clone()),
        Value::Array(items) => items.iter().for_each(|v| text(v, out)),
        other => out.push(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(ocsf: Value) -> Event {
        let Value::Object(ocsf) = ocsf else { panic!("an object") };
        Event {
            uid: "t/0/0".into(),
            class_uid: 6001,
            time: Millis(0),
            ocsf,
            native: Map::new(),
            system: Some("crm".into()),
            commands: vec![],
            logsource: LogSource::default(),
        }
    }

    #[test]
    fn a_path_crosses_objects_and_arrays_and_dotted_keys() {
        let a = event(json!({"web_resources": [{"uid": "1"}, {"uid": 2}], "a.b": {"c": true}, "n": null}));
        let b = event(json!({}));
        let wanted: Wanted = ["web_resources.uid", "a.b.c", "n", "docket.system"]
            .iter()
            .map(|p| Field::ocsf(p))
            .collect();
        let rows = [(LedgerIndex(0), Millis(1), &a), (LedgerIndex(1), Millis(1), &b)];
        let batch = Batch::build(&"crm".into(), &rows, &wanted);
        assert_eq!(
            batch.column(&Field::ocsf("web_resources.uid")).unwrap().all(0),
            ["1", "2"]
        );
        assert_eq!(batch.column(&Field::ocsf("web_resources.uid")).unwrap().first(1), None);
        assert_eq!(batch.ocsf("a.b.c", 0), Some("true"));
        assert!(batch.column(&Field::ocsf("n")).is_none());
        assert_eq!(batch.ocsf("docket.system", 1), Some("crm"));
    }
}
