//! The words of a segment: which events hold which term, in two files beside Tantivy's columns.
//!
//! One vocabulary holds the terms of all fields, in the order of `<field's number><term>`. `*.words` holds it in blocks of
//! [`dictionary::BLOCK`] terms, each but the first of a block without what it shares with the one before; `*.lists` the
//! events of the terms that several events hold ([`lists`]). Tantivy's own inverted index keeps an automaton for each field,
//! whose making cost more than all the rest where most terms are ids that occur once.

mod dictionary;
mod gather;
mod lists;
mod merge;
mod query;
mod rows;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tantivy::index::{SegmentComponent, SegmentId};
use tantivy::plugin::{PluginMergeContext, PluginWriter, PluginWriterContext, SegmentPlugin};
use tantivy::{SegmentReader, TantivyError};

pub(crate) use dictionary::Dictionary;
pub(crate) use query::{Holding, InRow, Matching, Terms, Together};

use crate::schema::Spelling;

/// Ends of the names of a segment's two files.
const WORDS: &str = "words";
const LISTS: &str = "lists";

/// What makes and merges the files.
pub(crate) struct Plugin {
    /// How the text of each field becomes terms.
    pub(crate) spellings: Vec<Spelling>,
}

impl SegmentPlugin for Plugin {
    fn extensions(&self) -> &[&str] {
        &[WORDS, LISTS]
    }

    fn create_writer(&self, _: &PluginWriterContext<'_>) -> tantivy::Result<Box<dyn PluginWriter>> {
        Ok(Box::new(gather::Gather::new(self.spellings.clone())))
    }

    fn merge(&self, of: PluginMergeContext<'_>) -> tantivy::Result<()> {
        merge::merge(of.readers, of.target_segment)
    }
}

fn component(name: &str) -> SegmentComponent {
    SegmentComponent::Custom(name.to_owned())
}

fn damaged(what: &str) -> TantivyError {
    TantivyError::DataCorruption(tantivy::error::DataCorruption::comment_only(format!(
        "the words of a segment: {what}"
    )))
}

/// The dictionaries that somebody holds: a segment has one, whoever asks.
static OPEN: Mutex<BTreeMap<SegmentId, Weak<Dictionary>>> = Mutex::new(BTreeMap::new());

/// The words of a segment. Whoever asks often keeps what is given.
pub(crate) fn of(reader: &SegmentReader) -> tantivy::Result<Arc<Dictionary>> {
    let id = reader.segment_id();
    let held = |open: &BTreeMap<SegmentId, Weak<Dictionary>>| open.get(&id).and_then(Weak::upgrade);
    if let Some(known) = held(&OPEN.lock().unwrap_or_else(PoisonError::into_inner)) {
        return Ok(known);
    }
    let fresh = Arc::new(Dictionary::open(reader)?);
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = held(&open) {
        return Ok(known);
    }
    open.retain(|_, held| held.strong_count() > 0);
    open.insert(id, Arc::downgrade(&fresh));
    Ok(fresh)
}
