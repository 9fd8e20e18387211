//! `where` and `when`, read from YAML.

use std::sync::Arc;

use ipnet::IpNet;
use model::Millis;
use regex::Regex;

use super::super::{Apart, Condition, Has, Literal, Op, Subject, Test, Value, Wanted};
use super::reference::{Scope, reference_text, value};
use crate::Problem;
use crate::report::{Report, unknown};
use crate::sigma::{Number, address};
use crate::yaml::{Key, Kind, Node};

pub(crate) const TEST_MODIFIERS: &[&str] = &[
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
    "within",
    "has",
    "distinct",
];

/// Elements that one `has` may ask for.
const HAS_MAX: usize = 16;

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
    let second = words.next();
    if let (Some("has"), Some("distinct"), None) = (modifier, second, words.next()) {
        let has = distinct(report, key, node, scope)?;
        let op = Op::Has(has);
        return Some(Condition::Test(Test { subject, op }));
    }
    if let Some(second) = second {
        let problem = match modifier {
            Some("has") => unknown("modifier behind `has`", second, &["distinct"]),
            _ => Problem::Modifier {
                given: second.to_owned(),
                reason: "is a second modifier; a test takes one".to_owned(),
            },
        };
        report.at_key(key, problem);
        return None;
    }
    let op = op(report, key, modifier, node, scope)?;
    Some(Condition::Test(Test { subject, op }))
}

fn op(report: &mut Report, key: &Key, modifier: Option<&str>, node: &Node, scope: &Scope) -> Option<Op> {
    let name = key.text.as_str();
    Some(match modifier {
        Some("exists") => Op::Exists(report.bool(node, name)?),
        Some("has") => Op::Has(has(report, node, name, Apart::No, scope)?),
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
            let reason = "goes behind `has`".to_owned();
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
        Some("within") => Op::Within(values(report, name, node, scope, &|_| true, "")?),
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

/// Reads the maps of `has`. Each may name its element (`as`) for those behind it.
fn has(report: &mut Report, node: &Node, name: &str, apart: Apart, scope: &Scope) -> Option<Has> {
    let maps = node.one_or_many();
    if maps.is_empty() {
        report.shape(node, name, "a list of maps");
        return None;
    }
    if maps.len() > HAS_MAX {
        let problem = Problem::TooMuch {
            what: "maps in one `has`",
            given: maps.len(),
            limit: HAS_MAX,
        };
        report.at(node, problem);
        return None;
    }
    let mut row = scope.with_row();
    let mut wanted = Vec::with_capacity(maps.len());
    for map in maps {
        let mut alias = None;
        let mut items = Vec::new();
        for (key, node) in map.map().unwrap_or_default() {
            if key.text == "as" {
                alias = report.text(node, "as");
                if let Some(given) = &alias
                    && (!is_alias(given) || row.aliases.iter().any(|a| **a == **given))
                {
                    report.shape(node, "as", "a word of its own, without dots and blanks");
                }
            } else {
                items.push(item(report, key, node, &row)?);
            }
        }
        if map.map().is_none() {
            report.shape(map, name, "a map of `column|modifier: value`");
            return None;
        }
        let alias: Option<Arc<str>> = alias.map(Into::into);
        wanted.push(Wanted {
            alias: alias.clone(),
            condition: Condition::All(items),
        });
        row.aliases.extend(alias);
    }
    Some(Has { wanted, apart })
}

/// Reads `has|distinct`: a list of maps, or the column by which their elements differ, with the list.
fn distinct(report: &mut Report, key: &Key, node: &Node, scope: &Scope) -> Option<Has> {
    match node.map() {
        Some([(column, maps)]) if matches!(maps.kind, Kind::List(_)) => has(
            report,
            maps,
            &key.text,
            Apart::Column(column.text.as_str().into()),
            scope,
        ),
        Some(_) => {
            let allowed = "a list of maps, or a column and the list: `{approver: [{capacity: supervisor}, …]}`";
            report.shape(node, &key.text, allowed);
            None
        }
        None => has(report, node, &key.text, Apart::Elements, scope),
    }
}

/// Whether a word may name a row.
pub(crate) fn is_alias(word: &str) -> bool {
    let taken = ["event", "row", "count"].contains(&word);
    !taken && !word.is_empty() && !word.contains(['.', '$', '{', '}', '|', ' '])
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
