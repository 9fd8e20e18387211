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
    let call_with = |method: &str, path: &str, body: &Value| {
        let headers = [("Content-Type", "application/json")];
        let body = body.to_string();
        let (_, body) = harness::request(server.http, method, path, Some(&auditor), &headers, body.as_bytes()).unwrap();
        serde_json::from_str::<Value>(&body).unwrap()
    };
    let q = LONG.replace(' ', "%20").replace('"', "%22");
    let counted = json!({"q": LONG, "aggs": [{"terms": {"field": "user"}}]}).to_string();
    let from = "2026-03-01T00:00:00Z";
    let export = call_with("POST", "/api/v1/exports", &json!({"q": LONG, "format": "ndjson"}));
    let export = export["id"].as_str().unwrap().to_owned();
    let elastic = json!({"query": {"query_string": {"query": LONG}}, "size": 5}).to_string();
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
            format!("/api/v1/timeline?ip=10.8.1.7&q={q}"),
            String::new(),
        ),
        ("ann-elastic-1", "POST", "/_search".to_owned(), elastic),
        (
            "ann-export-1",
            "GET",
            format!("/api/v1/exports/{export}/parts/0"),
            String::new(),
        ),
    ];
    let asked_in_all = questions.len();
    for (id, method, path, body) in questions {
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
        if id.starts_with("ann-export") {
            // What was begun breaks off, and is no part.
            assert!(status == 200 && body.is_empty(), "{status} {body}");
            let (_, job) = call("GET", &format!("/api/v1/exports/{export}"), &auditor);
            assert_eq!((&job["whole"], &job["parts"]), (&json!(false), &json!([])));
        } else {
            assert_eq!(status, 409, "{body}");
            assert!(
                body.contains("cancelled") && body.contains("events were looked through"),
                "{body}"
            );
        }
        await_some("the question to end", || {
            (call("GET", &at, &auditor).0 == 404).then_some(())
        });
    }

    // One that looks for more again and again: until it is stopped after its answer has begun.
    let mut looks = 0;
    await_some("a tail, stopped", || {
        looks += 1;
        let path = "/api/v1/tail?q=source:crm".to_owned();
        let tail = ask(&server, &auditor, "ann-tail-1", "GET", path, String::new());
        for _ in 0..looks {
            call("GET", "/api/v1/queries/ann-tail-1", &auditor);
        }
        await_some("the tail to begin", || {
            (call("DELETE", "/api/v1/queries/ann-tail-1", &auditor).0 == 200).then_some(())
        });
        let (status, body) = tail.join().unwrap();
        assert!(
            matches!(status, 200 | 409) && body.contains("cancelled"),
            "{status} {body}"
        );
        (status == 200 && body.contains("event: error")).then_some(())
    });

    // One that is short: again until it is stopped while it is answered.
    let tried = await_some("what surrounds a record, stopped", || {
        let path = "/api/v1/context/local.crm/0/9000?same=all&count=500".to_owned();
        let context = ask(&server, &auditor, "ann-context-1", "GET", path, String::new());
        let mut cancelled = 0;
        while !context.is_finished() {
            cancelled += usize::from(call("DELETE", "/api/v1/queries/ann-context-1", &auditor).0 == 200);
        }
        let (status, body) = context.join().unwrap();
        assert!(matches!(status, 200 | 409), "{status} {body}");
        (status == 409 && body.contains("cancelled")).then_some(cancelled)
    });
    assert!(tried > 0);
    await_some("the acts", || {
        let (acts, _) = search(&server, &["search", "unmapped.act:search.cancel", "--limit", "1000"]);
        (acts.len() > asked_in_all + tried).then_some(())
    });

    // Who goes away stops the question, too.
    for (n, path) in [
        format!("/api/v1/search?q={q}&exact=true"),
        format!("/api/v1/timeline?ip=10.8.1.7&q={q}"),
        format!("/api/v1/exports/{export}/parts/0"),
        "/api/v1/tail?q=source:crm".to_owned(),
    ]
    .iter()
    .enumerate()
    {
        let mut stream = harness::connect(server.http).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {auditor}\r\nX-Docket-Query: ann-gone-{n}\r\n\r\n"
        )
        .unwrap();
        let at = format!("/api/v1/queries/ann-gone-{n}");
        await_some("the question to begin", || {
            (call("GET", &at, &auditor).0 == 200).then_some(())
        });
        drop(stream);
        await_some("the question to end", || {
            (call("GET", &at, &auditor).0 == 404).then_some(())
        });
    }
    server.stop();
}

#[test]
fn an_interrupted_command_stops_its_question_and_says_how_far_it_was() {
    let mut server = many();
    let out = server.dir.path().join("export").display().to_string();
    for command in [
        &["search", "--exact"][..],
        &["aggregate", "--by", "user"],
        &["compare", "--by", "user", "--from", "2026-03-01"],
        &["timeline", "--ip", "10.8.1.7"],
        &["export", "--out", &out],
    ] {
        interrupt(&server, command);
    }
    // A tail ends as it is meant to.
    let tail = docket(&["tail", "source:crm", "--data", &server.data()])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    await_some("the tail", || asked(&server));
    signal(&tail);
    let output = tail.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.contains("was looked at"), "{told}");
    await_some("the tail's end", || asked(&server).is_none().then_some(()));
    server.stop();
}

/// What is being asked.
fn asked(server: &Server) -> Option<Value> {
    let told = harness::succeed(&["queries", "--data", &server.data(), "--output", "json"]);
    let mut all = serde_json::from_str::<Value>(&told).unwrap();
    all["queries"].as_array_mut().unwrap().pop()
}

fn signal(child: &std::process::Child) {
    let pid = child.id().to_string();
    let sent = std::process::Command::new("kill").args(["-INT", &pid]).status();
    assert!(sent.unwrap().success());
}

/// Gives a command the long question, and interrupts it.
fn interrupt(server: &Server, command: &[&str]) {
    let data = server.data();
    let child = docket(&[command, &["--progress", LONG, "--data", &data]].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let question = await_some("the question", || {
        asked(server).filter(|q| q["read_from_ledger"].as_u64() > Some(0))
    });
    let q = question["asked"]["q"]
        .as_str()
        .or(question["asked"]["export"]["q"].as_str());
    assert_eq!(q, Some(LONG));
    signal(&child);
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{command:?}: {told}");
    assert!(
        told.contains("events looked through") && told.contains("records read from the ledger"),
        "{command:?}: {told}"
    );
    await_some("the question's end", || asked(server).is_none().then_some(()));
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
