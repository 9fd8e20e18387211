//! Whole values: folded for finding, kept as they are for grouping, bounded always.

use std::borrow::Cow;

use crate::tokenizer::fold;

/// Bytes of a keyword value that are kept; of a longer one, so many and a hash of the whole.
pub const VALUE_BYTES_MAX: usize = 1024;

/// The value, cut where it is too long: equal values stay equal, different ones different.
#[must_use]
pub fn bounded(value: &str) -> Cow<'_, str> {
    if value.len() <= VALUE_BYTES_MAX {
        return Cow::Borrowed(value);
    }
    let end = (0..=VALUE_BYTES_MAX)
        .rev()
        .find(|i| value.is_char_boundary(*i))
        .unwrap_or(0);
    Cow::Owned(format!("{}…{:016x}", &value[..end], fnv1a(folded(value).as_bytes())))
}

/// The value as it is searched: case and full-width forms folded.
#[must_use]
pub fn folded(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    fold_into(value, &mut out);
    out
}

/// As [`folded`], appended.
pub(crate) fn fold_into(value: &str, out: &mut String) {
    if value.is_ascii() {
        let from = out.len();
        out.push_str(value);
        out[from..].make_ascii_lowercase();
        return;
    }
    value.chars().for_each(|c| fold(c, out));
}

// FNV-1a, 64 bit. Written to disk in cut values, so it must not change.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| {
        (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3)
    })
}

/// Whether a folded value matches a folded wildcard pattern; linear in the value for each `*`.
#[must_use]
pub fn glob(pattern: &[Glob], value: &str) -> bool {
    let value: Vec<char> = value.chars().collect();
    let (mut p, mut v, mut star) = (0, 0, None);
    while v < value.len() {
        match pattern.get(p) {
            Some(Glob::Many) => {
                star = Some((p, v));
                p += 1;
            }
            Some(Glob::Any) => (p, v) = (p + 1, v + 1),
            Some(Glob::Char(c)) if *c == value[v] => (p, v) = (p + 1, v + 1),
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    (p, v) = (at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|g| *g == Glob::Many)
}

/// A part of a wildcard pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Glob {
    /// This (folded) character.
    Char(char),
    /// `?`: any one character.
    Any,
    /// `*`: any number of characters.
    Many,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The pattern as a regular expression over a whole term.
    fn regex(pattern: &[Glob]) -> String {
        let mut out = String::from("(?s)");
        for part in pattern {
            match part {
                Glob::Char(c) => out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
                Glob::Any => out.push('.'),
                Glob::Many => out.push_str(".*"),
            }
        }
        out
    }

    #[test]
    fn long_values_stay_apart() {
        let (a, b) = ("x".repeat(5000) + "a", "x".repeat(5000) + "b");
        assert_ne!(bounded(&a), bounded(&b));
        assert_eq!(bounded(&a), bounded(&a.clone()));
        assert!(bounded(&"长".repeat(5000)).len() < VALUE_BYTES_MAX + 32);
        assert_eq!(bounded("short"), "short");
    }

    proptest! {
        #[test]
        fn a_glob_is_its_regex(
            parts in prop::collection::vec(
                prop_oneof![Just(Glob::Many), Just(Glob::Any), "[ab.中\n]".prop_map(|s| Glob::Char(s.chars().next().unwrap()))], 0..6),
            value in "[ab.中\n]{0,8}",
        ) {
            let re = regex::Regex::new(&format!("^(?:{})$", regex(&parts))).unwrap();
            prop_assert_eq!(glob(&parts, &value), re.is_match(&value));
        }
    }
}
