//! The literal that a regular expression or pattern cannot match without.

use regex_syntax::hir::{Class, Hir, HirKind};

use crate::sigma::{Part, Pattern, lower, lower_char};

/// The shortest literal worth looking for, in bytes: a single letter stands nearly everywhere, a single emoji does not.
const BYTES_MIN: usize = 2;
/// Levels of a regular expression that are looked into.
const DEPTH_MAX: usize = 50;

/// The longest literal of a pattern, in lower case; `None` where it has none worth looking for.
pub(super) fn of_pattern(pattern: &Pattern) -> Option<String> {
    let literals = pattern.parts().iter().filter_map(|p| match p {
        Part::Literal(text) => Some(text.as_str()),
        _ => None,
    });
    longest(literals.map(lower))
}

/// A literal, in lower case, that stands in the lower case of every text in which the expression matches.
pub(super) fn of_regex(expression: &str) -> Option<String> {
    let hir = regex_syntax::parse(expression).ok()?;
    let mut runs = Runs::default();
    runs.walk(&hir, 0);
    runs.cut();
    longest(runs.done.into_iter())
}

fn longest(literals: impl Iterator<Item = String>) -> Option<String> {
    // Of several equally long ones the first, so that the choice is the same on every run.
    literals
        .filter(|l| l.len() >= BYTES_MIN)
        .reduce(|a, b| if b.len() > a.len() { b } else { a })
}

/// Runs of characters that every match contains, one behind the other.
#[derive(Default)]
struct Runs {
    run: String,
    done: Vec<String>,
}

impl Runs {
    fn cut(&mut self) {
        if !self.run.is_empty() {
            self.done.push(std::mem::take(&mut self.run));
        }
    }

    fn walk(&mut self, hir: &Hir, depth: usize) {
        if depth > DEPTH_MAX {
            return self.cut();
        }
        match hir.kind() {
            HirKind::Empty => {}
            HirKind::Literal(literal) => match std::str::from_utf8(&literal.0) {
                Ok(text) => self.run.extend(text.chars().map(lower_char)),
                Err(_) => self.cut(),
            },
            HirKind::Class(class) => match one_letter(class) {
                Some(c) => self.run.push(c),
                None => self.cut(),
            },
            // Nothing stands between what is before and what is behind an assertion.
            HirKind::Look(_) => {}
            HirKind::Capture(capture) => self.walk(&capture.sub, depth + 1),
            HirKind::Concat(hirs) => hirs.iter().for_each(|h| self.walk(h, depth + 1)),
            HirKind::Repetition(repetition) => {
                self.cut();
                if repetition.min > 0 {
                    // What is repeated stands there at least once, but its repeats part it from its neighbours.
                    self.walk(&repetition.sub, depth + 1);
                    self.cut();
                }
            }
            HirKind::Alternation(_) => self.cut(),
        }
    }
}

/// The one lower-case letter that all characters of a class have (`[Aa]`, as `(?i)a` becomes).
fn one_letter(class: &Class) -> Option<char> {
    const CHARS_MAX: usize = 8;
    let chars: Vec<char> = match class {
        Class::Unicode(class) => class
            .ranges()
            .iter()
            .flat_map(|r| r.start()..=r.end())
            .take(CHARS_MAX + 1)
            .collect(),
        Class::Bytes(_) => return None,
    };
    let first = lower_char(*chars.first()?);
    (chars.len() <= CHARS_MAX && chars.iter().all(|c| lower_char(*c) == first)).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regexes_and_what_they_need() {
        for (expression, literal) in [
            (r"\bpowershell\.exe\s+-enc", Some("powershell.exe")),
            ("(?i)WhoAmI", Some("whoami")),
            ("(?i)desk", Some("desk")),
            ("(abc|def)x", None),
            ("(abc|def)xy", Some("xy")),
            ("(?:abcd)+ef", Some("abcd")),
            ("(?:abcd)*ef", Some("ef")),
            ("a.b", None),
            ("(ab)(cd)", Some("abcd")),
            ("[0-9]{3}", None),
            ("", None),
        ] {
            assert_eq!(of_regex(expression).as_deref(), literal, "{expression}");
        }
        assert_eq!(of_pattern(&Pattern::parse("*ab?CDE*")).as_deref(), Some("cde"));
        assert_eq!(of_pattern(&Pattern::parse("*a*")), None);
        assert_eq!(of_pattern(&Pattern::parse("*😀*")).as_deref(), Some("😀"));
    }
}
