//! Alibaba Cloud's Bastionhost, as Simple Log Service delivers it: a flat JSON object, all values text.
//!
//! | `event_type` | OCSF |
//! |---|---|
//! | `cmd.Command` | Process Activity 1007.1 |
//! | `cmd.Command.policy` | 1007.1 with what the control policy did (`action_id`, `disposition_id`) |
//! | `graph.Text`, `graph.Keyboard` | RDP Activity 4005.6: `unmapped.text`, secrets masked |
//! | `file.Upload`, `Download`, `Rename`, `Delete`, `DeleteDir`, `CreateDir` | File Hosting 6006.1, .2, .5, .4, .4, .99 |
//! | `login.CSLogin` | Authentication 3002.1 |
//! | `Session.session` | SSH 4007, RDP 4005 or Datastore 6005: one event for the opening, one for the close |
//! | another | Base Event, label `bastionhost.unknown_event_type` |
//!
//! Event types are compared without regard to case. Fields stand where JumpServer's do: the person in `actor.user.{name,uid}`
//! (`user` on 3002), the session in `actor.session.uid` and `metadata.correlation_uid`, the target in
//! `dst_endpoint.{hostname,ip}` (`device` on 1007), the person's address in `src_endpoint.ip` (`unmapped.remote_addr` on 1007),
//! the command's result, masked, in `unmapped.result`.
//!
//! What the source does not say stays absent: the account on the target (`unmapped.account` only where a session's content names
//! it), the protocol (a session whose content names none is taken for SSH, label `session.protocol_unknown`), tickets, risk. A
//! session's content is read as JSON or as `key=value`; it tells times in no documented way, and where it tells none, the record's
//! own time is the opening's (label `session.times_missing`).
//!
//! Native fields: the record's own. Log source: product bastionhost, service the event type's first word. `docket.system` is
//! `bastionhost` unless configured.

use std::borrow::Cow;

use model::{Event, Map, Object, Value};
use serde_json::json;

use crate::builder::EventBuilder;
use crate::class::{self, Class};
use crate::command_line;
use crate::fields::Fields;
use crate::format::draft::{self, Names};
use crate::format::{Format, Input, Match, Quarantine};
use crate::keep::Keep;
use crate::mask;
use crate::seek;
use crate::time_text::{self, ParsedTime};

/// Alibaba Cloud's Bastionhost.
pub static FORMAT: Format = Format {
    name: "bastionhost",
    aliases: &["aliyun_bastionhost", "alibaba_bastionhost"],
    matches,
    normalize,
};

fn matches(input: &Input<'_>) -> Option<Match> {
    if !seek::trim_start(input.text).starts_with('{') {
        return None;
    }
    let object = input.object().ok()?;
    if object.get("__topic__").and_then(Value::as_str) == Some("bastionhost") {
        return Some(Match {
            score: 98,
            reason: "Simple Log Service's topic of Bastionhost",
        });
    }
    let has = |name: &str| object.contains_key(name);
    (has("event_type") && has("user_client_ip") && (has("resource_address") || has("instance_id"))).then_some(Match {
        score: 95,
        reason: "the keys event_type, user_client_ip and resource_address",
    })
}

/// What a record tells.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Command { policy: bool },
    Graphic,
    File(u8),
    Logon,
    Session,
    Other,
}

fn kind(event_type: &str) -> Kind {
    let lower = event_type.trim().to_ascii_lowercase();
    match &*lower {
        "cmd.command" => Kind::Command { policy: false },
        "cmd.command.policy" => Kind::Command { policy: true },
        _ if lower.starts_with("graph.") => Kind::Graphic,
        "file.upload" => Kind::File(1),
        "file.download" => Kind::File(2),
        "file.delete" | "file.deletedir" => Kind::File(4),
        "file.rename" | "file.renamedir" => Kind::File(5),
        _ if lower.starts_with("file.") => Kind::File(99),
        _ if lower.starts_with("login.") => Kind::Logon,
        _ if lower.starts_with("session.") => Kind::Session,
        _ => Kind::Other,
    }
}

fn normalize<'a>(input: &mut Input<'a>) -> Result<Vec<Event<'a>>, Quarantine> {
    let object = input.take_object()?;
    let fields = Fields(object);
    let Some(event_type) = fields.text("event_type") else {
        return Err(Quarantine("bastionhost_no_event_type"));
    };
    let kind = kind(&event_type);
    if kind == Kind::Session {
        return Ok(session(input, object, &event_type));
    }
    let (class, activity): (&'static Class, u8) = match kind {
        Kind::Command { .. } => (&class::PROCESS_ACTIVITY, 1),
        Kind::Graphic => (&class::RDP_ACTIVITY, 6),
        Kind::File(activity) => (&class::FILE_HOSTING, activity),
        Kind::Logon => (&class::AUTHENTICATION, 1),
        Kind::Session | Kind::Other => (&class::BASE_EVENT, 0),
    };
    let mut b = start(input, fields, class, activity, &event_type);
    let content = fields.text("content").unwrap_or_default();
    match kind {
        Kind::Command { policy } => command(&mut b, input, fields, &content, policy),
        Kind::Graphic => {
            person(&mut b, fields, "actor.user");
            endpoints(&mut b, fields);
            b.unmapped("text", &*mask::mask(&content));
        }
        Kind::File(activity) => {
            if activity == 99 {
                let verb = event_type.rsplit('.').next().unwrap_or(&event_type);
                b.set("activity_name", verb);
            }
            person(&mut b, fields, "actor.user");
            endpoints(&mut b, fields);
            file(&mut b, &event_type, &content);
        }
        Kind::Logon => {
            person(&mut b, fields, "user");
            source(&mut b, fields);
            b.word("service.name", "Bastionhost").set("is_remote", true);
            b.set("message", &*mask::mask(&content));
        }
        Kind::Session | Kind::Other => {
            b.label("bastionhost.unknown_event_type");
            person(&mut b, fields, "actor.user");
            b.set_some("unmapped.remote_addr", fields.text("user_client_ip").as_deref());
            target(&mut b, fields, "device");
            b.set("message", &*mask::mask(&content));
        }
    }
    result(&mut b, fields, kind);
    draft::complete(&mut b);
    b.native(object);
    Ok(vec![b.finish()])
}

/// What every record has.
fn start<'a>(
    input: &Input<'a>,
    fields: Fields<'a>,
    class: &'static Class,
    activity: u8,
    event_type: &str,
) -> EventBuilder<'a> {
    let mut b = EventBuilder::new(input, class, activity, "Alibaba Cloud", "Bastionhost");
    let first = event_type.split('.').next().unwrap_or_default().to_ascii_lowercase();
    b.logsource("bastionhost", "", &first).system("bastionhost");
    b.set_some("metadata.product.uid", fields.text("instance_id").as_deref());
    b.metadata_word("log_name", "bastionhost")
        .metadata("event_code", event_type);
    b.set_some("metadata.log_level", fields.text("log_level").as_deref());
    b.word("cloud.provider", "Alibaba Cloud");
    b.set_some("cloud.region", fields.text("region").as_deref());
    b.set_some("cloud.account.uid", fields.text("owner_id").as_deref());
    for name in ["__time__", "time", "timestamp"] {
        if fields.value(name).is_some_and(|v| b.time_of(input, v)) {
            break;
        }
    }
    b.set_some("metadata.log_source", fields.text("__source__").as_deref());
    if let Some(id) = fields.text("session_id") {
        b.metadata("correlation_uid", &*id);
        if class.uid != 0 {
            b.set("actor.session.uid", &*id).set("actor.session.is_remote", true);
        } else {
            b.unmapped("session_id", &*id);
        }
    }
    if let Some(threat) = fields.value("threat_user_client_ip") {
        let value = threat.as_str().map_or_else(|| threat.to_string(), str::to_owned);
        b.set(
            "enrichments",
            json!([{"name": "user_client_ip", "value": value, "data": draft::object(b.arena(), *threat),
                    "provider": "Alibaba Cloud Log Audit Service"}]),
        );
    }
    for (name, value) in fields.0 {
        if !READ.contains(name) {
            b.unmapped(name, *value);
        }
    }
    b
}

/// Fields that have a home, or get one by kind.
static READ: Names = Names::new(&[
    "__topic__",
    "__time__",
    "__source__",
    "owner_id",
    "region",
    "instance_id",
    "event_type",
    "session_id",
    "user_id",
    "user_name",
    "user_client_ip",
    "resource_address",
    "resource_name",
    "content",
    "result",
    "log_level",
    "threat_user_client_ip",
]);

fn person<'a>(b: &mut EventBuilder<'a>, fields: Fields<'a>, path: &'static str) {
    b.set_some_in(path, "name", fields.text("user_name").as_deref());
    b.set_some_in(path, "uid", fields.text("user_id").as_deref());
    if !b.has(path) {
        b.set_in(path, "name", "unknown");
    }
}

fn source<'a>(b: &mut EventBuilder<'a>, fields: Fields<'a>) {
    if let Some(ip) = fields.text("user_client_ip") {
        b.ip("src_endpoint.ip", &ip);
    }
    if !b.has("src_endpoint") {
        b.word("src_endpoint.name", "unknown");
    }
}

fn target<'a>(b: &mut EventBuilder<'a>, fields: Fields<'a>, path: &'static str) {
    if let Some(address) = fields.text("resource_address") {
        b.host(path, &address);
    }
    b.set_some_in(path, "hostname", fields.text("resource_name").as_deref());
}

fn endpoints<'a>(b: &mut EventBuilder<'a>, fields: Fields<'a>) {
    source(b, fields);
    target(b, fields, "dst_endpoint");
}

fn command<'a>(b: &mut EventBuilder<'a>, input: &Input<'_>, fields: Fields<'a>, line: &str, policy: bool) {
    b.commands(command_line::simple_commands(line));
    person(b, fields, "actor.user");
    target(b, fields, "device");
    // Commands have no id of their own.
    b.set("process.uid", input.record.coordinate.to_string())
        .set("process.cmd_line", line);
    b.set_some("unmapped.remote_addr", fields.text("user_client_ip").as_deref());
    if policy {
        control(b, &fields.text("result").unwrap_or_default());
    }
}

/// What the control policy did with a command, in the result's words.
fn control(b: &mut EventBuilder<'_>, result: &str) {
    let lower = result.to_lowercase();
    let any = |words: &[&str]| words.iter().any(|w| lower.contains(w));
    if any(&["reject", "refuse", "拒绝"]) {
        b.control(2, 25).severity(3).success(false);
    } else if any(&["block", "deny", "denied", "forbid", "intercept", "阻断", "拦截", "禁止"]) {
        b.control(2, 2).severity(3).success(false);
    } else if any(&["approve", "confirm", "pass", "allow", "accept", "通过", "允许", "放行"]) {
        b.control(1, 8).severity(2).success(true);
    } else {
        b.label("bastionhost.policy_result_unknown");
    }
}

/// Words of a result that was none.
const REFUSED: &[&str] = &[
    "fail",
    "error",
    "deny",
    "denied",
    "expire",
    "lock",
    "invalid",
    "refus",
    "reject",
    "wrong",
    "incorrect",
    "disable",
    "forbid",
    "not exist",
    "not_exist",
    "timeout",
    "失败",
    "错误",
    "过期",
    "锁定",
    "拒绝",
    "禁用",
    "不存在",
    "超时",
];

fn result<'a>(b: &mut EventBuilder<'a>, fields: Fields<'a>, kind: Kind) {
    let Some(result) = fields.text("result") else { return };
    if !b.has("action_id") {
        match &*result.trim().to_ascii_lowercase() {
            "success" | "succeed" | "succeeded" | "ok" | "true" | "0" | "成功" => drop(b.success(true)),
            "fail" | "failed" | "failure" | "error" | "false" | "失败" => drop(b.success(false)),
            other if kind == Kind::Logon || matches!(kind, Kind::File(_)) => {
                // A reason is a refusal; a success needs none.
                if REFUSED.iter().any(|w| other.contains(w)) {
                    b.success(false);
                    b.set("status_detail", &*result);
                }
            }
            _ => {}
        }
    }
    // It may be what the command wrote.
    b.unmapped("result", &*mask::mask(&result));
}

fn file(b: &mut EventBuilder<'_>, event_type: &str, content: &str) {
    let folder = event_type.to_ascii_lowercase().ends_with("dir");
    let type_id = if folder { 2 } else { 1 };
    let renamed = ["=>", "->", " to "].iter().find_map(|s| content.split_once(s));
    match renamed {
        Some((old, new)) if event_type.to_ascii_lowercase().contains("rename") => {
            draft::file(b, "file", old.trim(), type_id);
            draft::file(b, "file_result", new.trim(), type_id);
        }
        _ => draft::file(b, "file", content.trim(), type_id),
    }
}

/// What a session's content says, under the names that it may have.
struct Content<'a> {
    values: Object<'a>,
}

const START: &[&str] = &[
    "start_time",
    "starttime",
    "begin_time",
    "start",
    "login_time",
    "created_time",
    "开始时间",
];
const END: &[&str] = &[
    "end_time",
    "endtime",
    "finish_time",
    "end",
    "logout_time",
    "close_time",
    "结束时间",
];
const PROTOCOL: &[&str] = &["protocol", "protocol_type", "protocol_name", "协议"];
const ACCOUNT: &[&str] = &[
    "account",
    "host_account",
    "host_account_name",
    "resource_account",
    "account_name",
    "login_name",
    "账户",
    "账号",
];

impl<'a> Content<'a> {
    fn read(keep: Keep<'a>, text: &str) -> Content<'a> {
        let arena = keep.arena;
        let text = keep.text(text);
        let mut values = Map::new();
        if let Ok(parsed) = crate::json::parse(arena, text) {
            values.extend(parsed.object.iter().map(|(k, v)| (arena.text(&k.to_lowercase()), *v)));
            return Content {
                values: values.build(arena),
            };
        }
        for part in text.split([',', ';', '\n', '|', '，', '；']).take(64) {
            let pair = part
                .split_once('=')
                .or_else(|| seek::split_once(part, ": "))
                .or_else(|| part.split_once('：'));
            if let Some((key, value)) = pair {
                values.insert(arena.text(&seek::trim(key).to_lowercase()), seek::trim(value));
            }
        }
        Content {
            values: values.build(arena),
        }
    }

    fn text(&self, names: &[&str]) -> Option<Cow<'a, str>> {
        // `startTime` was lowered to `starttime`; `start_time` stays.
        Fields(self.values).first(names)
    }

    fn moment(&self, names: &[&str], input: &Input<'_>) -> Option<(String, ParsedTime)> {
        let text = self.text(names)?;
        let time = time_text::parse_any(&text, input.record.received_at, &input.settings.time_zone)?;
        Some((text.into_owned(), time))
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Protocol {
    Shell,
    Graphical,
    Database,
}

fn session<'a>(input: &Input<'a>, object: Object<'a>, event_type: &str) -> Vec<Event<'a>> {
    let fields = Fields(object);
    let text = fields.text("content").unwrap_or_default();
    let content = Content::read(input.keep(), &text);
    let named = content.text(PROTOCOL);
    let protocol = match named.as_deref().unwrap_or_default().to_ascii_lowercase().as_str() {
        "rdp" | "vnc" | "app" | "remoteapp" => Protocol::Graphical,
        "mysql" | "mariadb" | "postgresql" | "oracle" | "sqlserver" | "db2" | "polardb" => Protocol::Database,
        _ => Protocol::Shell,
    };
    let start = content.moment(START, input);
    let end = content.moment(END, input);
    let one = |opens: bool, moment: Option<&(String, ParsedTime)>| {
        let (class, activity): (&'static Class, u8) = match (protocol, opens) {
            (Protocol::Shell, true) => (&class::SSH_ACTIVITY, 1),
            (Protocol::Shell, false) => (&class::SSH_ACTIVITY, 2),
            (Protocol::Graphical, true) => (&class::RDP_ACTIVITY, 3),
            (Protocol::Graphical, false) => (&class::RDP_ACTIVITY, 7),
            (Protocol::Database, true) => (&class::DATASTORE_ACTIVITY, 3),
            (Protocol::Database, false) => (&class::DATASTORE_ACTIVITY, 99),
        };
        let mut b = self::start(input, fields, class, activity, event_type);
        if let Some((text, time)) = moment {
            b.time(time.time).original_time(text, time.offset_minutes);
            for label in time.labels() {
                b.label(label);
            }
            if opens {
                // The record comes when the session is over.
                b.written_later();
            }
        }
        person(&mut b, fields, "actor.user");
        endpoints(&mut b, fields);
        b.set_some("unmapped.account", content.text(ACCOUNT).as_deref());
        match &named {
            Some(named) => drop(b.unmapped("protocol", &**named)),
            None => drop(b.label("session.protocol_unknown")),
        }
        if protocol == Protocol::Database {
            b.set("database.type_id", 1);
            let name = fields.first(&["resource_name", "resource_address"]);
            b.set("database.name", name.as_deref().unwrap_or("unknown"));
            if !opens {
                b.word("activity_name", "Disconnect");
            }
        }
        b.set_some("start_time", start.as_ref().map(|(_, t)| t.time.0));
        if !opens {
            b.set_some("end_time", end.as_ref().map(|(_, t)| t.time.0));
            if let (Some((_, start)), Some((_, end))) = (&start, &end) {
                b.set("duration", (end.time.0.saturating_sub(start.time.0)).max(0));
            }
        }
        if start.is_none() && end.is_none() {
            b.label("session.times_missing");
        }
        b.unmapped("content", &*mask::mask(&text));
        result(&mut b, fields, Kind::Session);
        draft::complete(&mut b);
        b.native(object);
        b.finish()
    };
    match (&start, &end) {
        (None, Some(_)) => vec![one(false, end.as_ref())],
        (_, Some(_)) => vec![one(true, start.as_ref()), one(false, end.as_ref())],
        (_, None) => vec![one(true, start.as_ref())],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_types_are_known_whatever_their_case() {
        for (text, want) in [
            ("cmd.Command", Kind::Command { policy: false }),
            ("CMD.COMMAND.POLICY", Kind::Command { policy: true }),
            ("graph.Keyboard", Kind::Graphic),
            ("file.Upload", Kind::File(1)),
            ("file.CreateDir", Kind::File(99)),
            ("login.CSLogin", Kind::Logon),
            ("Session.session", Kind::Session),
            ("asset.Sync", Kind::Other),
        ] {
            assert_eq!(kind(text), want, "{text}");
        }
    }

    #[test]
    fn content_is_json_or_pairs() {
        use model::Arena;

        for text in [
            r#"{"startTime":"2026-03-02 22:00:00","Protocol":"ssh"}"#,
            "start_time=2026-03-02 22:00:00, protocol=ssh",
            "开始时间：2026-03-02 22:00:00，协议：ssh",
        ] {
            let arena = Arena::new();
            let content = Content::read(Keep { arena: &arena, text }, text);
            assert_eq!(content.text(START).as_deref(), Some("2026-03-02 22:00:00"), "{text}");
            assert_eq!(content.text(PROTOCOL).as_deref(), Some("ssh"), "{text}");
        }
        let (arena, text) = (Arena::new(), "nothing to see");
        assert!(Content::read(Keep { arena: &arena, text }, text).values.is_empty());
    }
}
