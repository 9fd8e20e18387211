//! The groups of correlations: those at hand in memory, the others where the owner of the detector lets them lie.
//!
//! A group that was not touched for the longest goes first when there are too many bytes of them, whole and with all
//! it knows; what is asked of it again is read back. Nothing is ever forgotten for want of room.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use foldhash::HashMap;

use super::window::Group;
use crate::policy::PolicyIndex;

/// A correlation and one of its groups.
pub(super) type GroupId = (PolicyIndex, Arc<str>);

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
    warm: HashMap<GroupId, Group>,
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
        let (warm, cold) = (self.warm.len(), self.cold.len());
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
        (self.warm.len(), self.cold.len())
    }

    /// A group that is in memory.
    pub fn get(&self, id: &GroupId) -> Option<&Group> {
        self.warm.get(id)
    }

    /// A group that is in memory, to be changed.
    pub fn get_mut(&mut self, id: &GroupId) -> Option<&mut Group> {
        let group = self.warm.get_mut(id)?;
        if group.epoch != self.epoch && self.spill.is_some() {
            group.epoch = self.epoch;
            self.touched.push(id.clone());
        }
        Some(group)
    }

    /// The group, made where there is none. It has to be in memory where there is one.
    pub fn entry(&mut self, id: &GroupId) -> &mut Group {
        let group = self.warm.entry(id.clone()).or_default();
        if group.epoch != self.epoch && self.spill.is_some() {
            group.epoch = self.epoch;
            self.touched.push(id.clone());
        }
        group
    }

    pub fn remove(&mut self, id: &GroupId) {
        if let Some(group) = self.warm.remove(id) {
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
        self.warm.insert(id, group);
    }

    /// Nothing is being judged: lets go the groups for which there is no room, the longest untouched first.
    pub fn let_go(&mut self, write: &dyn Fn(&GroupId, &Group) -> Vec<u8>) {
        let Some(spill) = &mut self.spill else { return };
        for id in self.touched.drain(..) {
            let Some(group) = self.warm.get_mut(&id) else { continue };
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
            let Some(group) = self.warm.get(&id).filter(|g| g.epoch == epoch) else {
                continue;
            };
            match spill.write(&write(&id, group)) {
                Ok(place) => {
                    self.held = self.held.saturating_sub(group.accounted);
                    self.warm.remove(&id);
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
        if self.recent.len() > 1_024 + 4 * self.warm.len() {
            let warm = &self.warm;
            self.recent
                .retain(|(id, epoch)| warm.get(id).is_some_and(|g| g.epoch == *epoch));
        }
        if self.warm.capacity() > 1_024 + 4 * self.warm.len() {
            self.warm.shrink_to(2 * self.warm.len());
        }
    }
}
