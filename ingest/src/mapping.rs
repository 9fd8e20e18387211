//! A mapping file: what a system's owner writes so that its audit log is understood, without code.
//!
//! It says which field of the system's JSON is the time, the account, the action, … ([`words::FIELDS`]), and what its values mean.
//! A record is turned into the application audit event ([`crate::format::web_audit`]) by it, and from there on is one like any
//! other: the same classes, the same places for policy authors. What the mapping does not name goes to `unmapped`.
//!
//! Read and checked once ([`Mapping::read`]), every problem with its line and column; [`Mapping::hash`] tells versions apart.
//! `docs/mapping.md` explains it with an example.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::tz::TimeZone;
use model::{Arena, Object};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::builder::EventBuilder;
use crate::class::Class;
use crate::fields::{Fields, scalar};

mod read;
mod time;
mod words;

pub use time::TimeForm;

/// Bytes that a mapping file may have.
pub const FILE_BYTES_MAX: usize = 256 << 10;

/// A mapping, checked.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// The system's name: product, and log source's service.
    pub name: Arc<str>,
    /// Who made it.
    pub vendor: Arc<str>,
    /// The account register's system; absent: the name.
    pub system: Option<Arc<str>>,
    /// The zone of times that name none; absent: the source's setting.
    pub zone: Option<TimeZone>,
    /// SHA-256 of the file, in hexadecimal.
    pub hash: String,
    time: Option<(Rule, TimeForm)>,
    action: Action,
    outcome: Outcome,
    fields: Vec<(&'static [&'static str], Rule)>,
    used: Used,
}

/// A problem of a mapping file: its author's to mend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problem {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What is wrong, and what is allowed.
    pub message: String,
    /// The right word that is nearest to what was written.
    pub nearest: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)?;
        match &self.nearest {
            Some(word) => write!(f, "; did you mean `{word}`?"),
            None => Ok(()),
        }
    }
}

/// Where a value comes from: the first of several fields that has one, or a constant; and what it is called.
#[derive(Clone, Debug, Default)]
struct Rule {
    from: Vec<Box<str>>,
    constant: Option<Value>,
    values: BTreeMap<String, String>,
    default: Option<String>,
}

/// What was done: the contract's word for it, and a class where the author chose one.
#[derive(Clone, Debug)]
struct Act {
    word: Box<str>,
    class: Option<(&'static Class, u8)>,
}

#[derive(Clone, Debug, Default)]
struct Action {
    from: Vec<Box<str>>,
    values: BTreeMap<String, Act>,
    default: Option<Act>,
}

#[derive(Clone, Debug, Default)]
struct Outcome {
    from: Vec<Box<str>>,
    values: BTreeMap<String, &'static str>,
    /// Where the field is not there.
    missing: Option<&'static str>,
}

/// The fields that the mapping names, by name, level by level.
#[derive(Clone, Debug, Default)]
struct Used {
    whole: bool,
    inner: BTreeMap<Box<str>, Used>,
}

/// The application audit event that a record is.
#[derive(Debug)]
pub(crate) struct Mapped<'a> {
    /// In the contract's words.
    pub contract: Object<'a>,
    /// The class, where the mapping names one.
    pub class: Option<(&'static Class, u8)>,
    /// The time, as the source wrote it.
    pub original_time: Option<String>,
}

impl Mapping {
    /// Reads and checks a mapping file.
    ///
    /// # Errors
    /// Its author's: every problem, in order of place.
    pub fn read(text: &str) -> Result<Mapping, Vec<Problem>> {
        let mut mapping = read::mapping(text)?;
        mapping.hash = Sha256::digest(text.as_bytes())
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        Ok(mapping)
    }

    /// Whether the object has any field that says what was done, when or by whom.
    pub(crate) fn is_of(&self, object: Object<'_>) -> bool {
        let fields = Fields(object);
        let time = self.time.iter().flat_map(|(rule, _)| &rule.from);
        self.action
            .from
            .iter()
            .chain(time)
            .any(|path| fields.value(path).is_some())
    }

    /// What the mapping makes of an object.
    pub(crate) fn apply<'a>(&self, arena: &'a Arena, object: Object<'_>) -> Mapped<'a> {
        let fields = Fields(object);
        let mut contract = Map::with_capacity(self.fields.len() + 4);
        contract.insert("system".to_owned(), (*self.name).into());
        let mut original_time = None;
        if let Some((rule, form)) = &self.time
            && let Some(value) = rule.value(fields)
        {
            original_time = text_of(&value);
            contract.insert("time".to_owned(), form.canonical(value));
        }
        let act = self.action.read(fields);
        let class = act.as_ref().and_then(|a| a.class);
        if let Some(act) = act {
            contract.insert("action".to_owned(), (*act.word).into());
        }
        if let Some(outcome) = self.outcome.read(fields) {
            contract.insert("result".to_owned(), outcome);
        }
        for (path, rule) in &self.fields {
            if let Some(value) = rule.value(fields) {
                put(&mut contract, path, value);
            }
        }
        on_whom(&mut contract, class);
        Mapped {
            contract: arena.object_of(&contract),
            class,
            original_time,
        }
    }

    /// Puts what the mapping does not name under its own name.
    pub(crate) fn keep_rest(&self, b: &mut EventBuilder<'_>, object: Object<'_>) {
        for (name, value) in object {
            if let Some(rest) = self.used.rest(name, value) {
                b.unmapped(name, rest);
            }
        }
    }
}

impl Rule {
    fn value(&self, fields: Fields<'_>) -> Option<Value> {
        let found = first(fields, &self.from);
        if self.values.is_empty() {
            return found.map(model::Value::to_json).or_else(|| self.constant.clone());
        }
        match found.and_then(scalar) {
            Some(text) => match self.values.get(text.trim()).or(self.default.as_ref()) {
                Some(word) => Some(word.as_str().into()),
                None => Some(text.into_owned().into()),
            },
            None => self.constant.clone(),
        }
    }
}

/// The first that says something.
fn first<'v>(fields: Fields<'v>, paths: &[Box<str>]) -> Option<&'v model::Value<'v>> {
    paths.iter().find_map(|path| {
        fields.value(path).filter(|v| match v {
            model::Value::String(text) => !text.trim().is_empty(),
            model::Value::Array(items) => !items.is_empty(),
            _ => true,
        })
    })
}

impl Action {
    fn read(&self, fields: Fields<'_>) -> Option<Act> {
        let text = first(fields, &self.from).and_then(scalar);
        let Some(text) = text else {
            return self.default.clone();
        };
        let known = self.values.get(text.trim()).or(self.default.as_ref());
        Some(known.cloned().unwrap_or_else(|| Act {
            word: text.as_ref().into(),
            class: None,
        }))
    }
}

impl Outcome {
    fn read(&self, fields: Fields<'_>) -> Option<Value> {
        match first(fields, &self.from).and_then(scalar) {
            Some(text) => Some(match self.values.get(text.trim()) {
                Some(word) => (*word).into(),
                // The contract's own words, and `result.unknown` of others.
                None => text.into_owned().into(),
            }),
            None => self.missing.map(Value::from),
        }
    }
}

impl Used {
    fn add(&mut self, path: &str) {
        // A key may hold dots itself.
        self.inner.entry(path.into()).or_default().whole = true;
        let mut at = self;
        for part in path.split('.') {
            at = at.inner.entry(part.into()).or_default();
        }
        at.whole = true;
    }

    /// What is left of a field; as deep as the mapping's own paths.
    fn rest(&self, name: &str, value: &model::Value<'_>) -> Option<Value> {
        let Some(used) = self.inner.get(name) else {
            return Some(value.to_json());
        };
        if used.whole {
            return None;
        }
        let model::Value::Object(inner) = value else {
            return Some(value.to_json());
        };
        let left: Map<String, Value> = inner
            .iter()
            .filter_map(|(name, value)| Some((name.to_owned(), used.rest(name, value)?)))
            .collect();
        (!left.is_empty()).then_some(Value::Object(left))
    }
}

/// A scalar as text, as [`scalar`].
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => (!text.is_empty()).then(|| text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

fn put(object: &mut Map<String, Value>, path: &[&str], value: Value) {
    match path {
        [] => {}
        [name] => drop(object.insert((*name).to_owned(), value)),
        [head, rest @ ..] => {
            let inner = object.entry(*head).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

/// Where the act is on an account, that is the contract's object; what else was named is what was given or taken.
fn on_whom(contract: &mut Map<String, Value>, class: Option<(&'static Class, u8)>) {
    let Some(Value::Object(target)) = contract.shift_remove("target") else {
        return;
    };
    let Some(account) = target.get("account").and_then(text_of) else {
        return;
    };
    let action = contract.get("action").and_then(Value::as_str).unwrap_or_default();
    let by_word = matches!(action, "grant" | "revoke" | "reset_password");
    if !by_word && !class.is_some_and(|(c, _)| matches!(c.uid, 3001 | 3005)) {
        put(contract, &["on_behalf_of"], account.into());
        return;
    }
    if let Some(Value::Object(object)) = contract.shift_remove("object") {
        let named = ["name", "id"].iter().find_map(|n| text_of(object.get(*n)?));
        let after = contract.get("after").and_then(|a| a.get("roles"));
        let given = after.is_some_and(|roles| !roles.is_null());
        if let Some(named) = named.filter(|_| !given) {
            put(contract, &["after", "roles"], named.into());
        }
    }
    put(contract, &["object", "type"], "user".into());
    put(contract, &["object", "id"], account.into());
}
