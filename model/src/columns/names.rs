//! Names of members, and what is found below an object.

use super::filler::Filler;
use super::text;
use crate::value::{self, Object, Value};

/// Names of an object's members, and the columns that they lead to.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// By the tags of the names, of which there are 256: most members are let go of here.
    by_tag: Vec<Vec<Name>>,
    /// A bit for each tag that has a name.
    bits: [u64; 4],
    /// A bit for each tag of a name that itself holds dots: where an object has none of them, a path leads one way only.
    dotted: [u64; 4],
    /// Every column, and the path that leads to it.
    all: Vec<(usize, Box<str>)>,
}

/// A name, and the columns and paths that begin with it.
#[derive(Debug)]
struct Name {
    name: Box<str>,
    leads_to: Vec<(usize, Box<str>)>,
    /// Columns of the value itself, where the name holds no dot.
    itself: Vec<usize>,
    /// Columns of what stands below the value, where the name holds no dot.
    inside: Names,
}

impl Names {
    pub fn add(&mut self, path: &str, column: usize) {
        self.all.push((column, path.into()));
        self.by_tag.resize_with(256, Vec::new);
        // The first key may itself hold dots.
        let keys = path.match_indices('.').map(|(dot, _)| &path[..dot]);
        for key in keys.chain([path]) {
            let tag = usize::from(value::tag(key));
            self.bits[tag / 64] |= 1 << (tag % 64);
            let is_dotted = key.contains('.');
            if is_dotted {
                self.dotted[tag / 64] |= 1 << (tag % 64);
            }
            let names = &mut self.by_tag[tag];
            let at = names.iter().position(|n| *n.name == *key).unwrap_or_else(|| {
                names.push(Name {
                    name: key.into(),
                    leads_to: Vec::new(),
                    itself: Vec::new(),
                    inside: Names::default(),
                });
                names.len() - 1
            });
            let name = &mut names[at];
            name.leads_to.push((column, path.into()));
            match path[key.len()..].strip_prefix('.') {
                None if !is_dotted => name.itself.push(column),
                Some(rest) if !is_dotted => name.inside.add(rest, column),
                _ => {}
            }
        }
    }

    /// Fills the columns of an object's members; crosses arrays of objects below them.
    #[inline]
    pub fn fill(&self, object: Object<'_>, row: usize, columns: &mut [Filler]) {
        if object.lacks(&self.bits) {
            return;
        }
        let is_plain = object.lacks(&self.dotted);
        for (tag, name, value) in object.iter_tagged() {
            if self.bits[usize::from(tag >> 6)] & 1 << (tag & 63) == 0 {
                continue;
            }
            for known in &self.by_tag[usize::from(tag)] {
                if *known.name != *name {
                    continue;
                }
                if is_plain {
                    known
                        .itself
                        .iter()
                        .for_each(|column| text(value, row, &mut columns[*column]));
                    known.inside.fill_below(value, row, columns);
                } else {
                    known.fill(object, value, row, columns);
                }
            }
        }
    }

    /// A bit for each tag that a name of a member has that leads to a column.
    pub fn tags(&self) -> [u64; 4] {
        self.bits
    }
}

impl Name {
    /// Of an object with names that themselves hold dots: a path may lead several ways.
    fn fill(&self, object: Object<'_>, value: &Value<'_>, row: usize, columns: &mut [Filler]) {
        for (column, path) in &self.leads_to {
            let column = &mut columns[*column];
            if self.name.len() == path.len() {
                if !path.contains('.') || !column.has(row) {
                    text(value, row, column);
                }
            } else if !column.has(row) {
                walk(object, path, &mut |v| text(v, row, column));
            }
        }
    }
}

impl Names {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Fills the columns of what stands below a value; crosses arrays of objects. No other value of the event fills them,
    /// because none stands at, above or below another's place.
    pub fn fill_below(&self, value: &Value<'_>, row: usize, columns: &mut [Filler]) {
        if self.all.is_empty() {
            return;
        }
        match value {
            Value::Object(object) => self.fill(*object, row, columns),
            Value::Array([Value::Object(object)]) => self.fill(*object, row, columns),
            Value::Array(items) => {
                for object in items.iter().filter_map(Value::as_object) {
                    for (column, path) in &self.all {
                        walk(object, path, &mut |v| text(v, row, &mut columns[*column]));
                    }
                }
            }
            _ => {}
        }
    }
}

/// Calls `found` with each value at `path`; crosses arrays; a key that itself holds dots goes first.
fn walk<'a>(object: Object<'a>, path: &str, found: &mut dyn FnMut(&'a Value<'a>)) {
    if let Some(v) = object.get(path) {
        return found(v);
    }
    for (dot, _) in path.match_indices('.') {
        match object.get(&path[..dot]) {
            Some(Value::Object(inner)) => walk(*inner, &path[dot + 1..], &mut *found),
            Some(Value::Array(items)) => {
                for inner in items.iter().filter_map(Value::as_object) {
                    walk(inner, &path[dot + 1..], &mut *found);
                }
            }
            _ => {}
        }
    }
}
