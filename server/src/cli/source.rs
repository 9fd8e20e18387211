//! `docket source`

use std::io::Write as _;
use std::process::ExitCode;

use serde_json::Value;

use super::client::Client;
use super::output::{Columns, Output, OutputArg, inert, write};
use super::{Target, block_on};
use crate::exit::{USAGE, failure};

/// Minutes that are shown to people; programs get all.
const MINUTES_SHOWN: usize = 15;

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
    /// Show one source: what became of its records, by minute, and what is wrong with them
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
    match command {
        Command::List { output, target } => block_on(async {
            let answer = get(&target, "/api/v1/sources").await?;
            write(output.get(), &rows(&answer["sources"]), COLUMNS)?;
            Ok(ExitCode::SUCCESS)
        }),
        Command::Show { source, output, target } => block_on(async {
            crate::config::check_source(&source).map_err(|e| failure(USAGE, e.to_string()))?;
            let answer = get(&target, &format!("/api/v1/sources/{source}")).await?;
            let minutes = rows(&answer["minutes"]);
            match output.get() {
                Output::Table => {
                    told(&answer)?;
                    let from = minutes.len().saturating_sub(MINUTES_SHOWN);
                    write(Output::Table, &minutes[from..], MINUTES)?;
                }
                Output::Json => writeln!(std::io::stdout().lock(), "{answer:#}")?,
                output => write(output, &minutes, MINUTES)?,
            }
            Ok(ExitCode::SUCCESS)
        }),
    }
}

async fn get(target: &Target, path: &str) -> anyhow::Result<Value> {
    let client = Client::connect(target).await?;
    let answer = client.get(path, &[]).await;
    client.close().await?;
    answer
}

fn rows(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

/// What people want to know of a source, a line each.
fn told(r: &Value) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let mut line = |name: &str, value: String| match value.is_empty() {
        true => Ok(()),
        false => writeln!(out, "{name:<14}{}", inert(&value)),
    };
    let since = r["silent_since"]
        .as_str()
        .map(|t| format!(" since {t}"))
        .unwrap_or_default();
    line("source", text(&r["source"]))?;
    line("state", format!("{}{since}", text(&r["state"])))?;
    line("last record", text(&r["last_received"]))?;
    line("may be silent", cadence(r))?;
    line(
        "received",
        format!(
            "{} = {} stored + {} quarantined + {} deduplicated",
            r["received"], r["stored"], r["quarantined"], r["deduplicated"]
        ),
    )?;
    line("refused", counts(&r["refused"], usize::MAX))?;
    line("lag", lag(r))?;
    let flag = if r["skewed"] == true { " (more than 120 s)" } else { "" };
    line("clock", format!("{} behind{flag}", span_ms(&r["skew_ms"])))?;
    line("", text(&r["clock_advice"]))?;
    line("labels", counts(&r["labels"], usize::MAX))?;
    line("quarantined", counts(&r["reasons"], usize::MAX))?;
    let samples = rows(&r["quarantined_last"]);
    for sample in &samples {
        line(
            "",
            format!(
                "{} {}: {}",
                text(&sample["record"]),
                text(&sample["reason"]),
                text(&sample["raw"])
            ),
        )?;
    }
    if !samples.is_empty() {
        let source = text(&r["source"]);
        line(
            "",
            format!("after a parser or a setting was mended: docket replay --quarantined --source {source}"),
        )?;
    }
    writeln!(out)
}

const COLUMNS: Columns<'static> = &[
    ("SOURCE", |r| text(&r["source"])),
    ("STATE", |r| text(&r["state"])),
    ("RECEIVED", |r| r["received"].to_string()),
    ("STORED", |r| r["stored"].to_string()),
    ("QUARANTINED", |r| r["quarantined"].to_string()),
    ("DEDUPLICATED", |r| r["deduplicated"].to_string()),
    ("REFUSED", |r| {
        let counts = r["refused"].as_object().into_iter().flatten();
        counts.filter_map(|(_, n)| n.as_u64()).sum::<u64>().to_string()
    }),
    ("PER MINUTE", |r| rate(&r["per_minute"])),
    ("5 MIN", |r| rate(&r["per_minute_5m"])),
    ("LAG", lag),
    ("SKEW", |r| {
        let flag = if r["skewed"] == true { "!" } else { "" };
        format!("{}{flag}", span_ms(&r["skew_ms"]))
    }),
    ("LAST", |r| r["last_received"].as_str().unwrap_or("never").to_owned()),
    ("SILENT", |r| {
        let late = if r["overdue"] == true { " OVERDUE" } else { "" };
        format!("{}{late}", span_s(&r["silent_s"]))
    }),
    ("MAY BE SILENT", cadence),
    ("QUARANTINED FOR", |r| counts(&r["reasons"], 3)),
];

const MINUTES: Columns<'static> = &[
    ("START", |r| r["start"].as_str().unwrap_or_default().to_owned()),
    ("RECEIVED", |r| r["received"].to_string()),
    ("STORED", |r| r["stored"].to_string()),
    ("QUARANTINED", |r| r["quarantined"].to_string()),
    ("DEDUPLICATED", |r| r["deduplicated"].to_string()),
    ("SKEW", |r| span_ms(&r["skew_ms"])),
];

/// How long it may be silent, and how that is known.
fn cadence(r: &Value) -> String {
    match (r["cadence_s"].is_null(), r["cadence"].as_str()) {
        (true, _) => "-".to_owned(),
        (false, basis) => format!("{} ({})", span_s(&r["cadence_s"]), basis.unwrap_or("declared")),
    }
}

/// From receipt to judgement, and what waits in Kafka.
fn lag(r: &Value) -> String {
    match r["lag_records"].as_i64().filter(|n| *n > 0) {
        Some(n) => format!("{}, {n} in Kafka", span_ms(&r["lag_ms"])),
        None => span_ms(&r["lag_ms"]),
    }
}

/// The greatest counts first.
fn counts(value: &Value, shown: usize) -> String {
    let counts = value.as_object().into_iter().flatten();
    let mut counts: Vec<(&String, u64)> = counts.map(|(k, n)| (k, n.as_u64().unwrap_or(0))).collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let told: Vec<String> = counts.iter().take(shown).map(|(k, n)| format!("{k} {n}")).collect();
    told.join(", ") + if counts.len() > shown { ", …" } else { "" }
}

fn rate(value: &Value) -> String {
    value.as_f64().map_or_else(String::new, |n| {
        if n.fract() == 0.0 {
            format!("{n:.0}")
        } else {
            format!("{n:.1}")
        }
    })
}

fn span_s(value: &Value) -> String {
    value
        .as_i64()
        .map_or_else(|| "-".to_owned(), |s| span_text(s.saturating_mul(1000)))
}

fn span_ms(value: &Value) -> String {
    value.as_i64().map_or_else(|| "-".to_owned(), span_text)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
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
