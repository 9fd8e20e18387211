//! The events of one log source as Arrow columns, beside their records.
//!
//! Rules are routed once per batch and evaluated over columns. A column exists only where a loaded rule,
//! the index or an output wants it ([`Wanted`]). Values are text: numbers and booleans as JSON writes them,
//! because Sigma compares them so; a null is a missing value.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arrow_array::{Array, ListArray, StringArray};
use arrow_buffer::{BooleanBufferBuilder, Buffer, NullBuffer, OffsetBuffer};
use arrow_schema::{DataType, Field as ArrowField};

use crate::{Event, LedgerIndex, LogSource, Millis, Plan};

/// Which of an event's two sets of fields a name belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Namespace {
    /// Dotted OCSF paths, and Docket's own under `docket.` (`docket.system`, `docket.command`, `docket.source`).
    Ocsf,
    /// The source's own field names.
    Native,
}

/// In a column's place among the names that a statement gives its tables: it asks for all columns.
pub const ALL_COLUMNS: &str = "@all";

/// At the end of a field's path: the column is `true` in each row whose event has the field, be it null or empty.
pub const EXISTS: &str = "|exists";

/// A field of an event: a namespace and a name. Through arrays of objects a path yields many values.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Field {
    /// Which names.
    pub namespace: Namespace,
    /// The dotted path or the source's name; `*` is every value of the event in that namespace (keywords);
    /// [`EXISTS`] may stand behind it.
    pub path: Arc<str>,
}

impl Field {
    /// An OCSF field.
    #[must_use]
    pub fn ocsf(path: &str) -> Field {
        Field {
            namespace: Namespace::Ocsf,
            path: path.into(),
        }
    }

    /// A field of the source's own.
    #[must_use]
    pub fn native(path: &str) -> Field {
        Field {
            namespace: Namespace::Native,
            path: path.into(),
        }
    }
}

/// The fields for which columns are built.
pub type Wanted = BTreeSet<Field>;

/// One event's place in a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// The record's leaf.
    pub index: LedgerIndex,
    /// When it happened.
    pub time: Millis,
    /// When the record was received.
    pub received_at: Millis,
}

/// The uids of a batch, one after the other.
#[derive(Clone, Debug, Default)]
pub struct Uids {
    texts: String,
    ends: Vec<usize>,
}

impl Uids {
    /// None yet, with room for about as many.
    #[must_use]
    pub fn as_many(&self) -> Uids {
        Uids {
            texts: String::with_capacity(self.texts.len() + self.texts.len() / 8),
            ends: Vec::with_capacity(self.ends.len() + self.ends.len() / 8),
        }
    }

    /// Adds the uid of the next row.
    pub fn push(&mut self, uid: &str) {
        self.texts.push_str(uid);
        self.ends.push(self.texts.len());
    }

    /// Adds the uid of the next row: the id of its record, as it shows itself.
    pub fn push_record(&mut self, topic: &str, partition: i32, offset: i64) {
        crate::record::push_id(&mut self.texts, topic, partition, offset);
        self.ends.push(self.texts.len());
    }
}

/// The values of a column in the making, in the order of their rows.
#[derive(Clone, Debug, Default)]
pub struct Values {
    text: String,
    /// For each value its row, and where in `text` it ends.
    places: Vec<(u32, u32)>,
    many: bool,
}

impl Values {
    /// None yet, with room for about as many.
    #[must_use]
    pub fn as_many(&self) -> Values {
        let more = |n: usize| n + n / 8;
        Values {
            text: String::with_capacity(more(self.text.len())),
            places: Vec::with_capacity(more(self.places.len())),
            many: false,
        }
    }

    /// Adds a value of `row`, which no row before it may follow.
    pub fn push(&mut self, row: u32, value: &str) {
        self.many |= self.places.last().is_some_and(|(before, _)| *before == row);
        self.text.push_str(value);
        self.places.push((row, self.text.len() as u32));
    }

    /// Whether `row` has a value.
    #[must_use]
    pub fn has(&self, row: u32) -> bool {
        self.places.last().is_some_and(|(before, _)| *before == row)
    }

    /// Bytes of all values; a column holds less than 2 GiB.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.text.len()
    }

    /// The column, of so many rows; `None` where there is no value.
    #[must_use]
    pub fn column(self, rows: usize) -> Option<Column> {
        let Values { text, places, many } = self;
        if places.is_empty() {
            return None;
        }
        let mut ends: Vec<i32> = Vec::with_capacity(places.len().max(rows) + 1);
        ends.push(0);
        if many {
            let mut lists: Vec<i32> = Vec::with_capacity(rows + 1);
            lists.push(0);
            for (n, (row, end)) in places.iter().enumerate() {
                lists.resize(*row as usize + 1, n as i32);
                ends.push(*end as i32);
            }
            lists.resize(rows + 1, places.len() as i32);
            return list(lists, ends, text).map(Column::Many);
        }
        let mut there = BooleanBufferBuilder::new(rows);
        let mut before = 0;
        for (row, end) in &places {
            let row = *row as usize;
            ends.resize(row + 1, before);
            there.append_n(row - there.len(), false);
            before = *end as i32;
            ends.push(before);
            there.append(true);
        }
        ends.resize(rows + 1, before);
        there.append_n(rows - there.len(), false);
        let there = NullBuffer::new(there.finish());
        strings(ends, text, Some(there)).map(Column::One)
    }
}

/// Texts that end at `ends`, which begins with 0. `None` where the ends are not of the text, which who made them sees to.
pub(crate) fn strings(ends: Vec<i32>, text: String, there: Option<NullBuffer>) -> Option<StringArray> {
    let ends = OffsetBuffer::new(ends.into());
    StringArray::try_new(ends, Buffer::from_vec(text.into_bytes()), there).ok()
}

/// Lists of texts: how many texts there are before each row and at last, and where each of them ends, which begins with 0.
pub(crate) fn list(begins: Vec<i32>, ends: Vec<i32>, text: String) -> Option<ListArray> {
    let texts = strings(ends, text, None)?;
    let field = Arc::new(ArrowField::new_list_field(DataType::Utf8, true));
    let begins = OffsetBuffer::new(begins.into());
    ListArray::try_new(field, begins, Arc::new(texts), None).ok()
}

/// A column of text.
#[derive(Clone, Debug)]
pub enum Column {
    /// At most one value a row.
    One(StringArray),
    /// Any number of values a row.
    Many(ListArray),
    /// One value, the same in each of these rows, and none in others.
    Same(StringArray, std::ops::Range<usize>),
}

impl Column {
    /// The first value of a row.
    #[must_use]
    pub fn first(&self, row: usize) -> Option<&str> {
        match self {
            Column::One(a) => a.is_valid(row).then(|| a.value(row)),
            Column::Many(a) => {
                let range = a.value_offsets()[row] as usize..a.value_offsets()[row + 1] as usize;
                range.start.lt(&range.end).then(|| texts(a).value(range.start))
            }
            Column::Same(one, rows) => rows.contains(&row).then(|| one.value(0)),
        }
    }

    /// Calls `each` with every value of a row, in order.
    pub fn for_each<'a>(&'a self, row: usize, mut each: impl FnMut(&'a str)) {
        match self {
            Column::One(a) => {
                if a.is_valid(row) {
                    each(a.value(row));
                }
            }
            Column::Many(a) => {
                let values = texts(a);
                for i in a.value_offsets()[row]..a.value_offsets()[row + 1] {
                    each(values.value(i as usize));
                }
            }
            Column::Same(one, rows) => {
                if rows.contains(&row) {
                    each(one.value(0));
                }
            }
        }
    }

    /// Every value of a row, in order.
    #[must_use]
    pub fn all(&self, row: usize) -> Vec<&str> {
        let mut out = Vec::new();
        self.for_each(row, |v| out.push(v));
        out
    }
}

/// The text of a list's items.
fn texts(list: &ListArray) -> &StringArray {
    // batches are the only makers of columns, and its lists hold text.
    list.values().as_any().downcast_ref().expect("a list column holds text")
}

/// The events of one log source and one OCSF class, in ledger order.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Sigma's labels of all its events.
    pub logsource: LogSource,
    /// OCSF `class_uid` of all its events.
    pub class_uid: u32,
    /// The source's id in the configuration.
    pub source: Arc<str>,
    /// The events' places.
    pub rows: Vec<Row>,
    pub(crate) uids: Uids,
    pub(crate) columns: Columns,
}

/// The columns of a batch, by field; which field stands where, the batches of a plan share.
#[derive(Clone, Debug, Default)]
pub(crate) struct Columns {
    places: Arc<HashMap<Field, usize>>,
    columns: Vec<Option<Column>>,
}

impl Columns {
    pub fn new(places: &Arc<HashMap<Field, usize>>, columns: Vec<Option<Column>>) -> Columns {
        Columns {
            places: places.clone(),
            columns,
        }
    }

    fn get(&self, field: &Field) -> Option<&Column> {
        self.columns.get(*self.places.get(field)?)?.as_ref()
    }

    /// Puts a column in the place of a field, where it has one.
    pub fn put(&mut self, field: &Field, column: Option<Column>) {
        let Some(place) = self.places.get(field) else { return };
        if self.columns.len() <= *place {
            self.columns.resize(*place + 1, None);
        }
        self.columns[*place] = column;
    }

    fn iter(&self) -> impl Iterator<Item = (&Field, &Column)> {
        let columns = |(field, place): (_, &usize)| Some((field, self.columns.get(*place)?.as_ref()?));
        self.places.iter().filter_map(columns)
    }
}

impl Batch {
    /// Builds the wanted columns of `events`, which share `logsource`, `class_uid` and `source`. Who builds many keeps
    /// a [`Plan`](crate::Plan).
    #[must_use]
    pub fn build(source: &Arc<str>, events: &[(LedgerIndex, Millis, &Event<'_>)], wanted: &Wanted) -> Batch {
        Plan::new(wanted).batch(source, events)
    }

    /// The uid of the event in a row; up to `#` it is the record id. Empty where there is no such row.
    #[must_use]
    pub fn uid(&self, row: usize) -> &str {
        let start = match row.checked_sub(1) {
            Some(before) => self.uids.ends.get(before).copied().unwrap_or(0),
            None => 0,
        };
        let end = self.uids.ends.get(row).copied().unwrap_or(start);
        &self.uids.texts[start..end]
    }

    /// A batch of columns that are made already, each with a place for every row; `places` says where the column of a
    /// field stands among them.
    #[must_use]
    pub fn with_columns(
        source: &Arc<str>,
        logsource: LogSource,
        class_uid: u32,
        rows: Vec<Row>,
        uids: Uids,
        places: &Arc<HashMap<Field, usize>>,
        columns: Vec<Option<Column>>,
    ) -> Batch {
        Batch {
            logsource,
            class_uid,
            source: source.clone(),
            rows,
            uids,
            columns: Columns::new(places, columns),
        }
    }

    /// The column of a field; `None` where no event of the batch has it.
    #[must_use]
    pub fn column(&self, field: &Field) -> Option<&Column> {
        self.columns.get(field)
    }

    /// Where the column of each field stands ([`Batch::column_at`]). Batches share it, so that what is worked out of it
    /// once serves them all.
    #[must_use]
    pub fn places(&self) -> &Arc<HashMap<Field, usize>> {
        &self.columns.places
    }

    /// The column at a place; `None` where no event of the batch has its field.
    #[must_use]
    pub fn column_at(&self, place: usize) -> Option<&Column> {
        self.columns.columns.get(place)?.as_ref()
    }

    /// Every column, in no particular order.
    pub fn columns(&self) -> impl Iterator<Item = (&Field, &Column)> {
        self.columns.iter()
    }

    /// The first value of an OCSF field in a row.
    #[must_use]
    pub fn ocsf(&self, path: &str, row: usize) -> Option<&str> {
        self.columns.get(&Field::ocsf(path))?.first(row)
    }
}
