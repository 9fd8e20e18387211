//! The body of a request that ships records: inflated within bounds, parted into records.

use std::fmt;
use std::io::Read;

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::framing;
use super::held::{Full, Held, RECORD_COST_BYTES};
use super::journal;

/// Bytes that a request may carry, as sent.
pub const BODY_BYTES_MAX: usize = 32 << 20;
/// Bytes that a request may hold once inflated.
pub const INFLATED_BYTES_MAX: usize = 64 << 20;
/// Records that a request may hold.
pub const RECORDS_MAX: usize = 200_000;
/// Bytes that are inflated between two looks at the budget.
const STEP_BYTES: usize = 256 << 10;

/// More records than [`RECORDS_MAX`].
pub const TOO_MANY: BodyError = BodyError::TooMany { limit: RECORDS_MAX };

/// Why a body was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BodyError {
    /// Larger than allowed, as sent.
    #[error("the body has more than {BODY_BYTES_MAX} bytes; send smaller batches")]
    BodyTooLarge,
    /// Larger than allowed.
    #[error("the body holds more than {INFLATED_BYTES_MAX} bytes once inflated; send smaller batches")]
    TooLarge,
    /// More records than allowed.
    #[error("the body holds more than {limit} records; send smaller batches")]
    TooMany {
        /// The bound.
        limit: usize,
    },
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
    /// The shipper closed the connection or paused too long.
    #[error("the body did not come whole")]
    Cut,
    /// No room now.
    #[error("not kept: {0}; send the same batch again")]
    Full(#[from] Full),
}

/// Inflates a body.
///
/// # Errors
/// [`BodyError`]: the shipper's, or there is no room.
pub fn inflate(body: Bytes, encoding: Option<&str>, held: &mut Held) -> Result<Bytes, BodyError> {
    match encoding.unwrap_or("identity").trim().to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(body),
        "gzip" | "x-gzip" => bounded(flate2::read::MultiGzDecoder::new(&body[..]), "gzip", held),
        "zstd" => {
            let mut decoder = zstd::stream::read::Decoder::new(&body[..]).map_err(|_| BodyError::Encoding("zstd"))?;
            // A window larger than all that may come out is not needed.
            decoder.window_log_max(26).map_err(|_| BodyError::Encoding("zstd"))?;
            bounded(decoder, "zstd", held)
        }
        other => Err(BodyError::Unknown(other.chars().take(40).collect())),
    }
}

fn bounded(mut from: impl Read, name: &'static str, held: &mut Held) -> Result<Bytes, BodyError> {
    let mut out = Vec::new();
    loop {
        held.grow(STEP_BYTES)?;
        let step = (&mut from).take(STEP_BYTES as u64).read_to_end(&mut out);
        let n = step.map_err(|_| BodyError::Encoding(name))?;
        if out.len() > INFLATED_BYTES_MAX {
            return Err(BodyError::TooLarge);
        }
        if n < STEP_BYTES {
            return Ok(out.into());
        }
    }
}

/// Parts a body into records: the elements of a JSON array, one JSON value, or one record a line.
///
/// # Errors
/// [`BodyError`]: the shipper's, or there is no room.
pub fn records(
    body: &Bytes,
    content_type: &str,
    record_bytes_max: usize,
    held: &mut Held,
) -> Result<Vec<Bytes>, BodyError> {
    let kind = content_type.split(';').next().unwrap_or("").trim();
    let records = if kind.eq_ignore_ascii_case("application/json") {
        json(body, held)?
    } else if kind.eq_ignore_ascii_case(journal::MEDIA_TYPE) {
        entries(body, held)?
    } else {
        lines(body, held)?
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

/// One record a line; blank lines are none.
///
/// # Errors
/// [`BodyError::TooMany`], or there is no room.
pub fn lines(body: &Bytes, held: &mut Held) -> Result<Vec<Bytes>, BodyError> {
    let most = memchr::memchr_iter(b'\n', body).count() + 1;
    // Blank lines are cheap to send: they are passed over before anything is made of them.
    if most > RECORDS_MAX {
        let full = body.split(|b| *b == b'\n').filter(|l| !l.is_empty()).count();
        if full > RECORDS_MAX {
            return Err(TOO_MANY);
        }
    }
    held.grow(most.min(RECORDS_MAX) * RECORD_COST_BYTES)?;
    Ok(framing::lines(body))
}

/// The entries of the journal's export format.
fn entries(body: &Bytes, held: &mut Held) -> Result<Vec<Bytes>, BodyError> {
    let count = journal::entries(body).take(RECORDS_MAX + 1).count();
    if count > RECORDS_MAX {
        return Err(TOO_MANY);
    }
    held.grow(count * RECORD_COST_BYTES)?;
    Ok(journal::entries(body).collect())
}

/// An array's elements as they stand in the text, or the one value, or NDJSON by another name.
fn json(body: &Bytes, held: &mut Held) -> Result<Vec<Bytes>, BodyError> {
    let trimmed = body.trim_ascii();
    if trimmed.first() == Some(&b'[') {
        let items: Few<'_> = serde_json::from_slice(trimmed).map_err(|e| BodyError::Json(e.to_string()))?;
        if items.more {
            return Err(TOO_MANY);
        }
        held.grow(items.values.len() * RECORD_COST_BYTES)?;
        return Ok(items
            .values
            .iter()
            .map(|i| body.slice_ref(i.get().as_bytes()))
            .collect());
    }
    let one: Result<&RawValue, _> = serde_json::from_slice(trimmed);
    match one {
        Ok(value) => {
            held.grow(RECORD_COST_BYTES)?;
            Ok(vec![body.slice_ref(value.get().as_bytes())])
        }
        Err(_) => lines(body, held),
    }
}

/// A JSON array's elements as they stand in the text, at most [`RECORDS_MAX`] of them.
#[derive(Debug, Default)]
pub struct Few<'a> {
    /// The elements.
    pub values: Vec<&'a RawValue>,
    /// Whether there were more.
    pub more: bool,
}

impl<'de: 'a, 'a> Deserialize<'de> for Few<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Few<'a>, D::Error> {
        struct Elements;
        impl<'de> Visitor<'de> for Elements {
            type Value = Few<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Few<'de>, A::Error> {
                let mut few = Few::default();
                while let Some(value) = seq.next_element()? {
                    if few.values.len() < RECORDS_MAX {
                        few.values.push(value);
                    } else {
                        few.more = true;
                    }
                }
                Ok(few)
            }
            fn visit_unit<E>(self) -> Result<Few<'de>, E> {
                Ok(Few::default())
            }
        }
        from.deserialize_any(Elements)
    }
}

#[cfg(test)]
mod tests {
    use super::super::held::Budget;
    use super::*;

    fn held() -> Held {
        Budget::new(256 << 20).share()
    }

    fn check(body: &str, content_type: &str) -> Vec<String> {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let records = records(&body, content_type, 64, &mut held()).unwrap();
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
        assert_eq!(
            inflate(bomb.clone().into(), Some("zstd"), &mut held()),
            Err(BodyError::TooLarge)
        );
        assert_eq!(
            inflate(bomb.into(), Some("zstd"), &mut Budget::new(1 << 20).share()),
            Err(BodyError::Full(Full))
        );
        assert_eq!(
            inflate(Bytes::from_static(b"x"), Some("gzip"), &mut held()),
            Err(BodyError::Encoding("gzip"))
        );
        let long = Bytes::from(vec![b'x'; 65]);
        assert!(matches!(
            records(&long, "text/plain", 64, &mut held()),
            Err(BodyError::RecordTooLarge { line: 0, given: 65, .. })
        ));
    }

    #[test]
    fn many_tiny_records_are_refused_before_they_are_made() {
        let tiny = Bytes::from("a\n".repeat(RECORDS_MAX + 1));
        assert_eq!(records(&tiny, "text/plain", 64, &mut held()), Err(TOO_MANY));
        let blank = Bytes::from("\n".repeat(RECORDS_MAX + 1) + "a");
        assert_eq!(records(&blank, "text/plain", 64, &mut held()).unwrap().len(), 1);
        let array = Bytes::from(format!("[1{}]", ",1".repeat(RECORDS_MAX)));
        assert_eq!(records(&array, "application/json", 64, &mut held()), Err(TOO_MANY));
    }
}
