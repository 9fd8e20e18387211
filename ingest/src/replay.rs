//! Reads the FILEs of the command line as records.
//!
//! A file holds one record a line (LF; the `\r`s before it belong to the line's end; lines of white space alone are no
//! records), or frames with octet counts (`<LEN> <PRI>…`, RFC 6587), or JumpServer's datagrams parted by NUL, or entries of the
//! journal's export format, or JSON values or Windows events in XML that are laid out over lines; which, is told from its first bytes. `.zst` and `.gz` are told from their first bytes, too, and unpacked as a stream. A line's
//! record id is `<file stem>/0/<line from 0>`, a frame's `<file stem>/0/<frame from 0>`.
//!
//! With [`Reading::Kcat`] each line is an object as `kcat -C -J` prints it, and the record has that coordinate, time,
//! key, headers and payload. A line that is none is a record of its own, flagged `kcat_line_unreadable`.
//!
//! A record above the bound keeps its first part, with its true length and SHA-256; what follows it is read rightly.
//! A frame whose count is wrong ends where the next one seems to begin, flagged `octet_count_wrong`.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use model::{Arena, Coordinate, Millis, RawRecord, Truncation, Value};
use sha2::{Digest, Sha256};

use crate::detection::topic_source;
use crate::fields::Fields;
use crate::format::HEADER_FLAGS;
use crate::json;

pub(crate) mod buffer;
mod framing;
mod values;

use buffer::{Buffer, Piece};
use framing::{Framing, frame_head};

/// Bytes of a record that are kept.
pub const RECORD_BYTES_MAX: usize = 16 << 20;

/// A file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The caller's: there is no such file, or it may not be read.
    #[error("{path} cannot be opened: {source}")]
    Open {
        /// The path that was given.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// Reading stopped in the middle: the disk's, or a broken archive. Records before it were given.
    #[error("{name} cannot be read further than {record} records: {source}")]
    Read {
        /// The file's name.
        name: String,
        /// Records given.
        record: u64,
        /// Why.
        source: io::Error,
    },
}

/// What a line is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reading {
    /// The record itself.
    #[default]
    Lines,
    /// An object as `kcat -C -J` prints it.
    Kcat,
}

/// How to read a file.
#[derive(Clone, Debug)]
pub struct Options {
    /// What a line is.
    pub reading: Reading,
    /// `received_at` of records that do not bring their own.
    pub received_at: Millis,
    /// The source of plain lines; without one, the file's stem.
    pub source: Option<Arc<str>>,
    /// Bytes of a record that are kept; [`RECORD_BYTES_MAX`] by default.
    pub record_bytes_max: usize,
}

impl Options {
    /// Plain lines, received at that moment.
    #[must_use]
    pub fn new(received_at: Millis) -> Options {
        Options {
            reading: Reading::Lines,
            received_at,
            source: None,
            record_bytes_max: RECORD_BYTES_MAX,
        }
    }
}

/// The records of a file; `-` is standard input.
///
/// # Errors
/// The file cannot be opened.
pub fn open(path: &Path, options: Options) -> Result<Records, ReplayError> {
    if path == Path::new("-") {
        return records("stdin", io::stdin(), options);
    }
    let failed = |source| ReplayError::Open {
        path: path.display().to_string(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    if file.metadata().is_ok_and(|m| m.is_dir()) {
        return Err(failed(io::Error::other("it is a folder; name the files in it")));
    }
    records(&stem(path), file, options)
}

/// The records that `reader` gives; `stem` is their topic.
///
/// # Errors
/// The first bytes cannot be read.
pub fn records(stem: &str, reader: impl Read + 'static, options: Options) -> Result<Records, ReplayError> {
    // A topic holds no slash.
    let topic: Arc<str> = stem.replace('/', "_").into();
    let failed = |source| ReplayError::Read {
        name: stem.to_owned(),
        record: 0,
        source,
    };
    let mut buffer = Buffer::unpacked(Box::new(reader)).map_err(failed)?;
    let framing = if options.reading == Reading::Kcat {
        Framing::Lines
    } else {
        Framing::tell(&mut buffer).map_err(failed)?
    };
    let source = options.source.clone().unwrap_or_else(|| topic.clone());
    Ok(Records {
        topic,
        source,
        options,
        buffer,
        framing,
        next: 0,
        given: 0,
        over: false,
    })
}

/// The name of a file without its folder and its endings: `capture` of `x/capture.ndjson.zst`.
fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let name = name
        .strip_suffix(".zst")
        .or_else(|| name.strip_suffix(".gz"))
        .unwrap_or(&name);
    match name.rsplit_once('.') {
        Some((stem, _)) if !stem.is_empty() => stem.to_owned(),
        _ => name.to_owned(),
    }
}

/// A record that lies elsewhere: a line of a file, while the next is not asked for.
#[derive(Clone, Copy, Debug)]
pub struct Lent<'r> {
    /// Its coordinate.
    pub topic: &'r Arc<str>,
    /// As of [`Coordinate`].
    pub partition: i32,
    /// As of [`Coordinate`].
    pub offset: i64,
    /// When it was received.
    pub received_at: Millis,
    /// As of [`RawRecord`].
    pub source: &'r Arc<str>,
    /// The bytes, all of them.
    pub payload: &'r [u8],
}

impl<'r> Lent<'r> {
    /// A whole record that nothing but its bytes is told of.
    #[must_use]
    pub fn of(record: &'r RawRecord) -> Option<Lent<'r>> {
        record.truncated.is_none().then(|| Lent {
            topic: &record.coordinate.topic,
            partition: record.coordinate.partition,
            offset: record.coordinate.offset,
            received_at: record.received_at,
            source: &record.source,
            payload: &record.payload,
        })
    }

    /// A record of its own.
    #[must_use]
    pub fn to_record(&self) -> RawRecord {
        RawRecord {
            coordinate: Coordinate::new(self.topic.clone(), self.partition, self.offset),
            received_at: self.received_at,
            source: self.source.clone(),
            peer: None,
            key: None,
            headers: Vec::new(),
            payload: Bytes::copy_from_slice(self.payload),
            truncated: None,
        }
    }
}

/// The records of a file, in order.
#[derive(Debug)]
pub struct Records {
    topic: Arc<str>,
    source: Arc<str>,
    options: Options,
    buffer: Buffer,
    framing: Framing,
    /// The line or frame that comes next.
    next: i64,
    given: u64,
    over: bool,
}

impl Iterator for Records {
    type Item = Result<RawRecord, ReplayError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        match self.record() {
            Ok(Some(record)) => {
                self.given += 1;
                Some(Ok(record))
            }
            Ok(None) => {
                self.over = true;
                None
            }
            Err(source) => {
                self.over = true;
                Some(Err(ReplayError::Read {
                    name: self.topic.to_string(),
                    record: self.given,
                    source,
                }))
            }
        }
    }
}

impl Records {
    /// The next record, lent, where it is a plain line that is at hand. `None` says nothing: the next is asked for as ever
    /// then.
    pub fn lend(&mut self) -> Option<Lent<'_>> {
        if self.over || self.framing != Framing::Lines || self.options.reading != Reading::Lines {
            return None;
        }
        loop {
            let line = self.buffer.whole_line(self.options.record_bytes_max)?;
            let offset = self.next;
            self.next += 1;
            if self.buffer.taken(line.clone()).trim_ascii().is_empty() {
                continue;
            }
            self.given += 1;
            return Some(Lent {
                topic: &self.topic,
                partition: 0,
                offset,
                received_at: self.options.received_at,
                source: &self.source,
                payload: self.buffer.taken(line),
            });
        }
    }

    fn record(&mut self) -> io::Result<Option<RawRecord>> {
        loop {
            let mut flag = None;
            let piece = match self.framing {
                Framing::Counted => {
                    let Some((piece, wrong)) = self.frame()? else {
                        return Ok(None);
                    };
                    flag = wrong.then_some("octet_count_wrong");
                    piece
                }
                Framing::Laid(layout) => match layout.next(&mut self.buffer, self.options.record_bytes_max)? {
                    Some(piece) => piece,
                    None => return Ok(None),
                },
                Framing::Journal => match self.buffer.entry(self.options.record_bytes_max)? {
                    Some(piece) => piece,
                    None => return Ok(None),
                },
                _ => {
                    let max = match self.options.reading {
                        Reading::Lines => self.options.record_bytes_max,
                        // Every byte of the payload may be escaped.
                        Reading::Kcat => self.options.record_bytes_max.saturating_mul(6).saturating_add(1 << 16),
                    };
                    let also_nul = self.framing == Framing::Nul;
                    let Some(piece) = self.buffer.line(max, also_nul)? else {
                        return Ok(None);
                    };
                    piece
                }
            };
            let line = self.next;
            let blank = piece.bytes.trim_ascii().is_empty() && piece.cut.is_none();
            // NUL has no lines to count.
            self.next += i64::from(!(blank && self.framing == Framing::Nul));
            if blank {
                continue;
            }
            return Ok(Some(match self.options.reading {
                Reading::Lines => self.plain(line, piece, flag),
                Reading::Kcat => self
                    .kcat(&piece)
                    .unwrap_or_else(|| self.plain(line, piece, Some("kcat_line_unreadable"))),
            }));
        }
    }

    /// The next frame, and whether its count was wrong.
    fn frame(&mut self) -> io::Result<Option<(Piece, bool)>> {
        let head = loop {
            let first = self.buffer.look(16)?;
            match first.first() {
                None => return Ok(None),
                // Some senders add a newline that they do not count.
                Some(b'\n' | b'\r') => self.buffer.skip(1),
                Some(_) => break frame_head(first),
            }
        };
        let max = self.options.record_bytes_max;
        let Some((count, head)) = head else {
            let line = self.buffer.line(max, false)?;
            return Ok(line.map(|piece| (piece, true)));
        };
        self.buffer.skip(head);
        let seen = self.buffer.look(count.min(max).saturating_add(16))?;
        let right = match seen.get(count..) {
            Some(after) => after.trim_ascii().is_empty() || frame_head(after.trim_ascii_start()).is_some(),
            // Longer than what we keep, and all of that is there.
            None => seen.len() > max,
        };
        if right {
            return self.buffer.piece(count, max).map(|piece| Some((piece, false)));
        }
        // Never merged silently: the next thing that looks like a frame is one.
        let end = seen.len().min(count);
        let next = (1..end)
            .find(|&i| !seen[i - 1].is_ascii_digit() && seen[i].is_ascii_digit() && frame_head(&seen[i..]).is_some());
        let mut piece = self.buffer.piece(next.unwrap_or(end), max)?;
        piece.trim_end();
        Ok(Some((piece, true)))
    }

    fn plain(&self, line: i64, mut piece: Piece, flag: Option<&'static str>) -> RawRecord {
        let max = self.options.record_bytes_max;
        if piece.bytes.len() > max {
            // A line that should have been kcat's was read up to the bound of its escapes.
            piece.cut = piece.cut.or_else(|| Some(cut(&piece.bytes)));
            piece.bytes.truncate(max);
        }
        RawRecord {
            coordinate: Coordinate::new(self.topic.clone(), 0, line),
            received_at: self.options.received_at,
            source: self.source.clone(),
            peer: None,
            key: None,
            headers: flag
                .map(|f| (HEADER_FLAGS.to_owned(), Bytes::from_static(f.as_bytes())))
                .into_iter()
                .collect(),
            payload: piece.bytes.into(),
            truncated: piece.cut,
        }
    }

    fn kcat(&self, piece: &Piece) -> Option<RawRecord> {
        let text = String::from_utf8_lossy(&piece.bytes);
        let arena = Arena::new();
        let object = json::parse(&arena, text.trim_start_matches('\u{feff}')).ok()?.object;
        let fields = Fields(object);
        let topic = fields.text("topic").filter(|t| !t.is_empty() && !t.contains('/'))?;
        let partition = i32::try_from(fields.int("partition").unwrap_or(0)).ok()?;
        let offset = fields.int("offset").filter(|o| *o >= 0)?;
        let text_bytes = |value: &Value<'_>| value.as_str().map(|s| Bytes::copy_from_slice(s.as_bytes()));
        let (payload, truncated) = match fields.value("payload") {
            // A tombstone.
            None => (Bytes::new(), None),
            Some(Value::String(text)) => bounded(text.as_bytes(), self.options.record_bytes_max),
            // `kcat -s value=…` prints the decoded value.
            Some(other) => bounded(other.to_string().as_bytes(), self.options.record_bytes_max),
        };
        let headers = match fields.value("headers") {
            Some(Value::Array(items)) => items
                .chunks_exact(2)
                .filter_map(|pair| Some((pair[0].as_str()?.to_owned(), text_bytes(&pair[1]).unwrap_or_default())))
                .collect(),
            _ => Vec::new(),
        };
        Some(RawRecord {
            coordinate: Coordinate::new(&*topic, partition, offset),
            received_at: fields
                .int("ts")
                .filter(|ts| *ts >= 0)
                .map_or(self.options.received_at, Millis),
            source: topic_source(&topic).unwrap_or(&topic).into(),
            peer: None,
            key: fields.value("key").and_then(text_bytes),
            headers,
            payload,
            truncated,
        })
    }
}

fn bounded(bytes: &[u8], max: usize) -> (Bytes, Option<Truncation>) {
    if bytes.len() <= max {
        return (Bytes::copy_from_slice(bytes), None);
    }
    (Bytes::copy_from_slice(&bytes[..max]), Some(cut(bytes)))
}

/// What says that only a part of these is kept.
fn cut(bytes: &[u8]) -> Truncation {
    Truncation {
        bytes: bytes.len() as u64,
        sha256: Sha256::digest(bytes).into(),
    }
}

#[cfg(test)]
mod tests;
