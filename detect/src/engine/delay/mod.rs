//! How long records take to come, by source and sending system or host.
//!
//! Delays are of the receiving side: spans are of receive time, in ledger order, each judged when engine time has passed its end.
//! What is usual of a source is the median of all its records over the time before. A finding of the same key and bucket of
//! time that is told again has the evidence of all its spans.

//!
//! What comes is only noted; it is counted when spans of so many records are judged, and at the end of a call what is still open then.

mod arrival;
mod sketch;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foldhash::{HashMap, HashSet};
use model::{Coordinate, Field, Finding, Millis};
use serde::{Deserialize, Serialize};
use serde_json::json;

use self::arrival::Fresh;
pub(super) use self::arrival::senders;
use self::sketch::Sketch;
use super::absence::text;
use super::bucket::{Bucket, Member, uid};
use super::members::Members;
use super::plan::StateId;
use super::state::{Kind, key};
use super::timer::Due;
use super::{Detector, absence};
use crate::policy::{Body, Delay, Policy, PolicyIndex};
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
    /// By policy and start.
    spans: HashMap<(PolicyIndex, Millis), Senders>,
    /// What came in this call, in the order of engine time: not counted in spans yet, and from `unusual` on not in what is usual.
    fresh: Vec<Fresh>,
    unusual: usize,
    /// Of each source, by hour of receipt; hours before `usual_from` are forgotten.
    usual: BTreeMap<Arc<str>, BTreeMap<i64, Sketch>>,
    usual_from: i64,
    /// Of sources that were asked for, all hours from one on: by for how long one looks back, milliseconds.
    summed: BTreeMap<(Arc<str>, i64), (i64, Sketch)>,
    /// What was told last.
    told: BTreeMap<SenderId, Box<Finding>>,
    senders: HashSet<SenderId>,
    changed_usual: BTreeSet<(Arc<str>, i64)>,
    /// The ends of spans for which a timer is set, and for which policies one was set last.
    armed: BTreeSet<(PolicyIndex, Millis)>,
    last: HashMap<PolicyIndex, Millis>,
}

/// The spans of senders that begin at one moment.
type Senders = HashMap<(Arc<str>, Arc<str>), Span>;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Span {
    sketch: Sketch,
    records: Vec<Coordinate>,
    /// It changed since it was written; and whether it ever was.
    #[serde(skip)]
    changed: bool,
    #[serde(skip)]
    written: bool,
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

/// What is read of events for delays: two fields that name the sender, of which the first that has a value counts; and the labels.
pub(super) fn delay_fields() -> [Field; 3] {
    ["docket.system", "device.hostname", "metadata.labels"].map(Field::ocsf)
}

/// The label of events that the source writes long after they happened, as it works.
const WRITTEN_LATER: &str = "time.written_later";

impl Detector {
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
        let mut spans = self.delays.spans.remove(&(index, start)).unwrap_or_default();
        for (id, _) in spans.iter().filter(|(_, span)| span.written) {
            let key = self.span_key(&(index, id.0.clone(), id.1.clone()), start);
            self.changes.delete(key);
        }
        let counted: u64 = spans.values().map(|span| span.sketch.count()).sum();
        let until = start.plus_ms(delay.over_ms / 2 * 2);
        if counted + self.delays.came(start, until) >= delay.at_least {
            let wanted = (index, delay.at_least);
            self.delays.count_into(&mut spans, wanted, start, until);
            spans.retain(|_, span| span.sketch.count() >= delay.at_least);
            let spans: BTreeMap<(Arc<str>, Arc<str>), Span> = spans.into_iter().collect();
            if !spans.is_empty() {
                self.delays.count_usual();
                let asked = self.limits(index, delay, end);
                for ((source, sender), span) in spans {
                    if let Some(limit) = asked.get(&source).or_else(|| asked.get("")) {
                        self.judge_delay(policy, &(index, source, sender), &span, limit, end);
                    }
                }
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
            members: Members::One(
                (end, uid(&policy.reference.id, &[&own])),
                Member::Silent(Arc::new(found), Some(since)),
            ),
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
            let at = finding.time;
            self.tell_alone(finding, at);
        }
    }

    /// The median of a source's records received within so long before; `None` while too few are known.
    fn usual(&mut self, source: &Arc<str>, at: Millis, within_ms: i64) -> Option<i64> {
        let from = at.plus_ms(-within_ms).0.div_euclid(HOUR_MS);
        let hours = self.delays.usual.get(source)?;
        let id = (source.clone(), within_ms);
        let sum = match self.delays.summed.get_mut(&id).filter(|(since, _)| *since <= from) {
            Some((since, sum)) => {
                hours.range(*since..from).for_each(|(_, sketch)| sum.take(sketch));
                *since = from;
                sum
            }
            None => {
                let mut sum = Sketch::default();
                hours.range(from..).for_each(|(_, sketch)| sum.merge(sketch));
                self.delays.summed.insert(id.clone(), (from, sum));
                &mut self.delays.summed.get_mut(&id)?.1
            }
        };
        (sum.count() >= USUAL_RECORDS_MIN).then(|| sum.percentile(50))?
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
        if from <= self.delays.usual_from {
            return;
        }
        self.delays.usual_from = from;
        for (source, hours) in &mut self.delays.usual {
            while let Some(oldest) = hours.first_entry().filter(|e| *e.key() < from) {
                self.changes.delete(usual_key(source, *oldest.key()));
                self.delays.changed_usual.remove(&(source.clone(), *oldest.key()));
                self.delays
                    .summed
                    .retain(|(of, _), (from, _)| of != source || &*from > oldest.key());
                oldest.remove();
            }
        }
        self.delays.usual.retain(|_, hours| !hours.is_empty());
    }

    /// Writes what came since the last time.
    pub(super) fn write_delays(&mut self) {
        self.count_open();
        self.delays.count_usual();
        self.delays.fresh.clear();
        self.delays.unusual = 0;
        let mut rows = Vec::new();
        for ((index, start), spans) in &mut self.delays.spans {
            for ((source, sender), span) in spans.iter_mut().filter(|(_, span)| span.changed) {
                (span.changed, span.written) = (false, true);
                let row = DelayRow {
                    source: source.clone(),
                    sender: sender.clone(),
                    start: *start,
                    span: Some(span.clone()),
                    told: None,
                };
                rows.push((*index, row));
            }
        }
        for (index, row) in rows {
            let key = self.span_key(&(index, row.source.clone(), row.sender.clone()), row.start);
            self.changes.put(key, &row);
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
        if let Some(mut span) = row.span {
            span.written = true;
            let spans = self.delays.spans.entry((index, row.start)).or_default();
            spans.insert((id.1.clone(), id.2.clone()), span);
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
