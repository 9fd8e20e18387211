//! What is due when: judgements, and the end of what is kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::Millis;
use smallvec::SmallVec;

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
    /// A run of the numbers of a log may be judged.
    Sequence(PolicyIndex, Arc<str>, i64),
    /// The part that a rule's events are of a source's may be judged, of a span.
    Portion(PolicyIndex, Arc<str>, i64),
    /// A member of a bucket is forgotten.
    ForgetMember(BucketId, Order),
    /// Entries of a group of a correlation are forgotten.
    ForgetEntries(PolicyIndex, Arc<str>),
    /// Subjects are forgotten.
    ForgetSubjects(PolicyIndex),
    /// Days on which a key was seen are forgotten.
    ForgetDays(PolicyIndex, Arc<str>),
    /// Runs of the numbers of a log are forgotten.
    ForgetRuns(PolicyIndex, Arc<str>),
    /// What is counted of a source in a span is forgotten.
    ForgetPortion(PolicyIndex, Arc<str>, i64),
    /// Events of a table are forgotten.
    ForgetRows(PolicyIndex),
    /// An expectation that an event opened is forgotten.
    ForgetOpened(PolicyIndex, Arc<str>),
    /// A finding is no event any more that may change.
    ForgetFed(PolicyIndex, Arc<str>),
    /// Expected events are forgotten.
    ForgetExpected(PolicyIndex),
    /// A bucket without members is forgotten, and what was reported of it.
    ForgetBucket(BucketId),
}

/// What is forgotten is forgotten at whole minutes of engine time, so that much goes at once.
const FORGET_MS: i64 = 60_000;

/// Everything that is due, by time.
#[derive(Debug, Default)]
pub(super) struct Timers {
    judge: Slots,
    forget: Slots,
}

/// What is due, by time; at one moment in the order of [`Due`], each once.
#[derive(Debug, Default)]
struct Slots {
    slots: BTreeMap<Millis, Slot>,
    /// When the first is due: that nothing is costs one look.
    next: Option<Millis>,
}

/// What is due at one moment, the last first once it is `sorted`: thousands are forgotten at the same, and need no order before.
#[derive(Debug, Default)]
struct Slot {
    dues: SmallVec<[Due; 1]>,
    sorted: bool,
    /// How many there were when they were sorted last.
    distinct: usize,
}

/// So many more than were there before may be twice there.
const SLOT_TWICE: usize = 64;

impl Slot {
    fn sort(&mut self) {
        self.dues.sort_unstable_by(|a, b| b.cmp(a));
        self.dues.dedup();
        self.distinct = self.dues.len();
        self.sorted = true;
    }
}

impl Slots {
    fn set(&mut self, at: Millis, due: Due) {
        if self.next.is_none_or(|next| at < next) {
            self.next = Some(at);
        }
        let slot = self.slots.entry(at).or_default();
        slot.dues.push(due);
        slot.sorted = slot.dues.len() == 1;
        if slot.dues.len() > 2 * slot.distinct + SLOT_TWICE {
            slot.sort();
        }
    }

    fn next(&self) -> Option<Millis> {
        self.next
    }

    fn peek(&mut self) -> Option<(Millis, &Due)> {
        let (at, slot) = self.slots.iter_mut().next()?;
        if !slot.sorted {
            slot.sort();
        }
        Some((*at, slot.dues.last()?))
    }

    fn pop(&mut self) -> Option<(Millis, Due)> {
        let mut first = self.slots.first_entry()?;
        let at = *first.key();
        let slot = first.get_mut();
        if !slot.sorted {
            slot.sort();
        }
        let due = slot.dues.pop();
        if slot.dues.is_empty() {
            first.remove();
            self.next = self.slots.first_key_value().map(|(at, _)| *at);
        }
        // No slot is empty.
        Some((at, due?))
    }
}

impl Timers {
    pub fn set(&mut self, at: Millis, due: Due) {
        if due.is_judgement() {
            self.judge.set(at, due);
        } else {
            self.forget.set(at, due);
        }
    }

    /// The moment at which what expires at `at` is forgotten.
    pub fn forgotten(at: Millis) -> Millis {
        at.plus_ms((FORGET_MS - at.0.rem_euclid(FORGET_MS)) % FORGET_MS)
    }

    pub fn next_deadline(&self) -> Option<Millis> {
        self.judge.next()
    }

    /// What is due first, by `to`, and when; of two at the same moment, judgements first.
    pub fn peek_until(&mut self, to: Millis) -> Option<(Millis, &Due)> {
        self.first_until(to)?.peek()
    }

    /// Takes what [`Timers::peek_until`] tells.
    pub fn pop_until(&mut self, to: Millis) -> Option<(Millis, Due)> {
        self.first_until(to)?.pop()
    }

    fn first_until(&mut self, to: Millis) -> Option<&mut Slots> {
        let (at, slots) = match (self.judge.next, self.forget.next) {
            (Some(j), Some(f)) if j <= f => (j, &mut self.judge),
            (Some(j), None) => (j, &mut self.judge),
            (_, Some(f)) => (f, &mut self.forget),
            (None, None) => return None,
        };
        (at <= to).then_some(slots)
    }
}

impl Due {
    /// Of which policy it is.
    pub fn policy(&self) -> PolicyIndex {
        match self {
            Due::Subject(policy, _)
            | Due::Window(policy, _)
            | Due::Expectation(policy, _)
            | Due::Silence(policy, _)
            | Due::Delay(policy, _)
            | Due::Sequence(policy, ..)
            | Due::Portion(policy, ..)
            | Due::ForgetMember((policy, _), _)
            | Due::ForgetEntries(policy, _)
            | Due::ForgetSubjects(policy)
            | Due::ForgetDays(policy, _)
            | Due::ForgetRuns(policy, _)
            | Due::ForgetPortion(policy, ..)
            | Due::ForgetRows(policy)
            | Due::ForgetOpened(policy, _)
            | Due::ForgetFed(policy, _)
            | Due::ForgetExpected(policy)
            | Due::ForgetBucket((policy, _)) => *policy,
        }
    }

    fn is_judgement(&self) -> bool {
        matches!(
            self,
            Due::Subject(..)
                | Due::Window(..)
                | Due::Expectation(..)
                | Due::Silence(..)
                | Due::Delay(..)
                | Due::Sequence(..)
                | Due::Portion(..)
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// As of a set in order.
        #[test]
        fn what_is_due_comes_in_order_each_once(steps in prop::collection::vec((0i64..3, 0u32..60, any::<bool>()), 1..400)) {
            let (mut slots, mut plain) = (Slots::default(), BTreeSet::new());
            for (at, policy, pops) in steps {
                if pops {
                    prop_assert_eq!(slots.next(), plain.first().map(|(at, _)| *at));
                    prop_assert_eq!(slots.pop(), plain.pop_first());
                }
                let due = Due::ForgetSubjects(PolicyIndex(policy));
                slots.set(Millis(at), due.clone());
                plain.insert((Millis(at), due));
            }
            while let Some(next) = plain.pop_first() {
                prop_assert_eq!(slots.pop(), Some(next));
            }
            prop_assert_eq!(slots.pop(), None);
        }
    }
}
