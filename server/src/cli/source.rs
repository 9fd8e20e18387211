//! `docket source`

use std::process::ExitCode;

use serde_json::Value;

use super::client::Client;
use super::output::{Columns, OutputArg, write};
use super::{Target, block_on};
use crate::exit::{USAGE, failure};

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
    /// Show one source: what became of its records, by minute
    Show {
        /// The source's id
        source: String,
        #[command(flatten)]
        output: OutputArg,
        #[command(flatten)]
        target: Target,
    },
}

/// Runs it.
pub fn run(command: Command) -> anyhow::Result<ExitCode> {
    let (path, key, columns, output, target) = match command {
        Command::List { output, target } => ("/api/v1/sources".to_owned(), "sources", COLUMNS, output, target),
        Command::Show { source, output, target } => {
            crate::config::check_source(&source).map_err(|e| failure(USAGE, e.to_string()))?;
            (format!("/api/v1/sources/{source}"), "minutes", MINUTES, output, target)
        }
    };
    block_on(async {
        let client = Client::connect(&target).await?;
        let answer = client.get(&path, &[]).await;
        client.close().await?;
        let rows = answer?[key].as_array().cloned().unwrap_or_default();
        write(output.get(), &rows, columns)?;
        Ok(ExitCode::SUCCESS)
    })
}

const COLUMNS: Columns<'static> = &[
    ("SOURCE", |r| r["source"].as_str().unwrap_or_default().to_owned()),
    ("RECEIVED", |r| r["received"].to_string()),
    ("STORED", |r| r["stored"].to_string()),
    ("QUARANTINED", |r| r["quarantined"].to_string()),
    ("DEDUPLICATED", |r| r["deduplicated"].to_string()),
    ("PER MINUTE", |r| rate(&r["per_minute"])),
    ("5 MIN", |r| rate(&r["per_minute_5m"])),
    ("LAG", |r| span_ms(&r["lag_ms"])),
    ("SKEW", |r| span_ms(&r["skew_ms"])),
    ("LAST", |r| r["last_received"].as_str().unwrap_or("never").to_owned()),
    ("SILENT", |r| {
        let seconds = |v: &Value| {
            v.as_i64()
                .map_or_else(|| "-".to_owned(), |s| span_text(s.saturating_mul(1000)))
        };
        let late = if r["overdue"] == true { " OVERDUE" } else { "" };
        match r["max_silence_s"].is_null() {
            true => seconds(&r["silent_s"]),
            false => format!("{} of {}{late}", seconds(&r["silent_s"]), seconds(&r["max_silence_s"])),
        }
    }),
    ("QUARANTINED FOR", |r| {
        let mut reasons: Vec<(&String, u64)> = r["reasons"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(k, n)| (k, n.as_u64().unwrap_or(0)))
            .collect();
        reasons.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        let shown: Vec<String> = reasons.iter().take(3).map(|(k, n)| format!("{k} {n}")).collect();
        shown.join(", ") + if reasons.len() > 3 { ", …" } else { "" }
    }),
];

const MINUTES: Columns<'static> = &[
    ("START", |r| r["start"].as_str().unwrap_or_default().to_owned()),
    ("RECEIVED", |r| r["received"].to_string()),
    ("STORED", |r| r["stored"].to_string()),
    ("QUARANTINED", |r| r["quarantined"].to_string()),
    ("DEDUPLICATED", |r| r["deduplicated"].to_string()),
    ("SKEW", |r| span_ms(&r["skew_ms"])),
];

fn rate(value: &Value) -> String {
    value.as_f64().map_or_else(String::new, |n| {
        if n.fract() == 0.0 {
            format!("{n:.0}")
        } else {
            format!("{n:.1}")
        }
    })
}

fn span_ms(value: &Value) -> String {
    value.as_i64().map_or_else(|| "-".to_owned(), span_text)
}

/// A span of time in its two greatest units.
fn span_text(ms: i64) -> String {
    let sign = if ms < 0 { "-" } else { "" };
    let ms = ms.unsigned_abs();
    let text = match ms {
        0..1_000 => format!("{ms}ms"),
        1_000..60_000 => format!("{}s", ms / 1_000),
        60_000..3_600_000 => format!("{}m{:02}s", ms / 60_000, ms / 1_000 % 60),
        3_600_000..86_400_000 => format!("{}h{:02}m", ms / 3_600_000, ms / 60_000 % 60),
        _ => format!("{}d{:02}h", ms / 86_400_000, ms / 3_600_000 % 24),
    };
    format!("{sign}{text}")
}
