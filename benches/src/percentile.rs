//! Percentiles of measured times.

use std::time::Duration;

/// The least of `sorted` that at least `percent` of them do not exceed (nearest rank). Zero of none.
pub fn of(sorted: &[Duration], percent: f64) -> Duration {
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted
        .get(rank.max(1) - 1)
        .or(sorted.last())
        .copied()
        .unwrap_or_default()
}

/// A row of a Markdown table: name, how many, p50, p90, p99, most, in milliseconds.
pub fn row(name: &str, times: &[Duration]) -> String {
    let mut sorted = times.to_vec();
    sorted.sort();
    let ms = |d: Duration| format!("{:.0}", d.as_secs_f64() * 1e3);
    format!(
        "| {name} | {} | {} | {} | {} | {} |",
        sorted.len(),
        ms(of(&sorted, 50.0)),
        ms(of(&sorted, 90.0)),
        ms(of(&sorted, 99.0)),
        ms(sorted.last().copied().unwrap_or_default())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_rank() {
        let all: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        for (percent, ms) in [(50.0, 100), (90.0, 180), (99.0, 198), (100.0, 200), (0.0, 1)] {
            assert_eq!(of(&all, percent), Duration::from_millis(ms), "{percent}");
        }
        assert_eq!(of(&[], 99.0), Duration::ZERO);
    }
}
