//! Records that no syslog handler wrapped: read by REST or out of Elasticsearch's command storage, a bare JSON object each. Which
//! category one is, its keys tell.
//!
//! Some kinds come in no other way: `job_log` (what somebody let the bastion run on many hosts), `user_session` (a session of the
//! portal, with the logon that began it), the activity log and tickets.

use model::Object;

use super::{choice, choice_text, is_true, keep, person, source_address, time};
use crate::builder::EventBuilder;
use crate::class::{self, Class};
use crate::fields::Fields;
use crate::format::Input;
use crate::mask::mask;
use crate::time_text;

/// Categories, and the keys that only their records have together.
const KEYS: &[(&str, &[&str])] = &[
    (
        "session_command_log",
        &["input", "session", "risk_level", "asset", "account"],
    ),
    ("host_session_log", &["login_from", "is_finished", "protocol", "asset"]),
    ("ftp_log", &["operate", "filename", "asset"]),
    ("operation_log", &["resource_type", "resource", "action", "user"]),
    ("password_change_log", &["change_by", "user", "datetime"]),
    ("login_log", &["username", "backend", "status", "datetime"]),
    ("job_log", &["material", "job_type"]),
    ("user_session", &["date_expired", "backend", "user", "ip"]),
    ("ticket", &["applicant", "state", "type"]),
    ("activity_log", &["r_type", "content", "timestamp"]),
];

/// The category of a bare record.
pub(super) fn category(object: Object<'_>) -> Option<&'static str> {
    let has = |keys: &[&str]| keys.iter().all(|k| object.contains_key(k));
    if super::activity::is_event(object) {
        return Some("activity_event");
    }
    KEYS.iter().find(|(_, keys)| has(keys)).map(|(name, _)| *name)
}

pub(super) fn job_class(_: Fields<'_>) -> (&'static Class, u8) {
    (&class::SCRIPT_ACTIVITY, 1)
}

/// `material` is `module:arguments`, or `organization:creator:playbook`.
pub(super) fn job<'a>(b: &mut EventBuilder<'a>, input: &Input<'a>, fields: Fields<'a>) {
    time(
        b,
        input,
        fields,
        &["date_finished", "date_start", "date_created", "datetime"],
    );
    for (name, to) in [("date_start", "start_time"), ("date_finished", "end_time")] {
        let zone = &input.settings.time_zone;
        let at = fields
            .text(name)
            .and_then(|t| time_text::parse_any(&t, input.record.received_at, zone));
        b.set_some(to, at.map(|t| t.time.0));
    }
    match fields.text("creator_name") {
        Some(creator) => person(b, "actor.user", &creator),
        None => drop(b.word("actor.user.name", "unknown")),
    }
    let material = fields.text("material");
    let material = material.as_deref().filter(|m| !m.is_empty()).unwrap_or("unknown");
    b.set("script.script_content.value", &*mask(material));
    b.set_some("script.uid", fields.text("task_id").as_deref());
    b.set("script.type_id", 99).set(
        "script.type",
        choice_text(fields, "job_type").as_deref().unwrap_or("job"),
    );
    // On which hosts it ran is in the job's own result, and not told here.
    b.word("device.name", "unknown").set("device.type_id", 0);
    b.set_some(
        "metadata.correlation_uid",
        fields.first(&["task_id", "task"]).as_deref(),
    );
    if choice(fields, "is_finished").is_none_or(is_true)
        && let Some(success) = choice(fields, "is_success")
    {
        b.success(is_true(success));
    }
    keep(
        b,
        fields,
        &["job_type", "time_cost", "is_finished", "date_created", "org_id"],
    );
}

pub(super) fn session_class(_: Fields<'_>) -> (&'static Class, u8) {
    (&class::AUTHENTICATION, 1)
}

/// The list has sessions that were opened: each a logon that went well.
pub(super) fn session<'a>(b: &mut EventBuilder<'a>, input: &Input<'a>, fields: Fields<'a>) {
    time(b, input, fields, &["date_created"]);
    b.success(true);
    match fields.text("user") {
        Some(user) => person(b, "user", &user),
        None => drop(b.word("user.name", "unknown")),
    }
    b.set("is_remote", true).word("service.name", "JumpServer");
    source_address(b, fields.text("ip").as_deref());
    b.set_some("src_endpoint.location.city", fields.text("city").as_deref());
    b.set_some("http_request.user_agent", fields.text("user_agent").as_deref());
    b.set_some("session.uid", fields.text("id").as_deref());
    b.set_some("unmapped.auth_backend", fields.text("backend").as_deref());
    b.set_some("unmapped.login_type", choice_text(fields, "type").as_deref());
    keep(b, fields, &["is_active", "date_expired", "backend_display"]);
}
