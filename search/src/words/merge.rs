//! Several segments' words as one segment's.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use tantivy::{Segment, SegmentReader};

use super::dictionary::{Dictionary, DictionaryWriter, Walk};
use super::{LISTS, WORDS, component, damaged, lists, of};

/// The events of a segment that is merged, where they will be.
struct Moved {
    base: u32,
    /// For each event its new number; `None`: all are there, and follow `base`.
    to: Option<Vec<Option<u32>>>,
}

impl Moved {
    #[inline]
    fn of(&self, doc: u32) -> Option<u32> {
        match &self.to {
            None => Some(self.base + doc),
            Some(to) => to.get(doc as usize).copied().flatten(),
        }
    }
}

/// Writes the words of the events that are alive; they stand one segment after the other, as Tantivy's own columns do.
pub(super) fn merge(readers: &[SegmentReader], target: &Segment) -> tantivy::Result<()> {
    use tantivy::directory::TerminatingWrite as _;
    let mut moved = Vec::new();
    let mut base = 0;
    for reader in readers {
        let to = reader.alive_bitset().map(|alive| {
            let mut next = base;
            let place = |doc| {
                alive.is_alive(doc).then(|| {
                    next += 1;
                    next - 1
                })
            };
            (0..reader.max_doc()).map(place).collect()
        });
        moved.push(Moved { base, to });
        base += reader.num_docs();
    }
    let dictionaries: Vec<Arc<Dictionary>> = readers.iter().map(of).collect::<tantivy::Result<_>>()?;
    let target = target.clone();
    let files = (
        target.open_write(component(WORDS))?,
        target.open_write(component(LISTS))?,
    );
    let writer = DictionaryWriter::new(files.0, files.1, base);
    let (words, lists) = merge_into(&dictionaries, &moved, writer)?;
    words.terminate()?;
    lists.terminate()?;
    Ok(())
}

fn merge_into<W: std::io::Write>(
    dictionaries: &[Arc<Dictionary>],
    moved: &[Moved],
    mut writer: DictionaryWriter<W>,
) -> tantivy::Result<(W, W)> {
    let mut walks: Vec<Walk<'_>> = dictionaries
        .iter()
        .map(|d| d.from(&[]))
        .collect::<tantivy::Result<_>>()?;
    // Those that stand at a term, the least first; of equal ones the first segment.
    let mut heap: BinaryHeap<Reverse<(Vec<u8>, usize)>> = BinaryHeap::new();
    for (n, walk) in walks.iter_mut().enumerate() {
        if walk.next()? {
            heap.push(Reverse((walk.term().to_vec(), n)));
        }
    }
    let (mut docs, mut places, mut term) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(Reverse((least, _))) = heap.peek() {
        term.clear();
        term.extend_from_slice(least);
        docs.clear();
        places.clear();
        let mut placed = false;
        while let Some(mut head) = heap.peek_mut() {
            let Reverse((text, n)) = &mut *head;
            if *text != term {
                break;
            }
            let walk = &mut walks[*n];
            placed |= walk.found.placed;
            add(&dictionaries[*n], walk, &moved[*n], &mut docs, &mut places)?;
            if walk.next()? {
                text.clear();
                text.extend_from_slice(walk.term());
            } else {
                std::collections::binary_heap::PeekMut::pop(head);
            }
        }
        if !docs.is_empty() {
            writer.push(&term, &docs, placed.then_some(&places[..]))?;
        }
    }
    Ok(writer.finish()?)
}

/// Adds the events of a segment's term that are alive.
fn add(
    dictionary: &Dictionary,
    walk: &Walk<'_>,
    moved: &Moved,
    docs: &mut Vec<u32>,
    places: &mut Vec<u8>,
) -> tantivy::Result<()> {
    let (rows, bytes) = dictionary.rows(&walk.found)?;
    if moved.to.is_none() {
        rows.for_each(|doc| docs.push(moved.base + doc));
        places.extend_from_slice(bytes);
        return Ok(());
    }
    let (mut at, mut whole) = (0, true);
    rows.for_each(|doc| {
        let from = at;
        if walk.found.placed {
            whole &= lists::decode_places(bytes, &mut at, |_| ()).is_some();
        }
        if let Some(to) = moved.of(doc) {
            docs.push(to);
            places.extend_from_slice(bytes.get(from..at).unwrap_or_default());
        }
    });
    match whole {
        true => Ok(()),
        false => Err(damaged("places are cut")),
    }
}
