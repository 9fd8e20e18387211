//! The semantics of Sigma, case by case, read off the specification: `tests/cases/*.yml` for rules over single events,
//! `tests/cases/correlations/*.yml` for correlations and filters. Each case names the sentence that it is read off,
//! which `tests/cases/sentences.txt` has.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod correlations;
mod events;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use detect::sigma::Placeholders;
use model::{LogSource, Millis, PlainEvent};
use serde_json::{Map, Value};

/// A case: its name, the key of its sentence, and its other lines.
struct Case {
    file: String,
    name: String,
    spec: String,
    lines: Vec<String>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases")
}

/// The cases of every `.yml` file in a folder, parted by `---` lines.
fn cases(folder: &Path) -> Vec<Case> {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "yml"));
    files.sort();
    let mut cases = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let file = file.file_name().unwrap().to_string_lossy().into_owned();
        for case in text.split("\n---\n") {
            let mut lines: Vec<String> = case.lines().map(str::to_owned).collect();
            lines.retain(|l| !l.trim().is_empty() && !l.starts_with('#'));
            if lines.is_empty() {
                continue;
            }
            let mut head = |key: &str| {
                let at = lines.iter().position(|l| l.starts_with(key));
                let line = lines.remove(at.unwrap_or_else(|| panic!("{file}: no `{key}` in {lines:?}")));
                line[key.len()..].to_owned()
            };
            let (name, spec) = (head("name: "), head("spec: "));
            cases.push(Case {
                file: file.clone(),
                name,
                spec,
                lines,
            });
        }
    }
    cases
}

/// Runs every case and fails with all that are wrong.
fn run(cases: &[Case], check: impl Fn(&Case) -> Result<(), String>) {
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|c| Some(format!("{}: {}: {}", c.file, c.name, check(c).err()?)))
        .collect();
    assert!(
        wrong.is_empty(),
        "{} of {} cases:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}

#[test]
fn every_case_is_read_off_a_sentence_and_every_sentence_has_a_case() {
    let text = std::fs::read_to_string(folder().join("sentences.txt")).unwrap();
    let mut sentences = BTreeSet::new();
    for line in text.lines().filter(|l| !l.starts_with('#')) {
        let (key, sentence) = line.split_once(": ").expect("a key and a sentence");
        assert!(sentence.ends_with('.'), "{line}");
        assert!(sentences.insert(key.to_owned()), "{key} stands twice");
    }
    let all: Vec<Case> = cases(&folder())
        .into_iter()
        .chain(cases(&folder().join("correlations")))
        .collect();
    let used: BTreeSet<String> = all.iter().map(|c| c.spec.clone()).collect();
    assert_eq!(used, sentences);
    let names: BTreeSet<&str> = all.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names.len(), all.len(), "a name stands twice");
    println!("{} cases, {} sentences", all.len(), sentences.len());
    assert!(all.len() >= 150, "{} cases", all.len());
}

/// What `%name%` stands for in the cases.
fn placeholders() -> Placeholders {
    let texts = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
    BTreeMap::from([
        ("admins".to_owned(), texts(&["root", "adm_*"])),
        ("nets".to_owned(), texts(&["10.0.0.0/8", "192.168.7.1"])),
        ("users".to_owned(), texts(&["root"])),
        ("many".to_owned(), (0..100).map(|i| i.to_string()).collect()),
    ])
}

/// An event of the product `test`.
fn event(text: &str, uid: &str, time: Millis) -> PlainEvent {
    let Ok(Value::Object(fields)) = serde_json::from_str::<Value>(text) else {
        panic!("not an object: {text}")
    };
    // `ocsf` holds the normalized event, the rest is the source's own.
    let mut native: Map<String, Value> = fields;
    let ocsf = match native.remove("ocsf") {
        Some(Value::Object(ocsf)) => ocsf,
        _ => Map::new(),
    };
    PlainEvent {
        uid: uid.into(),
        class_uid: ocsf.get("class_uid").and_then(Value::as_u64).unwrap_or(0) as u32,
        time,
        ocsf,
        native,
        system: Some("crm".into()),
        commands: vec!["rm -rf /data".to_owned(), "sql: DROP TABLE x".to_owned()],
        logsource: LogSource::new("test", "", ""),
    }
}
