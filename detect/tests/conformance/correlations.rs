//! Correlations and filters: rules `a`, `b` and `c` (`f: a`, `f: b`, `f: c`, level low) feed the correlation `x`.
//!
//! A case has `correlation`, and events with the time at which they happened, in the order in which they are received:
//! `at 5s: {…}`, or `at 5s received 20s: {…}`. `fires`: the times of the findings of `x`. `document` adds a document,
//! `others` are the findings of other policies (`a@5s`). Or `error`, as for rules.

use std::collections::BTreeMap;
use std::sync::Arc;

use detect::RuleSet;
use detect::engine::Detector;
use detect::policy::{SourceFile, load};
use detect::reference::Tables;
use model::{Batch, FindingStatus, LedgerIndex, Millis};

use super::{Case, cases, event, folder, placeholders, run};

/// 2026-05-04T02:00:00Z.
const START: i64 = 1_777_860_000_000;
const HOUR: i64 = 3_600_000;

#[test]
fn every_correlation_fires_when_it_should() {
    run(&cases(&folder().join("correlations")), check);
}

fn seconds(text: &str) -> i64 {
    let seconds: f64 = text
        .trim_end_matches('s')
        .parse()
        .unwrap_or_else(|_| panic!("no time: {text}"));
    (seconds * 1000.0).round() as i64
}

fn check(case: &Case) -> Result<(), String> {
    let mut policies: String = ["a", "b", "c"]
        .iter()
        .map(|n| {
            format!(
                "title: {n}\nname: {n}\nlevel: low\nlogsource: {{product: test}}\n\
                 detection: {{s: {{f: {n}}}, condition: s}}\n---\n"
            )
        })
        .collect();
    let (mut events, mut fires, mut others, mut error) = (Vec::new(), String::new(), String::new(), None);
    for line in &case.lines {
        if let Some(text) = line.strip_prefix("at ") {
            let (times, fields) = text.split_once(": ").ok_or("an event has fields")?;
            let (at, received) = times.split_once(" received ").unwrap_or((times, times));
            events.push((seconds(at), seconds(received), fields));
        } else if let Some(text) = line.strip_prefix("fires: ") {
            fires = text.to_owned();
        } else if let Some(text) = line.strip_prefix("others: ") {
            others = text.to_owned();
        } else if let Some(text) = line.strip_prefix("error: ") {
            error = Some(text);
        } else if let Some(text) = line.strip_prefix("document: ") {
            policies += &format!("{text}\n---\n");
        } else {
            policies += &format!("title: x\nname: x\nlevel: high\ndocket: {{dedup: {{window: 1ms}}}}\n{line}\n---\n");
        }
    }
    let loaded = load(&[SourceFile::new("case.yml", policies)], &placeholders());
    let wrong: Vec<String> = loaded
        .errors
        .iter()
        .filter(|e| !e.is_lint())
        .map(ToString::to_string)
        .collect();
    if let Some(expected) = error {
        return match wrong.iter().any(|m| m.contains(expected)) {
            true => Ok(()),
            false => Err(format!("errors: {wrong:?}")),
        };
    }
    if !wrong.is_empty() {
        return Err(wrong.join("\n"));
    }
    let (rules, errors) = RuleSet::compile(&loaded.policies);
    assert!(errors.is_empty());
    let mut detector = Detector::new(
        Arc::new(loaded.policies),
        Arc::new(rules),
        Tables::default(),
        Vec::new(),
        LedgerIndex(0),
    )
    .unwrap();
    let source: Arc<str> = "test".into();
    let mut last = BTreeMap::new();
    let mut keep = |output: detect::engine::Output| {
        last.extend(output.findings.into_iter().map(|f| (f.uid.clone(), f)));
    };
    let mut now = 0;
    for (n, (at, received, fields)) in events.iter().enumerate() {
        now = now.max(*received);
        let index = LedgerIndex(n as u64);
        let event = event(fields, &format!("t/0/{n}"), Millis(START + at));
        let received = Millis(START + received);
        let batch = Batch::plain(&source, &[(index, received, &event)], detector.wanted());
        keep(detector.process(&[(index, received)], &[batch]));
    }
    keep(detector.advance(Millis(START + now + 2 * HOUR)));
    let mut own = Vec::new();
    let mut rest = Vec::new();
    for finding in last.values() {
        if finding.status == FindingStatus::Resolved || finding.labels.iter().any(|l| l == "superseded") {
            continue;
        }
        let at = (finding.time.0 - START) as f64 / 1000.0;
        if finding.policy.title == "x" {
            own.push((finding.time, format!("{at}s")));
        } else {
            rest.push((finding.time, format!("{}@{at}s", finding.policy.title)));
        }
    }
    let line = |mut found: Vec<(Millis, String)>| {
        found.sort();
        found.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(" ")
    };
    let found = (line(own), line(rest));
    if found == (fires.clone(), others.clone()) {
        Ok(())
    } else {
        Err(format!("fires {:?}, expected {:?}", found, (fires, others)))
    }
}
