//! `docket-verify`, as an auditor runs it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::made::{NOW, open, records};

fn run(args: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_docket-verify"))
        .args(args)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

fn check(args: &[&str], code: i32, contains: &str) {
    let (status, out, err) = run(args);
    assert_eq!(status, code, "{args:?}: {out}{err}");
    let text = if code == 0 { &out } else { &err };
    assert!(text.contains(contains), "{args:?}: {out}{err}");
    assert!(code == 0 || !err.is_empty());
}

#[test]
fn the_verifier_says_what_holds_and_what_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = |p: &Path| p.to_str().unwrap().to_owned();
    let mut ledger = open(dir.path()).unwrap();
    let mut notes = Vec::new();
    for part in [0..100, 100..600] {
        let mut part = records(part);
        part[0].payload = "\x1b[2Jhostile".into();
        ledger.append(&part).unwrap();
        ledger.sync().unwrap();
        notes.push(ledger.checkpoint(NOW).unwrap().unwrap().note);
    }
    let folder = path(dir.path());
    let vkey = path(&dir.path().join("ledger.vkey"));
    let bundle = serde_json::to_string(&ledger.reader().proof_bundle(model::LedgerIndex(4)).unwrap()).unwrap();
    let files = tempfile::tempdir().unwrap();
    let (proof, bad, note) = (
        files.path().join("p.json"),
        files.path().join("b.json"),
        files.path().join("n"),
    );
    fs::write(&proof, &bundle).unwrap();
    fs::write(&bad, bundle.replace("\"index\":4", "\"index\":5")).unwrap();
    fs::write(&note, &notes[0]).unwrap();
    let (proof, bad, note) = (path(&proof), path(&bad), path(&note));
    let other = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

    check(&["--help"], 0, "Examples:");
    check(&[], 2, "--help");
    check(&["frobnicate"], 2, "frobnicate");
    check(&["ledger", &folder, "--force"], 2, "--force");
    check(&["ledger", "/nonexistent"], 2, "holds no ledger");
    check(&["ledger", &folder], 0, "records      600 ");
    check(&["ledger", &folder, "--vkey", &vkey], 0, "verified");
    check(&["ledger", &folder, "--vkey", other], 6, "no signature of this key");
    check(&["record", &folder, "audit.linux/1/1"], 0, "index        4");
    check(&["record", &folder, "0"], 0, "\\u{1b}[2Jhostile");
    check(&["record", &folder, "600"], 2, "600");
    check(&["record", &folder, "audit.linux/1/9999"], 2, "no record");
    check(&["record", &folder, "nonsense"], 2, "nonsense");
    check(&["consistency", &folder, "100", "600"], 0, "verified");
    check(&["consistency", &folder, &note, "600"], 0, "verified");
    check(&["consistency", &folder, "99", "600"], 2, "the nearest: 100");
    check(&["consistency", &folder, "600", "100"], 2, "600");
    check(&["proof", &proof], 0, "verified");
    check(&["proof", &proof, "--vkey", &vkey], 0, "audit.linux/1/1");
    check(&["proof", &proof, "--vkey", other], 6, "NOT VERIFIED");
    check(&["proof", &bad], 6, "NOT VERIFIED");
    check(&["proof", &note], 2, "not a record's proof");

    let frames = crate::made::files(&dir.path().join("segments")).remove(0);
    let mut bytes = fs::read(&frames).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    // Of a ledger whose tail still has the leaves, a frame that does not hold is one that is being written.
    fs::write(&frames, &bytes).unwrap();
    check(&["ledger", &folder], 0, "verified");
    let tail = crate::made::files(&dir.path().join("tail")).remove(0);
    let mut bytes = fs::read(&tail).unwrap();
    bytes[3000] ^= 1;
    fs::write(&tail, &bytes).unwrap();
    check(&["ledger", &folder], 6, "leaf ");
}
