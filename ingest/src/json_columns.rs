//! Lines of JSON straight into columns: each line is read once, and only what is wanted is kept.
//!
//! For rules over a source's own fields (`--format json`). The values of a column are those that [`model::Plan`] gives for
//! the parsed object; a line of which that is not sure (a key twice, a dotted key beside its first part, a number with an
//! exponent, deep nesting, bad JSON) is handed back, for the reader that takes its time.

use std::sync::Arc;

use foldhash::HashMap;
use model::value::tag;
use model::{Batch, EXISTS, Field, LogSource, Namespace, Row, Uids, Values, Wanted};

// Where they lie is said, because a bench takes this file without the rest of its crate.
#[path = "json_columns/line.rs"]
mod line;
#[path = "json_columns/shapes.rs"]
mod shapes;

use line::{Reader, Stop};
use shapes::Shapes;

/// Dots of one path; each way to part it is looked for.
const DOTS_MAX: usize = 8;
/// Bytes of a line.
const LINE_BYTES_MAX: usize = 1 << 20;
/// Log sources that are remembered from batch to batch; labels are of the lines' own making.
const GROUPS_MAX: usize = 512;
/// Bytes of one column of a batch.
const COLUMN_BYTES_MAX: usize = 1 << 30;

/// The wanted fields of the native namespace, by the keys that lead to them.
#[derive(Debug, Default)]
pub struct JsonColumns {
    fields: Vec<Field>,
    by_field: HashMap<Field, u32>,
    /// How many of them the caller reads of each line; those hold no lists and no objects.
    besides: u32,
    /// The keyword column (`*`), where it is wanted.
    every: Option<u32>,
    nodes: Vec<Node>,
    entries: Vec<Entry>,
}

/// What is wanted of one object.
#[derive(Debug, Default)]
struct Node {
    /// By the tags of the keys: most keys are let go of here.
    tags: [u64; 4],
    by_key: HashMap<Box<str>, u32>,
}

/// What a key leads to.
#[derive(Clone, Debug, Default)]
struct Entry {
    /// Columns of the value.
    values: Vec<u32>,
    /// Columns of whether there is one.
    exists: Vec<u32>,
    /// What is wanted of an object there.
    inner: Option<usize>,
}

/// Which columns the lines of a log source need.
#[derive(Debug)]
pub struct Needs {
    /// For each column, where it stands among those that are needed.
    slots: Vec<Option<u32>>,
    places: Arc<std::collections::HashMap<Field, usize>>,
}

/// The line is for another reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Odd;

/// A value of a line: its column, and where its text is: in the line, or with [`BESIDE`] in what was unescaped.
type Span = (u32, u32, u32);

/// Marks the start of a text that does not stand so in the line.
const BESIDE: u32 = 1 << 31;

/// The lines of several log sources, being read.
#[derive(Debug)]
pub struct JsonBatches {
    columns: Arc<JsonColumns>,
    /// The orders of keys that were seen.
    shapes: Shapes,
    /// Of the line at hand, what does not stand in it as it is meant.
    text: String,
    spans: Vec<Span>,
    /// Groups by their source and labels, each with its length before it.
    places: HashMap<Box<[u8]>, usize>,
    key: Vec<u8>,
    groups: Vec<Group>,
    /// Those that have lines, in the order of their first.
    filled: Vec<usize>,
}

/// The lines of one log source.
#[derive(Debug)]
struct Group {
    source: Arc<str>,
    logsource: LogSource,
    rows: Vec<Row>,
    uids: Uids,
    needs: Needs,
    /// Of the columns that are needed.
    values: Vec<Values>,
    /// No column holds more bytes.
    bytes: usize,
}

impl JsonColumns {
    /// The columns of `wanted` that are the source's own fields, and those of `besides`, which the caller reads of
    /// each line ([`JsonBatches::value`]) and which are for another reader where they hold a list or an object; `None` where a path has more dots than are looked into.
    #[must_use]
    pub fn new(wanted: &Wanted, besides: &[&str]) -> Option<JsonColumns> {
        let mut out = JsonColumns {
            nodes: vec![Node::default()],
            ..JsonColumns::default()
        };
        out.besides = besides.len() as u32;
        let mut fields: Vec<Field> = besides.iter().map(|path| Field::native(path)).collect();
        let own = |f: &&Field| f.namespace == Namespace::Native && !besides.contains(&&*f.path);
        fields.extend(wanted.iter().filter(own).cloned());
        for (column, field) in (0..).zip(&fields) {
            let (path, exists) = match field.path.strip_suffix(EXISTS) {
                Some(path) => (path, true),
                None => (&*field.path, false),
            };
            if path.matches('.').count() > DOTS_MAX {
                return None;
            }
            match (path, exists) {
                ("*", false) => out.every = Some(column),
                _ => out.lead(0, path, column, exists),
            }
        }
        out.by_field = fields.iter().cloned().zip(0..).collect();
        out.fields = fields;
        Some(out)
    }

    /// Which columns are of `wanted`.
    #[must_use]
    pub fn needs(&self, wanted: &Wanted) -> Needs {
        let mut slots = vec![None; self.fields.len()];
        let mut places = std::collections::HashMap::new();
        for field in wanted {
            if let Some(column) = self.by_field.get(field) {
                slots[*column as usize] = Some(places.len() as u32);
                places.insert(field.clone(), places.len());
            }
        }
        Needs {
            slots,
            places: Arc::new(places),
        }
    }

    /// Every way in which keys may spell the path.
    fn lead(&mut self, node: usize, path: &str, column: u32, exists: bool) {
        let entry = self.entry(node, path);
        let to = if exists { &mut entry.exists } else { &mut entry.values };
        to.push(column);
        for (dot, _) in path.match_indices('.') {
            let next = self.nodes.len();
            let entry = self.entry(node, &path[..dot]);
            let inner = *entry.inner.get_or_insert(next);
            if inner == next {
                self.nodes.push(Node::default());
            }
            self.lead(inner, &path[dot + 1..], column, exists);
        }
    }

    fn entry(&mut self, node: usize, key: &str) -> &mut Entry {
        let tag = usize::from(tag(key));
        let node = &mut self.nodes[node];
        node.tags[tag / 64] |= 1 << (tag % 64);
        let new = self.entries.len() as u32;
        let id = *node.by_key.entry(key.into()).or_insert(new);
        if id == new {
            self.entries.push(Entry::default());
        }
        &mut self.entries[id as usize]
    }
}

impl Node {
    fn get(&self, key: &str, tag: usize) -> Option<u32> {
        if self.tags[tag / 64] & 1 << (tag % 64) == 0 {
            return None;
        }
        self.by_key.get(key).copied()
    }
}

/// A line that was read: its values, until the next is read.
#[derive(Clone, Copy, Debug)]
pub struct Line<'l>(&'l str);

impl JsonBatches {
    /// None yet.
    #[must_use]
    pub fn new(columns: JsonColumns) -> JsonBatches {
        JsonBatches {
            columns: Arc::new(columns),
            shapes: Shapes::default(),
            text: String::new(),
            spans: Vec::new(),
            places: HashMap::default(),
            key: Vec::new(),
            groups: Vec::new(),
            filled: Vec::new(),
        }
    }

    /// Reads a line. It goes into no batch before [`JsonBatches::add`].
    ///
    /// # Errors
    /// The line is for another reader.
    pub fn read<'l>(&mut self, line: &'l str) -> Result<Line<'l>, Odd> {
        if line.len() > LINE_BYTES_MAX {
            return Err(Odd);
        }
        let mut is_learned = true;
        loop {
            self.spans.clear();
            self.text.clear();
            let mut reader = Reader::new(&self.columns, line, &mut self.text, &mut self.spans);
            let read = if is_learned {
                reader.line(&mut Some(&mut self.shapes))
            } else {
                reader.line(&mut None)
            };
            match read {
                Ok(()) => return Ok(Line(line)),
                Err(Stop::Odd) => return Err(Odd),
                // Keys in an order for which there is no room: read once more, each for itself.
                Err(Stop::Unlearned) => is_learned = false,
            }
        }
    }

    /// The values of the fields besides in the line that was read last, each with its field's number.
    pub fn besides<'v>(&'v self, line: Line<'v>) -> impl Iterator<Item = (usize, &'v str)> {
        let besides = self.spans.iter().filter(|(column, ..)| *column < self.columns.besides);
        besides.map(move |(column, start, end)| (*column as usize, text_of(line.0, &self.text, *start, *end)))
    }

    /// Puts the line that was read last into the batch of its source and labels (`product`, `category`, `service`: fields
    /// besides, by their numbers). `needs` says which columns the lines of a log source need; it is remembered.
    ///
    /// # Errors
    /// The batch is full; the line is for another reader.
    pub fn add(
        &mut self,
        line: Line<'_>,
        source: &Arc<str>,
        labels: [Option<usize>; 3],
        row: Row,
        uid: impl FnOnce(&mut Uids),
        needs: impl FnOnce(&JsonColumns, &LogSource) -> Needs,
    ) -> Result<(), Odd> {
        let mut key = std::mem::take(&mut self.key);
        key.clear();
        let given = labels.map(|n| {
            let (_, start, end) = self.spans.iter().find(|(column, ..)| Some(*column as usize) == n)?;
            Some(text_of(line.0, &self.text, *start, *end))
        });
        for part in [Some(&**source)].into_iter().chain(given) {
            let part = part.unwrap_or_default();
            key.extend((part.len() as u32).to_le_bytes());
            key.extend(part.as_bytes());
        }
        let place = match self.places.get(&*key) {
            Some(place) => *place,
            None => {
                let [product, category, service] = given.map(|l| l.map(Arc::from));
                let logsource = LogSource {
                    product,
                    category,
                    service,
                };
                self.places.insert(key.as_slice().into(), self.groups.len());
                let needs = needs(&self.columns, &logsource);
                self.groups.push(Group {
                    source: source.clone(),
                    logsource,
                    rows: Vec::new(),
                    uids: Uids::default(),
                    values: vec![Values::default(); needs.places.len()],
                    bytes: 0,
                    needs,
                });
                self.groups.len() - 1
            }
        };
        self.key = key;
        let group = &mut self.groups[place];
        let number = group.rows.len() as u32;
        let text = &self.text;
        let slot = |column: u32| group.needs.slots[column as usize].map(|slot| slot as usize);
        // A column takes each byte of the line once at most, and of what was unescaped.
        group.bytes += line.0.len() + text.len();
        if group.bytes > COLUMN_BYTES_MAX {
            return Err(Odd);
        }
        for (column, start, end) in self.spans.drain(..) {
            if let Some(slot) = slot(column) {
                group.values[slot].push(number, text_of(line.0, text, start, end));
            }
        }
        if group.rows.is_empty() {
            self.filled.push(place);
        }
        group.rows.push(row);
        uid(&mut group.uids);
        Ok(())
    }

    /// The batches, in the order of their first lines.
    pub fn finish(&mut self) -> Vec<Batch> {
        let mut batches = Vec::with_capacity(self.filled.len());
        for place in self.filled.drain(..) {
            let group = &mut self.groups[place];
            let rows = std::mem::take(&mut group.rows);
            let uids = group.uids.as_many();
            let uids = std::mem::replace(&mut group.uids, uids);
            let mut made = Vec::with_capacity(group.values.len());
            for values in &mut group.values {
                let next = values.as_many();
                made.push(std::mem::replace(values, next).column(rows.len()));
            }
            group.rows.reserve(rows.len());
            group.bytes = 0;
            batches.push(Batch::with_columns(
                &group.source,
                group.logsource.clone(),
                0,
                rows,
                uids,
                &group.needs.places,
                made,
            ));
        }
        if self.groups.len() > GROUPS_MAX {
            self.groups.clear();
            self.places.clear();
        }
        batches
    }
}

fn text_of<'t>(line: &'t str, beside: &'t str, start: u32, end: u32) -> &'t str {
    let range = (start & !BESIDE) as usize..(end & !BESIDE) as usize;
    if start & BESIDE == 0 {
        &line[range]
    } else {
        &beside[range]
    }
}
