//! The detector's state, as bytes that somebody else keeps.
//!
//! `detect` is pure: it is given its state at start, and hands out what changed. The owner of the store
//! writes the change in the same transaction as the position, the alerts and the outbox.

use crate::LedgerIndex;

/// A key of the state. The first byte tells the kind; the rest is `detect`'s own affair.
pub type StateKey = Vec<u8>;
/// A value of the state.
pub type StateValue = Vec<u8>;

/// What changed since the last delta. Applying a delta twice changes nothing more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// The ledger position after this change.
    pub position: LedgerIndex,
    /// Keys to write.
    pub put: Vec<(StateKey, StateValue)>,
    /// Keys to remove.
    pub delete: Vec<StateKey>,
}

/// Reads the state that was written last.
pub trait StateStore {
    /// Why it could not be read.
    type Error: std::error::Error + Send + Sync + 'static;

    /// The position and every key with its value, in key order.
    ///
    /// # Errors
    /// The store's: it cannot be read. Nothing may be judged then.
    fn load(&self) -> Result<(LedgerIndex, Vec<(StateKey, StateValue)>), Self::Error>;
}
