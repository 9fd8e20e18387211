//! One line of JSON, read once.

use model::value::tag;

use super::shapes::{Shapes, Unlearned};
use super::{BESIDE, JsonColumns, Odd, Span};

/// Objects and lists inside one another.
const DEPTH_MAX: usize = 32;

/// What is wanted of the value at hand.
#[derive(Clone, Copy)]
struct Want<'c> {
    values: &'c [u32],
    inner: Option<usize>,
}

const NOTHING: Want<'static> = Want {
    values: &[],
    inner: None,
};

/// Why a line is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// It is for another reader.
    Odd,
    /// Its keys come in an order for which there is no room.
    Unlearned,
}

impl From<Odd> for Stop {
    fn from(_: Odd) -> Stop {
        Stop::Odd
    }
}

/// A line being read.
pub(super) struct Reader<'l, 'c, 't> {
    columns: &'c JsonColumns,
    line: &'l str,
    bytes: &'l [u8],
    at: usize,
    /// The keys of the objects that are open.
    keys: Vec<&'l str>,
    text: &'t mut String,
    spans: &'t mut Vec<Span>,
}

impl<'l, 'c, 't> Reader<'l, 'c, 't> {
    /// A reader of a line; `text` takes what does not stand in it as it is meant, and `spans` the values.
    pub fn new(columns: &'c JsonColumns, line: &'l str, text: &'t mut String, spans: &'t mut Vec<Span>) -> Self {
        Reader {
            columns,
            line,
            bytes: line.as_bytes(),
            at: 0,
            keys: Vec::new(),
            text,
            spans,
        }
    }

    /// Reads the line, by the orders of keys that were seen before where `shapes` are given.
    pub fn line(&mut self, shapes: &mut Option<&mut Shapes>) -> Result<(), Stop> {
        self.blank();
        if self.peek() != Some(b'{') {
            return Err(Stop::Odd);
        }
        self.object(Some(0), 0, shapes)?;
        self.blank();
        if self.at == self.bytes.len() {
            Ok(())
        } else {
            Err(Stop::Odd)
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn blank(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> Result<(), Odd> {
        self.blank();
        if self.peek() != Some(byte) {
            return Err(Odd);
        }
        self.at += 1;
        Ok(())
    }

    fn object(&mut self, node: Option<usize>, depth: usize, shapes: &mut Option<&mut Shapes>) -> Result<(), Stop> {
        if depth > DEPTH_MAX {
            return Err(Stop::Odd);
        }
        self.at += 1;
        self.blank();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        match shapes {
            Some(_) => self.members_as_before(node, depth, shapes),
            None => self.members(node, depth),
        }
    }

    /// The members of an object, whose keys likely come as they came before.
    fn members_as_before(
        &mut self,
        node: Option<usize>,
        depth: usize,
        given: &mut Option<&mut Shapes>,
    ) -> Result<(), Stop> {
        let Some(shapes) = given else {
            return Err(Stop::Unlearned);
        };
        let mut state = shapes.begin(node);
        loop {
            let Some(shapes) = given else {
                return Err(Stop::Unlearned);
            };
            self.blank();
            if self.peek() != Some(b'"') {
                return Err(Stop::Odd);
            }
            let entry = match shapes.next(state, &self.bytes[self.at + 1..]) {
                Some((next, bytes)) => {
                    self.at += 1 + bytes;
                    state = next.state;
                    next.entry
                }
                None => {
                    let (start, end, escaped) = self.string()?;
                    if escaped {
                        return Err(Stop::Odd);
                    }
                    let key = &self.line[start..end];
                    let entry = node.and_then(|n| self.columns.nodes[n].get(key, usize::from(tag(key))));
                    match shapes.learn(state, key, entry) {
                        Ok(next) => state = next.state,
                        Err(Unlearned::Twice) => return Err(Stop::Odd),
                        Err(Unlearned::Full) => return Err(Stop::Unlearned),
                    }
                    entry
                }
            };
            let is_odd = shapes.is_odd(state);
            self.take(b':')?;
            self.blank();
            let want = entry.map_or(NOTHING, |entry| self.want(entry));
            self.value(want, depth + 1, given)?;
            self.blank();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') if is_odd => return Err(Stop::Odd),
                Some(b'}') => break,
                _ => return Err(Stop::Odd),
            }
        }
        self.at += 1;
        Ok(())
    }

    /// What is wanted of a value that an entry leads to.
    fn want(&mut self, entry: u32) -> Want<'c> {
        let columns = self.columns;
        let entry = &columns.entries[entry as usize];
        for column in &entry.exists {
            if !self.spans.iter().any(|(c, ..)| c == column) {
                let span = self.push("true");
                self.spans.push((*column, span.0, span.1));
            }
        }
        Want {
            values: &entry.values,
            inner: entry.inner,
        }
    }

    /// The members of an object, each key for itself.
    fn members(&mut self, node: Option<usize>, depth: usize) -> Result<(), Stop> {
        let entries = node.map(|n| &self.columns.nodes[n]);
        let first = self.keys.len();
        let (mut marks, mut dotted) = ([0_u64; 4], false);
        loop {
            self.blank();
            if self.peek() != Some(b'"') {
                return Err(Stop::Odd);
            }
            let (start, end, escaped) = self.string()?;
            if escaped {
                return Err(Stop::Odd);
            }
            let key = &self.line[start..end];
            // A key that stands twice: the last would count.
            let tag = usize::from(tag(key));
            let (word, bit) = (&mut marks[tag / 64], 1 << (tag % 64));
            if *word & bit != 0 && self.keys[first..].contains(&key) {
                return Err(Stop::Odd);
            }
            *word |= bit;
            self.keys.push(key);
            self.take(b':')?;
            self.blank();
            let want = match entries.and_then(|e| e.get(key, tag)) {
                None => NOTHING,
                Some(entry) => {
                    dotted |= key.contains('.');
                    self.want(entry)
                }
            };
            self.value(want, depth + 1, &mut None)?;
            self.blank();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return Err(Stop::Odd),
            }
        }
        self.at += 1;
        if dotted {
            // `a.b` beside `a`: which of them counts is a question of their order.
            let keys = &self.keys[first..];
            for key in keys {
                if key.match_indices('.').any(|(dot, _)| keys.contains(&&key[..dot])) {
                    return Err(Stop::Odd);
                }
            }
        }
        self.keys.truncate(first);
        Ok(())
    }

    fn value(&mut self, want: Want<'c>, depth: usize, shapes: &mut Option<&mut Shapes>) -> Result<(), Stop> {
        if depth > DEPTH_MAX {
            return Err(Stop::Odd);
        }
        let open = matches!(self.peek(), Some(b'{' | b'['));
        if open && want.values.iter().any(|c| *c < self.columns.besides) {
            return Err(Stop::Odd);
        }
        match self.peek() {
            Some(b'"') => {
                let (start, end, escaped) = self.string()?;
                if escaped {
                    let from = self.text.len();
                    self.unescape(start, end)?;
                    if want.values.is_empty() && self.columns.every.is_none() {
                        self.text.truncate(from);
                    } else {
                        self.keep_span(want, from as u32 | BESIDE, self.text.len() as u32 | BESIDE);
                    }
                } else {
                    self.keep(want, start, end);
                }
                Ok(())
            }
            Some(b'{') => {
                let start = self.at;
                self.object(want.inner, depth, shapes)?;
                if !want.values.is_empty() {
                    // An object that is itself asked for is its text.
                    let value: serde_json::Value =
                        serde_json::from_str(&self.line[start..self.at]).map_err(|_| Stop::Odd)?;
                    let (start, end) = self.push(&value.to_string());
                    self.spans.extend(want.values.iter().map(|c| (*c, start, end)));
                }
                Ok(())
            }
            Some(b'[') => self.list(want, depth, shapes),
            Some(b't') => Ok(self.word("true", want)?),
            Some(b'f') => Ok(self.word("false", want)?),
            Some(b'n') => {
                if !self.bytes[self.at..].starts_with(b"null") {
                    return Err(Stop::Odd);
                }
                self.at += 4;
                Ok(())
            }
            Some(b'-' | b'0'..=b'9') => Ok(self.number(want)?),
            _ => Err(Stop::Odd),
        }
    }

    fn list(&mut self, want: Want<'c>, depth: usize, shapes: &mut Option<&mut Shapes>) -> Result<(), Stop> {
        self.at += 1;
        self.blank();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.blank();
            // A path goes through the objects of a list, not through lists in it.
            let inner = want.inner.filter(|_| self.peek() == Some(b'{'));
            self.value(Want { inner, ..want }, depth + 1, shapes)?;
            self.blank();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                _ => return Err(Stop::Odd),
            }
        }
        self.at += 1;
        Ok(())
    }

    fn word(&mut self, word: &'static str, want: Want<'c>) -> Result<(), Odd> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return Err(Odd);
        }
        let start = self.at;
        self.at += word.len();
        self.keep(want, start, self.at);
        Ok(())
    }

    fn number(&mut self, want: Want<'c>) -> Result<(), Odd> {
        let start = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        let whole = self.digits();
        if whole == 0 || (whole > 1 && self.bytes[self.at - whole] == b'0') {
            return Err(Odd);
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if self.digits() == 0 {
                return Err(Odd);
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            return Err(Odd);
        }
        self.keep(want, start, self.at);
        Ok(())
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        self.at - start
    }

    /// Passes a string; where its content is, and whether something in it is escaped.
    fn string(&mut self) -> Result<(usize, usize, bool), Odd> {
        let start = self.at + 1;
        let mut at = start;
        let mut escaped = false;
        loop {
            // Most strings are short: eight bytes at once.
            while let Some(bytes) = self.bytes.get(at..).and_then(|b| b.first_chunk()) {
                let stops = stops(u64::from_le_bytes(*bytes));
                if stops != 0 {
                    at += stops.trailing_zeros() as usize / 8;
                    break;
                }
                at += 8;
            }
            match self.bytes.get(at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    at += 2;
                }
                Some(byte) if *byte >= 0x20 => at += 1,
                _ => return Err(Odd),
            }
        }
        self.at = at + 1;
        Ok((start, at, escaped))
    }

    /// Keeps a value that stands in the line.
    fn keep(&mut self, want: Want<'c>, start: usize, end: usize) {
        self.keep_span(want, start as u32, end as u32);
    }

    /// Writes what a string says beside the line.
    fn unescape(&mut self, start: usize, end: usize) -> Result<(), Stop> {
        let mut rest = &self.line[start..end];
        while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
            self.text.push_str(&rest[..at]);
            self.text.push(match rest.as_bytes().get(at + 1) {
                Some(b'\\') => '\\',
                Some(b'"') => '"',
                Some(b'/') => '/',
                Some(b'n') => '\n',
                Some(b't') => '\t',
                Some(b'r') => '\r',
                Some(b'b') => '\u{8}',
                Some(b'f') => '\u{c}',
                // Code units, which may be halves of a character, and what is no escape.
                _ => {
                    let whole = format!("\"{}\"", &rest[at..]);
                    let text: String = serde_json::from_str(&whole).map_err(|_| Stop::Odd)?;
                    self.text.push_str(&text);
                    return Ok(());
                }
            });
            rest = &rest[at + 2..];
        }
        self.text.push_str(rest);
        Ok(())
    }

    fn keep_span(&mut self, want: Want<'c>, start: u32, end: u32) {
        self.spans.extend(want.values.iter().map(|c| (*c, start, end)));
        self.spans.extend(self.columns.every.map(|c| (c, start, end)));
    }

    /// `BESIDE` is far above what a line holds.
    fn push(&mut self, text: &str) -> (u32, u32) {
        let start = self.text.len() as u32;
        self.text.push_str(text);
        (start | BESIDE, self.text.len() as u32 | BESIDE)
    }
}

/// Marks, among eight bytes of a string, quotes, backslashes and control characters. The first mark is right; those
/// behind it may not be.
fn stops(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let is_zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let quote = is_zero(word ^ (ONES * b'"' as u64));
    let backslash = is_zero(word ^ (ONES * b'\\' as u64));
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (quote | backslash | control) & HIGH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_that_ends_a_run_is_found() {
        for byte in 0..=255_u8 {
            for place in 0..8 {
                let mut bytes = [b'x'; 8];
                bytes[place] = byte;
                // What comes behind it must not hide it.
                bytes[place + 1..].fill(b'"');
                let stops_here = matches!(byte, b'"' | b'\\' | 0..0x20);
                let first = stops(u64::from_le_bytes(bytes)).trailing_zeros() as usize / 8;
                assert_eq!(first, if stops_here { place } else { place + 1 }, "{byte} at {place}");
            }
        }
    }
}
