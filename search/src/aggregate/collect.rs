//! What is kept while documents go by.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use model::Millis;
use tantivy::DocId;

use super::values::Opened;
use super::{Agg, BUCKETS_MAX, DEPTH_MAX, Found, Numbers, Stats, Within};
use crate::cursor::Sort;
use crate::error::{Error, Result};
use crate::matching::RawText;
use crate::query::field::{self, Kind};
use crate::segment::Segment;

/// One aggregation under way.
pub(super) struct State {
    field: usize,
    kind: Kept,
}

enum Kept {
    Terms {
        size: usize,
        within: Vec<Agg>,
        depth: usize,
        /// By the value's number; those without an event are none.
        buckets: Vec<Counted>,
        missing: u64,
        values: u64,
    },
    Histogram {
        interval: i64,
        offset: i64,
        within: Vec<Agg>,
        depth: usize,
        buckets: BTreeMap<i64, Counted>,
    },
    /// By the value's number.
    Cardinality(Vec<bool>),
    Stats(Stats),
    Numbers(BTreeMap<Ordered, u64>),
}

/// A number, in order among others.
#[derive(Clone, Copy)]
struct Ordered(f64);

impl PartialEq for Ordered {
    fn eq(&self, other: &Ordered) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Ordered {}

impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Ordered) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ordered {
    fn cmp(&self, other: &Ordered) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

#[derive(Default)]
struct Counted {
    count: u64,
    within: Vec<State>,
}

impl State {
    pub(super) fn new(agg: &Agg, opened: &mut Opened<'_>, depth: usize) -> Result<State> {
        if depth > DEPTH_MAX {
            return Err(Error::TooDeep { limit: DEPTH_MAX });
        }
        let (field, kind) = match agg {
            Agg::Terms { field, size, within } => {
                let kept = Kept::Terms {
                    size: *size,
                    within: within.clone(),
                    depth,
                    buckets: Vec::new(),
                    missing: 0,
                    values: 0,
                };
                (field, kept)
            }
            Agg::Histogram {
                field: name,
                interval_ms,
                offset_ms,
                within,
            } => {
                if !field::find(name).is_some_and(|f| matches!(f.kind, Kind::Time(_))) {
                    return Err(Error::Aggregation {
                        given: name.chars().take(100).collect(),
                        allowed: "time, received, processed".to_owned(),
                    });
                }
                let kept = Kept::Histogram {
                    interval: (*interval_ms).max(1),
                    offset: *offset_ms,
                    within: within.clone(),
                    depth,
                    buckets: BTreeMap::new(),
                };
                (name, kept)
            }
            Agg::Cardinality { field } => (field, Kept::Cardinality(Default::default())),
            Agg::Stats { field } => (field, Kept::Stats(Stats::default())),
            Agg::Numbers { field } => (field, Kept::Numbers(BTreeMap::new())),
        };
        // Those within are opened now, so that the columns of each segment are.
        for inner in within(agg) {
            State::new(inner, opened, depth + 1)?;
        }
        Ok(State {
            field: opened.field(field)?,
            kind,
        })
    }

    /// Takes all documents of a segment: whole columns, where these say all.
    pub(super) fn take_every(&mut self, opened: &mut Opened<'_>, segment: &Segment, text: &dyn RawText) -> Result<()> {
        let field = self.field;
        match &mut self.kind {
            Kept::Terms {
                within,
                depth,
                buckets,
                missing,
                values,
                ..
            } if within.is_empty() => {
                let mut counts = Vec::new();
                if let Some(without) = opened.every_value(field, &mut counts)? {
                    *missing += without;
                    for (id, count) in counts {
                        *values += count;
                        bucket(buckets, id, within, *depth, opened)?.count += count;
                    }
                    return opened.counted(field);
                }
            }
            Kept::Cardinality(seen) => {
                let mut ids = Vec::new();
                if opened.every_text(field, &mut ids)? {
                    see(seen, &ids);
                    return opened.counted(field);
                }
            }
            Kept::Histogram {
                interval,
                offset,
                within,
                buckets,
                ..
            } if within.is_empty() => {
                let mut times = ByTime::new(*interval, *offset, buckets);
                if opened.every_moment(field, |at| times.add(at))? {
                    return times.finish();
                }
            }
            _ => {}
        }
        let mut outcome = Ok(());
        segment.every_doc(Sort::Oldest, |docs| {
            if outcome.is_ok() {
                outcome = match text.is_stopped() {
                    true => Err(Error::Cancelled { events: 0, of: 0 }),
                    false => self.take(opened, segment, docs),
                };
            }
        });
        outcome
    }

    /// Takes matching documents of a segment.
    pub(super) fn take(&mut self, opened: &mut Opened<'_>, segment: &Segment, docs: &[DocId]) -> Result<()> {
        let field = self.field;
        match &mut self.kind {
            Kept::Terms {
                within,
                depth,
                buckets,
                missing,
                values,
                ..
            } => {
                let mut ids = Vec::new();
                let mut groups: BTreeMap<u32, Vec<DocId>> = BTreeMap::new();
                if within.is_empty()
                    && let Some(without) = opened.block(field, docs, &mut ids)?
                {
                    *missing += without;
                    *values += ids.len() as u64;
                    for id in &ids {
                        bucket(buckets, *id, within, *depth, opened)?.count += 1;
                    }
                    return opened.counted(field);
                }
                for doc in docs {
                    opened.ids(field, segment, *doc, &mut ids)?;
                    *missing += u64::from(ids.is_empty());
                    *values += ids.len() as u64;
                    for id in &ids {
                        bucket(buckets, *id, within, *depth, opened)?.count += 1;
                        if !within.is_empty() {
                            groups.entry(*id).or_default().push(*doc);
                        }
                    }
                }
                for (id, docs) in groups {
                    buckets[id as usize]
                        .within
                        .iter_mut()
                        .try_for_each(|s| s.take(opened, segment, &docs))?;
                }
                Ok(())
            }
            Kept::Histogram {
                interval,
                offset,
                within,
                depth,
                buckets,
            } => {
                if within.is_empty() {
                    let mut times = ByTime::new(*interval, *offset, buckets);
                    opened.moments(field, docs, |at| times.add(at))?;
                    return times.finish();
                }
                let mut groups: BTreeMap<i64, Vec<DocId>> = BTreeMap::new();
                for doc in docs {
                    let Some(at) = opened.moment(field, *doc) else { continue };
                    let key = at.saturating_add(*offset).div_euclid(*interval);
                    groups.entry(key).or_default().push(*doc);
                }
                for (key, docs) in groups {
                    if !buckets.contains_key(&key) {
                        if buckets.len() as u64 >= BUCKETS_MAX {
                            return Err(too_many(BUCKETS_MAX + 1));
                        }
                        let counted = Counted {
                            count: 0,
                            within: states(within, *depth, opened)?,
                        };
                        buckets.insert(key, counted);
                    }
                    if let Some(counted) = buckets.get_mut(&key) {
                        counted.count += docs.len() as u64;
                        counted
                            .within
                            .iter_mut()
                            .try_for_each(|s| s.take(opened, segment, &docs))?;
                    }
                }
                Ok(())
            }
            Kept::Cardinality(seen) => {
                let mut ids = Vec::new();
                if opened.block(field, docs, &mut ids)?.is_some() {
                    see(seen, &ids);
                    return opened.counted(field);
                }
                for doc in docs {
                    opened.ids(field, segment, *doc, &mut ids)?;
                    see(seen, &ids);
                }
                Ok(())
            }
            Kept::Stats(stats) => {
                let mut numbers = Vec::new();
                for doc in docs {
                    opened.numbers(field, segment, *doc, &mut numbers)?;
                    for n in &numbers {
                        stats.count += 1;
                        stats.sum += n;
                        stats.min = Some(stats.min.map_or(*n, |m| m.min(*n)));
                        stats.max = Some(stats.max.map_or(*n, |m| m.max(*n)));
                    }
                }
                Ok(())
            }
            Kept::Numbers(kept) => {
                let mut numbers = Vec::new();
                for doc in docs {
                    opened.numbers(field, segment, *doc, &mut numbers)?;
                    for n in &numbers {
                        let count = kept.entry(Ordered(*n)).or_insert(0);
                        if *count == 0 {
                            opened.hold(1)?;
                        }
                        *count += 1;
                    }
                }
                Ok(())
            }
        }
    }

    pub(super) fn finish(self, opened: &Opened<'_>) -> Result<Found> {
        Ok(match self.kind {
            Kept::Terms {
                size,
                buckets,
                missing,
                values,
                ..
            } => {
                let mut all: Vec<(u32, Counted)> = (0..).zip(buckets).filter(|(_, c)| c.count > 0).collect();
                let distinct = all.len() as u64;
                all.sort_unstable_by(|(a, x), (b, y)| {
                    let by_name = || opened.text(self.field, *a).cmp(opened.text(self.field, *b));
                    y.count.cmp(&x.count).then_with(by_name)
                });
                all.truncate(size);
                let buckets = all
                    .into_iter()
                    .map(|(id, counted)| counted.finish(opened.name(self.field, id), opened))
                    .collect::<Result<Vec<_>>>()?;
                let shown: u64 = buckets.iter().map(|b| b.count).sum();
                Found::Terms {
                    buckets,
                    distinct,
                    missing,
                    others: values - shown,
                }
            }
            Kept::Histogram {
                interval,
                offset,
                within,
                depth,
                mut buckets,
            } => {
                let (Some(first), Some(last)) = (
                    buckets.first_key_value().map(|(k, _)| *k),
                    buckets.last_key_value().map(|(k, _)| *k),
                ) else {
                    return Ok(Found::Histogram { buckets: Vec::new() });
                };
                let given = last.abs_diff(first).saturating_add(1);
                if given > BUCKETS_MAX {
                    return Err(too_many(given));
                }
                let mut empty = Opened::new(&crate::matching::NoText);
                let one = |n: i64| {
                    let counted = match buckets.remove(&n) {
                        Some(counted) => counted,
                        None => Counted {
                            count: 0,
                            within: states(&within, depth, &mut empty)?,
                        },
                    };
                    let key = n.saturating_mul(interval).saturating_sub(offset);
                    counted.finish(Millis(key), opened)
                };
                Found::Histogram {
                    buckets: (first..=last).map(one).collect::<Result<_>>()?,
                }
            }
            Kept::Cardinality(seen) => Found::Cardinality(seen.iter().filter(|s| **s).count() as u64),
            Kept::Stats(stats) => Found::Stats(stats),
            Kept::Numbers(kept) => Found::Numbers(Numbers(kept.into_iter().map(|(n, count)| (n.0, count)).collect())),
        })
    }
}

impl Counted {
    fn finish<K>(self, key: K, opened: &Opened<'_>) -> Result<Within<K>> {
        let found = self.within.into_iter().map(|s| s.finish(opened));
        Ok(Within {
            key,
            count: self.count,
            found: found.collect::<Result<_>>()?,
        })
    }
}

/// Counts moments; those side by side are mostly of one bucket.
struct ByTime<'b> {
    interval: i64,
    offset: i64,
    buckets: &'b mut BTreeMap<i64, Counted>,
    /// The bucket that is being counted: its first moment, the first beyond it, its key.
    run: (i64, i64, i64),
    count: u64,
}

impl<'b> ByTime<'b> {
    fn new(interval: i64, offset: i64, buckets: &'b mut BTreeMap<i64, Counted>) -> ByTime<'b> {
        ByTime {
            interval,
            offset,
            buckets,
            run: (0, 0, 0),
            count: 0,
        }
    }

    #[inline]
    fn add(&mut self, at: i64) -> Result<()> {
        let at = at.saturating_add(self.offset);
        if self.run.0 <= at && at < self.run.1 {
            self.count += 1;
            return Ok(());
        }
        self.put()?;
        let key = at.div_euclid(self.interval);
        let first = key.saturating_mul(self.interval);
        self.run = (first, first.saturating_add(self.interval), key);
        self.count = 1;
        Ok(())
    }

    fn put(&mut self) -> Result<()> {
        if self.count == 0 {
            return Ok(());
        }
        let key = self.run.2;
        if self.buckets.len() as u64 >= BUCKETS_MAX && !self.buckets.contains_key(&key) {
            return Err(too_many(BUCKETS_MAX + 1));
        }
        self.buckets.entry(key).or_default().count += self.count;
        self.count = 0;
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        self.put()
    }
}

fn see(seen: &mut Vec<bool>, ids: &[u32]) {
    for id in ids.iter().map(|id| *id as usize) {
        if id >= seen.len() {
            seen.resize(id + 1, false);
        }
        seen[id] = true;
    }
}

fn bucket<'b>(
    buckets: &'b mut Vec<Counted>,
    id: u32,
    within: &[Agg],
    depth: usize,
    opened: &mut Opened<'_>,
) -> Result<&'b mut Counted> {
    let at = id as usize;
    if at >= buckets.len() {
        buckets.resize_with(at + 1, Counted::default);
    }
    let counted = &mut buckets[at];
    if counted.count == 0 {
        opened.hold(1)?;
        counted.within = states(within, depth, opened)?;
    }
    Ok(counted)
}

fn states(within: &[Agg], depth: usize, opened: &mut Opened<'_>) -> Result<Vec<State>> {
    within.iter().map(|agg| State::new(agg, opened, depth + 1)).collect()
}

fn within(agg: &Agg) -> &[Agg] {
    match agg {
        Agg::Terms { within, .. } | Agg::Histogram { within, .. } => within,
        Agg::Cardinality { .. } | Agg::Stats { .. } | Agg::Numbers { .. } => &[],
    }
}

fn too_many(given: u64) -> Error {
    Error::TooManyBuckets {
        given,
        limit: BUCKETS_MAX,
    }
}
