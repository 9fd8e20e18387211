//! Objects: members in order, found by a byte of their names.

use std::fmt;
use std::ops::Index;

use serde::{Serialize, Serializer};

use super::text::{HIGHS, ONES, write_text};
use super::{NULL, Value, is_same};
use crate::Arena;

/// A member of an object.
pub type Member<'a> = (&'a str, Value<'a>);

/// An object: its members in order, each name once.
#[derive(Clone, Copy)]
pub struct Object<'a>(&'a Members<'a>);

#[derive(Debug)]
struct Members<'a> {
    members: &'a [Member<'a>],
    /// A byte of each name, eight in a word: a name is looked for here first.
    tags: &'a [u64],
    /// A bit for each byte that a name has there: most names that are looked for and not there are told so by it.
    bits: [u64; 4],
    /// Whether a member is an object.
    has_objects: bool,
}

impl<'a> Members<'a> {
    fn new(members: &'a [Member<'a>], tags: &'a [u64]) -> Members<'a> {
        let mut bits = [0; 4];
        for tag in tags.iter().flat_map(|word| word.to_le_bytes()).take(members.len()) {
            bits[usize::from(tag >> 6)] |= 1 << (tag & 63);
        }
        let has_objects = members.iter().any(|(_, value)| matches!(value, Value::Object(_)));
        Members {
            members,
            tags,
            bits,
            has_objects,
        }
    }
}

static EMPTY: Members<'static> = Members {
    members: &[],
    tags: &[],
    bits: [0; 4],
    has_objects: false,
};

/// A byte that mostly tells a name from others.
#[must_use]
#[inline]
pub const fn tag(name: &str) -> u8 {
    let bytes = name.as_bytes();
    let n = bytes.len();
    let word = match bytes {
        [first, .., a, b, c, d] => u32::from_le_bytes([*a, *b, *c, *d]) ^ (*first as u32).rotate_left(13),
        [a, b, c, d] => u32::from_le_bytes([*a, *b, *c, *d]) ^ (*a as u32).rotate_left(13),
        [a, .., b] => u32::from_le_bytes([*a, *b, 0, 0]),
        [a] => *a as u32,
        [] => 0,
    };
    ((word ^ (n as u32).wrapping_mul(0x85eb_ca6b)).wrapping_mul(0x9e37_79b1) >> 24) as u8
}

impl Default for Object<'_> {
    fn default() -> Self {
        Object(&EMPTY)
    }
}

impl<'a> Object<'a> {
    /// An object of members whose names differ.
    #[must_use]
    pub fn new(arena: &'a Arena, members: &[Member<'a>]) -> Object<'a> {
        if members.is_empty() {
            return Object::default();
        }
        Object::of(arena, arena.bump().alloc_slice_copy(members))
    }

    /// An object of members that live in the arena, and whose names differ.
    #[must_use]
    pub fn of(arena: &'a Arena, members: &'a [Member<'a>]) -> Object<'a> {
        if members.is_empty() {
            return Object::default();
        }
        let bump = arena.bump();
        let tags = bump.alloc_slice_fill_with(members.len().div_ceil(8), |word| {
            members[word * 8..]
                .iter()
                .take(8)
                .enumerate()
                .fold(0, |tags, (n, (name, _))| tags | u64::from(tag(name)) << (n * 8))
        });
        Object(bump.alloc(Members::new(members, tags)))
    }

    /// [`Object::of`] members whose names' tags are known.
    #[must_use]
    pub fn of_tagged(arena: &'a Arena, members: &'a [Member<'a>], tags: &[u8]) -> Object<'a> {
        if members.is_empty() || members.len() != tags.len() {
            return Object::of(arena, members);
        }
        let tags = words(arena, tags);
        Object(arena.bump().alloc(Members::new(members, tags)))
    }

    /// [`Object::new`] of members whose names' tags are known.
    #[must_use]
    pub fn tagged(arena: &'a Arena, members: &[Member<'a>], tags: &[u8]) -> Object<'a> {
        if members.is_empty() || members.len() != tags.len() {
            return Object::new(arena, members);
        }
        Object::of_tagged(arena, arena.bump().alloc_slice_copy(members), tags)
    }

    /// Members.
    #[must_use]
    pub fn len(self) -> usize {
        self.0.members.len()
    }

    /// Whether it has no member.
    #[must_use]
    #[inline]
    pub fn is_empty(self) -> bool {
        self.0.members.is_empty()
    }

    /// Whether a member is an object; `false`: no path leads through it.
    #[must_use]
    #[inline]
    pub fn has_objects(self) -> bool {
        self.0.has_objects
    }

    /// The value of that name.
    #[must_use]
    #[inline]
    pub fn get(self, name: &str) -> Option<&'a Value<'a>> {
        self.place(name).map(|n| &self.0.members[n].1)
    }

    /// Which of the members has that name, from 0.
    #[must_use]
    #[inline]
    pub fn place(self, name: &str) -> Option<usize> {
        let tag = tag(name);
        if !self.may_have(tag) {
            return None;
        }
        self.place_tagged(name, tag)
    }

    /// Whether it may have a member whose name has that tag.
    #[inline]
    fn may_have(self, tag: u8) -> bool {
        self.0.bits[usize::from(tag >> 6)] & 1 << (tag & 63) != 0
    }

    /// Whether no member's name has one of these tags.
    #[inline]
    pub(crate) fn lacks(self, tags: &[u64; 4]) -> bool {
        self.0.bits.iter().zip(tags).all(|(there, wanted)| there & wanted == 0)
    }

    fn place_tagged(self, name: &str, tag: u8) -> Option<usize> {
        let wanted = u64::from(tag) * ONES;
        for (word, tags) in self.0.tags.iter().enumerate() {
            let differ = tags ^ wanted;
            // Exact at its lowest bit; what lies above is looked at by name anyway.
            let mut found = differ.wrapping_sub(ONES) & !differ & HIGHS;
            while found != 0 {
                let n = word * 8 + (found.trailing_zeros() / 8) as usize;
                match self.0.members.get(n) {
                    Some((there, _)) if is_same(there, name) => return Some(n),
                    _ => found &= found - 1,
                }
            }
        }
        None
    }

    /// Whether it has a member of that name.
    #[must_use]
    pub fn contains_key(self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Names and values, in order.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = (&'a str, &'a Value<'a>)> + ExactSizeIterator {
        self.0.members.iter().map(|(name, value)| (*name, value))
    }

    /// As [`Object::iter`], with the tag of each name.
    pub(crate) fn iter_tagged(self) -> impl Iterator<Item = (u8, &'a str, &'a Value<'a>)> {
        let tags = self.0.tags;
        let members = self.0.members.iter().enumerate();
        members.filter_map(move |(n, (name, value))| {
            let tag = (tags.get(n / 8)? >> (n % 8 * 8)) as u8;
            Some((tag, *name, value))
        })
    }

    /// Names, in order.
    pub fn keys(self) -> impl DoubleEndedIterator<Item = &'a str> + ExactSizeIterator {
        self.iter().map(|(name, _)| name)
    }

    /// Values, in the order of their names.
    pub fn values(self) -> impl DoubleEndedIterator<Item = &'a Value<'a>> + ExactSizeIterator {
        self.iter().map(|(_, value)| value)
    }

    /// Members, in order.
    #[must_use]
    pub fn members(self) -> &'a [Member<'a>] {
        self.0.members
    }

    /// It without these names.
    #[must_use]
    pub fn without(self, arena: &'a Arena, names: &[&str]) -> Object<'a> {
        if !names.iter().any(|n| self.contains_key(n)) {
            return self;
        }
        let kept: Vec<_> = self
            .members()
            .iter()
            .copied()
            .filter(|(n, _)| !names.contains(n))
            .collect();
        Object::new(arena, &kept)
    }

    /// It with this value at that name, in the place of the one that is there, else at the end.
    #[must_use]
    pub fn with(self, arena: &'a Arena, name: &'a str, value: Value<'a>) -> Object<'a> {
        let mut members = self.members().to_vec();
        match members.iter_mut().find(|(n, _)| *n == name) {
            Some((_, there)) => *there = value,
            None => members.push((name, value)),
        }
        Object::new(arena, &members)
    }

    /// As an object of `serde_json`'s, to show.
    #[must_use]
    pub fn to_json(self) -> serde_json::Map<String, serde_json::Value> {
        self.iter().map(|(k, v)| (k.to_owned(), v.to_json())).collect()
    }

    /// Writes it as JSON, as `serde_json` writes it.
    pub fn write_json(self, out: &mut String) {
        out.push('{');
        for (n, (name, value)) in self.iter().enumerate() {
            if n > 0 {
                out.push(',');
            }
            write_text(name, out);
            out.push(':');
            value.write_json(out);
        }
        out.push('}');
    }
}

/// Tags, eight in a word.
fn words<'a>(arena: &'a Arena, tags: &[u8]) -> &'a [u64] {
    let mut eights = tags.chunks(8);
    arena.bump().alloc_slice_fill_with(tags.len().div_ceil(8), |_| {
        let eight = eights.next().unwrap_or_default();
        match eight.first_chunk::<8>() {
            Some(eight) => u64::from_le_bytes(*eight),
            None => eight.iter().rev().fold(0, |word, tag| word << 8 | u64::from(*tag)),
        }
    })
}

impl fmt::Debug for Object<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl fmt::Display for Object<'_> {
    /// As JSON, as `serde_json` writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Value::Object(*self).fmt(f)
    }
}

impl PartialEq for Object<'_> {
    /// The same members, in whatever order.
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().all(|(name, value)| other.get(name) == Some(value))
    }
}

impl<'a> IntoIterator for Object<'a> {
    type Item = (&'a str, &'a Value<'a>);
    type IntoIter = Iter<'a>;
    fn into_iter(self) -> Iter<'a> {
        Iter(self.0.members.iter())
    }
}

impl<'a> IntoIterator for &Object<'a> {
    type Item = (&'a str, &'a Value<'a>);
    type IntoIter = Iter<'a>;
    fn into_iter(self) -> Iter<'a> {
        Iter(self.0.members.iter())
    }
}

/// Names and values of an object, in order.
#[derive(Clone, Debug)]
pub struct Iter<'a>(std::slice::Iter<'a, Member<'a>>);

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, &'a Value<'a>);
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(name, value)| (*name, value))
    }
}

impl<'a> Index<&str> for Object<'a> {
    type Output = Value<'a>;
    /// The value of that name; `null` where there is none.
    fn index(&self, name: &str) -> &Value<'a> {
        self.get(name).unwrap_or(&NULL)
    }
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_name_is_found(names in prop::collection::btree_set("[ab]{0,5}", 0..40)) {
            let arena = Arena::new();
            let members: Vec<_> = names.iter().enumerate().map(|(n, k)| (k.as_str(), Value::Int(n as i64))).collect();
            let object = arena.object(&members);
            for (name, value) in &members {
                prop_assert_eq!(object.get(name), Some(value));
            }
            let tags: Vec<u8> = names.iter().map(|n| tag(n)).collect();
            let same = Object::tagged(&arena, &members, &tags);
            prop_assert_eq!(same.0.tags, object.0.tags);
            prop_assert_eq!(same.members(), object.members());
            prop_assert_eq!(object.get("abc"), None);
        }
    }
}
