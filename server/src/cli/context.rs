//! `docket context`

use std::process::ExitCode;

use serde_json::Value;

use super::client::Client;
use super::output::{Output, OutputArg, inert, write};
use super::search::{extent, host, text, what, who};
use super::{Target, block_on};

/// What came before and after a record
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    docket context local.jumpserver/0/271\n  \
    docket context local.jumpserver/0/271 --same host --count 20\n  \
    docket context audit.crm/3/4711 --same person")]
pub struct Args {
    /// Record id, as search and alerts show it
    record: String,
    /// How many before, and as many after, at most 500
    #[arg(long, default_value_t = 10)]
    count: usize,
    /// Of the same what (default: session, else host, else source)
    #[arg(long, value_parser = ["session", "host", "person", "user", "source", "all"])]
    same: Option<String>,
    #[command(flatten)]
    output: OutputArg,
    #[command(flatten)]
    target: Target,
}

/// Runs it.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    block_on(async {
        let client = Client::connect(&args.target).await?;
        let mut query = vec![("count", args.count.to_string())];
        query.extend(args.same.iter().map(|s| ("same", s.clone())));
        let path = format!("/api/v1/context/{}", args.record.replace('#', "%23"));
        let answer = client.ask(&path, &query, None).await;
        client.close().await?;
        let answer = answer?;
        let output = args.output.get();
        if output == Output::Json {
            println!("{answer:#}");
        } else {
            let mut centre = answer["record"].clone();
            centre["centre"] = true.into();
            let side = |name: &str| answer[name].as_array().cloned().unwrap_or_default();
            let all: Vec<Value> = side("before")
                .into_iter()
                .chain([centre])
                .chain(side("after"))
                .collect();
            write(output, &all, COLUMNS)?;
        }
        let more = |name: &str| {
            if answer[name] == true {
                "there are more"
            } else {
                "that is all"
            }
        };
        let of = match answer["query"].as_str().unwrap_or_default() {
            "" => "all records".to_owned(),
            query => inert(query),
        };
        eprintln!("{of}; before: {}, after: {}", more("more_before"), more("more_after"));
        eprintln!("{}", extent(&answer["searched"]));
        Ok(ExitCode::SUCCESS)
    })
}

const COLUMNS: &[(&str, fn(&Value) -> String)] = &[
    ("", |h| if h["centre"] == true { ">" } else { "" }.to_owned()),
    ("TIME", |h| text(&h["time"])),
    ("RECORD", |h| text(&h["record"])),
    ("CLASS", |h| text(&h["event"]["class_name"])),
    ("USER", who),
    ("HOST", host),
    ("STATUS", |h| text(&h["event"]["status"])),
    ("WHAT", what),
];
