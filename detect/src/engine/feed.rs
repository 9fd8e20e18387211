//! Events of rules that do nothing but feed correlations: most of those that are counted. They go from their columns into their
//! groups, by no way of their own.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use model::{Batch, Field};
use smallvec::SmallVec;

use super::Detector;
use super::ahead::AHEAD;
use super::fact::{Bound, Captured, Mask};
use super::kept::Packing;
use super::plan::{Consumer, Node, Plan};
use super::seen::{Event, Seen};
use super::step::Step;
use super::window::Entry;
use crate::policy::{Body, Policies, Policy, PolicyIndex};

/// Whether a rule's events do nothing but feed correlations that count them, or the values of one field.
pub(super) fn only_feeds(policies: &Policies, policy: &Policy, node: &Node) -> bool {
    let Some(rule) = policy.rule() else { return false };
    let plain = rule.calendar.is_none()
        && rule.lookups.is_empty()
        && rule.novelty.is_none()
        && rule.sequence.is_none()
        && rule.portion.is_none()
        && rule.table.is_none();
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
    rules: Vec<Option<Source>>,
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

impl Sources {
    /// What is known of a rule for batches like this one; `None` where nothing is kept of its events.
    fn of(&mut self, rule: PolicyIndex, batch: &Batch, plan: &Plan, policies: &Policies) -> Option<&Source> {
        let layout = self.layout(batch.places());
        let at = rule.0 as usize;
        if layout.rules.len() <= at {
            layout.rules.resize_with(at + 1, || None);
        }
        let known = &mut layout.rules[at];
        if known.is_none() {
            let captured = plan.captured.get(&rule)?;
            *known = Some(Source::new(captured, batch.places(), plan.node(rule), policies));
        }
        known.as_ref()
    }
}

impl Detector {
    /// A rule's condition holds for an event, which is the step of this number.
    pub(super) fn take(&mut self, policies: &Policies, step: usize, rule: PolicyIndex, event: &mut Event<'_>) {
        let (mut sources, ahead) = (std::mem::take(&mut self.sources), std::mem::take(&mut self.ahead));
        if let Some(source) = sources.of(rule, event.batch(), &self.plan, policies) {
            match &source.feeds {
                Some(feeds) => self.take_fed(policies, source, feeds.iter().zip(ahead.of(step)), event),
                None => {
                    event.make_room();
                    self.hit(rule, &Seen::new(event, &source.captured, &source.bound));
                }
            }
        }
        (self.sources, self.ahead) = (sources, ahead);
    }

    /// An event goes to the correlations that it feeds.
    fn take_fed<'a>(
        &mut self,
        policies: &Policies,
        source: &Source,
        feeds: impl Iterator<Item = (&'a Feed, (Option<&'a str>, Option<u32>))>,
        event: &Event<'_>,
    ) {
        let (batch, row) = (event.batch(), event.row());
        let mask: Mask = self.mask;
        let (uid, place) = (batch.uid(row), &batch.rows[row]);
        for (feed, (name, likely)) in feeds {
            let policy = policies.get(feed.correlation);
            // An event that lacks a value to group by belongs to no group.
            let (Body::Correlation(c), Some(name)) = (&policy.body, name) else {
                continue;
            };
            let bytes = std::mem::take(&mut self.packing_room);
            let mut packing = Packing::new(bytes, uid, (place.index, place.time, place.received_at));
            source.bound.pack(batch, row, mask, &mut packing);
            let (kept, bytes) = packing.finish(&source.captured);
            self.packing_room = bytes;
            let mut counted: SmallVec<[Arc<str>; 1]> = SmallVec::new();
            if let Some(Some(at)) = feed.counted {
                let each = &mut |v: Cow<'_, str>| counted.push(v.as_ref().into());
                source.bound.each(batch, row, at, mask, each);
            }
            let entry = Entry::of(c, kept, feed.feeder, counted);
            self.feed_group(policies, (feed.correlation, policy, c), entry, (name, likely), uid);
        }
    }

    /// Finds the groups of the steps that come next, where they do nothing but feed: memory that is far away is asked for all
    /// at once, and is near when they are taken.
    pub(super) fn look_ahead(&mut self, policies: &Policies, first: usize, steps: &[Step], batches: &[Batch]) {
        let (mut sources, mut ahead) = (std::mem::take(&mut self.sources), std::mem::take(&mut self.ahead));
        ahead.begin(first);
        for step in steps.iter().take(AHEAD) {
            let (batch, row) = (&batches[step.batch as usize], step.row as usize);
            let source = sources.of(step.rule, batch, &self.plan, policies);
            let feeds = source
                .iter()
                .flat_map(|s| s.feeds.iter().flatten().map(move |feed| (s, feed)));
            for (source, feed) in feeds {
                ahead.name(feed.correlation, |name| {
                    name_group(feed, &source.bound, batch, row, self.mask, name)
                });
            }
            ahead.step();
        }
        ahead.find(|of, name| self.windows.slot(of, name));
        let ends = ahead.found().map(|(of, slot)| self.windows.look(of, slot));
        std::hint::black_box(ends.fold(0, i64::wrapping_add));
        (self.sources, self.ahead) = (sources, ahead);
    }
}

/// As [`super::correlate::group_of`].
fn name_group(feed: &Feed, bound: &Bound, batch: &Batch, row: usize, mask: Mask, name: &mut String) -> bool {
    for at in &feed.group_by {
        let value = at.and_then(|at| bound.first(batch, row, at, mask));
        let Some(value) = value.filter(|v| !v.is_empty()) else {
            return false;
        };
        super::correlate::push_name(name, &value);
    }
    true
}
