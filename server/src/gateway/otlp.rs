//! OTLP logs, over HTTP (`/v1/logs`, protobuf and JSON) and gRPC.
//!
//! Each log record becomes one record: the OTLP/JSON of a request with that one log record in its resource and scope.
//! What came as JSON is kept as it stood. The answer comes when the records are durable; a log record that the caller
//! may not send (its resource names another's source) is told as a partial success.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use ingest::source::otlp::{LogRecord, Wire, split};

use super::batch::Batch;
use super::body::{self, BodyError, text};
use super::held::Held;
use super::http::check_shippable;
use crate::app::App;
use crate::auth::{Caller, Right};
use crate::spine::Incoming;

mod grpc;
mod http;

pub use grpc::{PATH as GRPC_PATH, export};
pub use http::logs;

/// The header that names the source of a request's records.
const SOURCE_HEADER: &str = "x-docket-source";
/// Bytes that a log record's own id may have; a longer one is none.
const UID_BYTES_MAX: usize = 200;

/// What the endpoints are told by the configuration.
#[derive(Debug)]
pub struct Otlp {
    /// The source of records where nothing else names it.
    pub source: Arc<str>,
    /// The resource attribute that names it.
    pub source_attribute: Option<String>,
}

/// What was not kept of a request that was answered.
#[derive(Debug, Default, PartialEq, Eq)]
struct Partial {
    rejected: i64,
    message: String,
}

/// Why nothing of a request was kept.
#[derive(Debug)]
enum Refusal {
    /// The caller is not known.
    Unknown,
    /// The caller may not.
    Forbidden(String),
    /// The request is wrong.
    Bad(String),
    /// The body is.
    Body(BodyError),
    /// Not now.
    Busy(String),
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Refusal {
        match error {
            BodyError::Full(full) => Refusal::Busy(full.to_string()),
            error => Refusal::Body(error),
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refusal::Unknown => f.write_str("no valid token; send `authorization: Bearer dkt_…`"),
            Refusal::Forbidden(why) | Refusal::Bad(why) => f.write_str(why),
            Refusal::Body(error) => error.fmt(f),
            Refusal::Busy(why) => write!(f, "not kept: {why}; send the same batch again"),
        }
    }
}

fn caller(app: &App, headers: &HeaderMap) -> Result<Caller, Refusal> {
    let token = crate::auth::token_of(headers);
    let Some(caller) = token.and_then(|t| app.tokens.caller(&t)) else {
        metrics::counter!("docket_unauthenticated_total").increment(1);
        return Err(Refusal::Unknown);
    };
    match caller.may(Right::Ship) {
        true => Ok(caller),
        false => Err(Refusal::Forbidden(format!(
            "`{}` may not send records; it takes the role shipper",
            caller.name()
        ))),
    }
}

/// Counts a request that was refused, whatever it was answered in.
fn count(app: &App, refusal: &Refusal) {
    let cause = match refusal {
        // Who is not known is nobody's source; whose records were forbidden is counted record by record.
        Refusal::Unknown | Refusal::Forbidden(_) => return,
        Refusal::Bad(_) => StatusCode::BAD_REQUEST,
        Refusal::Body(error) => super::body::status(error),
        Refusal::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    app.intake.losses.answered(&app.intake.otlp.source, cause);
}

/// Keeps a request's log records.
async fn keep(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    held: Held,
    body: Bytes,
    wire: Wire,
) -> Result<Partial, Refusal> {
    let batch = Batch::of(headers, &caller.name()).map_err(Refusal::Bad)?;
    let given = match text(headers, SOURCE_HEADER) {
        Some(source) => {
            check_shippable(source).map_err(|e| Refusal::Bad(e.to_string()))?;
            Some(source.to_owned())
        }
        None => None,
    };
    let attribute = app.intake.otlp.source_attribute.clone().filter(|_| given.is_none());
    let (held, split) = body::work(held, move |held| split(&body, wire, attribute.as_deref(), held)).await?;
    let records = split.map_err(Refusal::Bad)?;
    let default = given
        .as_deref()
        .or(caller.only_source())
        .unwrap_or(&app.intake.otlp.source)
        .to_owned();
    let total = records.len();
    let (incoming, partial) = sort(app, caller, &batch, &default, records);
    if incoming.is_empty() && total > 0 {
        return Err(Refusal::Forbidden(partial.message));
    }
    let kept = app.gate.keep(incoming).await;
    drop(held);
    kept.map_err(|refused| Refusal::Busy(refused.to_string()))?;
    Ok(partial)
}

fn sort(app: &App, caller: &Caller, batch: &Batch, default: &str, records: Vec<LogRecord>) -> (Vec<Incoming>, Partial) {
    let peer: Arc<str> = caller.name().into();
    let received_at = app.clock.now();
    let mut sources: BTreeMap<String, Option<Arc<str>>> = BTreeMap::new();
    let mut incoming = Vec::with_capacity(records.len());
    let mut partial = Partial::default();
    for (place, record) in records.into_iter().enumerate() {
        let named = record.source.as_deref().filter(|s| check_shippable(s).is_ok());
        let name = named.unwrap_or(default);
        let known = sources
            .entry(name.to_owned())
            .or_insert_with(|| caller.may_ship(name).then(|| name.into()));
        let Some(source) = known else {
            partial.rejected += 1;
            app.intake.losses.count(name, "forbidden", 1);
            partial.message = format!("`{}` may not send records of source `{name}`", caller.name());
            continue;
        };
        let (payload, truncated) = super::cut(record.payload, app.record_bytes_max);
        // An id of the record's own is the batch's, where the request names none: sent again, it counts once.
        let mut headers = batch.headers(place);
        if let (true, Some(uid)) = (headers.is_empty(), record.uid.filter(|u| u.len() <= UID_BYTES_MAX)) {
            headers.push((ingest::dedup::HEADER_BATCH.to_owned(), format!("otlp/{uid}").into()));
        }
        incoming.push(Incoming {
            source: source.clone(),
            peer: Some(peer.clone()),
            payload,
            truncated,
            received_at,
            headers,
        });
    }
    (incoming, partial)
}
