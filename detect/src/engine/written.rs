//! What is kept of items of the state, as it is written; and the items that changed, written when a delta is.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Coordinate, Finding, Millis, ReferenceRow, StateKey, StateValue};
use serde::{Deserialize, Serialize};

use super::Detector;
use super::bucket::{Bucket, BucketId, Member};
use super::bytes::{Bytes, Reader, Writer};
use super::fact::{Fact, FactRow};
use super::found::{self, FoundRow};
use super::minutes;
use super::plan::StateId;
use super::state::{self, Item, Kind};
use super::texts::Texts;
use super::window::Entry;
use crate::policy::{Body, PolicyIndex};
use crate::reference::Found;

/// A member of a bucket.
#[derive(Serialize, Deserialize)]
pub(super) struct MemberRow {
    pub bucket: Arc<str>,
    pub group: Vec<(String, String)>,
    pub fact: FactRow,
    pub found: FoundRow,
    pub expires: Millis,
}

/// An entry of a window.
#[derive(Serialize, Deserialize)]
pub(super) struct EntryRow {
    pub group: Arc<str>,
    pub fact: FactRow,
    pub feeders: Vec<usize>,
    pub records: Vec<Coordinate>,
    pub rows: Vec<Arc<ReferenceRow>>,
    pub origins: Vec<(StateId, Arc<str>)>,
    #[serde(default)]
    pub opens: bool,
    pub complete: bool,
}

/// An event that opened an expectation.
#[derive(Serialize, Deserialize)]
pub(super) struct OpenedRow {
    pub fact: FactRow,
    pub found: FoundRow,
}

impl Bytes for OpenedRow {
    fn take(from: &mut Reader<'_>) -> Option<OpenedRow> {
        let found = FoundRow::take(from)?;
        let fact = FactRow::take(from)?;
        Some(OpenedRow { fact, found })
    }
}

/// A finding as it was reported last.
#[derive(Serialize, Deserialize)]
pub(super) struct ReportedRow {
    pub group: Vec<(String, String)>,
    pub expires: Option<Millis>,
    pub finding: Finding,
}

impl ReportedRow {
    pub fn of(bucket: &Bucket, finding: &Finding) -> ReportedRow {
        ReportedRow {
            group: bucket.group.clone(),
            expires: bucket.expires,
            finding: finding.clone(),
        }
    }
}

impl Bytes for MemberRow {
    fn take(from: &mut Reader<'_>) -> Option<MemberRow> {
        let bucket = from.shared()?;
        let n = from.count()?;
        let pair = |_| Some((from.text()?.to_owned(), from.text()?.to_owned()));
        let group = (0..n).map(pair).collect::<Option<Vec<_>>>()?;
        Some(MemberRow {
            bucket,
            group,
            fact: FactRow::take(from)?,
            found: FoundRow::take(from)?,
            expires: from.time()?,
        })
    }
}

impl Bytes for EntryRow {
    fn take(from: &mut Reader<'_>) -> Option<EntryRow> {
        let group = from.shared()?;
        let fact = FactRow::take(from)?;
        let n = from.count()?;
        let feeders = (0..n)
            .map(|_| usize::try_from(from.number()?).ok())
            .collect::<Option<Vec<_>>>()?;
        let flags = from.number()?;
        let (records, rows, origins) = from.json()?.unwrap_or_default();
        Some(EntryRow {
            group,
            fact,
            feeders,
            records,
            rows,
            origins,
            opens: flags & 1 != 0,
            complete: flags & 2 != 0,
        })
    }
}

/// A subject, as a [`SubjectRow`] is written.
fn subject(fact: &Fact, told: Option<&Found>, texts: &Texts) -> StateValue {
    state::written(|to| {
        fact.put(to);
        to.bool(told.is_some());
        told.iter().for_each(|told| found::put(told, texts, to));
    })
}

/// Writes a member of a finding as a [`MemberRow`] is written.
pub(super) fn put_member(
    id: &BucketId,
    group: &[(String, String)],
    fact: &Fact,
    (found, texts): (&Found, &Texts),
    expires: Millis,
    to: &mut Writer,
) {
    to.text(&id.1);
    to.number(group.len() as u64);
    for (name, value) in group {
        to.text(name);
        to.text(value);
    }
    fact.put(to);
    found::put(found, texts, to);
    to.time(expires);
}

/// Writes an entry of a group as an [`EntryRow`] is written.
pub(super) fn put_entry(
    group: &str,
    entry: &Entry,
    state: impl Fn(PolicyIndex) -> StateId,
    texts: &Texts,
    to: &mut Writer,
) {
    to.text(group);
    entry.kept().put(to);
    to.number(u64::from(entry.feeders().count()));
    entry.feeders().iter().for_each(|f| to.number(f as u64));
    to.0.push(u8::from(entry.opens) | u8::from(entry.complete) << 1);
    let origins = entry.origins().iter().map(|(policy, group)| (state(*policy), group));
    let origins: Vec<(StateId, &Arc<str>)> = origins.collect();
    if entry.records().is_empty() && entry.rows().is_empty() && origins.is_empty() {
        to.text("");
    } else {
        texts.entry(&entry.records(), entry.rows(), &origins, to);
    }
}

impl Detector {
    /// Writes the items that changed as they stand now; those that came and went since the last time were never there.
    pub(super) fn write_items(&mut self) {
        let mut together: BTreeMap<minutes::Name, Vec<StateValue>> = BTreeMap::new();
        for (item, fresh) in self.changes.touched() {
            match self.item_row(&item) {
                Some(value) => match self.minute_of(&item) {
                    Some(name) if fresh => together.entry(name).or_default().push(value),
                    by_minute => {
                        let key = self.item_key(&item);
                        self.changes.put_row(key, value);
                        if by_minute.is_some() {
                            self.set_alone(&item);
                        }
                    }
                },
                None if fresh => {}
                None => {
                    let key = self.item_key(&item);
                    self.changes.delete(key);
                }
            }
        }
        for (name, mut items) in together {
            // What changed is known in no order.
            items.sort_unstable();
            for item in items {
                let bytes = state::bytes_of(&item).unwrap_or_default();
                self.minutes.add(name, |to| to.0.extend(bytes));
            }
        }
        let plan = &self.plan;
        self.minutes.write(|policy| plan.node(policy).state, &mut self.changes);
    }

    /// With what an item is written and forgotten, where it is so.
    fn minute_of(&self, item: &Item) -> Option<minutes::Name> {
        match item {
            Item::Subject(rule, uid) if self.by_minute(Kind::Subject, *rule) => {
                let subject = self.subjects.get(rule)?.get(uid)?;
                Some((subject.expires(), Kind::Subject, *rule))
            }
            Item::Entry(index, group, order) if self.by_minute(Kind::Window, *index) => {
                let policy = self.policies.get(*index);
                let Body::Correlation(c) = &policy.body else {
                    return None;
                };
                let event = self.windows.get(&(*index, group.clone()))?.get(order)?.kept();
                let expires = self.entry_expires(*index, policy, c, (event.time(), event.received_at()));
                Some((expires, Kind::Window, *index))
            }
            _ => None,
        }
    }

    /// An item has a row of its own from now on.
    fn set_alone(&mut self, item: &Item) {
        match item {
            Item::Subject(rule, uid) => {
                self.subjects.entry(*rule).or_default().set_alone(uid);
            }
            Item::Entry(index, group, order) => {
                let entries = self.windows.get_mut(&(*index, group.clone()));
                if let Some(entry) = entries.and_then(|g| g.get_mut(order)) {
                    entry.alone = true;
                }
            }
            _ => {}
        }
    }

    fn item_key(&self, item: &Item) -> StateKey {
        match item {
            Item::Time => state::key(Kind::Time, StateId(0), &[]),
            Item::Member(id, order) => self.member_key(id, order),
            Item::Subject(rule, uid) => state::key(Kind::Subject, self.state(*rule), &[uid.as_bytes()]),
            Item::Entry(correlation, group, order) => self.entry_key(*correlation, group, order),
            Item::Row(rule, order) => self.row_key(*rule, order),
            Item::Opened(absence, id) => state::key(Kind::Opened, self.state(*absence), &[id.as_bytes()]),
            Item::Settled(absence, id) => state::key(Kind::Settled, self.state(*absence), &[id.as_bytes()]),
            Item::Expected(absence, order) => self.expected_key(*absence, order),
            Item::Habit(rule, name) => self.habit_key(*rule, name),
            Item::Day(rule, name, value, day) => self.day_key(*rule, name, value, *day),
            Item::Run(rule, name, start) => self.run_key(*rule, name, *start),
            Item::Fed(rule, uid) => state::key(Kind::Fed, self.state(*rule), &[uid.as_bytes()]),
        }
    }

    /// An item as it stands; `None` where it is gone.
    fn item_row(&self, item: &Item) -> Option<StateValue> {
        Some(match item {
            Item::Time => state::json(&self.clock),
            Item::Member(id, order) => {
                let bucket = self.buckets.get(id)?;
                let Member::Event(fact, found) = bucket.members.get(order)? else {
                    return None;
                };
                let expires = self.member_expires(id.0, fact);
                state::written(|to| put_member(id, &bucket.group, fact, (found, &self.texts), expires, to))
            }
            Item::Subject(rule, uid) => {
                let subject = self.subjects.get(rule)?.get(uid)?;
                self::subject(&subject.fact, subject.told.as_deref(), &self.texts)
            }
            Item::Entry(correlation, group, order) => {
                let entry = self.windows.get(&(*correlation, group.clone()))?.get(order)?;
                state::written(|to| put_entry(group, entry, |policy| self.state(policy), &self.texts, to))
            }
            Item::Row(rule, order) => state::bytes(self.rows.get(rule)?.get(order)?),
            Item::Opened(absence, id) => {
                let opened = self.absences.get(absence)?.get(id)?;
                opened.fact.as_ref()?;
                state::written(|to| {
                    found::put(&opened.found, &self.texts, to);
                    opened.fact.iter().for_each(|fact| fact.put(to));
                })
            }
            Item::Settled(absence, id) => state::json(&self.absences.get(absence)?.get(id)?.settled),
            Item::Expected(absence, order) => state::bytes(self.absences.get(absence)?.expected(order)?),
            Item::Habit(rule, name) => state::json(&self.habit_row(*rule, name)?),
            Item::Day(rule, name, value, day) => state::json(&self.day_row(*rule, name, value, *day)?),
            Item::Run(rule, name, start) => state::json(&self.run_row(*rule, name, *start)?),
            Item::Fed(rule, uid) => {
                let (fact, found) = self.fed.get(&(*rule, uid.clone()))?;
                subject(fact, Some(found), &self.texts)
            }
        })
    }
}
