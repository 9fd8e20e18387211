//! Where matches belong: they join and leave findings.

use std::sync::Arc;

use model::{FindingStatus, Millis};
use smallvec::SmallVec;

use super::Detector;
use super::bucket::{Bucket, BucketId, Member, uid};
use super::fact::{Fact, Order};
use super::members::Members;
use super::plan::StateId;
use super::state::{Item, Kind, key};
use super::timer::Due;
use super::written::put_member;
use crate::policy::{Policy, PolicyIndex};
use crate::reference::{EventValues, Found, Scope, resolve};

impl Detector {
    /// Where a match belongs: the finding's uid and key.
    pub(super) fn bucket_of(
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
        let mut group: Vec<(String, String)> = Vec::with_capacity(dedup.by.len());
        let names = self.plan.node(index).key_names.iter();
        for (reference, name) in dedup.by.iter().zip(names) {
            let mut text = String::new();
            for (n, item) in resolve(reference, scope).iter().enumerate() {
                text.push_str(if n == 0 { "" } else { "," });
                text.push_str(&item.text());
            }
            group.push((name.clone(), text));
        }
        let window = dedup.window_ms.max(1);
        let start = time.0.div_euclid(window).saturating_mul(window);
        let mut digits = [0; 20];
        let start = model::value::int_text(start, &mut digits);
        let uid = {
            let mut parts: SmallVec<[&str; 8]> = group.iter().map(|(_, v)| v.as_str()).collect();
            parts.push(start);
            uid(&policy.reference.id, &parts)
        };
        group.retain(|(_, v)| !v.is_empty());
        ((index, uid), group)
    }

    pub(super) fn scope_of<'a>(&'a self, event: &'a dyn EventValues, found: &'a Found) -> Scope<'a> {
        Scope {
            event: Some(event),
            aliases: &found.aliases,
            row: None,
            count: None,
            zone: self.tables.zone(),
            calendar: self.tables.calendar(),
        }
    }

    pub(super) fn add_event(&mut self, index: PolicyIndex, policy: &Policy, fact: &Arc<Fact>, found: &Arc<Found>) {
        let (id, group) = self.bucket_of(index, policy, &self.scope_of(&**fact, found), fact.time, &fact.uid);
        let member = Member::Event(fact.clone(), found.clone());
        if policy.dedup.is_none() && !self.plan.node(index).withdrawable {
            // Nothing will ever change it: no state.
            let bucket = Bucket {
                group,
                members: Members::One(fact.order(), member),
                ..Bucket::default()
            };
            let finding = self.finding(&id, &bucket);
            if let Some(finding) = finding {
                self.tell_alone(finding, fact.received_at);
            }
            self.raised.insert(id.1, fact.received_at);
            return;
        }
        let expires = self.member_expires(index, fact);
        let order = fact.order();
        if self.by_minute(Kind::Member, index) {
            let texts = self.texts.clone();
            self.add_item(Kind::Member, index, expires, |to| {
                put_member(&id, &group, fact, (found, &texts), expires, to)
            });
        } else {
            let fresh = self.buckets.get(&id).is_none_or(|b| b.members.get(&order).is_none());
            self.changes.touch(Item::Member(id.clone(), order.clone()), fresh);
        }
        self.timers.set(expires, Due::ForgetMember(id.clone(), order.clone()));
        self.event_bucket.insert((index, fact.uid.clone()), id.clone());
        self.join(&id, group, order, member, expires);
    }

    /// When an event is forgotten that is a member of a finding.
    pub(super) fn member_expires(&self, index: PolicyIndex, fact: &Fact) -> Millis {
        let policy = self.policies.get(index);
        let window = policy.dedup.as_ref().map_or(0, |d| d.window_ms);
        self.kept_until(fact, policy.lateness_ms, window.saturating_add(policy.wait_ms))
    }

    pub(super) fn move_event(&mut self, index: PolicyIndex, policy: &Policy, fact: &Arc<Fact>, found: &Arc<Found>) {
        let (id, _) = self.bucket_of(index, policy, &self.scope_of(&**fact, found), fact.time, &fact.uid);
        if self.event_bucket.get(&(index, fact.uid.clone())) != Some(&id) {
            self.remove_event(index, fact);
        }
        self.add_event(index, policy, fact, found);
    }

    pub(super) fn remove_event(&mut self, index: PolicyIndex, fact: &Arc<Fact>) {
        let Some(id) = self.event_bucket.remove(&(index, fact.uid.clone())) else {
            return;
        };
        self.changes.touch(Item::Member(id.clone(), fact.order()), false);
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

    pub(super) fn state(&self, policy: PolicyIndex) -> StateId {
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
    pub(super) fn leave(&mut self, id: &BucketId, order: &Order, superseded: bool) {
        self.warm_bucket(id);
        let Some(bucket) = self.buckets.get(id) else { return };
        if bucket.members.len() == 1 && bucket.members.get(order).is_some() {
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
}
