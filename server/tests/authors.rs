//! What authors of policies ask: why a policy holds for an event or does not, and what it would have found.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod harness;

use std::fs;
use std::path::Path;

use harness::{Server, request, run, succeed};
use serde_json::Value;

const POLICIES: &str = r#"
title: Logon
name: logon
logsource: {product: ocsf, category: authentication}
detection: {s: {activity_id: 1, status_id: 1}, condition: s}
---
title: Logon from outside, by night
name: from_outside
id: 22222222-2222-4222-8222-222222222222
logsource: {product: ocsf, category: authentication}
detection:
  logon: {activity_id: 1, status_id: 1}
  robot: {user.name|startswith: [svc-, bot-]}
  condition: logon and not robot
level: high
docket:
  clauses: [XX-01]
  calendar: outside
  lookup:
    - {table: network_zones, as: zone, where: {cidr|covers: $event.src_endpoint.ip, zone: office}, expect: none}
    - {table: account_registry, as: account, key: {account: $event.user.name}, where: {state: active, owner_employee_id|exists: true}}
  severity: [{level: critical, when: {"$event.user.name": root}}]
  dedup: {by: [$event.user.name], window: 1h}
  message: "{event.user.name} from {event.src_endpoint.ip}"
---
title: Three logons within ten minutes
name: three
correlation: {type: event_count, rules: [logon], group-by: [user.name], timespan: 10m, condition: {gte: 3}}
level: low
docket: {clauses: [XX-02]}
"#;

fn site(dir: &Path) {
    fs::create_dir(dir.join("reference")).unwrap();
    fs::write(dir.join("policies.yml"), POLICIES).unwrap();
    let tables = [
        (
            "network_zones",
            r#"[{"cidr": "10.9.0.0/16", "zone": "office"}, {"cidr": "10.8.0.0/16", "zone": "prod"}]"#,
        ),
        (
            "account_registry",
            r#"[{"system": "host:*", "account": "root", "state": "active", "owner_employee_id": "E1"},
                {"system": "host:*", "account": "eve", "state": "locked", "owner_employee_id": "E2"}]"#,
        ),
        (
            "work_calendar",
            r#"[{"tz": "Asia/Shanghai", "hours": ["09:00", "18:00"]}]"#,
        ),
    ];
    for (name, rows) in tables {
        fs::write(dir.join(format!("reference/{name}.json")), rows).unwrap();
    }
}

fn line(minute: u32, user: &str, ip: &str) -> String {
    format!("<86>May  4 23:{minute:02}:00 web-9 sshd[7]: Accepted password for {user} from {ip} port 2 ssh2\n")
}

/// `docket policy explain` of the last line; what it prints.
fn explain(dir: &Path, rule: &str, lines: &str, more: &[&str]) -> String {
    fs::write(dir.join("auth.log"), lines).unwrap();
    let path = |name: &str| dir.join(name).display().to_string();
    let (policies, reference, log) = (path("policies.yml"), path("reference"), path("auth.log"));
    let mut args = vec![
        "policy",
        "explain",
        rule,
        &log,
        "--policies",
        &policies,
        "--reference",
        &reference,
    ];
    args.extend(["--received", "2026-05-04T23:59:00+08:00"]);
    args.extend(more);
    succeed(&args)
}

/// The line that begins so, whatever its depth; its mark and what it says.
fn told<'t>(text: &'t str, what: &str) -> &'t str {
    let found = text
        .lines()
        .map(str::trim)
        .find(|l| l.get(4..).is_some_and(|l| l.starts_with(what)));
    found.unwrap_or_else(|| panic!("no line begins with `{what}`:\n{text}"))
}

#[test]
fn each_condition_is_told_with_the_value_on_which_it_holds_or_fails() {
    let dir = tempfile::tempdir().unwrap();
    site(dir.path());
    let text = explain(
        dir.path(),
        "from_outside",
        &line(1, "root", "203.0.113.5"),
        &["--output", "table"],
    );
    for (what, mark, because) in [
        ("from_outside", "yes", "policies.yml:"),
        (
            "logsource {product: ocsf, category: authentication}",
            "yes",
            "class 3002 (authentication)",
        ),
        ("condition: logon and not robot", "yes", ""),
        ("activity_id is 1", "yes", "`1` is 1"),
        (
            "user.name matches `svc-*` or matches `bot-*`",
            "no ",
            "the event has `root`",
        ),
        (
            "calendar: outside of working time",
            "yes",
            "2026-05-04T23:01:00+08:00 is not working time",
        ),
        (
            "lookup network_zones {}, expects no row",
            "yes",
            "2 rows of that key and time, 0 of which",
        ),
        (
            "cidr|covers: $event.src_endpoint.ip (`203.0.113.5`)",
            "no ",
            "has `10.9.0.0/16`",
        ),
        (
            "lookup account_registry {account: $event.user.name (`root`)}",
            "yes",
            "1 row",
        ),
        ("severity critical", "?", "raises the severity"),
    ] {
        let line = told(&text, what);
        let whole = text.lines().find(|l| l.trim() == line).unwrap();
        assert!(whole.trim_start().starts_with(mark.trim_start()), "{whole}");
        assert!(line.contains(because), "{line}");
    }
    assert!(text.contains("(Critical): root from 203.0.113.5"), "{text}");

    // By its clause; nobody's account, and so the last join is what fails.
    let text = explain(
        dir.path(),
        "xx-01",
        &line(2, "eve", "203.0.113.5"),
        &["--output", "json"],
    );
    let json: Value = serde_json::from_str(&text).unwrap();
    let policy = &json[0]["policy"];
    assert_eq!(policy["holds"], false, "{text}");
    let parts = policy["parts"].as_array().unwrap();
    let failed: Vec<&str> = parts
        .iter()
        .filter(|p| p["holds"] == false)
        .map(|p| p["what"].as_str().unwrap())
        .collect();
    assert_eq!(
        failed,
        ["lookup account_registry {account: $event.user.name (`eve`)}, expects some row"]
    );
    assert_eq!(json[0]["findings"], serde_json::json!([]));
}

#[test]
fn a_correlation_is_told_by_its_windows() {
    let dir = tempfile::tempdir().unwrap();
    site(dir.path());
    let two = line(1, "root", "10.9.0.1") + &line(3, "root", "10.9.0.1");
    let text = explain(dir.path(), "three", &two, &["--output", "table"]);
    assert!(text.lines().nth(1).unwrap().starts_with("no  three"), "{text}");
    assert!(told(&text, "window of").contains("counts 2, asked >= 3"), "{text}");
    let three = two + &line(5, "root", "10.9.0.1");
    let text = explain(dir.path(), "three", &three, &["--output", "table"]);
    assert!(text.lines().nth(1).unwrap().starts_with("yes three"), "{text}");
    assert!(told(&text, "window of").contains("counts 3, asked >= 3"), "{text}");
}

#[test]
fn what_is_asked_wrongly_is_said() {
    let dir = tempfile::tempdir().unwrap();
    site(dir.path());
    let policies = dir.path().join("policies.yml").display().to_string();
    for (args, code, says) in [
        (
            vec!["explain", "from_out", "/dev/null"],
            2,
            "did you mean from_outside?",
        ),
        (vec!["explain", &policies, "/dev/null"], 2, "has several policies: "),
        (
            vec!["explain", "three", "no-such-file"],
            4,
            "neither a file nor the id of a record",
        ),
        (
            vec!["explain", "three", "/dev/null"],
            2,
            "no event was made of the input",
        ),
        (
            vec!["explain", "three", "audit.linux/0/1", "--data", "/nowhere"],
            4,
            "/nowhere holds no ledger",
        ),
        (
            vec!["backtest", "--since", "yesterday", "--data", "/nowhere"],
            2,
            "--since `yesterday` is no time",
        ),
        (
            vec!["backtest", "--since", "7d", "--data", "/nowhere"],
            4,
            "/nowhere holds no ledger",
        ),
    ] {
        let output = run(&[&["policy"], args.as_slice(), &["--policies", &policies]].concat());
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {error}");
        assert!(error.contains(says), "{args:?}: {error}");
    }
    for command in ["explain", "backtest"] {
        let help = String::from_utf8(run(&["policy", command, "--help"]).stdout).unwrap();
        assert!(help.contains("Examples:") && help.contains("--output"), "{help}");
    }
}

#[test]
fn the_ledger_is_judged_again_and_two_versions_are_compared() {
    let mut server = Server::new("policies = [\"built-in\"]\n");
    site(server.dir.path());
    server.start();
    let token = server.token("shipper", "test");
    let lines: String = (0..6).map(|n| line(n, "root", "203.0.113.5")).collect();
    let headers = [("content-type", "text/plain")];
    let (status, answer) = request(
        server.http,
        "POST",
        "/api/v1/ingest/linux",
        Some(&token),
        &headers,
        lines.as_bytes(),
    )
    .unwrap();
    assert_eq!(status, 200, "{answer}");
    server.settle(6);

    let path = |name: &str| server.dir.path().join(name).display().to_string();
    // Five within ten minutes, in the other version.
    fs::write(path("stricter.yml"), POLICIES.replace("{gte: 3}", "{gte: 5}")).unwrap();
    let (data, policies, stricter, reference) = (
        server.data(),
        path("policies.yml"),
        path("stricter.yml"),
        path("reference"),
    );
    let backtest = |more: &[&str]| -> Value {
        let base = [
            "policy",
            "backtest",
            "--data",
            &data,
            "--reference",
            &reference,
            "--output",
            "json",
        ];
        // The lines are of May, whatever the clock says; the findings are of their time.
        let output = run(&[&base, more, &["--since", "2000-01-01T00:00:00Z"]].concat());
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{error}");
        assert!(error.contains("quarantined=0"), "{error}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    // Beside the running server.
    let alone = backtest(&["--policies", &policies]);
    let of = |all: &Value, name: &str| -> Value {
        let rows = all["policies"].as_array().unwrap();
        rows.iter()
            .find(|r| r["name"] == name)
            .unwrap_or_else(|| panic!("{name}: {all}"))
            .clone()
    };
    let outside = of(&alone, "from_outside");
    assert_eq!(outside["findings"], 1, "{outside}");
    assert_eq!(outside["sample"][0]["message"], "root from 203.0.113.5");
    let days = outside["by_day"].as_object().unwrap();
    assert!(
        days.len() == 1 && days.keys().all(|d| d.ends_with("-05-04")),
        "{outside}"
    );
    assert_eq!(of(&alone, "three")["findings"], 1);

    let compared = backtest(&["--policies", &stricter, "--against", &policies]);
    let three = of(&compared, "three");
    assert_eq!(
        (&three["findings"], &three["against"]["findings"]),
        (&1.into(), &1.into()),
        "{three}"
    );
    assert_eq!(of(&compared, "from_outside")["against"]["changed"], 0);
    fs::write(path("never.yml"), POLICIES.replace("{gte: 3}", "{gte: 50}")).unwrap();
    let compared = backtest(&[
        "--policies",
        &path("never.yml"),
        "--against",
        &policies,
        "--rule",
        "three",
    ]);
    assert_eq!(compared["policies"].as_array().unwrap().len(), 1);
    let three = of(&compared, "three");
    assert_eq!(three["findings"], 0);
    assert_eq!(
        (&three["against"]["only_against"], &three["against"]["only_here"]),
        (&1.into(), &0.into())
    );
    assert_eq!(three["against"]["sample_only_against"][0]["account"], "root", "{three}");

    // A record of the ledger, explained, with what came before it.
    let args = [
        "policy",
        "explain",
        "three",
        "local.linux/0/4",
        "--data",
        &data,
        "--policies",
        &policies,
        "--output",
        "table",
    ];
    let output = run(&[&args[..], &["--reference", &reference]].concat());
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.starts_with("local.linux/0/4\nyes three"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(text.contains("counts 5, asked >= 3"), "{text}");
}
