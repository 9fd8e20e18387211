//! Bytes to batches: reads the ledger as it grows, normalizes, leaves duplicates out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use ingest::Normalizer;
use ingest::batcher::batches;
use ingest::dedup::Dedup;
use ledger::Reader;
use model::{Entry, LedgerIndex, Wanted};
use tokio::sync::watch;

use super::{Group, hand_on};
use crate::accounts::{Accounts, Counted, Outcome};

/// Records that a group holds at most.
const GROUP_RECORDS: usize = 2048;
/// Bytes of records that a group holds at most (one larger record is a group of its own).
const GROUP_BYTES: usize = 2 << 20;
/// How long a quiet ledger is waited for before the stop flag is looked at.
const WAIT: Duration = Duration::from_millis(100);

/// The stage.
pub struct Normalize {
    /// Reads beside the writer.
    pub reader: Arc<Reader>,
    /// What is durable, and so may be read.
    pub durable: watch::Receiver<LedgerIndex>,
    /// Formats.
    pub normalizer: Arc<Normalizer>,
    /// Duplicates within seven days.
    pub dedup: Dedup,
    /// Columns to build.
    pub wanted: Wanted,
}

impl Normalize {
    /// Runs until told to stop, or until a later stage has gone.
    pub fn run(
        mut self,
        cuts: &[LedgerIndex],
        stages: &[SyncSender<Arc<Group>>],
        stop: &AtomicBool,
    ) -> anyhow::Result<()> {
        let mut next = cuts.iter().copied().min().unwrap_or_default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        loop {
            let durable = *self.durable.borrow_and_update();
            if next >= durable {
                if stop.load(Ordering::Relaxed) {
                    return Ok(());
                }
                let changed = runtime.block_on(async { tokio::time::timeout(WAIT, self.durable.changed()).await });
                if let Ok(Err(_writer_gone)) = changed {
                    return Ok(());
                }
                continue;
            }
            // A group ends where a stage stands, so that the stage takes it whole or not at all.
            let cut = cuts
                .iter()
                .copied()
                .filter(|c| *c > next)
                .min()
                .map_or(durable, |c| c.min(durable));
            let records = usize::try_from(cut.0 - next.0).unwrap_or(usize::MAX).min(GROUP_RECORDS);
            let entries = self.reader.read(next, records, GROUP_BYTES)?;
            let Some(last) = entries.last() else {
                anyhow::bail!("the ledger holds no leaf {next}, although {durable} are durable");
            };
            let end = last.index.next();
            let group = self.group(next, end, entries);
            if !hand_on(group, stages) {
                return Ok(());
            }
            next = end;
        }
    }

    fn group(&mut self, from: LedgerIndex, to: LedgerIndex, entries: Vec<Entry>) -> Group {
        let mut accounts = Accounts::default();
        let mut span = Vec::with_capacity(entries.len());
        let mut events = Vec::with_capacity(entries.len());
        for Entry { index, record } in entries {
            span.push((index, record.received_at));
            let normalized = self.normalizer.normalize(&record);
            let duplicate = normalized
                .dedup
                .is_some_and(|key| self.dedup.check(index, record.received_at, key).is_some());
            let outcome = match normalized.quarantined {
                _ if duplicate => Outcome::Deduplicated,
                Some(_) => Outcome::Quarantined,
                None => Outcome::Stored,
            };
            let counted = Counted {
                outcome,
                received_at: record.received_at,
                time: normalized.events.first().map(|e| e.time),
                reason: normalized.quarantined.map(|q| q.0),
            };
            accounts.count(&record.source, counted);
            if !duplicate {
                let source = record.source;
                events.extend(
                    normalized
                        .events
                        .into_iter()
                        .map(|e| (index, record.received_at, source.clone(), e)),
                );
            }
        }
        let mut dedup = self.dedup.take_delta();
        dedup.position = to;
        Group {
            range: from..to,
            span,
            batches: batches(&events, &self.wanted),
            dedup,
            accounts,
        }
    }
}
