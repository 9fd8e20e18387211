//! What Northquay's registers say: the reference tables, with dates around the start of the traffic.

use model::Millis;
use serde_json::{Value, json};

use super::people::{
    ADMINS, AGENTS, BACKUP_SERVER, CLERKS, DBAS, DEVELOPERS, LAB, LEFT_AND_FORGOTTEN, LEFT_IN_ORDER, MANAGERS, Person,
    SECURITY, WEB_HOSTS, every_host, everybody,
};
use super::tape::{DAY, Day, HOUR, MINUTE, rfc3339, text};
use super::violations::overrun;

/// Days, from the start, for which changes and tickets are on file.
const DAYS_ON_FILE: i64 = 60;

/// The reference tables, each as a JSON document by the name that policies know it by. `start` is that of the traffic.
#[must_use]
pub fn reference(start: Millis) -> Vec<(&'static str, String)> {
    let tables: [(&'static str, Value); 10] = [
        ("hr_roster", hr_roster(start)),
        ("account_registry", account_registry(start)),
        ("approvals", approvals(start)),
        ("change_calendar", change_calendar(start)),
        ("asset_register", asset_register()),
        ("network_zones", network_zones()),
        (
            "role_matrix",
            json!({"incompatible_pairs": [["os_admin", "dba"], ["os_admin", "auditor"], ["dba", "auditor"]]}),
        ),
        ("data_catalogue", data_catalogue()),
        ("work_calendar", work_calendar(start)),
        ("source_register", source_register()),
    ];
    tables
        .into_iter()
        .map(|(name, rows)| (name, format!("{rows:#}\n")))
        .collect()
}

/// When [`LEFT_IN_ORDER`] leaves.
pub(super) fn left_in_order_at(start: Millis) -> Millis {
    start + 26 * HOUR
}

/// When [`LEFT_AND_FORGOTTEN`] leaves.
pub(super) fn left_and_forgotten_at(start: Millis) -> Millis {
    start + 4 * HOUR
}

/// The request under which a day's approved export is made.
pub(super) fn export_ticket(day: Day) -> String {
    format!("DR-{}", text(day.at(0, 0), "%Y%m%d"))
}

/// Whether the day's planned change makes an account as well.
pub(super) fn has_new_account(day: Day) -> bool {
    day.is_working() && day.0 % 3 == 0
}

/// The account that is made on a day, with an approved request.
pub(super) fn account_name(day: Day) -> String {
    format!("rpt-{}", text(day.at(0, 0), "%m%d"))
}

fn days_on_file(start: Millis) -> impl Iterator<Item = Day> {
    let first = Day::of(start).0 - 1;
    (first..first + DAYS_ON_FILE).map(Day)
}

fn hr_roster(start: Millis) -> Value {
    let row = |p: &Person| {
        let end = match p.id {
            id if id == LEFT_IN_ORDER.id => Some(left_in_order_at(start)),
            id if id == LEFT_AND_FORGOTTEN.id => Some(left_and_forgotten_at(start)),
            _ => None,
        };
        json!({
            "employee_id": p.id, "name": p.name, "logins": [p.login], "email": format!("{}@northquay.example", p.login),
            "dept": p.dept(), "job_role": p.role, "employment": "staff",
            "status": if end.is_some() { "terminated" } else { "active" }, "start_at": "2022-04-01",
            "end_at": end.map(rfc3339), "manager_id": MANAGERS[0].id,
        })
    };
    everybody().map(row).collect()
}

fn account_registry(start: Millis) -> Value {
    let used = rfc3339(start + -20 * HOUR);
    let row = |system: &str, account: &str, owner: &str, kind: &str, sources: &[&str]| {
        let mut row = json!({
            "system": system, "account": account, "owner_employee_id": owner, "kind": kind, "state": "active",
            "mfa_required": matches!(system, "jumpserver" | "aliyun"), "last_logon_at": used,
        });
        if !sources.is_empty() {
            row["registered_sources"] = json!(sources);
        }
        row
    };
    let mut rows = Vec::new();
    let mut personal = |system: &str, people: &[Person]| {
        rows.extend(people.iter().map(|p| row(system, p.login, p.id, "personal", &[])));
    };
    for people in [ADMINS, DBAS, DEVELOPERS] {
        personal("jumpserver", people);
    }
    personal("jumpserver", &[LEFT_IN_ORDER, LEFT_AND_FORGOTTEN]);
    personal("aliyun", ADMINS);
    personal("host:*", ADMINS);
    personal("host:lab-1", DEVELOPERS);
    personal("crm", AGENTS);
    personal("billing", CLERKS);
    let owner = MANAGERS[1].id;
    rows.push(row("host:*", "root", owner, "default", &[]));
    rows.push(row("host:*", "postgres", owner, "default", &[]));
    rows.push(row("host:*", "backup", owner, "service", &[BACKUP_SERVER]));
    rows.push(row("aliyun", "root", owner, "default", &[]));
    rows.push(row("aliyun", "monitor:probe", owner, "service", &["10.70.9.60"]));
    Value::Array(rows)
}

/// The three capacities, three persons.
fn approved(at: Millis) -> Value {
    let step = |approver: &Person, capacity: &str, minutes: i64| {
        let at = rfc3339(at + minutes * MINUTE);
        json!({"approver": approver.id, "capacity": capacity, "decision": "approved", "at": at})
    };
    json!([
        step(&MANAGERS[0], "supervisor", 0),
        step(&MANAGERS[1], "system_owner", 20),
        step(&MANAGERS[1], "data_owner", 25),
        step(&SECURITY[0], "security_admin", 40),
    ])
}

fn approvals(start: Millis) -> Value {
    let mut rows = Vec::new();
    let granted = start + -20 * DAY;
    let hosts: Vec<&str> = every_host().map(|h| h.name).collect();
    for (n, person) in ADMINS.iter().chain(DBAS).chain(DEVELOPERS).enumerate() {
        let (assets, accounts) = match person.role {
            "developer" => (vec![LAB.name], vec![person.login]),
            _ => (hosts.clone(), vec![person.login, "postgres", "root"]),
        };
        rows.push(json!({
            "ticket_id": format!("AC-{}", 4_100 + n), "kind": "access", "requester": person.id, "beneficiary": person.id,
            "scope": {"assets": assets, "roles": ["login"], "accounts": accounts},
            "valid_from": rfc3339(granted), "valid_to": rfc3339(granted + 85 * DAY),
            "approvals": approved(granted + -5 * HOUR),
        }));
    }
    for day in days_on_file(start).filter(|d| d.is_working()) {
        let agent = day.turn(AGENTS).id;
        rows.push(json!({
            "ticket_id": export_ticket(day), "kind": "data_export", "requester": agent, "beneficiary": agent,
            "scope": {"objects": ["customer_list"], "fields": ["name", "city"]}, "row_limit": 500,
            "valid_from": rfc3339(day.at(8, 0)), "valid_to": rfc3339(day.at(20, 0)), "approvals": approved(day.at(8, 0) + -16 * HOUR),
        }));
        if has_new_account(day) {
            let (who, host) = (day.turn(ADMINS).id, day.turn(WEB_HOSTS).name);
            rows.push(json!({
                "ticket_id": format!("AR-{}", text(day.at(0, 0), "%Y%m%d")), "kind": "account", "requester": who,
                "beneficiary": who, "scope": {"systems": [format!("host:{host}")], "account": account_name(day)},
                "valid_from": rfc3339(day.at(9, 0)), "valid_to": rfc3339(day.at(19, 0)),
                "approvals": approved(day.at(9, 0) + -16 * HOUR),
            }));
        }
    }
    Value::Array(rows)
}

fn change_calendar(start: Millis) -> Value {
    let row = |id: String, host: &str, who: &str, from: Millis, to: Millis| {
        let step = |step: &str, by: &str, at: Millis| json!({"step": step, "by": by, "at": rfc3339(at)});
        json!({
            "change_id": id, "level": "normal", "assets": [host],
            "operations": ["install", "config", "restart", "account"], "implementers": [who],
            "window_start": rfc3339(from), "window_end": rfc3339(to),
            "steps": [
                step("request", MANAGERS[0].id, from + -48 * HOUR), step("assess", MANAGERS[1].id, from + -40 * HOUR),
                step("approve", SECURITY[0].id, from + -30 * HOUR), step("test", MANAGERS[0].id, from + -24 * HOUR),
                step("implement", who, from), step("review", SECURITY[0].id, to + 18 * HOUR),
            ],
            "reviewers": [SECURITY[0].id, MANAGERS[1].id], "rollback_plan": true,
        })
    };
    let planned = days_on_file(start).filter(|d| d.is_working()).map(|day| {
        let id = format!("CHG-{}", text(day.at(0, 0), "%Y%m%d"));
        row(
            id,
            day.turn(WEB_HOSTS).name,
            day.turn(ADMINS).id,
            day.at(17, 0),
            day.at(18, 0),
        )
    });
    let overrun = days_on_file(start).filter_map(|day| {
        let plan = overrun(day, start)?;
        let id = format!("CHG-{}-B", text(day.at(0, 0), "%Y%m%d"));
        Some(row(id, plan.host.name, plan.person.id, plan.from, plan.to))
    });
    planned.chain(overrun).collect()
}

fn asset_register() -> Value {
    let row = |(n, h): (usize, &super::people::Host)| {
        let direct: &[&str] = if h.env == "prod" { &[] } else { &["10.44.0.0/16"] };
        json!({
            "asset_id": format!("NQ-{:03}", n + 1), "names": [h.name], "addresses": [h.address], "env": h.env,
            "kind": h.kind, "system_owner": MANAGERS[1].id, "data_levels": h.levels,
            "bastion_required": h.env == "prod", "direct_login_allowed_from": direct,
        })
    };
    every_host().enumerate().map(row).collect()
}

fn network_zones() -> Value {
    let row = |cidr: &str, zone: &str| json!({"cidr": cidr, "zone": zone, "site": "ningbo", "country": "CN"});
    json!([
        row("10.44.0.0/16", "office"),
        row("10.30.0.0/24", "bastion"),
        row("10.70.0.0/16", "prod"),
        row("10.90.0.0/16", "test"),
        {"cidr": "172.22.0.0/16", "zone": "vpn", "site": "", "country": "CN"},
    ])
}

fn data_catalogue() -> Value {
    json!([
        {"pattern": "customer", "level": "L3", "personal_data": "general", "owner": MANAGERS[1].id, "bulk_rows": 200},
        {"pattern": "customer_list", "level": "L3", "personal_data": "general", "owner": MANAGERS[1].id, "bulk_rows": 500},
        {"pattern": "invoice", "level": "L3", "personal_data": "general", "owner": MANAGERS[1].id, "bulk_rows": 200},
        {"pattern": "invoice_list", "level": "L4", "personal_data": "general", "owner": MANAGERS[1].id, "bulk_rows": 200},
        {"pattern": "crm-pg-1", "level": "L4", "owner": MANAGERS[1].id},
        {"pattern": "bill-pg-1", "level": "L4", "owner": MANAGERS[1].id},
    ])
}

fn work_calendar(start: Millis) -> Value {
    let first = Day::of(start).0 - 14;
    let days = (first..first + 400).map(Day).filter(|d| d.is_working());
    let days: Vec<String> = days.map(|d| text(d.at(0, 0), "%Y-%m-%d")).collect();
    json!({"tz": super::TIME_ZONE, "hours": ["09:00", "18:30"], "working_days": days})
}

fn source_register() -> Value {
    let row = |source: &str, hours: i64| json!({"source": source, "max_silence_s": hours * 3_600, "clock_tolerance_s": 5, "owner": MANAGERS[1].id});
    // At the weekend nobody uses the bastion.
    json!([
        row("jumpserver", 96),
        row("linux", 2),
        row("nginx", 1),
        row("webaudit", 24),
        row("actiontrail", 1),
    ])
}
