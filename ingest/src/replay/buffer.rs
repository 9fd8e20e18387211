//! Bytes of a stream, looked at before they are taken; memory is bounded by what is asked for.

use std::fmt;
use std::io::{self, Read};
use std::ops::Range;

use model::Truncation;
use sha2::{Digest, Sha256};

use crate::source::journal;

/// Bytes asked of the stream at once.
const READ_BYTES: usize = 1 << 16;

/// A piece of a stream: all of it, or its first part and what was cut off.
#[derive(Debug, Default)]
pub(crate) struct Piece {
    pub bytes: Vec<u8>,
    pub cut: Option<Truncation>,
}

impl Piece {
    /// Takes white space off the end.
    pub fn trim_end(&mut self) {
        while let Some(b'\n' | b'\r' | b' ') = self.bytes.last() {
            self.bytes.pop();
        }
    }
}

/// A stream, and what was read of it and not taken yet.
pub(crate) struct Buffer {
    reader: Box<dyn Read>,
    /// Room, of which what lies between `at` and `end` was read and not taken yet.
    held: Vec<u8>,
    at: usize,
    end: usize,
    ended: bool,
    /// What ended it, where that was no end: told once everything before it was taken.
    error: Option<io::Error>,
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer")
            .field("held", &(self.end - self.at))
            .field("ended", &self.ended)
            .finish()
    }
}

impl Buffer {
    fn new(reader: Box<dyn Read>) -> Buffer {
        Buffer {
            reader,
            held: Vec::new(),
            at: 0,
            end: 0,
            ended: false,
            error: None,
        }
    }

    /// A stream, unpacked where its first bytes are those of zstd or gzip.
    pub fn unpacked(reader: Box<dyn Read>) -> io::Result<Buffer> {
        let mut raw = Buffer::new(reader);
        let first = raw.look(4)?;
        if first.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            // The decoder refuses windows above 128 MiB, which bounds its memory.
            return Ok(Buffer::new(Box::new(zstd::stream::read::Decoder::new(raw)?)));
        }
        if first.starts_with(&[0x1f, 0x8b]) {
            return Ok(Buffer::new(Box::new(flate2::read::MultiGzDecoder::new(raw))));
        }
        Ok(raw)
    }

    /// The next `count` bytes, or what is left of the stream where it is less; they are not taken. More may be given.
    pub fn look(&mut self, count: usize) -> io::Result<&[u8]> {
        while self.end - self.at < count && !self.ended {
            self.fill();
        }
        if self.at == self.end
            && let Some(error) = self.error.take()
        {
            return Err(error);
        }
        Ok(self.left())
    }

    /// Takes bytes that were looked at.
    pub fn skip(&mut self, count: usize) {
        self.at = (self.at + count).min(self.end);
    }

    fn left(&self) -> &[u8] {
        &self.held[self.at..self.end]
    }

    /// Takes a line of `max` bytes at most that ends with LF alone, where all of it is at hand: where it lies
    /// ([`Buffer::taken`]), until more is asked for. `None` says nothing of what comes.
    pub fn whole_line(&mut self, max: usize) -> Option<Range<usize>> {
        let mut end = memchr::memchr(b'\n', self.left());
        if end.is_none() && !self.ended && self.end - self.at <= READ_BYTES {
            self.fill();
            end = memchr::memchr(b'\n', self.left());
        }
        let end = end.filter(|end| *end <= max)?;
        let line = self.at..self.at + end;
        if self.held[line.clone()].last() == Some(&b'\r') {
            return None;
        }
        self.at = line.end + 1;
        Some(line)
    }

    /// What was taken.
    pub fn taken(&self, line: Range<usize>) -> &[u8] {
        &self.held[line]
    }

    /// Takes `count` bytes, or what is left; keeps the first `max`.
    pub fn piece(&mut self, count: usize, max: usize) -> io::Result<Piece> {
        let mut kept = Kept::new(max);
        self.push(&mut kept, count)?;
        Ok(kept.piece())
    }

    /// Takes a line and its end: LF, with the `\r`s before it, or NUL where that parts records too. Keeps the first
    /// `max` bytes. Nothing at the end of the stream.
    pub fn line(&mut self, max: usize, nul: bool) -> io::Result<Option<Piece>> {
        if self.look(1)?.is_empty() {
            return Ok(None);
        }
        let mut kept = Kept::new(max);
        loop {
            let held = self.left();
            let end = if nul {
                memchr::memchr2(b'\n', 0, held)
            } else {
                memchr::memchr(b'\n', held)
            };
            let part = end.unwrap_or(held.len());
            kept.push(&held[..part]);
            self.skip(part + usize::from(end.is_some()));
            if end.is_some() || self.look(1)?.is_empty() {
                return Ok(Some(kept.line()));
            }
        }
    }

    /// Takes an entry of the journal's export format ([`journal`]) and the empty line behind it; keeps the first `max` bytes.
    /// Nothing at the end of the stream.
    pub fn entry(&mut self, max: usize) -> io::Result<Option<Piece>> {
        while self.look(1)?.first() == Some(&b'\n') {
            self.skip(1);
        }
        if self.look(1)?.is_empty() {
            return Ok(None);
        }
        let mut kept = Kept::new(max);
        loop {
            let seen = self.look(journal::NAME_BYTES_MAX + 9)?;
            match seen.first() {
                None => return Ok(Some(kept.piece())),
                Some(b'\n') => {
                    self.skip(1);
                    return Ok(Some(kept.piece()));
                }
                Some(_) => {}
            }
            let value = journal::binary_name(seen).and_then(|head| Some(head + 8 + journal::length(&seen[head..])?));
            match value {
                Some(end) => self.push(&mut kept, end.saturating_add(1))?,
                None => loop {
                    let held = self.left();
                    let end = memchr::memchr(b'\n', held).map(|n| n + 1);
                    let part = end.unwrap_or(held.len());
                    self.push(&mut kept, part)?;
                    if end.is_some() || self.look(1)?.is_empty() {
                        break;
                    }
                },
            }
        }
    }

    /// Takes the next `count` bytes, or what is left.
    fn push(&mut self, kept: &mut Kept, count: usize) -> io::Result<()> {
        let mut left = count;
        while left > 0 && !self.look(1)?.is_empty() {
            let part = left.min(self.end - self.at);
            kept.push(&self.held[self.at..self.at + part]);
            self.skip(part);
            left -= part;
        }
        Ok(())
    }

    fn fill(&mut self) {
        if self.at > 0 {
            self.held.copy_within(self.at..self.end, 0);
            (self.at, self.end) = (0, self.end - self.at);
        }
        // What is there already is not cleared once more.
        let room = self.end + READ_BYTES;
        if self.held.len() < room {
            self.held.resize(room, 0);
        } else if self.held.len() > 4 * room {
            // It held something long.
            self.held.truncate(room);
            self.held.shrink_to_fit();
        }
        let got = loop {
            match self.reader.read(&mut self.held[self.end..room]) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.end += got.as_ref().copied().unwrap_or(0);
        match got {
            Ok(count) => self.ended = count == 0,
            Err(error) => {
                self.ended = true;
                self.error = Some(error);
            }
        }
    }
}

impl Read for Buffer {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let held = self.look(1)?;
        let count = held.len().min(out.len());
        out[..count].copy_from_slice(&held[..count]);
        self.skip(count);
        Ok(count)
    }
}

/// The first bytes of something longer, and the hash of all of it. Carriage returns wait until it is known whether
/// they belong to the line's end.
pub(crate) struct Kept {
    max: usize,
    bytes: Vec<u8>,
    length: u64,
    hash: Option<Sha256>,
    returns: usize,
}

impl Kept {
    /// Nothing yet; keeps the first `max` bytes.
    pub fn new(max: usize) -> Kept {
        Kept {
            max,
            bytes: Vec::new(),
            length: 0,
            hash: None,
            returns: 0,
        }
    }

    /// Takes more of it.
    pub fn push(&mut self, part: &[u8]) {
        let text = part.iter().rposition(|b| *b != b'\r').map_or(0, |i| i + 1);
        if text > 0 {
            self.flush_returns();
            self.append(&part[..text]);
        }
        self.returns += part.len() - text;
    }

    fn flush_returns(&mut self) {
        const RETURNS: [u8; 256] = [b'\r'; 256];
        while self.returns > 0 {
            let some = self.returns.min(RETURNS.len());
            self.append(&RETURNS[..some]);
            self.returns -= some;
        }
    }

    fn append(&mut self, part: &[u8]) {
        self.length += part.len() as u64;
        let room = part.len().min(self.max - self.bytes.len());
        if room < part.len() {
            // Everything before this part was kept, or was hashed already.
            let kept = &self.bytes;
            self.hash
                .get_or_insert_with(|| Sha256::new_with_prefix(kept))
                .update(part);
        }
        self.bytes.extend_from_slice(&part[..room]);
    }

    /// The line, without the carriage returns of its end.
    pub fn line(mut self) -> Piece {
        self.returns = 0;
        self.piece()
    }

    fn piece(mut self) -> Piece {
        self.flush_returns();
        let bytes = self.length;
        let cut = self.hash.map(|hash| Truncation {
            bytes,
            sha256: hash.finalize().into(),
        });
        Piece { bytes: self.bytes, cut }
    }
}
