//! The application audit event: our contract with internal web systems: who, when, where from, what, on what, with what
//! result, on which ticket.
//!
//! | action | OCSF |
//! |---|---|
//! | `login`, `login_failed`, `logout` | Authentication 3002.1, .1, .2: the account is `user` |
//! | `grant`, `revoke` | User Access 3005.1, .2: `user` gets or loses `privileges` |
//! | `reset_password` | Account Change 3001.4: on `user` |
//! | `config_change` | Entity Management 3004.3: `entity` |
//! | `create` `view` `unmask` `update` `batch_update` `delete` `query` `import` `export` `download` `share` | Web Resources 6001.1 .2 .2 .3 .3 .4 .5 .6 .7 .7 .8 |
//! | `print` `approve` `reject` `impersonate` `override` and any other | Web Resources 6001.99, `activity_name` the action |
//!
//! Where policy authors find the fields, in every class: `actor.user.{name,uid,full_name,org.name,groups.name}` (account,
//! employee id, name, department, role; on 3002 `user.…`), `src_endpoint.{ip,port,uid}`, `http_request.{uid,user_agent}`,
//! `actor.session.uid`, `metadata.{correlation_uid,product.name,product.feature.name}` (trace, system, module),
//! `status_id`, `status_code` (error_code), `status_detail` (reason), and under `unmapped`: `action` (in the contract's words),
//! `ticket_id`, `ticket_type`, `ticket` (whole), `object_type`, `object_id`, `count`, `level`, `personal`, `fields`, `rows`, `bytes`,
//! `masked`, `on_behalf_of`, `file_name`, `file_sha256`, `sign`. On 6001 the objects are `web_resources.{type,uid,name}`;
//! `before` and `after` are the `data` of `web_resources` and `web_resources_result`. Fields that the contract does not know are
//! kept in `unmapped` under their own names.
//!
//! Log source: product `webaudit`, service the system. `docket.system` is the record's `system`.
//!
//! What the contract demands and a record lacks is a label: `missing:actor.account`, `missing:time`, … Names and values
//! that senders use instead (`user`, `src_ip`, 用户, `成功`, 0 and 1) are read; the tables are in `words.rs`.

use std::borrow::Cow;

use model::{Event, Object, Value};
use serde_json::json;

use crate::builder::{EventBuilder, address};
use crate::class::{self, Class};
use crate::fields::{Fields, scalar};
use crate::format::http::within;
use crate::format::{Format, Input, Match, Quarantine};

mod target;
mod words;

use crate::seek;
use target::Target;
use words::{ACCOUNT, ACTION, ACTIONS, EVENT_ID, MODULE, NAMES, OBJECT, READ, RESULT, SOURCE, SYSTEM, TIME};

/// The application audit event.
pub static FORMAT: Format = Format {
    name: "web_audit",
    aliases: &["webaudit", "web-audit", "web"],
    matches,
    normalize,
};

fn matches(input: &Input<'_>) -> Option<Match> {
    if !seek::trim_start(input.text).starts_with('{') {
        return None;
    }
    let object = input.object().ok()?;
    let has = |names: &[&str]| names.iter().any(|n| object.contains_key(n));
    let action = has(ACTION);
    if action && object.contains_key("event_id") && object.contains_key("actor") {
        return Some(Match {
            score: 90,
            reason: "the keys event_id, actor and action",
        });
    }
    (action && (has(ACCOUNT) || has(SYSTEM)) && (has(TIME) || has(OBJECT))).then_some(Match {
        score: 60,
        reason: "an action, who did it and when",
    })
}

fn normalize<'a>(input: &mut Input<'a>) -> Result<Vec<Event<'a>>, Quarantine> {
    let object = input.take_object()?;
    let mut b = build(input, object, None);
    b.native(object);
    Ok(vec![b.finish()])
}

/// The contract's actions.
pub(crate) fn action_words() -> Vec<&'static str> {
    ACTIONS.iter().map(|(name, ..)| *name).collect()
}

/// The event of an object in the contract's words; of `class` and its activity, where that is known otherwise.
pub(crate) fn build<'a>(
    input: &Input<'a>,
    object: Object<'a>,
    class: Option<(&'static Class, u8)>,
) -> EventBuilder<'a> {
    let fields = Fields(object);
    let action = Action::read(fields);
    let result = outcome(fields);
    let (class, activity) = class.unwrap_or_else(|| action.class());
    let system = fields.first(SYSTEM);
    let product = system.clone().unwrap_or_else(|| Cow::Borrowed(&*input.record.source));
    let mut b = EventBuilder::new(
        input,
        class,
        activity,
        "",
        if product.is_empty() { "unknown" } else { &product },
    );
    b.logsource("webaudit", "", &product).system(&product);
    b.metadata("product.feature.name", fields.first(MODULE).unwrap_or_default());
    missing(&mut b, "system", system.is_some());

    let id = fields.first(EVENT_ID);
    missing(&mut b, "event_id", id.is_some());
    b.original_uid(&id.unwrap_or_default());
    let timed = TIME.iter().filter_map(|n| fields.value(n)).any(|v| b.time_of(input, v));
    missing(&mut b, "time", timed);

    let who = if class.uid == class::AUTHENTICATION.uid {
        "user"
    } else {
        "actor.user"
    };
    actor(&mut b, fields, who);
    source(&mut b, input, fields);
    b.set_some(
        "actor.session.uid",
        fields.first(&["session_id", "sessionId", "会话"]).as_deref(),
    );
    b.set_some(
        "http_request.uid",
        fields.first(&["request_id", "requestId"]).as_deref(),
    );
    b.set_some(
        "metadata.correlation_uid",
        fields.first(&["trace_id", "traceId"]).as_deref(),
    );

    missing(&mut b, "action", !action.name.is_empty());
    if activity == 99 {
        b.set(
            "activity_name",
            if action.name.is_empty() { "Other" } else { &*action.name },
        );
    }
    b.unmapped("action", &*action.name);
    if let Some(original) = action.original {
        b.unmapped("action_original", &*original);
    }
    status(&mut b, &action.name, result);
    b.set_some(
        "status_code",
        fields.first(&["error_code", "errorCode", "错误码"]).as_deref(),
    );
    b.set_some("status_detail", fields.first(&["reason", "error", "原因"]).as_deref());

    let target = Target::read(fields);
    missing(&mut b, "object.type", target.kind.is_some());
    match class.uid {
        3001 => target.user(&mut b, fields),
        3002 => {
            b.set("service.name", if product.is_empty() { "unknown" } else { &*product })
                .set("is_remote", true);
        }
        3004 => target.entity(&mut b, fields),
        3005 => target.privileges(&mut b, fields),
        _ => target.resources(&mut b, fields),
    }
    target.particulars(&mut b, fields);
    for (name, value) in object {
        if !READ.contains(&name) && !NAMES.iter().any(|names| names.contains(&name)) {
            b.unmapped(name, *value);
        }
    }
    b
}

fn missing(b: &mut EventBuilder<'_>, name: &str, there: bool) {
    if !there {
        b.label_of(&format!("missing:{name}"));
    }
}

/// What was done, in the contract's words where they can be told.
struct Action<'a> {
    name: Cow<'a, str>,
    original: Option<Cow<'a, str>>,
}

impl<'a> Action<'a> {
    fn read(fields: Fields<'a>) -> Action<'a> {
        let Some(written) = fields.first(ACTION) else {
            return Action {
                name: Cow::Borrowed(""),
                original: None,
            };
        };
        let lower = written.trim().to_lowercase();
        let known = |text: &str| {
            ACTIONS
                .iter()
                .find(|(name, others, ..)| *name == text || others.contains(&text))
                .map(|(name, ..)| *name)
        };
        // `customer.export`: the last word is the verb.
        let last = lower.rsplit(['.', ':', '/']).next().unwrap_or(&lower);
        match known(&lower).or_else(|| known(last)) {
            Some(name) if name == &*written => Action {
                name: written,
                original: None,
            },
            Some(name) => Action {
                name: Cow::Borrowed(name),
                original: Some(written),
            },
            None => Action {
                name: written,
                original: None,
            },
        }
    }

    fn class(&self) -> (&'static Class, u8) {
        match ACTIONS.iter().find(|(name, ..)| *name == &*self.name) {
            Some((.., class, activity)) => (class, *activity),
            None if self.name.is_empty() => (&class::WEB_RESOURCES_ACTIVITY, 0),
            None => (&class::WEB_RESOURCES_ACTIVITY, 99),
        }
    }
}

fn actor<'a>(b: &mut EventBuilder<'a>, fields: Fields<'a>, path: &'static str) {
    let account = ACCOUNT.iter().find_map(|name| {
        Some(match fields.value(name)? {
            Value::Object(actor) => Fields(*actor)
                .first(&["account", "username", "user_name", "login", "name", "id"])?
                .into_owned(),
            Value::Array(several) => {
                b.label("actor.several");
                several.iter().find_map(scalar)?.into_owned()
            }
            plain => scalar(plain)?.into_owned(),
        })
    });
    let account = account.filter(|a| !a.trim().is_empty());
    missing(b, "actor.account", account.is_some());
    let put = |b: &mut EventBuilder<'_>, name: &'static str, values: &[&str]| {
        if let Some(value) = fields.first(values) {
            b.set_in(path, name, &*value);
        }
    };
    if let Some(account) = &account {
        b.set_in(path, "name", account.as_str());
    }
    put(
        b,
        "uid",
        &["actor.employee_id", "employee_id", "user.employee_id", "工号"],
    );
    put(b, "full_name", &["actor.name", "姓名"]);
    put(b, "org.name", &["actor.dept", "dept", "部门"]);
    let roles: Vec<serde_json::Value> = match fields.value("actor.role") {
        Some(Value::Array(roles)) => roles.iter().filter_map(scalar).map(|r| json!({"name": r})).collect(),
        Some(role) => scalar(role).map(|r| json!({"name": r})).into_iter().collect(),
        None => Vec::new(),
    };
    b.set_in(path, "groups", roles);
    // The schema demands somebody here, and a user has a name or a uid.
    if path == "user" && !b.has("user.name") && !b.has("user.uid") {
        b.word("user.name", "unknown");
    } else if b.has(path) && !b.has_in(path, "name") && !b.has_in(path, "uid") {
        b.set_in(path, "name", "unknown");
    }
    if let Some(value) = fields.first(&["actor.on_behalf_of", "on_behalf_of"]) {
        b.unmapped("on_behalf_of", &*value);
    }
}

/// The address; of a list (a proxy's `X-Forwarded-For`) the right-most one that is no trusted proxy, because what is
/// further left is what the client said.
fn source<'a>(b: &mut EventBuilder<'a>, input: &Input<'_>, fields: Fields<'a>) {
    let values = SOURCE.iter().find_map(|name| match fields.value(name)? {
        Value::Array(items) => Some(items.iter().filter_map(scalar).map(Cow::into_owned).collect::<Vec<_>>()),
        plain => Some(scalar(plain)?.split(',').map(|t| t.trim().to_owned()).collect()),
    });
    let values: Vec<String> = values
        .unwrap_or_default()
        .into_iter()
        .filter(|v| !v.is_empty())
        .collect();
    let proxies = &input.settings.trusted_proxies;
    let trusted = |text: &str| {
        address(text)
            .0
            .is_some_and(|ip| proxies.iter().any(|range| within(ip, range)))
    };
    let chosen = values.iter().rev().find(|v| !trusted(v)).or(values.first());
    let found = chosen.is_some_and(|v| b.ip("src_endpoint.ip", v));
    missing(b, "source.ip", found);
    if values.len() > 1 {
        b.label("ip.list").unmapped("source_ips", values);
    }
    if let Some(port) = fields.int("source.port").and_then(|p| u16::try_from(p).ok()) {
        b.set("src_endpoint.port", port);
    }
    b.set_some(
        "src_endpoint.uid",
        fields.first(&["source.device_id", "device_id"]).as_deref(),
    );
    b.set_some(
        "http_request.user_agent",
        fields.first(&["source.user_agent", "user_agent", "ua"]).as_deref(),
    );
    // An endpoint with a port alone is none.
    if b.has("src_endpoint") && !b.has("src_endpoint.ip") && !b.has("src_endpoint.uid") {
        b.word("src_endpoint.name", "unknown");
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Outcome {
    Success,
    Failure,
    Denied,
    Partial,
    Unknown,
    Missing,
}

fn outcome(fields: Fields<'_>) -> Outcome {
    let Some(text) = fields.first(RESULT) else {
        return Outcome::Missing;
    };
    match seek::trim(&text).to_lowercase().as_str() {
        "success" | "succeeded" | "successful" | "ok" | "true" | "1" | "成功" => Outcome::Success,
        "failure" | "failed" | "fail" | "error" | "false" | "0" | "失败" => Outcome::Failure,
        "denied" | "deny" | "rejected" | "forbidden" | "拒绝" => Outcome::Denied,
        "partial" | "部分成功" => Outcome::Partial,
        _ => Outcome::Unknown,
    }
}

fn status(b: &mut EventBuilder<'_>, action: &str, outcome: Outcome) {
    missing(b, "result", outcome != Outcome::Missing);
    match outcome {
        _ if action == "login_failed" => drop(b.success(false)),
        Outcome::Success => drop(b.success(true)),
        Outcome::Failure => drop(b.success(false)),
        Outcome::Denied => drop(b.success(false).control(2, 2)),
        Outcome::Partial => drop(b.set("status_id", 99).word("status", "partial")),
        Outcome::Unknown => drop(b.set("status_id", 0).label("result.unknown")),
        Outcome::Missing => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SourceSettings;
    use model::{Arena, Coordinate, Millis, RawRecord};

    #[test]
    fn of_a_list_the_right_most_address_that_is_no_proxy_of_ours_counts() {
        let settings = SourceSettings {
            trusted_proxies: vec!["10.0.0.0/8".to_owned()],
            ..SourceSettings::default()
        };
        for (ip, want) in [
            (r#""203.0.113.7, 198.51.100.9, 10.0.0.1""#, "198.51.100.9"),
            (r#"["203.0.113.7", "10.1.1.1:80"]"#, "203.0.113.7"),
            (r#""10.0.0.1, 10.0.0.2""#, "10.0.0.1"),
            (r#""10.0.0.1""#, "10.0.0.1"),
        ] {
            let record = RawRecord {
                coordinate: Coordinate::new("t", 0, 0),
                received_at: Millis(0),
                source: "crm".into(),
                peer: None,
                key: None,
                headers: vec![],
                payload: format!(r#"{{"action": "view", "actor": "a", "ip": {ip}}}"#).into(),
                truncated: None,
            };
            let arena = Arena::new();
            let events = normalize(&mut Input::new(&arena, &record, &settings)).expect("an event");
            assert_eq!(events[0].text("src_endpoint.ip"), Some(want), "{ip}");
        }
    }
}
