//! An event as it lies in a group of a correlation: all of it in one block, since there may be millions.
//!
//! The block is written as the state's values are ([`super::bytes`]): when it was received, as a difference from its time;
//! its record's leaf; its uid; then the values of the fields that are kept, up to the last that has any.

use std::sync::Arc;

use model::{LedgerIndex, Millis};

use super::bytes::{Reader, Writer};
use super::fact::{Captured, Fact, Order, Values};

/// An event in one block.
#[derive(Debug)]
pub(super) struct Kept {
    captured: Arc<Captured>,
    time: Millis,
    block: Box<[u8]>,
}

impl Kept {
    pub fn new(fact: &Fact) -> Kept {
        let mut packing = Packing::new(
            Vec::with_capacity(128),
            &fact.uid,
            (fact.index, fact.time, fact.received_at),
        );
        for values in fact.lists() {
            packing.field(values.iter().map(|v| &**v));
        }
        packing.finish(fact.captured()).0
    }

    /// The event, unpacked.
    pub fn fact(&self) -> Arc<Fact> {
        let mut from = Reader(&self.block);
        let (received_at, index) = self.head(&mut from);
        let uid = from.shared().unwrap_or_default();
        let mut values = Values::with_room(self.captured.fields().len());
        while let Some(n) = from.count() {
            values.push(|texts| texts.extend((0..n).filter_map(|_| from.shared())));
        }
        let place = (LedgerIndex(index), self.time, received_at);
        Arc::new(Fact::unpacked(self.captured.clone(), uid, place, values))
    }

    /// Writes the event as a [`super::fact::FactRow`] is written.
    pub fn put(&self, to: &mut Writer) {
        let mut from = Reader(&self.block);
        let (received_at, index) = self.head(&mut from);
        to.0.extend(self.captured.rule.0.to_le_bytes());
        to.text(from.text().unwrap_or_default());
        to.number(index);
        to.time(self.time);
        to.time(received_at);
        let fields = self.captured.fields().len();
        to.number(fields as u64);
        to.0.extend(from.0);
        let mut there = 0;
        while let Some(n) = from.count() {
            for _ in 0..n {
                from.text();
            }
            there += 1;
        }
        (there..fields).for_each(|_| to.number(0));
    }

    fn head(&self, from: &mut Reader<'_>) -> (Millis, u64) {
        let after = from.signed().unwrap_or_default();
        let index = from.number().unwrap_or_default();
        (Millis(self.time.0.wrapping_add(after)), index)
    }

    pub fn time(&self) -> Millis {
        self.time
    }

    pub fn received_at(&self) -> Millis {
        self.head(&mut Reader(&self.block)).0
    }

    pub fn uid(&self) -> &str {
        let mut from = Reader(&self.block);
        self.head(&mut from);
        from.text().unwrap_or_default()
    }

    pub fn order(&self) -> Order {
        (self.time, self.uid().into())
    }

    /// Its uid; and whose event it is, as [`Fact::account`] says.
    pub fn uid_and_account(&self) -> (&str, Option<&str>) {
        let mut from = Reader(&self.block);
        self.head(&mut from);
        (from.text().unwrap_or_default(), self.account_of(from))
    }

    /// Of whom it is, in the values of its fields.
    fn account_of<'a>(&self, mut from: Reader<'a>) -> Option<&'a str> {
        let fields = self.captured.account_fields();
        let mut best: Option<(usize, &str)> = None;
        for field in 0..=fields.iter().flatten().copied().max()? {
            let Some(n) = from.count() else { break };
            let rank = fields.iter().position(|f| *f == Some(field));
            for _ in 0..n {
                let text = from.text()?;
                if let Some(rank) = rank
                    && !text.is_empty()
                    && best.is_none_or(|(before, _)| rank < before)
                {
                    best = Some((rank, text));
                }
            }
        }
        best.map(|(_, text)| text)
    }

    /// Bytes of memory, about.
    pub fn bytes(&self) -> usize {
        16 + self.block.len().next_multiple_of(16)
    }
}

/// An event that is being packed.
pub(super) struct Packing {
    to: Writer,
    time: Millis,
    /// Where the last field ends that has values.
    end: usize,
}

impl Packing {
    /// An event without values yet: its uid, where it stands in the ledger, when it happened, when it was received. It is
    /// packed in `room`, which [`Packing::finish`] gives back.
    pub fn new(mut room: Vec<u8>, uid: &str, (index, time, received_at): (LedgerIndex, Millis, Millis)) -> Packing {
        room.clear();
        let mut to = Writer(room);
        // Times are far from the ends of 64 bits; where they are not, the sum comes out right all the same.
        to.signed(received_at.0.wrapping_sub(time.0));
        to.number(index.0);
        to.text(uid);
        let end = to.0.len();
        Packing { to, time, end }
    }

    /// Adds the values of the next field.
    pub fn field<'v>(&mut self, values: impl ExactSizeIterator<Item = &'v str>) {
        let n = values.len();
        self.to.number(n as u64);
        values.for_each(|v| self.to.text(v));
        if n > 0 {
            self.end = self.to.0.len();
        }
    }

    /// The next field has no values.
    pub fn nothing(&mut self) {
        self.to.number(0);
    }

    pub fn finish(self, captured: &Arc<Captured>) -> (Kept, Vec<u8>) {
        let kept = Kept {
            captured: captured.clone(),
            time: self.time,
            block: self.to.0[..self.end].into(),
        };
        (kept, self.to.0)
    }
}

#[cfg(test)]
mod tests {
    use model::Namespace;
    use proptest::prelude::*;

    use super::*;
    use crate::engine::plan::{StateId, default_fields};
    use crate::policy::EventField;

    proptest! {
        #[test]
        fn what_is_kept_of_an_event_is_the_event(
            uid in "[a-z/#0-9日]{0,12}",
            index in any::<u64>(),
            time in any::<i64>(),
            received_at in any::<i64>(),
            values in prop::collection::vec(prop::collection::vec("[ab日]{0,3}", 0..3), 6..=6),
        ) {
            let own = ["a", "z"].map(|f| EventField::new(Namespace::Native, f));
            let captured = Captured::new(StateId(7), Namespace::Native, default_fields().iter().cloned().chain(own));
            let values = values.iter().map(|of| of.iter().map(|v| Arc::from(v.as_str())).collect::<Vec<_>>()).collect();
            let place = (LedgerIndex(index), Millis(time), Millis(received_at));
            let fact = Fact::unpacked(Arc::new(captured), uid.as_str().into(), place, values);
            let kept = Kept::new(&fact);
            let again = kept.fact();
            prop_assert_eq!(&*again, &fact);
            prop_assert_eq!((again.index, again.time, again.received_at), place);
            let (mut plain, mut written) = (Writer(Vec::new()), Writer(Vec::new()));
            fact.put(&mut plain);
            kept.put(&mut written);
            prop_assert_eq!(plain.0, written.0);
            prop_assert_eq!(kept.uid_and_account(), (&*fact.uid, fact.account().map(|a| &**a)));
            prop_assert_eq!((kept.uid(), kept.order(), kept.received_at()), (&*fact.uid, fact.order(), fact.received_at));
        }
    }
}
