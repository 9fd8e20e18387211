//! The line after the ledger: one thread normalizes, one judges, one indexes.
//!
//! ```text
//! ledger ──► normalize ──► Group ──┬─► backlog ─► judge (detector, alerts: one SQLite transaction)
//!                                  └─► index (position in the commit)
//! ```
//!
//! The index does not wait for the judge: groups that the judge has no time for wait in the [`backlog`].
//!
//! Each stage holds its own position; a restart replays the ledger from the least of them, in groups that
//! are cut at every stage's position, so that a stage takes a group whole or skips it whole.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;

use anyhow::Context as _;
use model::{Batch, LedgerIndex, Millis, Wanted};
use search::Place;

use crate::accounts::Accounts;
use crate::policies::Site;

mod backlog;
mod gaps;
mod index;
pub mod joins;
mod judge;
mod make;
pub mod mended;
mod normalize;
#[cfg(test)]
mod tests;

pub use gaps::Gaps;
pub use index::Index;
pub use judge::{Judge, Progress};
pub use make::Maker;
pub use normalize::Normalize;

/// Groups that may wait before the index; more make the normalizer wait. A group of one large record is many
/// times its size in columns, so few may wait.
const QUEUE_GROUPS: usize = 2;

/// A contiguous piece of the ledger, normalized.
#[derive(Debug)]
pub struct Group {
    /// The leaves it holds.
    pub range: Range<LedgerIndex>,
    /// Bytes of their payloads.
    pub bytes: usize,
    /// Which records repeat others, in the order in which it was asked.
    pub verdicts: Vec<bool>,
    /// Every record's index and `received_at`, in order.
    pub span: Vec<(LedgerIndex, Millis)>,
    /// The events that they give out, without duplicates: their own, and those of records that were held before.
    pub batches: Vec<Batch>,
    /// By record id, events that are of other leaves than the one that gave them out.
    pub places: BTreeMap<Arc<str>, Place>,
    /// Records (their first leaves) whose events take the place of those that they gave before.
    pub replaced: Vec<LedgerIndex>,
    /// What waits for more records after it, to be stored with the position ([`ingest::join`]).
    pub joins: Arc<str>,
    /// The first leaf that waits.
    pub held: Option<LedgerIndex>,
    /// When what waits is given out at the latest, by engine time.
    pub due: Option<Millis>,
    /// What the duplicate check learned, to be stored with the judgement.
    pub dedup: model::Delta,
    /// What became of the records, by source.
    pub accounts: Accounts,
    /// What judges from this group on, where it changed. Its columns are there from this group on, too.
    pub site: Option<Site>,
}

/// The stages, made but not started.
pub struct Line {
    /// Bytes to batches.
    pub normalize: Normalize,
    /// Batches to findings and alerts.
    pub judge: Judge,
    /// Batches to the index.
    pub index: Index,
}

/// The running threads.
pub struct Running {
    threads: Vec<JoinHandle<anyhow::Result<()>>>,
    stop: Arc<AtomicBool>,
}

impl Line {
    /// The columns that the stages want.
    pub fn wanted(detector: &detect::engine::Detector) -> Wanted {
        let mut wanted = detector.wanted().clone();
        wanted.extend(search::wanted());
        wanted
    }

    /// Starts the threads. When one fails, `failed` is told, and the others stop.
    ///
    /// # Errors
    /// The machine's: no thread can be started.
    pub fn start(self, failed: tokio::sync::mpsc::UnboundedSender<anyhow::Error>) -> anyhow::Result<Running> {
        let stop = Arc::new(AtomicBool::new(false));
        let (to_judge, judge_in) = backlog::backlog(backlog::WHOLE_BYTES_MAX);
        let (to_index, index_in) = sync_channel::<Arc<Group>>(QUEUE_GROUPS);
        let Line {
            normalize,
            mut judge,
            mut index,
        } = self;
        let cuts = [judge.position(), index.position()];
        let (halt, ending) = (stop.clone(), stop.clone());
        let threads = vec![
            spawn("normalize", failed.clone(), move || {
                normalize.run(&cuts, &to_judge, &to_index, &halt)
            })?,
            spawn("judge", failed.clone(), move || judge.run(&judge_in, &ending))?,
            spawn("index", failed, move || index.run(&index_in))?,
        ];
        Ok(Running { threads, stop })
    }
}

impl Running {
    /// Lets the stages finish what they hold, and stores it; a judge who is far behind goes on at the next start.
    ///
    /// # Errors
    /// What a stage failed of.
    pub fn stop(self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread
                .join()
                .map_err(|_| anyhow::anyhow!("a stage of the line panicked"))??;
        }
        Ok(())
    }
}

fn spawn(
    name: &'static str,
    failed: tokio::sync::mpsc::UnboundedSender<anyhow::Error>,
    run: impl FnOnce() -> anyhow::Result<()> + Send + 'static,
) -> anyhow::Result<JoinHandle<anyhow::Result<()>>> {
    std::thread::Builder::new()
        .name(name.into())
        .spawn(move || {
            // A panic is a bug of ours; it must stop the server as loudly as an error does.
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
            let error = match result {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => error.context(format!("stage `{name}`")),
                Err(_) => anyhow::anyhow!("stage `{name}` panicked"),
            };
            tracing::error!(error = format!("{error:#}"), stage = name, "Stage stopped.");
            let _ = failed.send(error);
            Ok(())
        })
        .with_context(|| format!("starting the thread `{name}`"))
}
