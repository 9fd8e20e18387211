//! Who is called what, before anything is checked.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use model::Namespace;
use sha2::{Digest, Sha256};

use super::PolicyIndex;
use super::read::DocumentKind;
use crate::report::{Report, nearest};
use crate::yaml::Node;
use crate::{Place, Problem};

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

/// Reads the head of a document.
pub(crate) fn draft(node: Node, text: &str, file: &Arc<str>) -> Draft {
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
    } else if docket.is_some_and(|d| d.get("delay").is_some()) {
        Some(DocumentKind::Delay)
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
pub(crate) fn report_duplicates(drafts: &mut [Draft]) {
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

/// The aliases of a rule's lookups, but for those that expect no row, and of what is new.
fn aliases(node: &Node) -> Vec<Arc<str>> {
    let Some(docket) = node.get("docket") else {
        return Vec::new();
    };
    let lookups = docket.get("lookup").map(Node::one_or_many).unwrap_or_default();
    let found = lookups.iter().filter(|l| {
        let expect = l.get("expect").and_then(Node::scalar);
        expect.is_none_or(|e| e != "none")
    });
    let named = found.filter_map(|l| Some(Arc::from(&*l.get("as")?.scalar()?)));
    let is_new = ["first_seen", "rare"].iter().any(|key| docket.get(key).is_some());
    let numbered = ["sequence", "portion"]
        .into_iter()
        .filter(|key| docket.get(key).is_some());
    let numbered = numbered.map(Arc::from);
    named.chain(is_new.then(|| "seen".into())).chain(numbered).collect()
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
    /// What its joins call the rows that they find.
    aliases: Vec<Arc<str>>,
    table: bool,
}

impl Directory {
    /// Who the documents are.
    pub fn new(drafts: &[Draft]) -> Directory {
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
                aliases: aliases(&draft.node),
                table,
            });
        }
        directory
    }

    /// What the joins of a rule call the rows that they find; of a correlation, what those of all its rules do.
    pub fn aliases(&self, index: PolicyIndex) -> Vec<Arc<str>> {
        let (mut next, mut seen) = (vec![index.0 as usize], BTreeSet::new());
        let mut common: Option<Vec<Arc<str>>> = None;
        while let Some(at) = next.pop() {
            if !seen.insert(at) {
                continue;
            }
            let entry = &self.entries[at];
            if entry.kind == Some(DocumentKind::Correlation) {
                next.extend(entry.rules.iter().filter_map(|r| self.by_name.get(r)));
                continue;
            }
            match &mut common {
                Some(common) => common.retain(|alias| entry.aliases.contains(alias)),
                None => common = Some(entry.aliases.clone()),
            }
        }
        common.unwrap_or_default()
    }

    /// The rule or correlation of a name or id.
    pub fn find(&self, word: &str) -> Option<PolicyIndex> {
        let index = *self.by_name.get(word)?;
        let kind = self.entries[index].kind;
        matches!(kind, Some(DocumentKind::Rule | DocumentKind::Correlation)).then_some(PolicyIndex(index as u32))
    }

    /// Whether it is a rule over single events.
    pub fn is_rule(&self, index: PolicyIndex) -> bool {
        self.entries[index.0 as usize].kind == Some(DocumentKind::Rule)
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
