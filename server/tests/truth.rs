//! The command line on files: events pass the independent checker, findings are scored against the labels.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod harness;

use std::process::Command;

use harness::{docket, ndjson, run, shared};

fn policies() -> String {
    format!("{}/../policies", env!("CARGO_MANIFEST_DIR"))
}

fn python(script: &std::path::Path, args: &[&str]) -> Option<String> {
    let Ok(output) = Command::new("python3").arg(script).args(args).output() else {
        println!("skipped: there is no python3");
        return None;
    };
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn the_scenario_is_found_and_nothing_else() {
    let (Some(scenario), Some(checker)) = (shared("data/scenario"), shared("ocsf/validate.py")) else {
        return;
    };
    let reference = scenario.join("reference").display().to_string();
    let capture = scenario.join("capture.ndjson.zst").display().to_string();
    let args = [
        "detect",
        "--policies",
        &policies(),
        "--reference",
        &reference,
        "--format",
        "kcat",
        &capture,
    ];
    let found = run(&args);
    assert_eq!(
        found.status.code(),
        Some(1),
        "{}",
        String::from_utf8_lossy(&found.stderr)
    );
    assert_eq!(
        run(&args).stdout,
        found.stdout,
        "the same input gives the same findings"
    );
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("findings.ndjson").display().to_string();
    std::fs::write(&file, &found.stdout).unwrap();
    let Some(scored) = python(&scenario.join("score.py"), &[&file, "--clauses"]) else {
        return;
    };
    let total = scored.lines().last().unwrap();
    assert!(
        total.contains("expected 47/47 found, decoys hit 0/11, false positives 0,"),
        "{scored}"
    );
    assert!(
        total.contains("repeated finding ids 0") && total.contains("evidence ids not understood 0"),
        "{scored}"
    );
    let checked = python(&checker, &["--only-bad", &file]).unwrap();
    assert_eq!(checked, "", "findings that are no valid OCSF");
}

#[test]
fn the_order_of_arrival_changes_no_finding() {
    let Some(scenario) = shared("data/scenario") else {
        return;
    };
    let reference = scenario.join("reference").display().to_string();
    let bytes = zstd::decode_all(std::fs::File::open(scenario.join("capture.ndjson.zst")).unwrap()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let standing = |lines: &[&[u8]]| {
        let file = dir.path().join("capture.ndjson");
        std::fs::write(&file, lines.join(&b'\n')).unwrap();
        let args = [
            "detect",
            "--policies",
            &policies(),
            "--reference",
            &reference,
            "--format",
            "kcat",
            "--until",
            "2026-03-07T00:00:00Z",
        ];
        let output = docket(&args).arg(&file).output().unwrap();
        let mut found: Vec<String> = ndjson(&output.stdout)
            .into_iter()
            .filter(|f| f["status_id"] != 4)
            // Silence is about when records arrive: another order of arrival is another silence.
            .filter(|f| !f["finding_info"]["tags"].to_string().contains("\"LA-09\""))
            // So is a delay.
            .filter(|f| f["finding_info"]["title"] != "Clock of a system is off")
            .map(|f| {
                format!(
                    "{} {} {}",
                    f["finding_info"]["uid"], f["message"], f["finding_info"]["related_events"]
                )
            })
            .collect();
        found.sort();
        found
    };
    // Of a record that was delivered twice, the delivery that comes first is judged: its id is in the evidence.
    let mut seen = std::collections::BTreeSet::new();
    let lines: Vec<&[u8]> = bytes
        .split(|b| *b == b'\n')
        .filter(|l| !l.is_empty())
        .filter(|l| seen.insert(serde_json::from_slice::<serde_json::Value>(l).unwrap()["payload"].to_string()))
        .collect();
    let in_order = standing(&lines);
    assert!(in_order.len() > 20);
    // Neighbours change places, as records of different hosts do on their way.
    let mut swapped = lines.clone();
    swapped.chunks_mut(7).for_each(<[_]>::reverse);
    assert_eq!(standing(&swapped), in_order);
}

#[test]
fn every_policy_passes_its_tests() {
    let checked = run(&["policy", "check", &policies()]);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    let tested = run(&["policy", "test", &policies()]);
    assert!(tested.status.success(), "{}", String::from_utf8_lossy(&tested.stdout));
}

#[test]
fn arguments_that_are_wrong_are_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let broken = dir.path().join("broken.yml").display().to_string();
    std::fs::write(&broken, "title: x\nlogsource: {product: ocsf, category: authentification}\ndetection: {a: {b: 1}, condition: a and c}\n").unwrap();
    let config = dir.path().join("docket.toml").display().to_string();
    std::fs::write(&config, "[http]\nlisten = \"nowhere\"\n").unwrap();
    let gone = dir.path().join("gone").display().to_string();
    let cases: [(&[&str], i32, &str); 8] = [
        (&["normalize", "--format", "nonsense", "-"], 2, "nonsense"),
        (&["normalize", &gone], 4, "gone"),
        (&["normalize", "--timezone", "Mars/Olympus", "-"], 2, "Mars/Olympus"),
        (&["policy", "check", &broken], 2, "broken.yml:"),
        (&["config", "check", "--config", &config], 3, "nowhere"),
        (&["config", "check", "--config", &gone], 3, "no such file"),
        (&["search", "--data", &gone, "x"], 4, "holds no ledger"),
        (&["frobnicate"], 2, "frobnicate"),
    ];
    for (args, code, says) in cases {
        let output = run(args);
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.contains(says), "{args:?}: {said}");
    }
}

#[test]
fn a_plain_sigma_rule_judges_plain_json() {
    let dir = tempfile::tempdir().unwrap();
    let rule = dir.path().join("rule.yml").display().to_string();
    std::fs::write(
        &rule,
        "title: Shadow read\nid: 6a0e1c1e-3b1f-4c39-9f3c-0d8a3c1d2e4f\nlogsource: {product: linux, category: process_creation}\n\
         detection:\n  sel:\n    CommandLine|contains: /etc/shadow\n  condition: sel\nlevel: high\n",
    )
    .unwrap();
    let events = dir.path().join("events.ndjson").display().to_string();
    std::fs::write(
        &events,
        "{\"CommandLine\": \"cat /etc/shadow\", \"timestamp\": \"2026-01-02T03:04:05Z\"}\n{\"CommandLine\": \"ls\"}\n",
    )
    .unwrap();
    let found = run(&["detect", "--policies", &rule, "--format", "json", &events]);
    assert_eq!(
        found.status.code(),
        Some(1),
        "{}",
        String::from_utf8_lossy(&found.stderr)
    );
    let found = ndjson(&found.stdout);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["finding_info"]["related_events"][0]["uid"], "events/0/0");
    assert_eq!(
        run(&["detect", "--policies", &rule, "--format", "json", "/dev/null"])
            .status
            .code(),
        Some(0)
    );
}
