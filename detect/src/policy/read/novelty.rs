//! `first_seen` and `rare`, read from YAML.

use super::super::Novelty;
use super::reference::{Scope, duration, duration_or_zero, references};
use crate::Problem;
use crate::report::Report;
use crate::yaml::{Kind, Node};

const DAY_MS: i64 = 86_400_000;
/// How long a key has to be known, and is remembered, where the policy does not say.
const WARM_UP_DEFAULT_MS: i64 = 14 * DAY_MS;
const KEEP_DEFAULT_MS: i64 = 400 * DAY_MS;
/// The longest look back: a row is kept for each of these days and each value.
const WITHIN_MAX_MS: i64 = 400 * DAY_MS;

pub(crate) const FIRST_SEEN_KEYS: &[&str] = &["key", "value", "within", "warm_up", "keep"];
pub(crate) const RARE_KEYS: &[&str] = &["key", "value", "within", "warm_up", "keep", "days"];

/// Reads the map of `first_seen` or `rare`.
pub(crate) fn novelty(report: &mut Report, node: &Node, word: &str, scope: &Scope) -> Option<Novelty> {
    let allowed = if word == "rare" { RARE_KEYS } else { FIRST_SEEN_KEYS };
    if !report.keys(node, word, allowed) {
        return None;
    }
    let missing = |report: &mut Report, key: &str, why: &str| {
        report.at(
            node,
            Problem::Missing {
                key: format!("{word}.{key}"),
                why: why.to_owned(),
            },
        );
    };
    let mut read = |key: &str| {
        node.get(key)
            .map(|n| references(report, n, key, scope))
            .unwrap_or_default()
    };
    let (key, value) = (read("key"), read("value"));
    if node.get("key").is_none() {
        missing(report, "key", "it says whose habit it is (`[$event.user.name]`)");
    }
    if word == "rare" && node.get("value").is_none() {
        missing(report, "value", "it says what is rare (`[$event.src_endpoint.ip]`)");
    }
    let within_ms = match node.get("within") {
        Some(n) => {
            let ms = duration(report, n, "within")?;
            if !(DAY_MS..=WITHIN_MAX_MS).contains(&ms) {
                report.shape(n, "within", "from 1d to 400d");
            }
            ms
        }
        None => {
            missing(report, "within", "it is how far back is looked (`90d`)");
            return None;
        }
    };
    let warm_up = node.get("warm_up").and_then(|n| duration_or_zero(report, n, "warm_up"));
    let keep = node.get("keep").and_then(|n| duration(report, n, "keep"));
    let days = match node.get("days").map(|n| (n, &n.kind)) {
        None if word == "rare" => 3,
        None => 1,
        Some((_, Kind::Number(crate::sigma::Number::Int(n @ 1..=400), _))) => *n as u32,
        Some((n, _)) => {
            report.shape(n, "days", "a whole number from 1 to 400");
            return None;
        }
    };
    Some(Novelty {
        key,
        value,
        within_ms,
        warm_up_ms: warm_up.unwrap_or(WARM_UP_DEFAULT_MS),
        keep_ms: keep.unwrap_or(KEEP_DEFAULT_MS).max(within_ms),
        days,
    })
}
