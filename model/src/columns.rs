//! Events to columns, in one pass over what an event holds.

use std::collections::HashMap;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::batch::{Batch, Columns, EXISTS, Field, Namespace, Row, Uids, Wanted};
use crate::path::{PathId, Paths, known};
use crate::value::{Value, is_same};
use crate::{Cell, Event, LedgerIndex, LogSource, Millis, plain};

mod filler;
mod names;
mod program;
mod texts;

use filler::Filler;
use names::Names;
use program::{IS_THERE, Programs, WALK};

/// The wanted columns, compiled: what each path of an event fills. Made once, kept over all batches.
#[derive(Debug)]
pub struct Plan {
    fields: Vec<Field>,
    places: Arc<HashMap<Field, usize>>,
    /// Rows of the last batch: the next one is likely to have as many.
    rows: usize,
    /// Room to write `unmapped` in.
    json: String,
    /// OCSF paths that are wanted, without those below `unmapped` and `docket`.
    ocsf: Vec<(Arc<str>, usize)>,
    /// What the paths of this arena fill; grows as formats name new ones.
    instance: Option<u64>,
    reads: Vec<Reads>,
    /// What the cells of an outline fill.
    programs: Programs,
    /// Of each column, whether it only tells that there is a value.
    exists: Vec<bool>,
    unmapped: Names,
    native: Names,
    unmapped_whole: Places,
    ocsf_all: Places,
    native_all: Places,
    system: Places,
    command: Places,
    source: Places,
}

/// Rows for which there is room at once.
const ROWS_MIN: usize = 64;
const ROWS_MAX: usize = 4096;

/// A batch in the making ([`Plan::open`]).
#[derive(Debug)]
pub struct OpenBatch {
    logsource: LogSource,
    class_uid: u32,
    source: Arc<str>,
    rows: Vec<Row>,
    uids: Uids,
    fillers: Vec<Filler>,
}

impl OpenBatch {
    /// Whether an event of that source belongs here.
    #[must_use]
    #[inline]
    pub fn takes(&self, source: &Arc<str>, event: &Event<'_>) -> bool {
        let same = |label: &Option<Arc<str>>, other: Option<&str>| match (label, other) {
            (Some(label), Some(other)) => is_same(label, other),
            (None, None) => true,
            _ => false,
        };
        let labels = event.logsource;
        self.class_uid == event.class_uid
            && same(&self.logsource.service, labels.service)
            && same(&self.logsource.category, labels.category)
            && same(&self.logsource.product, labels.product)
            && is_same(&self.source, source)
    }
}

/// The value's column and the one of its being there, where they are wanted.
type Places = SmallVec<[usize; 2]>;

#[derive(Debug)]
enum Reads {
    Nothing,
    Itself(usize),
    Several(Box<Several>),
}

/// What a value fills.
#[derive(Debug, Default)]
struct Several {
    /// Columns that are the value's.
    itself: Vec<usize>,
    /// Columns of what stands below the value.
    inside: Names,
    /// Columns of an object that this value is a part of.
    around: Vec<usize>,
}

impl Plan {
    /// A plan for these fields.
    #[must_use]
    pub fn new(wanted: &Wanted) -> Plan {
        let mut plan = Plan {
            fields: wanted.iter().cloned().collect(),
            places: Arc::new(wanted.iter().cloned().zip(0..).collect()),
            rows: ROWS_MIN,
            json: String::new(),
            ocsf: Vec::new(),
            instance: None,
            reads: Vec::new(),
            programs: Programs::default(),
            exists: wanted.iter().map(|f| f.path.ends_with(EXISTS)).collect(),
            unmapped: Names::default(),
            native: Names::default(),
            unmapped_whole: Places::new(),
            ocsf_all: Places::new(),
            native_all: Places::new(),
            system: Places::new(),
            command: Places::new(),
            source: Places::new(),
        };
        for (n, field) in wanted.iter().enumerate() {
            let (path, exists) = match field.path.strip_suffix(EXISTS) {
                Some(path) => (path, true),
                None => (&*field.path, false),
            };
            match (field.namespace, path) {
                (Namespace::Native, "*") if !exists => plan.native_all.push(n),
                (Namespace::Native, path) => plan.native.add(path, n),
                (Namespace::Ocsf, "*") if !exists => plan.ocsf_all.push(n),
                (Namespace::Ocsf, "docket.system") => plan.system.push(n),
                (Namespace::Ocsf, "docket.command") => plan.command.push(n),
                (Namespace::Ocsf, "docket.source") => plan.source.push(n),
                (Namespace::Ocsf, "unmapped") => plan.unmapped_whole.push(n),
                (Namespace::Ocsf, path) => match path.strip_prefix("unmapped.") {
                    Some(name) => plan.unmapped.add(name, n),
                    None if path.starts_with("docket.") => {}
                    None => plan.ocsf.push((path.into(), n)),
                },
            }
        }
        plan
    }

    /// Whether a column is of the source's own fields.
    #[must_use]
    pub fn wants_native(&self) -> bool {
        !self.native.is_empty() || !self.native_all.is_empty()
    }

    /// What is wanted.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    #[inline]
    fn learn(&mut self, paths: &Paths) {
        if self.instance != Some(paths.instance) || self.reads.len() < paths.len() {
            self.learn_new(paths);
        }
    }

    #[cold]
    fn learn_new(&mut self, paths: &Paths) {
        if self.instance != Some(paths.instance) {
            self.instance = Some(paths.instance);
            self.reads.clear();
            self.programs = Programs::default();
        }
        for n in self.reads.len()..paths.len() {
            let path = paths.text(PathId(n as u16));
            let below = |outer: &str, inner: &str| -> Option<Box<str>> {
                let rest = inner.strip_prefix(outer)?.strip_prefix('.')?;
                Some(rest.into())
            };
            let mut reads = Several::default();
            for (wanted, column) in &self.ocsf {
                if **wanted == *path {
                    reads.itself.push(*column);
                } else if let Some(rest) = below(path, wanted) {
                    reads.inside.add(&rest, *column);
                } else if below(wanted, path).is_some() {
                    reads.around.push(*column);
                }
            }
            let plain = reads.inside.is_empty() && reads.around.is_empty();
            self.reads.push(match reads.itself.as_slice() {
                [] if plain => Reads::Nothing,
                [column] if plain => Reads::Itself(*column),
                _ => Reads::Several(Box::new(reads)),
            });
        }
    }

    /// Builds the columns of `events`, which share `logsource`, `class_uid` and `source`.
    #[must_use]
    pub fn batch(&mut self, source: &Arc<str>, events: &[(LedgerIndex, Millis, &Event<'_>)]) -> Batch {
        let Some((_, _, first)) = events.first() else {
            return Batch::plain(source, &[], &Wanted::new());
        };
        let mut batch = self.open(source, first);
        for (index, received_at, event) in events {
            self.add(&mut batch, *index, *received_at, event);
        }
        self.close(batch)
    }

    /// Begins a batch of events that share `logsource`, `class_uid` and `source` with `first`, which is still to be added.
    #[must_use]
    pub fn open(&self, source: &Arc<str>, first: &Event<'_>) -> OpenBatch {
        let fillers = self.exists.iter().map(|exists| Filler::new(self.rows, *exists));
        OpenBatch {
            logsource: first.logsource.to_logsource(),
            class_uid: first.class_uid,
            source: source.clone(),
            rows: Vec::with_capacity(self.rows),
            uids: Uids::default(),
            fillers: fillers.collect(),
        }
    }

    /// Adds an event; nothing of it is borrowed after that.
    pub fn add(&mut self, batch: &mut OpenBatch, index: LedgerIndex, received_at: Millis, event: &Event<'_>) {
        self.learn(&event.arena.paths.borrow());
        self.programs.learn(event, &self.reads, &self.exists);
        let row = batch.rows.len();
        batch.rows.push(Row {
            index,
            time: event.time,
            received_at,
        });
        batch.uids.push(event.uid);
        let mut json = std::mem::take(&mut self.json);
        self.fill(event, row, &mut batch.fillers, &mut json);
        self.json = json;
        for column in &self.source {
            batch.fillers[*column].append(row, &batch.source);
        }
    }

    /// The batch, whole.
    #[must_use]
    pub fn close(&mut self, batch: OpenBatch) -> Batch {
        let rows = batch.rows.len();
        self.rows = rows.clamp(ROWS_MIN, ROWS_MAX);
        Batch {
            logsource: batch.logsource,
            class_uid: batch.class_uid,
            source: batch.source,
            rows: batch.rows,
            uids: batch.uids,
            columns: Columns::new(
                &self.places,
                batch.fillers.into_iter().map(|column| column.finish(rows)).collect(),
            ),
        }
    }

    /// The column of an object, put together of what of it was put.
    fn fill_around(&self, event: &Event<'_>, column: usize, row: usize, columns: &mut [Filler]) {
        let filler = &mut columns[column];
        if filler.has(row) {
            return;
        }
        if filler.exists {
            return filler.append(row, "");
        }
        let mut texts = Vec::new();
        plain::walk(&event.ocsf(), &self.fields[column].path, &mut |v| {
            plain::text(v, &mut texts)
        });
        texts.iter().for_each(|t| filler.append(row, t));
    }

    fn fill_cell(&self, event: &Event<'_>, cell: &Cell<'_>, row: usize, columns: &mut [Filler]) {
        match &self.reads[cell.path.index()] {
            Reads::Nothing => {}
            Reads::Itself(column) => text(&cell.value, row, &mut columns[*column]),
            Reads::Several(reads) => {
                for column in &reads.itself {
                    text(&cell.value, row, &mut columns[*column]);
                }
                if !reads.inside.is_empty() {
                    reads.inside.fill_below(&cell.value, row, columns);
                }
                for column in &reads.around {
                    self.fill_around(event, *column, row, columns);
                }
            }
        }
    }

    fn fill(&self, event: &Event<'_>, row: usize, columns: &mut [Filler], json: &mut String) {
        match self.programs.of(event) {
            Some(program) => {
                for step in program {
                    let Some(cell) = event.cells.get(usize::from(step.cell)) else {
                        continue;
                    };
                    if step.column == WALK {
                        self.fill_cell(event, cell, row, columns);
                        continue;
                    }
                    let Some(column) = columns.get_mut(usize::from(step.column & !IS_THERE)) else {
                        continue;
                    };
                    match cell.value {
                        _ if step.column & IS_THERE != 0 => column.there(row),
                        Value::String(s) | Value::Number(s) => column.value(row, s),
                        Value::Int(n) => column.append_int(row, n),
                        ref other => text(other, row, column),
                    }
                }
            }
            None => {
                for cell in event.cells {
                    self.fill_cell(event, cell, row, columns);
                }
            }
        }
        self.unmapped.fill(event.unmapped, row, columns);
        self.native.fill(event.native, row, columns);
        for column in self.unmapped_whole.iter().filter(|_| !event.unmapped.is_empty()) {
            let column = &mut columns[*column];
            json.clear();
            if !column.exists {
                event.unmapped.write_json(json);
            }
            column.append(row, json);
        }
        if let Some(system) = event.system {
            self.system.iter().for_each(|c| columns[*c].append(row, system));
        }
        for column in &self.command {
            event.commands.iter().for_each(|c| columns[*column].append(row, c));
        }
        for column in &self.native_all {
            event
                .native
                .values()
                .for_each(|v| leaves(v, row, &mut columns[*column]));
        }
        for column in &self.ocsf_all {
            let column = &mut columns[*column];
            // In the order of the event as it is shown, so far as its objects were put in one go.
            let last = |path: PathId| event.arena.paths.borrow().ancestors(path).first() == Some(&known::METADATA);
            let cells = || event.cells.iter().filter(|c| c.path != known::RAW_DATA);
            cells()
                .filter(|c| !last(c.path))
                .for_each(|c| leaves(&c.value, row, column));
            event.unmapped.values().for_each(|v| leaves(v, row, column));
            cells()
                .filter(|c| last(c.path))
                .for_each(|c| leaves(&c.value, row, column));
            if let Some(raw) = event.cell(known::RAW_DATA) {
                leaves(&raw, row, column);
            }
        }
    }
}

/// Every scalar below a value, as text; null is nothing.
fn leaves(value: &Value<'_>, row: usize, column: &mut Filler) {
    match value {
        Value::Object(inner) => inner.values().for_each(|v| leaves(v, row, column)),
        Value::Array(items) => items.iter().for_each(|v| leaves(v, row, column)),
        scalar => text(scalar, row, column),
    }
}

/// Scalars as text, arrays item by item, objects as JSON; null is nothing.
#[inline]
fn text(value: &Value<'_>, row: usize, column: &mut Filler) {
    if column.exists {
        return column.append(row, "");
    }
    match *value {
        Value::Null => {}
        Value::String(s) | Value::Number(s) => column.append(row, s),
        Value::Int(n) => column.append_int(row, n),
        Value::Bool(b) => column.append(row, if b { "true" } else { "false" }),
        Value::Array(items) => items.iter().for_each(|v| text(v, row, column)),
        Value::Object(object) => {
            let mut json = String::new();
            object.write_json(&mut json);
            column.append(row, &json);
        }
    }
}

#[cfg(test)]
mod tests {
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
}
