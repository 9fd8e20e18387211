//! The rules of one log source, and the indexes that find their candidates in a batch.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use model::{Batch, Field};

use super::index::Index;
use super::predicate::{FieldId, PredicateId, Predicates};
use super::{CompiledRule, RuleId, RuleSet};

/// Rows of a log source before it has indexes of its own, until when those of all rules serve it: labels may come from
/// an event's content, and few events are judged sooner than thousands of literals are put in order.
const ROWS_BEFORE_INDEXES: usize = 64;
/// Layouts of batches that a group remembers; most have one.
const LAYOUTS_MAX: usize = 8;

/// The rules of one log source.
#[derive(Debug)]
pub(crate) struct Group {
    /// All its rules, in order.
    pub members: Vec<RuleId>,
    /// Rules without a gate: judged for every row.
    pub ungated: Vec<RuleId>,
    /// Bits of the members, and of the fields that they read.
    is_member: Vec<u64>,
    reads: Vec<u64>,
    indexes: OnceLock<Indexes>,
    rows: AtomicUsize,
    layouts: Mutex<Vec<(Places, Arc<Layout>)>>,
}

/// Where a batch has its columns.
type Places = Arc<HashMap<Field, usize>>;

/// The fields of a group in a batch, each with the places of its columns in the order in which they count.
pub(crate) type Layout = Vec<(FieldId, Vec<usize>)>;

/// What an index is made of, each predicate with its rules as a range of [`Indexes::gated`]; and the index, once it is asked.
type Lazy = (Vec<(PredicateId, Range<u32>)>, OnceLock<Index>);

/// What finds predicates of rules in a batch.
#[derive(Debug)]
pub(crate) struct Indexes {
    /// Rules that a predicate makes candidates, one predicate's behind the other's.
    gated: Vec<RuleId>,
    /// For each field, the predicates that its index finds, and the index once a batch has the field.
    fields: HashMap<FieldId, Lazy>,
    /// Bits of the predicates that are found wherever they hold.
    finds: Vec<u64>,
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
        let (mut is_member, mut reads) = (Vec::new(), Vec::new());
        for id in &members {
            set(&mut is_member, *id);
            rules[*id as usize]
                .reads
                .iter()
                .for_each(|field| set(&mut reads, *field));
        }
        let ungated = |id: &&RuleId| rules[**id as usize].gate.is_none();
        Group {
            ungated: members.iter().filter(ungated).copied().collect(),
            members,
            is_member,
            reads,
            indexes: OnceLock::new(),
            rows: AtomicUsize::new(0),
            layouts: Mutex::default(),
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

    /// Where the fields of its rules stand in a batch.
    pub fn layout(&self, set: &RuleSet, batch: &Batch) -> Arc<Layout> {
        let places = batch.places();
        // A thread that panicked while it held the lock left whole layouts.
        let mut known = self.layouts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, layout)) = known.iter().find(|(p, _)| Arc::ptr_eq(p, places)) {
            return layout.clone();
        }
        let mut ranked: BTreeMap<FieldId, Vec<(usize, usize)>> = BTreeMap::new();
        for (field, place) in &**places {
            for (id, rank) in set.readers.get(field).into_iter().flatten() {
                if has(&self.reads, *id) {
                    ranked.entry(*id).or_default().push((*rank, *place));
                }
            }
        }
        let in_order = |(id, mut places): (FieldId, Vec<(usize, usize)>)| {
            places.sort_unstable();
            (id, places.into_iter().map(|(_, place)| place).collect())
        };
        let layout: Arc<Layout> = Arc::new(ranked.into_iter().map(in_order).collect());
        if known.len() >= LAYOUTS_MAX {
            known.remove(0);
        }
        known.push((places.clone(), layout.clone()));
        layout
    }
}

impl Indexes {
    fn new(members: &[RuleId], rules: &[CompiledRule], predicates: &Predicates) -> Indexes {
        let mut gates: BTreeMap<PredicateId, Vec<RuleId>> = BTreeMap::new();
        for id in members {
            let rule = &rules[*id as usize];
            for gate in rule.gate.iter().flatten() {
                gates.entry(*gate).or_default().push(*id);
            }
            // What an index tells by the way need not be judged.
            rule.program.for_each(&mut |id| {
                if predicates.all[id as usize].key.is_some() {
                    gates.entry(id).or_default();
                }
            });
        }
        let (mut gated, mut finds) = (Vec::new(), Vec::new());
        let mut fields: HashMap<FieldId, Lazy> = HashMap::new();
        for (id, rules) in gates {
            let from = gated.len() as u32;
            gated.extend(rules);
            set(&mut finds, id);
            let field = fields.entry(predicates.all[id as usize].field).or_default();
            field.0.push((id, from..gated.len() as u32));
        }
        Indexes { gated, fields, finds }
    }

    /// The index of a field, where there is something to find in it.
    pub fn index(&self, field: FieldId, predicates: &Predicates) -> Option<&Index> {
        let (ids, index) = self.fields.get(&field)?;
        Some(index.get_or_init(|| Index::new(ids, predicates)))
    }

    /// Whether a predicate is found wherever it holds.
    pub fn finds(&self, id: PredicateId) -> bool {
        has(&self.finds, id)
    }

    /// Rules that become candidates.
    pub fn rules(&self, range: &Range<u32>) -> &[RuleId] {
        &self.gated[range.start as usize..range.end as usize]
    }
}
