//! A record as leaf bytes, and back. What the tree hashes is exactly these bytes.
//!
//! Every number is big-endian. One record has one encoding: `encode(decode(b)) == b` for all `b` that decode.
//!
//! ```text
//!  0  1  version; this file writes 1
//!  1  1  flags: 1 = peer, 2 = key, 4 = truncation; the rest are zero
//!  2  8  received_at, milliseconds since the Unix epoch, signed
//! 10  4  partition, signed
//! 14  8  offset, signed
//! 22     topic       u16 length, UTF-8
//!        source      u16 length, UTF-8
//!        peer        u16 length, UTF-8                      if flag 1
//!        key         u32 length, bytes                      if flag 2
//!        headers     u16 count; each: u16 length, UTF-8 name; u32 length, bytes
//!        truncation  u64 true length; 32 bytes SHA-256      if flag 4
//!        payload     u32 length, bytes; nothing follows
//! ```

use std::sync::Arc;

use bytes::Bytes;
use model::{Coordinate, Millis, RawRecord, Truncation};

use crate::Error;

/// Bytes one leaf may have: the largest record (16 MiB by default) with room for what comes beside it.
pub const LEAF_BYTES_MAX: usize = 64 << 20;

const VERSION: u8 = 1;
const PEER: u8 = 1;
const KEY: u8 = 2;
const TRUNCATED: u8 = 4;

/// The bytes are not a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LeafError {
    /// Written by a later version, or not a leaf at all.
    #[error("leaf version {given}, this program reads 1")]
    Version {
        /// The first byte.
        given: u8,
    },
    /// Flags that this version does not know.
    #[error("leaf flags {given:#04x}, this program knows 1, 2 and 4")]
    Flags {
        /// The second byte.
        given: u8,
    },
    /// The bytes end within a field.
    #[error("the leaf ends within `{field}`")]
    Short {
        /// The field.
        field: &'static str,
    },
    /// A text is not UTF-8.
    #[error("`{field}` of the leaf is not UTF-8")]
    NotUtf8 {
        /// The field.
        field: &'static str,
    },
    /// There are bytes after the payload.
    #[error("{given} bytes follow the leaf's payload")]
    Trailing {
        /// How many.
        given: usize,
    },
}

/// Appends the leaf bytes of `record` to `out`. On an error `out` is as it was.
///
/// # Errors
/// [`Error::TooLarge`]: a part of the record, or the whole, is too large.
pub fn encode(record: &RawRecord, out: &mut Vec<u8>) -> Result<(), Error> {
    check(record)?;
    write(record, out);
    Ok(())
}

/// Whether a leaf can hold the record.
pub(crate) fn check(record: &RawRecord) -> Result<(), Error> {
    let RawRecord {
        coordinate,
        source,
        peer,
        headers,
        ..
    } = record;
    let short = usize::from(u16::MAX);
    let within = |field, given, limit| match given {
        given if given > limit => Err(Error::TooLarge {
            coordinate: coordinate.clone(),
            field,
            given,
            limit,
        }),
        _ => Ok(()),
    };
    within("topic", coordinate.topic.len(), short)?;
    within("source", source.len(), short)?;
    within("peer", peer.as_ref().map_or(0, |p| p.len()), short)?;
    within("headers", headers.len(), short)?;
    headers
        .iter()
        .try_for_each(|(name, _)| within("header name", name.len(), short))?;
    within("the leaf", length(record), LEAF_BYTES_MAX)
}

/// The number of bytes that [`write`] writes.
fn length(record: &RawRecord) -> usize {
    let RawRecord {
        coordinate,
        source,
        peer,
        key,
        headers,
        payload,
        truncated,
        ..
    } = record;
    let headers: usize = headers.iter().map(|(name, value)| 6 + name.len() + value.len()).sum();
    let peer = peer.as_ref().map_or(0, |p| 2 + p.len());
    let key = key.as_ref().map_or(0, |k| 4 + k.len());
    let truncated = truncated.as_ref().map_or(0, |_| 40);
    22 + 2 + coordinate.topic.len() + 2 + source.len() + peer + key + 2 + headers + truncated + 4 + payload.len()
}

/// Reads leaf bytes. Key, header values and payload share the memory of `leaf`.
///
/// # Errors
/// The bytes are not the encoding of a record.
pub fn decode(leaf: &Bytes) -> Result<RawRecord, LeafError> {
    let mut read = Read { all: leaf, at: 0 };
    let head = read.head()?;
    let source: Arc<str> = read.text16("source")?.into();
    let peer = if head.flags & PEER != 0 {
        Some(read.text16("peer")?.into())
    } else {
        None
    };
    let key = if head.flags & KEY != 0 {
        Some(read.bytes32("key")?)
    } else {
        None
    };
    let count = usize::from(read.u16("headers")?);
    // A header takes six bytes at least, so a lying count asks for no memory that is not there.
    let mut headers = Vec::with_capacity(count.min((leaf.len() - read.at) / 6));
    for _ in 0..count {
        let name = read.text16("header name")?.to_owned();
        headers.push((name, read.bytes32("header value")?));
    }
    let truncated = if head.flags & TRUNCATED != 0 {
        let bytes = u64::from_be_bytes(read.array("truncation")?);
        Some(Truncation {
            bytes,
            sha256: read.array("truncation")?,
        })
    } else {
        None
    };
    let payload = read.bytes32("payload")?;
    match leaf.len() - read.at {
        0 => {}
        given => return Err(LeafError::Trailing { given }),
    }
    let coordinate = Coordinate::new(head.topic, head.partition, head.offset);
    Ok(RawRecord {
        coordinate,
        received_at: head.received_at,
        source,
        peer,
        key,
        headers,
        payload,
        truncated,
    })
}

/// The part of a leaf that positions are made of.
pub(crate) struct Head<'a> {
    pub(crate) topic: &'a str,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) received_at: Millis,
    flags: u8,
}

/// Reads only the head of leaf bytes.
pub(crate) fn head(leaf: &Bytes) -> Result<Head<'_>, LeafError> {
    Read { all: leaf, at: 0 }.head()
}

/// Writes a record that passed [`check`].
pub(crate) fn write(record: &RawRecord, out: &mut Vec<u8>) {
    let RawRecord {
        coordinate,
        received_at,
        source,
        peer,
        key,
        headers,
        payload,
        truncated,
    } = record;
    out.reserve(length(record));
    let flag = |set: bool, bit: u8| if set { bit } else { 0 };
    out.push(VERSION);
    out.push(flag(peer.is_some(), PEER) | flag(key.is_some(), KEY) | flag(truncated.is_some(), TRUNCATED));
    out.extend_from_slice(&received_at.0.to_be_bytes());
    out.extend_from_slice(&coordinate.partition.to_be_bytes());
    out.extend_from_slice(&coordinate.offset.to_be_bytes());
    put16(out, coordinate.topic.as_bytes());
    put16(out, source.as_bytes());
    if let Some(peer) = peer {
        put16(out, peer.as_bytes());
    }
    if let Some(key) = key {
        put32(out, key);
    }
    out.extend_from_slice(&short(headers.len()).to_be_bytes());
    for (name, value) in headers {
        put16(out, name.as_bytes());
        put32(out, value);
    }
    if let Some(Truncation { bytes, sha256 }) = truncated {
        out.extend_from_slice(&bytes.to_be_bytes());
        out.extend_from_slice(sha256);
    }
    put32(out, payload);
}

fn short(len: usize) -> u16 {
    u16::try_from(len).expect("`check` saw that it is short enough")
}

fn put16(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&short(bytes.len()).to_be_bytes());
    out.extend_from_slice(bytes);
}

fn put32(out: &mut Vec<u8>, bytes: &[u8]) {
    let len = u32::try_from(bytes.len()).expect("`check` saw that it is short enough");
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(bytes);
}

struct Read<'a> {
    all: &'a Bytes,
    at: usize,
}

impl<'a> Read<'a> {
    fn head(&mut self) -> Result<Head<'a>, LeafError> {
        match self.array("version")? {
            [VERSION] => {}
            [given] => return Err(LeafError::Version { given }),
        }
        let [flags] = self.array("flags")?;
        if flags & !(PEER | KEY | TRUNCATED) != 0 {
            return Err(LeafError::Flags { given: flags });
        }
        let received_at = Millis(i64::from_be_bytes(self.array("received_at")?));
        let partition = i32::from_be_bytes(self.array("partition")?);
        let offset = i64::from_be_bytes(self.array("offset")?);
        let topic = self.text16("topic")?;
        Ok(Head {
            topic,
            partition,
            offset,
            received_at,
            flags,
        })
    }

    fn slice(&mut self, field: &'static str, len: usize) -> Result<&'a [u8], LeafError> {
        let end = self.at.checked_add(len).ok_or(LeafError::Short { field })?;
        let slice = self.all.get(self.at..end).ok_or(LeafError::Short { field })?;
        self.at = end;
        Ok(slice)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], LeafError> {
        self.slice(field, N)
            .map(|s| s.try_into().expect("slice gives as many as were asked for"))
    }

    fn u16(&mut self, field: &'static str) -> Result<u16, LeafError> {
        self.array(field).map(u16::from_be_bytes)
    }

    fn text16(&mut self, field: &'static str) -> Result<&'a str, LeafError> {
        let len = self.u16(field)?.into();
        std::str::from_utf8(self.slice(field, len)?).map_err(|_| LeafError::NotUtf8 { field })
    }

    fn bytes32(&mut self, field: &'static str) -> Result<Bytes, LeafError> {
        let len = u32::from_be_bytes(self.array(field)?) as usize;
        self.slice(field, len).map(|s| self.all.slice_ref(s))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    prop_compose! {
        fn any_record()(
            topic in "[a-z.]{1,12}", partition: i32, offset: i64, received_at: i64, source in ".{0,8}",
            peer in proptest::option::of(".{0,8}"), key in proptest::option::of(any::<Vec<u8>>()),
            headers in proptest::collection::vec((".{0,5}", any::<Vec<u8>>()), 0..4), payload: Vec<u8>,
            truncated in proptest::option::of((any::<u64>(), any::<[u8; 32]>())),
        ) -> RawRecord {
            RawRecord {
                coordinate: Coordinate::new(topic, partition, offset),
                received_at: Millis(received_at),
                source: source.into(),
                peer: peer.map(Into::into),
                key: key.map(Into::into),
                headers: headers.into_iter().map(|(n, v)| (n, v.into())).collect(),
                payload: payload.into(),
                truncated: truncated.map(|(bytes, sha256)| Truncation { bytes, sha256 }),
            }
        }
    }

    fn encoded(record: &RawRecord) -> Bytes {
        let mut out = Vec::new();
        encode(record, &mut out).unwrap();
        out.into()
    }

    proptest! {
        #[test]
        fn a_record_reads_back(record in any_record()) {
            let leaf = encoded(&record);
            prop_assert_eq!(leaf.len(), length(&record));
            prop_assert_eq!(head(&leaf).unwrap().offset, record.coordinate.offset);
            prop_assert_eq!(decode(&leaf), Ok(record));
        }

        #[test]
        fn what_decodes_has_one_encoding(record in any_record(), at: prop::sample::Index, value: u8) {
            let mut leaf = encoded(&record).to_vec();
            let at = at.index(leaf.len());
            leaf[at] = value;
            let leaf = Bytes::from(leaf);
            if let Ok(other) = decode(&leaf) {
                prop_assert_eq!(encoded(&other), leaf);
            }
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, flags in 0u8..8) {
            let mut leaf = vec![1, flags];
            leaf.extend(bytes);
            let _ = decode(&leaf.into());
        }

        #[test]
        fn a_part_of_a_leaf_is_none(record in any_record(), cut: prop::sample::Index) {
            let leaf = encoded(&record);
            prop_assert!(decode(&leaf.slice(..cut.index(leaf.len()))).is_err());
        }
    }

    #[test]
    fn wrong_leaves_say_what_is_wrong() {
        let cases: &[(&[u8], LeafError)] = &[
            (b"", LeafError::Short { field: "version" }),
            (b"\x02", LeafError::Version { given: 2 }),
            (b"\x01\x08", LeafError::Flags { given: 8 }),
            (b"\x01\x00", LeafError::Short { field: "received_at" }),
        ];
        for (bytes, error) in cases {
            assert_eq!(decode(&Bytes::from_static(bytes)), Err(*error));
        }
        let mut leaf = vec![1, 0];
        leaf.extend([0; 20]);
        leaf.extend(b"\x00\x01\xff");
        assert_eq!(decode(&leaf.into()), Err(LeafError::NotUtf8 { field: "topic" }));
    }

    #[test]
    fn a_text_that_is_too_long_is_refused_and_leaves_no_trace() {
        let mut out = b"before".to_vec();
        let topic = "t".repeat(70_000);
        let record = RawRecord {
            coordinate: Coordinate::new(topic, 0, 0),
            received_at: Millis(0),
            source: "s".into(),
            peer: None,
            key: None,
            headers: vec![],
            payload: Bytes::new(),
            truncated: None,
        };
        assert!(matches!(
            encode(&record, &mut out),
            Err(Error::TooLarge {
                field: "topic",
                given: 70_000,
                limit: 65_535,
                ..
            })
        ));
        assert_eq!(out, b"before");
    }
}
