//! Groups on their way to the judge. A few wait whole; of more than these only what cannot be had from the ledger again, so
//! that the index, which takes the same groups, need not wait for the judge.
//!
//! What is made once more of the ledger is the same: records that repeat others were told apart the first time, and records
//! that wait for others are those of the group before.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use model::{Delta, LedgerIndex};

use super::Group;
use crate::accounts::Accounts;
use crate::policies::Site;

/// Payload bytes of groups that wait whole: two groups' worth. In columns it is several times as much.
pub const WHOLE_BYTES_MAX: usize = 4 << 20;
/// Records that may wait otherwise, some 60 bytes each; more make the normalizer wait, and with it the index.
const RECORDS_MAX: u64 = 2_000_000;

/// A group that waits.
pub enum Waiting {
    /// As it was made.
    Whole(Arc<Group>),
    /// To be made again.
    Later(Box<Later>),
}

/// What the ledger does not tell of a group.
pub struct Later {
    /// The leaves.
    pub range: Range<LedgerIndex>,
    /// Which records repeat others, in the order in which it was asked.
    pub verdicts: Vec<bool>,
    /// What waits for more records after it.
    pub joins: Arc<str>,
    /// What the duplicate check learned.
    pub dedup: Packed,
    /// What became of the records.
    pub accounts: Accounts,
    /// What judges from this group on.
    pub site: Option<Site>,
}

impl Waiting {
    /// The leaves.
    pub fn range(&self) -> &Range<LedgerIndex> {
        match self {
            Waiting::Whole(group) => &group.range,
            Waiting::Later(later) => &later.range,
        }
    }

    /// What judges from this group on, where it changed.
    pub fn site(&self) -> Option<&Site> {
        match self {
            Waiting::Whole(group) => group.site.as_ref(),
            Waiting::Later(later) => later.site.as_ref(),
        }
    }

    /// What waits for more records after it.
    pub fn joins(&self) -> &Arc<str> {
        match self {
            Waiting::Whole(group) => &group.joins,
            Waiting::Later(later) => &later.joins,
        }
    }

    fn records(&self) -> u64 {
        self.range().end.0 - self.range().start.0
    }

    fn whole_bytes(&self) -> usize {
        match self {
            Waiting::Whole(group) => group.bytes,
            Waiting::Later(_) => 0,
        }
    }
}

/// Rows of the state in one piece of memory: there are many small ones.
pub struct Packed {
    position: LedgerIndex,
    bytes: Vec<u8>,
    /// Where keys and values end; a key that goes has no value.
    ends: Vec<(u32, Option<u32>)>,
}

impl Packed {
    /// Rows, packed.
    pub fn new(delta: &Delta) -> Packed {
        let mut packed = Packed {
            position: delta.position,
            bytes: Vec::new(),
            ends: Vec::with_capacity(delta.put.len() + delta.delete.len()),
        };
        let mut add = |key: &[u8], value: Option<&[u8]>| {
            packed.bytes.extend_from_slice(key);
            let key_end = packed.bytes.len() as u32;
            packed.bytes.extend_from_slice(value.unwrap_or_default());
            packed.ends.push((key_end, value.map(|_| packed.bytes.len() as u32)));
        };
        for (key, value) in &delta.put {
            add(key, Some(value));
        }
        for key in &delta.delete {
            add(key, None);
        }
        packed.bytes.shrink_to_fit();
        packed
    }

    /// The rows again.
    pub fn delta(&self) -> Delta {
        let mut delta = Delta {
            position: self.position,
            ..Delta::default()
        };
        let (mut rest, mut at) = (self.bytes.as_slice(), 0);
        for (key_end, value_end) in &self.ends {
            let (key, after) = rest.split_at((*key_end - at) as usize);
            (rest, at) = (after, *key_end);
            let Some(end) = value_end else {
                delta.delete.push(key.to_vec());
                continue;
            };
            let (value, after) = rest.split_at((*end - at) as usize);
            (rest, at) = (after, *end);
            delta.put.push((key.to_vec(), value.to_vec()));
        }
        delta
    }
}

#[derive(Default)]
struct Inner {
    waiting: VecDeque<Waiting>,
    whole_bytes: usize,
    records: u64,
    /// No more groups come.
    ended: bool,
    /// Nobody takes any.
    gone: bool,
}

struct Shared {
    inner: Mutex<Inner>,
    changed: Condvar,
    whole_bytes_max: usize,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end that groups are given to.
pub struct Giver(Arc<Shared>);

/// The end that they are taken from, in order.
pub struct Taker(Arc<Shared>);

/// Nothing waits. Groups of so many bytes may wait whole, and one at least.
pub fn backlog(whole_bytes_max: usize) -> (Giver, Taker) {
    let shared = Arc::new(Shared {
        inner: Mutex::default(),
        changed: Condvar::new(),
        whole_bytes_max,
    });
    (Giver(shared.clone()), Taker(shared))
}

impl Giver {
    /// Puts a group at the end; `false` when nobody takes any.
    pub fn put(&self, group: &Arc<Group>) -> bool {
        let mut inner = self.0.lock();
        while inner.records >= RECORDS_MAX && !inner.gone {
            inner = self.0.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
        if inner.gone {
            return false;
        }
        let fits = inner.whole_bytes == 0 || inner.whole_bytes.saturating_add(group.bytes) <= self.0.whole_bytes_max;
        let waiting = match fits {
            true => Waiting::Whole(group.clone()),
            false => Waiting::Later(Box::new(Later {
                range: group.range.clone(),
                verdicts: group.verdicts.clone(),
                joins: group.joins.clone(),
                dedup: Packed::new(&group.dedup),
                accounts: group.accounts.clone(),
                site: group.site.clone(),
            })),
        };
        inner.whole_bytes += waiting.whole_bytes();
        inner.records += waiting.records();
        inner.waiting.push_back(waiting);
        metrics::gauge!("docket_judge_waiting_records").set(inner.records as f64);
        self.0.changed.notify_all();
        true
    }
}

impl Taker {
    /// The next group; waits for it. `None` when no more come.
    pub fn take(&self) -> Option<Waiting> {
        let mut inner = self.0.lock();
        loop {
            if let Some(waiting) = self.pop(&mut inner) {
                return Some(waiting);
            }
            if inner.ended {
                return None;
            }
            inner = self.0.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The next group, where one waits.
    pub fn take_waiting(&self) -> Option<Waiting> {
        self.pop(&mut self.0.lock())
    }

    fn pop(&self, inner: &mut Inner) -> Option<Waiting> {
        let waiting = inner.waiting.pop_front()?;
        inner.whole_bytes -= waiting.whole_bytes();
        inner.records -= waiting.records();
        metrics::gauge!("docket_judge_waiting_records").set(inner.records as f64);
        self.0.changed.notify_all();
        Some(waiting)
    }
}

impl Drop for Giver {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.changed.notify_all();
    }
}

impl Drop for Taker {
    fn drop(&mut self) {
        let mut inner = self.0.lock();
        inner.gone = true;
        inner.waiting.clear();
        self.0.changed.notify_all();
    }
}
