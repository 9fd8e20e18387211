//! The access log of nginx and Apache: common, combined, and with the virtual host before it.

use model::Event;
use std::borrow::Cow;

use crate::format::http::Request;
use crate::format::{Format, Input, Match, Quarantine, error_log};
use crate::seek;
use crate::time_text;

/// Access logs of nginx and Apache.
pub static FORMAT: Format = Format {
    name: "access_log",
    aliases: &["apache", "httpd", "nginx_combined", "combined", "common"],
    matches,
    normalize,
};

fn matches(input: &Input<'_>) -> Option<Match> {
    split(input.text).map(|_| Match {
        score: 70,
        reason: "an address and a time in brackets before a quoted request",
    })
}

fn normalize<'a>(input: &mut Input<'a>) -> Result<Vec<Event<'a>>, Quarantine> {
    read(input)
}

/// A line of a web server's access or error log, perhaps behind a syslog header.
pub(crate) fn read<'a>(input: &Input<'a>) -> Result<Vec<Event<'a>>, Quarantine> {
    let (text, device) = if input.text.starts_with('<') {
        let envelope = input.envelope();
        (&*envelope.message, envelope.host.as_deref())
    } else {
        (input.text, None)
    };
    event(input, text, device)
        .or_else(|| error_log::event(input, text, device))
        .map(|e| vec![e])
        .ok_or(Quarantine("access_log_unreadable"))
}

/// The event of a line; `None`: it is no line of an access log.
pub(crate) fn event<'a>(input: &Input<'a>, line: &str, device: Option<&str>) -> Option<Event<'a>> {
    let parts = split(line)?;
    let (before, rest) = (parts.before, parts.rest);
    // `[vhost:port ]ADDR IDENT USER`: the user may hold blanks, so what stands before him is read from the left.
    let mut words = before.splitn(2, ' ');
    let first = words.next()?;
    let mut after = words.next()?;
    let mut peer = first;
    let mut host = "";
    // With a virtual host four words or more stand here, and the second is an address.
    let second = after.split(' ').next()?;
    if after.split(' ').nth(2).is_some()
        && crate::builder::address(first).0.is_none()
        && crate::builder::address(second).0.is_some()
    {
        host = first;
        peer = second;
        after = after.get(second.len() + 1..)?;
    }
    let (_ident, user) = seek::cut(after, b' ').unwrap_or((after, "-"));
    let nil = |text: &str| if text == "-" { String::new() } else { text.to_owned() };

    let (request, rest) = quoted(rest)?;
    let mut numbers = rest.trim_start().splitn(3, ' ');
    let status = numbers
        .next()
        .and_then(|s| s.parse::<u16>().ok())
        .filter(|s| (100..1000).contains(s));
    let bytes = numbers
        .next()
        .and_then(|b| if b == "-" { Some(0) } else { b.parse::<i64>().ok() });
    let tail = numbers.next().unwrap_or("");
    let (referrer, tail) = quoted(tail).unwrap_or((Cow::Borrowed(""), tail));
    let (user_agent, tail) = quoted(tail.trim_start()).unwrap_or((Cow::Borrowed(""), tail));

    let mut parsed = Request {
        product: product(input, line),
        time_text: parts.time.into(),
        time: time_text::parse_any(parts.time, input.record.received_at, &input.settings.time_zone),
        peer: peer.into(),
        user: nil(&unescape(user)).into(),
        status,
        bytes,
        referrer: nil(&referrer).into(),
        user_agent: nil(&user_agent).into(),
        host: host.into(),
        device,
        uid: request_id(tail).into(),
        ..Request::default()
    };
    match request_line(&request) {
        Some((method, target, protocol)) => {
            parsed.method = method.into();
            parsed.target = target.into();
            parsed.protocol = protocol.into();
        }
        None => parsed.malformed = Cow::Borrowed(&*request),
    }
    let mut b = parsed.event(input);
    if request.is_empty() {
        b.label("http.request_empty");
    }
    b.unmapped("extra", tail.trim());
    Some(b.finish())
}

/// The request's id, where the server's format has one behind the rest (nginx's `$request_id`, a UUID of `mod_unique_id`'s kind).
fn request_id(tail: &str) -> &str {
    let words = tail.split_ascii_whitespace().map(|w| w.trim_matches('"'));
    let hex =
        |w: &&str| w.len() >= 32 && w.len() <= 36 && w.bytes().filter(|b| *b != b'-').all(|b| b.is_ascii_hexdigit());
    let digits = |w: &&str| w.bytes().filter(|b| *b != b'-').count() == 32;
    words.filter(hex).find(digits).unwrap_or("")
}

/// Who wrote it: the two differ in how they escape; where nothing is escaped, the source's name may tell.
fn product(input: &Input<'_>, line: &str) -> &'static str {
    let source = &*input.record.source;
    if seek::contains(source, "apache") || seek::contains(source, "httpd") || seek::contains(line, "\\\"") {
        "Apache"
    } else {
        "nginx"
    }
}

struct Parts<'a> {
    before: &'a str,
    time: &'a str,
    rest: &'a str,
}

/// What stands before the time may hold brackets too; the first that holds a time, and a quote after it, is the one.
fn split(line: &str) -> Option<Parts<'_>> {
    const BEFORE_BYTES_MAX: usize = 4096;
    for open in memchr::memchr_iter(b'[', &line.as_bytes()[..line.len().min(BEFORE_BYTES_MAX)]) {
        // `[22/Nov/2026:02:42:47 +0000] "`
        let Some(inner) = line.get(open + 1..) else { continue };
        let Some(close) = inner.bytes().take(40).position(|b| b == b']') else {
            continue;
        };
        let time = &inner[..close];
        let is_time = time.len() >= 20 && time.as_bytes()[2] == b'/' && time.as_bytes()[6] == b'/';
        if is_time && inner[close..].starts_with("] \"") && line[..open].ends_with(' ') {
            return Some(Parts {
                before: line[..open].trim_end(),
                time,
                rest: &inner[close + 2..],
            });
        }
    }
    None
}

/// A quoted text at the start, unescaped, and what follows.
fn quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let inner = text.strip_prefix('"')?;
    let bytes = inner.as_bytes();
    let mut i = 0;
    while i < bytes.len() && bytes[i] != b'"' {
        i += 1 + usize::from(bytes[i] == b'\\');
    }
    // Cut off before its end: what is there counts.
    let end = i.min(inner.len());
    let value = inner.get(..end).unwrap_or(inner);
    Some((unescape(value), inner.get(end + 1..).unwrap_or("")))
}

/// `\xHH`, `\"`, `\\`, `\n`, `\t` as the bytes they stand for; bytes that are no text are replaced.
pub(crate) fn unescape(text: &str) -> Cow<'_, str> {
    if !seek::has(text, b'\\') {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let b = bytes[i];
        i += 1;
        if b != b'\\' {
            out.push(b);
            continue;
        }
        let Some(&escape) = bytes.get(i) else {
            out.push(b'\\');
            break;
        };
        i += 1;
        match escape {
            b'x' | b'X' => match text.get(i..i + 2).and_then(|h| u8::from_str_radix(h, 16).ok()) {
                Some(byte) => {
                    out.push(byte);
                    i += 2;
                }
                None => out.extend([b'\\', escape]),
            },
            b'n' => out.push(b'\n'),
            b't' => out.push(b'\t'),
            b'r' => out.push(b'\r'),
            b'"' | b'\\' => out.push(escape),
            other => out.extend([b'\\', other]),
        }
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

/// `METHOD TARGET PROTOCOL`; without a protocol it is HTTP/0.9.
pub(crate) fn request_line(request: &str) -> Option<(&str, &str, &str)> {
    let (method, rest) = seek::cut(request, b' ')?;
    let is_token = !method.is_empty()
        && method.len() <= 32
        && method.bytes().all(|b| b.is_ascii_uppercase() || b"-_".contains(&b));
    if !is_token {
        return None;
    }
    match rest.rsplit_once(' ') {
        Some((target, protocol)) if protocol.starts_with("HTTP/") => Some((method, target, protocol)),
        _ if rest.starts_with('/') => Some((method, rest, "")),
        _ => None,
    }
}
