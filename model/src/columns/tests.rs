use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{Arena, Cells, Column, Labels, Object, PlainEvent};

/// What is put into an event.
#[derive(Clone, Debug)]
struct Puts {
    cells: Vec<(&'static str, serde_json::Value)>,
    unmapped: serde_json::Value,
    native: serde_json::Value,
    commands: Vec<String>,
    system: Option<String>,
}

const PATHS: &[&str] = &[
    "a",
    "a.b",
    "a.b.c",
    "a.d",
    "metadata.a",
    "metadata.a.b",
    "raw_data",
    "e",
    "e.f.g.h.i.j.k",
    "e.f.g.h.i.l",
];
const WANTED: &[&str] = &[
    "a",
    "a.b",
    "a.b.c",
    "a.d",
    "a.b.c.d",
    "metadata",
    "metadata.a.b",
    "raw_data",
    "e.a",
    "e.a.b",
    "unmapped",
    "unmapped.a",
    "unmapped.a.b",
    "unmapped.b.a",
    "unmapped.a.b.c",
    "docket.system",
    "docket.command",
    "docket.source",
    "x",
    "e.f.g.h.i",
    "e.f.g.h.i.j.k",
];

fn event<'a>(arena: &'a Arena, puts: &'a Puts) -> Event<'a> {
    let mut cells = Cells::new(arena, 4);
    for (path, value) in &puts.cells {
        cells.put(arena.path(path).unwrap(), arena.value(value));
    }
    let commands: Vec<&str> = puts.commands.iter().map(String::as_str).collect();
    let (cells, outline) = cells.finish();
    Event {
        arena,
        uid: "t/0/0",
        class_uid: 1,
        time: Millis(0),
        cells,
        outline,
        unmapped: arena.object_of(puts.unmapped.as_object().unwrap()),
        native: arena.object_of(puts.native.as_object().unwrap()),
        system: puts.system.as_deref(),
        commands: arena.bump().alloc_slice_copy(&commands),
        logsource: Labels::default(),
    }
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        Just(json!(true)),
        (0..3i64).prop_map(|n| json!(n)),
        Just(json!(1.5)),
        "[ab\"\\\\中]{0,3}".prop_map(|s| json!(s)),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(|v| json!(v)),
            object(inner),
        ]
    })
}

fn object(inner: impl Strategy<Value = serde_json::Value>) -> impl Strategy<Value = serde_json::Value> {
    prop::collection::vec(("[ab](\\.[abc]){0,2}", inner), 0..4)
        .prop_map(|fields| serde_json::Value::Object(fields.into_iter().collect()))
}

/// The members of an object alone.
fn plain_object() -> impl Strategy<Value = serde_json::Value> {
    prop::collection::vec(("[abcd]", json()), 0..4)
        .prop_map(|fields| serde_json::Value::Object(fields.into_iter().collect()))
}

fn puts() -> impl Strategy<Value = Puts> {
    let value = prop_oneof![json(), plain_object()];
    (
        prop::collection::vec((prop::sample::select(PATHS), value), 0..6),
        object(json()),
        object(json()),
        prop::collection::vec("[ab ]{0,3}", 0..3),
        prop::option::of("[ab]{1,3}"),
    )
        .prop_map(|(cells, unmapped, native, commands, system)| Puts {
            cells,
            unmapped,
            native,
            commands,
            system,
        })
}

fn wanted() -> impl Strategy<Value = Wanted> {
    let path = prop_oneof![
        9 => prop::sample::select(WANTED).prop_map(str::to_owned),
        1 => Just("*".to_owned()),
        2 => "[ab](\\.[abc]){0,2}",
    ];
    let field = (path, any::<bool>(), any::<bool>()).prop_map(|(path, native, exists)| {
        let path = if exists { format!("{path}{EXISTS}") } else { path };
        if native {
            Field::native(&path)
        } else {
            Field::ocsf(&path)
        }
    });
    prop::collection::vec(field, 0..8).prop_map(|fields| fields.into_iter().collect::<BTreeSet<_>>())
}

fn shown(batch: &Batch, field: &Field, rows: usize) -> Option<Vec<Vec<String>>> {
    let column = batch.column(field)?;
    let row = |row| {
        let mut all: Vec<String> = column.all(row).into_iter().map(str::to_owned).collect();
        if &*field.path == "*" {
            all.sort();
        }
        all
    };
    Some((0..rows).map(row).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn columns_are_those_of_a_walk(all in prop::collection::vec(puts(), 0..4), wanted in wanted()) {
        let arena = Arena::new();
        let events: Vec<Event<'_>> = all.iter().map(|p| event(&arena, p)).collect();
        let rows: Vec<_> = events.iter().map(|e| (LedgerIndex(0), Millis(1), e)).collect();
        let plain: Vec<PlainEvent> = events.iter().map(Event::to_plain).collect();
        let plain_rows: Vec<_> = plain.iter().map(|e| (LedgerIndex(0), Millis(1), e)).collect();
        let source: Arc<str> = "s".into();
        let mut plan = Plan::new(&wanted);
        // A plan is kept over batches.
        let _first = plan.batch(&source, &rows[..rows.len() / 2]);
        let got = plan.batch(&source, &rows);
        let want = Batch::plain(&source, &plain_rows, &wanted);
        prop_assert_eq!(&got.rows, &want.rows);
        for row in 0..=rows.len() {
            prop_assert_eq!(got.uid(row), want.uid(row));
        }
        for field in &wanted {
            prop_assert_eq!(shown(&got, field, rows.len()), shown(&want, field, rows.len()), "{:?}", field);
            let is_list = |b: &Batch| b.column(field).map(|c| matches!(c, Column::Many(_)));
            prop_assert_eq!(is_list(&got), is_list(&want), "{:?}", field);
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_was_put_last_is_there(
        puts in puts(),
        others in prop::collection::vec(prop_oneof![json(), plain_object()], 6),
        before in prop::sample::select(&[0, 470, 505, 600][..]),
    ) {
        let arena = Arena::new();
        // Numbers of any size.
        (0..before).for_each(|n| assert!(arena.path(&format!("before{n}")).is_some()));
        let paths = puts.cells.iter().map(|(path, _)| *path);
        let again = Puts {
            cells: paths.zip(others).collect(),
            ..puts.clone()
        };
        // The second and the third take the steps that the first left behind, with other values.
        for puts in [&puts, &again, &puts] {
            let mut tree = serde_json::Map::new();
            let mut cells = Cells::new(&arena, 4);
            for (path, value) in &puts.cells {
                crate::event::put(&mut tree, path, value.clone());
                cells.put(arena.path(path).unwrap(), arena.value(value));
                for path in PATHS.iter().chain(WANTED).copied() {
                    let pointer = format!("/{}", path.replace('.', "/"));
                    let there = serde_json::Value::Object(tree.clone()).pointer(&pointer).is_some();
                    prop_assert_eq!(cells.has(arena.path(path).unwrap()), there, "{}", path);
                    prop_assert_eq!(cells.has_literal(path, ""), there, "{}", path);
                }
            }
            let mut event = event(&arena, puts);
            event.unmapped = Object::default();
            prop_assert_eq!(event.ocsf(), tree.clone());
            (event.cells, event.outline) = cells.finish();
            prop_assert_eq!(event.ocsf(), tree);
        }
    }
}

#[test]
fn what_is_taken_away_is_gone_each_time() {
    let arena = Arena::new();
    let [a, b, c] = ["a", "b", "c"].map(|path| arena.path(path).unwrap());
    for n in 0..3 {
        let mut cells = Cells::new(&arena, 4);
        for path in [a, b, c] {
            cells.put(path, Value::Int(n));
        }
        cells.remove(b);
        assert!(cells.has(a) && !cells.has(b) && cells.has(c));
        cells.remove(b);
        cells.put(b, Value::Int(7));
        cells.put(a, Value::Int(8));
        let (cells, outline) = cells.finish();
        let cells: Vec<_> = cells.iter().map(|c| (c.path, c.value)).collect();
        assert_eq!(cells, [(a, Value::Int(8)), (c, Value::Int(n)), (b, Value::Int(7))]);
        assert_ne!(outline, crate::Outline::NONE);
    }
}

#[test]
fn a_path_crosses_objects_and_arrays_and_dotted_keys() {
    let arena = Arena::new();
    let puts = Puts {
        cells: vec![
            ("a", json!([{"uid": "1"}, {"uid": 2}])),
            ("e", json!({"a.b": {"c": true}, "n": null})),
        ],
        unmapped: json!({}),
        native: json!({}),
        commands: vec![],
        system: Some("crm".into()),
    };
    let none = Puts {
        cells: vec![],
        ..puts.clone()
    };
    let (a, b) = (event(&arena, &puts), event(&arena, &none));
    let wanted: Wanted = ["a.uid", "e.a.b.c", "e.n", "docket.system"].map(Field::ocsf).into();
    let rows = [(LedgerIndex(0), Millis(1), &a), (LedgerIndex(1), Millis(1), &b)];
    let batch = Batch::build(&"crm".into(), &rows, &wanted);
    assert_eq!(batch.column(&Field::ocsf("a.uid")).unwrap().all(0), ["1", "2"]);
    assert_eq!(batch.column(&Field::ocsf("a.uid")).unwrap().first(1), None);
    assert_eq!(batch.ocsf("e.a.b.c", 0), Some("true"));
    assert!(batch.column(&Field::ocsf("e.n")).is_none());
    assert_eq!(batch.ocsf("docket.system", 1), Some("crm"));
}
