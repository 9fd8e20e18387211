//! `correlation`, read from YAML.

use std::collections::{BTreeMap, BTreeSet};

use model::Namespace;

use super::super::directory::Directory;
use super::super::{Body, Compare, Correlation, CorrelationCondition, CorrelationKind, EventField, Expression, Feeder};
use super::reference::{Scope, duration};
use crate::Problem;
use crate::report::{Report, nearest};
use crate::sigma::{Ast, Number, Pattern, parse_condition};
use crate::yaml::{Kind, Node};

/// Rules that one correlation may name.
const FEEDERS_MAX: usize = 64;

const CORRELATION_KEYS: &[&str] = &[
    "type",
    "rules",
    "group-by",
    "timespan",
    "condition",
    "aliases",
    "generate",
];

const TYPES: &[&str] = &[
    "event_count",
    "value_count",
    "temporal",
    "temporal_ordered",
    "value_sum",
    "value_avg",
    "value_percentile",
    "value_median",
];

/// Reads `correlation:`.
pub(crate) fn correlation(
    report: &mut Report,
    node: &Node,
    document: &Node,
    directory: &Directory,
    fields: &mut BTreeSet<EventField>,
) -> Option<(Body, Scope)> {
    if !report.keys(node, "correlation", CORRELATION_KEYS) {
        return None;
    }
    let missing = |report: &mut Report, key: &str, why: &str| {
        report.at(
            node,
            Problem::Missing {
                key: format!("correlation.{key}"),
                why: why.to_owned(),
            },
        );
    };
    let mut feeders = Vec::new();
    for n in node.get("rules").map(Node::one_or_many).unwrap_or_default() {
        let Some(name) = report.text(n, "rules") else { continue };
        match directory.find(&name) {
            Some(policy) => feeders.push(Feeder {
                name,
                policy,
                group_by: Vec::new(),
                fields: Vec::new(),
                aliases: BTreeMap::new(),
            }),
            None => report.at(n, directory.dangling(&name)),
        }
    }
    if node.get("rules").is_none_or(|n| n.one_or_many().is_empty()) {
        missing(report, "rules", "it names the rules whose events it takes");
    }
    if feeders.len() > FEEDERS_MAX {
        let problem = Problem::TooMuch {
            what: "rules in one correlation",
            given: feeders.len(),
            limit: FEEDERS_MAX,
        };
        report.at(node, problem);
        return None;
    }
    let group_by = node
        .get("group-by")
        .map(|n| report.texts(n, "group-by"))
        .unwrap_or_default();
    let timespan_ms = match node.get("timespan") {
        Some(n) => duration(report, n, "timespan"),
        None => {
            missing(report, "timespan", "it is the length of the window (`10m`)");
            None
        }
    };
    let generate = node.get("generate").or_else(|| document.get("generate"));
    let generate = generate.and_then(|n| report.bool(n, "generate")).unwrap_or(false);
    let Some(type_node) = node.get("type") else {
        missing(report, "type", "it says what is counted (`event_count`)");
        return None;
    };
    let type_text = report.text(type_node, "type")?;
    let (kind, condition) = kind_and_condition(report, node, type_node, &type_text, &feeders)?;
    aliases(report, node, directory, &mut feeders);
    let counted = match &condition {
        CorrelationCondition::Compare { fields, .. } => fields.as_slice(),
        _ => &[],
    };
    let mut scope = Scope {
        count: true,
        joined: true,
        ..Scope::default()
    };
    if let Some((first, others)) = feeders.split_first() {
        scope.aliases = directory.aliases(first.policy);
        for feeder in others {
            let known = directory.aliases(feeder.policy);
            scope.aliases.retain(|alias| known.contains(alias));
        }
    }
    for (key, name) in group_by
        .iter()
        .map(|n| ("group-by", n))
        .chain(counted.iter().map(|n| ("field", n)))
    {
        let joined = EventField::new(Namespace::Ocsf, name);
        if let Some((alias, _)) = joined.join()
            && !scope.aliases.iter().any(|a| **a == *alias)
        {
            let problem = Problem::Dangling {
                what: "alias that the lookups of all its rules bind",
                given: alias.to_owned(),
                nearest: nearest(alias, scope.aliases.iter().map(|a| &**a)),
            };
            let condition = node.get("condition");
            let at = node.get(key).or_else(|| condition.and_then(|c| c.get(key)));
            report.at(at.unwrap_or(node), problem);
        }
    }
    for feeder in &mut feeders {
        let namespace = directory.namespace(feeder.policy);
        scope.event.get_or_insert(namespace);
        let field = |name: &String| {
            feeder
                .aliases
                .get(name)
                .cloned()
                .unwrap_or_else(|| EventField::new(namespace, name))
        };
        feeder.group_by = group_by.iter().map(field).collect();
        feeder.fields = counted.iter().map(field).collect();
        fields.extend(feeder.group_by.iter().chain(&feeder.fields).cloned());
    }
    let timespan_ms = timespan_ms?;
    Some((
        Body::Correlation(Correlation {
            kind,
            feeders,
            group_by,
            timespan_ms,
            condition,
            usual: None,
            share: None,
            generate,
        }),
        scope,
    ))
}

fn aliases(report: &mut Report, node: &Node, directory: &Directory, feeders: &mut [Feeder]) {
    let Some(aliases) = node.get("aliases") else { return };
    let Some(items) = aliases.map() else {
        return report.shape(aliases, "aliases", "a map of alias to a map of rule to field");
    };
    for (alias, rules) in items {
        let Some(rules) = rules.map() else {
            report.shape(rules, &alias.text, "a map of rule to field");
            continue;
        };
        for (rule, field) in rules {
            let index = directory.find(&rule.text);
            let Some(feeder) = feeders.iter_mut().find(|f| Some(f.policy) == index) else {
                report.at_key(rule, directory.dangling(&rule.text));
                continue;
            };
            if let Some(field) = report.text(field, &rule.text) {
                let field = EventField::new(directory.namespace(feeder.policy), &field);
                feeder.aliases.insert(alias.text.clone(), field);
            }
        }
        for feeder in feeders.iter().filter(|f| !f.aliases.contains_key(&alias.text)) {
            let reason = format!("it names no field for the rule `{}`", feeder.name);
            report.at_key(
                alias,
                Problem::Value {
                    key: alias.text.clone(),
                    reason,
                },
            );
        }
    }
}

fn kind_and_condition(
    report: &mut Report,
    node: &Node,
    type_node: &Node,
    type_text: &str,
    feeders: &[Feeder],
) -> Option<(CorrelationKind, CorrelationCondition)> {
    let condition = node.get("condition");
    let temporal = matches!(type_text, "temporal" | "temporal_ordered");
    let parsed = match condition {
        None if temporal => CorrelationCondition::AllRules,
        None => {
            let why = "it says when the count makes a match (`{gte: 10}`)".to_owned();
            report.at(
                node,
                Problem::Missing {
                    key: "correlation.condition".to_owned(),
                    why,
                },
            );
            return None;
        }
        Some(n) => match &n.kind {
            Kind::Text(text) if temporal => expression(report, n, text, feeders)?,
            Kind::Map(_) => compare(report, n)?,
            _ if temporal => {
                report.shape(n, "condition", "a map of comparisons, or an expression over the rules");
                return None;
            }
            _ => {
                report.shape(n, "condition", "a map of comparisons (`{gte: 10}`)");
                return None;
            }
        },
    };
    let has_field = matches!(&parsed, CorrelationCondition::Compare { fields, .. } if !fields.is_empty());
    let percentile = condition.and_then(|c| c.get("percentile"));
    if percentile.is_some() && type_text != "value_percentile" {
        let reason = "goes with `value_percentile` only".to_owned();
        report.at(
            node,
            Problem::Value {
                key: "percentile".to_owned(),
                reason,
            },
        );
    }
    let kind = match type_text {
        "event_count" => CorrelationKind::EventCount,
        "value_count" => CorrelationKind::ValueCount,
        "temporal" => CorrelationKind::Temporal,
        "temporal_ordered" => CorrelationKind::TemporalOrdered,
        "value_sum" => CorrelationKind::ValueSum,
        "value_avg" => CorrelationKind::ValueAvg,
        "value_median" => CorrelationKind::ValueMedian,
        "value_percentile" => {
            let given = match percentile.map(|n| &n.kind) {
                // pySigma's default.
                None => Some(50),
                Some(Kind::Number(Number::Int(p @ 0..=100), _)) => Some(*p as u8),
                Some(_) => None,
            };
            let Some(percentile) = given else {
                report.shape(percentile.unwrap_or(node), "percentile", "a whole number from 0 to 100");
                return None;
            };
            CorrelationKind::ValuePercentile { percentile }
        }
        other => {
            report.unknown(type_node, "correlation type", other, TYPES);
            return None;
        }
    };
    if type_text.starts_with("value_") && !has_field {
        let why = format!("`{type_text}` counts the values of one");
        report.at(
            condition.unwrap_or(node),
            Problem::Missing {
                key: "condition.field".to_owned(),
                why,
            },
        );
    }
    Some((kind, parsed))
}

fn compare(report: &mut Report, node: &Node) -> Option<CorrelationCondition> {
    const KEYS: &[&str] = &["lt", "lte", "gt", "gte", "eq", "neq", "field", "percentile"];
    if !report.keys(node, "condition", KEYS) {
        return None;
    }
    let fields = node.get("field").map(|n| report.texts(n, "field")).unwrap_or_default();
    let mut compare = Vec::new();
    for (key, n) in node.map()? {
        let how = match key.text.as_str() {
            "lt" => Compare::Lt,
            "lte" => Compare::Lte,
            "gt" => Compare::Gt,
            "gte" => Compare::Gte,
            "eq" => Compare::Eq,
            "neq" => Compare::Neq,
            _ => continue,
        };
        match &n.kind {
            Kind::Number(number, _) => compare.push((how, *number)),
            _ => report.shape(n, &key.text, "a number"),
        }
    }
    if compare.is_empty() {
        let why = "it is what the count is compared with".to_owned();
        report.at(
            node,
            Problem::Missing {
                key: "condition.gte".to_owned(),
                why,
            },
        );
        return None;
    }
    Some(CorrelationCondition::Compare { fields, compare })
}

fn expression(report: &mut Report, node: &Node, text: &str, feeders: &[Feeder]) -> Option<CorrelationCondition> {
    fn resolve(ast: &Ast, feeders: &[Feeder]) -> Result<Expression, Problem> {
        let dangling = |given: &str| Problem::Dangling {
            what: "rule of this correlation",
            given: given.to_owned(),
            nearest: nearest(given, feeders.iter().map(|f| f.name.as_str())),
        };
        let many = |asts: &[Ast]| asts.iter().map(|a| resolve(a, feeders)).collect::<Result<Vec<_>, _>>();
        Ok(match ast {
            Ast::All(asts) => Expression::All(many(asts)?),
            Ast::Any(asts) => Expression::Any(many(asts)?),
            Ast::Not(inner) => Expression::Not(Box::new(resolve(inner, feeders)?)),
            Ast::Name(name) => Expression::Fired(
                feeders
                    .iter()
                    .position(|f| f.name == *name)
                    .ok_or_else(|| dangling(name))?,
            ),
            Ast::Of(quantity, pattern) => {
                let glob = Pattern::parse(if pattern.eq_ignore_ascii_case("them") {
                    "*"
                } else {
                    pattern
                });
                let which: Vec<Expression> = (0..feeders.len())
                    .filter(|i| glob.is_match(&feeders[*i].name, true))
                    .map(Expression::Fired)
                    .collect();
                match quantity {
                    _ if which.is_empty() => return Err(dangling(pattern)),
                    None => Expression::All(which),
                    Some(1) => Expression::Any(which),
                    Some(n) => {
                        let reason = format!("`{n} of` does not go with rules; write `1 of` or `all of`");
                        return Err(Problem::Condition {
                            given: pattern.clone(),
                            reason,
                        });
                    }
                }
            }
        })
    }
    let wrong = |reason| Problem::Condition {
        given: text.to_owned(),
        reason,
    };
    match parse_condition(text)
        .map_err(wrong)
        .and_then(|ast| resolve(&ast, feeders))
    {
        Ok(expression) => Some(CorrelationCondition::Expression(expression)),
        Err(problem) => {
            report.at(node, problem);
            None
        }
    }
}
