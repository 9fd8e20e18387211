//! Notifications waiting to be sent, and how often they are tried.
//!
//! A row is written in the transaction that raises the alert, and settled after the channel took it. A crash between
//! the two sends it again, with the same idempotency key and the same body: at least once, recognizable as the same.

use model::{Finding, Millis};
use rusqlite::{Row, Transaction, params};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{Error, Notice, Store};

/// Bytes of an error that are kept.
const ERROR_BYTES_MAX: usize = 1_000;

/// Where a notification stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryState {
    /// To be sent, or to be tried again.
    Pending,
    /// The channel took it.
    Delivered,
    /// The channel refused it for good; not tried again unless [`Store::requeue`] asks for it.
    Refused,
    /// It was tried for as long as [`Retry::age_ms_max`] allows.
    Expired,
}

impl DeliveryState {
    /// Every state.
    pub const ALL: [DeliveryState; 4] = [
        DeliveryState::Pending,
        DeliveryState::Delivered,
        DeliveryState::Refused,
        DeliveryState::Expired,
    ];

    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            DeliveryState::Pending => "pending",
            DeliveryState::Delivered => "delivered",
            DeliveryState::Refused => "refused",
            DeliveryState::Expired => "expired",
        }
    }
}

/// One notification of one alert on one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Delivery {
    /// Its number.
    pub id: i64,
    /// The idempotency key: `<alert>:<channel>:<kind>`.
    pub key: String,
    /// The alert.
    pub alert: String,
    /// The channel's name.
    pub channel: String,
    /// What it tells: `raised`.
    pub kind: String,
    /// Where it stands.
    pub state: DeliveryState,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was written.
    pub created_at: Millis,
    /// When it is tried next, while pending.
    pub next_at: Millis,
    /// When it was delivered or given up.
    pub settled_at: Option<Millis>,
    /// What went wrong last.
    pub error: Option<String>,
}

/// How often and for how long a notification is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// The wait after the first failure, in milliseconds; doubles with each.
    pub first_ms: i64,
    /// The longest wait, in milliseconds.
    pub wait_ms_max: i64,
    /// How old a notification may be when it is tried again, in milliseconds. It is always tried once.
    pub age_ms_max: i64,
}

impl Default for Retry {
    fn default() -> Retry {
        Retry {
            first_ms: 1_000,
            wait_ms_max: 10 * 60_000,
            age_ms_max: 24 * 3_600_000,
        }
    }
}

impl Retry {
    /// The wait after failure number `attempts` (from 1): doubled each time, bounded, less up to a quarter that is
    /// computed from the key, so that a thousand notifications which failed together do not return together.
    #[must_use]
    pub fn wait_ms(&self, key: &str, attempts: u32) -> i64 {
        let doubled = self
            .first_ms
            .saturating_mul(1_i64.checked_shl(attempts.saturating_sub(1).min(40)).unwrap_or(1));
        let wait = doubled.clamp(1, self.wait_ms_max.max(1));
        let digest = Sha256::new()
            .chain_update(key)
            .chain_update(attempts.to_be_bytes())
            .finalize();
        let part = i64::from(u16::from_be_bytes([digest[0], digest[1]]));
        wait - (wait / 4).saturating_mul(part) / 65_536
    }
}

impl Store {
    /// The notifications of a channel that are to be sent at `now`, the longest due first.
    ///
    /// # Errors
    /// The disk's, or a row that does not read back.
    pub fn due(&self, channel: &str, now: Millis, limit: usize) -> Result<Vec<Notice>, Error> {
        let sql = "SELECT id, key, alert, kind, created_at, finding FROM outbox
                   WHERE channel = ?1 AND state = 'pending' AND next_at <= ?2 ORDER BY next_at, id LIMIT ?3";
        type Stored = (i64, String, String, String, i64, String);
        let read = || -> Result<Vec<Stored>, rusqlite::Error> {
            let row = |r: &Row<'_>| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?, r.get(5)?));
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            self.connection
                .prepare_cached(sql)?
                .query_map(params![channel, now.0, limit], row)?
                .collect()
        };
        let notice = |(id, key, alert, kind, created_at, finding): Stored| {
            let finding: Finding = serde_json::from_str(&finding).map_err(|e| Error::Damaged {
                id: alert.clone(),
                what: "notification",
                given: e.to_string(),
            })?;
            Ok(Notice {
                id,
                key,
                kind,
                created_at: Millis(created_at),
                finding,
            })
        };
        read().map_err(|e| self.sqlite(e))?.into_iter().map(notice).collect()
    }

    /// When the next pending notification of a channel is to be sent; none if none is pending.
    ///
    /// # Errors
    /// The disk's.
    pub fn next_due(&self, channel: &str) -> Result<Option<Millis>, Error> {
        let sql = "SELECT min(next_at) FROM outbox WHERE channel = ?1 AND state = 'pending'";
        let next: Option<i64> = self
            .connection
            .query_row(sql, [channel], |r| r.get(0))
            .map_err(|e| self.sqlite(e))?;
        Ok(next.map(Millis))
    }

    /// The channel took it.
    ///
    /// # Errors
    /// The caller's: no such delivery; the disk's.
    pub fn delivered(&mut self, id: i64, now: Millis) -> Result<(), Error> {
        self.settle(id, DeliveryState::Delivered, None, now)
    }

    /// The channel refused it for good: kept, visible, not tried again.
    ///
    /// # Errors
    /// The caller's: no such delivery; the disk's.
    pub fn refused(&mut self, id: i64, now: Millis, error: &str) -> Result<(), Error> {
        self.settle(id, DeliveryState::Refused, Some(error), now)
    }

    /// It did not get through this time. Tried again later (not before `after_ms`, where the channel asked for it), or
    /// given up where it would be too old by then.
    ///
    /// # Errors
    /// The caller's: no such delivery; the disk's.
    pub fn failed(
        &mut self,
        id: i64,
        now: Millis,
        error: &str,
        after_ms: Option<i64>,
        retry: &Retry,
    ) -> Result<DeliveryState, Error> {
        let Delivery {
            key,
            attempts,
            created_at,
            ..
        } = self.delivery(id)?;
        let wait = retry
            .wait_ms(&key, attempts.saturating_add(1))
            .max(after_ms.unwrap_or(0).min(retry.wait_ms_max));
        let next = now + wait;
        if next - created_at > retry.age_ms_max {
            self.settle(id, DeliveryState::Expired, Some(error), now)?;
            return Ok(DeliveryState::Expired);
        }
        let sql = "UPDATE outbox SET attempts = attempts + 1, next_at = ?2, error = ?3 WHERE id = ?1";
        self.connection
            .execute(sql, params![id, next.0, shortened(error)])
            .map_err(|e| self.sqlite(e))?;
        Ok(DeliveryState::Pending)
    }

    /// Tries a refused or expired notification again, with its age counted from `now`.
    ///
    /// # Errors
    /// The caller's: no such delivery; the disk's.
    pub fn requeue(&mut self, id: i64, now: Millis) -> Result<(), Error> {
        let sql = "UPDATE outbox SET state = 'pending', attempts = 0, created_at = ?2, next_at = ?2, settled_at = NULL
                   WHERE id = ?1 AND state IN ('refused', 'expired')";
        let changed = self
            .connection
            .execute(sql, params![id, now.0])
            .map_err(|e| self.sqlite(e))?;
        if changed == 0 {
            Err(Error::NoDelivery { given: id })
        } else {
            Ok(())
        }
    }

    /// The notifications in a state, the newest first.
    ///
    /// # Errors
    /// The disk's.
    pub fn deliveries(&self, state: DeliveryState, limit: usize) -> Result<Vec<Delivery>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM outbox WHERE state = ?1 ORDER BY id DESC LIMIT ?2");
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read(&sql, params![state.name(), limit])
    }

    pub(crate) fn deliveries_of(&self, alert: &str) -> Result<Vec<Delivery>, Error> {
        self.read(
            &format!("SELECT {COLUMNS} FROM outbox WHERE alert = ?1 ORDER BY id"),
            [alert],
        )
    }

    fn delivery(&self, id: i64) -> Result<Delivery, Error> {
        let mut found = self.read(&format!("SELECT {COLUMNS} FROM outbox WHERE id = ?1"), [id])?;
        found.pop().ok_or(Error::NoDelivery { given: id })
    }

    fn settle(&mut self, id: i64, state: DeliveryState, error: Option<&str>, now: Millis) -> Result<(), Error> {
        let sql = "UPDATE outbox SET state = ?2, attempts = attempts + 1, settled_at = ?3, error = ?4 WHERE id = ?1";
        let values = params![id, state.name(), now.0, error.map(shortened)];
        let changed = self.connection.execute(sql, values).map_err(|e| self.sqlite(e))?;
        if changed == 0 {
            Err(Error::NoDelivery { given: id })
        } else {
            Ok(())
        }
    }

    fn read(&self, sql: &str, values: impl rusqlite::Params) -> Result<Vec<Delivery>, Error> {
        let read = || -> Result<Vec<Delivery>, rusqlite::Error> {
            self.connection
                .prepare_cached(sql)?
                .query_map(values, delivery)?
                .collect()
        };
        read().map_err(|e| self.sqlite(e))
    }
}

/// Writes a row for each channel; a row that is there already stays as it is.
pub(crate) fn enqueue(
    tx: &Transaction<'_>,
    finding: &Finding,
    channels: &[String],
    json: &str,
    now: Millis,
) -> Result<(), rusqlite::Error> {
    let sql = "INSERT OR IGNORE INTO outbox (key, alert, channel, kind, created_at, state, next_at, finding)
               VALUES (?1, ?2, ?3, 'raised', ?4, 'pending', ?4, ?5)";
    let mut put = tx.prepare_cached(sql)?;
    for channel in channels {
        let key = format!("{}:{channel}:raised", finding.uid);
        put.execute(params![key, finding.uid, channel, now.0, json])?;
    }
    Ok(())
}

const COLUMNS: &str = "id, key, alert, channel, kind, state, attempts, created_at, next_at, settled_at, error";

fn delivery(row: &Row<'_>) -> Result<Delivery, rusqlite::Error> {
    let state: String = row.get(5)?;
    let state = DeliveryState::ALL.into_iter().find(|s| s.name() == state);
    Ok(Delivery {
        id: row.get(0)?,
        key: row.get(1)?,
        alert: row.get(2)?,
        channel: row.get(3)?,
        kind: row.get(4)?,
        state: state.ok_or_else(|| rusqlite::Error::InvalidColumnName("outbox.state".into()))?,
        attempts: row.get(6)?,
        created_at: Millis(row.get(7)?),
        next_at: Millis(row.get(8)?),
        settled_at: row.get::<_, Option<i64>>(9)?.map(Millis),
        error: row.get(10)?,
    })
}

fn shortened(error: &str) -> &str {
    &error[..error.floor_char_boundary(ERROR_BYTES_MAX)]
}
