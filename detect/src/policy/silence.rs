//! A source that must not fall silent.

use super::read::duration_ms;
use super::{EventField, Lookup, PolicyIndex, Value};

/// Sources of which a record is expected again and again.
#[derive(Clone, Debug)]
pub struct Silence {
    /// One watch for each combination of rows, joined in order.
    pub each: Vec<Lookup>,
    /// The source's id in the configuration.
    pub source: Value,
    /// How long it may be silent: a number of seconds, or a duration. Without a value: as `learn` says.
    pub every: Option<Value>,
    /// The cadence is learned of sources that `every` has no value for, and of those that no row names.
    pub learn: Option<Learn>,
    /// How long a source may be silent that has not sent anything yet, milliseconds; where `every` has no value.
    pub never_ms: Option<i64>,
    /// When its silence counts: `working_hours` or `always`. Without a value: as it was learned, else always.
    pub within: Option<Value>,
    /// The site whose working hours those are.
    pub site: Option<Value>,
    /// OCSF classes whose records count, others are not heard; none given: all.
    pub classes: Vec<u32>,
    /// Events after which the clock of silence begins anew.
    pub anew: Vec<Anew>,
    /// How much longer than otherwise a source may be silent after one of them, milliseconds.
    pub grace_ms: i64,
}

/// How a cadence is learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Learn {
    /// How long a source is listened to before anything is said of it, milliseconds.
    pub warm_up_ms: i64,
    /// The least that a source may be silent, milliseconds.
    pub at_least_ms: i64,
    /// The most, milliseconds.
    pub at_most_ms: i64,
}

impl Default for Learn {
    fn default() -> Learn {
        Learn {
            warm_up_ms: 3 * 86_400_000,
            at_least_ms: 15 * 60_000,
            at_most_ms: 7 * 86_400_000,
        }
    }
}

/// A rule after whose events the clock of silence begins anew.
#[derive(Clone, Debug)]
pub struct Anew {
    /// The rule.
    pub rule: PolicyIndex,
    /// The field of its event that names the sources; `None`: all sources.
    pub source: Option<EventField>,
}

impl Silence {
    /// Every value that it reads.
    pub(crate) fn values(&self) -> impl Iterator<Item = &Value> {
        let given = [&self.every, &self.within, &self.site];
        [&self.source].into_iter().chain(given.into_iter().flatten())
    }

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
