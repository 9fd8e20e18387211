//! Texts inside a record: JSON, times, command lines, SQL, syslog's envelope, and the masking of secrets.

use std::borrow::Cow;

use ingest::format::Quarantine;
use ingest::{command_line, json, mask, syslog, time_text};
use jiff::tz::TimeZone;
use model::Arena;
use serde_json::{Map, Value};

use crate::bytes::choices;
use crate::format::{RECEIVED_AT, RECORD_BYTES, normalizer, record};
use crate::{Target, event};

/// Bytes of a short text.
const TEXT_BYTES: usize = 2048;

/// Every reader of texts.
pub fn targets() -> Vec<Target> {
    let (mysql, postgresql) = (normalizer(Some("mysql_audit")), normalizer(Some("postgresql")));
    vec![
        Target::new("text-json", RECORD_BYTES, |d| json_text(&text(d))),
        Target::new("text-syslog", TEXT_BYTES, |d| syslog_line(&text(d))),
        Target::new("text-time", 128, |d| time(&text(d))),
        Target::new("text-mask", TEXT_BYTES, |d| masked(&text(d))),
        Target::new("text-command", TEXT_BYTES, |d| command(&text(d))),
        Target::new("text-sql", TEXT_BYTES, move |d| sql(&text(d), &mysql, &postgresql)),
    ]
}

fn text(data: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(data)
}

/// Where `serde_json` and ours both read an object, they read the same one; ours refuses nothing that is an object
/// within its bounds.
fn json_text(text: &str) {
    let theirs = serde_json::from_str::<Map<String, Value>>(text);
    let arena = Arena::new();
    match json::parse(&arena, text) {
        Ok(ours) => {
            let size = serde_json::to_string(&ours.object).unwrap().len();
            assert!(size <= 6 * text.len() + 64, "{size} bytes of {}", text.len());
            match theirs {
                Ok(theirs) if !ours.flags.contains(&"invalid_escape") => assert_eq!(ours.object.to_json(), theirs),
                Ok(_) => {}
                Err(error) => assert!(!ours.flags.is_empty(), "taken without a flag: {error}"),
            }
        }
        Err(Quarantine("json_too_deep" | "json_too_many_keys")) => {}
        Err(reason) => assert!(theirs.is_err(), "{reason}, but it is an object"),
    }
    if let Ok(parts) = json::parse_all(&arena, text) {
        assert!((1..=json::OBJECTS_MAX).contains(&parts.len()));
        let mut at = text.as_ptr() as usize;
        for (part, parsed) in &parts {
            assert!(part.as_ptr() as usize >= at, "parts overlap");
            at = part.as_ptr() as usize + part.len();
            assert!(part.starts_with('{') && part.ends_with('}'), "{part}");
            let alone = json::parse(&arena, part).unwrap_or_else(|q| panic!("{q}: {part}"));
            assert_eq!(alone.object, parsed.object);
        }
        assert!(at <= text.as_ptr() as usize + text.len());
    }
}

fn syslog_line(line: &str) {
    let e = syslog::parse(line);
    assert_eq!(e, syslog::parse(line));
    let parts = [&e.time_text, &e.host, &e.tag, &e.pid, &e.message_id];
    let mut bytes: usize = parts.into_iter().flatten().map(|p| p.len()).sum::<usize>() + e.message.len();
    for (id, parameters) in &e.structured {
        bytes += id.len()
            + parameters
                .iter()
                .map(|(name, value)| name.len() + value.len())
                .sum::<usize>();
    }
    assert!(bytes <= line.len() + 64, "{bytes} of {}: {e:?}", line.len());
    assert!(e.pri.is_none_or(|p| p <= 191));
    let _ = (
        e.facility(),
        e.severity(),
        e.program(),
        e.time(RECEIVED_AT, &TimeZone::UTC),
    );
    let _ = (syslog::repeated(line), syslog::imitates_line(line));
    let arena = Arena::new();
    if let Ok(parsed) = json::parse(&arena, line) {
        let _ = syslog::from_object(parsed.object);
    }
}

fn time(text: &str) {
    let zone = TimeZone::fixed(jiff::tz::offset(8));
    let read = time_text::parse_any(text, RECEIVED_AT, &zone);
    assert_eq!(
        read,
        time_text::parse_any(&format!(" {text}\n"), RECEIVED_AT, &zone),
        "blanks matter"
    );
    if let Some(read) = read {
        assert!(read.offset_minutes.is_none_or(|o| o.abs() <= 26 * 60), "{read:?}");
        if !read.flags.zone_assumed && !read.flags.year_inferred {
            let elsewhere = time_text::parse_any(text, model::Millis(0), &TimeZone::UTC);
            assert_eq!(
                elsewhere.map(|r| r.time),
                Some(read.time),
                "a whole time depends on nothing else"
            );
        }
    }
    if let Ok(number) = text.parse() {
        let _ = time_text::epoch(number);
    }
    if let Ok(number) = text.parse() {
        let _ = time_text::epoch_float(number);
    }
}

fn masked(text: &str) {
    let once = mask::mask(text);
    assert_eq!(mask::mask(&once), once, "masking a masked text changes it");
    assert!(once.len() <= 3 * text.len() + 3, "{} of {}", once.len(), text.len());
    assert_eq!(mask::holds_secret(text), matches!(once, Cow::Owned(_)));
    // Whatever stands on the lines before, a secret is a secret.
    let secret = "Zq9xSecretZq9x";
    if !text.contains("Zq9") {
        for line in [
            format!("{text}\npassword={secret}"),
            format!("{text}\nAuthorization: Bearer {secret}"),
            format!("{text}\nhttps://u:{secret}@h/"),
        ] {
            let masked = mask::mask(&line);
            assert!(!masked.contains("Zq9"), "{line:?} became {masked:?}");
        }
    }
}

fn command(text: &str) {
    let commands = command_line::simple_commands(text);
    assert_eq!(commands, command_line::simple_commands(text));
    assert!(commands.len() <= 64);
    let bytes: usize = commands.iter().map(String::len).sum();
    assert!(
        bytes <= (64 * (text.len() + 16)).min(256 << 10),
        "{bytes} bytes of commands of {}",
        text.len()
    );
}

/// A statement as two databases' logs hold it, and as a command line hands it over.
fn sql(text: &str, mysql: &ingest::Normalizer, postgresql: &ingest::Normalizer) {
    let ([form], _) = choices::<1>(text.as_bytes());
    let quoted = Value::from(text);
    let (normalizer, line) = match form % 3 {
        0 => (
            mysql,
            format!(
                r#"{{"audit_record":{{"name":"Query","record":"1","timestamp":"2026-03-02T01:00:00Z","command_class":"x","connection_id":"1","status":0,"sqltext":{quoted},"user":"u[u] @ h []","host":"h"}}}}"#
            ),
        ),
        1 => (
            mysql,
            format!(
                "20260302 01:00:00,db,u,10.0.0.1,7,8,QUERY,shop,'{}',0",
                text.replace('\'', "\\'")
            ),
        ),
        _ => (
            postgresql,
            format!(
                "2026-03-02 01:00:00.000 UTC [1] u@d LOG:  AUDIT: SESSION,1,1,MISC,X,,,\"{}\",<not logged>",
                text.replace('"', "\"\"")
            ),
        ),
    };
    event::check(normalizer, &record("s", line.as_bytes()));
    command(&format!("mysql -e {}", quoted));
}
