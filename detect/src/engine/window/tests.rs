//! Windows against their definition.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::Namespace;
use proptest::prelude::*;

use super::*;
use crate::engine::fact::Fact;
use crate::policy::{Compare, EventField, Expression, Feeder, PolicyIndex, Share, Usual};

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
        usual: None,
        share: None,
        generate: false,
    }
}

/// Counted in windows before, two at least: more than one and a half times the median.
fn unusual(mut c: Correlation) -> Correlation {
    c.usual = Some(Usual {
        over_ms: 3 * SPAN + 4,
        percentile: 50,
        times: Number::parse("1.5").unwrap(),
        at_least: 2,
        ending_with: None,
    });
    c
}

/// Only where a window ends with the second of three rules.
fn ending(mut c: Correlation) -> Correlation {
    c = unusual(c);
    c.usual.iter_mut().for_each(|u| u.ending_with = Some(1));
    c
}

fn compare(compare: Compare, given: i128) -> CorrelationCondition {
    CorrelationCondition::Compare {
        fields: vec!["v".into()],
        compare: vec![(compare, Number::Int(given))],
    }
}

/// Counted of the second of three rules, as more than 40 % of all.
fn shared(mut c: Correlation) -> Correlation {
    let percent = Number::Int(40);
    c.share = Some(Share { of: 1, percent });
    c
}

type Event = (u8, i64, usize, BTreeSet<u8>);

/// Which events complete a violation, read off the definition.
fn plain(c: &Correlation, events: &[Event]) -> BTreeSet<(i64, u8)> {
    let mut events = events.to_vec();
    events.sort_by_key(|e| (e.1, e.0.to_string()));
    let count = |window: &[&Event]| match c.kind {
        CorrelationKind::EventCount => window.len() as i128,
        CorrelationKind::ValueCount => {
            let values: BTreeSet<u8> = window.iter().flat_map(|e| e.3.iter().copied()).collect();
            values.len() as i128
        }
        _ => window.iter().flat_map(|e| &e.3).map(|v| i128::from(*v)).sum(),
    };
    let compared = |counted: i128| match &c.condition {
        CorrelationCondition::Compare { compare, .. } => compare.iter().all(|(c, n)| c.holds(Number::Int(counted), *n)),
        _ => false,
    };
    match c.reach() {
        Reach::Behind => {}
        Reach::Opening => {
            let mut out = BTreeSet::new();
            let mut left = &events[..];
            while let Some(first) = left.first() {
                let n = left.iter().take_while(|e| e.1 < first.1 + SPAN).count();
                if compared(count(&left[..n].iter().collect::<Vec<_>>())) {
                    out.insert((first.1, first.0));
                }
                left = &left[n..];
            }
            return out;
        }
        Reach::Following => {
            let next = events[1.min(events.len())..].iter().map(Some).chain([None]);
            let alone = events
                .iter()
                .zip(next)
                .filter(|(e, next)| next.is_none_or(|n| n.1 > e.1 + SPAN));
            return alone.map(|(e, _)| (e.1, e.0)).collect();
        }
    }
    let ending = |t: i64| -> Vec<&Event> { events.iter().filter(|e| t - SPAN < e.1 && e.1 <= t).collect() };
    let usual = |t: i64| {
        let before = (1..=3).map(|n| ending(t - n * SPAN)).filter(|w| !w.is_empty());
        let mut before: Vec<i128> = before.map(|w| count(&w)).collect();
        before.sort_unstable();
        let rank = before.len().div_ceil(2);
        before.len() >= 2 && 2 * count(&ending(t)) > 3 * before[rank - 1]
    };
    let holds = |end: &Event| {
        let window = ending(end.1);
        let fired: BTreeSet<usize> = window.iter().map(|e| e.2).collect();
        match (&c.kind, &c.condition) {
            (_, CorrelationCondition::Compare { .. }) if c.share.is_some() => {
                let part: Vec<&Event> = window.iter().copied().filter(|e| e.2 == 1).collect();
                compared(count(&part)) && 100 * count(&part) > 40 * count(&window)
            }
            (_, CorrelationCondition::Compare { .. }) if c.usual.is_some() => {
                let judged = c.usual.is_none_or(|u| u.ending_with.is_none()) || end.2 == 1;
                judged && compared(count(&window)) && usual(end.1)
            }
            (_, CorrelationCondition::Compare { .. }) => compared(count(&window)),
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
        kind in 0usize..21,
        given in 1i128..4,
    ) {
        let not = Expression::All(vec![Expression::Fired(0), Expression::Not(Box::new(Expression::Fired(1)))]);
        let c = match kind {
            0 => correlation(CorrelationKind::EventCount, compare(Compare::Gte, given)),
            1 => correlation(CorrelationKind::EventCount, compare(Compare::Lt, given)),
            2 => correlation(CorrelationKind::ValueCount, compare(Compare::Gte, given)),
            3 => correlation(CorrelationKind::ValueCount, compare(Compare::Eq, given)),
            4 => correlation(CorrelationKind::EventCount, compare(Compare::Eq, given)),
            7 => correlation(CorrelationKind::EventCount, compare(Compare::Eq, 0)),
            8 => correlation(CorrelationKind::ValueCount, compare(Compare::Lt, given)),
            9 => correlation(CorrelationKind::ValueSum, compare(Compare::Gte, given)),
            10 => correlation(CorrelationKind::ValueSum, compare(Compare::Lte, given)),
            11 => {
                let mut between = compare(Compare::Gte, given);
                if let CorrelationCondition::Compare { compare, .. } = &mut between {
                    compare.push((Compare::Lte, Number::Int(given + 1)));
                }
                correlation(CorrelationKind::EventCount, between)
            }
            12 => correlation(CorrelationKind::EventCount, compare(Compare::Neq, given)),
            20 => ending(correlation(CorrelationKind::EventCount, compare(Compare::Gte, given))),
            17 => shared(correlation(CorrelationKind::EventCount, compare(Compare::Gte, given))),
            18 => shared(correlation(CorrelationKind::ValueCount, compare(Compare::Gte, given))),
            19 => shared(correlation(CorrelationKind::ValueSum, compare(Compare::Gt, given))),
            14 => unusual(correlation(CorrelationKind::EventCount, compare(Compare::Gte, given))),
            15 => unusual(correlation(CorrelationKind::ValueCount, compare(Compare::Gt, 0))),
            16 => unusual(correlation(CorrelationKind::ValueSum, compare(Compare::Gte, given))),
            6 => correlation(CorrelationKind::Temporal, CorrelationCondition::AllRules),
            5 => correlation(CorrelationKind::TemporalOrdered, CorrelationCondition::AllRules),
            _ => correlation(CorrelationKind::Temporal, CorrelationCondition::Expression(not)),
        };
        let judging = Judging { now: Some(Millis(i64::MAX)), wait_ms: 0, lateness_ms: 0, alone: false };
        let (mut group, mut events, mut told) = (Group::default(), Vec::<Event>::new(), BTreeSet::new());
        for (n, (goes, time, feeder, values)) in steps.into_iter().enumerate() {
            let changes = if goes && !events.is_empty() {
                let (id, time, feeder, _) = events.remove(n % events.len());
                group.remove(&c, &(Millis(time), id.to_string().into()), feeder, &judging)
            } else {
                let texts: Vec<String> = values.iter().map(u8::to_string).collect();
                let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
                let fact = Fact::of(&n.to_string(), time, &texts);
                events.push((n as u8, time, feeder, values));
                let values: Vec<Arc<str>> = texts.iter().map(|t| Arc::from(*t)).collect();
                group.insert(&c, Entry::new(&c, &fact, feeder, values), &judging)
            };
            for ((time, id), change) in changes {
                let member = (time.0, id.parse::<u8>().unwrap());
                match change {
                    Change::Became => prop_assert!(told.insert(member)),
                    Change::Ceased => prop_assert!(told.remove(&member)),
                    Change::Touched => prop_assert!(told.contains(&member)),
                    Change::Shifted => {}
                }
            }
            prop_assert_eq!(&told, &plain(&c, &events));
        }
    }
}
