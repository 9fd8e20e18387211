//! One file that is read as it grows.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use model::Millis;

use super::lines::Lines;
use super::position::{HEAD_BYTES, Mark, Position, TAIL_BYTES};
use super::{Line, millis_of};
use crate::replay::buffer::{Buffer, Piece};

/// Bytes read at once.
const CHUNK_BYTES: usize = 64 << 10;

/// What came of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// There is more.
    More,
    /// That was all for now.
    Quiet,
    /// It is not the file that it was: truncated, or written anew.
    Replaced,
}

enum Input {
    Plain(File),
    Packed(Box<dyn Read>),
}

/// A file, how far it was read, and what was read of it beyond that.
pub(super) struct Tail {
    /// All before it is durable.
    pub at: Position,
    /// The path that it was seen under last.
    pub path: PathBuf,
    /// A watched path leads to it.
    pub on_path: bool,
    /// Since when none does.
    pub missing_since: Option<Millis>,
    /// It has changed since it was read, or was never read.
    pub wake: bool,
    /// When it was last seen to grow.
    pub grown_at: Millis,
    /// Why it cannot be read.
    pub trouble: Option<String>,
    input: Option<Input>,
    read_to: u64,
    /// Its length and time of change when it was last read to its end.
    seen: Option<(u64, i64, i64)>,
    lines: Lines,
    record_bytes_max: usize,
    head: Vec<u8>,
    /// The mark of the head, once that is as long as it gets.
    whole_head: Option<Mark>,
    before: Vec<u8>,
    /// Nothing but NUL so far: what a truncated file begins with when its writer goes on at its old offset.
    hole: bool,
    reached: Option<Position>,
}

impl Tail {
    pub fn new(at: Position, path: PathBuf, record_bytes_max: usize, now: Millis) -> Tail {
        Tail {
            read_to: at.offset,
            hole: at.offset == 0,
            at,
            path,
            on_path: false,
            missing_since: None,
            wake: true,
            grown_at: now,
            trouble: None,
            input: None,
            seen: None,
            lines: Lines::new(record_bytes_max),
            record_bytes_max,
            head: Vec::new(),
            whole_head: None,
            before: Vec::new(),
            reached: None,
        }
    }

    pub fn is_open(&self) -> bool {
        self.input.is_some()
    }

    pub fn is_packed(&self) -> bool {
        matches!(self.input, Some(Input::Packed(_)))
    }

    /// Bytes of memory that the line without an end takes.
    pub fn held(&self) -> usize {
        usize::try_from(self.lines.held).map_or(self.record_bytes_max, |held| held.min(self.record_bytes_max))
    }

    /// Forgets what was read beyond the position; it is read again once the file has grown.
    pub fn close(&mut self) {
        self.input = None;
        self.lines = Lines::new(self.record_bytes_max);
        self.read_to = self.at.offset;
    }

    /// Tells whether the file has changed since it was read to its end.
    pub fn notice(&mut self, meta: &Metadata) {
        if self.seen != Some(state(meta)) && !(self.at.ended && millis_of(meta) == self.at.modified) {
            self.wake = true;
        }
    }

    /// Opens the file where its position is; `false` where it is not the file that it was.
    pub fn open(&mut self) -> io::Result<bool> {
        let file = File::open(&self.path)?;
        let meta = file.metadata()?;
        if (meta.dev(), meta.ino()) != (self.at.device, self.at.inode) {
            // Renamed since it was looked up; the next look finds it.
            return Err(io::Error::new(io::ErrorKind::NotFound, "another file has its path now"));
        }
        self.close();
        self.seen = None;
        self.reached = None;
        self.hole = self.at.offset == 0;
        let offset = self.at.offset;
        let offset_bytes = usize::try_from(offset).unwrap_or(usize::MAX);
        let head_bytes = self.at.head.bytes.max(offset_bytes.min(HEAD_BYTES));
        let tail_bytes = if self.at.tail.bytes > 0 {
            self.at.tail.bytes
        } else {
            offset_bytes.min(TAIL_BYTES)
        };
        let (input, head, before) = if is_packed(&file)? {
            self.seen = Some(state(&meta));
            let mut stream = unpack(file)?;
            let head_bytes = head_bytes.min(offset_bytes);
            let Some((head, before)) = skip(&mut stream, offset, head_bytes, tail_bytes)? else {
                return Ok(false);
            };
            (Input::Packed(stream), head, before)
        } else {
            if meta.len() < offset {
                return Ok(false);
            }
            let head = bytes_at(&file, 0, head_bytes)?;
            let before = bytes_at(&file, offset - tail_bytes as u64, tail_bytes)?;
            (Input::Plain(file), head, before)
        };
        // Of a packed file that was not read yet nothing was unpacked so far.
        let looked = match input {
            Input::Packed(_) if head.len() < self.at.head.bytes => self.at.head.begins(&sample(&self.path)?.1),
            _ => self.at.head.begins(&head),
        };
        if !looked || !self.at.tail.begins(&before) {
            return Ok(false);
        }
        (self.head, self.before, self.whole_head) = (head, before, None);
        self.input = Some(input);
        Ok(true)
    }

    /// Reads what is there, until `budget_bytes` or `lines_max` are over.
    pub fn read(
        &mut self,
        budget_bytes: &mut usize,
        lines_max: usize,
        now: Millis,
        out: &mut Vec<Line>,
    ) -> io::Result<Outcome> {
        let state = match &self.input {
            None => return Ok(Outcome::Quiet),
            Some(Input::Packed(_)) => None,
            Some(Input::Plain(file)) => {
                let meta = file.metadata()?;
                let state = state(&meta);
                if self.seen == Some(state) {
                    return Ok(Outcome::Quiet);
                }
                if meta.len() < self.read_to || !self.is_same(file)? {
                    return Ok(Outcome::Replaced);
                }
                self.at.modified = millis_of(&meta);
                Some(state)
            }
        };
        let mut chunk = vec![0; CHUNK_BYTES];
        while *budget_bytes > 0 && out.len() < lines_max {
            let count = match &mut self.input {
                Some(Input::Plain(file)) => file.read_at(&mut chunk, self.read_to)?,
                Some(Input::Packed(stream)) => stream.read(&mut chunk)?,
                None => 0,
            };
            if count == 0 {
                if self.is_packed() {
                    self.flush(out);
                    self.reached.get_or_insert_with(|| self.at.clone()).ended = true;
                } else {
                    self.seen = state;
                }
                return Ok(Outcome::Quiet);
            }
            self.grown_at = now;
            *budget_bytes = budget_bytes.saturating_sub(count);
            self.take(&chunk[..count], out);
        }
        Ok(Outcome::More)
    }

    /// Hands out the line without an end: nobody will end it.
    pub fn flush(&mut self, out: &mut Vec<Line>) {
        if self.lines.held == 0 {
            return;
        }
        let piece = self.lines.finish();
        let before = std::mem::take(&mut self.before);
        let reached = self.position(self.read_to, &before);
        self.before = before;
        out.extend(piece.map(|piece| line(&reached, piece)));
        self.reached = Some(reached);
    }

    /// What was handed out is durable.
    pub fn acknowledge(&mut self) {
        if let Some(reached) = self.reached.take() {
            let done = reached.ended;
            self.at = Position {
                modified: self.at.modified.max(reached.modified),
                ..reached
            };
            if done {
                self.close();
            }
        }
    }

    /// Whether the first bytes and those before the place where reading goes on are what they were.
    fn is_same(&self, file: &File) -> io::Result<bool> {
        let head = bytes_at(file, 0, self.head.len())?;
        let from = self.read_to - self.before.len() as u64;
        Ok(head == self.head && bytes_at(file, from, self.before.len())? == self.before)
    }

    fn take(&mut self, chunk: &[u8], out: &mut Vec<Line>) {
        let start = self.read_to;
        // The head may have been looked at beyond the position.
        if let Some(new) = (self.head.len() as u64)
            .checked_sub(start)
            .and_then(|n| chunk.get(n as usize..))
        {
            let room = HEAD_BYTES.saturating_sub(self.head.len()).min(new.len());
            self.head.extend_from_slice(&new[..room]);
        }
        let mut done = 0;
        if self.hole {
            done = chunk.iter().position(|b| *b != 0).unwrap_or(chunk.len());
            self.hole = done == chunk.len();
        }
        let mut last_end = None;
        while done < chunk.len() {
            let (taken, piece) = self.lines.push(&chunk[done..]);
            done += taken;
            if chunk[done - 1] == b'\n' {
                last_end = Some(done);
                if let Some(piece) = piece {
                    let position = self.position(start + done as u64, &[]);
                    out.push(line(&position, piece));
                }
            }
        }
        if let Some(end) = last_end {
            let before = last(&self.before, &chunk[..end]);
            self.reached = Some(self.position(start + end as u64, &before));
        }
        self.before = last(&self.before, chunk);
        self.read_to = start + chunk.len() as u64;
    }

    /// The position behind `offset`.
    fn position(&mut self, offset: u64, before: &[u8]) -> Position {
        let bytes = usize::try_from(offset).unwrap_or(usize::MAX).min(self.head.len());
        let head = match &self.whole_head {
            Some(mark) if bytes == HEAD_BYTES => mark.clone(),
            _ => {
                let mark = Mark::of(&self.head[..bytes]);
                if bytes == HEAD_BYTES {
                    self.whole_head = Some(mark.clone());
                }
                mark
            }
        };
        Position {
            offset,
            head,
            tail: Mark::of(before),
            ..self.at.clone()
        }
    }
}

fn line(position: &Position, piece: Piece) -> Line {
    Line {
        source: position.source.clone(),
        payload: piece.bytes.into(),
        truncated: piece.cut,
        headers: position.headers(),
    }
}

fn state(meta: &Metadata) -> (u64, i64, i64) {
    (meta.len(), meta.mtime(), meta.mtime_nsec())
}

/// The last bytes of two parts that follow each other.
fn last(first: &[u8], second: &[u8]) -> Vec<u8> {
    let from_second = second.len().min(TAIL_BYTES);
    let from_first = first.len().min(TAIL_BYTES - from_second);
    [
        &first[first.len() - from_first..],
        &second[second.len() - from_second..],
    ]
    .concat()
}

/// So many bytes of a file, or fewer where it ends.
pub(super) fn bytes_at(file: &File, offset: u64, count: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; count];
    let mut done = 0;
    while done < count {
        match file.read_at(&mut bytes[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    bytes.truncate(done);
    Ok(bytes)
}

/// Whether a file is packed, and its first bytes, unpacked.
pub(super) fn sample(path: &Path) -> io::Result<(bool, Vec<u8>)> {
    let file = File::open(path)?;
    if !is_packed(&file)? {
        return Ok((false, bytes_at(&file, 0, HEAD_BYTES)?));
    }
    let mut head = Vec::new();
    unpack(file)?.take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    Ok((true, head))
}

/// gzip or zstd, by its first bytes.
fn is_packed(file: &File) -> io::Result<bool> {
    let first = bytes_at(file, 0, 4)?;
    Ok(first.starts_with(&[0x1f, 0x8b]) || first == [0x28, 0xb5, 0x2f, 0xfd])
}

fn unpack(file: File) -> io::Result<Box<dyn Read>> {
    Ok(Box::new(Buffer::unpacked(Box::new(file))?))
}

/// Reads a stream up to `offset`: the first bytes and the last before it; `None` where it ends before.
fn skip(stream: &mut dyn Read, offset: u64, head: usize, tail: usize) -> io::Result<Option<(Vec<u8>, Vec<u8>)>> {
    let mut first = Vec::with_capacity(head);
    let mut before = Vec::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut left = offset;
    while left > 0 {
        let want = chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let count = stream.read(&mut chunk[..want])?;
        if count == 0 {
            return Ok(None);
        }
        let room = (head - first.len()).min(count);
        first.extend_from_slice(&chunk[..room]);
        before = last(&before, &chunk[..count]);
        left -= count as u64;
    }
    let from = before.len().saturating_sub(tail);
    Ok(Some((first, before.split_off(from))))
}
