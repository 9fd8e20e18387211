//! `docket compare`

use std::process::ExitCode;

use serde_json::{Value, json};

use super::client::Client;
use super::output::{Output, OutputArg, inert, write};
use super::search::extent;
use super::{Target, block_on};

/// Compare a period with an earlier one: what is new, gone, more, less
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    docket compare --by user 'class:authentication status:failure' --from 7d\n  \
    docket compare --by cmd 'person:E1001' --from 24h --before 30d\n  \
    docket compare --by src --from 2026-03-01 --to 2026-04-01 'host:crm-db-01'")]
pub struct Args {
    /// Which records; as for `docket search`
    #[arg(default_value = "")]
    query: String,
    /// The field whose values are compared
    #[arg(long, value_name = "FIELD")]
    by: String,
    /// From this time on: 2026-03-01, RFC 3339, or an age such as 24h, 7d
    #[arg(long, value_name = "TIME", default_value = "7d")]
    from: String,
    /// Before this time (default: now)
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// How much earlier the other period is (default: it ends where this one begins)
    #[arg(long, value_name = "LENGTH")]
    before: Option<String>,
    /// How many rows: the greatest differences
    #[arg(long, default_value_t = 20)]
    size: usize,
    #[command(flatten)]
    output: OutputArg,
    #[command(flatten)]
    target: Target,
}

/// Runs it.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let body = json!({"q": args.query, "by": args.by, "from": args.from, "to": args.to, "before": args.before,
        "size": args.size});
    block_on(async {
        let client = Client::connect(&args.target).await?;
        let answer = client.ask("/api/v1/compare", &[], Some(body)).await;
        client.close().await?;
        let answer = answer?;
        let rows = answer["rows"].as_array().cloned().unwrap_or_default();
        match args.output.get() {
            Output::Json => println!("{answer:#}"),
            other => write(other, &rows, COLUMNS)?,
        }
        let values = answer["values"].as_u64().unwrap_or(0);
        eprintln!("{} of {values} values of {}", rows.len(), inert(&args.by));
        for (name, period) in [("now", &answer["now"]), ("before", &answer["before"])] {
            eprintln!("{name:<7}{} hits; {}", period["total"], extent(&period["searched"]));
        }
        Ok(ExitCode::SUCCESS)
    })
}

const COLUMNS: &[(&str, fn(&Value) -> String)] = &[
    ("VALUE", |r| r["key"].as_str().unwrap_or_default().to_owned()),
    ("NOW", |r| r["now"].to_string()),
    ("BEFORE", |r| r["before"].to_string()),
    ("CHANGE", |r| {
        let change = r["change"].as_i64().unwrap_or(0);
        if change > 0 {
            format!("+{change}")
        } else {
            change.to_string()
        }
    }),
    ("IS", |r| r["is"].as_str().unwrap_or_default().to_owned()),
];
