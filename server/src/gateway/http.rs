//! `POST /api/v1/ingest/{source}`: records as lines, NDJSON or JSON; 200 only when they are durable.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::json;
use tokio::sync::Semaphore;

use super::body::{self, BodyError};
use crate::api::{ApiError, Authenticated};
use crate::app::App;
use crate::auth::Right;
use crate::spine::Incoming;

/// Requests that are held in memory at once; a further one is told to come again.
static HELD: Semaphore = Semaphore::const_new(4);

/// Takes a batch of records.
pub async fn ingest(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    Path(source): Path<String>,
    headers: HeaderMap,
    body: axum::body::Body,
) -> Result<Response, ApiError> {
    caller.demand(Right::Ship)?;
    crate::config::check_source(&source).map_err(|e| ApiError::bad_request(e.to_string()))?;
    if source == model::TOPIC_DOCKET {
        return Err(ApiError::bad_request(
            "source `docket` is reserved for Docket's own acts".to_owned(),
        ));
    }
    let Ok(_held) = HELD.try_acquire() else {
        return Ok(busy("4 requests are being taken already"));
    };
    let text = |name: header::HeaderName| headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let body = axum::body::to_bytes(body, body::BODY_BYTES_MAX).await.map_err(|_| {
        ApiError::too_large(format!(
            "the body has more than {} bytes; send smaller batches",
            body::BODY_BYTES_MAX
        ))
    })?;
    let encoding = text(header::CONTENT_ENCODING);
    let content_type = text(header::CONTENT_TYPE).unwrap_or_default();
    let limit = app.record_bytes_max;
    let records = tokio::task::spawn_blocking(move || {
        let body = body::inflate(body, encoding.as_deref())?;
        body::records(&body, &content_type, limit)
    })
    .await
    .map_err(ApiError::internal)?
    .map_err(refusal)?;
    let count = records.len();
    let incoming = records
        .into_iter()
        .map(|r| incoming(&app, &source, &caller.name(), r))
        .collect();
    match app.gate.keep(incoming).await {
        Ok(()) => Ok(Json(json!({"accepted": count})).into_response()),
        Err(refused) => Ok(busy(&refused.to_string())),
    }
}

fn incoming(app: &App, source: &str, peer: &str, payload: Bytes) -> Incoming {
    Incoming {
        source: Arc::from(source),
        peer: Some(Arc::from(peer)),
        payload,
        truncated: None,
        received_at: app.clock.now(),
        headers: Vec::new(),
    }
}

fn refusal(error: BodyError) -> ApiError {
    match error {
        BodyError::TooLarge | BodyError::RecordTooLarge { .. } => ApiError::too_large(error.to_string()),
        BodyError::Unknown(_) => ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error.to_string()),
        BodyError::Encoding(_) | BodyError::Json(_) => ApiError::bad_request(error.to_string()),
    }
}

fn busy(why: &str) -> Response {
    metrics::counter!("docket_http_refused_total").increment(1);
    let body = Json(json!({"error": format!("not kept: {why}; send the same batch again")}));
    (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")], body).into_response()
}
