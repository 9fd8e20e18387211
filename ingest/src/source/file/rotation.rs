//! What has become of a file that is not where it was, or not what it was: renamed, copied, truncated, packed.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::Millis;

use super::position::{Mark, Position};
use super::tail::{Tail, sample};
use super::{Follower, LOOK_MS, millis_of};

impl Follower {
    /// Looks beside a file's path for what has become of it, and for generations that came between.
    pub(super) fn look(&mut self, id: u64, now: Millis, troubles: &mut BTreeMap<PathBuf, String>) {
        let Some(tail) = self.tails.get(&id) else { return };
        let (at, path) = (tail.at.clone(), PathBuf::from(&tail.at.path));
        let mut siblings: Vec<(PathBuf, Metadata)> = Vec::new();
        let real = path.canonicalize().ok();
        let folders = [path.parent(), real.as_deref().and_then(Path::parent)];
        let folders: std::collections::BTreeSet<&Path> = folders.into_iter().flatten().collect();
        for entry in folders.iter().filter_map(|f| f.read_dir().ok()).flatten().flatten() {
            let sibling = entry.path();
            if is_rotated(&sibling, &path)
                && let Ok(meta) = sibling.metadata()
                && meta.is_file()
            {
                siblings.push((sibling, meta));
            }
        }
        siblings.sort_by_cached_key(|(path, meta)| (meta.mtime(), meta.mtime_nsec(), path.clone()));
        // A copy may take the file's place; then what has its inode is another file, and looked at again.
        for (sibling, meta) in siblings.iter().chain(&siblings) {
            let key = (meta.dev(), meta.ino());
            match self.by_inode.get(&key) {
                Some(there) if *there == id => {
                    if let Some(tail) = self.tails.get_mut(&id) {
                        tail.path.clone_from(sibling);
                        if !tail.is_open() {
                            tail.notice(meta);
                        }
                    }
                }
                Some(_) => {}
                None => {
                    let generation = is_generation(sibling, &path);
                    let since = if generation { at.modified } else { Millis::MAX };
                    self.consider(sibling, &at.source, meta, Some(since), now, troubles);
                }
            }
        }
    }

    /// A file that is not known by its inode: a copy of a known one, or new. With `since`, it is only taken where it
    /// has changed since then.
    pub(super) fn consider(
        &mut self,
        path: &Path,
        source: &Arc<str>,
        meta: &Metadata,
        since: Option<Millis>,
        now: Millis,
        troubles: &mut BTreeMap<PathBuf, String>,
    ) -> Option<u64> {
        let key = (meta.dev(), meta.ino());
        if self.by_inode.contains_key(&key) {
            return None;
        }
        let (packed, head) = match sample(path) {
            Ok(sample) => sample,
            Err(error) => {
                // A file that is being packed ends in the middle.
                if error.kind() != io::ErrorKind::NotFound && now - millis_of(meta) > self.settings.packed_wait_ms {
                    troubles.insert(path.to_owned(), error.to_string());
                }
                return None;
            }
        };
        // An empty file could be known by its inode alone, which may be another file's tomorrow.
        if head.is_empty() || packed && now - millis_of(meta) < self.settings.packed_wait_ms {
            return None;
        }
        let mut position = Position {
            path: path.to_string_lossy().into_owned(),
            source: source.clone(),
            device: key.0,
            inode: key.1,
            offset: 0,
            head: Mark::of(&head),
            tail: Mark::default(),
            modified: millis_of(meta),
            ended: false,
        };
        let mut copied = None;
        // The one of which the most was read says the most: a file that was seen while it held half a line begins as
        // many others do.
        let mut likely: Vec<(&u64, &Tail)> = self.tails.iter().filter(|(_, t)| t.at.head.bytes > 0).collect();
        likely.sort_by_key(|(_, tail)| std::cmp::Reverse(tail.at.offset));
        for (id, tail) in likely {
            let known = &tail.at;
            if !is_rotated(path, Path::new(&known.path)) || !known.head.begins(&head) {
                continue;
            }
            let mut copy = Tail::new(
                Position {
                    device: key.0,
                    inode: key.1,
                    modified: position.modified,
                    ended: false,
                    ..known.clone()
                },
                path.to_owned(),
                self.settings.record_bytes_max,
                now,
            );
            match copy.open() {
                Ok(true) => {}
                // Packed, it is known whole; a plain one may still be being copied.
                Ok(false) if !packed && meta.len() < known.offset && now - millis_of(meta) < LOOK_MS => return None,
                Ok(false) => continue,
                Err(_) => return None,
            }
            if tail.is_open() || tail.on_path {
                // The file itself gives what its copy holds; a copy is needed once the file is truncated or gone.
                return None;
            }
            copied = Some((*id, copy.at));
            break;
        }
        if let Some((id, at)) = copied {
            self.forget(id);
            position = at;
        } else if since.is_some_and(|since| position.modified < since) {
            return None;
        }
        self.tails
            .retain(|_, t| !(t.at.inode == 0 && t.at.offset == 0 && t.path == path));
        Some(self.add(position, path.to_owned(), now))
    }

    /// A file was truncated or written anew: it is read from its start, and its old content is looked for in a copy.
    pub(super) fn replaced(&mut self, id: u64, now: Millis) -> io::Result<()> {
        let Some(tail) = self.tails.get(&id) else {
            return Ok(());
        };
        let (old, path) = (tail.at.clone(), tail.path.clone());
        self.forget(id);
        // No file is that inode: the old content is known by itself alone.
        let (gone, gone_path) = (self.next, PathBuf::from(&old.path));
        let nowhere = Position {
            device: 0,
            inode: 0,
            ..old.clone()
        };
        let mut tail = Tail::new(nowhere, gone_path, self.settings.record_bytes_max, now);
        tail.wake = false;
        tail.missing_since = Some(now);
        self.next += 1;
        self.tails.insert(gone, tail);
        let mut troubles = BTreeMap::new();
        self.look(gone, now, &mut troubles);
        let meta = path.metadata()?;
        if (meta.dev(), meta.ino()) == (old.device, old.inode)
            && let Some(id) = self.consider(&path, &old.source, &meta, None, now, &mut troubles)
            && let Some(tail) = self.tails.get_mut(&id)
        {
            tail.on_path = true;
        }
        Ok(())
    }
}

/// Whether a path may be what rotation makes of another: the same folder, and the same name but for a suffix.
fn is_rotated(path: &Path, of: &Path) -> bool {
    let (Some(name), Some(own)) = (path.file_name(), of.file_name()) else {
        return false;
    };
    let suffix = name.as_encoded_bytes().strip_prefix(own.as_encoded_bytes());
    let suffixed = suffix.is_some_and(|s| matches!(s.first(), Some(b'.' | b'-' | b'_' | b'~')));
    let same_folder =
        || path.parent() == of.parent() || of.canonicalize().is_ok_and(|real| real.parent() == path.parent());
    (suffixed || is_generation(path, of)) && same_folder()
}

/// Whether the names say so by themselves, their suffixes being numbers, dates, `old`, `bak`, packed or not.
/// `app.log.json` beside `app.log` is another log.
fn is_generation(path: &Path, of: &Path) -> bool {
    let (Some(name), Some(own)) = (path.file_name(), of.file_name()) else {
        return false;
    };
    name != own && family(&name.to_string_lossy()) == family(&own.to_string_lossy())
}

/// A name without the suffixes that rotation gives: `app.log` of `app.log-20260304.2.gz`.
fn family(name: &str) -> &str {
    let number = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_digit())
            && word.bytes().all(|b| b.is_ascii_digit() || b"TZ:+".contains(&b))
    };
    let mut name = name;
    while let Some(at) = name.rfind(['.', '-', '_', '~']).filter(|at| *at > 0) {
        let word = &name[at + 1..];
        if !(word.is_empty() || number(word) || matches!(word, "old" | "bak" | "prev" | "gz" | "zst")) {
            break;
        }
        name = &name[..at];
    }
    name
}
