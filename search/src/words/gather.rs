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
    buffer: String,
}

/// A term of the event that is being taken.
struct Token {
    hash: u64,
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

    /// Reads what [`Vocabulary::number`] will read of a term, and does not wait for it: it lies anywhere in memory.
    #[inline]
    fn touch(&self, hash: u64) -> u8 {
        let slot = self.slots[hash as usize & (self.slots.len() - 1)];
        if slot == 0 || (slot ^ hash) >> 32 != 0 {
            return 0;
        }
        let term = &self.terms[(slot as u32 - 1) as usize];
        self.texts[term.at] ^ term.last as u8
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
        let head = |text: &[u8]| {
            let mut head = [0; 16];
            let length = text.len().min(16);
            head[..length].copy_from_slice(&text[..length]);
            u128::from_be_bytes(head)
        };
        let mut order: Vec<(u128, u32)> = (0u32..)
            .zip(&self.terms)
            .map(|(n, t)| (head(self.text(t)), n))
            .collect();
        order.sort_unstable_by(|(a, m), (b, n)| {
            a.cmp(b).then_with(|| {
                let of = |n: &u32| self.text(&self.terms[*n as usize]);
                of(m).cmp(of(n))
            })
        });
        order.into_iter().map(|(_, n)| n).collect()
    }
}

impl Gather {
    pub(super) fn new(spellings: Vec<Spelling>) -> Gather {
        Gather {
            spellings,
            vocabulary: Vocabulary::new(),
            held: Vec::new(),
            ends: Vec::new(),
            spots: Vec::new(),
            spelt: Vec::new(),
            tokens: Vec::new(),
            buffer: String::new(),
        }
    }

    /// Takes the next event.
    pub(super) fn take(&mut self, row: &Row) {
        self.spell(row);
        let doc = self.ends.len() as u32;
        let vocabulary = &mut self.vocabulary;
        let touched = self
            .tokens
            .iter()
            .fold(0, |sum, token| sum ^ vocabulary.touch(token.hash));
        std::hint::black_box(touched);
        let mut from = 0;
        for token in &self.tokens {
            let number = vocabulary.number(token.hash, &self.spelt[from..token.end]);
            from = token.end;
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
        let (spellings, buffer) = (&self.spellings, &mut self.buffer);
        // The field of the text before, and the place at which the next text of it goes on.
        let mut following = (u8::MAX, 0u32);
        row.each_text(|field, text| {
            let field = field.0;
            let mut add = |word: &str, place: Option<u32>| {
                let from = spelt.len();
                spelt.push(field);
                spelt.extend_from_slice(word.as_bytes());
                tokens.push(Token {
                    hash: vocabulary.hash(&spelt[from..]),
                    end: spelt.len(),
                    place,
                });
            };
            match spellings.get(usize::from(field)) {
                None => {}
                Some(Spelling::Folded) => add(text, None),
                Some(Spelling::Whole) => {
                    buffer.clear();
                    fold_into(text, buffer);
                    add(buffer, None);
                }
                Some(Spelling::Words) => walk(text, buffer, |_, _, _, word| add(word, None)),
                Some(Spelling::Placed) => {
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
        let mut starts = Vec::with_capacity(terms.len() + 1);
        let mut spot_starts = Vec::with_capacity(terms.len() + 1);
        let (mut sum, mut spot_sum) = (0usize, 0usize);
        for term in terms {
            starts.push(sum);
            spot_starts.push(spot_sum);
            sum += term.count as usize;
            spot_sum += term.spots as usize;
        }
        let (mut next, mut docs) = (starts.clone(), vec![0u32; sum]);
        let mut from = 0;
        for (doc, end) in (0u32..).zip(&self.ends) {
            for number in &self.held[from..*end] {
                let at = &mut next[*number as usize];
                docs[*at] = doc;
                *at += 1;
            }
            from = *end;
        }
        let (mut next, mut spots) = (spot_starts.clone(), vec![(0u32, 0u32); spot_sum]);
        for spot in &self.spots {
            let at = &mut next[spot.term as usize];
            spots[*at] = (spot.doc, spot.place);
            *at += 1;
        }
        let mut writer = DictionaryWriter::new(words, lists_to, self.ends.len() as u32);
        let (mut places, mut of_doc) = (Vec::new(), Vec::new());
        for number in self.vocabulary.sorted() {
            let at = number as usize;
            let term = &terms[at];
            let docs = &docs[starts[at]..starts[at] + term.count as usize];
            let spots = &spots[spot_starts[at]..spot_starts[at] + term.spots as usize];
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
