//! Expectations: what opened them, until when, and what satisfied them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foldhash::HashMap;
use model::Millis;
use serde::{Deserialize, Serialize};

use super::bytes::{Bytes, Put, Reader, Writer};
use super::fact::{Fact, Order};
use super::few::Few;
use crate::policy::{Absence, Expect, Literal, Lookup, Value};
use crate::reference::{
    Aliases, Found, Gap, Scope, Tables, combinations, key, key_texts, reference_rows, resolve_first, resolve_moment,
};

/// Combinations of rows that one absence may open.
const OPEN_MAX: usize = 1_000_000;
/// The earliest moment of what is expected, before `by`, where the policy does not say.
const FROM_DEFAULT_MS: i64 = 24 * 3_600_000;

/// What is expected, once.
#[derive(Debug)]
pub(super) struct Expectation {
    pub from: Millis,
    pub by: Millis,
    /// For each matching field, the values that it may equal, in lower case.
    pub values: Vec<Vec<String>>,
    /// The event that opened it; none where rows did.
    pub fact: Option<Arc<Fact>>,
    pub found: Found,
    pub settled: Settled,
    /// The state has a row of how far it is judged, or will have with the next delta.
    pub written: bool,
}

/// How far the judgement of an expectation is, as the state has it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Settled {
    pub id: Arc<str>,
    /// Uids of expected events that came in time.
    pub satisfied: BTreeSet<Arc<str>>,
    /// Its deadline and the wait are over.
    pub judged: bool,
    /// Its deadline cannot be judged: it was before the ledger, or too long ago when it was first seen.
    pub void: bool,
}

impl Expectation {
    /// Whether it is a violation as of now.
    pub fn is_missing(&self) -> bool {
        self.settled.judged && !self.settled.void && self.settled.satisfied.is_empty()
    }
}

/// An expected event, as the state has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Expected {
    pub uid: Arc<str>,
    pub time: Millis,
    pub expires: Millis,
    /// For each matching field, its values, in lower case.
    pub values: Vec<Vec<String>>,
}

impl Put for Expected {
    fn put(&self, to: &mut Writer) {
        to.text(&self.uid);
        to.time(self.time);
        to.time(self.expires);
        to.number(self.values.len() as u64);
        for values in &self.values {
            to.number(values.len() as u64);
            values.iter().for_each(|v| to.text(v));
        }
    }
}

impl Bytes for Expected {
    fn take(from: &mut Reader<'_>) -> Option<Expected> {
        let (uid, time, expires) = (from.shared()?, from.time()?, from.time()?);
        let n = from.count()?;
        let mut values = Vec::with_capacity(n);
        for _ in 0..n {
            let n = from.count()?;
            values.push((0..n).map(|_| from.text().map(str::to_owned)).collect::<Option<_>>()?);
        }
        Some(Expected {
            uid,
            time,
            expires,
            values,
        })
    }
}

/// The expectations of one absence, and the events that were expected.
#[derive(Debug, Default)]
pub(super) struct Expectations {
    by_id: HashMap<Arc<str>, Expectation>,
    by_key: HashMap<String, Few<Arc<str>>>,
    expected: HashMap<Order, Expected>,
    expected_by_key: HashMap<String, Few<Order>>,
    /// Expected events by when they are forgotten, some of which may be gone.
    until: BTreeMap<Millis, Vec<Order>>,
}

fn keys(values: &[Vec<String>]) -> Vec<String> {
    let mut keys = Vec::new();
    combinations(values, &mut |values| keys.push(key(values.iter().copied())));
    keys
}

impl Expectations {
    pub fn get(&self, id: &str) -> Option<&Expectation> {
        self.by_id.get(id)
    }

    pub fn get_mut(&mut self, id: &str) -> Option<&mut Expectation> {
        self.by_id.get_mut(id)
    }

    /// An expected event.
    pub fn expected(&self, order: &Order) -> Option<&Expected> {
        self.expected.get(order)
    }

    /// In no order.
    pub fn ids(&self) -> impl Iterator<Item = &Arc<str>> {
        self.by_id.keys()
    }

    /// Opens an expectation; events that came before it may satisfy it at once.
    pub fn open(&mut self, mut expectation: Expectation) {
        let id = expectation.settled.id.clone();
        for key in keys(&expectation.values) {
            for order in self.expected_by_key.get(&key).into_iter().flat_map(Few::iter) {
                if expectation.from <= order.0 && order.0 <= expectation.by {
                    expectation.settled.satisfied.insert(order.1.clone());
                }
            }
            self.by_key.entry(key).or_default().insert(id.clone());
        }
        self.by_id.insert(id, expectation);
    }

    /// Closes an expectation.
    pub fn close(&mut self, id: &str) -> Option<Expectation> {
        let expectation = self.by_id.remove(id)?;
        for key in keys(&expectation.values) {
            if let Some(ids) = self.by_key.get_mut(&key) {
                ids.remove(id);
                if ids.is_empty() {
                    self.by_key.remove(&key);
                }
            }
        }
        Some(expectation)
    }

    /// Adds an expected event. The expectations that it satisfies.
    pub fn expect(&mut self, event: Expected) -> BTreeSet<Arc<str>> {
        let order = (event.time, event.uid.clone());
        let mut satisfied = BTreeSet::new();
        for key in keys(&event.values) {
            for id in self.by_key.get(&key).into_iter().flat_map(Few::iter) {
                let Some(e) = self.by_id.get_mut(id) else { continue };
                if e.from <= event.time && event.time <= e.by {
                    e.settled.satisfied.insert(event.uid.clone());
                    satisfied.insert(id.clone());
                }
            }
            self.expected_by_key.entry(key).or_default().insert(order.clone());
        }
        self.until.entry(event.expires).or_default().push(order.clone());
        self.expected.insert(order, event);
        satisfied
    }

    /// Whether no expected event is forgotten at that moment yet.
    pub fn is_first_until(&self, at: Millis) -> bool {
        !self.until.contains_key(&at)
    }

    /// Forgets the expected events whose time is over by `now`.
    pub fn forget_until(&mut self, now: Millis) -> Vec<Order> {
        let mut gone = Vec::new();
        while let Some(first) = self.until.first_entry().filter(|first| *first.key() <= now) {
            for order in first.remove() {
                if self.expected.get(&order).is_some_and(|event| event.expires <= now) {
                    self.forget(&order);
                    gone.push(order);
                }
            }
        }
        gone
    }

    /// Takes an expected event out, because its rule does not fire for it any more. The expectations that it
    /// satisfied.
    pub fn unexpect(&mut self, order: &Order) -> BTreeSet<Arc<str>> {
        let Some(event) = self.forget(order) else {
            return BTreeSet::new();
        };
        let mut unsatisfied = BTreeSet::new();
        for key in keys(&event.values) {
            for id in self.by_key.get(&key).into_iter().flat_map(Few::iter) {
                if self
                    .by_id
                    .get_mut(id)
                    .is_some_and(|e| e.settled.satisfied.remove(&event.uid))
                {
                    unsatisfied.insert(id.clone());
                }
            }
        }
        unsatisfied
    }

    /// Forgets an expected event; what it satisfied stays so.
    fn forget(&mut self, order: &Order) -> Option<Expected> {
        let event = self.expected.remove(order)?;
        for key in keys(&event.values) {
            if let Some(orders) = self.expected_by_key.get_mut(&key) {
                orders.remove(order);
                if orders.is_empty() {
                    self.expected_by_key.remove(&key);
                }
            }
        }
        Some(event)
    }
}

/// The span of an expectation in this scope; `None` where the deadline has no value.
pub(super) fn span(absence: &Absence, scope: &Scope<'_>) -> Option<(Millis, Millis)> {
    let by = resolve_moment(&absence.by, scope)?;
    let from = match &absence.from {
        Some(from) => resolve_moment(from, scope)?,
        None => by.plus_ms(-FROM_DEFAULT_MS),
    };
    Some((from, by))
}

/// The values that each matching field may equal.
pub(super) fn matching(absence: &Absence, scope: &Scope<'_>) -> Vec<Vec<String>> {
    absence
        .matching
        .iter()
        .map(|(_, value): &(_, Value)| key_texts(value, scope))
        .collect()
}

pub(super) fn rows_only<'a>(aliases: &'a Aliases, tables: &'a Tables) -> Scope<'a> {
    Scope {
        event: None,
        aliases,
        row: None,
        count: None,
        zone: tables.zone(),
        calendar: tables.calendar(),
    }
}

/// Every combination of rows that `lookups` joins.
pub(super) fn each(
    absence: &Absence,
    lookups: &[Lookup],
    tables: &Tables,
    gap: &mut dyn FnMut(Gap),
    open: &mut dyn FnMut(Found, Millis, Millis, Vec<Vec<String>>),
) {
    // Rows are valid at the deadline; the first table's own row usually gives it, so that is asked row by row.
    let at = |lookup: &Lookup, aliases: &Aliases| {
        if lookup.ever {
            return None;
        }
        resolve_moment(lookup.at.as_ref().unwrap_or(&absence.by), &rows_only(aliases, tables))
    };
    combine(lookups, tables, &at, gap, &mut |found| {
        let scope = rows_only(&found.aliases, tables);
        let Some((from, by)) = span(absence, &scope) else {
            return false;
        };
        open(found.clone(), from, by, matching(absence, &scope));
        true
    });
}

/// The moment at which the rows that a lookup joins have to be valid, it being `now`.
pub(super) fn moment(tables: &Tables, now: Millis) -> impl Fn(&Lookup, &Aliases) -> Option<Millis> {
    move |lookup, aliases| match &lookup.at {
        _ if lookup.ever => None,
        Some(at) => resolve_moment(at, &rows_only(aliases, tables)),
        None => Some(now),
    }
}

/// A value as text, where it is one or there is something to refer to.
pub(super) fn text(value: &Value, scope: &Scope<'_>) -> Option<String> {
    match value {
        Value::Reference(_) | Value::First(_) => {
            let items = resolve_first(value.references(), scope);
            items.first().map(|i| i.text().into_owned())
        }
        Value::Literal(Literal::Text { raw, .. }) => Some(raw.clone()),
        Value::Literal(Literal::Number(n)) => Some(n.to_string()),
        Value::Literal(_) => None,
    }
}

/// Every combination of rows that `lookups` joins, as many as may be taken; `at` is when rows have to be valid.
pub(super) fn combine(
    lookups: &[Lookup],
    tables: &Tables,
    at: &dyn Fn(&Lookup, &Aliases) -> Option<Millis>,
    gap: &mut dyn FnMut(Gap),
    take: &mut dyn FnMut(&Found) -> bool,
) {
    let mut left = OPEN_MAX;
    join(lookups, tables, at, &Found::default(), &mut left, gap, take);
}

fn join(
    lookups: &[Lookup],
    tables: &Tables,
    moment: &dyn Fn(&Lookup, &Aliases) -> Option<Millis>,
    found: &Found,
    left: &mut usize,
    gap: &mut dyn FnMut(Gap),
    take: &mut dyn FnMut(&Found) -> bool,
) {
    if *left == 0 {
        return;
    }
    let Some((lookup, rest)) = lookups.split_first() else {
        *left -= usize::from(take(found));
        return;
    };
    let here = rows_only(&found.aliases, tables);
    let at = |aliases: &Aliases| moment(lookup, aliases);
    let known = at(&found.aliases);
    let picked = match reference_rows(tables, lookup, known, &here) {
        Ok(picked) => Some(picked),
        Err(missing) => {
            gap(missing);
            None
        }
    };
    let bind = |table: &crate::reference::Table, row: usize| {
        let mut next = found.clone();
        if let Some(alias) = &lookup.alias {
            next.aliases.insert(alias.clone(), table.rows()[row].clone());
        }
        next.rows.push(table.cite(row));
        next
    };
    match (lookup.expect, picked) {
        (Expect::None, Some((_, rows))) if rows.is_empty() => join(rest, tables, moment, found, left, gap, take),
        (Expect::None, _) | (Expect::Some, None) => {}
        (Expect::Any, None) => join(rest, tables, moment, found, left, gap, take),
        (Expect::Any, Some((_, rows))) if rows.is_empty() => join(rest, tables, moment, found, left, gap, take),
        (Expect::Some | Expect::Any, Some((table, rows))) => {
            for row in rows {
                let next = bind(&table, row);
                let valid = known.is_some() || at(&next.aliases).is_none_or(|at| table.valid(row, at));
                if valid {
                    join(rest, tables, moment, &next, left, gap, take);
                }
            }
        }
    }
}
