//! Texts of rows, one after the other.

use std::ops::Range;

use arrow_buffer::{BooleanBufferBuilder, NullBuffer};

use crate::batch::{Column, list, strings};

/// At most one text a row.
#[derive(Debug)]
pub(super) struct Texts {
    text: String,
    /// Where the text of each row ends; before the first stands 0.
    ends: Vec<i32>,
    /// Rows that have none.
    without: Vec<Range<u32>>,
}

/// A column holds less; a text that would go over is left out, as no batch is that large.
const BYTES_MAX: usize = i32::MAX as usize;

impl Default for Texts {
    fn default() -> Texts {
        Texts::with_capacity(0, 0)
    }
}

impl Texts {
    pub fn with_capacity(rows: usize, bytes: usize) -> Texts {
        let mut ends = Vec::with_capacity(rows + 1);
        ends.push(0);
        Texts {
            text: String::with_capacity(bytes),
            ends,
            without: Vec::new(),
        }
    }

    /// Rows without a text.
    #[inline]
    pub fn skip(&mut self, rows: u32) {
        if rows > 0 {
            let from = self.ends.len() as u32 - 1;
            self.without.push(from..from + rows);
            let end = self.text.len() as i32;
            self.ends.resize(self.ends.len() + rows as usize, end);
        }
    }

    /// A row's text, after so many rows without one.
    pub fn push_row(&mut self, skipped: u32, text: &str) {
        self.skip(skipped);
        self.push(text);
    }

    /// The next row's text.
    #[inline]
    pub fn push(&mut self, text: &str) {
        let end = self.text.len() + text.len();
        if end > BYTES_MAX {
            return self.skip(1);
        }
        self.text.push_str(text);
        self.ends.push(end as i32);
    }

    fn rows(&self) -> usize {
        self.ends.len() - 1
    }

    fn nulls(&self) -> Option<NullBuffer> {
        if self.without.is_empty() {
            return None;
        }
        let mut there = BooleanBufferBuilder::new(self.rows());
        for without in &self.without {
            there.append_n(without.start as usize - there.len(), true);
            there.append_n(without.len(), false);
        }
        there.append_n(self.rows() - there.len(), true);
        Some(NullBuffer::new(there.finish()))
    }

    pub fn column(self) -> Option<Column> {
        let nulls = self.nulls();
        strings(self.ends, self.text, nulls).map(Column::One)
    }
}

/// Any number of texts a row.
#[derive(Debug)]
pub(super) struct Many {
    text: String,
    /// Where each text ends; before the first stands 0.
    ends: Vec<i32>,
    /// How many texts there are before each row.
    begins: Vec<i32>,
}

impl Many {
    /// The rows so far, the last of which has a text more.
    pub fn of(one: Texts) -> Many {
        let mut many = Many {
            begins: Vec::with_capacity(one.ends.capacity()),
            ends: Vec::with_capacity(one.ends.capacity() * 2),
            text: one.text,
        };
        many.ends.push(0);
        let mut without = one.without.iter().peekable();
        for row in 0..one.ends.len() as u32 - 1 {
            many.open(1);
            while without.next_if(|w| w.end <= row).is_some() {}
            if without.peek().is_none_or(|w| !w.contains(&row)) {
                many.ends.push(one.ends[row as usize + 1]);
            }
        }
        many
    }

    /// Begins so many rows; the texts that follow are of the last of them.
    pub fn open(&mut self, rows: u32) {
        let texts = self.ends.len() as i32 - 1;
        self.begins.resize(self.begins.len() + rows as usize, texts);
    }

    /// A text of the last row.
    pub fn push(&mut self, text: &str) {
        if text.len() <= BYTES_MAX - self.text.len() {
            self.text.push_str(text);
            self.ends.push(self.text.len() as i32);
        }
    }

    pub fn column(mut self) -> Option<Column> {
        self.open(1);
        list(self.begins, self.ends, self.text).map(Column::Many)
    }
}
