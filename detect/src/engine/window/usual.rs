//! What is counted in a window, against what is usual for its group, and against what all its rules' events come to.

use std::collections::HashSet;
use std::ops::Range;

use super::aggregate::aggregate;
use super::{Entry, Group};
use crate::policy::{Correlation, CorrelationKind, Share, Usual};
use crate::sigma::Number;

impl Group {
    /// Whether a count exceeds what is usual at entry `i`.
    pub(super) fn is_unusual(&self, c: &Correlation, usual: Usual, i: usize, counted: Number) -> bool {
        let entry = &self.entries[i];
        if usual.ending_with.is_some_and(|rule| !entry.feeders().has(rule)) {
            return false;
        }
        let t = entry.time();
        let windows = usual.over_ms / c.timespan_ms;
        let before = (1..=windows).filter_map(|n| {
            let until = t.plus_ms(-n.saturating_mul(c.timespan_ms));
            let window = self.between(until.plus_ms(-c.timespan_ms), until);
            (!window.is_empty()).then(|| self.counted_in(c, window)).flatten()
        });
        let before: Vec<Number> = before.collect();
        if before.len() < usual.at_least {
            return false;
        }
        let kind = CorrelationKind::ValuePercentile {
            percentile: usual.percentile,
        };
        aggregate(kind, before.into_iter()).is_some_and(|of| counted.to_f64() > of.to_f64() * usual.times.to_f64())
    }

    /// Whether a count is as large a part as is asked for of what all events of the window of entry `i` come to.
    pub(super) fn is_share(&self, c: &Correlation, share: Share, i: usize, counted: Number) -> bool {
        let (after, until) = Group::window(c, self.entries[i].time());
        let all = self.counted_of(c, self.between(after, until), None);
        all.is_some_and(|all| counted.to_f64() * 100.0 > all.to_f64() * share.percent.to_f64())
    }

    /// What is counted of the entries at these places.
    pub(super) fn counted_in(&self, c: &Correlation, window: Range<usize>) -> Option<Number> {
        self.counted_of(c, window, c.share.map(|share| share.of))
    }

    /// As [`Group::counted_in`], of those that came by one feeder.
    fn counted_of(&self, c: &Correlation, window: Range<usize>, feeder: Option<usize>) -> Option<Number> {
        let came = |e: &&Entry| feeder.is_none_or(|of| e.feeders().has(of));
        let entries = self.entries.range(window.clone()).filter(came);
        match c.kind {
            CorrelationKind::EventCount if feeder.is_none() => Some(Number::Int(window.len() as i128)),
            CorrelationKind::EventCount => Some(Number::Int(entries.count() as i128)),
            CorrelationKind::ValueCount => {
                let values: HashSet<_> = entries.flat_map(|e| e.values().texts()).collect();
                Some(Number::Int(values.len() as i128))
            }
            kind => aggregate(kind, entries.flat_map(|e| e.values().numbers()).copied()),
        }
    }
}
