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
