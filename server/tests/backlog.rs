//! A server whose judge is behind is stopped, killed, and goes on: nothing is lost, nothing is there twice.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod harness;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use harness::Server;
use harness::crm::{line, search};

/// Records that wait for the judge at least when the server is stopped, most of them not whole.
const BEHIND: u64 = 10_000;
/// Lines of one request; every tenth is one that was sent before.
const LINES: usize = 5_000;
/// Requests that come while the judge cannot write.
const REQUESTS: usize = 4;
/// How long it cannot, at a stretch: it gives up where it cannot for half a minute.
const HELD: Duration = Duration::from_secs(15);
/// One account of so many acts twice; every other one once, however often its record is sent.
const TWICE: usize = 500;

/// Beside the built-in policies, which take their time: whose record is judged twice has acted twice.
const POLICY: &str = r#"
title: Acted twice
id: 5a3c1f0e-8d54-4d6e-9a37-0b1c2d3e4f50
name: acted_twice
status: stable
level: medium
correlation:
  type: event_count
  rules: [acted]
  group-by: [actor.user.name]
  timespan: 1h
  condition: {gte: 2}
docket:
  clauses: [XX-01]
  dedup: {by: [$event.actor.user.name], window: 24h}
  message: "{event.actor.user.name} acted twice"
---
title: Acted
name: acted
logsource: {product: ocsf}
detection:
  act: {docket.source: crm}
  condition: act
docket: {silent: true}
"#;

fn server() -> Server {
    let mut server = Server::new("policies = [\"built-in\", \"policy.yml\"]\n[sources.crm]\nformat = \"web_audit\"\n");
    std::fs::write(server.dir.path().join("policy.yml"), POLICY).unwrap();
    server.start();
    server
}

/// Writes to what the judge writes to, so that it waits.
struct Held {
    store: alert::Store,
    since: Instant,
}

impl Held {
    fn new(server: &Server) -> Held {
        let store = alert::Store::open(server.dir.path().join("data").join(alert::FILE_NAME)).unwrap();
        store.hold().unwrap();
        Held {
            store,
            since: Instant::now(),
        }
    }

    /// Lets the judge write once, before it gives up.
    fn renew(&mut self) {
        if self.since.elapsed() > HELD {
            self.store.release().unwrap();
            self.store.hold().unwrap();
            self.since = Instant::now();
        }
    }
}

/// Who has acted by then twice.
fn acted_twice(number: usize) -> BTreeSet<String> {
    (TWICE..number).step_by(TWICE).map(|n| format!("user-{n}")).collect()
}

#[test]
fn a_backlog_outlives_stops_and_kills() {
    let mut server = server();
    let token = server.token("shipper", "crm-1");
    let mut number = 0;
    // Long, so that most groups do not wait whole.
    let name = "customers/".repeat(60);
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
                let account = number - usize::from(number > 1 && number % TWICE == 1);
                line(&time, &format!("user-{account}"), &name, result)
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
    // Each time far behind: stopped, killed, and left to go on.
    for end in ["stopped", "killed", "goes on"] {
        let mut held = Held::new(&server);
        for _ in 0..REQUESTS {
            send(server.http);
            sent += 1;
            held.renew();
        }
        // The index does not wait.
        let behind = harness::await_some("everything to be searchable", || {
            held.renew();
            let (durable, judged, searchable) = server.positions()?;
            (searchable >= durable).then_some(durable - judged)
        });
        assert!(behind > BEHIND, "{end}: {behind}");
        drop(held);
        match end {
            "stopped" => assert_eq!(server.stop(), Some(0)),
            "killed" => server.kill(),
            _ => break,
        }
        server.start();
    }
    let all = (sent * LINES) as u64;
    server.settle(all);
    // The judge had columns made again.
    let (_, metrics) = harness::get(server.http, "/metrics", None).unwrap();
    let made_again = metrics
        .lines()
        .find_map(|l| l.strip_prefix("docket_judge_made_again_total ")?.parse::<u64>().ok());
    assert!(
        made_again > Some(1_000),
        "{made_again:?} records were made columns of again"
    );
    let repeated = all / 10;
    assert_eq!(server.account("crm"), (all, repeated));
    let twice = acted_twice(number);
    assert!(twice.len() > 20, "{twice:?}");
    // The index has each as often as it was, …
    let (rows, _) = search(
        &server,
        &["aggregate", "source:crm", "--distinct", "actor", "--stats", "time"],
    );
    assert_eq!(rows[0]["count"], all - repeated, "{rows:?}");
    assert_eq!(
        rows[0]["distinct actor"],
        all - repeated - twice.len() as u64,
        "{rows:?}"
    );
    // … and the judge found those who acted twice, and nobody whose record came twice.
    let (alerts, _) = search(&server, &["alert", "list", "--clause", "XX-01", "--limit", "1000"]);
    let found: Vec<&str> = alerts.iter().filter_map(|a| a["finding"]["account"].as_str()).collect();
    assert_eq!(found.len(), twice.len(), "{found:?}");
    assert_eq!(found.into_iter().map(str::to_owned).collect::<BTreeSet<_>>(), twice);
    server.stop();
}
