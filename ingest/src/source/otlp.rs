//! An OTLP logs request parted into its log records, each with its resource and scope, within bounds.
//!
//! Of a protobuf request the outer levels are walked by hand, and each log record is decoded alone: decoded whole,
//! 64 MiB of empty messages would become gigabytes.

use bytes::{Buf as _, Bytes};
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::logs::v1 as logs;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::body::{BodyError, Few, RECORDS_MAX, TOO_MANY};
use super::held::{Held, RECORD_COST_BYTES};

/// Bytes that all records of a request may have, each with its own copy of resource and scope.
const RECORDS_BYTES_MAX: usize = 96 << 20;
/// Bytes of one protobuf message that is decoded.
const MESSAGE_BYTES_MAX: usize = 2 << 20;
/// How many times its own bytes a hostile message may take when it is decoded.
const DECODED_FACTOR: usize = 64;
/// Messages up to this size are decoded without asking for room.
const SMALL_BYTES: usize = 64 << 10;

/// How a request is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// `application/x-protobuf`, and gRPC.
    Protobuf,
    /// `application/json`.
    Json,
}

/// The attribute that is unique to a log record. Source: OpenTelemetry's semantic conventions, "General logs attributes".
const UID: &str = "log.record.uid";

/// One log record.
#[derive(Debug, PartialEq, Eq)]
pub struct LogRecord {
    /// OTLP/JSON.
    pub payload: Bytes,
    /// What the resource's attribute says that it is a record of.
    pub source: Option<String>,
    /// Its attribute `log.record.uid`, by which one that is sent again is known.
    pub uid: Option<String>,
}

/// Parts a request. `attribute` is the resource attribute that names the source.
///
/// # Errors
/// [`BodyError`]: too much, or no room. Inside: what is wrong with the request.
pub fn split(
    body: &Bytes,
    wire: Wire,
    attribute: Option<&str>,
    held: &mut Held,
) -> Result<Result<Vec<LogRecord>, String>, BodyError> {
    let mut out = Out {
        records: Vec::new(),
        bytes: 0,
        attribute,
        held,
    };
    let done = match wire {
        Wire::Protobuf => protobuf(body, &mut out),
        Wire::Json => json(body, &mut out),
    };
    match done {
        Ok(()) => Ok(Ok(out.records)),
        Err(Stop::Wrong(why)) => Ok(Err(why)),
        Err(Stop::Body(error)) => Err(error),
    }
}

enum Stop {
    Wrong(String),
    Body(BodyError),
}

impl From<BodyError> for Stop {
    fn from(error: BodyError) -> Stop {
        Stop::Body(error)
    }
}

impl From<prost::DecodeError> for Stop {
    fn from(error: prost::DecodeError) -> Stop {
        Stop::Wrong(format!("the body is not an OTLP logs request: {error}"))
    }
}

impl From<serde_json::Error> for Stop {
    fn from(error: serde_json::Error) -> Stop {
        Stop::Wrong(format!("the body is not an OTLP/JSON logs request: {error}"))
    }
}

struct Out<'a> {
    records: Vec<LogRecord>,
    bytes: usize,
    attribute: Option<&'a str>,
    held: &'a mut Held,
}

/// A level's own text, before and after the one below.
struct Around {
    before: String,
    after: String,
}

impl Around {
    fn new(name: &str, value: Option<&str>, list: &str, schema_url: Option<&str>) -> Around {
        let mut before = String::from("{");
        if let Some(value) = value {
            before.push_str(&format!("\"{name}\":{value},"));
        }
        before.push_str(&format!("\"{list}\":["));
        let after = match schema_url {
            Some(url) => format!("],\"schemaUrl\":{url}}}"),
            None => "]}".to_owned(),
        };
        Around { before, after }
    }
}

impl Out<'_> {
    fn push(&mut self, resource: &Around, scope: &Around, record: &str, source: Option<&String>) -> Result<(), Stop> {
        const OUTER: (&str, &str) = ("{\"resourceLogs\":[", "]}");
        let parts = [
            OUTER.0,
            &resource.before,
            &scope.before,
            record,
            &scope.after,
            &resource.after,
            OUTER.1,
        ];
        let bytes: usize = parts.iter().map(|p| p.len()).sum();
        if self.records.len() >= RECORDS_MAX {
            return Err(TOO_MANY.into());
        }
        self.bytes += bytes;
        if self.bytes > RECORDS_BYTES_MAX {
            return Err(BodyError::TooLarge.into());
        }
        self.held.grow(bytes + RECORD_COST_BYTES).map_err(BodyError::from)?;
        self.records.push(LogRecord {
            payload: parts.concat().into(),
            source: source.cloned(),
            // Most have none, and are not parsed for it.
            uid: record.contains(UID).then(|| attribute(record, UID)).flatten(),
        });
        Ok(())
    }

    /// Decodes one message alone, with room for what it may become, and writes it as JSON.
    fn decoded<M: Message + Default + Serialize>(&mut self, message: &Bytes) -> Result<String, Stop> {
        if message.len() > MESSAGE_BYTES_MAX {
            let why = format!(
                "a resource, scope or log record of {} bytes, at most {MESSAGE_BYTES_MAX} are read",
                message.len()
            );
            return Err(Stop::Wrong(why));
        }
        let before = self.held.bytes();
        if message.len() > SMALL_BYTES {
            self.held
                .grow(message.len() * DECODED_FACTOR)
                .map_err(BodyError::from)?;
        }
        let text = serde_json::to_string(&M::decode(message.clone())?)?;
        self.held.shrink_to(before);
        Ok(text)
    }

    fn source(&self, resource: Option<&str>) -> Option<String> {
        attribute(resource?, self.attribute?)
    }
}

/// The text of an attribute of a resource or a log record.
fn attribute(resource: &str, wanted: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Attributes<'a> {
        #[serde(borrow, default)]
        attributes: Few<'a>,
    }
    #[derive(Deserialize)]
    struct KeyValue {
        key: String,
        value: Text,
    }
    #[derive(Deserialize)]
    struct Text {
        #[serde(rename = "stringValue", alias = "string_value")]
        text: String,
    }
    let resource: Attributes<'_> = serde_json::from_str(resource).ok()?;
    let mut attributes = resource.attributes.values.iter();
    attributes.find_map(|a| {
        let a: KeyValue = serde_json::from_str(a.get()).ok()?;
        (a.key == wanted).then_some(a.value.text)
    })
}

fn protobuf(body: &Bytes, out: &mut Out<'_>) -> Result<(), Stop> {
    for (_, resource_logs) in fields(body, &[1])? {
        let parts = fields(&resource_logs, &[1, 2, 3])?;
        let resource = match last(&parts, 1) {
            Some(bytes) => Some(out.decoded::<Resource>(bytes)?),
            None => None,
        };
        let schema_url = schema_url(&parts)?;
        let around = Around::new("resource", resource.as_deref(), "scopeLogs", schema_url.as_deref());
        let source = out.source(resource.as_deref());
        for (_, scope_logs) in parts.iter().filter(|p| p.0 == 2) {
            let parts = fields(scope_logs, &[1, 2, 3])?;
            let scope = match last(&parts, 1) {
                Some(bytes) => Some(out.decoded::<InstrumentationScope>(bytes)?),
                None => None,
            };
            let schema_url = self::schema_url(&parts)?;
            let within = Around::new("scope", scope.as_deref(), "logRecords", schema_url.as_deref());
            for (_, record) in parts.iter().filter(|p| p.0 == 2) {
                let record = out.decoded::<logs::LogRecord>(record)?;
                out.push(&around, &within, &record, source.as_ref())?;
            }
        }
    }
    Ok(())
}

type Fields = Vec<(u32, Bytes)>;

/// The length-delimited fields of a message with these numbers; others are passed over.
fn fields(message: &Bytes, wanted: &[u32]) -> Result<Fields, Stop> {
    let mut rest = message.clone();
    let mut fields = Vec::new();
    while rest.has_remaining() {
        let (number, wire_type) = decode_key(&mut rest)?;
        if wire_type != WireType::LengthDelimited || !wanted.contains(&number) {
            skip_field(wire_type, number, &mut rest, DecodeContext::default())?;
            continue;
        }
        let length = usize::try_from(decode_varint(&mut rest)?).unwrap_or(usize::MAX);
        if length > rest.len() {
            return Err(Stop::Wrong(
                "the body is not an OTLP logs request: it ends within a message".to_owned(),
            ));
        }
        if fields.len() > RECORDS_MAX {
            return Err(TOO_MANY.into());
        }
        fields.push((number, rest.split_to(length)));
    }
    Ok(fields)
}

fn last(fields: &Fields, number: u32) -> Option<&Bytes> {
    fields.iter().rev().find(|f| f.0 == number).map(|f| &f.1)
}

fn schema_url(fields: &Fields) -> Result<Option<String>, Stop> {
    let Some(bytes) = last(fields, 3).filter(|b| !b.is_empty()) else {
        return Ok(None);
    };
    Ok(Some(serde_json::to_string(&String::from_utf8_lossy(bytes))?))
}

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow, default, rename = "resourceLogs", alias = "resource_logs")]
    resource_logs: Few<'a>,
}

#[derive(Deserialize)]
struct ResourceLogs<'a> {
    #[serde(borrow)]
    resource: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "scopeLogs", alias = "scope_logs")]
    scope_logs: Few<'a>,
    #[serde(borrow, rename = "schemaUrl", alias = "schema_url")]
    schema_url: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ScopeLogs<'a> {
    #[serde(borrow)]
    scope: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "logRecords", alias = "log_records")]
    log_records: Few<'a>,
    #[serde(borrow, rename = "schemaUrl", alias = "schema_url")]
    schema_url: Option<&'a RawValue>,
}

fn json(body: &Bytes, out: &mut Out<'_>) -> Result<(), Stop> {
    let request: Request<'_> = serde_json::from_slice(body)?;
    for resource_logs in few(&request.resource_logs)? {
        let resource_logs: ResourceLogs<'_> = serde_json::from_str(resource_logs.get())?;
        let resource = resource_logs.resource.map(RawValue::get);
        let schema_url = resource_logs.schema_url.map(RawValue::get);
        let around = Around::new("resource", resource, "scopeLogs", schema_url);
        let source = out.source(resource);
        for scope_logs in few(&resource_logs.scope_logs)? {
            let scope_logs: ScopeLogs<'_> = serde_json::from_str(scope_logs.get())?;
            let scope = scope_logs.scope.map(RawValue::get);
            let schema_url = scope_logs.schema_url.map(RawValue::get);
            let within = Around::new("scope", scope, "logRecords", schema_url);
            for record in few(&scope_logs.log_records)? {
                out.push(&around, &within, record.get(), source.as_ref())?;
            }
        }
    }
    Ok(())
}

fn few<'a, 'b>(few: &'b Few<'a>) -> Result<&'b [&'a RawValue], Stop> {
    if few.more {
        return Err(TOO_MANY.into());
    }
    Ok(&few.values)
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};

    use super::super::held::Budget;
    use super::*;

    const TWO: &str = r#"{"resourceLogs":[{"resource":{"attributes":[{"key":"n","value":{"intValue":"1"}},{"key":"service.name","value":{"stringValue":"crm"}}]},
        "scopeLogs":[{"scope":{"name":"s"},"logRecords":[{"timeUnixNano":"1", "later": 1},{"body":{"stringValue":"b"}}],"schemaUrl":"u"}],"schemaUrl":"v"}]}"#;

    fn texts(body: &Bytes, wire: Wire) -> Vec<(String, Option<String>)> {
        let mut held = Budget::new(256 << 20).share();
        let records = split(body, wire, Some("service.name"), &mut held).unwrap().unwrap();
        records
            .into_iter()
            .map(|r| (String::from_utf8(r.payload.to_vec()).unwrap(), r.source))
            .collect()
    }

    #[test]
    fn json_is_kept_as_it_stands() {
        let records = texts(&Bytes::from_static(TWO.as_bytes()), Wire::Json);
        assert_eq!(records.len(), 2);
        assert!(
            records[0]
                .0
                .contains(r#""logRecords":[{"timeUnixNano":"1", "later": 1}],"schemaUrl":"u"}],"schemaUrl":"v"}]}"#)
        );
        assert_eq!(records[1].1.as_deref(), Some("crm"));
        assert_eq!(texts(&Bytes::from_static(b"{}"), Wire::Json), []);
    }

    #[test]
    fn a_record_may_have_an_id() {
        let record = |attributes: &str| {
            let text =
                format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"attributes":{attributes}}}]}}]}}]}}"#);
            let mut held = Budget::new(1 << 20).share();
            let split = split(&text.into(), Wire::Json, None, &mut held).unwrap().unwrap();
            split[0].uid.clone()
        };
        let uid = r#"[{"key":"a","value":{"stringValue":"b"}},{"key":"log.record.uid","value":{"stringValue":"u-1"}}]"#;
        assert_eq!(record(uid).as_deref(), Some("u-1"));
        assert_eq!(
            record(r#"[{"key":"a","value":{"stringValue":"log.record.uid"}}]"#),
            None
        );
        assert_eq!(record(r#"[{"key":"log.record.uid","value":{"intValue":"1"}}]"#), None);
    }

    #[test]
    fn protobuf_gives_the_same_as_json() {
        let request: ExportLogsServiceRequest = serde_json::from_str(TWO).unwrap();
        let from_protobuf = texts(&request.encode_to_vec().into(), Wire::Protobuf);
        assert_eq!(from_protobuf.len(), 2);
        for ((text, source), n) in from_protobuf.iter().zip(0..) {
            assert_eq!(source.as_deref(), Some("crm"));
            let back: ExportLogsServiceRequest = serde_json::from_str(text).unwrap();
            let mut one = request.clone();
            one.resource_logs[0].scope_logs[0].log_records =
                vec![request.resource_logs[0].scope_logs[0].log_records[n].clone()];
            assert_eq!(back, one);
        }
    }

    #[test]
    fn hostile_requests_are_refused_in_bounded_memory() {
        let check = |body: Bytes, wire| split(&body, wire, None, &mut Budget::new(256 << 20).share());
        // A field 1 of a field 2 of a field 2, empty, over and over: log records of no bytes.
        let many = [0x12, 0].repeat(RECORDS_MAX + 2);
        let scope = [vec![0x12], varint(many.len()), many].concat();
        let request = Bytes::from([vec![0x0a], varint(scope.len()), scope].concat());
        assert_eq!(check(request, Wire::Protobuf).err(), Some(TOO_MANY));
        let attributes = vec![
            KeyValue {
                key: "k".into(),
                value: Some(AnyValue {
                    value: Some(any_value::Value::StringValue("v".repeat(1 << 20)))
                }),
                ..KeyValue::default()
            };
            1
        ];
        let resource = Resource {
            attributes,
            ..Resource::default()
        };
        let scope_logs = logs::ScopeLogs {
            log_records: vec![logs::LogRecord::default(); 1000],
            ..logs::ScopeLogs::default()
        };
        let amplified = ExportLogsServiceRequest {
            resource_logs: vec![logs::ResourceLogs {
                resource: Some(resource),
                scope_logs: vec![scope_logs],
                ..logs::ResourceLogs::default()
            }],
        };
        assert_eq!(
            check(amplified.encode_to_vec().into(), Wire::Protobuf).err(),
            Some(BodyError::TooLarge)
        );
        for wrong in [&b"\xff\xff"[..], b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x01"] {
            assert!(check(Bytes::from_static(wrong), Wire::Protobuf).unwrap().is_err());
        }
        for wrong in ["", "[", "{\"resourceLogs\":[1]}", "{\"resourceLogs\":{}}"] {
            assert!(
                check(Bytes::from_static(wrong.as_bytes()), Wire::Json)
                    .unwrap()
                    .is_err(),
                "{wrong}"
            );
        }
    }

    fn varint(n: usize) -> Vec<u8> {
        let mut out = Vec::new();
        prost::encoding::encode_varint(n as u64, &mut out);
        out
    }
}
