//! `docket replay`

use std::process::ExitCode;

use super::client::Client;
use super::output::{Columns, OutputArg, write};
use super::{Target, block_on};

/// Normalize records of the ledger again, and show what would change
///
/// Compares what became of records when they were indexed with what the parsers of the running server make of them now.
/// Nothing is changed, but with --apply: quarantined records that are understood now get the events that they should have had,
/// which are searched and judged like new ones; the accounts follow. Records that were understood differently keep their events until
/// `index/` is removed from the data folder of the stopped server: it is built again from the ledger.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    docket replay --quarantined\n  \
    docket replay --quarantined --source crm --apply\n  \
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
    /// Records quarantined for this only, such as json_truncated
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// Give the quarantined records that are understood now their events (takes the role admin; the server must run)
    #[arg(long)]
    apply: bool,
    #[command(flatten)]
    output: OutputArg,
    #[command(flatten)]
    target: Target,
}

/// Runs it.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    if args.apply {
        return apply(&args);
    }
    let mut query = vec![("quarantined", args.quarantined.to_string())];
    query.extend(args.reason.map(|r| ("reason", r)));
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

fn apply(args: &Args) -> anyhow::Result<ExitCode> {
    let asked = serde_json::json!({
        "from": args.from, "to": args.to, "source": args.source, "reason": args.reason, "quarantined": true,
    });
    block_on(async {
        let client = Client::connect(&args.target).await?;
        let answer = client.post("/api/v1/renormalize", asked).await;
        client.close().await?;
        let answer = answer?;
        write(args.output.get(), std::slice::from_ref(&answer), APPLIED)?;
        if answer["done"] != true {
            eprintln!("recorded; the line has not come to it yet");
        }
        Ok(ExitCode::SUCCESS)
    })
}

const APPLIED: Columns<'static> = &[
    ("QUARANTINED", |r| r["records"].to_string()),
    ("UNDERSTOOD NOW", |r| r["renormalized"].to_string()),
    ("STILL QUARANTINED", |r| r["still_quarantined"].to_string()),
];

const COLUMNS: Columns<'static> = &[
    ("BEFORE", |r| r["before"].as_str().unwrap_or_default().to_owned()),
    ("AFTER", |r| r["after"].as_str().unwrap_or_default().to_owned()),
    ("RECORDS", |r| r["records"].to_string()),
    ("FIRST", |r| r["first"].as_str().unwrap_or_default().to_owned()),
    ("AS", |r| {
        let text = |path: &str| {
            r["sample"]
                .pointer(path)
                .and_then(|v| v.as_str())
                .unwrap_or_default()
                .to_owned()
        };
        [
            text("/class_name"),
            text("/activity_name"),
            text("/actor/user/name"),
            text("/user/name"),
        ]
        .iter()
        .filter(|t| !t.is_empty())
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(" ")
    }),
];
