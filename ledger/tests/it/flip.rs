//! An altered byte anywhere is seen, by opening or by the full check.

use std::fs;

use crate::made::{self, NOW, copy, files, fsck, key, open, records};

#[test]
fn an_altered_byte_is_seen() {
    let made = tempfile::tempdir().unwrap();
    let mut ledger = open(made.path()).unwrap();
    for part in [0..200, 200..520, 520..530] {
        ledger.append(&records(part)).unwrap();
        ledger.sync().unwrap();
        ledger.checkpoint(NOW).unwrap().unwrap();
    }
    drop(ledger);
    let vkey = key(made.path());
    assert_eq!(fsck(made.path(), &vkey), "");
    let mut tried = 0;
    for folder in ["", "tail", "segments"] {
        for path in files(&made.path().join(folder)) {
            if path.is_dir() {
                continue;
            }
            let bytes = fs::read(&path).unwrap();
            // The newline after a key is nobody's secret.
            let len = bytes.len() - usize::from(path.ends_with("ledger.key"));
            let step = if bytes.len() > 2000 { 61 } else { 1 };
            for at in (0..len.min(100)).chain((100..len).step_by(step)) {
                let mut altered = bytes.clone();
                altered[at] ^= 0x10;
                fs::write(&path, &altered).unwrap();
                tried += 1;
                let seen = !fsck(made.path(), &vkey).is_empty() || {
                    let dir = tempfile::tempdir().unwrap();
                    copy(made.path(), dir.path());
                    match open(dir.path()) {
                        Err(e) => e.is_integrity() || matches!(e, ledger::Error::Key { .. }),
                        // The frames whose leaves the tail has are made again from it.
                        Ok(_) => folder == "segments" && fsck(dir.path(), &vkey).is_empty(),
                    }
                };
                assert!(seen, "byte {at} of {}", path.display());
            }
            fs::write(&path, &bytes).unwrap();
        }
    }
    assert!(tried > 1000, "{tried}");
}

#[test]
fn a_record_that_was_replaced_with_its_checksums_is_seen() {
    // Somebody who can write the folder makes a ledger with one other record, and keeps the old checkpoints.
    let (honest, forged) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let write = |dir: &std::path::Path, alter: bool| {
        let mut ledger = open(dir).unwrap();
        let mut all = records(0..300);
        if alter {
            all[17].payload = "nothing happened".into();
        }
        ledger.append(&all).unwrap();
        ledger.sync().unwrap();
        ledger.checkpoint(NOW).unwrap().unwrap();
    };
    write(honest.path(), false);
    write(forged.path(), true);
    let vkey = made::key(honest.path());
    for name in ["checkpoints", "ledger.key", "ledger.vkey"] {
        fs::copy(honest.path().join(name), forged.path().join(name)).unwrap();
    }
    assert!(fsck(forged.path(), &vkey).contains("not the one that was signed"));
    assert!(open(forged.path()).unwrap_err().is_integrity());
}

#[test]
fn an_altered_record_after_the_last_checkpoint_is_not_taken_for_a_crash() {
    let made = tempfile::tempdir().unwrap();
    let mut ledger = open(made.path()).unwrap();
    ledger.append(&records(0..20)).unwrap();
    ledger.sync().unwrap();
    ledger.checkpoint(NOW).unwrap().unwrap();
    let tail = files(&made.path().join("tail")).remove(0);
    let signed = fs::read(&tail).unwrap().len();
    ledger.append(&records(20..40)).unwrap();
    ledger.flush().unwrap();
    drop(ledger);
    let bytes = fs::read(&tail).unwrap();
    let mut cut = 0;
    for at in signed..bytes.len() {
        let mut altered = bytes.clone();
        altered[at] ^= 0x10;
        fs::write(&tail, &altered).unwrap();
        let dir = tempfile::tempdir().unwrap();
        copy(made.path(), dir.path());
        match open(dir.path()) {
            Err(e) => assert!(e.is_integrity(), "{e}"),
            // Where a sector ends within the zeros of a leaf's length, it looks as if it had never been written.
            Ok(_) => cut += 1,
        }
    }
    assert!(
        cut * 50 < bytes.len() - signed,
        "{cut} of {} bytes",
        bytes.len() - signed
    );
}
