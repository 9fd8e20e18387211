//! Exceptions: rows of the table `exceptions`, under which a finding is suppressed: told and kept, and nobody is woken.
//!
//! `{policy, account, person, asset, owner, reason, approved_by, ticket, valid_from, valid_to}`: `policy` is a policy's name or id, or a
//! clause; of `account`, `person` and `asset` all that are given must be the finding's. A row without owner, reason or
//! end counts for nothing (LA-12): an exception that nobody answers for, or that never ends, is none.

use model::{Finding, FindingStatus};
use serde_json::Value;

use super::Detector;
use crate::policy::Policy;
use crate::sigma::lower;

/// The table's name.
const TABLE: &str = "exceptions";
/// Columns without which a row is no exception.
const MANDATORY: [&str; 4] = ["policy", "owner", "reason", "valid_to"];
/// What a finding is labelled with.
const LABEL: &str = "exception";

/// The texts of a column: one, or a list of them; in lower case.
fn texts(row: &Value, column: &str) -> Vec<String> {
    let own = |value: &Value| match value {
        Value::String(text) => Some(lower(text)),
        Value::Number(n) => Some(n.to_string()),
        _ => None,
    };
    match &row[column] {
        Value::Array(values) => values.iter().filter_map(own).collect(),
        value => own(value).into_iter().collect(),
    }
}

/// Whether a row names one of these, or says nothing about them.
fn covers(row: &Value, column: &str, given: &[&str]) -> bool {
    let wanted = texts(row, column);
    row[column].is_null() || given.iter().any(|g| wanted.contains(&lower(g)))
}

fn is_for(row: &Value, policy: &Policy, finding: &Finding) -> bool {
    let clauses = finding.clauses.iter().map(String::as_str);
    let names: Vec<&str> = [policy.reference.id.as_str()]
        .into_iter()
        .chain(policy.name.as_deref())
        .chain(clauses)
        .collect();
    let assets: Vec<&str> = finding
        .rows
        .iter()
        .filter(|r| r.table == "asset_register")
        .flat_map(|r| {
            let names = r.row["names"].as_array().into_iter().flatten();
            names.chain([&r.row["asset_id"]]).filter_map(Value::as_str)
        })
        .collect();
    let account: Vec<&str> = finding.account.iter().map(String::as_str).collect();
    let person: Vec<&str> = finding.person.iter().map(String::as_str).collect();
    MANDATORY
        .iter()
        .all(|column| texts(row, column).iter().any(|t| !t.trim().is_empty()))
        && covers(row, "policy", &names)
        && covers(row, "account", &account)
        && covers(row, "person", &person)
        && covers(row, "asset", &assets)
}

impl Detector {
    /// Suppresses a finding that an exception covers, which it then cites.
    pub(super) fn except(&self, policy: &Policy, finding: &mut Finding) {
        let Some(table) = self.tables.get(TABLE) else { return };
        let rows = table.rows().iter().enumerate();
        let exception = rows
            .filter(|(n, _)| table.valid(*n, finding.time))
            .find(|(_, row)| is_for(row, policy, finding));
        if let Some((n, _)) = exception {
            finding.status = FindingStatus::Suppressed;
            finding.labels.push(LABEL.to_owned());
            finding.rows.push(table.cite(n).as_ref().clone());
        }
    }
}
