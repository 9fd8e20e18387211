//! What the line costs: processor seconds by stage, records a second, memory; beside Tantivy alone.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use benches::stages::{Folders, Outcome};
use benches::{input, peer, stages, usage};
use clap::Parser;

/// Runs records through the whole line, then the same documents through Tantivy alone; prints Markdown
#[derive(Parser)]
struct Args {
    /// Records
    #[arg(long, default_value_t = 500_000)]
    records: usize,
    /// Records a second of event time (how dense the day is, not how fast it runs)
    #[arg(long, default_value_t = 2_000)]
    pace: u64,
    /// Where to write; a temporary folder otherwise
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Leave Tantivy alone out
    #[arg(long)]
    no_peer: bool,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let machine = usage::machine();
    let temporary = tempfile::tempdir()?;
    let dir = args.dir.as_deref().unwrap_or(temporary.path());
    std::fs::create_dir_all(dir)?;
    let folders = Folders::below(dir);
    input::write_input(&folders.input, args.records, args.pace)?;

    usage::forget_peak("self")?;
    let run = stages::run(&folders)?;
    let sizes = [
        ("ledger", usage::bytes_of(&folders.ledger)?),
        ("index", usage::bytes_of(&folders.index)?),
        ("alerts and state", usage::bytes_of(&folders.alerts)?),
    ];
    println!("Machine: {machine}.\n");
    print_line(&run);

    if !args.no_peer {
        usage::forget_peak("self")?;
        let plain = dir.join("tantivy");
        let alone = peer::run(&folders.ledger, &plain, &run.index_commits).context("Tantivy alone")?;
        let ours = run.costs.documents + run.costs.tantivy;
        println!("\n| index | documents | CPU s per million | documents/s | bytes a document | peak RSS, MiB |");
        println!("|---|---:|---:|---:|---:|---:|");
        let per_document = |bytes: u64, documents: u64| bytes as f64 / documents as f64;
        println!(
            "| Docket's, in the line | {} | {:.1} | – | {:.0} | (whole line) {:.0} |",
            run.events,
            per_million(ours, run.events),
            per_document(sizes[1].1, run.events),
            run.peak_mib
        );
        println!(
            "| Tantivy alone | {} | {:.1} | {:.0} | {:.0} | {:.0} |",
            alone.documents,
            per_million(alone.used, alone.documents),
            alone.documents as f64 / alone.wall.as_secs_f64(),
            per_document(usage::bytes_of(&plain)?, alone.documents),
            alone.peak_mib
        );
        let alone_per_million = per_million(alone.used, alone.documents);
        println!(
            "\nDocket's index takes {:.2} times the CPU of Tantivy alone, the whole line {:.2} times.",
            per_million(ours, run.events) / alone_per_million,
            per_million(whole(&run), run.records) / alone_per_million
        );
    }
    println!("\n| on disk | bytes | a record |\n|---|---:|---:|");
    println!(
        "| payloads | {} | {:.0} |",
        run.payload_bytes,
        run.payload_bytes as f64 / run.records as f64
    );
    for (name, bytes) in sizes {
        println!("| {name} | {bytes} | {:.0} |", bytes as f64 / run.records as f64);
    }
    Ok(())
}

fn per_million(used: Duration, things: u64) -> f64 {
    used.as_secs_f64() / things as f64 * 1e6
}

fn whole(run: &Outcome) -> Duration {
    parts(run).iter().map(|(_, _, used)| *used).sum()
}

fn parts(run: &Outcome) -> Vec<(&'static str, &'static str, Duration)> {
    let c = run.costs;
    vec![
        ("ledger append", "leaves, hashes, tail", c.append),
        ("ledger flush", "write, fsync", c.flush),
        ("ledger seal", "frames, tree", c.seal),
        ("ledger checkpoint", "signed each second", c.checkpoint),
        ("read back", "leaves to records", c.read),
        ("normalize", "records to columns, duplicates left out", c.normalize),
        ("detect", "columns to findings", c.detect),
        ("alert commit", "findings and state to SQLite", c.commit),
        ("index documents", "columns to documents, commits", c.documents),
        ("index Tantivy", "Tantivy's threads, merges", c.tantivy),
    ]
}

fn print_line(run: &Outcome) {
    let whole = whole(run);
    println!(
        "{} records ({} bytes), {} events ({} fields wanted as columns), {} findings, {} alerts, {} index commits; {:.1} s, **{:.0} records/s** through the whole line; \
         peak RSS {:.0} MiB.\n",
        run.records,
        run.payload_bytes,
        run.events,
        run.wanted,
        run.findings,
        run.raised,
        run.index_commits.len(),
        run.wall.as_secs_f64(),
        run.records as f64 / run.wall.as_secs_f64(),
        run.peak_mib
    );
    println!("| stage | what | CPU s per million records | share |\n|---|---|---:|---:|");
    for (stage, what, used) in parts(run) {
        println!(
            "| {stage} | {what} | {:.1} | {:.0} % |",
            per_million(used, run.records),
            100.0 * used.as_secs_f64() / whole.as_secs_f64()
        );
    }
    println!("| whole line | | {:.1} | 100 % |", per_million(whole, run.records));
    println!(
        "| (input) | file to records, not a part | {:.1} | |",
        per_million(run.costs.input, run.records)
    );
}
