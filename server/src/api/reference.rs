//! Reference tables: `GET /api/v1/reference`, `GET` and `PUT /api/v1/reference/{table}`.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use detect::reference::schema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ApiError, Authenticated};
use crate::app::App;
use crate::auth::{Caller, Right};
use crate::reference::{TABLE_BYTES_MAX, files, table_of};
use crate::registers::Refusal;
use crate::staleness::{modified, stale};

/// Bytes of a body: a table's, and one more, to tell that it is too large.
pub const BYTES_MAX: usize = TABLE_BYTES_MAX as usize + 1;
/// Characters of a reason.
const REASON_MAX: usize = 500;

/// What goes with an import.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Import {
    /// Why; it stands in the act.
    reason: String,
}

/// Whoever keeps the tables, and auditors.
fn may_look(caller: &Caller) -> Result<(), ApiError> {
    if caller.may(Right::Administer) {
        return Ok(());
    }
    caller.demand(Right::ReadRecords)
}

/// `GET /api/v1/reference`: the tables in use, with version, rows, age and whether they are stale.
pub async fn list(State(app): State<App>, Authenticated(caller): Authenticated) -> Result<Json<Value>, ApiError> {
    may_look(&caller)?;
    let looked = tokio::task::spawn_blocking(move || described(&app)).await;
    Ok(Json(looked.map_err(ApiError::internal)?))
}

fn described(app: &App) -> Value {
    let (tables, now) = (app.tables(), app.clock.now());
    let folder = app.registers.folder();
    let paths = folder.and_then(|(dir, _)| files(dir).ok()).unwrap_or_default();
    let stale = match folder {
        Some((dir, age)) => stale(dir, age.unwrap_or(i64::MAX), now),
        None => Vec::new(),
    };
    let rows = tables.iter().map(|table| {
        let of_table = |v: &&Value| v["table"] == table.name();
        let path = paths.iter().rev().find(|p| table_of(p) == table.name());
        let written = path.and_then(|p| modified(p));
        let valid = (0..table.given().len()).filter(|row| table.valid(*row, now)).count();
        json!({
            "table": table.name(), "about": schema(table.name()).map(|s| s.about), "version": table.version(),
            "rows": table.given().len(), "valid": valid, "written": written.map(|at| at.to_string()),
            "age_s": written.map(|at| (now - at).max(0) / 1000),
            "stale": stale.iter().find(of_table).map(|v| v["reason"].clone()),
        })
    });
    json!({"tables": rows.collect::<Vec<_>>()})
}

/// `GET /api/v1/reference/{table}`: its rows.
pub async fn show(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    Path(name): Path<String>,
) -> Result<Json<Value>, ApiError> {
    may_look(&caller)?;
    let tables = app.tables();
    let Some(table) = tables.get(&name) else {
        let known: Vec<_> = tables.iter().map(|t| t.name()).collect();
        let why = format!("no table `{name}` is loaded; there are {}", known.join(", "));
        return Err(ApiError::not_found(why));
    };
    app.spine
        .act(
            "reference.view",
            &caller,
            json!({"table": name, "version": table.version()}),
        )
        .await?;
    Ok(Json(
        json!({"table": name, "version": table.version(), "rows": table.given()}),
    ))
}

/// `PUT /api/v1/reference/{table}`: puts a table (JSON, a row object a line, a topic's records, CSV) in place of the old one.
pub async fn import(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    Path(name): Path<String>,
    Query(with): Query<Import>,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    caller.demand(Right::Administer)?;
    if with.reason.chars().count() > REASON_MAX {
        return Err(ApiError::bad_request(format!(
            "a reason has at most {REASON_MAX} characters"
        )));
    }
    let done = app
        .registers
        .import(&app, &caller, &name, body.to_vec(), with.reason.trim())
        .await;
    done.map(Json).map_err(|refusal| match refusal {
        Refusal::Wrong(_) => ApiError::bad_request(refusal.to_string()),
        Refusal::NotHere(_) => ApiError::new(StatusCode::CONFLICT, refusal.to_string()),
        Refusal::NotRecorded(_) => ApiError::new(StatusCode::SERVICE_UNAVAILABLE, refusal.to_string()),
        Refusal::Failed(_) => ApiError::internal(refusal),
    })
}
