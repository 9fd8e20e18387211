//! Liveness, readiness, metrics.

use std::sync::atomic::Ordering;

use axum::extract::{ConnectInfo, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::json;

use super::{ApiError, Authenticated, Peer};
use crate::app::App;
use crate::auth::Right;

/// Alive.
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// Ready to take records; with how far each stage is.
pub async fn readyz(State(app): State<App>) -> Response {
    let ready = app.ready.load(Ordering::Relaxed);
    let kafka = app.kafka.as_ref().map(|k| k.health());
    let positions = json!({
        "kafka": kafka.map(|k| json!({
            "connected": k.connected,
            "trouble": k.trouble,
            "topics_missing": k.topics_missing,
            "lag": k.partitions.iter().map(|p| p.lag()).sum::<i64>(),
        })),
        "ready": ready,
        "durable": *app.spine.durable().borrow(),
        "judged": app.progress.position(),
        "searchable": app.searchable.load(Ordering::Relaxed),
    });
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(positions)).into_response()
}

/// Metrics for Prometheus: for this machine, or with an admin's token.
pub async fn metrics(
    State(app): State<App>,
    peer: Option<Extension<ConnectInfo<Peer>>>,
    caller: Result<Authenticated, ApiError>,
) -> Result<String, ApiError> {
    let near = match peer {
        Some(Extension(ConnectInfo(Peer::Tcp(address)))) => address.ip().is_loopback(),
        Some(Extension(ConnectInfo(Peer::Unix { .. }))) => true,
        None => false,
    };
    if !near {
        caller?.0.demand(Right::Administer)?;
    }
    metrics::gauge!("docket_ledger_size").set(app.spine.durable().borrow().0 as f64);
    if let Some(kafka) = &app.kafka {
        let health = kafka.health();
        metrics::gauge!("docket_kafka_connected").set(f64::from(u8::from(health.connected)));
        for p in &health.partitions {
            let labels = [("topic", p.topic.to_string()), ("partition", p.partition.to_string())];
            metrics::gauge!("docket_kafka_lag", &labels).set(p.lag() as f64);
        }
    }
    app.metrics.run_upkeep();
    Ok(app.metrics.render())
}
