//! Writing: batches in, commits that carry their position.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::{Batch, LedgerIndex, Millis};
use tantivy::TantivyError;
use tantivy::indexer::IndexWriterOptions;
use tantivy::indexer::UserOperation;

use crate::document::{Documents, Mask, Origin, Uid};
use crate::error::{Error, Result};
use crate::hot::Hot;
use crate::leaves::Leaves;
use crate::manifest::{Manifest, folders_on_disk, hot_name};
use crate::merging::Once;
use crate::payload::Payload;
use crate::reader::Searcher;
use crate::row::Row;
use crate::split::{Split, check, sync};
use crate::tending::Maturing;

/// What indexing may use.
#[derive(Clone, Copy, Debug)]
pub struct Budgets {
    /// Bytes of the arena in which documents gather before they are written; 15 MB at least.
    pub heap_bytes: usize,
    /// Threads that merge segments.
    pub merge_threads: usize,
    /// Events after which the hot generation takes nothing more and becomes splits.
    pub split_docs: u64,
    /// Bytes of text after which it does.
    pub split_bytes: u64,
    /// Milliseconds between the first and the last of its records' arrivals after which it does.
    pub split_ms: i64,
    /// Events of a segment that is a split as it is, where it is wholly of one window of time.
    pub own_docs: u32,
    /// Bytes of text that may wait for a commit. Tantivy's queue is bounded by a number of documents only, so above
    /// it the writer commits of itself, position and all.
    pub waiting_bytes_max: usize,
}

impl Budgets {
    /// A server's: commits come each half second, so that little gathers between them, unless the index is behind.
    pub const STANDARD: Budgets = Budgets {
        heap_bytes: 128 << 20,
        merge_threads: 1,
        split_docs: 1_000_000,
        split_bytes: 2 << 30,
        split_ms: 86_400_000,
        own_docs: 50_000,
        waiting_bytes_max: 64 << 20,
    };
}

impl Default for Budgets {
    fn default() -> Budgets {
        Budgets::STANDARD
    }
}

/// Bytes of text of events that are handed on together.
const TOGETHER_BYTES: usize = 256 << 10;

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

/// The writer of the index. One at a time a folder.
pub struct IndexWriter {
    pub(crate) dir: PathBuf,
    pub(crate) manifest: Manifest,
    pub(crate) hot: Hot,
    pub(crate) writer: tantivy::IndexWriter<Row>,
    pub(crate) documents: Documents,
    pub(crate) payload: Payload,
    /// The position of the last commit.
    pub(crate) committed: LedgerIndex,
    pub(crate) searcher: Searcher,
    /// When what is added is indexed.
    pub(crate) processed: Option<Millis>,
    /// Bytes of text added since the last commit.
    pub(crate) waiting_bytes: usize,
    pub(crate) budgets: Budgets,
    /// Events of the hot generation.
    pub(crate) hot_events: u64,
    /// When the last record that was added was received.
    pub(crate) received: Millis,
    /// Writers of generations that take nothing more, until their merges have ended.
    pub(crate) closing: BTreeMap<u64, tantivy::IndexWriter<Row>>,
    /// A generation of which splits are being made.
    pub(crate) maturing: Option<Maturing>,
    /// Splits that are no longer the index, but may be read by who began before.
    pub(crate) leaving: Vec<Arc<Split>>,
}

impl IndexWriter {
    /// Opens the index in `dir` for writing; makes it where there is none. What was not committed is gone, and
    /// [`IndexWriter::position`] says from where the ledger has to be replayed. `mask` hides secrets in text
    /// before it is indexed.
    ///
    /// # Errors
    /// [`Error::Rebuild`] where what lies in `dir` cannot be used (what is hot is read and checked; splits must be there in
    /// full length, [`check`](crate::check) reads them), [`Error::Busy`] where another writer has it.
    pub fn open(dir: &Path, budgets: Budgets, mask: Mask) -> Result<IndexWriter> {
        let io = |source| Error::Io {
            path: dir.to_owned(),
            source,
        };
        fs::create_dir_all(dir).map_err(io)?;
        let manifest = match Manifest::read(dir)? {
            Some(manifest) => manifest,
            None => begin(dir)?,
        };
        let hot = Hot::open(&dir.join(hot_name(manifest.hot)))?;
        let writer = writer_of(&hot, &budgets).map_err(|e| match e {
            Error::Tantivy(TantivyError::LockFailure(..)) => Error::Busy { dir: dir.to_owned() },
            other => other,
        })?;
        // Another writer may have gone on to another generation before we had the lock of this one.
        if Manifest::change_on_disk(dir) != Some(manifest.change) {
            return Err(Error::Busy { dir: dir.to_owned() });
        }
        hot.check()?;
        for generation in &manifest.sealed {
            check(&dir.join(hot_name(*generation)))?;
        }
        for info in &manifest.splits {
            if !Split::new(dir, info.clone()).is_whole() {
                return Err(hot_rebuild(dir, format!("files of {} are missing or cut", info.name())));
            }
        }
        let named = manifest.folders();
        for path in folders_on_disk(dir)? {
            let is_named = path.file_name().is_some_and(|n| named.iter().any(|f| n == f.as_str()));
            if !is_named {
                fs::remove_dir_all(&path).map_err(io)?;
            }
        }
        let payload = hot.payload()?;
        let searcher = Searcher::open(dir)?;
        let documents = Documents::new(hot.fields.clone(), mask);
        Ok(IndexWriter {
            dir: dir.to_owned(),
            committed: payload.position,
            hot_events: hot.events()?,
            manifest,
            hot,
            writer,
            documents,
            payload,
            searcher,
            processed: None,
            waiting_bytes: 0,
            budgets,
            received: Millis(i64::MIN),
            closing: BTreeMap::new(),
            maturing: None,
            leaving: Vec::new(),
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
            self.payload.replace(self.manifest.hot, work.replaced);
        }
        for batch in work.batches {
            let columns = self.documents.columns(batch);
            for (row, place) in batch.rows.iter().enumerate() {
                let uid = batch.uid(row);
                let parsed = Uid::parse(uid);
                let of = (!work.places.is_empty())
                    .then(|| work.places.get(uid.split('#').next().unwrap_or_default()))
                    .flatten();
                let leaves = of.map_or(std::slice::from_ref(&place.index), |p| &p.leaves);
                let received_at = of.map_or(place.received_at, |p| p.received_at);
                let first = *leaves.first().unwrap_or(&place.index);
                if self.payload.holds(place.index, first, parsed.event) {
                    continue;
                }
                let origin = Origin {
                    uid: &parsed,
                    leaves,
                    received_at,
                    processed: self.processed,
                };
                let bytes = self.documents.add(batch, &columns, row, &origin);
                added += 1;
                self.hot_events += 1;
                self.received = self.received.max(received_at);
                self.payload.since.get_or_insert(received_at);
                self.payload.bytes = self.payload.bytes.saturating_add(bytes as u64);
                self.payload.ahead.insert((first.0, parsed.event));
                self.waiting_bytes = self.waiting_bytes.saturating_add(bytes);
                if self.documents.rows.bytes() > TOGETHER_BYTES {
                    self.hand_on()?;
                }
                // In the middle of a replacement the position cannot say what was done; its batches are bounded.
                if self.waiting_bytes > self.budgets.waiting_bytes_max && !replaces {
                    self.hand_on()?;
                    self.commit()?;
                }
            }
        }
        self.hand_on()?;
        if is_new {
            self.payload.note = work.note.to_owned();
        }
        self.payload.advance(work.up_to);
        Ok(added)
    }

    /// Hands the events that were read to the thread that indexes them.
    fn hand_on(&mut self) -> Result<()> {
        let rows = std::mem::replace(&mut self.documents.rows, self.documents.spare.rows());
        self.writer
            .run(rows.rows(&self.documents.spare).map(UserOperation::Add))?;
        Ok(())
    }

    /// What was given with the position.
    #[must_use]
    pub fn note(&self) -> &str {
        &self.payload.note
    }

    /// Makes all that was added durable and searchable, with the position, in one step; returns the position. Where the
    /// hot generation is large or old enough it takes nothing more, and splits are made of it in a thread beside.
    ///
    /// # Errors
    /// The disk's; what the last commit holds stays, and the writer has to be opened again.
    pub fn commit(&mut self) -> Result<LedgerIndex> {
        fail::fail_point!("index::commit");
        commit(&mut self.writer, &self.payload)?;
        fail::fail_point!("index::committed");
        self.waiting_bytes = 0;
        self.committed = self.payload.position;
        if self.is_mature() {
            self.seal()?;
        }
        self.searcher.reload()?;
        self.tend()?;
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
        &self.dir
    }

    /// Waits for running merges and closes the index. What was not committed is gone; of what is sealed splits are made at
    /// the next opening.
    ///
    /// # Errors
    /// The disk's.
    pub fn close(mut self) -> Result<()> {
        if self.maturing.is_some() {
            self.publish()?;
        }
        for (_, writer) in self.closing {
            writer.wait_merging_threads()?;
        }
        self.writer.wait_merging_threads()?;
        Ok(())
    }
}

/// Begins an index where there is none.
fn begin(dir: &Path) -> Result<Manifest> {
    let mut manifest = Manifest::new();
    let first = dir.join(hot_name(manifest.hot));
    for entry in fs::read_dir(dir).map_err(|source| Error::Io {
        path: dir.to_owned(),
        source,
    })? {
        let name = entry?.file_name();
        // Begun once and ended before there was a manifest: nothing can have been committed.
        let is_begun = *name == *hot_name(manifest.hot) && !Hot::open(&first).is_ok_and(|h| h.has_commits());
        if !name.to_string_lossy().starts_with('.') && !is_begun {
            return Err(hot_rebuild(dir, "it has no manifest".into()));
        }
    }
    let hot = Hot::create(&first)?;
    sync(&hot.dir)?;
    fail::fail_point!("index::begun");
    manifest.publish(dir)?;
    Ok(manifest)
}

fn hot_rebuild(dir: &Path, reason: String) -> Error {
    Error::Rebuild {
        dir: dir.to_owned(),
        reason,
    }
}

pub(crate) fn writer_of(hot: &Hot, budgets: &Budgets) -> Result<tantivy::IndexWriter<Row>> {
    let options = IndexWriterOptions::builder()
        .memory_budget_per_thread(budgets.heap_bytes)
        .num_worker_threads(1)
        .num_merge_threads(budgets.merge_threads)
        .build();
    let writer = hot.index.writer_with_options(options)?;
    writer.set_merge_policy(Box::new(Once));
    Ok(writer)
}

pub(crate) fn commit(writer: &mut tantivy::IndexWriter<Row>, payload: &Payload) -> Result<()> {
    let mut commit = writer.prepare_commit()?;
    commit.set_payload(&payload.text());
    commit.commit()?;
    Ok(())
}
