//! Bytes to batches: reads the ledger as it grows, and hands groups on to the judge and to the index.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::Duration;

use detect::engine::Detector;
use ingest::dedup::Dedup;
use model::{Entry, LedgerIndex};
use tokio::sync::watch;

use super::backlog::Giver;
use super::make::{Maker, Verdicts};
use super::{Group, mended};
use crate::policies::Site;

/// Records that a group holds at most.
pub const GROUP_RECORDS: usize = 2048;
/// Bytes of records that a group holds at most (one larger record is a group of its own).
pub const GROUP_BYTES: usize = 2 << 20;
/// How long a quiet ledger is waited for before the stop flag is looked at.
const WAIT: Duration = Duration::from_millis(100);

/// The stage.
pub struct Normalize {
    /// What is durable, and so may be read.
    pub durable: watch::Receiver<LedgerIndex>,
    /// Makes the columns that the stages want.
    pub maker: Maker,
    /// Duplicates within seven days.
    pub dedup: Dedup,
    /// Firsts that were given up, as far as that was told.
    pub forgotten: u64,
    /// Other tables and policies, to be used from the next group on.
    pub sites: Receiver<Site>,
}

impl Normalize {
    /// Runs until told to stop, or until a later stage has gone.
    pub fn run(
        mut self,
        cuts: &[LedgerIndex],
        judge: &Giver,
        index: &SyncSender<Arc<Group>>,
        stop: &AtomicBool,
    ) -> anyhow::Result<()> {
        let mut next = cuts.iter().copied().min().unwrap_or_default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        loop {
            let durable = *self.durable.borrow_and_update();
            if next >= durable {
                if stop.load(Ordering::Relaxed) {
                    return Ok(());
                }
                let changed = runtime.block_on(async { tokio::time::timeout(WAIT, self.durable.changed()).await });
                if let Ok(Err(_writer_gone)) = changed {
                    return Ok(());
                }
                continue;
            }
            // A group ends where a stage stands, so that the stage takes it whole or not at all.
            let cut = cuts
                .iter()
                .copied()
                .filter(|c| *c > next)
                .min()
                .map_or(durable, |c| c.min(durable));
            let records = usize::try_from(cut.0 - next.0).unwrap_or(usize::MAX).min(GROUP_RECORDS);
            let entries = apart(self.maker.reader.read(next, records, GROUP_BYTES)?);
            let Some(last) = entries.last() else {
                anyhow::bail!("the ledger holds no leaf {next}, although {durable} are durable");
            };
            let end = last.index.next();
            let group = self.group(next, end, &entries)?;
            // The judge first, who need not be waited for.
            let group = Arc::new(group);
            if !judge.put(&group) || index.send(group).is_err() {
                return Ok(());
            }
            next = end;
        }
    }

    pub(super) fn group(&mut self, from: LedgerIndex, to: LedgerIndex, entries: &[Entry]) -> anyhow::Result<Group> {
        let site = self.sites.try_iter().reduce(|before, site| Site {
            policies: site.policies.or(before.policies),
            ..site
        });
        if let Some(policies) = site.as_ref().and_then(|s| s.policies.as_ref()) {
            let mut wanted = Detector::wanted_by(&policies.policies, &policies.rules);
            wanted.extend(search::wanted());
            self.maker.want(&wanted);
        }
        let mut verdicts = Verdicts::Of(&mut self.dedup, Vec::with_capacity(entries.len()));
        let made = self.maker.make(entries, &mut verdicts)?;
        let told = match verdicts {
            Verdicts::Of(_, told) => told,
            Verdicts::Told(_) => Vec::new(),
        };
        let mut dedup = self.dedup.take_delta();
        dedup.position = to;
        self.tell();
        let assembler = &self.maker.assembler;
        Ok(Group {
            site,
            range: from..to,
            bytes: entries.iter().map(|e| e.record.payload.len()).sum(),
            verdicts: told,
            span: made.span,
            batches: made.batches,
            places: made.places,
            replaced: made.replaced,
            joins: assembler.state().into(),
            held: assembler.held(),
            due: assembler.due(),
            dedup,
            accounts: made.accounts,
        })
    }

    /// Tells how much of the last seven days is remembered.
    fn tell(&mut self) {
        metrics::gauge!("docket_dedup_firsts", "place" => "memory").set(self.dedup.len() as f64);
        metrics::gauge!("docket_dedup_firsts", "place" => "disk").set(self.dedup.on_disk() as f64);
        let forgotten = self.dedup.forgotten();
        metrics::counter!("docket_dedup_forgotten_total").absolute(forgotten);
        if forgotten > self.forgotten {
            self.forgotten = forgotten;
            tracing::error!(
                forgotten,
                "No room for all ids of seven days: repetitions of the oldest count as new. Raise [limits] duplicates."
            );
        }
    }
}

/// An act that normalizes records again is a group of its own: what it replaces may not come in the same one.
pub fn apart(mut entries: Vec<Entry>) -> Vec<Entry> {
    if let Some(act) = entries.iter().position(|e| mended::of(&e.record).is_some()) {
        entries.truncate(act.max(1));
    }
    entries
}
