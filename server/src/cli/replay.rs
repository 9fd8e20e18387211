//! `docket replay`

use std::process::ExitCode;

use super::client::Client;
use super::output::{Columns, OutputArg, write};
use super::{Target, block_on};

/// Normalize records of the ledger again, and show what would change
///
/// Compares what became of records when they were indexed with what the parsers of the running server make of them now.
/// Nothing is changed. To take the change over, stop the server, remove `index/` from the data folder and start it: the
/// index is built again from the ledger.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    docket replay --quarantined\n  \
    docket replay --from 24h --source jumpserver\n  \
    docket replay --from 120000 --to 130000 --output ndjson")]
pub struct Args {
    /// From this ledger position, or from records received at this time (RFC 3339, or an age such as 24h) on
    #[arg(long, value_name = "POSITION|TIME")]
    from: Option<String>,
    /// Before this one
    #[arg(long, value_name = "POSITION|TIME")]
    to: Option<String>,
    /// Records of this source only
    #[arg(long, value_name = "ID")]
    source: Option<String>,
    /// Quarantined records only
    #[arg(long)]
    quarantined: bool,
    #[command(flatten)]
    output: OutputArg,
    #[command(flatten)]
    target: Target,
}

/// Runs it.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut query = vec![("quarantined", args.quarantined.to_string())];
    query.extend(args.from.map(|t| ("from", t)));
    query.extend(args.to.map(|t| ("to", t)));
    query.extend(args.source.map(|s| ("source", s)));
    block_on(async {
        let client = Client::connect(&args.target).await?;
        let answer = client.get("/api/v1/replay", &query).await;
        client.close().await?;
        let answer = answer?;
        let rows = answer["changes"].as_array().cloned().unwrap_or_default();
        write(args.output.get(), &rows, COLUMNS)?;
        eprintln!(
            "positions {} to {}: {} records, {} would be mended, {} broken; nothing was changed",
            answer["from"], answer["to"], answer["records"], answer["mended"], answer["broken"]
        );
        Ok(ExitCode::SUCCESS)
    })
}

const COLUMNS: Columns<'static> = &[
    ("BEFORE", |r| r["before"].as_str().unwrap_or_default().to_owned()),
    ("AFTER", |r| r["after"].as_str().unwrap_or_default().to_owned()),
    ("RECORDS", |r| r["records"].to_string()),
    ("FIRST", |r| r["first"].as_str().unwrap_or_default().to_owned()),
];
