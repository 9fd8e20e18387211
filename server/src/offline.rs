//! The line without a server: records through normalizer, duplicate check and detector, in memory.
//!
//! `docket detect` and `docket policy test` judge with it, by the same code as the server.

use std::collections::{BTreeSet, HashMap};

use detect::engine::Detector;
use detect::explain::Explained;
use detect::policy::{Loaded, PolicyIndex};
use detect::reference::Tables;
use ingest::batcher::Batcher;
use ingest::dedup::Dedup;
use ingest::join::Assembler;
use ingest::json_reader::JsonReader;
use ingest::replay::Lent;
use ingest::{Normalized, Normalizer, Settings};
use model::{Arena, Batch, Event, Field, Finding, LedgerIndex, LogSource, Millis, Plan, RawRecord};

use crate::policies::{self, Compiled};

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

/// Which record's events are kept, to be explained when all is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Watch {
    /// The last that has events.
    Last,
    /// The one of this id.
    Record(String),
}

/// Other values for fields of events.
#[derive(Clone, Debug, Default)]
pub struct Alteration {
    /// Of which record, by its number from 0; of all where there is none.
    pub record: Option<u64>,
    /// The fields, and what they are instead.
    pub values: Vec<(Field, Vec<String>)>,
}

/// Events of one record that are explained at most.
const EXPLAINED_MAX: usize = 100;

/// The line, in memory.
pub struct Offline {
    alteration: Alteration,
    /// Every batch, where they are asked for.
    kept: Option<Vec<Batch>>,
    watch: Option<Watch>,
    watched: Vec<(LedgerIndex, Batch, usize)>,
    normalizer: Normalizer,
    dedup: Option<Dedup>,
    assembler: Assembler,
    detector: Detector,
    plan: Plan,
    arena: Arena,
    /// Where all records are plain JSON: the short way to columns.
    json: Option<JsonReader>,
    /// Records that are to be judged together, and those of them that are to be normalized yet.
    span: Vec<(LedgerIndex, Millis)>,
    waiting: Vec<(LedgerIndex, RawRecord)>,
    next: LedgerIndex,
    /// The last revision of each finding, in the order in which they were first made; where each stands.
    findings: Vec<Finding>,
    places: HashMap<String, usize>,
    /// What became of the records.
    pub counts: Counts,
}

impl Offline {
    /// A line of these policies and tables. Without `deduplicate` each record counts.
    ///
    /// # Errors
    /// The policies cannot run.
    pub fn new(loaded: &Loaded, tables: Tables, settings: Settings, deduplicate: bool) -> anyhow::Result<Offline> {
        Offline::of(policies::compile(loaded), tables, settings, deduplicate)
    }

    /// As [`Offline::new`], of policies that are compiled already.
    ///
    /// # Errors
    /// As of [`Offline::new`].
    pub fn of(compiled: Compiled, tables: Tables, settings: Settings, deduplicate: bool) -> anyhow::Result<Offline> {
        let detector = policies::detector(compiled, tables, Vec::new(), LedgerIndex(0), None)?.for_one_run();
        let plan = Plan::new(detector.wanted());
        let json = (!deduplicate)
            .then(|| JsonReader::new(detector.wanted(), &settings))
            .flatten();
        let mut arena = Arena::new();
        arena.set_native(plan.wants_native());
        Ok(Offline {
            alteration: Alteration::default(),
            kept: None,
            watch: None,
            watched: Vec::new(),
            normalizer: Normalizer::new(settings),
            dedup: deduplicate.then(Dedup::default),
            assembler: Assembler::default(),
            detector,
            plan,
            arena,
            json,
            span: Vec::new(),
            waiting: Vec::new(),
            next: LedgerIndex(0),
            findings: Vec::new(),
            places: HashMap::new(),
            counts: Counts::default(),
        })
    }

    /// Judges events as they would be with other values.
    #[must_use]
    pub fn altering(mut self, alteration: Alteration) -> Offline {
        self.alteration = alteration;
        self
    }

    /// Keeps the events of a record for [`Offline::explain`].
    #[must_use]
    pub fn watching(mut self, watch: Watch) -> Offline {
        self.watch = Some(watch);
        self
    }

    /// Takes a record, in order of arrival.
    pub fn push(&mut self, record: RawRecord) {
        let index = self.count(record.received_at);
        if !Lent::of(&record).is_some_and(|lent| self.read(index, &lent)) {
            self.waiting.push((index, record));
        }
        self.judge_many();
    }

    /// As [`Offline::push`], of a record that is lent.
    pub fn push_lent(&mut self, record: &Lent<'_>) {
        let index = self.count(record.received_at);
        if !self.read(index, record) {
            self.waiting.push((index, record.to_record()));
        }
        self.judge_many();
    }

    fn count(&mut self, received_at: Millis) -> LedgerIndex {
        let index = self.next;
        self.next = index.next();
        self.counts.records += 1;
        self.span.push((index, received_at));
        index
    }

    /// Reads a record at once, while it is near, where it can be; says whether it could.
    fn read(&mut self, index: LedgerIndex, record: &Lent<'_>) -> bool {
        let detector = &self.detector;
        let wanted = |source: &LogSource| detector.wanted_of(source, 0);
        let read = self.json.as_mut().is_some_and(|json| json.read(index, record, &wanted));
        self.counts.events += u64::from(read);
        read
    }

    fn judge_many(&mut self) {
        if self.span.len() >= GROUP {
            self.judge();
        }
    }

    /// Judges what is left, then every deadline up to `until`, and returns the final revisions in the order in
    /// which the findings were first made.
    pub fn finish(mut self, until: Option<Millis>) -> (Vec<Finding>, Counts) {
        self.settle(until);
        self.told()
    }

    /// As [`Offline::finish`]; and the policies that could not be judged of some event, for a table or a value that is not there.
    pub fn judged(mut self, until: Option<Millis>) -> (Vec<Finding>, BTreeSet<PolicyIndex>) {
        self.settle(until);
        let not_judged = self.detector.gaps().keys().map(|(policy, _)| *policy).collect();
        (self.told().0, not_judged)
    }

    /// As [`Offline::finish`], where the process ends next: nothing is cleared away. Each finding is handed over once nothing
    /// changes it any more.
    pub fn finish_last(mut self, until: Option<Millis>, each: &mut dyn FnMut(&Finding)) {
        self.judge();
        self.end();
        self.advance(until);
        let is_first = self.findings.is_empty();
        let told = is_first
            && self.detector.finish_each(&mut |mut finding| {
                crate::masking::finding(&mut finding);
                each(&finding);
            });
        if !told {
            let output = self.detector.finish();
            self.keep(output.findings);
            self.findings.iter().for_each(each);
        }
        std::mem::forget(self);
    }

    fn told(&mut self) -> (Vec<Finding>, Counts) {
        (std::mem::take(&mut self.findings), self.counts)
    }

    /// As [`Offline::finish`], of one policy; and why it holds for each event that was watched, by uid, or does not.
    pub fn explain(mut self, until: Option<Millis>, policy: PolicyIndex) -> (Vec<(String, Explained)>, Vec<Finding>) {
        self.settle(until);
        let told = |(_, batch, row): &(LedgerIndex, Batch, usize)| {
            (batch.uid(*row).to_owned(), self.detector.explain(policy, batch, *row))
        };
        let mut findings = std::mem::take(&mut self.findings);
        findings.sort_by(|a, b| a.uid.cmp(&b.uid));
        (self.watched.iter().map(told).collect(), findings)
    }

    /// The events of what is left, in columns.
    pub fn events(mut self) -> Vec<Batch> {
        self.kept = Some(Vec::new());
        self.judge();
        self.end();
        self.kept.unwrap_or_default()
    }

    fn settle(&mut self, until: Option<Millis>) {
        self.judge();
        self.end();
        self.advance(until);
        let output = self.detector.finish();
        self.keep(output.findings);
    }

    fn advance(&mut self, until: Option<Millis>) {
        if let Some(until) = until {
            let output = self.detector.advance(until);
            self.keep(output.findings);
        }
    }

    fn judge(&mut self) {
        let mut batcher = Batcher::new();
        for (index, record) in &std::mem::take(&mut self.waiting) {
            let index = *index;
            self.arena.reset();
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
        let mut batches = self.json.as_mut().map(JsonReader::finish).unwrap_or_default();
        batches.extend(batcher.finish(&mut self.plan));
        self.alter(&mut batches);
        self.look(&batches);
        let output = self.detector.process(&self.span, &batches);
        self.span.clear();
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
        let mut batches = batcher.finish(&mut self.plan);
        self.alter(&mut batches);
        self.look(&batches);
        let output = self.detector.process(&[], &batches);
        self.keep(output.findings);
    }

    fn alter(&mut self, batches: &mut [Batch]) {
        let Alteration { record, values } = &self.alteration;
        for (field, values) in values {
            for batch in &mut *batches {
                batch.alter(field, |at| record.is_none_or(|n| at.0 == n), values);
            }
        }
    }

    /// Keeps what is watched.
    fn look(&mut self, batches: &[Batch]) {
        if let Some(kept) = &mut self.kept {
            kept.extend_from_slice(batches);
        }
        let Some(watch) = &self.watch else { return };
        for batch in batches {
            for (row, place) in batch.rows.iter().enumerate() {
                let record = batch.uid(row).split('#').next().unwrap_or_default();
                let is_it = match watch {
                    Watch::Record(id) => id == record,
                    Watch::Last => {
                        let later = self.watched.first().is_none_or(|(at, ..)| *at < place.index);
                        if later {
                            self.watched.clear();
                        }
                        self.watched.first().is_none_or(|(at, ..)| *at == place.index)
                    }
                };
                if is_it && self.watched.len() < EXPLAINED_MAX {
                    self.watched.push((place.index, batch.clone(), row));
                }
            }
        }
    }

    fn keep(&mut self, findings: Vec<Finding>) {
        for mut finding in findings {
            crate::masking::finding(&mut finding);
            match self.places.get(&finding.uid) {
                Some(place) => self.findings[*place] = finding,
                None => {
                    self.places.insert(finding.uid.clone(), self.findings.len());
                    self.findings.push(finding);
                }
            }
        }
    }
}
