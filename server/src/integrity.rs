//! Docket's own proof that it works (LA-07): what was sealed, each hour; that it still holds, each day.
//!
//! Told as acts `ledger.seal` and `ledger.verify`, which policies read: a failure, and that none came. The last verification's time
//! is kept in `verified` in the data folder, so that a server that is started each day does not read everything each time.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use ledger::VerifierKey;
use model::Millis;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::clock::Clock;
use crate::spine::Spine;

/// How often it is looked whether something is due.
const LOOK: Duration = Duration::from_secs(60);
/// How often what was sealed is told, and how often the whole ledger is read.
const SEAL_MS: i64 = 3_600_000;
const VERIFY_MS: i64 = 24 * 3_600_000;
/// Where the time of the last verification is kept.
const FILE: &str = "verified";

/// What is sealed and verified.
pub struct Integrity {
    /// The data folder.
    pub data_dir: PathBuf,
    /// Reads the ledger.
    pub reader: Arc<ledger::Reader>,
    /// The time.
    pub clock: Clock,
}

impl Integrity {
    /// Seals and verifies until the server stops.
    pub async fn run(self, spine: Spine, mut stop: watch::Receiver<bool>) {
        let started = self.clock.now();
        let mut sealed = started;
        let mut verified = last_verified(&self.data_dir).unwrap_or(started.plus_ms(SEAL_MS - VERIFY_MS));
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                _ = stop.wait_for(|s| *s) => return,
            }
            let now = self.clock.now();
            if now - sealed >= SEAL_MS {
                sealed = now;
                tell(&spine, "ledger.seal", seal(&self.reader)).await;
            }
            if now - verified >= VERIFY_MS {
                verified = now;
                let dir = self.data_dir.join("ledger");
                let checked = tokio::task::spawn_blocking(move || verify(&dir)).await;
                let detail = checked.unwrap_or_else(|e| failed(&e.to_string()));
                tell(&spine, "ledger.verify", detail).await;
                let kept = std::fs::write(self.data_dir.join(FILE), now.0.to_string());
                if let Err(error) = kept {
                    tracing::warn!(%error, "Time of the verification not kept.");
                }
            }
        }
    }
}

async fn tell(spine: &Spine, act: &str, detail: Value) {
    if detail["success"] == json!(false) {
        tracing::error!(act, reason = %detail["reason"], "The ledger does not hold.");
    }
    if let Err(error) = spine.act(act, "docket", detail).await {
        tracing::warn!(%error, act, "Not recorded.");
    }
}

fn failed(reason: &str) -> Value {
    json!({"success": false, "reason": reason})
}

/// The last signed checkpoint.
fn seal(reader: &ledger::Reader) -> Value {
    match reader.last_checkpoint() {
        Ok(Some(checkpoint)) => json!({
            "success": true,
            "records": checkpoint.size,
            "root": hex::encode(checkpoint.root),
        }),
        Ok(None) => failed("there is no signed checkpoint"),
        Err(error) => failed(&error.to_string()),
    }
}

/// Reads every record, every root and every signature, as `docket verify` does.
fn verify(dir: &Path) -> Value {
    let check = || -> anyhow::Result<ledger::Report> {
        let vkey = ledger::Reader::open(dir)?.vkey()?;
        let key = VerifierKey::parse(vkey.trim())?;
        ledger::fsck(dir, &key, &mut |_| {}).context("the ledger could not be checked")
    };
    match check() {
        Ok(report) => json!({
            "success": report.failure.is_none(),
            "reason": report.failure.as_ref().map(ToString::to_string),
            "records": report.leaves,
            "checkpoints": report.checkpoints,
            "gaps": report.gaps.len(),
            "root": hex::encode(report.root),
        }),
        Err(error) => failed(&format!("{error:#}")),
    }
}

fn last_verified(data_dir: &Path) -> Option<Millis> {
    let text = std::fs::read_to_string(data_dir.join(FILE)).ok()?;
    Some(Millis(text.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_does_not_hold() {
        let dir = tempfile::tempdir().unwrap();
        let detail = verify(&dir.path().join("ledger"));
        assert_eq!(detail["success"], json!(false));
        assert!(!detail["reason"].as_str().unwrap().is_empty());
        assert_eq!(last_verified(dir.path()), None);
        std::fs::write(dir.path().join(FILE), "17\n").unwrap();
        assert_eq!(last_verified(dir.path()), Some(Millis(17)));
    }
}
