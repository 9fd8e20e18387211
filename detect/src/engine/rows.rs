//! Tables kept from events.
//!
//! Rows of the same key are one row: the earliest event's value of each column, else a later one's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _};
use model::{Coordinate, Millis};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::bytes::{Bytes, Put, Reader, Writer};
use super::fact::Order;
use super::few::Few;
use crate::policy::{PolicyIndex, Take};
use crate::reference::{EventRow, combinations, each_value, key, scalar};
use crate::sigma::lower;

/// Values that a column which takes all of them has.
const VALUES_MAX: usize = 100;

/// One event's columns.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct RowEvent {
    pub uid: Arc<str>,
    pub time: Millis,
    pub record: Coordinate,
    pub expires: Millis,
    /// Names the row; the uid where the table has no key.
    pub id: Arc<str>,
    /// With its time and its record, as a row has them.
    pub columns: Arc<Json>,
}

impl RowEvent {
    /// Its time and its record are columns, too.
    pub fn complete(columns: &mut Map<String, Json>, time: Millis, record: &Coordinate) {
        columns.insert("time".into(), time.0.into());
        columns.insert("record".into(), record.to_string().into());
    }

    pub fn order(&self) -> Order {
        (self.time, self.uid.clone())
    }
}

impl Put for RowEvent {
    fn put(&self, to: &mut Writer) {
        to.text(&self.uid);
        to.time(self.time);
        to.json(Some(&self.record));
        to.time(self.expires);
        to.text(&self.id);
        to.json(Some(&self.columns));
    }
}

impl Bytes for RowEvent {
    fn take(from: &mut Reader<'_>) -> Option<RowEvent> {
        Some(RowEvent {
            uid: from.shared()?,
            time: from.time()?,
            record: from.json()??,
            expires: from.time()?,
            id: from.shared()?,
            columns: from.json()??,
        })
    }
}

/// The rows of one table.
#[derive(Debug, Default)]
pub(super) struct Table {
    events: HashMap<Order, RowEvent>,
    by_id: HashMap<Arc<str>, Few<Order>>,
    rows: HashMap<Arc<str>, EventRow>,
    indexes: Vec<(Vec<Arc<str>>, RowsByKey)>,
    /// Events by when they are forgotten, some of which may be gone.
    until: BTreeMap<Millis, Vec<Order>>,
    /// Columns that do not have the earliest event's value.
    taken: Vec<(Arc<str>, Take)>,
}

/// Ids of rows by the values of the indexed columns.
type RowsByKey = HashMap<String, Few<Arc<str>>>;

impl Table {
    /// A table that is asked by these sets of columns.
    pub fn new(asked: impl Iterator<Item = Vec<Arc<str>>>, taken: Vec<(Arc<str>, Take)>) -> Table {
        let asked: BTreeSet<Vec<Arc<str>>> = asked.collect();
        Table {
            indexes: asked.into_iter().map(|columns| (columns, HashMap::new())).collect(),
            taken,
            ..Table::default()
        }
    }

    pub fn get(&self, order: &Order) -> Option<&RowEvent> {
        self.events.get(order)
    }

    /// Adds an event. The row before and after.
    pub fn insert(&mut self, event: RowEvent) -> (Option<EventRow>, Option<EventRow>) {
        let id = event.id.clone();
        self.by_id.entry(id.clone()).or_default().insert(event.order());
        self.until.entry(event.expires).or_default().push(event.order());
        self.events.insert(event.order(), event);
        self.refresh(&id)
    }

    /// Takes an event out. The row before and after.
    pub fn remove(&mut self, order: &Order) -> (Option<EventRow>, Option<EventRow>) {
        let Some(event) = self.events.remove(order) else {
            return (None, None);
        };
        if let Some(orders) = self.by_id.get_mut(&event.id) {
            orders.remove(order);
            if orders.is_empty() {
                self.by_id.remove(&event.id);
            }
        }
        self.refresh(&event.id)
    }

    /// Whether no event is forgotten at that moment yet.
    pub fn is_first_until(&self, at: Millis) -> bool {
        !self.until.contains_key(&at)
    }

    /// Forgets the events whose time is over by `now`.
    pub fn forget_until(&mut self, now: Millis) -> Vec<Order> {
        let mut gone = Vec::new();
        while let Some(first) = self.until.first_entry().filter(|first| *first.key() <= now) {
            for order in first.remove() {
                if self.events.get(&order).is_some_and(|event| event.expires <= now) {
                    self.remove(&order);
                    gone.push(order);
                }
            }
        }
        gone
    }

    fn refresh(&mut self, id: &Arc<str>) -> (Option<EventRow>, Option<EventRow>) {
        let after = self.merge(id);
        let before = match after.clone() {
            Some(row) => self.rows.insert(id.clone(), row),
            None => self.rows.remove(id),
        };
        if before == after {
            return (before, after);
        }
        for (columns, index) in &mut self.indexes {
            for key in before.iter().flat_map(|row| row_keys(row, columns)) {
                if let Some(ids) = index.get_mut(&key) {
                    ids.remove(id);
                    if ids.is_empty() {
                        index.remove(&key);
                    }
                }
            }
            for key in after.iter().flat_map(|row| row_keys(row, columns)) {
                index.entry(key).or_default().insert(id.clone());
            }
        }
        (before, after)
    }

    fn merge(&self, id: &Arc<str>) -> Option<EventRow> {
        let orders = self.by_id.get(id)?;
        let mut events = orders.iter().filter_map(|order| self.events.get(order));
        let first = events.next()?;
        if orders.len() == 1 && self.taken.is_empty() {
            return Some(EventRow {
                row: first.columns.clone(),
                record: first.record.clone(),
                time: first.time,
                id: id.clone(),
            });
        }
        let mut columns = first.columns.as_object().cloned().unwrap_or_default();
        let mut lacking: Vec<String> = columns
            .iter()
            .filter(|(name, value)| value.is_null() && self.taken.iter().all(|(t, _)| **t != ***name))
            .map(|(name, _)| name.clone())
            .collect();
        for event in events {
            if lacking.is_empty() {
                break;
            }
            lacking.retain(|name| match event.columns.get(name).filter(|v| !v.is_null()) {
                Some(value) => {
                    columns.insert(name.clone(), value.clone());
                    false
                }
                None => true,
            });
        }
        for (name, take) in &self.taken {
            let events = self.by_id.get(id)?.iter().filter_map(|order| self.events.get(order));
            let mut values = events.filter_map(|e| e.columns.get(&**name)).filter(|v| !v.is_null());
            let value = match take {
                Take::First => values.next().cloned(),
                Take::Last => values.next_back().cloned(),
                Take::All => {
                    let mut all: Vec<Json> = Vec::new();
                    for value in values {
                        let each: &[Json] = value.as_array().map_or(std::slice::from_ref(value), |v| v);
                        for value in each {
                            if all.len() < VALUES_MAX && !all.contains(value) {
                                all.push(value.clone());
                            }
                        }
                    }
                    (!all.is_empty()).then_some(Json::Array(all))
                }
            };
            columns.insert(name.to_string(), value.unwrap_or(Json::Null));
        }
        RowEvent::complete(&mut columns, first.time, &first.record);
        Some(EventRow {
            row: Arc::new(Json::Object(columns)),
            record: first.record.clone(),
            time: first.time,
            id: id.clone(),
        })
    }

    /// The rows whose `columns` equal one of `values` each, oldest first.
    pub fn rows(&self, columns: &[Arc<str>], values: &[Vec<String>]) -> Vec<EventRow> {
        let mut found = BTreeMap::new();
        let mut add = |row: &EventRow| drop(found.insert((row.time, row.id.clone()), row.clone()));
        match self.indexes.iter().find(|(c, _)| c == columns) {
            Some((columns, index)) if !columns.is_empty() => combinations(values, &mut |values| {
                let ids = index.get(&key(values.iter().copied()));
                ids.into_iter()
                    .flat_map(Few::iter)
                    .filter_map(|id| self.rows.get(id))
                    .for_each(&mut add);
            }),
            _ => self.rows.values().for_each(&mut add),
        }
        found.into_values().collect()
    }
}

/// The keys under which a row is found by `columns`.
pub(super) fn row_keys(row: &EventRow, columns: &[Arc<str>]) -> Vec<String> {
    let cells: Vec<Vec<String>> = columns
        .iter()
        .map(|column| {
            let mut cells = BTreeSet::new();
            each_value(&row.row, column, &mut |v| {
                cells.insert(lower(&scalar(v)));
            });
            cells.into_iter().collect()
        })
        .collect();
    let mut keys = Vec::new();
    combinations(&cells, &mut |cells| keys.push(key(cells.iter().copied())));
    keys
}

/// All tables kept from events.
pub(super) type EventTableRows = foldhash::HashMap<PolicyIndex, Table>;
