//! Clocks that begin anew: nobody listened, or what came was not read yet.

use std::sync::Arc;

use model::{Batch, LedgerIndex, Millis};

use super::super::step::Step;
use super::super::{Detector, plan};
use crate::policy::PolicyIndex;
use crate::reference::EventValues as _;
use crate::sigma::lower;

/// The clock of silence begins anew for some sources.
#[derive(Debug)]
pub(crate) struct Restart {
    pub index: LedgerIndex,
    policy: PolicyIndex,
    /// `None`: for all.
    sources: Option<Vec<Arc<str>>>,
}

impl Detector {
    /// The events of the batches after which clocks begin anew.
    pub(in crate::engine) fn restarts(&self, batches: &[Batch], steps: &[Step]) -> Vec<Restart> {
        let policies = &self.policies;
        let anew: Vec<_> = plan::anew(policies).collect();
        let mut out = Vec::new();
        if anew.is_empty() {
            return out;
        }
        for step in steps {
            for (policy, anew) in anew.iter().filter(|(_, a)| a.rule == step.rule) {
                let sources = anew.source.as_ref().and_then(|field| {
                    let captured = self.plan.captured.get(&step.rule)?;
                    let (batch, row) = (&batches[step.batch as usize], step.row as usize);
                    let places = captured.places(batch.places());
                    let fact = captured.read(batch, &places, row, batch.uid(row).into(), self.mask);
                    let sources = fact.values(field).iter();
                    Some(sources.map(|s| lower(s).into()).collect())
                });
                if sources.is_some() || anew.source.is_none() {
                    out.push(Restart {
                        index: step.index,
                        policy: *policy,
                        sources,
                    });
                }
            }
        }
        out
    }

    /// The clock begins anew, for sources whose silence was not told.
    pub(in crate::engine) fn begin_anew(&mut self, restart: &Restart, received_at: Millis) {
        let now = self.clock.now.map_or(received_at, |now| now.max(received_at));
        let away_ms = self.clock.now.map_or(0, |before| now - before);
        let meant = |source: &Arc<str>| restart.sources.as_ref().is_none_or(|s| s.contains(source));
        for (id, watch) in &mut self.silences.watches {
            if id.0 == restart.policy && meant(&watch.source) && !watch.heard.told {
                // What was listened to before Docket was away counts on; of sources that are named nothing is known.
                let since = match restart.sources {
                    None => watch.heard.since.plus_ms(away_ms),
                    Some(_) => now,
                };
                (watch.heard.since, watch.heard.anew) = (since.min(now), Some(now));
                self.silences.changed.insert(id.clone());
            }
        }
        for (source, habit) in self.silences.habits.iter_mut().filter(|(s, _)| meant(s)) {
            habit.listen_again(now);
            self.silences.changed_habits.insert(source.clone());
        }
    }
}
