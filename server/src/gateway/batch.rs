//! `X-Docket-Batch: <id>`: a shipper that sends a batch again under its id has each record counted once.

use axum::http::HeaderMap;
use bytes::Bytes;
use ingest::dedup::HEADER_BATCH;

use super::body::text;

/// The header that names a batch.
pub const HEADER: &str = "x-docket-batch";
/// Bytes that an id may have.
const ID_BYTES_MAX: usize = 200;

/// Names the records of one request; of a request without a batch id, none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch(Option<String>);

impl Batch {
    /// The batch that a request names. Ids of different callers are different.
    ///
    /// # Errors
    /// The shipper's: says what an id may be.
    pub fn of(headers: &HeaderMap, caller: &str) -> Result<Batch, String> {
        let Some(value) = headers.get(HEADER) else {
            return Ok(Batch(None));
        };
        let id = text(headers, HEADER).filter(|id| (1..=ID_BYTES_MAX).contains(&id.len()));
        match id.filter(|id| id.bytes().all(|b| b.is_ascii_graphic())) {
            Some(id) => Ok(Batch(Some(format!("{caller}/{id}")))),
            None => Err(format!(
                "{HEADER} has {} bytes; give 1 to {ID_BYTES_MAX} visible ASCII characters, the same when the same batch is sent again",
                value.len()
            )),
        }
    }

    /// The headers of the record at this place of the batch.
    pub fn headers(&self, place: usize) -> Vec<(String, Bytes)> {
        let id = self.0.as_ref().map(|b| format!("{b}/{place}"));
        id.map(|id| (HEADER_BATCH.to_owned(), id.into())).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_bounded_and_the_callers_own() {
        let of = |id: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, id.parse().unwrap());
            Batch::of(&headers, "s").map(|b| b.headers(7))
        };
        assert_eq!(of("b1").unwrap(), [(HEADER_BATCH.to_owned(), Bytes::from("s/b1/7"))]);
        for wrong in ["", "a b", &"x".repeat(201)] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
        assert!(Batch::of(&HeaderMap::new(), "s").unwrap().headers(0).is_empty());
    }
}
