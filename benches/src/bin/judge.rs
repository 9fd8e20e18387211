//! What judging costs beside normalizing: all policies and their joins over the batches of a scenario, one core; prints Markdown.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use benches::{stages, usage};
use clap::Parser;
use detect::RuleSet;
use detect::engine::Detector;
use detect::policy::Policies;
use detect::reference::{Tables, placeholders};
use ingest::batcher::Batcher;
use ingest::replay::{Options, Reading, open};
use ingest::{Normalizer, Settings, SourceSettings};
use jiff::tz::TimeZone;
use model::{Arena, Batch, LedgerIndex, Millis, Plan, RawRecord, Wanted};

/// As in the server.
const GROUP_RECORDS: usize = 2048;

/// Judges a scenario and says what that costs beside normalizing it
#[derive(Parser)]
struct Args {
    /// Rounds; the median counts
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// The records, as `kcat -C -J` prints them
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/scenario/capture.ndjson.zst"))]
    records: PathBuf,
    /// Its reference tables
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/scenario/reference"))]
    reference: PathBuf,
    /// Lists so many rules that match the most events
    #[arg(long, default_value_t = 0)]
    busiest: usize,
}

/// A group of records as the stages hand it on.
struct Group {
    span: Vec<(LedgerIndex, Millis)>,
    batches: Vec<Batch>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let machine = usage::machine();
    let mut options = Options::new(stages::START);
    options.reading = Reading::Kcat;
    let records: Vec<RawRecord> = open(&args.records, options)?.collect::<Result<_, _>>()?;
    let tables = tables(&args.reference)?;
    let files = stages::policies()?;
    let policies = Arc::new(detect::policy::load(&files, &placeholders(&tables, &files)).policies);
    let rules = RuleSet::compile(&policies).0;
    let rules = Arc::new(rules);
    let wanted = {
        let mut wanted = detector(&policies, &rules, &tables)?.wanted().clone();
        wanted.extend(search::wanted());
        wanted
    };
    let (mut normalized, mut judged, mut findings, mut events) = (Vec::new(), Vec::new(), 0, 0);
    // The first round warms up.
    for round in 0..=args.rounds {
        let start = usage::thread();
        let groups = normalize(&records, &wanted)?;
        let normalize = usage::thread().saturating_sub(start);
        let mut detector = detector(&policies, &rules, &tables)?;
        let start = usage::thread();
        findings = 0;
        for group in &groups {
            findings += detector.process(&group.span, &group.batches).findings.len();
        }
        findings += detector.finish().findings.len();
        let judge = usage::thread().saturating_sub(start);
        events = groups.iter().flat_map(|g| &g.batches).map(|b| b.rows.len()).sum();
        if round > 0 {
            normalized.push(normalize);
            judged.push(judge);
        }
    }
    let (normalizing, judging) = (median(&mut normalized), median(&mut judged));
    let per_event = |time: Duration| time.as_secs_f64() * 1e6 / events as f64;
    println!(
        "Machine: {machine}. {} records, {events} events, {} policies, {findings} findings, revisions counted; medians of {} rounds.\n",
        records.len(),
        policies.all().len(),
        args.rounds
    );
    println!("| | CPU ms | µs an event |\n|---|---:|---:|");
    for (name, time) in [("bytes to columns", normalizing), ("columns to findings", judging)] {
        println!("| {name} | {:.1} | {:.1} |", time.as_secs_f64() * 1e3, per_event(time));
    }
    let share = judging.as_secs_f64() / normalizing.as_secs_f64();
    let verdict = if share <= 0.5 { "met" } else { "**not met**" };
    println!("\nJudging at most half of normalizing: {verdict}: {share:.2}.");
    if args.busiest > 0 {
        busiest(args.busiest, &normalize(&records, &wanted)?, &policies, &rules);
    }
    Ok(())
}

/// Prints which rules match the most events.
fn busiest(most: usize, groups: &[Group], policies: &Policies, rules: &RuleSet) {
    let mut matches = BTreeMap::new();
    let mut batches = 0;
    for batch in groups.iter().flat_map(|g| &g.batches) {
        batches += 1;
        for hit in rules.evaluate(batch) {
            *matches.entry(hit.rule).or_insert(0u32) += 1;
        }
    }
    let total: u32 = matches.values().sum();
    println!(
        "\n{total} matches of {} rules in {batches} batches:\n\n| rule | matches |\n|---|---:|",
        matches.len()
    );
    let mut all: Vec<_> = matches.into_iter().map(|(rule, n)| (n, rule)).collect();
    all.sort_by(|a, b| b.cmp(a));
    for (n, rule) in all.into_iter().take(most) {
        let policy = policies.get(rule);
        println!("| {} | {n} |", policy.name.as_deref().unwrap_or(&policy.reference.id));
    }
}

fn detector(policies: &Arc<Policies>, rules: &Arc<RuleSet>, tables: &Tables) -> anyhow::Result<Detector> {
    let state = Vec::new();
    Ok(Detector::new(
        policies.clone(),
        rules.clone(),
        tables.clone(),
        state,
        LedgerIndex(0),
    )?)
}

fn tables(dir: &Path) -> anyhow::Result<Tables> {
    let mut paths: Vec<_> = std::fs::read_dir(dir)
        .with_context(|| dir.display().to_string())?
        .filter_map(|e| Some(e.ok()?.path()))
        .filter(|p| p.extension().is_some_and(|e| e == "json" || e == "csv"))
        .collect();
    paths.sort();
    let mut tables = Tables::default();
    for path in paths {
        let name = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
        tables.load(name, &std::fs::read(&path)?)?;
    }
    Ok(tables)
}

fn normalize(records: &[RawRecord], wanted: &Wanted) -> anyhow::Result<Vec<Group>> {
    let normalizer = Normalizer::new(Settings {
        default: SourceSettings {
            time_zone: TimeZone::get("Asia/Shanghai")?,
            ..SourceSettings::default()
        },
        ..Settings::default()
    });
    let (mut plan, mut arena) = (Plan::new(wanted), Arena::new());
    arena.set_native(plan.wants_native());
    let mut groups = Vec::new();
    for (n, group) in records.chunks(GROUP_RECORDS).enumerate() {
        let mut batcher = Batcher::new();
        let mut span = Vec::with_capacity(group.len());
        for (record, at) in group.iter().zip(n * GROUP_RECORDS..) {
            arena.reset();
            let index = LedgerIndex(at as u64);
            span.push((index, record.received_at));
            for event in &normalizer.normalize(&arena, record).events {
                batcher.push(&mut plan, index, record.received_at, &record.source, event);
            }
        }
        let batches = batcher.finish(&mut plan);
        groups.push(Group { span, batches });
    }
    Ok(groups)
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}
