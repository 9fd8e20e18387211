//! The cases of `fixtures/`: `<format>/<case>.log`, beside it what it must give.
//!
//! A case `x.at` holds the `received_at` of `x.log`; else it is 2026-03-06T00:00:00+08:00. The lines of a case of
//! any format whose name starts with `joined` are put together first, as the pipeline does.

#![allow(dead_code)] // each test takes what it needs

use std::fs;
use std::path::{Path, PathBuf};

use ingest::join::Assembler;
use ingest::mapping::Mapping;
use ingest::replay::{Options, open};
use ingest::{Normalized, Normalizer, Settings, SourceSettings};
use model::{LedgerIndex, Millis, PlainEvent, RawRecord};
use serde_json::Value;

/// A case.
#[derive(Clone, Debug)]
pub struct Case {
    /// The format that its lines are read in.
    pub format: String,
    /// `<case>.log`.
    pub log: PathBuf,
}

/// An event of a case.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The line, from 1, with `#1`, `#2` … for its second and later events.
    pub line: String,
    /// The event.
    pub event: PlainEvent,
    /// Why its record, or a part of it, could not be parsed.
    pub quarantined: Option<&'static str>,
}

/// The folder of all cases.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures")
}

/// Every case, in order of format and name.
pub fn all() -> Vec<Case> {
    let mut found = Vec::new();
    for folder in fs::read_dir(fixtures())
        .expect("the fixtures")
        .map(Result::unwrap)
        .filter(|e| e.path().is_dir())
    {
        let format = folder.file_name().to_string_lossy().into_owned();
        for file in fs::read_dir(folder.path()).unwrap().map(Result::unwrap) {
            if file.path().extension().is_some_and(|e| e == "log") && ingest::format::by_name(&format).is_some() {
                found.push(Case {
                    format: format.clone(),
                    log: file.path(),
                });
            }
        }
    }
    assert!(!found.is_empty());
    found.sort_by(|a, b| a.log.cmp(&b.log));
    found
}

impl Case {
    /// The file of that extension beside the lines.
    pub fn beside(&self, extension: &str) -> PathBuf {
        self.log.with_extension(extension)
    }

    /// `jumpserver/login_log`
    pub fn name(&self) -> String {
        format!("{}/{}", self.format, self.log.file_stem().unwrap().to_string_lossy())
    }

    /// Its lines.
    pub fn records(&self) -> Vec<RawRecord> {
        let at = fs::read_to_string(self.beside("at")).unwrap_or_else(|_| "2026-03-06T00:00:00+08:00".to_owned());
        open(&self.log, Options::new(Millis::parse(at.trim()).unwrap()))
            .unwrap()
            .map(Result::unwrap)
            .collect()
    }

    /// What reads its lines.
    pub fn normalizer(&self) -> Normalizer {
        let mut default = SourceSettings {
            format: Some(self.format.as_str().into()),
            ..SourceSettings::default()
        };
        if let Ok(mapping) = fs::read_to_string(self.beside("toml")) {
            let mapping = Mapping::read(&mapping).unwrap_or_else(|p| panic!("{}.toml:{}", self.name(), p[0]));
            default.use_mapping(mapping.into());
        }
        Normalizer::new(Settings {
            default,
            ..Settings::default()
        })
    }

    /// Its events.
    pub fn events(&self) -> Vec<Outcome> {
        let normalizer = self.normalizer();
        let mut records = self.records();
        if self.name().contains("/joined") {
            return joined(&normalizer, &records);
        }
        records
            .drain(..)
            .flat_map(|record| outcomes(normalizer.normalize_plain(&record), &record))
            .collect()
    }
}

fn outcomes(normalized: Normalized<PlainEvent>, record: &RawRecord) -> Vec<Outcome> {
    let quarantined = normalized.quarantined.map(|q| q.0);
    let line = record.coordinate.offset + 1;
    let outcome = |(n, event)| Outcome {
        line: if n == 0 {
            line.to_string()
        } else {
            format!("{line}#{n}")
        },
        event,
        quarantined,
    };
    normalized.events.into_iter().enumerate().map(outcome).collect()
}

fn joined(normalizer: &Normalizer, records: &[RawRecord]) -> Vec<Outcome> {
    let mut assembler = Assembler::default();
    let mut wholes = Vec::new();
    for (n, record) in records.iter().enumerate() {
        wholes.extend(assembler.advance(record.received_at));
        let piece = normalizer.piece(record).expect("an audit line");
        wholes.extend(assembler.push(LedgerIndex(n as u64), record.clone(), piece));
    }
    wholes.extend(assembler.flush());
    let mut out = Vec::new();
    for whole in &wholes {
        out.extend(outcomes(normalizer.normalize_whole_plain(whole), &whole.record));
    }
    out
}

/// An event as OCSF JSON.
pub fn ocsf(event: &PlainEvent) -> Value {
    Value::Object(event.ocsf.clone())
}
