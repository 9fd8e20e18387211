//! Files whose records span lines because somebody laid them out for reading: JSON values, or the elements of an array, and
//! Windows events as XML.
//!
//! Such a file is told from its first record, which is no whole line and is a whole value; a file of lines of which the
//! first is broken is none. What does not parse further on is a record up to the end of its line.

use std::io;

use serde::de::IgnoredAny;

use super::buffer::{Buffer, Piece};

/// Bytes that are looked at to tell how a file is laid out.
const LOOK_BYTES: usize = 1 << 16;
/// Bytes of a first value that does not end within [`LOOK_BYTES`].
const FIRST_BYTES_MAX: usize = 4 << 20;
/// What an event of Windows begins and ends with.
const EVENT: (&[u8], &[u8]) = (b"<Event", b"</Event>");

/// What parts records that span lines.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Layout {
    /// JSON values one after the other, perhaps in an array.
    Json,
    /// `<Event>` … `</Event>`, whatever stands around them.
    Xml,
}

impl Layout {
    /// How a file is laid out; `None`: it is a file of lines.
    pub fn tell(buffer: &mut Buffer) -> io::Result<Option<Layout>> {
        let mut looked = LOOK_BYTES;
        loop {
            let first = buffer.look(looked)?;
            match Layout::of(first) {
                Ok(layout) => return Ok(layout),
                Err(More) if first.len() < looked || looked >= FIRST_BYTES_MAX => return Ok(None),
                Err(More) => looked *= 2,
            }
        }
    }

    fn of(first: &[u8]) -> Result<Option<Layout>, More> {
        let text = first.strip_prefix(b"\xef\xbb\xbf").unwrap_or(first).trim_ascii_start();
        let line = text.split(|b| *b == b'\n').next().unwrap_or_default();
        if line.len() == text.len() {
            return Ok(None);
        }
        Ok(match text.first() {
            Some(b'{' | b'[') if value(line).is_none() => {
                let inner = text.strip_prefix(b"[").map_or(text, <[u8]>::trim_ascii_start);
                let is_object = inner.first() == Some(&b'{');
                match begins(inner) {
                    _ if !is_object => None,
                    Ok(_) => Some(Layout::Json),
                    Err(error) if error.is_eof() => return Err(More),
                    Err(_) => None,
                }
            }
            Some(b'<') => {
                let is_windows = text.starts_with(b"<?xml") || text.starts_with(b"<Event");
                let (begin, end) = (find(text, EVENT.0), find(text, EVENT.1));
                let whole = is_windows && begin.is_some() && end.is_some() && find(line, EVENT.1).is_none();
                whole.then_some(Layout::Xml)
            }
            _ => None,
        })
    }

    /// The next record; keeps its first `max` bytes.
    pub fn next(self, buffer: &mut Buffer, max: usize) -> io::Result<Option<Piece>> {
        match self {
            Layout::Json => json(buffer, max),
            Layout::Xml => xml(buffer, max),
        }
    }
}

fn json(buffer: &mut Buffer, max: usize) -> io::Result<Option<Piece>> {
    // What stands between values; a byte order mark at most once.
    loop {
        let seen = buffer.look(4)?;
        match seen.first() {
            None => return Ok(None),
            Some(b) if b.is_ascii_whitespace() || b",[]".contains(b) => buffer.skip(1),
            Some(_) if seen.starts_with(b"\xef\xbb\xbf") => buffer.skip(3),
            Some(_) => break,
        }
    }
    let mut looked = LOOK_BYTES;
    loop {
        let seen = buffer.look(looked)?;
        if let Some(length) = value(seen) {
            return buffer.piece(length, max).map(Some);
        }
        // No more would come, or more than is kept: the line as it stands.
        if seen.len() < looked || looked > max {
            return buffer.line(max, false);
        }
        looked = looked.saturating_mul(2);
    }
}

fn xml(buffer: &mut Buffer, max: usize) -> io::Result<Option<Piece>> {
    // `<Events>` around them, declarations and blanks are no records.
    loop {
        let seen = buffer.look(EVENT.0.len() + 1)?;
        if seen.is_empty() {
            return Ok(None);
        }
        let is_event =
            seen.starts_with(EVENT.0) && matches!(seen.get(EVENT.0.len()), Some(b' ' | b'>' | b'\n' | b'\r' | b'\t'));
        if is_event {
            break;
        }
        // Up to the next tag.
        let next = memchr::memchr(b'<', &seen[1..]).map_or(seen.len(), |n| n + 1);
        buffer.skip(next);
    }
    let mut looked = LOOK_BYTES;
    loop {
        let seen = buffer.look(looked)?;
        if let Some(end) = find(seen, EVENT.1) {
            return buffer.piece(end + EVENT.1.len(), max).map(Some);
        }
        let length = seen.len();
        if length < looked || looked > max {
            return buffer.piece(length, max).map(Some);
        }
        looked = looked.saturating_mul(2);
    }
}

/// More must be seen to tell.
struct More;

/// The length of the JSON value that bytes begin with.
fn value(bytes: &[u8]) -> Option<usize> {
    begins(bytes).ok()
}

fn begins(bytes: &[u8]) -> serde_json::Result<usize> {
    // It bounds its depth.
    let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<IgnoredAny>();
    match values.next() {
        Some(Err(error)) => Err(error),
        _ => Ok(values.byte_offset()),
    }
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, what)
}
