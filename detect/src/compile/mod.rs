//! Rules compiled for evaluation over columns.
//!
//! Each distinct pair of field and match is one predicate. A rule is a boolean program over predicates, behind a
//! *gate*: a set of predicates of which one must hold wherever the rule does, each of which an index finds fast (a
//! literal by a few of its bytes, a number in a table). Rules of one log source form a group with one index for each
//! field, which finds every predicate that has a literal or a number, so that few are ever judged; a rule whose gate
//! finds nothing in a batch costs nothing.

mod grams;
mod group;
mod index;
mod predicate;
mod program;
mod required;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use model::{Field, LogSource, Wanted};

pub(crate) use group::{Group, Indexes};
pub(crate) use index::{Entry, Index, Values};
pub(crate) use predicate::{FieldId, PredicateId, Predicates};
pub(crate) use program::Program;

use crate::evaluate::Room;
use crate::policy::{Policies, PolicyIndex};
use crate::sigma;
use crate::{PolicyError, Problem};

/// Predicates of one rule.
const PREDICATES_MAX: usize = 200_000;
/// Groups that are kept; an event's labels may come from its content, so their number needs a bound.
const GROUPS_MAX: usize = 512;

/// Index into [`RuleSet::rules`].
pub(crate) type RuleId = u32;

/// A rule's Sigma condition holds for a row of a batch; its lookups are not judged yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hit {
    /// The row in the batch.
    pub row: u32,
    /// The rule.
    pub rule: PolicyIndex,
}

/// All rules of a set of policies, compiled together.
pub struct RuleSet {
    pub(crate) rules: Vec<CompiledRule>,
    pub(crate) predicates: Predicates,
    wanted: Wanted,
    /// Labels that rules name, in lower case; any other label is like any other.
    labels: BTreeSet<String>,
    classes: BTreeSet<u32>,
    /// For each column, the fields that read it, and how many columns they read before it.
    pub(crate) readers: HashMap<Field, Vec<(FieldId, usize)>>,
    /// Rules of the same log source as written, which are for the same events.
    by_source: Vec<Vec<RuleId>>,
    groups: Mutex<HashMap<GroupKey, Arc<Group>>>,
    /// A group of all rules.
    everything: OnceLock<Group>,
    /// Room to evaluate in, that nobody uses at the moment.
    pub(crate) room: Mutex<Vec<Room>>,
}

/// One rule, compiled.
#[derive(Debug)]
pub(crate) struct CompiledRule {
    pub policy: PolicyIndex,
    pub sigma: Arc<sigma::Rule>,
    pub program: Program,
    pub gate: Option<Vec<PredicateId>>,
    /// The fields that the program reads.
    pub reads: Vec<FieldId>,
}

/// Log sources that select the same rules. A label that no rule names is empty, which none equals.
type GroupKey = (LogSource, Option<u32>);

impl RuleSet {
    /// Compiles every rule of the set. A rule that does not compile is reported and left out.
    #[must_use]
    pub fn compile(policies: &Policies) -> (RuleSet, Vec<PolicyError>) {
        let mut errors = Vec::new();
        let mut predicates = Predicates::default();
        let mut rules = Vec::new();
        let (mut labels, mut classes) = (BTreeSet::new(), BTreeSet::new());
        let mut by_source: HashMap<LogSource, Vec<RuleId>> = HashMap::new();
        for (index, policy) in policies.iter() {
            let Some(rule) = policy.rule() else { continue };
            let given = size(&rule.sigma);
            if given > PREDICATES_MAX {
                let problem = Problem::TooMuch {
                    what: "values in one rule",
                    given,
                    limit: PREDICATES_MAX,
                };
                errors.push(PolicyError {
                    place: policy.place.clone(),
                    problem,
                });
                continue;
            }
            let program = Program::of(&rule.sigma, &mut predicates);
            let gate = program.gate(&predicates);
            let source = &rule.sigma.logsource;
            labels.extend(
                [&source.product, &source.category, &source.service]
                    .into_iter()
                    .flatten()
                    .map(|l| l.to_ascii_lowercase()),
            );
            classes.extend(rule.sigma.class_uid());
            let mut reads = Vec::new();
            program.for_each(&mut |id| {
                let predicate = &predicates.all[id as usize];
                reads.extend([Some(predicate.field), predicate.other].into_iter().flatten());
            });
            reads.sort_unstable();
            reads.dedup();
            by_source.entry(source.clone()).or_default().push(rules.len() as RuleId);
            rules.push(CompiledRule {
                policy: index,
                sigma: rule.sigma.clone(),
                program,
                gate,
                reads,
            });
        }
        let mut readers: HashMap<Field, Vec<(FieldId, usize)>> = HashMap::new();
        for (id, field) in (0..).zip(&predicates.fields) {
            for (place, column) in field.columns().into_iter().enumerate() {
                readers.entry(column).or_default().push((id, place));
            }
        }
        let mut wanted = policies.wanted();
        if policies.all().iter().any(|p| p.reports) {
            // Whose finding it is, where the policy does not say.
            wanted.extend(ACCOUNT_FIELDS.iter().map(|p| Field::ocsf(p)));
        }
        (
            RuleSet {
                rules,
                predicates,
                wanted,
                labels,
                classes,
                readers,
                by_source: by_source.into_values().collect(),
                groups: Mutex::default(),
                everything: OnceLock::new(),
                room: Mutex::default(),
            },
            errors,
        )
    }

    /// The columns that batches must have: those that the rules read, all that their joins, correlations,
    /// keys and messages refer to, and the accounts of an event.
    #[must_use]
    pub fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// How many rules are compiled.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The rules for events of a log source and class.
    pub(crate) fn of(&self, source: &LogSource, class_uid: u32) -> Vec<PolicyIndex> {
        let group = self.group(source, class_uid);
        group.members.iter().map(|id| self.rules[*id as usize].policy).collect()
    }

    /// Indexes of all rules, which serve log sources that have few events.
    pub(crate) fn everything(&self) -> &Indexes {
        let all = || Group::new((0..self.rules.len() as RuleId).collect(), &self.rules);
        self.everything.get_or_init(all).indexes(&self.rules, &self.predicates)
    }

    /// The rules for events of a log source and class, with their indexes.
    pub(crate) fn group(&self, source: &LogSource, class_uid: u32) -> Arc<Group> {
        let label = |l: &Option<Arc<str>>| {
            l.as_deref().map(|l| {
                let l = l.to_ascii_lowercase();
                Arc::from(if self.labels.contains(&l) { l.as_str() } else { "" })
            })
        };
        let source = LogSource {
            product: label(&source.product),
            category: label(&source.category),
            service: label(&source.service),
        };
        let key: GroupKey = (source, self.classes.contains(&class_uid).then_some(class_uid));
        // A thread that panicked while it held the lock left a map of whole groups.
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(group) = groups.get(&key) {
            return group.clone();
        }
        // No class has this number, as no rule names the one at hand.
        let class = key.1.unwrap_or(u32::MAX);
        let is_for = |ids: &&Vec<RuleId>| {
            let first = ids.first().map(|id| &self.rules[*id as usize].sigma);
            first.is_some_and(|sigma| sigma.is_for(&key.0, class))
        };
        let mut members: Vec<RuleId> = self.by_source.iter().filter(is_for).flatten().copied().collect();
        members.sort_unstable();
        let group = Arc::new(Group::new(members, &self.rules));
        if groups.len() >= GROUPS_MAX {
            groups.clear();
        }
        groups.insert(key, group.clone());
        group
    }
}

impl fmt::Debug for RuleSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuleSet")
            .field("rules", &self.rules.len())
            .field("predicates", &self.predicates.all.len())
            .finish_non_exhaustive()
    }
}

/// Accounts of an event.
const ACCOUNT_FIELDS: &[&str] = &[
    "docket.system",
    "actor.user.name",
    "actor.user.uid",
    "user.name",
    "user.uid",
];

fn size(rule: &sigma::Rule) -> usize {
    let mut size = 0;
    for set in std::iter::once(&rule.detection).chain(rule.filters.iter().map(|f| &**f)) {
        for (_, d) in &set.detections {
            d.for_each_item(&mut |i| size += i.groups.iter().map(Vec::len).sum::<usize>());
        }
    }
    size
}
