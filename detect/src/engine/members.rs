//! The members of one finding in order: most findings have one.

use std::collections::BTreeMap;

use super::bucket::Member;
use super::fact::Order;

/// Members, in order of (event) time.
#[derive(Debug, Default)]
pub(super) enum Members {
    /// None.
    #[default]
    None,
    /// One, in no block of its own.
    One(Order, Member),
    /// Several, or as many as are left of them.
    Many(BTreeMap<Order, Member>),
}

impl Members {
    /// Adds one, in place of that which is there.
    pub fn insert(&mut self, order: Order, member: Member) {
        *self = match std::mem::take(self) {
            Members::None => Members::One(order, member),
            Members::One(own, _) if own == order => Members::One(order, member),
            Members::One(own, first) => Members::Many([(own, first), (order, member)].into()),
            Members::Many(mut all) => {
                all.insert(order, member);
                Members::Many(all)
            }
        };
    }

    pub fn remove(&mut self, order: &Order) {
        match self {
            Members::One(own, _) if own == order => *self = Members::None,
            Members::Many(all) => drop(all.remove(order)),
            Members::None | Members::One(..) => {}
        }
    }

    pub fn get(&self, order: &Order) -> Option<&Member> {
        match self {
            Members::One(own, member) => (own == order).then_some(member),
            Members::Many(all) => all.get(order),
            Members::None => None,
        }
    }

    pub fn first(&self) -> Option<(&Order, &Member)> {
        self.iter().next()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Order, &Member)> {
        let (one, many) = match self {
            Members::None => (None, None),
            Members::One(order, member) => (Some((order, member)), None),
            Members::Many(all) => (None, Some(all)),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    pub fn len(&self) -> usize {
        match self {
            Members::None => 0,
            Members::One(..) => 1,
            Members::Many(all) => all.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use model::Millis;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn members_are_a_map(steps in prop::collection::vec((0i64..4, 0i64..3, any::<bool>()), 0..40)) {
            let (mut members, mut plain) = (Members::default(), BTreeMap::new());
            for (at, value, adds) in steps {
                let order: Order = (Millis(at), "u".into());
                if adds {
                    members.insert(order.clone(), Member::Window(value.to_string().into()));
                    plain.insert(order.clone(), value.to_string());
                } else {
                    members.remove(&order);
                    plain.remove(&order);
                }
                let text = |m: &Member| match m {
                    Member::Window(group) => group.to_string(),
                    _ => String::new(),
                };
                let all: Vec<_> = members.iter().map(|(o, m)| (o.clone(), text(m))).collect();
                prop_assert_eq!(all, plain.clone().into_iter().collect::<Vec<_>>());
                prop_assert_eq!(members.get(&order).map(text), plain.get(&order).cloned());
                prop_assert_eq!((members.len(), members.is_empty()), (plain.len(), plain.is_empty()));
                prop_assert_eq!(members.first().map(|(o, _)| o), plain.keys().next());
            }
        }
    }
}
