//! The plain evaluator: one rule, one event, as the specification reads. The compiled one is held to it.

use model::{Batch, Namespace};

use crate::policy::EventField;
use crate::sigma::{Detection, DetectionSet, Expr, Item, Match, Rule};

/// An event whose fields can be read.
pub trait Fields {
    /// Every value of a field, in order; of a field it lacks, or that is null, none.
    fn values(&self, field: &EventField) -> Vec<String>;
}

/// A row of a batch.
#[derive(Clone, Copy, Debug)]
pub struct BatchRow<'b> {
    /// The batch.
    pub batch: &'b Batch,
    /// Its row, from 0.
    pub row: usize,
}

impl Fields for BatchRow<'_> {
    fn values(&self, field: &EventField) -> Vec<String> {
        field.all(self.batch, self.row).into_iter().map(str::to_owned).collect()
    }
}

/// Whether a rule's detections hold for an event. The log source is not looked at.
#[must_use]
pub fn is_match(rule: &Rule, event: &dyn Fields) -> bool {
    let namespace = rule.namespace();
    set(&rule.detection, namespace, event) && rule.filters.iter().all(|f| set(f, namespace, event))
}

fn set(set: &DetectionSet, namespace: Namespace, event: &dyn Fields) -> bool {
    let holds: Vec<bool> = set
        .detections
        .iter()
        .map(|(_, d)| detection(d, namespace, event))
        .collect();
    expr(&set.condition, &holds)
}

fn expr(e: &Expr, holds: &[bool]) -> bool {
    match e {
        Expr::Detection(i) => holds[*i],
        Expr::All(es) => es.iter().all(|e| expr(e, holds)),
        Expr::Any(es) => es.iter().any(|e| expr(e, holds)),
        Expr::Not(inner) => !expr(inner, holds),
        Expr::AtLeast(n, which) => which.iter().filter(|i| holds[**i]).count() >= *n as usize,
    }
}

fn detection(d: &Detection, namespace: Namespace, event: &dyn Fields) -> bool {
    match d {
        Detection::All(ds) => ds.iter().all(|d| detection(d, namespace, event)),
        Detection::Any(ds) => ds.iter().any(|d| detection(d, namespace, event)),
        Detection::Item(i) => item(i, namespace, event),
    }
}

fn item(item: &Item, namespace: Namespace, event: &dyn Fields) -> bool {
    let values = event.values(&EventField::new(namespace, item.field()));
    let one = |m: &Match| match m {
        Match::Null => values.is_empty(),
        Match::Exists(expected) => *expected != values.is_empty(),
        Match::FieldRef { field, end, cased } => {
            let others = event.values(&EventField::new(namespace, field));
            values.iter().any(|v| others.iter().any(|o| end.holds(v, o, *cased)))
        }
        _ => values.iter().any(|v| m.is_match(v)),
    };
    let mut groups = item.groups.iter().map(|g| g.iter().any(one));
    let holds = if item.all { groups.all(|g| g) } else { groups.any(|g| g) };
    holds != item.negated
}
