//! Events in the Elastic Common Schema (Beats, Elastic Agent, applications' ECS loggers), nested or with dotted keys, also mixed.
//!
//! Where `event.original` (or else `message`) is a line of a known format, that format reads it, with what the envelope told in
//! `unmapped.collector`. Else:
//!
//! | `event.category` | OCSF |
//! |---|---|
//! | `authentication`, `session` | Authentication 3002.1, with type `end` .2 |
//! | `iam` | Account Change 3001 with type `user`, Group Management 3006 with type `group` |
//! | `process` | Process Activity 1007.1, with type `end` .2 |
//! | `file` | File System Activity 1001 by type |
//! | `web` | HTTP Activity 4002 where there is a method |
//! | `database` | Datastore Activity 6005.4 |
//! | `configuration` | Entity Management 3004.3 |
//! | `network` | Network Activity 4001.6 |
//! | another | by the facts: a person's action is API Activity 6003, else a Base Event |
//!
//! `user` is who did it (on 3002 who logs on), `user.target` or `user.effective` on whom; `source` (or `client`) where from,
//! `destination` (or `server`) where, `host` the machine; `event.outcome` the result. All else in `unmapped` under its own name.
//!
//! Native fields: the event's own, nested. Log source: product `event.module` (or the dataset's first word), service the dataset.
//! `docket.system` is `host:<host.name>` for logons on a host (dataset `system.*`), else `service.name`.

use std::borrow::Cow;

use std::collections::BTreeMap;

use model::{Arena, Event, Map, Object, Value};

use crate::builder::EventBuilder;
use crate::class::{self, Class};
use crate::fields::Fields;
use crate::format::facts::{self, Facts};
use crate::format::{Format, Input, Match, Quarantine, collector, draft};
use crate::seek;

/// Elastic Common Schema.
pub static FORMAT: Format = Format {
    name: "ecs",
    aliases: &["elastic"],
    matches,
    normalize,
};

fn matches(input: &Input<'_>) -> Option<Match> {
    if !seek::trim_start(input.text).starts_with('{') {
        return None;
    }
    let object = input.object().ok()?;
    let fields = Fields(object);
    let has = |name: &str| fields.value(name).is_some();
    if !has("@timestamp") {
        return None;
    }
    if has("event.category") || has("event.kind") || has("event.outcome") {
        return Some(Match {
            score: 80,
            reason: "the keys @timestamp and event.category",
        });
    }
    has("ecs.version").then_some(Match {
        score: 72,
        reason: "the keys @timestamp and ecs.version",
    })
}

/// Dotted keys as the objects that they mean; a scalar in the way keeps its place.
fn nested<'a>(arena: &'a Arena, object: Object<'a>) -> Object<'a> {
    if !object.keys().any(|k| seek::has(k, b'.')) {
        return object;
    }
    let mut out = Tree::default();
    for (key, value) in object {
        out.put(key, *value, 0);
    }
    out.build(arena)
}

/// An object in the making, and the objects that are made in it.
#[derive(Default)]
struct Tree<'a> {
    members: Map<'a>,
    /// Those of the members that dotted keys lead into.
    inner: BTreeMap<&'a str, Tree<'a>>,
}

impl<'a> Tree<'a> {
    fn of(object: Object<'a>) -> Tree<'a> {
        Tree {
            members: object.into(),
            inner: BTreeMap::new(),
        }
    }

    /// The object of that name, to put into; `None`: there is something else.
    fn enter(&mut self, name: &'a str) -> Option<&mut Tree<'a>> {
        let there = *self.members.or_insert(name, Object::default());
        let there = there.as_object()?;
        Some(self.inner.entry(name).or_insert_with(|| Tree::of(there)))
    }

    // Bounded by `depth`.
    fn put(&mut self, key: &'a str, value: Value<'a>, depth: usize) {
        match seek::cut(key, b'.') {
            Some((head, rest)) if depth < 16 && !head.is_empty() && !rest.is_empty() => match self.enter(head) {
                Some(inner) => inner.put(rest, value, depth + 1),
                None => self.replace(key, value),
            },
            _ => match (self.members.get(key), value) {
                (Some(Value::Object(_)), Value::Object(more)) => {
                    if let Some(there) = self.enter(key) {
                        for (k, v) in more {
                            there.put(k, *v, depth + 1);
                        }
                    }
                }
                (_, value) => self.replace(key, value),
            },
        }
    }

    fn replace(&mut self, key: &'a str, value: Value<'a>) {
        self.inner.remove(key);
        self.members.insert(key, value);
    }

    fn build(mut self, arena: &'a Arena) -> Object<'a> {
        for (name, inner) in std::mem::take(&mut self.inner) {
            self.members.insert(name, inner.build(arena));
        }
        self.members.build(arena)
    }
}

fn normalize<'a>(input: &mut Input<'a>) -> Result<Vec<Event<'a>>, Quarantine> {
    let object = input.take_object()?;
    let object = nested(input.arena, object);
    let fields = Fields(object);
    if fields.value("@timestamp").is_none() && fields.object("event").is_none() {
        return Err(Quarantine("ecs_no_event"));
    }
    let host = fields.first(&["host.name", "host.hostname"]);
    for name in ["event.original", "message"] {
        let Some(line) = fields.text(name) else { continue };
        if let Some(mut events) = collector::inner(input, &line) {
            collector::describe(&mut events, input, "ecs", host.as_deref(), fields.value("@timestamp"));
            return Ok(events);
        }
    }
    Ok(vec![event(input, object)])
}

fn kind(fields: Fields<'_>, facts: &Facts<'_>) -> (&'static Class, u8) {
    let categories = draft::texts(fields.value("event.category"));
    let types = draft::texts(fields.value("event.type"));
    let is = |name: &str| types.iter().any(|t| t == name);
    let change = |create, update, delete, other| {
        if is("creation") {
            create
        } else if is("deletion") {
            delete
        } else if is("change") {
            update
        } else {
            other
        }
    };
    for category in &categories {
        return match category.as_str() {
            "authentication" | "session" => (&class::AUTHENTICATION, if is("end") { 2 } else { 1 }),
            "iam" if is("group") => {
                let action = facts.action.to_lowercase();
                let left = seek::contains(&action, "remov") || seek::contains(&action, "delet");
                let activity = change(6, if left { 4 } else { 3 }, 5, 99);
                (&class::GROUP_MANAGEMENT, activity)
            }
            "iam" => {
                let action = facts.action.to_lowercase();
                let changed = if seek::contains(&action, "password") { 3 } else { 99 };
                (&class::ACCOUNT_CHANGE, change(1, changed, 6, 99))
            }
            "process" => (&class::PROCESS_ACTIVITY, if is("end") { 2 } else { 1 }),
            "file" => (
                &class::FILE_ACTIVITY,
                change(1, 3, 4, if is("access") { 2 } else { 99 }),
            ),
            "web" if !facts.method.is_empty() => continue,
            "database" => (&class::DATASTORE_ACTIVITY, 4),
            "configuration" => (&class::ENTITY_MANAGEMENT, change(1, 3, 4, 3)),
            // Of a proxy: what was asked says more.
            "network" if !facts.method.is_empty() && !facts.url.is_empty() => continue,
            "network" if !facts.source.is_empty() || !facts.target.is_empty() => {
                (&class::NETWORK_ACTIVITY, if is("denied") { 5 } else { 6 })
            }
            _ => continue,
        };
    }
    facts.class()
}

fn event<'a>(input: &Input<'a>, object: Object<'a>) -> Event<'a> {
    let fields = Fields(object);
    let of = |names: &[&str]| fields.first(names).unwrap_or_default();
    let outcome = of(&["event.outcome"]);
    let (success, _) = facts::outcome(&outcome);
    let denied = draft::texts(fields.value("event.type")).iter().any(|t| t == "denied");
    let arguments = draft::texts(fields.value("process.args"));
    let command = fields
        .text("process.command_line")
        .unwrap_or_else(|| Cow::Owned(arguments.join(" ")));
    let facts = Facts {
        action: of(&["event.action"]),
        category: draft::texts(fields.value("event.category")).join(" ").into(),
        user: of(&["user.name", "user.email", "user.id"]),
        user_uid: of(&["user.id"]),
        target_user: of(&["user.target.name", "user.effective.name", "user.changes.name"]),
        source: of(&["source.ip", "client.ip", "source.address", "client.address"]),
        source_host: of(&["source.domain", "client.domain"]),
        source_port: draft::port(fields, "source.port"),
        target: of(&["destination.ip", "server.ip", "destination.address"]),
        target_host: of(&["destination.domain", "server.domain"]),
        target_port: draft::port(fields, "destination.port"),
        device: of(&["host.name", "host.hostname", "observer.name", "observer.hostname"]),
        success,
        blocked: denied,
        code: of(&["event.code", "error.code"]),
        reason: of(&["event.reason", "error.message"]),
        message: of(&["message"]),
        url: of(&["url.original", "url.full", "url.path"]),
        method: of(&["http.request.method"]),
        status: draft::int32(fields, "http.response.status_code"),
        user_agent: of(&["user_agent.original"]),
        sent: fields
            .int("http.request.body.bytes")
            .or_else(|| fields.int("source.bytes")),
        file: of(&["file.path", "file.name"]),
        process: of(&["process.name"]),
        pid: draft::int32(fields, "process.pid"),
        command,
        service: of(&["service.name", "process.name", "event.dataset"]),
        session: of(&["session.id", "process.session_id", "trace.id"]),
    };
    let (class, activity) = kind(fields, &facts);
    let dataset = of(&["event.dataset", "data_stream.dataset"]);
    let module = fields.text("event.module").unwrap_or_else(|| {
        let first = dataset.split('.').next().unwrap_or_default();
        Cow::Owned(first.to_owned())
    });
    let product = of(&[
        "observer.product",
        "service.name",
        "event.module",
        "event.dataset",
        "agent.type",
    ]);
    let product = if product.is_empty() { "ECS" } else { &*product };
    let mut b = EventBuilder::new(input, class, activity, &of(&["observer.vendor"]), product);
    b.logsource(&module, "", &dataset);
    if activity == 99 && !facts.action.is_empty() {
        b.set("activity_name", &*facts.action);
    }
    let host = of(&["host.name", "host.hostname"]);
    if dataset.starts_with("system.") && !host.is_empty() {
        b.system(&format!("host:{host}"));
    } else {
        b.system(&of(&["service.name"]));
    }
    b.original_uid(&of(&["event.id"]));
    b.set_some("metadata.log_version", fields.text("ecs.version").as_deref());
    b.set_some("metadata.log_level", fields.text("log.level").as_deref());
    b.set_some("metadata.log_source", fields.text("log.file.path").as_deref());
    if let Some(time) = fields.value("@timestamp") {
        b.time_of(input, time);
    }
    match class.uid {
        3001 | 3006 => {
            b.set(
                "user.name",
                if facts.target_user.is_empty() {
                    &*facts.user
                } else {
                    &*facts.target_user
                },
            );
            b.set_some("user.uid", fields.text("user.target.id").as_deref());
            b.set_some(
                "group.name",
                fields
                    .first(&["group.name", "user.target.group.name"])
                    .as_deref()
                    .filter(|_| class.uid == 3006),
            );
        }
        1001 => {
            draft::file(&mut b, "file", &facts.file, 0);
        }
        3004 => {
            b.set_some(
                "entity.name",
                fields
                    .first(&["file.path", "service.name", "event.provider"])
                    .as_deref(),
            );
            b.set_some("entity.type", fields.text("event.dataset").as_deref());
        }
        6005 => {
            b.set(
                "database.name",
                &*of(&["db.name", "service.name", "destination.address"]),
            );
            if let Some(query) = fields.first(&["db.statement", "mysql.slowlog.query", "postgresql.log.query"]) {
                b.set("query_info.query_string", &*crate::mask::mask(&query))
                    .set("query_info.uid", input.record.coordinate.to_string());
            }
        }
        _ => {}
    }
    facts.fill(&mut b, input);
    if matches!(class.uid, 1001 | 1007) && !facts.source.is_empty() {
        b.unmapped("remote_addr", &*facts.source);
    }
    if class.uid == 3002 && dataset.starts_with("system.") {
        b.set("is_remote", !facts.source.is_empty());
    }
    draft::keep_rest(
        &mut b,
        object,
        const { &draft::Names::new(&["@timestamp", "message", "ecs", "source", "user_agent"]) },
    );
    b.native(object);
    b.finish()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn dotted_and_nested_keys_become_one() {
        let mixed = json!({"event.category": ["iam"], "event": {"action": "a"}, "user": {"name": "x"}, "user.target.name": "y", "a": 1, "a.b": 2});
        let arena = Arena::new();
        let mixed = arena.value(&mixed).as_object().expect("an object");
        let want = json!({"event": {"category": ["iam"], "action": "a"}, "user": {"name": "x", "target": {"name": "y"}}, "a": 1, "a.b": 2});
        assert_eq!(Value::Object(nested(&arena, mixed)), want);
    }
}
