//! The file `alerts.sqlite`: write-ahead log, every commit synced to disk.
//!
//! Any number of [`Store`]s may be open on one file, in one process or several: readers never wait, writers
//! take turns (each waits up to [`BUSY_MS_MAX`]). The detector's thread, each courier and the API have their own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use model::{Delta, Finding, LedgerIndex, Millis, StateKey, StateStore, StateValue};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior, params};

use crate::{Committed, Error, raise, schema};

/// The file's name in the data folder.
pub const FILE_NAME: &str = "alerts.sqlite";

/// Who did it, where no person did.
pub const ENGINE: &str = "engine";

/// How long a writer waits for another, in milliseconds.
const BUSY_MS_MAX: u64 = 30_000;
/// Memory for pages of the file, at most (one more connection than the detector's rarely uses it).
const CACHE_KIB: i64 = 32 << 10;
/// Pages (4 KiB) in the log after which it goes to the file.
const CHECKPOINT_PAGES: i64 = 8_000;

/// The detector's state and position, the alerts and the outbox.
pub struct Store {
    pub(crate) connection: Connection,
    pub(crate) path: PathBuf,
    channels: Vec<String>,
}

impl Store {
    /// Opens the file, makes it where it is missing, and brings its tables up to date.
    ///
    /// # Errors
    /// The operator's: the file cannot be opened, belongs to another program, or to a newer Docket.
    pub fn open(path: impl Into<PathBuf>) -> Result<Store, Error> {
        let path = path.into();
        create_private(&path).map_err(|source| Error::File {
            path: path.clone(),
            source,
        })?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags);
        let connection = connection.map_err(|source| Error::Sqlite {
            path: path.clone(),
            source,
        })?;
        let mut store = Store {
            connection,
            path,
            channels: Vec::new(),
        };
        store.prepare()?;
        Ok(store)
    }

    /// Names the channels that each new alert is told on. None by default: no outbox rows are written then.
    #[must_use]
    pub fn with_channels(mut self, channels: impl IntoIterator<Item = impl Into<String>>) -> Store {
        self.channels = channels.into_iter().map(Into::into).collect();
        self.channels.sort();
        self.channels.dedup();
        self
    }

    /// Writes, in one transaction: the deltas in order, the position of the last one, what the findings change in the
    /// alerts, and an outbox row for each new alert and channel. `now` is when it is written.
    ///
    /// The same call twice changes nothing more. Without deltas the position stays.
    ///
    /// # Errors
    /// The pipeline's, where the position would go back; the disk's. Nothing was written then.
    pub fn commit(&mut self, deltas: &[Delta], findings: &[Finding], now: Millis) -> Result<Committed, Error> {
        let Store {
            connection,
            path,
            channels,
        } = self;
        let sqlite = |source| Error::Sqlite {
            path: path.clone(),
            source,
        };
        fail::fail_point!("commit::begin");
        let tx = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(sqlite)?;
        fail::fail_point!("commit::opened");
        let held = position(&tx).map_err(sqlite)?;
        if let Some(given) = backwards(held, deltas) {
            return Err(Error::Backwards { held, given });
        }
        fail::fail_point!("commit::checked");
        apply(&tx, deltas).map_err(sqlite)?;
        let mut committed = Committed::default();
        for finding in findings {
            fail::fail_point!("commit::finding");
            raise::apply(&tx, path, finding, channels, now, &mut committed)?;
        }
        fail::fail_point!("commit::last");
        tx.commit().map_err(sqlite)?;
        fail::fail_point!("commit::done");
        Ok(committed)
    }

    /// The position: the index of the next leaf that the detector has to handle.
    ///
    /// # Errors
    /// The disk's.
    pub fn position(&self) -> Result<LedgerIndex, Error> {
        position(&self.connection).map_err(|e| self.sqlite(e))
    }

    /// The state whose keys start with `kind`, in key order.
    ///
    /// # Errors
    /// The disk's.
    pub fn state_of(&self, kind: u8) -> Result<Vec<(StateKey, StateValue)>, Error> {
        let read = || -> Result<Vec<_>, rusqlite::Error> {
            let sql = "SELECT key, value FROM state WHERE key >= ?1 AND (?2 IS NULL OR key < ?2) ORDER BY key";
            let end = kind.checked_add(1).map(|k| vec![k]);
            self.connection
                .prepare(sql)?
                .query_map(params![[kind], end], |r| Ok((r.get(0)?, r.get(1)?)))?
                .collect()
        };
        read().map_err(|e| self.sqlite(e))
    }

    /// Keeps everybody else from writing until [`Store::release`], as a backup of the file does: who writes waits.
    ///
    /// # Errors
    /// The disk's; somebody else writes all the while.
    pub fn hold(&self) -> Result<(), Error> {
        self.connection
            .execute_batch("BEGIN IMMEDIATE")
            .map_err(|e| self.sqlite(e))
    }

    /// Lets them write again.
    ///
    /// # Errors
    /// The disk's; nothing was held.
    pub fn release(&self) -> Result<(), Error> {
        self.connection.execute_batch("ROLLBACK").map_err(|e| self.sqlite(e))
    }

    pub(crate) fn sqlite(&self, source: rusqlite::Error) -> Error {
        Error::Sqlite {
            path: self.path.clone(),
            source,
        }
    }

    fn prepare(&mut self) -> Result<(), Error> {
        let set = |c: &Connection| -> Result<i64, rusqlite::Error> {
            c.busy_timeout(Duration::from_millis(BUSY_MS_MAX))?;
            // Read before anything is written into what may be somebody else's file.
            c.pragma_query_value(None, "application_id", |r| r.get(0))
        };
        let found = set(&self.connection).map_err(|e| self.sqlite(e))?;
        if found != 0 && found != schema::APPLICATION_ID {
            return Err(Error::Foreign {
                path: self.path.clone(),
                found,
            });
        }
        let set = |c: &Connection| -> Result<(), rusqlite::Error> {
            c.pragma_update(None, "journal_mode", "WAL")?;
            // An alert that was acknowledged to the ledger's position must survive a power cut.
            c.pragma_update(None, "synchronous", "FULL")?;
            // What a busy second writes stays in memory until it is written once, and goes from the log to the file together.
            c.pragma_update(None, "cache_size", -CACHE_KIB)?;
            c.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
            c.set_prepared_statement_cache_capacity(64);
            Ok(())
        };
        set(&self.connection).map_err(|e| self.sqlite(e))?;
        match schema::migrate(&mut self.connection) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(found)) => Err(Error::NewerSchema {
                path: self.path.clone(),
                found,
                known: schema::MIGRATIONS.len() as i64,
            }),
            Err(source) => Err(self.sqlite(source)),
        }
    }
}

impl StateStore for Store {
    type Error = Error;

    fn load(&self) -> Result<(LedgerIndex, Vec<(StateKey, StateValue)>), Error> {
        let read = || -> Result<_, rusqlite::Error> {
            // One read transaction: position and state are of the same commit.
            let tx = self.connection.unchecked_transaction()?;
            let position = position(&tx)?;
            let state = tx
                .prepare("SELECT key, value FROM state ORDER BY key")?
                .query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?
                .collect::<Result<Vec<_>, _>>()?;
            Ok((position, state))
        };
        read().map_err(|e| self.sqlite(e))
    }
}

fn position(connection: &Connection) -> Result<LedgerIndex, rusqlite::Error> {
    let next: Option<i64> = connection
        .query_row("SELECT next_leaf FROM position", [], |r| r.get(0))
        .optional()?;
    Ok(LedgerIndex(next.map_or(0, |n| u64::try_from(n).unwrap_or(0))))
}

/// The first position that is less than the one before it.
fn backwards(held: LedgerIndex, deltas: &[Delta]) -> Option<LedgerIndex> {
    let mut last = held;
    for delta in deltas {
        if delta.position < last {
            return Some(delta.position);
        }
        last = delta.position;
    }
    None
}

fn apply(tx: &Transaction<'_>, deltas: &[Delta]) -> Result<(), rusqlite::Error> {
    let Some(last) = deltas.last() else { return Ok(()) };
    let mut put = tx.prepare_cached("INSERT OR REPLACE INTO state (key, value) VALUES (?1, ?2)")?;
    let mut delete = tx.prepare_cached("DELETE FROM state WHERE key = ?1")?;
    for delta in deltas {
        for (key, value) in &delta.put {
            put.execute(params![key, value])?;
            fail::fail_point!("state::put");
        }
        fail::fail_point!("state::all_put");
        for key in &delta.delete {
            delete.execute(params![key])?;
            fail::fail_point!("state::deleted");
        }
    }
    fail::fail_point!("state::position");
    // A ledger index fits: 2^63 leaves are never written.
    let next = i64::try_from(last.position.0).unwrap_or(i64::MAX);
    tx.execute("UPDATE position SET next_leaf = ?1", [next])?;
    fail::fail_point!("state::positioned");
    Ok(())
}

/// Evidence is nobody else's to read. SQLite gives its `-wal` and `-shm` files the mode of this one.
fn create_private(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options.open(path).map(drop)
}
