//! A web system's audit lines of one day, and whose the accounts in them are.

use serde_json::{Value, json};

use super::{Server, run};

/// Two bastion users, one of whom shares an account with the other before and after noon.
pub fn server() -> Server {
    let mut server = Server::new(
        "reference = \"reference\"\n[sources.crm]\nformat = \"web_audit\"\n[sources.linux]\nformat = \"linux_auth\"\n",
    );
    let reference = server.dir.path().join("reference");
    std::fs::create_dir_all(&reference).unwrap();
    let write =
        |table: &str, rows: Value| std::fs::write(reference.join(format!("{table}.json")), rows.to_string()).unwrap();
    write(
        "hr_roster",
        json!([{"employee_id": "E1", "name": "Li Na", "logins": ["lina"]}, {"employee_id": "E2", "name": "Wu Lei"}]),
    );
    write(
        "account_registry",
        json!([
            {"system": "crm", "account": "li.na", "owner_employee_id": "E1"},
            {"system": "jumpserver", "account": "li.na", "owner_employee_id": "E1"},
            {"system": "crm", "account": "desk", "owner_employee_id": "E1", "valid_to": "2026-03-02T12:00:00Z"},
            {"system": "crm", "account": "desk", "owner_employee_id": "E2", "valid_from": "2026-03-02T12:00:00Z"},
        ]),
    );
    server.start();
    server
}

/// What was looked at, by whom.
pub fn line(time: &str, account: &str, name: &str, result: &str) -> String {
    json!({"event_id": format!("{time}{account}"), "time": time, "system": "crm", "actor": {"account": account},
        "source": {"ip": "10.8.1.7"}, "action": "view", "object": {"type": "report", "id": "1", "name": name},
        "result": result})
    .to_string()
}

pub fn lines() -> Vec<String> {
    vec![
        line("2026-03-02T09:00:00Z", "li.na", "customers?id=1%20or%201", "success"),
        line("2026-03-02T10:00:00Z", "desk", "reports/客户名单", "success"),
        line("2026-03-02T13:00:00Z", "desk", "reports/a-b.c", "failure"),
        line("2026-03-02T14:00:00Z", "other", "customers?id=7", "success"),
    ]
}

pub fn search(server: &Server, command: &[&str]) -> (Vec<Value>, String) {
    let data = server.data();
    let mut args = command.to_vec();
    args.extend(["--data", &data, "--output", "ndjson"]);
    let output = run(&args);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {told}");
    (super::ndjson(&output.stdout), told)
}

/// Sends the day, and waits until it can be searched.
pub fn send(server: &Server) {
    let token = server.token("shipper", "crm-1");
    let body = lines().join("\n");
    let sent = super::request(
        server.http,
        "POST",
        "/api/v1/ingest/crm",
        Some(&token),
        &[],
        body.as_bytes(),
    )
    .unwrap();
    assert_eq!(sent.0, 200, "{}", sent.1);
    server.settle(4);
}
