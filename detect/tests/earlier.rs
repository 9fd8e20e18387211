//! State that an earlier version wrote, each item a row of its own, goes on: it finds what a detector finds that was there all the time.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::collections::BTreeSet;

use detect::engine::Detector;
use model::{Finding, LedgerIndex, Millis};
use serde_json::json;

use self::harness::*;

mod harness;

const POLICIES: &str = "
title: a failure
name: failed
logsource: {product: ocsf, category: authentication}
detection: {s: {status_id: 2}, condition: s}
---
title: many failures
id: many
level: low
correlation: {type: event_count, rules: [failed], group-by: [user.name], timespan: 30m, condition: {gte: 3}}
---
title: a logoff
name: left
logsource: {product: ocsf, category: authentication}
detection: {s: {activity_id: 2}, condition: s}
---
title: those who left
name: leavers
logsource: {product: ocsf, category: authentication}
detection: {s: {activity_id: 2}, condition: s}
docket: {table: {columns: {user: $event.user.name}, keep: 1h}}
---
title: somebody came who had not left
id: came
level: medium
logsource: {product: ocsf, category: authentication}
detection: {s: {activity_id: 1, status_id: 1}, condition: s}
docket: {lookup: [{table: leavers, as: left, key: {user: $event.user.name}, expect: none}], dedup: {by: [$event.user.name], window: 1h}}
---
title: somebody came who had left
id: again
level: medium
logsource: {product: ocsf, category: authentication}
detection: {s: {activity_id: 1, status_id: 1}, condition: s}
docket: {lookup: [{table: leavers, as: left, key: {user: $event.user.name}}], message: 'left at {left.time}'}
---
title: from far
id: far
level: high
logsource: {product: ocsf, category: authentication}
detection: {s: {src_endpoint.ip: 10.9.9.9}, condition: s}
docket: {dedup: {by: [$event.user.name], window: 2h}, message: 'from {event.src_endpoint.ip}'}
---
title: failed, and did not leave
id: stayed
level: low
docket:
  absence: {after: failed, from: $event.time - 5m, by: $event.time + 10m, expect: left, match: {user.name: $event.user.name}}
";

/// What an earlier version wrote when it had seen [`SEEN`] of the records: a key and a value a line, hexadecimal.
const STATE: &str = include_str!("harness/earlier-state.txt");
const SEEN: usize = 30;

fn records() -> Vec<Rec> {
    let mut records: Vec<Rec> = (0..60)
        .map(|n| {
            let user = ["li", "wu", "eve"][n % 3];
            let ip = if n % 7 == 0 { "10.9.9.9" } else { "10.8.0.1" };
            let mut event = logon(user, n % 4 != 1, ip);
            if n % 5 == 3 {
                event["activity_id"] = json!(2);
            }
            // Some come late.
            let minute = n as f64 * 1.5;
            rec(n, minute, minute + if n % 6 == 2 { 0.0 } else { 4.0 }, event)
        })
        .collect();
    records.sort_by_key(|r| r.received_at);
    records.push(tick(60.0 * 24.0 * 4.0));
    records
}

fn process(detector: &mut Detector, store: &mut Store, first: usize, records: &[Rec]) -> Vec<Finding> {
    let span: Vec<(LedgerIndex, Millis)> = (first as u64..)
        .zip(records)
        .map(|(i, r)| (LedgerIndex(i), r.received_at))
        .collect();
    let output = detector.process(&span, &batches(detector, first as u64, records));
    apply(store, &output.delta);
    output.findings
}

#[test]
fn the_state_of_an_earlier_version_goes_on() {
    let (site, records) = (site(POLICIES, json!({})), records());
    let make = |state: &Store, seen: usize| {
        Detector::new(
            site.policies.clone(),
            site.rules.clone(),
            site.tables.clone(),
            state.clone().into_iter().collect(),
            LedgerIndex(seen as u64),
        )
        .unwrap()
    };
    let line = |line: &str| {
        let (key, value) = line.split_once(' ').unwrap();
        (hex::decode(key).unwrap(), hex::decode(value).unwrap())
    };
    let mut store: Store = STATE.lines().map(line).collect();
    let kinds: BTreeSet<u8> = store.keys().map(|key| key[0]).collect();
    assert_eq!(
        String::from_utf8_lossy(&kinds.into_iter().collect::<Vec<_>>()),
        "ABEFKORSWX"
    );
    let mut there = Store::new();
    let mut detector = make(&there, 0);
    process(&mut detector, &mut there, 0, &records[..SEEN]);
    let mut earlier = make(&store, SEEN);
    // Once more in the middle, from what is half of both versions.
    for (from, to) in [(SEEN, SEEN + 10), (SEEN + 10, records.len())] {
        let wanted = process(&mut detector, &mut there, from, &records[from..to]);
        let found = process(&mut earlier, &mut store, from, &records[from..to]);
        assert!(!wanted.is_empty());
        assert_eq!(last(found), last(wanted));
        earlier = make(&store, to);
    }
    let named = |store: &Store| -> BTreeSet<u8> { items(store).into_iter().map(|item| item[0]).collect() };
    assert_eq!(named(&store), named(&there));
}
