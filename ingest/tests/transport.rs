//! What a transport tells beside a record: HEC's envelope and OTLP's resource. And why a record became what it became.

#![allow(clippy::unwrap_used)] // a test may panic

use ingest::explain::Origin;
use ingest::format::hec;
use ingest::{Normalizer, Settings};
use model::{Coordinate, Millis, RawRecord};

fn record(payload: &str, envelope: Option<&str>) -> RawRecord {
    RawRecord {
        coordinate: Coordinate::new("t", 0, 0),
        received_at: Millis::parse("2026-03-02T23:00:00+08:00").unwrap(),
        source: "main".into(),
        peer: None,
        key: None,
        headers: envelope
            .map(|e| (hec::HEADER.to_owned(), e.to_owned().into()))
            .into_iter()
            .collect(),
        payload: payload.to_owned().into(),
        truncated: None,
    }
}

#[test]
fn the_sourcetype_names_the_format_where_the_bytes_agree() {
    const SSHD: &str = "Mar  2 22:53:12 db-1 sshd[9]: Accepted password for root from 10.0.0.9 port 22 ssh2";
    const ACCESS: &str = r#"{"message": "10.0.0.9 hello"}"#;
    let by = "the sourcetype of its HEC envelope, and its bytes look like it";
    for (payload, envelope, format, named) in [
        (SSHD, Some(r#"{"sourcetype": "linux_secure"}"#), "linux_auth", true),
        (SSHD, Some(r#"{"sourcetype": "Linux_Secure"}"#), "linux_auth", true),
        // One that the bytes deny is not believed; nor one that is not known.
        (SSHD, Some(r#"{"sourcetype": "aws:cloudtrail"}"#), "linux_auth", false),
        (SSHD, Some(r#"{"sourcetype": "my:own"}"#), "linux_auth", false),
        (SSHD, Some("not json"), "linux_auth", false),
        (SSHD, Some(r#"{"sourcetype": 7}"#), "linux_auth", false),
        (ACCESS, Some(r#"{"sourcetype": "access_combined"}"#), "json", false),
        (SSHD, None, "linux_auth", false),
        // A syslog line of sshd by its program; by its sourcetype any other syslog line.
        (SSHD, Some(r#"{"sourcetype": "syslog"}"#), "syslog_other", true),
    ] {
        let normalized = Normalizer::new(Settings::default()).normalize_plain(&record(payload, envelope));
        assert_eq!(
            (normalized.format, normalized.reason == by),
            (format, named),
            "{envelope:?}"
        );
    }
}

#[test]
fn the_envelopes_time_and_host_stand_where_the_line_has_none() {
    let envelope = r#"{"time": 1772463192.418, "host": "crm-web-01", "source": "/var/log/app.log", "sourcetype": "app",
        "index": "main", "fields": {"zone": "a"}}"#;
    let normalizer = Normalizer::new(Settings::default());
    let event = &normalizer
        .normalize_plain(&record(r#"{"action": "export", "rows": 5}"#, Some(envelope)))
        .events[0];
    assert_eq!(event.time, Millis(1_772_463_192_418));
    assert_eq!(event.text("unmapped.collector.host"), Some("crm-web-01"));
    assert_eq!(event.text("unmapped.collector.sourcetype"), Some("app"));
    assert_eq!(event.text("unmapped.collector.fields.zone"), Some("a"));
    assert_eq!(event.text("metadata.log_source"), Some("/var/log/app.log"));
    // The line's own time is the event's.
    let timed = r#"{"time": "2026-03-02T22:00:00+08:00", "action": "export"}"#;
    let event = &normalizer.normalize_plain(&record(timed, Some(envelope))).events[0];
    assert_eq!(event.time, Millis::parse("2026-03-02T22:00:00+08:00").unwrap());
}

#[test]
fn an_otlp_record_of_its_own_is_read_by_what_its_resource_tells() {
    let payload = r#"{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"crm"}},
        {"key":"host.name","value":{"stringValue":"crm-web-01"}}]},"scopeLogs":[{"logRecords":[{"timeUnixNano":"0",
        "observedTimeUnixNano":"1772463192418000000","body":{"stringValue":
        "Mar  2 22:53:12 db-1 sshd[9]: Failed password for root from 10.0.0.9 port 22 ssh2"}}]}]}]}"#;
    let normalized = Normalizer::new(Settings::default()).normalize_plain(&record(payload, None));
    let event = &normalized.events[0];
    assert_eq!(normalized.events.len(), 1);
    assert_eq!(
        (event.class_uid, event.text("src_endpoint.ip")),
        (3002, Some("10.0.0.9"))
    );
    assert_eq!(event.text("unmapped.collector.host"), Some("crm-web-01"));
    assert_eq!(event.time, Millis::parse("2026-03-02T22:53:12+08:00").unwrap());
}

#[test]
fn an_explanation_tells_format_runners_up_labels_and_origins() {
    let normalizer = Normalizer::new(Settings::default());
    let line = "Mar  2 22:53:12 db-1 sshd[9]: Accepted password for root from 10.0.0.9 port 22 ssh2";
    let told = normalizer.explain(&record(line, None));
    assert_eq!(told.format, "linux_auth");
    assert_eq!(told.candidates[0].format, "linux_auth");
    assert_eq!(told.candidates[0].lost, None);
    let other = told.candidates.iter().find(|c| c.format == "syslog_other").unwrap();
    assert!(
        other.lost.as_deref().is_some_and(|l| l.contains("is less than 80")),
        "{other:?}"
    );
    let event = &told.events[0];
    assert_eq!(event.what, "Authentication: Logon");
    let year = event.labels.iter().find(|l| l.label == "time.year_inferred").unwrap();
    assert!(year.meaning.contains("no year"));
    let from = |path: &str| &event.fields.iter().find(|f| f.path == path).unwrap().from;
    let message = Origin::Field {
        name: "message".into(),
        part: true,
    };
    assert_eq!(from("src_endpoint.ip"), &message);
    assert_eq!(from("metadata.uid"), &Origin::Record);
    assert_eq!(from("status_id"), &Origin::Derived);
    assert_eq!(from("metadata.original_time"), &Origin::Line { column: 1 });
}

#[test]
fn an_explanation_of_what_was_quarantined_says_what_to_do() {
    let normalizer = Normalizer::new(Settings::default());
    let told = normalizer.explain(&record(r#"{"a": "#, None));
    let why = told.quarantined.unwrap();
    assert_eq!((told.format, why.reason), ("unknown", "json_truncated"));
    assert!(why.meaning.contains("ends in its middle") && why.remedy.contains("cuts lines"));
    let told = normalizer.explain(&record("\u{1}\u{2}", None));
    assert_eq!(told.quarantined.unwrap().reason, "unknown_format");
}
