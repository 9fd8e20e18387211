//! The embedded gateway: HTTP and syslog, tokens, alerts, search, restart. No broker.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod harness;

use std::io::Write as _;
use std::net::{TcpStream, UdpSocket};

use harness::{Server, Webhook, await_some, free_port, get, request, rows, run};
use serde_json::Value;

const DIRECT_LOGON: &str =
    "<86>Mar  3 15:07:00 web-9 sshd[11812]: Accepted password for root from 10.8.1.77 port 51514 ssh2";

fn reference(server: &Server) {
    let dir = server.dir.path().join("reference");
    std::fs::create_dir(&dir).unwrap();
    let assets = r#"[{"asset_id":"A1","names":["web-9"],"addresses":["10.20.1.9"],"env":"prod","kind":"host","data_levels":["L2"],"bastion_required":true,"direct_login_allowed_from":[]}]"#;
    std::fs::write(dir.join("asset_register.json"), assets).unwrap();
    let zones =
        r#"[{"cidr":"10.8.0.0/16","zone":"office","site":"x"},{"cidr":"10.30.0.0/24","zone":"bastion","site":"x"}]"#;
    std::fs::write(dir.join("network_zones.json"), zones).unwrap();
    std::fs::write(dir.join("account_registry.json"), "[]").unwrap();
}

#[test]
fn a_line_becomes_an_alert_and_a_search_hit() {
    let hook = Webhook::start();
    let syslog = free_port();
    let mut server = Server::new(&format!(
        "reference = \"reference\"\n[[syslog]]\nlisten = \"127.0.0.1:{syslog}\"\nprotocol = \"tcp\"\nsource = \"linux\"\n\
         [[syslog]]\nlisten = \"127.0.0.1:{syslog}\"\nprotocol = \"udp\"\nsource = \"linux\"\n\
         [[webhooks]]\nname = \"team\"\nurl = \"http://{}/\"\n",
        hook.address
    ));
    reference(&server);
    server.start();

    let mut tcp = TcpStream::connect(("127.0.0.1", syslog)).unwrap();
    writeln!(tcp, "{DIRECT_LOGON}").unwrap();
    let told = await_some("the webhook to be told", || {
        hook.all()
            .into_iter()
            .find(|r| clauses(&r.body).contains(&"AU-10".into()))
    });
    assert_eq!(told.body["severity"], "Critical");
    drop(tcp);

    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.send_to(
        b"<14>Mar  3 15:08:00 web-9 app[1]: datagram \xff\xfe arrived",
        ("127.0.0.1", syslog),
    )
    .unwrap();
    let token = server.token("shipper", "shipper-1");
    let body = b"{\"a\": 1}\nnot json, \x1b[31m hostile\n";
    let (status, answer) = request(server.http, "POST", "/api/v1/ingest/crm", Some(&token), &[], body).unwrap();
    assert_eq!((status, answer.as_str()), (200, "{\"accepted\":2}"));

    await_some("four records to be counted", || {
        let sources = rows(&["source", "list", "--output", "ndjson", "--data", &server.data()]);
        let of = |s: &str| {
            sources
                .iter()
                .find(|r| r["source"] == s)
                .map_or(0, |r| r["received"].as_u64().unwrap())
        };
        (of("linux") == 2 && of("crm") == 2).then_some(())
    });
    for source in rows(&["source", "list", "--output", "ndjson", "--data", &server.data()]) {
        let n = |k: &str| source[k].as_u64().unwrap();
        assert_eq!(
            n("received"),
            n("stored") + n("quarantined") + n("deduplicated"),
            "{source}"
        );
    }
    server.settle(4);
    let found = |q: &str| rows(&["search", q, "--output", "ndjson", "--data", &server.data()]);
    assert_eq!(found("user:root AND class:authentication host:web-9").len(), 1);
    assert_eq!(found("source:crm").len(), 2);
    assert_eq!(found("datagram arrived").len(), 1);

    // A restart keeps everything, also when it comes as a power cut.
    server.kill();
    server.start();
    assert_eq!(
        rows(&["search", "source:crm", "--output", "ndjson", "--data", &server.data()]).len(),
        2
    );
    assert_eq!(server.stop(), Some(0));
    // With the server stopped the same commands work, and record themselves.
    assert_eq!(
        rows(&["search", "source:linux", "--output", "ndjson", "--data", &server.data()]).len(),
        2
    );
    let verified = run(&["verify", "--data", &server.data()]);
    assert!(
        verified.status.success(),
        "{}",
        String::from_utf8_lossy(&verified.stdout)
    );
    let own = rows(&[
        "search",
        "source:docket",
        "--all",
        "--output",
        "ndjson",
        "--data",
        &server.data(),
    ]);
    let raw: String = own.iter().map(|h| h["event"]["raw_data"].to_string()).collect();
    for act in ["server.start", "server.stop", "token.create", "search"] {
        assert!(raw.contains(act), "no act `{act}` in {raw}");
    }
}

#[test]
fn an_alert_goes_from_new_to_closed() {
    let mut server = Server::new("reference = \"reference\"\n[sources.linux]\nformat = \"linux_auth\"\n");
    reference(&server);
    server.start();
    let token = server.token("shipper", "s");
    request(
        server.http,
        "POST",
        "/api/v1/ingest/linux",
        Some(&token),
        &[],
        DIRECT_LOGON.as_bytes(),
    )
    .unwrap();
    let data = server.data();
    let list = |status: &str| {
        rows(&[
            "alert", "list", "--status", status, "--clause", "AU-10", "--output", "ndjson", "--data", &data,
        ])
    };
    let id = await_some("the alert", || {
        Some(list("new").first()?["id"].as_str()?[..12].to_owned())
    });
    assert!(
        run(&["alert", "ack", &id, "--comment", "asking", "--data", &data])
            .status
            .success()
    );
    assert_eq!(list("acknowledged").len(), 1);
    assert!(
        run(&["alert", "close", &id, "--verdict", "true_positive", "--data", &data])
            .status
            .success()
    );
    let shown = &rows(&["alert", "show", &id, "--output", "ndjson", "--data", &data])[0];
    assert_eq!(
        (shown["status"].as_str(), shown["verdict"].as_str()),
        (Some("closed"), Some("true_positive"))
    );
    assert_eq!(shown["events"].as_array().unwrap().len(), 3);
    let again = run(&["alert", "ack", &id, "--data", &data]);
    assert_eq!(
        again.status.code(),
        Some(2),
        "{}",
        String::from_utf8_lossy(&again.stderr)
    );
}

#[test]
fn the_api_denies_by_default() {
    let mut server = Server::new("");
    server.start();
    let tokens = ["shipper", "analyst", "auditor", "admin"].map(|role| server.token(role, role));
    let paths = [
        ("POST", "/api/v1/ingest/x", [200, 403, 403, 403]),
        ("GET", "/api/v1/search", [403, 403, 200, 403]),
        ("GET", "/api/v1/records/docket/0/0", [403, 403, 200, 403]),
        ("GET", "/api/v1/alerts", [403, 200, 200, 403]),
        ("POST", "/api/v1/alerts/abc/ack", [403, 404, 403, 403]),
        ("GET", "/api/v1/sources", [403, 403, 200, 200]),
        ("GET", "/api/v1/nothing", [404, 404, 404, 404]),
    ];
    for (method, path, allowed) in paths {
        if path != "/api/v1/nothing" {
            for token in [None, Some("dkt_00"), Some("")] {
                assert_eq!(
                    request(server.http, method, path, token, &[], b"x").unwrap().0,
                    401,
                    "{path} {token:?}"
                );
            }
        }
        for (token, status) in tokens.iter().zip(allowed) {
            let (given, body) = request(server.http, method, path, Some(token), &[], b"x").unwrap();
            assert_eq!(given, status, "{method} {path}: {body}");
        }
    }
    for open in ["/healthz", "/readyz"] {
        assert_eq!(get(server.http, open, None).unwrap().0, 200);
    }
    assert!(
        get(server.http, "/metrics", None)
            .unwrap()
            .1
            .contains("docket_ledger_size")
    );
    let wrong = run(&[
        "search",
        "--url",
        &format!("http://{}", server.http),
        "--token",
        &tokens[0],
        "x",
    ]);
    assert_eq!(
        wrong.status.code(),
        Some(5),
        "{}",
        String::from_utf8_lossy(&wrong.stderr)
    );
}

#[test]
fn a_record_comes_with_its_proof() {
    let mut server = Server::new("");
    server.start();
    let shipper = server.token("shipper", "s");
    let auditor = server.token("auditor", "a");
    request(
        server.http,
        "POST",
        "/api/v1/ingest/app",
        Some(&shipper),
        &[],
        b"first line",
    )
    .unwrap();
    let shown: Value = await_some("a checkpoint over the record", || {
        let (status, body) = get(server.http, "/api/v1/records/local.app/0/0", Some(&auditor))?;
        assert_eq!(status, 200, "{body}");
        let shown: Value = serde_json::from_str(&body).unwrap();
        (!shown["proof"].is_null()).then_some(shown)
    });
    assert_eq!(shown["raw"], "first line");
    let bundle: ledger::ProofBundle = serde_json::from_value(shown["proof"].clone()).unwrap();
    let key = ledger::VerifierKey::parse(&bundle.vkey).unwrap();
    bundle.verify(&key).unwrap();
    let mut altered = bundle.clone();
    altered.index += 1;
    assert!(altered.verify(&key).is_err());
}

#[test]
fn what_was_altered_is_found() {
    let mut server = Server::new("");
    server.start();
    let shipper = server.token("shipper", "s");
    let lines: String = (0..600).map(|i| format!("line number {i}\n")).collect();
    request(
        server.http,
        "POST",
        "/api/v1/ingest/app",
        Some(&shipper),
        &[],
        lines.as_bytes(),
    )
    .unwrap();
    server.settle(600);
    server.stop();
    let folder = std::path::Path::new(&server.data()).join("ledger");
    let mut files: Vec<_> = walk(&folder);
    files.retain(|f| f.to_string_lossy().contains("segment") || f.to_string_lossy().contains("tail"));
    files.sort_by_key(|f| std::cmp::Reverse(f.metadata().unwrap().len()));
    let mut bytes = std::fs::read(&files[0]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&files[0], bytes).unwrap();
    let verified = run(&["verify", "--data", &server.data()]);
    assert_eq!(
        verified.status.code(),
        Some(6),
        "{}",
        String::from_utf8_lossy(&verified.stdout)
    );
}

fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    entries
        .flat_map(|p| if p.is_dir() { walk(&p) } else { vec![p] })
        .collect()
}

fn clauses(body: &Value) -> Vec<String> {
    body["clauses"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|c| Some(c.as_str()?.to_owned()))
        .collect()
}
