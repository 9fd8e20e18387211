//! Groups events for the detector: one batch for each source, log source and class.

use std::collections::HashMap;
use std::sync::Arc;

use model::{Batch, Event, LedgerIndex, LogSource, Millis, Wanted};

/// A source and its events of one kind.
type Group<'a> = (&'a Arc<str>, Vec<(LedgerIndex, Millis, &'a Event)>);

/// The batches of `items`, which are in ledger order: one for each source, log source and class, in the order of
/// their first events; each in ledger order.
#[must_use]
pub fn batches(items: &[(LedgerIndex, Millis, Arc<str>, Event)], wanted: &Wanted) -> Vec<Batch> {
    let mut places: HashMap<(&str, &LogSource, u32), usize> = HashMap::new();
    let mut groups: Vec<Group<'_>> = Vec::new();
    for (index, received_at, source, event) in items {
        let place = *places
            .entry((source, &event.logsource, event.class_uid))
            .or_insert_with(|| {
                groups.push((source, Vec::new()));
                groups.len() - 1
            });
        groups[place].1.push((*index, *received_at, event));
    }
    groups
        .iter()
        .map(|(source, events)| Batch::build(source, events, wanted))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Field;
    use serde_json::{Map, json};

    fn event(service: &str, class_uid: u32) -> Event {
        let mut ocsf = Map::new();
        ocsf.insert("class_uid".into(), json!(class_uid));
        Event {
            uid: "t/0/0".into(),
            class_uid,
            time: Millis(0),
            ocsf,
            native: Map::new(),
            system: None,
            commands: vec![],
            logsource: LogSource::new("p", "", service),
        }
    }

    #[test]
    fn events_meet_those_of_their_kind_in_order() {
        let items: Vec<_> = [
            ("b", "x", 1),
            ("a", "x", 1),
            ("b", "x", 2),
            ("b", "x", 1),
            ("b", "y", 1),
        ]
        .into_iter()
        .enumerate()
        .map(|(i, (source, service, class))| (LedgerIndex(i as u64), Millis(0), source.into(), event(service, class)))
        .collect();
        let wanted = Wanted::from([Field::ocsf("class_uid")]);
        let got: Vec<_> = batches(&items, &wanted)
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
