//! Lines of JSON straight into columns: each line is read once, and only what is wanted is kept.
//!
//! For rules over a source's own fields (`--format json`). The values of a column are those that [`model::Plan`] gives for
//! the parsed object; a line of which that is not sure (a key twice, a dotted key beside its first part, a number with an
//! exponent, deep nesting, bad JSON) is handed back, for the reader that takes its time.

use std::sync::Arc;

use foldhash::HashMap;
use model::value::tag;
use model::{Batch, EXISTS, Field, LogSource, Namespace, Row, Uids, Values, Wanted};

/// Objects and lists inside one another.
const DEPTH_MAX: usize = 32;
/// Dots of one path; each way to part it is looked for.
const DOTS_MAX: usize = 8;
/// Bytes of a line.
const LINE_BYTES_MAX: usize = 1 << 20;
/// Bytes of one column of a batch.
const COLUMN_BYTES_MAX: usize = 1 << 30;

/// The wanted fields of the native namespace, by the keys that lead to them.
#[derive(Debug, Default)]
pub struct JsonColumns {
    fields: Vec<Field>,
    /// How many of them the caller reads of each line; those hold no lists and no objects.
    besides: u32,
    /// The keyword column (`*`), where it is wanted.
    every: Option<u32>,
    nodes: Vec<Node>,
}

/// What is wanted of one object.
#[derive(Debug, Default)]
struct Node {
    /// By the tags of the keys: most keys are let go of here.
    tags: [u64; 4],
    by_key: HashMap<Box<str>, Entry>,
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
pub struct JsonBatches<'c> {
    columns: &'c JsonColumns,
    /// Of the line at hand, what does not stand in it as it is meant.
    text: String,
    spans: Vec<Span>,
    /// Groups by their source and labels, each with its length before it.
    places: HashMap<Box<[u8]>, usize>,
    key: Vec<u8>,
    groups: Vec<Group>,
}

/// The lines of one log source.
#[derive(Debug)]
struct Group {
    source: Arc<str>,
    logsource: LogSource,
    rows: Vec<Row>,
    uids: Uids,
    needs: Arc<Needs>,
    /// Of the columns that are needed.
    values: Vec<Values>,
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
        for field in wanted.iter().filter(|f| f.namespace == Namespace::Native) {
            if !fields.contains(field) {
                fields.push(field.clone());
            }
        }
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
        out.fields = fields;
        Some(out)
    }

    /// Which columns are of `wanted`.
    #[must_use]
    pub fn needs(&self, wanted: &Wanted) -> Arc<Needs> {
        let mut slots = Vec::with_capacity(self.fields.len());
        let mut places = std::collections::HashMap::new();
        for field in &self.fields {
            let is_needed = wanted.contains(field);
            slots.push(is_needed.then(|| places.len() as u32));
            if is_needed {
                places.insert(field.clone(), places.len());
            }
        }
        Arc::new(Needs {
            slots,
            places: Arc::new(places),
        })
    }

    /// Every way in which keys may spell the path.
    fn lead(&mut self, node: usize, path: &str, column: u32, exists: bool) {
        let entry = self.nodes[node].entry(path);
        let to = if exists { &mut entry.exists } else { &mut entry.values };
        to.push(column);
        for (dot, _) in path.match_indices('.') {
            let next = self.nodes.len();
            let entry = self.nodes[node].entry(&path[..dot]);
            let inner = *entry.inner.get_or_insert(next);
            if inner == next {
                self.nodes.push(Node::default());
            }
            self.lead(inner, &path[dot + 1..], column, exists);
        }
    }

    /// Batches to read lines into.
    #[must_use]
    pub fn batches(&self) -> JsonBatches<'_> {
        JsonBatches {
            columns: self,
            text: String::new(),
            spans: Vec::new(),
            places: HashMap::default(),
            key: Vec::new(),
            groups: Vec::new(),
        }
    }
}

impl Node {
    fn entry(&mut self, key: &str) -> &mut Entry {
        let tag = usize::from(tag(key));
        self.tags[tag / 64] |= 1 << (tag % 64);
        self.by_key.entry(key.into()).or_default()
    }

    fn get(&self, key: &str, tag: usize) -> Option<&Entry> {
        if self.tags[tag / 64] & 1 << (tag % 64) == 0 {
            return None;
        }
        self.by_key.get(key)
    }
}

/// A line that was read: its values, until the next is read.
#[derive(Clone, Copy, Debug)]
pub struct Line<'l>(&'l str);

impl JsonBatches<'_> {
    /// Reads a line. It goes into no batch before [`JsonBatches::add`].
    ///
    /// # Errors
    /// The line is for another reader.
    pub fn read<'l>(&mut self, line: &'l str) -> Result<Line<'l>, Odd> {
        self.spans.clear();
        self.text.clear();
        if line.len() > LINE_BYTES_MAX {
            return Err(Odd);
        }
        let mut reader = Reader {
            columns: self.columns,
            line,
            bytes: line.as_bytes(),
            at: 0,
            keys: Vec::new(),
            text: &mut self.text,
            spans: &mut self.spans,
        };
        reader.line().map(|()| Line(line))
    }

    /// The values of the fields besides in the line that was read last, each with its field's number.
    pub fn besides<'v>(&'v self, line: Line<'v>) -> impl Iterator<Item = (usize, &'v str)> {
        let besides = self.spans.iter().filter(|(column, ..)| *column < self.columns.besides);
        besides.map(move |(column, start, end)| (*column as usize, text_of(line.0, &self.text, *start, *end)))
    }

    /// Puts the line that was read last into the batch of its source and labels (`product`, `category`, `service`: fields
    /// besides, by their numbers). `needs` says which columns the lines of a log source need.
    ///
    /// # Errors
    /// The batch is full; the line is for another reader.
    pub fn add(
        &mut self,
        line: Line<'_>,
        source: &Arc<str>,
        labels: [Option<usize>; 3],
        row: Row,
        uid: &impl std::fmt::Display,
        needs: impl FnOnce(&LogSource) -> Arc<Needs>,
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
                let needs = needs(&logsource);
                self.groups.push(Group {
                    source: source.clone(),
                    logsource,
                    rows: Vec::new(),
                    uids: Uids::default(),
                    values: vec![Values::default(); needs.places.len()],
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
        let fits = |(column, start, end): &Span| {
            slot(*column).is_none_or(|slot| group.values[slot].bytes() + (end - start) as usize <= COLUMN_BYTES_MAX)
        };
        if !self.spans.iter().all(fits) {
            return Err(Odd);
        }
        for (column, start, end) in self.spans.drain(..) {
            if let Some(slot) = slot(column) {
                group.values[slot].push(number, text_of(line.0, text, start, end));
            }
        }
        group.rows.push(row);
        group.uids.push_shown(uid);
        Ok(())
    }

    /// The batches, in the order of their first lines.
    #[must_use]
    pub fn finish(self) -> Vec<Batch> {
        self.groups
            .into_iter()
            .map(|group| {
                let rows = group.rows.len();
                let made = group.values.into_iter().map(|values| values.column(rows)).collect();
                Batch::with_columns(
                    &group.source,
                    group.logsource,
                    0,
                    group.rows,
                    group.uids,
                    &group.needs.places,
                    made,
                )
            })
            .collect()
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

/// What is wanted of the value at hand.
#[derive(Clone, Copy)]
struct Want<'c> {
    values: &'c [u32],
    inner: Option<usize>,
}

const NOTHING: Want<'static> = Want {
    values: &[],
    inner: None,
};

/// A line being read.
struct Reader<'l, 'c, 't> {
    columns: &'c JsonColumns,
    line: &'l str,
    bytes: &'l [u8],
    at: usize,
    /// The keys of the objects that are open.
    keys: Vec<&'l str>,
    text: &'t mut String,
    spans: &'t mut Vec<Span>,
}

impl<'l, 'c> Reader<'l, 'c, '_> {
    fn line(&mut self) -> Result<(), Odd> {
        self.blank();
        if self.peek() != Some(b'{') {
            return Err(Odd);
        }
        self.object(Some(0), 0)?;
        self.blank();
        if self.at == self.bytes.len() { Ok(()) } else { Err(Odd) }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn blank(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> Result<(), Odd> {
        self.blank();
        if self.peek() != Some(byte) {
            return Err(Odd);
        }
        self.at += 1;
        Ok(())
    }

    fn object(&mut self, node: Option<usize>, depth: usize) -> Result<(), Odd> {
        if depth > DEPTH_MAX {
            return Err(Odd);
        }
        self.at += 1;
        self.blank();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        let entries = node.map(|n| &self.columns.nodes[n]);
        let first = self.keys.len();
        let (mut marks, mut dotted) = ([0_u64; 4], false);
        loop {
            self.blank();
            if self.peek() != Some(b'"') {
                return Err(Odd);
            }
            let (start, end, escaped) = self.string()?;
            if escaped {
                return Err(Odd);
            }
            let key = &self.line[start..end];
            // A key that stands twice: the last would count.
            let tag = usize::from(tag(key));
            let (word, bit) = (&mut marks[tag / 64], 1 << (tag % 64));
            if *word & bit != 0 && self.keys[first..].contains(&key) {
                return Err(Odd);
            }
            *word |= bit;
            self.keys.push(key);
            self.take(b':')?;
            self.blank();
            let want = match entries.and_then(|e| e.get(key, tag)) {
                None => NOTHING,
                Some(entry) => {
                    dotted |= key.contains('.');
                    for column in &entry.exists {
                        if !self.spans.iter().any(|(c, ..)| c == column) {
                            let span = self.push("true");
                            self.spans.push((*column, span.0, span.1));
                        }
                    }
                    Want {
                        values: &entry.values,
                        inner: entry.inner,
                    }
                }
            };
            self.value(want, depth + 1)?;
            self.blank();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return Err(Odd),
            }
        }
        self.at += 1;
        if dotted {
            // `a.b` beside `a`: which of them counts is a question of their order.
            let keys = &self.keys[first..];
            for key in keys {
                if key.match_indices('.').any(|(dot, _)| keys.contains(&&key[..dot])) {
                    return Err(Odd);
                }
            }
        }
        self.keys.truncate(first);
        Ok(())
    }

    fn value(&mut self, want: Want<'c>, depth: usize) -> Result<(), Odd> {
        if depth > DEPTH_MAX {
            return Err(Odd);
        }
        let open = matches!(self.peek(), Some(b'{' | b'['));
        if open && want.values.iter().any(|c| *c < self.columns.besides) {
            return Err(Odd);
        }
        match self.peek() {
            Some(b'"') => {
                let (start, end, escaped) = self.string()?;
                if escaped {
                    let whole = &self.line[start - 1..=end];
                    let text: String = serde_json::from_str(whole).map_err(|_| Odd)?;
                    self.keep_beside(want, &text);
                } else {
                    self.keep(want, start, end);
                }
                Ok(())
            }
            Some(b'{') => {
                let start = self.at;
                self.object(want.inner, depth)?;
                if !want.values.is_empty() {
                    // An object that is itself asked for is its text.
                    let value: serde_json::Value = serde_json::from_str(&self.line[start..self.at]).map_err(|_| Odd)?;
                    let (start, end) = self.push(&value.to_string());
                    self.spans.extend(want.values.iter().map(|c| (*c, start, end)));
                }
                Ok(())
            }
            Some(b'[') => self.list(want, depth),
            Some(b't') => self.word("true", want),
            Some(b'f') => self.word("false", want),
            Some(b'n') => {
                if !self.bytes[self.at..].starts_with(b"null") {
                    return Err(Odd);
                }
                self.at += 4;
                Ok(())
            }
            Some(b'-' | b'0'..=b'9') => self.number(want),
            _ => Err(Odd),
        }
    }

    fn list(&mut self, want: Want<'c>, depth: usize) -> Result<(), Odd> {
        self.at += 1;
        self.blank();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.blank();
            // A path goes through the objects of a list, not through lists in it.
            let inner = want.inner.filter(|_| self.peek() == Some(b'{'));
            self.value(Want { inner, ..want }, depth + 1)?;
            self.blank();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                _ => return Err(Odd),
            }
        }
        self.at += 1;
        Ok(())
    }

    fn word(&mut self, word: &'static str, want: Want<'c>) -> Result<(), Odd> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return Err(Odd);
        }
        let start = self.at;
        self.at += word.len();
        self.keep(want, start, self.at);
        Ok(())
    }

    fn number(&mut self, want: Want<'c>) -> Result<(), Odd> {
        let start = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        let whole = self.digits();
        if whole == 0 || (whole > 1 && self.bytes[self.at - whole] == b'0') {
            return Err(Odd);
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if self.digits() == 0 {
                return Err(Odd);
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            return Err(Odd);
        }
        self.keep(want, start, self.at);
        Ok(())
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        self.at - start
    }

    /// Passes a string; where its content is, and whether something in it is escaped.
    fn string(&mut self) -> Result<(usize, usize, bool), Odd> {
        let start = self.at + 1;
        let mut at = start;
        let mut escaped = false;
        loop {
            at += memchr::memchr2(b'"', b'\\', self.bytes.get(at..).ok_or(Odd)?).ok_or(Odd)?;
            if self.bytes[at] == b'"' {
                break;
            }
            escaped = true;
            at += 2;
        }
        let control = self.bytes[start..at].iter().fold(false, |any, b| any | (*b < 0x20));
        if control {
            return Err(Odd);
        }
        self.at = at + 1;
        Ok((start, at, escaped))
    }

    /// Keeps a value that stands in the line.
    fn keep(&mut self, want: Want<'c>, start: usize, end: usize) {
        self.keep_span(want, start as u32, end as u32);
    }

    /// Keeps a value that does not stand in the line as it is meant.
    fn keep_beside(&mut self, want: Want<'c>, text: &str) {
        if !want.values.is_empty() || self.columns.every.is_some() {
            let (start, end) = self.push(text);
            self.keep_span(want, start, end);
        }
    }

    fn keep_span(&mut self, want: Want<'c>, start: u32, end: u32) {
        self.spans.extend(want.values.iter().map(|c| (*c, start, end)));
        self.spans.extend(self.columns.every.map(|c| (c, start, end)));
    }

    /// `BESIDE` is far above what a line holds.
    fn push(&mut self, text: &str) -> (u32, u32) {
        let start = self.text.len() as u32;
        self.text.push_str(text);
        (start | BESIDE, self.text.len() as u32 | BESIDE)
    }
}
