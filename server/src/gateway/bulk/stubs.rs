//! What shippers ask an Elasticsearch before they send to it: who it is, its licence, its templates and policies.
//!
//! Templates and policies say how to index; the record's formats say that here. They are answered as set up.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderName, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any, get};
use serde_json::{Value, json};

use crate::api::{ApiError, Authenticated};
use crate::app::App;
use crate::auth::Right;

/// Shippers of version 8 refuse a server without this header.
const PRODUCT: (HeaderName, &str) = (HeaderName::from_static("x-elastic-product"), "Elasticsearch");

/// The routes that are only asked.
pub fn routes() -> Vec<(&'static str, MethodRouter<App>)> {
    vec![
        ("/", get(root)),
        ("/_license", get(license)),
        ("/_xpack", get(xpack)),
        ("/_xpack/license", get(license)),
        ("/_cluster/health", get(health)),
        ("/_nodes/http", get(nodes)),
        ("/_nodes/_local", get(nodes)),
        ("/_cat/templates/{name}", any(nothing_listed)),
        ("/_cat/indices", any(nothing_listed)),
        ("/_ilm/policy/{name}", any(named)),
        ("/_index_template/{name}", any(named)),
        ("/_component_template/{name}", any(named)),
        ("/_template/{name}", any(named)),
        ("/_ingest/pipeline/{name}", any(named)),
        ("/_data_stream/{name}", any(named)),
        ("/_alias/{name}", any(named)),
    ]
}

/// An answer in Elasticsearch's name.
pub fn elastic(answer: impl IntoResponse) -> Response {
    ([PRODUCT], answer).into_response()
}

async fn root(State(app): State<App>, Authenticated(caller): Authenticated) -> Result<Response, ApiError> {
    // Grafana asks as well, by a token that reads.
    if !caller.may(Right::ReadRecords) {
        caller.demand(Right::Ship)?;
    }
    Ok(elastic(Json(json!({
        "name": "docket",
        "cluster_name": "docket",
        "cluster_uuid": "docket",
        "version": {
            "number": app.intake.bulk.version,
            "build_flavor": "default",
            "build_type": "docket",
            "lucene_version": "9.12.0",
            "minimum_wire_compatibility_version": "7.17.0",
            "minimum_index_compatibility_version": "7.0.0",
        },
        "tagline": "You Know, for Search",
    }))))
}

async fn license(Authenticated(caller): Authenticated) -> Result<Response, ApiError> {
    caller.demand(Right::Ship)?;
    Ok(elastic(Json(json!({"license": license_value()}))))
}

fn license_value() -> Value {
    json!({"uid": "docket", "status": "active", "type": "basic", "mode": "basic", "issued_to": "docket"})
}

async fn xpack(Authenticated(caller): Authenticated) -> Result<Response, ApiError> {
    caller.demand(Right::Ship)?;
    let off = json!({"available": false, "enabled": false});
    Ok(elastic(Json(json!({
        "license": license_value(),
        "features": {"ilm": off, "logstash": off, "monitoring": off, "security": off},
    }))))
}

async fn health(State(app): State<App>, Authenticated(caller): Authenticated) -> Result<Response, ApiError> {
    caller.demand(Right::Ship)?;
    if !app.ready.load(std::sync::atomic::Ordering::Relaxed) {
        return Ok((StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")]).into_response());
    }
    Ok(elastic(Json(json!({
        "cluster_name": "docket", "status": "green", "timed_out": false, "number_of_nodes": 1,
        "number_of_data_nodes": 1, "active_shards_percent_as_number": 100.0,
    }))))
}

/// No node is listed: a shipper that sniffs stays with the address that it has.
async fn nodes(Authenticated(caller): Authenticated) -> Result<Response, ApiError> {
    caller.demand(Right::Ship)?;
    Ok(elastic(Json(json!({"nodes": {}}))))
}

async fn nothing_listed(Authenticated(caller): Authenticated) -> Result<Response, ApiError> {
    caller.demand(Right::Ship)?;
    Ok(elastic(Json(json!([]))))
}

/// A template, policy or pipeline: it is there, and setting it up again is fine.
async fn named(
    Authenticated(caller): Authenticated,
    method: Method,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    caller.demand(Right::Ship)?;
    Ok(match method {
        Method::HEAD => elastic(StatusCode::OK),
        Method::GET => {
            let name: String = name.chars().take(200).collect();
            elastic(Json(json!({name: {}})))
        }
        Method::PUT | Method::POST => elastic(Json(json!({"acknowledged": true}))),
        _ => elastic(StatusCode::METHOD_NOT_ALLOWED),
    })
}
