//! Values as a query writes them: moments, networks, numbers.

use std::net::{IpAddr, Ipv6Addr};

use jiff::civil::{Date, DateTime};
use jiff::{Timestamp, ToSpan, tz::TimeZone};
use model::Millis;

use crate::document::address;

/// What a moment may look like.
pub(crate) const TIMES: &str =
    "a time; write 2026-03-01, 2026-03-01T09:00, 2026-03-01T09:00:00+08:00, epoch milliseconds, or now-7d";

/// The first and last millisecond of what the text names: of a day, hour, minute, second, or one millisecond. Text
/// without a zone is UTC.
pub fn moment(text: &str, now: Option<Millis>) -> Option<(i64, i64)> {
    if let Some(rest) = text.strip_prefix("now") {
        return relative(rest, now?.0).map(|t| (t, t));
    }
    if let Ok(ms) = text.parse::<i64>() {
        // Four digits are a year, not the first seconds of 1970.
        return match text.len() {
            4 => span(civil(&format!("{text}-01-01"))?, 1.year()),
            _ => Some((ms, ms)),
        };
    }
    if let Ok(t) = text.parse::<Timestamp>() {
        let first = t.as_millisecond();
        return Some((first, first.saturating_add(precision(text) - 1)));
    }
    match text.len() {
        7 => span(civil(&format!("{text}-01"))?, 1.month()),
        10 => span(civil(text)?, 1.day()),
        _ => {
            let t: DateTime = text.parse().ok()?;
            let first = t.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond();
            Some((first, first.saturating_add(precision(text) - 1)))
        }
    }
}

fn civil(text: &str) -> Option<DateTime> {
    text.parse::<Date>()
        .ok()
        .map(|d| d.to_datetime(jiff::civil::Time::midnight()))
}

fn span(first: DateTime, length: jiff::Span) -> Option<(i64, i64)> {
    let ms = |t: DateTime| Some(t.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond());
    Some((ms(first)?, ms(first.checked_add(length).ok()?)? - 1))
}

/// Milliseconds that a written time of day leaves open.
fn precision(text: &str) -> i64 {
    let Some((_, clock)) = text.split_once(['T', 't', ' ']) else {
        return 1;
    };
    let clock = clock.split(['Z', 'z', '+', '-', '[']).next().unwrap_or(clock);
    match (clock.contains(['.', ',']), clock.matches(':').count()) {
        (true, _) => 1,
        (false, 2..) => 1000,
        (false, 1) => 60_000,
        (false, 0) => 3_600_000,
    }
}

fn relative(rest: &str, now: i64) -> Option<i64> {
    if rest.is_empty() {
        return Some(now);
    }
    let (sign, rest) = match rest.split_at_checked(1)? {
        ("-", rest) => (-1, rest),
        ("+", rest) => (1, rest),
        _ => return None,
    };
    let digits = rest.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &rest[digits.len()..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "w" => 604_800_000,
        _ => return None,
    };
    let amount: i64 = digits.parse().ok().filter(|n| *n >= 0)?;
    Some(now.saturating_add(amount.saturating_mul(unit).saturating_mul(sign)))
}

/// The first and last address of `a.b.c.d/n`.
pub(crate) fn network(text: &str) -> Option<(Ipv6Addr, Ipv6Addr)> {
    let (base, prefix) = text.split_once('/')?;
    let base: IpAddr = base.parse().ok()?;
    let (most, skip) = if base.is_ipv4() { (32, 96) } else { (128, 0) };
    let prefix: u32 = prefix.parse().ok().filter(|p| *p <= most)?;
    let mask = u128::MAX.checked_shl(128 - prefix - skip).unwrap_or(0);
    let bits = address(&base.to_string())?.to_bits();
    Some((Ipv6Addr::from_bits(bits & mask), Ipv6Addr::from_bits(bits | !mask)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn moments_cover_what_they_name() {
        let check = |text: &str, first: &str, last: &str| {
            let (a, b) = moment(text, Some(Millis(1_000_000_000))).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(
                (Millis(a).to_string(), Millis(b).to_string()),
                (first.into(), last.into()),
                "{text}"
            );
        };
        check("2026-03-01", "2026-03-01T00:00:00.000Z", "2026-03-01T23:59:59.999Z");
        check("2026-02", "2026-02-01T00:00:00.000Z", "2026-02-28T23:59:59.999Z");
        check("2026", "2026-01-01T00:00:00.000Z", "2026-12-31T23:59:59.999Z");
        check(
            "2026-03-01T09:00",
            "2026-03-01T09:00:00.000Z",
            "2026-03-01T09:00:59.999Z",
        );
        check(
            "2026-03-01T09:00:05+08:00",
            "2026-03-01T01:00:05.000Z",
            "2026-03-01T01:00:05.999Z",
        );
        check(
            "2026-03-01T09:00:05.25Z",
            "2026-03-01T09:00:05.250Z",
            "2026-03-01T09:00:05.250Z",
        );
        check("1772413200250", "2026-03-02T01:00:00.250Z", "2026-03-02T01:00:00.250Z");
        check("now-1h", "1970-01-12T12:46:40.000Z", "1970-01-12T12:46:40.000Z");
        for wrong in ["", "now", "now-1h", "yesterday", "2026-13-01", "2026-02-30", "T09:00"] {
            assert_eq!(moment(wrong, None), None, "{wrong}");
        }
        assert!(moment("now-99999999999999w", Some(Millis(0))).is_some());
    }

    #[test]
    fn networks_have_a_first_and_a_last_address() {
        let check = |text: &str, first: &str, last: &str| {
            assert_eq!(
                network(text),
                Some((address(first).unwrap(), address(last).unwrap())),
                "{text}"
            );
        };
        check("10.8.3.1/16", "10.8.0.0", "10.8.255.255");
        check("10.8.3.1/32", "10.8.3.1", "10.8.3.1");
        check("0.0.0.0/0", "0.0.0.0", "255.255.255.255");
        check("fe80::1/64", "fe80::", "fe80::ffff:ffff:ffff:ffff");
        check("::/0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
        for wrong in ["10.8.0.0/33", "10.8/16", "10.8.0.0/", "::/129", "a/8", "10.8.0.0/-1"] {
            assert_eq!(network(wrong), None, "{wrong}");
        }
    }
}
