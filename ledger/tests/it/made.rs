//! Records and ledgers for the tests.

use std::fs;
use std::path::Path;

use ledger::{Error, Hash, Ledger, VerifierKey, leaf, leaf_hash};
use model::{Coordinate, Millis, RawRecord};

pub const ORIGIN: &str = "docket.example/ledger";
pub const NOW: Millis = Millis(1_772_413_200_250);

/// The record with this number: of three partitions in turn, no two alike.
pub fn record(n: u64) -> RawRecord {
    let (topic, partition) = [("audit.linux", 0), ("audit.linux", 1), ("audit.web", 0)][n as usize % 3];
    RawRecord {
        coordinate: Coordinate::new(topic, partition, (n / 3) as i64),
        received_at: Millis(NOW.0 + n as i64),
        source: "linux".into(),
        peer: n.is_multiple_of(2).then(|| "192.0.2.7".into()),
        key: n.is_multiple_of(5).then(|| "host-1".into()),
        headers: vec![],
        payload: format!("record {n} {}", "x".repeat((n % 7) as usize * 11)).into(),
        truncated: None,
    }
}

pub fn records(range: std::ops::Range<u64>) -> Vec<RawRecord> {
    range.map(record).collect()
}

pub fn hashes(records: &[RawRecord]) -> Vec<Hash> {
    let mut leaf = Vec::new();
    records
        .iter()
        .map(|r| {
            leaf.clear();
            leaf::encode(r, &mut leaf).unwrap();
            leaf_hash(&leaf)
        })
        .collect()
}

pub fn open(dir: &Path) -> Result<Ledger, Error> {
    Ledger::open(dir, ORIGIN)
}

pub fn key(dir: &Path) -> VerifierKey {
    VerifierKey::parse(&fs::read_to_string(dir.join("ledger.vkey")).unwrap()).unwrap()
}

/// What a full check finds wrong; empty where all holds.
pub fn fsck(dir: &Path, key: &VerifierKey) -> String {
    match ledger::fsck(dir, key, &mut |_| {}) {
        Ok(report) => report.failure.map(|f| f.to_string()).unwrap_or_default(),
        Err(e) => e.to_string(),
    }
}

pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The files of a folder, oldest name first.
pub fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    files
}
