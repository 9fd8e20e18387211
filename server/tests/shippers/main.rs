//! The endpoints that shippers know: Elasticsearch's `_bulk`, Splunk's HEC, OTLP; tokens by source, batches sent
//! again, back-pressure, and kills in the middle.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod bulk;
#[path = "../harness/mod.rs"]
mod harness;
mod hec;
mod otlp;

use std::io::Write as _;
use std::net::TcpStream;

use harness::{Answer, Server, await_some, connect, exchange};
use hec::CHANNEL;
use prost::Message as _;
use serde_json::{Value, json};

fn post(server: &Server, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    exchange(connect(server.http).unwrap(), "POST", path, headers, body).unwrap()
}

fn ask(server: &Server, method: &str, path: &str, authorization: &str) -> Answer {
    let headers = [("Authorization", authorization)];
    exchange(connect(server.http).unwrap(), method, path, &headers, b"").unwrap()
}

fn texts(server: &Server, source: &str) -> Vec<String> {
    let text = |r: model::RawRecord| String::from_utf8_lossy(&r.payload).into_owned();
    server.records(source).into_iter().map(text).collect()
}

#[test]
fn a_token_may_be_for_some_sources_alone() {
    let mut server = Server::new("");
    server.start();
    let two = format!("Bearer {}", server.token_for("two", &["crm", "erp"]));
    let one = format!("Bearer {}", server.token_for("one", &["crm"]));
    let headers = [("Authorization", &*two)];
    for (source, status) in [("crm", 200), ("erp", 200), ("hr", 403), ("docket", 400)] {
        assert_eq!(
            post(&server, &format!("/api/v1/ingest/{source}"), &headers, b"x").status,
            status
        );
    }
    let mixed = b"{\"create\":{\"_index\":\"hr\"}}\n{}\n{\"create\":{\"_index\":\"crm\"}}\n{}\n";
    let answer = post(&server, "/_bulk", &headers, mixed).json();
    assert_eq!(
        (
            &answer["items"][0]["create"]["status"],
            &answer["items"][1]["create"]["status"]
        ),
        (&json!(403), &json!(201))
    );
    assert_eq!(
        post(&server, "/hr/_bulk", &headers, b"{\"create\":{}}\n{}\n").status,
        403
    );
    let hec = |authorization: &str, body: &[u8]| {
        post(
            &server,
            "/services/collector",
            &[("Authorization", authorization)],
            body,
        )
        .status
    };
    assert_eq!(hec(&two, b"{\"event\":\"x\",\"index\":\"hr\"}"), 403);
    assert_eq!(hec(&two, b"{\"event\":\"x\"}"), 403, "`hec` is not one of its sources");
    assert_eq!(hec(&one, b"{\"event\":\"x\"}"), 200, "its one source");
    assert_eq!((server.records("crm").len(), server.records("hr").len()), (3, 0));
    let wrong = harness::run(&[
        "token",
        "create",
        "--role",
        "auditor",
        "--name",
        "a",
        "--source",
        "crm",
        "--data",
        &server.data(),
    ]);
    assert!(!wrong.status.success());
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("role shipper"));
}

/// One batch sent by a shipper that has its own way; whether it was acknowledged.
type Ship = fn(&Server, &str, usize, &[String]) -> Option<bool>;

fn shippers() -> [(&'static str, Ship); 4] {
    fn acknowledged(server: &Server, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Option<bool> {
        let answer = exchange(connect(server.http)?, "POST", path, headers, body)?;
        Some(answer.status == 200 && !answer.body.contains("\"errors\":true"))
    }
    [
        ("plain", |server, token, batch, lines| {
            let batch = batch.to_string();
            let headers = [("Authorization", token), ("X-Docket-Batch", &batch)];
            acknowledged(server, "/api/v1/ingest/plain", &headers, lines.join("\n").as_bytes())
        }),
        ("bulk", |server, token, batch, lines| {
            let item = |(n, line): (usize, &String)| format!("{{\"create\":{{\"_id\":\"{batch}-{n}\"}}}}\n{line}\n");
            let body: String = lines.iter().enumerate().map(item).collect();
            acknowledged(server, "/bulk/_bulk", &[("Authorization", token)], body.as_bytes())
        }),
        ("hec", |server, token, batch, lines| {
            let batch = batch.to_string();
            let headers = [("Authorization", token), ("X-Docket-Batch", &batch), CHANNEL];
            let body: String = lines.iter().map(|l| json!({"event": l}).to_string()).collect();
            let answer = exchange(
                connect(server.http)?,
                "POST",
                "/services/collector",
                &headers,
                body.as_bytes(),
            )?;
            let id = answer.json()["ackId"].as_u64()?;
            let asked = format!("{{\"acks\":[{id}]}}");
            let answer = exchange(
                connect(server.http)?,
                "POST",
                "/services/collector/ack",
                &headers,
                asked.as_bytes(),
            )?;
            answer.json()["acks"][id.to_string()].as_bool()
        }),
        ("otlp", |server, token, batch, lines| {
            let batch = batch.to_string();
            let headers = [
                ("Authorization", token),
                ("X-Docket-Batch", &batch),
                ("Content-Type", "application/x-protobuf"),
            ];
            acknowledged(
                server,
                "/v1/logs",
                &headers,
                &otlp::export_of("s", lines).encode_to_vec(),
            )
        }),
    ]
}

#[test]
fn a_batch_sent_again_counts_once() {
    let mut server = Server::new("");
    server.start();
    let token = format!("Bearer {}", server.token("shipper", "s"));
    let lines: Vec<String> = (0..50).map(|i| format!("line {}", i % 5)).collect();
    for (source, ship) in shippers() {
        assert_eq!(ship(&server, &token, 1, &lines), Some(true), "{source}");
        assert_eq!(ship(&server, &token, 1, &lines), Some(true), "{source}");
        // The same lines as another batch are another batch's.
        assert_eq!(ship(&server, &token, 2, &lines), Some(true), "{source}");
        await_some("the account", || (server.account(source) == (150, 50)).then_some(()));
        assert_eq!(server.records(source).len(), 150, "the ledger keeps what came");
    }
    let json = [("Authorization", &*token), ("X-Docket-Batch", "j1")];
    for _ in 0..2 {
        post(&server, "/api/v1/ingest/json", &json, b"{\"n\": 1}\n{\"n\": 2}\n");
    }
    await_some("the account", || (server.account("json") == (4, 2)).then_some(()));
    let headers = [("Authorization", &*token), ("X-Docket-Batch", "a b")];
    assert_eq!(post(&server, "/api/v1/ingest/plain", &headers, b"x").status, 400);
}

#[test]
fn kills_in_the_middle_lose_nothing_that_was_acknowledged() {
    const BATCHES: usize = 100;
    const LINES: usize = 100;
    let mut server = Server::new("");
    server.start();
    let token = format!("Bearer {}", server.token("shipper", "s"));
    let line = |batch: usize, n: usize| format!("batch {batch} line {n}");
    // Each shipper sends its batches in order, and each again until it is acknowledged; the server is killed at
    // points that no batch knows of.
    let done = std::sync::atomic::AtomicUsize::new(0);
    let http = server.http;
    let dir = std::sync::Mutex::new(&mut server);
    std::thread::scope(|scope| {
        for (_, ship) in shippers() {
            let (token, done) = (&token, &done);
            let mut shipper = Server::new("");
            shipper.http = http;
            scope.spawn(move || {
                for batch in 0..BATCHES {
                    let lines: Vec<String> = (0..LINES).map(|n| line(batch, n)).collect();
                    await_some("a batch to be acknowledged", || {
                        (ship(&shipper, token, batch, &lines) == Some(true)).then_some(())
                    });
                    done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                }
            });
        }
        for kill in 1..=3 {
            await_some("some batches", || {
                (done.load(std::sync::atomic::Ordering::Relaxed) >= kill * BATCHES).then_some(())
            });
            let mut server = dir.lock().unwrap();
            server.kill();
            server.start();
        }
    });
    for (source, _) in shippers() {
        let mut expected: Vec<String> = (0..BATCHES).flat_map(|b| (0..LINES).map(move |n| line(b, n))).collect();
        let mut kept = texts(&server, source);
        if source == "otlp" {
            for text in &mut kept {
                let record: Value = serde_json::from_str(text).unwrap();
                *text = record["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]["body"]["stringValue"]
                    .as_str()
                    .unwrap()
                    .to_owned();
            }
        }
        let received = kept.len() as u64;
        await_some("each record to count once", || {
            (server.account(source) == (received, received - (BATCHES * LINES) as u64)).then_some(())
        });
        kept.sort();
        kept.dedup();
        expected.sort();
        assert_eq!(kept, expected, "{source}");
    }
    assert_eq!(server.stop(), Some(0));
    assert!(harness::run(&["verify", "--data", &server.data()]).status.success());
}

#[test]
fn where_memory_is_taken_shippers_are_told_to_come_again() {
    let mut server = Server::new("");
    server.start();
    let token = server.token("shipper", "s");
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", &*bearer)];
    // Nine bodies of nearly the largest size that do not end: more than may be held (256 MiB). The server gives a body
    // that pauses half a minute up, so that each attempt has its own.
    let length = 32 << 20;
    let chunk = vec![b'x'; length - 1];
    let http = server.http;
    let stall = || -> Vec<TcpStream> {
        let head = format!(
            "POST /api/v1/ingest/app HTTP/1.1\r\nHost: docket\r\nAuthorization: {bearer}\r\nContent-Length: {length}\r\n\r\n"
        );
        let one = |_| {
            let mut stream = connect(http).unwrap();
            stream.write_all(head.as_bytes()).unwrap();
            let _ = stream.write_all(&chunk);
            stream
        };
        (0..9).map(one).collect()
    };
    let body = vec![b'y'; 1 << 20];
    for (path, status) in [
        ("/api/v1/ingest/app", 503),
        ("/_bulk", 429),
        ("/services/collector/raw", 503),
        ("/v1/logs", 503),
    ] {
        let headers = [headers[0], ("Content-Type", "application/json")];
        let refused = await_some("a refusal", || {
            let _stalled = stall();
            let answer = exchange(connect(server.http)?, "POST", path, &headers, &vec![b'y'; 31 << 20])?;
            (answer.status == status).then_some(answer)
        });
        assert!(refused.head.contains("retry-after: 1"), "{refused:?}");
    }
    await_some("room again", || {
        let answer = exchange(connect(server.http)?, "POST", "/api/v1/ingest/app", &headers, &body)?;
        (answer.status == 200).then_some(())
    });
    assert_eq!(server.records("app").len(), 1);
}
