//! An event as the engine keeps it: its place, its times, and the values that somebody downstream reads.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use model::{Batch, Column, Coordinate, Field, LedgerIndex, Millis, Namespace};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::bytes::{Bytes, Reader, Writer};
use super::kept::Packing;
use super::plan::{StateId, default_fields};
use crate::policy::{EventField, Reference, Root};
use crate::reference::{EventValues, Scope, resolve};

/// Values of one field of one event; those beyond are left out.
pub(super) const VALUES_MAX: usize = 1_000;

/// The fields that are kept of a rule's events, in the order of their places, and the columns where they are read.
#[derive(Debug)]
pub(super) struct Captured {
    /// The rule, as the state names it.
    pub rule: StateId,
    /// Which names the rule uses.
    namespace: Namespace,
    fields: Vec<EventField>,
    columns: Vec<SmallVec<[Field; 2]>>,
    /// Where among the fields those are that tell whose event it is, the first of which counts.
    accounts: [Option<usize>; 2],
    /// Where among the fields those are that the rule's joins read.
    asked: Vec<usize>,
    /// Where among the fields those are that the rule's joins give, and what each is.
    joined: Vec<(usize, Reference)>,
}

impl Captured {
    pub fn new(rule: StateId, namespace: Namespace, fields: impl IntoIterator<Item = EventField>) -> Captured {
        let mut fields: Vec<EventField> = fields.into_iter().collect();
        fields.sort();
        fields.dedup();
        let columns = fields.iter().map(EventField::columns).collect();
        let [actor, user, ..] = default_fields();
        let joined = |(at, field): (usize, &EventField)| {
            let (alias, column) = field.join()?;
            let (alias, column) = (alias.into(), column.into());
            let root = Root::Alias { alias, column };
            Some((
                at,
                Reference {
                    root,
                    offset_ms: 0,
                    working_days: 0,
                    plus: 0,
                },
            ))
        };
        Captured {
            joined: fields.iter().enumerate().filter_map(joined).collect(),
            asked: Vec::new(),
            rule,
            namespace,
            accounts: [actor, user].map(|f| fields.binary_search(f).ok()),
            fields,
            columns,
        }
    }

    /// With these fields that the rule's joins read.
    #[must_use]
    pub fn asking<'f>(mut self, fields: impl Iterator<Item = &'f EventField>) -> Captured {
        self.asked = fields.filter_map(|f| self.place(f)).collect();
        self.asked.sort_unstable();
        self.asked.dedup();
        self
    }

    /// With these fields behind the others, where they are not among them. Facts that an earlier version wrote have no values of them: what
    /// is added to a rule's fields without another text of the rule is added here.
    #[must_use]
    pub fn and<'f>(mut self, more: impl Iterator<Item = &'f EventField>) -> Captured {
        for field in more {
            if self.place(field).is_none() {
                self.columns.push(field.columns());
                self.fields.push(field.clone());
            }
        }
        self
    }

    /// Where among the fields those are that the rule's joins read.
    pub fn asked(&self) -> &[usize] {
        &self.asked
    }

    /// The fields, in order.
    pub fn fields(&self) -> &[EventField] {
        &self.fields
    }

    /// Where among the fields one is.
    pub fn place(&self, field: &EventField) -> Option<usize> {
        // Few, and most of another length: quicker looked through than searched.
        self.fields.iter().position(|f| f == field)
    }

    pub fn account_fields(&self) -> [Option<usize>; 2] {
        self.accounts
    }

    pub fn columns(&self) -> impl Iterator<Item = &Field> {
        self.columns.iter().flatten()
    }

    /// Where batches have the fields whose columns stand in these places.
    pub fn places(&self, places: &HashMap<Field, usize>) -> Bound {
        let find = |fields: &SmallVec<[Field; 2]>| fields.iter().filter_map(|f| places.get(f).copied()).collect();
        Bound(self.columns.iter().map(find).collect())
    }

    /// The fact of a row of a batch, whose uid is `uid`; `mask` hides secrets in what is kept.
    pub fn read(self: &Arc<Captured>, batch: &Batch, bound: &Bound, row: usize, uid: Arc<str>, mask: Mask) -> Fact {
        let place = &batch.rows[row];
        let mut values = Values::with_room(bound.0.len());
        for field in 0..bound.0.len() {
            values.push(|texts| bound.each(batch, row, field, mask, &mut |v| texts.push(v.as_ref().into())));
        }
        Fact {
            captured: self.clone(),
            uid,
            index: place.index,
            time: place.time,
            received_at: place.received_at,
            values,
        }
    }
}

/// Hides secrets in a text that is kept.
pub type Mask = fn(&str) -> Cow<'_, str>;

/// Where batches have the fields of a rule, as they are asked.
#[derive(Debug, Default)]
pub(super) struct Bound(Vec<SmallVec<[usize; 2]>>);

impl Bound {
    /// The places of the columns of a field.
    pub fn of(&self, field: usize) -> &[usize] {
        self.0.get(field).map_or(&[], |places| places.as_slice())
    }

    /// What is kept of the values of a field in a row: those of the first of its columns that has any.
    pub fn each<'b>(&self, batch: &'b Batch, row: usize, field: usize, mask: Mask, each: &mut dyn FnMut(Cow<'b, str>)) {
        let mut n = 0;
        for column in self.0[field].iter().filter_map(|place| batch.column_at(*place)) {
            column.for_each(row, |v| {
                if n < VALUES_MAX {
                    each(mask(v));
                }
                n += 1;
            });
            if n > 0 {
                break;
            }
        }
    }

    /// What is kept of the first value of a field in a row.
    pub fn first<'b>(&self, batch: &'b Batch, row: usize, field: usize, mask: Mask) -> Option<Cow<'b, str>> {
        let mut columns = self.of(field).iter().filter_map(|place| batch.column_at(*place));
        columns.find_map(|column| column.first(row)).map(mask)
    }

    /// Packs what is kept of the values of each field in a row, in their order.
    pub fn pack(&self, batch: &Batch, row: usize, mask: Mask, packing: &mut Packing) {
        for (field, places) in self.0.iter().enumerate() {
            let mut columns = places.iter().filter_map(|place| batch.column_at(*place));
            match (columns.next(), columns.next()) {
                (None, _) => packing.nothing(),
                (Some(Column::One(_) | Column::Same(..)), None) => {
                    let first = self.first(batch, row, field, mask);
                    packing.field(first.iter().map(|v| &**v));
                }
                _ => {
                    let mut values: SmallVec<[Cow<'_, str>; 4]> = SmallVec::new();
                    self.each(batch, row, field, mask, &mut |v| values.push(v));
                    packing.field(values.iter().map(|v| &**v));
                }
            }
        }
    }
}

/// The values of all fields behind one another, and where those of each end.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Values {
    texts: SmallVec<[Arc<str>; 4]>,
    ends: SmallVec<[u32; 12]>,
}

impl Values {
    /// Room for the values of so many fields.
    pub fn with_room(fields: usize) -> Values {
        Values {
            texts: SmallVec::new(),
            ends: SmallVec::with_capacity(fields),
        }
    }

    /// Adds the next field, whose values `put` puts behind the others.
    pub fn push(&mut self, put: impl FnOnce(&mut SmallVec<[Arc<str>; 4]>)) {
        put(&mut self.texts);
        self.ends.push(self.texts.len() as u32);
    }

    /// So many fields; those that are missing have no values.
    fn fill(&mut self, fields: usize) {
        self.ends.resize(fields, self.texts.len() as u32);
    }

    fn of(&self, field: usize) -> &[Arc<str>] {
        let start = match field.checked_sub(1) {
            Some(before) => self.ends.get(before).copied().unwrap_or(0),
            None => 0,
        };
        let end = self.ends.get(field).copied().unwrap_or(start);
        self.texts.get(start as usize..end as usize).unwrap_or(&[])
    }

    /// The values of each field.
    pub fn lists(&self) -> impl Iterator<Item = &[Arc<str>]> {
        (0..self.ends.len()).map(|field| self.of(field))
    }
}

impl FromIterator<Vec<Arc<str>>> for Values {
    fn from_iter<I: IntoIterator<Item = Vec<Arc<str>>>>(lists: I) -> Values {
        let mut values = Values::default();
        for list in lists {
            values.push(|texts| texts.extend(list));
        }
        values
    }
}

/// An event, as far as it is needed.
#[derive(Debug)]
pub(super) struct Fact {
    captured: Arc<Captured>,
    pub uid: Arc<str>,
    pub index: LedgerIndex,
    pub time: Millis,
    pub received_at: Millis,
    values: Values,
}

impl PartialEq for Fact {
    fn eq(&self, other: &Fact) -> bool {
        self.uid == other.uid && self.values == other.values
    }
}

/// Facts in the order of their events, whatever the order of arrival.
pub(super) type Order = (Millis, Arc<str>);

impl Fact {
    /// A fact of its parts: where it stands in the ledger, when it happened, when it was received; and the values of its
    /// fields, in their order.
    pub fn unpacked(
        captured: Arc<Captured>,
        uid: Arc<str>,
        (index, time, received_at): (LedgerIndex, Millis, Millis),
        mut values: Values,
    ) -> Fact {
        values.fill(captured.fields.len());
        Fact {
            captured,
            uid,
            index,
            time,
            received_at,
            values,
        }
    }

    pub fn captured(&self) -> &Arc<Captured> {
        &self.captured
    }

    /// The values of all fields that are kept, in their order.
    pub fn lists(&self) -> impl Iterator<Item = &[Arc<str>]> {
        self.values.lists()
    }

    pub fn order(&self) -> Order {
        (self.time, self.uid.clone())
    }

    /// The record's id. Every uid is a record id, but for a hostile or broken batch, which yields none.
    pub fn record(&self) -> Option<Coordinate> {
        self.uid.parse().ok()
    }

    /// Whose event it is, where the policy does not say: who did it, else to whom or as whom it was done.
    pub fn account(&self) -> Option<&Arc<str>> {
        let fields = self.captured.accounts.into_iter().flatten();
        let mut values = fields.flat_map(|f| self.values.of(f));
        values.find(|v| !v.is_empty())
    }

    /// Which names its rule uses.
    pub fn namespace(&self) -> Namespace {
        self.captured.namespace
    }

    /// When it counts as having been: its time, or when it was received where that is later; an event from
    /// further in the future than the lateness counts as of its receipt plus that, lest it is kept for ever.
    pub fn settled(&self, lateness_ms: i64) -> Millis {
        settled(self.time, self.received_at, lateness_ms, 0)
    }

    /// Whether somebody reads of it what its rule's joins found.
    pub fn is_joined(&self) -> bool {
        !self.captured.joined.is_empty()
    }

    /// The same event with what its rule's joins found, where somebody reads that of it.
    pub fn with_joined(&self, scope: &Scope<'_>) -> Fact {
        let mut values = Values::with_room(self.captured.fields.len());
        for at in 0..self.captured.fields.len() {
            let joined = self.captured.joined.iter().find(|(place, _)| *place == at);
            values.push(|texts| match joined {
                Some((_, reference)) => {
                    let items = resolve(reference, scope);
                    let found = items.iter().map(|i| i.text()).filter(|text| !text.is_empty());
                    texts.extend(found.take(VALUES_MAX).map(|text| Arc::from(&*text)));
                }
                None => texts.extend(self.values.of(at).iter().cloned()),
            });
        }
        Fact {
            captured: self.captured.clone(),
            uid: self.uid.clone(),
            index: self.index,
            time: self.time,
            received_at: self.received_at,
            values,
        }
    }

    /// The same event, as of another moment.
    pub fn at(&self, time: Millis) -> Fact {
        Fact {
            captured: self.captured.clone(),
            uid: self.uid.clone(),
            index: self.index,
            time,
            received_at: self.received_at,
            values: self.values.clone(),
        }
    }

    /// Writes it as a [`FactRow`] is written.
    pub fn put(&self, to: &mut Writer) {
        to.0.extend(self.captured.rule.0.to_le_bytes());
        to.text(&self.uid);
        to.number(self.index.0);
        to.time(self.time);
        to.time(self.received_at);
        to.number(self.values.ends.len() as u64);
        for values in self.values.lists() {
            to.number(values.len() as u64);
            values.iter().for_each(|v| to.text(v));
        }
    }

    pub fn write(&self) -> FactRow {
        FactRow {
            rule: self.captured.rule,
            uid: self.uid.clone(),
            index: self.index,
            time: self.time,
            received_at: self.received_at,
            values: self.values.lists().map(<[_]>::to_vec).collect(),
        }
    }
}

/// As [`Fact::settled`], of an event of these times, and of what is complete `more_ms` after it.
pub(super) fn settled(time: Millis, received_at: Millis, lateness_ms: i64, more_ms: i64) -> Millis {
    time.plus_ms(more_ms)
        .max(received_at)
        .min(received_at.plus_ms(lateness_ms).plus_ms(more_ms))
}

impl EventValues for Fact {
    fn time(&self) -> Millis {
        self.time
    }
    fn received_at(&self) -> Millis {
        self.received_at
    }
    fn values(&self, field: &EventField) -> &[Arc<str>] {
        let at = self.captured.place(field);
        at.map_or(&[], |at| self.values.of(at))
    }
}

/// A fact as the state has it.
#[derive(Serialize, Deserialize)]
pub(super) struct FactRow {
    rule: StateId,
    uid: Arc<str>,
    index: LedgerIndex,
    time: Millis,
    received_at: Millis,
    values: Vec<Vec<Arc<str>>>,
}

impl Bytes for FactRow {
    fn take(from: &mut Reader<'_>) -> Option<FactRow> {
        let (rule, rest) = from.0.split_at_checked(8)?;
        from.0 = rest;
        let rule = StateId(u64::from_le_bytes(rule.try_into().ok()?));
        let uid = from.shared()?;
        let index = LedgerIndex(from.number()?);
        let (time, received_at) = (from.time()?, from.time()?);
        let mut values = Vec::with_capacity(from.count()?);
        for _ in 0..values.capacity() {
            let n = from.count()?;
            values.push((0..n).map(|_| from.shared()).collect::<Option<Vec<_>>>()?);
        }
        Some(FactRow {
            rule,
            uid,
            index,
            time,
            received_at,
            values,
        })
    }
}

impl FactRow {
    /// `None` where its rule is not in the set of policies any more, or is another version.
    pub fn read(self, captured: &BTreeMap<StateId, Arc<Captured>>) -> Option<Arc<Fact>> {
        let captured = captured.get(&self.rule)?.clone();
        Some(Arc::new(Fact {
            captured,
            uid: self.uid,
            index: self.index,
            time: self.time,
            received_at: self.received_at,
            values: self.values.into_iter().collect(),
        }))
    }
}

#[cfg(test)]
impl Fact {
    /// A fact of one OCSF field `v`, for tests.
    pub fn of(uid: &str, time: i64, values: &[&str]) -> Arc<Fact> {
        let captured = Captured::new(StateId(1), Namespace::Ocsf, [EventField::new(Namespace::Ocsf, "v")]);
        Arc::new(Fact {
            captured: Arc::new(captured),
            uid: uid.into(),
            index: LedgerIndex(0),
            time: Millis(time),
            received_at: Millis(time),
            values: [values.iter().map(|v| Arc::from(*v)).collect()].into_iter().collect(),
        })
    }
}
