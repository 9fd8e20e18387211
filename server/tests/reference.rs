//! `docket reference`: what the registers say, checked, put in place whole, and answered for.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod harness;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use harness::{Server, await_some, docket, get, run};
use serde_json::{Value, json};

const ROSTER: &str =
    r#"[{"employee_id": "E1", "name": "An", "status": "active"}, {"employee_id": "E2", "status": "active"}]"#;

fn texts(args: &[&str]) -> (Option<i32>, String, String) {
    let output = run(args);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn write(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn the_example_is_right() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/reference-example");
    let (code, out, err) = texts(&["reference", "validate", example.to_str().unwrap()]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert_eq!(out, "13 tables, 0 errors, 0 hints\n");
}

#[test]
fn a_fault_is_told_with_file_line_row_and_column() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(
        dir.path(),
        "account_registry.csv",
        "system,account,kind,state,last_logon_at\ncrm,li.na,personal,active,\ncrm,wu.fan,personel,active,soon\n",
    );
    let (code, out, err) = texts(&["reference", "validate", &path]);
    assert_eq!(code, Some(2));
    assert_eq!(out, "1 tables, 2 errors, 0 hints\n");
    let want = [
        format!(
            "{path}: line 3, row 2 (system account crm wu.fan), column `kind`: `personel` is one of personal, privileged, service, shared_approved, emergency, default, system; is it personal?"
        ),
        format!(
            "{path}: line 3, row 2 (system account crm wu.fan), column `last_logon_at`: `soon` is a time: RFC 3339 with an offset (2026-03-02T18:00:00+08:00), a date, or epoch milliseconds"
        ),
    ];
    assert_eq!(err.lines().collect::<Vec<_>>(), want);
    for (name, text, want) in [
        (
            "hr_rooster.json",
            "[]",
            "no policy of ours reads a table `hr_rooster`; is it `hr_roster`?",
        ),
        ("Own-Table.json", "[]", "`Own-Table` is no name of a table"),
        ("hr_roster.json", "[{]", "not JSON: "),
        (
            "hr_roster.json",
            "[1]",
            "line 1, row 1, column `-`: `1` a row is an object",
        ),
        (
            "hr_roster.json",
            "[{\"employee_id\": \"E1\"}]",
            "column `status`: is missing; each row has to have it",
        ),
        (
            "work_calendar.json",
            "{\"tz\": \"Mars/Base\", \"hours\": [\"09:00\", \"18:00\"]}",
            "`tz` is `Mars/Base`; give an IANA time zone",
        ),
        ("own_table.json", "[{\"valid_to\": \"soon\"}]", "`valid_to` is `soon`"),
    ] {
        let path = write(dir.path(), name, text);
        let (code, _, err) = texts(&["reference", "validate", &path]);
        assert_eq!(code, Some(2), "{name}: {err}");
        assert!(err.contains(want), "{name}: {err}");
    }
}

#[test]
fn tables_of_a_folder_refer_to_one_another() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "hr_roster.json", ROSTER);
    let row =
        json!([{"system": "crm", "account": "x", "owner_employee_id": "E9", "kind": "personal", "state": "active"}]);
    write(dir.path(), "account_registry.json", &row.to_string());
    let (code, out, err) = texts(&["reference", "validate", dir.path().to_str().unwrap()]);
    assert_eq!((code, out.as_str()), (Some(0), "2 tables, 0 errors, 1 hints\n"));
    assert!(
        err.contains("column `owner_employee_id`: hint: `E9` is no employee_id of hr_roster"),
        "{err}"
    );
}

fn server() -> Server {
    let server = Server::new("reference = \"reference\"\n");
    fs::create_dir(server.dir.path().join("reference")).unwrap();
    write(&server.dir.path().join("reference"), "hr_roster.json", ROSTER);
    server
}

fn acts(server: &Server, act: &str) -> Vec<Value> {
    let all = server.records("docket").into_iter();
    all.map(|r| serde_json::from_slice::<Value>(&r.payload).unwrap())
        .filter(|v| v["act"] == act)
        .collect()
}

#[test]
fn a_table_is_imported_whole_or_not_at_all() {
    let mut server = server();
    server.start();
    let (data, dir) = (server.data(), server.dir.path().to_owned());
    let csv = write(
        &dir,
        "hr_roster.csv",
        "employee_id,name,status,end_at\nE1,An,active,\nE2,,terminated,2026-03-02T18:00:00+08:00\nE3,Bo,active,\n",
    );
    // What would change.
    let (code, out, err) = texts(&["reference", "diff", &csv, "--data", &data, "--output", "ndjson"]);
    assert_eq!(
        (code, err.as_str()),
        (Some(1), "hr_roster: 1 added, 0 removed, 1 changed\n")
    );
    let lines: Vec<Value> = out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines[0]["key"], "E3");
    assert_eq!(
        lines[1]["columns"]["status"],
        json!({"old": "active", "new": "terminated"})
    );

    let (code, out, err) = texts(&[
        "reference",
        "import",
        &csv,
        "--data",
        &data,
        "--reason",
        "monthly export",
    ]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.starts_with("hr_roster: 3 rows, version "), "{out}");
    assert!(out.ends_with("1 added, 0 removed, 1 changed\n"), "{out}");
    let (code, ..) = texts(&["reference", "diff", &csv, "--data", &data]);
    assert_eq!(code, Some(0));
    let kept = fs::read_to_string(dir.join("reference/hr_roster.json")).unwrap();
    assert_eq!(kept.lines().count(), 5, "{kept}");

    // A broken one changes nothing, neither by the command nor by the API.
    let broken = write(&dir, "broken.csv", "employee_id,status\nE1,gone\n");
    let (code, _, err) = texts(&["reference", "import", &broken, "--table", "hr_roster", "--data", &data]);
    assert_eq!(code, Some(2));
    assert!(
        err.contains("line 2, row 1 (employee_id E1), column `status`: `gone` is one of active"),
        "{err}"
    );
    assert!(err.ends_with("1 errors; nothing was changed\n"), "{err}");
    let admin = server.token("admin", "bo");
    let put = |token: &str, table: &str, body: &str| {
        let request = harness::request(
            server.http,
            "PUT",
            &format!("/api/v1/reference/{table}"),
            Some(token),
            &[],
            body.as_bytes(),
        );
        let (status, body) = request.unwrap();
        (status, serde_json::from_str::<Value>(&body).unwrap())
    };
    let (status, answer) = put(&admin, "hr_roster", "employee_id,status\nE1,gone\n");
    assert_eq!(status, 400);
    assert!(
        answer["error"]
            .as_str()
            .unwrap()
            .starts_with("hr_roster: line 2, row 1 (employee_id E1), column `status`"),
        "{answer}"
    );
    assert_eq!(fs::read_to_string(dir.join("reference/hr_roster.json")).unwrap(), kept);

    // Only who keeps the tables may; auditors may look.
    let auditor = server.token("auditor", "anna");
    let (status, _) = put(&auditor, "hr_roster", ROSTER);
    assert_eq!(status, 403);
    let (status, body) = get(server.http, "/api/v1/reference/hr_roster", Some(&auditor)).unwrap();
    assert_eq!(status, 200);
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["rows"][2]["name"], "Bo");
    let analyst = server.token("analyst", "kim");
    assert_eq!(get(server.http, "/api/v1/reference", Some(&analyst)).unwrap().0, 403);
    let (status, answer) = put(&admin, "hr_roster", ROSTER);
    assert_eq!(
        (status, &answer["removed"], &answer["changed"]),
        (200, &json!(1), &json!(1))
    );

    let imports = acts(&server, "reference.import");
    assert_eq!(imports.len(), 2);
    assert_eq!(imports[0]["detail"]["reason_given"], "monthly export");
    assert_eq!(imports[0]["detail"]["keys_added"], json!(["E3"]));
    assert_eq!(imports[1]["actor"], json!({"name": "bo", "role": "admin"}));
    assert_eq!(imports[1]["detail"]["version_before"], imports[0]["detail"]["version"]);
    // Each is in use from then on.
    let loads = acts(&server, "reference.load");
    assert_eq!(
        loads.last().unwrap()["detail"]["hr_roster"],
        imports[1]["detail"]["version"]
    );

    let (code, out, _) = texts(&["reference", "list", "--data", &data, "--output", "ndjson"]);
    assert_eq!(code, Some(0));
    let listed: Vec<Value> = out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let roster = listed.iter().find(|t| t["table"] == "hr_roster").unwrap();
    assert_eq!(
        (&roster["rows"], &roster["valid"], &roster["stale"]),
        (&json!(2), &json!(2), &Value::Null)
    );
    assert_eq!(roster["version"], imports[1]["detail"]["version"]);

    // What else lies in the folder and is broken is not for an import to hide.
    write(&dir.join("reference"), "own.json", "[{]");
    let (status, answer) = put(&admin, "hr_roster", "[]");
    assert_eq!(status, 409);
    assert!(answer["error"].as_str().unwrap().contains("own.json"), "{answer}");
    fs::remove_file(dir.join("reference/own.json")).unwrap();
    server.stop();
    server.start();
    let (_, out, _) = texts(&["reference", "list", "--data", &data, "--output", "ndjson"]);
    assert!(out.contains(imports[1]["detail"]["version"].as_str().unwrap()), "{out}");
}

#[test]
fn a_topic_s_capture_is_a_table_and_csv_makes_room_for_it() {
    let mut server = server();
    fs::remove_file(server.dir.path().join("reference/hr_roster.json")).unwrap();
    write(
        &server.dir.path().join("reference"),
        "hr_roster.csv",
        "employee_id,status\nE1,active\n",
    );
    server.start();
    let record = |offset: i64, key: &str, payload: Value| {
        json!({"topic": "hr", "partition": 0, "offset": offset, "key": key, "payload": payload}).to_string()
    };
    let lines = [
        record(0, "E1", json!("{\"employee_id\": \"E1\", \"status\": \"active\"}")),
        record(1, "E2", json!("{\"employee_id\": \"E2\", \"status\": \"active\"}")),
        record(2, "E1", json!("{\"employee_id\": \"E1\", \"status\": \"on_leave\"}")),
        record(3, "E2", Value::Null),
    ];
    let mut child = docket(&[
        "reference",
        "import",
        "-",
        "--table",
        "hr_roster",
        "--data",
        &server.data(),
    ])
    .stdin(Stdio::piped())
    .stdout(Stdio::piped())
    .spawn()
    .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(lines.join("\n").as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(
        out.contains("1 rows") && out.contains("0 added, 0 removed, 1 changed"),
        "{out}"
    );
    assert!(!server.dir.path().join("reference/hr_roster.csv").exists());
    let listed = await_some("the table in use", || {
        let (_, out, _) = texts(&["reference", "list", "--data", &server.data(), "--output", "ndjson"]);
        out.contains("hr_roster").then_some(out)
    });
    assert!(listed.contains("\"rows\":1"), "{listed}");
    let (code, _, err) = texts(&["reference", "import", "-", "--data", &server.data()]);
    assert_eq!(code, Some(2), "{err}");
    server.stop();
}

#[test]
fn without_a_folder_it_is_said_what_to_do() {
    let mut server = Server::new("");
    server.start();
    let file = write(server.dir.path(), "hr_roster.json", ROSTER);
    let (code, _, err) = texts(&["reference", "import", &file, "--data", &server.data()]);
    assert_eq!(code, Some(2));
    assert!(
        err.contains("no folder of reference tables; name one in its configuration"),
        "{err}"
    );
    server.stop();
}
