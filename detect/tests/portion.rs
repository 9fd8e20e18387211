//! What part of a source's events a rule's events are: judged when the span is over, and again when more comes.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use self::harness::*;

mod harness;

const RULES: &str = r#"
title: Part
name: part
logsource: {product: ocsf, category: authentication}
detection: {s: {status_id: 2}, condition: s}
level: medium
docket:
  clauses: [LA-02]
  portion: {every: 1h, at_least: 10, part_at_least: 2, more_than: 12.5}
  dedup: {by: [$event.docket.source], window: 1h}
  message: "{portion.part} of {portion.all} from {portion.from}"
"#;

/// A record each: its minute, when it came, and whether it succeeded.
fn records(of: &[(f64, f64, bool)]) -> Vec<Rec> {
    let mut records: Vec<Rec> = of
        .iter()
        .enumerate()
        .map(|(n, (minute, received, ok))| rec(n, *minute, *received, logon("li", *ok, "10.9.0.1")))
        .collect();
    records.sort_by(|a, b| a.received_at.cmp(&b.received_at));
    records
}

/// So many in the first minutes of an hour, of which the first few failed.
fn hour(all: usize, failed: usize) -> Vec<(f64, f64, bool)> {
    (0..all).map(|n| (n as f64, n as f64, n >= failed)).collect()
}

fn told_after(mut of: Vec<(f64, f64, bool)>, late: &[(f64, f64, bool)]) -> Vec<String> {
    of.extend(late);
    let mut records = records(&of);
    records.push(tick(600.0));
    told_of(&site(RULES, json!({})), &records, "LA-02")
}

#[test]
fn more_than_the_part_is_told_with_its_events() {
    let told = told_after(hour(15, 2), &[]);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("[0 1] 2 of 15 from 2026-05-04T02:00"), "{told:?}");
    // An eighth is allowed.
    assert!(told_after(hour(16, 2), &[]).is_empty());
}

#[test]
fn a_few_say_nothing() {
    assert!(told_after(hour(9, 5), &[]).is_empty());
    assert!(told_after(hour(10, 1), &[]).is_empty());
    assert_eq!(told_after(hour(10, 2), &[]).len(), 1);
    // An event of the next hour is none of this one.
    assert!(told_after(hour(9, 5), &[(60.0, 60.0, true)]).is_empty());
}

#[test]
fn what_comes_late_is_counted() {
    // It dilutes what was told …
    let two_more = [(20.0, 200.0, true), (21.0, 200.0, true)];
    assert!(told_after(hour(15, 2), &two_more).is_empty());
    // … or is one too many.
    let told = told_after(hour(16, 2), &[(20.0, 200.0, false)]);
    assert!(told[0].contains("3 of 17"), "{told:?}");
    // The first of them is another then.
    let told = told_after(hour(16, 2), &[(-0.5, 200.0, false), (0.0, 200.0, false)]);
    assert!(told[0].contains("3 of 17"), "{told:?}");
}

/// The plain way: hour by hour, of all that ever came.
fn plain(of: &[(f64, f64, bool)]) -> Vec<String> {
    let mut hours: BTreeMap<i64, (u64, u64)> = BTreeMap::new();
    for (minute, _, ok) in of {
        let (part, all) = hours.entry((minute / 60.0).floor() as i64).or_default();
        *all += 1;
        *part += u64::from(!ok);
    }
    let told = hours
        .values()
        .filter(|(part, all)| *all >= 10 && *part >= 2 && part * 8 > *all);
    told.map(|(part, all)| format!("{part} of {all}")).collect()
}

proptest! {
    #[test]
    fn the_order_of_arrival_is_the_same_to_it(
        of in prop::collection::vec((0.0f64..240.0, 0.0f64..300.0, prop::bool::weighted(0.85)), 1..120),
        cuts in prop::collection::vec(0usize..120, 0..4),
        restart in any::<bool>(),
    ) {
        let of: Vec<(f64, f64, bool)> = of.into_iter().map(|(at, delay, ok)| (at, at + delay, ok)).collect();
        let mut records = records(&of);
        records.push(tick(60.0 * 12.0));
        let site = site(RULES, json!({}));
        let (findings, store) = run(&site, &records, &cuts, restart);
        let mut told: Vec<(i64, String)> = standing_with_labels(findings)
            .values()
            .map(|f| (f.time.0, f.message.split(" from").next().unwrap_or_default().to_owned()))
            .collect();
        told.sort();
        let told: Vec<String> = told.into_iter().map(|(_, message)| message).collect();
        prop_assert_eq!(told, plain(&of));
        prop_assert!(!store.is_empty());
    }

    #[test]
    fn it_is_forgotten(of in prop::collection::vec((0.0f64..60.0, any::<bool>()), 1..40)) {
        let of: Vec<(f64, f64, bool)> = of.into_iter().map(|(at, ok)| (at, at, ok)).collect();
        let mut records = records(&of);
        records.push(tick(60.0 * 24.0 * 9.0));
        let (_, store) = run(&site(RULES, json!({})), &records, &[], false);
        prop_assert!(store.keys().all(|key| key[0] != b'V'), "{:?}", store.keys());
    }
}
