//! Findings as events: what rules of `logsource: {product: docket, category: finding}` read.
//!
//! Every finding is an event of its own: of what it says now, in place of what it said before, at the end of each call and whenever
//! engine time moves on by half a minute; a finding that was resolved is an event no more. The event's uid is the finding's, its time the finding's, its evidence
//! the finding's evidence. So a correlation over findings is, like every other, a function of the set of what holds,
//! whatever the order in which it came to hold. Findings of policies that read findings, or take events of those that do, are no
//! events: nothing goes round in a circle.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use model::{Batch, Field, Finding, FindingStatus, LogSource, Millis, PlainEvent, Severity, Wanted};
use serde_json::{Map, Value, json};

use super::Detector;
use super::bucket::BucketId;
use super::fact::Fact;
use super::plan::Plan;
use super::state::{Kind, key};
use super::subject::SubjectRow;
use super::timer::Due;
use crate::policy::{Policies, Policy, PolicyIndex};
use crate::reference::{Found, Lookups, NoEventTables, Verdict};
use crate::sigma::FINDINGS;

/// The source of the events, as batches name it.
const SOURCE: &str = "docket";
/// Findings are events at the latest when engine time leaves such a span, milliseconds.
const UNIT_MS: i64 = 30_000;

/// The events that findings are, by rule and uid, with the records that are their evidence.
pub(super) type Fed = HashMap<(PolicyIndex, Arc<str>), (Arc<Fact>, Arc<Found>)>;

/// Which policies read findings, and what they want of them.
#[derive(Debug, Default)]
pub(super) struct Readers {
    rules: BTreeSet<PolicyIndex>,
    /// Ids of policies whose findings are no events.
    derived: BTreeSet<String>,
    by_id: BTreeMap<String, PolicyIndex>,
    wanted: Wanted,
}

impl Readers {
    /// `order`: each policy after those it takes events of, with these.
    pub fn new(policies: &Policies, order: &[(PolicyIndex, BTreeSet<PolicyIndex>)]) -> Readers {
        let reads = |i: &PolicyIndex| policies.get(*i).rule().is_some_and(|r| r.sigma.reads_findings());
        let rules: BTreeSet<PolicyIndex> = policies.iter().map(|(i, _)| i).filter(reads).collect();
        let mut derived = rules.clone();
        for (policy, sources) in order {
            if sources.iter().any(|s| derived.contains(s)) {
                derived.insert(*policy);
            }
        }
        Readers {
            derived: derived.iter().map(|i| policies.get(*i).reference.id.clone()).collect(),
            by_id: policies.iter().map(|(i, p)| (p.reference.id.clone(), i)).collect(),
            wanted: Wanted::new(),
            rules,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    pub fn contains(&self, rule: PolicyIndex) -> bool {
        self.rules.contains(&rule)
    }

    /// The columns that the rules read.
    pub fn want(policies: &Policies, plan: &Plan) -> Wanted {
        let rules = plan.readers.rules.iter();
        rules
            .flat_map(|i| {
                let captured = plan.captured.get(i).into_iter().flat_map(|c| c.columns().cloned());
                let own = policies.get(*i).fields.iter().flat_map(|f| f.columns());
                captured.chain(own).collect::<Vec<Field>>()
            })
            .collect()
    }

    pub fn set_wanted(&mut self, wanted: Wanted) {
        self.wanted = wanted;
    }
}

/// What a finding counts in a sum of risk: 0, 1, 3, 9 or 27 by its severity (DS-26).
fn score(severity: Severity) -> u32 {
    match severity {
        Severity::Informational => 0,
        Severity::Low => 1,
        Severity::Medium => 3,
        Severity::High => 9,
        Severity::Critical => 27,
    }
}

/// A finding as an event.
fn event(finding: &Finding, policy: Option<&Policy>) -> PlainEvent {
    let assets: BTreeSet<&str> = finding
        .rows
        .iter()
        .filter(|row| row.table == "asset_register")
        .filter_map(|row| row.row.get("asset_id")?.as_str())
        .collect();
    let mut native = Map::new();
    let mut put = |name: &str, value: Value| native.insert(name.to_owned(), value);
    put("uid", json!(finding.uid));
    put("policy", json!(policy.and_then(|p| p.name.as_deref())));
    put("title", json!(finding.policy.title));
    put("clauses", json!(finding.clauses));
    put("tags", json!(finding.tags));
    put("severity", json!(finding.severity.name().to_lowercase()));
    put("severity_id", json!(finding.severity.id()));
    put("score", json!(score(finding.severity)));
    put("kind", json!(finding.kind));
    put("account", json!(finding.account));
    put("person", json!(finding.person));
    put("assets", json!(assets));
    put("message", json!(finding.message));
    native.retain(|_, v| !v.is_null());
    let ocsf = finding.to_ocsf();
    PlainEvent {
        uid: finding.uid.as_str().into(),
        class_uid: ocsf.get("class_uid").and_then(Value::as_u64).map_or(0, |c| c as u32),
        time: finding.time,
        ocsf: ocsf.as_object().cloned().unwrap_or_default(),
        native,
        system: Some(SOURCE.into()),
        commands: Vec::new(),
        logsource: LogSource::new(FINDINGS.0, FINDINGS.1, ""),
    }
}

impl Detector {
    /// Notes that a finding is not what it was.
    pub(super) fn mark_unfed(&mut self, id: &BucketId) {
        let readers = &self.plan.readers;
        if !readers.rules.is_empty() && !readers.derived.contains(&self.policies.get(id.0).reference.id) {
            self.unfed.insert(id.clone());
        }
    }

    /// Whether a finding is another than the event that it is.
    pub(super) fn has_unfed(&self) -> bool {
        !self.unfed.is_empty() || !self.unfed_alone.is_empty()
    }

    /// Makes events of findings as they stand before engine time leaves its unit: what is kept of events would be forgotten
    /// otherwise before what was found of them is joined, where engine time leaps within a call. Says whether there were any.
    pub(super) fn feed_before(&mut self, next: Millis) -> bool {
        let leaves = self
            .clock
            .now
            .is_some_and(|now| next.0.div_euclid(UNIT_MS) > now.0.div_euclid(UNIT_MS));
        let feeds = leaves && self.has_unfed();
        if feeds {
            self.feed_findings();
        }
        feeds
    }

    /// Tells a finding that has no bucket: what is told of it, now and perhaps once more, is all.
    pub(super) fn tell_alone(&mut self, finding: Finding) {
        let readers = &self.plan.readers;
        if !readers.rules.is_empty() && !readers.derived.contains(&finding.policy.id) {
            self.unfed_alone.push(finding.clone());
        }
        self.ready.push(finding);
    }

    /// Makes events of the findings as they stand.
    pub(super) fn feed_findings(&mut self) {
        let mut findings = std::mem::take(&mut self.unfed_alone);
        for id in std::mem::take(&mut self.unfed) {
            findings.extend(self.as_it_stands(&id));
        }
        self.feed_all(&findings);
    }

    /// As [`Self::feed_findings`], of one whose members may be forgotten after it was told.
    pub(super) fn feed_one(&mut self, id: &BucketId) {
        if self.unfed.remove(id) {
            let finding = self.as_it_stands(id);
            self.feed_all(finding.as_slice());
        }
    }

    fn as_it_stands(&mut self, id: &BucketId) -> Option<Finding> {
        self.warm_bucket(id);
        let bucket = self.buckets.get(id)?;
        self.finding(id, bucket).or_else(|| {
            let mut lost = bucket.lost.as_deref()?.clone();
            lost.status = FindingStatus::Resolved;
            Some(lost)
        })
    }

    fn feed_all(&mut self, told: &[Finding]) {
        let policies = self.policies.clone();
        let mut last: BTreeMap<(Millis, &str), &Finding> = BTreeMap::new();
        let mut times: HashMap<&str, Millis> = HashMap::new();
        for finding in told
            .iter()
            .filter(|f| !self.plan.readers.derived.contains(&f.policy.id))
        {
            if let Some(before) = times.insert(&finding.uid, finding.time) {
                last.remove(&(before, finding.uid.as_str()));
            }
            last.insert((finding.time, &finding.uid), finding);
        }
        for finding in last.into_values() {
            let uid: Arc<str> = finding.uid.as_str().into();
            let mut facts = match finding.status {
                FindingStatus::New => self.facts_of(finding, &policies),
                FindingStatus::Suppressed | FindingStatus::Resolved => BTreeMap::new(),
            };
            for rule in self.plan.readers.rules.clone() {
                self.refeed(rule, policies.get(rule), &uid, facts.remove(&rule));
            }
        }
    }

    /// The rules that hold for a finding, and what they keep of it.
    fn facts_of(&self, finding: &Finding, policies: &Policies) -> BTreeMap<PolicyIndex, (Arc<Fact>, Arc<Found>)> {
        let policy = self.plan.readers.by_id.get(&finding.policy.id);
        let event = event(finding, policy.map(|i| policies.get(*i)));
        let received_at = self.raised_at(finding, policy.copied());
        let source: Arc<str> = SOURCE.into();
        let batch = Batch::plain(
            &source,
            &[(self.position, received_at, &event)],
            &self.plan.readers.wanted,
        );
        let mut facts = BTreeMap::new();
        for hit in self.rules.evaluate(&batch) {
            let (true, Some(captured)) = (
                self.plan.readers.contains(hit.rule) && !self.plan.node(hit.rule).circular,
                self.plan.captured.get(&hit.rule),
            ) else {
                continue;
            };
            let bound = captured.bind(&batch);
            let row = hit.row as usize;
            let fact = captured.read(&batch, &bound, row, batch.uid(row).into(), self.mask);
            let Some(rule) = policies.get(hit.rule).rule() else {
                continue;
            };
            let lookups = Lookups {
                lookups: &rule.lookups,
                joins: self.joins_of(hit.rule),
                tables: &self.tables,
                events: &NoEventTables,
            };
            let Verdict::Fires(mut found) = lookups.judge(&fact, &mut |_, _| {}) else {
                continue;
            };
            found.records.extend(finding.evidence.iter().cloned());
            facts.insert(hit.rule, (Arc::new(fact), Arc::new(found)));
        }
        facts
    }

    /// When the record that completed a finding was received; of an absence, its deadline.
    fn raised_at(&self, finding: &Finding, policy: Option<PolicyIndex>) -> Millis {
        let uid: Arc<str> = finding.uid.as_str().into();
        let bucket = policy.and_then(|i| Some((i, self.buckets.get(&(i, uid.clone()))?)));
        let completed = bucket.and_then(|(policy, bucket)| {
            let (order, member) = bucket.members.first_key_value()?;
            self.completed_by(policy, order, member)
        });
        let alone = || self.raised.get(&uid).copied();
        completed.or_else(alone).unwrap_or(finding.time)
    }

    /// A finding says something else than before to a rule.
    fn refeed(&mut self, rule: PolicyIndex, policy: &Policy, uid: &Arc<str>, now: Option<(Arc<Fact>, Arc<Found>)>) {
        let id = (rule, uid.clone());
        let before = self.fed.remove(&id);
        let row = key(Kind::Fed, self.state(rule), &[uid.as_bytes()]);
        match (before, now) {
            (None, None) => {}
            (Some(before), Some(now)) if before.0.time == now.0.time && before == now => {
                self.fed.insert(id, before);
            }
            (before, now) => {
                if let Some((fact, _)) = before {
                    self.remove(rule, &fact);
                    self.changes.delete(row.clone());
                }
                if let Some((fact, found)) = now {
                    self.keep_fed(id, policy, (fact.clone(), found.clone()));
                    let kept = SubjectRow {
                        fact: fact.write(),
                        told: Some(super::found::FoundRow::write(&found)),
                    };
                    self.changes.put_bytes(row, &kept);
                    self.add(rule, &fact, &found);
                }
            }
        }
    }

    /// Remembers an event that a finding is, until nothing will change the finding any more.
    fn keep_fed(&mut self, id: (PolicyIndex, Arc<str>), policy: &Policy, fed: (Arc<Fact>, Arc<Found>)) {
        let forget = self.kept_until(&fed.0, policy.lateness_ms, policy.wait_ms);
        self.timers.set(forget, Due::ForgetFed(id.0, id.1.clone()));
        self.fed.insert(id, fed);
    }

    /// As [`Self::keep_fed`], of what the state holds.
    pub(super) fn take_up_fed(&mut self, rule: PolicyIndex, fact: Arc<Fact>, found: Arc<Found>) {
        let policies = self.policies.clone();
        let id = (rule, fact.uid.clone());
        self.keep_fed(id, policies.get(rule), (fact, found));
    }

    pub(super) fn forget_fed(&mut self, rule: PolicyIndex, uid: &Arc<str>) {
        let id = (rule, uid.clone());
        let Some((fact, _)) = self.fed.get(&id) else { return };
        let policy = self.policies.get(rule);
        let due = self.kept_until(fact, policy.lateness_ms, policy.wait_ms);
        // A finding that was told anew since is kept for longer.
        if self.clock.now.is_none_or(|now| due <= now) {
            self.fed.remove(&id);
            self.changes.delete(key(Kind::Fed, self.state(rule), &[uid.as_bytes()]));
        }
    }
}
