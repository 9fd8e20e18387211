//! An export checked offline: its files against its manifest, the manifest against the ledger.
//!
//! `manifest.json` names every file with its SHA-256; that an export with just this manifest was made is an act in the
//! ledger (`export.finish`, with the manifest's SHA-256), and `manifest.proof.json` is that record's [`ProofBundle`].

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::{Checkpoint, ProofBundle, VerifierKey};

/// Bytes of a manifest or its proof.
const MANIFEST_BYTES_MAX: u64 = 256 << 20;

/// What an export is, once all of it holds.
#[derive(Clone, Debug)]
pub struct Export {
    /// The manifest.
    pub manifest: Value,
    /// Its files.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Their rows, as the manifest says.
    pub rows: u64,
    /// The checkpoint that covers the act of the export.
    pub checkpoint: Checkpoint,
}

impl Export {
    /// What it is, in lines for people.
    #[must_use]
    pub fn told(&self) -> Vec<String> {
        let m = &self.manifest;
        let text = |v: &Value| match v {
            Value::Null => "-".to_owned(),
            // Log content and names are hostile: nothing a terminal would act on.
            Value::String(text) => text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect(),
            other => other.to_string(),
        };
        let query = &m["query"];
        vec![
            format!("query        {}", text(&query["q"])),
            format!("from, to     {}, {}", text(&query["from"]), text(&query["to"])),
            format!("by           {} at {}", text(&m["by"]), text(&m["begun_at"])),
            format!("masked       {}", text(&m["mask"])),
            format!(
                "rows         {} in {} files, {} bytes",
                self.rows, self.files, self.bytes
            ),
            format!(
                "searched     {} events, every record below ledger position {}, {} newer ones not",
                text(&m["searched"]["in_range"]),
                text(&m["ledger"]["up_to"]),
                text(&m["searched"]["waiting"])
            ),
            format!(
                "checkpoint   of {} records covers the act of this export",
                self.checkpoint.size
            ),
        ]
    }
}

/// Checks the export in a folder under a key.
///
/// # Errors
/// What does not hold, in words.
pub fn verify_export(dir: &Path, key: &VerifierKey) -> Result<Export, String> {
    let text = read(&dir.join("manifest.json"))?;
    let proof = read(&dir.join("manifest.proof.json"))?;
    let bundle: ProofBundle =
        serde_json::from_slice(&proof).map_err(|e| format!("manifest.proof.json is no proof: {e}"))?;
    let (record, checkpoint) = bundle.verify(key)?;
    let act: Value = serde_json::from_slice(&record.payload).map_err(|_| "the proven record is no act of Docket")?;
    if &*record.coordinate.topic != model::TOPIC_DOCKET || act["act"] != "export.finish" {
        return Err("the proven record is not the act of an export".to_owned());
    }
    let hash = hex::encode(Sha256::digest(&text));
    if act["detail"]["manifest_sha256"].as_str() != Some(&hash) {
        return Err(
            "manifest.json is not the one that the ledger tells of: it was altered, or is another export's".to_owned(),
        );
    }
    let manifest: Value = serde_json::from_slice(&text).map_err(|e| format!("manifest.json is not JSON: {e}"))?;
    let parts = manifest["parts"].as_array().ok_or("manifest.json names no parts")?;
    let (mut bytes, mut rows) = (0, 0);
    for part in parts {
        let name = part["file"]
            .as_str()
            .filter(|n| is_plain(n))
            .ok_or("a part has no plain file name")?;
        let (found, length) = hash_of(&dir.join(name))?;
        if part["sha256"].as_str() != Some(&found) || part["bytes"].as_u64() != Some(length) {
            return Err(format!("{name} was altered: its SHA-256 is not the manifest's"));
        }
        bytes += length;
        rows += part["rows"].as_u64().unwrap_or(0);
    }
    if manifest["rows"].as_u64() != Some(rows) {
        return Err("the rows of the parts do not add up to the manifest's".to_owned());
    }
    // The checkpoint that the manifest itself names covers the records.
    let note = manifest["ledger"]["checkpoint"].as_str().unwrap_or_default();
    let covering = Checkpoint::verify(note, key).map_err(|e| format!("the manifest's checkpoint: {e}"))?;
    if manifest["ledger"]["up_to"]
        .as_u64()
        .is_none_or(|up_to| covering.size < up_to)
    {
        return Err("the manifest's checkpoint does not cover the records of the export".to_owned());
    }
    Ok(Export {
        files: parts.len(),
        manifest,
        bytes,
        rows,
        checkpoint,
    })
}

/// A name that stays in the folder.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.contains(['/', '\\', '\0']) && name != "." && name != ".."
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let file = File::open(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let read = file.take(MANIFEST_BYTES_MAX).read_to_end(&mut out);
    read.map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(out)
}

fn hash_of(path: &Path) -> Result<(String, u64), String> {
    let wrong = |e: std::io::Error| format!("{}: {e}", path.display());
    let mut file = File::open(path).map_err(wrong)?;
    let (mut hash, mut length) = (Sha256::new(), 0);
    let mut buffer = vec![0; 1 << 20];
    loop {
        let n = file.read(&mut buffer).map_err(wrong)?;
        if n == 0 {
            return Ok((hex::encode(hash.finalize()), length));
        }
        hash.update(&buffer[..n]);
        length += n as u64;
    }
}
