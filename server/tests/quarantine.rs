//! Records that no parser understood: searched by reason, and normalized again once the parser is mended.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod harness;

use std::fs;

use harness::{Server, request, rows, run};
use serde_json::Value;

fn ship(server: &Server, token: &str, source: &str, body: &str) {
    let path = format!("/api/v1/ingest/{source}");
    let (status, answer) = request(
        server.http,
        "POST",
        &path,
        Some(token),
        &[("content-type", "text/plain")],
        body.as_bytes(),
    )
    .unwrap();
    assert_eq!(status, 200, "{answer}");
}

fn search(server: &Server, query: &str) -> Vec<String> {
    rows(&[
        "search",
        "--data",
        &server.data(),
        query,
        "--sort",
        "oldest",
        "--output",
        "ndjson",
    ])
    .iter()
    .map(|h| h["record"].as_str().unwrap().to_owned())
    .collect()
}

/// Before, after and how many.
fn replay(server: &Server, args: &[&str]) -> Vec<(String, String, u64)> {
    let data = server.data();
    let rows = rows(&[&["replay", "--data", &data, "--output", "ndjson"], args].concat());
    let text = |v: &Value| v.as_str().unwrap().to_owned();
    rows.iter()
        .map(|r| (text(&r["before"]), text(&r["after"]), r["records"].as_u64().unwrap()))
        .collect()
}

#[test]
fn quarantined_records_are_found_by_reason_and_normalized_again() {
    // The operator named the wrong format.
    let mut server = Server::new("[sources.app]\nformat = \"web_audit\"\n");
    server.start();
    let token = server.token("shipper", "test");
    ship(
        &server,
        &token,
        "app",
        "{\"time\": \"2026-05-04T10:00:00+08:00\", \"user\": \"eve\n",
    );
    let line = "<86>May  4 10:00:00 web-9 sshd[7]: Accepted password for eve from 10.30.0.5 port 2 ssh2\n";
    ship(&server, &token, "app", line);
    ship(&server, &token, "linux", line);
    server.settle(4);

    assert_eq!(
        search(&server, "label:\"quarantined:json_truncated\""),
        ["local.app/0/0"]
    );
    let quarantined = search(&server, "source:app AND label:quarantined*");
    assert_eq!(quarantined, ["local.app/0/0", "local.app/0/1"]);
    let source = &rows(&["source", "list", "--data", &server.data(), "--output", "ndjson"])[0];
    assert_eq!((&source["source"], &source["quarantined"]), (&"app".into(), &2.into()));
    assert_eq!(source["reasons"]["json_truncated"], 1, "{source}");
    let minutes = rows(&["source", "show", "app", "--data", &server.data(), "--output", "ndjson"]);
    assert_eq!(minutes.iter().map(|m| m["received"].as_u64().unwrap()).sum::<u64>(), 2);
    // As it is, nothing would change.
    assert!(
        replay(&server, &["--quarantined"])
            .iter()
            .all(|(before, after, _)| before == after)
    );
    assert_eq!(server.stop(), Some(0), "{}", server.log());

    let path = server.dir.path().join("docket.toml");
    let config = fs::read_to_string(&path).unwrap();
    fs::write(&path, config.replace("web_audit", "linux_auth")).unwrap();
    server.start();
    let mended = replay(&server, &["--quarantined", "--source", "app"]);
    assert_eq!(mended.iter().map(|(.., n)| n).sum::<u64>(), 2, "{mended:?}");
    assert!(
        mended
            .iter()
            .any(|(before, after, n)| before != "stored" && after == "stored" && *n == 1),
        "{mended:?}"
    );
    let all = replay(&server, &["--from", "0"]);
    assert!(
        all.iter()
            .any(|(before, after, n)| before == "stored" && after == "stored" && *n >= 2),
        "{all:?}"
    );
    assert!(
        replay(&server, &["--from", "2000-01-01T00:00:00Z", "--to", "1"])
            .iter()
            .map(|(.., n)| n)
            .sum::<u64>()
            == 1
    );
    assert!(replay(&server, &["--from", "1h", "--source", "nobody"]).is_empty());
    let wrong = run(&["replay", "--data", &server.data(), "--from", "yesterday"]);
    assert_eq!(wrong.status.code(), Some(2));
}

const POLICY: &str = "title: Export
id: 0a6d6d38-3f3b-4f7e-8f43-3a8c2c1de5a1
status: test
level: high
logsource: {product: ocsf, category: http_activity}
detection:
  selection: {http_request.url.path: /export}
  condition: selection
";

/// The account of `app`: received, stored, quarantined.
fn account(server: &Server) -> (u64, u64, u64) {
    let list = rows(&["source", "list", "--data", &server.data(), "--output", "ndjson"]);
    let app = list.iter().find(|s| s["source"] == "app").unwrap();
    let n = |name: &str| app[name].as_u64().unwrap();
    assert_eq!(
        n("received"),
        n("stored") + n("quarantined") + n("deduplicated"),
        "{app}"
    );
    (n("received"), n("stored"), n("quarantined"))
}

#[test]
fn quarantined_records_are_judged_and_found_once_the_setting_is_mended() {
    let mut server = Server::new("policies = [\"policy.yml\"]\n[sources.app]\nformat = \"web_audit\"\n");
    fs::write(server.dir.path().join("policy.yml"), POLICY).unwrap();
    server.start();
    let token = server.token("shipper", "test");
    let line = |n: u32| {
        format!("10.30.0.{n} - eve [22/Nov/2026:02:42:4{n} +0000] \"GET /export HTTP/1.1\" 200 4 \"-\" \"curl\"\n")
    };
    ship(&server, &token, "app", &(1..=3).map(line).collect::<String>());
    ship(&server, &token, "app", "no request at all\n");
    server.settle(5);
    let alerts = |server: &Server| rows(&["alert", "list", "--output", "ndjson", "--data", &server.data()]);
    assert_eq!((account(&server), alerts(&server).len()), ((4, 0, 4), 0));
    assert_eq!(server.stop(), Some(0), "{}", server.log());

    // With the server stopped nobody knows its settings.
    let apply = [
        "replay",
        "--quarantined",
        "--source",
        "app",
        "--apply",
        "--output",
        "ndjson",
        "--data",
    ];
    let data = server.data();
    let refused = run(&[&apply[..], &[&data]].concat());
    assert_eq!(
        refused.status.code(),
        Some(4),
        "{}",
        String::from_utf8_lossy(&refused.stderr)
    );

    let path = server.dir.path().join("docket.toml");
    let config = fs::read_to_string(&path).unwrap();
    fs::write(&path, config.replace("web_audit", "access_log")).unwrap();
    server.start();
    // Looking changes nothing.
    let would = rows(&["replay", "--quarantined", "--data", &data, "--output", "ndjson"]);
    let mended: Vec<_> = would.iter().filter(|r| r["after"] == "stored").collect();
    assert!(mended.iter().all(|r| r["sample"]["class_uid"] == 4002), "{would:?}");
    let sum = mended.iter().map(|r| r["records"].as_u64().unwrap()).sum::<u64>();
    assert_eq!((account(&server), sum), ((4, 0, 4), 3));

    let done = &rows(&[&apply[..], &[&data]].concat())[0];
    assert_eq!(
        (done["renormalized"].as_u64(), done["done"].as_bool()),
        (Some(3), Some(true)),
        "{done}"
    );
    // Killed right behind it: nothing twice.
    server.kill();
    server.start();
    server.settle(8);
    assert_eq!(account(&server), (4, 3, 1));
    let left = search(&server, "source:app AND label:quarantined*");
    assert_eq!(left, ["local.app/0/3"]);
    assert_eq!(search(&server, "source:app").len(), 4);
    assert_eq!(search(&server, "class:4002 AND source:app").len(), 3);
    assert_eq!(alerts(&server).len(), 3);
    let again = &rows(&[&apply[..], &[&data]].concat())[0];
    assert_eq!(
        (again["records"].as_u64(), again["renormalized"].as_u64()),
        (Some(1), Some(0))
    );
    server.settle(9);
    assert_eq!((account(&server), alerts(&server).len()), ((4, 3, 1), 3));
    // Who, when and how many is on record.
    let acts = rows(&[
        "search",
        "source:docket AND unmapped.act:renormalize",
        "--output",
        "ndjson",
        "--data",
        &data,
    ]);
    let told: Vec<_> = acts
        .iter()
        .map(|a| a["event"]["unmapped"]["detail"]["records"].as_u64().unwrap())
        .collect();
    assert_eq!(told, [0, 3]);
    assert!(
        acts[0]["event"]["actor"]["user"]["name"]
            .as_str()
            .unwrap()
            .starts_with("local:")
    );
    // An auditor changes nothing.
    let auditor = server.token("auditor", "a");
    let (status, body) = request(
        server.http,
        "POST",
        "/api/v1/renormalize",
        Some(&auditor),
        &[("content-type", "application/json")],
        b"{}",
    )
    .unwrap();
    assert_eq!(status, 403, "{body}");

    // The index, built anew from the ledger, is the same.
    assert_eq!(server.stop(), Some(0), "{}", server.log());
    fs::remove_dir_all(std::path::Path::new(&data).join("index")).unwrap();
    server.start();
    server.settle(9);
    assert_eq!(search(&server, "source:app AND label:quarantined*"), ["local.app/0/3"]);
    assert_eq!(search(&server, "source:app").len(), 4);
    assert_eq!((account(&server), alerts(&server).len()), ((4, 3, 1), 3));
}
