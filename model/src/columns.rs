//! Events to columns, in one pass over what an event holds.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::Array as _;
use arrow_array::builder::{ListBuilder, StringBuilder};
use smallvec::SmallVec;

use crate::batch::{Batch, Column, EXISTS, Field, Namespace, Row, Uids, Wanted};
use crate::path::{PathId, Paths, known};
use crate::value::{self, Object, Value};
use crate::{Event, LedgerIndex, Millis, plain};

/// The wanted columns, compiled: what each path of an event fills. Made once, kept over all batches.
#[derive(Debug)]
pub struct Plan {
    fields: Vec<Field>,
    /// OCSF paths that are wanted, without those below `unmapped` and `docket`.
    ocsf: Vec<(Arc<str>, usize)>,
    /// What the paths of this arena fill; grows as formats name new ones.
    instance: Option<u64>,
    reads: Vec<Reads>,
    unmapped: Names,
    native: Names,
    unmapped_whole: Columns,
    ocsf_all: Columns,
    native_all: Columns,
    system: Columns,
    command: Columns,
    source: Columns,
}

/// The value's column and the one of its being there, where they are wanted.
type Columns = SmallVec<[usize; 2]>;

#[derive(Debug, Clone)]
enum Reads {
    Nothing,
    Itself(usize),
    Several(Box<[Read]>),
}

#[derive(Debug, Clone)]
enum Read {
    /// The value is the column's.
    Itself(usize),
    /// The column is of what stands below the value.
    Inside(usize, Box<str>),
    /// The column is of an object that this value is a part of.
    Around(usize),
}

/// Names of an object's members, and the columns that they lead to.
#[derive(Debug, Default)]
struct Names {
    /// By the tags of the names: most members are let go of here.
    tags: [u64; 4],
    by_name: HashMap<Box<str>, Vec<(usize, Box<str>)>>,
}

impl Names {
    fn add(&mut self, path: &str, column: usize) {
        // The first key may itself hold dots.
        let keys = path.match_indices('.').map(|(dot, _)| &path[..dot]);
        for key in keys.chain([path]) {
            let tag = usize::from(value::tag(key));
            self.tags[tag / 64] |= 1 << (tag % 64);
            self.by_name.entry(key.into()).or_default().push((column, path.into()));
        }
    }

    #[inline]
    fn fill(&self, object: Object<'_>, row: usize, columns: &mut [Filler]) {
        if self.by_name.is_empty() {
            return;
        }
        for (name, value) in object {
            let tag = usize::from(value::tag(name));
            if self.tags[tag / 64] & 1 << (tag % 64) == 0 {
                continue;
            }
            for (column, path) in self.by_name.get(name).map_or(&[][..], Vec::as_slice) {
                let column = &mut columns[*column];
                if name.len() == path.len() {
                    if !path.contains('.') || !column.has(row) {
                        text(value, row, column);
                    }
                } else if !column.has(row) {
                    walk(object, path, &mut |v| text(v, row, column));
                }
            }
        }
    }
}

impl Plan {
    /// A plan for these fields.
    #[must_use]
    pub fn new(wanted: &Wanted) -> Plan {
        let mut plan = Plan {
            fields: wanted.iter().cloned().collect(),
            ocsf: Vec::new(),
            instance: None,
            reads: Vec::new(),
            unmapped: Names::default(),
            native: Names::default(),
            unmapped_whole: Columns::new(),
            ocsf_all: Columns::new(),
            native_all: Columns::new(),
            system: Columns::new(),
            command: Columns::new(),
            source: Columns::new(),
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

    /// What is wanted.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    fn learn(&mut self, paths: &Paths) {
        if self.instance != Some(paths.instance) {
            self.instance = Some(paths.instance);
            self.reads.clear();
        }
        for n in self.reads.len()..paths.len() {
            let path = paths.text(PathId(n as u16));
            let below = |outer: &str, inner: &str| {
                inner
                    .strip_prefix(outer)
                    .and_then(|rest| rest.strip_prefix('.'))
                    .map(Box::from)
            };
            let reads: Vec<Read> = self
                .ocsf
                .iter()
                .filter_map(|(wanted, column)| {
                    if **wanted == *path {
                        Some(Read::Itself(*column))
                    } else if let Some(rest) = below(path, wanted) {
                        Some(Read::Inside(*column, rest))
                    } else {
                        below(wanted, path).map(|_: Box<str>| Read::Around(*column))
                    }
                })
                .collect();
            self.reads.push(match reads.as_slice() {
                [] => Reads::Nothing,
                [Read::Itself(column)] => Reads::Itself(*column),
                _ => Reads::Several(reads.into()),
            });
        }
    }

    /// Builds the columns of `events`, which share `logsource`, `class_uid` and `source`, and live in one arena.
    #[must_use]
    pub fn batch(&mut self, source: &Arc<str>, events: &[(LedgerIndex, Millis, &Event<'_>)]) -> Batch {
        let Some((_, _, first)) = events.first() else {
            return Batch::plain(source, &[], &Wanted::new());
        };
        self.learn(&first.arena.paths.borrow());
        let mut columns: Vec<Filler> = self
            .fields
            .iter()
            .map(|f| Filler::new(events.len(), f.path.ends_with(EXISTS)))
            .collect();
        let mut json = String::new();
        let mut uids = Uids::default();
        let mut rows = Vec::with_capacity(events.len());
        for (row, (index, received_at, event)) in events.iter().enumerate() {
            rows.push(Row {
                index: *index,
                time: event.time,
                received_at: *received_at,
            });
            uids.push(event.uid);
            self.fill(event, row, &mut columns, &mut json);
        }
        for column in &self.source {
            (0..events.len()).for_each(|row| columns[*column].append(row, source));
        }
        Batch {
            logsource: first.logsource.to_logsource(),
            class_uid: first.class_uid,
            source: source.clone(),
            rows,
            uids,
            columns: self
                .fields
                .iter()
                .zip(columns)
                .filter_map(|(field, column)| Some((field.clone(), column.finish(events.len())?)))
                .collect(),
        }
    }

    fn fill(&self, event: &Event<'_>, row: usize, columns: &mut [Filler], json: &mut String) {
        for cell in event.cells {
            match &self.reads[cell.path.index()] {
                Reads::Nothing => {}
                Reads::Itself(column) => text(&cell.value, row, &mut columns[*column]),
                Reads::Several(reads) => {
                    for read in reads {
                        match read {
                            Read::Itself(column) => text(&cell.value, row, &mut columns[*column]),
                            Read::Inside(column, rest) => inside(&cell.value, rest, row, &mut columns[*column]),
                            Read::Around(column) if columns[*column].has(row) => {}
                            Read::Around(column) if columns[*column].exists => columns[*column].append(row, ""),
                            Read::Around(column) => {
                                let path = &self.fields[*column].path;
                                let mut texts = Vec::new();
                                plain::walk(&event.ocsf(), path, &mut |v| plain::text(v, &mut texts));
                                texts.iter().for_each(|t| columns[*column].append(row, t));
                            }
                        }
                    }
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

/// Values at a path below a value; crosses arrays of objects.
fn inside(value: &Value<'_>, path: &str, row: usize, column: &mut Filler) {
    match value {
        Value::Object(object) => walk(*object, path, &mut |v| text(v, row, column)),
        Value::Array(items) => {
            for object in items.iter().filter_map(Value::as_object) {
                walk(object, path, &mut |v| text(v, row, column));
            }
        }
        _ => {}
    }
}

/// Calls `found` with each value at `path`; crosses arrays; a key that itself holds dots goes first.
fn walk<'a>(object: Object<'a>, path: &str, found: &mut dyn FnMut(&'a Value<'a>)) {
    if let Some(v) = object.get(path) {
        return found(v);
    }
    for (dot, _) in path.match_indices('.') {
        match object.get(&path[..dot]) {
            Some(Value::Object(inner)) => walk(*inner, &path[dot + 1..], &mut *found),
            Some(Value::Array(items)) => {
                for inner in items.iter().filter_map(Value::as_object) {
                    walk(inner, &path[dot + 1..], &mut *found);
                }
            }
            _ => {}
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
        Value::Int(n) => column.append(row, value::int_text(n, &mut [0; 20])),
        Value::Bool(b) => column.append(row, if b { "true" } else { "false" }),
        Value::Array(items) => items.iter().for_each(|v| text(v, row, column)),
        Value::Object(object) => {
            let mut json = String::new();
            object.write_json(&mut json);
            column.append(row, &json);
        }
    }
}

/// A column in the making; rows come in order, and those that bring nothing are passed over.
#[derive(Debug)]
struct Filler {
    capacity: usize,
    /// Whether it only tells that there is a value.
    exists: bool,
    /// Rows up to and with the last one that brought a value.
    rows: usize,
    texts: Texts,
}

#[derive(Debug)]
enum Texts {
    None,
    One(StringBuilder),
    Many(ListBuilder<StringBuilder>),
}

impl Filler {
    fn new(capacity: usize, exists: bool) -> Filler {
        Filler {
            capacity,
            exists,
            rows: 0,
            texts: Texts::None,
        }
    }

    fn has(&self, row: usize) -> bool {
        self.rows > row
    }

    #[inline]
    fn append(&mut self, row: usize, text: &str) {
        match &mut self.texts {
            Texts::One(one) if row >= self.rows => {
                let text = if self.exists { "true" } else { text };
                if row > self.rows {
                    one.append_nulls(row - self.rows);
                }
                one.append_value(text);
                self.rows = row + 1;
            }
            _ => self.append_other(row, text),
        }
    }

    #[inline(never)]
    fn append_other(&mut self, row: usize, text: &str) {
        if self.exists && self.has(row) {
            return;
        }
        let text = if self.exists { "true" } else { text };
        match &mut self.texts {
            Texts::None => {
                let mut one = StringBuilder::with_capacity(self.capacity, self.capacity * text.len().max(8));
                one.append_nulls(row);
                one.append_value(text);
                self.texts = Texts::One(one);
            }
            Texts::One(one) => {
                // The second value of a row.
                let one = one.finish();
                let mut many =
                    ListBuilder::new(StringBuilder::with_capacity(self.capacity * 2, one.values().len() * 2));
                for earlier in 0..self.rows {
                    if earlier > 0 {
                        many.append(true);
                    }
                    if one.is_valid(earlier) {
                        many.values().append_value(one.value(earlier));
                    }
                }
                many.values().append_value(text);
                self.texts = Texts::Many(many);
            }
            Texts::Many(many) => {
                // The list of the last row that brought something is still open.
                (self.rows..=row).for_each(|_| many.append(true));
                many.values().append_value(text);
            }
        }
        self.rows = self.rows.max(row + 1);
    }

    /// `None` where no row brought a value.
    fn finish(self, rows: usize) -> Option<Column> {
        match self.texts {
            Texts::None => None,
            Texts::One(mut one) => {
                one.append_nulls(rows - self.rows);
                Some(Column::One(one.finish()))
            }
            Texts::Many(mut many) => {
                (self.rows..=rows).for_each(|_| many.append(true));
                Some(Column::Many(many.finish()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::{Arena, Cells, Labels, PlainEvent};

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
    ];

    fn event<'a>(arena: &'a Arena, puts: &'a Puts) -> Event<'a> {
        let mut cells = Cells::new(arena, 4);
        for (path, value) in &puts.cells {
            cells.put(arena.path(path).unwrap(), arena.value(value));
        }
        let commands: Vec<&str> = puts.commands.iter().map(String::as_str).collect();
        Event {
            arena,
            uid: "t/0/0",
            class_uid: 1,
            time: Millis(0),
            cells: cells.finish(),
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

        #[test]
        fn what_was_put_last_is_there(puts in puts()) {
            let arena = Arena::new();
            let mut tree = serde_json::Map::new();
            for (path, value) in &puts.cells {
                crate::event::put(&mut tree, path, value.clone());
            }
            let mut event = event(&arena, &puts);
            event.unmapped = Object::default();
            prop_assert_eq!(event.ocsf(), tree.clone());
            let cells = Cells::of(&arena, event.cells);
            for path in PATHS {
                let pointer = format!("/{}", path.replace('.', "/"));
                let there = serde_json::Value::Object(tree.clone()).pointer(&pointer).is_some();
                prop_assert_eq!(cells.has(arena.path(path).unwrap()), there, "{}", path);
            }
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
