//! Lines in a collector's envelope. The envelope is taken off once and the line inside read by its own format: the source's where
//! that is known, or else the one that its bytes look like.
//!
//! | envelope | the line |
//! |---|---|
//! | Filebeat, Elastic Agent, Logstash, Vector, Fluentd | `message` beside `@timestamp` or `timestamp` and `agent`, `log`, `input`, `@version`, `source_type`, … |
//! | Fluent Bit, Docker's json-file | `log` beside `stream`, `time`, `date`, `kubernetes`, … |
//! | syslog (RFC 3164, 5424) | the message, where it is JSON; its formats that know syslog read it themselves |
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

mod shipper;

use std::borrow::Cow;

use jiff::{Span, Timestamp};
use model::{Arena, Event, Map, Millis, Object, Value, known};

use crate::builder::{EventBuilder, SKEW_LABELS, skew_labels};
use crate::class;
use crate::detection;
use crate::fields::{Fields, scalar};
use crate::format::{self, Format, Input, Match, Quarantine, base_event, host};
use crate::seek;
use crate::syslog;
use crate::time_text;
pub(crate) use shipper::single;
use shipper::{cri, forward, of_object};

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

/// Lines of one envelope.
const LINES_MAX: usize = 10_000;

/// What an envelope held.
#[derive(Debug, Default)]
pub(crate) struct Envelope<'a> {
    kind: &'static str,
    /// The key that the only line stands under, where it stands under one.
    at: &'static str,
    lines: Vec<Line<'a>>,
    host: Option<String>,
    path: Option<String>,
    /// What else it told.
    rest: Object<'a>,
}

#[derive(Debug, Default)]
struct Line<'a> {
    text: String,
    time: Option<Value<'a>>,
    partial: bool,
}

fn matches(input: &Input<'_>) -> Option<Match> {
    let envelope = unwrap(input)?;
    // Other JSON over syslog is read as the text that it is.
    if envelope.kind == SYSLOG {
        inner_of(input, &envelope.lines.first()?.text)?;
    }
    Some(Match {
        score: match envelope.kind {
            "kafka_connect" => 50,
            // Formats that know syslog are surer of their lines.
            SYSLOG => 45,
            _ => 70,
        },
        reason: "a collector's envelope",
    })
}

fn normalize<'a>(input: &mut Input<'a>) -> Result<Vec<Event<'a>>, Quarantine> {
    let envelope = unwrap(input).ok_or(Quarantine("collector_no_line"))?;
    events(input, envelope, None)
}

/// The events of an envelope's lines; of `known`, where the source's format is.
pub(crate) fn events<'a>(
    input: &mut Input<'a>,
    envelope: Envelope<'a>,
    known: Option<&'static Format>,
) -> Result<Vec<Event<'a>>, Quarantine> {
    let mut events = Vec::new();
    let mut broken = None;
    for line in &envelope.lines {
        let mut part = Input::of_text(input, &line.text);
        part.host = envelope.host.as_deref().map(|h| input.arena.text(h));
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
pub(crate) fn inner<'a>(input: &Input<'a>, text: &str) -> Option<Vec<Event<'a>>> {
    let mut part = Input::of_text(input, text);
    let format = inner_of(input, text)?;
    part.format = format.name;
    (format.normalize)(&mut part).ok()
}

fn inner_of(input: &Input<'_>, text: &str) -> Option<&'static Format> {
    let (format, found) = detection::best(&Input::of_text(input, text), |f| !is_envelope(f))?;
    (found.score >= SURE).then_some(format)
}

/// The kind of an envelope that is a syslog line.
const SYSLOG: &str = "syslog";

/// The least score of a format that is taken for sure.
const SURE: u8 = 50;

fn is_envelope(format: &Format) -> bool {
    matches!(format.name, "collector" | "ecs" | "gelf" | "otlp" | "docket")
}

fn best(part: &Input<'_>) -> Option<&'static Format> {
    detection::best(part, |f| {
        f.name != FORMAT.name && f.name != format::docket_acts::FORMAT.name
    })
    .map(|(f, _)| f)
}

/// A line of no known format.
fn bare<'a>(part: &Input<'a>, envelope: &Envelope<'_>) -> Event<'a> {
    let name = envelope.host.as_deref().unwrap_or(&part.record.source);
    let mut b = EventBuilder::new(
        part,
        &class::BASE_EVENT,
        0,
        "",
        if name.is_empty() { "unknown" } else { name },
    );
    b.set("message", &*crate::mask::mask(part.text));
    if let Some(host) = &envelope.host {
        host::machine(&mut b, host);
    }
    b.native(part.arena.object(&[("message", part.text.into())]));
    b.finish()
}

impl<'a> Envelope<'a> {
    /// Whether its line is for the format of the source: what systems say over syslog may be anything.
    pub(crate) fn fits(&self, input: &Input<'a>, format: &Format) -> bool {
        let is_of = |line: &Line<'_>| (format.matches)(&Input::of_text(input, &line.text)).is_some();
        self.kind != SYSLOG || self.lines.iter().all(is_of)
    }

    /// Adds what the envelope tells to an event of one of its lines.
    fn describe(&self, event: &mut Event<'a>, input: &Input<'a>, line: &Line<'a>) {
        let arena = input.arena;
        let mut about = Map::from(self.rest);
        about.insert("kind", self.kind);
        if let Some(host) = &self.host {
            about.insert("host", arena.text(host));
        }
        if let Some(path) = &self.path {
            about.insert("path", arena.text(path));
        }
        event.unmapped = event.unmapped.with(arena, "collector", about.build(arena).into());
        self.place(event, arena);
        let labels = event.cell(known::METADATA_LABELS).and_then(|l| l.as_array());
        let missing = labels.is_some_and(|l| l.iter().any(|l| *l == "time.missing"));
        let text = line.time.as_ref().and_then(scalar);
        let zone = &input.settings.time_zone;
        let time = text
            .as_deref()
            .and_then(|t| time_text::parse_any(t, input.record.received_at, zone))
            .filter(|_| missing);
        let time = time.map(|t| t.time);
        let moved = if missing {
            None
        } else {
            self.right_year(event, input, line)
        };
        if let Some(time) = time.or(moved) {
            event.time = time;
        }
        event.change(|cells| {
            if let (Some(path), Some(id)) = (&self.path, arena.path("metadata.log_source"))
                && !cells.has(id)
            {
                cells.put(id, Value::String(arena.text(path)));
            }
            let Some(time) = time.or(moved) else { return };
            let kept = labels.into_iter().flatten().filter_map(|label| -> Option<Value<'a>> {
                match label.as_str()? {
                    "time.missing" => Some(Value::String("time.of_collector")),
                    skewed if is_skew(skewed) => None,
                    _ => Some(*label),
                }
            });
            let skewed = skew_labels(time, input.record.received_at);
            let all: Vec<Value<'a>> = kept.chain(skewed.map(|l| -> Value<'a> { Value::String(l) })).collect();
            cells.put(known::METADATA_LABELS, arena.list(&all));
            if let Some(text) = text
                && missing
                && !cells.has(known::METADATA_ORIGINAL_TIME)
            {
                cells.put(known::METADATA_ORIGINAL_TIME, Value::String(arena.text(&text)));
            }
            cells.put(known::TIME, Value::Int(time.0));
        });
    }
}

impl<'a> Envelope<'a> {
    /// Where the line has no year, the one that brings it nearest to the envelope's time, which has one.
    fn right_year(&self, event: &Event<'a>, input: &Input<'a>, line: &Line<'a>) -> Option<Millis> {
        let labels = event.cell(known::METADATA_LABELS)?.as_array()?;
        labels.iter().any(|l| *l == "time.year_inferred").then_some(())?;
        let text = line.time.as_ref().and_then(scalar)?;
        let zone = &input.settings.time_zone;
        let around = time_text::parse_any(&text, input.record.received_at, zone)?;
        (!around.flags.year_inferred).then_some(())?;
        let moment = |time: Millis| Some(Timestamp::from_millisecond(time.0).ok()?.to_zoned(zone.clone()));
        let (inferred, told) = (moment(event.time)?, moment(around.time)?);
        let years = i64::from(told.year()) - i64::from(inferred.year());
        let moved = (years - 1..=years + 1).filter_map(|years| {
            let moved = inferred.checked_add(Span::new().try_years(years).ok()?).ok()?;
            Some(Millis(moved.timestamp().as_millisecond()))
        });
        let nearest = moved.min_by_key(|m| (*m - around.time).saturating_abs())?;
        (nearest != event.time).then_some(nearest)
    }

    /// A line of a host that does not name it is of the host that its collector names.
    fn place(&self, event: &mut Event<'a>, arena: &'a Arena) {
        let (Some(host), Some(name)) = (&self.host, arena.path("device.name")) else {
            return;
        };
        let is_nobody = event.cell(name).is_some_and(|n| n == "-");
        let Some(hostname) = arena.path("device.hostname").filter(|_| is_nobody) else {
            return;
        };
        event.change(|cells| {
            cells.remove(name);
            cells.put(hostname, Value::String(arena.text(host)));
        });
        event.system = event.system.or_else(|| Some(arena.text(&format!("host:{host}"))));
    }
}

/// Whether a text may be an envelope, by its first character: most are not.
pub(crate) fn may_be(text: &str) -> bool {
    let text = text.trim_start();
    match text.as_bytes().first() {
        Some(b'{' | b'[' | b'<') => true,
        Some(b'0'..=b'9') => is_cri(text),
        _ => false,
    }
}

fn is_cri(text: &str) -> bool {
    let mut parts = text.splitn(3, ' ').skip(1);
    matches!(parts.next(), Some("stdout" | "stderr"))
}

/// Takes an envelope off; `None`: there is none.
pub(crate) fn unwrap<'a>(input: &Input<'a>) -> Option<Envelope<'a>> {
    let arena = input.arena;
    let text = seek::trim_start(input.text);
    match text.as_bytes().first()? {
        b'{' => of_object(arena, input.object().ok()?),
        b'[' => forward(arena, text),
        b'0'..=b'9' => cri(arena, text),
        b'<' => over_syslog(arena, text),
        _ => None,
    }
}

/// JSON as the message of a syslog line.
fn over_syslog<'a>(arena: &'a Arena, text: &'a str) -> Option<Envelope<'a>> {
    let header = syslog::parse(text);
    if !header.is_syslog() || !header.message.starts_with('{') {
        return None;
    }
    let line = Line {
        text: header.message.as_ref().to_owned(),
        time: header.time_text.map(|time| Value::String(arena.text(&time))),
        ..Line::default()
    };
    Some(Envelope {
        kind: SYSLOG,
        lines: vec![line],
        host: header.host.map(Cow::into_owned),
        ..Envelope::default()
    })
}

/// What Splunk's event collector told beside the event.
pub(crate) fn describe_hec<'a>(
    events: &mut [Event<'a>],
    input: &Input<'a>,
    host: Option<String>,
    path: Option<String>,
    rest: Object<'a>,
    time: Option<Value<'a>>,
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
pub(crate) fn describe<'a>(
    events: &mut [Event<'a>],
    input: &Input<'a>,
    kind: &'static str,
    host: Option<&str>,
    time: Option<&Value<'a>>,
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

/// Whether a label tells that a clock is off.
fn is_skew(label: &str) -> bool {
    SKEW_LABELS.contains(&label)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn envelopes_are_known() {
        let arena = Arena::new();
        let known = |value: serde_json::Value| {
            let object = arena.value(&value).as_object().expect("an object");
            of_object(&arena, object).map(|e| e.kind)
        };
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
        let arena = Arena::new();
        for (text, want) in [
            ("2026-03-02T14:06:33.1Z stdout F a line", Some(("a line", false))),
            ("2026-03-02T14:06:33.1Z stderr P a", Some(("a", true))),
            ("2026-03-02T14:06:33.1Z host F a", None),
        ] {
            let got = cri(&arena, text).map(|e| (e.lines[0].text.clone(), e.lines[0].partial));
            assert_eq!(got, want.map(|(t, p)| (t.to_owned(), p)), "{text}");
        }
        assert_eq!(
            forward(&arena, r#"[1772463192.5, {"log": "x"}]"#).map(|e| e.lines[0].text.clone()),
            Some("x".into())
        );
        assert_eq!(
            forward(&arena, r#"["tag", 1772463192, {"a": 1}]"#).map(|e| e.lines[0].text.clone()),
            Some(r#"{"a":1}"#.into())
        );
        assert!(forward(&arena, "[1,2]").is_none() && forward(&arena, r#"[{"a":1}]"#).is_none());
    }
}
