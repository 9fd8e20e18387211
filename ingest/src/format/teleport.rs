//! Teleport's audit events.
//!
//! | event | OCSF |
//! |---|---|
//! | `user.login`, `auth`, `bot.join`, `instance.join` | Authentication 3002.1: `user`, `is_mfa` where a device was used; `cert.create` 3002.3 |
//! | `session.start`, `.end` | SSH 4007.1, .2; `.join`, `.leave`, `.connect`, `resize` 99; `session.data`, `port`, `subsystem`, `x11-forward` 4007.6 |
//! | `session.command`, `exec` | Process Activity 1007.1 |
//! | `session.disk` | File System Activity 1001.14 |
//! | `session.network` | Network Activity 4001 |
//! | `scp`, `sftp`, `desktop.directory.*` | File Hosting 6006 |
//! | `db.session.*`, `dynamodb.request` and the like | Datastore 6005: start 3, end 99, a query by its first word |
//! | `windows.desktop.session.*`, `desktop.*` | RDP 4005 |
//! | `session.recording.access` | Web Resources 6001.2: `web_resources` is the recording (LA-10) |
//! | `app.session.*` | Web Resources 6001: the application |
//! | `kube.request` | API Activity 6003 by its verb |
//! | `user.*`, `mfa.*`, `lock.*`, `reset_password_token.create`, `…_token.create`, `recovery_code.*` | Account Change 3001 |
//! | `access_request.*`, `role.*`, connectors and other objects ending in `.create(d)`, `.update(d)`, `.delete(d)` | Entity Management 3004 |
//! | any other | API Activity 6003.99: `api.operation` the event |
//!
//! `actor.user.name` is the person (`user`; on 3002 `user.name`), `unmapped.account` the OS or database account (also
//! `process.user.name` on 1007), `actor.session.uid` and `metadata.correlation_uid` the session, `src_endpoint.ip` from
//! `addr.remote` (`unmapped.remote_addr` on 1007 and 1001), the target in `dst_endpoint.{hostname,ip,uid}` (`device` on 1007 and 1001),
//! `metadata.event_code` the code, `metadata.tenant_uid` the cluster. `unmapped` keeps all else, among it
//! `session_recording` (`off`: nobody watches) and `initial_command`.
//!
//! A session told by enhanced recording tells the same command as `exec` would; both are kept.
//!
//! Native fields: the event's own. Log source: product teleport, service audit. `docket.system` is `teleport`.

use std::borrow::Cow;

use model::{Event, Map};
use serde_json::json;

use crate::builder::{EventBuilder, address};
use crate::command_line;
use crate::fields::{Fields, scalar};
use crate::format::draft::{self, Names};
use crate::format::{Format, Input, Match, Quarantine};
use crate::mask::mask;
use crate::seek;

mod kind;

use kind::{Kind, kind};

/// Teleport.
pub static FORMAT: Format = Format {
    name: "teleport",
    aliases: &[],
    matches,
    normalize,
};

fn matches(input: &Input<'_>) -> Option<Match> {
    if !seek::trim_start(input.text).starts_with('{') {
        return None;
    }
    let object = input.object().ok()?;
    let code = object.get("code")?.as_str()?;
    let event = object.get("event")?.as_str()?;
    let is_code = code.starts_with('T')
        && (5..=8).contains(&code.len())
        && code.ends_with(['I', 'W', 'E'])
        && code.bytes().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
    let timed = object.contains_key("time") || object.contains_key("uid");
    (is_code && !event.is_empty() && timed).then_some(Match {
        score: 95,
        reason: "the key event and a code like T1000I",
    })
}

/// Fields that have a home in every class.
static READ: Names = Names::new(&[
    "event",
    "code",
    "time",
    "uid",
    "user",
    "cluster_name",
    "sid",
    "addr.remote",
    "error",
    "success",
]);

fn normalize<'a>(input: &mut Input<'a>) -> Result<Vec<Event<'a>>, Quarantine> {
    let object = input.take_object()?;
    let fields = Fields(object);
    let Some(name) = fields.text("event") else {
        return Err(Quarantine("teleport_no_event"));
    };
    let (kind, class, activity) = kind(fields, &name);
    let mut b = EventBuilder::new(input, class, activity, "Teleport", "Teleport");
    b.logsource("teleport", "", "audit").system("teleport");
    if activity == 99 {
        b.set("activity_name", &*name);
    }
    b.original_uid(&fields.text("uid").unwrap_or_default());
    b.set_some("metadata.event_code", fields.text("code").as_deref());
    b.set_some("metadata.tenant_uid", fields.text("cluster_name").as_deref());
    b.set_some("metadata.sequence", draft::int32(fields, "ei"));
    draft::utc(&mut b, input, fields.value("time"));
    b.unmapped("event", &*name);
    outcome(&mut b, fields);
    if let Some(session) = fields.text("sid") {
        b.metadata("correlation_uid", &*session)
            .set("actor.session.uid", &*session);
    }
    let on_host = matches!(class.uid, 1001 | 1007);
    if on_host {
        b.set_some("unmapped.remote_addr", remote(fields).as_deref());
        host(&mut b, fields, "device");
    } else {
        if let Some(remote) = remote(fields) {
            b.ip("src_endpoint.ip", &remote);
        }
        // Accounts, entities and groups have no place for it; it is among the source's own fields.
        if kind != Kind::Network && !matches!(class.uid, 3001 | 3004..=3006) {
            host(&mut b, fields, "dst_endpoint");
        }
    }
    let at = |name: &str| fields.text(name).and_then(|t| model::Millis::parse(&t).ok());
    if let (Some(start), Some(stop)) = (at("session_start"), at("session_stop")) {
        b.set("start_time", start.0).set("end_time", stop.0);
        b.set("duration", stop - start);
    }
    if class.uid != 3002 {
        b.set_some("actor.user.name", fields.text("user").as_deref());
    }
    let login = fields.first(&["login", "db_user", "windows_user"]);
    b.set_some("unmapped.account", login.as_deref());
    match kind {
        Kind::Logon => logon(&mut b, fields),
        Kind::Session => {
            // Where the port is forwarded to.
            if name == "port"
                && let Some(to) = fields.text("addr")
            {
                match to.rsplit_once(':') {
                    Some((host, _)) if address(&to).0.is_none() => drop(b.set("dst_endpoint.hostname", host)),
                    _ => drop(b.ip("dst_endpoint.ip", &to)),
                }
            }
        }
        Kind::Command => command(&mut b, input, fields, login.as_deref()),
        Kind::Disk => {
            draft::file(&mut b, "file", &fields.text("path").unwrap_or_default(), 0);
        }
        Kind::Network => network(&mut b, fields),
        Kind::Transfer => files(&mut b, fields),
        Kind::Database => database(&mut b, input, fields),
        Kind::Desktop => {
            b.set_some("user.name", fields.text("windows_user").as_deref());
        }
        Kind::Recording => {
            let uid = fields.text("sid");
            b.set(
                "web_resources",
                json!([{"type": "session_recording", "uid": uid.as_deref().unwrap_or("unknown")}]),
            );
        }
        Kind::App => {
            let app = fields.first(&["app_name", "app_public_addr", "public_addr", "app_uri"]);
            b.set(
                "web_resources",
                json!([{"type": "application", "name": app.as_deref().unwrap_or("unknown")}]),
            );
        }
        Kind::Kube => kube(&mut b, fields),
        Kind::Account => {
            let user = fields.first(&["target.user", "name", "user"]);
            b.set_some("user.name", user.as_deref());
        }
        Kind::Entity => {
            b.set("entity.type", name.rsplit_once('.').map_or(&*name, |(kind, _)| kind));
            b.set_some("entity.uid", fields.text("id").as_deref());
            b.set_some("entity.name", fields.first(&["name", "id"]).as_deref());
            b.set_some("comment", fields.text("reason").as_deref());
        }
        Kind::Other => {
            b.set("api.operation", &*name).word("api.service.name", "Teleport");
        }
    }
    draft::keep_rest(&mut b, object, &READ);
    draft::complete(&mut b);
    b.native(object);
    Ok(vec![b.finish()])
}

/// The code's last letter is I for what went well, W and E for what did not.
fn outcome<'a>(b: &mut EventBuilder<'a>, fields: Fields<'a>) {
    let code = fields.text("code").unwrap_or_default();
    let error = fields.first(&["error", "exitError"]);
    let well = fields.bool("success").unwrap_or(!code.ends_with(['W', 'E']));
    b.success(well);
    b.set_some("status_detail", error.or_else(|| fields.text("message")).as_deref());
    b.set_some(
        "status_code",
        fields
            .first(&["exitCode", "return_code", "exit_code", "response_code"])
            .as_deref(),
    );
}

/// The person's address: `addr.remote` as one key, or nested.
fn remote(fields: Fields<'_>) -> Option<Cow<'_, str>> {
    fields.first(&["addr.remote", "remote_addr", "client_addr", "src_addr"])
}

fn host<'a>(b: &mut EventBuilder<'a>, fields: Fields<'a>, path: &'static str) {
    b.set_some_in(
        path,
        "hostname",
        fields
            .first(&[
                "server_hostname",
                "node_name",
                "kubernetes_cluster",
                "desktop_name",
                "db_service",
                "app_name",
            ])
            .as_deref(),
    );
    b.set_some_in(path, "uid", fields.text("server_id").as_deref());
    let at = fields.first(&["server_addr", "desktop_addr", "db_uri", "addr.local"]);
    // A listener's own address says nothing.
    if let Some(at) = at
        && let Some(ip) = address(&at).0
        && !ip.is_unspecified()
    {
        if path == "device" {
            // A device has no port.
            b.set("device.ip", ip.to_string());
        } else {
            b.ip_in(path, &at);
        }
    }
}

fn logon<'a>(b: &mut EventBuilder<'a>, fields: Fields<'a>) {
    let user = fields.first(&["user", "bot_name", "node_name", "identity.user", "host_id", "login"]);
    b.set_some("user.name", user.as_deref());
    b.word("service.name", "Teleport").set("is_remote", true);
    if fields.object("mfa_device").is_some() {
        b.set("is_mfa", true);
    }
    let (id, name) = match fields.text("method").as_deref() {
        Some("oidc") => (4, "OpenID"),
        Some("saml") => (5, "SAML"),
        Some("github") => (6, "OAUTH 2.0"),
        Some(_) | None => return,
    };
    b.set("auth_protocol_id", id).set("auth_protocol", name);
}

fn command<'a>(b: &mut EventBuilder<'a>, input: &Input<'_>, fields: Fields<'a>, login: Option<&str>) {
    // Of session.command the program and its arguments apart, of exec the line as it was given.
    let arguments = draft::texts(fields.value("argv"));
    let line = fields.text("command").map(Cow::into_owned).unwrap_or_else(|| {
        let program = fields.first(&["path", "program"]).unwrap_or_default().into_owned();
        let mut line = program;
        for argument in &arguments {
            line.push(' ');
            line.push_str(&quoted(argument));
        }
        line
    });
    b.commands(command_line::simple_commands(&line));
    b.set("process.cmd_line", &*line);
    b.set_some("process.name", fields.text("program").as_deref());
    b.set_some("process.pid", draft::int32(fields, "pid"));
    b.set_some("process.parent_process.pid", draft::int32(fields, "ppid"));
    b.set_some("process.user.name", login);
    b.set_some(
        "exit_code",
        draft::int32(fields, "exitCode").or_else(|| draft::int32(fields, "return_code")),
    );
    if !b.has("process.pid") {
        let uid = fields.text("uid").map(Cow::into_owned);
        b.set(
            "process.uid",
            uid.unwrap_or_else(|| input.record.coordinate.to_string()),
        );
    }
}

/// An argument as a shell reads it back.
fn quoted(argument: &str) -> Cow<'_, str> {
    let plain = !argument.is_empty()
        && argument
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | '=' | ':' | ',' | '@' | '%' | '+'));
    if plain {
        Cow::Borrowed(argument)
    } else {
        Cow::Owned(format!("'{}'", argument.replace('\'', r"'\''")))
    }
}

fn network<'a>(b: &mut EventBuilder<'a>, fields: Fields<'a>) {
    if let Some(to) = fields.text("dst_addr") {
        b.ip("dst_endpoint.ip", &to);
    }
    b.set_some("dst_endpoint.port", draft::port(fields, "dst_port"));
}

fn files<'a>(b: &mut EventBuilder<'a>, fields: Fields<'a>) {
    let path = fields
        .first(&["path", "file_path", "directory_name"])
        .unwrap_or_default();
    let whole = match fields.text("working_directory") {
        Some(folder) if !path.starts_with('/') && !path.is_empty() => {
            Cow::Owned(format!("{}/{path}", folder.trim_end_matches('/')))
        }
        _ => path,
    };
    draft::file(b, "file", &whole, 1);
    if let Some(target) = fields.text("target_path") {
        draft::file(b, "file_result", &target, 1);
    }
}

fn database<'a>(b: &mut EventBuilder<'a>, input: &Input<'_>, fields: Fields<'a>) {
    let kind = match fields.text("db_protocol").as_deref() {
        Some("mongodb" | "redis" | "dynamodb" | "cassandra" | "elasticsearch" | "opensearch") => 6,
        Some(_) => 1,
        None => 0,
    };
    b.set("database.type_id", kind);
    let name = fields.first(&["db_name", "db_service", "schema_name"]);
    b.set("database.name", name.as_deref().unwrap_or("unknown"));
    if let Some(query) = fields.first(&["db_query", "query"]) {
        let uid = fields.text("uid").map(Cow::into_owned);
        let query = mask(&query);
        b.commands(command_line::statements(&query));
        b.set("query_info.query_string", &*query).set(
            "query_info.uid",
            uid.unwrap_or_else(|| input.record.coordinate.to_string()),
        );
    }
}

fn kube<'a>(b: &mut EventBuilder<'a>, fields: Fields<'a>) {
    let verb = fields.text("verb");
    b.set("api.operation", verb.as_deref().unwrap_or("unknown"));
    b.word("api.service.name", "kube-apiserver");
    b.set_some("api.response.code", draft::int32(fields, "response_code"));
    if let Some(path) = fields.text("request_path") {
        b.set("http_request.url.path", &*path);
    }
    let keep = b.keep();
    let mut resource = Map::new();
    for (to, from) in [
        ("type", "resource_kind"),
        ("name", "resource_name"),
        ("namespace", "resource_namespace"),
    ] {
        if let Some(text) = fields.value(from).and_then(scalar) {
            resource.insert(to, keep.text(&text));
        }
    }
    if !resource.is_empty() {
        resource.or_insert("name", "*");
        b.set("resources", vec![resource]);
    }
    if let Some(code) = draft::int32(fields, "response_code") {
        b.success(code < 400);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_is_quoted_where_a_shell_would_read_it_otherwise() {
        for (argument, want) in [
            ("a.b", "a.b"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("$X", "'$X'"),
        ] {
            assert_eq!(quoted(argument), want);
        }
    }
}
