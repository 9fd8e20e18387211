//! A run: a file of firsts, sorted, that is written once.
//!
//! ```text
//! <data>/duplicates/<least index, 20 digits>-<greatest>.run
//!  0  4  magic "DKDR"
//!  4  4  format version, big-endian; this file writes 1
//!  8  8  number of firsts, big-endian
//! 16  8  greatest `received_at`, ms, big-endian
//! 24  8  checksum: first 8 bytes of the SHA-256 of all that follows
//! 32  …  firsts, 32 bytes each, ascending: key (16), ledger index (8, big-endian), `received_at` (8, big-endian)
//! ```
//!
//! Keys are hashes, so a key's place in the file is guessed, and read in one page or two.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use model::{LedgerIndex, Millis};
use sha2::{Digest as _, Sha256};

use super::Key;
use super::filter::Filter;

const MAGIC: &[u8; 4] = b"DKDR";
const VERSION: u32 = 1;
pub(super) const HEAD: usize = 32;
pub(super) const ROW: usize = 32;
/// Rows that are read at once when a key is looked for: a page.
const PAGE_ROWS: u64 = 128;

/// A first: its key, its leaf, when it was received.
pub(super) type First = (Key, LedgerIndex, Millis);

/// A run cannot be read or written. The operator's: the disk; or somebody else's hand in the folder.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The disk said no.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not what was written.
    #[error("{} is not what was written ({what}); remove it: repetitions of what it holds count as new then", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// In which way.
        what: &'static str,
    },
}

#[derive(Debug)]
pub(super) struct Run {
    pub path: PathBuf,
    file: File,
    pub rows: u64,
    pub newest: Millis,
    pub filter: Filter,
}

impl Run {
    /// Opens a run; every byte is read and checked.
    pub fn open(path: PathBuf) -> Result<Run, RunError> {
        let failed = |source| RunError::Io {
            path: path.clone(),
            source,
        };
        let damaged = |what| RunError::Damaged {
            path: path.clone(),
            what,
        };
        let file = File::open(&path).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        let mut head = [0; HEAD];
        file.read_exact_at(&mut head, 0)
            .map_err(|_| damaged("it has no head"))?;
        let number = |at: usize| u64::from_be_bytes(head[at..at + 8].try_into().unwrap_or_default());
        if head[..4] != *MAGIC || head[4..8] != VERSION.to_be_bytes() {
            return Err(damaged("its kind or version"));
        }
        let rows = number(8);
        if rows.checked_mul(ROW as u64).and_then(|n| n.checked_add(HEAD as u64)) != Some(bytes) {
            return Err(damaged("its length"));
        }
        let mut run = Run {
            filter: Filter::new(usize::try_from(rows).unwrap_or(usize::MAX)),
            newest: Millis(number(16).cast_signed()),
            path: path.clone(),
            file,
            rows,
        };
        let mut hash = Sha256::new();
        let mut last = [0; ROW];
        let mut ordered = true;
        let mut page = vec![0; PAGE_ROWS as usize * 64 * ROW];
        let mut at = 0;
        while at < rows {
            let n = run.read(at, &mut page)?;
            for row in page[..n * ROW].chunks_exact(ROW) {
                hash.update(row);
                ordered &= last[..] <= *row;
                last.copy_from_slice(row);
                run.filter.insert(&decode(row).0);
            }
            at += n as u64;
        }
        if hash.finalize()[..8] != head[24..32] || !ordered {
            return Err(damaged("its checksum"));
        }
        Ok(run)
    }

    /// Reads rows from `at` on; how many.
    fn read(&self, at: u64, page: &mut [u8]) -> Result<usize, RunError> {
        let left = usize::try_from(self.rows - at).unwrap_or(usize::MAX);
        let n = left.min(page.len() / ROW);
        self.file
            .read_exact_at(&mut page[..n * ROW], HEAD as u64 + at * ROW as u64)
            .map_err(|source| RunError::Io {
                path: self.path.clone(),
                source,
            })?;
        Ok(n)
    }

    /// Every first of a key.
    pub fn find(&self, key: &Key, found: &mut dyn FnMut(LedgerIndex, Millis)) -> Result<(), RunError> {
        let mut page = vec![0; PAGE_ROWS as usize * ROW];
        // The first row of the key lies in `low..high`; a key's place is about where its value is among all values.
        let (mut low, mut high) = (0, self.rows);
        let upper = u64::from_be_bytes(key[..8].try_into().unwrap_or_default());
        let mut at = ((u128::from(upper) * u128::from(self.rows)) >> 64) as u64;
        at = at.saturating_sub(PAGE_ROWS / 2);
        while high - low > PAGE_ROWS {
            at = at.clamp(low, high - 1);
            let n = self.read(at, &mut page)?;
            let rows = || page[..n * ROW].chunks_exact(ROW);
            let before = rows().take_while(|r| r[..16] < key[..]).count();
            if before == n {
                low = at + n as u64;
            } else if before == 0 && at > low {
                high = at + 1;
            } else {
                low = at + before as u64;
                break;
            }
            at = low + (high - low) / 2;
        }
        let mut at = low;
        while at < self.rows {
            let n = self.read(at, &mut page)?;
            for row in page[..n * ROW].chunks_exact(ROW) {
                match row[..16].cmp(&key[..]) {
                    std::cmp::Ordering::Less => {}
                    std::cmp::Ordering::Equal => {
                        let (_, index, at) = decode(row);
                        found(index, at);
                    }
                    std::cmp::Ordering::Greater => return Ok(()),
                }
            }
            at += n as u64;
        }
        Ok(())
    }
}

/// Writes rows that come ascending, and makes them durable under their name.
pub(super) fn write(
    dir: &Path,
    from: u64,
    to: u64,
    newest: Millis,
    count: u64,
    rows: impl Iterator<Item = Result<[u8; ROW], RunError>>,
) -> Result<PathBuf, RunError> {
    let path = dir.join(format!("{from:020}-{to:020}.run"));
    let part = path.with_extension("part");
    let failed = |source| RunError::Io {
        path: part.clone(),
        source,
    };
    let file = File::create(&part).map_err(failed)?;
    let mut out = BufWriter::with_capacity(1 << 18, &file);
    out.write_all(&[0; HEAD]).map_err(failed)?;
    let mut hash = Sha256::new();
    for row in rows {
        let row = row?;
        hash.update(row);
        out.write_all(&row).map_err(failed)?;
    }
    out.flush().map_err(failed)?;
    drop(out);
    let mut head = Vec::with_capacity(HEAD);
    head.extend(MAGIC);
    head.extend(VERSION.to_be_bytes());
    head.extend(count.to_be_bytes());
    head.extend(newest.0.to_be_bytes());
    head.extend(&hash.finalize()[..8]);
    file.write_all_at(&head, 0).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    fs::rename(&part, &path).map_err(failed)?;
    File::open(dir).and_then(|d| d.sync_all()).map_err(failed)?;
    Ok(path)
}

/// The rows of several runs, ascending.
pub(super) struct Merge<'a> {
    parts: Vec<Part<'a>>,
}

struct Part<'a> {
    run: &'a Run,
    next: u64,
    page: Vec<u8>,
    at: usize,
}

impl<'a> Merge<'a> {
    pub fn of(runs: &'a [Run]) -> Result<Merge<'a>, RunError> {
        let mut parts = Vec::with_capacity(runs.len());
        for run in runs {
            let mut part = Part {
                run,
                next: 0,
                page: Vec::new(),
                at: 0,
            };
            part.fill()?;
            parts.push(part);
        }
        Ok(Merge { parts })
    }
}

impl Part<'_> {
    fn fill(&mut self) -> Result<(), RunError> {
        if self.at < self.page.len() || self.next >= self.run.rows {
            return Ok(());
        }
        self.page.resize(PAGE_ROWS as usize * 8 * ROW, 0);
        let n = self.run.read(self.next, &mut self.page)?;
        self.page.truncate(n * ROW);
        self.next += n as u64;
        self.at = 0;
        Ok(())
    }

    fn row(&self) -> Option<&[u8]> {
        self.page.get(self.at..self.at + ROW)
    }
}

impl Iterator for Merge<'_> {
    type Item = Result<[u8; ROW], RunError>;

    fn next(&mut self) -> Option<Self::Item> {
        let least = self.parts.iter_mut().filter(|p| p.row().is_some());
        let part = least.min_by(|a, b| a.row().cmp(&b.row()))?;
        let mut row = [0; ROW];
        row.copy_from_slice(part.row()?);
        part.at += ROW;
        Some(part.fill().map(|()| row))
    }
}

pub(super) fn encode((key, index, at): &First) -> [u8; ROW] {
    let mut row = [0; ROW];
    row[..16].copy_from_slice(key);
    row[16..24].copy_from_slice(&index.0.to_be_bytes());
    row[24..].copy_from_slice(&at.0.to_be_bytes());
    row
}

fn decode(row: &[u8]) -> First {
    let mut key = [0; 16];
    key.copy_from_slice(&row[..16]);
    let number = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().unwrap_or_default());
    (
        key,
        LedgerIndex(number(&row[16..24])),
        Millis(number(&row[24..32]).cast_signed()),
    )
}

/// The ledger indexes that a run's name tells.
pub(super) fn span(path: &Path) -> Option<(u64, u64)> {
    let (from, to) = path.file_stem()?.to_str()?.split_once('-')?;
    Some((from.parse().ok()?, to.parse().ok()?))
}
