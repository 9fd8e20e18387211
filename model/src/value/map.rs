//! Objects in the making.

use std::collections::HashMap;

use super::{Member, Object, Value};
use crate::Arena;

/// An object in the making: what is put twice is replaced.
#[derive(Clone, Debug, Default)]
pub struct Map<'a> {
    members: Vec<Member<'a>>,
    /// Places by name, where there are too many to look through; up to date or empty.
    places: HashMap<&'a str, usize>,
}

/// Members that are looked through one by one.
const LOOKED_THROUGH_MAX: usize = 48;

impl<'a> Map<'a> {
    /// An empty one.
    #[must_use]
    pub fn new() -> Map<'a> {
        Map::default()
    }

    fn at(&self, name: &str) -> Option<usize> {
        if self.members.len() > LOOKED_THROUGH_MAX && self.places.len() == self.members.len() {
            return self.places.get(name).copied();
        }
        self.members.iter().position(|(n, _)| *n == name)
    }

    fn push(&mut self, name: &'a str, value: Value<'a>) {
        if self.members.capacity() == 0 {
            self.members.reserve(16);
        }
        self.members.push((name, value));
        if self.members.len() > LOOKED_THROUGH_MAX {
            let known = self.places.len();
            for (at, (name, _)) in self.members.iter().enumerate().skip(known) {
                self.places.insert(name, at);
            }
        }
    }

    /// Puts a value at a name; what was there before is given back.
    pub fn insert(&mut self, name: &'a str, value: impl Into<Value<'a>>) -> Option<Value<'a>> {
        let value = value.into();
        if let Some(there) = self.get_mut(name) {
            return Some(std::mem::replace(there, value));
        }
        self.push(name, value);
        None
    }

    /// The value of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value<'a>> {
        self.at(name).map(|at| &self.members[at].1)
    }

    /// The value of that name, to change.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Value<'a>> {
        self.at(name).map(|at| &mut self.members[at].1)
    }

    /// Whether there is a value of that name.
    #[must_use]
    pub fn contains_key(&self, name: &str) -> bool {
        self.at(name).is_some()
    }

    /// The value of that name; where there is none, this one is put there first.
    pub fn or_insert(&mut self, name: &'a str, value: impl Into<Value<'a>>) -> &mut Value<'a> {
        let at = self.at(name).unwrap_or_else(|| {
            self.push(name, value.into());
            self.members.len() - 1
        });
        &mut self.members[at].1
    }

    /// Takes a value out; the others keep their order.
    pub fn shift_remove(&mut self, name: &str) -> Option<Value<'a>> {
        let at = self.at(name)?;
        self.places.clear();
        Some(self.members.remove(at).1)
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &Value<'a>)> {
        self.members.iter().map(|(n, v)| (*n, v))
    }

    /// The object.
    #[must_use]
    pub fn build(&self, arena: &'a Arena) -> Object<'a> {
        Object::new(arena, &self.members)
    }
}

impl<'a> From<Object<'a>> for Map<'a> {
    fn from(object: Object<'a>) -> Map<'a> {
        Map {
            members: object.members().to_vec(),
            places: HashMap::new(),
        }
    }
}

impl<'a> FromIterator<Member<'a>> for Map<'a> {
    fn from_iter<T: IntoIterator<Item = Member<'a>>>(members: T) -> Map<'a> {
        let mut map = Map::new();
        for (name, value) in members {
            map.insert(name, value);
        }
        map
    }
}

impl<'a> Extend<Member<'a>> for Map<'a> {
    fn extend<T: IntoIterator<Item = Member<'a>>>(&mut self, members: T) {
        for (name, value) in members {
            self.insert(name, value);
        }
    }
}
