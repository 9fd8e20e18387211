//! Policy files → policies that refer to each other by index.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::collection::Collection;
use super::directory::{self, Directory};
use super::read::{self, DocumentKind, Filter};
use super::{Body, EventField, Policies, Policy, link, refer};
use crate::sigma::Placeholders;
use crate::yaml;
use crate::{PolicyError, Problem};

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
        // Few files are collections; the others need no copies.
        let mut collection = file.text.contains("action:").then(Collection::default);
        for document in yaml::documents(&file.text) {
            let node = match yaml::parse(&document, &file.name) {
                Ok(node) => node,
                Err(e) => {
                    errors.push(e);
                    continue;
                }
            };
            let Some(collection) = &mut collection else {
                drafts.push(directory::draft(node, document.text, &file.name));
                continue;
            };
            match collection.merge(node, document.text, &file.name) {
                Ok(merged) => drafts.extend(merged.map(|(node, text)| directory::draft(node, &text, &file.name))),
                Err(e) => errors.push(e),
            }
        }
    }
    directory::report_duplicates(&mut drafts);
    let directory = Directory::new(&drafts);
    let mut policies: Vec<Option<Policy>> = Vec::new();
    let mut filters: Vec<(usize, Filter)> = Vec::new();
    for (i, draft) in drafts.iter_mut().enumerate() {
        let node = draft.node.clone();
        let policy = match draft.kind {
            Some(DocumentKind::Filter) => {
                filters.extend(read::filter(draft, &node, &directory, placeholders).map(|f| (i, f)));
                None
            }
            Some(kind) => read::policy(draft, &node, kind, &directory, placeholders),
            None => None,
        };
        policies.push(policy.filter(|_| !draft.report.is_broken()));
    }
    for (i, filter) in filters {
        if drafts[i].report.is_broken() {
            continue;
        }
        let named = filter.rules.iter().map(|(rule, place)| (rule.0 as usize, Some(place)));
        let every = (0..policies.len())
            .filter(|_| filter.rules.is_empty())
            .map(|rule| (rule, None));
        for (rule, place) in named.chain(every) {
            let Some(Policy {
                body: Body::Rule(rule),
                fields,
                ..
            }) = &mut policies[rule]
            else {
                continue;
            };
            if !filter.fits(&rule.sigma.logsource) {
                let lint = "the filter's log source is not the rule's, so the rule is not filtered".to_owned();
                drafts[i].report.errors.extend(place.map(|place| PolicyError {
                    place: place.clone(),
                    problem: Problem::Lint(lint),
                }));
                continue;
            }
            let sigma = Arc::make_mut(&mut rule.sigma);
            sigma.filters.push(filter.set.clone());
            let namespace = rule.namespace;
            sigma.for_each_field(|f| {
                fields.insert(EventField::new(namespace, f));
            });
        }
    }
    refer::check_columns(&policies, &mut drafts);
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

/// For tests and small tools: the policies of one text; panics never, reports as [`load`] does.
#[must_use]
pub fn load_text(text: &str) -> Loaded {
    load(&[SourceFile::new("policy.yml", text)], &BTreeMap::new())
}
