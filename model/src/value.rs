//! JSON values that borrow: from the record's text where they stand in it, else from the [`Arena`].
//!
//! All of it is `Copy`: a clone is free, and so is letting go.

use std::fmt;
use std::ops::Index;

use serde::{Serialize, Serializer};

use crate::Arena;

mod map;

pub use map::Map;

/// A value of JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Value<'a> {
    /// `null`
    #[default]
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A whole number that we made.
    Int(i64),
    /// A number as the source wrote it, digit by digit.
    Number(&'a str),
    /// A text, unescaped.
    String(&'a str),
    /// A list.
    Array(&'a [Value<'a>]),
    /// An object.
    Object(Object<'a>),
}

static NULL: Value<'static> = Value::Null;

impl<'a> Value<'a> {
    /// Whether it is `null`.
    #[must_use]
    #[inline]
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// Whether it is a text.
    #[must_use]
    pub fn is_string(&self) -> bool {
        matches!(self, Value::String(_))
    }

    /// Whether it is a number.
    #[must_use]
    pub fn is_number(&self) -> bool {
        matches!(self, Value::Int(_) | Value::Number(_))
    }

    /// Whether it is `true` or `false`.
    #[must_use]
    pub fn is_boolean(&self) -> bool {
        matches!(self, Value::Bool(_))
    }

    /// Whether it is a list.
    #[must_use]
    pub fn is_array(&self) -> bool {
        matches!(self, Value::Array(_))
    }

    /// Whether it is an object.
    #[must_use]
    pub fn is_object(&self) -> bool {
        matches!(self, Value::Object(_))
    }

    /// `null`, an empty text, an empty list or an empty object: what events leave out.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        match self {
            Value::Null => true,
            Value::String(s) => s.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Object(fields) => fields.is_empty(),
            _ => false,
        }
    }

    /// Its text, where it is one.
    #[must_use]
    #[inline]
    pub fn as_str(&self) -> Option<&'a str> {
        match *self {
            Value::String(s) => Some(s),
            _ => None,
        }
    }

    /// `true` or `false`, where it is one of them.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match *self {
            Value::Bool(b) => Some(b),
            _ => None,
        }
    }

    /// The number, where it is a whole one that fits.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match *self {
            Value::Int(n) => Some(n),
            Value::Number(digits) => digits.parse().ok(),
            _ => None,
        }
    }

    /// The number, where it is a whole one that fits.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        match *self {
            Value::Int(n) => u64::try_from(n).ok(),
            Value::Number(digits) => digits.parse().ok(),
            _ => None,
        }
    }

    /// The number as a double, where it is a finite one.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            #[expect(clippy::cast_precision_loss, reason = "a double is asked for")]
            Value::Int(n) => Some(n as f64),
            Value::Number(digits) => digits.parse().ok().filter(|n: &f64| n.is_finite()),
            _ => None,
        }
    }

    /// Its items, where it is a list.
    #[must_use]
    pub fn as_array(&self) -> Option<&'a [Value<'a>]> {
        match *self {
            Value::Array(items) => Some(items),
            _ => None,
        }
    }

    /// Its members, where it is an object.
    #[must_use]
    #[inline]
    pub fn as_object(&self) -> Option<Object<'a>> {
        match *self {
            Value::Object(fields) => Some(fields),
            _ => None,
        }
    }

    /// The member of that name, where it is an object that has it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a Value<'a>> {
        self.as_object()?.get(name)
    }

    /// As a value of `serde_json`'s, to show.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        match *self {
            Value::Null => serde_json::Value::Null,
            Value::Bool(b) => b.into(),
            Value::Int(n) => n.into(),
            // What the reader took for a number is one.
            Value::Number(digits) => digits
                .parse::<serde_json::Number>()
                .map_or_else(|_| digits.into(), serde_json::Value::Number),
            Value::String(s) => s.into(),
            Value::Array(items) => items.iter().map(Value::to_json).collect(),
            Value::Object(fields) => serde_json::Value::Object(fields.to_json()),
        }
    }

    /// Writes it as JSON, as `serde_json` writes it.
    pub fn write_json(&self, out: &mut String) {
        match *self {
            Value::Null => out.push_str("null"),
            Value::Bool(b) => out.push_str(if b { "true" } else { "false" }),
            Value::Int(n) => write_int(n, out),
            Value::Number(digits) => out.push_str(digits),
            Value::String(s) => write_text(s, out),
            Value::Array(items) => {
                out.push('[');
                for (n, item) in items.iter().enumerate() {
                    if n > 0 {
                        out.push(',');
                    }
                    item.write_json(out);
                }
                out.push(']');
            }
            Value::Object(fields) => fields.write_json(out),
        }
    }
}

impl fmt::Display for Value<'_> {
    /// As JSON, as `serde_json` writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        self.write_json(&mut out);
        f.write_str(&out)
    }
}

impl PartialEq<str> for Value<'_> {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == Some(other)
    }
}

impl PartialEq<&str> for Value<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == Some(*other)
    }
}

impl PartialEq<serde_json::Value> for Value<'_> {
    fn eq(&self, other: &serde_json::Value) -> bool {
        self.to_json() == *other
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Value<'a> {
        Value::String(text)
    }
}

impl From<bool> for Value<'_> {
    fn from(b: bool) -> Self {
        Value::Bool(b)
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

macro_rules! from_whole {
    ($($t:ty),*) => {
        $(impl From<$t> for Value<'_> {
            fn from(n: $t) -> Self {
                Value::Int(i64::from(n))
            }
        })*
    };
}
from_whole!(i8, u8, i16, u16, i32, u32, i64);

impl<'a> From<Object<'a>> for Value<'a> {
    fn from(object: Object<'a>) -> Value<'a> {
        Value::Object(object)
    }
}

/// Writes a whole number in digits.
pub(crate) fn write_int(n: i64, out: &mut String) {
    let mut digits = [0; 20];
    out.push_str(int_text(n, &mut digits));
}

/// A whole number in digits, in the buffer that is given.
#[must_use]
pub fn int_text(n: i64, digits: &mut [u8; 20]) -> &str {
    let mut rest = n.unsigned_abs();
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if n < 0 {
        at -= 1;
        digits[at] = b'-';
    }
    str::from_utf8(&digits[at..]).unwrap_or_default()
}

/// Writes a text between quotes, escaped where it must be.
pub(crate) fn write_text(text: &str, out: &mut String) {
    out.reserve(text.len() + 2);
    out.push('"');
    let bytes = text.as_bytes();
    let mut from = 0;
    let mut at = 0;
    while at < bytes.len() {
        at += plain_len(&bytes[at..]);
        let Some(&byte) = bytes.get(at) else { break };
        out.push_str(&text[from..at]);
        at += 1;
        from = at;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            8 => out.push_str("\\b"),
            12 => out.push_str("\\f"),
            control => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.push_str("\\u00");
                out.push(char::from(HEX[usize::from(control >> 4)]));
                out.push(char::from(HEX[usize::from(control & 15)]));
            }
        }
    }
    out.push_str(&text[from..]);
    out.push('"');
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// How many bytes stand before the first quote, backslash or control character; all of them where there is none.
#[must_use]
#[inline]
pub fn plain_len(bytes: &[u8]) -> usize {
    let mut at = 0;
    let mut rest = bytes;
    // Eight at once. A borrow makes a byte look found only above one that is.
    while let Some((eight, after)) = rest.split_first_chunk::<8>() {
        let word = u64::from_le_bytes(*eight);
        let quote = word ^ (ONES * 0x22);
        let backslash = word ^ (ONES * 0x5c);
        let found = (quote.wrapping_sub(ONES) & !quote
            | backslash.wrapping_sub(ONES) & !backslash
            | word.wrapping_sub(ONES * 0x20) & !word)
            & HIGHS;
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
        rest = after;
    }
    at + rest
        .iter()
        .position(|b| matches!(b, b'"' | b'\\' | 0..0x20))
        .unwrap_or(rest.len())
}

/// Whether two texts are equal. Most are short, and a call of the library's costs more than to look at them.
#[must_use]
#[inline]
pub fn is_same(there: &str, text: &str) -> bool {
    let (a, b) = (there.as_bytes(), text.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    match (a.first_chunk::<8>(), b.first_chunk::<8>()) {
        (Some(first), Some(other)) if a.len() <= 16 => first == other && a.last_chunk::<8>() == b.last_chunk::<8>(),
        (Some(first), Some(other)) => first == other && a == b,
        _ => match (a.first_chunk::<4>(), b.first_chunk::<4>()) {
            (Some(first), Some(other)) => first == other && a.last_chunk::<4>() == b.last_chunk::<4>(),
            _ => a.iter().zip(b).all(|(a, b)| a == b),
        },
    }
}

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
}

impl<'a> Members<'a> {
    fn new(members: &'a [Member<'a>], tags: &'a [u64]) -> Members<'a> {
        let mut bits = [0; 4];
        for tag in tags.iter().flat_map(|word| word.to_le_bytes()).take(members.len()) {
            bits[usize::from(tag >> 6)] |= 1 << (tag & 63);
        }
        Members { members, tags, bits }
    }
}

static EMPTY: Members<'static> = Members {
    members: &[],
    tags: &[],
    bits: [0; 4],
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

    /// [`Object::new`] of members whose names' tags are known.
    #[must_use]
    pub fn tagged(arena: &'a Arena, members: &[Member<'a>], tags: &[u8]) -> Object<'a> {
        if members.is_empty() || members.len() != tags.len() {
            return Object::new(arena, members);
        }
        let bump = arena.bump();
        let members = bump.alloc_slice_copy(members);
        let mut eights = tags.chunks(8);
        let tags = bump.alloc_slice_fill_with(tags.len().div_ceil(8), |_| {
            let eight = eights.next().unwrap_or_default();
            match eight.first_chunk::<8>() {
                Some(eight) => u64::from_le_bytes(*eight),
                None => eight.iter().rev().fold(0, |word, tag| word << 8 | u64::from(*tag)),
            }
        });
        Object(bump.alloc(Members::new(members, tags)))
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
        let tags = self.0.tags.iter().flat_map(|word| word.to_le_bytes());
        tags.zip(self.0.members).map(|(tag, (name, value))| (tag, *name, value))
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

impl<'a> Index<&str> for Value<'a> {
    type Output = Value<'a>;
    /// The member of that name; `null` where there is none.
    fn index(&self, name: &str) -> &Value<'a> {
        self.get(name).unwrap_or(&NULL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_is_written_as_serde_json_writes_it(text in "[\\x00-\\x40\\\\a-c\u{7f}-\u{100}中]{0,40}") {
            let mut ours = String::new();
            write_text(&text, &mut ours);
            prop_assert_eq!(ours, serde_json::to_string(&text).unwrap());
        }

        #[test]
        fn plain_bytes_are_counted(bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0x60u8..0x80], 0..40)) {
            let plain = bytes.iter().position(|b| matches!(b, b'"' | b'\\' | 0..0x20)).unwrap_or(bytes.len());
            prop_assert_eq!(plain_len(&bytes), plain);
        }

        #[test]
        fn whole_numbers_are_written(n in any::<i64>()) {
            let mut out = String::new();
            write_int(n, &mut out);
            prop_assert_eq!(out, n.to_string());
        }

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
