//! Events that mean harm: nothing is lost, nothing panics, what can be found is found.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use model::{Batch, LedgerIndex, LogSource, Millis, PlainEvent};
use proptest::prelude::*;
use search::{NoText, Query, Request, Total};
use serde_json::{Map, Value, json};

fn event(uid: String, time: i64, ocsf: Value) -> PlainEvent {
    let Value::Object(ocsf) = ocsf else { panic!("an object") };
    let (native, commands, logsource) = (Map::new(), vec![], LogSource::default());
    PlainEvent {
        uid: uid.into(),
        class_uid: 0,
        time: Millis(time),
        ocsf,
        native,
        system: None,
        commands,
        logsource,
    }
}

fn batch(events: &[PlainEvent]) -> Batch {
    let source: Arc<str> = "s".into();
    let rows: Vec<_> = events
        .iter()
        .enumerate()
        .map(|(i, e)| (LedgerIndex(i as u64), Millis(0), e))
        .collect();
    Batch::plain(&source, &rows, &search::wanted())
}

fn count(searcher: &search::Searcher, query: &str) -> Total {
    searcher
        .search(&Request::new(Query::parse(query, None).unwrap()), &NoText)
        .unwrap()
        .total
}

#[test]
fn large_and_strange_values_are_indexed() {
    let long = "x".repeat(100_000);
    let deep = (0..200).fold(json!(1), |inner, _| json!({ "a": inner }));
    let many: Map<String, Value> = (0..5000).map(|n| (format!("k{n}"), json!(n))).collect();
    let events = vec![
        event(
            "t/0/0".into(),
            0,
            json!({"raw_data": "a".repeat(4 << 20), "process": {"cmd_line": "审".repeat(1 << 20)}}),
        ),
        event(
            "t/0/1".into(),
            i64::MAX,
            json!({"user": {"name": long.clone() + "1"}, "raw_data": ""}),
        ),
        event(
            "t/0/2".into(),
            i64::MIN,
            json!({"user": {"name": long.clone() + "2"}, "raw_data": "\u{0}\u{1}\n"}),
        ),
        event(
            "no coordinate".into(),
            0,
            json!({"unmapped": deep, "severity_id": "high", "status_id": 77}),
        ),
        event(
            "t/0/4".into(),
            0,
            json!({"unmapped": many, "http_response": {"code": -5, "length": 1e300}}),
        ),
        event(
            "t/0/5".into(),
            0,
            json!({"user": {"name": "a\u{0}b"}, "src_endpoint": {"ip": "999.1.1.1\u{0}"}, "metadata": {"labels": [1, null, {"x": []}, ""]}}),
        ),
    ];
    let dir = tempfile::tempdir().unwrap();
    let mut writer = support::open(dir.path());
    writer.add(&[batch(&events)], LedgerIndex(6)).unwrap();
    writer.commit().unwrap();
    let searcher = writer.searcher();
    assert_eq!(count(&searcher, ""), Total::Exact(6));
    assert_eq!(count(&searcher, "cmd:审审审"), Total::Exact(1));
    assert_eq!(count(&searcher, "user:*"), Total::Exact(3));
    assert_eq!(count(&searcher, "record:\"no coordinate\""), Total::Exact(1));
    assert_eq!(count(&searcher, "record:t/0/4"), Total::Exact(1));
    assert_eq!(count(&searcher, "unmapped.k7:7"), Total::Exact(1));
    assert_eq!(count(&searcher, "status:unknown"), Total::Exact(1));
    assert_eq!(count(&searcher, "src:999*"), Total::Exact(1));
    // Values that differ only past the bound are different ones, and too long to ask for.
    let terms = searcher.terms(&Request::new(Query::all()), "user", 9, &NoText).unwrap();
    assert_eq!((terms.distinct, terms.missing, terms.total), (3, 3, 6));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_text_anywhere_is_found_by_its_record(texts in prop::collection::vec(any::<String>(), 1..20)) {
        let events: Vec<PlainEvent> = texts
            .iter()
            .enumerate()
            .map(|(n, t)| event(format!("t/0/{n}"), n as i64, json!({
                "user": {"name": t}, "device": {"hostname": t}, "process": {"cmd_line": t}, "message": t, "raw_data": t,
                "src_endpoint": {"ip": t}, "unmapped": {t.clone(): t, "ticket_id": t}, "metadata": {"labels": [t, t]},
            })))
            .collect();
        let dir = tempfile::tempdir().unwrap();
        let mut writer = support::open(dir.path());
        writer.add(&[batch(&events)], LedgerIndex(events.len() as u64)).unwrap();
        writer.commit().unwrap();
        let searcher = writer.searcher();
        for (n, text) in texts.iter().enumerate() {
            prop_assert_eq!(count(&searcher, &format!("record:t/0/{n}")), Total::Exact(1));
            let quoted = format!("user:\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
            if !text.is_empty() {
                prop_assert_ne!(count(&searcher, &quoted), Total::Exact(0), "{}", quoted);
            }
        }
    }
}
