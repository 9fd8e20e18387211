//! The rules of one log source, and the indexes that find their candidates in a batch.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

use super::index::{Index, Memo};
use super::predicate::{FieldId, PredicateId, Predicates};
use super::{CompiledRule, RuleId};

/// Rows of a log source before it has indexes of its own, until when those of all rules serve it: labels may come from
/// an event's content, and few events are judged sooner than thousands of literals are put in order.
const ROWS_BEFORE_INDEXES: usize = 64;

/// The rules of one log source.
#[derive(Debug)]
pub(crate) struct Group {
    /// All its rules.
    pub members: Vec<RuleId>,
    /// Rules without a gate: judged for every row.
    pub ungated: Vec<RuleId>,
    /// Which rules a predicate that holds makes candidates.
    pub gates: HashMap<PredicateId, Vec<RuleId>>,
    /// For each field with gate predicates, those, and their index once a batch has the field.
    fields: HashMap<FieldId, (Vec<PredicateId>, OnceLock<Index>)>,
    /// What indexes said of values that came before.
    pub memos: Mutex<HashMap<FieldId, Memo>>,
    rows: AtomicUsize,
}

impl Group {
    /// The group of the rules `members`.
    pub fn new(members: Vec<RuleId>, rules: &[CompiledRule], predicates: &Predicates) -> Group {
        let mut gates: HashMap<PredicateId, Vec<RuleId>> = HashMap::new();
        let mut ungated = Vec::new();
        for id in &members {
            match &rules[*id as usize].gate {
                Some(gate) => gate.iter().for_each(|p| gates.entry(*p).or_default().push(*id)),
                None => ungated.push(*id),
            }
        }
        let mut fields: HashMap<FieldId, (Vec<PredicateId>, OnceLock<Index>)> = HashMap::new();
        for id in gates.keys() {
            let field = predicates.all[*id as usize].field;
            fields.entry(field).or_default().0.push(*id);
        }
        for (ids, _) in fields.values_mut() {
            ids.sort_unstable();
        }
        Group {
            members,
            ungated,
            gates,
            fields,
            memos: Mutex::default(),
            rows: AtomicUsize::new(0),
        }
    }

    /// Whether indexes of its own pay, `rows` more rows being judged. What is found does not depend on it.
    pub fn pays(&self, rows: usize) -> bool {
        self.rows.fetch_add(rows, Ordering::Relaxed).saturating_add(rows) >= ROWS_BEFORE_INDEXES
    }

    /// The index of a field with gate predicates.
    pub fn index(&self, field: FieldId, predicates: &Predicates) -> Option<&Index> {
        let (ids, index) = self.fields.get(&field)?;
        Some(index.get_or_init(|| Index::new(ids, predicates)))
    }
}
