//! A column in the making.

use arrow_array::StringArray;

use super::texts::{Many, Texts};
use crate::batch::Column;
use crate::value::{self, is_same};

/// A column in the making; rows come in order, and those that bring nothing are passed over.
///
/// Many columns say the same in every row of a batch (what the class is called, which product): as long as that is so,
/// rows are counted and nothing is copied.
#[derive(Debug)]
pub(super) struct Filler {
    kind: Kind,
    /// Rows up to and with the last one that brought a value.
    rows: u32,
    /// Whether it only tells that there is a value.
    pub exists: bool,
    /// Rows that are expected.
    capacity: u16,
}

#[derive(Debug)]
enum Kind {
    None,
    /// The same in every row from the first that brought a value.
    Same(Box<str>, u32),
    /// The same whole number.
    SameInt(i64, u32),
    // A batch has hundreds of columns, most of them empty: what is large stands elsewhere.
    One(Box<Texts>),
    Many(Box<Many>),
}

impl Filler {
    pub fn new(capacity: usize, exists: bool) -> Filler {
        Filler {
            kind: Kind::None,
            rows: 0,
            exists,
            capacity: u16::try_from(capacity).unwrap_or(u16::MAX),
        }
    }

    #[inline]
    pub fn has(&self, row: usize) -> bool {
        self.rows as usize > row
    }

    /// A value of a row.
    #[inline]
    pub fn append(&mut self, row: usize, text: &str) {
        if self.exists {
            self.there(row);
        } else {
            self.value(row, text);
        }
    }

    /// That a row has a value; of a column that only tells that.
    #[inline]
    pub fn there(&mut self, row: usize) {
        match &self.kind {
            Kind::Same(..) if row as u32 == self.rows => self.rows += 1,
            _ => self.append_other(row as u32, "true"),
        }
    }

    /// A value of a row; not of a column that only tells that there is one.
    #[inline(always)]
    pub fn value(&mut self, row: usize, text: &str) {
        let row = row as u32;
        match &mut self.kind {
            Kind::One(one) if row >= self.rows => {
                one.skip(row - self.rows);
                one.push(text);
                self.rows = row + 1;
            }
            Kind::Same(there, _) if row == self.rows && is_same(there, text) => self.rows = row + 1,
            Kind::Many(many) => {
                if row >= self.rows {
                    many.open(row + 1 - self.rows);
                    self.rows = row + 1;
                }
                many.push(text);
            }
            _ => self.append_other(row, text),
        }
    }

    /// A value that is a whole number.
    #[inline]
    pub fn append_int(&mut self, row: usize, n: i64) {
        match &mut self.kind {
            Kind::SameInt(there, _) if row as u32 == self.rows && *there == n => self.rows += 1,
            _ => self.append_new_int(row, n),
        }
    }

    #[inline(never)]
    fn append_new_int(&mut self, row: usize, n: i64) {
        if matches!(self.kind, Kind::None) && !self.exists {
            self.kind = Kind::SameInt(n, row as u32);
            self.rows = row as u32 + 1;
        } else {
            self.append(row, value::int_text(n, &mut [0; 20]));
        }
    }

    #[inline(never)]
    fn append_other(&mut self, row: u32, text: &str) {
        if self.exists && self.rows > row {
            return;
        }
        if let Kind::Same(..) | Kind::SameInt(..) = self.kind {
            self.kind = Kind::One(Box::new(self.one(text.len())));
        }
        match &mut self.kind {
            Kind::None => self.kind = Kind::Same(text.into(), row),
            Kind::Same(..) | Kind::SameInt(..) => {}
            Kind::One(one) if row >= self.rows => one.push_row(row - self.rows, text),
            Kind::One(one) => {
                // The second value of a row.
                let mut many = Many::of(std::mem::take(one));
                many.push(text);
                self.kind = Kind::Many(Box::new(many));
            }
            Kind::Many(many) => {
                if row >= self.rows {
                    many.open(row + 1 - self.rows);
                }
                many.push(text);
            }
        }
        self.rows = self.rows.max(row + 1);
    }

    /// What there is so far, text by text; there will be texts of that length.
    #[cold]
    fn one(&self, length: usize) -> Texts {
        let mut digits = [0; 20];
        let (same, from) = match &self.kind {
            Kind::Same(text, from) => (&**text, *from),
            Kind::SameInt(n, from) => (value::int_text(*n, &mut digits), *from),
            _ => ("", self.rows),
        };
        let capacity = usize::from(self.capacity).max(self.rows as usize);
        let mut one = Texts::with_capacity(capacity, capacity * length.max(same.len()).clamp(8, 4096));
        one.skip(from);
        (from..self.rows).for_each(|_| one.push_row(0, same));
        one
    }

    /// `None` where no row brought a value.
    pub fn finish(self, rows: usize) -> Option<Column> {
        let same = |text: &str, from: u32| {
            let one = StringArray::from_iter_values([text]);
            Some(Column::Same(one, from as usize..self.rows as usize))
        };
        let left = (rows as u32).saturating_sub(self.rows);
        match self.kind {
            Kind::None => None,
            Kind::Same(text, from) => same(&text, from),
            Kind::SameInt(n, from) => same(value::int_text(n, &mut [0; 20]), from),
            Kind::One(mut one) => {
                one.skip(left);
                one.column()
            }
            Kind::Many(mut many) => {
                many.open(left);
                many.column()
            }
        }
    }
}
