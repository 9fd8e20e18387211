//! Acks by channel: which ids were given for events that are durable.
//!
//! In memory, as with Splunk: after a restart an id is not known, its ack is false, and the shipper sends again. As
//! there, an ack that was told true is forgotten.

use std::collections::{BTreeMap, BTreeSet};

/// Channels at once; the one not used for the longest goes first.
const CHANNELS_MAX: usize = 1024;
/// Ids of a channel that nobody asked after; the oldest go first.
const IDS_MAX: usize = 10_000;

/// The ids given on all channels.
#[derive(Debug, Default)]
pub struct Acks {
    channels: BTreeMap<(String, String), Channel>,
    uses: u64,
}

#[derive(Debug, Default)]
struct Channel {
    next: u64,
    durable: BTreeSet<u64>,
    used: u64,
}

impl Acks {
    /// An id for events of a caller's channel that are durable.
    pub fn give(&mut self, caller: &str, channel: &str) -> u64 {
        self.uses += 1;
        let key = (caller.to_owned(), channel.to_owned());
        if !self.channels.contains_key(&key) && self.channels.len() >= CHANNELS_MAX {
            let oldest = self.channels.iter().min_by_key(|(_, c)| c.used).map(|(k, _)| k.clone());
            oldest.map(|k| self.channels.remove(&k));
        }
        let channel = self.channels.entry(key).or_default();
        channel.used = self.uses;
        let id = channel.next;
        channel.next += 1;
        channel.durable.insert(id);
        if channel.durable.len() > IDS_MAX {
            channel.durable.pop_first();
        }
        id
    }

    /// Whether the events of an id are durable; told once.
    pub fn take(&mut self, caller: &str, channel: &str, id: u64) -> bool {
        let key = (caller.to_owned(), channel.to_owned());
        self.channels.get_mut(&key).is_some_and(|c| c.durable.remove(&id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ack_is_the_callers_and_told_once() {
        let mut acks = Acks::default();
        assert_eq!(
            (acks.give("a", "c"), acks.give("a", "c"), acks.give("b", "c")),
            (0, 1, 0)
        );
        assert!(acks.take("a", "c", 1));
        assert!(!acks.take("a", "c", 1), "told once");
        assert!(!acks.take("b", "c", 1) && !acks.take("a", "d", 0));
        assert!(acks.take("a", "c", 0) && acks.take("b", "c", 0));
    }

    #[test]
    fn channels_and_ids_are_bounded() {
        let mut acks = Acks::default();
        for _ in 0..=IDS_MAX {
            acks.give("a", "c");
        }
        assert!(!acks.take("a", "c", 0) && acks.take("a", "c", 1));
        for n in 0..CHANNELS_MAX {
            acks.give("b", &n.to_string());
        }
        assert_eq!(acks.channels.len(), CHANNELS_MAX);
        assert!(!acks.take("a", "c", 2) && acks.take("b", "0", 0));
    }
}
