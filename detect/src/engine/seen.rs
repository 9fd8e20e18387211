//! An event in the row of a batch, of which only what is asked is read: most events that a rule matches satisfy none of its joins.

use std::cell::OnceCell;
use std::sync::Arc;

use model::{Batch, Millis};
use smallvec::SmallVec;

use super::fact::{Bound, Captured, Fact, Mask};
use crate::policy::EventField;
use crate::reference::EventValues;

/// Values of one field.
type Texts = SmallVec<[Arc<str>; 1]>;

/// An event that is not kept yet.
pub(super) struct Seen<'a> {
    captured: &'a Arc<Captured>,
    batch: &'a Batch,
    bound: &'a Bound,
    row: usize,
    mask: Mask,
    values: SmallVec<[OnceCell<Texts>; 16]>,
}

impl<'a> Seen<'a> {
    /// The event in a row of a batch.
    pub fn new(captured: &'a Arc<Captured>, batch: &'a Batch, bound: &'a Bound, row: usize, mask: Mask) -> Seen<'a> {
        Seen {
            captured,
            batch,
            bound,
            row,
            mask,
            values: (0..captured.fields().len()).map(|_| OnceCell::new()).collect(),
        }
    }

    /// The event as it is kept.
    pub fn keep(&self, uid: Arc<str>) -> Arc<Fact> {
        Arc::new(self.captured.read(self.batch, self.bound, self.row, uid, self.mask))
    }
}

impl EventValues for Seen<'_> {
    fn time(&self) -> Millis {
        self.batch.rows[self.row].time
    }
    fn received_at(&self) -> Millis {
        self.batch.rows[self.row].received_at
    }
    fn values(&self, field: &EventField) -> &[Arc<str>] {
        let Some(at) = self.captured.fields().iter().position(|f| f == field) else {
            return &[];
        };
        self.values[at].get_or_init(|| {
            let mut texts = Texts::new();
            let each = &mut |text: std::borrow::Cow<'_, str>| texts.push(text.as_ref().into());
            self.bound.each(self.batch, self.row, at, self.mask, each);
            texts
        })
    }
}
