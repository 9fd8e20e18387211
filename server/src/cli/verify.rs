//! `docket verify`

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use ledger::{Reader, VerifierKey};

use crate::exit::{INTEGRITY, UNREACHABLE, USAGE, failure};

/// Check that nothing in the ledger was changed
///
/// Reads every record, the tree over them and every signed checkpoint, beside a running server. The separate
/// program `docket-verify` does the same without any of the server's code, for an auditor's own machine.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  docket verify --data /var/lib/docket --vkey ledger.vkey")]
pub struct Args {
    /// Data folder of the server
    #[arg(long, env = "DOCKET_DATA", default_value = "docket-data", value_name = "DIR")]
    data: PathBuf,
    /// The verifier key that you were given, or a file that holds it; without it the key in the folder is used,
    /// which finds damage, but not a ledger that was made anew
    #[arg(long)]
    vkey: Option<String>,
    /// Check an export instead (`docket export`): its files, its manifest, and the ledger's record of it
    #[arg(long, value_name = "DIR")]
    export: Option<PathBuf>,
}

/// Runs it.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    if let Some(export) = &args.export {
        return verify_export(export, args.vkey.as_deref());
    }
    let dir = args.data.join("ledger");
    if !dir.is_dir() {
        return Err(failure(
            UNREACHABLE,
            format!("{} holds no ledger; give --data DIR", args.data.display()),
        ));
    }
    let given = args.vkey.map(|k| std::fs::read_to_string(&k).unwrap_or(k));
    let vkey = given.map_or_else(|| Reader::open(&dir)?.vkey(), Ok)?;
    let key = VerifierKey::parse(vkey.trim()).map_err(|e| failure(USAGE, format!("--vkey: {e}")))?;
    let bar = std::io::stderr().is_terminal();
    let report = ledger::fsck(&dir, &key, &mut |p| {
        if bar {
            let _ = write!(std::io::stderr(), "\r{} of {} records", p.leaves, p.total);
        }
    })
    .context("the ledger could not be checked")?;
    if bar {
        eprint!("\r\x1b[K");
    }
    println!("key          {key}");
    println!(
        "records      {} ({} bytes), {} partitions",
        report.leaves, report.leaf_bytes, report.partitions
    );
    println!("root         {}", hex::encode(report.root));
    if let Some(last) = &report.last_checkpoint {
        let signed = last
            .time
            .map(|t| format!(", the last signed {t} over {} records", last.size))
            .unwrap_or_default();
        println!("checkpoints  {}{signed}", report.checkpoints);
    }
    for gap in &report.gaps {
        println!(
            "gap          {}/{}: offsets {} to {}",
            gap.topic,
            gap.partition,
            gap.from,
            gap.to - 1
        );
    }
    if let Some(failure) = &report.failure {
        println!("NOT VERIFIED {failure}");
        return Ok(ExitCode::from(INTEGRITY));
    }
    println!("verified     every record, every root and every signature holds");
    Ok(ExitCode::SUCCESS)
}

fn verify_export(dir: &std::path::Path, vkey: Option<&str>) -> anyhow::Result<ExitCode> {
    let path = dir.join("manifest.proof.json");
    let proof = std::fs::read(&path).map_err(|e| failure(UNREACHABLE, format!("{}: {e}", path.display())))?;
    let bundle: ledger::ProofBundle =
        serde_json::from_slice(&proof).map_err(|e| failure(INTEGRITY, format!("{}: {e}", path.display())))?;
    let given = vkey.map(|k| std::fs::read_to_string(k).unwrap_or_else(|_| k.to_owned()));
    let vkey = given.unwrap_or(bundle.vkey);
    let key = VerifierKey::parse(vkey.trim()).map_err(|e| failure(USAGE, format!("--vkey: {e}")))?;
    println!("key          {key}");
    match ledger::verify_export(dir, &key) {
        Ok(export) => {
            export.told().iter().for_each(|line| println!("{line}"));
            println!("verified     every file is the manifest's, and the ledger tells of this manifest");
            Ok(ExitCode::SUCCESS)
        }
        Err(why) => {
            println!("NOT VERIFIED {why}");
            Ok(ExitCode::from(INTEGRITY))
        }
    }
}
