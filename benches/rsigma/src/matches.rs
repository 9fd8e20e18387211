//! Whether all three evaluators say the same: the compiled, the plain, and RSigma.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use detect::RuleSet;
use detect::plain::{self, BatchRow, Fields};
use detect::policy::{EventField, Policy, load};
use foldhash::HashMap;
use detect::sigma::{Item, Match, Number, Part};
use model::{Batch, LedgerIndex, LogSource, Millis, PlainEvent};
use rsigma_eval::JsonEvent;
use serde_json::Value;

use crate::generate::{self, Generated};
use crate::{peer, sets};

/// Differences of one kind that are shown.
const SHOWN: usize = 3;
/// Of a kind that nobody has explained yet, all are.
const UNEXPLAINED: &str = "not explained";
/// Events of one batch.
const BATCH: usize = 4096;

pub fn run(count: usize) -> anyhow::Result<()> {
    for (seed, (name, files)) in (1..).zip(sets()?) {
        let loaded = load(&files, &BTreeMap::new());
        let (set, _) = RuleSet::compile(&loaded.policies);
        let generated = generate::events(&loaded.policies, seed, count);
        let (pairs, plain) = ours(&loaded.policies, &set, &generated);
        let events_hit = pairs.iter().map(|(event, _)| event).collect::<BTreeSet<_>>().len();
        println!("{name} rules, {count} events (seed {seed}): {} matches, {events_hit} events with one", pairs.len());
        let differ = pairs.symmetric_difference(&plain).count();
        println!("  plain evaluator: {} matches, {differ} differ", plain.len());
        anyhow::ensure!(differ == 0, "the compiled evaluator differs from the plain one");
        let (theirs, errors) = rsigma(&loaded.policies, &files, &generated);
        println!("  RSigma: {} matches, {} rules did not load {:?}", theirs.len(), errors.len(), errors);
        let mut kinds: BTreeMap<(&str, &str), Vec<(usize, u32)>> = BTreeMap::new();
        for pair in pairs.symmetric_difference(&theirs) {
            let policy = &loaded.policies.all()[pair.1 as usize];
            let who = if theirs.contains(pair) { "only RSigma" } else { "only Docket" };
            let source = files.iter().find(|f| f.name == policy.place.file).map_or("", |f| &f.text);
            kinds.entry((why(policy, source, &generated[pair.0]), who)).or_default().push(*pair);
        }
        for ((why, who), pairs) in kinds {
            println!("  {who}: {} matches: {why}", pairs.len());
            let shown = if why == UNEXPLAINED { usize::MAX } else { SHOWN };
            for (event, rule) in pairs.iter().take(shown) {
                let policy = &loaded.policies.all()[*rule as usize];
                println!("    {}: {}", policy.place.file, Value::Object(generated[*event].fields.clone()));
            }
        }
    }
    Ok(())
}

type Pairs = BTreeSet<(usize, u32)>;

/// A row whose fields are looked up once, for thousands of rules that ask for them.
struct Remembered<'b> {
    row: BatchRow<'b>,
    known: RefCell<HashMap<EventField, Vec<String>>>,
}

impl<'b> Remembered<'b> {
    fn new(row: BatchRow<'b>) -> Remembered<'b> {
        Remembered { row, known: RefCell::default() }
    }
}

impl Fields for Remembered<'_> {
    fn values(&self, field: &EventField) -> Vec<String> {
        let mut known = self.known.borrow_mut();
        if let Some(values) = known.get(field) {
            return values.clone();
        }
        known.entry(field.clone()).or_insert(self.row.values(field)).clone()
    }
}

/// The matches of the compiled evaluator and of the plain one.
fn ours(policies: &detect::policy::Policies, set: &RuleSet, generated: &[Generated]) -> (Pairs, Pairs) {
    let source: Arc<str> = "s".into();
    let (mut compiled, mut plain) = (Pairs::new(), Pairs::new());
    let mut by_source: BTreeMap<&LogSource, Vec<usize>> = BTreeMap::new();
    for (n, g) in generated.iter().enumerate() {
        by_source.entry(&g.logsource).or_default().push(n);
    }
    for (logsource, numbers) in by_source {
        let rules: Vec<_> = policies
            .iter()
            .filter_map(|(i, p)| Some((i, &p.rule()?.sigma)))
            .filter(|(_, sigma)| sigma.is_for(logsource, 0))
            .collect();
        for numbers in numbers.chunks(BATCH) {
            let events: Vec<PlainEvent> = numbers
                .iter()
                .map(|n| PlainEvent {
                    uid: "t/0/0".into(),
                    class_uid: 0,
                    time: Millis(0),
                    ocsf: serde_json::Map::new(),
                    native: generated[*n].fields.clone(),
                    system: None,
                    commands: vec![],
                    logsource: logsource.clone(),
                })
                .collect();
            let rows: Vec<_> = events.iter().map(|e| (LedgerIndex(0), Millis(0), e)).collect();
            let batch = Batch::plain(&source, &rows, set.wanted());
            compiled.extend(set.evaluate(&batch).into_iter().map(|h| (numbers[h.row as usize], h.rule.0)));
            for (row, n) in numbers.iter().enumerate() {
                let event = Remembered::new(BatchRow { batch: &batch, row });
                let hits = rules.iter().filter(|(_, sigma)| plain::is_match(sigma, &event));
                plain.extend(hits.map(|(i, _)| (*n, i.0)));
            }
        }
    }
    (compiled, plain)
}

fn rsigma(
    policies: &detect::policy::Policies,
    files: &[detect::policy::SourceFile],
    generated: &[Generated],
) -> (Pairs, Vec<String>) {
    let (engine, errors) = peer::engine(files, true);
    let ids: BTreeMap<&str, u32> = policies.iter().map(|(i, p)| (p.reference.id.as_str(), i.0)).collect();
    let mut pairs = Pairs::new();
    for (n, g) in generated.iter().enumerate() {
        let value = Value::Object(g.fields.clone());
        for found in engine.evaluate(&JsonEvent::borrow(&value)) {
            let id = found.header.rule_id.as_deref().unwrap_or(&found.header.rule_title);
            pairs.extend(ids.get(id).map(|i| (n, *i)));
        }
    }
    (pairs, errors)
}

/// Which of RSigma's known faults, or readings of its own, may explain that a rule is judged otherwise.
fn why(policy: &Policy, source: &str, generated: &Generated) -> &'static str {
    let mut items: Vec<&Item> = Vec::new();
    if let Some(rule) = policy.rule() {
        for (_, detection) in &rule.sigma.detection.detections {
            detection.for_each_item(&mut |i| items.push(i));
        }
    }
    let pattern = |test: &dyn Fn(&[Part]) -> bool| {
        items.iter().flat_map(|i| i.groups.iter().flatten()).any(|m| match m {
            Match::Pattern { pattern, .. } => test(pattern.parts()),
            _ => false,
        })
    };
    let fields = Value::Object(generated.fields.clone());
    let text = fields.to_string();
    let inner = |parts: &[Part]| {
        let inner = parts.get(1..parts.len().saturating_sub(1)).unwrap_or_default();
        inner.iter().any(|p| matches!(p, Part::Any | Part::One)) || (parts.len() > 1 && parts.contains(&Part::One))
    };
    if source.contains("base64offset") {
        return "`base64offset` keeps the tail character";
    }
    if items.iter().any(|i| i.field.is_none() && i.all) {
        return "keyword `|all` wants one field to hold all";
    }
    if text.contains("\\n") && pattern(&|p| p.iter().any(|p| matches!(p, Part::Any | Part::One))) {
        return "`*` stops at a newline";
    }
    if pattern(&inner) {
        return "`startswith`/`endswith` with an inner wildcard never match";
    }
    if pattern(&|p| p.contains(&Part::Dash)) {
        return "`windash`: a `/` of the rule stands for any dash, too, and any dash of the rule for every other";
    }
    let is_number = |parts: &[Part]| parts.iter().any(|p| matches!(p, Part::Literal(l) if Number::parse(l).is_some()));
    let keywords = || items.iter().filter(|i| i.field.is_none()).flat_map(|i| i.groups.iter().flatten());
    if keywords().any(|m| matches!(m, Match::Pattern { pattern, .. } if is_number(pattern.parts()))) {
        return "a number among keywords stands anywhere, as all keywords do; RSigma wants a value that equals it";
    }
    if blank(&fields) {
        return "blanks around a number or an address (a reading of ours)";
    }
    if dotted(&fields, 0) {
        return "a key with a dot inside an object (a reading of ours)";
    }
    UNEXPLAINED
}

/// Whether a value is a number or an address but for blanks around it.
fn blank(value: &Value) -> bool {
    match value {
        Value::String(s) => {
            s.trim() != s && (Number::parse(s).is_some() || s.trim().parse::<std::net::IpAddr>().is_ok())
        }
        Value::Object(o) => o.values().any(blank),
        Value::Array(a) => a.iter().any(blank),
        _ => false,
    }
}

/// Whether an object within the event has a key with a dot.
fn dotted(value: &Value, depth: usize) -> bool {
    match value {
        Value::Object(o) => o.iter().any(|(k, v)| (depth > 0 && k.contains('.')) || dotted(v, depth + 1)),
        _ => false,
    }
}
