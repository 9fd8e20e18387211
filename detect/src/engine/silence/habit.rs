//! How often a source speaks, learned from how often it spoke.
//!
//! Of each day (24 hours of engine time, UTC) of the last two weeks the longest pause between two records is kept, by the
//! clock and in working time. A source's cadence is one and a half times the longest of them; once two weeks are known, of
//! the second longest, so that one failure does not make the source's failures a habit. A source that spoke outside of
//! working hours on fewer than half of the days is one that works then: its pauses are measured in working time alone.
//!
//! A pause counts on the day on which it ended. Records of the same moment have no order, and two records within a
//! pause that is not longer than what is known change nothing: so what is learned does not depend on how records of one
//! moment are ordered, nor on how they were cut into batches.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::Millis;
use serde::{Deserialize, Serialize};

use crate::policy::Learn;
use crate::reference::WorkCalendar;

const DAY_MS: i64 = 86_400_000;
const MINUTE_MS: i64 = 60_000;
/// Days that are remembered beside today.
const DAYS_MAX: i64 = 14;
/// Records that make a habit.
const RECORDS_MIN: u64 = 10;

/// When a source spoke, as the state has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Habit {
    pub source: Arc<str>,
    /// Engine time of its first record.
    first: Millis,
    /// Engine time of its last record, or of when Docket began to listen again.
    last: Millis,
    /// Engine time of its last record.
    spoke: Option<Millis>,
    days: BTreeMap<i64, Day>,
}

/// A day of a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Day {
    records: u64,
    /// The longest pause that ended on this day, milliseconds.
    longest_ms: i64,
    /// The longest in working time.
    working_ms: i64,
    /// It spoke outside of working hours.
    outside: bool,
}

impl Habit {
    pub fn new(source: Arc<str>, now: Millis) -> Habit {
        Habit {
            source,
            first: now,
            last: now,
            spoke: None,
            days: BTreeMap::new(),
        }
    }

    /// A record came. Says whether the source may have to be asked for sooner than before.
    pub fn speak(&mut self, now: Millis, calendar: Option<&WorkCalendar>, site: Option<&str>) -> bool {
        let pause = now - self.last;
        let fresh = self.days.is_empty();
        let number = now.0.div_euclid(DAY_MS);
        let mut sooner = !self.days.contains_key(&number) || self.records() < RECORDS_MIN;
        let day = self.days.entry(number).or_default();
        day.records += 1;
        day.longest_ms = day.longest_ms.max(pause);
        if let Some(calendar) = calendar {
            // The working time of a pause is never longer than the pause.
            if pause > day.working_ms {
                day.working_ms = day.working_ms.max(calendar.working_ms(self.last, now, site));
            }
            // Looked at once a minute: it takes a time zone's rules.
            let another = fresh || now.0.div_euclid(MINUTE_MS) != self.last.0.div_euclid(MINUTE_MS);
            if !day.outside && another {
                day.outside = !calendar.is_working(now, site);
                sooner |= day.outside;
            }
        }
        (self.last, self.spoke) = (now, Some(now));
        while let Some(oldest) = self.days.first_entry()
            && *oldest.key() < number - DAYS_MAX
        {
            oldest.remove();
        }
        sooner
    }

    /// It has spoken at this moment.
    pub fn spoke_at(&self, now: Millis) -> bool {
        self.spoke == Some(now)
    }

    /// Nobody listened until now: what was between is no pause of the source's.
    pub fn listen_again(&mut self, now: Millis) {
        self.last = self.last.max(now);
    }

    /// When it will have been listened to for long enough.
    pub fn warm_at(&self, learn: &Learn) -> Millis {
        self.first.plus_ms(learn.warm_up_ms)
    }

    /// How long it may be silent, milliseconds, by the clock or in working time; `None` while too little is known.
    pub fn cadence_ms(&self, learn: &Learn, now: Millis, working: bool) -> Option<i64> {
        if now < self.warm_at(learn) || self.records() < RECORDS_MIN {
            return None;
        }
        let mut pauses: Vec<i64> = self
            .days
            .values()
            .map(|d| if working { d.working_ms } else { d.longest_ms })
            .collect();
        pauses.sort_unstable();
        let last = self.days.last_key_value().map_or(0, |(day, _)| *day);
        let known = last - self.first.0.div_euclid(DAY_MS);
        let skip = usize::from(known >= DAYS_MAX && pauses.len() > 1);
        let longest = pauses.iter().rev().nth(skip).copied().unwrap_or(0);
        let every_ms = longest.saturating_add(longest / 2);
        // In whole seconds, as people read it; never above what the policy allows.
        let every_ms = every_ms.saturating_add(999) / 1000 * 1000;
        Some(every_ms.clamp(learn.at_least_ms, learn.at_most_ms))
    }

    fn records(&self) -> u64 {
        self.days.values().map(|d| d.records).sum()
    }

    /// Of the days that it is known, it spoke outside of working hours on fewer than half.
    pub fn works_in_working_hours(&self) -> bool {
        let Some((last, _)) = self.days.last_key_value() else {
            return false;
        };
        let known = (last - self.first.0.div_euclid(DAY_MS)).min(DAYS_MAX) + 1;
        let outside = self.days.values().filter(|d| d.outside).count() as i64;
        outside * 2 < known
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::reference::Tables;

    const HOUR_MS: i64 = 3_600_000;

    fn tables() -> Tables {
        let mut tables = Tables::default();
        let calendar = json!([{"tz": "UTC", "hours": ["09:00", "17:00"]}]);
        tables.load("work_calendar", calendar.to_string().as_bytes()).unwrap();
        tables
    }

    fn habit(times: impl IntoIterator<Item = i64>) -> Habit {
        let tables = tables();
        let mut times = times.into_iter();
        let mut habit = Habit::new("s".into(), Millis(times.next().unwrap()));
        for at in times {
            habit.speak(Millis(at), tables.calendar(), None);
        }
        habit
    }

    fn told(habit: &Habit, days: i64) -> Option<(i64, bool)> {
        let working = habit.works_in_working_hours();
        let every_ms = habit.cadence_ms(&Learn::default(), Millis(days * DAY_MS), working)?;
        Some((every_ms / 60_000, working))
    }

    #[test]
    fn one_that_always_speaks_has_a_short_cadence_and_one_that_works_by_day_is_measured_by_day() {
        // Every 20 minutes.
        let always = habit((0..72 * 4).map(|n| n * HOUR_MS / 3));
        assert_eq!(told(&always, 4), Some((30, false)));
        // Every 20 minutes from 9 to 17, Monday 1970-01-05 to Thursday; the pauses of the nights do not count.
        let by_day = habit((4..8).flat_map(|d| (0..24).map(move |n| d * DAY_MS + 9 * HOUR_MS + n * HOUR_MS / 3)));
        assert_eq!(told(&by_day, 8), Some((30, true)));
        // Overtime on one day of four.
        let mut times: Vec<i64> = (4..8)
            .flat_map(|d| (0..24).map(move |n| d * DAY_MS + 9 * HOUR_MS + n * HOUR_MS / 3))
            .collect();
        times.push(5 * DAY_MS + 21 * HOUR_MS);
        times.sort_unstable();
        assert_eq!(told(&habit(times), 8), Some((30, true)));
    }

    #[test]
    fn too_little_is_no_habit() {
        assert_eq!(told(&habit((0..100).map(|n| n * 60_000)), 1), None, "a day");
        assert_eq!(told(&habit((0..5).map(|n| n * DAY_MS)), 6), None, "five records");
    }

    #[test]
    fn bounds_hold_and_one_outage_of_two_weeks_is_no_habit() {
        assert_eq!(told(&habit((0..5000).map(|n| n * 60_000)), 4), Some((15, false)));
        let hourly = (0..24 * 16).map(|n| n * HOUR_MS);
        let outage = hourly.clone().filter(|at| !(100 * HOUR_MS..130 * HOUR_MS).contains(at));
        assert_eq!(told(&habit(outage), 16), Some((90, false)));
        let hourly = habit(hourly);
        assert_eq!(told(&hourly, 16), Some((90, false)));
        let impatient = Learn {
            at_most_ms: 1_200_000,
            ..Learn::default()
        };
        assert_eq!(
            hourly.cadence_ms(&impatient, Millis(16 * DAY_MS), false),
            Some(1_200_000)
        );
    }

    #[test]
    fn what_nobody_heard_is_no_pause() {
        let mut habit = habit((0..72 * 4).map(|n| n * HOUR_MS / 3));
        let before = habit.cadence_ms(&Learn::default(), Millis(4 * DAY_MS), false);
        habit.listen_again(Millis(6 * DAY_MS));
        habit.speak(Millis(6 * DAY_MS + 60_000), tables().calendar(), None);
        assert_eq!(
            habit.cadence_ms(&Learn::default(), Millis(6 * DAY_MS + 60_000), false),
            before
        );
    }

    proptest! {
        /// As computed from the whole history: the pauses between different moments, by day.
        #[test]
        fn as_the_plain_version_learns(steps in prop::collection::vec(0i64..8 * HOUR_MS, 12..200), split in 0usize..200) {
            let mut at = 0;
            let times: Vec<i64> = steps.iter().map(|s| { at += s; at }).collect();
            let learned = habit(times.clone());
            let now = Millis(at);
            let newest = at.div_euclid(DAY_MS);
            let mut by_day: BTreeMap<i64, i64> = BTreeMap::new();
            for pair in times.windows(2) {
                let day = by_day.entry(pair[1].div_euclid(DAY_MS)).or_default();
                *day = (*day).max(pair[1] - pair[0]);
            }
            by_day.retain(|day, _| *day >= newest - DAYS_MAX);
            let mut pauses: Vec<i64> = by_day.values().copied().collect();
            pauses.sort_unstable();
            let skip = usize::from(newest - times[0].div_euclid(DAY_MS) >= DAYS_MAX && pauses.len() > 1);
            let longest = pauses[pauses.len() - 1 - skip];
            let learn = Learn { warm_up_ms: 0, at_least_ms: 1000, at_most_ms: i64::MAX };
            prop_assert_eq!(learned.cadence_ms(&learn, now, false), Some(((longest + longest / 2 + 999) / 1000 * 1000).max(1000)));
            // Written, read and gone on with, it is the same.
            let split = split.min(times.len() - 1).max(1);
            let first = habit(times[..split].to_vec());
            let mut second: Habit = serde_json::from_value(serde_json::to_value(&first).unwrap()).unwrap();
            let tables = tables();
            times[split..].iter().for_each(|t| { second.speak(Millis(*t), tables.calendar(), None); });
            prop_assert_eq!(second, learned);
        }
    }
}
