//! Policy files → policies that refer to each other by index.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use model::{FindingKind, Namespace, PolicyRef, Severity};
use sha2::{Digest, Sha256};

use super::extension::{self, Common, DocumentKind};
use super::read::Scope;
use super::{Body, Dedup, EventField, Policies, Policy, PolicyIndex, Reference, Root, Rule, link};
use crate::report::{Report, nearest};
use crate::sigma::{self, DetectionSet, Placeholders};
use crate::yaml::{self, Node};
use crate::{Place, PolicyError, Problem};

/// A policy file as read from disk.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// Its name, for messages; files are taken in the order of their names.
    pub name: Arc<str>,
    /// Its content.
    pub text: String,
}

impl SourceFile {
    /// A file of a name and a content.
    #[must_use]
    pub fn new(name: &str, text: impl Into<String>) -> SourceFile {
        SourceFile {
            name: name.into(),
            text: text.into(),
        }
    }

    /// Whether a file of this name holds policies: `*.yml` and `*.yaml`, but not `*.test.yml`.
    #[must_use]
    pub fn is_policy(name: &str) -> bool {
        let stem = name.strip_suffix(".yml").or_else(|| name.strip_suffix(".yaml"));
        stem.is_some_and(|s| !s.ends_with(".test"))
    }
}

/// What loading gives: the policies that can run, and what is wrong with the others.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The policies that can run.
    pub policies: Policies,
    /// Errors, and lints of policies that run all the same, by place.
    pub errors: Vec<PolicyError>,
}

/// Reads and checks policy files. A broken policy is reported and the rest load; so are those that need a
/// broken one. Files that hold no policies by their name ([`SourceFile::is_policy`]) are passed over.
#[must_use]
pub fn load(files: &[SourceFile], placeholders: &Placeholders) -> Loaded {
    let mut files: Vec<&SourceFile> = files.iter().filter(|f| SourceFile::is_policy(&f.name)).collect();
    files.sort_by(|a, b| a.name.cmp(&b.name));
    let mut errors = Vec::new();
    let mut drafts = Vec::new();
    for file in files {
        for document in yaml::documents(&file.text) {
            match yaml::parse(&document, &file.name) {
                Ok(node) => drafts.push(draft(node, document.text, &file.name)),
                Err(e) => errors.push(e),
            }
        }
    }
    report_duplicates(&mut drafts);
    let directory = Directory::new(&drafts);
    let mut policies: Vec<Option<Policy>> = Vec::new();
    let mut filters: Vec<(usize, Arc<DetectionSet>, Vec<PolicyIndex>)> = Vec::new();
    for (i, draft) in drafts.iter_mut().enumerate() {
        let node = draft.node.clone();
        let policy = match draft.kind {
            Some(DocumentKind::Filter) => {
                filters.extend(filter(draft, &node, &directory, placeholders).map(|(set, rules)| (i, set, rules)));
                None
            }
            Some(kind) => policy(draft, &node, kind, &directory, placeholders),
            None => None,
        };
        policies.push(policy.filter(|_| !draft.report.is_broken()));
    }
    for (i, set, rules) in filters {
        if drafts[i].report.is_broken() {
            continue;
        }
        for rule in rules {
            if let Some(Policy {
                body: Body::Rule(rule),
                fields,
                ..
            }) = &mut policies[rule.0 as usize]
            {
                let sigma = Arc::make_mut(&mut rule.sigma);
                sigma.filters.push(set.clone());
                let namespace = rule.namespace;
                sigma.for_each_field(|f| {
                    fields.insert(EventField::new(namespace, f));
                });
            }
        }
    }
    link::check_columns(&policies, &mut drafts);
    for (policy, draft) in policies.iter_mut().zip(&drafts) {
        if draft.report.is_broken() {
            *policy = None;
        }
    }
    link::drop_broken(&mut policies, &mut drafts);
    link::set_reports(&mut policies);
    errors.extend(drafts.into_iter().flat_map(|d| d.report.errors));
    errors.sort_by(|a, b| a.place.cmp(&b.place));
    Loaded {
        policies: Policies {
            all: link::compact(policies),
        },
        errors,
    }
}

/// A document whose head is read.
pub(crate) struct Draft {
    pub node: Node,
    pub version: String,
    pub report: Report,
    pub kind: Option<DocumentKind>,
    pub title: String,
    pub id: Option<String>,
    pub name: Option<String>,
}

impl Draft {
    fn place(&self) -> Place {
        self.node.place(&self.report.file)
    }

    /// How others may call it, and messages do.
    pub fn handle(&self) -> &str {
        self.name.as_deref().or(self.id.as_deref()).unwrap_or(&self.title)
    }
}

fn draft(node: Node, text: &str, file: &Arc<str>) -> Draft {
    let mut report = Report::new(file.clone());
    let mut version = hex::encode(Sha256::digest(text.as_bytes()));
    version.truncate(12);
    if node.map().is_none() {
        report.shape(&node, "policy", "a map with `title`, `logsource`, `detection` …");
    }
    let mut read = |key: &str| {
        node.get(key)
            .and_then(|n| report.text(n, key))
            .filter(|t| !t.is_empty())
    };
    let (title, id, name) = (read("title"), read("id"), read("name"));
    let docket = node.get("docket");
    let kind = if node.map().is_none() {
        None
    } else if node.get("correlation").is_some() {
        Some(DocumentKind::Correlation)
    } else if node.get("filter").is_some() {
        Some(DocumentKind::Filter)
    } else if docket.is_some_and(|d| d.get("absence").is_some()) {
        Some(DocumentKind::Absence)
    } else {
        Some(DocumentKind::Rule)
    };
    if title.is_none() && kind.is_some() {
        let why = "it says what a match means".to_owned();
        report.at(
            &node,
            Problem::Missing {
                key: "title".to_owned(),
                why,
            },
        );
    }
    let title = title.unwrap_or_default();
    Draft {
        node,
        version,
        report,
        kind,
        title,
        id,
        name,
    }
}

/// The later of two documents with one id or name is broken.
fn report_duplicates(drafts: &mut [Draft]) {
    let mut seen: HashMap<String, Place> = HashMap::new();
    for draft in drafts {
        for (what, word) in [("the id", draft.id.clone()), ("the name", draft.name.clone())] {
            let Some(word) = word else { continue };
            if draft.id == draft.name && what == "the name" {
                continue;
            }
            match seen.get(&word) {
                Some(first) => {
                    let key = if what == "the id" { "id" } else { "name" };
                    let at = draft.node.get(key).unwrap_or(&draft.node).clone();
                    draft.report.at(
                        &at,
                        Problem::Duplicate {
                            what,
                            given: word,
                            first: first.clone(),
                        },
                    );
                }
                None => {
                    seen.insert(word, draft.place());
                }
            }
        }
    }
}

/// Who is called what, before anything is checked.
pub(crate) struct Directory {
    by_name: HashMap<String, usize>,
    entries: Vec<Entry>,
    /// Names of rules that keep a table.
    pub tables: Vec<String>,
}

struct Entry {
    kind: Option<DocumentKind>,
    namespace: Namespace,
    /// Of a correlation: the rules that it names.
    rules: Vec<String>,
    table: bool,
}

impl Directory {
    fn new(drafts: &[Draft]) -> Directory {
        let mut directory = Directory {
            by_name: HashMap::new(),
            entries: Vec::new(),
            tables: Vec::new(),
        };
        for (i, draft) in drafts.iter().enumerate() {
            for word in draft.id.iter().chain(&draft.name) {
                directory.by_name.entry(word.clone()).or_insert(i);
            }
            let product = draft
                .node
                .get("logsource")
                .and_then(|l| l.get("product"))
                .and_then(Node::scalar);
            let ocsf = product.is_some_and(|p| p.eq_ignore_ascii_case("ocsf"));
            let rules = draft.node.get("correlation").and_then(|c| c.get("rules"));
            let table = draft.node.get("docket").is_some_and(|d| d.get("table").is_some());
            if table && draft.kind == Some(DocumentKind::Rule) {
                directory.tables.extend(draft.name.clone());
            }
            directory.entries.push(Entry {
                kind: draft.kind,
                namespace: if ocsf { Namespace::Ocsf } else { Namespace::Native },
                rules: rules
                    .map(Node::one_or_many)
                    .unwrap_or_default()
                    .iter()
                    .filter_map(|n| Some(n.scalar()?.into_owned()))
                    .collect(),
                table,
            });
        }
        directory
    }

    /// The rule or correlation of a name or id.
    pub fn find(&self, word: &str) -> Option<PolicyIndex> {
        let index = *self.by_name.get(word)?;
        let kind = self.entries[index].kind;
        matches!(kind, Some(DocumentKind::Rule | DocumentKind::Correlation)).then_some(PolicyIndex(index as u32))
    }

    /// The policy that keeps the table of a name.
    pub fn table(&self, name: &str) -> Option<PolicyIndex> {
        let index = *self.by_name.get(name)?;
        self.entries[index].table.then_some(PolicyIndex(index as u32))
    }

    /// The names of the fields of a rule's events; of a correlation's, its first rule's.
    pub fn namespace(&self, index: PolicyIndex) -> Namespace {
        let mut at = index.0 as usize;
        // A chain longer than the set goes round in a circle, which is reported elsewhere.
        for _ in 0..self.entries.len() {
            let entry = &self.entries[at];
            let next = entry.rules.first().and_then(|r| self.by_name.get(r));
            match (entry.kind, next) {
                (Some(DocumentKind::Correlation), Some(next)) => at = *next,
                _ => break,
            }
        }
        self.entries[at].namespace
    }

    /// There is no rule of this name.
    pub fn dangling(&self, given: &str) -> Problem {
        let mut names: Vec<&str> = self.by_name.keys().map(String::as_str).collect();
        names.sort_unstable();
        Problem::Dangling {
            what: "rule",
            given: given.to_owned(),
            nearest: nearest(given, names.into_iter()),
        }
    }
}

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
const STATUSES: &[&str] = &["stable", "test", "experimental", "deprecated", "unsupported"];

fn policy(
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
    let level: Option<Severity> = node.get("level").and_then(|n| extension::level(report, n));
    let docket = node.get("docket");
    if let Some(docket) = docket {
        extension::check_keys(report, docket, kind);
    }
    let mut fields = BTreeSet::new();
    let (body, scope) = match kind {
        DocumentKind::Rule => rule(report, node, directory, placeholders, &mut fields)?,
        DocumentKind::Correlation => link::correlation(report, node.get("correlation")?, node, directory, &mut fields)?,
        DocumentKind::Absence => link::absence(report, docket?.get("absence")?, directory, &mut fields)?,
        DocumentKind::Filter => return None,
    };
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
    let default_kind = if kind == DocumentKind::Absence {
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
    link::collect_fields(&mut policy, directory);
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
        .map(|n| extension::lookups(report, n, "lookup", &mut scope))
        .unwrap_or_default();
    link::bind_tables(report, &mut lookups, directory);
    let calendar = get("calendar").and_then(|n| extension::calendar(report, n));
    let table = get("table").and_then(|n| extension::event_table(report, n, &scope));
    let sigma = sigma?;
    sigma.for_each_field(|f| {
        fields.insert(EventField::new(namespace, f));
    });
    Some((
        Body::Rule(Rule {
            sigma: Arc::new(sigma),
            namespace,
            lookups,
            calendar,
            table,
        }),
        scope,
    ))
}

/// A Sigma filter: a condition more for the rules that it names.
fn filter(
    draft: &mut Draft,
    node: &Node,
    directory: &Directory,
    placeholders: &Placeholders,
) -> Option<(Arc<DetectionSet>, Vec<PolicyIndex>)> {
    let report = &mut draft.report;
    if let Some(docket) = node.get("docket") {
        extension::check_keys(report, docket, DocumentKind::Filter);
    }
    let filter = node.get("filter")?;
    let set = sigma::detection_set(report, filter, "filter", placeholders)?;
    let Some(rules) = filter.get("rules") else {
        let why = "it names the rules that the filter is for".to_owned();
        report.at(
            filter,
            Problem::Missing {
                key: "filter.rules".to_owned(),
                why,
            },
        );
        return None;
    };
    let mut targets = Vec::new();
    for n in rules.one_or_many() {
        let word = report.text(n, "filter.rules")?;
        match directory.find(&word) {
            Some(index) if directory.entries[index.0 as usize].kind == Some(DocumentKind::Rule) => targets.push(index),
            _ => report.at(n, directory.dangling(&word)),
        }
    }
    Some((Arc::new(set), targets))
}

/// For tests and small tools: the policies of one text; panics never, reports as [`load`] does.
#[must_use]
pub fn load_text(text: &str) -> Loaded {
    load(&[SourceFile::new("policy.yml", text)], &BTreeMap::new())
}
