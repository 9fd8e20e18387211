//! Whatever the bytes: at least one event, no panic, the same again.

#![allow(clippy::unwrap_used)] // a test may panic

use ingest::{Normalizer, Settings, SourceSettings};
use model::{Coordinate, Millis, RawRecord};
use proptest::prelude::*;

fn record(source: &str, payload: Vec<u8>) -> RawRecord {
    RawRecord {
        coordinate: Coordinate::new("t", 0, 1),
        received_at: Millis(1_772_463_192_000),
        source: source.into(),
        peer: None,
        key: None,
        headers: vec![],
        payload: payload.into(),
        truncated: None,
    }
}

fn check(format: Option<&'static str>, payload: Vec<u8>) -> Result<(), TestCaseError> {
    let default = SourceSettings {
        format: format.map(Into::into),
        ..SourceSettings::default()
    };
    let normalizer = Normalizer::new(Settings {
        default,
        ..Settings::default()
    });
    let record = record("s", payload);
    let normalized = normalizer.normalize_plain(&record);
    prop_assert!(!normalized.events.is_empty());
    let again = normalizer.normalize_plain(&record);
    prop_assert_eq!(&normalized.events, &again.events);
    for (n, event) in normalized.events.iter().enumerate() {
        let uid = if n == 0 {
            "t/0/1".to_owned()
        } else {
            format!("t/0/1#{n}")
        };
        prop_assert_eq!(&*event.uid, &uid);
        prop_assert_eq!(event.ocsf["class_uid"].as_u64(), Some(u64::from(event.class_uid)));
    }
    Ok(())
}

fn format() -> impl Strategy<Value = Option<&'static str>> {
    let names: Vec<_> = ingest::format::FORMATS
        .iter()
        .map(|f| Some(f.name))
        .chain([None])
        .collect();
    prop::sample::select(names)
}

/// Lines of every format, to be broken.
const LINES: &[&str] = &[
    r#"<14>jumpserver: login_log - {"datetime": "2026/03/02 22:53:12 +0800", "id": "8b", "ip": "10.8.1.7", "mfa": {"value": 0}, "status": {"value": true}, "username": "张伟(zhang.wei)"}"#,
    r#"<14>jumpserver: session_command_log - {"account": "root(root)", "asset": "db(10.2.3.4)", "id": "1", "input": "rm -rf /", "risk_level": {"value": 5}, "session": "s", "timestamp": 1772463192, "user": "a(b)"}"#,
    r#"<14>jumpserver: operation_log - {"action": {"value": "create"}, "diff": [{"after": "a(b), c(d)", "before": "空", "field": "Users"}], "resource": "p", "resource_type": "Asset permission", "user": "x(y)"}"#,
    r#"<14>jumpserver: "GET /x HTTP/1.1" 200 17"#,
    r#"{"event_id":"1","time":"2026-03-02T22:53:12.418+08:00","system":"crm","actor":{"account":"li.na"},"source":{"ip":"10.8.2.19"},"action":"grant","object":{"type":"user","id":"x","level":"L3"},"result":"denied"}"#,
    r#"{"eventId":"1","eventTime":"2026-03-02T22:53:12Z","eventType":"ConsoleSignin","eventName":"ConsoleSignin","userIdentity":{"type":"root-account"},"acsRegion":"x","sourceIpAddress":"1.2.3.4"}"#,
    r#"{"act":"policy.load","actor":{"name":"a"},"detail":{"name":"p"},"time":1772463192000}"#,
    "<86>Mar  2 00:44:00 crm-db-01 sshd[43002]: Accepted publickey for backup from 10.20.1.50 port 44929 ssh2: ED25519 SHA256:AbC",
    r#"10.0.0.1 - bob [02/Mar/2026:22:53:12 +0800] "GET /x?token=1 HTTP/1.1" 200 17 "-" "curl""#,
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_bytes_give_an_event(format in format(), payload in prop::collection::vec(any::<u8>(), 0..400)) {
        check(format, payload)?;
    }

    #[test]
    fn a_broken_line_gives_an_event(
        format in format(),
        line in prop::sample::select(LINES),
        cut in 0usize..400,
        at in 0usize..400,
        with in prop::collection::vec(any::<u8>(), 0..4),
    ) {
        let mut bytes = line.as_bytes().to_vec();
        bytes.truncate(cut.max(20));
        let at = at.min(bytes.len());
        bytes.splice(at..at, with);
        check(format, bytes.clone())?;
        check(None, bytes)?;
    }

    #[test]
    fn any_object_gives_an_event(format in format(), text in "\\{(\"(actor|user|action|time|object|id|act|event|eventName|diff|asset|account)\":(1|null|\"[a-z(:@)]{0,5}\"|\\[\\]|\\{\"(id|type|ip|value)\":(\"a\"|[0-9]{1,25})\\}),?){0,6}\\}") {
        let text = text.replace(",}", "}");
        check(format, format!("<14>jumpserver: host_session_log - {text}").into_bytes())?;
        check(format, text.into_bytes())?;
    }
}
