//! The CRM and the billing system: nginx in front, and their own audit records under the same request ids.

use model::Millis;
use serde_json::{Map, Value, json};

use super::people::{AGENTS, CLERKS, Person};
use super::reference::export_ticket;
use super::tape::{DAY, Day, MINUTE, SECOND, Tape, rfc3339, text};

const BROWSER: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/141.0.0.0 Safari/537.36";
/// The load balancers that ask after the health of the systems.
const BALANCER: &str = "10.70.0.5";

/// A web system.
pub(super) struct System {
    /// As in the account register.
    pub name: &'static str,
    /// Its host name.
    pub host: &'static str,
    /// What its records are about.
    pub object: &'static str,
    /// The list that can be exported.
    pub list: &'static str,
}

/// Customers.
pub(super) const CRM: System = System {
    name: "crm",
    host: "crm.northquay.internal",
    object: "customer",
    list: "customer_list",
};
/// Invoices.
pub(super) const BILLING: System = System {
    name: "billing",
    host: "billing.northquay.internal",
    object: "invoice",
    list: "invoice_list",
};

struct Request<'a> {
    user: &'a str,
    address: &'a str,
    method: &'a str,
    uri: &'a str,
    status: u16,
    id: &'a str,
}

fn access(tape: &mut Tape, at: Millis, system: &System, request: &Request<'_>) {
    let bytes = match request.status {
        200 if request.user.is_empty() => 2,
        200 => tape.between(300, 24_000),
        _ => 0,
    };
    let took = tape.between(4, 240);
    let record = json!({
        "time": text(at, "%Y-%m-%dT%H:%M:%S%:z"), "remote_addr": request.address, "xff": "", "user": request.user,
        "method": request.method, "uri": request.uri, "status": request.status, "bytes": bytes,
        "rt": took as f64 / 1_000.0, "ua": if request.user.is_empty() { "health/1.2" } else { BROWSER }, "ref": "",
        "host": system.host, "req_id": request.id, "scheme": "https",
    });
    tape.write(at, "nginx", record.to_string());
}

/// A request that the application audits: the web server's line and the application's record.
fn audited(tape: &mut Tape, at: Millis, system: &System, person: &Person, method: &str, uri: &str, fields: Value) {
    let id = tape.hex(32);
    let address = person.address();
    let request = Request {
        user: person.login,
        address: &address,
        method,
        uri,
        status: 200,
        id: &id,
    };
    access(tape, at + 40, system, &request);
    let mut record = Map::new();
    record.insert("event_id".into(), json!(tape.uuid()));
    record.insert("time".into(), json!(rfc3339(at)));
    record.insert("system".into(), json!(system.name));
    let actor = json!({
        "account": person.login, "employee_id": person.id, "name": person.name, "dept": person.dept(), "role": person.role,
    });
    record.insert("actor".into(), actor);
    record.insert("session_id".into(), json!(format!("s-{}-{}", person.id, Day::of(at).0)));
    record.insert("request_id".into(), json!(id));
    record.insert("source".into(), json!({"ip": address, "user_agent": BROWSER}));
    if let Value::Object(fields) = fields {
        record.extend(fields);
    }
    tape.write(at, "webaudit", Value::Object(record).to_string());
}

/// A person logs in at a web system.
pub(super) fn login(tape: &mut Tape, at: Millis, system: &System, person: &Person) {
    let object = json!({"type": "portal", "id": system.name});
    let fields = json!({"module": "portal", "action": "login", "object": object, "result": "success"});
    audited(tape, at, system, person, "POST", "/login", fields);
}

fn logout(tape: &mut Tape, at: Millis, system: &System, person: &Person) {
    let object = json!({"type": "portal", "id": system.name});
    let fields = json!({"module": "portal", "action": "logout", "object": object, "result": "success"});
    audited(tape, at, system, person, "POST", "/logout", fields);
}

/// A list of personal data is exported; `ticket` is the approved request, where there is one.
pub(super) fn export(
    tape: &mut Tape,
    at: Millis,
    system: &System,
    person: &Person,
    rows: i64,
    columns: &[&str],
    ticket: Option<&str>,
) {
    let id = format!("q-{}", tape.between(1_000, 9_999));
    let uri = format!("/{}/export?q={id}", system.object);
    let object = json!({
        "type": system.list, "id": id, "count": rows, "level": "L3", "personal": "general", "fields": columns,
    });
    let mut fields = json!({
        "module": system.list, "action": "export", "object": object, "result": "success", "rows": rows,
        "bytes": rows * 96, "file": {"name": format!("{}-{id}.xlsx", system.list), "sha256": tape.hex(64)},
        "masked": false,
    });
    if let Some(ticket) = ticket {
        fields["ticket"] = json!({"type": "data_export", "id": ticket});
    }
    audited(tape, at, system, person, "POST", &uri, fields);
}

/// One record is handled, under a case that is assigned to the person.
fn handle(tape: &mut Tape, at: Millis, system: &System, person: &Person) {
    let action = *tape.pick(&["view", "view", "view", "query", "query", "update"]);
    // Not one after the other: that would be enumeration.
    let object = tape.between(100_000, 999_999).to_string();
    let method = if action == "update" { "POST" } else { "GET" };
    let uri = format!("/{}/{action}?id={object}", system.object);
    let ticket = json!({
        "type": "case", "id": format!("CS-{}", tape.between(100_000, 999_999)), "assignee": person.id, "state": "open",
    });
    let object = json!({"type": system.object, "id": object, "count": 1, "level": "L3", "personal": "general"});
    let fields = json!({
        "module": system.object, "action": action, "object": object, "result": "success", "ticket": ticket, "masked": true,
    });
    audited(tape, at, system, person, method, &uri, fields);
}

/// A page that holds nothing worth an audit record.
fn page(tape: &mut Tape, at: Millis, system: &System, person: &Person) {
    let uri = *tape.pick(&[
        "/",
        "/dashboard",
        "/static/app.js",
        "/static/app.css",
        "/help",
        "/notices",
    ]);
    let (id, address) = (tape.hex(32), person.address());
    let status = if uri.starts_with("/static") && tape.between(0, 2) == 0 {
        304
    } else {
        200
    };
    access(
        tape,
        at,
        system,
        &Request {
            user: person.login,
            address: &address,
            method: "GET",
            uri,
            status,
            id: &id,
        },
    );
}

/// A day of the web systems. At the weekend three agents are on duty.
pub(super) fn ordinary_day(tape: &mut Tape, day: Day, start: Millis) {
    for (n, person) in AGENTS.iter().chain(CLERKS).enumerate() {
        let system = if person.role == "service_agent" { &CRM } else { &BILLING };
        let on_duty = person.role == "service_agent" && (n as i64 + day.0).rem_euclid(AGENTS.len() as i64) < 3;
        if !day.is_working() && !on_duty {
            continue;
        }
        let handled = match (day.is_working(), system.name) {
            (true, "crm") => tape.between(60, 95),
            (true, _) => tape.between(25, 45),
            (false, _) => tape.between(25, 40),
        };
        let (come, go) = (
            day.at(9, 0) + tape.between(0, 12 * MINUTE),
            day.at(18, 0) + tape.between(0, 20 * MINUTE),
        );
        if come >= start {
            login(tape, come, system, person);
        }
        for _ in 0..handled {
            let at = tape.office_time(day, 17);
            if at >= start {
                handle(tape, at, system, person);
                let later = at + tape.between(2 * SECOND, 40 * SECOND);
                if tape.between(0, 3) == 0 {
                    page(tape, later, system, person);
                }
            }
        }
        if go >= start {
            logout(tape, go, system, person);
        }
    }
    approved_export(tape, day, start);
    for system in [&CRM, &BILLING] {
        let phase = tape.between(0, 2 * MINUTE);
        for n in 0..DAY / (2 * MINUTE) {
            let at = day.at(0, 0) + (n * 2 * MINUTE + phase);
            if at >= start {
                let id = tape.hex(32);
                let ask = Request {
                    user: "",
                    address: BALANCER,
                    method: "GET",
                    uri: "/healthz",
                    status: 200,
                    id: &id,
                };
                access(tape, at, system, &ask);
            }
        }
    }
}

/// Each working day one agent exports, with a request that covers it.
fn approved_export(tape: &mut Tape, day: Day, start: Millis) {
    let at = day.at(15, 20) + tape.between(0, 30 * MINUTE);
    if day.is_working() && at >= start {
        let rows = tape.between(80, 400);
        export(
            tape,
            at,
            &CRM,
            day.turn(AGENTS),
            rows,
            &["name", "city"],
            Some(&export_ticket(day)),
        );
    }
}
