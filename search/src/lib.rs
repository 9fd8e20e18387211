//! The index and its queries: batches in, hits out, each leading back to the ledger.
//!
//! [`IndexWriter`] takes [`model::Batch`]es of the columns that [`wanted`] names and commits them with the ledger
//! position reached. [`Searcher`] answers [`Request`]s in the language of [`query`]. No raw text is stored: a
//! [`Hit`] carries the ledger index, and the one kind of query that positions on disk cannot decide (a phrase in the
//! raw line) is checked against the ledger by a [`RawText`] that the caller gives.

mod aggregate;
mod cursor;
mod document;
mod error;
pub mod export;
mod hot;
mod keyword;
mod leaves;
mod manifest;
mod matching;
mod mature;
mod merging;
mod payload;
mod progress;
pub mod query;
mod reader;
mod row;
mod schema;
mod segment;
mod snapshot;
mod sorted;
mod split;
mod tending;
mod tokenizer;
mod top;
mod unmapped;
mod words;
mod writer;

pub use aggregate::{Agg, Aggregated, Bucket, Found, Histogram, Numbers, Stats, Terms, Within};
pub use cursor::{Cursor, Sort};
pub use document::Mask;
pub use error::{Error, Result};
pub use manifest::{Dropped, SplitInfo};
pub use matching::{NoText, RawText};
pub use query::{Query, QueryError, Reading};
pub use reader::{Answer, Hit, Request, Searched, Searcher, Total};
pub use schema::{paths_of, text_paths, wanted};
pub use snapshot::{Inventory, check};
pub use sorted::{By, SortValue, Sorted, Standing};
pub use writer::{Budgets, IndexWriter, Place, Work};
