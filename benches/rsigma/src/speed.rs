//! Processor time of both engines, a thread each, on the same lines.

use std::collections::BTreeMap;
use std::sync::Arc;

use detect::RuleSet;
use detect::policy::{SourceFile, load};
use model::{Batch, LedgerIndex, LogSource, Millis, PlainEvent};
use rsigma_eval::JsonEvent;
use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;

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

fn docket(files: &[SourceFile], lines: &[&str]) -> anyhow::Result<f64> {
    let start = cpu();
    let loaded = load(files, &BTreeMap::new());
    let (set, _) = RuleSet::compile(&loaded.policies);
    let load_s = cpu() - start;
    let source: Arc<str> = "s".into();
    let (mut parse, mut build, mut evaluate, mut hits) = (0.0, 0.0, 0.0, 0);
    let label = |v: &Value, k: &str| v.get(k).and_then(Value::as_str).map(Arc::from);
    for group in lines.chunks(GROUP) {
        let t = cpu();
        let mut by_source: BTreeMap<LogSource, Vec<PlainEvent>> = BTreeMap::new();
        for line in group {
            let value: Value = serde_json::from_str(line)?;
            let logsource = LogSource {
                product: label(&value, "product"),
                category: label(&value, "category"),
                service: label(&value, "service"),
            };
            let Value::Object(native) = value else { continue };
            by_source.entry(logsource.clone()).or_default().push(PlainEvent {
                uid: "t/0/0".into(),
                class_uid: 0,
                time: Millis(0),
                ocsf: serde_json::Map::new(),
                native,
                system: None,
                commands: vec![],
                logsource,
            });
        }
        let parsed = cpu();
        parse += parsed - t;
        let batches: Vec<Batch> = by_source
            .values()
            .map(|events| {
                let rows: Vec<_> = events.iter().map(|e| (LedgerIndex(0), Millis(0), e)).collect();
                Batch::plain(&source, &rows, set.wanted())
            })
            .collect();
        let built = cpu();
        build += built - parsed;
        for batch in &batches {
            hits += set.evaluate(batch).len();
        }
        evaluate += cpu() - built;
    }
    let us = |s: f64| s * 1e6 / lines.len() as f64;
    let total = parse + build + evaluate;
    println!(
        "  Docket: load {load_s:.2} s, {hits} matches, {:.2} us an event: parse {:.2}, columns {:.2}, evaluate {:.2}; {:.0} events/s",
        us(total), us(parse), us(build), us(evaluate), lines.len() as f64 / total
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
