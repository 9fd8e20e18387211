//! Times as logs write them: with or without a year, a zone, a fraction.
//!
//! No clock: where the text leaves the year open, the year is the one that brings the time nearest to when the
//! record was received; where it leaves the zone open, the source's configured zone is taken. Both are flagged,
//! because an auditor must be able to tell what the source said from what was concluded.

mod scan;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use model::Millis;

use crate::seek;
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

/// A time at the start of a line, as syslog has it: its text, what it says, and the rest of the line.
#[derive(Clone, Debug)]
pub(crate) struct Leading<'a> {
    pub text: &'a str,
    pub civil: Civil,
    pub rest: &'a str,
}

/// `Mmm dd HH:MM:SS[.fff]` with the liberties that senders take: `*` before it, one space and one digit,
/// a year before or after the clock.
pub(crate) fn leading_bsd(line: &str) -> Option<Leading<'_>> {
    match plain_bsd(line) {
        Some(civil) => Some(Leading {
            text: line.get(..PLAIN_BSD)?,
            civil,
            rest: line.get(PLAIN_BSD..)?,
        }),
        None => any_bsd(line),
    }
}

/// Bytes of `Mmm dd HH:MM:SS`.
const PLAIN_BSD: usize = 15;

/// The form that nearly every sender takes, told by its fixed places: `Mmm dd HH:MM:SS` and a space, behind which no year stands.
fn plain_bsd(line: &str) -> Option<Civil> {
    let line = line.as_bytes();
    let text: &[u8; PLAIN_BSD] = line.first_chunk()?;
    let [m1, m2, m3, b' ', d1, d2, b' ', h1, h2, b':', n1, n2, b':', s1, s2] = *text else {
        return None;
    };
    if line.get(PLAIN_BSD) != Some(&b' ') || line.get(PLAIN_BSD + 1..PLAIN_BSD + 3)?.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let month = match &[m1, m2, m3] {
        b"Jan" => 1,
        b"Feb" => 2,
        b"Mar" => 3,
        b"Apr" => 4,
        b"May" => 5,
        b"Jun" => 6,
        b"Jul" => 7,
        b"Aug" => 8,
        b"Sep" => 9,
        b"Oct" => 10,
        b"Nov" => 11,
        b"Dec" => 12,
        _ => return None,
    };
    let digit = |b: u8| b.is_ascii_digit().then(|| u32::from(b - b'0'));
    let two = |tens: u8, ones: u8| Some(digit(tens)? * 10 + digit(ones)?);
    Some(Civil {
        year: None,
        month,
        day: if d1 == b' ' { digit(d2)? } else { two(d1, d2)? },
        clock: Clock {
            hour: two(h1, h2)?,
            minute: two(n1, n2)?,
            second: two(s1, s2)?,
            millis: 0,
        },
        zone: Zone::Open,
    })
}

/// The form with all liberties.
fn any_bsd(line: &str) -> Option<Leading<'_>> {
    let mut scan = Scan::new(line);
    let _ = scan.eat(b'*') || scan.eat(b'.');
    let start = scan.at;
    let month = scan.month()?;
    scan.some_spaces(2)?;
    let day = scan.number(1, 2)?;
    scan.some_spaces(2)?;
    let mut year = None;
    let before_year = scan.at;
    if let Some(y) = scan.number(4, 4)
        && scan.some_spaces(1).is_some()
    {
        year = Some(y as i32);
    } else {
        scan.at = before_year;
    }
    let clock = scan.clock()?;
    let mut end = scan.at;
    if year.is_none() {
        // `Mar  1 10:00:00 2026 h a: …`; a host may be called `2026`, but hardly between 1970 and 2099.
        if scan.eat(b' ')
            && let Some(y) = scan.number(4, 4)
            && (1970..2100).contains(&y)
            && scan.peek() == Some(b' ')
        {
            year = Some(y as i32);
            end = scan.at;
        }
    }
    let civil = Civil {
        year,
        month,
        day,
        clock,
        zone: Zone::Open,
    };
    Some(Leading {
        text: line.get(start..end)?,
        civil,
        rest: line.get(end..)?,
    })
}

/// RFC 3339 at the start of a line, up to a space.
pub(crate) fn leading_iso(line: &str) -> Option<Leading<'_>> {
    let end = line
        .bytes()
        .take(TEXT_BYTES_MAX)
        .position(|b| b == b' ')
        .unwrap_or(line.len().min(TEXT_BYTES_MAX));
    let text = line.get(..end)?;
    let mut scan = Scan::new(text);
    let civil = iso(&mut scan)?;
    if !scan.rest().is_empty() || civil.clock == Clock::default() && !text.contains(':') {
        return None;
    }
    Some(Leading {
        text,
        civil,
        rest: &line[end..],
    })
}

/// `YYYY/MM/DD HH:MM:SS` (nginx' error log) at the start of a line.
pub(crate) fn leading_slashed(line: &str) -> Option<Leading<'_>> {
    let mut scan = Scan::new(line);
    let year = Some(scan.number(4, 4)? as i32);
    scan.must(b'/')?;
    let month = scan.number(2, 2)?;
    scan.must(b'/')?;
    let day = scan.number(2, 2)?;
    scan.must(b' ')?;
    let clock = scan.clock()?;
    let civil = Civil {
        year,
        month,
        day,
        clock,
        zone: Zone::Open,
    };
    Some(Leading {
        text: &line[..scan.at],
        civil,
        rest: scan.rest(),
    })
}

/// What a text says of a time, not yet tied to a year or a zone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Civil {
    year: Option<i32>,
    month: u32,
    day: u32,
    clock: Clock,
    zone: Zone,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Clock {
    hour: u32,
    minute: u32,
    second: u32,
    millis: u32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Zone {
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
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || whole.len() > 19 || !all_digits(whole) || !all_digits(fraction) {
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
        fn the_plain_form_is_read_like_any(
            line in "(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec|mar|Foo)[ .][ 0-9]{2} [ 0-9]{2}:[0-9]{2}:[0-9]{2}( |[.] | 20)[0-9a ]{0,6}"
        ) {
            if let Some(civil) = plain_bsd(&line) {
                let any = any_bsd(&line).expect("it is read in full, too");
                prop_assert_eq!(any.civil, civil, "{}", line);
                prop_assert_eq!(any.text.len(), PLAIN_BSD, "{}", line);
            }
        }

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
        fn days_are_those_of_the_library(year in -10_001..=10_001_i32, month in 0..=14_u32, day in 0..=33_u32) {
            let date = i16::try_from(year).ok().and_then(|y| jiff::civil::Date::new(y, month as i8, day as i8).ok());
            let days = date.map(|d| i64::from((d - jiff::civil::date(1970, 1, 1)).get_days()));
            prop_assert_eq!(days_of(year, month, day), days);
        }

        #[test]
        fn rfc3339_reads_back(ms in Millis::MIN.0..Millis::MAX.0) {
            let t = parse_any(&Millis(ms).to_string(), Millis(0), &TimeZone::UTC);
            prop_assert_eq!(t.map(|t| t.time), Some(Millis(ms)));
        }
    }
}
