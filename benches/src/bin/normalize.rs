//! What normalization costs: bytes to OCSF columns on one core, beside parsers that only parse; prints Markdown.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use arrow_array::builder::StringBuilder;
use benches::corpus::{self, Corpus, Peer};
use benches::{stages, usage};
use clap::Parser;
use ingest::batcher::Batcher;
use ingest::{Normalizer, Settings, SourceSettings};
use model::{Arena, Batch, Column, LedgerIndex, Plan, RawRecord};

/// As in the server.
const GROUP_RECORDS: usize = 2048;
const GROUP_BYTES: usize = 2 << 20;

/// Normalizes real lines of every format to columns, and has the peers parse the same bytes
#[derive(Parser)]
struct Args {
    /// Rounds; the median counts
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Bytes of each format
    #[arg(long, default_value_t = 4 << 20)]
    bytes: usize,
    /// Only this format
    #[arg(long)]
    format: Option<String>,
    /// The peers' program (`cargo build --release --manifest-path benches/peer/Cargo.toml`)
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/peer/target/release/peer"))]
    peer: PathBuf,
    /// Leave the peers out
    #[arg(long)]
    no_peer: bool,
}

/// Another program that parses.
struct Parsers {
    child: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Parsers {
    fn start(program: &Path) -> anyhow::Result<Parsers> {
        let mut child = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} does not start; build benches/peer", program.display()))?;
        Ok(Parsers {
            ask: child.stdin.take().context("its standard input")?,
            answers: BufReader::new(child.stdout.take().context("its standard output")?),
            child,
        })
    }

    fn parse(&mut self, peer: Peer, path: &Path) -> anyhow::Result<Duration> {
        writeln!(self.ask, "{} {}", peer.name(), path.display())?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let nanoseconds = line.split(' ').next().context("an answer")?.parse()?;
        Ok(Duration::from_nanos(nanoseconds))
    }
}

struct Measured {
    corpus: Corpus,
    file: PathBuf,
    known: Normalizer,
    told: Normalizer,
    bytes: usize,
    events: usize,
    configured: Vec<Duration>,
    detected: Vec<Duration>,
    floor: Vec<Duration>,
    peer: Vec<Duration>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let machine = usage::machine();
    let mut wanted = stages::detector()?.wanted().clone();
    wanted.extend(search::wanted());
    let folder = tempfile::tempdir()?;
    let mut parsers = (!args.no_peer).then(|| Parsers::start(&args.peer)).transpose()?;
    let mut all = Vec::new();
    for corpus in corpus::all(args.bytes)? {
        if args.format.as_deref().is_some_and(|f| f != corpus.format) {
            continue;
        }
        let file = folder.path().join(corpus.format);
        all.push(Measured {
            file,
            known: normalizer(Some(corpus.format)),
            told: normalizer(None),
            corpus,
            bytes: 0,
            events: 0,
            configured: Vec::new(),
            detected: Vec::new(),
            floor: Vec::new(),
            peer: Vec::new(),
        });
    }
    let (mut plan, mut arena) = (Plan::new(&wanted), Arena::new());
    arena.set_native(plan.wants_native());
    // The first round warms up.
    for round in 0..=args.rounds {
        for m in &mut all {
            let records = &m.corpus.records(round as u64);
            write(&m.file, records)?;
            m.bytes = records.iter().map(|r| r.payload.len()).sum();
            let mut batches = Vec::new();
            normalize(&m.known, records, &mut arena, &mut plan, |made| batches.extend(made));
            let (events, configured) = normalize(&m.known, records, &mut arena, &mut plan, drop);
            let (_, detected) = normalize(&m.told, records, &mut arena, &mut plan, drop);
            let floor = floor(records, &batches, &mut arena);
            let peer = match (&mut parsers, m.corpus.peer) {
                (Some(parsers), Peer::Json | Peer::Syslog) => Some(parsers.parse(m.corpus.peer, &m.file)?),
                _ => None,
            };
            m.events = events;
            if round > 0 {
                m.configured.push(configured);
                m.detected.push(detected);
                m.floor.push(floor);
                m.peer.extend(peer);
            }
        }
    }
    print(&machine, wanted.len(), args.rounds, &all);
    if let Some(Parsers { mut child, ask, .. }) = parsers {
        drop(ask);
        child.wait()?;
    }
    Ok(())
}

fn normalizer(format: Option<&str>) -> Normalizer {
    Normalizer::new(Settings {
        default: SourceSettings {
            format: format.map(Into::into),
            ..SourceSettings::default()
        },
        ..Settings::default()
    })
}

fn write(file: &Path, records: &[RawRecord]) -> anyhow::Result<()> {
    let mut bytes = Vec::new();
    for record in records {
        bytes.extend(u32::try_from(record.payload.len())?.to_le_bytes());
        bytes.extend(&record.payload);
    }
    Ok(std::fs::write(file, bytes)?)
}

/// Events, and the processor time from bytes to columns and until both are let go of.
fn normalize(
    normalizer: &Normalizer,
    records: &[RawRecord],
    arena: &mut Arena,
    plan: &mut Plan,
    mut made: impl FnMut(Vec<Batch>),
) -> (usize, Duration) {
    let start = usage::thread();
    let (mut rest, mut count) = (records, 0);
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = |r: &&RawRecord| {
            bytes += r.payload.len();
            bytes <= GROUP_BYTES
        };
        let n = rest.iter().take(GROUP_RECORDS).take_while(fits).count().max(1);
        let (group, after) = rest.split_at(n);
        rest = after;
        let mut batcher = Batcher::new();
        for (record, index) in group.iter().zip(0..) {
            arena.reset();
            let normalized = normalizer.normalize(arena, record);
            count += normalized.events.len();
            for event in &normalized.events {
                let (index, at) = (LedgerIndex(index), record.received_at);
                batcher.push(plan, index, at, &record.source, event);
            }
        }
        made(std::hint::black_box(batcher.finish(plan)));
    }
    (count, usage::thread().saturating_sub(start))
}

/// What no normalizer of this kind can go below: to check the bytes, to read what they are written in, as we do, and to copy
/// the texts of columns that differ from row to row into Arrow's builders. Nothing is understood.
fn floor(records: &[RawRecord], batches: &[Batch], arena: &mut Arena) -> Duration {
    let start = usage::thread();
    for record in records {
        arena.reset();
        let Ok(text) = str::from_utf8(&record.payload) else {
            continue;
        };
        let text = text.trim_end();
        match text.as_bytes().first() {
            Some(b'{' | b'[') => drop(std::hint::black_box(ingest::json::parse(arena, text))),
            _ => drop(std::hint::black_box(ingest::syslog::parse(text))),
        }
    }
    for batch in batches {
        for (_, column) in batch.columns().filter(|(_, c)| !matches!(c, Column::Same(..))) {
            let mut copy = StringBuilder::with_capacity(batch.rows.len(), batch.rows.len() * 16);
            (0..batch.rows.len()).for_each(|row| column.for_each(row, |value| copy.append_value(value)));
            std::hint::black_box(copy.finish());
        }
    }
    usage::thread().saturating_sub(start)
}

fn median(times: &[Duration]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort();
    sorted.get(sorted.len() / 2).map_or(f64::NAN, Duration::as_secs_f64)
}

fn print(machine: &str, wanted: usize, rounds: usize, all: &[Measured]) {
    println!("Machine: {machine}. {wanted} fields wanted as columns; medians of {rounds} rounds.\n");
    println!(
        "| format | lines of | bytes a record | MB/s | µs an event | MB/s, format detected | MB/s, floor | peer | its MB/s | ratio | floor's |"
    );
    println!("|---|---|---:|---:|---:|---:|---:|---|---:|---:|---:|");
    let mut speeds = Vec::new();
    let (mut json, mut syslog) = (Vec::new(), Vec::new());
    for m in all {
        let megabytes = m.bytes as f64 / 1e6;
        let (ours, detected, peer) = (median(&m.configured), median(&m.detected), median(&m.peer));
        let floor = median(&m.floor);
        speeds.push((megabytes / ours, m.corpus.format));
        let (name, ratio, least) = match m.corpus.peer {
            Peer::Json => (
                "serde_json",
                format!("{:.2} × as fast", peer / ours),
                format!("{:.2}", peer / floor),
            ),
            Peer::Syslog => (
                "syslog_loose",
                format!("{:.2} × its time", ours / peer),
                format!("{:.2}", floor / peer),
            ),
            Peer::None => ("", String::new(), String::new()),
        };
        match m.corpus.peer {
            Peer::Json => json.push((ours, peer, m.corpus.format)),
            Peer::Syslog => syslog.push((ours, peer, m.corpus.format)),
            Peer::None => {}
        }
        println!(
            "| {} | {} | {:.0} | {:.0} | {:.2} | {:.0} | {:.0} | {name} | {:.0} | {ratio} | {least} |",
            m.corpus.format,
            m.corpus.from,
            m.bytes as f64 / m.corpus.count as f64,
            megabytes / ours,
            ours * 1e6 / m.events as f64,
            megabytes / detected,
            megabytes / floor,
            megabytes / peer,
        );
    }
    let total = |times: &[(f64, f64, &str)]| {
        let sum = |f: fn(&(f64, f64, &str)) -> f64| times.iter().map(f).sum::<f64>();
        (sum(|t| t.0), sum(|t| t.1))
    };
    let verdict = |holds: bool| if holds { "met" } else { "**not met**" };
    println!();
    let (ours, theirs) = total(&json);
    let slow: Vec<_> = json.iter().filter(|(o, p, _)| p / o < 3.0).map(|t| t.2).collect();
    println!(
        "* JSON, at least 3 times as fast as `serde_json` parses: {}: {:.2} times over all; below: {}.",
        verdict(slow.is_empty()),
        theirs / ours,
        slow.join(", "),
    );
    let (ours, theirs) = total(&syslog);
    let slow: Vec<_> = syslog.iter().filter(|(o, p, _)| o / p > 2.0).map(|t| t.2).collect();
    println!(
        "* Syslog, at most twice the time in which `syslog_loose` parses: {}: {:.2} times over all; above: {}.",
        verdict(slow.is_empty()),
        ours / theirs,
        slow.join(", "),
    );
    speeds.sort_by(|a, b| a.0.total_cmp(&b.0));
    if let (Some(slowest), Some(fastest)) = (speeds.first(), speeds.last()) {
        let slow: Vec<_> = speeds.iter().filter(|s| s.0 * 5.0 < fastest.0).map(|s| s.1).collect();
        println!(
            "* No format under a fifth of the fastest per byte: {}: {} {:.0} MB/s, {} {:.0} MB/s; below: {}.",
            verdict(slow.is_empty()),
            fastest.1,
            fastest.0,
            slowest.1,
            slowest.0,
            slow.join(", "),
        );
    }
}
