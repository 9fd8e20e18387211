//! Reads JSON that somebody may have made to mislead.
//!
//! What two parsers could read differently is either refused or flagged, so that nobody's act hides behind it:
//!
//! | given | here |
//! |---|---|
//! | a key twice in an object (also when one is written with escapes) | the last value wins, as in nearly every parser; label `duplicate_key`; the earlier values are kept in `unmapped.duplicate_keys` |
//! | several objects one after the other, or an array of objects | each is an event of its own ([`parse_all`]) |
//! | anything else after the object | refused: `json_trailing` |
//! | the text ends early | refused: `json_truncated` |
//! | no object | refused: `json_not_object` |
//! | more than [`DEPTH_MAX`] levels, more than [`KEYS_MAX`] keys or items | refused: `json_too_deep`, `json_too_many_keys` |
//! | numbers of any size | kept digit by digit |
//! | half of a surrogate pair | U+FFFD; label `lone_surrogate` |
//! | raw control characters in strings | kept; label `control_character` |
//! | `\xHH` (nginx without `escape=json`) | the byte; label `invalid_escape` |
//! | anything else | refused: `json_invalid` |
//!
//! `serde_json` can do none of the second column's flags, which is why this parser is our own; the tests hold it to
//! `serde_json` on everything that both accept.

use std::borrow::Cow;

use model::value::Member;
use model::{Arena, Object, Value};

use crate::SourceSettings;
use crate::format::Quarantine;

mod parser;
#[cfg(test)]
mod tests;

use parser::Parser;

/// Levels of objects and arrays.
pub const DEPTH_MAX: usize = 64;
/// Keys and items of one text, at all levels together.
pub const KEYS_MAX: usize = 50_000;
/// Objects of one text.
pub const OBJECTS_MAX: usize = 10_000;
/// Earlier values of duplicate keys that are kept.
const DUPLICATES_MAX: usize = 64;

/// The text holds more than one object, or an array: [`parse_all`] reads it.
pub const SEVERAL: Quarantine = Quarantine("json_several_objects");

const TRUNCATED: Quarantine = Quarantine("json_truncated");
const INVALID: Quarantine = Quarantine("json_invalid");
const TRAILING: Quarantine = Quarantine("json_trailing");
const NOT_OBJECT: Quarantine = Quarantine("json_not_object");
const TOO_DEEP: Quarantine = Quarantine("json_too_deep");
const TOO_MANY: Quarantine = Quarantine("json_too_many_keys");

/// An object and what was odd about it. Borrows from the text and the arena.
#[derive(Debug, Clone, Default)]
pub struct Parsed<'a> {
    /// The object.
    pub object: Object<'a>,
    /// Labels: `duplicate_key`, `lone_surrogate`, `control_character`, `invalid_escape`.
    pub flags: Vec<&'static str>,
    /// The values that lost to a later one of the same key, in order.
    pub duplicates: Vec<Member<'a>>,
}

/// A payload as text, and labels of what was found.
///
/// The byte order mark and the line's end (`\r`, `\n`, NUL, in any number) are cut off. Bytes that are not UTF-8 are
/// read in the source's configured encoding (label `encoding:<name>`), or else replaced (label `invalid_utf8`).
#[must_use]
pub fn text<'a>(payload: &'a [u8], settings: &SourceSettings) -> (Cow<'a, str>, Vec<&'static str>) {
    let mut bytes = payload.strip_prefix(b"\xef\xbb\xbf").unwrap_or(payload);
    while let [rest @ .., b'\r' | b'\n' | 0] = bytes {
        bytes = rest;
    }
    if let Ok(text) = str::from_utf8(bytes) {
        return (Cow::Borrowed(text), Vec::new());
    }
    if let Some(encoding) = settings.encoding
        && let Some(text) = encoding.decode_without_bom_handling_and_without_replacement(bytes)
    {
        return (text, vec!["encoding.converted"]);
    }
    (String::from_utf8_lossy(bytes), vec!["invalid_utf8"])
}

/// Parses a text that is one object.
///
/// # Errors
/// The sender's: see the table above.
pub fn parse<'a>(arena: &'a Arena, text: &'a str) -> Result<Parsed<'a>, Quarantine> {
    let mut parser = Parser::new(arena, text);
    let object = match parser.first()? {
        Value::Object(object) => object,
        Value::Array(items) if items.iter().any(Value::is_object) => return Err(SEVERAL),
        _ => return Err(NOT_OBJECT),
    };
    match parser.peek() {
        None => Ok(parser.done(object)),
        Some(b'{') => Err(SEVERAL),
        Some(_) => Err(TRAILING),
    }
}

/// Parses a text that is several objects one after the other or arrays of them; each with the part of the text that
/// it was written as.
///
/// # Errors
/// The sender's, as for [`parse`]; a single part that is wrong refuses the whole, because it is unknown where the
/// next one would begin.
pub fn parse_all<'a>(arena: &'a Arena, text: &'a str) -> Result<Vec<(&'a str, Parsed<'a>)>, Quarantine> {
    let mut parser = Parser::new(arena, text);
    let mut found = Vec::new();
    while let Some(next) = parser.peek() {
        match next {
            b'{' => parser.object_part(&mut found)?,
            b'[' if found.is_empty() => {
                parser.at += 1;
                loop {
                    match parser.peek().ok_or(TRUNCATED)? {
                        b'{' => parser.object_part(&mut found)?,
                        b']' if found.is_empty() => {}
                        _ => return Err(NOT_OBJECT),
                    }
                    match parser.peek().ok_or(TRUNCATED)? {
                        b',' => parser.at += 1,
                        b']' => break,
                        _ => return Err(INVALID),
                    }
                }
                parser.at += 1;
                if parser.peek().is_some() {
                    return Err(TRAILING);
                }
            }
            _ => return Err(if found.is_empty() { NOT_OBJECT } else { TRAILING }),
        }
    }
    if found.is_empty() { Err(NOT_OBJECT) } else { Ok(found) }
}
