//! Evaluation of a compiled set over the columns of a batch.
//!
//! 1. Indexes find, for each gate predicate, the rows for which it holds.
//! 2. A rule's candidates are the rows of its gate; its program runs over bitmaps of rows, narrowed from step to
//!    step, so that a predicate outside the gates is judged for few rows, and for each row at most once.

use std::collections::BTreeMap;

use model::{Batch, Column};
use smallvec::SmallVec;

use crate::compile::{Check, FieldId, Group, Hit, Index, PredicateId, Program, RuleId, RuleSet};
use crate::sigma::{Match, Number, lower_char};

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
        let candidates = run.candidates(&group);
        let mut hits = Vec::new();
        let all = Bits::full(batch.rows.len());
        let gated = candidates.iter().map(|(id, rows)| (*id, rows));
        for (id, rows) in gated.chain(group.ungated.iter().map(|id| (*id, &all))) {
            let rule = &self.rules[id as usize];
            let rows = run.judge(&rule.program, rows);
            rows.for_each(|row| {
                hits.push(Hit {
                    row: row as u32,
                    rule: rule.policy,
                })
            });
        }
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

/// What is known of one predicate.
struct Memo {
    known: Bits,
    holds: Bits,
}

/// The evaluation of one batch.
struct Run<'r> {
    set: &'r RuleSet,
    batch: &'r Batch,
    /// For each field, once asked for, the columns that may hold it; the first with a value in a row counts.
    columns: Vec<Option<SmallVec<[&'r Column; 2]>>>,
    /// For each predicate, one more than its place in `memos`; 0: nothing is known.
    slots: Vec<u32>,
    memos: Vec<Memo>,
}

impl<'r> Run<'r> {
    fn new(set: &'r RuleSet, batch: &'r Batch) -> Run<'r> {
        Run {
            set,
            batch,
            columns: vec![None; set.predicates.fields.len()],
            slots: vec![0; set.predicates.all.len()],
            memos: Vec::new(),
        }
    }

    fn columns(&mut self, field: FieldId) -> SmallVec<[&'r Column; 2]> {
        let (set, batch) = (self.set, self.batch);
        let found = self.columns[field as usize].get_or_insert_with(|| {
            set.predicates.fields[field as usize]
                .columns()
                .iter()
                .filter_map(|f| batch.column(f))
                .collect()
        });
        found.clone()
    }

    /// The rows of each rule's gate, by rule.
    fn candidates(&mut self, group: &Group) -> BTreeMap<RuleId, Bits> {
        let rows = self.batch.rows.len();
        let mut found: BTreeMap<PredicateId, Bits> = BTreeMap::new();
        for index in &group.indexes {
            let columns = self.columns(index.field);
            if !columns.is_empty() {
                self.scan(index, &columns, &mut found);
            }
        }
        let mut candidates: BTreeMap<RuleId, Bits> = BTreeMap::new();
        for (predicate, bits) in found {
            for rule in group.gates.get(&predicate).into_iter().flatten() {
                let entry = candidates.entry(*rule).or_insert_with(|| Bits::none(rows));
                entry.0.iter_mut().zip(&bits.0).for_each(|(a, b)| *a |= b);
            }
            // An index finds all rows of a predicate, so there is nothing more to learn of it.
            self.memos.push(Memo {
                known: Bits::full(rows),
                holds: bits,
            });
            self.slots[predicate as usize] = self.memos.len() as u32;
        }
        candidates
    }

    fn scan(&self, index: &Index, columns: &[&Column], found: &mut BTreeMap<PredicateId, Bits>) {
        let rows = self.batch.rows.len();
        let mut lowered = String::new();
        // The value for which a literal was last looked at: a repeat of the literal says nothing new.
        let mut seen = vec![0_u64; index.literals.len()];
        let mut serial = 0;
        // Neighbours are often equal (a host's name): what held for the value before holds again.
        let mut before: Option<&str> = None;
        let mut holds: Vec<PredicateId> = Vec::new();
        for row in 0..rows {
            for_each_value(columns, row, |value| {
                if before != Some(value) {
                    holds.clear();
                    serial += 1;
                    self.look_up(index, value, &mut lowered, &mut seen, serial, &mut holds);
                    before = Some(value);
                }
                for id in &holds {
                    found.entry(*id).or_insert_with(|| Bits::none(rows)).set(row);
                }
            });
        }
    }

    /// The gate predicates of the index that hold for a value.
    fn look_up(
        &self,
        index: &Index,
        value: &str,
        lowered: &mut String,
        seen: &mut [u64],
        serial: u64,
        holds: &mut Vec<PredicateId>,
    ) {
        lowered.clear();
        if value.is_ascii() {
            lowered.push_str(value);
            lowered.make_ascii_lowercase();
        } else {
            lowered.extend(value.chars().map(lower_char));
        }
        let predicate = |id: PredicateId| &self.set.predicates.all[id as usize];
        if !index.exact.is_empty() {
            for (id, cased) in index.exact.get(lowered.as_str()).into_iter().flatten() {
                if !cased || predicate(*id).matcher.is_match(value) {
                    holds.push(*id);
                }
            }
        }
        if !index.numbers.is_empty()
            && let Some(number) = Number::parse(value)
        {
            holds.extend(index.numbers.get(&number).into_iter().flatten());
        }
        let Some(automaton) = &index.automaton else { return };
        let text = lowered.as_str();
        for found in automaton.find_overlapping_iter(text) {
            let literal = found.pattern().as_usize();
            let first = seen[literal] != serial;
            seen[literal] = serial;
            for (id, check) in &index.literals[literal] {
                let now = match check {
                    Check::None => first,
                    Check::Start => found.start() == 0,
                    Check::End => found.end() == text.len(),
                    Check::Whole => first && predicate(*id).matcher.is_match(value),
                };
                if now {
                    holds.push(*id);
                }
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
        let slot = match self.slots[id as usize] {
            0 => {
                let none = Bits::none(self.batch.rows.len());
                self.memos.push(Memo {
                    known: none.clone(),
                    holds: none,
                });
                self.slots[id as usize] = self.memos.len() as u32;
                self.memos.len() - 1
            }
            slot => slot as usize - 1,
        };
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
