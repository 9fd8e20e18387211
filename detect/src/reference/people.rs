//! From a person to their accounts: what [`super::person_of`] says of single events, said for all at once.

use model::Millis;
use serde_json::Value;

use super::cell::{each_value, moment, scalar, value_at};
use super::{Table, Tables};
use crate::sigma::lower;

/// Accounts of one name, for a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnedAccount {
    /// The systems, any of them, in lower case; `*` stands for any text.
    pub systems: Vec<String>,
    /// The account, in lower case; `*` stands for any text.
    pub account: String,
    /// From when on the row is valid.
    pub from: Option<Millis>,
    /// From when on no longer.
    pub to: Option<Millis>,
    /// Rows of other people that go before it where they match.
    pub unless: Vec<OwnedAccount>,
}

/// The people of `hr_roster` that are meant by an employee id, a name, a login or an address of mail: id and name, in the
/// order of the roster, each once. Without a roster, an id that owns an account.
#[must_use]
pub fn people_named(tables: &Tables, given: &str) -> Vec<(String, String)> {
    let given = lower(given.trim());
    let mut found: Vec<(String, String)> = Vec::new();
    let mut by_id = Vec::new();
    if let Some(roster) = tables.get("hr_roster") {
        for row in roster.rows() {
            let Some(id) = text(row, "employee_id") else { continue };
            let name = text(row, "name").unwrap_or_default();
            let mut is = lower(&name) == given;
            for column in ["logins", "email"] {
                each_value(row, column, &mut |v| is |= lower(&scalar(v)) == given);
            }
            let into = if lower(&id) == given {
                &mut by_id
            } else if is {
                &mut found
            } else {
                continue;
            };
            if !into.iter().any(|(known, _)| *known == id) {
                into.push((id, name));
            }
        }
    } else if let Some(register) = tables.get("account_registry") {
        let owners = register.rows().iter().filter_map(|row| text(row, "owner_employee_id"));
        by_id.extend(owners.filter(|o| lower(o) == given).take(1).map(|o| (o, String::new())));
    }
    // An id means one person, whatever else is called so.
    if by_id.is_empty() { found } else { by_id }
}

/// Every name by which a person of `hr_roster` may be asked for.
#[must_use]
pub fn names_of_people(tables: &Tables) -> Vec<String> {
    let mut names = Vec::new();
    for row in tables.get("hr_roster").into_iter().flat_map(|t| t.rows()) {
        for column in ["employee_id", "name", "logins", "email"] {
            each_value(row, column, &mut |v| names.push(scalar(v).into_owned()));
        }
    }
    names.retain(|n| !n.is_empty());
    names
}

/// The accounts that a person owns or owned, by `account_registry`. A row that names a pattern yields to rows that name
/// the account exactly, and of rows alike the first valid one counts.
#[must_use]
pub fn accounts_of(tables: &Tables, employee: &str) -> Vec<OwnedAccount> {
    let Some(register) = tables.get("account_registry") else {
        return Vec::new();
    };
    let employee = lower(employee);
    let rows: Vec<Row> = (0..register.rows().len())
        .filter_map(|n| row(tables, register, n))
        .collect();
    let own = |r: &&Row| r.owner == employee;
    let account = |r: &Row| OwnedAccount {
        systems: r.systems.clone(),
        account: r.account.clone(),
        from: r.from,
        to: r.to,
        unless: Vec::new(),
    };
    let mut out: Vec<OwnedAccount> = Vec::new();
    for mine in rows.iter().filter(own) {
        let others = rows
            .iter()
            .filter(|r| !own(r) && r.goes_before(mine) && r.may_meet(mine));
        let found = OwnedAccount {
            unless: others.map(account).collect(),
            ..account(mine)
        };
        if !out.contains(&found) {
            out.push(found);
        }
    }
    out
}

/// A row of the register.
struct Row {
    number: usize,
    systems: Vec<String>,
    account: String,
    owner: String,
    from: Option<Millis>,
    to: Option<Millis>,
}

impl Row {
    fn is_pattern(&self) -> bool {
        self.account.contains('*') || self.systems.first().is_some_and(|s| s.contains('*'))
    }

    fn goes_before(&self, other: &Row) -> bool {
        (self.is_pattern(), self.number) < (other.is_pattern(), other.number)
    }

    /// Whether an event may match both; a yes too many does no harm.
    fn may_meet(&self, other: &Row) -> bool {
        let meets = |a: &str, b: &str| a.contains('*') || b.contains('*') || a == b;
        let accounts = meets(&self.account, &other.account);
        let in_time = self.from.is_none_or(|f| other.to.is_none_or(|t| f < t))
            && other.from.is_none_or(|f| self.to.is_none_or(|t| f < t));
        let kind = |s: &String| s.split(':').next().unwrap_or_default().to_owned();
        let systems = self.systems.iter().any(|a| {
            let far = !a.starts_with('*')
                && other
                    .systems
                    .first()
                    .is_some_and(|b| !b.starts_with('*') && kind(a) != kind(b));
            !far && other.systems.iter().any(|b| meets(a, b))
        });
        accounts && in_time && systems
    }
}

fn row(tables: &Tables, register: &Table, number: usize) -> Option<Row> {
    let row = &register.rows()[number];
    let system = lower(&text(row, "system")?);
    let edge = |column| text(row, column).and_then(|v| moment(&v, tables.zone()));
    Some(Row {
        number,
        systems: match system.strip_prefix("host:") {
            Some(host) => tables
                .hosts()
                .calls(host)
                .into_iter()
                .map(|h| format!("host:{h}"))
                .collect(),
            None => vec![system],
        },
        account: lower(&text(row, "account")?),
        owner: text(row, "owner_employee_id").map(|o| lower(&o)).unwrap_or_default(),
        from: edge("valid_from"),
        to: edge("valid_to"),
    })
}

fn text(row: &Value, column: &str) -> Option<String> {
    let value = value_at(row, column).filter(|v| !v.is_null())?;
    Some(scalar(value).into_owned()).filter(|t| !t.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::person_of;

    #[test]
    fn whose_an_account_is_is_the_same_asked_from_either_side() {
        let mut tables = Tables::default();
        let register = br#"[
            {"system": "host:*", "account": "deploy", "owner_employee_id": "E1"},
            {"system": "host:web-1", "account": "deploy", "owner_employee_id": "E2"},
            {"system": "host:web-2", "account": "deploy", "owner_employee_id": "E2", "valid_to": "1970-01-01T00:00:01Z"},
            {"system": "crm", "account": "shared", "owner_employee_id": "E1", "valid_to": "1970-01-01T00:00:01Z"},
            {"system": "crm", "account": "Shared", "owner_employee_id": "E2", "valid_from": "1970-01-01T00:00:01Z"},
            {"system": "crm", "account": "svc-*", "owner_employee_id": "E2"},
            {"system": "crm", "account": "svc-x", "owner_employee_id": null},
            {"system": "crm", "account": "svc-y", "owner_employee_id": "E1"}]"#;
        tables.load("account_registry", register).unwrap();
        let roster =
            br#"[{"employee_id": "E1", "name": "Li Na", "logins": ["lina"]}, {"employee_id": "E2", "name": "Wu"}]"#;
        tables.load("hr_roster", roster).unwrap();
        let assets = br#"[{"asset_id": "A1", "names": ["web-1"], "addresses": ["10.0.0.7"]}]"#;
        tables.load("asset_register", assets).unwrap();
        assert_eq!(people_named(&tables, "LINA"), [("E1".to_owned(), "Li Na".to_owned())]);
        assert_eq!(people_named(&tables, "e2"), [("E2".to_owned(), "Wu".to_owned())]);
        let like = |pattern: &str, text: &str| match pattern.split_once('*') {
            Some((head, tail)) => {
                text.len() >= head.len() + tail.len() && text.starts_with(head) && text.ends_with(tail)
            }
            None => pattern == text,
        };
        fn holds(a: &OwnedAccount, like: &dyn Fn(&str, &str) -> bool, system: &str, account: &str, at: i64) -> bool {
            a.systems.iter().any(|s| like(s, system))
                && like(&a.account, account)
                && a.from.is_none_or(|f| f.0 <= at)
                && a.to.is_none_or(|t| at < t.0)
                && !a.unless.iter().any(|u| holds(u, like, system, account, at))
        }
        let mut owned = 0;
        for system in [
            "host:web-1",
            "host:web-2",
            "host:web-3",
            "host:10.0.0.7",
            "host:web-1.shop.example",
            "crm",
        ] {
            for account in ["deploy", "shared", "svc-x", "svc-y", "svc-z", "nobody"] {
                for at in [0, 1000] {
                    let expected = person_of(&tables, system, account, Millis(at)).map(|(p, _)| p);
                    for employee in ["E1", "E2"] {
                        let accounts = accounts_of(&tables, employee);
                        let theirs = accounts.iter().any(|a| holds(a, &like, system, account, at));
                        assert_eq!(
                            theirs,
                            expected.as_deref() == Some(employee),
                            "{system} {account} {at} {employee}"
                        );
                        owned += usize::from(theirs);
                    }
                }
            }
        }
        assert!(owned > 10);
    }
}
