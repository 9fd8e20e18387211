//! How policies feed each other, and what has to be kept of their events.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use model::{Namespace, Wanted};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::context;
use super::delay::delay_fields;
use super::fact::Captured;
use super::fed::Readers;
use super::feed::only_feeds;
use super::references::{each_of_lookups, each_reference};
use crate::policy::{
    Anew, Body, Correlation, EventField, Expect, Lookup, Op, Opens, Policies, Policy, PolicyIndex, Portion, Reference,
    Root, Subject, Value,
};

/// A policy in one version, as the state names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct StateId(pub u64);

/// Default of `wait`, milliseconds: a policy with another value asks for its joins to be judged later.
const WAIT_DEFAULT_MS: i64 = 60_000;

/// What takes the events of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Consumer {
    /// A correlation, as its feeder of this index.
    Correlation(PolicyIndex, usize),
    /// An absence, as what it expects: index into `expect`.
    Expected(PolicyIndex),
    /// An absence, as what opens it.
    After(PolicyIndex),
}

/// What the engine knows of one policy.
#[derive(Debug)]
pub(super) struct Node {
    pub state: StateId,
    /// Who takes its events, in policy order.
    pub consumers: Vec<Consumer>,
    /// Its joins are judged again when rows come in, or are judged later.
    pub deferred: bool,
    /// Its events contend for rows (`claim`): how far apart in time those are that may want the same, in milliseconds.
    pub contends_ms: Option<i64>,
    /// `wait` was given: a join that expects no row is judged later, also with a reference table.
    pub waits: bool,
    /// A finding of it may turn out not to hold.
    pub withdrawable: bool,
    /// What a correlation or an absence takes of others is never taken back; of an absence what is expected.
    pub takes_for_good: bool,
    /// Lookups of other rules that read the table this rule keeps: rule, step, key columns.
    pub readers: Vec<(PolicyIndex, usize, Vec<Arc<str>>)>,
    /// It takes part in a circle, and cannot run.
    pub circular: bool,
    /// Its events do nothing but feed correlations.
    pub only_feeds: bool,
    /// It is a correlation of correlations.
    pub chained: bool,
    /// The correlations that take its events, and those that take theirs; what they tell, they tell of its events.
    pub downstream: BTreeSet<PolicyIndex>,
    /// What the parts of the key of its findings are called.
    pub key_names: Vec<String>,
    /// How far back they look from what they tell, all together, in milliseconds.
    pub reach_ms: i64,
}

/// The graph of the policies.
#[derive(Debug)]
pub(super) struct Plan {
    pub nodes: Vec<Node>,
    /// What is kept of the events of each rule.
    pub captured: BTreeMap<PolicyIndex, Arc<Captured>>,
    pub by_state: BTreeMap<StateId, PolicyIndex>,
    /// Rules by the state of what they have seen, which outlives the rule's versions.
    pub by_habit: BTreeMap<StateId, PolicyIndex>,
    pub captured_by_state: BTreeMap<StateId, Arc<Captured>>,
    /// Policies that watch delays.
    pub delays: Vec<PolicyIndex>,
    /// Rules that are counted beside all events of their source.
    pub portions: Vec<(PolicyIndex, Portion)>,
    /// Which policies read findings.
    pub readers: Readers,
    /// Some policy learns the cadences of sources.
    pub learns: bool,
}

/// Fields that tell who did it, where a policy does not say.
pub(super) fn default_fields() -> &'static [EventField; 4] {
    static FIELDS: LazyLock<[EventField; 4]> = LazyLock::new(|| {
        ["actor.user.name", "user.name", "docket.system", "actor.user.uid"].map(|p| EventField::new(Namespace::Ocsf, p))
    });
    &FIELDS
}

/// The source of an event.
pub(super) fn source_field() -> &'static EventField {
    static FIELD: LazyLock<EventField> = LazyLock::new(|| EventField::new(Namespace::Ocsf, "docket.source"));
    &FIELD
}

fn key_name(reference: &Reference) -> String {
    let name = reference.to_string();
    name.strip_prefix("event.").unwrap_or(&name).to_owned()
}

impl Plan {
    pub fn new(policies: &Policies) -> Plan {
        let (order, circular) = order(policies);
        let mut nodes: Vec<Node> = policies
            .iter()
            .map(|(i, p)| Node {
                state: StateId(0),
                consumers: Vec::new(),
                deferred: deferred(p),
                contends_ms: contends_ms(policies, p),
                waits: p.rule().is_some_and(|r| r.lookups.iter().any(|l| waits(p, l))),
                withdrawable: false,
                takes_for_good: false,
                readers: Vec::new(),
                circular: circular.contains(&i),
                chained: match &p.body {
                    Body::Correlation(c) => {
                        let is = |f: &crate::policy::Feeder| policies.get(f.policy).rule().is_none();
                        c.feeders.iter().any(is)
                    }
                    _ => false,
                },
                only_feeds: false,
                downstream: BTreeSet::new(),
                key_names: p.dedup.iter().flat_map(|d| &d.by).map(key_name).collect(),
                reach_ms: 0,
            })
            .collect();
        for i in &order {
            let policy = policies.get(*i);
            let sources = sources(policy);
            let upstream: Vec<StateId> = sources.iter().map(|s| nodes[s.0 as usize].state).collect();
            let node = &mut nodes[i.0 as usize];
            node.state = state_id(policy, &upstream);
            let negative = match &policy.body {
                Body::Rule(rule) => {
                    node.deferred
                        || rule.novelty.is_some()
                        || rule.sequence.is_some()
                        || rule.portion.is_some()
                        || rule.sigma.reads_findings()
                }
                Body::Correlation(c) => !c.is_monotone(),
                Body::Absence(_) => true,
                // A record that comes later ends the silence; it does not undo it.
                Body::Silence(_) | Body::Delay(_) => false,
            };
            let withdrawable = negative || sources.iter().any(|s| nodes[s.0 as usize].withdrawable);
            let is_for_good = |p: &PolicyIndex| !nodes[p.0 as usize].withdrawable;
            let takes_for_good = match &policy.body {
                Body::Absence(a) => a.expect.iter().all(|(_, p)| is_for_good(p)),
                Body::Correlation(_) => sources.iter().all(is_for_good),
                Body::Rule(_) | Body::Silence(_) | Body::Delay(_) => false,
            };
            let node = &mut nodes[i.0 as usize];
            (node.withdrawable, node.takes_for_good) = (withdrawable, takes_for_good);
            for (source, consumer) in consumes(*i, policy) {
                nodes[source.0 as usize].consumers.push(consumer);
            }
            for (step, lookup) in policy.rule().map_or(&[][..], |r| &r.lookups).iter().enumerate() {
                if let Some(table) = lookup.event_table {
                    let columns = lookup.key.iter().map(|(c, _)| c.clone()).collect();
                    nodes[table.0 as usize].readers.push((*i, step, columns));
                }
            }
        }
        for ((_, policy), node) in policies.iter().zip(&mut nodes) {
            node.consumers.sort();
            node.only_feeds = only_feeds(policies, policy, node);
        }
        for i in order.iter().rev() {
            let (mut downstream, mut reach_ms) = (BTreeSet::new(), 0);
            for consumer in &nodes[i.0 as usize].consumers {
                if let Consumer::Correlation(next, _) = consumer
                    && let Body::Correlation(c) = &policies.get(*next).body
                {
                    let node = &nodes[next.0 as usize];
                    downstream.insert(*next);
                    downstream.extend(&node.downstream);
                    reach_ms = reach_ms.max(looks_back_ms(policies.get(*next), c).saturating_add(node.reach_ms));
                }
            }
            let node = &mut nodes[i.0 as usize];
            (node.downstream, node.reach_ms) = (downstream, reach_ms);
        }
        let captured = captured(policies, &nodes, &order);
        let with_sources: Vec<_> = order.iter().map(|i| (*i, sources(policies.get(*i)))).collect();
        let mut plan = Plan {
            delays: policies
                .iter()
                .filter(|(_, p)| matches!(p.body, Body::Delay(_)))
                .map(|(i, _)| i)
                .collect(),
            portions: policies
                .iter()
                .filter_map(|(i, p)| Some((i, p.rule()?.portion?)))
                .collect(),
            readers: Readers::new(policies, &with_sources),
            by_habit: policies.iter().filter_map(|(i, p)| Some((habit_id(p)?, i))).collect(),
            by_state: policies.iter().map(|(i, _)| (nodes[i.0 as usize].state, i)).collect(),
            captured_by_state: captured.values().map(|c| (c.rule, c.clone())).collect(),
            captured,
            nodes,
            learns: policies
                .iter()
                .any(|(_, p)| matches!(&p.body, Body::Silence(s) if s.learn.is_some())),
        };
        let wanted = Readers::want(policies, &plan);
        plan.readers.set_wanted(wanted);
        plan
    }

    pub fn node(&self, policy: PolicyIndex) -> &Node {
        &self.nodes[policy.0 as usize]
    }

    /// Columns of all facts.
    pub fn wanted(&self) -> Wanted {
        let mut wanted: Wanted = self.captured.values().flat_map(|c| c.columns().cloned()).collect();
        if !self.delays.is_empty() {
            wanted.extend(delay_fields());
        }
        wanted
    }
}

/// How far back a finding of a correlation looks from the last of its events, in milliseconds.
pub(super) fn looks_back_ms(policy: &Policy, c: &Correlation) -> i64 {
    c.looks_back_ms()
        .saturating_add(c.completes_after_ms())
        .saturating_add(policy.dedup.as_ref().map_or(0, |d| d.window_ms))
}

/// Two documents may be the same to the letter; the loader refuses that, and here the later one wins.
fn state_id(policy: &Policy, upstream: &[StateId]) -> StateId {
    let mut hash = Sha256::new();
    for part in [&policy.reference.id, &policy.reference.version] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    upstream.iter().for_each(|s| hash.update(s.0.to_be_bytes()));
    let digest = hash.finalize();
    StateId(u64::from_be_bytes(
        digest[..8].try_into().expect("SHA-256 has 32 bytes"),
    ))
}

/// Names what a rule has seen: by its id and by what it takes for new, so that another message does not make everybody
/// a stranger.
pub(super) fn habit_id(policy: &Policy) -> Option<StateId> {
    let novelty = policy.rule()?.novelty.as_ref()?;
    let mut hash = Sha256::new();
    let mut part = |text: &str| {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    };
    part(&policy.reference.id);
    novelty.key.iter().for_each(|r| part(&r.to_string()));
    part("");
    novelty.value.iter().for_each(|r| part(&r.to_string()));
    let digest = hash.finalize();
    Some(StateId(u64::from_be_bytes(
        digest[..8].try_into().expect("SHA-256 has 32 bytes"),
    )))
}

/// Whether a join with a reference table is judged later, because the policy says how long to wait.
fn waits(policy: &Policy, lookup: &Lookup) -> bool {
    lookup.expect == Expect::None && lookup.event_table.is_none() && policy.wait_ms != WAIT_DEFAULT_MS
}

fn deferred(policy: &Policy) -> bool {
    policy.rule().is_some_and(|r| {
        // What was seen is remembered as it comes.
        r.novelty.is_none()
            && r.sequence.is_none()
            && r.portion.is_none()
            && r.lookups.iter().any(|l| l.event_table.is_some() || waits(policy, l))
    })
}

/// How far apart in time events are that may claim the same row: as its joins say (`time|gte: $event.time - 60s`), else
/// as long as rows are kept.
fn contends_ms(policies: &Policies, policy: &Policy) -> Option<i64> {
    let lookups = &policy.rule()?.lookups;
    let claims = lookups.iter().filter(|l| l.claim.is_some()).map(|lookup| {
        let (mut furthest, mut bounded) = (0, false);
        lookup.condition.for_each_test(&mut |test| {
            let (Op::Lt(values) | Op::Lte(values) | Op::Gt(values) | Op::Gte(values)) = &test.op else {
                return;
            };
            for value in values {
                if let (Subject::Column(column), Value::Reference(r)) = (&test.subject, value)
                    && (&**column, &r.root) == ("time", &Root::EventTime)
                {
                    bounded = true;
                    furthest = furthest.max(r.offset_ms.saturating_abs());
                }
            }
        });
        let kept = || {
            policies
                .get(lookup.event_table?)
                .rule()?
                .table
                .as_ref()
                .map(|t| t.keep_ms)
        };
        if bounded {
            furthest.saturating_mul(2)
        } else {
            kept().unwrap_or(0)
        }
    });
    claims.max()
}

/// The policies whose events `policy` takes, once each.
pub(super) fn sources(policy: &Policy) -> BTreeSet<PolicyIndex> {
    let tables = |lookups: &[Lookup]| lookups.iter().filter_map(|l| l.event_table).collect::<Vec<_>>();
    match &policy.body {
        Body::Rule(rule) => tables(&rule.lookups).into_iter().collect(),
        Body::Correlation(c) => c.feeders.iter().map(|f| f.policy).collect(),
        Body::Absence(a) => {
            let opens = match &a.opens {
                Opens::Each(lookups) => tables(lookups),
                Opens::After(policy) => vec![*policy],
            };
            a.expect.iter().map(|(_, p)| *p).chain(opens).collect()
        }
        Body::Silence(s) => {
            let anew = s.anew.iter().map(|a| a.rule);
            tables(&s.each).into_iter().chain(anew).collect()
        }
        Body::Delay(d) => tables(&d.each).into_iter().collect(),
    }
}

/// What makes the clocks of silences begin anew, with the silence's policy.
pub(super) fn anew(policies: &Policies) -> impl Iterator<Item = (PolicyIndex, &Anew)> {
    policies.iter().flat_map(|(i, policy)| match &policy.body {
        Body::Silence(silence) => silence.anew.iter().map(|a| (i, a)).collect::<Vec<_>>(),
        _ => Vec::new(),
    })
}

fn consumes(i: PolicyIndex, policy: &Policy) -> Vec<(PolicyIndex, Consumer)> {
    match &policy.body {
        Body::Rule(_) | Body::Silence(_) | Body::Delay(_) => vec![],
        Body::Correlation(c) => c
            .feeders
            .iter()
            .enumerate()
            .map(|(n, f)| (f.policy, Consumer::Correlation(i, n)))
            .collect(),
        Body::Absence(a) => {
            let expected: BTreeSet<PolicyIndex> = a.expect.iter().map(|(_, p)| *p).collect();
            let mut out: Vec<_> = expected.into_iter().map(|p| (p, Consumer::Expected(i))).collect();
            if let Opens::After(after) = &a.opens {
                out.push((*after, Consumer::After(i)));
            }
            out
        }
    }
}

/// The policies so that each stands after those it takes events of; and those of circles, which stand nowhere.
fn order(policies: &Policies) -> (Vec<PolicyIndex>, BTreeSet<PolicyIndex>) {
    let mut waiting: BTreeMap<PolicyIndex, BTreeSet<PolicyIndex>> =
        policies.iter().map(|(i, p)| (i, sources(p))).collect();
    let mut takers: BTreeMap<PolicyIndex, Vec<PolicyIndex>> = BTreeMap::new();
    for (i, sources) in &waiting {
        sources.iter().for_each(|s| takers.entry(*s).or_default().push(*i));
    }
    let mut ready: BTreeSet<PolicyIndex> = waiting.iter().filter(|(_, s)| s.is_empty()).map(|(i, _)| *i).collect();
    let mut order = Vec::new();
    while let Some(i) = ready.pop_first() {
        order.push(i);
        waiting.remove(&i);
        for taker in takers.get(&i).into_iter().flatten() {
            if let Some(sources) = waiting.get_mut(taker) {
                sources.remove(&i);
                if sources.is_empty() {
                    ready.insert(*taker);
                }
            }
        }
    }
    (order, waiting.into_keys().collect())
}

/// What has to be kept of each rule's events: what it reads itself, and what all that take its events read.
fn captured(policies: &Policies, nodes: &[Node], order: &[PolicyIndex]) -> BTreeMap<PolicyIndex, Arc<Captured>> {
    let mut needs: BTreeMap<PolicyIndex, BTreeSet<EventField>> = BTreeMap::new();
    let mut sources: BTreeMap<PolicyIndex, BTreeSet<EventField>> = BTreeMap::new();
    for (_, anew) in anew(policies) {
        sources.entry(anew.rule).or_default().extend(anew.source.clone());
    }
    for i in order.iter().rev() {
        let policy = policies.get(*i);
        let mut need: BTreeSet<EventField> = default_fields().clone().into();
        need.extend(sources.remove(i).unwrap_or_default());
        if policy.rule().is_some_and(|rule| rule.portion.is_some()) {
            need.insert(source_field().clone());
        }
        each_reference(policy, &mut |reference| {
            if let Root::Event(field) = &reference.root {
                need.insert(field.clone());
            }
        });
        for consumer in &nodes[i.0 as usize].consumers {
            match consumer {
                Consumer::Correlation(c, feeder) => {
                    need.extend(needs.get(c).into_iter().flatten().cloned());
                    if let Body::Correlation(correlation) = &policies.get(*c).body {
                        let feeder = &correlation.feeders[*feeder];
                        need.extend(
                            feeder
                                .group_by
                                .iter()
                                .chain(&feeder.fields)
                                .chain(feeder.aliases.values())
                                .cloned(),
                        );
                    }
                }
                Consumer::Expected(a) => {
                    if let Body::Absence(absence) = &policies.get(*a).body {
                        need.extend(absence.matching.iter().map(|(field, _)| field.clone()));
                    }
                }
                Consumer::After(a) => need.extend(needs.get(a).into_iter().flatten().cloned()),
            }
        }
        needs.insert(*i, need);
    }
    let rules = order.iter().filter_map(|i| Some((*i, policies.get(*i).rule()?)));
    rules
        .map(|(i, rule)| {
            let need = needs.remove(&i).unwrap_or_default();
            // A correlation names fields as its first rule does; the others have them in their own names.
            let own: Vec<EventField> = need.iter().map(|f| EventField::new(rule.namespace, &f.path)).collect();
            let mut asked = Vec::new();
            each_of_lookups(&rule.lookups, &mut |reference| {
                if let Root::Event(field) = &reference.root {
                    asked.push(field);
                }
            });
            let state = nodes[i.0 as usize].state;
            let captured = Captured::new(state, rule.namespace, need.into_iter().chain(own)).asking(asked.into_iter());
            let reports = policies.get(i).reports;
            let around = context::fields().iter().filter(|_| reports);
            (i, Arc::new(captured.and(around)))
        })
        .collect()
}
