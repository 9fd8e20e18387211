//! The first so many of a stream of hits, in constant memory.

use tantivy::DocId;

use crate::cursor::{Cursor, Sort};

/// A document and its place in the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: Cursor,
    /// Which segment of the snapshot.
    pub(crate) segment: usize,
    pub(crate) doc: DocId,
}

impl Sort {
    /// Whether `a` comes before `b`.
    pub(crate) fn before(self, a: &Cursor, b: &Cursor) -> bool {
        match self {
            Sort::Newest => a > b,
            Sort::Oldest => a < b,
        }
    }

    fn compare(self, a: &Cursor, b: &Cursor) -> std::cmp::Ordering {
        match self {
            Sort::Newest => b.cmp(a),
            Sort::Oldest => a.cmp(b),
        }
    }
}

/// Keeps the first `limit` entries after `after`.
pub(crate) struct Top {
    sort: Sort,
    after: Option<Cursor>,
    limit: usize,
    entries: Vec<Entry>,
    /// The last that can still be among the first, once there are enough.
    last: Option<Cursor>,
}

impl Top {
    pub(crate) fn new(sort: Sort, after: Option<Cursor>, limit: usize) -> Top {
        Top {
            sort,
            after,
            limit,
            entries: Vec::new(),
            last: None,
        }
    }

    /// Whether an entry of that key would be kept.
    pub(crate) fn wants(&self, key: &Cursor) -> bool {
        self.limit > 0
            && self.after.is_none_or(|after| self.sort.before(&after, key))
            && self.last.is_none_or(|last| self.sort.before(key, &last))
    }

    /// Whether an entry of a time between these could be kept.
    pub(crate) fn wants_times(&self, first: i64, last: i64) -> bool {
        let key = |time, end| Cursor {
            time: model::Millis(time),
            index: model::LedgerIndex(end),
            event: end,
        };
        let (best, worst) = match self.sort {
            Sort::Newest => (key(last, u64::MAX), key(first, 0)),
            Sort::Oldest => (key(first, 0), key(last, u64::MAX)),
        };
        self.limit > 0
            && self.after.is_none_or(|after| self.sort.before(&after, &worst))
            && self.last.is_none_or(|end| self.sort.before(&best, &end))
    }

    /// As [`Top::wants`], judged by time alone: a quick no.
    pub(crate) fn may_want(&self, time: i64) -> bool {
        self.wants_times(time, time)
    }

    pub(crate) fn push(&mut self, entry: Entry) {
        if !self.wants(&entry.key) {
            return;
        }
        self.entries.push(entry);
        if self.entries.len() >= self.limit.saturating_mul(2).max(64) {
            self.shrink();
        }
    }

    fn shrink(&mut self) {
        let sort = self.sort;
        if self.entries.len() > self.limit {
            self.entries
                .select_nth_unstable_by(self.limit - 1, |a, b| sort.compare(&a.key, &b.key));
            self.entries.truncate(self.limit);
            self.last = self.entries.last().map(|e| e.key);
        }
    }

    /// The entries, in order.
    pub(crate) fn finish(mut self) -> Vec<Entry> {
        self.shrink();
        let sort = self.sort;
        self.entries.sort_unstable_by(|a, b| sort.compare(&a.key, &b.key));
        self.entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{LedgerIndex, Millis};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_keeps_what_sorting_all_would(
            times in prop::collection::vec(-5i64..5, 0..300), limit in 0usize..40, newest in any::<bool>(),
            after in prop::option::of((-5i64..5, 0u64..300)),
        ) {
            let sort = if newest { Sort::Newest } else { Sort::Oldest };
            let after = after.map(|(t, i)| Cursor { time: Millis(t), index: LedgerIndex(i), event: 0 });
            let entry = |(i, t): (usize, &i64)| Entry {
                key: Cursor { time: Millis(*t), index: LedgerIndex(i as u64), event: 0 }, segment: 0, doc: i as u32,
            };
            let mut top = Top::new(sort, after, limit);
            let mut plain: Vec<Entry> = times.iter().enumerate().map(entry).collect();
            for e in &plain {
                if !top.may_want(e.key.time.0) {
                    prop_assert!(!top.wants(&e.key));
                }
                top.push(*e);
            }
            plain.retain(|e| after.is_none_or(|a| sort.before(&a, &e.key)));
            plain.sort_by(|a, b| sort.compare(&a.key, &b.key));
            plain.truncate(limit);
            prop_assert_eq!(top.finish(), plain);
        }
    }
}
