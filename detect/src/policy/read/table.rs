//! `table`, read from YAML.

use std::sync::Arc;

use super::super::{Column, Condition, EventTable, Take};
use super::condition::condition;
use super::reference::{Scope, duration, reference};
use crate::Problem;
use crate::report::{Report, nearest};
use crate::yaml::{Kind, Node};

pub(crate) const TABLE_KEYS: &[&str] = &["key", "columns", "keep"];
pub(crate) const COLUMN_KEYS: &[&str] = &["value", "take", "when"];
pub(crate) const TAKES: &[&str] = &["first", "last", "all"];

/// Reads `table`.
pub(crate) fn event_table(report: &mut Report, node: &Node, scope: &Scope) -> Option<EventTable> {
    if !report.keys(node, "table", TABLE_KEYS) {
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
    let mut read: Vec<(Arc<str>, Column)> = Vec::new();
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
        read.extend(column(report, node, &key.text, scope).map(|c| (key.text.as_str().into(), c)));
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

/// A reference, or a map that says of which events it is taken.
fn column(report: &mut Report, node: &Node, key: &str, scope: &Scope) -> Option<Column> {
    if !matches!(node.kind, Kind::Map(_)) {
        return Some(Column {
            value: reference(report, node, key, scope)?,
            take: Take::First,
            when: Condition::ALWAYS,
        });
    }
    if !report.keys(node, "a column", COLUMN_KEYS) {
        return None;
    }
    let take = match node.get("take").map(|n| (n, n.scalar())) {
        None => Take::First,
        Some((n, word)) => match word.as_deref() {
            Some("first") => Take::First,
            Some("last") => Take::Last,
            Some("all") => Take::All,
            other => {
                report.unknown(n, "choice of a value", other.unwrap_or_default(), TAKES);
                return None;
            }
        },
    };
    let Some(value) = node.get("value") else {
        let why = "it is what the column holds (`$event.time`)".to_owned();
        report.at(
            node,
            Problem::Missing {
                key: format!("{key}.value"),
                why,
            },
        );
        return None;
    };
    let when = match node.get("when") {
        None => Condition::ALWAYS,
        Some(when) => condition(report, when, "when", scope)?,
    };
    Some(Column {
        value: reference(report, value, key, scope)?,
        take,
        when,
    })
}
