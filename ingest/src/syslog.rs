//! The envelope of a syslog line, in whichever of its forms it came: RFC 3164 on the wire and in files, RFC 5424,
//! rsyslog's RFC 3339 file form. Missing and broken parts are tolerated and flagged; time linear, no panic.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use jiff::tz::TimeZone;
use memchr::memchr;
use model::{Millis, Object};

use crate::seek;
use crate::time_text::{self, Civil, Leading, ParsedTime};

/// Which form a line had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `Mmm dd HH:MM:SS host tag[pid]: text`, with or without a priority.
    Rfc3164,
    /// `<PRI>1 TIME HOST APP PROCID MSGID SD text`
    Rfc5424,
    /// `2026-11-22T02:41:34+00:00 host tag[pid]: text`, with or without a priority.
    Rfc3339,
    /// rsyslog's JSON template.
    Json,
    /// A priority and text, or text alone.
    Bare,
}

/// A structured data element of RFC 5424: its id and its parameters, in order; a name may repeat.
pub type Element = (String, Vec<(String, String)>);

/// What stands around a message.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope<'a> {
    /// Which form.
    pub kind: Kind,
    /// Facility × 8 + severity, 0 to 191.
    pub pri: Option<u8>,
    /// The time as written.
    pub time_text: Option<Cow<'a, str>>,
    /// The sending host as it calls itself.
    pub host: Option<Cow<'a, str>>,
    /// The program, as written (`sshd`, `/usr/sbin/cron`, `sshd(pam_unix)`).
    pub tag: Option<Cow<'a, str>>,
    /// The process id, as written.
    pub pid: Option<Cow<'a, str>>,
    /// RFC 5424's message id.
    pub message_id: Option<Cow<'a, str>>,
    /// RFC 5424's structured data.
    pub structured: Vec<Element>,
    /// The text, without the blanks around it.
    pub message: Cow<'a, str>,
    /// What was odd: `syslog.pri_invalid`, `syslog.time_invalid`, …
    pub flags: Vec<&'static str>,
    civil: Option<Civil>,
}

impl Envelope<'_> {
    /// The moment, where the line has one that exists.
    #[must_use]
    pub fn time(&self, received_at: Millis, zone: &TimeZone) -> Option<ParsedTime> {
        match &self.civil {
            Some(civil) => civil.resolve(received_at, zone),
            None => time_text::parse_any(self.time_text.as_deref()?, received_at, zone),
        }
    }

    /// The message as a part of the line that was read; nothing where it is not as it was written.
    #[must_use]
    pub fn message_in<'t>(&self, text: &'t str) -> Option<&'t str> {
        let whole = text.trim_end();
        whole
            .ends_with(&*self.message)
            .then(|| &whole[whole.len() - self.message.len()..])
    }

    /// The facility's number and name.
    #[must_use]
    pub fn facility(&self) -> Option<(u8, &'static str)> {
        let number = self.pri? >> 3;
        Some((
            number,
            FACILITIES.get(usize::from(number)).copied().unwrap_or("unknown"),
        ))
    }

    /// The severity's number (0 emergency to 7 debug) and name.
    #[must_use]
    pub fn severity(&self) -> Option<(u8, &'static str)> {
        let number = self.pri? & 7;
        Some((number, SEVERITIES[usize::from(number)]))
    }

    /// The program's name without folder and PAM suffix: `cron` of `/usr/sbin/cron`, `sshd` of `sshd(pam_unix)`.
    #[must_use]
    pub fn program(&self) -> Option<&str> {
        let tag = self.tag.as_deref()?;
        let name = tag.rsplit('/').next().filter(|n| !n.is_empty()).unwrap_or(tag);
        Some(seek::cut(name, b'(').map_or(name, |(name, _)| name)).filter(|n| !n.is_empty())
    }

    /// Whether the line looks like syslog at all.
    #[must_use]
    pub fn is_syslog(&self) -> bool {
        self.kind != Kind::Bare || self.pri.is_some()
    }
}

const FACILITIES: &[&str] = &[
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp",
    "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];
const SEVERITIES: &[&str; 8] = &["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];

/// The longest tag.
const TAG_BYTES_MAX: usize = 128;
/// Structured data elements and parameters that are kept.
const ELEMENTS_MAX: usize = 256;

/// Reads a line.
#[must_use]
pub fn parse(line: &str) -> Envelope<'_> {
    let mut e = Envelope {
        kind: Kind::Bare,
        pri: None,
        time_text: None,
        host: None,
        tag: None,
        pid: None,
        message_id: None,
        structured: Vec::new(),
        message: Cow::Borrowed(""),
        flags: Vec::new(),
        civil: None,
    };
    let line = line.trim_start_matches('\u{feff}');
    let rest = priority(line, &mut e);
    if e.pri.is_some() && rfc5424(rest, &mut e) {
        return e;
    }
    if let Some(leading) = time_text::leading_bsd(rest) {
        e.kind = Kind::Rfc3164;
        header(leading, &mut e);
    } else if let Some(leading) = time_text::leading_iso(rest).filter(|l| l.text.len() >= 16) {
        e.kind = Kind::Rfc3339;
        header(leading, &mut e);
    } else if e.pri.is_some() {
        e.flags.push("syslog.time_missing");
        host_tag(rest, &mut e);
    } else {
        e.message = seek::trim(rest).into();
    }
    e
}

/// Reads rsyslog's JSON template (`@timestamp` or `timereported`, `host`, `severity`, `facility`, `syslog-tag`,
/// `message`); `None`: it is another object.
#[must_use]
pub fn from_object(object: Object<'_>) -> Option<Envelope<'static>> {
    let text = |names: &[&str]| {
        let value = names.iter().find_map(|n| object.get(n))?;
        value.as_str().map(|s| Cow::Owned(s.to_owned())).or_else(|| {
            let number = value.is_number() || value.is_boolean();
            number.then(|| Cow::Owned(value.to_string()))
        })
    };
    let message = text(&["message", "msg"])?;
    let tag = text(&["syslog-tag", "syslogtag", "programname", "app-name"])?;
    let host = text(&["host", "hostname", "fromhost"]);
    let severity = text(&["severity", "syslogseverity-text", "syslogseverity"]);
    let facility = text(&["facility", "syslogfacility-text", "syslogfacility"]);
    let number = |text: Option<Cow<'_, str>>, names: &[&str]| {
        let text = text?;
        let named = names.iter().position(|n| text.eq_ignore_ascii_case(n));
        named
            .or_else(|| text.parse().ok())
            .filter(|n| *n < names.len())
            .map(|n| n as u8)
    };
    let facility = number(facility, FACILITIES);
    let pri = facility.and_then(|f| Some(f * 8 + number(severity, SEVERITIES)?));
    let mut e = parse("");
    // The tag has the process id and the colon in it.
    let mut line = parse_tag(&tag, &mut e);
    if line.is_empty() {
        line = &message;
    }
    e.message = Cow::Owned(seek::trim(line).to_owned());
    Some(Envelope {
        kind: Kind::Json,
        pri,
        time_text: text(&["@timestamp", "timereported", "timestamp", "time"]),
        host,
        tag: e.tag.map(|t| Cow::Owned(t.into_owned())),
        pid: e
            .pid
            .map(|p| Cow::Owned(p.into_owned()))
            .or_else(|| text(&["procid"]))
            .filter(|p| p != "-"),
        message_id: None,
        structured: Vec::new(),
        message: e.message.into_owned().into(),
        flags: e.flags,
        civil: None,
    })
}

/// `message repeated N times: [ text]` (rsyslog) as N and the text; `last message repeated N times` (syslogd) as N
/// and nothing.
#[must_use]
pub fn repeated(message: &str) -> Option<(u32, Option<&str>)> {
    // Nearly every line is let go here.
    if !matches!(message.as_bytes().first(), Some(b'-' | b' ' | b'l' | b'm')) {
        return None;
    }
    let message = message.trim_start_matches(['-', ' ']);
    let after = message
        .strip_prefix("last ")
        .unwrap_or(message)
        .strip_prefix("message repeated ")?;
    let (count, after) = seek::cut(after, b' ')?;
    let count = count.parse().ok()?;
    let after = after.strip_prefix("time")?;
    let after = after.strip_prefix('s').unwrap_or(after);
    let inner = after.strip_prefix(": [").and_then(|t| t.trim_end().strip_suffix(']'));
    Some((count, inner.map(str::trim)))
}

/// Whether a message holds what looks like another syslog line: after a line break of whatever writing (`#012`, `\n`,
/// U+2028, a real one), or a whole RFC 5424 header anywhere. Somebody then writes text that is to be taken for a line.
#[must_use]
pub fn imitates_line(message: &str) -> bool {
    const BREAKS: &[&str] = &[
        "#012", "#015", "\\n", "\\r", "\\012", "\n", "\r", "\u{2028}", "\u{2029}", "\u{85}",
    ];
    // Nearly every line is let go here.
    let bytes = message.as_bytes();
    if memchr::memchr3(b'#', b'\\', b'<', bytes).is_none() && memchr::memchr3(b'\n', b'\r', 0xe2, bytes).is_none() {
        return false;
    }
    let is_line = |text: &str| {
        let mut e = parse("");
        let rest = priority(text.trim_start(), &mut e);
        time_text::leading_bsd(rest).is_some_and(|l| l.rest.starts_with(' '))
            || time_text::leading_iso(rest).is_some_and(|l| l.text.len() >= 16 && l.rest.starts_with(' '))
            || e.pri.is_some() && rest.starts_with("1 ")
    };
    let near = |at: usize| {
        let mut end = message.len().min(at + 96);
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        message.get(at..end).unwrap_or("")
    };
    BREAKS
        .iter()
        .any(|b| message.match_indices(b).any(|(i, _)| is_line(near(i + b.len()))))
        || message
            .match_indices('<')
            .skip_while(|(i, _)| *i == 0)
            .any(|(i, _)| is_line(near(i)))
}

/// Takes `<PRI>` off.
fn priority<'a>(line: &'a str, e: &mut Envelope<'_>) -> &'a str {
    let Some(after) = line.strip_prefix('<') else {
        return line;
    };
    let length = after
        .bytes()
        .take(6)
        .take_while(|b| b.is_ascii_digit() || *b == b'-')
        .count();
    let digits = &after[..length];
    let Some(rest) = after[length..].strip_prefix('>') else {
        e.flags.push("syslog.pri_invalid");
        // `<13` and nothing more is still syslog's.
        if length > 0 && length == after.len() {
            e.pri = digits.parse().ok().filter(|p| *p <= 191);
            return "";
        }
        return line;
    };
    let pri = digits.parse::<u8>().ok().filter(|p| *p <= 191);
    if pri.is_none() || digits.len() > 3 || digits.len() > 1 && digits.starts_with('0') {
        e.flags.push("syslog.pri_invalid");
    }
    // Out of its range, it is user.notice (RFC 3164, section 4.3.3).
    e.pri = pri.or(Some(13));
    rest
}

/// `1 TIME HOST APP PROCID MSGID SD MSG`; what is missing at the end is nil.
fn rfc5424<'a>(line: &'a str, e: &mut Envelope<'a>) -> bool {
    let digits = line.bytes().take(3).take_while(u8::is_ascii_digit).count();
    let (version, rest) = line.split_at(digits);
    if digits == 0 || version.starts_with('0') || !(rest.is_empty() || rest.starts_with(' ')) {
        return false;
    }
    let mut rest = rest.trim_start_matches(' ');
    let time = field(&mut rest);
    if !time.is_empty() && time != "-" {
        match time_text::leading_iso(time) {
            Some(leading) => e.civil = Some(leading.civil),
            None if version != "1" => return false,
            None => {}
        }
        e.time_text = Some(time.into());
    }
    e.kind = Kind::Rfc5424;
    if version != "1" {
        e.flags.push("syslog.version");
    }
    if rest.is_empty() {
        e.flags.push("syslog.header_short");
    }
    let nil = |rest: &mut &'a str| Some(Cow::Borrowed(field(rest))).filter(|f| !f.is_empty() && f != "-");
    e.host = nil(&mut rest);
    e.tag = nil(&mut rest);
    e.pid = nil(&mut rest);
    e.message_id = nil(&mut rest);
    let rest = structured_data(rest, e);
    let rest = rest.strip_prefix(' ').unwrap_or(rest);
    e.message = rest.strip_prefix('\u{feff}').unwrap_or(rest).trim().into();
    true
}

/// Up to a space, which is taken too.
fn field<'a>(rest: &mut &'a str) -> &'a str {
    let all = *rest;
    let Some(end) = memchr(b' ', all.as_bytes()) else {
        *rest = "";
        return all;
    };
    *rest = &all[end + 1..];
    &all[..end]
}

fn structured_data<'a>(text: &'a str, e: &mut Envelope<'_>) -> &'a str {
    if let Some(rest) = text.strip_prefix('-') {
        return rest;
    }
    let mut rest = text;
    let mut kept = 0;
    while rest.starts_with('[') {
        match element(&rest[1..], &mut kept) {
            Some((element, after)) => {
                e.structured.push(element);
                rest = after;
            }
            None => {
                // What cannot be read stays in the message.
                e.flags.push("syslog.structured_data_invalid");
                return rest;
            }
        }
        if e.structured.len() >= ELEMENTS_MAX {
            break;
        }
    }
    rest
}

/// `id name="value" …]`
fn element<'a>(text: &'a str, kept: &mut usize) -> Option<(Element, &'a str)> {
    let end = text.bytes().position(|b| matches!(b, b' ' | b']' | b'"' | b'='))?;
    let (id, mut rest) = text.split_at(end);
    let mut parameters = Vec::new();
    loop {
        rest = rest.trim_start_matches(' ');
        if let Some(after) = rest.strip_prefix(']') {
            return Some(((id.to_owned(), parameters), after));
        }
        let (name, after) = seek::split_once(rest, "=\"")?;
        if name.contains(['"', ']', ' ']) {
            return None;
        }
        let mut value = String::new();
        let mut escaped = false;
        let mut end = None;
        for (i, c) in after.char_indices() {
            match c {
                _ if escaped => {
                    // RFC 5424, section 6.3.3: a backslash before any other character is itself.
                    if !matches!(c, '"' | '\\' | ']') {
                        value.push('\\');
                    }
                    value.push(c);
                    escaped = false;
                }
                '\\' => escaped = true,
                '"' => {
                    end = Some(i + 1);
                    break;
                }
                c => value.push(c),
            }
        }
        rest = &after[end?..];
        *kept += 1;
        if *kept <= ELEMENTS_MAX {
            parameters.push((name.to_owned(), value));
        }
    }
}

fn header<'a>(leading: Leading<'a>, e: &mut Envelope<'a>) {
    e.time_text = Some(leading.text.into());
    e.civil = Some(leading.civil);
    host_tag(leading.rest, e);
}

/// ` host tag[pid]: text`; the host may be missing.
fn host_tag<'a>(rest: &'a str, e: &mut Envelope<'a>) {
    if let Some(after) = rest.strip_prefix(':') {
        // `Mar 11 09:39:39: --- last message repeated 5 times ---`, Cisco's `…: %SYS-5-CONFIG_I: text`.
        let after = after.trim_start();
        let text = if after.starts_with('%') {
            parse_tag(after, e)
        } else {
            after
        };
        e.message = seek::trim(text).into();
        return;
    }
    let rest = rest.trim_start_matches(' ');
    let first = &rest[..memchr(b' ', rest.as_bytes()).unwrap_or(rest.len())];
    if first.ends_with(':') && first.len() > 1 && !first.ends_with("::") {
        e.flags.push("syslog.host_missing");
        e.message = seek::trim(parse_tag(rest, e)).into();
        return;
    }
    if !first.is_empty() {
        e.host = Some(first.into());
    }
    let rest = rest[first.len()..].trim_start_matches(' ');
    e.message = seek::trim(parse_tag(rest, e)).into();
}

/// Takes `tag[pid]:` off; without a colon or a process id there is no tag.
fn parse_tag<'a, 'b>(text: &'b str, e: &mut Envelope<'a>) -> &'b str
where
    'b: 'a,
{
    let bytes = text.as_bytes();
    let mut end = 0;
    loop {
        match bytes.get(end) {
            Some(b'[') => break,
            Some(b':') if matches!(bytes.get(end + 1), None | Some(b' ')) => break,
            // `Accepted password …` without a tag.
            None | Some(b' ') => return text,
            Some(_) if end >= TAG_BYTES_MAX => return text,
            Some(_) => end += 1,
        }
    }
    let tag = &text[..end];
    let mut rest = &text[end..];
    if let Some(inner) = rest.strip_prefix('[') {
        let close = inner.bytes().take(TAG_BYTES_MAX).position(|b| matches!(b, b']' | b' '));
        match close.filter(|i| inner.as_bytes()[*i] == b']') {
            Some(close) => {
                e.pid = Some(inner[..close].into()).filter(|p: &Cow<'_, str>| !p.is_empty());
                rest = &inner[close + 1..];
            }
            None if tag.is_empty() => return text,
            None => {
                e.flags.push("syslog.tag_invalid");
                rest = inner;
            }
        }
    }
    // A text that begins with a bracket is no tag: `host [origin software="rsyslogd"] start`.
    if tag.is_empty() && !rest.starts_with(':') {
        e.pid = None;
        return text;
    }
    if tag.is_empty() {
        e.flags.push("syslog.tag_empty");
    } else {
        e.tag = Some(tag.into());
    }
    rest.strip_prefix(':').unwrap_or(rest)
}
