//! Bytes to batches: reads the ledger as it grows, puts records together that are one event, normalizes, leaves
//! duplicates out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::Duration;

use detect::engine::Detector;
use ingest::batcher::batches;
use ingest::dedup::Dedup;
use ingest::join::{Assembler, Piece, Whole};
use ingest::{Normalized, Normalizer};
use ledger::Reader;
use model::{Entry, Event, LedgerIndex, Millis, RawRecord, Wanted};
use search::Place;
use tokio::sync::watch;

use super::mended::{self, Mended};
use super::{Group, hand_on};
use crate::accounts::{Accounts, Counted, Outcome};
use crate::policies::Site;

/// Records that a group holds at most.
const GROUP_RECORDS: usize = 2048;
/// Bytes of records that a group holds at most (one larger record is a group of its own).
const GROUP_BYTES: usize = 2 << 20;
/// How long a quiet ledger is waited for before the stop flag is looked at.
const WAIT: Duration = Duration::from_millis(100);

/// The stage.
pub struct Normalize {
    /// Reads beside the writer.
    pub reader: Arc<Reader>,
    /// What is durable, and so may be read.
    pub durable: watch::Receiver<LedgerIndex>,
    /// Formats.
    pub normalizer: Arc<Normalizer>,
    /// Records that wait for others.
    pub assembler: Assembler,
    /// Duplicates within seven days.
    pub dedup: Dedup,
    /// Columns to build.
    pub wanted: Wanted,
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
        stages: &[SyncSender<Arc<Group>>],
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
            let entries = apart(self.reader.read(next, records, GROUP_BYTES)?);
            let Some(last) = entries.last() else {
                anyhow::bail!("the ledger holds no leaf {next}, although {durable} are durable");
            };
            let end = last.index.next();
            let group = self.group(next, end, entries)?;
            if !hand_on(group, stages) {
                return Ok(());
            }
            next = end;
        }
    }

    fn group(&mut self, from: LedgerIndex, to: LedgerIndex, entries: Vec<Entry>) -> anyhow::Result<Group> {
        let mut made = Made::default();
        let mut span = Vec::with_capacity(entries.len());
        for Entry { index, record } in entries {
            span.push((index, record.received_at));
            for whole in self.assembler.advance(record.received_at) {
                self.whole(index, &whole, &mut made);
            }
            if let Some(list) = mended::of(&record) {
                self.mended(index, record.received_at, &list, &mut made)?;
            }
            match self.normalizer.piece(&record) {
                Some(piece) => self.piece(index, record, piece, &mut made)?,
                None => self.record(index, &record, &mut made)?,
            }
        }
        let mut dedup = self.dedup.take_delta();
        dedup.position = to;
        self.tell();
        let site = self.sites.try_iter().reduce(|before, site| Site {
            policies: site.policies.or(before.policies),
            ..site
        });
        if let Some(policies) = site.as_ref().and_then(|s| s.policies.as_ref()) {
            self.wanted = Detector::wanted_by(&policies.policies, &policies.rules);
            self.wanted.extend(search::wanted());
        }
        Ok(Group {
            site,
            range: from..to,
            span,
            batches: batches(&made.events, &self.wanted),
            places: made.places,
            replaced: made.replaced,
            joins: self.assembler.state().into(),
            held: self.assembler.held(),
            due: self.assembler.due(),
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

    /// A record that is an event of its own.
    fn record(&mut self, index: LedgerIndex, record: &RawRecord, made: &mut Made) -> anyhow::Result<()> {
        let normalized = self.normalizer.normalize(record);
        let duplicate = self.repeats(index, record.received_at, normalized.dedup)?;
        made.count(record.received_at, &record.source, &normalized, duplicate);
        if !duplicate {
            made.take(index, record.received_at, &record.source, normalized);
        }
        Ok(())
    }

    fn repeats(&mut self, index: LedgerIndex, received_at: Millis, key: Option<[u8; 16]>) -> anyhow::Result<bool> {
        match key {
            Some(key) => Ok(self.dedup.check(index, received_at, key)?.is_some()),
            None => Ok(false),
        }
    }

    /// A record that waits for others. A repeated one is left out before it is joined.
    fn piece(&mut self, index: LedgerIndex, record: RawRecord, piece: Piece, made: &mut Made) -> anyhow::Result<()> {
        if self.repeats(index, record.received_at, piece.dedup(&record))? {
            let counted = Counted {
                outcome: Outcome::Deduplicated,
                received_at: record.received_at,
                time: None,
                reason: None,
                labels: &[],
            };
            made.accounts.count(&record.source, counted);
            return Ok(());
        }
        for whole in self.assembler.push(index, record, piece) {
            self.whole(index, &whole, made);
        }
        Ok(())
    }

    /// Records that were put together, given out at leaf `at`.
    fn whole(&self, at: LedgerIndex, whole: &Whole, made: &mut Made) {
        let normalized = self.normalizer.normalize_whole(whole);
        for line in &whole.lines {
            made.count(line.received_at, &whole.record.source, &normalized, false);
        }
        if whole.lines.iter().any(|line| line.index != at) {
            made.place(whole);
        }
        made.take(at, whole.record.received_at, &whole.record.source, normalized);
    }

    /// Normalizes records again, at leaf `at`. Their events are judged as of now: what they are joined with may not have been
    /// there when they came, and records that come together are judged together.
    fn mended(&mut self, at: LedgerIndex, now: Millis, list: &[Mended], made: &mut Made) -> anyhow::Result<()> {
        let mut seen = BTreeSet::new();
        for Mended { reason, leaves } in list {
            let earlier = leaves.iter().filter(|leaf| **leaf < at);
            let records = earlier
                .map(|leaf| self.reader.entry(*leaf).map(|e| (e.index, e.record)))
                .collect::<Result<Vec<_>, _>>()?;
            let Some(whole) = Whole::of(&records) else { continue };
            let normalized = self.normalizer.normalize_whole(&whole);
            if normalized.quarantined.is_some() {
                // The parsers have changed since the act; it stays as it is.
                continue;
            }
            let received_at = whole.record.received_at;
            let key = normalized.dedup.filter(|_| whole.lines.len() == 1);
            let duplicate = key.is_some_and(|key| !seen.insert(key)) || self.repeats(at, received_at, key)?;
            let outcome = if duplicate {
                Outcome::Deduplicated
            } else {
                Outcome::Stored
            };
            for line in &whole.lines {
                made.accounts
                    .mend(&whole.record.source, reason, line.received_at, outcome);
            }
            made.replaced.extend(whole.lines.first().map(|line| line.index));
            if !duplicate {
                made.place(&whole);
                made.take(at, now, &whole.record.source, normalized);
            }
        }
        Ok(())
    }
}

/// What a group's records became.
#[derive(Default)]
struct Made {
    events: Vec<(LedgerIndex, Millis, Arc<str>, Event)>,
    places: BTreeMap<Arc<str>, Place>,
    replaced: Vec<LedgerIndex>,
    accounts: Accounts,
}

/// An act that normalizes records again is a group of its own: what it replaces may not come in the same one.
fn apart(mut entries: Vec<Entry>) -> Vec<Entry> {
    if let Some(act) = entries.iter().position(|e| mended::of(&e.record).is_some()) {
        entries.truncate(act.max(1));
    }
    entries
}

impl Made {
    fn count(&mut self, received_at: Millis, source: &Arc<str>, normalized: &Normalized, duplicate: bool) {
        let outcome = match normalized.quarantined {
            _ if duplicate => Outcome::Deduplicated,
            Some(_) => Outcome::Quarantined,
            None => Outcome::Stored,
        };
        let labels = labels(&normalized.events);
        let counted = Counted {
            outcome,
            received_at,
            time: normalized.events.first().map(|e| e.time),
            reason: normalized.quarantined.map(|q| q.0),
            labels: &labels,
        };
        self.accounts.count(source, counted);
    }

    fn place(&mut self, whole: &Whole) {
        let place = Place {
            leaves: whole.lines.iter().map(|line| line.index).collect(),
            received_at: whole.record.received_at,
        };
        self.places.insert(whole.record.coordinate.to_string().into(), place);
    }

    fn take(&mut self, at: LedgerIndex, received_at: Millis, source: &Arc<str>, normalized: Normalized) {
        let events = normalized.events.into_iter();
        self.events.extend(events.map(|e| (at, received_at, source.clone(), e)));
    }
}

/// What the events are labelled with, each once.
fn labels(events: &[Event]) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for event in events {
        let labels = event.ocsf.get("metadata").and_then(|m| m["labels"].as_array());
        for label in labels.into_iter().flatten().filter_map(|l| l.as_str()) {
            // Which records, and which numbers: of each there is one.
            if label.starts_with("record:") || label.starts_with("auditd.lost:") {
                continue;
            }
            if !out.iter().any(|known| known == label) {
                out.push(label.to_owned());
            }
        }
    }
    out
}
