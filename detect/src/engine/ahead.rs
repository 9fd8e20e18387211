//! The groups of events that are about to be taken, looked for before.
//!
//! The group of the next event is seldom one of those that were touched last, so that each look is a wait for memory. Looked for one
//! behind the other, with nothing between them, many wait at once. What is found is where a group was: it may be gone or
//! elsewhere when its event is taken, which who takes it has to see.

use crate::policy::PolicyIndex;

/// So many steps are looked for at once: what they need stays near until they are taken.
pub(super) const AHEAD: usize = 64;

/// The steps that are looked for, and their groups.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// The number of the first of them.
    first: usize,
    /// Where the looks of each of them end.
    ends: Vec<u32>,
    looks: Vec<Look>,
    /// The names of the groups, one behind the other.
    names: String,
}

/// A group that is looked for.
#[derive(Debug)]
struct Look {
    of: PolicyIndex,
    /// Where its name ends; `None` where the event has no group.
    end: usize,
    named: bool,
    slot: Option<u32>,
}

impl Ahead {
    /// Begins anew, with the step of a number.
    pub fn begin(&mut self, first: usize) {
        self.first = first;
        self.ends.clear();
        self.looks.clear();
        self.names.clear();
    }

    /// Whether a step was looked for.
    pub fn has(&self, step: usize) -> bool {
        step.checked_sub(self.first).is_some_and(|at| at < self.ends.len())
    }

    /// Adds a group of the step at hand, in the correlation `of`, whose name `name` writes behind what is there; it says whether
    /// there is a group.
    pub fn name(&mut self, of: PolicyIndex, name: impl FnOnce(&mut String) -> bool) {
        let start = self.names.len();
        let named = name(&mut self.names);
        if !named {
            self.names.truncate(start);
        }
        self.looks.push(Look {
            of,
            end: self.names.len(),
            named,
            slot: None,
        });
    }

    /// Goes on to the next step.
    pub fn step(&mut self) {
        self.ends.push(self.looks.len() as u32);
    }

    /// Finds all groups.
    pub fn find(&mut self, find: impl Fn(PolicyIndex, &str) -> Option<u32>) {
        let mut start = 0;
        for look in self.looks.iter_mut() {
            if look.named {
                look.slot = find(look.of, &self.names[start..look.end]);
            }
            start = look.end;
        }
    }

    /// Those that were found.
    pub fn found(&self) -> impl Iterator<Item = (PolicyIndex, u32)> {
        self.looks.iter().filter_map(|look| Some((look.of, look.slot?)))
    }

    /// The groups of a step, in the order in which they were added: their names, and where they were.
    pub fn of(&self, step: usize) -> impl Iterator<Item = (Option<&str>, Option<u32>)> {
        let end_of = |at: usize| self.ends.get(at).map_or(0, |end| *end as usize);
        let range = match step.checked_sub(self.first) {
            Some(0) => 0..end_of(0),
            Some(at) => end_of(at - 1)..end_of(at),
            None => 0..0,
        };
        let start = range.start.checked_sub(1).map_or(0, |before| self.looks[before].end);
        self.looks[range].iter().scan(start, |start, look| {
            let name = &self.names[std::mem::replace(start, look.end)..look.end];
            Some((look.named.then_some(name), look.slot))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_groups_of_each_step_are_its_own() {
        let mut ahead = Ahead::default();
        for first in [0, 7] {
            ahead.begin(first);
            let steps: [&[&str]; 4] = [&["a", "bc"], &[], &["", "none"], &["d"]];
            for names in steps {
                for name in names {
                    ahead.name(PolicyIndex(3), |text| {
                        text.push_str(name);
                        *name != "none"
                    });
                }
                ahead.step();
            }
            ahead.find(|of, name| (name != "d").then_some(of.0 + name.len() as u32));
            assert_eq!(ahead.found().map(|(_, slot)| slot).sum::<u32>(), 12);
            let of = |step: usize| ahead.of(first + step).collect::<Vec<_>>();
            assert_eq!(of(0), [(Some("a"), Some(4)), (Some("bc"), Some(5))]);
            assert_eq!(of(1), []);
            assert_eq!(of(2), [(Some(""), Some(3)), (None, None)]);
            assert_eq!(of(3), [(Some("d"), None)]);
            assert_eq!((ahead.has(first + 3), ahead.has(first + 4)), (true, false));
            assert!(first == 0 || !ahead.has(first - 1));
        }
    }
}
