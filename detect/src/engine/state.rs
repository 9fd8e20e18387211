//! The engine's state as keys and values.
//!
//! ```text
//! key    0  1  kind: B member of a bucket, S subject, W window entry, R row of an event table, F finding that
//!              was reported, O opened expectation, X expected event, A settled expectation, E engine time,
//!              N watch over a source's silence, K kinds of events of a source, H since when a key is known,
//!              Y a day on which a value was seen, P pauses of a source, G finding as an event of a rule, L delays of
//!              a sender, U delays of a source in an hour, Q run of the numbers of a log, V part of what a source sent in
//!              a span, Z items that are forgotten together (see `minutes.rs`); C and D are not the engine's (accounts, duplicates)
//!        1  8  the policy: SHA-256 of its id and version, and of those it depends on; of H and Y, of its id and of
//!              what it takes for new
//!        9 16  SHA-256 of what names the item within the policy; of W 8 bytes each of that of the group and of the
//!              entry, so that a group's rows stand together
//! value  0  1  format version; this file writes 1 and 2
//!        1     of version 1 JSON; of 2 (B, S, W, G, R, O, X) bytes as `bytes.rs` writes them
//! ```
//! A row of a policy that is not there any more, or in another version, is dropped when the state is read.

use std::sync::Arc;

use foldhash::HashMap;
use model::{StateKey, StateValue};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::bucket::BucketId;
use super::bytes::{Bytes, Put, Reader, Writer};
use super::fact::Order;
use super::plan::StateId;
use crate::policy::PolicyIndex;

const VERSION: u8 = 1;
const VERSION_BYTES: u8 = 2;

/// What a row of the state is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Kind {
    Member = b'B',
    Subject = b'S',
    Window = b'W',
    Row = b'R',
    Finding = b'F',
    Opened = b'O',
    Expected = b'X',
    Settled = b'A',
    Time = b'E',
    Silence = b'N',
    Kinds = b'K',
    Habit = b'H',
    Day = b'Y',
    Pauses = b'P',
    Fed = b'G',
    Delay = b'L',
    Usual = b'U',
    Minute = b'Z',
    Run = b'Q',
    Portion = b'V',
}

impl Kind {
    const ALL: [Kind; 20] = [
        Kind::Member,
        Kind::Subject,
        Kind::Window,
        Kind::Row,
        Kind::Finding,
        Kind::Opened,
        Kind::Expected,
        Kind::Settled,
        Kind::Time,
        Kind::Silence,
        Kind::Kinds,
        Kind::Habit,
        Kind::Day,
        Kind::Pauses,
        Kind::Fed,
        Kind::Delay,
        Kind::Usual,
        Kind::Minute,
        Kind::Run,
        Kind::Portion,
    ];

    /// `None` for keys that are not the engine's.
    pub fn of(key: &[u8]) -> Option<Kind> {
        Kind::ALL.into_iter().find(|k| key.first() == Some(&(*k as u8)))
    }
}

/// The key of an item of a policy.
pub(super) fn key(kind: Kind, policy: StateId, parts: &[&[u8]]) -> StateKey {
    let mut key = Vec::with_capacity(25);
    key.push(kind as u8);
    key.extend(policy.0.to_be_bytes());
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    key.extend(&hash.finalize()[..16]);
    key
}

/// The policy of a key.
pub(super) fn policy_of(key: &[u8]) -> Option<StateId> {
    Some(StateId(u64::from_be_bytes(key.get(1..9)?.try_into().ok()?)))
}

/// Reads a value; `None` where it was written by another version, or is broken.
pub(super) fn read<T: DeserializeOwned>(value: &[u8]) -> Option<T> {
    let (version, json) = value.split_first()?;
    if *version != VERSION {
        return None;
    }
    serde_json::from_slice(json).ok()
}

/// As [`read`], of what may be written as bytes.
pub(super) fn read_bytes<T: Bytes + DeserializeOwned>(value: &[u8]) -> Option<T> {
    match value.split_first()? {
        (&VERSION_BYTES, bytes) => T::take(&mut Reader(bytes)),
        _ => read(value),
    }
}

/// The bytes of a value that is written as bytes.
pub(super) fn bytes_of(value: &[u8]) -> Option<&[u8]> {
    let (version, bytes) = value.split_first()?;
    (*version == VERSION_BYTES).then_some(bytes)
}

/// The key of an item of a group: those of a group stand together.
pub(super) fn grouped_key(kind: Kind, policy: StateId, group: &str, parts: &[&[u8]]) -> StateKey {
    let mut out = key(kind, policy, &[group.as_bytes()]);
    let own = key(kind, policy, parts);
    out.truncate(17);
    out.extend(&own[9..17]);
    out
}

/// An item of the state of which the engine knows how it stands; it is written when a delta is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Item {
    /// Engine time.
    Time,
    /// A member of a bucket.
    Member(BucketId, Order),
    /// A subject of a rule.
    Subject(PolicyIndex, Arc<str>),
    /// An entry of a group of a correlation.
    Entry(PolicyIndex, Arc<str>, Order),
    /// An event of a table.
    Row(PolicyIndex, Order),
    /// An expectation that an event opened.
    Opened(PolicyIndex, Arc<str>),
    /// An expectation that is settled.
    Settled(PolicyIndex, Arc<str>),
    /// An expected event.
    Expected(PolicyIndex, Order),
    /// Since when a key is known to a rule.
    Habit(PolicyIndex, Arc<str>),
    /// A day on which a key was seen with a value.
    Day(PolicyIndex, Arc<str>, Arc<str>, i64),
    /// A run of the numbers of a log, by its first.
    Run(PolicyIndex, Arc<str>, i64),
    /// An event that a finding is.
    Fed(PolicyIndex, Arc<str>),
}

/// What changed since the last delta.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// The last of a key counts.
    rows: Vec<(StateKey, Option<StateValue>)>,
    /// What changed, and whether it was not there before.
    touched: HashMap<Item, bool>,
    /// Nobody keeps the state.
    pub off: bool,
}

impl Changes {
    /// An item came, changed or went; `fresh`: it was not there before. What comes and goes within one delta is nowhere in it.
    pub fn touch(&mut self, item: Item, fresh: bool) {
        if !self.off {
            self.touched.entry(item).or_insert(fresh);
        }
    }

    /// The items of the next delta, and which were not there before.
    pub fn touched(&mut self) -> Vec<(Item, bool)> {
        // The room is needed again.
        self.touched.drain().collect()
    }

    pub fn put(&mut self, key: StateKey, value: &impl Serialize) {
        if !self.off {
            self.rows.push((key, Some(json(value))));
        }
    }

    /// Puts what [`json`] or [`bytes`] made of a value.
    pub fn put_row(&mut self, key: StateKey, value: StateValue) {
        self.rows.push((key, Some(value)));
    }

    pub fn delete(&mut self, key: StateKey) {
        if !self.off {
            self.rows.push((key, None));
        }
    }

    /// Takes what changed, keys in order.
    pub fn take(&mut self) -> (Vec<(StateKey, StateValue)>, Vec<StateKey>) {
        let (mut put, mut delete) = (Vec::new(), Vec::new());
        let mut rows = std::mem::take(&mut self.rows);
        // The first bytes tell nearly all apart, and lie here side by side.
        let places = rows.iter().enumerate();
        let mut places: Vec<(u128, usize)> = places.map(|(n, (key, _))| (first_bytes(key), n)).collect();
        let key = |place: &(u128, usize)| &rows[place.1].0;
        // The last of a key first.
        places.sort_unstable_by(|a, b| (a.0.cmp(&b.0).then_with(|| key(a).cmp(key(b)))).then(b.1.cmp(&a.1)));
        places.dedup_by(|later, kept| later.0 == kept.0 && key(later) == key(kept));
        for (_, place) in places {
            let (key, value) = std::mem::take(&mut rows[place]);
            match value {
                Some(value) => put.push((key, value)),
                None => delete.push(key),
            }
        }
        (put, delete)
    }
}

/// The first 16 bytes of a key as a number of the same order.
fn first_bytes(key: &[u8]) -> u128 {
    let mut first = [0; 16];
    let n = key.len().min(16);
    first[..n].copy_from_slice(&key[..n]);
    u128::from_be_bytes(first)
}

/// A value as a row has it.
pub(super) fn json(value: &impl Serialize) -> StateValue {
    let mut bytes = vec![VERSION];
    // The engine's own types: maps have text keys, and nothing refuses to be written.
    serde_json::to_writer(&mut bytes, value).expect("the engine's state is always JSON");
    bytes
}

/// As [`json`], of what is written as bytes.
pub(super) fn bytes(value: &impl Put) -> StateValue {
    written(|to| value.put(to))
}

/// A value of what `put` writes.
pub(super) fn written(put: impl FnOnce(&mut Writer)) -> StateValue {
    let mut writer = Writer(Vec::with_capacity(256));
    writer.0.push(VERSION_BYTES);
    put(&mut writer);
    writer.0
}
