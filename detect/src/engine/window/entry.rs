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
    /// What most events do not have.
    pub more: Option<Box<More>>,
    /// What is counted or added up.
    pub values: Values,
    /// Which feeders it came by.
    pub feeders: Feeders,
    /// Distinct values of its window (`value_count` only).
    pub distinct: u32,
    /// A window opens with it.
    pub opens: bool,
    /// The window that is judged with it satisfies the condition.
    pub complete: bool,
}

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
pub(in super::super) struct Values(Option<Box<Counted>>);

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

    /// `None` where there is nothing.
    pub fn boxed(self) -> Option<Box<More>> {
        (!self.is_empty()).then(|| Box::new(self))
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
        Values(Some(Box::new(counted)))
    }

    pub fn texts(&self) -> &[Arc<str>] {
        match self.0.as_deref() {
            Some(Counted::Texts(texts)) => texts,
            _ => &[],
        }
    }

    pub fn numbers(&self) -> &[Number] {
        match self.0.as_deref() {
            Some(Counted::Numbers(numbers)) => numbers,
            _ => &[],
        }
    }

    fn merge(&mut self, other: Values) {
        match (self.0.as_deref_mut(), other.0.map(|b| *b)) {
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
        Entry {
            kept,
            feeders: Feeders::one(feeder),
            values: Values::new(c.kind, texts),
            more: None,
            distinct: 0,
            opens: false,
            complete: false,
        }
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
        self.feeders.iter().next().unwrap_or(0)
    }

    pub fn time(&self) -> Millis {
        self.kept.time()
    }

    pub fn order(&self) -> Order {
        self.kept.order()
    }

    /// The finding of which it is a member, while it is complete.
    pub fn bucket(&self) -> Option<&Arc<str>> {
        self.more.as_ref()?.bucket.as_ref()
    }

    pub fn set_bucket(&mut self, bucket: Option<Arc<str>>) {
        if self.more.is_some() || bucket.is_some() {
            self.more.get_or_insert_default().bucket = bucket;
        }
    }

    pub fn records(&self) -> &[Coordinate] {
        self.more.as_ref().map_or(&[], |m| &m.records)
    }

    pub fn rows(&self) -> &[Arc<ReferenceRow>] {
        self.more.as_ref().map_or(&[], |m| &m.rows)
    }

    pub fn origins(&self) -> &[(PolicyIndex, Arc<str>)] {
        self.more.as_ref().map_or(&[], |m| &m.origins)
    }

    /// The same event by another feeder.
    pub fn merge(&mut self, other: Entry) {
        self.feeders.0 |= other.feeders.0;
        self.values.merge(other.values);
        if let Some(more) = other.more {
            let own = self.more.get_or_insert_default();
            own.origins.extend(more.origins);
            own.origins.sort();
            own.origins.dedup();
            own.records.extend(more.records);
            own.rows.extend(more.rows);
        }
    }

    /// It came by a feeder no more; `true` where it came by no other.
    pub fn forsake(&mut self, c: &Correlation, feeder: usize) -> bool {
        self.feeders.0 &= !Feeders::one(feeder).0;
        if let Some(more) = &mut self.more {
            more.origins.retain(|(policy, _)| *policy != c.feeders[feeder].policy);
        }
        self.feeders.0 == 0
    }
}
