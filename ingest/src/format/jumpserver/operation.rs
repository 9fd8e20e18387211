//! `operation_log`: somebody changed (or looked at) an object of the bastion.
//!
//! | resource type | becomes |
//! |---|---|
//! | User | 3001: create .1, delete .6; update by what changed: active .2/.5, MFA .10/.11, password .4, else .99 |
//! | User group | 3006: create .6, delete .5; members added .3, removed .4 |
//! | Role binding, Asset permission | 3005: given .1, taken .2; one event for each person |
//! | anything else, and what gives no person | 3004 by action, `entity.{type,name}` |
//!
//! A grant: `user.name` who gets it, `privileges` the accounts (or role), `resources` the assets, `unmapped.permission`
//! its name, `unmapped.{valid_from,valid_to}` its term in epoch milliseconds; a change of the term alone is 3004.3 of a permission and 3001.99 of a
//! user, with the new term. Always: `unmapped.{action,resource_type,resource,diff}`;
//! changes that were too long to be sent have the label `diff.lost`.

use model::{Event, Object, Value};
use serde_json::json;

use super::{choice_text, keep, person, source_address, split, start, time};
use crate::builder::{EventBuilder, address};
use crate::class::{self, Class};
use crate::fields::{Fields, scalar};
use crate::format::{Input, LABEL_CUT};
use crate::seek;
use crate::time_text;

/// Where the server writes its words in Chinese, so does the resource type.
fn resource_kind(resource_type: &str) -> &'static str {
    match resource_type.to_lowercase().replace('_', " ").as_str() {
        "user" | "用户" => "user",
        "user group" | "usergroup" | "用户组" => "group",
        "asset permission" | "assetpermission" | "资产授权" | "资产授权规则" => "permission",
        "role binding"
        | "system role binding"
        | "org role binding"
        | "rolebinding"
        | "角色绑定"
        | "系统角色绑定"
        | "组织角色绑定" => "binding",
        _ => "",
    }
}

/// The events of an operation: one, or for a grant one for each person.
pub(super) fn events<'a>(input: &Input<'a>, object: Object<'a>) -> Vec<Event<'a>> {
    let fields = Fields(object);
    let kind = resource_kind(&choice_text(fields, "resource_type").unwrap_or_default());
    let action = choice_text(fields, "action").unwrap_or_default();
    let mut made = match kind {
        "user" => user(input, fields, &action),
        "group" => group(input, fields, &action),
        "permission" => permission(input, fields, &action),
        "binding" => binding(input, fields, &action),
        _ => Vec::new(),
    };
    if made.is_empty() {
        let mut b = entity(input, fields, &action);
        if kind == "permission" {
            set_term(&mut b, input, fields);
        }
        made.push(b);
    }
    made.into_iter()
        .map(|mut b| {
            b.native(object);
            b.finish()
        })
        .collect()
}

/// What every operation has.
fn begin<'a>(input: &Input<'a>, class: &'static Class, activity: u8, fields: Fields<'a>) -> EventBuilder<'a> {
    let mut b = start(input, class, activity, super::OPERATION, fields);
    time(&mut b, input, fields, &["datetime"]);
    if let Some(user) = fields.text("user") {
        person(&mut b, "actor.user", &user);
    }
    source_address(&mut b, fields.text("remote_addr").as_deref());
    // The record is written after the change.
    b.success(true);
    if activity == 99 {
        b.set(
            "activity_name",
            choice_text(fields, "action").as_deref().unwrap_or("Other"),
        );
    }
    keep(&mut b, fields, &["action", "resource_type", "resource", "diff"]);
    // Beyond 2,048 characters the server puts a sentence in its place.
    if fields.text("diff").is_some() {
        b.label("diff.lost");
    }
    b
}

fn user<'a>(input: &Input<'a>, fields: Fields<'a>, action: &str) -> Vec<EventBuilder<'a>> {
    let Some(resource) = fields.text("resource") else {
        return Vec::new();
    };
    let own = fields.text("user").is_some_and(|u| split(&u).1 == split(&resource).1);
    let password = if own { 3 } else { 4 };
    let activity = match action {
        "create" => 1,
        "delete" => 6,
        "change_password" => password,
        "update" => update_activity(fields, password),
        _ => return Vec::new(),
    };
    let mut b = begin(input, &class::ACCOUNT_CHANGE, activity, fields);
    person(&mut b, "user", &resource);
    // Of a new account it is the server's default, seventy years.
    if action == "update" {
        set_term(&mut b, input, fields);
    }
    vec![b]
}

fn update_activity(fields: Fields<'_>, password: u8) -> u8 {
    for change in changes(fields) {
        let field = change.field.to_lowercase();
        let on = is_on(&change.after);
        match field.as_str() {
            "is active" | "active" | "激活" | "激活中" => return if on { 2 } else { 5 },
            f if seek::contains(f, "mfa") || seek::contains(f, "otp") => return if on { 10 } else { 11 },
            f if seek::contains(f, "password") || seek::contains(f, "密码") => return password,
            _ => {}
        }
    }
    99
}

/// Whether a change's new value switches something on; `MFA` has levels, 0 is off.
fn is_on(value: &str) -> bool {
    !matches!(
        value.to_lowercase().as_str(),
        "" | "false" | "0" | "否" | "禁用" | "disabled" | "空" | "empty" | "none" | "off"
    )
}

fn group<'a>(input: &Input<'a>, fields: Fields<'a>, action: &str) -> Vec<EventBuilder<'a>> {
    let Some(resource) = fields.text("resource") else {
        return Vec::new();
    };
    let with_group = |activity: u8| {
        let mut b = begin(input, &class::GROUP_MANAGEMENT, activity, fields);
        b.set("group.name", &*resource);
        b
    };
    match action {
        "create" => vec![with_group(6)],
        "delete" => vec![with_group(5)],
        "update" => {
            let (added, removed) = people(fields);
            let each = |names: Vec<String>, activity: u8| {
                names.into_iter().map(move |name| (name, activity)).collect::<Vec<_>>()
            };
            let mut made = Vec::new();
            let most = input.repeats_max();
            let is_cut = added.len() + removed.len() > most;
            for (name, activity) in each(added, 3).into_iter().chain(each(removed, 4)).take(most) {
                let mut b = with_group(activity);
                person(&mut b, "user", &name);
                made.push(b);
            }
            cut(&mut made, is_cut);
            made
        }
        _ => Vec::new(),
    }
}

fn permission<'a>(input: &Input<'a>, fields: Fields<'a>, action: &str) -> Vec<EventBuilder<'a>> {
    let (mut given, mut taken) = people(fields);
    match action {
        "create" => taken.clear(),
        "delete" => taken.append(&mut given),
        "update" => {}
        _ => return Vec::new(),
    }
    let name = fields.text("resource").unwrap_or_default();
    let mut privileges = listed(fields, &["accounts", "account", "账号"]);
    if privileges.is_empty() {
        privileges.push(if name.is_empty() {
            "unknown".to_owned()
        } else {
            name.clone().into_owned()
        });
    }
    let assets: Vec<serde_json::Value> = listed(fields, &["assets", "asset", "资产", "nodes", "节点"])
        .iter()
        .map(|a| resource(a))
        .collect();
    let mut made = Vec::new();
    for (activity, name_of_person) in given
        .iter()
        .map(|p| (1, p))
        .chain(taken.iter().map(|p| (2, p)))
        .take(input.repeats_max())
    {
        let mut b = begin(input, &class::USER_ACCESS, activity, fields);
        person(&mut b, "user", name_of_person);
        b.set("privileges", privileges.clone()).set("resources", assets.clone());
        b.unmapped("permission", &*name);
        set_term(&mut b, input, fields);
        made.push(b);
    }
    cut(&mut made, given.len() + taken.len() > input.repeats_max());
    made
}

/// Says of the last event that more people are meant than have one.
fn cut(made: &mut [EventBuilder<'_>], is_cut: bool) {
    if let Some(last) = made.last_mut().filter(|_| is_cut) {
        last.label(LABEL_CUT);
    }
}

/// What the change of one of these fields says now, or of what is empty now said before.
fn listed(fields: Fields<'_>, names: &[&str]) -> Vec<String> {
    let mut all = changes(fields).into_iter();
    let change = all.find(|c| names.contains(&c.field.to_lowercase().as_str()));
    change.map_or_else(Vec::new, |c| {
        let is_empty = c.after.is_empty() || is_empty_word(&c.after);
        list(if is_empty { &c.before } else { &c.after })
    })
}

/// From when and until when something is valid, as far as that changed.
fn set_term(b: &mut EventBuilder<'_>, input: &Input<'_>, fields: Fields<'_>) {
    for (name, words) in [
        ("valid_from", &["date start", "开始日期"][..]),
        ("valid_to", &["date expired", "失效日期", "过期日期"]),
    ] {
        let text = listed(fields, words).into_iter().next();
        let parsed = text.and_then(|t| time_text::parse_any(&t, input.record.received_at, &input.settings.time_zone));
        if let Some(at) = parsed {
            b.unmapped(name, at.time.0);
        }
    }
}

/// A role binding's resource reads `Name(username) & Role`.
fn binding<'a>(input: &Input<'a>, fields: Fields<'a>, action: &str) -> Vec<EventBuilder<'a>> {
    let activity = match action {
        "create" => 1,
        "delete" => 2,
        _ => return Vec::new(),
    };
    let resource = fields.text("resource").unwrap_or_default();
    let Some((who, role)) = resource
        .split_once(" & ")
        .filter(|(who, role)| !who.is_empty() && !role.is_empty())
    else {
        return Vec::new();
    };
    let mut b = begin(input, &class::USER_ACCESS, activity, fields);
    person(&mut b, "user", who);
    b.set("privileges", vec![role.trim()]);
    vec![b]
}

fn entity<'a>(input: &Input<'a>, fields: Fields<'a>, action: &str) -> EventBuilder<'a> {
    let activity = match action {
        "create" => 1,
        "view" => 2,
        "update" => 3,
        "delete" => 4,
        _ => 99,
    };
    let mut b = begin(input, &class::ENTITY_MANAGEMENT, activity, fields);
    b.set_some("entity.type", choice_text(fields, "resource_type").as_deref());
    b.set("entity.name", fields.text("resource").as_deref().unwrap_or("unknown"));
    b
}

struct Change {
    field: String,
    before: String,
    after: String,
}

fn changes(fields: Fields<'_>) -> Vec<Change> {
    let Some(Value::Array(diff)) = fields.value("diff") else {
        return Vec::new();
    };
    let text = |v: Option<&Value>| {
        v.map(|v| {
            scalar(v).map_or_else(
                || if v.is_null() { String::new() } else { v.to_string() },
                |t| t.into_owned(),
            )
        })
    };
    diff.iter()
        .filter_map(Value::as_object)
        .map(|c| Change {
            field: text(c.get("field")).unwrap_or_default(),
            before: text(c.get("before")).unwrap_or_default(),
            after: text(c.get("after")).unwrap_or_default(),
        })
        .collect()
}

/// Who was added and who was removed, of the change of `Users`.
fn people(fields: Fields<'_>) -> (Vec<String>, Vec<String>) {
    let Some(change) = changes(fields)
        .into_iter()
        .find(|c| matches!(c.field.to_lowercase().as_str(), "users" | "user" | "用户"))
    else {
        return Default::default();
    };
    let (before, after) = (list(&change.before), list(&change.after));
    let added = after.iter().filter(|p| !before.contains(p)).cloned().collect();
    let removed = before.iter().filter(|p| !after.contains(p)).cloned().collect();
    (added, removed)
}

/// `a, b`, `['a', 'b']` or `["a"]`; the words for "empty" are an empty list.
fn list(text: &str) -> Vec<String> {
    let text = seek::trim(text);
    if is_empty_word(text) {
        return Vec::new();
    }
    let inner = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    let item = |t: &str| t.trim().trim_matches(['\'', '"']).trim().to_owned();
    inner
        .split([',', '，', ';'])
        .map(item)
        .filter(|t| !t.is_empty())
        .collect()
}

fn is_empty_word(text: &str) -> bool {
    matches!(
        seek::trim(text).to_lowercase().as_str(),
        "" | "空" | "empty" | "none" | "null" | "[]" | "-"
    )
}

fn resource(asset: &str) -> serde_json::Value {
    let (name, at) = split(asset);
    match (name, address(at).0) {
        (Some(name), Some(ip)) => json!({"name": name, "ip": ip.to_string(), "type": "asset"}),
        (Some(name), None) => json!({"name": name, "type": "asset"}),
        (None, _) => json!({"name": at, "type": "asset"}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_in_every_spelling() {
        for (text, want) in [
            (
                "张勇(zhang.yong), 李娜(li.na)",
                &["张勇(zhang.yong)", "李娜(li.na)"][..],
            ),
            ("['root', 'admin']", &["root", "admin"]),
            ("[\"root\"]", &["root"]),
            ("空", &[]),
            ("", &[]),
            ("2096-01-01 00:00:00", &["2096-01-01 00:00:00"]),
        ] {
            assert_eq!(list(text), want, "{text}");
        }
    }
}
