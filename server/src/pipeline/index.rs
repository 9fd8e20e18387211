//! Batches to the index, which holds its position in its commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use model::LedgerIndex;
use search::{IndexWriter, Work};

use super::Group;
use crate::clock::Clock;

/// The stage.
pub struct Index {
    /// The hot index.
    pub writer: IndexWriter,
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
        loop {
            let wait = dirty_since.map_or(Duration::from_secs(3600), |t| {
                self.commit_every.saturating_sub(t.elapsed())
            });
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
                }
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if dirty_since.is_some_and(|t| t.elapsed() >= self.commit_every) {
                self.commit()?;
                dirty_since = None;
            }
        }
        if dirty_since.is_some() {
            self.commit()?;
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
