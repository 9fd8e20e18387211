//! Ledgers that earlier versions wrote still open and verify. `UPDATE_GOLDEN=1` writes the folder of a format that
//! is new; a folder that is there is never written again.

use std::path::{Path, PathBuf};

use ledger::{Ledger, root_of};
use model::{LedgerIndex, RawRecord, Truncation};

use crate::made::{NOW, copy, files, fsck, hashes, key, records};

const VERSIONS: [&str; 1] = ["v1"];
const ORIGIN: &str = "docket.example/fixture";

fn fixture(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(version)
}

/// What every version has written: sealed and unsealed records, one with everything that a record can have.
fn content() -> Vec<RawRecord> {
    let mut all = records(0..260);
    all[3].headers = vec![("a".into(), "1".into()), ("a".into(), vec![0xff, 0].into())];
    all[3].truncated = Some(Truncation {
        bytes: 1 << 40,
        sha256: [7; 32],
    });
    all
}

#[test]
fn ledgers_of_earlier_versions_open_and_verify() {
    if std::env::var_os("UPDATE_GOLDEN").is_some() && !fixture("v1").exists() {
        let mut ledger = Ledger::open(&fixture("v1"), ORIGIN).unwrap();
        ledger.append(&content()).unwrap();
        ledger.sync().unwrap();
        ledger.checkpoint(NOW).unwrap().unwrap();
    }
    for version in VERSIONS {
        let dir = tempfile::tempdir().unwrap();
        copy(&fixture(version), dir.path());
        assert_eq!(fsck(dir.path(), &key(dir.path())), "", "{version}");
        let mut ledger = Ledger::open(dir.path(), ORIGIN).unwrap();
        assert_eq!(ledger.root(), root_of(&hashes(&content())), "{version}");
        let read = ledger.reader().read(LedgerIndex(0), usize::MAX, usize::MAX).unwrap();
        assert!(read.iter().map(|e| &e.record).eq(&content()), "{version}");
        ledger.append(&records(260..600)).unwrap();
        ledger.sync().unwrap();
        ledger.checkpoint(NOW).unwrap().unwrap();
        drop(ledger);
        assert_eq!(fsck(dir.path(), &key(dir.path())), "", "{version}");
        assert!(!files(&dir.path().join("segments")).is_empty());
    }
}
