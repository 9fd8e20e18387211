//! Records that wait for others at a stage's position.
//!
//! Each stage stores them with its position, in the same atomic write: the judgement as a row of the state, the index in its
//! commit. The line goes on from those of the stage that is furthest behind.

use ingest::join::Assembler;
use ledger::Reader;
use model::{LedgerIndex, StateKey, StateValue};

use crate::exit::{INTEGRITY, failure};

/// The first byte of the state's key.
pub const KIND: u8 = b'J';
/// The row of the state.
pub const KEY: &[u8] = b"J";

/// What the state holds of them.
pub fn of_state(state: &[(StateKey, StateValue)]) -> String {
    let row = state.iter().find(|(key, _)| key == KEY);
    row.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
        .unwrap_or_default()
}

/// What waits at the lesser of the stages' positions.
///
/// # Errors
/// It cannot be read (6).
pub fn at_least(
    judged: (LedgerIndex, &str),
    indexed: (LedgerIndex, &str),
    reader: &Reader,
) -> anyhow::Result<Assembler> {
    let (position, text) = if judged.0 <= indexed.0 { judged } else { indexed };
    // An index that begins anew begins with nothing.
    let text = if position == LedgerIndex(0) { "" } else { text };
    Assembler::load(text, |index| reader.entry(index).map(|e| e.record))
        .map_err(|e| failure(INTEGRITY, format!("going on from leaf {position}: {e}")))
}
