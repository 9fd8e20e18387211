//! Firsts on disk: sorted files that are written once, and dropped whole when the window has gone over them.
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
//! A run holds firsts that the state held before; they leave the state only after the run is on disk, and one that stands
//! in both is the same one twice. Keys are hashes, so a key's place in the file is guessed, and read in one page or two.
//! Runs of a like size are merged, sixteen into one, so that few have to be asked.

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
const HEAD: usize = 32;
const ROW: usize = 32;
/// Rows that are read at once when a key is looked for: a page.
const PAGE_ROWS: u64 = 128;
/// Runs of a like size that become one.
const FAN_IN: usize = 16;
/// Firsts above which a run is not merged any more: it should go whole with its days.
const MERGED_MAX: u64 = 4 << 20;

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

/// All runs, oldest first.
#[derive(Debug)]
pub(super) struct Runs {
    dir: PathBuf,
    runs: Vec<Run>,
}

#[derive(Debug)]
struct Run {
    path: PathBuf,
    file: File,
    rows: u64,
    newest: Millis,
    filter: Filter,
}

impl Runs {
    /// Opens the runs of a folder, which is made where it is missing; every byte is read and checked.
    pub fn open(dir: &Path) -> Result<Runs, RunError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| RunError::Io { path, source }
        };
        fs::create_dir_all(dir).map_err(failed(dir))?;
        let mut paths = Vec::new();
        for entry in fs::read_dir(dir).map_err(failed(dir))? {
            let path = entry.map_err(failed(dir))?.path();
            match path.extension().and_then(|e| e.to_str()) {
                Some("run") => paths.push(path),
                // A run that was being written when the process ended; the state still holds what it would.
                Some("part") => fs::remove_file(&path).map_err(failed(&path))?,
                _ => {}
            }
        }
        paths.sort();
        let mut runs = Vec::with_capacity(paths.len());
        let mut covered: Option<(u64, u64)> = None;
        for path in paths {
            let span = span(&path).ok_or_else(|| RunError::Damaged {
                path: path.clone(),
                what: "its name",
            })?;
            // What was merged and not removed yet lies within the run before it.
            if covered.is_some_and(|(from, to)| from <= span.0 && span.1 <= to) {
                fs::remove_file(&path).map_err(failed(&path))?;
                continue;
            }
            if covered.is_some_and(|(from, _)| from == span.0)
                && let Some(inner) = runs.pop()
            {
                let inner: Run = inner;
                fs::remove_file(&inner.path).map_err(failed(&inner.path))?;
            }
            covered = Some(span);
            runs.push(Run::open(path)?);
        }
        Ok(Runs {
            dir: dir.to_owned(),
            runs,
        })
    }

    /// Firsts on disk.
    pub fn rows(&self) -> u64 {
        self.runs.iter().map(|r| r.rows).sum()
    }

    /// Every first of a key, in no order.
    pub fn find(&self, key: &Key, found: &mut dyn FnMut(LedgerIndex, Millis)) -> Result<(), RunError> {
        for run in self.runs.iter().filter(|r| r.filter.may_hold(key)) {
            run.find(key, found)?;
        }
        Ok(())
    }

    /// Writes a run of these firsts; when this returns they are on disk.
    pub fn write(&mut self, mut firsts: Vec<First>) -> Result<(), RunError> {
        firsts.sort_unstable();
        let rows = firsts.iter().map(|f| Ok(encode(f)));
        let (Some(from), Some(to)) = (firsts.iter().map(|f| f.1.0).min(), firsts.iter().map(|f| f.1.0).max()) else {
            return Ok(());
        };
        let newest = firsts.iter().map(|f| f.2).max().unwrap_or_default();
        let path = self.put(from, to, newest, firsts.len() as u64, rows)?;
        self.runs.push(Run::open(path)?);
        self.runs.sort_by(|a, b| a.path.cmp(&b.path));
        self.merge()
    }

    /// Drops runs all of whose firsts were received before `oldest`, and then the oldest ones while there are more firsts
    /// than `rows_max`. How many firsts went that still counted.
    pub fn expire(&mut self, oldest: Millis, rows_max: u64) -> Result<u64, RunError> {
        let mut lost = 0;
        let (over, kept): (Vec<Run>, Vec<Run>) = std::mem::take(&mut self.runs)
            .into_iter()
            .partition(|r| r.newest < oldest);
        self.runs = kept;
        let mut gone = over;
        while self.rows() > rows_max
            && let Some(oldest) = (0..self.runs.len()).min_by_key(|i| self.runs[*i].newest)
        {
            let run = self.runs.remove(oldest);
            lost += run.rows;
            gone.push(run);
        }
        for run in gone {
            fs::remove_file(&run.path).map_err(|source| RunError::Io {
                path: run.path.clone(),
                source,
            })?;
        }
        Ok(lost)
    }

    /// The greatest leaf that a run tells of.
    pub fn greatest(&self) -> Option<LedgerIndex> {
        self.runs
            .iter()
            .filter_map(|r| span(&r.path))
            .map(|(_, to)| LedgerIndex(to))
            .max()
    }

    /// Merges neighbours of a like size.
    fn merge(&mut self) -> Result<(), RunError> {
        while let Some(at) = self.mergeable() {
            let parts: Vec<Run> = self.runs.drain(at..at + FAN_IN).collect();
            let spans = parts.iter().filter_map(|r| span(&r.path));
            let (from, to) = spans.fold((u64::MAX, 0), |(a, b), (from, to)| (a.min(from), b.max(to)));
            let newest = parts.iter().map(|r| r.newest).max().unwrap_or_default();
            let rows = parts.iter().map(|r| r.rows).sum();
            let merged = self.put(from, to, newest, rows, Merge::of(&parts)?)?;
            for part in parts.iter().filter(|p| p.path != merged) {
                fs::remove_file(&part.path).map_err(|source| RunError::Io {
                    path: part.path.clone(),
                    source,
                })?;
            }
            self.runs.insert(at, Run::open(merged)?);
        }
        Ok(())
    }

    /// Where sixteen neighbours of one size stand.
    fn mergeable(&self) -> Option<usize> {
        let level = |r: &Run| r.rows.checked_ilog2().unwrap_or(0) / FAN_IN.ilog2();
        self.runs.windows(FAN_IN).position(|w| {
            let first = level(&w[0]);
            w.iter().all(|r| level(r) == first) && w.iter().map(|r| r.rows).sum::<u64>() <= MERGED_MAX
        })
    }

    /// Writes rows that come ascending, and makes them durable under their name.
    fn put(
        &self,
        from: u64,
        to: u64,
        newest: Millis,
        count: u64,
        rows: impl Iterator<Item = Result<[u8; ROW], RunError>>,
    ) -> Result<PathBuf, RunError> {
        let path = self.dir.join(format!("{from:020}-{to:020}.run"));
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
        File::open(&self.dir).and_then(|d| d.sync_all()).map_err(failed)?;
        Ok(path)
    }
}

impl Run {
    fn open(path: PathBuf) -> Result<Run, RunError> {
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

    fn find(&self, key: &Key, found: &mut dyn FnMut(LedgerIndex, Millis)) -> Result<(), RunError> {
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

/// The rows of several runs, ascending.
struct Merge<'a> {
    parts: Vec<Part<'a>>,
}

struct Part<'a> {
    run: &'a Run,
    next: u64,
    page: Vec<u8>,
    at: usize,
}

impl<'a> Merge<'a> {
    fn of(runs: &'a [Run]) -> Result<Merge<'a>, RunError> {
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

fn encode((key, index, at): &First) -> [u8; ROW] {
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
fn span(path: &Path) -> Option<(u64, u64)> {
    let (from, to) = path.file_stem()?.to_str()?.split_once('-')?;
    Some((from.parse().ok()?, to.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dedup::key;

    fn first(n: u64) -> First {
        (
            key("s", b"uid", &(n % 5000).to_be_bytes(), b""),
            LedgerIndex(n),
            Millis(n.cast_signed() * 10),
        )
    }

    fn all_of(runs: &Runs, key: &Key) -> Vec<(u64, i64)> {
        let mut found = Vec::new();
        runs.find(key, &mut |i, at| found.push((i.0, at.0))).unwrap();
        found.sort_unstable();
        found
    }

    #[test]
    fn what_is_written_is_found_across_merges_and_restarts_until_it_expires() {
        let dir = tempfile::tempdir().unwrap();
        let mut runs = Runs::open(dir.path()).unwrap();
        let total = 20_000;
        for start in (0..total).step_by(500) {
            runs.write((start..start + 500).map(first).collect()).unwrap();
        }
        assert_eq!(runs.rows(), total);
        assert!(
            runs.runs.len() <= 2 + total as usize / 500 % FAN_IN,
            "{}",
            runs.runs.len()
        );
        for runs in [&runs, &Runs::open(dir.path()).unwrap()] {
            for n in (0..5000).step_by(7) {
                let expected: Vec<_> = (0..4)
                    .map(|k: u64| (n + k * 5000, (n + k * 5000).cast_signed() * 10))
                    .collect();
                assert_eq!(all_of(runs, &first(n).0), expected);
            }
            assert!(all_of(runs, &key("other", b"uid", b"1", b"")).is_empty());
        }
        // The newest of the first merged run is 8000: one before is not over, one after is.
        assert_eq!(runs.expire(Millis(79_990), u64::MAX).unwrap(), 0);
        assert_eq!(runs.rows(), total);
        assert_eq!(runs.expire(Millis(79_991), u64::MAX).unwrap(), 0);
        assert_eq!(runs.rows(), total - 8000);
        // Over the bound the oldest go, and it is said how many.
        assert_eq!(runs.expire(Millis(0), 5000).unwrap(), 8000);
        assert_eq!(Runs::open(dir.path()).unwrap().rows(), 4000);
    }

    #[test]
    fn a_run_that_was_altered_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let mut runs = Runs::open(dir.path()).unwrap();
        runs.write((0..300).map(first).collect()).unwrap();
        let path = runs.runs[0].path.clone();
        let bytes = fs::read(&path).unwrap();
        for at in [0, 5, 9, 25, HEAD + 40, bytes.len() - 1] {
            let mut altered = bytes.clone();
            altered[at] ^= 1;
            fs::write(&path, &altered).unwrap();
            assert!(
                matches!(Runs::open(dir.path()), Err(RunError::Damaged { .. })),
                "byte {at}"
            );
        }
        fs::write(&path, &bytes[..bytes.len() - 32]).unwrap();
        assert!(Runs::open(dir.path()).is_err());
        fs::write(&path, &bytes).unwrap();
        fs::write(dir.path().join("x.part"), "half").unwrap();
        assert_eq!(Runs::open(dir.path()).unwrap().rows(), 300);
        assert!(!dir.path().join("x.part").exists());
    }

    #[test]
    fn a_merge_that_was_killed_before_it_cleaned_up_counts_once() {
        let dir = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        let mut runs = Runs::open(dir.path()).unwrap();
        for start in (0..15 * 20).step_by(20) {
            runs.write((start..start + 20).map(first).collect()).unwrap();
        }
        for entry in fs::read_dir(dir.path()).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, other.path().join(path.file_name().unwrap())).unwrap();
        }
        runs.write((300..320).map(first).collect()).unwrap();
        assert_eq!(runs.runs.len(), 1);
        let merged = &runs.runs[0].path;
        fs::copy(merged, other.path().join(merged.file_name().unwrap())).unwrap();
        let again = Runs::open(other.path()).unwrap();
        assert_eq!((again.runs.len(), again.rows()), (1, 320));
        assert_eq!(fs::read_dir(other.path()).unwrap().count(), 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        /// As a map holds them, however many share a key.
        #[test]
        fn as_a_map_holds_them(parts in prop::collection::vec(prop::collection::vec((0u8..40, 0i64..1000), 1..300), 1..20), asked in 0u8..50) {
            let dir = tempfile::tempdir().unwrap();
            let mut runs = Runs::open(dir.path()).unwrap();
            let mut index = 0;
            let mut expected = Vec::new();
            // Keys at the ends of the range too, where a guess is farthest off.
            let of = |n: u8| [[0; 16], [255; 16]].get(usize::from(n)).copied().unwrap_or_else(|| key("s", b"uid", &[n], b""));
            for part in parts {
                let firsts: Vec<First> = part.iter().map(|(n, at)| { index += 1; (of(*n), LedgerIndex(index), Millis(*at)) }).collect();
                expected.extend(firsts.iter().filter(|f| f.0 == of(asked)).map(|f| (f.1.0, f.2.0)));
                runs.write(firsts).unwrap();
            }
            expected.sort_unstable();
            prop_assert_eq!(all_of(&runs, &of(asked)), expected);
        }
    }
}
