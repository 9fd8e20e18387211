//! `docket timeline`

use std::process::ExitCode;

use serde_json::Value;

use super::client::Client;
use super::output::{Output, OutputArg, inert, write};
use super::range::Range;
use super::search::{extent, host, text, what, who};
use super::{Target, block_on};

/// What a person did, or what happened at a host, by an address or in a session, in order
///
/// Sessions are put together across bastion, target and web system; what is missing or cut is marked.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    docket timeline --person E1001 --from 2026-03-02 --to 2026-03-03\n  \
    docket timeline --person 'li na' --from 24h 'NOT source:nginx'\n  \
    docket timeline --session a3fc981f-4765-4939-a488-e43334b112e1\n  \
    docket timeline --host crm-db-01 --from 1h --all\n  \
    docket timeline --ip 10.44.1.0/24 --from 7d 'status:failure'")]
pub struct Args {
    /// Only these records; as for `docket search`
    #[arg(default_value = "")]
    query: String,
    /// Employee id, name, login or address of mail
    #[arg(long, value_name = "WHO")]
    person: Option<String>,
    /// Any name or address of a host
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// An address, or a network
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<String>,
    /// A session's id
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    #[command(flatten)]
    range: Range,
    /// How many records
    #[arg(long, default_value_t = 200)]
    limit: usize,
    /// All of them, page by page
    #[arg(long)]
    all: bool,
    /// Continue after the page whose `next` is given
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,
    #[command(flatten)]
    output: OutputArg,
    #[command(flatten)]
    target: Target,
}

/// Runs it.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    block_on(async {
        let client = Client::connect(&args.target).await?;
        let shown = show(&client, &args).await;
        client.close().await?;
        shown
    })
}

async fn show(client: &Client, args: &Args) -> anyhow::Result<ExitCode> {
    let output = args.output.get();
    let (mut after, mut shown) = (args.after.clone(), 0);
    let mut first = true;
    loop {
        let page = if args.all {
            1000
        } else {
            args.limit.saturating_sub(shown).min(1000)
        };
        let mut query = vec![("q", args.query.clone()), ("limit", page.to_string())];
        let given = [
            ("person", &args.person),
            ("host", &args.host),
            ("ip", &args.ip),
            ("session", &args.session),
            ("from", &args.range.from),
            ("to", &args.range.to),
            ("after", &after),
        ];
        query.extend(given.into_iter().filter_map(|(name, v)| Some((name, v.clone()?))));
        let answer = client.ask("/api/v1/timeline", &query, None).await?;
        let entries = answer["entries"].as_array().cloned().unwrap_or_default();
        shown += entries.len();
        if output == Output::Json {
            println!("{answer:#}");
        } else {
            if first && output == Output::Table {
                sessions(&answer)?;
            }
            write(output, &entries, COLUMNS)?;
        }
        first = false;
        after = answer["next"].as_str().map(str::to_owned);
        if after.is_none() || entries.is_empty() || (!args.all && shown >= args.limit) {
            for gap in answer["gaps"].as_array().into_iter().flatten() {
                eprintln!("missing: {}", inert(&gap_text(gap)));
            }
            let marked = entries
                .iter()
                .filter(|e| e["marks"].as_array().is_some_and(|m| !m.is_empty()))
                .count();
            if marked > 0 {
                eprintln!("{marked} of these records are marked as cut, partial or not understood (column MARKS)");
            }
            eprintln!(
                "{shown} of {} records; {}",
                answer["total"],
                extent(&answer["searched"])
            );
            if let Some(next) = after.filter(|_| !args.all && output == Output::Table) {
                eprintln!("next page: --after {next}");
            }
            return Ok(ExitCode::SUCCESS);
        }
    }
}

fn sessions(answer: &Value) -> std::io::Result<()> {
    let sessions = answer["sessions"].as_array().cloned().unwrap_or_default();
    if sessions.is_empty() {
        return Ok(());
    }
    write(Output::Table, &sessions, SESSION_COLUMNS)?;
    let total = answer["sessions_total"].as_u64().unwrap_or(0);
    if total > sessions.len() as u64 {
        println!(
            "({} of {total} sessions: those with the most records; a shorter range shows the rest)",
            sessions.len()
        );
    }
    println!();
    Ok(())
}

fn gap_text(gap: &Value) -> String {
    let one = |name: &str| text(&gap[name]);
    match gap["kind"].as_str() {
        Some("records_lost") => format!(
            "records {}/{}: offsets {} to {} were gone from Kafka before they were read ({})",
            one("topic"),
            one("partition"),
            one("from"),
            one("to"),
            one("at")
        ),
        Some("docket_down") => {
            let from = gap["from"]
                .as_str()
                .unwrap_or("an unknown time (it was killed, or first started)");
            format!(
                "Docket did not run from {from} to {}; what shippers kept meanwhile came later",
                one("to")
            )
        }
        Some("session") => format!("session #{} {}: {}", one("number"), one("session"), one("what")),
        _ => one("what"),
    }
}

fn list(value: &Value) -> String {
    let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().map(text).collect::<Vec<_>>().join(",")
}

fn clock(value: &Value) -> String {
    value.as_str().unwrap_or("?").to_owned()
}

const SESSION_COLUMNS: &[(&str, fn(&Value) -> String)] = &[
    ("#", |s| text(&s["number"])),
    ("SESSION", |s| text(&s["session"])),
    ("BY", |s| list(&s["actors"])),
    ("AS", |s| list(&s["accounts"])),
    ("ON", |s| list(&s["hosts"])),
    ("OPENED", |s| clock(&s["opened"])),
    ("CLOSED", |s| clock(&s["closed"])),
    ("RECORDS", |s| text(&s["records"])),
    ("TOLD BY", |s| list(&s["sources"])),
    ("MARKS", |s| list(&s["marks"])),
];

const COLUMNS: &[(&str, fn(&Value) -> String)] = &[
    ("TIME", |h| text(&h["time"])),
    ("#", |h| list(&h["sessions"])),
    ("RECORD", |h| text(&h["record"])),
    ("CLASS", |h| text(&h["event"]["class_name"])),
    ("USER", who),
    ("HOST", host),
    ("STATUS", |h| text(&h["event"]["status"])),
    ("WHAT", what),
    ("MARKS", |h| list(&h["marks"])),
];
