//! What the segments hold, and whether it holds together.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

use crate::frame::{self, Found, GROUP, Header, SEGMENT};
use crate::merkle::Hash;
use crate::positions::Positions;
use crate::seal::Sealer;
use crate::{Error, tile};

/// What the frames hold.
pub(super) struct Segments {
    pub(super) sealed: u64,
    pub(super) positions: Positions,
    /// The segment that is written: its file, where it ends, and the roots of its groups.
    pub(super) open: Option<(PathBuf, u64)>,
    pub(super) roots: Vec<Hash>,
    /// A segment of which not even the header was written.
    pub(super) unbegun: Option<PathBuf>,
}

impl Segments {
    /// Reads the last segment. `first` is the first leaf of the tail: what is not in frames must be there.
    pub(super) fn scan(dir: &Path, first: u64) -> Result<Segments, Error> {
        let folder = dir.join("segments");
        let mut names = Vec::new();
        for entry in fs::read_dir(&folder).map_err(Error::io(&folder))? {
            let path = entry.map_err(Error::io(&folder))?.path();
            let name = path.file_name().and_then(|n| n.to_str()).filter(|n| n.len() == 20);
            names.extend(name.and_then(|n| n.parse::<u64>().ok()));
        }
        names.sort_unstable();
        if let Some(n) = (0..names.len()).find(|n| names[*n] != *n as u64 * SEGMENT) {
            let missing = n as u64 * SEGMENT;
            let path = frame::path(dir, missing);
            return Err(Error::integrity(&path, 0, Some(missing), "the segment is missing"));
        }
        let mut unbegun = None;
        let scanned = loop {
            let Some(at) = names.pop() else {
                break Segments {
                    sealed: 0,
                    positions: Positions::default(),
                    open: None,
                    roots: vec![],
                    unbegun: None,
                };
            };
            match Segments::read(dir, at, first)? {
                Some(scanned) => break scanned,
                None => unbegun = Some(frame::path(dir, at)),
            }
        };
        // Between what frames hold and what the tail holds there must be nothing.
        if scanned.sealed < first || (unbegun.is_some() && scanned.sealed % SEGMENT != 0) {
            let path = scanned.open.map_or(folder, |o| o.0);
            let what = format!("frames end at leaf {}, the tail begins at {first}", scanned.sealed);
            return Err(Error::integrity(&path, 0, Some(scanned.sealed), what));
        }
        Ok(Segments { unbegun, ..scanned })
    }

    /// Reads a segment's headers as far as they hold; `None` where not even the first does, and the tail has it all.
    fn read(dir: &Path, begins: u64, first: u64) -> Result<Option<Segments>, Error> {
        let path = frame::path(dir, begins);
        let file = File::open(&path).map_err(Error::io(&path))?;
        let (mut positions, mut at) = match frame::read_segment_header(&path, &file, begins)? {
            Found::Whole(header) => header,
            _ if first <= begins => return Ok(None),
            _ => {
                return Err(Error::integrity(
                    &path,
                    0,
                    Some(begins),
                    "the segment's header does not hold",
                ));
            }
        };
        let mut roots = Vec::new();
        let (mut sealed, mut end) = (begins, at);
        let mut group = Positions::default();
        let mut index = begins;
        let why = loop {
            if index == begins + SEGMENT {
                break None;
            }
            let header = match Header::read(&path, &file, at, index)? {
                Found::Whole(header) => header,
                Found::End => break Some("the file ends within a group"),
                Found::Not(what) => break Some(what),
            };
            // Only these can have been torn by a crash: the tail lets go of leaves after an fsync.
            if header.end() > first
                && let Err(what) = header.leaves(&path, &file)?
            {
                break Some(what);
            }
            (at, index) = (header.next_at(), header.end());
            group.merge(&header.positions);
            if let Some(root) = header.group_root {
                roots.push(root);
                positions.merge(&std::mem::take(&mut group));
                (sealed, end) = (index, at);
            }
        };
        let len = file.metadata().map_err(Error::io(&path))?.len();
        match why {
            // The tail has what the frame had; it is sealed again.
            Some(_) if sealed >= first => {}
            Some(what) => return Err(Error::integrity(&path, at, Some(index), what)),
            None if len > end => return Err(Error::integrity(&path, end, None, "there is more after the last frame")),
            None => {}
        }
        Ok(Some(Segments {
            sealed,
            positions,
            open: Some((path, end)),
            roots,
            unbegun: None,
        }))
    }

    /// Cuts what is not whole, and makes the rest durable.
    pub(super) fn go_on(self, dir: &Path) -> Result<Sealer, Error> {
        if let Some(path) = &self.unbegun {
            fs::remove_file(path).map_err(Error::io(path))?;
        }
        let mut open = None;
        if let Some((path, end)) = self.open {
            let file = OpenOptions::new().append(true).open(&path).map_err(Error::io(&path))?;
            let len = file.metadata().map_err(Error::io(&path))?.len();
            if len > end {
                tracing::warn!(
                    bytes = len - end,
                    "A frame was not written to its end and was cut; the tail has it."
                );
                file.set_len(end).map_err(Error::io(&path))?;
            }
            file.sync_all().map_err(Error::io(&path))?;
            open = Some((path, file));
        }
        let mut roots = self.roots;
        if roots.len() as u64 == SEGMENT / GROUP {
            tile::write_up(dir, self.sealed / SEGMENT - 1, &roots)?;
            open = None;
            roots.clear();
        }
        Sealer::new(dir, self.sealed, self.positions, open, roots)
    }
}
