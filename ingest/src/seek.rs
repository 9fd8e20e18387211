//! Looks for words in short texts. To prepare a search, as the library does for each call, costs more than to look.

use memchr::{memchr, memchr_iter, memrchr_iter};

/// Whether a word stands in a text.
#[must_use]
pub(crate) fn contains(text: &str, word: &str) -> bool {
    find(text, word).is_some()
}

/// Where a word stands first in a text.
#[must_use]
pub(crate) fn find(text: &str, word: &str) -> Option<usize> {
    let (text, word) = (text.as_bytes(), word.as_bytes());
    let Some((first, rest)) = word.split_first() else {
        return Some(0);
    };
    memchr_iter(*first, text).find(|at| text[at + 1..].starts_with(rest))
}

/// Wherever a word of one byte or more stands in a text, be it within itself.
pub(crate) fn find_all<'t>(text: &'t str, word: &'t str) -> impl Iterator<Item = usize> + 't {
    let (text, word) = (text.as_bytes(), word.as_bytes());
    let first = word.first().copied().unwrap_or_default();
    memchr_iter(first, text).filter(move |at| text[*at..].starts_with(word))
}

/// Where a word stands last in a text.
#[must_use]
pub(crate) fn find_last(text: &str, word: &str) -> Option<usize> {
    let (text, word) = (text.as_bytes(), word.as_bytes());
    let Some((first, rest)) = word.split_first() else {
        return Some(text.len());
    };
    memrchr_iter(*first, text).find(|at| text[at + 1..].starts_with(rest))
}

/// What stands before and after a word, where it stands first.
#[must_use]
pub(crate) fn split_once<'a>(text: &'a str, word: &str) -> Option<(&'a str, &'a str)> {
    let at = find(text, word)?;
    Some((&text[..at], &text[at + word.len()..]))
}

/// What stands before and after an ASCII character, where it stands first.
#[must_use]
#[inline]
pub(crate) fn cut(text: &str, mark: u8) -> Option<(&str, &str)> {
    let at = memchr(mark, text.as_bytes())?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// Whether an ASCII character stands in a text.
#[must_use]
#[inline]
pub(crate) fn has(text: &str, mark: u8) -> bool {
    memchr(mark, text.as_bytes()).is_some()
}

/// As [`str::trim`]. Most texts have nothing around them.
#[must_use]
#[inline]
pub(crate) fn trim(text: &str) -> &str {
    match text.as_bytes() {
        [b'!'..=b'~'] | [b'!'..=b'~', .., b'!'..=b'~'] => text,
        _ => text.trim(),
    }
}

/// As [`str::trim_start`]. Most texts begin with one blank or none.
#[must_use]
#[inline]
pub(crate) fn trim_start(text: &str) -> &str {
    match text.as_bytes() {
        [b'!'..=b'~', ..] => text,
        [b' ', b'!'..=b'~', ..] => &text[1..],
        _ => text.trim_start(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn trims_what_the_library_trims(text in "[ \\t\\na!~\x7f中\u{3000}]{0,4}") {
            prop_assert_eq!(trim(&text), text.trim());
            prop_assert_eq!(trim_start(&text), text.trim_start());
        }

        #[test]
        fn finds_what_the_library_finds(text in "[ab中]{0,12}", word in "[ab中]{0,3}") {
            prop_assert_eq!(find(&text, &word), text.find(&word));
            prop_assert_eq!(contains(&text, &word), text.contains(&word));
            if !word.is_empty() {
                let all: Vec<_> = (0..text.len()).filter(|at| text.as_bytes()[*at..].starts_with(word.as_bytes())).collect();
                prop_assert_eq!(find_all(&text, &word).collect::<Vec<_>>(), all);
            }
            prop_assert_eq!(find_last(&text, &word), text.rfind(&word));
            prop_assert_eq!(split_once(&text, &word), text.split_once(&*word));
            prop_assert_eq!(cut(&text, b'b'), text.split_once('b'));
            prop_assert_eq!(has(&text, b'b'), text.contains('b'));
        }
    }
}
