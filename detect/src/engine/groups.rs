//! The groups of correlations: those at hand in memory, the others where the owner of the detector lets them lie.
//!
//! A group that was not touched for the longest goes first when there are too many bytes of them, whole and with all
//! it knows; what is asked of it again is read back. Nothing is ever forgotten for want of room.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use foldhash::HashMap;
use foldhash::fast::RandomState;
use smallvec::SmallVec;

use super::window::Group;
use crate::policy::PolicyIndex;

/// A correlation and one of its groups.
pub(super) type GroupId = (PolicyIndex, Arc<str>);

/// The name of a group, where it is looked up: most are short enough to lie beside their group.
type Name = SmallVec<[u8; 24]>;

/// Groups by name; a group that is there is found by a name that is lent, and one that is not made in the same look.
type Named = hashbrown::HashMap<Name, Group, RandomState>;

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
        self.warm.get(place(id.0))?.get(id.1.as_bytes())
    }

    /// A group that is in memory, to be changed.
    pub fn get_mut(&mut self, id: &GroupId) -> Option<&mut Group> {
        let group = self.warm.get_mut(place(id.0))?.get_mut(id.1.as_bytes())?;
        if group.epoch != self.epoch && self.spill.is_some() {
            group.epoch = self.epoch;
            self.touched.push(id.clone());
        }
        Some(group)
    }

    /// The group, made where there is none. It has to be in memory where there is one.
    pub fn entry(&mut self, id: &GroupId) -> &mut Group {
        self.entry_named(id.0, &id.1)
    }

    /// As [`Groups::entry`], of a group that nobody has named yet, perhaps.
    pub fn entry_named(&mut self, of: PolicyIndex, name: &str) -> &mut Group {
        let at = place(of);
        if self.warm.len() <= at {
            self.warm.resize_with(at + 1, Named::default);
        }
        let group = self.warm[at].entry_ref(name.as_bytes()).or_default();
        if group.epoch != self.epoch && self.spill.is_some() {
            group.epoch = self.epoch;
            self.touched.push((of, name.into()));
        }
        group
    }

    pub fn remove(&mut self, id: &GroupId) {
        let groups = self.warm.get_mut(place(id.0));
        if let Some(group) = groups.and_then(|groups| groups.remove(id.1.as_bytes())) {
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
        self.warm[at].insert(id.1.as_bytes().into(), group);
    }

    /// Nothing is being judged: lets go the groups for which there is no room, the longest untouched first.
    pub fn let_go(&mut self, write: &dyn Fn(&GroupId, &Group) -> Vec<u8>) {
        let Some(spill) = &mut self.spill else { return };
        for id in self.touched.drain(..) {
            let Some(group) = self
                .warm
                .get_mut(place(id.0))
                .and_then(|of| of.get_mut(id.1.as_bytes()))
            else {
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
            let Some(group) = of.get(id.1.as_bytes()).filter(|g| g.epoch == epoch) else {
                continue;
            };
            match spill.write(&write(&id, group)) {
                Ok(place) => {
                    self.held = self.held.saturating_sub(group.accounted);
                    of.remove(id.1.as_bytes());
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
            let find = |id: &GroupId| warm.get(place(id.0))?.get(id.1.as_bytes());
            self.recent
                .retain(|(id, epoch)| find(id).is_some_and(|g| g.epoch == *epoch));
        }
        for groups in warm {
            if groups.capacity() > 1_024 + 4 * groups.len() {
                groups.shrink_to(2 * groups.len());
            }
        }
    }
}

fn place(of: PolicyIndex) -> usize {
    of.0 as usize
}
