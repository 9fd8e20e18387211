//! The keys under `docket:` that every kind of policy has.

use std::collections::BTreeMap;

use model::{Clause, FindingKind, Severity};

use super::super::{Calendar, Dedup, Message, Reference, SeverityRaise, WorkingTime};
use super::condition::condition;
use super::message::message;
use super::reference::{Scope, duration, duration_or_zero, reference, references};
use crate::Problem;
use crate::report::{Report, unknown};
use crate::yaml::Node;

/// What kind of document the extension stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DocumentKind {
    Rule,
    Correlation,
    Absence,
    Delay,
    Filter,
}

impl DocumentKind {
    fn noun(self) -> &'static str {
        match self {
            DocumentKind::Rule => "a rule",
            DocumentKind::Correlation => "a correlation",
            DocumentKind::Absence => "an absence",
            DocumentKind::Delay => "a watch over delays",
            DocumentKind::Filter => "a filter",
        }
    }
}

pub(crate) const KEYS: &[&str] = &[
    "absence",
    "actor",
    "calendar",
    "clauses",
    "controls",
    "dedup",
    "delay",
    "first_seen",
    "kind",
    "lateness",
    "lookup",
    "message",
    "person",
    "portion",
    "rare",
    "sequence",
    "severity",
    "share",
    "silent",
    "table",
    "usual",
    "wait",
];

const KEYS_OF_RULES: &[&str] = &[
    "calendar",
    "first_seen",
    "lookup",
    "portion",
    "rare",
    "sequence",
    "table",
];
const KEYS_OF_CORRELATIONS: &[&str] = &["share", "usual"];
pub(crate) const CALENDAR_KEYS: &[&str] = &["side", "site"];
pub(crate) const DEDUP_KEYS: &[&str] = &["by", "window"];
pub(crate) const RAISE_KEYS: &[&str] = &["level", "when"];

const LEVELS: &[(&str, Severity)] = &[
    ("informational", Severity::Informational),
    ("low", Severity::Low),
    ("medium", Severity::Medium),
    ("high", Severity::High),
    ("critical", Severity::Critical),
];

pub(crate) const FRAMEWORKS: &[&str] = &["iso", "nist", "pci", "mlps"];

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
            || (kind != DocumentKind::Delay && name == "delay")
            || (kind != DocumentKind::Correlation && KEYS_OF_CORRELATIONS.contains(&name))
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
                Some("incident") => out.kind = Some(FindingKind::Incident),
                Some(other) => report.unknown(node, "kind", other, &["detection", "compliance", "incident"]),
                None => report.shape(node, "kind", "`detection`, `compliance` or `incident`"),
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
    if !report.keys(node, "dedup", DEDUP_KEYS) {
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
        if !report.keys(n, "severity", RAISE_KEYS) {
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

/// Reads `calendar`: a side, or a map of a side and whose working time it is.
pub(crate) fn calendar(report: &mut Report, node: &Node, scope: &Scope) -> Option<WorkingTime> {
    if node.map().is_none() {
        let side = side(report, node)?;
        return Some(WorkingTime { side, site: None });
    }
    if !report.keys(node, "calendar", CALENDAR_KEYS) {
        return None;
    }
    let Some(word) = node.get("side") else {
        let why = "the rule fires on that side of working time (`outside`)".to_owned();
        let key = "calendar.side".to_owned();
        report.at(node, Problem::Missing { key, why });
        return None;
    };
    let side = side(report, word)?;
    let site = node.get("site").and_then(|n| reference(report, n, "site", scope));
    Some(WorkingTime { side, site })
}

fn side(report: &mut Report, node: &Node) -> Option<Calendar> {
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
