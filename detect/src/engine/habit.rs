//! What a key was seen with, by day.
//!
//! Of each value and day the first event and the time of the last are kept. Only the first event of a day can be new,
//! because what is looked back on is a day or more; and it is new by the days before it alone. So what is new is a
//! function of the set of events, whatever the order in which they came.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::Millis;

use super::fact::{Fact, Order};
use crate::policy::Novelty;
use crate::reference::Found;

/// Milliseconds of a day.
pub(super) const DAY_MS: i64 = 86_400_000;

/// What a rule has seen of one key.
#[derive(Debug)]
pub(super) struct Habit {
    /// The key's first event.
    pub since: Millis,
    /// By value, then by day since the epoch.
    pub values: BTreeMap<Arc<str>, BTreeMap<i64, Day>>,
}

/// A day on which a key was seen with a value.
#[derive(Debug)]
pub(super) struct Day {
    pub first: Order,
    pub last: Millis,
    /// The first event, as long as it may turn out to be new.
    pub held: Option<(Arc<Fact>, Arc<Found>)>,
    /// What it was told with, where it is new.
    pub told: Option<Arc<Found>>,
}

/// What is known of a value as of the first event of a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Before {
    /// Days on which it was seen, as far back as is looked, and as many as make a habit.
    pub days: u32,
    /// When it was last seen before, however long ago, as far as is remembered.
    pub last: Option<Millis>,
}

pub(super) fn day_of(time: Millis) -> i64 {
    time.0.div_euclid(DAY_MS)
}

impl Habit {
    pub fn new(since: Millis) -> Habit {
        Habit {
            since,
            values: BTreeMap::new(),
        }
    }

    /// What was seen before the first event of a day.
    pub fn before(&self, novelty: &Novelty, value: &str, day: i64) -> Option<Before> {
        let days = self.values.get(value)?;
        let start = days.get(&day)?.first.0.plus_ms(-novelty.within_ms);
        let earlier = days.range(..day);
        Some(Before {
            days: earlier
                .clone()
                .rev()
                .take(novelty.days as usize)
                .take_while(|(_, d)| d.last > start)
                .count() as u32,
            last: earlier.clone().next_back().map(|(_, d)| d.last),
        })
    }

    /// Whether the first event of a day is new: its key is known long enough, and its value is not.
    pub fn is_new(&self, novelty: &Novelty, first: Millis, before: Before) -> bool {
        before.days < novelty.days && self.since <= first.plus_ms(-novelty.warm_up_ms)
    }

    /// The days of a value from `day` on that look back on it.
    pub fn looking_back(&self, novelty: &Novelty, value: &str, day: i64) -> Vec<i64> {
        let until = day.saturating_add(novelty.within_ms / DAY_MS + 1);
        let days = self.values.get(value);
        days.into_iter()
            .flat_map(|d| d.range(day..=until))
            .map(|(d, _)| *d)
            .collect()
    }

    /// Days whose first event may still turn out to be new.
    pub fn held(&self) -> Vec<(Arc<str>, i64)> {
        let days = self
            .values
            .iter()
            .flat_map(|(v, days)| days.iter().map(move |d| (v, d)));
        days.filter(|(_, (_, d))| d.held.is_some())
            .map(|(v, (day, _))| (v.clone(), *day))
            .collect()
    }
}
