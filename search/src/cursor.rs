//! The order of hits, and a place in it.

use std::fmt;
use std::str::FromStr;

use model::{LedgerIndex, Millis};

use crate::error::Error;

/// Which end of time comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// The latest first.
    #[default]
    Newest,
    /// The earliest first.
    Oldest,
}

/// A hit's place among all: by time, then ledger index, then number of the event within its record. Total, and the
/// same whatever segments the hits lie in. Written `<time ms>.<index>.<event>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor {
    /// Event time.
    pub time: Millis,
    /// The leaf.
    pub index: LedgerIndex,
    /// Which event of the record, from 0.
    pub event: u64,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.time.0, self.index, self.event)
    }
}

impl FromStr for Cursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Cursor, Error> {
        let wrong = || Error::Cursor {
            given: text.chars().take(100).collect(),
        };
        let mut parts = text.split('.');
        let mut next = || parts.next().ok_or_else(wrong);
        let cursor = Cursor {
            time: Millis(next()?.parse().map_err(|_| wrong())?),
            index: LedgerIndex(next()?.parse().map_err(|_| wrong())?),
            event: next()?.parse().map_err(|_| wrong())?,
        };
        match parts.next() {
            None => Ok(cursor),
            Some(_) => Err(wrong()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back() {
        let cursor = Cursor {
            time: Millis(-5),
            index: LedgerIndex(7),
            event: 2,
        };
        assert_eq!(cursor.to_string().parse::<Cursor>().unwrap(), cursor);
        for wrong in ["", "1.2", "1.2.3.4", "a.1.2", "1..2", "1.-2.3"] {
            assert!(wrong.parse::<Cursor>().is_err(), "{wrong}");
        }
    }
}
