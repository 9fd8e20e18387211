//! Expectations are opened, satisfied, closed.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::Millis;

use super::Detector;
use super::absence::{self, Expectation, Expected, Settled};
use super::bucket::{Member, uid};
use super::bytes::Put as _;
use super::fact::{Fact, Order};
use super::state::{Item, Kind, key};
use super::timer::Due;
use crate::policy::{Absence, Body, Opens, Policy, PolicyIndex};
use crate::reference::{EventValues, Found, Gap, Scope};
use crate::sigma::lower;

/// How long an expected event is kept beyond its lateness where `from` and `by` are not at a fixed distance.
const EXPECTED_KEPT_MS: i64 = 7 * 24 * 3_600_000;
/// An absence that an event opened is kept at most so long after its event, however late its deadline.
const OPENED_KEPT_MS: i64 = 400 * 24 * 3_600_000;

impl Detector {
    /// Opens the expectations of all tables anew; those that are there already go on as they are.
    pub(super) fn open_tables(&mut self) {
        self.open_silences();
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
                    calendar: self.tables.calendar(),
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
                            written: false,
                        },
                    ),
                }
            }
            gone.iter().for_each(|id| self.close(index, id));
        }
    }

    pub(super) fn open_after(&mut self, index: PolicyIndex, policy: &Policy, fact: &Arc<Fact>, found: &Arc<Found>) {
        let Body::Absence(absence) = &policy.body else { return };
        let Some(expectation) = self.expectation(absence, fact, found) else {
            return self.gap(index, Gap::At("absence".into()));
        };
        let there = self.absences.get(&index).and_then(|a| a.get(&fact.uid)).is_some();
        self.open(index, policy, expectation);
        let stays = self.absences.get(&index).and_then(|a| a.get(&fact.uid)).is_some();
        if stays || there {
            self.changes.touch(Item::Opened(index, fact.uid.clone()), !there);
        }
    }

    /// What an event opens; `None` where the deadline has no value.
    pub(super) fn expectation(&self, absence: &Absence, fact: &Arc<Fact>, found: &Found) -> Option<Expectation> {
        let scope = self.scope_of(&**fact, found);
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
            written: false,
        })
    }

    /// Opens an expectation that is not there yet, or (at start) was there before.
    pub(super) fn open(&mut self, index: PolicyIndex, policy: &Policy, mut expectation: Expectation) {
        let (id, by) = (expectation.settled.id.clone(), expectation.by);
        if let Some(settled) = self.settled.remove(&(index, id.clone())) {
            (expectation.settled, expectation.written) = (settled, true);
        } else if self.clock.now.is_some_and(|now| by < now.plus_ms(-policy.lateness_ms))
            && expectation.fact.is_none()
            && !matches!(&policy.body, Body::Absence(a) if a.looks_back())
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
        let forgotten = expectation.fact.as_ref().map(|fact| opened_until(policy, fact, by));
        self.absences.entry(index).or_default().open(expectation);
        if self.satisfied_for_good(index, &id) {
            return self.close(index, &id);
        }
        let due = by.plus_ms(policy.wait_ms);
        if !judged {
            self.timers.set(due, Due::Expectation(index, id.clone()));
        }
        // Most are satisfied before they are judged, and gone.
        if let Some(at) = forgotten.filter(|at| judged || *at < due) {
            self.timers.set(at, Due::ForgetOpened(index, id.clone()));
        }
        let changed = self
            .absences
            .get(&index)
            .and_then(|a| a.get(&id))
            .is_some_and(|e| e.settled.void || !e.settled.satisfied.is_empty());
        if fresh && changed {
            self.write_settled(index, &id);
        }
        self.refresh_missing(index, policy, &id);
    }

    /// Whether an expectation that an event opened is satisfied, and nothing will ever change that: nothing need be known of it any more.
    fn satisfied_for_good(&self, index: PolicyIndex, id: &str) -> bool {
        let is = |e: &Expectation| e.fact.is_some() && !e.settled.satisfied.is_empty();
        self.plan.node(index).takes_for_good && self.absences.get(&index).and_then(|a| a.get(id)).is_some_and(is)
    }

    /// The deadline of an expectation and the wait are over.
    pub(super) fn expectation_due(&mut self, index: PolicyIndex, policy: &Policy, id: &Arc<str>) {
        let first = self.clock.first;
        let looks_back = matches!(&policy.body, Body::Absence(a) if a.looks_back());
        let Some(e) = self.absences.get_mut(&index).and_then(|a| a.get_mut(id)) else {
            return;
        };
        if e.settled.judged {
            return;
        }
        e.settled.judged = true;
        e.settled.void |= !looks_back && first.is_none_or(|first| e.by <= first);
        if let Some(fact) = &e.fact {
            let at = opened_until(policy, fact, e.by);
            self.timers.set(at, Due::ForgetOpened(index, id.clone()));
        }
        self.write_settled(index, id);
        self.refresh_missing(index, policy, id);
    }

    /// An expectation is gone.
    pub(super) fn close(&mut self, index: PolicyIndex, id: &Arc<str>) {
        let Some(e) = self.absences.get(&index).and_then(|a| a.get(id)) else {
            return;
        };
        let (missing, order) = (e.is_missing(), (e.by, id.clone()));
        let (opened, written) = (e.fact.is_some(), e.written);
        if missing && let Some(bucket) = self.event_bucket.remove(&(index, id.clone())) {
            self.leave(&bucket, &order, false);
        }
        if let Some(absences) = self.absences.get_mut(&index) {
            absences.close(id);
        }
        if written {
            self.changes.touch(Item::Settled(index, id.clone()), false);
        }
        if opened {
            self.changes.touch(Item::Opened(index, id.clone()), false);
        }
    }

    pub(super) fn write_settled(&mut self, index: PolicyIndex, id: &Arc<str>) {
        if let Some(e) = self.absences.get_mut(&index).and_then(|a| a.get_mut(id)) {
            let fresh = !std::mem::replace(&mut e.written, true);
            self.changes.touch(Item::Settled(index, id.clone()), fresh);
        }
    }

    pub(super) fn add_expected(&mut self, index: PolicyIndex, policy: &Policy, fact: &Arc<Fact>) {
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
        if self.by_minute(Kind::Expected, index) {
            self.add_item(Kind::Expected, index, expires, |to| event.put(to));
        } else {
            let order = fact.order();
            let there = self.absences.get(&index).and_then(|a| a.expected(&order)).is_some();
            self.changes.touch(Item::Expected(index, order), !there);
        }
        let satisfied = self.expect(index, event);
        for id in satisfied {
            if !self.satisfied_for_good(index, &id) {
                self.write_settled(index, &id);
            }
            self.refresh_missing(index, policy, &id);
            if self.satisfied_for_good(index, &id) {
                self.close(index, &id);
            }
        }
    }

    /// An event came that was expected: the expectations that it satisfies.
    pub(super) fn expect(&mut self, index: PolicyIndex, event: Expected) -> BTreeSet<Arc<str>> {
        let expires = event.expires;
        let absences = self.absences.entry(index).or_default();
        if absences.is_first_until(expires) {
            self.timers.set(expires, Due::ForgetExpected(index));
        }
        absences.expect(event)
    }

    /// Forgets the expected events whose time is over.
    pub(super) fn forget_expected(&mut self, index: PolicyIndex, at: Millis) {
        let Some(absences) = self.absences.get_mut(&index) else {
            return;
        };
        let gone = absences.forget_until(at);
        if !self.by_minute(Kind::Expected, index) {
            let items = gone.into_iter().map(|order| Item::Expected(index, order));
            items.for_each(|item| self.changes.touch(item, false));
        }
    }

    pub(super) fn expected_key(&self, index: PolicyIndex, order: &Order) -> Vec<u8> {
        key(
            Kind::Expected,
            self.state(index),
            &[&order.0.0.to_be_bytes(), order.1.as_bytes()],
        )
    }

    pub(super) fn remove_expected(&mut self, index: PolicyIndex, order: &Order) {
        let policies = self.policies.clone();
        self.changes.touch(Item::Expected(index, order.clone()), false);
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
                    calendar: self.tables.calendar(),
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
}

/// When an expectation that an event opened is forgotten.
fn opened_until(policy: &Policy, fact: &Fact, by: Millis) -> Millis {
    let settled = fact.settled(policy.lateness_ms);
    let forget = by.max(settled).min(settled.plus_ms(OPENED_KEPT_MS));
    forget
        .plus_ms(policy.wait_ms)
        .plus_ms(policy.lateness_ms)
        .plus_ms(policy.dedup.as_ref().map_or(0, |d| d.window_ms))
}
