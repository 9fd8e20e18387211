//! `docket search`

use std::process::ExitCode;

use serde_json::Value;

use super::client::Client;
use super::output::{Output, OutputArg, inert, write};
use super::{Target, block_on};

/// Search the full record
///
/// Newest first; every hit is shown from the ledger, and the search itself is recorded.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    docket search 'user:alice AND class:authentication AND NOT status:success'\n  \
    docket search --from 24h 'cmd:*shadow*'\n  \
    docket search --from 2026-03-01T00:00:00+08:00 --to 2026-03-02T00:00:00+08:00 '\"drop table\" host:crm-db-01'\n  \
    docket search --all --output ndjson 'source:jumpserver' > jumpserver.ndjson")]
pub struct Args {
    /// Words, \"phrases\", field:value, AND OR NOT, (…), ranges [a TO b], wildcards * ?
    #[arg(default_value = "")]
    query: String,
    /// From this time on: RFC 3339, or an age such as 15m, 24h, 7d
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Before this time
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Which come first
    #[arg(long, value_parser = ["newest", "oldest"], default_value = "newest")]
    sort: String,
    /// How many
    #[arg(long, default_value_t = 50)]
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
    loop {
        let page = if args.all {
            1000
        } else {
            args.limit.saturating_sub(shown).min(1000)
        };
        let mut query = vec![
            ("q", args.query.clone()),
            ("sort", args.sort.clone()),
            ("limit", page.to_string()),
        ];
        query.extend(args.from.iter().map(|t| ("from", t.clone())));
        query.extend(args.to.iter().map(|t| ("to", t.clone())));
        query.extend(after.iter().map(|c| ("after", c.clone())));
        let answer = client.get("/api/v1/search", &query).await?;
        let hits = answer["hits"].as_array().cloned().unwrap_or_default();
        shown += hits.len();
        write(output, &hits, COLUMNS)?;
        after = answer["next"].as_str().map(str::to_owned);
        let done = after.is_none() || hits.is_empty() || (!args.all && shown >= args.limit);
        if done {
            let searched = &answer["searched"];
            eprintln!(
                "{shown} of {} hits, in {} events up to ledger position {}",
                answer["total"], searched["events"], searched["up_to"]
            );
            if let Some(next) = after.filter(|_| !args.all && output == Output::Table) {
                eprintln!("next page: --after {next}");
            }
            return Ok(ExitCode::SUCCESS);
        }
    }
}

const COLUMNS: &[(&str, fn(&Value) -> String)] = &[
    ("TIME", |h| text(&h["time"])),
    ("RECORD", |h| text(&h["record"])),
    ("CLASS", |h| text(&h["event"]["class_name"])),
    ("USER", |h| {
        let e = &h["event"];
        let actor = text(&e["actor"]["user"]["name"]);
        if actor.is_empty() {
            text(&e["user"]["name"])
        } else {
            actor
        }
    }),
    ("STATUS", |h| text(&h["event"]["status"])),
    ("WHAT", |h| {
        let e = &h["event"];
        let what = [
            "/process/cmd_line",
            "/http_request/url/url_string",
            "/file/path",
            "/api/operation",
            "/message",
            "/raw_data",
        ];
        let found = what
            .iter()
            .find_map(|p| e.pointer(p).and_then(Value::as_str))
            .unwrap_or_default();
        inert(&found.chars().take(120).collect::<String>())
    }),
];

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(s) => s.clone(),
        other => other.to_string(),
    }
}
