//! Where the events of a group live: everything in one place, let go of as a whole.

use std::cell::RefCell;
use std::fmt;
use std::fmt::Write as _;

use bumpalo::Bump;

use crate::outline::Outlines;
use crate::path::{PathId, Paths};
use crate::value::{Object, Value, tag};

/// The memory of a group of events, and the paths that its events speak of.
///
/// Events borrow from it and from their records; after their columns are made, [`Arena::reset`] lets go of all of them at
/// once and keeps the memory for the next group. One for each thread: it is not shared.
pub struct Arena {
    bump: Bump,
    pub(crate) paths: RefCell<Paths>,
    pub(crate) outlines: RefCell<Outlines>,
    native: NativeNames,
}

/// Names of sources' own fields: it may take a name for one of them that is none, never one of them for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NativeNames([u64; 4]);

impl NativeNames {
    /// Every name.
    pub const ALL: NativeNames = NativeNames([u64::MAX; 4]);
    /// No name.
    pub const NONE: NativeNames = NativeNames([0; 4]);

    /// Those that have one of these tags, a bit for each.
    pub(crate) fn of_tags(tags: [u64; 4]) -> NativeNames {
        NativeNames(tags)
    }

    /// Whether a name may be one of them.
    #[must_use]
    #[inline]
    pub fn may_have(self, name: &str) -> bool {
        self.may_have_tag(tag(name))
    }

    /// [`NativeNames::may_have`] of a name with that [`tag`].
    #[must_use]
    #[inline]
    pub fn may_have_tag(self, tag: u8) -> bool {
        self.0[usize::from(tag >> 6)] & 1 << (tag & 63) != 0
    }
}

/// Memory that is kept over [`Arena::reset`]: what a group of hostile records took more goes back.
const KEPT_BYTES_MAX: usize = 64 << 20;

impl Default for Arena {
    fn default() -> Arena {
        Arena::new()
    }
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena")
            .field("bytes", &self.bump.allocated_bytes())
            .finish()
    }
}

impl Arena {
    /// An empty one; takes its first memory with the first event.
    #[must_use]
    pub fn new() -> Arena {
        Arena {
            bump: Bump::new(),
            paths: RefCell::new(Paths::new()),
            outlines: RefCell::new(Outlines::new()),
            native: NativeNames::ALL,
        }
    }

    /// Lets go of everything that lives here.
    pub fn reset(&mut self) {
        if self.bump.allocated_bytes() > KEPT_BYTES_MAX {
            self.bump = Bump::new();
        } else {
            self.bump.reset();
        }
        self.outlines.get_mut().tidy();
    }

    /// Says which members of [`Event::native`](crate::Event::native) anybody asks for, where only columns are made
    /// ([`Plan::wants_native`](crate::Plan::wants_native)); formats may then leave out others that they would have to put together.
    pub fn set_native(&mut self, wanted: NativeNames) {
        self.native = wanted;
    }

    /// Whether anybody asks for any of the source's own fields; `true` by default.
    #[must_use]
    #[inline]
    pub fn wants_native(&self) -> bool {
        self.native != NativeNames::NONE
    }

    /// Whether anybody may ask for the source's own field of that name; `true` by default.
    #[must_use]
    #[inline]
    pub fn wants_native_of(&self, name: &str) -> bool {
        self.native.may_have(name)
    }

    /// [`Arena::wants_native_of`] a name with that [`tag`].
    #[must_use]
    #[inline]
    pub fn wants_native_tag(&self, tag: u8) -> bool {
        self.native.may_have_tag(tag)
    }

    /// The memory itself.
    #[must_use]
    pub fn bump(&self) -> &Bump {
        &self.bump
    }

    /// The number of a dotted path; `None` where there are too many. Only for paths that the code names.
    #[must_use]
    #[inline]
    pub fn path(&self, path: &str) -> Option<PathId> {
        self.paths.borrow_mut().id(path)
    }

    /// The number of the path `object`, a dot, `field`.
    #[must_use]
    #[inline]
    pub fn path_in(&self, object: &str, field: &str) -> Option<PathId> {
        self.paths.borrow_mut().id_in(object, field)
    }

    /// [`Arena::path`] of a path that the code writes out: found by where the literal stands in memory.
    #[must_use]
    #[inline]
    pub fn path_of(&self, path: &'static str) -> Option<PathId> {
        Some(self.paths.borrow_mut().literal(path, "")?.id)
    }

    /// [`Arena::path_in`] of literals.
    #[must_use]
    #[inline]
    pub fn path_below(&self, object: &'static str, field: &'static str) -> Option<PathId> {
        Some(self.paths.borrow_mut().literal(object, field)?.id)
    }

    /// A copy of a text.
    #[must_use]
    #[inline]
    pub fn text(&self, text: &str) -> &str {
        if text.is_empty() {
            return "";
        }
        self.bump.alloc_str(text)
    }

    /// Texts, one after the other.
    #[must_use]
    pub fn concat(&self, parts: &[&str]) -> &str {
        let length = parts.iter().map(|p| p.len()).sum();
        let mut text = bumpalo::collections::String::with_capacity_in(length, &self.bump);
        parts.iter().for_each(|p| text.push_str(p));
        text.into_bump_str()
    }

    /// A text as it is formatted: `arena.format(format_args!("{a}.{b}"))`.
    #[must_use]
    pub fn format(&self, arguments: fmt::Arguments<'_>) -> &str {
        if let Some(plain) = arguments.as_str() {
            return plain;
        }
        let mut text = bumpalo::collections::String::with_capacity_in(64, &self.bump);
        // Writing to memory does not fail; a `Display` that does leaves what it wrote.
        let _written = text.write_fmt(arguments);
        text.into_bump_str()
    }

    /// A list of values.
    #[must_use]
    pub fn list<'a>(&'a self, items: &[Value<'a>]) -> Value<'a> {
        Value::Array(self.bump.alloc_slice_copy(items))
    }

    /// A list of values.
    #[must_use]
    pub fn list_of<'a>(&'a self, items: impl IntoIterator<Item = Value<'a>>) -> Value<'a> {
        let mut list = bumpalo::collections::Vec::new_in(&self.bump);
        list.extend(items);
        Value::Array(list.into_bump_slice())
    }

    /// An object of these members, whose names differ.
    #[must_use]
    pub fn object<'a>(&'a self, members: &[(&'a str, Value<'a>)]) -> Object<'a> {
        Object::new(self, members)
    }

    /// A copy of a value of `serde_json`'s.
    #[must_use]
    pub fn value(&self, value: &serde_json::Value) -> Value<'_> {
        match value {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(b) => Value::Bool(*b),
            serde_json::Value::Number(n) => Value::Number(self.format(format_args!("{n}"))),
            serde_json::Value::String(s) => Value::String(self.text(s)),
            serde_json::Value::Array(items) => self.list_of(items.iter().map(|i| self.value(i))),
            serde_json::Value::Object(fields) => Value::Object(self.object_of(fields)),
        }
    }

    /// A copy of an object of `serde_json`'s.
    #[must_use]
    pub fn object_of(&self, fields: &serde_json::Map<String, serde_json::Value>) -> Object<'_> {
        let members: Vec<_> = fields.iter().map(|(k, v)| (self.text(k), self.value(v))).collect();
        self.object(&members)
    }
}
