//! `received = stored + quarantined + deduplicated`, by source and minute, whatever comes by whichever listener, with
//! kills in the middle; checked against the ledger's leaves.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod harness;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{TcpStream, UdpSocket};

use harness::{Server, await_some, free_port, get, request, rows};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;

const SOURCES: [&str; 4] = ["web", "bulk", "stream", "packets"];
const RECORD_BYTES: usize = 2048;

/// What is sent in one go.
#[derive(Clone, Debug)]
enum Sent {
    /// Lines over HTTP, and whether the same batch is sent again.
    Http(Vec<Line>, bool),
    /// Items of a `_bulk` request with their ids.
    Bulk(Vec<(Line, u8)>),
    /// Lines of a syslog connection.
    Tcp(Vec<Line>),
    /// A datagram each.
    Udp(Vec<Line>),
    /// A request that is refused: too long a record, or a source that the token is not for.
    Refused(bool),
    /// `kill -9`, and a start.
    Kill,
}

#[derive(Clone, Copy, Debug)]
enum Line {
    /// An audit record with this id.
    Audit(u8),
    /// Syslog without an id.
    Login(u8),
    /// JSON that breaks off.
    Broken,
    /// Two objects in one line.
    Several,
    /// Longer than is kept whole.
    Long,
}

impl Line {
    fn text(self) -> String {
        match self {
            Line::Audit(n) => format!(
                r#"{{"time": "2026-05-04T10:00:00+08:00", "request_id": "r-{n}", "system": "crm", "user": "eve", "action": "view"}}"#
            ),
            Line::Login(n) => {
                format!(
                    "<86>May  4 10:00:{:02} web-9 sshd[7]: Accepted password for eve from 10.30.0.5 port 2 ssh2",
                    n % 60
                )
            }
            Line::Broken => r#"{"time": "2026-05-04T10:00:00+08:00", "user": "#.to_owned(),
            Line::Several => r#"{"user": "a", "action": "view"}{"user": "b", "action": "view"}"#.to_owned(),
            Line::Long => format!("<86>May  4 10:00:00 web-9 app[7]: {}", "x".repeat(2 * RECORD_BYTES)),
        }
    }
}

fn line() -> impl Strategy<Value = Line> {
    prop_oneof![
        4 => (0u8..6).prop_map(Line::Audit),
        3 => any::<u8>().prop_map(Line::Login),
        2 => Just(Line::Broken),
        2 => Just(Line::Several),
    ]
}

fn sent() -> impl Strategy<Value = Sent> {
    let lines = || prop::collection::vec(line(), 1..8);
    let stream = || prop::collection::vec(prop_oneof![9 => line(), 1 => Just(Line::Long)], 1..8);
    prop_oneof![
        3 => (lines(), any::<bool>()).prop_map(|(l, again)| Sent::Http(l, again)),
        2 => prop::collection::vec((line(), 0u8..4), 1..8).prop_map(Sent::Bulk),
        2 => stream().prop_map(Sent::Tcp),
        2 => lines().prop_map(Sent::Udp),
        1 => any::<bool>().prop_map(Sent::Refused),
    ]
}

struct World {
    server: Server,
    token: String,
    tcp: u16,
    udp: u16,
    batches: u32,
    /// Requests refused since the last start, by source.
    refused: BTreeMap<&'static str, u64>,
}

impl World {
    fn new() -> World {
        let (tcp, udp) = (free_port(), free_port());
        let mut server = Server::new(&format!(
            "policies = []\n[limits]\nrecord_bytes = {RECORD_BYTES}\n\
             [[syslog]]\nlisten = \"127.0.0.1:{tcp}\"\nprotocol = \"tcp\"\nsource = \"stream\"\n\
             [[syslog]]\nlisten = \"127.0.0.1:{udp}\"\nprotocol = \"udp\"\nsource = \"packets\"\n"
        ));
        server.start();
        let token = server.token_for("test", &["web", "bulk"]);
        World {
            server,
            token,
            tcp,
            udp,
            batches: 0,
            refused: BTreeMap::new(),
        }
    }

    fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> u16 {
        let token = Some(self.token.as_str());
        request(self.server.http, "POST", path, token, headers, body.as_bytes())
            .unwrap()
            .0
    }

    fn send(&mut self, sent: &Sent) {
        let texts = |lines: &[Line]| lines.iter().map(|l| l.text()).collect::<Vec<_>>();
        match sent {
            Sent::Http(lines, again) => {
                self.batches += 1;
                let batch = format!("b-{}", self.batches);
                for _ in 0..1 + usize::from(*again) {
                    let headers = [("X-Docket-Batch", &*batch), ("Content-Type", "text/plain")];
                    assert_eq!(self.post("/api/v1/ingest/web", &headers, &texts(lines).join("\n")), 200);
                }
            }
            Sent::Bulk(items) => {
                let body: String = items
                    .iter()
                    .map(|(line, id)| format!("{{\"create\": {{\"_id\": \"i-{id}\"}}}}\n{}\n", line.text()))
                    .collect();
                let headers = [("Content-Type", "application/x-ndjson")];
                assert_eq!(self.post("/bulk/_bulk", &headers, &body), 200);
            }
            Sent::Tcp(lines) => {
                let before = self.server.records("stream").len();
                let mut stream = TcpStream::connect(("127.0.0.1", self.tcp)).unwrap();
                stream.write_all((texts(lines).join("\n") + "\n").as_bytes()).unwrap();
                drop(stream);
                self.arrived("stream", before + lines.len());
            }
            Sent::Udp(lines) => {
                let before = self.server.records("packets").len();
                let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
                for text in texts(lines) {
                    socket.send_to(text.as_bytes(), ("127.0.0.1", self.udp)).unwrap();
                }
                self.arrived("packets", before + lines.len());
            }
            Sent::Refused(large) => {
                let (source, body) = if *large {
                    ("web", Line::Long)
                } else {
                    ("packets", Line::Login(0))
                };
                let status = self.post(&format!("/api/v1/ingest/{source}"), &[], &body.text());
                assert_eq!(status, if *large { 413 } else { 403 });
                *self.refused.entry(source).or_default() += 1;
            }
            Sent::Kill => {
                self.server.kill();
                self.server.start();
                self.refused.clear();
            }
        }
    }

    fn arrived(&self, source: &str, records: usize) {
        await_some("what was sent to be in the ledger", || {
            (self.server.records(source).len() >= records).then_some(())
        });
    }

    /// The books of each source are those of the ledger.
    fn audit(&self) {
        let server = &self.server;
        let (durable, ..) = server.positions().unwrap();
        server.settle(durable);
        let listed = rows(&["source", "list", "--data", &server.data(), "--output", "ndjson"]);
        let metrics = get(server.http, "/metrics", None).unwrap().1;
        for source in SOURCES {
            let leaves = server.records(source);
            let none = Value::default();
            let row = listed.iter().find(|r| r["source"] == source).unwrap_or(&none);
            let n = |name: &str| row[name].as_u64().unwrap_or(0);
            assert_eq!(n("received"), leaves.len() as u64, "{source}: {row}");
            let parts = ["stored", "quarantined", "deduplicated"];
            assert_eq!(
                parts.iter().map(|p| n(p)).sum::<u64>(),
                n("received"),
                "{source}: {row}"
            );
            let reasons = row["reasons"].as_object().into_iter().flatten();
            assert_eq!(
                reasons.filter_map(|(_, n)| n.as_u64()).sum::<u64>(),
                n("quarantined"),
                "{row}"
            );
            let refused = row["refused"].as_object().into_iter().flatten();
            let refused: u64 = refused.filter_map(|(_, n)| n.as_u64()).sum();
            assert_eq!(refused, self.refused.get(source).copied().unwrap_or(0), "{row}");
            if leaves.is_empty() {
                continue;
            }
            // By minute of receipt, as the leaves have it.
            let mut expected: BTreeMap<String, u64> = BTreeMap::new();
            for leaf in &leaves {
                let minute = model::Millis(leaf.received_at.0.div_euclid(60_000) * 60_000);
                *expected.entry(minute.to_string()).or_default() += 1;
            }
            let minutes = rows(&["source", "show", source, "--data", &server.data(), "--output", "ndjson"]);
            for m in &minutes {
                let n = |name: &str| m[name].as_u64().unwrap();
                assert_eq!(n("received"), n("stored") + n("quarantined") + n("deduplicated"), "{m}");
            }
            let told: BTreeMap<String, u64> = minutes
                .iter()
                .map(|m| (m["start"].as_str().unwrap().to_owned(), m["received"].as_u64().unwrap()))
                .collect();
            assert_eq!(told, expected, "{source}");
            for (outcome, count) in parts.iter().map(|p| (p, n(p))) {
                let line = format!("docket_records_total{{source=\"{source}\",outcome=\"{outcome}\"}} {count}");
                assert!(metrics.lines().any(|l| l == line), "{line} is not in:\n{metrics}");
            }
        }
    }
}

#[test]
fn the_books_are_the_ledgers() {
    let mut runner = TestRunner::new_with_rng(
        Config {
            cases: 3,
            failure_persistence: None,
            max_shrink_iters: 0,
            ..Config::default()
        },
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let strategy = (
        prop::collection::vec(sent(), 6..14),
        prop::collection::vec(sent(), 4..10),
    );
    runner
        .run(&strategy, |(before, after)| {
            let mut world = World::new();
            before.iter().for_each(|s| world.send(s));
            world.send(&Sent::Kill);
            after.iter().for_each(|s| world.send(s));
            world.audit();
            // Nothing changes by a stop and a start.
            assert_eq!(world.server.stop(), Some(0), "{}", world.server.log());
            world.server.start();
            world.refused.clear();
            world.audit();
            Ok(())
        })
        .unwrap();
}
