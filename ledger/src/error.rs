//! Why the ledger could not do what was asked.

use std::io;
use std::path::{Path, PathBuf};

use model::{Coordinate, LedgerIndex};

use crate::leaf::LeafError;

/// An error of the ledger. [`Error::is_integrity`] tells evidence that does not hold from everything else.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system's: a file could not be read or written. The operator must act.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process writes this ledger. Stop it first; reading needs no lock.
    #[error("{path} is locked: another process is writing this ledger; only one may")]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// The folder holds no ledger.
    #[error("{path} holds no ledger (no folder `tail` in it); give the folder that `docket serve` writes")]
    NoLedger {
        /// What was given.
        path: PathBuf,
    },
    /// The bytes on disk are not those that were written. Nothing may be built on them; keep the folder as it is.
    #[error("integrity failure: {0}")]
    Integrity(Box<Failure>),
    /// The caller's: an index or a size beyond what there is.
    #[error("leaf {given} was asked for; the ledger holds {size} leaves")]
    OutOfRange {
        /// What was asked for.
        given: u64,
        /// How many leaves there are.
        size: u64,
    },
    /// The caller's: this offset is already in the ledger, or is negative. Nothing of the batch was appended.
    #[error("record {coordinate} may not be appended: the next offset of its partition is {next}")]
    Repeated {
        /// The record.
        coordinate: Coordinate,
        /// The least offset that may be appended.
        next: i64,
    },
    /// The source's: a record that cannot be written as a leaf. Nothing of the batch was appended.
    #[error("record {coordinate} may not be appended: {field} has {given} bytes or items, at most {limit}")]
    TooLarge {
        /// The record.
        coordinate: Coordinate,
        /// Which part of it.
        field: &'static str,
        /// Its size.
        given: usize,
        /// The most that there may be.
        limit: usize,
    },
    /// The operator's: the origin or a key is not well formed, or is not this ledger's.
    #[error("{what}: `{given}`")]
    Key {
        /// What is wrong, and what is allowed.
        what: &'static str,
        /// What was given; never a secret.
        given: String,
    },
    /// An earlier write failed, so what is on disk is uncertain. Open the ledger again.
    #[error("an earlier write to this ledger failed; open it again (restart) before writing more")]
    Broken,
}

/// Where the evidence does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The file.
    pub file: PathBuf,
    /// The byte position in the file.
    pub offset: u64,
    /// The leaf, where one can be named.
    pub index: Option<LedgerIndex>,
    /// What does not hold.
    pub what: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, byte {}", self.file.display(), self.offset)?;
        if let Some(index) = self.index {
            write!(f, ", leaf {index}")?;
        }
        write!(f, ": {}", self.what)
    }
}

impl Error {
    /// Whether the evidence does not hold (the process exits 6).
    #[must_use]
    pub fn is_integrity(&self) -> bool {
        matches!(self, Error::Integrity(_))
    }

    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Io {
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn integrity(file: &Path, offset: u64, index: Option<u64>, what: impl Into<String>) -> Error {
        let index = index.map(LedgerIndex);
        Error::Integrity(Box::new(Failure {
            file: file.to_owned(),
            offset,
            index,
            what: what.into(),
        }))
    }

    pub(crate) fn bad_leaf(file: &Path, offset: u64, index: u64, error: &LeafError) -> Error {
        Error::integrity(file, offset, Some(index), error.to_string())
    }
}
