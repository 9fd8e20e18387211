//! Keys and values of a line, in order; a key is found by a byte of its name.

use std::borrow::Cow;

use memchr::memchr;
use model::value::tag;
use smallvec::SmallVec;

/// A key and its value.
pub type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// Keys and values, in order; a key may come twice.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pairs<'a> {
    pairs: Vec<Pair<'a>>,
    /// Of each key.
    tags: SmallVec<[u8; 32]>,
}

impl<'a> Pairs<'a> {
    /// Adds a pair at the end.
    #[inline]
    pub fn push(&mut self, key: Cow<'a, str>, value: Cow<'a, str>) {
        if self.pairs.capacity() == 0 {
            self.pairs.reserve(32);
        }
        self.tags.push(tag(&key));
        self.pairs.push((key, value));
    }

    /// The value of the first pair of that key.
    #[must_use]
    #[inline]
    pub fn get(&self, name: &str) -> Option<&Cow<'a, str>> {
        let tag = tag(name);
        let mut from = 0;
        while let Some(at) = memchr(tag, self.tags.get(from..)?) {
            let (key, value) = self.pairs.get(from + at)?;
            if key == name {
                return Some(value);
            }
            from += at + 1;
        }
        None
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// All, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Pair<'a>> {
        self.pairs.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_first_of_a_name_is_found(names in prop::collection::vec("[ab]{0,3}|a[0-9]{1,3}", 0..60), wanted in "[ab]{0,3}") {
            let mut pairs = Pairs::default();
            for (n, name) in names.iter().enumerate() {
                pairs.push(name.as_str().into(), n.to_string().into());
            }
            let plain = names.iter().position(|n| *n == wanted).map(|n| n.to_string());
            prop_assert_eq!(pairs.get(&wanted).map(|v| v.to_string()), plain);
        }
    }
}
