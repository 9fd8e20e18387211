//! Working time: the table `work_calendar`.
//!
//! A row is `{"tz", "hours": [from, to], "working_days": [date, …]}`, or a day of a site,
//! `{"date", "working_day": true, "hours", "site", "tz"}`. A row with `site` speaks for that site alone, one
//! without for all. Where a site has no list of days, Monday to Friday are working days.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use model::Millis;
use serde_json::Value;

use super::cell::{each_value, scalar, value_at};

mod spans;

/// The calendar does not say when work is. Its author has to mend it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("row {row} (from 0): `{column}` is `{given}`; give {allowed}")]
pub struct CalendarError {
    /// Which row, from 0.
    pub row: usize,
    /// Which column.
    pub column: &'static str,
    /// What was given.
    pub given: String,
    /// What is allowed.
    pub allowed: &'static str,
}

/// When people work, by site.
#[derive(Clone, Debug)]
pub struct WorkCalendar {
    zone: TimeZone,
    /// Under the empty name: for every site that is not named.
    sites: BTreeMap<String, Site>,
}

#[derive(Clone, Debug)]
struct Site {
    zone: TimeZone,
    hours: (Time, Time),
    /// `None`: Monday to Friday.
    days: Option<BTreeSet<Date>>,
    /// Days that a row of their own describes.
    dated: BTreeMap<Date, Option<(Time, Time)>>,
}

impl WorkCalendar {
    pub(super) fn parse(rows: &[Arc<Value>]) -> Result<WorkCalendar, CalendarError> {
        let mut calendar = WorkCalendar {
            zone: TimeZone::UTC,
            sites: BTreeMap::new(),
        };
        let mut named_zone = None;
        for (n, row) in rows.iter().enumerate() {
            calendar.row(n, row, &mut named_zone)?;
        }
        calendar.zone = named_zone.unwrap_or(TimeZone::UTC);
        Ok(calendar)
    }

    /// Whether a day is a working day of the sites that have no list of their own.
    pub(super) fn works_on(&self, day: Date) -> bool {
        let Some(site) = self.sites.get("") else {
            return is_weekday(day);
        };
        match (site.dated.get(&day), &site.days) {
            (Some(hours), _) => hours.is_some(),
            (None, Some(days)) => days.contains(&day),
            (None, None) => is_weekday(day),
        }
    }

    fn row(&mut self, n: usize, row: &Value, named_zone: &mut Option<TimeZone>) -> Result<(), CalendarError> {
        let text = |column| value_at(row, column).filter(|v| !v.is_null()).map(scalar);
        let wrong = |column, given: &str, allowed| CalendarError {
            row: n,
            column,
            given: given.chars().take(80).collect(),
            allowed,
        };
        let tz = text("tz").or_else(|| text("timezone"));
        let zone = match &tz {
            None => None,
            Some(tz) => {
                let zone = TimeZone::get(tz).map_err(|_| wrong("tz", tz, "an IANA time zone, `Asia/Shanghai`"))?;
                named_zone.get_or_insert_with(|| zone.clone());
                Some(zone)
            }
        };
        let hours =
            hours(row).map_err(|given| wrong("hours", &given, "two times of the day, [\"09:00\", \"18:30\"]"))?;
        let mut sites = Vec::new();
        each_value(row, "site", &mut |v| sites.push(scalar(v).into_owned()));
        if sites.is_empty() {
            sites.push(String::new());
        }
        let mut days = value_at(row, "working_days")
            .filter(|v| v.is_array())
            .map(|_| BTreeSet::new());
        if let Some(days) = &mut days {
            let mut bad = None;
            each_value(row, "working_days", &mut |v| match scalar(v).parse::<Date>() {
                Ok(day) => drop(days.insert(day)),
                Err(_) => bad = Some(scalar(v).into_owned()),
            });
            if let Some(bad) = bad {
                return Err(wrong("working_days", &bad, "dates, `2026-03-02`"));
            }
        }
        let date = match text("date") {
            None => None,
            Some(d) => Some(
                d.parse::<Date>()
                    .map_err(|_| wrong("date", &d, "a date, `2026-03-02`"))?,
            ),
        };
        let works = text("working_day").is_none_or(|w| !matches!(&*w, "false" | "0" | "no"));
        for name in sites {
            let base = self.sites.get("").cloned().unwrap_or_else(Site::new);
            let site = self.sites.entry(name).or_insert(base);
            if let Some(zone) = &zone {
                site.zone = zone.clone();
            }
            match date {
                Some(date) => drop(site.dated.insert(date, works.then(|| hours.unwrap_or(site.hours)))),
                None => {
                    site.hours = hours.unwrap_or(site.hours);
                    site.days = days.clone().or(site.days.take());
                }
            }
        }
        Ok(())
    }

    /// The zone of the first row that names one: the operator's own.
    #[must_use]
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// Whether people work at `at`, at `site` where the calendar knows it. The last minute is not working time:
    /// `from <= time of day < to`; hours past midnight (`["22:00", "06:00"]`) belong to the day they began.
    #[must_use]
    pub fn is_working(&self, at: Millis, site: Option<&str>) -> bool {
        let (Some(site), Ok(at)) = (self.site(site), jiff::Timestamp::from_millisecond(at.0)) else {
            return false;
        };
        let local = at.to_zoned(site.zone.clone());
        let (day, time) = (local.date(), local.time());
        let within = |(from, to): (Time, Time)| {
            if from <= to {
                from <= time && time < to
            } else {
                from <= time
            }
        };
        let spills = |(from, to): (Time, Time)| to < from && time < to;
        site.hours_of(day).is_some_and(within) || day.yesterday().is_ok_and(|d| site.hours_of(d).is_some_and(spills))
    }

    /// The same time of the day on the `days`th working day after (or, negative, before) that of `at`, in the
    /// operator's zone. `None` beyond what the calendar reaches.
    #[must_use]
    pub fn plus_working_days(&self, at: Millis, days: i32) -> Option<Millis> {
        let site = self.sites.get("").or_else(|| self.sites.values().next())?;
        plus_working_days(at, days, &site.zone, &|day| site.hours_of(day).is_some())
    }
}

/// As [`WorkCalendar::plus_working_days`], where no calendar was loaded: Monday to Friday.
pub(super) fn plus_weekdays(at: Millis, days: i32, zone: &TimeZone) -> Option<Millis> {
    plus_working_days(at, days, zone, &is_weekday)
}

fn is_weekday(day: Date) -> bool {
    !matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday)
}

fn plus_working_days(at: Millis, days: i32, zone: &TimeZone, works: &dyn Fn(Date) -> bool) -> Option<Millis> {
    let local = jiff::Timestamp::from_millisecond(at.0).ok()?.to_zoned(zone.clone());
    let (mut day, mut left) = (local.date(), days.unsigned_abs());
    // A calendar that lists its days may end before so many are found.
    let mut bound = days.unsigned_abs().saturating_mul(4) + 400;
    while left > 0 {
        day = if days < 0 { day.yesterday() } else { day.tomorrow() }.ok()?;
        left -= u32::from(works(day));
        bound = bound.checked_sub(1)?;
    }
    let moved = day.to_datetime(local.time()).to_zoned(zone.clone()).ok()?;
    Some(Millis(moved.timestamp().as_millisecond()))
}

impl WorkCalendar {
    /// A site that the calendar knows, else the one that stands for all.
    fn site(&self, name: Option<&str>) -> Option<&Site> {
        name.and_then(|s| self.sites.get(s))
            .or_else(|| self.sites.get(""))
            .or_else(|| self.sites.values().next())
    }
}

impl Site {
    fn new() -> Site {
        let hours = (Time::constant(9, 0, 0, 0), Time::constant(18, 0, 0, 0));
        Site {
            zone: TimeZone::UTC,
            hours,
            days: None,
            dated: BTreeMap::new(),
        }
    }

    fn hours_of(&self, day: Date) -> Option<(Time, Time)> {
        if let Some(dated) = self.dated.get(&day) {
            return *dated;
        }
        let works = match &self.days {
            Some(days) => days.contains(&day),
            None => is_weekday(day),
        };
        works.then_some(self.hours)
    }
}

fn hours(row: &Value) -> Result<Option<(Time, Time)>, String> {
    let mut given = Vec::new();
    each_value(row, "hours", &mut |v| given.push(scalar(v).into_owned()));
    match given.as_slice() {
        [] => Ok(None),
        [from, to] => {
            // 24:00 is how people write the end of the day.
            let read = |t: &str| {
                if t == "24:00" {
                    Ok(Time::MAX)
                } else {
                    t.parse::<Time>().map_err(|_| t.to_owned())
                }
            };
            Ok(Some((read(from)?, read(to)?)))
        }
        other => Err(other.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn calendar(rows: Value) -> Result<WorkCalendar, CalendarError> {
        let rows: Vec<Arc<Value>> = match rows {
            Value::Array(rows) => rows.into_iter().map(Arc::new).collect(),
            one => vec![Arc::new(one)],
        };
        WorkCalendar::parse(&rows)
    }

    #[test]
    fn inside_and_outside() {
        let listed = json!({"tz": "Asia/Shanghai", "hours": ["09:00", "18:30"], "working_days": ["2026-03-02"]});
        let weekly = json!({"tz": "Asia/Shanghai", "hours": ["09:00", "18:30"]});
        let nightly = json!({"tz": "Asia/Shanghai", "hours": ["22:00", "06:00"]});
        let dated = json!([weekly, {"date": "2026-03-02", "working_day": false},
            {"date": "2026-03-07", "working_day": true, "hours": ["10:00", "12:00"]},
            {"site": "berlin", "tz": "Europe/Berlin", "hours": ["08:00", "17:00"]}]);
        for (rows, at, site, want) in [
            (&listed, "2026-03-02T09:00:00+08:00", None, true),
            (&listed, "2026-03-02T18:30:00+08:00", None, false),
            (&listed, "2026-03-03T10:00:00+08:00", None, false),
            (&weekly, "2026-03-03T10:00:00+08:00", None, true),
            (&weekly, "2026-03-07T10:00:00+08:00", None, false),
            (&nightly, "2026-03-07T05:00:00+08:00", None, true),
            (&nightly, "2026-03-07T22:30:00+08:00", None, false),
            (&dated, "2026-03-02T10:00:00+08:00", None, false),
            (&dated, "2026-03-07T11:00:00+08:00", None, true),
            (&dated, "2026-03-07T13:00:00+08:00", None, false),
            (&dated, "2026-03-03T16:30:00+01:00", Some("berlin"), true),
            (&dated, "2026-03-03T16:30:00+01:00", Some("nowhere"), false),
        ] {
            let got = calendar(rows.clone())
                .unwrap()
                .is_working(Millis::parse(at).unwrap(), site);
            assert_eq!(got, want, "{at} {site:?} {rows}");
        }
    }

    #[test]
    fn the_ends_of_time_do_not_panic() {
        let c = calendar(json!({"tz": "Asia/Shanghai"})).unwrap();
        for at in [i64::MIN, i64::MAX, Millis::MIN.0, Millis::MAX.0] {
            let _ = c.is_working(Millis(at), None);
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (row, want) in [
            (
                json!({"tz": "Mars/Base"}),
                "row 0 (from 0): `tz` is `Mars/Base`; give an IANA",
            ),
            (
                json!({"hours": ["9"]}),
                "row 0 (from 0): `hours` is `9`; give two times",
            ),
            (
                json!({"working_days": ["Monday"]}),
                "row 0 (from 0): `working_days` is `Monday`; give dates",
            ),
        ] {
            let error = calendar(row).unwrap_err().to_string();
            assert!(error.starts_with(want), "{error}");
        }
    }
}
