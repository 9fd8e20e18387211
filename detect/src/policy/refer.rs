//! What policies refer to: fields of events, and columns of rows.

use std::collections::{BTreeMap, BTreeSet};

use model::Namespace;

use super::directory::{Directory, Draft};
use super::{
    Absence, Body, Condition, EventField, EventTable, Expect, Lookup, MessagePart, Opens, Policy, Reference, Root,
    Subject, Test, Value,
};
use crate::report::nearest;
use crate::{Place, PolicyError, Problem};

/// Adds every field of events that the policy refers to.
pub(crate) fn collect_fields(policy: &mut Policy, directory: &Directory) {
    let mut out: BTreeSet<EventField> = BTreeSet::new();
    for_each_reference(policy, &mut |r| {
        if let Root::Event(field) = &r.root {
            out.insert(field.clone());
        }
    });
    if let Body::Correlation(correlation) = &policy.body {
        // `$event` is the completing event, which may be of any of the rules, each with its own names.
        let namespaces: BTreeSet<Namespace> = correlation
            .feeders
            .iter()
            .map(|f| directory.namespace(f.policy))
            .collect();
        let read: Vec<EventField> = out.iter().cloned().collect();
        out.extend(
            read.iter()
                .flat_map(|f| namespaces.iter().map(|n| EventField::new(*n, &f.path))),
        );
    }
    policy.fields.extend(out);
}

/// The joins of a policy, in order.
fn lookups(policy: &Policy) -> &[Lookup] {
    match &policy.body {
        Body::Rule(rule) => &rule.lookups,
        Body::Absence(Absence {
            opens: Opens::Each(lookups),
            ..
        }) => lookups,
        Body::Silence(silence) => &silence.each,
        Body::Delay(delay) => &delay.each,
        _ => &[],
    }
}

fn for_each_reference(policy: &Policy, each: &mut dyn FnMut(&Reference)) {
    policy.actor.iter().chain(&policy.person).for_each(&mut *each);
    policy.dedup.iter().flat_map(|d| &d.by).for_each(&mut *each);
    for part in policy.message.iter().flat_map(|m| &m.0) {
        if let MessagePart::Value { references, .. } = part {
            references.iter().for_each(&mut *each);
        }
    }
    policy.severity.iter().for_each(|s| s.when.for_each_reference(each));
    lookups(policy).iter().for_each(|l| of_lookup(l, each));
    match &policy.body {
        Body::Rule(rule) => {
            for (_, column) in rule.table.iter().flat_map(|t| &t.columns) {
                each(&column.value);
                column.when.for_each_reference(each);
            }
            rule.calendar
                .iter()
                .filter_map(|c| c.site.as_ref())
                .for_each(&mut *each);
            let new = rule.novelty.iter();
            new.flat_map(|n| n.key.iter().chain(&n.value)).for_each(&mut *each);
            let numbered = rule.sequence.iter();
            numbered
                .flat_map(|s| s.of.iter().chain([&s.number]))
                .for_each(&mut *each);
        }
        Body::Absence(absence) => {
            absence.from.iter().chain([&absence.by]).for_each(&mut *each);
            absence.matching.iter().for_each(|(_, v)| of_value(v, each));
        }
        Body::Delay(delay) => delay.values().for_each(|v| of_value(v, each)),
        Body::Silence(silence) => silence.values().for_each(|v| of_value(v, each)),
        Body::Correlation(_) => {}
    }
}

/// Reports columns that an event table does not have, and references to rows that a lookup does not bind.
pub(crate) fn check_columns(policies: &[Option<Policy>], drafts: &mut [Draft]) {
    for (policy, draft) in policies.iter().zip(drafts) {
        let Some(policy) = policy else { continue };
        let mut known: BTreeMap<&str, (&Lookup, Option<&EventTable>)> = BTreeMap::new();
        for lookup in lookups(policy) {
            let keeper = lookup.event_table.and_then(|i| policies[i.0 as usize].as_ref());
            let table = keeper.and_then(Policy::rule).and_then(|r| r.table.as_ref());
            known.extend(lookup.alias.as_deref().map(|alias| (alias, (lookup, table))));
            let Some(table) = table else { continue };
            let mut columns: Vec<&str> = lookup.key.iter().map(|(c, _)| &**c).collect();
            own_columns(&lookup.condition, &mut columns);
            for column in columns {
                draft
                    .report
                    .errors
                    .extend(unknown_column(table, &lookup.table, column, &lookup.place));
            }
        }
        let mut errors = Vec::new();
        for_each_reference(policy, &mut |r| {
            let Root::Alias { alias, column } = &r.root else { return };
            match known.get(&**alias) {
                Some((lookup, _)) if lookup.expect == Expect::None => {
                    let lint = format!("`{alias}` is expected to have no row, so `${r}` has no value");
                    errors.push(PolicyError {
                        place: lookup.place.clone(),
                        problem: Problem::Lint(lint),
                    });
                }
                Some((lookup, Some(table))) => {
                    errors.extend(unknown_column(table, &lookup.table, column, &lookup.place))
                }
                _ => {}
            }
        });
        errors.dedup();
        draft.report.errors.extend(errors);
    }
}

fn unknown_column(table: &EventTable, name: &str, column: &str, place: &Place) -> Option<PolicyError> {
    let mut known = table.columns.iter().map(|(c, _)| &**c).chain(["time", "record"]);
    let head = column.split('.').next().unwrap_or(column);
    if known.clone().any(|c| c == column || c == head) {
        return None;
    }
    let problem = Problem::Dangling {
        what: "column of that event table",
        given: format!("{name}.{column}"),
        nearest: nearest(column, &mut known),
    };
    Some(PolicyError {
        place: place.clone(),
        problem,
    })
}

/// The columns of the row itself that a condition tests.
fn own_columns<'c>(condition: &'c Condition, out: &mut Vec<&'c str>) {
    match condition {
        Condition::All(cs) | Condition::Any(cs) | Condition::None(cs) => cs.iter().for_each(|c| own_columns(c, out)),
        Condition::Test(Test {
            subject: Subject::Column(column),
            ..
        }) => out.push(column),
        Condition::Test(_) => {}
    }
}

fn of_lookup(lookup: &Lookup, each: &mut dyn FnMut(&Reference)) {
    lookup.key.iter().for_each(|(_, v)| of_value(v, each));
    lookup
        .at
        .iter()
        .chain(lookup.claim.iter().flatten())
        .for_each(&mut *each);
    lookup.condition.for_each_reference(each);
}

fn of_value(value: &Value, each: &mut dyn FnMut(&Reference)) {
    value.references().iter().for_each(each);
}
