//! Sources that fall silent, from the policy as written to the finding.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::sync::Arc;

use detect::RuleSet;
use detect::engine::Detector;
use detect::policy::load_text;
use detect::reference::Tables;
use model::{Batch, Event, Finding, LedgerIndex, LogSource, Millis, StateKey, StateValue};
use proptest::prelude::*;

const POLICIES: &str = r#"
title: Silent
name: silent
level: high
docket:
  clauses: [LA-09]
  absence:
    each: [{table: source_register, as: register, where: {max_silence_s|exists: true}}]
    source: $register.source
    every: $register.max_silence_s
  message: "{register.source} since {silence.last|ever}: {silence.blind|none}"
---
title: Logons
name: logons
level: low
logsource: {product: ocsf, category: authentication}
detection: {s: {user.name: nobody}, condition: s}
docket: {clauses: [AU-09]}
---
title: Commands
name: commands
level: low
logsource: {product: linux, service: bash}
detection: {s: {user: nobody}, condition: s}
docket: {clauses: [DS-11]}
---
title: Many commands
correlation: {type: event_count, rules: [commands], group-by: [user], timespan: 1h, condition: {gte: 3}}
level: low
docket: {clauses: [DS-11]}
"#;

const REGISTER: &str =
    r#"[{"source": "a", "max_silence_s": 600}, {"source": "b", "max_silence_s": "1200"}, {"source": "c"}]"#;

/// A record: second at which it was received, and its source; none is a tick.
type Rec = (i64, Option<&'static str>);

fn event(index: u64, at: Millis, source: &str) -> Event {
    // `a` and `c` tell of logons, `b` of commands.
    let (class_uid, service) = if source == "b" { (1007, "bash") } else { (3002, "sshd") };
    Event {
        uid: format!("t/0/{index}").into(),
        class_uid,
        time: at,
        ocsf: serde_json::Map::new(),
        native: serde_json::Map::new(),
        system: None,
        commands: vec![],
        logsource: LogSource::new("linux", "", service),
    }
}

fn batches(detector: &Detector, first: usize, records: &[Rec]) -> Vec<Batch> {
    let mut by_source: BTreeMap<&str, Vec<(LedgerIndex, Millis, Event)>> = BTreeMap::new();
    for (index, (at, source)) in (first as u64..).zip(records) {
        if let Some(source) = source {
            let at = Millis(at * 1000);
            by_source
                .entry(source)
                .or_default()
                .push((LedgerIndex(index), at, event(index, at, source)));
        }
    }
    by_source
        .into_iter()
        .map(|(source, events)| {
            let events: Vec<_> = events.iter().map(|(i, at, e)| (*i, *at, e)).collect();
            Batch::build(&source.into(), &events, detector.wanted())
        })
        .collect()
}

/// The findings' times and messages; the records are cut after each of `cuts`, where the detector is made anew.
fn run(register: &str, records: &[Rec], cuts: &[usize]) -> Vec<String> {
    let loaded = load_text(POLICIES);
    assert!(loaded.errors.iter().all(|e| e.is_lint()), "{:?}", loaded.errors);
    let policies = Arc::new(loaded.policies);
    let mut tables = Tables::default();
    tables.load("source_register", register.as_bytes()).unwrap();
    let mut state: BTreeMap<StateKey, StateValue> = BTreeMap::new();
    let mut findings: Vec<Finding> = Vec::new();
    let mut start = 0;
    for end in cuts.iter().copied().chain([records.len()]) {
        let rules = Arc::new(RuleSet::compile(&policies).0);
        let rows = state.clone().into_iter().collect();
        let mut detector =
            Detector::new(policies.clone(), rules, tables.clone(), rows, LedgerIndex(start as u64)).unwrap();
        let part = &records[start..end];
        let span: Vec<_> = (start as u64..)
            .zip(part)
            .map(|(i, (at, _))| (LedgerIndex(i), Millis(at * 1000)))
            .collect();
        let output = detector.process(&span, &batches(&detector, start, part));
        state.extend(output.delta.put);
        output.delta.delete.iter().for_each(|k| drop(state.remove(k)));
        findings.extend(output.findings);
        start = end;
    }
    findings
        .iter()
        .map(|f| format!("{} {}", f.time.0 / 1000, f.message))
        .collect()
}

#[test]
fn a_silence_is_told_once_when_it_is_over_the_limit() {
    let records = [(0, Some("a")), (0, Some("b")), (500, Some("a")), (1160, None)];
    // 500 + 600, and 60 s of wait at 1160; `b` may go on for longer.
    assert_eq!(
        run(REGISTER, &records, &[]),
        ["1100 a since 1970-01-01T00:08:20+00:00: Logons"]
    );
    assert!(run(REGISTER, &records[..3], &[]).is_empty());
    let early = [(0, Some("a")), (0, Some("b")), (500, Some("a")), (1159, None)];
    assert!(run(REGISTER, &early, &[]).is_empty());
    let on = [
        &records[..],
        &[
            (1200, None),
            (1500, Some("a")),
            (2100, None),
            (2160, None),
            (9000, Some("a")),
        ],
    ]
    .concat();
    assert_eq!(
        run(REGISTER, &on, &[]),
        [
            "1100 a since 1970-01-01T00:08:20+00:00: Logons",
            "1200 b since 1970-01-01T00:00:00+00:00: Commands, Many commands",
            "2100 a since 1970-01-01T00:25:00+00:00: Logons"
        ]
    );
}

#[test]
fn a_policy_that_another_source_feeds_is_not_blind() {
    let records = [(0, Some("a")), (10, Some("c")), (2000, Some("c"))];
    assert_eq!(
        run(REGISTER, &records, &[]),
        ["600 a since 1970-01-01T00:00:00+00:00: none", "1200 b since ever: none"]
    );
}

#[test]
fn a_row_that_is_not_valid_asks_for_nothing() {
    let register = r#"[{"source": "a", "max_silence_s": 600, "valid_to": "1970-01-01T00:10:00Z"}]"#;
    assert!(run(register, &[(0, Some("a")), (5000, None)], &[]).is_empty());
}

proptest! {
    /// However the records are cut and wherever the detector is made anew, the same is told at the same time: where
    /// `every` and `wait` go by between two records of a source.
    #[test]
    fn told_as_the_plain_version_says(
        steps in prop::collection::vec((0i64..900, prop::option::of(prop::sample::select(vec!["a", "b", "c"]))), 1..40),
        cuts in prop::collection::btree_set(0usize..40, 0..5)
    ) {
        let mut at = 0;
        let records: Vec<Rec> = steps.into_iter().map(|(step, source)| { at += step; (at, source) }).collect();
        let mut expected = Vec::new();
        for (source, every) in [("a", 600), ("b", 1200)] {
            let own = records.iter().filter(|(_, s)| *s == Some(source)).map(|(at, _)| *at);
            let begins: Vec<i64> = [records[0].0].into_iter().chain(own).collect();
            for (n, begin) in begins.iter().enumerate() {
                let end = begins.get(n + 1).copied().unwrap_or(i64::MAX).min(records.last().unwrap().0);
                if begin + every + 60 <= end {
                    expected.push((begin + every, source));
                }
            }
        }
        expected.sort_unstable();
        let cuts: Vec<usize> = cuts.into_iter().filter(|c| *c < records.len()).collect();
        let mut told: Vec<(i64, String)> = run(REGISTER, &records, &cuts)
            .iter()
            .map(|line| {
                let mut words = line.split(' ');
                (words.next().unwrap().parse().unwrap(), words.next().unwrap().to_owned())
            })
            .collect();
        told.sort_unstable();
        let expected: Vec<(i64, String)> = expected.into_iter().map(|(at, s)| (at, s.to_owned())).collect();
        prop_assert_eq!(told, expected);
        prop_assert_eq!(run(REGISTER, &records, &cuts), run(REGISTER, &records, &[]));
    }
}
