//! A row of a batch, as a document of the index.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use model::{Batch, Column as Values, Field as Column, LedgerIndex, Millis};
use tantivy::schema::Field;

use crate::keyword::bounded;
use crate::query::canonical;
use crate::row::{Rows, Spare};
use crate::schema::{ADDRESSES, Fields, KEYWORDS, NUMBERS, RAW_PATH, TEXT_COLUMN_BYTES_MAX, TEXTS, WordField};
use crate::unmapped;

/// Hides secrets before they are indexed.
#[derive(Clone, Copy, Debug)]
pub struct Mask {
    /// In text.
    pub text: fn(&str) -> Cow<'_, str>,
    /// In what is looked up whole.
    pub keyword: fn(&str) -> Cow<'_, str>,
    /// Whether a field of the source's own holds a secret by its name.
    pub is_secret_name: fn(&str) -> bool,
    /// The secrets of a text, which are then hidden in the event's other texts.
    pub secrets: fn(&str, &mut Vec<String>),
    /// Hides such secrets.
    pub hide: for<'t> fn(&'t str, &[String]) -> Cow<'t, str>,
    /// What stands in place of a secret.
    pub instead: &'static str,
}

impl Mask {
    /// One that knows text alone.
    #[must_use]
    pub fn of(text: fn(&str) -> Cow<'_, str>) -> Mask {
        Mask {
            text,
            keyword: text,
            is_secret_name: |_| false,
            secrets: |_, _| {},
            hide: |text, _| Cow::Borrowed(text),
            instead: "***",
        }
    }

    fn apply<'t>(&self, text: &'t str, secrets: &[String]) -> Cow<'t, str> {
        self.also((self.text)(text), secrets)
    }

    /// Hides the secrets in a text that is masked.
    fn also<'t>(&self, masked: Cow<'t, str>, secrets: &[String]) -> Cow<'t, str> {
        match secrets.is_empty() {
            true => masked,
            false => Cow::Owned((self.hide)(&masked, secrets).into_owned()),
        }
    }
}

/// Turns rows into documents.
pub(crate) struct Documents {
    fields: Fields,
    mask: Mask,
    keywords: Vec<Keyword>,
    addresses: Vec<Vec<Column>>,
    texts: Vec<(&'static str, WordField, Vec<Column>)>,
    numbers: Vec<(Option<WordField>, Vec<Column>)>,
    raw: Column,
    unmapped: Column,
    status_id: Column,
    status: Column,
    words: Always,
    term: String,
    /// Events that were read and are not handed on.
    pub(crate) rows: Rows,
    pub(crate) spare: Spare,
    /// Where the columns of a batch stand, by the list of them that it was worked out of.
    places: Option<(Arc<HashMap<Column, usize>>, Places)>,
}

/// Where the columns of a batch stand, field by field.
#[derive(Clone, Default)]
struct Places {
    keywords: Vec<Vec<usize>>,
    addresses: Vec<Vec<usize>>,
    texts: Vec<Vec<usize>>,
    numbers: Vec<Vec<usize>>,
    raw: Option<usize>,
    unmapped: Option<usize>,
    status_id: Option<usize>,
    status: Option<usize>,
}

/// A keyword field, where it is looked up, and where its values are.
struct Keyword {
    column: Option<Field>,
    word: WordField,
    is_address: bool,
    columns: Vec<Column>,
}

/// The fields that have no table.
struct Always {
    partition: WordField,
    status: WordField,
    unmapped: WordField,
    has: WordField,
    raw: WordField,
}

impl Documents {
    pub(crate) fn new(fields: Fields, mask: Mask) -> Documents {
        let columns = |paths: &[&str]| paths.iter().map(|p| Column::ocsf(p)).collect::<Vec<_>>();
        let word = |name: &str| fields.word(name).expect("the tables of fields name what is looked up");
        let keyword = |((name, paths), column): (&(&str, &[&str]), &Option<Field>)| Keyword {
            column: *column,
            word: word(name),
            is_address: matches!(*name, "src" | "dst"),
            columns: columns(paths),
        };
        Documents {
            keywords: KEYWORDS.iter().zip(&fields.keywords).map(keyword).collect(),
            addresses: ADDRESSES.iter().map(|(_, p)| columns(p)).collect(),
            texts: TEXTS.iter().map(|(name, p)| (*name, word(name), columns(p))).collect(),
            numbers: NUMBERS
                .iter()
                .map(|(name, p, _)| (fields.word(name), columns(p)))
                .collect(),
            raw: Column::ocsf(RAW_PATH),
            unmapped: Column::ocsf("unmapped"),
            status_id: Column::ocsf("status_id"),
            status: Column::ocsf("status"),
            words: Always {
                partition: word("partition"),
                status: word("status"),
                unmapped: word("unmapped"),
                has: word("has"),
                raw: word("raw"),
            },
            term: String::new(),
            rows: Rows::default(),
            spare: Spare::default(),
            places: None,
            fields,
            mask,
        }
    }

    /// The columns of a batch, for the documents of its rows.
    pub(crate) fn columns<'b>(&mut self, batch: &'b Batch) -> Columns<'b> {
        let is_known = |(of, _): &(Arc<_>, _)| Arc::ptr_eq(of, batch.places());
        if !self.places.as_ref().is_some_and(is_known) {
            self.places = Some((batch.places().clone(), self.places_of(batch)));
        }
        let Some((_, places)) = &self.places else {
            return Columns::default();
        };
        let one = |place: &usize| batch.column_at(*place);
        let of = |places: &Vec<Vec<usize>>| -> Vec<Vec<&'b Values>> {
            places.iter().map(|p| p.iter().filter_map(one).collect()).collect()
        };
        Columns {
            keywords: of(&places.keywords),
            addresses: of(&places.addresses),
            texts: of(&places.texts),
            numbers: of(&places.numbers),
            raw: places.raw.as_ref().and_then(one),
            unmapped: places.unmapped.as_ref().and_then(one),
            status_id: places.status_id.as_ref().and_then(one),
            status: places.status.as_ref().and_then(one),
        }
    }

    fn places_of(&self, batch: &Batch) -> Places {
        let one = |column: &Column| batch.places().get(column).copied();
        let of = |columns: &[Column]| columns.iter().filter_map(one).collect::<Vec<_>>();
        Places {
            keywords: self.keywords.iter().map(|k| of(&k.columns)).collect(),
            addresses: self.addresses.iter().map(|c| of(c)).collect(),
            texts: self.texts.iter().map(|(_, _, c)| of(c)).collect(),
            numbers: self.numbers.iter().map(|(_, c)| of(c)).collect(),
            raw: one(&self.raw),
            unmapped: one(&self.unmapped),
            status_id: one(&self.status_id),
            status: one(&self.status),
        }
    }

    /// Adds a row to those to hand on, and gives the bytes of text in it.
    pub(crate) fn add(&mut self, batch: &Batch, columns: &Columns<'_>, row: usize, of: &Origin<'_>) -> usize {
        let Origin {
            uid,
            leaves,
            received_at,
            processed,
        } = *of;
        let status = columns.status(row);
        let (f, w, term) = (&self.fields, &self.words, &mut self.term);
        let doc = &mut self.rows;
        let place = &batch.rows[row];
        let mut bytes = 0;
        doc.add_i64(f.time, place.time.0);
        doc.add_i64(f.received, received_at.0);
        if let Some(at) = processed {
            doc.add_i64(f.processed, at.0);
        }
        doc.add_u64(f.index, leaves.first().unwrap_or(&place.index).0);
        leaves.iter().skip(1).for_each(|leaf| doc.add_u64(f.parts, leaf.0));
        doc.add_u64(f.event, uid.event);
        let partition = bounded(uid.partition);
        doc.add_text(f.partition, &partition);
        doc.indexed.push(w.partition, &partition);
        if let Some(offset) = uid.offset {
            doc.add_i64(f.offset, offset);
        }
        if let Some(status) = status {
            doc.add_text(f.status, &status);
            doc.indexed.push(w.status, &status);
        }
        for (keyword, columns) in self.keywords.iter().zip(&columns.keywords) {
            let Keyword {
                column,
                word,
                is_address,
                ..
            } = keyword;
            let mut add = |value: &str| {
                if let Some(column) = column {
                    doc.add_text(*column, value);
                }
                doc.indexed.push(*word, value);
            };
            // Most have one value, or none.
            let (mut first, mut more): (Option<&str>, Vec<&str>) = (None, Vec::new());
            each(columns, row, |v| {
                if v.is_empty() || first == Some(v) || more.contains(&v) || more.len() + 1 == KEYWORD_VALUES_MAX {
                    return;
                }
                match first {
                    None => first = Some(v),
                    Some(_) => more.push(v),
                }
                match address(v).filter(|_| *is_address) {
                    Some(address) => add(&canonical(address)),
                    None => add(&bounded(&(self.mask.keyword)(v))),
                }
            });
        }
        for (field, columns) in f.addresses.iter().zip(&columns.addresses) {
            let mut seen = Vec::new();
            each(columns, row, |v| {
                if let Some(address) = address(v).filter(|a| !seen.contains(a)) {
                    seen.push(address);
                    doc.add_address(*field, address);
                }
            });
        }
        let mut number = |field: Field, word: Option<WordField>, n: u64| {
            doc.add_u64(field, n);
            if let Some(word) = word {
                term.clear();
                let _ = write!(term, "{n}");
                doc.indexed.push(word, term);
            }
        };
        // `class` is the first number and has no column of its own.
        number(f.numbers[0], self.numbers[0].0, u64::from(batch.class_uid));
        for ((field, (word, _)), columns) in f.numbers.iter().zip(&self.numbers).zip(&columns.numbers) {
            each(columns, row, |v| {
                if let Ok(n) = v.parse() {
                    number(*field, *word, n);
                }
            });
        }
        let mut secrets = Vec::new();
        let mut masked: Vec<Cow<'_, str>> = Vec::new();
        for columns in &columns.texts {
            each(columns, row, |v| {
                let text = (self.mask.text)(v);
                // Where nothing was hidden there is no secret.
                if let Cow::Owned(_) = text {
                    (self.mask.secrets)(v, &mut secrets);
                }
                masked.push(text);
            });
        }
        let mut masked = masked.into_iter();
        for (((name, word, _), kept), columns) in self.texts.iter().zip(&f.text_columns).zip(&columns.texts) {
            let mut any = false;
            let mut is_short = true;
            each(columns, row, |v| is_short &= v.len() <= TEXT_COLUMN_BYTES_MAX);
            each(columns, row, |v| {
                any = true;
                bytes += v.len();
                let Some(masked) = masked.next() else { return };
                let masked = self.mask.also(masked, &secrets);
                doc.indexed.push(*word, &masked);
                if let Some(field) = kept.filter(|_| is_short) {
                    doc.add_text(field, &masked);
                }
            });
            if any {
                doc.indexed.push(w.has, name);
            }
        }
        let unmapped = columns.unmapped.and_then(|c| c.first(row));
        if let Some(json) = unmapped {
            bytes += json.len();
            unmapped::values(json, |path, value| {
                let value: Cow<'_, str> = if (self.mask.is_secret_name)(path) && !unmapped::is_plain(value) {
                    (self.mask.secrets)(&format!("password={value}"), &mut secrets);
                    Cow::Borrowed(self.mask.instead)
                } else {
                    self.mask.apply(value, &secrets)
                };
                doc.indexed.push_pieces(w.unmapped, &[path, "\0=", &bounded(&value)]);
                if let Some(number) = unmapped::number_of(&value) {
                    doc.indexed
                        .push_pieces(w.unmapped, &[path, "\0#", unmapped::digits(number, &mut [0; 16])]);
                }
            });
        }
        if let Some(raw) = columns.raw.and_then(|c| c.first(row)) {
            bytes += raw.len();
            doc.indexed.push(w.raw, &self.mask.apply(raw, &secrets));
            doc.indexed.push(w.has, "raw");
        }
        doc.end();
        bytes
    }
}

/// Where an event is from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin<'a> {
    pub(crate) uid: &'a Uid<'a>,
    /// Of its records, in order.
    pub(crate) leaves: &'a [LedgerIndex],
    pub(crate) received_at: Millis,
    /// When it is indexed, where that is said.
    pub(crate) processed: Option<Millis>,
}

/// The columns of a batch, field by field.
#[derive(Default)]
pub(crate) struct Columns<'b> {
    keywords: Vec<Vec<&'b Values>>,
    addresses: Vec<Vec<&'b Values>>,
    texts: Vec<Vec<&'b Values>>,
    numbers: Vec<Vec<&'b Values>>,
    raw: Option<&'b Values>,
    unmapped: Option<&'b Values>,
    status_id: Option<&'b Values>,
    status: Option<&'b Values>,
}

impl<'b> Columns<'b> {
    fn status(&self, row: usize) -> Option<Cow<'b, str>> {
        let first = |column: Option<&'b Values>| column.and_then(|c| c.first(row));
        match first(self.status_id) {
            Some("1") => Some("success".into()),
            Some("2") => Some("failure".into()),
            id => first(self.status).map(bounded).or_else(|| id.map(|_| "unknown".into())),
        }
    }
}

/// Values of one keyword field of one event; the rest is found by the raw line only.
const KEYWORD_VALUES_MAX: usize = 640;

fn each<'b>(columns: &[&'b Values], row: usize, mut f: impl FnMut(&'b str)) {
    columns.iter().for_each(|column| column.for_each(row, &mut f));
}

/// An address, IPv4 as its IPv4-mapped IPv6 form.
pub(crate) fn address(text: &str) -> Option<Ipv6Addr> {
    match text.trim().parse().ok()? {
        IpAddr::V4(v4) => Some(v4.to_ipv6_mapped()),
        IpAddr::V6(v6) => Some(v6),
    }
}

/// An event's uid in the parts that are indexed. A uid that is no coordinate is a partition without offset.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Uid<'u> {
    pub(crate) partition: &'u str,
    pub(crate) offset: Option<i64>,
    pub(crate) event: u64,
}

impl<'u> Uid<'u> {
    pub(crate) fn parse(uid: &'u str) -> Uid<'u> {
        let (id, event) = match uid.rsplit_once('#') {
            Some((id, n)) => match as_written::<u64>(n) {
                Some(number) if number > 0 => (id, number),
                _ => (uid, 0),
            },
            None => (uid, 0),
        };
        match coordinate(id) {
            Some((partition, offset)) => Uid {
                partition,
                offset: Some(offset),
                event,
            },
            None => Uid {
                partition: id,
                offset: None,
                event,
            },
        }
    }
}

/// Topic with partition, and offset, as [`model::Coordinate`] reads them and writes them back.
fn coordinate(id: &str) -> Option<(&str, i64)> {
    let slash = |text: &str| text.bytes().rposition(|b| b == b'/');
    let at = slash(id)?;
    let (partition, offset) = (&id[..at], as_written(&id[at + 1..])?);
    let at = slash(partition)?;
    let (topic, number) = (&partition[..at], as_written::<i32>(&partition[at + 1..]));
    let is_one = number.is_some() && !topic.is_empty() && !topic.bytes().any(|b| matches!(b, b'/' | b'#'));
    is_one.then_some((partition, offset))
}

/// A number that is written as it would be: only that may be taken apart.
fn as_written<N: std::str::FromStr>(text: &str) -> Option<N> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = match digits.as_bytes() {
        [b'0'] => digits.len() == text.len(),
        [b'1'..=b'9', ..] => true,
        _ => false,
    };
    text.parse().ok().filter(|_| plain)
}

impl Uid<'_> {
    /// As it was.
    pub(crate) fn text(partition: &str, offset: Option<i64>, event: u64) -> String {
        let mut out = partition.to_owned();
        if let Some(offset) = offset {
            out.push_str(&format!("/{offset}"));
        }
        if event > 0 {
            out.push_str(&format!("#{event}"));
        }
        out
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
mod tests {
    use super::*;
    use model::Coordinate;
    use proptest::prelude::*;

    #[test]
    fn a_uid_is_put_together_again() {
        for uid in [
            "audit.linux/0/17",
            "audit.linux@2/3/17#2",
            "01JNE3X4QK",
            "odd#x",
            "a/b/c#4",
            "t/0/007",
            "t/0/1#0",
            "t/0/1#01",
        ] {
            let parts = Uid::parse(uid);
            assert_eq!(Uid::text(parts.partition, parts.offset, parts.event), uid);
        }
    }

    proptest! {
        #[test]
        fn what_is_a_coordinate_is_taken_apart_and_nothing_else(uid in r"[at/@#+0-9-]{0,4}/-?[0-9+-]{0,3}/[0-9+-]{0,4}(#[0-9]{1,2})?") {
            let parts = Uid::parse(&uid);
            prop_assert_eq!(Uid::text(parts.partition, parts.offset, parts.event), uid.clone());
            let id = match parts.event {
                0 => uid.as_str(),
                _ => uid.rsplit_once('#').unwrap().0,
            };
            let read = id.parse::<Coordinate>().ok().filter(|c| c.to_string() == id);
            let plain = read.map(|c| (format!("{}/{}", c.topic, c.partition), c.offset));
            prop_assert_eq!(parts.offset.map(|offset| (parts.partition.to_owned(), offset)), plain);
        }
    }
}
