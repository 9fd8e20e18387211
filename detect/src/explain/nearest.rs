//! Of a permission that was looked for and not found: the row that comes nearest, and what it lacks.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{LookedFor, Millis};
use serde_json::Value as Json;

use super::{SHOWN_MAX, shown};
use crate::engine::{Mask, told};
use crate::policy::{Condition, Literal, Lookup, Op, Subject, Test, Value};
use crate::reference::{Item, Scope, Table, each_value, holds, resolve_first, scalar, value_at};
use crate::sigma::lower;

/// Rows that are compared for one lookup.
const ROWS_MAX: usize = 1_024;
/// Columns that name a person: somebody's own ticket is nearer than another's for the same asset.
const PERSONS: [&str; 3] = ["beneficiary", "requester", "implementers"];
/// Conditions of one row that are told.
const LACKS_MAX: usize = 6;

/// The row of `table` that comes nearest to what a lookup asks, valid at `at` where that is given. Near is what equals the event, or what
/// was found for it, in something: a person first, then an asset. Of rows alike the last one.
pub(crate) fn nearest(lookup: &Lookup, table: &Table, at: Option<Millis>, scope: &Scope<'_>, mask: Mask) -> LookedFor {
    let mut parts = Vec::new();
    flat(&lookup.condition, &mut parts);
    let is_valid = |row: usize| at.is_none_or(|at| table.valid(row, at));
    let best = candidates(lookup, &parts, table, scope).into_iter().max_by_key(|row| {
        let scope = Scope {
            row: Some(&table.rows()[*row]),
            ..*scope
        };
        let persons = parts
            .iter()
            .filter(|part| names(part, &scope, &|c| PERSONS.contains(&c)));
        let named = parts.iter().filter(|part| names(part, &scope, &|_| true));
        let held = parts.iter().filter(|part| holds(part, &scope));
        (persons.count(), named.count(), held.count(), is_valid(*row), *row)
    });
    let mut looked = LookedFor {
        table: table.name().to_owned(),
        ..LookedFor::default()
    };
    let Some(best) = best else { return looked };
    let row = &table.rows()[best];
    looked.nearest = Some(id_of(row, table.name()));
    let telling = Telling {
        row,
        scope: Scope {
            row: Some(row),
            ..*scope
        },
        mask,
    };
    if !is_valid(best) {
        looked.lacks.push(telling.validity());
    }
    let failing = parts.iter().filter(|part| !holds(part, &telling.scope));
    looked.lacks.extend(
        failing
            .map(|part| telling.lacks(part))
            .filter(|lacks| !lacks.is_empty()),
    );
    looked.lacks.truncate(LACKS_MAX);
    looked
}

/// What a condition is made of: all of it has to hold.
fn flat<'c>(condition: &'c Condition, out: &mut Vec<&'c Condition>) {
    match condition {
        Condition::All(all) => all.iter().for_each(|c| flat(c, out)),
        // A test of the event alone says nothing of a row.
        other if has_column(other) => out.push(other),
        _ => {}
    }
}

fn has_column(condition: &Condition) -> bool {
    let mut has = false;
    condition.for_each_test(&mut |test| has |= matches!(test.subject, Subject::Column(_)));
    has
}

/// The test that names what a row is about: a column that equals something of the event.
fn naming(test: &Test) -> Option<(&Arc<str>, &[Value])> {
    match (&test.subject, &test.op) {
        (Subject::Column(column), Op::Equals(values)) if values.iter().any(|v| !v.references().is_empty()) => {
            Some((column, values))
        }
        _ => None,
    }
}

/// Whether a row is about the same in one of these columns.
fn names(condition: &Condition, scope: &Scope<'_>, which: &dyn Fn(&str) -> bool) -> bool {
    match condition {
        Condition::Test(test) => naming(test).is_some_and(|(column, _)| which(column)) && holds(condition, scope),
        Condition::All(cs) | Condition::Any(cs) => cs.iter().any(|c| names(c, scope, which)),
        Condition::None(_) => false,
    }
}

/// Rows that are about the same in something.
fn candidates(lookup: &Lookup, parts: &[&Condition], table: &Table, scope: &Scope<'_>) -> BTreeSet<usize> {
    let mut rows = BTreeSet::new();
    let mut ask = |column: &Arc<str>, values: &[&Value]| {
        let values = values.iter().flat_map(|v| resolve_first(v.references(), scope));
        let values: Vec<String> = values.map(|item| lower(&item.text())).collect();
        if !values.is_empty() {
            let (equal, matching) = table.index(std::slice::from_ref(column)).rows(&[values]);
            // The last ones are the newest.
            rows.extend(equal.into_iter().chain(matching).rev().take(ROWS_MAX));
        }
    };
    lookup.key.iter().for_each(|(column, value)| ask(column, &[value]));
    fn each<'c>(condition: &'c Condition, ask: &mut dyn FnMut(&'c Arc<str>, &[&'c Value])) {
        match condition {
            Condition::Test(test) => {
                if let Some((column, values)) = naming(test) {
                    ask(column, &values.iter().collect::<Vec<_>>());
                }
            }
            Condition::All(cs) | Condition::Any(cs) => cs.iter().for_each(|c| each(c, ask)),
            Condition::None(_) => {}
        }
    }
    parts.iter().for_each(|part| each(part, &mut ask));
    rows
}

/// What people call a row: the value of its key column.
fn id_of(row: &Json, table: &str) -> String {
    let column = crate::reference::schema(table).and_then(|s| s.key.first().copied());
    let id = column.and_then(|column| value_at(row, column));
    id.map_or_else(|| "a row without an id".to_owned(), |id| scalar(id).into_owned())
}

struct Telling<'a> {
    row: &'a Json,
    scope: Scope<'a>,
    mask: Mask,
}

impl Telling<'_> {
    fn cells(&self, column: &str) -> String {
        let mut cells = Vec::new();
        each_value(self.row, column, &mut |v| cells.push(scalar(v).into_owned()));
        cells.retain(|c| !c.is_empty());
        match cells.as_slice() {
            [] => "empty".to_owned(),
            cells => shown(cells, self.mask),
        }
    }

    fn validity(&self) -> String {
        format!(
            "it is valid from {} to {}",
            self.cells("valid_from"),
            self.cells("valid_to")
        )
    }

    fn lacks(&self, condition: &Condition) -> String {
        let of = |cs: &[Condition], with: &str| {
            let mut told: Vec<String> = Vec::new();
            for c in cs.iter().filter(|c| has_column(c) && !holds(c, &self.scope)) {
                let lacks = self.lacks(c);
                if !lacks.is_empty() && !told.contains(&lacks) {
                    told.push(lacks);
                }
            }
            told.truncate(SHOWN_MAX);
            told.join(with)
        };
        match condition {
            Condition::Test(test) => self.test(test),
            Condition::All(cs) => of(cs, " and "),
            Condition::Any(cs) => of(cs, ", and "),
            Condition::None(cs) => {
                let held = cs.iter().filter(|c| holds(c, &self.scope));
                let columns: Vec<String> = held.map(columns).collect();
                format!("what {} says excludes it", columns.join(", "))
            }
        }
    }

    /// Why a test does not hold; empty where nothing is told by that: it asked for what has no value, or for no value.
    fn test(&self, test: &Test) -> String {
        let Subject::Column(column) = &test.subject else {
            return String::new();
        };
        if let Op::Has(has) = &test.op {
            return self.has(column, test, has);
        }
        let (asked, is_time) = self.values(test.op.values());
        let how = match (&test.op, is_time) {
            (Op::Exists(true), _) => return format!("{column} is empty"),
            (Op::Exists(false), _) => return String::new(),
            (Op::Re(_), _) => return format!("{column} is {}", self.cells(column)),
            _ if asked.is_empty() => return String::new(),
            (Op::Lt(_), true) => "not before",
            (Op::Lte(_), true) => "later than",
            (Op::Gt(_), true) => "not after",
            (Op::Gte(_), true) => "earlier than",
            (Op::Lt(_), _) => "not less than",
            (Op::Lte(_), _) => "more than",
            (Op::Gt(_), _) => "not more than",
            (Op::Gte(_), _) => "less than",
            (Op::Contains(_), _) => "without",
            (Op::StartsWith(_), _) => "which does not begin with",
            (Op::EndsWith(_), _) => "which does not end with",
            (Op::Within(_), _) => "which is more than",
            (Op::Covers(_) | Op::Cidr(_), _) => "which does not cover",
            _ => "not",
        };
        format!("{column} is {}, {how} {asked}", self.cells(column))
    }

    /// What is asked for, each once, and whether that is a moment.
    fn values(&self, values: &[Value]) -> (String, bool) {
        let (mut texts, mut is_time) = (Vec::new(), false);
        let mut add = |text: String| {
            if !text.is_empty() && !texts.contains(&text) {
                texts.push(text);
            }
        };
        for value in values {
            match value {
                Value::Literal(Literal::Text { raw, .. }) => add(raw.clone()),
                Value::Literal(Literal::Number(n)) => add(n.to_string()),
                Value::Literal(Literal::Bool(b)) => add(b.to_string()),
                Value::Literal(Literal::Null) => {}
                Value::Reference(_) | Value::First(_) => {
                    for item in &resolve_first(value.references(), &self.scope) {
                        is_time |= matches!(item, Item::Time(_));
                        add(told(item, self.scope.zone));
                    }
                }
            }
        }
        let shown: Vec<String> = texts
            .iter()
            .take(SHOWN_MAX)
            .map(|text| shown(&[text], self.mask))
            .collect();
        (shown.join(" or "), is_time)
    }

    /// Which of the elements that are asked for is not there.
    fn has(&self, column: &str, test: &Test, has: &crate::policy::Has) -> String {
        let alone = |wanted: &crate::policy::Wanted| {
            let one = Test {
                subject: test.subject.clone(),
                op: Op::Has(crate::policy::Has {
                    wanted: vec![wanted.clone()],
                    apart: crate::policy::Apart::No,
                }),
            };
            holds(&Condition::Test(one), &self.scope)
        };
        let missing: Vec<String> = has
            .wanted
            .iter()
            .filter(|w| !alone(w))
            .map(|w| literals(&w.condition))
            .collect();
        match missing.as_slice() {
            [] => format!("{column} are not by different persons"),
            missing => format!("{column} lack one with {}", missing.join(", and one with ")),
        }
    }
}

fn columns(condition: &Condition) -> String {
    let mut columns = BTreeSet::new();
    condition.for_each_test(&mut |test| {
        if let Subject::Column(column) = &test.subject {
            columns.insert(column.to_string());
        }
    });
    columns.into_iter().collect::<Vec<_>>().join(", ")
}

/// What a condition asks for in so many words: `capacity security_admin, decision approved`.
fn literals(condition: &Condition) -> String {
    let mut words = Vec::new();
    condition.for_each_test(&mut |test| {
        if let (Subject::Column(column), Op::Equals(values)) = (&test.subject, &test.op) {
            let raw = |v: &Value| match v {
                Value::Literal(Literal::Text { raw, .. }) => Some(raw.clone()),
                _ => None,
            };
            let values: Vec<String> = values.iter().filter_map(raw).collect();
            if !values.is_empty() {
                words.push(format!("{column} {}", values.join(" or ")));
            }
        }
    });
    if words.is_empty() {
        return "what the policy asks".to_owned();
    }
    words.join(", ")
}
