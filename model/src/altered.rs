//! A batch with other values in some of its rows: what would be, were an event another.

use crate::{Batch, EXISTS, Field, LedgerIndex, Millis, Values};

impl Batch {
    /// Gives the events of the records that `of` names other values of a field, none where `values` is empty. A field that
    /// the batch is not read for stays unread.
    pub fn alter(&mut self, field: &Field, of: impl Fn(LedgerIndex) -> bool, values: &[String]) {
        let exists = Field {
            namespace: field.namespace,
            path: format!("{}{EXISTS}", field.path).into(),
        };
        let there = if values.is_empty() {
            &[][..]
        } else {
            &["true".to_owned()]
        };
        self.put(field, &of, values);
        self.put(&exists, &of, there);
        if &*field.path == "time"
            && let Some(time) = values.first().and_then(|text| Millis::parse(text).ok())
        {
            self.rows
                .iter_mut()
                .filter(|row| of(row.index))
                .for_each(|row| row.time = time);
        }
        if &*field.path == "class_uid"
            && let [class] = values
            && let Ok(class) = class.parse()
            && self.rows.iter().all(|row| of(row.index))
        {
            self.class_uid = class;
        }
    }

    /// Gives the values of a field for which `other` has one that other value.
    pub fn replace<'o>(&mut self, field: &Field, other: impl Fn(&str) -> Option<&'o str>) {
        let Some(column) = self.column(field) else { return };
        let mut replaced = Values::default();
        for n in 0..self.rows.len() {
            column.for_each(n, |v| replaced.push(n as u32, other(v).unwrap_or(v)));
        }
        let column = replaced.column(self.rows.len());
        self.columns.put(field, column);
    }

    fn put(&mut self, field: &Field, of: &impl Fn(LedgerIndex) -> bool, values: &[String]) {
        let mut altered = Values::default();
        let before = self.column(field);
        for (n, row) in self.rows.iter().enumerate() {
            match before {
                _ if of(row.index) => values.iter().for_each(|v| altered.push(n as u32, v)),
                Some(column) => column.for_each(n, |v| altered.push(n as u32, v)),
                None => {}
            }
        }
        let column = altered.column(self.rows.len());
        self.columns.put(field, column);
    }
}
