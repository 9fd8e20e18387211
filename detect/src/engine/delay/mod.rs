//! How long records take to come, by source and sending system or host.
//!
//! Delays are of the receiving side: spans are of receive time, in ledger order, each judged when engine time has passed its end.
//! What is usual of a source is the median of all its records over the time before. A finding of the same key and bucket of
//! time that is told again has the evidence of all its spans.

mod sketch;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{Batch, Column, Coordinate, Field, Finding, LedgerIndex, Millis, TOPIC_DOCKET};
use serde::{Deserialize, Serialize};
use serde_json::json;

use self::sketch::Sketch;
use super::absence::text;
use super::bucket::{Bucket, Member, uid};
use super::plan::StateId;
use super::state::{Kind, key};
use super::timer::Due;
use super::{Detector, absence};
use crate::policy::{Body, Delay, Of, Policy, PolicyIndex};
use crate::reference::Found;
use crate::sigma::lower;

/// Records that one span keeps as evidence, and one finding.
const RECORDS_MAX: usize = 100;
const EVIDENCE_MAX: usize = 1_000;
/// Senders that are told apart; what comes of others is not judged.
const SENDERS_MAX: usize = 20_000;
/// What came later than that was brought in, not sent: it says nothing of a clock or of a way, milliseconds.
const DELAY_MS_MAX: i64 = 24 * 3_600_000;
/// What is usual is kept by hours.
const HOUR_MS: i64 = 3_600_000;
/// Records that a source must have sent before anything of it is usual.
const USUAL_RECORDS_MIN: u64 = 30;
/// Engine time within which it does not matter when a record came: spans begin and end with it, milliseconds.
pub(super) const UNIT_MS: i64 = 30_000;
/// The alias of what is known of the delay.
const ALIAS: &str = "delay";

/// A policy, a source and a sender, in lower case.
type SenderId = (PolicyIndex, Arc<str>, Arc<str>);

/// What is known of delays.
#[derive(Debug, Default)]
pub(super) struct Delays {
    spans: BTreeMap<(SenderId, Millis), Span>,
    /// Of each source, by hour of receipt.
    usual: BTreeMap<Arc<str>, BTreeMap<i64, Sketch>>,
    /// What was told last.
    told: BTreeMap<SenderId, Box<Finding>>,
    senders: BTreeSet<SenderId>,
    changed: BTreeSet<(SenderId, Millis)>,
    changed_usual: BTreeSet<(Arc<str>, i64)>,
    /// The ends of spans for which a timer is set.
    armed: BTreeSet<(PolicyIndex, Millis)>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Span {
    sketch: Sketch,
    records: Vec<Coordinate>,
}

/// A row of the state.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct DelayRow {
    source: Arc<str>,
    sender: Arc<str>,
    start: Millis,
    span: Option<Span>,
    told: Option<Box<Finding>>,
}

/// What is usual of a source in one hour, as the state has it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct UsualRow {
    source: Arc<str>,
    hour: i64,
    sketch: Sketch,
}

/// Fields that name the sender of an event: the first that has a value.
pub(super) fn sender_fields() -> [Field; 2] {
    [Field::ocsf("docket.system"), Field::ocsf("device.hostname")]
}

/// A row of a batch: its leaf, which batch, which row.
pub(super) type Arrival = (LedgerIndex, usize, usize);

impl Detector {
    /// The rows of batches in ledger order, where delays are watched.
    pub(super) fn arrivals(&self, batches: &[Batch]) -> Vec<Arrival> {
        if self.plan.delays.is_empty() {
            return Vec::new();
        }
        let rows = batches.iter().enumerate().filter(|(_, b)| *b.source != *TOPIC_DOCKET);
        let mut out: Vec<Arrival> = rows
            .flat_map(|(n, b)| b.rows.iter().enumerate().map(move |(row, r)| (r.index, n, row)))
            .filter(|(index, ..)| *index >= self.position)
            .collect();
        out.sort_unstable();
        out
    }

    /// How many of the rows are of records that come before engine time has passed this unit.
    pub(super) fn of_unit(&self, records: &[(LedgerIndex, Millis)], arrivals: &[Arrival], unit: i64) -> usize {
        let from = arrivals.first().map_or(LedgerIndex(0), |(index, ..)| *index);
        let from = records.partition_point(|(index, _)| *index < from);
        let later = |(_, at): &&(LedgerIndex, Millis)| at.0.div_euclid(UNIT_MS) > unit;
        let end = records[from..].iter().find(later).map(|(index, _)| *index);
        end.map_or(arrivals.len(), |end| {
            arrivals.partition_point(|(index, ..)| *index < end)
        })
    }

    /// Rows came that are of one unit of engine time, and it is now.
    pub(super) fn delayed(&mut self, batches: &[Batch], arrivals: &[Arrival]) {
        let Some(now) = self.clock.now else { return };
        let columns: Vec<[Option<&Column>; 2]> = batches
            .iter()
            .map(|batch| sender_fields().map(|f| batch.column(&f)))
            .collect();
        let mut groups: BTreeMap<(&str, &str), (Sketch, Vec<Coordinate>)> = BTreeMap::new();
        for (_, n, row) in arrivals {
            let place = &batches[*n].rows[*row];
            let delay_ms = place.received_at - place.time;
            if delay_ms.saturating_abs() > DELAY_MS_MAX {
                continue;
            }
            let named = columns[*n].iter().flatten();
            let sender = named
                .filter_map(|c| c.first(*row))
                .find(|v| !v.is_empty())
                .unwrap_or("");
            let (sketch, records) = groups.entry((&batches[*n].source, sender)).or_default();
            sketch.add(delay_ms);
            if records.len() < RECORDS_MAX {
                let id = batches[*n].uid(*row).split('#').next();
                records.extend(id.and_then(|id| id.parse::<Coordinate>().ok()));
            }
        }
        for ((source, sender), (sketch, records)) in groups {
            let (source, sender): (Arc<str>, Arc<str>) = (lower(source).into(), lower(sender).into());
            let hour = now.0.div_euclid(HOUR_MS);
            let hours = self.delays.usual.entry(source.clone()).or_default();
            hours.entry(hour).or_default().merge(&sketch);
            self.delays.changed_usual.insert((source.clone(), hour));
            for index in self.plan.delays.clone() {
                self.count_delays(index, &source, &sender, now, &sketch, &records);
            }
        }
    }

    fn count_delays(
        &mut self,
        index: PolicyIndex,
        source: &Arc<str>,
        sender: &Arc<str>,
        now: Millis,
        sketch: &Sketch,
        records: &[Coordinate],
    ) {
        let policies = self.policies.clone();
        let Body::Delay(delay) = &policies.get(index).body else {
            return;
        };
        let sender = match delay.of {
            Of::Sender => sender.clone(),
            Of::Source => "".into(),
        };
        let id: SenderId = (index, source.clone(), sender);
        if !self.delays.senders.contains(&id) {
            if self.delays.senders.len() >= SENDERS_MAX {
                return;
            }
            self.delays.senders.insert(id.clone());
        }
        let step = delay.over_ms / 2;
        let last = Millis(now.0.div_euclid(step) * step);
        for start in [last.plus_ms(-step), last] {
            let span = self.delays.spans.entry((id.clone(), start)).or_default();
            span.sketch.merge(sketch);
            let room = RECORDS_MAX.saturating_sub(span.records.len());
            span.records.extend(records.iter().take(room).cloned());
            self.delays.changed.insert((id.clone(), start));
            self.arm_delay(index, start.plus_ms(delay.over_ms));
        }
    }

    fn arm_delay(&mut self, index: PolicyIndex, end: Millis) {
        if self.delays.armed.insert((index, end)) {
            self.timers.set(end, Due::Delay(index, end));
        }
    }

    /// Spans of a policy are over.
    pub(super) fn delay_due(&mut self, index: PolicyIndex, end: Millis) {
        self.delays.armed.remove(&(index, end));
        let policies = self.policies.clone();
        let policy = policies.get(index);
        let Body::Delay(delay) = &policy.body else { return };
        let start = end.plus_ms(-delay.over_ms);
        let ids = self
            .delays
            .spans
            .keys()
            .filter(|((i, ..), at)| *i == index && *at == start);
        let ids: Vec<SenderId> = ids.map(|(id, _)| id.clone()).collect();
        if ids.is_empty() {
            return;
        }
        let asked = self.limits(index, delay, end);
        for id in ids {
            let Some(span) = self.delays.spans.remove(&(id.clone(), start)) else {
                continue;
            };
            self.delays.changed.remove(&(id.clone(), start));
            self.changes.delete(self.span_key(&id, start));
            let named = asked.get(&id.1).or_else(|| asked.get(""));
            if let (Some(limit), true) = (named, span.sketch.count() >= delay.at_least) {
                self.judge_delay(policy, &id, &span, limit, end);
            }
        }
        self.forget_usual(end);
    }

    /// The limits that the rows of a policy give at a moment, by source; of every source under an empty name.
    fn limits(&mut self, index: PolicyIndex, delay: &Delay, at: Millis) -> BTreeMap<Arc<str>, (i64, Found)> {
        let (mut out, mut gaps) = (BTreeMap::new(), Vec::new());
        let tables = &self.tables;
        absence::combine(
            &delay.each,
            tables,
            &absence::moment(tables, at),
            &mut |gap| gaps.push(gap),
            &mut |found| {
                let scope = absence::rows_only(&found.aliases, tables);
                let limit = text(&delay.more_than, &scope).and_then(|t| Delay::limit_ms(&t));
                let source = delay.source.as_ref().map_or(Some(String::new()), |s| text(s, &scope));
                let (Some(limit), Some(source)) = (limit, source) else {
                    return false;
                };
                let limit = (limit, found.clone());
                out.entry(Arc::from(lower(&source))).or_insert(limit);
                true
            },
        );
        gaps.into_iter().for_each(|gap| self.gap(index, gap));
        out
    }

    fn judge_delay(&mut self, policy: &Policy, id: &SenderId, span: &Span, limit: &(i64, Found), end: Millis) {
        let Body::Delay(delay) = &policy.body else { return };
        let (limit_ms, found) = (limit.0, &limit.1);
        let Some(is) = span.sketch.percentile(delay.percentile) else {
            return;
        };
        let usual = match delay.usual_ms {
            Some(within) => match self.usual(&id.1, end, within) {
                Some(usual) => Some(usual),
                None => return,
            },
            None => None,
        };
        let off = is.saturating_sub(usual.unwrap_or(0));
        // What the sketch rounds off is nobody's fault.
        let limit_with_margin = limit_ms + sketch::error_ms(is) + usual.map_or(0, sketch::error_ms);
        if (if usual.is_some() { off.saturating_abs() } else { off }) <= limit_with_margin {
            return;
        }
        let seconds = |ms: i64| {
            format!(
                "{}{}.{}",
                if ms < 0 { "-" } else { "" },
                ms.abs() / 1000,
                ms.abs() / 100 % 10
            )
        };
        let mut found = found.clone();
        let known = json!({
            "source": &*id.1,
            "sender": &*id.2,
            "delay_s": seconds(is),
            "usual_s": usual.map(seconds),
            "off_s": seconds(off.saturating_abs()),
            "direction": if off < 0 { "ahead" } else { "behind" },
            "limit_s": seconds(limit_ms),
            "records": span.sketch.count(),
        });
        found.aliases.insert(ALIAS.into(), Arc::new(known));
        let scope = absence::rows_only(&found.aliases, &self.tables);
        let own = format!("{}\n{}\n{}", id.1, id.2, end.0);
        let (bucket, group) = self.bucket_of(id.0, policy, &scope, end, &own);
        let since = end.plus_ms(-delay.over_ms);
        let one = Bucket {
            group,
            members: [(
                (end, uid(&policy.reference.id, &[&own])),
                Member::Silent(Arc::new(found), Some(since)),
            )]
            .into(),
            ..Bucket::default()
        };
        let Some(mut finding) = self.finding(&bucket, &one) else {
            return;
        };
        finding.evidence = span.records.clone();
        if let Some(before) = self.delays.told.get(id).filter(|t| t.uid == finding.uid) {
            finding.time = before.time;
            finding.first_seen = before.first_seen.min(finding.first_seen);
            finding.evidence.extend(before.evidence.iter().cloned());
        }
        finding.evidence.sort();
        finding.evidence.dedup();
        finding.evidence.truncate(EVIDENCE_MAX);
        self.delays.told.insert(id.clone(), Box::new(finding.clone()));
        let row = DelayRow {
            source: id.1.clone(),
            sender: id.2.clone(),
            start: Millis(0),
            span: None,
            told: Some(Box::new(finding.clone())),
        };
        self.changes.put(self.told_key(id), &row);
        if policy.reports {
            self.tell_alone(finding);
        }
    }

    /// The median of a source's records received within so long before; `None` while too few are known.
    fn usual(&self, source: &Arc<str>, at: Millis, within_ms: i64) -> Option<i64> {
        let from = at.plus_ms(-within_ms).0.div_euclid(HOUR_MS);
        let mut all = Sketch::default();
        for (_, sketch) in self.delays.usual.get(source)?.range(from..) {
            all.merge(sketch);
        }
        (all.count() >= USUAL_RECORDS_MIN).then(|| all.percentile(50))?
    }

    /// Hours that nobody asks for any more are forgotten.
    fn forget_usual(&mut self, now: Millis) {
        let keep = self
            .plan
            .delays
            .iter()
            .filter_map(|i| match &self.policies.get(*i).body {
                Body::Delay(delay) => delay.usual_ms,
                _ => None,
            });
        let from = now.plus_ms(-keep.max().unwrap_or(HOUR_MS)).0.div_euclid(HOUR_MS);
        for (source, hours) in &mut self.delays.usual {
            while let Some(oldest) = hours.first_entry().filter(|e| *e.key() < from) {
                self.changes.delete(usual_key(source, *oldest.key()));
                self.delays.changed_usual.remove(&(source.clone(), *oldest.key()));
                oldest.remove();
            }
        }
        self.delays.usual.retain(|_, hours| !hours.is_empty());
    }

    /// Writes what came since the last time.
    pub(super) fn write_delays(&mut self) {
        for (id, start) in std::mem::take(&mut self.delays.changed) {
            if let Some(span) = self.delays.spans.get(&(id.clone(), start)) {
                let row = DelayRow {
                    source: id.1.clone(),
                    sender: id.2.clone(),
                    start,
                    span: Some(span.clone()),
                    told: None,
                };
                self.changes.put(self.span_key(&id, start), &row);
            }
        }
        for (source, hour) in std::mem::take(&mut self.delays.changed_usual) {
            if let Some(sketch) = self.delays.usual.get(&source).and_then(|h| h.get(&hour)) {
                let row = UsualRow {
                    source: source.clone(),
                    hour,
                    sketch: sketch.clone(),
                };
                self.changes.put(usual_key(&source, hour), &row);
            }
        }
    }

    fn span_key(&self, id: &SenderId, start: Millis) -> Vec<u8> {
        let start = start.0.to_be_bytes();
        key(
            Kind::Delay,
            self.state(id.0),
            &[id.1.as_bytes(), id.2.as_bytes(), &start],
        )
    }

    fn told_key(&self, id: &SenderId) -> Vec<u8> {
        key(Kind::Delay, self.state(id.0), &[id.1.as_bytes(), id.2.as_bytes()])
    }

    pub(super) fn take_up_delay(&mut self, index: PolicyIndex, row: DelayRow) {
        let policies = self.policies.clone();
        let Body::Delay(delay) = &policies.get(index).body else {
            return;
        };
        let id: SenderId = (index, row.source, row.sender);
        self.delays.senders.insert(id.clone());
        if let Some(span) = row.span {
            self.delays.spans.insert((id.clone(), row.start), span);
            self.arm_delay(index, row.start.plus_ms(delay.over_ms));
        }
        if let Some(told) = row.told {
            self.delays.told.insert(id, told);
        }
    }

    pub(super) fn take_up_usual(&mut self, row: UsualRow) {
        self.delays
            .usual
            .entry(row.source)
            .or_default()
            .insert(row.hour, row.sketch);
    }
}

fn usual_key(source: &str, hour: i64) -> Vec<u8> {
    key(Kind::Usual, StateId(0), &[source.as_bytes(), &hour.to_be_bytes()])
}
