//! The log formats: any bytes as a record, its format named and told from its bytes.

use std::sync::Arc;

use ingest::format::FORMATS;
use ingest::mapping::Mapping;
use ingest::{Normalizer, Settings, SourceSettings};
use model::{Coordinate, Millis, RawRecord};

use crate::bytes::choices;
use crate::{Target, event};

/// Bytes of a record: enough for any shape, few enough for many a second.
pub const RECORD_BYTES: usize = 8 << 10;
/// When records were received.
pub const RECEIVED_AT: Millis = Millis(1_772_413_200_250);

/// A mapping file, and records that it was written for.
pub const MAPPING: &str = include_str!("../../fixtures/mapped/petty_cash.toml");
/// Its records, one a line.
pub const MAPPED: &str = include_str!("../../fixtures/mapped/petty_cash.log");

/// One target for each format, one for records in a collector's envelope, and one for records whose source nobody
/// configured.
pub fn targets() -> Vec<Target> {
    let mut all: Vec<Target> = FORMATS
        .iter()
        .map(|format| {
            let named = normalizer(Some(format.name));
            let detected = configured();
            Target::new(name(format.name), RECORD_BYTES, move |data| {
                event::check(&named, &record("s", data));
                event::check(&detected, &record("s", data));
            })
        })
        .collect();
    let named: Vec<Normalizer> = FORMATS.iter().map(|f| normalizer(Some(f.name))).collect();
    all.push(Target::new("format-wrapped", RECORD_BYTES, move |data| {
        let ([format, envelope], line) = choices::<2>(data);
        let text = wrap(envelope, &String::from_utf8_lossy(line));
        event::check(&named[usize::from(format) % named.len()], &record("s", text.as_bytes()));
    }));
    let detected = normalizer(None);
    all.push(Target::new("format-detected", RECORD_BYTES, move |data| {
        event::check(&detected, &record("s", data));
    }));
    all
}

/// The name of a format's target.
#[must_use]
pub fn name(format: &str) -> String {
    format!("format-{format}")
}

/// A normalizer of sources of one format, or of formats to be told.
#[must_use]
pub fn normalizer(format: Option<&'static str>) -> Normalizer {
    let mut default = SourceSettings {
        format: format.map(Into::into),
        ..SourceSettings::default()
    };
    if format == Some("mapped") {
        let mapping = Mapping::read(MAPPING).unwrap_or_else(|problems| panic!("our own mapping: {problems:?}"));
        default.use_mapping(Arc::new(mapping));
    }
    Normalizer::new(Settings {
        default,
        ..Settings::default()
    })
}

/// Much set that a source can have set, but not its format.
fn configured() -> Normalizer {
    let default = SourceSettings {
        format: None,
        time_zone: jiff::tz::TimeZone::UTC,
        encoding: Some(encoding_rs::GBK),
        system: Some("crm".into()),
        trusted_proxies: vec!["10.0.0.0/8".to_owned(), "fd00::/8".to_owned()],
        ..SourceSettings::default()
    };
    Normalizer::new(Settings {
        default,
        ..Settings::default()
    })
}

/// A record of these bytes.
#[must_use]
pub fn record(source: &str, payload: &[u8]) -> RawRecord {
    RawRecord {
        coordinate: Coordinate::new("t", 0, 1),
        received_at: RECEIVED_AT,
        source: source.into(),
        peer: None,
        key: None,
        headers: Vec::new(),
        payload: payload.to_vec().into(),
        truncated: None,
    }
}

/// The line in one of the envelopes that collectors make.
fn wrap(envelope: u8, line: &str) -> String {
    let quoted = serde_json::Value::from(line);
    match envelope % 8 {
        0 => format!(r#"{{"@timestamp":"2026-03-02T01:00:00Z","agent":{{"type":"filebeat"}},"message":{quoted}}}"#),
        1 => format!(r#"{{"log":{quoted},"stream":"stdout","time":"2026-03-02T01:00:00.5Z"}}"#),
        2 => format!("2026-03-02T01:00:00.000000001+08:00 stderr F {line}"),
        3 => format!(r#"["app.tag",1772413200,{{"log":{quoted}}}]"#),
        4 => format!(r#"{{"__time__":1772413200,"__source__":"10.0.0.1","__topic__":"t","content":{quoted}}}"#),
        5 => format!(r#"{{"schema":{{"type":"string"}},"payload":{quoted}}}"#),
        6 => format!(
            r#"{{"messageType":"DATA_MESSAGE","logGroup":"g","logStream":"s","logEvents":[{{"id":"1","timestamp":1772413200000,"message":{quoted}}}]}}"#
        ),
        _ => format!(r#"{{"sourcetype":"x","host":"h","time":1772413200.5,"event":{quoted}}}"#),
    }
}
