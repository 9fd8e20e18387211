//! GitLab's audit events: `audit_json.log` and the streaming over HTTP.
//!
//! | what | OCSF |
//! |---|---|
//! | `failed_login`, `login`, `authenticat…` | Authentication 3002.1 |
//! | `add`/`remove` of access, `access_level` from-to, member events | User Access 3005.1, .2; where a group or team is what is joined without a level: 3006.3, .4 |
//! | `user_created`, `user_blocked`, `user_destroyed`, … | Account Change 3001 |
//! | `password` changes | 3001.3; two-factor 3001.10, .11 |
//! | project export | Web Resources 6001.7 |
//! | any other | Entity Management 3004: `entity` is what it happened to, `comment` the change from-to |
//!
//! `actor.user.{name,uid}` is the author (a negative id is no person: type_id 4), `src_endpoint.ip`, `metadata.event_code` the
//! event's name or else what changed, `metadata.correlation_uid`; `unmapped` has what is left, a streamed event's `details` too.
//!
//! Native fields: the record's own. Log source: product gitlab, service audit. `docket.system` is `gitlab`.

use std::borrow::Cow;

use model::Event;
use serde_json::json;

use crate::builder::EventBuilder;
use crate::class::{self, Class};
use crate::fields::Fields;
use crate::format::draft::{self, Names};
use crate::format::{Format, Input, Match, Quarantine};
use crate::seek;

/// GitLab audit.
pub static FORMAT: Format = Format {
    name: "gitlab_audit",
    aliases: &["gitlab"],
    matches,
    normalize,
};

fn matches(input: &Input<'_>) -> Option<Match> {
    if !seek::trim_start(input.text).starts_with('{') {
        return None;
    }
    let object = input.object().ok()?;
    let has = |name: &str| object.contains_key(name);
    (has("author_id") && has("entity_type") && (has("target_details") || has("entity_path") || has("target_type")))
        .then_some(Match {
            score: 92,
            reason: "the keys author_id, entity_type and target_details",
        })
}

/// What an event tells, whether at its top or in `details`.
struct Act<'a> {
    fields: Fields<'a>,
}

impl<'a> Act<'a> {
    fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        self.fields
            .text(name)
            .or_else(|| self.fields.object("details")?.text(name))
    }

    /// The event's name, or else the field that says what was done.
    fn name(&self) -> String {
        if let Some(name) = self.text("event_name").or_else(|| self.text("event_type")) {
            return name.into_owned();
        }
        if let Some(what) = self.text("change") {
            return format!("{}_changed", what.replace(' ', "_"));
        }
        for verb in ["failed_login", "add", "remove", "with"] {
            if let Some(what) = self.text(verb) {
                return match verb {
                    "failed_login" => verb.to_owned(),
                    "with" => "authenticated".to_owned(),
                    _ => format!("{verb}_{}", what.replace(' ', "_")),
                };
            }
        }
        self.text("custom_message")
            .map_or_else(|| "unknown".to_owned(), Cow::into_owned)
    }

    fn kind(&self, name: &str) -> (&'static Class, u8) {
        let has = |part: &str| seek::contains(name, part);
        let account = |activity| (&class::ACCOUNT_CHANGE, activity);
        let access = has("user_access") || has("access_level") || has("member");
        if has("failed_login")
            || has("login_failed")
            || has("authenticat") && !has("two_factor")
            || has("login_success")
        {
            (&class::AUTHENTICATION, 1)
        } else if has("two_factor") || has("two-factor") || has("otp") {
            account(if has("disable") || has("delete") || has("remove") {
                11
            } else {
                10
            })
        } else if has("password") {
            account(if has("reset") { 4 } else { 3 })
        } else if has("user_created") || name == "add_user" {
            account(1)
        } else if has("user_blocked") || has("user_deactivate") || has("user_ban") || has("block_user") {
            account(5)
        } else if has("user_unblocked") || has("user_activate") || has("unblock_user") {
            account(2)
        } else if has("user_destroyed") || has("user_deleted") || name == "remove_user" {
            account(6)
        } else if access {
            let removed = has("remove") || has("destroy") || has("delete") || has("expire");
            if self.text("access_level").is_none()
                && self.text("as").is_none()
                && self.text("to").is_none()
                && has("member")
            {
                (&class::GROUP_MANAGEMENT, if removed { 4 } else { 3 })
            } else {
                (&class::USER_ACCESS, if removed { 2 } else { 1 })
            }
        } else if has("export")
            || self
                .text("custom_message")
                .is_some_and(|m| m.to_lowercase().contains("export"))
        {
            (&class::WEB_RESOURCES_ACTIVITY, 7)
        } else {
            (&class::ENTITY_MANAGEMENT, verb(name))
        }
    }
}

fn verb(name: &str) -> u8 {
    let has = |parts: &[&str]| parts.iter().any(|p| seek::contains(name, p));
    if has(&["changed", "update", "edit"]) {
        3
    } else if name.starts_with("add_") || has(&["create", "added"]) {
        1
    } else if name.starts_with("remove_") || has(&["delete", "destroy", "removed", "revoke"]) {
        4
    } else if has(&["transfer", "move"]) {
        5
    } else if has(&["enable"]) {
        8
    } else if has(&["disable", "archive"]) {
        9
    } else if has(&["access", "download", "clone"]) {
        2
    } else {
        99
    }
}

static READ: Names = Names::new(&[
    "time",
    "created_at",
    "author_id",
    "author_name",
    "ip_address",
    "correlation_id",
    "id",
    "severity",
]);

fn normalize<'a>(input: &mut Input<'a>) -> Result<Vec<Event<'a>>, Quarantine> {
    let object = input.take_object()?;
    let fields = Fields(object);
    if fields.first(&["author_id", "entity_type", "author_name"]).is_none() {
        return Err(Quarantine("gitlab_no_author"));
    }
    let act = Act { fields };
    let name = act.name();
    let (class, activity) = act.kind(&name);
    let mut b = EventBuilder::new(input, class, activity, "GitLab", "GitLab");
    b.logsource("gitlab", "", "audit").system("gitlab");
    if activity == 99 {
        b.set("activity_name", &*name);
    }
    b.original_uid(&fields.text("id").unwrap_or_default());
    b.metadata("event_code", &*name);
    b.set_some("metadata.log_level", fields.text("severity").as_deref());
    b.set_some("metadata.correlation_uid", fields.text("correlation_id").as_deref());
    let times = ["time", "created_at"];
    draft::utc(&mut b, input, times.iter().find_map(|n| fields.value(n)));
    draft::source(&mut b, act.text("ip_address"));
    b.success(!seek::contains(&name, "failed"));
    b.set_some("status_detail", act.text("failed_login").as_deref());
    b.set_some("message", act.text("custom_message").as_deref());

    let target = act.text("target_details");
    let on = |b: &mut EventBuilder<'_>| {
        b.set_some("user.name", target.as_deref());
        if act.text("target_type").is_some_and(|t| t == "User") {
            b.set_some("user.uid", act.text("target_id").as_deref());
        }
    };
    match class.uid {
        3002 => {
            // A failure has no author but the name that was typed.
            if seek::contains(&name, "failed") {
                let typed = act.text("author_name").or(act.text("target_details"));
                b.set_some("user.name", typed.as_deref());
            } else {
                author(&mut b, fields, &act, "user");
            }
            b.word("service.name", "GitLab").set("is_remote", true);
            b.set_some("unmapped.auth_method", act.text("with").as_deref());
        }
        3001 => {
            author(&mut b, fields, &act, "actor.user");
            on(&mut b);
        }
        3005 => {
            author(&mut b, fields, &act, "actor.user");
            on(&mut b);
            let levels: Vec<String> = act
                .text("to")
                .or_else(|| act.text("as"))
                .or_else(|| act.text("access_level"))
                .or_else(|| act.text("from"))
                .map(Cow::into_owned)
                .into_iter()
                .collect();
            b.set("privileges", levels);
            if let Some(path) = act.text("entity_path") {
                b.set("resource.name", &*path);
                b.set_some("resource.type", act.text("entity_type").as_deref());
            }
        }
        3006 => {
            author(&mut b, fields, &act, "actor.user");
            on(&mut b);
            b.set_some("group.name", act.text("entity_path").as_deref());
            b.set_some("group.uid", act.text("entity_id").as_deref());
        }
        6001 => {
            author(&mut b, fields, &act, "actor.user");
            let path = act.text("entity_path").or_else(|| act.text("target_details"));
            let kind = act.text("entity_type");
            b.set(
                "web_resources",
                json!([{"name": path.as_deref().unwrap_or("unknown"), "type": kind.as_deref().unwrap_or("unknown")}]),
            );
        }
        _ => {
            author(&mut b, fields, &act, "actor.user");
            let path = target.or_else(|| act.text("entity_path"));
            b.set_some("entity.name", path.as_deref());
            b.set_some(
                "entity.uid",
                act.text("target_id").or_else(|| act.text("entity_id")).as_deref(),
            );
            b.set_some(
                "entity.type",
                act.text("target_type").or_else(|| act.text("entity_type")).as_deref(),
            );
            if let (Some(change), from, Some(to)) = (act.text("change"), act.text("from"), act.text("to")) {
                b.set("comment", format!("{change}: {} → {to}", from.unwrap_or_default()));
            }
        }
    }
    draft::keep_rest(&mut b, object, &READ);
    draft::complete(&mut b);
    b.native(object);
    Ok(vec![b.finish()])
}

fn author<'a>(b: &mut EventBuilder<'a>, fields: Fields<'a>, act: &Act<'_>, path: &'static str) {
    b.set_some_in(path, "name", act.text("author_name").as_deref());
    b.set_some_in(path, "uid", fields.text("author_id").as_deref());
    let kind = match fields.int("author_id") {
        Some(id) if id > 0 => 1,
        Some(_) => 4,
        None => return,
    };
    b.set_in(path, "type_id", kind);
}
