//! Readers beside a writer that appends, syncs, seals and lets go of files.

use std::sync::atomic::{AtomicBool, Ordering};

use ledger::Reader;
use model::LedgerIndex;

use crate::made::{self, NOW, fsck, key, open, records};

const ALL: u64 = 30_000;

/// Reads to the end, in order, and compares each record.
fn follow(reader: &Reader, done: &AtomicBool) {
    let mut at = 0;
    while at < ALL {
        let ended = done.load(Ordering::Acquire);
        let entries = reader.read(LedgerIndex(at), 777, 1 << 20).unwrap();
        assert!(
            !(ended && entries.is_empty()),
            "the writer ended, the reader is at {at}"
        );
        for entry in entries {
            assert_eq!(entry.index.0, at);
            assert_eq!(entry.record, made::record(at));
            at += 1;
        }
        std::thread::yield_now();
    }
}

#[test]
fn readers_see_every_record_once_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = open(dir.path()).unwrap();
    let done = AtomicBool::new(false);
    let inside = ledger.reader();
    let cloned = inside.clone();
    let outside = Reader::open(dir.path()).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| follow(&inside, &done));
        scope.spawn(|| follow(&outside, &done));
        scope.spawn(|| {
            // Looks back while the tail moves into frames, and proves what it sees.
            while !done.load(Ordering::Acquire) {
                let size = cloned.size().unwrap().0;
                for index in (0..size).step_by(997) {
                    assert_eq!(cloned.entry(LedgerIndex(index)).unwrap().record, made::record(index));
                    let path = cloned.inclusion_proof(LedgerIndex(index), LedgerIndex(size)).unwrap();
                    let leaf = ledger::leaf_hash(&cloned.leaf_bytes(LedgerIndex(index)).unwrap());
                    let root = cloned.root(LedgerIndex(size)).unwrap();
                    assert!(ledger::verify_inclusion(&leaf, index, size, &path, &root));
                }
            }
        });
        scope.spawn(|| {
            let key = key(dir.path());
            while !done.load(Ordering::Acquire) {
                assert_eq!(fsck(dir.path(), &key), "");
            }
        });
        let mut at = 0;
        let writing = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            while at < ALL {
                let next = (at + 1 + at * 7 % 613).min(ALL);
                ledger.append(&records(at..next)).unwrap();
                at = next;
                ledger.sync().unwrap();
                if at % 3 == 0 {
                    ledger.checkpoint(NOW).unwrap();
                }
            }
        }));
        done.store(true, Ordering::Release);
        writing.unwrap();
    });
    assert_eq!(fsck(dir.path(), &key(dir.path())), "");
}

#[test]
fn a_reader_gives_nothing_that_is_not_durable_or_not_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = open(dir.path()).unwrap();
    let reader = ledger.reader();
    ledger.append(&records(0..10)).unwrap();
    assert_eq!(reader.size().unwrap(), LedgerIndex(0));
    assert!(reader.read(LedgerIndex(0), 10, 1000).unwrap().is_empty());
    assert!(reader.entry(LedgerIndex(0)).is_err());
    ledger.flush().unwrap();
    assert_eq!(reader.read(LedgerIndex(0), 100, 1 << 20).unwrap().len(), 10);
    let outside = Reader::open(dir.path()).unwrap();
    outside.read_up_to(LedgerIndex(4));
    assert_eq!(outside.clone().read(LedgerIndex(1), 100, 1 << 20).unwrap().len(), 3);
    assert!(outside.entry(LedgerIndex(4)).is_err());
    assert!(outside.root(LedgerIndex(5)).is_err());
    assert!(outside.inclusion_proof(LedgerIndex(4), LedgerIndex(4)).is_err());
    assert!(outside.entry(LedgerIndex(u64::MAX)).is_err());
    assert!(outside.read(LedgerIndex(u64::MAX), 1, 1).unwrap().is_empty());
}
