//! One document, read from YAML.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{FindingKind, Namespace, PolicyRef, Severity};

use super::super::directory::{Directory, Draft};
use super::super::{Body, Dedup, EventField, Policy, Reference, Root, Rule, refer};
use super::extension::{self, Common, DocumentKind};
use super::reference::Scope;
use super::{absence, correlation, delay, lookup, novelty, portion, sequence, table, usual};
use crate::Problem;
use crate::report::{Report, nearest};
use crate::sigma::{self, Placeholders};
use crate::yaml::Node;

const TOP_KEYS: &[&str] = &[
    "title",
    "id",
    "name",
    "taxonomy",
    "related",
    "status",
    "description",
    "license",
    "author",
    "references",
    "date",
    "modified",
    "logsource",
    "detection",
    "fields",
    "falsepositives",
    "level",
    "tags",
    "scope",
    "correlation",
    "filter",
    "generate",
    "docket",
];

/// Fields that name an event's sender.
const SENDER: [&str; 2] = ["docket.system", "device.hostname"];

const STATUSES: &[&str] = &["stable", "test", "experimental", "deprecated", "unsupported"];

pub(crate) fn policy(
    draft: &mut Draft,
    node: &Node,
    kind: DocumentKind,
    directory: &Directory,
    placeholders: &Placeholders,
) -> Option<Policy> {
    let report = &mut draft.report;
    for (key, _) in node.map()? {
        if !TOP_KEYS.contains(&key.text.as_str())
            && let Some(nearest) = nearest(&key.text, TOP_KEYS.iter().copied())
        {
            report.at_key(
                key,
                Problem::UnknownSigmaKey {
                    given: key.text.clone(),
                    nearest,
                },
            );
        }
    }
    let mut texts = |key: &str| node.get(key).map(|n| report.texts(n, key)).unwrap_or_default();
    let (tags, description) = (texts("tags"), texts("description").join("\n"));
    let status = node.get("status").and_then(|n| {
        let status = report.text(n, "status")?;
        if !STATUSES.contains(&status.as_str()) {
            report.at(
                n,
                Problem::Lint(format!(
                    "the status `{status}` is none of Sigma's: {}",
                    STATUSES.join(", ")
                )),
            );
        }
        Some(status)
    });
    if let Some(taxonomy) = node.get("taxonomy").filter(|n| n.scalar().as_deref() != Some("sigma")) {
        let lint = "only the taxonomy `sigma` is known; the names of fields are taken as they are written".to_owned();
        report.at(taxonomy, Problem::Lint(lint));
    }
    let level: Option<Severity> = node.get("level").and_then(|n| extension::level(report, n));
    let docket = node.get("docket");
    if let Some(docket) = docket {
        extension::check_keys(report, docket, kind);
    }
    let mut fields = BTreeSet::new();
    let (mut body, scope) = match kind {
        DocumentKind::Rule => rule(report, node, directory, placeholders, &mut fields)?,
        DocumentKind::Correlation => {
            correlation::correlation(report, node.get("correlation")?, node, directory, &mut fields)?
        }
        DocumentKind::Absence => absence::absence(report, docket?.get("absence")?, directory, &mut fields)?,
        DocumentKind::Delay => {
            fields.extend(SENDER.map(|f| EventField::new(Namespace::Ocsf, f)));
            delay::delay(report, docket?.get("delay")?, directory)?
        }
        DocumentKind::Filter => return None,
    };
    if let Some(node) = docket.and_then(|d| d.get("usual")) {
        usual::usual(report, node, &mut body);
    }
    if let Some(node) = docket.and_then(|d| d.get("share")) {
        usual::share(report, node, &mut body);
    }
    let common = docket.map(|d| extension::common(report, d, &scope)).unwrap_or_default();
    let Common {
        clauses,
        controls,
        kind: finding_kind,
        silent,
        actor,
        person,
        dedup,
        severity,
        message,
        ..
    } = common;
    let default_kind = if matches!(kind, DocumentKind::Absence | DocumentKind::Delay) {
        FindingKind::Compliance
    } else {
        FindingKind::Detection
    };
    let dedup = dedup.or_else(|| match &body {
        Body::Correlation(c) => {
            let by = c.feeders.first().map(|f| f.group_by.as_slice()).unwrap_or_default();
            let by = by
                .iter()
                .map(|f| Reference {
                    root: Root::Event(f.clone()),
                    offset_ms: 0,
                    working_days: 0,
                    plus: 0,
                })
                .collect();
            Some(Dedup {
                by,
                window_ms: c.timespan_ms,
            })
        }
        _ => None,
    });
    if level.is_none() && !clauses.is_empty() && !silent {
        let lint = "it has clauses and no `level`; its findings are of medium severity".to_owned();
        report.at(node, Problem::Lint(lint));
    }
    let is_table = matches!(&body, Body::Rule(Rule { table: Some(_), .. }));
    if is_table && draft.name.is_none() {
        let why = "a table is called as its rule".to_owned();
        report.at(
            node,
            Problem::Missing {
                key: "name".to_owned(),
                why,
            },
        );
    }
    let mut policy = Policy {
        reference: PolicyRef {
            id: draft
                .id
                .clone()
                .or_else(|| draft.name.clone())
                .unwrap_or_else(|| draft.title.clone()),
            title: draft.title.clone(),
            version: draft.version.clone(),
        },
        name: draft.name.as_deref().map(Into::into),
        place: node.place(&report.file),
        description,
        level,
        status,
        tags,
        reports: !silent && !is_table && (level.is_some() || !clauses.is_empty()),
        clauses,
        controls,
        kind: finding_kind.unwrap_or(default_kind),
        actor,
        person,
        dedup,
        severity,
        message,
        wait_ms: common.wait_ms.unwrap_or(60_000),
        lateness_ms: common.lateness_ms.unwrap_or(86_400_000),
        body,
        fields,
    };
    refer::collect_fields(&mut policy, directory);
    Some(policy)
}

fn rule(
    report: &mut Report,
    node: &Node,
    directory: &Directory,
    placeholders: &Placeholders,
    fields: &mut BTreeSet<EventField>,
) -> Option<(Body, Scope)> {
    let why = |why: &str| why.to_owned();
    let logsource = match node.get("logsource") {
        Some(n) => sigma::logsource(report, n),
        None => {
            let why = why("it says which events the rule is for");
            report.at(
                node,
                Problem::Missing {
                    key: "logsource".to_owned(),
                    why,
                },
            );
            model::LogSource::default()
        }
    };
    let detection = match node.get("detection") {
        Some(n) => sigma::detection_set(report, n, "detection", placeholders),
        None => {
            let why = why("a policy has a `detection`, a `correlation`, a `filter` or a `docket.absence`");
            report.at(
                node,
                Problem::Missing {
                    key: "detection".to_owned(),
                    why,
                },
            );
            None
        }
    };
    // What stands under `docket:` is read even so, to report all there is at once.
    let sigma = detection.map(|detection| sigma::Rule {
        logsource: logsource.clone(),
        detection,
        filters: Vec::new(),
    });
    let ocsf = logsource
        .product
        .as_deref()
        .is_some_and(|p| p.eq_ignore_ascii_case("ocsf"));
    let namespace = if ocsf { Namespace::Ocsf } else { Namespace::Native };
    let mut scope = Scope {
        event: Some(namespace),
        ..Scope::default()
    };
    let get = |key: &str| node.get("docket").and_then(|d| d.get(key));
    let mut lookups = get("lookup")
        .map(|n| lookup::lookups(report, n, "lookup", &mut scope))
        .unwrap_or_default();
    lookup::bind_tables(report, &mut lookups, directory);
    let calendar = get("calendar").and_then(|n| extension::calendar(report, n, &scope));
    let table = get("table").and_then(|n| table::event_table(report, n, &scope));
    let mut new = None;
    for word in ["first_seen", "rare"] {
        let Some(n) = get(word) else { continue };
        let read = novelty::novelty(report, n, word, &scope);
        if new.is_some() {
            let (key, reason) = (word.to_owned(), "does not go with `first_seen`".to_owned());
            report.at(n, Problem::Value { key, reason });
        }
        if lookups.iter().any(|l| l.event_table.is_some()) {
            let reason = "does not go with joins of tables kept from events, whose answers change".to_owned();
            let key = word.to_owned();
            report.at(n, Problem::Value { key, reason });
        }
        new = new.or(read);
    }
    let numbered = get("sequence").and_then(|n| sequence::sequence(report, n, &scope));
    if let Some(n) = get("sequence") {
        let kept = lookups.iter().any(|l| l.event_table.is_some());
        let refused = [
            (
                kept,
                "does not go with joins of tables kept from events, whose answers change",
            ),
            (new.is_some(), "does not go with `first_seen`"),
        ];
        for (_, reason) in refused.into_iter().filter(|(is, _)| *is) {
            let (key, reason) = ("sequence".to_owned(), reason.to_owned());
            report.at(n, Problem::Value { key, reason });
        }
        scope.aliases.push("sequence".into());
    }
    let part = get("portion").and_then(|n| portion::portion(report, n));
    if let Some(n) = get("portion") {
        let kept = lookups.iter().any(|l| l.event_table.is_some());
        let refused = [
            (
                kept,
                "does not go with joins of tables kept from events, whose answers change",
            ),
            (new.is_some(), "does not go with `first_seen`"),
            (numbered.is_some(), "does not go with `sequence`"),
        ];
        for (_, reason) in refused.into_iter().filter(|(is, _)| *is) {
            let (key, reason) = ("portion".to_owned(), reason.to_owned());
            report.at(n, Problem::Value { key, reason });
        }
        scope.aliases.push("portion".into());
    }
    if new.is_some() {
        scope.aliases.push("seen".into());
    }
    let sigma = sigma?;
    if sigma.reads_findings() {
        let refused = [
            ("first_seen", new.is_some()),
            ("sequence", numbered.is_some()),
            ("portion", part.is_some()),
            ("lookup", lookups.iter().any(|l| l.event_table.is_some())),
        ];
        for (key, _) in refused.into_iter().filter(|(_, given)| *given) {
            let reason = "does not go with a rule that reads findings: they may be taken back".to_owned();
            let key = key.to_owned();
            report.at(node, Problem::Value { key, reason });
        }
    }
    sigma.for_each_field(|f| {
        fields.insert(EventField::new(namespace, f));
    });
    Some((
        Body::Rule(Rule {
            sigma: Arc::new(sigma),
            namespace,
            lookups,
            calendar,
            novelty: new,
            sequence: numbered,
            portion: part,
            table,
        }),
        scope,
    ))
}
