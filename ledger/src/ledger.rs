//! The writer of a ledger: append, fsync, seal, sign.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::Write;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::{LedgerIndex, Millis, RawRecord};

use crate::checkpoint::Checkpoint;
use crate::frame::GROUP;
use crate::merkle::{Hash, RightEdge, leaf_hash};
use crate::note::SignerKey;
use crate::positions::Positions;
use crate::recent::Recent;
use crate::seal::Sealer;
use crate::tail::{self, LEAF_HEADER, Scan, Step};
use crate::{Error, Reader, leaf, recover};

/// Leaves after which a new file of the tail is begun, at the next group.
const TAIL_LEAVES: u64 = 4096;
/// Bytes after which a new file of the tail is begun, at the next group.
const TAIL_BYTES: u64 = 16 << 20;
/// Bytes of appended leaves after which they are fsynced without being asked.
const UNSYNCED_BYTES: usize = 8 << 20;

/// The single writer of a ledger folder; it holds the folder's lock while it lives.
///
/// [`append`](Ledger::append) buffers; [`flush`](Ledger::flush) fsyncs, after which records may be acknowledged;
/// [`seal`](Ledger::seal) compresses whole groups; [`sync`](Ledger::sync) does both;
/// [`checkpoint`](Ledger::checkpoint) signs. After a failed write everything but reading is refused
/// ([`Error::Broken`]): what is on disk is known again after [`Ledger::open`].
#[derive(Debug)]
pub struct Ledger {
    pub(crate) dir: PathBuf,
    /// Locked while the ledger lives.
    pub(crate) _lock: File,
    pub(crate) key: SignerKey,
    pub(crate) vkey: String,
    /// The tree of all leaves, and of those that are fsynced.
    pub(crate) edge: RightEdge,
    pub(crate) durable: RightEdge,
    pub(crate) positions: Positions,
    /// The roots of the groups that are complete and not sealed.
    pub(crate) groups: VecDeque<Hash>,
    /// The tail's files, oldest first; the last one is written.
    pub(crate) files: VecDeque<TailFile>,
    /// Where, in the first file, the first leaf begins that is not sealed.
    pub(crate) seal_at: u64,
    pub(crate) sealer: Sealer,
    /// Leaves that are not written yet, as they will be in the tail, and where each begins.
    pub(crate) buffer: Vec<u8>,
    pub(crate) starts: Vec<usize>,
    pub(crate) checkpoints: (PathBuf, File),
    pub(crate) last: Option<Checkpoint>,
    pub(crate) recent: Arc<Recent>,
    pub(crate) broken: bool,
}

/// A file of the tail.
#[derive(Debug)]
pub(crate) struct TailFile {
    pub(crate) path: PathBuf,
    pub(crate) file: File,
    pub(crate) first: u64,
    /// Bytes written.
    pub(crate) len: u64,
}

impl Ledger {
    /// Opens the ledger in a folder, or makes one; `origin` is its name in checkpoints, for ever.
    ///
    /// What a crash left incomplete after the last checkpoint is cut; see [`crate`] for the files.
    ///
    /// # Errors
    /// [`Error::Locked`]: another process has it open. [`Error::Integrity`]: something else than that suffix does
    /// not hold. [`Error::Key`]: the origin is not well formed or not this ledger's, or its key is missing.
    pub fn open(dir: &Path, origin: &str) -> Result<Ledger, Error> {
        recover::open(dir, origin)
    }

    /// Appends records in order, all or none; gives their indexes. They are neither durable nor visible to readers
    /// before [`Ledger::flush`].
    ///
    /// # Errors
    /// [`Error::Repeated`]: an offset is below [`Ledger::next_offset`] of its partition (or negative).
    /// [`Error::TooLarge`]: a record that no leaf can hold. In both cases the batch left no trace.
    pub fn append(&mut self, records: &[RawRecord]) -> Result<Range<LedgerIndex>, Error> {
        self.whole()?;
        self.check(records)?;
        let first = self.size();
        for record in records {
            if self.edge.size().is_multiple_of(GROUP) {
                self.rotate()?;
            }
            let start = self.buffer.len();
            tail::put(&mut self.buffer, self.edge.size(), |out| leaf::write(record, out));
            self.starts.push(start);
            self.groups
                .extend(self.edge.push(leaf_hash(&self.buffer[start + LEAF_HEADER..])));
            self.positions.observe_record(record);
            if self.buffer.len() >= UNSYNCED_BYTES {
                self.flush()?;
            }
        }
        Ok(first..self.size())
    }

    /// Writes and fsyncs what was appended; gives the number of leaves that are durable, which is all of them.
    /// One `fdatasync`. Acknowledge after it.
    ///
    /// # Errors
    /// The disk's; the ledger is [`Error::Broken`] then.
    pub fn flush(&mut self) -> Result<LedgerIndex, Error> {
        self.whole()?;
        if !self.buffer.is_empty() {
            let file = self.files.back_mut().expect("the tail always has a file");
            let written = file
                .file
                .write_all_at(&self.buffer, file.len)
                .and_then(|()| file.file.sync_data());
            if let Err(e) = written {
                // Which pages reached the disk is unknown after a failed fsync, also to a second fsync.
                self.broken = true;
                return Err(Error::io(&file.path)(e));
            }
            file.len += self.buffer.len() as u64;
            let first = self.durable.size();
            self.durable.clone_from(&self.edge);
            let capacity = self.buffer.capacity().min(1 << 20);
            let written = std::mem::replace(&mut self.buffer, Vec::with_capacity(capacity));
            self.recent
                .publish(first, written.into(), std::mem::take(&mut self.starts));
        }
        Ok(self.durable())
    }

    /// Compresses the whole groups among the durable leaves into frames, and lets the tail go of them.
    ///
    /// # Errors
    /// The disk's, or [`Error::Integrity`]: the tail does not hold what was written to it.
    pub fn seal(&mut self) -> Result<(), Error> {
        self.whole()?;
        let sealed = self.seal_groups();
        self.broken |= sealed.is_err();
        sealed
    }

    /// [`Ledger::flush`], then [`Ledger::seal`].
    ///
    /// # Errors
    /// As these two.
    pub fn sync(&mut self) -> Result<LedgerIndex, Error> {
        let durable = self.flush()?;
        self.seal()?;
        Ok(durable)
    }

    /// Signs the durable leaves, if there are more than at the last checkpoint; the checkpoint is durable then.
    ///
    /// # Errors
    /// The disk's.
    pub fn checkpoint(&mut self, now: Millis) -> Result<Option<Checkpoint>, Error> {
        self.whole()?;
        let size = self.durable.size();
        if size <= self.last.as_ref().map_or(0, |c| c.size) {
            return Ok(None);
        }
        let checkpoint = Checkpoint::sign(&self.key, size, self.durable.root(), now);
        let (path, file) = &mut self.checkpoints;
        let written = file
            .write_all(format!("{}\n", checkpoint.note).as_bytes())
            .and_then(|()| file.sync_data());
        if let Err(e) = written {
            self.broken = true;
            return Err(Error::io(path)(e));
        }
        self.last = Some(checkpoint.clone());
        Ok(Some(checkpoint))
    }

    /// The last checkpoint.
    #[must_use]
    pub fn last_checkpoint(&self) -> Option<&Checkpoint> {
        self.last.as_ref()
    }

    /// How many leaves were appended: the index of the next one.
    #[must_use]
    pub fn size(&self) -> LedgerIndex {
        LedgerIndex(self.edge.size())
    }

    /// How many of them are fsynced.
    #[must_use]
    pub fn durable(&self) -> LedgerIndex {
        LedgerIndex(self.durable.size())
    }

    /// The root over all leaves appended.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.edge.root()
    }

    /// Where a partition goes on: the greatest offset that was appended, and one. `None`: nothing of it was.
    #[must_use]
    pub fn next_offset(&self, topic: &str, partition: i32) -> Option<i64> {
        self.positions.span(topic, partition).map(|s| s.next)
    }

    /// Every partition with its [`Ledger::next_offset`], by topic and partition.
    #[must_use]
    pub fn positions(&self) -> Vec<(Arc<str>, i32, i64)> {
        self.positions
            .iter()
            .map(|(topic, partition, span)| (topic.clone(), partition, span.next))
            .collect()
    }

    /// The greatest `received_at` of all records: engine time. `None` of an empty ledger.
    #[must_use]
    pub fn greatest_received_at(&self) -> Option<Millis> {
        self.positions.greatest_received_at()
    }

    /// The verifier key, `<name>+<hash>+<base64>`, which is also in the file `ledger.vkey`.
    #[must_use]
    pub fn vkey(&self) -> &str {
        &self.vkey
    }

    /// A reader in this process. It sees leaves as soon as they are durable, the recent ones without the disk, and
    /// lives on when the ledger is closed.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader::of_writer(&self.dir, self.recent.clone())
    }

    fn whole(&self) -> Result<(), Error> {
        if self.broken { Err(Error::Broken) } else { Ok(()) }
    }

    /// Everything for which a batch may be refused, before any of it is appended.
    fn check(&self, records: &[RawRecord]) -> Result<(), Error> {
        let mut within = Positions::default();
        for record in records {
            let at = &record.coordinate;
            let known = within
                .span(&at.topic, at.partition)
                .or_else(|| self.positions.span(&at.topic, at.partition));
            let next = known.map_or(0, |s| s.next);
            // The last offset that there is has no next one; it may come once.
            if at.offset < next || at.offset == i64::MAX {
                return Err(Error::Repeated {
                    coordinate: at.clone(),
                    next,
                });
            }
            within.observe_record(record);
            leaf::check(record)?;
        }
        Ok(())
    }

    /// Begins a new file of the tail, if the last one is long enough. The next leaf begins a group.
    fn rotate(&mut self) -> Result<(), Error> {
        let file = self.files.back().expect("the tail always has a file");
        let leaves = self.edge.size() - file.first;
        let bytes = file.len + self.buffer.len() as u64;
        if leaves == 0 || (leaves < TAIL_LEAVES && bytes < TAIL_BYTES) {
            return Ok(());
        }
        // All of the old file is durable before there is a new one, so that only the last file can be torn.
        self.flush()?;
        let first = self.edge.size();
        let created = tail::create(&self.dir, first);
        self.broken |= created.is_err();
        let (path, file) = created?;
        self.files.push_back(TailFile {
            path,
            file,
            first,
            len: tail::FILE_HEADER,
        });
        Ok(())
    }

    fn seal_groups(&mut self) -> Result<(), Error> {
        let durable = self.durable.size();
        if self.sealer.sealed() + GROUP > durable {
            return Ok(());
        }
        let mut done = 0;
        for (n, file) in self.files.iter().enumerate() {
            let end = self.files.get(n + 1).map_or(durable, |next| next.first);
            if n > 0 {
                self.seal_at = tail::FILE_HEADER;
            }
            let mut scan = Scan::new(&file.path, &file.file, self.seal_at, self.sealer.sealed());
            while self.sealer.sealed() + GROUP <= end {
                let root = self.groups.pop_front().expect("each complete group has its root");
                self.sealer.group(root, || match scan.step()? {
                    Step::Leaf(_, leaf) => Ok(leaf),
                    _ => {
                        let what = "the tail does not hold what was written to it";
                        Err(Error::integrity(&file.path, scan.position(), None, what))
                    }
                })?;
            }
            self.seal_at = scan.position();
            if self.sealer.sealed() < end {
                break;
            }
            done = n + 1;
        }
        self.sealer.sync()?;
        // The last file stays, also where all its leaves are sealed: it is being written.
        for _ in 0..done.min(self.files.len() - 1) {
            if let Some(file) = self.files.pop_front() {
                fs::remove_file(&file.path).map_err(Error::io(&file.path))?;
            }
        }
        Ok(())
    }
}
