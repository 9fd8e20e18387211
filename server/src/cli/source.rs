//! `docket source`

use std::process::ExitCode;

use serde_json::Value;

use super::client::Client;
use super::output::{OutputArg, write};
use super::{Target, block_on};

/// Sources, and what became of their records
#[derive(clap::Subcommand)]
pub enum Command {
    /// List sources: received = stored + quarantined + deduplicated
    List {
        #[command(flatten)]
        output: OutputArg,
        #[command(flatten)]
        target: Target,
    },
}

/// Runs it.
pub fn run(command: Command) -> anyhow::Result<ExitCode> {
    let Command::List { output, target } = command;
    block_on(async {
        let client = Client::connect(&target).await?;
        let answer = client.get("/api/v1/sources", &[]).await;
        client.close().await?;
        let rows = answer?["sources"].as_array().cloned().unwrap_or_default();
        write(output.get(), &rows, COLUMNS)?;
        Ok(ExitCode::SUCCESS)
    })
}

const COLUMNS: &[(&str, fn(&Value) -> String)] = &[
    ("SOURCE", |r| r["source"].as_str().unwrap_or_default().to_owned()),
    ("RECEIVED", |r| r["received"].to_string()),
    ("STORED", |r| r["stored"].to_string()),
    ("QUARANTINED", |r| r["quarantined"].to_string()),
    ("DEDUPLICATED", |r| r["deduplicated"].to_string()),
    ("LAST", |r| r["last_received"].as_str().unwrap_or_default().to_owned()),
];
