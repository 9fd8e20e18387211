//! Reference tables: rows with a version, and which of them are valid when.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

use foldhash::HashMap;
use jiff::tz::TimeZone;
use model::{Millis, ReferenceRow};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::cell::{moment, scalar, value_at};
use super::fit::Cells;
use super::mail::Mail;
use super::{CalendarError, Hosts, Index, WorkCalendar, catalogue, given, logins, period};
use crate::policy::Lookup;

/// The table of accounts and their owners.
const REGISTER: &str = "account_registry";
const CATALOGUE: &str = "data_catalogue";

/// Rows that one table may have.
const ROWS_MAX: usize = 5_000_000;
/// Rows of a table that are kept as findings cite them.
const CITED_MAX: usize = 10_000;

/// A table cannot be read. The author of the file has to mend it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("table `{table}`: {fault}")]
pub struct TableError {
    /// The table.
    pub table: String,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong with a table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Neither JSON nor CSV: not even text.
    #[error("it is not UTF-8; give JSON (an array of row objects, or one object) or CSV")]
    NotText,
    /// Broken JSON.
    #[error("not JSON: {0}")]
    Json(String),
    /// A line that is no row.
    #[error("line {line}: {why}")]
    Line {
        /// Which, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// A row that is not an object.
    #[error("row {row} (from 0) is not an object")]
    NotAnObject {
        /// Which, from 0.
        row: usize,
    },
    /// A line with too few or too many cells.
    #[error("line {line} has {given} cells, the first line names {wanted}")]
    Cells {
        /// Which, from 1.
        line: usize,
        /// Cells of the line.
        given: usize,
        /// Columns.
        wanted: usize,
    },
    /// A quote that is not closed.
    #[error("line {line}: a quote is not closed, or text follows it")]
    Quote {
        /// Where it began, from 1.
        line: usize,
    },
    /// More columns than we read.
    #[error("{given} columns, at most {limit}")]
    Columns {
        /// How many.
        given: usize,
        /// The bound.
        limit: usize,
    },
    /// More rows than we keep.
    #[error("{given} rows, at most {limit}")]
    Rows {
        /// How many.
        given: usize,
        /// The bound.
        limit: usize,
    },
    /// `valid_from` or `valid_to` is not a moment.
    #[error("row {row} (from 0): `{column}` is `{given}`; give RFC 3339 with an offset, a date, or epoch milliseconds")]
    Validity {
        /// Which, from 0.
        row: usize,
        /// `valid_from` or `valid_to`.
        column: &'static str,
        /// What was given.
        given: String,
    },
    /// `work_calendar` does not say when work is.
    #[error(transparent)]
    Calendar(#[from] CalendarError),
}

/// From and to: a row is valid at `at` when `from <= at < to`.
type Validity = (Option<Millis>, Option<Millis>);

/// A table as it was loaded: never altered, only replaced.
#[derive(Debug)]
pub struct Table {
    name: Arc<str>,
    version: String,
    rows: Vec<Arc<Value>>,
    // How many of them the file has; behind them stand those that follow from other tables.
    given: usize,
    validity: Vec<Validity>,
    // Built when a policy first asks for a key; a table is shared, hence the lock.
    indexes: RwLock<BTreeMap<Vec<Arc<str>>, Arc<Index>>>,
    // Likewise of columns that conditions compare.
    cells: RwLock<BTreeMap<Arc<str>, Arc<Cells>>>,
    // And rows as findings cite them.
    cited: RwLock<HashMap<usize, Arc<ReferenceRow>>>,
}

impl Table {
    /// Reads a table. Moments without an offset are in `zone`.
    ///
    /// # Errors
    /// The author's: see [`Fault`].
    pub fn parse(name: &str, bytes: &[u8], zone: &TimeZone) -> Result<Table, TableError> {
        let wrong = |fault| TableError {
            table: name.to_owned(),
            fault,
        };
        let rows = given::read(bytes).map_err(wrong)?.rows;
        if rows.len() > ROWS_MAX {
            return Err(wrong(Fault::Rows {
                given: rows.len(),
                limit: ROWS_MAX,
            }));
        }
        if let Some(row) = rows.iter().position(|r| !r.is_object()) {
            return Err(wrong(Fault::NotAnObject { row }));
        }
        let validity = rows.iter().enumerate().map(|(i, row)| validity(i, row, zone));
        Ok(Table {
            name: name.into(),
            version: hex::encode(&Sha256::digest(bytes)[..6]),
            validity: validity.collect::<Result<_, _>>().map_err(wrong)?,
            cited: RwLock::default(),
            given: rows.len(),
            rows: rows.into_iter().map(Arc::new).collect(),
            indexes: RwLock::default(),
            cells: RwLock::default(),
        })
    }

    /// Adds rows that follow from other tables.
    fn append(&mut self, rows: Vec<Value>, zone: &TimeZone) -> Result<(), TableError> {
        for row in rows {
            let fault = |fault| TableError {
                table: self.name.to_string(),
                fault,
            };
            let valid = validity(self.rows.len(), &row, zone).map_err(fault)?;
            self.validity.push(valid);
            self.rows.push(Arc::new(row));
        }
        Ok(())
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first 12 hex digits of SHA-256 of its content.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Its rows, in the order of the file, and behind them those that follow from other tables.
    #[must_use]
    pub fn rows(&self) -> &[Arc<Value>] {
        &self.rows
    }

    /// The rows of the file alone.
    #[must_use]
    pub fn given(&self) -> &[Arc<Value>] {
        &self.rows[..self.given]
    }

    /// Whether row `row` is valid at `at`: `valid_from <= at < valid_to`, where it has them.
    #[must_use]
    pub fn valid(&self, row: usize, at: Millis) -> bool {
        let (from, to) = self.validity[row];
        from.is_none_or(|from| from <= at) && to.is_none_or(|to| at < to)
    }

    /// The first moment, and the first behind the last, at which a row is valid, or not, as at `at`.
    pub(super) fn valid_alike(&self, row: usize, at: Millis) -> (Millis, Millis) {
        let (from, to) = self.validity[row];
        let (from, to) = (from.unwrap_or(Millis(i64::MIN)), to.unwrap_or(Millis(i64::MAX)));
        if at < from {
            (Millis(i64::MIN), from)
        } else if at >= to {
            (to, Millis(i64::MAX))
        } else {
            (from, to)
        }
    }

    /// The index over `columns`, built when it is first asked for.
    #[must_use]
    pub fn index(&self, columns: &[Arc<str>]) -> Arc<Index> {
        // A poisoned lock only means that another reader panicked; the map itself is never half written.
        if let Some(index) = self.indexes.read().unwrap_or_else(|e| e.into_inner()).get(columns) {
            return index.clone();
        }
        let index = Arc::new(Index::build(columns, &self.rows));
        self.indexes
            .write()
            .unwrap_or_else(|e| e.into_inner())
            .insert(columns.to_vec(), index.clone());
        index
    }

    /// The cells of a column; moments without an offset are in `zone`.
    pub(super) fn cells(&self, column: &Arc<str>, zone: &TimeZone) -> Arc<Cells> {
        if let Some(cells) = self.cells.read().unwrap_or_else(|e| e.into_inner()).get(column) {
            return cells.clone();
        }
        let cells = Arc::new(Cells::new(column, self.rows.len(), zone));
        let mut all = self.cells.write().unwrap_or_else(|e| e.into_inner());
        all.entry(column.clone()).or_insert(cells).clone()
    }

    /// Row `row` as a finding cites it.
    #[must_use]
    pub fn cite(&self, row: usize) -> Arc<ReferenceRow> {
        let cited = || ReferenceRow {
            table: self.name.to_string(),
            version: self.version.clone(),
            row: Value::clone(&self.rows[row]),
        };
        if let Some(cited) = self.cited.read().unwrap_or_else(|e| e.into_inner()).get(&row) {
            return cited.clone();
        }
        let cited = Arc::new(cited());
        let mut all = self.cited.write().unwrap_or_else(|e| e.into_inner());
        if all.len() < CITED_MAX {
            all.insert(row, cited.clone());
        }
        cited
    }
}

fn validity(row: usize, value: &Value, zone: &TimeZone) -> Result<Validity, Fault> {
    let read = |column: &'static str| match value_at(value, column) {
        None | Some(Value::Null) => Ok(None),
        Some(given) => match scalar(given).trim() {
            "" => Ok(None),
            text => match moment(text, zone) {
                Some(moment) => Ok(Some(moment)),
                None => Err(Fault::Validity {
                    row,
                    column,
                    given: text.chars().take(80).collect(),
                }),
            },
        },
    };
    Ok((read("valid_from")?, read("valid_to")?))
}

/// All reference tables of a run. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tables {
    tables: BTreeMap<Arc<str>, Arc<Table>>,
    // Kept to read the other tables again when the calendar, which names the operator's time zone, comes later.
    sources: BTreeMap<Arc<str>, Arc<[u8]>>,
    calendar: Option<Arc<WorkCalendar>>,
    hosts: Arc<Hosts>,
    mail: Arc<Mail>,
    single_sign_on: bool,
    zone: TimeZone,
}

impl Default for Tables {
    fn default() -> Tables {
        Tables {
            tables: BTreeMap::new(),
            sources: BTreeMap::new(),
            calendar: None,
            hosts: Arc::default(),
            mail: Arc::default(),
            single_sign_on: false,
            zone: TimeZone::UTC,
        }
    }
}

impl Tables {
    /// Loads, or replaces, a table from JSON (an array of row objects, or one object) or CSV. Nothing changes
    /// where it fails.
    ///
    /// # Errors
    /// The author's: the content is not a table.
    pub fn load(&mut self, name: &str, bytes: &[u8]) -> Result<(), TableError> {
        let table = Table::parse(name, bytes, &self.zone)?;
        if name == "work_calendar" {
            let calendar = WorkCalendar::parse(table.rows()).map_err(|e| TableError {
                table: name.to_owned(),
                fault: Fault::Calendar(e),
            })?;
            self.rezone(calendar.zone())?;
            self.set_periods(&calendar)?;
            self.calendar = Some(Arc::new(calendar));
        }
        if name == "asset_register" {
            self.hosts = Arc::new(Hosts::new(&table));
        }
        if name == "hr_roster" {
            self.mail = Arc::new(Mail::new(&table));
        }
        if name == REGISTER {
            let has = |system: &str| {
                table
                    .rows()
                    .iter()
                    .any(|r| value_at(r, "system").is_some_and(|s| scalar(s) == system))
            };
            self.single_sign_on = has("sso") && !has("okta");
        }
        self.tables.insert(name.into(), Arc::new(table));
        self.sources.insert(name.into(), bytes.into());
        if matches!(name, "hr_roster" | "account_registry" | "work_calendar") {
            self.add_logins()?;
        }
        if matches!(name, CATALOGUE | "work_calendar") {
            self.set_data_tables()?;
        }
        Ok(())
    }

    /// The catalogue's objects by the names that statements give them: see [`catalogue`].
    fn set_data_tables(&mut self) -> Result<(), TableError> {
        if let Some(table) = self
            .tables
            .get(CATALOGUE)
            .filter(|_| !self.sources.contains_key(catalogue::TABLE))
        {
            let rows = Value::Array(catalogue::rows(table.rows())).to_string();
            let table = Table::parse(catalogue::TABLE, rows.as_bytes(), &self.zone)?;
            self.tables.insert(catalogue::TABLE.into(), Arc::new(table));
        }
        Ok(())
    }

    /// Whose an account of a host is that `account_registry` does not name, and that is called as somebody of `hr_roster` logs on: see [`logins`].
    fn add_logins(&mut self) -> Result<(), TableError> {
        let (Some(bytes), Some(roster)) = (self.sources.get(REGISTER), self.tables.get("hr_roster")) else {
            return Ok(());
        };
        let mut register = Table::parse(REGISTER, bytes, &self.zone)?;
        register.append(logins::rows(roster, register.rows()), &self.zone)?;
        self.tables.insert(REGISTER.into(), Arc::new(register));
        Ok(())
    }

    fn set_periods(&mut self, calendar: &WorkCalendar) -> Result<(), TableError> {
        if !self.sources.contains_key(period::TABLE) {
            let rows = Value::Array(period::rows(calendar)).to_string();
            let table = Table::parse(period::TABLE, rows.as_bytes(), &self.zone)?;
            self.tables.insert(period::TABLE.into(), Arc::new(table));
        }
        Ok(())
    }

    fn rezone(&mut self, zone: &TimeZone) -> Result<(), TableError> {
        if *zone == self.zone {
            return Ok(());
        }
        let read =
            |(name, bytes): (&Arc<str>, &Arc<[u8]>)| Ok((name.clone(), Arc::new(Table::parse(name, bytes, zone)?)));
        self.tables = self.sources.iter().map(read).collect::<Result<_, _>>()?;
        self.zone = zone.clone();
        Ok(())
    }

    /// A table by its name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Table>> {
        self.tables.get(name)
    }

    /// Every table, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.tables.values()
    }

    /// Working time, where `work_calendar` was loaded.
    #[must_use]
    pub fn calendar(&self) -> Option<&WorkCalendar> {
        self.calendar.as_deref()
    }

    /// The hosts of `asset_register`, as they may be called.
    #[must_use]
    pub fn hosts(&self) -> &Hosts {
        &self.hosts
    }

    /// Adds to the values of a key, which are in lower case, by what else the same host or account is called: see [`Hosts::widen`] and [`Mail`].
    pub(crate) fn widen(&self, table: &str, columns: &[Arc<str>], values: &mut [Vec<String>]) {
        self.hosts.widen(table, columns, values);
        self.mail.widen(table, columns, values);
    }

    /// As [`Tables::widen`], of the key of a lookup.
    pub(crate) fn widen_key(&self, lookup: &Lookup, values: &mut [Vec<String>]) {
        self.hosts.widen_key(lookup, values);
        self.mail.widen_key(lookup, values);
    }

    /// Whether `account_registry` has the identity provider's accounts under `sso`, and not under the product's name.
    #[must_use]
    pub fn single_sign_on(&self) -> bool {
        self.single_sign_on
    }

    /// The time zone of moments written without an offset: the calendar's, else UTC.
    #[must_use]
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_one_object_and_csv_are_tables() {
        let mut tables = Tables::default();
        tables
            .load(
                "a",
                br#"[{"k": 1}, {"k": 2, "valid_from": "2026-01-01", "valid_to": ""}]"#,
            )
            .unwrap();
        tables
            .load("role_matrix", br#"{"incompatible_pairs": [["a", "b"]]}"#)
            .unwrap();
        tables.load("c", b"k,v\n1,x\n").unwrap();
        assert_eq!(tables.get("a").unwrap().rows().len(), 2);
        assert_eq!(tables.get("role_matrix").unwrap().rows().len(), 1);
        assert_eq!(
            tables.get("c").unwrap().cite(0).row,
            serde_json::json!({"k": "1", "v": "x"})
        );
        assert_eq!(tables.get("c").unwrap().version().len(), 12);
        assert!(tables.get("a").unwrap().valid(0, Millis(0)));
        assert!(!tables.get("a").unwrap().valid(1, Millis(0)));
    }

    #[test]
    fn what_is_wrong_is_said_and_the_old_table_stays() {
        let mut tables = Tables::default();
        tables.load("t", b"[]").unwrap();
        for (bytes, want) in [
            (&b"\xff"[..], "table `t`: it is not UTF-8"),
            (b"[1]", "table `t`: row 0 (from 0) is not an object"),
            (b"[{]", "table `t`: not JSON"),
            (
                br#"[{"valid_to": "soon"}]"#,
                "table `t`: row 0 (from 0): `valid_to` is `soon`; give RFC 3339",
            ),
        ] {
            let error = tables.load("t", bytes).unwrap_err().to_string();
            assert!(error.starts_with(want), "{error}");
        }
        assert_eq!(tables.get("t").unwrap().rows().len(), 0);
    }

    #[test]
    fn a_calendar_loaded_later_still_sets_the_zone_of_dates() {
        let mut tables = Tables::default();
        tables.load("t", br#"[{"valid_from": "2026-03-02"}]"#).unwrap();
        let at = Millis::parse("2026-03-01T16:30:00Z").unwrap();
        assert!(!tables.get("t").unwrap().valid(0, at));
        tables
            .load(
                "work_calendar",
                br#"{"tz": "Asia/Shanghai", "hours": ["09:00", "18:00"]}"#,
            )
            .unwrap();
        assert!(tables.get("t").unwrap().valid(0, at));
    }
}
