//! What of a test could be changed so that a policy with one condition less is noticed.
//!
//! The condition that was taken away says which field matters, and of what: of the event, or of a row of a table. Each
//! test is run with that field changed, so that the condition holds or does not, until the policy and its mutant differ.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use detect::policy::SourceFile;
use model::Finding;
use serde_json::{Map, Value, json};

use super::{But, Expected, Outcome, Suite, Test};
use crate::policy_mutate::{self, Mutant, Step};

mod change;
mod values;

use change::{Change, Scope, all_but, at, event_path, only};
use values::{gather, holding, others};

/// Rows of a table that are tried to be added.
const ROWS_MAX: usize = 24;
/// Records of a test that are changed one at a time; and rows of a table.
const ONE_BY_ONE_MAX: usize = 6;

/// What to put under which test's `but`.
#[derive(Clone, Debug)]
pub struct Suggestion {
    /// The test's name.
    pub test: String,
    /// What is changed, and what is found then.
    pub but: But,
}

impl fmt::Display for Suggestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let but = serde_json::to_string(&self.but).map_err(|_| fmt::Error)?;
        match &self.but.not_judged {
            Some(gaps) if self.but.changes_nothing() => {
                let gaps = serde_json::to_string(gaps).map_err(|_| fmt::Error)?;
                write!(f, "under {:?}, not_judged: {gaps}", self.test)
            }
            _ => write!(f, "under {:?}, but: {but}", self.test),
        }
    }
}

/// What is found, and which policies cannot be judged.
type Found = (Vec<Expected>, BTreeSet<String>);

/// Suggests for one test file.
pub struct Suggestions {
    suite: Suite,
    /// What the policies as they are find, by test and change.
    found: BTreeMap<(usize, String), Found>,
    made: Vec<Suggestion>,
}

impl Suggestions {
    /// # Errors
    /// The author's: the file cannot be read, or is no test file.
    pub fn open(path: &Path, policies: &[SourceFile]) -> anyhow::Result<Suggestions> {
        Ok(Suggestions {
            suite: Suite::open(path, policies)?,
            found: BTreeMap::new(),
            made: Vec::new(),
        })
    }

    /// What would show that a condition is gone; one that was suggested before where it does.
    ///
    /// # Errors
    /// A test cannot be run.
    pub fn of(&mut self, mutant: &Mutant, path: &Path, policies: &[SourceFile]) -> anyhow::Result<Option<Suggestion>> {
        let mutated = Suite::open(path, policies)?;
        for made in &self.made {
            let is_it = |t: &&Test| t.name == made.test;
            if let Some(test) = self.suite.file.tests.iter().find(is_it)
                && matches!(mutated.run(test, Some(&made.but)), Ok(Outcome::Failed { .. }))
            {
                return Ok(Some(made.clone()));
            }
        }
        let changes = self.changes(mutant);
        for change in &changes {
            for n in 0..self.suite.file.tests.len() {
                for but in self.spread(change, n) {
                    // A row that a table refuses is no suggestion.
                    let Ok(found) = self.found(n, &but) else { continue };
                    // Where one condition changes, what is found has to, too, or the mutant finds what the policy does.
                    let is_plain = matches!(change, Change::Set(_, set) if set.len() == 1);
                    if is_plain && found.0 == self.found(n, &But::default())?.0 {
                        continue;
                    }
                    let but = But {
                        findings: found.0,
                        ..but
                    };
                    if let Some(suggestion) = self.noticed(n, but, &mutated) {
                        return Ok(Some(suggestion));
                    }
                }
            }
        }
        self.not_judged(&changes, &mutated)
    }

    /// A condition may say no more than that a policy has nothing to judge, where it would otherwise not be able to.
    fn not_judged(&mut self, changes: &[Change], mutated: &Suite) -> anyhow::Result<Option<Suggestion>> {
        for change in std::iter::once(None).chain(changes.iter().map(Some)) {
            for n in 0..self.suite.file.tests.len() {
                let buts = change.map_or_else(|| vec![But::default()], |change| self.spread(change, n));
                for but in buts {
                    let Ok((findings, not_judged)) = self.found(n, &but) else {
                        continue;
                    };
                    let but = But {
                        findings,
                        not_judged: Some(not_judged),
                        ..but
                    };
                    if let Some(suggestion) = self.noticed(n, but, mutated) {
                        return Ok(Some(suggestion));
                    }
                }
            }
        }
        Ok(None)
    }

    /// The suggestion, where the mutant fails it.
    fn noticed(&mut self, n: usize, but: But, mutated: &Suite) -> Option<Suggestion> {
        let test = &self.suite.file.tests[n];
        let fails = matches!(mutated.run(test, Some(&but)), Ok(Outcome::Failed { .. }));
        fails.then(|| {
            let test = test.name.clone();
            let suggestion = Suggestion { test, but };
            self.made.push(suggestion.clone());
            suggestion
        })
    }

    fn found(&mut self, n: usize, but: &But) -> anyhow::Result<Found> {
        let key = (n, serde_json::to_string(but)?);
        if let Some(found) = self.found.get(&key) {
            return Ok(found.clone());
        }
        let (found, not_judged) = self.suite.found(&self.suite.file.tests[n], Some(but))?;
        let found: Found = (found.iter().map(|f| self.told(f)).collect(), not_judged);
        self.found.insert(key, found.clone());
        Ok(found)
    }

    fn told(&self, finding: &Finding) -> Expected {
        let all = self.suite.loaded.policies.all();
        let policy = all.iter().find(|p| p.reference.id == finding.policy.id);
        Expected {
            policy: policy.and_then(|p| p.name.as_deref().map(str::to_owned)),
            severity: Some(finding.severity),
            status: (finding.status != model::FindingStatus::New).then_some(finding.status),
            ..Expected::default()
        }
    }

    /// The change for all records or rows of a test at once, then for each alone.
    fn spread(&self, change: &Change, test: usize) -> Vec<But> {
        let test = &self.suite.file.tests[test];
        if let Change::Time = change {
            return self.moved(test);
        }
        let of = |table: &Option<String>| But {
            table: table.clone(),
            ..But::default()
        };
        match change {
            Change::Set(table, set) => {
                let all = But {
                    set: set.clone(),
                    ..of(table)
                };
                let mut out = vec![all.clone()];
                let number = match table {
                    Some(table) => {
                        let rows = test.reference.get(table).or(self.suite.file.reference.get(table));
                        let Some(rows) = rows.and_then(Value::as_array) else {
                            return Vec::new();
                        };
                        rows.len()
                    }
                    None => test.records.len(),
                };
                for n in (0..number.min(ONE_BY_ONE_MAX)).filter(|_| number > 1) {
                    let mut one = all.clone();
                    match table {
                        Some(_) => one.row = Some(n),
                        None => one.record = Some(n as u64),
                    }
                    out.push(one);
                }
                out
            }
            Change::Add(table, row) => {
                let there = test.reference.contains_key(table) || self.suite.file.reference.contains_key(table);
                let add = But {
                    add: Some(row.clone()),
                    ..of(&Some(table.clone()))
                };
                if there { vec![add] } else { Vec::new() }
            }
            Change::Time => Vec::new(),
        }
    }

    /// Each record of a test a little or much earlier or later.
    fn moved(&self, test: &Test) -> Vec<But> {
        let mut out = Vec::new();
        for (record, time) in self.suite.times(test).into_iter().take(ONE_BY_ONE_MAX) {
            for distance in [3, 60, 3_600, 90_000].into_iter().flat_map(|s| [-s, s]) {
                let time = time + distance * 1_000;
                out.push(But {
                    record: Some(record),
                    set: BTreeMap::from([("time".to_owned(), json!(time.to_string()))]),
                    ..But::default()
                });
            }
        }
        out
    }

    fn changes(&self, mutant: &Mutant) -> Vec<Change> {
        let yaml = |path: &[Step]| -> Value {
            let value = policy_mutate::at(&mutant.document, path).cloned();
            value.and_then(|v| serde_json::to_value(v).ok()).unwrap_or_default()
        };
        let value = yaml(&mutant.at);
        let document = yaml(&[]);
        let last = match mutant.at.last() {
            Some(Step::Key(key)) => key.clone(),
            _ => String::new(),
        };
        let in_detection = matches!(mutant.at.first(), Some(Step::Key(k)) if k == "detection");
        if in_detection {
            // An item of a map, or a whole map of items.
            let items = match &value {
                Value::Object(map) => map.clone(),
                other => Map::from_iter([(last.clone(), other.clone())]),
            };
            let mut out = Scope::event().changes(&items);
            match (yaml(&mutant.at[..mutant.at.len() - 1]), mutant.at.last()) {
                (Value::Object(all), _) => out.extend(all_but(&all, &last)),
                (Value::Array(all), Some(Step::Item(n))) => out.extend(only(&all, *n)),
                _ => {}
            }
            return out;
        }
        let lookups = match &document["docket"]["lookup"] {
            Value::Array(all) => all.clone(),
            Value::Null => Vec::new(),
            one => vec![one.clone()],
        };
        let named = |at: &[Step]| {
            at.iter()
                .any(|s| matches!(s, Step::Key(k) if k == "lookup" || k == "each"))
        };
        let mut up = mutant.at.clone();
        while !up.is_empty() && yaml(&up).get("table").is_none() {
            up.pop();
        }
        let scope = Scope {
            table: yaml(&up)["table"].as_str().filter(|_| named(&up)).map(str::to_owned),
            lookups,
            columns: self.columns(),
        };
        let lookup = yaml(&up);
        if last == "expect" {
            return self.rows(&scope, &lookup);
        }
        let items = match value {
            Value::Object(map) if map.contains_key("when") => map["when"].as_object().cloned().unwrap_or_default(),
            other => Map::from_iter([(last, other)]),
        };
        let mut out = scope.changes(&items);
        let is_kept = scope
            .table
            .as_ref()
            .is_some_and(|t| scope.columns.keys().any(|(table, _)| table == t));
        if is_kept {
            out.push(Change::Time);
        }
        // A row that would do but for this.
        let key = items.keys().next().cloned().unwrap_or_default();
        for change in self.made_rows(&scope, &lookup) {
            let Change::Add(table, row) = change else { continue };
            let mut leaves = Vec::new();
            gather(&items, "", &mut leaves);
            let mut row = Value::Object(row);
            for (key, value) in &leaves {
                let path = key.split('|').next().unwrap_or_default();
                if let Some(other) = others(key, value).first() {
                    super::but::put(&mut row, path, other);
                }
            }
            if let (Value::Object(row), false) = (row, key.starts_with('$')) {
                out.push(Change::Add(table, row));
            }
        }
        out
    }

    /// A join decides nothing any more: its rows are taken away, or one of the file's rows is put there.
    fn rows(&self, scope: &Scope, lookup: &Value) -> Vec<Change> {
        let Some(table) = &scope.table else { return Vec::new() };
        let keys = lookup["key"].as_object().cloned().unwrap_or_default();
        let mut out: Vec<Change> = keys
            .keys()
            .map(|key| scope.set(Some(table.clone()), key, json!("other")))
            .collect();
        let mut items = lookup["where"].as_object().cloned().unwrap_or_default();
        items.extend(keys);
        out.extend(scope.changes(&items));
        out.extend(self.made_rows(scope, lookup));
        let mut seen = BTreeSet::new();
        let tables = self.suite.file.tests.iter().map(|t| &t.reference);
        for rows in tables
            .chain([&self.suite.file.reference])
            .filter_map(|t| t.get(table)?.as_array())
        {
            for row in rows.iter().filter_map(Value::as_object) {
                // As it is written, it suits some other test of the file.
                if seen.len() < ROWS_MAX && seen.insert(serde_json::to_string(row).unwrap_or_default()) {
                    out.push(Change::Add(table.clone(), row.clone()));
                }
            }
        }
        out
    }

    /// Rows made of a join's own words: what it looks for, of the events and rows of each test.
    fn made_rows(&self, scope: &Scope, lookup: &Value) -> Vec<Change> {
        let Some(table) = &scope.table else { return Vec::new() };
        let mut leaves = Vec::new();
        for part in ["key", "where"] {
            if let Some(map) = lookup[part].as_object() {
                gather(map, "", &mut leaves);
            }
        }
        leaves.retain(|(key, _)| !key.starts_with('$'));
        let mut out = Vec::new();
        for test in &self.suite.file.tests {
            let all: Vec<(&str, Vec<Value>)> = leaves
                .iter()
                .map(|(key, value)| {
                    (
                        key.split('|').next().unwrap_or_default(),
                        self.sought(scope, test, key, value),
                    )
                })
                .collect();
            let most = all.iter().map(|(_, values)| values.len()).max().unwrap_or_default();
            for n in 0..most.min(ONE_BY_ONE_MAX) {
                let mut row = Value::Object(Map::new());
                for (path, values) in all.iter().filter(|(_, values)| !values.is_empty()) {
                    super::but::put(&mut row, path, &values[n % values.len()]);
                }
                if let Value::Object(row) = row {
                    out.push(Change::Add(table.clone(), row));
                }
            }
        }
        out
    }

    /// With which values a condition of a join would hold for a test.
    fn sought(&self, scope: &Scope, test: &Test, key: &str, value: &Value) -> Vec<Value> {
        let values: Vec<&Value> = match value {
            Value::Array(all) => all.iter().collect(),
            one => vec![one],
        };
        let mut out = Vec::new();
        for one in values {
            let word = one.as_str().and_then(|w| w.split(' ').next()).unwrap_or_default();
            let timed = key.ends_with("|gte") || key.ends_with("|lte") || key.ends_with("|gt") || key.ends_with("|lt");
            if let Some(path) = word.strip_prefix("$event.").filter(|_| !timed) {
                out.extend(self.suite.values(test, path).into_iter().map(Value::from));
            } else if let Some((alias, field)) = word
                .strip_prefix('$')
                .and_then(|w| w.split_once('.'))
                .filter(|_| !timed)
            {
                let lookup = scope.lookups.iter().find(|l| l["as"] == alias);
                let table = lookup.and_then(|l| l["table"].as_str()).unwrap_or_default();
                let rows = test.reference.get(table).or(self.suite.file.reference.get(table));
                for row in rows.and_then(Value::as_array).into_iter().flatten() {
                    match at(row, field) {
                        Some(Value::Array(all)) => out.extend(all.iter().cloned()),
                        Some(one) => out.push(one.clone()),
                        None => {}
                    }
                }
            } else {
                out.extend(holding(key, one));
            }
        }
        out
    }

    /// Tables that policies keep from events: of which field each column is.
    fn columns(&self) -> BTreeMap<(String, String), String> {
        let mut out = BTreeMap::new();
        for policy in self.suite.texts.iter().flat_map(|t| t.split("\n---\n")) {
            let Ok(document) = serde_norway::from_str::<Value>(policy) else {
                continue;
            };
            let columns = document["docket"]["table"]["columns"].as_object();
            for (column, of) in columns.into_iter().flatten() {
                if let (Some(name), Some(path)) = (document["name"].as_str(), event_path(of)) {
                    out.insert((name.to_owned(), column.clone()), path.to_owned());
                }
            }
        }
        out
    }
}
