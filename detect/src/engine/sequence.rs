//! Numbers of logs, kept as runs without a hole; the first event of a run goes on where the run before it tells of a breach.
//!
//! A set of numbers has the same runs in whatever order they came, and each run is judged by those before it: what comes late fills holes,
//! and takes back what was told. A lower number at a later time is a log that began anew, and no hole.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::Millis;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Detector;
use super::fact::{Fact, FactRow, Order};
use super::finding::told;
use super::found::FoundRow;
use super::novelty::name;
use super::state::{self, Kind, key};
use super::timer::{Due, Timers};
use crate::policy::{Breach, PolicyIndex, Sequence};
use crate::reference::{Found, Gap, Item, resolve};

/// The alias of what is known of a number.
const ALIAS: &str = "sequence";
/// Runs that are kept of one log: one with more skips numbers as a rule.
const RUNS_MAX: usize = 256;
/// Logs that are told apart by one rule; what comes of others is not judged.
const LOGS_MAX: usize = 50_000;
/// Of so many numbers one hole may be.
const NUMBERS_FOR_A_HOLE: u64 = 20;
/// Within one run, time may go back so far: records of several processors.
const JITTER_MS: i64 = 600_000;
/// A log of which nothing came for so long is forgotten.
const KEEP_MS: i64 = 30 * 86_400_000;

/// A log of a rule, by the values that name it.
pub(super) type LogId = (PolicyIndex, Arc<str>);

/// The runs of a log by their first numbers.
pub(super) type Runs = BTreeMap<i64, Run>;

/// A number, its event, and when that was received.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Numbered {
    number: i64,
    order: Order,
    received_at: Millis,
}

impl Numbered {
    fn time(&self) -> Millis {
        self.order.0
    }
}

/// Numbers without a hole between them.
#[derive(Debug)]
pub(super) struct Run {
    last: Numbered,
    /// The event of the first number.
    first: Order,
    /// That event, while something before it may still come.
    held: Option<(Arc<Fact>, Arc<Found>)>,
    /// What it went on with.
    told: Option<Arc<Found>>,
}

/// A run as the state has it.
#[derive(Serialize, Deserialize)]
pub(super) struct RunRow {
    key: Arc<str>,
    start: i64,
    last: Numbered,
    first: Order,
    held: Option<(FactRow, FoundRow)>,
    told: Option<FoundRow>,
}

impl Run {
    fn len(&self, start: i64) -> u64 {
        self.last.number.saturating_sub(start).unsigned_abs() + 1
    }
}

/// How far time may go back within a run.
fn jitter(sequence: &Sequence) -> i64 {
    match sequence.breach {
        Breach::Backwards(ms) => ms,
        Breach::Gap(_) => JITTER_MS,
    }
}

impl Detector {
    /// An event of a rule that reads numbers.
    pub(super) fn numbered(&mut self, rule: PolicyIndex, sequence: &Sequence, fact: &Arc<Fact>, found: &Arc<Found>) {
        let scope = self.scope_of(&**fact, found);
        let Some(name) = name(&sequence.of, &scope) else {
            return self.gap(rule, Gap::At("of".into()));
        };
        let number = resolve(&sequence.number, &scope)
            .first()
            .map(|n| n.text().parse::<i64>());
        let Some(Ok(number)) = number else {
            return self.gap(rule, Gap::At("number".into()));
        };
        let id = (rule, name);
        if !self.sequences.contains_key(&id) && self.sequences.len() >= LOGS_MAX {
            return self.gap(rule, Gap::At("of".into()));
        }
        let forget = self.kept_until(
            fact,
            self.policies.get(rule).lateness_ms,
            self.policies.get(rule).wait_ms,
        );
        let Some(before) = self.insert(&id, sequence, number, fact, found) else {
            return;
        };
        if let Some((fact, told)) = before {
            self.remove(rule, &fact, &told);
        }
        self.timers.set(forget, Due::ForgetRuns(rule, id.1.clone()));
        // What stands behind it has another one before it now.
        let runs = self.sequences.get(&id);
        let again: Vec<i64> = runs
            .map(|runs| runs.range(number..).map(|(start, _)| *start).collect())
            .unwrap_or_default();
        for start in again {
            self.judge_run(&id, start);
        }
    }

    /// Puts a number into the runs; `None` where nothing changed by it. What went on of a run that begins elsewhere now is given back.
    #[allow(clippy::type_complexity, reason = "an event, and what it went on with")]
    fn insert(
        &mut self,
        id: &LogId,
        sequence: &Sequence,
        number: i64,
        fact: &Arc<Fact>,
        found: &Arc<Found>,
    ) -> Option<Option<(Arc<Fact>, Arc<Found>)>> {
        let (jitter, order) = (jitter(sequence), fact.order());
        let runs = self.sequences.entry(id.clone()).or_default();
        let taken_back = |run: &mut Run| Some((run.held.take()?.0, run.told.take()?));
        let (mut start, mut before) = (number, None);
        let mut last = Numbered {
            number,
            order: order.clone(),
            received_at: fact.received_at,
        };
        if let Some((at, run)) = runs.range_mut(..=number).next_back()
            && run.last.number >= number
        {
            // The same number twice: the earlier event counts.
            let at = *at;
            if at == number && order < run.first {
                before = taken_back(run);
                (run.first, run.held) = (order.clone(), Some((fact.clone(), found.clone())));
            } else if run.last.number != number || order >= run.last.order {
                return None;
            }
            if run.last.number == number && order < run.last.order {
                run.last = last;
            }
            self.changes.touch(state::Item::Run(id.0, id.1.clone(), at), false);
            return Some(before);
        }
        if let Some(right) = number.checked_add(1).and_then(|next| runs.get(&next))
            && right.first.0 >= fact.time.plus_ms(-jitter)
            && let Some(mut right) = runs.remove(&(number + 1))
        {
            before = taken_back(&mut right);
            last = right.last;
            self.changes
                .touch(state::Item::Run(id.0, id.1.clone(), number + 1), false);
        }
        let left = runs.range_mut(..number).next_back();
        match left.filter(|(_, left)| left.last.number == number - 1 && fact.time >= left.last.time().plus_ms(-jitter))
        {
            Some((at, left)) => {
                left.last = last;
                start = *at;
            }
            None => {
                let run = Run {
                    last,
                    first: order,
                    held: Some((fact.clone(), found.clone())),
                    told: None,
                };
                runs.insert(number, run);
            }
        }
        if runs.len() > RUNS_MAX
            && let Some(oldest) = runs.iter().min_by_key(|(_, run)| &run.first).map(|(at, _)| *at)
        {
            runs.remove(&oldest);
            self.changes.touch(state::Item::Run(id.0, id.1.clone(), oldest), false);
        }
        self.changes
            .touch(state::Item::Run(id.0, id.1.clone(), start), start == number);
        Some(before)
    }

    /// Brings what is told of the first event of a run in line with the runs before it.
    pub(super) fn judge_run(&mut self, id: &LogId, start: i64) {
        let policies = self.policies.clone();
        let policy = policies.get(id.0);
        let Some(sequence) = policy.rule().and_then(|r| r.sequence.as_ref()) else {
            return;
        };
        let run = self.sequences.get(id).and_then(|runs| runs.get(&start));
        let Some((fact, found)) = run.and_then(|run| run.held.clone()) else {
            return;
        };
        let due = self.due_at(policy, &fact);
        if self.clock.now.is_none_or(|now| now < due) {
            return self.timers.set(due, Due::Sequence(id.0, id.1.clone(), start));
        }
        let new = self.breach(id, sequence, start, &found);
        let run = self.sequences.get_mut(id).and_then(|runs| runs.get_mut(&start));
        let Some(run) = run else { return };
        let was = std::mem::replace(&mut run.told, new.clone());
        if was == new {
            return;
        }
        self.changes.touch(state::Item::Run(id.0, id.1.clone(), start), false);
        match (was, new) {
            (None, Some(new)) => self.add(id.0, &fact, &new),
            (Some(was), None) => self.remove(id.0, &fact, &was),
            (Some(was), Some(new)) => self.replace(id.0, &fact, &was, &new),
            (None, None) => {}
        }
    }

    /// What a run goes on with; `None` where nothing is wrong with its first number.
    fn breach(&self, id: &LogId, sequence: &Sequence, start: i64, found: &Found) -> Option<Arc<Found>> {
        let runs = self.sequences.get(id)?;
        let run = runs.get(&start)?;
        let (_, before) = runs.range(..start).next_back()?;
        let missing = start.checked_sub(before.last.number)? - 1;
        let went_on = run.first.0 >= before.last.time();
        let is_breach = match sequence.breach {
            Breach::Gap(allowed) => missing > allowed && went_on,
            // What was received first was written first: else the numbers were not given in the order of time.
            Breach::Backwards(ms) => {
                let in_order = run
                    .held
                    .as_ref()
                    .is_some_and(|(fact, _)| fact.received_at >= before.last.received_at);
                missing == 0 && in_order && run.first.0 < before.last.time().plus_ms(-ms)
            }
        };
        if !is_breach {
            return None;
        }
        let (mut numbers, mut holes, mut last): (u64, u64, Option<&Numbered>) = (0, 0, None);
        for (at, run) in runs.range(..start) {
            // Where time goes back the log began anew.
            holes += u64::from(last.is_some_and(|last| last.number + 1 < *at && run.first.0 >= last.time()));
            numbers += run.len(*at);
            last = Some(&run.last);
        }
        if numbers < sequence.at_least || holes * NUMBERS_FOR_A_HOLE > numbers {
            return None;
        }
        let zone = self.tables.zone();
        let known = json!({
            "missing": missing,
            "from": before.last.number + 1,
            "to": start - 1,
            "number": start,
            "before": before.last.number,
            "before_at": told(&Item::Time(before.last.time()), zone),
            "back_s": (before.last.time() - run.first.0).max(0) / 1000,
        });
        let mut found = found.clone();
        found.aliases.insert(ALIAS.into(), Arc::new(known));
        found.records.extend(before.last.order.1.parse().ok());
        Some(Arc::new(found))
    }

    /// Lets go of what nothing changes any more, and forgets logs that ended.
    pub(super) fn forget_runs(&mut self, id: &LogId) {
        let policies = self.policies.clone();
        let policy = policies.get(id.0);
        let (Some(now), Some(mut runs)) = (self.clock.now, self.sequences.remove(id)) else {
            return;
        };
        let newest = runs.values().map(|run| run.last.time()).max();
        let mut next: Option<Millis> = None;
        runs.retain(|start, run| {
            let item = || state::Item::Run(id.0, id.1.clone(), *start);
            let mut until = match &run.held {
                Some((fact, _)) => self.kept_until(fact, policy.lateness_ms, policy.wait_ms),
                None => Timers::forgotten(run.last.time().plus_ms(policy.lateness_ms)),
            };
            if until <= now && run.held.take().is_some() {
                // What was told is not taken back any more.
                run.told = None;
                self.changes.touch(item(), false);
                until = Timers::forgotten(run.last.time().plus_ms(policy.lateness_ms));
            }
            if until <= now && Some(run.last.time()) == newest {
                until = Timers::forgotten(run.last.time().plus_ms(KEEP_MS));
            }
            if until <= now {
                self.changes.touch(item(), false);
                return false;
            }
            next = Some(next.map_or(until, |n| n.min(until)));
            true
        });
        if let Some(next) = next {
            self.timers.set(next, Due::ForgetRuns(id.0, id.1.clone()));
            self.sequences.insert(id.clone(), runs);
        }
    }

    pub(super) fn take_up_run(&mut self, rule: PolicyIndex, row: RunRow) {
        let held = row.held.and_then(|(fact, found)| {
            let fact = fact.read(&self.plan.captured_by_state)?;
            Some((fact, found.read()))
        });
        let run = Run {
            last: row.last,
            first: row.first,
            // What was told in another version of the rule is not taken back.
            told: row.told.filter(|_| held.is_some()).map(FoundRow::read),
            held,
        };
        let soon = self.clock.now.unwrap_or(Millis(0)).plus_ms(1);
        if let Some((fact, _)) = &run.held {
            let due = self.due_at(self.policies.get(rule), fact);
            self.timers
                .set(due.max(soon), Due::Sequence(rule, row.key.clone(), row.start));
        }
        self.timers
            .set(Timers::forgotten(soon), Due::ForgetRuns(rule, row.key.clone()));
        self.sequences
            .entry((rule, row.key))
            .or_default()
            .insert(row.start, run);
    }

    pub(super) fn run_key(&self, rule: PolicyIndex, name: &str, start: i64) -> Vec<u8> {
        key(Kind::Run, self.state(rule), &[name.as_bytes(), &start.to_be_bytes()])
    }

    pub(super) fn run_row(&self, rule: PolicyIndex, name: &Arc<str>, start: i64) -> Option<RunRow> {
        let run = self.sequences.get(&(rule, name.clone()))?.get(&start)?;
        let held = run.held.as_ref();
        Some(RunRow {
            key: name.clone(),
            start,
            last: run.last.clone(),
            first: run.first.clone(),
            held: held.map(|(fact, found)| (fact.write(), FoundRow::write(found))),
            told: run.told.as_deref().map(FoundRow::write),
        })
    }
}
