//! What became of every record: `received = stored + quarantined + deduplicated`, by source, and by minute.
//!
//! Counted by the line, stored in the judgement's transaction (state keys that start with `C`):
//!
//! ```text
//! C <source>                          → the source's counts ever, JSON
//! C <source> 00 <minute, 8 bytes>     → those of a minute of `received_at`, JSON; for 48 hours
//! C <source> 01 <hour, 8 bytes>       → those of an hour, JSON; for 90 days
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use detect::engine::Watched;
use detect::reference::Tables;
use model::{Millis, StateKey, StateValue};
use serde::{Deserialize, Serialize};

mod minute;
mod offset;

pub use minute::{HOUR_MS, MINUTE_MS, Skews, Span};
pub use offset::Offsets;

/// The first byte of the accounts' keys in the state.
pub const KIND: u8 = b'C';

/// How long minutes are kept, before they become hours.
const MINUTES_MS: i64 = 48 * HOUR_MS;
/// How long hours are kept.
const HOURS_MS: i64 = 90 * 24 * HOUR_MS;
/// How long what a median is made of is kept.
const YOUNG_MS: i64 = 10 * MINUTE_MS;
/// The table of the sources that are expected.
const REGISTER: &str = "source_register";
/// Reasons, or labels, that are told apart for one source; the formats' own are fewer.
const REASONS_MAX: usize = 256;
/// A source whose clock is further from ours is flagged, as each of its events is.
pub const SKEW_MS_MAX: i64 = 120_000;

/// What the others are counted as.
const OTHER: &str = "other";

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Normalized and indexed.
    Stored,
    /// Not understood: in the ledger and the index, with its reason.
    Quarantined,
    /// The same record again: in the ledger, neither indexed nor judged.
    Deduplicated,
}

/// A record, as it is accounted for.
#[derive(Clone, Copy, Debug)]
pub struct Counted<'a> {
    /// What became of it.
    pub outcome: Outcome,
    /// When it was received.
    pub received_at: Millis,
    /// When it happened, where that is known.
    pub time: Option<Millis>,
    /// Why it, or a part of it, was quarantined.
    pub reason: Option<&'a str>,
    /// What its events are labelled with, each once.
    pub labels: &'a [&'a str],
}

/// The counts of one source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// All its records.
    pub received: u64,
    /// Of them, normalized.
    pub stored: u64,
    /// Of them, quarantined.
    pub quarantined: u64,
    /// Of them, duplicates.
    pub deduplicated: u64,
    /// When the last one was received.
    pub last_received: Millis,
    /// Why records were quarantined, and how many.
    #[serde(default)]
    pub reasons: BTreeMap<String, u64>,
    /// What records were labelled with (a cut text, an assumed zone, a clock that is wrong), and how many.
    #[serde(default)]
    pub labels: BTreeMap<String, u64>,
    /// Whether its clock is off by whole quarters of an hour.
    #[serde(default)]
    pub offsets: Offsets,
    /// Records that were normalized again: what for, when they were received, and what became of them.
    #[serde(skip)]
    mended: Vec<(String, Millis, Outcome)>,
    /// How long after it was received the last one was judged, milliseconds; since the start.
    #[serde(skip)]
    pub lag_ms: Option<i64>,
    #[serde(skip)]
    minutes: BTreeMap<Millis, Span>,
    #[serde(skip)]
    hours: BTreeMap<Millis, Span>,
}

/// The counts of all sources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    by_source: BTreeMap<Arc<str>, Account>,
    /// How long a source may be silent, seconds, as the register says.
    declared: BTreeMap<String, i64>,
    /// What the detector watches, by the source's id in lower case.
    watched: BTreeMap<String, Watched>,
}

impl Account {
    /// The counts by minute of `received_at`, oldest first.
    pub fn minutes(&self) -> impl Iterator<Item = (Millis, &Span)> {
        self.minutes.iter().map(|(start, span)| (*start, span))
    }

    /// The counts of older hours, oldest first.
    pub fn hours(&self) -> impl Iterator<Item = (Millis, &Span)> {
        self.hours.iter().map(|(start, span)| (*start, span))
    }

    /// Records in a minute, over the last `minutes` whole ones.
    pub fn rate(&self, now: Millis, minutes: u32) -> f64 {
        let end = start_of(now, MINUTE_MS);
        let from = end.plus_ms(-i64::from(minutes) * MINUTE_MS);
        let received: u64 = self.minutes.range(from..end).map(|(_, s)| s.received).sum();
        received as f64 / f64::from(minutes)
    }

    /// The median of `received_at` less event time over the last five minutes that had records, milliseconds.
    pub fn skew_ms(&self) -> Option<i64> {
        let newest = *self.minutes.last_key_value()?.0;
        let mut skews = Skews::default();
        for (_, span) in self.minutes.range(newest.plus_ms(-4 * MINUTE_MS)..) {
            skews.merge(&span.skews);
        }
        skews
            .median()
            .or_else(|| self.minutes.values().rev().find_map(|s| s.skew_ms))
    }

    fn add(&mut self, more: &Account, changed: &mut Changed<'_>) {
        self.received += more.received;
        self.stored += more.stored;
        self.quarantined += more.quarantined;
        self.deduplicated += more.deduplicated;
        self.last_received = self.last_received.max(more.last_received);
        for (reason, n) in &more.reasons {
            add_reason(&mut self.reasons, reason, *n);
        }
        for (label, n) in &more.labels {
            add_reason(&mut self.labels, label, *n);
        }
        self.offsets.merge(&more.offsets);
        for (reason, received_at, outcome) in &more.mended {
            self.mend(reason, *received_at, *outcome, changed);
        }
        let newest = |a: &Account| a.minutes.last_key_value().map(|(start, _)| *start);
        let Some(newest) = newest(self).max(newest(more)) else {
            return;
        };
        for (start, span) in &more.minutes {
            if newest - *start > MINUTES_MS {
                self.hour(*start, span, changed);
            } else {
                let minute = self.minutes.entry(*start).or_default();
                minute.add(span);
                changed.put(0, *start, minute);
            }
        }
        while let Some((start, _)) = self.minutes.first_key_value()
            && newest - *start > MINUTES_MS
            && let Some((start, span)) = self.minutes.pop_first()
        {
            changed.delete(0, start);
            self.hour(start, &span, changed);
        }
        while let Some((start, _)) = self.hours.first_key_value()
            && newest - *start > HOURS_MS
            && let Some((start, _)) = self.hours.pop_first()
        {
            changed.delete(1, start);
        }
        for (start, span) in self.minutes.range_mut(..newest.plus_ms(-YOUNG_MS)).rev() {
            if span.skews == Skews::default() {
                break;
            }
            span.settle();
            changed.put(0, *start, span);
        }
    }

    /// Moves one record from quarantined to what it is now, in all and in its minute or hour.
    fn mend(&mut self, reason: &str, received_at: Millis, outcome: Outcome, changed: &mut Changed<'_>) {
        if self.quarantined == 0 || outcome == Outcome::Quarantined {
            return;
        }
        self.quarantined -= 1;
        *match outcome {
            Outcome::Deduplicated => &mut self.deduplicated,
            _ => &mut self.stored,
        } += 1;
        let reason = if self.reasons.contains_key(reason) {
            reason
        } else {
            OTHER
        };
        if let Some(n) = self.reasons.get_mut(reason) {
            *n -= 1;
            if *n == 0 {
                self.reasons.remove(reason);
            }
        }
        let (minute, hour) = (start_of(received_at, MINUTE_MS), start_of(received_at, HOUR_MS));
        if let Some(span) = self.minutes.get_mut(&minute) {
            span.mend(outcome);
            changed.put(0, minute, span);
        } else if let Some(span) = self.hours.get_mut(&hour) {
            span.mend(outcome);
            changed.put(1, hour, span);
        }
    }

    fn hour(&mut self, minute: Millis, span: &Span, changed: &mut Changed<'_>) {
        let start = start_of(minute, HOUR_MS);
        let hour = self.hours.entry(start).or_default();
        hour.add(span);
        // The median of medians of an hour that is two days old is no news.
        hour.settle();
        changed.put(1, start, hour);
    }
}

/// The rows of one source that changed.
struct Changed<'a> {
    source: &'a str,
    put: BTreeMap<StateKey, StateValue>,
    delete: Vec<StateKey>,
}

impl Changed<'_> {
    fn key(&self, level: u8, start: Millis) -> StateKey {
        let mut key = vec![KIND];
        key.extend_from_slice(self.source.as_bytes());
        key.push(level);
        key.extend_from_slice(&start.0.to_be_bytes());
        key
    }

    fn put(&mut self, level: u8, start: Millis, span: &Span) {
        self.put.insert(self.key(level, start), json(span));
    }

    fn delete(&mut self, level: u8, start: Millis) {
        let key = self.key(level, start);
        self.put.remove(&key);
        self.delete.push(key);
    }
}

impl Accounts {
    /// Counts one record.
    pub fn count(&mut self, source: &Arc<str>, record: Counted<'_>) {
        let account = self.by_source.entry(source.clone()).or_default();
        account.received += 1;
        *match record.outcome {
            Outcome::Stored => &mut account.stored,
            Outcome::Quarantined => &mut account.quarantined,
            Outcome::Deduplicated => &mut account.deduplicated,
        } += 1;
        if record.outcome == Outcome::Quarantined {
            add_reason(&mut account.reasons, record.reason.unwrap_or("unknown"), 1);
        }
        account.last_received = account.last_received.max(record.received_at);
        // Delay, skew and labels are those of first deliveries.
        if record.outcome != Outcome::Deduplicated {
            for label in record.labels {
                add_reason(&mut account.labels, label, 1);
            }
        }
        let skew = record.time.filter(|_| record.outcome == Outcome::Stored);
        if let Some(time) = skew {
            account.offsets.add(record.received_at - time);
        }
        account
            .minutes
            .entry(start_of(record.received_at, MINUTE_MS))
            .or_default()
            .count(record.outcome, skew.map(|time| record.received_at - time));
    }

    /// A record that was quarantined for a reason is something else now.
    pub fn mend(&mut self, source: &Arc<str>, reason: &str, received_at: Millis, outcome: Outcome) {
        let account = self.by_source.entry(source.clone()).or_default();
        account.mended.push((reason.to_owned(), received_at, outcome));
    }

    /// Adds another's counts, which were judged `now`; tells the metrics. The state rows to put and to delete.
    pub fn add(&mut self, other: &Accounts, now: Millis) -> (Vec<(StateKey, StateValue)>, Vec<StateKey>) {
        let (mut put, mut delete) = (Vec::new(), Vec::new());
        for (source, more) in &other.by_source {
            let account = self.by_source.entry(source.clone()).or_default();
            let mut changed = Changed {
                source,
                put: BTreeMap::new(),
                delete: Vec::new(),
            };
            account.add(more, &mut changed);
            if more.received > 0 {
                account.lag_ms = Some((now - more.last_received).max(0));
            }
            put.push(([&[KIND], source.as_bytes()].concat(), json(account)));
            put.extend(changed.put);
            delete.append(&mut changed.delete);
            tell(source, account);
        }
        (put, delete)
    }

    /// Reads the counts out of the state; other rows are left alone.
    pub fn load(state: &[(StateKey, StateValue)]) -> Accounts {
        let mut accounts = Accounts::default();
        for (key, value) in state {
            let Some((&KIND, key)) = key.split_first() else {
                continue;
            };
            let (source, span) = match key.iter().position(|b| *b <= 1) {
                None => (key, None),
                Some(at) => (&key[..at], key[at..].split_first()),
            };
            let Ok(source) = std::str::from_utf8(source) else {
                continue;
            };
            let account = accounts.by_source.entry(source.into()).or_default();
            let Some((level, start)) = span else {
                if let Ok(mut read) = serde_json::from_slice::<Account>(value) {
                    (read.minutes, read.hours) =
                        (std::mem::take(&mut account.minutes), std::mem::take(&mut account.hours));
                    *account = read;
                }
                continue;
            };
            let (Ok(start), Ok(span)) = (start.try_into(), serde_json::from_slice::<Span>(value)) else {
                continue;
            };
            let start = Millis(i64::from_be_bytes(start));
            let spans = if *level == 0 {
                &mut account.minutes
            } else {
                &mut account.hours
            };
            spans.insert(start, span);
        }
        accounts
    }

    /// Tells the metrics of all sources, as they were counted before a start.
    pub fn tell(&self) {
        for (source, account) in &self.by_source {
            tell(source, account);
        }
    }

    /// Reads what the register says of the sources.
    pub fn declare(&mut self, tables: &Tables) {
        let rows = tables.get(REGISTER).map(|t| t.rows()).unwrap_or_default();
        self.declared = rows
            .iter()
            .filter_map(|row| {
                let silence = row.get("max_silence_s")?;
                let seconds = silence.as_i64().or_else(|| silence.as_str()?.trim().parse().ok())?;
                Some((row.get("source")?.as_str()?.to_owned(), seconds))
            })
            .collect();
    }

    /// How long a source may be silent, seconds, where that is declared.
    pub fn max_silence_s(&self, source: &str) -> Option<i64> {
        self.declared.get(source).copied()
    }

    /// Takes what the detector watches now.
    pub fn watch(&mut self, watched: Vec<Watched>) {
        self.watched = watched.into_iter().map(|w| (w.source.clone(), w)).collect();
    }

    /// How the detector sees a source; `None` where nothing watches it, or the server does not run.
    pub fn watched(&self, source: &str) -> Option<&Watched> {
        self.watched.get(&source.to_lowercase())
    }

    /// Sources that are declared, whether they sent anything or not.
    pub fn declared(&self) -> impl Iterator<Item = &str> {
        self.declared.keys().map(String::as_str)
    }

    /// One source's counts.
    pub fn get(&self, source: &str) -> Option<&Account> {
        self.by_source.get(source)
    }

    /// The sources with their counts, in order of name.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Account)> {
        self.by_source.iter()
    }
}

fn tell(source: &str, account: &Account) {
    let by = |outcome: &'static str| [("source", source.to_owned()), ("outcome", outcome.to_owned())];
    metrics::counter!("docket_records_total", &by("stored")).absolute(account.stored);
    metrics::counter!("docket_records_total", &by("quarantined")).absolute(account.quarantined);
    metrics::counter!("docket_records_total", &by("deduplicated")).absolute(account.deduplicated);
    metrics::counter!("docket_received_total", "source" => source.to_owned()).absolute(account.received);
    for (reason, n) in &account.reasons {
        let labels = [("source", source.to_owned()), ("reason", reason.clone())];
        metrics::counter!("docket_quarantined_total", &labels).absolute(*n);
    }
    metrics::gauge!("docket_source_last_received_seconds", "source" => source.to_owned())
        .set(account.last_received.0 as f64 / 1000.0);
    if let Some(lag) = account.lag_ms {
        metrics::gauge!("docket_source_lag_seconds", "source" => source.to_owned()).set(lag as f64 / 1000.0);
    }
    for (label, n) in &account.labels {
        let labels = [("source", source.to_owned()), ("label", label.clone())];
        metrics::counter!("docket_labelled_total", &labels).absolute(*n);
    }
    if let Some(skew) = account.skew_ms() {
        metrics::gauge!("docket_source_skew_seconds", "source" => source.to_owned()).set(skew as f64 / 1000.0);
    }
}

fn add_reason(reasons: &mut BTreeMap<String, u64>, reason: &str, n: u64) {
    let reason = if reasons.len() < REASONS_MAX || reasons.contains_key(reason) {
        reason
    } else {
        OTHER
    };
    *reasons.entry(reason.to_owned()).or_default() += n;
}

fn start_of(at: Millis, span_ms: i64) -> Millis {
    Millis(at.0.div_euclid(span_ms).saturating_mul(span_ms))
}

fn json(value: &impl Serialize) -> StateValue {
    serde_json::to_vec(value).expect("counts are JSON")
}

#[cfg(test)]
mod tests;
