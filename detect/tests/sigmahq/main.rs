//! Every rule of the public SigmaHQ repository loads and compiles.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod archive;
mod generate;

use std::collections::BTreeMap;
use std::sync::Arc;

use detect::RuleSet;
use detect::plain::{self, BatchRow};
use detect::policy::{Policies, SourceFile, load};
use model::{Batch, LedgerIndex, LogSource, Millis, PlainEvent};

use self::generate::Generated;

fn rules() -> Option<Vec<SourceFile>> {
    archive::rules(env!("CARGO_MANIFEST_DIR"), 2)
}

#[test]
fn every_sigmahq_rule_compiles() {
    let Some(files) = rules() else { return };
    assert_eq!(files.len(), 3_757);
    assert_eq!(archive::core(&files).len(), 3_141);
    assert_eq!(archive::servers(&files).len(), 603);
    let start = std::time::Instant::now();
    let loaded = load(&files, &Default::default());
    let read = start.elapsed();
    let (set, errors) = RuleSet::compile(&loaded.policies);
    println!(
        "{} policies, read in {read:?}, compiled in {:?}",
        loaded.policies.all().len(),
        start.elapsed() - read
    );
    let wrong: Vec<_> = loaded.errors.iter().chain(&errors).filter(|e| !e.is_lint()).collect();
    for e in &wrong {
        println!("{e}");
    }
    for lint in loaded.errors.iter().filter(|e| e.is_lint()).take(20) {
        println!("{lint}");
    }
    assert!(wrong.is_empty());
    assert_eq!(loaded.policies.all().len(), files.len());
    assert!(set.wanted().len() > 300, "{}", set.wanted().len());
}

/// Events for this test; the bench (`benches/rsigma`) takes 50,000 and more.
const EVENTS: usize = 200;

#[test]
fn compiled_equals_plain_on_events_made_of_the_rules() {
    let Some(files) = rules() else { return };
    for (files, seed) in [(archive::servers(&files), 1), (archive::core(&files), 2)] {
        let loaded = load(&files, &BTreeMap::new());
        let (set, _) = RuleSet::compile(&loaded.policies);
        let events = generate::events(&loaded.policies, seed, EVENTS);
        let (pairs, hit) = compare(&loaded.policies, &set, &events);
        println!(
            "{} rules, {EVENTS} events: {pairs} matches, {hit} events with one",
            set.len()
        );
        assert!(hit * 4 > EVENTS, "{hit} of {EVENTS} events with a match say little");
        assert!(hit < EVENTS, "near misses miss");
    }
}

/// Asserts that both evaluators say the same, and counts the matches and the events with one.
fn compare(policies: &Policies, set: &RuleSet, generated: &[Generated]) -> (usize, usize) {
    let mut by_source: BTreeMap<&LogSource, Vec<PlainEvent>> = BTreeMap::new();
    for g in generated {
        by_source.entry(&g.logsource).or_default().push(PlainEvent {
            uid: "t/0/0".into(),
            class_uid: 0,
            time: Millis(0),
            ocsf: serde_json::Map::new(),
            native: g.fields.clone(),
            system: None,
            commands: vec![],
            logsource: g.logsource.clone(),
        });
    }
    let source: Arc<str> = "s".into();
    let (mut pairs, mut hit) = (0, 0);
    for (logsource, events) in by_source {
        let rows: Vec<_> = events.iter().map(|e| (LedgerIndex(0), Millis(0), e)).collect();
        let batch = Batch::plain(&source, &rows, set.wanted());
        let compiled: Vec<(u32, u32)> = set.evaluate(&batch).into_iter().map(|h| (h.row, h.rule.0)).collect();
        let mut expected = Vec::new();
        for row in 0..events.len() {
            let before = expected.len();
            for (index, policy) in policies.iter() {
                let sigma = &policy.rule().unwrap().sigma;
                if sigma.is_for(logsource, 0) && plain::is_match(sigma, &BatchRow { batch: &batch, row }) {
                    expected.push((row as u32, index.0));
                }
            }
            hit += usize::from(expected.len() > before);
        }
        assert_eq!(compiled, expected, "{logsource:?}");
        // A log source of which more is seen is judged with indexes, and those remember values.
        for _ in 0..64 / events.len() + 2 {
            let again: Vec<(u32, u32)> = set.evaluate(&batch).into_iter().map(|h| (h.row, h.rule.0)).collect();
            assert_eq!(again, expected, "{logsource:?}");
        }
        pairs += expected.len();
    }
    (pairs, hit)
}
