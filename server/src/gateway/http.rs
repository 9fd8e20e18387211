//! `POST /api/v1/ingest/{source}`: records as lines, NDJSON or JSON; 200 only when they are durable.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::batch::Batch;
use super::body::{self, BodyError};
use crate::api::{ApiError, Authenticated};
use crate::app::App;
use crate::auth::Right;
use crate::spine::Incoming;

/// Takes a batch of records.
pub async fn ingest(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    Path(source): Path<String>,
    headers: HeaderMap,
    body: axum::body::Body,
) -> Result<Response, ApiError> {
    caller.demand(Right::Ship)?;
    check_shippable(&source).map_err(|e| ApiError::bad_request(e.to_string()))?;
    let losses = &app.intake.losses;
    caller
        .demand_source(&source)
        .inspect_err(|_| losses.answered(&source, StatusCode::FORBIDDEN))?;
    let batch = Batch::of(&headers, &caller.name()).map_err(ApiError::bad_request)?;
    let taken = take(&app, &headers, body).await;
    let (held, records) = match taken {
        Ok(taken) => taken,
        Err(error) => {
            losses.answered(&source, body::status(&error));
            return match error {
                BodyError::Full(full) => Ok(busy(&full.to_string())),
                error => Err(ApiError::new(body::status(&error), error.to_string())),
            };
        }
    };
    let count = records.len();
    let (source, peer): (Arc<str>, Arc<str>) = (source.into(), caller.name().into());
    let received_at = app.clock.now();
    let incoming = records.into_iter().enumerate().map(|(place, payload)| Incoming {
        source: source.clone(),
        peer: Some(peer.clone()),
        payload,
        truncated: None,
        received_at,
        headers: batch.headers(place),
    });
    let kept = app.gate.keep(incoming.collect()).await;
    drop(held);
    match kept {
        Ok(()) => Ok(Json(json!({"accepted": count})).into_response()),
        Err(refused) => {
            losses.answered(&source, StatusCode::SERVICE_UNAVAILABLE);
            Ok(busy(&refused.to_string()))
        }
    }
}

async fn take(
    app: &App,
    headers: &HeaderMap,
    body: axum::body::Body,
) -> Result<(super::held::Held, Vec<bytes::Bytes>), BodyError> {
    let (held, body) = body::take(&app.intake.budget, headers, body).await?;
    let content_type = body::text(headers, header::CONTENT_TYPE.as_str())
        .unwrap_or_default()
        .to_owned();
    let limit = app.record_bytes_max;
    body::work(held, move |held| body::records(&body, &content_type, limit, held)).await
}

/// A source's id that shippers may send to.
///
/// # Errors
/// Says what an id may be.
pub fn check_shippable(source: &str) -> anyhow::Result<()> {
    crate::config::check_source(source)?;
    anyhow::ensure!(
        source != model::TOPIC_DOCKET,
        "source `docket` is reserved for Docket's own acts"
    );
    Ok(())
}

/// Counts a request that was not kept.
pub fn count_refused() {
    metrics::counter!("docket_http_refused_total").increment(1);
}

fn busy(why: &str) -> Response {
    count_refused();
    let body = Json(json!({"error": format!("not kept: {why}; send the same batch again")}));
    (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")], body).into_response()
}
