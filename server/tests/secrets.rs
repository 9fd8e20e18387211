//! Secrets in commands, statements and URLs: in the ledger, and in nothing that is made of it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod harness;

use std::fs;
use std::path::Path;

use harness::{Server, Webhook, await_some, get, request, rows};
use serde_json::Value;

/// Fires for everything, tells everything, and keeps everything: in messages, keys and windows.
fn policy() -> String {
    let mut text = String::new();
    let fields = [
        "process.cmd_line",
        "query_info.query_string",
        "http_request.url.url_string",
        "message",
    ];
    for (n, field) in fields.iter().enumerate() {
        text += &format!(
            "title: Whatever is in {field}
id: 7a2b6d7e-0a4e-4b0e-9a53-55a3d7a7c00{n}
name: whatever_{n}
status: test
level: low
logsource: {{product: ocsf}}
detection:
  selection: {{{field}|re: .}}
  filter: {{docket.source: docket}}
  condition: selection and not filter
docket:
  dedup: {{by: [$event.{field}], window: 1h}}
  message: \"ran {{event.{field}}}\"
---
"
        );
    }
    text + "title: Much is run
id: 7a2b6d7e-0a4e-4b0e-9a53-55a3d7a7c010
status: test
level: low
correlation:
  type: value_count
  rules: [whatever_0]
  group-by: [docket.source]
  timespan: 1h
  condition: {field: process.cmd_line, gte: 2}
---
title: A matched secret
id: 7a2b6d7e-0a4e-4b0e-9a53-55a3d7a7c011
status: test
level: high
logsource: {product: ocsf}
detection:
  selection: {process.cmd_line|contains: SecretZq01vault}
  condition: selection
"
}

/// Command lines, each with its secret.
fn commands() -> Vec<(String, String)> {
    let commands = [
        "mysql -uroot -p@ -h db -e 'select 1'",
        "mysqldump --password=@ crm",
        "curl -u bob:@ https://h/",
        "curl --user 'bob:@' https://h/",
        "PGPASSWORD=@ psql -h db",
        "export AWS_SECRET_ACCESS_KEY=@",
        "curl -H \"Authorization: Bearer @\" https://api/",
        "curl -H \"Authorization: Basic @\" https://api/",
        "git clone https://bob:@@h/x.git",
        "wget 'https://h/x?id=1&token=@&b=2'",
        "sshpass -p @ ssh h",
        "redis-cli -h h -a @ ping",
        "deploy --db-password @ now",
        "echo 'root:@' | chpasswd",
        "sqlplus scott/@@orcl",
        "mysql -e \"CREATE USER x IDENTIFIED BY '@'\"",
        "psql -c \"ALTER USER x WITH PASSWORD '@'\"",
        "aws configure set AKIA@EXAMPLE",
        "docker login -u x --password @ hub",
        "use ghp_@abcdefgh",
        "echo '-----BEGIN RSA PRIVATE KEY-----@-----END RSA PRIVATE KEY-----'",
        "call eyJ@abcdefgh.e30.sig",
    ];
    let with = |(n, command): (usize, &&str)| {
        let secret = format!("SecretZq{n:02}vault");
        // The last `@` of a user's part of a URL stays.
        (command.replacen('@', &secret, 1), secret)
    };
    commands.iter().enumerate().map(with).collect()
}

/// The arguments that a shell makes of a command line.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for c in command.chars() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, ' ') => words.push(String::new()),
            (_, c) => words.last_mut().unwrap().push(c),
        }
    }
    words
}

fn json(value: &str) -> String {
    Value::from(value).to_string()
}

/// A line of every source that may hold such a command, and the statements, URLs and fields of others.
fn lines() -> (Vec<(&'static str, String)>, Vec<String>) {
    let mut lines = Vec::new();
    let mut secrets = Vec::new();
    for (n, (command, secret)) in commands().into_iter().enumerate() {
        lines.push(("jumpserver", format!("<14>jumpserver: session_command_log - {{\"account\": \"root(root)\", \"asset\": \"db-1(10.0.0.1)\", \"id\": \"c-{n}\", \"input\": {}, \"output\": \"\", \"remote_addr\": \"10.8.1.7\", \"risk_level\": {{\"value\": 0}}, \"session\": \"s\", \"timestamp\": 1772463192, \"user\": \"a(a)\"}}", json(&command))));
        lines.push((
            "linux",
            format!(
                "<86>Mar  2 10:00:00 web-1 sudo: eve : TTY=pts/0 ; PWD=/root ; USER=root ; COMMAND=/bin/sh -c {command}"
            ),
        ));
        lines.push(("unknown", command.clone()));
        lines.push((
            "app",
            format!(
                "{{\"time\":\"2026-03-02T10:00:00Z\",\"ran\":{},\"n\":{n}}}",
                json(&command)
            ),
        ));
        let id = format!("msg=audit(1772463192.000:{n}):");
        // A pipe is a shell's.
        let words = match command.contains(" | ") {
            true => vec!["sh".to_owned(), "-c".to_owned(), command.clone()],
            false => words(&command),
        };
        let hex = |text: &str| text.bytes().map(|b| format!("{b:02X}")).collect::<String>();
        let argument = |(k, w): (usize, &String)| match w.contains(['"', '\'', ' ']) {
            true => format!("a{k}={}", hex(w)),
            false => format!("a{k}=\"{w}\""),
        };
        let arguments: Vec<String> = words.iter().enumerate().map(argument).collect();
        let title = hex(&words.join("\0"));
        for line in [
            format!(
                "type=SYSCALL {id} arch=c000003e syscall=59 success=yes exit=0 pid=9 auid=1001 uid=0 euid=0 ses=4 comm=\"x\" exe=\"/bin/x\""
            ),
            format!("type=EXECVE {id} argc={} {}", words.len(), arguments.join(" ")),
            format!("type=PROCTITLE {id} proctitle={title}"),
            format!("type=EOE {id} "),
        ] {
            lines.push(("auditd", line));
        }
        secrets.push(secret);
    }
    // `@` stands in names and URLs, too, where nothing is secret.
    let mut plant = |source, line: &str| {
        let secret = format!("SecretYx{:02}plant", secrets.len());
        lines.push((source, line.replace('§', &secret)));
        secrets.push(secret);
    };
    plant(
        "access_log",
        "127.0.0.22 - - [22/Nov/2026:02:42:48 +0000] \"GET /export?id=1&token=§ HTTP/1.1\" 200 4 \"http://bob:x@intra/\" \"Mozilla\"",
    );
    plant(
        "mysql_audit",
        "20260302 09:06:34,db-a-01,li.na,10.0.0.9,40,201,QUERY,crm,'CREATE USER x IDENTIFIED BY \\'@\\'',0",
    );
    plant(
        "postgresql",
        "2026-03-02 14:06:33.123 UTC [811] app@crm LOG:  statement: ALTER USER x WITH PASSWORD '§'",
    );
    plant(
        "app",
        "{\"time\":\"2026-03-02T10:00:00Z\",\"user\":\"a\",\"login\":{\"password\":\"§\"}}",
    );
    plant(
        "app",
        "{\"time\":\"2026-03-02T10:00:00Z\",\"user\":\"a\",\"client_secret\":\"§ with blanks\"}",
    );
    plant(
        "app",
        "{\"time\":\"2026-03-02T10:00:00Z\",\"url\":\"https://h/cb?code=§&state=1\"}",
    );
    (lines, secrets)
}

fn ship(server: &Server, token: &str, source: &str, body: &str) {
    let path = format!("/api/v1/ingest/{source}");
    let headers = [("content-type", "text/plain")];
    let (status, answer) = request(server.http, "POST", &path, Some(token), &headers, body.as_bytes()).unwrap();
    assert_eq!(status, 200, "{answer}");
}

/// Every file below a folder.
fn files(dir: &Path, each: &mut impl FnMut(&Path, &[u8])) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files(&path, each),
            // The socket is none.
            false if path.is_file() => each(&path, &fs::read(&path).unwrap()),
            false => {}
        }
    }
}

/// The secrets in some bytes, whatever their case, as they are or in hexadecimal.
fn found(bytes: &[u8], secrets: &[String]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes).to_lowercase();
    let hex = |s: &str| s.bytes().map(|b| format!("{b:02x}")).collect::<String>();
    let is_in = |s: &&String| text.contains(&s.to_lowercase()) || text.contains(&hex(s));
    secrets.iter().filter(is_in).cloned().collect()
}

#[test]
fn secrets_are_in_the_ledger_alone() {
    let hook = Webhook::start();
    let url = format!("http://{}/", hook.address);
    let mut server = Server::new(&format!(
        "policies = [\"policy.yml\"]\n[[webhooks]]\nname = \"team\"\nurl = {url:?}\n[sources.auditd]\ntimezone = \"UTC\"\n"
    ));
    fs::write(server.dir.path().join("policy.yml"), policy()).unwrap();
    server.start();
    let token = server.token("shipper", "test");
    let (lines, secrets) = lines();
    for source in [
        "jumpserver",
        "linux",
        "unknown",
        "app",
        "auditd",
        "access_log",
        "mysql_audit",
        "postgresql",
    ] {
        let own: Vec<&str> = lines
            .iter()
            .filter(|(s, _)| *s == source)
            .map(|(_, l)| l.as_str())
            .collect();
        ship(&server, &token, source, &own.join("\n"));
    }
    server.settle(lines.len() as u64);
    let data = server.data();
    let alerts = rows(&[
        "alert", "list", "--limit", "1000", "--output", "ndjson", "--data", &data,
    ]);
    assert!(alerts.len() > 30, "{}", alerts.len());
    let told = alerts.len();
    await_some("the alerts to be told", || (hook.all().len() >= told).then_some(()));
    // Rules see what was run as it was run.
    let matched = alerts
        .iter()
        .filter(|a| a["finding"].to_string().contains("A matched secret"))
        .count();
    assert!(matched >= 2, "{matched}");

    // What is told and shown.
    for received in hook.all() {
        assert_eq!(
            found(received.body.to_string().as_bytes(), &secrets),
            [""; 0],
            "{}",
            received.body
        );
    }
    for alert in &alerts {
        assert_eq!(found(alert.to_string().as_bytes(), &secrets), [""; 0], "{alert}");
        let shown = rows(&[
            "alert",
            "show",
            alert["id"].as_str().unwrap(),
            "--output",
            "ndjson",
            "--data",
            &data,
        ]);
        assert_eq!(found(format!("{shown:?}").as_bytes(), &secrets), [""; 0], "{shown:?}");
    }
    let hits = rows(&[
        "search",
        "NOT source:docket",
        "--all",
        "--output",
        "ndjson",
        "--data",
        &data,
    ]);
    assert!(hits.len() >= lines.len() - 3 * commands().len(), "{}", hits.len());
    for hit in &hits {
        assert_eq!(found(hit.to_string().as_bytes(), &secrets), [""; 0], "{hit}");
    }
    // Whoever may see raw records sees them; their events are masked.
    let auditor = server.token("auditor", "audit");
    let record = hits
        .iter()
        .find(|h| h["event"]["raw_data"].as_str().is_some_and(|r| r.contains("mysqldump")))
        .unwrap();
    let path = format!("/api/v1/records/{}", record["record"].as_str().unwrap());
    let shown: Value = serde_json::from_str(&get(server.http, &path, Some(&auditor)).unwrap().1).unwrap();
    assert_eq!(found(shown["raw"].to_string().as_bytes(), &secrets).len(), 1, "{shown}");
    assert_eq!(
        found(shown["events"].to_string().as_bytes(), &secrets),
        [""; 0],
        "{shown}"
    );
    assert_eq!(get(server.http, &path, Some(&token)).unwrap().0, 403);

    // What lies on the disk beside the ledger.
    assert_eq!(server.stop(), Some(0), "{}", server.log());
    let mut in_ledger = 0;
    files(Path::new(&data), &mut |path, bytes| {
        if path.starts_with(Path::new(&data).join("ledger")) {
            in_ledger += usize::from(!found(bytes, &secrets).is_empty());
        } else {
            assert_eq!(found(bytes, &secrets), [""; 0], "{}", path.display());
        }
    });
    assert!(in_ledger > 0, "the ledger has them");
    assert_eq!(found(server.log().as_bytes(), &secrets), [""; 0], "the log");

    // No secret finds anything, in any field. Asked last: what is asked for is an act, and can be found as one.
    server.start();
    for secret in &secrets {
        for query in [
            format!(
                "(\"{secret}\" OR cmd:*{secret}* OR url:*{secret}* OR object:*{secret}* OR file:*{secret}*) AND NOT source:docket"
            ),
            format!("unmapped.*:*{secret}* AND NOT source:docket"),
        ] {
            let output = harness::run(&["search", &query, "--output", "ndjson", "--data", &data]);
            // A field that the language does not have is no leak.
            assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{query}");
        }
    }
}
