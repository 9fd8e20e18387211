//! How a match flows: from a rule's event through its joins to all that take it.

use std::collections::BTreeSet;
use std::sync::Arc;

use foldhash::HashMap;
use model::Millis;

use super::Detector;
use super::fact::Fact;
use super::memo::Said;
use super::plan::Consumer;
use super::seen::Seen;
use super::state::Item;
use super::subject::{Judge, Retold, Subjects};
use super::timer::{Due, Timers};
use super::window::More;
use crate::policy::{Body, Calendar, Lookup, Policy, PolicyIndex, Rule, WorkingTime};
use crate::reference::{EventValues, Found, Gap, Join, Lookups, NoEventTables, resolve};

impl Detector {
    /// A rule's Sigma condition holds for an event.
    pub(super) fn hit(&mut self, rule: PolicyIndex, seen: &Seen<'_>) {
        let plan = self.plan.clone();
        let node = plan.node(rule);
        if node.circular {
            return;
        }
        let policies = self.policies.clone();
        let policy = policies.get(rule);
        let Body::Rule(body) = &policy.body else { return };
        if let Some(time) = &body.calendar {
            if self.tables.calendar().is_none() {
                return self.gap(rule, Gap::Calendar);
            }
            // Whose working time it is may be known only from the joins.
            if time.site.is_none() && !self.on_side(time, seen, &Found::default()) {
                return;
            }
        }
        if node.deferred {
            // What is not in the reference tables now is judged later only where the policy waits for that.
            let known = body.lookups.iter().take_while(|l| l.event_table.is_none());
            let known = known.count().min(if node.waits { 0 } else { usize::MAX });
            return match self.judge_seen(rule, &body.lookups[..known], seen) {
                Said::Fires(_) => self.hit_deferred(rule, policy, seen.keep()),
                Said::DoesNotFire => {}
                Said::NotJudged(gap) => self.gap(rule, gap),
            };
        }
        match self.judge_seen(rule, &body.lookups, seen) {
            Said::Fires(found) => {
                if self.passes(body, seen, &found) {
                    self.fires(rule, &seen.keep(), &found);
                }
            }
            Said::DoesNotFire => {}
            Said::NotJudged(gap) => self.gap(rule, gap),
        }
    }

    fn judge_seen(&mut self, rule: PolicyIndex, lookups: &[Lookup], seen: &Seen<'_>) -> Said {
        if lookups.is_empty() {
            return Said::Fires(self.nothing.clone());
        }
        let mut memo = std::mem::take(&mut self.memo);
        let lookups = Lookups {
            lookups,
            joins: self.joins_of(rule),
            tables: &self.tables,
            events: &NoEventTables,
        };
        let said = memo.said(rule, seen, seen.time(), |event| lookups.judge(event, &mut |_, _| {}));
        self.memo = memo;
        said
    }

    /// An event of a rule that is judged again when rows come, or later.
    fn hit_deferred(&mut self, rule: PolicyIndex, policy: &Policy, fact: Arc<Fact>) {
        let waits = self.plan.node(rule).waits;
        let (uid, forget) = (fact.uid.clone(), self.subject_expires(rule, policy, &fact));
        let due = self.due_at(policy, &fact);
        let subjects = self.subjects.entry(rule).or_default();
        let fresh = subjects.get(&uid).is_none();
        subjects.insert(fact, None, forget);
        self.write_subject(rule, &uid, fresh);
        self.judge(rule, [uid.clone()].into());
        let subjects = self.subjects.entry(rule).or_default();
        if fresh && !waits && subjects.is_settled(&uid) {
            return subjects.expire(&uid);
        }
        if waits {
            // The tables may be others by then.
            self.timers.set(due, Due::Subject(rule, uid.clone()));
        }
        self.forget_subject_at(rule, forget, &uid);
    }

    pub(super) fn forget_subject_at(&mut self, rule: PolicyIndex, at: Millis, uid: &Arc<str>) {
        if self.subjects.entry(rule).or_default().is_first_until(at, uid) {
            self.timers.set(at, Due::ForgetSubjects(rule));
        }
    }

    /// Forgets the events of a rule whose time is over.
    pub(super) fn forget_subjects(&mut self, rule: PolicyIndex, at: Millis) {
        let Some(subjects) = self.subjects.get_mut(&rule) else {
            return;
        };
        for uid in subjects.forget_until(at) {
            self.changes.touch(Item::Subject(rule, uid), false);
        }
    }

    /// The joins of a rule, read for the tables as they are.
    pub(super) fn joins_of(&self, rule: PolicyIndex) -> &[Join] {
        self.joins.get(rule.0 as usize).map_or(&[], Vec::as_slice)
    }

    /// Reads the joins of all rules for the tables as they are.
    pub(super) fn read_joins(&mut self) {
        let policies = &self.policies;
        let has_column = |lookup: &Lookup, column: &str| {
            let rule = lookup.event_table.and_then(|rule| policies.get(rule).rule());
            let table = rule.and_then(|rule| rule.table.as_ref());
            table.is_some_and(|table| table.columns.iter().any(|(name, _)| **name == *column))
        };
        let mut questions = HashMap::default();
        let mut joins = |policy: &Policy| match policy.rule() {
            Some(rule) => {
                let mut joins = Join::all(&rule.lookups, &self.tables, &has_column);
                for (join, lookup) in joins.iter_mut().zip(&rule.lookups) {
                    join.number(lookup, &mut questions);
                }
                joins
            }
            None => Vec::new(),
        };
        self.joins = policies.iter().map(|(_, policy)| joins(policy)).collect();
        self.memo.clear();
    }

    /// Whether it is working time, or not, as the rule wants.
    pub(super) fn on_side(&self, time: &WorkingTime, event: &dyn EventValues, found: &Found) -> bool {
        let Some(calendar) = self.tables.calendar() else {
            return false;
        };
        let site = time.site.as_ref().map(|s| resolve(s, &self.scope_of(event, found)));
        let site = site.as_ref().and_then(|s| s.first()).map(|s| s.text());
        calendar.is_working(event.time(), site.as_deref()) == (time.side == Calendar::Inside)
    }

    /// What a rule asks for that is known only once its joins hold.
    pub(super) fn passes(&self, rule: &Rule, event: &dyn EventValues, found: &Found) -> bool {
        let time = rule.calendar.as_ref().filter(|time| time.site.is_some());
        time.is_none_or(|time| self.on_side(time, event, found))
    }

    /// A rule's condition and joins hold for an event; it fires unless it wants something new, or a number that is out of order.
    fn fires(&mut self, rule: PolicyIndex, fact: &Arc<Fact>, found: &Arc<Found>) {
        let policies = self.policies.clone();
        let body = policies.get(rule).rule();
        if let Some(portion) = body.and_then(|r| r.portion) {
            return self.part(rule, &portion, fact, found);
        }
        match body.map(|r| (r.novelty.as_ref(), r.sequence.as_ref())) {
            Some((Some(novelty), _)) => self.seen(rule, novelty, fact, found),
            Some((None, Some(sequence))) => self.numbered(rule, sequence, fact, found),
            _ => self.add(rule, fact, found),
        }
    }

    pub(super) fn gap(&mut self, policy: PolicyIndex, gap: Gap) {
        *self.gaps.entry((policy, gap)).or_default() += 1;
    }

    /// When a negative about an event is judged.
    pub(super) fn due_at(&self, policy: &Policy, fact: &Fact) -> Millis {
        fact.settled(policy.lateness_ms).plus_ms(policy.wait_ms)
    }

    /// When an event is judged no more.
    fn rests_at(&self, policy: &Policy, fact: &Fact) -> Millis {
        self.kept_until(fact, policy.lateness_ms, policy.wait_ms)
    }

    /// When an event is forgotten: when it is judged no more, and no other is that could claim the same row.
    pub(super) fn subject_expires(&self, rule: PolicyIndex, policy: &Policy, fact: &Fact) -> Millis {
        let rests = self.rests_at(policy, fact);
        let Some(apart_ms) = self.plan.node(rule).contends_ms else {
            return rests;
        };
        let latest = fact.time.min(fact.received_at).plus_ms(apart_ms);
        let latest = latest
            .plus_ms(policy.lateness_ms.saturating_mul(2))
            .plus_ms(policy.wait_ms);
        rests.max(Timers::forgotten(latest))
    }

    /// Judges subjects of a rule and tells its consumers.
    pub(super) fn judge(&mut self, rule: PolicyIndex, uids: BTreeSet<Arc<str>>) {
        self.judge_by(rule, |subjects, judge, gap| subjects.judge(uids, judge, gap));
    }

    /// The wait of a subject is over.
    pub(super) fn judge_due(&mut self, rule: PolicyIndex, uid: Arc<str>) {
        self.judge_by(rule, |subjects, judge, gap| subjects.judge_due(&uid, judge, gap));
    }

    fn judge_by(
        &mut self,
        rule: PolicyIndex,
        judge_by: impl FnOnce(&mut Subjects, &Judge<'_>, &mut dyn FnMut(Gap)) -> Vec<Retold>,
    ) {
        let policies = self.policies.clone();
        let policy = policies.get(rule);
        let Some(body) = policy.rule() else {
            return;
        };
        let lookups = &body.lookups;
        let Some(mut subjects) = self.subjects.get_mut(&rule).map(std::mem::take) else {
            return;
        };
        let now = self.clock.now;
        let ready =
            |fact: &Fact| now.is_some_and(|now| now >= fact.settled(policy.lateness_ms).plus_ms(policy.wait_ms));
        let judge = Judge {
            lookups,
            joins: self.joins_of(rule),
            tables: &self.tables,
            rows: &self.rows,
            ready: &ready,
            rests: &|fact| now.is_some_and(|now| now >= self.rests_at(policy, fact)),
            passes: &|fact, found| self.passes(body, fact, found),
            waits: self.plan.node(rule).waits,
            version: self.tables_version,
        };
        let mut gaps = Vec::new();
        let retold = judge_by(&mut subjects, &judge, &mut |gap| gaps.push(gap));
        for fact in subjects.waiting() {
            let due = self.due_at(policy, fact);
            if now.is_none_or(|now| now < due) {
                self.timers.set(due, Due::Subject(rule, fact.uid.clone()));
            }
        }
        self.subjects.insert(rule, subjects);
        gaps.into_iter().for_each(|gap| self.gap(rule, gap));
        for Retold { fact, before, after } in retold {
            self.write_subject(rule, &fact.uid, false);
            match (before, after) {
                (Some(before), Some(after)) => self.replace(rule, &fact, &before, &after),
                (None, Some(after)) => self.add(rule, &fact, &after),
                (Some(before), None) => self.remove(rule, &fact, &before),
                (None, None) => {}
            }
        }
    }

    /// A rule fires for an event.
    pub(super) fn add(&mut self, rule: PolicyIndex, fact: &Arc<Fact>, found: &Arc<Found>) {
        let policies = self.policies.clone();
        let policy = policies.get(rule);
        if policy.reports {
            self.add_event(rule, policy, fact, found);
        }
        if let Some(table) = policy.rule().and_then(|r| r.table.as_ref()) {
            self.add_row(rule, policy, table, fact, found);
        }
        let plan = self.plan.clone();
        let fact = &self.joined(fact, found);
        for consumer in plan.node(rule).consumers.iter().copied() {
            match consumer {
                Consumer::Correlation(c, feeder) => {
                    let more = More {
                        records: found.records.clone(),
                        rows: found.rows.clone(),
                        ..More::default()
                    };
                    self.feed(&policies, c, feeder, fact, more);
                }
                Consumer::Expected(a) => self.add_expected(a, policies.get(a), fact),
                Consumer::After(a) => self.open_after(a, policies.get(a), fact, found),
            }
        }
    }

    /// A rule fires for the event as before, but its joins found something else.
    pub(super) fn replace(&mut self, rule: PolicyIndex, fact: &Arc<Fact>, before: &Arc<Found>, found: &Arc<Found>) {
        let policies = self.policies.clone();
        let policy = policies.get(rule);
        let silent = self.plan.node(rule).consumers.is_empty() && policy.rule().is_none_or(|r| r.table.is_none());
        if silent && policy.reports {
            // The same key: only what is told changes. Another key: it moves.
            return self.move_event(rule, policy, fact, found);
        }
        self.remove(rule, fact, before);
        self.add(rule, fact, found);
    }

    /// The event as correlations take it: with what the joins found, where one of them reads that.
    fn joined(&self, fact: &Arc<Fact>, found: &Found) -> Arc<Fact> {
        if !fact.is_joined() {
            return fact.clone();
        }
        Arc::new(fact.with_joined(&self.scope_of(&**fact, found)))
    }

    /// A rule does not fire any more for an event, for which its joins had found `before`.
    pub(super) fn remove(&mut self, rule: PolicyIndex, fact: &Arc<Fact>, before: &Found) {
        let policies = self.policies.clone();
        let policy = policies.get(rule);
        if policy.reports {
            self.remove_event(rule, fact);
        }
        if policy.rule().is_some_and(|r| r.table.is_some()) {
            self.remove_row(rule, &fact.order());
        }
        let plan = self.plan.clone();
        let fact = &self.joined(fact, before);
        for consumer in plan.node(rule).consumers.iter().copied() {
            match consumer {
                Consumer::Correlation(c, feeder) => self.unfeed(&policies, c, feeder, fact),
                Consumer::Expected(a) => self.remove_expected(a, &fact.order()),
                Consumer::After(a) => self.close(a, &fact.uid),
            }
        }
    }
}
