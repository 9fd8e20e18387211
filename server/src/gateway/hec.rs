//! The Splunk HTTP Event Collector: `/services/collector…`.
//!
//! The record is the event: the text of an `event` that is text, else the JSON as it stands. What the envelope says
//! beside it (time, host, source, sourcetype, index, fields) is kept with the record as the header [`HEADER`]. The
//! answer comes when the events are durable; on a channel it has an `ackId`, and an ack is true only for such.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use ingest::format::hec::HEADER;
use ingest::source::hec::{Event, Fault, events};
use serde::Deserialize;
use serde_json::{Value, json};

use super::batch::Batch;
use super::body::{self, BodyError, text};
use super::held::Held;
use super::http::{check_shippable, count_refused};
use crate::app::{App, lock};
use crate::auth::{Caller, Right};
use crate::spine::Incoming;

pub mod acks;

/// The header that names a channel.
const CHANNEL: &str = "x-splunk-request-channel";

/// What may stand in the address.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Parameters {
    channel: Option<String>,
    index: Option<String>,
    host: Option<String>,
    source: Option<String>,
    sourcetype: Option<String>,
}

/// An answer in Splunk's words: status, text and code.
struct Reply(StatusCode, String, u32);

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let Reply(status, text, code) = self;
        let body = Json(json!({"text": text, "code": code}));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            count_refused();
            return (status, [(header::RETRY_AFTER, "1")], body).into_response();
        }
        (status, body).into_response()
    }
}

/// Why nothing of a request was kept.
enum Refusal {
    Reply(Reply),
    Fault(Fault),
}

impl From<Reply> for Refusal {
    fn from(reply: Reply) -> Refusal {
        Refusal::Reply(reply)
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Refusal {
        Refusal::Fault(fault)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Refusal::Reply(reply) => reply.into_response(),
            Refusal::Fault(fault) => {
                let body = json!({"text": fault.text, "code": fault.code, "invalid-event-number": fault.number});
                (StatusCode::BAD_REQUEST, Json(body)).into_response()
            }
        }
    }
}

/// `POST /services/collector/event`: JSON objects, one after the other.
pub async fn event(
    State(app): State<App>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
    body: axum::body::Body,
) -> Response {
    answer(&app, &parameters, &headers, body, events).await
}

/// `POST /services/collector/raw`: one event a line.
pub async fn raw(
    State(app): State<App>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
    body: axum::body::Body,
) -> Response {
    let named = [
        ("host", &parameters.host),
        ("source", &parameters.source),
        ("sourcetype", &parameters.sourcetype),
        ("index", &parameters.index),
    ];
    let kept: serde_json::Map<String, Value> = named
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value.clone()?.into())))
        .collect();
    let envelope = (!kept.is_empty()).then(|| Bytes::from(Value::Object(kept).to_string()));
    let take = move |body: &Bytes, held: &mut Held| {
        let event = |payload| Event {
            payload,
            envelope: envelope.clone(),
            index: None,
        };
        Ok(Ok(body::lines(body, held)?.into_iter().map(event).collect()))
    };
    answer(&app, &parameters, &headers, body, take).await
}

/// `GET /services/collector/health`
pub async fn health(State(app): State<App>) -> Response {
    if app.ready.load(std::sync::atomic::Ordering::Relaxed) {
        Reply(StatusCode::OK, "HEC is healthy".into(), 17).into_response()
    } else {
        Reply(
            StatusCode::SERVICE_UNAVAILABLE,
            "HEC is unhealthy, the server is stopping".into(),
            18,
        )
        .into_response()
    }
}

/// `POST /services/collector/ack`: which of these are durable.
pub async fn ack(
    State(app): State<App>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Ok(asked) = serde_json::from_slice::<Asked>(&body) else {
        return Reply(StatusCode::BAD_REQUEST, "Invalid data format".into(), 6).into_response();
    };
    let known = caller(&app, &headers).and_then(|c| Ok((c, channel(&parameters, &headers)?)));
    let (caller, channel) = match known {
        Ok((caller, Some(channel))) => (caller, channel),
        Ok((_, None)) => return Reply(StatusCode::BAD_REQUEST, "Data channel is missing".into(), 10).into_response(),
        Err(reply) => return reply.into_response(),
    };
    let mut acks = lock(&app.intake.acks);
    let answers: serde_json::Map<String, Value> = asked
        .acks
        .iter()
        .map(|id| (id.to_string(), acks.take(&caller.name(), &channel, *id).into()))
        .collect();
    Json(json!({"acks": answers})).into_response()
}

/// The acks that are asked after.
#[derive(Deserialize)]
struct Asked {
    acks: Vec<u64>,
}

async fn answer<F>(app: &App, parameters: &Parameters, headers: &HeaderMap, body: axum::body::Body, take: F) -> Response
where
    F: FnOnce(&Bytes, &mut Held) -> Result<Result<Vec<Event>, Fault>, BodyError> + Send + 'static,
{
    match keep(app, parameters, headers, body, take).await {
        Ok(None) => Json(json!({"text": "Success", "code": 0})).into_response(),
        Ok(Some(id)) => Json(json!({"text": "Success", "code": 0, "ackId": id})).into_response(),
        Err(refusal) => {
            let response = refusal.into_response();
            // Who is not known is nobody's source.
            if response.status() != StatusCode::UNAUTHORIZED {
                let source = parameters.index.as_deref().unwrap_or(&app.intake.hec_source);
                app.intake.losses.answered(source, response.status());
            }
            response
        }
    }
}

async fn keep<F>(
    app: &App,
    parameters: &Parameters,
    headers: &HeaderMap,
    body: axum::body::Body,
    take: F,
) -> Result<Option<u64>, Refusal>
where
    F: FnOnce(&Bytes, &mut Held) -> Result<Result<Vec<Event>, Fault>, BodyError> + Send + 'static,
{
    let caller = caller(app, headers)?;
    let channel = channel(parameters, headers)?;
    let batch = Batch::of(headers, &caller.name()).map_err(|e| Reply(StatusCode::BAD_REQUEST, e, 6))?;
    let taken = async {
        let (held, body) = body::take(&app.intake.budget, headers, body).await?;
        body::work(held, move |held| take(&body, held)).await
    };
    let (held, events) = match taken.await {
        Ok((held, Ok(events))) => (held, events),
        Ok((_, Err(fault))) => return Err(fault.into()),
        Err(BodyError::Full(full)) => return Err(busy(&full.to_string()).into()),
        Err(error) => return Err(Reply(body::status(&error), error.to_string(), 6).into()),
    };
    if events.is_empty() {
        return Err(Reply(StatusCode::BAD_REQUEST, "No data".into(), 5).into());
    }
    let records = records(app, &caller, parameters, &batch, events)?;
    let kept = app.gate.keep(records).await;
    drop(held);
    match kept {
        Ok(()) => Ok(channel.map(|c| lock(&app.intake.acks).give(&caller.name(), &c))),
        Err(refused) => Err(busy(&refused.to_string()).into()),
    }
}

fn records(
    app: &App,
    caller: &Caller,
    parameters: &Parameters,
    batch: &Batch,
    events: Vec<Event>,
) -> Result<Vec<Incoming>, Reply> {
    let peer: Arc<str> = caller.name().into();
    let received_at = app.clock.now();
    let mut records = Vec::with_capacity(events.len());
    let mut last: Option<Arc<str>> = None;
    for (place, event) in events.into_iter().enumerate() {
        let index = event.index.as_deref().or(parameters.index.as_deref());
        let named = index.filter(|i| !i.is_empty()).or(caller.only_source());
        let source = named.unwrap_or(&app.intake.hec_source);
        let source = match last.take().filter(|l| &**l == source) {
            Some(same) => same,
            None => {
                check_shippable(source)
                    .map_err(|e| Reply(StatusCode::BAD_REQUEST, format!("Incorrect index: {e}"), 7))?;
                if !caller.may_ship(source) {
                    let text = format!(
                        "Incorrect index: `{}` may not send records of source `{source}`",
                        caller.name()
                    );
                    return Err(Reply(StatusCode::FORBIDDEN, text, 7));
                }
                source.into()
            }
        };
        last = Some(source.clone());
        let (payload, truncated) = super::cut(event.payload, app.record_bytes_max);
        let mut headers = batch.headers(place);
        headers.extend(event.envelope.map(|e| (HEADER.to_owned(), e)));
        records.push(Incoming {
            source,
            peer: Some(peer.clone()),
            payload,
            truncated,
            received_at,
            headers,
        });
    }
    Ok(records)
}

fn caller(app: &App, headers: &HeaderMap) -> Result<Caller, Reply> {
    let Some(token) = crate::auth::token_of(headers) else {
        return Err(Reply(StatusCode::UNAUTHORIZED, "Token is required".into(), 2));
    };
    let caller = app.tokens.caller(&token).ok_or_else(|| {
        metrics::counter!("docket_unauthenticated_total").increment(1);
        Reply(StatusCode::FORBIDDEN, "Invalid token".into(), 4)
    })?;
    match caller.may(Right::Ship) {
        true => Ok(caller),
        false => Err(Reply(
            StatusCode::FORBIDDEN,
            format!("Invalid token: `{}` is no shipper's", caller.name()),
            4,
        )),
    }
}

/// The channel of a request: a GUID, in the header or the address.
fn channel(parameters: &Parameters, headers: &HeaderMap) -> Result<Option<String>, Reply> {
    let given = text(headers, CHANNEL).or(parameters.channel.as_deref());
    let fine = |c: &str| (1..=64).contains(&c.len()) && c.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    match given {
        Some(channel) if !fine(channel) => Err(Reply(StatusCode::BAD_REQUEST, "Invalid data channel".into(), 11)),
        given => Ok(given.map(str::to_ascii_lowercase)),
    }
}

fn busy(why: &str) -> Reply {
    Reply(StatusCode::SERVICE_UNAVAILABLE, format!("Server is busy: {why}"), 9)
}
