//! What a responder has to know stands in the finding itself: the person, the asset and its owner, the permission that was looked for.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod harness;

use std::collections::BTreeMap;
use std::path::Path;

use harness::{ndjson, run};
use serde_json::Value;

const SCENARIO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scenarios/harbor");

fn table(name: &str) -> Vec<Value> {
    let file = Path::new(SCENARIO).join("reference").join(format!("{name}.json"));
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[test]
fn a_finding_tells_who_what_and_what_would_have_allowed_it() {
    let path = |name: &str| format!("{SCENARIO}/{name}");
    let output = run(&[
        "detect",
        "--policies",
        concat!(env!("CARGO_MANIFEST_DIR"), "/../policies"),
        "--reference",
        &path("reference"),
        "--format",
        "kcat",
        &path("capture.ndjson.zst"),
    ]);
    let findings = ndjson(&output.stdout);
    let roster = table("hr_roster");
    let names: BTreeMap<&str, &Value> = roster
        .iter()
        .map(|row| (row["employee_id"].as_str().unwrap(), &row["name"]))
        .collect();
    let assets = table("asset_register");
    let (mut persons, mut owned, mut looked_for, mut sessions) = (0, 0, 0, 0);
    for finding in &findings {
        let told = finding["finding_info"]["desc"].as_str().unwrap();
        let user = &finding["actor"]["user"];
        if let Some(name) = user["uid"].as_str().and_then(|uid| names.get(uid)) {
            assert_eq!(&user["full_name"], *name, "{told}");
            assert!(told.contains(name.as_str().unwrap()), "{told}");
            persons += 1;
        }
        let hosts =
            list(&finding["finding_info"]["tags"]).filter(|tag| tag["name"].as_str().unwrap().ends_with("hostname"));
        for host in hosts {
            let Some(asset) = assets
                .iter()
                .find(|a| list(&a["names"]).any(|name| *name == host["value"]))
            else {
                continue;
            };
            let mut resources = list(&finding["resources"]);
            let resource = resources
                .find(|r| r["uid"] == asset["asset_id"])
                .unwrap_or_else(|| panic!("{told}: {host}"));
            assert_eq!(resource["owner"]["uid"], asset["system_owner"], "{told}");
            assert_eq!(
                Some(&&resource["owner"]["full_name"]),
                names.get(asset["system_owner"].as_str().unwrap()),
                "{told}"
            );
            owned += 1;
        }
        sessions += usize::from(finding["actor"]["session"]["uid"].is_string());
        for looked in list(&finding["enrichments"]).filter(|e| e["type"] == "looked_for") {
            let id = match looked["name"].as_str().unwrap() {
                "approvals" => "ticket_id",
                "change_calendar" => "change_id",
                other => panic!("{other} permits nothing"),
            };
            let is_row = |row: &Value| row[id] == looked["value"];
            assert!(
                looked["value"] == "none" || table(looked["name"].as_str().unwrap()).iter().any(is_row),
                "{looked}"
            );
            assert!(
                told.contains(&format!("Looked for in {}", looked["name"].as_str().unwrap())),
                "{told}"
            );
            looked_for += 1;
        }
    }
    // Of 251 findings; what has no host, no session or asks for no permission has none.
    assert!(
        persons > 200 && owned > 50 && looked_for > 60 && sessions > 60,
        "{persons} {owned} {looked_for} {sessions}"
    );
}
