//! Reads a source's object whose types cannot be relied on: numbers come as text, text as numbers.

use std::borrow::Cow;

use model::{Object, Value};

/// The fields of a source's object.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a>(pub Object<'a>);

impl<'a> Fields<'a> {
    /// The value of a field, by its name or by a dotted path through objects; nothing where it is null.
    #[must_use]
    pub fn value(self, path: &str) -> Option<&'a Value<'a>> {
        if let Some(value) = self.0.get(path) {
            return (!value.is_null()).then_some(value);
        }
        // Nearly every path is one name.
        let dot = path.bytes().position(|b| b == b'.')?;
        Fields(self.0.get(&path[..dot])?.as_object()?).value(&path[dot + 1..])
    }

    /// A field as text: text as it is, numbers and booleans as JSON writes them; nothing where it is empty, an object
    /// or a list.
    #[must_use]
    pub fn text(self, path: &str) -> Option<Cow<'a, str>> {
        scalar(self.value(path)?)
    }

    /// The first of several names that has text.
    #[must_use]
    pub fn first(self, paths: &[&str]) -> Option<Cow<'a, str>> {
        paths.iter().find_map(|p| self.text(p))
    }

    /// A field as a whole number, also where it is written as text.
    #[must_use]
    pub fn int(self, path: &str) -> Option<i64> {
        match self.value(path)? {
            number @ (Value::Int(_) | Value::Number(_)) => number.as_i64(),
            Value::String(s) => s.trim().parse().ok(),
            _ => None,
        }
    }

    /// A field as a boolean, also where it is written as text or as 0 and 1.
    #[must_use]
    pub fn bool(self, path: &str) -> Option<bool> {
        match self.value(path)? {
            Value::Bool(b) => Some(*b),
            number @ (Value::Int(_) | Value::Number(_)) => number.as_i64().map(|n| n != 0),
            Value::String(s) => match s.trim() {
                s if s.eq_ignore_ascii_case("true") || s == "1" => Some(true),
                s if s.eq_ignore_ascii_case("false") || s == "0" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }

    /// A field that is an object.
    #[must_use]
    pub fn object(self, path: &str) -> Option<Fields<'a>> {
        self.value(path)?.as_object().map(Fields)
    }
}

/// A scalar as text; nothing of an empty text, null, an object or a list.
#[must_use]
pub fn scalar<'a>(value: &Value<'a>) -> Option<Cow<'a, str>> {
    match *value {
        Value::String("") => None,
        Value::String(s) | Value::Number(s) => Some(Cow::Borrowed(s)),
        Value::Int(n) => Some(Cow::Owned(n.to_string())),
        Value::Bool(b) => Some(Cow::Borrowed(if b { "true" } else { "false" })),
        _ => None,
    }
}
