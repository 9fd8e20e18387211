//! What stands around a finding: the person, the assets and their owners, the session, the permission that comes nearest.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use model::{Asset, Finding, LookedFor, Person};
use serde_json::{Value, json};

use self::harness::*;

mod harness;

const RULES: &str = r#"
title: Session without a ticket
name: session
logsource: {product: ocsf, category: authentication}
detection: {s: {status_id: 1}, condition: s}
level: high
docket:
  clauses: [AU-11]
  lookup:
    - {table: account_registry, as: account, key: {system: $event.docket.system, account: $event.user.name}, expect: any}
    - table: approvals
      as: ticket
      where:
        kind: [access, emergency]
        beneficiary: $account.owner_employee_id
        scope.assets: $event.device.hostname
        any: [{scope.accounts: $event.user.name}, {scope.accounts|exists: false}]
        approvals|has|distinct:
          approver: [{capacity: supervisor, decision: approved}, {capacity: security_admin, decision: approved}]
      expect: none
    - table: change_calendar
      where: {assets: $event.device.hostname, window_end|gte: $event.time}
      expect: none
  message: "{event.user.name} logged on"
---
title: Fed
name: fed
logsource: {product: ocsf, category: authentication}
detection: {s: {status_id: 2}, condition: s}
docket: {silent: true}
---
title: Many
name: many
correlation: {type: event_count, rules: [fed], group-by: [device.hostname], timespan: 1h, condition: {gte: 2}}
level: low
docket: {clauses: [AU-09], message: "many"}
"#;

fn tables() -> Value {
    let ticket = |id: &str, who: &str, assets: Value, accounts: Value, approvals: Value| {
        json!({"ticket_id": id, "kind": "access", "beneficiary": who, "requester": who, "approvals": approvals,
               "scope": {"assets": assets, "accounts": accounts}, "valid_from": "2020-01-01T00:00:00Z", "valid_to": "2099-01-01T00:00:00Z"})
    };
    let approved = |who: &str, capacity: &str| json!({"approver": who, "capacity": capacity, "decision": "approved", "at": "2020-01-01T00:00:00Z"});
    let both = json!([approved("E8", "supervisor"), approved("E9", "security_admin")]);
    json!({
        "account_registry": [
            {"system": "host:web-1", "account": "eve", "owner_employee_id": "E1"},
            {"system": "host:web-1", "account": "li", "owner_employee_id": "E2"},
            {"system": "host:web-1", "account": "wu", "owner_employee_id": "E3"},
        ],
        "hr_roster": [
            {"employee_id": "E1", "name": "伊芙", "dept": "ops", "job_role": "os_admin"},
            {"employee_id": "E2", "name": "Li"},
            {"employee_id": "E7", "name": "Owner of web"},
        ],
        "asset_register": [{"asset_id": "A1", "names": ["web-1"], "addresses": ["10.20.0.1"], "env": "prod", "kind": "host", "system_owner": "E7"}],
        "approvals": [
            ticket("T-1", "E1", json!(["db-1"]), json!(["root"]), both.clone()),
            ticket("T-2", "E2", json!(["web-1"]), json!(null), json!([approved("E8", "supervisor")])),
            ticket("T-3", "E9", json!(["db-1"]), json!(null), both.clone()),
        ],
        "change_calendar": [{"change_id": "C-1", "assets": ["web-1"], "window_start": "2020-01-01T00:00:00Z", "window_end": "2020-01-02T00:00:00Z"}],
    })
}

fn found(user: &str, clause: &str) -> Finding {
    let site = site(RULES, tables());
    let mut event = logon(user, clause == "AU-11", "10.9.0.1");
    event["session"] = json!({"uid": "s-77"});
    let mut records = recs(&[(0.0, event.clone()), (1.0, event)]);
    records.push(tick(60.0));
    let findings = standing_with_labels(run(&site, &records, &[], false).0);
    findings.into_values().find(|f| f.clauses == [clause]).unwrap()
}

#[test]
fn who_what_and_where() {
    let finding = found("eve", "AU-11");
    let person = Person {
        name: "伊芙".to_owned(),
        dept: Some("ops".to_owned()),
        job_role: Some("os_admin".to_owned()),
    };
    let asset = Asset {
        uid: "A1".to_owned(),
        name: "web-1".to_owned(),
        kind: "prod host".to_owned(),
        owner: Some("E7".to_owned()),
        owner_name: Some("Owner of web".to_owned()),
    };
    assert_eq!(finding.context.person, Some(person));
    assert_eq!(finding.context.assets, [asset]);
    assert_eq!(finding.context.session.as_deref(), Some("s-77"));
    let cited: Vec<&str> = finding.rows.iter().map(|row| row.table.as_str()).collect();
    assert_eq!(cited, ["account_registry", "hr_roster", "asset_register"]);
}

#[test]
fn the_nearest_permission_and_what_it_lacks() {
    let of = |user: &str| found(user, "AU-11").context.looked_for;
    let looked = |table: &str, nearest: Option<&str>, lacks: &[&str]| LookedFor {
        table: table.to_owned(),
        nearest: nearest.map(str::to_owned),
        lacks: lacks.iter().map(|l| (*l).to_owned()).collect(),
    };
    let change = looked(
        "change_calendar",
        Some("C-1"),
        &["window_end is `2020-01-02T00:00:00Z`, earlier than `2026-05-04T02:01:00+00:00`"],
    );
    assert_eq!(
        of("eve"),
        [
            looked(
                "approvals",
                Some("T-1"),
                &[
                    "scope.assets is `db-1`, not `web-1`",
                    "scope.accounts is `root`, not `eve`"
                ]
            ),
            change.clone(),
        ]
    );
    assert_eq!(
        of("li"),
        [
            looked(
                "approvals",
                Some("T-2"),
                &["approvals lack one with capacity security_admin, decision approved"]
            ),
            change.clone(),
        ]
    );
    // Of the same asset, though of another person.
    assert_eq!(of("wu")[0].nearest.as_deref(), Some("T-2"));
}

#[test]
fn the_sentences() {
    let told = found("li", "AU-11").description().into_owned();
    assert_eq!(
        told,
        "li logged on. Person: Li (E2). Asset: web-1 (prod host), owned by Owner of web (E7). Session: s-77. Looked for in approvals: T-2 comes \
         nearest; it does not cover: approvals lack one with capacity security_admin, decision approved. Looked for in change_calendar: C-1 \
         comes nearest; it does not cover: window_end is `2020-01-02T00:00:00Z`, earlier than `2026-05-04T02:01:00+00:00`."
    );
}

#[test]
fn a_correlation_knows_its_group() {
    let finding = found("eve", "AU-09");
    assert_eq!(finding.context.assets.first().map(|a| a.name.as_str()), Some("web-1"));
    assert!(finding.context.looked_for.is_empty());
}
