//! The envelopes of each shipper.

use super::*;
use crate::seek;

/// `2026-03-02T14:06:33.1Z stdout F line`
pub(super) fn cri<'a>(arena: &'a Arena, text: &'a str) -> Option<Envelope<'a>> {
    let mut parts = text.splitn(4, ' ');
    let (time, stream, tag) = (parts.next()?, parts.next()?, parts.next()?);
    let line = parts.next().unwrap_or_default();
    let tag = tag.split(':').next()?;
    if !matches!(stream, "stdout" | "stderr") || !matches!(tag, "F" | "P") || time.len() < 20 || !seek::has(time, b'T')
    {
        return None;
    }
    Some(Envelope {
        kind: "cri",
        lines: vec![Line {
            text: line.to_owned(),
            time: Some(time.into()),
            partial: tag == "P",
        }],
        rest: arena.object(&[("stream", stream.into())]),
        ..Envelope::default()
    })
}

/// `[TIME, {…}]` or `["tag", TIME, {…}]`; the time may be `[SECONDS, {}]` as Fluent Bit has it.
pub(super) fn forward<'a>(arena: &'a Arena, text: &str) -> Option<Envelope<'a>> {
    let after = text.get(1..)?.trim_start();
    if !after.starts_with(|c: char| c.is_ascii_digit() || c == '"' || c == '[') {
        return None;
    }
    // serde_json bounds its depth.
    let items = arena.value(&serde_json::from_str(text).ok()?).as_array()?;
    let (tag, time, record) = match items {
        [time, Value::Object(record)] => (None, *time, *record),
        [tag, time, Value::Object(record)] => (Some(*tag), *time, *record),
        _ => return None,
    };
    let time = match time {
        Value::Array(pair) => *pair.first()?,
        time => time,
    };
    if !(time.is_number() || time.is_string()) || tag.is_some_and(|t| !t.is_string()) {
        return None;
    }
    let mut envelope = match of_object(arena, record) {
        Some(inner) => inner,
        None => {
            let key = ["log", "message", "MESSAGE"]
                .into_iter()
                .find(|k| record.get(k).is_some_and(Value::is_string));
            let text = match key.and_then(|k| record.get(k)).and_then(Value::as_str) {
                Some(text) => text.trim_end().to_owned(),
                None => record.to_string(),
            };
            let rest = match key {
                Some(key) => record.without(arena, &[key]),
                None => Object::default(),
            };
            Envelope {
                lines: vec![Line {
                    text,
                    ..Line::default()
                }],
                rest,
                ..Envelope::default()
            }
        }
    };
    envelope.kind = "fluentd";
    if let Some(tag) = tag {
        envelope.rest = envelope.rest.with(arena, "tag", tag);
    }
    for line in &mut envelope.lines {
        line.time.get_or_insert(time);
    }
    Some(envelope)
}

pub(super) fn of_object<'a>(arena: &'a Arena, object: Object<'a>) -> Option<Envelope<'a>> {
    let fields = Fields(object);
    let has = |name: &str| object.contains_key(name);
    let any = |names: &[&str]| names.iter().any(|n| has(n));
    let is_text = |name: &str| object.get(name).is_some_and(Value::is_string);
    if has("logEvents") && (has("logGroup") || has("messageType")) {
        return cloud_watch(arena, fields, object);
    }
    if has("@message") && any(&["@timestamp", "@logStream", "@log", "@ptr"]) {
        return one(arena, "cloudwatch", object, "@message", &["@timestamp"]);
    }
    if is_text("log")
        && any(&[
            "stream",
            "time",
            "date",
            "@timestamp",
            "kubernetes",
            "filename",
            "path",
            "container_id",
        ])
    {
        let docker = has("stream") && has("time") && !has("kubernetes") && !has("date");
        let kind = if docker { "docker" } else { "fluentbit" };
        return one(arena, kind, object, "log", &["time", "date", "@timestamp"]);
    }
    if is_text("content") && any(&["__time__", "__topic__", "__source__"]) {
        return one(arena, "sls", object, "content", &["__time__"]);
    }
    if has("schema") && has("payload") && object.len() <= 4 && !object["payload"].is_null() {
        return one(arena, "kafka_connect", object, "payload", &["payload.ts_ms"]);
    }
    if has("event") && has("sourcetype") && any(&["time", "host", "source", "index"]) && !has("event_id") {
        return one(arena, "splunk", object, "event", &["time"]);
    }
    let timed = any(&["@timestamp", "timestamp", "date", "time"]);
    let marked = fields.object("agent").is_some()
        || fields.text("log.file.path").is_some()
        || any(&[
            "@version",
            "source_type",
            "@metadata",
            "beat",
            "input_type",
            "kubernetes",
        ])
        || fields.object("input").is_some();
    // An ECS event tells more than its message.
    let ecs = fields.value("event.category").is_some() || fields.value("event.kind").is_some() && has("ecs");
    if is_text("message") && timed && marked && !ecs {
        let kind = match fields.first(&["agent.type", "source_type"]).as_deref() {
            Some("filebeat") => "filebeat",
            Some("file" | "kubernetes_logs" | "journald" | "docker_logs" | "socket" | "syslog")
                if has("source_type") =>
            {
                "vector"
            }
            _ if has("@version") => "logstash",
            _ => "agent",
        };
        return one(
            arena,
            kind,
            object,
            "message",
            &["@timestamp", "timestamp", "date", "time"],
        );
    }
    None
}

/// Of an object with one line as text: the key that it stands under, the line, and the host that the envelope tells.
pub(crate) fn single<'a>(arena: &'a Arena, object: Object<'a>) -> Option<(&'static str, String, Option<String>)> {
    let mut envelope = of_object(arena, object)?;
    let is_text = object.get(envelope.at).is_some_and(Value::is_string);
    match envelope.lines.len() {
        1 if is_text => Some((envelope.at, envelope.lines.swap_remove(0).text, envelope.host)),
        _ => None,
    }
}

fn one<'a>(
    arena: &'a Arena,
    kind: &'static str,
    object: Object<'a>,
    at: &'static str,
    times: &[&str],
) -> Option<Envelope<'a>> {
    let text = match object.get(at)? {
        Value::String(text) => text.trim_end_matches(['\n', '\r']).to_owned(),
        object @ Value::Object(_) => object.to_string(),
        _ => return None,
    };
    let rest = object.without(arena, &[at, "schema"]);
    let fields = Fields(object);
    let time = times.iter().find_map(|n| fields.value(n)).cloned();
    let hosts = [
        "host.name",
        "host.hostname",
        "host",
        "hostname",
        "kubernetes.host",
        "beat.hostname",
        "__source__",
    ];
    let host = fields.first(&hosts).map(Cow::into_owned);
    let paths = [
        "log.file.path",
        "file",
        "filename",
        "path",
        "source",
        "__tag__:__path__",
        "@log",
    ];
    let path = fields.first(&paths).map(Cow::into_owned);
    Some(Envelope {
        kind,
        at,
        lines: vec![Line {
            text,
            time,
            partial: false,
        }],
        host,
        path,
        rest,
    })
}

fn cloud_watch<'a>(arena: &'a Arena, fields: Fields<'a>, object: Object<'a>) -> Option<Envelope<'a>> {
    let lines: Vec<Line<'a>> = object
        .get("logEvents")?
        .as_array()?
        .iter()
        .take(LINES_MAX)
        .filter_map(|event| {
            let text = match event.get("message")? {
                Value::String(text) => text.trim_end().to_owned(),
                other => other.to_string(),
            };
            Some(Line {
                text,
                time: event.get("timestamp").cloned(),
                partial: false,
            })
        })
        .collect();
    let rest = object.without(arena, &["logEvents"]);
    (!lines.is_empty()).then(|| Envelope {
        at: "",
        kind: "cloudwatch",
        lines,
        host: None,
        path: fields.text("logGroup").map(Cow::into_owned),
        rest,
    })
}
