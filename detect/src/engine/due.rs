//! What happens when something is due.

use super::Detector;
use super::bucket::{Bucket, BucketId};
use super::state::{Item, Kind, key};
use super::timer::Due;
use crate::policy::Body;

impl Detector {
    pub(super) fn due(&mut self, due: Due) {
        let policies = self.policies.clone();
        match due {
            Due::Subject(rule, uid) => {
                if self.subjects.get(&rule).is_some_and(|s| s.get(&uid).is_some()) {
                    self.judge_due(rule, uid);
                }
            }
            Due::Window(index, group) => {
                let Body::Correlation(c) = &policies.get(index).body else {
                    return;
                };
                let judging = self.judging(index);
                self.warm(&(index, group.clone()));
                let Some(entries) = self.windows.get_mut(&(index, group.clone())) else {
                    return;
                };
                let changes = entries.judge_due(c, &judging);
                if let Some(next) = entries.next_due() {
                    self.timers.set(next, Due::Window(index, group.clone()));
                }
                self.windows_changed(&policies, index, c, &group, changes);
            }
            Due::Expectation(index, id) => {
                let first = self.clock.first;
                let checks = matches!(&policies.get(index).body, Body::Absence(a) if a.checks());
                let Some(e) = self.absences.get_mut(&index).and_then(|a| a.get_mut(&id)) else {
                    return;
                };
                if !e.settled.judged {
                    e.settled.judged = true;
                    e.settled.void |= !checks && first.is_none_or(|first| e.by <= first);
                    self.write_settled(index, &id);
                    self.refresh_missing(index, policies.get(index), &id);
                }
            }
            Due::Silence(index, id) => self.silence_due(index, &id),
            Due::Delay(index, end) => self.delay_due(index, end),
            Due::ForgetMember(id, order) => {
                self.settle(&id);
                self.changes.touch(Item::Member(id.clone(), order.clone()), false);
                if let Some(bucket) = self.buckets.get_mut(&id) {
                    bucket.members.remove(&order);
                }
                if self.event_bucket.get(&(id.0, order.1.clone())) == Some(&id) {
                    self.event_bucket.remove(&(id.0, order.1.clone()));
                }
            }
            Due::ForgetEntries(index, group) => self.forget_entries(&policies, index, &group),
            Due::ForgetFed(rule, uid) => self.forget_fed(rule, &uid),
            Due::ForgetDays(rule, key) => self.forget_days(rule, &key),
            Due::ForgetSubject(rule, uid) => {
                if let Some(subjects) = self.subjects.get_mut(&rule) {
                    subjects.expire(&uid);
                }
                self.changes.touch(Item::Subject(rule, uid), false);
            }
            Due::ForgetRow(rule, order) => {
                self.table(rule).remove(&order);
                self.changes.touch(Item::Row(rule, order), false);
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
                self.changes.touch(Item::Expected(index, order), false);
            }
            Due::ForgetBucket(id) => {
                let now = self.clock.now;
                let over =
                    |b: &Bucket| b.members.is_empty() && b.expires.is_none_or(|e| now.is_some_and(|now| e <= now));
                if self.buckets.get(&id).is_some_and(|b| over(b)) {
                    self.settle(&id);
                    self.forget_bucket(&id);
                }
            }
        }
    }

    pub(super) fn forget_bucket(&mut self, id: &BucketId) {
        self.buckets.remove(id);
        if self.plan.node(id.0).withdrawable {
            self.changes
                .delete(key(Kind::Finding, self.state(id.0), &[id.1.as_bytes()]));
        }
    }
}
