//! Why a policy holds for an event, by what the detector knows: its tables, and the state after all that came.

use std::sync::Arc;

use model::Batch;

use super::Detector;
use super::correlate::{completion, group_of};
use super::fact::Fact;
use super::finding::told;
use super::window::Group;
use crate::explain::{self, Asked, Explained, each_part, shown, sign, tell_gap};
use crate::policy::{Body, Correlation, CorrelationCondition, Opens, Policy, PolicyIndex, Reach, Rule};
use crate::reference::{EventRow, EventTables, Found, Gap, Item};

/// Correlations of correlations that are looked into.
const CHAIN_MAX: usize = 16;

impl Detector {
    /// Why the policy holds for the event in a row, or does not. Joins with tables kept from events, `first_seen`, `rare` and
    /// correlations are told as they stand: the caller lets the detector judge everything first. The batch has the columns
    /// of [`Detector::wanted`].
    #[must_use]
    pub fn explain(&self, policy: PolicyIndex, batch: &Batch, row: usize) -> Explained {
        self.explain_policy(policy, batch, row, CHAIN_MAX)
    }

    fn explain_policy(&self, index: PolicyIndex, batch: &Batch, row: usize, depth: usize) -> Explained {
        let policy = self.policies.get(index);
        let called = policy.name.as_deref().unwrap_or(&policy.reference.id);
        let what = if called == policy.reference.title {
            called.to_owned()
        } else {
            format!("{called} ({})", policy.reference.title)
        };
        let (holds, parts) = match &policy.body {
            Body::Rule(rule) => self.explain_rule(index, policy, rule, batch, row),
            Body::Correlation(c) if depth > 0 => self.explain_correlation(index, c, batch, row, depth),
            Body::Correlation(_) => (None, Vec::new()),
            Body::Absence(absence) => {
                let mut parts = Vec::new();
                if let Opens::After(after) = &absence.opens {
                    parts.push(named(
                        "opens an expectation (`after`): ",
                        self.explain_policy(*after, batch, row, depth),
                    ));
                }
                for (_, expected) in &absence.expect {
                    parts.push(named(
                        "is expected (`expect`): ",
                        self.explain_policy(*expected, batch, row, depth),
                    ));
                }
                (None, parts)
            }
            Body::Delay(_) => {
                let what = "how long the record took to come counts, beside the others of its sender";
                (None, vec![Explained::new(what, None)])
            }
            Body::Silence(_) => {
                let what = "every record of the source puts the deadline off, whatever it says";
                (None, vec![Explained::new(what, None)])
            }
        };
        Explained::new(what, holds).at(&policy.place).of(parts)
    }

    fn explain_rule(
        &self,
        index: PolicyIndex,
        policy: &Policy,
        rule: &Rule,
        batch: &Batch,
        row: usize,
    ) -> (Option<bool>, Vec<Explained>) {
        let mut parts = explain::rule(&rule.sigma, batch, row, self.mask);
        let fits = parts.iter().all(|p| p.holds == Some(true));
        let named = self.registered(std::slice::from_ref(batch));
        let Some(fact) = self.fact(index, &named[0], row) else {
            return (None, parts);
        };
        if let Some(time) = rule.calendar.as_ref().filter(|t| t.site.is_none()) {
            parts.push(self.explain_calendar(time, &fact, &Found::default()));
        }
        let events = Stand {
            detector: self,
            rule: index,
            fact: &fact,
        };
        let asked = Asked {
            event: &*fact,
            tables: &self.tables,
            events: &events,
            mask: self.mask,
        };
        let (joins, found) = explain::lookups(&rule.lookups, asked);
        parts.extend(joins);
        if let Some(found) = found {
            if let Some(time) = rule.calendar.as_ref().filter(|t| t.site.is_some()) {
                parts.push(self.explain_calendar(time, &fact, &found));
            }
            if let Some(novelty) = rule.novelty.as_ref().filter(|_| fits) {
                parts.push(self.explain_novelty(index, novelty, &fact, &found, self.mask));
            }
            if rule.sequence.is_some() {
                let because =
                    "not judged: it depends on the numbers that came before, and on those that still may come";
                parts.push(Explained::new("sequence", None).because(because));
            }
            if rule.portion.is_some() {
                let because = "not judged: it depends on what else the source sends in the span";
                parts.push(Explained::new("portion", None).because(because));
            }
            for raise in &policy.severity {
                let scope = self.scope_of(&*fact, &found);
                let mut tests = Vec::new();
                each_part(&raise.when, &scope, self.mask, &mut tests);
                // It decides how severe the finding is, not whether there is one.
                let holds = crate::reference::holds(&raise.when, &scope);
                let because = if holds {
                    "raises the severity"
                } else {
                    "does not raise it"
                };
                let what = format!("severity {}", raise.level.name().to_lowercase());
                parts.push(Explained::new(what, None).because(because).of(tests));
            }
        }
        let decide = || parts.iter().filter(|p| !p.what.starts_with("severity "));
        let holds = if decide().any(|p| p.holds == Some(false)) {
            Some(false)
        } else if decide().any(|p| p.holds.is_none()) {
            None
        } else {
            Some(true)
        };
        (holds, parts)
    }

    fn fact(&self, rule: PolicyIndex, batch: &Batch, row: usize) -> Option<Arc<Fact>> {
        let captured = self.plan.captured.get(&rule)?;
        Some(Arc::new(captured.read(
            batch,
            &captured.places(batch.places()),
            row,
            batch.uid(row).into(),
            self.mask,
        )))
    }

    fn explain_calendar(&self, time: &crate::policy::WorkingTime, fact: &Fact, found: &Found) -> Explained {
        let side = match time.side {
            crate::policy::Calendar::Inside => "inside",
            crate::policy::Calendar::Outside => "outside",
        };
        let what = format!("calendar: {side} of working time");
        if self.tables.calendar().is_none() {
            return Explained::new(what, None).because(tell_gap(&Gap::Calendar));
        }
        let at = told(&Item::Time(fact.time), self.tables.zone());
        let holds = self.on_side(time, fact, found);
        let working = holds == (time.side == crate::policy::Calendar::Inside);
        let because = format!("{at} is {}working time", if working { "" } else { "not " });
        Explained::new(what, holds).because(because)
    }

    fn explain_correlation(
        &self,
        index: PolicyIndex,
        c: &Correlation,
        batch: &Batch,
        row: usize,
        depth: usize,
    ) -> (Option<bool>, Vec<Explained>) {
        let mut parts = Vec::new();
        let mut completes = None;
        let named_hosts = self.registered(std::slice::from_ref(batch));
        for (n, feeder) in c.feeders.iter().enumerate() {
            let fed = self.explain_policy(feeder.policy, batch, row, depth - 1);
            let comes = fed.holds == Some(true);
            parts.push(named("takes events of: ", fed));
            let Some(fact) = self
                .rule_below(feeder.policy)
                .and_then(|rule| self.fact(rule, &named_hosts[0], row))
            else {
                continue;
            };
            if comes {
                let part = self.explain_group(index, c, n, &fact);
                completes = completes.max(Some(part.holds == Some(true)));
                parts.push(part);
            }
        }
        (completes.or(Some(false)), parts)
    }

    /// The first rule whose events a policy passes on.
    fn rule_below(&self, policy: PolicyIndex) -> Option<PolicyIndex> {
        let mut at = policy;
        for _ in 0..CHAIN_MAX {
            match &self.policies.get(at).body {
                Body::Rule(_) => return Some(at),
                Body::Correlation(c) => at = c.feeders.first()?.policy,
                _ => return None,
            }
        }
        None
    }

    /// The group of an event, and the windows that it is in.
    fn explain_group(&self, index: PolicyIndex, c: &Correlation, feeder: usize, fact: &Arc<Fact>) -> Explained {
        let by: Vec<String> = c
            .group_by
            .iter()
            .zip(&c.feeders[feeder].group_by)
            .map(|(name, field)| {
                use crate::reference::EventValues as _;
                format!(
                    "{name}: {}",
                    shown(&fact.values(field)[..fact.values(field).len().min(1)], self.mask)
                )
            })
            .collect();
        let what = if by.is_empty() {
            "group of all events".to_owned()
        } else {
            format!("group {{{}}}", by.join(", "))
        };
        let Some(group) = group_of(c, feeder, fact) else {
            return Explained::new(what, false).because("the event lacks a value to group by, and is in no group");
        };
        let Some(entries) = self.windows.get(&(index, group)) else {
            return Explained::new(what, None).because("nothing is remembered of this group any more");
        };
        let zone = self.tables.zone();
        let at = |time| told(&Item::Time(time), zone);
        let mut windows = Vec::new();
        for entry in entries.holders(c, fact.time) {
            if c.reach() == Reach::Opening && !entry.opens {
                continue;
            }
            let order = entry.order();
            let (after, until) = Group::window(c, entry.time());
            let asked = match &c.condition {
                CorrelationCondition::Compare { compare, .. } => {
                    let asked: Vec<String> = compare.iter().map(|(how, n)| format!("{} {n}", sign(*how))).collect();
                    asked.join(" and ")
                }
                CorrelationCondition::AllRules => "all rules".to_owned(),
                CorrelationCondition::Expression(_) => "its expression over the rules".to_owned(),
            };
            let counted = match entries.counted_at(c, &order) {
                Some(n) => format!("counts {n}"),
                None => "counts nothing".to_owned(),
            };
            let own = if order == fact.order() {
                " (this event's own)"
            } else {
                ""
            };
            let what = format!("window of {}{own}, ({}, {}]", order.1, at(after), at(until));
            let because = format!("{counted}, asked {asked}; complete at {}", at(completion(c, &order).0));
            windows.push(Explained::new(what, entry.complete).because(because));
            if windows.len() > 20 {
                break;
            }
        }
        let holds = windows.iter().any(|w| w.holds == Some(true));
        Explained::new(what, holds).of(windows)
    }
}

fn named(word: &str, mut part: Explained) -> Explained {
    part.what.insert_str(0, word);
    part
}

/// The tables kept from events as they stand, as the event saw them when it was judged last.
struct Stand<'a> {
    detector: &'a Detector,
    rule: PolicyIndex,
    fact: &'a Fact,
}

impl EventTables for Stand<'_> {
    fn rows(&self, table: PolicyIndex, columns: &[Arc<str>], values: &[Vec<String>]) -> Vec<EventRow> {
        let rows = self.detector.rows.get(&table);
        rows.map(|t| t.rows(columns, values)).unwrap_or_default()
    }

    fn claim(&self, step: usize, key: &str, _: Option<String>, rows: Vec<EventRow>) -> Option<EventRow> {
        match self
            .detector
            .subjects
            .get(&self.rule)
            .and_then(|s| s.get(&self.fact.uid))
        {
            Some(_) => self.detector.subjects[&self.rule].claimed(step, key, &self.fact.uid),
            // It was no subject: its condition does not hold, and nobody contends with it.
            None => rows.into_iter().next(),
        }
    }
}
