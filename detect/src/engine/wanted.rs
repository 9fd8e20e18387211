//! Which columns the detector reads of events.

use foldhash::HashMap;
use model::{Field, LogSource, Wanted};

use super::Detector;
use super::plan::Plan;
use crate::RuleSet;
use crate::policy::{Policies, PolicyIndex};

impl Detector {
    /// The columns that a detector of these policies would want.
    #[must_use]
    pub fn wanted_by(policies: &Policies, rules: &RuleSet) -> Wanted {
        let mut wanted = rules.wanted().clone();
        wanted.extend(Plan::new(policies).wanted());
        wanted
    }

    /// The columns that batches must have: what rules, joins, correlations, keys, messages and actors read.
    #[must_use]
    pub fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// Of [`Detector::wanted`], what events of one log source and class need.
    #[must_use]
    pub fn wanted_of(&self, source: &LogSource, class_uid: u32) -> Wanted {
        let (fields, of_rules) = self.columns.get_or_init(|| self.columns_of_rules());
        let mut is_wanted = vec![false; fields.len()];
        for rule in self.rules.of(source, class_uid) {
            let columns = of_rules.get(&rule).map_or(&[][..], Vec::as_slice);
            columns.iter().for_each(|column| is_wanted[*column as usize] = true);
        }
        let wanted = fields.iter().zip(is_wanted).filter(|(_, is_wanted)| *is_wanted);
        wanted.map(|(field, _)| field.clone()).collect()
    }

    /// All columns in order, and for each rule which of them it needs.
    fn columns_of_rules(&self) -> (Vec<Field>, HashMap<PolicyIndex, Vec<u32>>) {
        let columns_of = |rule: PolicyIndex| {
            let fields = self.policies.get(rule).fields.iter();
            let captured = self.plan.captured.get(&rule).into_iter();
            let captured = captured.flat_map(|c| c.columns().cloned());
            fields.flat_map(crate::policy::EventField::columns).chain(captured)
        };
        let rules = || self.policies.iter().map(|(rule, _)| rule);
        let fields: Wanted = rules().flat_map(columns_of).collect();
        let numbers: HashMap<&Field, u32> = fields.iter().zip(0..).collect();
        let of_rules = rules().map(|rule| {
            (
                rule,
                columns_of(rule).filter_map(|f| numbers.get(&f).copied()).collect(),
            )
        });
        let of_rules = of_rules.collect();
        (fields.into_iter().collect(), of_rules)
    }
}
