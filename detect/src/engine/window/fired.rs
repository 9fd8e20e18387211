//! Which rules of a `temporal` correlation fired when.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::Millis;
use smallvec::SmallVec;

use super::super::fact::Order;
use super::entry::{Entry, Feeders};
use crate::policy::{Correlation, Expression};

/// The events of each feeder.
#[derive(Debug, Default)]
pub(super) struct Fired {
    by_feeder: Vec<BTreeSet<Order>>,
}

impl Fired {
    pub fn enter(&mut self, entry: &Entry) {
        for feeder in entry.feeders().iter() {
            if self.by_feeder.len() <= feeder {
                self.by_feeder.resize_with(feeder + 1, BTreeSet::new);
            }
            self.by_feeder[feeder].insert(entry.order());
        }
    }

    pub fn leave(&mut self, order: &Order, feeders: Feeders) {
        for feeder in feeders.iter() {
            if let Some(events) = self.by_feeder.get_mut(feeder) {
                events.remove(order);
            }
        }
    }

    /// Whether a feeder fired in the window that ends at `t`.
    pub fn in_window(&self, c: &Correlation, t: Millis, feeder: usize) -> bool {
        // No uid is less than the empty text, so this is everything up to and with `t`.
        let last = self
            .by_feeder
            .get(feeder)
            .and_then(|events| events.range(..(t.plus_ms(1), Arc::from(""))).next_back());
        last.is_some_and(|(time, _)| *time > t.plus_ms(-c.timespan_ms))
    }

    pub fn expression(&self, c: &Correlation, t: Millis, expression: &Expression) -> bool {
        match expression {
            Expression::Fired(feeder) => self.in_window(c, t, *feeder),
            Expression::All(all) => all.iter().all(|e| self.expression(c, t, e)),
            Expression::Any(any) => any.iter().any(|e| self.expression(c, t, e)),
            Expression::Not(e) => !self.expression(c, t, e),
        }
    }

    /// Goes back from the last rule's event to the latest event of the rule before it, and so on: where there is
    /// a sequence, the latest one is found. No event stands for two rules.
    pub fn ends_sequence(&self, c: &Correlation, last: &Entry) -> bool {
        if last.feeders().last() != Some(c.feeders.len() - 1) {
            return false;
        }
        let start = last.time().plus_ms(-c.timespan_ms);
        let mut used: SmallVec<[Order; 4]> = SmallVec::new();
        used.push(last.order());
        for feeder in (0..c.feeders.len() - 1).rev() {
            let until = used[used.len() - 1].0;
            let Some(events) = self.by_feeder.get(feeder) else {
                return false;
            };
            let mut earlier = events.range(..(until.plus_ms(1), Arc::from(""))).rev();
            match earlier.find(|order| !used.contains(order)) {
                Some(order) if order.0 > start => used.push(order.clone()),
                _ => return false,
            }
        }
        true
    }
}
