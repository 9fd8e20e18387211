//! Where a stage stands in the ledger.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The index of a leaf in the ledger, counted from 0.
///
/// A stage's *position* is the index of the next leaf that it has to handle; it is stored in the same
/// atomic write as the stage's own data, and a restart replays the ledger from the least of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LedgerIndex(pub u64);

impl LedgerIndex {
    /// The leaf after this one.
    #[must_use]
    pub fn next(self) -> LedgerIndex {
        LedgerIndex(self.0 + 1)
    }
}

impl fmt::Display for LedgerIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
