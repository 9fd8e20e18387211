//! Batches to findings and alerts. State, position, alerts and outbox are one SQLite transaction.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc::Receiver;

use alert::Store;
use anyhow::Context as _;
use detect::engine::Detector;
use model::{LedgerIndex, Millis, StateStore as _};

use super::gaps::Gaps;
use super::{Group, take};
use crate::accounts::Accounts;
use crate::clock::Clock;
use crate::policies::{self, Site};

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
}

impl Judge {
    /// The next leaf to judge.
    pub fn position(&self) -> LedgerIndex {
        self.progress.position()
    }

    /// Runs until the stage before has ended.
    pub fn run(&mut self, groups: &Receiver<Arc<Group>>) -> anyhow::Result<()> {
        self.tell(self.position(), None);
        crate::app::lock(&self.accounts).watch(self.detector.sources());
        while let Some(group) = take(groups) {
            if let Some(site) = &group.site {
                self.take_over(site.clone())?;
            }
            if group.range.end <= self.position() {
                continue;
            }
            self.judge(&group)
                .with_context(|| format!("judging leaves {}..{}", group.range.start, group.range.end))?;
        }
        Ok(())
    }

    /// Judges with other tables and policies from now on. What was kept for policies that did not change goes on.
    fn take_over(&mut self, site: Site) -> anyhow::Result<()> {
        crate::app::lock(&self.accounts).declare(&site.tables);
        match site.policies {
            None => self.detector.set_tables(site.tables),
            Some(compiled) => {
                let (position, state) = self.store.load()?;
                let version = compiled.version.clone();
                self.detector = policies::detector(compiled, site.tables, state, position, Some(&self.folder))?;
                self.gaps.begin();
                tracing::info!(policies = version, "Policies in place.");
            }
        }
        crate::app::lock(&self.accounts).watch(self.detector.sources());
        Ok(())
    }

    fn judge(&mut self, group: &Group) -> anyhow::Result<()> {
        let mut output = self.detector.process(&group.span, &group.batches);
        if let Some(fault) = self.detector.fault() {
            return Err(fault.clone().into());
        }
        output.findings.iter_mut().for_each(crate::masking::finding);
        let mut delta = output.delta;
        delta.position = group.range.end;
        delta
            .put
            .push((super::joins::KEY.to_vec(), group.joins.as_bytes().to_vec()));
        delta.put.extend(group.dedup.put.iter().cloned());
        delta.delete.extend(group.dedup.delete.iter().cloned());
        {
            let mut accounts = self.accounts.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let (put, delete) = accounts.add(&group.accounts, self.clock.now());
            delta.put.extend(put);
            delta.delete.extend(delete);
            accounts.watch(self.detector.sources());
        }
        let committed = self
            .store
            .commit(std::slice::from_ref(&delta), &output.findings, self.clock.now())?;
        for id in &committed.raised {
            metrics::counter!("docket_alerts_raised_total").increment(1);
            tracing::info!(alert = %id, "Alert raised.");
        }
        if !committed.raised.is_empty() {
            self.deliver.notify_one();
        }
        self.tell(group.range.end, group.due);
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
