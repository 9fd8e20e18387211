//! Writing: batches in, commits that carry their position.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use model::{Batch, LedgerIndex, Millis};
use tantivy::indexer::{IndexWriterOptions, LogMergePolicy};
use tantivy::{TantivyDocument, TantivyError};

use crate::document::{Documents, Mask, Uid};
use crate::error::{Error, Result};
use crate::hot::Hot;
use crate::leaves::Leaves;
use crate::payload::Payload;
use crate::reader::Searcher;

/// What indexing may use.
#[derive(Clone, Copy, Debug)]
pub struct Budgets {
    /// Bytes of the arena in which documents gather before they are written; 15 MB at least.
    pub heap_bytes: usize,
    /// Threads that merge segments.
    pub merge_threads: usize,
    /// Documents of a segment above which it is not merged any more.
    pub segment_docs_max: usize,
    /// Bytes of text that may wait for a commit. Tantivy's queue is bounded by a number of documents only, so above
    /// it the writer commits of itself, position and all.
    pub waiting_bytes_max: usize,
}

impl Default for Budgets {
    fn default() -> Budgets {
        Budgets {
            heap_bytes: 64 << 20,
            merge_threads: 1,
            segment_docs_max: 4_000_000,
            waiting_bytes_max: 128 << 20,
        }
    }
}

/// Where an event is from that came of other leaves than the one that gave it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The leaves of its records, in order; the first is the event's own.
    pub leaves: Vec<LedgerIndex>,
    /// When that was received.
    pub received_at: Millis,
}

/// What a piece of the ledger gives to index.
#[derive(Clone, Copy, Debug)]
pub struct Work<'a> {
    /// The events, each at the leaf that gave it out.
    pub batches: &'a [Batch],
    /// The next leaf to handle.
    pub up_to: LedgerIndex,
    /// Events that came of other leaves than that, by record id.
    pub places: &'a BTreeMap<Arc<str>, Place>,
    /// The events of these first leaves go before the batches come.
    pub replaced: &'a [LedgerIndex],
    /// What the caller wants to find again with the position ([`IndexWriter::note`]).
    pub note: &'a str,
}

/// The writer of the hot index. One at a time a folder.
pub struct IndexWriter {
    hot: Hot,
    writer: tantivy::IndexWriter<TantivyDocument>,
    documents: Documents,
    payload: Payload,
    /// The position of the last commit.
    committed: LedgerIndex,
    searcher: Searcher,
    /// When what is added is indexed.
    processed: Option<Millis>,
    /// Bytes of text added since the last commit.
    waiting_bytes: usize,
    waiting_bytes_max: usize,
}

impl IndexWriter {
    /// Opens the index in `dir` for writing; makes it where there is none. What was not committed is gone, and
    /// [`IndexWriter::position`] says from where the ledger has to be replayed. `mask` hides secrets in text
    /// before it is indexed.
    ///
    /// # Errors
    /// [`Error::Rebuild`] where what lies in `dir` cannot be used (all of it is read and checked),
    /// [`Error::Busy`] where another writer has it.
    pub fn open(dir: &Path, budgets: Budgets, mask: Mask) -> Result<IndexWriter> {
        let hot = Hot::open_or_create(dir)?;
        let options = IndexWriterOptions::builder()
            .memory_budget_per_thread(budgets.heap_bytes)
            .num_worker_threads(1)
            .num_merge_threads(budgets.merge_threads)
            .build();
        let writer = hot.index.writer_with_options(options).map_err(|e| match e {
            TantivyError::LockFailure(..) => Error::Busy { dir: dir.to_owned() },
            other => Error::Tantivy(other),
        })?;
        // A commit each half second makes many small segments: they merge eight at a time within a level, and all
        // below 10,000 documents are one level.
        let mut policy = LogMergePolicy::default();
        policy.set_min_num_segments(8);
        policy.set_min_layer_size(10_000);
        policy.set_max_docs_before_merge(budgets.segment_docs_max);
        writer.set_merge_policy(Box::new(policy));
        let payload = hot.payload()?;
        let searcher = Searcher::of(hot.clone())?;
        let documents = Documents::new(hot.fields.clone(), mask);
        Ok(IndexWriter {
            committed: payload.position,
            hot,
            writer,
            documents,
            payload,
            searcher,
            processed: None,
            waiting_bytes: 0,
            waiting_bytes_max: budgets.waiting_bytes_max,
        })
    }

    /// The next leaf to handle.
    #[must_use]
    pub fn position(&self) -> LedgerIndex {
        self.payload.position
    }

    /// The position that is on disk: where a restart would replay from.
    #[must_use]
    pub fn committed(&self) -> LedgerIndex {
        self.committed
    }

    /// From now on what is added is indexed at this time; nothing else depends on it.
    pub fn set_processed_at(&mut self, now: Millis) {
        self.processed = Some(now);
    }

    /// Indexes the events of `batches` and moves the position to `up_to`, below which every leaf is now handled.
    /// Events that the index holds are skipped, so a replay makes no doubles. Events at or past `up_to` are
    /// welcome (an earlier record is still being joined) and remembered one by one. Returns how many were new.
    ///
    /// # Errors
    /// The disk's; the writer has to be opened again.
    pub fn add(&mut self, batches: &[Batch], up_to: LedgerIndex) -> Result<u64> {
        self.take(&Work {
            batches,
            up_to,
            places: &BTreeMap::new(),
            replaced: &[],
            note: "",
        })
    }

    /// As [`IndexWriter::add`], for events of several records and for those that take others' place. All of it is
    /// committed together, or none.
    ///
    /// # Errors
    /// The disk's; the writer has to be opened again.
    pub fn take(&mut self, work: &Work<'_>) -> Result<u64> {
        let mut added = 0;
        let is_new = work.up_to > self.payload.position;
        let replaces = is_new && !work.replaced.is_empty();
        if replaces {
            self.writer.delete_query(Box::new(Leaves::new(work.replaced)))?;
        }
        for batch in work.batches {
            for (row, place) in batch.rows.iter().enumerate() {
                let uid = batch.uid(row);
                let event = Uid::parse(uid).event;
                let of = (!work.places.is_empty())
                    .then(|| work.places.get(uid.split('#').next().unwrap_or_default()))
                    .flatten();
                let leaves = of.map_or(std::slice::from_ref(&place.index), |p| &p.leaves);
                let received_at = of.map_or(place.received_at, |p| p.received_at);
                let first = *leaves.first().unwrap_or(&place.index);
                if self.payload.holds(place.index, first, event) {
                    continue;
                }
                let (document, bytes) = self.documents.document(batch, row, leaves, received_at, self.processed);
                self.writer.add_document(document)?;
                added += 1;
                self.payload.ahead.insert((first.0, event));
                self.waiting_bytes = self.waiting_bytes.saturating_add(bytes);
                // In the middle of a replacement the position cannot say what was done; its batches are bounded.
                if self.waiting_bytes > self.waiting_bytes_max && !replaces {
                    self.commit()?;
                }
            }
        }
        if is_new {
            self.payload.note = work.note.to_owned();
        }
        self.payload.advance(work.up_to);
        Ok(added)
    }

    /// What was given with the position.
    #[must_use]
    pub fn note(&self) -> &str {
        &self.payload.note
    }

    /// Makes all that was added durable and searchable, with the position, in one step; returns the position.
    ///
    /// # Errors
    /// The disk's; what the last commit holds stays, and the writer has to be opened again.
    pub fn commit(&mut self) -> Result<LedgerIndex> {
        let mut commit = self.writer.prepare_commit()?;
        commit.set_payload(&self.payload.text());
        commit.commit()?;
        self.waiting_bytes = 0;
        self.committed = self.payload.position;
        self.searcher.reload()?;
        Ok(self.committed)
    }

    /// A searcher that sees each commit as it is made.
    #[must_use]
    pub fn searcher(&self) -> Searcher {
        self.searcher.clone()
    }

    /// The folder of the index.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.hot.dir
    }

    /// Waits for running merges and closes the index. What was not committed is gone.
    ///
    /// # Errors
    /// The disk's.
    pub fn close(self) -> Result<()> {
        self.writer.wait_merging_threads()?;
        Ok(())
    }
}
