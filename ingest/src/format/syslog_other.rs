//! Any other syslog line: an event with what its envelope tells, never quarantined.

use model::Event;

use crate::class;
use crate::format::linux_auditd::lost;
use crate::format::linux_auth::{self, line::Line};
use crate::format::{Format, Input, Match, Quarantine, access_log, error_log, nginx_json};
use crate::seek;
use crate::syslog::{self, Envelope};

/// Syslog of any program.
pub static FORMAT: Format = Format {
    name: "syslog_other",
    aliases: &["syslog", "syslog_rfc3164", "syslog_rfc5424"],
    matches,
    normalize: read,
};

fn matches(input: &Input<'_>) -> Option<Match> {
    if input.text.starts_with('{') {
        let object = input.object().ok()?;
        return syslog::from_object(object).map(|_| Match {
            score: 40,
            reason: "rsyslog's JSON template",
        });
    }
    input.envelope().is_syslog().then_some(Match {
        score: 30,
        reason: "a syslog header",
    })
}

/// Reads a line of any syslog form and any program.
pub(crate) fn read<'a>(input: &mut Input<'a>) -> Result<Vec<Event<'a>>, Quarantine> {
    let text = input.text;
    if seek::trim(text).is_empty() {
        return Err(Quarantine("empty"));
    }
    let mut input = &*input;
    let part;
    let object = if text.starts_with('{') {
        input.object().ok()
    } else {
        None
    };
    let read;
    let envelope = match object {
        Some(object) => {
            read = syslog::from_object(object).ok_or(Quarantine("not_syslog"))?;
            &read
        }
        None => input.envelope(),
    };
    if !envelope.is_syslog() && text.contains(|c: char| c.is_control() && c != '\t' && c != '\n' || c == '\u{fffd}') {
        return Err(Quarantine("not_syslog"));
    }
    if linux_auth::is_repeated_too_often(&envelope.message) {
        part = flagged(input, "repeated_truncated");
        input = &part;
    }
    let line = Line::new(input, envelope);
    Ok(of_line(&line, envelope))
}

/// The events of a line whose envelope is known; never none.
pub(crate) fn of_line<'a>(line: &Line<'_, 'a>, envelope: &Envelope<'_>) -> Vec<Event<'a>> {
    linux_auth::events(line)
        .or_else(|| web(line))
        .or_else(|| lost::event(line).map(|e| vec![e]))
        .unwrap_or_else(|| vec![other(line, envelope)])
}

fn flagged<'a>(input: &Input<'a>, flag: &'static str) -> Input<'a> {
    let mut part = Input::of_text(input, input.text);
    part.flags.push(flag);
    part
}

/// nginx and Apache over syslog.
fn web<'a>(line: &Line<'_, 'a>) -> Option<Vec<Event<'a>>> {
    matches!(line.program, "nginx" | "httpd" | "apache2" | "apache" | "haproxy").then_some(())?;
    if line.message.starts_with('{') {
        return nginx_json::object(&mut Input::of_text(line.input, line.message), line.host()).ok();
    }
    access_log::event(line.input, line.message, line.host())
        .or_else(|| error_log::event(line.input, line.message, line.host()))
        .map(|e| vec![e])
}

fn other<'a>(line: &Line<'_, 'a>, envelope: &Envelope<'_>) -> Event<'a> {
    let mut b = line.event(&class::BASE_EVENT, 99);
    b.word("activity_name", "Log");
    if !envelope.is_syslog() {
        b.label("syslog.header_missing");
    }
    if let Some(tag) = envelope.tag.as_deref().filter(|t| *t != line.program) {
        b.unmapped("tag", tag);
    }
    b.set_some("unmapped.pid", envelope.pid.as_deref());
    b.set_some("unmapped.message_id", envelope.message_id.as_deref());
    if !envelope.structured.is_empty() {
        let (all, repeated) = structured_data(envelope);
        if repeated {
            b.label("syslog.parameter_repeated");
        }
        b.unmapped("structured_data", serde_json::Value::Object(all));
    }
    if let Some((count, None)) = syslog::repeated(line.message) {
        b.set("count", i32::try_from(count).unwrap_or(i32::MAX));
    }
    b.finish()
}

/// Elements by id, parameters by name; of what is repeated every value is kept, as a list. Says whether something was.
fn structured_data(envelope: &Envelope<'_>) -> (serde_json::Map<String, serde_json::Value>, bool) {
    use serde_json::{Map, Value};
    let mut all: Map<String, Value> = Map::new();
    let mut repeated = false;
    for (id, parameters) in &envelope.structured {
        repeated |= all.contains_key(id);
        let element = all.entry(id.clone()).or_insert_with(|| Value::Object(Map::new()));
        let Some(element) = element.as_object_mut() else {
            continue;
        };
        for (name, value) in parameters {
            match element.get_mut(name) {
                None => {
                    element.insert(name.clone(), value.clone().into());
                }
                Some(Value::Array(values)) => values.push(value.clone().into()),
                Some(first) => {
                    repeated = true;
                    *first = Value::Array(vec![first.take(), value.clone().into()]);
                }
            }
        }
    }
    (all, repeated)
}
