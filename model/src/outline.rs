//! The orders in which events are filled: what is put where, step by step, as a tree whose steps are remembered.
//!
//! Events of a kind are filled in the same order. Where a value was put before after the same steps, the step tells
//! where it goes without a path being looked up, and whether a path is taken is known, too. Who ends at the same place of
//! the tree has its values at the same paths in the same order, so that columns are filled by a list made once
//! ([`Plan`](crate::Plan)).

use crate::cells::Cell;
use crate::path::PathId;

/// Steps that are remembered; a source may fill events in orders of its own making.
const NODES_MAX: usize = 1 << 15;
/// Steps after one place.
const NEXT_MAX: usize = 64;
/// Bytes of a literal.
const LITERAL_BYTES_MAX: usize = 1 << 14;

/// Which values an event has, in which order: a number that its arena has for that. [`Outline::NONE`] says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outline(pub(crate) u32);

impl Outline {
    /// The order is not known.
    pub const NONE: Outline = Outline(u32::MAX);
    /// Nothing was put yet.
    pub(crate) const START: Outline = Outline(0);

    /// Its number.
    #[inline]
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

impl Default for Outline {
    fn default() -> Outline {
        Outline::NONE
    }
}

/// What is done, and with which path: the address and length of a literal's two parts, or a path's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key(u64, u64);

/// What is asked for or done at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Act {
    Put = 0,
    Has = 1 << 63,
    Remove = 3 << 62,
}

/// Tells numbers from addresses.
const NUMBER: u64 = 1 << 47;

impl Key {
    /// A key that no step has.
    pub const NONE: Key = Key(u64::MAX, u64::MAX);

    /// Of a path that the code writes. A literal's address and length are the same for as long as the program runs.
    #[inline(always)]
    pub fn literal(act: Act, object: &'static str, field: &'static str) -> Key {
        let word = |text: &'static str| text.as_ptr() as u64 | (text.len() as u64) << 48;
        let all = (object.as_ptr() as u64 | field.as_ptr() as u64) >> 47;
        if all != 0 || (object.len() | field.len()) >= LITERAL_BYTES_MAX {
            return Key::NONE;
        }
        Key(word(object) | act as u64, word(field))
    }

    /// Of the first values of a kind of events.
    #[inline(always)]
    pub fn start(kind: u16) -> Key {
        Key(u64::from(kind) | NUMBER, u64::MAX)
    }

    /// Of what is put in several steps.
    #[inline(always)]
    pub fn replay(what: u32) -> Key {
        Key(u64::from(what) | NUMBER, u64::MAX - 1)
    }

    /// Of a path by its number.
    #[inline(always)]
    pub fn number(act: Act, path: PathId) -> Key {
        Key(path.0 as u64 | NUMBER | act as u64, 0)
    }
}

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// The value goes to the end, at that path.
    Append(PathId),
    /// The value takes the place of the one that is there.
    Replace(u16),
    /// The value that is there is taken away.
    Remove(u16),
    /// Whether something is there.
    Has(bool),
    /// What was worked out of the paths so far.
    Recall(u16),
    /// The first values, all at once.
    Start,
    /// Values that were put in several steps before: which of the lists.
    Replay(u16),
}

impl Op {
    fn pack(self) -> Packed {
        match self {
            Op::Append(path) => Packed(u32::from(path.0)),
            Op::Replace(at) => Packed(1 << 16 | u32::from(at)),
            Op::Remove(at) => Packed(2 << 16 | u32::from(at)),
            Op::Has(has) => Packed(3 << 16 | u32::from(has)),
            Op::Start => Packed(4 << 16),
            Op::Recall(number) => Packed(6 << 16 | u32::from(number)),
            Op::Replay(list) => Packed(5 << 16 | u32::from(list)),
        }
    }
}

/// An [`Op`] in a word: which one it is, and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packed(u32);

impl Packed {
    #[inline]
    pub fn is_append(self) -> bool {
        self.0 >> 16 == 0
    }

    /// The number of a path, a place among the values, or 1 for yes.
    #[inline]
    pub fn number(self) -> u16 {
        self.0 as u16
    }
}

/// A place of the tree, and the step that leads to it.
#[derive(Clone, Copy, Debug)]
struct Node {
    key: Key,
    op: Packed,
    /// The first step from here, which is mostly the only one; 0 where there is none.
    child: u32,
    /// Another step from where this one begins.
    sibling: u32,
}

const ROOT: Node = Node {
    key: Key::NONE,
    op: Packed(4 << 16),
    child: 0,
    sibling: 0,
};

/// The tree.
#[derive(Debug)]
pub(crate) struct Outlines {
    nodes: Vec<Node>,
    /// Values that are put again without being asked for one by one.
    lists: Vec<Box<[Cell<'static>]>>,
    /// Grows with each beginning anew: numbers of before mean nothing then.
    pub generation: u64,
}

impl Outlines {
    pub fn new() -> Outlines {
        Outlines {
            nodes: vec![ROOT],
            lists: Vec::new(),
            generation: 1,
        }
    }

    /// Begins anew where there is no more room; no event may live then.
    #[inline]
    pub fn tidy(&mut self) {
        if self.nodes.len() >= NODES_MAX {
            self.nodes.clear();
            self.nodes.push(ROOT);
            self.lists.clear();
            self.generation += 1;
        }
    }

    /// The step with that key, where it was taken before.
    #[inline]
    pub fn step(&self, from: Outline, key: Key) -> Option<(Packed, Outline)> {
        let mut at = self.nodes.get(from.index())?.child;
        // A place has few steps, and no step leads to the first place.
        while at != 0 {
            let node = &self.nodes[at as usize];
            if node.key == key {
                return Some((node.op, Outline(at)));
            }
            at = node.sibling;
        }
        None
    }

    /// The values of a [`Op::Replay`].
    #[inline]
    pub fn list(&self, op: Packed) -> &[Cell<'static>] {
        self.lists.get(usize::from(op.number())).map_or(&[], |list| list)
    }

    /// Remembers values that are put at once.
    pub fn learn_list(&mut self, from: Outline, key: Key, cells: Box<[Cell<'static>]>) -> Outline {
        let Ok(number) = u16::try_from(self.lists.len()) else {
            return Outline::NONE;
        };
        let to = self.learn(from, key, Op::Replay(number));
        if to != Outline::NONE {
            self.lists.push(cells);
        }
        to
    }

    /// Remembers a step, and says where it leads to.
    #[cold]
    pub fn learn(&mut self, from: Outline, key: Key, op: Op) -> Outline {
        let new = self.nodes.len() as u32;
        let Some(node) = self.nodes.get_mut(from.index()) else {
            return Outline::NONE;
        };
        if key == Key::NONE || new as usize >= NODES_MAX {
            return Outline::NONE;
        }
        let mut last = node.child;
        if last == 0 {
            node.child = new;
        } else {
            let mut steps = 1;
            while self.nodes[last as usize].sibling != 0 {
                last = self.nodes[last as usize].sibling;
                steps += 1;
            }
            if steps >= NEXT_MAX {
                return Outline::NONE;
            }
            self.nodes[last as usize].sibling = new;
        }
        self.nodes.push(Node {
            key,
            op: op.pack(),
            ..ROOT
        });
        Outline(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_found_again_and_room_is_bounded() {
        let mut outlines = Outlines::new();
        let put = |n: u16| Key::number(Act::Put, PathId(n));
        let a = outlines.learn(Outline::START, put(1), Op::Append(PathId(1)));
        let b = outlines.learn(Outline::START, put(2), Op::Append(PathId(2)));
        assert_eq!(
            outlines.step(Outline::START, put(1)),
            Some((Op::Append(PathId(1)).pack(), a))
        );
        assert_eq!(
            outlines.step(Outline::START, put(2)),
            Some((Op::Append(PathId(2)).pack(), b))
        );
        assert_eq!(outlines.step(a, put(1)), None);
        assert_eq!(outlines.step(Outline::NONE, put(1)), None);
        assert_eq!(outlines.step(Outline::START, Key::number(Act::Has, PathId(1))), None);
        assert_eq!(outlines.step(a, Key::NONE), None);
        let mut at = a;
        for n in 0..NODES_MAX {
            at = outlines.learn(at, put((n % 100) as u16), Op::Append(PathId(1)));
        }
        assert_eq!(at, Outline::NONE);
        let before = outlines.generation;
        outlines.tidy();
        assert_ne!(outlines.generation, before);
        assert_eq!(outlines.step(Outline::START, put(1)), None);
    }

    #[test]
    fn a_place_has_a_bounded_number_of_steps() {
        let mut outlines = Outlines::new();
        let known = (0..200)
            .filter(|n| {
                outlines.learn(Outline::START, Key::number(Act::Put, PathId(*n)), Op::Has(true)) != Outline::NONE
            })
            .count();
        assert_eq!(known, NEXT_MAX);
    }

    #[test]
    fn literals_are_told_apart_by_their_parts_and_by_what_is_done() {
        let keys = [
            Key::literal(Act::Put, "a.b", ""),
            Key::literal(Act::Put, "a", "b"),
            Key::literal(Act::Has, "a.b", ""),
            Key::literal(Act::Remove, "a.b", ""),
            Key::number(Act::Put, PathId(1)),
            Key::number(Act::Has, PathId(1)),
            Key::NONE,
        ];
        for (n, key) in keys.iter().enumerate() {
            assert!(!keys[..n].contains(key), "{n}");
        }
    }
}
