//! `docket detect`

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use model::{FindingStatus, Millis};

use super::normalize::{Given, Input, settings};
use crate::config::PolicySource;
use crate::exit::{FOUND, USAGE, failure};
use crate::offline::Offline;
use crate::{policies, reference};

/// Judge records from files, as the server would have
///
/// Prints findings as OCSF, one a line, each in its final revision. Exit code 1 when there are any.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    docket detect --policies policies --reference reference --format kcat capture.ndjson.zst\n  \
    docket detect --policies my-rule.yml --format json events.ndjson\n  \
    kcat -C -J -e -b broker:9092 -t audit.linux | docket detect --policies policies --format kcat -")]
pub struct Args {
    /// Policy file or folder; several are allowed (default: those in the binary)
    #[arg(long, value_name = "FILE|DIR")]
    policies: Vec<PathBuf>,
    /// Folder of reference tables, one JSON or CSV file a table
    #[arg(long, value_name = "DIR")]
    reference: Option<PathBuf>,
    /// Judge deadlines up to this time (default: when the last record was received)
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Print, behind each finding that opens an incident, the incident too (OCSF Incident Finding 2005)
    #[arg(long)]
    incidents: bool,
    #[command(flatten)]
    input: Input,
}

/// Runs it.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    super::serve::log(false, "off");
    let until = args
        .until
        .as_deref()
        .map(Millis::parse)
        .transpose()
        .map_err(|e| failure(USAGE, format!("--until: {e}")))?;
    let mut sources: Vec<_> = args.policies.into_iter().map(PolicySource::Path).collect();
    if sources.is_empty() {
        sources.push(PolicySource::BuiltIn);
    }
    let tables = reference::load(args.reference.as_deref())?;
    let loaded = policies::load(&sources, &tables)?;
    for error in &loaded.errors {
        eprintln!("{error}");
    }
    let settings = settings(&args.input, &tables)?;
    let mut line = Offline::new(&loaded, tables, settings, !args.input.is_json())?;
    args.input.given(&mut |given| {
        match given {
            Given::Lent(lent) => line.push_lent(&lent),
            Given::Record(record) => line.push(record),
        }
        Ok(())
    })?;
    let mut out = std::io::BufWriter::with_capacity(1 << 16, std::io::stdout().lock());
    let (mut found, mut written, mut text) = (false, Ok(()), String::new());
    line.finish_last(until, &mut |finding| {
        if written.is_ok() && !finding.labels.iter().any(|l| l == "superseded") {
            found |= finding.status != FindingStatus::Resolved;
            text.clear();
            finding.write_ocsf(&mut text);
            text.push('\n');
            if let Some(incident) = finding.to_incident().filter(|_| args.incidents) {
                text.push_str(&format!("{incident}\n"));
            }
            written = out.write_all(text.as_bytes());
        }
    });
    written?;
    out.flush()?;
    // The process ends: thousands of rules need not be cleared away.
    std::mem::forget(loaded);
    Ok(if found {
        ExitCode::from(FOUND)
    } else {
        ExitCode::SUCCESS
    })
}
