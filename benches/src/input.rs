//! Records made beforehand, in a file, so that making them is no part of what is measured.

use std::io::{BufRead as _, BufReader, BufWriter, Read as _, Write as _};
use std::path::Path;

use anyhow::Context as _;
use bytes::Bytes;
use model::{Coordinate, Millis, RawRecord};

use crate::stages::START;
use crate::traffic::{Line, Traffic};

/// As in the server: bytes of payload that end a group of the ledger.
const APPEND_BYTES: usize = 1 << 20;

/// A line of traffic as Kafka would deliver it.
pub fn record(line: &Line, offset: i64) -> RawRecord {
    raw(line.at, line.source, offset, Bytes::from(line.text.clone()))
}

fn raw(at: Millis, source: &str, offset: i64, payload: Bytes) -> RawRecord {
    RawRecord {
        coordinate: Coordinate::new(format!("audit.{source}"), 0, offset),
        received_at: at,
        source: source.into(),
        peer: None,
        key: None,
        headers: Vec::new(),
        payload,
        truncated: None,
    }
}

/// Writes the records to a file, so that making them is no part of what is measured. Returns bytes of payload.
///
/// # Errors
/// The disk's.
pub fn write_input(path: &Path, records: usize, per_second: u64) -> anyhow::Result<u64> {
    let mut file = BufWriter::new(std::fs::File::create(path)?);
    let mut bytes = 0;
    for line in Traffic::new(1, START, per_second).take(records) {
        write!(file, "{} {} {}\n{}", line.at.0, line.source, line.text.len(), line.text)?;
        bytes += line.text.len() as u64;
    }
    file.flush()?;
    Ok(bytes)
}

/// The records of such a file, group by group.
pub struct Input {
    file: BufReader<std::fs::File>,
    /// Each source's next offset.
    offsets: Vec<(String, i64)>,
}

impl Input {
    /// Opens the file.
    ///
    /// # Errors
    /// The disk's.
    pub fn open(path: &Path) -> anyhow::Result<Input> {
        Ok(Input {
            file: BufReader::with_capacity(1 << 20, std::fs::File::open(path)?),
            offsets: Vec::new(),
        })
    }

    /// The next records, at most so many and about [`APPEND_BYTES`] of them.
    ///
    /// # Errors
    /// The disk's; the file is not one of [`write_input`].
    pub fn group(&mut self, most: usize) -> anyhow::Result<Vec<RawRecord>> {
        let (mut records, mut bytes) = (Vec::new(), 0);
        let mut head = String::new();
        while bytes < APPEND_BYTES && records.len() < most {
            head.clear();
            if self.file.read_line(&mut head)? == 0 {
                break;
            }
            let mut parts = head.trim_end().split(' ');
            let mut part = || parts.next().context("the input file is broken");
            let (at, source, length) = (part()?.parse()?, part()?, part()?.parse()?);
            let mut payload = vec![0; length];
            self.file.read_exact(&mut payload)?;
            bytes += length;
            let known = self.offsets.iter().position(|(s, _)| s == source);
            let n = known.unwrap_or_else(|| {
                self.offsets.push((source.to_owned(), 0));
                self.offsets.len() - 1
            });
            records.push(raw(Millis(at), source, self.offsets[n].1, payload.into()));
            self.offsets[n].1 += 1;
        }
        Ok(records)
    }
}
