//! Every reference in a policy.

use crate::policy::{Body, Lookup, MessagePart, Opens, Policy, Reference, Value};

/// Calls `each` with every reference that judging and telling of `policy` resolves.
pub(super) fn each_reference<'a>(policy: &'a Policy, each: &mut dyn FnMut(&'a Reference)) {
    policy.actor.iter().chain(&policy.person).for_each(&mut *each);
    policy.dedup.iter().flat_map(|d| &d.by).for_each(&mut *each);
    policy
        .severity
        .iter()
        .for_each(|raise| raise.when.for_each_reference(each));
    for part in policy.message.iter().flat_map(|m| &m.0) {
        if let MessagePart::Value { references, .. } = part {
            references.iter().for_each(&mut *each);
        }
    }
    match &policy.body {
        Body::Rule(rule) => {
            each_of_lookups(&rule.lookups, each);
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
        Body::Correlation(_) => {}
        Body::Absence(absence) => {
            if let Opens::Each(joins) = &absence.opens {
                each_of_lookups(joins, each);
            }
            absence.from.iter().for_each(&mut *each);
            each(&absence.by);
            absence.matching.iter().for_each(|(_, v)| value(v, each));
        }
        Body::Delay(delay) => {
            each_of_lookups(&delay.each, each);
            delay.values().for_each(|v| value(v, each));
        }
        Body::Silence(silence) => {
            each_of_lookups(&silence.each, each);
            silence.values().for_each(|v| value(v, each));
        }
    }
}

/// Those of joins.
pub(super) fn each_of_lookups<'a>(lookups: &'a [Lookup], each: &mut dyn FnMut(&'a Reference)) {
    for lookup in lookups {
        lookup.key.iter().for_each(|(_, v)| value(v, each));
        lookup.condition.for_each_reference(each);
        lookup
            .at
            .iter()
            .chain(lookup.claim.iter().flatten())
            .for_each(&mut *each);
    }
}

fn value<'a>(value: &'a Value, each: &mut dyn FnMut(&'a Reference)) {
    value.references().iter().for_each(each);
}
