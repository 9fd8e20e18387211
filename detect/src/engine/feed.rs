//! Events of rules that do nothing but feed correlations: most of those that are counted. They go from their columns into their
//! groups, by no way of their own.

use std::sync::Arc;

use model::Batch;
use smallvec::SmallVec;

use super::Detector;
use super::fact::{Bound, Captured, Mask, Read};
use super::kept::Packing;
use super::plan::{Consumer, Node};
use super::window::Entry;
use crate::policy::{Body, Correlation, Policies, Policy, PolicyIndex};

/// Whether a rule's events do nothing but feed correlations that count them, or the values of one field.
pub(super) fn only_feeds(policies: &Policies, policy: &Policy, node: &Node) -> bool {
    let Some(rule) = policy.rule() else { return false };
    let plain = rule.calendar.is_none() && rule.lookups.is_empty() && rule.novelty.is_none() && rule.table.is_none();
    let feeds = |consumer: &Consumer| match consumer {
        Consumer::Correlation(c, feeder) => match &policies.get(*c).body {
            Body::Correlation(c) => c.feeders[*feeder].fields.len() <= 1,
            _ => false,
        },
        Consumer::Expected(_) | Consumer::After(_) => false,
    };
    plain && !policy.reports && !node.deferred && !node.circular && node.consumers.iter().all(feeds)
}

/// A rule's fields in the columns of one batch, and the correlations that it feeds.
pub(super) struct Source<'b> {
    captured: Arc<Captured>,
    bound: Bound<'b>,
    /// Of a rule that only feeds.
    feeds: Option<Vec<Feed>>,
}

/// A correlation that is fed, as which of its feeders, and where among the fields its own are.
struct Feed {
    correlation: PolicyIndex,
    feeder: usize,
    group_by: SmallVec<[Option<usize>; 2]>,
    counted: Option<Option<usize>>,
}

impl<'b> Source<'b> {
    pub fn new(captured: &Arc<Captured>, batch: &'b Batch, node: &Node, policies: &Policies) -> Source<'b> {
        let feed = |consumer: &Consumer| {
            let Consumer::Correlation(correlation, feeder) = *consumer else {
                return None;
            };
            let Body::Correlation(c) = &policies.get(correlation).body else {
                return None;
            };
            let feeder_of = &c.feeders[feeder];
            Some(Feed {
                correlation,
                feeder,
                group_by: feeder_of.group_by.iter().map(|f| captured.place(f)).collect(),
                counted: feeder_of.fields.first().map(|f| captured.place(f)),
            })
        };
        let feeds = || node.consumers.iter().filter_map(feed).collect();
        Source {
            captured: captured.clone(),
            bound: captured.bind(batch),
            feeds: node.only_feeds.then(feeds),
        }
    }
}

impl Detector {
    /// A rule's condition holds for an event.
    pub(super) fn take<'b>(
        &mut self,
        rule: PolicyIndex,
        batch: &Batch,
        row: usize,
        source: &Source<'b>,
        room: &mut Vec<Read<'b>>,
    ) {
        let Some(feeds) = &source.feeds else {
            let uid = batch.uid(row).into();
            let fact = source.captured.read(batch, &source.bound, row, uid, self.mask);
            return self.hit(rule, Arc::new(fact));
        };
        let policies = self.policies.clone();
        let mask: Mask = self.mask;
        source.bound.read(row, mask, room);
        let (uid, place) = (batch.uid(row), &batch.rows[row]);
        for feed in feeds {
            let policy = policies.get(feed.correlation);
            let Body::Correlation(c) = &policy.body else { continue };
            let mut name = std::mem::take(&mut self.group_name);
            if name_group(feed, room, &mut name) {
                let mut packing = Packing::new(uid, (place.index, place.time, place.received_at));
                room.iter().for_each(|of| packing.field(of.iter().map(|v| &**v)));
                let entry = entry(c, feed, packing.finish(&source.captured), room);
                self.feed_group(&policies, (feed.correlation, policy, c), entry, &name, uid);
            }
            self.group_name = name;
        }
    }
}

fn entry(c: &Correlation, feed: &Feed, kept: super::kept::Kept, values: &[Read<'_>]) -> Entry {
    let counted = feed.counted.flatten().and_then(|at| values.get(at));
    let counted = counted.into_iter().flatten().map(|v| Arc::from(&**v));
    Entry::of(c, kept, feed.feeder, counted)
}

/// As [`super::correlate::group_of`].
fn name_group(feed: &Feed, values: &[Read<'_>], name: &mut String) -> bool {
    name.clear();
    for at in &feed.group_by {
        let value = at.and_then(|at| values.get(at)?.first()).filter(|v| !v.is_empty());
        let Some(value) = value else { return false };
        super::correlate::push_name(name, value);
    }
    true
}
