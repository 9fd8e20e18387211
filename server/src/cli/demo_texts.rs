//! What the demo tells its watcher.

use std::net::SocketAddr;
use std::path::Path;

use alert::Alert;
use model::Severity;

use super::output::inert;

/// Records that an alert's line names; `docket alert show` names all.
const EVIDENCE_SHOWN: usize = 3;

/// At the start.
pub fn welcome(data: &Path, token: &str, listen: Option<SocketAddr>) {
    println!("Docket demo: Northquay, an operator that does not exist. Its bastion host, hosts, web systems and cloud");
    println!(
        "account log three days of work; most of it is ordinary, a little is not. Data: {}/",
        data.display()
    );
    if let Some(address) = listen {
        println!("API: http://{address}/api/v1/search   auditor's token: {token}");
    }
    println!("Ctrl-C stops; started again, the demo goes on.\n");
}

/// An alert.
pub fn alert(alert: &Alert, colour: bool) {
    let f = &alert.finding;
    let (on, off) = match (colour, f.severity) {
        (true, Severity::Critical) => ("\x1b[1;31m", "\x1b[0m"),
        (true, Severity::High) => ("\x1b[31m", "\x1b[0m"),
        (true, Severity::Medium) => ("\x1b[33m", "\x1b[0m"),
        _ => ("", ""),
    };
    println!(
        "{} {on}{:<8}{off} {:<6} {}",
        f.time,
        f.severity.name(),
        f.clauses.join(" "),
        inert(&f.message)
    );
    let around = f.surroundings();
    if !around.is_empty() {
        println!("    {}", inert(&around));
    }
    let shown: Vec<String> = f
        .evidence
        .iter()
        .take(EVIDENCE_SHOWN)
        .map(ToString::to_string)
        .collect();
    let more = f.evidence.len().saturating_sub(shown.len());
    let evidence = match (shown.is_empty(), more) {
        (true, _) => "an absence: nothing was recorded".to_owned(),
        (false, 0) => shown.join(", "),
        (false, more) => format!("{} and {more} more", shown.join(", ")),
    };
    println!("    alert {}  evidence {evidence}", &alert.id[..12.min(alert.id.len())]);
}

/// After the first alert.
pub fn next(data: &Path, id: &str, account: &str) {
    let (program, data) = (program(), data.display());
    println!("\n  Try, in another terminal:");
    println!("    {program} alert show {} --data {data}", &id[..12.min(id.len())]);
    println!("    {program} search 'user:{account}' --data {data}");
    println!("    {program} verify --data {data}\n");
}

/// When simulated time has reached now.
pub fn caught_up() {
    println!("\nThe simulated clock has caught up with now; from here on it is real time. Ctrl-C stops.\n");
}

/// At the end.
pub fn goodbye(data: &Path) {
    println!(
        "Stopped. `{} demo --data {}` goes on; removing {}/ leaves no trace.",
        program(),
        data.display(),
        data.display()
    );
}

/// How the binary was called, so that what is suggested can be pasted.
fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "docket".into())
}
