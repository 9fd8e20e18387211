//! Which documents of a segment match, including what only the raw text can decide.

use std::error::Error as StdError;

use model::LedgerIndex;
use tantivy::columnar::StrColumn;
use tantivy::query::{EnableScoring, Query, Weight};
use tantivy::schema::Schema;
use tantivy::{BitSet, DocId, SegmentReader};

use crate::error::{Error, Result};
use crate::keyword::folded;
use crate::query::plan::{Plan, TextTest};
use crate::schema::TEXT_COLUMNS;

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

    /// The values of a text field (`cmd`, `url`, `msg`, `raw`; [`crate::text_paths`] says of which paths) of an event,
    /// masked as they were indexed.
    ///
    /// # Errors
    /// As [`RawText::raw`].
    fn texts(
        &self,
        field: &str,
        leaves: &[LedgerIndex],
        uid: &str,
    ) -> std::result::Result<Vec<String>, Box<dyn StdError + Send + Sync>> {
        match field {
            "raw" => Ok(self.raw(leaves, uid)?.into_iter().collect()),
            other => Err(format!("this search cannot read `{other}`").into()),
        }
    }

    /// The values at any OCSF path of an event, masked.
    ///
    /// # Errors
    /// As [`RawText::raw`].
    fn values(
        &self,
        path: &str,
        leaves: &[LedgerIndex],
        uid: &str,
    ) -> std::result::Result<Vec<String>, Box<dyn StdError + Send + Sync>> {
        let _ = (leaves, uid);
        Err(format!("this search cannot read `{path}`").into())
    }

    /// Whether nobody waits for the answer any more: the search then ends with [`Error::Cancelled`].
    fn is_stopped(&self) -> bool {
        false
    }

    /// Is told, now and then, how many events were looked through, of how many that may match.
    fn progress(&self, events: u64, of: u64) {
        let _ = (events, of);
    }
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
    Text(BitSet, &'a TextTest, Option<StrColumn>),
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
            Plan::Check { over, test } => {
                let column = match test {
                    TextTest::Holds(field, _) if TEXT_COLUMNS.contains(field) => reader.fast_fields().str(field)?,
                    _ => None,
                };
                Checked::Text(bits(&**over, schema, reader)?, test, column)
            }
            Plan::And(items) => Checked::And(all(items)?),
            Plan::Or(items) => Checked::Or(all(items)?),
            Plan::Not(inner) => Checked::Not(Box::new(Checked::of(inner, schema, reader)?)),
        })
    }

    /// Whether a document matches; `text` is called only where it decides.
    pub(crate) fn matches(&self, doc: DocId, text: &mut LazyText<'_>) -> Result<bool> {
        Ok(match self {
            Checked::Known(bits) => bits.contains(doc),
            Checked::Text(bits, test, column) => {
                bits.contains(doc)
                    && match test {
                        TextTest::Words(pattern) => text.get("raw")?.iter().any(|t| pattern.matches(t)),
                        TextTest::Holds(field, held) => match kept(column.as_ref(), doc, held)? {
                            Some(holds) => holds,
                            None => text.get(field)?.iter().any(|t| folded(t).contains(held)),
                        },
                    }
            }
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

/// Whether a text that a document has in a column holds this one; `None`: it has none there.
fn kept(column: Option<&StrColumn>, doc: DocId, held: &str) -> Result<Option<bool>> {
    let Some(column) = column else { return Ok(None) };
    let (mut any, mut text) = (false, String::new());
    for ord in column.term_ords(doc) {
        any = true;
        column.ord_to_str(ord, &mut text)?;
        if folded(&text).contains(held) {
            return Ok(Some(true));
        }
    }
    Ok(any.then_some(false))
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

/// The texts of one event, each read at most once.
pub(crate) struct LazyText<'a> {
    pub(crate) source: &'a dyn RawText,
    pub(crate) leaves: Vec<LedgerIndex>,
    pub(crate) uid: String,
    read: Vec<(&'static str, Vec<String>)>,
}

impl<'a> LazyText<'a> {
    pub(crate) fn new(source: &'a dyn RawText, leaves: Vec<LedgerIndex>, uid: String) -> LazyText<'a> {
        LazyText {
            source,
            leaves,
            uid,
            read: Vec::new(),
        }
    }

    fn get(&mut self, field: &'static str) -> Result<&[String]> {
        let at = match self.read.iter().position(|(name, _)| *name == field) {
            Some(at) => at,
            None => {
                let texts = self.source.texts(field, &self.leaves, &self.uid);
                let texts = texts.map_err(|source| Error::Text {
                    index: self.leaves.first().copied().unwrap_or_default(),
                    source,
                })?;
                self.read.push((field, texts));
                self.read.len() - 1
            }
        };
        Ok(&self.read[at].1)
    }
}
