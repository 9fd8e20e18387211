//! What policies say of each other: correlations, absences, tables, and who is dropped with whom.

use std::collections::{BTreeMap, BTreeSet};

use model::Namespace;

use super::extension;
use super::load::{Directory, Draft};
use super::read::{self, Scope, reference, value};
use super::{
    Absence, Body, Compare, Condition, Correlation, CorrelationCondition, CorrelationKind, EventField, EventTable,
    Expect, Expression, Feeder, Lookup, MessagePart, Op, Opens, Policy, PolicyIndex, Reference, Root, Subject, Test,
    Value,
};
use crate::report::{Report, nearest};
use crate::sigma::{Ast, Number, Pattern, parse_condition};
use crate::yaml::{Kind, Node};
use crate::{Place, PolicyError, Problem};

/// Rules that one correlation may name.
const FEEDERS_MAX: usize = 64;

/// Names the policy behind each lookup's table, and lints names that look like slips.
pub(crate) fn bind_tables(report: &mut Report, lookups: &mut [Lookup], directory: &Directory) {
    let tables: Vec<&str> = directory.tables.iter().map(String::as_str).collect();
    for lookup in lookups {
        lookup.event_table = directory.table(&lookup.table);
        extension::check_table(report, lookup, &tables);
        if lookup.claim && lookup.event_table.is_none() {
            let reason = "only rows of a table kept from events can be claimed".to_owned();
            let problem = Problem::Value {
                key: "claim".to_owned(),
                reason,
            };
            report.errors.push(PolicyError {
                place: lookup.place.clone(),
                problem,
            });
        }
    }
}

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
        Some(n) => read::duration(report, n, "timespan"),
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
        ..Scope::default()
    };
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

/// Reads `docket.absence`.
pub(crate) fn absence(
    report: &mut Report,
    node: &Node,
    directory: &Directory,
    fields: &mut BTreeSet<EventField>,
) -> Option<(Body, Scope)> {
    if !report.keys(node, "absence", &["each", "after", "from", "by", "expect", "match"]) {
        return None;
    }
    let missing = |report: &mut Report, key: &str, why: &str| {
        report.at(
            node,
            Problem::Missing {
                key: format!("absence.{key}"),
                why: why.to_owned(),
            },
        );
    };
    let mut scope = Scope::default();
    let opens = match (node.get("each"), node.get("after")) {
        (Some(each), None) => {
            let mut lookups = extension::lookups(report, each, "absence.each", &mut scope);
            bind_tables(report, &mut lookups, directory);
            if lookups.is_empty() {
                report.shape(each, "each", "a list of tables");
            }
            Some(Opens::Each(lookups))
        }
        (None, Some(after)) => {
            let name = report.text(after, "after")?;
            match directory.find(&name) {
                Some(index) => {
                    scope.event = Some(directory.namespace(index));
                    Some(Opens::After(index))
                }
                None => {
                    report.at(after, directory.dangling(&name));
                    None
                }
            }
        }
        _ => {
            missing(
                report,
                "each",
                "an expectation is opened by the rows of `each` or by the events of `after`",
            );
            None
        }
    };
    let from = node.get("from").and_then(|n| reference(report, n, "from", &scope));
    let by = node.get("by").and_then(|n| reference(report, n, "by", &scope));
    if node.get("by").is_none() {
        missing(report, "by", "it is the deadline (`$leaver.end_at + 1h`)");
    }
    let mut expect = Vec::new();
    for n in node.get("expect").map(Node::one_or_many).unwrap_or_default() {
        let Some(name) = report.text(n, "expect") else { continue };
        match directory.find(&name) {
            Some(index) => expect.push((name, index)),
            None => report.at(n, directory.dangling(&name)),
        }
    }
    if node.get("expect").is_none() {
        missing(
            report,
            "expect",
            "it names the rule whose events satisfy the expectation",
        );
    }
    let mut matching = Vec::new();
    if let Some(n) = node.get("match") {
        match n.map() {
            Some(items) => {
                for (key, v) in items {
                    let namespace = expect.first().map_or(Namespace::Ocsf, |(_, i)| directory.namespace(*i));
                    let field = EventField::new(namespace, &key.text);
                    fields.insert(field.clone());
                    matching.extend(value(report, v, &key.text, &scope).map(|v| (field, v)));
                }
            }
            None => report.shape(n, "match", "a map of field to value"),
        }
    }
    Some((
        Body::Absence(Absence {
            opens: opens?,
            from,
            by: by?,
            expect,
            matching,
        }),
        scope,
    ))
}

/// Adds every field of events that the policy refers to.
pub(crate) fn collect_fields(policy: &mut Policy, directory: &Directory) {
    let mut out: BTreeSet<EventField> = BTreeSet::new();
    for_each_reference(policy, &mut |r| {
        if let Root::Event(field) = &r.root {
            out.insert(field.clone());
        }
    });
    if let Body::Correlation(correlation) = &policy.body {
        // `$event` is the completing event, which may be of any of the rules, each with its own names.
        let namespaces: BTreeSet<Namespace> = correlation
            .feeders
            .iter()
            .map(|f| directory.namespace(f.policy))
            .collect();
        let read: Vec<EventField> = out.iter().cloned().collect();
        out.extend(
            read.iter()
                .flat_map(|f| namespaces.iter().map(|n| EventField::new(*n, &f.path))),
        );
    }
    policy.fields.extend(out);
}

/// The joins of a policy, in order.
fn lookups(policy: &Policy) -> &[Lookup] {
    match &policy.body {
        Body::Rule(rule) => &rule.lookups,
        Body::Absence(Absence {
            opens: Opens::Each(lookups),
            ..
        }) => lookups,
        _ => &[],
    }
}

fn for_each_reference(policy: &Policy, each: &mut dyn FnMut(&Reference)) {
    policy.actor.iter().chain(&policy.person).for_each(&mut *each);
    policy.dedup.iter().flat_map(|d| &d.by).for_each(&mut *each);
    for part in policy.message.iter().flat_map(|m| &m.0) {
        if let MessagePart::Value { reference, .. } = part {
            each(reference);
        }
    }
    policy.severity.iter().for_each(|s| of_condition(&s.when, each));
    lookups(policy).iter().for_each(|l| of_lookup(l, each));
    match &policy.body {
        Body::Rule(rule) => rule.table.iter().flat_map(|t| &t.columns).for_each(|(_, r)| each(r)),
        Body::Absence(absence) => {
            absence.from.iter().chain([&absence.by]).for_each(&mut *each);
            absence.matching.iter().for_each(|(_, v)| of_value(v, each));
        }
        Body::Correlation(_) => {}
    }
}

/// Reports columns that an event table does not have, and references to rows that a lookup does not bind.
pub(crate) fn check_columns(policies: &[Option<Policy>], drafts: &mut [Draft]) {
    for (policy, draft) in policies.iter().zip(drafts) {
        let Some(policy) = policy else { continue };
        let mut known: BTreeMap<&str, (&Lookup, Option<&EventTable>)> = BTreeMap::new();
        for lookup in lookups(policy) {
            let keeper = lookup.event_table.and_then(|i| policies[i.0 as usize].as_ref());
            let table = keeper.and_then(Policy::rule).and_then(|r| r.table.as_ref());
            known.extend(lookup.alias.as_deref().map(|alias| (alias, (lookup, table))));
            let Some(table) = table else { continue };
            let mut columns: Vec<&str> = lookup.key.iter().map(|(c, _)| &**c).collect();
            own_columns(&lookup.condition, &mut columns);
            for column in columns {
                draft
                    .report
                    .errors
                    .extend(unknown_column(table, &lookup.table, column, &lookup.place));
            }
        }
        let mut errors = Vec::new();
        for_each_reference(policy, &mut |r| {
            let Root::Alias { alias, column } = &r.root else { return };
            match known.get(&**alias) {
                Some((lookup, _)) if lookup.expect == Expect::None => {
                    let lint = format!("`{alias}` is expected to have no row, so `${r}` has no value");
                    errors.push(PolicyError {
                        place: lookup.place.clone(),
                        problem: Problem::Lint(lint),
                    });
                }
                Some((lookup, Some(table))) => {
                    errors.extend(unknown_column(table, &lookup.table, column, &lookup.place))
                }
                _ => {}
            }
        });
        errors.dedup();
        draft.report.errors.extend(errors);
    }
}

fn unknown_column(table: &EventTable, name: &str, column: &str, place: &Place) -> Option<PolicyError> {
    let mut known = table.columns.iter().map(|(c, _)| &**c).chain(["time", "record"]);
    let head = column.split('.').next().unwrap_or(column);
    if known.clone().any(|c| c == column || c == head) {
        return None;
    }
    let problem = Problem::Dangling {
        what: "column of that event table",
        given: format!("{name}.{column}"),
        nearest: nearest(column, &mut known),
    };
    Some(PolicyError {
        place: place.clone(),
        problem,
    })
}

/// The columns of the row itself that a condition tests.
fn own_columns<'c>(condition: &'c Condition, out: &mut Vec<&'c str>) {
    match condition {
        Condition::All(cs) | Condition::Any(cs) | Condition::None(cs) => cs.iter().for_each(|c| own_columns(c, out)),
        Condition::Test(Test {
            subject: Subject::Column(column),
            ..
        }) => out.push(column),
        Condition::Test(_) => {}
    }
}

fn of_lookup(lookup: &Lookup, each: &mut dyn FnMut(&Reference)) {
    lookup.key.iter().for_each(|(_, v)| of_value(v, each));
    lookup.at.iter().for_each(&mut *each);
    of_condition(&lookup.condition, each);
}

fn of_value(value: &Value, each: &mut dyn FnMut(&Reference)) {
    if let Value::Reference(reference) = value {
        each(reference);
    }
}

fn of_condition(condition: &Condition, each: &mut dyn FnMut(&Reference)) {
    condition.for_each_test(&mut |test| {
        if let Subject::Reference(reference) = &test.subject {
            each(reference);
        }
        match &test.op {
            Op::Equals(vs)
            | Op::Contains(vs)
            | Op::StartsWith(vs)
            | Op::EndsWith(vs)
            | Op::Lt(vs)
            | Op::Lte(vs)
            | Op::Gt(vs)
            | Op::Gte(vs)
            | Op::Covers(vs)
            | Op::Cidr(vs) => vs.iter().for_each(|v| of_value(v, each)),
            Op::Re(_) | Op::Exists(_) | Op::Has(_) => {}
        }
    });
}

/// The policies that one cannot run without.
fn needs(policy: &Policy) -> Vec<PolicyIndex> {
    let tables = |lookups: &[Lookup]| lookups.iter().filter_map(|l| l.event_table).collect::<Vec<_>>();
    match &policy.body {
        Body::Rule(rule) => tables(&rule.lookups),
        Body::Correlation(c) => c.feeders.iter().map(|f| f.policy).collect(),
        Body::Absence(a) => {
            let mut needs: Vec<PolicyIndex> = a.expect.iter().map(|(_, i)| *i).collect();
            match &a.opens {
                Opens::Each(lookups) => needs.extend(tables(lookups)),
                Opens::After(index) => needs.push(*index),
            }
            needs
        }
    }
}

/// Drops policies that need one that is broken, and those that need themselves.
pub(crate) fn drop_broken(policies: &mut [Option<Policy>], drafts: &mut [Draft]) {
    // A policy runs once all that it needs run; what is left over when nothing more can be added is in a circle, or
    // behind a broken one.
    let mut runs = vec![false; policies.len()];
    loop {
        let mut grown = false;
        for i in 0..policies.len() {
            let Some(policy) = policies[i].as_ref().filter(|_| !runs[i]) else {
                continue;
            };
            if needs(policy).iter().all(|n| runs[n.0 as usize]) {
                runs[i] = true;
                grown = true;
            }
        }
        if !grown {
            break;
        }
    }
    for i in 0..policies.len() {
        let Some(policy) = policies[i].as_ref().filter(|_| !runs[i]) else {
            continue;
        };
        let lacking = needs(policy).into_iter().find(|n| !runs[n.0 as usize]);
        let name = lacking
            .map(|n| drafts[n.0 as usize].handle().to_owned())
            .unwrap_or_default();
        let node = drafts[i].node.clone();
        drafts[i].report.at(&node, Problem::Broken { name });
    }
    for (policy, runs) in policies.iter_mut().zip(runs) {
        if !runs {
            *policy = None;
        }
    }
}

/// Rules that feed a correlation make no findings of their own, unless it says `generate` or they have clauses.
pub(crate) fn set_reports(policies: &mut [Option<Policy>]) {
    let mut fed: Vec<PolicyIndex> = Vec::new();
    for policy in policies.iter().flatten() {
        match &policy.body {
            Body::Correlation(c) if !c.generate => fed.extend(c.feeders.iter().map(|f| f.policy)),
            _ => {}
        }
    }
    for index in fed {
        if let Some(policy) = &mut policies[index.0 as usize] {
            policy.reports &= !policy.clauses.is_empty();
        }
    }
}

/// Leaves out the broken ones and renumbers the rest.
pub(crate) fn compact(policies: Vec<Option<Policy>>) -> Vec<Policy> {
    let mut next = 0;
    let renumbered: Vec<PolicyIndex> = policies
        .iter()
        .map(|p| {
            let index = PolicyIndex(next);
            next += u32::from(p.is_some());
            index
        })
        .collect();
    let renumber = |index: &mut PolicyIndex| *index = renumbered[index.0 as usize];
    let mut out: Vec<Policy> = policies.into_iter().flatten().collect();
    for policy in &mut out {
        let tables = |lookups: &mut [Lookup]| {
            lookups
                .iter_mut()
                .filter_map(|l| l.event_table.as_mut())
                .for_each(renumber)
        };
        match &mut policy.body {
            Body::Rule(rule) => tables(&mut rule.lookups),
            Body::Correlation(c) => c.feeders.iter_mut().for_each(|f| renumber(&mut f.policy)),
            Body::Absence(a) => {
                a.expect.iter_mut().for_each(|(_, i)| renumber(i));
                match &mut a.opens {
                    Opens::Each(lookups) => tables(lookups),
                    Opens::After(index) => renumber(index),
                }
            }
        }
    }
    out
}
