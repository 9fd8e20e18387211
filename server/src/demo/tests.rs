//! The ordinary traffic is held to the clauses here by plain code of its own, not by the policies.

use std::collections::{BTreeMap, BTreeSet};

use model::Millis;
use serde_json::Value;

use super::tape::{DAY, Day, MINUTE, Record, SECOND};
use super::{Traffic, reference};

/// A Thursday at 13:37, a Saturday at 20:00, and a Tuesday at 02:21, local time.
fn starts() -> [Millis; 3] {
    let thursday = Day::of(Millis(1_795_066_620_000));
    assert!(thursday.is_working() && Day(thursday.0 + 1).is_working() && !Day(thursday.0 + 2).is_working());
    [
        thursday.at(13, 37),
        Day(thursday.0 + 2).at(20, 0),
        Day(thursday.0 + 5).at(2, 21),
    ]
}

fn records(traffic: Traffic, start: Millis, days: i64) -> Vec<Record> {
    traffic.take_while(|(at, ..)| *at < start + days * DAY).collect()
}

fn ordinary(start: Millis, days: i64) -> Vec<Record> {
    records(Traffic::new(7, start).ordinary_only(), start, days)
}

fn violations(start: Millis, days: i64) -> Vec<Record> {
    let ordinary: BTreeSet<Record> = ordinary(start, days).into_iter().collect();
    records(Traffic::new(7, start), start, days)
        .into_iter()
        .filter(|r| !ordinary.contains(r))
        .collect()
}

/// The JSON of a record, but for syslog lines of hosts.
fn json(line: &str) -> Value {
    let text = line
        .strip_prefix("<14>jumpserver: ")
        .map_or(line, |l| l.split_once(" - ").unwrap().1);
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {line}"))
}

fn table(start: Millis, name: &str) -> Value {
    let found = reference(start).into_iter().find(|(n, _)| *n == name);
    serde_json::from_str(&found.unwrap().1).unwrap()
}

fn moment(value: &Value) -> Millis {
    Millis::parse(value.as_str().unwrap()).unwrap()
}

#[test]
fn records_come_in_order_from_the_start_on() {
    for start in starts() {
        let all = records(Traffic::new(7, start), start, 5);
        assert!(all[0].0 >= start);
        assert!(all.is_sorted_by_key(|(at, ..)| *at), "{start}");
    }
}

#[test]
fn the_same_seed_makes_the_same_records() {
    let start = starts()[0];
    let make = |seed| records(Traffic::new(seed, start), start, 1);
    assert_eq!(make(7), make(7));
    assert_ne!(make(7), make(8));
}

#[test]
fn a_day_has_thousands_of_records_and_a_weekend_fewer() {
    let start = Day::of(starts()[0]).at(0, 0);
    let mut days: BTreeMap<Day, usize> = BTreeMap::new();
    for (at, ..) in ordinary(start, 7) {
        *days.entry(Day::of(at)).or_default() += 1;
    }
    for (day, count) in days {
        let expected = if day.is_working() { 3_000..6_500 } else { 1_500..3_000 };
        assert!(expected.contains(&count), "{day:?}: {count}");
    }
}

#[test]
fn the_violations_only_add_to_the_ordinary() {
    for start in starts() {
        let all: BTreeSet<Record> = records(Traffic::new(7, start), start, 4).into_iter().collect();
        let only = ordinary(start, 4)
            .into_iter()
            .filter(|r| !all.contains(r))
            .collect::<Vec<_>>();
        // What the violations leave undone.
        let [(_, "jumpserver", line)] = only.as_slice() else {
            panic!("{start}: {only:?}")
        };
        assert!(line.contains("operation_log") && line.contains("he.ming"), "{line}");
    }
}

#[test]
fn every_line_is_in_its_sources_own_form() {
    let start = starts()[0];
    for (_, source, line) in records(Traffic::new(7, start), start, 4) {
        assert!(!line.contains(['\n', '\0']), "{line}");
        match source {
            "linux" => {
                let (pri, rest) = line.strip_prefix('<').and_then(|l| l.split_once('>')).unwrap();
                assert!(["78", "85", "86"].contains(&pri), "{line}");
                // `Nov  9 08:07:06 host `
                assert_eq!(rest.as_bytes()[15], b' ', "{line}");
                assert!(
                    rest[..15].is_ascii() && rest[4..5].parse::<u8>().is_ok() || &rest[4..5] == " ",
                    "{line}"
                );
            }
            "jumpserver" => assert!(
                line.starts_with("<14>jumpserver: ") && json(&line)["id"].is_string(),
                "{line}"
            ),
            "nginx" => assert!(
                json(&line)["time"].as_str().is_some_and(|t| t.ends_with("+08:00")),
                "{line}"
            ),
            "webaudit" => assert!(json(&line)["time"].as_str().is_some_and(|t| t.len() == 29), "{line}"),
            "actiontrail" => assert!(
                json(&line)["eventTime"].as_str().is_some_and(|t| t.ends_with('Z')),
                "{line}"
            ),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn web_records_and_access_lines_share_request_ids() {
    let start = starts()[0];
    let all = ordinary(start, 2);
    let ids = |source: &str, field: &str| -> BTreeSet<String> {
        all.iter()
            .filter(|r| r.1 == source)
            .map(|r| json(&r.2)[field].as_str().unwrap().to_owned())
            .collect()
    };
    let (audited, accessed) = (ids("webaudit", "request_id"), ids("nginx", "req_id"));
    // The last may still be on its way.
    assert!(audited.len() > 500 && audited.difference(&accessed).count() <= 1);
}

/// AU-02, AU-10, AU-16: each host logon is a registered account's; a person's has one bastion session just before.
#[test]
fn ordinary_host_logons_are_registered_and_come_through_the_bastion() {
    for start in starts() {
        let register = table(start, "account_registry");
        let known = |system: &str, account: &str| {
            register
                .as_array()
                .unwrap()
                .iter()
                .any(|r| r["system"] == system && r["account"] == account)
        };
        let mut opened: Vec<(Millis, String, String)> = Vec::new();
        let all = ordinary(start, 4);
        for (_, _, line) in all.iter().filter(|r| r.2.contains("host_session_log")) {
            let record = json(line);
            if record["is_finished"] == false {
                let at = jumpserver_time(record["date_start"].as_str().unwrap());
                let part = |field: &str| record[field].as_str().unwrap().split('(').next().unwrap().to_owned();
                opened.push((at, part("asset"), part("account")));
            }
        }
        let mut logons = 0;
        for (at, _, line) in all.iter().filter(|r| r.2.contains(": Accepted ")) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let host = words[3];
            let (account, from) = (words[8], words[10]);
            assert!(
                known(&format!("host:{host}"), account) || known("host:*", account),
                "{line}"
            );
            assert_ne!(account, "root", "{line}");
            if account == "backup" {
                assert_eq!(from, super::people::BACKUP_SERVER);
                continue;
            }
            assert!(super::people::BASTIONS.contains(&from), "{line}");
            let explains = |(o, h, a): &(Millis, String, String)| {
                h == host && a == account && (-2 * SECOND..60 * SECOND).contains(&(*at - *o))
            };
            let session = opened.iter().position(explains);
            opened.remove(session.unwrap_or_else(|| panic!("{start}: {line}")));
            logons += 1;
        }
        assert!(opened.len() <= 1, "every session has its logon");
        assert!(logons > 10, "{start}: {logons}");
    }
}

fn jumpserver_time(text: &str) -> Millis {
    let (date, rest) = text.split_once(' ').unwrap();
    let rfc3339 = format!(
        "{}T{}+08:00",
        date.replace('/', "-"),
        rest.strip_suffix(" +0800").unwrap()
    );
    Millis::parse(&rfc3339).unwrap()
}

/// AU-07, AU-09, AU-21, DS-05, DS-11 on the bastion; AU-07, AU-16 in the cloud.
#[test]
fn the_ordinary_use_of_bastion_and_cloud_breaks_no_clause() {
    for start in starts() {
        let mut failures: BTreeMap<String, Vec<Millis>> = BTreeMap::new();
        for (at, source, line) in ordinary(start, 5) {
            if source == "actiontrail" {
                assert!(!line.contains("root-account") && !line.contains("\"false\""), "{line}");
            }
            if source != "jumpserver" {
                continue;
            }
            let record = json(&line);
            if line.contains(": login_log") && record["status"]["value"] == false {
                failures.entry(record["username"].to_string()).or_default().push(at);
            } else if line.contains(": login_log") {
                assert_eq!(record["mfa"]["value"], 1);
            }
            if !line.contains(": operation_log") {
                let day = Day::of(at);
                assert!(day.is_working() && at >= day.at(9, 0) && at < day.at(18, 30), "{line}");
            }
            if line.contains(": ftp_log") {
                assert!(record["asset"].as_str().unwrap().starts_with("lab-"), "{line}");
            }
            if line.contains(": session_command_log") {
                assert_eq!(record["risk_level"]["value"], 0);
                let input = record["input"].as_str().unwrap();
                for wrong in [
                    "rm ",
                    "dump",
                    "base64",
                    "history",
                    "/var/log/auth",
                    "stop",
                    "restart",
                    "nc ",
                    "passwd",
                ] {
                    assert!(!input.contains(wrong), "{input}");
                }
                assert!(input.len() < 128, "{input}");
            }
        }
        for (who, times) in failures {
            assert!(times.windows(3).all(|w| w[2] - w[0] > 15 * MINUTE), "{who}");
        }
    }
}

/// AU-03, DS-07, DS-08: changes, new accounts among them, are made in the window of a change, by its implementer.
#[test]
fn ordinary_changes_are_planned() {
    for start in starts() {
        let (calendar, approvals) = (table(start, "change_calendar"), table(start, "approvals"));
        let mut changes = 0;
        for (at, _, line) in ordinary(start, 5) {
            let Some((head, command)) = line.split_once("COMMAND=") else {
                continue;
            };
            let changing = ["apt-get", "/cp ", "reload", "useradd"]
                .iter()
                .any(|c| command.contains(c));
            if !changing {
                continue;
            }
            let words: Vec<&str> = head.split_whitespace().collect();
            let (host, login) = (words[3], words[5]);
            let person = super::people::ADMINS.iter().find(|p| p.login == login).unwrap();
            let covers = |c: &&Value| {
                let window = moment(&c["window_start"])..moment(&c["window_end"]);
                c["assets"][0] == host && c["implementers"][0] == person.id && window.contains(&at)
            };
            let change = calendar
                .as_array()
                .unwrap()
                .iter()
                .find(covers)
                .unwrap_or_else(|| panic!("{line}"));
            let steps = change["steps"].as_array().unwrap();
            assert!(steps[..4].is_sorted_by_key(|s| moment(&s["at"])) && moment(&steps[3]["at"]) < at);
            if let Some(account) = command.strip_prefix("/usr/sbin/useradd -r -s /usr/sbin/nologin ") {
                let ticket =
                    |t: &&Value| t["scope"]["account"] == account && t["scope"]["systems"][0] == format!("host:{host}");
                let ticket = approvals
                    .as_array()
                    .unwrap()
                    .iter()
                    .find(ticket)
                    .unwrap_or_else(|| panic!("{line}"));
                assert!((moment(&ticket["valid_from"])..moment(&ticket["valid_to"])).contains(&at));
                assert!(
                    ticket["approvals"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .all(|a| moment(&a["at"]) < at)
                );
            }
            changes += 1;
        }
        assert!(changes >= 8, "{start}: {changes}");
    }
}

/// DS-01, DS-02, DS-03 in the web systems.
#[test]
fn ordinary_reading_has_a_case_and_exporting_a_request() {
    for start in starts() {
        let approvals = table(start, "approvals");
        let (mut exports, mut read) = (0, BTreeMap::<(String, Day), usize>::new());
        for (at, _, line) in ordinary(start, 5).into_iter().filter(|r| r.1 == "webaudit") {
            let record = json(&line);
            let person = &record["actor"]["employee_id"];
            match record["action"].as_str().unwrap() {
                "login" | "logout" => {}
                "export" => {
                    let covers = |t: &&Value| {
                        let valid = moment(&t["valid_from"])..moment(&t["valid_to"]);
                        t["ticket_id"] == record["ticket"]["id"] && t["beneficiary"] == *person && valid.contains(&at)
                    };
                    let ticket = approvals
                        .as_array()
                        .unwrap()
                        .iter()
                        .find(covers)
                        .unwrap_or_else(|| panic!("{line}"));
                    assert!(record["rows"].as_i64() <= ticket["row_limit"].as_i64(), "{line}");
                    assert_eq!(record["object"]["fields"], ticket["scope"]["fields"]);
                    exports += 1;
                }
                _ => {
                    assert_eq!(record["ticket"]["assignee"], *person, "{line}");
                    *read.entry((person.to_string(), Day::of(at))).or_default() += 1;
                }
            }
        }
        assert!(exports >= 2, "{start}: {exports}");
        assert!(read.values().all(|n| *n < 200));
    }
}

#[test]
fn the_first_violation_comes_within_minutes_and_the_clauses_within_a_week() {
    const TRACES: &[(&str, &str)] = &[
        ("AU-02", "Accepted password for tester"),
        ("AU-03", "new user: name=svc-sync1,"),
        ("AU-04", "\"username\": \"贺铭(he.ming)\""),
        ("AU-07", "\"mfaChecked\":\"false\""),
        ("AU-09", "\"reason\": \"password_failed\""),
        ("AU-10", "Accepted password for root from 10.44."),
        ("AU-16", "root-account"),
        ("AU-21", "02:"),
        ("DS-03", "\"count\":1"),
        ("DS-05", "\"operate\": {\"label\": \"download\""),
        ("DS-07", "restart nginx"),
        ("DS-08", "tls.conf"),
        ("DS-11", "\"input\": \"rm -rf /data/pg/archive_2024\""),
        ("LA-05", "history -c"),
    ];
    for start in starts() {
        let found = violations(start, 7);
        assert!(found[0].0 - start < 5 * MINUTE, "{start}");
        for (clause, trace) in TRACES {
            assert!(found.iter().any(|r| r.2.contains(trace)), "{start}: {clause}");
        }
        // A handful of stories, not a flood: nobody looks at a demo that is all red.
        let per_day = found.len() / 7;
        assert!((15..90).contains(&per_day), "{start}: {per_day}");
    }
}

#[test]
fn a_night_visit_is_outside_working_time() {
    for start in starts() {
        let night = |r: &Record| (Day::of(r.0).at(2, 0)..Day::of(r.0).at(4, 0)).contains(&r.0);
        let visits = violations(start, 6)
            .into_iter()
            .filter(|r| r.2.contains("session_command_log") && night(r));
        assert!(visits.count() >= 2, "{start}");
    }
}

#[test]
fn the_tables_are_lists_of_rows() {
    let start = starts()[0];
    let tables = reference(start);
    let names: BTreeSet<&str> = tables.iter().map(|(n, _)| *n).collect();
    assert_eq!(names.len(), 10);
    for (name, text) in &tables {
        let rows: Value = serde_json::from_str(text).unwrap();
        assert!(
            rows.is_object() == matches!(*name, "role_matrix" | "work_calendar"),
            "{name}"
        );
    }
    assert_eq!(tables, reference(start));
}
