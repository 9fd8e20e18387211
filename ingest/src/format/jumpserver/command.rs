//! `session_command_log`: a command as the bastion reconstructed it from the terminal: evidence of what was typed, not of
//! what ran.
//!
//! `risk_level` becomes what the bastion's command filter did: 0 let it pass, 4 passed with a warning, 5 blocked, 6 a reviewer
//! said no, 7 a reviewer said yes, 8 the review was called off.

use std::borrow::Cow;

use super::{account, asset, choice_text, keep, person, session, set_account, set_session, source_address, time};
use crate::builder::EventBuilder;
use crate::class::{self, Class};
use crate::command_line;
use crate::fields::Fields;
use crate::format::Input;
use crate::mask;

pub(super) fn class(fields: Fields<'_>) -> (&'static Class, u8) {
    if session::is_database(fields) {
        let input = fields.text("input").unwrap_or_default();
        let verb = input.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
        return (&class::DATASTORE_ACTIVITY, sql_activity(&verb));
    }
    (&class::PROCESS_ACTIVITY, 1)
}

/// The activity of Datastore Activity for a statement's first word.
fn sql_activity(verb: &str) -> u8 {
    match verb {
        "SELECT" => 1,
        "UPDATE" => 2,
        "INSERT" => 5,
        "CREATE" | "GRANT" => 6,
        "DELETE" | "DROP" | "TRUNCATE" => 7,
        _ => 4,
    }
}

pub(super) fn build<'a>(b: &mut EventBuilder<'a>, input: &Input<'_>, fields: Fields<'a>) {
    time(b, input, fields, &["timestamp", "timestamp_display"]);
    // Written by the server in its zone; the epoch number has none.
    b.set_some(
        "metadata.original_time",
        fields.first(&["timestamp_display", "timestamp"]).as_deref(),
    );

    let line = fields.text("input").unwrap_or_default();
    if is_cut(&line) {
        b.label("cmd.truncated");
    }
    b.commands(command_line::simple_commands(&line));
    if let Some(user) = fields.text("user") {
        person(b, "actor.user", &user);
    }
    if let Some(session) = fields.text("session") {
        set_session(b, &session);
    }
    let target = fields.text("asset").unwrap_or_default();
    let id = fields.text("id").unwrap_or(Cow::Borrowed("unknown"));
    if session::is_database(fields) {
        source_address(b, fields.text("remote_addr").as_deref());
        asset(b, "dst_endpoint", &target);
        b.set("database.type_id", 1)
            .set("database.name", super::split(&target).0.unwrap_or("unknown"));
        b.set("query_info.uid", &*id)
            .set("query_info.query_string", if line.is_empty() { "-" } else { &*line });
        if !b.has("actor") {
            b.word("actor.user.name", "unknown");
        }
    } else {
        b.set("process.uid", &*id).set("process.cmd_line", &*line);
        b.set_some("process.user.name", account(fields));
        b.set("device.type_id", 0);
        asset(b, "device", &target);
        if !b.has("device.hostname") && !b.has("device.ip") {
            b.word("device.name", "unknown");
        }
        if !b.has("actor") {
            b.word("actor.user.name", "unknown");
        }
        keep(b, fields, &["remote_addr"]);
    }
    set_account(b, fields);
    risk(b, choice_text(fields, "risk_level").and_then(|r| r.parse().ok()));
    if let Some(output) = fields.text("output") {
        // The screen may show personal data and secrets; the raw record has it unmasked.
        b.unmapped("output", &*mask::mask(&output));
    }
    keep(
        b,
        fields,
        &[
            "risk_level",
            "cmd_filter_acl",
            "cmd_group",
            "asset_id",
            "user_id",
            "account_id",
            "protocol",
        ],
    );
}

fn risk(b: &mut EventBuilder<'_>, level: Option<i64>) {
    let (action, disposition, denied, severity) = match level {
        Some(0) => (1, 1, false, 1),
        Some(4) => (1, 19, false, 2),
        Some(5) => (2, 2, true, 3),
        Some(6) => (2, 25, true, 3),
        Some(7) => (1, 8, false, 2),
        Some(8) => (2, 99, true, 2),
        _ => return,
    };
    b.control(action, disposition).severity(severity);
    if denied {
        b.success(false);
    }
    if disposition == 99 {
        b.word("disposition", "Review cancelled");
    }
}

/// Whether the database's storage cut the command: of 128 characters and more it keeps the first 62, `...`, and the last 62.
fn is_cut(line: &str) -> bool {
    line.len() >= 127 && line.chars().count() == 127 && line.chars().skip(62).take(3).eq("...".chars())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_command_is_known_by_length_and_dots() {
        assert!(is_cut(&format!("{}...{}", "中".repeat(62), "b".repeat(62))));
        assert!(!is_cut(&format!("{}...{}", "a".repeat(61), "b".repeat(63))));
        assert!(!is_cut(&format!("{}...{}", "a".repeat(62), "b".repeat(61))));
        assert!(!is_cut(""));
    }
}
