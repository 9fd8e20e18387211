//! `docket show`

use std::io::Write as _;
use std::process::ExitCode;

use serde_json::Value;

use super::client::Client;
use super::output::{Output, OutputArg, inert};
use super::{Target, block_on};
use crate::exit::{USAGE, failure};

/// Show one record: what came, what was understood, and its three times
///
/// The view is recorded.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  docket show audit.linux/0/4711\n  docket show local.web/0/17 --output json")]
pub struct Args {
    /// Record id, as search and alerts show it
    record: String,
    #[command(flatten)]
    output: OutputArg,
    #[command(flatten)]
    target: Target,
}

/// Runs it.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    // The second and later events of a record have its id with `#n` behind it.
    let id = args.record.split('#').next().unwrap_or_default();
    let coordinate: model::Coordinate = id.parse().map_err(|e| failure(USAGE, format!("{e}")))?;
    block_on(async {
        let client = Client::connect(&args.target).await?;
        let answer = client.get(&format!("/api/v1/records/{coordinate}"), &[]).await;
        client.close().await?;
        let record = answer?;
        match args.output.get() {
            Output::Table => told(&record)?,
            Output::Json => writeln!(std::io::stdout().lock(), "{record:#}")?,
            Output::Ndjson | Output::Csv => writeln!(std::io::stdout().lock(), "{record}")?,
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn told(r: &Value) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let mut line = |name: &str, value: &str| match value.is_empty() {
        true => Ok(()),
        false => writeln!(out, "{name:<14}{}", inert(value)),
    };
    let text = |name: &str| r[name].as_str().unwrap_or_default();
    line("record", text("record"))?;
    line("ledger index", &r["ledger_index"].to_string())?;
    line("source", text("source"))?;
    line("peer", text("peer"))?;
    line("happened", text("time"))?;
    line("received", text("received_at"))?;
    line(
        "processed",
        r["processed_at"]
            .as_str()
            .unwrap_or("not in the index: to come, or a repeated delivery"),
    )?;
    line("format", text("format"))?;
    line("quarantined", text("quarantined"))?;
    let labels = r["events"][0]["metadata"]["labels"].as_array();
    let labels: Vec<&str> = labels.into_iter().flatten().filter_map(Value::as_str).collect();
    line("labels", &labels.join(", "))?;
    let proof = if r["proof"].is_null() {
        "no checkpoint covers it yet"
    } else {
        "in the ledger's tree (--output json has the proof)"
    };
    line("proof", proof)?;
    line("raw", text("raw"))?;
    for event in r["events"].as_array().into_iter().flatten() {
        writeln!(out, "\n{}", inert_json(event))?;
    }
    Ok(())
}

/// JSON as people read it; its own escapes keep control characters inert, the rest is made so line by line.
fn inert_json(event: &Value) -> String {
    let text = format!("{event:#}");
    text.lines().map(inert).collect::<Vec<_>>().join("\n")
}
