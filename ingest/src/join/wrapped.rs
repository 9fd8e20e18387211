//! Lines of the Linux audit log that a collector put into JSON of its own, each by itself: Filebeat's `message`, Docker's `log`,
//! rsyslog's template. They are lines of an event as others are; what is put together is the first one's JSON with all of
//! their lines in it.

use model::{Arena, LedgerIndex, Object, RawRecord, Value};

use crate::detection;
use crate::format::{collector, linux_auditd};
use crate::json;
use crate::syslog;

/// A line and what is told around it.
struct Wrapped<'a> {
    object: Object<'a>,
    /// The key whose value is the line.
    key: &'static str,
    text: String,
    host: Option<String>,
}

/// What a record of JSON is a part of.
pub(super) fn audit(record: &RawRecord) -> Option<linux_auditd::Piece> {
    let arena = Arena::new();
    let wrapped = unwrap(&arena, record)?;
    if wrapped.text.contains('\n') {
        return None;
    }
    linux_auditd::Piece::read_of(&wrapped.text, wrapped.host.as_deref())
}

/// The records as one; `None`: they are not all of this kind.
pub(super) fn glue(records: &[(LedgerIndex, RawRecord)]) -> Option<Vec<u8>> {
    if !records.iter().all(|(_, r)| r.payload.first() == Some(&b'{')) {
        return None;
    }
    let arena = Arena::new();
    let mut all = String::new();
    let mut first = None;
    for (_, record) in records {
        let wrapped = unwrap(&arena, record)?;
        if first.is_some() {
            all.push('\n');
        }
        all.push_str(&wrapped.text);
        first.get_or_insert((wrapped.object, wrapped.key));
    }
    let (object, key) = first?;
    let text = Value::String(arena.text(&all));
    let members = object
        .iter()
        .map(|(name, value)| if name == key { (name, text) } else { (name, *value) });
    let members: Vec<_> = members.collect();
    Some(arena.object(&members).to_string().into_bytes())
}

fn unwrap<'a>(arena: &'a Arena, record: &RawRecord) -> Option<Wrapped<'a>> {
    let text = arena.text(
        str::from_utf8(&record.payload)
            .ok()?
            .trim_end_matches(['\r', '\n', '\0']),
    );
    let parsed = json::parse(arena, text).ok()?;
    // What is odd about it is told of its own event.
    if !parsed.flags.is_empty() || !parsed.duplicates.is_empty() {
        return None;
    }
    let object = parsed.object;
    if let Some((key, text, host)) = collector::single(arena, object) {
        return Some(Wrapped {
            object,
            key,
            text,
            host,
        });
    }
    let envelope = syslog::from_object(object)?;
    let key = ["message", "msg"].into_iter().find(|k| object.contains_key(k))?;
    Some(Wrapped {
        object,
        key,
        text: envelope.message.into_owned(),
        host: envelope.host.map(|h| h.into_owned()),
    })
}

/// Whether a source of that format, or of none that is known, may ship lines of the audit log so.
pub(super) fn is_allowed(name: Option<&str>) -> bool {
    name.is_none_or(|name| name == collector::FORMAT.name || detection::may_send(name, &linux_auditd::FORMAT))
}
