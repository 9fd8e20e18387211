//! Forensic search by the binary: people, fragments, counting, comparing; what each answer says of itself.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod harness;

use harness::{Server, run};
use serde_json::{Value, json};

/// Two bastion users, one of whom shares an account with the other before and after noon.
fn server() -> Server {
    let mut server = Server::new(
        "reference = \"reference\"\n[sources.crm]\nformat = \"web_audit\"\n[sources.linux]\nformat = \"linux_auth\"\n",
    );
    let reference = server.dir.path().join("reference");
    std::fs::create_dir_all(&reference).unwrap();
    let write =
        |table: &str, rows: Value| std::fs::write(reference.join(format!("{table}.json")), rows.to_string()).unwrap();
    write(
        "hr_roster",
        json!([{"employee_id": "E1", "name": "Li Na", "logins": ["lina"]}, {"employee_id": "E2", "name": "Wu Lei"}]),
    );
    write(
        "account_registry",
        json!([
            {"system": "crm", "account": "li.na", "owner_employee_id": "E1"},
            {"system": "jumpserver", "account": "li.na", "owner_employee_id": "E1"},
            {"system": "crm", "account": "desk", "owner_employee_id": "E1", "valid_to": "2026-03-02T12:00:00Z"},
            {"system": "crm", "account": "desk", "owner_employee_id": "E2", "valid_from": "2026-03-02T12:00:00Z"},
        ]),
    );
    server.start();
    server
}

/// What was looked at, by whom.
fn line(time: &str, account: &str, name: &str, result: &str) -> String {
    json!({"event_id": format!("{time}{account}"), "time": time, "system": "crm", "actor": {"account": account},
        "source": {"ip": "10.8.1.7"}, "action": "view", "object": {"type": "report", "id": "1", "name": name},
        "result": result})
    .to_string()
}

fn lines() -> Vec<String> {
    vec![
        line("2026-03-02T09:00:00Z", "li.na", "customers?id=1%20or%201", "success"),
        line("2026-03-02T10:00:00Z", "desk", "reports/客户名单", "success"),
        line("2026-03-02T13:00:00Z", "desk", "reports/a-b.c", "failure"),
        line("2026-03-02T14:00:00Z", "other", "customers?id=7", "success"),
    ]
}

fn search(server: &Server, command: &[&str]) -> (Vec<Value>, String) {
    let data = server.data();
    let mut args = command.to_vec();
    args.extend(["--data", &data, "--output", "ndjson"]);
    let output = run(&args);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {told}");
    (harness::ndjson(&output.stdout), told)
}

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

#[test]
fn exports_go_on_and_are_proven() {
    let mut server = server();
    let token = server.token("shipper", "crm-1");
    let lines: Vec<String> = (0..250)
        .map(|n| {
            line(
                &format!("2026-03-02T09:{:02}:{:02}Z", n / 60, n % 60),
                "li.na",
                &format!("={n}"),
                "success",
            )
        })
        .collect();
    let sent = harness::request(
        server.http,
        "POST",
        "/api/v1/ingest/crm",
        Some(&token),
        &[],
        lines.join("\n").as_bytes(),
    );
    assert_eq!(sent.unwrap().0, 200);
    server.settle(250);
    let data = server.data();
    let out = |name: &str| server.dir.path().join(name).display().to_string();
    let export = |name: &str, more: &[&str]| {
        let to = out(name);
        let output = run(&[
            &[
                "export",
                "source:crm",
                "--out",
                &to,
                "--part-rows",
                "100",
                "--data",
                &data,
            ],
            more,
        ]
        .concat());
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let verify = |name: &str| {
        let output = run(&[
            "verify",
            "--export",
            &out(name),
            "--vkey",
            &format!("{data}/ledger/ledger.vkey"),
        ]);
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    };
    for format in ["ndjson", "csv", "parquet", "arrow"] {
        let (code, told) = export(format, &["--format", format]);
        assert_eq!(code, Some(0), "{told}");
        assert!(told.contains("nothing was left out"), "{told}");
        let (code, told) = verify(format);
        assert_eq!(code, Some(0), "{told}");
        assert!(told.contains("rows         250 in 3 files"), "{told}");
    }
    let read = |name: &str| std::fs::read_to_string(server.dir.path().join(name)).unwrap();
    let rows: Vec<Value> = (0..3)
        .flat_map(|n| harness::ndjson(read(&format!("ndjson/part-{n:05}.ndjson")).as_bytes()))
        .collect();
    assert_eq!(rows.len(), 250);
    assert!(rows.windows(2).all(|w| w[0]["time"].as_str() <= w[1]["time"].as_str()));
    assert!(read("csv/part-00000.csv").contains(",'=0,"));

    // Each row's record is the one in the ledger.
    let reader = ledger::Reader::open(&std::path::Path::new(&data).join("ledger")).unwrap();
    for row in &rows {
        let leaf = reader
            .leaf_bytes(model::LedgerIndex(row["ledger_index"].as_u64().unwrap()))
            .unwrap();
        assert_eq!(row["leaf_sha256"], hex::encode(ledger::leaf_hash(&leaf)));
    }

    // Without personal data.
    let (code, told) = export("masked", &["--mask", "personal"]);
    assert_eq!(code, Some(0), "{told}");
    assert!(!read("masked/part-00000.ndjson").contains("li.na"));
    assert_eq!(verify("masked").0, Some(0));

    // One byte of one row altered, a file gone, the manifest altered: found.
    let alter = |file: &str, from: &str, to: &str| {
        let text = read(file).replacen(from, to, 1);
        std::fs::write(server.dir.path().join(file), text).unwrap();
    };
    alter("ndjson/part-00001.ndjson", "success", "failure");
    alter("ndjson/part-00001.ndjson", "Success", "Failure");
    let (code, told) = verify("ndjson");
    assert_eq!(code, Some(6), "{told}");
    assert!(told.contains("part-00001.ndjson was altered"), "{told}");
    alter("csv/manifest.json", "\"rows\": 100", "\"rows\": 101");
    assert!(verify("csv").1.contains("altered"));
    std::fs::remove_file(server.dir.path().join("arrow/part-00002.arrow")).unwrap();
    assert_eq!(verify("arrow").0, Some(6));

    // Interrupted after the first file, and gone on with by a server that was killed meanwhile; nothing that came in
    // between is in it.
    let asked =
        json!({"q": "source:crm", "from": null, "to": null, "format": "ndjson", "mask": "secrets", "part_rows": 100});
    let auditor = server.token("auditor", "aud");
    let call = |method: &str, path: &str, body: &str| {
        let headers = [("Content-Type", "application/json")];
        harness::request(server.http, method, path, Some(&auditor), &headers, body.as_bytes()).unwrap()
    };
    let (status, job) = call("POST", "/api/v1/exports", &asked.to_string());
    assert_eq!(status, 200, "{job}");
    let id = serde_json::from_str::<Value>(&job).unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let (status, first) = call("GET", &format!("/api/v1/exports/{id}/parts/0"), "");
    assert_eq!((status, first.lines().count()), (200, 100));
    assert_eq!(call("GET", &format!("/api/v1/exports/{id}/parts/2"), "").0, 404);
    assert_eq!(call("POST", &format!("/api/v1/exports/{id}/finish"), "{}").0, 409);
    let late = line("2026-03-02T08:00:00Z", "li.na", "late", "success");
    harness::request(
        server.http,
        "POST",
        "/api/v1/ingest/crm",
        Some(&token),
        &[],
        late.as_bytes(),
    )
    .unwrap();
    server.settle(251);
    let folder = server.dir.path().join("resumed");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(
        folder.join("export.json"),
        json!({"id": id, "asked": asked}).to_string(),
    )
    .unwrap();
    server.kill();
    server.start();
    let url = format!("http://{}", server.http);
    let output = run(&[
        "export",
        "source:crm",
        "--out",
        &folder.display().to_string(),
        "--part-rows",
        "100",
        "--url",
        &url,
        "--token",
        &auditor,
    ]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stderr).contains("going on with export"));
    let read = |name: &str| std::fs::read_to_string(server.dir.path().join(name)).unwrap();
    assert_eq!(read("resumed/part-00000.ndjson"), first);
    let all: String = (0..3).map(|n| read(&format!("resumed/part-{n:05}.ndjson"))).collect();
    assert_eq!((all.lines().count(), all.contains("\"late\"")), (250, false));
    let output = run(&["verify", "--export", &folder.display().to_string()]);
    assert!(output.status.success());

    // Who exported what is in the record.
    server.settle(251);
    let (acts, _) = search(
        &server,
        &["search", "unmapped.act:(export OR export.finish) source:docket"],
    );
    assert_eq!(acts.len(), 12);
    server.stop();
}

/// What Grafana's Elasticsearch data source (11.x) sends: its health check, a time series by term, a variable, logs.
#[test]
fn grafana_asks_as_of_an_elasticsearch() {
    let mut server = server();
    let token = server.token("shipper", "crm-1");
    let lines = lines().join("\n");
    harness::request(
        server.http,
        "POST",
        "/api/v1/ingest/crm",
        Some(&token),
        &[],
        lines.as_bytes(),
    )
    .unwrap();
    server.settle(4);
    let auditor = server.token("auditor", "grafana");
    let call = |method: &str, path: &str, body: &str| {
        let headers = [("Content-Type", "application/x-ndjson")];
        let (status, body) =
            harness::request(server.http, method, path, Some(&auditor), &headers, body.as_bytes()).unwrap();
        (
            status,
            serde_json::from_str::<Value>(&body).unwrap_or_else(|e| panic!("{body}: {e}")),
        )
    };
    let (status, root) = call("GET", "/", "");
    assert_eq!((status, root["version"]["number"].is_string()), (200, true));
    let (_, fields) = call("GET", "/crm/_field_caps?fields=*", "");
    assert_eq!(fields["fields"]["@timestamp"]["date"]["aggregatable"], true);
    let (_, mapping) = call("GET", "/crm/_mapping", "");
    assert_eq!(mapping["docket"]["mappings"]["properties"]["user"]["type"], "keyword");

    let (from, to) = (1_772_409_600_000i64, 1_772_495_999_999i64);
    let filter = json!({"bool": {"filter": [
        {"range": {"@timestamp": {"gte": from, "lte": to, "format": "epoch_millis"}}},
        {"query_string": {"analyze_wildcard": true, "query": "status:success"}}]}});
    let series = json!({"size": 0, "query": filter, "aggs": {"3": {"terms": {"field": "actor.keyword", "size": 10,
            "order": {"_count": "desc"}, "min_doc_count": 1}, "aggs": {"2": {"date_histogram": {"field": "@timestamp",
            "min_doc_count": 0, "extended_bounds": {"min": from, "max": to}, "format": "epoch_millis", "fixed_interval": "1h"},
            "aggs": {"1": {"cardinality": {"field": "object"}}}}}}}});
    let logs = json!({"size": 500, "query": filter, "sort": [{"@timestamp": {"order": "desc", "unmapped_type": "boolean"}},
        {"_doc": {"order": "desc"}}]});
    let wrong = json!({"size": 0, "query": filter, "aggs": {"1": {"percentiles": {"field": "bytes"}}}});
    let head = json!({"ignore_unavailable": true, "index": "crm", "search_type": "query_then_fetch"});
    let body = [&head, &series, &head, &logs, &head, &wrong]
        .map(Value::to_string)
        .join("\n")
        + "\n";
    let (status, answer) = call("POST", "/_msearch?max_concurrent_shard_requests=5", &body);
    assert_eq!(status, 200, "{answer}");
    let responses = answer["responses"].as_array().unwrap();
    let buckets = responses[0]["aggregations"]["3"]["buckets"].as_array().unwrap();
    let keys: Vec<&str> = buckets.iter().filter_map(|b| b["key"].as_str()).collect();
    assert_eq!(keys, ["desk", "li.na", "other"]);
    let times = buckets[0]["2"]["buckets"].as_array().unwrap();
    let some = times.iter().find(|b| b["doc_count"] == 1).unwrap();
    assert_eq!(
        (&some["key"], &some["1"]["value"]),
        (&json!(1_772_445_600_000i64), &json!(2))
    );
    assert_eq!(times[0]["key"], from);
    let hits = responses[1]["hits"]["hits"].as_array().unwrap();
    assert_eq!(
        (hits.len(), &responses[1]["hits"]["total"]),
        (3, &json!({"value": 3, "relation": "eq"}))
    );
    assert_eq!(hits[0]["_source"]["web_resources"][0]["name"], "customers?id=7");
    assert!(
        responses[2]["error"]["reason"]
            .as_str()
            .unwrap()
            .contains("percentiles")
    );
    let (_, count) = call(
        "POST",
        "/crm/_count",
        &json!({"query": {"bool": {"must_not": [{"term": {"status": "success"}}]}}}).to_string(),
    );
    assert_eq!(count["count"], 1);
    // Who may not read is told so.
    let shipper = harness::request(server.http, "POST", "/_search", Some(&token), &[], b"{}").unwrap();
    assert_eq!(shipper.0, 403);
    server.stop();
}
