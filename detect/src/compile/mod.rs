//! Rules compiled for evaluation over columns.

use model::Wanted;

use crate::PolicyError;
use crate::policy::{Policies, PolicyIndex};

/// A rule's Sigma condition holds for a row of a batch; its lookups are not judged yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hit {
    /// The row in the batch.
    pub row: u32,
    /// The rule.
    pub rule: PolicyIndex,
}

/// All rules of a set of policies, compiled together.
#[derive(Debug)]
pub struct RuleSet {
    wanted: Wanted,
}

impl RuleSet {
    /// Compiles every rule of the set. A rule that does not compile is reported and left out.
    #[must_use]
    pub fn compile(policies: &Policies) -> (RuleSet, Vec<PolicyError>) {
        (
            RuleSet {
                wanted: policies.wanted(),
            },
            Vec::new(),
        )
    }

    /// The columns that batches must have: those that the rules read, and all that their joins, correlations,
    /// keys and messages refer to.
    #[must_use]
    pub fn wanted(&self) -> &Wanted {
        &self.wanted
    }
}
