//! The query language: Lucene's and KQL's common ground.
//!
//! ```text
//! user:alice AND class:authentication AND NOT status:success
//! "drop table" cmd:*shadow* host:(web-1 OR web-2)
//! time:[2026-03-01 TO 2026-03-02] src:10.8.0.0/16 unmapped.rows:>100 exists:ticket
//! ```
//!
//! Words side by side must all be found (`AND`); `OR` binds weaker than `AND`, `NOT` strongest; the operators are
//! upper case, so that `or` is a word. A value is a word, a `"phrase"`, a `pattern*` with `*` and `?`, a range
//! `[a TO b]` (ends belong to it; with `{` or `}` they do not), a comparison `>a` `>=a` `<a` `<=a`, or a set in
//! parentheses, or `~` and a piece of text that is found as it stands, punctuation and all (`cmd:~"-rf /"`). `\` before a character that is no letter or digit takes away its meaning.
//!
//! Names, ids and other keywords compare whole, letter case aside. In command, URL, message and raw line words are
//! found: letters and digits, or any piece of Chinese, Japanese or Korean text; `/etc/shadow` is the phrase
//! `etc shadow`. A pattern in text matches word by word; a `*` of its own stands for any words, `a * b` asks that
//! both parts occur.

pub(crate) mod ast;
pub mod class;
mod error;
pub mod field;
mod meaning;
mod parse;
mod pattern;
mod people;
pub(crate) mod plan;
pub(crate) mod prune;
mod steady;
mod value;

/// The first and last millisecond of what a time names (`2026-03-01`, RFC 3339, epoch milliseconds, `now-7d`); UTC
/// where it has no zone.
pub use value::moment;

pub use ast::{Query, Reading, Test};
pub use error::{Problem, QueryError};
pub(crate) use meaning::canonical;
pub use pattern::TextPattern;
pub(crate) use pattern::{Phrase, Piece};
pub use people::{Account, NoPerson, People, Person};

/// Bytes of a query.
pub const QUERY_BYTES_MAX: usize = 16 << 10;
/// Parentheses and NOTs within each other.
pub const DEPTH_MAX: usize = 32;
/// Conditions of a query.
pub const CLAUSES_MAX: usize = 512;
/// Characters of a pattern with wildcards.
pub const PATTERN_CHARS_MAX: usize = 200;
