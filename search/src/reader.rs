//! Answering: a snapshot of the index, and requests against it.

use std::path::Path;
use std::sync::Arc;

use model::{LedgerIndex, Millis};
use tantivy::query::{AllQuery, Occur, Weight};

use crate::cursor::{Cursor, Sort};
use crate::error::Result;
use crate::manifest::Dropped;
use crate::matching::{Checked, LazyText, RawText, weight};
use crate::progress::Progress;
use crate::query::Query;
use crate::query::ast::Node;
use crate::query::plan::{Plan, and, moments};
use crate::query::prune::{Known, may_match};
use crate::schema::Fields;
use crate::segment::Segment;
use crate::snapshot::{Inventory, Part, Snapshot, Watcher};
use crate::top::{Entry, Top};

/// What is asked.
#[derive(Clone, Debug)]
pub struct Request {
    /// The conditions.
    pub query: Query,
    /// The first moment asked for; `None`: no bound.
    pub from: Option<Millis>,
    /// The first moment no longer asked for; `None`: no bound.
    pub to: Option<Millis>,
    /// Which end of time comes first.
    pub sort: Sort,
    /// Hits of one answer.
    pub limit: usize,
    /// Where the answer goes on: the last hit of the one before.
    pub after: Option<Cursor>,
    /// Count the matches exactly even where each has to be checked against the ledger (phrases in the raw line).
    pub exact_total: bool,
}

impl Request {
    /// The newest hundred of a query.
    #[must_use]
    pub fn new(query: Query) -> Request {
        Request {
            query,
            from: None,
            to: None,
            sort: Sort::Newest,
            limit: 100,
            after: None,
            exact_total: false,
        }
    }
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The hits, in order.
    pub hits: Vec<Hit>,
    /// How many match in all, before and after these hits too.
    pub total: Total,
    /// Where the next answer starts; `None`: these were the last.
    pub next: Option<Cursor>,
    /// What was searched.
    pub searched: Searched,
}

/// An event found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The leaf that holds its record; of several records the first one.
    pub index: LedgerIndex,
    /// The leaves of its records, in order.
    pub leaves: Vec<LedgerIndex>,
    /// Its uid: the record id, with `#n` for the later events of a record.
    pub uid: String,
    /// When it happened.
    pub time: Millis,
    /// When it was indexed, where the writer was told.
    pub processed: Option<Millis>,
    /// Its place in the order.
    pub cursor: Cursor,
}

/// How many match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Total {
    /// So many.
    Exact(u64),
    /// So many or fewer: they were not all checked against the ledger.
    AtMost(u64),
}

/// What an answer looked through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Searched {
    /// Events in the index.
    pub events: u64,
    /// Those of the time range: what was looked through.
    pub in_range: u64,
    /// Every leaf below this one was searched.
    pub up_to: LedgerIndex,
    /// The first moment asked for.
    pub from: Option<Millis>,
    /// The first moment no longer asked for.
    pub to: Option<Millis>,
    /// What was of that time range, or may have been, and is no longer in the index.
    pub dropped: Option<Dropped>,
}

/// Answers requests; cheap to clone, to be used by many at once.
#[derive(Clone)]
pub struct Searcher {
    shared: Arc<Shared>,
}

struct Shared {
    fields: Fields,
    watcher: Watcher,
}

impl Searcher {
    /// Opens the index in `dir` for reading, beside a writer or without one. Sees later commits after
    /// [`Searcher::reload`].
    ///
    /// # Errors
    /// [`crate::Error::Rebuild`] where there is no index that can be read.
    pub fn open(dir: &Path) -> Result<Searcher> {
        let shared = Shared {
            fields: Fields::new(),
            watcher: Watcher::open(dir)?,
        };
        Ok(Searcher {
            shared: Arc::new(shared),
        })
    }

    /// Looks for a later commit. A searcher taken from the writer needs it not.
    ///
    /// # Errors
    /// The disk's.
    pub fn reload(&self) -> Result<()> {
        self.shared.watcher.reload()
    }

    /// What the index holds, and where.
    #[must_use]
    pub fn inventory(&self) -> Inventory {
        self.shared.watcher.inventory()
    }

    /// Every leaf below this one can be found.
    #[must_use]
    pub fn position(&self) -> LedgerIndex {
        self.snapshot().position
    }

    /// Events in the index.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.snapshot().events
    }

    /// Answers a request. `text` is asked for raw lines where a query has phrases that the index alone cannot decide.
    ///
    /// # Errors
    /// The query's author's, the ledger's, or the disk's.
    pub fn search(&self, request: &Request, text: &dyn RawText) -> Result<Answer> {
        let search = self.prepare(request)?;
        let ahead = request.limit.saturating_add(1);
        let (mut entries, total) = match search.plan {
            Plan::Exact(_) => {
                let mut top = Top::new(request.sort, request.after, ahead);
                let total = search.collect(&mut top, text)?;
                (top.finish(), Total::Exact(total))
            }
            _ => search.collect_checked(request, ahead, text)?,
        };
        let more = entries.len() > request.limit;
        entries.truncate(request.limit);
        let hits: Vec<Hit> = entries.iter().map(|e| search.snapshot.hit(e)).collect::<Result<_>>()?;
        let next = hits.last().filter(|_| more).map(|h| h.cursor);
        Ok(Answer {
            hits,
            total,
            next,
            searched: search.searched(request)?,
        })
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.watcher.snapshot()
    }

    /// Plans a request against the snapshot of this moment.
    pub(crate) fn prepare(&self, request: &Request) -> Result<Search> {
        let fields = &self.shared.fields;
        let plan = Plan::of(&request.query.root, fields);
        let over = plan.over();
        let everything = over.is::<AllQuery>();
        let first = request.from.map_or(i64::MIN, |t| t.0);
        let last = match request.to {
            Some(t) => t.0.checked_sub(1),
            None => Some(i64::MAX),
        };
        // Before the earliest moment there is nothing: an empty range.
        let (first, last) = last.map_or((1, 0), |last| (first, last));
        let ranged = and(vec![
            (Occur::Must, over.box_clone()),
            (Occur::Must, moments(fields.time, first, last)),
        ]);
        Ok(Search {
            snapshot: self.snapshot(),
            schema: fields.schema.clone(),
            weight: weight(&*over, &fields.schema)?,
            ranged: weight(&*ranged, &fields.schema)?,
            range: weight(&*moments(fields.time, first, last), &fields.schema)?,
            plan,
            everything,
            first,
            last,
            sort: request.sort,
            root: request.query.root.clone(),
        })
    }
}

/// Documents of a part.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Matched<'d> {
    /// All there are.
    Every,
    /// Some of them.
    These(&'d [tantivy::DocId]),
}

/// A request, planned.
pub(crate) struct Search {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) plan: Plan,
    schema: tantivy::schema::Schema,
    /// Candidates.
    weight: Box<dyn Weight>,
    /// Candidates of the time range.
    ranged: Box<dyn Weight>,
    /// All of the time range.
    range: Box<dyn Weight>,
    /// Every event is a candidate.
    everything: bool,
    first: i64,
    last: i64,
    sort: Sort,
    root: Node,
}

impl Search {
    pub(crate) fn searched(&self, request: &Request) -> Result<Searched> {
        let Snapshot {
            events,
            position,
            dropped,
            ..
        } = *self.snapshot;
        let mut in_range = 0;
        for number in self.overlapping() {
            let part = &self.snapshot.parts[number];
            in_range += match part.count(self.first, self.last) {
                Some(known) => known,
                None if self.within(part) => part.events(),
                None => u64::from(self.range.count(&self.snapshot.segment(number)?.reader)?),
            };
        }
        Ok(Searched {
            events,
            in_range,
            up_to: position,
            from: request.from,
            to: request.to,
            dropped: dropped.filter(|d| d.first.0 <= self.last && d.last.0 >= self.first),
        })
    }

    /// The parts that may hold events of the time range, those that come first in the order first.
    fn overlapping(&self) -> Vec<usize> {
        let parts = &self.snapshot.parts;
        let mut out: Vec<usize> = (0..parts.len())
            .filter(|n| {
                let (first, last) = parts[*n].times();
                first <= self.last && last >= self.first && parts[*n].count(self.first, self.last) != Some(0)
            })
            .collect();
        out.sort_by_key(|n| match self.sort {
            Sort::Newest => (-i128::from(parts[*n].times().1), *n),
            Sort::Oldest => (i128::from(parts[*n].times().0), *n),
        });
        out
    }

    /// Of these, those that may hold a match.
    pub(crate) fn candidates(&self) -> Vec<usize> {
        let may = |n: &usize| {
            let part = &self.snapshot.parts[*n];
            let known = Known {
                times: part.times(),
                sources: part.sources(),
            };
            may_match(&self.root, &known)
        };
        self.overlapping().into_iter().filter(may).collect()
    }

    fn within(&self, part: &Part) -> bool {
        let (first, last) = part.times();
        first >= self.first && last <= self.last
    }

    /// What finds the candidates of a part.
    fn weight(&self, part: &Part) -> &dyn Weight {
        match self.within(part) {
            true => &*self.weight,
            false => &*self.ranged,
        }
    }

    /// Gathers candidates; returns how many there are in all.
    fn collect(&self, top: &mut Top, text: &dyn RawText) -> Result<u64> {
        let mut total = 0;
        let mut progress = Progress::of(self, text);
        for number in self.candidates() {
            let part = &self.snapshot.parts[number];
            progress.step(part)?;
            let (first, last) = part.times();
            let (wanted, whole) = (top.wants_times(first, last), self.everything && self.within(part));
            if !wanted && whole {
                total += part.events();
                continue;
            }
            let segment = self.snapshot.segment(number)?;
            let weight = self.weight(part);
            if !wanted {
                total += u64::from(weight.count(&segment.reader)?);
                continue;
            }
            if whole && !segment.reader.has_deletes() {
                total += u64::from(segment.reader.max_doc());
                segment.every_doc(self.sort, |docs| segment.offer(number, docs, top));
                continue;
            }
            weight.for_each_no_score(&segment.reader, &mut |docs| {
                let docs = segment.live(docs);
                total += docs.len() as u64;
                segment.offer(number, &docs, top);
            })?;
        }
        Ok(total)
    }

    /// As [`Search::collect`], each candidate checked, in order, until there are enough. Memory is bounded by the
    /// size of a round.
    fn collect_checked(&self, request: &Request, ahead: usize, text: &dyn RawText) -> Result<(Vec<Entry>, Total)> {
        let mut checked: Vec<Option<Checked<'_>>> = self.snapshot.parts.iter().map(|_| None).collect();
        let (mut out, mut matches, mut candidates, mut looked) = (Vec::new(), 0, None, 0);
        let mut after = if request.exact_total { None } else { request.after };
        let mut round = ahead.clamp(ROUND_MIN, ROUND_MAX);
        loop {
            let mut top = Top::new(self.sort, after, round);
            let count = self.collect(&mut top, text)?;
            candidates.get_or_insert(count);
            let entries = top.finish();
            let exhausted = entries.len() < round;
            for entry in &entries {
                let segment = self.snapshot.segment(entry.segment)?;
                let slot = &mut checked[entry.segment];
                if slot.is_none() {
                    *slot = Some(Checked::of(&self.plan, &self.schema, &segment.reader)?);
                }
                let Some(plan) = slot else { continue };
                if text.is_stopped() {
                    let of = candidates.unwrap_or(count);
                    return Err(crate::Error::Cancelled { events: looked, of });
                }
                looked += 1;
                let mut line = LazyText::new(text, segment.leaves(entry.doc), segment.uid(entry.doc)?);
                if !plan.matches(entry.doc, &mut line)? {
                    continue;
                }
                matches += 1;
                if out.len() < ahead && request.after.is_none_or(|a| self.sort.before(&a, &entry.key)) {
                    out.push(*entry);
                }
                if out.len() >= ahead && !request.exact_total {
                    return Ok((out, Total::AtMost(candidates.unwrap_or(count))));
                }
            }
            if exhausted {
                let all = request.exact_total || request.after.is_none();
                return Ok((
                    out,
                    if all {
                        Total::Exact(matches)
                    } else {
                        Total::AtMost(candidates.unwrap_or(count))
                    },
                ));
            }
            after = entries.last().map(|e| e.key);
            round = (round * 4).min(ROUND_MAX);
        }
    }

    /// Calls `each` with the matching documents of each part: all of it, or block by block.
    pub(crate) fn for_each(
        &self,
        text: &dyn RawText,
        mut each: impl FnMut(usize, &Segment, Matched<'_>) -> Result<()>,
    ) -> Result<()> {
        let exact = matches!(self.plan, Plan::Exact(_));
        let mut progress = Progress::of(self, text);
        for number in self.candidates() {
            let part = &self.snapshot.parts[number];
            progress.step(part)?;
            let segment = self.snapshot.segment(number)?;
            if exact && self.everything && self.within(part) && !segment.reader.has_deletes() {
                each(number, &segment, Matched::Every).map_err(|e| progress.told(e))?;
                continue;
            }
            let mut outcome = Ok(());
            let checked = if exact {
                None
            } else {
                Some(Checked::of(&self.plan, &self.schema, &segment.reader)?)
            };
            self.weight(part).for_each_no_score(&segment.reader, &mut |docs| {
                if outcome.is_ok() && text.is_stopped() {
                    outcome = Err(progress.cancelled());
                }
                if outcome.is_err() {
                    return;
                }
                let docs = segment.live(docs);
                outcome = match &checked {
                    None => each(number, &segment, Matched::These(&docs)),
                    Some(plan) => segment
                        .check(plan, &docs, text)
                        .and_then(|docs| each(number, &segment, Matched::These(&docs))),
                };
            })?;
            outcome?;
        }
        Ok(())
    }
}

/// Candidates that are gathered before the first are checked.
const ROUND_MIN: usize = 256;
/// Candidates that are gathered at most at once.
const ROUND_MAX: usize = 65_536;
