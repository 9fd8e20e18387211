//! Logs whose records are numbered: what is missing, and what goes backwards.

use super::Reference;

/// A rule fires only for events whose number, in the log that they are of, does not follow the one before as it should.
#[derive(Clone, Debug)]
pub struct Sequence {
    /// The number of the event, a whole one.
    pub number: Reference,
    /// Of which log: all have to have a value.
    pub of: Vec<Reference>,
    /// What is wrong.
    pub breach: Breach,
    /// So many numbers have to stand before, nearly all of them without a hole: a log that skips numbers as a rule is not judged.
    pub at_least: u64,
}

/// What is wrong with a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breach {
    /// More than so many numbers before it never came.
    Gap(i64),
    /// It happened so much earlier than the number before, milliseconds.
    Backwards(i64),
}
