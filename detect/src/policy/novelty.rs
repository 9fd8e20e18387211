//! What somebody does for the first time, or seldom.

use super::Reference;

/// A rule fires only for events whose value was not seen, or hardly, with their key before.
#[derive(Clone, Debug)]
pub struct Novelty {
    /// Whose habit it is: all have to have a value.
    pub key: Vec<Reference>,
    /// What is new; empty: that the key is seen at all (again, after so long).
    pub value: Vec<Reference>,
    /// How far back is looked, milliseconds; a day or more.
    pub within_ms: i64,
    /// A key is judged once it has been known so long, milliseconds.
    pub warm_up_ms: i64,
    /// How long a key and its values are remembered after they were last seen, milliseconds; `within_ms` or more.
    pub keep_ms: i64,
    /// On how many days before it a value has to have been seen to be a habit: 1 for `first_seen`.
    pub days: u32,
}
