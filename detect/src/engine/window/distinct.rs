//! When each value of a group was seen, and what that makes of the windows' distinct counts.
//!
//! Each entry carries the number of distinct values of its window; a value that comes or goes changes the counts of
//! those entries alone whose windows hold it by that event only. In order of time that is none but the new one, so
//! that an event costs a look-up, however many values there are.

use std::collections::VecDeque;
use std::sync::Arc;

use foldhash::HashMap;
use model::Millis;

use super::entry::Entry;
use super::later;

/// When a value was seen, and how often at that moment; oldest first.
type Times = VecDeque<(Millis, u32)>;

/// The values of a group.
#[derive(Debug, Default)]
pub(super) struct Distinct {
    by_value: HashMap<Arc<str>, Times>,
}

impl Distinct {
    /// Counts the values of `new`, which is about to stand at `at`, here and in the windows of the others.
    pub fn enter(&mut self, span_ms: i64, entries: &mut VecDeque<Entry>, at: usize, new: &mut Entry) {
        let t = new.time();
        for value in new.values().texts() {
            self.shift(span_ms, entries, value, t, 1);
        }
        new.set_distinct(self.count(span_ms, entries, at, new));
        for value in new.values().texts() {
            let times = match self.by_value.get_mut(value) {
                Some(times) => times,
                None => self
                    .by_value
                    .entry(value.clone())
                    .or_insert_with(|| VecDeque::with_capacity(1)),
            };
            match times.binary_search_by_key(&t, |(at, _)| *at) {
                Ok(i) => times[i].1 += 1,
                Err(i) => times.insert(i, (t, 1)),
            }
        }
    }

    /// Counts the values of `gone`, which stands there no more, no more.
    pub fn leave(&mut self, span_ms: i64, entries: &mut VecDeque<Entry>, gone: &Entry) {
        let t = gone.time();
        for value in gone.values().texts() {
            let Some(times) = self.by_value.get_mut(value) else {
                continue;
            };
            if let Ok(i) = times.binary_search_by_key(&t, |(at, _)| *at) {
                times[i].1 -= 1;
                if times[i].1 > 0 {
                    continue;
                }
                times.remove(i);
            }
            if times.is_empty() {
                self.by_value.remove(value);
            }
            self.shift(span_ms, entries, value, t, -1);
        }
    }

    /// The entries whose windows hold `value` only by its being at `t` count it, or count it no more.
    fn shift(&self, span_ms: i64, entries: &mut VecDeque<Entry>, value: &Arc<str>, t: Millis, by: i32) {
        // In order of time nobody's window holds `t` yet.
        if entries.back().is_none_or(|last| last.time() < t) {
            return;
        }
        let (mut previous, mut next) = (None, None);
        if let Some(times) = self.by_value.get(value) {
            let after = times.partition_point(|(at, _)| *at <= t);
            previous = after.checked_sub(1).map(|i| times[i].0);
            next = times.get(after).map(|(at, _)| *at);
        }
        let from = previous.map_or(t, |p| t.max(p.plus_ms(span_ms)));
        let end = t.plus_ms(span_ms);
        let until = next.map_or(end, |n| end.min(n));
        let start = entries.partition_point(|e| e.time() < from);
        let end = entries.partition_point(|e| e.time() < until).max(start);
        for entry in entries.range_mut(start..end) {
            entry.set_distinct(entry.distinct().saturating_add_signed(by));
        }
    }

    /// Distinct values of the window of `new`, which is about to stand at `at`: from its neighbour's count, less
    /// what has left the window since. `by_value` does not hold it yet; its neighbours' counts do.
    fn count(&self, span_ms: i64, entries: &VecDeque<Entry>, at: usize, new: &Entry) -> u32 {
        let t = new.time();
        if let Some(same) = entries.get(at).filter(|e| e.time() == t) {
            return same.distinct();
        }
        let start = t.plus_ms(-span_ms);
        let before = at.checked_sub(1).map(|i| &entries[i]);
        if let Some(same) = before.filter(|e| e.time() == t) {
            return same.distinct();
        }
        let mut count = 0;
        if let Some(before) = before.filter(|e| e.time() > start) {
            let s = before.time();
            count = before.distinct();
            let first = later(entries, s.plus_ms(-span_ms));
            let end = later(entries, start).max(first);
            let mut left: std::collections::HashSet<&Arc<str>> = std::collections::HashSet::new();
            for value in entries.range(first..end).flat_map(|gone| gone.values().texts()) {
                if !self.seen(value, start, s) && left.insert(value) {
                    count -= 1;
                }
            }
        }
        for value in new.values().texts() {
            count += u32::from(!self.seen(value, start, t));
        }
        count
    }

    /// Whether a value was seen with `after < time <= until`.
    fn seen(&self, value: &Arc<str>, after: Millis, until: Millis) -> bool {
        self.by_value.get(value).is_some_and(|times| {
            let i = times.partition_point(|(at, _)| *at <= after);
            times.get(i).is_some_and(|(at, _)| *at <= until)
        })
    }
}
