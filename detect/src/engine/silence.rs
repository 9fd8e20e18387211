//! Sources that must not fall silent.
//!
//! Each record of a source that is watched puts its deadline off, by engine time: a silence is one of the receiving
//! side, whatever the records say of when things happened. One deadline is kept for each source, not one for each
//! record; it is looked at when it passes, and put off then. What was told stays: a record that comes later ends the
//! silence, and does not undo it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use model::{Batch, LedgerIndex, LogSource, Millis};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::bucket::{Bucket, Member, uid};
use super::plan::{self, StateId};
use super::state::{Kind, key};
use super::timer::Due;
use super::{Detector, absence};
use crate::policy::{Body, Literal, PolicyIndex, Silence, Value};
use crate::reference::{Found, Scope, resolve, resolve_moment};
use crate::sigma::lower;

/// Kinds of events that are remembered of a source.
const KINDS_MAX: usize = 64;
/// Sources whose kinds of events are remembered.
const SOURCES_MAX: usize = 1_000;
/// The alias of what is known of the silence.
const ALIAS: &str = "silence";

/// A policy, and a source that it watches.
type WatchId = (PolicyIndex, Arc<str>);

/// What is watched, and what was heard.
#[derive(Debug, Default)]
pub(super) struct Silences {
    watches: BTreeMap<WatchId, Watch>,
    /// By the source's id in lower case.
    by_source: HashMap<String, Vec<WatchId>>,
    /// Which kinds of events came from each source: log source and class.
    kinds: BTreeMap<Arc<str>, BTreeSet<(LogSource, u32)>>,
    changed: BTreeSet<WatchId>,
}

#[derive(Debug)]
struct Watch {
    source: String,
    every_ms: i64,
    found: Found,
    heard: Heard,
}

/// What was heard of a source, as the state has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Heard {
    pub id: Arc<str>,
    /// Engine time of its last record, or of when it was first watched.
    since: Millis,
    /// It has sent a record since it is watched.
    any: bool,
    /// Its silence was told.
    told: bool,
}

/// The kinds of events of a source, as the state has them.
#[derive(Serialize, Deserialize)]
pub(super) struct KindsRow {
    source: Arc<str>,
    kinds: Vec<(Label, Label, Label, u32)>,
}

type Label = Option<Arc<str>>;

/// A record of a source: its leaf and its batch.
pub(super) type Spoken = (LedgerIndex, usize);

impl Detector {
    /// Watches what the tables name now; what was heard stays.
    pub(super) fn open_silences(&mut self) {
        let Some(now) = self.clock.now.or(self.clock.first) else {
            return;
        };
        let policies = self.policies.clone();
        let mut before = std::mem::take(&mut self.silences.watches);
        self.silences.by_source.clear();
        for (index, policy) in policies.iter() {
            let Body::Silence(silence) = &policy.body else { continue };
            if self.plan.node(index).circular {
                continue;
            }
            for (source, every_ms, found) in self.watched(index, silence, now) {
                let id = (index, uid(&policy.reference.id, &[&source]));
                if let Some(there) = self.silences.watches.get_mut(&id) {
                    there.every_ms = there.every_ms.min(every_ms);
                    continue;
                }
                let known = before.remove(&id).map(|w| w.heard).or_else(|| self.heard.remove(&id));
                let heard = known.unwrap_or_else(|| {
                    self.silences.changed.insert(id.clone());
                    Heard {
                        id: id.1.clone(),
                        since: now,
                        any: false,
                        told: false,
                    }
                });
                if !heard.told {
                    let due = heard.since.plus_ms(every_ms).plus_ms(policy.wait_ms);
                    self.timers.set(due, Due::Silence(index, id.1.clone()));
                }
                self.silences
                    .by_source
                    .entry(source.clone())
                    .or_default()
                    .push(id.clone());
                self.silences.watches.insert(
                    id,
                    Watch {
                        source,
                        every_ms,
                        found,
                        heard,
                    },
                );
            }
        }
        for (index, id) in before.into_keys() {
            self.changes
                .delete(key(Kind::Silence, self.state(index), &[id.as_bytes()]));
        }
    }

    /// The sources that a policy watches at a moment, how long each may be silent, and the rows that say so.
    fn watched(&mut self, index: PolicyIndex, silence: &Silence, now: Millis) -> Vec<(String, i64, Found)> {
        let (mut out, mut gaps) = (Vec::new(), Vec::new());
        let tables = &self.tables;
        let at = |lookup: &crate::policy::Lookup, aliases: &crate::reference::Aliases| match &lookup.at {
            _ if lookup.ever => None,
            Some(at) => resolve_moment(at, &absence::rows_only(aliases, tables)),
            None => Some(now),
        };
        absence::combine(&silence.each, tables, &at, &mut |gap| gaps.push(gap), &mut |found| {
            let scope = absence::rows_only(&found.aliases, tables);
            let source = text(&silence.source, &scope).filter(|s| !s.is_empty());
            let every_ms = text(&silence.every, &scope).and_then(|t| Silence::span_ms(&t));
            let (Some(source), Some(every_ms)) = (source, every_ms) else {
                return false;
            };
            out.push((lower(&source), every_ms, found.clone()));
            true
        });
        gaps.into_iter().for_each(|gap| self.gap(index, gap));
        out
    }

    /// The records of the batches that are heard: all of sources that are watched, and the first of a new kind.
    pub(super) fn spoken(&self, batches: &[Batch]) -> Vec<Spoken> {
        let mut spoken = Vec::new();
        // Before the first record nothing is watched yet.
        let first =
            self.clock.first.is_none() && self.policies.all().iter().any(|p| matches!(p.body, Body::Silence(_)));
        if self.silences.by_source.is_empty() && !first {
            return spoken;
        }
        for (n, batch) in batches.iter().enumerate() {
            let rows = batch
                .rows
                .iter()
                .map(|r| (r.index, n))
                .filter(|(i, _)| *i >= self.position);
            if first || self.silences.by_source.contains_key(&lower(&batch.source)) {
                spoken.extend(rows);
            } else if !self.silences.knows(batch) {
                spoken.extend(rows.min());
            }
        }
        spoken.sort_unstable();
        spoken.dedup();
        spoken
    }

    /// A record of a source came, now.
    pub(super) fn hear(&mut self, batch: &Batch) {
        let Some(now) = self.clock.now else { return };
        if !self.silences.knows(batch) && self.silences.learn(batch) {
            let kinds = self.silences.kinds.get(&batch.source).into_iter().flatten();
            let row = KindsRow {
                source: batch.source.clone(),
                kinds: kinds
                    .map(|(l, class)| (l.product.clone(), l.category.clone(), l.service.clone(), *class))
                    .collect(),
            };
            self.changes
                .put(key(Kind::Kinds, StateId(0), &[batch.source.as_bytes()]), &row);
        }
        let ids = self.silences.by_source.get(&lower(&batch.source)).cloned();
        for id in ids.unwrap_or_default() {
            let wait_ms = self.policies.get(id.0).wait_ms;
            let Some(watch) = self.silences.watches.get_mut(&id) else {
                continue;
            };
            if watch.heard.told {
                let due = now.plus_ms(watch.every_ms).plus_ms(wait_ms);
                self.timers.set(due, Due::Silence(id.0, id.1.clone()));
            }
            (watch.heard.since, watch.heard.any, watch.heard.told) = (now, true, false);
            self.silences.changed.insert(id);
        }
    }

    /// A deadline has passed: it was put off, or the source is silent.
    pub(super) fn silence_due(&mut self, index: PolicyIndex, id: &Arc<str>) {
        let watch_id = (index, id.clone());
        let policies = self.policies.clone();
        let policy = policies.get(index);
        let (Some(now), Body::Silence(silence)) = (self.clock.now, &policy.body) else {
            return;
        };
        let Some(watch) = self.silences.watches.get(&watch_id).filter(|w| !w.heard.told) else {
            return;
        };
        let by = watch.heard.since.plus_ms(watch.every_ms);
        if by.plus_ms(policy.wait_ms) > now {
            let due = Due::Silence(index, id.clone());
            return self.timers.set(by.plus_ms(policy.wait_ms), due);
        }
        let (source, since, any) = (watch.source.clone(), watch.heard.since, watch.heard.any);
        // A row that is not valid any more asks for nothing; one whose time has come later is opened with the tables.
        let Some((_, every_ms, mut found)) = self
            .watched(index, silence, now)
            .into_iter()
            .find(|(s, ..)| *s == source)
        else {
            return;
        };
        if let Some(watch) = self.silences.watches.get_mut(&watch_id) {
            watch.heard.told = true;
            watch.found.clone_from(&found);
        }
        self.silences.changed.insert(watch_id);
        if !policy.reports {
            return;
        }
        let last = any.then_some(since);
        let known = json!({
            "source": source,
            "last": last.map(|at| self.shown(at)),
            "max_s": every_ms / 1000,
            "blind": self.blind(&source),
        });
        found.aliases.insert(ALIAS.into(), Arc::new(known));
        let scope = absence::rows_only(&found.aliases, &self.tables);
        let (bucket, group) = self.bucket_of(index, policy, &scope, by, &format!("{source} {}", since.0));
        let member = Member::Silent(Arc::new(found), last);
        let silent = Bucket {
            group,
            members: [((by, id.clone()), member)].into(),
            ..Bucket::default()
        };
        let finding = self.finding(&bucket, &silent);
        self.ready.extend(finding);
    }

    /// Writes what was heard since the last time.
    pub(super) fn write_heard(&mut self) {
        for id in std::mem::take(&mut self.silences.changed) {
            if let Some(watch) = self.silences.watches.get(&id) {
                let key = key(Kind::Silence, self.state(id.0), &[id.1.as_bytes()]);
                self.changes.put(key, &watch.heard);
            }
        }
    }

    pub(super) fn take_up_kinds(&mut self, row: KindsRow) {
        let kinds = row.kinds.into_iter().map(|(product, category, service, class)| {
            let source = LogSource {
                product,
                category,
                service,
            };
            (source, class)
        });
        self.silences.kinds.insert(row.source, kinds.collect());
    }

    /// The policies that this source alone feeds, of those that speak: their titles, in order.
    fn blind(&self, source: &str) -> BTreeSet<String> {
        let silent: BTreeSet<&str> = self
            .silences
            .watches
            .values()
            .filter(|w| w.heard.told)
            .map(|w| &*w.source)
            .collect();
        let feeds = |rule: PolicyIndex, kinds: &BTreeSet<(LogSource, u32)>| {
            let rule = self.policies.get(rule).rule();
            rule.is_some_and(|r| kinds.iter().any(|(l, class)| r.sigma.is_for(l, *class)))
        };
        let is_blind = |rule: PolicyIndex| {
            let (own, others): (Vec<_>, Vec<_>) = self
                .silences
                .kinds
                .iter()
                .map(|(s, kinds)| (lower(s), kinds))
                .partition(|(s, _)| s == source);
            own.iter().any(|(_, kinds)| feeds(rule, kinds))
                && !others
                    .iter()
                    .any(|(s, kinds)| !silent.contains(s.as_str()) && feeds(rule, kinds))
        };
        let mut blind = BTreeSet::new();
        for (index, policy) in self.policies.iter().filter(|(_, p)| p.reports) {
            let (mut all, mut next) = (BTreeSet::new(), vec![index]);
            while let Some(i) = next.pop() {
                if all.insert(i) {
                    next.extend(plan::sources(self.policies.get(i)));
                }
            }
            if all.into_iter().any(is_blind) {
                blind.insert(policy.reference.title.clone());
            }
        }
        blind
    }

    /// A moment as people read it, in the operator's zone.
    fn shown(&self, at: Millis) -> String {
        super::finding::told(&crate::reference::Item::Time(at), self.tables.zone())
    }
}

impl Silences {
    fn knows(&self, batch: &Batch) -> bool {
        self.kinds.get(&batch.source).is_some_and(|kinds| {
            kinds.len() >= KINDS_MAX || kinds.contains(&(batch.logsource.clone(), batch.class_uid))
        })
    }

    /// Remembers a kind; `false` where there is no room.
    fn learn(&mut self, batch: &Batch) -> bool {
        if self.kinds.len() >= SOURCES_MAX && !self.kinds.contains_key(&batch.source) {
            return false;
        }
        let kinds = self.kinds.entry(batch.source.clone()).or_default();
        kinds.insert((batch.logsource.clone(), batch.class_uid))
    }
}

fn text(value: &Value, scope: &Scope<'_>) -> Option<String> {
    match value {
        Value::Reference(reference) => resolve(reference, scope).first().map(|i| i.text().into_owned()),
        Value::Literal(Literal::Text { raw, .. }) => Some(raw.clone()),
        Value::Literal(Literal::Number(n)) => Some(n.to_string()),
        Value::Literal(_) => None,
    }
}
