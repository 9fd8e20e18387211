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
    /// All its rules, in order.
    pub members: Vec<RuleId>,
    /// Rules without a gate: judged for every row.
    pub ungated: Vec<RuleId>,
    /// Bits of the members.
    is_member: Vec<u64>,
    indexes: OnceLock<Indexes>,
    rows: AtomicUsize,
}

/// What finds predicates of rules in a batch.
#[derive(Debug)]
pub(crate) struct Indexes {
    /// Which rules a predicate that holds makes candidates.
    pub gates: HashMap<PredicateId, Vec<RuleId>>,
    /// For each field, the predicates that its index finds, and the index once a batch has the field.
    fields: HashMap<FieldId, (Vec<PredicateId>, OnceLock<Index>)>,
    /// Bits of the predicates whose rows are all found.
    finds: Vec<u64>,
    /// What indexes said of values that came before.
    pub memos: Mutex<HashMap<FieldId, Memo>>,
}

fn set(bits: &mut Vec<u64>, n: u32) {
    let word = n as usize / 64;
    if bits.len() <= word {
        bits.resize(word + 1, 0);
    }
    bits[word] |= 1 << (n % 64);
}

fn has(bits: &[u64], n: u32) -> bool {
    bits.get(n as usize / 64)
        .is_some_and(|word| word & (1 << (n % 64)) != 0)
}

impl Group {
    /// The group of the rules `members`.
    pub fn new(members: Vec<RuleId>, rules: &[CompiledRule]) -> Group {
        let mut is_member = Vec::new();
        members.iter().for_each(|id| set(&mut is_member, *id));
        let ungated = |id: &&RuleId| rules[**id as usize].gate.is_none();
        Group {
            ungated: members.iter().filter(ungated).copied().collect(),
            members,
            is_member,
            indexes: OnceLock::new(),
            rows: AtomicUsize::new(0),
        }
    }

    /// Whether a rule is of the group.
    pub fn has(&self, rule: RuleId) -> bool {
        has(&self.is_member, rule)
    }

    /// Whether indexes of its own pay, `rows` more rows being judged. What is found does not depend on it.
    pub fn pays(&self, rows: usize) -> bool {
        self.rows.fetch_add(rows, Ordering::Relaxed).saturating_add(rows) >= ROWS_BEFORE_INDEXES
    }

    /// Its own indexes.
    pub fn indexes(&self, rules: &[CompiledRule], predicates: &Predicates) -> &Indexes {
        self.indexes
            .get_or_init(|| Indexes::new(&self.members, rules, predicates))
    }
}

impl Indexes {
    fn new(members: &[RuleId], rules: &[CompiledRule], predicates: &Predicates) -> Indexes {
        let mut gates: HashMap<PredicateId, Vec<RuleId>> = HashMap::new();
        let mut finds = Vec::new();
        for id in members {
            let rule = &rules[*id as usize];
            for gate in rule.gate.iter().flatten() {
                gates.entry(*gate).or_default().push(*id);
                set(&mut finds, *gate);
            }
            // What an index tells by the way need not be looked for again.
            rule.program.for_each(&mut |id| {
                if predicates.all[id as usize].is_told(&predicates.fields) {
                    set(&mut finds, id);
                }
            });
        }
        let mut fields: HashMap<FieldId, (Vec<PredicateId>, OnceLock<Index>)> = HashMap::new();
        for (id, predicate) in (0..).zip(&predicates.all) {
            if has(&finds, id) {
                fields.entry(predicate.field).or_default().0.push(id);
            }
        }
        Indexes {
            gates,
            fields,
            finds,
            memos: Mutex::default(),
        }
    }

    /// The index of a field, where there is something to find in it.
    pub fn index(&self, field: FieldId, predicates: &Predicates) -> Option<&Index> {
        let (ids, index) = self.fields.get(&field)?;
        Some(index.get_or_init(|| Index::new(ids, predicates)))
    }

    /// Whether all rows are found for which a predicate holds.
    pub fn finds(&self, id: PredicateId) -> bool {
        has(&self.finds, id)
    }
}
