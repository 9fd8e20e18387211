//! The made-up operator whose records are measured: who works there, on what, and the reference tables that say so.

use std::fmt::Write as _;
use std::path::Path;

use model::Millis;
use serde_json::{Value, json};

/// Administrators: through the bastion to the hosts, and at the cloud console.
pub const ADMINS: usize = 200;
/// Agents: at the CRM.
pub const AGENTS: usize = 1_800;
/// Hosts that only the bastion may reach.
pub const HOSTS: usize = 500;
/// The bastion's address.
pub const BASTION: &str = "10.30.0.11";
/// Where the backups come from.
pub const BACKUP: &str = "10.20.255.50";

/// A login name.
pub fn login(person: usize) -> String {
    let role = if person < ADMINS { "adm" } else { "agt" };
    format!("{role}.{person:04}")
}

/// An employee's number.
pub fn employee(person: usize) -> String {
    format!("E{:05}", 10_000 + person)
}

/// A desk in the office.
pub fn desk(person: usize) -> String {
    format!("10.8.{}.{}", person / 250, person % 250 + 1)
}

/// A host's name: one in ten is a database.
pub fn host(number: usize) -> String {
    let role = if number.is_multiple_of(10) { "db" } else { "app" };
    format!("crm-{role}-{number:03}")
}

/// A host's address.
pub fn address(number: usize) -> String {
    format!("10.20.{}.{}", number / 250, number % 250 + 1)
}

/// Local time, as the sources and the tables write it: China has one zone, eight hours before UTC.
pub fn local(at: Millis) -> jiff::civil::DateTime {
    let at = jiff::Timestamp::from_millisecond(at.0).unwrap_or_default();
    jiff::tz::Offset::constant(8).to_datetime(at)
}

/// RFC 3339 with milliseconds and +08:00.
pub fn rfc3339(at: Millis) -> String {
    let t = local(at);
    let mut out = String::with_capacity(32);
    // A String takes all that is written.
    let _ = write!(
        out,
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}+08:00",
        t.year(),
        t.month(),
        t.day(),
        t.hour(),
        t.minute(),
        t.second(),
        t.millisecond()
    );
    out
}

/// The reference tables by name, valid around `start`. Everybody works at all hours, so that the hour of a
/// measurement does not decide how many alerts there are.
pub fn tables(start: Millis) -> Vec<(&'static str, Value)> {
    vec![
        ("hr_roster", hr_roster()),
        ("account_registry", account_registry(start)),
        ("approvals", approvals(start)),
        ("asset_register", asset_register()),
        ("change_calendar", json!([])),
        ("network_zones", network_zones()),
        ("data_catalogue", data_catalogue()),
        (
            "role_matrix",
            json!({"incompatible_pairs": [["os_admin", "dba"], ["dba", "auditor"]]}),
        ),
        ("work_calendar", work_calendar(start)),
        ("source_register", source_register()),
    ]
}

/// Writes [`tables`] into a folder, one file each.
///
/// # Errors
/// The disk's.
pub fn write_tables(dir: &Path, start: Millis) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir)?;
    for (name, rows) in tables(start) {
        std::fs::write(dir.join(format!("{name}.json")), rows.to_string())?;
    }
    Ok(())
}

fn hr_roster() -> Value {
    let row = |p: usize| {
        json!({
            "employee_id": employee(p), "name": format!("员工{p:04}"), "logins": [login(p)],
            "dept": if p < ADMINS { "ops" } else { "service" },
            "job_role": if p < ADMINS { "os_admin" } else { "service_agent" }, "employment": "staff",
            "status": "active", "start_at": "2022-04-01", "end_at": null, "manager_id": employee(0),
        })
    };
    (0..ADMINS + AGENTS).map(row).collect()
}

fn account_registry(start: Millis) -> Value {
    let used = rfc3339(start.plus_ms(-3_600_000));
    let row = |system: &str, account: &str, owner: String, kind: &str, sources: &[&str]| {
        json!({
            "system": system, "account": account, "owner_employee_id": owner, "kind": kind, "state": "active",
            "mfa_required": matches!(system, "jumpserver" | "aliyun"), "last_logon_at": used,
            "registered_sources": sources,
        })
    };
    let mut rows = Vec::new();
    for p in 0..ADMINS {
        for system in ["jumpserver", "aliyun", "host:*"] {
            rows.push(row(system, &login(p), employee(p), "personal", &[]));
        }
    }
    for p in ADMINS..ADMINS + AGENTS {
        rows.push(row("crm", &login(p), employee(p), "personal", &[]));
    }
    rows.push(row("host:*", "root", employee(0), "default", &[]));
    rows.push(row("host:*", "backup", employee(0), "service", &[BACKUP]));
    rows.push(row("aliyun", "monitor", employee(0), "service", &["10.20.255.60"]));
    Value::Array(rows)
}

fn approvals(start: Millis) -> Value {
    let hosts: Vec<String> = (0..HOSTS).map(host).collect();
    let granted = start.plus_ms(-20 * 86_400_000);
    let steps: Vec<Value> = [("supervisor", 1), ("system_owner", 2), ("security_admin", 3)]
        .iter()
        .map(|(capacity, by)| {
            json!({"approver": employee(*by), "capacity": capacity, "decision": "approved", "at": rfc3339(granted)})
        })
        .collect();
    let row = |p: usize| {
        // Each may reach a tenth of the hosts.
        let assets: Vec<&String> = hosts.iter().skip(p % 10).step_by(10).collect();
        json!({
            "ticket_id": format!("AC-{p:05}"), "kind": "access", "requester": employee(p), "beneficiary": employee(p),
            "scope": {"assets": assets, "roles": ["login"], "accounts": [login(p), "root"]},
            "valid_from": rfc3339(granted), "valid_to": rfc3339(start.plus_ms(85 * 86_400_000)), "approvals": steps,
        })
    };
    (0..ADMINS).map(row).collect()
}

fn asset_register() -> Value {
    let row = |n: usize| {
        json!({
            "asset_id": format!("A{n:04}"), "names": [host(n)], "addresses": [address(n)], "env": "prod",
            "kind": if n.is_multiple_of(10) { "db" } else { "host" }, "system_owner": employee(0),
            "data_levels": [if n.is_multiple_of(10) { "L4" } else { "L2" }], "bastion_required": true,
            "direct_login_allowed_from": [],
        })
    };
    (0..HOSTS).map(row).collect()
}

fn network_zones() -> Value {
    let row = |cidr: &str, zone: &str| json!({"cidr": cidr, "zone": zone, "site": "hangzhou", "country": "CN"});
    json!([
        row("10.8.0.0/16", "office"),
        row("10.30.0.0/24", "bastion"),
        row("10.20.0.0/16", "prod"),
        row("172.20.0.0/16", "vpn"),
    ])
}

fn data_catalogue() -> Value {
    json!([
        {"pattern": "customer", "level": "L3", "bulk_rows": 200},
        {"pattern": "customer_list", "level": "L3", "bulk_rows": 500},
        {"pattern": "crm-db-*", "level": "L4"},
    ])
}

fn work_calendar(start: Millis) -> Value {
    let days: Vec<String> = (-14..100)
        .map(|d| local(start.plus_ms(d * 86_400_000)).date().to_string())
        .collect();
    json!({"tz": "Asia/Shanghai", "hours": ["00:00", "23:59"], "working_days": days})
}

fn source_register() -> Value {
    let row = |source: &str| json!({"source": source, "max_silence_s": 3_600, "clock_tolerance_s": 5});
    ["jumpserver", "linux", "nginx", "webaudit", "actiontrail"]
        .map(row)
        .into_iter()
        .collect()
}
