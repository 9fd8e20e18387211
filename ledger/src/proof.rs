//! Inclusion and consistency proofs: made as RFC 6962, section 2.1.1 and 2.1.2, says; checked as RFC 9162,
//! section 2.1.3.2 and 2.1.4.2, says. Whoever makes a proof gives the nodes; whoever checks one needs none.

use crate::merkle::{Hash, empty_root, node_hash, split_height};

/// The root over the leaves `low..high`, from complete subtrees: `node(height, index)` is the root over the
/// leaves `index << height .. (index + 1) << height`. `low` must be a multiple of the first subtree's size.
pub(crate) fn range_root<E>(
    mut low: u64,
    high: u64,
    node: &mut impl FnMut(u32, u64) -> Result<Hash, E>,
) -> Result<Hash, E> {
    let mut parts = Vec::new();
    while low < high {
        let height = (high - low).ilog2();
        parts.push(node(height, low >> height)?);
        low += 1 << height;
    }
    Ok(parts
        .into_iter()
        .rev()
        .reduce(|right, left| node_hash(&left, &right))
        .unwrap_or_else(empty_root))
}

/// The audit path of leaf `index` in the tree of the first `size` leaves; `index < size`.
pub(crate) fn inclusion<E>(
    index: u64,
    size: u64,
    node: &mut impl FnMut(u32, u64) -> Result<Hash, E>,
) -> Result<Vec<Hash>, E> {
    let (mut low, mut high) = (0, size);
    let mut path = Vec::new();
    while high - low > 1 {
        let middle = low + (1 << split_height(high - low));
        if index < middle {
            path.push(range_root(middle, high, node)?);
            high = middle;
        } else {
            path.push(range_root(low, middle, node)?);
            low = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The proof that the first `old` of the first `new` leaves are as they were; `old <= new`.
pub(crate) fn consistency<E>(
    old: u64,
    new: u64,
    node: &mut impl FnMut(u32, u64) -> Result<Hash, E>,
) -> Result<Vec<Hash>, E> {
    let (mut low, mut high) = (0, new);
    let mut path = Vec::new();
    if old == 0 || old == new {
        return Ok(path);
    }
    // The tree of `old` leaves ends within low..high, or at its end.
    while old != high {
        let middle = low + (1 << split_height(high - low));
        if old <= middle {
            path.push(range_root(middle, high, node)?);
            high = middle;
        } else {
            path.push(range_root(low, middle, node)?);
            low = middle;
        }
    }
    // The checker knows the old root; it must be told the old right edge only where that is a part of it.
    if low != 0 {
        path.push(range_root(low, high, node)?);
    }
    path.reverse();
    Ok(path)
}

/// Whether `proof` shows that `leaf` (its hash) is at `index` in the tree of `size` leaves with this root.
#[must_use]
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut at, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            hash = node_hash(sibling, &hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// Whether `proof` shows that the tree of `new` leaves begins with the tree of `old` leaves.
#[must_use]
pub fn verify_consistency(old: u64, old_root: &Hash, new: u64, new_root: &Hash, proof: &[Hash]) -> bool {
    if old == 0 {
        return proof.is_empty() && *old_root == empty_root();
    }
    if old >= new {
        return old == new && proof.is_empty() && old_root == new_root;
    }
    let (mut at, mut last) = (old - 1, new - 1);
    while at & 1 == 1 {
        at >>= 1;
        last >>= 1;
    }
    let mut rest = proof.iter();
    // Of a power of two, the old root itself is a node of the new tree.
    let first = if old.is_power_of_two() {
        Some(old_root)
    } else {
        rest.next()
    };
    let Some(first) = first else { return false };
    let (mut old_hash, mut new_hash) = (*first, *first);
    for sibling in rest {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && old_hash == *old_root && new_hash == *new_root
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;
    use crate::merkle::tests::leaf_hashes;
    use crate::merkle::{leaf_hash, root_of};

    fn leaves(n: u64) -> Vec<Hash> {
        (0..n).map(|i| leaf_hash(&i.to_be_bytes())).collect()
    }

    fn nodes(leaves: &[Hash]) -> impl FnMut(u32, u64) -> Result<Hash, Infallible> {
        move |height, index| {
            Ok(root_of(
                &leaves[(index << height) as usize..((index + 1) << height) as usize],
            ))
        }
    }

    /// PATH(m, D[n]) of RFC 6962, word for word.
    fn plain_path(m: usize, d: &[Hash]) -> Vec<Hash> {
        if d.len() <= 1 {
            return vec![];
        }
        let k = d.len().next_power_of_two() / 2;
        let (mut path, rest) = match m < k {
            true => (plain_path(m, &d[..k]), root_of(&d[k..])),
            false => (plain_path(m - k, &d[k..]), root_of(&d[..k])),
        };
        path.push(rest);
        path
    }

    /// SUBPROOF(m, D[n], b) of RFC 6962, word for word.
    fn plain_subproof(m: usize, d: &[Hash], whole: bool) -> Vec<Hash> {
        if m == d.len() {
            return if whole { vec![] } else { vec![root_of(d)] };
        }
        let k = d.len().next_power_of_two() / 2;
        let (mut path, rest) = match m <= k {
            true => (plain_subproof(m, &d[..k], whole), root_of(&d[k..])),
            false => (plain_subproof(m - k, &d[k..], false), root_of(&d[..k])),
        };
        path.push(rest);
        path
    }

    proptest! {
        #[test]
        fn inclusion_is_the_plain_path_and_holds(size in 1u64..600, at: prop::sample::Index, bad: prop::sample::Index) {
            let all = leaves(size);
            let index = at.index(size as usize) as u64;
            let mut path = inclusion(index, size, &mut nodes(&all)).unwrap();
            prop_assert_eq!(&path, &plain_path(index as usize, &all));
            let (root, leaf) = (root_of(&all), all[index as usize]);
            prop_assert!(verify_inclusion(&leaf, index, size, &path, &root));
            prop_assert!(!verify_inclusion(&root, index, size, &path, &leaf) || size == 1);
            prop_assert!(!verify_inclusion(&leaf, index, size, &[&path[..], &[leaf]].concat(), &root));
            if !path.is_empty() {
                prop_assert!(!verify_inclusion(&leaf, (index + 1) % size, size, &path, &root));
                prop_assert!(!verify_inclusion(&leaf, index, size, &path[1..], &root));
                let bad = bad.index(path.len());
                path[bad][0] ^= 1;
                prop_assert!(!verify_inclusion(&leaf, index, size, &path, &root));
            }
        }

        #[test]
        fn consistency_is_the_plain_subproof_and_holds(new in 1u64..600, at: prop::sample::Index, bad: prop::sample::Index) {
            let all = leaves(new);
            let old = at.index(new as usize + 1) as u64;
            let mut path = consistency(old, new, &mut nodes(&all)).unwrap();
            let (before, after) = (root_of(&all[..old as usize]), root_of(&all));
            prop_assert!(verify_consistency(old, &before, new, &after, &path));
            if old > 0 {
                prop_assert_eq!(&path, &plain_subproof(old as usize, &all, true));
                prop_assert!(!verify_consistency(old, &leaf_hash(b"other"), new, &after, &path));
                prop_assert!(!verify_consistency(old, &before, new, &leaf_hash(b"other"), &path));
            }
            if !path.is_empty() {
                let bad = bad.index(path.len());
                path[bad][31] ^= 1;
                prop_assert!(!verify_consistency(old, &before, new, &after, &path));
            }
        }

        #[test]
        fn no_claim_panics(index: u64, size: u64, proof: Vec<[u8; 32]>) {
            let _ = verify_inclusion(&[0; 32], index, size, &proof, &[0; 32]);
            let _ = verify_consistency(index, &[0; 32], size, &[0; 32], &proof);
        }
    }

    #[test]
    fn the_proofs_are_those_of_the_reference_implementation() {
        let all = leaf_hashes();
        let hexed = |path: Vec<Hash>| path.iter().map(hex::encode).collect::<Vec<_>>();
        assert_eq!(
            hexed(inclusion(0, 8, &mut nodes(&all)).unwrap()),
            [
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ]
        );
        assert_eq!(
            hexed(consistency(6, 8, &mut nodes(&all)).unwrap()),
            [
                "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ]
        );
    }
}
