//! How a match flows: from a rule's event through joins to windows, tables, absences and findings.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{FindingStatus, Millis};
use serde_json::{Map, Value as Json};

use super::Detector;
use super::absence::{self, Expectation, Expected, Settled};
use super::bucket::{Bucket, BucketId, Member, uid};
use super::fact::{Fact, Order};
use super::load::{EntryRow, MemberRow, OpenedRow};
use super::plan::{Consumer, StateId};
use super::rows::{RowEvent, row_keys};
use super::state::{Kind, key};
use super::subject::{Judge, Retold};
use super::timer::Due;
use super::window::{self, Change, Entry};
use crate::policy::{Absence, Body, Calendar, Correlation, EventTable, Opens, Policies, Policy, PolicyIndex, Rule};
use crate::reference::{EventRow, EventValues, Found, Gap, Lookups, NoEventTables, Scope, Verdict, resolve};
use crate::sigma::lower;

/// How long an expected event is kept beyond its lateness where `from` and `by` are not at a fixed distance.
const EXPECTED_KEPT_MS: i64 = 7 * 24 * 3_600_000;
/// An absence that an event opened is kept at most so long after its event, however late its deadline.
const OPENED_KEPT_MS: i64 = 400 * 24 * 3_600_000;

impl Detector {
    /// A rule's Sigma condition holds for an event.
    pub(super) fn hit(&mut self, rule: PolicyIndex, fact: Arc<Fact>) {
        if self.plan.node(rule).circular {
            return;
        }
        let policies = self.policies.clone();
        let policy = policies.get(rule);
        let Body::Rule(body) = &policy.body else { return };
        if let Some(side) = body.calendar {
            let Some(calendar) = self.tables.calendar() else {
                return self.gap(rule, Gap::Calendar);
            };
            if calendar.is_working(fact.time, None) != (side == Calendar::Inside) {
                return;
            }
        }
        if self.plan.node(rule).deferred {
            let forget = self.kept_until(&fact, policy.lateness_ms, policy.wait_ms);
            self.timers.set(forget, Due::ForgetSubject(rule, fact.uid.clone()));
            self.timers
                .set(self.due_at(policy, &fact), Due::Subject(rule, fact.uid.clone()));
            let uid = fact.uid.clone();
            self.subjects.entry(rule).or_default().insert(fact, None);
            self.write_subject(rule, &uid);
            return self.judge(rule, [uid].into());
        }
        let lookups = Lookups {
            lookups: &body.lookups,
            tables: &self.tables,
            events: &NoEventTables,
        };
        match lookups.judge(&*fact, &mut |_, _| {}) {
            Verdict::Fires(found) => self.add(rule, &fact, &Arc::new(found)),
            Verdict::DoesNotFire => {}
            Verdict::NotJudged(gap) => self.gap(rule, gap),
        }
    }

    pub(super) fn gap(&mut self, policy: PolicyIndex, gap: Gap) {
        *self.gaps.entry((policy, gap)).or_default() += 1;
    }

    /// When a negative about an event is judged.
    pub(super) fn due_at(&self, policy: &Policy, fact: &Fact) -> Millis {
        fact.settled(policy.lateness_ms).plus_ms(policy.wait_ms)
    }

    /// Judges subjects of a rule and tells its consumers.
    fn judge(&mut self, rule: PolicyIndex, uids: BTreeSet<Arc<str>>) {
        let policies = self.policies.clone();
        let policy = policies.get(rule);
        let Some(Rule { lookups, .. }) = policy.rule() else {
            return;
        };
        let Some(mut subjects) = self.subjects.remove(&rule) else {
            return;
        };
        let now = self.clock.now;
        let ready =
            |fact: &Fact| now.is_some_and(|now| now >= fact.settled(policy.lateness_ms).plus_ms(policy.wait_ms));
        let judge = Judge {
            lookups,
            tables: &self.tables,
            rows: &self.rows,
            ready: &ready,
            waits: self.plan.node(rule).waits,
        };
        let mut gaps = Vec::new();
        let retold = subjects.judge(uids, &judge, &mut |gap| gaps.push(gap));
        self.subjects.insert(rule, subjects);
        gaps.into_iter().for_each(|gap| self.gap(rule, gap));
        for Retold { fact, before, after } in retold {
            self.write_subject(rule, &fact.uid);
            match (before, after) {
                (Some(_), Some(after)) => self.replace(rule, &fact, &after),
                (None, Some(after)) => self.add(rule, &fact, &after),
                (Some(_), None) => self.remove(rule, &fact),
                (None, None) => {}
            }
        }
    }

    /// A rule fires for an event.
    fn add(&mut self, rule: PolicyIndex, fact: &Arc<Fact>, found: &Arc<Found>) {
        let policies = self.policies.clone();
        let policy = policies.get(rule);
        if policy.reports {
            self.add_event(rule, policy, fact, found);
        }
        if let Some(table) = policy.rule().and_then(|r| r.table.as_ref()) {
            self.add_row(rule, policy, table, fact, found);
        }
        for consumer in self.plan.node(rule).consumers.clone() {
            match consumer {
                Consumer::Correlation(c, feeder) => {
                    self.feed(&policies, c, feeder, fact, None, |entry| {
                        entry.records.clone_from(&found.records);
                        entry.rows.clone_from(&found.rows);
                    });
                }
                Consumer::Expected(a) => self.add_expected(a, policies.get(a), fact),
                Consumer::After(a) => self.open_after(a, policies.get(a), fact, found),
            }
        }
    }

    /// A rule fires for the event as before, but its joins found something else.
    fn replace(&mut self, rule: PolicyIndex, fact: &Arc<Fact>, found: &Arc<Found>) {
        let policies = self.policies.clone();
        let policy = policies.get(rule);
        let silent = self.plan.node(rule).consumers.is_empty() && policy.rule().is_none_or(|r| r.table.is_none());
        if silent && policy.reports {
            // The same key: only what is told changes. Another key: it moves.
            return self.move_event(rule, policy, fact, found);
        }
        self.remove(rule, fact);
        self.add(rule, fact, found);
    }

    /// A rule does not fire for an event any more.
    fn remove(&mut self, rule: PolicyIndex, fact: &Arc<Fact>) {
        let policies = self.policies.clone();
        let policy = policies.get(rule);
        if policy.reports {
            self.remove_event(rule, fact);
        }
        if policy.rule().is_some_and(|r| r.table.is_some()) {
            self.remove_row(rule, &fact.order());
        }
        for consumer in self.plan.node(rule).consumers.clone() {
            match consumer {
                Consumer::Correlation(c, feeder) => self.unfeed(&policies, c, feeder, fact),
                Consumer::Expected(a) => self.remove_expected(a, &fact.order()),
                Consumer::After(a) => self.close(a, &fact.uid),
            }
        }
    }

    // Findings.

    /// Where a match belongs: the finding's uid and key.
    fn bucket_of(
        &self,
        index: PolicyIndex,
        policy: &Policy,
        scope: &Scope<'_>,
        time: Millis,
        own: &str,
    ) -> (BucketId, Vec<(String, String)>) {
        let Some(dedup) = &policy.dedup else {
            return ((index, uid(&policy.reference.id, &[own])), Vec::new());
        };
        let mut group = Vec::with_capacity(dedup.by.len());
        for reference in &dedup.by {
            let texts: Vec<String> = resolve(reference, scope)
                .iter()
                .map(|i| i.text().into_owned())
                .collect();
            let name = reference.to_string();
            let name = name.strip_prefix("event.").unwrap_or(&name).to_owned();
            group.push((name, texts.join(",")));
        }
        let window = dedup.window_ms.max(1);
        let start = time.0.div_euclid(window).saturating_mul(window).to_string();
        let mut parts: Vec<&str> = group.iter().map(|(_, v)| v.as_str()).collect();
        parts.push(&start);
        let uid = uid(&policy.reference.id, &parts);
        group.retain(|(_, v)| !v.is_empty());
        ((index, uid), group)
    }

    fn scope_of<'a>(&'a self, fact: &'a Fact, found: &'a Found) -> Scope<'a> {
        Scope {
            event: Some(fact as &dyn EventValues),
            aliases: &found.aliases,
            row: None,
            count: None,
            zone: self.tables.zone(),
        }
    }

    fn add_event(&mut self, index: PolicyIndex, policy: &Policy, fact: &Arc<Fact>, found: &Arc<Found>) {
        let (id, group) = self.bucket_of(index, policy, &self.scope_of(fact, found), fact.time, &fact.uid);
        let member = Member::Event(fact.clone(), found.clone());
        if policy.dedup.is_none() && !self.plan.node(index).withdrawable {
            // Nothing will ever change it: no state.
            let bucket = Bucket {
                group,
                members: [(fact.order(), member)].into(),
                ..Bucket::default()
            };
            let finding = self.finding(&id, &bucket);
            self.ready.extend(finding);
            return;
        }
        let window = policy.dedup.as_ref().map_or(0, |d| d.window_ms);
        let expires = self.kept_until(fact, policy.lateness_ms, window.saturating_add(policy.wait_ms));
        let row = MemberRow::of(&id, &group, fact, found, expires);
        self.changes.put(self.member_key(&id, &fact.order()), &row);
        self.timers.set(expires, Due::ForgetMember(id.clone(), fact.order()));
        self.event_bucket.insert((index, fact.uid.clone()), id.clone());
        self.join(&id, group, fact.order(), member, expires);
    }

    fn move_event(&mut self, index: PolicyIndex, policy: &Policy, fact: &Arc<Fact>, found: &Arc<Found>) {
        let (id, _) = self.bucket_of(index, policy, &self.scope_of(fact, found), fact.time, &fact.uid);
        if self.event_bucket.get(&(index, fact.uid.clone())) != Some(&id) {
            self.remove_event(index, fact);
        }
        self.add_event(index, policy, fact, found);
    }

    fn remove_event(&mut self, index: PolicyIndex, fact: &Arc<Fact>) {
        let Some(id) = self.event_bucket.remove(&(index, fact.uid.clone())) else {
            return;
        };
        self.changes.delete(self.member_key(&id, &fact.order()));
        self.leave(&id, &fact.order(), false);
    }

    pub(super) fn member_key(&self, id: &BucketId, order: &Order) -> Vec<u8> {
        let time = order.0.0.to_be_bytes();
        key(
            Kind::Member,
            self.state(id.0),
            &[id.1.as_bytes(), &time, order.1.as_bytes()],
        )
    }

    fn state(&self, policy: PolicyIndex) -> StateId {
        self.plan.node(policy).state
    }

    /// A member joins a finding.
    pub(super) fn join(
        &mut self,
        id: &BucketId,
        group: Vec<(String, String)>,
        order: Order,
        member: Member,
        expires: Millis,
    ) {
        let bucket = self.buckets.entry(id.clone()).or_default();
        bucket.group = group;
        bucket.members.insert(order, member);
        if bucket.expires.is_none_or(|e| e < expires) {
            bucket.expires = Some(expires);
            self.timers.set(expires, Due::ForgetBucket(id.clone()));
        }
        self.mark(id);
    }

    /// A member leaves a finding. Without members it is resolved; `superseded` where its event is in another bucket
    /// now.
    fn leave(&mut self, id: &BucketId, order: &Order, superseded: bool) {
        let Some(bucket) = self.buckets.get(id) else { return };
        if bucket.members.len() == 1 && bucket.members.contains_key(order) {
            let lost = self.finding(id, bucket).map(|mut lost| {
                lost.status = FindingStatus::Resolved;
                if superseded {
                    lost.labels.push("superseded".to_owned());
                }
                Box::new(lost)
            });
            if let Some(bucket) = self.buckets.get_mut(id) {
                bucket.lost = lost;
            }
        }
        if let Some(bucket) = self.buckets.get_mut(id) {
            bucket.members.remove(order);
        }
        self.mark(id);
    }

    // Correlations.

    /// An event of a feeder comes to a correlation.
    fn feed(
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
        entry.origin = origin;
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
    fn unfeed(&mut self, policies: &Policies, index: PolicyIndex, feeder: usize, fact: &Arc<Fact>) {
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
    fn leave_window(&mut self, id: &BucketId, order: &Order, superseded: bool) {
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

    fn windows_changed(
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
                Change::Touched => bucket.iter().for_each(|id| self.mark(id)),
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
    fn pass_on(&mut self, policies: &Policies, index: PolicyIndex, group: &Arc<str>, fact: &Arc<Fact>, is: bool) {
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

    fn entry_key(&self, index: PolicyIndex, group: &str, order: &Order) -> Vec<u8> {
        key(
            Kind::Window,
            self.state(index),
            &[group.as_bytes(), &order.0.0.to_be_bytes(), order.1.as_bytes()],
        )
    }

    fn write_entry(&mut self, index: PolicyIndex, group: &Arc<str>, order: &Order) {
        let Some(entry) = self.windows.get(&(index, group.clone())).and_then(|g| g.get(order)) else {
            return;
        };
        let row = EntryRow::of(group, entry, |policy| self.state(policy));
        self.changes.put(self.entry_key(index, group, order), &row);
    }

    // Event tables.

    fn add_row(&mut self, rule: PolicyIndex, policy: &Policy, table: &EventTable, fact: &Arc<Fact>, found: &Found) {
        let Some(record) = fact.record() else { return };
        let scope = self.scope_of(fact, found);
        let mut columns = Map::new();
        for (name, reference) in &table.columns {
            let mut values: Vec<Json> = resolve(reference, &scope)
                .iter()
                .map(|i| Json::String(i.text().into_owned()))
                .collect();
            let value = if values.len() > 1 {
                Json::Array(values)
            } else {
                values.pop().unwrap_or(Json::Null)
            };
            columns.insert(name.to_string(), value);
        }
        let cells: Vec<String> = table
            .key
            .iter()
            .map(|k| columns.get(&**k).map(text).unwrap_or_default())
            .collect();
        // An event that lacks the key is a row of its own.
        let id: Arc<str> = if cells.is_empty() || cells.iter().any(String::is_empty) {
            format!("#{}", fact.uid).into()
        } else {
            crate::reference::key(cells.iter().map(String::as_str)).into()
        };
        let readers = &self.plan.node(rule).readers;
        let lateness = readers
            .iter()
            .map(|(r, ..)| self.policies.get(*r).lateness_ms + self.policies.get(*r).wait_ms)
            .max();
        // Rows outlive all events that may ask for them.
        let kept = table
            .keep_ms
            .saturating_add(lateness.unwrap_or(0))
            .saturating_add(policy.wait_ms);
        let expires = self.kept_until(fact, policy.lateness_ms, kept);
        let event = RowEvent {
            uid: fact.uid.clone(),
            time: fact.time,
            record,
            expires,
            id,
            columns,
        };
        self.changes.put(self.row_key(rule, &event.order()), &event);
        self.timers.set(expires, Due::ForgetRow(rule, event.order()));
        let (before, after) = self.table(rule).insert(event);
        self.row_changed(rule, before, after);
    }

    pub(super) fn table(&mut self, rule: PolicyIndex) -> &mut super::rows::Table {
        let asked = self
            .plan
            .node(rule)
            .readers
            .iter()
            .map(|(_, _, columns)| columns.clone());
        self.rows.entry(rule).or_insert_with(|| super::rows::Table::new(asked))
    }

    fn row_key(&self, rule: PolicyIndex, order: &Order) -> Vec<u8> {
        key(
            Kind::Row,
            self.state(rule),
            &[&order.0.0.to_be_bytes(), order.1.as_bytes()],
        )
    }

    fn remove_row(&mut self, rule: PolicyIndex, order: &Order) {
        if self.table(rule).get(order).is_none() {
            return;
        }
        self.changes.delete(self.row_key(rule, order));
        let (before, after) = self.table(rule).remove(order);
        self.row_changed(rule, before, after);
    }

    /// The events that asked for a row that changed are judged again.
    fn row_changed(&mut self, rule: PolicyIndex, before: Option<EventRow>, after: Option<EventRow>) {
        if before == after {
            return;
        }
        for (reader, step, columns) in self.plan.node(rule).readers.clone() {
            let mut keys: BTreeSet<String> = BTreeSet::new();
            keys.extend(
                [&before, &after]
                    .into_iter()
                    .flatten()
                    .flat_map(|row| row_keys(row, &columns)),
            );
            let keys: Vec<String> = keys.into_iter().collect();
            let Some(subjects) = self.subjects.get(&reader) else {
                continue;
            };
            let asked = subjects.asked(step, &keys);
            if !asked.is_empty() {
                self.judge(reader, asked);
            }
        }
    }

    // Absences.

    /// Opens the expectations of all tables anew; those that are there already go on as they are.
    pub(super) fn open_tables(&mut self) {
        let policies = self.policies.clone();
        for (index, policy) in policies.iter() {
            let Body::Absence(absence) = &policy.body else { continue };
            let Opens::Each(lookups) = &absence.opens else { continue };
            if self.plan.node(index).circular {
                continue;
            }
            let (mut opened, mut gaps) = (Vec::new(), Vec::new());
            absence::each(
                absence,
                lookups,
                &self.tables,
                &mut |gap| gaps.push(gap),
                &mut |found, from, by, values| {
                    opened.push((found, from, by, values));
                },
            );
            gaps.into_iter().for_each(|gap| self.gap(index, gap));
            let mut gone: BTreeSet<Arc<str>> = self.absences.entry(index).or_default().ids().cloned().collect();
            for (found, from, by, values) in opened {
                let scope = Scope {
                    event: None,
                    aliases: &found.aliases,
                    row: None,
                    count: None,
                    zone: self.tables.zone(),
                };
                let (bucket, _) = self.bucket_of(index, policy, &scope, by, "");
                let mut parts = vec![bucket.1.to_string(), from.0.to_string(), by.0.to_string()];
                parts.extend(values.iter().map(|v| v.join("\u{1f}")));
                let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
                let id = uid(&policy.reference.id, &parts);
                gone.remove(&id);
                let there = self.absences.entry(index).or_default().get_mut(&id);
                match there {
                    Some(e) => e.found = found,
                    None => self.open(
                        index,
                        policy,
                        Expectation {
                            from,
                            by,
                            values,
                            fact: None,
                            found,
                            settled: Settled {
                                id,
                                ..Settled::default()
                            },
                        },
                    ),
                }
            }
            gone.iter().for_each(|id| self.close(index, id));
        }
    }

    fn open_after(&mut self, index: PolicyIndex, policy: &Policy, fact: &Arc<Fact>, found: &Arc<Found>) {
        let Body::Absence(absence) = &policy.body else { return };
        let Some(expectation) = self.expectation(absence, fact, found) else {
            return self.gap(index, Gap::At("absence".into()));
        };
        let row = OpenedRow::of(fact, found);
        self.changes
            .put(key(Kind::Opened, self.state(index), &[fact.uid.as_bytes()]), &row);
        self.open(index, policy, expectation);
    }

    /// What an event opens; `None` where the deadline has no value.
    pub(super) fn expectation(&self, absence: &Absence, fact: &Arc<Fact>, found: &Found) -> Option<Expectation> {
        let scope = self.scope_of(fact, found);
        let (from, by) = absence::span(absence, &scope)?;
        let values = absence::matching(absence, &scope);
        let settled = Settled {
            id: fact.uid.clone(),
            ..Settled::default()
        };
        Some(Expectation {
            from,
            by,
            values,
            fact: Some(fact.clone()),
            found: found.clone(),
            settled,
        })
    }

    /// Opens an expectation that is not there yet, or (at start) was there before.
    pub(super) fn open(&mut self, index: PolicyIndex, policy: &Policy, mut expectation: Expectation) {
        let (id, by) = (expectation.settled.id.clone(), expectation.by);
        if let Some(fact) = &expectation.fact {
            let latest = fact.settled(policy.lateness_ms).plus_ms(OPENED_KEPT_MS);
            let forget = by.max(fact.settled(policy.lateness_ms)).min(latest);
            let forget = forget
                .plus_ms(policy.wait_ms)
                .plus_ms(policy.lateness_ms)
                .plus_ms(policy.dedup.as_ref().map_or(0, |d| d.window_ms));
            self.timers.set(forget, Due::ForgetOpened(index, id.clone()));
        }
        if let Some(settled) = self.settled.remove(&(index, id.clone())) {
            expectation.settled = settled;
        } else if self.clock.now.is_some_and(|now| by < now.plus_ms(-policy.lateness_ms)) && expectation.fact.is_none()
        {
            // What would have satisfied it may have been forgotten long ago.
            expectation.settled.void = true;
        }
        let fresh = expectation.settled
            == Settled {
                id: id.clone(),
                ..Settled::default()
            };
        let judged = expectation.settled.judged;
        self.absences.entry(index).or_default().open(expectation);
        if !judged {
            self.timers
                .set(by.plus_ms(policy.wait_ms), Due::Expectation(index, id.clone()));
        }
        let changed = self
            .absences
            .get(&index)
            .and_then(|a| a.get(&id))
            .is_some_and(|e| e.settled.void || !e.settled.satisfied.is_empty());
        if fresh && changed {
            self.write_settled(index, &id);
        }
    }

    /// An expectation is gone.
    pub(super) fn close(&mut self, index: PolicyIndex, id: &Arc<str>) {
        let Some(e) = self.absences.get(&index).and_then(|a| a.get(id)) else {
            return;
        };
        let (missing, order) = (e.is_missing(), (e.by, id.clone()));
        if missing {
            if let Some(bucket) = self.event_bucket.remove(&(index, id.clone())) {
                self.leave(&bucket, &order, false);
            }
        }
        if let Some(absences) = self.absences.get_mut(&index) {
            absences.close(id);
        }
        self.changes
            .delete(key(Kind::Settled, self.state(index), &[id.as_bytes()]));
        self.changes
            .delete(key(Kind::Opened, self.state(index), &[id.as_bytes()]));
    }

    fn write_settled(&mut self, index: PolicyIndex, id: &Arc<str>) {
        if let Some(e) = self.absences.get(&index).and_then(|a| a.get(id)) {
            self.changes
                .put(key(Kind::Settled, self.state(index), &[id.as_bytes()]), &e.settled);
        }
    }

    fn add_expected(&mut self, index: PolicyIndex, policy: &Policy, fact: &Arc<Fact>) {
        let Body::Absence(absence) = &policy.body else { return };
        let mut values: Vec<Vec<String>> = Vec::with_capacity(absence.matching.len());
        for (field, _) in &absence.matching {
            values.push(fact.values(field).iter().map(|v| lower(v)).collect());
        }
        let span = match (&absence.from, &absence.by) {
            (None, _) => 24 * 3_600_000,
            (Some(from), by) if from.root == by.root => by.offset_ms.saturating_sub(from.offset_ms).max(0),
            _ => EXPECTED_KEPT_MS,
        };
        let expires = self.kept_until(fact, policy.lateness_ms, span.saturating_add(policy.wait_ms));
        let event = Expected {
            uid: fact.uid.clone(),
            time: fact.time,
            expires,
            values,
        };
        let order = fact.order();
        self.changes.put(self.expected_key(index, &order), &event);
        self.timers.set(expires, Due::ForgetExpected(index, order));
        let satisfied = self.absences.entry(index).or_default().expect(event);
        for id in satisfied {
            self.write_settled(index, &id);
            self.refresh_missing(index, policy, &id);
        }
    }

    fn expected_key(&self, index: PolicyIndex, order: &Order) -> Vec<u8> {
        key(
            Kind::Expected,
            self.state(index),
            &[&order.0.0.to_be_bytes(), order.1.as_bytes()],
        )
    }

    fn remove_expected(&mut self, index: PolicyIndex, order: &Order) {
        let policies = self.policies.clone();
        self.changes.delete(self.expected_key(index, order));
        let unsatisfied = self
            .absences
            .get_mut(&index)
            .map(|a| a.unexpect(order))
            .unwrap_or_default();
        for id in unsatisfied {
            self.write_settled(index, &id);
            self.refresh_missing(index, policies.get(index), &id);
        }
    }

    /// Brings the finding of an expectation in line with what is known of it.
    pub(super) fn refresh_missing(&mut self, index: PolicyIndex, policy: &Policy, id: &Arc<str>) {
        let Some(e) = self.absences.get(&index).and_then(|a| a.get(id)) else {
            return;
        };
        let order = (e.by, id.clone());
        let there = self.event_bucket.get(&(index, id.clone())).cloned();
        match (e.is_missing() && policy.reports, there) {
            (true, None) => {
                let event = e.fact.as_deref().map(|f| f as &dyn EventValues);
                let scope = Scope {
                    event,
                    aliases: &e.found.aliases,
                    row: None,
                    count: None,
                    zone: self.tables.zone(),
                };
                let (bucket, group) = self.bucket_of(index, policy, &scope, e.by, id);
                self.event_bucket.insert((index, id.clone()), bucket.clone());
                self.join(&bucket, group, order, Member::Missing(id.clone()), Millis(i64::MAX));
            }
            (false, Some(bucket)) => {
                self.event_bucket.remove(&(index, id.clone()));
                self.leave(&bucket, &order, false);
            }
            _ => {}
        }
    }

    // What is due.

    pub(super) fn due(&mut self, due: Due) {
        let policies = self.policies.clone();
        match due {
            Due::Subject(rule, uid) => {
                if self.subjects.get(&rule).is_some_and(|s| s.get(&uid).is_some()) {
                    self.judge(rule, [uid].into());
                }
            }
            Due::Window(index, group, order) => {
                let policy = policies.get(index);
                let Body::Correlation(c) = &policy.body else { return };
                let now = self.clock.now;
                let ready =
                    |f: &Fact| now.is_some_and(|now| now >= f.settled(policy.lateness_ms).plus_ms(policy.wait_ms));
                let Some(entries) = self.windows.get_mut(&(index, group.clone())) else {
                    return;
                };
                let changes = entries.judge_one(c, &order, &ready);
                self.windows_changed(&policies, index, c, &group, changes);
            }
            Due::Expectation(index, id) => {
                let first = self.clock.first;
                let Some(e) = self.absences.get_mut(&index).and_then(|a| a.get_mut(&id)) else {
                    return;
                };
                if !e.settled.judged {
                    e.settled.judged = true;
                    e.settled.void |= first.is_none_or(|first| e.by <= first);
                    self.write_settled(index, &id);
                    self.refresh_missing(index, policies.get(index), &id);
                }
            }
            Due::ForgetMember(id, order) => {
                self.settle(&id);
                self.changes.delete(self.member_key(&id, &order));
                if let Some(bucket) = self.buckets.get_mut(&id) {
                    bucket.members.remove(&order);
                }
                if self.event_bucket.get(&(id.0, order.1.clone())) == Some(&id) {
                    self.event_bucket.remove(&(id.0, order.1.clone()));
                }
            }
            Due::ForgetEntry(index, group, order) => self.forget_entry(&policies, index, &group, &order),
            Due::ForgetSubject(rule, uid) => {
                if let Some(subjects) = self.subjects.get_mut(&rule) {
                    subjects.expire(&uid);
                }
                self.changes
                    .delete(key(Kind::Subject, self.state(rule), &[uid.as_bytes()]));
            }
            Due::ForgetRow(rule, order) => {
                self.table(rule).remove(&order);
                self.changes.delete(self.row_key(rule, &order));
            }
            Due::ForgetOpened(index, id) => {
                let bucket = self.event_bucket.remove(&(index, id.clone()));
                if let Some(bucket) = bucket {
                    self.settle(&bucket);
                    let by = self.absences.get(&index).and_then(|a| a.get(&id)).map(|e| e.by);
                    if let (Some(b), Some(by)) = (self.buckets.get_mut(&bucket), by) {
                        b.members.remove(&(by, id.clone()));
                        let forgotten = b.members.is_empty();
                        if forgotten {
                            self.forget_bucket(&bucket);
                        }
                    }
                }
                self.close(index, &id);
            }
            Due::ForgetExpected(index, order) => {
                if let Some(absences) = self.absences.get_mut(&index) {
                    absences.forget(&order);
                }
                self.changes.delete(self.expected_key(index, &order));
            }
            Due::ForgetBucket(id) => {
                let now = self.clock.now;
                let over =
                    |b: &Bucket| b.members.is_empty() && b.expires.is_none_or(|e| now.is_some_and(|now| e <= now));
                if self.buckets.get(&id).is_some_and(over) {
                    self.settle(&id);
                    self.forget_bucket(&id);
                }
            }
        }
    }

    fn forget_bucket(&mut self, id: &BucketId) {
        self.buckets.remove(id);
        if self.plan.node(id.0).withdrawable {
            self.changes
                .delete(key(Kind::Finding, self.state(id.0), &[id.1.as_bytes()]));
        }
    }

    fn forget_entry(&mut self, policies: &Policies, index: PolicyIndex, group: &Arc<str>, order: &Order) {
        let Body::Correlation(c) = &policies.get(index).body else {
            return;
        };
        // What still has to be told of windows that this event is in is told before it goes.
        let Some(entries) = self.windows.get(&(index, group.clone())) else {
            return;
        };
        let end = order.0.plus_ms(c.timespan_ms);
        let affected: BTreeSet<BucketId> = entries
            .between_times(order.0.plus_ms(-1), end)
            .filter_map(|e| e.bucket.clone())
            .collect();
        let own = entries.get(order).and_then(|e| e.bucket.clone());
        affected.iter().for_each(|id| self.settle(id));
        if let Some(bucket) = own.and_then(|id| self.buckets.get_mut(&id)) {
            bucket.members.remove(order);
        }
        if let Some(entries) = self.windows.get_mut(&(index, group.clone())) {
            entries.expire(c, order);
            if entries.is_empty() {
                self.windows.remove(&(index, group.clone()));
            }
        }
        self.changes.delete(self.entry_key(index, group, order));
    }
}

fn text(value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        Json::String(text) => lower(text),
        other => lower(&other.to_string()),
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
