//! A source that must not fall silent.

use super::read::duration_ms;
use super::{Lookup, Value};

/// Sources of which a record is expected again and again.
#[derive(Clone, Debug)]
pub struct Silence {
    /// One watch for each combination of rows, joined in order.
    pub each: Vec<Lookup>,
    /// The source's id in the configuration.
    pub source: Value,
    /// How long it may be silent: a number of seconds, or a duration.
    pub every: Value,
}

impl Silence {
    /// What `every` says, in milliseconds; `None` where it is no span of time above 0.
    #[must_use]
    pub fn span_ms(text: &str) -> Option<i64> {
        let seconds = || text.trim().parse::<i64>().ok()?.checked_mul(1000);
        // A hundred years, as of any duration.
        duration_ms(text)
            .or_else(seconds)
            .filter(|ms| (1..=100 * 366 * 86_400_000).contains(ms))
    }
}

#[cfg(test)]
mod tests {
    use super::Silence;

    #[test]
    fn a_span_is_seconds_or_a_duration() {
        for (text, ms) in [
            ("300", Some(300_000)),
            ("5m", Some(300_000)),
            ("0", None),
            ("-5", None),
            ("soon", None),
            ("99999999999999999", None),
        ] {
            assert_eq!(Silence::span_ms(text), ms, "{text}");
        }
    }
}
