//! Evaluation of a compiled set over the columns of a batch.
//!
//! 1. Indexes go over each column once, all values behind one another, and say of which row which predicates hold.
//! 2. A row's candidates are the rules whose gates hold; their programs look up what was found, and judge the few
//!    predicates that no index finds, each at most once for a row.

use std::ops::Range;
use std::sync::PoisonError;

use arrow_array::{Array as _, StringArray};
use foldhash::{HashMap, HashMapExt as _};
use model::{Batch, Column};
use smallvec::SmallVec;

use crate::compile::{Entry, FieldId, Group, Hit, Index, Indexes, PredicateId, Program, RuleId, RuleSet, Values};
use crate::sigma::{Match, lower_char};

/// Rows that are looked at at once: what was found in them stays near.
const ROWS: usize = 1024;
/// Rooms that are kept for threads to come.
const ROOMS_MAX: usize = 16;

impl RuleSet {
    /// Which rules hold for which rows, by row, then by rule. The batch has the columns of [`RuleSet::wanted`]; one
    /// that it lacks counts as a field that no event has.
    #[must_use]
    pub fn evaluate(&self, batch: &Batch) -> Vec<Hit> {
        let rows = batch.rows.len();
        if rows == 0 {
            return Vec::new();
        }
        let group = self.group(&batch.logsource, batch.class_uid);
        let indexes = if group.pays(rows) {
            group.indexes(&self.rules, &self.predicates)
        } else {
            self.everything()
        };
        let fields = group.layout(self, batch);
        let fields = fields.iter().filter_map(|(id, places)| {
            let columns: Columns<'_> = places.iter().filter_map(|place| batch.column_at(*place)).collect();
            (!columns.is_empty()).then_some((*id, columns))
        });
        // A thread that panicked took its room with it.
        let room = self.room.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut run = Run {
            set: self,
            group: &group,
            indexes,
            fields: fields.collect(),
            room: room.unwrap_or_default(),
        };
        run.room.known.resize(self.predicates.all.len(), Known::Nothing);
        let mut hits = Vec::new();
        for from in (0..rows).step_by(ROWS) {
            let chunk = from..rows.min(from + ROWS);
            run.find(&chunk);
            run.judge(&chunk, &mut hits);
        }
        let mut rooms = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        if rooms.len() < ROOMS_MAX {
            rooms.push(run.room);
        }
        hits
    }
}

/// The columns of a field, the first with a value in a row being the row's.
type Columns<'r> = SmallVec<[&'r Column; 2]>;

/// What is known of a predicate in the row at hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Known {
    #[default]
    Nothing,
    Holds,
    /// Its literal is there; whether it holds is to be judged.
    May,
    Not,
}

/// A predicate that was found in a row.
#[derive(Clone, Debug)]
struct Found {
    predicate: PredicateId,
    may: bool,
    rules: Range<u32>,
    /// What else was found in the row.
    next: u32,
}

/// The end of what was found in a row.
const END: u32 = u32::MAX;

/// Room to evaluate in.
#[derive(Debug, Default)]
pub(crate) struct Room {
    values: Values,
    found: Vec<Found>,
    /// For each row at hand, the last of `found` that is its.
    last: Vec<u32>,
    /// What is known in the row at hand, and of which predicates something is.
    known: Vec<Known>,
    touched: Vec<PredicateId>,
    candidates: Vec<RuleId>,
}

impl Room {
    #[inline]
    fn found(&mut self, row: usize, entry: &Entry, may: bool) {
        let next = std::mem::replace(&mut self.last[row], self.found.len() as u32);
        self.found.push(Found {
            predicate: entry.predicate,
            may,
            rules: entry.rules.clone(),
            next,
        });
    }
}

/// The evaluation of one batch.
struct Run<'r> {
    set: &'r RuleSet,
    group: &'r Group,
    indexes: &'r Indexes,
    /// The fields that have columns, in order.
    fields: Vec<(FieldId, Columns<'r>)>,
    room: Room,
}

impl<'r> Run<'r> {
    /// Finds what indexes find in the rows of `chunk`.
    fn find(&mut self, chunk: &Range<usize>) {
        self.room.found.clear();
        self.room.last.clear();
        self.room.last.resize(chunk.len(), END);
        for (id, columns) in &self.fields {
            let Some(index) = self.indexes.index(*id, &self.set.predicates) else {
                continue;
            };
            for (n, column) in columns.iter().enumerate() {
                let before = &columns[..n];
                let counts = |row: usize| before.iter().all(|c| c.first(row).is_none());
                match column {
                    Column::One(texts) => {
                        let places = |value| chunk.start + value..chunk.start + value + 1;
                        look(
                            self.set,
                            index,
                            texts,
                            chunk.clone(),
                            places,
                            counts,
                            chunk,
                            &mut self.room,
                        );
                    }
                    Column::Many(list) => {
                        let Some(texts) = list.values().as_any().downcast_ref::<StringArray>() else {
                            continue;
                        };
                        let starts = &list.value_offsets()[chunk.start..=chunk.end];
                        let first = starts[0] as usize;
                        let values = first..starts[chunk.len()] as usize;
                        // Those that are found are in order, or nearly.
                        let mut row = 0;
                        let places = |value: usize| {
                            let value = (first + value) as i32;
                            if starts[row] > value {
                                row = 0;
                            }
                            row += starts[row + 1..].partition_point(|start| *start <= value);
                            chunk.start + row..chunk.start + row + 1
                        };
                        look(self.set, index, texts, values, places, counts, chunk, &mut self.room);
                    }
                    Column::Same(one, rows) => {
                        look(
                            self.set,
                            index,
                            one,
                            0..1,
                            |_| rows.clone(),
                            counts,
                            chunk,
                            &mut self.room,
                        );
                    }
                }
            }
        }
    }

    /// Judges the candidates of each row of `chunk`.
    fn judge(&mut self, chunk: &Range<usize>, hits: &mut Vec<Hit>) {
        for row in chunk.clone() {
            let mut at = self.room.last[row - chunk.start];
            if at == END && self.group.ungated.is_empty() {
                continue;
            }
            let mut candidates = std::mem::take(&mut self.room.candidates);
            candidates.clear();
            let Room {
                found, known, touched, ..
            } = &mut self.room;
            while let Some(f) = found.get(at as usize) {
                at = f.next;
                let of = &mut known[f.predicate as usize];
                if *of == Known::Nothing {
                    touched.push(f.predicate);
                    candidates.extend_from_slice(self.indexes.rules(&f.rules));
                }
                if *of != Known::Holds {
                    *of = if f.may { Known::May } else { Known::Holds };
                }
            }
            candidates.retain(|rule| self.group.has(*rule));
            candidates.extend_from_slice(&self.group.ungated);
            candidates.sort_unstable();
            candidates.dedup();
            for id in &candidates {
                let rule = &self.set.rules[*id as usize];
                if self.holds(&rule.program, row) {
                    hits.push(Hit {
                        row: row as u32,
                        rule: rule.policy,
                    });
                }
            }
            self.room.candidates = candidates;
            for id in self.room.touched.drain(..) {
                self.room.known[id as usize] = Known::Nothing;
            }
        }
    }

    fn holds(&mut self, program: &Program, row: usize) -> bool {
        match program {
            Program::Predicate(id) => self.predicate(*id, row),
            Program::Not(inner) => !self.holds(inner, row),
            Program::All(programs) => programs.iter().all(|p| self.holds(p, row)),
            Program::Any(programs) => programs.iter().any(|p| self.holds(p, row)),
            Program::AtLeast(n, programs) => {
                let mut left = *n;
                left == 0
                    || programs.iter().any(|p| {
                        left -= u32::from(self.holds(p, row));
                        left == 0
                    })
            }
        }
    }

    #[inline]
    fn predicate(&mut self, id: PredicateId, row: usize) -> bool {
        match self.room.known[id as usize] {
            Known::Holds => return true,
            Known::Not => return false,
            Known::Nothing if self.indexes.finds(id) => return false,
            Known::Nothing => self.room.touched.push(id),
            Known::May => {}
        }
        let predicate = &self.set.predicates.all[id as usize];
        let others = predicate.other.map_or(&[][..], |o| self.columns(o));
        let holds = holds(&predicate.matcher, self.columns(predicate.field), others, row);
        self.room.known[id as usize] = if holds { Known::Holds } else { Known::Not };
        holds
    }

    fn columns(&self, field: FieldId) -> &[&'r Column] {
        let at = self.fields.binary_search_by_key(&field, |(id, _)| *id);
        at.map_or(&[], |n| &self.fields[n].1)
    }
}

/// Finds what an index finds in `values` of `texts`. `places` says in which rows a value stands, and `counts` in which of
/// them it counts.
#[allow(clippy::too_many_arguments, reason = "called from one place for each kind of column")]
fn look(
    set: &RuleSet,
    index: &Index,
    texts: &StringArray,
    values: Range<usize>,
    mut places: impl FnMut(usize) -> Range<usize>,
    counts: impl Fn(usize) -> bool,
    chunk: &Range<usize>,
    room: &mut Room,
) {
    let mut lowered = std::mem::take(&mut room.values);
    lowered.clear();
    lower_all(texts, values.clone(), &mut lowered);
    let mut found = |value: usize, entry: &Entry, may: bool| {
        // An absent value is an empty one in the text.
        if !texts.is_valid(values.start + value) {
            return;
        }
        for row in places(value).filter(|row| chunk.contains(row) && counts(*row)) {
            room.found(row - chunk.start, entry, may);
        }
    };
    index.find(&mut lowered, &mut found);
    if index.reads_values() {
        let mut known: HashMap<&str, SmallVec<[&Entry; 2]>> = HashMap::new();
        let mut before: Option<(&str, SmallVec<[&Entry; 2]>)> = None;
        for n in values.clone().filter(|n| texts.is_valid(*n)) {
            let text = texts.value(n);
            if before.as_ref().is_none_or(|(b, _)| *b != text) {
                let ask = || {
                    let mut entries = SmallVec::new();
                    index.ask(&set.predicates, text, |entry| entries.push(entry));
                    entries
                };
                let entries = known.entry(text).or_insert_with(ask);
                before = Some((text, entries.clone()));
            }
            let entries = before.iter().flat_map(|(_, entries)| entries);
            entries.for_each(|entry| found(n - values.start, entry, false));
        }
    }
    room.values = lowered;
}

/// Puts values behind one another in lower case.
fn lower_all(texts: &StringArray, values: Range<usize>, out: &mut Values) {
    let offsets = &texts.value_offsets()[values.start..=values.end];
    let (from, to) = (offsets[0] as usize, offsets[values.len()] as usize);
    let bytes = &texts.value_data()[from..to];
    if bytes.is_ascii() {
        out.text.extend(bytes.iter().map(u8::to_ascii_lowercase));
        out.ends
            .extend(offsets[1..].iter().map(|end| *end as u32 - from as u32));
        return;
    }
    let mut buffer = [0; 4];
    for n in values {
        let text = texts.value(n);
        if text.is_ascii() {
            out.text.extend(text.bytes().map(|b| b.to_ascii_lowercase()));
        } else {
            for c in text.chars() {
                out.text.extend(lower_char(c).encode_utf8(&mut buffer).bytes());
            }
        }
        out.ends.push(out.text.len() as u32);
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
