//! One document of a policy file.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Clause, FindingKind, Namespace, PolicyRef, Severity, Wanted};

use super::{Absence, Condition, Correlation, Delay, Lookup, Message, Reference, Silence};
use crate::{Place, sigma};

/// Which policy of a [`Policies`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PolicyIndex(pub u32);

/// A set of policies that refer to each other by index.
#[derive(Clone, Debug, Default)]
pub struct Policies {
    pub(crate) all: Vec<Policy>,
}

impl Policies {
    /// The policies, in order of [`PolicyIndex`]: by file, then by line.
    #[must_use]
    pub fn all(&self) -> &[Policy] {
        &self.all
    }

    /// Each policy with its index.
    pub fn iter(&self) -> impl Iterator<Item = (PolicyIndex, &Policy)> {
        self.all.iter().enumerate().map(|(i, p)| (PolicyIndex(i as u32), p))
    }

    /// The policy of an index of this set.
    ///
    /// # Panics
    /// The caller's: the index is of another, larger set.
    #[must_use]
    pub fn get(&self, index: PolicyIndex) -> &Policy {
        &self.all[index.0 as usize]
    }

    /// The policy of a name or id.
    #[must_use]
    pub fn find(&self, name_or_id: &str) -> Option<PolicyIndex> {
        let (index, _) = self.iter().find(|(_, p)| p.is_called(name_or_id))?;
        Some(index)
    }

    /// Every column that evaluating, joining and telling of these policies reads.
    #[must_use]
    pub fn wanted(&self) -> Wanted {
        self.all
            .iter()
            .flat_map(|p| p.fields.iter().flat_map(super::EventField::columns))
            .collect()
    }
}

/// One document of a policy file, checked.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Id (else name, else title), title and version.
    pub reference: PolicyRef,
    /// Sigma's `name`, by which others refer to it.
    pub name: Option<Arc<str>>,
    /// Where it begins.
    pub place: Place,
    /// Sigma's `description`.
    pub description: String,
    /// Sigma's `level`: the base severity.
    pub level: Option<Severity>,
    /// Sigma's `status`: `stable`, `test`, `experimental`, `deprecated`, `unsupported`.
    pub status: Option<String>,
    /// Sigma's `tags`.
    pub tags: Vec<String>,
    /// `docket.clauses`.
    pub clauses: Vec<Clause>,
    /// `docket.controls`.
    pub controls: BTreeMap<String, Vec<String>>,
    /// Class 2004 or 2003.
    pub kind: FindingKind,
    /// Whether it makes findings itself. It does not when it is `silent`, keeps a table, has neither `level` nor
    /// clauses, or feeds a correlation that does not `generate` and has no clauses of its own.
    pub reports: bool,
    /// Whose finding it is: the first that has a value.
    pub actor: Vec<Reference>,
    /// The person's employee id: the first that has a value.
    pub person: Vec<Reference>,
    /// One finding for each key and bucket; `None`: one for each event (of a correlation: by its group and
    /// timespan, which is filled in here).
    pub dedup: Option<Dedup>,
    /// Raises of the severity, in order; the last that holds wins.
    pub severity: Vec<SeverityRaise>,
    /// The finding's sentence; `None`: the title.
    pub message: Option<Message>,
    /// How long a negative is given before it is judged, milliseconds.
    pub wait_ms: i64,
    /// How long state is kept, milliseconds.
    pub lateness_ms: i64,
    /// What it is.
    pub body: Body,
    /// Every field of events that it reads.
    pub fields: std::collections::BTreeSet<super::EventField>,
}

impl Policy {
    /// Whether `name_or_id` means this policy.
    #[must_use]
    pub fn is_called(&self, name_or_id: &str) -> bool {
        self.name.as_deref() == Some(name_or_id) || self.reference.id == name_or_id
    }

    /// The rule, where it is one.
    #[must_use]
    pub fn rule(&self) -> Option<&Rule> {
        match &self.body {
            Body::Rule(rule) => Some(rule),
            _ => None,
        }
    }
}

/// What a policy is.
#[derive(Clone, Debug)]
pub enum Body {
    /// A rule over single events.
    Rule(Rule),
    /// A correlation over events of rules.
    Correlation(Correlation),
    /// An event that is missing.
    Absence(Absence),
    /// A source that fell silent.
    Silence(Silence),
    /// Records that take too long to come, or come before they happened.
    Delay(Delay),
}

/// A rule over single events, with its joins.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The Sigma part.
    pub sigma: Arc<sigma::Rule>,
    /// Which names its fields are.
    pub namespace: Namespace,
    /// Joins, in order; the rule fires when the Sigma condition and all of them hold.
    pub lookups: Vec<Lookup>,
    /// Fires only inside or outside of working time.
    pub calendar: Option<WorkingTime>,
    /// Fires only for what is new or rare.
    pub novelty: Option<super::Novelty>,
    /// Fires only for what breaks the numbers of a log.
    pub sequence: Option<super::Sequence>,
    /// Fires only where its events are too large a part of what their source sends.
    pub portion: Option<super::Portion>,
    /// Its events are rows of a table called as the policy is.
    pub table: Option<EventTable>,
}

/// When a rule fires, by the table `work_calendar`.
#[derive(Clone, Debug)]
pub struct WorkingTime {
    /// Within working time, or outside.
    pub side: Calendar,
    /// Whose working time; `None`: everybody's.
    pub site: Option<Reference>,
}

/// A side of the working time of `work_calendar`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calendar {
    /// Working time.
    Inside,
    /// Any other time.
    Outside,
}

/// One finding for each key and epoch-aligned bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dedup {
    /// The key. A reference without a value counts as the empty text.
    pub by: Vec<Reference>,
    /// The bucket, milliseconds; more than 0.
    pub window_ms: i64,
}

/// A severity in place of the base, when a condition holds.
#[derive(Clone, Debug)]
pub struct SeverityRaise {
    /// The severity.
    pub level: Severity,
    /// When.
    pub when: Condition,
}

/// A column of a table kept from events.
#[derive(Clone, Debug)]
pub struct Column {
    /// What it holds.
    pub value: Reference,
    /// Of the events of a row: whose value.
    pub take: Take,
    /// Which events have a say.
    pub when: Condition,
}

/// Whose value a column has, of the events of a row that have one, in order of event time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Take {
    /// The earliest's.
    #[default]
    First,
    /// The latest's.
    Last,
    /// Everybody's: a list, each value once.
    All,
}

/// A table kept from events.
#[derive(Clone, Debug)]
pub struct EventTable {
    /// Columns by which rows are one; empty: each event is a row.
    pub key: Vec<Arc<str>>,
    /// Columns, in the order written, and where each is read. Beside them every row has `time` and `record`.
    pub columns: Vec<(Arc<str>, Column)>,
    /// How long a row is kept after its time, milliseconds.
    pub keep_ms: i64,
}
