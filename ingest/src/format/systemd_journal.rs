//! The systemd journal: the export format (`journalctl -o export`, systemd-journal-remote) and JSON (`-o json`).
//!
//! An entry is read as the syslog line it would have been (`SYSLOG_IDENTIFIER`, `_HOSTNAME`, `_PID`, `MESSAGE`, `PRIORITY`),
//! so that what is known of sshd, sudo, su, PAM and the account tools holds here too. Unlike syslog, the journal's fields
//! with `_` are trusted: the daemon writes them, not the program. An entry of the transport `audit` is read as the line of
//! the Linux audit log that it was.
//!
//! `time` is `_SOURCE_REALTIME_TIMESTAMP`, else `__REALTIME_TIMESTAMP` (microseconds); `metadata.original_event_uid` is
//! `__CURSOR`. Every other field is in `unmapped` and native under its own name. In the export format a field is
//! `NAME=value`, or `NAME`, a newline, a length of 8 bytes (little-endian) and the bytes; entries end with an empty line,
//! and one record may hold several. In JSON a value that is not text is a list of bytes.
//! `docket.system` is `host:<_HOSTNAME>`.

use std::borrow::Cow;

use crate::seek;
use model::{Arena, Event, Map, Object, Value, known};

use crate::fields::Fields;
use crate::format::linux_auth::line::Line;
use crate::format::{Format, Input, Match, Quarantine, linux_auditd, syslog_other};
use crate::syslog::{self, Envelope, Kind};

/// The systemd journal.
pub static FORMAT: Format = Format {
    name: "systemd_journal",
    aliases: &["journald", "journal"],
    matches,
    normalize,
};

/// Entries that one record may hold.
const ENTRIES_MAX: usize = 10_000;
/// Fields of one entry.
const FIELDS_MAX: usize = 1_024;

fn matches(input: &Input<'_>) -> Option<Match> {
    if input.text.starts_with('{') {
        let object = input.object().ok()?;
        let has = |name: &str| object.contains_key(name);
        let stamped = has("__REALTIME_TIMESTAMP") || has("_SOURCE_REALTIME_TIMESTAMP");
        return (stamped && (has("MESSAGE") || has("__CURSOR"))).then_some(Match {
            score: 92,
            reason: "the journal's __REALTIME_TIMESTAMP and MESSAGE",
        });
    }
    let text = seek::trim_start(input.text);
    let starts = ["__CURSOR=", "__REALTIME_TIMESTAMP="]
        .iter()
        .any(|s| text.starts_with(s));
    (starts && seek::contains(text, "__REALTIME_TIMESTAMP=")).then_some(Match {
        score: 95,
        reason: "the journal's export format",
    })
}

fn normalize<'a>(input: &mut Input<'a>) -> Result<Vec<Event<'a>>, Quarantine> {
    let entries = if input.text.starts_with('{') {
        vec![input.take_object()?]
    } else {
        // The bytes, not the text: lengths count what was sent.
        entries(input.arena, &input.record.payload)?
    };
    let mut events = Vec::new();
    for entry in entries {
        events.extend(entry_events(input, entry)?);
    }
    if events.is_empty() {
        return Err(Quarantine("journal_empty"));
    }
    Ok(events)
}

/// The entries of the export format.
fn entries<'a>(arena: &'a Arena, mut bytes: &'a [u8]) -> Result<Vec<Object<'a>>, Quarantine> {
    const INVALID: Quarantine = Quarantine("journal_invalid");
    const CUT: Quarantine = Quarantine("journal_truncated");
    let mut all = Vec::new();
    let mut entry = Map::new();
    while !bytes.is_empty() {
        let end = memchr::memchr(b'\n', bytes).unwrap_or(bytes.len());
        let line = &bytes[..end];
        let rest = bytes.get(end + 1..).unwrap_or_default();
        if line.is_empty() || line == b"\r" {
            if !entry.is_empty() {
                all.push(std::mem::take(&mut entry).build(arena));
            }
            if all.len() >= ENTRIES_MAX {
                return Err(Quarantine("journal_too_many_entries"));
            }
            bytes = rest;
            continue;
        }
        let (name, value) = match memchr::memchr(b'=', line) {
            Some(at) => {
                bytes = rest;
                (&line[..at], &line[at + 1..])
            }
            None => {
                let (length, rest) = rest.split_first_chunk::<8>().ok_or(CUT)?;
                let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| INVALID)?;
                let value = rest.get(..length).ok_or(CUT)?;
                bytes = rest[length..].strip_prefix(b"\n").unwrap_or(&rest[length..]);
                (line, value)
            }
        };
        let is_name = !name.is_empty()
            && name.len() <= 64
            && name
                .iter()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b'_');
        if !is_name {
            return Err(INVALID);
        }
        if entry.len() < FIELDS_MAX {
            // A name is ASCII, as was just seen.
            let name = str::from_utf8(name).map_err(|_| INVALID)?;
            let value = match String::from_utf8_lossy(value) {
                Cow::Borrowed(value) => value,
                Cow::Owned(value) => arena.text(&value),
            };
            put(arena, &mut entry, name, Value::String(value));
        }
    }
    if !entry.is_empty() {
        all.push(entry.build(arena));
    }
    Ok(all)
}

/// A field may be there more than once.
fn put<'a>(arena: &'a Arena, entry: &mut Map<'a>, name: &'a str, value: Value<'a>) {
    match entry.get_mut(name) {
        None => {
            entry.insert(name, value);
        }
        Some(there) => {
            let first = there.as_array().unwrap_or(std::slice::from_ref(there));
            *there = arena.list_of(first.iter().copied().chain([value]));
        }
    }
}

/// A field as text: of several the first, of a list of numbers the bytes.
fn text<'a>(entry: Object<'a>, name: &str) -> Option<Cow<'a, str>> {
    match entry.get(name)? {
        Value::Array(items) if items.iter().all(Value::is_number) => {
            let bytes: Option<Vec<u8>> = items.iter().map(|n| u8::try_from(n.as_u64()?).ok()).collect();
            Some(String::from_utf8_lossy(&bytes?).into_owned().into())
        }
        Value::Array(items) => crate::fields::scalar(items.first()?),
        _ => Fields(entry).text(name),
    }
}

fn entry_events<'a>(input: &Input<'a>, entry: Object<'a>) -> Result<Vec<Event<'a>>, Quarantine> {
    let message = text(entry, "MESSAGE").unwrap_or_default();
    let host = text(entry, "_HOSTNAME");
    let mut events = if text(entry, "_TRANSPORT").as_deref() == Some("audit")
        && let Some(line) = audit_line(entry, &message, host.as_deref())
    {
        let mut part = Input::of_text(input, &line);
        (linux_auditd::FORMAT.normalize)(&mut part)?
    } else {
        let envelope = envelope(entry, &message, host);
        let part = Input::of_text(input, input.text);
        syslog_other::of_line(&Line::new(&part, &envelope), &envelope)
    };
    let cursor = text(entry, "__CURSOR");
    for event in &mut events {
        let native = Map::from(event.native);
        let more = entry.members().iter().filter(|(name, _)| !native.contains_key(name));
        event.native = input.arena.object(
            &native
                .iter()
                .map(|(n, v)| (n, *v))
                .chain(more.copied())
                .collect::<Vec<_>>(),
        );
        event.change(|cells| {
            if let Some(cursor) = &cursor {
                let cursor = Value::String(input.arena.text(cursor));
                cells.put(known::METADATA_ORIGINAL_EVENT_UID, cursor);
            }
            cells.put(known::RAW_DATA, Value::String(input.text));
        });
        keep(event, entry);
    }
    Ok(events)
}

/// The rest of the fields, under `unmapped`.
fn keep<'a>(event: &mut Event<'a>, entry: Object<'a>) {
    const MAPPED: &[&str] = &[
        "MESSAGE",
        "__CURSOR",
        "__REALTIME_TIMESTAMP",
        "_SOURCE_REALTIME_TIMESTAMP",
        "__MONOTONIC_TIMESTAMP",
        "_SOURCE_MONOTONIC_TIMESTAMP",
        "_HOSTNAME",
        "SYSLOG_IDENTIFIER",
        "SYSLOG_PID",
        "SYSLOG_RAW",
        "PRIORITY",
        "SYSLOG_FACILITY",
    ];
    let mut unmapped = Map::from(event.unmapped);
    for (name, value) in entry {
        if unmapped.len() >= crate::builder::UNMAPPED_KEYS_MAX {
            break;
        }
        // Scalars and lists of them; the journal has nothing deeper.
        let shallow = match value {
            Value::Null | Value::Object(_) => false,
            Value::Array(items) => items.len() <= 64 && items.iter().all(|i| !i.is_array() && !i.is_object()),
            _ => true,
        };
        if shallow && !MAPPED.contains(&name) {
            unmapped.or_insert(name, *value);
        }
    }
    event.unmapped = unmapped.build(event.arena);
}

/// The audit line that journald took apart: `_AUDIT_TYPE_NAME`, `_AUDIT_ID`, and the rest as the message.
fn audit_line(entry: Object<'_>, message: &str, host: Option<&str>) -> Option<String> {
    let kind = text(entry, "_AUDIT_TYPE_NAME").or_else(|| text(entry, "_AUDIT_TYPE"))?;
    let serial: u64 = text(entry, "_AUDIT_ID")?.parse().ok()?;
    let micros: i64 = text(entry, "_SOURCE_REALTIME_TIMESTAMP")?.parse().ok()?;
    let millis = micros.div_euclid(1000);
    // journald writes `SYSCALL arch=… syscall=…`.
    let rest = message.strip_prefix(&*kind).unwrap_or(message).trim_start();
    let plain = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && b != b'=');
    let node = host
        .filter(|h| plain(h))
        .map(|h| format!("node={h} "))
        .unwrap_or_default();
    plain(&kind).then(|| {
        format!(
            "{node}type={kind} msg=audit({}.{:03}:{serial}): {rest}",
            millis.div_euclid(1000),
            millis.rem_euclid(1000)
        )
    })
}

fn envelope<'e>(entry: Object<'e>, message: &'e str, host: Option<Cow<'e, str>>) -> Envelope<'e> {
    let mut envelope = syslog::parse("");
    envelope.kind = Kind::Json;
    envelope.message = seek::trim(message).into();
    envelope.host = host;
    envelope.tag = text(entry, "SYSLOG_IDENTIFIER").or_else(|| text(entry, "_COMM"));
    envelope.pid = text(entry, "_PID").or_else(|| text(entry, "SYSLOG_PID"));
    envelope.time_text = text(entry, "_SOURCE_REALTIME_TIMESTAMP").or_else(|| text(entry, "__REALTIME_TIMESTAMP"));
    let number = |name: &str, max: u8| text(entry, name)?.trim().parse::<u8>().ok().filter(|n| *n <= max);
    if let Some(severity) = number("PRIORITY", 7) {
        envelope.pri = Some(number("SYSLOG_FACILITY", 23).unwrap_or(3) * 8 + severity);
    }
    envelope
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_may_hold_bytes_of_any_kind() {
        let arena = Arena::new();
        let mut bytes = b"__CURSOR=s=1\nMESSAGE\n".to_vec();
        bytes.extend(7_u64.to_le_bytes());
        bytes.extend(b"a\n\nb=c\xff\n_PID=7\n_PID=8\n\n\n__CURSOR=s=2\nMESSAGE=x");
        let found = entries(&arena, &bytes).expect("entries");
        assert_eq!(found.len(), 2);
        assert_eq!(found[0]["MESSAGE"], "a\n\nb=c\u{fffd}");
        assert_eq!(found[0]["_PID"], serde_json::json!(["7", "8"]));
        assert_eq!(found[1]["__CURSOR"], "s=2");
    }

    #[test]
    fn what_is_cut_or_no_entry_is_refused() {
        let arena = Arena::new();
        let mut cut = b"MESSAGE\n".to_vec();
        cut.extend(u64::MAX.to_le_bytes());
        assert_eq!(entries(&arena, &cut), Err(Quarantine("journal_truncated")));
        assert_eq!(entries(&arena, b"MESSAGE\nabc"), Err(Quarantine("journal_truncated")));
        assert_eq!(entries(&arena, b"hello=1"), Err(Quarantine("journal_invalid")));
    }
}
