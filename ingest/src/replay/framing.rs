//! What parts a file's records from each other, told from its first bytes.

use std::io;

use super::buffer::Buffer;
use super::values::Layout;
use crate::source::journal;

/// What parts records from each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Framing {
    Lines,
    /// NUL or LF.
    Nul,
    Counted,
    /// Entries of the journal's export format.
    Journal,
    /// Values that span lines.
    Laid(Layout),
}

impl Framing {
    /// Told from the first bytes.
    pub(super) fn tell(buffer: &mut Buffer) -> io::Result<Framing> {
        let first = buffer.look(1 << 16)?;
        if frame_head(first).is_some() {
            return Ok(Framing::Counted);
        }
        if journal::is_begin(first) {
            return Ok(Framing::Journal);
        }
        if let Some(layout) = Layout::tell(buffer)? {
            return Ok(Framing::Laid(layout));
        }
        let first = buffer.look(1 << 16)?;
        let tag = first
            .split(|b| *b == b'>')
            .nth(1)
            .is_some_and(|t| t.starts_with(b"jumpserver: "));
        let nul = memchr::memmem::find(first, b"\0<").is_some();
        // JumpServer's JSON holds no NUL, so nobody can part a record in two by sending one.
        Ok(if first.starts_with(b"<") && tag && nul {
            Framing::Nul
        } else {
            Framing::Lines
        })
    }
}

/// The count of a frame, and the length of what says it: `42 ` before `<86>`.
pub(super) fn frame_head(bytes: &[u8]) -> Option<(usize, usize)> {
    let digits = bytes.iter().take(9).take_while(|b| b.is_ascii_digit()).count();
    let rest = bytes.get(digits..)?.strip_prefix(b" <")?;
    let priority = rest.iter().take(4).take_while(|b| b.is_ascii_digit()).count();
    if !(1..=8).contains(&digits) || !(1..=3).contains(&priority) || rest.get(priority) != Some(&b'>') {
        return None;
    }
    let count = str::from_utf8(&bytes[..digits]).ok()?.parse().ok()?;
    Some((count, digits + 1))
}
