//! The tables of `alerts.sqlite`.
//!
//! `application_id` is `DKAL`; `user_version` counts the migrations applied. A migration is never edited once
//! released: a change is a new one at the end of [`MIGRATIONS`], with a line below that says what it is for.
//!
//! 1. position, state, alerts with clauses and history, outbox.
//! 2. rows of the duplicate check (kind `D`) begin with the leaf, no longer with the hash: what comes together lies together.

use rusqlite::{Connection, TransactionBehavior};

/// `DKAL`, as SQLite's `application_id`.
pub(crate) const APPLICATION_ID: i64 = 0x444b_414c;

/// Migration `n` (from 1) is item `n - 1`.
pub(crate) const MIGRATIONS: &[&str] = &[
    "
    -- The index of the next ledger leaf that the detector has to handle.
    CREATE TABLE position (
        one         INTEGER PRIMARY KEY CHECK (one = 1),
        next_leaf   INTEGER NOT NULL CHECK (next_leaf >= 0)
    ) STRICT;
    INSERT INTO position VALUES (1, 0);

    -- The detector's and the normalizer's state; a key's first byte tells the kind. Compared as bytes.
    CREATE TABLE state (
        key         BLOB PRIMARY KEY,
        value       BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE alerts (
        seq         INTEGER PRIMARY KEY AUTOINCREMENT,  -- order of raising; never used twice
        id          TEXT NOT NULL UNIQUE,               -- finding_info.uid
        status      TEXT NOT NULL,                      -- Status::name
        verdict     TEXT,                               -- Verdict::name
        owner       TEXT,
        severity    INTEGER NOT NULL,                   -- OCSF severity_id
        policy      TEXT NOT NULL,                      -- PolicyRef::id
        account     TEXT,
        person      TEXT,
        raised_at   INTEGER NOT NULL,                   -- ms since the epoch, as all times here
        updated_at  INTEGER NOT NULL,
        revision    INTEGER NOT NULL DEFAULT 0,
        notified    INTEGER NOT NULL DEFAULT 0,         -- 1 once it held, so that it is told of once only
        finding     TEXT NOT NULL                       -- model::Finding as JSON
    ) STRICT;
    CREATE INDEX alerts_status ON alerts (status, seq);
    CREATE INDEX alerts_person ON alerts (person, seq) WHERE person IS NOT NULL;
    CREATE INDEX alerts_account ON alerts (account, seq) WHERE account IS NOT NULL;

    CREATE TABLE alert_clauses (
        clause      TEXT NOT NULL,
        alert       TEXT NOT NULL,
        PRIMARY KEY (clause, alert)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX alert_clauses_alert ON alert_clauses (alert);

    -- The history; append-only.
    CREATE TABLE alert_events (
        seq         INTEGER PRIMARY KEY AUTOINCREMENT,
        alert       TEXT NOT NULL,
        at          INTEGER NOT NULL,
        who         TEXT NOT NULL,
        action      TEXT NOT NULL,
        before      TEXT,
        after       TEXT NOT NULL,
        verdict     TEXT,
        comment     TEXT NOT NULL
    ) STRICT;
    CREATE INDEX alert_events_alert ON alert_events (alert, seq);

    -- Notifications. The finding is the one that raised the alert: a repeated attempt sends the same bytes.
    CREATE TABLE outbox (
        id          INTEGER PRIMARY KEY AUTOINCREMENT,
        key         TEXT NOT NULL UNIQUE,               -- <alert>:<channel>:<kind>
        alert       TEXT NOT NULL,
        channel     TEXT NOT NULL,
        kind        TEXT NOT NULL,
        created_at  INTEGER NOT NULL,
        state       TEXT NOT NULL,                      -- DeliveryState::name
        attempts    INTEGER NOT NULL DEFAULT 0,
        next_at     INTEGER NOT NULL,
        settled_at  INTEGER,
        error       TEXT,
        finding     TEXT NOT NULL
    ) STRICT;
    CREATE INDEX outbox_due ON outbox (channel, next_at, id) WHERE state = 'pending';
    CREATE INDEX outbox_alert ON outbox (alert);
    ",
    "
    CREATE TEMP TABLE firsts AS SELECT key, value FROM state WHERE key >= X'44' AND key < X'45' AND length(key) = 25;
    DELETE FROM state WHERE key IN (SELECT key FROM firsts);
    -- `||` makes text of bytes, and the cast the same bytes of it.
    INSERT INTO state SELECT CAST(X'44' || substr(key, 18, 8) || substr(key, 2, 16) AS BLOB), value FROM firsts;
    DROP TABLE firsts;
    ",
];

/// Brings the tables to the newest version. `Err(found)` where the file is newer than this program.
pub(crate) fn migrate(connection: &mut Connection) -> Result<Result<(), i64>, rusqlite::Error> {
    let known = MIGRATIONS.len() as i64;
    // One writer at a time: two processes that open a new file at once must not both create it.
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = tx.pragma_query_value(None, "user_version", |r| r.get(0))?;
    if found > known {
        return Ok(Err(found));
    }
    for migration in MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        tx.execute_batch(migration)?;
    }
    if found < known {
        tx.pragma_update(None, "user_version", known)?;
        tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    tx.commit()?;
    Ok(Ok(()))
}
