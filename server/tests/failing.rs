//! Parts of Docket that fail without stopping are findings, on the real server.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod harness;

use std::fs;
use std::process::Command;

use harness::{Server, await_some, rows};

/// The messages of the alerts that say so, in one text.
fn told(server: &Server, part: &str) -> Option<String> {
    let all = rows(&["alert", "list", "--data", &server.data(), "--output", "ndjson"]);
    let begin = format!("a part of Docket fails ({part}): ");
    let messages = all.iter().filter_map(|a| a["finding"]["message"].as_str());
    messages
        .filter_map(|m| m.strip_prefix(&begin))
        .map(str::to_owned)
        .next()
}

#[test]
fn a_disk_too_full_and_policies_that_do_not_read_are_told() {
    let mut server = Server::new("policies = [\"policies\"]\n[limits]\ndisk_percent = 1\n");
    let policies = server.dir.path().join("policies");
    fs::create_dir(&policies).unwrap();
    let shipped = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../policies/log-auditing/la-09-part-fails.yml"
    );
    fs::copy(shipped, policies.join("la-09.yml")).unwrap();
    server.start();
    assert_eq!(told(&server, "disk"), None);

    fs::write(policies.join("broken.yml"), "title: Broken\ndetection: {").unwrap();
    let status = Command::new("kill")
        .args(["-HUP", &server.pid().to_string()])
        .status()
        .unwrap();
    assert!(status.success());
    let broken = await_some("the policies that do not read", || told(&server, "policies"));
    assert_eq!(broken, "1 policies do not read; those that ran before stay");

    let disk = await_some("the disk that is too full", || told(&server, "disk"));
    assert!(disk.ends_with(" % full, 1 are allowed"), "{disk}");
    assert_eq!(server.stop(), Some(0), "{}", server.log());
}
