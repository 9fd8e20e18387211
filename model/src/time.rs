//! Time: always passed in, never read from a clock below `server`.

use std::fmt;
use std::ops::{Add, Sub};

use serde::{Deserialize, Serialize};

/// A moment, in milliseconds since the Unix epoch, UTC (OCSF `timestamp_t`). May be negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub i64);

/// The text is not a time that we read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not a time; give RFC 3339 (2026-03-02T09:00:00+08:00) or epoch milliseconds")]
pub struct TimeError {
    /// What was given.
    pub given: String,
}

impl Millis {
    /// The earliest and the latest moments that can be written as RFC 3339 with four-digit years.
    pub const MIN: Millis = Millis(-62_135_596_800_000);
    /// See [`Millis::MIN`].
    pub const MAX: Millis = Millis(253_402_300_799_999);

    /// Reads RFC 3339 with an offset (or `Z`), or epoch milliseconds as digits.
    ///
    /// # Errors
    /// The author's: the text is neither.
    pub fn parse(text: &str) -> Result<Millis, TimeError> {
        let text = text.trim();
        if let Ok(ms) = text.parse::<i64>() {
            return Ok(Millis(ms));
        }
        match text.parse::<jiff::Timestamp>() {
            Ok(t) => Ok(Millis(t.as_millisecond())),
            Err(_) => Err(TimeError { given: text.to_owned() }),
        }
    }

    /// The moment `ms` milliseconds later; stops at the ends of `i64`.
    #[must_use]
    pub fn plus_ms(self, ms: i64) -> Millis {
        Millis(self.0.saturating_add(ms))
    }
}

impl fmt::Display for Millis {
    /// RFC 3339 in UTC with milliseconds, `2026-03-02T01:00:00.000Z`; outside years 1-9999 the bare number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(t) if (Millis::MIN..=Millis::MAX).contains(self) => write!(f, "{t:.3}"),
            _ => write!(f, "{}", self.0),
        }
    }
}

impl Add<i64> for Millis {
    type Output = Millis;
    fn add(self, ms: i64) -> Millis {
        self.plus_ms(ms)
    }
}

impl Sub for Millis {
    type Output = i64;
    /// The distance in milliseconds.
    fn sub(self, other: Millis) -> i64 {
        self.0.saturating_sub(other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_offsets_and_writes_utc() {
        assert_eq!(
            Millis::parse("2026-03-02T09:00:00.250+08:00").unwrap().to_string(),
            "2026-03-02T01:00:00.250Z"
        );
        assert_eq!(Millis::parse("1772413200250").unwrap(), Millis(1_772_413_200_250));
        assert!(Millis::parse("yesterday").is_err());
    }

    #[test]
    fn the_ends_of_time_do_not_panic() {
        assert_eq!(Millis(i64::MAX).to_string(), i64::MAX.to_string());
        assert_eq!(Millis(i64::MAX) + 1, Millis(i64::MAX));
    }
}
