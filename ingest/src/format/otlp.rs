//! OpenTelemetry's log records in OTLP's JSON: `{"resourceLogs":[…]}`, each record an event; or one record by itself.
//!
//! A body that is a line of a known format is read by that format, with `unmapped.collector` what the envelope told. Else the class
//! follows from what the attributes tell: `user.name`, `enduser.id` who; `event.name` (or `eventName`, or the body of an event with a
//! user) what; `client.address`, `source.address` where from; `server.address` where; `url.full`, `http.request.method`,
//! `http.response.status_code`; `process.command_line`; `session.id`. `service.name` is the product, `host.name` the `device`. A record's
//! attributes stand in `unmapped` under their names, the resource's in `unmapped.resource`; trace and span in `unmapped.traceId` and
//! `.spanId`, the trace also in `metadata.correlation_uid`.
//!
//! `severityNumber` 1 to 12 is informational (1), to 16 medium (3), to 20 high (4), to 24 critical (5). A time of `0` is none: the
//! observed time is taken. 64-bit numbers come as text, and are kept digit by digit.
//!
//! Native fields: the attributes, and `body`, `severityText`, `eventName`. Log source: product otlp, service the service's name.
//! `docket.system` is `service.name`.

use std::borrow::Cow;

use model::{Arena, Event, Map, Object, Value};

use crate::builder::EventBuilder;
use crate::fields::Fields;
use crate::format::facts::{self, Facts};
use crate::format::{Format, Input, Match, Quarantine, collector, draft};
use crate::json::DEPTH_MAX;
use crate::seek;

/// OTLP log records.
pub static FORMAT: Format = Format {
    name: "otlp",
    aliases: &["otlp_json", "opentelemetry"],
    matches,
    normalize,
};

fn matches(input: &Input<'_>) -> Option<Match> {
    if !seek::trim_start(input.text).starts_with('{') {
        return None;
    }
    let object = input.object().ok()?;
    let has = |name: &str| object.contains_key(name);
    if object.get("resourceLogs").is_some_and(Value::is_array) {
        return Some(Match {
            score: 95,
            reason: "the key resourceLogs",
        });
    }
    ((has("timeUnixNano") || has("observedTimeUnixNano")) && (has("body") || has("attributes"))).then_some(Match {
        score: 93,
        reason: "the keys timeUnixNano and body",
    })
}

fn normalize<'a>(input: &mut Input<'a>) -> Result<Vec<Event<'a>>, Quarantine> {
    let object = input.take_object()?;
    let mut events = Vec::new();
    if let Some(Value::Array(resources)) = object.get("resourceLogs") {
        for resource in resources.iter().filter_map(Value::as_object) {
            let attributes = attributes(input.arena, Fields(resource).value("resource.attributes"));
            let scopes = resource.get("scopeLogs").and_then(Value::as_array);
            for scope in scopes.into_iter().flatten().filter_map(Value::as_object) {
                let about = scope.get("scope");
                let records = scope.get("logRecords").and_then(Value::as_array);
                for record in records.into_iter().flatten().filter_map(Value::as_object) {
                    events.append(&mut one(input, record, attributes, about));
                }
            }
        }
        // A batch without records says nothing, and is no fault.
        return if events.is_empty() {
            Err(Quarantine("otlp_no_records"))
        } else {
            Ok(events)
        };
    }
    if !object.contains_key("body") && !object.contains_key("attributes") {
        return Err(Quarantine("otlp_no_records"));
    }
    // The file exporter and some receivers flatten the resource into the record.
    let resource = match Fields(object).object("resource") {
        Some(resource) if resource.value("attributes").is_some() => {
            attributes(input.arena, resource.value("attributes"))
        }
        Some(resource) => resource.0,
        None => Object::default(),
    };
    Ok(one(input, object, resource, None))
}

fn attributes<'a>(arena: &'a Arena, value: Option<&Value<'a>>) -> Object<'a> {
    match value {
        Some(Value::Array(pairs)) => {
            let pairs = pairs.iter().filter_map(Value::as_object);
            let all: Map<'a> = pairs
                .filter_map(|pair| Some((pair.get("key")?.as_str()?, plain(arena, pair.get("value")?, 0))))
                .collect();
            all.build(arena)
        }
        // Already plain, as the Vector and Fluent Bit outputs have it.
        Some(Value::Object(plain)) => *plain,
        _ => Object::default(),
    }
}

/// An `AnyValue` as plain JSON.
// Recursion is bounded by `DEPTH_MAX`.
fn plain<'a>(arena: &'a Arena, value: &Value<'a>, depth: usize) -> Value<'a> {
    let Some(any) = value.as_object().filter(|_| depth < DEPTH_MAX) else {
        return *value;
    };
    let Some((kind, inner)) = any.iter().next() else {
        return Value::Null;
    };
    match kind {
        "stringValue" | "boolValue" | "doubleValue" | "bytesValue" => *inner,
        "intValue" => match inner {
            Value::String(digits) => digits
                .parse::<serde_json::Number>()
                .map_or(*inner, |n| arena.value(&serde_json::Value::Number(n))),
            other => *other,
        },
        "arrayValue" => {
            let values = inner.get("values").and_then(Value::as_array);
            arena.list_of(values.into_iter().flatten().map(|v| plain(arena, v, depth + 1)))
        }
        "kvlistValue" => {
            let pairs = inner.get("values").and_then(Value::as_array);
            let pairs = pairs.into_iter().flatten().filter_map(Value::as_object);
            let all: Map<'a> = pairs
                .filter_map(|p| Some((p.get("key")?.as_str()?, plain(arena, p.get("value")?, depth + 1))))
                .collect();
            all.build(arena).into()
        }
        _ => *value,
    }
}

fn one<'a>(input: &Input<'a>, record: Object<'a>, resource: Object<'a>, scope: Option<&Value<'a>>) -> Vec<Event<'a>> {
    let arena = input.arena;
    let text = record.to_string();
    let part = Input::of_text(input, &text);
    let fields = Fields(record);
    let body = plain(arena, fields.value("body").unwrap_or(&Value::Null), 0);
    let attributes = attributes(arena, fields.value("attributes"));
    let own = Fields(attributes);
    let about = Fields(resource);
    let time = ["timeUnixNano", "observedTimeUnixNano"]
        .iter()
        .find_map(|n| fields.text(n).filter(|t| *t != "0"))
        .map(|t| Value::String(input.keep().text(&t)));
    let host = about.first(&["host.name", "k8s.node.name", "host.id"]);
    let line = match &body {
        Value::String(line) => Some(Cow::Borrowed(*line)),
        object @ Value::Object(_) => Some(Cow::Owned(object.to_string())),
        _ => None,
    };
    if let Some(line) = &line
        && let Some(mut events) = collector::inner(&part, line)
    {
        collector::describe(&mut events, input, "otlp", host.as_deref(), time.as_ref());
        return events;
    }
    let first = |names: &[&str]| own.first(names).or_else(|| about.first(names)).unwrap_or_default();
    let message = line.unwrap_or_default();
    let user = first(&["user.name", "enduser.id", "user.email", "user.id", "enduser.name"]);
    let named = fields
        .text("eventName")
        .or_else(|| own.first(&["event.name", "event.action", "action"]));
    // The body of an audit record is what was done; of a log message it is a sentence.
    let short = !message.is_empty() && message.len() <= 64 && !user.is_empty();
    let result = own
        .first(&["outcome", "event.outcome", "result", "status"])
        .unwrap_or_default();
    let (success, blocked) = facts::outcome(&result);
    let facts = Facts {
        action: named.unwrap_or(if short { message.clone() } else { Cow::Borrowed("") }),
        category: own.text("event.domain").unwrap_or_default(),
        user,
        user_uid: own.first(&["user.id", "enduser.id"]).unwrap_or_default(),
        source: own
            .first(&["client.address", "source.address", "net.peer.ip", "http.client_ip"])
            .unwrap_or_default(),
        source_port: draft::port(own, "client.port").or_else(|| draft::port(own, "source.port")),
        target: own
            .first(&["server.address", "destination.address"])
            .unwrap_or_default(),
        target_port: draft::port(own, "server.port"),
        device: host.unwrap_or_default(),
        success,
        blocked,
        reason: own
            .first(&["reason", "error.message", "exception.message"])
            .unwrap_or_default(),
        code: own
            .first(&["error.code", "error.type", "exception.type"])
            .unwrap_or_default(),
        message,
        url: own
            .first(&["url.full", "http.url", "url.path", "http.target"])
            .unwrap_or_default(),
        method: own.first(&["http.request.method", "http.method"]).unwrap_or_default(),
        status: draft::int32(own, "http.response.status_code").or_else(|| draft::int32(own, "http.status_code")),
        user_agent: own
            .first(&["user_agent.original", "http.user_agent"])
            .unwrap_or_default(),
        command: own.first(&["process.command_line"]).unwrap_or_default(),
        service: first(&["service.name"]),
        session: first(&["session.id"]),
        ..Facts::default()
    };
    let (class, activity) = facts.class();
    let service = first(&["service.name"]);
    let product = if service.is_empty() { "OpenTelemetry" } else { &*service };
    let mut b = EventBuilder::new(&part, class, activity, "", product);
    b.logsource("otlp", "", &service).system(&service);
    b.set_some("metadata.product.version", about.text("service.version").as_deref());
    if let Some(time) = &time {
        b.time_of(input, time);
    }
    facts.fill(&mut b, input);
    b.set_some("metadata.log_level", fields.text("severityText").as_deref());
    match fields.int("severityNumber") {
        Some(13..=16) => drop(b.severity(3)),
        Some(17..=20) => drop(b.severity(4)),
        Some(21..=24) => drop(b.severity(5)),
        _ => {}
    }
    if let Some(trace) = fields.text("traceId") {
        if facts.session.is_empty() {
            b.metadata("correlation_uid", &*trace);
        }
        b.unmapped("traceId", &*trace);
    }
    b.set_some("unmapped.spanId", fields.text("spanId").as_deref());
    b.set_some("unmapped.eventName", fields.text("eventName").as_deref());
    for (name, value) in &attributes {
        b.unmapped(name, value);
    }
    if body.is_object() || body.is_array() {
        b.unmapped("body", body);
    }
    b.unmapped("resource", resource);
    b.set_some("unmapped.scope", scope.cloned());
    b.set_some(
        "unmapped.droppedAttributesCount",
        fields.value("droppedAttributesCount").cloned(),
    );
    let mut native = Map::from(attributes);
    native.insert("body", body);
    for name in ["severityText", "severityNumber", "eventName"] {
        if let Some(value) = record.get(name) {
            native.insert(name, *value);
        }
    }
    b.native(native);
    vec![b.finish()]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn any_values_become_plain() {
        let arena = Arena::new();
        for (value, want) in [
            (json!({"stringValue": "a"}), json!("a")),
            (json!({"boolValue": true}), json!(true)),
            (json!({"doubleValue": 1.5}), json!(1.5)),
            (
                json!({"arrayValue": {"values": [{"intValue": "1"}, {"stringValue": "b"}]}}),
                json!([1, "b"]),
            ),
            (
                json!({"kvlistValue": {"values": [{"key": "k", "value": {"stringValue": "v"}}]}}),
                json!({"k": "v"}),
            ),
            (json!({}), json!(null)),
        ] {
            assert_eq!(plain(&arena, &arena.value(&value), 0), want);
        }
        // Beyond what a double holds.
        assert_eq!(
            plain(&arena, &arena.value(&json!({"intValue": "9007199254740993"})), 0).to_string(),
            "9007199254740993"
        );
    }
}
