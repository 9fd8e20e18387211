//! `POST /v1/logs`: OTLP over HTTP, protobuf or JSON, answered in kind.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceResponse};
use prost::Message as _;
use serde_json::json;

use super::{Partial, Refusal, Wire, caller, count, keep};
use crate::app::App;
use crate::gateway::body::{self, text};
use crate::gateway::http::count_refused;

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// Takes a request of log records.
pub async fn logs(State(app): State<App>, headers: HeaderMap, body: axum::body::Body) -> Response {
    let content_type = text(&headers, header::CONTENT_TYPE.as_str()).unwrap_or_default();
    let wire = match content_type.split(';').next().unwrap_or_default().trim() {
        PROTOBUF => Wire::Protobuf,
        JSON => Wire::Json,
        other => {
            let given: String = other.chars().take(80).collect();
            let message = format!("Content-Type `{given}` is not read here; give {PROTOBUF} or {JSON}");
            return status(Wire::Json, StatusCode::UNSUPPORTED_MEDIA_TYPE, &message);
        }
    };
    let kept = async {
        let caller = caller(&app, &headers)?;
        let (held, body) = body::take(&app.intake.budget, &headers, body).await?;
        keep(&app, &caller, &headers, held, body, wire).await
    };
    match kept.await {
        Ok(partial) => success(wire, partial),
        Err(refusal) => {
            count(&app, &refusal);
            let code = match &refusal {
                Refusal::Unknown => StatusCode::UNAUTHORIZED,
                Refusal::Forbidden(_) => StatusCode::FORBIDDEN,
                Refusal::Bad(_) => StatusCode::BAD_REQUEST,
                Refusal::Body(error) => body::status(error),
                Refusal::Busy(_) => {
                    count_refused();
                    StatusCode::SERVICE_UNAVAILABLE
                }
            };
            status(wire, code, &refusal.to_string())
        }
    }
}

/// What is answered when records were kept; also over gRPC.
pub fn response(partial: Partial) -> ExportLogsServiceResponse {
    let told = (partial.rejected > 0).then_some(ExportLogsPartialSuccess {
        rejected_log_records: partial.rejected,
        error_message: partial.message,
    });
    ExportLogsServiceResponse { partial_success: told }
}

fn success(wire: Wire, partial: Partial) -> Response {
    match wire {
        Wire::Protobuf => ([(header::CONTENT_TYPE, PROTOBUF)], response(partial).encode_to_vec()).into_response(),
        Wire::Json => {
            let told = match partial.rejected {
                0 => json!({}),
                // 64-bit numbers are text in the JSON of protobuf.
                n => {
                    json!({"partialSuccess": {"rejectedLogRecords": n.to_string(), "errorMessage": partial.message}})
                }
            };
            axum::Json(told).into_response()
        }
    }
}

/// A `google.rpc.Status`. Source: OTLP 1.5, "Failures".
fn status(wire: Wire, code: StatusCode, message: &str) -> Response {
    let body = match wire {
        Wire::Json => axum::Json(json!({"message": message})).into_response(),
        Wire::Protobuf => {
            let mut status = Vec::new();
            prost::encoding::string::encode(2, &message.to_owned(), &mut status);
            ([(header::CONTENT_TYPE, PROTOBUF)], status).into_response()
        }
    };
    match code {
        StatusCode::SERVICE_UNAVAILABLE => (code, [(header::RETRY_AFTER, "1")], body).into_response(),
        code => (code, body).into_response(),
    }
}
