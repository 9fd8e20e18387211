//! The vocabulary of a segment on disk: terms in order, in blocks.
//!
//! ```text
//! blocks, each:
//!   number   where the lists of its terms begin in the other file
//!   terms, each:
//!     byte     bytes that it shares with the one before; in a block's first 0
//!     number   length of the rest << 1, | 1: the rest is hexadecimal digits, two a byte
//!     bytes    the rest
//!     number   events that hold it << 1, | 1: its places are kept
//!     of one event its number, and the places; of several the length of its list
//! u64    for each block where it begins
//! u64    number of blocks
//! u64    where their beginnings are
//! u64    number of terms
//! u32    events of the segment
//! u32    version of this format, 1
//! ```
//!
//! Numbers without a size are of variable length ([`lists`]), others little-endian. A term begins with
//! the number of its field.

use std::io::Write;

use tantivy::SegmentReader;
use tantivy::directory::OwnedBytes;

use super::lists::{self, Rows, put, take};
use super::{LISTS, WORDS, component, damaged};

/// Terms of a block.
pub(super) const BLOCK: usize = 32;
const VERSION: u32 = 1;
const FOOTER: usize = 32;
/// Hexadecimal digits from which on they are packed.
const PACKED_MIN: usize = 4;

/// Writes a vocabulary; terms come in order.
pub(super) struct DictionaryWriter<W: Write> {
    words: W,
    lists: W,
    max: u32,
    /// The block that is being filled.
    block: Vec<u8>,
    in_block: usize,
    last: Vec<u8>,
    starts: Vec<u64>,
    words_at: u64,
    lists_at: u64,
    terms: u64,
    list: Vec<u8>,
}

impl<W: Write> DictionaryWriter<W> {
    /// Of a segment of `max` events.
    pub(super) fn new(words: W, lists: W, max: u32) -> DictionaryWriter<W> {
        DictionaryWriter {
            words,
            lists,
            max,
            block: Vec::new(),
            in_block: 0,
            last: Vec::new(),
            starts: Vec::new(),
            words_at: 0,
            lists_at: 0,
            terms: 0,
            list: Vec::new(),
        }
    }

    /// The next term, the events that hold it (rising, one at least), and the bytes of its places where they are kept.
    pub(super) fn push(&mut self, term: &[u8], docs: &[u32], places: Option<&[u8]>) -> std::io::Result<()> {
        if self.in_block == BLOCK {
            self.flush_block()?;
        }
        let mut shared = 0;
        if self.in_block == 0 {
            self.starts.push(self.words_at);
            put(&mut self.block, self.lists_at);
        } else {
            let most = self.last.len().min(term.len()).min(255);
            while shared < most && self.last[shared] == term[shared] {
                shared += 1;
            }
        }
        let rest = &term[shared..];
        self.block.push(shared as u8);
        // A block's first term is compared where it lies.
        if self.in_block > 0 && rest.len() >= PACKED_MIN && rest.iter().all(|b| nibble(*b).is_some()) {
            put(&mut self.block, (rest.len() as u64) << 1 | 1);
            let (pairs, last) = rest.as_chunks::<2>();
            let of = |byte: u8| NIBBLES[usize::from(byte)] & 0xf;
            self.block.extend(pairs.iter().map(|[a, b]| of(*a) << 4 | of(*b)));
            self.block.extend(last.iter().map(|a| of(*a) << 4));
        } else {
            put(&mut self.block, (rest.len() as u64) << 1);
            self.block.extend_from_slice(rest);
        }
        put(&mut self.block, (docs.len() as u64) << 1 | u64::from(places.is_some()));
        match docs {
            [one] => {
                put(&mut self.block, u64::from(*one));
                self.block.extend_from_slice(places.unwrap_or_default());
            }
            many => {
                self.list.clear();
                lists::encode(many, self.max, &mut self.list);
                self.list.extend_from_slice(places.unwrap_or_default());
                put(&mut self.block, self.list.len() as u64);
                self.lists.write_all(&self.list)?;
                self.lists_at += self.list.len() as u64;
            }
        }
        self.last.clear();
        self.last.extend_from_slice(term);
        self.in_block += 1;
        self.terms += 1;
        Ok(())
    }

    fn flush_block(&mut self) -> std::io::Result<()> {
        self.words.write_all(&self.block)?;
        self.words_at += self.block.len() as u64;
        self.block.clear();
        self.in_block = 0;
        Ok(())
    }

    /// Writes what is left; gives back the two files, for their end to be written.
    pub(super) fn finish(mut self) -> std::io::Result<(W, W)> {
        self.flush_block()?;
        for start in &self.starts {
            self.words.write_all(&start.to_le_bytes())?;
        }
        for number in [self.starts.len() as u64, self.words_at, self.terms] {
            self.words.write_all(&number.to_le_bytes())?;
        }
        self.words.write_all(&self.max.to_le_bytes())?;
        self.words.write_all(&VERSION.to_le_bytes())?;
        Ok((self.words, self.lists))
    }
}

/// What a hexadecimal digit is worth; of another byte [`NO_DIGIT`].
const NIBBLES: [u8; 256] = {
    let mut table = [NO_DIGIT; 256];
    let mut n = 0;
    while n < 16 {
        table[b"0123456789abcdef"[n] as usize] = n as u8;
        n += 1;
    }
    table
};
const NO_DIGIT: u8 = 0xff;

fn nibble(byte: u8) -> Option<u8> {
    Some(NIBBLES[usize::from(byte)]).filter(|n| *n != NO_DIGIT)
}

/// The vocabulary of a segment, open.
pub(crate) struct Dictionary {
    words: OwnedBytes,
    lists: OwnedBytes,
    blocks: usize,
    /// Where the beginnings of the blocks are, and where the blocks end.
    index: usize,
    max: u32,
}

/// What is known of a term.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    /// Events that hold it.
    pub(super) count: u32,
    /// Its places are kept.
    pub(super) placed: bool,
    /// Where its list is, in the one file or, of a term of one event, the other.
    from: usize,
    to: usize,
}

impl Dictionary {
    pub(super) fn open(reader: &SegmentReader) -> tantivy::Result<Dictionary> {
        let read = |name| -> tantivy::Result<OwnedBytes> { Ok(reader.open_read(component(name))?.read_bytes()?) };
        let open = Dictionary::of(read(WORDS)?, read(LISTS)?).ok_or_else(|| damaged("its end cannot be read"))?;
        match open.max == reader.max_doc() {
            true => Ok(open),
            false => Err(damaged("it is of another number of events")),
        }
    }

    pub(super) fn of(words: OwnedBytes, lists: OwnedBytes) -> Option<Dictionary> {
        let end = words.len().checked_sub(FOOTER)?;
        let number = |at: usize| -> Option<u64> { Some(u64::from_le_bytes(words.get(at..at + 8)?.try_into().ok()?)) };
        let half = |at: usize| -> Option<u32> { Some(u32::from_le_bytes(words.get(at..at + 4)?.try_into().ok()?)) };
        let blocks = usize::try_from(number(end)?).ok()?;
        let index = usize::try_from(number(end + 8)?).ok()?;
        let (max, version) = (half(end + 24)?, half(end + 28)?);
        let whole = blocks.checked_mul(8).and_then(|b| b.checked_add(index)) == Some(end);
        (version == VERSION && whole).then_some(Dictionary {
            words,
            lists,
            blocks,
            index,
            max,
        })
    }

    /// Events of the segment.
    pub(crate) fn max(&self) -> u32 {
        self.max
    }

    fn start(&self, block: usize) -> Option<usize> {
        let at = self.index.checked_add(block.checked_mul(8)?)?;
        let start = u64::from_le_bytes(self.words.get(at..at + 8)?.try_into().ok()?);
        usize::try_from(start).ok().filter(|s| *s < self.index)
    }

    /// The first term of a block.
    fn first(&self, block: usize) -> Option<&[u8]> {
        let mut at = self.start(block)?;
        take(&self.words, &mut at)?;
        at += 1;
        let length = usize::try_from(take(&self.words, &mut at)? >> 1).ok()?;
        self.words.get(at..at.checked_add(length)?)
    }

    /// The block that holds a term, if any does; of one before all the first.
    fn block_of(&self, term: &[u8]) -> Option<usize> {
        let (mut low, mut high) = (0, self.blocks);
        while low < high {
            let middle = (low + high) / 2;
            match self.first(middle)? <= term {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        Some(low.saturating_sub(1))
    }

    /// What is known of a term; `None`: no event of the segment holds it.
    pub(super) fn find(&self, term: &[u8]) -> tantivy::Result<Option<Found>> {
        let mut walk = self.from(term)?;
        while walk.next()? {
            match walk.term().cmp(term) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => return Ok(Some(walk.found)),
                std::cmp::Ordering::Greater => break,
            }
        }
        Ok(None)
    }

    /// Goes through the terms from the block on that may hold `term`.
    pub(super) fn from(&self, term: &[u8]) -> tantivy::Result<Walk<'_>> {
        let block = match self.blocks {
            0 => 0,
            _ => self.block_of(term).ok_or_else(|| damaged("a block cannot be found"))?,
        };
        Ok(Walk {
            of: self,
            next_block: block,
            left: 0,
            at: 0,
            end: 0,
            lists_at: 0,
            term: Vec::new(),
            found: Found {
                count: 0,
                placed: false,
                from: 0,
                to: 0,
            },
        })
    }

    fn bytes(&self, found: &Found) -> tantivy::Result<&[u8]> {
        let file = if found.count == 1 { &self.words } else { &self.lists };
        file.get(found.from..found.to).ok_or_else(|| damaged("a list is cut"))
    }

    /// The events that hold a term, and the bytes of its places.
    pub(super) fn rows(&self, found: &Found) -> tantivy::Result<(Rows, &[u8])> {
        let bytes = self.bytes(found)?;
        if found.count == 1 {
            let mut at = 0;
            let doc = take(bytes, &mut at).filter(|doc| *doc < u64::from(self.max));
            let doc = doc.ok_or_else(|| damaged("an event beyond the last"))?;
            return Ok((Rows::List(vec![doc as u32]), &bytes[at..]));
        }
        let (rows, length) =
            lists::decode(bytes, found.count, self.max).ok_or_else(|| damaged("a list cannot be read"))?;
        Ok((rows, &bytes[length..]))
    }
}

/// Goes through a vocabulary.
pub(super) struct Walk<'a> {
    of: &'a Dictionary,
    next_block: usize,
    /// Terms of the block that may follow.
    left: usize,
    at: usize,
    /// Where the block ends.
    end: usize,
    lists_at: usize,
    term: Vec<u8>,
    pub(super) found: Found,
}

impl Walk<'_> {
    pub(super) fn term(&self) -> &[u8] {
        &self.term
    }

    /// Goes to the next term; `false`: there is none.
    pub(super) fn next(&mut self) -> tantivy::Result<bool> {
        if self.left == 0 || self.at >= self.end {
            if self.next_block >= self.of.blocks {
                return Ok(false);
            }
            self.enter().ok_or_else(|| damaged("a block cannot be read"))?;
        }
        self.step().ok_or_else(|| damaged("a term cannot be read"))?;
        self.left -= 1;
        Ok(true)
    }

    fn enter(&mut self) -> Option<()> {
        self.at = self.of.start(self.next_block)?;
        self.next_block += 1;
        self.end = match self.next_block < self.of.blocks {
            true => self.of.start(self.next_block)?,
            false => self.of.index,
        };
        self.left = BLOCK;
        self.lists_at = usize::try_from(take(&self.of.words, &mut self.at)?).ok()?;
        self.term.clear();
        Some(())
    }

    fn step(&mut self) -> Option<()> {
        let bytes = self.of.words.get(..self.end)?;
        let shared = usize::from(*bytes.get(self.at)?);
        self.at += 1;
        let head = take(bytes, &mut self.at)?;
        let length = usize::try_from(head >> 1).ok()?;
        if shared > self.term.len() {
            return None;
        }
        self.term.truncate(shared);
        if head & 1 == 0 {
            let to = self.at.checked_add(length)?;
            self.term.extend_from_slice(bytes.get(self.at..to)?);
            self.at = to;
        } else {
            let to = self.at.checked_add(length.div_ceil(2))?;
            for pair in bytes.get(self.at..to)? {
                self.term.push(b"0123456789abcdef"[usize::from(pair >> 4)]);
                self.term.push(b"0123456789abcdef"[usize::from(pair & 15)]);
            }
            self.term.truncate(shared + length);
            self.at = to;
        }
        let head = take(bytes, &mut self.at)?;
        let (count, placed) = (u32::try_from(head >> 1).ok()?, head & 1 == 1);
        let from;
        if count == 1 {
            from = self.at;
            take(bytes, &mut self.at)?;
            if placed {
                lists::decode_places(bytes, &mut self.at, |_| ())?;
            }
            self.found = Found {
                count,
                placed,
                from,
                to: self.at,
            };
        } else {
            let length = usize::try_from(take(bytes, &mut self.at)?).ok()?;
            from = self.lists_at;
            self.lists_at = from.checked_add(length)?;
            self.found = Found {
                count,
                placed,
                from,
                to: self.lists_at,
            };
        }
        Some(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn made(terms: &BTreeMap<Vec<u8>, BTreeSet<u32>>, max: u32) -> (Vec<u8>, Vec<u8>) {
        let mut writer = DictionaryWriter::new(Vec::new(), Vec::new(), max);
        for (term, docs) in terms {
            writer
                .push(term, &docs.iter().copied().collect::<Vec<_>>(), None)
                .unwrap();
        }
        writer.finish().unwrap()
    }

    proptest! {
        #[test]
        fn what_is_written_is_found(
            terms in prop::collection::btree_map(
                prop_oneof!["[0-9a-f]{1,12}", "[a-c]{1,3}.{0,2}", "ffff[0-9a-f]{30,40}"].prop_map(String::into_bytes),
                prop::collection::btree_set(0u32..50, 1..50), 0..150),
            others in prop::collection::vec("[0-9a-f]{1,4}", 0..9),
        ) {
            let (words, lists) = made(&terms, 50);
            let dictionary = Dictionary::of(OwnedBytes::new(words), OwnedBytes::new(lists)).unwrap();
            let mut walk = dictionary.from(&[]).unwrap();
            for (term, docs) in &terms {
                prop_assert!(walk.next().unwrap());
                prop_assert_eq!(walk.term(), &term[..]);
                let found = dictionary.find(term).unwrap().unwrap();
                let mut read = BTreeSet::new();
                dictionary.rows(&found).unwrap().0.for_each(|doc| { read.insert(doc); });
                prop_assert_eq!(&read, docs);
            }
            prop_assert!(!walk.next().unwrap());
            for other in &others {
                prop_assert_eq!(dictionary.find(other.as_bytes()).unwrap().is_some(), terms.contains_key(other.as_bytes()));
            }
        }

        #[test]
        fn altered_bytes_are_read_or_refused(
            terms in prop::collection::btree_map("[0-9a-f]{1,12}".prop_map(String::into_bytes), prop::collection::btree_set(0u32..50, 1..50), 1..80),
            at in any::<prop::sample::Index>(), byte in any::<u8>(),
        ) {
            let (mut words, lists) = made(&terms, 50);
            let at = at.index(words.len());
            words[at] = byte;
            let Some(dictionary) = Dictionary::of(OwnedBytes::new(words), OwnedBytes::new(lists)) else { return Ok(()) };
            for term in terms.keys() {
                if let Ok(Some(found)) = dictionary.find(term) {
                    let _ = dictionary.rows(&found);
                }
            }
            if let Ok(mut walk) = dictionary.from(&[]) {
                while let Ok(true) = walk.next() {
                    let _ = dictionary.rows(&walk.found);
                }
            }
        }
    }
}
