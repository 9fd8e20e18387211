//! JumpServer's audit records, as its syslog handler sends them: `<14>jumpserver: CATEGORY - JSON` and a NUL, with or
//! without a relay's syslog header before it.
//!
//! | category | OCSF | file |
//! |---|---|---|
//! | `login_log` | Authentication 3002.1 | `login.rs` |
//! | `host_session_log` | SSH 4007, RDP 4005 or Datastore 6005 Activity, by protocol; open, close, fail | `session.rs` |
//! | `session_command_log` | Process Activity 1007.1; of a database protocol Datastore Activity 6005 | `command.rs` |
//! | `ftp_log` | File Hosting 6006 | `transfer.rs` |
//! | `operation_log` | 3001, 3004, 3005 or 3006, by resource type | `operation.rs` |
//! | `password_change_log` | Account Change 3001.3 (own) or .4 | `password.rs` |
//! | Django's lines | HTTP Activity 4002 where they are of a request, else Base Event | `django.rs` |
//! | `job_log`, `user_session` (by REST only) | Script Activity 1009.1, Authentication 3002.1 | `rest.rs` |
//! | `activity_event`, `activity_log` (by REST only) | SSH 4007 open, close, fail, else .99; Base Event | `activity.rs` |
//! | `ticket` (by REST only) | Entity Management 3004.1, .3 | `ticket.rs` |
//! | another category | Base Event, fields in `unmapped`, label `jumpserver.unknown_category` | |
//!
//! A bare JSON object, as REST and Elasticsearch's command storage have it, is of the category that its keys tell.
//!
//! Where policy authors find things, in every class that has them: the person in `actor.user.{name,full_name,uid}` (`user`
//! on 3001 and 3002), the session in `actor.session.uid` and `metadata.correlation_uid`, the target in
//! `dst_endpoint.{hostname,ip,uid}` (`device` on 1007), the account on it in `unmapped.account` (also `process.user.name` on 1007),
//! the person's address in `src_endpoint.ip` (`unmapped.remote_addr` on 1007), the tenant in `metadata.tenant_uid`.
//! The native fields are the inner JSON's. `docket.system` is `jumpserver` unless configured.

use model::{Event, Object, Value};

use crate::builder::EventBuilder;
use crate::class::{self, Class};
use crate::fields::{Fields, scalar};
use crate::format::{Format, Input, Match, Quarantine};
use crate::json;
use crate::seek;

mod activity;
mod command;
mod django;
mod login;
mod operation;
mod password;
mod rest;
mod session;
mod ticket;
mod transfer;

/// JumpServer.
pub static FORMAT: Format = Format {
    name: "jumpserver",
    aliases: &[],
    matches,
    normalize,
};

type Build = for<'a> fn(&mut EventBuilder<'a>, &Input<'a>, Fields<'a>);
/// Of a category: which class and activity a record is, and what goes into it.
type Kind = (&'static str, fn(Fields<'_>) -> (&'static Class, u8), Build);

/// Categories of one event a record.
const KINDS: &[Kind] = &[
    ("login_log", login::class, login::build),
    ("host_session_log", session::class, session::build),
    ("session_command_log", command::class, command::build),
    ("ftp_log", transfer::class, transfer::build),
    ("password_change_log", password::class, password::build),
    ("job_log", rest::job_class, rest::job),
    ("user_session", rest::session_class, rest::session),
    ("activity_event", activity::event_class, activity::build_event),
    ("activity_log", activity::activity_class, activity::build_activity),
    ("ticket", ticket::class, ticket::build),
];
const OPERATION: &str = "operation_log";
const TAG: &str = "jumpserver";
/// Bytes in which a relay's header must end.
const HEADER_BYTES_MAX: usize = 256;

fn matches(input: &Input<'_>) -> Option<Match> {
    if input.text.starts_with('{') {
        // Only the storage of commands has keys that nobody else has.
        let category = rest::category(input.object().ok()?)?;
        return matches!(category, "session_command_log" | "host_session_log").then_some(Match {
            score: 80,
            reason: "the keys of a session or command of JumpServer",
        });
    }
    let line = Line::read(input.text)?;
    Some(match (line.header, line.category) {
        ("", Some(_)) => Match {
            score: 100,
            reason: "`jumpserver: CATEGORY - {`",
        },
        (_, Some(_)) => Match {
            score: 95,
            reason: "`jumpserver: CATEGORY - {` after a syslog header",
        },
        ("", None) => Match {
            score: 90,
            reason: "`jumpserver: `",
        },
        (_, None) => Match {
            score: 85,
            reason: "`jumpserver: ` after a syslog header",
        },
    })
}

fn normalize<'a>(input: &mut Input<'a>) -> Result<Vec<Event<'a>>, Quarantine> {
    // Over TCP a NUL is all that parts records; JSON has none inside.
    if seek::has(input.text, b'\0') {
        let whole = &*input;
        let mut events = Vec::new();
        for text in whole.text.split('\0').filter(|t| !t.trim().is_empty()) {
            events.append(&mut record(&mut Input::of_text(whole, text))?);
        }
        return Ok(events);
    }
    record(input)
}

fn record<'a>(input: &mut Input<'a>) -> Result<Vec<Event<'a>>, Quarantine> {
    if input.text.starts_with('{') {
        let object = input.take_object()?;
        let category = rest::category(object).ok_or(Quarantine("jumpserver_no_tag"))?;
        return Ok(events(input, category, object, ""));
    }
    let text = input.text;
    let line = Line::read(text).ok_or(Quarantine("jumpserver_no_tag"))?;
    let Some(category) = line.category else {
        return Ok(vec![django::event(input, line.body)]);
    };
    let parsed = json::parse(input.arena, line.body).map_err(|reason| match reason {
        // Records are parted by NUL, never by nothing.
        json::SEVERAL => Quarantine("json_trailing"),
        reason => reason,
    })?;
    let object = input.adopt(parsed);
    Ok(events(input, category, object, line.header))
}

fn events<'a>(input: &Input<'a>, category: &str, object: Object<'a>, header: &str) -> Vec<Event<'a>> {
    if category == OPERATION {
        return operation::events(input, object);
    }
    let fields = Fields(object);
    let mut b = match KINDS.iter().find(|(name, ..)| *name == category) {
        Some((_, class, build)) => {
            let (class, activity) = class(fields);
            let mut b = start(input, class, activity, category, fields);
            build(&mut b, input, fields);
            b
        }
        None => {
            let mut b = start(input, &class::BASE_EVENT, 0, category, fields);
            b.label("jumpserver.unknown_category").unmapped("category", category);
            time(
                &mut b,
                input,
                fields,
                &["datetime", "date_start", "date_created", "timestamp"],
            );
            for (name, value) in &object {
                b.unmapped(name, *value);
            }
            b
        }
    };
    b.unmapped("syslog_header", header).native(object);
    vec![b.finish()]
}

/// What every record of JumpServer has.
fn start<'a>(
    input: &Input<'a>,
    class: &'static Class,
    activity: u8,
    category: &str,
    fields: Fields<'a>,
) -> EventBuilder<'a> {
    let mut b = EventBuilder::new(input, class, activity, "FIT2CLOUD", "JumpServer");
    b.logsource("jumpserver", "", category);
    b.system("jumpserver");
    if let Some(id) = fields.text("id") {
        b.original_uid(&id);
    }
    if let Some(org) = fields.text("org_id") {
        b.metadata("tenant_uid", &*org);
    }
    b
}

/// A line: `[<PRI>][header ]jumpserver: [CATEGORY - {…}|text]`.
#[derive(Debug, PartialEq)]
struct Line<'a> {
    header: &'a str,
    category: Option<&'a str>,
    body: &'a str,
}

impl<'a> Line<'a> {
    fn read(text: &'a str) -> Option<Line<'a>> {
        let text = strip_priority(text.trim_start());
        let mut head_end = HEADER_BYTES_MAX.min(text.len());
        while !text.is_char_boundary(head_end) {
            head_end -= 1;
        }
        let head = &text[..head_end];
        let at = head.find(TAG)?;
        let header = head[..at].trim();
        // Another program's message that only speaks of us has that program's tag before it.
        if seek::contains(header, ": ") || header.ends_with(':') || (at > 0 && !head[..at].ends_with(' ')) {
            return None;
        }
        let rest = &text[at + TAG.len()..];
        // `jumpserver: `, `jumpserver[12]: `, or RFC 5424's `jumpserver PROCID MSGID - `.
        let body = match rest.as_bytes().first()? {
            b':' => rest[1..].trim_start(),
            b'[' => seek::split_once(rest, "]:")?.1.trim_start(),
            b' ' if !header.is_empty() => {
                let mut parts = rest[1..].splitn(4, ' ');
                let (_, _, data, body) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
                if data != "-" {
                    return None;
                }
                let body = body.trim_start_matches('\u{feff}');
                body.strip_prefix("jumpserver: ").unwrap_or(body)
            }
            _ => return None,
        };
        match seek::split_once(body, " - {") {
            Some((category, _)) if is_category(category) => Some(Line {
                header,
                category: Some(category),
                body: &body[category.len() + 3..],
            }),
            _ => Some(Line {
                header,
                category: None,
                body,
            }),
        }
    }
}

fn is_category(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

fn strip_priority(text: &str) -> &str {
    let Some((digits, rest)) = text.strip_prefix('<').and_then(|t| seek::cut(t, b'>')) else {
        return text;
    };
    if (1..=3).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) {
        rest
    } else {
        text
    }
}

/// `outer(inner)`, split at the *last* `(`; without brackets all is `inner`.
fn split(text: &str) -> (Option<&str>, &str) {
    let text = seek::trim(text);
    match text.strip_suffix(')').and_then(|t| t.rsplit_once('(')) {
        Some((outer, inner)) if !inner.is_empty() => {
            let outer = outer.trim();
            ((!outer.is_empty()).then_some(outer), inner)
        }
        _ => (None, text),
    }
}

/// Puts a person, `Name(username)`, at `path`.
fn person(b: &mut EventBuilder<'_>, path: &'static str, text: &str) {
    let (name, username) = split(text);
    b.set_in(path, "name", username);
    b.set_some_in(path, "full_name", name);
    // The database keeps 64 characters: the first and the last 32.
    if text.chars().count() == 64 {
        b.label("user.maybe_truncated");
    }
}

/// Puts an asset, `name(address)`, at the endpoint or device `path`.
fn asset(b: &mut EventBuilder<'_>, path: &'static str, text: &str) {
    match split(text) {
        (Some(name), address) => {
            b.set_in(path, "hostname", name);
            if crate::builder::address(address).0.is_some() {
                b.ip_in(path, address);
            } else {
                b.set_in(path, "domain", address);
            }
        }
        (None, name) => {
            b.host(path, name);
        }
    }
}

/// The account on the target: `name(username)`, or `name(asset)` in older versions; `@USER` means the person's own name.
fn account(fields: Fields<'_>) -> Option<String> {
    let text = fields.text("account")?;
    let (name, inner) = split(&text);
    let asset = fields.text("asset").unwrap_or_default();
    Some(match name {
        Some(name) if inner == split(&asset).0.unwrap_or(&asset) => name.to_owned(),
        _ if inner == "@USER" => split(&fields.text("user")?).1.to_owned(),
        _ => inner.to_owned(),
    })
}

fn set_account<'a>(b: &mut EventBuilder<'a>, fields: Fields<'a>) {
    if let Some(account) = account(fields) {
        b.unmapped("account", account);
    }
    if let Some(kind) = ["@USER", "@INPUT", "@ANON"]
        .into_iter()
        .find(|k| fields.text("account").is_some_and(|a| a.contains(k)))
    {
        b.unmapped("account_kind", kind);
    }
}

/// The session of the bastion.
fn set_session(b: &mut EventBuilder<'_>, id: &str) {
    b.set("actor.session.uid", id)
        .set("actor.session.is_remote", true)
        .metadata("correlation_uid", id);
}

/// Where the person sits; 6005 and 6006 must have it.
fn source_address(b: &mut EventBuilder<'_>, text: Option<&str>) {
    if let Some(text) = text {
        b.ip("src_endpoint.ip", text);
    }
    if !b.has("src_endpoint") {
        b.word("src_endpoint.name", "unknown");
    }
}

/// The value of a choice, `{"value": …, "label": …}`, or plain; a label is in the server's language and says nothing.
fn choice<'a>(fields: Fields<'a>, name: &str) -> Option<&'a Value<'a>> {
    match fields.value(name)? {
        Value::Object(choice) => choice.get("value").filter(|v| !v.is_null()),
        plain => Some(plain),
    }
}

fn choice_text<'a>(fields: Fields<'a>, name: &str) -> Option<std::borrow::Cow<'a, str>> {
    scalar(choice(fields, name)?)
}

fn is_true(value: &Value) -> bool {
    match value {
        Value::Bool(b) => *b,
        number @ (Value::Int(_) | Value::Number(_)) => number.as_i64() == Some(1),
        Value::String(s) => s.eq_ignore_ascii_case("true") || *s == "1",
        _ => false,
    }
}

/// The time of the first of these fields that is one.
fn time<'a>(b: &mut EventBuilder<'a>, input: &Input<'_>, fields: Fields<'a>, names: &[&str]) {
    for value in names.iter().filter_map(|n| fields.value(n)) {
        if b.time_of(input, value) {
            return;
        }
    }
}

/// Keeps fields that have no home, under their own names.
fn keep<'a>(b: &mut EventBuilder<'a>, fields: Fields<'a>, names: &[&str]) {
    for name in names {
        if let Some(value) = choice(fields, name) {
            b.unmapped(name, *value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_taken_apart() {
        let check = |text: &str, want: Option<(&str, Option<&str>, &str)>| {
            let got = Line::read(text);
            assert_eq!(got.as_ref().map(|l| (l.header, l.category, l.body)), want, "{text}");
        };
        check(
            "<14>jumpserver: login_log - {\"a\": 1}",
            Some(("", Some("login_log"), "{\"a\": 1}")),
        );
        check("jumpserver: login_log - {}", Some(("", Some("login_log"), "{}")));
        check(
            "<14>Mar  2 22:53:12 10.1.1.1 jumpserver: ftp_log - {}",
            Some(("Mar  2 22:53:12 10.1.1.1", Some("ftp_log"), "{}")),
        );
        check(
            "<14>Mar  2 22:53:12 js-01 jumpserver[7]: ftp_log - {}",
            Some(("Mar  2 22:53:12 js-01", Some("ftp_log"), "{}")),
        );
        check(
            "<14>1 2026-03-02T22:53:12+08:00 js-01 jumpserver - - - ftp_log - {}",
            Some(("1 2026-03-02T22:53:12+08:00 js-01", Some("ftp_log"), "{}")),
        );
        check("<14>jumpserver: Not Found: /x", Some(("", None, "Not Found: /x")));
        check(
            "<14>jumpserver: a \"b - {\" c - {}",
            Some(("", None, "a \"b - {\" c - {}")),
        );
        check(
            "<86>Mar  2 00:44:00 h sshd[1]: Invalid user jumpserver: login_log - {}",
            None,
        );
        check("<86>Mar  2 00:44:00 h app: jumpserver: login_log - {}", None);
        check("<86>Mar  2 00:44:00 h notjumpserver: login_log - {}", None);
        check("", None);
    }

    #[test]
    fn names_split_at_the_last_bracket() {
        assert_eq!(split("张伟(zhang.wei)"), (Some("张伟"), "zhang.wei"));
        assert_eq!(split("张伟(外包)(zhang.wei)"), (Some("张伟(外包)"), "zhang.wei"));
        assert_eq!(split("zhang.wei"), (None, "zhang.wei"));
        assert_eq!(split("a()"), (None, "a()"));
        assert_eq!(split("(x)"), (None, "x"));
    }

    #[test]
    fn an_account_is_the_one_on_the_target() {
        use model::Arena;

        for (account_text, want) in [
            ("root(root)", "root"),
            ("DBA(postgres)", "postgres"),
            ("admin(crm-db-01)", "admin"),
            ("Dynamic user(@USER)", "zhang.wei"),
            ("Manual input(@INPUT)", "@INPUT"),
            ("root", "root"),
        ] {
            let object = serde_json::json!({"account": account_text, "asset": "crm-db-01(10.20.3.15)", "user": "张伟(zhang.wei)"});
            assert_eq!(
                account(Fields(Arena::new().object_of(object.as_object().unwrap()))).as_deref(),
                Some(want),
                "{account_text}"
            );
        }
    }
}
