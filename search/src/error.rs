//! What can go wrong, and whose move it is.

use std::path::PathBuf;

use model::LedgerIndex;

use crate::query::QueryError;

/// An error of the index.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The index on disk cannot be used. It holds nothing that the ledger does not: the operator removes the
    /// folder, and the next start builds it again from the ledger.
    #[error(
        "the index in {dir} cannot be read ({reason}); it can be rebuilt from the ledger: remove the folder and start again"
    )]
    Rebuild {
        /// The index's folder.
        dir: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Another process or writer has the index open for writing. The operator's move.
    #[error("the index in {dir} is being written by another process")]
    Busy {
        /// The index's folder.
        dir: PathBuf,
    },
    /// The query's author must change it.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The query names a cursor that we did not write.
    #[error("`{given}` is not a cursor; give one that an earlier answer returned")]
    Cursor {
        /// What was given.
        given: String,
    },
    /// The aggregation's field has no values that can be grouped.
    #[error("`{given}` cannot be grouped by; fields that can: {allowed}")]
    Aggregation {
        /// The field named.
        given: String,
        /// Those that can be named.
        allowed: String,
    },
    /// More buckets than an answer may hold; the author's: a wider interval or a shorter range.
    #[error("{given} buckets, at most {limit}; widen the interval or shorten the time range")]
    TooManyBuckets {
        /// How many there would be.
        given: u64,
        /// How many there may be.
        limit: u64,
    },
    /// More different values than an answer may hold; the author's: a narrower query, or another field.
    #[error("more than {limit} different values; narrow the query or the time range")]
    TooManyValues {
        /// How many there may be.
        limit: usize,
    },
    /// The field has no column, and its values of so many records would have to be read from the ledger. The author's.
    #[error(
        "`{field}` is read from the ledger, record by record, for at most {limit} records; narrow the query or the time range"
    )]
    TooManyReads {
        /// The field.
        field: String,
        /// Records that may be read.
        limit: u64,
    },
    /// Aggregations within aggregations.
    #[error("aggregations lie at most {limit} deep within each other")]
    TooDeep {
        /// How deep they may lie.
        limit: usize,
    },
    /// Whoever asked does not wait any more.
    #[error("the question was cancelled; {events} of {of} events were looked through by then")]
    Cancelled {
        /// Events that were looked through.
        events: u64,
        /// Those that would have been.
        of: u64,
    },
    /// A record that the query needs could not be read back from the ledger.
    #[error("record {index} could not be read back from the ledger: {source}")]
    Text {
        /// The leaf.
        index: LedgerIndex,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Reading or writing a file failed.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Tantivy refused.
    #[error("index: {0}")]
    Tantivy(tantivy::TantivyError),
    /// A pattern beside other words stands for too many different ones. The query's author's: more letters.
    #[error("a pattern beside other words matches too many different words; give more of its letters")]
    TooManyWords,
}

impl From<tantivy::TantivyError> for Error {
    fn from(error: tantivy::TantivyError) -> Error {
        match &error {
            tantivy::TantivyError::InvalidArgument(text) if text.contains("max expansions") => Error::TooManyWords,
            _ => Error::Tantivy(error),
        }
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Error {
        Error::Tantivy(error.into())
    }
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
