//! Alibaba Cloud ActionTrail.
//!
//! | event type | OCSF |
//! |---|---|
//! | `ConsoleSignin`, `ConsoleSignout` | Authentication 3002.1, .2: `user`, `is_mfa` |
//! | `PasswordReset` | Account Change 3001.4 |
//! | any other | API Activity 6003 by `eventRW` and the operation's verb |
//!
//! For policy authors: `api.{operation,service.name,version}`, `api.request.data.<parameter>` (an object where the source has
//! one or JSON text), `actor.user.{name,uid,type_id,credential_uid}` (root account: type_id 2, name `root`), `actor.session.is_mfa`,
//! `src_endpoint.{ip,svc_name}`, `cloud.{region,account.uid}`, `resources.{type,name}`, `status_code`, and under `unmapped`:
//! `identity_type`, `eventType`, `eventRW`, `eventCategory`, `additionalEventData`. The native fields are the event's own.
//!
//! Envelopes that are taken off: Simple Log Service (`event` as JSON text or object, or flattened `event.…`), and an array of
//! events as stored in OSS (each an event of its own).

use std::borrow::Cow;

use model::{Arena, Event, Map, Object, Value};
use serde_json::json;

use crate::builder::{EventBuilder, address};
use crate::class::{self, Class};
use crate::fields::Fields;
use crate::format::draft;
use crate::format::{Format, Input, Match, Quarantine};
use crate::json;
use crate::seek;

/// Alibaba Cloud ActionTrail.
pub static FORMAT: Format = Format {
    name: "action_trail",
    aliases: &["actiontrail", "aliyun_actiontrail"],
    matches,
    normalize,
};

/// Resources of one event that are named.
const RESOURCES_MAX: usize = 100;

fn matches(input: &Input<'_>) -> Option<Match> {
    if !seek::trim_start(input.text).starts_with('{') {
        return None;
    }
    let object = input.object().ok()?;
    let has = |name: &str| object.contains_key(name);
    if has("eventName") && has("userIdentity") && (has("acsRegion") || has("eventRW") || has("serviceName")) {
        return Some(Match {
            score: 95,
            reason: "the keys eventName, userIdentity and acsRegion",
        });
    }
    let topic = object.get("__topic__").and_then(Value::as_str).unwrap_or_default();
    (topic.starts_with("actiontrail") || has("event.eventName")).then_some(Match {
        score: 95,
        reason: "Simple Log Service's topic of ActionTrail",
    })
}

fn normalize<'a>(input: &mut Input<'a>) -> Result<Vec<Event<'a>>, Quarantine> {
    let outer = input.take_object()?;
    let (object, envelope) = unwrap(input, outer)?;
    let fields = Fields(object);
    if fields.text("eventName").is_none() && fields.text("eventType").is_none() {
        return Err(Quarantine("action_trail_no_event_name"));
    }
    let kind = fields.text("eventType").unwrap_or_default();
    let (class, activity): (&'static Class, u8) = match &*kind {
        "ConsoleSignin" => (&class::AUTHENTICATION, 1),
        "ConsoleSignout" => (&class::AUTHENTICATION, 2),
        "PasswordReset" => (&class::ACCOUNT_CHANGE, 4),
        _ => (&class::API_ACTIVITY, activity(fields)),
    };
    let mut b = EventBuilder::new(input, class, activity, "Alibaba Cloud", "ActionTrail");
    b.logsource("aliyun", "", "actiontrail").system("aliyun");
    b.original_uid(&fields.text("eventId").unwrap_or_default());
    b.set_some("metadata.log_version", fields.text("eventVersion").as_deref());
    b.set_some("metadata.event_code", fields.text("eventName").as_deref());
    if let Some(time) = fields.value("eventTime").or_else(|| envelope.get("__time__")) {
        b.time_of(input, time);
    }
    b.word("cloud.provider", "Alibaba Cloud");
    b.set_some("cloud.region", fields.text("acsRegion").as_deref());
    b.set_some(
        "cloud.account.uid",
        fields
            .first(&["userIdentity.accountId", "recipientAccountId"])
            .as_deref(),
    );
    source(&mut b, fields);
    b.set_some(
        "dst_endpoint.hostname",
        fields.text("eventSource").filter(|_| class.uid != 3001).as_deref(),
    );
    b.set_some("http_request.user_agent", fields.text("userAgent").as_deref());

    // An empty error code is none.
    b.success(fields.text("errorCode").is_none());
    b.set_some("status_code", fields.text("errorCode").as_deref());
    b.set_some("status_detail", fields.text("errorMessage").as_deref());

    let request = json_of(input.arena, fields, &["requestParameters", "requestParameterJson"]);
    let request_names = named(request.as_ref());
    match class.uid {
        3002 => {
            identity(&mut b, fields, "user");
            b.set_some("is_mfa", mfa(fields));
            b.set("is_remote", true);
            b.set(
                "service.name",
                fields
                    .first(&["serviceName", "eventSource"])
                    .as_deref()
                    .unwrap_or("ActionTrail"),
            );
        }
        3001 => {
            identity(&mut b, fields, "actor.user");
            let of = |name: &str| {
                request
                    .as_ref()
                    .and_then(|r| r.get(name))
                    .and_then(Value::as_str)
                    .filter(|n| !n.is_empty())
            };
            match of("UserName")
                .or_else(|| of("userName"))
                .or_else(|| of("UserPrincipalName"))
            {
                Some(name) => drop(b.set("user.name", name)),
                None => identity(&mut b, fields, "user"),
            }
        }
        _ => {
            identity(&mut b, fields, "actor.user");
            api(&mut b, fields, request, activity);
        }
    }
    session(&mut b, fields);
    resources(&mut b, fields, request_names);
    for name in [
        "eventType",
        "eventRW",
        "eventCategory",
        "recipientAccountId",
        "isGlobal",
        "additionalEventData",
    ] {
        if let Some(value) = fields.value(name) {
            b.unmapped(name, *value);
        }
    }
    for (name, value) in envelope {
        b.unmapped(name, value);
    }
    b.native(object);
    Ok(vec![b.finish()])
}

/// The event and what was around it.
fn unwrap<'a>(input: &mut Input<'a>, outer: Object<'a>) -> Result<(Object<'a>, Object<'a>), Quarantine> {
    if outer.contains_key("eventName") {
        return Ok((outer, Object::default()));
    }
    let arena = input.arena;
    match outer.get("event") {
        Some(Value::Object(event)) => return Ok((*event, outer.without(arena, &["event"]))),
        Some(Value::String(text)) => {
            let event = input.adopt(json::parse(arena, text)?);
            return Ok((event, outer.without(arena, &["event"])));
        }
        _ => {}
    }
    let (inner, rest): (Vec<_>, Vec<_>) = outer.members().iter().partition(|(k, _)| k.starts_with("event."));
    let mut event = Map::new();
    for (key, value) in inner {
        // `event.userIdentity.type` was an object once.
        let key = &key["event.".len()..];
        match seek::cut(key, b'.') {
            Some((head, tail)) => {
                let inner = event.or_insert(head, Object::default());
                match inner {
                    Value::Object(inner) => *inner = inner.with(arena, tail, value),
                    _ => drop(event.insert(key, value)),
                }
            }
            None => drop(event.insert(key, parsed(arena, value))),
        }
    }
    Ok((event.build(arena), arena.object(&rest)))
}

/// JSON text as what it says; anything else as it is.
fn parsed<'a>(arena: &'a Arena, value: Value<'a>) -> Value<'a> {
    match value {
        Value::String(text) if text.starts_with('{') => match json::parse(arena, text) {
            Ok(parsed) if parsed.flags.is_empty() => Value::Object(parsed.object),
            _ => value,
        },
        _ => value,
    }
}

fn json_of<'a>(arena: &'a Arena, fields: Fields<'a>, names: &[&str]) -> Option<Value<'a>> {
    names.iter().find_map(|n| fields.value(n)).map(|v| parsed(arena, *v))
}

fn activity(fields: Fields<'_>) -> u8 {
    let name = fields.text("eventName").unwrap_or_default();
    let starts = |verbs: &[&str]| verbs.iter().any(|v| name.starts_with(v));
    if fields.text("eventRW").is_some_and(|rw| rw.eq_ignore_ascii_case("read")) {
        2
    } else if starts(&["Create", "Run", "Add", "Allocate", "Import", "Register", "Insert"]) {
        1
    } else if starts(&[
        "Update",
        "Modify",
        "Attach",
        "Put",
        "Set",
        "Change",
        "Associate",
        "Bind",
        "Authorize",
        "Enable",
        "Disable",
    ]) {
        3
    } else if starts(&[
        "Delete",
        "Release",
        "Detach",
        "Remove",
        "Terminate",
        "Revoke",
        "Unbind",
        "Disassociate",
    ]) {
        4
    } else if fields.text("eventRW").is_none() && starts(&["Describe", "Get", "List", "Query", "Check"]) {
        2
    } else {
        99
    }
}

fn api<'a>(b: &mut EventBuilder<'a>, fields: Fields<'a>, request: Option<Value<'a>>, activity: u8) {
    let name = fields
        .first(&["eventName", "eventType"])
        .unwrap_or(Cow::Borrowed("unknown"));
    if activity == 99 {
        b.set("activity_name", &*name);
    }
    b.set("api.operation", &*name);
    b.set_some("api.service.name", fields.text("serviceName").as_deref());
    b.set_some("api.version", fields.text("apiVersion").as_deref());
    if let Some(request) = request {
        b.set("api.request.data", draft::object(b.arena(), request));
    }
    let id = fields.text("requestId");
    if id.is_some() || b.has("api.request") {
        b.set("api.request.uid", id.as_deref().unwrap_or("unknown"));
    }
    if let Some(response) = json_of(b.arena(), fields, &["responseElements"]) {
        b.set("api.response.data", draft::object(b.arena(), response));
    }
    b.set_some("api.response.error", fields.text("errorCode").as_deref());
    b.set_some("api.response.error_message", fields.text("errorMessage").as_deref());
}

fn identity<'a>(b: &mut EventBuilder<'a>, fields: Fields<'a>, path: &'static str) {
    let kind = fields.text("userIdentity.type").unwrap_or_default();
    let root = kind == "root-account";
    let name = fields.text("userIdentity.userName");
    // The sign-in's own account comes as `name@tenant`; the identity's name is the register's.
    let name = name.or_else(|| root.then_some(Cow::Borrowed("root")));
    let uid = fields.text("userIdentity.principalId");
    if name.is_none() && uid.is_none() {
        let fallback = fields.first(&["additionalEventData.loginAccount", "userIdentity.accountId"]);
        b.set_in(path, "name", fallback.as_deref().unwrap_or("unknown"));
    }
    b.set_some_in(path, "name", name.as_deref());
    b.set_some_in(path, "uid", uid.as_deref());
    b.set_some_in(
        path,
        "credential_uid",
        fields.text("userIdentity.accessKeyId").as_deref(),
    );
    if !kind.is_empty() {
        let type_id = match &*kind {
            "root-account" => 2,
            "ram-user" => 1,
            "system" => 3,
            _ => 99,
        };
        b.set_in(path, "type_id", type_id);
        if type_id == 99 {
            b.set_in(path, "type", &*kind);
        }
        b.unmapped("identity_type", &*kind);
    }
}

fn mfa(fields: Fields<'_>) -> Option<bool> {
    let attribute = "userIdentity.sessionContext.attributes.mfaAuthenticated";
    [
        "additionalEventData.mfaChecked",
        "additionalEventData.isMFAChecked",
        attribute,
    ]
    .iter()
    .find_map(|n| fields.bool(n))
}

fn session<'a>(b: &mut EventBuilder<'a>, fields: Fields<'a>) {
    let Some(attributes) = fields.object("userIdentity.sessionContext.attributes") else {
        return;
    };
    b.set_some("actor.session.is_mfa", attributes.bool("mfaAuthenticated"));
    let created = attributes.text("creationDate");
    let created = created.and_then(|t| model::Millis::parse(&t).ok()).map(|t| t.0);
    b.set_some("actor.session.created_time", created);
}

/// An address, or the service that called (`ecs.aliyuncs.com`), or a masked address (`192.168.XX.XX`).
fn source<'a>(b: &mut EventBuilder<'a>, fields: Fields<'a>) {
    let text = fields.text("sourceIpAddress").unwrap_or_default();
    if address(&text).0.is_some() || seek::contains(&text, "XX") || text.starts_with(|c: char| c.is_ascii_digit()) {
        b.ip("src_endpoint.ip", &text);
    } else {
        b.set("src_endpoint.svc_name", &*text);
    }
    b.set_some("src_endpoint.vpc_uid", fields.text("vpcId").as_deref());
    if !b.has("src_endpoint.ip") && !b.has("src_endpoint.svc_name") {
        b.set("src_endpoint.name", if text.is_empty() { "unknown" } else { &*text });
    }
}

/// On whom a call of RAM or STS is: the user, group, role or policy that its parameters name.
fn named(request: Option<&Value<'_>>) -> Vec<serde_json::Value> {
    let Some(Value::Object(request)) = request else {
        return Vec::new();
    };
    [
        ("UserName", "user"),
        ("UserPrincipalName", "user"),
        ("GroupName", "group"),
        ("RoleName", "role"),
        ("RoleArn", "role"),
        ("PolicyName", "policy"),
        ("BucketName", "bucket"),
        ("InstanceId", "instance"),
        ("DBInstanceId", "db_instance"),
        ("DBClusterId", "db_cluster"),
        ("ClusterId", "cluster"),
        ("LoadBalancerId", "load_balancer"),
        ("SecurityGroupId", "security_group"),
        ("DiskId", "disk"),
        ("SnapshotId", "snapshot"),
        ("BackupId", "backup"),
        ("ImageId", "image"),
        ("SourceDBInstanceId", "db_instance"),
        ("TargetDBInstanceId", "db_instance"),
    ]
    .iter()
    .filter_map(|(key, kind)| {
        let name = crate::fields::scalar(request.get(key)?)?;
        Some(json!({"name": name, "type": kind}))
    })
    .collect()
}

fn resources<'a>(b: &mut EventBuilder<'a>, fields: Fields<'a>, named: Vec<serde_json::Value>) {
    let mut found = named;
    if let Some(referenced) = fields.object("referencedResources") {
        for (kind, names) in referenced.0 {
            let names = names.as_array().unwrap_or(std::slice::from_ref(names));
            for name in names.iter().filter_map(crate::fields::scalar) {
                found.retain(|f| f["name"] != *name);
                found.push(json!({"type": kind, "name": name}));
            }
        }
    } else if let (Some(name), kind) = (fields.text("resourceName"), fields.text("resourceType")) {
        for name in name.split([',', ';']).filter(|n| !n.trim().is_empty()) {
            found.retain(|f| f["name"] != seek::trim(name));
            found.push(json!({"name": seek::trim(name), "type": kind.as_deref().unwrap_or("unknown")}));
        }
    }
    found.truncate(RESOURCES_MAX);
    if b.class_uid() == 6003 {
        b.set("resources", found);
    } else {
        b.unmapped("resources", found);
    }
}
