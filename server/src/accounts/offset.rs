//! Whether a source's clock is off by a whole number of quarters of an hour: a zone that is not what was taken for it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::MINUTE_MS;

const QUARTER_MS: i64 = 15 * MINUTE_MS;
/// How far from a whole quarter a difference may be: records come later than they happen, and clocks are set.
const NEAR_MS: i64 = MINUTE_MS;
/// Zones lie between UTC-12 and UTC+14, so two of them at most 26 hours apart.
const QUARTERS_MAX: i64 = 26 * 4;
/// Records before anything is said.
const RECORDS_MIN: u64 = 20;
/// Records after which what was counted weighs half.
const RECORDS_MAX: u64 = 2_000;

/// Differences of `received_at` and event time by the nearest quarter of an hour; 127 stands for near none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Offsets(BTreeMap<i8, u64>);

impl Offsets {
    /// Counts one record.
    pub fn add(&mut self, skew_ms: i64) {
        let quarter = skew_ms.saturating_add(QUARTER_MS / 2).div_euclid(QUARTER_MS);
        let near = quarter.abs() <= QUARTERS_MAX && (skew_ms - quarter * QUARTER_MS).abs() <= NEAR_MS;
        let quarter = if near {
            i8::try_from(quarter).unwrap_or(i8::MAX)
        } else {
            i8::MAX
        };
        *self.0.entry(quarter).or_default() += 1;
    }

    /// Adds another's; older ones fade.
    pub fn merge(&mut self, other: &Offsets) {
        for (quarter, n) in &other.0 {
            *self.0.entry(*quarter).or_default() += n;
        }
        while self.0.values().sum::<u64>() > RECORDS_MAX {
            self.0.values_mut().for_each(|n| *n /= 2);
            self.0.retain(|_, n| *n > 0);
        }
    }

    /// By how many minutes the source's times are too early (or, below 0, too late), where nineteen of twenty records
    /// agree.
    pub fn minutes(&self) -> Option<i64> {
        let all: u64 = self.0.values().sum();
        let (quarter, n) = self.0.iter().max_by_key(|(_, n)| **n)?;
        let agreed = all >= RECORDS_MIN && *n * 20 >= all * 19;
        (agreed && ![0, i8::MAX].contains(quarter)).then(|| i64::from(*quarter) * 15)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_that_is_wrong_shows() {
        let hour = 60 * MINUTE_MS;
        for (skews, minutes) in [
            (vec![8 * hour + 900; 30], Some(480)),
            (vec![-8 * hour + 900; 30], Some(-480)),
            (vec![-5 * hour - 30 * MINUTE_MS + 1000; 30], Some(-330)),
            (vec![8 * hour; 19], None),
            (vec![500; 30], None),
            (vec![7 * MINUTE_MS; 30], None),
            (vec![i64::MAX, i64::MIN, 40 * hour], None),
            ([vec![8 * hour; 25], vec![500; 5]].concat(), None),
            ((0..30).map(|n| n * 3 * hour).collect(), None),
        ] {
            let mut offsets = Offsets::default();
            skews.iter().for_each(|s| offsets.add(*s));
            assert_eq!(offsets.minutes(), minutes, "{skews:?}");
        }
    }

    #[test]
    fn what_was_mended_fades() {
        let (mut wrong, mut right) = (Offsets::default(), Offsets::default());
        (0..1500).for_each(|_| wrong.add(8 * 60 * MINUTE_MS));
        (0..1500).for_each(|_| right.add(1000));
        let mut all = Offsets::default();
        all.merge(&wrong);
        assert_eq!(all.minutes(), Some(480));
        (0..10).for_each(|_| all.merge(&right));
        assert_eq!(all.minutes(), None);
        assert!(all.0.values().sum::<u64>() <= RECORDS_MAX);
    }
}
