//! `docket tail`

use std::process::ExitCode;

use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use super::client::Client;
use super::output::{Output, OutputArg, inert};
use super::search::{host, text, what, who};
use super::{Target, block_on};
use crate::exit::{UNREACHABLE, failure};

/// Watch records as they come in (until Ctrl-C)
///
/// Each shows once, as soon as it can be searched: half a second after it is durable.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    docket tail 'class:authentication status:failure'\n  \
    docket tail --output ndjson 'person:E1001' | jq -r .event.process.cmd_line\n  \
    docket tail --since 9685 'source:jumpserver'     # go on where another stopped")]
pub struct Args {
    /// Which records; as for `docket search`
    #[arg(default_value = "")]
    query: String,
    /// From this ledger position on (default: what comes from now on)
    #[arg(long, value_name = "POSITION")]
    since: Option<u64>,
    /// End after so many records
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    #[command(flatten)]
    output: OutputArg,
    #[command(flatten)]
    target: Target,
}

/// Runs it.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    block_on(async {
        let client = Client::connect(&args.target).await?;
        if !client.is_running_server() {
            client.close().await?;
            return Err(failure(
                UNREACHABLE,
                "nothing comes in: no server runs on this folder".to_owned(),
            ));
        }
        let mut query = vec![("q", args.query.clone())];
        query.extend(args.since.iter().map(|n| ("since", n.to_string())));
        // From here on: who is interrupted before the first answer ends as well as later.
        let mut interrupted = signal(SignalKind::interrupt())?;
        let mut stream = client.events("/api/v1/tail", &query).await?;
        let (mut shown, mut up_to) = (0, 0);
        while args.count.is_none_or(|n| shown < n) {
            let next = tokio::select! {
                next = stream.next() => next?,
                _ = interrupted.recv() => break,
            };
            let Some((kind, data)) = next else { break };
            match kind.as_str() {
                "hit" => {
                    shown += 1;
                    print(args.output.get(), &data)?;
                }
                "searched" => up_to = data["up_to"].as_u64().unwrap_or(up_to),
                "error" => return Err(failure(UNREACHABLE, inert(&text(&data["error"])))),
                _ => {}
            }
        }
        eprintln!("{shown} records; every record below ledger position {up_to} was looked at");
        Ok(ExitCode::SUCCESS)
    })
}

fn print(output: Output, hit: &Value) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    match output {
        Output::Table => writeln!(
            out,
            "{}  {}  {}  {}  {}  {}",
            text(&hit["time"]),
            inert(&text(&hit["record"])),
            inert(&text(&hit["event"]["class_name"])),
            inert(&who(hit)),
            inert(&host(hit)),
            what(hit)
        ),
        _ => writeln!(out, "{hit}"),
    }?;
    out.flush()
}
