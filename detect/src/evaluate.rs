//! Evaluation of a compiled set over the columns of a batch.
//!
//! 1. Indexes find, for each gate predicate, the rows for which it holds.
//! 2. A rule's candidates are the rows of its gate; its program runs over bitmaps of rows, narrowed from step to
//!    step, so that a predicate outside the gates is judged for few rows, and for each row at most once.

use std::collections::BTreeMap;
use std::sync::{PoisonError, TryLockError};

use arrow_array::Array as _;
use foldhash::{HashMap, HashMapExt as _};
use model::{Batch, Column};
use smallvec::SmallVec;

use crate::compile::{FieldId, Group, Hit, Index, Indexes, Memo, PredicateId, Program, RuleId, RuleSet, Scratch};
use crate::sigma::{Match, lower};

impl RuleSet {
    /// Which rules hold for which rows, by row, then by rule. The batch has the columns of [`RuleSet::wanted`]; one
    /// that it lacks counts as a field that no event has.
    #[must_use]
    pub fn evaluate(&self, batch: &Batch) -> Vec<Hit> {
        if batch.rows.is_empty() {
            return Vec::new();
        }
        let group = self.group(&batch.logsource, batch.class_uid);
        let mut run = Run::new(self, batch);
        let mut hits = Vec::new();
        let mut judge = |run: &mut Run<'_>, id: RuleId, rows: &Bits| {
            let rule = &self.rules[id as usize];
            run.judge(&rule.program, rows).for_each(|row| {
                hits.push(Hit {
                    row: row as u32,
                    rule: rule.policy,
                });
            });
        };
        let all = Bits::full(batch.rows.len());
        let indexes = if group.pays(batch.rows.len()) {
            group.indexes(&self.rules, &self.predicates)
        } else {
            self.everything()
        };
        let candidates = run.candidates(&group, indexes);
        for (id, rows) in &candidates {
            judge(&mut run, *id, rows);
        }
        group.ungated.iter().for_each(|id| judge(&mut run, *id, &all));
        hits.sort_unstable();
        hits
    }
}

/// A set of rows.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Bits(SmallVec<[u64; 16]>);

impl Bits {
    fn none(rows: usize) -> Bits {
        Bits(SmallVec::from_elem(0, rows.div_ceil(64)))
    }

    fn full(rows: usize) -> Bits {
        let mut bits = Bits(SmallVec::from_elem(u64::MAX, rows.div_ceil(64)));
        if !rows.is_multiple_of(64)
            && let Some(last) = bits.0.last_mut()
        {
            *last = (1 << (rows % 64)) - 1;
        }
        bits
    }

    fn set(&mut self, row: usize) {
        self.0[row / 64] |= 1 << (row % 64);
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|w| *w == 0)
    }

    fn and(mut self, other: &Bits) -> Bits {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a &= b);
        self
    }

    fn and_not(mut self, other: &Bits) -> Bits {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a &= !b);
        self
    }

    fn or(mut self, other: &Bits) -> Bits {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a |= b);
        self
    }

    fn for_each(&self, mut each: impl FnMut(usize)) {
        for (i, word) in self.0.iter().enumerate() {
            let mut word = *word;
            while word != 0 {
                each(i * 64 + word.trailing_zeros() as usize);
                word &= word - 1;
            }
        }
    }
}

/// The rows that indexes found, by predicate.
#[derive(Default)]
struct Found(HashMap<PredicateId, Bits>);

impl Found {
    fn rows(&mut self, id: PredicateId, rows: usize) -> &mut Bits {
        self.0.entry(id).or_insert_with(|| Bits::none(rows))
    }
}

/// The text of a list's items.
fn texts(list: &arrow_array::ListArray) -> Option<&arrow_array::StringArray> {
    list.values().as_any().downcast_ref()
}

/// What is known of one predicate.
struct Known {
    known: Bits,
    holds: Bits,
}

/// The columns of a field, the first with a value in a row being the row's.
type Columns<'r> = SmallVec<[&'r Column; 2]>;

/// The evaluation of one batch.
struct Run<'r> {
    set: &'r RuleSet,
    batch: &'r Batch,
    /// For each field, the columns that hold it, by their place among those that it reads.
    columns: Vec<SmallVec<[(usize, &'r Column); 2]>>,
    /// The fields that have columns.
    present: Vec<FieldId>,
    /// For each predicate of which something is known, its place in `memos`.
    slots: HashMap<PredicateId, usize>,
    memos: Vec<Known>,
    /// What has found everything that it finds.
    indexes: Option<&'r Indexes>,
}

impl<'r> Run<'r> {
    fn new(set: &'r RuleSet, batch: &'r Batch) -> Run<'r> {
        let mut columns = vec![SmallVec::new(); set.predicates.fields.len()];
        let mut present = Vec::new();
        for (field, column) in batch.columns() {
            for (id, place) in set.readers.get(field).into_iter().flatten() {
                let held: &mut SmallVec<_> = &mut columns[*id as usize];
                if held.is_empty() {
                    present.push(*id);
                }
                held.push((*place, column));
            }
        }
        for id in &present {
            columns[*id as usize].sort_unstable_by_key(|(place, _)| *place);
        }
        Run {
            set,
            batch,
            columns,
            present,
            slots: HashMap::new(),
            memos: Vec::new(),
            indexes: None,
        }
    }

    fn columns(&self, field: FieldId) -> Columns<'r> {
        self.columns[field as usize].iter().map(|(_, column)| *column).collect()
    }

    /// The rows of each rule's gate, by rule; found by indexes that are of all its rules, and maybe of others.
    fn candidates(&mut self, group: &Group, indexes: &'r Indexes) -> Vec<(RuleId, Bits)> {
        self.indexes = Some(indexes);
        let rows = self.batch.rows.len();
        // What other batches taught; where another thread is at it, this one goes without.
        let mut memos = match indexes.memos.try_lock() {
            Ok(memos) => Some(memos),
            Err(TryLockError::Poisoned(memos)) => Some(PoisonError::into_inner(memos)),
            Err(TryLockError::WouldBlock) => None,
        };
        let mut found = Found::default();
        let mut scratch = Scratch::default();
        for field in std::mem::take(&mut self.present) {
            let Some(index) = indexes.index(field, &self.set.predicates) else {
                continue;
            };
            let columns = self.columns(field);
            match (columns.as_slice(), index.literals_alone()) {
                ([Column::Many(list)], Some(automaton)) => {
                    self.sweep(index, automaton, list, &mut scratch, &mut found);
                }
                _ => {
                    let memo = memos.as_mut().map(|m| m.entry(field).or_default());
                    self.scan(index, &columns, memo, &mut scratch, &mut found);
                }
            }
        }
        let mut candidates: BTreeMap<RuleId, Bits> = BTreeMap::new();
        for (predicate, bits) in found.0 {
            let rules = indexes.gates.get(&predicate).into_iter().flatten();
            for rule in rules.filter(|rule| group.has(**rule)) {
                let entry = candidates.entry(*rule).or_insert_with(|| Bits::none(rows));
                entry.0.iter_mut().zip(&bits.0).for_each(|(a, b)| *a |= b);
            }
            // An index finds all rows of a predicate, so there is nothing more to learn of it.
            self.memos.push(Known {
                known: Bits::full(rows),
                holds: bits,
            });
            self.slots.insert(predicate, self.memos.len() - 1);
        }
        candidates.into_iter().collect()
    }

    /// Looks each distinct value up once, in this batch and, where values come again, ever.
    fn scan(
        &self,
        index: &Index,
        columns: &[&'r Column],
        mut memo: Option<&mut Memo>,
        scratch: &mut Scratch,
        found: &mut Found,
    ) {
        let rows = self.batch.rows.len();
        // Values by what they are; for each the first of its places in `places`, which leads to the others.
        let mut values: HashMap<&str, u32> = HashMap::with_capacity(64);
        let mut distinct: Vec<(&str, u32)> = Vec::with_capacity(rows);
        let mut places: Vec<(u32, u32)> = Vec::with_capacity(rows);
        const NONE: u32 = u32::MAX;
        // Neighbours are often equal (a host's name).
        let mut before: Option<(&str, u32)> = None;
        for row in 0..rows {
            for_each_value(columns, row, |value| {
                let id = match before {
                    Some((text, id)) if text == value => id,
                    _ => *values.entry(value).or_insert_with(|| {
                        distinct.push((value, NONE));
                        distinct.len() as u32 - 1
                    }),
                };
                before = Some((value, id));
                let first = &mut distinct[id as usize].1;
                places.push((row as u32, *first));
                *first = places.len() as u32 - 1;
            });
        }
        let mut holds: Vec<PredicateId> = Vec::new();
        for (value, first) in distinct {
            holds.clear();
            match memo.as_mut().and_then(|m| m.get(value)) {
                Some(known) => holds.extend_from_slice(known),
                None => {
                    index.look_up(&self.set.predicates, value, scratch, &mut holds);
                    if let Some(memo) = &mut memo {
                        memo.put(value, &holds);
                    }
                }
            }
            for id in &holds {
                let bits = found.rows(*id, rows);
                let mut place = first;
                while let Some((row, next)) = places.get(place as usize) {
                    bits.set(*row as usize);
                    place = *next;
                }
            }
        }
    }

    /// Runs the automaton over all values at once, and looks only those up in which it finds something. For columns
    /// that hold much text and few literals (keywords).
    fn sweep(
        &self,
        index: &Index,
        automaton: &aho_corasick::AhoCorasick,
        list: &arrow_array::ListArray,
        scratch: &mut Scratch,
        found: &mut Found,
    ) {
        let rows = self.batch.rows.len();
        let Some(texts) = texts(list) else { return };
        let starts = list.value_offsets();
        let mut lowered = Vec::with_capacity(texts.value_data().len());
        let ends: Vec<usize> = if texts.is_ascii() {
            lowered.extend(texts.value_data().iter().map(u8::to_ascii_lowercase));
            texts.value_offsets()[1..].iter().map(|end| *end as usize).collect()
        } else {
            let lower = |value: &str| {
                lowered.extend_from_slice(lower(value).as_bytes());
                lowered.len()
            };
            texts.iter().map(Option::unwrap_or_default).map(lower).collect()
        };
        let mut holds = Vec::new();
        let (mut at, mut value, mut row) = (0, 0, 0);
        while let Some(hit) = automaton.find(aho_corasick::Input::new(&lowered).range(at..)) {
            // The value in which the literal ends; where it begins in another it is none, but that value has to
            // be looked at from its start.
            value += ends[value..].partition_point(|end| *end < hit.end());
            while starts[row + 1] as usize <= value {
                row += 1;
            }
            holds.clear();
            index.look_up(&self.set.predicates, texts.value(value), scratch, &mut holds);
            for id in &holds {
                found.rows(*id, rows).set(row);
            }
            at = ends[value];
            value += 1;
            if value >= ends.len() {
                break;
            }
        }
    }

    /// The rows among `rows` for which a program holds.
    fn judge(&mut self, program: &Program, rows: &Bits) -> Bits {
        if rows.is_empty() {
            return rows.clone();
        }
        match program {
            Program::Predicate(id) => self.predicate(*id, rows),
            Program::Not(inner) => {
                let holds = self.judge(inner, rows);
                rows.clone().and_not(&holds)
            }
            Program::All(programs) => {
                let mut left = rows.clone();
                for program in programs {
                    if left.is_empty() {
                        break;
                    }
                    left = self.judge(program, &left);
                }
                left
            }
            Program::Any(programs) => {
                let mut left = rows.clone();
                let mut found = Bits::none(self.batch.rows.len());
                for program in programs {
                    if left.is_empty() {
                        break;
                    }
                    let holds = self.judge(program, &left);
                    left = left.and_not(&holds);
                    found = found.or(&holds);
                }
                found
            }
            Program::AtLeast(n, programs) => {
                let mut counts = vec![0_u32; self.batch.rows.len()];
                for program in programs {
                    self.judge(program, rows).for_each(|row| counts[row] += 1);
                }
                let mut found = Bits::none(counts.len());
                rows.for_each(|row| {
                    if counts[row] >= *n {
                        found.set(row);
                    }
                });
                found
            }
        }
    }

    fn predicate(&mut self, id: PredicateId, rows: &Bits) -> Bits {
        let is_none = !self.slots.contains_key(&id) && self.indexes.is_some_and(|i| i.finds(id));
        if is_none {
            return Bits::none(self.batch.rows.len());
        }
        let slot = *self.slots.entry(id).or_insert_with(|| {
            let none = Bits::none(self.batch.rows.len());
            self.memos.push(Known {
                known: none.clone(),
                holds: none,
            });
            self.memos.len() - 1
        });
        let ask = rows.clone().and_not(&self.memos[slot].known);
        if !ask.is_empty() {
            let predicate = &self.set.predicates.all[id as usize];
            let columns = self.columns(predicate.field);
            let others = predicate.other.map(|o| self.columns(o)).unwrap_or_default();
            let memo = &mut self.memos[slot];
            ask.for_each(|row| {
                if holds(&predicate.matcher, &columns, &others, row) {
                    memo.holds.set(row);
                }
            });
            memo.known = std::mem::replace(&mut memo.known, Bits(SmallVec::new())).or(&ask);
        }
        rows.clone().and(&self.memos[slot].holds)
    }
}

/// Calls `each` with every value that the first column with a value has in a row.
fn for_each_value<'r>(columns: &[&'r Column], row: usize, mut each: impl FnMut(&'r str)) {
    for column in columns {
        let mut any = false;
        column.for_each(row, |value| {
            any = true;
            each(value);
        });
        if any {
            return;
        }
    }
}

fn holds(matcher: &Match, columns: &[&Column], others: &[&Column], row: usize) -> bool {
    let (mut any, mut found) = (false, false);
    for_each_value(columns, row, |value| {
        any = true;
        found = found
            || match matcher {
                Match::FieldRef { end, cased, .. } => {
                    let mut equal = false;
                    for_each_value(others, row, |other| equal = equal || end.holds(value, other, *cased));
                    equal
                }
                _ => matcher.is_match(value),
            };
    });
    match matcher {
        Match::Null => !any,
        Match::Exists(expected) => *expected == any,
        _ => found,
    }
}
