//! The values of an event: flat, each at its path, in the order in which they were put.

use std::fmt;

use crate::Arena;
use crate::outline::{Act, Key, Op, Outline};
use crate::path::{NONE, PathId, SMALL, known};
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
    /// The steps so far, as long as all of them could be remembered.
    outline: std::cell::Cell<Outline>,
    /// What the cells up to `noted` say of their paths; looked at only where a step is new.
    states: Option<&'a mut States>,
    noted: usize,
    /// It was asked what only a value tells ([`Cells::replay`]).
    asked: std::cell::Cell<bool>,
}

/// Where several steps began ([`Cells::replay`]).
#[derive(Clone, Copy, Debug)]
pub struct Begun {
    key: Key,
    outline: Outline,
    cells: usize,
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
            outline: std::cell::Cell::new(Outline::START),
            states: None,
            noted: 0,
            asked: std::cell::Cell::new(false),
        }
    }

    /// The first cells of an event, at paths that are none of each other's; all events of a `kind` have theirs at the same.
    #[must_use]
    pub fn start(arena: &'a Arena, capacity: usize, kind: u16, first: &[Cell<'a>]) -> Cells<'a> {
        let mut all = Cells::new(arena, capacity.max(first.len()));
        all.cells.extend_from_slice_copy(first);
        let key = Key::start(kind);
        let step = arena.outlines.borrow().step(Outline::START, key);
        match step {
            Some((_, to)) => all.outline.set(to),
            None => all.learn(key, Some(Op::Start)),
        }
        all
    }

    /// Those of an event again, to change them.
    #[must_use]
    pub fn of(arena: &'a Arena, cells: &[Cell<'a>], outline: Outline) -> Cells<'a> {
        let mut all = Cells::new(arena, cells.len() + 8);
        all.cells.extend_from_slice_copy(cells);
        all.outline.set(outline);
        all
    }

    /// Puts a value at a path, in the place of what was there; a scalar on the way is replaced.
    #[inline]
    pub fn put(&mut self, path: PathId, value: Value<'a>) {
        let key = Key::number(Act::Put, path);
        if !self.put_known(key, value) {
            self.put_new(key, path, value);
        }
    }

    /// [`Cells::put`] at a path that the code writes: `object`, or `object`, a dot, `field`, where that is not empty. Says
    /// whether there is such a path: there may be too many.
    #[inline]
    pub fn put_literal(&mut self, object: &'static str, field: &'static str, value: Value<'a>) -> bool {
        let key = Key::literal(Act::Put, object, field);
        if self.put_known(key, value) {
            return true;
        }
        let path = self.arena.path_below(object, field);
        if let Some(path) = path {
            self.put_new(key, path, value);
        }
        path.is_some()
    }

    /// [`Cells::put_literal`] where this was done before after the same steps; `false`: it was not, and nothing is put.
    #[inline]
    pub fn put_again(&mut self, object: &'static str, field: &'static str, value: Value<'a>) -> bool {
        self.put_known(Key::literal(Act::Put, object, field), value)
    }

    /// Puts a value by a step that was taken before; `false`: there is none.
    #[inline(always)]
    fn put_known(&mut self, key: Key, value: Value<'a>) -> bool {
        let step = self.arena.outlines.borrow().step(self.outline.get(), key);
        let Some((op, to)) = step else { return false };
        self.outline.set(to);
        if op.is_append() {
            let path = PathId(op.number());
            self.cells.push(Cell { path, value });
        } else if let Some(cell) = self.cells.get_mut(usize::from(op.number())) {
            cell.value = value;
        }
        true
    }

    #[inline(never)]
    fn put_new(&mut self, key: Key, path: PathId, value: Value<'a>) {
        let op = if let Some(at) = self.at(path) {
            self.cells[at].value = value;
            u16::try_from(at).ok().map(Op::Replace)
        } else if self.is_free(path) {
            self.cells.push(Cell { path, value });
            Some(Op::Append(path))
        } else {
            // What it stands above or below may be an object: a question of values, not of steps.
            self.replace(path, value);
            None
        };
        self.learn(key, op);
    }

    /// Remembers the step that was taken; one that cannot be remembered ends the outline.
    fn learn(&self, key: Key, op: Option<Op>) {
        let mut outlines = self.arena.outlines.borrow_mut();
        let to = op.map_or(Outline::NONE, |op| outlines.learn(self.outline.get(), key, op));
        self.outline.set(to);
    }

    /// Notes the paths of the cells that are not noted yet.
    fn note(&mut self) -> &mut States {
        let paths = self.arena.paths.borrow();
        let states = match self.states.take() {
            Some(states) => states,
            None => self.arena.bump().alloc([0; SMALL as usize + 1]),
        };
        for cell in &self.cells[self.noted..] {
            let around = paths.ancestors(cell.path).iter().map(|a| (*a, BELOW));
            for (path, what) in around.chain([(cell.path, THERE)]) {
                if path < NONE {
                    states[state(path)] |= what;
                }
            }
        }
        self.noted = self.cells.len();
        self.states.insert(states)
    }

    /// Whether nothing stands at, above or below a path.
    fn is_free(&mut self, path: PathId) -> bool {
        let place = self.arena.paths.borrow().place(path);
        if place.small {
            let states = self.note();
            let around = place.around.map(|a| states[state(a)]);
            let there = (around[0] | around[1] | around[2] | around[3]) & THERE;
            return there == 0 && states[state(path)] == 0;
        }
        let paths = self.arena.paths.borrow();
        let above = paths.ancestors(path);
        !(self.cells.iter())
            .any(|c| c.path == path || above.contains(&c.path) || paths.ancestors(c.path).contains(&path))
    }

    fn at(&self, path: PathId) -> Option<usize> {
        self.cells.iter().position(|c| c.path == path)
    }

    fn replace(&mut self, path: PathId, value: Value<'a>) {
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
        }
        self.forget();
    }

    /// Another cell than the last one was taken away or moved.
    fn forget(&mut self) {
        if let Some(states) = &mut self.states {
            **states = [0; SMALL as usize + 1];
        }
        self.noted = 0;
    }

    /// Whether there is a value at a path or below it.
    #[must_use]
    #[inline]
    pub fn has(&self, path: PathId) -> bool {
        let key = Key::number(Act::Has, path);
        match self.has_known(key) {
            Some(has) => has,
            None => self.has_new(key, path),
        }
    }

    /// [`Cells::has`] of a path that the code writes, as of [`Cells::put_literal`].
    #[must_use]
    #[inline]
    pub fn has_literal(&self, object: &'static str, field: &'static str) -> bool {
        let key = Key::literal(Act::Has, object, field);
        match self.has_known(key) {
            Some(has) => has,
            None => self
                .arena
                .path_below(object, field)
                .is_some_and(|path| self.has_new(key, path)),
        }
    }

    #[inline]
    fn has_known(&self, key: Key) -> Option<bool> {
        let step = self.arena.outlines.borrow().step(self.outline.get(), key);
        let (op, to) = step?;
        self.outline.set(to);
        Some(op.number() != 0)
    }

    #[inline(never)]
    fn has_new(&self, key: Key, path: PathId) -> bool {
        let has = {
            let paths = self.arena.paths.borrow();
            let above = paths.ancestors(path);
            if self.cells.iter().any(|c| above.contains(&c.path)) {
                // It may be a part of an object: a question of values, asked each time.
                None
            } else {
                let is_it = |c: &Cell<'_>| c.path == path || paths.ancestors(c.path).contains(&path);
                Some(self.cells.iter().any(is_it))
            }
        };
        match has {
            Some(has) => {
                // An outline that has ended stays so; what is asked ends none.
                if self.outline.get() != Outline::NONE {
                    self.learn(key, Some(Op::Has(has)));
                }
                has
            }
            None => {
                self.asked.set(true);
                self.has_elsewhere(path)
            }
        }
    }

    /// What `work_out` says of the paths that have values, called `what`: worked out once for all events filled alike.
    pub fn recall(&self, what: u32, work_out: impl FnOnce(&Self) -> u16) -> u16 {
        let key = Key::replay(what);
        let (begun, step) = {
            let begun = self.outline.get();
            (begun, self.arena.outlines.borrow().step(begun, key))
        };
        if let Some((op, to)) = step {
            self.outline.set(to);
            return op.number();
        }
        self.asked.set(false);
        let number = work_out(self);
        if self.outline.get() != Outline::NONE && !self.asked.get() {
            let to = self.arena.outlines.borrow_mut().learn(begun, key, Op::Recall(number));
            if to != Outline::NONE {
                self.outline.set(to);
            }
        }
        number
    }

    /// Puts what was put before in the steps called `what` ([`Cells::remember`]); `Some`: they are to be taken one by one.
    ///
    /// They only ask which paths have values, and put `words` and whole numbers where none is.
    #[must_use]
    pub fn replay(&mut self, what: u32) -> Option<Begun> {
        let key = Key::replay(what);
        let outlines = self.arena.outlines.borrow();
        match outlines.step(self.outline.get(), key) {
            Some((op, to)) => {
                self.cells.extend_from_slice_copy(outlines.list(op));
                self.outline.set(to);
                None
            }
            None => {
                self.asked.set(false);
                Some(Begun {
                    key,
                    outline: self.outline.get(),
                    cells: self.cells.len(),
                })
            }
        }
    }

    /// Remembers the steps since `begun`, where they put nothing but whole numbers and these words.
    pub fn remember(&mut self, begun: Begun, words: &[&'static str]) {
        let lasting = |cell: &Cell<'a>| {
            let value = match cell.value {
                Value::Int(n) => Value::Int(n),
                Value::String(s) => Value::String(words.iter().find(|w| **w == s)?),
                _ => return None,
            };
            Some(Cell { path: cell.path, value })
        };
        if self.outline.get() == Outline::NONE || self.asked.get() {
            return;
        }
        let cells = self.cells.get(begun.cells..).unwrap_or_default();
        if let Some(cells) = cells.iter().map(lasting).collect() {
            let mut outlines = self.arena.outlines.borrow_mut();
            let to = outlines.learn_list(begun.outline, begun.key, cells);
            if to != Outline::NONE {
                self.outline.set(to);
            }
        }
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
        let key = Key::number(Act::Remove, path);
        let step = self.arena.outlines.borrow().step(self.outline.get(), key);
        match step {
            Some((op, to)) if usize::from(op.number()) < self.cells.len() => {
                self.cells.remove(op.number().into());
                self.outline.set(to);
                self.forget();
            }
            _ => {
                if let Some(at) = self.at(path) {
                    self.cells.remove(at);
                    self.learn(key, u16::try_from(at).ok().map(Op::Remove));
                    self.forget();
                }
            }
        }
    }

    /// The cells, whole, and in which order they were put; none is left here.
    #[must_use]
    pub fn finish(&mut self) -> (&'a [Cell<'a>], Outline) {
        let none = bumpalo::collections::Vec::new_in(self.arena.bump());
        let cells = std::mem::replace(&mut self.cells, none).into_bump_slice();
        (cells, self.outline.replace(Outline::START))
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
