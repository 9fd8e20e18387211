//! The tools of shadow: useradd, usermod, userdel, groupadd, groupmod, groupdel, gpasswd, passwd, chpasswd, chage.

use super::line::{Line, quoted};
use crate::builder::EventBuilder;
use crate::class;
use crate::seek;
use model::Event;

/// The label of lines that tell of a change that another line stands for (`/etc/gshadow` beside `/etc/group`).
const DETAIL: &str = "change.detail";

const CREATE: u8 = 1;
const PASSWORD_CHANGE: u8 = 3;
const PASSWORD_RESET: u8 = 4;
const DELETE: u8 = 6;
const LOCK: u8 = 9;
const UNLOCK: u8 = 12;
const OTHER: u8 = 99;

const MEMBER_ADD: u8 = 3;
const MEMBER_REMOVE: u8 = 4;
const GROUP_DELETE: u8 = 5;
const GROUP_CREATE: u8 = 6;

pub(super) fn event<'a>(line: &Line<'_, 'a>) -> Option<Event<'a>> {
    let text = line.message;
    let b = match line.program {
        "useradd" | "adduser" | "newusers" | "groupadd" => created(line, text),
        "usermod" => modified(line, text),
        "userdel" | "groupdel" => deleted(line, text),
        "groupmod" => {
            let rest = text.strip_prefix("group changed in ")?;
            let name = seek::split_once(rest, "(group ")?.1.split(['/', ',', ')']).next()?;
            let mut b = group(line, OTHER, name);
            b.word("activity_name", "Change")
                .label_if(!rest.starts_with("/etc/group "), DETAIL);
            Some(b)
        }
        "gpasswd" => gpasswd(line, text),
        "passwd" | "chpasswd" | "chage" | "chsh" | "chfn" => password(line, text),
        _ => None,
    }?;
    let mut b = b;
    line.acting_process(&mut b);
    Some(b.finish())
}

/// A label under a condition, so that chains stay chains.
trait LabelIf {
    fn label_if(&mut self, condition: bool, label: &'static str) -> &mut Self;
}

impl LabelIf for EventBuilder<'_> {
    fn label_if(&mut self, condition: bool, label: &'static str) -> &mut Self {
        if condition { self.label(label) } else { self }
    }
}

fn user<'a>(line: &Line<'_, 'a>, activity: u8, name: &str) -> EventBuilder<'a> {
    let mut b = line.event(&class::ACCOUNT_CHANGE, activity);
    b.success(true)
        .set("user.name", if name.is_empty() { "-" } else { name });
    b
}

fn group<'a>(line: &Line<'_, 'a>, activity: u8, name: &str) -> EventBuilder<'a> {
    let mut b = line.event(&class::GROUP_MANAGEMENT, activity);
    b.success(true)
        .set("group.name", if name.is_empty() { "-" } else { name });
    b
}

/// `name=N, UID=1001, GID=1001, home=/home/N, shell=/bin/sh, from=/dev/pts/0`
fn fields(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split(", ").filter_map(|part| seek::cut(part, b'='))
}

fn created<'a>(line: &Line<'_, 'a>, text: &str) -> Option<EventBuilder<'a>> {
    if let Some(rest) = text.strip_prefix("new user: ") {
        let name = fields(rest).find(|(k, _)| *k == "name")?.1;
        let mut b = user(line, CREATE, name);
        for (key, value) in fields(rest) {
            match key {
                "name" => {}
                "UID" | "uid" => {
                    b.set("user.uid", value);
                }
                "from" if value == "none" => {}
                "from" => {
                    b.set("actor.session.terminal", value);
                }
                key => {
                    b.unmapped(key, value);
                }
            }
        }
        return Some(b);
    }
    if let Some(rest) = text.strip_prefix("failed adding user ") {
        let (name, _) = quoted(rest)?;
        let mut b = line.event(&class::ACCOUNT_CHANGE, CREATE);
        b.success(false).set("user.name", name).set("status_detail", text);
        return Some(b);
    }
    if let Some(rest) = text.strip_prefix("add ") {
        return member(line, rest);
    }
    let (rest, detail) = match text.strip_prefix("new group: ") {
        Some(rest) => (rest, false),
        None => (text.strip_prefix("group added to ")?.split_once(": ")?.1, true),
    };
    let mut b = group(line, GROUP_CREATE, fields(rest).find(|(k, _)| *k == "name")?.1);
    b.set_some("group.uid", fields(rest).find(|(k, _)| *k == "GID").map(|(_, v)| v));
    b.label_if(detail, DETAIL);
    Some(b)
}

/// `'U' to group 'G'`, `'U' from shadow group 'G'`
fn member<'a>(line: &Line<'_, 'a>, text: &str) -> Option<EventBuilder<'a>> {
    let (name, rest) = quoted(text)?;
    let (activity, rest) = match rest.strip_prefix(" to ") {
        Some(rest) => (MEMBER_ADD, rest),
        None => (MEMBER_REMOVE, rest.strip_prefix(" from ")?),
    };
    let (detail, rest) = rest.strip_prefix("shadow ").map_or((false, rest), |rest| (true, rest));
    let (of, _) = quoted(rest.strip_prefix("group ")?)?;
    let mut b = group(line, activity, of);
    b.set("user.name", name).label_if(detail, DETAIL);
    Some(b)
}

fn modified<'a>(line: &Line<'_, 'a>, text: &str) -> Option<EventBuilder<'a>> {
    if let Some(rest) = text.strip_prefix("add ").or_else(|| text.strip_prefix("delete ")) {
        return member(line, rest);
    }
    for (prefix, activity) in [("lock user ", LOCK), ("unlock user ", UNLOCK)] {
        if let Some(rest) = text.strip_prefix(prefix) {
            return Some(user(line, activity, quoted(rest)?.0));
        }
    }
    if let Some(rest) = text.strip_prefix("change user name ") {
        let (from, rest) = quoted(rest)?;
        let (to, _) = quoted(rest.strip_prefix(" to ")?)?;
        let mut b = user(line, OTHER, from);
        b.word("activity_name", "Rename").set("user_result.name", to);
        return Some(b);
    }
    let (name, rest) = quoted(text.strip_prefix("change user ")?)?;
    let rest = seek::trim(rest);
    if rest == "password" {
        return Some(user(line, PASSWORD_RESET, name));
    }
    let (attribute, values) = seek::split_once(rest, " from ")?;
    let (from, values) = quoted(values)?;
    let to = values.strip_prefix(" to ").and_then(quoted).map_or("", |(to, _)| to);
    let mut b = user(line, OTHER, name);
    b.set("activity_name", format!("Change {attribute}"));
    b.unmapped("attribute", attribute)
        .unmapped("from", from)
        .unmapped("to", to);
    b.set("user_result.name", name);
    match attribute {
        "UID" => {
            b.set("user.uid", from).set("user_result.uid", to);
        }
        "home" | "shell" | "GID" | "expiration" => {}
        _ => {}
    }
    Some(b)
}

fn deleted<'a>(line: &Line<'_, 'a>, text: &str) -> Option<EventBuilder<'a>> {
    if let Some(rest) = text.strip_prefix("delete user ") {
        return Some(user(line, DELETE, quoted(rest)?.0));
    }
    if let Some(rest) = text.strip_prefix("delete ") {
        return member(line, rest);
    }
    if let Some(rest) = text.strip_prefix("removed ") {
        let (detail, rest) = rest.strip_prefix("shadow ").map_or((false, rest), |rest| (true, rest));
        let mut b = group(line, GROUP_DELETE, quoted(rest.strip_prefix("group ")?)?.0);
        b.label_if(detail, DETAIL);
        return Some(b);
    }
    let (name, rest) = quoted(text.strip_prefix("group ")?)?;
    let rest = rest.strip_prefix(" removed")?;
    let mut b = group(line, GROUP_DELETE, name);
    b.label_if(!rest.is_empty(), DETAIL);
    Some(b)
}

/// `user U added by A to group G`, `user U removed by A from group G`
fn gpasswd<'a>(line: &Line<'_, 'a>, text: &str) -> Option<EventBuilder<'a>> {
    if let Some(rest) = text.strip_prefix("members of group ") {
        let (of, rest) = seek::split_once(rest, " set by ")?;
        let (actor, members) = seek::split_once(rest, " to ")?;
        let mut b = group(line, OTHER, of);
        b.word("activity_name", "Set members")
            .set("actor.user.name", actor)
            .unmapped("members", members);
        return Some(b);
    }
    let rest = text.strip_prefix("user ")?;
    for (verb, to, activity) in [
        (" added by ", " to group ", MEMBER_ADD),
        (" removed by ", " from group ", MEMBER_REMOVE),
    ] {
        if let Some((name, rest)) = rest.split_once(verb) {
            let (actor, of) = rest.split_once(to)?;
            let mut b = group(line, activity, of);
            b.set("user.name", name).set("actor.user.name", actor);
            return Some(b);
        }
    }
    None
}

fn password<'a>(line: &Line<'_, 'a>, text: &str) -> Option<EventBuilder<'a>> {
    if let Some(rest) = text.strip_prefix("password for ") {
        let (name, rest) = quoted(rest)?;
        let (actor, _) = quoted(rest.strip_prefix(" changed by ")?)?;
        // Lock, unlock and delete all look like this too.
        let mut b = user(line, if actor == name { PASSWORD_CHANGE } else { PASSWORD_RESET }, name);
        b.set("actor.user.name", actor);
        return Some(b);
    }
    let rest = text.strip_prefix("changed ")?;
    let (what, name) = seek::split_once(rest, " for ").or_else(|| seek::split_once(rest, " of "))?;
    let mut b = user(line, OTHER, name.trim_matches('\''));
    b.set("activity_name", format!("Change {what}"))
        .unmapped("attribute", what);
    Some(b)
}
