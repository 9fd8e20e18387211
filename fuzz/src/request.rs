//! The bodies of requests that ship records: inflated and parted within bounds.

use std::io::Write as _;

use bytes::Bytes;
use ingest::source::body::{self, BodyError};
use ingest::source::held::{Budget, RECORD_COST_BYTES};
use ingest::source::otlp::{Wire, split};
use ingest::source::{bulk, hec, journal};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use prost::Message as _;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::bytes::choices;
use crate::format::{normalizer, record};
use crate::{Target, event};

/// Bytes of a body.
const BODY_BYTES: usize = 4096;
/// Bytes that a request may hold; inflated bodies, records and what is decoded all count.
const ROOM_BYTES: usize = 4 << 20;
/// Events of a request that are looked at.
const EVENTS: usize = 4;

/// Every way in which HTTP brings records.
pub fn targets() -> Vec<Target> {
    let otlp = || normalizer(Some("otlp"));
    let (protobuf, json) = (otlp(), otlp());
    vec![
        Target::new("request-inflate", BODY_BYTES, inflate),
        Target::new("request-records", BODY_BYTES, records),
        Target::new("request-bulk", BODY_BYTES, bulk),
        Target::new("request-hec", BODY_BYTES, hec),
        Target::new("request-otlp-protobuf", BODY_BYTES, move |d| {
            otlp_logs(d, Wire::Protobuf, &protobuf)
        }),
        Target::new("request-otlp-json", BODY_BYTES, move |d| {
            otlp_logs(d, Wire::Json, &json)
        }),
    ]
}

/// A request as protobuf, for the seeds.
#[must_use]
pub fn protobuf(request: &ExportLogsServiceRequest) -> Vec<u8> {
    request.encode_to_vec()
}

fn inflate(data: &[u8]) {
    let ([kind], packed) = choices::<1>(data);
    let encoding = ["gzip", "zstd", "identity", " X-GZIP ", "br"][usize::from(kind) % 5];
    let mut held = Budget::new(ROOM_BYTES).share();
    match body::inflate(Bytes::copy_from_slice(packed), Some(encoding), &mut held) {
        Ok(out) if encoding == "identity" => assert_eq!(&out[..], packed),
        Ok(out) => assert!(
            out.len() <= held.bytes(),
            "{} bytes inflated, {} held",
            out.len(),
            held.bytes()
        ),
        Err(BodyError::Full(_)) => {}
        Err(error) => assert!(
            matches!(error, BodyError::Encoding(_) | BodyError::Unknown(_)),
            "{error} of {encoding}"
        ),
    }
    // And what was packed comes out whole.
    let packed = match encoding {
        "zstd" => zstd::encode_all(packed, 1).unwrap(),
        _ => {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(packed).unwrap();
            gzip.finish().unwrap()
        }
    };
    let encoding = if encoding == "zstd" { "zstd" } else { "gzip" };
    let out = body::inflate(packed.into(), Some(encoding), &mut Budget::new(ROOM_BYTES).share()).unwrap();
    assert_eq!(out, &data[data.len().min(1)..]);
}

fn records(data: &[u8]) {
    let ([kind], content) = choices::<1>(data);
    let content_type = match kind {
        b'J' => journal::MEDIA_TYPE,
        kind => ["text/plain", "application/json", "application/x-ndjson; a=b"][usize::from(kind) % 3],
    };
    let body = Bytes::copy_from_slice(content);
    let mut held = Budget::new(ROOM_BYTES).share();
    let Ok(records) = body::records(&body, content_type, 1024, &mut held) else {
        return;
    };
    assert!(
        held.bytes() >= records.len() * RECORD_COST_BYTES,
        "records that are not accounted for"
    );
    let mut at = body.as_ptr() as usize;
    for record in &records {
        assert!(!record.is_empty() && record.len() <= 1024);
        let begins = record.as_ptr() as usize;
        assert!(begins >= at, "records overlap or are out of order");
        at = begins + record.len();
    }
    assert!(
        at <= body.as_ptr() as usize + body.len(),
        "a record that is not of the body"
    );
    if content_type == "application/json" && body.trim_ascii().starts_with(b"[") {
        // Half a surrogate pair is the element's fault: it is kept, and flagged when it is read.
        let array: Vec<IgnoredAny> =
            serde_json::from_slice(body.trim_ascii()).unwrap_or_else(|e| panic!("taken, but {e}"));
        assert_eq!(array.len(), records.len());
    }
}

fn bulk(data: &[u8]) {
    let body = Bytes::copy_from_slice(data);
    let mut held = Budget::new(ROOM_BYTES).share();
    let Ok(parsed) = bulk::parse(&body, Some("path"), &mut held) else {
        return;
    };
    let lines = data.split(|b| *b == b'\n').count();
    match parsed {
        Err(malformed) => assert!((1..=lines).contains(&malformed.line), "{malformed}"),
        Ok(actions) => {
            assert!(actions.len() <= lines);
            let documents: usize = actions.iter().filter_map(|a| a.document.as_ref()).map(Bytes::len).sum();
            assert!(documents <= data.len());
            assert!(held.bytes() >= actions.len() * RECORD_COST_BYTES);
            for action in actions {
                assert!(["index", "create", "update", "delete"].contains(&action.operation));
                assert!(action.index.is_some(), "without its own index, the path's");
                assert!(action.document.is_none_or(|d| !d.contains(&b'\n')));
            }
        }
    }
}

fn hec(data: &[u8]) {
    let body = Bytes::copy_from_slice(data);
    let mut held = Budget::new(ROOM_BYTES).share();
    let Ok(Ok(events)) = hec::events(&body, &mut held) else {
        return;
    };
    let mut bytes = 0;
    for event in &events {
        bytes += event.payload.len();
        if let Some(envelope) = &event.envelope {
            bytes += envelope.len();
            // As it was written: half a surrogate pair is JSON, and no text.
            let written = serde_json::from_slice::<IgnoredAny>(envelope);
            written.unwrap_or_else(|e| panic!("{e} in {envelope:?}"));
            assert!(envelope.starts_with(b"{"));
        }
    }
    assert!(bytes <= held.bytes(), "{bytes} bytes, {} held", held.bytes());
    assert!(bytes <= 2 * data.len(), "{bytes} of {}", data.len());
}

fn otlp_logs(data: &[u8], wire: Wire, otlp: &ingest::Normalizer) {
    let body = Bytes::copy_from_slice(data);
    let mut held = Budget::new(ROOM_BYTES).share();
    let Ok(Ok(records)) = split(&body, wire, Some("service.name"), &mut held) else {
        return;
    };
    let bytes: usize = records.iter().map(|r| r.payload.len()).sum();
    assert!(bytes <= held.bytes(), "{bytes} bytes, {} held", held.bytes());
    for one in &records {
        let written = serde_json::from_slice::<IgnoredAny>(&one.payload);
        written.unwrap_or_else(|e| panic!("{e}: {:?}", one.payload));
        // Half a surrogate pair is JSON, and no text.
        if let Ok(parsed) = serde_json::from_slice::<Value>(&one.payload) {
            let list = &parsed["resourceLogs"][0]["scopeLogs"][0]["logRecords"];
            assert_eq!(list.as_array().map(Vec::len), Some(1), "{parsed}");
        }
        if wire == Wire::Protobuf {
            let read = serde_json::from_slice::<ExportLogsServiceRequest>(&one.payload);
            assert!(read.is_ok(), "{read:?}: {:?}", one.payload);
        }
    }
    for one in records
        .iter()
        .take(EVENTS)
        .filter(|r| r.payload.len() <= 4 * BODY_BYTES)
    {
        event::check(otlp, &record("s", &one.payload));
    }
}
