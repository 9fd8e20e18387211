//! Laurel: one JSON object an event, whose keys are the records.

use std::borrow::Cow;

use model::{Millis, Object, Value};

use super::pairs::Pairs;
use super::record::{EventId, Record};
use crate::fields::scalar;
use crate::seek;

/// Whether an object looks like Laurel's.
pub(super) fn is_one(object: Object<'_>) -> bool {
    id(object).is_some()
        && object
            .iter()
            .any(|(k, v)| is_kind(k) && (v.is_object() || v.is_array()))
}

fn is_kind(name: &str) -> bool {
    name.len() > 1 && name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
}

fn id(object: Object<'_>) -> Option<EventId> {
    let (time, serial) = object.get("ID")?.as_str()?.split_once(':')?;
    let (seconds, millis) = seek::cut(time, b'.')?;
    let millis: i64 = millis.parse::<u16>().ok().filter(|m| *m < 1000)?.into();
    Some(EventId {
        node: object.get("NODE").and_then(Value::as_str).unwrap_or("").to_owned(),
        time: Millis(i64::from(seconds.parse::<u32>().ok()?) * 1000 + millis),
        serial: serial.parse().ok()?,
    })
}

/// The records of an object.
pub(super) fn records<'a>(object: Object<'a>) -> Option<Vec<Record<'a>>> {
    let id = id(object)?;
    let mut records = Vec::new();
    for (kind, value) in object {
        if !is_kind(kind) {
            continue;
        }
        match value {
            Value::Object(fields) => records.push(record(&id, kind, *fields)),
            Value::Array(items) => {
                records.extend(items.iter().filter_map(Value::as_object).map(|f| record(&id, kind, f)));
            }
            _ => {}
        }
    }
    (!records.is_empty()).then_some(records)
}

fn record<'a>(id: &EventId, kind: &'a str, object: Object<'a>) -> Record<'a> {
    let mut record = Record {
        id: id.clone(),
        kind: Cow::Borrowed(kind),
        fields: Pairs::default(),
        enriched: Pairs::default(),
        text: "",
    };
    for (key, value) in object {
        let texts = |value: &'a Value<'a>| -> Vec<Cow<'a, str>> {
            value.as_array().into_iter().flatten().filter_map(scalar).collect()
        };
        match (kind, key) {
            ("EXECVE", "ARGV") => {
                for (n, argument) in texts(value).into_iter().enumerate() {
                    record.fields.push(format!("a{n}").into(), argument);
                }
            }
            ("EXECVE", "ARGV_STR") => {
                if let Some(line) = scalar(value) {
                    record.fields.push(Cow::Borrowed("ARGV_STR"), line);
                }
            }
            ("PROCTITLE", "ARGV") => {
                let title = texts(value).join("\0");
                record.fields.push(Cow::Borrowed("proctitle"), title.into());
            }
            _ => {
                // An uid that was not set is written as a number; names of parents (`PPID`) are objects.
                let Some(value) = scalar(value) else { continue };
                let is_translation = is_kind(key) && !matches!(kind, "PARENT_INFO" | "CONTAINER_INFO");
                let list = if is_translation {
                    &mut record.enriched
                } else {
                    &mut record.fields
                };
                list.push(Cow::Borrowed(key), value);
            }
        }
    }
    record
}
