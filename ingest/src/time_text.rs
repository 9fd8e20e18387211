//! Times as logs write them: with or without a year, a zone, a fraction.
//!
//! No clock: where the text leaves the year open, the year is the one that brings the time nearest to when the
//! record was received; where it leaves the zone open, the source's configured zone is taken. Both are flagged,
//! because an auditor must be able to tell what the source said from what was concluded.

mod civil;
mod leading;
mod scan;

use jiff::tz::TimeZone;
use model::Millis;

use crate::seek;
pub(crate) use civil::Civil;
use civil::{Clock, Zone};
pub(crate) use leading::{Leading, leading_bsd, leading_iso, leading_slashed};
use scan::{Scan, millis_of};

/// A time that was read from text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParsedTime {
    /// The moment.
    pub time: Millis,
    /// The offset from UTC that the text itself gave, in minutes.
    pub offset_minutes: Option<i32>,
    /// What had to be concluded.
    pub flags: TimeFlags,
}

/// What a text left open and was concluded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeFlags {
    /// The year was taken nearest to the time of receipt.
    pub year_inferred: bool,
    /// The zone was taken from the configuration.
    pub zone_assumed: bool,
    /// A leap second or `24:00:00` was moved to the next second, or a local time that does not exist was moved.
    pub adjusted: bool,
}

impl ParsedTime {
    /// The flags as `metadata.labels`.
    pub fn labels(&self) -> impl Iterator<Item = &'static str> + use<> {
        let flags = self.flags;
        [
            (flags.year_inferred, "time.year_inferred"),
            (flags.zone_assumed, "time.zone_assumed"),
            (flags.adjusted, "time.adjusted"),
        ]
        .into_iter()
        .filter_map(|(set, label)| set.then_some(label))
    }
}

/// Reads a time in any form that we know; spaces around it do not matter. `None`: it is not a time, or not a
/// moment that exists (`Feb 30`); the caller then takes the time of receipt and says so.
#[must_use]
pub fn parse_any(text: &str, received_at: Millis, zone: &TimeZone) -> Option<ParsedTime> {
    let text = seek::trim(text);
    let first = *text.as_bytes().first()?;
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    if matches!(first, b'0'..=b'9' | b'-' | b'+')
        && let Some(written) = digits_only(text)
    {
        return match written {
            Number::Epoch(time) => Some(ParsedTime {
                time,
                offset_minutes: None,
                flags: TimeFlags::default(),
            }),
            Number::Civil(civil) => civil.resolve(received_at, zone),
        };
    }
    let mut scan = Scan::new(text);
    let civil = iso(&mut scan).or_else(|| {
        scan.at = 0;
        named(&mut scan)
    })?;
    scan.spaces();
    if !scan.rest().is_empty() {
        return None;
    }
    civil.resolve(received_at, zone)
}

/// Reads an epoch number; seconds, milliseconds, microseconds or nanoseconds are told apart by magnitude.
#[must_use]
pub fn epoch(number: i64) -> Millis {
    Millis(match number.unsigned_abs() {
        0..100_000_000_000 => number.saturating_mul(1000),
        100_000_000_000..100_000_000_000_000 => number,
        100_000_000_000_000..100_000_000_000_000_000 => number.div_euclid(1000),
        _ => number.div_euclid(1_000_000),
    })
}

/// Reads an epoch number with a fraction, as JSON has it (`1772413200.25`); `None` where it is not finite.
#[must_use]
pub fn epoch_float(number: f64) -> Option<Millis> {
    if !number.is_finite() {
        return None;
    }
    let ms = match number.abs() {
        n if n < 1e11 => number * 1e3,
        n if n < 1e14 => number,
        n if n < 1e17 => number / 1e3,
        _ => number / 1e6,
    };
    // `as` saturates; that is what is wanted at the ends of time.
    Some(Millis(ms.round() as i64))
}

/// The longest text that is looked at.
const TEXT_BYTES_MAX: usize = 96;

enum Number {
    Epoch(Millis),
    Civil(Civil),
}

/// Digits with an optional sign and fraction: an epoch number, or a date written without separators.
fn digits_only(text: &str) -> Option<Number> {
    let (sign, digits) = match text.as_bytes()[0] {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let is_digit = |b: u8| b.is_ascii_digit();
    let (whole, fraction) = match digits.bytes().position(|b| !is_digit(b)) {
        None => (digits, ""),
        Some(at) if digits.as_bytes()[at] == b'.' => (&digits[..at], &digits[at + 1..]),
        Some(_) => return None,
    };
    if whole.is_empty() || whole.len() > 19 || !fraction.bytes().all(is_digit) {
        return None;
    }
    // 8 and 14 digits are no epoch number of these decades, but dates.
    if (whole.len() == 8 || whole.len() == 14) && sign == 1 && (whole.starts_with("19") || whole.starts_with("20")) {
        let n = |a: usize, b: usize| whole.get(a..b).and_then(|s| s.parse::<u32>().ok()).unwrap_or(0);
        let clock = Clock {
            hour: n(8, 10),
            minute: n(10, 12),
            second: n(12, 14),
            millis: 0,
        };
        let (month, day) = (n(4, 6), n(6, 8));
        if (1..=12).contains(&month) && (1..=31).contains(&day) {
            return Some(Number::Civil(Civil {
                year: Some(n(0, 4) as i32),
                month,
                day,
                clock,
                zone: Zone::Open,
            }));
        }
    }
    let number = whole.parse::<i64>().ok()?.saturating_mul(sign);
    let mut time = epoch(number);
    if number.unsigned_abs() < 100_000_000_000 {
        time = time.plus_ms(sign * millis_of(fraction));
    }
    Some(Number::Epoch(time))
}

/// Forms that begin with the year: RFC 3339, ISO 8601 basic and week dates, slashes, Chinese.
fn iso(scan: &mut Scan<'_>) -> Option<Civil> {
    let year = Some(scan.number(4, 4)? as i32);
    let open = |month, day, clock, zone| Civil {
        year,
        month,
        day,
        clock,
        zone,
    };
    let separator = scan.peek()?;
    let (month, day) = match separator {
        b'-' if scan.rest().get(1..2) == Some("W") => {
            scan.at += 2;
            return week_date(year?, scan);
        }
        b'-' | b'/' | b'.' => {
            scan.at += 1;
            let month = scan.number(1, 2)?;
            scan.must(separator)?;
            (month, scan.number(1, 2)?)
        }
        b'0'..=b'9' => {
            let month = scan.number(2, 2)?;
            (month, scan.number(2, 2)?)
        }
        _ => {
            scan.word("年")?;
            let month = scan.number(1, 2)?;
            scan.word("月")?;
            let day = scan.number(1, 2)?;
            let _ = scan.word("日");
            (month, day)
        }
    };
    if scan.rest().is_empty() {
        return Some(open(month, day, Clock::default(), Zone::Open));
    }
    if !(scan.eat(b'T') || scan.eat(b't') || scan.eat(b'_') || scan.some_spaces(2).is_some()) {
        return None;
    }
    let clock = if scan.rest().as_bytes().get(2).is_some_and(u8::is_ascii_digit) {
        let hour = scan.number(2, 2)?;
        let minute = scan.number(2, 2)?;
        Clock {
            hour,
            minute,
            second: scan.number(2, 2).unwrap_or(0),
            millis: scan.fraction(),
        }
    } else {
        scan.clock()?
    };
    Some(open(month, day, clock, scan.zone()?))
}

fn week_date(year: i32, scan: &mut Scan<'_>) -> Option<Civil> {
    let week = scan.number(2, 2)?;
    scan.must(b'-')?;
    let weekday = jiff::civil::Weekday::from_monday_one_offset(i8::try_from(scan.number(1, 1)?).ok()?).ok()?;
    let date = jiff::civil::ISOWeekDate::new(i16::try_from(year).ok()?, i8::try_from(week).ok()?, weekday)
        .ok()?
        .date();
    let (month, day) = (u32::try_from(date.month()).ok()?, u32::try_from(date.day()).ok()?);
    Some(Civil {
        year: Some(i32::from(date.year())),
        month,
        day,
        clock: Clock::default(),
        zone: Zone::Open,
    })
}

/// Forms with the month's name: CLF, RFC 2822, asctime and Apache's error log, RFC 3164.
fn named(scan: &mut Scan<'_>) -> Option<Civil> {
    if scan.weekday() {
        let _ = scan.eat(b',');
        scan.some_spaces(2)?;
    }
    if scan.peek()?.is_ascii_digit() {
        let day = scan.number(1, 2)?;
        let separator = scan.peek().filter(|b| matches!(b, b'/' | b' ' | b'-'))?;
        scan.at += 1;
        let month = scan.month()?;
        scan.must(separator)?;
        let year = Some(scan.number(4, 4)? as i32);
        if scan.rest().is_empty() {
            return Some(Civil {
                year,
                month,
                day,
                clock: Clock::default(),
                zone: Zone::Open,
            });
        }
        if !scan.eat(b':') {
            scan.some_spaces(2)?;
        }
        let clock = scan.clock()?;
        return Some(Civil {
            year,
            month,
            day,
            clock,
            zone: scan.zone()?,
        });
    }
    let leading = leading_bsd(scan.rest())?;
    let mut civil = leading.civil;
    let mut rest = Scan::new(leading.rest);
    if civil.year.is_none() {
        // asctime in years that `leading_bsd` would take for a host's name.
        let before = rest.at;
        if rest.eat(b' ')
            && let Some(year) = rest.number(4, 4)
        {
            civil.year = Some(year as i32);
        } else {
            rest.at = before;
        }
    }
    civil.zone = rest.zone()?;
    scan.at = scan.text.len() - rest.rest().len();
    Some(civil)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RECEIVED: &str = "2026-03-02T09:00:00+08:00";

    fn check_at(received: &str, zone: &str, text: &str, expected: &str) {
        let zone = TimeZone::get(zone).expect("a zone");
        let got = parse_any(text, Millis::parse(received).expect("a time"), &zone);
        let got = got.map_or("none".to_owned(), |t| {
            let mut s = t.time.to_string();
            if let Some(o) = t.offset_minutes {
                s += &format!(" {o:+}");
            }
            for label in t.labels() {
                s += " ";
                s += label.trim_start_matches("time.");
            }
            s
        });
        assert_eq!(got, expected, "{text}");
    }

    #[test]
    fn the_forms_that_logs_use() {
        for (text, expected) in [
            ("2026-03-01T00:00:00Z", "2026-03-01T00:00:00.000Z +0"),
            ("2026-03-01t00:00:00.123456789123z", "2026-03-01T00:00:00.123Z +0"),
            ("2026-03-01T00:00:00,123Z", "2026-03-01T00:00:00.123Z +0"),
            ("2026-03-01T08:00:00+08:00", "2026-03-01T00:00:00.000Z +480"),
            ("2026-03-01T08:00:00+0800", "2026-03-01T00:00:00.000Z +480"),
            ("2026-03-01T08:00:00+08", "2026-03-01T00:00:00.000Z +480"),
            ("2026-03-08T02:30:00-05:00", "2026-03-08T07:30:00.000Z -300"),
            ("2026-03-01T00:00:00-00:00", "2026-03-01T00:00:00.000Z +0"),
            ("2026-03-01T08:00:00 Asia/Shanghai", "2026-03-01T00:00:00.000Z"),
            ("2026-03-01T08:00:00", "2026-03-01T00:00:00.000Z zone_assumed"),
            ("2026-03-01 08:00:00", "2026-03-01T00:00:00.000Z zone_assumed"),
            ("2026-03-01 08:00:00 UTC", "2026-03-01T08:00:00.000Z +0"),
            ("2026-03-01 08:00", "2026-03-01T00:00:00.000Z zone_assumed"),
            ("2026-03-01", "2026-02-28T16:00:00.000Z zone_assumed"),
            ("2026-W09-7", "2026-02-28T16:00:00.000Z zone_assumed"),
            ("20260301T000000Z", "2026-03-01T00:00:00.000Z +0"),
            ("20260301080000", "2026-03-01T00:00:00.000Z zone_assumed"),
            ("20260301", "2026-02-28T16:00:00.000Z zone_assumed"),
            ("2026/11/22 02:42:46", "2026-11-21T18:42:46.000Z zone_assumed"),
            ("2026/11/22 02:42:46 +0000", "2026-11-22T02:42:46.000Z +0"),
            ("2026/11/22 02:42:46 +0800", "2026-11-21T18:42:46.000Z +480"),
            ("2026年3月1日 08:00:00", "2026-03-01T00:00:00.000Z zone_assumed"),
            ("01/Mar/2026:00:00:00 +0800", "2026-02-28T16:00:00.000Z +480"),
            ("Sun, 01 Mar 2026 00:00:00 GMT", "2026-03-01T00:00:00.000Z +0"),
            ("Sun Dec 04 04:47:44 2005", "2005-12-03T20:47:44.000Z zone_assumed"),
            ("Wed Oct 11 14:32:52.127 2000", "2000-10-11T06:32:52.127Z zone_assumed"),
            ("Mar  2 00:44:00", "2026-03-01T16:44:00.000Z year_inferred zone_assumed"),
            (
                "Mar 2 00:44:00.5",
                "2026-03-01T16:44:00.500Z year_inferred zone_assumed",
            ),
            ("Mar  1 10:00:00 2026", "2026-03-01T02:00:00.000Z zone_assumed"),
            ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000Z +0 adjusted"),
            ("2026-03-01T24:00:00Z", "2026-03-02T00:00:00.000Z +0 adjusted"),
            ("9999-12-31T23:59:59Z", "253402300799000 +0"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z +0"),
            ("1969-12-31T23:59:59Z", "1969-12-31T23:59:59.000Z +0"),
            ("1772413200", "2026-03-02T01:00:00.000Z"),
            ("1772413200.250", "2026-03-02T01:00:00.250Z"),
            ("1772413200250", "2026-03-02T01:00:00.250Z"),
            ("1772413200250999", "2026-03-02T01:00:00.250Z"),
            ("1772413200250999999", "2026-03-02T01:00:00.250Z"),
            (" 1772413200 ", "2026-03-02T01:00:00.000Z"),
        ] {
            check_at(RECEIVED, "Asia/Shanghai", text, expected);
        }
    }

    #[test]
    fn what_is_not_a_moment_is_none() {
        for text in [
            "",
            "x",
            "-",
            "2026x",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "10000-01-01T00:00:00Z",
            "2026-03-01T00:00:00+24:00",
            "Feb 30 10:00:00",
            "Mar  1 25:00:00",
            "2026-03-01T24:00:01Z",
            "3/4/26 1:02 PM",
            "2026-03-01T00:00:00Zx",
            "2026-03-01T00:00:00 Nowhere/Land",
            "Mmm 22 07:54:32",
            "99999999999999999999999",
            "1.2.3",
            "01/Mar/2026:00:00:00 +0800 x",
            "年",
            "2026年",
        ] {
            check_at(RECEIVED, "UTC", text, "none");
        }
    }

    #[test]
    fn the_year_is_the_one_nearest_to_receipt() {
        for (received, text, expected) in [
            (
                "2026-01-01T00:00:05+08:00",
                "Dec 31 23:59:59",
                "2025-12-31T15:59:59.000Z year_inferred zone_assumed",
            ),
            (
                "2026-01-01T00:00:05+08:00",
                "Jan  1 00:00:01",
                "2025-12-31T16:00:01.000Z year_inferred zone_assumed",
            ),
            (
                "2026-01-01T00:00:05+08:00",
                "Feb 29 12:00:00",
                "2024-02-29T04:00:00.000Z year_inferred zone_assumed",
            ),
            (
                "2025-12-31T23:59:58+08:00",
                "Jan  1 00:00:00",
                "2025-12-31T16:00:00.000Z year_inferred zone_assumed",
            ),
            (
                "2100-02-01T00:00:00Z",
                "Feb 29 12:00:00",
                "2096-02-29T04:00:00.000Z year_inferred zone_assumed",
            ),
        ] {
            check_at(received, "Asia/Shanghai", text, expected);
        }
    }

    #[test]
    fn a_local_time_in_a_gap_moves_on_and_in_a_fold_is_the_first() {
        check_at(
            RECEIVED,
            "America/New_York",
            "2026-03-08 02:30:00",
            "2026-03-08T07:30:00.000Z zone_assumed adjusted",
        );
        check_at(
            RECEIVED,
            "America/New_York",
            "2026-11-01 01:30:00",
            "2026-11-01T05:30:00.000Z zone_assumed adjusted",
        );
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,60}") {
            let _ = parse_any(&text, Millis(0), &TimeZone::UTC);
            let _ = leading_bsd(&text);
            let _ = leading_iso(&text);
        }

        #[test]
        fn any_number_panics_not(n in any::<i64>(), f in any::<f64>()) {
            let _ = epoch(n);
            let _ = epoch_float(f);
            let _ = parse_any(&n.to_string(), Millis(n), &TimeZone::UTC);
            let _ = parse_any("Feb 29 00:00:00", Millis(n), &TimeZone::UTC);
        }

        #[test]
        fn rfc3339_reads_back(ms in Millis::MIN.0..Millis::MAX.0) {
            let t = parse_any(&Millis(ms).to_string(), Millis(0), &TimeZone::UTC);
            prop_assert_eq!(t.map(|t| t.time), Some(Millis(ms)));
        }
    }
}
