//! Sealed frames: up to 256 leaves, compressed, that will never change; and the segment files that hold them.
//!
//! A file `segments/<index of its first leaf, 20 digits>` holds 65,536 leaves. Numbers are big-endian:
//!
//! ```text
//!  0  4  magic "DKSG"
//!  4  4  format version; this file writes 1
//!  8  8  index of the first leaf, a multiple of 65,536
//! 16  4  length P of the positions
//! 20  P  positions of all leaves before this segment (positions.rs)
//!     4  CRC-32C of everything before it
//!        frames, each:
//!  0  4  magic "DKFR"
//!  4  4  format version; this file writes 1
//!  8  8  index of the first leaf
//! 16  4  number of leaves, 1 to 256
//! 20  4  length P of the positions
//! 24  4  length C of the compressed block
//! 28 32  root of the group of 256 leaves that this frame completes; zeros where it completes none
//! 60     u32 length of each leaf
//!     P  positions of the frame's leaves (positions.rs)
//!     4  CRC-32C of everything before it in the frame
//!     C  the leaves, one after the other, as one zstd block
//!     4  CRC-32C of the compressed block
//! ```
//!
//! A group of 256 leaves is one frame or several, none of which crosses a multiple of 256: a frame takes no further leaf
//! once it has so many bytes ([`FRAME_BYTES`]), so that reading one leaf of many costs little.

use std::fs::File;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::Error;
use crate::leaf::{self, LEAF_BYTES_MAX};
use crate::merkle::Hash;
use crate::positions::Positions;
use crate::tail::read_up_to;
use crate::tile::TILE_HASHES;

/// Leaves in a group: what one hash of level 1 stands for.
pub const GROUP: u64 = TILE_HASHES;
/// Leaves in a segment: what one full tile of level 1 stands for.
pub const SEGMENT: u64 = GROUP * TILE_HASHES;
/// Uncompressed bytes after which a frame takes no further leaf: reading one leaf needs little more, and smaller frames
/// compress worse.
pub(crate) const FRAME_BYTES: usize = 40 << 10;
/// As many bytes a frame may have had when it took its last leaf, whoever wrote it.
const FRAME_BYTES_MAX: usize = 8 << 20;

const SEGMENT_MAGIC: [u8; 8] = *b"DKSG\0\0\0\x01";
const FRAME_MAGIC: [u8; 8] = *b"DKFR\0\0\0\x01";
const FIXED: usize = 60;
/// The zstd level that frames are compressed with.
pub(crate) const LEVEL: i32 = 3;
/// Bytes that positions may take: far more than the partitions of any cluster.
const POSITIONS_BYTES_MAX: usize = 64 << 20;

/// The file of the segment that begins at leaf `first`.
pub(crate) fn path(dir: &Path, first: u64) -> PathBuf {
    dir.join("segments").join(format!("{first:020}"))
}

/// A frame's header, and where it lies.
#[derive(Debug, Clone)]
pub(crate) struct Header {
    /// Where the frame begins in its file.
    pub(crate) at: u64,
    pub(crate) first: u64,
    pub(crate) positions: Positions,
    /// The root of the group of 256 that the frame completes.
    pub(crate) group_root: Option<Hash>,
    lengths: Vec<u32>,
    block_at: u64,
    block_bytes: usize,
}

/// What is found where a header may begin.
pub(crate) enum Found<T> {
    /// It.
    Whole(T),
    /// The file ends.
    End,
    /// Bytes that are not it: a part of one that was being written, or altered ones. The tail tells which.
    Not(&'static str),
}

/// The bytes that a segment file begins with.
pub(crate) fn segment_header(first: u64, before: &Positions) -> Vec<u8> {
    let positions = before.encode();
    let mut out = SEGMENT_MAGIC.to_vec();
    out.extend_from_slice(&first.to_be_bytes());
    out.extend_from_slice(
        &u32::try_from(positions.len())
            .expect("positions are bounded")
            .to_be_bytes(),
    );
    out.extend_from_slice(&positions);
    out.extend_from_slice(&crc32c::crc32c(&out).to_be_bytes());
    out
}

/// Reads what [`segment_header`] wrote: the positions before the segment, and where its first frame begins.
pub(crate) fn read_segment_header(path: &Path, file: &File, first: u64) -> Result<Found<(Positions, u64)>, Error> {
    let fixed = read_up_to(file, 0, 20).map_err(Error::io(path))?;
    if fixed.is_empty() {
        return Ok(Found::End);
    }
    let wrong = Found::Not("the segment's header does not hold");
    if fixed.len() < 20 || fixed[..8] != SEGMENT_MAGIC || u64_at(&fixed, 8) != first {
        return Ok(wrong);
    }
    let len = u32_at(&fixed, 16) as usize;
    if len > POSITIONS_BYTES_MAX {
        return Ok(wrong);
    }
    let whole = read_up_to(file, 0, 24 + len).map_err(Error::io(path))?;
    if whole.len() < 24 + len || u32_at(&whole, 20 + len) != crc32c::crc32c(&whole[..20 + len]) {
        return Ok(wrong);
    }
    Ok(Positions::decode(&whole[20..20 + len]).map_or(wrong, |p| Found::Whole((p, 24 + len as u64))))
}

/// Appends a frame of these leaves to `out`; gives their positions.
pub(crate) fn seal(
    zstd: &mut zstd::bulk::Compressor<'_>,
    out: &mut Vec<u8>,
    first: u64,
    leaves: &[Bytes],
    group_root: Option<Hash>,
) -> Positions {
    let mut positions = Positions::default();
    let mut raw = Vec::with_capacity(leaves.iter().map(Bytes::len).sum());
    for leaf in leaves {
        positions.observe(&leaf::head(leaf).expect("the tail holds what leaf.rs wrote, and its checksum fits"));
        raw.extend_from_slice(leaf);
    }
    let block = zstd
        .compress(&raw)
        .expect("zstd compresses into a buffer that is large enough");
    let encoded = positions.encode();
    let u32_of = |n: usize| u32::try_from(n).expect("a frame's parts are bounded").to_be_bytes();
    let start = out.len();
    out.extend_from_slice(&FRAME_MAGIC);
    out.extend_from_slice(&first.to_be_bytes());
    out.extend_from_slice(&u32_of(leaves.len()));
    out.extend_from_slice(&u32_of(encoded.len()));
    out.extend_from_slice(&u32_of(block.len()));
    out.extend_from_slice(&group_root.unwrap_or_default());
    leaves
        .iter()
        .for_each(|leaf| out.extend_from_slice(&u32_of(leaf.len())));
    out.extend_from_slice(&encoded);
    let crc = crc32c::crc32c(&out[start..]);
    out.extend_from_slice(&crc.to_be_bytes());
    out.extend_from_slice(&block);
    out.extend_from_slice(&crc32c::crc32c(&block).to_be_bytes());
    positions
}

impl Header {
    /// Reads the header of the frame that begins at a byte of a file, and must begin with leaf `first`.
    pub(crate) fn read(path: &Path, file: &File, at: u64, first: u64) -> Result<Found<Header>, Error> {
        // Most headers are shorter than this, so one read does.
        let mut bytes = read_up_to(file, at, 2048).map_err(Error::io(path))?;
        if bytes.is_empty() {
            return Ok(Found::End);
        }
        let wrong = Found::Not("a frame's header does not hold");
        if bytes.len() < FIXED || bytes[..8] != FRAME_MAGIC || u64_at(&bytes, 8) != first {
            return Ok(wrong);
        }
        let [count, positions, block] = [16, 20, 24].map(|at| u32_at(&bytes, at) as usize);
        if !(1..=GROUP as usize).contains(&count) || positions > POSITIONS_BYTES_MAX {
            return Ok(wrong);
        }
        let (table, end) = (FIXED + 4 * count, FIXED + 4 * count + positions);
        if bytes.len() < end + 4 {
            bytes = read_up_to(file, at, end + 4).map_err(Error::io(path))?;
        }
        if bytes.len() < end + 4 || u32_at(&bytes, end) != crc32c::crc32c(&bytes[..end]) {
            return Ok(wrong);
        }
        let root: Hash = bytes[28..FIXED].try_into().expect("the slice is of that length");
        let lengths: Vec<u32> = (0..count).map(|i| u32_at(&bytes, FIXED + 4 * i)).collect();
        let sum: u64 = lengths.iter().map(|l| u64::from(*l)).sum();
        let completes = (first + count as u64).is_multiple_of(GROUP);
        if first / GROUP != (first + count as u64 - 1) / GROUP || sum > (FRAME_BYTES_MAX + LEAF_BYTES_MAX) as u64 {
            return Ok(wrong);
        }
        let Some(positions) = Positions::decode(&bytes[table..end]) else {
            return Ok(wrong);
        };
        Ok(Found::Whole(Header {
            at,
            first,
            positions,
            group_root: completes.then_some(root),
            lengths,
            block_at: at + end as u64 + 4,
            block_bytes: block,
        }))
    }

    /// One past the index of the last leaf.
    pub(crate) fn end(&self) -> u64 {
        self.first + self.lengths.len() as u64
    }

    /// Frees what only opening and searching need.
    pub(crate) fn forget_positions(&mut self) {
        self.positions = Positions::default();
    }

    /// Where the next frame begins.
    pub(crate) fn next_at(&self) -> u64 {
        self.block_at + self.block_bytes as u64 + 4
    }

    /// Reads and decompresses the leaves; they share one block of memory. The error says what does not hold.
    pub(crate) fn leaves(&self, path: &Path, file: &File) -> Result<Result<Vec<Bytes>, &'static str>, Error> {
        let stored = read_up_to(file, self.block_at, self.block_bytes + 4).map_err(Error::io(path))?;
        if stored.len() < self.block_bytes + 4 {
            return Ok(Err("the file ends within a frame"));
        }
        let block = &stored[..self.block_bytes];
        if u32_at(&stored, self.block_bytes) != crc32c::crc32c(block) {
            return Ok(Err("the checksum of a frame does not fit"));
        }
        let len = self.lengths.iter().map(|l| *l as usize).sum();
        let raw = match zstd::bulk::decompress(block, len) {
            Ok(raw) if raw.len() == len => Bytes::from(raw),
            _ => return Ok(Err("a frame does not decompress to its leaves")),
        };
        let mut at = 0;
        let cut = |len: &u32| {
            let start = at;
            at += *len as usize;
            raw.slice(start..at)
        };
        Ok(Ok(self.lengths.iter().map(cut).collect()))
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("the slice is of that length"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(bytes[at..at + 8].try_into().expect("the slice is of that length"))
}
