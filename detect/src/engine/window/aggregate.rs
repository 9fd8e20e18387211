//! Sum, mean, median and percentile of the values of a window.

use crate::policy::CorrelationKind;
use crate::sigma::Number;

/// Of no number there is no aggregate, but for a sum, which is 0.
pub(super) fn aggregate(kind: CorrelationKind, numbers: impl Iterator<Item = Number>) -> Option<Number> {
    match kind {
        CorrelationKind::ValueSum => sum(numbers).map(|(sum, _)| sum),
        CorrelationKind::ValueAvg => match sum(numbers)? {
            (_, 0) => None,
            (sum, n) => float(sum.to_f64() / n as f64),
        },
        CorrelationKind::ValueMedian => {
            let mut numbers: Vec<Number> = numbers.collect();
            let n = numbers.len();
            if n == 0 {
                return None;
            }
            let (below, middle, _) = numbers.select_nth_unstable(n / 2);
            let middle = *middle;
            if n % 2 == 1 {
                return Some(middle);
            }
            let lower = below.iter().max().copied()?;
            if lower == middle {
                return Some(middle);
            }
            float((lower.to_f64() + middle.to_f64()) / 2.0)
        }
        CorrelationKind::ValuePercentile { percentile } => {
            // Nearest rank: the least value that at least so many percent of the values do not exceed.
            let mut numbers: Vec<Number> = numbers.collect();
            if numbers.is_empty() {
                return None;
            }
            let rank = (usize::from(percentile.min(100)) * numbers.len()).div_ceil(100).max(1);
            Some(*numbers.select_nth_unstable(rank - 1).1)
        }
        _ => None,
    }
}

/// The sum and how many there were; integers exactly, as long as they fit.
fn sum(numbers: impl Iterator<Item = Number>) -> Option<(Number, usize)> {
    let (mut n, mut ints, mut exact, mut floats) = (0, 0i128, true, 0f64);
    for number in numbers {
        n += 1;
        floats += number.to_f64();
        match number {
            Number::Int(i) => match ints.checked_add(i) {
                Some(sum) => ints = sum,
                None => exact = false,
            },
            Number::Float(_) => exact = false,
        }
    }
    let sum = if exact { Number::Int(ints) } else { float(floats)? };
    Some((sum, n))
}

fn float(float: f64) -> Option<Number> {
    float.is_finite().then(|| Number::parse(&format!("{float}")))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aggregates() {
        let of = |kind, texts: &[&str]| {
            let numbers = texts.iter().filter_map(|t| Number::parse(t));
            aggregate(kind, numbers).map(|n| n.to_string())
        };
        use CorrelationKind::{ValueAvg as Avg, ValueMedian as Median, ValuePercentile, ValueSum as Sum};
        let rank = |percentile| ValuePercentile { percentile };
        let five = &["3", "1", "x", "2.5", "10"][..];
        for (kind, texts, want) in [
            (Sum, five, Some("16.5")),
            (Sum, &[][..], Some("0")),
            (Sum, &["9007199254740993", "1"][..], Some("9007199254740994")),
            (Avg, five, Some("4.125")),
            (Avg, &["x"][..], None),
            (Median, five, Some("2.75")),
            (Median, &["7"][..], Some("7")),
            (Median, &["5", "1", "3"][..], Some("3")),
            (Median, &[][..], None),
            (rank(50), five, Some("2.5")),
            (rank(95), five, Some("10")),
            (rank(100), five, Some("10")),
            (rank(0), five, Some("1")),
            (rank(50), &[][..], None),
        ] {
            assert_eq!(of(kind, texts).as_deref(), want, "{kind:?} {texts:?}");
        }
    }
}
