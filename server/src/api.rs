//! The HTTP API. Every route but the health checks asks for a caller with the right; every act of an
//! auditor, analyst or admin is recorded in the ledger before it is answered.

use axum::extract::{ConnectInfo, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::app::App;
use crate::auth::{Caller, Right};
use crate::gateway::{bulk, hec, otlp};
use crate::spine::Refused;

mod admin;
mod aggregate;
mod alerts;
mod elastic;
mod export;
mod health;
mod index;
mod openapi;
mod queries;
pub mod records;
mod reference;
mod refusals;
mod renormalize;
mod replay;
mod reports;
pub mod saved;
pub mod search;
mod sources;
mod tail;
mod timeline;

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub enum Peer {
    /// A TCP address.
    Tcp(std::net::SocketAddr),
    /// A user of this machine, on the socket in the data folder.
    Unix {
        /// The user's id.
        uid: u32,
    },
}

/// All routes.
pub fn router(app: App) -> Router {
    let hardened = |name: header::HeaderName, value: &'static str| {
        SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
    };
    let shippers = bulk::stubs::routes()
        .into_iter()
        .fold(Router::new(), |router, (path, method)| router.route(path, method));
    shippers
        .merge(otlp_routes())
        .route("/_bulk", post(bulk::bulk).put(bulk::bulk))
        .route("/{index}/_bulk", post(bulk::bulk_of_index).put(bulk::bulk_of_index))
        .route("/services/collector", post(hec::event))
        .route("/services/collector/event", post(hec::event))
        .route("/services/collector/event/1.0", post(hec::event))
        .route("/services/collector/raw", post(hec::raw))
        .route("/services/collector/raw/1.0", post(hec::raw))
        .route("/services/collector/ack", post(hec::ack))
        .route("/services/collector/health", get(hec::health))
        .route("/services/collector/health/1.0", get(hec::health))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .route("/api/v1/ingest/{source}", post(crate::gateway::http::ingest))
        .route("/api/v1/search", get(search::search))
        .route("/api/v1/openapi.json", get(openapi::openapi))
        .route("/_search", post(elastic::search).get(elastic::search))
        .route("/{index}/_search", post(elastic::search).get(elastic::search))
        .route("/_msearch", post(elastic::msearch).get(elastic::msearch))
        .route("/{index}/_msearch", post(elastic::msearch).get(elastic::msearch))
        .route("/_count", post(elastic::count).get(elastic::count))
        .route("/{index}/_count", post(elastic::count).get(elastic::count))
        .route("/_field_caps", get(elastic::field_caps).post(elastic::field_caps))
        .route(
            "/{index}/_field_caps",
            get(elastic::field_caps).post(elastic::field_caps),
        )
        .route("/_mapping", get(elastic::mapping))
        .route("/{index}/_mapping", get(elastic::mapping))
        .route("/api/v1/aggregate", post(aggregate::aggregate))
        .route("/api/v1/compare", post(aggregate::compare))
        .route("/api/v1/timeline", get(timeline::timeline))
        .route("/api/v1/context/{*id}", get(timeline::context))
        .route("/api/v1/tail", get(tail::tail))
        .route("/api/v1/queries", get(queries::list))
        .route("/api/v1/queries/{id}", get(queries::show).delete(queries::cancel))
        .route("/api/v1/index", get(index::show))
        .route("/api/v1/saved", get(saved::list))
        .route("/api/v1/exports", post(export::begin))
        .route("/api/v1/exports/{id}", get(export::show))
        .route("/api/v1/exports/{id}/parts/{number}", get(export::part))
        .route("/api/v1/exports/{id}/finish", post(export::finish))
        .route(
            "/api/v1/saved/{name}",
            get(saved::show).put(saved::put).delete(saved::delete),
        )
        .route("/api/v1/records/{*id}", get(records::record))
        .route("/api/v1/alerts", get(alerts::list))
        .route("/api/v1/alerts/{id}", get(alerts::show))
        .route("/api/v1/alerts/{id}/ack", post(alerts::ack))
        .route("/api/v1/alerts/{id}/close", post(alerts::close))
        .route("/api/v1/reports/{day}", get(reports::show))
        .route("/api/v1/reports/{day}/sign", post(reports::sign))
        .route("/api/v1/custody", post(reports::custody))
        .route("/api/v1/replay", get(replay::replay))
        .route("/api/v1/renormalize", post(renormalize::renormalize))
        .route("/api/v1/sources", get(sources::list))
        .route("/api/v1/sources/{id}", get(sources::show))
        .route("/api/v1/tokens", post(admin::create_token))
        .route("/api/v1/reference", get(reference::list))
        .route(
            "/api/v1/reference/{table}",
            get(reference::show)
                .put(reference::import)
                .layer(axum::extract::DefaultBodyLimit::max(reference::BYTES_MAX)),
        )
        .fallback(|request: Request| async move {
            ApiError::new(
                StatusCode::NOT_FOUND,
                format!("there is nothing at {}", request.uri().path()),
            )
        })
        .layer(hardened(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(hardened(header::CACHE_CONTROL, "no-store"))
        .layer(hardened(
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'",
        ))
        .layer(axum::middleware::from_fn_with_state(
            refusals::Refusals::new(app.clone()),
            refusals::record,
        ))
        .with_state(app)
}

/// What the OTLP/gRPC listener answers: OTLP over gRPC and over HTTP, and nothing else.
pub fn otlp_router(app: App) -> Router {
    otlp_routes().with_state(app)
}

fn otlp_routes() -> Router<App> {
    Router::new()
        .route(otlp::GRPC_PATH, post(otlp::export))
        .route("/v1/logs", post(otlp::logs))
}

/// The caller of a request. Without a valid token, and not on the socket: 401.
pub struct Authenticated(pub Caller);

impl FromRequestParts<App> for Authenticated {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Authenticated, ApiError> {
        if let Some(token) = crate::auth::token_of(&parts.headers) {
            if let Some(caller) = app.tokens.caller(&token) {
                return Ok(Authenticated(caller));
            }
        } else if let Some(ConnectInfo(Peer::Unix { uid })) = parts.extensions.get::<ConnectInfo<Peer>>() {
            return Ok(Authenticated(Caller::Local { uid: *uid }));
        }
        metrics::counter!("docket_unauthenticated_total").increment(1);
        Err(ApiError::new(
            StatusCode::UNAUTHORIZED,
            "no valid token; send `Authorization: Bearer dkt_…` (an admin makes one with `docket token create`)",
        ))
    }
}

impl Caller {
    /// Fails with 403 unless the caller may search records, be it without seeing the people in them
    /// ([`Eyes`](crate::pseudonyms::Eyes)).
    ///
    /// # Errors
    /// The caller's: says who may.
    pub fn demand_records(&self) -> Result<(), ApiError> {
        self.demand(Right::ReadCovered)
    }

    /// Fails with 403 unless the caller may do this.
    ///
    /// # Errors
    /// The caller's: says who may.
    pub fn demand(&self, right: Right) -> Result<(), ApiError> {
        if self.may(right) {
            return Ok(());
        }
        let who = match right {
            Right::Ship => "shipper",
            Right::ReadAlerts => "analyst or auditor",
            Right::HandleAlerts => "analyst",
            Right::ReadRecords | Right::SeePeople => "auditor",
            Right::ReadCovered => "auditor or reviewer",
            Right::Administer => "admin",
        };
        Err(ApiError::new(
            StatusCode::FORBIDDEN,
            format!("`{}` may not do this; it takes the role {who}", self.name()),
        ))
    }
}

impl Caller {
    /// Fails with 403 unless the caller may send records of this source.
    ///
    /// # Errors
    /// The caller's: says which it may.
    pub fn demand_source(&self, source: &str) -> Result<(), ApiError> {
        if self.may_ship(source) {
            return Ok(());
        }
        Err(ApiError::new(
            StatusCode::FORBIDDEN,
            format!(
                "`{}` may not send records of source `{source}`; its token was made for others (`docket token create --source`)",
                self.name()
            ),
        ))
    }
}

/// An answer that is not what was asked for.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    message: String,
    /// Of a query that is wrong: where, in bytes.
    at: Option<usize>,
}

impl ApiError {
    /// An error with its status.
    pub fn new(status: StatusCode, message: impl Into<String>) -> ApiError {
        ApiError {
            status,
            message: message.into(),
            at: None,
        }
    }

    /// A query that cannot be answered.
    pub fn in_query(error: &::search::QueryError) -> ApiError {
        ApiError {
            at: Some(error.at),
            ..ApiError::bad_request(error.to_string())
        }
    }

    /// Its HTTP status.
    pub fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// What is wrong.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The caller's fault.
    pub fn bad_request(message: String) -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, message)
    }

    /// There is no such thing.
    pub fn not_found(message: String) -> ApiError {
        ApiError::new(StatusCode::NOT_FOUND, message)
    }

    /// Our fault: logged in full, told in short.
    pub fn internal(error: impl std::fmt::Display) -> ApiError {
        tracing::error!(%error, "Request failed.");
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the server failed: {error}"))
    }
}

impl From<Refused> for ApiError {
    /// An act that cannot be recorded is refused.
    fn from(refused: Refused) -> ApiError {
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("refused, because it cannot be recorded: {refused}"),
        )
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut body = json!({"error": self.message});
        if let Some(at) = self.at {
            body["at"] = at.into();
        }
        (self.status, Json(body)).into_response()
    }
}
