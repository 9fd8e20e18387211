//! nginx' access log as JSON (`escape=json`). The names of the fields are the operator's choice; the usual ones are
//! known, what is left goes to `unmapped`.

use std::borrow::Cow;

use model::{Event, Object};
use smallvec::SmallVec;

use crate::fields::scalar;
use crate::format::http::Request;
use crate::format::{Format, Input, Match, Quarantine, access_log};
use crate::{syslog, time_text};

/// JSON access logs of nginx; a source of this name may send its text logs too.
pub static FORMAT: Format = Format {
    name: "nginx_json",
    aliases: &["nginx"],
    matches,
    normalize,
};

const TIME: &[&str] = &["time", "time_iso8601", "time_local", "@timestamp", "timestamp", "msec"];
const PEER: &[&str] = &["remote_addr", "client_ip", "clientip", "remote_ip", "client"];
const FORWARDED: &[&str] = &["xff", "http_x_forwarded_for", "x_forwarded_for", "forwarded_for"];
const USER: &[&str] = &["user", "remote_user"];
const METHOD: &[&str] = &["method", "request_method"];
const TARGET: &[&str] = &["uri", "request_uri", "url", "path"];
const QUERY: &[&str] = &["args", "query_string", "query"];
const REQUEST: &[&str] = &["request"];
const PROTOCOL: &[&str] = &["server_protocol", "protocol", "proto"];
const STATUS: &[&str] = &["status", "status_code"];
const BYTES: &[&str] = &["bytes", "body_bytes_sent", "bytes_sent", "size"];
const SECONDS: &[&str] = &["rt", "request_time"];
const AGENT: &[&str] = &["ua", "http_user_agent", "user_agent", "agent"];
const REFERRER: &[&str] = &["ref", "http_referer", "referer", "referrer"];
const HOST: &[&str] = &["host", "http_host", "server_name", "vhost"];
const UID: &[&str] = &["req_id", "request_id"];
const SCHEME: &[&str] = &["scheme"];

fn matches(input: &Input<'_>) -> Option<Match> {
    if !input.text.starts_with('{') {
        return None;
    }
    let object = input.object().ok()?;
    let has = |names: &[&str]| names.iter().any(|n| object.contains_key(n));
    let all = has(STATUS) && has(PEER) && (has(METHOD) && has(TARGET) || has(REQUEST));
    all.then_some(Match {
        score: 70,
        reason: "the keys of a request: address, method, URI, status",
    })
}

fn normalize<'a>(input: &mut Input<'a>) -> Result<Vec<Event<'a>>, Quarantine> {
    if input.text.starts_with('<') {
        // nginx' own syslog: `<190>Mar  1 10:00:00 web-1 nginx: {…}`
        let text = input.text;
        let envelope = syslog::parse(text);
        if envelope.message.starts_with('{') {
            return object(&mut Input::of_text(input, &envelope.message), envelope.host.as_deref());
        }
    }
    if !input.text.starts_with('{') {
        return access_log::read(input);
    }
    object(input, None)
}

/// A request as JSON; `device` is the machine that a syslog header named.
pub(crate) fn object<'a>(input: &mut Input<'a>, device: Option<&str>) -> Result<Vec<Event<'a>>, Quarantine> {
    let object = input.take_object()?;
    let mut taken: SmallVec<[bool; 64]> = SmallVec::from_elem(false, object.len());
    let mut take = |names: &[&str]| take(object, &mut taken, names);
    let time_text = take(TIME);
    let mut request = Request {
        product: "nginx",
        time: time_text::parse_any(&time_text, input.record.received_at, &input.settings.time_zone),
        time_text,
        peer: take(PEER),
        forwarded_for: take(FORWARDED),
        user: take(USER),
        method: take(METHOD),
        target: take(TARGET),
        query: take(QUERY),
        protocol: take(PROTOCOL),
        status: take(STATUS).parse().ok().filter(|s| (100..1000).contains(s)),
        bytes: take(BYTES).parse().ok(),
        duration_ms: take(SECONDS)
            .parse::<f64>()
            .ok()
            .filter(|s| s.is_finite())
            .map(|s| (s * 1000.0).round() as i64),
        user_agent: take(AGENT),
        referrer: take(REFERRER),
        host: take(HOST),
        uid: take(UID),
        scheme: take(SCHEME),
        device,
        ..Request::default()
    };
    let line = take(REQUEST);
    if request.method.is_empty() && request.target.is_empty() {
        match access_log::request_line(&line) {
            Some((method, target, protocol)) => {
                request.method = Cow::Owned(method.to_owned());
                request.target = Cow::Owned(target.to_owned());
                request.protocol = Cow::Owned(protocol.to_owned());
            }
            None => request.malformed = line,
        }
    }
    let empty = request.method.is_empty() && request.target.is_empty() && request.malformed.is_empty();
    let mut b = request.event(input);
    if empty {
        b.label("http.request_malformed");
    }
    b.original_uid(&request.uid);
    for ((name, value), _) in object.iter().zip(&taken).filter(|(_, taken)| !**taken) {
        b.unmapped(name, value);
    }
    Ok(vec![b.finish()])
}

/// Takes the first of the names that is there, as text; `-` and null are nothing.
fn take<'a>(object: Object<'a>, taken: &mut [bool], names: &[&str]) -> Cow<'a, str> {
    for name in names {
        let Some(place) = object.place(name).filter(|p| !taken[*p]) else {
            continue;
        };
        let value = &object.members()[place].1;
        let text = scalar(value);
        if text.is_some() || value.is_null() || value.is_empty() {
            taken[place] = true;
            return text.filter(|t| t != "-").unwrap_or_default();
        }
    }
    Cow::Borrowed("")
}
