//! `GET /api/v1/replay`: what would become of records if they were normalized now; nothing is changed.
//!
//! What became of them when they were indexed is told by the index (label `quarantined:<reason>`); what would become of
//! them, by the parsers of this server over the ledger's bytes.

use std::collections::BTreeMap;
use std::ops::Range;

use axum::Json;
use axum::extract::{Query, State};
use ingest::Normalized;
use model::{Entry, LedgerIndex, Millis, PlainEvent};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::{ApiError, Authenticated, records};
use crate::accounts::Accounts;
use crate::app::{App, lock};
use crate::asking::moment;
use crate::auth::Right;

/// A replay reads much; one at a time.
pub static RUNNING: Semaphore = Semaphore::const_new(1);
/// Quarantined records that one replay takes.
const QUARANTINED_MAX: usize = 2_000_000;
/// Records read from the ledger at once.
const READ_RECORDS: usize = 2048;
/// Bytes of records read at once.
const READ_BYTES: usize = 4 << 20;
/// Hits on a page of the index.
const PAGE: usize = 1000;
/// What is told of a record that was, or would be, understood.
const STORED: &str = "stored";
/// Numbers below are ledger positions, those from it on epoch milliseconds (2001).
const POSITIONS_END: u64 = 1_000_000_000_000;

/// What is asked for.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Asked {
    /// From this ledger position, or record received at this time, on.
    from: Option<String>,
    /// Before this one.
    to: Option<String>,
    /// Of this source only.
    source: Option<String>,
    /// Only what is quarantined.
    quarantined: bool,
    /// Only what is quarantined for this.
    reason: Option<String>,
}

/// A record that the index holds as quarantined.
pub struct Quarantined {
    /// What for.
    pub reason: String,
    /// Its leaves.
    pub leaves: Vec<LedgerIndex>,
}

/// Answers. The act is recorded first.
pub async fn replay(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    Query(asked): Query<Asked>,
) -> Result<Json<Value>, ApiError> {
    caller.demand(Right::ReadRecords)?;
    asked.check()?;
    let _running = alone()?;
    app.spine.act("replay", &caller, json!(asked)).await?;
    tokio::task::spawn_blocking(move || answer(&app, &asked))
        .await
        .map_err(ApiError::internal)?
        .map(Json)
}

/// The permit to run.
///
/// # Errors
/// Another one is running (429).
pub fn alone() -> Result<tokio::sync::SemaphorePermit<'static>, ApiError> {
    RUNNING.try_acquire().map_err(|_| {
        ApiError::new(
            axum::http::StatusCode::TOO_MANY_REQUESTS,
            "another replay is running; try again when it is done",
        )
    })
}

impl Asked {
    /// # Errors
    /// The caller's.
    pub fn check(&self) -> Result<(), ApiError> {
        let source = self.source.as_deref().map_or(Ok(()), crate::config::check_source);
        source.map_err(|e| ApiError::bad_request(e.to_string()))?;
        let is_reason = |r: &str| {
            r.bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
        };
        match &self.reason {
            Some(reason) if !is_reason(reason) => Err(ApiError::bad_request(format!(
                "`{reason}` is no reason that records are quarantined for; see `docket source list`"
            ))),
            _ => Ok(()),
        }
    }

    /// What it means in the ledger. Beyond what is indexed nobody knows what became of a record.
    ///
    /// # Errors
    /// The caller's: a time cannot be read.
    pub fn range(&self, app: &App) -> Result<Range<LedgerIndex>, ApiError> {
        let end = LedgerIndex(app.searchable.load(std::sync::atomic::Ordering::Relaxed));
        let now = app.clock.now();
        let from = self
            .from
            .as_deref()
            .map_or(Ok(LedgerIndex(0)), |t| place(app, t, end, now))?;
        let to = self.to.as_deref().map_or(Ok(end), |t| place(app, t, end, now))?;
        Ok(from..to.min(end))
    }
}

fn answer(app: &App, asked: &Asked) -> Result<Value, ApiError> {
    let range = asked.range(app)?;
    let before = quarantined(app, asked, &range)?;
    let mut changes = Changes::default();
    let mut each = |entry: &Entry| {
        if asked.source.as_deref().is_none_or(|s| s == &*entry.record.source) {
            let was = before.get(&entry.index).map_or(STORED, |q| &q.reason);
            changes.count(was, &app.normalizer.normalize_plain(&entry.record), entry);
        }
    };
    if asked.quarantined || asked.reason.is_some() {
        for quarantined in before.values() {
            let whole = records::joined(app, &quarantined.leaves).map_err(ApiError::internal)?;
            let Some(whole) = whole else { continue };
            let normalized = app.normalizer.normalize_whole_plain(&whole);
            let index = whole.lines.first().map_or(LedgerIndex(0), |l| l.index);
            let entry = Entry {
                index,
                record: whole.record,
            };
            changes.count(&quarantined.reason, &normalized, &entry);
        }
    } else {
        let mut next = range.start;
        while next < range.end {
            let records = usize::try_from(range.end.0 - next.0)
                .unwrap_or(usize::MAX)
                .min(READ_RECORDS);
            let entries = app.reader.read(next, records, READ_BYTES).map_err(ApiError::internal)?;
            let Some(last) = entries.last() else { break };
            next = last.index.next();
            entries.iter().for_each(&mut each);
        }
    }
    Ok(changes.told(&range))
}

/// The records of the range that the index holds as quarantined, and why.
///
/// # Errors
/// The caller's: too many. Ours: the index cannot be read.
pub fn quarantined(
    app: &App,
    asked: &Asked,
    range: &Range<LedgerIndex>,
) -> Result<BTreeMap<LedgerIndex, Quarantined>, ApiError> {
    let reasons = match &asked.reason {
        Some(reason) => [reason.clone()].into(),
        None => reasons(&lock(&app.accounts), asked.source.as_deref()),
    };
    let mut found = BTreeMap::new();
    for reason in reasons {
        let mut text = format!("label:\"quarantined:{reason}\"");
        if let Some(source) = &asked.source {
            text.push_str(&format!(" AND source:\"{source}\""));
        }
        let query = search::Query::parse(&text, None).map_err(ApiError::internal)?;
        let mut request = search::Request::new(query);
        request.limit = PAGE;
        loop {
            let answer = app
                .searcher
                .search(&request, &search::NoText)
                .map_err(ApiError::internal)?;
            found.extend(answer.hits.into_iter().filter(|h| range.contains(&h.index)).map(|h| {
                let quarantined = Quarantined {
                    reason: reason.clone(),
                    leaves: h.leaves,
                };
                (h.index, quarantined)
            }));
            if found.len() > QUARANTINED_MAX {
                return Err(ApiError::bad_request(format!(
                    "more than {QUARANTINED_MAX} records are quarantined in this range; give a smaller one, or a source"
                )));
            }
            request.after = answer.next;
            if request.after.is_none() {
                break;
            }
        }
    }
    Ok(found)
}

/// Why records were ever quarantined.
fn reasons(accounts: &Accounts, source: Option<&str>) -> std::collections::BTreeSet<String> {
    accounts
        .iter()
        .filter(|(s, _)| source.is_none_or(|wanted| wanted == &***s))
        .flat_map(|(_, a)| a.reasons.keys().cloned())
        .collect()
}

/// A position in the ledger, or where the records begin that were received at a time or later.
fn place(app: &App, text: &str, end: LedgerIndex, now: Millis) -> Result<LedgerIndex, ApiError> {
    if let Some(position) = text.parse().ok().filter(|n: &u64| *n < POSITIONS_END) {
        return Ok(LedgerIndex(position).min(end));
    }
    let at = moment(text, now)?;
    // Records come about in the order in which they were received.
    let (mut low, mut high) = (0, end.0);
    while low < high {
        let middle = low + (high - low) / 2;
        let entry = app.reader.entry(LedgerIndex(middle)).map_err(ApiError::internal)?;
        if entry.record.received_at < at {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(LedgerIndex(low))
}

/// How many records went from what to what, and the first of each with the event that it would be.
#[derive(Default)]
struct Changes(BTreeMap<(String, &'static str), (u64, String, Value)>);

impl Changes {
    fn count(&mut self, was: &str, normalized: &Normalized<PlainEvent>, entry: &Entry) {
        let is = normalized.quarantined.map_or(STORED, |q| q.0);
        let first = || {
            let event = normalized.events.first().filter(|_| was != is);
            let sample = event.map_or(Value::Null, records::masked);
            (0, entry.record.coordinate.to_string(), sample)
        };
        self.0.entry((was.to_owned(), is)).or_insert_with(first).0 += 1;
    }

    fn told(self, range: &Range<LedgerIndex>) -> Value {
        let mut rows: Vec<_> = self.0.into_iter().collect();
        // What would change stands before what would not.
        rows.sort_by_key(|((was, is), (n, ..))| (was == is, std::cmp::Reverse(*n)));
        let sum = |keep: &dyn Fn(&str, &str) -> bool| -> u64 {
            rows.iter()
                .filter(|((was, is), _)| keep(was, is))
                .map(|(_, (n, ..))| n)
                .sum()
        };
        json!({
            "from": range.start,
            "to": range.end,
            "records": sum(&|_, _| true),
            "mended": sum(&|was, is| was != STORED && is == STORED),
            "broken": sum(&|was, is| was == STORED && is != STORED),
            "changes": rows.iter().map(|((was, is), (n, first, sample))| {
                json!({"before": was, "after": is, "records": n, "first": first, "sample": sample})
            }).collect::<Vec<_>>(),
        })
    }
}
