//! Events become rows of tables; what asked for a row is judged again when it changes.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::Millis;
use serde_json::{Map, Value as Json};

use super::Detector;
use super::bytes::Put as _;
use super::fact::{Fact, Order};
use super::near::Near;
use super::rows::{RowEvent, row_keys};
use super::state::{Item, Kind, key};
use super::timer::Due;
use crate::policy::{EventTable, Policy, PolicyIndex, Take};
use crate::reference::{EventRow, Found, holds, resolve};
use crate::sigma::lower;

impl Detector {
    pub(super) fn add_row(
        &mut self,
        rule: PolicyIndex,
        policy: &Policy,
        table: &EventTable,
        fact: &Arc<Fact>,
        found: &Found,
    ) {
        let Some(record) = fact.record() else { return };
        let scope = self.scope_of(&**fact, found);
        // With its time and its record.
        let mut columns = Map::with_capacity(table.columns.len() + 2);
        for (name, column) in &table.columns {
            if !holds(&column.when, &scope) {
                columns.insert(name.to_string(), Json::Null);
                continue;
            }
            let mut values: Vec<Json> = resolve(&column.value, &scope)
                .iter()
                .map(|i| Json::String(i.text().into_owned()))
                .collect();
            let value = if values.len() > 1 {
                Json::Array(values)
            } else {
                values.pop().unwrap_or(Json::Null)
            };
            columns.insert(name.to_string(), value);
        }
        let cells: Vec<String> = table
            .key
            .iter()
            .map(|k| columns.get(&**k).map(text).unwrap_or_default())
            .collect();
        // An event that lacks the key is a row of its own.
        let id: Arc<str> = if cells.is_empty() || cells.iter().any(String::is_empty) {
            format!("#{}", fact.uid).into()
        } else {
            crate::reference::key(cells.iter().map(String::as_str)).into()
        };
        let readers = &self.plan.node(rule).readers;
        let lateness = readers
            .iter()
            .map(|(r, ..)| self.policies.get(*r).lateness_ms + self.policies.get(*r).wait_ms)
            .max();
        // Rows outlive all events that may ask for them.
        let kept = table
            .keep_ms
            .saturating_add(lateness.unwrap_or(0))
            .saturating_add(policy.wait_ms);
        let expires = self.kept_until(fact, policy.lateness_ms, kept);
        RowEvent::complete(&mut columns, fact.time, &record);
        let event = RowEvent {
            uid: fact.uid.clone(),
            time: fact.time,
            record,
            expires,
            id,
            columns: Arc::new(Json::Object(columns)),
        };
        if self.by_minute(Kind::Row, rule) {
            self.add_item(Kind::Row, rule, expires, |to| event.put(to));
        } else {
            let fresh = self.table(rule).get(&event.order()).is_none();
            self.changes.touch(Item::Row(rule, event.order()), fresh);
        }
        let (before, after) = self.insert_row(rule, event);
        self.row_changed(rule, before, after);
    }

    /// An event comes into its table. The row before and after.
    pub(super) fn insert_row(&mut self, rule: PolicyIndex, event: RowEvent) -> (Option<EventRow>, Option<EventRow>) {
        let expires = event.expires;
        if self.table(rule).is_first_until(expires) {
            self.timers.set(expires, Due::ForgetRows(rule));
        }
        self.table(rule).insert(event)
    }

    /// Forgets the events of a table whose time is over.
    pub(super) fn forget_rows(&mut self, rule: PolicyIndex, at: Millis) {
        let gone = self.table(rule).forget_until(at);
        if !self.by_minute(Kind::Row, rule) {
            let items = gone.into_iter().map(|order| Item::Row(rule, order));
            items.for_each(|item| self.changes.touch(item, false));
        }
    }

    pub(super) fn table(&mut self, rule: PolicyIndex) -> &mut super::rows::Table {
        let asked = self
            .plan
            .node(rule)
            .readers
            .iter()
            .map(|(_, _, columns)| columns.clone());
        let columns = self.policies.get(rule).rule().and_then(|r| r.table.as_ref());
        let taken = columns.into_iter().flat_map(|t| &t.columns);
        let taken = taken.filter(|(_, c)| c.take != Take::First);
        self.rows
            .entry(rule)
            .or_insert_with(|| super::rows::Table::new(asked, taken.map(|(name, c)| (name.clone(), c.take)).collect()))
    }

    pub(super) fn row_key(&self, rule: PolicyIndex, order: &Order) -> Vec<u8> {
        key(
            Kind::Row,
            self.state(rule),
            &[&order.0.0.to_be_bytes(), order.1.as_bytes()],
        )
    }

    pub(super) fn remove_row(&mut self, rule: PolicyIndex, order: &Order) {
        if self.table(rule).get(order).is_none() {
            return;
        }
        self.changes.touch(Item::Row(rule, order.clone()), false);
        let (before, after) = self.table(rule).remove(order);
        self.row_changed(rule, before, after);
    }

    /// The events that asked for a row that changed are judged again.
    pub(super) fn row_changed(&mut self, rule: PolicyIndex, before: Option<EventRow>, after: Option<EventRow>) {
        if before == after {
            return;
        }
        let plan = self.plan.clone();
        let columns = self.policies.get(rule).rule().and_then(|r| r.table.as_ref());
        let is_validity = |name: &str| matches!(name, "valid_from" | "valid_to");
        let has_validity = columns.is_some_and(|t| t.columns.iter().any(|(name, _)| is_validity(name)));
        let mut known: Option<(&[Arc<str>], BTreeSet<String>)> = None;
        for (reader, step, columns) in &plan.node(rule).readers {
            let Some(subjects) = self.subjects.get(reader).filter(|subjects| subjects.ask()) else {
                continue;
            };
            // Most readers ask by the same columns.
            let (_, keys) = match known.take().filter(|(of, _)| of == columns) {
                Some(same) => known.insert(same),
                None => {
                    let rows = [&before, &after].into_iter().flatten();
                    known.insert((columns, rows.flat_map(|row| row_keys(row, columns)).collect()))
                }
            };
            let mut asked = subjects.asked(*step, keys);
            if !asked.is_empty() {
                let lookup = self.policies.get(*reader).rule().and_then(|r| r.lookups.get(*step));
                let near = lookup.map(|lookup| Near::of(lookup, has_validity));
                asked.retain(|uid| {
                    let (Some(near), Some(subject)) = (near, subjects.get(uid)) else {
                        return true;
                    };
                    let mut rows = before.iter().chain(&after);
                    rows.any(|row| near.may(row, subject.fact.time, &self.tables))
                });
            }
            if !asked.is_empty() {
                self.judge(*reader, asked);
            }
        }
    }
}

fn text(value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        Json::String(text) => lower(text),
        other => lower(&other.to_string()),
    }
}
