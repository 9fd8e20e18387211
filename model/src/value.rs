//! JSON values that borrow: from the record's text where they stand in it, else from the [`Arena`].
//!
//! All of it is `Copy`: a clone is free, and so is letting go.

use std::fmt;
use std::ops::Index;

use serde::{Serialize, Serializer};

mod map;
mod object;
mod text;

pub use map::Map;
pub use object::{Iter, Member, Object, tag};
pub use text::{int_text, is_same, plain_len};
pub(crate) use text::{write_int, write_text};

/// A value of JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Value<'a> {
    /// `null`
    #[default]
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A whole number that we made.
    Int(i64),
    /// A number as the source wrote it, digit by digit.
    Number(&'a str),
    /// A text, unescaped.
    String(&'a str),
    /// A list.
    Array(&'a [Value<'a>]),
    /// An object.
    Object(Object<'a>),
}

static NULL: Value<'static> = Value::Null;

impl<'a> Value<'a> {
    /// Whether it is `null`.
    #[must_use]
    #[inline]
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// Whether it is a text.
    #[must_use]
    pub fn is_string(&self) -> bool {
        matches!(self, Value::String(_))
    }

    /// Whether it is a number.
    #[must_use]
    pub fn is_number(&self) -> bool {
        matches!(self, Value::Int(_) | Value::Number(_))
    }

    /// Whether it is `true` or `false`.
    #[must_use]
    pub fn is_boolean(&self) -> bool {
        matches!(self, Value::Bool(_))
    }

    /// Whether it is a list.
    #[must_use]
    pub fn is_array(&self) -> bool {
        matches!(self, Value::Array(_))
    }

    /// Whether it is an object.
    #[must_use]
    pub fn is_object(&self) -> bool {
        matches!(self, Value::Object(_))
    }

    /// `null`, an empty text, an empty list or an empty object: what events leave out.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        match self {
            Value::Null => true,
            Value::String(s) => s.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Object(fields) => fields.is_empty(),
            _ => false,
        }
    }

    /// Its text, where it is one.
    #[must_use]
    #[inline]
    pub fn as_str(&self) -> Option<&'a str> {
        match *self {
            Value::String(s) => Some(s),
            _ => None,
        }
    }

    /// `true` or `false`, where it is one of them.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match *self {
            Value::Bool(b) => Some(b),
            _ => None,
        }
    }

    /// The number, where it is a whole one that fits.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match *self {
            Value::Int(n) => Some(n),
            Value::Number(digits) => digits.parse().ok(),
            _ => None,
        }
    }

    /// The number, where it is a whole one that fits.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        match *self {
            Value::Int(n) => u64::try_from(n).ok(),
            Value::Number(digits) => digits.parse().ok(),
            _ => None,
        }
    }

    /// The number as a double, where it is a finite one.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            #[expect(clippy::cast_precision_loss, reason = "a double is asked for")]
            Value::Int(n) => Some(n as f64),
            Value::Number(digits) => digits.parse().ok().filter(|n: &f64| n.is_finite()),
            _ => None,
        }
    }

    /// Its items, where it is a list.
    #[must_use]
    pub fn as_array(&self) -> Option<&'a [Value<'a>]> {
        match *self {
            Value::Array(items) => Some(items),
            _ => None,
        }
    }

    /// Its members, where it is an object.
    #[must_use]
    #[inline]
    pub fn as_object(&self) -> Option<Object<'a>> {
        match *self {
            Value::Object(fields) => Some(fields),
            _ => None,
        }
    }

    /// The member of that name, where it is an object that has it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a Value<'a>> {
        self.as_object()?.get(name)
    }

    /// As a value of `serde_json`'s, to show.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        match *self {
            Value::Null => serde_json::Value::Null,
            Value::Bool(b) => b.into(),
            Value::Int(n) => n.into(),
            // What the reader took for a number is one.
            Value::Number(digits) => digits
                .parse::<serde_json::Number>()
                .map_or_else(|_| digits.into(), serde_json::Value::Number),
            Value::String(s) => s.into(),
            Value::Array(items) => items.iter().map(Value::to_json).collect(),
            Value::Object(fields) => serde_json::Value::Object(fields.to_json()),
        }
    }

    /// Writes it as JSON, as `serde_json` writes it.
    pub fn write_json(&self, out: &mut String) {
        match *self {
            Value::Null => out.push_str("null"),
            Value::Bool(b) => out.push_str(if b { "true" } else { "false" }),
            Value::Int(n) => write_int(n, out),
            Value::Number(digits) => out.push_str(digits),
            Value::String(s) => write_text(s, out),
            Value::Array(items) => {
                out.push('[');
                for (n, item) in items.iter().enumerate() {
                    if n > 0 {
                        out.push(',');
                    }
                    item.write_json(out);
                }
                out.push(']');
            }
            Value::Object(fields) => fields.write_json(out),
        }
    }
}

impl fmt::Display for Value<'_> {
    /// As JSON, as `serde_json` writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        self.write_json(&mut out);
        f.write_str(&out)
    }
}

impl PartialEq<str> for Value<'_> {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == Some(other)
    }
}

impl PartialEq<&str> for Value<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == Some(*other)
    }
}

impl PartialEq<serde_json::Value> for Value<'_> {
    fn eq(&self, other: &serde_json::Value) -> bool {
        self.to_json() == *other
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Value<'a> {
        Value::String(text)
    }
}

impl From<bool> for Value<'_> {
    fn from(b: bool) -> Self {
        Value::Bool(b)
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

macro_rules! from_whole {
    ($($t:ty),*) => {
        $(impl From<$t> for Value<'_> {
            fn from(n: $t) -> Self {
                Value::Int(i64::from(n))
            }
        })*
    };
}
from_whole!(i8, u8, i16, u16, i32, u32, i64);

impl<'a> From<Object<'a>> for Value<'a> {
    fn from(object: Object<'a>) -> Value<'a> {
        Value::Object(object)
    }
}

impl<'a> Index<&str> for Value<'a> {
    type Output = Value<'a>;
    /// The member of that name; `null` where there is none.
    fn index(&self, name: &str) -> &Value<'a> {
        self.get(name).unwrap_or(&NULL)
    }
}
