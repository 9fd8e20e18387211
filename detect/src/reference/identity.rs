//! Identity resolution: from an account of a system to a person.

use std::sync::Arc;

use model::{Millis, ReferenceRow};

use super::Tables;
use super::cell::{scalar, value_at};
use crate::sigma::lower;

/// The employee id of the person who owns `account` in `system` at `at`: the `owner_employee_id` of its row in
/// `account_registry` (an exact row before a pattern such as `host:*`), with the row. `None` where the register
/// was not loaded, or has no such row, or the row no owner, or `hr_roster` was loaded and has no such person.
#[must_use]
pub fn person_of(tables: &Tables, system: &str, account: &str, at: Millis) -> Option<(String, Arc<ReferenceRow>)> {
    let register = tables.get("account_registry")?;
    let columns = ["system".into(), "account".into()];
    let mut values = [vec![lower(system)], vec![lower(account)]];
    tables.widen("account_registry", &columns, &mut values);
    let (equal, matching) = register.index(&columns).rows(&values);
    let valid = |rows: Vec<usize>| rows.into_iter().find(|row| register.valid(*row, at));
    let row = valid(equal).or_else(|| valid(matching))?;
    let owner = value_at(&register.rows()[row], "owner_employee_id")
        .filter(|v| !v.is_null())
        .map(scalar)?;
    if owner.is_empty() {
        return None;
    }
    if let Some(roster) = tables.get("hr_roster") {
        let (known, _) = roster.index(&["employee_id".into()]).rows(&[vec![lower(&owner)]]);
        known.first()?;
    }
    Some((owner.into_owned(), register.cite(row)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_rows_go_first_and_the_person_must_exist() {
        let mut tables = Tables::default();
        let register = br#"[
            {"system": "host:*", "account": "deploy", "owner_employee_id": "E1"},
            {"system": "host:web-1", "account": "deploy", "owner_employee_id": "E2"},
            {"system": "host:web-2", "account": "deploy", "owner_employee_id": "E2", "valid_to": "1970-01-01T00:00:00Z"},
            {"system": "crm", "account": "shared", "owner_employee_id": null},
            {"system": "crm", "account": "ghost", "owner_employee_id": "E9"}]"#;
        assert_eq!(person_of(&tables, "crm", "ghost", Millis(0)), None);
        tables.load("account_registry", register).unwrap();
        let who = |t: &Tables, s, a| person_of(t, s, a, Millis(0)).map(|(p, _)| p);
        assert_eq!(who(&tables, "crm", "ghost").as_deref(), Some("E9"));
        tables
            .load("hr_roster", br#"[{"employee_id": "E1"}, {"employee_id": "E2"}]"#)
            .unwrap();
        let assets = br#"[{"asset_id": "A1", "names": ["web-1"], "addresses": ["10.0.0.7"]}]"#;
        tables.load("asset_register", assets).unwrap();
        for (system, account, want) in [
            ("host:web-1", "Deploy", Some("E2")),
            ("host:web-2", "deploy", Some("E1")),
            ("host:web-3", "deploy", Some("E1")),
            ("crm", "shared", None),
            ("crm", "ghost", None),
            ("crm", "nobody", None),
            ("host:web-1.shop.example", "deploy", Some("E2")),
            ("host:10.0.0.7", "deploy", Some("E2")),
        ] {
            assert_eq!(who(&tables, system, account).as_deref(), want, "{system} {account}");
        }
    }
}
