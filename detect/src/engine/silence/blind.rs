//! What is not seen while a source is silent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{Batch, LogSource, StateKey, StateValue};
use serde::{Deserialize, Serialize};

use super::super::state::{self, Kind};
use super::super::{Detector, plan};
use crate::policy::{Body, Policies, Policy, PolicyIndex};
use crate::sigma::lower;

/// Kinds of events that are remembered of a source.
const KINDS_MAX: usize = 64;
/// Sources whose kinds of events are remembered.
const SOURCES_MAX: usize = 1_000;

/// Which kinds of events came from each source: log source and class.
#[derive(Debug, Default)]
pub(crate) struct Kinds(BTreeMap<Arc<str>, BTreeSet<(LogSource, u32)>>);

/// The kinds of events of a source, as the state has them.
#[derive(Serialize, Deserialize)]
pub(crate) struct KindsRow {
    pub source: Arc<str>,
    kinds: Vec<(Label, Label, Label, u32)>,
}

type Label = Option<Arc<str>>;

/// What the policies miss of a source that is silent.
#[derive(Debug, Default)]
pub(super) struct Blind {
    /// Titles of the policies that see nothing now: no other source that speaks feeds them, or a part of them.
    pub wholly: BTreeSet<String>,
    /// Titles of those that other sources feed, too.
    pub partly: BTreeSet<String>,
    /// The clauses of both.
    pub clauses: BTreeSet<String>,
}

/// Which sources a policy has events of, as the state knows.
#[derive(Debug, Default)]
pub struct Seen(Kinds);

impl Seen {
    /// Reads the detector's state; rows that are something else, or cannot be read, are left out.
    #[must_use]
    pub fn of_state(state: &[(StateKey, StateValue)]) -> Seen {
        let mut kinds = Kinds::default();
        for (key, value) in state {
            if let (Some(Kind::Kinds), Some(row)) = (Kind::of(key), state::read::<KindsRow>(value)) {
                kinds.take_up(row);
            }
        }
        Seen(kinds)
    }

    /// The sources whose events a policy reads, or one that it takes events or rows of.
    #[must_use]
    pub fn of(&self, policies: &Policies, policy: PolicyIndex) -> BTreeSet<Arc<str>> {
        let rules = rules_of(policies, policy);
        let feeds = |kinds: &BTreeSet<(LogSource, u32)>| {
            let mut rules = rules.iter().filter_map(|i| policies.get(*i).rule());
            rules.any(|r| kinds.iter().any(|(l, class)| r.sigma.is_for(l, *class)))
        };
        let feeding = self.0.0.iter().filter(|(_, kinds)| feeds(kinds));
        feeding.map(|(source, _)| source.clone()).collect()
    }
}

/// A policy and all that it takes events or rows of.
pub fn rules_of(policies: &Policies, policy: PolicyIndex) -> BTreeSet<PolicyIndex> {
    let (mut all, mut next) = (BTreeSet::new(), vec![policy]);
    while let Some(i) = next.pop() {
        if all.insert(i) {
            next.extend(plan::sources(policies.get(i)));
        }
    }
    all
}

impl Kinds {
    pub fn know(&self, batch: &Batch) -> bool {
        self.0.get(&batch.source).is_some_and(|kinds| {
            kinds.len() >= KINDS_MAX || kinds.contains(&(batch.logsource.clone(), batch.class_uid))
        })
    }

    /// Remembers a kind. The row to write; `None` where there is no room, or nothing new.
    pub fn learn(&mut self, batch: &Batch) -> Option<KindsRow> {
        if self.0.len() >= SOURCES_MAX && !self.0.contains_key(&batch.source) {
            return None;
        }
        let kinds = self.0.entry(batch.source.clone()).or_default();
        kinds
            .insert((batch.logsource.clone(), batch.class_uid))
            .then(|| KindsRow {
                source: batch.source.clone(),
                kinds: kinds
                    .iter()
                    .map(|(l, class)| (l.product.clone(), l.category.clone(), l.service.clone(), *class))
                    .collect(),
            })
    }

    pub fn take_up(&mut self, row: KindsRow) {
        let kinds = row.kinds.into_iter().map(|(product, category, service, class)| {
            let source = LogSource {
                product,
                category,
                service,
            };
            (source, class)
        });
        self.0.insert(row.source, kinds.collect());
    }
}

impl Detector {
    /// The policies that make findings and that this source feeds, and whether another one does that is not silent.
    pub(super) fn blind(&self, source: &str) -> Blind {
        let silent: BTreeSet<&str> = self
            .silences
            .watches
            .values()
            .filter(|w| w.heard.told)
            .map(|w| &*w.source)
            .collect();
        let (own, others): (Vec<_>, Vec<_>) = self
            .silences
            .kinds
            .0
            .iter()
            .map(|(s, kinds)| (lower(s), kinds))
            .partition(|(s, _)| s == source);
        let feeds = |rule: PolicyIndex, kinds: &BTreeSet<(LogSource, u32)>| {
            let rule = self.policies.get(rule).rule();
            rule.is_some_and(|r| kinds.iter().any(|(l, class)| r.sigma.is_for(l, *class)))
        };
        let fed = |rule: PolicyIndex| own.iter().any(|(_, kinds)| feeds(rule, kinds));
        let fed_otherwise = |rule: PolicyIndex| {
            others
                .iter()
                .any(|(s, kinds)| !silent.contains(s.as_str()) && feeds(rule, kinds))
        };
        let mut blind = Blind::default();
        let tells = |p: &Policy| p.reports && !matches!(p.body, Body::Silence(_));
        for (index, policy) in self.policies.iter().filter(|(_, p)| tells(p)) {
            let mut all = rules_of(&self.policies, index);
            all.retain(|rule| fed(*rule));
            if all.is_empty() {
                continue;
            }
            let title = policy.reference.title.clone();
            if all.into_iter().all(fed_otherwise) {
                blind.partly.insert(title);
            } else {
                blind.wholly.insert(title);
            }
            blind.clauses.extend(policy.clauses.iter().cloned());
        }
        blind
    }
}
