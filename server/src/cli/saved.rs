//! `docket saved`

use std::process::ExitCode;

use serde_json::{Value, json};

use super::client::Client;
use super::output::{OutputArg, write};
use super::search::text;
use super::{Target, block_on};

/// Give searches names, to be run again with `docket search --saved NAME`
#[derive(clap::Subcommand)]
#[command(after_help = "Examples:\n  \
    docket saved add failed-logins 'class:authentication status:failure' --from 24h --note 'each morning'\n  \
    docket saved list\n  docket search --saved failed-logins\n  docket saved remove failed-logins")]
pub enum Command {
    /// Save a search, in place of one of that name
    Add {
        /// Its name: letters, digits and . _ -
        name: String,
        /// The query
        query: String,
        /// From this time on; `24h` counts from when it is run
        #[arg(long, value_name = "TIME")]
        from: Option<String>,
        /// Before this time
        #[arg(long, value_name = "TIME")]
        to: Option<String>,
        /// What it is for
        #[arg(long, default_value = "")]
        note: String,
        #[command(flatten)]
        target: Target,
    },
    /// List them
    List {
        #[command(flatten)]
        output: OutputArg,
        #[command(flatten)]
        target: Target,
    },
    /// Remove one
    Remove {
        /// Its name
        name: String,
        #[command(flatten)]
        target: Target,
    },
}

/// Runs it.
pub fn run(command: Command) -> anyhow::Result<ExitCode> {
    block_on(async {
        let target = match &command {
            Command::Add { target, .. } | Command::List { target, .. } | Command::Remove { target, .. } => target,
        };
        let client = Client::connect(target).await?;
        let done = act(&client, &command).await;
        client.close().await?;
        done.map(|()| ExitCode::SUCCESS)
    })
}

async fn act(client: &Client, command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Add {
            name,
            query,
            from,
            to,
            note,
            ..
        } => {
            let body = json!({"q": query, "from": from, "to": to, "note": note});
            client.put(&format!("/api/v1/saved/{name}"), body).await?;
            eprintln!("saved; run it with: docket search --saved {name}");
        }
        Command::List { output, .. } => {
            let answer = client.get("/api/v1/saved", &[]).await?;
            let rows = answer["saved"].as_array().cloned().unwrap_or_default();
            write(output.get(), &rows, COLUMNS)?;
        }
        Command::Remove { name, .. } => {
            client.delete(&format!("/api/v1/saved/{name}")).await?;
            eprintln!("removed {name}");
        }
    }
    Ok(())
}

const COLUMNS: &[(&str, fn(&Value) -> String)] = &[
    ("NAME", |s| text(&s["name"])),
    ("QUERY", |s| text(&s["q"])),
    ("FROM", |s| text(&s["from"])),
    ("TO", |s| text(&s["to"])),
    ("BY", |s| text(&s["by"])),
    ("NOTE", |s| text(&s["note"])),
];
