//! Finds, in the values of one field, the gate predicates that hold.

use std::collections::BTreeMap;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use foldhash::{HashMap, HashMapExt as _};

use super::predicate::{Check, Key, PredicateId, Predicates};
use crate::sigma::{Number, lower_char};

/// Bytes of literals up to which an automaton is a table, faster and larger than a linked one.
const TABLE_BYTES_MAX: usize = 24_000;
/// Values that a memo holds, and bytes of one of them.
const MEMO_VALUES_MAX: usize = 1_024;
const MEMO_BYTES_MAX: usize = 256;
/// Values after which a memo that is of no use is given up, and one in how many has to come again.
const MEMO_TRIAL: usize = 2_048;
const MEMO_USE: usize = 4;

/// The gate predicates of one field, by what a value has to hold.
#[derive(Debug)]
pub(crate) struct Index {
    /// All literals in one automaton; `None` where there are none.
    automaton: Option<AhoCorasick>,
    /// For each literal, the predicates that look for it.
    literals: Vec<Vec<(PredicateId, Check)>>,
    /// Whole values in lower case; with regard to case where `true`.
    exact: HashMap<String, Vec<(PredicateId, bool)>>,
    /// Numbers.
    numbers: HashMap<Number, Vec<PredicateId>>,
    /// Predicates without a key, asked of every value.
    asked: Vec<PredicateId>,
}

/// What an index said of values that came before.
#[derive(Debug, Default)]
pub(crate) struct Memo {
    values: HashMap<Box<str>, Box<[PredicateId]>>,
    asked: usize,
    known: usize,
}

/// Room for looking values up.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    lowered: String,
    /// For each literal, the value for which it was last looked at: a repeat of the literal says nothing new.
    seen: Vec<u32>,
    serial: u32,
}

impl Index {
    /// The index of predicates, all of one field.
    pub fn new(ids: &[PredicateId], predicates: &Predicates) -> Index {
        let mut literals: BTreeMap<&str, Vec<(PredicateId, Check)>> = BTreeMap::new();
        let mut exact: HashMap<String, Vec<(PredicateId, bool)>> = HashMap::new();
        let mut numbers: HashMap<Number, Vec<PredicateId>> = HashMap::new();
        let mut asked = Vec::new();
        for id in ids {
            match &predicates.all[*id as usize].key {
                Some(Key::Literal { text, check }) => literals.entry(text).or_default().push((*id, *check)),
                Some(Key::Exact { text, cased }) => exact.entry(text.clone()).or_default().push((*id, *cased)),
                Some(Key::Number(n)) => numbers.entry(*n).or_default().push(*id),
                None => asked.push(*id),
            }
        }
        let bytes: usize = literals.keys().map(|l| l.len()).sum();
        let kind = (bytes <= TABLE_BYTES_MAX).then_some(AhoCorasickKind::DFA);
        // Fails beyond 2^31 states only; rule files are bounded far below that.
        let automaton = (!literals.is_empty()).then(|| {
            AhoCorasick::builder()
                .kind(kind)
                .build(literals.keys())
                .expect("the literals of a rule set fit one automaton")
        });
        Index {
            automaton,
            literals: literals.into_values().collect(),
            exact,
            numbers,
            asked,
        }
    }

    /// The automaton, where literals are all that there is to look for.
    pub fn literals_alone(&self) -> Option<&AhoCorasick> {
        let alone = self.exact.is_empty() && self.numbers.is_empty() && self.asked.is_empty();
        self.automaton.as_ref().filter(|_| alone)
    }

    /// Adds the predicates that hold for a value.
    pub fn look_up(&self, predicates: &Predicates, value: &str, scratch: &mut Scratch, holds: &mut Vec<PredicateId>) {
        let Scratch { lowered, seen, serial } = scratch;
        lowered.clear();
        if value.is_ascii() {
            lowered.push_str(value);
            lowered.make_ascii_lowercase();
        } else {
            lowered.extend(value.chars().map(lower_char));
        }
        let is_match = |id: PredicateId| predicates.all[id as usize].matcher.is_match(value);
        if !self.exact.is_empty() {
            for (id, cased) in self.exact.get(lowered.as_str()).into_iter().flatten() {
                if !cased || is_match(*id) {
                    holds.push(*id);
                }
            }
        }
        if !self.numbers.is_empty()
            && let Some(number) = Number::parse(value)
        {
            holds.extend(self.numbers.get(&number).into_iter().flatten());
        }
        holds.extend(self.asked.iter().filter(|id| is_match(**id)));
        let Some(automaton) = &self.automaton else { return };
        if seen.len() < self.literals.len() || *serial == u32::MAX {
            seen.clear();
            seen.resize(self.literals.len(), 0);
            *serial = 0;
        }
        *serial += 1;
        let text = lowered.as_str();
        for found in automaton.find_overlapping_iter(text) {
            let literal = found.pattern().as_usize();
            let first = seen[literal] != *serial;
            seen[literal] = *serial;
            for (id, check) in &self.literals[literal] {
                let now = match check {
                    Check::None => first,
                    Check::Start => found.start() == 0,
                    Check::End => found.end() == text.len(),
                    Check::Whole => first && is_match(*id),
                };
                if now {
                    holds.push(*id);
                }
            }
        }
    }
}

impl Memo {
    /// What the index said of a value, where it was asked before.
    pub fn get(&mut self, value: &str) -> Option<&[PredicateId]> {
        if self.is_given_up() {
            return None;
        }
        self.asked += 1;
        let known = self.values.get(value)?;
        self.known += 1;
        Some(known)
    }

    /// Keeps what the index said.
    pub fn put(&mut self, value: &str, holds: &[PredicateId]) {
        if value.len() > MEMO_BYTES_MAX || self.is_given_up() {
            return;
        }
        if self.asked >= MEMO_TRIAL && self.known * MEMO_USE < self.asked {
            // Values of this field hardly ever come again.
            self.values = HashMap::new();
            self.asked = usize::MAX;
            return;
        }
        if self.values.len() >= MEMO_VALUES_MAX {
            self.values.clear();
        }
        self.values.insert(value.into(), holds.into());
    }

    fn is_given_up(&self) -> bool {
        self.asked == usize::MAX
    }
}
