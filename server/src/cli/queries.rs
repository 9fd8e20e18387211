//! `docket queries`

use std::process::ExitCode;

use super::client::Client;
use super::output::{Output, OutputArg, write};
use super::search::text;
use super::{Target, block_on};

/// Questions that are being answered at this moment, and how far they are
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  docket queries\n  docket queries --cancel 3f2a90c1d4e5b6a7")]
pub struct Args {
    /// Stop this one
    #[arg(long, value_name = "ID")]
    cancel: Option<String>,
    #[command(flatten)]
    output: OutputArg,
    #[command(flatten)]
    target: Target,
}

/// Runs it.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    block_on(async {
        let client = Client::connect(&args.target).await?;
        let answer = match &args.cancel {
            Some(id) => client.delete(&format!("/api/v1/queries/{id}")).await,
            None => client.get("/api/v1/queries", &[]).await,
        };
        client.close().await?;
        let answer = answer?;
        let all = match answer["queries"].as_array() {
            Some(all) => all.clone(),
            None => vec![answer.clone()],
        };
        match args.output.get() {
            Output::Json => println!("{answer:#}"),
            other => write(
                other,
                &all,
                &[
                    ("ID", |q| text(&q["id"])),
                    ("SINCE", |q| text(&q["since"])),
                    ("BY", |q| text(&q["by"])),
                    ("WHAT", |q| text(&q["what"])),
                    ("EVENTS", |q| format!("{} of {}", q["looked_through"], q["of"])),
                    ("READ", |q| text(&q["read_from_ledger"])),
                    ("ASKED", |q| text(&q["asked"])),
                ],
            )?,
        }
        Ok(ExitCode::SUCCESS)
    })
}
