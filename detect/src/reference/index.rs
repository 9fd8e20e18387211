//! Rows of a table by the values of some columns: equality by hash, `*` in a cell by pattern.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foldhash::HashMap;
use serde_json::Value;
use smallvec::{SmallVec, smallvec};

use super::cell::{each_value, scalar};
use crate::sigma::{Pattern, lower};

/// Combinations of key values that one row, or one question, may have; those beyond are left out.
const COMBINATIONS_MAX: usize = 4_096;
/// Parts two values of a key; in no sane value.
const SEPARATOR: char = '\u{1f}';

/// Rows by key. Text without regard to case.
#[derive(Debug, Default)]
pub struct Index {
    /// One group for each set of columns that hold patterns; the set of none first: rows that are equal.
    groups: BTreeMap<Vec<usize>, Group>,
}

#[derive(Debug, Default)]
struct Group {
    by_key: HashMap<String, Vec<Entry>>,
}

#[derive(Debug)]
struct Entry {
    row: u32,
    /// The patterns of the group's columns, in order.
    patterns: Vec<Pattern>,
}

impl Index {
    /// Indexes `rows` by `columns` (dotted paths). A row that lacks one of them is under no key.
    #[must_use]
    pub fn build(columns: &[Arc<str>], rows: &[Arc<Value>]) -> Index {
        let mut index = Index::default();
        for (n, row) in rows.iter().enumerate() {
            let cells: Vec<Vec<String>> = columns
                .iter()
                .map(|column| {
                    let mut cells = BTreeSet::new();
                    each_value(row, column, &mut |v| {
                        cells.insert(lower(&scalar(v)));
                    });
                    cells.into_iter().collect()
                })
                .collect();
            let row = u32::try_from(n).expect("a table has fewer rows than 2^32");
            combinations(&cells, &mut |cells| index.insert(row, cells));
        }
        index
    }

    fn insert(&mut self, row: u32, cells: &[&str]) {
        let patterned: Vec<usize> = (0..cells.len()).filter(|i| cells[*i].contains('*')).collect();
        let patterns = patterned.iter().map(|i| star_pattern(cells[*i])).collect();
        let key = key(cells
            .iter()
            .enumerate()
            .filter(|(i, _)| !patterned.contains(i))
            .map(|(_, c)| *c));
        self.groups
            .entry(patterned)
            .or_default()
            .by_key
            .entry(key)
            .or_default()
            .push(Entry { row, patterns });
    }

    /// The rows whose cells equal one of the values of each column, then (second) those that only match by a
    /// pattern; both in row order, each row once.
    #[must_use]
    pub fn rows(&self, values: &[Vec<String>]) -> (Vec<usize>, Vec<usize>) {
        let (mut equal, mut matching) = (Vec::new(), Vec::new());
        let mut key = String::new();
        combinations(values, &mut |values| {
            for (patterned, group) in &self.groups {
                key.clear();
                let plain = values.iter().enumerate().filter(|(i, _)| !patterned.contains(i));
                plain.for_each(|(_, c)| push(&mut key, c));
                let into = if patterned.is_empty() {
                    &mut equal
                } else {
                    &mut matching
                };
                for entry in group.by_key.get(&key).into_iter().flatten() {
                    if patterned
                        .iter()
                        .zip(&entry.patterns)
                        .all(|(i, p)| p.is_match(values[*i], true))
                    {
                        into.push(entry.row as usize);
                    }
                }
            }
        });
        for rows in [&mut equal, &mut matching] {
            rows.sort_unstable();
            rows.dedup();
        }
        matching.retain(|row| equal.binary_search(row).is_err());
        (equal, matching)
    }
}

/// `*` is any text; `?` and `\` stand for themselves, because a cell is data, not a rule.
fn star_pattern(cell: &str) -> Pattern {
    let mut notation = String::with_capacity(cell.len());
    for c in cell.chars() {
        if matches!(c, '?' | '\\') {
            notation.push('\\');
        }
        notation.push(c);
    }
    Pattern::parse(&notation)
}

/// Values as one key.
pub(crate) fn key<'a>(values: impl Iterator<Item = &'a str>) -> String {
    let mut key = String::new();
    values.for_each(|value| push(&mut key, value));
    key
}

fn push(key: &mut String, value: &str) {
    key.push_str(value);
    key.push(SEPARATOR);
}

/// Calls `each` with every combination of one value of each list; never where a list is empty.
pub(crate) fn combinations<S: AsRef<str>>(lists: &[Vec<S>], each: &mut dyn FnMut(&[&str])) {
    if lists.iter().any(Vec::is_empty) {
        return;
    }
    let mut at = smallvec![0; lists.len()];
    let at: &mut SmallVec<[usize; 4]> = &mut at;
    for _ in 0..COMBINATIONS_MAX {
        let values: SmallVec<[&str; 4]> = lists.iter().zip(at.iter()).map(|(list, i)| list[*i].as_ref()).collect();
        each(&values);
        // Count up like an odometer, the last list fastest.
        let Some(digit) = (0..lists.len()).rev().find(|d| at[*d] + 1 < lists[*d].len()) else {
            return;
        };
        at[digit] += 1;
        at[digit + 1..].fill(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn index(rows: Value) -> Index {
        let rows: Vec<Arc<Value>> = rows.as_array().unwrap().iter().cloned().map(Arc::new).collect();
        Index::build(&["system".into(), "account".into()], &rows)
    }

    fn ask(index: &Index, system: &[&str], account: &[&str]) -> (Vec<usize>, Vec<usize>) {
        let list = |l: &[&str]| l.iter().map(|s| lower(s)).collect();
        index.rows(&[list(system), list(account)])
    }

    #[test]
    fn equality_patterns_and_lists() {
        let index = index(json!([
            {"system": "host:*", "account": "root"},
            {"system": "host:web-1", "account": "Root"},
            {"system": ["crm", "sso"], "account": "li.na"},
            {"system": "*", "account": "svc_*"},
            {"system": "crm"},
            {"system": "h?st", "account": 7},
        ]));
        assert_eq!(ask(&index, &["host:web-1"], &["ROOT"]), (vec![1], vec![0]));
        assert_eq!(ask(&index, &["host:web-2"], &["root"]), (vec![], vec![0]));
        assert_eq!(ask(&index, &["SSO"], &["x", "li.na"]), (vec![2], vec![]));
        assert_eq!(ask(&index, &["crm"], &["svc_backup"]), (vec![], vec![3]));
        assert_eq!(ask(&index, &["h?st"], &["7"]), (vec![5], vec![]));
        assert_eq!(ask(&index, &["host"], &["7"]), (vec![], vec![]));
        assert_eq!(ask(&index, &[], &["7"]), (vec![], vec![]));
    }

    #[test]
    fn combinations_are_bounded() {
        let lists = vec![vec!["a"; 100]; 100];
        let mut n = 0;
        combinations(&lists, &mut |_| n += 1);
        assert_eq!(n, COMBINATIONS_MAX);
        let mut none = 0;
        combinations::<&str>(&[], &mut |_| none += 1);
        assert_eq!(none, 1);
    }
}
