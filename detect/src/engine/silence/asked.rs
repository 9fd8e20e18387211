//! What a policy asks of a source, and how long that lets it be silent.

use std::sync::Arc;

use model::Millis;

use super::super::absence::text;
use super::super::{Detector, absence};
use super::{Habit, Watch};
use crate::policy::{Body, Learn, PolicyIndex, Silence, Value};
use crate::reference::Found;
use crate::sigma::lower;

/// What `within` says of a source that speaks in working hours.
const WORKING_HOURS: &str = "working_hours";

/// How long of a source's cadence is waited for at most after Docket was away.
const ANEW_MS_MAX: i64 = 3_600_000;

/// What a policy asks of a source.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    pub every_ms: Option<i64>,
    /// In working hours alone (`true`), or always.
    pub within: Option<bool>,
    pub site: Option<String>,
    pub found: Found,
}

/// How long a source may be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Allowed {
    pub every_ms: i64,
    pub working: bool,
    pub basis: Basis,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Basis {
    Declared,
    Learned,
    Never,
}

impl Detector {
    /// The sources that the rows of a policy name at a moment, and what they ask.
    pub(super) fn watched(&mut self, index: PolicyIndex, silence: &Silence, now: Millis) -> Vec<(Arc<str>, Asked)> {
        let (mut out, mut gaps) = (Vec::new(), Vec::new());
        let tables = &self.tables;
        absence::combine(
            &silence.each,
            tables,
            &absence::moment(tables, now),
            &mut |gap| gaps.push(gap),
            &mut |found| {
                let scope = absence::rows_only(&found.aliases, tables);
                let given =
                    |value: &Option<Value>| value.as_ref().and_then(|v| text(v, &scope)).filter(|t| !t.is_empty());
                let every_ms = given(&silence.every).and_then(|t| Silence::span_ms(&t));
                let Some(source) = text(&silence.source, &scope).filter(|s| !s.is_empty()) else {
                    return false;
                };
                if every_ms.is_none() && silence.learn.is_none() && silence.never_ms.is_none() {
                    return false;
                }
                let asked = Asked {
                    every_ms,
                    within: given(&silence.within).map(|w| w == WORKING_HOURS),
                    site: given(&silence.site),
                    found: found.clone(),
                };
                out.push((lower(&source).into(), asked));
                true
            },
        );
        gaps.into_iter().for_each(|gap| self.gap(index, gap));
        out
    }

    /// How long a source may be silent as of now; `None` where nothing is known of it.
    fn allowed(&self, index: PolicyIndex, watch: &Watch) -> Option<Allowed> {
        let Body::Silence(silence) = &self.policies.get(index).body else {
            return None;
        };
        // At the first record of all there is no time before.
        let now = self.clock.now.or(self.clock.first)?;
        let learned = |learn: &Learn| {
            let habit = self.silences.habits.get(&watch.source)?;
            (habit.warm_at(learn) <= now).then_some(habit)
        };
        let habit = silence.learn.as_ref().and_then(learned);
        let works = || habit.is_some_and(Habit::works_in_working_hours);
        let working = self.tables.calendar().is_some() && watch.asked.within.unwrap_or_else(works);
        let allow = |every_ms, working, basis| Allowed {
            every_ms,
            working,
            basis,
        };
        if let Some(every_ms) = watch.asked.every_ms {
            return Some(allow(every_ms, working, Basis::Declared));
        }
        if !watch.heard.any {
            return silence.never_ms.map(|ms| allow(ms, false, Basis::Never));
        }
        let every_ms = habit?.cadence_ms(silence.learn.as_ref()?, now, working)?;
        Some(allow(every_ms, working, Basis::Learned))
    }

    /// When a source will have been silent for too long.
    pub(super) fn deadline(&self, index: PolicyIndex, watch: &Watch) -> Option<(Millis, Allowed)> {
        let Body::Silence(silence) = &self.policies.get(index).body else {
            return None;
        };
        let allowed = self.allowed(index, watch)?;
        let after = |since: Millis, ms: i64| match self.tables.calendar().filter(|_| allowed.working) {
            Some(calendar) => calendar.after_working(since, ms, watch.asked.site.as_deref()),
            None => since.plus_ms(ms),
        };
        let by = after(watch.heard.since, allowed.every_ms);
        let by = match watch.heard.anew {
            // Shippers need some time to find Docket again, but no more than an hour: a source of a long cadence would
            // not be told of as long as Docket is started now and then.
            Some(anew) => by
                .max(after(anew, allowed.every_ms.min(ANEW_MS_MAX)))
                .plus_ms(silence.grace_ms),
            None => by,
        };
        Some((by, allowed))
    }
}

impl std::fmt::Display for Allowed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.basis {
            Basis::Declared => "declared",
            Basis::Learned => "learned",
            Basis::Never => "for the first record",
        })?;
        f.write_str(if self.working { ", working time" } else { "" })
    }
}
