//! Groups events for the detector: one batch for each source, log source and class.

use std::collections::HashMap;
use std::sync::Arc;

use model::{Batch, Event, Labels, LedgerIndex, Millis, Plan};

/// An event, and where it belongs: its record's leaf, when that was received, its source.
pub type Item<'a> = (LedgerIndex, Millis, &'a Arc<str>, Event<'a>);

/// A source and its events of one kind.
type Group<'i, 'a> = (&'i Arc<str>, Vec<(LedgerIndex, Millis, &'i Event<'a>)>);

/// The batches of `items`, which are in ledger order: one for each source, log source and class, in the order of
/// their first events; each in ledger order.
#[must_use]
pub fn batches(items: &[Item<'_>], plan: &mut Plan) -> Vec<Batch> {
    let mut places: HashMap<(&str, Labels<'_>, u32), usize> = HashMap::new();
    let mut groups: Vec<Group<'_, '_>> = Vec::new();
    // Records of a kind come in a row.
    let mut last: Option<((&str, Labels<'_>, u32), usize)> = None;
    for (index, received_at, source, event) in items {
        let kind = (&***source, event.logsource, event.class_uid);
        let place = match last {
            Some((there, place)) if there == kind => place,
            _ => *places.entry(kind).or_insert_with(|| {
                groups.push((source, Vec::new()));
                groups.len() - 1
            }),
        };
        last = Some((kind, place));
        groups[place].1.push((*index, *received_at, event));
    }
    groups
        .iter()
        .map(|(source, events)| plan.batch(source, events))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Arena, Cells, Field, Object, Value, Wanted, known};

    fn event<'a>(arena: &'a Arena, service: &'a str, class_uid: u32) -> Event<'a> {
        let mut cells = Cells::new(arena, 1);
        cells.put(known::CLASS_UID, Value::from(class_uid));
        Event {
            arena,
            uid: "t/0/0",
            class_uid,
            time: Millis(0),
            cells: cells.finish(),
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
