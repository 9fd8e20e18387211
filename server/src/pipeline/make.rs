//! Records to columns: puts those together that are one event, normalizes, leaves duplicates out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ingest::batcher::Batcher;
use ingest::dedup::Dedup;
use ingest::join::{Assembler, Whole};
use ingest::{Normalized, Normalizer};
use ledger::Reader;
use model::{Arena, Entry, Event, LedgerIndex, Millis, Plan, Value, Wanted, known};
use search::Place;

use super::mended::{self, Mended};
use crate::accounts::{Accounts, Counted, Outcome};

/// What makes the columns of one stage's line.
pub struct Maker {
    /// Reads beside the writer.
    pub reader: Arc<Reader>,
    /// Formats.
    pub normalizer: Arc<Normalizer>,
    /// Records that wait for others.
    pub assembler: Assembler,
    /// Columns to build.
    plan: Plan,
    /// Where the events of a record live until they are columns.
    arena: Arena,
}

/// Which records repeat earlier ones.
pub enum Verdicts<'v> {
    /// Looked for, and written down in the order of asking.
    Of(&'v mut Dedup, Vec<bool>),
    /// As it was written down: records that are made columns of once more ask the same.
    Told(std::slice::Iter<'v, bool>),
}

impl Verdicts<'_> {
    fn repeats(
        &mut self,
        index: LedgerIndex,
        at: Millis,
        key: impl FnOnce() -> Option<[u8; 16]>,
    ) -> anyhow::Result<bool> {
        match self {
            Verdicts::Of(dedup, told) => {
                let repeats = match key() {
                    Some(key) => dedup.check(index, at, key)?.is_some(),
                    None => false,
                };
                told.push(repeats);
                Ok(repeats)
            }
            Verdicts::Told(told) => Ok(*told.next().unwrap_or(&false)),
        }
    }
}

impl Maker {
    /// Makes the wanted columns.
    pub fn new(reader: Arc<Reader>, normalizer: Arc<Normalizer>, assembler: Assembler, wanted: &Wanted) -> Maker {
        Maker {
            reader,
            normalizer,
            assembler,
            plan: Plan::new(wanted),
            arena: Arena::new(),
        }
    }

    /// Makes these columns from now on.
    pub fn want(&mut self, wanted: &Wanted) {
        self.plan = Plan::new(wanted);
    }

    /// What the records are, those of them that are not repetitions, and those that they complete.
    pub fn make(&mut self, entries: &[Entry], verdicts: &mut Verdicts<'_>) -> anyhow::Result<Made> {
        self.arena.set_native(self.plan.wants_native());
        let mut making = Making::default();
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
                making.whole(&mut tools, index, &whole);
            }
            if let Some(list) = mended::of(record) {
                let at = (index, record.received_at);
                mended(&self.reader, at, &list, verdicts, &mut tools, &mut making)?;
            }
            match self.normalizer.piece(record) {
                // A repeated one is left out before it is joined.
                Some(piece) if verdicts.repeats(index, record.received_at, || piece.dedup(record))? => {
                    let counted = Counted {
                        outcome: Outcome::Deduplicated,
                        received_at: record.received_at,
                        time: None,
                        reason: None,
                        labels: &[],
                    };
                    making.accounts.count(&record.source, counted);
                }
                Some(piece) => {
                    for whole in self.assembler.push(index, record.clone(), piece) {
                        making.whole(&mut tools, index, &whole);
                    }
                }
                None => {
                    let normalized = self.normalizer.normalize(&self.arena, record);
                    let duplicate = verdicts.repeats(index, record.received_at, || normalized.dedup(record))?;
                    making.count(record.received_at, &record.source, &normalized, duplicate);
                    if !duplicate {
                        making.take(tools.plan, index, record.received_at, &record.source, &normalized);
                    }
                }
            }
        }
        let Making {
            batcher,
            places,
            replaced,
            accounts,
        } = making;
        Ok(Made {
            span,
            batches: batcher.finish(&mut self.plan),
            places,
            replaced,
            accounts,
        })
    }
}

/// What a group's records became.
pub struct Made {
    /// Every record's index and `received_at`, in order.
    pub span: Vec<(LedgerIndex, Millis)>,
    /// The events.
    pub batches: Vec<model::Batch>,
    /// By record id, events that are of other leaves than the one that gave them out.
    pub places: BTreeMap<Arc<str>, Place>,
    /// Records (their first leaves) whose events take the place of those that they gave before.
    pub replaced: Vec<LedgerIndex>,
    /// What became of the records, by source.
    pub accounts: Accounts,
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
    verdicts: &mut Verdicts<'_>,
    tools: &mut Tools<'_>,
    made: &mut Making,
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
        let duplicate = key.is_some_and(|key| !seen.insert(key)) || verdicts.repeats(at, received_at, || key)?;
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

/// What a group's records become.
#[derive(Default)]
struct Making {
    batcher: Batcher,
    places: BTreeMap<Arc<str>, Place>,
    replaced: Vec<LedgerIndex>,
    accounts: Accounts,
}

impl Making {
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
