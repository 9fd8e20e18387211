//! Leaves as they are on disk, read beside a running writer.
//!
//! The writer deletes a file of the tail only when fsynced frames hold its leaves, and oldest first. So leaves below
//! the first file of the tail are in frames that will not change, the others in files that only grow; and a file
//! that was opened in time stays readable after it was deleted. Nothing here needs a lock.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::Error;
use crate::frame::{self, Found, GROUP, Header, SEGMENT};
use crate::merkle::Hash;
use crate::tail::{self, Begin, Scan, Step};

/// Segments that are kept open.
const SEGMENTS_OPEN_MAX: usize = 64;
/// Bytes of decompressed frames that are kept: a page of a hundred hits that lie far apart.
const FRAME_BYTES_HELD: usize = 6 << 20;
/// Leaves that one read of the tail gives at most.
const RUN_LEAVES_MAX: usize = 1024;
/// Bytes of the tail after which one read ends.
const RUN_BYTES_MAX: usize = 1 << 20;
/// How often the tail's folder is listed anew when the writer changes it meanwhile.
const ATTEMPTS: usize = 16;

#[derive(Debug)]
pub(crate) struct Disk {
    dir: PathBuf,
    tails: Vec<TailView>,
    segments: Vec<SegmentView>,
    /// Frames that were decompressed last, the latest at the end: the index of the first leaf, and the leaves.
    frames: VecDeque<(u64, Vec<Bytes>)>,
    /// Bytes of these.
    frame_bytes: usize,
}

/// A file of the tail, as far as it was seen.
#[derive(Debug)]
struct TailView {
    path: PathBuf,
    file: File,
    first: u64,
    /// Where each leaf begins.
    starts: Vec<u64>,
    /// Where the next one will begin.
    at: u64,
}

/// A segment, as far as its headers were read.
#[derive(Debug)]
pub(crate) struct SegmentView {
    pub(crate) path: PathBuf,
    pub(crate) file: File,
    first: u64,
    frames: Vec<Header>,
    roots: Vec<Hash>,
    /// Where the next frame begins.
    at: u64,
}

impl Disk {
    pub(crate) fn new(dir: &Path) -> Disk {
        Disk {
            dir: dir.to_owned(),
            tails: Vec::new(),
            segments: Vec::new(),
            frames: VecDeque::new(),
            frame_bytes: 0,
        }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Looks at the tail again; gives the number of leaves that there are.
    pub(crate) fn refresh(&mut self) -> Result<u64, Error> {
        'again: for _ in 0..ATTEMPTS {
            let listed = tail::list(&self.dir)?;
            let mut tails = Vec::new();
            for (first, path) in listed {
                let known = self.tails.iter().position(|t| t.first == first);
                tails.push(match known {
                    Some(at) => self.tails.swap_remove(at),
                    None => match File::open(&path) {
                        Ok(file) => TailView {
                            path,
                            file,
                            first,
                            starts: Vec::new(),
                            at: 0,
                        },
                        // Its leaves were sealed just now.
                        Err(e) if e.kind() == io::ErrorKind::NotFound => continue 'again,
                        Err(e) => return Err(Error::io(&path)(e)),
                    },
                });
            }
            self.tails = tails;
            for tail in &mut self.tails {
                tail.extend()?;
            }
            // A file was complete when the next one was begun; where it is not, the listing passed over one that
            // was deleted meanwhile, and so is all before it.
            let gap = self.tails.windows(2).rposition(|pair| pair[0].end() != pair[1].first);
            self.tails.drain(..gap.map_or(0, |at| at + 1));
            if let Some(last) = self.tails.last() {
                return Ok(last.end());
            }
        }
        let folder = tail::folder(&self.dir);
        Err(Error::integrity(
            &folder,
            0,
            None,
            "the tail has no file; a ledger always has one",
        ))
    }

    /// The first leaf that is not known to be in a frame.
    pub(crate) fn unsealed(&mut self) -> Result<u64, Error> {
        if self.tails.is_empty() {
            self.refresh()?;
        }
        Ok(self.tails[0].first)
    }

    /// Some leaves, in order, from `index` on, at most `most`; none only where there is no such leaf.
    pub(crate) fn run(&mut self, index: u64, most: usize) -> Result<Vec<Bytes>, Error> {
        if self.tails.last().is_none_or(|t| index >= t.end()) && index >= self.refresh()? {
            return Ok(Vec::new());
        }
        match self.tails.iter().rfind(|t| t.first <= index) {
            Some(tail) => tail.run(index, most.min(RUN_LEAVES_MAX)),
            None => self.frame_run(index, most),
        }
    }

    /// The root of the group of 256 that begins at leaf `first`, as its frame's header has it.
    pub(crate) fn group_root(&mut self, first: u64) -> Result<Hash, Error> {
        let segment = self.segment(first)?;
        let group = ((first - segment.first) / GROUP) as usize;
        while segment.roots.len() <= group {
            segment.extend()?;
        }
        Ok(segment.roots[group])
    }

    /// The segment that holds a sealed leaf.
    pub(crate) fn segment(&mut self, index: u64) -> Result<&mut SegmentView, Error> {
        let first = index / SEGMENT * SEGMENT;
        let at = match self.segments.iter().position(|s| s.first == first) {
            Some(at) => at,
            None => {
                if self.segments.len() >= SEGMENTS_OPEN_MAX {
                    self.segments.remove(0);
                }
                self.segments.push(SegmentView::open(&self.dir, first)?);
                self.segments.len() - 1
            }
        };
        Ok(&mut self.segments[at])
    }

    fn frame_run(&mut self, index: u64, most: usize) -> Result<Vec<Bytes>, Error> {
        let holds = |(first, leaves): &(u64, Vec<Bytes>)| (*first..*first + leaves.len() as u64).contains(&index);
        match self.frames.iter().rposition(holds) {
            // Leaves are read in order, or those of one page again: what was asked last stays longest.
            Some(at) => {
                let held = self.frames.remove(at);
                self.frames.extend(held);
            }
            None => {
                let segment = self.segment(index)?;
                let header = segment.frame(index)?.clone();
                let leaves = segment.leaves(&header)?;
                self.frame_bytes += leaves.iter().map(Bytes::len).sum::<usize>();
                self.frames.push_back((header.first, leaves));
                while self.frames.len() > 1 && self.frame_bytes > FRAME_BYTES_HELD {
                    let gone = self.frames.pop_front();
                    self.frame_bytes -= gone.iter().flat_map(|(_, l)| l).map(Bytes::len).sum::<usize>();
                }
            }
        }
        let (first, leaves) = self.frames.back().expect("a frame was put there");
        Ok(leaves[(index - first) as usize..].iter().take(most).cloned().collect())
    }
}

impl TailView {
    fn end(&self) -> u64 {
        self.first + self.starts.len() as u64
    }

    /// Reads what was appended since.
    fn extend(&mut self) -> Result<(), Error> {
        if self.at == 0 {
            match tail::begin(&self.path, &self.file, self.first)? {
                Begin::Good => self.at = tail::FILE_HEADER,
                Begin::Torn => return Ok(()),
                Begin::Bad => return Err(Error::integrity(&self.path, 0, Some(self.first), "the file's header")),
            }
        }
        let mut scan = Scan::new(&self.path, &self.file, self.at, self.end());
        loop {
            match scan.step()? {
                Step::Leaf(at, _) => {
                    self.starts.push(at);
                    self.at = scan.position();
                }
                Step::End | Step::Torn => return Ok(()),
                Step::Bad(what) => return Err(Error::integrity(&self.path, self.at, Some(self.end()), what)),
            }
        }
    }

    fn run(&self, index: u64, most: usize) -> Result<Vec<Bytes>, Error> {
        let start = self.starts[(index - self.first) as usize];
        let mut scan = Scan::new(&self.path, &self.file, start, index);
        let (mut leaves, mut bytes) = (Vec::new(), 0);
        while index + (leaves.len() as u64) < self.end() && leaves.len() < most && bytes < RUN_BYTES_MAX {
            match scan.step()? {
                Step::Leaf(_, leaf) => {
                    bytes += leaf.len();
                    leaves.push(leaf);
                }
                _ => {
                    let index = index + leaves.len() as u64;
                    let what = "a leaf that was there is not there any more";
                    return Err(Error::integrity(&self.path, scan.position(), Some(index), what));
                }
            }
        }
        Ok(leaves)
    }
}

impl SegmentView {
    pub(crate) fn open(dir: &Path, first: u64) -> Result<SegmentView, Error> {
        let path = frame::path(dir, first);
        let file = File::open(&path).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => Error::integrity(&path, 0, Some(first), "the segment is missing"),
            _ => Error::io(&path)(e),
        })?;
        let at = match frame::read_segment_header(&path, &file, first)? {
            Found::Whole((_, at)) => at,
            _ => {
                return Err(Error::integrity(
                    &path,
                    0,
                    Some(first),
                    "the segment's header does not hold",
                ));
            }
        };
        Ok(SegmentView {
            path,
            file,
            first,
            frames: Vec::new(),
            roots: Vec::new(),
            at,
        })
    }

    /// The header of the frame that holds a leaf.
    pub(crate) fn frame(&mut self, index: u64) -> Result<&Header, Error> {
        while self.end() <= index {
            self.extend()?;
        }
        let after = self.frames.partition_point(|f| f.first <= index);
        Ok(&self.frames[after - 1])
    }

    /// The leaves of a frame of this segment.
    pub(crate) fn leaves(&self, header: &Header) -> Result<Vec<Bytes>, Error> {
        let leaves = header.leaves(&self.path, &self.file)?;
        leaves.map_err(|what| Error::integrity(&self.path, header.at, Some(header.first), what))
    }

    /// Where the first frame begins.
    pub(crate) fn first_at(&self) -> u64 {
        self.frames.first().map_or(self.at, |f| f.at)
    }

    fn end(&self) -> u64 {
        self.frames.last().map_or(self.first, Header::end)
    }

    fn extend(&mut self) -> Result<(), Error> {
        let what = match Header::read(&self.path, &self.file, self.at, self.end())? {
            Found::Whole(mut header) => {
                self.at = header.next_at();
                self.roots.extend(header.group_root);
                header.forget_positions();
                self.frames.push(header);
                return Ok(());
            }
            Found::End => "a frame is missing",
            Found::Not(what) => what,
        };
        Err(Error::integrity(&self.path, self.at, Some(self.end()), what))
    }
}
