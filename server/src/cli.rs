//! The command line: one file a command.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::exit;

mod aggregate;
mod alert;
mod backtest;
mod client;
mod compare;
mod context;
mod coverage;
mod demo;
mod demo_texts;
mod detect;
mod explain;
mod export;
mod history;
mod index;
mod mapping;
mod normalize;
mod output;
mod patience;
mod policy;
mod queries;
mod range;
mod reference;
mod replay;
mod report;
mod saved;
mod search;
mod serve;
mod show;
mod site;
mod source;
mod tail;
mod timeline;
mod token;
mod verify;
mod why;

/// Docket: the audit log that a security team and its auditors trust.
///
/// Records of bastion hosts and web systems go in, each is kept provably unchanged, violations of the
/// specifications raise alerts with their evidence, and everything can be searched.
#[derive(Parser)]
#[command(name = "docket", version, propagate_version = true, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 ok, 1 findings or failed checks, 2 usage or policy error, 3 configuration,\n\
    4 unreachable, 5 not authorised, 6 integrity failure, 130 interrupted.\n\nBegin with:  docket demo"
)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::Args),
    Serve(serve::Args),
    #[command(subcommand)]
    Config(serve::ConfigCommand),
    Search(search::Args),
    Aggregate(aggregate::Args),
    Compare(compare::Args),
    Timeline(timeline::Args),
    Context(context::Args),
    Tail(tail::Args),
    Queries(queries::Args),
    #[command(subcommand)]
    Saved(saved::Command),
    Export(export::Args),
    Show(show::Args),
    #[command(subcommand)]
    Alert(alert::Command),
    #[command(subcommand)]
    Index(index::Command),
    #[command(subcommand)]
    Source(source::Command),
    #[command(subcommand)]
    Token(token::Command),
    Verify(verify::Args),
    Normalize(normalize::Args),
    Detect(detect::Args),
    #[command(subcommand)]
    Mapping(mapping::Command),
    #[command(subcommand)]
    Policy(policy::Command),
    #[command(subcommand)]
    Reference(reference::Command),
    Replay(replay::Args),
    #[command(subcommand)]
    Report(report::Command),
    Custody(report::CustodyArgs),
}

/// Where the server is that a command talks to.
#[derive(clap::Args, Clone, Debug)]
pub struct Target {
    /// Data folder of the server on this machine (its socket is used; when the server is stopped, its files)
    #[arg(
        long,
        env = "DOCKET_DATA",
        default_value = "docket-data",
        value_name = "DIR",
        global = true
    )]
    data: PathBuf,
    /// Address of a server elsewhere, such as https://docket.example:8514
    #[arg(long, env = "DOCKET_URL", global = true)]
    url: Option<String>,
    /// Token for --url
    #[arg(long, env = "DOCKET_TOKEN", hide_env_values = true, global = true)]
    token: Option<String>,
    /// Say how far a long question is, also where standard error is no terminal
    #[arg(long, global = true)]
    progress: bool,
}

/// Runs the command line of the process.
pub fn run() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { exit::USAGE } else { 0 });
        }
    };
    let result = match args.command {
        Command::Demo(args) => demo::run(args),
        Command::Serve(args) => serve::run(args),
        Command::Config(command) => serve::config(command),
        Command::Search(args) => search::run(args),
        Command::Aggregate(args) => aggregate::run(args),
        Command::Compare(args) => compare::run(args),
        Command::Timeline(args) => timeline::run(args),
        Command::Context(args) => context::run(args),
        Command::Tail(args) => tail::run(args),
        Command::Queries(args) => queries::run(args),
        Command::Saved(command) => saved::run(command),
        Command::Export(args) => export::run(args),
        Command::Show(args) => show::run(args),
        Command::Alert(command) => alert::run(command),
        Command::Index(command) => index::run(command),
        Command::Source(command) => source::run(command),
        Command::Token(command) => token::run(command),
        Command::Verify(args) => verify::run(args),
        Command::Normalize(args) => normalize::run(args),
        Command::Detect(args) => detect::run(args),
        Command::Mapping(command) => mapping::run(command),
        Command::Policy(command) => policy::run(command),
        Command::Reference(command) => reference::run(command),
        Command::Replay(args) => replay::run(args),
        Command::Report(command) => report::run(&command),
        Command::Custody(args) => report::custody(&args),
    };
    match result {
        Ok(code) => code,
        // `docket … | head` is no failure.
        Err(error) if broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => exit::report(&error),
    }
}

fn broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.chain().find_map(|c| c.downcast_ref::<std::io::Error>());
    io.is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
}

/// A runtime for a command that talks to a server.
fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(future)
}
