//! `LogsService/Export`: OTLP over gRPC. One unary call, written by hand so that it has the bounds of every other
//! request. Source: gRPC over HTTP/2, <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::{BufMut as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use prost::Message as _;

use super::http::response;
use super::{Partial, Refusal, Wire, caller, count, keep};
use crate::app::App;
use crate::gateway::body::{self, BodyError, text};
use crate::gateway::http::count_refused;

/// The call's path.
pub const PATH: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
/// A message's flag and length.
const PREFIX_BYTES: usize = 5;

/// The codes that are answered. Source: gRPC, `doc/statuscodes.md`.
#[derive(Clone, Copy)]
enum Code {
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    Unimplemented = 12,
    Unavailable = 14,
    Unauthenticated = 16,
}

/// Takes a request of log records.
pub async fn export(State(app): State<App>, headers: HeaderMap, body: axum::body::Body) -> Response {
    let content_type = text(&headers, header::CONTENT_TYPE.as_str()).unwrap_or_default();
    if !content_type.starts_with("application/grpc") {
        return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
    }
    match call(&app, &headers, body).await {
        Ok(partial) => success(&response(partial).encode_to_vec()),
        Err(refusal) => {
            count(&app, &refusal);
            failure(&refusal)
        }
    }
}

async fn call(app: &App, headers: &HeaderMap, body: axum::body::Body) -> Result<Partial, Refusal> {
    let caller = caller(app, headers)?;
    let (held, body) = body::read(&app.intake.budget, body).await?;
    let (compressed, message) = unframe(&body).map_err(|e| Refusal::Bad(e.to_owned()))?;
    let encoding = match compressed {
        true => text(headers, "grpc-encoding").unwrap_or("identity").to_owned(),
        false => "identity".to_owned(),
    };
    let (held, message) = body::work(held, move |held| body::inflate(message, Some(&encoding), held)).await?;
    keep(app, &caller, headers, held, message, Wire::Protobuf).await
}

/// The one message of a call, and whether it is compressed.
fn unframe(body: &Bytes) -> Result<(bool, Bytes), &'static str> {
    let Some((&[flag, a, b, c, d], _)) = body.split_first_chunk::<PREFIX_BYTES>() else {
        return Err("the call has no message");
    };
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    if flag > 1 || body.len() - PREFIX_BYTES != length {
        return Err("the call is not one whole message");
    }
    Ok((flag == 1, body.slice(PREFIX_BYTES..)))
}

fn success(message: &[u8]) -> Response {
    let mut framed = BytesMut::with_capacity(PREFIX_BYTES + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).expect("an answer is a few bytes"));
    framed.put_slice(message);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::new(framed.freeze()).with_trailers(async { Some(Ok(trailers)) });
    (
        [
            (header::CONTENT_TYPE, "application/grpc"),
            (
                header::HeaderName::from_static("grpc-accept-encoding"),
                "identity,gzip,zstd",
            ),
        ],
        axum::body::Body::new(body),
    )
        .into_response()
}

fn failure(refusal: &Refusal) -> Response {
    let code = match refusal {
        Refusal::Unknown => Code::Unauthenticated,
        Refusal::Forbidden(_) => Code::PermissionDenied,
        Refusal::Busy(_) => {
            count_refused();
            Code::Unavailable
        }
        Refusal::Body(BodyError::Cut) => Code::DeadlineExceeded,
        Refusal::Body(BodyError::Unknown(_)) => Code::Unimplemented,
        Refusal::Body(error) if body::status(error) == StatusCode::PAYLOAD_TOO_LARGE => Code::ResourceExhausted,
        Refusal::Bad(_) | Refusal::Body(_) => Code::InvalidArgument,
    };
    let escaped: String = refusal.to_string().bytes().map(escape).collect();
    let mut answer = HeaderMap::new();
    answer.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    answer.insert("grpc-status", HeaderValue::from(code as u16));
    if let Ok(message) = HeaderValue::from_str(&escaped) {
        answer.insert("grpc-message", message);
    }
    answer.into_response()
}

fn escape(byte: u8) -> String {
    match byte {
        b'%' => "%25".to_owned(),
        b' '..=b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_one_whole_message() {
        assert_eq!(
            unframe(&Bytes::from_static(b"\x01\0\0\0\x02ab")),
            Ok((true, Bytes::from_static(b"ab")))
        );
        for wrong in [
            &b""[..],
            b"\0\0\0\0",
            b"\0\0\0\0\x02a",
            b"\0\0\0\0\x01ab",
            b"\x02\0\0\0\0",
        ] {
            assert!(unframe(&Bytes::from_static(wrong)).is_err());
        }
    }
}
