//! Looks for words in short texts. To prepare a search, as the library does for each call, costs more than to look.

use memchr::memchr_iter;

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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn finds_what_the_library_finds(text in "[ab中]{0,12}", word in "[ab中]{0,3}") {
            prop_assert_eq!(find(&text, &word), text.find(&word));
            prop_assert_eq!(contains(&text, &word), text.contains(&word));
        }
    }
}
