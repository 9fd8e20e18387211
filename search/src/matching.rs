//! Which documents of a segment match, including what only the raw text can decide.

use std::error::Error as StdError;

use model::LedgerIndex;
use tantivy::query::{EnableScoring, Query, Weight};
use tantivy::schema::Schema;
use tantivy::{BitSet, DocId, SegmentReader};

use crate::error::{Error, Result};
use crate::query::TextPattern;
use crate::query::plan::Plan;

/// Gives back the raw line of an event: the same masked text of `raw_data` that was indexed. The caller reads the
/// ledger, normalizes and masks.
pub trait RawText {
    /// The text of the event `uid` of the records at `leaves` (never none); `None` where it has no raw line.
    ///
    /// # Errors
    /// Whatever kept the record from being read; the search ends with it.
    fn raw(
        &self,
        leaves: &[LedgerIndex],
        uid: &str,
    ) -> std::result::Result<Option<String>, Box<dyn StdError + Send + Sync>>;
}

impl<F> RawText for F
where
    F: Fn(&[LedgerIndex], &str) -> std::result::Result<Option<String>, Box<dyn StdError + Send + Sync>>,
{
    fn raw(
        &self,
        leaves: &[LedgerIndex],
        uid: &str,
    ) -> std::result::Result<Option<String>, Box<dyn StdError + Send + Sync>> {
        self(leaves, uid)
    }
}

/// For callers without a ledger: queries that need it end with an error.
pub struct NoText;

impl RawText for NoText {
    fn raw(&self, _: &[LedgerIndex], _: &str) -> std::result::Result<Option<String>, Box<dyn StdError + Send + Sync>> {
        Err("this search has no ledger to read from".into())
    }
}

/// A weight of a query, for segments of any part with this schema.
pub(crate) fn weight(query: &dyn Query, schema: &Schema) -> Result<Box<dyn Weight>> {
    Ok(query.weight(EnableScoring::disabled_from_schema(schema))?)
}

/// A plan with Tantivy's answers of one segment filled in.
pub(crate) enum Checked<'a> {
    Known(BitSet),
    Text(BitSet, &'a TextPattern),
    And(Vec<Checked<'a>>),
    Or(Vec<Checked<'a>>),
    Not(Box<Checked<'a>>),
}

impl<'a> Checked<'a> {
    pub(crate) fn of(plan: &'a Plan, schema: &Schema, reader: &SegmentReader) -> Result<Checked<'a>> {
        let all = |items: &'a [Plan]| {
            items
                .iter()
                .map(|i| Checked::of(i, schema, reader))
                .collect::<Result<_>>()
        };
        Ok(match plan {
            Plan::Exact(query) => Checked::Known(bits(&**query, schema, reader)?),
            Plan::Check { over, pattern } => Checked::Text(bits(&**over, schema, reader)?, pattern),
            Plan::And(items) => Checked::And(all(items)?),
            Plan::Or(items) => Checked::Or(all(items)?),
            Plan::Not(inner) => Checked::Not(Box::new(Checked::of(inner, schema, reader)?)),
        })
    }

    /// Whether a document matches; `text` is called only where it decides.
    pub(crate) fn matches(&self, doc: DocId, text: &mut LazyText<'_>) -> Result<bool> {
        Ok(match self {
            Checked::Known(bits) => bits.contains(doc),
            Checked::Text(bits, pattern) => bits.contains(doc) && text.get()?.is_some_and(|t| pattern.matches(t)),
            // What is known comes first in these, see `Plan`.
            Checked::And(items) => {
                for item in items {
                    if !item.matches(doc, text)? {
                        return Ok(false);
                    }
                }
                true
            }
            Checked::Or(items) => {
                for item in items {
                    if item.matches(doc, text)? {
                        return Ok(true);
                    }
                }
                false
            }
            Checked::Not(inner) => !inner.matches(doc, text)?,
        })
    }
}

fn bits(query: &dyn Query, schema: &Schema, reader: &SegmentReader) -> Result<BitSet> {
    let mut bits = BitSet::with_max_value(reader.max_doc());
    weight(query, schema)?.for_each_no_score(reader, &mut |docs| {
        for doc in docs {
            bits.insert(*doc);
        }
    })?;
    Ok(bits)
}

/// The raw line of one event, read at most once.
pub(crate) struct LazyText<'a> {
    pub(crate) source: &'a dyn RawText,
    pub(crate) leaves: Vec<LedgerIndex>,
    pub(crate) uid: String,
    read: Option<Option<String>>,
}

impl<'a> LazyText<'a> {
    pub(crate) fn new(source: &'a dyn RawText, leaves: Vec<LedgerIndex>, uid: String) -> LazyText<'a> {
        LazyText {
            source,
            leaves,
            uid,
            read: None,
        }
    }

    fn get(&mut self) -> Result<Option<&str>> {
        if self.read.is_none() {
            let text = self.source.raw(&self.leaves, &self.uid);
            self.read = Some(text.map_err(|source| Error::Text {
                index: self.leaves.first().copied().unwrap_or_default(),
                source,
            })?);
        }
        Ok(self.read.as_ref().and_then(Option::as_deref))
    }
}
