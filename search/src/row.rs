//! Events on their way to the thread that indexes them. Those that come together lie together in memory: one by one each was a
//! handful of blocks, made on one thread and let go of on another.

use std::net::Ipv6Addr;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use tantivy::schema::document::{Document, ReferenceValue, ReferenceValueLeaf};
use tantivy::schema::{Field, Value};

use crate::schema::WordField;

/// The texts of events that are indexed, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    text: String,
    /// The field of each, and where it ends.
    ends: Vec<(WordField, usize)>,
}

impl Texts {
    pub(crate) fn push(&mut self, field: WordField, text: &str) {
        self.push_pieces(field, &[text]);
    }

    /// As [`Texts::push`], of a text in pieces.
    pub(crate) fn push_pieces(&mut self, field: WordField, pieces: &[&str]) {
        pieces.iter().for_each(|p| self.text.push_str(p));
        self.ends.push((field, self.text.len()));
    }

    /// Calls `f` with field and text of some of them.
    fn each(&self, of: &Range<usize>, mut f: impl FnMut(WordField, &str)) {
        let mut from = of.start.checked_sub(1).map_or(0, |before| self.ends[before].1);
        for (field, end) in &self.ends[of.clone()] {
            f(*field, &self.text[from..*end]);
            from = *end;
        }
    }
}

/// A value of a column.
#[derive(Clone, Copy, Debug)]
enum Kept {
    I64(i64),
    U64(u64),
    Address(Ipv6Addr),
    /// From and to, in the text of all.
    Text(usize, usize),
}

/// What several events give to index.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    columns: Vec<(Field, Kept)>,
    text: String,
    /// What is indexed by words.
    pub(crate) indexed: Texts,
    /// Where each event ends, in the columns and in the texts.
    ends: Vec<(usize, usize)>,
}

impl Rows {
    pub(crate) fn add_i64(&mut self, field: Field, value: i64) {
        self.columns.push((field, Kept::I64(value)));
    }

    pub(crate) fn add_u64(&mut self, field: Field, value: u64) {
        self.columns.push((field, Kept::U64(value)));
    }

    pub(crate) fn add_address(&mut self, field: Field, value: Ipv6Addr) {
        self.columns.push((field, Kept::Address(value)));
    }

    pub(crate) fn add_text(&mut self, field: Field, value: &str) {
        let from = self.text.len();
        self.text.push_str(value);
        self.columns.push((field, Kept::Text(from, self.text.len())));
    }

    /// What was added since the last event is an event.
    pub(crate) fn end(&mut self) {
        self.ends.push((self.columns.len(), self.indexed.ends.len()));
    }

    /// Bytes of text.
    pub(crate) fn bytes(&self) -> usize {
        self.text.len() + self.indexed.text.len()
    }

    fn clear(&mut self) {
        self.columns.clear();
        self.text.clear();
        self.indexed.text.clear();
        self.indexed.ends.clear();
        self.ends.clear();
    }

    /// The events, each by itself. Their memory comes back to `spare` when the last of them is indexed.
    pub(crate) fn rows(self, spare: &Spare) -> impl ExactSizeIterator<Item = Row> {
        let all = Arc::new(Held {
            rows: self,
            spare: spare.clone(),
        });
        (0..all.rows.ends.len()).map(move |at| {
            let from = at.checked_sub(1).map_or((0, 0), |before| all.rows.ends[before]);
            let to = all.rows.ends[at];
            Row {
                all: all.clone(),
                columns: from.0..to.0,
                indexed: from.1..to.1,
            }
        })
    }
}

/// Memory of events that are indexed, to be filled again: made on one thread and let go of on another it would be
/// in pieces that the allocator goes through for each event.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spare(Arc<Mutex<Vec<Rows>>>);

/// As many are kept.
const SPARE_MAX: usize = 16;

impl Spare {
    /// Rows without an event.
    pub(crate) fn rows(&self) -> Rows {
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        spare.pop().unwrap_or_default()
    }
}

/// Events that somebody holds.
#[derive(Debug)]
struct Held {
    rows: Rows,
    spare: Spare,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut rows = std::mem::take(&mut self.rows);
        // An event as large as they come is not held on to.
        if rows.bytes() > ROWS_BYTES_MAX {
            return;
        }
        rows.clear();
        let mut spare = self.spare.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE_MAX {
            spare.push(rows);
        }
    }
}

/// Bytes of text above which the memory is given back.
const ROWS_BYTES_MAX: usize = 1 << 20;

/// An event to index.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    all: Arc<Held>,
    columns: Range<usize>,
    indexed: Range<usize>,
}

impl Row {
    /// Calls `f` with field and text of each text that is indexed by words.
    pub(crate) fn each_text(&self, f: impl FnMut(WordField, &str)) {
        self.all.rows.indexed.each(&self.indexed, f);
    }
}

impl Document for Row {
    type Value<'a> = Cell<'a>;
    type FieldsValuesIter<'a> = Cells<'a>;

    fn iter_fields_and_values(&self) -> Cells<'_> {
        Cells {
            text: &self.all.rows.text,
            rest: self.all.rows.columns[self.columns.clone()].iter(),
        }
    }
}

/// The values of an event's columns.
pub(crate) struct Cells<'a> {
    text: &'a str,
    rest: std::slice::Iter<'a, (Field, Kept)>,
}

impl<'a> Iterator for Cells<'a> {
    type Item = (Field, Cell<'a>);

    fn next(&mut self) -> Option<(Field, Cell<'a>)> {
        let (field, kept) = self.rest.next()?;
        let cell = match *kept {
            Kept::I64(value) => Cell::I64(value),
            Kept::U64(value) => Cell::U64(value),
            Kept::Address(value) => Cell::Address(value),
            Kept::Text(from, to) => Cell::Text(&self.text[from..to]),
        };
        Some((*field, cell))
    }
}

/// A value of a column, as Tantivy reads it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cell<'a> {
    I64(i64),
    U64(u64),
    Address(Ipv6Addr),
    Text(&'a str),
}

impl<'a> Value<'a> for Cell<'a> {
    type ArrayIter = std::iter::Empty<Cell<'a>>;
    type ObjectIter = std::iter::Empty<(&'a str, Cell<'a>)>;

    fn as_value(&self) -> ReferenceValue<'a, Cell<'a>> {
        ReferenceValue::Leaf(match *self {
            Cell::I64(value) => ReferenceValueLeaf::I64(value),
            Cell::U64(value) => ReferenceValueLeaf::U64(value),
            Cell::Address(value) => ReferenceValueLeaf::IpAddr(value),
            Cell::Text(value) => ReferenceValueLeaf::Str(value),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_has_its_own() {
        let (time, name) = (Field::from_field_id(0), Field::from_field_id(1));
        let mut rows = Rows::default();
        rows.add_i64(time, 7);
        rows.add_text(name, "审计");
        rows.indexed.push(WordField(3), "one");
        rows.indexed.push_pieces(WordField(4), &["a", "", "b"]);
        rows.end();
        rows.end();
        rows.add_text(name, "x");
        rows.indexed.push(WordField(3), "");
        rows.end();
        let spare = Spare::default();
        let told: Vec<String> = rows
            .rows(&spare)
            .map(|row| {
                let columns: Vec<String> = row
                    .iter_fields_and_values()
                    .map(|(f, v)| format!("{}={v:?}", f.field_id()))
                    .collect();
                let mut texts = Vec::new();
                row.each_text(|f, t| texts.push(format!("{}:{t}", f.0)));
                format!("{} {}", columns.join(","), texts.join(","))
            })
            .collect();
        assert_eq!(told, ["0=I64(7),1=Text(\"审计\") 3:one,4:ab", " ", "1=Text(\"x\") 3:"]);
        let again = spare.rows();
        assert!(again.text.capacity() > 0 && again.bytes() == 0 && again.rows(&spare).len() == 0);
    }
}
