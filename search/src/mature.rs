//! Mature splits: a generation that takes nothing more, merged into one segment for each window of event time.
//!
//! A record is merged once among its like while its generation is hot, and once here; at rates at which commits are small it
//! is merged oftener, and the sum of all is little. A segment that is large already and of no more than a day, or wholly of
//! one window, as they come while the index catches up, is a split as it is.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;
use tantivy::fastfield::{AliveBitSet, write_alive_bitset};
use tantivy::index::Segment;
use tantivy::indexer::merge_filtered_segments;
use tantivy::{BitSet, SegmentReader};

use crate::error::{Error, Result};
use crate::hot::Hot;
use crate::manifest::{SplitInfo, hot_name};
use crate::split::{DAY, describe, fresh, sync, sync_names};

/// Below so many events a generation is one split, whatever its times.
const APART_MIN: u64 = 10_000;
/// A window is a whole number of days and holds at least this part of its generation's events.
const WINDOWS_MAX: u64 = 8;
/// Days without an event that end a window.
const GAP_DAYS: i64 = 31;

/// Makes the splits of a generation and describes them. Writes into `index` and changes nothing there.
pub(crate) fn mature(index: &Path, generation: u64, own_docs: u32) -> Result<Vec<SplitInfo>> {
    let hot = Hot::open(&index.join(hot_name(generation)))?;
    let segments = hot.index.searchable_segments()?;
    let readers: Vec<SegmentReader> = segments
        .iter()
        .map(SegmentReader::open)
        .collect::<tantivy::Result<_>>()?;
    let mut days: BTreeMap<i64, u64> = BTreeMap::new();
    let mut splits: Vec<SplitInfo> = Vec::new();
    let (mut rest, mut own) = (Vec::new(), Vec::new());
    for (segment, reader) in segments.iter().zip(&readers) {
        let time = reader.fast_fields().i64("time")?;
        let is_large = reader.num_docs() == reader.max_doc() && reader.max_doc() >= own_docs;
        // No longer than a day and a window of its own, wherever midnight is.
        match is_large && time.max_value().saturating_sub(time.min_value()) < DAY {
            true => own.push((segment, reader)),
            false => rest.push((segment, reader)),
        }
    }
    for (segment, reader) in own {
        let number = splits.len() as u32;
        let dir = adopt(&hot, segment, &index.join(split_name(generation, number)))?;
        splits.push(describe(&dir.dir, generation, number, reader)?);
    }
    for (_, reader) in &rest {
        let time = reader.fast_fields().i64("time")?;
        for doc in reader.doc_ids_alive() {
            *days.entry(day(time.first(doc))).or_default() += 1;
        }
    }
    let windows = windows(&days);
    for window in 0..windows.count {
        fail::fail_point!("mature::window");
        let (mut parts, mut filters): (Vec<Segment>, Vec<Option<AliveBitSet>>) = (Vec::new(), Vec::new());
        for (segment, reader) in &rest {
            let time = reader.fast_fields().i64("time")?;
            let mut of_window = BitSet::with_max_value(reader.max_doc());
            for doc in reader.doc_ids_alive() {
                if windows.of(day(time.first(doc))) == window {
                    of_window.insert(doc);
                }
            }
            match of_window.len() as u32 {
                0 => continue,
                n if n == reader.max_doc() && n >= own_docs => {
                    let number = splits.len() as u32;
                    let dir = adopt(&hot, segment, &index.join(split_name(generation, number)))?;
                    splits.push(describe(&dir.dir, generation, number, reader)?);
                    continue;
                }
                n if n == reader.max_doc() => filters.push(None),
                _ => filters.push(Some(alive(&of_window)?)),
            }
            parts.push(Segment::clone(segment));
        }
        if parts.is_empty() {
            continue;
        }
        let number = splits.len() as u32;
        let dir = index.join(split_name(generation, number));
        let merged = merge_filtered_segments(&parts, hot.index.settings().clone(), filters, fresh(&dir)?)?;
        fail::fail_point!("mature::merged");
        sync(&dir)?;
        let [segment] = &merged.searchable_segments()?[..] else {
            return Err(hot.rebuild("a merge of other than one segment".into()));
        };
        splits.push(describe(&dir, generation, number, &SegmentReader::open(segment)?)?);
    }
    // The writer publishes manifests in it meanwhile.
    sync_names(index)?;
    Ok(splits)
}

/// Makes a split of one segment as it is: its files by another name.
fn adopt(hot: &Hot, segment: &Segment, dir: &Path) -> Result<Hot> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Io { path, source }
    };
    let foreign = |e: serde_json::Error| hot.rebuild(format!("its list of segments cannot be read: {e}"));
    fresh(dir)?;
    let id = segment.id().uuid_string();
    let mut names = Vec::new();
    for entry in fs::read_dir(&hot.dir).map_err(io(&hot.dir))? {
        let name = entry.map_err(io(&hot.dir))?.file_name().to_string_lossy().into_owned();
        if name.starts_with(&id) {
            let (from, to) = (hot.dir.join(&name), dir.join(&name));
            // Where a file cannot have two names, it is there twice for a while.
            fs::hard_link(&from, &to)
                .or_else(|_| fs::copy(&from, &to).map(|_| ()))
                .map_err(io(&to))?;
            names.push(name);
        }
    }
    names.push(META.to_owned());
    names.sort();
    let path = hot.dir.join(META);
    let mut meta: Value = serde_json::from_slice(&fs::read(&path).map_err(io(&path))?).map_err(foreign)?;
    let of = meta.get_mut("segments").and_then(Value::as_array_mut);
    if let Some(segments) = of {
        let is_it = |s: &Value| s["segment_id"].as_str().is_some_and(|s| s.replace('-', "") == id);
        segments.retain(is_it);
    }
    // The position is the generation's.
    meta["payload"] = Value::Null;
    for (name, json) in [(META, meta), (MANAGED, names.into())] {
        let path = dir.join(name);
        fs::write(&path, json.to_string()).map_err(io(&path))?;
    }
    sync(dir)?;
    let split = Hot::open(dir)?;
    match split.events()? == u64::from(segment.meta().num_docs()) {
        true => Ok(split),
        false => Err(split.rebuild("a segment is not there".into())),
    }
}

/// Tantivy's names for the list of segments and for that of files.
const META: &str = "meta.json";
const MANAGED: &str = ".managed.json";

fn split_name(generation: u64, number: u32) -> String {
    format!("split-{generation:06}-{number}")
}

fn day(time: Option<i64>) -> i64 {
    time.unwrap_or_default().div_euclid(DAY)
}

/// A set of documents as Tantivy wants it.
pub(crate) fn alive(docs: &BitSet) -> Result<AliveBitSet> {
    let mut bytes = Vec::new();
    write_alive_bitset(docs, &mut bytes)?;
    Ok(AliveBitSet::open(tantivy::directory::OwnedBytes::new(bytes)))
}

/// Which day goes into which split.
struct Windows {
    of_day: BTreeMap<i64, u32>,
    count: u32,
}

impl Windows {
    fn of(&self, day: i64) -> u32 {
        self.of_day.get(&day).copied().unwrap_or_default()
    }
}

/// Days side by side are one window until it holds enough. What is too little for one of its own, late records and wrong
/// clocks, is in one split together, whose days the manifest tells.
fn windows(days: &BTreeMap<i64, u64>) -> Windows {
    let total: u64 = days.values().sum();
    if total < APART_MIN {
        return Windows {
            of_day: days.keys().map(|d| (*d, 0)).collect(),
            count: 1,
        };
    }
    let enough = total.div_ceil(WINDOWS_MAX);
    let mut groups: Vec<(u64, Vec<i64>)> = Vec::new();
    for (day, events) in days {
        match groups.last_mut() {
            Some((sum, of)) if *sum < enough && of.last().is_some_and(|last| day - last <= GAP_DAYS) => {
                *sum += events;
                of.push(*day);
            }
            _ => groups.push((*events, vec![*day])),
        }
    }
    let mut out = Windows {
        of_day: BTreeMap::new(),
        count: 0,
    };
    let (windows, rest): (Vec<_>, Vec<_>) = groups.into_iter().partition(|(sum, _)| *sum >= enough);
    for (_, of) in windows {
        out.of_day.extend(of.into_iter().map(|d| (d, out.count)));
        out.count += 1;
    }
    if !rest.is_empty() {
        out.of_day
            .extend(rest.into_iter().flat_map(|(_, of)| of).map(|d| (d, out.count)));
        out.count += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(days: &[(i64, u64)], expected: &[(i64, u32)]) {
        let windows = windows(&days.iter().copied().collect());
        assert_eq!(windows.of_day.into_iter().collect::<Vec<_>>(), expected, "{days:?}");
    }

    #[test]
    fn few_events_are_one_split() {
        check(&[(0, 5), (20_000, 9_000)], &[(0, 0), (20_000, 0)]);
    }

    #[test]
    fn late_records_do_not_widen_the_window_of_the_day() {
        check(
            &[(0, 3), (19_990, 40), (20_000, 100_000), (20_001, 200_000)],
            &[(0, 2), (19_990, 0), (20_000, 0), (20_001, 1)],
        );
        check(&[(0, 3), (20_000, 100_000)], &[(0, 1), (20_000, 0)]);
    }

    #[test]
    fn many_days_are_few_windows() {
        let days: Vec<(i64, u64)> = (0..400).map(|d| (d, 1_000)).collect();
        let windows = windows(&days.iter().copied().collect());
        assert_eq!(windows.count, 8);
        assert!(windows.of_day.values().is_sorted());
    }
}
