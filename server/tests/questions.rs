//! Questions that take long: how far they are, and how they are stopped. Orders by any field.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod harness;

use std::io::Write as _;
use std::process::Stdio;

use harness::crm::{line, search, send, server};
use harness::{Server, await_some, docket};
use serde_json::{Value, json};

/// Records of which each has to be read from the ledger for the question below.
const MANY: usize = 30_000;
/// A piece of text that is in each line's words and in no line as it stands.
const LONG: &str = "raw:~\"li na\"";

fn many() -> Server {
    let server = server();
    let token = server.token("shipper", "crm-1");
    for part in 0..MANY / 10_000 {
        let lines: Vec<String> = (0..10_000)
            .map(|n| {
                line(
                    &format!("2026-03-02T09:{:02}:{:02}Z", n / 60 % 60, n % 60),
                    "li.na",
                    &format!("{part}-{n}"),
                    "success",
                )
            })
            .collect();
        let body = lines.join("\n");
        let sent = harness::request(
            server.http,
            "POST",
            "/api/v1/ingest/crm",
            Some(&token),
            &[],
            body.as_bytes(),
        );
        assert_eq!(sent.unwrap().0, 200);
    }
    server.settle(MANY as u64);
    server
}

/// Asks in a thread, under a name.
fn ask(
    server: &Server,
    token: &str,
    id: &'static str,
    method: &'static str,
    path: String,
    body: String,
) -> std::thread::JoinHandle<(u16, String)> {
    let (address, token) = (server.http, token.to_owned());
    std::thread::spawn(move || {
        let headers = [("X-Docket-Query", id), ("Content-Type", "application/json")];
        harness::request(address, method, &path, Some(&token), &headers, body.as_bytes()).unwrap()
    })
}

#[test]
fn long_questions_tell_how_far_they_are_and_can_be_stopped() {
    let mut server = many();
    let (auditor, other) = (server.token("auditor", "ann"), server.token("auditor", "ben"));
    let call = |method: &str, path: &str, token: &str| {
        let (status, body) = harness::request(server.http, method, path, Some(token), &[], b"").unwrap();
        (status, serde_json::from_str::<Value>(&body).unwrap())
    };
    let q = LONG.replace(' ', "%20").replace('"', "%22");
    let counted = json!({"q": LONG, "aggs": [{"terms": {"field": "user"}}]}).to_string();
    let from = "2026-03-01T00:00:00Z";
    let questions = [
        (
            "ann-search-1",
            "GET",
            format!("/api/v1/search?q={q}&exact=true"),
            String::new(),
        ),
        ("ann-aggregate-1", "POST", "/api/v1/aggregate".to_owned(), counted),
        (
            "ann-compare-1",
            "POST",
            "/api/v1/compare".to_owned(),
            json!({"q": LONG, "by": "user", "from": from}).to_string(),
        ),
        (
            "ann-timeline-1",
            "GET",
            format!("/api/v1/timeline?host=nothing&q={q}"),
            String::new(),
        ),
    ];
    for (id, method, path, body) in questions {
        // A timeline of nothing ends at once.
        if id.contains("timeline") {
            let (status, body) = ask(&server, &auditor, id, method, path, body).join().unwrap();
            assert_eq!(status, 200, "{body}");
            continue;
        }
        let asked = ask(&server, &auditor, id, method, path, body);
        let at = format!("/api/v1/queries/{id}");
        // It is under way, and told of alone to who asked.
        let read = await_some("the question's progress", || {
            let (status, question) = call("GET", &at, &auditor);
            question["read_from_ledger"]
                .as_u64()
                .filter(|n| status == 200 && *n > 0)
        });
        assert!(read > 0);
        assert_eq!(call("GET", &at, &other).0, 404);
        assert_eq!(call("DELETE", &at, &other).0, 404);
        let (_, list) = call("GET", "/api/v1/queries", &auditor);
        assert_eq!(list["queries"][0]["id"], id);
        let (status, reached) = call("DELETE", &at, &auditor);
        assert_eq!((status, &reached["cancelled"]), (200, &json!(true)), "{reached}");
        assert!(reached["read_from_ledger"].as_u64().unwrap() < MANY as u64, "{reached}");
        let (status, body) = asked.join().unwrap();
        assert_eq!(status, 409, "{body}");
        assert!(
            body.contains("cancelled") && body.contains("events were looked through"),
            "{body}"
        );
        assert_eq!(call("GET", &at, &auditor).0, 404);
    }
    await_some("the acts", || {
        let (acts, _) = search(&server, &["search", "unmapped.act:search.cancel"]);
        (acts.len() == 3).then_some(())
    });

    // Who goes away stops the question, too.
    let gone = "ann-gone-1";
    let mut stream = harness::connect(server.http).unwrap();
    write!(
        stream,
        "GET /api/v1/search?q={q}&exact=true HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {auditor}\r\nX-Docket-Query: {gone}\r\n\r\n"
    )
    .unwrap();
    let at = format!("/api/v1/queries/{gone}");
    await_some("the question to begin", || {
        (call("GET", &at, &auditor).0 == 200).then_some(())
    });
    drop(stream);
    await_some("the question to end", || {
        (call("GET", &at, &auditor).0 == 404).then_some(())
    });
    server.stop();
}

#[test]
fn an_interrupted_command_stops_its_question_and_says_how_far_it_was() {
    let mut server = many();
    let child = docket(&["search", "--exact", "--progress", LONG, "--data", &server.data()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let list = || {
        let mut all = serde_json::from_str::<Value>(&harness::succeed(&[
            "queries",
            "--data",
            &server.data(),
            "--output",
            "json",
        ]))
        .unwrap();
        all["queries"].as_array_mut().unwrap().pop()
    };
    let question = await_some("the question", || {
        list().filter(|q| q["read_from_ledger"].as_u64() > Some(0))
    });
    assert_eq!(question["asked"]["q"], LONG);
    let interrupted = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(interrupted.success());
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{told}");
    assert!(
        told.contains("events looked through") && told.contains("records read from the ledger"),
        "{told}"
    );
    assert!(list().is_none());
    server.stop();
}

#[test]
fn hits_come_in_the_order_of_a_field() {
    let mut server = server();
    send(&server);
    let actors = |more: &[&str]| {
        let (hits, _) = search(&server, &[&["search", "source:crm"], more].concat());
        hits.iter()
            .map(|h| {
                h.pointer("/event/actor/user/name")
                    .unwrap()
                    .as_str()
                    .unwrap()
                    .to_owned()
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(actors(&["--sort", "actor"]), ["desk", "desk", "li.na", "other"]);
    assert_eq!(actors(&["--sort", "actor:desc"]), ["other", "li.na", "desk", "desk"]);
    // Page by page.
    let auditor = server.token("auditor", "ann");
    let page = |after: &str| {
        let path = format!("/api/v1/search?q=source:crm&sort=actor:desc&limit=1{after}");
        let (status, body) = harness::request(server.http, "GET", &path, Some(&auditor), &[], b"").unwrap();
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<Value>(&body).unwrap()
    };
    let (mut after, mut got) = (String::new(), Vec::new());
    loop {
        let answer = page(&after);
        assert_eq!(answer["total"], 4);
        got.push(answer["hits"][0]["sort"].as_str().unwrap().to_owned());
        match answer["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(got, ["other", "li.na", "desk", "desk"]);
    let output = harness::run(&["search", "--sort", "cmd", "--data", &server.data()]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(2) && told.contains("cmd") && told.contains("host"),
        "{told}"
    );
    server.stop();
}
