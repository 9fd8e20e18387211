//! Tokens.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ApiError, Authenticated};
use crate::app::App;
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
            &caller,
            json!({"name": asked.name, "role": asked.role, "sources": asked.sources}),
        )
        .await?;
    let token = app
        .tokens
        .create_for(&asked.name, asked.role, &asked.sources, app.clock.now())
        .map_err(|e| ApiError::bad_request(format!("{e:#}")))?;
    Ok(Json(json!({"name": asked.name, "role": asked.role, "token": token})))
}
