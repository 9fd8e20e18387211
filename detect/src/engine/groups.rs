//! The groups of correlations: those at hand in memory, the others where the owner of the detector lets them lie.
//!
//! A group that was not touched for the longest goes first when there are too many bytes of them, whole and with all
//! it knows; what is asked of it again is read back. Nothing is ever forgotten for want of room.

use std::collections::VecDeque;
use std::fmt;
use std::hash::BuildHasher as _;
use std::sync::Arc;

use foldhash::HashMap;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use smallvec::SmallVec;

use super::window::Group;
use crate::policy::PolicyIndex;

/// A correlation and one of its groups.
pub(super) type GroupId = (PolicyIndex, Arc<str>);

/// The name of a group, where it is looked up: most are short enough to lie beside their group.
type Name = SmallVec<[u8; 24]>;

/// The groups of one correlation by name. What is looked up is small and stays at hand; each group stands in a slot, so that
/// the slots of many events to come can be looked for at once ([`Groups::slot`]).
#[derive(Default)]
struct Named {
    /// Half of the hash of each name, and the group's slot.
    table: HashTable<(u32, u32)>,
    slots: Vec<Slot>,
    /// Slots without a group.
    free: Vec<u32>,
    hasher: RandomState,
}

/// A group and its name; neither where the slot is free.
#[derive(Default)]
struct Slot {
    name: Name,
    group: Group,
}

/// Slots that may be free beside as many as there are groups.
const FREE_MAX: usize = 1_024;

impl Named {
    fn half(&self, name: &str) -> u32 {
        self.hasher.hash_one(name.as_bytes()) as u32
    }

    fn find(&self, half: u32, name: &str) -> Option<u32> {
        let is = |(of, at): &(u32, u32)| *of == half && self.is_at(*at, name);
        self.table.find(whole(half), is).map(|(_, at)| *at)
    }

    /// Whether a slot has the group of a name.
    fn is_at(&self, at: u32, name: &str) -> bool {
        self.slots
            .get(at as usize)
            .is_some_and(|slot| *slot.name == *name.as_bytes())
    }

    fn slot(&self, name: &str) -> Option<u32> {
        self.find(self.half(name), name)
    }

    fn get(&self, name: &str) -> Option<&Group> {
        Some(&self.slots[self.slot(name)? as usize].group)
    }

    fn get_mut(&mut self, name: &str) -> Option<&mut Group> {
        let at = self.slot(name)?;
        Some(&mut self.slots[at as usize].group)
    }

    /// The slot of a group, made where there is none; `likely`: where it was.
    fn entry(&mut self, name: &str, likely: Option<u32>) -> &mut Group {
        let at = match likely {
            Some(at) if self.is_at(at, name) && !name.is_empty() => at,
            _ => {
                let half = self.half(name);
                self.find(half, name).unwrap_or_else(|| self.make(half, name))
            }
        };
        &mut self.slots[at as usize].group
    }

    fn make(&mut self, half: u32, name: &str) -> u32 {
        let slot = Slot {
            name: name.as_bytes().into(),
            group: Group::default(),
        };
        let at = match self.free.pop() {
            Some(at) => {
                self.slots[at as usize] = slot;
                at
            }
            None => {
                // So many groups would not fit into memory.
                let at = u32::try_from(self.slots.len()).expect("fewer groups than 2^32");
                self.slots.push(slot);
                at
            }
        };
        self.table
            .insert_unique(whole(half), (half, at), |(half, _)| whole(*half));
        at
    }

    fn remove(&mut self, name: &str) -> Option<Group> {
        let half = self.half(name);
        let slots = &self.slots;
        let is = |(of, at): &(u32, u32)| *of == half && *slots[*at as usize].name == *name.as_bytes();
        let (_, at) = self.table.find_entry(whole(half), is).ok()?.remove().0;
        self.free.push(at);
        Some(std::mem::take(&mut self.slots[at as usize]).group)
    }

    fn len(&self) -> usize {
        self.table.len()
    }

    /// Gives back room where much is free; groups change their slots then.
    fn shrink(&mut self) {
        if self.free.len() <= FREE_MAX + 3 * self.len() {
            return;
        }
        let mut slots = Vec::with_capacity(2 * self.len());
        for (_, at) in self.table.iter_mut() {
            slots.push(std::mem::take(&mut self.slots[*at as usize]));
            *at = slots.len() as u32 - 1;
        }
        (self.slots, self.free) = (slots, Vec::new());
        self.table.shrink_to(2 * self.table.len(), |(half, _)| whole(*half));
    }
}

/// A hash of 64 bits of half of one: tables look at both ends of it.
fn whole(half: u32) -> u64 {
    u64::from(half) << 32 | u64::from(half)
}

/// Where bytes lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which file of several.
    pub segment: u32,
    /// Where in it.
    pub offset: u64,
    /// How many bytes.
    pub bytes: u32,
}

/// Room for what does not fit into memory. It need not outlive the process.
pub trait Spill: Send {
    /// Lets bytes lie somewhere.
    ///
    /// # Errors
    /// The machine's: there is no room. They stay in memory then.
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<Place>;

    /// Reads them back; they stay there.
    ///
    /// # Errors
    /// The machine's. Nothing can be judged then.
    fn read(&mut self, place: Place) -> std::io::Result<Vec<u8>>;

    /// They are not needed any more.
    fn free(&mut self, place: Place);
}

/// The groups of all correlations.
#[derive(Default)]
pub(super) struct Groups {
    /// Of each correlation, by its number.
    warm: Vec<Named>,
    cold: HashMap<GroupId, Place>,
    spill: Option<Box<dyn Spill>>,
    /// Bytes that the groups in memory may take, about.
    budget: usize,
    held: usize,
    /// Counts the times at which groups may be let go.
    epoch: u32,
    /// Groups by when they were touched; those that were touched later stand there again.
    recent: VecDeque<(GroupId, u32)>,
    touched: Vec<GroupId>,
}

impl fmt::Debug for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (warm, cold) = self.counts();
        f.debug_struct("Groups")
            .field("warm", &warm)
            .field("cold", &cold)
            .finish_non_exhaustive()
    }
}

impl Groups {
    /// Lets groups beyond `budget` bytes lie in `spill`.
    pub fn spill_to(&mut self, spill: Box<dyn Spill>, budget: usize) {
        (self.spill, self.budget) = (Some(spill), budget);
        // A group that was never touched is of epoch 0.
        self.epoch = 1;
    }

    /// Groups in memory, and those that are not.
    pub fn counts(&self) -> (usize, usize) {
        (self.warm.iter().map(Named::len).sum(), self.cold.len())
    }

    /// Whether some are not in memory.
    pub fn has_cold(&self) -> bool {
        !self.cold.is_empty()
    }

    /// A group that is in memory.
    pub fn get(&self, id: &GroupId) -> Option<&Group> {
        self.warm.get(place(id.0))?.get(&id.1)
    }

    /// A group that is in memory, to be changed.
    pub fn get_mut(&mut self, id: &GroupId) -> Option<&mut Group> {
        let group = self.warm.get_mut(place(id.0))?.get_mut(&id.1)?;
        if group.epoch != self.epoch && self.spill.is_some() {
            group.epoch = self.epoch;
            self.touched.push(id.clone());
        }
        Some(group)
    }

    /// The group, made where there is none. It has to be in memory where there is one.
    pub fn entry(&mut self, id: &GroupId) -> &mut Group {
        self.entry_named(id.0, &id.1, None)
    }

    /// Where the group of a name stands, for [`Groups::entry_named`].
    pub fn slot(&self, of: PolicyIndex, name: &str) -> Option<u32> {
        self.warm.get(place(of))?.slot(name)
    }

    /// Looks at the end of the group in a slot, so that it is at hand; what it says means nothing.
    pub fn look(&self, of: PolicyIndex, slot: u32) -> i64 {
        let slot = self
            .warm
            .get(place(of))
            .and_then(|named| named.slots.get(slot as usize));
        slot.map_or(0, |slot| slot.group.look())
    }

    /// As [`Groups::entry`], of a group that nobody has named yet, perhaps; `likely`: where [`Groups::slot`] found it.
    pub fn entry_named(&mut self, of: PolicyIndex, name: &str, likely: Option<u32>) -> &mut Group {
        let at = place(of);
        if self.warm.len() <= at {
            self.warm.resize_with(at + 1, Named::default);
        }
        let group = self.warm[at].entry(name, likely);
        if group.epoch != self.epoch && self.spill.is_some() {
            group.epoch = self.epoch;
            self.touched.push((of, name.into()));
        }
        group
    }

    pub fn remove(&mut self, id: &GroupId) {
        let groups = self.warm.get_mut(place(id.0));
        if let Some(group) = groups.and_then(|groups| groups.remove(&id.1)) {
            self.held = self.held.saturating_sub(group.accounted);
        }
    }

    /// The bytes of a group that is not in memory; it is there no more.
    pub fn fetch(&mut self, id: &GroupId) -> Option<std::io::Result<Vec<u8>>> {
        if self.cold.is_empty() {
            return None;
        }
        let place = self.cold.remove(id)?;
        let spill = self.spill.as_mut()?;
        let read = spill.read(place);
        spill.free(place);
        Some(read)
    }

    /// Puts a group that was fetched into memory.
    pub fn warm(&mut self, id: GroupId, mut group: Group) {
        group.epoch = self.epoch;
        self.touched.push(id.clone());
        let at = place(id.0);
        if self.warm.len() <= at {
            self.warm.resize_with(at + 1, Named::default);
        }
        *self.warm[at].entry(&id.1, None) = group;
    }

    /// Nothing is being judged: lets go the groups for which there is no room, the longest untouched first.
    pub fn let_go(&mut self, write: &dyn Fn(&GroupId, &Group) -> Vec<u8>) {
        let Some(spill) = &mut self.spill else { return };
        for id in self.touched.drain(..) {
            let Some(group) = self.warm.get_mut(place(id.0)).and_then(|of| of.get_mut(&id.1)) else {
                continue;
            };
            let bytes = group.bytes() + id.1.len();
            self.held = (self.held + bytes).saturating_sub(group.accounted);
            group.accounted = bytes;
            self.recent.push_back((id, self.epoch));
        }
        self.epoch = self.epoch.wrapping_add(1).max(1);
        while self.held > self.budget {
            let Some((id, epoch)) = self.recent.pop_front() else {
                break;
            };
            let Some(of) = self.warm.get_mut(place(id.0)) else {
                continue;
            };
            let Some(group) = of.get(&id.1).filter(|g| g.epoch == epoch) else {
                continue;
            };
            match spill.write(&write(&id, group)) {
                Ok(place) => {
                    self.held = self.held.saturating_sub(group.accounted);
                    of.remove(&id.1);
                    self.cold.insert(id, place);
                    fail::fail_point!("detect::spilled");
                }
                Err(error) => {
                    tracing::warn!(%error, "No room to let state lie; it stays in memory.");
                    self.recent.push_front((id, epoch));
                    break;
                }
            }
        }
        let warm = &mut self.warm;
        if self.recent.len() > 1_024 + 4 * warm.iter().map(Named::len).sum::<usize>() {
            let find = |id: &GroupId| warm.get(place(id.0))?.get(&id.1);
            self.recent
                .retain(|(id, epoch)| find(id).is_some_and(|g| g.epoch == *epoch));
        }
        for groups in warm {
            groups.shrink();
        }
    }
}

fn place(of: PolicyIndex) -> usize {
    of.0 as usize
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use model::Millis;
    use proptest::prelude::*;

    use super::*;

    /// Puts a mark on the group of a name, by which it is known again.
    fn mark(named: &mut Named, name: &str, likely: Option<u32>) {
        let at = Millis(name.len() as i64 * 1_000 + i64::from(name.bytes().next().unwrap_or(0)));
        let before = named.entry(name, likely).forgotten_at.replace(at);
        assert!(before.is_none_or(|before| before == at), "{name} is another's group");
    }

    proptest! {
        /// Whatever is said of where a group may be.
        #[test]
        fn a_group_is_found_by_its_name(steps in prop::collection::vec(("[ab]{0,3}", 0u32..8, any::<bool>()), 0..200)) {
            let (mut named, mut plain) = (Named::default(), BTreeSet::new());
            for (name, likely, makes) in steps {
                if makes {
                    mark(&mut named, &name, Some(likely).filter(|at| *at < 7));
                    plain.insert(name.clone());
                } else {
                    prop_assert_eq!(named.remove(&name).is_some(), plain.remove(&name));
                }
                prop_assert_eq!(named.len(), plain.len());
                prop_assert_eq!(named.get(&name).is_some(), plain.contains(&name));
                for name in &plain {
                    let slot = named.slot(name);
                    mark(&mut named, name, slot);
                }
            }
        }
    }

    #[test]
    fn room_is_given_back() {
        let mut named = Named::default();
        let name = |n: u32| "x".repeat(n as usize % 40) + &n.to_string();
        (0..5_000).for_each(|n| mark(&mut named, &name(n), None));
        (0..5_000)
            .filter(|n| n % 10 > 0)
            .for_each(|n| drop(named.remove(&name(n))));
        named.shrink();
        assert_eq!((named.len(), named.slots.len(), named.free.len()), (500, 500, 0));
        for n in 0..5_000 {
            assert_eq!(named.get(&name(n)).is_some(), n % 10 == 0);
            if n % 10 == 0 {
                mark(&mut named, &name(n), None);
            }
        }
        mark(&mut named, "new", None);
        assert_eq!(named.slots.len(), 501);
    }
}
