//! Sources that fall silent, from the policy as written to the finding.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::sync::Arc;

use detect::RuleSet;
use detect::engine::Detector;
use detect::policy::load_text;
use detect::reference::Tables;
use model::{Batch, Finding, FindingStatus, LedgerIndex, LogSource, Millis, PlainEvent, StateKey, StateValue};
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

fn event(index: u64, at: Millis, source: &str) -> PlainEvent {
    // `a` and `c` tell of logons, `b` of commands, `docket` of itself and `late:<source>` of what was not read yet.
    let (class_uid, service) = match source {
        "b" => (1007, "bash"),
        "docket" => (6002, "audit"),
        s if s.starts_with("late:") => (6003, "audit"),
        _ => (3002, "sshd"),
    };
    let mut ocsf = serde_json::Map::new();
    if let Some(late) = source.strip_prefix("late:") {
        ocsf.insert("unmapped".into(), serde_json::json!({"sources": [late]}));
    }
    PlainEvent {
        uid: format!("t/0/{index}").into(),
        class_uid,
        time: at,
        ocsf,
        native: serde_json::Map::new(),
        system: None,
        commands: vec![],
        logsource: LogSource::new("linux", "", service),
    }
}

fn batches(detector: &Detector, first: usize, records: &[Rec]) -> Vec<Batch> {
    let mut by_source: BTreeMap<&str, Vec<(LedgerIndex, Millis, PlainEvent)>> = BTreeMap::new();
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
            Batch::plain(&source.into(), &events, detector.wanted())
        })
        .collect()
}

/// The findings' times and messages; the records are cut after each of `cuts`, where the detector is made anew.
fn run(register: &str, records: &[Rec], cuts: &[usize]) -> Vec<String> {
    let findings = judge(POLICIES, &[("source_register", register)], records, cuts);
    findings
        .iter()
        .filter(|f| f.status == FindingStatus::New)
        .map(|f| format!("{} {}", f.time.0 / 1000, f.message))
        .collect()
}

/// All revisions of the findings.
fn judge(policies: &str, reference: &[(&str, &str)], records: &[Rec], cuts: &[usize]) -> Vec<Finding> {
    let loaded = load_text(policies);
    assert!(loaded.errors.iter().all(|e| e.is_lint()), "{:?}", loaded.errors);
    let policies = Arc::new(loaded.policies);
    let mut tables = Tables::default();
    for (name, rows) in reference {
        tables.load(name, rows.as_bytes()).unwrap();
    }
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

/// The watch with everything that it knows; days are short here.
const LEARNING: &str = r#"
title: Silent
name: silent
level: high
docket:
  clauses: [LA-09]
  absence:
    each: [{table: source_register, as: register}]
    source: $register.source
    every: $register.max_silence_s
    learn: {warm_up: 1h, at_least: 1m, at_most: 7d}
    never: 2h
    within: $register.speaks
    site: $register.site
    anew: [{rule: started}, {rule: behind, source: $event.unmapped.sources}]
    grace: 30s
  message: "{silence.source} since {silence.last|ever} of {silence.max_s} s {silence.cadence}: {silence.blind|none}; {silence.partly|none}; {silence.clauses|none}"
---
title: Docket starts
name: started
logsource: {product: ocsf, category: application_lifecycle}
detection: {s: {docket.source: docket}, condition: s}
docket: {silent: true}
---
title: Docket is behind
name: behind
logsource: {product: ocsf, category: api_activity}
detection: {s: {unmapped.sources|exists: true}, condition: s}
docket: {silent: true}
---
title: Logons
name: logons
level: low
logsource: {product: ocsf, category: authentication}
detection: {s: {user.name: nobody}, condition: s}
docket: {clauses: [AU-09, AU-21]}
"#;

/// Each finding's time, and what it says, or how it ended.
fn told(register: &str, calendar: &str, records: &[Rec], cuts: &[usize]) -> Vec<String> {
    let findings = judge(
        LEARNING,
        &[("source_register", register), ("work_calendar", calendar)],
        records,
        cuts,
    );
    findings
        .iter()
        .map(|f| {
            let status = if f.status == FindingStatus::New { "" } else { "over " };
            format!("{status}{} {}", f.time.0 / 1000, f.message)
        })
        .collect()
}

/// Nobody works: all hours are alike.
const ALIKE: &str = r#"[{"tz": "UTC", "working_days": []}]"#;

#[test]
fn a_cadence_is_learned_and_a_silence_that_ends_says_how_long_it_was() {
    // Each minute for two hours; then nothing for ten minutes.
    let mut records: Vec<Rec> = (0..=120).map(|n| (n * 60, Some("a"))).collect();
    records.extend([
        (7200 + 149, None),
        (7200 + 150, None),
        (7800, Some("a")),
        (7830, Some("a")),
    ]);
    let said = "7290 a since 1970-01-01T02:00:00+00:00 of 90 s learned: Logons; none; AU-09, AU-21";
    assert_eq!(told("[]", ALIKE, &records[..122], &[]), [""; 0]);
    assert_eq!(
        told("[]", ALIKE, &records, &[]),
        [
            said.to_owned(),
            format!("over {said}; it sent again at 1970-01-01T02:10:00+00:00, after 10m00s")
        ]
    );
    // Before it is known for an hour nothing is said of it.
    let early: Vec<Rec> = (0..50).map(|n| (n * 60, Some("a"))).chain([(3599, None)]).collect();
    assert_eq!(told("[]", ALIKE, &early, &[]), [""; 0]);
    // It fell silent while it was not known well enough: said as soon as it is.
    let warm = [&early[..], &[(3600, None)]].concat();
    assert_eq!(told("[]", ALIKE, &warm, &[]).len(), 1);
}

#[test]
fn what_the_register_says_goes_before_what_is_learned() {
    let mut records: Vec<Rec> = (0..=120).map(|n| (n * 60, Some("a"))).collect();
    records.push((8000, None));
    let register = r#"[{"source": "a", "max_silence_s": 3600}, {"source": "b"}]"#;
    // `b` has no cadence and never sent: two hours are its own.
    assert_eq!(
        told(register, ALIKE, &records, &[]),
        ["7200 b since ever of 7200 s for the first record: none; none; none"]
    );
}

#[test]
fn nights_and_holidays_are_no_silence() {
    // Thursday and Friday 9 to 17; Monday is a holiday. Records each ten minutes of the working time.
    let calendar = r#"[{"tz": "UTC", "hours": ["09:00", "17:00"]}, {"date": "1970-01-05", "working_day": false}]"#;
    let day = 86_400;
    let at_work = |d: i64| (0..48).map(move |n| (d * day + 9 * 3600 + n * 600, Some("a")));
    let mut records: Vec<Rec> = at_work(0).chain(at_work(1)).collect();
    // Tuesday: it is silent from nine on, and was for the last ten minutes of Friday: 15 minutes, and the wait.
    let tuesday = 5 * day + 9 * 3600;
    records.extend([(tuesday + 5 * 60 + 59, None), (tuesday + 5 * 60 + 60, None)]);
    let register = r#"[{"source": "a", "max_silence_s": 900, "speaks": "working_hours"}]"#;
    for (register, basis) in [(register, "declared, working time"), ("[]", "learned, working time")] {
        let found = told(register, calendar, &records, &[]);
        let said = format!(
            "{} a since 1970-01-02T16:50:00+00:00 of 900 s {basis}: Logons; none; AU-09, AU-21",
            tuesday + 300
        );
        assert_eq!(found, [said]);
        assert_eq!(
            told(register, calendar, &records[..97], &[]),
            [""; 0],
            "a minute before"
        );
    }
    let always = r#"[{"source": "a", "max_silence_s": 900, "speaks": "always"}]"#;
    assert!(
        !told(always, calendar, &records[..49], &[]).is_empty(),
        "the night of Thursday"
    );
}

#[test]
fn what_docket_did_not_hear_is_no_silence() {
    let register = r#"[{"source": "a", "max_silence_s": 600, "speaks": "always"}]"#;
    // Down from 100 to 5000: the clock begins anew at 5000, with 30 s more.
    let down = [(0, Some("a")), (100, None), (5000, Some("docket")), (5689, None)];
    assert_eq!(told(register, ALIKE, &down, &[]), [""; 0]);
    let silent = [&down[..], &[(5690, None)]].concat();
    assert_eq!(
        told(register, ALIKE, &silent, &[]),
        ["5630 a since 1970-01-01T00:00:00+00:00 of 600 s declared: Logons; none; AU-09, AU-21"]
    );
    // Of a long cadence what was listened to counts on: 4 h before, 2 h and the grace after.
    let patient = r#"[{"source": "a", "max_silence_s": 21600, "speaks": "always"}]"#;
    let restarts = [(0, Some("a")), (14_400, None), (50_000, Some("docket")), (57_290, None)];
    assert_eq!(told(patient, ALIKE, &restarts[..3], &[]), [""; 0]);
    assert_eq!(
        told(patient, ALIKE, &restarts, &[]),
        ["57230 a since 1970-01-01T00:00:00+00:00 of 21600 s declared: Logons; none; AU-09, AU-21"]
    );
    // A backlog of `a` is being read: not silent, whatever the others send. Of `b` nothing is late.
    let behind = [
        (0, Some("a")),
        (600, Some("late:a")),
        (1200, Some("late:a")),
        (1800, Some("c")),
        (1889, None),
    ];
    assert_eq!(told(register, ALIKE, &behind, &[]), [""; 0]);
    let other = [(0, Some("a")), (600, Some("late:c")), (700, None)];
    assert_eq!(told(register, ALIKE, &other, &[]).len(), 1);
    // What was told stays told.
    let told_then = [(0, Some("a")), (700, None), (800, Some("docket")), (9000, None)];
    assert_eq!(told(register, ALIKE, &told_then, &[]).len(), 1);
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

    /// What is learned does not depend on the order of the records of one moment, nor on cuts and restarts.
    #[test]
    fn what_is_learned_depends_on_neither_order_nor_cuts(
        steps in prop::collection::vec((prop::sample::select(vec![0i64, 0, 1, 40, 90, 400, 5000]), prop::option::of(prop::sample::select(vec!["a", "b", "c", "docket", "late:a"]))), 20..150),
        cuts in prop::collection::btree_set(0usize..150, 0..5),
        working in any::<bool>(),
    ) {
        let mut at = 0;
        let records: Vec<Rec> = steps.into_iter().map(|(step, source)| { at += step; (at, source) }).collect();
        let calendar = if working { r#"[{"tz": "UTC", "hours": ["00:30", "02:00"]}]"# } else { ALIKE };
        let whole = told("[]", calendar, &records, &[]);
        let cuts: Vec<usize> = cuts.into_iter().filter(|c| *c < records.len()).collect();
        prop_assert_eq!(&told("[]", calendar, &records, &cuts), &whole);
        prop_assert_eq!(&told("[]", calendar, &records, &[]), &whole, "told again");
        // Docket's own acts stand where its one writer wrote them.
        let mut turned = records.clone();
        turned.retain(|(_, source)| source.is_none_or(|s| s.len() == 1));
        let mut other = turned.clone();
        turned.sort_by_key(|(at, source)| (*at, std::cmp::Reverse(*source)));
        other.sort_by_key(|(at, source)| (*at, *source));
        let sorted = |records: &[Rec]| { let mut t = told("[]", calendar, records, &[]); t.sort(); t };
        prop_assert_eq!(sorted(&turned), sorted(&other));
    }
}
