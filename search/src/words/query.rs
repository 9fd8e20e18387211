//! What is asked of a segment's words, as Tantivy's queries.

use std::ops::Bound;
use std::sync::Arc;

use memchr::memmem::Finder;
use tantivy::query::{ConstScorer, EnableScoring, Explanation, Query, Scorer, Weight};
use tantivy::{DocId, Score, SegmentReader, TantivyError};

use super::lists::{Rows, decode_places};
use super::rows::Standing;
use super::{Dictionary, damaged, of};
use crate::keyword::{Glob, glob};
use crate::query::Piece;
use crate::schema::WordField;
use crate::tokenizer::WORD_BYTES_MAX;

/// Events that hold a term.
#[derive(Clone, Debug)]
pub(crate) struct Holding(Vec<u8>);

impl Holding {
    pub(crate) fn new(field: WordField, term: &str) -> Holding {
        Holding(key(field, term.as_bytes()))
    }
}

/// Events that hold all of these terms.
#[derive(Clone, Debug)]
pub(crate) struct Together(Arc<Vec<Holding>>);

impl Together {
    pub(crate) fn new(terms: Vec<Holding>) -> Together {
        Together(Arc::new(terms))
    }
}

/// Events that hold any of these terms of a field.
#[derive(Clone, Debug)]
pub(crate) struct Matching {
    field: WordField,
    terms: Arc<Terms>,
}

impl Matching {
    pub(crate) fn new(field: WordField, terms: Terms) -> Matching {
        Matching {
            field,
            terms: Arc::new(terms),
        }
    }
}

/// Some terms of a field.
#[derive(Clone, Debug)]
pub(crate) enum Terms {
    /// Those between two.
    Between(Bound<String>, Bound<String>),
    /// Those that match.
    Like(Pattern),
    /// Those that match, and those at which a longer run of letters was cut.
    LikeOrCut(Pattern),
}

impl Terms {
    pub(crate) fn like(pattern: &[Glob]) -> Terms {
        Terms::Like(Pattern::new(pattern))
    }

    pub(crate) fn like_or_cut(pattern: &[Glob]) -> Terms {
        Terms::LikeOrCut(Pattern::new(pattern))
    }
}

/// A wildcard pattern, prepared.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    /// What a term begins with.
    prefix: String,
    /// What it ends with, where nothing in between is a single character's place.
    suffix: String,
    /// What it holds in between, in this order.
    between: Vec<Finder<'static>>,
    /// The whole pattern, where these do not say it all.
    whole: Option<Vec<Glob>>,
    is_literal: bool,
}

impl Pattern {
    fn new(pattern: &[Glob]) -> Pattern {
        let text = |part: &[Glob]| -> String {
            let char = |g: &Glob| if let Glob::Char(c) = g { Some(*c) } else { None };
            part.iter().filter_map(char).collect()
        };
        let from_any = pattern.iter().position(|g| !matches!(g, Glob::Char(_)));
        let prefix = text(&pattern[..from_any.unwrap_or(pattern.len())]);
        let is_literal = from_any.is_none();
        if pattern.contains(&Glob::Any) {
            return Pattern {
                prefix,
                suffix: String::new(),
                between: Vec::new(),
                whole: Some(pattern.to_vec()),
                is_literal: false,
            };
        }
        let mut parts: Vec<String> = pattern.split(|g| *g == Glob::Many).map(text).collect();
        let suffix = if parts.len() > 1 { parts.pop() } else { None };
        let between = parts.iter().skip(1).filter(|p| !p.is_empty());
        Pattern {
            prefix,
            suffix: suffix.unwrap_or_default(),
            between: between.map(|p| Finder::new(p.as_bytes()).into_owned()).collect(),
            whole: None,
            is_literal,
        }
    }

    /// Whether a term that begins with the prefix matches.
    fn matches(&self, term: &[u8]) -> bool {
        if self.is_literal {
            return term.len() == self.prefix.len();
        }
        if let Some(pattern) = &self.whole {
            return std::str::from_utf8(term).is_ok_and(|term| glob(pattern, term));
        }
        let Some(mut rest) = term.get(self.prefix.len()..) else {
            return false;
        };
        let Some(middle) = rest.len().checked_sub(self.suffix.len()) else {
            return false;
        };
        if &rest[middle..] != self.suffix.as_bytes() {
            return false;
        }
        rest = &rest[..middle];
        self.between.iter().all(|part| match part.find(rest) {
            Some(at) => {
                rest = &rest[at + part.needle().len()..];
                true
            }
            None => false,
        })
    }
}

/// Events that hold words in a row: each so many places after the first.
#[derive(Clone, Debug)]
pub(crate) struct InRow {
    field: WordField,
    pieces: Arc<Vec<(usize, Piece)>>,
}

impl InRow {
    pub(crate) fn new(field: WordField, pieces: &[(usize, Piece)]) -> InRow {
        InRow {
            field,
            pieces: Arc::new(pieces.to_vec()),
        }
    }
}

fn key(field: WordField, term: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(term.len() + 1);
    key.push(field.0);
    key.extend_from_slice(term);
    key
}

/// Calls `each` with every such term of a field and where its events are.
fn each_term(
    words: &Dictionary,
    field: WordField,
    terms: &Terms,
    mut each: impl FnMut(&super::dictionary::Found) -> tantivy::Result<()>,
) -> tantivy::Result<()> {
    let first = match terms {
        Terms::Between(Bound::Included(low) | Bound::Excluded(low), _) => low.as_str(),
        Terms::Like(pattern) => &pattern.prefix,
        Terms::Between(Bound::Unbounded, _) | Terms::LikeOrCut(_) => "",
    };
    let first = key(field, first.as_bytes());
    let mut walk = words.from(&first)?;
    while walk.next()? {
        let term = walk.term();
        if term < &first[..] {
            continue;
        }
        let Some((_, text)) = term.split_first().filter(|(of, _)| **of == field.0) else {
            break;
        };
        let wanted = match terms {
            Terms::Between(low, high) => {
                let above = match high {
                    Bound::Included(high) => text > high.as_bytes(),
                    Bound::Excluded(high) => text >= high.as_bytes(),
                    Bound::Unbounded => false,
                };
                if above {
                    break;
                }
                !matches!(low, Bound::Excluded(low) if text == low.as_bytes())
            }
            Terms::Like(pattern) => {
                if !text.starts_with(pattern.prefix.as_bytes()) {
                    break;
                }
                pattern.matches(text)
            }
            Terms::LikeOrCut(pattern) => {
                text.len() >= WORD_BYTES_MAX || text.starts_with(pattern.prefix.as_bytes()) && pattern.matches(text)
            }
        };
        if wanted {
            each(&walk.found)?;
        }
    }
    Ok(())
}

fn union(words: &Dictionary, field: WordField, terms: &Terms) -> tantivy::Result<Rows> {
    let mut bits = vec![0u64; words.max().div_ceil(64) as usize];
    each_term(words, field, terms, |found| {
        words.rows(found)?.0.set(&mut bits);
        Ok(())
    })?;
    let count = bits.iter().map(|w| w.count_ones()).sum();
    Ok(Rows::Bits(bits, count))
}

/// Where a piece of a phrase stands: event and place, in order.
fn places(words: &Dictionary, field: WordField, piece: &Piece) -> tantivy::Result<Vec<(u32, u32)>> {
    let mut out = Vec::new();
    let mut add = |found: &super::dictionary::Found| -> tantivy::Result<()> {
        let (rows, bytes) = words.rows(found)?;
        let (mut at, mut whole) = (0, found.placed);
        rows.for_each(|doc| whole &= decode_places(bytes, &mut at, |place| out.push((doc, place))).is_some());
        match whole {
            true => Ok(()),
            false => Err(damaged("places are cut")),
        }
    };
    match piece {
        Piece::Word(word) => {
            if let Some(found) = words.find(&key(field, word.as_bytes()))? {
                add(&found)?;
            }
        }
        Piece::Like(pattern) => {
            each_term(words, field, &Terms::like(pattern), add)?;
            out.sort_unstable();
        }
    }
    Ok(out)
}

fn in_row(words: &Dictionary, field: WordField, pieces: &[(usize, Piece)]) -> tantivy::Result<Rows> {
    // Where the first piece of what was looked at so far would stand.
    let mut bases: Option<Vec<(u32, u32)>> = None;
    for (offset, piece) in pieces {
        let offset = u32::try_from(*offset).unwrap_or(u32::MAX);
        let mut found = places(words, field, piece)?;
        found.retain_mut(|(_, place)| {
            let base = place.checked_sub(offset);
            *place = base.unwrap_or_default();
            base.is_some()
        });
        bases = Some(match bases {
            None => found,
            Some(before) => both(&before, &found),
        });
        if bases.as_ref().is_some_and(Vec::is_empty) {
            break;
        }
    }
    let mut docs: Vec<u32> = bases.unwrap_or_default().into_iter().map(|(doc, _)| doc).collect();
    docs.dedup();
    Ok(Rows::List(docs))
}

fn both(a: &[(u32, u32)], b: &[(u32, u32)]) -> Vec<(u32, u32)> {
    let (mut i, mut k, mut out) = (0, 0, Vec::new());
    while let (Some(x), Some(y)) = (a.get(i), b.get(k)) {
        if x == y {
            out.push(*x);
        }
        (i, k) = (i + usize::from(x <= y), k + usize::from(y <= x));
    }
    out
}

/// How the events of a segment are found.
trait Finding: Clone + Send + Sync + 'static {
    fn rows(&self, words: &Dictionary) -> tantivy::Result<Rows>;
}

impl Finding for Holding {
    fn rows(&self, words: &Dictionary) -> tantivy::Result<Rows> {
        match words.find(&self.0)? {
            Some(found) => Ok(words.rows(&found)?.0),
            None => Ok(Rows::List(Vec::new())),
        }
    }
}

impl Finding for Together {
    fn rows(&self, words: &Dictionary) -> tantivy::Result<Rows> {
        let mut found = Vec::new();
        for term in self.0.iter() {
            match words.find(&term.0)? {
                Some(known) => found.push(known),
                None => return Ok(Rows::List(Vec::new())),
            }
        }
        found.sort_by_key(|f| f.count);
        let mut all: Option<Rows> = None;
        for known in &found {
            all = Some(match all {
                None => words.rows(known)?.0,
                Some(rows) if rows.count() == 0 => return Ok(rows),
                Some(rows) => rows.and(&words.rows(known)?.0),
            });
        }
        Ok(all.unwrap_or(Rows::All(words.max())))
    }
}

impl Finding for Matching {
    fn rows(&self, words: &Dictionary) -> tantivy::Result<Rows> {
        union(words, self.field, &self.terms)
    }
}

impl Finding for InRow {
    fn rows(&self, words: &Dictionary) -> tantivy::Result<Rows> {
        in_row(words, self.field, &self.pieces)
    }
}

struct Found<F>(F);

/// Events that are handed over at once.
const BLOCK: usize = 1024;

impl<F: Finding> Weight for Found<F> {
    fn scorer(&self, reader: &SegmentReader, boost: Score) -> tantivy::Result<Box<dyn Scorer>> {
        let rows = self.0.rows(&*of(reader)?)?;
        Ok(Box::new(ConstScorer::new(Standing::new(rows), boost)))
    }

    fn count(&self, reader: &SegmentReader) -> tantivy::Result<u32> {
        let rows = self.0.rows(&*of(reader)?)?;
        let Some(alive) = reader.alive_bitset() else {
            return Ok(rows.count());
        };
        let mut count = 0;
        rows.for_each(|doc| count += u32::from(alive.is_alive(doc)));
        Ok(count)
    }

    fn for_each_no_score(&self, reader: &SegmentReader, each: &mut dyn FnMut(&[DocId])) -> tantivy::Result<()> {
        match self.0.rows(&*of(reader)?)? {
            Rows::List(docs) => docs.chunks(BLOCK).for_each(each),
            rows => {
                let mut block = Vec::with_capacity(BLOCK);
                rows.for_each(|doc| {
                    block.push(doc);
                    if block.len() == BLOCK {
                        each(&block);
                        block.clear();
                    }
                });
                each(&block);
            }
        }
        Ok(())
    }

    fn explain(&self, _: &SegmentReader, doc: DocId) -> tantivy::Result<Explanation> {
        Err(TantivyError::InvalidArgument(format!("document {doc} has no score")))
    }
}

macro_rules! queries {
    ($($name:ident),*) => {$(
        impl Query for $name {
            fn weight(&self, _: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
                Ok(Box::new(Found(self.clone())))
            }
        }
    )*};
}

queries!(Holding, Together, Matching, InRow);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_prepared_pattern_is_the_pattern(
            parts in prop::collection::vec(
                prop_oneof![Just(Glob::Many), Just(Glob::Any), prop::sample::select(vec!['a', 'b', '中']).prop_map(Glob::Char)], 0..7),
            value in "[ab中]{0,8}",
        ) {
            let pattern = Pattern::new(&parts);
            let quick = value.starts_with(&pattern.prefix) && pattern.matches(value.as_bytes());
            prop_assert_eq!(quick, glob(&parts, &value));
        }
    }
}
