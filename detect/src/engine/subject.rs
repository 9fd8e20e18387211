//! Events whose rule joins a table kept from events (or waits before it is judged): they are judged again
//! whenever such a row comes, changes or goes, and when the wait is over.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foldhash::HashMap;
use model::Millis;
use serde::{Deserialize, Serialize};

use super::bytes::{Bytes, Reader};
use super::fact::{Fact, FactRow};
use super::few::Few;
use super::found::FoundRow;
use super::rows::EventTableRows;
use crate::policy::{Lookup, PolicyIndex};
use crate::reference::{EventRow, EventTables, Found, Gap, Join, Lookups, Tables, Verdict, combinations, key};

/// An event that may be judged again.
#[derive(Debug)]
pub(super) struct Subject {
    pub fact: Arc<Fact>,
    /// What its joins found, where all hold.
    pub found: Option<Arc<Found>>,
    /// What its consumers were told.
    pub told: Option<Arc<Found>>,
    /// Questions to event tables on which the verdict rests: step and key.
    asked: BTreeSet<(usize, String)>,
    /// The state has a row of its own for it.
    pub alone: bool,
    /// When it is forgotten.
    expires: Millis,
    /// Which tables it was judged by.
    judged_by: u64,
    /// With `claim`: the rows that satisfy a step, and the group that contends for them.
    wanted: BTreeMap<(usize, String), Wish>,
}

impl Subject {
    /// When it is forgotten.
    pub fn expires(&self) -> Millis {
        self.expires
    }
}

/// What an event wants of a group of rows.
#[derive(Clone, Debug, PartialEq)]
struct Wish {
    /// Events that are the same to the policy want one row together; without a name the event stands for itself.
    claimant: Option<Arc<str>>,
    rows: Vec<EventRow>,
}

/// A subject as the state has it.
#[derive(Serialize, Deserialize)]
pub(super) struct SubjectRow {
    pub fact: FactRow,
    pub told: Option<FoundRow>,
}

impl Bytes for SubjectRow {
    fn take(from: &mut Reader<'_>) -> Option<SubjectRow> {
        let fact = FactRow::take(from)?;
        let told = if from.bool()? {
            Some(FoundRow::take(from)?)
        } else {
            None
        };
        Some(SubjectRow { fact, told })
    }
}

/// The subjects of one rule.
#[derive(Debug, Default)]
pub(super) struct Subjects {
    by_uid: HashMap<Arc<str>, Subject>,
    /// Events by when they are forgotten, some of which may be gone.
    until: BTreeMap<Millis, Vec<Arc<str>>>,
    /// Subjects by what they asked: step and key.
    by_question: HashMap<(usize, String), Few<Arc<str>>>,
    /// Those that were judged last.
    touched: BTreeSet<Arc<str>>,
    /// Who contends for rows, and who has which: by step and key.
    claims: HashMap<(usize, String), Claim>,
}

#[derive(Debug, Default)]
struct Claim {
    wanted: BTreeMap<Arc<str>, (Millis, Wish)>,
    assigned: BTreeMap<Arc<str>, EventRow>,
}

/// What a judgement changed for the consumers of a rule.
#[derive(Debug)]
pub(super) struct Retold {
    pub fact: Arc<Fact>,
    pub before: Option<Arc<Found>>,
    pub after: Option<Arc<Found>>,
}

/// What judging needs beside the subjects.
pub(super) struct Judge<'a> {
    pub lookups: &'a [Lookup],
    pub joins: &'a [Join],
    pub tables: &'a Tables,
    pub rows: &'a EventTableRows,
    /// The wait of an event is over.
    pub ready: &'a dyn Fn(&Fact) -> bool,
    /// An event is judged no more; it is kept for the row that it claims.
    pub rests: &'a dyn Fn(&Fact) -> bool,
    /// What the rule asks for beside its joins holds.
    pub passes: &'a dyn Fn(&Fact, &Found) -> bool,
    /// Nothing fires before its wait is over.
    pub waits: bool,
    /// Which tables they are: others have another number.
    pub version: u64,
}

impl Subjects {
    pub fn get(&self, uid: &str) -> Option<&Subject> {
        self.by_uid.get(uid)
    }

    /// The row that an event was given of those it contends for.
    pub fn claimed(&self, step: usize, key: &str, uid: &str) -> Option<EventRow> {
        self.claims.get(&(step, key.to_owned()))?.assigned.get(uid).cloned()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Subject> {
        self.by_uid.values()
    }

    /// Adds an event; it is not judged yet. An event that is there stays as it is.
    pub fn insert(&mut self, fact: Arc<Fact>, told: Option<Arc<Found>>, expires: Millis) {
        let subject = Subject {
            alone: false,
            expires,
            fact: fact.clone(),
            found: told.clone(),
            told,
            asked: BTreeSet::new(),
            judged_by: 0,
            wanted: BTreeMap::new(),
        };
        self.by_uid.entry(fact.uid.clone()).or_insert(subject);
    }

    /// Whether no event is forgotten at that moment yet; one is from now on.
    pub fn is_first_until(&mut self, at: Millis, uid: &Arc<str>) -> bool {
        let events = self.until.entry(at).or_default();
        events.push(uid.clone());
        events.len() == 1
    }

    /// Forgets the events whose time is over by `now`: those for which the state has a row of their own.
    pub fn forget_until(&mut self, now: Millis) -> Vec<Arc<str>> {
        let mut alone = Vec::new();
        while let Some(first) = self.until.first_entry().filter(|first| *first.key() <= now) {
            for uid in first.remove() {
                if let Some(subject) = self.by_uid.get(&uid).filter(|s| s.expires <= now) {
                    if subject.alone {
                        alone.push(uid.clone());
                    }
                    self.expire(&uid);
                }
            }
        }
        alone
    }

    /// The state has a row of its own for an event.
    pub fn set_alone(&mut self, uid: &str) {
        if let Some(subject) = self.by_uid.get_mut(uid) {
            subject.alone = true;
        }
    }

    /// Forgets an event without judging the others again.
    pub fn expire(&mut self, uid: &str) {
        let Some(subject) = self.by_uid.remove(uid) else { return };
        for question in &subject.asked {
            if let Some(askers) = self.by_question.get_mut(question) {
                askers.remove(uid);
                if askers.is_empty() {
                    self.by_question.remove(question);
                }
            }
        }
        for group in subject.wanted.keys() {
            if let Some(claim) = self.claims.get_mut(group) {
                claim.wanted.remove(uid);
                claim.assigned.remove(uid);
                if claim.wanted.is_empty() {
                    self.claims.remove(group);
                }
            }
        }
    }

    /// Whether any of them rests on a row.
    pub fn ask(&self) -> bool {
        !self.by_question.is_empty()
    }

    /// The subjects that asked `step` with one of `keys`.
    pub fn asked(&self, step: usize, keys: &BTreeSet<String>) -> BTreeSet<Arc<str>> {
        let mut out = BTreeSet::new();
        for key in keys {
            out.extend(
                self.by_question
                    .get(&(step, key.clone()))
                    .into_iter()
                    .flat_map(Few::iter)
                    .cloned(),
            );
        }
        out
    }

    /// The wait of an event is over: what it waited for is told. It is judged again where the tables are others than they were.
    pub fn judge_due(&mut self, uid: &Arc<str>, judge: &Judge<'_>, gaps: &mut dyn FnMut(Gap)) -> Vec<Retold> {
        match self.by_uid.get(uid) {
            Some(subject) if subject.judged_by == judge.version => {
                self.touched.clear();
                self.tell(uid, judge).into_iter().collect()
            }
            _ => self.judge([uid.clone()].into(), judge, gaps),
        }
    }

    /// Whether nothing that comes can change what an event's joins said, but other tables.
    pub fn is_settled(&self, uid: &str) -> bool {
        let settled = |s: &Subject| s.found.is_none() && s.told.is_none() && s.asked.is_empty() && s.wanted.is_empty();
        self.by_uid.get(uid).is_none_or(settled)
    }

    /// Judges the subjects again, and those whose claims that changes; tells what changed for consumers, by uid.
    pub fn judge(&mut self, uids: BTreeSet<Arc<str>>, judge: &Judge<'_>, gaps: &mut dyn FnMut(Gap)) -> Vec<Retold> {
        let mut touched = BTreeSet::new();
        let mut queue = uids;
        // A claim at one step changes later steps only, so that this ends; the bound is for the case of an error.
        for _ in 0..=2 * judge.lookups.len() + 1 {
            if queue.is_empty() {
                break;
            }
            let mut contended = BTreeSet::new();
            for uid in &queue {
                self.judge_one(uid, judge, &mut contended, gaps);
            }
            touched.append(&mut queue);
            for group in contended {
                queue.extend(self.assign(&group));
            }
        }
        let told = touched.iter().filter_map(|uid| self.tell(uid, judge)).collect();
        self.touched = touched;
        told
    }

    /// Links a subject that was judged before to what it asks, without judging it.
    pub fn relink(&mut self, uids: BTreeSet<Arc<str>>, judge: &Judge<'_>) {
        let mut queue = uids;
        for _ in 0..=2 * judge.lookups.len() + 1 {
            let mut contended = BTreeSet::new();
            for uid in &queue {
                self.judge_one(uid, judge, &mut contended, &mut |_| {});
            }
            queue.clear();
            for group in contended {
                queue.extend(self.assign(&group));
            }
            if queue.is_empty() {
                break;
            }
        }
    }

    fn judge_one(
        &mut self,
        uid: &Arc<str>,
        judge: &Judge<'_>,
        contended: &mut BTreeSet<(usize, String)>,
        gaps: &mut dyn FnMut(Gap),
    ) {
        let Some(subject) = self.by_uid.get(uid).filter(|s| !(judge.rests)(&s.fact)) else {
            return;
        };
        let asking = Asking {
            subjects: self,
            uid,
            rows: judge.rows,
            wanted: RefCell::default(),
        };
        let mut asked = BTreeSet::new();
        let lookups = Lookups {
            lookups: judge.lookups,
            joins: judge.joins,
            tables: judge.tables,
            events: &asking,
        };
        let verdict = lookups.judge(&*subject.fact, &mut |step, values| {
            combinations(values, &mut |values| {
                asked.insert((step, key(values.iter().copied())));
            });
        });
        let wanted = asking.wanted.into_inner();
        let found = match verdict {
            Verdict::Fires(found) => (judge.passes)(&subject.fact, &found).then(|| Arc::new(found)),
            Verdict::DoesNotFire => None,
            Verdict::NotJudged(gap) => {
                gaps(gap);
                None
            }
        };
        let Some(subject) = self.by_uid.get_mut(uid) else {
            return;
        };
        subject.found = found;
        subject.judged_by = judge.version;
        let time = subject.fact.time;
        if asked != subject.asked {
            for question in subject.asked.difference(&asked) {
                if let Some(askers) = self.by_question.get_mut(question) {
                    askers.remove(uid);
                }
            }
            for question in asked.difference(&subject.asked) {
                self.by_question
                    .entry(question.clone())
                    .or_default()
                    .insert(uid.clone());
            }
            subject.asked = asked;
        }
        if wanted.is_empty() && subject.wanted.is_empty() {
            return;
        }
        let old_wanted = std::mem::replace(&mut subject.wanted, wanted.clone());
        for (group, _) in old_wanted.iter().filter(|(group, _)| !wanted.contains_key(*group)) {
            if let Some(claim) = self.claims.get_mut(group) {
                claim.wanted.remove(uid);
                contended.insert(group.clone());
            }
        }
        for (group, wish) in wanted {
            if old_wanted.get(&group) != Some(&wish) {
                let claim = self.claims.entry(group.clone()).or_default();
                claim.wanted.insert(uid.clone(), (time, wish));
                contended.insert(group);
            }
        }
    }

    /// Gives the rows of a group to those who want them: of all pairs the nearest in time first. Those whose row
    /// changed.
    fn assign(&mut self, group: &(usize, String)) -> BTreeSet<Arc<str>> {
        let Some(claim) = self.claims.get_mut(group) else {
            return BTreeSet::new();
        };
        let mut pairs: Vec<(i64, Millis, &Arc<str>, &EventRow)> = claim
            .wanted
            .iter()
            .flat_map(|(uid, (time, wish))| {
                let claimant = wish.claimant.as_ref().unwrap_or(uid);
                wish.rows
                    .iter()
                    .map(move |row| ((row.time - *time).saturating_abs(), *time, claimant, row))
            })
            .collect();
        pairs.sort_by(|a, b| (a.0, a.1, a.2, a.3.time, &a.3.id).cmp(&(b.0, b.1, b.2, b.3.time, &b.3.id)));
        let mut taken = BTreeSet::new();
        let mut of_claimant: BTreeMap<&Arc<str>, &EventRow> = BTreeMap::new();
        for (_, _, claimant, row) in pairs {
            if !of_claimant.contains_key(claimant) && taken.insert(&row.id) {
                of_claimant.insert(claimant, row);
            }
        }
        let own = |(uid, (_, wish)): (&Arc<str>, &(Millis, Wish))| {
            let row = of_claimant.get(wish.claimant.as_ref().unwrap_or(uid))?;
            Some((uid.clone(), (*row).clone()))
        };
        let assigned: BTreeMap<Arc<str>, EventRow> = claim.wanted.iter().filter_map(own).collect();
        let all: BTreeSet<&Arc<str>> = assigned.keys().chain(claim.assigned.keys()).collect();
        let changed = all
            .into_iter()
            .filter(|uid| assigned.get(*uid) != claim.assigned.get(*uid))
            .cloned()
            .collect();
        claim.assigned = assigned;
        changed
    }

    /// Of those that were judged last, the events whose joins hold otherwise than was told: they wait.
    pub fn waiting(&self) -> impl Iterator<Item = &Arc<Fact>> {
        let subjects = self.touched.iter().filter_map(|uid| self.by_uid.get(uid));
        subjects
            .filter(|s| s.found.is_some() && s.found != s.told)
            .map(|s| &s.fact)
    }

    fn tell(&mut self, uid: &Arc<str>, judge: &Judge<'_>) -> Option<Retold> {
        let subject = self.by_uid.get_mut(uid).filter(|s| !(judge.rests)(&s.fact))?;
        let after = subject
            .found
            .clone()
            .filter(|f| !(f.negative || judge.waits) || (judge.ready)(&subject.fact));
        if after == subject.told {
            return None;
        }
        let before = std::mem::replace(&mut subject.told, after.clone());
        Some(Retold {
            fact: subject.fact.clone(),
            before,
            after,
        })
    }
}

/// The event tables as one subject sees them.
struct Asking<'a> {
    subjects: &'a Subjects,
    uid: &'a Arc<str>,
    rows: &'a EventTableRows,
    wanted: RefCell<BTreeMap<(usize, String), Wish>>,
}

impl EventTables for Asking<'_> {
    fn rows(&self, table: PolicyIndex, columns: &[Arc<str>], values: &[Vec<String>]) -> Vec<EventRow> {
        self.rows
            .get(&table)
            .map(|t| t.rows(columns, values))
            .unwrap_or_default()
    }

    fn claim(&self, step: usize, key: &str, claimant: Option<String>, rows: Vec<EventRow>) -> Option<EventRow> {
        let group = (step, key.to_owned());
        let assigned = self.subjects.claims.get(&group).and_then(|c| c.assigned.get(self.uid));
        let own = assigned.filter(|a| rows.iter().any(|r| r.id == a.id)).cloned();
        let wish = Wish {
            claimant: claimant.map(Into::into),
            rows,
        };
        self.wanted.borrow_mut().insert(group, wish);
        own
    }
}
