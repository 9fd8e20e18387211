//! `docket search`

use std::process::ExitCode;

use serde_json::Value;

use super::client::Client;
use super::output::{Output, OutputArg, inert, write};
use super::range::Range;
use super::{Target, block_on};

/// Search the full record
///
/// Newest first; every hit is shown from the ledger, and the search itself is recorded.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    docket search 'user:alice AND class:authentication AND NOT status:success'\n  \
    docket search --from 24h 'cmd:*shadow*'\n  \
    docket search --from 2026-03-01T00:00:00+08:00 --to 2026-03-02T00:00:00+08:00 '\"drop table\" host:crm-db-01'\n  \
    docket search --from 7d 'person:\"li na\" AND NOT source:nginx'\n  \
    docket search 'cmd:~\"rm -rf /\" OR url:~\"?id=1%20or\"'\n  \
    docket search 'src:10.8.0.0/16 code:>=500 time:[2026-03-01 TO 2026-03-02}'\n  \
    docket search --sort bytes:desc --from 24h 'source:nginx'\n  \
    docket search --all --output ndjson 'source:jumpserver' > jumpserver.ndjson\n\n\
    The language is in docs/search.md.")]
pub struct Args {
    /// Words, \"phrases\", field:value, AND OR NOT, (…), ranges [a TO b], wildcards * ?
    #[arg(default_value = "")]
    query: String,
    #[command(flatten)]
    range: Range,
    /// Which come first: newest, oldest, or by a field (user, host, bytes:desc, …)
    #[arg(long, value_name = "ORDER", default_value = "newest")]
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
    /// Count all hits, also where each has to be read from the ledger (phrases in the raw line, `~`)
    #[arg(long)]
    exact: bool,
    /// Run a saved search (`docket saved`); a query given besides narrows it
    #[arg(long, value_name = "NAME")]
    saved: Option<String>,
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
    let (q, from, to) = asked(client, args).await?;
    let (mut after, mut shown) = (args.after.clone(), 0);
    loop {
        let page = if args.all {
            1000
        } else {
            args.limit.saturating_sub(shown).min(1000)
        };
        let mut query = vec![
            ("q", q.clone()),
            ("sort", args.sort.clone()),
            ("limit", page.to_string()),
        ];
        query.extend(from.iter().map(|t| ("from", t.clone())));
        query.extend(to.iter().map(|t| ("to", t.clone())));
        query.extend(after.iter().map(|c| ("after", c.clone())));
        if args.exact {
            query.push(("exact", "true".into()));
        }
        let answer = client.ask("/api/v1/search", &query, None).await?;
        let hits = answer["hits"].as_array().cloned().unwrap_or_default();
        shown += hits.len();
        write(output, &hits, COLUMNS)?;
        after = answer["next"].as_str().map(str::to_owned);
        let done = after.is_none() || hits.is_empty() || (!args.all && shown >= args.limit);
        if done {
            let most = if answer["total_is_exact"] == true {
                ""
            } else {
                "at most "
            };
            eprintln!(
                "{shown} of {most}{} hits; {}",
                answer["total"],
                extent(&answer["searched"])
            );
            if !most.is_empty() {
                eprintln!("(not every candidate was read from the ledger; --exact counts them all)");
            }
            if let Some(next) = after.filter(|_| !args.all && output == Output::Table) {
                eprintln!("next page: --after {next}");
            }
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// The query and its time range, those of a saved search where one is named.
async fn asked(client: &Client, args: &Args) -> anyhow::Result<(String, Option<String>, Option<String>)> {
    let Some(name) = &args.saved else {
        return Ok((args.query.clone(), args.range.from.clone(), args.range.to.clone()));
    };
    let saved = client.get(&format!("/api/v1/saved/{name}"), &[]).await?;
    let one = |given: &Option<String>, name: &str| given.clone().or_else(|| saved[name].as_str().map(str::to_owned));
    let q = match (text(&saved["q"]), args.query.as_str()) {
        (saved, "") => saved,
        (saved, more) if saved.is_empty() => more.to_owned(),
        (saved, more) => format!("({saved}) AND ({more})"),
    };
    Ok((q, one(&args.range.from, "from"), one(&args.range.to, "to")))
}

/// What was looked through, and whether anything was left out.
pub fn extent(searched: &Value) -> String {
    let mut out = format!("searched {} of {} events", searched["in_range"], searched["events"]);
    match (searched["from"].as_str(), searched["to"].as_str()) {
        (Some(from), Some(to)) => out.push_str(&format!(", {from} to {to}")),
        (Some(from), None) => out.push_str(&format!(", from {from} on")),
        (None, Some(to)) => out.push_str(&format!(", before {to}")),
        (None, None) => {}
    }
    out.push_str(&format!(", every record below ledger position {}", searched["up_to"]));
    let dropped = &searched["dropped"];
    if !dropped.is_null() {
        out.push_str(&format!(
            "; NOT SEARCHED: {} events of {} to {}, received before {}, which only the ledger holds (docket-verify, docket show)",
            dropped["events"],
            text(&dropped["first"]),
            text(&dropped["last"]),
            text(&dropped["received_before"])
        ));
    }
    match searched["waiting"].as_u64().unwrap_or(0) {
        0 if dropped.is_null() => out.push_str("; nothing was left out"),
        0 => {}
        n => out.push_str(&format!(
            "; NOT SEARCHED: the {n} newest records, which are not indexed yet"
        )),
    }
    out
}

/// How a hit is shown in columns.
pub const COLUMNS: &[(&str, fn(&Value) -> String)] = &[
    ("TIME", |h| text(&h["time"])),
    ("RECORD", |h| text(&h["record"])),
    ("CLASS", |h| text(&h["event"]["class_name"])),
    ("USER", who),
    ("HOST", host),
    ("STATUS", |h| text(&h["event"]["status"])),
    ("WHAT", what),
];

/// Who did it; where nobody is named, whom it was done to.
pub fn who(hit: &Value) -> String {
    let e = &hit["event"];
    let actor = text(&e["actor"]["user"]["name"]);
    if actor.is_empty() {
        text(&e["user"]["name"])
    } else {
        actor
    }
}

/// Where.
pub fn host(hit: &Value) -> String {
    let places = [
        "/device/hostname",
        "/dst_endpoint/hostname",
        "/device/name",
        "/device/ip",
        "/dst_endpoint/ip",
    ];
    let found = places
        .iter()
        .find_map(|p| hit["event"].pointer(p).and_then(Value::as_str));
    found.unwrap_or_default().to_owned()
}

/// What was done, in short.
pub fn what(hit: &Value) -> String {
    let e = &hit["event"];
    let what = [
        "/process/cmd_line",
        "/query_info/query_string",
        "/script/script_content/value",
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
}

/// A value as a cell.
pub fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(s) => s.clone(),
        other => other.to_string(),
    }
}
