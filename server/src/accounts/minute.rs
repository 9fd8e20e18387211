//! What was received in a minute (or an hour) of a source.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Outcome;

/// A minute.
pub const MINUTE_MS: i64 = 60_000;
/// An hour.
pub const HOUR_MS: i64 = 60 * MINUTE_MS;

/// Counts of a span of `received_at`: `received = stored + quarantined + deduplicated`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Span {
    /// All records.
    pub received: u64,
    /// Of them, normalized.
    pub stored: u64,
    /// Of them, quarantined.
    pub quarantined: u64,
    /// Of them, duplicates.
    pub deduplicated: u64,
    /// The median of `received_at` less event time, milliseconds; of first deliveries that were understood.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skew_ms: Option<i64>,
    /// What the median is of, while the span is young.
    #[serde(skip_serializing_if = "Skews::is_empty")]
    pub skews: Skews,
}

impl Span {
    /// Counts one record.
    pub fn count(&mut self, outcome: Outcome, skew_ms: Option<i64>) {
        self.received += 1;
        *match outcome {
            Outcome::Stored => &mut self.stored,
            Outcome::Quarantined => &mut self.quarantined,
            Outcome::Deduplicated => &mut self.deduplicated,
        } += 1;
        if let Some(skew) = skew_ms {
            self.skews.add(skew);
        }
    }

    /// Moves one record from quarantined to what it is now.
    pub fn mend(&mut self, outcome: Outcome) {
        if self.quarantined > 0 {
            self.quarantined -= 1;
            *match outcome {
                Outcome::Stored => &mut self.stored,
                Outcome::Quarantined => &mut self.quarantined,
                Outcome::Deduplicated => &mut self.deduplicated,
            } += 1;
        }
    }

    /// Adds another's counts.
    pub fn add(&mut self, other: &Span) {
        self.received += other.received;
        self.stored += other.stored;
        self.quarantined += other.quarantined;
        self.deduplicated += other.deduplicated;
        self.skews.merge(&other.skews);
        self.skew_ms = self.skews.median().or(self.skew_ms).or(other.skew_ms);
    }

    /// Keeps the median alone.
    pub fn settle(&mut self) {
        self.skew_ms = self.skews.median().or(self.skew_ms);
        self.skews = Skews::default();
    }
}

/// Differences of time by size, each to within 5 percent or a millisecond.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Skews(BTreeMap<i16, u64>);

/// The ratio of the bounds of two steps.
const STEP: f64 = 1.1;

impl Skews {
    fn add(&mut self, ms: i64) {
        // At most 460 steps each way, so that any difference fits.
        #[allow(
            clippy::cast_possible_truncation,
            reason = "the logarithm of a number below 2^64 is small"
        )]
        let size = ((ms.unsigned_abs() as f64 + 1.0).ln() / STEP.ln()).round() as i16;
        *self.0.entry(if ms < 0 { -size } else { size }).or_default() += 1;
    }

    /// Adds another's.
    pub fn merge(&mut self, other: &Skews) {
        for (step, n) in &other.0 {
            *self.0.entry(*step).or_default() += n;
        }
    }

    /// The median; of an even number the lower one.
    pub fn median(&self) -> Option<i64> {
        let all: u64 = self.0.values().sum();
        let mut before = 0;
        for (step, n) in &self.0 {
            before += n;
            if before * 2 >= all {
                #[allow(
                    clippy::cast_possible_truncation,
                    reason = "it was made of an i64, and `as` stops at its ends"
                )]
                let size = (STEP.powi(i32::from(step.unsigned_abs())) - 1.0).round() as i64;
                return Some(if *step < 0 { -size } else { size });
            }
        }
        None
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_near() {
        for values in [
            vec![0],
            vec![5, 7, 900],
            vec![-40, -30, 1],
            vec![i64::MIN, i64::MAX, 100_000],
        ] {
            let mut skews = Skews::default();
            values.iter().for_each(|v| skews.add(*v));
            let mut sorted = values.clone();
            sorted.sort();
            let (real, told) = (sorted[(sorted.len() - 1) / 2], skews.median().unwrap());
            assert!((real - told).abs() <= 1 + real.abs() / 20, "{values:?}: {told}");
        }
        assert_eq!(Skews::default().median(), None);
    }
}
