//! A server whose judge is behind is stopped, killed, and goes on: nothing is lost, nothing is there twice.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod harness;

use harness::crm::{line, search, server};
use serde_json::Value;

/// Records that wait for the judge before the server is stopped.
const BEHIND: u64 = 15_000;
/// Lines of one request; every tenth is one that was sent before.
const LINES: usize = 5_000;
const REQUESTS_MAX: usize = 40;

#[test]
fn a_backlog_outlives_stops_and_kills() {
    let mut server = server();
    let token = server.token("shipper", "crm-1");
    let mut number = 0;
    let mut send = |address| {
        let lines: Vec<String> = (0..LINES)
            .map(|n| {
                number += usize::from(n % 10 != 9);
                let time = format!(
                    "2026-03-02T{:02}:{:02}:{:02}Z",
                    number / 3600 % 24,
                    number / 60 % 60,
                    number % 60
                );
                let result = if number % 3 == 0 { "failure" } else { "success" };
                line(&time, &format!("user-{number}"), "customers", result)
            })
            .collect();
        let body = lines.join("\n");
        let sent = harness::request(
            address,
            "POST",
            "/api/v1/ingest/crm",
            Some(&token),
            &[],
            body.as_bytes(),
        );
        assert_eq!(sent.unwrap().0, 200);
    };
    let mut sent = 0;
    // Stopped, then killed: each time far behind.
    for is_killed in [false, true] {
        let behind = (0..REQUESTS_MAX).any(|_| {
            send(server.http);
            sent += 1;
            server
                .positions()
                .is_some_and(|(durable, judged, _)| durable > judged + BEHIND)
        });
        assert!(behind, "the judge is never {BEHIND} records behind");
        match is_killed {
            true => server.kill(),
            false => assert_eq!(server.stop(), Some(0)),
        }
        server.start();
    }
    let all = (sent * LINES) as u64;
    server.settle(all);
    let repeated = all / 10;
    assert_eq!(server.account("crm"), (all, repeated));
    let (rows, _) = search(
        &server,
        &["aggregate", "source:crm", "--distinct", "actor", "--by", "status"],
    );
    let of = |status: &str, name: &str| {
        let row = rows.iter().find(|r| r["status"] == status).unwrap();
        row[name].as_u64().unwrap()
    };
    for status in ["success", "failure"] {
        // Each account acts once.
        assert_eq!(of(status, "count"), of(status, "distinct actor"));
    }
    assert_eq!(of("success", "count") + of("failure", "count"), all - repeated);
    // The ledger itself has each as it was sent.
    let (found, _) = search(&server, &["aggregate", "source:crm actor:user-1", "--by", "actor"]);
    assert_eq!(found.first().map(|r: &Value| r["count"].clone()), Some(1.into()));
    server.stop();
}
