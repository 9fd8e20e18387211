//! `absence` with `source`, read from YAML: any record of a source, again and again.

use std::collections::BTreeSet;

use super::super::directory::Directory;
use super::super::{Anew, Body, EventField, Learn, Root, Silence, Value};
use super::lookup::{bind_tables, lookups};
use super::reference::{Scope, duration, duration_or_zero, reference, value};
use crate::Problem;
use crate::report::Report;
use crate::sigma::ocsf_class_uid;
use crate::yaml::Node;

/// How much longer a source may be silent after an event of `anew`, where the policy does not say.
const GRACE_MS: i64 = 60_000;
pub(crate) const SILENCE_KEYS: &[&str] = &[
    "each", "source", "classes", "every", "learn", "never", "within", "site", "anew", "grace",
];
pub(crate) const LEARN_KEYS: &[&str] = &["warm_up", "at_least", "at_most"];
pub(crate) const ANEW_KEYS: &[&str] = &["rule", "source"];
/// The words of `within`.
const WITHIN: &[&str] = &["working_hours", "always"];

/// Reads it.
pub(super) fn silence(
    report: &mut Report,
    node: &Node,
    directory: &Directory,
    fields: &mut BTreeSet<EventField>,
) -> Option<(Body, Scope)> {
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
    let mut missing = |key: &str, why: &str| {
        let key = format!("absence.{key}");
        report.at(
            node,
            Problem::Missing {
                key,
                why: why.to_owned(),
            },
        );
    };
    if node.get("source").is_none() {
        missing("source", "it is the source whose records are expected");
    }
    if ["every", "learn", "never"].iter().all(|key| node.get(key).is_none()) {
        missing(
            "every",
            "it is how long the source may be silent (`15m`, or a column of seconds), unless that is learned (`learn: {}`)",
        );
    }
    let mut part = |key: &str| node.get(key).and_then(|n| value(report, n, key, &scope));
    let (source, every, within, site) = (part("source"), part("every"), part("within"), part("site"));
    let literal = |value: &Option<Value>, key: &str| match value {
        Some(Value::Literal(_)) => node.get(key).map(|n| (n, n.scalar().unwrap_or_default())),
        _ => None,
    };
    if let Some((n, text)) = literal(&every, "every")
        && Silence::span_ms(&text).is_none()
    {
        report.shape(n, "every", "a number of seconds, a duration (`15m`) or a reference");
    }
    if let Some((n, text)) = literal(&within, "within")
        && !WITHIN.contains(&&*text)
    {
        report.shape(n, "within", "`working_hours`, `always` or a reference");
    }
    let never_ms = node.get("never").and_then(|n| duration(report, n, "never"));
    let grace = node.get("grace").and_then(|n| duration_or_zero(report, n, "grace"));
    let classes = node.get("classes").map(|n| (n, report.texts(n, "classes")));
    let mut class_uids = Vec::new();
    for (n, name) in classes
        .iter()
        .flat_map(|(n, names)| names.iter().map(move |name| (n, name)))
    {
        match ocsf_class_uid(name) {
            Some(uid) => class_uids.push(uid),
            None => report.shape(n, "classes", "names of OCSF classes (`authentication`)"),
        }
    }
    if classes.is_some() && node.get("learn").is_some() {
        let reason = "does not go with `learn`: cadences are those of sources".to_owned();
        let key = "absence.classes".to_owned();
        report.at(node, Problem::Value { key, reason });
    }
    let learn = node.get("learn").map(|n| learn(report, n));
    let anew = node.get("anew").map(Node::one_or_many).unwrap_or_default();
    let anew = anew
        .iter()
        .filter_map(|n| restart(report, n, directory, fields))
        .collect();
    scope.aliases.push("silence".into());
    Some((
        Body::Silence(Silence {
            each,
            source: source?,
            every,
            learn,
            never_ms,
            within,
            site,
            classes: class_uids,
            anew,
            grace_ms: grace.unwrap_or(GRACE_MS),
        }),
        scope,
    ))
}

fn learn(report: &mut Report, node: &Node) -> Learn {
    let mut learn = Learn::default();
    if !report.keys(node, "absence.learn", LEARN_KEYS) {
        return learn;
    }
    for (key, place) in [
        ("warm_up", &mut learn.warm_up_ms),
        ("at_least", &mut learn.at_least_ms),
        ("at_most", &mut learn.at_most_ms),
    ] {
        if let Some(ms) = node.get(key).and_then(|n| duration(report, n, key)) {
            *place = ms;
        }
    }
    if learn.at_least_ms > learn.at_most_ms {
        report.shape(node, "learn", "`at_least` that is not more than `at_most`");
    }
    learn
}

/// `{rule, source}`: after its events the clock begins anew.
fn restart(report: &mut Report, node: &Node, directory: &Directory, fields: &mut BTreeSet<EventField>) -> Option<Anew> {
    if !report.keys(node, "absence.anew", ANEW_KEYS) {
        return None;
    }
    let Some(n) = node.get("rule") else {
        let (key, why) = ("absence.anew.rule".to_owned(), "its events are waited for".to_owned());
        report.at(node, Problem::Missing { key, why });
        return None;
    };
    let name = report.text(n, "rule")?;
    let Some(rule) = directory.find(&name) else {
        report.at(n, directory.dangling(&name));
        return None;
    };
    let scope = Scope {
        event: Some(directory.namespace(rule)),
        ..Scope::default()
    };
    let Some(n) = node.get("source") else {
        return Some(Anew { rule, source: None });
    };
    match reference(report, n, "source", &scope)?.root {
        Root::Event(field) => {
            fields.insert(field.clone());
            Some(Anew {
                rule,
                source: Some(field),
            })
        }
        _ => {
            report.shape(n, "source", "a field of the event (`$event.unmapped.source`)");
            None
        }
    }
}
