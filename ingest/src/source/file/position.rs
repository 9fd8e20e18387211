//! How far a file was read, and how the file is known again.
//!
//! A file is its device and inode *and* its content: the first bytes and those before the position, hashed. The
//! inode alone is not enough (it is given to another file once this one is gone), nor is the path (files are renamed,
//! copied, packed).

use std::sync::Arc;

use bytes::Bytes;
use model::{Millis, RawRecord};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// First bytes that a file is known by.
pub(super) const HEAD_BYTES: usize = 1024;
/// Bytes before the position that it is known by.
pub(super) const TAIL_BYTES: usize = 256;

/// The header with the path that a record's file had when it was found.
pub const HEADER_FILE: &str = "docket-file";
/// The header with what the file is known by: `<device>-<inode>-<bytes>-<hash of so many first bytes>`.
pub const HEADER_FILE_ID: &str = "docket-file-id";
/// The header with the offset in the (unpacked) file behind the record and its line's end.
pub const HEADER_FILE_OFFSET: &str = "docket-file-offset";

/// So many bytes, and their hash.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// How many.
    pub bytes: usize,
    /// The first 32 hex digits of their SHA-256.
    pub hash: String,
}

impl Mark {
    /// The mark of bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Mark {
        let hash: String = Sha256::digest(bytes)[..16].iter().map(|b| format!("{b:02x}")).collect();
        Mark {
            bytes: bytes.len(),
            hash,
        }
    }

    /// Whether bytes begin with those of the mark.
    #[must_use]
    pub fn begins(&self, bytes: &[u8]) -> bool {
        self.bytes == 0 || bytes.get(..self.bytes).is_some_and(|b| Mark::of(b).hash == self.hash)
    }
}

/// How far a file was read: every line before `offset` is durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The path that it was found under; it may have been renamed since.
    pub path: String,
    /// The source of its records.
    pub source: Arc<str>,
    /// Its device.
    pub device: u64,
    /// Its inode.
    pub inode: u64,
    /// Bytes, unpacked where it is packed.
    pub offset: u64,
    /// Its first bytes, all before the offset.
    pub head: Mark,
    /// Its bytes before the offset; none where the position was read from the ledger.
    pub tail: Mark,
    /// When it was last seen to change.
    pub modified: Millis,
    /// It is packed, and was read to its end.
    #[serde(default)]
    pub ended: bool,
}

impl Position {
    /// The headers of a record that ends at the position.
    pub(super) fn headers(&self) -> Vec<(String, Bytes)> {
        let Mark { bytes, hash } = &self.head;
        let id = format!("{}-{}-{bytes}-{hash}", self.device, self.inode);
        vec![
            (HEADER_FILE.to_owned(), Bytes::from(self.path.clone())),
            (HEADER_FILE_ID.to_owned(), Bytes::from(id)),
            (HEADER_FILE_OFFSET.to_owned(), Bytes::from(self.offset.to_string())),
        ]
    }

    /// The position behind a record that a follower read; `None` for any other record.
    #[must_use]
    pub fn of_record(record: &RawRecord) -> Option<Position> {
        let header = |name: &str| {
            let (_, value) = record.headers.iter().find(|(n, _)| n == name)?;
            str::from_utf8(value).ok()
        };
        let mut id = header(HEADER_FILE_ID)?.split('-');
        let mut part = || id.next();
        Some(Position {
            path: header(HEADER_FILE)?.to_owned(),
            source: record.source.clone(),
            device: part()?.parse().ok()?,
            inode: part()?.parse().ok()?,
            head: Mark {
                bytes: part()?.parse().ok()?,
                hash: part()?.to_owned(),
            },
            offset: header(HEADER_FILE_OFFSET)?.parse().ok()?,
            tail: Mark::default(),
            modified: record.received_at,
            ended: false,
        })
    }
}

/// Brings positions up to what records of the ledger say, which come in ledger order.
pub fn catch_up(positions: &mut Vec<Position>, reached: Position) {
    let same = |p: &&mut Position| (p.device, p.inode) == (reached.device, reached.inode);
    match positions.iter_mut().rev().find(same) {
        Some(known) => {
            // What was read before the last change of the clock is not read again, whatever the clock says.
            let modified = known.modified.min(reached.modified);
            *known = Position { modified, ..reached };
        }
        None => positions.push(reached),
    }
}
