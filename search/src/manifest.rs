//! The manifest: which folders are the index.
//!
//! ```text
//! index/
//!   manifest            this file; replaced by renaming, never written in place
//!   hot-000007/         a Tantivy index of many segments: what came last, in ledger order, with its position in each commit
//!   hot-000006/         one that takes nothing more; splits are being made of it
//!   split-000005-0/     a Tantivy index of one segment: the events of a window of time of what was `hot-000005`
//! ```
//!
//! Two lines of text. The first: `docket-index`, the version (1), the number of the change (1 more each time), and the
//! SHA-256 of the second line without its end, in hexadecimal. The second is one JSON object:
//!
//! | member | is |
//! |---|---|
//! | `schema` | of fields and tokens ([`crate::schema::SCHEMA_VERSION`]) |
//! | `hot` | the number of the hot generation |
//! | `sealed` | numbers of generations that take nothing more, in order |
//! | `splits` | see [`SplitInfo`] |
//! | `dropped` | see [`Dropped`]; absent: nothing was |
//! | `next` | the next generation's number |
//!
//! A folder that the manifest does not name is not the index: a process died before it was, or after it no longer was.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use model::{LedgerIndex, Millis};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};
use crate::schema::SCHEMA_VERSION;

/// Name of the file.
pub(crate) const NAME: &str = "manifest";
/// The version of its text.
const VERSION: u32 = 1;
/// Its first word.
const MAGIC: &str = "docket-index";

/// A split: an index of its own of one segment, which takes nothing more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitInfo {
    /// The generation that it was made of.
    pub generation: u64,
    /// Which of that generation's.
    pub number: u32,
    /// Its events.
    pub events: u64,
    /// The time of its first event.
    pub first: Millis,
    /// The time of its last event.
    pub last: Millis,
    /// Days (since the epoch, UTC) with the number of their events, where there are not too many days.
    pub days: Vec<(i64, u64)>,
    /// The first and the last leaf of its events' records.
    pub leaves: (LedgerIndex, LedgerIndex),
    /// When the first and the last of its records were received.
    pub received: (Millis, Millis),
    /// The sources of its events; `None`: too many to name.
    pub sources: Option<Vec<String>>,
    /// Bytes on disk.
    pub bytes: u64,
}

impl SplitInfo {
    /// Its name, which is its folder's.
    #[must_use]
    pub fn name(&self) -> String {
        format!("split-{:06}-{}", self.generation, self.number)
    }
}

/// What the index does not hold any more. The ledger does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// Events.
    pub events: u64,
    /// The earliest time of one.
    pub first: Millis,
    /// The latest.
    pub last: Millis,
    /// Everything dropped was received before.
    pub received_before: Millis,
}

/// See the top of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    schema: u32,
    #[serde(skip)]
    pub(crate) change: u64,
    pub(crate) hot: u64,
    pub(crate) sealed: Vec<u64>,
    pub(crate) splits: Vec<SplitInfo>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) dropped: Option<Dropped>,
    pub(crate) next: u64,
}

impl Manifest {
    /// Of an index whose first generation is there and empty.
    pub(crate) fn new() -> Manifest {
        Manifest {
            schema: SCHEMA_VERSION,
            change: 0,
            hot: 1,
            sealed: Vec::new(),
            splits: Vec::new(),
            dropped: None,
            next: 2,
        }
    }

    /// Reads the manifest of an index; `None`: there is none.
    pub(crate) fn read(dir: &Path) -> Result<Option<Manifest>> {
        let path = dir.join(NAME);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::Io { path, source }),
        };
        let manifest = Manifest::parse(&bytes).map_err(|reason| Error::Rebuild {
            dir: dir.to_owned(),
            reason,
        })?;
        Ok(Some(manifest))
    }

    /// The number of its last change, without reading the rest.
    pub(crate) fn change_on_disk(dir: &Path) -> Option<u64> {
        use std::io::Read as _;
        let mut head = [0; 64];
        let mut file = File::open(dir.join(NAME)).ok()?;
        let read = file.read(&mut head).ok()?;
        let head = std::str::from_utf8(&head[..read]).ok()?;
        head.split(' ').nth(2)?.parse().ok()
    }

    fn parse(bytes: &[u8]) -> std::result::Result<Manifest, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "its manifest is no text")?;
        let (head, body) = text.split_once('\n').ok_or("its manifest is cut")?;
        let words: Vec<&str> = head.split(' ').collect();
        let [MAGIC, version, change, hash] = words[..] else {
            return Err("its manifest has no head".into());
        };
        if version != VERSION.to_string() {
            return Err(format!(
                "its manifest is of version {version}, this program writes {VERSION}"
            ));
        }
        let body = body.strip_suffix('\n').ok_or("its manifest is cut")?;
        if sum(body) != hash {
            return Err("its manifest is damaged".into());
        }
        let mut manifest: Manifest =
            serde_json::from_str(body).map_err(|e| format!("its manifest cannot be read: {e}"))?;
        manifest.change = change.parse().map_err(|_| "its manifest has no number")?;
        match manifest.schema == SCHEMA_VERSION {
            true => Ok(manifest),
            false => Err(format!(
                "its fields are of version {}, this program's of {SCHEMA_VERSION}",
                manifest.schema
            )),
        }
    }

    fn text(&self) -> String {
        let body = serde_json::to_string(self).expect("numbers and strings are JSON");
        format!("{MAGIC} {VERSION} {} {}\n{body}\n", self.change, sum(&body))
    }

    /// Puts this manifest, the next change, in the place of the one on disk: one rename, durable when it returns.
    pub(crate) fn publish(&mut self, dir: &Path) -> Result<()> {
        self.change += 1;
        let (path, fresh) = (dir.join(NAME), dir.join(".manifest.new"));
        let write = || -> std::io::Result<()> {
            let mut file = File::create(&fresh)?;
            file.write_all(self.text().as_bytes())?;
            file.sync_all()?;
            fail::fail_point!("manifest::written");
            fs::rename(&fresh, &path)?;
            fail::fail_point!("manifest::renamed");
            File::open(dir)?.sync_all()
        };
        write().map_err(|source| Error::Io { path, source })
    }

    /// The folders that are the index.
    pub(crate) fn folders(&self) -> Vec<String> {
        let generations = self.sealed.iter().chain([&self.hot]).map(|g| hot_name(*g));
        generations.chain(self.splits.iter().map(SplitInfo::name)).collect()
    }
}

/// The name of a generation's folder.
pub(crate) fn hot_name(generation: u64) -> String {
    format!("hot-{generation:06}")
}

/// The folders in `dir` that are named as ours are.
pub(crate) fn folders_on_disk(dir: &Path) -> Result<Vec<PathBuf>> {
    let io = |source| Error::Io {
        path: dir.to_owned(),
        source,
    };
    let mut out = Vec::new();
    for entry in fs::read_dir(dir).map_err(io)? {
        let entry = entry.map_err(io)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("hot-") || name.starts_with("split-") {
            out.push(entry.path());
        }
    }
    out.sort();
    Ok(out)
}

fn sum(body: &str) -> String {
    use std::fmt::Write as _;
    Sha256::digest(body).iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn some() -> Manifest {
        let mut manifest = Manifest::new();
        manifest.sealed.push(3);
        manifest.splits.push(SplitInfo {
            generation: 2,
            number: 1,
            events: 7,
            first: Millis(-5),
            last: Millis(9),
            days: vec![(-1, 3), (0, 4)],
            leaves: (LedgerIndex(0), LedgerIndex(8)),
            received: (Millis(1), Millis(2)),
            sources: Some(vec!["jumpserver".into()]),
            bytes: 100,
        });
        manifest
    }

    #[test]
    fn it_reads_back_and_counts_its_changes() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Manifest::read(dir.path()).unwrap(), None);
        let mut manifest = some();
        for change in 1..4 {
            manifest.publish(dir.path()).unwrap();
            assert_eq!(Manifest::change_on_disk(dir.path()), Some(change));
            assert_eq!(Manifest::read(dir.path()).unwrap().as_ref(), Some(&manifest));
        }
        assert_eq!(
            manifest.folders(),
            ["hot-000003", "hot-000001", "split-000002-1"].map(str::to_owned)
        );
    }

    #[test]
    fn no_altered_byte_goes_unseen() {
        let whole = some().text();
        for at in 0..whole.len() {
            let mut bytes = whole.clone().into_bytes();
            bytes[at] ^= 1;
            // The number of the change is in no sum: it only says when to read again.
            let alike = Manifest::parse(&bytes).is_ok_and(|m| Manifest { change: 0, ..m } == some());
            assert!(Manifest::parse(&bytes).is_err() || alike, "byte {at}");
            assert!(Manifest::parse(&whole.as_bytes()[..at]).is_err(), "cut at {at}");
        }
    }
}
