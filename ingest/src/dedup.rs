//! Repeated deliveries: the same source, the same source id *and* the same bytes within 7 days.
//!
//! A duplicate is told by ledger index: a record is one when an *earlier* leaf holds the same key, so the verdict on
//! a leaf is the same when it is replayed. For that, firsts are kept a day longer than they count, which is the
//! longest that a stage may lie behind.
//!
//! Memory is bounded: the youngest firsts ([`YOUNG`]) are in memory, and in the state of the detector, in whose transaction
//! they are written; older ones go to files ([`runs`]), of which two bytes a first stay in memory. Files are bounded, too
//! ([`CAPACITY`]): over that the oldest go, [`Dedup::forgotten`] counts them, and a repetition of them is taken for new (an
//! event twice rather than none). Without a folder the youngest are all there is.
//!
//! Stored in the state as `b'D'`, ledger index (8 bytes, big-endian), key (16 bytes) → `received_at` (8 bytes,
//! big-endian): rows that come together lie together, and so do those that go. The first byte `D` is reserved for this.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use model::{Delta, LedgerIndex, Millis, StateKey, StateValue};
use sha2::{Digest, Sha256};

mod filter;
mod run;
mod runs;

pub use self::run::RunError;
use self::runs::Runs;

/// How long a repetition counts as one.
pub const WINDOW_MS: i64 = 7 * 24 * 3_600_000;
/// How much longer a first is kept, for replays.
const GRACE_MS: i64 = 24 * 3_600_000;
/// Firsts in memory where the others go to files: some 20 MB. Half of them are more than all that a stage behind the
/// normalizer may not have stored yet, so that what goes to a file is in the state.
pub const YOUNG: usize = 131_072;
/// Firsts in files by default: 1.6 GB of disk, and 100 MB of memory.
pub const CAPACITY: u64 = 50_000_000;
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
    /// Firsts in memory.
    young_max: usize,
    firsts: HashMap<Key, Vec<(LedgerIndex, Millis)>>,
    by_index: BTreeMap<LedgerIndex, (Key, Millis)>,
    old: Option<Old>,
    forgotten: u64,
    now: Millis,
    position: LedgerIndex,
    changed: BTreeMap<StateKey, Option<StateValue>>,
}

#[derive(Debug)]
struct Old {
    runs: Runs,
    capacity: u64,
}

impl Default for Dedup {
    fn default() -> Dedup {
        Dedup::new(1_000_000)
    }
}

impl Dedup {
    /// Nothing seen; keeps at most so many firsts, in memory.
    #[must_use]
    pub fn new(young_max: usize) -> Dedup {
        Dedup {
            young_max: young_max.max(2),
            firsts: HashMap::new(),
            by_index: BTreeMap::new(),
            old: None,
            forgotten: 0,
            now: Millis(i64::MIN),
            position: LedgerIndex(0),
            changed: BTreeMap::new(),
        }
    }

    /// Keeps `young_max` firsts in memory, and `capacity` older ones in files in `dir`.
    ///
    /// # Errors
    /// The operator's: the folder cannot be had, or holds what was not written there.
    pub fn open(dir: &Path, young_max: usize, capacity: u64) -> Result<Dedup, RunError> {
        Ok(Dedup {
            old: Some(Old {
                runs: Runs::open(dir)?,
                capacity,
            }),
            ..Dedup::new(young_max)
        })
    }

    /// Whether the leaf repeats an earlier one, and which; a first is kept.
    ///
    /// # Errors
    /// The disk's, where firsts are in files; nothing may be judged then.
    pub fn check(
        &mut self,
        index: LedgerIndex,
        received_at: Millis,
        key: [u8; 16],
    ) -> Result<Option<LedgerIndex>, RunError> {
        self.now = self.now.max(received_at);
        self.position = self.position.max(index.next());
        let (mut earlier, mut known) = (None::<LedgerIndex>, false);
        let mut look = |i: LedgerIndex, at: Millis| {
            known |= i == index;
            if i < index && (received_at - at).saturating_abs() <= WINDOW_MS {
                earlier = Some(earlier.map_or(i, |e| e.min(i)));
            }
        };
        for (i, at) in self.firsts.get(&key).into_iter().flatten() {
            look(*i, *at);
        }
        if let Some(old) = &self.old {
            old.runs.find(&key, &mut look)?;
        }
        if earlier.is_some() {
            return Ok(earlier);
        }
        if !known {
            self.firsts.entry(key).or_default().push((index, received_at));
            self.by_index.insert(index, (key, received_at));
            self.changed
                .insert(state_key(&key, index), Some(received_at.0.to_be_bytes().to_vec()));
            self.expire()?;
        }
        Ok(None)
    }

    /// Firsts in memory.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_index.len()
    }

    /// Whether nothing is kept in memory.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_index.is_empty()
    }

    /// Firsts in files.
    #[must_use]
    pub fn on_disk(&self) -> u64 {
        self.old.as_ref().map_or(0, |old| old.runs.rows())
    }

    /// Firsts that were given up within the window, because there was no room: repetitions of them count as new.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// The greatest leaf that a file tells of: the ledger has to hold it.
    #[must_use]
    pub fn greatest_on_disk(&self) -> Option<LedgerIndex> {
        self.old.as_ref()?.runs.greatest()
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
            let (Some((index, rest)), Ok(at)) = (rest.split_first_chunk::<8>(), value.as_slice().try_into()) else {
                continue;
            };
            let (index, Ok(key)) = (LedgerIndex(u64::from_be_bytes(*index)), Key::try_from(rest)) else {
                continue;
            };
            let at = Millis(i64::from_be_bytes(at));
            if self.by_index.insert(index, (key, at)).is_none() {
                self.firsts.entry(key).or_default().push((index, at));
            }
            self.now = self.now.max(at);
            self.position = self.position.max(index.next());
        }
    }

    fn expire(&mut self) -> Result<(), RunError> {
        let oldest = self.now.plus_ms(-WINDOW_MS - GRACE_MS);
        while let Some((index, (key, at))) = self.by_index.first_key_value().map(|(i, f)| (*i, *f))
            && at < oldest
        {
            self.forget(index, &key);
        }
        if self.by_index.len() <= self.young_max {
            return Ok(());
        }
        let spare = self.by_index.len() - self.young_max / 2;
        let Some(old) = &mut self.old else {
            while let Some((index, (key, at))) = self.by_index.first_key_value().map(|(i, f)| (*i, *f))
                && self.by_index.len() > self.young_max
            {
                self.forgotten += u64::from(self.now - at <= WINDOW_MS);
                self.forget(index, &key);
            }
            return Ok(());
        };
        let firsts: Vec<run::First> = self
            .by_index
            .iter()
            .take(spare)
            .map(|(i, (k, at))| (*k, *i, *at))
            .collect();
        old.runs.write(firsts.clone())?;
        self.forgotten += old.runs.expire(oldest, old.capacity)?;
        for (key, index, _) in firsts {
            self.forget(index, &key);
        }
        Ok(())
    }

    /// Takes a first out of memory and state.
    fn forget(&mut self, index: LedgerIndex, key: &Key) {
        self.by_index.remove(&index);
        if let Some(firsts) = self.firsts.get_mut(key) {
            firsts.retain(|(i, _)| *i != index);
            if firsts.is_empty() {
                self.firsts.remove(key);
            }
        }
        self.changed.insert(state_key(key, index), None);
    }
}

fn state_key(key: &Key, index: LedgerIndex) -> StateKey {
    let mut out = Vec::with_capacity(25);
    out.push(STATE_KIND);
    out.extend_from_slice(&index.0.to_be_bytes());
    out.extend_from_slice(key);
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
        let mut check = |i, day, n| {
            dedup
                .check(LedgerIndex(i), Millis(day * DAY), k(n))
                .unwrap()
                .map(|i| i.0)
        };
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
    fn over_capacity_the_oldest_is_forgotten_and_counted() {
        let mut dedup = Dedup::new(2);
        let check = |dedup: &mut Dedup, i, at, n| dedup.check(LedgerIndex(i), Millis(at), k(n)).unwrap();
        for n in 0..3 {
            assert_eq!(check(&mut dedup, n, n as i64, n as u8), None);
        }
        assert_eq!((dedup.len(), dedup.forgotten()), (2, 1));
        assert_eq!(check(&mut dedup, 3, 3, 2), Some(LedgerIndex(2)));
        assert_eq!(check(&mut dedup, 4, 4, 0), None);
        // What is over is no loss.
        let mut dedup = Dedup::new(2);
        for (i, day) in [(0, 0), (1, 0), (2, 9), (3, 9)] {
            check(&mut dedup, i, day * DAY, i as u8);
        }
        assert_eq!((dedup.len(), dedup.forgotten()), (2, 0));
    }

    #[test]
    fn what_leaves_memory_is_on_disk_up_to_its_bound_and_expires_there() {
        let dir = tempfile::tempdir().unwrap();
        let mut dedup = Dedup::open(dir.path(), 100, 1000).unwrap();
        let of = |n: u64| key("s", b"uid", &n.to_be_bytes(), b"");
        let mut state = BTreeMap::new();
        for n in 0..900 {
            assert_eq!(dedup.check(LedgerIndex(n), Millis(0), of(n)).unwrap(), None);
            let delta = dedup.take_delta();
            state.extend(delta.put);
            delta.delete.iter().for_each(|k| drop(state.remove(k)));
            assert!(dedup.len() <= 100);
            assert_eq!(state.len(), dedup.len(), "the state holds what memory does");
        }
        assert_eq!((dedup.len() as u64 + dedup.on_disk(), dedup.forgotten()), (900, 0));
        let state: Vec<_> = state.into_iter().collect();
        let mut again = Dedup::open(dir.path(), 100, 1000).unwrap();
        again.load(&state);
        assert!(again.greatest_on_disk().is_some_and(|i| i < LedgerIndex(900)));
        for dedup in [&mut dedup, &mut again] {
            for n in (0..900).step_by(13) {
                let i = LedgerIndex(900 + n);
                assert_eq!(dedup.check(i, Millis(DAY), of(n)).unwrap(), Some(LedgerIndex(n)));
                assert_eq!(dedup.check(LedgerIndex(n), Millis(0), of(n)).unwrap(), None, "replayed");
            }
        }
        // Over the bound of the files the oldest go, and are counted.
        for n in 2000..3500 {
            dedup.check(LedgerIndex(n), Millis(DAY), of(n)).unwrap();
        }
        assert!(dedup.on_disk() <= 1000 && dedup.forgotten() > 0);
        assert_eq!(dedup.len() as u64 + dedup.on_disk() + dedup.forgotten(), 900 + 1500);
        // After the window files go, and nothing is lost by that.
        let before = dedup.forgotten();
        for n in 4000..4300 {
            dedup.check(LedgerIndex(n), Millis(20 * DAY), of(n)).unwrap();
        }
        assert!(dedup.on_disk() <= 300);
        assert_eq!(dedup.forgotten(), before);
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
            records in prop::collection::vec((0u8..12, 0i64..3), 1..60), stop in 0usize..60, back in 0usize..20, in_files in any::<bool>()
        ) {
            let mut at = 0;
            let records: Vec<_> = records.into_iter().map(|(n, days)| { at += days * DAY / 8; (k(n), Millis(at)) }).collect();
            let mut whole = Dedup::default();
            let verdicts: Vec<_> =
                records.iter().enumerate().map(|(i, (key, at))| whole.check(LedgerIndex(i as u64), *at, *key).unwrap()).collect();

            let stop = stop.min(records.len());
            // With room for four in memory, the others in files.
            let dir = tempfile::tempdir().unwrap();
            let fresh = || if in_files { Dedup::open(dir.path(), 4, 1000).unwrap() } else { Dedup::default() };
            let mut first = fresh();
            let mut stored = BTreeMap::new();
            for (i, (key, at)) in records[..stop].iter().enumerate() {
                first.check(LedgerIndex(i as u64), *at, *key).unwrap();
                let delta = first.take_delta();
                prop_assert_eq!(delta.position, LedgerIndex(i as u64 + 1));
                stored.extend(delta.put);
                delta.delete.iter().for_each(|k| { stored.remove(k); });
            }
            let mut second = fresh();
            let stored: Vec<_> = stored.into_iter().chain([(b"other".to_vec(), vec![])]).collect();
            second.load(&stored);
            // Within the day of grace only.
            let mut from = stop.saturating_sub(back);
            while from < stop && records[stop - 1].1 - records[from].1 > DAY { from += 1; }
            for (i, (key, at)) in records.iter().enumerate().skip(from) {
                prop_assert_eq!(second.check(LedgerIndex(i as u64), *at, *key).unwrap(), verdicts[i], "leaf {}", i);
            }
        }
    }
}
