//! Terms in memory, until a segment of them is written.

use std::any::Any;
use std::hash::{BuildHasher as _, Hasher as _};

use tantivy::indexer::doc_id_mapping::DocIdMapping;
use tantivy::plugin::PluginWriter;
use tantivy::schema::Schema;
use tantivy::schema::document::ErasedDocument;
use tantivy::{DocId, Segment, TantivyError};

use super::dictionary::DictionaryWriter;
use super::{LISTS, WORDS, component, lists};
use crate::keyword::fold_into;
use crate::row::Row;
use crate::schema::Spelling;
use crate::tokenizer::walk;

/// One term.
#[derive(Clone, Copy)]
struct Term {
    /// Where it is, and its length: field and text.
    at: usize,
    length: u32,
    /// Events that hold it.
    count: u32,
    /// One more than the last of them.
    last: u32,
    /// Places that are kept.
    spots: u32,
}

/// A place of a term.
#[derive(Clone, Copy)]
struct Spot {
    term: u32,
    doc: u32,
    place: u32,
}

/// The terms of the events of a segment in the making.
pub(super) struct Gather {
    spellings: Vec<Spelling>,
    vocabulary: Vocabulary,
    /// Terms of each event, event after event, each once.
    held: Vec<u32>,
    /// Where each event's end in `held`.
    ends: Vec<usize>,
    spots: Vec<Spot>,
    /// Of the event that is being taken: its terms one after the other, and each of them.
    spelt: Vec<u8>,
    tokens: Vec<Token>,
    near: Vec<u64>,
    buffer: String,
    /// By field that is one term: the text that came last and what was made of it. Of most fields the next event has the same.
    latest: Vec<Latest>,
}

/// A text and its term.
#[derive(Default)]
struct Latest {
    text: String,
    term: u32,
    is_set: bool,
}

/// A term of the event that is being taken.
struct Token {
    /// Of its text; of a term that is known by now, its number.
    hash: u64,
    is_number: bool,
    /// The field whose latest text it will be.
    latest: Option<u8>,
    /// Where it ends.
    end: usize,
    /// Where it stands in its text, if that is kept.
    place: Option<u32>,
}

/// Terms and their numbers.
struct Vocabulary {
    hashing: foldhash::fast::RandomState,
    /// Half a hash and, below it, one more than the number of the term; 0: free. A power of two of them.
    slots: Vec<u64>,
    terms: Vec<Term>,
    texts: Vec<u8>,
}

const SLOTS_MIN: usize = 1 << 12;

impl Vocabulary {
    fn new() -> Vocabulary {
        Vocabulary {
            hashing: foldhash::fast::RandomState::default(),
            slots: vec![0; SLOTS_MIN],
            terms: Vec::new(),
            texts: Vec::new(),
        }
    }

    fn text(&self, term: &Term) -> &[u8] {
        &self.texts[term.at..term.at + term.length as usize]
    }

    fn hash(&self, text: &[u8]) -> u64 {
        let mut hasher = self.hashing.build_hasher();
        hasher.write(text);
        hasher.finish()
    }

    /// Reads what [`Vocabulary::number`] will read of these terms, of all of them at once: they lie anywhere in memory, and no
    /// branch waits for any of it. `near` is for what was read.
    fn touch(&self, tokens: &[Token], near: &mut Vec<u64>) -> u8 {
        let mask = self.slots.len() - 1;
        near.clear();
        near.extend(tokens.iter().map(|token| self.slots[token.hash as usize & mask]));
        for (slot, token) in near.iter_mut().zip(tokens) {
            let fits = (*slot ^ token.hash) >> 32 == 0;
            let number = if fits {
                u64::from((*slot as u32).wrapping_sub(1))
            } else {
                0
            };
            *slot = if token.is_number { token.hash } else { number };
        }
        let mut sum = 0;
        for number in near.iter_mut() {
            let (at, last) = self.terms.get(*number as usize).map_or((0, 0), |t| (t.at, t.last));
            sum ^= last as u8;
            *number = at as u64;
        }
        near.iter().fold(sum, |sum, at| {
            sum ^ self.texts.get(*at as usize).copied().unwrap_or_default()
        })
    }

    /// The number of a term of this hash, which gets one where it has none.
    fn number(&mut self, hash: u64, text: &[u8]) -> u32 {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                break;
            }
            if (slot ^ hash) >> 32 == 0 {
                let number = slot as u32 - 1;
                if self.text(&self.terms[number as usize]) == text {
                    return number;
                }
            }
            at = (at + 1) & mask;
        }
        let number = self.terms.len() as u32;
        self.slots[at] = hash & !0xffff_ffff | u64::from(number + 1);
        self.terms.push(Term {
            at: self.texts.len(),
            length: text.len() as u32,
            count: 0,
            last: 0,
            spots: 0,
        });
        self.texts.extend_from_slice(text);
        if self.terms.len() * 2 > self.slots.len() {
            self.grow();
        }
        number
    }

    fn grow(&mut self) {
        let before = std::mem::take(&mut self.slots);
        self.slots = vec![0; before.len() * 2];
        let mask = self.slots.len() - 1;
        for slot in before.into_iter().filter(|s| *s != 0) {
            let term = &self.terms[(slot as u32 - 1) as usize];
            let mut at = self.hash(self.text(term)) as usize & mask;
            while self.slots[at] != 0 {
                at = (at + 1) & mask;
            }
            self.slots[at] = slot;
        }
    }

    /// The numbers of the terms, in the order of their texts.
    fn sorted(&self) -> Vec<u32> {
        // By sixteen bytes at a time: texts lie anywhere in memory, and many begin alike.
        let head = |number: u32, from: usize| {
            let text = self.text(&self.terms[number as usize]);
            let rest = text.get(from..).unwrap_or_default();
            let length = rest.len().min(HEAD);
            let mut head = [0; HEAD];
            head[..length].copy_from_slice(&rest[..length]);
            // What ends here stands before what goes on with zeros.
            (u128::from_be_bytes(head), rest.len().min(HEAD + 1) as u8)
        };
        let mut order: Vec<(u128, u8, u32)> = Vec::with_capacity(self.terms.len());
        order.extend((0..self.terms.len() as u32).map(|n| {
            let (text, length) = head(n, 0);
            (text, length, n)
        }));
        let mut left = vec![(0, order.len(), 0)];
        while let Some((from, to, at)) = left.pop() {
            let part = &mut order[from..to];
            if at > 0 {
                for (text, length, n) in part.iter_mut() {
                    (*text, *length) = head(*n, at);
                }
            }
            part.sort_unstable();
            let mut start = from;
            for run in part.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
                // Each term is there once: those that are alike so far go on.
                if run.len() > 1 {
                    left.push((start, start + run.len(), at + HEAD));
                }
                start += run.len();
            }
        }
        order.into_iter().map(|(_, _, n)| n).collect()
    }
}

/// Bytes of a text that are compared at once.
const HEAD: usize = 16;

impl Gather {
    pub(super) fn new(spellings: Vec<Spelling>) -> Gather {
        let spellings_len = spellings.len();
        Gather {
            spellings,
            vocabulary: Vocabulary::new(),
            held: Vec::new(),
            ends: Vec::new(),
            spots: Vec::new(),
            spelt: Vec::new(),
            tokens: Vec::new(),
            near: Vec::new(),
            buffer: String::new(),
            latest: (0..spellings_len).map(|_| Latest::default()).collect(),
        }
    }

    /// Takes the next event.
    pub(super) fn take(&mut self, row: &Row) {
        self.spell(row);
        let doc = self.ends.len() as u32;
        let vocabulary = &mut self.vocabulary;
        let touched = vocabulary.touch(&self.tokens, &mut self.near);
        std::hint::black_box(touched);
        let mut from = 0;
        for token in &self.tokens {
            let number = match token.is_number {
                true => token.hash as u32,
                false => vocabulary.number(token.hash, &self.spelt[from..token.end]),
            };
            from = token.end;
            if let Some(latest) = token.latest.and_then(|field| self.latest.get_mut(usize::from(field))) {
                (latest.term, latest.is_set) = (number, true);
            }
            let term = &mut vocabulary.terms[number as usize];
            if term.last != doc + 1 {
                term.last = doc + 1;
                term.count += 1;
                self.held.push(number);
            }
            if let Some(place) = token.place {
                term.spots += 1;
                self.spots.push(Spot {
                    term: number,
                    doc,
                    place,
                });
            }
        }
        self.ends.push(self.held.len());
    }

    /// Reads the terms of an event.
    fn spell(&mut self, row: &Row) {
        self.spelt.clear();
        self.tokens.clear();
        let (vocabulary, spelt, tokens) = (&self.vocabulary, &mut self.spelt, &mut self.tokens);
        let (spellings, buffer, latest) = (&self.spellings, &mut self.buffer, &mut self.latest);
        // The field of the text before, and the place at which the next text of it goes on.
        let mut following = (u8::MAX, 0u32);
        let mut before = u8::MAX;
        row.each_text(|field, text| {
            let field = field.0;
            let Some(spelling) = spellings.get(usize::from(field)) else {
                return;
            };
            let is_one = matches!(spelling, Spelling::Folded | Spelling::Whole);
            // Several values of an event are seldom those of the one before.
            let known = is_one && text.len() <= LATEST_BYTES_MAX && before != field;
            before = field;
            let known = known.then(|| latest.get_mut(usize::from(field))).flatten();
            let pending = known.is_some().then_some(field);
            if let Some(latest) = known {
                if latest.is_set && latest.text == text {
                    tokens.push(Token {
                        hash: u64::from(latest.term),
                        is_number: true,
                        latest: None,
                        end: spelt.len(),
                        place: None,
                    });
                    return;
                }
                latest.text.clear();
                latest.text.push_str(text);
                latest.is_set = false;
            }
            let mut add = |word: &str, place: Option<u32>| {
                let from = spelt.len();
                spelt.push(field);
                spelt.extend_from_slice(word.as_bytes());
                tokens.push(Token {
                    hash: vocabulary.hash(&spelt[from..]),
                    is_number: false,
                    latest: pending,
                    end: spelt.len(),
                    place,
                });
            };
            match spelling {
                Spelling::Folded => add(text, None),
                Spelling::Whole => {
                    buffer.clear();
                    fold_into(text, buffer);
                    add(buffer, None);
                }
                Spelling::Words => walk(text, buffer, |_, _, _, word| add(word, None)),
                Spelling::Placed => {
                    let base = if following.0 == field { following.1 } else { 0 };
                    let mut end = base;
                    walk(text, buffer, |place, _, _, word| {
                        let place = base.saturating_add(place as u32);
                        end = place.saturating_add(1);
                        add(word, Some(place));
                    });
                    // No phrase reaches from one value into the next.
                    following = (field, end.saturating_add(1));
                }
            }
        });
    }

    /// The vocabulary, written.
    pub(super) fn write<W: std::io::Write>(&self, words: W, lists_to: W) -> std::io::Result<(W, W)> {
        let terms = &self.vocabulary.terms;
        // The events of each term side by side, in the order of the terms' numbers: counted first, then dealt out.
        let mut next = Vec::with_capacity(terms.len());
        let mut next_spot = Vec::with_capacity(terms.len());
        let (mut sum, mut spot_sum) = (0u32, 0u32);
        for term in terms {
            next.push(sum);
            next_spot.push(spot_sum);
            let add = |a: u32, b| a.checked_add(b).ok_or_else(too_many);
            (sum, spot_sum) = (add(sum, term.count)?, add(spot_sum, term.spots)?);
        }
        let mut docs = vec![0u32; sum as usize];
        let mut from = 0;
        for (doc, end) in (0u32..).zip(&self.ends) {
            for number in &self.held[from..*end] {
                let at = &mut next[*number as usize];
                docs[*at as usize] = doc;
                *at += 1;
            }
            from = *end;
        }
        let mut spots = vec![(0u32, 0u32); spot_sum as usize];
        for spot in &self.spots {
            let at = &mut next_spot[spot.term as usize];
            spots[*at as usize] = (spot.doc, spot.place);
            *at += 1;
        }
        let mut writer = DictionaryWriter::new(words, lists_to, self.ends.len() as u32);
        let (mut places, mut of_doc) = (Vec::new(), Vec::new());
        for number in self.vocabulary.sorted() {
            let at = number as usize;
            let term = &terms[at];
            // Each now stands behind its last.
            let docs = &docs[(next[at] - term.count) as usize..next[at] as usize];
            let spots = &spots[(next_spot[at] - term.spots) as usize..next_spot[at] as usize];
            places.clear();
            for of in spots.chunk_by(|a, b| a.0 == b.0) {
                of_doc.clear();
                of_doc.extend(of.iter().map(|(_, place)| *place));
                lists::encode_places(&of_doc, &mut places);
            }
            let text = self.vocabulary.text(term);
            writer.push(text, docs, (!spots.is_empty()).then_some(&places[..]))?;
        }
        writer.finish()
    }
}

/// Bytes of a text that is compared with the one before.
const LATEST_BYTES_MAX: usize = 128;

fn too_many() -> std::io::Error {
    std::io::Error::other("a segment of more than 4 billion words")
}

impl PluginWriter for Gather {
    fn add_document(&mut self, _: DocId, document: &dyn ErasedDocument, _: &Schema) -> tantivy::Result<()> {
        if let Some(row) = document.as_any().downcast_ref() {
            self.take(row);
        }
        Ok(())
    }

    fn serialize(self: Box<Self>, segment: &Segment, sorted: Option<&DocIdMapping>) -> tantivy::Result<()> {
        use tantivy::directory::TerminatingWrite as _;
        if sorted.is_some() {
            return Err(TantivyError::InvalidArgument(
                "a segment is in the order of its events".into(),
            ));
        }
        let segment = segment.clone();
        let files = (
            segment.open_write(component(WORDS))?,
            segment.open_write(component(LISTS))?,
        );
        let (words, lists) = self.write(files.0, files.1)?;
        words.terminate()?;
        lists.terminate()?;
        Ok(())
    }

    fn mem_usage(&self) -> usize {
        let v = &self.vocabulary;
        v.texts.len()
            + v.slots.len() * 8
            + v.terms.len() * size_of::<Term>()
            + self.held.len() * 4
            + self.ends.len() * 8
            + self.spots.len() * size_of::<Spot>()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_stand_in_the_order_of_texts(texts in prop::collection::btree_set(prop::collection::vec(0u8..3, 0..70), 0..60)) {
            let mut vocabulary = Vocabulary::new();
            let mut shuffled: Vec<&Vec<u8>> = texts.iter().collect();
            shuffled.sort_by_key(|t| vocabulary.hash(t));
            for text in shuffled {
                let hash = vocabulary.hash(text);
                vocabulary.number(hash, text);
            }
            let sorted: Vec<Vec<u8>> = vocabulary.sorted().iter().map(|n| vocabulary.text(&vocabulary.terms[*n as usize]).to_vec()).collect();
            prop_assert_eq!(sorted, texts.into_iter().collect::<Vec<_>>());
        }
    }
}
