//! What Docket records of itself and of those who use it, as policies and auditors read it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod harness;

use std::fs;

use harness::{Server, get, request, rows, run, succeed};
use serde_json::{Value, json};

/// A policy that fires on each record of a source.
const POLICY: &str = r#"title: A failed logon
id: 0a1b2c3d-0000-4000-8000-000000000001
name: failed_logon
logsource: {product: ocsf, category: authentication}
detection: {s: {status_id: 2}, condition: s}
level: high
docket: {clauses: [AU-09], message: "{event.user.name} failed"}
"#;

const SECOND: &str = r#"title: Another
id: 0a1b2c3d-0000-4000-8000-000000000002
name: another
logsource: {product: ocsf, category: authentication}
detection: {s: {status_id: 1}, condition: s}
level: low
"#;

fn server() -> Server {
    let server = Server::new("policies = [\"policies\"]\n");
    let dir = server.dir.path().join("policies");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("failed.yml"), POLICY).unwrap();
    server
}

/// The acts that were recorded, oldest first.
fn acts(server: &Server, act: &str) -> Vec<Value> {
    let all = server.records("docket").into_iter();
    all.map(|r| serde_json::from_slice::<Value>(&r.payload).unwrap())
        .filter(|v| v["act"] == act)
        .collect()
}

#[test]
fn a_request_that_was_refused_is_recorded_once_a_minute() {
    let mut server = server();
    server.start();
    let (auditor, admin) = (server.token("auditor", "anna"), server.token("admin", "bo"));
    for _ in 0..3 {
        let (status, _) = get(server.http, "/api/v1/search?q=x", Some(&admin)).unwrap();
        assert_eq!(status, 403);
    }
    let (status, _) = get(server.http, "/api/v1/search?q=x", Some(&auditor)).unwrap();
    assert_eq!(status, 200);
    let refused = acts(&server, "access.refuse");
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!(refused[0]["actor"], json!({"name": "bo", "role": "admin"}));
    assert_eq!(refused[0]["detail"]["path"], "/api/v1/search");
    assert_eq!(refused[0]["detail"]["success"], false);
    assert_eq!(
        acts(&server, "search")[0]["actor"],
        json!({"name": "anna", "role": "auditor"})
    );
}

#[test]
fn changes_of_policies_are_recorded_at_the_next_start() {
    let mut server = server();
    server.start();
    server.stop();
    server.start();
    server.stop();
    let changes = |server: &Server| -> Vec<(String, String)> {
        ["policy.create", "policy.change", "policy.delete"]
            .into_iter()
            .flat_map(|act| acts(server, act).into_iter().map(move |v| (act.to_owned(), v)))
            .map(|(act, v)| (act, v["detail"]["policy"].as_str().unwrap().to_owned()))
            .collect()
    };
    assert!(changes(&server).is_empty(), "the first set is no change");
    let dir = server.dir.path().join("policies");
    fs::write(dir.join("failed.yml"), POLICY.replace("level: high", "level: low")).unwrap();
    fs::write(dir.join("another.yml"), SECOND).unwrap();
    server.start();
    server.stop();
    let told = |act: &str, policy: &str| (act.to_owned(), policy.to_owned());
    let first = [told("policy.create", "another"), told("policy.change", "failed_logon")];
    assert_eq!(changes(&server), first);
    let change = &acts(&server, "policy.change")[0]["detail"];
    assert_eq!(
        (&change["level"], &change["level_before"]),
        (&json!("low"), &json!("high"))
    );
    fs::remove_file(dir.join("another.yml")).unwrap();
    server.start();
    server.stop();
    assert_eq!(changes(&server).len(), 3);
    assert_eq!(acts(&server, "policy.delete")[0]["detail"]["policy"], "another");
}

#[test]
fn alerts_reports_and_packages_are_answered_for() {
    let mut server = server();
    server.start();
    let token = server.token("shipper", "test");
    let line = "<86>Mar  2 10:00:00 web-1 sshd[7]: Failed password for eve from 10.9.0.1 port 2 ssh2\n";
    let kind = [("content-type", "text/plain")];
    let sent = request(
        server.http,
        "POST",
        "/api/v1/ingest/linux",
        Some(&token),
        &kind,
        line.as_bytes(),
    );
    assert_eq!(sent.unwrap().0, 200);
    server.settle(1);
    let data = server.data();
    let alerts = rows(&["alert", "list", "--output", "ndjson", "--data", &data]);
    let id = alerts[0]["id"].as_str().unwrap().to_owned();
    // By the beginning of its id; the record names it whole, and whom it is about.
    succeed(&["alert", "show", &id[..6], "--data", &data]);
    succeed(&[
        "alert",
        "close",
        &id[..6],
        "--verdict",
        "false_positive",
        "--data",
        &data,
    ]);
    let closed = &acts(&server, "alert.close")[0]["detail"];
    assert_eq!(closed["alert"], id.as_str());
    assert_eq!(
        (&closed["false_positive"], &closed["account"]),
        (&json!(1), &json!("eve"))
    );
    assert_eq!(
        (&closed["severity"], &closed["title"]),
        (&json!("high"), &json!("A failed logon"))
    );
    assert_eq!(acts(&server, "alert.view")[0]["detail"]["alert"], id.as_str());

    let day = alerts[0]["raised_at"].as_i64().map(model::Millis).unwrap().to_string()[..10].to_owned();
    let report = succeed(&[
        "report",
        "show",
        &day,
        "--timezone",
        "UTC",
        "--output",
        "table",
        "--data",
        &data,
    ]);
    assert!(report.contains("1 alerts") && report.contains("AU-09"), "{report}");
    succeed(&["report", "sign", &day, "--comment", "read", "--data", &data]);
    assert_eq!(
        acts(&server, "report.sign")[0]["detail"],
        json!({"day": day, "comment": "read"})
    );
    let wrong = run(&["report", "sign", "yesterday", "--data", &data]);
    assert_eq!(
        wrong.status.code(),
        Some(2),
        "{}",
        String::from_utf8_lossy(&wrong.stderr)
    );

    succeed(&["custody", "case-17.tar", "--holder", "court", "--data", &data]);
    assert_eq!(acts(&server, "custody.record")[0]["detail"]["package"], "case-17.tar");
    let nobody = run(&["custody", "case-17.tar", "--holder", " ", "--data", &data]);
    assert_eq!(nobody.status.code(), Some(2));

    let policies = server.dir.path().join("policies").display().to_string();
    let covered = run(&["policy", "coverage", &policies, "--data", &data, "--output", "json"]);
    assert_eq!(covered.status.code(), Some(1), "64 clauses have no policy");
    let covered: Value = serde_json::from_slice(&covered.stdout).unwrap();
    let au09 = covered
        .as_array()
        .unwrap()
        .iter()
        .find(|c| c["clause"] == "AU-09")
        .unwrap();
    assert_eq!((&au09["seen"], &au09["blind"]), (&json!(["linux"]), &json!("no tests")));
    assert!(au09["last_fired"].is_string());
}

#[test]
fn a_condition_that_no_test_misses_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("failed.yml");
    fs::write(
        &file,
        POLICY.replace("{status_id: 2}", "{status_id: 2, activity_id: 1}"),
    )
    .unwrap();
    let test = |name: &str, result: &str, findings: &str| {
        format!(
            "  - name: {name}\n    records:\n      - {{source: linux, at: \"2026-07-14T10:00:01+08:00\", line: '<86>Jul 14 10:00:00 web-1 sshd[7]: {result} password for eve from 10.9.0.1 port 2 ssh2'}}\n    findings: [{findings}]\n"
        )
    };
    let tests = format!(
        "tests:\n{}{}",
        test("fails", "Failed", "{account: eve}"),
        test("succeeds", "Accepted", "")
    );
    fs::write(dir.path().join("failed.test.yml"), tests).unwrap();
    let path = file.display().to_string();
    assert!(succeed(&["policy", "test", &path]).contains("2 passed, 0 failed"));
    let output = run(&["policy", "test", "--mutate", &path]);
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.contains("failed_logon: no test misses detection.s.activity_id"),
        "{told}"
    );
    assert!(
        told.contains("2 conditions taken away one at a time, 1 that no test misses"),
        "{told}"
    );
}
