//! Files that are followed, into the ledger (or Kafka).
//!
//! Positions are stored in `files.json` *after* the records are durable, together with how long the ledger was then.
//! What a kill leaves between the two is read from the headers of the records at the ledger's end, so that no line is
//! taken twice. Through Kafka, records carry a batch id instead, by which a repetition is told.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ingest::dedup::HEADER_BATCH;
use ingest::source::file::{Follower, HEADER_FILE_ID, HEADER_FILE_OFFSET, Line, Position, Settings, Watch, catch_up};
use model::LedgerIndex;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::app::App;
use crate::gateway::Gate;
use crate::kept::{self, write_whole};
use crate::spine::Incoming;

/// The positions in the data folder.
const FILE_NAME: &str = "files.json";
/// How often files are looked at for more.
const POLL: Duration = Duration::from_millis(250);
/// How often files are looked for, and positions stored while lines come.
const SCAN: Duration = Duration::from_secs(1);
/// Bytes of lines that share one append.
const READ_BYTES: usize = 1 << 20;
/// Leaves of the ledger read at once when positions are caught up.
const CATCH_UP_LEAVES: usize = 4096;
/// Bytes of leaves read at once then.
const CATCH_UP_BYTES: usize = 16 << 20;

/// What is stored.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Stored {
    /// How long the ledger was at least.
    ledger: LedgerIndex,
    positions: Vec<Position>,
}

/// Follows the files of the configuration until the server stops.
///
/// # Errors
/// The stored positions cannot be read.
pub fn start(
    watches: Vec<Watch>,
    data_dir: &Path,
    app: App,
    stop: watch::Receiver<bool>,
) -> anyhow::Result<Option<JoinHandle<()>>> {
    if watches.is_empty() {
        return Ok(None);
    }
    let path = data_dir.join(FILE_NAME);
    let positions = recover(&path, &watches, &app)?;
    tracing::info!(patterns = watches.len(), known = positions.len(), "Following files.");
    let settings = Settings::new(app.record_bytes_max);
    Ok(Some(tokio::task::spawn_blocking(move || {
        let follower = Follower::new(watches, settings, positions);
        Keeper {
            follower,
            app,
            stop,
            path,
            stored: Instant::now(),
            dirty: false,
        }
        .run();
    })))
}

/// The positions as stored, and what the ledger holds beyond them.
fn recover(path: &Path, watches: &[Watch], app: &App) -> anyhow::Result<Vec<Position>> {
    let advice = "remove it, and the files are read on from what the ledger holds of them";
    let stored: Option<Stored> = kept::read(path, advice)?;
    // Sources that have nothing in the ledger cannot have been read.
    let any = watches.iter().any(|w| app.embedded.contains_key(&*w.source));
    let Stored {
        mut ledger,
        mut positions,
    } = stored.unwrap_or_default();
    let durable = *app.spine.durable().borrow();
    while any && ledger < durable {
        let entries = app.reader.read(ledger, CATCH_UP_LEAVES, CATCH_UP_BYTES)?;
        let Some(last) = entries.last() else { break };
        ledger = last.index.next();
        for reached in entries.iter().filter_map(|e| Position::of_record(&e.record)) {
            catch_up(&mut positions, reached);
        }
    }
    Ok(positions)
}

struct Keeper {
    follower: Follower,
    app: App,
    stop: watch::Receiver<bool>,
    path: PathBuf,
    stored: Instant,
    dirty: bool,
}

impl Keeper {
    fn run(mut self) {
        let mut scanned: Option<Instant> = None;
        while !*self.stop.borrow() {
            let now = crate::clock::wall();
            if scanned.is_none_or(|at| at.elapsed() >= SCAN) {
                self.follower.scan(now);
                scanned = Some(Instant::now());
                self.tell();
            }
            let lines = self.follower.read(READ_BYTES, now);
            // Before records of a file are in the ledger, its position has to be known, from which all is told.
            if self.follower.take_news() {
                self.store();
            }
            let count = lines.len();
            if !self.keep(lines) {
                break;
            }
            self.follower.acknowledge();
            self.dirty |= count > 0;
            if self.dirty && (count == 0 || self.stored.elapsed() >= SCAN) {
                self.store();
            }
            if count == 0 {
                std::thread::sleep(POLL);
            }
        }
        if self.dirty {
            self.store();
        }
    }

    /// Returns once the lines are durable; `false` where the server stops before they are.
    fn keep(&self, lines: Vec<Line>) -> bool {
        if lines.is_empty() {
            return true;
        }
        let count = lines.len() as u64;
        let through_kafka = matches!(self.app.gate, Gate::Kafka(_));
        let received_at = self.app.clock.now();
        let records: Vec<Incoming> = lines
            .into_iter()
            .map(|line| {
                let mut headers = line.headers;
                headers.extend(through_kafka.then(|| batch_id(&headers)).flatten());
                Incoming {
                    source: line.source,
                    peer: Some(Arc::from("file")),
                    payload: line.payload,
                    truncated: line.truncated,
                    received_at,
                    headers,
                }
            })
            .collect();
        let runtime = tokio::runtime::Handle::current();
        // A file waits: it is read on when the ledger takes records again.
        while let Err(error) = runtime.block_on(self.app.gate.keep(records.clone())) {
            tracing::warn!(%error, "Lines of files not kept, trying again.");
            std::thread::sleep(Duration::from_secs(1));
            if *self.stop.borrow() {
                return false;
            }
        }
        metrics::counter!("docket_file_lines_total").increment(count);
        true
    }

    fn store(&mut self) {
        let stored = Stored {
            ledger: *self.app.spine.durable().borrow(),
            positions: self.follower.positions(),
        };
        let bytes = serde_json::to_vec(&stored).expect("positions are JSON");
        match write_whole(&self.path, &bytes) {
            Ok(()) => self.dirty = false,
            // The ledger has the positions, too; the next start reads more of it.
            Err(error) => tracing::warn!(error = format!("{error:#}"), "Positions of files not stored."),
        }
        self.stored = Instant::now();
    }

    fn tell(&mut self) {
        for trouble in self.follower.take_troubles() {
            tracing::warn!(path = %trouble.path.display(), error = trouble.error, "File not read, trying again.");
        }
        metrics::gauge!("docket_files_followed").set(self.follower.files() as f64);
        metrics::gauge!("docket_files_in_trouble").set(self.follower.troubles() as f64);
    }
}

/// What the same line has when it is sent again.
fn batch_id(headers: &[(String, Bytes)]) -> Option<(String, Bytes)> {
    let text = |name: &str| {
        let (_, value) = headers.iter().find(|(n, _)| n == name)?;
        std::str::from_utf8(value).ok()
    };
    let mut id = text(HEADER_FILE_ID)?.split('-');
    // The hash is of more bytes once the file has grown: device and inode do, with the offset and the bytes.
    let (device, inode, offset) = (id.next()?, id.next()?, text(HEADER_FILE_OFFSET)?);
    Some((
        HEADER_BATCH.to_owned(),
        Bytes::from(format!("file-{device}-{inode}/{offset}")),
    ))
}
