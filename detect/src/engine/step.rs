//! What a span of the ledger brings, in the order in which it is taken.

use std::cmp::Ordering;

use model::{Batch, LedgerIndex, Millis};

use super::seen::Event;
use super::{Detector, delay};
use crate::Hit;
use crate::policy::PolicyIndex;

/// An event for which a rule's condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub index: LedgerIndex,
    pub rule: PolicyIndex,
    /// Where it is.
    pub batch: u32,
    pub row: u32,
}

impl Detector {
    /// As [`Detector::process`], with the hits of each batch given.
    pub(super) fn process_hits(&mut self, span: &[(LedgerIndex, Millis)], batches: &[Batch], hits: &[Vec<Hit>]) {
        let steps = self.steps(batches, hits);
        let records = self.records(span, batches, &steps);
        let policies = self.policies.clone();
        self.ahead.begin(0);
        let (spoken, mut ears) = self.spoken(batches);
        let mut spoken = spoken.into_iter().peekable();
        let arrivals = self.arrivals(batches);
        let (mut arrivals, mut unit) = (arrivals.as_slice(), None);
        let mut senders = delay::senders(batches, arrivals);
        let to_count = self.to_count(batches);
        let mut to_count = to_count.iter().peekable();
        let restarts = self.restarts(batches, &steps);
        let mut restarts = restarts.into_iter().peekable();
        let mut next = 0;
        let mut event: Option<Event<'_>> = None;
        for (n, &(index, received_at)) in records.iter().enumerate() {
            fail::fail_point!("detect::record");
            // Before the time between goes by: nobody was there to hear.
            while let Some(restart) = restarts.next_if(|r| r.index <= index) {
                self.begin_anew(&restart, received_at);
            }
            self.tick(received_at);
            if !arrivals.is_empty() {
                let now = received_at.max(self.clock.now.unwrap_or(received_at));
                let now = now.0.div_euclid(delay::UNIT_MS);
                if unit.replace(now) != Some(now) {
                    let until = self.of_unit(&records[n..], arrivals, now);
                    self.delayed(batches, &mut senders, &arrivals[..until]);
                    arrivals = &arrivals[until..];
                }
            }
            while let Some((_, n)) = spoken.next_if(|s| s.0 <= index) {
                self.hear(&batches[n], &mut ears[n], received_at);
            }
            while let Some((_, n, row)) = to_count.next_if(|c| c.0 <= index) {
                self.count(&batches[*n], *row);
            }
            while let Some(step) = steps.get(next).filter(|s| s.index == index) {
                if !self.ahead.has(next) {
                    self.look_ahead(&policies, next, &steps[next..], batches);
                }
                let (batch, row) = (&batches[step.batch as usize], step.row as usize);
                let event = event.get_or_insert_with(|| Event::new(batch, row, self.mask));
                event.turn_to(batch, row);
                self.take(&policies, next, step.rule, event);
                next += 1;
            }
            self.position = index.next();
        }
    }

    /// What state is touched by, in the order in which it is.
    pub(super) fn steps(&self, batches: &[Batch], hits: &[Vec<Hit>]) -> Vec<Step> {
        let mut steps: Vec<Step> = Vec::with_capacity(hits.iter().map(Vec::len).sum());
        for (n, (batch, hits)) in (0..).zip(batches.iter().zip(hits)) {
            for hit in hits {
                let Some(row) = batch.rows.get(hit.row as usize) else {
                    continue;
                };
                // Those are for findings, whatever a record calls itself.
                if row.index >= self.position && !self.plan.readers.contains(hit.rule) {
                    steps.push(Step {
                        index: row.index,
                        rule: hit.rule,
                        batch: n,
                        row: hit.row,
                    });
                }
            }
        }
        let uid = |step: &Step| batches[step.batch as usize].uid(step.row as usize);
        // They are in order, nearly.
        steps.sort_by(|a, b| {
            let records = a.index.cmp(&b.index);
            let same = (a.batch, a.row) == (b.batch, b.row);
            let events = records.then_with(|| if same { Ordering::Equal } else { uid(a).cmp(uid(b)) });
            events.then((a.rule, a.batch, a.row).cmp(&(b.rule, b.batch, b.row)))
        });
        steps.dedup();
        steps
    }

    /// The records of a span, in order, and when each was received; of the steps, too, whose record the span leaves out.
    pub(super) fn records(
        &self,
        span: &[(LedgerIndex, Millis)],
        batches: &[Batch],
        steps: &[Step],
    ) -> Vec<(LedgerIndex, Millis)> {
        let mut records: Vec<_> = span.iter().copied().filter(|(i, _)| *i >= self.position).collect();
        let in_order = records.is_sorted_by(|a, b| a.0 < b.0);
        let mut left = records.as_slice();
        let is_there = |step: &Step| {
            while left.first().is_some_and(|(index, _)| *index < step.index) {
                left = &left[1..];
            }
            left.first().is_some_and(|(index, _)| *index == step.index)
        };
        if in_order && steps.iter().all(is_there) {
            return records;
        }
        let place = |step: &Step| {
            let row = &batches[step.batch as usize].rows[step.row as usize];
            (row.index, row.received_at)
        };
        let mut all: Vec<_> = steps.iter().map(place).chain(records.drain(..)).collect();
        all.sort_by_key(|(index, _)| *index);
        // Of the same record what the span says, which is behind.
        all.dedup_by(|later, kept| {
            let is_same = later.0 == kept.0;
            if is_same {
                kept.1 = later.1;
            }
            is_same
        });
        all
    }
}
