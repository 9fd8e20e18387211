//! Activity log, by REST only: what happened around a session (`asset_connect_success`, `user_join_session`, `replay_…`), and the
//! list over all kinds (`/audits/activities/`: `timestamp`, `r_type`, `content`, `detail_url`), whose text is in the server's
//! language and is kept as it is.

use model::Object;

use super::{choice_text, keep, person, set_account, set_session, source_address, time};
use crate::builder::EventBuilder;
use crate::class::{self, Class};
use crate::fields::Fields;
use crate::format::Input;

/// Where the record says what happened.
const EVENT: &[&str] = &["event", "event_type"];

const SESSION_EVENTS: &[&str] = &[
    "asset_connect_success",
    "asset_connect_finished",
    "create_share_link",
    "user_join_session",
    "user_leave_session",
    "admin_join_monitor",
    "admin_exit_monitor",
];

/// Whether a record is one of a session's.
pub(super) fn is_event(object: Object<'_>) -> bool {
    let fields = Fields(object);
    let known = |e: &str| SESSION_EVENTS.contains(&e) || e.starts_with("replay_");
    EVENT
        .iter()
        .find_map(|n| choice_text(fields, n))
        .is_some_and(|e| known(&e))
}

fn event(fields: Fields<'_>) -> String {
    let event = EVENT.iter().find_map(|n| choice_text(fields, n));
    event.unwrap_or_default().into_owned()
}

pub(super) fn event_class(fields: Fields<'_>) -> (&'static Class, u8) {
    let failed = fields.text("reason").is_some_and(|r| r == "connect_failed");
    let activity = match &*event(fields) {
        "asset_connect_success" => 1,
        "asset_connect_finished" if failed => 4,
        "asset_connect_finished" => 2,
        _ => 99,
    };
    (&class::SSH_ACTIVITY, activity)
}

/// The session's protocol is told by its own record only: all are sessions of a shell here.
pub(super) fn build_event<'a>(b: &mut EventBuilder<'a>, input: &Input<'_>, fields: Fields<'a>) {
    time(b, input, fields, &["datetime", "date_created", "timestamp"]);
    let event = event(fields);
    if b.activity() == 99 {
        b.set("activity_name", &*event);
    }
    b.metadata("event_code", &*event);
    b.success(b.activity() != 4 && !event.ends_with("_failure") && !event.ends_with("_failed"));
    b.set_some("status_detail", fields.text("reason").as_deref());
    match fields.text("user") {
        Some(user) => person(b, "actor.user", &user),
        None => drop(b.word("actor.user.name", "unknown")),
    }
    if let Some(session) = fields.first(&["session", "session_id", "resource_id"]) {
        set_session(b, &session);
    }
    source_address(b, fields.text("remote_addr").as_deref());
    if let Some(target) = fields.text("asset") {
        super::asset(b, "dst_endpoint", &target);
    }
    set_account(b, fields);
    b.set_some("message", fields.first(&["detail", "content"]).as_deref());
    keep(b, fields, &["event", "reason", "detail_url"]);
}

pub(super) fn activity_class(_: Fields<'_>) -> (&'static Class, u8) {
    (&class::BASE_EVENT, 99)
}

pub(super) fn build_activity<'a>(b: &mut EventBuilder<'a>, input: &Input<'_>, fields: Fields<'a>) {
    time(b, input, fields, &["timestamp", "datetime"]);
    b.set("message", fields.text("content").as_deref().unwrap_or("unknown"));
    keep(b, fields, &["r_type", "detail_url", "resource_id"]);
}
