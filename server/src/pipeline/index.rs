//! Batches to the index, which holds its position in its commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use model::{LedgerIndex, Millis};
use search::{IndexWriter, Work};

use super::Group;
use crate::clock::Clock;

/// How often it is looked whether splits are ready, or are to go, while no record comes.
const TEND_EVERY: Duration = Duration::from_secs(1);

/// Of records that were received so long ago the index is behind: it catches up sooner with fewer, larger commits.
const BEHIND: Duration = Duration::from_secs(10);
/// As many times as long is between two commits then.
const BEHIND_TIMES: u32 = 40;

/// The stage.
pub struct Index {
    /// The index.
    pub writer: IndexWriter,
    /// What was received before this moment (ms) leaves the index, split by split.
    pub expired: Arc<AtomicI64>,
    /// How often it is committed while records come.
    pub commit_every: Duration,
    /// Told to the rest of the server: leaves below are searchable.
    pub searchable: Arc<AtomicU64>,
    /// The first leaf that waits for others.
    pub held: Option<LedgerIndex>,
    /// Says when events are indexed.
    pub clock: Clock,
}

impl Index {
    /// The next leaf to index.
    pub fn position(&self) -> LedgerIndex {
        self.writer.position()
    }

    /// Runs until the stage before has ended.
    pub fn run(&mut self, groups: &Receiver<Arc<Group>>) -> anyhow::Result<()> {
        let position = self.writer.position();
        let searchable = self.held.map_or(position, |held| held.min(position));
        self.searchable.store(searchable.0, Ordering::Relaxed);
        let mut dirty_since: Option<Instant> = None;
        let mut every = self.commit_every;
        loop {
            let wait = dirty_since.map_or(TEND_EVERY, |t| every.saturating_sub(t.elapsed()).min(self.commit_every));
            match groups.recv_timeout(wait) {
                Ok(group) if group.range.end > self.writer.position() => {
                    self.writer.set_processed_at(self.clock.now());
                    self.writer.take(&Work {
                        batches: &group.batches,
                        up_to: group.range.end,
                        places: &group.places,
                        replaced: &group.replaced,
                        note: &group.joins,
                    })?;
                    self.held = group.held;
                    dirty_since.get_or_insert_with(Instant::now);
                    every = self.commit_every * if self.is_behind(&group) { BEHIND_TIMES } else { 1 };
                }
                // Nothing more waits: what came is searched for now.
                Err(RecvTimeoutError::Timeout) => every = self.commit_every,
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if dirty_since.is_some_and(|t| t.elapsed() >= every) {
                self.commit()?;
                dirty_since = None;
            } else if dirty_since.is_none() {
                self.writer.tend()?;
            }
            self.expire()?;
        }
        if dirty_since.is_some() {
            self.commit()?;
        }
        Ok(())
    }

    /// Whether the records of a group were received long ago.
    fn is_behind(&self, group: &Group) -> bool {
        let received = group
            .batches
            .iter()
            .flat_map(|b| &b.rows)
            .map(|r| r.received_at.0)
            .max();
        let before = self.clock.now().0.saturating_sub(BEHIND.as_millis() as i64);
        received.is_some_and(|received| received < before)
    }

    /// Lets go of the splits that are to go.
    fn expire(&mut self) -> anyhow::Result<()> {
        let before = self.expired.swap(i64::MIN, Ordering::Relaxed);
        if before == i64::MIN {
            return Ok(());
        }
        for split in self.writer.drop_before(Millis(before))? {
            tracing::info!(split = split.name(), events = split.events, last = %split.last, "Split has left the index.");
        }
        Ok(())
    }

    fn commit(&mut self) -> anyhow::Result<()> {
        let position = self.writer.commit()?;
        // What waits for the rest of its event is not searchable yet.
        let searchable = self.held.map_or(position, |held| held.min(position));
        self.searchable.store(searchable.0, Ordering::Relaxed);
        metrics::gauge!("docket_indexed_position").set(position.0 as f64);
        Ok(())
    }
}
