//! Splits: indexes of one segment each, opened when they are asked, a bounded number of them at once.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use model::{LedgerIndex, Millis};
use tantivy::SegmentReader;
use tantivy::directory::MmapDirectory;

use crate::error::{Error, Result};
use crate::hot::Hot;
use crate::manifest::SplitInfo;
use crate::segment::Segment;

/// Splits that are kept open; each is some mapped files and the heads of its columns.
const OPEN_MAX: usize = 256;
/// Days that are counted of one split.
const DAYS_MAX: usize = 400;
/// Sources that are named of one split.
const SOURCES_MAX: usize = 256;
/// Milliseconds of a day.
pub(crate) const DAY: i64 = 86_400_000;

/// A split of a snapshot.
pub(crate) struct Split {
    pub(crate) info: SplitInfo,
    dir: PathBuf,
}

impl Split {
    pub(crate) fn new(index: &Path, info: SplitInfo) -> Split {
        Split {
            dir: index.join(info.name()),
            info,
        }
    }

    /// Opens it; events of the leaves `gone` are dead.
    pub(crate) fn open(&self, gone: &[u64]) -> Result<Segment> {
        let hot = Hot::open(&self.dir)?;
        let rebuild = |e: tantivy::TantivyError| hot.rebuild(e.to_string());
        let segments = hot.index.searchable_segments().map_err(rebuild)?;
        let [segment] = &segments[..] else {
            return Err(hot.rebuild(format!("a split of {} segments", segments.len())));
        };
        let reader = SegmentReader::open(segment).map_err(rebuild)?;
        if gone.is_empty() {
            return Segment::open(&reader);
        }
        let alive = crate::leaves::without(&reader, gone)?;
        Segment::open(&SegmentReader::open_with_custom_alive_set(segment, Some(alive)).map_err(rebuild)?)
    }

    /// Whether its files are there in their full length. Their bytes are checked by [`check`].
    pub(crate) fn is_whole(&self) -> bool {
        bytes(&self.dir).is_ok_and(|b| b == self.info.bytes) && Hot::open(&self.dir).is_ok()
    }

    /// How many of its events lie between these moments, both included, where that is known without opening it.
    pub(crate) fn count(&self, first: i64, last: i64) -> Option<u64> {
        let info = &self.info;
        if first > last || first > info.last.0 || last < info.first.0 {
            return Some(0);
        }
        if first <= info.first.0 && last >= info.last.0 {
            return Some(info.events);
        }
        if info.days.is_empty() {
            return None;
        }
        let mut count = 0;
        for (day, events) in &info.days {
            let (begin, end) = (day * DAY, day * DAY + DAY - 1);
            if first > end || last < begin {
                continue;
            }
            // The split's own ends narrow its first and last day.
            if first > begin.max(info.first.0) || last < end.min(info.last.0) {
                return None;
            }
            count += events;
        }
        Some(count)
    }
}

/// Reads and checks every byte of an index.
pub(crate) fn check(dir: &Path) -> Result<()> {
    Hot::open(dir)?.check()
}

/// Describes the one segment of a split.
pub(crate) fn describe(dir: &Path, generation: u64, number: u32, reader: &SegmentReader) -> Result<SplitInfo> {
    let columns = reader.fast_fields();
    let (time, received) = (columns.i64("time")?, columns.i64("received")?);
    let leaf = columns.u64("index")?;
    let mut days: BTreeMap<i64, u64> = BTreeMap::new();
    let (mut times, mut at, mut leaves) = ((i64::MAX, i64::MIN), (i64::MAX, i64::MIN), (u64::MAX, 0));
    for doc in reader.doc_ids_alive() {
        let t = time.first(doc).unwrap_or_default();
        times = (times.0.min(t), times.1.max(t));
        let r = received.first(doc).unwrap_or_default();
        at = (at.0.min(r), at.1.max(r));
        let l = leaf.first(doc).unwrap_or_default();
        leaves = (leaves.0.min(l), leaves.1.max(l));
        if days.len() <= DAYS_MAX {
            *days.entry(t.div_euclid(DAY)).or_default() += 1;
        }
    }
    if days.len() > DAYS_MAX {
        days.clear();
    }
    let mut sources = Some(Vec::new());
    if let Some(column) = columns.str("source")? {
        if column.num_terms() > SOURCES_MAX {
            sources = None;
        }
        for ord in 0..column.num_terms().min(SOURCES_MAX) as u64 {
            let mut name = String::new();
            column.ord_to_str(ord, &mut name)?;
            if let Some(sources) = &mut sources {
                sources.push(name);
            }
        }
    }
    Ok(SplitInfo {
        generation,
        number,
        events: u64::from(reader.num_docs()),
        first: Millis(times.0),
        last: Millis(times.1),
        days: days.into_iter().collect(),
        leaves: (LedgerIndex(leaves.0), LedgerIndex(leaves.1)),
        received: (Millis(at.0), Millis(at.1)),
        sources,
        bytes: bytes(dir)?,
    })
}

/// Bytes of the files in a folder that never change: Tantivy's locks aside, and what is written when events are marked as
/// deleted.
pub(crate) fn bytes(dir: &Path) -> Result<u64> {
    let io = |source| Error::Io {
        path: dir.to_owned(),
        source,
    };
    let mut sum = 0;
    for entry in fs::read_dir(dir).map_err(io)? {
        let entry = entry.map_err(io)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') && name != "meta.json" && !name.ends_with(".del") {
            sum += entry.metadata().map_err(io)?.len();
        }
    }
    Ok(sum)
}

/// Makes a folder and the files in it durable.
pub(crate) fn sync(dir: &Path) -> Result<()> {
    let io = |source| Error::Io {
        path: dir.to_owned(),
        source,
    };
    for entry in fs::read_dir(dir).map_err(io)? {
        match File::open(entry.map_err(io)?.path()).and_then(|f| f.sync_all()) {
            // Tantivy's thread tidies up: a name that it writes under before it renames.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            synced => synced.map_err(io)?,
        }
    }
    sync_names(dir)
}

/// Makes durable which files a folder has; others may write there meanwhile.
pub(crate) fn sync_names(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|f| f.sync_all()).map_err(|source| Error::Io {
        path: dir.to_owned(),
        source,
    })
}

/// A new, empty folder for Tantivy.
pub(crate) fn fresh(dir: &Path) -> Result<MmapDirectory> {
    let io = |source| Error::Io {
        path: dir.to_owned(),
        source,
    };
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(io(e)),
        _ => {}
    }
    fs::create_dir_all(dir).map_err(io)?;
    MmapDirectory::open(dir).map_err(|e| Error::Tantivy(e.into()))
}

/// The splits that are open, those least asked first to go.
#[derive(Default)]
pub(crate) struct Open {
    held: Mutex<(u64, BTreeMap<Key, Held>)>,
}

/// A split by what it holds: one whose events were marked as deleted is another.
type Key = (u64, u32, u64);

struct Held {
    segment: Arc<Segment>,
    asked: u64,
}

impl Open {
    /// The segment of a split, opened where it is not.
    pub(crate) fn get(&self, split: &Split) -> Result<Arc<Segment>> {
        let key = (split.info.generation, split.info.number, split.info.events);
        {
            let (clock, held) = &mut *self.held.lock().unwrap_or_else(|e| e.into_inner());
            *clock += 1;
            if let Some(found) = held.get_mut(&key) {
                found.asked = *clock;
                return Ok(found.segment.clone());
            }
        }
        let segment = Arc::new(split.open(&[])?);
        let (clock, held) = &mut *self.held.lock().unwrap_or_else(|e| e.into_inner());
        if held.len() >= OPEN_MAX
            && let Some(oldest) = held.iter().min_by_key(|(_, h)| h.asked).map(|(k, _)| *k)
        {
            held.remove(&oldest);
        }
        let asked = *clock;
        let segment = held.entry(key).or_insert(Held { segment, asked }).segment.clone();
        Ok(segment)
    }

    /// How many are open.
    pub(crate) fn count(&self) -> usize {
        self.held.lock().unwrap_or_else(|e| e.into_inner()).1.len()
    }

    /// Lets go of all but those of these generations and numbers.
    pub(crate) fn keep(&self, is_there: impl Fn(u64, u32) -> bool) {
        let mut held = self.held.lock().unwrap_or_else(|e| e.into_inner());
        held.1
            .retain(|(generation, number, _), _| is_there(*generation, *number));
    }
}
