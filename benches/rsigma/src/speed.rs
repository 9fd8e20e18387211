//! Processor time of both engines, a thread each, on the same lines.

use std::collections::BTreeMap;
use std::sync::Arc;

use detect::RuleSet;
use detect::engine::Detector;
use detect::policy::{SourceFile, load};
use detect::reference::Tables;
use model::{LedgerIndex, LogSource, Millis, Row};
use rsigma_eval::JsonEvent;
use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;

use crate::json_columns::{JsonBatches, JsonColumns};
use crate::{peer, sets, traffic};

/// Lines that Docket judges at once.
const GROUP: usize = 4096;

/// Seconds of this thread's processor time.
fn cpu() -> f64 {
    let t = clock_gettime(ClockId::ThreadCPUTime);
    t.tv_sec as f64 + t.tv_nsec as f64 / 1e9
}

pub fn run(count: usize) -> anyhow::Result<()> {
    let text = String::from_utf8(traffic::lines(count)?)?;
    let lines: Vec<&str> = text.lines().collect();
    println!("{count} events, {} bytes each", text.len() / count);
    let which = std::env::var("ONLY").unwrap_or_default();
    for (name, files) in sets()? {
        println!("{name} rules");
        let ours = if which != "rsigma" { Some(docket(&files, &lines)?) } else { None };
        for routed in [true, false] {
            if which == "docket" {
                continue;
            }
            let theirs = rsigma(&files, &lines, routed)?;
            let ratio = ours.map(|o| theirs / o);
            println!("  {} the time, {}", ratio.map_or("?".into(), |r| format!("{r:.1}")), if routed { "routed" } else { "not routed" });
        }
    }
    Ok(())
}

/// All 3,757 rules, from text to compiled.
pub fn loads() -> anyhow::Result<()> {
    let files = crate::archive::rules(env!("CARGO_MANIFEST_DIR"), 3).ok_or_else(|| anyhow::anyhow!("no rules, no bench"))?;
    let start = cpu();
    let loaded = load(&files, &BTreeMap::new());
    let read = cpu();
    let (set, errors) = RuleSet::compile(&loaded.policies);
    let wrong = loaded.errors.iter().chain(&errors).filter(|e| !e.is_lint()).count();
    println!("{} files, {} rules, {wrong} errors: read in {:.2} s, compiled in {:.2} s", files.len(), set.len(), read - start, cpu() - read);
    Ok(())
}

/// Labels, read of each line.
const LABELS: [&str; 3] = ["product", "category", "service"];

fn docket(files: &[SourceFile], lines: &[&str]) -> anyhow::Result<f64> {
    let start = cpu();
    let loaded = load(files, &BTreeMap::new());
    let policies = Arc::new(loaded.policies);
    let (set, _) = RuleSet::compile(&policies);
    let set = Arc::new(set);
    let detector = Detector::new(policies, set.clone(), Tables::default(), Vec::new(), LedgerIndex(0))?;
    let mut batches = JsonBatches::new(JsonColumns::new(set.wanted(), &LABELS).expect("no rule has a path so deep"));
    let load_s = cpu() - start;
    let source: Arc<str> = "s".into();
    let (mut parse, mut evaluate, mut few, mut hits, mut odd) = (0.0, 0.0, 0.0, 0, 0);
    for group in lines.chunks(GROUP) {
        let t = cpu();
        for text in group {
            let Ok(line) = batches.read(text) else {
                odd += 1;
                continue;
            };
            let mut labels = [None; 3];
            batches.besides(line).for_each(|(n, _)| labels[n] = Some(n));
            let row = Row {
                index: LedgerIndex(0),
                time: Millis(0),
                received_at: Millis(0),
            };
            let needs = |columns: &JsonColumns, source: &LogSource| columns.needs(&detector.wanted_of(source, 0));
            odd += usize::from(batches.add(line, &source, labels, row, |uids| uids.push("events/0/0"), needs).is_err());
        }
        let made = batches.finish();
        parse += cpu() - t;
        for batch in &made {
            let t = cpu();
            hits += set.evaluate(batch).len();
            let took = cpu() - t;
            evaluate += took;
            if batch.rows.len() < 16 {
                few += took;
            }
        }
    }
    let us = |s: f64| s * 1e6 / lines.len() as f64;
    let total = parse + evaluate;
    println!(
        "  Docket: load {load_s:.2} s, {hits} matches, {odd} odd lines, {:.2} us an event: JSON to columns {:.2}, evaluate {:.2} (of which {:.2} for log sources of fewer than 16 events in {GROUP}); {:.0} events/s",
        us(total), us(parse), us(evaluate), us(few), lines.len() as f64 / total
    );
    Ok(total)
}

fn rsigma(files: &[SourceFile], lines: &[&str], routed: bool) -> anyhow::Result<f64> {
    let start = cpu();
    let (engine, _) = peer::engine(files, routed);
    let load_s = cpu() - start;
    let start = cpu();
    let (mut hits, mut out) = (0, Vec::new());
    for line in lines {
        let value: Value = serde_json::from_str(line)?;
        for found in engine.evaluate(&JsonEvent::borrow(&value)) {
            hits += 1;
            out.clear();
            serde_json::to_writer(&mut out, &found)?;
        }
    }
    let total = cpu() - start;
    println!(
        "  RSigma: load {load_s:.2} s, {hits} matches, {:.2} us an event; {:.0} events/s",
        total * 1e6 / lines.len() as f64,
        lines.len() as f64 / total
    );
    Ok(total)
}
