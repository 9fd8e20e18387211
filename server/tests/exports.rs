//! Exports by the binary: interrupted and gone on with, proven, read by others.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod harness;

use harness::crm::{line, search, server};
use harness::run;
use serde_json::{Value, json};

#[test]
fn exports_go_on_and_are_proven() {
    let mut server = server();
    let token = server.token("shipper", "crm-1");
    let lines: Vec<String> = (0..250)
        .map(|n| {
            line(
                &format!("2026-03-02T09:{:02}:{:02}Z", n / 60, n % 60),
                "li.na",
                &format!("={n}"),
                "success",
            )
        })
        .collect();
    let sent = harness::request(
        server.http,
        "POST",
        "/api/v1/ingest/crm",
        Some(&token),
        &[],
        lines.join("\n").as_bytes(),
    );
    assert_eq!(sent.unwrap().0, 200);
    server.settle(250);
    let data = server.data();
    let out = |name: &str| server.dir.path().join(name).display().to_string();
    let export = |name: &str, more: &[&str]| {
        let to = out(name);
        let output = run(&[
            &[
                "export",
                "source:crm",
                "--out",
                &to,
                "--part-rows",
                "100",
                "--data",
                &data,
            ],
            more,
        ]
        .concat());
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let verify = |name: &str| {
        let output = run(&[
            "verify",
            "--export",
            &out(name),
            "--vkey",
            &format!("{data}/ledger/ledger.vkey"),
        ]);
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    };
    for format in ["ndjson", "csv", "parquet", "arrow"] {
        // What the one before recorded is in none.
        server.settle(250);
        let (code, told) = export(format, &["--format", format]);
        assert_eq!(code, Some(0), "{told}");
        assert!(told.contains("nothing was left out"), "{told}");
        let (code, told) = verify(format);
        assert_eq!(code, Some(0), "{told}");
        assert!(told.contains("rows         250 in 3 files"), "{told}");
    }
    let read = |name: &str| std::fs::read_to_string(server.dir.path().join(name)).unwrap();
    let rows: Vec<Value> = (0..3)
        .flat_map(|n| harness::ndjson(read(&format!("ndjson/part-{n:05}.ndjson")).as_bytes()))
        .collect();
    assert_eq!(rows.len(), 250);
    assert!(rows.windows(2).all(|w| w[0]["time"].as_str() <= w[1]["time"].as_str()));
    assert!(read("csv/part-00000.csv").contains(",'=0,"));

    // Each row's record is the one in the ledger.
    let reader = ledger::Reader::open(&std::path::Path::new(&data).join("ledger")).unwrap();
    for row in &rows {
        let leaf = reader
            .leaf_bytes(model::LedgerIndex(row["ledger_index"].as_u64().unwrap()))
            .unwrap();
        assert_eq!(row["leaf_sha256"], hex::encode(ledger::leaf_hash(&leaf)));
    }

    // Without personal data.
    let (code, told) = export("masked", &["--mask", "personal"]);
    assert_eq!(code, Some(0), "{told}");
    assert!(!read("masked/part-00000.ndjson").contains("li.na"));
    assert_eq!(verify("masked").0, Some(0));

    // One byte of one row altered, a file gone, the manifest altered: found.
    let alter = |file: &str, from: &str, to: &str| {
        let text = read(file).replacen(from, to, 1);
        std::fs::write(server.dir.path().join(file), text).unwrap();
    };
    alter("ndjson/part-00001.ndjson", "success", "failure");
    alter("ndjson/part-00001.ndjson", "Success", "Failure");
    let (code, told) = verify("ndjson");
    assert_eq!(code, Some(6), "{told}");
    assert!(told.contains("part-00001.ndjson was altered"), "{told}");
    alter("csv/manifest.json", "\"rows\": 100", "\"rows\": 101");
    assert!(verify("csv").1.contains("altered"));
    std::fs::remove_file(server.dir.path().join("arrow/part-00002.arrow")).unwrap();
    assert_eq!(verify("arrow").0, Some(6));

    // Interrupted after the first file, and gone on with by a server that was killed meanwhile; nothing that came in
    // between is in it.
    let asked =
        json!({"q": "source:crm", "from": null, "to": null, "format": "ndjson", "mask": "secrets", "part_rows": 100});
    let auditor = server.token("auditor", "aud");
    let call = |method: &str, path: &str, body: &str| {
        let headers = [("Content-Type", "application/json")];
        harness::request(server.http, method, path, Some(&auditor), &headers, body.as_bytes()).unwrap()
    };
    let (status, job) = call("POST", "/api/v1/exports", &asked.to_string());
    assert_eq!(status, 200, "{job}");
    let id = serde_json::from_str::<Value>(&job).unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let (status, first) = call("GET", &format!("/api/v1/exports/{id}/parts/0"), "");
    assert_eq!((status, first.lines().count()), (200, 100));
    assert_eq!(call("GET", &format!("/api/v1/exports/{id}/parts/2"), "").0, 404);
    assert_eq!(call("POST", &format!("/api/v1/exports/{id}/finish"), "{}").0, 409);
    let late = line("2026-03-02T08:00:00Z", "li.na", "late", "success");
    harness::request(
        server.http,
        "POST",
        "/api/v1/ingest/crm",
        Some(&token),
        &[],
        late.as_bytes(),
    )
    .unwrap();
    server.settle(251);
    let folder = server.dir.path().join("resumed");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(
        folder.join("export.json"),
        json!({"id": id, "asked": asked}).to_string(),
    )
    .unwrap();
    server.kill();
    server.start();
    let url = format!("http://{}", server.http);
    let output = run(&[
        "export",
        "source:crm",
        "--out",
        &folder.display().to_string(),
        "--part-rows",
        "100",
        "--url",
        &url,
        "--token",
        &auditor,
    ]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stderr).contains("going on with export"));
    let read = |name: &str| std::fs::read_to_string(server.dir.path().join(name)).unwrap();
    assert_eq!(read("resumed/part-00000.ndjson"), first);
    let all: String = (0..3).map(|n| read(&format!("resumed/part-{n:05}.ndjson"))).collect();
    assert_eq!((all.lines().count(), all.contains("\"late\"")), (250, false));
    let output = run(&["verify", "--export", &folder.display().to_string()]);
    assert!(output.status.success());

    // Who exported what is in the record.
    server.settle(251);
    let (acts, _) = search(
        &server,
        &["search", "unmapped.act:(export OR export.finish) source:docket"],
    );
    assert_eq!(acts.len(), 12);
    server.stop();
}
