//! A column in the making.

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::{Array as _, StringArray};

use crate::batch::Column;
use crate::value::{self, is_same};

/// A column in the making; rows come in order, and those that bring nothing are passed over.
///
/// Many columns say the same in every row of a batch (what the class is called, which product): as long as that is so,
/// rows are counted and nothing is copied.
#[derive(Debug)]
pub(super) struct Filler {
    texts: Texts,
    /// Rows up to and with the last one that brought a value.
    rows: usize,
    capacity: u32,
    /// Whether it only tells that there is a value.
    pub exists: bool,
}

#[derive(Debug)]
enum Texts {
    None,
    /// The same in every row from the first that brought a value.
    Same(Box<str>, u32),
    /// The same whole number.
    SameInt(i64, u32),
    // A batch has hundreds of columns, most of them empty: what is large stands elsewhere.
    One(Box<StringBuilder>),
    Many(Box<ListBuilder<StringBuilder>>),
}

impl Filler {
    pub fn new(capacity: usize, exists: bool) -> Filler {
        Filler {
            texts: Texts::None,
            rows: 0,
            capacity: u32::try_from(capacity).unwrap_or(0),
            exists,
        }
    }

    #[inline]
    pub fn has(&self, row: usize) -> bool {
        self.rows > row
    }

    /// A value of a row.
    #[inline]
    pub fn append(&mut self, row: usize, text: &str) {
        let text = if self.exists { "true" } else { text };
        match &mut self.texts {
            Texts::One(one) if row >= self.rows => {
                if row > self.rows {
                    one.append_nulls(row - self.rows);
                }
                one.append_value(text);
                self.rows = row + 1;
            }
            Texts::Same(there, _) if row == self.rows && is_same(there, text) => self.rows += 1,
            _ => self.append_other(row, text),
        }
    }

    /// A value that is a whole number.
    #[inline]
    pub fn append_int(&mut self, row: usize, n: i64) {
        match &mut self.texts {
            Texts::SameInt(there, _) if row == self.rows && *there == n && !self.exists => self.rows += 1,
            Texts::None if !self.exists => {
                self.texts = Texts::SameInt(n, row as u32);
                self.rows = row + 1;
            }
            _ => self.append(row, value::int_text(n, &mut [0; 20])),
        }
    }

    #[inline(never)]
    fn append_other(&mut self, row: usize, text: &str) {
        if self.exists && self.has(row) {
            return;
        }
        let text = if self.exists { "true" } else { text };
        if let Texts::Same(..) | Texts::SameInt(..) = self.texts {
            self.texts = Texts::One(Box::new(self.one(text.len())));
        }
        match &mut self.texts {
            Texts::None => self.texts = Texts::Same(text.into(), row as u32),
            Texts::Same(..) | Texts::SameInt(..) => {}
            Texts::One(one) if row >= self.rows => {
                one.append_nulls(row - self.rows);
                one.append_value(text);
            }
            Texts::One(one) => {
                // The second value of a row.
                let one = one.finish();
                let capacity = self.capacity as usize * 2;
                let mut many = ListBuilder::new(StringBuilder::with_capacity(capacity, one.values().len() * 2));
                for earlier in 0..self.rows {
                    if earlier > 0 {
                        many.append(true);
                    }
                    if one.is_valid(earlier) {
                        many.values().append_value(one.value(earlier));
                    }
                }
                many.values().append_value(text);
                self.texts = Texts::Many(Box::new(many));
            }
            Texts::Many(many) => {
                // The list of the last row that brought something is still open.
                (self.rows..=row).for_each(|_| many.append(true));
                many.values().append_value(text);
            }
        }
        self.rows = self.rows.max(row + 1);
    }

    /// What there is so far, text by text; there will be texts of that length.
    #[cold]
    fn one(&self, length: usize) -> StringBuilder {
        let mut digits = [0; 20];
        let (same, from) = match &self.texts {
            Texts::Same(text, from) => (&**text, *from),
            Texts::SameInt(n, from) => (value::int_text(*n, &mut digits), *from),
            _ => ("", self.rows as u32),
        };
        let (from, capacity) = (from as usize, self.rows.max(self.capacity as usize));
        let mut one = StringBuilder::with_capacity(capacity, capacity * length.max(same.len()).clamp(8, 4096));
        one.append_nulls(from);
        one.append_value_n(same, self.rows - from);
        one
    }

    /// `None` where no row brought a value.
    pub fn finish(self, rows: usize) -> Option<Column> {
        let same = |text: &str, from: u32| {
            let one = StringArray::from_iter_values([text]);
            Some(Column::Same(one, from as usize..self.rows))
        };
        match self.texts {
            Texts::None => None,
            Texts::Same(text, from) => same(&text, from),
            Texts::SameInt(n, from) => same(value::int_text(n, &mut [0; 20]), from),
            Texts::One(mut one) => {
                one.append_nulls(rows - self.rows);
                Some(Column::One(one.finish()))
            }
            Texts::Many(mut many) => {
                (self.rows..=rows).for_each(|_| many.append(true));
                Some(Column::Many(many.finish()))
            }
        }
    }
}
