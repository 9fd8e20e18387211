//! Accounts of hosts that no register names, but that are called as one person of `hr_roster` logs on.
//!
//! `sudo` and `su` say who became another by the name on the host. Where the register has no row for it, the name is a person's
//! when one person alone has it among their `logins`: a row `{system: host:*, account, owner_employee_id, known_by: hr_roster.logins}`. It has
//! neither state nor kind, so the account stays unregistered (AU-02); it only says whose it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::Table;
use super::cell::{each_value, scalar, value_at};
use crate::sigma::lower;

/// The rows that follow from `roster`, in the order of the names, for names that no row of a host in `register` has.
pub(super) fn rows(roster: &Table, register: &[Arc<Value>]) -> Vec<Value> {
    let text = |row: &Value, column| value_at(row, column).map(|v| scalar(v).into_owned());
    let mut owners: BTreeMap<String, Option<String>> = BTreeMap::new();
    for row in roster.rows() {
        let Some(id) = text(row, "employee_id").filter(|id| !id.is_empty()) else {
            continue;
        };
        each_value(row, "logins", &mut |login| {
            let login = lower(&scalar(login));
            if login.is_empty() || login.contains('*') {
                return;
            }
            // Of two people of one login neither is meant. A person may have several rows, one for each time.
            let owner = owners.entry(login).or_insert_with(|| Some(id.clone()));
            if owner.as_deref() != Some(&id) {
                *owner = None;
            }
        });
    }
    for row in register {
        let system = text(row, "system").unwrap_or_default();
        if lower(&system) == "host:*" {
            owners.remove(&lower(&text(row, "account").unwrap_or_default()));
        }
    }
    let row = |(account, owner): (String, Option<String>)| {
        let owner = owner?;
        Some(
            json!({"system": "host:*", "account": account, "owner_employee_id": owner, "known_by": "hr_roster.logins"}),
        )
    };
    owners.into_iter().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use model::Millis;

    use crate::reference::{Tables, person_of};

    #[test]
    fn a_login_of_one_person_is_theirs_on_every_host_that_the_register_does_not_know_it_on() {
        let mut tables = Tables::default();
        let roster = br#"[
            {"employee_id": "E1", "logins": ["Li.Na", "shared"]},
            {"employee_id": "E1", "logins": ["li.na"], "valid_from": "2026-01-01"},
            {"employee_id": "E2", "logins": ["wu", "shared", "root"]}]"#;
        let register = br#"[
            {"system": "host:web-1", "account": "wu", "owner_employee_id": "E1"},
            {"system": "host:*", "account": "root", "owner_employee_id": "E1"}]"#;
        let who = |t: &Tables, system, account| person_of(t, system, account, Millis(0)).map(|(person, _)| person);
        let told = [
            ("host:web-1", "li.na", Some("E1")),
            ("host:web-1", "wu", Some("E1")),
            ("host:web-2", "wu", Some("E2")),
            ("host:web-2", "shared", None),
            ("host:web-2", "root", Some("E1")),
            ("crm", "wu", None),
        ];
        tables.load("hr_roster", roster).unwrap();
        tables.load("account_registry", register).unwrap();
        for (system, account, owner) in told {
            assert_eq!(who(&tables, system, account).as_deref(), owner, "{system} {account}");
        }
        // Whichever comes first.
        let mut tables = Tables::default();
        tables.load("account_registry", register).unwrap();
        tables.load("hr_roster", roster).unwrap();
        tables.load("work_calendar", br#"{"tz": "Asia/Shanghai"}"#).unwrap();
        for (system, account, owner) in told {
            assert_eq!(who(&tables, system, account).as_deref(), owner, "{system} {account}");
        }
    }
}
