//! Files that are followed: every complete line once, across rotation and restart.
//!
//! A [`Follower`] looks for files ([`Follower::scan`]), reads what they have grown by ([`Follower::read`]), and is told
//! when that is durable ([`Follower::acknowledge`]); only then do its [`positions`](Follower::positions) move on. Each
//! record says in its headers which file it is from and where it ended, so that positions can be read from the
//! ledger too ([`Position::of_record`]).
//!
//! | what happens to a file | what follows |
//! |---|---|
//! | renamed, a new one made | the old one is read to its end, wherever its name now is; then the new one |
//! | copied, then truncated | the copy (same folder, name that begins with the file's and `.`, `-`, `_` or `~`) is read on from where the file was read to; the file from its start |
//! | renamed or copied more than once while nobody looked | the generations between, told by name and time of change, are read too |
//! | packed (gzip, zstd) | read on from where the file was read to, once it has not changed for a while; one never seen is read whole |
//! | removed | read to its end while it is open |
//!
//! A line without an end waits for it; of a file that no watched path leads to any more it is handed out once the file
//! has been quiet for a while. What cannot be read is told ([`Follower::troubles`]) and tried again.

use std::collections::{BTreeMap, HashMap};
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use model::{Millis, Truncation};

mod lines;
mod pattern;
mod position;
mod rotation;
mod tail;
#[cfg(test)]
mod tests;

pub use pattern::{Named, Pattern, PatternError};
pub use position::{HEADER_FILE, HEADER_FILE_ID, HEADER_FILE_OFFSET, Mark, Position, catch_up};

use tail::{Outcome, Tail};

/// Lines handed out at once; a last chunk of 64 KiB may hold more.
const LINES_MAX: usize = 4096;
/// Bytes of lines without an end that are held for all files; over that they are read again when they grow.
const HELD_BYTES_MAX: usize = 64 << 20;
/// Files open at once.
const OPEN_MAX: usize = 512;
/// How long a quiet file stays open.
const OPEN_MS: i64 = 600_000;
/// How long what has become of a file is looked for.
const LOOK_MS: i64 = 1_800_000;
/// How long the position of a file that is gone is kept.
const KEEP_MS: i64 = 7 * 24 * 3_600_000;
/// Files whose positions are kept.
const TAILS_MAX: usize = 20_000;

/// Which files, and whose they are.
#[derive(Clone, Debug)]
pub struct Watch {
    /// Their paths.
    pub pattern: Pattern,
    /// The source of their records.
    pub source: Arc<str>,
}

/// How to read.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Bytes of a record that are kept.
    pub record_bytes_max: usize,
    /// After how much quiet the last line of a file that was rotated away is taken for complete, in milliseconds.
    pub rotated_wait_ms: i64,
    /// How long a packed file must not have changed before it is read, in milliseconds.
    pub packed_wait_ms: i64,
}

impl Settings {
    /// The usual waits.
    #[must_use]
    pub fn new(record_bytes_max: usize) -> Settings {
        Settings {
            record_bytes_max,
            rotated_wait_ms: 10_000,
            packed_wait_ms: 5_000,
        }
    }
}

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Whose it is.
    pub source: Arc<str>,
    /// The line without its end.
    pub payload: Bytes,
    /// What was cut off.
    pub truncated: Option<Truncation>,
    /// Its file and offset.
    pub headers: Vec<(String, Bytes)>,
}

/// Something that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The file or folder.
    pub path: PathBuf,
    /// Why.
    pub error: String,
}

/// Follows files. It blocks on the disk; it reads no clock.
pub struct Follower {
    watches: Vec<Watch>,
    settings: Settings,
    tails: BTreeMap<u64, Tail>,
    by_inode: HashMap<(u64, u64), u64>,
    next: u64,
    turn: u64,
    told: u64,
    troubles: BTreeMap<PathBuf, String>,
    fresh: Vec<Trouble>,
}

impl Follower {
    /// Goes on from positions.
    #[must_use]
    pub fn new(watches: Vec<Watch>, settings: Settings, positions: Vec<Position>) -> Follower {
        let mut follower = Follower {
            watches,
            settings,
            tails: BTreeMap::new(),
            by_inode: HashMap::new(),
            next: 0,
            turn: 0,
            told: 0,
            troubles: BTreeMap::new(),
            fresh: Vec::new(),
        };
        for position in positions {
            let path = PathBuf::from(&position.path);
            let seen = position.modified;
            let nowhere = position.inode == 0;
            let id = follower.add(position, path, seen);
            if let Some(tail) = follower.tails.get_mut(&id) {
                tail.wake = !nowhere;
            }
        }
        follower
    }

    /// Looks for files that are new, renamed or gone.
    pub fn scan(&mut self, now: Millis) {
        let mut troubles = BTreeMap::new();
        let found = self.found(&mut troubles);
        for tail in self.tails.values_mut() {
            tail.on_path = false;
        }
        let mut unknown = Vec::new();
        let mut empty = Vec::new();
        for (key, (paths, source, meta)) in found {
            match self.by_inode.get(&key).and_then(|id| self.tails.get_mut(id)) {
                Some(tail) => {
                    tail.on_path = true;
                    tail.missing_since = None;
                    if !paths.contains(&tail.path) {
                        tail.path.clone_from(&paths[0]);
                    }
                    tail.notice(&meta);
                }
                None if meta.len() == 0 => {
                    empty.extend(paths.into_iter().map(|path| (path, source.clone(), meta.clone())))
                }
                None => unknown.push((paths[0].clone(), source, meta)),
            }
        }
        self.seen_empty(empty, now);
        // What has become of a known file is looked for before a new name is taken for a new file.
        let missing: Vec<u64> = self
            .tails
            .iter()
            .filter(|(_, t)| !t.on_path)
            .map(|(id, _)| *id)
            .collect();
        for id in missing {
            let Some(tail) = self.tails.get_mut(&id) else { continue };
            let since = *tail.missing_since.get_or_insert(now);
            if now - since <= LOOK_MS {
                self.look(id, now, &mut troubles);
            }
        }
        unknown.sort_by_cached_key(|(path, _, meta)| (meta.mtime(), meta.mtime_nsec(), path.clone()));
        for (path, source, meta) in unknown {
            if let Some(id) = self.consider(&path, &source, &meta, None, now, &mut troubles)
                && let Some(tail) = self.tails.get_mut(&id)
            {
                tail.on_path = true;
            }
        }
        self.rest(now);
        self.fresh.extend(
            troubles
                .iter()
                .filter(|(path, error)| self.troubles.get(*path) != Some(error))
                .map(|(path, error)| Trouble {
                    path: path.clone(),
                    error: error.clone(),
                }),
        );
        self.troubles = troubles;
    }

    /// Reads what files have grown by, about `budget_bytes` of it. What was handed out before is handed out again
    /// unless it was acknowledged.
    pub fn read(&mut self, budget_bytes: usize, now: Millis) -> Vec<Line> {
        let mut budget = budget_bytes.max(1);
        let mut out = Vec::new();
        let first = self.turn;
        let ids: Vec<u64> = self
            .tails
            .range(first..)
            .chain(self.tails.range(..first))
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            if budget == 0 || out.len() >= LINES_MAX {
                break;
            }
            // The next round begins behind the last file that was read, so that none starves another.
            self.turn = id + 1;
            if let Err(error) = self.read_one(id, &mut budget, now, &mut out) {
                self.failed(id, &error);
            }
        }
        out
    }

    /// Everything that was handed out is durable.
    pub fn acknowledge(&mut self) {
        self.tails.values_mut().for_each(Tail::acknowledge);
    }

    /// How far every file was read, to be stored.
    #[must_use]
    pub fn positions(&self) -> Vec<Position> {
        self.tails.values().map(|t| t.at.clone()).collect()
    }

    /// Whether there are positions of other files than when this was last asked: to be stored before records of
    /// them are.
    pub fn take_news(&mut self) -> bool {
        std::mem::replace(&mut self.told, self.next) != self.next
    }

    /// How many files cannot be read at present.
    #[must_use]
    pub fn troubles(&self) -> usize {
        self.troubles.len() + self.tails.values().filter(|t| t.trouble.is_some()).count()
    }

    /// What could not be read since this was last asked, each once.
    pub fn take_troubles(&mut self) -> Vec<Trouble> {
        std::mem::take(&mut self.fresh)
    }

    /// How many files are followed.
    #[must_use]
    pub fn files(&self) -> usize {
        self.tails.values().filter(|t| t.on_path).count()
    }

    fn add(&mut self, position: Position, path: PathBuf, now: Millis) -> u64 {
        let id = self.next;
        self.next += 1;
        self.by_inode.insert((position.device, position.inode), id);
        let tail = Tail::new(position, path, self.settings.record_bytes_max, now);
        self.tails.insert(id, tail);
        id
    }

    /// The files that watched paths lead to, by device and inode.
    #[allow(clippy::type_complexity, reason = "read once, above")]
    fn found(
        &self,
        troubles: &mut BTreeMap<PathBuf, String>,
    ) -> BTreeMap<(u64, u64), (Vec<PathBuf>, Arc<str>, Metadata)> {
        let mut found: BTreeMap<(u64, u64), (Vec<PathBuf>, Arc<str>, Metadata)> = BTreeMap::new();
        for watch in &self.watches {
            let named = watch.pattern.expand();
            troubles.extend(named.troubles.into_iter().map(|(path, e)| (path, e.to_string())));
            if named.paths.len() >= pattern::FILES_MAX {
                let error = format!(
                    "names more than {} files; the others are not followed",
                    pattern::FILES_MAX
                );
                troubles.insert(watch.pattern.as_str().into(), error);
            }
            for path in named.paths {
                match path.metadata() {
                    Ok(meta) if meta.is_file() => {
                        let key = (meta.dev(), meta.ino());
                        let entry = found
                            .entry(key)
                            .or_insert_with(|| (Vec::new(), watch.source.clone(), meta));
                        entry.0.push(path);
                    }
                    // Pipes and devices are no logs; a link may lead nowhere for now.
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => drop(troubles.insert(path, error.to_string())),
                }
            }
        }
        found
    }

    /// An empty file has no content to be known by, and its inode alone may be another file's tomorrow. What is kept is
    /// that its path was watched, so that its generations from now on are looked for.
    fn seen_empty(&mut self, files: Vec<(PathBuf, Arc<str>, Metadata)>, now: Millis) {
        if files.is_empty() {
            return;
        }
        let known: HashMap<PathBuf, u64> = self
            .tails
            .iter()
            .filter(|(_, t)| t.at.inode == 0 && t.at.offset == 0)
            .map(|(id, t)| (t.path.clone(), *id))
            .collect();
        for (path, source, meta) in files {
            let id = known.get(&path).copied().unwrap_or_else(|| {
                let id = self.next;
                self.next += 1;
                let watched = Position {
                    path: path.to_string_lossy().into_owned(),
                    source,
                    device: 0,
                    inode: 0,
                    offset: 0,
                    head: Mark::default(),
                    tail: Mark::default(),
                    modified: millis_of(&meta),
                    ended: false,
                };
                let mut tail = Tail::new(watched, path, self.settings.record_bytes_max, now);
                tail.wake = false;
                self.tails.insert(id, tail);
                id
            });
            if let Some(tail) = self.tails.get_mut(&id) {
                tail.on_path = true;
                tail.missing_since = None;
                tail.grown_at = now;
            }
        }
    }

    fn read_one(&mut self, id: u64, budget: &mut usize, now: Millis, out: &mut Vec<Line>) -> io::Result<()> {
        let held: usize = self.tails.values().map(Tail::held).sum();
        let open = self.tails.values().filter(|t| t.is_open()).count();
        let Some(tail) = self.tails.get_mut(&id) else {
            return Ok(());
        };
        if !tail.is_open() {
            if !tail.wake {
                return Ok(());
            }
            tail.wake = false;
            if !tail.open()? {
                return self.replaced(id, now);
            }
            tail.trouble = None;
            if open >= OPEN_MAX {
                self.close_quietest(id);
            }
        }
        let Some(tail) = self.tails.get_mut(&id) else {
            return Ok(());
        };
        match tail.read(budget, LINES_MAX, now, out)? {
            Outcome::Replaced => return self.replaced(id, now),
            Outcome::More => {}
            Outcome::Quiet => {
                let rotated = (!tail.on_path && tail.missing_since.is_some()) || tail.path != Path::new(&tail.at.path);
                if rotated && now - tail.grown_at >= self.settings.rotated_wait_ms {
                    tail.flush(out);
                }
            }
        }
        if held > HELD_BYTES_MAX && tail.held() > 0 && !tail.is_packed() {
            tail.close();
        }
        Ok(())
    }

    fn failed(&mut self, id: u64, error: &io::Error) {
        let Some(tail) = self.tails.get_mut(&id) else { return };
        // What is packed and broken is tried again when it has changed, the rest at once.
        tail.wake = !tail.is_packed() && tail.at.inode != 0;
        tail.close();
        if error.kind() == io::ErrorKind::NotFound {
            // Renamed or removed; the next scan finds out.
            tail.wake = false;
            return;
        }
        let error = error.to_string();
        if tail.trouble.as_ref() != Some(&error) {
            self.fresh.push(Trouble {
                path: tail.path.clone(),
                error: error.clone(),
            });
            tail.trouble = Some(error);
        }
    }

    /// Closes what has been quiet for long, and forgets what is gone for longer.
    fn rest(&mut self, now: Millis) {
        for tail in self.tails.values_mut() {
            if tail.is_open() && !tail.is_packed() && now - tail.grown_at > OPEN_MS {
                let held = tail.held() > 0;
                // A line without an end is not read again and again; it waits for the file to grow.
                if !held {
                    tail.close();
                }
            }
        }
        let old: Vec<u64> = self
            .tails
            .iter()
            .filter(|(_, t)| !t.on_path && !t.is_open() && now - t.grown_at > KEEP_MS)
            .map(|(id, _)| *id)
            .collect();
        old.into_iter().for_each(|id| self.forget(id));
        while self.tails.len() > TAILS_MAX {
            let gone = self
                .tails
                .iter()
                .find(|(_, t)| !t.on_path && !t.is_open())
                .map(|(id, _)| *id);
            let Some(gone) = gone else { break };
            self.forget(gone);
        }
    }

    fn forget(&mut self, id: u64) {
        if let Some(tail) = self.tails.remove(&id) {
            let key = (tail.at.device, tail.at.inode);
            if self.by_inode.get(&key) == Some(&id) {
                self.by_inode.remove(&key);
            }
        }
    }

    fn close_quietest(&mut self, but: u64) {
        let quietest = self
            .tails
            .iter_mut()
            .filter(|(id, t)| **id != but && t.is_open() && !t.is_packed())
            .min_by_key(|(_, t)| t.grown_at);
        if let Some((_, tail)) = quietest {
            tail.close();
        }
    }
}

/// When a file changed.
pub(super) fn millis_of(meta: &Metadata) -> Millis {
    Millis(
        meta.mtime()
            .saturating_mul(1000)
            .saturating_add(meta.mtime_nsec() / 1_000_000),
    )
}
