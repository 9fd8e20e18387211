//! What every event of every record promises.

use std::fmt::Write as _;

use ingest::{Normalized, Normalizer};
use model::{PlainEvent, RawRecord};
use serde_json::{Map, Value};

use crate::schema::Schema;

/// How many times its record's bytes an event's texts may take beyond [`EVENT_BYTES`]: the text itself, masked, in
/// fields and in `unmapped`, each perhaps escaped.
pub const BYTES_FACTOR: usize = 40;
/// What an event may take that holds nothing of its record.
pub const EVENT_BYTES: usize = 4096;
/// Bytes that events may repeat of their record's text, or so many times the whole of it; each repeated as itself and in `unmapped`, escaped.
const REPEATED_BYTES: usize = 256 << 10;
const REPEATS_MIN: usize = 3;
const REPEAT_FACTOR: usize = 12;

/// Normalizes a record twice, checks both, and gives the events.
///
/// # Panics
/// Where a promise is broken.
pub fn check(normalizer: &Normalizer, record: &RawRecord) -> Normalized<PlainEvent> {
    let normalized = normalizer.normalize_plain(record);
    assert_eq!(
        normalizer.normalize_plain(record).events,
        normalized.events,
        "not the same again"
    );
    assert!(!normalized.events.is_empty(), "a record without an event");
    let id = record.coordinate.to_string();
    let mut bytes = 0;
    for (n, event) in normalized.events.iter().enumerate() {
        let uid = if n == 0 { id.clone() } else { format!("{id}#{n}") };
        assert_eq!(*event.uid, *uid, "the events of a record are numbered");
        let text = structure(event);
        bytes += text.len() + serde_json::to_string(&event.native).unwrap().len();
        bytes += event.commands.iter().map(String::len).sum::<usize>();
        if let Some(schema) = Schema::beside() {
            let wrong = schema.check(&event.ocsf);
            assert!(wrong.is_empty(), "OCSF: {wrong:?} in {text}");
        }
    }
    // No input makes much out of little: neither events nor their texts.
    let len = record.payload.len();
    let count = normalized.events.len();
    assert!(count <= 1 + len / 2, "{count} events of {len} bytes");
    // What one statement does to many people is an event for each, with its text in each: fewer of a long one.
    let repeated = (count * len).min(REPEATED_BYTES.max(REPEATS_MIN * len));
    let most = BYTES_FACTOR * len + EVENT_BYTES * count + REPEAT_FACTOR * repeated;
    assert!(
        bytes <= most,
        "{bytes} bytes in {count} events of {len} bytes, at most {most}"
    );
    if let Some(reason) = normalized.quarantined {
        let label = format!("quarantined:{reason}");
        let told = normalized.events.iter().any(|e| labels(e).any(|l| l == label));
        assert!(told, "{label} is on no event");
    }
    normalized
}

fn labels(event: &PlainEvent) -> impl Iterator<Item = &str> {
    let labels = event.get("metadata.labels").and_then(Value::as_array);
    labels.into_iter().flatten().filter_map(Value::as_str)
}

/// What holds without a schema; gives the event as JSON.
fn structure(event: &PlainEvent) -> String {
    let ocsf = &event.ocsf;
    let text = serde_json::to_string(ocsf).unwrap();
    let number = |name: &str| ocsf.get(name).and_then(Value::as_i64);
    let wrong = |what: &str| -> ! { panic!("{what} in {text}") };
    if number("class_uid") != Some(i64::from(event.class_uid)) {
        wrong("class_uid");
    }
    let (Some(activity), Some(_category)) = (number("activity_id"), number("category_uid")) else {
        wrong("activity_id or category_uid")
    };
    if number("type_uid") != Some(i64::from(event.class_uid) * 100 + activity) {
        wrong("type_uid");
    }
    if number("time") != Some(event.time.0) {
        wrong("time");
    }
    if !matches!(number("severity_id"), Some(0..=6 | 99)) {
        wrong("severity_id");
    }
    let Some(Value::Object(metadata)) = ocsf.get("metadata") else {
        wrong("metadata")
    };
    let of = |name: &str| metadata.get(name);
    if of("version").and_then(Value::as_str) != Some(model::OCSF_VERSION)
        || of("uid").and_then(Value::as_str) != Some(&*event.uid)
        || !of("product").is_some_and(Value::is_object)
        || !of("logged_time").is_some_and(Value::is_i64)
    {
        wrong("metadata");
    }
    if let Some(path) = null(ocsf) {
        wrong(&format!("null at {path}"));
    }
    match serde_json::from_str::<Map<String, Value>>(&text) {
        Ok(back) if back == *ocsf => {}
        _ => wrong("an event that does not read back"),
    }
    text
}

/// The path of the first null outside `unmapped` and `data`, whose fields are the source's.
fn null(object: &Map<String, Value>) -> Option<String> {
    object
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "unmapped" | "data"))
        .find_map(|(name, value)| {
            let below = match value {
                Value::Null => Some(String::new()),
                Value::Object(inner) => null(inner),
                Value::Array(items) => items.iter().find_map(|i| match i {
                    Value::Null => Some(String::new()),
                    Value::Object(inner) => null(inner),
                    _ => None,
                }),
                _ => None,
            };
            below.map(|rest| {
                let mut path = name.clone();
                let _ = write!(path, ".{rest}");
                path
            })
        })
}
