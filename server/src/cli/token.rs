//! `docket token`

use std::process::ExitCode;

use serde_json::json;

use super::client::Client;
use super::{Target, block_on};
use crate::auth::Role;

/// Tokens of the API and the gateway
#[derive(clap::Subcommand)]
#[command(
    after_help = "Examples:\n  docket token create --role shipper --name collector-1\n  docket token create --role shipper --name crm-1 --source crm --source crm-audit"
)]
pub enum Command {
    /// Make a token; it is shown this once and stored hashed
    Create {
        /// What its holder may do: shipper sends records, analyst works on alerts, auditor reads all records,
        /// reviewer reads them without seeing people, admin manages users and configuration
        #[arg(long, value_enum)]
        role: Role,
        /// Under which name its acts are recorded
        #[arg(long)]
        name: String,
        /// The source that a shipper may send records of; may be given more than once (default: any source)
        #[arg(long = "source", value_name = "SOURCE")]
        sources: Vec<String>,
        #[command(flatten)]
        target: Target,
    },
}

/// Runs it.
pub fn run(command: Command) -> anyhow::Result<ExitCode> {
    let Command::Create {
        role,
        name,
        sources,
        target,
    } = command;
    block_on(async {
        let client = Client::connect(&target).await?;
        let made = client
            .post(
                "/api/v1/tokens",
                json!({"name": name, "role": role, "sources": sources}),
            )
            .await;
        client.close().await?;
        println!("{}", made?["token"].as_str().unwrap_or_default());
        eprintln!("Keep it now: it is not shown again. Use it as `Authorization: Bearer <token>`.");
        Ok(ExitCode::SUCCESS)
    })
}
