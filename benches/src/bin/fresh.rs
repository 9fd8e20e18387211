//! How soon a durable record is found, at a steady rate, while questions are asked.

use std::path::PathBuf;

use benches::{fresh, percentile, usage};
use clap::Parser;

/// Appends records at a steady rate, judges and indexes them as the server does, asks meanwhile, and times from durable to searchable
#[derive(Parser)]
struct Args {
    /// Records a second
    #[arg(long, default_value_t = 10_000)]
    rate: u64,
    /// Seconds
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Questions a second
    #[arg(long, default_value_t = 5)]
    questions: u64,
    /// Keep everything here
    #[arg(long)]
    dir: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let temporary = tempfile::tempdir()?;
    let dir = args.dir.clone().unwrap_or(temporary.path().to_owned());
    std::fs::create_dir_all(&dir)?;
    let folders = fresh::input(&dir, usize::try_from(args.rate * args.seconds)?)?;
    let machine = usage::machine();
    let run = fresh::run(&folders, args.rate, args.questions)?;
    let rate = run.records as f64 / run.appending.as_secs_f64();
    println!("{machine}\n");
    println!(
        "{} records in {:.1} s ({rate:.0} a second), {} commits, {} questions, {:.1} CPU s, peak RSS {:.0} MiB\n",
        run.records,
        run.appending.as_secs_f64(),
        run.commits,
        run.questions.len(),
        run.cpu.as_secs_f64(),
        run.peak_mib
    );
    println!(
        "Judged {:.1} s after the last append; {} groups made again for the judge\n",
        run.judged_after.as_secs_f64(),
        run.made_again
    );
    println!("| ms | | p50 | p90 | p99 | most |\n|---|---:|---:|---:|---:|---:|");
    println!("{}", percentile::row("durable to searchable", &run.delays));
    println!("{}", percentile::row("a question", &run.questions));
    Ok(())
}
