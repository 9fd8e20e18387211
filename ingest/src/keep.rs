//! What formats put into events, as values that live as long as the event.

use std::borrow::Cow;
use std::net::IpAddr;

use model::{Arena, Map, Object, Value};

/// Makes texts live as long as the event: a part of the record's text is borrowed from it, another one copied.
#[derive(Clone, Copy, Debug)]
pub struct Keep<'a> {
    /// Where events live.
    pub arena: &'a Arena,
    /// The record's text.
    pub text: &'a str,
}

impl<'a> Keep<'a> {
    /// The same text, for as long as the event lives.
    #[must_use]
    #[inline]
    pub fn text(&self, text: &str) -> &'a str {
        let from = (text.as_ptr() as usize).wrapping_sub(self.text.as_ptr() as usize);
        if from < self.text.len()
            && let Some(there) = self.text.get(from..from.saturating_add(text.len()))
        {
            return there;
        }
        self.arena.text(text)
    }
}

/// What can be put into an event.
pub trait ToValue<'a> {
    /// The value.
    fn to_value(self, keep: Keep<'a>) -> Value<'a>;
}

impl<'a> ToValue<'a> for Value<'a> {
    #[inline]
    fn to_value(self, _: Keep<'a>) -> Value<'a> {
        self
    }
}

impl<'a> ToValue<'a> for &Value<'a> {
    #[inline]
    fn to_value(self, _: Keep<'a>) -> Value<'a> {
        *self
    }
}

impl<'a> ToValue<'a> for Object<'a> {
    #[inline]
    fn to_value(self, _: Keep<'a>) -> Value<'a> {
        Value::Object(self)
    }
}

impl<'a> ToValue<'a> for Map<'a> {
    fn to_value(self, keep: Keep<'a>) -> Value<'a> {
        Value::Object(self.build(keep.arena))
    }
}

impl<'a> ToValue<'a> for &str {
    #[inline]
    fn to_value(self, keep: Keep<'a>) -> Value<'a> {
        Value::String(keep.text(self))
    }
}

impl<'a> ToValue<'a> for String {
    fn to_value(self, keep: Keep<'a>) -> Value<'a> {
        Value::String(keep.arena.text(&self))
    }
}

impl<'a> ToValue<'a> for &String {
    fn to_value(self, keep: Keep<'a>) -> Value<'a> {
        Value::String(keep.text(self))
    }
}

impl<'a> ToValue<'a> for Cow<'_, str> {
    #[inline]
    fn to_value(self, keep: Keep<'a>) -> Value<'a> {
        Value::String(keep.text(&self))
    }
}

impl<'a> ToValue<'a> for IpAddr {
    fn to_value(self, keep: Keep<'a>) -> Value<'a> {
        Value::String(keep.arena.format(format_args!("{self}")))
    }
}

impl<'a> ToValue<'a> for bool {
    #[inline]
    fn to_value(self, _: Keep<'a>) -> Value<'a> {
        Value::Bool(self)
    }
}

impl<'a> ToValue<'a> for u64 {
    fn to_value(self, keep: Keep<'a>) -> Value<'a> {
        match i64::try_from(self) {
            Ok(n) => Value::Int(n),
            Err(_) => Value::Number(keep.arena.format(format_args!("{self}"))),
        }
    }
}

impl<'a> ToValue<'a> for &serde_json::Value {
    fn to_value(self, keep: Keep<'a>) -> Value<'a> {
        keep.arena.value(self)
    }
}

impl<'a> ToValue<'a> for serde_json::Value {
    fn to_value(self, keep: Keep<'a>) -> Value<'a> {
        keep.arena.value(&self)
    }
}

impl<'a, T: ToValue<'a>> ToValue<'a> for Vec<T> {
    fn to_value(self, keep: Keep<'a>) -> Value<'a> {
        keep.arena.list_of(self.into_iter().map(|item| item.to_value(keep)))
    }
}

impl<'a, T: ToValue<'a>> ToValue<'a> for Option<T> {
    fn to_value(self, keep: Keep<'a>) -> Value<'a> {
        self.map_or(Value::Null, |value| value.to_value(keep))
    }
}

macro_rules! whole {
    ($($t:ty),*) => {
        $(impl<'a> ToValue<'a> for $t {
            #[inline]
            fn to_value(self, _: Keep<'a>) -> Value<'a> {
                Value::Int(i64::from(self))
            }
        })*
    };
}
whole!(i8, u8, i16, u16, i32, u32, i64);

/// What can be an event's native fields.
pub trait ToObject<'a> {
    /// The object.
    fn to_object(self, keep: Keep<'a>) -> Object<'a>;
}

impl<'a> ToObject<'a> for Object<'a> {
    #[inline]
    fn to_object(self, _: Keep<'a>) -> Object<'a> {
        self
    }
}

impl<'a> ToObject<'a> for Map<'a> {
    fn to_object(self, keep: Keep<'a>) -> Object<'a> {
        self.build(keep.arena)
    }
}

impl<'a> ToObject<'a> for serde_json::Map<String, serde_json::Value> {
    fn to_object(self, keep: Keep<'a>) -> Object<'a> {
        keep.arena.object_of(&self)
    }
}
