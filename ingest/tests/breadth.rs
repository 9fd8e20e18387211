//! Every file of the shared data beside the checkout, whatever it is: each record gives an event or more, each event passes the
//! schema, and of the files of a named format at least 97 of 100 records are read in it. With `--nocapture` a table is printed.
//!
//! The formats are told by the bytes alone: no topic, no source, no setting helps, but for the files that [`CONFIGURED`] names.

#![allow(clippy::unwrap_used)] // a test may panic

mod schema;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ingest::replay::{Options, Reading, open};
use ingest::{Normalizer, Settings, SourceSettings};
use model::{Coordinate, Millis, RawRecord};

/// Files that hold no records, and why.
const NO_RECORDS: &[(&str, &str)] = &[
    (
        "sigmahq_rules.tar.zst",
        "an archive of rules, megabytes of them when unpacked",
    ),
    // 8 MB in one line: the checker would read it again. `shared_data.rs` holds it against the manifest.
    ("hostile/line_8mb.log.zst", "held against the manifest by another test"),
];

/// What must be read in which formats, by the beginning of the path. What is not listed may become anything that passes.
const NAMED: &[(&str, &[&str])] = &[
    ("apache_combined/", &["access_log"]),
    ("aws_cloudtrail/", &["cloud_trail"]),
    ("envelopes/cef", &["cef", "leef"]),
    ("envelopes/ecs", &["ecs"]),
    ("envelopes/gelf", &["gelf"]),
    ("envelopes/otlp", &["otlp"]),
    ("envelopes/wrapped", &["collector"]),
    ("github_audit/", &["github_audit"]),
    ("k8s_audit/", &["kubernetes_audit"]),
    ("lab_linux_syslog/", &["linux_auth", "syslog_other"]),
    ("lab_mariadb_audit/", &["mysql_audit"]),
    ("lab_nginx/nginx_combined", &["access_log"]),
    ("lab_nginx/nginx_error", &["error_log"]),
    ("lab_nginx/nginx_json", &["nginx_json"]),
    ("lab_postgres_pgaudit/", &["postgresql"]),
    ("linux_auditd/audit-rhel7.log", &["linux_auditd"]),
    ("linux_auditd/audit-ubuntu16.log", &["linux_auditd"]),
    ("linux_auditd/lost_messages.log", &["linux_auditd"]),
    ("linux_auditd/normal.log", &["linux_auditd"]),
    ("linux_auditd/out_of_order.log", &["linux_auditd"]),
    ("linux_auditd/test2.log", &["linux_auditd"]),
    ("linux_auth/", &["linux_auth", "syslog_other"]),
    ("loghub_apache_error/part", &["error_log"]),
    ("loghub_linux_openssh/part", &["linux_auth", "syslog_other"]),
    ("loghub_linux_syslog/part", &["linux_auth", "syslog_other"]),
    ("okta/", &["okta"]),
    ("plaso_misc/postgresql", &["postgresql"]),
    ("plaso_misc/syslog", &["linux_auth", "syslog_other"]),
    (
        "scenario/capture",
        &[
            "jumpserver",
            "action_trail",
            "web_audit",
            "linux_auth",
            "syslog_other",
            "nginx_json",
            "access_log",
        ],
    ),
    ("scenario/raw/actiontrail", &["action_trail"]),
    ("scenario/raw/jumpserver", &["jumpserver"]),
    ("scenario/raw/linux", &["linux_auth", "syslog_other"]),
    ("scenario/raw/nginx", &["nginx_json", "access_log"]),
    ("scenario/raw/webaudit", &["web_audit"]),
    ("teleport/", &["teleport"]),
    ("windows_eventlog/", &["windows_events"]),
];

/// Lines of a named format's file that are of another kind: what they hold, and what they are.
const OTHERS: &[(&str, &str, &str)] = &[
    (
        "okta/",
        "\"baseline_total_policy_changes\"",
        "results of somebody's query, not the log's lines",
    ),
    (
        "github_audit/",
        "\"repository\":{",
        "webhook deliveries, not the audit log",
    ),
];

/// Files whose lines cannot be told alone, because some are further lines of the one before: their source's format is named, as an
/// operator does.
const CONFIGURED: &[(&str, &str)] = &[
    ("lab_postgres_pgaudit/", "postgresql"),
    ("plaso_misc/postgresql", "postgresql"),
    ("plaso_misc/syslog", "linux_auth"),
];

/// A line is what a file has; one object over many lines is one record.
const WHOLE_BYTES_MAX: usize = 1 << 20;

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => files(&entry.path(), found),
            false => found.push(entry.path()),
        }
    }
}

/// The records of a file, and how many there must be; `None`: what parts them is another test's affair.
fn records(path: &Path, name: &str) -> (Vec<RawRecord>, Option<usize>) {
    let mut options = Options::new(Millis::parse("2026-11-22T12:00:00+00:00").unwrap());
    let bytes = fs::read(path).unwrap();
    let text = bytes.trim_ascii();
    let first = text.split(|b| *b == b'\n').next().unwrap_or_default();
    let is_object = text.starts_with(b"{") || text.starts_with(b"[") || text.starts_with(b"<PlainEvent");
    let whole = is_object
        && serde_json::from_slice::<serde_json::Value>(first).is_err()
        && !name.starts_with("hostile/")
        && text.len() <= WHOLE_BYTES_MAX
        && (serde_json::from_slice::<serde_json::Value>(text).is_ok() || text.starts_with(b"<PlainEvent"));
    if whole {
        let record = RawRecord {
            coordinate: Coordinate::new("t", 0, 0),
            received_at: options.received_at,
            source: "anything".into(),
            peer: None,
            key: None,
            headers: Vec::new(),
            payload: text.to_vec().into(),
            truncated: None,
        };
        return (vec![record], Some(1));
    }
    if name == "scenario/capture.ndjson.zst" {
        options.reading = Reading::Kcat;
    }
    let records: Vec<RawRecord> = open(path, options)
        .unwrap()
        .map(Result::unwrap)
        .map(|r| RawRecord {
            coordinate: Coordinate::new("t", 0, r.coordinate.offset),
            source: "anything".into(),
            ..r
        })
        .collect();
    let bytes = match path.extension().is_some_and(|e| e == "zst") {
        true => zstd::decode_all(&bytes[..]).unwrap(),
        false => bytes,
    };
    let lines = bytes
        .split(|b| *b == b'\n')
        .filter(|l| !l.trim_ascii().is_empty())
        .count();
    let counted = !name.starts_with("hostile/");
    (records, counted.then_some(lines))
}

#[test]
fn every_file_of_the_shared_data_becomes_valid_events() {
    let Some(data) = schema::shared("data") else { return };
    let mut paths = Vec::new();
    files(&data, &mut paths);
    paths.sort();
    let mut checker = schema::Checker::new();
    let mut wrong = Vec::new();
    let mut rows = Vec::new();
    let mut named_unseen: Vec<&str> = NAMED.iter().map(|(start, _)| *start).collect();
    for path in &paths {
        let name = path.strip_prefix(&data).unwrap().to_string_lossy().into_owned();
        if let Some((_, why)) = NO_RECORDS.iter().find(|(n, _)| *n == name) {
            println!("{name}: not read, {why}");
            continue;
        }
        let (records, expected) = records(path, &name);
        if expected.is_some_and(|n| n != records.len()) {
            wrong.push(format!("{name}: {} records of {expected:?}", records.len()));
        }
        let mut formats: BTreeMap<&str, usize> = BTreeMap::new();
        let (mut events, mut quarantined, mut at_home) = (0, 0, 0);
        let allowed = NAMED
            .iter()
            .find(|(start, _)| name.starts_with(start) && !name.ends_with(".golden"));
        let format = CONFIGURED.iter().find(|(start, _)| name.starts_with(start));
        let normalizer = Normalizer::new(Settings {
            default: SourceSettings {
                format: format.map(|(_, format)| (*format).into()),
                ..SourceSettings::default()
            },
            ..Settings::default()
        });
        let mut others = 0;
        let first_event = checker.len();
        for record in &records {
            let normalized = normalizer.normalize_plain(record);
            if normalized.events.is_empty() {
                wrong.push(format!("{name}: no event of record {}", record.coordinate));
            }
            *formats.entry(normalized.format).or_default() += 1;
            quarantined += usize::from(normalized.quarantined.is_some());
            let text = String::from_utf8_lossy(&record.payload);
            let other = OTHERS
                .iter()
                .any(|(start, mark, _)| name.starts_with(start) && text.contains(mark));
            others += usize::from(other);
            let home = !other && allowed.is_some_and(|(_, formats)| formats.contains(&normalized.format));
            at_home += usize::from(home && normalized.quarantined.is_none());
            for event in &normalized.events {
                events += 1;
                checker.add(&name, &serde_json::Value::Object(event.ocsf.clone()));
            }
        }
        if let Some((start, formats)) = allowed {
            named_unseen.retain(|n| n != start);
            let real = records.len() - others;
            if at_home * 100 < real * 97 || real == 0 {
                wrong.push(format!("{name}: {at_home} of {real} records read as {formats:?}"));
            }
        }
        rows.push((
            name,
            formats,
            records.len(),
            events,
            quarantined,
            first_event..checker.len(),
        ));
    }
    for start in named_unseen {
        wrong.push(format!("{start}: no such file"));
    }
    let errors = checker.errors().unwrap_or_default();
    println!(
        "{:62} {:>7} {:>7} {:>6} {:>6}  formats",
        "file", "records", "events", "quar.%", "errors"
    );
    for (name, formats, records, events, quarantined, range) in &rows {
        let bad = errors.iter().filter(|(at, _)| range.contains(at)).count();
        let share = 100.0 * *quarantined as f64 / (*records).max(1) as f64;
        let formats: Vec<String> = formats.iter().map(|(f, n)| format!("{f} {n}")).collect();
        println!(
            "{name:62} {records:>7} {events:>7} {share:>6.1} {bad:>6}  {}",
            formats.join(", ")
        );
    }
    let sum = |of: fn(
        &(
            String,
            BTreeMap<&str, usize>,
            usize,
            usize,
            usize,
            std::ops::Range<usize>,
        ),
    ) -> usize|
     -> usize { rows.iter().map(of).sum() };
    println!(
        "{} files, {} records, {} events, {} quarantined, {} with errors",
        rows.len(),
        sum(|r| r.2),
        sum(|r| r.3),
        sum(|r| r.4),
        errors.len()
    );
    wrong.extend(errors.into_iter().take(10).map(|(_, complaint)| complaint));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
