//! What parts streams into records: the same however the bytes come.

use std::io::{self, Read};

use ingest::replay::{Options, Reading, records};
use ingest::source::framing::{Decoder, Frame, FramingError, lines};
use model::RawRecord;

use crate::Target;
use crate::bytes::{choices, pieces};
use crate::format::RECEIVED_AT;

/// Bytes of a stream.
const STREAM_BYTES: usize = 4096;
/// Records of a packed file that are looked at: a packed file is as long as it likes.
const RECORDS_MAX: usize = 4096;

/// Syslog's framings, lines, and the files of `docket normalize`.
pub fn targets() -> Vec<Target> {
    vec![
        Target::new("framing-syslog", STREAM_BYTES, syslog),
        Target::new("framing-lines", STREAM_BYTES, body_lines),
        Target::new("framing-files", STREAM_BYTES, |data| files(data, Reading::Lines)),
        Target::new("framing-kcat", STREAM_BYTES, |data| files(data, Reading::Kcat)),
    ]
}

fn syslog(data: &[u8]) {
    let ([size, seed], stream) = choices::<2>(data);
    let bytes_max = [8, 64, 1024][usize::from(size) % 3];
    let (whole, broken) = decode(&[stream], bytes_max);
    let (parted, parted_broken) = decode(&pieces(stream, seed), bytes_max);
    assert_eq!(
        broken.is_some(),
        parted_broken.is_some(),
        "chunks decide whether the framing is lost"
    );
    // Where it is lost, what is left over depends on how much had come.
    let same = match broken {
        None | Some(FramingError::Cut { .. }) => whole.len().max(parted.len()),
        Some(_) => whole.len().min(parted.len()).saturating_sub(1),
    };
    assert_eq!(
        whole[..same.min(whole.len())],
        parted[..same.min(parted.len())],
        "chunks decide the frames"
    );
    let mut given = 0;
    for frame in &whole {
        assert!(
            frame.payload.len() <= bytes_max,
            "more of a record is kept than allowed"
        );
        let bytes = frame.truncated.as_ref().map_or(frame.payload.len() as u64, |t| t.bytes);
        assert!(bytes > 0, "an empty record");
        assert_eq!(
            frame.truncated.is_some(),
            bytes > bytes_max as u64,
            "a cut record says so"
        );
        given += bytes;
    }
    assert!(given <= stream.len() as u64, "more comes out than went in");
    // Only counts, trailers and lines of white space alone are left out.
    let counted = stream
        .iter()
        .filter(|b| b.is_ascii_digit() || b.is_ascii_whitespace() || **b == 0)
        .count();
    assert!(given + counted as u64 >= stream.len() as u64, "bytes are lost");
}

fn decode(chunks: &[&[u8]], bytes_max: usize) -> (Vec<Frame>, Option<FramingError>) {
    let mut decoder = Decoder::new(bytes_max);
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

fn body_lines(data: &[u8]) {
    let body = bytes::Bytes::copy_from_slice(data);
    let given = lines(&body);
    let plain: Vec<&[u8]> = data
        .split_inclusive(|b| *b == b'\n')
        .map(|line| match line.strip_suffix(b"\n") {
            Some(ended) => ended.strip_suffix(b"\r").unwrap_or(ended),
            None => line,
        })
        .filter(|line| !line.trim_ascii().is_empty())
        .collect();
    assert_eq!(given, plain);
}

fn files(data: &[u8], reading: Reading) {
    let ([size, seed], stream) = choices::<2>(data);
    let bytes_max = [16, 256, 2048][usize::from(size) % 3];
    let whole = read(&[stream], reading, bytes_max);
    let parted = read(&pieces(stream, seed), reading, bytes_max);
    let packed = stream.starts_with(b"\x1f\x8b") || stream.starts_with(b"\x28\xb5\x2f\xfd");
    let is_broken = |all: &[Result<RawRecord, String>]| all.last().is_some_and(Result::is_err);
    assert_eq!(is_broken(&whole), is_broken(&parted));
    let records = |all: &[Result<RawRecord, String>]| all.iter().flatten().cloned().collect::<Vec<_>>();
    let (mut one, mut other) = (records(&whole), records(&parted));
    if packed && is_broken(&whole) {
        // How much of a broken archive comes out before the decoder says so depends on how much it was given at once.
        let same = one.len().min(other.len()).saturating_sub(1);
        one.truncate(same);
        other.truncate(same);
    }
    assert_eq!(one, other, "how the file is read decides its records");
    let given = whole.iter().flatten();
    for record in given.clone() {
        assert!(record.payload.len() <= bytes_max, "more is kept than allowed");
    }
    if !packed {
        let errors = whole.iter().filter(|r| r.is_err()).count();
        assert_eq!(errors, 0, "plain bytes can always be read");
        if reading == Reading::Kcat {
            let lines = stream
                .split(|b| *b == b'\n')
                .filter(|l| !l.trim_ascii().is_empty())
                .count();
            assert_eq!(given.count(), lines, "each line is a record");
        }
    }
}

fn read(chunks: &[&[u8]], reading: Reading, bytes_max: usize) -> Vec<Result<RawRecord, String>> {
    let options = Options {
        reading,
        record_bytes_max: bytes_max,
        ..Options::new(RECEIVED_AT)
    };
    let chunks = Chunks(chunks.iter().rev().map(|c| c.to_vec()).collect());
    match records("f", chunks, options) {
        Ok(records) => records
            .take(RECORDS_MAX)
            .map(|r| r.map_err(|e| e.to_string()))
            .collect(),
        Err(e) => vec![Err(e.to_string())],
    }
}

/// Gives its chunks one by one, the last one first.
struct Chunks(Vec<Vec<u8>>);

impl Read for Chunks {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Some(mut chunk) = self.0.pop() else {
            return Ok(0);
        };
        let n = chunk.len().min(into.len());
        into[..n].copy_from_slice(&chunk[..n]);
        if n < chunk.len() {
            self.0.push(chunk.split_off(n));
        }
        Ok(n)
    }
}
