//! Many delays in little room: how often each was seen, to 32 ms or 0.2 %.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What delays are rounded to, milliseconds.
const UNIT_MS: u64 = 32;
/// Units beyond which two delays may fall together: of each power of two so many are told apart.
const PARTS: u32 = 9;

/// Delays by how often they were seen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sketch(BTreeMap<i32, u32>);

/// Where a delay is counted.
fn bin(delay_ms: i64) -> i32 {
    let units = delay_ms.unsigned_abs() / UNIT_MS;
    let shift = (u64::BITS - units.leading_zeros()).saturating_sub(PARTS + 1);
    // The first bit of what is left stands for the power of two, so that bins follow each other.
    let bin = ((shift as i32) << PARTS) + (units >> shift) as i32;
    if delay_ms < 0 { -bin } else { bin }
}

/// The least delay, by its size, that is counted there.
fn delay_of(bin: i32) -> i64 {
    let size = bin.unsigned_abs();
    let shift = (size >> PARTS).saturating_sub(1);
    let units = u64::from(size - (shift << PARTS)) << shift;
    let ms = i64::try_from(units.saturating_mul(UNIT_MS)).unwrap_or(i64::MAX);
    if bin < 0 { -ms } else { ms }
}

/// How far from it a delay may be that is counted with this one.
pub fn error_ms(delay_ms: i64) -> i64 {
    UNIT_MS as i64 + delay_ms.saturating_abs() / (1 << PARTS)
}

impl Sketch {
    pub fn add(&mut self, delay_ms: i64) {
        let n = self.0.entry(bin(delay_ms)).or_default();
        *n = n.saturating_add(1);
    }

    pub fn merge(&mut self, other: &Sketch) {
        for (bin, n) in &other.0 {
            let to = self.0.entry(*bin).or_default();
            *to = to.saturating_add(*n);
        }
    }

    /// Takes out what was merged before.
    pub fn take(&mut self, other: &Sketch) {
        for (bin, n) in &other.0 {
            if let Some(of) = self.0.get_mut(bin) {
                *of = of.saturating_sub(*n);
                if *of == 0 {
                    self.0.remove(bin);
                }
            }
        }
    }

    pub fn count(&self) -> u64 {
        self.0.values().map(|n| u64::from(*n)).sum()
    }

    /// The delay at a percentile, by nearest rank; `None` of nothing.
    pub fn percentile(&self, percentile: u8) -> Option<i64> {
        let rank = (self.count() * u64::from(percentile)).div_ceil(100).max(1);
        let mut seen = 0;
        self.0.iter().find_map(|(bin, n)| {
            seen += u64::from(*n);
            (seen >= rank).then(|| delay_of(*bin))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_percentile_is_that_of_the_sorted_list(delays in prop::collection::vec(-100_000_000_i64..100_000_000, 1..200), p in 1u8..100) {
            let mut sketch = Sketch::default();
            delays.iter().for_each(|d| sketch.add(*d));
            let mut sorted = delays.clone();
            sorted.sort_unstable();
            let exact = sorted[(sorted.len() * usize::from(p)).div_ceil(100).max(1) - 1];
            let near = sketch.percentile(p).unwrap();
            prop_assert!((near - exact).abs() <= error_ms(exact), "{near} for {exact}");
        }

        #[test]
        fn bins_are_in_the_order_of_delays(a in any::<i64>(), b in any::<i64>()) {
            prop_assert!((a <= b) == (bin(a) <= bin(b)) || bin(a) == bin(b));
        }
    }

    #[test]
    fn nothing_has_no_median() {
        assert_eq!(Sketch::default().percentile(50), None);
    }

    #[test]
    fn merged_is_as_added() {
        let (mut a, mut b, mut both) = (Sketch::default(), Sketch::default(), Sketch::default());
        for d in [1, 40, 5_000, -70_000] {
            a.add(d);
            both.add(d);
        }
        for d in [2, 9_000_000] {
            b.add(d);
            both.add(d);
        }
        let alone = a.clone();
        a.merge(&b);
        assert_eq!(a, both);
        a.take(&b);
        assert_eq!(a, alone);
    }
}
