//! The tail: leaves that are not in a sealed frame yet, as they come, uncompressed.
//!
//! A file `tail/<index of its first leaf, 20 digits>`; numbers are big-endian:
//!
//! ```text
//!  0  4  magic "DKTL"
//!  4  4  format version; this file writes 1
//!  8  8  index of the first leaf, a multiple of 256
//! 16  4  CRC-32C of bytes 0..16
//! 20     leaves, each:
//!         0  4  length of the leaf
//!         4  4  CRC-32C of the leaf
//!         8  4  CRC-32C of bytes 0..8 and the leaf's index as u64
//!        12     the leaf (leaf.rs)
//! ```
//!
//! A file is appended to, and fsynced before the next one is begun; it is deleted when frames that are fsynced hold
//! all its leaves. A crash can leave leaves at the end of the last file of which not everything reached the disk:
//! the file ends within them, or sectors that were never written read as zeros. That is what [`Step::Torn`] means.
//! Whatever else does not fit its checksum was altered ([`Step::Bad`]).

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::Error;
use crate::leaf::LEAF_BYTES_MAX;

/// Bytes before the first leaf of a file.
pub(crate) const FILE_HEADER: u64 = 20;
/// Bytes before each leaf.
pub(crate) const LEAF_HEADER: usize = 12;

const MAGIC_VERSION: [u8; 8] = *b"DKTL\0\0\0\x01";
/// What is read at once.
const CHUNK: usize = 1 << 20;
/// What a disk writes whole or not at all.
const SECTOR: u64 = 512;

/// The folder of the tail's files.
pub(crate) fn folder(dir: &Path) -> PathBuf {
    dir.join("tail")
}

/// The files of the tail, oldest first: the index of the first leaf, and the path.
pub(crate) fn list(dir: &Path) -> Result<Vec<(u64, PathBuf)>, Error> {
    let folder = folder(dir);
    let found = match fs::read_dir(&folder) {
        Ok(found) => found,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(Error::NoLedger { path: dir.to_owned() }),
        Err(e) => return Err(Error::io(&folder)(e)),
    };
    let mut files = Vec::new();
    for entry in found {
        let path = entry.map_err(Error::io(&folder))?.path();
        let name = path.file_name().and_then(|n| n.to_str()).filter(|n| n.len() == 20);
        if let Some(first) = name.and_then(|n| n.parse().ok()) {
            files.push((first, path));
        }
    }
    files.sort();
    Ok(files)
}

/// Begins a file; durable when this returns.
pub(crate) fn create(dir: &Path, first: u64) -> Result<(PathBuf, File), Error> {
    let path = folder(dir).join(format!("{first:020}"));
    let mut options = OpenOptions::new();
    let file = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)
        .map_err(Error::io(&path))?;
    file.write_all_at(&file_header(first), 0)
        .and_then(|()| file.sync_all())
        .map_err(Error::io(&path))?;
    crate::tile::sync_folder_of(&path)?;
    Ok((path, file))
}

/// Appends a leaf with its header to `out`; `write` writes the leaf.
pub(crate) fn put(out: &mut Vec<u8>, index: u64, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; LEAF_HEADER]);
    write(out);
    let (header, leaf) = out[start..].split_at_mut(LEAF_HEADER);
    let len = u32::try_from(leaf.len()).expect("a leaf is at most LEAF_BYTES_MAX");
    header[..4].copy_from_slice(&len.to_be_bytes());
    header[4..8].copy_from_slice(&crc32c::crc32c(leaf).to_be_bytes());
    let crc = header_crc(&header[..8], index);
    header[8..].copy_from_slice(&crc.to_be_bytes());
}

/// What is found where a leaf may begin.
#[derive(Debug)]
pub(crate) enum Step {
    /// A leaf. It begins, with its header, at this byte of the file.
    Leaf(u64, Bytes),
    /// The file ends here.
    End,
    /// A part of a leaf that was being written.
    Torn,
    /// Bytes that were altered.
    Bad(&'static str),
}

/// Reads the leaves of a file one after the other.
pub(crate) struct Scan<'a> {
    path: &'a Path,
    file: &'a File,
    /// Where the next leaf begins.
    at: u64,
    index: u64,
    chunk: Bytes,
    chunk_at: u64,
}

impl<'a> Scan<'a> {
    /// From the byte `at` of the file, where leaf `index` begins.
    pub(crate) fn new(path: &'a Path, file: &'a File, at: u64, index: u64) -> Scan<'a> {
        Scan {
            path,
            file,
            at,
            index,
            chunk: Bytes::new(),
            chunk_at: at,
        }
    }

    /// Where the leaf begins that comes next, or what is not one.
    pub(crate) fn position(&self) -> u64 {
        self.at
    }

    /// The next leaf, or why there is none.
    pub(crate) fn step(&mut self) -> Result<Step, Error> {
        let header = self.bytes(LEAF_HEADER)?;
        if header.len() < LEAF_HEADER {
            return Ok(if header.is_empty() { Step::End } else { Step::Torn });
        }
        let word = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        if word(8) != header_crc(&header[..8], self.index) {
            return Ok(torn_or(
                self.at,
                &header,
                "the checksum of a leaf's length does not fit",
            ));
        }
        let len = word(0) as usize;
        if len > LEAF_BYTES_MAX {
            return Ok(Step::Bad("a leaf is longer than any may be"));
        }
        let whole = self.bytes(LEAF_HEADER + len)?;
        if whole.len() < LEAF_HEADER + len {
            return Ok(Step::Torn);
        }
        let leaf = whole.slice(LEAF_HEADER..);
        if word(4) != crc32c::crc32c(&leaf) {
            return Ok(torn_or(
                self.at + LEAF_HEADER as u64,
                &leaf,
                "the checksum of a leaf does not fit",
            ));
        }
        let at = self.at;
        self.at += whole.len() as u64;
        self.index += 1;
        Ok(Step::Leaf(at, leaf))
    }

    /// Up to `len` bytes from where the scan stands; fewer only where the file ends.
    fn bytes(&mut self, len: usize) -> Result<Bytes, Error> {
        let have = (self.at - self.chunk_at) as usize;
        if self.chunk.len() < have + len {
            self.chunk = read_up_to(self.file, self.at, len.max(CHUNK)).map_err(Error::io(self.path))?;
            self.chunk_at = self.at;
        }
        let start = (self.at - self.chunk_at) as usize;
        Ok(self.chunk.slice(start..self.chunk.len().min(start + len)))
    }
}

/// Whether a file begins as a tail file of this first leaf does.
pub(crate) enum Begin {
    /// It does.
    Good,
    /// A crash kept it from being begun; there is no leaf in it.
    Torn,
    /// It was altered.
    Bad,
}

/// Checks a file's header.
pub(crate) fn begin(path: &Path, file: &File, first: u64) -> Result<Begin, Error> {
    let header = read_up_to(file, 0, FILE_HEADER as usize).map_err(Error::io(path))?;
    Ok(match header.len() {
        n if n < FILE_HEADER as usize => Begin::Torn,
        _ if header[..] == file_header(first) => Begin::Good,
        _ if header.iter().all(|b| *b == 0) => Begin::Torn,
        _ => Begin::Bad,
    })
}

/// Reads up to `len` bytes at a position; fewer only where the file ends.
pub(crate) fn read_up_to(file: &File, at: u64, len: usize) -> io::Result<Bytes> {
    let left = file.metadata()?.len().saturating_sub(at);
    let mut bytes = vec![0; len.min(usize::try_from(left).unwrap_or(usize::MAX))];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], at + filled as u64)? {
            0 => break,
            n => filled += n,
        }
    }
    bytes.truncate(filled);
    Ok(bytes.into())
}

fn file_header(first: u64) -> [u8; FILE_HEADER as usize] {
    let mut header = [0; FILE_HEADER as usize];
    header[..8].copy_from_slice(&MAGIC_VERSION);
    header[8..16].copy_from_slice(&first.to_be_bytes());
    let crc = crc32c::crc32c(&header[..16]);
    header[16..].copy_from_slice(&crc.to_be_bytes());
    header
}

fn header_crc(length_and_crc: &[u8], index: u64) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(length_and_crc), &index.to_be_bytes())
}

/// Torn where a sector, as far as these bytes reach into it, is all zeros: it was never written.
fn torn_or(at: u64, bytes: &[u8], what: &'static str) -> Step {
    let first = (SECTOR - at % SECTOR) as usize;
    let (head, rest) = bytes.split_at(first.min(bytes.len()));
    let hole = std::iter::once(head)
        .chain(rest.chunks(SECTOR as usize))
        .any(|piece| piece.iter().all(|b| *b == 0));
    if hole { Step::Torn } else { Step::Bad(what) }
}
