//! auditd, the journal, databases and Windows against the shared data beside the checkout; skipped where it is absent.
//!
//! Every event passes the independent checker, nothing of a named format is quarantined beyond 3 %, and every record
//! gives an event.

#![allow(clippy::unwrap_used)] // a test may panic

mod schema;

use std::fs;
use std::path::{Path, PathBuf};

use ingest::join::Assembler;
use ingest::replay::{Options, open};
use ingest::{Normalized, Normalizer, Settings, SourceSettings};
use model::{LedgerIndex, Millis, PlainEvent, RawRecord};
use schema::{Checker, shared};

const AT: &str = "2026-11-22T12:00:00+00:00";

fn records(path: &Path) -> Vec<RawRecord> {
    open(path, Options::new(Millis::parse(AT).unwrap()))
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

fn normalizer(format: &str) -> Normalizer {
    let default = SourceSettings {
        format: Some(format.into()),
        ..SourceSettings::default()
    };
    Normalizer::new(Settings {
        default,
        ..Settings::default()
    })
}

fn is_labelled(event: &PlainEvent, label: &str) -> bool {
    let labels = &event.ocsf["metadata"]["labels"];
    labels.as_array().is_some_and(|l| l.iter().any(|l| l == label))
}

/// Normalizes a file as a format, and as what detection makes of it: both are the format.
fn check_file(format: &str, path: &Path) -> Vec<Normalized<PlainEvent>> {
    let (named, detected) = (normalizer(format), Normalizer::default());
    let records = records(path);
    let what = path.display();
    let all: Vec<Normalized<PlainEvent>> = records.iter().map(|r| named.normalize_plain(r)).collect();
    let quarantined: Vec<_> = all
        .iter()
        .zip(&records)
        .filter(|(n, _)| n.quarantined.is_some())
        .collect();
    assert!(
        quarantined.len() * 100 <= records.len() * 3,
        "{what}: {} of {} quarantined, first: {:?} {:?}",
        quarantined.len(),
        records.len(),
        quarantined[0].0.quarantined,
        quarantined[0].1.payload
    );
    for (record, normalized) in records.iter().zip(&all) {
        assert!(!normalized.events.is_empty());
        if normalized
            .events
            .iter()
            .any(|e| is_labelled(e, "postgresql.continuation"))
        {
            continue;
        }
        let mut record = record.clone();
        record.source = "".into();
        record.coordinate.topic = "x".into();
        let found = detected.normalize_plain(&record);
        if normalized.quarantined.is_none() {
            assert_eq!(found.format, format, "{what}: {:?} {}", record.payload, found.reason);
        }
    }
    Checker::check(&what.to_string(), all.iter().flat_map(|n| &n.events));
    all
}

fn files(folder: &str, extensions: &[&str]) -> Vec<PathBuf> {
    let Some(folder) = shared(folder) else {
        return Vec::new();
    };
    let mut all: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| extensions.iter().any(|e| p.to_string_lossy().ends_with(e)))
        .collect();
    all.sort();
    all
}

#[test]
fn auditd_line_by_line() {
    for path in files("data/linux_auditd", &[".log"]) {
        check_file("linux_auditd", &path);
    }
}

/// The lines of a file, put together again and normalized.
fn joined(text: &str) -> Vec<PlainEvent> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    fs::write(&path, text).unwrap();
    let normalizer = normalizer("linux_auditd");
    let mut assembler = Assembler::default();
    let mut wholes = Vec::new();
    for (n, record) in records(&path).into_iter().enumerate() {
        wholes.extend(assembler.advance(record.received_at));
        match normalizer.piece(&record) {
            Some(piece) => wholes.extend(assembler.push(LedgerIndex(n as u64), record, piece)),
            // One line of the data is `type=UNKNOWN[1329] msg=?`: no audit line, an event of its own.
            None => assert_eq!(normalizer.normalize_plain(&record).events.len(), 1),
        }
    }
    wholes.extend(assembler.flush());
    wholes
        .iter()
        .flat_map(|whole| normalizer.normalize_whole_plain(whole).events)
        .collect()
}

#[test]
fn a_joined_event_names_all_its_records() {
    let lines = [
        r#"type=SYSCALL msg=audit(1772413593.412:901): arch=c000003e syscall=59 success=yes exit=0 items=0 ppid=2 pid=3 auid=1001 uid=0 euid=0 ses=4 comm="rm" exe="/usr/bin/rm" key=(null)"#,
        r#"type=EXECVE msg=audit(1772413593.412:901): argc=3 a0="rm" a1="-rf" a2=2F746D702F612062"#,
        "type=EOE msg=audit(1772413593.412:901): ",
    ];
    let events = joined(&lines.join("\n"));
    let [event] = events.as_slice() else {
        panic!("one event")
    };
    assert_eq!(&*event.uid, "audit/0/0");
    assert_eq!(event.text("process.cmd_line"), Some("rm -rf '/tmp/a b'"));
    assert_eq!(event.text("actor.user.uid"), Some("1001"));
    assert_eq!(event.commands, ["rm -rf /tmp/a b"]);
    let labels = event.get("metadata").unwrap()["labels"].as_array().unwrap();
    let records: Vec<_> = labels
        .iter()
        .filter_map(|l| l.as_str()?.strip_prefix("record:"))
        .collect();
    assert_eq!(records, ["audit/0/0", "audit/0/1", "audit/0/2"]);
}

#[test]
fn auditd_joined() {
    for path in files("data/linux_auditd", &[".log"]) {
        Checker::check(
            &path.display().to_string(),
            &joined(&fs::read_to_string(&path).unwrap()),
        );
    }
    // The cases of go-libaudit: a name and its lines, indented.
    for path in files("data/linux_auditd", &[".yaml"]) {
        let text = fs::read_to_string(&path).unwrap();
        let lines: String = text
            .lines()
            .filter(|l| l.trim_start().starts_with("type="))
            .map(|l| format!("{}\n", l.trim_start()))
            .collect();
        Checker::check(&path.display().to_string(), &joined(&lines));
    }
}

#[test]
fn auditd_joined_says_who_did_what() {
    let Some(path) = shared("data/linux_auditd/normal.log") else {
        return;
    };
    let events = joined(&fs::read_to_string(path).unwrap());
    let told: Vec<_> = events
        .iter()
        .map(|e| {
            let text = |path| e.text(path).unwrap_or("").to_owned();
            let at = e.time.0;
            (
                e.class_uid,
                at,
                text("actor.user.uid"),
                text("process.cmd_line"),
                text("dst_endpoint.ip"),
            )
        })
        .collect();
    let row = |class, at, who: &str, what: &str, on: &str| (class, at, who.to_owned(), what.to_owned(), on.to_owned());
    assert_eq!(
        told,
        [
            row(4001, 1_492_037_289_295, "", "", "169.254.169.254"),
            row(1007, 1_492_037_291_036, "1000", "grep --color=auto mapping", ""),
            row(1007, 1_492_037_291_038, "1000", "cat securitybeat", ""),
            row(0, 1_492_037_298_883, "", "", ""),
            row(0, 1_492_037_298_883, "", "", ""),
        ]
    );
}

#[test]
fn mariadb() {
    let Some(path) = shared("data/lab_mariadb_audit/mariadb_server_audit.log") else {
        return;
    };
    let all = check_file("mysql_audit", &path);
    let count = |class, activity: i64| {
        all.iter()
            .flat_map(|n| &n.events)
            .filter(|e| e.class_uid == class && e.ocsf["activity_id"] == activity)
            .count()
    };
    // As `grep -c` counts them in the file.
    let text = fs::read_to_string(path).unwrap();
    let lines = |what: &str| text.lines().filter(|l| l.contains(what)).count();
    assert_eq!(count(3002, 1), lines(",CONNECT,") + lines(",FAILED_CONNECT,"));
    assert_eq!(count(3002, 2), lines(",DISCONNECT,"));
}

#[test]
fn postgresql() {
    for path in ["postgresql_stderr.log", "postgresql.csv"] {
        let Some(path) = shared(&format!("data/lab_postgres_pgaudit/{path}")) else {
            return;
        };
        let all = check_file("postgresql", &path);
        let text = fs::read_to_string(path).unwrap();
        let lines = |what: &str| text.lines().filter(|l| l.contains(what)).count();
        let statements = all
            .iter()
            .flat_map(|n| &n.events)
            .filter(|e| e.class_uid == 6005 && e.ocsf["unmapped"].get("audit_type").is_some());
        assert_eq!(statements.count(), lines("AUDIT: "));
        let refused = all
            .iter()
            .flat_map(|n| &n.events)
            .filter(|e| e.class_uid == 3002 && e.ocsf["status_id"] == 2);
        assert_eq!(refused.count(), lines("FATAL"));
    }
    if let Some(path) = shared("data/plaso_misc/postgresql.log") {
        check_file("postgresql", &path);
    }
}

#[test]
fn windows() {
    for path in files("data/windows_eventlog", &[".ndjson", ".zst"]) {
        let all = check_file("windows_events", &path);
        for event in all.iter().flat_map(|n| &n.events) {
            if event.class_uid == 1007 && event.ocsf["activity_id"] == 1 {
                assert!(event.native.contains_key("Image"), "{:?}", event.native);
                assert_eq!(event.logsource.category.as_deref(), Some("process_creation"));
            }
        }
    }
}
