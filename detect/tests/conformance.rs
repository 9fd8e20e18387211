//! The semantics of Sigma, case by case, read off the specification: `tests/cases/*.yml`.
//!
//! A file is a list of documents. Each has `name`, `logsource` (default: product `test`), `detection`, and
//! `match` and `miss`: lists of events as JSON objects. Or `error`: a part of the error that loading gives.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use detect::plain::{self, BatchRow};
use detect::policy::{SourceFile, load};
use detect::{Hit, RuleSet};
use model::{Batch, Event, LedgerIndex, LogSource, Millis};
use serde_json::{Map, Value};

#[test]
fn every_case_holds_on_both_evaluators() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    let (mut cases, mut wrong) = (0, Vec::new());
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for case in text
            .split("\n---\n")
            .filter(|c| c.lines().any(|l| !l.trim().is_empty() && !l.starts_with('#')))
        {
            cases += 1;
            let name = case
                .lines()
                .find_map(|l| l.strip_prefix("name: "))
                .expect("a case has a name");
            if let Err(e) = check(case) {
                wrong.push(format!("{}: {name}: {e}", file.file_name().unwrap().to_string_lossy()));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {cases} cases:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(cases >= 100, "{cases} cases");
}

fn check(case: &str) -> Result<(), String> {
    // A line that starts with `match:`, `miss:` or `error:` is for us, all else is the rule.
    let (mut rule, mut matches, mut misses, mut error) = (String::from("title: case\n"), vec![], vec![], None);
    for line in case.lines() {
        if let Some(text) = line.strip_prefix("match: ") {
            matches.push(event(text));
        } else if let Some(text) = line.strip_prefix("miss: ") {
            misses.push(event(text));
        } else if let Some(text) = line.strip_prefix("error: ") {
            error = Some(text);
        } else if !line.starts_with("name: ") && !line.starts_with('#') {
            rule += line;
            rule.push('\n');
        }
    }
    if !rule.contains("logsource:") {
        rule += "logsource: {product: test}\n";
    }
    let placeholders = BTreeMap::from([("admins".to_owned(), vec!["root".to_owned(), "a*b".to_owned()])]);
    let loaded = load(&[SourceFile::new("case.yml", rule)], &placeholders);
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
    let all: Vec<(LedgerIndex, Millis, &Event)> = matches
        .iter()
        .chain(&misses)
        .map(|e| (LedgerIndex(0), Millis(0), e))
        .collect();
    assert!(!all.is_empty(), "a case has events");
    let source: Arc<str> = "test".into();
    let batch = Batch::build(&source, &all, set.wanted());
    let rows: Vec<u32> = set.evaluate(&batch).into_iter().map(|Hit { row, .. }| row).collect();
    let sigma = &policy.rule().ok_or("no rule")?.sigma;
    for (row, (_, _, event)) in all.iter().enumerate() {
        let expected = row < matches.len();
        let plain = plain::is_match(sigma, &BatchRow { batch: &batch, row });
        let compiled = rows.contains(&(row as u32));
        if (plain, compiled) != (expected, expected) {
            let event = Value::Object(event.native.clone());
            return Err(format!(
                "{event}: expected {expected}, plain {plain}, compiled {compiled}"
            ));
        }
    }
    Ok(())
}

fn event(text: &str) -> Event {
    let Ok(Value::Object(fields)) = serde_json::from_str::<Value>(text) else {
        panic!("not an object: {text}")
    };
    // `ocsf` holds the normalized event, the rest is the source's own.
    let mut native: Map<String, Value> = fields;
    let ocsf = match native.remove("ocsf") {
        Some(Value::Object(ocsf)) => ocsf,
        _ => Map::new(),
    };
    Event {
        uid: "t/0/0".into(),
        class_uid: ocsf.get("class_uid").and_then(Value::as_u64).unwrap_or(0) as u32,
        time: Millis(0),
        ocsf,
        native,
        system: Some("crm".into()),
        commands: vec!["rm -rf /data".to_owned(), "sql: DROP TABLE x".to_owned()],
        logsource: LogSource::new("test", "", ""),
    }
}
