//! What the writer does besides writing: generations end and become splits, splits are marked and leave. Each step is one swap
//! of the manifest, so that a process that dies at any place leaves the index as it was before the step or after it.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use model::{LedgerIndex, Millis};
use tantivy::indexer::NoMergePolicy;
use tantivy::{SegmentReader, TantivyError};

use crate::error::{Error, Result};
use crate::hot::Hot;
use crate::leaves::Leaves;
use crate::manifest::{Dropped, SplitInfo, hot_name};
use crate::mature::mature;
use crate::split::{bytes, describe, sync};
use crate::writer::{Budgets, IndexWriter, commit, writer_of};

/// A thread that makes splits of a generation. Nobody goes on without it: it writes into the folder.
pub(crate) struct Maturing {
    generation: u64,
    thread: Option<JoinHandle<Result<Vec<SplitInfo>>>>,
}

impl Maturing {
    fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    fn join(&mut self) -> Result<Vec<SplitInfo>> {
        let panicked = || {
            Error::Tantivy(TantivyError::SystemError(
                "the thread that makes splits panicked".into(),
            ))
        };
        match self.thread.take() {
            Some(thread) => thread.join().map_err(|_| panicked())?,
            None => Ok(Vec::new()),
        }
    }
}

impl Drop for Maturing {
    fn drop(&mut self) {
        // What it made is made again at the next opening.
        let _ = self.join();
    }
}

impl IndexWriter {
    /// Does what is due besides: takes over splits that are ready, begins with the next ones, removes folders that nobody
    /// reads. To be called now and then when nothing is committed. Returns whether there is more to come.
    ///
    /// # Errors
    /// The disk's; the writer has to be opened again.
    pub fn tend(&mut self) -> Result<bool> {
        if self.maturing.as_ref().is_some_and(Maturing::is_finished) {
            self.publish()?;
        }
        if self.maturing.is_none() {
            match self.manifest.sealed.first().copied() {
                Some(generation) => self.mature(generation),
                None => self.bury()?,
            }
        }
        self.leaving.retain(|split| {
            // Ours is the last: nobody begins to read it any more.
            Arc::strong_count(split) > 1 || fs::remove_dir_all(self.dir.join(split.info.name())).is_err()
        });
        Ok(self.maturing.is_some() || !self.leaving.is_empty())
    }

    /// Waits until every generation that takes nothing more has become splits.
    ///
    /// # Errors
    /// The disk's; the writer has to be opened again.
    pub fn settle(&mut self) -> Result<()> {
        loop {
            self.tend()?;
            if self.maturing.is_none() {
                return Ok(());
            }
            self.publish()?;
        }
    }

    /// Takes away the splits whose records were all received before a moment; returns what they were. The ledger keeps
    /// what it has.
    ///
    /// # Errors
    /// The disk's; the writer has to be opened again.
    pub fn drop_before(&mut self, received: Millis) -> Result<Vec<SplitInfo>> {
        let is_old = |s: &SplitInfo| s.received.1 < received;
        let dropped: Vec<SplitInfo> = self.manifest.splits.iter().filter(|s| is_old(s)).cloned().collect();
        let (Some(first), Some(last)) = (
            dropped.iter().map(|s| s.first).min(),
            dropped.iter().map(|s| s.last).max(),
        ) else {
            return Ok(dropped);
        };
        let events: u64 = dropped.iter().map(|s| s.events).sum();
        let before = self.manifest.dropped;
        self.manifest.splits.retain(|s| !is_old(s));
        self.manifest.dropped = Some(Dropped {
            events: before.map_or(0, |d| d.events) + events,
            first: before.map_or(first, |d| d.first.min(first)),
            last: before.map_or(last, |d| d.last.max(last)),
            received_before: before.map_or(received, |d| d.received_before.max(received)),
        });
        let snapshot = self.searcher.snapshot();
        let leaving = snapshot.splits().filter(|s| is_old(&s.info)).cloned();
        self.leaving.extend(leaving);
        drop(snapshot);
        self.manifest.publish(&self.dir)?;
        fail::fail_point!("index::dropped");
        self.searcher.reload()?;
        self.tend()?;
        Ok(dropped)
    }

    /// Whether the hot generation has enough.
    pub(crate) fn is_mature(&self) -> bool {
        let age = self
            .payload
            .since
            .map_or(0, |since| self.received.0.saturating_sub(since.0));
        self.hot_events >= self.budgets.split_docs
            || self.payload.bytes >= self.budgets.split_bytes
            || (self.hot_events > 0 && age >= self.budgets.split_ms)
    }

    /// The hot generation takes nothing more, and another one is hot.
    pub(crate) fn seal(&mut self) -> Result<()> {
        let generation = self.manifest.next;
        let hot = Hot::create(&self.dir.join(hot_name(generation)))?;
        let mut writer = writer_of(&hot, &self.budgets)?;
        let mut payload = self.payload.clone();
        (payload.since, payload.bytes) = (None, 0);
        commit(&mut writer, &payload)?;
        sync(&hot.dir)?;
        fail::fail_point!("seal::made");
        let sealed = std::mem::replace(&mut self.manifest.hot, generation);
        self.manifest.sealed.push(sealed);
        self.manifest.next += 1;
        self.manifest.publish(&self.dir)?;
        fail::fail_point!("seal::published");
        self.closing.insert(sealed, std::mem::replace(&mut self.writer, writer));
        self.hot = hot;
        self.payload = payload;
        self.hot_events = 0;
        Ok(())
    }

    /// Begins to make splits of a generation.
    fn mature(&mut self, generation: u64) {
        let (dir, writer) = (self.dir.clone(), self.closing.remove(&generation));
        let own_docs = self.budgets.own_docs;
        let run = move || {
            if let Some(writer) = writer {
                writer.wait_merging_threads()?;
            }
            mature(&dir, generation, own_docs)
        };
        let thread = Some(std::thread::spawn(run));
        self.maturing = Some(Maturing { generation, thread });
    }

    /// Takes the splits that were made, once they are, in the place of their generation: one swap of the manifest.
    pub(crate) fn publish(&mut self) -> Result<()> {
        let Some(mut maturing) = self.maturing.take() else {
            return Ok(());
        };
        let (generation, made) = (maturing.generation, maturing.join()?);
        fail::fail_point!("mature::made");
        self.manifest.sealed.retain(|g| *g != generation);
        self.manifest.splits.extend(made);
        self.manifest.publish(&self.dir)?;
        fail::fail_point!("mature::published");
        self.searcher.reload()?;
        remove(&self.dir.join(hot_name(generation)))
    }

    /// Marks in the splits what others took the place of, so that the commit need not tell it any more. Nothing changes
    /// for who reads: what is marked is what the commit says.
    fn bury(&mut self) -> Result<()> {
        if self.payload.gone.is_empty() || self.hot.payload()?.gone != self.payload.gone {
            return Ok(());
        }
        let mut splits = self.manifest.splits.clone();
        for info in &mut splits {
            let gone = self.payload.gone_of(info.generation);
            if !gone.iter().any(|l| (info.leaves.0.0..=info.leaves.1.0).contains(l)) {
                continue;
            }
            let split = Hot::open(&self.dir.join(info.name()))?;
            let mut writer = writer_of(
                &split,
                &Budgets {
                    heap_bytes: 15 << 20,
                    ..self.budgets
                },
            )?;
            writer.set_merge_policy(Box::new(NoMergePolicy));
            let gone: Vec<LedgerIndex> = gone.into_iter().map(LedgerIndex).collect();
            writer.delete_query(Box::new(Leaves::new(&gone)))?;
            writer.commit()?;
            writer.wait_merging_threads()?;
            fail::fail_point!("bury::marked");
            sync(&split.dir)?;
            let readers: Vec<_> = split.index.searchable_segments()?;
            *info = match &readers[..] {
                [] => SplitInfo {
                    events: 0,
                    bytes: bytes(&split.dir)?,
                    ..info.clone()
                },
                [one, ..] => describe(&split.dir, info.generation, info.number, &SegmentReader::open(one)?)?,
            };
        }
        let (empty, rest): (Vec<_>, Vec<_>) = splits.into_iter().partition(|s| s.events == 0);
        self.manifest.splits = rest;
        self.manifest.publish(&self.dir)?;
        fail::fail_point!("bury::published");
        self.payload.gone.clear();
        commit(&mut self.writer, &self.payload)?;
        self.searcher.reload()?;
        for info in empty {
            remove(&self.dir.join(info.name()))?;
        }
        Ok(())
    }
}

fn remove(dir: &Path) -> Result<()> {
    fs::remove_dir_all(dir).map_err(|source| Error::Io {
        path: dir.to_owned(),
        source,
    })
}
