//! Reading alerts.

use std::path::Path;

use model::{Millis, Severity};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use crate::{Alert, AlertEvent, Detail, Error, Status, Store, Verdict};

/// Alerts of one page.
const PAGE_MAX: usize = 1_000;
/// Candidates that an ambiguous prefix lists.
const CANDIDATES_MAX: usize = 10;

/// Which alerts; each field that is set must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// Any of these; empty = all but the superseded ones.
    pub status: Vec<Status>,
    /// At least as severe.
    pub severity_min: Option<Severity>,
    /// Violates this clause, `AU-10`.
    pub clause: Option<String>,
    /// The employee id of the person.
    pub person: Option<String>,
    /// The account.
    pub account: Option<String>,
    /// The policy's id.
    pub policy: Option<String>,
    /// Raised at this moment or later.
    pub since: Option<Millis>,
}

/// Which part of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// How many, at most 1,000.
    pub limit: usize,
    /// Only those raised before this one ([`Alert::seq`] of the last of the page before).
    pub before: Option<i64>,
}

impl Default for Page {
    fn default() -> Page {
        Page {
            limit: 50,
            before: None,
        }
    }
}

impl Store {
    /// The alerts that pass the filter, the one raised last first.
    ///
    /// # Errors
    /// The disk's, or a row that does not read back.
    pub fn list(&self, filter: &Filter, page: Page) -> Result<Vec<Alert>, Error> {
        let (mut sql, mut values) = wheres(filter);
        if let Some(before) = page.before {
            sql.push_str(" AND seq < ?");
            values.push(Value::Integer(before));
        }
        let limit = page.limit.min(PAGE_MAX);
        let sql = format!("SELECT {COLUMNS} FROM alerts WHERE {sql} ORDER BY seq DESC LIMIT {limit}");
        let read = || -> Result<Vec<Stored>, rusqlite::Error> {
            self.connection
                .prepare(&sql)?
                .query_map(params_from_iter(values), stored)?
                .collect()
        };
        read()
            .map_err(|e| self.sqlite(e))?
            .into_iter()
            .map(Stored::alert)
            .collect()
    }

    /// How many alerts pass the filter.
    ///
    /// # Errors
    /// The disk's.
    pub fn count(&self, filter: &Filter) -> Result<u64, Error> {
        let (sql, values) = wheres(filter);
        let sql = format!("SELECT count(*) FROM alerts WHERE {sql}");
        let count: i64 = self
            .connection
            .query_row(&sql, params_from_iter(values), |r| r.get(0))
            .map_err(|e| self.sqlite(e))?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// One alert by its id or a unique prefix of it, with its history and notifications.
    ///
    /// # Errors
    /// The caller's: no such alert, or more than one; the disk's.
    pub fn show(&self, id: &str) -> Result<Detail, Error> {
        // One read transaction: the alert and its history are of the same moment.
        let tx = self.connection.unchecked_transaction().map_err(|e| self.sqlite(e))?;
        let alert = resolve(&tx, &self.path, id)?;
        let events = self.events(&alert.id)?;
        let deliveries = self.deliveries_of(&alert.id)?;
        Ok(Detail {
            alert,
            events,
            deliveries,
        })
    }

    fn events(&self, id: &str) -> Result<Vec<AlertEvent>, Error> {
        type Stored = (i64, String, String, Option<String>, String, Option<String>, String);
        let sql =
            "SELECT at, who, action, before, after, verdict, comment FROM alert_events WHERE alert = ?1 ORDER BY seq";
        let read = || -> Result<Vec<Stored>, rusqlite::Error> {
            let row = |r: &Row<'_>| {
                Ok((
                    r.get(0)?,
                    r.get(1)?,
                    r.get(2)?,
                    r.get(3)?,
                    r.get(4)?,
                    r.get(5)?,
                    r.get(6)?,
                ))
            };
            self.connection.prepare_cached(sql)?.query_map([id], row)?.collect()
        };
        let rows = read().map_err(|e| self.sqlite(e))?;
        let event = |(at, who, action, before, after, verdict, comment): Stored| {
            Ok(AlertEvent {
                at: Millis(at),
                who,
                action,
                from: before.map(|s| status(id, s)).transpose()?,
                to: status(id, after)?,
                verdict: verdict.map(|v| self::verdict(id, v)).transpose()?,
                comment,
            })
        };
        rows.into_iter().map(event).collect()
    }
}

/// The one alert whose id is `given` or starts so.
pub(crate) fn resolve(connection: &Connection, path: &Path, given: &str) -> Result<Alert, Error> {
    let sqlite = |source| Error::Sqlite {
        path: path.to_owned(),
        source,
    };
    let wanted = given.trim().to_ascii_lowercase();
    let not_found = || Error::NotFound {
        given: given.to_owned(),
    };
    if wanted.is_empty() {
        return Err(not_found());
    }
    let exact = || -> Result<Option<Stored>, rusqlite::Error> {
        let sql = format!("SELECT {COLUMNS} FROM alerts WHERE id = ?1");
        connection.prepare_cached(&sql)?.query_row([&wanted], stored).optional()
    };
    if let Some(row) = exact().map_err(sqlite)? {
        return row.alert();
    }
    let prefixed = || -> Result<Vec<Stored>, rusqlite::Error> {
        let sql = format!(
            "SELECT {COLUMNS} FROM alerts WHERE id >= ?1 AND id < ?1 || char(0x10FFFF) ORDER BY id LIMIT {}",
            CANDIDATES_MAX + 1
        );
        connection
            .prepare_cached(&sql)?
            .query_map(params![wanted], stored)?
            .collect()
    };
    let mut rows = prefixed().map_err(sqlite)?;
    match rows.len() {
        0 => Err(not_found()),
        1 => rows.remove(0).alert(),
        found => {
            let candidates = rows.into_iter().take(CANDIDATES_MAX).map(|r| r.id).collect();
            Err(Error::Ambiguous {
                given: given.to_owned(),
                candidates,
                more: found > CANDIDATES_MAX,
            })
        }
    }
}

/// The condition as SQL with its values; the texts of the caller are only ever values.
fn wheres(filter: &Filter) -> (String, Vec<Value>) {
    let mut sql = String::from("1");
    let mut values = Vec::new();
    if filter.status.is_empty() {
        sql.push_str(" AND status <> 'superseded'");
    } else {
        let marks = vec!["?"; filter.status.len()].join(", ");
        sql.push_str(&format!(" AND status IN ({marks})"));
        values.extend(filter.status.iter().map(|s| Value::Text(s.name().to_owned())));
    }
    if let Some(severity) = filter.severity_min {
        sql.push_str(" AND severity >= ?");
        values.push(Value::Integer(severity.id().into()));
    }
    if let Some(clause) = &filter.clause {
        sql.push_str(" AND id IN (SELECT alert FROM alert_clauses WHERE clause = ?)");
        values.push(Value::Text(clause.to_ascii_uppercase()));
    }
    for (column, value) in [
        ("person", &filter.person),
        ("account", &filter.account),
        ("policy", &filter.policy),
    ] {
        if let Some(value) = value {
            sql.push_str(&format!(" AND {column} = ?"));
            values.push(Value::Text(value.clone()));
        }
    }
    if let Some(since) = filter.since {
        sql.push_str(" AND raised_at >= ?");
        values.push(Value::Integer(since.0));
    }
    (sql, values)
}

const COLUMNS: &str = "id, seq, status, verdict, owner, raised_at, updated_at, revision, finding";

/// A row of `alerts`, not yet looked at.
struct Stored {
    id: String,
    seq: i64,
    status: String,
    verdict: Option<String>,
    owner: Option<String>,
    raised_at: i64,
    updated_at: i64,
    revision: u32,
    finding: String,
}

fn stored(row: &Row<'_>) -> Result<Stored, rusqlite::Error> {
    Ok(Stored {
        id: row.get(0)?,
        seq: row.get(1)?,
        status: row.get(2)?,
        verdict: row.get(3)?,
        owner: row.get(4)?,
        raised_at: row.get(5)?,
        updated_at: row.get(6)?,
        revision: row.get(7)?,
        finding: row.get(8)?,
    })
}

impl Stored {
    fn alert(self) -> Result<Alert, Error> {
        let finding = serde_json::from_str(&self.finding).map_err(|e| Error::Damaged {
            id: self.id.clone(),
            what: "finding",
            given: e.to_string(),
        })?;
        Ok(Alert {
            status: status(&self.id, self.status)?,
            verdict: self.verdict.map(|v| verdict(&self.id, v)).transpose()?,
            id: self.id,
            seq: self.seq,
            owner: self.owner,
            raised_at: Millis(self.raised_at),
            updated_at: Millis(self.updated_at),
            revision: self.revision,
            finding,
        })
    }
}

fn status(id: &str, text: String) -> Result<Status, Error> {
    text.parse().map_err(|_| Error::Damaged {
        id: id.to_owned(),
        what: "status",
        given: text,
    })
}

fn verdict(id: &str, text: String) -> Result<Verdict, Error> {
    text.parse().map_err(|_| Error::Damaged {
        id: id.to_owned(),
        what: "verdict",
        given: text,
    })
}
