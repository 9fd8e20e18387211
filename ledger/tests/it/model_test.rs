//! The ledger against a plain list of records, over any order of acts.

use ledger::{Reader, root_of, verify_consistency, verify_inclusion};
use model::{LedgerIndex, RawRecord};
use proptest::prelude::*;

use crate::made::{self, NOW};

#[derive(Debug, Clone)]
enum Act {
    Append(u64),
    Flush,
    Sync,
    Checkpoint,
    Reopen,
    Check(prop::sample::Index, prop::sample::Index),
}

fn any_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => (1u64..400).prop_map(Act::Append),
        1 => Just(Act::Flush),
        1 => Just(Act::Sync),
        1 => Just(Act::Checkpoint),
        1 => Just(Act::Reopen),
        2 => (any::<prop::sample::Index>(), any::<prop::sample::Index>()).prop_map(|(a, b)| Act::Check(a, b)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn the_ledger_is_a_list_of_records(acts in prop::collection::vec(any_act(), 1..24)) {
        let dir = tempfile::tempdir().unwrap();
        let mut ledger = made::open(dir.path()).unwrap();
        let mut plain: Vec<RawRecord> = Vec::new();
        for act in acts {
            let size = plain.len() as u64;
            match act {
                Act::Append(n) => {
                    let more = made::records(size..size + n);
                    let range = ledger.append(&more).unwrap();
                    prop_assert_eq!(range, LedgerIndex(size)..LedgerIndex(size + n));
                    plain.extend(more);
                }
                Act::Flush => {
                    prop_assert_eq!(ledger.flush().unwrap(), LedgerIndex(size));
                }
                Act::Sync => prop_assert_eq!(ledger.sync().unwrap(), LedgerIndex(size)),
                Act::Checkpoint => {
                    let before = ledger.last_checkpoint().map_or(0, |c| c.size);
                    match ledger.checkpoint(NOW).unwrap() {
                        Some(c) => {
                            prop_assert_eq!(c.size, ledger.durable().0);
                            prop_assert_eq!(c.root, root_of(&made::hashes(&plain[..c.size as usize])));
                        }
                        None => prop_assert_eq!(before, ledger.durable().0),
                    }
                }
                Act::Reopen => {
                    drop(ledger);
                    ledger = made::open(dir.path()).unwrap();
                    // What was appended but not flushed never was.
                    let durable = ledger.size().0;
                    prop_assert!(durable <= size);
                    plain.truncate(durable as usize);
                    prop_assert_eq!(made::fsck(dir.path(), &made::key(dir.path())), "");
                }
                Act::Check(a, b) => {
                    let durable = ledger.durable().0;
                    let outside = Reader::open(dir.path()).unwrap();
                    for reader in [ledger.reader(), outside] {
                        prop_assert_eq!(reader.size().unwrap().0, durable);
                        let all = reader.read(LedgerIndex(0), usize::MAX, usize::MAX).unwrap();
                        prop_assert_eq!(all.len() as u64, durable);
                        for (n, entry) in all.iter().enumerate() {
                            prop_assert_eq!(entry.index.0, n as u64);
                            prop_assert_eq!(&entry.record, &plain[n]);
                        }
                        if durable > 0 {
                            let (a, b) = (a.index(durable as usize) as u64, b.index(durable as usize) as u64);
                            let (low, high) = (a.min(b), a.max(b) + 1);
                            let all = made::hashes(&plain[..high as usize]);
                            let root = reader.root(LedgerIndex(high)).unwrap();
                            prop_assert_eq!(root, root_of(&all));
                            let path = reader.inclusion_proof(LedgerIndex(low), LedgerIndex(high)).unwrap();
                            prop_assert!(verify_inclusion(&all[low as usize], low, high, &path, &root));
                            let path = reader.consistency_proof(LedgerIndex(low), LedgerIndex(high)).unwrap();
                            let old = root_of(&all[..low as usize]);
                            prop_assert!(verify_consistency(low, &old, high, &root, &path));
                            let id = &plain[low as usize].coordinate;
                            prop_assert_eq!(reader.find(id).unwrap(), Some(LedgerIndex(low)));
                        }
                    }
                }
            }
            prop_assert_eq!(ledger.root(), root_of(&made::hashes(&plain)));
            prop_assert_eq!(ledger.greatest_received_at(), plain.iter().map(|r| r.received_at).max());
            for (topic, partition) in [("audit.linux", 0), ("audit.linux", 1), ("audit.web", 0)] {
                let of = plain.iter().map(|r| &r.coordinate).filter(|c| *c.topic == *topic && c.partition == partition);
                prop_assert_eq!(ledger.next_offset(topic, partition), of.map(|c| c.offset + 1).max());
            }
        }
    }
}
