//! A fact as a policy downstream of its rule names its fields.

use std::sync::Arc;

use model::Millis;

use super::fact::Fact;
use crate::policy::{Correlation, EventField};
use crate::reference::EventValues;

/// An event under a correlation's names: its aliases, its `group-by`, then the field of that name, in the names of
/// the correlation's first rule or of the event's own.
pub(super) struct View<'a> {
    pub fact: Arc<Fact>,
    pub correlation: &'a Correlation,
    pub feeder: usize,
}

impl EventValues for View<'_> {
    fn time(&self) -> Millis {
        self.fact.time
    }
    fn received_at(&self) -> Millis {
        self.fact.received_at
    }
    fn values(&self, field: &EventField) -> &[Arc<str>] {
        let feeder = &self.correlation.feeders[self.feeder];
        let grouped = self.correlation.group_by.iter().position(|name| **name == *field.path);
        let named = feeder
            .aliases
            .get(&*field.path)
            .or_else(|| feeder.group_by.get(grouped?));
        let own = EventField {
            namespace: self.fact.namespace(),
            path: field.path.clone(),
        };
        let candidates = [
            named.map(|f| self.fact.values(f)),
            Some(self.fact.values(field)),
            Some(self.fact.values(&own)),
        ];
        candidates
            .into_iter()
            .flatten()
            .find(|values| !values.is_empty())
            .unwrap_or(&[])
    }
}
