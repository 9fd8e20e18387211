//! A chain of joins for one event.

use std::fmt;
use std::sync::Arc;

use jiff::tz::TimeZone;
use model::{Coordinate, Millis, ReferenceRow};
use serde_json::Value as Json;

use super::condition::holds;
use super::scope::{Aliases, EventValues, Scope, key_texts, resolve, resolve_moment};
use super::{Join, Table, Tables};
use crate::policy::{Expect, Lookup, Pick, PolicyIndex, Reference};
use crate::sigma::Number;

/// A row of a table kept from events.
#[derive(Clone, Debug, PartialEq)]
pub struct EventRow {
    /// Its columns, with `time` and `record`.
    pub row: Arc<Json>,
    /// Its record.
    pub record: Coordinate,
    /// Its event's time.
    pub time: Millis,
    /// Names it among the rows of its table, whatever the order in which they came.
    pub id: Arc<str>,
}

/// The tables that are kept from events, as a lookup sees them.
pub trait EventTables {
    /// The rows of a table whose `columns` equal one of `values` each, oldest first.
    fn rows(&self, table: PolicyIndex, columns: &[Arc<str>], values: &[Vec<String>]) -> Vec<EventRow>;

    /// With `claim`: which of `rows` (those that satisfy the lookup `step` for the event that is judged) is the
    /// event's own. Events of one `claimant` share a row; without one an event stands for itself.
    fn claim(&self, step: usize, key: &str, claimant: Option<String>, rows: Vec<EventRow>) -> Option<EventRow>;
}

/// No table is kept from events.
pub struct NoEventTables;

impl EventTables for NoEventTables {
    fn rows(&self, _: PolicyIndex, _: &[Arc<str>], _: &[Vec<String>]) -> Vec<EventRow> {
        Vec::new()
    }
    fn claim(&self, _: usize, _: &str, _: Option<String>, rows: Vec<EventRow>) -> Option<EventRow> {
        rows.into_iter().next()
    }
}

/// Why a lookup could not be judged: a gap of coverage, counted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Gap {
    /// The table was not loaded.
    Table(Arc<str>),
    /// A key had no value.
    Key {
        /// Of which table.
        table: Arc<str>,
        /// The key's column.
        column: Arc<str>,
    },
    /// The moment at which rows have to be valid had no value.
    At(Arc<str>),
    /// `work_calendar` was not loaded.
    Calendar,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Gap::Table(table) => write!(f, "table {table}"),
            Gap::Key { table, column } => write!(f, "key {table}.{column}"),
            Gap::At(table) => write!(f, "moment of {table}"),
            Gap::Calendar => f.write_str("table work_calendar"),
        }
    }
}

/// What the joins found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// The first row of each lookup that has an alias.
    pub aliases: Aliases,
    /// The reference rows used.
    pub rows: Vec<Arc<ReferenceRow>>,
    /// Records of event rows that were bound.
    pub records: Vec<Coordinate>,
    /// It holds because an event table has no such row, which a later record may refute.
    pub negative: bool,
}

/// What a chain of joins says of an event.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// All lookups hold.
    Fires(Found),
    /// One does not.
    DoesNotFire,
    /// One cannot be judged.
    NotJudged(Gap),
}

/// A chain of joins and the tables it reads.
pub struct Lookups<'a> {
    /// The joins, in order.
    pub lookups: &'a [Lookup],
    /// The same, read for these tables; of none, rows are looked through.
    pub joins: &'a [Join],
    /// The reference tables.
    pub tables: &'a Tables,
    /// The tables kept from events.
    pub events: &'a dyn EventTables,
}

impl Lookups<'_> {
    /// Judges an event. `used` is called for every question put to an event table: the lookup's step, and the
    /// values of its key columns.
    pub fn judge(&self, event: &dyn EventValues, used: &mut dyn FnMut(usize, &[Vec<String>])) -> Verdict {
        let mut found = Found::default();
        for (step, lookup) in self.lookups.iter().enumerate() {
            match self.step(step, lookup, event, &mut found, used) {
                Ok(true) => {}
                Ok(false) => return Verdict::DoesNotFire,
                Err(_) if lookup.expect == Expect::Any => {}
                Err(gap) => return Verdict::NotJudged(gap),
            }
        }
        Verdict::Fires(found)
    }

    fn step(
        &self,
        step: usize,
        lookup: &Lookup,
        event: &dyn EventValues,
        found: &mut Found,
        used: &mut dyn FnMut(usize, &[Vec<String>]),
    ) -> Result<bool, Gap> {
        let aliases = std::mem::take(&mut found.aliases);
        let scope = Scope {
            event: Some(event),
            aliases: &aliases,
            row: None,
            count: None::<Number>,
            zone: self.tables.zone(),
            calendar: self.tables.calendar(),
        };
        let at = match &lookup.at {
            _ if lookup.ever => Ok(None),
            // A join of a reference table says of each row for which times it is so.
            None if lookup.event_table.is_none() && self.joins.get(step).is_some() => Ok(Some(event.compared_time())),
            None => Ok(Some(event.time())),
            Some(at) => match resolve_moment(at, &scope) {
                Some(at) => Ok(Some(at)),
                None => Err(Gap::At(lookup.table.clone())),
            },
        };
        let join = self.joins.get(step);
        let first = match (at, lookup.event_table, join) {
            (Err(gap), ..) => Err(gap),
            (Ok(at), Some(table), _) => self
                .event_row(step, lookup, table, at, &scope, used)
                .map(|row| row.map(Picked::Event)),
            (Ok(at), None, Some(join)) => join
                .reference_row(lookup, at, &scope, self.tables)
                .map(|row| row.map(|(t, r)| Picked::Reference(t.clone(), r))),
            (Ok(at), None, None) => self
                .reference_row(lookup, at, &scope)
                .map(|row| row.map(|(t, r)| Picked::Reference(t, r))),
        };
        found.aliases = aliases;
        let first = first?;
        match lookup.expect {
            Expect::None => {
                found.negative |= lookup.event_table.is_some() && first.is_none();
                return Ok(first.is_none());
            }
            Expect::Some if first.is_none() => return Ok(false),
            Expect::Some | Expect::Any => {}
        }
        if let Some(first) = first {
            let row = match first {
                Picked::Event(row) => {
                    found.records.push(row.record);
                    row.row
                }
                Picked::Reference(table, row) => {
                    let cited = table.cite(row);
                    let is = |row: &Arc<ReferenceRow>| Arc::ptr_eq(row, &cited) || *row == cited;
                    if !found.rows.iter().any(is) {
                        found.rows.push(cited);
                    }
                    table.rows()[row].clone()
                }
            };
            if let Some(alias) = &lookup.alias {
                found.aliases.insert(alias.clone(), row);
            }
        }
        Ok(true)
    }

    fn event_row(
        &self,
        step: usize,
        lookup: &Lookup,
        table: PolicyIndex,
        at: Option<Millis>,
        scope: &Scope<'_>,
        used: &mut dyn FnMut(usize, &[Vec<String>]),
    ) -> Result<Option<EventRow>, Gap> {
        let values = key_values(lookup, scope)?;
        used(step, &values);
        let columns: Vec<Arc<str>> = lookup.key.iter().map(|(c, _)| c.clone()).collect();
        let mut rows = self.events.rows(table, &columns, &values);
        match self.joins.get(step) {
            Some(join) => join.retain(&mut rows, at, scope),
            None => rows.retain(|row| {
                let here = Scope {
                    row: Some(&row.row),
                    ..*scope
                };
                at.is_none_or(|at| valid_row(&row.row, at, scope)) && holds(&lookup.condition, &here)
            }),
        }
        if let Some(by) = &lookup.claim {
            let same: Vec<Vec<String>> = by.iter().map(|r| texts(r, scope)).collect();
            let claimant = (!same.is_empty()).then(|| claim_key(&same));
            return Ok(self.events.claim(step, &claim_key(&values), claimant, rows));
        }
        Ok(match lookup.pick {
            Pick::First => rows.into_iter().next(),
            Pick::Last => rows.pop(),
            Pick::Nearest => {
                let near = at.or_else(|| scope.event.map(EventValues::time)).unwrap_or_default();
                rows.into_iter().min_by_key(|r| (r.time - near).saturating_abs())
            }
        })
    }

    fn reference_row(
        &self,
        lookup: &Lookup,
        at: Option<Millis>,
        scope: &Scope<'_>,
    ) -> Result<Option<(Arc<Table>, usize)>, Gap> {
        let (table, rows) = reference_rows(self.tables, lookup, at, scope)?;
        let row = match lookup.pick {
            Pick::First | Pick::Nearest => rows.first(),
            Pick::Last => rows.last(),
        };
        Ok(row.map(|row| (table, *row)))
    }
}

enum Picked {
    Event(EventRow),
    Reference(Arc<Table>, usize),
}

fn texts(reference: &Reference, scope: &Scope<'_>) -> Vec<String> {
    resolve(reference, scope)
        .iter()
        .map(|i| i.text().into_owned())
        .collect()
}

/// Names the group of rows that events of one key contend for.
pub(crate) fn claim_key(values: &[Vec<String>]) -> String {
    let columns: Vec<String> = values
        .iter()
        .map(|v| super::index::key(v.iter().map(String::as_str)))
        .collect();
    super::index::key(columns.iter().map(String::as_str))
}

/// Event tables have no validity of their own, but columns may be called so.
pub(super) fn valid_row(row: &Json, at: Millis, scope: &Scope<'_>) -> bool {
    is_valid(row, at, scope.zone)
}

/// Whether a row of an event table that says when it is valid is so at a moment.
pub(crate) fn is_valid(row: &Json, at: Millis, zone: &TimeZone) -> bool {
    let read = |column| super::value_at(row, column).and_then(|v| super::moment(&super::scalar(v), zone));
    read("valid_from").is_none_or(|from| from <= at) && read("valid_to").is_none_or(|to| at < to)
}

/// The values that each key column has to equal one of.
pub(crate) fn key_values(lookup: &Lookup, scope: &Scope<'_>) -> Result<Vec<Vec<String>>, Gap> {
    let gap = |column: &Arc<str>| Gap::Key {
        table: lookup.table.clone(),
        column: column.clone(),
    };
    let values = lookup.key.iter().map(|(column, value)| {
        let texts = key_texts(value, scope);
        if texts.is_empty() { Err(gap(column)) } else { Ok(texts) }
    });
    values.collect()
}

/// The rows of a reference table that satisfy a lookup: those that are equal in the key, else those that only
/// match; in the table's order. Valid at `at`, where it is given.
pub(crate) fn reference_rows(
    tables: &Tables,
    lookup: &Lookup,
    at: Option<Millis>,
    scope: &Scope<'_>,
) -> Result<(Arc<Table>, Vec<usize>), Gap> {
    let table = tables
        .get(&lookup.table)
        .ok_or_else(|| Gap::Table(lookup.table.clone()))?;
    let valid = |row: &usize| at.is_none_or(|at| table.valid(*row, at));
    let mut rows: Vec<usize> = if lookup.key.is_empty() {
        (0..table.rows().len()).filter(valid).collect()
    } else {
        let columns: Vec<Arc<str>> = lookup.key.iter().map(|(c, _)| c.clone()).collect();
        let mut values = key_values(lookup, scope)?;
        tables.widen(&lookup.table, &columns, &mut values);
        let (mut equal, mut matching) = table.index(&columns).rows(&values);
        equal.retain(valid);
        matching.retain(valid);
        if equal.is_empty() { matching } else { equal }
    };
    rows.retain(|row| {
        holds(
            &lookup.condition,
            &Scope {
                row: Some(&table.rows()[*row]),
                ..*scope
            },
        )
    });
    Ok((table.clone(), rows))
}

#[cfg(test)]
mod tests {
    use super::super::condition::tests::{event, seen, test};
    use super::*;
    use crate::policy::{Condition, Literal, Op, Value};
    use crate::sigma::Pattern;

    fn tables() -> Tables {
        let mut tables = Tables::default();
        let register = br#"[
            {"system": "host:*", "account": "root", "owner": "E1", "state": "active"},
            {"system": "host:web-1", "account": "root", "owner": "E2", "state": "locked"},
            {"system": "crm", "account": "li", "owner": "E3", "state": "active",
             "valid_from": "2026-05-01", "valid_to": "2026-06-01"}]"#;
        tables.load("register", register).unwrap();
        tables
            .load("zones", br#"[{"cidr": "10.0.0.0/8", "zone": "office"}]"#)
            .unwrap();
        tables
    }

    fn lookup(table: &str, key: &[(&str, &str)], condition: Condition, expect: Expect) -> Lookup {
        Lookup {
            table: table.into(),
            event_table: None,
            alias: Some("found".into()),
            key: key.iter().map(|(c, path)| (Arc::from(*c), event(path))).collect(),
            condition,
            expect,
            at: None,
            ever: false,
            claim: None,
            pick: crate::policy::Pick::First,
            place: crate::Place::default(),
        }
    }

    #[test]
    fn some_none_any_and_what_is_not_judged() {
        use Expect::{Any, None, Some};
        let active = || {
            let active = Literal::Text {
                raw: "active".into(),
                pattern: Pattern::parse("active"),
            };
            test("state", Op::Equals(vec![Value::Literal(active)]))
        };
        let key = &[("system", "system"), ("account", "user")][..];
        let missing = &[("account", "nothing")][..];
        let fires = |l: Lookup, system: &str, user: &str, time: &str| {
            let tables = tables();
            let lookups = [l];
            let chain = Lookups {
                lookups: &lookups,
                joins: &[],
                tables: &tables,
                events: &NoEventTables,
            };
            match chain.judge(&seen(time, &[("system", &[system]), ("user", &[user])]), &mut |_, _| {}) {
                Verdict::Fires(f) => format!(
                    "fires {}",
                    f.rows
                        .iter()
                        .map(|r| r.row["owner"].as_str().unwrap())
                        .collect::<String>()
                ),
                Verdict::DoesNotFire => "no".into(),
                Verdict::NotJudged(gap) => format!("{gap:?}"),
            }
        };
        let may = "2026-05-04T00:00:00Z";
        for (l, system, user, time, want) in [
            (
                lookup("register", key, Condition::ALWAYS, Some),
                "host:web-2",
                "Root",
                may,
                "fires E1",
            ),
            (
                lookup("register", key, Condition::ALWAYS, Some),
                "host:web-1",
                "root",
                may,
                "fires E2",
            ),
            // The exact row shadows the pattern row even where `where` then drops it.
            (lookup("register", key, active(), Some), "host:web-1", "root", may, "no"),
            (
                lookup("register", key, active(), None),
                "host:web-1",
                "root",
                may,
                "fires ",
            ),
            (lookup("register", key, active(), None), "host:web-2", "root", may, "no"),
            (
                lookup("register", key, Condition::ALWAYS, Some),
                "crm",
                "li",
                may,
                "fires E3",
            ),
            (
                lookup("register", key, Condition::ALWAYS, Some),
                "crm",
                "li",
                "2026-06-01T00:00:00Z",
                "no",
            ),
            (
                lookup("register", key, Condition::ALWAYS, Any),
                "crm",
                "li",
                "2026-06-01T00:00:00Z",
                "fires ",
            ),
            (
                lookup("register", key, Condition::ALWAYS, Any),
                "crm",
                "li",
                may,
                "fires E3",
            ),
            (
                lookup("nowhere", key, Condition::ALWAYS, None),
                "crm",
                "li",
                may,
                "Table(\"nowhere\")",
            ),
            (
                lookup("nowhere", key, Condition::ALWAYS, Any),
                "crm",
                "li",
                may,
                "fires ",
            ),
            (
                lookup("register", missing, Condition::ALWAYS, None),
                "crm",
                "li",
                may,
                "Key { table: \"register\", column: \"account\" }",
            ),
            (
                lookup("register", missing, Condition::ALWAYS, Any),
                "crm",
                "li",
                may,
                "fires ",
            ),
        ] {
            let said = format!("{l:?}");
            assert_eq!(fires(l, system, user, time), want, "{system} {user} {time} {said}");
        }
    }

    #[test]
    fn a_later_lookup_reads_the_row_found_before() {
        let tables = tables();
        let mut second = lookup("register", &[], Condition::ALWAYS, Expect::Some);
        second.alias = Some("second".into());
        second.key = vec![(
            "owner".into(),
            Value::Reference(crate::policy::Reference {
                root: crate::policy::Root::Alias {
                    alias: "found".into(),
                    column: "owner".into(),
                },
                offset_ms: 0,
                working_days: 0,
                plus: 0,
            }),
        )];
        let lookups = [
            lookup("register", &[("account", "user")], Condition::ALWAYS, Expect::Some),
            second,
        ];
        let chain = Lookups {
            lookups: &lookups,
            joins: &[],
            tables: &tables,
            events: &NoEventTables,
        };
        let Verdict::Fires(found) = chain.judge(&seen("2026-05-04T00:00:00Z", &[("user", &["li"])]), &mut |_, _| {})
        else {
            panic!("fires")
        };
        assert_eq!(found.aliases["second"]["owner"], "E3");
        assert_eq!(found.rows.len(), 1, "the same row is cited once");
    }
}
