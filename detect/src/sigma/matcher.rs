//! How one value of a rule matches one value of an event.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use jiff::civil::DateTime;
use regex::Regex;

use super::{Number, Pattern, lower};

/// A comparison of what an event has (left) with what a rule gives (right).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Compare {
    /// `lt`
    Lt,
    /// `lte`
    Lte,
    /// `gt`
    Gt,
    /// `gte`
    Gte,
    /// `eq`
    Eq,
    /// `neq`
    Neq,
}

impl Compare {
    /// Whether `counted` stands so to `given`.
    #[must_use]
    pub fn holds(self, counted: Number, given: Number) -> bool {
        match self {
            Compare::Lt => counted < given,
            Compare::Lte => counted <= given,
            Compare::Gt => counted > given,
            Compare::Gte => counted >= given,
            Compare::Eq => counted == given,
            Compare::Neq => counted != given,
        }
    }

    /// Whether more events can make it false, so that it is judged only when its window has closed.
    #[must_use]
    pub fn is_negative(self, given: Number) -> bool {
        match self {
            Compare::Lt | Compare::Lte => true,
            Compare::Eq => given == Number::Int(0),
            Compare::Gt | Compare::Gte | Compare::Neq => false,
        }
    }
}

/// How one value of a rule matches.
#[derive(Clone, Debug)]
pub enum Match {
    /// Text with wildcards; `contains`, `startswith` and `endswith` are wildcards at its ends.
    Pattern {
        /// The text.
        pattern: Pattern,
        /// With regard to case.
        cased: bool,
    },
    /// A number: a value that reads as the same number.
    Number(Number),
    /// A boolean: `true` or `false`, without regard to case.
    Bool(bool),
    /// Null: the field has no value.
    Null,
    /// `exists`: whether the field has a value.
    Exists(bool),
    /// `re`: matches somewhere.
    Regex(Regex),
    /// `cidr`: an address inside.
    Cidr(IpNet),
    /// `lt`, `lte`, `gt`, `gte`: a number that stands so.
    Compare(Compare, Number),
    /// `fieldref`: equals (contains, …) a value of another field of the event.
    FieldRef {
        /// The other field.
        field: Arc<str>,
        /// How.
        end: End,
        /// With regard to case.
        cased: bool,
    },
    /// `minute`, `hour`, … of a time.
    TimePart {
        /// Which part.
        part: TimePart,
        /// How it compares.
        compare: Compare,
        /// With what.
        value: Number,
    },
}

/// Where the other field's value has to stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum End {
    /// It is the whole value.
    Whole,
    /// Anywhere.
    Contains,
    /// At its start.
    Starts,
    /// At its end.
    Ends,
}

/// A part of a time, as the value writes it (its own offset; a bare number is epoch milliseconds in UTC).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TimePart {
    /// 0 to 59.
    Minute,
    /// 0 to 23.
    Hour,
    /// Of the month, 1 to 31.
    Day,
    /// ISO 8601 week, 1 to 53.
    Week,
    /// 1 to 12.
    Month,
    /// For example 2026.
    Year,
}

impl Match {
    /// Whether one value of the field matches. [`Match::Null`], [`Match::Exists`] and [`Match::FieldRef`] are
    /// not about one value: they never match here.
    #[must_use]
    pub fn is_match(&self, value: &str) -> bool {
        match self {
            Match::Pattern { pattern, cased } => pattern.is_match(value, *cased),
            Match::Number(n) => Number::parse(value) == Some(*n),
            Match::Bool(b) => value.eq_ignore_ascii_case(if *b { "true" } else { "false" }),
            Match::Regex(regex) => regex.is_match(value),
            Match::Cidr(net) => address(value).is_some_and(|a| net.contains(&a)),
            Match::Compare(compare, n) => Number::parse(value).is_some_and(|v| compare.holds(v, *n)),
            Match::TimePart {
                part,
                compare,
                value: n,
            } => civil(value).is_some_and(|t| compare.holds(Number::Int(part.of(t)), *n)),
            Match::Null | Match::Exists(_) | Match::FieldRef { .. } => false,
        }
    }
}

impl End {
    /// Whether `value` has `other` there.
    #[must_use]
    pub fn holds(self, value: &str, other: &str, cased: bool) -> bool {
        if cased {
            return self.stands(value, other);
        }
        self.stands(&lower(value), &lower(other))
            || (self == End::Whole && Number::parse(value).is_some_and(|v| Number::parse(other) == Some(v)))
    }

    fn stands(self, value: &str, other: &str) -> bool {
        match self {
            End::Whole => value == other,
            End::Contains => value.contains(other),
            End::Starts => value.starts_with(other),
            End::Ends => value.ends_with(other),
        }
    }
}

impl TimePart {
    fn of(self, time: DateTime) -> i128 {
        i128::from(match self {
            TimePart::Minute => i32::from(time.minute()),
            TimePart::Hour => i32::from(time.hour()),
            TimePart::Day => i32::from(time.day()),
            TimePart::Week => i32::from(time.date().iso_week_date().week()),
            TimePart::Month => i32::from(time.month()),
            TimePart::Year => i32::from(time.year()),
        })
    }
}

/// An address, without brackets or zone; IPv4 in IPv6 is IPv4.
#[must_use]
pub fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let text = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    let text = text.split('%').next().unwrap_or(text);
    text.parse::<IpAddr>().ok().map(|a| a.to_canonical())
}

/// A time's civil parts: RFC 3339 and ISO 8601 as written, epoch milliseconds in UTC.
fn civil(text: &str) -> Option<DateTime> {
    let text = text.trim();
    if let Ok(ms) = text.parse::<i64>() {
        return Some(
            jiff::Timestamp::from_millisecond(ms)
                .ok()?
                .to_zoned(jiff::tz::TimeZone::UTC)
                .datetime(),
        );
    }
    // Jiff's civil parser reads `2026-03-02T09:00:00+08:00` as nine o'clock, and refuses `Z`.
    text.trim_end_matches(['Z', 'z']).parse::<DateTime>().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_written() {
        for (text, hour) in [
            ("2026-03-02T09:30:00+08:00", Some(9)),
            ("2026-03-02T09:30:00.123Z", Some(9)),
            ("2026-03-02 23:30:00", Some(23)),
            ("2026-03-02", Some(0)),
            ("1772413200250", Some(1)),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(civil(text).map(|t| t.hour()), hour, "{text}");
        }
    }
}
