//! Reads a ledger beside its running writer, and makes proofs.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use model::{Coordinate, Entry, LedgerIndex};

use crate::bundle::ProofBundle;
use crate::checkpoint::{self, Checkpoint, Checkpoints};
use crate::disk::Disk;
use crate::merkle::Hash;
use crate::recent::Recent;
use crate::tree::Tree;
use crate::{Error, find, leaf, proof};

/// Reads leaves and makes proofs. It needs no lock and never writes.
///
/// `Send + Sync`; calls of several threads take turns where they need the disk, so a thread that reads much should
/// have its own: [`Reader::clone`] is cheap and starts with empty caches.
#[derive(Debug)]
pub struct Reader {
    dir: PathBuf,
    recent: Option<Arc<Recent>>,
    limit: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    disk: Disk,
    tree: Tree,
}

impl Reader {
    /// Opens a ledger for reading, in any process. It sees the leaves that were written, which may be some
    /// milliseconds before they are fsynced; [`Ledger::reader`](crate::Ledger::reader) sees fsynced ones only.
    ///
    /// # Errors
    /// [`Error::NoLedger`]: the folder holds none. [`Error::Integrity`]: the tail does not hold.
    pub fn open(dir: &Path) -> Result<Reader, Error> {
        let reader = Reader::new(dir, None);
        reader.state().disk.refresh()?;
        Ok(reader)
    }

    pub(crate) fn of_writer(dir: &Path, recent: Arc<Recent>) -> Reader {
        Reader::new(dir, Some(recent))
    }

    fn new(dir: &Path, recent: Option<Arc<Recent>>) -> Reader {
        let state = State {
            disk: Disk::new(dir),
            tree: Tree::default(),
        };
        Reader {
            dir: dir.to_owned(),
            recent,
            limit: AtomicU64::new(u64::MAX),
            state: Mutex::new(state),
        }
    }

    /// From now on, gives out no leaf at or after `limit`.
    pub fn read_up_to(&self, limit: LedgerIndex) {
        self.limit.store(limit.0, Ordering::Release);
    }

    /// How many leaves there are to read, now.
    ///
    /// # Errors
    /// The disk's, or [`Error::Integrity`]: the tail does not hold.
    pub fn size(&self) -> Result<LedgerIndex, Error> {
        let size = match &self.recent {
            Some(recent) => recent.durable(),
            None => self.state().disk.refresh()?,
        };
        Ok(LedgerIndex(size.min(self.limit.load(Ordering::Acquire))))
    }

    /// Records from `from` on, in order and without a gap: at most `max_records`, and no more than `max_bytes` of
    /// leaves unless the first alone has more. Empty only where there is no leaf `from` yet, or `max_records` is 0.
    ///
    /// # Errors
    /// The disk's, or [`Error::Integrity`].
    pub fn read(&self, from: LedgerIndex, max_records: usize, max_bytes: usize) -> Result<Vec<Entry>, Error> {
        let end = self.size()?.0.min(from.0.saturating_add(max_records as u64));
        let mut entries = Vec::with_capacity(end.saturating_sub(from.0).min(4096) as usize);
        let (mut index, mut bytes) = (from.0, 0);
        while index < end {
            let run = self.run(index, (end - index) as usize)?;
            if run.is_empty() {
                return Err(self.missing(index));
            }
            for leaf in run {
                bytes += leaf.len();
                if bytes > max_bytes && !entries.is_empty() {
                    return Ok(entries);
                }
                entries.push(self.decode(index, &leaf)?);
                index += 1;
            }
        }
        Ok(entries)
    }

    /// The record of a leaf.
    ///
    /// # Errors
    /// [`Error::OutOfRange`]: there is no such leaf yet. Otherwise as [`Reader::read`].
    pub fn entry(&self, index: LedgerIndex) -> Result<Entry, Error> {
        self.decode(index.0, &self.leaf_bytes(index)?)
    }

    /// The bytes of a leaf, as the tree hashes them.
    ///
    /// # Errors
    /// As [`Reader::entry`].
    pub fn leaf_bytes(&self, index: LedgerIndex) -> Result<Bytes, Error> {
        self.within(index.0.saturating_add(1), index.0)?;
        self.run(index.0, 1)?
            .into_iter()
            .next()
            .ok_or_else(|| self.missing(index.0))
    }

    /// The leaf that holds a record, if it is in the ledger. Reads few headers and decompresses one or two frames.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn find(&self, coordinate: &Coordinate) -> Result<Option<LedgerIndex>, Error> {
        let size = self.size()?.0;
        find::find(&mut self.state().disk, coordinate, size)
    }

    /// The root over the first `size` leaves.
    ///
    /// # Errors
    /// As [`Reader::entry`].
    pub fn root(&self, size: LedgerIndex) -> Result<Hash, Error> {
        self.within(size.0, size.0)?;
        let State { disk, tree } = &mut *self.state();
        proof::range_root(0, size.0, &mut |height, index| tree.node(disk, height, index))
    }

    /// The audit path of a leaf in the tree of the first `size` leaves;
    /// [`verify_inclusion`](crate::verify_inclusion) checks it.
    ///
    /// # Errors
    /// [`Error::OutOfRange`]: the leaf is not among the first `size`, or there are fewer. Otherwise the disk's.
    pub fn inclusion_proof(&self, index: LedgerIndex, size: LedgerIndex) -> Result<Vec<Hash>, Error> {
        self.within(size.0, size.0)?;
        if index >= size {
            return Err(Error::OutOfRange {
                given: index.0,
                size: size.0,
            });
        }
        let State { disk, tree } = &mut *self.state();
        proof::inclusion(index.0, size.0, &mut |height, index| tree.node(disk, height, index))
    }

    /// The proof that the tree of `new` leaves begins with that of `old`;
    /// [`verify_consistency`](crate::verify_consistency) checks it.
    ///
    /// # Errors
    /// [`Error::OutOfRange`]: `old` is above `new`, or there are fewer leaves. Otherwise the disk's.
    pub fn consistency_proof(&self, old: LedgerIndex, new: LedgerIndex) -> Result<Vec<Hash>, Error> {
        self.within(new.0, new.0)?;
        if old > new {
            return Err(Error::OutOfRange {
                given: old.0,
                size: new.0,
            });
        }
        let State { disk, tree } = &mut *self.state();
        proof::consistency(old.0, new.0, &mut |height, index| tree.node(disk, height, index))
    }

    /// All checkpoints, oldest first; their signatures are not checked.
    ///
    /// # Errors
    /// The disk's.
    pub fn checkpoints(&self) -> Result<Checkpoints, Error> {
        Checkpoints::open(&self.dir.join("checkpoints"))
    }

    /// The last checkpoint; its signature is not checked.
    ///
    /// # Errors
    /// The disk's.
    pub fn last_checkpoint(&self) -> Result<Option<Checkpoint>, Error> {
        let path = self.dir.join("checkpoints");
        let file = std::fs::File::open(&path).map_err(Error::io(&path))?;
        Ok(checkpoint::last(&path, &file)?.checkpoint)
    }

    /// The verifier key that the folder names. Whoever can write the folder can change it: an auditor compares it
    /// with the one that was given to him.
    ///
    /// # Errors
    /// The disk's.
    pub fn vkey(&self) -> Result<String, Error> {
        let path = self.dir.join("ledger.vkey");
        Ok(std::fs::read_to_string(&path)
            .map_err(Error::io(&path))?
            .trim()
            .to_owned())
    }

    /// Everything that is needed to check one record offline, under the last checkpoint.
    ///
    /// # Errors
    /// [`Error::OutOfRange`]: no checkpoint covers the leaf yet (one is signed each second). Otherwise the disk's.
    pub fn proof_bundle(&self, index: LedgerIndex) -> Result<ProofBundle, Error> {
        let checkpoint = self.last_checkpoint()?;
        let size = checkpoint.as_ref().map_or(0, |c| c.size);
        let Some(checkpoint) = checkpoint.filter(|c| index.0 < c.size) else {
            return Err(Error::OutOfRange { given: index.0, size });
        };
        let leaf = self.leaf_bytes(index)?;
        let proof = self.inclusion_proof(index, LedgerIndex(size))?;
        Ok(ProofBundle::new(&leaf, index, &proof, &checkpoint, self.vkey()?))
    }

    /// Some leaves from `index` on, at most `most`.
    fn run(&self, index: u64, most: usize) -> Result<Vec<Bytes>, Error> {
        match self.recent.as_ref().and_then(|r| r.run(index)) {
            Some(run) => Ok(run.from(index).take(most).collect()),
            None => self.state().disk.run(index, most),
        }
    }

    fn decode(&self, index: u64, leaf: &Bytes) -> Result<Entry, Error> {
        let record = leaf::decode(leaf).map_err(|e| Error::bad_leaf(&self.dir, 0, index, &e))?;
        Ok(Entry {
            index: LedgerIndex(index),
            record,
        })
    }

    /// Refuses a size that the ledger has not reached.
    fn within(&self, needed: u64, given: u64) -> Result<(), Error> {
        match self.size()?.0 {
            size if needed > size => Err(Error::OutOfRange { given, size }),
            _ => Ok(()),
        }
    }

    fn missing(&self, index: u64) -> Error {
        Error::integrity(
            &self.dir,
            0,
            Some(index),
            "a leaf that was written is neither in the tail nor in a frame",
        )
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A thread that panicked leaves caches behind that may lack something, but hold nothing wrong.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Clone for Reader {
    fn clone(&self) -> Reader {
        let reader = Reader::new(&self.dir, self.recent.clone());
        reader.read_up_to(LedgerIndex(self.limit.load(Ordering::Acquire)));
        reader
    }
}
