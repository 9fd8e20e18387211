//! The rules of one log source, and the indexes that find their candidates in a batch.

use std::collections::{BTreeMap, HashMap};

use aho_corasick::AhoCorasick;

use super::predicate::{Check, FieldId, Key, PredicateId, Predicates};
use super::{CompiledRule, RuleId};
use crate::sigma::Number;

/// The rules of one log source.
#[derive(Debug)]
pub(crate) struct Group {
    /// Rules without a gate: judged for every row.
    pub ungated: Vec<RuleId>,
    /// Which rules a predicate that holds makes candidates.
    pub gates: HashMap<PredicateId, Vec<RuleId>>,
    /// One for each field with gate predicates, by field.
    pub indexes: Vec<Index>,
}

/// Finds, in the values of one field, the gate predicates that hold.
#[derive(Debug)]
pub(crate) struct Index {
    pub field: FieldId,
    /// All literals in one automaton; `None` where there are none.
    pub automaton: Option<AhoCorasick>,
    /// For each literal, the predicates that look for it.
    pub literals: Vec<Vec<(PredicateId, Check)>>,
    /// Whole values in lower case; with regard to case where `true`.
    pub exact: HashMap<String, Vec<(PredicateId, bool)>>,
    /// Numbers.
    pub numbers: HashMap<Number, Vec<PredicateId>>,
}

impl Group {
    /// The group of the rules `members`.
    pub fn new(members: &[RuleId], rules: &[CompiledRule], predicates: &Predicates) -> Group {
        let mut gates: HashMap<PredicateId, Vec<RuleId>> = HashMap::new();
        let mut ungated = Vec::new();
        for id in members {
            match &rules[*id as usize].gate {
                Some(gate) => gate.iter().for_each(|p| gates.entry(*p).or_default().push(*id)),
                None => ungated.push(*id),
            }
        }
        let mut by_field: BTreeMap<FieldId, Vec<PredicateId>> = BTreeMap::new();
        for id in gates.keys() {
            by_field
                .entry(predicates.all[*id as usize].field)
                .or_default()
                .push(*id);
        }
        let indexes = by_field
            .into_iter()
            .map(|(field, mut ids)| {
                ids.sort_unstable();
                Index::new(field, &ids, predicates)
            })
            .collect();
        Group {
            ungated,
            gates,
            indexes,
        }
    }
}

impl Index {
    fn new(field: FieldId, ids: &[PredicateId], predicates: &Predicates) -> Index {
        let mut literals: BTreeMap<&str, Vec<(PredicateId, Check)>> = BTreeMap::new();
        let mut exact: HashMap<String, Vec<(PredicateId, bool)>> = HashMap::new();
        let mut numbers: HashMap<Number, Vec<PredicateId>> = HashMap::new();
        for id in ids {
            match &predicates.all[*id as usize].key {
                Some(Key::Literal { text, check }) => literals.entry(text).or_default().push((*id, *check)),
                Some(Key::Exact { text, cased }) => exact.entry(text.clone()).or_default().push((*id, *cased)),
                Some(Key::Number(n)) => numbers.entry(*n).or_default().push(*id),
                None => {}
            }
        }
        // Fails beyond 2^31 states only; rule files are bounded far below that.
        let automaton = (!literals.is_empty())
            .then(|| AhoCorasick::new(literals.keys()).expect("the literals of a rule set fit one automaton"));
        Index {
            field,
            automaton,
            literals: literals.into_values().collect(),
            exact,
            numbers,
        }
    }
}
