//! Repeated deliveries: the same source, the same source id *and* the same bytes within 7 days.
//!
//! A duplicate is told by ledger index: a record is one when an *earlier* leaf holds the same key, so the verdict on
//! a leaf is the same when it is replayed. For that, firsts are kept a day longer than they count, which is the
//! longest that a stage may lie behind. Bounded: over the capacity the oldest go first, and a repetition of them is
//! taken for new (an event twice rather than none).
//!
//! Stored as `b'D'`, key (16 bytes), ledger index (8 bytes, big-endian) → `received_at` (8 bytes, big-endian). The
//! first byte `D` is reserved for this in the state of the detector, in whose transaction it is written.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use model::{Delta, LedgerIndex, Millis, StateKey, StateValue};
use sha2::{Digest, Sha256};

/// How long a repetition counts as one.
pub const WINDOW_MS: i64 = 7 * 24 * 3_600_000;
/// How much longer a first is kept, for replays.
const GRACE_MS: i64 = 24 * 3_600_000;
/// Keys kept by default: at some 200 bytes each, 200 MB.
pub const CAPACITY: usize = 1_000_000;
/// A header that names a transport's batch and the record's place in it, `<batch>/<n>`: for records without an id.
pub const HEADER_BATCH: &str = "docket-batch-id";
/// The first byte of the state's keys.
pub const STATE_KIND: u8 = b'D';

/// The first 16 bytes of the SHA-256 over the parts, each with its length before it.
#[must_use]
pub fn key(source: &str, kind: &[u8], id: &[u8], payload: &[u8]) -> [u8; 16] {
    let mut hash = Sha256::new();
    for part in [source.as_bytes(), kind, id, payload] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut key = [0; 16];
    key.copy_from_slice(&hash.finalize()[..16]);
    key
}

type Key = [u8; 16];

/// The records seen of late.
#[derive(Debug)]
pub struct Dedup {
    capacity: usize,
    firsts: HashMap<Key, Vec<(LedgerIndex, Millis)>>,
    by_age: BTreeSet<(Millis, LedgerIndex, Key)>,
    now: Millis,
    position: LedgerIndex,
    changed: BTreeMap<StateKey, Option<StateValue>>,
}

impl Default for Dedup {
    fn default() -> Dedup {
        Dedup::new(CAPACITY)
    }
}

impl Dedup {
    /// Nothing seen; keeps at most `capacity` keys.
    #[must_use]
    pub fn new(capacity: usize) -> Dedup {
        Dedup {
            capacity: capacity.max(1),
            firsts: HashMap::new(),
            by_age: BTreeSet::new(),
            now: Millis(i64::MIN),
            position: LedgerIndex(0),
            changed: BTreeMap::new(),
        }
    }

    /// Whether the leaf repeats an earlier one, and which; a first is kept.
    pub fn check(&mut self, index: LedgerIndex, received_at: Millis, key: [u8; 16]) -> Option<LedgerIndex> {
        self.now = self.now.max(received_at);
        self.position = self.position.max(index.next());
        let firsts = self.firsts.entry(key).or_default();
        let earlier = firsts
            .iter()
            .filter(|(i, at)| *i < index && (received_at - *at).saturating_abs() <= WINDOW_MS)
            .map(|(i, _)| *i)
            .min();
        if earlier.is_some() {
            return earlier;
        }
        if !firsts.iter().any(|(i, _)| *i == index) {
            firsts.push((index, received_at));
            self.by_age.insert((received_at, index, key));
            self.changed
                .insert(state_key(&key, index), Some(received_at.0.to_be_bytes().to_vec()));
        }
        self.expire();
        None
    }

    /// Keys kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_age.len()
    }

    /// Whether nothing is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_age.is_empty()
    }

    /// What changed since the last call; its position is the leaf after the last one checked.
    pub fn take_delta(&mut self) -> Delta {
        let mut delta = Delta {
            position: self.position,
            ..Delta::default()
        };
        for (key, value) in std::mem::take(&mut self.changed) {
            match value {
                Some(value) => delta.put.push((key, value)),
                None => delta.delete.push(key),
            }
        }
        delta
    }

    /// Takes in what was stored; keys of another kind are passed over.
    pub fn load<'a>(&mut self, stored: impl IntoIterator<Item = &'a (StateKey, StateValue)>) {
        for (state_key, value) in stored {
            let Some(([STATE_KIND], rest)) = state_key.split_first_chunk::<1>() else {
                continue;
            };
            let (Some((key, rest)), Ok(at)) = (rest.split_first_chunk::<16>(), value.as_slice().try_into()) else {
                continue;
            };
            let Ok(index) = rest.try_into().map(|b| LedgerIndex(u64::from_be_bytes(b))) else {
                continue;
            };
            let at = Millis(i64::from_be_bytes(at));
            if self.by_age.insert((at, index, *key)) {
                self.firsts.entry(*key).or_default().push((index, at));
            }
            self.now = self.now.max(at);
            self.position = self.position.max(index.next());
        }
    }

    fn expire(&mut self) {
        while let Some((at, index, key)) = self.by_age.first().copied() {
            if self.by_age.len() <= self.capacity && self.now - at <= WINDOW_MS + GRACE_MS {
                break;
            }
            self.by_age.pop_first();
            if let Some(firsts) = self.firsts.get_mut(&key) {
                firsts.retain(|(i, _)| *i != index);
                if firsts.is_empty() {
                    self.firsts.remove(&key);
                }
            }
            self.changed.insert(state_key(&key, index), None);
        }
    }
}

fn state_key(key: &Key, index: LedgerIndex) -> StateKey {
    let mut out = Vec::with_capacity(25);
    out.push(STATE_KIND);
    out.extend_from_slice(key);
    out.extend_from_slice(&index.0.to_be_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY: i64 = 24 * 3_600_000;

    fn k(n: u8) -> [u8; 16] {
        [n; 16]
    }

    #[test]
    fn a_repetition_within_seven_days_is_one() {
        let mut dedup = Dedup::default();
        let mut check = |i, day, n| dedup.check(LedgerIndex(i), Millis(day * DAY), k(n)).map(|i| i.0);
        assert_eq!(check(0, 0, 1), None);
        assert_eq!(check(1, 0, 2), None);
        assert_eq!(check(2, 7, 1), Some(0));
        assert_eq!(check(3, 8, 1), None, "counted from the first, which is over");
        assert_eq!(check(4, 8, 1), Some(3));
        // Replayed, each has the verdict it had.
        assert_eq!(check(0, 0, 1), None);
        assert_eq!(check(2, 7, 1), Some(0));
        assert_eq!(check(3, 8, 1), None);
    }

    #[test]
    fn over_capacity_the_oldest_is_forgotten() {
        let mut dedup = Dedup::new(2);
        for n in 0..3 {
            assert_eq!(dedup.check(LedgerIndex(n), Millis(n as i64), k(n as u8)), None);
        }
        assert_eq!(dedup.len(), 2);
        assert_eq!(dedup.check(LedgerIndex(3), Millis(3), k(2)), Some(LedgerIndex(2)));
        assert_eq!(dedup.check(LedgerIndex(4), Millis(4), k(0)), None);
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(key("ab", b"uid", b"c", b""), key("a", b"uid", b"bc", b""));
        assert_ne!(key("a", b"uid", b"b", b"c"), key("a", b"uid", b"b", b"d"));
    }

    proptest! {
        /// Stopped anywhere, loaded from what was stored and replayed from anywhere before, the verdicts are the same.
        #[test]
        fn a_restart_changes_no_verdict(
            records in prop::collection::vec((0u8..4, 0i64..3), 1..60), stop in 0usize..60, back in 0usize..20
        ) {
            let mut at = 0;
            let records: Vec<_> = records.into_iter().map(|(n, days)| { at += days * DAY / 8; (k(n), Millis(at)) }).collect();
            let mut whole = Dedup::default();
            let verdicts: Vec<_> =
                records.iter().enumerate().map(|(i, (key, at))| whole.check(LedgerIndex(i as u64), *at, *key)).collect();

            let stop = stop.min(records.len());
            let mut first = Dedup::default();
            let mut stored = BTreeMap::new();
            for (i, (key, at)) in records[..stop].iter().enumerate() {
                first.check(LedgerIndex(i as u64), *at, *key);
                let delta = first.take_delta();
                prop_assert_eq!(delta.position, LedgerIndex(i as u64 + 1));
                stored.extend(delta.put);
                delta.delete.iter().for_each(|k| { stored.remove(k); });
            }
            let mut second = Dedup::default();
            let stored: Vec<_> = stored.into_iter().chain([(b"other".to_vec(), vec![])]).collect();
            second.load(&stored);
            // Within the day of grace only.
            let mut from = stop.saturating_sub(back);
            while from < stop && records[stop - 1].1 - records[from].1 > DAY { from += 1; }
            for (i, (key, at)) in records.iter().enumerate().skip(from) {
                prop_assert_eq!(second.check(LedgerIndex(i as u64), *at, *key), verdicts[i], "leaf {}", i);
            }
        }
    }
}
