//! Reads a source's object whose types cannot be relied on: numbers come as text, text as numbers.

use std::borrow::Cow;

use model::{Object, Value};
use smallvec::SmallVec;

/// The fields of a source's object.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a>(pub Object<'a>);

impl<'a> Fields<'a> {
    /// The value of a field, by its name or by a dotted path through objects; nothing where it is null.
    #[must_use]
    #[inline]
    pub fn value(self, path: &str) -> Option<&'a Value<'a>> {
        if let Some(value) = self.0.get(path) {
            return (!value.is_null()).then_some(value);
        }
        if !self.0.has_objects() {
            return None;
        }
        self.below(path)
    }

    #[inline(never)]
    fn below(self, path: &str) -> Option<&'a Value<'a>> {
        // Nearly every path is one name.
        let dot = dot(path)?;
        Fields(self.0.get(&path[..dot])?.as_object()?).value(&path[dot + 1..])
    }

    /// A field as text: text as it is, numbers and booleans as JSON writes them; nothing where it is empty, an object
    /// or a list.
    #[must_use]
    #[inline]
    pub fn text(self, path: &str) -> Option<Cow<'a, str>> {
        scalar(self.value(path)?)
    }

    /// [`Fields::text`] of the path `object`, a dot, `name`, which need not be put together.
    #[must_use]
    pub fn text_in(self, object: &str, name: &str) -> Option<Cow<'a, str>> {
        let mut path: SmallVec<[u8; 96]> = SmallVec::from_slice(object.as_bytes());
        path.push(b'.');
        path.extend_from_slice(name.as_bytes());
        self.text(str::from_utf8(&path).ok()?)
    }

    /// The first of several names that has text.
    #[must_use]
    pub fn first(self, paths: &[&str]) -> Option<Cow<'a, str>> {
        paths.iter().find_map(|p| self.text(p))
    }

    /// A field as a whole number, also where it is written as text.
    #[must_use]
    pub fn int(self, path: &str) -> Option<i64> {
        match self.value(path)? {
            number @ (Value::Int(_) | Value::Number(_)) => number.as_i64(),
            Value::String(s) => s.trim().parse().ok(),
            _ => None,
        }
    }

    /// A field as a boolean, also where it is written as text or as 0 and 1.
    #[must_use]
    pub fn bool(self, path: &str) -> Option<bool> {
        match self.value(path)? {
            Value::Bool(b) => Some(*b),
            number @ (Value::Int(_) | Value::Number(_)) => number.as_i64().map(|n| n != 0),
            Value::String(s) => match s.trim() {
                s if s.eq_ignore_ascii_case("true") || s == "1" => Some(true),
                s if s.eq_ignore_ascii_case("false") || s == "0" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }

    /// A field that is an object.
    #[must_use]
    pub fn object(self, path: &str) -> Option<Fields<'a>> {
        self.value(path)?.as_object().map(Fields)
    }
}

/// Where the first dot is: names are short, eight bytes are looked at at once.
#[inline]
fn dot(path: &str) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let mut rest = path.as_bytes();
    let mut at = 0;
    while let Some((eight, after)) = rest.split_first_chunk::<8>() {
        let differ = u64::from_le_bytes(*eight) ^ (ONES * 0x2e);
        // Exact at its lowest bit.
        let found = differ.wrapping_sub(ONES) & !differ & (ONES * 0x80);
        if found != 0 {
            return Some(at + (found.trailing_zeros() / 8) as usize);
        }
        at += 8;
        rest = after;
    }
    rest.iter().position(|b| *b == b'.').map(|n| at + n)
}

/// A scalar as text; nothing of an empty text, null, an object or a list.
#[must_use]
pub fn scalar<'a>(value: &Value<'a>) -> Option<Cow<'a, str>> {
    match *value {
        Value::String("") => None,
        Value::String(s) | Value::Number(s) => Some(Cow::Borrowed(s)),
        Value::Int(n) => Some(Cow::Owned(n.to_string())),
        Value::Bool(b) => Some(Cow::Borrowed(if b { "true" } else { "false" })),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_dot_is_found_wherever_it_is() {
        for text in [
            "",
            "a",
            ".",
            "a.b",
            "abcdefg.",
            "abcdefgh.i",
            "abcdefgh",
            "a.b.c.d.e",
            "中.文",
            "........./-",
        ] {
            assert_eq!(dot(text), text.find('.'), "{text}");
        }
    }
}
