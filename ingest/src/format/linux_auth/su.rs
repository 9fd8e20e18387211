//! su, login, cron and systemd-logind.

use super::DETAIL;
use super::line::{Line, quoted};
use crate::builder::EventBuilder;
use crate::class;
use crate::command_line::simple_commands;
use crate::seek;
use model::Event;

pub(super) fn event<'a>(line: &Line<'_, 'a>) -> Option<Event<'a>> {
    match line.program {
        "su" => su(line),
        "login" => login(line),
        "systemd-logind" => logind(line),
        _ => cron(line),
    }
    .map(EventBuilder::finish)
}

fn su<'a>(line: &Line<'_, 'a>) -> Option<EventBuilder<'a>> {
    let text = line.message;
    // `FAILED SU (to root) zhang on pts/1`, `(to root) zhang on pts/1`
    let (success, rest) = text
        .strip_prefix("FAILED SU ")
        .map_or((true, text), |rest| (false, rest));
    if let Some(rest) = rest.strip_prefix("(to ") {
        let (user, rest) = seek::split_once(rest, ") ")?;
        let (actor, terminal) = rest.rsplit_once(" on ").unwrap_or((rest, ""));
        return Some(switch(line, success, user, actor, terminal));
    }
    for (prefix, success) in [("Successful su for ", true), ("FAILED su for ", false)] {
        if let Some(rest) = text.strip_prefix(prefix) {
            let (user, actor) = seek::split_once(rest, " by ")?;
            return Some(switch(line, success, user, actor, ""));
        }
    }
    // `+ /dev/pts/1 zhang:root`, beside `Successful su …`
    let success = text.starts_with("+ ");
    let rest = text.strip_prefix("+ ").or_else(|| text.strip_prefix("- "))?;
    let (terminal, rest) = seek::cut(rest, b' ')?;
    let (actor, user) = seek::cut(rest, b':')?;
    let mut b = switch(line, success, user, actor, terminal);
    b.label(DETAIL);
    Some(b)
}

fn switch<'a>(line: &Line<'_, 'a>, success: bool, user: &str, actor: &str, terminal: &str) -> EventBuilder<'a> {
    let mut b = line.authentication(7, success, user);
    b.set("account_switch_type_id", 1)
        .word("account_switch_type", "Substitute User")
        .set("is_remote", false);
    b.set("actor.user.name", actor.trim());
    if terminal != "none" {
        b.set("actor.session.terminal", terminal.trim());
    }
    b
}

fn login<'a>(line: &Line<'_, 'a>) -> Option<EventBuilder<'a>> {
    let text = line.message;
    let (success, user, terminal) = if let Some(rest) = text.strip_prefix("FAILED LOGIN ") {
        let (place, rest) = seek::split_once(rest, " FOR ")?;
        let user = quoted(rest).map_or_else(|| rest.split(',').next().unwrap_or(""), |(user, _)| user);
        (
            false,
            user,
            place.rsplit([' ', '\'']).find(|w| !w.is_empty()).unwrap_or(""),
        )
    } else if let Some(rest) = text.strip_prefix("LOGIN ON ") {
        let (terminal, user) = seek::split_once(rest, " BY ")?;
        (true, user, terminal)
    } else if let Some(rest) = text.strip_prefix("ROOT LOGIN") {
        (
            true,
            "root",
            rest.rsplit([' ', '\'']).find(|w| !w.is_empty()).unwrap_or(""),
        )
    } else {
        return None;
    };
    let mut b = line.authentication(1, success, user);
    b.set("logon_type_id", 2)
        .word("logon_type", "Interactive")
        .set("is_remote", false);
    b.set("actor.session.terminal", terminal);
    if !success && let Some((_, reason)) = text.rsplit_once(", ") {
        b.set("status_detail", reason);
    }
    // The session that PAM opens is the one that counts.
    if success {
        b.label(DETAIL);
    }
    Some(b)
}

fn logind<'a>(line: &Line<'_, 'a>) -> Option<EventBuilder<'a>> {
    let rest = line.message.strip_prefix("New session ")?;
    let (session, user) = seek::split_once(rest, " of user ")?;
    // `c1` of `'zhang'` in newer versions.
    let user = user.trim_end_matches('.').trim_matches('\'');
    let mut b = line.detail(1, true, user);
    b.set("session.uid", session.trim_matches('\''));
    Some(b)
}

/// `(root) CMD (command)`, `(root) REPLACE (root)`
fn cron<'a>(line: &Line<'_, 'a>) -> Option<EventBuilder<'a>> {
    let (user, rest) = line.message.strip_prefix('(')?.split_once(") ")?;
    let (what, inner) = seek::split_once(rest, " (")?;
    let inner = inner.strip_suffix(')').unwrap_or(inner).trim();
    // The class wants the device.
    line.host()?;
    let (activity, name) = match what {
        "CMD" => (6, inner.to_owned()),
        "REPLACE" => (2, format!("crontab of {inner}")),
        "DELETE" => (3, format!("crontab of {inner}")),
        _ => return None,
    };
    let mut b = line.event(&class::SCHEDULED_JOB_ACTIVITY, activity);
    b.success(true)
        .set("job.name", if name.is_empty() { "-" } else { &name });
    if what == "CMD" {
        b.set("job.cmd_line", inner)
            .set("job.user.name", user)
            .set("actor.user.name", user)
            .commands(simple_commands(inner));
    } else {
        b.set("actor.user.name", user).set("job.user.name", inner);
    }
    Some(b)
}
