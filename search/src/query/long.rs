//! Words at which a longer run of letters was cut, as a query.

use tantivy::query::{AutomatonWeight, EnableScoring, Query, Weight};
use tantivy::schema::Field;
use tantivy_fst::Automaton;

use crate::tokenizer::WORD_BYTES_MAX;

/// Events with a word of so many bytes that it may be a part of a longer run.
#[derive(Clone, Debug)]
pub(crate) struct Long(pub(crate) Field);

impl Query for Long {
    fn weight(&self, _: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        Ok(Box::new(AutomatonWeight::new(self.0, Counting)))
    }
}

/// Counts bytes.
struct Counting;

impl Automaton for Counting {
    type State = usize;

    fn start(&self) -> usize {
        0
    }

    fn is_match(&self, bytes: &usize) -> bool {
        *bytes >= WORD_BYTES_MAX
    }

    fn will_always_match(&self, bytes: &usize) -> bool {
        *bytes >= WORD_BYTES_MAX
    }

    fn accept(&self, bytes: &usize, _: u8) -> usize {
        (*bytes + 1).min(WORD_BYTES_MAX)
    }
}
