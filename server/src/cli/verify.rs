//! `docket verify`

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::exit::{INTEGRITY, UNREACHABLE, failure};

/// Check that nothing in the ledger was changed
///
/// Reads every record, the tree over them and every signed checkpoint, beside a running server. The separate
/// program `docket-verify` does the same without any of the server's code, for an auditor's own machine.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  docket verify --data /var/lib/docket")]
pub struct Args {
    /// Data folder of the server
    #[arg(long, env = "DOCKET_DATA", default_value = "docket-data", value_name = "DIR")]
    data: PathBuf,
}

/// Runs it.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let dir = args.data.join("ledger");
    if !dir.is_dir() {
        return Err(failure(UNREACHABLE, format!("{} holds no ledger; give --data DIR", args.data.display())));
    }
    let bar = std::io::stderr().is_terminal();
    let report = ledger::fsck::run(&dir, None, &mut |done, all| {
        if bar && all > 0 {
            let _ = write!(std::io::stderr(), "\r{:3} % of {all} records", done * 100 / all);
        }
    })?;
    if bar {
        eprint!("\r\x1b[K");
    }
    print!("{report}");
    if report.is_sound() { Ok(ExitCode::SUCCESS) } else { Ok(ExitCode::from(INTEGRITY)) }
}
