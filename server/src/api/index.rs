//! `GET /api/v1/index`: what the search index holds, split by split.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::{ApiError, Authenticated};
use crate::app::App;
use crate::auth::Right;

/// For who reads records, and for who keeps the machine: it tells counts, times and sources, no record.
pub async fn show(State(app): State<App>, Authenticated(caller): Authenticated) -> Result<Json<Value>, ApiError> {
    if !caller.may(Right::ReadRecords) {
        caller.demand(Right::Administer)?;
    }
    let inventory = app.searcher.inventory();
    let splits: Vec<Value> = inventory
        .splits
        .iter()
        .map(|s| {
            json!({
                "name": s.name(),
                "events": s.events,
                "first": s.first.to_string(),
                "last": s.last.to_string(),
                "received_first": s.received.0.to_string(),
                "received_last": s.received.1.to_string(),
                "ledger_first": s.leaves.0,
                "ledger_last": s.leaves.1,
                "sources": s.sources,
                "bytes": s.bytes,
            })
        })
        .collect();
    Ok(Json(json!({
        "position": inventory.position,
        "events": inventory.events,
        "hot": {"events": inventory.hot_events, "segments": inventory.hot_segments},
        "splits": splits,
        "open": inventory.open,
        "dropped": inventory.dropped.map(|d| json!({
            "events": d.events,
            "first": d.first.to_string(),
            "last": d.last.to_string(),
            "received_before": d.received_before.to_string(),
        })),
    })))
}
