//! What judging costs beside normalizing: all policies and their joins over the batches of a scenario, which is thin, and over the
//! stream of a busy day, one core; prints Markdown.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use benches::traffic::Traffic;
use benches::{input, stages, usage};
use clap::Parser;
use detect::RuleSet;
use detect::engine::Detector;
use detect::policy::Policies;
use detect::reference::{Tables, placeholders};
use ingest::batcher::Batcher;
use ingest::replay::{Options, Reading, open};
use ingest::{Normalizer, Settings, SourceSettings};
use jiff::tz::TimeZone;
use model::{Arena, Batch, Finding, LedgerIndex, Millis, Plan, RawRecord, Wanted};

/// As in the server.
const GROUP_RECORDS: usize = 2048;

/// Judges a scenario and a busy stream, and says what that costs beside normalizing them
#[derive(Parser)]
struct Args {
    /// Rounds over the scenario; the median counts, none leaves it out
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// Records of the busy stream; none leaves it out
    #[arg(long, default_value_t = 200_000)]
    stream: usize,
    /// Records a second of the busy stream
    #[arg(long, default_value_t = 10_000)]
    rate: u64,
    /// Rounds over the busy stream; the median counts
    #[arg(long, default_value_t = 1)]
    stream_rounds: usize,
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
    println!("Machine: {}.", usage::machine());
    if args.rounds > 0 {
        scenario(&args)?;
    }
    if args.stream > 0 {
        stream(&args)?;
    }
    Ok(())
}

/// What findings say, all revisions in order, as one number: that nothing is found otherwise than before.
#[derive(Default)]
struct Told {
    findings: usize,
    hash: DefaultHasher,
}

impl Told {
    fn tell(&mut self, findings: &[Finding]) -> anyhow::Result<()> {
        self.findings += findings.len();
        for finding in findings {
            serde_json::to_string(finding)?.hash(&mut self.hash);
        }
        Ok(())
    }

    fn number(&self) -> u64 {
        self.hash.finish()
    }
}

fn scenario(args: &Args) -> anyhow::Result<()> {
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
    let (mut normalized, mut judged, mut told, mut events) = (Vec::new(), Vec::new(), Told::default(), 0);
    // The first round warms up.
    for round in 0..=args.rounds {
        let start = usage::thread();
        let groups = normalize(&records, &wanted)?;
        let normalize = usage::thread().saturating_sub(start);
        let mut detector = detector(&policies, &rules, &tables)?;
        let mut outputs = Vec::with_capacity(groups.len() + 1);
        let start = usage::thread();
        for group in &groups {
            outputs.push(detector.process(&group.span, &group.batches));
        }
        outputs.push(detector.finish());
        let judge = usage::thread().saturating_sub(start);
        told = Told::default();
        for output in &outputs {
            told.tell(&output.findings)?;
        }
        events = groups.iter().flat_map(|g| &g.batches).map(|b| b.rows.len()).sum();
        if round > 0 {
            normalized.push(normalize);
            judged.push(judge);
        }
    }
    let (normalizing, judging) = (median(&mut normalized), median(&mut judged));
    println!(
        "\nThe scenario: {} records, {events} events, {} policies, {} findings, revisions counted ({:016x}); medians of {} rounds.\n",
        records.len(),
        policies.all().len(),
        told.findings,
        told.number(),
        args.rounds
    );
    let rows = [("bytes to columns", normalizing), ("columns to findings", judging)];
    table(events, &rows);
    let share = judging.as_secs_f64() / normalizing.as_secs_f64();
    let verdict = if share <= 0.5 { "met" } else { "**not met**" };
    println!("\nJudging at most half of normalizing: {verdict}: {share:.2}.");
    if args.busiest > 0 {
        busiest(args.busiest, &normalize(&records, &wanted)?, &policies, &rules);
    }
    Ok(())
}

/// A busy stream goes through as a server takes it: group by group, the state of each written to SQLite.
fn stream(args: &Args) -> anyhow::Result<()> {
    let lines = Traffic::new(1, stages::START, args.rate).take(args.stream);
    let records: Vec<RawRecord> = lines.zip(0..).map(|(line, n)| input::record(&line, n)).collect();
    let (mut normalized, mut judged, mut committed) = (Vec::new(), Vec::new(), Vec::new());
    let (mut told, mut events, mut changes, mut bytes) = (Told::default(), 0, 0, 0);
    for _ in 0..args.stream_rounds.max(1) {
        let mut detector = stages::detector()?;
        let mut wanted = detector.wanted().clone();
        wanted.extend(search::wanted());
        let dir = tempfile::tempdir()?;
        let mut store = alert::Store::open(&dir.path().join(alert::FILE_NAME))?.with_channels(["bench"]);
        let mut making = Making::new(&wanted)?;
        let mut took = [Duration::ZERO; 3];
        (told, events, changes, bytes) = (Told::default(), 0, 0, 0);
        for group in records.chunks(GROUP_RECORDS) {
            let group = usage::timed(&mut took[0], || making.group(group));
            let output = usage::timed(&mut took[1], || detector.process(&group.span, &group.batches));
            events += group.batches.iter().map(|b| b.rows.len()).sum::<usize>();
            told.tell(&output.findings)?;
            changes += output.delta.put.len() + output.delta.delete.len();
            let written = output.delta.put.iter().map(|(key, value)| key.len() + value.len());
            bytes += written.sum::<usize>();
            let now = detector.engine_time().unwrap_or(stages::START);
            usage::timed(&mut took[2], || {
                let done = store.commit(&[output.delta], &output.findings, now);
                drop(group);
                done
            })?;
        }
        normalized.push(took[0]);
        judged.push(took[1]);
        committed.push(took[2]);
    }
    println!(
        "\nThe busy stream: {} records at {} a second, {events} events, {} findings, revisions counted ({:016x}); {changes} changes of the state, {:.1} MB; medians of {} rounds.\n",
        records.len(),
        args.rate,
        told.findings,
        told.number(),
        bytes as f64 / 1e6,
        args.stream_rounds.max(1)
    );
    let rows = [
        ("bytes to columns", median(&mut normalized)),
        ("columns to findings", median(&mut judged)),
        ("findings and state to SQLite", median(&mut committed)),
    ];
    table(events, &rows);
    if args.busiest > 0 {
        let loaded = detect::policy::load(&stages::policies()?, &detect::sigma::Placeholders::default());
        let policies = loaded.policies;
        let rules = RuleSet::compile(&policies).0;
        let wanted = stages::detector()?.wanted().clone();
        busiest(args.busiest, &normalize(&records, &wanted)?, &policies, &rules);
    }
    Ok(())
}

fn table(events: usize, rows: &[(&str, Duration)]) {
    println!("| | CPU ms | µs an event |\n|---|---:|---:|");
    for (name, time) in rows {
        let each = time.as_secs_f64() * 1e6 / events as f64;
        println!("| {name} | {:.1} | {each:.2} |", time.as_secs_f64() * 1e3);
    }
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
    let mut making = Making::new(wanted)?;
    Ok(records.chunks(GROUP_RECORDS).map(|group| making.group(group)).collect())
}

/// Makes groups of records.
struct Making {
    normalizer: Normalizer,
    plan: Plan,
    arena: Arena,
    next: u64,
}

impl Making {
    fn new(wanted: &Wanted) -> anyhow::Result<Making> {
        let normalizer = Normalizer::new(Settings {
            default: SourceSettings {
                time_zone: TimeZone::get("Asia/Shanghai")?,
                ..SourceSettings::default()
            },
            ..Settings::default()
        });
        let (plan, mut arena) = (Plan::new(wanted), Arena::new());
        arena.set_native(plan.wants_native());
        Ok(Making {
            normalizer,
            plan,
            arena,
            next: 0,
        })
    }

    fn group(&mut self, records: &[RawRecord]) -> Group {
        let mut batcher = Batcher::new();
        let mut span = Vec::with_capacity(records.len());
        for record in records {
            self.arena.reset();
            let index = LedgerIndex(self.next);
            self.next += 1;
            span.push((index, record.received_at));
            for event in &self.normalizer.normalize(&self.arena, record).events {
                batcher.push(&mut self.plan, index, record.received_at, &record.source, event);
            }
        }
        let batches = batcher.finish(&mut self.plan);
        Group { span, batches }
    }
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}
