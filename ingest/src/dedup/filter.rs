//! A Bloom filter over keys that are hashes already: one cache line a key.
//!
//! Sixteen bits a key in blocks of 512: of keys that are not in it, about one in five hundred is taken for one that is.

const BITS_PER_KEY: usize = 16;
const BLOCK_BITS: usize = 512;
const BLOCK_WORDS: usize = BLOCK_BITS / 64;
/// Bits that a key sets in its block.
const PROBES: u32 = 8;

/// The filter of one run.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    blocks: Vec<[u64; BLOCK_WORDS]>,
}

impl Filter {
    /// An empty one for so many keys.
    pub fn new(keys: usize) -> Filter {
        let blocks = (keys.max(1) * BITS_PER_KEY).div_ceil(BLOCK_BITS);
        Filter {
            blocks: vec![[0; BLOCK_WORDS]; blocks],
        }
    }

    /// Puts a key in.
    pub fn insert(&mut self, key: &[u8; 16]) {
        let (block, bits) = self.place(key);
        for bit in bits {
            self.blocks[block][bit / 64] |= 1 << (bit % 64);
        }
    }

    /// `false`: the key was never put in.
    pub fn may_hold(&self, key: &[u8; 16]) -> bool {
        let (block, bits) = self.place(key);
        let block = &self.blocks[block];
        bits.into_iter().all(|bit| block[bit / 64] & (1 << (bit % 64)) != 0)
    }

    fn place(&self, key: &[u8; 16]) -> (usize, impl Iterator<Item = usize> + use<>) {
        let n = u128::from_be_bytes(*key);
        // The upper half picks the block, the lower half the bits: nine of its bits each, the last ones turned around.
        let upper = (n >> 64) as u64;
        let lower = n as u64;
        let block = ((u128::from(upper) * self.blocks.len() as u128) >> 64) as usize;
        let bits = (0..PROBES).map(move |i| (lower.rotate_left(i * 9) as usize) % BLOCK_BITS);
        (block, bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dedup::key;

    #[test]
    fn what_was_put_in_is_held_and_little_else() {
        let keys = 20_000;
        let mut filter = Filter::new(keys);
        let of = |n: usize| key("s", b"uid", &n.to_be_bytes(), b"");
        (0..keys).for_each(|n| filter.insert(&of(n)));
        assert!((0..keys).all(|n| filter.may_hold(&of(n))));
        let wrong = (keys..11 * keys).filter(|n| filter.may_hold(&of(*n))).count();
        assert!(wrong < 10 * keys / 200, "{wrong} of {}", 10 * keys);
    }
}
