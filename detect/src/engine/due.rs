//! What happens when something is due.

use model::Millis;

use super::Detector;
use super::bucket::{Bucket, BucketId};
use super::fact::{Fact, settled};
use super::state::{Item, Kind, key};
use super::timer::{Due, Timers};
use crate::policy::Body;

impl Detector {
    pub(super) fn due(&mut self, at: Millis, due: Due) {
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
            Due::Expectation(index, id) => self.expectation_due(index, policies.get(index), &id),
            Due::Silence(index, id) => self.silence_due(index, &id),
            Due::Delay(index, end) => self.delay_due(index, end),
            Due::Sequence(rule, log, start) => self.judge_run(&(rule, log), start),
            Due::Portion(rule, source, start) => self.portion_due((rule, source, start)),
            Due::ForgetMember(id, order) => {
                self.settle(&id);
                if !self.by_minute(Kind::Member, id.0) {
                    self.changes.touch(Item::Member(id.clone(), order.clone()), false);
                }
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
            Due::ForgetPortion(rule, source, start) => self.forget_portion((rule, source, start)),
            Due::ForgetRuns(rule, log) => self.forget_runs(&(rule, log)),
            Due::ForgetSubjects(rule) => self.forget_subjects(rule, at),
            Due::ForgetRows(rule) => self.forget_rows(rule, at),
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
            Due::ForgetExpected(index) => self.forget_expected(index, at),
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

    /// The moment until which what a fact gave rise to is kept, `more` after its lateness.
    pub(super) fn kept_until(&self, fact: &Fact, lateness_ms: i64, more_ms: i64) -> Millis {
        self.kept_from(fact.time, fact.received_at, lateness_ms, more_ms)
    }

    /// As `kept_until`, of an event of these times.
    pub(super) fn kept_from(&self, time: Millis, received_at: Millis, lateness_ms: i64, more_ms: i64) -> Millis {
        let settled = settled(time, received_at, lateness_ms, 0);
        Timers::forgotten(settled.plus_ms(lateness_ms).plus_ms(more_ms))
    }
}
