//! One text of JSON, byte by byte.

use std::collections::HashMap;

use model::value::{Member, plain_len, tag};
use model::{Arena, Object, Value};

use super::*;

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

/// Reads a text from its beginning to its end.
pub(super) struct Parser<'a> {
    arena: &'a Arena,
    text: &'a str,
    pub(super) at: usize,
    keys: usize,
    /// Members and items of the objects and arrays that are open, the innermost last; an item has no name.
    open: bumpalo::collections::Vec<'a, Member<'a>>,
    /// The tags of their names.
    tags: bumpalo::collections::Vec<'a, u8>,
    flags: Vec<&'static str>,
    duplicates: Vec<Member<'a>>,
}

impl<'a> Parser<'a> {
    pub(super) fn new(arena: &'a Arena, text: &'a str) -> Parser<'a> {
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

    pub(super) fn done(&mut self, object: Object<'a>) -> Parsed<'a> {
        Parsed {
            object,
            flags: std::mem::take(&mut self.flags),
            duplicates: std::mem::take(&mut self.duplicates),
        }
    }

    pub(super) fn object_part(&mut self, found: &mut Vec<(&'a str, Parsed<'a>)>) -> Result<(), Quarantine> {
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
    pub(super) fn first(&mut self) -> Result<Value<'a>, Quarantine> {
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
    pub(super) fn peek(&mut self) -> Option<u8> {
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
