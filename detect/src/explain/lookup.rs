//! Joins: which rows a key picks, and which condition they satisfy or not.

use std::sync::Arc;

use model::Millis;
use serde_json::Value as Json;

use super::{Explained, SHOWN_MAX, shown};
use crate::engine::Mask;
use crate::policy::{Condition, Expect, Literal, Lookup, Op, Subject, Test, Value};
use crate::reference::{
    Aliases, EventTables, EventValues, Found, Gap, Lookups, Scope, Tables, Verdict, each_value, holds, key_values,
    reference_rows, resolve, resolve_first, resolve_moment, scalar,
};

/// What joins are asked with.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub event: &'a dyn EventValues,
    pub tables: &'a Tables,
    pub events: &'a dyn EventTables,
    pub mask: Mask,
}

impl<'a> Asked<'a> {
    fn scope<'s>(&'s self, aliases: &'s Aliases) -> Scope<'s> {
        Scope {
            event: Some(self.event),
            aliases,
            row: None,
            count: None,
            zone: self.tables.zone(),
            calendar: self.tables.calendar(),
        }
    }

    fn judge(&self, lookups: &'a [Lookup]) -> Verdict {
        let lookups = Lookups {
            lookups,
            joins: &[],
            tables: self.tables,
            events: self.events,
        };
        lookups.judge(self.event, &mut |_, _| {})
    }
}

/// Each join, up to the first that does not hold; and what all found, where all hold.
pub(crate) fn lookups<'a>(lookups: &'a [Lookup], asked: Asked<'a>) -> (Vec<Explained>, Option<Found>) {
    let mut parts = Vec::new();
    let mut found = Found::default();
    for (n, lookup) in lookups.iter().enumerate() {
        let verdict = asked.judge(&lookups[..=n]);
        parts.push(one(lookup, &verdict, &found.aliases, asked));
        match verdict {
            Verdict::Fires(more) => found = more,
            Verdict::DoesNotFire | Verdict::NotJudged(_) => {
                let rest = lookups[n + 1..].iter();
                parts.extend(rest.map(|l| Explained::new(format!("lookup {}", l.table), None).at(&l.place)));
                return (parts, None);
            }
        }
    }
    (parts, Some(found))
}

fn one(lookup: &Lookup, verdict: &Verdict, aliases: &Aliases, asked: Asked<'_>) -> Explained {
    let scope = asked.scope(aliases);
    let key: Vec<String> = lookup
        .key
        .iter()
        .map(|(column, value)| format!("{column}: {}", tell_value(value, &scope, asked.mask)))
        .collect();
    let expect = match lookup.expect {
        Expect::Some => "some row",
        Expect::None => "no row",
        Expect::Any => "any row or none",
    };
    let what = format!("lookup {} {{{}}}, expects {expect}", lookup.table, key.join(", "));
    let out = |holds: Option<bool>| Explained::new(what.clone(), holds).at(&lookup.place);
    let rows = match rows(lookup, &scope, asked) {
        Ok(rows) => rows,
        // With `expect: any` it binds nothing, and holds.
        Err(gap) => return out(matches!(verdict, Verdict::Fires(_)).then_some(true)).because(tell_gap(&gap)),
    };
    let parts: Vec<Explained> = rows
        .iter()
        .take(SHOWN_MAX)
        .map(|row| {
            let scope = Scope {
                row: Some(row),
                ..scope
            };
            let mut tests = Vec::new();
            each_part(&lookup.condition, &scope, asked.mask, &mut tests);
            Explained::new(tell_row(row, asked.mask), holds(&lookup.condition, &scope)).of(tests)
        })
        .collect();
    let fit = |row: &&Arc<Json>| {
        holds(
            &lookup.condition,
            &Scope {
                row: Some(row),
                ..scope
            },
        )
    };
    let because = format!(
        "{} of that key and time, {} of which satisfy `where`{}",
        match rows.len() {
            0 => "no row".to_owned(),
            1 => "1 row".to_owned(),
            n => format!("{n} rows"),
        },
        rows.iter().filter(fit).count(),
        if lookup.claim.is_some() {
            "; a row explains one event (`claim`)"
        } else {
            ""
        }
    );
    out(Some(matches!(verdict, Verdict::Fires(_))))
        .because(because)
        .of(parts)
}

/// The rows that the key picks, valid at the moment that is asked for.
fn rows(lookup: &Lookup, scope: &Scope<'_>, asked: Asked<'_>) -> Result<Vec<Arc<Json>>, Gap> {
    let at: Option<Millis> = match &lookup.at {
        _ if lookup.ever => None,
        None => Some(asked.event.time()),
        Some(at) => Some(resolve_moment(at, scope).ok_or_else(|| Gap::At(lookup.table.clone()))?),
    };
    if let Some(table) = lookup.event_table {
        let columns: Vec<Arc<str>> = lookup.key.iter().map(|(c, _)| c.clone()).collect();
        let rows = asked.events.rows(table, &columns, &key_values(lookup, scope)?);
        return Ok(rows.into_iter().map(|r| r.row).collect());
    }
    let unconditional = Lookup {
        condition: Condition::ALWAYS,
        ..lookup.clone()
    };
    let (table, rows) = reference_rows(asked.tables, &unconditional, at, scope)?;
    Ok(rows.into_iter().map(|row| table.rows()[row].clone()).collect())
}

pub(crate) fn tell_gap(gap: &Gap) -> String {
    match gap {
        Gap::Table(table) => format!("not judged: the table {table} is not loaded (--reference)"),
        Gap::Key { table, column } => format!("not judged: the event has no value for the key {column} of {table}"),
        Gap::At(table) => format!("not judged: the moment at which rows of {table} have to be valid has no value"),
        Gap::Calendar => "not judged: the table work_calendar is not loaded (--reference)".to_owned(),
    }
}

/// A row's first columns.
fn tell_row(row: &Json, mask: Mask) -> String {
    let cells = row.as_object().into_iter().flatten().filter(|(_, v)| !v.is_null());
    let mut cells: Vec<String> = cells
        .map(|(name, value)| format!("{name}: {}", shown(&[scalar(value)], mask)))
        .collect();
    if cells.len() > SHOWN_MAX {
        cells.truncate(SHOWN_MAX);
        cells.push("…".to_owned());
    }
    format!("row {{{}}}", cells.join(", "))
}

/// Each test of a condition, with what the row has.
pub(crate) fn each_part(condition: &Condition, scope: &Scope<'_>, mask: Mask, out: &mut Vec<Explained>) {
    let inner = |cs: &[Condition]| {
        let mut parts = Vec::new();
        cs.iter().for_each(|c| each_part(c, scope, mask, &mut parts));
        parts
    };
    match condition {
        Condition::All(cs) => cs.iter().for_each(|c| each_part(c, scope, mask, out)),
        Condition::Any(cs) => out.push(Explained::new("any of", holds(condition, scope)).of(inner(cs))),
        Condition::None(cs) => out.push(Explained::new("none of", holds(condition, scope)).of(inner(cs))),
        Condition::Test(test) => out.push(one_test(test, condition, scope, mask)),
    }
}

fn one_test(test: &Test, condition: &Condition, scope: &Scope<'_>, mask: Mask) -> Explained {
    let values = |values: &[Value]| {
        let told: Vec<String> = values
            .iter()
            .take(SHOWN_MAX)
            .map(|v| tell_value(v, scope, mask))
            .collect();
        match values.len() > SHOWN_MAX {
            true => format!("{} or {} more", told.join(" or "), values.len() - SHOWN_MAX),
            false => told.join(" or "),
        }
    };
    let (how, asked) = match &test.op {
        Op::Equals(v) => ("", values(v)),
        Op::Contains(v) => ("|contains", values(v)),
        Op::StartsWith(v) => ("|startswith", values(v)),
        Op::EndsWith(v) => ("|endswith", values(v)),
        Op::Re(re) => (
            "|re",
            re.iter().map(|r| format!("/{r}/")).collect::<Vec<_>>().join(" or "),
        ),
        Op::Lt(v) => ("|lt", values(v)),
        Op::Lte(v) => ("|lte", values(v)),
        Op::Gt(v) => ("|gt", values(v)),
        Op::Gte(v) => ("|gte", values(v)),
        Op::Exists(is) => ("|exists", is.to_string()),
        Op::Covers(v) => ("|covers", values(v)),
        Op::Cidr(v) => ("|cidr", values(v)),
        Op::Within(v) => ("|within", values(v)),
        Op::Has(has) => ("|has", format!("{} maps", has.wanted.len())),
    };
    let (subject, has) = match &test.subject {
        Subject::Column(column) => {
            let mut cells = Vec::new();
            if let Some(row) = scope.row {
                each_value(row, column, &mut |v| cells.push(scalar(v).into_owned()));
            }
            (column.to_string(), cells)
        }
        Subject::Reference(reference) => {
            let items = resolve(reference, scope);
            (
                format!("${reference}"),
                items.iter().map(|i| i.text().into_owned()).collect(),
            )
        }
    };
    let because = match has.as_slice() {
        [] => "no value".to_owned(),
        has => format!("has {}", shown(has, mask)),
    };
    Explained::new(format!("{subject}{how}: {asked}"), holds(condition, scope)).because(because)
}

fn tell_value(value: &Value, scope: &Scope<'_>, mask: Mask) -> String {
    match value {
        Value::Literal(Literal::Text { raw, .. }) => raw.clone(),
        Value::Literal(Literal::Number(n)) => n.to_string(),
        Value::Literal(Literal::Bool(b)) => b.to_string(),
        Value::Literal(Literal::Null) => "null".to_owned(),
        Value::Reference(_) | Value::First(_) => {
            let names: Vec<String> = value.references().iter().map(|r| format!("${r}")).collect();
            let names = names.join(", else ");
            let items: Vec<String> = resolve_first(value.references(), scope)
                .iter()
                .map(|i| i.text().into_owned())
                .collect();
            match items.as_slice() {
                [] => format!("{names} (no value)"),
                items => format!("{names} ({})", shown(items, mask)),
            }
        }
    }
}
