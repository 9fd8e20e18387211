//! Findings as events, exceptions and delays.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use model::FindingStatus;
use serde_json::json;

use self::harness::*;

mod harness;

const RULES: &str = r#"
title: Unregistered
name: unregistered
logsource: {product: ocsf, category: authentication}
detection: {s: {status_id: 1}, condition: s}
level: high
docket:
  clauses: [AU-02]
  lookup:
    - {table: account_registry, key: {account: $event.user.name}, expect: none}
  message: "{event.user.name} is unknown"
---
title: Failed
name: failed
logsource: {product: ocsf, category: authentication}
detection: {s: {status_id: 2}, condition: s}
level: medium
docket: {clauses: [AU-09], message: "{event.user.name} failed"}
---
title: Failed, then unknown
name: chain
correlation: {type: temporal_ordered, rules: [found_failed, found_unregistered], group-by: [account], timespan: 30m}
level: critical
docket: {clauses: [DS-26], actor: [$event.account], message: "{event.account}: {event.title}"}
---
title: Any finding
name: any
logsource: {product: docket, category: finding}
detection: {s: {score|gte: 1}, condition: s}
docket: {silent: true}
---
title: A failure was found
name: found_failed
logsource: {product: docket, category: finding}
detection: {s: {clauses: AU-09, policy: failed, kind: detection}, condition: s}
docket: {silent: true}
---
title: An unknown account was found
name: found_unregistered
logsource: {product: docket, category: finding}
detection: {s: {clauses: AU-02, severity: high, severity_id: 4}, condition: s}
docket: {silent: true}
---
title: Nobody looked
name: nobody_looked
docket:
  clauses: [LA-11]
  absence: {after: found_unregistered, by: $event.received_at + 10m, expect: looked, match: {unmapped.alert: $event.uid}}
  message: "{event.uid}"
---
title: Somebody looked
name: looked
logsource: {product: ocsf, category: api_activity}
detection: {s: {api.operation: view}, condition: s}
docket: {silent: true}
---
title: A rule that reads everything reads no findings
name: everything
logsource: {product: ocsf}
detection: {s: {class_uid: [2003, 2004]}, condition: s}
level: low
docket: {clauses: [AU-99]}
"#;

fn of(site: &Site, records: &[Rec], clause: &str) -> Vec<String> {
    told_of(site, records, clause)
}

fn day() -> Vec<Rec> {
    let mut day = recs(&[
        (0.0, logon("eve", false, "10.9.0.1")),
        (5.0, logon("eve", true, "10.9.0.1")),
        (6.0, logon("li", true, "10.9.0.1")),
    ]);
    day.push(tick(60.0));
    day
}

#[test]
fn findings_join_as_events_do() {
    let site = site(RULES, json!({"account_registry": [{"account": "li"}]}));
    assert_eq!(of(&site, &day(), "DS-26"), ["5 Critical eve [0 1] eve: Unregistered"]);
    assert!(of(&site, &day(), "AU-99").is_empty());
    // In the other order they are no chain.
    let mut other = recs(&[
        (0.0, logon("eve", true, "10.9.0.1")),
        (5.0, logon("eve", false, "10.9.0.1")),
    ]);
    other.push(tick(60.0));
    assert!(of(&site, &other, "DS-26").is_empty());
    // Neither are those of different accounts, or too far apart.
    let mut apart = recs(&[
        (0.0, logon("wu", false, "10.9.0.1")),
        (5.0, logon("eve", true, "10.9.0.1")),
        (35.0, logon("wu", true, "10.9.0.1")),
    ]);
    apart.push(tick(60.0));
    assert!(of(&site, &apart, "DS-26").is_empty());
}

#[test]
fn what_is_found_late_is_joined_at_its_own_time() {
    let site = site(RULES, json!({"account_registry": []}));
    let mut late = day();
    // The failure is heard of an hour later.
    late[0].received_at = late[0].time.plus_ms(HOUR);
    late.sort_by_key(|r| r.received_at);
    late.push(tick(120.0));
    let found = of(&site, &late, "DS-26");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("5 Critical eve [0 1]"), "{found:?}");
}

#[test]
fn cuts_and_restarts_change_nothing() {
    let site = site(RULES, json!({"account_registry": [{"account": "li"}]}));
    let whole = last(run(&site, &day(), &[], false).0);
    assert!(whole.len() >= 4, "{whole:?}");
    for cuts in [vec![1], vec![2], vec![1, 2, 3]] {
        assert_eq!(last(run(&site, &day(), &cuts, false).0), whole, "{cuts:?}");
        assert_eq!(
            last(run(&site, &day(), &cuts, true).0),
            whole,
            "restarted after {cuts:?}"
        );
    }
}

#[test]
fn somebody_has_to_look() {
    let site = site(RULES, json!({"account_registry": [{"account": "li"}]}));
    let found = last(run(&site, &day(), &[], false).0);
    let unknown = found.values().find(|f| f.clauses == ["AU-02"]).unwrap().uid.clone();
    assert_eq!(of(&site, &day(), "LA-11").len(), 1);
    let view =
        json!({"class_uid": 6003, "activity_id": 2, "api": {"operation": "view"}, "unmapped": {"alert": unknown}});
    let mut seen = day();
    seen.insert(3, rec(7, 14.0, 14.0, view.clone()));
    assert!(of(&site, &seen, "LA-11").is_empty());
    let mut too_late = day();
    too_late.insert(3, rec(7, 16.0, 16.0, view));
    assert_eq!(of(&site, &too_late, "LA-11").len(), 1);
}

#[test]
fn an_exception_suppresses_while_it_lasts() {
    let row = |extra: &str, value: serde_json::Value| {
        let mut row = json!({"policy": "AU-02", "account": "eve", "owner": "E1", "reason": "migration", "valid_to": "2026-05-05"});
        row[extra] = value;
        json!({"account_registry": [{"account": "li"}], "exceptions": [row]})
    };
    let status = |tables: serde_json::Value| {
        let found = last(run(&site(RULES, tables), &day(), &[], false).0);
        let of = |clause: &str| found.values().find(|f| f.clauses == [clause]).map(|f| f.status);
        (of("AU-02"), of("DS-26"), of("LA-11"))
    };
    let (new, suppressed) = (Some(FindingStatus::New), Some(FindingStatus::Suppressed));
    // What is suppressed is no event either.
    assert_eq!(status(row("owner", json!("E1"))), (suppressed, None, None));
    assert_eq!(status(row("policy", json!(["unregistered"]))), (suppressed, None, None));
    for (column, value) in [
        ("owner", json!("")),
        ("reason", json!(null)),
        ("valid_to", json!(null)),
        ("valid_to", json!("2026-05-04T02:04:00Z")),
        ("account", json!("li")),
        ("person", json!("E9")),
        ("asset", json!("web-1")),
        ("policy", json!("AU-03")),
    ] {
        let given = format!("{column}: {value}");
        assert_eq!(status(row(column, value)), (new, new, new), "{given}");
    }
}

const DELAYS: &str = r#"
title: A clock is off
name: clock
docket:
  clauses: [LA-06]
  delay:
    each: [{table: source_register, as: register}]
    source: $register.source
    usual: 24h
    more_than: $register.clock_tolerance_s
  dedup: {by: [$delay.source, $delay.sender], window: 24h}
  message: "{delay.sender} {delay.direction} {delay.off_s} of {delay.records}"
"#;

fn heard(minutes: std::ops::Range<u32>, host: &str, delay_s: f64, n: usize) -> Vec<Rec> {
    let each = minutes.enumerate();
    each.map(|(i, m)| {
        let mut event = logon("li", true, "10.9.0.1");
        event["system"] = json!(host);
        rec(n + i, f64::from(m) - delay_s / 60.0, f64::from(m), event)
    })
    .collect()
}

#[test]
fn a_clock_that_is_off_is_told_once() {
    let tables = json!({"source_register": [{"source": "linux", "clock_tolerance_s": 5}]});
    let site = site(DELAYS, tables);
    let told = |host: f64, minutes: std::ops::Range<u32>| {
        let mut all = heard(0..40, "good", 1.0, 0);
        all.extend(heard(minutes, "bad", host, 100));
        all.sort_by_key(|r| r.received_at);
        all.push(tick(60.0));
        let whole = last(run(&site, &all, &[], false).0);
        for cuts in [vec![10, 30], vec![35, 36, 37, 38]] {
            assert_eq!(last(run(&site, &all, &cuts, true).0), whole);
        }
        let line = |f: &model::Finding| format!("{} {} {}", f.message, f.evidence.len(), f.evidence[0].offset);
        whole.values().map(line).collect::<Vec<_>>()
    };
    assert_eq!(told(-60.0, 30..36), ["bad ahead 60.9 of 3 6 100"]);
    assert_eq!(told(600.0, 30..33).len(), 1);
    assert!(
        told(6.0, 30..36).is_empty(),
        "five seconds over what is usual are allowed"
    );
    assert!(told(-60.0, 30..32).is_empty(), "two records prove nothing");
    assert!(told(-60.0, 3..6).is_empty(), "nothing is usual yet");
    assert!(told(86_401.0, 30..36).is_empty(), "what is a day old was brought in");
    assert_eq!(told(86_000.0, 30..36).len(), 1);
}

#[test]
fn what_is_written_later_says_nothing_of_a_clock() {
    let tables = json!({"source_register": [{"source": "linux", "clock_tolerance_s": 5}]});
    let site = site(DELAYS, tables);
    let told = |labels: &[&str]| {
        let mut all = heard(0..40, "good", 1.0, 0);
        for (i, minute) in (30..36).enumerate() {
            let mut event = logon("li", true, "10.9.0.1");
            event["system"] = json!("bastion");
            event["metadata"]["labels"] = json!(labels);
            all.push(rec(100 + i, f64::from(minute) - 20.0, f64::from(minute), event));
        }
        all.sort_by_key(|r| r.received_at);
        all.push(tick(60.0));
        last(run(&site, &all, &[], false).0).len()
    };
    assert_eq!(told(&["clock_skew"]), 1);
    assert_eq!(told(&["time.written_later"]), 0);
}

const WHO: &str = r#"
title: Somebody logged on
name: who
logsource: {product: ocsf, category: authentication}
detection: {logon: {activity_id: 1}, condition: logon}
docket:
  clauses: [AU-02]
  lookup:
    - {table: lent, as: session, key: {account: $event.user.name}, expect: any}
    - {table: account_registry, as: account, key: {account: [$session.person, $event.user.name]}, expect: any}
  message: "{session.person|$event.user.name|nobody} is {account.owner|$session.badge|unknown}"
"#;

#[test]
fn a_key_and_a_message_take_the_first_that_has_a_value() {
    let tables = json!({
        "lent": [{"account": "root", "person": "li"}, {"account": "dba", "person": "bo", "badge": "B7"}, {"account": "oracle", "person": ""}],
        "account_registry": [{"account": "li", "owner": "E1"}, {"account": "root", "owner": "E9"}, {"account": "oracle", "owner": "E3"}],
    });
    let told = |account: &str| {
        let found = last(
            run(
                &site(WHO, tables.clone()),
                &[rec(1, 1.0, 1.0, logon(account, true, "10.9.0.1")), tick(9.0)],
                &[],
                false,
            )
            .0,
        );
        found.values().map(|f| f.message.clone()).collect::<Vec<_>>()
    };
    assert_eq!(told("root"), ["li is E1"], "whose session it is");
    assert_eq!(told("oracle"), ["oracle is E3"], "an empty text is no value");
    assert_eq!(told("li"), ["li is E1"], "no row");
    assert_eq!(told("dba"), ["bo is B7"]);
    assert_eq!(told("eve"), ["eve is unknown"]);
}
