//! Forensic search by the binary: people, fragments, counting, comparing; what each answer says of itself.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod harness;

use harness::crm::{lines, search, server};
use harness::{Server, run};
use serde_json::{Value, json};

fn seen(server: &Server, query: &str) -> Vec<String> {
    let (hits, _) = search(server, &["search", "--sort", "oldest", query]);
    let name = "/event/web_resources/0/name";
    hits.iter()
        .filter_map(|h| h.pointer(name).and_then(Value::as_str))
        .map(str::to_owned)
        .collect()
}

#[test]
fn questions_are_answered_completely_and_say_so() {
    let mut server = server();
    let body = lines().join("\n");
    let token = server.token("shipper", "crm-1");
    let sent = harness::request(
        server.http,
        "POST",
        "/api/v1/ingest/crm",
        Some(&token),
        &[],
        body.as_bytes(),
    )
    .unwrap();
    assert_eq!(sent.0, 200, "{}", sent.1);
    server.settle(4);

    // Whose an account was at the time.
    assert_eq!(
        seen(&server, "source:crm person:lina"),
        ["customers?id=1%20or%201", "reports/客户名单"]
    );
    assert_eq!(seen(&server, "person:\"wu lei\" source:crm"), ["reports/a-b.c"]);
    assert_eq!(seen(&server, "source:crm NOT person:(E1 OR E2)"), ["customers?id=7"]);

    // Fragments as they stand, and pieces of Chinese.
    assert_eq!(seen(&server, "source:crm raw:~\"id=1%20o\"").len(), 1);
    assert_eq!(seen(&server, "source:crm raw:~a-b.c"), ["reports/a-b.c"]);
    assert!(seen(&server, "source:crm raw:~a-b.d").is_empty());
    assert_eq!(seen(&server, "source:crm raw:户名"), ["reports/客户名单"]);

    // What was looked through. The questions before are records, too.
    server.settle(4);
    let (hits, told) = search(
        &server,
        &[
            "search",
            "--from",
            "2026-03-02T09:30:00Z",
            "--to",
            "2026-03-02T13:30:00Z",
        ],
    );
    assert_eq!(hits.len(), 2);
    assert!(told.contains("searched 2 of "), "{told}");
    assert!(told.contains("nothing was left out"), "{told}");

    // Counting.
    let (rows, _) = search(
        &server,
        &["aggregate", "--by", "user", "--distinct", "object", "source:crm"],
    );
    assert_eq!(rows[0], json!({"user": "desk", "count": 2, "distinct object": 3}));
    let (rows, _) = search(&server, &["aggregate", "--by", "web_resources.type", "source:crm"]);
    assert_eq!(rows[0], json!({"web_resources.type": "report", "count": 4}));
    let (rows, _) = search(
        &server,
        &[
            "aggregate",
            "--every",
            "1d",
            "--zone",
            "+11:00",
            "--by",
            "status",
            "source:crm",
        ],
    );
    let days: Vec<&str> = rows.iter().filter_map(|r| r["time"].as_str()).collect();
    assert_eq!(
        days,
        [
            "2026-03-01T13:00:00.000Z",
            "2026-03-02T13:00:00.000Z",
            "2026-03-02T13:00:00.000Z"
        ]
    );
    let (rows, _) = search(&server, &["aggregate", "--stats", "time", "source:crm"]);
    assert_eq!(rows[0]["count"], 4);

    // Comparing.
    let period = ["--from", "2026-03-02T12:00:00Z", "--to", "2026-03-02T15:00:00Z"];
    let (rows, _) = search(
        &server,
        &[&["compare", "--by", "user", "source:crm"][..], &period].concat(),
    );
    let row = |key: &str| rows.iter().find(|r| r["key"] == key).unwrap();
    assert_eq!(
        (&row("li.na")["is"], &row("other")["is"], &row("desk")["is"]),
        (&json!("gone"), &json!("new"), &json!("same"))
    );

    // What is wrong is said, with its place.
    let data = server.data();
    let wrong = |query: &str| {
        let output = run(&["search", "--data", &data, query]);
        assert_eq!(output.status.code(), Some(2), "{query}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let told = wrong("user:a AND usr:b");
    assert!(
        told.contains("did you mean `user`?") && told.ends_with("             ^\n"),
        "{told}"
    );
    assert!(wrong("person:\"li ma\"").contains("did you mean `Li Na`?"));

    // The searches themselves are in the record.
    let (acts, _) = search(&server, &["search", "unmapped.act:search unmapped.detail.q:*lina*"]);
    assert!(!acts.is_empty());

    // A stopped server's folder answers as well, but for people.
    server.stop();
    assert_eq!(seen(&server, "source:crm raw:~a-b.c"), ["reports/a-b.c"]);
}

/// A bastion's session under a shared account, what the target says of it, and a record that was cut.
fn sessions() -> (Vec<String>, Vec<String>) {
    let bastion = |category: &str, record: Value| format!("<14>jumpserver: {category} - {record}");
    let session = |id: &str, user: &str, start: &str, end: Option<&str>, commands: u32| {
        bastion(
            "host_session_log",
            json!({"account": "root(root)", "asset": "db-1(10.70.3.41)", "command_amount": commands,
                "date_start": start, "date_end": end, "id": id, "is_finished": end.is_some(), "is_success": true,
                "protocol": "ssh", "remote_addr": "10.44.1.21", "user": user, "type": {"label": "普通", "value": "normal"}}),
        )
    };
    let command = |id: &str, user: &str, at: i64, input: &str| {
        bastion(
            "session_command_log",
            json!({"account": "root(root)", "asset": "db-1(10.70.3.41)", "id": format!("{id}-{at}"), "input": input,
                "remote_addr": "10.44.1.21", "risk_level": {"label": "接受", "value": 0}, "session": id,
                "timestamp": at, "user": user}),
        )
    };
    let start = "2026/03/02 10:00:00 +0000";
    let jumpserver = vec![
        session("s-1", "李娜(li.na)", start, None, 0),
        command("s-1", "李娜(li.na)", 1_772_445_660, "cat /etc/shadow"),
        command(
            "s-1",
            "李娜(li.na)",
            1_772_445_720,
            &format!("{0}...{0}", "x".repeat(62)),
        ),
        session("s-1", "李娜(li.na)", start, Some("2026/03/02 10:05:00 +0000"), 3),
        session("s-2", "吴磊(wu.lei)", "2026/03/02 11:00:00 +0000", None, 0),
    ];
    let linux = [
        (
            "2026-03-02T10:00:01Z",
            "sshd[7]: Accepted password for root from 10.30.0.11 port 31272 ssh2",
        ),
        (
            "2026-03-02T10:03:00Z",
            "sshd[9]: Accepted password for other from 10.30.0.11 port 31273 ssh2",
        ),
        (
            "2026-03-02T10:05:30Z",
            "sshd[7]: pam_unix(sshd:session): session closed for user root",
        ),
        (
            "2026-03-02T10:30:00Z",
            "sshd[11]: Accepted password for root from 10.99.0.1 port 31274 ssh2",
        ),
    ];
    let linux = linux.iter().map(|(at, text)| format!("<86>{at} db-1 {text}")).collect();
    (jumpserver, linux)
}

#[test]
fn sessions_are_put_together_across_bastion_and_target() {
    let mut server = server();
    let (jumpserver, linux) = sessions();
    let token = server.token("shipper", "all");
    for (source, lines) in [("jumpserver", &jumpserver), ("linux", &linux)] {
        let path = format!("/api/v1/ingest/{source}");
        let sent = harness::request(
            server.http,
            "POST",
            &path,
            Some(&token),
            &[],
            lines.join("\n").as_bytes(),
        )
        .unwrap();
        assert_eq!(sent.0, 200, "{}", sent.1);
    }
    server.settle(9);

    let (entries, told) = search(&server, &["timeline", "--person", "li na"]);
    let shown: Vec<(String, Vec<u64>)> = entries
        .iter()
        .map(|e| {
            let sessions = e["sessions"]
                .as_array()
                .unwrap()
                .iter()
                .filter_map(Value::as_u64)
                .collect();
            (e["record"].as_str().unwrap().to_owned(), sessions)
        })
        .collect();
    let record = |source: &str, n: u32| format!("local.{source}/0/{n}");
    let expected = vec![
        (record("jumpserver", 0), vec![1]),
        (record("linux", 0), vec![1]),
        (record("jumpserver", 1), vec![1]),
        (record("jumpserver", 2), vec![1]),
        (record("jumpserver", 3), vec![1]),
        (record("linux", 2), vec![1]),
    ];
    assert_eq!(shown, expected, "{told}");
    assert_eq!(entries[3]["marks"], json!(["cmd.truncated"]));
    assert!(
        told.contains("the bastion counted 3 commands, 2 are in the record"),
        "{told}"
    );
    assert!(told.contains("1 of these records are marked"), "{told}");

    // Page by page it is the same.
    let mut paged = Vec::new();
    let mut after = None::<String>;
    loop {
        let mut args = vec![
            "timeline", "--person", "E1", "--limit", "2", "--output", "json", "--data",
        ];
        let data = server.data();
        args.push(&data);
        args.extend(after.as_deref().map(|a| ["--after", a]).into_iter().flatten());
        let output = run(&args);
        let page: Value = serde_json::from_slice(&output.stdout).unwrap();
        paged.extend(
            page["entries"]
                .as_array()
                .unwrap()
                .iter()
                .map(|e| e["record"].as_str().unwrap().to_owned()),
        );
        match page["next"].as_str() {
            Some(next) => after = Some(next.to_owned()),
            None => break,
        }
    }
    assert_eq!(paged, expected.iter().map(|(r, _)| r.clone()).collect::<Vec<_>>());

    // A session that never closed.
    let (entries, told) = search(&server, &["timeline", "--session", "s-2"]);
    assert_eq!(entries.len(), 1);
    assert!(told.contains("session #1 s-2: no record of its end"), "{told}");
    let (entries, _) = search(&server, &["timeline", "--host", "db-1"]);
    assert_eq!(entries.len(), 9);
    let (entries, _) = search(&server, &["timeline", "--ip", "10.44.0.0/16"]);
    assert_eq!(entries.len(), 7);

    // Around a record.
    let (around, told) = search(&server, &["context", "local.jumpserver/0/1", "--count", "1"]);
    let records: Vec<&str> = around.iter().filter_map(|r| r["record"].as_str()).collect();
    assert_eq!(
        records,
        ["local.jumpserver/0/0", "local.jumpserver/0/1", "local.jumpserver/0/2"]
    );
    assert!(told.contains("before: that is all, after: there are more"), "{told}");
    let (around, _) = search(
        &server,
        &["context", "local.linux/0/0", "--same", "host", "--count", "100"],
    );
    assert_eq!(around.len(), 9);
    let (around, _) = search(&server, &["context", "local.jumpserver/0/1", "--same", "person"]);
    assert_eq!(around.len(), 4);

    // Saved searches.
    let data = server.data();
    let run_fine = |args: &[&str]| {
        let output = run(&[args, &["--data", &data]].concat());
        assert!(
            output.status.success(),
            "{args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    run_fine(&["saved", "add", "shadow", "cmd:~shadow", "--note", "each morning"]);
    assert_eq!(
        run(&["saved", "add", "wrong", "usr:a", "--data", &data]).status.code(),
        Some(2)
    );
    let (hits, _) = search(&server, &["search", "--saved", "shadow", "source:jumpserver"]);
    assert_eq!(hits.len(), 1);
    let (saved, _) = search(&server, &["saved", "list"]);
    assert_eq!((saved.len(), &saved[0]["name"]), (1, &json!("shadow")));
    run_fine(&["saved", "remove", "shadow"]);
    assert_eq!(search(&server, &["saved", "list"]).0.len(), 0);

    // What comes in, as it comes.
    let tail = harness::docket(&[
        "tail",
        "source:linux",
        "--count",
        "1",
        "--output",
        "ndjson",
        "--data",
        &data,
    ])
    .stdout(std::process::Stdio::piped())
    .stderr(std::process::Stdio::piped())
    .spawn()
    .unwrap();
    // That somebody looks is recorded before the first look.
    harness::await_some("the act", || {
        let (acts, _) = search(&server, &["search", "unmapped.act:tail"]);
        (!acts.is_empty()).then_some(())
    });
    let line = b"<86>2026-03-02T12:00:00Z db-1 sshd[12]: Accepted password for root from 10.99.0.1 port 31275 ssh2";
    harness::request(server.http, "POST", "/api/v1/ingest/linux", Some(&token), &[], line).unwrap();
    let output = tail.wait_with_output().unwrap();
    let hits = harness::ndjson(&output.stdout);
    assert_eq!((hits.len(), &hits[0]["record"]), (1, &json!("local.linux/0/4")));
    server.stop();
}
