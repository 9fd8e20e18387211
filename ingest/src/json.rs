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

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::HashMap;

use model::value::{Member, plain_len, tag};
use model::{Arena, Object, Value};

use crate::SourceSettings;
use crate::format::Quarantine;

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

/// The names of an object's members so far.
#[derive(Default)]
struct Seen<'a> {
    /// A bit for a byte of each name: mostly enough to tell that a name is new.
    tags: [u64; 4],
    /// Places by name, where there are too many names to look through.
    places: Option<HashMap<&'a str, usize>>,
}

/// Members that are looked through one by one.
const LOOKED_THROUGH_MAX: usize = 64;
/// Members of open objects for which there is room at once.
const OPEN: usize = 48;

impl<'a> Seen<'a> {
    /// Notes the tag of a name; `false`: the name is new.
    #[inline]
    fn may_have(&mut self, tag: u8) -> bool {
        let tag = usize::from(tag);
        let (word, bit) = (&mut self.tags[tag / 64], 1 << (tag % 64));
        let there = *word & bit != 0;
        *word |= bit;
        there
    }

    fn find(&mut self, members: &[Member<'a>], name: &str) -> Option<usize> {
        if members.len() <= LOOKED_THROUGH_MAX {
            return members.iter().position(|(n, _)| *n == name);
        }
        // Somebody may send names that all have one tag.
        let places = self.places.get_or_insert_default();
        for (at, (name, _)) in members.iter().enumerate().skip(places.len()) {
            places.insert(name, at);
        }
        places.get(name).copied()
    }
}

struct Parser<'a> {
    arena: &'a Arena,
    text: &'a str,
    at: usize,
    keys: usize,
    /// Members and items of the objects and arrays that are open, the innermost last; an item has no name.
    open: bumpalo::collections::Vec<'a, Member<'a>>,
    /// The tags of their names.
    tags: bumpalo::collections::Vec<'a, u8>,
    flags: Vec<&'static str>,
    duplicates: Vec<Member<'a>>,
}

impl<'a> Parser<'a> {
    fn new(arena: &'a Arena, text: &'a str) -> Parser<'a> {
        Parser {
            arena,
            text,
            at: 0,
            keys: 0,
            open: bumpalo::collections::Vec::with_capacity_in(OPEN, arena.bump()),
            tags: bumpalo::collections::Vec::with_capacity_in(OPEN, arena.bump()),
            flags: Vec::new(),
            duplicates: Vec::new(),
        }
    }

    fn done(&mut self, object: Object<'a>) -> Parsed<'a> {
        Parsed {
            object,
            flags: std::mem::take(&mut self.flags),
            duplicates: std::mem::take(&mut self.duplicates),
        }
    }

    fn object_part(&mut self, found: &mut Vec<(&'a str, Parsed<'a>)>) -> Result<(), Quarantine> {
        if found.len() == OBJECTS_MAX {
            return Err(TOO_MANY);
        }
        let start = self.at;
        self.keys = 0;
        let Value::Object(object) = self.value(0)? else {
            return Err(NOT_OBJECT);
        };
        let parsed = self.done(object);
        found.push((&self.text[start..self.at], parsed));
        Ok(())
    }

    /// The first value; something that does not even begin like JSON is no object rather than a bad one.
    fn first(&mut self) -> Result<Value<'a>, Quarantine> {
        match self.peek() {
            Some(b'{' | b'[') => self.value(0),
            _ => Err(NOT_OBJECT),
        }
    }

    #[inline]
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte that is not white space; it is not taken.
    #[inline(always)]
    fn peek(&mut self) -> Option<u8> {
        match self.byte() {
            Some(byte) if byte > b' ' => Some(byte),
            _ => self.peek_behind_blanks(),
        }
    }

    fn peek_behind_blanks(&mut self) -> Option<u8> {
        loop {
            match self.byte() {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                other => return other,
            }
        }
    }

    #[cold]
    fn flag(&mut self, flag: &'static str) {
        if !self.flags.contains(&flag) {
            self.flags.push(flag);
        }
    }

    #[inline]
    fn count(&mut self) -> Result<(), Quarantine> {
        self.keys += 1;
        if self.keys > KEYS_MAX { Err(TOO_MANY) } else { Ok(()) }
    }

    // Recursion is bounded by `DEPTH_MAX`.
    fn value(&mut self, depth: usize) -> Result<Value<'a>, Quarantine> {
        match self.peek().ok_or(TRUNCATED)? {
            b'"' => self.string().map(Value::String),
            b'-' | b'0'..=b'9' => self.number(),
            b'{' | b'[' if depth == DEPTH_MAX => Err(TOO_DEEP),
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b't' => self.word("true", Value::Bool(true)),
            b'f' => self.word("false", Value::Bool(false)),
            b'n' => self.word("null", Value::Null),
            _ => Err(INVALID),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value<'a>, Quarantine> {
        self.at += 1;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Object(Object::default()));
        }
        let start = self.open.len();
        let mut seen = Seen::default();
        loop {
            match self.peek().ok_or(TRUNCATED)? {
                b'"' => {}
                _ => return Err(INVALID),
            }
            self.count()?;
            let key = self.string()?;
            match self.peek().ok_or(TRUNCATED)? {
                b':' => self.at += 1,
                _ => return Err(INVALID),
            }
            // Most values are texts.
            let value = match self.peek() {
                Some(b'"') => Value::String(self.string()?),
                _ => self.value(depth + 1)?,
            };
            let tag = tag(key);
            if seen.may_have(tag) && self.replace(start, &mut seen, key, value) {
                self.flag("duplicate_key");
            } else {
                self.open.push((key, value));
                self.tags.push(tag);
            }
            match self.peek().ok_or(TRUNCATED)? {
                b',' => self.at += 1,
                b'}' => break,
                _ => return Err(INVALID),
            }
        }
        self.at += 1;
        let object = Object::tagged(self.arena, &self.open[start..], &self.tags[start..]);
        self.open.truncate(start);
        self.tags.truncate(start);
        Ok(Value::Object(object))
    }

    /// Puts a later value in the place of an earlier one; `false`: there is none.
    #[inline(never)]
    fn replace(&mut self, start: usize, seen: &mut Seen<'a>, key: &'a str, value: Value<'a>) -> bool {
        let Some(at) = seen.find(&self.open[start..], key) else {
            return false;
        };
        let earlier = std::mem::replace(&mut self.open[start + at].1, value);
        if self.duplicates.len() < DUPLICATES_MAX {
            self.duplicates.push((key, earlier));
        }
        true
    }

    fn array(&mut self, depth: usize) -> Result<Value<'a>, Quarantine> {
        self.at += 1;
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::Array(&[]));
        }
        let start = self.open.len();
        loop {
            self.count()?;
            let item = self.value(depth + 1)?;
            self.open.push(("", item));
            self.tags.push(0);
            match self.peek().ok_or(TRUNCATED)? {
                b',' => self.at += 1,
                b']' => break,
                _ => return Err(INVALID),
            }
        }
        self.at += 1;
        let items = self.open[start..].iter().map(|(_, item)| *item);
        let items = self.arena.bump().alloc_slice_fill_iter(items);
        self.open.truncate(start);
        self.tags.truncate(start);
        Ok(Value::Array(items))
    }

    fn word(&mut self, word: &str, value: Value<'a>) -> Result<Value<'a>, Quarantine> {
        let rest = &self.text.as_bytes()[self.at..];
        if rest.starts_with(word.as_bytes()) {
            self.at += word.len();
            Ok(value)
        } else if word.as_bytes().starts_with(rest) {
            Err(TRUNCATED)
        } else {
            Err(INVALID)
        }
    }

    fn number(&mut self) -> Result<Value<'a>, Quarantine> {
        let start = self.at;
        self.skip(b'-');
        match self.byte().ok_or(TRUNCATED)? {
            b'0' => self.at += 1,
            b'1'..=b'9' => self.digits()?,
            _ => return Err(INVALID),
        }
        if self.skip(b'.') {
            self.digits()?;
        }
        let exponent = self.at;
        if self.skip(b'e') || self.skip(b'E') {
            let signed = self.skip(b'+') || self.skip(b'-');
            self.digits()?;
            // Written in one way, the one of `serde_json`.
            if !signed || self.text.as_bytes()[exponent] == b'E' {
                let (digits, exponent) = (&self.text[start..exponent], &self.text[exponent + 1..self.at]);
                let sign = if signed { "" } else { "+" };
                return Ok(Value::Number(
                    self.arena.format(format_args!("{digits}e{sign}{exponent}")),
                ));
            }
        }
        Ok(Value::Number(&self.text[start..self.at]))
    }

    #[inline]
    fn skip(&mut self, byte: u8) -> bool {
        let there = self.byte() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn digits(&mut self) -> Result<(), Quarantine> {
        let start = self.at;
        while self.byte().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        match (self.at > start, self.byte()) {
            (true, _) => Ok(()),
            (false, None) => Err(TRUNCATED),
            (false, Some(_)) => Err(INVALID),
        }
    }

    #[inline]
    fn string(&mut self) -> Result<&'a str, Quarantine> {
        self.at += 1;
        let start = self.at;
        let rest = &self.text.as_bytes()[start..];
        let end = plain_len(rest);
        match rest.get(end) {
            Some(b'"') => {
                self.at = start + end + 1;
                Ok(&self.text[start..start + end])
            }
            Some(_) => self.odd_string(start, end),
            None => Err(TRUNCATED),
        }
    }

    /// A string with escapes or control characters; up to `plain` there is none.
    #[inline(never)]
    fn odd_string(&mut self, start: usize, plain: usize) -> Result<&'a str, Quarantine> {
        let bytes = self.text.as_bytes();
        let mut out = bumpalo::collections::String::with_capacity_in(plain + 64, self.arena.bump());
        let mut from = start;
        self.at = start + plain;
        loop {
            match *bytes.get(self.at).ok_or(TRUNCATED)? {
                b'"' => {
                    let last = &self.text[from..self.at];
                    self.at += 1;
                    // Control characters alone change nothing.
                    if from == start {
                        return Ok(last);
                    }
                    out.push_str(last);
                    return Ok(out.into_bump_str());
                }
                b'\\' => {
                    out.push_str(&self.text[from..self.at]);
                    self.at += 1;
                    self.escape(&mut out)?;
                    from = self.at;
                }
                _ => {
                    self.flag("control_character");
                    self.at += 1;
                }
            }
            self.at += plain_len(&bytes[self.at..]);
        }
    }

    /// What follows a backslash.
    fn escape(&mut self, out: &mut bumpalo::collections::String<'a>) -> Result<(), Quarantine> {
        let escape = self.byte().ok_or(TRUNCATED)?;
        self.at += 1;
        match escape {
            b'"' | b'\\' | b'/' => out.push(char::from(escape)),
            b'b' => out.push('\u{8}'),
            b'f' => out.push('\u{c}'),
            b'n' => out.push('\n'),
            b'r' => out.push('\r'),
            b't' => out.push('\t'),
            b'u' => {
                let unit = self.hex(4)?;
                out.push(match unit {
                    0xd800..=0xdbff => self.low_surrogate(unit).unwrap_or_else(|| self.lone()),
                    0xdc00..=0xdfff => self.lone(),
                    _ => char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER),
                });
            }
            b'x' => {
                self.flag("invalid_escape");
                // A character's bytes come one by one.
                let mut bytes = vec![self.hex(2)? as u8];
                while bytes.len() < 4096 && self.text.as_bytes()[self.at..].starts_with(b"\\x") {
                    self.at += 2;
                    bytes.push(self.hex(2)? as u8);
                }
                out.push_str(&String::from_utf8_lossy(&bytes));
            }
            _ => return Err(INVALID),
        }
        Ok(())
    }

    fn lone(&mut self) -> char {
        self.flag("lone_surrogate");
        char::REPLACEMENT_CHARACTER
    }

    /// The character of a pair whose first half was read; takes nothing where no second half follows.
    fn low_surrogate(&mut self, high: u32) -> Option<char> {
        let rest = self.text.as_bytes().get(self.at..self.at + 6)?;
        let digits = str::from_utf8(rest.strip_prefix(b"\\u")?).ok()?;
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let low = u32::from_str_radix(digits, 16)
            .ok()
            .filter(|low| (0xdc00..=0xdfff).contains(low))?;
        self.at += 6;
        char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00))
    }

    fn hex(&mut self, digits: usize) -> Result<u32, Quarantine> {
        let mut number = 0;
        for _ in 0..digits {
            let digit = self.byte().ok_or(TRUNCATED)?;
            number = number * 16 + char::from(digit).to_digit(16).ok_or(INVALID)?;
            self.at += 1;
        }
        Ok(number)
    }
}
