//! The body of a request that ships records: read within bounds; `ingest::source::body` inflates and parts it.

use std::time::Duration;

use axum::http::{HeaderMap, StatusCode, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
pub use ingest::source::body::{BODY_BYTES_MAX, BodyError, inflate, lines, records};

use super::held::{Budget, Held};

/// How long a shipper may pause within a body.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// The status that tells the shipper whose move it is.
pub fn status(error: &BodyError) -> StatusCode {
    match error {
        BodyError::BodyTooLarge
        | BodyError::TooLarge
        | BodyError::TooMany { .. }
        | BodyError::RecordTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        BodyError::Unknown(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        BodyError::Encoding(_) | BodyError::Json(_) => StatusCode::BAD_REQUEST,
        BodyError::Cut => StatusCode::REQUEST_TIMEOUT,
        BodyError::Full(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// A header's text; nothing where it is absent or no text.
pub fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|v| v.to_str().ok())
}

/// Reads a body to its end, without inflating it.
///
/// # Errors
/// [`BodyError`].
pub async fn read(budget: &Budget, mut body: axum::body::Body) -> Result<(Held, Bytes), BodyError> {
    let mut held = budget.share();
    let mut whole = BytesMut::new();
    while let Some(frame) = tokio::time::timeout(PAUSE_MAX, body.frame())
        .await
        .map_err(|_| BodyError::Cut)?
    {
        let Ok(data) = frame.map_err(|_| BodyError::Cut)?.into_data() else {
            continue;
        };
        if whole.len() + data.len() > BODY_BYTES_MAX {
            return Err(BodyError::BodyTooLarge);
        }
        held.grow(data.len())?;
        whole.extend_from_slice(&data);
    }
    Ok((held, whole.freeze()))
}

/// Reads a body to its end and inflates it as its headers say.
///
/// # Errors
/// [`BodyError`].
pub async fn take(budget: &Budget, headers: &HeaderMap, body: axum::body::Body) -> Result<(Held, Bytes), BodyError> {
    let encoding = text(headers, header::CONTENT_ENCODING.as_str()).map(str::to_owned);
    let (held, body) = read(budget, body).await?;
    work(held, move |held| inflate(body, encoding.as_deref(), held)).await
}

/// Does work that takes a while beside the runtime's threads.
///
/// # Errors
/// The work's.
pub async fn work<T: Send + 'static>(
    mut held: Held,
    work: impl FnOnce(&mut Held) -> Result<T, BodyError> + Send + 'static,
) -> Result<(Held, T), BodyError> {
    let done = tokio::task::spawn_blocking(move || work(&mut held).map(|t| (held, t)));
    // A panic is a fault of ours; the shipper keeps its records.
    done.await.map_err(|_| BodyError::Cut)?
}
