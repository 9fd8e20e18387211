//! The labelled scenario, told otherwise: judged and scored.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::run;

/// Writes the scenario with each record changed by `record` (as `kcat -C -J` prints it), and each table, label and decoy by `text`, which is
/// told the file's name; judges it, and gives what the scorer says. `None`: there is no Python.
pub fn retold(scenario: &Path, record: impl Fn(&mut Value), text: impl Fn(&str, &str) -> String) -> Option<String> {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    std::fs::create_dir(at("reference")).unwrap();
    for entry in std::fs::read_dir(scenario.join("reference")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        std::fs::write(at("reference").join(name), text(name, &read(&path))).unwrap();
    }
    for name in ["expected_findings.ndjson", "decoys.ndjson"] {
        std::fs::write(at(name), text(name, &read(&scenario.join(name)))).unwrap();
    }
    std::fs::copy(scenario.join("duplicates.json"), at("duplicates.json")).unwrap();
    let capture = std::fs::File::open(scenario.join("capture.ndjson.zst")).unwrap();
    let capture = String::from_utf8(zstd::decode_all(capture).unwrap()).unwrap();
    let lines = capture.lines().map(|line| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        record(&mut line);
        line.to_string()
    });
    let lines: Vec<String> = lines.collect();
    std::fs::write(at("capture.ndjson"), lines.join("\n")).unwrap();

    let path = |name: &str| at(name).display().to_string();
    let policies = format!("{}/../policies", env!("CARGO_MANIFEST_DIR"));
    let args = [
        "detect",
        "--policies",
        &policies,
        "--reference",
        &path("reference"),
        "--format",
        "kcat",
    ];
    let found = run(&[&args[..], &[&path("capture.ndjson")]].concat());
    let errors = String::from_utf8_lossy(&found.stderr);
    assert_eq!(found.status.code(), Some(1), "{errors}");
    std::fs::write(at("findings.ndjson"), &found.stdout).unwrap();
    let mut score = Command::new("python3");
    score.arg(scenario.join("score.py")).arg("--scenario").arg(dir.path());
    let Ok(output) = score.args(["--clauses", &path("findings.ndjson")]).output() else {
        println!("skipped: there is no python3");
        return None;
    };
    Some(String::from_utf8(output.stdout).unwrap())
}

/// All that is expected was found, and nothing else.
pub fn is_found(scored: Option<String>, told: &str) {
    let Some(scored) = scored else { return };
    let total = scored.lines().last().unwrap();
    let all = "expected 47/47 found, decoys hit 0/11, false positives 0, repeated finding ids 0";
    let missed: Vec<&str> = scored.lines().filter(|l| !l.starts_with("hit")).collect();
    assert!(total.starts_with(all), "{told}: {missed:#?}");
}
