//! Events come to correlations and are taken back; windows that they complete or not.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{FindingStatus, Millis};

use super::Detector;
use super::bucket::{BucketId, Member};
use super::fact::{Fact, Order};
use super::plan::{Consumer, looks_back_ms};
use super::state::{Item, Kind, grouped_key};
use super::timer::Due;
use super::window::{Change, Entry, Judging, More};
use super::written::put_entry;
use crate::policy::{Body, Correlation, Policies, Policy, PolicyIndex};
use crate::reference::{EventValues, Found, Scope};

impl Detector {
    /// When the windows of a correlation may be judged.
    pub(super) fn judging(&self, index: PolicyIndex) -> Judging {
        let policy = self.policies.get(index);
        Judging {
            now: self.clock.now,
            wait_ms: policy.wait_ms,
            lateness_ms: policy.lateness_ms,
            alone: self.plan.node(index).consumers.is_empty(),
        }
    }

    /// When an entry is forgotten: when nothing can change any more that is told of it, by its own correlation or by those
    /// that take its windows.
    pub(super) fn entry_expires(
        &self,
        index: PolicyIndex,
        policy: &Policy,
        c: &Correlation,
        (time, received_at): (Millis, Millis),
    ) -> Millis {
        let windows = looks_back_ms(policy, c).saturating_add(self.plan.node(index).reach_ms);
        let more_ms = windows.saturating_add(policy.wait_ms);
        self.kept_from(time, received_at, policy.lateness_ms, more_ms)
    }

    /// An event of a feeder comes to a correlation.
    pub(super) fn feed(
        &mut self,
        policies: &Policies,
        index: PolicyIndex,
        feeder: usize,
        fact: &Arc<Fact>,
        more: More,
    ) {
        let policy = policies.get(index);
        let Body::Correlation(c) = &policy.body else { return };
        let mut name = std::mem::take(&mut self.group_name);
        // An event that lacks a value to group by belongs to no group.
        if name_group(c, feeder, fact, &mut name) {
            let entry = entry(c, feeder, fact).with(more);
            self.feed_group(policies, (index, policy, c), entry, (&name, None), &fact.uid);
        }
        self.group_name = name;
    }

    /// An event, whose uid is `uid`, comes to the group of a name, which `likely` stands where it says.
    pub(super) fn feed_group(
        &mut self,
        policies: &Policies,
        (index, policy, c): (PolicyIndex, &Policy, &Correlation),
        entry: Entry,
        (name, likely): (&str, Option<u32>),
        uid: &str,
    ) {
        let time = entry.time();
        let expires = self.entry_expires(index, policy, c, (time, entry.kept().received_at()));
        let judging = self.judging(index);
        if self.windows.has_cold() {
            self.warm(&(index, name.into()));
        }
        let has_state = !self.changes.off;
        let entries = self.windows.entry_named(index, name, likely);
        let came = has_state && entries.of(time, uid).is_none();
        let (next, fresh) = (entries.next_due(), entries.forgotten_at.is_none_or(|at| expires < at));
        let changes = entries.insert(c, entry, &judging);
        let due = entries.next_due().filter(|due| Some(*due) != next);
        if fresh {
            entries.forgotten_at = Some(expires);
        } else if due.is_none() && changes.is_empty() && self.changes.off {
            // Most events complete nothing.
            return;
        }
        let group: Arc<str> = name.into();
        if fresh {
            self.timers.set(expires, Due::ForgetEntries(index, group.clone()));
        }
        if let Some(due) = due {
            self.timers.set(due, Due::Window(index, group.clone()));
        }
        if has_state && (!came || !changes.is_empty() || !self.put_entry(index, &group, (time, uid), expires)) {
            self.write_entry(index, &group, &(time, uid.into()), came);
        }
        self.windows_changed(policies, index, c, &group, changes);
    }

    /// Writes an entry that came, and of which nothing is told, with those that are forgotten at the same minute; `false` where it is
    /// to have a row of its own.
    fn put_entry(
        &mut self,
        index: PolicyIndex,
        group: &Arc<str>,
        (time, uid): (Millis, &str),
        expires: Millis,
    ) -> bool {
        if !self.by_minute(Kind::Window, index) {
            return false;
        }
        let entries = self.windows.get(&(index, group.clone()));
        let Some(entry) = entries.and_then(|entries| entries.of(time, uid)) else {
            return false;
        };
        let (plan, texts) = (&self.plan, &self.texts);
        self.minutes.add((expires, Kind::Window, index), |to| {
            put_entry(group, entry, |policy| plan.node(policy).state, texts, to);
        });
        true
    }

    /// An event of a feeder is taken back.
    pub(super) fn unfeed(&mut self, policies: &Policies, index: PolicyIndex, feeder: usize, fact: &Arc<Fact>) {
        let policy = policies.get(index);
        let Body::Correlation(c) = &policy.body else { return };
        let Some(group) = group_of(c, feeder, fact) else { return };
        let order = &fact.order();
        self.warm(&(index, group.clone()));
        let Some(entry) = self.windows.get(&(index, group.clone())).and_then(|g| g.get(order)) else {
            return;
        };
        let bucket = entry.bucket().cloned().map(|uid| (index, uid));
        let complete = entry.complete;
        let judging = self.judging(index);
        // The finding as it was is told from the windows as they were.
        if let Some(id) = &bucket {
            self.warm_bucket(id);
            let last = self.buckets.get(id).is_some_and(|b| b.members.len() == 1);
            if last {
                let lost = self.buckets.get(id).and_then(|b| self.finding(id, b));
                if let (Some(mut lost), Some(b)) = (lost, self.buckets.get_mut(id)) {
                    lost.status = FindingStatus::Resolved;
                    b.lost = Some(Box::new(lost));
                }
            }
        }
        let Some(entries) = self.windows.get_mut(&(index, group.clone())) else {
            return;
        };
        let next = entries.next_due();
        let changes = entries.remove(c, order, feeder, &judging);
        if let Some(due) = entries.next_due().filter(|due| Some(*due) != next) {
            self.timers.set(due, Due::Window(index, group.clone()));
        }
        if entries.get(order).is_none() {
            self.changes
                .touch(Item::Entry(index, group.clone(), order.clone()), false);
            if let Some(id) = bucket {
                self.leave_window(&id, &completion(c, order), false);
            }
            if complete {
                self.pass_on(policies, index, &group, fact, false);
            }
        } else {
            self.write_entry(index, &group, order, false);
        }
        self.windows_changed(policies, index, c, &group, changes);
    }

    /// As [`Detector::leave`], of an entry that is gone already, so that its finding cannot be told any more.
    pub(super) fn leave_window(&mut self, id: &BucketId, order: &Order, superseded: bool) {
        self.warm_bucket(id);
        let Some(bucket) = self.buckets.get(id) else { return };
        let told = self.finding(id, bucket).is_some();
        if told {
            return self.leave(id, order, superseded);
        }
        if let Some(bucket) = self.buckets.get_mut(id) {
            bucket.members.remove(order);
        }
        self.mark(id);
    }

    pub(super) fn windows_changed(
        &mut self,
        policies: &Policies,
        index: PolicyIndex,
        c: &Correlation,
        group: &Arc<str>,
        changes: Vec<(Order, Change)>,
    ) {
        let policy = policies.get(index);
        let moved = changes.iter().any(|(_, c)| *c == Change::Became);
        for (order, change) in changes {
            let Some(entry) = self.windows.get(&(index, group.clone())).and_then(|g| g.get(&order)) else {
                continue;
            };
            let bucket = entry.bucket().cloned().map(|uid| (index, uid));
            match change {
                Change::Shifted => self.write_entry(index, group, &order, false),
                Change::Touched => {
                    let fact = self.passes_on(index).then(|| entry.fact());
                    bucket.iter().for_each(|id| self.mark(id));
                    fact.iter().for_each(|fact| self.touch(policies, index, fact));
                }
                Change::Became => {
                    let fact = self.passes_on(index).then(|| entry.fact());
                    self.complete(index, policy, c, group, &order);
                    self.write_entry(index, group, &order, false);
                    fact.iter()
                        .for_each(|fact| self.pass_on(policies, index, group, fact, true));
                }
                Change::Ceased => {
                    let fact = self.passes_on(index).then(|| entry.fact());
                    if let Some(id) = bucket {
                        self.leave(&id, &completion(c, &order), moved);
                    }
                    if let Some(entry) = self
                        .windows
                        .get_mut(&(index, group.clone()))
                        .and_then(|g| g.get_mut(&order))
                    {
                        entry.set_bucket(None);
                    }
                    self.write_entry(index, group, &order, false);
                    fact.iter()
                        .for_each(|fact| self.pass_on(policies, index, group, fact, false));
                }
            }
        }
    }

    /// Whether somebody takes the windows of a correlation.
    fn passes_on(&self, index: PolicyIndex) -> bool {
        !self.plan.node(index).consumers.is_empty()
    }

    /// The window that an event completes has other events now: so has the evidence of the correlations that take
    /// this one's, of each window that the event is in.
    fn touch(&mut self, policies: &Policies, index: PolicyIndex, fact: &Arc<Fact>) {
        let plan = self.plan.clone();
        for consumer in plan.node(index).consumers.iter().copied() {
            let Consumer::Correlation(next, feeder) = consumer else {
                continue;
            };
            let Body::Correlation(c) = &policies.get(next).body else {
                continue;
            };
            let fact = &completing(policies, index, fact);
            let Some(group) = group_of(c, feeder, fact) else {
                continue;
            };
            let id = (next, group);
            self.warm(&id);
            let Some(entries) = self.windows.get(&id) else {
                continue;
            };
            let complete = entries.holders(c, fact.time).filter(|e| e.complete);
            let touched: Vec<_> = complete.map(|e| (e.fact(), e.bucket().cloned())).collect();
            for (fact, bucket) in touched {
                bucket.into_iter().for_each(|uid| self.mark(&(next, uid)));
                self.touch(policies, next, &fact);
            }
        }
    }

    /// An entry completes a violation: it joins its finding.
    pub(super) fn complete(
        &mut self,
        index: PolicyIndex,
        policy: &Policy,
        c: &Correlation,
        group: &Arc<str>,
        order: &Order,
    ) {
        if !policy.reports {
            return;
        }
        let of = (index, group.clone());
        let Some(entry) = self.windows.get(&of).and_then(|g| g.get(order)) else {
            return;
        };
        let view = policy.dedup.as_ref().map(|_| super::view::View {
            fact: entry.fact(),
            correlation: c,
            feeder: entry.feeder(),
        });
        let scope = Scope {
            event: view.as_ref().map(|v| v as &dyn EventValues),
            aliases: &self.no_aliases,
            row: None,
            count: None,
            zone: self.tables.zone(),
            calendar: self.tables.calendar(),
        };
        let (id, key) = self.bucket_of(index, policy, &scope, completion(c, order).0, &order.1);
        let event = entry.kept();
        let expires = self.entry_expires(index, policy, c, (event.time(), event.received_at()));
        if let Some(entry) = self.windows.get_mut(&of).and_then(|g| g.get_mut(order)) {
            entry.set_bucket(Some(id.1.clone()));
        }
        self.join(&id, key, completion(c, order), Member::Window(of.1), expires);
    }

    /// A completed window is an event of the correlations that take this one's, and of absences.
    pub(super) fn pass_on(
        &mut self,
        policies: &Policies,
        index: PolicyIndex,
        group: &Arc<str>,
        fact: &Arc<Fact>,
        is: bool,
    ) {
        let none = Arc::new(Found::default());
        let fact = &completing(policies, index, fact);
        let plan = self.plan.clone();
        for consumer in plan.node(index).consumers.iter().copied() {
            match (consumer, is) {
                (Consumer::Correlation(c, feeder), true) => {
                    let more = More {
                        origins: vec![(index, group.clone())],
                        ..More::default()
                    };
                    self.feed(policies, c, feeder, fact, more);
                }
                (Consumer::Correlation(c, feeder), false) => self.unfeed(policies, c, feeder, fact),
                (Consumer::Expected(a), true) => self.add_expected(a, policies.get(a), fact),
                (Consumer::Expected(a), false) => self.remove_expected(a, &fact.order()),
                (Consumer::After(a), true) => self.open_after(a, policies.get(a), fact, &none),
                (Consumer::After(a), false) => self.close(a, &fact.uid),
            }
        }
    }

    pub(super) fn entry_key(&self, index: PolicyIndex, group: &str, order: &Order) -> Vec<u8> {
        let parts: &[&[u8]] = &[&order.0.0.to_be_bytes(), order.1.as_bytes()];
        grouped_key(Kind::Window, self.state(index), group, parts)
    }

    /// An entry came, or is another than it was; `fresh`: it came.
    pub(super) fn write_entry(&mut self, index: PolicyIndex, group: &Arc<str>, order: &Order, fresh: bool) {
        self.changes
            .touch(Item::Entry(index, group.clone(), order.clone()), fresh);
    }

    /// Forgets the entries of a group whose time is over.
    pub(super) fn forget_entries(&mut self, policies: &Policies, index: PolicyIndex, group: &Arc<str>) {
        let policy = policies.get(index);
        let Body::Correlation(c) = &policy.body else { return };
        self.warm(&(index, group.clone()));
        let Some(entries) = self.windows.get(&(index, group.clone())) else {
            return;
        };
        let now = self.clock.now;
        let (mut gone, mut next): (Vec<Order>, Option<Millis>) = (Vec::new(), None);
        for entry in entries.entries() {
            let event = entry.kept();
            let expires = self.entry_expires(index, policy, c, (event.time(), event.received_at()));
            if now.is_some_and(|now| expires <= now) {
                gone.push(entry.order());
            } else {
                next = Some(next.map_or(expires, |n| n.min(expires)));
            }
        }
        if !gone.is_empty() {
            // What still has to be told of windows that these events are in is told before they go.
            let mut told: BTreeSet<BucketId> = entries
                .entries()
                .filter_map(|e| Some((index, e.bucket().cloned()?)))
                .collect();
            let downstream = &self.plan.node(index).downstream;
            if !downstream.is_empty() {
                told.extend(self.dirty.iter().filter(|id| downstream.contains(&id.0)).cloned());
            }
            told.iter().for_each(|id| self.settle(id));
        }
        let by_minute = self.by_minute(Kind::Window, index);
        for order in gone {
            let Some(entries) = self.windows.get_mut(&(index, group.clone())) else {
                break;
            };
            let entry = entries.get(&order);
            let own = entry.and_then(|e| e.bucket().cloned());
            let alone = !by_minute || entry.is_some_and(|e| e.alone);
            entries.expire(c, &order);
            if let Some(bucket) = own.and_then(|uid| self.buckets.get_mut(&(index, uid))) {
                bucket.members.remove(&completion(c, &order));
            }
            if alone {
                self.changes.touch(Item::Entry(index, group.clone(), order), false);
            }
        }
        match (next, self.windows.get_mut(&(index, group.clone()))) {
            (Some(next), Some(entries)) => {
                entries.forgotten_at = Some(next);
                self.timers.set(next, Due::ForgetEntries(index, group.clone()));
            }
            _ => self.windows.remove(&(index, group.clone())),
        }
    }
}

/// When and by which event a violation is complete, of the place of the event whose window it is.
pub(super) fn completion(c: &Correlation, order: &Order) -> Order {
    (order.0.plus_ms(c.completes_after_ms()), order.1.clone())
}

/// The event as correlations that take this one's see it: as of when its window was complete.
fn completing(policies: &Policies, index: PolicyIndex, fact: &Arc<Fact>) -> Arc<Fact> {
    match &policies.get(index).body {
        Body::Correlation(c) if c.completes_after_ms() > 0 => {
            Arc::new(fact.at(fact.time.plus_ms(c.completes_after_ms())))
        }
        _ => fact.clone(),
    }
}

/// An event as a feeder brings it.
pub(super) fn entry(c: &Correlation, feeder: usize, fact: &Fact) -> Entry {
    match c.feeders[feeder].fields.as_slice() {
        [] => Entry::new(c, fact, feeder, []),
        [field] => Entry::new(c, fact, feeder, fact.values(field).iter().cloned()),
        fields => {
            let firsts: Option<Vec<&str>> = fields.iter().map(|f| fact.values(f).first().map(|v| &**v)).collect();
            let together = firsts.map(|f| Arc::from(crate::reference::key(f.into_iter())));
            Entry::new(c, fact, feeder, together)
        }
    }
}

/// The group of an event: the first value of each `group-by`, told apart by length.
pub(super) fn group_of(c: &Correlation, feeder: usize, fact: &Fact) -> Option<Arc<str>> {
    let mut group = String::new();
    name_group(c, feeder, fact, &mut group).then(|| group.into())
}

/// As [`group_of`], into `name`; `false` where the event has none.
fn name_group(c: &Correlation, feeder: usize, fact: &Fact, name: &mut String) -> bool {
    name.clear();
    for field in &c.feeders[feeder].group_by {
        let Some(value) = fact.values(field).first().filter(|v| !v.is_empty()) else {
            return false;
        };
        push_name(name, value);
    }
    true
}

/// Puts a value into the name of a group, told apart by its length.
pub(super) fn push_name(name: &mut String, value: &str) {
    name.push_str(model::value::int_text(value.len() as i64, &mut [0; 20]));
    name.push(':');
    name.push_str(value);
}
