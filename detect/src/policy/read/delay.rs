//! `delay`, read from YAML.

use super::super::directory::Directory;
use super::super::{Body, Delay, Of, Value};
use super::lookup::{bind_tables, lookups};
use super::reference::{Scope, duration, value};
use crate::Problem;
use crate::report::Report;
use crate::yaml::Node;

pub(crate) const DELAY_KEYS: &[&str] = &[
    "each",
    "source",
    "of",
    "over",
    "at_least",
    "percentile",
    "usual",
    "more_than",
];
pub(crate) const OF: &[&str] = &["sender", "source"];
/// Spans are from a minute to a day; what is usual is that of at most a week.
const OVER_MS: std::ops::RangeInclusive<i64> = 60_000..=86_400_000;
const USUAL_MS: std::ops::RangeInclusive<i64> = 3_600_000..=7 * 86_400_000;

/// Reads `docket.delay`.
pub(super) fn delay(report: &mut Report, node: &Node, directory: &Directory) -> Option<(Body, Scope)> {
    if !report.keys(node, "delay", DELAY_KEYS) {
        return None;
    }
    let mut scope = Scope::default();
    let mut each = Vec::new();
    if let Some(n) = node.get("each") {
        each = lookups(report, n, "delay.each", &mut scope);
        bind_tables(report, &mut each, directory);
    }
    if let Some(wrong) = each.iter().find(|l| l.event_table.is_some()) {
        let reason = "delays are watched for the rows of reference tables, not of event tables".to_owned();
        let key = format!("delay.each.{}", wrong.table);
        report.at(node, Problem::Value { key, reason });
    }
    let source = node.get("source").and_then(|n| value(report, n, "source", &scope));
    let more_than = node
        .get("more_than")
        .and_then(|n| value(report, n, "more_than", &scope));
    match (node.get("more_than"), &more_than) {
        (None, _) => {
            let key = "delay.more_than".to_owned();
            let why = "it is the limit (`60s`, or a column of seconds)".to_owned();
            report.at(node, Problem::Missing { key, why });
        }
        (Some(n), Some(Value::Literal(_))) if Delay::limit_ms(&n.scalar().unwrap_or_default()).is_none() => {
            report.shape(n, "more_than", "a number of seconds, a duration (`60s`) or a reference");
        }
        _ => {}
    }
    let of = match node.get("of").map(|n| (n, n.scalar().unwrap_or_default())) {
        None => Of::Sender,
        Some((_, word)) if word == "sender" => Of::Sender,
        Some((_, word)) if word == "source" => Of::Source,
        Some((n, word)) => {
            report.unknown(n, "`of`", &word, OF);
            return None;
        }
    };
    let mut span = |key: &str, range: &std::ops::RangeInclusive<i64>, allowed: &str| {
        let n = node.get(key)?;
        let ms = duration(report, n, key)?;
        if !range.contains(&ms) || ms % 60_000 != 0 {
            report.shape(n, key, allowed);
        }
        Some(ms)
    };
    let over_ms = span("over", &OVER_MS, "whole minutes, from 1m to 24h");
    let usual_ms = span("usual", &USUAL_MS, "whole minutes, from 1h to 7d");
    let mut number = |key: &str, default: u64, most: u64| {
        let Some(n) = node.get(key) else { return default };
        let given = n.scalar().and_then(|t| t.parse::<u64>().ok());
        given.filter(|v| (1..=most).contains(v)).unwrap_or_else(|| {
            report.shape(n, key, &format!("a whole number from 1 to {most}"));
            default
        })
    };
    let (at_least, percentile) = (number("at_least", 3, 1_000_000), number("percentile", 50, 99));
    scope.aliases.push("delay".into());
    Some((
        Body::Delay(Delay {
            each,
            source,
            of,
            over_ms: over_ms.unwrap_or(300_000),
            at_least,
            percentile: percentile as u8,
            usual_ms,
            more_than: more_than?,
        }),
        scope,
    ))
}
