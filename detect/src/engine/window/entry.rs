//! An event in a group of a correlation.

use std::sync::Arc;

use model::{Coordinate, Millis, ReferenceRow};
use smallvec::SmallVec;

use super::super::fact::{Fact, Order};
use super::super::kept::Kept;
use crate::policy::{Correlation, CorrelationKind, PolicyIndex};
use crate::sigma::Number;

/// An event in a group. There may be millions.
#[derive(Debug)]
pub(in super::super) struct Entry {
    kept: Kept,
    /// What events that are only counted do not have.
    rest: Option<Box<Rest>>,
    /// The feeder by which it came first, where it came by no other.
    feeder: u8,
    /// A window opens with it.
    pub opens: bool,
    /// The window that is judged with it satisfies the condition.
    pub complete: bool,
    /// The state has a row of its own for it.
    pub alone: bool,
}

/// What an event of a group has beside itself.
#[derive(Debug, Default)]
struct Rest {
    /// What most of them do not have, either.
    more: Option<Box<More>>,
    /// What is counted or added up.
    values: Values,
    /// All feeders by which it came, where they are several.
    feeders: Option<Feeders>,
    /// Distinct values of its window (`value_count` only).
    distinct: u32,
}

static NO_VALUES: Values = Values(None);

/// Feeders of a correlation, of which there are 64 at most, by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Feeders(u64);

impl Feeders {
    pub fn one(feeder: usize) -> Feeders {
        Feeders(1 << feeder)
    }

    pub fn has(self, feeder: usize) -> bool {
        self.0 & Feeders::one(feeder).0 != 0
    }

    /// In order.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let next = (left != 0).then(|| left.trailing_zeros() as usize);
            left &= left.wrapping_sub(1);
            next
        })
    }

    pub fn count(self) -> u32 {
        self.0.count_ones()
    }

    pub fn last(self) -> Option<usize> {
        self.0.checked_ilog2().map(|n| n as usize)
    }
}

/// What is counted or added up of an event: distinct texts, or numbers; nothing where events and rules are counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in super::super) struct Values(Option<Counted>);

#[derive(Clone, Debug, PartialEq)]
enum Counted {
    Texts(SmallVec<[Arc<str>; 1]>),
    Numbers(SmallVec<[Number; 1]>),
}

/// What most events of a group do not have.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in super::super) struct More {
    /// Records and rows that its rule's joins found.
    pub records: Vec<Coordinate>,
    pub rows: Vec<Arc<ReferenceRow>>,
    /// Of a chained correlation: the groups whose windows the event completed, in order.
    pub origins: Vec<(PolicyIndex, Arc<str>)>,
    /// The finding of which it is a member, while it is complete.
    pub bucket: Option<Arc<str>>,
}

impl More {
    fn is_empty(&self) -> bool {
        self.records.is_empty() && self.rows.is_empty() && self.origins.is_empty() && self.bucket.is_none()
    }
}

impl Values {
    /// The values as the correlation takes them. Those that are no numbers are not added up.
    pub fn new(kind: CorrelationKind, texts: impl IntoIterator<Item = Arc<str>>) -> Values {
        let counted = match kind {
            CorrelationKind::EventCount | CorrelationKind::Temporal | CorrelationKind::TemporalOrdered => {
                return Values(None);
            }
            CorrelationKind::ValueCount => {
                let mut texts: SmallVec<[Arc<str>; 1]> = texts.into_iter().collect();
                texts.sort();
                texts.dedup();
                Counted::Texts(texts)
            }
            _ => Counted::Numbers(texts.into_iter().filter_map(|t| Number::parse(&t)).collect()),
        };
        Values(Some(counted))
    }

    pub fn texts(&self) -> &[Arc<str>] {
        match &self.0 {
            Some(Counted::Texts(texts)) => texts,
            _ => &[],
        }
    }

    pub fn numbers(&self) -> &[Number] {
        match &self.0 {
            Some(Counted::Numbers(numbers)) => numbers,
            _ => &[],
        }
    }

    fn merge(&mut self, other: Values) {
        match (&mut self.0, other.0) {
            (Some(Counted::Texts(own)), Some(Counted::Texts(texts))) => {
                own.extend(texts);
                own.sort();
                own.dedup();
            }
            // An event's field is its field by whichever rule it came: it is added up once. Where rules read different
            // fields (aliases), the first that has numbers counts.
            (Some(Counted::Numbers(own)), Some(Counted::Numbers(numbers))) if own.is_empty() => *own = numbers,
            _ => {}
        }
    }
}

impl Entry {
    pub fn new(c: &Correlation, fact: &Fact, feeder: usize, texts: impl IntoIterator<Item = Arc<str>>) -> Entry {
        Entry::of(c, Kept::new(fact), feeder, texts)
    }

    /// As [`Entry::new`], of an event that is packed already.
    pub fn of(c: &Correlation, kept: Kept, feeder: usize, texts: impl IntoIterator<Item = Arc<str>>) -> Entry {
        let values = Values::new(c.kind, texts);
        let rest = values.0.is_some().then(|| {
            Box::new(Rest {
                values,
                ..Rest::default()
            })
        });
        Entry {
            kept,
            rest,
            // There are 64 at most.
            feeder: feeder as u8,
            opens: false,
            complete: false,
            alone: false,
        }
    }

    /// With what most events do not have.
    #[must_use]
    pub fn with(mut self, more: More) -> Entry {
        if !more.is_empty() {
            self.rest.get_or_insert_default().more = Some(Box::new(more));
        }
        self
    }

    /// Which feeders it came by.
    pub fn feeders(&self) -> Feeders {
        let several = self.rest.as_ref().and_then(|rest| rest.feeders);
        several.unwrap_or(Feeders::one(usize::from(self.feeder)))
    }

    /// It came by these feeders.
    pub fn set_feeders(&mut self, feeders: Feeders) {
        match feeders.iter().next() {
            Some(one) if feeders.count() == 1 => {
                self.feeder = one as u8;
                self.rest.iter_mut().for_each(|rest| rest.feeders = None);
            }
            _ => self.rest.get_or_insert_default().feeders = Some(feeders),
        }
    }

    /// What is counted or added up.
    pub fn values(&self) -> &Values {
        self.rest.as_ref().map_or(&NO_VALUES, |rest| &rest.values)
    }

    /// Distinct values of its window (`value_count` only).
    pub fn distinct(&self) -> u32 {
        self.rest.as_ref().map_or(0, |rest| rest.distinct)
    }

    pub fn set_distinct(&mut self, distinct: u32) {
        if self.rest.is_some() || distinct > 0 {
            self.rest.get_or_insert_default().distinct = distinct;
        }
    }

    fn more(&self) -> Option<&More> {
        self.rest.as_ref()?.more.as_deref()
    }

    /// The event as it is kept.
    pub fn kept(&self) -> &Kept {
        &self.kept
    }

    /// The event.
    pub fn fact(&self) -> Arc<Fact> {
        self.kept.fact()
    }

    /// The feeder by which it came first.
    pub fn feeder(&self) -> usize {
        self.feeders().iter().next().unwrap_or(0)
    }

    pub fn time(&self) -> Millis {
        self.kept.time()
    }

    pub fn order(&self) -> Order {
        self.kept.order()
    }

    /// The finding of which it is a member, while it is complete.
    pub fn bucket(&self) -> Option<&Arc<str>> {
        self.more()?.bucket.as_ref()
    }

    pub fn set_bucket(&mut self, bucket: Option<Arc<str>>) {
        if self.more().is_some() || bucket.is_some() {
            let rest = self.rest.get_or_insert_default();
            rest.more.get_or_insert_default().bucket = bucket;
        }
    }

    pub fn records(&self) -> &[Coordinate] {
        self.more().map_or(&[], |m| &m.records)
    }

    pub fn rows(&self) -> &[Arc<ReferenceRow>] {
        self.more().map_or(&[], |m| &m.rows)
    }

    pub fn origins(&self) -> &[(PolicyIndex, Arc<str>)] {
        self.more().map_or(&[], |m| &m.origins)
    }

    /// The same event by another feeder.
    pub fn merge(&mut self, other: Entry) {
        self.set_feeders(Feeders(self.feeders().0 | other.feeders().0));
        let Some(rest) = other.rest else { return };
        let own = self.rest.get_or_insert_default();
        own.values.merge(rest.values);
        if let Some(more) = rest.more {
            let own = own.more.get_or_insert_default();
            own.origins.extend(more.origins);
            own.origins.sort();
            own.origins.dedup();
            own.records.extend(more.records);
            own.rows.extend(more.rows);
        }
    }

    /// It came by a feeder no more; `true` where it came by no other.
    pub fn forsake(&mut self, c: &Correlation, feeder: usize) -> bool {
        self.set_feeders(Feeders(self.feeders().0 & !Feeders::one(feeder).0));
        if let Some(more) = self.rest.as_mut().and_then(|rest| rest.more.as_mut()) {
            more.origins.retain(|(policy, _)| *policy != c.feeders[feeder].policy);
        }
        self.feeders().0 == 0
    }
}
