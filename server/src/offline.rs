//! The line without a server: records through normalizer, duplicate check and detector, in memory.
//!
//! `docket detect` and `docket policy test` judge with it, by the same code as the server.

use std::collections::BTreeMap;

use detect::engine::Detector;
use detect::policy::Loaded;
use detect::reference::Tables;
use ingest::batcher::Batcher;
use ingest::dedup::Dedup;
use ingest::join::Assembler;
use ingest::{Normalized, Normalizer, Settings};
use model::{Arena, Event, Finding, LedgerIndex, Millis, Plan, RawRecord};

use crate::policies;

/// Records judged at once; findings do not depend on it.
const GROUP: usize = 4096;

/// What became of the records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records read.
    pub records: u64,
    /// Events made of them.
    pub events: u64,
    /// Records that no format understood.
    pub quarantined: u64,
    /// Records that came before.
    pub deduplicated: u64,
}

impl Counts {
    /// Counts an event of so many records.
    pub fn add(&mut self, records: usize, normalized: &Normalized<Event<'_>>) {
        self.quarantined += normalized.quarantined.map_or(0, |_| records as u64);
        self.events += normalized.events.len() as u64;
    }
}

/// Puts the events of a record, which is at leaf `at`, into their batches.
fn place(
    batcher: &mut Batcher,
    plan: &mut Plan,
    at: LedgerIndex,
    record: &RawRecord,
    normalized: &Normalized<Event<'_>>,
) {
    for event in &normalized.events {
        batcher.push(plan, at, record.received_at, &record.source, event);
    }
}

/// The line, in memory.
pub struct Offline {
    normalizer: Normalizer,
    dedup: Option<Dedup>,
    assembler: Assembler,
    detector: Detector,
    plan: Plan,
    arena: Arena,
    waiting: Vec<RawRecord>,
    next: LedgerIndex,
    findings: BTreeMap<String, Finding>,
    order: Vec<String>,
    /// What became of the records.
    pub counts: Counts,
}

impl Offline {
    /// A line of these policies and tables. Without `deduplicate` each record counts.
    ///
    /// # Errors
    /// The policies cannot run.
    pub fn new(loaded: &Loaded, tables: Tables, settings: Settings, deduplicate: bool) -> anyhow::Result<Offline> {
        let compiled = policies::compile(loaded);
        let detector = policies::detector(compiled, tables, Vec::new(), LedgerIndex(0), None)?.for_one_run();
        let plan = Plan::new(detector.wanted());
        Ok(Offline {
            normalizer: Normalizer::new(settings),
            dedup: deduplicate.then(Dedup::default),
            assembler: Assembler::default(),
            detector,
            plan,
            arena: Arena::new(),
            waiting: Vec::new(),
            next: LedgerIndex(0),
            findings: BTreeMap::new(),
            order: Vec::new(),
            counts: Counts::default(),
        })
    }

    /// Takes a record, in order of arrival.
    pub fn push(&mut self, record: RawRecord) {
        self.waiting.push(record);
        if self.waiting.len() >= GROUP {
            self.judge();
        }
    }

    /// Judges what is left, then every deadline up to `until`, and returns the final revisions in the order in
    /// which the findings were first made.
    pub fn finish(mut self, until: Option<Millis>) -> (Vec<Finding>, Counts) {
        self.judge();
        self.end();
        if let Some(until) = until {
            let output = self.detector.advance(until);
            self.keep(output.findings);
        }
        let output = self.detector.finish();
        self.keep(output.findings);
        let Offline {
            order,
            mut findings,
            counts,
            ..
        } = self;
        (
            order.into_iter().filter_map(|uid| findings.remove(&uid)).collect(),
            counts,
        )
    }

    fn judge(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        let mut span = Vec::with_capacity(waiting.len());
        let mut batcher = Batcher::new();
        for record in &waiting {
            let index = self.next;
            self.next = index.next();
            self.counts.records += 1;
            self.arena.reset();
            span.push((index, record.received_at));
            let mut given = self.assembler.advance(record.received_at);
            let piece = self.normalizer.piece(record);
            let (normalized, key) = match &piece {
                Some(piece) => (None, piece.dedup(record)),
                None => {
                    let normalized = self.normalizer.normalize(&self.arena, record);
                    let key = normalized.dedup(record);
                    (Some(normalized), key)
                }
            };
            let seen = match (&mut self.dedup, key) {
                // In memory alone: nothing can fail.
                (Some(dedup), Some(key)) => dedup.check(index, record.received_at, key).is_ok_and(|d| d.is_some()),
                _ => false,
            };
            self.counts.deduplicated += u64::from(seen);
            if let Some(piece) = piece.filter(|_| !seen) {
                given.extend(self.assembler.push(index, record.clone(), piece));
            }
            for whole in given {
                let normalized = self.normalizer.normalize_whole(&self.arena, &whole);
                self.counts.add(whole.lines.len(), &normalized);
                place(&mut batcher, &mut self.plan, index, &whole.record, &normalized);
            }
            if let Some(normalized) = normalized.filter(|_| !seen) {
                self.counts.add(1, &normalized);
                place(&mut batcher, &mut self.plan, index, record, &normalized);
            }
        }
        let batches = batcher.finish(&mut self.plan);
        let output = self.detector.process(&span, &batches);
        self.keep(output.findings);
    }

    /// Nothing more comes: what waits for more is judged as it is.
    fn end(&mut self) {
        let mut batcher = Batcher::new();
        for whole in &self.assembler.flush() {
            self.arena.reset();
            let normalized = self.normalizer.normalize_whole(&self.arena, whole);
            self.counts.add(whole.lines.len(), &normalized);
            place(&mut batcher, &mut self.plan, self.next, &whole.record, &normalized);
        }
        let batches = batcher.finish(&mut self.plan);
        let output = self.detector.process(&[], &batches);
        self.keep(output.findings);
    }

    fn keep(&mut self, findings: Vec<Finding>) {
        for mut finding in findings {
            crate::masking::finding(&mut finding);
            if !self.findings.contains_key(&finding.uid) {
                self.order.push(finding.uid.clone());
            }
            self.findings.insert(finding.uid.clone(), finding);
        }
    }
}
