//! Groups events for the detector: one batch for each source, log source and class.

use std::collections::HashMap;
use std::sync::Arc;

use model::{Batch, Event, LedgerIndex, LogSource, Millis, OpenBatch, Plan};

/// An event, and where it belongs: its record's leaf, when that was received, its source.
pub type Item<'a> = (LedgerIndex, Millis, &'a Arc<str>, Event<'a>);

/// The batches of a group in the making: one for each source, log source and class, in the order of their first
/// events. An event is put into columns at once, so that nothing of it is kept.
#[derive(Debug, Default)]
pub struct Batcher {
    open: Vec<OpenBatch>,
    /// The one that took the last event: records of a kind come in a row.
    last: usize,
    /// By kind, where there are too many to look through.
    places: HashMap<(Arc<str>, LogSource, u32), usize>,
}

/// Batches that are looked through one by one.
const LOOKED_THROUGH_MAX: usize = 16;

impl Batcher {
    /// None yet.
    #[must_use]
    pub fn new() -> Batcher {
        Batcher::default()
    }

    /// Adds an event of a record of `source` at leaf `index`; they come in ledger order, and with one plan.
    pub fn push(
        &mut self,
        plan: &mut Plan,
        index: LedgerIndex,
        received_at: Millis,
        source: &Arc<str>,
        event: &Event<'_>,
    ) {
        if self.open.get(self.last).is_none_or(|open| !open.takes(source, event)) {
            self.last = self.place(plan, source, event);
        }
        plan.add(&mut self.open[self.last], index, received_at, event);
    }

    fn place(&mut self, plan: &Plan, source: &Arc<str>, event: &Event<'_>) -> usize {
        let new = self.open.len();
        if new <= LOOKED_THROUGH_MAX
            && let Some(place) = self.open.iter().position(|open| open.takes(source, event))
        {
            return place;
        }
        let kind = (source.clone(), event.logsource.to_logsource(), event.class_uid);
        let place = *self.places.entry(kind).or_insert(new);
        if place == new {
            self.open.push(plan.open(source, event));
        }
        place
    }

    /// The batches, each in ledger order.
    #[must_use]
    pub fn finish(self, plan: &mut Plan) -> Vec<Batch> {
        self.open.into_iter().map(|open| plan.close(open)).collect()
    }
}

/// The batches of `items`, which are in ledger order.
#[must_use]
pub fn batches(items: &[Item<'_>], plan: &mut Plan) -> Vec<Batch> {
    let mut batcher = Batcher::new();
    for (index, received_at, source, event) in items {
        batcher.push(plan, *index, *received_at, source, event);
    }
    batcher.finish(plan)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Arena, Cells, Field, Labels, Object, Value, Wanted, known};

    fn event<'a>(arena: &'a Arena, service: &'a str, class_uid: u32) -> Event<'a> {
        let mut cells = Cells::new(arena, 1);
        cells.put(known::CLASS_UID, Value::from(class_uid));
        let (cells, outline) = cells.finish();
        Event {
            arena,
            uid: "t/0/0",
            class_uid,
            time: Millis(0),
            cells,
            outline,
            unmapped: Object::default(),
            native: Object::default(),
            system: None,
            commands: &[],
            logsource: Labels::new("p", "", service),
        }
    }

    #[test]
    fn events_meet_those_of_their_kind_in_order() {
        let arena = Arena::new();
        let sources: [Arc<str>; 2] = ["a".into(), "b".into()];
        let items: Vec<Item<'_>> = [
            ("b", "x", 1),
            ("a", "x", 1),
            ("b", "x", 2),
            ("b", "x", 1),
            ("b", "y", 1),
        ]
        .into_iter()
        .enumerate()
        .map(|(i, (source, service, class))| {
            let event = event(&arena, service, class);
            (
                LedgerIndex(i as u64),
                Millis(0),
                &sources[usize::from(source == "b")],
                event,
            )
        })
        .collect();
        let mut plan = Plan::new(&Wanted::from([Field::ocsf("class_uid")]));
        let got: Vec<_> = batches(&items, &mut plan)
            .iter()
            .map(|b| {
                assert!(b.column(&Field::ocsf("class_uid")).is_some());
                (
                    b.source.to_string(),
                    b.class_uid,
                    b.rows.iter().map(|r| r.index.0).collect::<Vec<_>>(),
                )
            })
            .collect();
        let want = [
            ("b", 1, vec![0, 3]),
            ("a", 1, vec![1]),
            ("b", 2, vec![2]),
            ("b", 1, vec![4]),
        ];
        assert_eq!(got, want.map(|(s, c, r)| (s.to_owned(), c, r)));
    }
}
