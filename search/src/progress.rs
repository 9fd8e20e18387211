//! How far an answer is.

use crate::error::{Error, Result};
use crate::matching::RawText;
use crate::reader::Search;
use crate::snapshot::Part;

/// Told part by part.
pub(crate) struct Progress<'a> {
    text: &'a dyn RawText,
    done: u64,
    /// Events of the part that is being looked through.
    now: u64,
    of: u64,
}

impl<'a> Progress<'a> {
    pub(crate) fn of(search: &Search, text: &'a dyn RawText) -> Progress<'a> {
        let of = search
            .candidates()
            .iter()
            .map(|n| search.snapshot.parts[*n].events())
            .sum();
        Progress {
            text,
            done: 0,
            now: 0,
            of,
        }
    }

    /// A part is looked through now.
    pub(crate) fn step(&mut self, part: &Part) -> Result<()> {
        if self.text.is_stopped() {
            return Err(self.cancelled());
        }
        self.done += std::mem::replace(&mut self.now, part.events());
        self.text.progress(self.done, self.of);
        Ok(())
    }

    /// An error, as whoever asked is told of it.
    pub(crate) fn told(&self, error: Error) -> Error {
        match error {
            Error::Cancelled { .. } => self.cancelled(),
            other => other,
        }
    }

    pub(crate) fn cancelled(&self) -> Error {
        Error::Cancelled {
            events: self.done,
            of: self.of,
        }
    }
}
