//! `docket report` and `docket custody`

use std::process::ExitCode;

use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::client::Client;
use super::output::{Output, OutputArg, inert};
use super::{Target, block_on};

/// Read and sign the report of a day
#[derive(clap::Subcommand)]
#[command(
    after_help = "Examples:\n  docket report show 2026-03-02\n  docket report sign 2026-03-02 --comment 'two alerts handed to the bastion team'"
)]
pub enum Command {
    /// Count what was raised on a day, and what became of it
    Show {
        /// The day
        #[arg(value_name = "YYYY-MM-DD")]
        day: String,
        /// Time zone of the day (default: this machine's)
        #[arg(long, value_name = "ZONE")]
        timezone: Option<String>,
        #[command(flatten)]
        output: OutputArg,
        #[command(flatten)]
        target: Target,
    },
    /// Say that you have read it; recorded in the ledger under your name
    Sign {
        /// The day
        #[arg(value_name = "YYYY-MM-DD")]
        day: String,
        /// What you have to say about it
        #[arg(long, default_value = "")]
        comment: String,
        #[command(flatten)]
        target: Target,
    },
}

/// Record who has a package of evidence from now on
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  docket custody case-17.tar --holder 'District Court 3' --purpose 'original, against receipt'"
)]
pub struct CustodyArgs {
    /// The package, as its manifest names it
    package: String,
    /// Who has it
    #[arg(long)]
    holder: String,
    /// What for
    #[arg(long, default_value = "")]
    purpose: String,
    #[command(flatten)]
    target: Target,
}

/// Runs `docket report`.
pub fn run(command: &Command) -> anyhow::Result<ExitCode> {
    block_on(async {
        let (Command::Show { target, .. } | Command::Sign { target, .. }) = command;
        let client = Client::connect(target).await?;
        let done = act(&client, command).await;
        client.close().await?;
        done
    })
}

/// Runs `docket custody`.
pub fn custody(args: &CustodyArgs) -> anyhow::Result<ExitCode> {
    block_on(async {
        let client = Client::connect(&args.target).await?;
        let body = json!({"package": args.package, "holder": args.holder, "purpose": args.purpose});
        let done = client.post("/api/v1/custody", body).await;
        client.close().await?;
        let done = done?;
        eprintln!("recorded: {} has {}", text(&done["holder"]), text(&done["package"]));
        Ok(ExitCode::SUCCESS)
    })
}

async fn act(client: &Client, command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Show {
            day, timezone, output, ..
        } => {
            let own = || TimeZone::system().iana_name().map(str::to_owned);
            let zone = timezone.clone().or_else(own).unwrap_or_else(|| "UTC".to_owned());
            let report = client
                .get(&format!("/api/v1/reports/{}", path(day)), &[("tz", zone)])
                .await?;
            match output.get() {
                Output::Table => print(&report),
                _ => println!("{report}"),
            }
        }
        Command::Sign { day, comment, .. } => {
            let path = format!("/api/v1/reports/{}/sign", path(day));
            let signed = client.post(&path, json!({"comment": comment})).await?;
            eprintln!(
                "the report of {} is signed by {}",
                text(&signed["day"]),
                text(&signed["signed_by"])
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Only what can be a day goes into a path.
fn path(day: &str) -> String {
    day.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect()
}

fn text(value: &Value) -> String {
    inert(value.as_str().unwrap_or_default())
}

fn print(report: &Value) {
    println!(
        "Report of {} ({} to {}): {} alerts",
        text(&report["day"]),
        text(&report["from"]),
        text(&report["to"]),
        report["alerts"]["total"]
    );
    for (of, counts) in report["alerts"]["counts"].as_object().into_iter().flatten() {
        println!("\nby {of}");
        for (what, n) in counts.as_object().into_iter().flatten() {
            println!("  {:>6}  {}", n, inert(what));
        }
    }
}
