//! For which times of an event its joins find what they found: as long as no moment that its time was compared with lies between.

use std::cell::Cell;
use std::sync::Arc;

use model::Millis;

use super::scope::EventValues;
use crate::policy::EventField;

/// Times that are further from now than this are added to nothing here.
const FAR_MS: i64 = 1 << 60;

/// An event of whose time is noted what was made of it.
pub struct Spanned<'a> {
    event: &'a dyn EventValues,
    /// From when, and before when, all comparisons come out the same.
    span: Cell<(Millis, Millis)>,
    /// More was made of its times than comparisons.
    other: Cell<bool>,
}

impl<'a> Spanned<'a> {
    /// An event of which nothing was read yet.
    #[must_use]
    pub fn new(event: &'a dyn EventValues) -> Spanned<'a> {
        Spanned {
            event,
            span: Cell::new((Millis(i64::MIN), Millis(i64::MAX))),
            other: Cell::new(!(-FAR_MS..FAR_MS).contains(&event.time().0)),
        }
    }

    /// The first time, and the first behind the last, at which an event of the same values has the same said of it; `None`
    /// where that is not known.
    #[must_use]
    pub fn span(&self) -> Option<(Millis, Millis)> {
        (!self.other.get()).then(|| self.span.get())
    }
}

impl EventValues for Spanned<'_> {
    fn time(&self) -> Millis {
        self.other.set(true);
        self.event.time()
    }
    fn received_at(&self) -> Millis {
        self.other.set(true);
        self.event.received_at()
    }
    fn values(&self, field: &EventField) -> &[Arc<str>] {
        self.event.values(field)
    }
    fn compared_time(&self) -> Millis {
        self.event.time()
    }
    fn same_between(&self, from: Millis, until: Millis) {
        let (first, last) = self.span.get();
        self.span.set((first.max(from), last.min(until)));
    }
    fn same_beside(&self, moment: Millis, offset_ms: i64) {
        if !(-FAR_MS..FAR_MS).contains(&moment.0) || !(-FAR_MS..FAR_MS).contains(&offset_ms) {
            self.other.set(true);
            return;
        }
        let (time, moment) = (self.event.time(), Millis(moment.0 - offset_ms));
        match time.cmp(&moment) {
            std::cmp::Ordering::Less => self.same_between(Millis(i64::MIN), moment),
            std::cmp::Ordering::Equal => self.same_between(moment, moment.plus_ms(1)),
            std::cmp::Ordering::Greater => self.same_between(moment.plus_ms(1), Millis(i64::MAX)),
        }
    }
}
