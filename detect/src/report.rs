//! Errors of one document, gathered while it is read.

use std::sync::Arc;

use crate::yaml::{Key, Node};
use crate::{Place, PolicyError, Problem};

/// Errors and lints of one document.
pub(crate) struct Report {
    /// The file.
    pub file: Arc<str>,
    /// In the order found.
    pub errors: Vec<PolicyError>,
}

impl Report {
    /// Nothing wrong so far.
    pub fn new(file: Arc<str>) -> Report {
        Report {
            file,
            errors: Vec::new(),
        }
    }

    /// Something is wrong at a node.
    pub fn at(&mut self, node: &Node, problem: Problem) {
        self.errors.push(PolicyError {
            place: node.place(&self.file),
            problem,
        });
    }

    /// Something is wrong at a key.
    pub fn at_key(&mut self, key: &Key, problem: Problem) {
        self.errors.push(PolicyError {
            place: key.place(&self.file),
            problem,
        });
    }

    /// Whether anything is wrong that keeps the policy from loading.
    pub fn is_broken(&self) -> bool {
        self.errors.iter().any(|e| !e.is_lint())
    }

    /// A value of the wrong shape.
    pub fn shape(&mut self, node: &Node, key: &str, allowed: &str) {
        let problem = Problem::Shape {
            key: key.to_owned(),
            given: node.describe(),
            allowed: allowed.to_owned(),
        };
        self.at(node, problem);
    }

    /// A word that is not one of `allowed`.
    pub fn unknown(&mut self, node: &Node, what: &str, given: &str, allowed: &[&str]) {
        let problem = unknown(what, given, allowed);
        self.at(node, problem);
    }

    /// Reports the keys of a mapping that are not among `allowed`; says whether it is a mapping.
    pub fn keys(&mut self, node: &Node, of: &str, allowed: &[&str]) -> bool {
        let Some(items) = node.map() else {
            self.shape(node, of, "a map");
            return false;
        };
        for (key, _) in items {
            if !allowed.contains(&key.text.as_str()) {
                self.at_key(key, unknown(&format!("key of {of}"), &key.text, allowed));
            }
        }
        true
    }

    /// A scalar as text.
    pub fn text(&mut self, node: &Node, key: &str) -> Option<String> {
        let text = node.scalar().map(std::borrow::Cow::into_owned);
        if text.is_none() {
            self.shape(node, key, "text");
        }
        text
    }

    /// One text or a list of them.
    pub fn texts(&mut self, node: &Node, key: &str) -> Vec<String> {
        node.one_or_many().iter().filter_map(|n| self.text(n, key)).collect()
    }

    /// `true` or `false`.
    pub fn bool(&mut self, node: &Node, key: &str) -> Option<bool> {
        match node.kind {
            crate::yaml::Kind::Bool(b) => Some(b),
            _ => {
                self.shape(node, key, "true or false");
                None
            }
        }
    }
}

impl Key {
    /// Where it is.
    pub fn place(&self, file: &Arc<str>) -> Place {
        Place {
            file: file.clone(),
            line: self.line,
            column: self.column,
        }
    }
}

/// An unknown word, with the nearest right one.
pub(crate) fn unknown(what: &str, given: &str, allowed: &[&str]) -> Problem {
    let nearest = nearest(given, allowed.iter().copied());
    Problem::Unknown {
        what: what.to_owned(),
        given: given.to_owned(),
        nearest,
    }
}

/// The word that `given` most likely stands for: about a third of its letters wrong at most, and one at least.
pub(crate) fn nearest<'a>(given: &str, words: impl Iterator<Item = &'a str>) -> Option<String> {
    // A longer text is no typing error, and would cost its square.
    const LETTERS_MAX: usize = 60;
    let given: Vec<char> = given
        .chars()
        .take(LETTERS_MAX + 1)
        .map(crate::sigma::lower_char)
        .collect();
    if given.len() > LETTERS_MAX {
        return None;
    }
    let allowed = ((given.len() + 1) / 3).max(1);
    words
        .filter(|w| w.len() <= 2 * LETTERS_MAX)
        .map(|w| {
            (
                distance(&given, &w.chars().map(crate::sigma::lower_char).collect::<Vec<_>>()),
                w,
            )
        })
        .filter(|(d, _)| *d <= allowed)
        .min()
        .map(|(_, w)| w.to_owned())
}

/// Edits (insert, remove, replace, swap of neighbours) from one word to the other.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut rows = [
        vec![0; b.len() + 1],
        (0..=b.len()).collect::<Vec<_>>(),
        vec![0; b.len() + 1],
    ];
    for i in 1..=a.len() {
        rows[2][0] = i;
        for j in 1..=b.len() {
            let replace = rows[1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            rows[2][j] = replace.min(rows[1][j] + 1).min(rows[2][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                rows[2][j] = rows[2][j].min(rows[0][j - 2] + 1);
            }
        }
        rows.rotate_left(1);
    }
    rows[1][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_the_word() {
        let words = [
            "lookup",
            "calendar",
            "dedup",
            "severity",
            "message",
            "account_change",
            "any",
            "clauses",
        ];
        for (given, word) in [
            ("lookups", Some("lookup")),
            ("calender", Some("calendar")),
            ("dedpu", Some("dedup")),
            ("Severity", Some("severity")),
            ("acount_chnage", Some("account_change")),
            ("eny", Some("any")),
            ("clase", Some("clauses")),
            ("zzz", None),
            ("", None),
        ] {
            assert_eq!(nearest(given, words.into_iter()).as_deref(), word, "{given}");
        }
    }
}
