//! `host_session_log`: a session through the bastion, told at its opening, at updates and at its close, under one id.
//!
//! The opening (and each update) is an Open at `date_start`, the close a Close at `date_end`, a session that failed a Fail.
//! A target's logon is joined with it by `dst_endpoint.ip`, `unmapped.account` and time.

use super::{asset, choice_text, keep, person, set_account, set_session, source_address, time};
use crate::builder::EventBuilder;
use crate::class::{self, Class};
use crate::fields::Fields;
use crate::format::Input;
use crate::time_text;

#[derive(Clone, Copy, PartialEq)]
enum Protocol {
    Shell,
    Graphical,
    Database { type_id: u8 },
}

fn protocol(fields: Fields<'_>) -> Protocol {
    match choice_text(fields, "protocol")
        .unwrap_or_default()
        .to_ascii_lowercase()
        .as_str()
    {
        "rdp" | "vnc" | "http" | "https" => Protocol::Graphical,
        "mysql" | "mariadb" | "postgresql" | "oracle" | "sqlserver" | "db2" | "dameng" | "clickhouse" => {
            Protocol::Database { type_id: 1 }
        }
        "redis" | "mongodb" => Protocol::Database { type_id: 6 },
        _ => Protocol::Shell,
    }
}

/// Whether a record's protocol is a database's.
pub(super) fn is_database(fields: Fields<'_>) -> bool {
    matches!(protocol(fields), Protocol::Database { .. })
}

pub(super) fn class(fields: Fields<'_>) -> (&'static Class, u8) {
    let finished = fields.bool("is_finished") == Some(true);
    let failed = fields.bool("is_success") == Some(false);
    match protocol(fields) {
        Protocol::Shell => (&class::SSH_ACTIVITY, if failed { 4 } else { 1 + u8::from(finished) }),
        // RDP has no Fail; a failed opening is a Connect Request without success.
        Protocol::Graphical => (&class::RDP_ACTIVITY, if finished { 7 } else { 3 }),
        // Nor has a database a Disconnect.
        Protocol::Database { .. } => (&class::DATASTORE_ACTIVITY, if finished { 99 } else { 3 }),
    }
}

pub(super) fn build<'a>(b: &mut EventBuilder<'a>, input: &Input<'_>, fields: Fields<'a>) {
    let finished = fields.bool("is_finished") == Some(true);
    time(
        b,
        input,
        fields,
        if finished {
            &["date_end", "date_start"]
        } else {
            &["date_start"]
        },
    );
    if !finished {
        // Updates tell the opening again.
        b.written_later();
    }
    b.success(fields.bool("is_success") != Some(false));
    b.set_some("status_detail", choice_text(fields, "error_reason").as_deref());

    if let Some(user) = fields.text("user") {
        person(b, "actor.user", &user);
    }
    b.set_some("actor.user.uid", fields.text("user_id").as_deref());
    if let Some(id) = fields.text("id") {
        set_session(b, &id);
    }
    b.set_some("actor.session.terminal", fields.text("terminal_display").as_deref());
    source_address(b, fields.text("remote_addr").as_deref());
    let target = fields.text("asset").unwrap_or_default();
    asset(b, "dst_endpoint", &target);
    b.set_some("dst_endpoint.uid", fields.text("asset_id").as_deref());
    set_account(b, fields);

    let moment = |name: &str| {
        let text = fields.text(name)?;
        time_text::parse_any(&text, input.record.received_at, &input.settings.time_zone).map(|t| t.time.0)
    };
    let (start, end) = (moment("date_start"), moment("date_end"));
    b.set_some("start_time", start);
    if finished {
        b.set_some("end_time", end);
        if let (Some(start), Some(end)) = (start, end) {
            b.set("duration", end.saturating_sub(start).max(0));
        }
    }
    match protocol(fields) {
        Protocol::Shell => {}
        Protocol::Graphical => {
            if let Some(account) = super::account(fields) {
                b.set("user.name", account);
                b.set_some("user.uid", fields.text("account_id").as_deref());
            }
        }
        Protocol::Database { type_id } => {
            // The class wants one.
            if !b.has("actor") {
                b.set("actor.user.name", "unknown");
            }
            b.set("database.type_id", type_id);
            b.set("database.name", super::split(&target).0.unwrap_or(&target));
            b.set_some("database.uid", fields.text("asset_id").as_deref());
            if !b.has("database.name") && !b.has("database.uid") {
                b.word("database.name", "unknown");
            }
            if finished {
                b.word("activity_name", "Disconnect");
            }
        }
    }
    keep(
        b,
        fields,
        &[
            "protocol",
            "type",
            "login_from",
            "account_id",
            "is_finished",
            "has_replay",
            "has_command",
            "can_replay",
            "command_amount",
            "replay_size",
            "is_locked",
            "error_reason",
            "terminal",
            "comment",
            "duration",
        ],
    );
}
