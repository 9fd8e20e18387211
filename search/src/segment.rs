//! A segment of the index, with the columns that every answer reads.

use std::borrow::Cow;
use std::sync::Arc;

use model::{LedgerIndex, Millis};
use tantivy::columnar::{Column, ColumnValues, StrColumn};
use tantivy::{COLLECT_BLOCK_BUFFER_LEN, DocId, SegmentReader};

use crate::cursor::{Cursor, Sort};
use crate::document::Uid;
use crate::error::Result;
use crate::matching::{Checked, LazyText, RawText};
use crate::top::{Entry, Top};
use crate::words::Dictionary;

/// An open segment.
pub(crate) struct Segment {
    pub(crate) reader: SegmentReader,
    /// The earliest event time in it, ms.
    pub(crate) first: i64,
    /// The latest.
    pub(crate) last: i64,
    pub(crate) time: Arc<dyn ColumnValues<i64>>,
    index: Arc<dyn ColumnValues<u64>>,
    /// Missing where every event of the segment is of one record.
    parts: Option<Column<u64>>,
    event: Arc<dyn ColumnValues<u64>>,
    partition: Option<StrColumn>,
    /// Missing where no event of the segment has a coordinate.
    offset: Option<Column<i64>>,
    processed: Option<Column<i64>>,
    /// Held, so that nobody opens them again.
    _words: Arc<Dictionary>,
}

impl Segment {
    pub(crate) fn open(reader: &SegmentReader) -> Result<Segment> {
        let columns = reader.fast_fields();
        let time: Column<i64> = columns.i64("time")?;
        Ok(Segment {
            first: time.min_value(),
            last: time.max_value(),
            time: time.first_or_default_col(0),
            index: columns.column_first_or_default("index")?,
            parts: columns.column_opt("parts")?,
            event: columns.column_first_or_default("event")?,
            partition: columns.str("partition")?,
            offset: columns.column_opt("offset")?,
            processed: columns.column_opt("processed")?,
            _words: crate::words::of(reader)?,
            reader: reader.clone(),
        })
    }

    pub(crate) fn key(&self, doc: DocId) -> Cursor {
        let index = LedgerIndex(self.index.get_val(doc));
        Cursor {
            time: Millis(self.time.get_val(doc)),
            index,
            event: self.event.get_val(doc),
        }
    }

    /// The leaves of its records, in order.
    pub(crate) fn leaves(&self, doc: DocId) -> Vec<LedgerIndex> {
        let mut leaves = vec![LedgerIndex(self.index.get_val(doc))];
        leaves.extend(self.parts.iter().flat_map(|c| c.values_for_doc(doc)).map(LedgerIndex));
        leaves
    }

    /// Those of `docs` that were not deleted.
    pub(crate) fn live<'d>(&self, docs: &'d [DocId]) -> Cow<'d, [DocId]> {
        match self.reader.alive_bitset() {
            None => Cow::Borrowed(docs),
            Some(alive) => docs.iter().copied().filter(|doc| alive.is_alive(*doc)).collect(),
        }
    }

    /// When it was indexed, where that was said.
    pub(crate) fn processed(&self, doc: DocId) -> Option<Millis> {
        self.processed.as_ref()?.first(doc).map(Millis)
    }

    pub(crate) fn uid(&self, doc: DocId) -> Result<String> {
        let mut partition = String::new();
        if let Some(column) = &self.partition
            && let Some(ord) = column.ords().first(doc)
        {
            column.ord_to_str(ord, &mut partition)?;
        }
        Ok(Uid::text(
            &partition,
            self.offset.as_ref().and_then(|c| c.first(doc)),
            self.event.get_val(doc),
        ))
    }

    /// Offers documents to the first of the order. `number` is this segment's in its snapshot.
    pub(crate) fn offer(&self, number: usize, docs: &[DocId], top: &mut Top) {
        let mut times = [0i64; COLLECT_BLOCK_BUFFER_LEN];
        for block in docs.chunks(COLLECT_BLOCK_BUFFER_LEN) {
            let times = &mut times[..block.len()];
            self.time.get_vals(block, times);
            for (doc, time) in block.iter().zip(times) {
                if top.may_want(*time) {
                    top.push(Entry {
                        key: self.key(*doc),
                        segment: number,
                        doc: *doc,
                    });
                }
            }
        }
    }

    /// Every document, in blocks; those that were indexed last come first where the newest are wanted, so that few
    /// have to be kept.
    pub(crate) fn every_doc(&self, sort: Sort, mut each: impl FnMut(&[DocId])) {
        let mut block = [0; COLLECT_BLOCK_BUFFER_LEN];
        let count = self.reader.max_doc();
        let length = block.len() as DocId;
        let blocks = count.div_ceil(length);
        for n in 0..blocks {
            let from = if sort == Sort::Newest { blocks - 1 - n } else { n } * length;
            let docs = &mut block[..(count - from).min(length) as usize];
            docs.iter_mut().zip(from..).for_each(|(slot, doc)| *slot = doc);
            each(docs);
        }
    }

    /// Those of `docs` that match.
    pub(crate) fn check(&self, plan: &Checked<'_>, docs: &[DocId], text: &dyn RawText) -> Result<Vec<DocId>> {
        let mut out = Vec::new();
        for doc in docs {
            let mut line = LazyText::new(text, self.leaves(*doc), self.uid(*doc)?);
            if plan.matches(*doc, &mut line)? {
                out.push(*doc);
            }
        }
        Ok(out)
    }
}
