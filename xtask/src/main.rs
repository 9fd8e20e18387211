//! `cargo xtask`: the chores of this repository that are more than one command.

mod broker;
mod fuzz;
mod protocol;
mod shippers;
mod suite;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask CHORE

  test [ARGS]     brings up Kafka and the shippers, runs `cargo fmt --check` and `cargo test --workspace [ARGS]`,
                  stops Kafka, then fuzzes 10 s each (not with ARGS)
  fuzz [--seconds N | --minutes N] [--jobs N] [TARGET…]
                  runs the fuzz targets (all, 60 s each, as many at a time as there are cores); exit 1 on a finding
  fuzz --campaign [--minutes N] [TARGET…]
                  runs those that had no long run yet on this code (10 minutes of CPU each), one after the other, each with a line in
                  fuzz/record/campaign.md: stop it and go on as you like
  lint            clippy over everything, warnings denied
  tidy            the promises of docs/ARCHITECTURE.md that a machine can hold (`test` runs them too)
  kafka up        starts a real Apache Kafka (KRaft) from Maven Central; prints its address
  kafka down      stops it
  kafka status    prints its address, or says that there is none (exit 1)
  shippers        fetches rsyslog, syslog-ng, kcat and the OpenTelemetry SDK, installing nothing; prints their folder

environment:
  DOCKET_KAFKA        host:port of a broker to use instead of starting one
  DOCKET_KAFKA_HOME   folder of the broker's jars, data and log; otherwise docket-kafka in the user's cache
  DOCKET_SHIPPERS       folder of the shippers, where they are not to be fetched
  DOCKET_SHIPPERS_HOME  folder to keep them in; otherwise docket-shippers in the user's cache
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["test", rest @ ..] => suite::test(&root(), rest),
        ["fuzz", rest @ ..] => fuzz::run(&root(), rest),
        ["lint"] => suite::lint(&root()),
        ["tidy"] => tidy::run(&root()),
        ["kafka", "up"] => broker::up(&root()),
        ["kafka", "down"] => broker::down(),
        ["kafka", "status"] => broker::status(),
        ["shippers"] => shippers::fetch_and_show(),
        ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The workspace's folder: where this crate's own folder lies.
fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_path_buf()
}
