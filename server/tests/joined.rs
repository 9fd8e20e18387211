//! Records that are one event together: each event once, whatever is killed, and found from each of its records.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod harness;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use harness::{Server, await_some, get, request, rows};
use serde_json::Value;

const POLICY: &str = "title: Shadow file read
id: 6b1d9a0e-2f7c-4b55-9d6e-0c3c5f0a7d11
status: test
level: high
logsource: {product: linux, category: process_creation}
detection:
  selection: {CommandLine|contains: /etc/shadow}
  condition: selection
";
const KILLS: u64 = 8;
const EVENTS: u64 = 700;

/// A small generator with a fixed seed: the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// Lines of events of two hosts: mixed, some out of order, some lost.
fn lines() -> Vec<String> {
    let mut random = Random(7);
    let mut keyed = Vec::new();
    for n in 0..EVENTS {
        let head = format!("node=web-{} type=", n % 2);
        let id = format!("msg=audit({}.{:03}:{n}):", 1_772_413_593 + n / 20, n % 1000);
        let file = if n % 20 == 3 { "/etc/shadow" } else { "/etc/hosts" };
        let all = [
            format!(
                "{head}SYSCALL {id} arch=c000003e syscall=59 success=yes exit=0 items=0 ppid=2 pid={n} auid=1001 uid=0 euid=0 ses=4 comm=\"cat\" exe=\"/bin/cat\" key=(null)"
            ),
            format!("{head}EXECVE {id} argc=2 a0=\"cat\" a1=\"{file}\""),
            format!("{head}CWD {id} cwd=\"/root\""),
            format!("{head}EOE {id} "),
        ];
        for (k, line) in all.into_iter().enumerate() {
            // Now and then a line is lost, in transit as between kernel and daemon.
            if random.below(25) > 0 {
                let after = if k == 3 { 9 } else { random.below(9) };
                keyed.push((n * 4 + k as u64 + after, line));
            }
        }
    }
    keyed.sort_by_key(|(key, _)| *key);
    keyed.into_iter().map(|(_, line)| line).collect()
}

fn server() -> Server {
    let server = Server::new("policies = [\"policies\"]\n[sources.auditd]\ntimezone = \"UTC\"\n");
    let policies = server.dir.path().join("policies");
    fs::create_dir(&policies).unwrap();
    fs::write(policies.join("shadow.yml"), POLICY).unwrap();
    server
}

/// Sends until it is acknowledged; the batch's name keeps a repetition from counting twice.
fn send(address: std::net::SocketAddr, token: &str, source: &str, batch: &str, body: &str) {
    let path = format!("/api/v1/ingest/{source}");
    let headers = [("content-type", "text/plain"), ("x-docket-batch", batch)];
    await_some("a request to be acknowledged", || {
        let answer = request(address, "POST", &path, Some(token), &headers, body.as_bytes());
        answer.filter(|(status, _)| *status == 200)
    });
}

/// Every event of a source by its uid: its records' ids, and what it says.
fn events(server: &Server, source: &str) -> BTreeMap<String, (Vec<String>, Value)> {
    let query = format!("source:{source}");
    let data = server.data();
    let hits = rows(&["search", &query, "--all", "--output", "ndjson", "--data", &data]);
    let mut found = BTreeMap::new();
    for hit in hits {
        let uid = hit["record"].as_str().unwrap().to_owned();
        let labels = hit["event"]["metadata"]["labels"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let mut of: Vec<String> = labels
            .iter()
            .filter_map(|l| Some(l.as_str()?.strip_prefix("record:")?.to_owned()))
            .collect();
        if of.is_empty() {
            of.push(uid.clone());
        }
        let mut event = hit["event"].clone();
        // When it was indexed is no part of what it says.
        event["metadata"].as_object_mut().unwrap().remove("processed_time");
        let before = found.insert(uid.clone(), (of, event));
        assert!(before.is_none(), "{uid} is found twice");
    }
    found
}

fn alerts(server: &Server) -> BTreeMap<String, String> {
    let data = server.data();
    let list = rows(&[
        "alert", "list", "--limit", "1000", "--output", "ndjson", "--data", &data,
    ]);
    list.iter()
        .map(|a| (a["id"].as_str().unwrap().to_owned(), a["finding"].to_string()))
        .collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

#[test]
fn lines_of_auditd_are_one_event_whatever_is_killed() {
    let lines = lines();
    let mut killed = server();
    killed.start();
    let token = killed.token("shipper", "test");
    let sender = std::thread::spawn({
        let (address, token, lines) = (killed.http, token, lines.clone());
        move || {
            for (n, part) in lines.chunks(7).enumerate() {
                send(address, &token, "auditd", &format!("b{n}"), &part.join("\n"));
            }
        }
    });
    let mut random = Random(11);
    for _ in 0..KILLS {
        std::thread::sleep(Duration::from_millis(200 + random.below(1000)));
        killed.kill();
        killed.spawn();
    }
    sender.join().unwrap();
    killed.ready();
    killed.settle(lines.len() as u64);

    let found = events(&killed, "auditd");
    let mut records: Vec<&String> = found.values().flat_map(|(of, _)| of).collect();
    records.sort();
    let (received, deduplicated) = killed.account("auditd");
    assert_eq!(received - deduplicated, lines.len() as u64);
    let distinct: BTreeSet<_> = records.iter().collect();
    assert_eq!(
        (records.len(), distinct.len()),
        (lines.len(), lines.len()),
        "each line is in one event"
    );
    let whole = found.values().filter(|(of, _)| of.len() == 4).count() as u64;
    assert!(whole > EVENTS / 2, "{whole} of {EVENTS} events have all their lines");
    let raised = alerts(&killed);
    assert!(raised.len() >= 5, "{raised:?}");

    // Each record leads to the event.
    let auditor = killed.token("auditor", "audit");
    let (uid, (of, event)) = found.iter().find(|(_, (of, _))| of.len() == 4).unwrap();
    for record in of {
        let (status, body) = get(killed.http, &format!("/api/v1/records/{record}"), Some(&auditor)).unwrap();
        assert_eq!(status, 200, "{body}");
        let shown: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(&shown["record"], record);
        assert_eq!(shown["events"][0]["metadata"]["uid"], **uid, "{shown}");
        assert_eq!(shown["joined"], serde_json::json!(of));
        let data = killed.data();
        let by_id = rows(&[
            "search",
            &format!("label:\"record:{record}\""),
            "--output",
            "ndjson",
            "--data",
            &data,
        ]);
        assert_eq!(by_id.len(), 1);
    }
    // The text of every line finds it, also where the ledger has to be asked.
    let pid = event["process"]["pid"].to_string();
    for text in [
        format!("\"syscall=59 success=yes exit=0 items=0 ppid=2 pid={pid} auid\""),
        "cwd".to_owned(),
    ] {
        let data = killed.data();
        let query = format!("{text} AND label:\"record:{uid}\"");
        let hits = rows(&["search", &query, "--output", "ndjson", "--data", &data]);
        assert_eq!(hits.len(), 1, "{query}");
    }

    // The same ledger, judged and indexed in one go, says the same.
    assert_eq!(killed.stop(), Some(0), "{}", killed.log());
    let mut calm = server();
    copy(
        &Path::new(&killed.data()).join("ledger"),
        &Path::new(&calm.data()).join("ledger"),
    );
    calm.start();
    calm.settle(lines.len() as u64);
    assert_eq!(events(&calm, "auditd"), found);
    assert_eq!(alerts(&calm), raised);
    assert_eq!(calm.account("auditd"), (received, deduplicated));
}

#[test]
fn entries_and_containers_lines_are_one_event() {
    let mut server = server();
    server.start();
    let token = server.token("shipper", "test");
    let head = "2026-03-02 14:06:33.123 UTC [811] app@crm";
    let body = format!(
        "{head} ERROR:  relation \"salaries\" does not exist at character 15\n{head} STATEMENT:  SELECT *\n\tFROM salaries\n\tWHERE id = 7;\n"
    );
    send(server.http, &token, "postgresql", "a", &body);
    let body = "2026-03-02T14:06:33.123456Z stdout P the first \n2026-03-02T14:06:33.123456Z stdout F and the rest\n";
    send(server.http, &token, "pods", "a", body);
    server.settle(6);
    let found = events(&server, "postgresql");
    assert_eq!(found.values().map(|(of, _)| of.len()).collect::<Vec<_>>(), [4]);
    let data = server.data();
    let hits = rows(&[
        "search",
        "cmd:\"FROM salaries WHERE id\"",
        "--output",
        "ndjson",
        "--data",
        &data,
    ]);
    assert_eq!(hits.len(), 1, "{found:?}");
    let found = events(&server, "pods");
    let (of, event) = found.values().next().unwrap();
    assert_eq!((found.len(), of.len()), (1, 2));
    assert_eq!(event["raw_data"], "the first and the rest");
    assert_eq!(server.account("postgresql"), (4, 0));
    assert_eq!(server.account("pods"), (2, 0));
}
