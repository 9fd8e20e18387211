//! `docket alert`

use std::process::ExitCode;

use serde_json::{Value, json};

use super::client::Client;
use super::output::{Output, OutputArg, inert, write};
use super::{Target, block_on};

/// List, show, acknowledge and close alerts
#[derive(clap::Subcommand)]
#[command(
    after_help = "Examples:\n  docket alert list --status new --severity high\n  docket alert show 3f2a\n  \
    docket alert ack 3f2a --comment 'asking the person'\n  docket alert close 3f2a --verdict true_positive"
)]
pub enum Command {
    /// List alerts, the one raised last first
    List {
        /// Only with this status
        #[arg(long, value_parser = ["new", "acknowledged", "closed", "suppressed", "resolved", "superseded"])]
        status: Vec<String>,
        /// At least as severe
        #[arg(long, value_parser = ["informational", "low", "medium", "high", "critical"])]
        severity: Option<String>,
        /// Violating this clause, such as AU-10
        #[arg(long)]
        clause: Option<String>,
        /// Of this account
        #[arg(long)]
        account: Option<String>,
        /// Of this person (employee id)
        #[arg(long)]
        person: Option<String>,
        /// How many, at most 1000
        #[arg(long, default_value_t = 50)]
        limit: usize,
        #[command(flatten)]
        output: OutputArg,
        #[command(flatten)]
        target: Target,
    },
    /// Show one alert: why it fired, its evidence and its history
    Show {
        /// The alert's id, or the beginning of it
        id: String,
        #[command(flatten)]
        output: OutputArg,
        #[command(flatten)]
        target: Target,
    },
    /// Say that somebody is at it
    Ack {
        /// The alert's id, or the beginning of it
        id: String,
        /// Why, or what next
        #[arg(long, default_value = "")]
        comment: String,
        #[command(flatten)]
        target: Target,
    },
    /// Close it, with what it was found to be
    Close {
        /// The alert's id, or the beginning of it
        id: String,
        /// What it was found to be
        #[arg(long, value_parser = ["true_positive", "false_positive", "benign"])]
        verdict: String,
        /// What was found
        #[arg(long, default_value = "")]
        comment: String,
        #[command(flatten)]
        target: Target,
    },
}

/// Runs it.
pub fn run(command: Command) -> anyhow::Result<ExitCode> {
    block_on(async {
        let (Command::List { target, .. }
        | Command::Show { target, .. }
        | Command::Ack { target, .. }
        | Command::Close { target, .. }) = &command;
        let client = Client::connect(target).await?;
        let done = act(&client, &command).await;
        client.close().await?;
        done
    })
}

async fn act(client: &Client, command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::List {
            status,
            severity,
            clause,
            account,
            person,
            limit,
            output,
            ..
        } => {
            let mut query = vec![("limit", limit.to_string()), ("status", status.join(","))];
            let optional = [
                ("severity_min", severity),
                ("clause", clause),
                ("account", account),
                ("person", person),
            ];
            query.extend(optional.into_iter().filter_map(|(k, v)| Some((k, v.clone()?))));
            let answer = client.get("/api/v1/alerts", &query).await?;
            let rows = answer["alerts"].as_array().cloned().unwrap_or_default();
            write(output.get(), &rows, COLUMNS)?;
            eprintln!("{} of {} alerts", rows.len(), answer["total"]);
        }
        Command::Show { id, output, .. } => {
            let alert = client.get(&format!("/api/v1/alerts/{}", path(id)), &[]).await?;
            match output.get() {
                Output::Table => print(&alert)?,
                other => write(other, std::slice::from_ref(&alert), COLUMNS)?,
            }
        }
        Command::Ack { id, comment, .. } => {
            let alert = client
                .post(&format!("/api/v1/alerts/{}/ack", path(id)), json!({"comment": comment}))
                .await?;
            eprintln!("{} is {}", text(&alert["id"]), text(&alert["status"]));
        }
        Command::Close {
            id, verdict, comment, ..
        } => {
            let body = json!({"comment": comment, "verdict": verdict});
            let alert = client.post(&format!("/api/v1/alerts/{}/close", path(id)), body).await?;
            eprintln!(
                "{} is {} as {}",
                text(&alert["id"]),
                text(&alert["status"]),
                text(&alert["verdict"])
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Only what can be an id goes into a path.
fn path(id: &str) -> String {
    id.chars().filter(char::is_ascii_alphanumeric).collect()
}

const COLUMNS: &[(&str, fn(&Value) -> String)] = &[
    ("ALERT", |a| text(&a["id"]).chars().take(12).collect()),
    ("TIME", |a| time(&a["finding"]["time"])),
    ("SEVERITY", |a| text(&a["finding"]["severity"])),
    ("STATUS", |a| text(&a["status"])),
    ("CLAUSES", |a| strings(&a["finding"]["clauses"]).join(" ")),
    ("WHO", |a| text(&a["finding"]["account"])),
    ("WHY", |a| text(&a["finding"]["message"])),
];

fn print(alert: &Value) -> std::io::Result<()> {
    use std::io::Write as _;
    let f = &alert["finding"];
    let mut out = std::io::stdout().lock();
    let mut line = |name: &str, value: String| {
        if value.is_empty() {
            Ok(())
        } else {
            writeln!(out, "{name:<11} {}", inert(&value))
        }
    };
    line("Alert", text(&alert["id"]))?;
    line(
        "Policy",
        format!(
            "{} (version {})",
            text(&f["policy"]["title"]),
            text(&f["policy"]["version"])
        ),
    )?;
    line("Severity", text(&f["severity"]))?;
    line("Status", text(&alert["status"]))?;
    line("Verdict", text(&alert["verdict"]))?;
    line("Clauses", strings(&f["clauses"]).join(" "))?;
    let controls = f["controls"].as_object().into_iter().flatten();
    line(
        "Controls",
        controls
            .map(|(k, v)| format!("{k} {}", strings(v).join(", ")))
            .collect::<Vec<_>>()
            .join("; "),
    )?;
    line("Account", text(&f["account"]))?;
    line("Person", person(f))?;
    for asset in f["context"]["assets"].as_array().into_iter().flatten() {
        let owner = named(&asset["owner_name"], &asset["owner"]);
        let owner = if owner.is_empty() { "nobody".to_owned() } else { owner };
        line(
            "Asset",
            format!("{} ({}), owned by {owner}", text(&asset["name"]), text(&asset["kind"])),
        )?;
    }
    line("Session", text(&f["context"]["session"]))?;
    line("Completed", time(&f["time"]))?;
    line("Why", text(&f["message"]))?;
    for looked in f["context"]["looked_for"].as_array().into_iter().flatten() {
        let nearest = match looked["nearest"].as_str() {
            Some(nearest) => format!("{nearest} comes nearest: {}", strings(&looked["lacks"]).join("; ")),
            None => "nothing comes near".to_owned(),
        };
        line("Looked for", format!("{}: {nearest}", text(&looked["table"])))?;
    }
    for row in f["rows"].as_array().into_iter().flatten() {
        line(
            "Reference",
            format!(
                "{} version {}: {}",
                text(&row["table"]),
                text(&row["version"]),
                row["row"]
            ),
        )?;
    }
    for e in f["evidence"].as_array().into_iter().flatten() {
        line(
            "Evidence",
            format!("{}/{}/{}", text(&e["topic"]), e["partition"], e["offset"]),
        )?;
    }
    for h in alert["events"].as_array().into_iter().flatten() {
        let said = [time(&h["at"]), text(&h["action"]), text(&h["who"]), text(&h["comment"])];
        line(
            "History",
            said.into_iter()
                .filter(|s| !s.is_empty())
                .collect::<Vec<_>>()
                .join("  "),
        )?;
    }
    Ok(())
}

/// The person: name, employee id, post and department, as far as they are known.
fn person(finding: &Value) -> String {
    let known = &finding["context"]["person"];
    let mut words = vec![named(&known["name"], &finding["person"])];
    words.extend([text(&known["job_role"]), text(&known["dept"])]);
    words.retain(|w| !w.is_empty());
    words.join(", ")
}

/// `name (id)`, or the one that there is.
fn named(name: &Value, id: &Value) -> String {
    match (text(name), text(id)) {
        (name, id) if name.is_empty() => id,
        (name, id) if id.is_empty() => name,
        (name, id) => format!("{name} ({id})"),
    }
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(text).collect()
}

fn time(value: &Value) -> String {
    value
        .as_i64()
        .map_or_else(|| text(value), |ms| model::Millis(ms).to_string())
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(s) => s.clone(),
        other => other.to_string(),
    }
}
