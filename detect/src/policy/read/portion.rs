//! `portion`, read from YAML.

use super::super::Portion;
use super::reference::duration;
use crate::Problem;
use crate::report::Report;
use crate::sigma::Number;
use crate::yaml::{Kind, Node};

/// Events that a span must have, where the policy does not say.
const AT_LEAST_DEFAULT: u64 = 100;
/// Spans are from a minute to a day.
const EVERY_MS: std::ops::RangeInclusive<i64> = 60_000..=86_400_000;

pub(crate) const PORTION_KEYS: &[&str] = &["every", "at_least", "part_at_least", "more_than"];

/// Reads the map of `portion`.
pub(crate) fn portion(report: &mut Report, node: &Node) -> Option<Portion> {
    if !report.keys(node, "portion", PORTION_KEYS) {
        return None;
    }
    let (Some(every), Some(more)) = (node.get("every"), node.get("more_than")) else {
        let (key, why) = match node.get("every") {
            None => ("every", "it is how long a span lasts (`1h`)"),
            Some(_) => ("more_than", "it is the part that is allowed, in percent"),
        };
        let key = format!("portion.{key}");
        let why = why.to_owned();
        report.at(node, Problem::Missing { key, why });
        return None;
    };
    let every_ms = duration(report, every, "every")?;
    if !EVERY_MS.contains(&every_ms) {
        report.shape(every, "every", "from 1m to 24h");
        return None;
    }
    let mut count = |key: &str, default: u64| match node.get(key).map(|n| (n, &n.kind)) {
        None => Some(default),
        Some((_, Kind::Number(Number::Int(n), _))) if *n > 0 => u64::try_from(*n).ok(),
        Some((n, _)) => {
            report.shape(n, key, "a whole number from 1");
            None
        }
    };
    let (at_least, part_at_least) = (count("at_least", AT_LEAST_DEFAULT)?, count("part_at_least", 1)?);
    let hundredths = match &more.kind {
        Kind::Number(percent, _) => Some(percent.to_f64() * 100.0),
        _ => None,
    };
    let Some(hundredths) = hundredths.filter(|h| (0.0..10_000.0).contains(h) && (h - h.round()).abs() < 1e-6) else {
        report.shape(
            more,
            "more_than",
            "percent, from 0 to less than 100, with two decimals at most",
        );
        return None;
    };
    Some(Portion {
        every_ms,
        at_least,
        part_at_least,
        // Checked above.
        more_than: hundredths.round() as u32,
    })
}
