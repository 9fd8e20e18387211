//! Evaluation of a compiled set over the columns of a batch.

use model::Batch;

use crate::compile::{Hit, RuleSet};

impl RuleSet {
    /// Which rules hold for which rows, by row, then by rule.
    #[must_use]
    pub fn evaluate(&self, _batch: &Batch) -> Vec<Hit> {
        Vec::new()
    }
}
