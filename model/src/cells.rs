//! The values of an event: flat, each at its path, in the order in which they were put.

use std::fmt;

use crate::Arena;
use crate::path::{NONE, PathId, Place, SMALL, known};
use crate::value::{Object, Value};

/// A value and where it stands in the event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cell<'a> {
    /// Where.
    pub path: PathId,
    /// What. An object, too, may be put as a whole.
    pub value: Value<'a>,
}

/// What is known of each small path: [`THERE`], [`BELOW`].
type States = [u8; SMALL as usize + 1];

/// The path holds a value.
const THERE: u8 = 1;
/// Something below the path holds a value.
const BELOW: u8 = 2;

/// Where a small path's state is; the last one is nobody's.
#[inline]
fn state(id: PathId) -> usize {
    id.index() & SMALL as usize
}

/// Cells in the making. No two of them are at one path, and none is below another.
pub struct Cells<'a> {
    arena: &'a Arena,
    cells: bumpalo::collections::Vec<'a, Cell<'a>>,
    states: &'a mut States,
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
            states: arena.bump().alloc([0; SMALL as usize + 1]),
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
        if path < NONE {
            self.states[state(path)] |= THERE;
        }
        self.cells.push(Cell { path, value });
    }

    /// Puts a value at a path, in the place of what was there; a scalar on the way is replaced.
    #[inline]
    pub fn put(&mut self, path: PathId, value: Value<'a>) {
        let place = self.arena.paths.borrow().place(path);
        self.put_at(place, value);
    }

    /// [`Cells::put`] at a path that the code writes: `object`, or `object`, a dot, `field`, where that is not empty. Says
    /// whether there is such a path: there may be too many.
    #[inline]
    pub fn put_literal(&mut self, object: &'static str, field: &'static str, value: Value<'a>) -> bool {
        let place = self.arena.paths.borrow_mut().literal(object, field);
        let Some(place) = place else {
            return false;
        };
        self.put_at(place, value);
        true
    }

    #[inline]
    fn put_at(&mut self, place: Place, value: Value<'a>) {
        let [a, b, c, d] = place.around.map(state);
        let around = self.states[a] | self.states[b] | self.states[c] | self.states[d];
        let at = state(place.id);
        if place.small && around & THERE == 0 && self.states[at] == 0 {
            // One after the other: to leave off early costs more than it spares.
            self.states[a] |= BELOW;
            self.states[b] |= BELOW;
            self.states[c] |= BELOW;
            self.states[d] |= BELOW;
            self.states[at] = THERE;
            self.cells.push(Cell { path: place.id, value });
        } else {
            self.replace(place.id, value);
        }
    }

    fn at(&self, path: PathId) -> Option<usize> {
        if path < NONE && self.states[state(path)] & THERE == 0 {
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
        *self.states = [0; SMALL as usize + 1];
        for cell in &self.cells {
            let around = paths.ancestors(cell.path).iter().map(|a| (*a, BELOW));
            for (path, what) in around.chain([(cell.path, THERE)]) {
                if path < NONE {
                    self.states[state(path)] |= what;
                }
            }
        }
    }

    /// Whether there is a value at a path or below it.
    #[must_use]
    #[inline]
    pub fn has(&self, path: PathId) -> bool {
        let place = self.arena.paths.borrow().place(path);
        self.has_at(place)
    }

    /// [`Cells::has`] of a path that the code writes, as of [`Cells::put_literal`].
    #[must_use]
    #[inline]
    pub fn has_literal(&self, object: &'static str, field: &'static str) -> bool {
        let place = self.arena.paths.borrow_mut().literal(object, field);
        place.is_some_and(|place| self.has_at(place))
    }

    #[inline]
    fn has_at(&self, place: Place) -> bool {
        if place.small {
            let around = place.around.map(|a| self.states[state(a)]);
            if self.states[state(place.id)] != 0 {
                return true;
            }
            if (around[0] | around[1] | around[2] | around[3]) & THERE == 0 {
                return false;
            }
        }
        self.has_elsewhere(place.id)
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
        self.cells
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

    /// The cells, whole; none is left here.
    #[must_use]
    pub fn finish(&mut self) -> &'a [Cell<'a>] {
        let none = bumpalo::collections::Vec::new_in(self.arena.bump());
        std::mem::replace(&mut self.cells, none).into_bump_slice()
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
