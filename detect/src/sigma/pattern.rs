//! A string of a rule: literals, `*` (any text, newlines too) and `?` (one character).

use std::fmt;

/// A part of a [`Pattern`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// Text that stands for itself; never empty.
    Literal(String),
    /// `*`: any number of characters, also none.
    Any,
    /// `?`: exactly one character.
    One,
    /// One of [`DASHES`], by which Windows programs know an option (`windash`).
    Dash,
}

/// Hyphen, slash, en dash, em dash, horizontal bar.
pub const DASHES: [char; 5] = ['-', '/', '\u{2013}', '\u{2014}', '\u{2015}'];

/// A string with wildcards. Two literals never stand side by side, nor do two `*`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pattern {
    parts: Vec<Part>,
}

impl Pattern {
    /// Reads Sigma's notation: `*` and `?` are wildcards; `\*`, `\?` and `\\` stand for the character after
    /// the backslash; any other backslash stands for itself.
    #[must_use]
    pub fn parse(text: &str) -> Pattern {
        let mut pattern = Pattern::default();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\\' => match chars.next_if(|n| matches!(n, '*' | '?' | '\\')) {
                    Some(escaped) => pattern.push_char(escaped),
                    None => pattern.push_char('\\'),
                },
                '*' => pattern.push(Part::Any),
                '?' => pattern.push(Part::One),
                other => pattern.push_char(other),
            }
        }
        pattern
    }

    /// A pattern that stands for exactly `text`.
    #[must_use]
    pub fn literal(text: &str) -> Pattern {
        let mut pattern = Pattern::default();
        if !text.is_empty() {
            pattern.parts.push(Part::Literal(text.to_owned()));
        }
        pattern
    }

    /// Its parts, in order.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The text, where there is no wildcard.
    #[must_use]
    pub fn as_literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// The pattern with `*` before it.
    #[must_use]
    pub fn any_before(&self) -> Pattern {
        let mut out = Pattern { parts: vec![Part::Any] };
        self.parts.iter().for_each(|p| out.push(p.clone()));
        out
    }

    /// The pattern with `*` after it.
    #[must_use]
    pub fn any_after(mut self) -> Pattern {
        self.push(Part::Any);
        self
    }

    /// Whether all of `text` matches; `cased` with regard to case.
    ///
    /// Takes at most length of text times length of pattern steps.
    #[must_use]
    pub fn is_match(&self, text: &str, cased: bool) -> bool {
        match cased {
            true => self.matches(text, |t, p| t.strip_prefix(p), |t, first| t.find(first)),
            false => self.matches(text, strip_prefix_uncased, find_uncased),
        }
    }

    /// Greedy with one point of return, the last `*`: linear but for the repeats of one literal.
    ///
    /// `strip` takes a literal off the start of a text; `find` gives a place before which no text that starts with
    /// the character begins, `None` where there is none at all.
    fn matches(
        &self,
        text: &str,
        strip: for<'t> fn(&'t str, &str) -> Option<&'t str>,
        find: fn(&str, char) -> Option<usize>,
    ) -> bool {
        let (mut part, mut rest) = (0, text);
        let mut back: Option<(usize, &str)> = None;
        loop {
            let stepped = match self.parts.get(part) {
                None if rest.is_empty() => return true,
                None => None,
                Some(Part::Any) => {
                    if part + 1 == self.parts.len() {
                        return true;
                    }
                    let Some(from) = self.skip(part + 1, rest, find) else {
                        return false;
                    };
                    back = Some((part + 1, from));
                    Some(from)
                }
                Some(Part::One) => rest.chars().next().map(|c| &rest[c.len_utf8()..]),
                Some(Part::Dash) => rest.strip_prefix(DASHES),
                Some(Part::Literal(l)) => strip(rest, l),
            };
            if let Some(after) = stepped {
                (part, rest) = (part + 1, after);
                continue;
            }
            // Let the last `*` take one more character, and all behind it that cannot begin what follows.
            let Some((after_star, from)) = back else { return false };
            let Some(c) = from.chars().next() else { return false };
            let Some(from) = self.skip(after_star, &from[c.len_utf8()..], find) else {
                return false;
            };
            back = Some((after_star, from));
            (part, rest) = (after_star, from);
        }
    }

    /// The text from where the part may begin.
    fn skip<'t>(&self, part: usize, text: &'t str, find: fn(&str, char) -> Option<usize>) -> Option<&'t str> {
        let Some(Part::Literal(literal)) = self.parts.get(part) else {
            return Some(text);
        };
        let at = literal.chars().next().map_or(Some(0), |first| find(text, first))?;
        Some(&text[at..])
    }

    /// `windash`: each `-` or `/` that begins an option (a word behind it, none before) stands for any dash.
    pub(crate) fn dashes(&mut self) {
        let word = |c: char| c.is_alphanumeric() || c == '_';
        for part in std::mem::take(&mut self.parts) {
            let Part::Literal(text) = part else {
                self.push(part);
                continue;
            };
            let mut before = None;
            let mut chars = text.chars().peekable();
            while let Some(c) = chars.next() {
                let option =
                    matches!(c, '-' | '/') && !before.is_some_and(word) && chars.peek().copied().is_some_and(word);
                if option {
                    self.push(Part::Dash)
                } else {
                    self.push_char(c)
                }
                before = Some(c);
            }
        }
    }

    pub(crate) fn push_char(&mut self, c: char) {
        if let Some(Part::Literal(text)) = self.parts.last_mut() {
            text.push(c);
        } else {
            self.parts.push(Part::Literal(c.to_string()));
        }
    }

    pub(crate) fn push(&mut self, part: Part) {
        match part {
            Part::Any if self.parts.last() == Some(&Part::Any) => {}
            Part::Literal(text) => text.chars().for_each(|c| self.push_char(c)),
            part => self.parts.push(part),
        }
    }
}

impl fmt::Display for Pattern {
    /// Sigma's notation.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            match part {
                Part::Any => f.write_str("*")?,
                Part::One => f.write_str("?")?,
                Part::Dash => f.write_str("-")?,
                Part::Literal(text) => {
                    for c in text.chars() {
                        if matches!(c, '*' | '?' | '\\') {
                            f.write_str("\\")?;
                        }
                        write!(f, "{c}")?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// `text` after `prefix`, without regard to case: each character compared by its simple lower case, as
/// [`lower`] has it.
fn strip_prefix_uncased<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    let mut rest = text.chars();
    for p in prefix.chars() {
        let c = rest.next()?;
        if c != p && lower_char(c) != lower_char(p) {
            return None;
        }
    }
    Some(rest.as_str())
}

/// A place before which `text` has no character that is `first` without regard to case; `None`: there is none at all.
fn find_uncased(text: &str, first: char) -> Option<usize> {
    let bytes = text.as_bytes();
    let (lower, upper) = (first.to_ascii_lowercase() as u8, first.to_ascii_uppercase() as u8);
    match lower_char(first) {
        // Two letters have a third form, of which this is the first byte: the Kelvin sign and long s.
        'k' => memchr::memchr3(b'k', b'K', 0xe2, bytes),
        's' => memchr::memchr3(b's', b'S', 0xc5, bytes),
        c if !c.is_ascii() => Some(0),
        _ => memchr::memchr2(lower, upper, bytes),
    }
}

/// One character's lower case, where that is one character; else itself. Character by character, so that
/// a pattern's and a text's lower case agree wherever they are cut. Final sigma counts as sigma,
/// long s as s.
#[must_use]
pub fn lower_char(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_lowercase();
    }
    match c {
        'ς' => return 'σ',
        // As regular expressions have it.
        'ſ' => return 's',
        _ => {}
    }
    let mut lower = c.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(l), None) => l,
        _ => c,
    }
}

/// The lower case that "without regard to case" means everywhere in Docket.
#[must_use]
pub fn lower(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.chars().map(lower_char).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_wildcards() {
        for (pattern, text, holds) in [
            ("a*c", "abc", true),
            ("a*c", "ac", true),
            ("a?c", "ac", false),
            ("a?c", "a\nc", true),
            ("a*c", "a\nb\nc", true),
            (r"a\*c", "a*c", true),
            (r"a\*c", "abc", false),
            (r"a\\*", r"a\bc", true),
            (r"a\b", r"a\b", true),
            (r"a\\b", r"a\b", true),
            (r"a\\\*b", r"a\*b", true),
            (r"C:\Windows\*", r"c:\windows*", true),
            (r"C:\Windows\*", r"c:\windows\x", false),
            (r"C:\Windows\\*", r"c:\windows\x", true),
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*ab*ab", "abxabab", true),
            ("ÄÖ*", "äö!", true),
            ("Σ", "ς", true),
            ("K", "\u{212a}", true),
            ("日?語", "日本語", true),
            ("*kelvin", "x\u{212a}ELVIN", true),
            ("*Såß", "∂ſÅß", true),
            ("*kk", "kxk", false),
            ("*å", "\u{212b}", true),
            ("*a?*b", "aab", true),
        ] {
            assert_eq!(
                Pattern::parse(pattern).is_match(text, false),
                holds,
                "{pattern} on {text}"
            );
        }
        assert!(!Pattern::parse("Ab").is_match("ab", true));
        assert_eq!(Pattern::parse(r"a\*\\x*").to_string(), r"a\*\\x*");
    }
}
