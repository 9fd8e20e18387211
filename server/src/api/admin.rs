//! Tokens and sources.

use axum::Json;
use axum::extract::{Path, State};
use model::Millis;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ApiError, Authenticated};
use crate::accounts::{Account, Accounts, Span};
use crate::app::{App, lock};
use crate::auth::{Right, Role};

/// A token that is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    name: String,
    role: Role,
    /// Of a shipper: the sources that it may send records of; none named: of any.
    #[serde(default)]
    sources: Vec<String>,
}

/// `POST /api/v1/tokens`: makes a token and shows it this once.
pub async fn create_token(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    Json(asked): Json<TokenRequest>,
) -> Result<Json<Value>, ApiError> {
    caller.demand(Right::Administer)?;
    app.spine
        .act(
            "token.create",
            &caller.name(),
            json!({"name": asked.name, "role": asked.role, "sources": asked.sources}),
        )
        .await?;
    let token = app
        .tokens
        .create_for(&asked.name, asked.role, &asked.sources, app.clock.now())
        .map_err(|e| ApiError::bad_request(format!("{e:#}")))?;
    Ok(Json(json!({"name": asked.name, "role": asked.role, "token": token})))
}

/// `GET /api/v1/sources`: what became of each source's records.
pub async fn sources(State(app): State<App>, Authenticated(caller): Authenticated) -> Result<Json<Value>, ApiError> {
    if !caller.may(Right::ReadRecords) {
        caller.demand(Right::Administer)?;
    }
    let now = app.clock.now();
    let rows: Vec<Value> = {
        let accounts = lock(&app.accounts);
        let silent = accounts.declared().filter(|s| accounts.get(s).is_none());
        let mut names: Vec<&str> = accounts.iter().map(|(source, _)| &**source).chain(silent).collect();
        names.sort_unstable();
        names.into_iter().map(|s| summary(&app, &accounts, s, now)).collect()
    };
    Ok(Json(json!({"sources": rows})))
}

/// `GET /api/v1/sources/{id}`: the same of one source, with its minutes and hours.
pub async fn source(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    Path(source): Path<String>,
) -> Result<Json<Value>, ApiError> {
    if !caller.may(Right::ReadRecords) {
        caller.demand(Right::Administer)?;
    }
    let accounts = lock(&app.accounts);
    if accounts.get(&source).is_none() && accounts.max_silence_s(&source).is_none() {
        return Err(ApiError::not_found(format!(
            "nothing came from a source `{source}`, and `source_register` does not name it"
        )));
    }
    let mut row = summary(&app, &accounts, &source, app.clock.now());
    let span = |(start, s): (Millis, &Span)| {
        json!({
            "start": start.to_string(),
            "received": s.received,
            "stored": s.stored,
            "quarantined": s.quarantined,
            "deduplicated": s.deduplicated,
            "skew_ms": s.skew_ms,
        })
    };
    let account = accounts.get(&source);
    row["minutes"] = account.into_iter().flat_map(|a| a.minutes()).map(span).collect();
    row["hours"] = account.into_iter().flat_map(|a| a.hours()).map(span).collect();
    Ok(Json(row))
}

/// What is told of a source: `lag_ms` is how long after it was received the last record was judged, `lag_records` what
/// Kafka holds of it that was not read yet, `silent_s` how long ago the last record was received.
fn summary(app: &App, accounts: &Accounts, source: &str, now: Millis) -> Value {
    let never = Account::default();
    let account = accounts.get(source);
    let a = account.unwrap_or(&never);
    let max_silence = accounts.max_silence_s(source);
    let silent = account.map(|a| (now - a.last_received).max(0) / 1000);
    let lag_records: Option<i64> = app.kafka.as_ref().map(|kafka| {
        let of_source = |topic: &str| topic == source || ingest::detection::topic_source(topic) == Some(source);
        let health = kafka.health();
        health
            .partitions
            .iter()
            .filter(|p| of_source(&p.topic))
            .map(|p| p.lag())
            .sum()
    });
    json!({
        "source": source,
        "received": a.received,
        "stored": a.stored,
        "quarantined": a.quarantined,
        "deduplicated": a.deduplicated,
        "reasons": a.reasons,
        "last_received": account.map(|a| a.last_received.to_string()),
        "per_minute": a.rate(now, 1),
        "per_minute_5m": a.rate(now, 5),
        "lag_ms": a.lag_ms,
        "lag_records": lag_records,
        "skew_ms": a.skew_ms(),
        "silent_s": silent,
        "max_silence_s": max_silence,
        "overdue": max_silence.is_some_and(|max| silent.is_none_or(|s| s > max)),
    })
}
