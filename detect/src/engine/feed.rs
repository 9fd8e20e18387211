//! Events of rules that do nothing but feed correlations: most of those that are counted. They go from their columns into their
//! groups, by no way of their own.

use std::collections::HashMap;
use std::sync::Arc;

use model::{Batch, Field};
use smallvec::SmallVec;

use super::Detector;
use super::fact::{Bound, Captured, Mask, Read};
use super::kept::Packing;
use super::plan::{Consumer, Node};
use super::seen::{Event, Seen};
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

/// Where batches have a rule's fields, and the correlations that it feeds.
#[derive(Debug)]
pub(super) struct Source {
    captured: Arc<Captured>,
    bound: Bound,
    /// Of a rule that only feeds.
    feeds: Option<Vec<Feed>>,
}

/// Layouts of batches that are remembered.
const LAYOUTS_MAX: usize = 64;

/// What is known of rules for batches that were seen.
#[derive(Debug, Default)]
pub(super) struct Sources {
    layouts: Vec<Layout>,
    /// The layout that was asked for last.
    last: usize,
}

/// Batches that share the places of their columns.
#[derive(Debug)]
struct Layout {
    places: Arc<HashMap<Field, usize>>,
    /// By the rule's number.
    rules: Vec<Option<Arc<Source>>>,
}

impl Sources {
    fn layout(&mut self, places: &Arc<HashMap<Field, usize>>) -> &mut Layout {
        let is = |layout: &Layout| Arc::ptr_eq(&layout.places, places);
        if !self.layouts.get(self.last).is_some_and(is) {
            self.last = self.layouts.iter().position(is).unwrap_or_else(|| {
                if self.layouts.len() >= LAYOUTS_MAX {
                    self.layouts.clear();
                }
                self.layouts.push(Layout {
                    places: places.clone(),
                    rules: Vec::new(),
                });
                self.layouts.len() - 1
            });
        }
        &mut self.layouts[self.last]
    }
}

/// A correlation that is fed, as which of its feeders, and where among the fields its own are.
#[derive(Debug)]
struct Feed {
    correlation: PolicyIndex,
    feeder: usize,
    group_by: SmallVec<[Option<usize>; 2]>,
    counted: Option<Option<usize>>,
}

impl Source {
    fn new(captured: &Arc<Captured>, places: &HashMap<Field, usize>, node: &Node, policies: &Policies) -> Source {
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
            bound: captured.places(places),
            feeds: node.only_feeds.then(feeds),
        }
    }
}

impl Detector {
    /// What is known of a rule for batches like this one; `None` where nothing is kept of its events.
    fn source(&mut self, rule: PolicyIndex, batch: &Batch) -> Option<Arc<Source>> {
        let layout = self.sources.layout(batch.places());
        let at = rule.0 as usize;
        if let Some(source) = layout.rules.get(at).and_then(Option::as_ref) {
            return Some(source.clone());
        }
        let captured = self.plan.captured.get(&rule)?;
        let source = Source::new(captured, batch.places(), self.plan.node(rule), &self.policies);
        let source = Arc::new(source);
        if layout.rules.len() <= at {
            layout.rules.resize_with(at + 1, || None);
        }
        layout.rules[at] = Some(source.clone());
        Some(source)
    }

    /// A rule's condition holds for an event.
    pub(super) fn take<'b>(&mut self, rule: PolicyIndex, event: &mut Event<'b>, room: &mut Vec<Read<'b>>) {
        let (batch, row) = (event.batch(), event.row());
        let Some(source) = self.source(rule, batch) else { return };
        let Some(feeds) = &source.feeds else {
            event.make_room();
            return self.hit(rule, &Seen::new(event, &source.captured, &source.bound));
        };
        let policies = self.policies.clone();
        let mask: Mask = self.mask;
        source.bound.read(batch, row, mask, room);
        let (uid, place) = (batch.uid(row), &batch.rows[row]);
        for feed in feeds {
            let policy = policies.get(feed.correlation);
            let Body::Correlation(c) = &policy.body else { continue };
            let mut name = std::mem::take(&mut self.group_name);
            if name_group(feed, room, &mut name) {
                let bytes = std::mem::take(&mut self.packing_room);
                let mut packing = Packing::new(bytes, uid, (place.index, place.time, place.received_at));
                room.iter().for_each(|of| packing.field(of.iter().map(|v| &**v)));
                let (kept, bytes) = packing.finish(&source.captured);
                self.packing_room = bytes;
                let entry = entry(c, feed, kept, room);
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
