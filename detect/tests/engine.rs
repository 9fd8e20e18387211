//! The detector from policies as written to findings.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::collections::BTreeMap;

use detect::engine::Detector;
use model::{Finding, FindingStatus, LedgerIndex, Millis};
use proptest::prelude::*;
use serde_json::{Value, json};

use self::harness::*;

mod harness;

fn session(uid: &str, minute_open: bool, person: &str) -> Value {
    json!({"class_uid": 4007, "activity_id": if minute_open { 1 } else { 2 }, "actor": {"user": {"name": person}},
           "metadata": {"correlation_uid": uid, "product": {"name": "JumpServer"}},
           "dst_endpoint": {"ip": "10.20.0.1"}, "user": {"name": "root"}})
}

const RULES: &str = include_str!("harness/rules.yml");

fn tables() -> Value {
    tables_with("2026-05-04T03:00:00Z")
}

/// The reference tables, with a leaver who left at `end_at`.
fn tables_with(end_at: &str) -> Value {
    json!({
        "account_registry": [
            {"system": "host:*", "account": "li", "owner_employee_id": "E1", "state": "active"},
            {"system": "host:*", "account": "root", "owner_employee_id": "E1", "state": "active"},
            {"system": "crm", "account": "wu", "owner_employee_id": "E2", "state": "active"},
        ],
        "hr_roster": [
            {"employee_id": "E1", "name": "Li", "end_at": null},
            {"employee_id": "E2", "name": "Wu", "end_at": end_at},
        ],
        "network_zones": [{"cidr": "10.8.0.0/16", "zone": "office"}],
    })
}

/// The policies of RULES whose clauses are among `clauses`, the others' findings left out.
fn only(site: &Site, records: &[Rec], clause: &str) -> Vec<String> {
    let mut standing: Vec<Finding> = last(run(site, records, &[], false).0).into_values().collect();
    standing.retain(|f| f.status != FindingStatus::Resolved && f.clauses.iter().any(|c| c == clause));
    standing.sort_by(|a, b| (a.time, &a.message).cmp(&(b.time, &b.message)));
    standing.iter().map(line).collect()
}

#[test]
fn a_lookup_decides_and_tells() {
    let site = site(RULES, tables());
    let records = recs(&[
        (0.0, logon("eve", true, "10.8.0.9")),
        (1.0, logon("li", true, "10.8.0.9")),
        (2.0, logon("Eve2", true, "192.168.0.1")),
    ]);
    assert_eq!(
        only(&site, &records, "AU-02"),
        [
            "0 Medium eve [0] eve from office",
            "2 Medium Eve2 [2] Eve2 from nowhere"
        ]
    );
    let all = last(run(&site, &records, &[], false).0);
    let eve = all.values().find(|f| f.message.starts_with("eve")).unwrap();
    assert_eq!(eve.rows.len(), 1, "the zone is cited");
    assert_eq!(eve.person, None);
}

#[test]
fn failures_are_counted_in_event_time() {
    let site = site(RULES, tables());
    let fail = |user| logon(user, false, "10.9.9.9");
    let in_order = recs(&[
        (0.0, fail("li")),
        (5.0, fail("li")),
        (14.0, fail("li")),
        (40.0, fail("li")),
    ]);
    assert_eq!(
        only(&site, &in_order, "AU-09"),
        ["14 Medium li [0 1 2] 3 failures of li"]
    );
    // The window is open at its start: 15 minutes to the millisecond are too long.
    let edge = recs(&[(0.0, fail("li")), (5.0, fail("li")), (15.0, fail("li"))]);
    assert!(only(&site, &edge, "AU-09").is_empty());
    // One that comes an hour late completes it, and is marked so.
    let mut late = recs(&[(0.0, fail("li")), (5.0, fail("li"))]);
    late.push(rec(2, 4.0, 70.0, fail("li")));
    late.push(rec(3, 6.0, 71.0, fail("li")));
    assert_eq!(only(&site, &late, "AU-09"), ["5 Medium li [0 1 2 3] 4 failures of li"]);
    let mut late = recs(&[(0.0, fail("li")), (5.0, fail("li"))]);
    late.push(rec(2, 6.0, 70.0, fail("li")));
    assert_eq!(
        only(&site, &late, "AU-09"),
        ["6 Medium li [0 1 2] 3 failures of li [\"late\"]"]
    );
}

#[test]
fn distinct_values_and_sequences() {
    let site = site(RULES, tables());
    let fail = |user| logon(user, false, "10.9.9.9");
    let spray = recs(&[(0.0, fail("a")), (1.0, fail("b")), (2.0, fail("a")), (3.0, fail("c"))]);
    assert_eq!(
        only(&site, &spray, "AU-09"),
        ["3 High - [0 1 2 3] 3 accounts from 10.9.9.9"]
    );
    let guessed = recs(&[
        (0.0, logon("x", true, "1.1.1.1")),
        (1.0, fail("x")),
        (2.0, logon("x", true, "1.1.1.1")),
    ]);
    assert_eq!(only(&site, &guessed, "AU-09"), ["2 High x [0 1 2] x got in"]);
    let not = recs(&[
        (0.0, logon("x", true, "1.1.1.1")),
        (1.0, fail("x")),
        (17.0, logon("x", true, "1.1.1.1")),
    ]);
    assert!(only(&site, &not, "AU-09").is_empty());
}

#[test]
fn a_session_explains_one_logon_the_nearest() {
    let site = site(RULES, tables());
    let root = || logon("root", true, "10.30.0.5");
    // Two logons, one session: it explains the nearer one; nothing is said before the wait is over.
    let mut records = recs(&[(0.0, root()), (0.5, session("s1", true, "li")), (0.6, root())]);
    assert!(only(&site, &records, "AU-10").is_empty());
    records.push(tick(3.0));
    assert_eq!(only(&site, &records, "AU-10"), ["0 High root [0] no session"]);
    assert_eq!(only(&site, &records, "AU-99"), ["0 Informational li [1 2] session s1"]);
    // A session that comes an hour late refutes it.
    records.push(Rec {
        uid: "t/0/7".into(),
        ..rec(7, -0.1, 60.0, session("s0", true, "wu"))
    });
    assert!(only(&site, &records, "AU-10").is_empty());
    let revisions = run(&site, &records, &[4], false).0;
    let of = |clause: &str| {
        revisions
            .iter()
            .filter(|f| f.clauses[0] == clause)
            .map(|f| f.status)
            .collect::<Vec<_>>()
    };
    assert_eq!(of("AU-10"), [FindingStatus::New, FindingStatus::Resolved]);
    assert_eq!(only(&site, &records, "AU-99").len(), 2);
}

#[test]
fn a_logon_that_was_delivered_twice_claims_one_session() {
    let twice = RULES.replace(
        "expect: none\n      claim: one",
        "expect: none\n      claim: [$event.src_endpoint.ip, $event.time]",
    );
    assert_ne!(twice, RULES);
    let root = || logon("root", true, "10.30.0.5");
    let same = rec(2, 0.6, 1.0, root());
    let mut records = recs(&[(0.5, session("s1", true, "li")), (0.6, root())]);
    records.extend([same, tick(3.0)]);
    let site_one = site(RULES, tables());
    assert_eq!(
        only(&site_one, &records, "AU-10").len(),
        1,
        "each delivery wants its own"
    );
    let site_same = site(&twice, tables());
    assert!(only(&site_same, &records, "AU-10").is_empty());
    // Another logon a second later is another claimant, and nothing explains it.
    records.insert(3, rec(3, 0.62, 1.1, root()));
    assert_eq!(only(&site_same, &records, "AU-10").len(), 1);
}

#[test]
fn what_is_missing_by_a_deadline() {
    let site = site(RULES, tables());
    let mut records = recs(&[
        (0.0, session("s1", true, "li")),
        (1.0, session("s2", true, "wu")),
        (9.0, session("s2", false, "wu")),
    ]);
    records.push(tick(30.5));
    assert!(only(&site, &records, "AU-22").is_empty(), "the wait is not over");
    records.push(tick(31.0));
    assert_eq!(only(&site, &records, "AU-22"), ["30 Low li [0] s1 is open"]);
    records.push(rec(5, 29.0, 90.0, session("s1", false, "li")));
    assert!(only(&site, &records, "AU-22").is_empty(), "a late end resolves it");
}

#[test]
fn a_leaver_whose_account_stays() {
    let site = site(RULES, tables());
    let disable = |user: &str| json!({"class_uid": 3001, "activity_id": 5, "user": {"name": user}});
    let idle = vec![tick(0.0), tick(120.9)];
    assert!(only(&site, &idle, "AU-04").is_empty());
    let idle = vec![tick(0.0), tick(121.0)];
    assert_eq!(only(&site, &idle, "AU-04"), ["120 High wu [] wu of Wu"]);
    let finding = last(run(&site, &idle, &[], false).0).into_values().next().unwrap();
    assert_eq!((finding.person.as_deref(), finding.rows.len()), (Some("E2"), 2));
    let mut done = vec![tick(0.0), rec(1, 60.0, 60.1, disable("Wu")), tick(121.0)];
    assert!(only(&site, &done, "AU-04").is_empty());
    // After the deadline it does not count.
    done[1] = rec(1, 120.1, 120.2, disable("Wu"));
    assert_eq!(only(&site, &done, "AU-04").len(), 1);
    // A ledger that begins after the deadline says nothing of it.
    assert!(only(&site, &[tick(120.0), tick(300.0)], "AU-04").is_empty());
}

#[test]
fn a_table_that_is_swapped_opens_and_closes_absences() {
    let site = site(RULES, tables());
    let make = || {
        Detector::new(
            site.policies.clone(),
            site.rules.clone(),
            site.tables.clone(),
            vec![],
            LedgerIndex(0),
        )
        .unwrap()
    };
    let mut detector = make();
    detector.process(&[(LedgerIndex(0), Millis(START))], &[]);
    let out = detector.advance(Millis(START + 3 * HOUR));
    assert_eq!(out.findings.len(), 1);
    assert_eq!(detector.next_deadline(), None);
    let mut stays = site.tables.clone();
    stays
        .load("hr_roster", br#"[{"employee_id": "E2", "name": "Wu"}]"#)
        .unwrap();
    detector.set_tables(stays);
    let out = detector.advance(Millis(START + 3 * HOUR));
    assert_eq!(
        out.findings.iter().map(|f| f.status).collect::<Vec<_>>(),
        [FindingStatus::Resolved]
    );
    let mut detector = make();
    detector.process(&[(LedgerIndex(0), Millis(START))], &[]);
    assert_eq!(detector.next_deadline(), Some(Millis(START + 121 * MINUTE)));
}

#[test]
fn a_bucket_gathers_its_events_and_takes_the_worst() {
    let site = site(RULES, tables());
    let on = |ip| logon("li", true, ip);
    let records = recs(&[
        (58.0, on("1.1.1.1")),
        (5.0, on("10.8.0.1")),
        (60.0, on("1.1.1.1")),
        (61.0, on("1.1.1.1")),
    ]);
    assert_eq!(
        only(&site, &records, "AU-98"),
        ["5 High li [0 1] li logged on", "60 Low li [2 3] li logged on"]
    );
}

#[test]
fn too_few_are_judged_when_the_window_has_closed() {
    let site = site(RULES, tables());
    let on = |minute, received| rec(minute as usize, minute, received, logon("li", true, "1.1.1.1"));
    // The window that opens at 10 closes at 15, and is given a minute.
    assert_eq!(told_of(&site, &[on(10.0, 10.0), tick(15.9)], "AU-97"), [""; 0]);
    let alone = vec![on(10.0, 10.0), tick(16.0)];
    assert_eq!(told_of(&site, &alone, "AU-97"), ["15 Low li [10] li seldom comes"]);
    assert_eq!(
        told_of(&site, &[on(10.0, 10.0), on(14.0, 14.0), tick(40.0)], "AU-97"),
        [""; 0]
    );
    // One that comes late, before both, opens the window in its place.
    let mut late = alone.clone();
    late.extend([on(9.0, 20.0), tick(30.0)]);
    assert_eq!(told_of(&site, &late, "AU-97"), [""; 0]);
    late.extend([on(2.0, 31.0), tick(40.0)]);
    assert_eq!(
        told_of(&site, &late, "AU-97"),
        ["7 Low li [2] li seldom comes [\"late\"]"]
    );
}

#[test]
fn none_are_judged_when_nothing_has_followed() {
    let site = site(RULES, tables());
    let on = |minute, received| rec(minute as usize, minute, received, logon("li", true, "1.1.1.1"));
    assert_eq!(told_of(&site, &[on(0.0, 0.0), tick(10.9)], "AU-94"), [""; 0]);
    let silent = vec![on(0.0, 0.0), on(4.0, 4.0), tick(15.0)];
    assert_eq!(told_of(&site, &silent, "AU-94"), ["14 Low li [4] 0 after li"]);
    let mut late = silent.clone();
    late.push(on(13.0, 16.0));
    assert_eq!(told_of(&site, &late, "AU-94"), [""; 0]);
    late.push(tick(24.0));
    assert_eq!(told_of(&site, &late, "AU-94"), ["23 Low li [13] 0 after li [\"late\"]"]);
    // Few come from 4 on, which is known at 9, and from 14 on nobody.
    assert_eq!(told_of(&site, &silent, "AU-92"), [""; 0]);
    let few = [on(4.0, 4.0), tick(30.0)];
    assert_eq!(told_of(&site, &few, "AU-92"), ["14 Medium li [4] few, then none"]);
}

#[test]
fn a_correlation_of_correlations_has_all_their_evidence() {
    let site = site(RULES, tables());
    let users = ["li", "li", "a", "b", "li"];
    let records: Vec<(f64, Value)> = (0..5).map(|i| (i as f64, logon(users[i], false, "10.9.9.9"))).collect();
    assert_eq!(
        only(&site, &recs(&records), "AU-96"),
        ["4 Critical - [0 1 2 3 4] both from 10.9.9.9"]
    );
}

#[test]
fn a_policy_that_waits_is_judged_by_engine_time() {
    let site = site(RULES, tables());
    let mut records = recs(&[
        (0.0, logon("eve", true, "1.1.1.1")),
        (1.0, logon("li", true, "1.1.1.1")),
    ]);
    records.push(tick(5.0));
    assert!(only(&site, &records, "AU-95").is_empty());
    records.push(tick(5.1));
    assert_eq!(only(&site, &records, "AU-95"), ["0 Low eve [0] from 1.1.1.1"]);
}

#[test]
fn a_gap_is_counted_and_does_not_fire() {
    let site = site(RULES, json!({}));
    let mut detector = Detector::new(
        site.policies.clone(),
        site.rules.clone(),
        site.tables.clone(),
        vec![],
        LedgerIndex(0),
    )
    .unwrap();
    let records = recs(&[(0.0, logon("eve", true, "10.8.0.9"))]);
    let out = detector.process(
        &[(LedgerIndex(0), records[0].received_at)],
        &batches(&detector, 0, &records),
    );
    assert!(out.findings.iter().all(|f| f.clauses != ["AU-02"]));
    assert!(
        detector
            .gaps()
            .keys()
            .any(|(_, gap)| format!("{gap:?}") == "Table(\"account_registry\")")
    );
}

#[test]
fn all_state_is_dropped_in_the_end() {
    let site = site(RULES, tables());
    let mut records = random_day(&[
        (0, 3, 0),
        (1, 3, 0),
        (2, 3, 0),
        (3, 3, 5),
        (4, 3, 9),
        (5, 1, 0),
        (6, 2, 0),
    ]);
    records.push(tick(60.0 * 24.0 * 9.0));
    let (_, store) = run(&site, &records, &[], false);
    let kinds: Vec<u8> = store.keys().map(|k| k[0]).collect();
    // Engine time, of the roster's leaver what was settled and reported, and which kinds of events the source sent.
    assert_eq!(String::from_utf8_lossy(&kinds), "AEFK");
}

/// Records from (kind, minute, delay in minutes).
fn random_day(steps: &[(u8, u16, u16)]) -> Vec<Rec> {
    let mut minute = 0.0;
    let users = ["li", "wu", "root", "eve"];
    let mut records = Vec::new();
    for (n, (kind, gap, delay)) in steps.iter().enumerate() {
        minute += f64::from(*gap) / 2.0;
        let user = users[usize::from(*kind) / 8 % users.len()];
        let ip = ["10.9.9.9", "10.8.0.1"][usize::from(*kind) / 64 % 2];
        let uid = format!("s{}", n % 5);
        let event = match kind % 8 {
            0..=2 => logon(user, false, ip),
            3 => logon(user, true, ip),
            4 => logon("root", true, ip),
            5 => session(&uid, true, user),
            6 => session(&uid, false, user),
            _ => json!({"class_uid": 3001, "activity_id": 5, "user": {"name": user}}),
        };
        records.push(rec(n, minute, minute + f64::from(*delay) / 2.0, event));
    }
    records
}

fn steps() -> impl Strategy<Value = Vec<(u8, u16, u16)>> {
    prop::collection::vec(
        (any::<u8>(), 0u16..8, prop_oneof![3 => Just(0u16), 1 => 0u16..40]),
        1..60,
    )
}

/// In the order in which they were received; what was received at one moment in the order of `swap`.
fn arrive(mut records: Vec<Rec>) -> Vec<Rec> {
    records.sort_by_key(|r| r.received_at);
    let end = records
        .last()
        .map_or(0.0, |r| ((r.received_at.0 - START) / MINUTE) as f64);
    records.push(tick(end + 200.0));
    records
}

/// What does not depend on the order of arrival: everything of the findings that stand but the label of lateness.
fn standing(findings: Vec<Finding>) -> BTreeMap<String, Finding> {
    let mut all = standing_with_labels(findings);
    all.values_mut().for_each(|f| f.labels.clear());
    all
}

/// The deadline of the account that stays is one hour later: amid the random records.
const LEFT: &str = "2026-05-04T01:05:00Z";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn batches_and_restarts_change_nothing(steps in steps(), cuts in prop::collection::vec(0usize..60, 0..8)) {
        let site = site(RULES, tables_with(LEFT));
        let records = arrive(random_day(&steps));
        let (whole, state) = run(&site, &records, &[], false);
        let (cut, cut_state) = run(&site, &records, &cuts, false);
        let (restarted, restarted_state) = run(&site, &records, &cuts, true);
        let (spilled, spilled_state) = run_within(&site, &records, &cuts, false, Some(0));
        prop_assert_eq!(&cut, &spilled, "with no memory");
        prop_assert_eq!(&cut_state, &spilled_state);
        let (spilled, _) = run_within(&site, &records, &cuts, true, Some(2_000));
        prop_assert_eq!(&cut, &spilled, "with little memory, from the start");
        let whole = last(whole);
        prop_assert_eq!(&cut, &restarted, "revisions");
        prop_assert_eq!(&whole, &last(cut));
        prop_assert_eq!(items(&state), items(&restarted_state));
        prop_assert_eq!(cut_state, restarted_state);
    }

    /// A rule that reports nothing of its own hands its events over without making more of them.
    #[test]
    fn the_short_way_into_a_group_is_the_long_way(steps in steps(), cuts in prop::collection::vec(0usize..60, 0..4)) {
        let counted = |generate: bool| {
            let correlation = |title: &str, rest: &str| format!(
                "---\ntitle: {title}\nid: {title}\nlevel: low\n\
                 docket: {{message: 'of {{event.src_endpoint.ip}}', dedup: {{by: [$event.user.name], window: 10m}}}}\n\
                 correlation: {{rules: [f], timespan: 5m, generate: {generate}, {rest}}}\n"
            );
            let policies = [
                "title: f\nname: f\nlogsource: {product: ocsf, category: authentication}\n\
                 detection: {s: {status_id: 2}, condition: s}\n".to_owned(),
                correlation("many", "type: event_count, group-by: [user.name], condition: {gte: 2}"),
                correlation("few", "type: event_count, group-by: [user.name, device.hostname], condition: {lt: 3}"),
                correlation("from", "type: value_count, group-by: [user.name], condition: {field: src_endpoint.ip, gte: 2}"),
                correlation("absent", "type: event_count, group-by: [actor.user.name], condition: {gte: 1}"),
            ];
            let site = site(&policies.concat(), json!({}));
            let (findings, state) = run(&site, &arrive(random_day(&steps)), &cuts, true);
            let mut findings = last(findings);
            findings.retain(|_, f| f.policy.title != "f");
            // The version is that of the text.
            findings.values_mut().for_each(|f| f.policy.version.clear());
            let windows = items(&state).into_iter().filter(|item| item.first() == Some(&b'W')).count();
            (findings, windows)
        };
        let (short, long) = (counted(false), counted(true));
        prop_assert_eq!(short, long);
    }

    #[test]
    fn the_order_of_arrival_changes_nothing(
        steps in steps(),
        delays in prop::collection::vec(0u16..300, 60),
    ) {
        let site = site(RULES, tables_with(LEFT));
        let one = random_day(&steps);
        // The same events, each received at another time, within the lateness.
        let mut other = one.clone();
        for (r, delay) in other.iter_mut().zip(&delays) {
            r.received_at = r.time.plus_ms(i64::from(*delay) * MINUTE);
        }
        // Engine time begins at the same moment.
        let run = |records: Vec<Rec>| {
            let mut records = arrive(records);
            records.insert(0, tick(0.0));
            standing(run(&site, &records, &[], false).0)
        };
        let (one, other) = (run(one), run(other));
        let differ = |a: &BTreeMap<String, Finding>, b: &BTreeMap<String, Finding>| {
            let differing = a.iter().filter(|(uid, f)| b.get(*uid) != Some(*f));
            differing.map(|(_, f)| format!("{:?} {} {:?}", f.clauses, line(f), f.rows)).collect::<Vec<_>>()
        };
        prop_assert_eq!(differ(&one, &other), differ(&other, &one));
    }
}

#[test]
fn a_detector_can_move_between_threads() {
    fn is_send<T: Send>() {}
    is_send::<Detector>();
}

#[test]
fn hostile_events_do_not_panic() {
    let site = site(RULES, tables());
    let mut huge = logon("root", true, "10.8.0.1");
    huge["user"]["name"] = json!((0..5_000).map(|i| format!("u{i}")).collect::<Vec<_>>());
    huge["device"]["ip"] = json!(
        (0..5_000)
            .map(|i| format!("10.0.{}.{}", i / 256, i % 256))
            .collect::<Vec<_>>()
    );
    let mut records = vec![
        rec(0, 0.0, 0.0, huge.clone()),
        rec(1, 0.0, 0.0, json!({})),
        rec(2, 0.0, 0.0, session("", true, "")),
    ];
    records[0].time = Millis(i64::MAX);
    records[2].time = Millis(i64::MIN);
    records.push(Rec {
        uid: "no record id".into(),
        ..rec(3, 1.0, 1.0, huge)
    });
    records.push(Rec {
        received_at: Millis(i64::MAX),
        ..tick(2.0)
    });
    let (_, store) = run(&site, &records, &[1, 2, 3, 4], true);
    assert!(!store.is_empty());
    let _ = told(&site, &records);
}

/// Ten thousand failures of one account, and of as many accounts from one address, in one window: with a state
/// that is scanned for each event this would take minutes.
#[test]
fn a_large_window_is_not_scanned_for_each_event() {
    let site = site(RULES, tables());
    let n = 10_000;
    let records: Vec<Rec> = (0..n)
        .map(|i| {
            let user = if i % 2 == 0 { "li".to_owned() } else { format!("u{i}") };
            let minute = f64::from(i) * 14.0 / f64::from(n);
            rec(i as usize, minute, minute, logon(&user, false, "10.9.9.9"))
        })
        .collect();
    let cuts: Vec<usize> = (0..n as usize).step_by(1_000).collect();
    let findings = last(run(&site, &records, &cuts, false).0);
    let told: Vec<String> = findings
        .values()
        .map(|f| format!("{} {}", f.message, f.evidence.len()))
        .collect();
    assert!(told.contains(&"5000 failures of li 5000".to_owned()), "{told:?}");
    assert!(
        told.contains(&"5001 accounts from 10.9.9.9 10000".to_owned()),
        "{told:?}"
    );
}
