//! The shared data of cloud services and envelopes: every file becomes events that pass the schema; none of a named format is
//! lost to quarantine. Skipped where it is absent.

#![allow(clippy::unwrap_used)] // a test may panic

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use ingest::replay::{Options, open};
use ingest::{Normalized, Normalizer};
use model::{Coordinate, Millis, RawRecord};

fn shared(what: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared").join(what);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: ../shared/{what} is not there");
    None
}

fn check_schema(what: &str, all: &[Normalized]) {
    let Some(checker) = shared("ocsf/validate.py") else {
        return;
    };
    let mut file = tempfile::NamedTempFile::new().unwrap();
    for event in all.iter().flat_map(|n| &n.events) {
        writeln!(file, "{}", serde_json::to_string(&event.ocsf).unwrap()).unwrap();
    }
    let run = Command::new("python3")
        .arg(checker)
        .arg("--only-bad")
        .arg(file.path())
        .output();
    let Ok(run) = run else {
        return println!("skipped: no python3");
    };
    let bad = String::from_utf8_lossy(&run.stdout);
    let summary = String::from_utf8_lossy(&run.stderr);
    println!("{what}: {summary}");
    assert!(
        run.status.success(),
        "{what}: {summary}\n{}",
        bad.lines().take(5).collect::<Vec<_>>().join("\n")
    );
}

/// The files of a folder: what is a row of lines is read so, what is one object over several lines as one record.
fn records(folder: &Path) -> Vec<(String, RawRecord)> {
    let at = Millis::parse("2026-03-10T00:00:00+08:00").unwrap();
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    let mut found = Vec::new();
    for path in files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read(&path).unwrap();
        let text = text.trim_ascii_start().to_vec();
        let first = text.split(|b| *b == b'\n').next().unwrap_or_default();
        let pretty = text.starts_with(b"{") && serde_json::from_slice::<serde_json::Value>(first).is_err();
        if pretty && text.len() < 1 << 20 {
            let record = RawRecord {
                payload: text.into(),
                ..template(at)
            };
            found.push((name, record));
            continue;
        }
        let mut options = Options::new(at);
        options.source = Some("anything".into());
        for record in open(&path, options).unwrap() {
            found.push((name.clone(), record.unwrap()));
        }
    }
    found
}

fn template(at: Millis) -> RawRecord {
    RawRecord {
        coordinate: Coordinate {
            topic: "t".into(),
            partition: 0,
            offset: 0,
        },
        source: "anything".into(),
        peer: None,
        received_at: at,
        key: None,
        headers: Vec::new(),
        payload: Default::default(),
        truncated: None,
    }
}

#[test]
fn every_file_becomes_valid_events() {
    let normalizer = Normalizer::default();
    for (folder, format, named) in [
        ("teleport", "teleport", 94),
        ("k8s_audit", "kubernetes_audit", 150),
        ("aws_cloudtrail", "cloud_trail", 1500),
        ("okta", "okta", 10),
        ("github_audit", "github_audit", 50),
        ("gsuite", "json", 14),
        ("slack_audit", "json", 0),
        ("azure_signin", "json", 0),
        ("envelopes", "cef", 4),
        ("zeek", "json", 262),
        ("ocsf_examples", "json", 1),
    ] {
        let Some(path) = shared(&format!("data/{folder}")) else {
            continue;
        };
        let mut formats = BTreeMap::new();
        let mut reasons = BTreeMap::new();
        let mut all = Vec::new();
        for (name, record) in records(&path) {
            let n = normalizer.normalize(&record);
            assert!(!n.events.is_empty(), "{name}");
            *formats.entry(n.format).or_insert(0) += 1;
            // Some examples are no JSON themselves.
            let broken = record.payload.starts_with(b"{")
                && serde_json::from_slice::<serde_json::Value>(&record.payload).is_err();
            if let Some(reason) = n.quarantined.filter(|_| !broken) {
                *reasons.entry((name, reason.0)).or_insert(0) += 1;
            }
            all.push(n);
        }
        println!("{folder}: {formats:?} {reasons:?}");
        check_schema(folder, &all);
        assert!(
            formats.get(format).copied().unwrap_or(0) >= named,
            "{folder}: {formats:?}"
        );
        // Windows events rendered as text are no format of ours.
        let unreadable: usize = reasons
            .iter()
            .filter(|((name, _), _)| !name.starts_with("Microsoft_Windows"))
            .map(|(_, n)| *n)
            .sum();
        assert_eq!(unreadable, 0, "{folder}: {reasons:?}");
    }
}
