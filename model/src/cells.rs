//! The values of an event: flat, each at its path, in the order in which they were put.

use std::fmt;

use crate::Arena;
use crate::path::{PathId, known};
use crate::value::{Object, Value};

/// A value and where it stands in the event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cell<'a> {
    /// Where.
    pub path: PathId,
    /// What. An object, too, may be put as a whole.
    pub value: Value<'a>,
}

/// Paths below this number are told by a bit; later ones are looked for.
const BITS: usize = 512;

#[derive(Clone, Copy, Debug, Default)]
struct Bits([u64; BITS / 64]);

impl Bits {
    #[inline]
    fn set(&mut self, id: PathId) {
        if let Some(word) = self.0.get_mut(id.index() / 64) {
            *word |= 1 << (id.index() % 64);
        }
    }

    /// `None`: it is not known here.
    #[inline]
    fn get(&self, id: PathId) -> Option<bool> {
        self.0
            .get(id.index() / 64)
            .map(|word| word & 1 << (id.index() % 64) != 0)
    }
}

/// Cells in the making. No two of them are at one path, and none is below another.
pub struct Cells<'a> {
    arena: &'a Arena,
    cells: bumpalo::collections::Vec<'a, Cell<'a>>,
    /// Paths that hold a value.
    there: Bits,
    /// Paths that something below holds a value.
    below: Bits,
}

impl fmt::Debug for Cells<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.cells).finish()
    }
}

impl<'a> Cells<'a> {
    /// None yet, with room for `capacity`.
    #[must_use]
    pub fn new(arena: &'a Arena, capacity: usize) -> Cells<'a> {
        Cells {
            arena,
            cells: bumpalo::collections::Vec::with_capacity_in(capacity, arena.bump()),
            there: Bits::default(),
            below: Bits::default(),
        }
    }

    /// These again, to change them.
    #[must_use]
    pub fn of(arena: &'a Arena, cells: &[Cell<'a>]) -> Cells<'a> {
        let mut all = Cells::new(arena, cells.len() + 8);
        for cell in cells {
            all.put(cell.path, cell.value);
        }
        all
    }

    /// Puts a value at a path that is new, and neither above nor below another: nothing is looked up.
    #[inline]
    pub fn push(&mut self, path: PathId, value: Value<'a>) {
        self.there.set(path);
        self.cells.push(Cell { path, value });
    }

    /// Puts a value at a path, in the place of what was there; a scalar on the way is replaced.
    #[inline]
    pub fn put(&mut self, path: PathId, value: Value<'a>) {
        let paths = self.arena.paths.borrow();
        let ancestors = paths.ancestors(path);
        let is_new = self.there.get(path) == Some(false)
            && self.below.get(path) == Some(false)
            && ancestors.iter().all(|a| self.there.get(*a) == Some(false));
        if is_new {
            for above in ancestors {
                self.below.set(*above);
            }
            drop(paths);
            self.push(path, value);
        } else {
            drop(paths);
            self.replace(path, value);
        }
    }

    fn at(&self, path: PathId) -> Option<usize> {
        if self.there.get(path) == Some(false) {
            return None;
        }
        self.cells.iter().position(|c| c.path == path)
    }

    #[inline(never)]
    fn replace(&mut self, path: PathId, value: Value<'a>) {
        if let Some(at) = self.at(path) {
            self.cells[at].value = value;
            return;
        }
        let paths = self.arena.paths.borrow();
        let above = paths.ancestors(path).iter().find_map(|a| self.at(*a));
        if let Some(at) = above {
            let there = self.cells[at];
            if let Value::Object(object) = there.value {
                let rest = &paths.text(path)[paths.text(there.path).len() + 1..];
                // The path lives as long as its arena's numbers do, the object's names as long as its memory.
                let rest = self.arena.text(rest);
                self.cells[at].value = Value::Object(put_in(self.arena, object, rest, value));
                return;
            }
            self.cells[at] = Cell { path, value };
        } else if let Some(at) = self.cells.iter().position(|c| paths.ancestors(c.path).contains(&path)) {
            self.cells[at] = Cell { path, value };
            self.cells
                .retain(|c| c.path == path || !paths.ancestors(c.path).contains(&path));
        } else {
            self.cells.push(Cell { path, value });
        }
        self.there = Bits::default();
        self.below = Bits::default();
        for cell in &self.cells {
            self.there.set(cell.path);
            for above in paths.ancestors(cell.path) {
                self.below.set(*above);
            }
        }
    }

    /// Whether there is a value at a path or below it.
    #[must_use]
    #[inline]
    pub fn has(&self, path: PathId) -> bool {
        if self.there.get(path) == Some(true) || self.below.get(path) == Some(true) {
            return true;
        }
        self.has_elsewhere(path)
    }

    fn has_elsewhere(&self, path: PathId) -> bool {
        let paths = self.arena.paths.borrow();
        if let Some(cell) = paths.ancestors(path).iter().find_map(|a| self.at(*a)) {
            let Value::Object(mut object) = self.cells[cell].value else {
                return false;
            };
            let mut parts = paths.text(path)[paths.text(self.cells[cell].path).len() + 1..]
                .split('.')
                .peekable();
            while let Some(part) = parts.next() {
                match object.get(part) {
                    Some(_) if parts.peek().is_none() => return true,
                    Some(Value::Object(inner)) => object = *inner,
                    _ => return false,
                }
            }
        }
        path.index() >= BITS
            && self
                .cells
                .iter()
                .any(|c| c.path == path || paths.ancestors(c.path).contains(&path))
    }

    /// The value at a path, where one was put there.
    #[must_use]
    pub fn get(&self, path: PathId) -> Option<Value<'a>> {
        self.at(path).map(|at| self.cells[at].value)
    }

    /// Takes away the value at a path.
    pub fn remove(&mut self, path: PathId) {
        if let Some(at) = self.at(path) {
            self.cells.remove(at);
            let kept: Vec<_> = self.cells.to_vec();
            *self = Cells::of(self.arena, &kept);
        }
    }

    /// The cells, whole.
    #[must_use]
    pub fn finish(self) -> &'a [Cell<'a>] {
        self.cells.into_bump_slice()
    }
}

/// `object` with a value at a dotted path.
fn put_in<'a>(arena: &'a Arena, object: Object<'a>, path: &'a str, value: Value<'a>) -> Object<'a> {
    match path.split_once('.') {
        None => object.with(arena, path, value),
        Some((head, rest)) => {
            let inner = object.get(head).and_then(Value::as_object).unwrap_or_default();
            object.with(arena, head, Value::Object(put_in(arena, inner, rest, value)))
        }
    }
}

/// Whether a path is `metadata` or stands below it: those come last in an event.
pub(crate) fn is_metadata(ancestors: &[PathId], path: PathId) -> bool {
    ancestors.first() == Some(&known::METADATA) || path == known::METADATA
}
