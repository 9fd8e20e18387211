//! The values of a field, document by document, as small numbers that stand for them.

use std::collections::HashMap;

use tantivy::columnar::{Cardinality, Column, ColumnValues, StrColumn};
use tantivy::{COLLECT_BLOCK_BUFFER_LEN, DocId};

use super::{READS_MAX, VALUES_MAX};
use crate::error::{Error, Result};
use crate::keyword::bounded;
use crate::matching::RawText;
use crate::query::class;
use crate::query::field::{self, FIELDS, Kind};
use crate::schema::{KEYWORDS, WITHOUT_COLUMN};
use crate::segment::Segment;
use crate::unmapped;

/// The fields of an answer, and their columns in the segment that is being read.
pub(super) struct Opened<'a> {
    text: &'a dyn RawText,
    segment: Option<usize>,
    fields: Vec<FieldValues>,
    /// Of the documents of a block.
    ords: Vec<Option<u64>>,
    reads: u64,
    /// Values and buckets so far, of all aggregations.
    held: usize,
}

struct FieldValues {
    name: String,
    place: Place,
    columns: Vec<Values>,
    /// Of one document, where they were read from the ledger last.
    last: Option<(DocId, Vec<String>)>,
    names: HashMap<String, u32>,
    by_id: Vec<String>,
    /// How many of these are counted.
    held: usize,
}

/// Where values are.
#[derive(Clone)]
enum Place {
    Columns(Vec<&'static str>),
    /// Read from the ledger, at these paths.
    Paths(Vec<String>),
}

/// No value's number.
const NONE: u32 = u32::MAX;

/// A column of one segment.
enum Values {
    Text(Dictionary),
    Number(Column<u64>, HashMap<u64, u32>),
    Time(Column<i64>),
    None,
}

impl<'a> Opened<'a> {
    pub(super) fn new(text: &'a dyn RawText) -> Opened<'a> {
        Opened {
            text,
            segment: None,
            fields: Vec::new(),
            ords: Vec::new(),
            reads: 0,
            held: 0,
        }
    }

    /// The number of a field, which is opened where it is not yet.
    pub(super) fn field(&mut self, name: &str) -> Result<usize> {
        if let Some(n) = self.fields.iter().position(|f| f.name == name) {
            return Ok(n);
        }
        self.fields.push(FieldValues {
            name: name.to_owned(),
            place: place(name)?,
            columns: Vec::new(),
            last: None,
            names: HashMap::new(),
            by_id: Vec::new(),
            held: 0,
        });
        Ok(self.fields.len() - 1)
    }

    /// Opens the columns of a segment.
    pub(super) fn enter(&mut self, number: usize, segment: &Segment) -> Result<()> {
        if self.segment == Some(number) {
            return Ok(());
        }
        self.segment = Some(number);
        for field in &mut self.fields {
            field.last = None;
            field.columns.clear();
            if let Place::Columns(names) = &field.place {
                for name in names {
                    field.columns.push(Values::open(segment, name)?);
                }
            }
        }
        Ok(())
    }

    /// Counts what is kept in memory.
    pub(super) fn hold(&mut self, more: usize) -> Result<()> {
        self.held += more;
        match self.held > VALUES_MAX {
            true => Err(Error::TooManyValues { limit: VALUES_MAX }),
            false => Ok(()),
        }
    }

    /// The values of a document, each once, in no order.
    pub(super) fn ids(&mut self, field: usize, segment: &Segment, doc: DocId, out: &mut Vec<u32>) -> Result<()> {
        out.clear();
        if matches!(self.fields[field].place, Place::Paths(_)) {
            self.read(field, segment, doc)?;
            let f = &mut self.fields[field];
            let values = f.last.take();
            for value in values.iter().flat_map(|(_, v)| v) {
                let id = f.id(value);
                out.push(id);
            }
            f.last = values;
        } else {
            self.fields[field].of_columns(doc, out)?;
        }
        out.sort_unstable();
        out.dedup();
        self.counted(field)
    }

    /// The values of all these documents, of a field with one column; returns how many documents have none. `None`: the
    /// field is read in another way. To be followed by [`Opened::counted`].
    pub(super) fn block(&mut self, field: usize, docs: &[DocId], out: &mut Vec<u32>) -> Result<Option<u64>> {
        let FieldValues {
            columns, names, by_id, ..
        } = &mut self.fields[field];
        // The writer gives a document no value twice.
        let [Values::Text(dictionary)] = &mut columns[..] else {
            return Ok(None);
        };
        out.clear();
        let mut missing = 0;
        self.ords.clear();
        if dictionary.column.ords().get_cardinality() == Cardinality::Multivalued {
            for doc in docs {
                let before = self.ords.len();
                self.ords.extend(dictionary.column.term_ords(*doc).map(Some));
                missing += u64::from(self.ords.len() == before);
            }
        } else {
            self.ords.resize(docs.len(), None);
            dictionary.column.ords().first_vals(docs, &mut self.ords);
            missing = self.ords.iter().filter(|o| o.is_none()).count() as u64;
        }
        for ord in self.ords.iter().flatten() {
            out.push(dictionary.id(*ord, names, by_id)?);
        }
        Ok(Some(missing))
    }

    /// How many documents of the segment have each value, of a field with one column; returns how many have none. `None`:
    /// the column does not tell. To be followed by [`Opened::counted`].
    pub(super) fn every_value(&mut self, field: usize, out: &mut Vec<(u32, u64)>) -> Result<Option<u64>> {
        let FieldValues {
            columns, names, by_id, ..
        } = &mut self.fields[field];
        let [Values::Text(dictionary)] = &mut columns[..] else {
            return Ok(None);
        };
        let ords = dictionary.column.ords();
        if ords.get_cardinality() == Cardinality::Multivalued {
            return Ok(None);
        }
        let (values, docs) = (ords.values.clone(), ords.num_docs());
        let mut counts = vec![0u64; dictionary.column.num_terms()];
        blocks(&*values, |block: &[u64]| {
            for ord in block {
                if let Some(count) = counts.get_mut(*ord as usize) {
                    *count += 1;
                }
            }
            Ok(())
        })?;
        for (ord, count) in (0u64..).zip(counts) {
            if count > 0 {
                out.push((dictionary.id(ord, names, by_id)?, count));
            }
        }
        Ok(Some(u64::from(docs.saturating_sub(values.num_vals()))))
    }

    /// The values of all documents of the segment, of a field whose columns are texts; `false`: not all are. To be followed by
    /// [`Opened::counted`].
    pub(super) fn every_text(&mut self, field: usize, out: &mut Vec<u32>) -> Result<bool> {
        let FieldValues {
            columns,
            names,
            by_id,
            place,
            ..
        } = &mut self.fields[field];
        let texts = columns.iter().all(|c| matches!(c, Values::Text(_) | Values::None));
        if !texts || matches!(place, Place::Paths(_)) {
            return Ok(false);
        }
        for column in columns {
            let Values::Text(dictionary) = column else { continue };
            // A value that no document has is in no dictionary.
            for ord in 0..dictionary.column.num_terms() as u64 {
                out.push(dictionary.id(ord, names, by_id)?);
            }
        }
        Ok(true)
    }

    /// Calls `each` with the moments of all documents of the segment; `false`: the column does not tell.
    pub(super) fn every_moment(&self, field: usize, mut each: impl FnMut(i64) -> Result<()>) -> Result<bool> {
        let [Values::Time(column)] = &self.fields[field].columns[..] else {
            return Ok(false);
        };
        if column.get_cardinality() == Cardinality::Multivalued {
            return Ok(false);
        }
        blocks(&*column.values, |block| block.iter().try_for_each(|at| each(*at)))?;
        Ok(true)
    }

    /// Counts the values that [`Opened::block`] met for the first time.
    pub(super) fn counted(&mut self, field: usize) -> Result<()> {
        let new = self.fields[field].by_id.len() - self.fields[field].held;
        self.fields[field].held += new;
        self.hold(new)
    }

    /// The numbers of a document.
    pub(super) fn numbers(&mut self, field: usize, segment: &Segment, doc: DocId, out: &mut Vec<f64>) -> Result<()> {
        out.clear();
        if matches!(self.fields[field].place, Place::Paths(_)) {
            self.read(field, segment, doc)?;
            let values = self.fields[field].last.iter().flat_map(|(_, v)| v);
            out.extend(values.filter_map(|v| unmapped::number(v)));
            return Ok(());
        }
        for column in &self.fields[field].columns {
            match column {
                Values::Number(column, _) => out.extend(column.values_for_doc(doc).map(|n| n as f64)),
                Values::Time(column) => out.extend(column.values_for_doc(doc).map(|n| n as f64)),
                Values::Text(..) | Values::None => {}
            }
        }
        Ok(())
    }

    /// Calls `each` with the first moment of each of these documents that has one.
    pub(super) fn moments(&self, field: usize, docs: &[DocId], mut each: impl FnMut(i64) -> Result<()>) -> Result<()> {
        let [Values::Time(column)] = &self.fields[field].columns[..] else {
            return Ok(());
        };
        if column.get_cardinality() != Cardinality::Full {
            return docs.iter().filter_map(|doc| column.first(*doc)).try_for_each(each);
        }
        let mut times = [0; COLLECT_BLOCK_BUFFER_LEN];
        for block in docs.chunks(times.len()) {
            let times = &mut times[..block.len()];
            column.values.get_vals(block, times);
            times.iter().try_for_each(|at| each(*at))?;
        }
        Ok(())
    }

    /// The first moment of a document.
    pub(super) fn moment(&self, field: usize, doc: DocId) -> Option<i64> {
        self.fields[field].columns.iter().find_map(|c| match c {
            Values::Time(column) => column.first(doc),
            _ => None,
        })
    }

    /// A value by its number; a class by its name.
    pub(super) fn name(&self, field: usize, id: u32) -> String {
        let f = &self.fields[field];
        let text = f.by_id.get(id as usize).cloned().unwrap_or_default();
        let is_class = field::find(&f.name).is_some_and(|f| f.kind == Kind::Class);
        match text.parse().ok().and_then(class::name).filter(|_| is_class) {
            Some(name) => name.to_owned(),
            None => text,
        }
    }

    /// A value by its number, as it is compared.
    pub(super) fn text(&self, field: usize, id: u32) -> &str {
        self.fields[field].by_id.get(id as usize).map_or("", String::as_str)
    }

    fn read(&mut self, field: usize, segment: &Segment, doc: DocId) -> Result<()> {
        if self.fields[field].last.as_ref().is_some_and(|(d, _)| *d == doc) {
            return Ok(());
        }
        self.reads += 1;
        if self.reads > READS_MAX {
            return Err(Error::TooManyReads {
                field: self.fields[field].name.clone(),
                limit: READS_MAX,
            });
        }
        let (leaves, uid) = (segment.leaves(doc), segment.uid(doc)?);
        let Place::Paths(paths) = &self.fields[field].place else {
            return Ok(());
        };
        let mut values = Vec::new();
        for path in paths {
            let found = self.text.values(path, &leaves, &uid).map_err(|source| Error::Text {
                index: leaves.first().copied().unwrap_or_default(),
                source,
            })?;
            values.extend(found.iter().map(|v| bounded(v).into_owned()));
        }
        values.sort_unstable();
        values.dedup();
        self.fields[field].last = Some((doc, values));
        Ok(())
    }
}

impl FieldValues {
    fn of_columns(&mut self, doc: DocId, out: &mut Vec<u32>) -> Result<()> {
        let (names, by_id) = (&mut self.names, &mut self.by_id);
        for column in &mut self.columns {
            match column {
                Values::None => {}
                Values::Time(column) => {
                    out.extend(column.values_for_doc(doc).map(|n| id(names, by_id, &n.to_string())))
                }
                Values::Number(column, ids) => {
                    for n in column.values_for_doc(doc) {
                        out.push(*ids.entry(n).or_insert_with(|| id(names, by_id, &n.to_string())));
                    }
                }
                Values::Text(dictionary) => {
                    let ords: Vec<u64> = dictionary.column.term_ords(doc).collect();
                    for ord in ords {
                        out.push(dictionary.id(ord, names, by_id)?);
                    }
                }
            }
        }
        Ok(())
    }

    fn id(&mut self, name: &str) -> u32 {
        id(&mut self.names, &mut self.by_id, name)
    }
}

/// Calls `each` with the values of a column, in blocks.
fn blocks<T: Copy + Default + PartialOrd + std::fmt::Debug + Send + Sync + 'static>(
    values: &dyn ColumnValues<T>,
    mut each: impl FnMut(&[T]) -> Result<()>,
) -> Result<()> {
    let mut block = [T::default(); 1024];
    let count = values.num_vals();
    for from in (0..count).step_by(block.len()) {
        let block = &mut block[..(count - from).min(1024) as usize];
        values.get_range(u64::from(from), block);
        each(block)?;
    }
    Ok(())
}

/// Values of a segment whose texts are all read at once: one by one, each is found by reading a block from its start.
const TEXTS_MAX: usize = 16_384;

/// A column of texts, with the number of each of its values that was met.
struct Dictionary {
    column: StrColumn,
    ids: Vec<u32>,
    /// All of them, where there are few.
    texts: Vec<String>,
}

impl Dictionary {
    fn new(column: StrColumn) -> Dictionary {
        Dictionary {
            ids: vec![NONE; column.num_terms()],
            texts: Vec::new(),
            column,
        }
    }

    /// The number of a value.
    fn id(&mut self, ord: u64, names: &mut HashMap<String, u32>, by_id: &mut Vec<String>) -> Result<u32> {
        let at = ord as usize;
        match self.ids.get(at) {
            Some(&known) if known != NONE => return Ok(known),
            _ => {}
        }
        let count = self.column.num_terms();
        if self.texts.is_empty() && count <= TEXTS_MAX {
            let all: Vec<u64> = (0..count as u64).collect();
            let mut texts = Vec::with_capacity(count);
            let dictionary = self.column.dictionary();
            dictionary.sorted_ords_to_term_cb(&all, |text| texts.push(String::from_utf8_lossy(text).into_owned()))?;
            self.texts = texts;
        }
        let new = match self.texts.get(at) {
            Some(text) => id(names, by_id, text),
            None => {
                let mut name = String::new();
                self.column.ord_to_str(ord, &mut name)?;
                id(names, by_id, &name)
            }
        };
        if let Some(slot) = self.ids.get_mut(at) {
            *slot = new;
        }
        Ok(new)
    }
}

fn id(names: &mut HashMap<String, u32>, by_id: &mut Vec<String>, name: &str) -> u32 {
    if let Some(id) = names.get(name) {
        return *id;
    }
    // `VALUES_MAX` ends an answer long before.
    let id = u32::try_from(by_id.len()).unwrap_or(u32::MAX);
    names.insert(name.to_owned(), id);
    by_id.push(name.to_owned());
    id
}

impl Values {
    fn open(segment: &Segment, name: &str) -> Result<Values> {
        let columns = segment.reader.fast_fields();
        if let Ok(numbers) = columns.u64(name) {
            return Ok(Values::Number(numbers, HashMap::new()));
        }
        if let Ok(times) = columns.i64(name) {
            return Ok(Values::Time(times));
        }
        let texts = columns.str(name)?.map(Dictionary::new);
        Ok(texts.map_or(Values::None, Values::Text))
    }
}

/// Where the values of a field are.
fn place(name: &str) -> Result<Place> {
    let refused = || {
        let groups = |k: &Kind| !matches!(k, Kind::Record | Kind::Person);
        let allowed: Vec<&str> = FIELDS.iter().filter(|f| groups(&f.kind)).map(|f| f.name).collect();
        Error::Aggregation {
            given: name.chars().take(100).collect(),
            allowed: allowed.join(", "),
        }
    };
    let Some(spec) = field::find(name) else {
        // Any path of an event, and any field of the source's own.
        let is_path = name.contains('.') && name.len() <= unmapped::PATH_BYTES_MAX && !name.contains('\0');
        return if is_path {
            Ok(Place::Paths(vec![name.to_owned()]))
        } else {
            Err(refused())
        };
    };
    let paths = |names: &[&str]| {
        let of = names.iter().flat_map(|n| crate::schema::text_paths(n));
        Place::Paths(of.map(|p| (*p).to_owned()).collect())
    };
    match &spec.kind {
        Kind::Keyword(names) if names.iter().any(|n| WITHOUT_COLUMN.contains(n)) => {
            let of = KEYWORDS.iter().filter(|(n, _)| names.contains(n)).flat_map(|(_, p)| *p);
            Ok(Place::Paths(of.map(|p| (*p).to_owned()).collect()))
        }
        Kind::Keyword(names) => Ok(Place::Columns(names.to_vec())),
        Kind::Address(name, _) | Kind::Number(name) | Kind::Time(name) => Ok(Place::Columns(vec![name])),
        Kind::Class => Ok(Place::Columns(vec!["class"])),
        Kind::Severity => Ok(Place::Columns(vec!["severity"])),
        Kind::Text(names) => Ok(paths(names)),
        Kind::Record | Kind::Person => Err(refused()),
    }
}
