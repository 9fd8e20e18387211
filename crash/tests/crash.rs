//! Every place, three times each.
#![cfg(feature = "failpoints")]
#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

mod child;

use std::path::Path;
use std::sync::Arc;

use alert::{Filter, Page, Store};
use crash::PLACES;
use detect::RuleSet;
use detect::engine::{Detector, Place, Spill};
use detect::policy::load_text;
use detect::reference::Tables;
use model::{Batch, LedgerIndex, LogSource, Millis, PlainEvent, StateStore as _};
use serde_json::{Value, json};

/// The test that runs itself as the process that dies.
const TEST: &str = "every_place_three_times";
const START: i64 = 1_777_860_000_000;
const RECORDS: u64 = 240;
const GROUP: u64 = 12;

const POLICIES: &str = r#"
title: Failed
name: failed
logsource: {product: ocsf, category: authentication}
detection: {s: {activity_id: 1, status_id: 2}, condition: s}
---
title: Logon
name: ok
logsource: {product: ocsf, category: authentication}
detection: {s: {activity_id: 1, status_id: 1}, condition: s}
---
title: Many failures
name: many
level: medium
correlation: {type: event_count, rules: [failed], group-by: [user.name], timespan: 10m, condition: {gte: 3}}
docket: {clauses: [AU-09], lateness: 20m, message: "{count} of {event.user.name}"}
---
title: Spraying
name: spray
level: high
correlation: {type: value_count, rules: [failed], group-by: [src_endpoint.ip], timespan: 10m, condition: {field: user.name, gte: 3}}
docket: {clauses: [AU-09], lateness: 20m}
---
title: Failures, then a success
name: guessed
level: high
correlation: {type: temporal_ordered, rules: [many, ok], group-by: [user.name], timespan: 10m}
docket: {clauses: [AU-09], lateness: 20m}
---
title: Nobody follows
name: silent
level: low
correlation: {type: event_count, rules: [ok], group-by: [user.name], timespan: 5m, condition: {eq: 0}}
docket: {clauses: [LA-09], lateness: 20m}
---
title: Sessions
name: sessions
logsource: {product: ocsf, category: ssh_activity}
detection: {s: {activity_id: 1}, condition: s}
docket:
  table: {key: [account], columns: {account: $event.user.name, at: {value: $event.time, take: last}}, keep: 20m}
---
title: Without a session
name: direct
logsource: {product: ocsf, category: authentication}
detection: {s: {activity_id: 1, status_id: 1}, condition: s}
level: high
docket:
  clauses: [AU-10]
  lateness: 20m
  lookup: [{table: sessions, key: {account: $event.user.name}, where: {time|gte: $event.time - 2m, time|lte: $event.time + 1m}, expect: none}]
  dedup: {by: [$event.user.name], window: 10m}
---
title: No logon after a session
name: unused
level: low
docket:
  absence: {after: opened, from: $event.time, by: $event.time + 3m, expect: ok, match: {user.name: $event.user.name}}
  clauses: [AU-22]
  lateness: 20m
---
title: Opened
name: opened
logsource: {product: ocsf, category: ssh_activity}
detection: {s: {activity_id: 1}, condition: s}
---
title: A new address
name: new_address
logsource: {product: ocsf, category: authentication}
detection: {s: {activity_id: 1}, condition: s}
level: informational
docket:
  clauses: [AU-21]
  lateness: 20m
  first_seen: {key: [$event.user.name], value: [$event.src_endpoint.ip], within: 1d, warm_up: 0s}
"#;

/// The records, always the same: some a few minutes late.
fn records() -> Vec<(Millis, Millis, Value)> {
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move |n: u64| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % n
    };
    let mut records: Vec<(Millis, Millis, Value)> = (0..RECORDS)
        .map(|i| {
            let time = START + i as i64 * 20_000;
            let late = if next(5) == 0 { next(300_000) as i64 } else { 1_000 };
            let (user, ip) = (format!("u{}", next(6)), format!("10.0.0.{}", next(4)));
            let event = match next(8) {
                0 => json!({"class_uid": 4007, "activity_id": 1, "user": {"name": user}}),
                1 | 2 => json!({"class_uid": 3002, "activity_id": 1, "status_id": 1, "user": {"name": user}, "src_endpoint": {"ip": ip}}),
                _ => json!({"class_uid": 3002, "activity_id": 1, "status_id": 2, "user": {"name": user}, "src_endpoint": {"ip": ip}}),
            };
            (Millis(time), Millis(time + late), event)
        })
        .collect();
    records.sort_by_key(|r| r.1);
    records
}

/// Judges from where the store stands to the end, as the server does.
fn judge(folder: &Path) {
    let loaded = load_text(POLICIES);
    assert!(
        loaded.errors.iter().all(detect::PolicyError::is_lint),
        "{:?}",
        loaded.errors
    );
    let (rules, errors) = RuleSet::compile(&loaded.policies);
    assert!(errors.is_empty(), "{errors:?}");
    let mut store = Store::open(folder.join(alert::FILE_NAME))
        .unwrap()
        .with_channels(["hook"]);
    let (position, state) = store.load().unwrap();
    // With next to no memory, so that groups are let go and read back.
    let spill: Box<dyn Spill> = Box::new(Heap::default());
    let policies = Arc::new(loaded.policies);
    let mut detector = Detector::spilling(
        policies,
        Arc::new(rules),
        Tables::default(),
        state,
        position,
        Some((spill, 4_000)),
    )
    .unwrap();
    let records = records();
    let mut first = position.0;
    while first < RECORDS {
        let end = (first / GROUP * GROUP + GROUP).min(RECORDS);
        let part: Vec<(LedgerIndex, Millis, PlainEvent)> = (first..end)
            .map(|i| {
                let (time, received_at, event) = &records[i as usize];
                let event = PlainEvent {
                    uid: format!("t/0/{i}").into(),
                    class_uid: event["class_uid"].as_u64().unwrap() as u32,
                    time: *time,
                    ocsf: event.as_object().unwrap().clone(),
                    native: serde_json::Map::new(),
                    system: None,
                    commands: vec![],
                    logsource: LogSource::new("linux", "", "sshd"),
                };
                (LedgerIndex(i), *received_at, event)
            })
            .collect();
        let span: Vec<(LedgerIndex, Millis)> = part.iter().map(|(i, at, _)| (*i, *at)).collect();
        let of = |class: u32| {
            let events: Vec<_> = part
                .iter()
                .filter(|e| e.2.class_uid == class)
                .map(|(i, at, e)| (*i, *at, e))
                .collect();
            Batch::plain(&"s".into(), &events, detector.wanted())
        };
        let batches = [of(3002), of(4007)];
        let now = span.last().map_or(Millis(0), |(_, at)| *at);
        let output = detector.process(&span, &batches);
        assert_eq!(detector.fault(), None);
        store.commit(&[output.delta], &output.findings, now).unwrap();
        first = end;
    }
}

/// All that a store says: alerts with their history, what waits to be sent, state, position.
fn said(folder: &Path) -> Vec<String> {
    let store = Store::open(folder.join(alert::FILE_NAME)).unwrap();
    let mut out = Vec::new();
    let filter = Filter {
        status: alert::Status::ALL.to_vec(),
        ..Filter::default()
    };
    let page = Page {
        limit: 1_000,
        before: None,
    };
    for alert in store.list(&filter, page).unwrap() {
        out.push(format!("{:?}", store.show(&alert.finding.uid).unwrap()));
    }
    out.extend(
        store
            .due("hook", Millis(i64::MAX), 1_000)
            .unwrap()
            .iter()
            .map(|n| format!("{n:?}")),
    );
    let (position, state) = store.load().unwrap();
    out.push(position.to_string());
    out.extend(state.iter().map(|(k, v)| format!("{k:?} {v:?}")));
    out
}

#[test]
fn every_place_three_times() {
    if child::works(judge) {
        return;
    }
    let calm = child::folder();
    assert!(child::run(TEST, calm.path(), "").success());
    let expected = said(calm.path());
    let alerts = expected.iter().filter(|l| l.starts_with("Detail")).count();
    assert!(alerts > 20, "the undisturbed run raised {alerts} alerts only");
    assert!(PLACES.len() >= 15);
    // A few at a time: a child waits for its disk more than it works.
    let cases: Vec<(&str, u32)> = PLACES.iter().flat_map(|p| [0, 2, 5].map(|n| (*p, n))).collect();
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some((place, n)) = cases.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                    let folder = child::folder();
                    let died = child::run(TEST, folder.path(), &format!("{place}={n}*off->1*panic"));
                    assert_eq!(died.code(), None, "{place} after {n}: it lives");
                    assert!(
                        child::run(TEST, folder.path(), "").success(),
                        "{place} after {n}: it does not go on"
                    );
                    let found = said(folder.path());
                    let only = |a: &[String], b: &[String]| -> Vec<String> {
                        a.iter().filter(|l| !b.contains(l)).take(3).cloned().collect()
                    };
                    let (lost, new) = (only(&expected, &found), only(&found, &expected));
                    assert!(
                        lost.is_empty() && new.is_empty(),
                        "{place} after {n}: {lost:#?} became {new:#?}"
                    );
                }
            });
        }
    });
}

#[derive(Default)]
struct Heap {
    lying: std::collections::BTreeMap<u64, Vec<u8>>,
    next: u64,
}

impl Spill for Heap {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<Place> {
        self.next += 1;
        self.lying.insert(self.next, bytes.to_vec());
        Ok(Place {
            segment: 0,
            offset: self.next,
            bytes: bytes.len() as u32,
        })
    }

    fn read(&mut self, place: Place) -> std::io::Result<Vec<u8>> {
        self.lying
            .get(&place.offset)
            .cloned()
            .ok_or_else(|| std::io::Error::other("nothing lies there"))
    }

    fn free(&mut self, place: Place) {
        self.lying.remove(&place.offset);
    }
}
