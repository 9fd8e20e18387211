//! `POST /_bulk` and `/{index}/_bulk`, as Elasticsearch has them: for Filebeat, Logstash, Fluent Bit, Vector, rsyslog.
//!
//! Each document is one record, kept as it stands, JSON or not. The answer has one result an item, in order, and comes
//! when all that it calls created is durable. One item's error does not lose the others; when nothing can be kept the
//! whole request is answered 429 and the shipper sends it again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use ingest::source::bulk::{Action, Malformed, parse};
use serde_json::{Value, json};

use super::batch::Batch;
use super::body::{self, BodyError};
use super::http::{check_shippable, count_refused};
use crate::api::{ApiError, Authenticated};
use crate::app::App;
use crate::auth::{Caller, Right};
use crate::spine::Incoming;

pub mod stubs;

/// What the endpoint is told by the configuration.
#[derive(Debug)]
pub struct Bulk {
    /// Sources by index, or by the beginning of an index and `*`.
    pub sources: BTreeMap<String, String>,
    /// The version that shippers are told.
    pub version: String,
}

impl Bulk {
    /// The source that an index is: as configured, by the longest name that fits, else its name up to the date.
    pub fn source<'a>(&'a self, index: &'a str) -> &'a str {
        let fits = |name: &str| match name.strip_suffix('*') {
            Some(beginning) => index.starts_with(beginning),
            None => index == name,
        };
        let configured = self.sources.iter().filter(|(name, _)| fits(name));
        // An exact name is longer than a beginning that fits and is no longer than the index.
        let best = configured.max_by_key(|(name, _)| (name.trim_end_matches('*').len(), !name.ends_with('*')));
        best.map_or_else(|| up_to_date(index), |(_, source)| source)
    }
}

/// An index's name up to its first date: `filebeat-8.19.0-2026.11.03` is `filebeat-8.19.0`.
fn up_to_date(index: &str) -> &str {
    let bytes = index.as_bytes();
    let digits = |at: usize, n: usize| {
        let part = bytes.get(at..at + n)?;
        part.iter()
            .all(u8::is_ascii_digit)
            .then(|| part.iter().fold(0u32, |v, d| v * 10 + u32::from(d - b'0')))
    };
    let is_date = |at: usize| {
        let Some(1970..=2199) = digits(at, 4) else { return false };
        let next = at + 4;
        let month = match bytes.get(next) {
            None => return true,
            Some(b'.' | b'-' | b'_') => digits(next + 1, 2),
            Some(_) => digits(next, 2),
        };
        matches!(month, Some(1..=53))
    };
    let cut = (1..bytes.len()).find(|&i| matches!(bytes[i], b'-' | b'_' | b'.') && is_date(i + 1));
    &index[..cut.unwrap_or(index.len())]
}

/// `POST /_bulk`
pub async fn bulk(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    headers: HeaderMap,
    body: axum::body::Body,
) -> Result<Response, ApiError> {
    answer(&app, &caller, None, &headers, body).await
}

/// `POST /{index}/_bulk`
pub async fn bulk_of_index(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    Path(index): Path<String>,
    headers: HeaderMap,
    body: axum::body::Body,
) -> Result<Response, ApiError> {
    answer(&app, &caller, Some(index), &headers, body).await
}

async fn answer(
    app: &App,
    caller: &Caller,
    index: Option<String>,
    headers: &HeaderMap,
    body: axum::body::Body,
) -> Result<Response, ApiError> {
    caller.demand(Right::Ship)?;
    let batch = Batch::of(headers, &caller.name()).map_err(ApiError::bad_request)?;
    let start = std::time::Instant::now();
    let losses = &app.intake.losses;
    // Before the body is read, the path alone tells whose records they would be.
    let named = app.intake.bulk.source(index.as_deref().unwrap_or("_bulk")).to_owned();
    let taken = async {
        let (held, body) = body::take(&app.intake.budget, headers, body).await?;
        body::work(held, move |held| parse(&body, index.as_deref(), held)).await
    };
    let (held, actions) = match taken.await {
        Ok((held, Ok(actions))) => (held, actions),
        Ok((_, Err(malformed))) => {
            losses.answered(&named, StatusCode::BAD_REQUEST);
            return Ok(malformed_request(&malformed));
        }
        Err(error) => {
            losses.answered(&named, body::status(&error));
            return match error {
                BodyError::Full(full) => Ok(busy(&full.to_string())),
                error => Err(ApiError::new(body::status(&error), error.to_string())),
            };
        }
    };
    let (results, records) = sort(app, caller, &batch, actions);
    for refused in results.iter().filter(|r| r.is_error) {
        let cause = if refused.denied { "forbidden" } else { "malformed" };
        losses.count(&refused.source, cause, 1);
    }
    if records.is_empty() && results.iter().any(|r| r.denied) {
        // A shipper drops an item that is forbidden, and keeps a batch that is.
        caller.demand_source(&results[0].source)?;
    }
    let kept = app.gate.keep(records).await;
    drop(held);
    if let Err(refused) = kept {
        let sources: BTreeSet<&str> = results.iter().map(|r| &*r.source).collect();
        sources
            .iter()
            .for_each(|s| losses.answered(s, StatusCode::TOO_MANY_REQUESTS));
        return Ok(busy(&refused.to_string()));
    }
    let errors = results.iter().any(|r| r.is_error);
    let items: Vec<Value> = results.into_iter().map(|r| r.shown).collect();
    let took = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(stubs::elastic(Json(
        json!({"took": took, "errors": errors, "items": items}),
    )))
}

/// What becomes of one item.
struct Outcome {
    shown: Value,
    source: String,
    is_error: bool,
    denied: bool,
}

fn sort(app: &App, caller: &Caller, batch: &Batch, actions: Vec<Action>) -> (Vec<Outcome>, Vec<Incoming>) {
    let received_at = app.clock.now();
    let peer: Arc<str> = caller.name().into();
    let request: u64 = rand::random();
    let mut sources: BTreeMap<String, Arc<str>> = BTreeMap::new();
    let mut results = Vec::with_capacity(actions.len());
    let mut records = Vec::with_capacity(actions.len());
    for (place, action) in actions.into_iter().enumerate() {
        let index = action.index.as_deref().unwrap_or_default();
        let source = app.intake.bulk.source(index).to_owned();
        let id = action
            .id
            .clone()
            .unwrap_or_else(|| format!("{request:016x}{place:05x}"));
        let refusal = refusal(caller, &action, &source);
        let denied = refusal.as_ref().is_some_and(|r| r.0 == 403);
        let is_error = refusal.is_some();
        let shown = match (refusal, action.document) {
            (None, Some(document)) => {
                let known = sources.entry(source.clone()).or_insert_with(|| source.as_str().into());
                let (payload, truncated) = super::cut(document, app.record_bytes_max);
                // The document's own id is the batch's where the shipper gave one: sent again, it counts once.
                let mut headers = batch.headers(place);
                if let (true, Some(id)) = (headers.is_empty(), &action.id) {
                    let id = Bytes::from(format!("{index}/{id}"));
                    headers.push((ingest::dedup::HEADER_BATCH.to_owned(), id));
                }
                records.push(Incoming {
                    source: known.clone(),
                    peer: Some(peer.clone()),
                    payload,
                    truncated,
                    received_at,
                    headers,
                });
                json!({"_index": index, "_id": id, "_version": 1, "result": "created",
                    "_shards": {"total": 1, "successful": 1, "failed": 0}, "status": 201})
            }
            (refusal, _) => {
                let (status, kind, reason) = refusal.unwrap_or((
                    400,
                    "action_request_validation_exception",
                    "there is no document".into(),
                ));
                json!({"_index": index, "_id": id, "status": status, "error": {"type": kind, "reason": reason}})
            }
        };
        results.push(Outcome {
            shown: json!({action.operation: shown}),
            source,
            is_error,
            denied,
        });
    }
    (results, records)
}

/// Why an item is not kept: status, type, reason.
fn refusal(caller: &Caller, action: &Action, source: &str) -> Option<(u16, &'static str, String)> {
    if !matches!(action.operation, "index" | "create") {
        let reason = format!(
            "`{}` is not done here: records are never changed; give index or create",
            action.operation
        );
        return Some((400, "action_request_validation_exception", reason));
    }
    if action.index.is_none() {
        let reason = "there is no index; name one in the action or in the path".to_owned();
        return Some((400, "action_request_validation_exception", reason));
    }
    if let Err(error) = check_shippable(source) {
        return Some((400, "invalid_index_name_exception", error.to_string()));
    }
    (!caller.may_ship(source)).then(|| {
        let reason = format!("`{}` may not send records of source `{source}`", caller.name());
        (403, "security_exception", reason)
    })
}

fn malformed_request(malformed: &Malformed) -> Response {
    let error = json!({"type": "illegal_argument_exception", "reason": malformed.to_string()});
    let body = Json(json!({"error": error, "status": 400}));
    (StatusCode::BAD_REQUEST, stubs::elastic(body)).into_response()
}

fn busy(why: &str) -> Response {
    count_refused();
    let error = json!({"type": "es_rejected_execution_exception", "reason": why});
    let body = Json(json!({"error": error, "status": 429}));
    (
        StatusCode::TOO_MANY_REQUESTS,
        [(header::RETRY_AFTER, "1")],
        stubs::elastic(body),
    )
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_its_source_up_to_the_date() {
        for (index, source) in [
            ("logstash-2026.11.03", "logstash"),
            ("filebeat-8.19.0-2026.11.03-000001", "filebeat-8.19.0"),
            ("app_2026-11", "app"),
            ("app-20261103", "app"),
            ("app-2026", "app"),
            ("app-2026.w05", "app-2026.w05"),
            ("web-2026x", "web-2026x"),
            ("2026.11.03", "2026.11.03"),
            ("plain", "plain"),
            ("port-8080", "port-8080"),
            ("", ""),
        ] {
            assert_eq!(up_to_date(index), source, "{index}");
        }
    }

    #[test]
    fn the_longest_configured_name_wins() {
        let sources = [("app-*", "a"), ("app-web-*", "b"), ("app-web-1", "c")];
        let bulk = Bulk {
            sources: sources.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
            version: String::new(),
        };
        for (index, source) in [
            ("app-x", "a"),
            ("app-web-2", "b"),
            ("app-web-1", "c"),
            ("other-2026.01.01", "other"),
        ] {
            assert_eq!(bulk.source(index), source);
        }
    }
}
