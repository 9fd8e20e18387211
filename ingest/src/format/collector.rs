//! Lines in a collector's envelope. The envelope is taken off once and the line inside read by its own format: the source's where
//! that is known, or else the one that its bytes look like.
//!
//! | envelope | the line |
//! |---|---|
//! | Filebeat, Elastic Agent, Logstash, Vector, Fluentd | `message` beside `@timestamp` or `timestamp` and `agent`, `log`, `input`, `@version`, `source_type`, … |
//! | Fluent Bit, Docker's json-file | `log` beside `stream`, `time`, `date`, `kubernetes`, … |
//! | CRI | `TIME stdout\|stderr F\|P line`; a part of a line (P) has the label `cri.partial` |
//! | Fluentd's forward form | `[TIME, {…}]`, `["tag", TIME, {…}]` |
//! | Simple Log Service | `content` beside `__time__`, `__topic__`, `__source__` |
//! | Kafka Connect, Debezium | `schema` and `payload` |
//! | CloudWatch Logs | `logEvents[].message` (each line an event), `@message` |
//! | Splunk's event collector | `event` beside `sourcetype` |
//!
//! What the envelope tells stays: `unmapped.collector` (`kind`, `path`, `host`, `stream`, … and the rest under its own names), the path
//! also in `metadata.log_source`. Where the line has no time of its own, the envelope's is taken (label `time.of_collector`). A line of
//! no known format is a Base Event with the line as `message` and the envelope's host as `device`; what does not parse in the format that
//! was found is quarantined, each line by itself. `raw_data` is the line; the ledger has the record.

use std::borrow::Cow;

use model::Event;
use serde_json::{Map, Value};

use crate::builder::EventBuilder;
use crate::class;
use crate::detection;
use crate::fields::{Fields, scalar};
use crate::format::{self, Format, Input, Match, Quarantine, base_event, host};
use crate::time_text;

/// A collector's envelope.
pub static FORMAT: Format = Format {
    name: "collector",
    aliases: &[
        "wrapped",
        "filebeat",
        "logstash",
        "fluentbit",
        "fluentd",
        "vector",
        "docker",
        "cri",
    ],
    matches,
    normalize,
};

type Object = Map<String, Value>;

/// Lines of one envelope.
const LINES_MAX: usize = 10_000;

/// What an envelope held.
#[derive(Debug, Default)]
pub(crate) struct Envelope {
    kind: &'static str,
    lines: Vec<Line>,
    host: Option<String>,
    path: Option<String>,
    /// What else it told.
    rest: Object,
}

#[derive(Debug, Default)]
struct Line {
    text: String,
    time: Option<Value>,
    partial: bool,
}

fn matches(input: &Input<'_>) -> Option<Match> {
    let envelope = unwrap(input)?;
    Some(Match {
        score: if envelope.kind == "kafka_connect" { 50 } else { 70 },
        reason: "a collector's envelope",
    })
}

fn normalize(input: &mut Input<'_>) -> Result<Vec<Event>, Quarantine> {
    let envelope = unwrap(input).ok_or(Quarantine("collector_no_line"))?;
    events(input, envelope, None)
}

/// The events of an envelope's lines; of `known`, where the source's format is.
pub(crate) fn events(
    input: &mut Input<'_>,
    envelope: Envelope,
    known: Option<&'static Format>,
) -> Result<Vec<Event>, Quarantine> {
    let mut events = Vec::new();
    let mut broken = None;
    for line in &envelope.lines {
        let mut part = Input::of_text(input, &line.text);
        if line.partial {
            part.flags.push("cri.partial");
        }
        let format = known.or_else(|| best(&part));
        let mut found = match format {
            Some(format) => {
                part.format = format.name;
                (format.normalize)(&mut part).unwrap_or_else(|reason| {
                    broken = broken.or(Some(reason));
                    vec![base_event::quarantined(&part, reason)]
                })
            }
            None if part.text.starts_with('{') => {
                let reason = part.object().err().unwrap_or(Quarantine("unknown_format"));
                broken = broken.or(Some(reason));
                vec![base_event::quarantined(&part, reason)]
            }
            None => vec![bare(&part, &envelope)],
        };
        for event in &mut found {
            envelope.describe(event, input, line);
        }
        events.append(&mut found);
    }
    input.broken = broken;
    if events.is_empty() {
        return Err(Quarantine("collector_no_line"));
    }
    Ok(events)
}

/// The events of a line that stands in another envelope's field, where a format of its own is sure of it.
pub(crate) fn inner(input: &Input<'_>, text: &str) -> Option<Vec<Event>> {
    let mut part = Input::of_text(input, text);
    let (format, found) = detection::best(&part, |f| !is_envelope(f))?;
    if found.score < SURE {
        return None;
    }
    part.format = format.name;
    (format.normalize)(&mut part).ok()
}

/// The least score of a format that is taken for sure.
const SURE: u8 = 50;

fn is_envelope(format: &Format) -> bool {
    ["collector", "ecs", "gelf", "otlp", "docket"].contains(&format.name)
}

fn best(part: &Input<'_>) -> Option<&'static Format> {
    detection::best(part, |f| {
        f.name != FORMAT.name && f.name != format::docket_acts::FORMAT.name
    })
    .map(|(f, _)| f)
}

/// A line of no known format.
fn bare(part: &Input<'_>, envelope: &Envelope) -> Event {
    let name = envelope.host.as_deref().unwrap_or(&part.record.source);
    let mut b = EventBuilder::new(
        part,
        &class::BASE_EVENT,
        0,
        "",
        if name.is_empty() { "unknown" } else { name },
    );
    b.set("message", &*crate::mask::mask(&part.text));
    if let Some(host) = &envelope.host {
        host::machine(&mut b, host);
    }
    let mut native = Map::new();
    native.insert("message".to_owned(), Value::from(&*part.text));
    b.native(native);
    b.finish()
}

impl Envelope {
    /// Adds what the envelope tells to an event of one of its lines.
    fn describe(&self, event: &mut Event, input: &Input<'_>, line: &Line) {
        let mut about = self.rest.clone();
        about.insert("kind".into(), self.kind.into());
        if let Some(host) = &self.host {
            about.insert("host".into(), host.as_str().into());
        }
        if let Some(path) = &self.path {
            about.insert("path".into(), path.as_str().into());
        }
        let unmapped = event
            .ocsf
            .entry("unmapped")
            .or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(unmapped) = unmapped {
            unmapped.insert("collector".into(), Value::Object(about));
        }
        let mut timed = None;
        if let Some(Value::Object(metadata)) = event.ocsf.get_mut("metadata") {
            if let Some(path) = &self.path {
                metadata.entry("log_source").or_insert_with(|| path.as_str().into());
            }
            let labels = metadata.get_mut("labels").and_then(Value::as_array_mut);
            let missing = labels.and_then(|l| l.iter_mut().find(|l| *l == "time.missing"));
            let text = line.time.as_ref().and_then(scalar);
            let zone = &input.settings.time_zone;
            let time = text
                .as_deref()
                .and_then(|t| time_text::parse_any(t, input.record.received_at, zone));
            if let (Some(label), Some(time)) = (missing, time) {
                *label = "time.of_collector".into();
                timed = Some((time.time, text.map(Cow::into_owned)));
            }
            if let Some((_, Some(text))) = &timed {
                metadata.entry("original_time").or_insert_with(|| text.as_str().into());
            }
        }
        if let Some((time, _)) = timed {
            event.time = time;
            event.ocsf.insert("time".into(), time.0.into());
        }
    }
}

/// Takes an envelope off; `None`: there is none.
pub(crate) fn unwrap(input: &Input<'_>) -> Option<Envelope> {
    let text = input.text.trim_start();
    match text.as_bytes().first()? {
        b'{' => of_object(input.object().ok()?),
        b'[' => forward(text),
        b'0'..=b'9' => cri(text),
        _ => None,
    }
}

/// `2026-03-02T14:06:33.1Z stdout F line`
fn cri(text: &str) -> Option<Envelope> {
    let mut parts = text.splitn(4, ' ');
    let (time, stream, tag) = (parts.next()?, parts.next()?, parts.next()?);
    let line = parts.next().unwrap_or_default();
    let tag = tag.split(':').next()?;
    if !matches!(stream, "stdout" | "stderr") || !matches!(tag, "F" | "P") || time.len() < 20 || !time.contains('T') {
        return None;
    }
    Some(Envelope {
        kind: "cri",
        lines: vec![Line {
            text: line.to_owned(),
            time: Some(time.into()),
            partial: tag == "P",
        }],
        rest: Map::from_iter([("stream".to_owned(), Value::from(stream))]),
        ..Envelope::default()
    })
}

/// `[TIME, {…}]` or `["tag", TIME, {…}]`; the time may be `[SECONDS, {}]` as Fluent Bit has it.
fn forward(text: &str) -> Option<Envelope> {
    let after = text.get(1..)?.trim_start();
    if !after.starts_with(|c: char| c.is_ascii_digit() || c == '"' || c == '[') {
        return None;
    }
    // serde_json bounds its depth.
    let Value::Array(mut items) = serde_json::from_str(text).ok()? else {
        return None;
    };
    let Some(Value::Object(record)) = items.pop() else {
        return None;
    };
    let mut time = items.pop()?;
    if let Value::Array(pair) = &time {
        time = pair.first()?.clone();
    }
    let tag = items.pop();
    if !items.is_empty() || !(time.is_number() || time.is_string()) || tag.as_ref().is_some_and(|t| !t.is_string()) {
        return None;
    }
    let mut envelope = match of_object(&record) {
        Some(inner) => inner,
        None => {
            let key = ["log", "message", "MESSAGE"]
                .into_iter()
                .find(|k| record.get(*k).is_some_and(Value::is_string));
            let text = match key.and_then(|k| record.get(k)).and_then(Value::as_str) {
                Some(text) => text.trim_end().to_owned(),
                None => Value::Object(record.clone()).to_string(),
            };
            let rest = record
                .into_iter()
                .filter(|(k, _)| key.is_some_and(|key| key != k))
                .collect();
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
        envelope.rest.insert("tag".into(), tag);
    }
    for line in &mut envelope.lines {
        line.time.get_or_insert_with(|| time.clone());
    }
    Some(envelope)
}

fn of_object(object: &Object) -> Option<Envelope> {
    let fields = Fields(object);
    let has = |name: &str| object.contains_key(name);
    let any = |names: &[&str]| names.iter().any(|n| has(n));
    let is_text = |name: &str| object.get(name).is_some_and(Value::is_string);
    if has("logEvents") && (has("logGroup") || has("messageType")) {
        return cloud_watch(fields, object);
    }
    if has("@message") && any(&["@timestamp", "@logStream", "@log", "@ptr"]) {
        return one("cloudwatch", object, "@message", &["@timestamp"]);
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
        return one(kind, object, "log", &["time", "date", "@timestamp"]);
    }
    if is_text("content") && any(&["__time__", "__topic__", "__source__"]) {
        return one("sls", object, "content", &["__time__"]);
    }
    if has("schema") && has("payload") && object.len() <= 4 && !object["payload"].is_null() {
        return one("kafka_connect", object, "payload", &["payload.ts_ms"]);
    }
    if has("event") && has("sourcetype") && any(&["time", "host", "source", "index"]) && !has("event_id") {
        return one("splunk", object, "event", &["time"]);
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
        return one(kind, object, "message", &["@timestamp", "timestamp", "date", "time"]);
    }
    None
}

fn one(kind: &'static str, object: &Object, at: &str, times: &[&str]) -> Option<Envelope> {
    let mut rest = object.clone();
    let text = match rest.shift_remove(at)? {
        Value::String(text) => text.trim_end_matches(['\n', '\r']).to_owned(),
        object @ Value::Object(_) => object.to_string(),
        _ => return None,
    };
    rest.shift_remove("schema");
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

fn cloud_watch(fields: Fields<'_>, object: &Object) -> Option<Envelope> {
    let lines: Vec<Line> = object
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
    let mut rest = object.clone();
    rest.shift_remove("logEvents");
    (!lines.is_empty()).then(|| Envelope {
        kind: "cloudwatch",
        lines,
        host: None,
        path: fields.text("logGroup").map(Cow::into_owned),
        rest,
    })
}

/// What Splunk's event collector told beside the event.
pub(crate) fn describe_hec(
    events: &mut [Event],
    input: &Input<'_>,
    host: Option<String>,
    path: Option<String>,
    rest: Object,
    time: Option<Value>,
) {
    let envelope = Envelope {
        kind: "hec",
        host,
        path,
        rest,
        ..Envelope::default()
    };
    let line = Line {
        time,
        ..Line::default()
    };
    for event in events {
        envelope.describe(event, input, &line);
    }
}

/// What an envelope of another format told, for an event of the line inside.
pub(crate) fn describe(
    events: &mut [Event],
    input: &Input<'_>,
    kind: &'static str,
    host: Option<&str>,
    time: Option<&Value>,
) {
    let envelope = Envelope {
        kind,
        host: host.map(str::to_owned),
        ..Envelope::default()
    };
    let line = Line {
        time: time.cloned(),
        ..Line::default()
    };
    for event in events {
        envelope.describe(event, input, &line);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn envelopes_are_known() {
        let known = |value: Value| of_object(value.as_object().expect("an object")).map(|e| e.kind);
        for (value, want) in [
            (
                json!({"message": "x", "@timestamp": "t", "agent": {"type": "filebeat"}}),
                Some("filebeat"),
            ),
            (
                json!({"message": "x", "@timestamp": "t", "@version": "1"}),
                Some("logstash"),
            ),
            (
                json!({"message": "x", "timestamp": "t", "source_type": "file"}),
                Some("vector"),
            ),
            (json!({"log": "x\n", "stream": "stdout", "time": "t"}), Some("docker")),
            (json!({"log": "x", "kubernetes": {}}), Some("fluentbit")),
            (json!({"content": "x", "__time__": 1}), Some("sls")),
            (json!({"schema": {}, "payload": {"a": 1}}), Some("kafka_connect")),
            (
                json!({"logEvents": [{"message": "x"}], "logGroup": "g"}),
                Some("cloudwatch"),
            ),
            (json!({"event": "x", "sourcetype": "s", "time": 1}), Some("splunk")),
            (json!({"message": "x", "time": "t"}), None),
            (json!({"log": "x"}), None),
            (
                json!({"message": "x", "@timestamp": "t", "agent": {}, "event": {"category": ["iam"]}}),
                None,
            ),
        ] {
            assert_eq!(known(value.clone()), want, "{value}");
        }
    }

    #[test]
    fn text_envelopes_are_known() {
        for (text, want) in [
            ("2026-03-02T14:06:33.1Z stdout F a line", Some(("a line", false))),
            ("2026-03-02T14:06:33.1Z stderr P a", Some(("a", true))),
            ("2026-03-02T14:06:33.1Z host F a", None),
        ] {
            let got = cri(text).map(|e| (e.lines[0].text.clone(), e.lines[0].partial));
            assert_eq!(got, want.map(|(t, p)| (t.to_owned(), p)), "{text}");
        }
        assert_eq!(
            forward(r#"[1772463192.5, {"log": "x"}]"#).map(|e| e.lines[0].text.clone()),
            Some("x".into())
        );
        assert_eq!(
            forward(r#"["tag", 1772463192, {"a": 1}]"#).map(|e| e.lines[0].text.clone()),
            Some(r#"{"a":1}"#.into())
        );
        assert!(forward("[1,2]").is_none() && forward(r#"[{"a":1}]"#).is_none());
    }
}
