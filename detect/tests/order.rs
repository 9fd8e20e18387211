//! A day's events, shuffled a thousand times: whatever the order in which they arrive within the lateness, the same
//! findings stand in the end. Days are of 40 events; with `DOCKET_DAY_EVENTS=160` they are fuller, and take four times as long.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::cell::RefCell;
use std::collections::BTreeMap;

use model::{Finding, FindingStatus};
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

use self::harness::*;

mod harness;

/// Correlations of every kind, joins with tables and with events, absences, what is new and what is rare.
fn policies() -> String {
    let new = r#"
---
title: An address that is new to somebody
name: new_address
logsource: {product: ocsf, category: authentication}
detection: {s: {activity_id: 1}, condition: s}
level: low
docket:
  clauses: [AU-21]
  first_seen: {key: [$event.user.name], value: [$event.src_endpoint.ip], within: 1d, warm_up: 1h}
  message: "{event.src_endpoint.ip}, last {seen.last|never}"
---
title: A day on which somebody seldom came
name: seldom
logsource: {product: ocsf, category: authentication}
detection: {s: {activity_id: 1}, condition: s}
level: low
docket:
  clauses: [AU-19]
  rare: {key: [$event.user.name], value: [$event.src_endpoint.ip], within: 2d, warm_up: 0s, days: 2}
  message: "{seen.days}"
---
title: The mean of the statuses
name: mean
correlation: {type: value_avg, rules: [failed, ok], group-by: [user.name], timespan: 20m, condition: {field: status_id, gte: 1.5}}
level: low
docket: {clauses: [AU-89], message: "{count}"}
---
title: The upper statuses
name: upper
correlation: {type: value_percentile, rules: [failed, ok], group-by: [user.name], timespan: 20m, condition: {field: status_id, gte: 2, percentile: 75}}
level: low
docket: {clauses: [AU-88], message: "{count}"}
---
title: A failure without a success
name: not_ok
correlation: {type: temporal, rules: [failed, ok], group-by: [user.name], timespan: 20m, condition: failed and not ok}
level: low
docket: {clauses: [AU-87]}
---
title: Failures of one who gives several names
name: both_names
correlation:
  type: event_count
  rules: [failed, disabled]
  aliases: {who: {failed: user.name, disabled: user.name}}
  group-by: [who]
  timespan: 1h
  condition: {gte: 5, lte: 9}
level: low
docket: {clauses: [AU-86], message: "{count}"}
---
title: More logons than is usual
name: unusual
correlation: {type: value_count, rules: [ok], group-by: [user.name], timespan: 20m, condition: {field: src_endpoint.ip, gte: 1}}
level: low
docket: {clauses: [AU-83], usual: {over: 2h, percentile: 50, times: 1.5, at_least: 2}, message: "{count}"}
---
title: Mostly failures
name: mostly
correlation: {type: event_count, rules: [failed, ok], group-by: [user.name], timespan: 1h, condition: {gte: 2}}
level: low
docket: {clauses: [AU-82], share: {of: failed, more_than: 60}, message: "{count}"}
---
title: A logon with its place
name: placed
logsource: {product: ocsf, category: authentication}
detection: {s: {activity_id: 1}, condition: s}
docket:
  silent: true
  lookup:
    - {table: network_zones, as: zone, where: {cidr|covers: $event.src_endpoint.ip}, expect: any}
    - {table: sessions_seen, as: session, key: {account: $event.user.name}, where: {time|lte: $event.time + 10m}, pick: last, expect: any}
---
title: A session
name: sessions_seen
logsource: {product: ocsf, category: ssh_activity}
detection: {s: {activity_id: 1}, condition: s}
docket: {table: {columns: {account: $event.user.name, uid: $event.metadata.correlation_uid}, keep: 24h}}
---
title: Many addresses of a zone
name: zones
correlation: {type: value_count, rules: [placed], group-by: [$zone.zone], timespan: 1h, condition: {field: user.name, gte: 2}}
level: low
docket: {clauses: [AU-81], message: "{count} in {zone.zone}"}
---
title: Logons during one session
name: in_session
correlation: {type: event_count, rules: [placed], group-by: [$session.uid], timespan: 1h, condition: {gte: 2}}
level: low
docket: {clauses: [AU-80], dedup: {by: [$session.uid, $event.user.name], window: 1h}, message: "{count} in {session.uid}"}
"#;
    include_str!("harness/rules.yml").to_owned() + new
}

fn tables() -> Value {
    json!({
        "account_registry": [{"system": "host:web-1", "account": "li", "state": "active", "owner_employee_id": "E1"},
                             {"system": "host:web-1", "account": "wu", "state": "active", "owner_employee_id": "E2"}],
        "network_zones": [{"cidr": "10.9.0.0/16", "zone": "office"}],
        "hr_roster": [{"employee_id": "E1", "name": "Li", "end_at": "2026-05-04T09:05:00Z"}],
    })
}

/// Correlations over what those find.
const OF_FINDINGS: &str = r#"
---
title: Findings about one account add up
name: adds_up
correlation: {type: value_sum, rules: [found], group-by: [account], timespan: 3h, condition: {field: score, gte: 12}}
level: low
docket: {clauses: [AU-85], message: "{count}"}
---
title: A new address, then failures
name: new_then_many
correlation: {type: temporal_ordered, rules: [found_new, found_many], group-by: [account], timespan: 3h}
level: low
docket: {clauses: [AU-84], dedup: {by: [$event.account], window: 1h}}
---
title: A finding
name: found
logsource: {product: docket, category: finding}
detection: {f: {account|exists: true}, condition: f}
docket: {silent: true}
---
title: A finding of a new address
name: found_new
logsource: {product: docket, category: finding}
detection: {f: {clauses: AU-21, account|exists: true}, condition: f}
docket: {silent: true}
---
title: A finding of failures
name: found_many
logsource: {product: docket, category: finding}
detection: {f: {clauses: AU-09, account|exists: true}, condition: f}
docket: {silent: true}
"#;

/// A generator of numbers; the same seed, the same numbers.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

/// A day: bursts of logons and sessions with quiet between, to the millisecond and some of the same.
fn day(random: &mut Random, events: usize) -> Vec<Rec> {
    let mut minute = 0.0;
    let users = ["li", "wu", "root", "eve"];
    let mut records = Vec::new();
    for n in 0..events {
        minute += if random.below(12) == 0 {
            random.below(90) as f64
        } else {
            random.below(5) as f64 / 2.0
        };
        let user = users[random.below(4) as usize];
        let ip = ["10.9.9.9", "10.8.0.1", "10.9.1.1"][random.below(3) as usize];
        let uid = format!("s{}", n % 9);
        let session = |open: bool| {
            json!({"class_uid": 4007, "activity_id": if open { 1 } else { 2 }, "actor": {"user": {"name": user}},
                   "metadata": {"correlation_uid": uid, "product": {"name": "JumpServer"}},
                   "dst_endpoint": {"ip": "10.20.0.1"}, "user": {"name": "root"}})
        };
        let event = match random.below(8) {
            0..=2 => logon(user, false, ip),
            3 => logon(user, true, ip),
            4 => logon("root", true, ip),
            5 => session(true),
            6 => session(false),
            _ => json!({"class_uid": 3001, "activity_id": 5, "user": {"name": user}}),
        };
        records.push(rec(n, minute, minute, event));
    }
    records
}

/// The same events, each received at another time within the lateness of a day, and judged to the end; with `restart`
/// by a detector that is made anew from its state now and then.
fn standing(site: &Site, day: &[Rec], random: &mut Random, restart: bool) -> BTreeMap<String, Finding> {
    let mut records = day.to_vec();
    for r in &mut records {
        let most = [2_000, 10 * MINUTE, 3 * HOUR, 23 * HOUR][random.below(4) as usize];
        r.received_at = r.time.plus_ms(random.below(most as u64) as i64);
    }
    // Of one moment either may come first.
    records.sort_by_key(|r| (r.received_at, r.uid.len(), r.uid.clone()));
    records.insert(0, tick(0.0));
    records.push(tick(5.0 * 24.0 * 60.0));
    let mut all = last(
        run(
            site,
            &records,
            &[records.len() / 4, records.len() / 2, records.len() - 5],
            restart,
        )
        .0,
    );
    all.retain(|_, f| f.status != FindingStatus::Resolved);
    // Which of them came late is what the order decides.
    all.values_mut().for_each(|f| f.labels.clear());
    all
}

/// Days, and shuffles of each beside its first.
const DAYS: u32 = 126;
const SHUFFLES: usize = 8;
/// Events of a day, where nobody says otherwise.
const EVENTS: usize = 40;

/// Judges days of seeds that follow from `stream`, each in several orders; findings by policy, of the first orders.
fn shuffled(stream: u8, days: u32, events: usize, site: &Site) -> BTreeMap<String, usize> {
    let kinds = RefCell::new(BTreeMap::<String, usize>::new());
    let config = ProptestConfig {
        cases: days,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[stream; 32]);
    // A smaller seed is no smaller day.
    let run = TestRunner::new_with_rng(config, rng).run(&any::<u64>().no_shrink(), |seed| {
        let mut random = Random(seed);
        let day = day(&mut random, events);
        let first = standing(site, &day, &mut random, false);
        for f in first.values() {
            *kinds.borrow_mut().entry(f.policy.id.clone()).or_default() += 1;
        }
        for n in 0..SHUFFLES {
            let other = standing(site, &day, &mut random, n == 0);
            let differing = |a: &BTreeMap<String, Finding>, b: &BTreeMap<String, Finding>| -> Vec<String> {
                let differ = a.iter().filter(|(uid, f)| b.get(*uid) != Some(*f));
                differ.map(|(_, f)| format!("{} {}", f.policy.id, line(f))).collect()
            };
            let (only_first, only_other) = (differing(&first, &other), differing(&other, &first));
            prop_assert_eq!(only_first, only_other, "seed {}, shuffle {}", seed, n);
        }
        Ok(())
    });
    if let Err(error) = run {
        panic!("{error}");
    }
    kinds.into_inner()
}

/// Judges so many days, half of them on each of two threads; findings by policy, of the first order of each.
fn on_two_threads(site: &Site, streams: [u8; 2], days: u32) -> BTreeMap<String, usize> {
    let events = std::env::var("DOCKET_DAY_EVENTS").map_or(EVENTS, |n| n.parse().unwrap());
    let both = std::thread::scope(|scope| {
        let streams = streams.map(|stream| scope.spawn(move || shuffled(stream, days / 2, events, site)));
        streams.map(|stream| stream.join().unwrap())
    });
    let mut kinds = BTreeMap::<String, usize>::new();
    for (policy, findings) in both.into_iter().flatten() {
        *kinds.entry(policy).or_default() += findings;
    }
    println!(
        "{days} days of {events} events, {SHUFFLES} shuffles of each; findings of the first order of each: {kinds:?}"
    );
    // Every policy that speaks has spoken, or the shuffles have shown nothing of it.
    for (_, policy) in site.policies.iter().filter(|(_, p)| p.reports) {
        let said = kinds.contains_key(&policy.reference.id);
        assert!(said, "{} never fired: {kinds:?}", policy.reference.id);
    }
    kinds
}

#[test]
fn a_shuffled_day_has_the_same_findings() {
    on_two_threads(&site(&policies(), tables()), [1, 2], DAYS);
}

#[test]
fn what_is_found_of_findings_is_the_same_in_any_order() {
    on_two_threads(&site(&(policies() + OF_FINDINGS), tables()), [3, 4], DAYS / 9);
}
