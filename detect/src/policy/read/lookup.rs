//! `lookup`, `absence.each` and `table`, read from YAML.

use std::sync::Arc;

use super::super::directory::Directory;
use super::super::{Condition, EventTable, Expect, Lookup, Reference, Value};
use super::condition::condition;
use super::reference::{Scope, duration, reference, references, value};
use crate::report::{Report, nearest};
use crate::yaml::Node;
use crate::{PolicyError, Problem};

/// `specs/README.md`: the reference tables that the specifications use.
const TABLES: &[&str] = &[
    "account_registry",
    "approvals",
    "asset_register",
    "change_calendar",
    "command_catalogue",
    "data_catalogue",
    "hr_roster",
    "network_zones",
    "role_matrix",
    "source_register",
    "work_calendar",
];

/// Reads lookups in order; each one's alias joins the scope of those behind it.
pub(crate) fn lookups(report: &mut Report, node: &Node, key: &str, scope: &mut Scope) -> Vec<Lookup> {
    let in_absence = key != "lookup";
    let mut out: Vec<Lookup> = Vec::new();
    for n in node.one_or_many() {
        let allowed: &[&str] = if in_absence {
            &["table", "as", "key", "where", "expect", "at"]
        } else {
            &["table", "as", "key", "where", "expect", "at", "claim"]
        };
        if !report.keys(n, key, allowed) {
            continue;
        }
        let Some(table) = n.get("table").and_then(|t| report.text(t, "table")) else {
            let why = "a lookup reads one".to_owned();
            report.at(
                n,
                Problem::Missing {
                    key: "table".to_owned(),
                    why,
                },
            );
            continue;
        };
        let alias = n.get("as").and_then(|a| report.text(a, "as"));
        if let (Some(alias), Some(at)) = (&alias, n.get("as")) {
            let taken = ["event", "row", "count"].contains(&alias.as_str());
            if taken || alias.is_empty() || alias.contains(['.', '$', '{', '}', '|', ' ']) {
                let allowed = "a word without dots and blanks, and not `event`, `row` or `count`";
                report.shape(at, "as", allowed);
            } else if scope.aliases.iter().any(|a| **a == **alias) {
                let first = out
                    .iter()
                    .find(|l| l.alias.as_deref() == Some(alias.as_str()))
                    .map(|l| l.place.clone());
                let first = first.unwrap_or_else(|| n.place(&report.file));
                report.at(
                    at,
                    Problem::Duplicate {
                        what: "the alias",
                        given: alias.clone(),
                        first,
                    },
                );
            }
        }
        let expect = match n.get("expect").map(|e| (e, e.scalar())) {
            None => Expect::Some,
            Some((e, word)) => match word.as_deref() {
                Some("some") => Expect::Some,
                Some("none") => Expect::None,
                Some("any") => Expect::Any,
                Some(other) => {
                    report.unknown(e, "expectation", other, &["some", "none", "any"]);
                    continue;
                }
                None => {
                    report.shape(e, "expect", "`some`, `none` or `any`");
                    continue;
                }
            },
        };
        let claim = match n.get("claim").map(|c| (c, c.scalar())) {
            None => None,
            Some((_, Some(word))) if word == "one" => Some(Vec::new()),
            Some((c, None)) => Some(references(report, c, "claim", scope)),
            Some((c, Some(_))) => {
                report.shape(c, "claim", "`one`, or a list of references");
                None
            }
        };
        let row = scope.with_row();
        out.push(Lookup {
            event_table: None,
            key: n.get("key").map(|k| key_columns(report, k, scope)).unwrap_or_default(),
            condition: n
                .get("where")
                .and_then(|w| condition(report, w, "where", &row))
                .unwrap_or(Condition::ALWAYS),
            expect,
            at: n.get("at").and_then(|a| reference(report, a, "at", scope)),
            claim,
            place: n.place(&report.file),
            alias: alias.as_deref().map(Into::into),
            table: table.into(),
        });
        scope.aliases.extend(alias.map(Into::into));
    }
    out
}

/// Names the policy behind each lookup's table, and lints names that look like slips.
pub(crate) fn bind_tables(report: &mut Report, lookups: &mut [Lookup], directory: &Directory) {
    let tables: Vec<&str> = directory.tables.iter().map(String::as_str).collect();
    for lookup in lookups {
        lookup.event_table = directory.table(&lookup.table);
        check_table(report, lookup, &tables);
        if lookup.claim.is_some() && lookup.event_table.is_none() {
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

/// Lints a table that nobody keeps, but whose name is near one that somebody does.
pub(crate) fn check_table(report: &mut Report, lookup: &Lookup, event_tables: &[&str]) {
    let known = || TABLES.iter().copied().chain(event_tables.iter().copied());
    if known().any(|t| *t == *lookup.table) {
        return;
    }
    if let Some(near) = nearest(&lookup.table, known()) {
        let problem = Problem::Lint(format!(
            "no table is known as `{}`; did you mean `{near}`?",
            lookup.table
        ));
        report.errors.push(PolicyError {
            place: lookup.place.clone(),
            problem,
        });
    }
}

fn key_columns(report: &mut Report, node: &Node, scope: &Scope) -> Vec<(Arc<str>, Value)> {
    let Some(items) = node.map() else {
        report.shape(node, "key", "a map of column to value");
        return Vec::new();
    };
    let mut out = Vec::new();
    for (key, node) in items {
        if key.text.contains('|') {
            let reason = "a key picks rows by equality; put tests under `where`".to_owned();
            report.at_key(
                key,
                Problem::Value {
                    key: key.text.clone(),
                    reason,
                },
            );
            continue;
        }
        out.extend(value(report, node, &key.text, scope).map(|v| (key.text.as_str().into(), v)));
    }
    out
}

/// Reads `table`.
pub(crate) fn event_table(report: &mut Report, node: &Node, scope: &Scope) -> Option<EventTable> {
    if !report.keys(node, "table", &["key", "columns", "keep"]) {
        return None;
    }
    let Some(columns) = node.get("columns").and_then(Node::map) else {
        let why = "a row has them: `columns: {uid: $event.session.uid}`".to_owned();
        report.at(
            node,
            Problem::Missing {
                key: "table.columns".to_owned(),
                why,
            },
        );
        return None;
    };
    let mut read: Vec<(Arc<str>, Reference)> = Vec::new();
    for (key, node) in columns {
        if ["time", "record"].contains(&key.text.as_str()) {
            let reason = "every row has `time` and `record` of its own".to_owned();
            report.at_key(
                key,
                Problem::Value {
                    key: key.text.clone(),
                    reason,
                },
            );
        }
        read.extend(reference(report, node, &key.text, scope).map(|r| (key.text.as_str().into(), r)));
    }
    let mut key = Vec::new();
    for n in node.get("key").map(Node::one_or_many).unwrap_or_default() {
        let Some(name) = report.text(n, "table.key") else {
            continue;
        };
        if !columns.iter().any(|(k, _)| k.text == name) {
            let nearest = nearest(&name, columns.iter().map(|(k, _)| k.text.as_str()));
            report.at(
                n,
                Problem::Dangling {
                    what: "column of the table",
                    given: name.clone(),
                    nearest,
                },
            );
        }
        key.push(name.into());
    }
    let keep_ms = node
        .get("keep")
        .and_then(|n| duration(report, n, "keep"))
        .unwrap_or(86_400_000);
    Some(EventTable {
        key,
        columns: read,
        keep_ms,
    })
}
