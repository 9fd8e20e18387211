//! Docket's own acts: records of the reserved topic `docket`, one JSON object each:
//! `{"act": "search", "actor": {"name": …, "uid": …, "role": …, "ip": …, "session": …}, "detail": {…}, "time": <epoch ms>, "id": …}`.
//!
//! | act (its last word decides; `policy.load` is a `load` of a `policy`) | OCSF |
//! |---|---|
//! | `start`, `stop`, `restart` | Application Lifecycle 6002.3, .4, .5 |
//! | `login`, `logout` | Authentication 3002.1, .2 |
//! | `create` `load` `import` `change` `update` `delete` `enable` `disable` `acknowledge` `close` `silence` … of something | Entity Management 3004, `entity.{type,name,uid,version}` |
//! | `gap` | Event Log Activity 1008.99 |
//! | `tick` | Base Event |
//! | `search`, `view`, `export`, `verify` and any other | API Activity 6003.2 or .99, `api.operation` the act |
//!
//! For policy authors: `actor.user.{name,uid,groups.name}` (`user` on 3002), `src_endpoint.ip`, `unmapped.act`, `unmapped.detail.<field>`,
//! `unmapped.ticket_id` (`detail.ticket`). A failed act has `"success": false` and maybe `"reason"` in its detail. Log source: product
//! `docket`, service `audit`; `docket.system` is `docket`.

use crate::builder::EventBuilder;
use crate::class::{self, Class};
use crate::fields::Fields;
use crate::format::{Format, Input, Match, Quarantine};
use model::Event;

/// Docket's own acts. Never detected: only the reserved topic holds them.
pub static FORMAT: Format = Format {
    name: "docket",
    aliases: &[],
    matches: |_| None::<Match>,
    normalize,
};

fn normalize<'a>(input: &mut Input<'a>) -> Result<Vec<Event<'a>>, Quarantine> {
    let object = input.take_object()?;
    let fields = Fields(object);
    let act = fields.text("act").ok_or(Quarantine("docket_no_act"))?;
    let (subject, verb) = act.rsplit_once(['.', '_', ' ']).unwrap_or(("", &act));
    let (class, activity) = class(subject, verb);
    let mut b = EventBuilder::new(input, class, activity, "Docket", "Docket");
    b.logsource("docket", "", "audit").system("docket");
    b.original_uid(&fields.text("id").unwrap_or_default());
    match fields.value("time") {
        Some(time) => drop(b.time_of(input, time)),
        None => drop(b.time(input.record.received_at)),
    }
    if activity == 99 {
        b.set("activity_name", &*act);
    }
    b.unmapped("act", &*act);
    if let Some(detail) = fields.value("detail") {
        b.unmapped("detail", *detail);
    }
    if let Some(id) = fields.first(&["detail.ticket_id", "detail.ticket"]) {
        b.ticket(&id);
    }
    let path = if class.uid == 3002 { "user" } else { "actor.user" };
    let actor = fields.first(&["actor.name", "actor.account", "actor.user", "actor"]);
    // What nobody asked for, Docket did itself.
    b.set_in(path, "name", actor.as_deref().unwrap_or("docket"));
    b.set_some_in(
        path,
        "uid",
        fields.first(&["actor.uid", "actor.employee_id"]).as_deref(),
    );
    if let Some(role) = fields.text("actor.role") {
        b.set_in(path, "groups", serde_json::json!([{"name": role}]));
    }
    b.set_some(
        "actor.session.uid",
        fields.first(&["actor.session", "detail.session"]).as_deref(),
    );
    if class.has_source()
        && let Some(ip) = fields.first(&["actor.ip", "detail.ip"])
    {
        b.ip("src_endpoint.ip", &ip);
    }
    b.success(fields.bool("detail.success") != Some(false));
    b.set_some(
        "status_detail",
        fields.first(&["detail.reason", "detail.error"]).as_deref(),
    );
    b.set_some("message", fields.text("message").as_deref());

    match class.uid {
        3002 => drop(b.word("service.name", "Docket")),
        3004 => {
            b.set("entity.type", if subject.is_empty() { "unknown" } else { subject });
            let name = fields.first(&[
                "detail.name",
                "detail.table",
                "detail.policy",
                "detail.file",
                "detail.id",
            ]);
            b.set("entity.name", name.as_deref().unwrap_or(&act));
            b.set_some(
                "entity.uid",
                fields.first(&["detail.hash", "detail.sha256", "detail.uid"]).as_deref(),
            );
            b.set_some("entity.version", fields.text("detail.version").as_deref());
        }
        6002 => {
            b.word("app.name", "Docket").word("app.vendor_name", "Docket");
            b.set_some("app.version", fields.text("detail.version").as_deref());
        }
        6003 => {
            b.set("api.operation", &*act);
            if !b.has("src_endpoint") {
                b.word("src_endpoint.name", "local");
            }
        }
        1008 => {
            b.set(
                "log_name",
                fields
                    .first(&["detail.topic", "detail.source"])
                    .as_deref()
                    .unwrap_or("unknown"),
            );
        }
        _ => {}
    }
    b.native(object);
    Ok(vec![b.finish()])
}

fn class(subject: &str, verb: &str) -> (&'static Class, u8) {
    match verb {
        "start" | "started" => (&class::APPLICATION_LIFECYCLE, 3),
        "stop" | "stopped" => (&class::APPLICATION_LIFECYCLE, 4),
        "restart" | "restarted" => (&class::APPLICATION_LIFECYCLE, 5),
        "login" | "logon" => (&class::AUTHENTICATION, 1),
        "logout" | "logoff" => (&class::AUTHENTICATION, 2),
        "tick" => (&class::BASE_EVENT, 99),
        "gap" => (&class::EVENT_LOG_ACTIVITY, 99),
        "search" | "view" | "export" | "verify" | "read" | "tail" | "report" | "timeline" => (&class::API_ACTIVITY, 2),
        _ if subject.is_empty() => (&class::API_ACTIVITY, 99),
        "create" | "add" | "grant" => (&class::ENTITY_MANAGEMENT, 1),
        "load" | "import" | "change" | "update" | "reload" | "acknowledge" | "close" | "reopen" | "silence"
        | "comment" | "assign" => (&class::ENTITY_MANAGEMENT, 3),
        "delete" | "remove" | "revoke" => (&class::ENTITY_MANAGEMENT, 4),
        "enable" => (&class::ENTITY_MANAGEMENT, 8),
        "disable" => (&class::ENTITY_MANAGEMENT, 9),
        _ => (&class::API_ACTIVITY, 99),
    }
}
