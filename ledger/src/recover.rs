//! Opens a ledger: checks what is there, cuts what a crash left incomplete, and goes on from it.
//!
//! Nothing is changed before everything that is looked at holds. What is looked at: the last checkpoint and its
//! root, the headers of the last segment, the frames whose leaves the tail still has, and all of the tail. The rest
//! is `fsck`'s.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::LedgerIndex;
use rand::TryRngCore;

use crate::checkpoint::{self, Checkpoint, Last};
use crate::frame::GROUP;
use crate::ledger::{Ledger, TailFile};
use crate::merkle::{Hash, RightEdge, leaf_hash};
use crate::note::SignerKey;
use crate::positions::Positions;
use crate::recent::Recent;
use crate::seal::Sealer;
use crate::tail::{self, Begin, Scan, Step};
use crate::tree::Tree;
use crate::{Error, Reader, disk, leaf, tile};

mod segments;

use segments::Segments;

pub(crate) fn open(dir: &Path, origin: &str) -> Result<Ledger, Error> {
    fs::create_dir_all(dir).map_err(Error::io(dir))?;
    let lock = lock(dir)?;
    let key = keys(dir, origin)?;
    let vkey = key.verifier().to_string();

    let path = dir.join("checkpoints");
    let mut options = OpenOptions::new();
    let checkpoints = options
        .read(true)
        .append(true)
        .create(true)
        .open(&path)
        .map_err(Error::io(&path))?;
    let Last { checkpoint, end, torn } = checkpoint::last(&path, &checkpoints)?;
    if let Some(c) = &checkpoint {
        Checkpoint::verify(&c.note, key.verifier()).map_err(|what| Error::integrity(&path, end, None, what))?;
    }
    let signed = checkpoint.as_ref().map_or(0, |c| c.size);

    let begun = begin(dir)?;
    let first = begun[0].0;
    let segments = Segments::scan(dir, first)?;
    let tail = TailScan::scan(begun, &segments, signed)?;
    let size = segments.sealed + tail.hashes.len() as u64;
    if size < signed {
        let what = format!("a checkpoint signs {signed} leaves, the ledger has {size}");
        return Err(Error::integrity(
            &tail.files[tail.files.len() - 1].path,
            0,
            Some(size),
            what,
        ));
    }
    if let Some(c) = &checkpoint {
        let root = Reader::open(dir)?.root(LedgerIndex(c.size))?;
        if root != c.root {
            let what = format!("the root over {} leaves is not the one that was signed", c.size);
            return Err(Error::integrity(&path, end, None, what));
        }
    }

    // Everything holds; from here on files are changed.
    if torn > 0 {
        tracing::warn!(bytes = torn, "A checkpoint was not written to its end and was cut.");
        checkpoints
            .set_len(end)
            .and_then(|()| checkpoints.sync_all())
            .map_err(Error::io(&path))?;
    }
    let edge = edge(dir, segments.sealed)?;
    let (sealed, positions) = (segments.sealed, segments.positions.clone());
    let sealer = segments.go_on(dir)?;
    tail.go_on(
        dir,
        sealed,
        Start {
            lock,
            key,
            vkey,
            edge,
            positions,
            sealer,
            path,
            checkpoints,
            checkpoint,
        },
    )
}

/// What a ledger goes on from, beside its tail.
struct Start {
    lock: File,
    key: SignerKey,
    vkey: String,
    edge: RightEdge,
    positions: Positions,
    sealer: Sealer,
    path: PathBuf,
    checkpoints: File,
    checkpoint: Option<Checkpoint>,
}

fn lock(dir: &Path) -> Result<File, Error> {
    let path = dir.join("LOCK");
    let mut options = OpenOptions::new();
    let file = options
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(Error::io(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Locked { path }),
        Err(TryLockError::Error(e)) => Err(Error::io(&path)(e)),
    }
}

/// Reads the signing key, or makes one for a ledger that is not begun yet.
fn keys(dir: &Path, origin: &str) -> Result<SignerKey, Error> {
    let (path, public) = (dir.join("ledger.key"), dir.join("ledger.vkey"));
    let key = if path.exists() {
        SignerKey::parse(&fs::read_to_string(&path).map_err(Error::io(&path))?)?
    } else {
        if tail::folder(dir).exists() {
            let what = "the ledger's signing key is missing; put it back, checkpoints must go on under one key";
            return Err(Error::Key {
                what,
                given: path.display().to_string(),
            });
        }
        let mut seed = [0; 32];
        let filled = rand::rngs::OsRng.try_fill_bytes(&mut seed);
        filled.map_err(|e| Error::io(&path)(std::io::Error::other(e.to_string())))?;
        let key = SignerKey::from_seed(origin, seed)?;
        let new = dir.join("ledger.key.new");
        // What an earlier start left; the mode below is given to new files only.
        let _ = fs::remove_file(&new);
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)
            .map_err(Error::io(&new))?;
        let text = format!("{}\n", key.secret_text());
        file.write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(Error::io(&new))?;
        fs::rename(&new, &path).map_err(Error::io(&path))?;
        tile::sync_folder_of(&path)?;
        key
    };
    if key.verifier().name() != origin {
        let what = "this ledger's origin is another, and it keeps it";
        return Err(Error::Key {
            what,
            given: key.verifier().name().to_owned(),
        });
    }
    let text = format!("{}\n", key.verifier());
    if !public.exists() {
        tile::replace(&public, text.as_bytes())?;
    } else if fs::read(&public).map_err(Error::io(&public))? != text.as_bytes() {
        return Err(Error::integrity(
            &public,
            0,
            None,
            "the verifier key is not that of ledger.key",
        ));
    }
    Ok(key)
}

/// The tail's files; of a new ledger, an empty one is made.
fn begin(dir: &Path) -> Result<Vec<(u64, PathBuf)>, Error> {
    let (folder, segments) = (tail::folder(dir), dir.join("segments"));
    let fresh = !folder.exists();
    fs::create_dir_all(&segments).map_err(Error::io(&segments))?;
    if fresh {
        // After the key and the rest: where there is a folder `tail`, there is a ledger.
        fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
        tile::sync_folder_of(&folder)?;
    }
    let files = tail::list(dir)?;
    if !files.is_empty() {
        return Ok(files);
    }
    let any = fs::read_dir(&segments).map_err(Error::io(&segments))?.next().is_some();
    let checkpoints = fs::metadata(dir.join("checkpoints")).is_ok_and(|m| m.len() > 0);
    if any || checkpoints {
        return Err(Error::integrity(
            &folder,
            0,
            None,
            "the tail has no file; a ledger always has one",
        ));
    }
    Ok(vec![(0, tail::create(dir, 0)?.0)])
}

/// What the tail holds.
struct TailScan {
    files: Vec<FileScan>,
    /// The leaf hashes and positions of what is not in frames.
    hashes: Vec<Hash>,
    positions: Positions,
    /// Where in its file the first leaf begins that is not in a frame.
    seal_at: u64,
}

struct FileScan {
    path: PathBuf,
    first: u64,
    /// Where its leaves end; 0 where the file must be begun again.
    end: u64,
}

impl TailScan {
    fn scan(begun: Vec<(u64, PathBuf)>, segments: &Segments, signed: u64) -> Result<TailScan, Error> {
        let mut scan = TailScan {
            files: Vec::new(),
            hashes: Vec::new(),
            positions: Positions::default(),
            seal_at: tail::FILE_HEADER,
        };
        let mut index = begun[0].0;
        let last = begun.len() - 1;
        for (n, (first, path)) in begun.into_iter().enumerate() {
            if first != index || !first.is_multiple_of(GROUP) {
                let what = format!("the tail's file begins at leaf {first}, the one before it ends at {index}");
                return Err(Error::integrity(&path, 0, Some(index), what));
            }
            let end = scan.file(&path, first, &mut index, segments.sealed, n == last, signed)?;
            scan.files.push(FileScan { path, first, end });
        }
        if index < segments.sealed {
            let what = format!(
                "frames hold {} leaves, the tail ends before at {index}",
                segments.sealed
            );
            return Err(Error::integrity(&scan.files[last].path, 0, Some(index), what));
        }
        Ok(scan)
    }

    fn file(
        &mut self,
        path: &Path,
        first: u64,
        index: &mut u64,
        sealed: u64,
        last: bool,
        signed: u64,
    ) -> Result<u64, Error> {
        let file = File::open(path).map_err(Error::io(path))?;
        match tail::begin(path, &file, first)? {
            Begin::Good => {}
            Begin::Torn if last && first >= signed => return Ok(0),
            Begin::Torn | Begin::Bad => {
                return Err(Error::integrity(
                    path,
                    0,
                    Some(first),
                    "the header of the tail's file does not hold",
                ));
            }
        }
        let mut scan = Scan::new(path, &file, tail::FILE_HEADER, first);
        loop {
            let at = scan.position();
            let leaf = match scan.step()? {
                Step::Leaf(_, leaf) => leaf,
                Step::End => return Ok(at),
                Step::Torn if last && *index >= signed.max(sealed) => return Ok(at),
                Step::Torn => return Err(Error::integrity(path, at, Some(*index), "the leaf is not whole")),
                Step::Bad(what) => return Err(Error::integrity(path, at, Some(*index), what)),
            };
            let head = leaf::head(&leaf).map_err(|e| Error::bad_leaf(path, at, *index, &e))?;
            if *index >= sealed {
                if *index == sealed {
                    self.seal_at = at;
                }
                self.hashes.push(leaf_hash(&leaf));
                self.positions.observe(&head);
            }
            *index += 1;
            if *index == sealed {
                self.seal_at = scan.position();
            }
        }
    }

    /// Cuts what is not whole, lets go of what frames hold, and goes on.
    fn go_on(self, dir: &Path, sealed: u64, start: Start) -> Result<Ledger, Error> {
        let mut files = VecDeque::new();
        let ends: Vec<u64> = self.files.iter().skip(1).map(|f| f.first).collect();
        for (n, FileScan { path, first, end }) in self.files.into_iter().enumerate() {
            if ends.get(n).is_some_and(|end| *end <= sealed) {
                fs::remove_file(&path).map_err(Error::io(&path))?;
                continue;
            }
            let (path, file, end) = if end == 0 {
                let (path, file) = tail::create(dir, first)?;
                (path, file, tail::FILE_HEADER)
            } else {
                let mut options = OpenOptions::new();
                let file = options.read(true).write(true).open(&path).map_err(Error::io(&path))?;
                let len = file.metadata().map_err(Error::io(&path))?.len();
                if len > end {
                    tracing::warn!(bytes = len - end, "A leaf was not written to its end and was cut.");
                    file.set_len(end).map_err(Error::io(&path))?;
                }
                // A killed process may have left pages that are read, but not on the disk yet.
                file.sync_all().map_err(Error::io(&path))?;
                (path, file, end)
            };
            files.push_back(TailFile {
                path,
                file,
                first,
                len: end,
            });
        }
        let seal_at = if files[0].first >= sealed {
            tail::FILE_HEADER
        } else {
            self.seal_at
        };
        let Start {
            lock,
            key,
            vkey,
            mut edge,
            mut positions,
            sealer,
            path,
            checkpoints,
            checkpoint,
        } = start;
        let groups = self.hashes.into_iter().filter_map(|hash| edge.push(hash)).collect();
        positions.merge(&self.positions);
        Ok(Ledger {
            dir: dir.to_owned(),
            _lock: lock,
            key,
            vkey,
            durable: edge.clone(),
            recent: Arc::new(Recent::new(edge.size())),
            edge,
            positions,
            groups,
            files,
            seal_at,
            sealer,
            buffer: Vec::new(),
            starts: Vec::new(),
            checkpoints: (path, checkpoints),
            last: checkpoint,
            broken: false,
        })
    }
}

/// The right edge of the tree over what is in frames.
fn edge(dir: &Path, sealed: u64) -> Result<RightEdge, Error> {
    let (mut disk, mut tree, mut edge) = (disk::Disk::new(dir), Tree::default(), RightEdge::default());
    for height in (8..64).rev().filter(|h| sealed >> h & 1 == 1) {
        let node = tree.node(&mut disk, height, edge.size() >> height)?;
        edge.push_node(height, node);
    }
    Ok(edge)
}
