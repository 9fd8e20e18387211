//! Tickets, by REST only: what somebody asked for and who allowed it. Entity Management 3004 of an entity of the type `ticket`: .1
//! while it waits, .3 once it was decided or closed; approved `disposition_id` 8, rejected 25. `metadata.event_code` is its kind
//! (`apply_asset`, `command_confirm`, …), `unmapped.ticket_id` its number. Who asked is `unmapped.applicant`; `actor.user` is who
//! brought it to its state: the approver, or else the applicant.

use std::borrow::Cow;

use model::Value;

use super::{choice_text, keep, person, source_address, split, time};
use crate::builder::EventBuilder;
use crate::class::{self, Class};
use crate::fields::{Fields, scalar};
use crate::format::Input;

fn is_open(fields: Fields<'_>) -> bool {
    matches!(
        choice_text(fields, "state").as_deref(),
        Some("pending" | "reopen") | None
    )
}

pub(super) fn class(fields: Fields<'_>) -> (&'static Class, u8) {
    (&class::ENTITY_MANAGEMENT, if is_open(fields) { 1 } else { 3 })
}

pub(super) fn build<'a>(b: &mut EventBuilder<'a>, input: &Input<'_>, fields: Fields<'a>) {
    let times: &[&str] = match is_open(fields) {
        true => &["date_created", "date_updated"],
        false => &["date_updated", "date_created"],
    };
    time(b, input, fields, times);
    let state = choice_text(fields, "state").unwrap_or(Cow::Borrowed("pending"));
    let kind = choice_text(fields, "type").unwrap_or_default();
    b.success(true).metadata("event_code", &*kind);
    match &*state {
        "approved" => drop(b.control(1, 8)),
        "rejected" => drop(b.control(2, 25)),
        _ => {}
    }
    let applicant = applicant(fields);
    let decider = match &*state {
        "approved" | "rejected" => decider(fields),
        _ => None,
    };
    match decider.as_ref().or(applicant.as_ref()) {
        Some(who) => person(b, "actor.user", who),
        None => drop(b.word("actor.user.name", "unknown")),
    }
    if let Some(applicant) = &applicant {
        b.unmapped("applicant", split(applicant).1);
    }
    let number = fields.first(&["serial_num", "id"]);
    b.set_some("entity.uid", number.as_deref());
    b.set("entity.name", fields.text("title").as_deref().unwrap_or("unknown"));
    b.word("entity.type", "ticket");
    b.ticket(number.as_deref().unwrap_or_default());
    source_address(b, fields.text("apply_login_ip").as_deref());
    b.set("comment", format!("{kind}: {state}"));
    b.unmapped("state", &*state);
    for (name, value) in &fields.0 {
        if name.starts_with("apply_") || matches!(name, "process_map" | "comment" | "org_name" | "approval_step") {
            b.unmapped(name, *value);
        }
    }
    keep(b, fields, &["status", "serial_num"]);
}

/// Text, or an object with its `name` (`Name(username)`).
fn name<'a>(value: &Value<'a>) -> Option<Cow<'a, str>> {
    match value {
        Value::Object(of) => Fields(*of).first(&["display", "name", "username"]),
        plain => scalar(plain),
    }
}

fn applicant(fields: Fields<'_>) -> Option<Cow<'_, str>> {
    let places = ["rel_snapshot.applicant", "applicant_display", "applicant"];
    places.iter().find_map(|p| name(fields.value(p)?))
}

/// Who decided its last step.
fn decider(fields: Fields<'_>) -> Option<Cow<'_, str>> {
    let Some(Value::Array(steps)) = fields.value("process_map") else {
        return fields.first(&["processor_display", "processor"]);
    };
    let step = |step: &Value<'_>| matches!(step, Value::Object(s) if Fields(*s).value("processor_display").is_some());
    let last = steps.iter().rev().find(|s| step(s))?.as_object()?;
    name(Fields(last).value("processor_display")?)
}
