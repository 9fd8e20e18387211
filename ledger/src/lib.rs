//! The ledger: every raw record, in the order in which it came, so that nobody can change it unseen.
//!
//! **Signatures first: the bodies are being written.**

#![warn(missing_docs)]

mod error;
pub mod leaf;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use model::{Coordinate, Entry, LedgerIndex, Millis, RawRecord};
use serde::{Deserialize, Serialize};

pub use error::{Error, Failure};

/// A SHA-256 hash of the tree.
pub type Hash = [u8; 32];

/// The single writer of a ledger folder.
#[derive(Debug)]
pub struct Ledger;

/// A signed statement: the first `size` leaves have this root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The ledger's name.
    pub origin: String,
    /// Leaves covered.
    pub size: u64,
    /// Their root.
    pub root: Hash,
    /// When it was signed.
    pub time: Option<Millis>,
    /// The whole C2SP signed note.
    pub note: String,
}

/// A record with all that is needed to check it offline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofBundle {}

/// All checkpoints, oldest first.
#[derive(Debug)]
pub struct Checkpoints;

impl Iterator for Checkpoints {
    type Item = Result<Checkpoint, Error>;
    fn next(&mut self) -> Option<Self::Item> {
        None
    }
}

/// Reads beside the running writer, without a lock. `Send + Sync`; every method takes `&self`.
#[derive(Debug)]
pub struct Reader;

#[allow(missing_docs, unused_variables, clippy::missing_errors_doc)]
impl Ledger {
    pub fn open(dir: &Path, origin: &str) -> Result<Ledger, Error> {
        Err(Error::Broken)
    }
    /// Buffered, not yet durable. All or nothing; an offset below `next_offset` is refused.
    pub fn append(&mut self, records: &[RawRecord]) -> Result<Range<LedgerIndex>, Error> {
        Err(Error::Broken)
    }
    /// fsyncs what was appended; returns the durable size. Acknowledge after it.
    pub fn flush(&mut self) -> Result<LedgerIndex, Error> {
        Err(Error::Broken)
    }
    /// Moves whole groups of 256 durable leaves from the tail into zstd frames.
    pub fn seal(&mut self) -> Result<(), Error> {
        Err(Error::Broken)
    }
    /// `flush`, then `seal`.
    pub fn sync(&mut self) -> Result<LedgerIndex, Error> {
        Err(Error::Broken)
    }
    pub fn checkpoint(&mut self, now: Millis) -> Result<Option<Checkpoint>, Error> {
        Err(Error::Broken)
    }
    pub fn last_checkpoint(&self) -> Option<&Checkpoint> {
        None
    }
    pub fn size(&self) -> LedgerIndex {
        LedgerIndex(0)
    }
    pub fn durable(&self) -> LedgerIndex {
        LedgerIndex(0)
    }
    /// The root over everything appended.
    pub fn root(&self) -> Hash {
        [0; 32]
    }
    pub fn next_offset(&self, topic: &str, partition: i32) -> Option<i64> {
        None
    }
    /// `(topic, partition, next offset)`, in order.
    pub fn positions(&self) -> Vec<(Arc<str>, i32, i64)> {
        vec![]
    }
    pub fn greatest_received_at(&self) -> Option<Millis> {
        None
    }
    pub fn vkey(&self) -> &str {
        ""
    }
    /// A reader in this process: sees leaves as soon as they are durable, recent ones without a system call.
    pub fn reader(&self) -> Result<Reader, Error> {
        Err(Error::Broken)
    }
}

#[allow(missing_docs, unused_variables, clippy::missing_errors_doc)]
impl Reader {
    pub fn open(dir: &Path) -> Result<Reader, Error> {
        Err(Error::Broken)
    }
    /// Hands out no leaf at or past `limit` from now on.
    pub fn read_up_to(&self, limit: LedgerIndex) {}
    pub fn size(&self) -> Result<LedgerIndex, Error> {
        Err(Error::Broken)
    }
    /// Contiguous from `from`; empty where there is nothing yet; at least one where there is.
    pub fn read(&self, from: LedgerIndex, max_records: usize, max_bytes: usize) -> Result<Vec<Entry>, Error> {
        Err(Error::Broken)
    }
    pub fn entry(&self, index: LedgerIndex) -> Result<Entry, Error> {
        Err(Error::Broken)
    }
    pub fn leaf_bytes(&self, index: LedgerIndex) -> Result<Bytes, Error> {
        Err(Error::Broken)
    }
    pub fn find(&self, coordinate: &Coordinate) -> Result<Option<LedgerIndex>, Error> {
        Err(Error::Broken)
    }
    pub fn root(&self, size: LedgerIndex) -> Result<Hash, Error> {
        Err(Error::Broken)
    }
    pub fn inclusion_proof(&self, index: LedgerIndex, size: LedgerIndex) -> Result<Vec<Hash>, Error> {
        Err(Error::Broken)
    }
    pub fn consistency_proof(&self, old: LedgerIndex, new: LedgerIndex) -> Result<Vec<Hash>, Error> {
        Err(Error::Broken)
    }
    pub fn last_checkpoint(&self) -> Result<Option<Checkpoint>, Error> {
        Err(Error::Broken)
    }
    pub fn checkpoints(&self) -> Result<Checkpoints, Error> {
        Err(Error::Broken)
    }
    pub fn proof_bundle(&self, index: LedgerIndex) -> Result<ProofBundle, Error> {
        Err(Error::Broken)
    }
}
