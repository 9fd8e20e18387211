//! `filter`, read from YAML.

use std::sync::Arc;

use model::LogSource;

use super::super::PolicyIndex;
use super::super::directory::{Directory, Draft};
use super::extension::{self, DocumentKind};
use crate::sigma::{self, DetectionSet, Placeholders};
use crate::yaml::{Kind, Node};
use crate::{Place, Problem};

/// A Sigma filter: a condition more for the rules that it names.
pub(crate) struct Filter {
    /// What has to hold besides.
    pub set: Arc<DetectionSet>,
    /// The rules, and where each is named; none: every rule of the log source.
    pub rules: Vec<(PolicyIndex, Place)>,
    logsource: LogSource,
}

impl Filter {
    /// Whether it is for rules of a log source: each label that the filter names is the rule's.
    pub fn fits(&self, rule: &LogSource) -> bool {
        let fits = |own: &Option<Arc<str>>, rule: &Option<Arc<str>>| match (own, rule) {
            (None, _) => true,
            (Some(own), Some(rule)) => own.eq_ignore_ascii_case(rule),
            (Some(_), None) => false,
        };
        let own = &self.logsource;
        fits(&own.product, &rule.product) && fits(&own.category, &rule.category) && fits(&own.service, &rule.service)
    }
}

/// Reads a document with `filter`.
pub(crate) fn filter(
    draft: &mut Draft,
    node: &Node,
    directory: &Directory,
    placeholders: &Placeholders,
) -> Option<Filter> {
    let report = &mut draft.report;
    if let Some(docket) = node.get("docket") {
        extension::check_keys(report, docket, DocumentKind::Filter);
    }
    let logsource = node
        .get("logsource")
        .map(|n| sigma::logsource(report, n))
        .unwrap_or_default();
    let filter = node.get("filter")?;
    let set = sigma::detection_set(report, filter, "filter", placeholders)?;
    let Some(rules) = filter.get("rules") else {
        let why = "it names the rules that the filter is for, or is `any`".to_owned();
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
    let every = match &rules.kind {
        Kind::Text(word) => ["any", "all"].iter().any(|w| word.eq_ignore_ascii_case(w)),
        Kind::List(items) => items.is_empty(),
        _ => false,
    };
    if every && node.get("logsource").is_none() {
        let why = "a filter for any rule says of which log source".to_owned();
        let key = "logsource".to_owned();
        report.at(node, Problem::Missing { key, why });
    }
    if !every {
        for n in rules.one_or_many() {
            let word = report.text(n, "filter.rules")?;
            match directory.find(&word) {
                Some(index) if directory.is_rule(index) => targets.push((index, n.place(&report.file))),
                _ => report.at(n, directory.dangling(&word)),
            }
        }
        if targets.is_empty() && !report.is_broken() {
            report.shape(rules, "filter.rules", "names or ids of rules, or `any`");
        }
    }
    Some(Filter {
        set: Arc::new(set),
        rules: targets,
        logsource,
    })
}
