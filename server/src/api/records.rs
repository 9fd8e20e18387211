//! One record: raw, normalized, and the proof that it is in the ledger.

use axum::Json;
use axum::extract::{Path, State};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ingest::join::Whole;
use model::{Coordinate, Entry, LedgerIndex, Millis, PlainEvent};
use serde_json::{Value, json};

use super::{ApiError, Authenticated};
use crate::app::App;
use crate::pseudonyms::Eyes;

/// `GET /api/v1/records/{topic}/{partition}/{offset}`
pub async fn record(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let eyes = Eyes::of(&app, &caller)?;
    let coordinate: Coordinate = id.parse().map_err(|e| ApiError::bad_request(format!("{e}")))?;
    app.spine
        .act("record.view", &caller, json!({"record": coordinate.to_string()}))
        .await?;
    let shown = tokio::task::spawn_blocking(move || show(&app, &coordinate, &eyes))
        .await
        .map_err(ApiError::internal)?;
    shown.map(Json)
}

fn show(app: &App, coordinate: &Coordinate, eyes: &Eyes) -> Result<Value, ApiError> {
    let Some(index) = app.reader.find(coordinate).map_err(ApiError::internal)? else {
        return Err(ApiError::not_found(format!("the ledger holds no record {coordinate}")));
    };
    let entry = app.reader.entry(index).map_err(ApiError::internal)?;
    let (normalized, of) = match whole(app, &entry)? {
        Some(whole) => (app.normalizer.normalize_whole_plain(&whole), whole.lines),
        None => (app.normalizer.normalize_plain(&entry.record), Vec::new()),
    };
    // The index knows an event of several records by the first one.
    let known = of.first().map_or(coordinate, |line| &line.id);
    let processed = processed(app, known);
    let of = of.iter().map(|line| line.id.to_string()).collect::<Vec<_>>();
    let events: Vec<Value> = normalized
        .events
        .iter()
        .map(|e| {
            let mut event = masked(e);
            set_processed(&mut event, processed);
            eyes.event(&mut event);
            event
        })
        .collect();
    // The line itself names whom it names.
    let raw = (!eyes.are_covered()).then_some(&entry.record.payload);
    Ok(json!({
        "record": coordinate.to_string(),
        "ledger_index": index,
        "received_at": entry.record.received_at.to_string(),
        "source": entry.record.source,
        "peer": entry.record.peer,
        "raw": raw.map(|raw| String::from_utf8_lossy(raw)),
        "raw_base64": raw.map(|raw| BASE64_STANDARD.encode(raw)),
        "format": normalized.format,
        "quarantined": normalized.quarantined.map(|q| q.0),
        // The records that its event is of, where it is of several; the first one's id is the event's.
        "joined": of,
        "time": normalized.events.first().map(|e| e.time.to_string()),
        "processed_at": processed.map(|t| t.to_string()),
        "events": events,
        "proof": eyes.proof(app, index),
    }))
}

/// When the record was indexed; `None` where it is not yet, or was a repeated delivery.
fn processed(app: &App, coordinate: &Coordinate) -> Option<Millis> {
    let query = search::Query::parse(&format!("record:\"{coordinate}\""), None).ok()?;
    let mut request = search::Request::new(query);
    request.limit = 1;
    let answer = app.searcher.search(&request, &search::NoText).ok()?;
    answer.hits.first()?.processed
}

/// Puts the third time into an event that is shown: it is no part of what the bytes alone give.
pub fn set_processed(event: &mut Value, processed: Option<Millis>) {
    if let (Some(at), Some(Value::Object(metadata))) = (processed, event.get_mut("metadata")) {
        metadata.insert("processed_time".to_owned(), at.0.into());
    }
}

/// The event that a record is a part of, where it is of several: the index knows which.
fn whole(app: &App, entry: &Entry) -> Result<Option<Whole>, ApiError> {
    if app.normalizer.piece(&entry.record).is_none() {
        return Ok(None);
    }
    let label = format!("label:\"record:{}\"", entry.record.coordinate);
    let query = search::Query::parse(&label, None).map_err(ApiError::internal)?;
    let found = app
        .searcher
        .search(&search::Request::new(query), &search::NoText)
        .map_err(ApiError::internal)?;
    // A record's own text may hold such a label; it is at none of that event's leaves.
    let hit = found.hits.into_iter().find(|hit| hit.leaves.contains(&entry.index));
    hit.filter(|hit| hit.leaves.len() > 1)
        .and_then(|hit| joined(app, &hit.leaves).transpose())
        .transpose()
        .map_err(ApiError::internal)
}

/// The records of these leaves, put together.
///
/// # Errors
/// The ledger's.
pub fn joined(app: &App, leaves: &[LedgerIndex]) -> Result<Option<Whole>, ledger::Error> {
    let read = |index: &LedgerIndex| app.reader.entry(*index).map(|e| (e.index, e.record));
    let records = leaves.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(Whole::of(&records))
}

/// The event with this uid, normalized again from its leaves of the ledger, as a search hit shows it: masked.
pub fn event(app: &App, leaves: &[LedgerIndex], uid: &str) -> Result<Value, ledger::Error> {
    let Some(whole) = joined(app, leaves)? else {
        return Ok(Value::Null);
    };
    let normalized = app.normalizer.normalize_whole_plain(&whole);
    let event = normalized
        .events
        .iter()
        .find(|e| &*e.uid == uid)
        .or(normalized.events.first());
    Ok(event.map_or(Value::Null, masked))
}

/// An event as everybody may see it who may see events.
pub fn masked(event: &PlainEvent) -> Value {
    let mut shown = Value::Object(event.ocsf.clone());
    ingest::mask::event(&mut shown);
    shown
}
