//! What a table may hold, and what is wrong with rows that hold something else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::tz::TimeZone;
use model::Millis;
use serde_json::Value;

use super::cell::{moment, scalar, value_at};

/// Problems that are told of one table.
pub const PROBLEMS_MAX: usize = 200;
/// Characters of a cell that a problem shows.
const SHOWN_CHARS: usize = 80;
/// A list within a list within an object is as deep as tables go.
const DEPTH_MAX: usize = 4;

/// What one value of a column may be.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Any text; a number or a truth value will do.
    Text,
    /// A number, also as text.
    Number,
    /// `true` or `false`, also as text.
    Bool,
    /// A moment, as everywhere in tables.
    Moment,
    /// An address or a CIDR.
    Network,
    /// One of these words, without regard to case.
    OneOf(&'static [&'static str]),
    /// One of these words as a rule; another is a hint.
    Mostly(&'static [&'static str]),
    /// An object with these columns.
    Object(&'static [Column]),
    /// Anything: what else is wrong is said elsewhere.
    Any,
}

/// A column of a table, or of an object in it.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What its values are.
    pub kind: Kind,
    /// Whether it holds a list of them; one value alone will do.
    pub list: bool,
    /// Whether each row has to have it.
    pub must: bool,
    /// The table and column in which its values are found.
    pub of: Option<(&'static str, &'static str)>,
}

impl Column {
    /// A column that a row may have.
    #[must_use]
    pub const fn new(name: &'static str, kind: Kind) -> Column {
        Column {
            name,
            kind,
            list: false,
            must: false,
            of: None,
        }
    }

    /// … that holds a list.
    #[must_use]
    pub const fn list(self) -> Column {
        Column { list: true, ..self }
    }

    /// … that each row has.
    #[must_use]
    pub const fn must(self) -> Column {
        Column { must: true, ..self }
    }

    /// … whose values stand in a column of another table.
    #[must_use]
    pub const fn of(self, table: &'static str, column: &'static str) -> Column {
        Column {
            of: Some((table, column)),
            ..self
        }
    }
}

/// What a table is.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// Its name.
    pub table: &'static str,
    /// What it says, in a line.
    pub about: &'static str,
    /// The columns that name a row.
    pub key: &'static [&'static str],
    /// Whether only one row of a key may be valid at a time.
    pub unique: bool,
    /// Its columns.
    pub columns: &'static [Column],
    /// Columns of which the second is after the first.
    pub spans: &'static [(&'static str, &'static str)],
}

/// Something wrong in a row. The table's author has to mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which row, from 0.
    pub row: usize,
    /// Which column, with its way through lists and objects: `approvals[1].at`.
    pub column: String,
    /// What stands there.
    pub given: String,
    /// What is allowed, or what to do.
    pub allowed: String,
    /// A hint: the row is read all the same.
    pub hint: bool,
}

impl Schema {
    /// The key of a row, as it is shown: the values of its columns.
    #[must_use]
    pub fn key_of(&self, row: &Value) -> String {
        let cells = self.key.iter().map(|column| match value_at(row, column) {
            None | Some(Value::Null) => "-".to_owned(),
            Some(value) => scalar(value).into_owned(),
        });
        cells.collect::<Vec<_>>().join(" ")
    }

    /// A row as it is kept: a number or truth value that stands as text (CSV has no other) as what it is, one value of a list as
    /// a list, `scope.assets` inside of `scope`, and nothing where nothing is said. What is wrong stays as it was given.
    #[must_use]
    pub fn tidy(&self, row: &Value) -> Value {
        tidy_object(row, self.columns, 0)
    }

    /// What is wrong with rows, in their order: at most [`PROBLEMS_MAX`]. Moments without an offset are in `zone`.
    #[must_use]
    pub fn check(&self, rows: &[Arc<Value>], zone: &TimeZone) -> Vec<Problem> {
        let mut found = Found {
            zone,
            problems: Vec::new(),
            row: 0,
        };
        let mut unknown = BTreeSet::new();
        for (n, row) in rows.iter().enumerate() {
            found.row = n;
            found.object(row, self.columns, "", 0);
            for (from, to) in [("valid_from", "valid_to")].iter().chain(self.spans) {
                found.span(row, from, to);
            }
            for name in row.as_object().into_iter().flatten().map(|(name, _)| name) {
                let first = name.split('.').next().unwrap_or(name);
                let known = self.columns.iter().any(|c| c.name == first) || COMMON.contains(&first);
                if !known && unknown.insert(name.clone()) {
                    let nearest = nearest(first, self.columns.iter().map(|c| c.name).chain(COMMON.iter().copied()));
                    let allowed = match nearest {
                        Some(near) => format!("no policy of ours reads this column; is it `{near}`?"),
                        None => "no policy of ours reads this column".to_owned(),
                    };
                    found.tell(name, "", allowed, true);
                }
            }
        }
        if self.unique {
            self.same_keys(rows, &mut found);
        }
        found.problems.sort_by_key(|p| p.row);
        found.problems.truncate(PROBLEMS_MAX);
        found.problems
    }

    /// Values that the table they should stand in does not have, where it is loaded: hints, as one table may be ahead of another.
    #[must_use]
    pub fn unresolved(&self, rows: &[Arc<Value>], tables: &super::Tables) -> Vec<Problem> {
        let mut out = Vec::new();
        for (path, column) in referring(self.columns, "") {
            let Some((name, key)) = column.of else { continue };
            let Some(table) = tables.get(name) else { continue };
            let mut known = BTreeSet::new();
            for row in table.rows() {
                super::each_value(row, key, &mut |v| known.extend([scalar(v).to_lowercase()]));
            }
            for (n, row) in rows.iter().enumerate() {
                super::each_value(row, &path, &mut |v| {
                    let text = scalar(v);
                    if out.len() < PROBLEMS_MAX && !text.is_empty() && !known.contains(&text.to_lowercase()) {
                        out.push(Problem {
                            row: n,
                            column: path.clone(),
                            given: text.chars().take(SHOWN_CHARS).collect(),
                            allowed: format!("is no {key} of {name}"),
                            hint: true,
                        });
                    }
                });
            }
        }
        out.sort_by_key(|p| p.row);
        out
    }

    /// Two rows of one key that are valid at one time: which of them a policy finds is chance.
    fn same_keys(&self, rows: &[Arc<Value>], found: &mut Found<'_>) {
        let mut by_key: BTreeMap<String, Vec<(usize, i64, i64)>> = BTreeMap::new();
        for (n, row) in rows.iter().enumerate() {
            let key = self.key_of(row).to_lowercase();
            let at = |column: &str, other: i64| {
                let text = value_at(row, column)
                    .map(|v| scalar(v).into_owned())
                    .unwrap_or_default();
                moment(&text, found.zone).map_or(other, |m| m.0)
            };
            let (from, to) = (at("valid_from", i64::MIN), at("valid_to", i64::MAX));
            let before = by_key.entry(key).or_default();
            // A key has few versions; one that a hostile file gives a million is told of the first hundred.
            if let Some((other, ..)) = before.iter().take(100).find(|(_, f, t)| from < *t && *f < to) {
                let allowed = format!(
                    "row {} has the same key and is valid at the same time; end it (`valid_to`), or remove one of them",
                    other + 1
                );
                found.row = n;
                found.tell(&self.key.join(", "), &self.key_of(row), allowed, false);
            }
            before.push((n, from, to));
        }
    }
}

/// Columns, with their paths, whose values stand in another table.
fn referring(columns: &'static [Column], path: &str) -> Vec<(String, &'static Column)> {
    let mut out = Vec::new();
    for column in columns {
        let path = format!("{path}{}", column.name);
        if let Kind::Object(inner) = column.kind {
            out.extend(referring(inner, &format!("{path}.")));
        }
        out.extend(column.of.map(|_| (path, column)));
    }
    out
}

fn tidy_object(value: &Value, columns: &[Column], depth: usize) -> Value {
    let Some(object) = value.as_object() else {
        return value.clone();
    };
    let mut out = serde_json::Map::new();
    for (name, value) in object.iter().filter(|(_, v)| !is_nothing(v)) {
        let (first, inner) = name
            .split_once('.')
            .map_or((name.as_str(), None), |(f, i)| (f, Some(i)));
        match (columns.iter().find(|c| c.name == first), inner) {
            (Some(column), None) => drop(out.insert(name.clone(), tidy_column(value, column, depth))),
            (
                Some(Column {
                    kind: Kind::Object(columns),
                    ..
                }),
                Some(inner),
            ) => {
                let held = out
                    .entry(first)
                    .or_insert_with(|| Value::Object(serde_json::Map::new()));
                let one = serde_json::json!({ inner: value });
                if let (Some(held), Value::Object(one)) = (held.as_object_mut(), tidy_object(&one, columns, depth + 1))
                {
                    held.extend(one);
                }
            }
            _ => drop(out.insert(name.clone(), value.clone())),
        }
    }
    Value::Object(out)
}

fn tidy_column(value: &Value, column: &Column, depth: usize) -> Value {
    match value {
        Value::Array(items) => items.iter().map(|item| tidy_value(item, column.kind, depth)).collect(),
        one if column.list => Value::Array(vec![tidy_value(one, column.kind, depth)]),
        one => tidy_value(one, column.kind, depth),
    }
}

fn tidy_value(value: &Value, kind: Kind, depth: usize) -> Value {
    match (kind, value) {
        (Kind::Object(columns), _) if depth < DEPTH_MAX => tidy_object(value, columns, depth + 1),
        (Kind::Bool, Value::String(text)) => match text.trim().to_lowercase().as_str() {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => value.clone(),
        },
        (Kind::Number, Value::String(text)) => match serde_json::from_str(text.trim()) {
            Ok(Value::Number(number)) => Value::Number(number),
            _ => value.clone(),
        },
        _ => value.clone(),
    }
}

/// Columns that any table may have.
const COMMON: &[&str] = &["valid_from", "valid_to", "note", "comment"];

struct Found<'a> {
    zone: &'a TimeZone,
    problems: Vec<Problem>,
    row: usize,
}

impl Found<'_> {
    fn tell(&mut self, column: &str, given: &str, allowed: impl Into<String>, hint: bool) {
        // Room for what later rows have to say of the keys.
        if self.problems.len() < PROBLEMS_MAX * 2 {
            self.problems.push(Problem {
                row: self.row,
                column: column.to_owned(),
                given: given.chars().take(SHOWN_CHARS).collect(),
                allowed: allowed.into(),
                hint,
            });
        }
    }

    fn object(&mut self, value: &Value, columns: &[Column], path: &str, depth: usize) {
        for column in columns {
            let path = format!("{path}{}", column.name);
            match value_at(value, column.name).filter(|v| !is_nothing(v)) {
                None if column.must => self.tell(&path, "", "is missing; each row has to have it", false),
                None => {}
                Some(given) => self.column(given, column, &path, depth),
            }
        }
    }

    fn column(&mut self, given: &Value, column: &Column, path: &str, depth: usize) {
        match given {
            Value::Array(items) if column.list => {
                for (n, item) in items.iter().enumerate() {
                    self.value(item, column.kind, &format!("{path}[{n}]"), depth);
                }
            }
            Value::Array(_) if !matches!(column.kind, Kind::Any) => {
                self.tell(path, &given.to_string(), "is one value, not a list", false);
            }
            Value::String(text) if column.list && text.contains([',', ';', '|']) => {
                let parts: Vec<_> = text.split([',', ';', '|']).map(str::trim).collect();
                let allowed = format!("is a list: {}", serde_json::json!(parts));
                self.tell(path, text, allowed, false);
            }
            _ => self.value(given, column.kind, path, depth),
        }
    }

    fn value(&mut self, given: &Value, kind: Kind, path: &str, depth: usize) {
        let text = scalar(given);
        let scalar = !given.is_object() && !given.is_array();
        let allowed: Option<String> = match kind {
            Kind::Any => None,
            Kind::Object(columns) => {
                if given.is_object() && depth < DEPTH_MAX {
                    return self.object(given, columns, &format!("{path}."), depth + 1);
                }
                let names: Vec<_> = columns.iter().map(|c| c.name).collect();
                Some(format!("is an object with {}", names.join(", ")))
            }
            _ if !scalar => Some("is one value, neither an object nor a list".to_owned()),
            Kind::Text => None,
            Kind::Number => (text.trim().parse::<f64>().is_err()).then(|| "is a number".to_owned()),
            Kind::Bool => (!["true", "false"].contains(&text.trim().to_lowercase().as_str()))
                .then(|| "is true or false".to_owned()),
            Kind::Moment => moment(&text, self.zone).is_none().then(|| {
                "is a time: RFC 3339 with an offset (2026-03-02T18:00:00+08:00), a date, or epoch milliseconds"
                    .to_owned()
            }),
            Kind::Network => (!is_network(text.trim())).then(|| "is an address or a CIDR (10.8.0.0/16)".to_owned()),
            Kind::OneOf(words) | Kind::Mostly(words) => {
                let known = words.iter().any(|w| w.eq_ignore_ascii_case(text.trim()));
                (!known).then(|| match nearest(&text, words.iter().copied()) {
                    Some(near) => format!("is one of {}; is it {near}?", words.join(", ")),
                    None => format!("is one of {}", words.join(", ")),
                })
            }
        };
        if let Some(allowed) = allowed {
            self.tell(path, &text, allowed, matches!(kind, Kind::Mostly(_)));
        }
    }

    fn span(&mut self, row: &Value, from: &str, to: &str) {
        let at = |column: &str| -> Option<(Millis, String)> {
            let text = scalar(value_at(row, column)?).into_owned();
            Some((moment(&text, self.zone)?, text))
        };
        if let (Some((start, first)), Some((end, text))) = (at(from), at(to))
            && end <= start
        {
            self.tell(to, &text, format!("is after `{from}` ({first})"), false);
        }
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        _ => false,
    }
}

fn is_network(text: &str) -> bool {
    let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
    let bits = match address.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V4(_)) => 32,
        Ok(std::net::IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    prefix.is_none_or(|p| p.parse::<u8>().is_ok_and(|p| p <= bits))
}

/// The word that `given` was meant to be: at most two letters away, and not half of it.
#[must_use]
pub fn nearest<'w>(given: &str, words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let given: Vec<char> = given.trim().to_lowercase().chars().take(SHOWN_CHARS).collect();
    let near = words.map(|word| (distance(&given, word), word));
    let (away, word) = near.min_by_key(|(away, _)| *away)?;
    (away <= 2 && away * 3 < word.len()).then_some(word)
}

/// Levenshtein's distance.
fn distance(given: &[char], word: &str) -> usize {
    let mut row: Vec<usize> = (0..=given.len()).collect();
    for (i, w) in word.chars().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], i + 1);
        for (j, g) in given.iter().enumerate() {
            let cost = corner + usize::from(*g != w);
            corner = row[j + 1];
            row[j + 1] = cost.min(corner + 1).min(row[j] + 1);
        }
    }
    row[given.len()]
}

#[cfg(test)]
mod tests;
