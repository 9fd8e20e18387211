//! The events of one group of a correlation, and which of them complete a violation.
//!
//! What holds is a function of the set of entries alone, never of the order in which they came. An event
//! completes a violation when the window `(t - timespan, t]` that ends with it satisfies the condition; with
//! `temporal_ordered`, when it is of the last rule and ends a sequence. Two events of the same millisecond are
//! in each other's windows, and count as in order.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use model::{Coordinate, Millis, ReferenceRow};
use smallvec::SmallVec;

use super::bucket::BucketId;
use super::fact::{Fact, Order};
use crate::policy::{Compare, Correlation, CorrelationCondition, CorrelationKind, Expression, PolicyIndex};
use crate::sigma::Number;

/// An event in a group.
#[derive(Debug)]
pub(super) struct Entry {
    pub fact: Arc<Fact>,
    /// Which feeders it came by, in order.
    pub feeders: SmallVec<[usize; 2]>,
    /// What is counted distinctly or added up.
    pub values: Vec<Arc<str>>,
    /// Records and rows that its rule's joins found.
    pub records: Vec<Coordinate>,
    pub rows: Vec<ReferenceRow>,
    /// Of a chained correlation: the groups whose windows the event completed, in order.
    pub origins: Vec<(PolicyIndex, Arc<str>)>,
    /// Distinct values of its window (`value_count` only).
    distinct: u32,
    /// The window that ends here satisfies the condition.
    pub complete: bool,
    /// Where it is a member, while it is complete.
    pub bucket: Option<BucketId>,
}

impl Entry {
    pub fn new(fact: Arc<Fact>, feeder: usize, values: Vec<Arc<str>>) -> Entry {
        Entry {
            fact,
            feeders: SmallVec::from_slice(&[feeder]),
            values,
            records: Vec::new(),
            rows: Vec::new(),
            origins: Vec::new(),
            distinct: 0,
            complete: false,
            bucket: None,
        }
    }
}

/// What a change of the set did to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Change {
    /// It completes a violation now.
    Became,
    /// It does not any more.
    Ceased,
    /// It did and does; its window's events changed.
    Touched,
}

/// When an entry may be judged: always, or (negatives) when its time has come.
pub(super) type Ready<'a> = &'a dyn Fn(&Fact) -> bool;

/// Whether more events can make a window cease to satisfy the condition.
pub(super) fn is_monotone(correlation: &Correlation) -> bool {
    let counts = matches!(
        correlation.kind,
        CorrelationKind::EventCount | CorrelationKind::ValueCount
    );
    match &correlation.condition {
        CorrelationCondition::Compare { compare, .. } => {
            let temporal = matches!(
                correlation.kind,
                CorrelationKind::Temporal | CorrelationKind::TemporalOrdered
            );
            (counts || temporal) && compare.iter().all(|(c, _)| matches!(c, Compare::Gt | Compare::Gte))
        }
        CorrelationCondition::AllRules => true,
        CorrelationCondition::Expression(expression) => !has_not(expression),
    }
}

/// Whether it is judged only when its window has closed.
pub(super) fn is_negative(correlation: &Correlation) -> bool {
    match &correlation.condition {
        CorrelationCondition::Compare { compare, .. } => compare.iter().any(|(c, given)| c.is_negative(*given)),
        CorrelationCondition::AllRules => false,
        CorrelationCondition::Expression(expression) => has_not(expression),
    }
}

fn has_not(expression: &Expression) -> bool {
    match expression {
        Expression::Fired(_) => false,
        Expression::All(all) | Expression::Any(all) => all.iter().any(has_not),
        Expression::Not(_) => true,
    }
}

/// The events of a group.
#[derive(Debug, Default)]
pub(super) struct Group {
    entries: VecDeque<Box<Entry>>,
    /// When each value was seen, and how often (`value_count` only).
    by_value: BTreeMap<Arc<str>, BTreeMap<Millis, u32>>,
    /// The events of each feeder (`temporal*` only).
    by_feeder: BTreeMap<usize, BTreeMap<Order, ()>>,
}

impl Group {
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn get(&self, order: &Order) -> Option<&Entry> {
        Some(&self.entries[self.position(order).ok()?])
    }

    pub fn get_mut(&mut self, order: &Order) -> Option<&mut Entry> {
        let i = self.position(order).ok()?;
        Some(&mut self.entries[i])
    }

    fn position(&self, order: &Order) -> Result<usize, usize> {
        self.entries
            .binary_search_by(|e| (e.fact.time, &e.fact.uid).cmp(&(order.0, &order.1)))
    }

    /// The entries with `after < time <= until`.
    fn between(&self, after: Millis, until: Millis) -> Range<usize> {
        let start = self.entries.partition_point(|e| e.fact.time <= after);
        start..self.entries.partition_point(|e| e.fact.time <= until).max(start)
    }

    /// The window that ends at `t`.
    fn window(&self, c: &Correlation, t: Millis) -> Range<usize> {
        self.between(t.plus_ms(-c.timespan_ms), t)
    }

    /// The entries with `after < time <= until`.
    pub fn between_times(&self, after: Millis, until: Millis) -> impl Iterator<Item = &Entry> {
        self.entries.range(self.between(after, until)).map(|e| &**e)
    }

    /// The entries whose windows hold an event of `t`: times in `[t, t + timespan)`.
    fn affected(&self, c: &Correlation, t: Millis) -> Range<usize> {
        let start = self.entries.partition_point(|e| e.fact.time < t);
        let end = t.plus_ms(c.timespan_ms);
        start..self.entries.partition_point(|e| e.fact.time < end).max(start)
    }

    /// Adds an event. One that is there already gains the feeder.
    pub fn insert(&mut self, c: &Correlation, entry: Entry, ready: Ready<'_>) -> Vec<(Order, Change)> {
        let order = entry.fact.order();
        let at = match self.position(&order) {
            Ok(at) => {
                if let Some(mut there) = self.displace(c, at) {
                    there.feeders.extend(entry.feeders);
                    there.feeders.sort_unstable();
                    there.feeders.dedup();
                    there.values.extend(entry.values);
                    there.values.sort();
                    there.values.dedup();
                    there.origins.extend(entry.origins);
                    there.origins.sort();
                    there.origins.dedup();
                    there.records.extend(entry.records);
                    there.rows.extend(entry.rows);
                    self.place(c, at, there);
                }
                at
            }
            Err(at) => {
                self.place(c, at, Box::new(entry));
                at
            }
        };
        if is_temporal(c) {
            for feeder in &self.entries[at].feeders {
                self.by_feeder.entry(*feeder).or_default().insert(order.clone(), ());
            }
        }
        self.judge(c, order.0, ready, is_monotone(c))
    }

    /// As [`Group::insert`] of state that was judged before.
    pub fn restore(&mut self, c: &Correlation, entry: Entry) {
        let order = entry.fact.order();
        if let Err(at) = self.position(&order) {
            if is_temporal(c) {
                for feeder in &entry.feeders {
                    self.by_feeder.entry(*feeder).or_default().insert(order.clone(), ());
                }
            }
            self.place(c, at, Box::new(entry));
        }
    }

    fn place(&mut self, c: &Correlation, at: usize, mut entry: Box<Entry>) {
        if c.kind == CorrelationKind::ValueCount {
            let t = entry.fact.time;
            for value in &entry.values {
                self.add_distinct(c, value, t, 1);
            }
            entry.distinct = self.count_distinct(c, at, &entry);
            for value in &entry.values {
                *self.by_value.entry(value.clone()).or_default().entry(t).or_default() += 1;
            }
        }
        self.entries.insert(at, entry);
    }

    /// The entries whose windows hold `value` only by its being at `t` count it or count it no more.
    fn add_distinct(&mut self, c: &Correlation, value: &Arc<str>, t: Millis, by: i32) {
        let times = self.by_value.get(value);
        let previous = times.and_then(|ts| ts.range(..=t).next_back()).map(|(p, _)| *p);
        let next = times.and_then(|ts| ts.range(t.plus_ms(1)..).next()).map(|(n, _)| *n);
        let from = previous.map_or(t, |p| t.max(p.plus_ms(c.timespan_ms)));
        let end = t.plus_ms(c.timespan_ms);
        let until = next.map_or(end, |n| end.min(n));
        let start = self.entries.partition_point(|e| e.fact.time < from);
        let end = self.entries.partition_point(|e| e.fact.time < until).max(start);
        for entry in self.entries.range_mut(start..end) {
            entry.distinct = entry.distinct.saturating_add_signed(by);
        }
    }

    /// Distinct values of the window of `new`, which is about to stand at `at`: from its neighbour's count, less
    /// what has left the window since. `by_value` does not hold it yet; its neighbours' counts do.
    fn count_distinct(&self, c: &Correlation, at: usize, new: &Entry) -> u32 {
        let t = new.fact.time;
        if let Some(same) = self.entries.get(at).filter(|e| e.fact.time == t) {
            return same.distinct;
        }
        let start = t.plus_ms(-c.timespan_ms);
        let before = at.checked_sub(1).map(|i| &self.entries[i]);
        if let Some(same) = before.filter(|e| e.fact.time == t) {
            return same.distinct;
        }
        let mut count = 0;
        if let Some(before) = before.filter(|e| e.fact.time > start) {
            let s = before.fact.time;
            count = before.distinct;
            let mut left = std::collections::BTreeSet::new();
            for gone in self.entries.range(self.between(s.plus_ms(-c.timespan_ms), start)) {
                for value in &gone.values {
                    let stays = self
                        .by_value
                        .get(value)
                        .is_some_and(|ts| ts.range(start.plus_ms(1)..=s).next().is_some());
                    if !stays && left.insert(value) {
                        count -= 1;
                    }
                }
            }
        }
        for value in &new.values {
            let there = self
                .by_value
                .get(value)
                .is_some_and(|ts| ts.range(start.plus_ms(1)..=t).next().is_some());
            count += u32::from(!there);
        }
        count
    }

    /// Takes a feeder's event out; the entry goes with its last feeder.
    pub fn remove(&mut self, c: &Correlation, order: &Order, feeder: usize, ready: Ready<'_>) -> Vec<(Order, Change)> {
        let Ok(at) = self.position(order) else {
            return Vec::new();
        };
        self.entries[at].feeders.retain(|f| *f != feeder);
        self.entries[at]
            .origins
            .retain(|(policy, _)| *policy != c.feeders[feeder].policy);
        if let Some(events) = self.by_feeder.get_mut(&feeder) {
            events.remove(order);
        }
        let mut changes = Vec::new();
        if self.entries[at].feeders.is_empty() {
            if self.entries[at].complete {
                changes.push((order.clone(), Change::Ceased));
            }
            self.displace(c, at);
        }
        changes.extend(self.judge(c, order.0, ready, false));
        changes
    }

    /// Forgets an entry without judging the others again.
    pub fn expire(&mut self, c: &Correlation, order: &Order) {
        let Ok(at) = self.position(order) else { return };
        for feeder in self.entries[at].feeders.clone() {
            if let Some(events) = self.by_feeder.get_mut(&feeder) {
                events.remove(order);
            }
        }
        self.displace(c, at);
    }

    fn displace(&mut self, c: &Correlation, at: usize) -> Option<Box<Entry>> {
        let entry = self.entries.remove(at)?;
        if c.kind != CorrelationKind::ValueCount {
            return Some(entry);
        }
        let t = entry.fact.time;
        for value in &entry.values {
            let Some(times) = self.by_value.get_mut(value) else {
                continue;
            };
            if let Some(n) = times.get_mut(&t) {
                *n -= 1;
                if *n > 0 {
                    continue;
                }
                times.remove(&t);
            }
            if times.is_empty() {
                self.by_value.remove(value);
            }
            self.add_distinct(c, value, t, -1);
        }
        Some(entry)
    }

    /// Judges the entries whose windows an event of `t` is in. `keep`: what is complete stays so (events were only
    /// added, and the condition is monotone: it could only seem to cease because old ones were forgotten).
    pub fn judge(&mut self, c: &Correlation, t: Millis, ready: Ready<'_>, keep: bool) -> Vec<(Order, Change)> {
        let mut changes = Vec::new();
        for i in self.affected(c, t) {
            let entry = &self.entries[i];
            let complete = (keep && entry.complete) || (!is_negative(c) || ready(&entry.fact)) && self.satisfied(c, i);
            let change = match (entry.complete, complete) {
                (false, false) => continue,
                (false, true) => Change::Became,
                (true, false) => Change::Ceased,
                (true, true) => Change::Touched,
            };
            changes.push((entry.fact.order(), change));
            self.entries[i].complete = complete;
        }
        changes
    }

    /// Judges one entry, whose wait is over.
    pub fn judge_one(&mut self, c: &Correlation, order: &Order, ready: Ready<'_>) -> Vec<(Order, Change)> {
        let Ok(i) = self.position(order) else { return Vec::new() };
        let complete = ready(&self.entries[i].fact) && self.satisfied(c, i);
        let was = std::mem::replace(&mut self.entries[i].complete, complete);
        match (was, complete) {
            (false, true) => vec![(order.clone(), Change::Became)],
            (true, false) => vec![(order.clone(), Change::Ceased)],
            _ => Vec::new(),
        }
    }

    fn satisfied(&self, c: &Correlation, i: usize) -> bool {
        match &c.condition {
            CorrelationCondition::Compare { compare, .. } => self
                .counted(c, i)
                .is_some_and(|counted| compare.iter().all(|(compare, given)| compare.holds(counted, *given))),
            CorrelationCondition::AllRules if c.kind == CorrelationKind::TemporalOrdered => self.ends_sequence(c, i),
            CorrelationCondition::AllRules => (0..c.feeders.len()).all(|f| self.fired(c, i, f)),
            CorrelationCondition::Expression(expression) => self.expression(c, i, expression),
        }
    }

    /// What the condition counts in the window that ends with entry `i`.
    pub fn counted(&self, c: &Correlation, i: usize) -> Option<Number> {
        let window = self.window(c, self.entries[i].fact.time);
        match c.kind {
            CorrelationKind::EventCount => Some(Number::Int(window.len() as i128)),
            CorrelationKind::ValueCount => Some(Number::Int(i128::from(self.entries[i].distinct))),
            CorrelationKind::Temporal | CorrelationKind::TemporalOrdered => Some(Number::Int(
                (0..c.feeders.len()).filter(|f| self.fired(c, i, *f)).count() as i128,
            )),
            kind => aggregate(kind, self.entries.range(window).flat_map(|e| &e.values)),
        }
    }

    /// As [`Group::counted`], of the entry at a place in time.
    pub fn counted_at(&self, c: &Correlation, order: &Order) -> Option<Number> {
        self.counted(c, self.position(order).ok()?)
    }

    fn fired(&self, c: &Correlation, i: usize, feeder: usize) -> bool {
        let t = self.entries[i].fact.time;
        let last = self.by_feeder.get(&feeder).and_then(|events| last_until(events, t));
        last.is_some_and(|(time, _)| *time > t.plus_ms(-c.timespan_ms))
    }

    fn expression(&self, c: &Correlation, i: usize, expression: &Expression) -> bool {
        match expression {
            Expression::Fired(feeder) => self.fired(c, i, *feeder),
            Expression::All(all) => all.iter().all(|e| self.expression(c, i, e)),
            Expression::Any(any) => any.iter().any(|e| self.expression(c, i, e)),
            Expression::Not(e) => !self.expression(c, i, e),
        }
    }

    /// Goes back from the last rule's event to the latest event of the rule before it, and so on: where there is
    /// a sequence, the latest one is found.
    fn ends_sequence(&self, c: &Correlation, i: usize) -> bool {
        let last = &self.entries[i];
        if !last.feeders.contains(&(c.feeders.len() - 1)) {
            return false;
        }
        let start = last.fact.time.plus_ms(-c.timespan_ms);
        let mut used: SmallVec<[Order; 4]> = SmallVec::new();
        used.push(last.fact.order());
        for feeder in (0..c.feeders.len() - 1).rev() {
            let until = used[used.len() - 1].0;
            let Some(events) = self.by_feeder.get(&feeder) else {
                return false;
            };
            let mut earlier = events
                .range(..(until.plus_ms(1), Arc::from("")))
                .rev()
                .map(|(order, ())| order);
            match earlier.find(|order| !used.contains(order)) {
                Some(order) if order.0 > start => used.push(order.clone()),
                _ => return false,
            }
        }
        true
    }
}

fn is_temporal(c: &Correlation) -> bool {
    matches!(c.kind, CorrelationKind::Temporal | CorrelationKind::TemporalOrdered)
}

fn last_until(events: &BTreeMap<Order, ()>, t: Millis) -> Option<&Order> {
    // No uid is less than the empty text, so this is everything up to and with `t`.
    events
        .range(..(t.plus_ms(1), Arc::from("")))
        .next_back()
        .map(|(order, ())| order)
}

/// Values that are no numbers are left out; of none there is no aggregate.
fn aggregate<'a>(kind: CorrelationKind, values: impl Iterator<Item = &'a Arc<str>>) -> Option<Number> {
    let mut numbers: Vec<Number> = values.filter_map(|v| Number::parse(v)).collect();
    if numbers.is_empty() {
        return None;
    }
    let n = numbers.len();
    let float = |f: f64| {
        f.is_finite()
            .then_some(())
            .and_then(|()| Number::parse(&format!("{f}")))
    };
    match kind {
        CorrelationKind::ValueSum | CorrelationKind::ValueAvg => {
            let ints = numbers.iter().try_fold(0i128, |sum, n| match n {
                Number::Int(i) => sum.checked_add(*i),
                Number::Float(_) => None,
            });
            match (kind, ints) {
                (CorrelationKind::ValueSum, Some(sum)) => Some(Number::Int(sum)),
                (CorrelationKind::ValueSum, None) => float(numbers.iter().map(|n| n.to_f64()).sum()),
                (_, Some(sum)) => float(sum as f64 / n as f64),
                (_, None) => float(numbers.iter().map(|x| x.to_f64()).sum::<f64>() / n as f64),
            }
        }
        CorrelationKind::ValueMedian => {
            numbers.sort();
            if n % 2 == 1 {
                Some(numbers[n / 2])
            } else {
                float((numbers[n / 2 - 1].to_f64() + numbers[n / 2].to_f64()) / 2.0)
            }
        }
        CorrelationKind::ValuePercentile { percentile } => {
            // Nearest rank: the least value that at least so many percent of the values do not exceed.
            numbers.sort();
            let rank = (usize::from(percentile.min(100)) * n).div_ceil(100).max(1);
            Some(numbers[rank - 1])
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use model::Namespace;
    use proptest::prelude::*;

    use super::*;
    use crate::policy::{EventField, Feeder};

    const SPAN: i64 = 10;

    fn correlation(kind: CorrelationKind, condition: CorrelationCondition) -> Correlation {
        let feeder = |n: u32| Feeder {
            name: format!("r{n}"),
            policy: PolicyIndex(n),
            group_by: vec![],
            fields: vec![EventField::new(Namespace::Ocsf, "v")],
            aliases: BTreeMap::new(),
        };
        let feeders = (0..3).map(feeder).collect();
        Correlation {
            kind,
            feeders,
            group_by: vec![],
            timespan_ms: SPAN,
            condition,
            generate: false,
        }
    }

    fn compare(compare: Compare, given: i128) -> CorrelationCondition {
        CorrelationCondition::Compare {
            fields: vec!["v".into()],
            compare: vec![(compare, Number::Int(given))],
        }
    }

    type Event = (u8, i64, usize, BTreeSet<u8>);

    /// Which events complete a violation, read off the definition.
    fn plain(c: &Correlation, events: &[Event]) -> BTreeSet<(i64, u8)> {
        let holds = |end: &Event| {
            let window: Vec<&Event> = events.iter().filter(|e| end.1 - SPAN < e.1 && e.1 <= end.1).collect();
            let values: BTreeSet<u8> = window.iter().flat_map(|e| e.3.iter().copied()).collect();
            let fired: BTreeSet<usize> = window.iter().map(|e| e.2).collect();
            match (&c.kind, &c.condition) {
                (CorrelationKind::EventCount, CorrelationCondition::Compare { compare, .. }) => compare
                    .iter()
                    .all(|(c, n)| c.holds(Number::Int(window.len() as i128), *n)),
                (CorrelationKind::ValueCount, CorrelationCondition::Compare { compare, .. }) => compare
                    .iter()
                    .all(|(c, n)| c.holds(Number::Int(values.len() as i128), *n)),
                (CorrelationKind::TemporalOrdered, _) => window.iter().any(|a| {
                    let chain = |b: &&&Event| b.2 == 1 && a.1 <= b.1 && b.1 <= end.1;
                    a.2 == 0 && end.2 == 2 && window.iter().any(|b| chain(&b))
                }),
                (CorrelationKind::Temporal, CorrelationCondition::Expression(_)) => {
                    fired.contains(&0) && !fired.contains(&1)
                }
                _ => fired.len() == 3,
            }
        };
        events.iter().filter(|e| holds(e)).map(|e| (e.1, e.0)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn any_order_of_coming_and_going_is_as_the_definition_says(
            steps in prop::collection::vec((any::<bool>(), 0i64..40, 0usize..3, prop::collection::btree_set(0u8..5, 0..3)), 1..40),
            kind in 0usize..7,
            given in 1i128..4,
        ) {
            let not = Expression::All(vec![Expression::Fired(0), Expression::Not(Box::new(Expression::Fired(1)))]);
            let c = match kind {
                0 => correlation(CorrelationKind::EventCount, compare(Compare::Gte, given)),
                1 => correlation(CorrelationKind::EventCount, compare(Compare::Lt, given)),
                2 => correlation(CorrelationKind::ValueCount, compare(Compare::Gte, given)),
                3 => correlation(CorrelationKind::ValueCount, compare(Compare::Eq, given)),
                4 => correlation(CorrelationKind::Temporal, CorrelationCondition::AllRules),
                5 => correlation(CorrelationKind::TemporalOrdered, CorrelationCondition::AllRules),
                _ => correlation(CorrelationKind::Temporal, CorrelationCondition::Expression(not)),
            };
            let ready: Ready<'_> = &|_| true;
            let (mut group, mut events, mut told) = (Group::default(), Vec::<Event>::new(), BTreeSet::new());
            for (n, (goes, time, feeder, values)) in steps.into_iter().enumerate() {
                let changes = if goes && !events.is_empty() {
                    let (id, time, feeder, _) = events.remove(n % events.len());
                    group.remove(&c, &(Millis(time), id.to_string().into()), feeder, ready)
                } else {
                    let texts: Vec<String> = values.iter().map(u8::to_string).collect();
                    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
                    let fact = Fact::of(&n.to_string(), time, &texts);
                    events.push((n as u8, time, feeder, values));
                    let values = texts.iter().map(|t| Arc::from(*t)).collect();
                    group.insert(&c, Entry::new(fact, feeder, values), ready)
                };
                for ((time, id), change) in changes {
                    let member = (time.0, id.parse::<u8>().unwrap());
                    match change {
                        Change::Became => prop_assert!(told.insert(member)),
                        Change::Ceased => prop_assert!(told.remove(&member)),
                        Change::Touched => prop_assert!(told.contains(&member)),
                    }
                }
                prop_assert_eq!(&told, &plain(&c, &events));
            }
        }
    }

    #[test]
    fn aggregates() {
        let values: Vec<Arc<str>> = ["3", "1", "x", "2.5", "10"].into_iter().map(Arc::from).collect();
        let of = |kind| aggregate(kind, values.iter()).map(|n| n.to_string());
        assert_eq!(of(CorrelationKind::ValueSum).as_deref(), Some("16.5"));
        assert_eq!(of(CorrelationKind::ValueAvg).as_deref(), Some("4.125"));
        assert_eq!(of(CorrelationKind::ValueMedian).as_deref(), Some("2.75"));
        assert_eq!(
            of(CorrelationKind::ValuePercentile { percentile: 50 }).as_deref(),
            Some("2.5")
        );
        assert_eq!(
            of(CorrelationKind::ValuePercentile { percentile: 100 }).as_deref(),
            Some("10")
        );
        assert_eq!(
            aggregate(CorrelationKind::ValueSum, [].into_iter()).map(|n| n.to_string()),
            None
        );
    }
}
