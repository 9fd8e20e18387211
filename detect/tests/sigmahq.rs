//! Every rule of the public SigmaHQ repository loads and compiles.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use detect::RuleSet;
use detect::plain::{self, BatchRow};
use detect::policy::{SourceFile, load};
use detect::sigma::{Match, Part, Rule};
use model::{Batch, LedgerIndex, LogSource, Millis, PlainEvent};
use serde_json::{Map, Value, json};

/// The rule files of the archive beside the checkout; `None` where it is absent.
fn rules() -> Option<Vec<SourceFile>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/sigmahq_rules.tar.zst");
    let Ok(packed) = std::fs::read(&path) else {
        println!("skipped: no ../shared/data/sigmahq_rules.tar.zst beside the checkout");
        return None;
    };
    let mut tar = Vec::new();
    zstd::Decoder::new(packed.as_slice())
        .unwrap()
        .read_to_end(&mut tar)
        .unwrap();
    let mut files = Vec::new();
    let (mut at, mut long_name) = (0, None);
    // Tar: headers of 512 bytes, name at 0, size in octal at 124, kind at 156 (`0` file, `L` a long name for the next).
    while let Some(header) = tar.get(at..at + 512).filter(|h| h[0] != 0) {
        let text = |range: std::ops::Range<usize>| {
            let bytes = &header[range];
            let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
            String::from_utf8_lossy(&bytes[..end]).trim().to_owned()
        };
        let size = usize::from_str_radix(&text(124..136), 8).unwrap();
        let content = String::from_utf8(tar[at + 512..at + 512 + size].to_vec()).unwrap();
        if header[156] == b'L' {
            long_name = Some(content.trim_end_matches('\0').to_owned());
        } else if header[156] == b'0' {
            let name = long_name.take().unwrap_or_else(|| text(0..100));
            if SourceFile::is_policy(&name) {
                files.push(SourceFile::new(&name, content));
            }
        }
        at += 512 + size.div_ceil(512) * 512;
    }
    Some(files)
}

#[test]
fn every_sigmahq_rule_compiles() {
    let Some(files) = rules() else { return };
    assert!(files.len() > 3_700, "{} files", files.len());
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

/// An event with the values that a rule asks for: the `nth` of each item, in one way or another.
fn event(rule: &Rule, nth: usize) -> PlainEvent {
    let mut native = Map::new();
    for (name, detection) in &rule.detection.detections {
        // Filters are left out, or few events would match; every third event has them, so that some are filtered.
        if name.starts_with("filter") && !nth.is_multiple_of(3) {
            continue;
        }
        detection.for_each_item(&mut |item| {
            let field = item.field.as_deref().unwrap_or("message").to_owned();
            let groups = if item.all {
                &item.groups[..]
            } else {
                &item.groups[nth % item.groups.len().max(1)..][..1]
            };
            let values: Vec<Value> = groups.iter().flat_map(|g| g.first()).filter_map(value).collect();
            match values.as_slice() {
                [] => {}
                // What has to contain several texts contains them one behind the other.
                [Value::String(_), _, ..] => {
                    let text: String = values.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ");
                    native.insert(field, Value::from(text));
                }
                [first, ..] => {
                    native.insert(field, first.clone());
                }
            }
        });
    }
    let logsource = rule.logsource.clone();
    PlainEvent {
        uid: "t/0/0".into(),
        class_uid: 0,
        time: Millis(0),
        ocsf: Map::new(),
        native,
        system: None,
        commands: vec![],
        logsource,
    }
}

fn value(m: &Match) -> Option<Value> {
    match m {
        Match::Pattern { pattern, .. } => {
            let text: String = pattern
                .parts()
                .iter()
                .map(|p| match p {
                    Part::Literal(text) => text.to_uppercase(),
                    Part::Any => "x\ny".to_owned(),
                    Part::One => "z".to_owned(),
                    Part::Dash => "/".to_owned(),
                })
                .collect();
            Some(Value::from(text))
        }
        Match::Number(n) => Some(json!(n.to_string())),
        Match::Bool(b) => Some(json!(b)),
        Match::Cidr(net) => Some(json!(net.addr().to_string())),
        Match::Regex(regex) => Some(Value::from(
            regex.as_str().replace(['\\', '.', '+', '*', '(', ')', '?'], ""),
        )),
        _ => None,
    }
}

#[test]
fn compiled_equals_plain_on_events_made_of_the_rules() {
    let Some(files) = rules() else { return };
    let loaded = load(&files, &BTreeMap::new());
    let (set, _) = RuleSet::compile(&loaded.policies);
    let mut by_source: BTreeMap<LogSource, Vec<PlainEvent>> = BTreeMap::new();
    for (nth, policy) in loaded.policies.all().iter().enumerate().filter(|(i, _)| i % 29 == 0) {
        let event = event(&policy.rule().unwrap().sigma, nth);
        by_source.entry(event.logsource.clone()).or_default().push(event);
    }
    let source: Arc<str> = "s".into();
    let (mut events_seen, mut hits) = (0, 0);
    for (logsource, events) in &by_source {
        let rows: Vec<_> = events.iter().map(|e| (LedgerIndex(0), Millis(0), e)).collect();
        let batch = Batch::plain(&source, &rows, set.wanted());
        let compiled: Vec<(u32, u32)> = set.evaluate(&batch).into_iter().map(|h| (h.row, h.rule.0)).collect();
        let mut expected = Vec::new();
        for row in 0..events.len() {
            for (index, policy) in loaded.policies.iter() {
                let sigma = &policy.rule().unwrap().sigma;
                if sigma.is_for(logsource, 0) && plain::is_match(sigma, &BatchRow { batch: &batch, row }) {
                    expected.push((row as u32, index.0));
                }
            }
        }
        assert_eq!(compiled, expected, "{logsource:?}");
        events_seen += events.len();
        hits += expected.len();
    }
    println!("{events_seen} events, {hits} matches");
    assert!(
        hits > events_seen / 2,
        "{hits} matches of {events_seen} events say little"
    );
}
