//! Dates and clocks, and the moments that they are.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use model::Millis;

use super::{ParsedTime, TimeFlags};

/// What a text says of a time, not yet tied to a year or a zone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Civil {
    pub(super) year: Option<i32>,
    pub(super) month: u32,
    pub(super) day: u32,
    pub(super) clock: Clock,
    pub(super) zone: Zone,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Clock {
    pub(super) hour: u32,
    pub(super) minute: u32,
    pub(super) second: u32,
    pub(super) millis: u32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Zone {
    /// Nothing was said.
    Open,
    /// Minutes east of UTC.
    Offset(i32),
    /// An IANA zone of that length at that place was named and is looked up.
    Named([u8; 40], u8),
}

impl Civil {
    /// The moment; `None` where there is no such day or clock time.
    pub(crate) fn resolve(&self, received_at: Millis, zone: &TimeZone) -> Option<ParsedTime> {
        let Some(year) = self.year else {
            let near = year_of(received_at);
            let inferred = |mut t: ParsedTime| {
                t.flags.year_inferred = true;
                t
            };
            // Within half a year: every other year is further away, whatever the zone.
            if let Some(t) = self.in_year(near, zone)
                && (t.time - received_at).unsigned_abs() < 180 * 86_400_000
            {
                return Some(inferred(t));
            }
            // Nine years hold a leap day also around 1900 and 2100.
            let mut best: Option<ParsedTime> = None;
            for year in (near - 1..=near + 1)
                .chain((near - 8..near - 1).rev())
                .chain(near + 2..=near + 8)
            {
                let apart = |t: &ParsedTime| (t.time - received_at).unsigned_abs();
                if (year < near - 1 || year > near + 1) && (self.month, self.day) != (2, 29) {
                    break;
                }
                if let Some(t) = self.in_year(year, zone)
                    && best.as_ref().is_none_or(|b| apart(&t) < apart(b))
                {
                    best = Some(t);
                }
            }
            return best.map(inferred);
        };
        self.in_year(year, zone)
    }

    fn in_year(&self, year: i32, zone: &TimeZone) -> Option<ParsedTime> {
        let Clock {
            hour,
            minute,
            second,
            millis,
        } = self.clock;
        let mut flags = TimeFlags::default();
        let days = days_of(year, self.month, self.day)?;
        // A leap second and the end of the day count as the next second.
        let end_of_day = hour == 24 && minute == 0 && second == 0;
        if minute > 59 || second > 60 || hour > 23 && !end_of_day {
            return None;
        }
        flags.adjusted = second == 60 || end_of_day;
        let day_ms = i64::from(hour * 3600 + minute * 60 + second) * 1000 + i64::from(millis);
        let local_ms = days * 86_400_000 + day_ms;
        let time = match self.zone {
            Zone::Offset(minutes) => {
                let time = Millis(local_ms - i64::from(minutes) * 60_000);
                return Some(ParsedTime {
                    time,
                    offset_minutes: Some(minutes),
                    flags,
                });
            }
            Zone::Named(name, length) => {
                let name = std::str::from_utf8(&name[..usize::from(length)]).ok()?;
                local(local_ms, &TimeZone::get(name).ok()?, &mut flags)?
            }
            Zone::Open => {
                flags.zone_assumed = true;
                local(local_ms, zone, &mut flags)?
            }
        };
        Some(ParsedTime {
            time,
            offset_minutes: None,
            flags,
        })
    }
}

/// The moment of a local time. In a gap it moves on by the gap, in a fold the first of the two is taken.
fn local(local_ms: i64, zone: &TimeZone, flags: &mut TimeFlags) -> Option<Millis> {
    if let Ok(offset) = zone.to_fixed_offset() {
        let ms = local_ms - i64::from(offset.seconds()) * 1000;
        // Nearly every time is of these years; those at the ends of time are left to the library.
        let plain = (-2_000_000_000_000..8_000_000_000_000).contains(&ms);
        let is_moment = plain || *zone == TimeZone::UTC || jiff::Timestamp::from_millisecond(ms).is_ok();
        return is_moment.then_some(Millis(ms));
    }
    let civil: DateTime = jiff::Timestamp::from_millisecond(local_ms)
        .ok()?
        .to_zoned(TimeZone::UTC)
        .datetime();
    let ambiguous = zone.to_ambiguous_timestamp(civil);
    flags.adjusted |= ambiguous.is_ambiguous();
    Some(Millis(ambiguous.compatible().ok()?.as_millisecond()))
}

fn year_of(at: Millis) -> i32 {
    let days = at.0.clamp(Millis::MIN.0, Millis::MAX.0).div_euclid(86_400_000) + 719_468;
    // Source: Howard Hinnant, chrono-compatible low-level date algorithms; its years begin in March.
    let (era, doe) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let year = era * 400 + yoe + i64::from(doy >= 306);
    i32::try_from(year).unwrap_or(1970)
}

/// Days since 1970 of a date; `None` where there is no such day, or no such year for the library either.
fn days_of(year: i32, month: u32, day: u32) -> Option<i64> {
    /// Days of a common year before each month, and all of them.
    const BEFORE: [u16; 13] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365];
    if !(-9999..=9999).contains(&year) {
        return None;
    }
    let at = month.checked_sub(1)? as usize;
    let (before, after) = (*BEFORE.get(at)?, *BEFORE.get(at + 1)?);
    let leaps = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = u32::from(after - before) + u32::from(leaps && month == 2);
    if day == 0 || day > length {
        return None;
    }
    // Years are counted from one far enough before, so that none is negative: 28 of the calendar's periods of 400 years.
    const PERIODS: i64 = 28;
    let years = i64::from(year) - 1 + PERIODS * 400;
    let days = years * 365 + years / 4 - years / 100 + years / 400 - PERIODS * 146_097 - 719_162;
    Some(days + i64::from(before) + i64::from(leaps && month > 2) + i64::from(day) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn days_are_those_of_the_library(year in -10_001..=10_001_i32, month in 0..=14_u32, day in 0..=33_u32) {
            let date = i16::try_from(year).ok().and_then(|y| jiff::civil::Date::new(y, month as i8, day as i8).ok());
            let days = date.map(|d| i64::from((d - jiff::civil::date(1970, 1, 1)).get_days()));
            prop_assert_eq!(days_of(year, month, day), days);
        }
    }
}
