//! The alert queue.

use alert::{Error, Filter, Page, Status, Verdict};
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use model::{Millis, Severity};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{ApiError, Authenticated};
use crate::app::{App, lock};
use crate::auth::{Caller, Right};

/// Which alerts are asked for.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Asked {
    /// Any of these, with commas; default: all but the superseded.
    status: Option<String>,
    /// At least as severe.
    severity_min: Option<Severity>,
    /// Violating this clause.
    clause: Option<String>,
    /// Of this account.
    account: Option<String>,
    /// Of this person.
    person: Option<String>,
    /// Raised since (RFC 3339 or epoch ms).
    since: Option<String>,
    /// How many, at most 1000; default 50.
    limit: Option<usize>,
    /// The `next` of the page before.
    before: Option<i64>,
}

impl Asked {
    fn filter(&self) -> Result<Filter, ApiError> {
        let statuses = self
            .status
            .as_deref()
            .unwrap_or("")
            .split(',')
            .map(str::trim)
            .filter(|s| !s.is_empty());
        let status: Result<Vec<Status>, _> = statuses.map(str::parse).collect();
        let since = self.since.as_deref().map(Millis::parse).transpose();
        Ok(Filter {
            status: status.map_err(|e| ApiError::bad_request(format!("status: {e}")))?,
            severity_min: self.severity_min,
            clause: self.clause.clone(),
            account: self.account.clone(),
            person: self.person.clone(),
            since: since.map_err(|e| ApiError::bad_request(format!("since: {e}")))?,
            ..Filter::default()
        })
    }
}

/// What somebody says when handling an alert.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Word {
    comment: String,
    verdict: Option<Verdict>,
}

/// `GET /api/v1/alerts`
pub async fn list(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    Query(asked): Query<Asked>,
) -> Result<Json<Value>, ApiError> {
    caller.demand(Right::ReadAlerts)?;
    let filter = asked.filter()?;
    let page = Page {
        limit: asked.limit.unwrap_or(50).clamp(1, 1000),
        before: asked.before,
    };
    app.spine.act("alert.list", &caller, json!(asked)).await?;
    let (alerts, total) = blocking(&app, move |store| {
        Ok((store.list(&filter, page)?, store.count(&filter)?))
    })
    .await?;
    let next = alerts.last().filter(|_| alerts.len() == page.limit).map(|a| a.seq);
    Ok(Json(json!({"alerts": alerts, "total": total, "next": next})))
}

/// `GET /api/v1/alerts/{id}`
pub async fn show(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    caller.demand(Right::ReadAlerts)?;
    let id = told(&app, "alert.view", &caller, id, json!({})).await?;
    let detail = blocking(&app, move |store| store.show(&id)).await?;
    Ok(Json(json!(detail)))
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
    let said = json!({"comment": word.comment});
    let id = told(&app, "alert.ack", &caller, id, said).await?;
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
        return Err(ApiError::bad_request(
            "no verdict; give true_positive, false_positive or benign".to_owned(),
        ));
    };
    let false_positive = u8::from(verdict == Verdict::FalsePositive);
    let said = json!({"verdict": verdict, "false_positive": false_positive, "comment": word.comment});
    let id = told(&app, "alert.close", &caller, id, said).await?;
    let alert = blocking(&app, move |store| store.close(&id, &who, verdict, &word.comment, now)).await?;
    Ok(Json(json!(alert)))
}

/// Records an act upon an alert, which may have been named by the beginning of its id, with whom it is about; its whole id.
async fn told(app: &App, act: &str, caller: &Caller, id: String, mut said: Value) -> Result<String, ApiError> {
    let alert = blocking(app, move |store| store.show(&id)).await?.alert;
    let finding = &alert.finding;
    let about = [
        ("alert", json!(alert.id)),
        ("policy", json!(finding.policy.id)),
        ("title", json!(finding.policy.title)),
        ("severity", json!(finding.severity)),
        ("person", json!(finding.person)),
        ("account", json!(finding.account)),
    ];
    for (name, value) in about.into_iter().filter(|(_, v)| !v.is_null()) {
        said[name] = value;
    }
    app.spine.act(act, caller, said).await?;
    Ok(alert.id)
}

/// Asks the store, away from the threads that answer.
pub(super) async fn blocking<T: Send + 'static>(
    app: &App,
    ask: impl FnOnce(&mut alert::Store) -> Result<T, Error> + Send + 'static,
) -> Result<T, ApiError> {
    let app = app.clone();
    let answer = tokio::task::spawn_blocking(move || ask(&mut lock(&app.alerts)))
        .await
        .map_err(ApiError::internal)?;
    answer.map_err(|error| match error {
        Error::NotFound { .. } => ApiError::not_found(error.to_string()),
        Error::Ambiguous { .. } | Error::Transition { .. } => ApiError::new(StatusCode::CONFLICT, error.to_string()),
        Error::TooLong { .. } | Error::Nobody { .. } => ApiError::bad_request(error.to_string()),
        other => ApiError::internal(other),
    })
}
