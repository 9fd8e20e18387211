//! Numbered logs: what is missing is told, once it cannot come any more in time, and taken back when it comes after all.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use self::harness::*;

mod harness;

const RULES: &str = r#"
title: Gap
name: gap
logsource: {product: ocsf, category: authentication}
detection: {s: {metadata.sequence|exists: true}, condition: s}
level: medium
docket:
  clauses: [LA-04]
  sequence: {number: $event.metadata.sequence, of: [$event.device.hostname], gap: 1, at_least: 3}
  message: "{sequence.from} to {sequence.to}"
---
title: Back
name: back
logsource: {product: ocsf, category: authentication}
detection: {s: {metadata.sequence|exists: true}, condition: s}
level: high
docket:
  clauses: [LA-05]
  sequence: {number: $event.metadata.sequence, of: [$event.device.hostname], backwards: 10m, at_least: 3}
  message: "{sequence.number} after {sequence.before_at}"
"#;

fn numbered(number: i64) -> Value {
    let mut event = logon("li", true, "10.9.0.1");
    event["metadata"] = json!({"sequence": number});
    event
}

/// Records of these numbers, a minute between them.
fn log(numbers: &[i64]) -> Vec<Rec> {
    let mut records: Vec<Rec> = numbers
        .iter()
        .enumerate()
        .map(|(n, number)| rec(n, n as f64, n as f64, numbered(*number)))
        .collect();
    records.push(tick(numbers.len() as f64 + 60.0));
    records
}

fn of(records: &[Rec], clause: &str) -> Vec<String> {
    told_of(&site(RULES, json!({})), records, clause)
}

#[test]
fn what_is_missing_is_told_with_the_records_around_it() {
    assert_eq!(of(&log(&[1, 2, 3, 4, 9, 10]), "LA-04"), ["4 Medium li [3 4] 5 to 8"]);
    // One missing number is allowed.
    assert!(of(&log(&[1, 2, 3, 4, 6, 7]), "LA-04").is_empty());
    // Two are too few to be sure of anything.
    assert!(of(&log(&[1, 2, 9, 10]), "LA-04").is_empty());
}

#[test]
fn what_comes_late_takes_it_back() {
    let late = |missing: &[i64]| {
        let mut records = log(&[1, 2, 3, 4, 8, 9]);
        let tick = records.pop().unwrap();
        for (n, number) in missing.iter().enumerate() {
            records.push(rec(10 + n, 3.0 + n as f64 / 10.0, 40.0 + n as f64, numbered(*number)));
        }
        records.push(tick);
        of(&records, "LA-04")
    };
    assert_eq!(late(&[]), ["4 Medium li [3 4] 5 to 7"]);
    // One is left, which is allowed.
    assert!(late(&[5, 6]).is_empty());
    assert!(late(&[6, 5, 7]).is_empty());
    // Told anew: two are left.
    assert_eq!(late(&[5]), ["4 Medium li [4 10] 6 to 7"]);
}

#[test]
fn a_log_that_begins_anew_or_skips_numbers_is_none() {
    assert!(of(&log(&[101, 102, 103, 104, 1, 2, 3]), "LA-04").is_empty());
    // What it counts anew is watched as well.
    assert_eq!(
        of(&log(&[101, 102, 103, 1, 2, 3, 4, 9]), "LA-04"),
        ["7 Medium li [6 7] 5 to 8"]
    );
    assert!(of(&log(&[1, 5, 9, 12, 20, 31, 44, 60]), "LA-04").is_empty());
}

#[test]
fn time_that_goes_back_is_told() {
    let back = |minute: f64, received: f64| {
        let mut records = log(&[1, 2, 3, 4, 5]);
        let tick = records.pop().unwrap();
        records.push(rec(9, minute, received, numbered(6)));
        records.push(tick);
        of(&records, "LA-05")
    };
    assert_eq!(
        back(-30.0, 5.0),
        ["-30 High li [4 9] 6 after 2026-05-04T02:04:00+00:00 [\"late\"]"]
    );
    assert!(back(-5.0, 5.0).is_empty(), "ten minutes are allowed");
    // Numbered in another order than that in which it was written.
    assert!(back(-30.0, 3.0).is_empty());
}

/// What is to be told, by the plain way: of all that ever came, in the order of numbers.
fn plain(numbers: &BTreeSet<i64>) -> Vec<String> {
    let sorted: Vec<i64> = numbers.iter().copied().collect();
    let mut told = Vec::new();
    for n in 1..sorted.len() {
        let (before, number) = (sorted[n - 1], sorted[n]);
        let holes = sorted[..n].windows(2).filter(|pair| pair[1] - pair[0] > 1).count();
        if number - before > 2 && n >= 3 && holes * 20 <= n {
            told.push(format!("{} to {}", before + 1, number - 1));
        }
    }
    told
}

proptest! {
    #[test]
    fn the_order_of_arrival_is_the_same_to_it(
        steps in prop::collection::vec(prop_oneof![60 => Just(1i64), 1 => 2i64..6], 1..70),
        delays in prop::collection::vec(0.0f64..300.0, 70),
        cuts in prop::collection::vec(0usize..70, 0..4),
        restart in any::<bool>(),
    ) {
        let mut number = 0;
        let mut records: Vec<Rec> = steps
            .iter()
            .enumerate()
            .map(|(n, step)| {
                number += step;
                rec(n, n as f64, n as f64 + delays[n], numbered(number))
            })
            .collect();
        let mut all = 0;
        let numbers: BTreeSet<i64> = steps.iter().map(|step| { all += step; all }).collect();
        records.sort_by_key(|r| r.received_at);
        records.push(tick(60.0 * 12.0));
        let site = site(RULES, json!({}));
        let findings = standing_with_labels(run(&site, &records, &cuts, restart).0);
        let mut told: Vec<(i64, String)> = findings
            .values()
            .filter(|f| f.clauses == ["LA-04"])
            .map(|f| (f.time.0, f.message.clone()))
            .collect();
        told.sort();
        let told: Vec<String> = told.into_iter().map(|(_, message)| message).collect();
        prop_assert_eq!(told, plain(&numbers));
    }
}
