//! Real lines of every format, repeated until they are some megabytes, in memory; what varies in life varies in them.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bytes::Bytes;
use ingest::replay::{Options, open};
use model::{Coordinate, Millis, RawRecord};

use crate::stages::START;

mod vary;

use vary::Random;

/// What a format is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// `serde_json` parsing the same bytes to its `Value`.
    Json,
    /// `syslog_loose` parsing the envelope.
    Syslog,
    /// Nothing: the peers read something else.
    None,
}

impl Peer {
    /// As the peers' program calls it.
    pub fn name(self) -> &'static str {
        match self {
            Peer::Json => "json",
            Peer::Syslog => "syslog",
            Peer::None => "",
        }
    }
}

/// Records of one format.
#[derive(Debug)]
pub struct Corpus {
    /// The format's name in the configuration.
    pub format: &'static str,
    /// What it is held against.
    pub peer: Peer,
    /// The folder or file that the lines are of.
    pub from: &'static str,
    /// The lines, each once.
    lines: Vec<Bytes>,
    /// How many records there are.
    pub count: usize,
}

impl Corpus {
    /// The records: the lines again and again, each time with other times of day, ids, counters, addresses and people; others of each
    /// `round`, the same ones of the same round.
    #[must_use]
    pub fn records(&self, round: u64) -> Vec<RawRecord> {
        let mut random = Random::new(round + 1);
        let lines = self.lines.iter().cycle().take(self.count).zip(0..);
        lines
            // Each in memory of its own, as records of a ledger are.
            .map(|(line, offset)| record(self.format, vary::vary(line, &mut random).into(), offset))
            .collect()
    }
}

/// Format, peer, and where its lines are: below `../shared/data`, or below `fixtures` where that has none.
const SOURCES: &[(&str, Peer, &str)] = &[
    ("kubernetes_audit", Peer::Json, "data/k8s_audit/events.ndjson"),
    ("okta", Peer::Json, "data/okta/events.ndjson"),
    (
        "cloud_trail",
        Peer::Json,
        "data/aws_cloudtrail/stratus_detonations.ndjson",
    ),
    ("teleport", Peer::Json, "data/teleport/audit_events.ndjson"),
    ("github_audit", Peer::Json, "data/github_audit/events.ndjson"),
    ("nginx_json", Peer::Json, "data/lab_nginx/nginx_json.ndjson"),
    (
        "windows_events",
        Peer::Json,
        "data/windows_eventlog/schtask_create.ndjson",
    ),
    ("ecs", Peer::Json, "data/envelopes/ecs.ndjson"),
    ("gelf", Peer::Json, "data/envelopes/gelf.ndjson"),
    ("otlp", Peer::Json, "data/envelopes/otlp_logs.json"),
    ("collector", Peer::Json, "data/envelopes/wrapped.ndjson"),
    ("web_audit", Peer::Json, "fixtures/web_audit/event.log"),
    ("action_trail", Peer::Json, "fixtures/action_trail/event.log"),
    ("bastionhost", Peer::Json, "fixtures/bastionhost/files_logons.log"),
    ("gitlab_audit", Peer::Json, "fixtures/gitlab_audit/events.log"),
    ("systemd_journal", Peer::Json, "fixtures/systemd_journal/json.log"),
    ("docket", Peer::Json, "fixtures/docket/acts.log"),
    ("linux_auth", Peer::Syslog, "data/loghub_linux_openssh/part1.log"),
    ("syslog_other", Peer::Syslog, "data/loghub_linux_syslog/part1.log"),
    ("syslog_rfc5424", Peer::Syslog, "data/lab_linux_syslog/rfc5424.log"),
    ("linux", Peer::Syslog, "data/lab_linux_syslog/rfc3164_file.log"),
    ("jumpserver", Peer::None, "fixtures/jumpserver"),
    ("access_log", Peer::None, "data/lab_nginx/nginx_combined.log"),
    ("error_log", Peer::None, "data/loghub_apache_error/part1.log"),
    ("linux_auditd", Peer::None, "data/linux_auditd/normal.log"),
    (
        "postgresql",
        Peer::None,
        "data/lab_postgres_pgaudit/postgresql_stderr.log",
    ),
    (
        "mysql_audit",
        Peer::None,
        "data/lab_mariadb_audit/mariadb_server_audit.log",
    ),
    ("windows", Peer::None, "fixtures/windows_events/xml.log"),
    ("cef", Peer::None, "data/envelopes/cef.log"),
    ("leef", Peer::None, "fixtures/leef/events.log"),
];

/// The corpora of at least `bytes` each; those whose lines are not there are left out.
///
/// # Errors
/// A file cannot be read.
pub fn all(bytes: usize) -> anyhow::Result<Vec<Corpus>> {
    let repository = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let mut all = Vec::new();
    for (format, peer, from) in SOURCES {
        let path = if from.starts_with("data") {
            repository.join("../shared").join(from)
        } else {
            repository.join(from)
        };
        let files = match path.is_dir() {
            true => std::fs::read_dir(&path)?
                .map(|f| f.map(|f| f.path()))
                .collect::<Result<Vec<PathBuf>, _>>()?,
            false => vec![path],
        };
        let mut files: Vec<_> = files.into_iter().filter(|f| is_lines(f)).collect();
        files.sort();
        let mut payloads = Vec::new();
        for file in files.iter().filter(|f| f.exists()) {
            for record in open(file, Options::new(START))? {
                payloads.push(record.with_context(|| file.display().to_string())?.payload);
            }
        }
        let once: usize = payloads.iter().map(Bytes::len).sum();
        if once == 0 {
            eprintln!("left out: {from} is not there");
            continue;
        }
        all.push(Corpus {
            format,
            peer: *peer,
            from,
            count: payloads.len() * bytes.div_ceil(once),
            lines: payloads,
        });
    }
    Ok(all)
}

fn is_lines(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    ["log", "ndjson", "json", "zst"].contains(&extension) && !path.to_string_lossy().ends_with(".ocsf.json")
}

fn record(format: &str, payload: Bytes, offset: i64) -> RawRecord {
    RawRecord {
        coordinate: Coordinate::new(format!("bench.{format}"), 0, offset),
        received_at: Millis(START.0 + offset),
        source: "bench".into(),
        peer: None,
        key: None,
        headers: Vec::new(),
        payload,
        truncated: None,
    }
}
