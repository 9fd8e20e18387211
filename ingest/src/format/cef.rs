//! ArcSight's Common Event Format: `CEF:0|Vendor|Product|Version|SignatureID|Name|Severity|key=value …`, with or without a
//! syslog header before it.
//!
//! The class follows from what the event tells ([`crate::format`]'s generic mapping): a logon by its name or `cat` 3002, `request`
//! with a method 4002, a person (`suser`) and what was done 6003 (`api.operation` the name), two endpoints 4001, else a Base Event.
//! `suser` did it, `duser` is on whom or as whom (`unmapped.account`); `src`/`shost` where from, `dst`/`dhost` where, `dvchost` or the
//! header's host the device that tells. `act` blocked or denied is `action_id` 2. Custom fields stand in `unmapped` under
//! their labels (`cs1Label=group cs1=ops` is `group`), all other keys under their own.
//!
//! Native fields: the keys as they came, and the header's as `deviceVendor`, `deviceProduct`, `deviceVersion`, `signatureId`, `name`,
//! `severity`. Log source: product the vendor's name and service the product's, in lower case. `docket.system` is the product's name in
//! lower case unless configured.

use std::borrow::Cow;

use memchr::{memchr, memchr_iter, memchr2};
use model::{Event, Map};
use smallvec::SmallVec;

use crate::builder::EventBuilder;
use crate::fields::Fields;
use crate::format::draft::{self, Names};
use crate::format::facts::{self, Facts};
use crate::format::{Format, Input, Match, Quarantine};
use crate::seek;
use crate::syslog;
use crate::time_text;

/// Common Event Format.
pub static FORMAT: Format = Format {
    name: "cef",
    aliases: &["arcsight"],
    matches,
    normalize,
};

/// Bytes in which a relay's header must end.
const HEADER_BYTES_MAX: usize = 512;
/// Keys of one event.
const KEYS_MAX: usize = 512;

fn matches(input: &Input<'_>) -> Option<Match> {
    let (header, _) = split_header(input.text, "CEF:")?;
    Some(Match {
        score: if header.is_empty() { 98 } else { 92 },
        reason: "`CEF:0|`",
    })
}

/// What stands before `mark` and from its end on; the mark must be the line's beginning or a syslog header's end, never in
/// another program's message.
pub(super) fn split_header<'a>(text: &'a str, mark: &str) -> Option<(&'a str, &'a str)> {
    let text = text.trim_start();
    let mut head_end = HEADER_BYTES_MAX.min(text.len());
    while !text.is_char_boundary(head_end) {
        head_end -= 1;
    }
    let at = text[..head_end].find(mark)?;
    let header = &text[..at];
    if seek::contains(header, ": ") || !(header.is_empty() || header.ends_with(' ') || header.ends_with('>')) {
        return None;
    }
    let body = &text[at + mark.len()..];
    body.starts_with(|c: char| c.is_ascii_digit())
        .then_some((header.trim(), body))
}

/// Fields of the header.
const HEAD: usize = 7;

/// The fields of the header, unescaped, and what follows them.
fn head(body: &str) -> Option<([Cow<'_, str>; HEAD], &str)> {
    let mut parts = [const { Cow::Borrowed("") }; HEAD];
    let mut rest = body;
    for (n, part) in parts.iter_mut().enumerate() {
        let mut end = 0;
        let mut escaped = false;
        let bytes = rest.as_bytes();
        while let Some(at) = memchr2(b'|', b'\\', &bytes[end..]) {
            end += at;
            if bytes[end] == b'|' {
                break;
            }
            escaped = true;
            end = (end + 2).min(bytes.len());
        }
        // The last bar may be missing where no extension follows.
        let (text, after) = match memchr2(b'|', b'\\', &bytes[end..]) {
            Some(_) => (&rest[..end], &rest[end + 1..]),
            None if n + 1 == HEAD => (rest, ""),
            None => return None,
        };
        *part = if escaped {
            Cow::Owned(unescape_bars(text).trim().to_owned())
        } else {
            Cow::Borrowed(seek::trim(text))
        };
        rest = after;
    }
    Some((parts, rest))
}

fn unescape_bars(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('|' | '\\')) => out.push(c),
                Some(other) => out.extend(['\\', other]),
                None => out.push('\\'),
            },
            c => out.push(c),
        }
    }
    out
}

/// The extension's keys and values. A value ends where ` key=` follows.
fn extension(text: &str) -> SmallVec<[(&str, Cow<'_, str>); 24]> {
    let bytes = text.as_bytes();
    let mut found: SmallVec<[(&str, Cow<'_, str>); 24]> = SmallVec::new();
    let mut last: Option<(usize, usize)> = None;
    let mut take = |(start, equals): (usize, usize), end: usize| {
        found.push((&text[start..equals], unescape(text[equals + 1..end].trim())));
    };
    let mut keys = 0;
    for at in memchr_iter(b'=', bytes) {
        let backslashes = bytes[..at].iter().rev().take_while(|b| **b == b'\\').count();
        if backslashes % 2 == 1 {
            continue;
        }
        let start = bytes[..at]
            .iter()
            .rposition(|c| !(c.is_ascii_alphanumeric() || matches!(c, b'_' | b'.' | b'-' | b'[' | b']')))
            .map_or(0, |p| p + 1);
        if start < at && (start == 0 || bytes[start - 1] == b' ') && keys < KEYS_MAX {
            keys += 1;
            if let Some(last) = last.replace((start, at)) {
                take(last, start);
            }
        }
    }
    if let Some(last) = last {
        take(last, text.len());
    }
    found
}

fn unescape(text: &str) -> Cow<'_, str> {
    if memchr(b'\\', text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some(c @ ('=' | '\\' | '|')) => out.push(c),
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    Cow::Owned(out)
}

fn normalize<'a>(input: &mut Input<'a>) -> Result<Vec<Event<'a>>, Quarantine> {
    let text = input.text;
    let (header, body) = split_header(text, "CEF:").ok_or(Quarantine("cef_no_mark"))?;
    let (head, rest) = head(body).ok_or(Quarantine("cef_header_incomplete"))?;
    let keep = input.keep();
    let mut native = Map::new();
    for (key, value) in extension(rest) {
        native.insert(keep.text(key), keep.text(&value));
    }
    let [_, vendor, product, version, signature, name, severity] = &head;
    let own = native.build(keep.arena);
    let fields = Fields(own);
    let envelope = syslog::parse(header);
    let host = envelope.host.clone().unwrap_or_default();
    let facts = facts(fields, name, &host);
    let (class, activity) = facts.class();
    let product_name = if product.is_empty() { "unknown" } else { &**product };
    let mut b = EventBuilder::new(input, class, activity, vendor, product_name);
    let lower = product_name.to_lowercase();
    b.logsource(&vendor.to_lowercase(), "", &lower).system(&lower);
    b.metadata("product.version", &**version)
        .metadata("event_code", &**signature);
    b.original_uid(&fields.text("externalId").unwrap_or_default());
    time(&mut b, input, fields, &envelope);
    // Where no service is named, one logs on to the product itself.
    if class.uid == 3002 {
        b.set("service.name", product_name);
    }
    facts.fill(&mut b, input);
    b.unmapped("name", &**name);
    rank(&mut b, severity);
    let labelled = own.keys().any(|key| key.ends_with("Label"));
    for (key, value) in own {
        if key.strip_suffix("Label").is_some_and(|k| native.contains_key(k)) || READ.contains(key) {
            continue;
        }
        let label = labelled.then(|| fields.text(&format!("{key}Label"))).flatten();
        b.unmapped(label.as_deref().unwrap_or(key), *value);
    }
    let told = [
        ("deviceVendor", vendor),
        ("deviceProduct", product),
        ("deviceVersion", version),
        ("signatureId", signature),
        ("name", name),
        ("severity", severity),
    ];
    if keep.arena.wants_native() {
        for (key, value) in told.into_iter().filter(|(key, _)| keep.arena.wants_native_of(key)) {
            native.or_insert(key, keep.text(value));
        }
        b.native(native);
    }
    Ok(vec![b.finish()])
}

static READ: Names = Names::new(&[
    "rt",
    "src",
    "spt",
    "dst",
    "dpt",
    "shost",
    "dhost",
    "suser",
    "suid",
    "duser",
    "msg",
    "externalId",
    "request",
    "requestMethod",
    "requestClientApplication",
    "dvchost",
    "dvc",
]);

fn facts<'a>(fields: Fields<'a>, name: &'a str, host: &'a str) -> Facts<'a> {
    let of = |key: &str| fields.text(key).unwrap_or_default();
    let act = of("act");
    let (by_outcome, _) = facts::outcome(&of("outcome"));
    let (by_act, blocked) = facts::outcome(&act);
    let command = fields
        .first(&["sproc.cmd", "deviceCustomCommand", "cmd"])
        .unwrap_or_default();
    Facts {
        action: Cow::Borrowed(name),
        category: of("cat"),
        user: of("suser"),
        user_uid: of("suid"),
        target_user: of("duser"),
        source: of("src"),
        source_host: of("shost"),
        source_port: draft::port(fields, "spt"),
        target: of("dst"),
        target_host: of("dhost"),
        target_port: draft::port(fields, "dpt"),
        device: fields.first(&["dvchost", "dvc"]).unwrap_or(Cow::Borrowed(host)),
        success: by_outcome.or(by_act).or_else(|| facts::told_by(name)),
        blocked,
        code: of("outcome"),
        reason: of("reason"),
        message: of("msg"),
        url: of("request"),
        method: of("requestMethod"),
        user_agent: of("requestClientApplication"),
        sent: fields.int("out"),
        file: fields.first(&["filePath", "fname"]).unwrap_or_default(),
        process: fields.first(&["sproc", "deviceProcessName"]).unwrap_or_default(),
        pid: draft::int32(fields, "spid"),
        command,
        service: fields.first(&["destinationServiceName", "app"]).unwrap_or_default(),
        ..Facts::default()
    }
}

/// `rt`, or `end`, `start`, `deviceReceiptTime`, or the syslog header's.
fn time<'a>(b: &mut EventBuilder<'a>, input: &Input<'_>, fields: Fields<'a>, envelope: &syslog::Envelope<'_>) {
    for key in ["rt", "end", "start", "deviceReceiptTime"] {
        let Some(text) = fields.text(key) else { continue };
        if named(b, input, &text) {
            return;
        }
    }
    if let Some(time) = envelope.time(input.record.received_at, &input.settings.time_zone) {
        b.time(time.time);
        b.set_some("timezone_offset", time.offset_minutes);
        for label in time.labels() {
            b.label(label);
        }
        if let Some(text) = &envelope.time_text {
            b.metadata("original_time", &**text);
        }
    }
}

/// A time that may end in a zone's name. `UTC`, `GMT` and `Z` are clear; of any other the source's configured zone is taken:
/// `CST` is three.
pub(super) fn named(b: &mut EventBuilder<'_>, input: &Input<'_>, text: &str) -> bool {
    let text = seek::trim(text);
    let (base, zone) = match text.rsplit_once(' ') {
        Some((base, zone)) if zone.len() >= 2 && zone.bytes().all(|c| c.is_ascii_alphabetic()) => (base, zone),
        _ => (text, ""),
    };
    let clear = matches!(zone, "UTC" | "GMT");
    let read = if clear {
        format!("{base} +0000")
    } else {
        base.to_owned()
    };
    let zone_of = &input.settings.time_zone;
    let mut parsed = time_text::parse_any(&read, input.record.received_at, zone_of);
    if parsed.is_none() && clear {
        parsed = time_text::parse_any(base, input.record.received_at, &jiff::tz::TimeZone::UTC);
    }
    let Some(parsed) = parsed else {
        b.metadata("original_time", text);
        b.label("time.unreadable");
        return false;
    };
    b.time(parsed.time).original_time(text, parsed.offset_minutes);
    for label in parsed.labels() {
        b.label(label);
    }
    true
}

/// 0 to 10, or a word.
fn rank(b: &mut EventBuilder<'_>, severity: &str) {
    let id = match severity.trim().to_ascii_lowercase().as_str() {
        "unknown" => 0,
        "low" => 2,
        "medium" => 3,
        "high" => 4,
        "very-high" => 5,
        other => match other.parse::<u8>() {
            Ok(0..=3) => 2,
            Ok(4..=6) => 3,
            Ok(7..=8) => 4,
            Ok(9..=10) => 5,
            _ => return,
        },
    };
    b.severity(id);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_ends_where_the_next_key_begins() {
        let found =
            extension(r"src=10.0.0.1 msg=a b\=c \\ d\ne request=http://h/?x=1&y=2 cs1Label=my group cs1=ops team");
        let want = [
            ("src", "10.0.0.1"),
            ("msg", "a b=c \\ d\ne"),
            ("request", "http://h/?x=1&y=2"),
            ("cs1Label", "my group"),
            ("cs1", "ops team"),
        ];
        assert_eq!(found.to_vec(), want.map(|(k, v)| (k, Cow::Borrowed(v))));
        assert!(extension("nothing").is_empty());
    }

    #[test]
    fn the_header_has_seven_fields() {
        let (parts, rest) = head(r"0|A\|B|C \\ D|1|id|n|5|k=v").expect("a header");
        assert_eq!(parts[1], "A|B");
        assert_eq!(parts[2], r"C \ D");
        assert_eq!(rest, "k=v");
        assert_eq!(head("0|a|b|c|d|e|3").map(|(p, r)| (p.len(), r)), Some((7, "")));
        assert_eq!(head("0|a|b|c"), None);
    }

    #[test]
    fn another_programs_words_are_no_header() {
        assert!(split_header("<134>Mar  2 22:53:12 vpn-01 CEF:0|A|B", "CEF:").is_some());
        assert!(split_header("CEF:0|A|B", "CEF:").is_some());
        assert!(split_header("Mar  2 22:53:12 h sshd[1]: Invalid user CEF:0|A|B", "CEF:").is_none());
        assert!(split_header("about CEF: it is", "CEF:").is_none());
    }
}
