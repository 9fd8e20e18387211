//! The events of a term, as Tantivy walks through them.

use tantivy::{COLLECT_BLOCK_BUFFER_LEN, DocId, DocSet, TERMINATED};

use super::lists::Rows;

/// Stands at one of them.
pub(super) struct Standing {
    rows: Rows,
    doc: DocId,
    /// Of a list, where in it.
    at: usize,
}

impl Standing {
    pub(super) fn new(rows: Rows) -> Standing {
        let mut standing = Standing { rows, doc: 0, at: 0 };
        standing.doc = match &standing.rows {
            Rows::All(0) => TERMINATED,
            Rows::All(_) => 0,
            Rows::List(docs) => docs.first().copied().unwrap_or(TERMINATED),
            Rows::Bits(bits, _) => next_bit(bits, 0),
        };
        standing
    }
}

/// The first bit that is set from `from` on.
fn next_bit(bits: &[u64], from: u32) -> DocId {
    let mut at = from as usize / 64;
    let Some(word) = bits.get(at) else { return TERMINATED };
    let mut word = word & (u64::MAX << (from % 64));
    while word == 0 {
        at += 1;
        match bits.get(at) {
            Some(next) => word = *next,
            None => return TERMINATED,
        }
    }
    at as u32 * 64 + word.trailing_zeros()
}

impl DocSet for Standing {
    #[inline]
    fn advance(&mut self) -> DocId {
        if self.doc == TERMINATED {
            return TERMINATED;
        }
        self.doc = match &self.rows {
            Rows::All(count) => Some(self.doc + 1).filter(|d| d < count).unwrap_or(TERMINATED),
            Rows::Bits(bits, _) => next_bit(bits, self.doc + 1),
            Rows::List(docs) => {
                self.at += 1;
                docs.get(self.at).copied().unwrap_or(TERMINATED)
            }
        };
        self.doc
    }

    fn seek(&mut self, target: DocId) -> DocId {
        if self.doc >= target {
            return self.doc;
        }
        self.doc = match &self.rows {
            Rows::All(count) => Some(target).filter(|d| d < count).unwrap_or(TERMINATED),
            Rows::Bits(bits, _) => next_bit(bits, target),
            Rows::List(docs) => {
                // Steps that double, then halve: most targets are near.
                let mut step = 1;
                while docs.get(self.at + step).is_some_and(|d| *d < target) {
                    step *= 2;
                }
                let from = self.at + step / 2;
                let to = (self.at + step + 1).min(docs.len());
                self.at = from + docs[from.min(to)..to].partition_point(|d| *d < target);
                docs.get(self.at).copied().unwrap_or(TERMINATED)
            }
        };
        self.doc
    }

    fn fill_buffer(&mut self, buffer: &mut [DocId; COLLECT_BLOCK_BUFFER_LEN]) -> usize {
        if self.doc == TERMINATED {
            return 0;
        }
        if let Rows::List(docs) = &self.rows {
            let rest = &docs[self.at..];
            let count = rest.len().min(buffer.len());
            buffer[..count].copy_from_slice(&rest[..count]);
            self.at += count;
            self.doc = docs.get(self.at).copied().unwrap_or(TERMINATED);
            return count;
        }
        for (n, slot) in buffer.iter_mut().enumerate() {
            *slot = self.doc;
            if self.advance() == TERMINATED {
                return n + 1;
            }
        }
        buffer.len()
    }

    fn doc(&self) -> DocId {
        self.doc
    }

    fn size_hint(&self) -> u32 {
        self.rows.count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn each_kind_walks_alike(docs in prop::collection::btree_set(0u32..300, 1..80), targets in prop::collection::btree_set(0u32..320, 0..9)) {
            let list: Vec<u32> = docs.iter().copied().collect();
            let mut bits = vec![0; 5];
            Rows::List(list.clone()).set(&mut bits);
            for rows in [Rows::List(list.clone()), Rows::Bits(bits.clone(), list.len() as u32)] {
                let mut standing = Standing::new(rows.clone());
                let mut buffer = [0; COLLECT_BLOCK_BUFFER_LEN];
                let (first, rest) = (standing.fill_buffer(&mut buffer), &list[..list.len().min(64)]);
                prop_assert_eq!(&buffer[..first], rest);
                prop_assert_eq!(standing.doc(), list.get(64).copied().unwrap_or(TERMINATED));
                let mut standing = Standing::new(rows.clone());
                for target in &targets {
                    let expected = docs.range(target..).next().copied().unwrap_or(TERMINATED);
                    let found = standing.seek(*target);
                    prop_assert!(found == expected || found > *target && found == standing.doc());
                }
                let mut standing = Standing::new(rows);
                let mut walked = Vec::new();
                while standing.doc() != TERMINATED {
                    walked.push(standing.doc());
                    standing.advance();
                }
                prop_assert_eq!(&walked, &list);
            }
        }
    }
}
