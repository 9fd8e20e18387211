//! Events come to what rules have seen; those that are new go on.

use std::sync::Arc;

use model::Millis;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Detector;
use super::fact::{Fact, FactRow, Mask, Order};
use super::finding::told;
use super::found::FoundRow;
use super::habit::{DAY_MS, Day, Habit, day_of};
use super::plan::{StateId, habit_id};
use super::state::{self, Kind, key};
use super::timer::{Due, Timers};
use crate::explain::{Explained, shown};
use crate::policy::{Novelty, PolicyIndex, Reference};
use crate::reference::{Found, Gap, Item, Scope, resolve};
use crate::sigma::lower;

/// The alias of what is known of a key and its value.
const ALIAS: &str = "seen";

/// Since when a key is known, as the state has it.
#[derive(Serialize, Deserialize)]
pub(super) struct HabitRow {
    key: Arc<str>,
    since: Millis,
}

/// A day on which a key was seen with a value, as the state has it.
#[derive(Serialize, Deserialize)]
pub(super) struct DayRow {
    key: Arc<str>,
    value: Arc<str>,
    day: i64,
    first: Order,
    last: Millis,
    held: Option<(FactRow, FoundRow)>,
    told: Option<FoundRow>,
}

impl Detector {
    /// An event of a rule that fires for what is new.
    pub(super) fn seen(&mut self, rule: PolicyIndex, novelty: &Novelty, fact: &Arc<Fact>, found: &Arc<Found>) {
        let scope = self.scope_of(&**fact, found);
        let Some(name) = name(&novelty.key, &scope) else {
            return self.gap(rule, Gap::At("key".into()));
        };
        // What is nowhere is not new.
        let Some(value) = self::name(&novelty.value, &scope) else {
            return;
        };
        let id = (rule, name.clone());
        let (order, day) = (fact.order(), day_of(fact.time));
        let known = self.habits.contains_key(&id);
        let habit = self.habits.entry(id.clone()).or_insert_with(|| Habit::new(fact.time));
        let earlier = !known || fact.time < habit.since;
        habit.since = habit.since.min(fact.time);
        let days = habit.values.entry(value.clone()).or_default();
        let (mut replaced, mut fresh) = (None, false);
        match days.get_mut(&day) {
            None => {
                fresh = true;
                let seen = Day {
                    first: order,
                    last: fact.time,
                    held: Some((fact.clone(), found.clone())),
                    told: None,
                };
                days.insert(day, seen);
            }
            Some(there) => {
                there.last = there.last.max(fact.time);
                if order < there.first {
                    there.first = order;
                    let before = there.held.replace((fact.clone(), found.clone()));
                    replaced = before.and_then(|(fact, _)| Some((fact, there.told.take()?)));
                }
            }
        }
        if fresh {
            let at = self.day_expires(rule, novelty, fact.time, fact);
            self.timers.set(at, Due::ForgetDays(rule, name.clone()));
        }
        if let Some((before, told)) = replaced {
            self.remove(rule, &before, &told);
        }
        if earlier {
            self.changes.touch(state::Item::Habit(rule, name.clone()), !known);
        }
        self.write_day(rule, &name, &value, day, fresh);
        let Some(habit) = self.habits.get(&id) else { return };
        let mut again: Vec<(Arc<str>, i64)> = habit
            .looking_back(novelty, &value, day)
            .into_iter()
            .map(|d| (value.clone(), d))
            .collect();
        if earlier {
            again.extend(habit.held());
        }
        again.sort();
        again.dedup();
        for (value, day) in again {
            self.judge_day(rule, novelty, &name, &value, day);
        }
    }

    /// Brings what is told of the first event of a day in line with what was seen before it.
    fn judge_day(&mut self, rule: PolicyIndex, novelty: &Novelty, name: &Arc<str>, value: &Arc<str>, day: i64) {
        let id = (rule, name.clone());
        let Some(habit) = self.habits.get(&id) else { return };
        let Some(before) = habit.before(novelty, value, day) else {
            return;
        };
        let since = habit.since;
        let seen = habit.values.get(value).and_then(|days| days.get(&day));
        let Some((fact, found)) = seen.and_then(|d| d.held.clone()) else {
            return;
        };
        let new = habit.is_new(novelty, fact.time, before).then(|| {
            let mut found = (*found).clone();
            let known = json!({
                "since": told(&Item::Time(since), self.tables.zone()),
                "last": before.last.map(|at| told(&Item::Time(at), self.tables.zone())),
                "days": before.days,
            });
            found.aliases.insert(ALIAS.into(), Arc::new(known));
            Arc::new(found)
        });
        let days = self.habits.get_mut(&id).and_then(|h| h.values.get_mut(value));
        let Some(seen) = days.and_then(|days| days.get_mut(&day)) else {
            return;
        };
        if before.days >= novelty.days {
            // More days may come to be known before it, not fewer.
            seen.held = None;
        }
        let was = std::mem::replace(&mut seen.told, new.clone());
        if was == new && seen.held.is_some() {
            return;
        }
        self.write_day(rule, name, value, day, false);
        match (was, new) {
            (None, Some(new)) => self.add(rule, &fact, &new),
            (Some(was), None) => self.remove(rule, &fact, &was),
            (Some(was), Some(new)) if was != new => self.replace(rule, &fact, &was, &new),
            _ => {}
        }
    }

    /// When something of a day is forgotten: the event that may turn out to be new, once none can come before it any
    /// more; the day, once nothing looks back on it, or (the last one of a value) nobody remembers.
    fn day_expires(&self, rule: PolicyIndex, novelty: &Novelty, last: Millis, received: &Fact) -> Millis {
        let policy = self.policies.get(rule);
        let held = self.kept_until(received, policy.lateness_ms, policy.wait_ms);
        let day = last.plus_ms(novelty.within_ms + DAY_MS).plus_ms(policy.lateness_ms);
        Timers::forgotten(held.min(day))
    }

    /// Forgets what nobody asks for any more.
    pub(super) fn forget_days(&mut self, rule: PolicyIndex, name: &Arc<str>) {
        let policies = self.policies.clone();
        let policy = policies.get(rule);
        let Some(novelty) = policy.rule().and_then(|r| r.novelty.as_ref()) else {
            return;
        };
        let (Some(now), Some(mut habit)) = (self.clock.now, self.habits.remove(&(rule, name.clone()))) else {
            return;
        };
        let mut next: Option<Millis> = None;
        let mut soonest = |at: Millis| next = Some(next.map_or(at, |n| n.min(at)));
        let (mut let_go, mut gone) = (Vec::new(), Vec::new());
        for (value, days) in &mut habit.values {
            // The last of all, and those before a day of which something may still be told: when the value was seen before.
            let mut told_of: Vec<i64> = days.last_key_value().map(|(day, _)| *day).into_iter().collect();
            for ((before, _), (_, seen)) in days.iter().zip(days.iter().skip(1)) {
                let held = seen.held.as_ref();
                if held.is_some_and(|(fact, _)| self.kept_until(fact, policy.lateness_ms, policy.wait_ms) > now) {
                    told_of.push(*before);
                }
            }
            for (day, seen) in days.iter_mut() {
                if let Some((fact, _)) = &seen.held {
                    let until = self.kept_until(fact, policy.lateness_ms, policy.wait_ms);
                    if until <= now {
                        seen.held = None;
                        // What was told is not taken back any more.
                        seen.told = None;
                        let_go.push((value.clone(), *day));
                    } else {
                        soonest(until);
                    }
                }
                let keep = if told_of.contains(day) {
                    novelty.keep_ms.max(novelty.within_ms)
                } else {
                    novelty.within_ms
                };
                let until = Timers::forgotten(seen.last.plus_ms(keep + DAY_MS).plus_ms(policy.lateness_ms));
                if until <= now && seen.held.is_none() {
                    gone.push((value.clone(), *day));
                } else {
                    soonest(until.max(now.plus_ms(1)));
                }
            }
        }
        for (value, day) in &gone {
            if let Some(days) = habit.values.get_mut(value) {
                days.remove(day);
            }
            self.write_day(rule, name, value, *day, false);
        }
        habit.values.retain(|_, days| !days.is_empty());
        if habit.values.is_empty() {
            self.changes.touch(state::Item::Habit(rule, name.clone()), false);
        } else {
            self.habits.insert((rule, name.clone()), habit);
        }
        for (value, day) in let_go {
            self.write_day(rule, name, &value, day, false);
        }
        if let Some(next) = next {
            self.timers
                .set(Timers::forgotten(next), Due::ForgetDays(rule, name.clone()));
        }
    }

    pub(super) fn take_up_habit(&mut self, rule: PolicyIndex, row: HabitRow) {
        let habit = self
            .habits
            .entry((rule, row.key))
            .or_insert_with(|| Habit::new(row.since));
        habit.since = row.since;
    }

    pub(super) fn take_up_day(&mut self, rule: PolicyIndex, row: DayRow) {
        let habit = self.habits.entry((rule, row.key.clone()));
        // Since when it is known is told by a row of its own, which may come before or after.
        let habit = habit.or_insert_with(|| Habit::new(row.first.0));
        let held = row.held.and_then(|(fact, found)| {
            let fact = fact.read(&self.plan.captured_by_state)?;
            Some((fact, found.read()))
        });
        let seen = Day {
            first: row.first,
            last: row.last,
            // What was told in another version of the rule is not taken back.
            told: row.told.filter(|_| held.is_some()).map(FoundRow::read),
            held,
        };
        habit.values.entry(row.value).or_default().insert(row.day, seen);
        // It is looked at, and put off.
        let soon = Timers::forgotten(self.clock.now.unwrap_or(Millis(0)).plus_ms(1));
        self.timers.set(soon, Due::ForgetDays(rule, row.key));
    }

    /// Whether an event is new to a rule, as far as is remembered.
    pub(super) fn explain_novelty(
        &self,
        rule: PolicyIndex,
        novelty: &Novelty,
        fact: &Fact,
        found: &Found,
        mask: Mask,
    ) -> Explained {
        let scope = self.scope_of(fact, found);
        let word = if novelty.days > 1 { "rare" } else { "first_seen" };
        let texts = |references: &[Reference]| {
            let told = references.iter().map(|r| {
                let items: Vec<String> = resolve(r, &scope).iter().map(|i| i.text().into_owned()).collect();
                format!("${r} {}", shown(&items, mask))
            });
            told.collect::<Vec<_>>().join(", ")
        };
        let out = |holds: Option<bool>| {
            let what = format!(
                "{word}: key {{{}}}, value {{{}}}",
                texts(&novelty.key),
                texts(&novelty.value)
            );
            Explained::new(what, holds)
        };
        let Some(key) = name(&novelty.key, &scope) else {
            return out(None).because("not judged: the event lacks the key");
        };
        let Some(value) = name(&novelty.value, &scope) else {
            return out(Some(false)).because("the event lacks the value; what is nowhere is not new");
        };
        let zone = self.tables.zone();
        let day = day_of(fact.time);
        let known = self.habits.get(&(rule, key)).and_then(|h| {
            let first = h.values.get(&value)?.get(&day)?.first.clone();
            Some((h, h.before(novelty, &value, day)?, first))
        });
        let Some((habit, before, first)) = known else {
            return out(None).because("not judged: nothing is remembered of that day");
        };
        if first != fact.order() {
            let because = format!(
                "the day's first event with this value is {}; only that one is judged",
                first.1
            );
            return out(Some(false)).because(because);
        }
        let last = before
            .last
            .map_or_else(|| "never".to_owned(), |at| told(&Item::Time(at), zone));
        let because = format!(
            "the key is known since {}, the value was seen on {} days before within the time looked back (fewer than {} are new), last {last}",
            told(&Item::Time(habit.since), zone),
            before.days,
            novelty.days
        );
        out(Some(habit.is_new(novelty, fact.time, before))).because(because)
    }

    fn habit_state(&self, rule: PolicyIndex) -> StateId {
        habit_id(self.policies.get(rule)).unwrap_or(StateId(0))
    }

    pub(super) fn day_key(&self, rule: PolicyIndex, name: &str, value: &str, day: i64) -> Vec<u8> {
        key(
            Kind::Day,
            self.habit_state(rule),
            &[name.as_bytes(), value.as_bytes(), &day.to_be_bytes()],
        )
    }

    pub(super) fn habit_key(&self, rule: PolicyIndex, name: &str) -> Vec<u8> {
        key(Kind::Habit, self.habit_state(rule), &[name.as_bytes()])
    }

    pub(super) fn habit_row(&self, rule: PolicyIndex, name: &Arc<str>) -> Option<HabitRow> {
        let habit = self.habits.get(&(rule, name.clone()))?;
        Some(HabitRow {
            key: name.clone(),
            since: habit.since,
        })
    }

    pub(super) fn day_row(&self, rule: PolicyIndex, name: &Arc<str>, value: &Arc<str>, day: i64) -> Option<DayRow> {
        let seen = self.habits.get(&(rule, name.clone()))?.values.get(value)?.get(&day)?;
        let held = seen.held.as_ref();
        Some(DayRow {
            key: name.clone(),
            value: value.clone(),
            day,
            first: seen.first.clone(),
            last: seen.last,
            held: held.map(|(fact, found)| (fact.write(), FoundRow::write(found))),
            told: seen.told.as_deref().map(FoundRow::write),
        })
    }

    fn write_day(&mut self, rule: PolicyIndex, name: &Arc<str>, value: &Arc<str>, day: i64, fresh: bool) {
        let item = state::Item::Day(rule, name.clone(), value.clone(), day);
        self.changes.touch(item, fresh);
    }
}

/// The values of references as one text, in lower case; `None` where one has no value.
pub(super) fn name(references: &[Reference], scope: &Scope<'_>) -> Option<Arc<str>> {
    let mut out = String::new();
    for reference in references {
        let mut texts: Vec<String> = resolve(reference, scope).iter().map(|i| lower(&i.text())).collect();
        texts.retain(|t| !t.is_empty());
        if texts.is_empty() {
            return None;
        }
        texts.sort();
        texts.dedup();
        out.push_str(&crate::reference::key(texts.iter().map(String::as_str)));
        out.push('\n');
    }
    Some(out.into())
}
