//! Labelled scenarios: what the policies find in a capture, against what they should.
//!
//! Each folder of `tests/scenarios` holds a capture as `kcat -C -J` prints it, its reference tables, the findings expected, the clauses that
//! must not fire on some records (decoys), and in `KNOWN_MISSES` the expectations that are not met yet, so that the score only improves.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod harness;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use harness::{ndjson, run};
use serde_json::Value;

type Offsets = BTreeSet<u64>;

/// A finding as far as it is scored.
struct Found {
    title: String,
    clauses: BTreeSet<String>,
    account: Option<String>,
    person: Option<String>,
    events: Offsets,
}

fn folders() -> Vec<PathBuf> {
    let all = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scenarios")).unwrap();
    let mut folders: Vec<PathBuf> = all.map(|entry| entry.unwrap().path()).filter(|p| p.is_dir()).collect();
    folders.sort();
    assert!(!folders.is_empty());
    folders
}

fn rows(file: &Path) -> Vec<Value> {
    ndjson(&std::fs::read(file).unwrap())
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn evidence(label: &Value) -> Offsets {
    let all = label["evidence"].as_array().unwrap();
    all.iter().map(|n| n.as_u64().unwrap()).collect()
}

/// What stands, of the findings; a repeated delivery stands for the record that it repeats.
fn found(folder: &Path) -> Vec<Found> {
    let duplicates = &rows(&folder.join("duplicates.json"))[0]["duplicates"];
    let pair = |p: &Value| (p[0].as_u64().unwrap(), p[1].as_u64().unwrap());
    let repeats: BTreeMap<u64, u64> = duplicates.as_array().unwrap().iter().map(pair).collect();
    let policies = concat!(env!("CARGO_MANIFEST_DIR"), "/../policies");
    let path = |name: &str| folder.join(name).display().to_string();
    let output = run(&[
        "detect",
        "--policies",
        policies,
        "--reference",
        &path("reference"),
        "--format",
        "kcat",
        &path("capture.ndjson.zst"),
    ]);
    assert_eq!(
        output.status.code(),
        Some(1),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let findings = ndjson(&output.stdout);
    let ids: BTreeSet<&str> = findings
        .iter()
        .map(|f| f["finding_info"]["uid"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), findings.len(), "a finding's id is its own");
    let of = |f: &Value| {
        let tags = f["finding_info"]["tags"].as_array().into_iter().flatten();
        let events = f["finding_info"]["related_events"].as_array().into_iter().flatten();
        let offset = |e: &Value| {
            let uid = e["uid"].as_str().unwrap();
            let number = uid.rsplit('/').next().unwrap().split('#').next().unwrap();
            let offset: u64 = number.parse().unwrap();
            repeats.get(&offset).copied().unwrap_or(offset)
        };
        Found {
            title: text(&f["finding_info"]["title"]).unwrap_or_default(),
            clauses: tags
                .filter(|t| t["name"] == "clause")
                .filter_map(|t| text(&t["value"]))
                .collect(),
            account: text(&f["actor"]["user"]["name"]),
            person: text(&f["actor"]["user"]["uid"]),
            events: events.map(offset).collect(),
        }
    };
    findings.iter().filter(|f| f["status_id"] != 4).map(of).collect()
}

fn hits(label: &Value, f: &Found) -> bool {
    let (account, person, evidence) = (text(&label["account"]), text(&label["employee_id"]), evidence(label));
    let anybody = account.is_none() && person.is_none();
    let who = anybody || (account.is_some() && f.account == account) || (person.is_some() && f.person == person);
    let records = if evidence.is_empty() {
        f.events.is_empty()
    } else {
        !f.events.is_disjoint(&evidence)
    };
    who && records && f.clauses.contains(label["clause"].as_str().unwrap())
}

#[test]
fn each_scenario_is_found_and_nothing_else() {
    for folder in folders() {
        let expected = rows(&folder.join("expected_findings.ndjson"));
        let decoys = rows(&folder.join("decoys.ndjson"));
        let found = found(&folder);
        let mut true_of: BTreeMap<&str, Offsets> = BTreeMap::new();
        for label in &expected {
            let clause = label["clause"].as_str().unwrap();
            true_of.entry(clause).or_default().extend(evidence(label));
        }
        let missed: Vec<String> = expected
            .iter()
            .filter(|label| !found.iter().any(|f| hits(label, f)))
            .map(|label| {
                format!(
                    "{} {}",
                    label["clause"].as_str().unwrap(),
                    label["why"].as_str().unwrap()
                )
            })
            .collect();
        let known = std::fs::read_to_string(folder.join("KNOWN_MISSES")).unwrap();
        let known: Vec<&str> = known.lines().filter(|l| !l.is_empty() && !l.starts_with('#')).collect();
        assert_eq!(missed, known, "{}: what is missed is what is known", folder.display());

        let fooled = |decoy: &&Value| {
            let (clause, evidence) = (decoy["clause"].as_str().unwrap(), evidence(decoy));
            found.iter().any(|f| {
                f.clauses.contains(clause)
                    && !f.events.is_disjoint(&evidence)
                    && true_of.get(clause).is_none_or(|t| f.events.is_disjoint(t))
            })
        };
        let fooled: Vec<&Value> = decoys.iter().filter(fooled).map(|d| &d["why"]).collect();
        assert!(fooled.is_empty(), "{}: decoys {fooled:?}", folder.display());

        let labelled: Offsets = expected.iter().chain(&decoys).flat_map(evidence).collect();
        let noise: Vec<_> = found
            .iter()
            .filter(|f| 2 * f.events.intersection(&labelled).count() < f.events.len())
            .map(|f| (&f.title, &f.account, &f.events))
            .collect();
        assert!(noise.is_empty(), "{}: on ordinary records {noise:?}", folder.display());
    }
}

#[test]
fn each_scenario_is_what_its_generator_writes() {
    for folder in folders() {
        let dir = tempfile::tempdir().unwrap();
        let mut python = std::process::Command::new("python3");
        let script = python
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .arg(folder.join("generate.py"));
        let Ok(output) = script.arg(dir.path()).output() else {
            println!("skipped: there is no python3");
            return;
        };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let capture = |folder: &Path| match std::fs::File::open(folder.join("capture.ndjson.zst")) {
            Ok(file) => zstd::decode_all(file).unwrap(),
            Err(_) => std::fs::read(folder.join("capture.ndjson")).unwrap(),
        };
        assert!(capture(dir.path()) == capture(&folder), "{}: capture", folder.display());
        for name in ["expected_findings.ndjson", "decoys.ndjson", "duplicates.json"] {
            let read = |folder: &Path| std::fs::read(folder.join(name)).unwrap();
            assert!(read(dir.path()) == read(&folder), "{}: {name}", folder.display());
        }
    }
}
