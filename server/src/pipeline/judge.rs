//! Batches to findings and alerts. State, position, alerts and outbox are one SQLite transaction, of one group or of all that wait.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use alert::Store;
use anyhow::Context as _;
use detect::engine::Detector;
use ingest::join::Assembler;
use model::{Batch, Delta, Finding, LedgerIndex, Millis, StateStore as _};

use super::backlog::{Later, Taker, Waiting};
use super::gaps::Gaps;
use super::make::{Made, Maker, Verdicts};
use super::normalize::{GROUP_BYTES, GROUP_RECORDS};
use crate::accounts::Accounts;
use crate::clock::Clock;
use crate::policies::{self, Site};

/// What waits is judged for so long when the server stops; the rest at its next start.
const STOPPING: Duration = Duration::from_secs(5);

/// What the rest of the server may know of the stage.
#[derive(Debug)]
pub struct Progress {
    position: AtomicU64,
    deadline: AtomicI64,
    engine_time: AtomicI64,
}

impl Progress {
    /// Nothing judged yet.
    pub fn new(position: LedgerIndex, engine_time: Option<Millis>) -> Progress {
        Progress {
            position: AtomicU64::new(position.0),
            deadline: AtomicI64::new(i64::MAX),
            engine_time: AtomicI64::new(engine_time.map_or(i64::MIN, |t| t.0)),
        }
    }

    /// The next leaf to judge.
    pub fn position(&self) -> LedgerIndex {
        LedgerIndex(self.position.load(Ordering::Relaxed))
    }

    /// Whether a deadline has passed by `now` that no record has brought engine time to: a tick is due.
    pub fn wants_tick(&self, now: Millis) -> bool {
        let deadline = self.deadline.load(Ordering::Relaxed);
        deadline <= now.0 && self.engine_time.load(Ordering::Relaxed) < deadline
    }
}

/// The stage.
pub struct Judge {
    /// The detector, with the state that the store held.
    pub detector: Detector,
    /// State, alerts and outbox.
    pub store: Store,
    /// What became of the records, ever.
    pub accounts: Arc<std::sync::Mutex<Accounts>>,
    /// Told to the rest of the server.
    pub progress: Arc<Progress>,
    /// Told when there are deliveries to make.
    pub deliver: Arc<tokio::sync::Notify>,
    /// Where state lies that does not fit into memory.
    pub folder: PathBuf,
    /// Dates the alerts.
    pub clock: Clock,
    /// What could not be judged, as far as it is told.
    pub gaps: Gaps,
    /// Makes the columns of groups that could not wait whole.
    pub again: Maker,
    /// What waits for more records after the last group.
    pub joins: Arc<str>,
}

/// What was judged and is not written yet.
#[derive(Default)]
struct Judged {
    deltas: Vec<Delta>,
    findings: Vec<Finding>,
    /// When records that wait for others are given out.
    due: Option<Millis>,
    records: u64,
}

impl Judge {
    /// The next leaf to judge.
    pub fn position(&self) -> LedgerIndex {
        self.progress.position()
    }

    /// Runs until the stage before has ended.
    pub fn run(&mut self, groups: &Taker, stop: &AtomicBool) -> anyhow::Result<()> {
        self.tell(self.position(), None);
        crate::app::lock(&self.accounts).watch(self.detector.sources());
        let (mut next, mut judged) = (self.position(), Judged::default());
        let mut stopping: Option<Instant> = None;
        loop {
            // What waits is written together: one wait for the disk, not one a group.
            let waiting = match judged.deltas.is_empty() {
                true => groups.take(),
                false if judged.records < GROUP_RECORDS as u64 => groups.take_waiting(),
                false => None,
            };
            let Some(waiting) = waiting else {
                if judged.deltas.is_empty() {
                    return Ok(());
                }
                self.write(std::mem::take(&mut judged))?;
                continue;
            };
            if let Some(site) = waiting.site() {
                // Other policies go on from what is written.
                self.write(std::mem::take(&mut judged))?;
                self.take_over(site.clone())?;
            }
            if waiting.range().end > next {
                let range = waiting.range().clone();
                self.judge(&waiting, &mut judged)
                    .with_context(|| format!("judging leaves {}..{}", range.start, range.end))?;
                next = range.end;
            }
            self.joins = waiting.joins().clone();
            if stop.load(Ordering::Relaxed) && stopping.get_or_insert_with(Instant::now).elapsed() >= STOPPING {
                return self.write(judged);
            }
        }
    }

    /// Judges with other tables and policies from now on. What was kept for policies that did not change goes on.
    fn take_over(&mut self, site: Site) -> anyhow::Result<()> {
        crate::app::lock(&self.accounts).declare(&site.tables);
        match site.policies {
            None => self.detector.set_tables(site.tables),
            Some(compiled) => {
                let (position, state) = self.store.load()?;
                let version = compiled.version.clone();
                self.again
                    .want(&Detector::wanted_by(&compiled.policies, &compiled.rules));
                self.detector = policies::detector(compiled, site.tables, state, position, Some(&self.folder))?;
                self.gaps.begin();
                tracing::info!(policies = version, "Policies in place.");
            }
        }
        crate::app::lock(&self.accounts).watch(self.detector.sources());
        Ok(())
    }

    fn judge(&mut self, waiting: &Waiting, judged: &mut Judged) -> anyhow::Result<()> {
        match waiting {
            Waiting::Whole(group) => {
                self.process(&group.span, &group.batches, judged)?;
                self.add(waiting.range().end, &group.dedup, &group.accounts, judged);
                judged.due = group.due;
            }
            Waiting::Later(later) => {
                let made = self.make(later)?;
                self.process(&made.span, &made.batches, judged)?;
                self.add(waiting.range().end, &later.dedup.delta(), &later.accounts, judged);
                judged.due = self.again.assembler.due();
            }
        }
        let range = waiting.range();
        judged.records += range.end.0 - range.start.0;
        Ok(())
    }

    fn process(
        &mut self,
        span: &[(LedgerIndex, Millis)],
        batches: &[Batch],
        judged: &mut Judged,
    ) -> anyhow::Result<()> {
        let mut output = self.detector.process(span, batches);
        if let Some(fault) = self.detector.fault() {
            return Err(fault.clone().into());
        }
        output.findings.iter_mut().for_each(crate::masking::finding);
        judged.findings.append(&mut output.findings);
        judged.deltas.push(output.delta);
        Ok(())
    }

    /// What else is written with the judgement of a group.
    fn add(&mut self, position: LedgerIndex, dedup: &Delta, counts: &Accounts, judged: &mut Judged) {
        let Some(delta) = judged.deltas.last_mut() else { return };
        delta.position = position;
        delta.put.extend(dedup.put.iter().cloned());
        delta.delete.extend(dedup.delete.iter().cloned());
        let mut accounts = crate::app::lock(&self.accounts);
        let (put, delete) = accounts.add(counts, self.clock.now());
        delta.put.extend(put);
        delta.delete.extend(delete);
        accounts.watch(self.detector.sources());
    }

    /// Makes the columns of a group once more.
    fn make(&mut self, later: &Later) -> anyhow::Result<Made> {
        let range = &later.range;
        let reader = self.again.reader.clone();
        if *self.again.assembler.state() != *self.joins {
            self.again.assembler = Assembler::load(&self.joins, |index| reader.entry(index).map(|e| e.record))?;
        }
        let (mut entries, mut at) = (Vec::new(), range.start);
        while at < range.end {
            let records = usize::try_from(range.end.0 - at.0).unwrap_or(usize::MAX);
            let mut more = reader.read(at, records, GROUP_BYTES)?;
            let last = more.last().context("the ledger holds less than it did")?;
            at = last.index.next();
            entries.append(&mut more);
        }
        metrics::counter!("docket_judge_made_again_total").increment(entries.len() as u64);
        self.again.make(&entries, &mut Verdicts::Told(later.verdicts.iter()))
    }

    fn write(&mut self, mut judged: Judged) -> anyhow::Result<()> {
        let Some(last) = judged.deltas.last_mut() else {
            return Ok(());
        };
        let joins = self.joins.as_bytes().to_vec();
        last.put.push((super::joins::KEY.to_vec(), joins));
        let position = last.position;
        let committed = self.store.commit(&judged.deltas, &judged.findings, self.clock.now())?;
        for id in &committed.raised {
            metrics::counter!("docket_alerts_raised_total").increment(1);
            tracing::info!(alert = %id, "Alert raised.");
        }
        if !committed.raised.is_empty() {
            self.deliver.notify_one();
        }
        self.tell(position, judged.due);
        Ok(())
    }

    /// `due` is when records that wait for others are given out.
    fn tell(&mut self, position: LedgerIndex, due: Option<Millis>) {
        let far = Millis(i64::MAX);
        let deadline = [self.detector.next_deadline(), due].into_iter().flatten().min();
        self.progress
            .deadline
            .store(deadline.unwrap_or(far).0, Ordering::Relaxed);
        if let Some(t) = self.detector.engine_time() {
            self.progress.engine_time.store(t.0, Ordering::Relaxed);
        }
        self.progress.position.store(position.0, Ordering::Relaxed);
        metrics::gauge!("docket_judged_position").set(position.0 as f64);
        self.gaps.tell(&self.detector);
    }
}
