//! Sigma's correlations, as checked.

use std::collections::BTreeMap;

use super::{EventField, PolicyIndex};
pub use crate::sigma::Compare;
use crate::sigma::Number;

/// A correlation over the events of other rules (or of other correlations: chaining).
#[derive(Clone, Debug, PartialEq)]
pub struct Correlation {
    /// What it counts.
    pub kind: CorrelationKind,
    /// Whose events it takes, in the order written (which `temporal_ordered` goes by).
    pub feeders: Vec<Feeder>,
    /// Names of the fields or aliases that part its events into groups.
    pub group_by: Vec<String>,
    /// The window, milliseconds; more than 0.
    pub timespan_ms: i64,
    /// When it holds.
    pub condition: CorrelationCondition,
    /// Whether its rules make findings of their own all the same (`generate: true`).
    pub generate: bool,
}

/// What a correlation counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CorrelationKind {
    /// Events.
    EventCount,
    /// Distinct values of the condition's field.
    ValueCount,
    /// Rules that fired, in any order.
    Temporal,
    /// Rules that fired, in the order given.
    TemporalOrdered,
    /// The sum of the field.
    ValueSum,
    /// The mean of the field.
    ValueAvg,
    /// A percentile of the field.
    ValuePercentile {
        /// Which, 0 to 100.
        percentile: u8,
    },
    /// The median of the field.
    ValueMedian,
}

/// One rule that a correlation takes events from.
#[derive(Clone, Debug, PartialEq)]
pub struct Feeder {
    /// As the correlation names it: a rule's name or id.
    pub name: String,
    /// The policy that it is.
    pub policy: PolicyIndex,
    /// Where each of `group_by` is read in this rule's events, in the order of `group_by`.
    pub group_by: Vec<EventField>,
    /// Where each of the condition's fields is read in this rule's events, in the order of
    /// [`CorrelationCondition::Compare::fields`].
    pub fields: Vec<EventField>,
    /// All aliases, as this rule's events have them.
    pub aliases: BTreeMap<String, EventField>,
}

/// When a correlation holds.
#[derive(Clone, Debug, PartialEq)]
pub enum CorrelationCondition {
    /// The counted number satisfies every comparison.
    Compare {
        /// The fields whose values (together, where they are several) are counted or added up; empty for
        /// `event_count`.
        fields: Vec<String>,
        /// All have to hold.
        compare: Vec<(Compare, Number)>,
    },
    /// `temporal`, `temporal_ordered`: all rules fired.
    AllRules,
    /// `temporal` with a condition over the rules by name (`rule_a and not rule_b`).
    Expression(Expression),
}

/// A boolean expression over the rules of a correlation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// The feeder of this index (into [`Correlation::feeders`]) fired in the window.
    Fired(usize),
    /// All hold.
    All(Vec<Expression>),
    /// One holds.
    Any(Vec<Expression>),
    /// It does not hold.
    Not(Box<Expression>),
}
