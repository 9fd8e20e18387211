//! Checks everything: each leaf, checksum, frame, tile, root and signature, and that no offset is missing.
//!
//! It reads once, in order, holds one frame and one right edge in memory, needs no lock, and shares with the writer
//! only what reads the files. Beside a running writer it checks what was there when it began, or a little more.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use model::LedgerIndex;

use crate::checkpoint::{self, Checkpoint, Checkpoints};
use crate::frame::{self, Found, GROUP, Header, SEGMENT};
use crate::merkle::{Hash, RightEdge, leaf_hash, root_of};
use crate::note::VerifierKey;
use crate::positions::Positions;
use crate::tail::{self, Begin, Scan, Step};
use crate::tile::TILE_HASHES;
use crate::{Error, Failure, leaf, tile};

/// Gaps that a report names; all are counted.
const GAPS_MAX: usize = 1000;

/// Offsets of a partition that are not in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The first leaf after the gap.
    pub index: LedgerIndex,
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The first offset that is missing.
    pub from: i64,
    /// The first offset that is there again.
    pub to: i64,
}

/// How far a check has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Leaves checked.
    pub leaves: u64,
    /// Leaves there were when the check began.
    pub total: u64,
}

/// What was checked, and the first thing that does not hold.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Leaves checked.
    pub leaves: u64,
    /// Of these, in the tail only.
    pub tail_leaves: u64,
    /// Bytes of leaves.
    pub leaf_bytes: u64,
    /// Segment files.
    pub segments: u64,
    /// Frames.
    pub frames: u64,
    /// Tiles of level 1 and up.
    pub tiles: u64,
    /// Checkpoints, each with its signature and its root.
    pub checkpoints: u64,
    /// The last of them.
    pub last_checkpoint: Option<Checkpoint>,
    /// The root over all leaves.
    pub root: Hash,
    /// Partitions.
    pub partitions: usize,
    /// Missing offsets, at most 1,000 of them.
    pub gaps: Vec<Gap>,
    /// How many gaps there are.
    pub gaps_total: u64,
    /// The first thing that does not hold; the check stopped there. `None`: everything holds.
    pub failure: Option<Failure>,
}

/// Checks the ledger in a folder against the key of its signer, and tells `progress` after each frame.
///
/// # Errors
/// What kept the check from being made: no ledger, no permission, a failing disk. What does *not hold* is in
/// [`Report::failure`].
pub fn fsck(dir: &Path, key: &VerifierKey, progress: &mut dyn FnMut(Progress)) -> Result<Report, Error> {
    tail::list(dir)?;
    // In this order, beside a writer: a checkpoint covers what was in the tail before it, and what the tail let go
    // of was in frames before that.
    let path = dir.join("checkpoints");
    let (end, total) = match File::open(&path)
        .map_err(Error::io(&path))
        .and_then(|f| checkpoint::last(&path, &f))
    {
        Ok(last) => (last.end, last.checkpoint.map_or(0, |c| c.size)),
        Err(Error::Integrity(failure)) => {
            return Ok(Report {
                failure: Some(*failure),
                ..Report::default()
            });
        }
        Err(e) => return Err(e),
    };
    let tails = tails(dir)?;
    let mut check = Check {
        dir,
        key,
        end,
        total,
        checkpoints: Checkpoints::open(&path)?,
        path,
        next: None,
        edge: RightEdge::default(),
        group: None,
        positions: Positions::default(),
        roots: Vec::new(),
        report: Report::default(),
    };
    let failure = match check.all(&tails, progress) {
        Ok(()) => None,
        Err(Error::Integrity(failure)) => Some(*failure),
        Err(e) => return Err(e),
    };
    let root = check.edge.root();
    let (leaves, partitions) = (check.edge.size(), check.positions.iter().count());
    Ok(Report {
        failure,
        root,
        leaves,
        partitions,
        ..check.report
    })
}

/// Opens the tail's files; again, if one is deleted meanwhile.
fn tails(dir: &Path) -> Result<Vec<(u64, PathBuf, File)>, Error> {
    for _ in 0..16 {
        let listed = tail::list(dir)?;
        let opened = listed
            .into_iter()
            .map(|(first, path)| File::open(&path).map(|file| (first, path, file)));
        match opened.collect::<Result<Vec<_>, _>>() {
            Ok(files) if !files.is_empty() => return Ok(files),
            _ => {}
        }
    }
    let folder = tail::folder(dir);
    let source = std::io::Error::other("its files cannot be opened, or there are none");
    Err(Error::Io { path: folder, source })
}

struct Check<'a> {
    dir: &'a Path,
    key: &'a VerifierKey,
    /// Where the checkpoints end that are checked.
    end: u64,
    total: u64,
    path: PathBuf,
    checkpoints: Checkpoints,
    /// The next checkpoint, whose size is not reached yet, and where it begins.
    next: Option<(u64, Checkpoint)>,
    edge: RightEdge,
    /// The root of the group that was completed last.
    group: Option<Hash>,
    positions: Positions,
    /// The hashes of the tiles that are not full yet, from level 1 up.
    roots: Vec<Vec<Hash>>,
    report: Report,
}

impl Check<'_> {
    fn all(&mut self, tails: &[(u64, PathBuf, File)], progress: &mut dyn FnMut(Progress)) -> Result<(), Error> {
        self.next_checkpoint()?;
        self.compare_checkpoints()?;
        let unsealed = tails[0].0;
        let mut first = 0;
        while frame::path(self.dir, first).exists() {
            self.segment(first, unsealed, progress)?;
            if self.edge.size() < first + SEGMENT {
                break;
            }
            first += SEGMENT;
        }
        let after = frame::path(self.dir, first + SEGMENT);
        if after.exists() {
            return Err(Error::integrity(
                &after,
                0,
                Some(self.edge.size()),
                "the segment before it is not full",
            ));
        }
        for (n, (first, path, file)) in tails.iter().enumerate() {
            self.tail(*first, path, file, n + 1 == tails.len())?;
        }
        let leaves = self.edge.size();
        progress(Progress {
            leaves,
            total: self.total.max(leaves),
        });
        match &self.next {
            None => Ok(()),
            Some((at, c)) => {
                let what = format!("a checkpoint signs {} leaves, the ledger has {leaves}", c.size);
                Err(Error::integrity(&self.path, *at, Some(leaves), what))
            }
        }
    }

    fn segment(&mut self, first: u64, unsealed: u64, progress: &mut dyn FnMut(Progress)) -> Result<(), Error> {
        let path = frame::path(self.dir, first);
        let file = File::open(&path).map_err(Error::io(&path))?;
        let wrong = |at, index, what: &str| Err(Error::integrity(&path, at, Some(index), what));
        let mut at = match frame::read_segment_header(&path, &file, first)? {
            Found::Whole((before, _)) if before != self.positions => {
                return wrong(0, first, "the positions before the segment are not those of the leaves");
            }
            Found::Whole((_, at)) => at,
            // A segment that is being begun; its leaves are in the tail.
            _ if first >= unsealed => return Ok(()),
            _ => return wrong(0, first, "the segment's header does not hold"),
        };
        self.report.segments += 1;
        while self.edge.size() < first + SEGMENT {
            let index = self.edge.size();
            let header = match Header::read(&path, &file, at, index)? {
                Found::Whole(header) => header,
                // A frame that is being written; its leaves are in the tail.
                _ if index >= unsealed => return Ok(()),
                Found::End => return wrong(at, index, "a frame is missing"),
                Found::Not(what) => return wrong(at, index, what),
            };
            let leaves = match header.leaves(&path, &file)? {
                Ok(leaves) => leaves,
                Err(_) if index >= unsealed => return Ok(()),
                Err(what) => return wrong(at, index, what),
            };
            let mut positions = Positions::default();
            for leaf in &leaves {
                self.leaf(leaf, &path, at, &mut positions)?;
            }
            if positions != header.positions {
                return wrong(at, index, "the frame's positions are not those of its leaves");
            }
            if header.group_root.is_some() && header.group_root != self.group {
                return wrong(at, index, "the frame's hash is not that of its leaves");
            }
            self.report.frames += 1;
            at = header.next_at();
            progress(Progress {
                leaves: self.edge.size(),
                total: self.total.max(self.edge.size()),
            });
        }
        match file.metadata().map_err(Error::io(&path))?.len() {
            len if len > at => wrong(at, self.edge.size(), "there is more after the last frame"),
            _ => Ok(()),
        }
    }

    fn tail(&mut self, first: u64, path: &Path, file: &File, last: bool) -> Result<(), Error> {
        let wrong = |at, index, what: &str| Err(Error::integrity(path, at, Some(index), what));
        if first > self.edge.size() {
            return wrong(0, self.edge.size(), "leaves are missing before the tail's file");
        }
        match tail::begin(path, file, first)? {
            Begin::Good => {}
            Begin::Torn if last => return Ok(()),
            Begin::Torn | Begin::Bad => return wrong(0, first, "the header of the tail's file does not hold"),
        }
        let mut scan = Scan::new(path, file, tail::FILE_HEADER, first);
        let mut index = first;
        loop {
            match scan.step()? {
                // In a frame too, where it was checked.
                Step::Leaf(..) if index < self.edge.size() => {}
                Step::Leaf(at, leaf) => {
                    self.leaf(&leaf, path, at, &mut Positions::default())?;
                    self.report.tail_leaves += 1;
                }
                // A leaf that is being written, or was when a crash came; no checkpoint may cover it.
                Step::End | Step::Torn => return Ok(()),
                Step::Bad(what) => return wrong(scan.position(), index, what),
            }
            index += 1;
        }
    }

    /// The next leaf, which lies at a byte of a file, or in the frame that does.
    fn leaf(&mut self, leaf: &Bytes, path: &Path, at: u64, frame: &mut Positions) -> Result<(), Error> {
        let index = self.edge.size();
        let record = leaf::decode(leaf).map_err(|e| Error::bad_leaf(path, at, index, &e))?;
        let id = &record.coordinate;
        if let Some(span) = self.positions.span(&id.topic, id.partition) {
            if id.offset < span.next {
                let what = format!("record {id} comes after offset {}", span.next - 1);
                return Err(Error::integrity(path, at, Some(index), what));
            }
            if id.offset > span.next {
                self.report.gaps_total += 1;
                if self.report.gaps.len() < GAPS_MAX {
                    let (topic, partition) = (id.topic.clone(), id.partition);
                    let index = LedgerIndex(index);
                    self.report.gaps.push(Gap {
                        index,
                        topic,
                        partition,
                        from: span.next,
                        to: id.offset,
                    });
                }
            }
        }
        self.positions.observe_record(&record);
        frame.observe_record(&record);
        self.report.leaf_bytes += leaf.len() as u64;
        if let Some(root) = self.edge.push(leaf_hash(leaf)) {
            self.group = Some(root);
            self.tiles(root)?;
        }
        self.compare_checkpoints()
    }

    /// Compares the tiles that a group's root completes.
    fn tiles(&mut self, root: Hash) -> Result<(), Error> {
        let (mut hash, mut n) = (root, self.edge.size() / GROUP - 1);
        for level in 1.. {
            if self.roots.len() < level {
                self.roots.push(Vec::new());
            }
            let hashes = &mut self.roots[level - 1];
            hashes.push(hash);
            if (hashes.len() as u64) < TILE_HASHES {
                break;
            }
            let hashes = std::mem::take(hashes);
            n /= TILE_HASHES;
            let path = tile::path(self.dir, level as u32, n);
            match tile::read(self.dir, level as u32, n)? {
                Some(stored) if stored == hashes => self.report.tiles += 1,
                Some(stored) => {
                    let at = stored.iter().zip(&hashes).position(|(a, b)| a != b).unwrap_or(0);
                    let what = "the tile's hash is not that of the leaves";
                    return Err(Error::integrity(&path, at as u64 * 32, None, what));
                }
                // Written before the next segment is begun, or by the next start.
                None if !frame::path(self.dir, self.edge.size()).exists() => {}
                None => return Err(Error::integrity(&path, 0, None, "the tile is missing")),
            }
            hash = root_of(&hashes);
        }
        Ok(())
    }

    /// Compares the checkpoints that sign as many leaves as there are so far.
    fn compare_checkpoints(&mut self) -> Result<(), Error> {
        while let Some((at, next)) = self.next.take_if(|(_, c)| c.size <= self.edge.size()) {
            let (path, size) = (&self.path, next.size);
            if size < self.edge.size() {
                return Err(Error::integrity(
                    path,
                    at,
                    None,
                    "a checkpoint signs fewer leaves than the one before it",
                ));
            }
            if next.root != self.edge.root() {
                let what = format!("the root over {size} leaves is not the one that was signed");
                return Err(Error::integrity(path, at, None, what));
            }
            self.report.checkpoints += 1;
            self.report.last_checkpoint = Some(next);
            self.next_checkpoint()?;
        }
        Ok(())
    }

    /// Reads the next checkpoint and checks its signature.
    fn next_checkpoint(&mut self) -> Result<(), Error> {
        let at = self.checkpoints.position();
        self.next = match self.checkpoints.next() {
            Some(next) if at < self.end => {
                let next = next?;
                Checkpoint::verify(&next.note, self.key)
                    .map_err(|what| Error::integrity(&self.path, at, None, what))?;
                Some((at, next))
            }
            _ => None,
        };
        Ok(())
    }
}
