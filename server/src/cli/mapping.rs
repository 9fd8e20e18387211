//! `docket mapping`: for the owner of a system who writes a mapping file for it.

use std::path::PathBuf;
use std::process::ExitCode;

use ingest::{Normalizer, Settings, SourceSettings};

use super::explain;
use super::normalize::Input;
use super::output::OutputArg;
use crate::exit::{FOUND, USAGE};

/// Check mapping files of systems that write JSON of their own
#[derive(clap::Subcommand)]
pub enum Command {
    Check(Check),
}

/// Check a mapping file, and show what it makes of sample records
///
/// Problems are told as file:line:column, with the nearest right word (exit 2). With samples, each record is shown with its
/// event: which field went where, what is missing, what stays in `unmapped`; exit 1 where one could not be read.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  docket mapping check petty-cash.toml\n  \
    docket mapping check petty-cash.toml samples.ndjson\n\nThe file is explained in docs/mapping.md.")]
pub struct Check {
    /// The mapping file
    #[arg(value_name = "FILE")]
    mapping: PathBuf,
    /// Sample records, one a line; `-` is standard input
    #[arg(value_name = "SAMPLE")]
    samples: Vec<PathBuf>,
    #[command(flatten)]
    output: OutputArg,
}

/// Runs it.
pub fn run(command: Command) -> anyhow::Result<ExitCode> {
    let Command::Check(args) = command;
    let mapping = crate::mapping::read(&args.mapping, USAGE)?;
    eprintln!(
        "{}: fine; system={} sha256={}",
        args.mapping.display(),
        mapping.name,
        mapping.hash
    );
    if args.samples.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let mut default = SourceSettings::default();
    default.use_mapping(mapping);
    let normalizer = Normalizer::new(Settings {
        default,
        ..Settings::default()
    });
    let counts = explain::run(&Input::of_files(args.samples), &normalizer, args.output.get())?;
    eprintln!(
        "records={} events={} quarantined={}",
        counts.records, counts.events, counts.quarantined
    );
    Ok(ExitCode::from(if counts.quarantined > 0 { FOUND } else { 0 }))
}
