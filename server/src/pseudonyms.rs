//! Personal data, hidden: names, ids and addresses of people, each replaced by the same word wherever it stands.
//!
//! Hidden on demand (an export with `mask: personal`, by a salt of its own), and from who holds a role without the right to see
//! people ([`Eyes`], by the installation's). What is not hidden stays as it is, and leads to its record in the ledger.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use model::LedgerIndex;
use rand::RngCore as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::api::ApiError;
use crate::app::App;
use crate::auth::{Caller, Right};
use crate::kept;

/// People's names, each replaced by one word.
pub struct Pseudonyms<'a> {
    salt: &'a str,
    known: BTreeMap<String, String>,
}

/// Objects whose `name`, `uid`, … are a person's.
const PEOPLE: &[&str] = &["user", "actor", "manager", "creator", "owner"];
/// Fields that are a person's wherever they stand.
const FIELDS: &[&str] = &[
    "full_name",
    "email_addr",
    "email",
    "phone_number",
    "employee_id",
    "display_name",
    "credential_uid",
];
/// Fields of such an object that are.
const OF_PEOPLE: &[&str] = &["name", "uid", "uid_alt", "domain"];
/// Names that are remembered that they need not be made again.
const KNOWN_MAX: usize = 100_000;

impl Pseudonyms<'_> {
    /// Names are not found again by who does not know the salt.
    pub fn new(salt: &str) -> Pseudonyms<'_> {
        Pseudonyms {
            salt,
            known: BTreeMap::new(),
        }
    }

    /// Hides the people of an event: their fields, then what of them its other texts say. The raw line goes.
    pub fn hide(&mut self, event: &mut Value) {
        let mut said = Vec::new();
        self.fields(event, false, &mut said, 0);
        if let Value::Object(fields) = event {
            fields.remove("raw_data");
        }
        said.sort_by_key(|(name, _): &(String, String)| std::cmp::Reverse(name.len()));
        texts(event, &said, 0);
    }

    fn fields(&mut self, value: &mut Value, of_person: bool, said: &mut Vec<(String, String)>, depth: usize) {
        if depth > 32 {
            *value = Value::Null;
            return;
        }
        match value {
            Value::Object(fields) => {
                for (key, inner) in fields.iter_mut() {
                    let is_personal =
                        FIELDS.contains(&key.as_str()) || (of_person && OF_PEOPLE.contains(&key.as_str()));
                    match inner {
                        Value::String(text) if is_personal && !text.is_empty() => {
                            let new = self.pseudonym(text);
                            if text.chars().count() >= 3 {
                                said.push((text.clone(), new.clone()));
                            }
                            *text = new;
                        }
                        // `actor.session`, `actor.process` are no person.
                        other => {
                            let person = PEOPLE.contains(&key.as_str());
                            self.fields(other, person, said, depth + 1);
                        }
                    }
                }
            }
            Value::Array(items) => items
                .iter_mut()
                .for_each(|v| self.fields(v, of_person, said, depth + 1)),
            _ => {}
        }
    }

    /// The word that stands for a name, letter case aside.
    pub fn pseudonym(&mut self, text: &str) -> String {
        if let Some(known) = self.known.get(text) {
            return known.clone();
        }
        let mut hash = Sha256::new();
        hash.update(self.salt.as_bytes());
        hash.update(text.to_lowercase().as_bytes());
        let new = format!("person-{}", hex::encode(&hash.finalize()[..6]));
        if self.known.len() < KNOWN_MAX {
            self.known.insert(text.to_owned(), new.clone());
        }
        new
    }
}

/// Replaces names within other texts.
fn texts(value: &mut Value, said: &[(String, String)], depth: usize) {
    match value {
        Value::String(text) => {
            for (name, new) in said {
                if text.contains(name.as_str()) && !text.starts_with("person-") {
                    *text = text.replace(name.as_str(), new);
                }
            }
        }
        Value::Array(items) if depth < 32 => items.iter_mut().for_each(|v| texts(v, said, depth + 1)),
        Value::Object(fields) if depth < 32 => fields.values_mut().for_each(|v| texts(v, said, depth + 1)),
        _ => {}
    }
}

/// What a caller may see of records.
#[derive(Clone, Debug)]
pub enum Eyes {
    /// Everything but secrets.
    All,
    /// No people; their words are made with this.
    NoPeople(Arc<str>),
}

/// Fields whose values are people, or their accounts.
const OF_PERSON: &[&str] = &["user", "subject", "user_uid", "actor", "actor_uid", "account", "person"];
/// Fields whose values are free text, or the source's own: anything may stand there.
const FREE: &[&str] = &[
    "cmd", "url", "msg", "raw", "text", "object", "file", "label", "original", "record",
];

impl Eyes {
    /// What this caller may see.
    ///
    /// # Errors
    /// Of records, nothing.
    pub fn of(app: &App, caller: &Caller) -> Result<Eyes, ApiError> {
        caller.demand_records()?;
        Ok(match caller.may(Right::SeePeople) {
            true => Eyes::All,
            false => Eyes::NoPeople(app.pseudonyms.clone()),
        })
    }

    /// Whether people are hidden.
    pub fn are_covered(&self) -> bool {
        matches!(self, Eyes::NoPeople(_))
    }

    /// Hides the people of an event.
    pub fn event(&self, event: &mut Value) {
        if let Eyes::NoPeople(salt) = self {
            Pseudonyms::new(salt).hide(event);
        }
    }

    /// Hides people in texts that name nobody else.
    pub fn names(&self, names: &mut [String]) {
        if let Eyes::NoPeople(salt) = self {
            let mut words = Pseudonyms::new(salt);
            names.iter_mut().for_each(|name| *name = words.pseudonym(name));
        }
    }

    /// The value of a field that is grouped by.
    pub fn value(&self, field: &str, value: &str) -> String {
        match self {
            Eyes::NoPeople(salt) if names_people(field) => Pseudonyms::new(salt).pseudonym(value),
            _ => value.to_owned(),
        }
    }

    /// Whether the values of a field may be told.
    ///
    /// # Errors
    /// The asker's: anything may stand there, and nobody can say whether it names a person.
    pub fn demand_field(&self, field: &str) -> Result<(), ApiError> {
        let known = search::query::field::find(field);
        let free = known.is_none_or(|f| FREE.contains(&f.name));
        match self.are_covered() && free && field != "partition" {
            false => Ok(()),
            true => Err(ApiError::new(
                axum::http::StatusCode::FORBIDDEN,
                format!(
                    "the values of `{}` may name people, whom your role does not see; it takes the role auditor",
                    field.chars().take(60).collect::<String>()
                ),
            )),
        }
    }

    /// Whether hits may be put in the order of a field: their places name its values.
    ///
    /// # Errors
    /// As [`Eyes::demand_field`].
    pub fn demand_order(&self, field: &str) -> Result<(), ApiError> {
        match self.are_covered() && names_people(field) {
            true => Err(ApiError::new(
                axum::http::StatusCode::FORBIDDEN,
                format!(
                    "an order by `{field}` tells who people are, whom your role does not see; it takes the role auditor"
                ),
            )),
            false => self.demand_field(field),
        }
    }

    /// The proof of a record, without the record where that is not to be seen: its hash is proven.
    pub fn proof(&self, app: &App, index: LedgerIndex) -> Option<Value> {
        // A record of the last second has no checkpoint over it yet.
        let bundle = app.reader.proof_bundle(index).ok()?;
        let mut shown = json!(bundle);
        if self.are_covered() {
            let leaf = app.reader.leaf_bytes(index).ok()?;
            shown["leaf"] = Value::Null;
            shown["leaf_sha256"] = hex::encode(ledger::leaf_hash(&leaf)).into();
        }
        Some(shown)
    }
}

fn names_people(field: &str) -> bool {
    search::query::field::find(field).is_some_and(|f| OF_PERSON.contains(&f.name))
}

/// The installation's salt, made once.
///
/// # Errors
/// The disk's.
pub fn salt(data: &Path) -> anyhow::Result<Arc<str>> {
    let path = data.join("pseudonyms.json");
    let advice = "restore it; if it is removed, people have other words than before";
    if let Some(salt) = kept::read::<String>(&path, advice)? {
        return Ok(salt.into());
    }
    let mut random = [0u8; 32];
    rand::rng().fill_bytes(&mut random);
    let salt = hex::encode(random);
    kept::write_whole(&path, json!(salt).to_string().as_bytes())?;
    Ok(salt.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_hidden_and_stay_told_apart() {
        let mut names = Pseudonyms::new("salt");
        let event = json!({
            "class_uid": 3002, "user": {"name": "li.na", "uid": "E1", "full_name": "李娜娜", "type": "User"},
            "actor": {"user": {"name": "wu.lei"}, "session": {"uid": "s-1"}}, "message": "li.na logged in, says 李娜娜",
            "raw_data": "li.na", "host": "web-1", "unmapped": {"note": "for wu.lei"},
        });
        let mut hidden = event.clone();
        names.hide(&mut hidden);
        let text = hidden.to_string();
        for name in ["li.na", "wu.lei", "李娜娜", "E1\"", "raw_data"] {
            assert!(!text.contains(name), "{name} in {text}");
        }
        assert!(
            text.contains("s-1") && text.contains("web-1") && text.contains("logged in"),
            "{text}"
        );
        assert_ne!(hidden["user"]["name"], hidden["actor"]["user"]["name"]);
        let mut again = event;
        names.hide(&mut again);
        assert_eq!(again, hidden);
        let mut other = json!({"user": {"name": "li.na"}});
        Pseudonyms::new("other").hide(&mut other);
        assert_ne!(other["user"]["name"], hidden["user"]["name"]);
    }
}
