//! The error log of nginx and Apache: a Base Event with the client and the request, where the line tells them.

use crate::builder::{EventBuilder, address};
use crate::class;
use crate::format::access_log::request_line;
use crate::format::{Format, Input, Match, Quarantine, host};
use crate::mask::mask;
use crate::seek;
use crate::time_text::{self, ParsedTime};
use model::{Event, Map, Millis};

/// Error logs of nginx and Apache.
pub static FORMAT: Format = Format {
    name: "error_log",
    aliases: &["nginx_error", "apache_error"],
    matches,
    normalize,
};

fn matches(input: &Input<'_>) -> Option<Match> {
    let is_error_log = nginx(input.text).is_some() || apache(input.text).is_some();
    is_error_log.then_some(Match {
        score: 65,
        reason: "a time and a level in brackets",
    })
}

fn normalize<'a>(input: &mut Input<'a>) -> Result<Vec<Event<'a>>, Quarantine> {
    event(input, input.text, None)
        .map(|e| vec![e])
        .ok_or(Quarantine("error_log_unreadable"))
}

/// What a line tells.
#[derive(Debug, Default, PartialEq)]
struct Entry<'a> {
    product: &'static str,
    time: &'a str,
    module: &'a str,
    level: &'a str,
    pid: &'a str,
    tid: &'a str,
    client: &'a str,
    code: &'a str,
    message: &'a str,
}

/// The event of a line; `None`: it is no line of an error log.
pub(crate) fn event<'a>(input: &Input<'a>, line: &str, device: Option<&str>) -> Option<Event<'a>> {
    let e = nginx(line).or_else(|| apache(line))?;
    let vendor = if e.product == "Apache" { "Apache" } else { "F5" };
    let mut b = EventBuilder::new(input, &class::BASE_EVENT, 99, vendor, e.product);
    b.word("activity_name", "Log")
        .set("message", e.message)
        .metadata_word("log_name", "error");
    b.metadata("log_level", e.level).metadata("event_code", e.code);
    when(
        &mut b,
        input.record.received_at,
        e.time,
        time_text::parse_any(e.time, input.record.received_at, &input.settings.time_zone),
    );
    b.severity(match e.level {
        "emerg" | "alert" => 5,
        "crit" => 4,
        "error" => 3,
        "warn" => 2,
        _ => 1,
    });
    b.unmapped("module", e.module)
        .unmapped("pid", e.pid)
        .unmapped("tid", e.tid);
    client(&mut b, &e);
    if let Some(device) = device {
        host::machine(&mut b, device);
    }
    let keep = input.keep();
    let mut native = Map::new();
    for (name, value) in [
        ("level", e.level),
        ("module", e.module),
        ("client", e.client),
        ("message", e.message),
    ] {
        if !value.is_empty() && keep.arena.wants_native_of(name) {
            native.insert(name, keep.text(value));
        }
    }
    b.native(native);
    let product = if e.product == "Apache" { "apache" } else { "nginx" };
    b.logsource(product, "webserver_error", product);
    Some(b.finish())
}

fn when(b: &mut EventBuilder<'_>, received_at: Millis, text: &str, time: Option<ParsedTime>) {
    match time {
        Some(time) => {
            b.time(time.time).original_time(text, time.offset_minutes);
            time.labels().for_each(|l| {
                b.label(l);
            });
        }
        None => {
            b.time(received_at).original_time(text, None).label("time.invalid");
        }
    }
}

/// The Base Event has no endpoints: client, server, request and host keep the log's own names.
fn client(b: &mut EventBuilder<'_>, e: &Entry<'_>) {
    if e.product == "Apache" {
        b.unmapped("client", e.client);
        return;
    }
    let Some((_, rest)) = e.message.rsplit_once(", client: ") else {
        // `client 10.0.0.1 closed keepalive connection`
        let word = e.message.strip_prefix("client ").and_then(|r| r.split(' ').next());
        if let Some(word) = word.filter(|w| address(w).0.is_some()) {
            b.unmapped("client", word);
        }
        return;
    };
    let (client, rest) = seek::split_once(rest, ", ").unwrap_or((rest, ""));
    b.unmapped("client", client);
    if let Some((server, _)) = rest
        .strip_prefix("server: ")
        .and_then(|r| seek::split_once(r, ", ").or(Some((r, ""))))
    {
        b.unmapped("server", server);
    }
    if let Some((_, rest)) = seek::split_once(rest, "request: \"") {
        // The request is written as the client sent it, quotes and all; what follows it is looked for from the end.
        let request = rest.rsplit_once("\", host: ").map_or(rest, |(request, _)| request);
        let request = request
            .split_once("\", upstream: ")
            .map_or(request, |(request, _)| request)
            .trim_end_matches('"');
        b.unmapped("request", mask(request));
        if request_line(request).is_none() {
            b.label("http.request_malformed");
        }
    }
    if let Some((_, host)) = rest.rsplit_once(", host: \"") {
        b.unmapped("host", host.split('"').next().unwrap_or(""));
    }
    if let Some((_, user)) = seek::split_once(e.message, "user \"").filter(|(before, _)| before.is_empty()) {
        // `user "zhang.wei": password mismatch`, `user "x" was not found in "/etc/htpasswd"`
        let user = user.split('"').next().unwrap_or("");
        b.unmapped("user", user).set("actor.user.name", user);
        if seek::contains(e.message, "password mismatch") || seek::contains(e.message, "was not found in") {
            b.success(false);
        }
    }
}

/// `2026/11/22 02:42:47 [info] 553#553: *1 text`
fn nginx(line: &str) -> Option<Entry<'_>> {
    let leading = time_text::leading_slashed(line)?;
    let (level, rest) = leading.rest.strip_prefix(" [")?.split_once("] ")?;
    if level.len() > 8 || !level.bytes().all(|b| b.is_ascii_lowercase()) {
        return None;
    }
    let (process, rest) = seek::split_once(rest, ": ").unwrap_or(("", rest));
    let (pid, tid) = seek::cut(process, b'#').unwrap_or(("", ""));
    let is_number = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    if !is_number(pid) || !is_number(tid) {
        return None;
    }
    // The number of the connection.
    let message = rest
        .strip_prefix('*')
        .and_then(|r| seek::cut(r, b' '))
        .filter(|(n, _)| is_number(n))
        .map_or(rest, |(_, m)| m);
    Some(Entry {
        product: "nginx",
        time: leading.text,
        level,
        pid,
        tid,
        message,
        ..Entry::default()
    })
}

/// `[Sun Dec 04 04:47:44.123456 2005] [core:error] [pid 1:tid 2] [client 10.0.0.1:55] AH00126: text`
fn apache(line: &str) -> Option<Entry<'_>> {
    let (time, mut rest) = line.strip_prefix('[')?.split_once("] ")?;
    let is_time = (20..=40).contains(&time.len()) && time.as_bytes()[3] == b' ' && time.as_bytes()[7] == b' ';
    if !is_time {
        return None;
    }
    let mut e = Entry {
        product: "Apache",
        time,
        ..Entry::default()
    };
    let (level, after) = rest
        .strip_prefix('[')?
        .split_once("] ")
        .or_else(|| Some((rest.strip_prefix('[')?.strip_suffix(']')?, "")))?;
    (e.module, e.level) = seek::cut(level, b':').unwrap_or(("", level));
    if level.len() > 64 || seek::has(level, b' ') {
        return None;
    }
    rest = after;
    for _ in 0..3 {
        let Some((inner, after)) = rest.strip_prefix('[').and_then(|r| seek::split_once(r, "] ")) else {
            break;
        };
        if let Some(process) = inner.strip_prefix("pid ") {
            let (pid, tid) = seek::split_once(process, ":tid ").unwrap_or((process, ""));
            (e.pid, e.tid) = (pid, tid);
        } else if let Some(client) = inner.strip_prefix("client ").or_else(|| inner.strip_prefix("remote ")) {
            e.client = client;
        } else {
            break;
        }
        rest = after;
    }
    if let Some((code, _)) = seek::split_once(rest, ": ")
        && code.len() == 7
        && code.starts_with("AH")
    {
        e.code = code;
    }
    e.message = rest;
    Some(e)
}
