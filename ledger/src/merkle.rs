//! The Merkle tree of RFC 6962, section 2.1, with SHA-256: hashes, and the right edge of a growing tree.

use sha2::{Digest, Sha256};

/// A SHA-256 hash of the tree.
pub type Hash = [u8; 32];

/// The hash of a leaf: `SHA-256(0x00 || leaf)`.
#[must_use]
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(leaf).finalize().into()
}

/// The hash of an inner node: `SHA-256(0x01 || left || right)`.
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut both = [1; 65];
    both[1..33].copy_from_slice(left);
    both[33..].copy_from_slice(right);
    Sha256::digest(both).into()
}

/// The root of a tree without leaves: the hash of the empty string.
#[must_use]
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

/// The root over leaf hashes, as RFC 6962 writes it; slow and plain, what the rest is held to.
#[must_use]
pub fn root_of(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [one] => *one,
        many => {
            // Depth at most 64: each half is shorter, by the power of two below its length.
            let (left, right) = many.split_at(1 << split_height(many.len() as u64));
            node_hash(&root_of(left), &root_of(right))
        }
    }
}

/// The height of the left subtree of a tree of `size` leaves, 2 or more: the largest power of two below `size`.
pub(crate) fn split_height(size: u64) -> u32 {
    (size - 1).ilog2()
}

/// The right edge of a tree: the roots of its complete subtrees, one for each bit that is set in its size,
/// largest first. Appending is O(log n); nothing else of the tree is needed for it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RightEdge {
    size: u64,
    nodes: Vec<Hash>,
}

impl RightEdge {
    /// How many leaves there are.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf's hash. Gives the root of the group of 256 leaves that it completes.
    pub fn push(&mut self, leaf: Hash) -> Option<Hash> {
        self.push_node(0, leaf)
    }

    /// Appends the root of a complete subtree of 2^`height` leaves; the size must be a multiple of that.
    /// Gives the node of height 8 that was completed, if any.
    pub fn push_node(&mut self, height: u32, node: Hash) -> Option<Hash> {
        debug_assert_eq!(
            self.size.trailing_zeros().min(height),
            height.min(64),
            "the subtree would not be aligned"
        );
        let (mut hash, mut level) = (node, height);
        let mut group = (level == 8).then_some(hash);
        while self.size >> level & 1 == 1 {
            let left = self.nodes.pop().expect("there is a node for each bit that is set");
            hash = node_hash(&left, &hash);
            level += 1;
            if level == 8 {
                group = Some(hash);
            }
        }
        self.nodes.push(hash);
        self.size += 1 << height;
        group
    }

    /// The root over all leaves.
    #[must_use]
    pub fn root(&self) -> Hash {
        let joined = self
            .nodes
            .iter()
            .rev()
            .copied()
            .reduce(|right, left| node_hash(&left, &right));
        joined.unwrap_or_else(empty_root)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The leaves and roots of the reference implementation's tests (google/certificate-transparency).
    pub(crate) const LEAVES: [&str; 8] = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ];
    const ROOTS: [&str; 9] = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    pub(crate) fn leaf_hashes() -> Vec<Hash> {
        LEAVES.iter().map(|l| leaf_hash(&hex::decode(l).unwrap())).collect()
    }

    #[test]
    fn the_roots_are_those_of_the_reference_implementation() {
        let leaves = leaf_hashes();
        let mut edge = RightEdge::default();
        for (n, root) in ROOTS.iter().enumerate() {
            assert_eq!(hex::encode(root_of(&leaves[..n])), *root);
            assert_eq!(hex::encode(edge.root()), *root);
            if n < 8 {
                edge.push(leaves[n]);
            }
        }
    }

    #[test]
    fn the_right_edge_equals_the_plain_root_and_names_each_group() {
        let leaves: Vec<Hash> = (0u32..1300).map(|i| leaf_hash(&i.to_be_bytes())).collect();
        let mut edge = RightEdge::default();
        for (n, leaf) in leaves.iter().enumerate() {
            let group = edge.push(*leaf);
            let end = n + 1;
            assert_eq!(group, (end % 256 == 0).then(|| root_of(&leaves[end - 256..end])));
            if end % 97 == 0 || end > 1200 {
                assert_eq!(edge.root(), root_of(&leaves[..end]));
            }
        }
        let mut by_groups = RightEdge::default();
        for group in leaves.chunks(256) {
            if group.len() == 256 {
                by_groups.push_node(8, root_of(group));
            } else {
                for leaf in group {
                    by_groups.push(*leaf);
                }
            }
        }
        assert_eq!(by_groups, edge);
    }
}
