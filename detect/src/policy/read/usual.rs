//! `docket.usual` and `docket.share` of a correlation, read from YAML.

use super::super::{Body, Correlation, CorrelationCondition, CorrelationKind, Share, Usual};
use super::reference::duration;
use crate::Problem;
use crate::report::Report;
use crate::sigma::{Compare, Number};
use crate::yaml::{Kind, Node};

/// Windows that may be looked back on: what is counted in each is counted anew for each event that reaches the condition.
const WINDOWS_MAX: i64 = 400;

pub(crate) const USUAL_KEYS: &[&str] = &["over", "percentile", "times", "at_least", "ending_with"];

pub(crate) const SHARE_KEYS: &[&str] = &["of", "more_than"];

/// Whether a correlation counts, and asks for more than a number.
fn is_more(report: &mut Report, node: &Node, key: &str, c: &Correlation) -> bool {
    let counts = matches!(
        c.kind,
        CorrelationKind::EventCount | CorrelationKind::ValueCount | CorrelationKind::ValueSum
    );
    let above = match &c.condition {
        CorrelationCondition::Compare { compare, .. } => {
            compare.iter().all(|(c, _)| matches!(c, Compare::Gt | Compare::Gte))
        }
        _ => false,
    };
    if !counts || !above {
        let reason = "goes with an `event_count`, `value_count` or `value_sum` that is more than a number".to_owned();
        let key = key.to_owned();
        report.at(node, Problem::Value { key, reason });
    }
    counts && above
}

/// Which of the correlation's rules a name is.
fn feeder(report: &mut Report, node: &Node, c: &Correlation) -> Option<usize> {
    let name = node.scalar().unwrap_or_default();
    let found = c.feeders.iter().position(|f| f.name == *name);
    if found.is_none() {
        let names: Vec<&str> = c.feeders.iter().map(|f| f.name.as_str()).collect();
        report.unknown(node, "rule of this correlation", &name, &names);
    }
    found
}

/// Reads the map of `share` into the correlation it stands in.
pub(crate) fn share(report: &mut Report, node: &Node, body: &mut Body) {
    if !report.keys(node, "share", SHARE_KEYS) {
        return;
    }
    let Body::Correlation(c) = body else { return };
    if !is_more(report, node, "share", c) {
        return;
    }
    let (Some(of), Some(more)) = (node.get("of"), node.get("more_than")) else {
        let why = "it says of which of the rules the count is (`of`), and how many percent of all they are more than"
            .to_owned();
        let key = if node.get("of").is_some() {
            "share.more_than"
        } else {
            "share.of"
        };
        let key = key.to_owned();
        return report.at(node, Problem::Missing { key, why });
    };
    let Some(feeder) = feeder(report, of, c) else { return };
    match &more.kind {
        Kind::Number(percent, _) if (0.0..100.0).contains(&percent.to_f64()) => {
            c.share = Some(Share {
                of: feeder,
                percent: *percent,
            });
        }
        _ => report.shape(more, "more_than", "percent, from 0 to less than 100"),
    }
}

/// Reads the map of `usual` into the correlation it stands in.
pub(crate) fn usual(report: &mut Report, node: &Node, body: &mut Body) {
    if !report.keys(node, "usual", USUAL_KEYS) {
        return;
    }
    let Body::Correlation(c) = body else { return };
    if !is_more(report, node, "usual", c) {
        return;
    }
    let Some(over) = node.get("over") else {
        let why = "it is how far back the windows go that are usual (`30d`)".to_owned();
        let key = "usual.over".to_owned();
        return report.at(node, Problem::Missing { key, why });
    };
    let Some(over_ms) = duration(report, over, "over") else {
        return;
    };
    if over_ms < c.timespan_ms || over_ms / c.timespan_ms > WINDOWS_MAX {
        return report.shape(over, "over", "1 to 400 times the `timespan`");
    }
    let percentile = match node.get("percentile").map(|n| (n, &n.kind)) {
        None => 50,
        Some((_, Kind::Number(Number::Int(p @ 0..=100), _))) => *p as u8,
        Some((n, _)) => return report.shape(n, "percentile", "a whole number from 0 to 100"),
    };
    let times = match node.get("times").map(|n| (n, &n.kind)) {
        None => Number::Int(1),
        Some((_, Kind::Number(n, _))) if n.to_f64() > 0.0 => *n,
        Some((n, _)) => return report.shape(n, "times", "a number above 0"),
    };
    let at_least = match node.get("at_least").map(|n| (n, &n.kind)) {
        None => 1,
        Some((_, Kind::Number(Number::Int(n @ 1..=400), _))) => *n as usize,
        Some((n, _)) => return report.shape(n, "at_least", "a whole number from 1 to 400"),
    };
    let ending_with = match node.get("ending_with") {
        None => None,
        Some(n) => match feeder(report, n, c) {
            None => return,
            found => found,
        },
    };
    c.usual = Some(Usual {
        ending_with,
        over_ms,
        percentile,
        times,
        at_least,
    });
}
