//! Sources that must not fall silent.
//!
//! Each record of a source that is watched puts its deadline off, by engine time: a silence is one of the receiving
//! side, whatever the records say of when things happened. One deadline is kept for each source, not one for each
//! record; it is looked at when it passes, and put off then. How long a source may be silent is declared by a table, or
//! learned ([`habit`]). The clock begins anew where Docket itself did not listen, or has not read yet what came.
//! A record that comes later ends a silence that was told: its finding is resolved, and says how long it lasted.

mod anew;
mod asked;
mod blind;
mod habit;
mod tell;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use model::{Batch, Finding, LedgerIndex, Millis, TOPIC_DOCKET};
use serde::{Deserialize, Serialize};

use self::asked::Asked;
pub(super) use self::blind::KindsRow;
pub use self::blind::{Seen, rules_of};
pub(super) use self::habit::Habit;
use super::Detector;
use super::bucket::uid;
use super::plan::StateId;
use super::state::{Kind, key};
use super::timer::Due;
use crate::policy::{Body, PolicyIndex, Silence};
use crate::sigma::lower;

/// Sources whose cadence is learned.
const HABITS_MAX: usize = 1_000;

/// A policy, and a source that it watches.
type WatchId = (PolicyIndex, Arc<str>);

/// What is watched, and what was heard.
#[derive(Debug, Default)]
pub(super) struct Silences {
    watches: BTreeMap<WatchId, Watch>,
    /// By the source's id in lower case.
    by_source: HashMap<Arc<str>, Vec<WatchId>>,
    kinds: blind::Kinds,
    /// How often sources speak, by their ids in lower case; kept where some policy learns.
    habits: BTreeMap<Arc<str>, Habit>,
    changed: BTreeSet<WatchId>,
    changed_habits: BTreeSet<Arc<str>>,
}

#[derive(Debug)]
struct Watch {
    source: Arc<str>,
    asked: Asked,
    heard: Heard,
    /// A timer is set for it.
    armed: bool,
}

/// What was heard of a source, as the state has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Heard {
    pub id: Arc<str>,
    /// Engine time of its last record, of when it was first watched, or of when the clock began anew.
    since: Millis,
    /// It has sent a record since it is watched.
    any: bool,
    /// Its silence was told.
    told: bool,
    /// When its last record was received.
    #[serde(default)]
    last: Option<Millis>,
    /// When the clock began anew, where it did since its last record.
    #[serde(default)]
    anew: Option<Millis>,
    /// What was told of its silence, while it lasts.
    #[serde(default)]
    finding: Option<Box<Finding>>,
}

/// A source that is watched, as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Watched {
    /// Its id, in lower case.
    pub source: String,
    /// How long it may be silent, milliseconds; `None` while too little is known.
    pub every_ms: Option<i64>,
    /// `declared`, `learned`, `learned, working time` …
    pub cadence: Option<String>,
    /// When its last record was received.
    pub last: Option<Millis>,
    /// It has been silent for too long, and that was told.
    pub silent: bool,
    /// When it will have been silent for too long.
    pub due: Option<Millis>,
}

/// A record of a source: its leaf and its batch.
pub(super) type Spoken = (LedgerIndex, usize);

/// What is known of a batch while its records are heard.
#[derive(Debug)]
pub(super) struct Ear {
    source: Arc<str>,
    known: bool,
}

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
            let mut asked: BTreeMap<Arc<str>, Asked> = BTreeMap::new();
            for (source, row) in self.watched(index, silence, now) {
                match asked.get_mut(&source) {
                    None => drop(asked.insert(source, row)),
                    // Of two rows the less patient one counts.
                    Some(there) if row.every_ms.is_some_and(|ms| there.every_ms.is_none_or(|t| ms < t)) => *there = row,
                    Some(_) => {}
                }
            }
            if silence.learn.is_some() {
                for source in self.silences.habits.keys() {
                    asked.entry(source.clone()).or_default();
                }
            }
            for (source, asked) in asked {
                let id = (index, uid(&policy.reference.id, &[&source]));
                let known = before.remove(&id).map(|w| w.heard).or_else(|| self.heard.remove(&id));
                self.watch(id, source, asked, known, now);
            }
        }
        for (id, watch) in before {
            self.end_watch(watch, now);
            self.changes
                .delete(key(Kind::Silence, self.state(id.0), &[id.1.as_bytes()]));
        }
    }

    fn watch(&mut self, id: WatchId, source: Arc<str>, asked: Asked, known: Option<Heard>, now: Millis) {
        let heard = known.unwrap_or_else(|| {
            self.silences.changed.insert(id.clone());
            Heard {
                id: id.1.clone(),
                since: now,
                any: false,
                told: false,
                last: None,
                anew: None,
                finding: None,
            }
        });
        let ids = self.silences.by_source.entry(source.clone()).or_default();
        ids.push(id.clone());
        let watch = Watch {
            source,
            asked,
            heard,
            armed: false,
        };
        self.silences.watches.insert(id.clone(), watch);
        self.arm(&id);
    }

    /// The records of the batches that are heard: all of sources that are watched or learned, and the first of a new kind.
    pub(super) fn spoken(&self, batches: &[Batch]) -> (Vec<Spoken>, Vec<Ear>) {
        let (mut spoken, mut ears) = (Vec::new(), Vec::new());
        // Before the first record nothing is watched yet.
        let all = self.plan.learns || self.clock.first.is_none();
        for (n, batch) in batches.iter().enumerate() {
            let source: Arc<str> = lower(&batch.source).into();
            let known = self.silences.kinds.know(batch);
            let rows = batch
                .rows
                .iter()
                .map(|r| (r.index, n))
                .filter(|(i, _)| *i >= self.position);
            if all || self.silences.by_source.contains_key(&source) {
                spoken.extend(rows);
            } else if !known {
                spoken.extend(rows.min());
            }
            ears.push(Ear { source, known });
        }
        spoken.sort_unstable();
        spoken.dedup();
        (spoken, ears)
    }

    /// A record of a source came, now.
    pub(super) fn hear(&mut self, batch: &Batch, ear: &mut Ear, received_at: Millis) {
        let Some(now) = self.clock.now else { return };
        if !ear.known {
            ear.known = true;
            if let Some(row) = self.silences.kinds.learn(batch) {
                let key = key(Kind::Kinds, StateId(0), &[row.source.as_bytes()]);
                self.changes.put(key, &row);
            }
        }
        let policies = self.policies.clone();
        let sooner = self.learn(&ear.source, now);
        let ids = self.silences.by_source.get(&ear.source).cloned();
        for id in ids.unwrap_or_default() {
            if let Body::Silence(silence) = &policies.get(id.0).body
                && !silence.classes.is_empty()
                && !silence.classes.contains(&batch.class_uid)
            {
                continue;
            }
            let Some(watch) = self.silences.watches.get_mut(&id) else {
                continue;
            };
            let heard = &mut watch.heard;
            let ended = std::mem::take(&mut heard.told);
            let last = heard.last.max(Some(received_at));
            if ended {
                let told = heard.finding.take();
                let began = heard.last.unwrap_or(heard.since);
                if let Some(told) = told {
                    let over = tell::returned(*told, began, now, self.tables.zone());
                    let at = over.time;
                    self.tell_alone(over, at);
                }
            }
            let Some(watch) = self.silences.watches.get_mut(&id) else {
                continue;
            };
            let heard = &mut watch.heard;
            if !ended && heard.any && heard.anew.is_none() && (heard.since, heard.last) == (now, last) {
                continue;
            }
            let began = !heard.any;
            (heard.since, heard.any, heard.anew, heard.last) = (now, true, None, last);
            let rearm = ended || began || sooner || !watch.armed;
            self.silences.changed.insert(id.clone());
            if rearm {
                self.arm(&id);
            }
        }
    }

    /// Learns from a record; says whether the source may have to be asked for sooner than before.
    fn learn(&mut self, source: &Arc<str>, now: Millis) -> bool {
        if !self.plan.learns || **source == *TOPIC_DOCKET {
            return false;
        }
        if !self.silences.habits.contains_key(source) {
            if self.silences.habits.len() >= HABITS_MAX {
                return false;
            }
            let habit = Habit::new(source.clone(), now);
            self.silences.habits.insert(source.clone(), habit);
            self.watch_new(source, now);
        }
        let watches = &self.silences.watches;
        let ids = self.silences.by_source.get(source).into_iter().flatten();
        let site = ids.filter_map(|id| watches.get(id)?.asked.site.as_deref()).next();
        let Some(habit) = self.silences.habits.get_mut(source) else {
            return false;
        };
        if habit.spoke_at(now) {
            return false;
        }
        self.silences.changed_habits.insert(source.clone());
        habit.speak(now, self.tables.calendar(), site)
    }

    /// Watches a source that was heard for the first time, where no row names it.
    fn watch_new(&mut self, source: &Arc<str>, now: Millis) {
        let policies = self.policies.clone();
        for (index, policy) in policies.iter() {
            let Body::Silence(Silence { learn: Some(_), .. }) = &policy.body else {
                continue;
            };
            let id = (index, uid(&policy.reference.id, &[source]));
            if !self.plan.node(index).circular && !self.silences.watches.contains_key(&id) {
                self.watch(id, source.clone(), Asked::default(), None, now);
            }
        }
    }

    /// Sets the timer at which a source is looked at next.
    fn arm(&mut self, id: &WatchId) {
        let policies = self.policies.clone();
        let policy = policies.get(id.0);
        let Some(watch) = self.silences.watches.get(id).filter(|w| !w.heard.told) else {
            return;
        };
        let at = match (self.deadline(id.0, watch), &policy.body) {
            (Some((by, _)), _) => Some(by.plus_ms(policy.wait_ms)),
            // Not known for long enough: it may have fallen silent by then.
            (None, Body::Silence(Silence { learn: Some(learn), .. })) => {
                let warm = self.silences.habits.get(&watch.source).map(|h| h.warm_at(learn));
                warm.filter(|at| self.clock.now.is_some_and(|now| *at > now))
            }
            (None, _) => None,
        };
        if let Some(watch) = self.silences.watches.get_mut(id) {
            watch.armed = at.is_some();
        }
        if let Some(at) = at {
            self.timers.set(at, Due::Silence(id.0, id.1.clone()));
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
        let Some(watch) = self.silences.watches.get_mut(&watch_id).filter(|w| !w.heard.told) else {
            return;
        };
        watch.armed = false;
        let source = watch.source.clone();
        let watch = &self.silences.watches[&watch_id];
        if self
            .deadline(index, watch)
            .is_none_or(|(by, _)| by.plus_ms(policy.wait_ms) > now)
        {
            return self.arm(&watch_id);
        }
        // A row that is not valid any more asks for nothing; one whose time has come later is opened with the tables.
        let asked = self
            .watched(index, silence, now)
            .into_iter()
            .find(|(s, _)| *s == source);
        let named = !self.silences.watches[&watch_id].asked.found.rows.is_empty();
        let asked = match asked {
            Some((_, asked)) => asked,
            None if named => return,
            None => Asked::default(),
        };
        if let Some(watch) = self.silences.watches.get_mut(&watch_id) {
            watch.asked = asked;
        }
        let Some((by, allowed)) = self.deadline(index, &self.silences.watches[&watch_id]) else {
            return;
        };
        if by.plus_ms(policy.wait_ms) > now {
            return self.arm(&watch_id);
        }
        if let Some(watch) = self.silences.watches.get_mut(&watch_id) {
            watch.heard.told = true;
        }
        self.silences.changed.insert(watch_id.clone());
        if policy.reports {
            self.tell_silence(&watch_id, by, allowed);
        }
    }

    /// Writes what was heard since the last time.
    pub(super) fn write_heard(&mut self) {
        for id in std::mem::take(&mut self.silences.changed) {
            if let Some(watch) = self.silences.watches.get(&id) {
                let key = key(Kind::Silence, self.state(id.0), &[id.1.as_bytes()]);
                self.changes.put(key, &watch.heard);
            }
        }
        for source in std::mem::take(&mut self.silences.changed_habits) {
            if let Some(habit) = self.silences.habits.get(&source) {
                let key = key(Kind::Pauses, StateId(0), &[source.as_bytes()]);
                self.changes.put(key, habit);
            }
        }
    }

    pub(super) fn take_up_kinds(&mut self, row: KindsRow) {
        self.silences.kinds.take_up(row);
    }

    pub(super) fn watched_sources(&self) -> Vec<Watched> {
        let mut out: BTreeMap<Arc<str>, Watched> = BTreeMap::new();
        for (id, watch) in &self.silences.watches {
            // One kind of records may be rare where the source is not silent.
            if matches!(&self.policies.get(id.0).body, Body::Silence(s) if !s.classes.is_empty()) {
                continue;
            }
            let deadline = self.deadline(id.0, watch);
            let watched = Watched {
                source: watch.source.to_string(),
                every_ms: deadline.map(|(_, a)| a.every_ms),
                cadence: deadline.map(|(_, a)| a.to_string()),
                last: watch.heard.last,
                silent: watch.heard.told,
                due: deadline.map(|(by, _)| by).filter(|_| !watch.heard.told),
            };
            let patience = |w: &Watched| (!w.silent, w.every_ms.unwrap_or(i64::MAX));
            let there = out.entry(watch.source.clone()).or_insert_with(|| watched.clone());
            if patience(&watched) < patience(there) {
                *there = watched;
            }
        }
        out.into_values().collect()
    }
}

impl Silences {
    pub fn take_up_habit(&mut self, habit: Habit) {
        self.habits.insert(habit.source.clone(), habit);
    }
}
