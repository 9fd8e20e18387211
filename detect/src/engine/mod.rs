//! The detector: joins, correlations, absences, findings; stateful, in event time.
//!
//! Columns are evaluated first; then every step that touches state is taken in ledger order, record by record,
//! and within a record by event uid, then by rule. Before each record engine time (the greatest `received_at` so
//! far) moves on, and what is due fires. So results do not depend on how records were cut into batches.
//!
//! A finding is a function of the set of what belongs to it: a match that comes late changes the set, and what
//! the change touches is computed again. A finding is written as it stands at the end of a call.
//! A match is *late* when its record was received more than `wait` after it happened.

mod absence;
mod ahead;
mod bucket;
mod bytes;
mod context;
mod correlate;
mod delay;
mod due;
mod event_table;
mod exception;
mod expect;
mod explain;
mod fact;
mod fed;
mod feed;
mod few;
mod finding;
mod flow;
mod found;
mod groups;
mod habit;
mod kept;
mod load;
mod members;
mod memo;
mod minutes;
mod near;
mod novelty;
mod plan;
mod portion;
mod references;
mod registered;
mod report;
mod rows;
mod seen;
mod sequence;
mod settle;
mod silence;
mod state;
mod step;
mod subject;
mod texts;
mod timer;
mod view;
mod wanted;
mod window;
mod written;

pub use silence::{Seen, Watched, rules_of};

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use foldhash::HashMap;
use model::{Batch, Delta, Field, Finding, LedgerIndex, Millis, StateKey, StateValue, Wanted};
use serde::{Deserialize, Serialize};

use self::bucket::{Bucket, BucketId};
use self::fact::Fact;
pub use self::fact::Mask;
pub(crate) use self::finding::told;
pub use self::groups::{Place, Spill};
use self::plan::Plan;
use self::state::Changes;
use self::timer::Timers;
use crate::policy::{Policies, PolicyIndex};
use crate::reference::{Aliases, Found, Gap, Join, Tables};
use crate::{Hit, RuleSet};

/// The state cannot be read. Nothing may be judged; the operator has to restore it, or drop it and replay.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the detector's state under key {key} is not readable; drop the detector's state and replay the ledger")]
pub struct StateError {
    /// The key, hexadecimal.
    pub key: String,
}

/// What a call of [`Detector::process`] found, and how the state changed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output {
    /// New findings and new revisions of old ones, the last of each uid the one that
    /// stands.
    pub findings: Vec<Finding>,
    /// What to write together with the findings.
    pub delta: Delta,
}

/// Engine time, as the state has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Clock {
    /// The first record's `received_at`; deadlines up to it are not judged.
    first: Option<Millis>,
    /// The greatest `received_at` so far.
    now: Option<Millis>,
}

/// The detector.
pub struct Detector {
    policies: Arc<Policies>,
    rules: Arc<RuleSet>,
    plan: Arc<Plan>,
    wanted: Wanted,
    /// What each rule needs of it, once that was asked.
    columns: OnceLock<(Vec<Field>, HashMap<PolicyIndex, Vec<u32>>)>,
    tables: Tables,
    /// Counts the tables that were put in place.
    tables_version: u64,
    /// The joins of each policy, read for the tables.
    joins: Vec<Vec<Join>>,
    /// What they said of events before.
    memo: memo::Memo,
    position: LedgerIndex,
    clock: Clock,
    timers: Timers,
    subjects: HashMap<PolicyIndex, subject::Subjects>,
    rows: rows::EventTableRows,
    windows: groups::Groups,
    /// Room for the name of a group.
    group_name: String,
    /// The groups of events that come next.
    ahead: ahead::Ahead,
    /// Room for an event that is being packed.
    packing_room: Vec<u8>,
    /// Entries whose rows stand in an earlier format, while the state is read.
    rewrite: Vec<(groups::GroupId, fact::Order)>,
    /// State could not be read back: nothing may be judged any more.
    fault: Option<StateError>,
    /// Findings are told at the end only.
    tells_at_end: bool,
    absences: HashMap<PolicyIndex, absence::Expectations>,
    /// Boxed: there may be many, and their table grows.
    buckets: HashMap<BucketId, Box<Bucket>>,
    /// Where the event of a rule, or an expectation, is a member.
    event_bucket: foldhash::HashMap<(PolicyIndex, Arc<str>), BucketId>,
    /// At start: expectations that were settled before, and what events had opened.
    settled: HashMap<(PolicyIndex, Arc<str>), absence::Settled>,
    opened: Vec<(PolicyIndex, Arc<Fact>, Arc<Found>)>,
    /// At start: what was heard of the sources that are watched.
    heard: HashMap<(PolicyIndex, Arc<str>), silence::Heard>,
    silences: silence::Silences,
    /// How long records take to come.
    delays: delay::Delays,
    /// What rules have seen of whom.
    habits: HashMap<(PolicyIndex, Arc<str>), habit::Habit>,
    sequences: HashMap<sequence::LogId, sequence::Runs>,
    /// What part of a source's events those of rules are.
    portions: portion::Portions,
    /// Findings that are events of rules.
    fed: fed::Fed,
    /// Those that are not what they were; of those without a bucket what was told.
    unfed: BTreeSet<BucketId>,
    unfed_alone: Vec<Finding>,
    /// By when they have to be events.
    feed_by: Option<Millis>,
    /// Findings that are told next, as they stand.
    standing: HashMap<BucketId, Finding>,
    /// Where the batches at hand have what rules keep of their events.
    sources: feed::Sources,
    /// When records were received that are findings of their own, since the last flush.
    raised: HashMap<Arc<str>, Millis>,
    /// Buckets that changed since the last flush, in the order in which they first did.
    dirty: Vec<BucketId>,
    /// Revisions since the last flush.
    ready: Vec<Finding>,
    changes: Changes,
    /// Rows of reference tables as the state has them.
    texts: Arc<texts::Texts>,
    /// Items that are forgotten by the minute.
    minutes: minutes::Minutes,
    gaps: BTreeMap<(PolicyIndex, Gap), u64>,
    no_aliases: Aliases,
    /// What no joins found.
    nothing: Arc<Found>,
    mask: Mask,
}

impl Detector {
    /// A detector that goes on from `state`, which was written up to `position`. Rows of policies that are not in
    /// the set any more are dropped with the first delta.
    ///
    /// # Errors
    /// The operator's: the state is broken.
    pub fn new(
        policies: Arc<Policies>,
        rules: Arc<RuleSet>,
        tables: Tables,
        state: Vec<(StateKey, StateValue)>,
        position: LedgerIndex,
    ) -> Result<Detector, StateError> {
        Detector::spilling(policies, rules, tables, state, position, None)
    }

    /// As [`Detector::new`]; state of correlations beyond so many bytes lies in `spill`.
    ///
    /// # Errors
    /// The operator's: the state is broken.
    pub fn spilling(
        policies: Arc<Policies>,
        rules: Arc<RuleSet>,
        tables: Tables,
        state: Vec<(StateKey, StateValue)>,
        position: LedgerIndex,
        spill: Option<(Box<dyn Spill>, usize)>,
    ) -> Result<Detector, StateError> {
        let plan = Arc::new(Plan::new(&policies));
        let mut wanted = rules.wanted().clone();
        wanted.extend(plan.wanted());
        let mut detector = Detector {
            policies,
            rules,
            plan,
            wanted,
            columns: OnceLock::new(),
            tables,
            tables_version: 1,
            joins: Vec::new(),
            memo: memo::Memo::default(),
            nothing: Arc::default(),
            position,
            clock: Clock::default(),
            timers: Timers::default(),
            subjects: HashMap::default(),
            rows: HashMap::default(),
            windows: groups::Groups::default(),
            group_name: String::new(),
            ahead: ahead::Ahead::default(),
            packing_room: Vec::new(),
            rewrite: Vec::new(),
            fault: None,
            tells_at_end: false,
            absences: HashMap::default(),
            buckets: HashMap::default(),
            event_bucket: HashMap::default(),
            settled: HashMap::default(),
            opened: Vec::new(),
            heard: HashMap::default(),
            silences: silence::Silences::default(),
            delays: delay::Delays::default(),
            habits: HashMap::default(),
            sequences: HashMap::default(),
            portions: portion::Portions::default(),
            fed: fed::Fed::default(),
            unfed: BTreeSet::new(),
            unfed_alone: Vec::new(),
            feed_by: None,
            standing: HashMap::default(),
            sources: feed::Sources::default(),
            raised: HashMap::default(),
            dirty: Vec::new(),
            ready: Vec::new(),
            changes: Changes::default(),
            texts: Arc::default(),
            minutes: minutes::Minutes::default(),
            gaps: BTreeMap::new(),
            no_aliases: Aliases::new(),
            mask: |text| Cow::Borrowed(text),
        };
        if let Some((spill, bytes)) = spill {
            detector.windows.spill_to(spill, bytes);
        }
        detector.read_joins();
        detector.load(state)?;
        Ok(detector)
    }

    /// A detector whose state nobody keeps, and whose findings are told once, by [`Detector::finish`].
    #[must_use]
    pub fn for_one_run(mut self) -> Detector {
        self.changes.off = true;
        self.tells_at_end = true;
        self
    }

    /// Why nothing may be judged any more: state that was let go cannot be read back. What was put out since is void.
    #[must_use]
    pub fn fault(&self) -> Option<&StateError> {
        self.fault.as_ref()
    }

    /// Groups of correlations in memory, and those that lie elsewhere.
    #[must_use]
    pub fn groups(&self) -> (usize, usize) {
        self.windows.counts()
    }

    /// Tells what is not told yet.
    pub fn finish(&mut self) -> Output {
        self.tells_at_end = false;
        self.flush()
    }

    /// As [`Detector::finish`], where each finding is told once: hands them over one by one, so that they need not all be in
    /// memory. `false` where they may be told several times; nothing was told then.
    pub fn finish_each(&mut self, each: &mut dyn FnMut(Finding)) -> bool {
        if !self.plan.readers.is_empty() {
            return false;
        }
        self.tells_at_end = false;
        std::mem::take(&mut self.ready).into_iter().for_each(&mut *each);
        for id in std::mem::take(&mut self.dirty) {
            self.settle(&id);
            self.ready.drain(..).for_each(&mut *each);
        }
        self.flush().findings.into_iter().for_each(each);
        true
    }

    /// Hides secrets in what is kept of events, and so in the state, in findings and in what joins and groups compare. Conditions
    /// of rules see the event as it is.
    #[must_use]
    pub fn masked(mut self, mask: Mask) -> Detector {
        self.mask = mask;
        self
    }

    /// The index of the next leaf that it has to handle.
    #[must_use]
    pub fn position(&self) -> LedgerIndex {
        self.position
    }

    /// The greatest `received_at` so far.
    #[must_use]
    pub fn engine_time(&self) -> Option<Millis> {
        self.clock.now
    }

    /// Policies that cannot run, because they take events of each other in a circle.
    #[must_use]
    pub fn circular(&self) -> Vec<PolicyIndex> {
        self.policies
            .iter()
            .map(|(i, _)| i)
            .filter(|i| self.plan.node(*i).circular)
            .collect()
    }

    /// How often a policy could not be judged, and for want of what; since the detector was made.
    #[must_use]
    pub fn gaps(&self) -> &BTreeMap<(PolicyIndex, Gap), u64> {
        &self.gaps
    }

    /// What a policy is called: its `name`, else its id.
    #[must_use]
    pub fn name_of(&self, policy: PolicyIndex) -> &str {
        let policy = self.policies.get(policy);
        policy.name.as_deref().unwrap_or(&policy.reference.id)
    }

    /// The sources that are watched for silence or whose cadence is learned, by name; of several policies that watch one,
    /// the least patient speaks.
    #[must_use]
    pub fn sources(&self) -> Vec<Watched> {
        self.watched_sources()
    }

    /// Handles a span of the ledger: every record of it in order, also those without events, and the events of its
    /// batches. Records before [`Detector::position`] are left out: they were handled before.
    pub fn process(&mut self, span: &[(LedgerIndex, Millis)], batches: &[Batch]) -> Output {
        let hits = batches
            .iter()
            .map(|batch| self.rules.evaluate(batch))
            .collect::<Vec<Vec<Hit>>>();
        self.process_hits(span, &self.registered(batches), &hits);
        fail::fail_point!("detect::judged");
        self.flush()
    }

    /// The engine time at which something is due next.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Millis> {
        self.timers.next_deadline()
    }

    /// Moves engine time on without a record and judges what is due: for the end of a file (`--until`).
    pub fn advance(&mut self, engine_time: Millis) -> Output {
        self.tick(engine_time);
        self.flush()
    }

    /// Puts other reference tables in place. What was judged stays; what is judged from now on reads them. Absences
    /// that a table opens are opened and closed accordingly, with the next call's output.
    pub fn set_tables(&mut self, tables: Tables) {
        self.tables = tables;
        self.tables_version += 1;
        self.read_joins();
        for (rule, subjects) in &self.subjects {
            let policy = self.policies.get(*rule);
            for subject in subjects.iter() {
                let due = self.due_at(policy, &subject.fact);
                if self.clock.now.is_none_or(|now| now < due) {
                    self.timers
                        .set(due, timer::Due::Subject(*rule, subject.fact.uid.clone()));
                }
            }
        }
        self.open_tables();
    }

    /// Engine time moves on to `to` where that is later; what is due by then fires, in order.
    fn tick(&mut self, to: Millis) {
        let to = self.clock.now.map_or(to, |now| now.max(to));
        let before = self.clock;
        if self.clock.first.is_none() {
            self.clock.first = Some(to);
            self.open_silences();
        }
        loop {
            let next = self.timers.peek_until(to).map(|(at, due)| (at, due.policy()));
            if self.feed_before(next.map_or(to, |(at, _)| at), next.map(|(_, policy)| policy)) {
                continue;
            }
            let Some((at, due)) = self.timers.pop_until(to) else {
                break;
            };
            // What was due earlier (tables were changed) fires now.
            self.clock.now = Some(self.clock.now.map_or(at, |now| now.max(at)));
            self.due(at, due);
        }
        self.clock.now = Some(to);
        self.minutes.forget(to);
        if self.clock != before {
            self.changes.touch(state::Item::Time, false);
        }
    }

    /// Writes out what changed.
    fn flush(&mut self) -> Output {
        while !self.tells_at_end {
            let fed = self.has_unfed();
            self.feed_findings(true);
            if let Some(now) = self.clock.now.filter(|_| fed) {
                // What findings open may be due already, and be found itself; events of findings are no findings, so this ends.
                self.tick(now);
            }
            for id in std::mem::take(&mut self.dirty) {
                self.settle(&id);
            }
            if self.dirty.is_empty() && !self.has_unfed() {
                break;
            }
        }
        if self.tells_at_end {
            self.feed_findings(false);
        }
        self.standing.clear();
        self.raised.clear();
        fail::fail_point!("detect::told");
        self.write_heard();
        self.write_delays();
        self.write_portions();
        self.write_items();
        self.let_go();
        fail::fail_point!("detect::let_go");
        let (put, delete) = self.changes.take();
        fail::fail_point!("detect::delta");
        Output {
            findings: std::mem::take(&mut self.ready),
            delta: Delta {
                position: self.position,
                put,
                delete,
            },
        }
    }
}
