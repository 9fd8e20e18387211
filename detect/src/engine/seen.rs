//! An event in the row of a batch, of which only what is asked is read, and once for all rules: several match most events that any
//! does, and of most of those events none of their joins holds.

use std::cell::{OnceCell, RefCell};
use std::sync::Arc;

use model::{Batch, Millis};
use smallvec::SmallVec;

use super::fact::{Bound, Captured, Fact, Mask, VALUES_MAX, Values};
use crate::policy::EventField;
use crate::reference::{Answer, EventValues};

/// What is kept of the values of one column.
type Texts = SmallVec<[Arc<str>; 1]>;

/// The event that is at hand.
pub(super) struct Event<'b> {
    batch: &'b Batch,
    row: usize,
    mask: Mask,
    uid: OnceCell<Arc<str>>,
    /// By the place of the column.
    texts: Vec<OnceCell<Texts>>,
    /// Which of them were read.
    read: RefCell<Vec<u32>>,
    /// What was answered to questions that several rules ask.
    answers: RefCell<Vec<(u32, Answer)>>,
}

impl<'b> Event<'b> {
    /// The event in a row of a batch; `mask` hides secrets in what is kept.
    pub fn new(batch: &'b Batch, row: usize, mask: Mask) -> Event<'b> {
        Event {
            batch,
            row,
            mask,
            uid: OnceCell::new(),
            texts: Vec::new(),
            read: RefCell::default(),
            answers: RefCell::default(),
        }
    }

    /// Turns to another event, or stays.
    pub fn turn_to(&mut self, batch: &'b Batch, row: usize) {
        if std::ptr::eq(self.batch, batch) && self.row == row {
            return;
        }
        (self.batch, self.row) = (batch, row);
        self.uid.take();
        self.answers.get_mut().clear();
        for at in self.read.get_mut().drain(..) {
            self.texts[at as usize].take();
        }
    }

    pub fn batch(&self) -> &'b Batch {
        self.batch
    }

    pub fn row(&self) -> usize {
        self.row
    }

    pub fn uid(&self) -> &Arc<str> {
        self.uid.get_or_init(|| self.batch.uid(self.row).into())
    }

    /// Room for what is read of every column.
    pub fn make_room(&mut self) {
        let columns = self.batch.places().len();
        if self.texts.len() < columns {
            self.texts.resize_with(columns, OnceCell::new);
        }
    }

    fn texts(&self, place: usize) -> &[Arc<str>] {
        let Some(texts) = self.texts.get(place) else {
            return &[];
        };
        texts.get_or_init(|| {
            self.read.borrow_mut().push(place as u32);
            let mut texts = Texts::new();
            if let Some(column) = self.batch.column_at(place) {
                column.for_each(self.row, |v| {
                    if texts.len() < VALUES_MAX {
                        texts.push((self.mask)(v).as_ref().into());
                    }
                });
            }
            texts
        })
    }

    /// What is kept of the values of a rule's field: those of the first of its columns that has any.
    fn values(&self, bound: &Bound, field: usize) -> &[Arc<str>] {
        let mut all = bound.of(field).iter().map(|place| self.texts(*place));
        all.find(|texts| !texts.is_empty()).unwrap_or(&[])
    }
}

/// The event as one rule sees it.
pub(super) struct Seen<'a> {
    event: &'a Event<'a>,
    captured: &'a Arc<Captured>,
    bound: &'a Bound,
}

impl<'a> Seen<'a> {
    /// An event with what a rule keeps of it. [`Event::make_room`] was called for it.
    pub fn new(event: &'a Event<'a>, captured: &'a Arc<Captured>, bound: &'a Bound) -> Seen<'a> {
        Seen { event, captured, bound }
    }

    /// The event as it is kept.
    pub fn keep(&self) -> Arc<Fact> {
        let fields = self.captured.fields().len();
        let mut values = Values::with_room(fields);
        for field in 0..fields {
            values.push(|texts| texts.extend(self.event.values(self.bound, field).iter().cloned()));
        }
        let row = &self.event.batch.rows[self.event.row];
        let place = (row.index, row.time, row.received_at);
        let uid = self.event.uid().clone();
        Arc::new(Fact::unpacked(self.captured.clone(), uid, place, values))
    }
}

impl Seen<'_> {
    /// Names what the rule's joins read of the event, beside its times.
    pub fn name_joined(&self, name: &mut Vec<u8>) {
        for field in self.captured.asked() {
            let values = self.event.values(self.bound, *field);
            name.push(values.len().min(255) as u8);
            for value in values {
                name.extend((value.len() as u32).to_le_bytes());
                name.extend(value.as_bytes());
            }
        }
    }
}

impl EventValues for Seen<'_> {
    fn time(&self) -> Millis {
        self.event.batch.rows[self.event.row].time
    }
    fn received_at(&self) -> Millis {
        self.event.batch.rows[self.event.row].received_at
    }
    fn values(&self, field: &EventField) -> &[Arc<str>] {
        let at = self.captured.place(field);
        at.map_or(&[], |at| self.event.values(self.bound, at))
    }
    fn answer(&self, question: u32) -> Option<Answer> {
        let answers = self.event.answers.borrow();
        let known = answers.iter().find(|(of, _)| *of == question);
        known.map(|(_, answer)| answer.clone())
    }
    fn remember(&self, question: u32, answer: &Answer) {
        self.event.answers.borrow_mut().push((question, answer.clone()));
    }
}
