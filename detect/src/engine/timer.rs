//! What is due when: judgements, and the end of what is kept.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::Millis;

use super::bucket::BucketId;
use super::fact::Order;
use crate::policy::PolicyIndex;

/// What is due. Judgements stand before what is forgotten at the same moment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// A subject's wait is over.
    Subject(PolicyIndex, Arc<str>),
    /// A wait is over in a group of a correlation.
    Window(PolicyIndex, Arc<str>),
    /// An expectation's deadline and wait are over.
    Expectation(PolicyIndex, Arc<str>),
    /// A source may have been silent for too long.
    Silence(PolicyIndex, Arc<str>),
    /// Spans of delays are over.
    Delay(PolicyIndex, Millis),
    /// A member of a bucket is forgotten.
    ForgetMember(BucketId, Order),
    /// Entries of a group of a correlation are forgotten.
    ForgetEntries(PolicyIndex, Arc<str>),
    /// A subject is forgotten.
    ForgetSubject(PolicyIndex, Arc<str>),
    /// Days on which a key was seen are forgotten.
    ForgetDays(PolicyIndex, Arc<str>),
    /// A row's event is forgotten.
    ForgetRow(PolicyIndex, Order),
    /// An expectation that an event opened is forgotten.
    ForgetOpened(PolicyIndex, Arc<str>),
    /// A finding is no event any more that may change.
    ForgetFed(PolicyIndex, Arc<str>),
    /// An expected event is forgotten.
    ForgetExpected(PolicyIndex, Order),
    /// A bucket without members is forgotten, and what was reported of it.
    ForgetBucket(BucketId),
}

/// What is forgotten is forgotten at whole minutes of engine time, so that much goes at once.
const FORGET_MS: i64 = 60_000;

/// Everything that is due, by time.
#[derive(Debug, Default)]
pub(super) struct Timers {
    judge: BTreeSet<(Millis, Due)>,
    forget: BTreeSet<(Millis, Due)>,
}

impl Timers {
    pub fn set(&mut self, at: Millis, due: Due) {
        if due.is_judgement() {
            self.judge.insert((at, due))
        } else {
            self.forget.insert((at, due))
        };
    }

    /// The moment at which what expires at `at` is forgotten.
    pub fn forgotten(at: Millis) -> Millis {
        at.plus_ms((FORGET_MS - at.0.rem_euclid(FORGET_MS)) % FORGET_MS)
    }

    pub fn next_deadline(&self) -> Option<Millis> {
        self.judge.first().map(|(at, _)| *at)
    }

    /// When the first is due, by `to`.
    pub fn next_until(&self, to: Millis) -> Option<Millis> {
        let firsts = [self.judge.first(), self.forget.first()];
        let next = firsts.into_iter().flatten().map(|(at, _)| *at).min();
        next.filter(|at| *at <= to)
    }

    /// Takes the first that is due by `to`; of two at the same moment, judgements first.
    pub fn pop_until(&mut self, to: Millis) -> Option<(Millis, Due)> {
        let judge = self.judge.first().map(|(at, _)| *at);
        let forget = self.forget.first().map(|(at, _)| *at);
        let from = match (judge, forget) {
            (Some(j), Some(f)) if j <= f => &mut self.judge,
            (Some(_), None) => &mut self.judge,
            _ => &mut self.forget,
        };
        if from.first()?.0 > to { None } else { from.pop_first() }
    }
}

impl Due {
    fn is_judgement(&self) -> bool {
        matches!(
            self,
            Due::Subject(..) | Due::Window(..) | Due::Expectation(..) | Due::Silence(..) | Due::Delay(..)
        )
    }
}
