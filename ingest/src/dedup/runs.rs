//! Firsts on disk: runs ([`super::run`]) that are written once, and dropped whole when the window has gone over them.
//!
//! A run holds firsts that the state held before; they leave the state only after the run is on disk, and one that stands
//! in both is the same one twice. Runs of a like size are merged, sixteen into one, so that few have to be asked.

use std::fs;
use std::path::{Path, PathBuf};

use model::{LedgerIndex, Millis};

use super::Key;
use super::run::{self, First, Merge, Run, RunError, encode, span};

/// Runs of a like size that become one.
const FAN_IN: usize = 16;
/// Firsts above which a run is not merged any more: it should go whole with its days.
const MERGED_MAX: u64 = 4 << 20;

/// All runs, oldest first.
#[derive(Debug)]
pub(super) struct Runs {
    dir: PathBuf,
    runs: Vec<Run>,
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
        let path = run::write(&self.dir, from, to, newest, firsts.len() as u64, rows)?;
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
            let merged = run::write(&self.dir, from, to, newest, rows, Merge::of(&parts)?)?;
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
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::run::HEAD;
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
