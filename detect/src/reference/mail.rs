//! Accounts that a source calls by an address of mail, and the register by a login: identity providers, single sign-on to a cloud.

use std::sync::Arc;

use foldhash::HashMap;

use super::Table;
use super::cell::{each_value, scalar};
use crate::policy::Lookup;
use crate::sigma::lower;

/// The table and the column whose keys are widened.
const REGISTER: &str = "account_registry";
const COLUMN: &str = "account";

/// Logins by address of mail.
#[derive(Debug, Default)]
pub struct Mail {
    logins: HashMap<String, Vec<String>>,
}

impl Mail {
    /// The addresses of a roster.
    #[must_use]
    pub fn new(roster: &Table) -> Mail {
        let mut mail = Mail::default();
        for row in roster.rows() {
            let mut logins = Vec::new();
            each_value(row, "logins", &mut |login| logins.push(lower(&scalar(login))));
            each_value(row, "email", &mut |address| {
                let address = lower(scalar(address).trim());
                let Some((local, _)) = address.split_once('@') else {
                    return;
                };
                let all = mail
                    .logins
                    .entry(address.clone())
                    .or_insert_with(|| vec![local.to_owned()]);
                all.extend(logins.iter().filter(|l| !l.is_empty()).cloned());
            });
        }
        mail
    }

    /// The logins of who is called by an address: those of the roster's person. Where the roster has no addresses at all it is what stands
    /// before the `@`; where it has, an address that is not among them is a stranger's.
    fn logins_of(&self, account: &str) -> Vec<String> {
        let Some((local, domain)) = account.split_once('@') else {
            return Vec::new();
        };
        match self.logins.get(account) {
            Some(logins) => logins.clone(),
            None if self.logins.is_empty() && domain.contains('.') && !local.is_empty() => vec![local.to_owned()],
            None => Vec::new(),
        }
    }

    /// Adds to the values of a key, which are in lower case, the logins that they stand for.
    pub(super) fn widen(&self, table: &str, columns: &[Arc<str>], values: &mut [Vec<String>]) {
        if table == REGISTER {
            for (column, values) in columns.iter().zip(values) {
                self.widen_column(column, values);
            }
        }
    }

    /// As [`Mail::widen`], of the key of a lookup.
    pub(super) fn widen_key(&self, lookup: &Lookup, values: &mut [Vec<String>]) {
        if &*lookup.table == REGISTER {
            for ((column, _), values) in lookup.key.iter().zip(values) {
                self.widen_column(column, values);
            }
        }
    }

    fn widen_column(&self, column: &str, values: &mut Vec<String>) {
        if column != COLUMN || !values.iter().any(|value| value.contains('@')) {
            return;
        }
        let mut more: Vec<String> = values.iter().flat_map(|value| self.logins_of(value)).collect();
        more.retain(|login| !values.contains(login));
        more.sort();
        more.dedup();
        values.extend(more);
    }
}

#[cfg(test)]
mod tests {
    use model::Millis;

    use crate::reference::{Tables, person_of};

    #[test]
    fn an_address_of_the_roster_is_its_persons_accounts() {
        let mut tables = Tables::default();
        let register = br#"[
            {"system": "okta", "account": "li.na", "owner_employee_id": "E1"},
            {"system": "okta", "account": "wu@corp.example", "owner_employee_id": "E2"},
            {"system": "aws", "account": "nali", "owner_employee_id": "E1"}]"#;
        tables.load("account_registry", register).unwrap();
        let who = |t: &Tables, system, account| person_of(t, system, account, Millis(0)).map(|(person, _)| person);
        // Nobody has said what addresses there are.
        assert_eq!(who(&tables, "okta", "Li.Na@corp.example").as_deref(), Some("E1"));
        assert_eq!(who(&tables, "okta", "li.na@localhost"), None);
        let roster =
            br#"[{"employee_id": "E1", "logins": ["nali"], "email": "Li.Na@corp.example"}, {"employee_id": "E2"}]"#;
        tables.load("hr_roster", roster).unwrap();
        for (system, account, owner) in [
            ("okta", "li.na@corp.example", Some("E1")),
            ("aws", "li.na@corp.example", Some("E1")),
            ("okta", "wu@corp.example", Some("E2")),
            ("okta", "li.na@elsewhere.example", None),
            ("okta", "li.na", Some("E1")),
        ] {
            assert_eq!(who(&tables, system, account).as_deref(), owner, "{system} {account}");
        }
    }
}
