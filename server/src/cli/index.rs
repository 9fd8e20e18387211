//! `docket index`

use std::process::ExitCode;

use serde_json::Value;

use super::client::Client;
use super::output::{Columns, OutputArg, write};
use super::search::text;
use super::{Target, block_on};
use crate::exit::{INTEGRITY, failure};

/// The search index: its splits, and whether they are whole
#[derive(clap::Subcommand)]
pub enum Command {
    /// List splits, the latest first: times, events, ledger range, sources
    List {
        #[command(flatten)]
        output: OutputArg,
        #[command(flatten)]
        target: Target,
    },
    /// Read every byte of the index and compare its checksums; also beside a running server
    Check {
        #[command(flatten)]
        target: Target,
    },
}

/// Runs it.
pub fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::List { output, target } => block_on(async {
            let client = Client::connect(&target).await?;
            let answer = client.get("/api/v1/index", &[]).await;
            client.close().await?;
            let answer = answer?;
            write(
                output.get(),
                &answer["splits"].as_array().cloned().unwrap_or_default(),
                COLUMNS,
            )?;
            let splits = answer["splits"].as_array().map_or(0, Vec::len);
            eprintln!(
                "{} events below ledger position {}: {splits} splits, and {} events that are hot",
                answer["events"], answer["position"], answer["hot"]["events"]
            );
            let dropped = &answer["dropped"];
            if !dropped.is_null() {
                eprintln!(
                    "{} events, received before {}, have left the index; the ledger holds them",
                    dropped["events"],
                    text(&dropped["received_before"])
                );
            }
            Ok(ExitCode::SUCCESS)
        }),
        Command::Check { target } => {
            search::check(&target.data.join("index")).map_err(|e| failure(INTEGRITY, e.to_string()))?;
            println!("every file of the index is as it was written");
            Ok(ExitCode::SUCCESS)
        }
    }
}

const COLUMNS: Columns = &[
    ("SPLIT", |s| text(&s["name"])),
    ("FIRST", |s| text(&s["first"])),
    ("LAST", |s| text(&s["last"])),
    ("EVENTS", |s| text(&s["events"])),
    ("LEDGER", |s| format!("{}-{}", s["ledger_first"], s["ledger_last"])),
    ("MB", |s| (s["bytes"].as_u64().unwrap_or(0) / 1_000_000).to_string()),
    ("SOURCES", sources),
];

fn sources(split: &Value) -> String {
    match split["sources"].as_array() {
        Some(all) => all.iter().map(text).collect::<Vec<_>>().join(" "),
        None => "many".into(),
    }
}
