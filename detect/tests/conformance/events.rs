//! Rules over single events, on both evaluators.
//!
//! A case has `logsource` (default: product `test`), `detection`, and events as JSON objects: `match`, `miss`, and `skip`
//! (of a log source that the rule is not for). Or `error`: a part of the error that loading gives.

use std::sync::Arc;

use detect::plain::{self, BatchRow};
use detect::policy::{SourceFile, load};
use detect::{Hit, RuleSet};
use model::{Batch, LedgerIndex, Millis, PlainEvent};
use serde_json::Value;

use super::{Case, cases, event, folder, placeholders, run};

#[test]
fn every_case_holds_on_both_evaluators() {
    run(&cases(&folder()), check);
}

fn check(case: &Case) -> Result<(), String> {
    let (mut rule, mut events, mut error) = (String::from("title: case\n"), vec![], None);
    for line in &case.lines {
        let expected = ["match", "miss", "skip"].into_iter().find_map(|word| {
            let text = line.strip_prefix(word)?.strip_prefix(": ")?;
            Some((word, event(text, "t/0/0", Millis(0))))
        });
        if let Some(expected) = expected {
            events.push(expected);
        } else if let Some(text) = line.strip_prefix("error: ") {
            error = Some(text);
        } else {
            rule += line;
            rule.push('\n');
        }
    }
    if !rule.contains("logsource:") {
        rule += "logsource: {product: test}\n";
    }
    let loaded = load(&[SourceFile::new("case.yml", rule)], &placeholders());
    let messages: Vec<String> = loaded.errors.iter().map(ToString::to_string).collect();
    if let Some(expected) = error {
        let found = messages.iter().any(|m| m.contains(expected));
        return if found && loaded.policies.all().is_empty() {
            Ok(())
        } else {
            Err(format!("errors: {messages:?}"))
        };
    }
    let policy = loaded
        .policies
        .all()
        .first()
        .ok_or_else(|| format!("did not load: {messages:?}"))?;
    let (set, errors) = RuleSet::compile(&loaded.policies);
    assert!(errors.is_empty());
    assert!(!events.is_empty(), "a case has events");
    let all: Vec<(LedgerIndex, Millis, &PlainEvent)> =
        events.iter().map(|(_, e)| (LedgerIndex(0), Millis(0), e)).collect();
    let source: Arc<str> = "test".into();
    let batch = Batch::plain(&source, &all, set.wanted());
    let rows: Vec<u32> = set.evaluate(&batch).into_iter().map(|Hit { row, .. }| row).collect();
    // A log source of which more is seen is judged with indexes of its own, and they remember values.
    for _ in 0..64 / batch.rows.len().max(1) + 2 {
        let again: Vec<u32> = set.evaluate(&batch).into_iter().map(|Hit { row, .. }| row).collect();
        if again != rows {
            return Err(format!("rows {rows:?} with all rules' indexes, {again:?} with its own"));
        }
    }
    let sigma = &policy.rule().ok_or("no rule")?.sigma;
    for (row, (expected, event)) in events.iter().enumerate() {
        let is_for = sigma.is_for(&event.logsource, event.class_uid);
        let plain = plain::is_match(sigma, &BatchRow { batch: &batch, row });
        let found = match (is_for, plain) {
            (false, _) => "skip",
            (true, true) => "match",
            (true, false) => "miss",
        };
        let compiled = rows.contains(&(row as u32));
        if found != *expected || compiled != (found == "match") {
            let event = Value::Object(event.native.clone());
            return Err(format!(
                "{event}: expected {expected}, plain {found}, compiled {compiled}"
            ));
        }
    }
    Ok(())
}
