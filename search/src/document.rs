//! A row of a batch, as a document of the index.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr};

use model::{Batch, Coordinate, Field as Column, LedgerIndex, Millis};
use tantivy::TantivyDocument;

use crate::keyword::bounded;
use crate::query::canonical;
use crate::schema::{ADDRESSES, Fields, KEYWORDS, NUMBERS, RAW_PATH, TEXTS};
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

    fn apply(&self, text: &str, secrets: &[String]) -> String {
        let masked = (self.text)(text);
        match secrets.is_empty() {
            true => masked.into_owned(),
            false => (self.hide)(&masked, secrets).into_owned(),
        }
    }
}

/// Turns rows into documents.
pub(crate) struct Documents {
    fields: Fields,
    mask: Mask,
    keywords: Vec<Vec<Column>>,
    addresses: Vec<Vec<Column>>,
    texts: Vec<Vec<Column>>,
    numbers: Vec<Vec<Column>>,
    raw: Column,
    unmapped: Column,
    status_id: Column,
    status: Column,
}

impl Documents {
    pub(crate) fn new(fields: Fields, mask: Mask) -> Documents {
        let columns = |paths: &[&str]| paths.iter().map(|p| Column::ocsf(p)).collect::<Vec<_>>();
        Documents {
            fields,
            mask,
            keywords: KEYWORDS.iter().map(|(_, p)| columns(p)).collect(),
            addresses: ADDRESSES.iter().map(|(_, p)| columns(p)).collect(),
            texts: TEXTS.iter().map(|(_, p)| columns(p)).collect(),
            numbers: NUMBERS.iter().map(|(_, p, _)| columns(p)).collect(),
            raw: Column::ocsf(RAW_PATH),
            unmapped: Column::ocsf("unmapped"),
            status_id: Column::ocsf("status_id"),
            status: Column::ocsf("status"),
        }
    }

    /// The document of a row whose records are at `leaves`, and the bytes of text in it.
    pub(crate) fn document(
        &self,
        batch: &Batch,
        row: usize,
        leaves: &[LedgerIndex],
        received_at: Millis,
        processed: Option<Millis>,
    ) -> (TantivyDocument, usize) {
        let f = &self.fields;
        let place = &batch.rows[row];
        let mut doc = TantivyDocument::default();
        let mut bytes = 0;
        doc.add_i64(f.time, place.time.0);
        doc.add_i64(f.received, received_at.0);
        if let Some(at) = processed {
            doc.add_i64(f.processed, at.0);
        }
        doc.add_u64(f.index, leaves.first().unwrap_or(&place.index).0);
        leaves.iter().skip(1).for_each(|leaf| doc.add_u64(f.parts, leaf.0));
        let uid = Uid::parse(batch.uid(row));
        doc.add_u64(f.event, uid.event);
        doc.add_text(f.partition, bounded(&uid.partition));
        if let Some(offset) = uid.offset {
            doc.add_i64(f.offset, offset);
        }
        // `class` is the first number and has no column of its own.
        doc.add_u64(f.numbers[0], u64::from(batch.class_uid));
        if let Some(status) = self.status(batch, row) {
            doc.add_text(f.status, status);
        }
        for ((field, columns), (name, _)) in f.keywords.iter().zip(&self.keywords).zip(KEYWORDS) {
            let is_address = matches!(*name, "src" | "dst");
            let mut seen: Vec<&str> = Vec::new();
            each(batch, row, columns, |v| {
                if v.is_empty() || seen.contains(&v) || seen.len() == KEYWORD_VALUES_MAX {
                    return;
                }
                seen.push(v);
                match address(v).filter(|_| is_address) {
                    Some(address) => doc.add_text(*field, canonical(address)),
                    None => doc.add_text(*field, bounded(&(self.mask.keyword)(v))),
                }
            });
        }
        for (field, columns) in f.addresses.iter().zip(&self.addresses) {
            let mut seen = Vec::new();
            each(batch, row, columns, |v| {
                if let Some(address) = address(v).filter(|a| !seen.contains(a)) {
                    seen.push(address);
                    doc.add_ip_addr(*field, address);
                }
            });
        }
        for (field, columns) in f.numbers.iter().zip(&self.numbers) {
            each(batch, row, columns, |v| {
                if let Ok(n) = v.parse() {
                    doc.add_u64(*field, n);
                }
            });
        }
        let mut secrets = Vec::new();
        for columns in &self.texts {
            each(batch, row, columns, |v| (self.mask.secrets)(v, &mut secrets));
        }
        for ((field, columns), (name, _)) in f.texts.iter().zip(&self.texts).zip(TEXTS) {
            let mut any = false;
            each(batch, row, columns, |v| {
                any = true;
                bytes += v.len();
                doc.add_text(*field, self.mask.apply(v, &secrets));
            });
            if any {
                doc.add_text(f.has, name);
            }
        }
        let unmapped = batch.column(&self.unmapped).and_then(|c| c.first(row));
        if let Some(json) = unmapped {
            bytes += json.len();
            unmapped::values(json, |path, value| {
                let value: Cow<'_, str> = if (self.mask.is_secret_name)(path) && !unmapped::is_plain(value) {
                    (self.mask.secrets)(&format!("password={value}"), &mut secrets);
                    Cow::Borrowed(self.mask.instead)
                } else {
                    Cow::Owned(self.mask.apply(value, &secrets))
                };
                doc.add_text(f.unmapped, unmapped::term(path, &value));
                if let Some(term) = unmapped::number_term(path, &value) {
                    doc.add_text(f.unmapped, term);
                }
            });
        }
        if let Some(raw) = batch.column(&self.raw).and_then(|c| c.first(row)) {
            bytes += raw.len();
            doc.add_text(f.raw, self.mask.apply(raw, &secrets));
            doc.add_text(f.has, "raw");
        }
        (doc, bytes)
    }

    fn status<'a>(&self, batch: &'a Batch, row: usize) -> Option<Cow<'a, str>> {
        let first = |column| batch.column(column).and_then(|c| c.first(row));
        match first(&self.status_id) {
            Some("1") => Some("success".into()),
            Some("2") => Some("failure".into()),
            id => first(&self.status)
                .map(bounded)
                .or_else(|| id.map(|_| "unknown".into())),
        }
    }
}

/// Values of one keyword field of one event; the rest is found by the raw line only.
const KEYWORD_VALUES_MAX: usize = 640;

fn each<'a>(batch: &'a Batch, row: usize, columns: &[Column], mut f: impl FnMut(&'a str)) {
    for column in columns.iter().filter_map(|c| batch.column(c)) {
        column.for_each(row, &mut f);
    }
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
pub(crate) struct Uid {
    pub(crate) partition: String,
    pub(crate) offset: Option<i64>,
    pub(crate) event: u64,
}

impl Uid {
    pub(crate) fn parse(uid: &str) -> Uid {
        let (id, event) = match uid.rsplit_once('#') {
            // Only what is written back as it was read may be taken apart.
            Some((id, n)) => match n.parse::<u64>() {
                Ok(number) if number > 0 && number.to_string() == n => (id, number),
                _ => (uid, 0),
            },
            None => (uid, 0),
        };
        match id.parse::<Coordinate>() {
            Ok(c) if c.to_string() == id => Uid {
                partition: format!("{}/{}", c.topic, c.partition),
                offset: Some(c.offset),
                event,
            },
            _ => Uid {
                partition: id.to_owned(),
                offset: None,
                event,
            },
        }
    }

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
mod tests {
    use super::*;

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
            assert_eq!(Uid::text(&parts.partition, parts.offset, parts.event), uid);
        }
    }
}
