//! Every `fixtures/<format>/<case>.log` against its `<case>.ocsf.json`: one event a line, in order.
//!
//! `UPDATE_GOLDEN=1` rewrites the goldens; then read the diff. A case `x.at` holds the `received_at` of `x.log`; else it is
//! 2026-03-06T00:00:00+08:00. Beside each event's OCSF stand what only Docket has: system, commands, log source.

#![allow(clippy::unwrap_used)] // a test may panic

use std::fs;
use std::path::{Path, PathBuf};

use ingest::replay::{Options, open};
use ingest::{Normalizer, Settings, SourceSettings};
use model::Millis;
use serde_json::{Map, Value, json};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures")
}

fn cases() -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for folder in fs::read_dir(fixtures())
        .expect("the fixtures")
        .map(Result::unwrap)
        .filter(|e| e.path().is_dir())
    {
        let format = folder.file_name().to_string_lossy().into_owned();
        for file in fs::read_dir(folder.path()).unwrap().map(Result::unwrap) {
            if file.path().extension().is_some_and(|e| e == "log") && ingest::format::by_name(&format).is_some() {
                found.push((format.clone(), file.path()));
            }
        }
    }
    found.sort();
    found
}

fn events(format: &str, path: &Path) -> String {
    let at = fs::read_to_string(path.with_extension("at")).unwrap_or_else(|_| "2026-03-06T00:00:00+08:00".to_owned());
    let default = SourceSettings {
        format: Some(format.into()),
        ..SourceSettings::default()
    };
    let normalizer = Normalizer::new(Settings {
        default,
        ..Settings::default()
    });
    let mut out = String::new();
    for record in open(path, Options::new(Millis::parse(&at).unwrap())).unwrap() {
        let normalized = normalizer.normalize(&record.unwrap());
        for event in normalized.events {
            let mut docket = Map::new();
            docket.insert("system".into(), json!(event.system));
            if !event.commands.is_empty() {
                docket.insert("commands".into(), json!(event.commands));
            }
            let l = event.logsource;
            docket.insert("logsource".into(), json!([l.product, l.category, l.service]));
            out += &serde_json::to_string(&json!({"docket": docket, "ocsf": event.ocsf})).unwrap();
            out.push('\n');
        }
    }
    out
}

#[test]
fn every_fixture_gives_its_golden() {
    let mut wrong = Vec::new();
    let cases = cases();
    assert!(!cases.is_empty());
    for (format, path) in cases {
        let golden = path.with_extension("ocsf.json");
        let got = events(&format, &path);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &got).unwrap();
            continue;
        }
        let want = fs::read_to_string(&golden).unwrap_or_default();
        for (n, (got, want)) in got.lines().zip(want.lines()).enumerate() {
            let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
            if parse(got) != parse(want) {
                wrong.push(format!("{} event {n}\n  want {want}\n  got  {got}", path.display()));
            }
        }
        if got.lines().count() != want.lines().count() {
            wrong.push(format!(
                "{}: {} events, golden has {}",
                path.display(),
                got.lines().count(),
                want.lines().count()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}\nUPDATE_GOLDEN=1 rewrites them", wrong.join("\n"));
}
