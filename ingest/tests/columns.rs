//! The columns of every fixture as the line makes them (one arena used again for each record, the source's own fields left
//! out where no column is of them) are those of the plain slow way.

#![allow(clippy::unwrap_used)] // a test may panic

mod cases;

use std::sync::Arc;

use ingest::batcher::Batcher;
use model::{Arena, Batch, Field, LedgerIndex, Millis, PlainEvent, Plan, Wanted};
use serde_json::{Map, Value};

/// Every path of an event, but for what is below a list.
fn paths(object: &Map<String, Value>, above: &str, found: &mut Wanted) {
    for (name, value) in object {
        let path = format!("{above}{name}");
        found.insert(Field::ocsf(&path));
        found.insert(Field::ocsf(&format!("{path}|exists")));
        if let Value::Object(inner) = value {
            paths(inner, &format!("{path}."), found);
        }
    }
}

fn check(case: &cases::Case, with_native: bool) {
    let normalizer = case.normalizer();
    let records = case.records();
    let mut wanted: Wanted = ["docket.system", "docket.command", "docket.source"]
        .map(Field::ocsf)
        .into();
    let mut plain: Vec<(LedgerIndex, Millis, &Arc<str>, PlainEvent)> = Vec::new();
    for (record, index) in records.iter().zip(0..) {
        for event in normalizer.normalize_plain(record).events {
            paths(&event.ocsf, "", &mut wanted);
            if with_native {
                wanted.extend(event.native.keys().map(|name| Field::native(name)));
            }
            plain.push((LedgerIndex(index), record.received_at, &record.source, event));
        }
    }
    let mut plan = Plan::new(&wanted);
    let mut arena = Arena::new();
    arena.set_native(plan.wants_native());
    let mut got = Vec::new();
    // The second time each event takes the steps that the first time left behind.
    for _ in 0..2 {
        let mut batcher = Batcher::new();
        for (record, index) in records.iter().zip(0..) {
            arena.reset();
            for event in &normalizer.normalize(&arena, record).events {
                batcher.push(&mut plan, LedgerIndex(index), record.received_at, &record.source, event);
            }
        }
        got = batcher.finish(&mut plan);
    }
    let mut rows = 0;
    for batch in &got {
        let kind = |e: &PlainEvent| e.logsource == batch.logsource && e.class_uid == batch.class_uid;
        let events: Vec<_> = plain
            .iter()
            .filter(|(_, _, source, e)| **source == batch.source && kind(e))
            .collect();
        let events: Vec<_> = events.iter().map(|(index, at, _, e)| (*index, *at, e)).collect();
        let want = Batch::plain(&batch.source, &events, &wanted);
        assert_eq!(batch.rows, want.rows, "{}", case.name());
        rows += batch.rows.len();
        for (row, field) in (0..batch.rows.len()).flat_map(|row| wanted.iter().map(move |field| (row, field))) {
            let all = |batch: &Batch| {
                let column = batch.column(field)?;
                Some(column.all(row).into_iter().map(str::to_owned).collect::<Vec<_>>())
            };
            assert_eq!(batch.uid(row), want.uid(row), "{}", case.name());
            assert_eq!(all(batch), all(&want), "{} {field:?} row {row}", case.name());
        }
    }
    assert_eq!(rows, plain.len(), "{}", case.name());
}

#[test]
fn columns_of_fixtures_are_those_of_the_plain_way() {
    for case in cases::all().iter().filter(|c| !c.name().contains("/joined")) {
        check(case, false);
        check(case, true);
    }
}
