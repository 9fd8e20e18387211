//! `where` and `when`, read from YAML.

use ipnet::IpNet;
use model::Millis;
use regex::Regex;

use super::super::{Condition, Literal, Op, Subject, Test, Value};
use super::reference::{Scope, reference_text, value};
use crate::Problem;
use crate::report::{Report, unknown};
use crate::sigma::{Number, address};
use crate::yaml::{Key, Kind, Node};

const TEST_MODIFIERS: &[&str] = &[
    "contains",
    "startswith",
    "endswith",
    "re",
    "lt",
    "lte",
    "gt",
    "gte",
    "exists",
    "covers",
    "cidr",
    "has",
    "distinct",
];

/// Reads the map of a `where` or a `when`: all its items have to hold.
pub(crate) fn condition(report: &mut Report, node: &Node, key: &str, scope: &Scope) -> Option<Condition> {
    let Some(items) = node.map() else {
        report.shape(node, key, "a map of `column|modifier: value`");
        return None;
    };
    let read: Vec<Option<Condition>> = items.iter().map(|(k, v)| item(report, k, v, scope)).collect();
    let mut all = read.into_iter().collect::<Option<Vec<_>>>()?;
    Some(if all.len() == 1 {
        all.swap_remove(0)
    } else {
        Condition::All(all)
    })
}

fn item(report: &mut Report, key: &Key, node: &Node, scope: &Scope) -> Option<Condition> {
    let maps = |report: &mut Report| {
        let maps: Vec<_> = node
            .one_or_many()
            .iter()
            .map(|n| condition(report, n, &key.text, scope))
            .collect();
        if maps.is_empty() {
            report.shape(node, &key.text, "a map or a list of maps");
            return None;
        }
        maps.into_iter().collect::<Option<Vec<_>>>()
    };
    match key.text.as_str() {
        "any" => return Some(Condition::Any(maps(report)?)),
        "all" => return Some(Condition::All(maps(report)?)),
        "none" => return Some(Condition::None(maps(report)?)),
        _ => {}
    }
    let mut words = key.text.split('|').map(str::trim);
    let name = words.next().unwrap_or_default();
    let subject = match name.strip_prefix('$') {
        Some(text) => match reference_text(text, scope) {
            Ok(reference) => Subject::Reference(reference),
            Err(problem) => {
                report.at_key(key, problem);
                return None;
            }
        },
        None if name.is_empty() => {
            report.at_key(
                key,
                Problem::Missing {
                    key: "column".to_owned(),
                    why: "a test looks at one".to_owned(),
                },
            );
            return None;
        }
        None if !scope.row => {
            let reason = "there is no row here; a key has to be a reference (`$event.user.name`)".to_owned();
            report.at_key(
                key,
                Problem::Value {
                    key: name.to_owned(),
                    reason,
                },
            );
            return None;
        }
        None => Subject::Column(name.into()),
    };
    let modifier = words.next();
    if let Some(second) = words.next() {
        let reason = match (modifier, second) {
            (Some("has"), "distinct") => "is not there yet".to_owned(),
            _ => "is a second modifier; a test takes one".to_owned(),
        };
        report.at_key(
            key,
            Problem::Modifier {
                given: second.to_owned(),
                reason,
            },
        );
        return None;
    }
    let op = op(report, key, modifier, node, scope)?;
    Some(Condition::Test(Test { subject, op }))
}

fn op(report: &mut Report, key: &Key, modifier: Option<&str>, node: &Node, scope: &Scope) -> Option<Op> {
    let name = key.text.as_str();
    Some(match modifier {
        Some("exists") => Op::Exists(report.bool(node, name)?),
        Some("has") => {
            let row = scope.with_row();
            let maps: Vec<_> = node
                .one_or_many()
                .iter()
                .map(|n| condition(report, n, name, &row))
                .collect();
            if maps.is_empty() {
                report.shape(node, name, "a list of maps");
                return None;
            }
            Op::Has(maps.into_iter().collect::<Option<Vec<_>>>()?)
        }
        Some("re") => {
            let mut all = Vec::new();
            for n in node.one_or_many() {
                let text = report.text(n, name)?;
                match Regex::new(&text) {
                    Ok(regex) => all.push(regex),
                    Err(e) => {
                        let reason = e.to_string().lines().last().unwrap_or_default().to_owned();
                        report.at(n, Problem::Regex { given: text, reason });
                        return None;
                    }
                }
            }
            Op::Re(all)
        }
        Some("distinct") => {
            let reason = "goes behind `has`, and is not there yet".to_owned();
            report.at_key(
                key,
                Problem::Modifier {
                    given: "distinct".to_owned(),
                    reason,
                },
            );
            return None;
        }
        None => Op::Equals(values(report, name, node, scope, &|_| true, "")?),
        Some("contains") => Op::Contains(values(report, name, node, scope, &is_text, "text")?),
        Some("startswith") => Op::StartsWith(values(report, name, node, scope, &is_text, "text")?),
        Some("endswith") => Op::EndsWith(values(report, name, node, scope, &is_text, "text")?),
        Some("covers") => Op::Covers(values(report, name, node, scope, &is_address, "an address")?),
        Some("cidr") => Op::Cidr(values(report, name, node, scope, &is_net, "a CIDR or an address")?),
        Some(word @ ("lt" | "lte" | "gt" | "gte")) => {
            let values = values(report, name, node, scope, &is_ordered, "a number or a time")?;
            match word {
                "lt" => Op::Lt(values),
                "lte" => Op::Lte(values),
                "gt" => Op::Gt(values),
                _ => Op::Gte(values),
            }
        }
        Some(word) => {
            report.at_key(key, unknown("modifier", word, TEST_MODIFIERS));
            return None;
        }
    })
}

fn values(
    report: &mut Report,
    key: &str,
    node: &Node,
    scope: &Scope,
    fits: &dyn Fn(&Literal) -> bool,
    allowed: &str,
) -> Option<Vec<Value>> {
    let nodes = match &node.kind {
        Kind::List(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    if nodes.is_empty() {
        report.shape(node, key, "a value or a list of values");
        return None;
    }
    let mut out = Vec::with_capacity(nodes.len());
    for n in nodes {
        let value = value(report, n, key, scope)?;
        if let Value::Literal(literal) = &value
            && !fits(literal)
        {
            report.shape(n, key, allowed);
            return None;
        }
        out.push(value);
    }
    Some(out)
}

fn is_text(literal: &Literal) -> bool {
    !matches!(literal, Literal::Null)
}

fn is_address(literal: &Literal) -> bool {
    matches!(literal, Literal::Text { raw, .. } if address(raw).is_some())
}

fn is_net(literal: &Literal) -> bool {
    matches!(literal, Literal::Text { raw, .. } if raw.parse::<IpNet>().is_ok() || address(raw).is_some())
}

fn is_ordered(literal: &Literal) -> bool {
    match literal {
        Literal::Number(_) => true,
        Literal::Text { raw, .. } => {
            Number::parse(raw).is_some() || Millis::parse(raw).is_ok() || raw.parse::<jiff::civil::Date>().is_ok()
        }
        Literal::Bool(_) | Literal::Null => false,
    }
}
