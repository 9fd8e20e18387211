//! `GET /api/v1/queries`, `GET` and `DELETE /api/v1/queries/{id}`: questions that are being answered.

use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Value, json};

use super::{ApiError, Authenticated};
use crate::app::App;

/// The caller's.
pub async fn list(State(app): State<App>, Authenticated(caller): Authenticated) -> Result<Json<Value>, ApiError> {
    caller.demand_records()?;
    Ok(Json(json!({"queries": app.questions.of(&caller)})))
}

/// How far one is.
pub async fn show(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    caller.demand_records()?;
    app.questions.show(&id, &caller).map(Json)
}

/// Stops one. Who asked it is told that it was cancelled; who stops it, how far it was.
pub async fn cancel(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    caller.demand_records()?;
    app.questions.show(&id, &caller)?;
    let question = app.questions.cancel(&id, &caller)?;
    let reached = json!({"query": id, "looked_through": question["looked_through"], "of": question["of"]});
    app.spine.act("search.cancel", &caller, reached).await?;
    Ok(Json(question))
}
