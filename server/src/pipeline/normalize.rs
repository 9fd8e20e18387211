//! Bytes to batches: reads the ledger as it grows, puts records together that are one event, normalizes, leaves
//! duplicates out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::Duration;

use detect::engine::Detector;
use ingest::batcher::Batcher;
use ingest::dedup::Dedup;
use ingest::join::{Assembler, Whole};
use ingest::{Normalized, Normalizer};
use ledger::Reader;
use model::{Arena, Entry, Event, LedgerIndex, Millis, Plan, Value, known};
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
    pub plan: Plan,
    /// Where the events of a record live until they are columns.
    pub arena: Arena,
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
            let group = self.group(next, end, &entries)?;
            if !hand_on(group, stages) {
                return Ok(());
            }
            next = end;
        }
    }

    fn group(&mut self, from: LedgerIndex, to: LedgerIndex, entries: &[Entry]) -> anyhow::Result<Group> {
        let site = self.sites.try_iter().reduce(|before, site| Site {
            policies: site.policies.or(before.policies),
            ..site
        });
        if let Some(policies) = site.as_ref().and_then(|s| s.policies.as_ref()) {
            let mut wanted = Detector::wanted_by(&policies.policies, &policies.rules);
            wanted.extend(search::wanted());
            self.plan = Plan::new(&wanted);
        }
        self.arena.set_native(self.plan.wants_native());
        let mut made = Made::default();
        let mut span = Vec::with_capacity(entries.len());
        for Entry { index, record } in entries {
            let index = *index;
            span.push((index, record.received_at));
            // What a record's events live in is small, and stays near.
            self.arena.reset();
            let mut tools = Tools {
                normalizer: &self.normalizer,
                arena: &self.arena,
                plan: &mut self.plan,
            };
            for whole in self.assembler.advance(record.received_at) {
                made.whole(&mut tools, index, &whole);
            }
            if let Some(list) = mended::of(record) {
                let at = (index, record.received_at);
                mended(&self.reader, at, &list, &mut self.dedup, &mut tools, &mut made)?;
            }
            match self.normalizer.piece(record) {
                // A repeated one is left out before it is joined.
                Some(piece) if repeats(&mut self.dedup, index, record.received_at, piece.dedup(record))? => {
                    let counted = Counted {
                        outcome: Outcome::Deduplicated,
                        received_at: record.received_at,
                        time: None,
                        reason: None,
                        labels: &[],
                    };
                    made.accounts.count(&record.source, counted);
                }
                Some(piece) => {
                    for whole in self.assembler.push(index, record.clone(), piece) {
                        made.whole(&mut tools, index, &whole);
                    }
                }
                None => {
                    let normalized = self.normalizer.normalize(&self.arena, record);
                    let key = normalized.dedup(record);
                    let duplicate = repeats(&mut self.dedup, index, record.received_at, key)?;
                    made.count(record.received_at, &record.source, &normalized, duplicate);
                    if !duplicate {
                        made.take(tools.plan, index, record.received_at, &record.source, &normalized);
                    }
                }
            }
        }
        let mut dedup = self.dedup.take_delta();
        dedup.position = to;
        let Made {
            batcher,
            places,
            replaced,
            accounts,
        } = made;
        let batches = batcher.finish(&mut self.plan);
        self.tell();
        Ok(Group {
            site,
            range: from..to,
            span,
            batches,
            places,
            replaced,
            joins: self.assembler.state().into(),
            held: self.assembler.held(),
            due: self.assembler.due(),
            dedup,
            accounts,
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

fn repeats(dedup: &mut Dedup, index: LedgerIndex, at: Millis, key: Option<[u8; 16]>) -> anyhow::Result<bool> {
    match key {
        Some(key) => Ok(dedup.check(index, at, key)?.is_some()),
        None => Ok(false),
    }
}

/// What makes columns of records.
struct Tools<'t> {
    normalizer: &'t Normalizer,
    arena: &'t Arena,
    plan: &'t mut Plan,
}

/// Normalizes records again, at leaf `at`. Their events are judged as of now: what they are joined with may not have been
/// there when they came, and records that come together are judged together.
fn mended(
    reader: &Reader,
    (at, now): (LedgerIndex, Millis),
    list: &[Mended],
    dedup: &mut Dedup,
    tools: &mut Tools<'_>,
    made: &mut Made,
) -> anyhow::Result<()> {
    let mut seen = BTreeSet::new();
    for Mended { reason, leaves } in list {
        let earlier = leaves.iter().filter(|leaf| **leaf < at);
        let records = earlier
            .map(|leaf| reader.entry(*leaf).map(|e| (e.index, e.record)))
            .collect::<Result<Vec<_>, _>>()?;
        let Some(whole) = Whole::of(&records) else { continue };
        let normalized = tools.normalizer.normalize_whole(tools.arena, &whole);
        if normalized.quarantined.is_some() {
            // The parsers have changed since the act; it stays as it is.
            continue;
        }
        let received_at = whole.record.received_at;
        let key = normalized.dedup(&whole.record).filter(|_| whole.lines.len() == 1);
        let duplicate = key.is_some_and(|key| !seen.insert(key)) || repeats(dedup, at, received_at, key)?;
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
            made.take(tools.plan, at, now, &whole.record.source, &normalized);
        }
    }
    Ok(())
}

/// What a group's records became.
#[derive(Default)]
struct Made {
    batcher: Batcher,
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
    fn count(&mut self, received_at: Millis, source: &Arc<str>, normalized: &Normalized<Event<'_>>, duplicate: bool) {
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

    fn take(
        &mut self,
        plan: &mut Plan,
        at: LedgerIndex,
        received_at: Millis,
        source: &Arc<str>,
        normalized: &Normalized<Event<'_>>,
    ) {
        for event in &normalized.events {
            self.batcher.push(plan, at, received_at, source, event);
        }
    }

    /// Records that were put together, given out at leaf `at`.
    fn whole(&mut self, tools: &mut Tools<'_>, at: LedgerIndex, whole: &Whole) {
        let normalized = tools.normalizer.normalize_whole(tools.arena, whole);
        for line in &whole.lines {
            self.count(line.received_at, &whole.record.source, &normalized, false);
        }
        if whole.lines.iter().any(|line| line.index != at) {
            self.place(whole);
        }
        self.take(
            tools.plan,
            at,
            whole.record.received_at,
            &whole.record.source,
            &normalized,
        );
    }
}

/// What the events are labelled with, each once.
fn labels<'a>(events: &[Event<'a>]) -> Vec<&'a str> {
    let mut out: Vec<&str> = Vec::new();
    for event in events {
        let labels = event.cell(known::METADATA_LABELS).and_then(|l| l.as_array());
        for label in labels.into_iter().flatten().filter_map(Value::as_str) {
            // Which records, and which numbers: of each there is one.
            if label.starts_with("record:") || label.starts_with("auditd.lost:") {
                continue;
            }
            if !out.contains(&label) {
                out.push(label);
            }
        }
    }
    out
}
