//! The events of a term, in bytes; and where in them it stands.
//!
//! Events are their numbers in the segment, rising. Where every event of the segment holds the term, no byte is written;
//! where one in eight or more does, one bit for each event of the segment; else the distances, as variable-length numbers.
//! Behind them, for terms whose places are kept, for each event `place << 1`, or where there are several
//! `count << 1 | 1` and the first place and the distances of the others.

/// Appends a number, seven bits a byte, the lowest first.
pub(super) fn put(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Reads what [`put`] wrote, from `at` on.
#[inline]
pub(super) fn take(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let first = *bytes.get(*at)?;
    *at += 1;
    if first < 0x80 {
        return Some(u64::from(first));
    }
    let (mut n, mut shift) = (u64::from(first & 0x7f), 7);
    loop {
        let byte = *bytes.get(*at)?;
        *at += 1;
        n |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte < 0x80 {
            return Some(n);
        }
        shift += 7;
        if shift > 63 {
            return None;
        }
    }
}

/// The events that hold a term.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rows {
    /// Every one below.
    All(u32),
    /// A bit each, of so many set.
    Bits(Vec<u64>, u32),
    /// Their numbers, rising.
    List(Vec<u32>),
}

impl Rows {
    pub(crate) fn count(&self) -> u32 {
        match self {
            Rows::All(count) | Rows::Bits(_, count) => *count,
            Rows::List(docs) => docs.len() as u32,
        }
    }

    /// Calls `each` with each number.
    pub(super) fn for_each(&self, mut each: impl FnMut(u32)) {
        match self {
            Rows::All(count) => (0..*count).for_each(each),
            Rows::List(docs) => docs.iter().for_each(|doc| each(*doc)),
            Rows::Bits(words, _) => {
                for (n, word) in words.iter().enumerate() {
                    let mut left = *word;
                    while left != 0 {
                        each(n as u32 * 64 + left.trailing_zeros());
                        left &= left - 1;
                    }
                }
            }
        }
    }

    /// Those that are in both.
    pub(super) fn and(self, other: &Rows) -> Rows {
        match (self, other) {
            (rows, Rows::All(_)) => rows,
            (Rows::All(_), rows) => rows.clone(),
            (Rows::Bits(mut bits, _), Rows::Bits(others, _)) => {
                bits.iter_mut().zip(others).for_each(|(bit, other)| *bit &= other);
                let count = bits.iter().map(|w| w.count_ones()).sum();
                Rows::Bits(bits, count)
            }
            (Rows::List(mut docs), Rows::Bits(bits, _)) => {
                docs.retain(|doc| bits.get(*doc as usize / 64).is_some_and(|w| w >> (doc % 64) & 1 == 1));
                Rows::List(docs)
            }
            (bits @ Rows::Bits(..), list @ Rows::List(_)) => list.clone().and(&bits),
            (Rows::List(mut docs), Rows::List(others)) => {
                let mut at = 0;
                docs.retain(|doc| {
                    at += others[at..].partition_point(|o| o < doc);
                    others.get(at) == Some(doc)
                });
                Rows::List(docs)
            }
        }
    }

    /// Sets the bit of each in `bits`.
    pub(super) fn set(&self, bits: &mut [u64]) {
        match self {
            Rows::Bits(words, _) => bits.iter_mut().zip(words).for_each(|(bit, word)| *bit |= word),
            other => other.for_each(|doc| {
                if let Some(word) = bits.get_mut(doc as usize / 64) {
                    *word |= 1 << (doc % 64);
                }
            }),
        }
    }
}

/// Appends these events of a segment of `max`; rising, below `max`.
pub(super) fn encode(docs: &[u32], max: u32, out: &mut Vec<u8>) {
    if docs.len() == max as usize {
        return;
    }
    let start = out.len();
    if docs.len() >= bit_bytes(max) {
        out.resize(start + bit_bytes(max), 0);
        let bits = &mut out[start..];
        docs.iter().for_each(|doc| bits[*doc as usize / 8] |= 1 << (doc % 8));
        return;
    }
    let mut before = 0;
    for doc in docs {
        put(out, u64::from(doc - before));
        before = *doc;
    }
}

/// Reads what [`encode`] wrote of `count` events, and how many bytes that was.
pub(super) fn decode(bytes: &[u8], count: u32, max: u32) -> Option<(Rows, usize)> {
    if count == max {
        return Some((Rows::All(max), 0));
    }
    if count as usize >= bit_bytes(max) {
        let bits = bytes.get(..bit_bytes(max))?;
        let word = |chunk: &[u8]| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            u64::from_le_bytes(word)
        };
        let words: Vec<u64> = bits.chunks(8).map(word).collect();
        let set: u32 = words.iter().map(|w| w.count_ones()).sum();
        let beyond = !max.is_multiple_of(64) && words.last().is_some_and(|last| last >> (max % 64) != 0);
        return (set == count && !beyond).then_some((Rows::Bits(words, count), bits.len()));
    }
    let mut docs = Vec::with_capacity((count as usize).min(bytes.len()));
    let (mut at, mut doc) = (0, 0u64);
    for n in 0..count {
        let step = take(bytes, &mut at)?;
        doc = doc.checked_add(step)?;
        if doc >= u64::from(max) || step == 0 && n > 0 {
            return None;
        }
        docs.push(doc as u32);
    }
    Some((Rows::List(docs), at))
}

fn bit_bytes(max: u32) -> usize {
    max.div_ceil(8) as usize
}

/// Appends the places of a term in one event, rising; never none.
pub(super) fn encode_places(places: &[u32], out: &mut Vec<u8>) {
    if let [one] = places {
        return put(out, u64::from(*one) << 1);
    }
    put(out, (places.len() as u64) << 1 | 1);
    let mut before = 0;
    for place in places {
        put(out, u64::from(place - before));
        before = *place;
    }
}

/// Reads the places of one event and calls `each` with them.
pub(super) fn decode_places(bytes: &[u8], at: &mut usize, mut each: impl FnMut(u32)) -> Option<()> {
    let head = take(bytes, at)?;
    if head & 1 == 0 {
        each(u32::try_from(head >> 1).ok()?);
        return Some(());
    }
    let mut place = 0u64;
    for _ in 0..head >> 1 {
        place = place.checked_add(take(bytes, at)?)?;
        each(u32::try_from(place).ok()?);
    }
    Some(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(
            (max, docs) in (1u32..400).prop_flat_map(|max| (Just(max), prop::collection::btree_set(0..max, 1..=max as usize))),
            places in prop::collection::vec(prop::collection::btree_set(any::<u32>(), 1..4), 1..9),
        ) {
            let docs: Vec<u32> = docs.into_iter().collect();
            let mut bytes = Vec::new();
            encode(&docs, max, &mut bytes);
            let behind = bytes.len();
            for of in &places {
                encode_places(&of.iter().copied().collect::<Vec<_>>(), &mut bytes);
            }
            let (rows, length) = decode(&bytes, docs.len() as u32, max).unwrap();
            let (mut read, mut bits) = (Vec::new(), vec![0; max.div_ceil(64) as usize]);
            rows.for_each(|doc| read.push(doc));
            rows.set(&mut bits);
            prop_assert_eq!(length, behind);
            prop_assert_eq!(rows.count() as usize, docs.len());
            prop_assert_eq!(bits.iter().map(|w| w.count_ones()).sum::<u32>() as usize, docs.len());
            prop_assert_eq!(&read, &docs);
            let mut at = length;
            for of in &places {
                let mut read = Vec::new();
                decode_places(&bytes, &mut at, |p| read.push(p)).unwrap();
                prop_assert_eq!(read, of.iter().copied().collect::<Vec<_>>());
            }
            prop_assert_eq!(at, bytes.len());
        }

        #[test]
        fn both_are_what_sets_have_in_common(
            max in 1u32..200, parts in prop::collection::vec((prop::collection::btree_set(0u32..200, 0..200), any::<bool>()), 1..4),
        ) {
            let mut expected: std::collections::BTreeSet<u32> = (0..max).collect();
            let mut all = Rows::All(max);
            for (docs, is_list) in parts {
                let list: Vec<u32> = docs.into_iter().filter(|d| *d < max).collect();
                expected.retain(|d| list.contains(d));
                let mut bits = vec![0; max.div_ceil(64) as usize];
                Rows::List(list.clone()).set(&mut bits);
                all = all.and(&if is_list { Rows::List(list) } else { Rows::Bits(bits, list.len() as u32) });
            }
            let mut read = std::collections::BTreeSet::new();
            all.for_each(|doc| { read.insert(doc); });
            prop_assert_eq!(all.count() as usize, expected.len());
            prop_assert_eq!(read, expected);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..60), count in 0u32..80, max in 0u32..200) {
            if let Some((rows, _)) = decode(&bytes, count, max) {
                let mut last = None;
                rows.for_each(|doc| {
                    assert!(doc < max && last.is_none_or(|l| l < doc));
                    last = Some(doc);
                });
            }
            let _ = decode_places(&bytes, &mut 0, |_| ());
        }
    }
}
