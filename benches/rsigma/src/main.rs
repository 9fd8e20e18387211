//! Docket's rule engine beside RSigma's (crate `rsigma-eval` 0.23.0, what `rsigma engine eval` runs): the same rules, the
//! same events, in one process and on one thread.
//!
//! `rsigma-bench matches [EVENTS]` compares match for match; `rsigma-bench speed [EVENTS]` measures; `rsigma-bench files FOLDER`
//! writes what `process.sh` runs the binaries on.

#[path = "../../../detect/tests/sigmahq/archive.rs"]
mod archive;
#[path = "../../../detect/tests/sigmahq/generate.rs"]
#[allow(dead_code, reason = "shared with the test")]
mod generate;
// What `docket detect --format json` reads lines with, without the rest of its crate.
#[path = "../../../ingest/src/json_columns.rs"]
mod json_columns;
mod files;
mod matches;
mod peer;
mod speed;
mod traffic;

use detect::policy::SourceFile;

/// Rules by the name under which the record gives them.
fn sets() -> anyhow::Result<Vec<(&'static str, Vec<SourceFile>)>> {
    let files = archive::rules(env!("CARGO_MANIFEST_DIR"), 3).ok_or_else(|| anyhow::anyhow!("no rules, no bench"))?;
    Ok(vec![
        ("603", archive::servers(&files)),
        ("3,141", archive::core(&files)),
    ])
}

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let command = args.next();
    if command.as_deref() == Some("files") {
        let folder = args.next().ok_or_else(|| anyhow::anyhow!("rsigma-bench files FOLDER [EVENTS]"))?;
        let count = args.next().map(|n| n.parse()).transpose()?;
        return files::write(folder.as_ref(), count.unwrap_or(200_000));
    }
    let count = args.next().map(|n| n.parse()).transpose()?;
    match command.as_deref() {
        Some("loads") => speed::loads(),
        Some("matches") => matches::run(count.unwrap_or(50_000)),
        Some("speed") => speed::run(count.unwrap_or(200_000)),
        Some("traffic") => traffic::write(count.unwrap_or(200_000)),
        _ => anyhow::bail!("rsigma-bench loads|matches|speed|traffic [EVENTS], or files FOLDER [EVENTS]"),
    }
}
