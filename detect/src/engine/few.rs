//! A set in order that nearly always has one item, or none: that lies where the set lies.

use std::borrow::Borrow;
use std::collections::BTreeSet;

use smallvec::SmallVec;

/// More than so many are a tree.
const FEW: usize = 16;

/// The items, in order.
#[derive(Clone, Debug)]
pub(super) enum Few<T> {
    /// Few are looked through.
    Few(SmallVec<[T; 1]>),
    /// Many.
    Many(BTreeSet<T>),
}

impl<T> Default for Few<T> {
    fn default() -> Few<T> {
        Few::Few(SmallVec::new())
    }
}

impl<T: Ord> Few<T> {
    /// Adds an item; `false` where it is there.
    pub fn insert(&mut self, item: T) -> bool {
        match self {
            Few::Few(items) => match items.binary_search(&item) {
                Ok(_) => false,
                Err(_) if items.len() >= FEW => {
                    let mut all: BTreeSet<T> = items.drain(..).collect();
                    all.insert(item);
                    *self = Few::Many(all);
                    true
                }
                Err(at) => {
                    items.insert(at, item);
                    true
                }
            },
            Few::Many(items) => items.insert(item),
        }
    }

    /// Takes an item out; `false` where it is not there.
    pub fn remove<Q: Ord + ?Sized>(&mut self, item: &Q) -> bool
    where
        T: Borrow<Q>,
    {
        match self {
            Few::Few(items) => match items.binary_search_by(|i| i.borrow().cmp(item)) {
                Ok(at) => {
                    items.remove(at);
                    true
                }
                Err(_) => false,
            },
            Few::Many(items) => items.remove(item),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn len(&self) -> usize {
        match self {
            Few::Few(items) => items.len(),
            Few::Many(items) => items.len(),
        }
    }

    /// In order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        let (few, many) = match self {
            Few::Few(items) => (items.as_slice(), None),
            Few::Many(items) => (&[][..], Some(items.iter())),
        };
        few.iter().chain(many.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn as_a_set(steps in prop::collection::vec((0u8..40, any::<bool>()), 0..200)) {
            let (mut few, mut plain) = (Few::default(), BTreeSet::new());
            for (item, comes) in steps {
                if comes {
                    prop_assert_eq!(few.insert(item), plain.insert(item));
                } else {
                    prop_assert_eq!(few.remove(&item), plain.remove(&item));
                }
                prop_assert_eq!((few.len(), few.is_empty()), (plain.len(), plain.is_empty()));
                prop_assert!(few.iter().eq(plain.iter()));
                prop_assert!(few.iter().rev().eq(plain.iter().rev()));
            }
        }
    }
}
