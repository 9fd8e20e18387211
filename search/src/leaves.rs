//! The events of a set of leaves, as a query: to delete them.

use std::sync::Arc;

use crate::error::Result;
use crate::mature::alive;
use model::LedgerIndex;
use tantivy::fastfield::AliveBitSet;
use tantivy::query::{BitSetDocSet, ConstScorer, EnableScoring, Explanation, Query, Scorer, Weight};
use tantivy::{BitSet, DocId, Score, SegmentReader, TantivyError};

/// Events whose first leaf is one of these. It looks at every event of a segment that may hold one.
#[derive(Clone, Debug)]
pub(crate) struct Leaves(Arc<[u64]>);

impl Leaves {
    pub(crate) fn new(leaves: &[LedgerIndex]) -> Leaves {
        let mut leaves: Vec<u64> = leaves.iter().map(|l| l.0).collect();
        leaves.sort_unstable();
        Leaves(leaves.into())
    }

    fn of(&self, reader: &SegmentReader) -> tantivy::Result<BitSet> {
        let column = reader.fast_fields().column_first_or_default::<u64>("index")?;
        let mut found = BitSet::with_max_value(reader.max_doc());
        let (first, last) = (self.0.first().copied(), self.0.last().copied());
        if first.is_some_and(|f| f <= column.max_value()) && last.is_some_and(|l| l >= column.min_value()) {
            for doc in 0..reader.max_doc() {
                if self.0.binary_search(&column.get_val(doc)).is_ok() {
                    found.insert(doc);
                }
            }
        }
        Ok(found)
    }
}

/// The documents of a segment but those of these leaves, which are in order.
pub(crate) fn without(reader: &SegmentReader, leaves: &[u64]) -> Result<AliveBitSet> {
    let gone = Leaves(leaves.into()).of(reader)?;
    let mut kept = BitSet::with_max_value_and_full(reader.max_doc());
    for doc in (0..reader.max_doc()).filter(|doc| gone.contains(*doc)) {
        kept.remove(doc);
    }
    alive(&kept)
}

impl Query for Leaves {
    fn weight(&self, _: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        Ok(Box::new(self.clone()))
    }
}

impl Weight for Leaves {
    fn scorer(&self, reader: &SegmentReader, boost: Score) -> tantivy::Result<Box<dyn Scorer>> {
        Ok(Box::new(ConstScorer::new(BitSetDocSet::from(self.of(reader)?), boost)))
    }

    fn explain(&self, _: &SegmentReader, doc: DocId) -> tantivy::Result<Explanation> {
        Err(TantivyError::InvalidArgument(format!("document {doc} has no score")))
    }
}
