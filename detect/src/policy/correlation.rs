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
    /// What the count has to exceed beside.
    pub usual: Option<Usual>,
    /// Of which rule's events the count is, and how large a part of all.
    pub share: Option<Share>,
    /// Whether its rules make findings of their own all the same (`generate: true`).
    pub generate: bool,
}

/// What is usual for a group: windows of the same length, back to back behind the one that is judged. Those without an event do
/// not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usual {
    /// How far back they go, milliseconds; at least one window.
    pub over_ms: i64,
    /// Which of their counts is taken, by nearest rank, 0 to 100.
    pub percentile: u8,
    /// How many times that is exceeded.
    pub times: Number,
    /// With fewer windows that have an event nothing is usual.
    pub at_least: usize,
    /// Only windows that end with an event of this rule are judged: index into [`Correlation::feeders`].
    pub ending_with: Option<usize>,
}

/// What is counted is of one rule's events, and has to be a part of what would be counted of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// The rule: index into [`Correlation::feeders`].
    pub of: usize,
    /// Percent that are exceeded.
    pub percent: Number,
}

/// Which events an event's window holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The window ends with the event: `(t - timespan, t]`. Complete at each event that reaches what is asked.
    Behind,
    /// Too few are asked for: a group's windows follow each other. One opens with the first event that no earlier one
    /// holds, `[t, t + timespan)`, and is judged when it has closed.
    Opening,
    /// None is asked for: nothing follows the event within `(t, t + timespan]`.
    Following,
}

impl Correlation {
    /// Which windows are judged.
    #[must_use]
    pub fn reach(&self) -> Reach {
        let CorrelationCondition::Compare { compare, .. } = &self.condition else {
            return Reach::Behind;
        };
        let zero = |n: i128| compare.iter().all(|(c, given)| c.holds(Number::Int(n), *given));
        match self.kind {
            CorrelationKind::Temporal | CorrelationKind::TemporalOrdered => Reach::Behind,
            _ if !self.is_negative() => Reach::Behind,
            // A count is whole, so that what does not hold for one holds for none alone.
            CorrelationKind::EventCount | CorrelationKind::ValueCount if zero(0) && !zero(1) => Reach::Following,
            _ => Reach::Opening,
        }
    }

    /// How far back it looks from the event whose window is judged, milliseconds.
    #[must_use]
    pub fn looks_back_ms(&self) -> i64 {
        let usual = self.usual.map_or(0, |usual| usual.over_ms);
        self.timespan_ms.saturating_add(usual)
    }

    /// How long after the event whose window is judged the violation is complete, milliseconds.
    #[must_use]
    pub fn completes_after_ms(&self) -> i64 {
        match self.reach() {
            Reach::Behind => 0,
            Reach::Opening | Reach::Following => self.timespan_ms,
        }
    }

    /// Whether more events can only make more windows satisfy the condition.
    #[must_use]
    pub fn is_monotone(&self) -> bool {
        match &self.condition {
            CorrelationCondition::Compare { compare, .. } => {
                let sums = matches!(
                    self.kind,
                    CorrelationKind::ValueSum
                        | CorrelationKind::ValueAvg
                        | CorrelationKind::ValuePercentile { .. }
                        | CorrelationKind::ValueMedian
                );
                // More of what is usual makes a count less unusual.
                !sums
                    && self.usual.is_none()
                    && self.share.is_none()
                    && compare.iter().all(|(c, _)| matches!(c, Compare::Gt | Compare::Gte))
            }
            CorrelationCondition::AllRules => true,
            CorrelationCondition::Expression(expression) => !expression.has_not(),
        }
    }

    /// Whether it is judged only when its window has closed.
    #[must_use]
    pub fn is_negative(&self) -> bool {
        match &self.condition {
            CorrelationCondition::Compare { compare, .. } => compare.iter().any(|(c, given)| c.is_negative(*given)),
            CorrelationCondition::AllRules => false,
            CorrelationCondition::Expression(expression) => expression.has_not(),
        }
    }
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

impl Expression {
    /// Whether an event can make it false.
    #[must_use]
    pub fn has_not(&self) -> bool {
        match self {
            Expression::Fired(_) => false,
            Expression::All(all) | Expression::Any(all) => all.iter().any(Expression::has_not),
            Expression::Not(_) => true,
        }
    }
}
