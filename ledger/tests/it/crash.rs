//! What a crash leaves, at any byte: no gap, nothing twice, nothing lost that a checkpoint covers.

use std::fs::{self, OpenOptions};
use std::path::Path;

use ledger::{Error, root_of};
use model::LedgerIndex;

use crate::made::{self, NOW, copy, files, fsck, hashes, key, open, records};

/// Opens what a crash left, and goes on with it to `until` records.
fn goes_on(dir: &Path, at_least: u64, until: u64) -> u64 {
    let mut ledger = open(dir).unwrap();
    let size = ledger.size().0;
    assert!(size >= at_least, "{size} of {at_least}");
    ledger.append(&records(size..until)).unwrap();
    ledger.sync().unwrap();
    ledger.checkpoint(NOW).unwrap();
    assert_eq!(ledger.root(), root_of(&hashes(&records(0..until))));
    let all = ledger.reader().read(LedgerIndex(0), usize::MAX, usize::MAX).unwrap();
    assert!(all.iter().map(|e| &e.record).eq(&records(0..until)));
    drop(ledger);
    assert_eq!(fsck(dir, &key(dir)), "");
    size
}

fn truncate(path: &Path, len: u64) {
    OpenOptions::new().write(true).open(path).unwrap().set_len(len).unwrap();
}

/// Zeros from a byte to the end of the file: the size reached the disk, the data did not.
fn zero_from(path: &Path, from: u64) {
    let len = fs::metadata(path).unwrap().len();
    truncate(path, from);
    truncate(path, len);
}

#[test]
fn a_tail_cut_at_any_byte_after_the_checkpoint_goes_on() {
    let made = tempfile::tempdir().unwrap();
    let mut ledger = open(made.path()).unwrap();
    ledger.append(&records(0..270)).unwrap();
    ledger.sync().unwrap();
    ledger.checkpoint(NOW).unwrap().unwrap();
    let tail = files(&made.path().join("tail")).pop().unwrap();
    let signed = fs::metadata(&tail).unwrap().len();
    ledger.append(&records(270..276)).unwrap();
    ledger.flush().unwrap();
    drop(ledger);
    let name = Path::new("tail").join(tail.file_name().unwrap());
    let len = fs::metadata(&tail).unwrap().len();
    let mut last = 270;
    for cut in signed..=len {
        for zeros in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            copy(made.path(), dir.path());
            match zeros {
                true => zero_from(&dir.path().join(&name), cut.next_multiple_of(512).min(len)),
                false => truncate(&dir.path().join(&name), cut),
            }
            let size = goes_on(dir.path(), 270, 280);
            assert!(zeros || size >= last, "a longer file has no fewer leaves");
            last = if zeros { last } else { size };
        }
    }
    assert_eq!(last, 276);
    // Below the checkpoint a cut is no crash.
    for cut in [0, 10, 20, signed / 2, signed - 1] {
        let dir = tempfile::tempdir().unwrap();
        copy(made.path(), dir.path());
        truncate(&dir.path().join(&name), cut);
        assert!(open(dir.path()).unwrap_err().is_integrity(), "{cut}");
        assert_ne!(fsck(dir.path(), &key(dir.path())), "");
    }
}

#[test]
fn a_crash_within_sealing_leaves_every_leaf_once() {
    // 4,400 leaves: sealing them lets the tail's first file go.
    let (before, after) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut ledger = open(before.path()).unwrap();
    ledger.append(&records(0..4400)).unwrap();
    ledger.flush().unwrap();
    ledger.checkpoint(NOW).unwrap().unwrap();
    drop(ledger);
    assert_eq!(files(&before.path().join("tail")).len(), 2);
    copy(before.path(), after.path());
    let mut ledger = open(after.path()).unwrap();
    ledger.seal().unwrap();
    drop(ledger);
    assert_eq!(files(&after.path().join("tail")).len(), 1);
    let segment = files(&after.path().join("segments")).remove(0);
    let len = fs::metadata(&segment).unwrap().len();
    let name = Path::new("segments").join(segment.file_name().unwrap());
    for cut in (0..100)
        .step_by(9)
        .chain((100..len).step_by(9973))
        .chain([len - 1, len])
    {
        for zeros in [false, true] {
            let damage = |dir: &Path| match zeros {
                true => zero_from(&dir.join(&name), cut),
                false => truncate(&dir.join(&name), cut),
            };
            // Frames are written in part, the tail still has all.
            let dir = tempfile::tempdir().unwrap();
            copy(before.path(), dir.path());
            copy(&after.path().join("segments"), &dir.path().join("segments"));
            damage(dir.path());
            assert_eq!(fsck(dir.path(), &key(dir.path())), "", "{cut} {zeros}");
            assert_eq!(goes_on(dir.path(), 4400, 4500), 4400);
            // The tail let go of its first file, but the frames are not whole: that is no crash.
            if cut < len / 2 {
                let dir = tempfile::tempdir().unwrap();
                copy(after.path(), dir.path());
                damage(dir.path());
                assert!(open(dir.path()).unwrap_err().is_integrity(), "{cut} {zeros}");
                assert_ne!(fsck(dir.path(), &key(dir.path())), "");
            }
        }
    }
}

#[test]
fn a_new_tail_file_that_was_not_begun_is_begun_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = open(dir.path()).unwrap();
    ledger.append(&records(0..4097)).unwrap();
    ledger.sync().unwrap();
    drop(ledger);
    let last = files(&dir.path().join("tail")).pop().unwrap();
    for (len, zeros) in [(0, false), (7, false), (20, true)] {
        let copied = tempfile::tempdir().unwrap();
        copy(dir.path(), copied.path());
        let path = copied.path().join("tail").join(last.file_name().unwrap());
        truncate(&path, len);
        if zeros {
            zero_from(&path, 0);
        }
        assert_eq!(goes_on(copied.path(), 4096, 4200), 4096);
    }
}

#[test]
fn a_missing_part_is_no_crash() {
    let made = tempfile::tempdir().unwrap();
    let mut ledger = open(made.path()).unwrap();
    ledger.append(&records(0..5000)).unwrap();
    ledger.sync().unwrap();
    ledger.checkpoint(NOW).unwrap().unwrap();
    drop(ledger);
    let vkey = key(made.path());
    let tail = files(&made.path().join("tail")).remove(0);
    let segment = files(&made.path().join("segments")).remove(0);
    for path in [tail, segment] {
        let dir = tempfile::tempdir().unwrap();
        copy(made.path(), dir.path());
        fs::remove_file(dir.path().join(path.strip_prefix(made.path()).unwrap())).unwrap();
        assert!(open(dir.path()).unwrap_err().is_integrity(), "{}", path.display());
        assert_ne!(fsck(dir.path(), &vkey), "", "{}", path.display());
    }
    let dir = tempfile::tempdir().unwrap();
    copy(made.path(), dir.path());
    fs::remove_file(dir.path().join("ledger.key")).unwrap();
    assert!(matches!(open(dir.path()), Err(Error::Key { .. })));
}

#[test]
fn one_writer_one_origin_one_record_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = open(dir.path()).unwrap();
    assert!(matches!(open(dir.path()), Err(Error::Locked { .. })));
    ledger.append(&records(0..9)).unwrap();
    let again = ledger.append(&records(8..12)).unwrap_err();
    assert!(matches!(again, Error::Repeated { next: 3, .. }), "{again}");
    let twice = [made::record(9), made::record(9)];
    assert!(matches!(ledger.append(&twice), Err(Error::Repeated { .. })));
    assert_eq!(ledger.size(), LedgerIndex(9));
    ledger.append(&records(9..12)).unwrap();
    assert_eq!(
        ledger.positions(),
        [
            ("audit.linux".into(), 0, 4),
            ("audit.linux".into(), 1, 4),
            ("audit.web".into(), 0, 4)
        ]
    );
    drop(ledger);
    assert!(matches!(
        ledger::Ledger::open(dir.path(), "other"),
        Err(Error::Key { .. })
    ));
    assert!(matches!(
        ledger::Ledger::open(&dir.path().join("new"), "with space"),
        Err(Error::Key { .. })
    ));
    assert!(matches!(
        ledger::Reader::open(&dir.path().join("nothing")),
        Err(Error::NoLedger { .. })
    ));
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(
        fs::metadata(dir.path().join("ledger.key"))
            .unwrap()
            .permissions()
            .mode()
            & 0o777,
        0o600
    );
}

#[test]
fn a_ledger_closed_at_the_end_of_a_group_goes_on_and_knows_its_positions() {
    let dir = tempfile::tempdir().unwrap();
    let mut early = made::record(0);
    early.coordinate = model::Coordinate::new("audit.early", 7, 41);
    early.received_at = model::Millis(NOW.0 + 1_000_000_000);
    let mut all = Vec::new();
    // All sealed with the tail empty of others; with leaves after it; with the tail's first file gone; a new segment.
    for size in [256, 512, 600, 4096, 4608, 65_536, 66_000] {
        let mut ledger = open(dir.path()).unwrap();
        let mut more = records((all.len() as u64).saturating_sub(1)..size - 1);
        if all.is_empty() {
            more.insert(0, early.clone());
        }
        ledger.append(&more).unwrap();
        all.extend(more);
        ledger.sync().unwrap();
        ledger.checkpoint(NOW).unwrap().unwrap();
        drop(ledger);
        let ledger = open(dir.path()).unwrap();
        assert_eq!(ledger.size(), LedgerIndex(size));
        assert_eq!(ledger.root(), root_of(&hashes(&all)));
        assert_eq!(ledger.next_offset("audit.early", 7), Some(42), "{size}");
        assert_eq!(ledger.next_offset("audit.early", 0), None);
        assert_eq!(ledger.greatest_received_at(), Some(early.received_at), "{size}");
        assert_eq!(ledger.reader().find(&early.coordinate).unwrap(), Some(LedgerIndex(0)));
        assert_eq!(fsck(dir.path(), &key(dir.path())), "");
    }
}
