//! Events come to correlations and are taken back; windows that they complete or not.

use std::sync::Arc;

use model::FindingStatus;

use super::Detector;
use super::bucket::{BucketId, Member};
use super::fact::{Fact, Order};
use super::load::EntryRow;
use super::plan::Consumer;
use super::state::{Kind, key};
use super::timer::Due;
use super::window::{self, Change, Entry};
use crate::policy::{Body, Correlation, Policies, Policy, PolicyIndex};
use crate::reference::{EventValues, Found, Scope};

impl Detector {
    /// An event of a feeder comes to a correlation.
    pub(super) fn feed(
        &mut self,
        policies: &Policies,
        index: PolicyIndex,
        feeder: usize,
        fact: &Arc<Fact>,
        origin: Option<(PolicyIndex, Arc<str>)>,
        fill: impl FnOnce(&mut Entry),
    ) {
        let policy = policies.get(index);
        let Body::Correlation(c) = &policy.body else { return };
        // An event that lacks a value to group by belongs to no group.
        let Some(group) = group_of(c, feeder, fact) else { return };
        let mut entry = Entry::new(fact.clone(), feeder, counted_values(c, feeder, fact));
        entry.origins.extend(origin);
        fill(&mut entry);
        let windows = c
            .timespan_ms
            .saturating_add(policy.dedup.as_ref().map_or(0, |d| d.window_ms));
        let expires = self.kept_until(fact, policy.lateness_ms, windows.saturating_add(policy.wait_ms));
        self.timers
            .set(expires, Due::ForgetEntry(index, group.clone(), fact.order()));
        if window::is_negative(c) {
            self.timers.set(
                self.due_at(policy, fact),
                Due::Window(index, group.clone(), fact.order()),
            );
        }
        let now = self.clock.now;
        let ready = |f: &Fact| now.is_some_and(|now| now >= f.settled(policy.lateness_ms).plus_ms(policy.wait_ms));
        let changes = self
            .windows
            .entry((index, group.clone()))
            .or_default()
            .insert(c, entry, &ready);
        self.write_entry(index, &group, &fact.order());
        self.windows_changed(policies, index, c, &group, changes);
    }

    /// An event of a feeder is taken back.
    pub(super) fn unfeed(&mut self, policies: &Policies, index: PolicyIndex, feeder: usize, fact: &Arc<Fact>) {
        let policy = policies.get(index);
        let Body::Correlation(c) = &policy.body else { return };
        let Some(group) = group_of(c, feeder, fact) else { return };
        let order = &fact.order();
        let Some(entry) = self.windows.get(&(index, group.clone())).and_then(|g| g.get(order)) else {
            return;
        };
        let (bucket, complete) = (entry.bucket.clone(), entry.complete);
        let now = self.clock.now;
        let ready = |f: &Fact| now.is_some_and(|now| now >= f.settled(policy.lateness_ms).plus_ms(policy.wait_ms));
        // The finding as it was is told from the windows as they were.
        if let Some(id) = &bucket {
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
        let changes = entries.remove(c, order, feeder, &ready);
        if entries.get(order).is_none() {
            self.changes.delete(self.entry_key(index, &group, order));
            if let Some(id) = bucket {
                self.leave_window(&id, order, false);
            }
            if complete {
                self.pass_on(policies, index, &group, fact, false);
            }
        } else {
            self.write_entry(index, &group, order);
        }
        self.windows_changed(policies, index, c, &group, changes);
    }

    /// As [`Detector::leave`], of an entry that is gone already, so that its finding cannot be told any more.
    pub(super) fn leave_window(&mut self, id: &BucketId, order: &Order, superseded: bool) {
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
            let (fact, bucket) = (entry.fact.clone(), entry.bucket.clone());
            match change {
                Change::Touched => {
                    bucket.iter().for_each(|id| self.mark(id));
                    self.touch(policies, index, &fact);
                }
                Change::Became => {
                    self.complete(index, policy, c, group, &fact);
                    self.write_entry(index, group, &order);
                    self.pass_on(policies, index, group, &fact, true);
                }
                Change::Ceased => {
                    if let Some(id) = bucket {
                        self.leave(&id, &order, moved);
                    }
                    if let Some(entry) = self
                        .windows
                        .get_mut(&(index, group.clone()))
                        .and_then(|g| g.get_mut(&order))
                    {
                        entry.bucket = None;
                    }
                    self.write_entry(index, group, &order);
                    self.pass_on(policies, index, group, &fact, false);
                }
            }
        }
    }

    /// The window that an event completes has other events now: so has the evidence of the correlations that take
    /// this one's, of each window that the event is in.
    fn touch(&mut self, policies: &Policies, index: PolicyIndex, fact: &Arc<Fact>) {
        for consumer in self.plan.node(index).consumers.clone() {
            let Consumer::Correlation(next, feeder) = consumer else {
                continue;
            };
            let Body::Correlation(c) = &policies.get(next).body else {
                continue;
            };
            let Some(group) = group_of(c, feeder, fact) else {
                continue;
            };
            let Some(entries) = self.windows.get(&(next, group)) else {
                continue;
            };
            let until = fact.time.plus_ms(c.timespan_ms - 1);
            let complete = entries
                .between_times(fact.time.plus_ms(-1), until)
                .filter(|e| e.complete);
            let touched: Vec<_> = complete.map(|e| (e.fact.clone(), e.bucket.clone())).collect();
            for (fact, bucket) in touched {
                bucket.iter().for_each(|id| self.mark(id));
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
        fact: &Arc<Fact>,
    ) {
        if !policy.reports {
            return;
        }
        let order = fact.order();
        let Some(entry) = self.windows.get(&(index, group.clone())).and_then(|g| g.get(&order)) else {
            return;
        };
        let feeder = entry.feeders.first().copied().unwrap_or(0);
        let view = super::view::View {
            fact,
            correlation: c,
            feeder,
        };
        let scope = Scope {
            event: Some(&view),
            aliases: &self.no_aliases,
            row: None,
            count: None,
            zone: self.tables.zone(),
        };
        let (id, key) = self.bucket_of(index, policy, &scope, fact.time, &fact.uid);
        let windows = c
            .timespan_ms
            .saturating_add(policy.dedup.as_ref().map_or(0, |d| d.window_ms));
        let expires = self.kept_until(fact, policy.lateness_ms, windows.saturating_add(policy.wait_ms));
        if let Some(entry) = self
            .windows
            .get_mut(&(index, group.clone()))
            .and_then(|g| g.get_mut(&order))
        {
            entry.bucket = Some(id.clone());
        }
        self.join(&id, key, order, Member::Window(group.clone()), expires);
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
        for consumer in self.plan.node(index).consumers.clone() {
            match (consumer, is) {
                (Consumer::Correlation(c, feeder), true) => {
                    self.feed(policies, c, feeder, fact, Some((index, group.clone())), |_| {});
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
        key(
            Kind::Window,
            self.state(index),
            &[group.as_bytes(), &order.0.0.to_be_bytes(), order.1.as_bytes()],
        )
    }

    pub(super) fn write_entry(&mut self, index: PolicyIndex, group: &Arc<str>, order: &Order) {
        let Some(entry) = self.windows.get(&(index, group.clone())).and_then(|g| g.get(order)) else {
            return;
        };
        let row = EntryRow::of(group, entry, |policy| self.state(policy));
        self.changes.put(self.entry_key(index, group, order), &row);
    }
}
/// The group of an event: the first value of each `group-by`, told apart by length.
pub(super) fn group_of(c: &Correlation, feeder: usize, fact: &Fact) -> Option<Arc<str>> {
    let mut group = String::new();
    for field in &c.feeders[feeder].group_by {
        let value = fact.values(field).first().filter(|v| !v.is_empty())?;
        group.push_str(&value.len().to_string());
        group.push(':');
        group.push_str(value);
    }
    Some(group.into())
}

/// What is counted distinctly or added up: the values of the field; of several fields, their first values together.
pub(super) fn counted_values(c: &Correlation, feeder: usize, fact: &Fact) -> Vec<Arc<str>> {
    match c.feeders[feeder].fields.as_slice() {
        [] => Vec::new(),
        [field] => {
            let mut values: Vec<Arc<str>> = fact.values(field).to_vec();
            values.sort();
            values.dedup();
            values
        }
        fields => {
            let firsts: Option<Vec<&str>> = fields.iter().map(|f| fact.values(f).first().map(|v| &**v)).collect();
            firsts
                .map(|f| vec![crate::reference::key(f.into_iter()).into()])
                .unwrap_or_default()
        }
    }
}
