//! One statement about very many people: an event for each of them, but not its whole text times their number.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::fs;

use ingest::replay::{Options, Reading, open};
use ingest::{Normalizer, Settings, SourceSettings};
use model::{Millis, PlainEvent};
use serde_json::Value;

/// The events of a statement that makes so many accounts, read from a file as a shipper's.
fn accounts(count: usize) -> (Vec<PlainEvent>, usize) {
    let users: Vec<String> = (0..count).map(|n| format!("\\'u{n}\\'@\\'%\\'")).collect();
    let line = format!(
        "20261122 02:43:14,db-1,root,localhost,4,4,QUERY,mysql,'CREATE USER {}',0\n",
        users.join(", ")
    );
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.log");
    fs::write(&path, &line).unwrap();
    let options = Options {
        reading: Reading::Lines,
        ..Options::new(Millis::parse("2026-11-22T00:00:00Z").unwrap())
    };
    let record = open(&path, options).unwrap().next().unwrap().unwrap();
    let normalizer = Normalizer::new(Settings {
        default: SourceSettings {
            format: Some("mysql_audit".into()),
            ..SourceSettings::default()
        },
        ..Settings::default()
    });
    (normalizer.normalize_plain(&record).events, line.len())
}

fn is_cut(event: &PlainEvent) -> bool {
    let labels = event
        .get("metadata.labels")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    labels.filter_map(Value::as_str).any(|label| label == "people.cut")
}

fn made(events: &[PlainEvent]) -> usize {
    events.iter().filter(|e| e.class_uid == 3001).count()
}

#[test]
fn each_of_a_few_has_an_event() {
    let (events, _) = accounts(60);
    assert_eq!(made(&events), 60);
    assert!(!events.iter().any(is_cut));
}

#[test]
fn of_very_many_the_text_is_repeated_no_more_than_is_allowed() {
    let (events, bytes) = accounts(5_000);
    assert_eq!(made(&events), 3, "of 70 KB");
    assert!(is_cut(events.last().unwrap()));
    let all: usize = events
        .iter()
        .map(|e| serde_json::to_string(&e.ocsf).unwrap().len())
        .sum();
    assert!(all < 16 * bytes, "{all} of {bytes}");
}
