//! An event in a group of a correlation.

use std::sync::Arc;

use model::{Coordinate, Millis, ReferenceRow};
use smallvec::SmallVec;

use super::super::bucket::BucketId;
use super::super::fact::{Fact, Order};
use crate::policy::{Correlation, CorrelationKind, PolicyIndex};
use crate::sigma::Number;

/// An event in a group.
#[derive(Debug)]
pub(in super::super) struct Entry {
    pub fact: Arc<Fact>,
    /// The event's time, which is asked more often than all else.
    time: Millis,
    /// Which feeders it came by, in order.
    pub feeders: SmallVec<[u8; 8]>,
    /// What is counted or added up.
    pub values: Values,
    /// What most events do not have.
    pub more: Option<Box<More>>,
    /// Distinct values of its window (`value_count` only).
    pub distinct: u32,
    /// A window opens with it.
    pub opens: bool,
    /// The window that is judged with it satisfies the condition.
    pub complete: bool,
    /// Where it is a member, while it is complete.
    pub bucket: Option<BucketId>,
}

/// What is counted or added up of an event.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) enum Values {
    /// Nothing: events and rules are counted.
    None,
    /// Distinct texts.
    Texts(SmallVec<[Arc<str>; 1]>),
    /// Numbers.
    Numbers(Vec<Number>),
}

/// What most events of a group do not have.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in super::super) struct More {
    /// Records and rows that its rule's joins found.
    pub records: Vec<Coordinate>,
    pub rows: Vec<ReferenceRow>,
    /// Of a chained correlation: the groups whose windows the event completed, in order.
    pub origins: Vec<(PolicyIndex, Arc<str>)>,
}

impl More {
    fn is_empty(&self) -> bool {
        self.records.is_empty() && self.rows.is_empty() && self.origins.is_empty()
    }

    /// `None` where there is nothing.
    pub fn boxed(self) -> Option<Box<More>> {
        (!self.is_empty()).then(|| Box::new(self))
    }
}

impl Values {
    /// The values as the correlation takes them. Those that are no numbers are not added up.
    pub fn new(kind: CorrelationKind, texts: impl IntoIterator<Item = Arc<str>>) -> Values {
        match kind {
            CorrelationKind::EventCount | CorrelationKind::Temporal | CorrelationKind::TemporalOrdered => Values::None,
            CorrelationKind::ValueCount => {
                let mut texts: SmallVec<[Arc<str>; 1]> = texts.into_iter().collect();
                texts.sort();
                texts.dedup();
                Values::Texts(texts)
            }
            _ => Values::Numbers(texts.into_iter().filter_map(|t| Number::parse(&t)).collect()),
        }
    }

    pub fn texts(&self) -> &[Arc<str>] {
        match self {
            Values::Texts(texts) => texts,
            _ => &[],
        }
    }

    pub fn numbers(&self) -> &[Number] {
        match self {
            Values::Numbers(numbers) => numbers,
            _ => &[],
        }
    }
}

impl Entry {
    pub fn new(c: &Correlation, fact: Arc<Fact>, feeder: usize, texts: impl IntoIterator<Item = Arc<str>>) -> Entry {
        Entry {
            time: fact.time,
            fact,
            // `FEEDERS_MAX` is far below 256.
            feeders: SmallVec::from_slice(&[feeder as u8]),
            values: Values::new(c.kind, texts),
            more: None,
            distinct: 0,
            opens: false,
            complete: false,
            bucket: None,
        }
    }

    /// The feeder by which it came first.
    pub fn feeder(&self) -> usize {
        self.feeders.first().copied().map_or(0, usize::from)
    }

    pub fn time(&self) -> Millis {
        self.time
    }

    pub fn order(&self) -> Order {
        self.fact.order()
    }

    pub fn records(&self) -> &[Coordinate] {
        self.more.as_ref().map_or(&[], |m| &m.records)
    }

    pub fn rows(&self) -> &[ReferenceRow] {
        self.more.as_ref().map_or(&[], |m| &m.rows)
    }

    pub fn origins(&self) -> &[(PolicyIndex, Arc<str>)] {
        self.more.as_ref().map_or(&[], |m| &m.origins)
    }

    /// The same event by another feeder.
    pub fn merge(&mut self, other: Entry) {
        self.feeders.extend(other.feeders);
        self.feeders.sort_unstable();
        self.feeders.dedup();
        match (&mut self.values, other.values) {
            (Values::Texts(own), Values::Texts(texts)) => {
                own.extend(texts);
                own.sort();
                own.dedup();
            }
            // An event's field is its field by whichever rule it came: it is added up once. Where rules read different
            // fields (aliases), the first that has numbers counts.
            (Values::Numbers(own), Values::Numbers(numbers)) if own.is_empty() => *own = numbers,
            _ => {}
        }
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
        self.feeders.retain(|f| usize::from(*f) != feeder);
        if let Some(more) = &mut self.more {
            more.origins.retain(|(policy, _)| *policy != c.feeders[feeder].policy);
        }
        self.feeders.is_empty()
    }
}
