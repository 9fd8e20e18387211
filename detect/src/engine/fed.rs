//! Findings as events: what rules of `logsource: {product: docket, category: finding}` read.
//!
//! Every finding is an event of its own: of what it says now, in place of what it said before, at the end of each call, before
//! anything of the policies that take such events is due, and before the event would be forgotten; a finding that was resolved is an
//! event no more. The event's uid is the finding's, its time the finding's, its evidence
//! the finding's evidence. So a correlation over findings is, like every other, a function of the set of what holds,
//! whatever the order in which it came to hold. Findings of policies that read findings, or take events of those that do, are no
//! events: nothing goes round in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foldhash::HashMap;
use model::{
    Batch, EXISTS, Field, Finding, FindingKind, FindingStatus, LogSource, Millis, Namespace, PlainEvent, Severity,
    Wanted,
};
use serde_json::{Map, Value, json};

use super::Detector;
use super::bucket::{BucketId, Member};
use super::fact::Fact;
use super::plan::Plan;
use super::state::Item;
use super::timer::Due;
use crate::policy::{Policies, Policy, PolicyIndex};
use crate::reference::{Found, Lookups, NoEventTables, Verdict};
use crate::sigma::FINDINGS;

/// The source of the events, as batches name it.
const SOURCE: &str = "docket";
/// Findings whose events would be forgotten already are events when engine time leaves such a span, milliseconds.
const UNIT_MS: i64 = 30_000;

/// The events that findings are, by rule and uid, with the records that are their evidence.
pub(super) type Fed = HashMap<(PolicyIndex, Arc<str>), (Arc<Fact>, Arc<Found>)>;

/// The events that some findings are: by which of them, and by rule.
type Facts = HashMap<(usize, PolicyIndex), (Arc<Fact>, Arc<Found>)>;

/// Which policies read findings, and what they want of them.
#[derive(Debug, Default)]
pub(super) struct Readers {
    rules: BTreeSet<PolicyIndex>,
    /// Policies whose findings are no events.
    derived: BTreeSet<PolicyIndex>,
    by_id: BTreeMap<String, PolicyIndex>,
    /// For how long at least what the derived policies are told is kept after it was received, milliseconds.
    kept_ms: i64,
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
            kept_ms: derived.iter().map(|i| policies.get(*i).lateness_ms).min().unwrap_or(0),
            derived,
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

    fn is_derived(&self, finding: &Finding) -> bool {
        let policy = self.by_id.get(&finding.policy.id);
        policy.is_some_and(|policy| self.derived.contains(policy))
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

/// The roots of OCSF paths under which findings have something, beside `actor`.
const ROOTS: [&str; 14] = [
    "*",
    "activity_id",
    "category_uid",
    "class_uid",
    "type_uid",
    "time",
    "severity_id",
    "severity",
    "status_id",
    "message",
    "metadata",
    "finding_info",
    "compliance",
    "enrichments",
];

/// What rules read of findings.
#[derive(Debug, Default)]
struct Reads<'a> {
    native: BTreeSet<&'a str>,
    /// More of the OCSF event than its actor.
    ocsf: bool,
}

impl<'a> Reads<'a> {
    fn of(wanted: &'a Wanted) -> Reads<'a> {
        let mut reads = Reads::default();
        for field in wanted {
            let path = field.path.strip_suffix(EXISTS).unwrap_or(&field.path);
            let root = path.split_once('.').map_or(path, |(root, _)| root);
            match field.namespace {
                Namespace::Ocsf => reads.ocsf |= ROOTS.contains(&root),
                Namespace::Native => drop(reads.native.insert(root)),
            }
        }
        reads
    }

    fn native(&self, name: &str) -> bool {
        self.native.contains(name) || self.native.contains("*")
    }
}

/// Where OCSF has a finding.
fn class_uid(finding: &Finding) -> u32 {
    match finding.kind {
        FindingKind::Detection | FindingKind::Incident => 2004,
        FindingKind::Compliance => 2003,
    }
}

/// A finding as an event, as far as it is read.
fn event(finding: &Finding, policy: Option<&Policy>, reads: &Reads<'_>) -> PlainEvent {
    let assets = || -> BTreeSet<&str> {
        let rows = finding.rows.iter().filter(|row| row.table == "asset_register");
        rows.filter_map(|row| row.row.get("asset_id")?.as_str()).collect()
    };
    let mut native = Map::new();
    let mut put = |name: &str, value: &dyn Fn() -> Value| {
        if reads.native(name) {
            let value = value();
            if !value.is_null() {
                native.insert(name.to_owned(), value);
            }
        }
    };
    put("uid", &|| json!(finding.uid));
    put("policy", &|| json!(policy.and_then(|p| p.name.as_deref())));
    put("title", &|| json!(finding.policy.title));
    put("clauses", &|| json!(finding.clauses));
    put("tags", &|| json!(finding.tags));
    put("severity", &|| json!(finding.severity.name().to_lowercase()));
    put("severity_id", &|| json!(finding.severity.id()));
    put("score", &|| json!(score(finding.severity)));
    put("kind", &|| json!(finding.kind));
    put("account", &|| json!(finding.account));
    put("person", &|| json!(finding.person));
    put("assets", &|| json!(assets()));
    put("message", &|| json!(finding.message));
    let ocsf = match (reads.ocsf, finding.account.is_some() || finding.person.is_some()) {
        (true, _) => finding.to_ocsf().as_object().cloned().unwrap_or_default(),
        (false, false) => Map::new(),
        (false, true) => {
            let mut user = Map::new();
            user.extend(finding.account.iter().map(|a| ("name".to_owned(), json!(a))));
            user.extend(finding.person.iter().map(|p| ("uid".to_owned(), json!(p))));
            [("actor".to_owned(), json!({ "user": user }))].into_iter().collect()
        }
    };
    PlainEvent {
        uid: finding.uid.as_str().into(),
        class_uid: class_uid(finding),
        time: finding.time,
        ocsf,
        native,
        system: Some(SOURCE.into()),
        commands: Vec::new(),
        logsource: LogSource::new(FINDINGS.0, FINDINGS.1, ""),
    }
}

impl Detector {
    /// Notes that a finding is not what it was.
    pub(super) fn mark_unfed(&mut self, id: &BucketId) {
        if !self.standing.is_empty() {
            self.standing.remove(id);
        }
        let readers = &self.plan.readers;
        if readers.rules.is_empty() || readers.derived.contains(&id.0) {
            return;
        }
        let raised_at = self.buckets.get(id).and_then(|bucket| {
            let (order, member) = bucket.members.first()?;
            match member {
                Member::Silent(..) | Member::Missing(_) => Some(order.0),
                Member::Event(fact, _) => Some(fact.received_at),
                Member::Window(_) => self.completed_by(id.0, order, member),
            }
        });
        self.feed_until(raised_at);
        self.unfed.insert(id.clone());
    }

    /// What a finding says has to be told while its event would not be forgotten yet, or else when this span is over.
    fn feed_until(&mut self, raised_at: Option<Millis>) {
        let now = self.clock.now.unwrap_or(Millis::MIN);
        let span_of = |at: Millis| Millis(at.0.div_euclid(UNIT_MS).saturating_mul(UNIT_MS));
        let leaves = span_of(now).plus_ms(UNIT_MS);
        let kept = raised_at.map_or(leaves, |at| span_of(at.plus_ms(self.plan.readers.kept_ms)));
        let by = kept.max(leaves);
        self.feed_by = Some(self.feed_by.map_or(by, |b| b.min(by)));
    }

    /// Whether a finding is another than the event that it is.
    pub(super) fn has_unfed(&self) -> bool {
        !self.unfed.is_empty() || !self.unfed_alone.is_empty()
    }

    /// Makes events of findings as they stand, where what is due next (when, and of which policy) must find them made. Says whether there
    /// were any.
    pub(super) fn feed_before(&mut self, next: Millis, policy: Option<PolicyIndex>) -> bool {
        if !self.has_unfed() {
            return false;
        }
        let asks = policy.is_some_and(|policy| self.plan.readers.derived.contains(&policy));
        let feeds = asks || self.feed_by.is_none_or(|by| by <= next);
        if feeds {
            self.feed_findings(false);
        }
        feeds
    }

    /// Tells a finding that has no bucket, whose last record was received at `raised_at`: what is told of it, now and perhaps once more,
    /// is all.
    pub(super) fn tell_alone(&mut self, finding: Finding, raised_at: Millis) {
        let readers = &self.plan.readers;
        if !readers.rules.is_empty() && !readers.is_derived(&finding) {
            self.feed_until(Some(raised_at));
            self.unfed_alone.push(finding.clone());
        }
        self.ready.push(finding);
    }

    /// Makes events of the findings as they stand. `telling`: they are told next.
    pub(super) fn feed_findings(&mut self, telling: bool) {
        self.feed_by = None;
        let mut findings = std::mem::take(&mut self.unfed_alone);
        let alone = findings.len();
        let mut ids = Vec::new();
        for id in std::mem::take(&mut self.unfed) {
            if let Some(finding) = self.as_it_stands(&id) {
                findings.push(finding);
                ids.push(id);
            }
        }
        self.feed_all(&findings);
        if telling {
            self.standing.extend(ids.into_iter().zip(findings.drain(alone..)));
        }
    }

    /// As [`Self::feed_findings`], of one whose members may be forgotten after it was told.
    pub(super) fn feed_one(&mut self, id: &BucketId) {
        if self.unfed.remove(id) {
            let finding = self.as_it_stands(id);
            self.feed_all(finding.as_slice());
            self.standing.extend(finding.map(|finding| (id.clone(), finding)));
        }
    }

    /// A finding, or as it was before it lost its members.
    pub(super) fn as_it_stands(&mut self, id: &BucketId) -> Option<Finding> {
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
        let plan = self.plan.clone();
        let mut last: BTreeMap<(Millis, &str), &Finding> = BTreeMap::new();
        let mut times: HashMap<&str, Millis> = HashMap::default();
        for finding in told.iter().filter(|f| !plan.readers.is_derived(f)) {
            if let Some(before) = times.insert(&finding.uid, finding.time) {
                last.remove(&(before, finding.uid.as_str()));
            }
            last.insert((finding.time, &finding.uid), finding);
        }
        let findings: Vec<&Finding> = last.into_values().collect();
        let mut facts = self.facts_of(&findings, &policies);
        for (n, finding) in findings.into_iter().enumerate() {
            let uid: Arc<str> = finding.uid.as_str().into();
            for rule in &plan.readers.rules {
                self.refeed(*rule, policies.get(*rule), &uid, facts.remove(&(n, *rule)));
            }
        }
    }

    /// The rules that hold for findings, and what they keep of them.
    fn facts_of(&self, findings: &[&Finding], policies: &Policies) -> Facts {
        let readers = &self.plan.readers;
        let (reads, source) = (Reads::of(&readers.wanted), Arc::from(SOURCE));
        let mut facts = Facts::default();
        for class in [2003, 2004] {
            let stands = |f: &&Finding| f.status == FindingStatus::New && class_uid(f) == class;
            let events = findings.iter().enumerate().filter(|(_, f)| stands(f));
            let events: Vec<(usize, Millis, PlainEvent)> = events
                .map(|(n, finding)| {
                    let policy = readers.by_id.get(&finding.policy.id).copied();
                    let raised_at = self.raised_at(finding, policy);
                    (n, raised_at, event(finding, policy.map(|i| policies.get(i)), &reads))
                })
                .collect();
            let rows: Vec<_> = events
                .iter()
                .map(|(_, at, event)| (self.position, *at, event))
                .collect();
            let batch = Batch::plain(&source, &rows, &readers.wanted);
            for hit in self.rules.evaluate(&batch) {
                let (true, Some(captured)) = (
                    readers.contains(hit.rule) && !self.plan.node(hit.rule).circular,
                    self.plan.captured.get(&hit.rule),
                ) else {
                    continue;
                };
                let row = hit.row as usize;
                let places = captured.places(batch.places());
                let fact = captured.read(&batch, &places, row, batch.uid(row).into(), self.mask);
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
                let n = events[row].0;
                found.records.extend(findings[n].evidence.iter().cloned());
                facts.insert((n, hit.rule), (Arc::new(fact), Arc::new(found)));
            }
        }
        facts
    }

    /// When the record that completed a finding was received; of an absence, its deadline.
    fn raised_at(&self, finding: &Finding, policy: Option<PolicyIndex>) -> Millis {
        let uid: Arc<str> = finding.uid.as_str().into();
        let bucket = policy.and_then(|i| Some((i, self.buckets.get(&(i, uid.clone()))?)));
        let completed = bucket.and_then(|(policy, bucket)| {
            let (order, member) = bucket.members.first()?;
            self.completed_by(policy, order, member)
        });
        let alone = || self.raised.get(&uid).copied();
        completed.or_else(alone).unwrap_or(finding.time)
    }

    /// A finding says something else than before to a rule.
    fn refeed(&mut self, rule: PolicyIndex, policy: &Policy, uid: &Arc<str>, now: Option<(Arc<Fact>, Arc<Found>)>) {
        let id = (rule, uid.clone());
        let before = self.fed.remove(&id);
        match (before, now) {
            (None, None) => {}
            (Some(before), Some(now)) if before.0.time == now.0.time && before == now => {
                self.fed.insert(id, before);
            }
            (before, now) => {
                let fresh = before.is_none();
                if let Some((fact, found)) = before {
                    self.remove(rule, &fact, &found);
                }
                self.changes.touch(Item::Fed(rule, uid.clone()), fresh);
                if let Some((fact, found)) = now {
                    self.keep_fed(id, policy, (fact.clone(), found.clone()));
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
            self.changes.touch(Item::Fed(rule, uid.clone()), false);
        }
    }
}
