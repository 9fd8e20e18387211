//! `absence`, read from YAML.

use std::collections::BTreeSet;

use model::Namespace;

use super::super::directory::Directory;
use super::super::{Absence, Body, EventField, Opens, Silence, Value};
use super::lookup::{bind_tables, lookups};
use super::reference::{Scope, reference, value};
use crate::Problem;
use crate::report::Report;
use crate::yaml::Node;

pub(crate) const ABSENCE_KEYS: &[&str] = &["each", "after", "from", "by", "expect", "match"];
pub(crate) const SILENCE_KEYS: &[&str] = &["each", "source", "every"];

/// Reads `docket.absence`.
pub(crate) fn absence(
    report: &mut Report,
    node: &Node,
    directory: &Directory,
    fields: &mut BTreeSet<EventField>,
) -> Option<(Body, Scope)> {
    if node.get("source").is_some() || node.get("every").is_some() {
        return silence(report, node, directory);
    }
    if !report.keys(node, "absence", ABSENCE_KEYS) {
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
            let mut lookups = lookups(report, each, "absence.each", &mut scope);
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
    if node.get("expect").is_none() && node.get("each").is_none() {
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

/// Reads `docket.absence` with `source`: any record of a source, again and again.
fn silence(report: &mut Report, node: &Node, directory: &Directory) -> Option<(Body, Scope)> {
    if !report.keys(node, "absence", SILENCE_KEYS) {
        return None;
    }
    let mut scope = Scope::default();
    let mut each = Vec::new();
    if let Some(n) = node.get("each") {
        each = lookups(report, n, "absence.each", &mut scope);
        bind_tables(report, &mut each, directory);
    }
    if let Some(wrong) = each.iter().find(|l| l.event_table.is_some()) {
        let reason = "silence is watched for the rows of reference tables, not of event tables".to_owned();
        let key = format!("absence.each.{}", wrong.table);
        report.at(node, Problem::Value { key, reason });
    }
    let mut part = |key: &str, why: &str| match node.get(key) {
        Some(n) => value(report, n, key, &scope),
        None => {
            report.at(
                node,
                Problem::Missing {
                    key: format!("absence.{key}"),
                    why: why.to_owned(),
                },
            );
            None
        }
    };
    let source = part("source", "it is the source whose records are expected");
    let every = part(
        "every",
        "it is how long the source may be silent (`15m`, or a column of seconds)",
    );
    let text = node.get("every").and_then(Node::scalar).unwrap_or_default();
    if let (Some(Value::Literal(_)), Some(n)) = (&every, node.get("every"))
        && Silence::span_ms(&text).is_none()
    {
        report.shape(n, "every", "a number of seconds, a duration (`15m`) or a reference");
    }
    scope.aliases.push("silence".into());
    Some((
        Body::Silence(Silence {
            each,
            source: source?,
            every: every?,
        }),
        scope,
    ))
}
