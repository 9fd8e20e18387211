//! An expected event that is missing by a deadline.

use super::{EventField, Lookup, PolicyIndex, Reference, Value};

/// An expectation, and what satisfies it.
#[derive(Clone, Debug)]
pub struct Absence {
    /// What opens an expectation.
    pub opens: Opens,
    /// The earliest moment of what is expected; `None`: `by` less 24 h.
    pub from: Option<Reference>,
    /// The deadline.
    pub by: Reference,
    /// The rules whose events satisfy it, as named; the policies that they are.
    pub expect: Vec<(String, PolicyIndex)>,
    /// Fields of the expected event that have to equal a value, in the names of the expected rule.
    pub matching: Vec<(EventField, Value)>,
    /// The rows themselves say that nothing came before they were written: what was due before the first record is judged too.
    pub rows_tell: bool,
}

impl Absence {
    /// Whether it checks tables: nothing is expected, the rows themselves are the violation.
    #[must_use]
    pub fn checks(&self) -> bool {
        self.expect.is_empty()
    }

    /// Whether a deadline is judged that was before the first record.
    #[must_use]
    pub fn looks_back(&self) -> bool {
        self.checks() || self.rows_tell
    }
}

/// What opens an expectation.
#[derive(Clone, Debug)]
pub enum Opens {
    /// One for each combination of rows, joined in order; every one has an alias or is only a condition.
    Each(Vec<Lookup>),
    /// Each event of a rule, as `$event`.
    After(PolicyIndex),
}
