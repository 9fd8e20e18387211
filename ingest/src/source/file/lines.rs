//! Lines of a file that grows: complete ones, and the one that is not complete yet.

use crate::replay::buffer::{Kept, Piece};

/// Parts bytes into lines. Holds at most one line, of it at most the bytes that a record keeps.
pub(super) struct Lines {
    max: usize,
    open: Option<Kept>,
    /// Bytes of the open line so far.
    pub held: u64,
}

impl Lines {
    pub fn new(max: usize) -> Lines {
        Lines {
            max,
            open: None,
            held: 0,
        }
    }

    /// Takes bytes up to the end of a line and with it: how many, and the line where it is complete.
    pub fn push(&mut self, bytes: &[u8]) -> (usize, Option<Piece>) {
        let end = memchr::memchr(b'\n', bytes);
        let part = end.unwrap_or(bytes.len());
        self.open
            .get_or_insert_with(|| Kept::new(self.max))
            .push(&bytes[..part]);
        self.held += part as u64;
        match end {
            Some(end) => (end + 1, self.finish()),
            None => (bytes.len(), None),
        }
    }

    /// The line without an end, where there is one. A line of white space alone is none.
    pub fn finish(&mut self) -> Option<Piece> {
        self.held = 0;
        let piece = self.open.take()?.line();
        (piece.cut.is_some() || !piece.bytes.trim_ascii().is_empty()).then_some(piece)
    }
}
