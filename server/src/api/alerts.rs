//! The alert queue.

use alert::{AlertError, Filter};
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ApiError, Authenticated};
use crate::app::{App, lock};
use crate::auth::Right;

/// What somebody says when handling an alert.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Word {
    comment: String,
    verdict: Option<alert::Verdict>,
}

/// `GET /api/v1/alerts`
pub async fn list(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    Query(filter): Query<Filter>,
) -> Result<Json<Value>, ApiError> {
    caller.demand(Right::ReadAlerts)?;
    app.spine.act("alert.list", &caller.name(), json!({"filter": filter})).await?;
    let page = blocking(&app, move |store| store.list(&filter)).await?;
    Ok(Json(json!(page)))
}

/// `GET /api/v1/alerts/{id}`
pub async fn show(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    caller.demand(Right::ReadAlerts)?;
    app.spine.act("alert.view", &caller.name(), json!({"alert": id})).await?;
    let alert = blocking(&app, move |store| store.show(&id)).await?;
    Ok(Json(json!(alert)))
}

/// `POST /api/v1/alerts/{id}/ack`
pub async fn ack(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
    word: Option<Json<Word>>,
) -> Result<Json<Value>, ApiError> {
    caller.demand(Right::HandleAlerts)?;
    let (word, who, now) = (word.map(|w| w.0).unwrap_or_default(), caller.name(), app.clock.now());
    app.spine.act("alert.ack", &who, json!({"alert": id, "comment": word.comment})).await?;
    let alert = blocking(&app, move |store| store.ack(&id, &who, &word.comment, now)).await?;
    Ok(Json(json!(alert)))
}

/// `POST /api/v1/alerts/{id}/close`
pub async fn close(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
    word: Option<Json<Word>>,
) -> Result<Json<Value>, ApiError> {
    caller.demand(Right::HandleAlerts)?;
    let (word, who, now) = (word.map(|w| w.0).unwrap_or_default(), caller.name(), app.clock.now());
    let Some(verdict) = word.verdict else {
        return Err(ApiError::bad_request("no verdict; give true_positive, false_positive or benign".to_owned()));
    };
    app.spine
        .act("alert.close", &who, json!({"alert": id, "verdict": verdict, "comment": word.comment}))
        .await?;
    let alert = blocking(&app, move |store| store.close(&id, &who, verdict, &word.comment, now)).await?;
    Ok(Json(json!(alert)))
}

async fn blocking<T: Send + 'static>(
    app: &App,
    ask: impl FnOnce(&mut alert::Store) -> Result<T, AlertError> + Send + 'static,
) -> Result<T, ApiError> {
    let app = app.clone();
    let answer = tokio::task::spawn_blocking(move || ask(&mut lock(&app.alerts))).await.map_err(ApiError::internal)?;
    answer.map_err(|error| match error {
        AlertError::NotFound { .. } => ApiError::not_found(error.to_string()),
        AlertError::Ambiguous { .. } | AlertError::NotAllowed { .. } => ApiError::new(StatusCode::CONFLICT, error.to_string()),
        other => ApiError::internal(other),
    })
}
