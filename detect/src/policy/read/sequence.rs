//! `sequence`, read from YAML.

use super::super::{Breach, Sequence};
use super::reference::{Scope, duration, reference, references};
use crate::Problem;
use crate::report::Report;
use crate::sigma::Number;
use crate::yaml::{Kind, Node};

/// Numbers that have to stand before, where the policy does not say.
const AT_LEAST_DEFAULT: u64 = 8;

pub(crate) const SEQUENCE_KEYS: &[&str] = &["number", "of", "gap", "backwards", "at_least"];

/// Reads the map of `sequence`.
pub(crate) fn sequence(report: &mut Report, node: &Node, scope: &Scope) -> Option<Sequence> {
    if !report.keys(node, "sequence", SEQUENCE_KEYS) {
        return None;
    }
    let mut missing = |key: &str, why: &str| {
        report.at(
            node,
            Problem::Missing {
                key: format!("sequence.{key}"),
                why: why.to_owned(),
            },
        );
    };
    if node.get("number").is_none() {
        missing("number", "it is the number of the event (`$event.metadata.sequence`)");
    }
    if node.get("of").is_none() {
        missing("of", "it says of which log the number is (`[$event.device.hostname]`)");
    }
    if node.get("gap").is_some() == node.get("backwards").is_some() {
        missing(
            "gap",
            "it says how many missing numbers are allowed (`gap: 10`); or `backwards: 10m`, how far time may go back",
        );
    }
    let whole = |n: &Node| match n.kind {
        Kind::Number(Number::Int(number), _) => i64::try_from(number).ok().filter(|n| *n >= 0),
        _ => None,
    };
    let number = reference(report, node.get("number")?, "number", scope);
    let of = references(report, node.get("of")?, "of", scope);
    let breach = match (node.get("gap"), node.get("backwards")) {
        (Some(n), None) => match whole(n) {
            Some(number) => Some(Breach::Gap(number)),
            None => {
                report.shape(n, "gap", "a whole number from 0");
                None
            }
        },
        (None, Some(n)) => duration(report, n, "backwards").map(Breach::Backwards),
        _ => None,
    };
    let at_least = match node.get("at_least") {
        None => AT_LEAST_DEFAULT,
        Some(n) => match whole(n) {
            Some(number) => number.unsigned_abs(),
            None => {
                report.shape(n, "at_least", "a whole number from 0");
                return None;
            }
        },
    };
    Some(Sequence {
        number: number?,
        of,
        breach: breach?,
        at_least,
    })
}
