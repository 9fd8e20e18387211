//! Okta's System Log.
//!
//! | event | OCSF |
//! |---|---|
//! | `user.session.start`, `user.authentication.sso`, `….auth_via_mfa` and the other ways | Authentication 3002.1 |
//! | `user.session.end` | 3002.2 |
//! | `user.session.impersonation.*` | 3002.7 |
//! | `user.lifecycle.*`, `user.account.*`, `user.mfa.factor.*` | Account Change 3001: on `user` |
//! | `group.user_membership.add`, `.remove` | Group Management 3006.3, .4 |
//! | `user.account.privilege.grant`, `.revoke`, `group.privilege.*` | User Access 3005.1, .2 |
//! | `application.*`, `policy.*`, `zone.*`, `group.*`, `system.api_token.*`, `device.*` | Entity Management 3004: `entity` |
//! | any other | API Activity 6003: `api.operation` the event type |
//!
//! `actor.user.{name,uid,full_name,type}` (`user` on sign-ins): `name` is the login (`alternateId`). `src_endpoint.ip`,
//! `.location`, `http_request.user_agent`; `actor.session.uid` and `metadata.correlation_uid` are the external session (or else the
//! transaction); `status_code` the result's word: only `SUCCESS` and `ALLOW` are a success, `CHALLENGE`, `SKIPPED` and
//! `UNKNOWN` neither. `is_mfa` on `auth_via_mfa`. Targets are `unmapped.target`, as all fields without a home.
//!
//! Native fields: the event's own. Log source: product okta, service okta. `docket.system` is `okta`. Envelopes that are taken
//! off: an event hook's (`data.events[]`), EventBridge's (`detail`).

use std::borrow::Cow;

use model::{Arena, Event, Object, Value};

use crate::builder::{EventBuilder, address};
use crate::class::{self, Class};
use crate::fields::Fields;
use crate::format::draft::{self, Names};
use crate::format::{Format, Input, Match, Quarantine};
use crate::seek;

/// Okta.
pub static FORMAT: Format = Format {
    name: "okta",
    aliases: &["okta_system_log"],
    matches,
    normalize,
};

fn matches(input: &Input<'_>) -> Option<Match> {
    if !seek::trim_start(input.text).starts_with('{') {
        return None;
    }
    let object = input.object().ok()?;
    if is_event(object) {
        return Some(Match {
            score: 95,
            reason: "the keys actor.alternateId and eventType",
        });
    }
    hook(object).is_some().then_some(Match {
        score: 95,
        reason: "an Okta event hook",
    })
}

fn is_event(object: Object<'_>) -> bool {
    let fields = Fields(object);
    let any = |names: &[&str]| names.iter().any(|n| fields.value(n).is_some());
    any(&["actor.alternateId", "legacyEventType", "outcome"])
        && any(&["eventType", "eventtype"])
        && any(&["published", "uuid", "displayMessage", "actor"])
}

fn hook<'a>(object: Object<'a>) -> Option<&'a [Value<'a>]> {
    let events = Fields(object).object("data")?.value("events")?.as_array()?;
    events.first()?.as_object().is_some_and(is_event).then_some(events)
}

fn normalize<'a>(input: &mut Input<'a>) -> Result<Vec<Event<'a>>, Quarantine> {
    let object = input.take_object()?;
    if let Some(events) = hook(object) {
        let mut out = Vec::with_capacity(events.len());
        for one in events {
            let Value::Object(one) = one else {
                return Err(Quarantine("okta_no_event"));
            };
            let text = one.to_string();
            out.push(event(&Input::of_text(input, &text), *one)?);
        }
        return Ok(out);
    }
    if object.get("detail").and_then(Value::as_object).is_some_and(is_event)
        && let Some(Value::Object(inner)) = object.get("detail")
    {
        return Ok(vec![event(input, *inner)?]);
    }
    Ok(vec![event(input, object)?])
}

fn kind(name: &str) -> (&'static Class, u8) {
    let account = |activity| (&class::ACCOUNT_CHANGE, activity);
    match name {
        "user.session.start" | "user.authentication.sso" | "user.session.access_admin_app" => {
            (&class::AUTHENTICATION, 1)
        }
        "user.session.end" | "user.session.clear" | "user.authentication.slo" => (&class::AUTHENTICATION, 2),
        _ if name.starts_with("user.authentication.") || name.starts_with("app.oauth2.signon") => {
            (&class::AUTHENTICATION, 1)
        }
        _ if name.starts_with("user.session.impersonation.") => (&class::AUTHENTICATION, 7),
        "policy.evaluate_sign_on" => (&class::AUTHENTICATION, 99),
        "user.lifecycle.create" => account(1),
        "user.lifecycle.activate" | "user.lifecycle.reactivate" => account(2),
        "user.account.update_password" => account(3),
        "user.account.reset_password" | "user.account.expire_password" => account(4),
        "user.lifecycle.deactivate" => account(5),
        "user.lifecycle.delete.initiated" | "user.lifecycle.delete.completed" | "user.lifecycle.delete" => account(6),
        "user.account.lock" | "user.account.lock.limit" | "user.lifecycle.suspend" => account(9),
        "user.mfa.factor.activate" => account(10),
        "user.mfa.factor.deactivate" | "user.mfa.factor.reset_all" | "user.mfa.factor.suspend" => account(11),
        "user.lifecycle.unsuspend" | "user.account.unlock" | "user.account.unlock_by_admin" => account(12),
        "user.account.privilege.grant" | "group.privilege.grant" => (&class::USER_ACCESS, 1),
        "user.account.privilege.revoke" | "group.privilege.revoke" => (&class::USER_ACCESS, 2),
        "application.user_membership.add" | "application.user_membership.provision" => (&class::USER_ACCESS, 1),
        "application.user_membership.remove" | "application.user_membership.deprovision" => (&class::USER_ACCESS, 2),
        "group.user_membership.add" => (&class::GROUP_MANAGEMENT, 3),
        "group.user_membership.remove" => (&class::GROUP_MANAGEMENT, 4),
        "group.lifecycle.create" => (&class::GROUP_MANAGEMENT, 6),
        "group.lifecycle.delete" => (&class::GROUP_MANAGEMENT, 5),
        _ if name.starts_with("user.lifecycle.")
            || name.starts_with("user.account.")
            || name.starts_with("user.mfa.")
            || name.starts_with("user.credential.") =>
        {
            account(99)
        }
        _ if ENTITIES.iter().any(|e| name.starts_with(e)) => (&class::ENTITY_MANAGEMENT, verb(name)),
        _ => (&class::API_ACTIVITY, 99),
    }
}

const ENTITIES: &[&str] = &[
    "application.",
    "policy.",
    "zone.",
    "group.",
    "system.api_token.",
    "system.idp.",
    "security.authenticator.",
    "device.",
    "iam.",
    "app.",
    "network_zone.",
    "event_hook.",
    "inline_hook.",
];

/// The activity of Entity Management in an event type's last word.
fn verb(name: &str) -> u8 {
    match name.rsplit('.').next().unwrap_or_default() {
        "create" | "add" | "grant" => 1,
        "update" | "change" | "modify" | "edit" => 3,
        "delete" | "revoke" | "remove" => 4,
        "enroll" => 6,
        "unenroll" => 7,
        "enable" => 8,
        "disable" => 9,
        "activate" => 10,
        "deactivate" => 11,
        "suspend" => 12,
        "unsuspend" | "resume" => 13,
        "show_password" | "read" => 2,
        _ => 99,
    }
}

static READ: Names = Names::new(&[
    "uuid",
    "published",
    "eventType",
    "eventtype",
    "version",
    "displayMessage",
    "actor",
    "outcome",
    "client",
]);

fn event<'a>(input: &Input<'a>, object: Object<'a>) -> Result<Event<'a>, Quarantine> {
    let fields = Fields(object);
    let Some(name) = fields.first(&["eventType", "eventtype"]) else {
        return Err(Quarantine("okta_no_event_type"));
    };
    let (class, activity) = kind(&name);
    let mut b = EventBuilder::new(input, class, activity, "Okta", "Okta");
    b.logsource("okta", "", "okta").system("okta");
    if activity == 99 {
        b.set("activity_name", &*name);
    }
    b.original_uid(&fields.text("uuid").unwrap_or_default());
    b.metadata("event_code", &*name);
    b.set_some("metadata.log_version", fields.text("version").as_deref());
    b.set_some("metadata.log_level", fields.text("severity").as_deref());
    draft::utc(&mut b, input, fields.value("published"));
    b.set_some("message", fields.text("displayMessage").as_deref());
    client(&mut b, fields);
    outcome(&mut b, fields);

    let session = fields.first(&[
        "authenticationContext.externalSessionId",
        "authenticationcontext.externalSessionId",
    ]);
    let session = session.filter(|s| *s != "unknown");
    b.set_some("actor.session.uid", session.as_deref());
    let transaction = fields.text("transaction.id").filter(|t| t != "unknown");
    b.set_some("metadata.correlation_uid", session.or(transaction).as_deref());
    b.set_some(
        "actor.session.issuer",
        fields.text("authenticationContext.issuer.id").as_deref(),
    );

    let actor = fields.object("actor");
    let target = |kinds: &[&str]| target(fields, kinds);
    match class.uid {
        3002 => {
            if activity == 7 {
                b.set("account_switch_type_id", 2)
                    .word("account_switch_type", "Impersonate");
                person(&mut b, "actor.user", actor);
                person(&mut b, "user", target(&["User", "AppUser"]).or(actor));
            } else {
                person(&mut b, "user", actor);
            }
            let app = target(&["AppInstance"]).and_then(|t| t.text("displayName"));
            b.set("service.name", app.as_deref().unwrap_or("Okta"))
                .set("is_remote", true);
            if seek::contains(&name, "mfa") {
                b.set("is_mfa", true);
            }
        }
        3001 => {
            person(&mut b, "actor.user", actor);
            person(&mut b, "user", target(&["User", "AppUser"]).or(actor));
        }
        3004 => {
            person(&mut b, "actor.user", actor);
            let object = target(&[]).or_else(|| target(&["User"]));
            let of = |n: &str| object.and_then(|t| t.text(n));
            b.set_some(
                "entity.name",
                of("displayName").or_else(|| of("alternateId")).as_deref(),
            );
            b.set_some("entity.uid", of("id").as_deref());
            b.set_some("entity.type", of("type").as_deref());
            b.set_some("comment", fields.text("outcome.reason").as_deref());
        }
        3005 | 3006 => {
            person(&mut b, "actor.user", actor);
            person(&mut b, "user", target(&["User", "AppUser"]));
            let group = target(&["UserGroup"]);
            if class.uid == 3006 {
                b.set_some("group.name", group.and_then(|g| g.text("displayName")).as_deref());
                b.set_some("group.uid", group.and_then(|g| g.text("id")).as_deref());
            } else {
                if !b.has("user") {
                    // A group gets them, and everybody in it.
                    person(&mut b, "user", group);
                }
                let granted = fields.text("debugContext.debugData.privilegeGranted");
                let app = target(&["AppInstance", "ROLE"]).and_then(|t| t.text("displayName"));
                let privileges: Vec<String> = match (granted, app) {
                    (Some(granted), _) => granted.split(',').map(|p| p.trim().to_owned()).collect(),
                    (None, Some(app)) => vec![app.into_owned()],
                    (None, None) => Vec::new(),
                };
                b.set("privileges", privileges);
            }
        }
        _ => {
            person(&mut b, "actor.user", actor);
            b.set("api.operation", &*name).word("api.service.name", "Okta");
        }
    }
    b.set_some("unmapped.client", rest_of_client(b.arena(), fields));
    draft::keep_rest(&mut b, object, &READ);
    draft::complete(&mut b);
    b.native(object);
    Ok(b.finish())
}

/// The first target of one of the kinds; of none given, the first that is no person.
fn target<'a>(fields: Fields<'a>, kinds: &[&str]) -> Option<Fields<'a>> {
    let targets: Vec<Fields<'_>> = match fields.value("target")? {
        Value::Array(items) => items.iter().filter_map(Value::as_object).map(Fields).collect(),
        Value::Object(one) => vec![Fields(*one)],
        _ => return None,
    };
    targets.into_iter().find(|t| {
        let kind = t.text("type").unwrap_or_default();
        if kinds.is_empty() {
            kind != "User"
        } else {
            kinds.contains(&&*kind)
        }
    })
}

fn person<'a>(b: &mut EventBuilder<'a>, path: &'static str, who: Option<Fields<'a>>) {
    let Some(who) = who else { return };
    let login = who.text("alternateId").filter(|l| *l != "unknown");
    let shown = who.text("displayName");
    b.set_some_in(path, "name", login.as_deref().or(shown.as_deref()));
    b.set_some_in(path, "uid", who.text("id").as_deref());
    b.set_some_in(path, "full_name", shown.as_deref());
    if !b.has(path) {
        return;
    }
    match who.text("type").as_deref() {
        Some("User") => drop(b.set_in(path, "type_id", 1)),
        Some("SystemPrincipal") => drop(b.set_in(path, "type_id", 3)),
        Some("PublicClientApp") => drop(b.set_in(path, "type_id", 4)),
        Some(other) => drop(b.set_in(path, "type_id", 99).set_in(path, "type", other)),
        None => {}
    }
}

fn client<'a>(b: &mut EventBuilder<'a>, fields: Fields<'a>) {
    let chain = fields
        .value("request.ipChain")
        .and_then(|c| c.as_array()?.first())
        .and_then(|c| c.get("ip"));
    let ip = fields.text("client.ipAddress");
    draft::source(b, ip.or_else(|| chain.and_then(Value::as_str).map(Cow::Borrowed)));
    if !b.has("src_endpoint") && fields.text("actor.type").as_deref() == Some("IP address") {
        draft::source(b, fields.text("actor.id"));
    }
    let agent = fields.text("client.userAgent.rawUserAgent");
    b.set_some("http_request.user_agent", agent.as_deref());
    let place = |name: &str| fields.text_in("client.geographicalContext", name);
    for (to, from) in [
        ("city", "city"),
        ("country", "country"),
        ("region", "state"),
        ("postal_code", "postalCode"),
    ] {
        b.set_some_in("src_endpoint.location", to, place(from).as_deref());
    }
    let chain = fields.value("request.ipChain").and_then(Value::as_array);
    let proxies: Vec<_> = chain
        .into_iter()
        .flatten()
        .skip(1)
        .take(draft::ITEMS_MAX)
        .filter_map(|hop| address(hop.get("ip")?.as_str()?).0)
        .collect();
    b.set("src_endpoint.intermediate_ips", proxies);
}

fn rest_of_client<'a>(arena: &'a Arena, fields: Fields<'a>) -> Option<Object<'a>> {
    let client = fields.object("client")?.0;
    Some(client.without(arena, &["ipAddress", "geographicalContext"]))
}

fn outcome<'a>(b: &mut EventBuilder<'a>, fields: Fields<'a>) {
    let result = fields.text("outcome.result").unwrap_or_default();
    match &*result {
        "SUCCESS" | "ALLOW" => drop(b.success(true)),
        "FAILURE" | "DENY" => drop(b.success(false)),
        "" => {}
        other => drop(b.set("status_id", 99).set("status", other)),
    }
    if result == "DENY" {
        b.control(2, 2);
    }
    b.set("status_code", &*result);
    b.set_some("status_detail", fields.text("outcome.reason").as_deref());
    if let Some(factor) = fields.text("debugContext.debugData.factor") {
        b.unmapped("factor", &*factor);
    }
    if fields.bool("debugContext.debugData.threatSuspected") == Some(true) {
        b.unmapped("threatSuspected", true);
    }
}
