//! Records out of a stream of bytes: syslog over TCP, and the bodies of HTTP requests.
//!
//! A message on a syslog connection is framed in one of two ways, told by how it begins (RFC 6587, section 3.4):
//!
//! - *octet counting*: `LEN SP MSG`. The first digits, one space and then `<` or `{` say so; once a connection has
//!   counted, any message may begin after the space.
//! - *a trailer*: LF, CRLF, or NUL, which is all that JumpServer's handler sends. A NUL no longer ends a message once
//!   an LF has ended one on this connection: there it is content.
//!
//! A count is never corrected by looking into the message, for its author could then forge a second one. Where the
//! next message does not begin as one, the framing is lost: the decoder says so, hands over all it still holds as it
//! stands, and takes no more; the connection must be closed.

use bytes::Bytes;
use model::Truncation;
use sha2::{Digest, Sha256};

/// A count has at most this many digits.
const COUNT_DIGITS_MAX: usize = 9;
/// A count may announce this many times the bytes that are kept of a record; more is taken for a wrong count.
const COUNT_OVER_MAX: u64 = 16;

/// One record of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The bytes, without count and trailer.
    pub payload: Bytes,
    /// Set where the record was longer than is kept.
    pub truncated: Option<Truncation>,
}

/// The framing of a connection is lost; nothing more can be read from it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// The shipper counted wrong, or something was lost on the way.
    #[error("after a counted message comes `{found}`, neither a count nor `<`: a count was wrong")]
    NotAMessage {
        /// The first bytes of what came, made printable.
        found: String,
    },
    /// The shipper announced more than any record may hold.
    #[error("a message of {given} bytes is announced, at most {limit} are read")]
    CountTooLarge {
        /// The count.
        given: u64,
        /// The bound.
        limit: u64,
    },
    /// The connection ended inside a counted message; what came is kept.
    #[error("the connection ended after {received} of {announced} bytes: it was cut, or the count was wrong")]
    Cut {
        /// The count.
        announced: u64,
        /// What came of it.
        received: u64,
    },
}

/// Parts the bytes of one connection into records. Holds at most one record's kept bytes.
#[derive(Debug)]
pub struct Decoder {
    record_bytes_max: usize,
    state: State,
    /// What may yet be a count: digits, then one space.
    head: Vec<u8>,
    record: Growing,
    /// Whether a message of this connection was counted.
    counted: bool,
    /// Whether an LF has ended a message of this connection.
    line_seen: bool,
    /// Frames that were found before the framing was lost, until `finish`.
    held: Vec<Frame>,
    broken: Option<FramingError>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Before a message, or in what may be its count.
    Start,
    /// In a counted message; so many bytes are to come.
    Counted { left: u64, announced: u64 },
    /// In a message that a trailer ends.
    Line,
}

impl Decoder {
    /// A decoder that keeps at most `record_bytes_max` bytes of a record.
    #[must_use]
    pub fn new(record_bytes_max: usize) -> Decoder {
        Decoder {
            record_bytes_max,
            state: State::Start,
            head: Vec::new(),
            record: Growing::default(),
            counted: false,
            line_seen: false,
            held: Vec::new(),
            broken: None,
        }
    }

    /// Takes the next bytes of the connection and returns the records that they complete.
    ///
    /// # Errors
    /// The shipper's: the framing is lost. [`Decoder::finish`] then returns what these bytes completed and what is
    /// left; the connection must be closed.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Frame>, FramingError> {
        if let Some(error) = &self.broken {
            return Err(error.clone());
        }
        let mut frames = Vec::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = match self.state {
                State::Start => match self.start(rest) {
                    Ok(rest) => rest,
                    Err((error, rest)) => {
                        self.give_up(rest);
                        self.held = frames;
                        self.broken = Some(error.clone());
                        return Err(error);
                    }
                },
                State::Counted { left, announced } => self.counted(rest, left, announced, &mut frames),
                State::Line => self.line(rest, &mut frames),
            };
        }
        Ok(frames)
    }

    /// The connection ended: returns what was held, and the last record, with or without its trailer.
    #[must_use]
    pub fn finish(&mut self) -> Vec<Frame> {
        let mut frames = std::mem::take(&mut self.held);
        if let State::Counted { left, announced } = self.state {
            self.broken = Some(FramingError::Cut {
                announced,
                received: announced - left,
            });
        }
        let head = std::mem::take(&mut self.head);
        self.record.push(&head, self.record_bytes_max);
        self.end_of_record(&mut frames, false);
        frames
    }

    /// Why the framing is lost, if it is; [`Decoder::finish`] too may find that it was.
    #[must_use]
    pub fn broken(&self) -> Option<&FramingError> {
        self.broken.as_ref()
    }

    /// Reads a count byte by byte, or finds that there is none.
    fn start<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], (FramingError, &'a [u8])> {
        let first = bytes[0];
        let after_space = self.head.last() == Some(&b' ');
        if after_space && (self.counted || matches!(first, b'<' | b'{')) {
            return self.begin_counted(bytes);
        }
        if !after_space {
            let may_count = match self.head.len() {
                0 => matches!(first, b'1'..=b'9'),
                1..COUNT_DIGITS_MAX => first.is_ascii_digit() || first == b' ',
                _ => first == b' ',
            };
            if may_count {
                self.head.push(first);
                return Ok(&bytes[1..]);
            }
        }
        if self.head.is_empty() {
            // Trailers beside counts, and the NUL after an LF-less message, belong to no record.
            let between = match first {
                b'\n' => true,
                b'\0' => self.counted || !self.line_seen,
                b'\r' => self.counted,
                _ => false,
            };
            if between {
                return Ok(&bytes[1..]);
            }
        }
        if self.counted && (first != b'<' || !self.head.is_empty()) {
            let found = [&self.head, bytes].concat();
            let found = found[..found.len().min(20)].escape_ascii().to_string();
            return Err((FramingError::NotAMessage { found }, bytes));
        }
        let head = std::mem::take(&mut self.head);
        self.record.push(&head, self.record_bytes_max);
        self.state = State::Line;
        Ok(bytes)
    }

    fn begin_counted<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], (FramingError, &'a [u8])> {
        let digits = self.head.iter().take_while(|b| b.is_ascii_digit());
        let given = digits.fold(0_u64, |n, d| n * 10 + u64::from(d - b'0'));
        let limit = (self.record_bytes_max as u64).saturating_mul(COUNT_OVER_MAX);
        if given > limit {
            return Err((FramingError::CountTooLarge { given, limit }, bytes));
        }
        self.head.clear();
        self.counted = true;
        self.state = State::Counted {
            left: given,
            announced: given,
        };
        Ok(bytes)
    }

    fn counted<'a>(&mut self, bytes: &'a [u8], left: u64, announced: u64, frames: &mut Vec<Frame>) -> &'a [u8] {
        let n = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        self.record.push(&bytes[..n], self.record_bytes_max);
        match left - n as u64 {
            0 => self.end_of_record(frames, false),
            left => self.state = State::Counted { left, announced },
        }
        &bytes[n..]
    }

    fn line<'a>(&mut self, bytes: &'a [u8], frames: &mut Vec<Frame>) -> &'a [u8] {
        let end = match self.line_seen {
            true => memchr::memchr(b'\n', bytes),
            false => memchr::memchr2(b'\n', b'\0', bytes),
        };
        let n = end.unwrap_or(bytes.len());
        self.record.push_line(&bytes[..n], self.record_bytes_max);
        let Some(end) = end else {
            return &[];
        };
        let newline = bytes[end] == b'\n';
        self.line_seen |= newline;
        self.end_of_record(frames, newline);
        &bytes[end + 1..]
    }

    /// `newline`: a CR before the end belongs to the trailer.
    fn end_of_record(&mut self, frames: &mut Vec<Frame>, newline: bool) {
        self.state = State::Start;
        let record = std::mem::take(&mut self.record);
        frames.extend(record.finish(newline, self.record_bytes_max));
    }

    /// Keeps what cannot be parted, for `finish`.
    fn give_up(&mut self, rest: &[u8]) {
        let head = std::mem::take(&mut self.head);
        self.record.push(&head, self.record_bytes_max);
        self.record.push(rest, self.record_bytes_max);
    }
}

/// A record as it grows: its first bytes, and once there are more than are kept, the hash of all.
#[derive(Debug, Default)]
struct Growing {
    kept: Vec<u8>,
    bytes: u64,
    hash: Option<Sha256>,
    /// A CR that came last and may belong to the trailer.
    carriage_return: bool,
}

impl Growing {
    fn push(&mut self, bytes: &[u8], max: usize) {
        self.bytes += bytes.len() as u64;
        let room = max - self.kept.len();
        if bytes.len() > room && self.hash.is_none() {
            self.hash = Some(Sha256::new_with_prefix(&self.kept));
        }
        if let Some(hash) = &mut self.hash {
            hash.update(bytes);
        }
        self.kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// Like `push`, but holds back a CR at the end.
    fn push_line(&mut self, bytes: &[u8], max: usize) {
        if bytes.is_empty() {
            return;
        }
        if std::mem::take(&mut self.carriage_return) {
            self.push(b"\r", max);
        }
        let content = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        self.carriage_return = content.len() < bytes.len();
        self.push(content, max);
    }

    /// `None` of an empty record, and of a line of white space alone.
    fn finish(mut self, line: bool, max: usize) -> Option<Frame> {
        if line && self.hash.is_none() && self.kept.trim_ascii().is_empty() {
            return None;
        }
        if self.carriage_return && !line {
            self.push(b"\r", max);
        }
        let truncated = self.hash.map(|h| Truncation {
            bytes: self.bytes,
            sha256: h.finalize().into(),
        });
        (self.bytes > 0).then(|| Frame {
            payload: Bytes::from(self.kept),
            truncated,
        })
    }
}

/// The records of a body that holds one a line: parted at LF or CRLF, the last one with or without it, lines
/// of white space alone left out. Shares the body's memory.
#[must_use]
pub fn lines(body: &Bytes) -> Vec<Bytes> {
    let mut records = Vec::new();
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', body).chain([body.len()]) {
        let line = &body[start..end];
        let crlf = end < body.len() && line.ends_with(b"\r");
        let line_end = if crlf { end - 1 } else { end };
        if !body[start..line_end].trim_ascii().is_empty() {
            records.push(body.slice(start..line_end));
        }
        start = end + 1;
    }
    records
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAX: usize = 64;

    /// All frames of a stream given in chunks, and why it broke.
    fn decode(chunks: &[&[u8]]) -> (Vec<Frame>, Option<FramingError>) {
        let mut decoder = Decoder::new(MAX);
        let mut frames = Vec::new();
        for chunk in chunks {
            match decoder.push(chunk) {
                Ok(more) => frames.extend(more),
                Err(_) => break,
            }
        }
        frames.extend(decoder.finish());
        (frames, decoder.broken().cloned())
    }

    fn texts(frames: &[Frame]) -> Vec<String> {
        frames
            .iter()
            .map(|f| String::from_utf8_lossy(&f.payload).into_owned())
            .collect()
    }

    /// Whole and byte by byte.
    fn check(stream: &[u8], wanted: &[&str]) -> Option<FramingError> {
        let whole = decode(&[stream]);
        assert_eq!(texts(&whole.0), wanted, "{}", stream.escape_ascii());
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        // What comes after the framing was lost is not taken: the connection is closed.
        if !matches!(
            whole.1,
            Some(FramingError::NotAMessage { .. } | FramingError::CountTooLarge { .. })
        ) {
            assert_eq!(
                texts(&decode(&bytes).0),
                wanted,
                "byte by byte: {}",
                stream.escape_ascii()
            );
        }
        whole.1
    }

    #[test]
    fn a_trailer_ends_a_message() {
        let cases: &[(&[u8], &[&str])] = &[
            (b"", &[]),
            (b"\n\r\n\n", &[]),
            (b"<1>a\n<1>b\r\n<1>c", &["<1>a", "<1>b", "<1>c"]),
            (b"<14>j: {}\0<14>j: []\0", &["<14>j: {}", "<14>j: []"]),
            (b"<1>a\n<1>b\0c\n\0d\n", &["<1>a", "<1>b\0c", "\0d"]),
            (b"a\rb\r\rc\r\r\nd\r", &["a\rb\r\rc\r", "d\r"]),
            (
                b"2026-11-22T02:41:34 h x\n10.0.0.1 - - x\n12 monkeys\n7",
                &["2026-11-22T02:41:34 h x", "10.0.0.1 - - x", "12 monkeys", "7"],
            ),
            (b"1234567890 <x\n0 <x\n", &["1234567890 <x", "0 <x"]),
        ];
        for (stream, wanted) in cases {
            assert_eq!(check(stream, wanted), None);
        }
    }

    #[test]
    fn a_count_ends_a_message() {
        assert_eq!(check(b"4 <1>a6 <1>b\nc5 <1>\0d", &["<1>a", "<1>b\nc", "<1>\0d"]), None);
        assert_eq!(check(b"4 <1>a\n4 <1>b\r\n\0" as &[u8], &["<1>a", "<1>b"]), None);
        assert_eq!(
            check(b"7 {\"a\":1}1 x<1>line\n2 yz", &["{\"a\":1}", "x", "<1>line", "yz"]),
            None
        );
    }

    #[test]
    fn a_wrong_count_breaks_the_connection_and_loses_no_byte() {
        let short = check(b"4 <1>a3 <1>b5 <1>cd", &["<1>a", "<1>", "b5 <1>cd"]);
        assert_eq!(
            short,
            Some(FramingError::NotAMessage {
                found: "b5 <1>cd".into()
            })
        );
        let cut = check(b"4 <1>a999 <1>b", &["<1>a", "<1>b"]);
        assert_eq!(
            cut,
            Some(FramingError::Cut {
                announced: 999,
                received: 4
            })
        );
        let long = check(b"4 <1>a12 <1>b4 <1>c", &["<1>a", "<1>b4 <1>c"]);
        assert_eq!(
            long,
            Some(FramingError::Cut {
                announced: 12,
                received: 10
            })
        );
        let huge = decode(&[b"4 <1>a1025 <1>b"]);
        assert_eq!(
            huge.1,
            Some(FramingError::CountTooLarge {
                given: 1025,
                limit: 1024
            })
        );
        assert_eq!(texts(&huge.0), ["<1>a", "1025 <1>b"]);
    }

    #[test]
    fn a_long_record_keeps_its_first_part_length_and_hash() {
        let long = vec![b'x'; 3 * MAX];
        let truncated = Some(Truncation {
            bytes: long.len() as u64,
            sha256: Sha256::digest(&long).into(),
        });
        let counted = [&b"4 <1>a192 "[..], &long, b"4 <1>b"].concat();
        let line = [&b"<1>a\n"[..], &long, b"\r\n<1>b\n"].concat();
        for stream in [counted, line] {
            for size in [1, 7, stream.len()] {
                let (frames, broken) = decode(&stream.chunks(size).collect::<Vec<_>>());
                assert_eq!(broken, None);
                assert_eq!(
                    frames[1],
                    Frame {
                        payload: Bytes::from(vec![b'x'; MAX]),
                        truncated: truncated.clone()
                    }
                );
                assert_eq!((&*frames[0].payload, &*frames[2].payload), (&b"<1>a"[..], &b"<1>b"[..]));
            }
        }
        let exact = [&vec![b'x'; MAX][..], b"\r\n"].concat();
        assert_eq!(decode(&[&exact]).0[0].truncated, None);
    }

    #[test]
    fn the_hostile_stream_is_three_messages() {
        let Ok(stream) = std::fs::read("../../shared/data/hostile/octet_counted_syslog.bin") else {
            println!("skipped: ../shared is not here");
            return;
        };
        let (frames, broken) = decode(&[&stream]);
        assert_eq!(frames.len(), 3);
        assert!(frames[1].payload.ends_with(b"two\nlines"));
        assert!(matches!(broken, Some(FramingError::Cut { announced: 999, .. })));
    }

    #[test]
    fn a_body_is_parted_at_lines() {
        for (body, wanted) in [
            ("", &[][..]),
            ("\n\r\n", &[]),
            ("a\nb\r\n\nc", &["a", "b", "c"]),
            ("a\rb\r\r\n c \r", &["a\rb\r", " c \r"]),
        ] {
            let records = lines(&Bytes::from_static(body.as_bytes()));
            let records: Vec<String> = records
                .iter()
                .map(|r| String::from_utf8_lossy(r).into_owned())
                .collect();
            assert_eq!(records, wanted, "{body:?}");
        }
    }

    /// Bytes that mean something to the decoder, often.
    fn any_stream() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![
            4 => prop::sample::select(&b"0123456789 <>\n\r\0{ax"[..]),
            1 => any::<u8>(),
        ];
        let message = prop_oneof![
            prop::collection::vec(byte, 0..40),
            prop::collection::vec(any::<u8>(), 0..100)
                .prop_map(|m| [format!("{} <", m.len() + 1).as_bytes(), &m].concat()),
        ];
        prop::collection::vec(message, 0..8).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_frames(stream in any_stream(), cuts in prop::collection::vec(1_usize..50, 1..20)) {
            let mut chunks = Vec::new();
            let mut rest = &stream[..];
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (chunk, after) = rest.split_at((*cut).min(rest.len()));
                chunks.push(chunk);
                rest = after;
            }
            let (whole, broken) = decode(&[&stream]);
            let (parted, parted_broken) = decode(&chunks);
            if broken.is_none() {
                prop_assert_eq!(&whole, &parted);
            }
            prop_assert_eq!(broken.is_some(), parted_broken.is_some());
        }

        #[test]
        fn counted_messages_read_back(messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..MAX - 1), 0..10)) {
            let messages: Vec<Vec<u8>> = messages.into_iter().map(|m| [b"<", &m[..]].concat()).collect();
            let stream: Vec<u8> = messages.iter().flat_map(|m| [format!("{} ", m.len()).as_bytes(), m].concat()).collect();
            let (frames, broken) = decode(&[&stream]);
            prop_assert_eq!(broken, None);
            let payloads: Vec<Vec<u8>> = frames.iter().map(|f| f.payload.to_vec()).collect();
            prop_assert_eq!(payloads, messages);
        }
    }
}
