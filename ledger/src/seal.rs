//! Moves whole groups of leaves from the tail into frames.
//!
//! Frames are appended and fsynced; only then may the tail let go of their leaves. So a leaf is in the tail, in a
//! frame, or, for a moment or after a crash, in both; its index says that it is one.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::Error;
use crate::frame::{self, FRAME_BYTES, GROUP, SEGMENT};
use crate::merkle::Hash;
use crate::positions::Positions;
use crate::tile;

/// Bytes of frames that are gathered before they are written.
const WRITE_BYTES: usize = 4 << 20;

pub(crate) struct Sealer {
    dir: PathBuf,
    /// Leaves in frames, written or gathered; a multiple of 256.
    sealed: u64,
    /// The positions of all of these.
    positions: Positions,
    /// The segment that is being written; none where the next frame begins one.
    segment: Option<(PathBuf, File)>,
    /// The roots of this segment's groups: its tile, once it is full.
    roots: Vec<Hash>,
    gathered: Vec<u8>,
    zstd: zstd::bulk::Compressor<'static>,
}

impl Sealer {
    /// Goes on after `sealed` leaves. `segment` is written at its end.
    pub(crate) fn new(
        dir: &Path,
        sealed: u64,
        positions: Positions,
        segment: Option<(PathBuf, File)>,
        roots: Vec<Hash>,
    ) -> Result<Sealer, Error> {
        let zstd = zstd::bulk::Compressor::new(frame::LEVEL).map_err(Error::io(dir))?;
        Ok(Sealer {
            dir: dir.to_owned(),
            sealed,
            positions,
            segment,
            roots,
            gathered: Vec::new(),
            zstd,
        })
    }

    pub(crate) fn sealed(&self) -> u64 {
        self.sealed
    }

    /// Seals the next group; `next` gives its leaves in order. Durable after [`Sealer::sync`].
    pub(crate) fn group(&mut self, root: Hash, mut next: impl FnMut() -> Result<Bytes, Error>) -> Result<(), Error> {
        if self.segment.is_none() {
            let path = frame::path(&self.dir, self.sealed);
            let mut options = OpenOptions::new();
            let file = options
                .write(true)
                .create(true)
                .truncate(true)
                .open(&path)
                .map_err(Error::io(&path))?;
            tile::sync_folder_of(&path)?;
            self.gathered = frame::segment_header(self.sealed, &self.positions);
            self.segment = Some((path, file));
        }
        let end = self.sealed + GROUP;
        while self.sealed < end {
            let (mut leaves, mut bytes) = (Vec::new(), 0);
            while self.sealed + (leaves.len() as u64) < end && bytes < FRAME_BYTES {
                leaves.push(next()?);
                bytes += leaves.last().map_or(0, Bytes::len);
            }
            let first = self.sealed;
            self.sealed += leaves.len() as u64;
            let root = (self.sealed == end).then_some(root);
            let positions = frame::seal(&mut self.zstd, &mut self.gathered, first, &leaves, root);
            self.positions.merge(&positions);
            if self.gathered.len() >= WRITE_BYTES {
                self.write()?;
            }
        }
        self.roots.push(root);
        if self.sealed.is_multiple_of(SEGMENT) {
            self.sync()?;
            tile::write_up(&self.dir, self.sealed / SEGMENT - 1, &self.roots)?;
            self.segment = None;
            self.roots.clear();
        }
        Ok(())
    }

    /// Makes all that was sealed durable.
    pub(crate) fn sync(&mut self) -> Result<(), Error> {
        self.write()?;
        match &self.segment {
            Some((path, file)) => file.sync_data().map_err(Error::io(path)),
            None => Ok(()),
        }
    }

    fn write(&mut self) -> Result<(), Error> {
        if let Some((path, file)) = &mut self.segment {
            file.write_all(&self.gathered).map_err(Error::io(path))?;
            self.gathered.clear();
        }
        Ok(())
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealer({})", self.sealed)
    }
}
