//! How much working time lies between two moments, and when so much of it has gone by.

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use model::Millis;

use super::{Site, WorkCalendar};

/// Days that are looked back over; of a longer span the last ones count.
const BACK_DAYS_MAX: i64 = 400;
/// Days that are looked ahead over: longer than any holidays, and short enough that a calendar that says nothing of the
/// days ahead does not keep a deadline away for ever.
const AHEAD_DAYS_MAX: i64 = 16;
const DAY_MS: i64 = 86_400_000;

impl WorkCalendar {
    /// Milliseconds of working time in `from..to`, at `site` where the calendar knows it; of the last 400 days at most.
    #[must_use]
    pub fn working_ms(&self, from: Millis, to: Millis, site: Option<&str>) -> i64 {
        let from = from.max(to.plus_ms(-BACK_DAYS_MAX * DAY_MS));
        let mut sum = 0;
        self.each_span(from, to, site, &mut |start, end| {
            sum += end - start;
            true
        });
        sum
    }

    /// The moment at which `ms` of working time have gone by since `from`; 16 days after it at the latest.
    #[must_use]
    pub fn after_working(&self, from: Millis, ms: i64, site: Option<&str>) -> Millis {
        let latest = from.plus_ms(AHEAD_DAYS_MAX * DAY_MS);
        let (mut left, mut at) = (ms.max(0), latest);
        self.each_span(from, latest, site, &mut |start, end| {
            if end - start >= left {
                at = start.plus_ms(left);
                return false;
            }
            left -= end - start;
            true
        });
        at
    }

    /// When the working days end that a site lists, where one lists them: the earliest of the sites' ends.
    #[must_use]
    pub fn listed_until(&self) -> Option<Millis> {
        let ends = self.sites.values().filter_map(|site| {
            let last = *site.days.as_ref()?.last()?;
            moment(last.tomorrow().ok()?, Time::midnight(), &site.zone)
        });
        ends.min()
    }

    /// Calls `each` with the spans of working time within `from..to`, in order and apart, while it says `true`.
    fn each_span(&self, from: Millis, to: Millis, site: Option<&str>, each: &mut dyn FnMut(Millis, Millis) -> bool) {
        let (Some(site), true) = (self.site(site), from < to) else {
            return;
        };
        let Ok(at) = jiff::Timestamp::from_millisecond(from.0.clamp(Millis::MIN.0, Millis::MAX.0)) else {
            return;
        };
        let Ok(mut day) = at.to_zoned(site.zone.clone()).date().yesterday() else {
            return;
        };
        let mut done = from;
        while let Some((start, end, over)) = site.span_of(day) {
            if start >= to {
                return;
            }
            let (start, end) = (start.max(done), end.min(to));
            if start < end {
                done = end;
                if !each(start, end) {
                    return;
                }
            }
            let Ok(next) = day.tomorrow() else { return };
            day = next;
            if over >= to {
                return;
            }
        }
    }
}

impl Site {
    /// The working time that begins on a day (an empty one at its start where there is none), and when the day is over.
    fn span_of(&self, day: Date) -> Option<(Millis, Millis, Millis)> {
        let over = moment(day.tomorrow().ok()?, Time::midnight(), &self.zone)?;
        let Some((from, to)) = self.hours_of(day) else {
            let start = moment(day, Time::midnight(), &self.zone)?;
            return Some((start, start, over));
        };
        let start = moment(day, from, &self.zone)?;
        let end = if to == Time::MAX {
            over
        } else if from <= to {
            moment(day, to, &self.zone)?
        } else {
            moment(day.tomorrow().ok()?, to, &self.zone)?
        };
        Some((start, end, over))
    }
}

fn moment(day: Date, time: Time, zone: &TimeZone) -> Option<Millis> {
    let at = zone.to_ambiguous_timestamp(day.to_datetime(time)).compatible().ok()?;
    Some(Millis(at.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn calendar(rows: Value) -> WorkCalendar {
        let rows = rows.as_array().cloned().unwrap_or_else(|| vec![rows.clone()]);
        WorkCalendar::parse(&rows.into_iter().map(Arc::new).collect::<Vec<_>>()).unwrap()
    }

    fn at(text: &str) -> Millis {
        Millis::parse(text).unwrap()
    }

    #[test]
    fn nights_and_days_off_do_not_count() {
        let c = calendar(json!([{"tz": "Asia/Shanghai", "hours": ["09:00", "18:30"]},
            {"date": "2026-03-04", "working_day": false}]));
        for (from, hours, to) in [
            ("2026-03-02T10:00:00+08:00", 1, "2026-03-02T11:00:00+08:00"),
            ("2026-03-02T18:00:00+08:00", 1, "2026-03-03T09:30:00+08:00"),
            ("2026-03-03T18:00:00+08:00", 1, "2026-03-05T09:30:00+08:00"),
            ("2026-03-06T18:00:00+08:00", 1, "2026-03-09T09:30:00+08:00"),
            ("2026-03-07T12:00:00+08:00", 2, "2026-03-09T11:00:00+08:00"),
        ] {
            let (from, to) = (at(from), at(to));
            assert_eq!(c.after_working(from, hours * 3_600_000, None), to, "{from}");
            assert_eq!(c.working_ms(from, to, None), hours * 3_600_000, "{from}");
        }
    }

    #[test]
    fn hours_past_midnight_belong_to_the_day_they_began() {
        let c = calendar(json!({"tz": "Asia/Shanghai", "hours": ["22:00", "06:00"]}));
        let (friday, monday) = (at("2026-03-06T23:00:00+08:00"), at("2026-03-09T23:00:00+08:00"));
        assert_eq!(c.working_ms(friday, monday, None), 8 * 3_600_000);
        assert_eq!(c.after_working(friday, 8 * 3_600_000, None), monday);
    }

    #[test]
    fn a_calendar_that_has_ended_keeps_nothing_away_for_ever() {
        let c = calendar(json!({"tz": "UTC", "hours": ["09:00", "17:00"], "working_days": ["2026-03-02"]}));
        let from = at("2026-03-02T16:00:00Z");
        assert_eq!(c.after_working(from, 2 * 3_600_000, None), from.plus_ms(16 * DAY_MS));
        for end in [i64::MIN, i64::MAX] {
            let _ = (
                c.working_ms(Millis(end), from, None),
                c.after_working(Millis(end), 1, None),
            );
        }
    }

    proptest! {
        /// As counted minute by minute.
        #[test]
        fn as_counted_by_the_minute(start in 0i64..20_000, minutes in 0i64..8_000, night in any::<bool>(), zone in prop::sample::select(vec!["Asia/Shanghai", "America/New_York", "UTC"])) {
            let hours = if night { json!(["21:00", "05:30"]) } else { json!(["09:00", "18:30"]) };
            let c = calendar(json!([{"tz": zone, "hours": hours}, {"date": "2026-03-11", "working_day": false}]));
            // About the change to summer time in New York, 2026-03-08.
            let from = at("2026-03-01T00:00:00Z").plus_ms(start * 60_000);
            let to = from.plus_ms(minutes * 60_000);
            let plain = (0..minutes).filter(|m| c.is_working(from.plus_ms(m * 60_000), None)).count() as i64 * 60_000;
            prop_assert_eq!(c.working_ms(from, to, None), plain);
            if plain > 0 {
                let end = c.after_working(from, plain, None);
                prop_assert!(end <= to);
                prop_assert_eq!(c.working_ms(from, end, None), plain);
            }
        }
    }
}
