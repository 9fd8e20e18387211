//! Who is dropped with whom, who reports, and the final numbers.

use super::directory::Draft;
use super::{Body, Lookup, Opens, Policy, PolicyIndex};
use crate::Problem;

/// The policies that one cannot run without.
fn needs(policy: &Policy) -> Vec<PolicyIndex> {
    let tables = |lookups: &[Lookup]| lookups.iter().filter_map(|l| l.event_table).collect::<Vec<_>>();
    match &policy.body {
        Body::Rule(rule) => tables(&rule.lookups),
        Body::Correlation(c) => c.feeders.iter().map(|f| f.policy).collect(),
        Body::Absence(a) => {
            let mut needs: Vec<PolicyIndex> = a.expect.iter().map(|(_, i)| *i).collect();
            match &a.opens {
                Opens::Each(lookups) => needs.extend(tables(lookups)),
                Opens::After(index) => needs.push(*index),
            }
            needs
        }
        Body::Delay(d) => tables(&d.each),
        Body::Silence(s) => {
            let mut needs = tables(&s.each);
            needs.extend(s.anew.iter().map(|a| a.rule));
            needs
        }
    }
}

/// Drops policies that need one that is broken, and those that need themselves.
pub(crate) fn drop_broken(policies: &mut [Option<Policy>], drafts: &mut [Draft]) {
    // A policy runs once all that it needs run; what is left over when nothing more can be added is in a circle, or
    // behind a broken one.
    let mut runs = vec![false; policies.len()];
    loop {
        let mut grown = false;
        for i in 0..policies.len() {
            let Some(policy) = policies[i].as_ref().filter(|_| !runs[i]) else {
                continue;
            };
            if needs(policy).iter().all(|n| runs[n.0 as usize]) {
                runs[i] = true;
                grown = true;
            }
        }
        if !grown {
            break;
        }
    }
    for i in 0..policies.len() {
        let Some(policy) = policies[i].as_ref().filter(|_| !runs[i]) else {
            continue;
        };
        let lacking = needs(policy).into_iter().find(|n| !runs[n.0 as usize]);
        let name = lacking
            .map(|n| drafts[n.0 as usize].handle().to_owned())
            .unwrap_or_default();
        let node = drafts[i].node.clone();
        drafts[i].report.at(&node, Problem::Broken { name });
    }
    for (policy, runs) in policies.iter_mut().zip(runs) {
        if !runs {
            *policy = None;
        }
    }
}

/// Rules that feed a correlation make no findings of their own, unless it says `generate` or they have clauses.
pub(crate) fn set_reports(policies: &mut [Option<Policy>]) {
    let mut fed: Vec<PolicyIndex> = Vec::new();
    for policy in policies.iter().flatten() {
        match &policy.body {
            Body::Correlation(c) if !c.generate => fed.extend(c.feeders.iter().map(|f| f.policy)),
            _ => {}
        }
    }
    for index in fed {
        if let Some(policy) = &mut policies[index.0 as usize] {
            policy.reports &= !policy.clauses.is_empty();
        }
    }
}

/// Leaves out the broken ones and renumbers the rest.
pub(crate) fn compact(policies: Vec<Option<Policy>>) -> Vec<Policy> {
    let mut next = 0;
    let renumbered: Vec<PolicyIndex> = policies
        .iter()
        .map(|p| {
            let index = PolicyIndex(next);
            next += u32::from(p.is_some());
            index
        })
        .collect();
    let renumber = |index: &mut PolicyIndex| *index = renumbered[index.0 as usize];
    let mut out: Vec<Policy> = policies.into_iter().flatten().collect();
    for policy in &mut out {
        let tables = |lookups: &mut [Lookup]| {
            lookups
                .iter_mut()
                .filter_map(|l| l.event_table.as_mut())
                .for_each(renumber)
        };
        match &mut policy.body {
            Body::Rule(rule) => tables(&mut rule.lookups),
            Body::Correlation(c) => c.feeders.iter_mut().for_each(|f| renumber(&mut f.policy)),
            Body::Absence(a) => {
                a.expect.iter_mut().for_each(|(_, i)| renumber(i));
                match &mut a.opens {
                    Opens::Each(lookups) => tables(lookups),
                    Opens::After(index) => renumber(index),
                }
            }
            Body::Delay(d) => tables(&mut d.each),
            Body::Silence(s) => {
                tables(&mut s.each);
                s.anew.iter_mut().for_each(|a| renumber(&mut a.rule));
            }
        }
    }
    out
}
