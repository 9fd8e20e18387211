//! Graylog's Extended Log Format 1.1: `version`, `host`, `short_message`, `full_message`, `timestamp`, `level` and keys with `_` before them.
//!
//! Where the message itself is a line of a known format (Docker's gelf driver ships such), that format reads it, with
//! `unmapped.collector.host` the host. Else the class follows from what the keys tell: `_user` (`_username`, `_user_name`, `_actor`) who,
//! `_action` (`_event`, `_operation`) what, `_src_ip` (`_client_ip`, `_remote_addr`, `_source_ip`) where from; `device.hostname` is the
//! host; all keys stand in `unmapped` without the `_`.
//!
//! `level` is syslog's: 0 to 2 is critical (5), 3 high (4), 4 medium (3), 5 to 7 informational (1). Native fields: the record's own, and the
//! `_` keys without it. Log source: product gelf, service `_facility` or `_app`. `docket.system` is `_app`, `_application` or `_service` where
//! there is one.

use model::{Event, Map};

use crate::builder::EventBuilder;
use crate::fields::Fields;
use crate::format::facts::{self, Facts};
use crate::format::{Format, Input, Match, Quarantine, collector};
use crate::seek;

/// Graylog's Extended Log Format.
pub static FORMAT: Format = Format {
    name: "gelf",
    aliases: &["graylog"],
    matches,
    normalize,
};

fn matches(input: &Input<'_>) -> Option<Match> {
    if !seek::trim_start(input.text).starts_with('{') {
        return None;
    }
    let object = input.object().ok()?;
    let has = |name: &str| object.contains_key(name);
    (has("short_message") && has("host")).then_some(Match {
        score: if has("version") { 90 } else { 75 },
        reason: "the keys short_message and host",
    })
}

fn normalize<'a>(input: &mut Input<'a>) -> Result<Vec<Event<'a>>, Quarantine> {
    let object = input.take_object()?;
    let fields = Fields(object);
    let (Some(host), Some(short)) = (fields.text("host"), fields.text("short_message")) else {
        return Err(Quarantine("gelf_no_message"));
    };
    let full = fields.text("full_message");
    for line in [full.as_deref(), Some(&*short)].into_iter().flatten() {
        if let Some(mut events) = collector::inner(input, line) {
            collector::describe(&mut events, input, "gelf", Some(&host), fields.value("timestamp"));
            return Ok(events);
        }
    }
    let of = |names: &[&str]| fields.first(names).unwrap_or_default();
    let result = of(&["_outcome", "_result", "_status", "_success"]);
    let (success, blocked) = facts::outcome(&result);
    let facts = Facts {
        action: of(&["_action", "_event", "_operation", "_event_type"]),
        category: of(&["_category"]),
        user: of(&["_user", "_username", "_user_name", "_actor", "_login"]),
        user_uid: of(&["_user_id", "_uid"]),
        target_user: of(&["_target_user", "_account"]),
        source: of(&["_src_ip", "_source_ip", "_client_ip", "_remote_addr", "_ip", "_client"]),
        target: of(&["_dst_ip", "_destination_ip", "_target"]),
        device: host.clone(),
        success,
        blocked,
        code: of(&["_error_code", "_status_code"]),
        reason: of(&["_reason", "_error"]),
        message: short.clone(),
        url: of(&["_url", "_request", "_uri", "_path"]),
        method: of(&["_method", "_http_method", "_request_method"]),
        user_agent: of(&["_user_agent", "_http_user_agent"]),
        sent: fields.int("_bytes_out").or_else(|| fields.int("_bytes_sent")),
        command: of(&["_command", "_cmd_line"]),
        service: of(&["_service", "_app", "_application"]),
        session: of(&["_session_id", "_session"]),
        ..Facts::default()
    };
    let (class, activity) = facts.class();
    let app = of(&[
        "_app",
        "_application",
        "_application_name",
        "_service",
        "_facility",
        "facility",
    ]);
    let product = if app.is_empty() { "GELF" } else { &*app };
    let mut b = EventBuilder::new(input, class, activity, "", product);
    b.logsource("gelf", "", &app);
    b.system(&of(&["_app", "_application", "_application_name", "_service"]));
    b.set_some("metadata.log_version", fields.text("version").as_deref());
    if let Some(time) = fields.value("timestamp") {
        b.time_of(input, time);
    }
    facts.fill(&mut b, input);
    if let Some(level) = fields.int("level") {
        b.metadata("log_level", level.to_string());
        match level {
            0..=2 => drop(b.severity(5)),
            3 => drop(b.severity(4)),
            4 => drop(b.severity(3)),
            _ => {}
        }
    }
    if let Some(full) = full {
        b.unmapped("full_message", &*crate::mask::mask(&full));
    }
    let mut native = Map::from(object);
    for (name, value) in object {
        let Some(name) = name.strip_prefix('_').filter(|n| !n.is_empty()) else {
            continue;
        };
        b.unmapped(name, value);
        native.or_insert(name, *value);
    }
    for name in ["file", "line", "facility"] {
        b.unmapped_some(name, object.get(name).filter(|v| !v.is_object()));
    }
    b.native(native);
    Ok(vec![b.finish()])
}
