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
use crate::source::journal;

pub(crate) mod buffer;
mod values;

use buffer::{Buffer, Piece};
use values::Layout;

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

/// What parts records from each other.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Framing {
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
    fn tell(buffer: &mut Buffer) -> io::Result<Framing> {
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
fn frame_head(bytes: &[u8]) -> Option<(usize, usize)> {
    let digits = bytes.iter().take(9).take_while(|b| b.is_ascii_digit()).count();
    let rest = bytes.get(digits..)?.strip_prefix(b" <")?;
    let priority = rest.iter().take(4).take_while(|b| b.is_ascii_digit()).count();
    if !(1..=8).contains(&digits) || !(1..=3).contains(&priority) || rest.get(priority) != Some(&b'>') {
        return None;
    }
    let count = str::from_utf8(&bytes[..digits]).ok()?.parse().ok()?;
    Some((count, digits + 1))
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
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    fn read(bytes: impl Into<Vec<u8>>, options: Options) -> Vec<RawRecord> {
        records("f", io::Cursor::new(bytes.into()), options)
            .unwrap()
            .map(Result::unwrap)
            .collect()
    }

    fn lines(bytes: impl Into<Vec<u8>>) -> Vec<(i64, String)> {
        let all = read(bytes, Options::new(Millis(5)));
        all.iter()
            .map(|r| (r.coordinate.offset, String::from_utf8_lossy(&r.payload).into_owned()))
            .collect()
    }

    fn want(expected: &[(i64, &str)]) -> Vec<(i64, String)> {
        expected.iter().map(|(n, t)| (*n, (*t).to_owned())).collect()
    }

    #[test]
    fn a_line_is_a_record() {
        assert_eq!(
            lines("a\r\nb\n\n \t\r\nc\r\r\n\nd"),
            want(&[(0, "a"), (1, "b"), (4, "c"), (6, "d")])
        );
        assert_eq!(lines(""), []);
        assert_eq!(lines("a\rb\0c\n"), want(&[(0, "a\rb\0c")]));
        assert_eq!(lines("<14>app: a\0<14>b\n"), want(&[(0, "<14>app: a\0<14>b")]));
    }

    proptest! {
        /// Lent or given, whole or in pieces: the records are the same.
        #[test]
        fn what_is_lent_is_what_is_given(text in "[a \\r\\n]{0,60}", long in 0..3_usize, max in 1..20_usize) {
            let text = format!("{text}{}\n{text}", "x".repeat(long * 50_000));
            let options = Options { record_bytes_max: max, ..Options::new(Millis(5)) };
            let mut reading = records("f", io::Cursor::new(text.clone().into_bytes()), options.clone()).unwrap();
            let mut lent = Vec::new();
            loop {
                if let Some(line) = reading.lend() {
                    lent.push(line.to_record());
                } else if let Some(record) = reading.next() {
                    lent.push(record.unwrap());
                } else {
                    break;
                }
            }
            prop_assert_eq!(lent, read(text, options));
        }
    }

    #[test]
    fn datagrams_of_jumpserver_are_parted_by_nul() {
        let bytes = "<14>jumpserver: a - {}\0<14>jumpserver: b - {}\0\n<14>jumpserver: c - {}\0";
        assert_eq!(
            lines(bytes),
            want(&[
                (0, "<14>jumpserver: a - {}"),
                (1, "<14>jumpserver: b - {}"),
                (2, "<14>jumpserver: c - {}")
            ])
        );
    }

    #[test]
    fn frames_with_a_wrong_count_are_flagged_and_never_merged() {
        let all = read("6 <1>a\nb8 <2>cdefg\n999 <3>x 5 <4>yz", Options::new(Millis(0)));
        let got: Vec<_> = all
            .iter()
            .map(|r| (String::from_utf8_lossy(&r.payload).into_owned(), r.headers.len()))
            .collect();
        let want = [("<1>a\nb", 0), ("<2>cdefg", 0), ("<3>x", 1), ("<4>yz", 0)];
        assert_eq!(got, want.map(|(t, f)| (t.to_owned(), f)));
    }

    #[test]
    fn an_archive_is_read_as_what_is_in_it() {
        let text = "one\ntwo\n";
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(text.as_bytes()).unwrap();
        let gz = gz.finish().unwrap();
        let twice = [gz.clone(), gz.clone()].concat();
        let zst = zstd::encode_all(text.as_bytes(), 1).unwrap();
        assert_eq!(lines(gz.clone()), want(&[(0, "one"), (1, "two")]));
        assert_eq!(lines(twice).len(), 4);
        assert_eq!(lines(zst), want(&[(0, "one"), (1, "two")]));
        let broken: Vec<_> = records(
            "f",
            io::Cursor::new(gz[..gz.len() - 4].to_vec()),
            Options::new(Millis(0)),
        )
        .unwrap()
        .collect();
        assert!(broken.len() == 3 && broken[2].is_err());
    }

    #[test]
    fn a_long_line_keeps_its_first_part_and_says_so() {
        let options = Options {
            record_bytes_max: 10,
            ..Options::new(Millis(0))
        };
        let long = "x".repeat(200_000);
        let all = read(format!("{long}\nnext\n{}\r\n", "y".repeat(10)), options);
        let cut = all[0].truncated.as_ref().unwrap();
        assert_eq!((all[0].payload.len(), cut.bytes), (10, 200_000));
        assert_eq!(cut.sha256, <[u8; 32]>::from(Sha256::digest(long.as_bytes())));
        assert_eq!((&all[1].payload[..], &all[1].truncated), (&b"next"[..], &None));
        assert_eq!(all[2].payload.len(), 10);
    }

    #[test]
    fn kcat_objects_bring_their_own_coordinates() {
        let text = r#"{"topic":"audit.linux","partition":2,"offset":7,"tstype":"create","ts":99,"headers":["a","b","a","c"],"key":"k","payload":"l\u00e9"}
{"topic":"x","partition":0,"offset":8,"ts":-1,"key":null,"payload":null}
broken"#;
        let all = read(
            text,
            Options {
                reading: Reading::Kcat,
                ..Options::new(Millis(5))
            },
        );
        assert_eq!(all[0].coordinate.to_string(), "audit.linux/2/7");
        assert_eq!(
            (&*all[0].source, all[0].received_at, &all[0].payload[..]),
            ("linux", Millis(99), "lé".as_bytes())
        );
        assert_eq!((all[0].key.as_deref(), all[0].headers.len()), (Some(&b"k"[..]), 2));
        assert_eq!(
            (&*all[1].source, all[1].received_at, all[1].payload.len()),
            ("x", Millis(5), 0)
        );
        assert_eq!(
            (all[2].coordinate.to_string(), &all[2].payload[..]),
            ("f/0/2".to_owned(), &b"broken"[..])
        );
        assert_eq!(&all[2].headers[0].1[..], b"kcat_line_unreadable");
    }

    #[test]
    fn a_line_that_is_not_kcats_keeps_no_more_than_another() {
        let options = Options {
            reading: Reading::Kcat,
            record_bytes_max: 4,
            ..Options::new(Millis(5))
        };
        let all = read("broken\n", options);
        assert_eq!(&all[0].payload[..], b"brok");
        assert_eq!(all[0].truncated, Some(cut(b"broken")));
    }

    proptest! {
        /// However the bytes lie, the entries of a file are those of a body.
        #[test]
        fn entries_of_the_journal_are_those_of_a_body(
            fields in prop::collection::vec((any::<bool>(), "[A-Z_]{1,8}|[a-z=]{0,3}", "[ -~\n]{0,12}", 0_u64..20), 0..12),
            cut in 0_usize..8,
        ) {
            let mut file = b"__CURSOR=a\n".to_vec();
            for (binary, name, value, length) in fields {
                file.extend(name.bytes());
                if binary {
                    file.push(b'\n');
                    file.extend(length.to_le_bytes());
                } else {
                    file.push(b'=');
                }
                file.extend(value.bytes());
                file.push(b'\n');
            }
            file.truncate(file.len().saturating_sub(cut).max(9));
            let plain: Vec<Vec<u8>> = journal::entries(&file.clone().into()).map(Vec::from).collect();
            let all = read(file, Options::new(Millis(5)));
            prop_assert_eq!(all.iter().map(|r| r.payload.to_vec()).collect::<Vec<_>>(), plain);
        }
    }

    #[test]
    fn values_that_are_laid_out_over_lines_are_records() {
        let one = "{\n  \"a\": \"}\\\"{\",\n  \"b\": [\n    1\n  ]\n}";
        let two = "{\n\t\"c\": {}\n}";
        for file in [
            format!("{one}\n{two}\n"),
            format!("[\n{one},\n{two}\n]\n"),
            format!("\u{feff}[{one}, {two}]"),
        ] {
            assert_eq!(lines(file.as_str()), want(&[(0, one), (1, two)]), "{file}");
        }
        // What is broken further on is a line, and what follows is read again.
        let file = format!("{one}\n{{ broken\n{two}\n");
        assert_eq!(lines(file.as_str()), want(&[(0, one), (1, "{ broken"), (2, two)]));
        let event = "<Event xmlns='x'>\n <System/>\n</Event>";
        for file in [
            format!("{event}\n{event}"),
            format!("<?xml version=\"1.0\"?>\n<Events>\n{event}\r\n{event}\n</Events>\n"),
        ] {
            assert_eq!(lines(file.as_str()), want(&[(0, event), (1, event)]), "{file}");
        }
        let cut = format!("{event}\n<Event>\n<System>");
        assert_eq!(lines(cut.as_str()), want(&[(0, event), (1, "<Event>\n<System>")]));
    }

    #[test]
    fn files_of_lines_stay_so() {
        for file in [
            "{\n{\"time\n{\"time\":\"20\n",
            "[]\n{}\n",
            "[1,\n2]\n",
            "{\"a\": 1}\n{\n",
            "{\"a\": 1,\n{\"b\": 2}\n",
            "<Event>a</Event>\n<Event>\nb</Event>\n",
            "<86>Mar  2 10:00:00 h x: <Event>\n</Event>\n",
        ] {
            let plain: Vec<(i64, String)> = (0..).zip(file.lines().map(str::to_owned)).collect();
            assert_eq!(lines(file), plain, "{file}");
        }
    }

    #[test]
    fn a_stem_has_no_endings() {
        for (path, want) in [
            ("x/capture.ndjson.zst", "capture"),
            ("a.log", "a"),
            ("a", "a"),
            (".log", ".log"),
            ("a.b.gz", "a"),
        ] {
            assert_eq!(stem(Path::new(path)), want);
        }
    }

    proptest! {
        /// Whatever the sizes of reads and bounds, lines are what splitting the whole gives.
        #[test]
        fn lines_are_those_of_a_plain_split(bytes in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'a'), any::<u8>()], 0..300), max in 1usize..40) {
            prop_assume!(frame_head(&bytes).is_none() && !bytes.starts_with(&[0x1f, 0x8b]) && !bytes.starts_with(&[0x28, 0xb5]));
            let all = read(bytes.clone(), Options { record_bytes_max: max, ..Options::new(Millis(0)) });
            let plain: Vec<_> = bytes
                .split(|b| *b == b'\n')
                .enumerate()
                .map(|(n, mut line)| {
                    while let [rest @ .., b'\r'] = line { line = rest; }
                    (n as i64, line)
                })
                // Of what was cut it is not known that it is blank.
                .filter(|(_, line)| !line.trim_ascii().is_empty() || line.len() > max)
                .collect();
            prop_assert_eq!(all.len(), plain.len());
            for (record, (n, line)) in all.iter().zip(plain) {
                prop_assert_eq!(record.coordinate.offset, n);
                prop_assert_eq!(&record.payload[..], &line[..line.len().min(max)]);
                prop_assert_eq!(record.truncated.as_ref().map(|t| t.bytes), (line.len() > max).then_some(line.len() as u64));
            }
        }

        #[test]
        fn frames_never_lose_a_byte_that_matters(frames in prop::collection::vec("<[0-9]{1,3}>[a-z \\n]{0,20}[a-z]", 1..8)) {
            let text: String = frames.iter().map(|f| format!("{} {f}", f.len())).collect();
            let got: Vec<_> = lines(text).into_iter().map(|(_, t)| t).collect();
            prop_assert_eq!(got, frames);
        }
    }
}
