//! The body of an ingest request: inflated within bounds, parted into records.

use std::io::Read;

use bytes::Bytes;

/// Bytes that a request may carry, as sent.
pub const BODY_BYTES_MAX: usize = 32 << 20;
/// Bytes that a request may hold once inflated.
pub const INFLATED_BYTES_MAX: usize = 64 << 20;

/// Why a body was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BodyError {
    /// Larger than allowed.
    #[error("the body holds more than {INFLATED_BYTES_MAX} bytes once inflated; send smaller batches")]
    TooLarge,
    /// One record is larger than allowed.
    #[error("record {line} has {given} bytes, at most {limit} are kept; nothing of this request was kept")]
    RecordTooLarge {
        /// Which record, from 0.
        line: usize,
        /// Its bytes.
        given: usize,
        /// The bound.
        limit: usize,
    },
    /// Not what `Content-Encoding` says.
    #[error("the body is not {0}")]
    Encoding(&'static str),
    /// An encoding that we do not read.
    #[error("Content-Encoding `{0}` is not read here; give gzip, zstd or none")]
    Unknown(String),
    /// `application/json` that is not JSON.
    #[error("the body is not JSON ({0}); send one record a line as application/x-ndjson or text/plain")]
    Json(String),
}

/// Inflates a body.
///
/// # Errors
/// [`BodyError`]: the shipper's.
pub fn inflate(body: Bytes, encoding: Option<&str>) -> Result<Bytes, BodyError> {
    match encoding.unwrap_or("identity").trim().to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(body),
        "gzip" | "x-gzip" => bounded(flate2::read::MultiGzDecoder::new(&body[..]), "gzip"),
        "zstd" => {
            let decoder = zstd::stream::read::Decoder::new(&body[..]).map_err(|_| BodyError::Encoding("zstd"))?;
            bounded(decoder, "zstd")
        }
        other => Err(BodyError::Unknown(other.chars().take(40).collect())),
    }
}

fn bounded(from: impl Read, name: &'static str) -> Result<Bytes, BodyError> {
    let mut out = Vec::new();
    from.take(INFLATED_BYTES_MAX as u64 + 1)
        .read_to_end(&mut out)
        .map_err(|_| BodyError::Encoding(name))?;
    if out.len() > INFLATED_BYTES_MAX {
        Err(BodyError::TooLarge)
    } else {
        Ok(out.into())
    }
}

/// Parts a body into records: the elements of a JSON array, one JSON value, or one record a line.
///
/// # Errors
/// [`BodyError`]: the shipper's.
pub fn records(body: &Bytes, content_type: &str, record_bytes_max: usize) -> Result<Vec<Bytes>, BodyError> {
    let kind = content_type.split(';').next().unwrap_or("").trim();
    let records = if kind.eq_ignore_ascii_case("application/json") {
        json(body)?
    } else {
        ingest::source::framing::lines(body)
    };
    match records.iter().enumerate().find(|(_, r)| r.len() > record_bytes_max) {
        Some((line, r)) => Err(BodyError::RecordTooLarge {
            line,
            given: r.len(),
            limit: record_bytes_max,
        }),
        None => Ok(records),
    }
}

/// An array's elements as they stand in the text, or the one value, or NDJSON by another name.
fn json(body: &Bytes) -> Result<Vec<Bytes>, BodyError> {
    let trimmed = body.trim_ascii();
    if trimmed.first() == Some(&b'[') {
        let items: Vec<&serde_json::value::RawValue> =
            serde_json::from_slice(trimmed).map_err(|e| BodyError::Json(e.to_string()))?;
        return Ok(items
            .iter()
            .map(|i| Bytes::copy_from_slice(i.get().as_bytes()))
            .collect());
    }
    let one: Result<&serde_json::value::RawValue, _> = serde_json::from_slice(trimmed);
    match one {
        Ok(value) => Ok(vec![Bytes::copy_from_slice(value.get().as_bytes())]),
        Err(_) => Ok(ingest::source::framing::lines(body)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, content_type: &str) -> Vec<String> {
        let records = records(&Bytes::copy_from_slice(body.as_bytes()), content_type, 64).unwrap();
        records
            .iter()
            .map(|r| String::from_utf8_lossy(r).into_owned())
            .collect()
    }

    #[test]
    fn a_body_is_lines_or_json() {
        assert_eq!(check("a\nb\r\n\nc", "text/plain"), ["a", "b", "c"]);
        assert_eq!(
            check("{\"a\":1}\n{\"a\":2}\n", "application/x-ndjson"),
            ["{\"a\":1}", "{\"a\":2}"]
        );
        assert_eq!(
            check("[{\"a\": 1},\n 2]", "application/json; charset=utf-8"),
            ["{\"a\": 1}", "2"]
        );
        assert_eq!(check("{\"a\":\n1}", "application/json"), ["{\"a\":\n1}"]);
        assert_eq!(
            check("{\"a\":1}\n{\"a\":2}", "application/json"),
            ["{\"a\":1}", "{\"a\":2}"]
        );
    }

    #[test]
    fn bombs_and_long_records_are_refused() {
        let bomb = zstd::encode_all(&vec![0u8; INFLATED_BYTES_MAX + 1][..], 3).unwrap();
        assert_eq!(inflate(bomb.into(), Some("zstd")), Err(BodyError::TooLarge));
        assert_eq!(
            inflate(Bytes::from_static(b"x"), Some("gzip")),
            Err(BodyError::Encoding("gzip"))
        );
        let long = Bytes::from(vec![b'x'; 65]);
        assert!(matches!(
            records(&long, "text/plain", 64),
            Err(BodyError::RecordTooLarge { line: 0, given: 65, .. })
        ));
    }
}
