//! Rows of reference tables as JSON, written once: what joins find is written with each event of which they found it, and they find the
//! same rows over and over.

use std::sync::{Arc, Mutex, PoisonError};

use foldhash::HashMap;
use model::ReferenceRow;
use serde::Serialize;
use serde_json::Value as Json;

use super::bytes::Writer;
use crate::reference::Found;

/// Rows that are remembered; beyond it all are forgotten.
const ROWS_MAX: usize = 8_192;
/// Bytes of a row that is remembered.
const TEXT_MAX: usize = 4_096;

/// The rows that were written, by where they lie; they lie there as long as they are remembered.
#[derive(Debug, Default)]
pub(super) struct Texts(Mutex<HashMap<usize, Text>>);

#[derive(Debug)]
struct Text {
    text: Box<[u8]>,
    _row: Row,
}

/// What lies there.
#[derive(Debug)]
#[allow(dead_code, reason = "held, so that nothing else comes to lie there")]
enum Row {
    Plain(Arc<Json>),
    Cited(Arc<ReferenceRow>),
}

/// Puts a value of the engine's own as JSON.
fn put(value: &(impl Serialize + ?Sized), to: &mut Vec<u8>) {
    // Maps have text keys, and nothing refuses to be written.
    serde_json::to_writer(to, value).expect("the engine's state is always JSON");
}

/// Puts a list or a map, each item by `each`.
fn all<T>(items: impl Iterator<Item = T>, ends: [u8; 2], to: &mut Vec<u8>, mut each: impl FnMut(T, &mut Vec<u8>)) {
    to.push(ends[0]);
    for (n, item) in items.enumerate() {
        if n > 0 {
            to.push(b',');
        }
        each(item, to);
    }
    to.push(ends[1]);
}

impl Texts {
    fn put_row(&self, at: usize, row: &impl Serialize, hold: impl FnOnce() -> Row, to: &mut Vec<u8>) {
        // A thread that panicked left whole texts.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(&at) {
            return to.extend(&known.text);
        }
        let start = to.len();
        put(row, to);
        if to.len() - start <= TEXT_MAX {
            if known.len() >= ROWS_MAX {
                known.clear();
            }
            let text = Text {
                text: to[start..].into(),
                _row: hold(),
            };
            known.insert(at, text);
        }
    }

    fn put_rows(&self, rows: &[Arc<ReferenceRow>], to: &mut Vec<u8>) {
        all(rows.iter(), *b"[]", to, |row, to| {
            let at = Arc::as_ptr(row) as usize;
            self.put_row(at, &**row, || Row::Cited(row.clone()), to);
        });
    }

    /// Puts what joins found as the JSON of its aliases, its rows and its records.
    pub fn found(&self, found: &Found, to: &mut Writer) {
        to.sized(|to| {
            to.push(b'[');
            all(found.aliases.iter(), *b"{}", to, |(alias, row), to| {
                put(&**alias, to);
                to.push(b':');
                let at = Arc::as_ptr(row) as usize;
                self.put_row(at, &**row, || Row::Plain(row.clone()), to);
            });
            to.push(b',');
            self.put_rows(&found.rows, to);
            to.push(b',');
            put(&found.records, to);
            to.push(b']');
        });
    }

    /// Puts what an entry of a group has beside its event: the JSON of its records, its rows and its origins.
    pub fn entry(
        &self,
        records: &impl Serialize,
        rows: &[Arc<ReferenceRow>],
        origins: &impl Serialize,
        to: &mut Writer,
    ) {
        to.sized(|to| {
            to.push(b'[');
            put(records, to);
            to.push(b',');
            self.put_rows(rows, to);
            to.push(b',');
            put(origins, to);
            to.push(b']');
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::engine::bytes::Reader;

    #[test]
    fn as_json_is_written() {
        let row = |n: i64| Arc::new(json!({"id": n, "name": "a \"b\"\u{e9}", "net": ["10.0.0.0/8"], "none": null}));
        let cited = |n: i64| {
            Arc::new(ReferenceRow {
                table: "t".into(),
                version: "v".into(),
                row: (*row(n)).clone(),
            })
        };
        let (texts, record) = (Texts::default(), "t/0/1".parse().unwrap());
        let mut found = Found {
            aliases: [("a\"".into(), row(1)), ("b".into(), row(2))].into_iter().collect(),
            rows: vec![cited(1), cited(2)],
            records: vec![record],
            negative: false,
        };
        for n in 0..3 {
            let mut writer = Writer::default();
            texts.found(&found, &mut writer);
            let plain = serde_json::to_string(&(&found.aliases, &found.rows, &found.records)).unwrap();
            assert_eq!(Reader(&writer.0).text(), Some(&*plain));
            let mut writer = Writer::default();
            texts.entry(&found.records, &found.rows, &[n], &mut writer);
            let plain = serde_json::to_string(&(&found.records, &found.rows, &[n])).unwrap();
            assert_eq!(Reader(&writer.0).text(), Some(&*plain));
            // Others, which may come to lie where those lay.
            found.rows = (0..n).map(|n| cited(n + 7)).collect();
            found.aliases.insert("b".into(), row(n + 9));
        }
        for n in 0..2 * ROWS_MAX as i64 {
            found.rows = vec![cited(n)];
            let mut writer = Writer::default();
            texts.found(&found, &mut writer);
            let plain = serde_json::to_string(&(&found.aliases, &found.rows, &found.records)).unwrap();
            assert_eq!(Reader(&writer.0).text(), Some(&*plain));
        }
    }
}
