//! What part of a source's events a rule's events are, by spans of event time.
//!
//! A span counts all events of the source and those of the rule. When engine time has passed its end by the policy's `wait`, the first
//! of the rule's events goes on where they are too many; events that come later have the span judged again, as long after they came.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foldhash::HashMap;
use model::{Batch, LedgerIndex, Millis, TOPIC_DOCKET};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Detector;
use super::fact::{Fact, FactRow, Order};
use super::finding::told;
use super::found::FoundRow;
use super::plan::source_field;
use super::state::{Kind, key};
use super::timer::{Due, Timers};
use crate::policy::{PolicyIndex, Portion};
use crate::reference::{EventValues, Found, Item};

/// The alias of what is known of the part.
const ALIAS: &str = "portion";
/// Spans that are kept of one source: more times than that are nobody's clock.
const SPANS_MAX: usize = 1_000;
/// Events of the rule that are kept as evidence of a span.
const EVIDENCE_MAX: usize = 100;

/// A rule, a source, and where its span begins, milliseconds.
pub(super) type SpanId = (PolicyIndex, Arc<str>, i64);

/// What is counted.
#[derive(Debug, Default)]
pub(super) struct Portions {
    spans: HashMap<(PolicyIndex, Arc<str>), BTreeMap<i64, Span>>,
    /// Which changed since the last delta.
    changed: Vec<SpanId>,
}

#[derive(Debug, Default)]
struct Span {
    all: u64,
    part: u64,
    /// The first of the rule's events.
    held: Option<(Arc<Fact>, Arc<Found>)>,
    /// The first hundred.
    orders: BTreeSet<Order>,
    /// What the first one went on with.
    told: Option<Arc<Found>>,
    /// When it is judged next.
    armed: Option<Millis>,
    expires: Option<Millis>,
    is_changed: bool,
}

/// A span as the state has it.
#[derive(Serialize, Deserialize)]
pub(super) struct SpanRow {
    source: Arc<str>,
    start: i64,
    all: u64,
    part: u64,
    held: Option<(FactRow, FoundRow)>,
    orders: BTreeSet<Order>,
    told: Option<FoundRow>,
    armed: Option<Millis>,
    expires: Option<Millis>,
}

/// The rows of batches in ledger order: leaf, batch, row.
type Rows = Vec<(LedgerIndex, usize, usize)>;

impl Detector {
    /// The rows that are counted, in ledger order; none where nobody asks.
    pub(super) fn to_count(&self, batches: &[Batch]) -> Rows {
        if self.plan.portions.is_empty() {
            return Rows::new();
        }
        let ours = batches.iter().enumerate().filter(|(_, b)| *b.source != *TOPIC_DOCKET);
        let rows = ours.flat_map(|(n, b)| b.rows.iter().enumerate().map(move |(row, r)| (r.index, n, row)));
        let mut rows: Rows = rows.filter(|(index, ..)| *index >= self.position).collect();
        rows.sort();
        rows
    }

    /// An event of a source came, of whatever rule.
    pub(super) fn count(&mut self, batch: &Batch, row: usize) {
        let plan = self.plan.clone();
        let time = batch.rows[row].time;
        for (rule, portion) in &plan.portions {
            self.with_span((*rule, batch.source.clone(), portion.start(time.0)), portion, |span| {
                span.all += 1;
            });
        }
    }

    /// An event of a rule that is counted apart. It stands in the source's count already.
    pub(super) fn part(&mut self, rule: PolicyIndex, portion: &Portion, fact: &Arc<Fact>, found: &Arc<Found>) {
        let Some(source) = fact.values(source_field()).first().cloned() else {
            return;
        };
        let (order, mut before) = (fact.order(), None);
        self.with_span((rule, source, portion.start(fact.time.0)), portion, |span| {
            span.part += 1;
            if span.held.as_ref().is_none_or(|(first, _)| order < first.order()) {
                let held = span.held.replace((fact.clone(), found.clone()));
                before = held.zip(span.told.take());
            }
            span.orders.insert(order);
            if span.orders.len() > EVIDENCE_MAX {
                span.orders.pop_last();
            }
        });
        if let Some(((first, _), told)) = before {
            self.remove(rule, &first, &told);
        }
    }

    /// Changes a span, and sees to it that it is judged.
    fn with_span(&mut self, id: SpanId, portion: &Portion, change: impl FnOnce(&mut Span)) {
        let policy = self.policies.get(id.0);
        let (wait_ms, lateness_ms) = (policy.wait_ms, policy.lateness_ms);
        let end = Millis(id.2.saturating_add(portion.every_ms));
        let settled = self.clock.now.map_or(end, |now| now.max(end));
        let spans = self.portions.spans.entry((id.0, id.1.clone())).or_default();
        if spans.len() >= SPANS_MAX && !spans.contains_key(&id.2) {
            return;
        }
        let span = spans.entry(id.2).or_default();
        change(span);
        if span.armed.is_none() {
            let due = settled.plus_ms(wait_ms);
            span.armed = Some(due);
            self.timers.set(due, Due::Portion(id.0, id.1.clone(), id.2));
        }
        if span.expires.is_none() {
            let expires = Timers::forgotten(settled.plus_ms(lateness_ms).plus_ms(wait_ms));
            span.expires = Some(expires);
            self.timers.set(expires, Due::ForgetPortion(id.0, id.1.clone(), id.2));
        }
        if !span.is_changed {
            span.is_changed = true;
            self.portions.changed.push(id);
        }
    }

    /// A span is over, or events came to it since.
    pub(super) fn portion_due(&mut self, (rule, source, start): SpanId) {
        let policies = self.policies.clone();
        let Some(portion) = policies.get(rule).rule().and_then(|r| r.portion) else {
            return;
        };
        let spans = self.portions.spans.get_mut(&(rule, source.clone()));
        let Some(span) = spans.and_then(|spans| spans.get_mut(&start)) else {
            return;
        };
        span.armed = None;
        if !span.is_changed {
            span.is_changed = true;
            self.portions.changed.push((rule, source.clone(), start));
        }
        let Some((fact, found)) = span.held.clone() else { return };
        let new = portion
            .is_more(span.part, span.all)
            .then(|| breach(span, &source, (start, portion.every_ms), &found, self.tables.zone()));
        let was = std::mem::replace(&mut span.told, new.clone());
        match (was, new) {
            (None, Some(new)) => self.add(rule, &fact, &new),
            (Some(was), None) => self.remove(rule, &fact, &was),
            (Some(was), Some(new)) if was != new => self.replace(rule, &fact, &was, &new),
            _ => {}
        }
    }

    /// Nothing is told anew of a span any more.
    pub(super) fn forget_portion(&mut self, (rule, source, start): SpanId) {
        let id = (rule, source);
        let Some(spans) = self.portions.spans.get_mut(&id) else {
            return;
        };
        spans.remove(&start);
        if spans.is_empty() {
            self.portions.spans.remove(&id);
        }
        self.changes.delete(self.portion_key(&(id.0, id.1, start)));
    }

    /// Writes what changed since the last delta.
    pub(super) fn write_portions(&mut self) {
        for id in std::mem::take(&mut self.portions.changed) {
            let spans = self.portions.spans.get_mut(&(id.0, id.1.clone()));
            let Some(span) = spans.and_then(|spans| spans.get_mut(&id.2)) else {
                continue;
            };
            span.is_changed = false;
            let row = SpanRow {
                source: id.1.clone(),
                start: id.2,
                all: span.all,
                part: span.part,
                held: span
                    .held
                    .as_ref()
                    .map(|(fact, found)| (fact.write(), FoundRow::write(found))),
                orders: span.orders.clone(),
                told: span.told.as_deref().map(FoundRow::write),
                armed: span.armed,
                expires: span.expires,
            };
            self.changes.put(self.portion_key(&id), &row);
        }
    }

    pub(super) fn take_up_portion(&mut self, rule: PolicyIndex, row: SpanRow) {
        let held = row.held.and_then(|(fact, found)| {
            let fact = fact.read(&self.plan.captured_by_state)?;
            Some((fact, found.read()))
        });
        let span = Span {
            all: row.all,
            part: row.part,
            told: row.told.filter(|_| held.is_some()).map(FoundRow::read),
            held,
            orders: row.orders,
            armed: row.armed,
            expires: row.expires,
            is_changed: false,
        };
        let id = (rule, row.source, row.start);
        for (at, due) in [
            (span.armed, Due::Portion(id.0, id.1.clone(), id.2)),
            (span.expires, Due::ForgetPortion(id.0, id.1.clone(), id.2)),
        ] {
            at.into_iter().for_each(|at| self.timers.set(at, due.clone()));
        }
        self.portions.spans.entry((id.0, id.1)).or_default().insert(id.2, span);
    }

    fn portion_key(&self, id: &SpanId) -> Vec<u8> {
        key(Kind::Portion, self.state(id.0), &[id.1.as_bytes(), &id.2.to_be_bytes()])
    }
}

/// What the first event of a span goes on with.
fn breach(
    span: &Span,
    source: &str,
    (start, every_ms): (i64, i64),
    found: &Found,
    zone: &jiff::tz::TimeZone,
) -> Arc<Found> {
    let hundredths = u128::from(span.part) * 10_000 / u128::from(span.all.max(1));
    let moment = |ms: i64| told(&Item::Time(Millis(ms)), zone);
    let known = json!({
        "source": source,
        "part": span.part,
        "all": span.all,
        "percent": format!("{}.{:02}", hundredths / 100, hundredths % 100),
        "from": moment(start),
        "to": moment(start.saturating_add(every_ms)),
    });
    let mut found = found.clone();
    found.aliases.insert(ALIAS.into(), Arc::new(known));
    let ids = span.orders.iter().skip(1).filter_map(|(_, uid)| uid.split('#').next());
    found.records.extend(ids.filter_map(|id| id.parse().ok()));
    Arc::new(found)
}
