//! `docket aggregate`

use std::process::ExitCode;

use serde_json::{Value, json};

use super::client::Client;
use super::output::{Output, OutputArg, inert};
use super::range::Range;
use super::search::extent;
use super::{Target, block_on};
use crate::exit::{USAGE, failure};

/// Count over all records that a query finds
///
/// Most frequent values, numbers by time, different values, sums; one within another. Every match is counted.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    docket aggregate --by user 'class:authentication status:failure' --from 7d\n  \
    docket aggregate --by host --by cmd --size 5 'person:E1001' --from 30d\n  \
    docket aggregate --every 1h --zone +08:00 --by source --from 24h\n  \
    docket aggregate --by src --distinct user --stats bytes 'source:nginx'\n\n\
    Fields are those of the query language, or any OCSF path (process.file.path, unmapped.remote_addr), which is\n\
    read from the ledger for at most 500,000 matches.")]
pub struct Args {
    /// Which records; as for `docket search`
    #[arg(default_value = "")]
    query: String,
    #[command(flatten)]
    range: Range,
    /// The most frequent values of this field; repeated: of the second within each of the first
    #[arg(long, value_name = "FIELD")]
    by: Vec<String>,
    /// By time, in steps of 15m, 1h, 1d, …
    #[arg(long, value_name = "LENGTH")]
    every: Option<String>,
    /// Where a day begins, with --every
    #[arg(long, value_name = "OFFSET", default_value = "+00:00")]
    zone: String,
    /// How many values of each field
    #[arg(long, default_value_t = 10)]
    size: usize,
    /// How many different values this field has
    #[arg(long, value_name = "FIELD")]
    distinct: Vec<String>,
    /// Least, greatest, sum and mean of this field
    #[arg(long, value_name = "FIELD")]
    stats: Vec<String>,
    #[command(flatten)]
    output: OutputArg,
    #[command(flatten)]
    target: Target,
}

/// Runs it.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    if args.by.is_empty() && args.every.is_none() && args.distinct.is_empty() && args.stats.is_empty() {
        return Err(failure(
            USAGE,
            "say what to count: --by FIELD, --every 1h, --distinct FIELD or --stats FIELD".to_owned(),
        ));
    }
    let body = json!({"q": args.query, "from": args.range.from, "to": args.range.to, "aggs": args.aggs()});
    block_on(async {
        let client = Client::connect(&args.target).await?;
        let answer = client.ask("/api/v1/aggregate", &[], Some(body)).await;
        client.close().await?;
        let answer = answer?;
        match args.output.get() {
            Output::Json => println!("{answer:#}"),
            Output::Ndjson => rows(&args, &answer).iter().for_each(|row| println!("{row}")),
            other => table(other, &args, &answer)?,
        }
        eprintln!("{} hits; {}", answer["total"], extent(&answer["searched"]));
        Ok(ExitCode::SUCCESS)
    })
}

impl Args {
    /// One within another: by time, then by each field, then the numbers.
    fn aggs(&self) -> Value {
        let distinct = self.distinct.iter().map(|f| json!({"cardinality": {"field": f}}));
        let stats = self.stats.iter().map(|f| json!({"stats": {"field": f}}));
        let mut inner: Vec<Value> = distinct.chain(stats).collect();
        for field in self.by.iter().rev() {
            inner = vec![json!({"terms": {"field": field, "size": self.size, "within": inner}})];
        }
        if let Some(every) = &self.every {
            inner = vec![json!({"histogram": {"every": every, "zone": self.zone, "within": inner}})];
        }
        Value::Array(inner)
    }

    /// The headings of the keys.
    fn keys(&self) -> Vec<String> {
        self.every
            .iter()
            .map(|_| "time".to_owned())
            .chain(self.by.iter().cloned())
            .collect()
    }
}

/// Each innermost bucket, with the keys that lead to it.
fn rows(args: &Args, answer: &Value) -> Vec<Value> {
    let (names, mut out) = (args.keys(), Vec::new());
    walk(
        args,
        &answer["aggs"],
        &names,
        &mut Vec::new(),
        &answer["total"],
        &mut out,
    );
    out
}

fn walk(args: &Args, aggs: &Value, names: &[String], keys: &mut Vec<Value>, count: &Value, out: &mut Vec<Value>) {
    let aggs = aggs.as_array().map(Vec::as_slice).unwrap_or_default();
    if keys.len() < names.len() {
        for bucket in aggs.iter().flat_map(|a| a["buckets"].as_array()).flatten() {
            keys.push(bucket["key"].clone());
            walk(args, &bucket["within"], names, keys, &bucket["count"], out);
            keys.pop();
        }
        return;
    }
    let mut row = serde_json::Map::new();
    for (name, key) in names.iter().zip(keys.iter()) {
        row.insert(name.clone(), key.clone());
    }
    row.insert("count".to_owned(), count.clone());
    let (distinct, stats) = aggs.split_at(args.distinct.len().min(aggs.len()));
    for (field, found) in args.distinct.iter().zip(distinct) {
        row.insert(format!("distinct {field}"), found["distinct"].clone());
    }
    for (field, found) in args.stats.iter().zip(stats) {
        for name in ["min", "max", "sum", "avg"] {
            row.insert(format!("{name} {field}"), found[name].clone());
        }
    }
    out.push(Value::Object(row));
}

fn table(output: Output, args: &Args, answer: &Value) -> std::io::Result<()> {
    let rows = rows(args, answer);
    let heads: Vec<String> = match rows.first().and_then(Value::as_object) {
        Some(first) => first.keys().cloned().collect(),
        None => return Ok(()),
    };
    super::output::write_named(output, &heads, &rows)?;
    if output == Output::Table && args.every.is_none() && args.by.len() == 1 {
        let found = &answer["aggs"][0];
        let named = inert(&args.by[0]);
        eprintln!(
            "{} different values of {named}{}; {} without",
            found["distinct"],
            if found["others"] == 0 {
                String::new()
            } else {
                format!(", {} in those not shown", found["others"])
            },
            found["missing"]
        );
    }
    Ok(())
}
