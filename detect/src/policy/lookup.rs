//! A join with a table.

use std::sync::Arc;

use super::{Condition, Reference, Value};
use crate::Place;

/// A join with a reference table or with a table kept from events.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// The table: a reference table's name, or the name of a rule with `docket.table`.
    pub table: Arc<str>,
    /// In a set of policies: the policy that keeps the table, where it is one kept from events.
    pub event_table: Option<super::PolicyIndex>,
    /// The name by which later references read the first row found.
    pub alias: Option<Arc<str>>,
    /// Columns that equal a value; empty: every row is picked.
    pub key: Vec<(Arc<str>, Value)>,
    /// What picked rows have to satisfy.
    pub condition: Condition,
    /// What the rows decide.
    pub expect: Expect,
    /// The moment at which rows must be valid; `None`: the default (the event's time; in `absence.each`
    /// the deadline `by`).
    pub at: Option<Reference>,
    /// `at: always`: rows count whether they are valid or not.
    pub ever: bool,
    /// One row explains one event (`claim: one`: empty), or one set of events that are the same in these values.
    pub claim: Option<Vec<Reference>>,
    /// Which of several rows is found.
    pub pick: Pick,
    /// Where it is written.
    pub place: Place,
}

/// Which of several rows a lookup finds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pick {
    /// The first: of an event table the oldest, of a reference table the one that stands first.
    #[default]
    First,
    /// The last: of an event table the newest (as of the event: the one before it).
    Last,
    /// Of an event table: the one nearest in time to the event, the older of two.
    Nearest,
}

/// What a lookup's rows decide.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expect {
    /// It holds when there is a row.
    #[default]
    Some,
    /// It holds when there is none.
    None,
    /// It always holds; it only binds its alias.
    Any,
}
