//! Events to columns, in one pass over what an event holds.

use std::collections::HashMap;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::batch::{Batch, Columns, EXISTS, Field, Namespace, Row, Uids, Wanted};
use crate::path::{PathId, Paths, known};
use crate::value::{Value, is_same};
use crate::{Cell, Event, LedgerIndex, LogSource, Millis, NativeNames, plain};

mod filler;
mod names;
mod program;
#[cfg(test)]
mod tests;
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

    /// Which of the sources' own fields columns are of.
    #[must_use]
    pub fn wants_native(&self) -> NativeNames {
        if self.native_all.is_empty() {
            NativeNames::of_tags(self.native.tags())
        } else {
            NativeNames::ALL
        }
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
                        // Labels and profiles.
                        Value::Array(items) => {
                            for item in items {
                                match *item {
                                    Value::String(s) => column.value(row, s),
                                    ref other => text(other, row, column),
                                }
                            }
                        }
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
