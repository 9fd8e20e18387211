//! The index of one moment: hot generations, whose segments are open, and splits, which are opened when they are asked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};

use model::{LedgerIndex, Millis};
use tantivy::index::SegmentId;
use tantivy::{IndexReader, SegmentReader};

use crate::error::{Error, Result};
use crate::hot::Hot;
use crate::leaves::without;
use crate::manifest::{Dropped, Manifest, SplitInfo, hot_name};
use crate::reader::Hit;
use crate::segment::Segment;
use crate::split::{self, Open, Split};
use crate::top::Entry;

/// One piece of the index: its documents have numbers of their own.
pub(crate) enum Part {
    Open(Arc<Segment>),
    Split(Arc<Split>),
}

impl Part {
    /// The times of its events lie between these.
    pub(crate) fn times(&self) -> (i64, i64) {
        match self {
            Part::Open(segment) => (segment.first, segment.last),
            Part::Split(split) => (split.info.first.0, split.info.last.0),
        }
    }

    pub(crate) fn events(&self) -> u64 {
        match self {
            Part::Open(segment) => u64::from(segment.reader.num_docs()),
            Part::Split(split) => split.info.events,
        }
    }

    /// The sources of its events, where that is known.
    pub(crate) fn sources(&self) -> Option<&[String]> {
        match self {
            Part::Open(_) => None,
            Part::Split(split) => split.info.sources.as_deref(),
        }
    }

    /// How many of its events lie between these moments, where that is known without opening it.
    pub(crate) fn count(&self, first: i64, last: i64) -> Option<u64> {
        match self {
            Part::Open(_) => None,
            Part::Split(split) => split.count(first, last),
        }
    }
}

/// The index of one moment.
pub(crate) struct Snapshot {
    pub(crate) parts: Vec<Part>,
    pub(crate) events: u64,
    pub(crate) position: LedgerIndex,
    pub(crate) dropped: Option<Dropped>,
    open: Arc<Open>,
    /// The segments of the generations, to be used again: generation, segment, and the state of its deletions.
    segments: BTreeMap<(u64, SegmentId, Option<u64>), Arc<Segment>>,
}

impl Snapshot {
    /// The documents of a part.
    pub(crate) fn segment(&self, part: usize) -> Result<Arc<Segment>> {
        match &self.parts[part] {
            Part::Open(segment) => Ok(segment.clone()),
            Part::Split(split) => self.open.get(split),
        }
    }

    pub(crate) fn hit(&self, entry: &Entry) -> Result<Hit> {
        let segment = self.segment(entry.segment)?;
        Ok(Hit {
            index: entry.key.index,
            leaves: segment.leaves(entry.doc),
            uid: segment.uid(entry.doc)?,
            time: entry.key.time,
            processed: segment.processed(entry.doc),
            cursor: entry.key,
        })
    }

    pub(crate) fn splits(&self) -> impl Iterator<Item = &Arc<Split>> {
        self.parts.iter().filter_map(|p| match p {
            Part::Split(split) => Some(split),
            Part::Open(_) => None,
        })
    }
}

/// What the index holds, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inventory {
    /// Every leaf below this one is indexed.
    pub position: LedgerIndex,
    /// Events in all.
    pub events: u64,
    /// Events that no split holds yet.
    pub hot_events: u64,
    /// Segments that these lie in.
    pub hot_segments: usize,
    /// The splits, the latest first.
    pub splits: Vec<SplitInfo>,
    /// Splits that are open at this moment.
    pub open: usize,
    /// What the index held once.
    pub dropped: Option<Dropped>,
}

/// Looks at the folder of an index, and keeps what it saw last.
pub(crate) struct Watcher {
    dir: PathBuf,
    open: Arc<Open>,
    snapshot: RwLock<Arc<Snapshot>>,
    /// One look at a time, so that none replaces a later one's.
    seen: Mutex<Seen>,
}

/// What the manifest names, opened.
struct Seen {
    manifest: Manifest,
    /// The sealed ones, in order, and last the hot one.
    generations: Vec<Generation>,
}

#[derive(Clone)]
struct Generation {
    number: u64,
    hot: Hot,
    reader: IndexReader,
}

impl Watcher {
    pub(crate) fn open(dir: &Path) -> Result<Watcher> {
        let open = Arc::new(Open::default());
        let mut seen = None;
        let snapshot = look(dir, &mut seen, None, &open)?;
        let seen = seen.ok_or_else(|| nothing(dir))?;
        Ok(Watcher {
            dir: dir.to_owned(),
            open,
            snapshot: RwLock::new(Arc::new(snapshot)),
            seen: Mutex::new(seen),
        })
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.read().unwrap_or_else(|e| e.into_inner()).clone()
    }

    /// Looks again.
    pub(crate) fn reload(&self) -> Result<()> {
        let mut seen = self.seen.lock().unwrap_or_else(|e| e.into_inner());
        let before = self.snapshot();
        let mut now = Some(Seen {
            manifest: seen.manifest.clone(),
            generations: seen.generations.clone(),
        });
        let fresh = look(&self.dir, &mut now, Some(&before), &self.open)?;
        if let Some(now) = now {
            *seen = now;
        }
        let splits: Vec<(u64, u32)> = fresh.splits().map(|s| (s.info.generation, s.info.number)).collect();
        self.open.keep(|g, n| splits.contains(&(g, n)));
        *self.snapshot.write().unwrap_or_else(|e| e.into_inner()) = Arc::new(fresh);
        Ok(())
    }

    pub(crate) fn inventory(&self) -> Inventory {
        let snapshot = self.snapshot();
        let mut splits: Vec<SplitInfo> = snapshot.splits().map(|s| s.info.clone()).collect();
        splits.sort_by_key(|s| std::cmp::Reverse((s.last, s.generation, s.number)));
        let hot_events = snapshot.events - splits.iter().map(|s| s.events).sum::<u64>();
        Inventory {
            position: snapshot.position,
            events: snapshot.events,
            hot_events,
            hot_segments: snapshot.parts.len() - splits.len(),
            splits,
            open: self.open.count(),
            dropped: snapshot.dropped,
        }
    }
}

fn nothing(dir: &Path) -> Error {
    Error::Rebuild {
        dir: dir.to_owned(),
        reason: "it has no manifest".into(),
    }
}

/// Reads until manifest, commit and segments are of one moment. A writer that changes them between two looks makes the
/// next one necessary; no writer does so for long.
fn look(dir: &Path, seen: &mut Option<Seen>, before: Option<&Snapshot>, open: &Arc<Open>) -> Result<Snapshot> {
    let mut outcome = Err(nothing(dir));
    for _ in 0..LOOKS_MAX {
        let change = Manifest::change_on_disk(dir);
        if seen.as_ref().is_none_or(|s| change != Some(s.manifest.change)) {
            match Seen::read(dir, seen.as_ref()) {
                Ok(fresh) => *seen = Some(fresh),
                // A folder may have gone since the manifest was read.
                Err(error) if Manifest::change_on_disk(dir) == change => return Err(error),
                Err(error) => {
                    outcome = Err(error);
                    continue;
                }
            }
        }
        let Some(now) = seen.as_ref() else { break };
        match snapshot(dir, now, before, open) {
            Ok((fresh, true)) if Manifest::change_on_disk(dir) == Some(now.manifest.change) => return Ok(fresh),
            Ok((fresh, _)) => outcome = Ok(fresh),
            Err(error) if Manifest::change_on_disk(dir) == Some(now.manifest.change) => return Err(error),
            Err(error) => outcome = Err(error),
        }
    }
    outcome
}

/// Times that a moment is looked for which no writer disturbs.
const LOOKS_MAX: usize = 64;

impl Seen {
    fn read(dir: &Path, before: Option<&Seen>) -> Result<Seen> {
        let manifest = Manifest::read(dir)?.ok_or_else(|| nothing(dir))?;
        let known = |number: u64| before.and_then(|b| b.generations.iter().find(|g| g.number == number).cloned());
        let open = |number: u64| match known(number) {
            Some(generation) => Ok(generation),
            None => {
                let hot = Hot::open(&dir.join(hot_name(number)))?;
                let reader = hot.reader()?;
                Ok(Generation { number, hot, reader })
            }
        };
        let numbers = manifest.sealed.iter().chain([&manifest.hot]);
        let generations = numbers.map(|n| open(*n)).collect::<Result<_>>()?;
        Ok(Seen { manifest, generations })
    }
}

/// What was seen, as a snapshot, and whether the hot generation stayed as it was meanwhile: a commit between the two reads
/// only makes the stated position too small.
fn snapshot(dir: &Path, seen: &Seen, before: Option<&Snapshot>, open: &Arc<Open>) -> Result<(Snapshot, bool)> {
    let Some(hot) = seen.generations.last() else {
        return Err(nothing(dir));
    };
    let payload = hot.hot.payload()?;
    let mut out = Snapshot {
        parts: Vec::new(),
        events: 0,
        position: payload.position,
        dropped: seen.manifest.dropped,
        open: open.clone(),
        segments: BTreeMap::new(),
    };
    for generation in &seen.generations {
        generation.reader.reload()?;
        let gone = payload.gone_of(generation.number);
        for reader in generation.reader.searcher().segment_readers() {
            let key = (generation.number, reader.segment_id(), reader.delete_opstamp());
            let segment = match before.and_then(|b| b.segments.get(&key)).filter(|_| gone.is_empty()) {
                Some(known) => known.clone(),
                None if gone.is_empty() => Arc::new(Segment::open(reader)?),
                None => Arc::new(marked(&generation.hot, reader, &gone)?),
            };
            if gone.is_empty() {
                out.segments.insert(key, segment.clone());
            }
            out.parts.push(Part::Open(segment));
        }
    }
    let known: BTreeMap<(u64, u32), &Arc<Split>> = before
        .iter()
        .flat_map(|b| b.splits())
        .map(|s| ((s.info.generation, s.info.number), s))
        .collect();
    for info in &seen.manifest.splits {
        let gone = payload.gone_of(info.generation);
        let touched = gone.iter().any(|l| (info.leaves.0.0..=info.leaves.1.0).contains(l));
        let split = match known.get(&(info.generation, info.number)).filter(|s| s.info == *info) {
            Some(split) => (*split).clone(),
            None => Arc::new(Split::new(dir, info.clone())),
        };
        out.parts.push(match touched {
            true => Part::Open(Arc::new(split.open(&gone)?)),
            false => Part::Split(split),
        });
    }
    out.events = out.parts.iter().map(Part::events).sum();
    let steady = hot.hot.payload()? == payload;
    Ok((out, steady))
}

/// A segment with more dead events than its index says.
fn marked(hot: &Hot, reader: &SegmentReader, gone: &[u64]) -> Result<Segment> {
    let of = hot.index.searchable_segments()?;
    let Some(segment) = of.iter().find(|s| s.id() == reader.segment_id()) else {
        return Err(hot.rebuild("a segment went while it was read".into()));
    };
    let alive = without(reader, gone)?;
    Segment::open(&SegmentReader::open_with_custom_alive_set(segment, Some(alive))?)
}

/// Reads and checks every byte of an index, of its splits too.
///
/// # Errors
/// [`Error::Rebuild`] where one is not as it was written.
pub fn check(dir: &Path) -> Result<()> {
    let manifest = Manifest::read(dir)?.ok_or_else(|| nothing(dir))?;
    for info in &manifest.splits {
        let split = Split::new(dir, info.clone());
        if !split.is_whole() {
            return Err(Error::Rebuild {
                dir: dir.to_owned(),
                reason: format!("files of {} are missing or cut", info.name()),
            });
        }
    }
    manifest.folders().iter().try_for_each(|f| split::check(&dir.join(f)))
}

impl Inventory {
    /// The splits whose records were all received before a moment.
    #[must_use]
    pub fn received_before(&self, moment: Millis) -> Vec<&SplitInfo> {
        self.splits.iter().filter(|s| s.received.1 < moment).collect()
    }
}
