//! Records as they come, by sender: noted at once, counted when somebody asks.

use std::sync::Arc;

use foldhash::{HashMap, HashSet};
use model::{Batch, Column, Coordinate, LedgerIndex, Millis, TOPIC_DOCKET};
use smallvec::SmallVec;

use super::sketch::Sketch;
use super::{
    DELAY_MS_MAX, Delays, HOUR_MS, RECORDS_MAX, SENDERS_MAX, SenderId, Senders, UNIT_MS, WRITTEN_LATER, delay_fields,
};
use crate::engine::Detector;
use crate::policy::{Body, Of, PolicyIndex};
use crate::sigma::lower;

/// Delays that are noted one by one; more of a sender in one unit are counted.
const FEW: usize = 64;

/// A row of a batch: its leaf, which batch, which row.
pub(in crate::engine) type Arrival = (LedgerIndex, usize, usize);

/// Who sends what batches have.
#[derive(Debug, Default)]
pub(in crate::engine) struct Sending<'b> {
    columns: Vec<[Option<&'b Column>; 3]>,
    known: HashMap<(usize, &'b str), Arc<Sender>>,
}

/// A source and a sender, in lower case.
#[derive(Debug)]
struct Sender {
    source: Arc<str>,
    sender: Arc<str>,
    /// The policies that tell it apart.
    policies: Vec<(PolicyIndex, Of)>,
}

impl Sender {
    fn of_policy(&self, index: PolicyIndex) -> Option<Of> {
        let mut policies = self.policies.iter();
        policies.find(|(policy, _)| *policy == index).map(|(_, of)| *of)
    }

    fn of(&self, of: Of) -> (Arc<str>, Arc<str>) {
        let sender = match of {
            Of::Sender => self.sender.clone(),
            Of::Source => "".into(),
        };
        (self.source.clone(), sender)
    }
}

/// What came of a sender in one unit of engine time.
#[derive(Debug)]
pub(super) struct Fresh {
    at: Millis,
    sender: Arc<Sender>,
    few: SmallVec<[i64; 2]>,
    many: Option<Box<Sketch>>,
    uids: SmallVec<[Arc<str>; 1]>,
}

impl Fresh {
    fn add(&mut self, delay_ms: i64, uid: &str) {
        if self.few.len() < FEW {
            self.few.push(delay_ms);
        } else {
            self.many.get_or_insert_default().add(delay_ms);
        }
        if self.uids.len() < RECORDS_MAX {
            self.uids.push(uid.into());
        }
    }

    fn count(&self) -> u64 {
        self.few.len() as u64 + self.many.as_ref().map_or(0, |m| m.count())
    }

    fn count_into(&self, sketch: &mut Sketch) {
        self.few.iter().for_each(|delay_ms| sketch.add(*delay_ms));
        self.many.iter().for_each(|many| sketch.merge(many));
    }

    fn records(&self) -> impl Iterator<Item = Coordinate> {
        let ids = self.uids.iter().filter_map(|uid| uid.split('#').next());
        ids.filter_map(|id| id.parse().ok())
    }
}

/// Who sends what is in the batches, where anything is asked of it.
pub(in crate::engine) fn senders<'b>(batches: &'b [Batch], arrivals: &[Arrival]) -> Sending<'b> {
    let mut sending = Sending::default();
    if !arrivals.is_empty() {
        let columns = |batch: &'b Batch| delay_fields().map(|f| batch.column(&f));
        sending.columns = batches.iter().map(columns).collect();
    }
    sending
}

impl Detector {
    /// The rows of batches in ledger order, where delays are watched.
    pub(in crate::engine) fn arrivals(&self, batches: &[Batch]) -> Vec<Arrival> {
        if self.plan.delays.is_empty() {
            return Vec::new();
        }
        let rows = batches.iter().enumerate().filter(|(_, b)| *b.source != *TOPIC_DOCKET);
        let mut out: Vec<Arrival> = rows
            .flat_map(|(n, b)| b.rows.iter().enumerate().map(move |(row, r)| (r.index, n, row)))
            .filter(|(index, ..)| *index >= self.position)
            .collect();
        // Batches are in order already.
        out.sort();
        out
    }

    /// How many of the rows are of records that come before engine time has passed this unit; `records` are those from the first row's
    /// on.
    pub(in crate::engine) fn of_unit(
        &self,
        records: &[(LedgerIndex, Millis)],
        arrivals: &[Arrival],
        unit: i64,
    ) -> usize {
        let later = |(_, at): &&(LedgerIndex, Millis)| at.0.div_euclid(UNIT_MS) > unit;
        match records.iter().find(later) {
            Some((end, _)) => arrivals.iter().take_while(|(index, ..)| index < end).count(),
            None => arrivals.len(),
        }
    }

    /// Rows came that are of one unit of engine time, and it is now.
    pub(in crate::engine) fn delayed<'b>(
        &mut self,
        batches: &'b [Batch],
        sending: &mut Sending<'b>,
        arrivals: &[Arrival],
    ) {
        let Some(now) = self.clock.now else { return };
        let first = self.delays.fresh.len();
        let mut places: HashMap<*const Sender, usize> = HashMap::default();
        for (_, n, row) in arrivals {
            let place = &batches[*n].rows[*row];
            let delay_ms = place.received_at - place.time;
            if delay_ms.saturating_abs() > DELAY_MS_MAX {
                continue;
            }
            let [system, host, labels] = sending.columns[*n];
            let mut is_late = false;
            labels
                .iter()
                .for_each(|c| c.for_each(*row, |label| is_late |= label == WRITTEN_LATER));
            if is_late {
                continue;
            }
            let name = [system, host]
                .into_iter()
                .flatten()
                .filter_map(|c| c.first(*row))
                .find(|v| !v.is_empty())
                .unwrap_or("");
            let sender = match sending.known.get(&(*n, name)) {
                Some(sender) => sender,
                None => {
                    let sender = self.sender(&batches[*n].source, name);
                    sending.known.entry((*n, name)).or_insert(sender)
                }
            };
            // Most units have one record, or of one sender.
            let at = match self.delays.fresh.get(first) {
                Some(fresh) if Arc::ptr_eq(&fresh.sender, sender) => first,
                None => first,
                Some(_) => *places.entry(Arc::as_ptr(sender)).or_insert(self.delays.fresh.len()),
            };
            if at == self.delays.fresh.len() {
                self.delays.fresh.push(Fresh {
                    at: now,
                    sender: sender.clone(),
                    few: SmallVec::new(),
                    many: None,
                    uids: SmallVec::new(),
                });
            }
            self.delays.fresh[at].add(delay_ms, batches[*n].uid(*row));
        }
        if self.delays.fresh.len() == first {
            return;
        }
        let plan = self.plan.clone();
        for index in &plan.delays {
            let Body::Delay(delay) = &self.policies.get(*index).body else {
                continue;
            };
            let (step, over_ms) = (delay.over_ms / 2, delay.over_ms);
            let last = Millis(now.0.div_euclid(step) * step);
            if self.delays.last.insert(*index, last) != Some(last) {
                for start in [last.plus_ms(-step), last] {
                    self.arm_delay(*index, start.plus_ms(over_ms));
                }
            }
        }
    }

    /// A sender, told apart by the policies that have room for it.
    fn sender(&mut self, source: &str, sender: &str) -> Arc<Sender> {
        let mut known = Sender {
            source: lower(source).into(),
            sender: lower(sender).into(),
            policies: Vec::new(),
        };
        let plan = self.plan.clone();
        for index in &plan.delays {
            let Body::Delay(delay) = &self.policies.get(*index).body else {
                continue;
            };
            let (source, sender) = known.of(delay.of);
            let id: SenderId = (*index, source, sender);
            if !self.delays.senders.contains(&id) {
                if self.delays.senders.len() >= SENDERS_MAX {
                    continue;
                }
                self.delays.senders.insert(id);
            }
            known.policies.push((*index, delay.of));
        }
        Arc::new(known)
    }

    /// Counts what came in the spans that are still open.
    pub(super) fn count_open(&mut self) {
        let Some(now) = self.clock.now else { return };
        let plan = self.plan.clone();
        for index in &plan.delays {
            let Body::Delay(delay) = &self.policies.get(*index).body else {
                continue;
            };
            let (step, over_ms) = (delay.over_ms / 2, delay.over_ms);
            let last = Millis(now.0.div_euclid(step) * step);
            for start in [last.plus_ms(-step), last] {
                let until = start.plus_ms(2 * step);
                if self.delays.came(start, until) == 0 || start.plus_ms(over_ms) <= now {
                    continue;
                }
                let mut spans = self.delays.spans.remove(&(*index, start)).unwrap_or_default();
                self.delays.count_into(&mut spans, (*index, 0), start, until);
                self.delays.spans.insert((*index, start), spans);
            }
        }
    }
}

impl Delays {
    fn between(&self, start: Millis, end: Millis) -> &[Fresh] {
        let from = self.fresh.partition_point(|fresh| fresh.at < start);
        let until = self.fresh.partition_point(|fresh| fresh.at < end);
        &self.fresh[from..until.max(from)]
    }

    /// How many records came, that are not counted yet.
    pub(super) fn came(&self, start: Millis, end: Millis) -> u64 {
        self.between(start, end).iter().map(Fresh::count).sum()
    }

    /// The senders of a span of whom so many records came, those in `spans` with them.
    fn senders_of(
        &self,
        spans: &Senders,
        (index, at_least): (PolicyIndex, u64),
        (start, end): (Millis, Millis),
    ) -> HashSet<*const Sender> {
        let mut each: HashMap<*const Sender, (&Sender, u64)> = HashMap::default();
        for fresh in self.between(start, end) {
            each.entry(Arc::as_ptr(&fresh.sender)).or_insert((&fresh.sender, 0)).1 += fresh.count();
        }
        // Each batch has its own.
        let name = |sender: &Sender| Some(sender.of(sender.of_policy(index)?));
        let mut named: HashMap<(Arc<str>, Arc<str>), u64> = HashMap::default();
        for (sender, count) in each.values() {
            if let Some(name) = name(sender) {
                let there = || spans.get(&name).map_or(0, |span| span.sketch.count());
                match named.get_mut(&name) {
                    Some(all) => *all += count,
                    None => drop(named.insert(name.clone(), there() + count)),
                }
            }
        }
        let enough = |sender: &Sender| {
            name(sender)
                .and_then(|name| named.get(&name))
                .is_some_and(|n| *n >= at_least)
        };
        each.retain(|_, (sender, _)| enough(sender));
        each.into_keys().collect()
    }

    /// Counts what came in the spans of a policy, of senders of whom so many records came.
    pub(super) fn count_into(
        &self,
        spans: &mut Senders,
        (index, at_least): (PolicyIndex, u64),
        start: Millis,
        end: Millis,
    ) {
        let senders = (at_least > 0).then(|| self.senders_of(spans, (index, at_least), (start, end)));
        for fresh in self.between(start, end) {
            if senders
                .as_ref()
                .is_some_and(|s| !s.contains(&Arc::as_ptr(&fresh.sender)))
            {
                continue;
            }
            let Some(of) = &fresh.sender.of_policy(index) else {
                continue;
            };
            let span = spans.entry(fresh.sender.of(*of)).or_default();
            fresh.count_into(&mut span.sketch);
            let room = RECORDS_MAX.saturating_sub(span.records.len());
            span.records.extend(fresh.records().take(room));
            span.changed = true;
        }
    }

    /// Counts what came as usual.
    pub(super) fn count_usual(&mut self) {
        for fresh in &self.fresh[self.unusual..] {
            let hour = fresh.at.0.div_euclid(HOUR_MS);
            if hour < self.usual_from {
                continue;
            }
            let source = &fresh.sender.source;
            let hours = match self.usual.get_mut(source) {
                Some(hours) => hours,
                None => self.usual.entry(source.clone()).or_default(),
            };
            fresh.count_into(hours.entry(hour).or_default());
            let sums = self
                .summed
                .range_mut((source.clone(), i64::MIN)..=(source.clone(), i64::MAX));
            for (_, (from, sum)) in sums {
                if *from <= hour {
                    fresh.count_into(sum);
                }
            }
            self.changed_usual.insert((source.clone(), hour));
        }
        self.unusual = self.fresh.len();
    }
}
