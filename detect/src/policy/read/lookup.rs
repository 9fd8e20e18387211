//! `lookup`, `absence.each` and `table`, read from YAML.

use std::sync::Arc;

use super::super::directory::Directory;
use super::super::{Condition, Expect, Lookup, Pick, Value};
use super::condition::{condition, is_alias};
use super::reference::{Scope, reference, references, value};
use crate::report::{Report, nearest};
use crate::yaml::{Kind, Node};
use crate::{PolicyError, Problem};

/// The reference tables that the specifications use, and Docket's own.
const TABLES: &[&str] = &[
    "account_registry",
    "approvals",
    "asset_register",
    "change_calendar",
    "command_catalogue",
    "data_catalogue",
    "data_tables",
    "docket_sources",
    "exceptions",
    "hr_roster",
    "network_zones",
    "periods",
    "review_register",
    "role_matrix",
    "source_register",
    "work_calendar",
];

/// Keys of a lookup, and of one that opens absences.
pub(crate) const LOOKUP_KEYS: &[&str] = &["table", "as", "key", "where", "expect", "at", "pick", "claim"];
pub(crate) const EACH_KEYS: &[&str] = &["table", "as", "key", "where", "expect", "at"];
pub(crate) const PICKS: &[&str] = &["first", "last", "nearest"];

/// Reads lookups in order; each one's alias joins the scope of those behind it.
pub(crate) fn lookups(report: &mut Report, node: &Node, key: &str, scope: &mut Scope) -> Vec<Lookup> {
    let in_absence = key != "lookup";
    let mut out: Vec<Lookup> = Vec::new();
    for n in node.one_or_many() {
        let allowed: &[&str] = if in_absence { EACH_KEYS } else { LOOKUP_KEYS };
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
            if !is_alias(alias) {
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
        let pick = match n.get("pick").map(|p| (p, p.scalar())) {
            None => Pick::First,
            Some((p, word)) => match word.as_deref() {
                Some("first") => Pick::First,
                Some("last") => Pick::Last,
                Some("nearest") => Pick::Nearest,
                other => {
                    report.unknown(p, "choice of a row", other.unwrap_or_default(), PICKS);
                    continue;
                }
            },
        };
        if let (Some(p), Some(_)) = (n.get("pick"), n.get("claim")) {
            let reason = "what is claimed is the nearest in time".to_owned();
            let key = "pick".to_owned();
            report.at(p, Problem::Value { key, reason });
        }
        let ever = n.get("at").and_then(Node::scalar).as_deref() == Some("always");
        let row = scope.with_row();
        out.push(Lookup {
            pick,
            event_table: None,
            key: n.get("key").map(|k| key_columns(report, k, scope)).unwrap_or_default(),
            condition: n
                .get("where")
                .and_then(|w| condition(report, w, "where", &row))
                .unwrap_or(Condition::ALWAYS),
            expect,
            at: n
                .get("at")
                .filter(|_| !ever)
                .and_then(|a| reference(report, a, "at", scope)),
            ever,
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
        if lookup.pick == Pick::Nearest && lookup.event_table.is_none() {
            let reason = "only rows of a table kept from events have a time to be nearest in".to_owned();
            let key = "pick".to_owned();
            report.errors.push(PolicyError {
                place: lookup.place.clone(),
                problem: Problem::Value { key, reason },
            });
        }
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
        let value = match &node.kind {
            Kind::List(_) => Some(Value::First(references(report, node, &key.text, scope))),
            _ => value(report, node, &key.text, scope),
        };
        out.extend(value.map(|v| (key.text.as_str().into(), v)));
    }
    out
}
