//! The events of one group of a correlation, and which of them complete a violation.
//!
//! What holds is a function of the set of entries alone, never of the order in which they came. Which window is
//! judged with an event is the correlation's [`Reach`]; with `temporal_ordered` the event has to be of the last rule
//! and end a sequence. Two events of the same millisecond are in each other's windows, and count as in order.

mod aggregate;
mod counted;
mod distinct;
mod entry;
mod fired;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use model::Millis;
use smallvec::SmallVec;

use self::distinct::Distinct;
pub(super) use self::entry::{Entry, More};
use self::fired::Fired;
use super::fact::{Order, settled};
use super::kept::Kept;
use crate::policy::{Correlation, CorrelationCondition, CorrelationKind, Reach};
use crate::sigma::Number;

/// What a change of the set did to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Change {
    /// It completes a violation now.
    Became,
    /// It does not any more.
    Ceased,
    /// It did and does; its window's events changed.
    Touched,
    /// Its window opens, or opens no more; nothing is told of it.
    Shifted,
}

/// When entries may be judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judging {
    /// Engine time.
    pub now: Option<Millis>,
    pub wait_ms: i64,
    pub lateness_ms: i64,
    /// Nobody takes the completed windows on, so that of one finding's windows one that was touched stands for all.
    pub alone: bool,
}

impl Judging {
    /// When a negative is judged with an event.
    pub fn due(&self, c: &Correlation, event: &Kept) -> Millis {
        let after = c.completes_after_ms();
        settled(event.time(), event.received_at(), self.lateness_ms, after).plus_ms(self.wait_ms)
    }

    fn may(&self, c: &Correlation, event: &Kept) -> bool {
        self.now.is_some_and(|now| now >= self.due(c, event))
    }
}

/// What a group and its places in maps take, and an entry beside what is kept of its event.
const GROUP_BYTES: usize = 320;
const ENTRY_BYTES: usize = 120;

/// Places among the entries.
type Places = SmallVec<[usize; 4]>;

/// The events of a group.
#[allow(
    clippy::box_collection,
    reason = "most groups have none: a word of room each, not three"
)]
#[derive(Debug, Default)]
pub(super) struct Group {
    entries: VecDeque<Entry>,
    /// The time of the last of them: most events come behind it, and nothing else is looked at then.
    last: Option<Millis>,
    /// `value_count` whose windows end with events only.
    distinct: Option<Box<Distinct>>,
    /// `temporal*` only.
    fired: Option<Box<Fired>>,
    /// The events with which windows open, where they do.
    openers: Option<Box<BTreeSet<Order>>>,
    /// Of negatives: what is not judged yet, and when it is.
    waiting: Option<Box<BTreeSet<(Millis, Order)>>>,
    /// When entries are forgotten next.
    pub forgotten_at: Option<Millis>,
    /// When it was touched last, and the bytes that were counted of it then.
    pub epoch: u32,
    pub accounted: usize,
}

impl Group {
    /// Bytes of memory, about: what every entry takes, and the values of one as those of all.
    pub fn bytes(&self) -> usize {
        let one = self.entries.front().map_or(0, |e| e.kept().bytes() + ENTRY_BYTES);
        let more = 64 * (usize::from(self.distinct.is_some()) + usize::from(self.fired.is_some()))
            + 48 * usize::from(self.waiting.is_some());
        GROUP_BYTES + self.entries.len() * (one + more)
    }

    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    pub fn get(&self, order: &Order) -> Option<&Entry> {
        Some(&self.entries[self.position(order).ok()?])
    }

    /// As [`Group::get`].
    pub fn of(&self, time: Millis, uid: &str) -> Option<&Entry> {
        Some(&self.entries[self.place_of(time, uid).ok()?])
    }

    pub fn get_mut(&mut self, order: &Order) -> Option<&mut Entry> {
        let i = self.position(order).ok()?;
        Some(&mut self.entries[i])
    }

    fn position(&self, order: &Order) -> Result<usize, usize> {
        self.place_of(order.0, &order.1)
    }

    fn place_of(&self, time: Millis, uid: &str) -> Result<usize, usize> {
        let compare = |e: &Entry| e.time().cmp(&time).then_with(|| e.kept().uid().cmp(uid));
        match self.last {
            // Most is asked of the last.
            Some(last) if last == time && self.entries.back().is_some_and(|e| compare(e).is_eq()) => {
                Ok(self.entries.len() - 1)
            }
            Some(last) if last >= time => self.entries.binary_search_by(compare),
            Some(_) | None => Err(self.entries.len()),
        }
    }

    /// The entries with `after < time <= until`.
    fn between(&self, after: Millis, until: Millis) -> Range<usize> {
        let start = later(&self.entries, after);
        start..later(&self.entries, until).max(start)
    }

    /// The entries with `after < time <= until`.
    pub fn between_times(&self, after: Millis, until: Millis) -> impl Iterator<Item = &Entry> {
        self.entries.range(self.between(after, until))
    }

    /// The entries whose windows may hold an event of `t`.
    pub fn holders(&self, c: &Correlation, t: Millis) -> impl Iterator<Item = &Entry> {
        let range = match c.reach() {
            Reach::Behind => self.between(t.plus_ms(-1), t.plus_ms(c.timespan_ms - 1)),
            Reach::Opening | Reach::Following => self.between(t.plus_ms(-c.timespan_ms), t),
        };
        self.entries.range(range)
    }

    /// Adds an event. One that is there already gains the feeder.
    pub fn insert(&mut self, c: &Correlation, entry: Entry, judging: &Judging) -> Vec<(Order, Change)> {
        let time = entry.time();
        let is_last = self.last.is_none_or(|last| last < time);
        let at = match self.place_of(time, entry.kept().uid()) {
            Ok(at) => {
                if let Some(mut there) = self.displace(c, at) {
                    there.merge(entry);
                    self.place(c, at, there);
                }
                at
            }
            Err(at) => {
                self.place(c, at, entry);
                at
            }
        };
        let is_negative = c.is_negative();
        if is_negative {
            let entry = &self.entries[at];
            let due = (judging.due(c, entry.kept()), entry.order());
            self.waiting.get_or_insert_default().insert(due);
        }
        let mut changes = Vec::new();
        let affected = if is_last && !is_negative && c.reach() == Reach::Behind {
            // Nobody else's window holds it.
            Places::from_slice(&[at])
        } else {
            self.affected(c, time, at, judging, &mut changes)
        };
        self.judge(c, affected, judging, c.is_monotone(), &mut changes);
        changes
    }

    /// As [`Group::insert`] of state that was judged before; the fastest in order of time.
    pub fn restore(&mut self, c: &Correlation, entry: Entry, judging: &Judging) {
        let Err(at) = self.place_of(entry.time(), entry.kept().uid()) else {
            return;
        };
        let due = judging.due(c, entry.kept());
        if c.is_negative() && judging.now.is_none_or(|now| due >= now) {
            self.waiting.get_or_insert_default().insert((due, entry.order()));
        }
        self.place(c, at, entry);
    }

    fn place(&mut self, c: &Correlation, at: usize, mut entry: Entry) {
        if self.entries.len() == self.entries.capacity() {
            // Most groups hold one event; where there are two, there are more.
            let more = match self.entries.len() {
                0 => 1,
                len => (len / 2).max(3),
            };
            self.entries.reserve_exact(more);
        }
        self.last = self.last.max(Some(entry.time()));
        if counts_values(c) {
            let distinct = self.distinct.get_or_insert_default();
            distinct.enter(c.timespan_ms, &mut self.entries, at, &mut entry);
        }
        if is_temporal(c) {
            self.fired.get_or_insert_default().enter(&entry);
        }
        if entry.opens {
            self.openers.get_or_insert_default().insert(entry.order());
        }
        if at == self.entries.len() {
            self.entries.push_back(entry);
        } else {
            self.entries.insert(at, entry);
        }
    }

    /// Takes a feeder's event out; the entry goes with its last feeder.
    pub fn remove(&mut self, c: &Correlation, order: &Order, feeder: usize, judging: &Judging) -> Vec<(Order, Change)> {
        let Ok(at) = self.position(order) else {
            return Vec::new();
        };
        let mut changes = Vec::new();
        let Some(mut entry) = self.displace(c, at) else {
            return changes;
        };
        if entry.forsake(c, feeder) {
            if entry.complete {
                changes.push((order.clone(), Change::Ceased));
            }
        } else {
            self.place(c, at, entry);
        }
        let affected = self.affected(c, order.0, at, judging, &mut changes);
        self.judge(c, affected, judging, false, &mut changes);
        changes
    }

    /// Forgets an entry without judging the others again.
    pub fn expire(&mut self, c: &Correlation, order: &Order) {
        if let Ok(at) = self.position(order) {
            self.displace(c, at);
        }
    }

    fn displace(&mut self, c: &Correlation, at: usize) -> Option<Entry> {
        let entry = self.entries.remove(at)?;
        self.last = self.entries.back().map(Entry::time);
        if let Some(fired) = &mut self.fired {
            fired.leave(&entry.order(), entry.feeders());
        }
        if let Some(openers) = &mut self.openers {
            openers.remove(&entry.order());
        }
        if let Some(distinct) = &mut self.distinct {
            distinct.leave(c.timespan_ms, &mut self.entries, &entry);
        }
        Some(entry)
    }

    /// The entries with which the windows are judged that a change at `t`, at place `at`, may have changed; no window that
    /// does not hold `t`: what was in it may be forgotten in part, which is no reason to judge it otherwise.
    fn affected(
        &mut self,
        c: &Correlation,
        t: Millis,
        at: usize,
        judging: &Judging,
        changes: &mut Vec<(Order, Change)>,
    ) -> Places {
        match c.reach() {
            Reach::Behind => {
                let mut until = t.plus_ms(c.looks_back_ms() - 1);
                if c.is_negative() {
                    // Those behind are not judged yet.
                    until = until.min(judging.now.map_or(Millis::MIN, |now| now.plus_ms(-judging.wait_ms)));
                }
                self.between(t.plus_ms(-1), until).collect()
            }
            Reach::Opening => self.reopen(c, t, at, changes),
            // The last before it, and all of its moment, of which the last speaks for all.
            Reach::Following => (at.saturating_sub(1)..self.entries.len())
                .take_while(|i| self.entries[*i].time() <= t)
                .filter(|i| t <= self.entries[*i].time().plus_ms(c.timespan_ms))
                .collect(),
        }
    }

    /// Lets windows follow each other anew from place `at` on, until they are as they were.
    fn reopen(&mut self, c: &Correlation, t: Millis, at: usize, changes: &mut Vec<(Order, Change)>) -> Places {
        let mut openers = self.openers.take().unwrap_or_default();
        let here = self.entries.get(at).map_or((t.plus_ms(1), "".into()), Entry::order);
        let mut affected = Places::new();
        let mut closes = Millis(i64::MIN);
        if let Some(before) = openers.range(..here).next_back() {
            closes = before.0.plus_ms(c.timespan_ms);
            affected.extend(self.position(before).ok().filter(|_| t < closes));
        }
        for (i, entry) in self.entries.iter_mut().enumerate().skip(at) {
            let opens = entry.time() >= closes;
            if opens {
                closes = entry.time().plus_ms(c.timespan_ms);
                affected.push(i);
                if entry.opens {
                    break;
                }
            }
            if entry.opens != opens {
                entry.opens = opens;
                if opens {
                    openers.insert(entry.order());
                } else {
                    openers.remove(&entry.order());
                    affected.push(i);
                }
                changes.push((entry.order(), Change::Shifted));
            }
        }
        self.openers = Some(openers);
        affected.sort_unstable();
        affected.dedup();
        affected
    }

    /// Judges entries. `keep`: what is complete stays so (events were only added, and the condition is monotone: it
    /// could only seem to cease because old ones were forgotten).
    fn judge(
        &mut self,
        c: &Correlation,
        which: Places,
        judging: &Judging,
        keep: bool,
        changes: &mut Vec<(Order, Change)>,
    ) {
        let negative = c.is_negative();
        // Where it matters with which event a window ends, those of one moment are not one.
        let ends = c.kind == CorrelationKind::TemporalOrdered || c.usual.is_some_and(|u| u.ending_with.is_some());
        let by_time = c.reach() == Reach::Behind && !ends;
        let mut known: Option<(Millis, bool)> = None;
        let mut touched: Option<Arc<str>> = None;
        for i in which {
            let entry = &self.entries[i];
            let complete = if keep && entry.complete {
                true
            } else if negative && !judging.may(c, entry.kept()) {
                false
            } else {
                match known.filter(|(t, _)| by_time && *t == entry.time()) {
                    Some((_, holds)) => holds,
                    None => {
                        let holds = self.satisfied(c, i);
                        known = Some((entry.time(), holds));
                        holds
                    }
                }
            };
            let change = match (entry.complete, complete) {
                (false, false) => continue,
                (false, true) => Change::Became,
                (true, false) => Change::Ceased,
                (true, true) if judging.alone && entry.bucket().is_some() && entry.bucket() == touched.as_ref() => {
                    continue;
                }
                (true, true) => Change::Touched,
            };
            if change == Change::Touched {
                touched = entry.bucket().cloned();
            }
            changes.push((entry.order(), change));
            self.entries[i].complete = complete;
        }
    }

    /// Looks at where the next event is put, so that it is at hand; what it says means nothing.
    pub fn look(&self) -> i64 {
        self.entries.back().map_or(0, |last| last.time().0)
    }

    /// When something of the group is judged next.
    pub fn next_due(&self) -> Option<Millis> {
        self.waiting.as_ref()?.first().map(|(due, _)| *due)
    }

    /// Judges what is due.
    pub fn judge_due(&mut self, c: &Correlation, judging: &Judging) -> Vec<(Order, Change)> {
        let mut changes = Vec::new();
        let Some(now) = judging.now else { return changes };
        let mut which = BTreeSet::new();
        while let Some(waiting) = &mut self.waiting
            && waiting.first().is_some_and(|(due, _)| *due <= now)
        {
            let Some((_, order)) = waiting.pop_first() else { break };
            which.extend(self.position(&order).ok());
        }
        self.judge(c, which.into_iter().collect(), judging, false, &mut changes);
        // Nobody's events changed.
        changes.retain(|(_, change)| *change != Change::Touched);
        changes
    }

    fn satisfied(&self, c: &Correlation, i: usize) -> bool {
        if let (CorrelationKind::EventCount, CorrelationCondition::Compare { compare, .. }) = (c.kind, &c.condition)
            && (c.is_monotone() || c.usual.is_some() || c.share.is_some())
        {
            // No window holds more than all: most groups need no look at where it begins.
            let all = Number::Int(self.entries.len() as i128);
            if !compare.iter().all(|(compare, given)| compare.holds(all, *given)) {
                return false;
            }
        }
        let entry = &self.entries[i];
        if !entry.opens && c.reach() == Reach::Opening {
            return false;
        }
        let fired = |f: &dyn Fn(&Fired) -> bool| self.fired.as_deref().is_some_and(f);
        match &c.condition {
            CorrelationCondition::Compare { compare, .. } => self
                .counted(c, i)
                .filter(|counted| compare.iter().all(|(compare, given)| compare.holds(*counted, *given)))
                .is_some_and(|counted| {
                    c.usual.is_none_or(|usual| self.is_unusual(c, usual, i, counted))
                        && c.share.is_none_or(|share| self.is_share(c, share, i, counted))
                }),
            CorrelationCondition::AllRules if c.kind == CorrelationKind::TemporalOrdered => {
                fired(&|f| f.ends_sequence(c, entry))
            }
            CorrelationCondition::AllRules => fired(&|f| (0..c.feeders.len()).all(|n| f.in_window(c, entry.time(), n))),
            CorrelationCondition::Expression(expression) => fired(&|f| f.expression(c, entry.time(), expression)),
        }
    }

    /// Which times the window that is judged with an event spans: `after < time <= until`.
    pub fn window(c: &Correlation, t: Millis) -> (Millis, Millis) {
        match c.reach() {
            Reach::Behind => (t.plus_ms(-c.timespan_ms), t),
            Reach::Opening => (t.plus_ms(-1), t.plus_ms(c.timespan_ms - 1)),
            // What did not follow is no evidence; what it should have followed is.
            Reach::Following => (t.plus_ms(-1), t),
        }
    }
}

/// The place of the first entry later than `t`.
fn later(entries: &VecDeque<Entry>, t: Millis) -> usize {
    let is_later = |i: usize| entries.get(i).is_none_or(|e| e.time() > t);
    // Most is asked of the ends.
    match entries.len() {
        len if len == 0 || !is_later(len - 1) => len,
        len if len == 1 || !is_later(len - 2) => len - 1,
        _ if is_later(0) => 0,
        _ => entries.partition_point(|e| e.time() <= t),
    }
}

fn is_temporal(c: &Correlation) -> bool {
    matches!(c.kind, CorrelationKind::Temporal | CorrelationKind::TemporalOrdered)
}

/// Whether distinct values are counted as they come; windows that open are counted once, when they have closed, and those of one
/// rule of several anew.
fn counts_values(c: &Correlation) -> bool {
    c.kind == CorrelationKind::ValueCount && c.reach() == Reach::Behind && c.share.is_none()
}
