//! Items of the state that come once, never change or seldom, and are forgotten at whole minutes: those of a kind and a policy that came
//! in one call and go at one minute are one row, written together and deleted together.
//!
//! ```text
//! key    0  1  Z
//!        1  8  the policy, as in other keys
//!        9  1  the kind of the items, as their own rows' keys begin: B, S, W, R or X
//!       10  8  the minute at which they are forgotten, epoch milliseconds, big endian
//!       18  4  the number of the row among those of that minute, big endian
//! value  0  1  2, the version of values that are bytes
//!        1     for each item 4 bytes of length, little endian, and the item as a row of its own would have it
//! ```
//! An item that changed later has a row of its own, too, which counts. Rows of earlier versions are all the items' own; they go on so, or
//! are written anew here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{Millis, StateKey, StateValue};

use super::bytes::Writer;
use super::groups::GroupId;
use super::load::read_bytes;
use super::plan::StateId;
use super::state::{self, Changes, Item, Kind};
use super::written::EntryRow;
use super::{Detector, StateError};
use crate::policy::{Body, PolicyIndex};

/// What is forgotten together: when, of what kind, of which policy.
pub(super) type Name = (Millis, Kind, PolicyIndex);

/// Bytes of the key of a row.
const KEY_BYTES: usize = 22;

/// What is written so.
#[derive(Debug, Default)]
pub(super) struct Minutes {
    /// What came since the last delta.
    fresh: BTreeMap<Name, Vec<u8>>,
    /// How many rows the state has of each.
    rows: BTreeMap<Name, u32>,
    /// Rows whose minute is over.
    gone: Vec<(Name, u32)>,
}

impl Minutes {
    /// An item came.
    pub fn add(&mut self, name: Name, put: impl FnOnce(&mut Writer)) {
        let items = self.fresh.entry(name).or_insert_with(|| state::written(|_| {}));
        let start = items.len();
        let mut writer = Writer(std::mem::take(items));
        writer.0.extend([0; 4]);
        put(&mut writer);
        *items = writer.0;
        // An item is far shorter than 4 GiB.
        let bytes = (items.len() - start - 4) as u32;
        items[start..start + 4].copy_from_slice(&bytes.to_le_bytes());
    }

    /// Engine time is `now`, and all that was due by then was forgotten.
    pub fn forget(&mut self, now: Millis) {
        while let Some(first) = self.fresh.first_entry().filter(|first| first.key().0 <= now) {
            // It came and went.
            first.remove();
        }
        while let Some(first) = self.rows.first_entry().filter(|first| first.key().0 <= now) {
            self.gone.push(first.remove_entry());
        }
    }

    /// The state has a row of such items.
    pub fn take_up(&mut self, name: Name, number: u32) {
        let rows = self.rows.entry(name).or_default();
        *rows = (*rows).max(number.saturating_add(1));
    }

    /// Writes what came and what went since the last delta.
    pub fn write(&mut self, state: impl Fn(PolicyIndex) -> StateId, changes: &mut Changes) {
        for (name, rows) in self.gone.drain(..) {
            (0..rows).for_each(|number| changes.delete(key(name, state(name.2), number)));
        }
        for (name, items) in std::mem::take(&mut self.fresh) {
            let number = self.rows.entry(name).or_default();
            changes.put_row(key(name, state(name.2), *number), items);
            *number += 1;
        }
    }
}

fn key((at, kind, _): Name, policy: StateId, number: u32) -> StateKey {
    let mut key = Vec::with_capacity(KEY_BYTES);
    key.push(Kind::Minute as u8);
    key.extend(policy.0.to_be_bytes());
    key.push(kind as u8);
    key.extend(at.0.to_be_bytes());
    key.extend(number.to_be_bytes());
    key
}

/// The kind of the items of a row, when they are forgotten, and the row's number; `None` where it is none of ours.
pub(super) fn read_key(key: &[u8]) -> Option<(Kind, Millis, u32)> {
    if key.len() != KEY_BYTES {
        return None;
    }
    let kind = Kind::of(&key[9..10])?;
    let at = i64::from_be_bytes(key[10..18].try_into().ok()?);
    Some((kind, Millis(at), u32::from_be_bytes(key[18..].try_into().ok()?)))
}

/// The items of a row, each as a row of its own would have it; `None` where it is broken.
pub(super) fn items(row: &[u8]) -> Option<Vec<StateValue>> {
    let mut rest = state::bytes_of(row)?;
    let mut items = Vec::new();
    while !rest.is_empty() {
        let (length, more) = rest.split_first_chunk::<4>()?;
        let (item, more) = more.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        items.push(state::written(|to| to.0.extend(item)));
        rest = more;
    }
    Some(items)
}

/// Where an item of the state stood.
#[derive(Clone, Debug)]
pub(super) enum From {
    /// In a row of its own, of this key.
    Own(StateKey),
    /// Among those that are forgotten at a minute.
    Minute(Millis),
    /// Among those, which now it has to be no more.
    Apart,
}

/// The entries of groups that are written by the minute, those with rows of their own first.
pub(super) type Gathered = BTreeMap<GroupId, Vec<(From, StateValue)>>;

impl Detector {
    /// Whether items of a kind are written by the minute: those that nothing takes back before they are forgotten.
    pub(super) fn by_minute(&self, kind: Kind, policy: PolicyIndex) -> bool {
        let node = self.plan.node(policy);
        match kind {
            Kind::Member | Kind::Row => !node.withdrawable,
            Kind::Window | Kind::Expected => node.takes_for_good,
            Kind::Subject => matches!(self.policies.get(policy).body, Body::Rule(_)),
            _ => false,
        }
    }

    /// An item came that is forgotten at `at`.
    pub(super) fn add_item(&mut self, kind: Kind, policy: PolicyIndex, at: Millis, put: impl FnOnce(&mut Writer)) {
        if !self.changes.off {
            self.minutes.add((at, kind, policy), put);
        }
    }

    /// Takes up the items that are forgotten together at a minute.
    pub(super) fn take_up_minute(
        &mut self,
        index: PolicyIndex,
        key: StateKey,
        value: &[u8],
        linked: &mut BTreeSet<(PolicyIndex, Arc<str>)>,
        gathered: &mut Gathered,
    ) -> Result<(), StateError> {
        let broken = || StateError { key: hex::encode(&key) };
        let (kind, at, number) = read_key(&key).ok_or_else(broken)?;
        let items = items(value).ok_or_else(broken)?;
        let from = match self.by_minute(kind, index) {
            true => From::Minute(at),
            false => From::Apart,
        };
        for item in items {
            if kind == Kind::Window {
                let row: EntryRow = read_bytes(&key, &item)?;
                gathered
                    .entry((index, row.group))
                    .or_default()
                    .push((from.clone(), item));
            } else {
                self.take_up(kind, index, (&from, &key), &item, linked)?;
            }
        }
        match from {
            From::Minute(_) => self.minutes.take_up((at, kind, index), number),
            From::Own(_) | From::Apart => self.changes.delete(key),
        }
        Ok(())
    }

    /// An item that is of those that are written once stands where it has to: with the others of its minute, or else in a row of
    /// its own.
    pub(super) fn settle_item(
        &mut self,
        from: &From,
        (at, kind, index): Name,
        item: Item,
        put: impl FnOnce(&mut Writer),
    ) {
        match from {
            From::Own(key) if self.by_minute(kind, index) => {
                self.changes.delete(key.clone());
                self.add_item(kind, index, at, put);
            }
            From::Apart => self.changes.touch(item, false),
            From::Own(_) | From::Minute(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_came_is_there_until_its_minute(steps in prop::collection::vec((0i64..6, 0u8..4), 1..60)) {
            let (mut minutes, mut changes) = (Minutes::default(), Changes::default());
            let (mut store, mut plain) = (BTreeMap::new(), Vec::new());
            let (mut now, policy) = (Millis(0), PolicyIndex(3));
            for (n, (at, step)) in steps.into_iter().enumerate() {
                match step {
                    0 => {
                        now = now.max(Millis(at));
                        minutes.forget(now);
                        plain.retain(|(at, _)| *at > now);
                    }
                    1 => {
                        minutes.write(|p| StateId(u64::from(p.0)), &mut changes);
                        let (put, delete) = changes.take();
                        delete.iter().for_each(|key| assert!(store.remove(key).is_some()));
                        store.extend(put);
                        let mut there = Vec::new();
                        let mut again = Minutes::default();
                        for (key, row) in &store {
                            let (kind, at, number) = read_key(key).unwrap();
                            again.take_up((at, kind, policy), number);
                            there.extend(items(row).unwrap().into_iter().map(|item| (at, item)));
                        }
                        there.sort();
                        plain.sort();
                        prop_assert_eq!(&there, &plain);
                        // After a restart it goes on as without.
                        prop_assert_eq!(&again.rows, &minutes.rows);
                        minutes = again;
                    }
                    _ => {
                        let text = "x".repeat(n);
                        minutes.add((Millis(at), Kind::Row, policy), |to| to.text(&text));
                        plain.push((Millis(at), state::written(|to| to.text(&text))));
                    }
                }
            }
        }

        #[test]
        fn hostile_rows_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = (read_key(&bytes), items(&bytes));
        }
    }
}
