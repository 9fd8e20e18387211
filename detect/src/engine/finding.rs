//! A finding as a pure function of what belongs to it.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foldhash::HashSet;
use jiff::tz::TimeZone;
use model::{Context, Coordinate, Finding, FindingKind, FindingStatus, Millis, ReferenceRow, Severity};

use super::Detector;
use super::bucket::{Bucket, BucketId, Member};
use super::fact::{Fact, Order};
use super::members::Members;
use super::plan::default_fields;
use super::view::View;
use super::window::Group;
use crate::policy::{Body, Correlation, MessagePart, Policy, PolicyIndex, Reference};
use crate::reference::{Aliases, EventValues, Item, Scope, holds, person_of, resolve};
use crate::sigma::{Number, lower};

/// Values that one place of a message names, characters of a message, and reference rows that a finding cites.
const MESSAGE_VALUES_MAX: usize = 20;
const MESSAGE_CHARS_MAX: usize = 2_000;
const ROWS_MAX: usize = 1_000;
/// So much evidence may have repeats in it that are taken out before it grows.
const EVIDENCE_MANY: usize = 1_024;
/// Correlations of correlations that evidence is gathered through.
const CHAIN_MAX: usize = 16;

/// The name of the label of a finding whose completing event came later than `wait` after it happened.
const LATE: &str = "late";

/// What a finding is made of, gathered.
#[derive(Default)]
struct Gathered {
    /// In no order.
    evidence: Vec<Coordinate>,
    rows: Vec<ReferenceRow>,
    seen_rows: BTreeSet<String>,
    /// Rows that were looked at, while all are there.
    same_rows: HashSet<*const ReferenceRow>,
    first: Option<Millis>,
    last: Option<Millis>,
    /// The events' accounts, in lower case; no more than two of them.
    accounts: BTreeSet<String>,
    /// The last of them, as it is written.
    account: Option<String>,
}

impl Gathered {
    fn time(&mut self, time: Millis) {
        self.first = Some(self.first.map_or(time, |t| t.min(time)));
        self.last = Some(self.last.map_or(time, |t| t.max(time)));
    }

    fn event(&mut self, time: Millis, account: Option<&str>, uid: &str) {
        self.time(time);
        if let Some(account) = account
            && self.accounts.len() < 2
            && self.account.as_deref() != Some(account)
        {
            self.account = Some(account.to_owned());
            self.accounts.insert(lower(account));
        }
        if self.evidence.len() == self.evidence.capacity() && self.evidence.len() >= EVIDENCE_MANY {
            // Windows of chained correlations may tell the same events many times over.
            self.evidence.sort_unstable_by(in_order);
            self.evidence.dedup();
        }
        // Every uid is a record id, but for a hostile or broken batch, which yields none.
        self.evidence.extend(Coordinate::parse_like(uid, self.evidence.last()));
    }

    fn fact(&mut self, fact: &Fact) {
        self.event(fact.time, fact.account().map(|a| &**a), &fact.uid);
    }

    fn rows(&mut self, rows: &[Arc<ReferenceRow>]) {
        for row in rows {
            // Events of one finding mostly have the same rows.
            if self.rows.len() < ROWS_MAX
                && self.same_rows.insert(Arc::as_ptr(row))
                && self
                    .seen_rows
                    .insert(format!("{}\n{}\n{}", row.table, row.version, row.row))
            {
                self.rows.push(ReferenceRow::clone(row));
            }
        }
    }
}

/// The event and the rows of one member, as its policy names them.
struct Telling<'a> {
    event: Option<Box<dyn EventValues + 'a>>,
    aliases: &'a Aliases,
    /// When the event happened, and when it was received.
    moment: Option<(Millis, Millis)>,
}

impl Detector {
    /// The finding of a bucket; `None` where it has no member.
    pub(super) fn finding(&self, id: &BucketId, bucket: &Bucket) -> Option<Finding> {
        let policy = self.policies.get(id.0);
        let (first, of_first) = bucket.members.first()?;
        let mut gathered = Gathered::default();
        let mut count = None;
        let mut severity = None;
        for (order, member) in bucket.members.iter() {
            match member {
                Member::Event(fact, found) => {
                    gathered.fact(fact);
                    gathered.evidence.extend(found.records.iter().cloned());
                    gathered.rows(&found.rows);
                }
                Member::Window(group) => count = count.max(self.counted(id.0, group, order)),
                Member::Silent(found, last) => {
                    gathered.time(order.0);
                    last.iter().for_each(|last| gathered.time(*last));
                    gathered.rows(&found.rows);
                }
                Member::Missing(expectation) => {
                    gathered.time(order.0);
                    if let Some(e) = self.absences.get(&id.0).and_then(|a| a.get(expectation)) {
                        gathered.evidence.extend(e.fact.iter().filter_map(|f| f.record()));
                        gathered.evidence.extend(e.found.records.iter().cloned());
                        gathered.rows(&e.found.rows);
                    }
                }
            }
            // Without raises the base stands for all.
            if severity.is_none() || !policy.severity.is_empty() {
                severity = severity.max(self.severity(policy, id.0, order, member));
            }
        }
        if let Body::Correlation(correlation) = &policy.body {
            self.gather_windows(id.0, correlation, bucket, &mut gathered);
            // An event that came by several rules has their rows in the order in which it came.
            gathered
                .rows
                .sort_by_cached_key(|row| (row.table.clone(), row.row.to_string()));
        }
        let telling = self.telling(id.0, first, of_first)?;
        let scope = self.scope(&telling, count);
        // Of several accounts none is the finding's own, unless the policy says which.
        let account = match (policy.actor.is_empty(), gathered.accounts.len()) {
            (true, 0 | 1) => scope.event.and_then(account_of).map(ToString::to_string),
            (true, _) => None,
            (false, _) => first_text(&policy.actor, &scope),
        };
        let (person, row) = self.person(policy, &scope, account.as_deref(), first.0);
        gathered.rows(row.as_slice());
        let mut context = Context::default();
        if policy.reports {
            let who = (person.as_deref(), bucket.group.as_slice());
            let (around, rows) = self.context(policy, &scope, who, &gathered.rows, first.0);
            gathered.rows(&rows);
            context = around;
        }
        let late = telling
            .moment
            .is_some_and(|(time, received_at)| received_at - time > policy.wait_ms);
        gathered.evidence.sort_unstable_by(in_order);
        gathered.evidence.dedup();
        let mut finding = Finding {
            uid: id.1.to_string(),
            policy: policy.reference.clone(),
            kind: policy.kind,
            severity: severity.unwrap_or(Severity::Medium),
            status: FindingStatus::New,
            clauses: policy.clauses.clone(),
            controls: policy.controls.clone(),
            tags: policy.tags.clone(),
            time: first.0,
            first_seen: gathered.first.unwrap_or(first.0),
            last_seen: gathered.last.unwrap_or(first.0),
            account,
            person,
            group: bucket.group.clone(),
            evidence: gathered.evidence,
            message: self.message(policy, &scope),
            rows: gathered.rows,
            labels: if late && policy.kind != FindingKind::Compliance {
                vec![LATE.to_owned()]
            } else {
                vec![]
            },
            context,
        };
        self.except(policy, &mut finding);
        Some(finding)
    }

    fn counted(&self, policy: PolicyIndex, group: &Arc<str>, order: &Order) -> Option<Number> {
        let Body::Correlation(correlation) = &self.policies.get(policy).body else {
            return None;
        };
        self.windows
            .get(&(policy, group.clone()))?
            .counted_at(correlation, &opened(correlation, order))
    }

    fn scope<'a>(&'a self, telling: &'a Telling<'a>, count: Option<Number>) -> Scope<'a> {
        let event = telling.event.as_deref();
        Scope {
            event,
            aliases: telling.aliases,
            row: None,
            count,
            zone: self.tables.zone(),
            calendar: self.tables.calendar(),
        }
    }

    fn telling<'a>(&'a self, policy: PolicyIndex, order: &Order, member: &'a Member) -> Option<Telling<'a>> {
        Some(match member {
            Member::Event(fact, found) => Telling {
                event: Some(Box::new(Named(fact))),
                aliases: &found.aliases,
                moment: Some((fact.time, fact.received_at)),
            },
            Member::Window(group) => {
                let Body::Correlation(correlation) = &self.policies.get(policy).body else {
                    return None;
                };
                let group = self.windows.get(&(policy, group.clone()))?;
                let entry = group.get(&opened(correlation, order))?;
                let feeder = entry.feeder();
                let event = entry.kept();
                let moment = (event.time(), event.received_at());
                let view = View {
                    fact: entry.fact(),
                    correlation,
                    feeder,
                };
                Telling {
                    event: Some(Box::new(view)),
                    aliases: &self.no_aliases,
                    moment: Some(moment),
                }
            }
            Member::Silent(found, _) => Telling {
                event: None,
                aliases: &found.aliases,
                moment: None,
            },
            Member::Missing(expectation) => {
                let e = self.absences.get(&policy)?.get(expectation)?;
                let event = e.fact.as_deref().map(|f| Box::new(Named(f)) as Box<dyn EventValues>);
                Telling {
                    event,
                    aliases: &e.found.aliases,
                    moment: None,
                }
            }
        })
    }

    /// When the record was received that made a member of a finding.
    pub(super) fn completed_by(&self, policy: PolicyIndex, order: &Order, member: &Member) -> Option<Millis> {
        Some(self.telling(policy, order, member)?.moment?.1)
    }

    fn severity(&self, policy: &Policy, index: PolicyIndex, order: &Order, member: &Member) -> Option<Severity> {
        let base = policy.level.unwrap_or(Severity::Medium);
        if policy.severity.is_empty() {
            return Some(base);
        }
        let telling = self.telling(index, order, member)?;
        let count = match member {
            Member::Window(group) => self.counted(index, group, order),
            _ => None,
        };
        let scope = self.scope(&telling, count);
        let raised = policy.severity.iter().rev().find(|raise| holds(&raise.when, &scope));
        Some(raised.map_or(base, |raise| raise.level))
    }

    /// Every event of the windows that end with the members; windows that overlap are walked once.
    fn gather_windows(&self, policy: PolicyIndex, c: &Correlation, bucket: &Bucket, gathered: &mut Gathered) {
        if let Members::One(order, Member::Window(group)) = &bucket.members {
            return self.gather_group(policy, c, group, &[order.0], gathered, CHAIN_MAX);
        }
        let mut ends: BTreeMap<&Arc<str>, Vec<Millis>> = BTreeMap::new();
        for (order, member) in bucket.members.iter() {
            if let Member::Window(group) = member {
                ends.entry(group).or_default().push(order.0);
            }
        }
        for (group, ends) in ends {
            self.gather_group(policy, c, group, &ends, gathered, CHAIN_MAX);
        }
    }

    fn gather_group(
        &self,
        policy: PolicyIndex,
        c: &Correlation,
        group: &Arc<str>,
        ends: &[Millis],
        gathered: &mut Gathered,
        depth: usize,
    ) {
        let Some(entries) = self.windows.get(&(policy, group.clone())) else {
            return;
        };
        let mut after = Millis(i64::MIN);
        let mut chained: BTreeMap<(PolicyIndex, Arc<str>), Vec<Millis>> = BTreeMap::new();
        for end in ends {
            let (from, until) = Group::window(c, end.plus_ms(-c.completes_after_ms()));
            let entries = entries.between_times(after.max(from), until);
            gathered.evidence.reserve(entries.size_hint().0.min(EVIDENCE_MANY));
            for entry in entries {
                let event = entry.kept();
                let (uid, account) = event.uid_and_account();
                gathered.event(event.time(), account, uid);
                gathered.evidence.extend(entry.records().iter().cloned());
                gathered.rows(entry.rows());
                for origin in entry.origins() {
                    chained.entry(origin.clone()).or_default().push(entry.time());
                }
            }
            after = after.max(until);
        }
        for ((policy, group), ends) in chained {
            if let (Body::Correlation(c), true) = (&self.policies.get(policy).body, depth > 0) {
                self.gather_group(policy, c, &group, &ends, gathered, depth - 1);
            }
        }
    }

    /// The person: as the policy says, else the owner of the actor's account in the event's system, else the
    /// employee id that the event gives for the actor (where the roster knows it).
    fn person(
        &self,
        policy: &Policy,
        scope: &Scope<'_>,
        account: Option<&str>,
        at: Millis,
    ) -> (Option<String>, Option<Arc<ReferenceRow>>) {
        if let Some(person) = first_text(&policy.person, scope) {
            return (Some(person), None);
        }
        let (Some(event), Some(account)) = (scope.event, account) else {
            return (None, None);
        };
        let [actor, _, system, uid] = default_fields();
        let owner = event
            .values(system)
            .first()
            .and_then(|s| person_of(&self.tables, s, account, at));
        if let Some((person, row)) = owner {
            return (Some(person), Some(row));
        }
        // `actor.user.uid` may as well be a number of the host's, so that only the roster can tell.
        let own = event.values(actor).first().is_some_and(|a| lower(a) == lower(account));
        let uid = event.values(uid).first().filter(|_| own);
        let known = |uid: &&Arc<str>| {
            let roster = self.tables.get("hr_roster")?.index(&["employee_id".into()]);
            let (rows, _) = roster.rows(&[vec![lower(uid)]]);
            rows.first().copied()
        };
        (uid.filter(|uid| known(uid).is_some()).map(ToString::to_string), None)
    }

    fn message(&self, policy: &Policy, scope: &Scope<'_>) -> String {
        let Some(message) = &policy.message else {
            return policy.reference.title.clone();
        };
        let mut out = String::new();
        for part in &message.0 {
            match part {
                MessagePart::Text(text) => out.push_str(text),
                MessagePart::Value { references, default } => {
                    let texts = references
                        .iter()
                        .map(|r| texts(r, scope))
                        .find(|texts| !texts.is_empty());
                    match (texts.as_deref().unwrap_or_default(), default) {
                        ([], Some(default)) => out.push_str(default),
                        ([], None) => out.push('-'),
                        (texts, _) => out.push_str(&texts.join(", ")),
                    }
                }
            }
        }
        match out.char_indices().nth(MESSAGE_CHARS_MAX) {
            Some((end, _)) => format!("{}…", &out[..end]),
            None => out,
        }
    }
}

/// What a message writes for a reference.
fn texts(reference: &Reference, scope: &Scope<'_>) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    for item in resolve(reference, scope) {
        let text = told(&item, scope.zone);
        if !text.is_empty() && !texts.contains(&text) {
            texts.push(text);
        }
        if texts.len() > MESSAGE_VALUES_MAX {
            texts[MESSAGE_VALUES_MAX] = "…".to_owned();
            break;
        }
    }
    texts
}

/// Records in their order; most are of one topic, which need not be read for that.
fn in_order(a: &Coordinate, b: &Coordinate) -> Ordering {
    if Arc::ptr_eq(&a.topic, &b.topic) {
        return (a.partition, a.offset).cmp(&(b.partition, b.offset));
    }
    a.cmp(b)
}

/// The place of the event whose window a member is.
fn opened(c: &Correlation, order: &Order) -> Order {
    (order.0.plus_ms(-c.completes_after_ms()), order.1.clone())
}

/// A fact under its own rule's names.
struct Named<'a>(&'a Fact);

impl EventValues for Named<'_> {
    fn time(&self) -> Millis {
        self.0.time
    }
    fn received_at(&self) -> Millis {
        self.0.received_at
    }
    fn values(&self, field: &crate::policy::EventField) -> &[Arc<str>] {
        let values = self.0.values(field);
        if !values.is_empty() || field.namespace == self.0.namespace() {
            return values;
        }
        self.0.values(&crate::policy::EventField {
            namespace: self.0.namespace(),
            path: field.path.clone(),
        })
    }
}

/// Whose event it is, where the policy does not say: who did it, else to whom or as whom it was done.
fn account_of(event: &dyn EventValues) -> Option<&Arc<str>> {
    let [actor, user, ..] = default_fields();
    let values = [event.values(actor), event.values(user)];
    values.into_iter().flatten().find(|v| !v.is_empty())
}

fn first_text(references: &[Reference], scope: &Scope<'_>) -> Option<String> {
    references.iter().find_map(|reference| {
        let items = resolve(reference, scope);
        items
            .iter()
            .map(|i| i.text().into_owned())
            .find(|text| !text.is_empty())
    })
}

/// A value as people read it: a moment in the operator's zone.
pub(crate) fn told(item: &Item<'_>, zone: &TimeZone) -> String {
    let Item::Time(time) = item else {
        return item.text().into_owned();
    };
    match jiff::Timestamp::from_millisecond(time.0) {
        Ok(t) if (Millis::MIN..=Millis::MAX).contains(time) => {
            t.to_zoned(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
        }
        _ => time.to_string(),
    }
}
