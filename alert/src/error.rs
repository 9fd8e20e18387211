//! Why the store refused.

use std::path::PathBuf;

use model::LedgerIndex;

use crate::Status;

/// Why the store of alerts did not do what it was asked. Nothing was written then.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk's or SQLite's: try again, or look at the disk.
    #[error("the alert store {path:?}: {source}")]
    Sqlite {
        /// The store's file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The operator's: the file cannot be made or opened.
    #[error("the alert store {path:?}: {source}")]
    File {
        /// The store's file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The operator's: the file was written by a newer Docket.
    #[error(
        "the alert store {path:?} has schema version {found}, this Docket knows up to {known}; run the newer Docket"
    )]
    NewerSchema {
        /// The store's file.
        path: PathBuf,
        /// The version in the file.
        found: i64,
        /// The version that this program writes.
        known: i64,
    },
    /// The operator's: the file is a SQLite database of some other program.
    #[error("{path:?} is not an alert store: its application_id is {found:#x}; move it away")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The application id found.
        found: i64,
    },
    /// The pipeline's: the detector must never be behind what it has written.
    #[error("the detector's position would go back from {held} to {given}")]
    Backwards {
        /// The position in the store.
        held: LedgerIndex,
        /// The position of the delta.
        given: LedgerIndex,
    },
    /// A stored row does not read back: the file was changed by something else.
    #[error("alert {id}: its stored {what} does not read back: {given}")]
    Damaged {
        /// The alert.
        id: String,
        /// Which part.
        what: &'static str,
        /// What was found.
        given: String,
    },
    /// The caller's: there is no such alert.
    #[error("no alert has the id `{given}`")]
    NotFound {
        /// The id or prefix given.
        given: String,
    },
    /// The caller's: more of the id is needed.
    #[error("`{given}` may be {}{}; give more of the id", candidates.join(", "), if *more { ", …" } else { "" })]
    Ambiguous {
        /// The prefix given.
        given: String,
        /// The first alerts whose ids start so.
        candidates: Vec<String>,
        /// Whether there are more than those.
        more: bool,
    },
    /// The caller's: the alert is not in a state from which this can be done.
    #[error("alert {id} is {status}; only {} can be {action}", names(allowed))]
    Transition {
        /// The alert.
        id: String,
        /// What was asked: `acknowledged`, `closed`, `reopened`.
        action: &'static str,
        /// The state it is in.
        status: Status,
        /// The states from which it works.
        allowed: &'static [Status],
    },
    /// The caller's: a text is too long.
    #[error("{given} bytes in `{field}`, at most {limit}")]
    TooLong {
        /// Which text.
        field: &'static str,
        /// Its length, in bytes.
        given: usize,
        /// The bound, in bytes.
        limit: usize,
    },
    /// The caller's: somebody must have done it.
    #[error("`{field}` is empty; say who did it")]
    Nobody {
        /// Which text.
        field: &'static str,
    },
    /// The caller's: no delivery has this number.
    #[error("no delivery has the number {given}")]
    NoDelivery {
        /// The number given.
        given: i64,
    },
}

fn names(allowed: &[Status]) -> String {
    let names: Vec<&str> = allowed.iter().map(|s| s.name()).collect();
    format!("one that is {}", names.join(" or "))
}
