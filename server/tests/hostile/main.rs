//! All of `data/hostile` by the command line and by every listener: no crash, bounded memory, and each record kept as
//! it was sent, cut and marked, or refused with a status that says whose move it is.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

#[path = "../harness/mod.rs"]
mod harness;

mod cases;
mod ways;

use std::collections::BTreeMap;

use cases::{Case, RECORD_BYTES_MAX, cases};
use harness::{await_some, get, ndjson, request, run};
use model::RawRecord;
use ways::{Rig, WAYS};

/// The bound of the resident set, in KiB.
const RSS_KIB_MAX: u64 = 512 << 10;

#[test]
fn every_hostile_file_normalizes() {
    let Some(cases) = cases() else { return };
    for case in cases {
        let path = case.path.display().to_string();
        let output = run(&["normalize", "--received", "2026-01-01T00:00:05+08:00", &path]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{path}: {said}");
        let last = said.lines().last().unwrap_or_default();
        let count = |name: &str| -> u64 {
            let mut words = last.split(' ');
            let value = words.find_map(|w| w.strip_prefix(&format!("{name}="))).unwrap();
            value.parse().unwrap()
        };
        let events = ndjson(&output.stdout);
        assert_eq!(events.len() as u64, count("events"), "{path}");
        assert!(count("events") >= count("records"), "{path}: {last}");
        if let Some(records) = case.records {
            assert_eq!(count("records"), records, "{path}");
        }
    }
}

/// What is in the ledger of a record: its first bytes, and how many it had.
type Kept = (Vec<u8>, u64);

fn kept(record: &RawRecord) -> Kept {
    let whole = record.payload.len() as u64;
    let bytes = record.truncated.as_ref().map_or(whole, |t| t.bytes);
    (record.payload.to_vec(), bytes)
}

fn cut(payload: &[u8]) -> Kept {
    (
        payload[..payload.len().min(RECORD_BYTES_MAX)].to_vec(),
        payload.len() as u64,
    )
}

#[test]
fn every_listener_keeps_marks_or_refuses_all_of_it() {
    let Some(cases) = cases() else { return };
    let rig = Rig::start();
    let mut expected: BTreeMap<&str, BTreeMap<Kept, Vec<&str>>> = BTreeMap::new();
    for (name, send) in WAYS {
        let sent = expected.entry(name).or_default();
        for case in &cases {
            for payload in send(&rig, name, case) {
                sent.entry(cut(&payload)).or_default().push(&case.name);
            }
            let alive = get(rig.server.http, "/healthz", None);
            assert!(alive.is_some_and(|(status, _)| status == 200), "{name}: {}", case.name);
        }
    }
    for (name, mut sent) in expected {
        if !rig.has(name) {
            continue;
        }
        let total = sent.values().map(Vec::len).sum();
        let records = await_some("all that was sent to be durable", || {
            let records = rig.server.records(name);
            (records.len() >= total).then_some(records)
        });
        for record in &records {
            let found = rig.view(name, record);
            let of = sent.get_mut(&found).and_then(Vec::pop);
            assert!(of.is_some(), "{name}: nobody sent {}", shown(&found));
        }
        for (missing, of) in sent {
            assert!(of.is_empty(), "{name}: not there, of {of:?}: {}", shown(&missing));
        }
        await_some("the account", || {
            (rig.server.account(name).0 == total as u64).then_some(())
        });
        println!("{name}: {total} records");
    }
    rig.end(RSS_KIB_MAX);
}

fn shown((head, bytes): &Kept) -> String {
    let head: String = String::from_utf8_lossy(head).chars().take(200).collect();
    format!("{bytes} bytes: {head:?}")
}

/// The files as they are, as the body of every request that takes one, whatever it should be.
#[test]
fn a_body_that_is_not_what_it_should_be_is_answered() {
    let Some(cases) = cases() else { return };
    let rig = Rig::start();
    let paths = [
        ("/api/v1/ingest/junk", "application/x-ndjson"),
        ("/api/v1/ingest/junk", "application/json"),
        ("/junk/_bulk", "application/x-ndjson"),
        ("/services/collector/event?index=junk", "application/json"),
        ("/services/collector/raw?index=junk", "text/plain"),
        ("/v1/logs", "application/json"),
        ("/v1/logs", "application/x-protobuf"),
        (
            "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
            "application/grpc",
        ),
    ];
    let post = |path: &str, headers: &[(&str, &str)], body: &[u8]| {
        let answer = request(rig.server.http, "POST", path, Some(&rig.token), headers, body);
        answer.unwrap_or_else(|| panic!("{path} {headers:?}: no answer"))
    };
    for case in &cases {
        for (path, kind) in paths {
            let (status, said) = post(path, &[("Content-Type", kind)], &case.bytes);
            // gRPC's own status is in the trailers.
            assert!(
                matches!(status, 200 | 400 | 413),
                "{path} {kind} {}: {status} {said}",
                case.name
            );
            for encoding in ["gzip", "zstd"] {
                let headers = [("Content-Type", kind), ("Content-Encoding", encoding)];
                let (status, said) = post(path, &headers, &case.bytes);
                let fine = matches!(status, 200 | 400 | 413)
                    && (status != 200 || case.bytes.is_empty() || kind.ends_with("grpc"));
                assert!(fine, "{path} {kind} {encoding} {}: {status} {said}", case.name);
            }
        }
    }
    // What inflates to more than is taken is refused, wherever it comes.
    let large = vec![b'x'; 200 << 20];
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &large).unwrap();
    let bombs = [
        ("gzip", gzip.finish().unwrap()),
        ("zstd", zstd::encode_all(&large[..], 3).unwrap()),
    ];
    for (encoding, bomb) in &bombs {
        for (path, kind) in &paths[..7] {
            let headers = [("Content-Type", *kind), ("Content-Encoding", *encoding)];
            let (status, said) = post(path, &headers, bomb);
            assert_eq!(status, 413, "{path} {kind} {encoding}: {said}");
        }
    }
    let received = rig.server.records("junk").len() as u64;
    assert!(received > 0);
    await_some("the account", || {
        (rig.server.account("junk").0 == received).then_some(())
    });
    rig.end(RSS_KIB_MAX);
}

/// Three messages: the second has a line's end in it, the third's count is wrong.
#[test]
fn a_wrong_count_merges_nothing() {
    let Some(cases) = cases() else { return };
    let rig = Rig::start();
    let case: &Case = cases.iter().find(|c| c.name == "octet_counted_syslog.bin").unwrap();
    rig.tcp(&case.bytes);
    let kept = rig.server.records("tcp");
    let texts: Vec<String> = kept
        .iter()
        .map(|r| String::from_utf8_lossy(&r.payload).into_owned())
        .collect();
    assert_eq!(texts.len(), 3, "{texts:?}");
    assert!(texts[1].contains('\n'), "{texts:?}");
    let whole: usize = kept.iter().map(|r| r.payload.len()).sum();
    let counts = case.bytes.len() - whole;
    assert!(
        (9..=12).contains(&counts),
        "{counts} bytes are not in the records: {texts:?}"
    );
    rig.end(RSS_KIB_MAX);
}
