//! Finds, in the values of one field, the predicates that hold.

use std::collections::BTreeMap;
use std::ops::Range;

use foldhash::{HashMap, HashMapExt as _};

use super::grams::{Grams, LONG, Place, SHORT, find};
use super::predicate::{Check, Key, PredicateId, Predicates};
use crate::sigma::Number;

/// The predicates of one field, by what a value has to hold.
#[derive(Debug)]
pub(crate) struct Index {
    long: Option<Grams<LONG>>,
    short: Option<Grams<SHORT>>,
    /// For each literal its text, and its predicates as a range of `entries`.
    literals: Vec<(Box<[u8]>, Range<u32>)>,
    entries: Vec<Entry>,
    /// Whole values too short for a window, in lower case.
    tiny: Vec<(Box<[u8]>, Entry)>,
    /// Numbers.
    numbers: HashMap<Number, Vec<Entry>>,
    /// Predicates without a key, asked of every value.
    asked: Vec<Entry>,
}

/// A predicate that is looked for.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub predicate: PredicateId,
    check: Check,
    /// Rules of whose gate it is, as a range of [`super::Indexes::gated`].
    pub rules: Range<u32>,
}

/// The values of one column, one behind the other in lower case.
#[derive(Debug, Default)]
pub(crate) struct Values {
    pub text: Vec<u8>,
    /// Where each ends.
    pub ends: Vec<u32>,
    /// For each literal, the value in which it was found last: a repeat of it says nothing new.
    seen: Vec<u64>,
    serial: u32,
}

impl Values {
    /// Lets go of the values.
    pub fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }
}

impl Index {
    /// The index of predicates, all of one field; for each the rules of whose gate it is.
    pub fn new(ids: &[(PredicateId, Range<u32>)], predicates: &Predicates) -> Index {
        let mut literals: BTreeMap<&str, Vec<Entry>> = BTreeMap::new();
        let mut tiny = Vec::new();
        let mut numbers: HashMap<Number, Vec<Entry>> = HashMap::new();
        let mut asked = Vec::new();
        for (id, rules) in ids {
            let entry = |check| Entry {
                predicate: *id,
                check,
                rules: rules.clone(),
            };
            match &predicates.all[*id as usize].key {
                Some(Key::Literal { text, check }) if text.len() >= SHORT => {
                    literals.entry(text).or_default().push(entry(*check));
                }
                // Only a whole value may be as short as that.
                Some(Key::Literal { text, check }) => tiny.push((text.as_bytes().into(), entry(*check))),
                Some(Key::Number(n)) => numbers.entry(*n).or_default().push(entry(Check::None)),
                None => asked.push(entry(Check::None)),
            }
        }
        let mut index = Index {
            long: None,
            short: None,
            literals: Vec::with_capacity(literals.len()),
            entries: Vec::new(),
            tiny,
            numbers,
            asked,
        };
        for (text, entries) in literals {
            let from = index.entries.len() as u32;
            index.entries.extend(entries);
            let range = from..index.entries.len() as u32;
            index.literals.push((text.as_bytes().into(), range));
        }
        let known = || (0..).zip(index.literals.iter().map(|(text, _)| &**text));
        index.long = Grams::new(known().filter(|(_, l)| l.len() >= LONG));
        index.short = Grams::new(known().filter(|(_, l)| l.len() < LONG));
        index
    }

    /// Whether values are needed as they are written, and not in lower case alone.
    pub fn reads_values(&self) -> bool {
        !self.numbers.is_empty() || !self.asked.is_empty()
    }

    /// Calls `each` with what is found in the values, by their numbers: predicates that hold, and those that may where the
    /// flag says so.
    pub fn find(&self, values: &mut Values, mut each: impl FnMut(usize, &Entry, bool)) {
        if values.serial == u32::MAX {
            values.serial = 0;
            values.seen.clear();
        }
        values.serial += 1;
        let Values {
            text,
            ends,
            seen,
            serial,
        } = values;
        if seen.len() < self.literals.len() {
            seen.resize(self.literals.len(), 0);
        }
        let (text, ends) = (&text[..], &ends[..]);
        let mut value = 0;
        let look = |at: usize, places: &[Place]| {
            value = value_at(ends, value, at);
            let from = value.checked_sub(1).map_or(0, |before| ends[before] as usize);
            let to = ends[value] as usize;
            for place in places {
                let (literal, entries) = &self.literals[place.literal as usize];
                let Some(start) = at.checked_sub(place.before as usize).filter(|s| *s >= from) else {
                    continue;
                };
                let end = start + literal.len();
                if end > to || text[start..end] != **literal {
                    continue;
                }
                let here = u64::from(*serial) << 32 | value as u64;
                let is_first = std::mem::replace(&mut seen[place.literal as usize], here) != here;
                for entry in &self.entries[entries.start as usize..entries.end as usize] {
                    let (holds, may) = match entry.check {
                        Check::None => (is_first, false),
                        Check::Whole => (is_first, true),
                        Check::Start => (start == from, false),
                        Check::End => (end == to, false),
                        Check::Exact => (start == from && end == to, false),
                        Check::Cased => (start == from && end == to, true),
                    };
                    if holds {
                        each(value, entry, may);
                    }
                }
            }
        };
        find(self.long.as_ref(), self.short.as_ref(), text, look);
        if !self.tiny.is_empty() {
            let mut from = 0;
            for (value, to) in ends.iter().enumerate() {
                let to = *to as usize;
                if to - from < SHORT {
                    for (_, entry) in self.tiny.iter().filter(|(t, _)| **t == text[from..to]) {
                        each(value, entry, entry.check == Check::Cased);
                    }
                }
                from = to;
            }
        }
    }

    /// Calls `each` with the predicates that hold for a value and that no literal finds.
    pub fn ask<'i>(&'i self, predicates: &Predicates, value: &str, mut each: impl FnMut(&'i Entry)) {
        if !self.numbers.is_empty()
            && let Some(number) = Number::parse(value)
        {
            self.numbers.get(&number).into_iter().flatten().for_each(&mut each);
        }
        let holds = |e: &&Entry| predicates.all[e.predicate as usize].matcher.is_match(value);
        self.asked.iter().filter(holds).for_each(each);
    }
}

/// The value in which the byte `at` stands, which is that of `from` or a later one.
fn value_at(ends: &[u32], from: usize, at: usize) -> usize {
    // Most are near: the step doubles until it is too far.
    let (mut low, mut step) = (from, 1);
    while ends.get(low + step).is_some_and(|end| *end as usize <= at) {
        low += step;
        step *= 2;
    }
    let high = (low + step).min(ends.len());
    low + ends[low..high].partition_point(|end| *end as usize <= at)
}
