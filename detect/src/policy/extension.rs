//! The keys under `docket:` that every kind of policy has, and a rule's own.

use std::collections::BTreeMap;

use model::{Clause, FindingKind, Severity};

use super::read::{Scope, condition, duration, duration_or_zero, message, reference, references, value};
use super::{Calendar, Condition, Dedup, EventTable, Expect, Lookup, Message, Reference, SeverityRaise, Value};
use crate::Problem;
use crate::report::{Report, nearest, unknown};
use crate::yaml::Node;

/// What kind of document the extension stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DocumentKind {
    Rule,
    Correlation,
    Absence,
    Filter,
}

impl DocumentKind {
    fn noun(self) -> &'static str {
        match self {
            DocumentKind::Rule => "a rule",
            DocumentKind::Correlation => "a correlation",
            DocumentKind::Absence => "an absence",
            DocumentKind::Filter => "a filter",
        }
    }
}

const KEYS: &[&str] = &[
    "absence", "actor", "calendar", "clauses", "controls", "dedup", "kind", "lateness", "lookup", "message", "person",
    "severity", "silent", "table", "wait",
];
const KEYS_OF_RULES: &[&str] = &["calendar", "lookup", "table"];
const LEVELS: &[(&str, Severity)] = &[
    ("informational", Severity::Informational),
    ("low", Severity::Low),
    ("medium", Severity::Medium),
    ("high", Severity::High),
    ("critical", Severity::Critical),
];
const FRAMEWORKS: &[&str] = &["iso", "nist", "pci", "mlps"];
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

/// Reports keys under `docket:` that do not belong there.
pub(crate) fn check_keys(report: &mut Report, node: &Node, kind: DocumentKind) {
    let Some(items) = node.map() else {
        report.shape(node, "docket", "a map");
        return;
    };
    for (key, _) in items {
        let name = key.text.as_str();
        let misplaced = (kind != DocumentKind::Rule && KEYS_OF_RULES.contains(&name))
            || (kind != DocumentKind::Absence && name == "absence")
            || kind == DocumentKind::Filter;
        if !KEYS.contains(&name) {
            report.at_key(key, unknown("key of docket", name, KEYS));
        } else if misplaced {
            let reason = format!("does not go with {}", kind.noun());
            report.at_key(
                key,
                Problem::Value {
                    key: name.to_owned(),
                    reason,
                },
            );
        }
    }
}

/// Keys of `docket:` that every policy has.
#[derive(Default)]
pub(crate) struct Common {
    pub clauses: Vec<Clause>,
    pub controls: BTreeMap<String, Vec<String>>,
    pub kind: Option<FindingKind>,
    pub silent: bool,
    pub actor: Vec<Reference>,
    pub person: Vec<Reference>,
    pub dedup: Option<Dedup>,
    pub severity: Vec<SeverityRaise>,
    pub message: Option<Message>,
    pub wait_ms: Option<i64>,
    pub lateness_ms: Option<i64>,
}

/// Reads them; `scope` is what findings may refer to.
pub(crate) fn common(report: &mut Report, node: &Node, scope: &Scope) -> Common {
    let mut out = Common::default();
    for (key, node) in node.map().unwrap_or_default() {
        match key.text.as_str() {
            "clauses" => out.clauses = clauses(report, node),
            "controls" => out.controls = controls(report, node),
            "kind" => match node.scalar().as_deref() {
                Some("detection") => out.kind = Some(FindingKind::Detection),
                Some("compliance") => out.kind = Some(FindingKind::Compliance),
                Some(other) => report.unknown(node, "kind", other, &["detection", "compliance"]),
                None => report.shape(node, "kind", "`detection` or `compliance`"),
            },
            "silent" => out.silent = report.bool(node, "silent").unwrap_or(false),
            "actor" => out.actor = references(report, node, "actor", scope),
            "person" => out.person = references(report, node, "person", scope),
            "dedup" => out.dedup = dedup(report, node, scope),
            "severity" => out.severity = severity(report, node, scope),
            "message" => out.message = message(report, node, scope),
            "wait" => out.wait_ms = duration_or_zero(report, node, "wait"),
            "lateness" => out.lateness_ms = duration(report, node, "lateness"),
            _ => {}
        }
    }
    out
}

/// Reads a Sigma level.
pub(crate) fn level(report: &mut Report, node: &Node) -> Option<Severity> {
    let text = report.text(node, "level")?;
    let found = LEVELS.iter().find(|(name, _)| name.eq_ignore_ascii_case(&text));
    if found.is_none() {
        let names: Vec<&str> = LEVELS.iter().map(|(n, _)| *n).collect();
        report.unknown(node, "level", &text, &names);
    }
    found.map(|(_, level)| *level)
}

fn clauses(report: &mut Report, node: &Node) -> Vec<Clause> {
    let clauses = report.texts(node, "clauses");
    for (text, node) in clauses.iter().zip(node.one_or_many()) {
        let formed = text
            .split_once('-')
            .is_some_and(|(a, b)| a.bytes().all(|c| c.is_ascii_uppercase()) && b.bytes().all(|c| c.is_ascii_digit()));
        if !formed {
            report.at(
                node,
                Problem::Lint(format!("the clause `{text}` does not look like `AU-10`")),
            );
        }
    }
    clauses
}

fn controls(report: &mut Report, node: &Node) -> BTreeMap<String, Vec<String>> {
    let Some(items) = node.map() else {
        report.shape(node, "controls", "a map of framework to controls: `{iso: [\"8.2\"]}`");
        return BTreeMap::new();
    };
    let mut out = BTreeMap::new();
    for (key, node) in items {
        if !FRAMEWORKS.contains(&key.text.as_str()) {
            report.at_key(key, unknown("framework", &key.text, FRAMEWORKS));
        }
        out.insert(key.text.clone(), report.texts(node, &key.text));
    }
    out
}

fn dedup(report: &mut Report, node: &Node, scope: &Scope) -> Option<Dedup> {
    if !report.keys(node, "dedup", &["by", "window"]) {
        return None;
    }
    let by = node
        .get("by")
        .map(|n| references(report, n, "dedup.by", scope))
        .unwrap_or_default();
    let Some(window) = node.get("window") else {
        let why = "findings of one key are one within it (`1h`)".to_owned();
        report.at(
            node,
            Problem::Missing {
                key: "dedup.window".to_owned(),
                why,
            },
        );
        return None;
    };
    Some(Dedup {
        by,
        window_ms: duration(report, window, "dedup.window")?,
    })
}

fn severity(report: &mut Report, node: &Node, scope: &Scope) -> Vec<SeverityRaise> {
    let mut out = Vec::new();
    for n in node.one_or_many() {
        if !report.keys(n, "severity", &["level", "when"]) {
            continue;
        }
        match (n.get("level"), n.get("when")) {
            (Some(l), Some(w)) => {
                let level = level(report, l);
                let when = condition(report, w, "when", scope);
                out.extend(level.zip(when).map(|(level, when)| SeverityRaise { level, when }));
            }
            (level, _) => {
                let key = if level.is_some() {
                    "severity.when"
                } else {
                    "severity.level"
                };
                let why = "a raise has a level and says when".to_owned();
                report.at(
                    n,
                    Problem::Missing {
                        key: key.to_owned(),
                        why,
                    },
                );
            }
        }
    }
    out
}

/// Reads `calendar`.
pub(crate) fn calendar(report: &mut Report, node: &Node) -> Option<Calendar> {
    match node.scalar().as_deref() {
        Some("inside") => Some(Calendar::Inside),
        Some("outside") => Some(Calendar::Outside),
        Some(other) => {
            report.unknown(node, "side of the calendar", other, &["inside", "outside"]);
            None
        }
        None => {
            report.shape(node, "calendar", "`inside` or `outside`");
            None
        }
    }
}

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
            None => false,
            Some((_, Some(word))) if word == "one" => true,
            Some((c, _)) => {
                report.shape(c, "claim", "`one`");
                false
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
        report.errors.push(crate::PolicyError {
            place: lookup.place.clone(),
            problem,
        });
    }
}

fn key_columns(report: &mut Report, node: &Node, scope: &Scope) -> Vec<(std::sync::Arc<str>, Value)> {
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
    let mut read: Vec<(std::sync::Arc<str>, Reference)> = Vec::new();
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
