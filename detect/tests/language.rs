//! What the `docket:` key can say, from the text of a policy to its findings.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::collections::BTreeMap;

use model::{Finding, FindingStatus};
use proptest::prelude::*;
use serde_json::{Value, json};

use self::harness::*;

mod harness;

/// Minutes of a day.
const DAY: f64 = 1440.0;

/// Records of these moments (in days), received two seconds later.
fn days(events: &[(f64, Value)]) -> Vec<Rec> {
    recs(&events.iter().map(|(day, e)| (day * DAY, e.clone())).collect::<Vec<_>>())
}

/// What stands of the findings in the end, a line each, in order of time.
fn lines(site: &Site, records: &[Rec]) -> Vec<String> {
    told(site, records)
        .into_iter()
        .map(|l| l.split_once(' ').unwrap().1.to_owned())
        .collect()
}

const NEW: &str = r#"
title: A place that is new to somebody
name: new_place
logsource: {product: ocsf, category: authentication}
detection: {s: {activity_id: 1, status_id: 1}, condition: s}
level: medium
docket:
  clauses: [AU-21]
  lookup:
    - {table: network_zones, as: zone, where: {cidr|covers: $event.src_endpoint.ip}}
  first_seen: {key: [$event.user.name], value: [$zone.country], within: 90d}
  message: "{event.user.name} in {zone.country}, known for {seen.days} days"
---
title: An account that slept
name: dormant
logsource: {product: ocsf, category: authentication}
detection: {s: {activity_id: 1, status_id: 1}, condition: s}
level: low
docket:
  clauses: [AU-19]
  first_seen: {key: [$event.user.name], within: 60d}
  message: "{event.user.name} is back, seen last at {seen.last}"
---
title: A country that few days knew
name: rare_place
logsource: {product: ocsf, category: authentication}
detection: {s: {activity_id: 1, status_id: 1}, condition: s}
level: informational
docket:
  clauses: [AU-17]
  lookup:
    - {table: network_zones, as: zone, where: {cidr|covers: $event.src_endpoint.ip}}
  rare: {key: [$event.user.name], value: [$zone.country], within: 30d, warm_up: 0s, days: 2}
  dedup: {by: [$event.user.name], window: 1d}
  message: "rare"
---
title: Two new places in a day
name: travels
correlation: {type: event_count, rules: [new_place], group-by: [user.name], timespan: 1d, condition: {gte: 2}}
level: high
docket: {clauses: [AU-01], message: "{event.user.name} travels"}
"#;

fn zones() -> Value {
    json!({"network_zones": [{"cidr": "10.1.0.0/16", "country": "CN"}, {"cidr": "10.2.0.0/16", "country": "DE"},
                             {"cidr": "10.3.0.0/16", "country": "FR"}]})
}

fn from(country: u8) -> Value {
    logon("li", true, &format!("10.{country}.0.1"))
}

fn of(site: &Site, records: &[Rec], clause: &str) -> Vec<String> {
    let told: Vec<Finding> = standing_with_labels(run(site, records, &[], false).0)
        .into_values()
        .collect();
    let mut told: Vec<&Finding> = told.iter().filter(|f| f.clauses == [clause]).collect();
    told.sort_by_key(|f| f.time);
    told.iter()
        .map(|f| format!("{} {}", f.evidence[0].offset, f.message))
        .collect()
}

#[test]
fn a_new_place_is_told_once_its_person_is_known() {
    let site = site(NEW, zones());
    // On day 10 nobody knows yet where the person is at home; on day 20 that is known.
    let at = days(&[
        (0.0, from(1)),
        (10.0, from(2)),
        (20.0, from(3)),
        (20.5, from(3)),
        (30.0, from(2)),
        (121.0, from(3)),
    ]);
    assert_eq!(
        of(&site, &at, "AU-21"),
        ["2 li in FR, known for 0 days", "5 li in FR, known for 0 days"]
    );
    // A place that no zone knows is no place.
    let nowhere = days(&[(0.0, from(1)), (20.0, from(9))]);
    assert_eq!(of(&site, &nowhere, "AU-21"), [""; 0]);
}

#[test]
fn a_late_record_takes_back_what_was_new_and_makes_new_what_was_not() {
    let site = site(NEW, zones());
    let mut at = days(&[(0.0, from(1)), (20.0, from(3))]);
    // The evening before, received after: it was the first.
    at.push(rec(2, 19.9 * DAY, 20.2 * DAY, from(3)));
    assert_eq!(of(&site, &at, "AU-21"), ["2 li in FR, known for 0 days"]);
    // The person is known for 14 days only by a record that comes late.
    let mut at = days(&[(13.9, from(1)), (14.0, from(2))]);
    assert_eq!(of(&site, &at, "AU-21"), [""; 0]);
    at.push(rec(2, 0.0, 14.1 * DAY, from(1)));
    assert_eq!(of(&site, &at, "AU-21"), ["1 li in DE, known for 0 days"]);
}

#[test]
fn an_account_that_slept_is_told_when_it_wakes() {
    let site = site(NEW, zones());
    let at = days(&[
        (0.0, from(1)),
        (59.0, from(1)),
        (118.9, from(1)),
        (180.0, from(1)),
        (180.1, from(1)),
    ]);
    assert_eq!(
        of(&site, &at, "AU-19"),
        ["3 li is back, seen last at 2026-08-30T23:36:00+00:00"]
    );
    // Long after nobody asks for it any more it is still remembered, and once it is forgotten it is a stranger.
    assert_eq!(of(&site, &days(&[(0.0, from(1)), (390.0, from(1))]), "AU-19").len(), 1);
    assert_eq!(of(&site, &days(&[(0.0, from(1)), (410.0, from(1))]), "AU-19").len(), 0);
}

#[test]
fn what_few_days_knew_is_rare() {
    let site = site(NEW, zones());
    let at = days(&[
        (0.0, from(1)),
        (1.0, from(1)),
        (2.0, from(1)),
        (2.5, from(2)),
        (20.0, from(1)),
        (31.5, from(1)),
    ]);
    // Days 0 and 1 are the first two; day 20 looks back on three, day 31.5 on two (2 and 20).
    assert_eq!(of(&site, &at, "AU-17"), ["0 rare", "1 rare", "3 rare"]);
}

#[test]
fn correlations_take_what_is_new() {
    let site = site(NEW, zones());
    let at = days(&[(0.0, from(1)), (20.0, from(2)), (20.4, from(3))]);
    assert_eq!(of(&site, &at, "AU-01"), ["1 li travels"]);
}

#[test]
fn what_was_seen_survives_another_version_of_the_rule() {
    let old = site(NEW, zones());
    let new = site(
        &NEW.replace("{event.user.name} in", "{event.user.name} came to"),
        zones(),
    );
    let (_, state) = run(&old, &days(&[(0.0, from(1)), (19.0, from(2))]), &[], false);
    let state = state.into_iter().collect();
    let mut detector = detect::engine::Detector::new(
        new.policies.clone(),
        new.rules.clone(),
        new.tables.clone(),
        state,
        model::LedgerIndex(2),
    )
    .unwrap();
    let later = [
        rec(2, 19.5 * DAY, 19.5 * DAY, from(2)),
        rec(3, 20.0 * DAY, 20.0 * DAY, from(3)),
    ];
    let span: Vec<_> = later
        .iter()
        .enumerate()
        .map(|(n, r)| (model::LedgerIndex(n as u64 + 2), r.received_at))
        .collect();
    let out = detector.process(&span, &batches(&detector, 2, &later));
    let told: Vec<&str> = out.findings.iter().map(|f| f.message.as_str()).collect();
    assert!(told.contains(&"li came to FR, known for 0 days"), "{told:?}");
    assert!(!told.contains(&"li came to DE, known for 0 days"), "{told:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn habits_do_not_depend_on_order_cuts_or_restarts(
        steps in prop::collection::vec((0u16..2_400, 1u8..4, 0u16..23, 0u16..23, any::<bool>()), 1..40),
        cuts in prop::collection::vec(0usize..40, 0..6),
    ) {
        let site = site(NEW, zones());
        let make = |delay: &dyn Fn(&(u16, u8, u16, u16, bool)) -> u16| {
            let mut records: Vec<Rec> = vec![tick(0.0)];
            records.extend(steps.iter().enumerate().map(|(n, step)| {
                let minute = f64::from(step.0) * 60.0;
                let user = if step.4 { "li" } else { "wu" };
                let ip = format!("10.{}.0.1", step.1);
                rec(n, minute, minute + f64::from(delay(step)) * 60.0, logon(user, true, &ip))
            }));
            records.sort_by_key(|r| r.received_at);
            records
        };
        let standing = |findings: Vec<Finding>| -> BTreeMap<String, Finding> {
            let mut all = last(findings);
            all.retain(|_, f| f.status != FindingStatus::Resolved);
            all.values_mut().for_each(|f| f.labels.clear());
            all
        };
        let (one, other) = (make(&|s| s.2), make(&|s| s.3));
        let (whole, state) = run(&site, &one, &[], false);
        prop_assert_eq!(standing(whole.clone()), standing(run(&site, &other, &[], false).0));
        let (restarted, restarted_state) = run(&site, &one, &cuts, true);
        prop_assert_eq!(last(whole), last(restarted));
        prop_assert_eq!(state.keys().collect::<Vec<_>>(), restarted_state.keys().collect::<Vec<_>>());
    }
}

const CHANGES: &str = r#"
title: A change whose steps are not in order
name: change
logsource: {product: ocsf, category: authentication}
detection: {s: {status_id: 1}, condition: s}
level: high
docket:
  clauses: [DS-07]
  lookup:
    - table: change_calendar
      where:
        steps|has:
          - {step: request, as: request, at|lt: $event.time}
          - {step: assess, as: assess, at|gte: $request.at, at|lt: $event.time}
          - {step: approve, at|gte: $assess.at, at|lt: $event.time, none: {by: $request.by}}
      expect: none
  message: "no change in order"
---
title: Approved by fewer than three
name: approvals
logsource: {product: ocsf, category: authentication}
detection: {s: {status_id: 1}, condition: s}
level: medium
docket:
  clauses: [AU-11]
  lookup:
    - table: approvals
      where:
        approvals|has|distinct:
          approver:
            - {capacity: supervisor, decision: approved}
            - {capacity: [system_owner, data_owner], decision: approved}
            - {capacity: security_admin, decision: approved}
      expect: none
  message: "not three"
---
title: Two steps of the change
name: two
logsource: {product: ocsf, category: authentication}
detection: {s: {status_id: 1}, condition: s}
level: low
docket:
  clauses: [DS-09]
  lookup: [{table: change_calendar, where: {steps|has|distinct: [{by: [E1, E2]}, {by: [E1, E2]}]}}]
  message: "two"
"#;

#[test]
fn elements_are_compared_with_each_other() {
    let step = |step: &str, by: &str, day: u8| json!({"step": step, "by": by, "at": format!("2026-05-0{day}")});
    let one =
        |approver: &str, capacity: &str| json!({"approver": approver, "capacity": capacity, "decision": "approved"});
    let event = recs(&[(2.0 * DAY, logon("li", true, "10.1.0.1"))]);
    let check = |steps: Value, approvals: Value| {
        let tables = json!({"change_calendar": [{"steps": steps}], "approvals": [{"approvals": approvals}]});
        let mut told = lines(&site(CHANGES, tables), &event);
        told.iter_mut()
            .for_each(|l| *l = l.rsplit("] ").next().unwrap().to_owned());
        told.sort();
        told.join(", ")
    };
    let good = json!([
        step("request", "E1", 1),
        step("assess", "E2", 2),
        step("approve", "E3", 3)
    ]);
    let three = json!([
        one("A", "supervisor"),
        one("B", "data_owner"),
        one("C", "security_admin")
    ]);
    assert_eq!(check(good.clone(), three.clone()), "two");
    // Assessed before it was requested; a second assessment mends it.
    let wrong = json!([
        step("request", "E1", 2),
        step("assess", "E1", 1),
        step("approve", "E3", 3)
    ]);
    assert_eq!(check(wrong, three.clone()), "no change in order, two");
    let alone = json!([step("assess", "E1", 1)]);
    assert_eq!(check(alone, three.clone()), "no change in order");
    let again = json!([
        step("assess", "E2", 1),
        step("request", "E1", 2),
        step("assess", "E9", 2),
        step("approve", "E3", 3)
    ]);
    assert_eq!(check(again, three.clone()), "two");
    // Approved by who asked for it.
    let own = json!([
        step("request", "E1", 1),
        step("assess", "E2", 2),
        step("approve", "E1", 3)
    ]);
    assert_eq!(check(own, three), "no change in order, two");
    // One person in two capacities; a fourth approval frees one.
    let twice = json!([
        one("A", "supervisor"),
        one("a", "data_owner"),
        one("C", "security_admin")
    ]);
    assert_eq!(check(good.clone(), twice), "not three, two");
    let freed = json!([
        one("A", "supervisor"),
        one("A", "data_owner"),
        one("A", "security_admin"),
        one("B", "data_owner"),
        one("C", "supervisor")
    ]);
    assert_eq!(check(good, freed), "two");
}

#[test]
fn a_hostile_list_is_not_searched_for_ever() {
    let many: Vec<Value> = (0..200)
        .map(|i| json!({"approver": format!("A{i}"), "capacity": "supervisor", "decision": "approved"}))
        .collect();
    let tables = json!({"change_calendar": [], "approvals": [{"approvals": many}]});
    let policy = CHANGES.replace("capacity: security_admin,", "capacity: nobody,");
    let policy = policy.replace(
        "            - {capacity: [system_owner, data_owner], decision: approved}",
        &vec!["            - {capacity: supervisor}"; 13].join("\n"),
    );
    let event = recs(&[(2.0 * DAY, logon("li", true, "10.1.0.1"))]);
    let told = lines(&site(&policy, tables), &event);
    assert!(told.iter().any(|l| l.contains("not three")), "{told:?}");
}

const SESSIONS: &str = r#"
title: Sessions
name: sessions
logsource: {product: ocsf, category: ssh_activity}
detection: {s: {metadata.product.name: JumpServer}, condition: s}
docket:
  table:
    key: [uid]
    columns:
      uid: $event.metadata.correlation_uid
      host: $event.dst_endpoint.hostname
      account: $event.user.name
      person: $event.actor.user.name
      ended: {value: $event.time, when: {"$event.activity_id": 2}, take: last}
      states: {value: $event.activity_id, take: all}
    keep: 24h
---
title: A shared account is used
name: sudo
logsource: {product: ocsf, category: process_activity}
detection: {s: {process.cmd_line|startswith: sudo}, condition: s}
level: high
docket:
  clauses: [AU-18]
  lookup:
    - {table: asset_register, as: asset, key: {names: $event.device.hostname}}
    - {table: account_registry, as: shared, key: {system: $event.system, account: $event.user.name}, where: {kind: shared_approved}}
    - table: sessions
      as: session
      key: {host: $asset.names, account: $event.user.name}
      where:
        time|lte: $event.time + 5s
        any: [{ended|exists: false}, {ended|gte: $event.time - 60s}]
      pick: last
      expect: any
  person: [$session.person]
  dedup: {by: [$event.device.hostname, $session.person], window: 1h}
  message: "{session.person|nobody} as {event.user.name} on {asset.asset_id}, session {session.uid|none} {session.states|-}"
"#;

#[test]
fn a_shared_accounts_sudo_leads_back_to_the_person_of_the_session() {
    let tables = json!({
        "asset_register": [{"asset_id": "A1", "names": ["web-1"], "addresses": ["10.20.0.1"]}],
        "account_registry": [{"system": "host:web-1", "account": "deploy", "kind": "shared_approved"}],
    });
    let site = site(SESSIONS, tables);
    let open = |uid: &str, person: &str, activity: u8| {
        json!({"class_uid": 4007, "activity_id": activity, "actor": {"user": {"name": person}}, "user": {"name": "deploy"},
               "metadata": {"correlation_uid": uid, "product": {"name": "JumpServer"}},
               "dst_endpoint": {"hostname": "web-1"}})
    };
    // The host calls itself by its full name, or by its address.
    let sudo = |host: &str| {
        json!({"class_uid": 1007, "activity_id": 1, "user": {"name": "deploy"}, "device": {"hostname": host},
               "system": format!("host:{host}"), "process": {"cmd_line": "sudo -i"}})
    };
    let records = recs(&[
        (0.0, open("s1", "li", 1)),
        (5.0, sudo("web-1.shop.example")),
        (10.0, open("s2", "wu", 1)),
        (11.0, sudo("web-1")),
        (12.0, open("s2", "wu", 2)),
        (20.0, sudo("10.20.0.1")),
        (30.0, open("s1", "li", 2)),
        (40.0, sudo("web-1")),
    ]);
    let mut told: Vec<Finding> = last(run(&site, &records, &[3, 5], true).0).into_values().collect();
    told.retain(|f| f.status != FindingStatus::Resolved);
    told.sort_by_key(|f| f.time);
    let told: Vec<String> = told
        .iter()
        .map(|f| {
            format!(
                "{} {} {}",
                f.person.as_deref().unwrap_or("-"),
                f.message,
                f.evidence.len()
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            // Of one host, whatever it is called: told once.
            "li li as deploy on A1, session s1 1, 2 3",
            "wu wu as deploy on A1, session s2 1, 2 2",
            "- nobody as deploy on A1, session none - 1",
        ]
    );
}

const WORK: &str = r#"
title: Changed
name: changed
logsource: {product: ocsf, category: authentication}
detection: {s: {status_id: 1}, condition: s}
---
title: Reviewed
name: reviewed
logsource: {product: ocsf, category: account_change}
detection: {s: {activity_id: 5}, condition: s}
---
title: No review within two working days
name: review
docket:
  absence: {after: changed, from: $event.time, by: $event.time + 2wd, expect: reviewed, match: {user.name: $event.user.name}}
  clauses: [DS-07]
  message: "{event.user.name} was not reviewed"
level: low
---
title: Outside the hours of the person's site
name: hours
logsource: {product: ocsf, category: authentication}
detection: {s: {status_id: 1}, condition: s}
level: low
docket:
  clauses: [AU-21]
  calendar: {side: outside, site: $person.site}
  lookup: [{table: hr_roster, as: person, key: {logins: $event.user.name}}]
  message: "{event.user.name} works late"
"#;

#[test]
fn working_days_and_hours_are_the_calendars() {
    let tables = json!({
        "work_calendar": [
            {"tz": "Asia/Shanghai", "hours": ["09:00", "18:00"]},
            {"date": "2026-05-05", "working_day": false},
            {"site": "Berlin", "tz": "Europe/Berlin", "hours": ["08:00", "17:00"]},
        ],
        "hr_roster": [{"logins": ["li"], "site": "Shanghai"}, {"logins": ["wu"], "site": "Berlin"}],
    });
    let site = site(WORK, tables);
    // Monday, 10:00 in Shanghai, 04:00 in Berlin. Tuesday is free, so that Thursday at 10:00 is the deadline.
    let done = json!({"class_uid": 3001, "activity_id": 5, "user": {"name": "li"}});
    let event = |user: &str| logon(user, true, "10.1.0.1");
    let mut records = recs(&[(1.0, event("li")), (2.0, event("wu"))]);
    let until = |day: f64| tick(day * DAY + 10.0);
    records.push(until(2.9));
    let told = |records: &[Rec]| lines(&site, records);
    assert_eq!(told(&records), ["Low wu [1] wu works late"]);
    records.push(until(3.0));
    assert_eq!(
        told(&records),
        [
            "Low wu [1] wu works late",
            "Low li [0] li was not reviewed",
            "Low wu [1] wu was not reviewed"
        ]
    );
    records.push(rec(9, 3.0 * DAY - 5.0, 3.1 * DAY, done));
    assert_eq!(
        told(&records),
        ["Low wu [1] wu works late", "Low wu [1] wu was not reviewed"]
    );
}

#[test]
fn slips_are_refused_with_the_nearest_right_word() {
    let head = "title: t\nname: n\nlogsource: {product: ocsf, category: authentication}\ndetection: {s: {a: 1}, condition: s}\nlevel: low\ndocket: ";
    for (docket, want) in [
        (
            "{fist_seen: {}}",
            "unknown key of docket `fist_seen`; did you mean `first_seen`?",
        ),
        (
            "{first_seen: {keys: [$event.a], within: 1d}}",
            "unknown key of first_seen `keys`; did you mean `key`?",
        ),
        (
            "{first_seen: {key: [$event.a], within: 1h}}",
            "`within` is `1h`; it has to be from 1d to 400d",
        ),
        (
            "{rare: {key: [$event.a], vale: [$event.b], within: 1d}}",
            "unknown key of rare `vale`; did you mean `value`?",
        ),
        (
            "{lookup: [{table: t, pick: lst}]}",
            "unknown choice of a row `lst`; did you mean `last`?",
        ),
        (
            "{lookup: [{table: t, where: {a|has|distinkt: [{b: 1}]}}]}",
            "unknown modifier behind `has` `distinkt`; did you mean `distinct`?",
        ),
        (
            "{lookup: [{table: t, where: {a|has: [{b: 1, as: x}, {c: $y.b}]}}]}",
            "there is no alias of an earlier lookup `y`",
        ),
        (
            "{calendar: {sid: outside}}",
            "unknown key of calendar `sid`; did you mean `side`?",
        ),
        (
            "{table: {columns: {a: {value: $event.a, tak: last}}}}",
            "unknown key of a column `tak`; did you mean `take`?",
        ),
        (
            "{message: \"{seen.last}\"}",
            "there is no alias of an earlier lookup `seen`",
        ),
    ] {
        let loaded = detect::policy::load_text(&format!("{head}{docket}\n"));
        let errors: Vec<String> = loaded.errors.iter().map(ToString::to_string).collect();
        assert!(errors.iter().any(|e| e.contains(want)), "{docket}: {errors:?}");
    }
}
