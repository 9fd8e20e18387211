//! Where the values of an event come from: found again by what they say, in the source's fields, and else in the line.

use model::Event;
use serde::Serialize;
use serde_json::Value;

use super::{Explained, Labelled, label};
use crate::format::Input;

/// A value of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trace {
    /// Its OCSF path, or below `unmapped` the source's own name.
    pub path: String,
    /// The value, shortened.
    pub value: String,
    /// Where it comes from.
    pub from: Origin,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Origin {
    /// A field of the source says it.
    Field {
        /// The field.
        name: String,
        /// It is only a part of what the field says.
        part: bool,
    },
    /// The line says it, in no field of its own.
    Line {
        /// Where, in characters, from 1.
        column: usize,
    },
    /// The record's envelope: identity, source, times of receipt.
    Record,
    /// It follows from the kind of event, or from other values.
    Derived,
}

/// Leaves of one event that are looked for.
const LEAVES_MAX: usize = 1024;
/// Characters of a value that are shown.
const SHOWN_MAX: usize = 120;
/// A shorter text may stand anywhere by chance.
const PART_BYTES_MIN: usize = 3;

/// What every event has by its class, and captions of numbers.
const BY_CLASS: &[&str] = &[
    "activity_id",
    "activity_name",
    "category_uid",
    "class_name",
    "class_uid",
    "severity",
    "severity_id",
    "type_name",
    "type_uid",
];
const BY_RECORD: &[&str] = &["metadata.uid", "metadata.logged_time", "metadata.log_name"];
/// Told by what was made of it.
const BY_FORMAT: &[&str] = &["metadata.version", "metadata.log_format", "metadata.profiles"];

pub(super) fn explained(event: &Event<'_>, input: &Input<'_>) -> Explained {
    let ocsf = serde_json::to_value(event.ocsf()).unwrap_or_default();
    let native = serde_json::to_value(event.native).unwrap_or_default();
    let (mut leaves, mut fields) = (Vec::new(), Vec::new());
    flatten(&ocsf, String::new(), &mut leaves);
    flatten(&native, String::new(), &mut fields);
    let original_time = leaves
        .iter()
        .find(|(path, _)| path == "metadata.original_time")
        .map(|(_, text)| text.clone());
    let traces = leaves
        .iter()
        .filter(|(path, _)| path != "raw_data" && !path.starts_with("metadata.labels") && !BY_CLASS.contains(&&**path))
        .map(|(path, text)| Trace {
            path: path.clone(),
            value: shown(text),
            from: origin(path, text, original_time.as_deref(), &fields, input.text),
        })
        .collect();
    let only_raw = fields
        .iter()
        .filter(|(name, text)| !is_kept(name, text, &leaves))
        .map(|(name, _)| name.clone())
        .collect();
    let labels = ocsf.pointer("/metadata/labels").and_then(Value::as_array);
    let word = |path: &str| ocsf.pointer(path).and_then(Value::as_str).unwrap_or("").to_owned();
    Explained {
        uid: event.uid.to_string(),
        what: format!("{}: {}", word("/class_name"), word("/activity_name")),
        labels: labels
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(|l| Labelled {
                label: l.to_owned(),
                meaning: label(l),
            })
            .collect(),
        fields: traces,
        only_raw,
    }
}

fn origin(path: &str, text: &str, original_time: Option<&str>, fields: &[(String, String)], line: &str) -> Origin {
    if BY_RECORD.iter().any(|p| path.starts_with(p)) {
        return Origin::Record;
    }
    if BY_FORMAT.iter().any(|p| path.starts_with(p)) {
        return Origin::Derived;
    }
    let field = |name: &str, part| Origin::Field {
        name: name.to_owned(),
        part,
    };
    let text = match path {
        "time" => original_time.unwrap_or(text),
        _ => text,
    };
    // The same name first, then the same value.
    let own = path.strip_prefix("unmapped.").unwrap_or(path);
    let last = |path: &str| path.rsplit('.').next().unwrap_or(path).to_owned();
    let equal: Vec<&str> = fields
        .iter()
        .filter(|(_, t)| t == text)
        .map(|(n, _)| n.as_str())
        .collect();
    let telling = text.len() >= 2 && !matches!(text, "true" | "false" | "null");
    if let Some(name) = equal
        .iter()
        .find(|n| **n == own)
        .or_else(|| equal.iter().find(|n| last(n) == last(path)))
        .or_else(|| equal.first().filter(|_| telling))
    {
        return field(name, false);
    }
    if text.len() >= PART_BYTES_MIN
        && let Some((name, _)) = fields.iter().find(|(_, t)| t.contains(text))
    {
        return field(name, true);
    }
    if path.starts_with("unmapped.collector") {
        return Origin::Record;
    }
    match line.find(text) {
        Some(at) if telling => Origin::Line {
            column: line[..at].chars().count() + 1,
        },
        _ => Origin::Derived,
    }
}

/// Whether what a field says stands somewhere in the event but in its raw text.
fn is_kept(name: &str, text: &str, leaves: &[(String, String)]) -> bool {
    if text.is_empty() || matches!(text, "null" | "[]" | "{}") {
        return true;
    }
    leaves
        .iter()
        .filter(|(path, _)| path != "raw_data")
        .any(|(path, leaf)| {
            leaf == text
                || path.strip_prefix("unmapped.").is_some_and(|own| own == name)
                || (leaf.len() >= PART_BYTES_MIN && text.contains(leaf.as_str()))
                || (text.len() >= PART_BYTES_MIN && leaf.contains(text))
        })
}

// The depth of what we made ourselves is bounded.
fn flatten(value: &Value, path: String, into: &mut Vec<(String, String)>) {
    if into.len() >= LEAVES_MAX {
        return;
    }
    let below = |name: &str| match path.as_str() {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    };
    match value {
        Value::Object(object) if !object.is_empty() => {
            for (name, value) in object {
                flatten(value, below(name), into);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                flatten(item, path.clone(), into);
            }
        }
        Value::String(text) => into.push((path, text.clone())),
        other => into.push((path, other.to_string())),
    }
}

/// One line of it, without control characters.
fn shown(text: &str) -> String {
    let mut out: String = text
        .chars()
        .take(SHOWN_MAX)
        .flat_map(|c| {
            if c.is_control() {
                c.escape_default().collect::<Vec<_>>()
            } else {
                vec![c]
            }
        })
        .collect();
    if text.chars().count() > SHOWN_MAX {
        out.push('…');
    }
    out
}
