//! The engine's state, as it is written and as it is read at start.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{Millis, StateKey, StateValue};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::absence::{Expected, Settled};
use super::bucket::{BucketId, Member};
use super::bytes::{Bytes, Put as _, Reader, Writer};
use super::fact::Fact;
use super::found::FoundRow;
use super::groups::GroupId;
use super::minutes::{From, Gathered};
use super::plan::StateId;
use super::rows::RowEvent;
use super::silence::Heard;
use super::state::{self, Item, Kind};
use super::subject::{Judge, SubjectRow};
use super::timer::Due;
use super::window::{Entry, Group, More};
use super::written::{EntryRow, MemberRow, OpenedRow, ReportedRow, put_entry, put_member};
use super::{Clock, Detector, StateError, correlate};
use crate::policy::{Body, PolicyIndex};

/// The rows of one group, as they come.
#[derive(Default)]
struct GroupRows {
    of: Option<GroupId>,
    rows: Vec<(From, EntryRow)>,
}

fn read<T: DeserializeOwned>(key: &[u8], value: &[u8]) -> Result<T, StateError> {
    state::read(value).ok_or_else(|| StateError { key: hex::encode(key) })
}

pub(super) fn read_bytes<T: Bytes + DeserializeOwned>(key: &[u8], value: &[u8]) -> Result<T, StateError> {
    state::read_bytes(value).ok_or_else(|| StateError { key: hex::encode(key) })
}

impl Detector {
    /// Takes up the state. Rows of policies that are gone are dropped.
    pub(super) fn load(&mut self, rows: Vec<(StateKey, StateValue)>) -> Result<(), StateError> {
        let time = state::key(Kind::Time, StateId(0), &[]);
        for (_, value) in rows.iter().filter(|(key, _)| *key == time) {
            self.clock = read::<Clock>(&time, value)?;
        }
        let mut linked: BTreeSet<(PolicyIndex, Arc<str>)> = BTreeSet::new();
        let (mut group, mut gathered) = (GroupRows::default(), Gathered::new());
        for (key, value) in rows {
            let Some(kind) = Kind::of(&key).filter(|k| *k != Kind::Time) else {
                continue;
            };
            if kind == Kind::Kinds {
                self.take_up_kinds(read(&key, &value)?);
                continue;
            }
            if kind == Kind::Usual {
                self.take_up_usual(read(&key, &value)?);
                continue;
            }
            if kind == Kind::Pauses {
                self.silences.take_up_habit(read(&key, &value)?);
                continue;
            }
            let named = match kind {
                Kind::Habit | Kind::Day => &self.plan.by_habit,
                _ => &self.plan.by_state,
            };
            let policy = state::policy_of(&key).and_then(|s| named.get(&s).copied());
            let taken = match policy {
                Some(index) if kind == Kind::Minute => {
                    self.take_up_minute(index, key, &value, &mut linked, &mut gathered)?;
                    continue;
                }
                Some(index) if kind == Kind::Window => {
                    let row: EntryRow = read_bytes(&key, &value)?;
                    if self.by_minute(Kind::Window, index) {
                        let rows = gathered.entry((index, row.group)).or_default();
                        rows.push((From::Own(key), value));
                        continue;
                    }
                    if group.of.as_ref().is_none_or(|of| of.0 != index || of.1 != row.group) {
                        self.take_up_group(std::mem::take(&mut group));
                        group.of = Some((index, row.group.clone()));
                    }
                    group.rows.push((From::Own(key), row));
                    continue;
                }
                Some(policy) => {
                    let from = From::Own(key.clone());
                    self.take_up(kind, policy, (&from, &key), &value, &mut linked)?
                }
                None => false,
            };
            if !taken {
                self.changes.delete(key);
            }
        }
        self.take_up_group(group);
        for (id, rows) in gathered {
            let mut group = GroupRows::default();
            for (from, value) in rows {
                let key = match &from {
                    From::Own(key) => key.as_slice(),
                    From::Minute(_) | From::Apart => &[],
                };
                let row = read_bytes(key, &value)?;
                group.rows.push((from, row));
            }
            group.of = Some(id);
            self.take_up_group(group);
        }
        self.relink(linked);
        self.reopen();
        self.open_tables();
        self.settled.clear();
        self.heard.clear();
        // What was told before needs no telling.
        for id in std::mem::take(&mut self.dirty) {
            self.buckets.entry(id).and_modify(|bucket| bucket.dirty = false);
        }
        self.unfed.clear();
        Ok(())
    }

    /// Takes up one item; `false` where it is of no use any more.
    pub(super) fn take_up(
        &mut self,
        kind: Kind,
        index: PolicyIndex,
        (from, key): (&From, &[u8]),
        value: &[u8],
        linked: &mut BTreeSet<(PolicyIndex, Arc<str>)>,
    ) -> Result<bool, StateError> {
        let policies = self.policies.clone();
        let policy = policies.get(index);
        let captured = &self.plan.captured_by_state;
        match kind {
            Kind::Member => {
                let row: MemberRow = read_bytes(key, value)?;
                let Some(fact) = row.fact.read(captured) else {
                    return Ok(false);
                };
                let id = (index, row.bucket);
                let item = Item::Member(id.clone(), fact.order());
                let found = row.found.read();
                let texts = self.texts.clone();
                self.settle_item(from, (row.expires, kind, index), item, |to| {
                    put_member(&id, &row.group, &fact, (&found, &texts), row.expires, to);
                });
                self.timers
                    .set(row.expires, Due::ForgetMember(id.clone(), fact.order()));
                self.event_bucket.insert((index, fact.uid.clone()), id.clone());
                self.join(
                    &id,
                    row.group,
                    fact.order(),
                    Member::Event(fact.clone(), found),
                    row.expires,
                );
            }
            Kind::Subject => {
                let row: SubjectRow = read_bytes(key, value)?;
                let Some(fact) = row.fact.read(captured) else {
                    return Ok(false);
                };
                if self.subjects.get(&index).is_some_and(|s| s.get(&fact.uid).is_some()) {
                    // It changed since, and that counts.
                    return Ok(true);
                }
                let forget = self.subject_expires(index, policy, &fact);
                if let From::Minute(at) = from
                    && *at != forget
                {
                    self.changes.touch(Item::Subject(index, fact.uid.clone()), false);
                }
                self.forget_subject_at(index, forget, &fact.uid);
                let due = self.due_at(policy, &fact);
                if self.clock.now.is_none_or(|now| due >= now) {
                    self.timers.set(due, Due::Subject(index, fact.uid.clone()));
                }
                linked.insert((index, fact.uid.clone()));
                let (uid, subjects) = (fact.uid.clone(), self.subjects.entry(index).or_default());
                subjects.insert(fact, row.told.map(FoundRow::read), forget);
                if matches!(from, From::Own(_)) {
                    subjects.set_alone(&uid);
                }
            }
            Kind::Delay => self.take_up_delay(index, read(key, value)?),
            Kind::Fed => {
                let row: SubjectRow = read_bytes(key, value)?;
                let (Some(fact), Some(found)) = (row.fact.read(captured), row.told) else {
                    return Ok(false);
                };
                self.take_up_fed(index, fact, found.read());
            }
            // Taken up a group at a time, and those of a minute together.
            Kind::Window | Kind::Minute => {}
            Kind::Row => {
                let mut event: RowEvent = read_bytes(key, value)?;
                // Earlier versions left these out.
                if let Json::Object(columns) = Arc::make_mut(&mut event.columns) {
                    RowEvent::complete(columns, event.time, &event.record);
                }
                let item = Item::Row(index, event.order());
                self.settle_item(from, (event.expires, kind, index), item, |to| event.put(to));
                self.insert_row(index, event);
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
                let row: OpenedRow = read_bytes(key, value)?;
                let Some(fact) = row.fact.read(captured) else {
                    return Ok(false);
                };
                self.opened.push((index, fact, row.found.read()));
            }
            Kind::Expected => {
                let event: Expected = read_bytes(key, value)?;
                let item = Item::Expected(index, (event.time, event.uid.clone()));
                self.settle_item(from, (event.expires, kind, index), item, |to| event.put(to));
                self.expect(index, event);
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
            Kind::Run => self.take_up_run(index, read(key, value)?),
            Kind::Portion => self.take_up_portion(index, read(key, value)?),
            Kind::Time | Kind::Kinds | Kind::Pauses | Kind::Usual => {}
        }
        Ok(true)
    }

    /// Takes up the entries of a group, oldest first, which costs the least.
    fn take_up_group(&mut self, group: GroupRows) {
        let Some(id) = group.of else { return };
        let policies = self.policies.clone();
        let policy = policies.get(id.0);
        let mut entries = Vec::with_capacity(group.rows.len());
        let by_minute = self.by_minute(Kind::Window, id.0);
        for (from, row) in group.rows {
            match (&policy.body, self.entry_of(id.0, row), from) {
                (Body::Correlation(c), Some(mut entry), from) => {
                    let event = entry.kept();
                    let expires = self.entry_expires(id.0, policy, c, (event.time(), event.received_at()));
                    match from {
                        // A row of an earlier format stands under another key.
                        From::Own(key) if key != self.entry_key(id.0, &id.1, &entry.order()) => {
                            self.changes.delete(key);
                            self.rewrite.push((id.clone(), entry.order()));
                        }
                        From::Own(_) => entry.alone = by_minute,
                        From::Minute(at) if at == expires => {}
                        // What is forgotten together is kept for longer, or not as long, than the policies want by now.
                        From::Minute(_) | From::Apart => {
                            if self.clock.now.is_some_and(|now| expires <= now) {
                                continue;
                            }
                            self.rewrite.push((id.clone(), entry.order()));
                        }
                    }
                    entries.push((c, entry));
                }
                (_, _, From::Own(key)) => self.changes.delete(key),
                _ => {}
            }
        }
        // Those with rows of their own stand first, and count.
        entries.sort_by(|(_, a), (_, b)| {
            let places = a.time().cmp(&b.time());
            places.then_with(|| a.kept().uid().cmp(b.kept().uid()))
        });
        entries
            .dedup_by(|(_, later), (_, kept)| later.time() == kept.time() && later.kept().uid() == kept.kept().uid());
        let judging = self.judging(id.0);
        let mut complete = Vec::new();
        for (c, entry) in entries {
            complete.extend(entry.complete.then(|| (c, entry.order())));
            let event = entry.kept();
            let expires = self.entry_expires(id.0, policy, c, (event.time(), event.received_at()));
            let entries = self.windows.entry(&id);
            entries.restore(c, entry, &judging);
            if entries.forgotten_at.is_none_or(|at| expires < at) {
                entries.forgotten_at = Some(expires);
                self.timers.set(expires, Due::ForgetEntries(id.0, id.1.clone()));
            }
        }
        if let Some(next) = self.windows.get(&id).and_then(|g| g.next_due()) {
            self.timers.set(next, Due::Window(id.0, id.1.clone()));
        }
        for (c, order) in complete {
            self.complete(id.0, policy, c, &id.1, &order);
        }
        for (id, order) in std::mem::take(&mut self.rewrite) {
            self.write_entry(id.0, &id.1, &order, false);
        }
        self.let_go();
    }

    /// An entry of a group as it was written; `None` where its rule is not there any more.
    fn entry_of(&self, index: PolicyIndex, row: EntryRow) -> Option<Entry> {
        let Body::Correlation(c) = &self.policies.get(index).body else {
            return None;
        };
        let fact = row.fact.read(&self.plan.captured_by_state)?;
        if row.feeders.is_empty() || row.feeders.iter().any(|f| *f >= c.feeders.len()) {
            return None;
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
            bucket: None,
        };
        Some(entry.with(more))
    }

    /// A group as bytes, with all it knows.
    fn group_bytes(&self, id: &GroupId, group: &Group) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.time(group.forgotten_at.unwrap_or(Millis(i64::MAX)));
        writer.number(group.entries().count() as u64);
        for entry in group.entries() {
            put_entry(&id.1, entry, |policy| self.state(policy), &self.texts, &mut writer);
            writer.text(entry.bucket().map_or("", |uid| uid));
            writer.bool(entry.alone);
        }
        writer.0
    }

    fn group_of_bytes(&self, id: &GroupId, bytes: &[u8]) -> Option<Group> {
        let Body::Correlation(c) = &self.policies.get(id.0).body else {
            return None;
        };
        let judging = self.judging(id.0);
        let mut reader = Reader(bytes);
        let mut group = Group::default();
        let forgotten_at = reader.time()?;
        for _ in 0..reader.count()? {
            let row = EntryRow::take(&mut reader)?;
            let uid = reader.text()?;
            let mut entry = self.entry_of(id.0, row)?;
            entry.set_bucket((!uid.is_empty()).then(|| uid.into()));
            entry.alone = reader.bool()?;
            group.restore(c, entry, &judging);
        }
        group.forgotten_at = Some(forgotten_at);
        Some(group)
    }

    /// Sees to it that a group is in memory, where there is one.
    pub(super) fn warm(&mut self, id: &GroupId) {
        let Some(bytes) = self.windows.fetch(id) else { return };
        let group = bytes.ok().and_then(|bytes| self.group_of_bytes(id, &bytes));
        match group {
            Some(group) => {
                // What was judged at this very moment waits again, and would keep what comes behind it from being judged.
                if let Some(due) = group.next_due() {
                    self.timers.set(due, Due::Window(id.0, id.1.clone()));
                }
                self.windows.warm(id.clone(), group);
            }
            None => {
                let error = StateError {
                    key: hex::encode(self.entry_key(id.0, &id.1, &(Millis(0), "".into()))),
                };
                tracing::error!(%error, "State that was let go cannot be read back.");
                self.fault.get_or_insert(error);
            }
        }
    }

    /// Sees to it that the windows of a finding are in memory.
    pub(super) fn warm_bucket(&mut self, id: &BucketId) {
        if !self.windows.has_cold() {
            return;
        }
        let Some(bucket) = self.buckets.get(id) else { return };
        let groups: BTreeSet<Arc<str>> = bucket
            .members
            .iter()
            .filter_map(|(_, m)| match m {
                Member::Window(group) => Some(group.clone()),
                _ => None,
            })
            .collect();
        let mut next: Vec<GroupId> = groups.into_iter().map(|g| (id.0, g)).collect();
        let mut seen = BTreeSet::new();
        while let Some(id) = next.pop() {
            if !seen.insert(id.clone()) {
                continue;
            }
            self.warm(&id);
            if self.plan.node(id.0).chained {
                let entries = self.windows.get(&id).into_iter().flat_map(|g| g.entries());
                let origins: BTreeSet<GroupId> = entries.flat_map(|e| e.origins().iter().cloned()).collect();
                next.extend(origins);
            }
        }
    }

    /// Lets go what there is no room for.
    pub(super) fn let_go(&mut self) {
        let mut windows = std::mem::take(&mut self.windows);
        windows.let_go(&|id, group| self.group_bytes(id, group));
        self.windows = windows;
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
                joins: self.joins_of(index),
                tables: &self.tables,
                rows: &self.rows,
                ready: &ready,
                rests: &|_| false,
                passes: &|fact, found| self.passes(rule, fact, found),
                waits: false,
                version: self.tables_version,
            };
            subjects.relink(uids, &judge);
            self.subjects.insert(index, subjects);
        }
    }

    /// A subject came, or says something else; `fresh`: it came.
    pub(super) fn write_subject(&mut self, rule: PolicyIndex, uid: &Arc<str>, fresh: bool) {
        self.changes.touch(Item::Subject(rule, uid.clone()), fresh);
    }
}
