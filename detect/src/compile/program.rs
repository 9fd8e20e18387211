//! A rule as a boolean program over predicates, and the gate before it.

use model::Namespace;

use super::predicate::{PredicateId, Predicates};
use crate::policy::EventField;
use crate::sigma::{Detection, DetectionSet, Expr, Item, Rule};

/// A boolean program over predicates.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Program {
    Predicate(PredicateId),
    All(Vec<Program>),
    Any(Vec<Program>),
    Not(Box<Program>),
    AtLeast(u32, Vec<Program>),
}

impl Program {
    /// The program of a rule.
    pub fn of(rule: &Rule, predicates: &mut Predicates) -> Program {
        let namespace = rule.namespace();
        let mut sets = vec![set(&rule.detection, namespace, predicates)];
        sets.extend(rule.filters.iter().map(|f| set(f, namespace, predicates)));
        let mut program = if sets.len() == 1 {
            sets.swap_remove(0)
        } else {
            Program::All(sets)
        };
        program.sort(predicates);
        program
    }

    /// Predicates of which at least one holds wherever the program does, each of which an index finds; `None` where
    /// there are no such. Of several such sets the one thought rarest.
    pub fn gate(&self, predicates: &Predicates) -> Option<Vec<PredicateId>> {
        self.gate_and_rarity(predicates).map(|(gate, _)| gate)
    }

    fn gate_and_rarity(&self, predicates: &Predicates) -> Option<(Vec<PredicateId>, usize)> {
        match self {
            Program::Predicate(id) => {
                let predicate = &predicates.all[*id as usize];
                (predicate.key.is_some() || predicate.is_asked).then(|| (vec![*id], predicate.rarity()))
            }
            Program::All(programs) => programs
                .iter()
                .filter_map(|p| p.gate_and_rarity(predicates))
                .reduce(|a, b| if (b.1, a.0.len()) > (a.1, b.0.len()) { b } else { a }),
            Program::Any(programs) | Program::AtLeast(_, programs) => {
                let mut gate = Vec::new();
                let mut rarity = usize::MAX;
                for program in programs {
                    let (ids, r) = program.gate_and_rarity(predicates)?;
                    gate.extend(ids);
                    rarity = rarity.min(r);
                }
                gate.sort_unstable();
                gate.dedup();
                Some((gate, rarity))
            }
            Program::Not(_) => None,
        }
    }

    /// Calls `each` with every predicate.
    pub fn for_each(&self, each: &mut impl FnMut(PredicateId)) {
        match self {
            Program::Predicate(id) => each(*id),
            Program::All(ps) | Program::Any(ps) | Program::AtLeast(_, ps) => ps.iter().for_each(|p| p.for_each(each)),
            Program::Not(inner) => inner.for_each(each),
        }
    }

    /// Puts what is cheap to judge first.
    fn sort(&mut self, predicates: &Predicates) {
        if let Program::All(ps) | Program::Any(ps) | Program::AtLeast(_, ps) = self {
            ps.iter_mut().for_each(|p| p.sort(predicates));
            ps.sort_by_key(|p| p.cost(predicates));
        } else if let Program::Not(inner) = self {
            inner.sort(predicates);
        }
    }

    fn cost(&self, predicates: &Predicates) -> usize {
        match self {
            Program::Predicate(id) => predicates.all[*id as usize].cost(),
            Program::All(ps) | Program::Any(ps) | Program::AtLeast(_, ps) => {
                ps.iter().map(|p| p.cost(predicates)).sum::<usize>() + 1
            }
            Program::Not(inner) => inner.cost(predicates),
        }
    }
}

fn set(set: &DetectionSet, namespace: Namespace, predicates: &mut Predicates) -> Program {
    let detections: Vec<Program> = set
        .detections
        .iter()
        .map(|(_, d)| detection(d, namespace, predicates))
        .collect();
    expr(&set.condition, &detections)
}

fn expr(e: &Expr, detections: &[Program]) -> Program {
    let many = |es: &[Expr]| es.iter().map(|e| expr(e, detections)).collect();
    match e {
        Expr::Detection(i) => detections[*i].clone(),
        Expr::All(es) => Program::All(many(es)),
        Expr::Any(es) => Program::Any(many(es)),
        Expr::Not(inner) => Program::Not(Box::new(expr(inner, detections))),
        Expr::AtLeast(n, which) => Program::AtLeast(*n, which.iter().map(|i| detections[*i].clone()).collect()),
    }
}

fn detection(d: &Detection, namespace: Namespace, predicates: &mut Predicates) -> Program {
    match d {
        Detection::All(ds) => Program::All(ds.iter().map(|d| detection(d, namespace, predicates)).collect()),
        Detection::Any(ds) => Program::Any(ds.iter().map(|d| detection(d, namespace, predicates)).collect()),
        Detection::Item(i) => item(i, namespace, predicates),
    }
}

fn item(item: &Item, namespace: Namespace, predicates: &mut Predicates) -> Program {
    let field = EventField::new(namespace, item.field());
    let mut groups: Vec<Program> = item
        .groups
        .iter()
        .map(|group| {
            let mut any: Vec<Program> = group
                .iter()
                .map(|m| Program::Predicate(predicates.intern(&field, m)))
                .collect();
            if any.len() == 1 {
                any.swap_remove(0)
            } else {
                Program::Any(any)
            }
        })
        .collect();
    let program = match groups.len() {
        1 => groups.swap_remove(0),
        _ if item.all => Program::All(groups),
        _ => Program::Any(groups),
    };
    if item.negated {
        Program::Not(Box::new(program))
    } else {
        program
    }
}
