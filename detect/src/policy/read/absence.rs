//! `absence`, read from YAML.

use std::collections::BTreeSet;

use model::Namespace;

use super::super::directory::Directory;
use super::super::{Absence, Body, EventField, Opens};
use super::lookup::{bind_tables, lookups};
use super::reference::{Scope, reference, value};
use super::silence::silence;
use crate::Problem;
use crate::report::Report;
use crate::yaml::Node;

pub(crate) const ABSENCE_KEYS: &[&str] = &["each", "after", "from", "by", "expect", "match", "rows_tell"];

/// Reads `docket.absence`.
pub(crate) fn absence(
    report: &mut Report,
    node: &Node,
    directory: &Directory,
    fields: &mut BTreeSet<EventField>,
) -> Option<(Body, Scope)> {
    if ["source", "every", "learn"].iter().any(|key| node.get(key).is_some()) {
        return silence(report, node, directory, fields);
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
    let rows_tell = match node.get("rows_tell").map(|n| (n, n.scalar())) {
        None => false,
        Some((n, Some(text))) if text == "true" || text == "false" => {
            if node.get("each").is_none() {
                let reason = "goes with `each`: events tell of nothing before them".to_owned();
                let key = "absence.rows_tell".to_owned();
                report.at(n, Problem::Value { key, reason });
            }
            text == "true"
        }
        Some((n, _)) => {
            report.shape(n, "rows_tell", "true or false");
            false
        }
    };
    Some((
        Body::Absence(Absence {
            rows_tell,
            opens: opens?,
            from,
            by: by?,
            expect,
            matching,
        }),
        scope,
    ))
}
