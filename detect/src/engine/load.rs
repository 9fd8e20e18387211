//! The engine's state, as it is written and as it is read at start.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{Coordinate, Finding, Millis, ReferenceRow, StateKey, StateValue};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::absence::{Expected, Settled};
use super::bucket::{Bucket, BucketId, Member};
use super::fact::{Fact, FactRow};
use super::found::FoundRow;
use super::plan::StateId;
use super::rows::RowEvent;
use super::silence::Heard;
use super::state::{self, Kind};
use super::subject::{Judge, SubjectRow};
use super::timer::Due;
use super::window::{Entry, More};
use super::{Clock, Detector, StateError, correlate};
use crate::policy::{Body, PolicyIndex};
use crate::reference::Found;

/// A member of a bucket.
#[derive(Serialize, Deserialize)]
pub(super) struct MemberRow {
    bucket: Arc<str>,
    group: Vec<(String, String)>,
    fact: FactRow,
    found: FoundRow,
    expires: Millis,
}

impl MemberRow {
    pub fn of(id: &BucketId, group: &[(String, String)], fact: &Fact, found: &Found, expires: Millis) -> MemberRow {
        let (bucket, group) = (id.1.clone(), group.to_vec());
        MemberRow {
            bucket,
            group,
            fact: fact.write(),
            found: FoundRow::write(found),
            expires,
        }
    }
}

/// An entry of a window.
#[derive(Serialize, Deserialize)]
pub(super) struct EntryRow {
    group: Arc<str>,
    fact: FactRow,
    feeders: Vec<usize>,
    records: Vec<Coordinate>,
    rows: Vec<ReferenceRow>,
    origins: Vec<(StateId, Arc<str>)>,
    opens: bool,
    complete: bool,
}

impl EntryRow {
    pub fn of(group: &Arc<str>, entry: &Entry, state: impl Fn(PolicyIndex) -> StateId) -> EntryRow {
        EntryRow {
            group: group.clone(),
            fact: entry.fact.write(),
            feeders: entry.feeders.iter().copied().map(usize::from).collect(),
            records: entry.records().to_vec(),
            rows: entry.rows().to_vec(),
            origins: entry
                .origins()
                .iter()
                .map(|(policy, group)| (state(*policy), group.clone()))
                .collect(),
            opens: entry.opens,
            complete: entry.complete,
        }
    }
}

/// An event that opened an expectation.
#[derive(Serialize, Deserialize)]
pub(super) struct OpenedRow {
    fact: FactRow,
    found: FoundRow,
}

impl OpenedRow {
    pub fn of(fact: &Fact, found: &Found) -> OpenedRow {
        OpenedRow {
            fact: fact.write(),
            found: FoundRow::write(found),
        }
    }
}

/// A finding as it was reported last.
#[derive(Serialize, Deserialize)]
pub(super) struct ReportedRow {
    group: Vec<(String, String)>,
    expires: Option<Millis>,
    finding: Finding,
}

impl ReportedRow {
    pub fn of(_: &BucketId, bucket: &Bucket, finding: &Finding) -> ReportedRow {
        ReportedRow {
            group: bucket.group.clone(),
            expires: bucket.expires,
            finding: finding.clone(),
        }
    }
}

fn read<T: DeserializeOwned>(key: &[u8], value: &[u8]) -> Result<T, StateError> {
    state::read(value).ok_or_else(|| StateError { key: hex::encode(key) })
}

impl Detector {
    /// Takes up the state. Rows of policies that are gone are dropped.
    pub(super) fn load(&mut self, rows: Vec<(StateKey, StateValue)>) -> Result<(), StateError> {
        let time = state::key(Kind::Time, StateId(0), &[]);
        for (_, value) in rows.iter().filter(|(key, _)| *key == time) {
            self.clock = read::<Clock>(&time, value)?;
        }
        let mut linked: BTreeSet<(PolicyIndex, Arc<str>)> = BTreeSet::new();
        for (key, value) in rows {
            let Some(kind) = Kind::of(&key).filter(|k| *k != Kind::Time) else {
                continue;
            };
            if kind == Kind::Kinds {
                self.take_up_kinds(read(&key, &value)?);
                continue;
            }
            let named = match kind {
                Kind::Habit | Kind::Day => &self.plan.by_habit,
                _ => &self.plan.by_state,
            };
            let policy = state::policy_of(&key).and_then(|s| named.get(&s).copied());
            let taken = match policy {
                Some(policy) => self.take_up(kind, policy, &key, &value, &mut linked)?,
                None => false,
            };
            if !taken {
                self.changes.delete(key);
            }
        }
        self.relink(linked);
        self.reopen();
        self.open_tables();
        self.settled.clear();
        self.heard.clear();
        // What was told before needs no telling.
        self.dirty.clear();
        self.is_dirty.clear();
        Ok(())
    }

    /// Takes up one row; `false` where it is of no use any more.
    fn take_up(
        &mut self,
        kind: Kind,
        index: PolicyIndex,
        key: &[u8],
        value: &[u8],
        linked: &mut BTreeSet<(PolicyIndex, Arc<str>)>,
    ) -> Result<bool, StateError> {
        let policies = self.policies.clone();
        let policy = policies.get(index);
        let captured = &self.plan.captured_by_state;
        match kind {
            Kind::Member => {
                let row: MemberRow = read(key, value)?;
                let Some(fact) = row.fact.read(captured) else {
                    return Ok(false);
                };
                let id = (index, row.bucket);
                self.timers
                    .set(row.expires, Due::ForgetMember(id.clone(), fact.order()));
                self.event_bucket.insert((index, fact.uid.clone()), id.clone());
                self.join(
                    &id,
                    row.group,
                    fact.order(),
                    Member::Event(fact.clone(), row.found.read()),
                    row.expires,
                );
            }
            Kind::Subject => {
                let row: SubjectRow = read(key, value)?;
                let Some(fact) = row.fact.read(captured) else {
                    return Ok(false);
                };
                let forget = self.kept_until(&fact, policy.lateness_ms, policy.wait_ms);
                self.timers.set(forget, Due::ForgetSubject(index, fact.uid.clone()));
                let due = self.due_at(policy, &fact);
                if self.clock.now.is_none_or(|now| due >= now) {
                    self.timers.set(due, Due::Subject(index, fact.uid.clone()));
                }
                linked.insert((index, fact.uid.clone()));
                self.subjects
                    .entry(index)
                    .or_default()
                    .insert(fact, row.told.map(FoundRow::read));
            }
            Kind::Window => {
                let row: EntryRow = read(key, value)?;
                return Ok(self.take_up_entry(index, row));
            }
            Kind::Row => {
                let event: RowEvent = read(key, value)?;
                self.timers.set(event.expires, Due::ForgetRow(index, event.order()));
                self.table(index).insert(event);
            }
            Kind::Finding => {
                let row: ReportedRow = read(key, value)?;
                let id: BucketId = (index, row.finding.uid.as_str().into());
                let bucket = self.buckets.entry(id.clone()).or_default();
                bucket.group = row.group;
                bucket.reported = Some(Box::new(row.finding));
                if bucket.expires < row.expires {
                    bucket.expires = row.expires;
                }
                if let Some(expires) = row.expires {
                    self.timers.set(expires, Due::ForgetBucket(id));
                }
            }
            Kind::Opened => {
                let row: OpenedRow = read(key, value)?;
                let Some(fact) = row.fact.read(captured) else {
                    return Ok(false);
                };
                self.opened.push((index, fact, row.found.read()));
            }
            Kind::Expected => {
                let event: Expected = read(key, value)?;
                self.timers.set(
                    event.expires,
                    Due::ForgetExpected(index, (event.time, event.uid.clone())),
                );
                self.absences.entry(index).or_default().expect(event);
            }
            Kind::Settled => {
                let settled: Settled = read(key, value)?;
                self.settled.insert((index, settled.id.clone()), settled);
            }
            Kind::Silence => {
                let row: Heard = read(key, value)?;
                self.heard.insert((index, row.id.clone()), row);
            }
            Kind::Habit => self.take_up_habit(index, read(key, value)?),
            Kind::Day => self.take_up_day(index, read(key, value)?),
            Kind::Time | Kind::Kinds => {}
        }
        Ok(true)
    }

    fn take_up_entry(&mut self, index: PolicyIndex, row: EntryRow) -> bool {
        let policies = self.policies.clone();
        let policy = policies.get(index);
        let Body::Correlation(c) = &policy.body else {
            return false;
        };
        let Some(fact) = row.fact.read(&self.plan.captured_by_state) else {
            return false;
        };
        if row.feeders.is_empty() || row.feeders.iter().any(|f| *f >= c.feeders.len()) {
            return false;
        }
        let mut entry = correlate::entry(c, row.feeders[0], &fact);
        for feeder in &row.feeders[1..] {
            entry.merge(correlate::entry(c, *feeder, &fact));
        }
        (entry.opens, entry.complete) = (row.opens, row.complete);
        let origins = row.origins.into_iter();
        let more = More {
            records: row.records,
            rows: row.rows,
            origins: origins
                .filter_map(|(s, group)| Some((self.plan.by_state.get(&s).copied()?, group)))
                .collect(),
        };
        entry.more = more.boxed();
        let judging = self.judging(index);
        let group = row.group;
        let entries = self.windows.entry((index, group.clone())).or_default();
        entries.restore(c, entry, &judging);
        if let Some(next) = entries.next_due() {
            self.timers.set(next, Due::Window(index, group.clone()));
        }
        let expires = self.entry_expires(policy, c, &fact);
        self.timers.set(expires, Due::ForgetEntries(index, group.clone()));
        if row.complete {
            self.complete(index, policy, c, &group, &fact);
        }
        true
    }

    /// Opens again what events had opened, now that all that was expected and settled is there.
    fn reopen(&mut self) {
        let policies = self.policies.clone();
        for (index, fact, found) in std::mem::take(&mut self.opened) {
            let policy = policies.get(index);
            let Body::Absence(absence) = &policy.body else { continue };
            let Some(expectation) = self.expectation(absence, &fact, &found) else {
                continue;
            };
            self.open(index, policy, expectation);
        }
    }

    /// Links subjects to what they ask; their verdicts stay as they were told.
    fn relink(&mut self, linked: BTreeSet<(PolicyIndex, Arc<str>)>) {
        let policies = self.policies.clone();
        for (index, policy) in policies.iter() {
            let uids: BTreeSet<Arc<str>> = linked
                .range((index, Arc::from(""))..)
                .take_while(|(i, _)| *i == index)
                .map(|(_, u)| u.clone())
                .collect();
            let (Some(rule), Some(mut subjects)) = (policy.rule(), self.subjects.remove(&index)) else {
                continue;
            };
            let ready = |_: &Fact| false;
            let judge = Judge {
                lookups: &rule.lookups,
                tables: &self.tables,
                rows: &self.rows,
                ready: &ready,
                passes: &|fact, found| self.passes(rule, fact, found),
                waits: false,
            };
            subjects.relink(uids, &judge);
            self.subjects.insert(index, subjects);
        }
    }

    pub(super) fn write_subject(&mut self, rule: PolicyIndex, uid: &Arc<str>) {
        let Some(subject) = self.subjects.get(&rule).and_then(|s| s.get(uid)) else {
            return;
        };
        let row = SubjectRow {
            fact: subject.fact.write(),
            told: subject.told.as_deref().map(FoundRow::write),
        };
        let key = state::key(Kind::Subject, self.plan.node(rule).state, &[uid.as_bytes()]);
        self.changes.put(key, &row);
    }
}
