//! Events of an entry.

use std::borrow::Cow;

use model::{Event, Value};

use super::native;
use super::read::{Entry, csv, split_prefix};
use crate::address::is_address;
use crate::builder::EventBuilder;
use crate::class::{self, Class};
use crate::command_line::statements;
use crate::format::linux_auth::DETAIL;
use crate::format::{Input, host, sql_statement};
use crate::seek;

const PRODUCT: (&str, &str) = ("PostgreSQL", "PostgreSQL");

/// The events of an entry; never none.
pub(super) fn events<'a>(input: &Input<'a>, entry: &Entry<'_>) -> Vec<Event<'a>> {
    let maker = Maker { input, entry };
    maker.events().into_iter().map(EventBuilder::finish).collect()
}

struct Maker<'a, 'i> {
    input: &'i Input<'a>,
    entry: &'i Entry<'i>,
}

/// pgaudit's columns.
struct Audit<'e> {
    kind: Cow<'e, str>,
    statement_id: Cow<'e, str>,
    substatement_id: Cow<'e, str>,
    class: Cow<'e, str>,
    command: Cow<'e, str>,
    object_type: Cow<'e, str>,
    object_name: Cow<'e, str>,
    statement: Cow<'e, str>,
    parameters: Cow<'e, str>,
    rows: Cow<'e, str>,
    is_cut: bool,
}

impl<'e> Audit<'e> {
    fn read(text: &'e str) -> Option<Audit<'e>> {
        // A statement of several lines is quoted; one that is not may not be CSV to its end.
        let (columns, _, is_cut) = csv(text, 64)?;
        if columns.len() < 8 {
            return None;
        }
        let mut columns = columns.into_iter();
        let mut next = || columns.next().unwrap_or_default();
        Some(Audit {
            kind: next(),
            statement_id: next(),
            substatement_id: next(),
            class: next(),
            command: next(),
            object_type: next(),
            object_name: next(),
            statement: next(),
            parameters: next(),
            rows: next(),
            is_cut,
        })
    }
}

impl<'a> Maker<'a, '_> {
    fn event(&self, class: &'static Class, activity: u8) -> EventBuilder<'a> {
        let mut b = EventBuilder::new(self.input, class, activity, PRODUCT.0, PRODUCT.1);
        self.common(&mut b);
        b
    }

    fn common(&self, b: &mut EventBuilder<'a>) {
        let e = self.entry;
        if let Some(time) = e.time.as_deref() {
            // A zone's short name that nobody knows: the source's configured zone.
            match time.rsplit_once(' ') {
                Some((bare, zone)) if is_unknown_zone(zone) => {
                    b.time_of(self.input, &Value::String(bare));
                    b.original_time(time, None);
                }
                _ => drop(b.time_of(self.input, &Value::String(time))),
            }
        }
        if let Some(name) = &e.host {
            host::device(b, Some(name));
        }
        if let (Some(session), Some(line)) = (&e.session, &e.line) {
            b.original_uid(&format!("{session}/{line}"));
        }
        let session = e.session.as_deref().or(e.pid.as_deref());
        b.set_some("metadata.correlation_uid", session);
        b.metadata_word("log_name", "postgresql");
        if e.is_continuation {
            b.label("postgresql.continuation");
        }
        // A client chooses its application's name, and with it what stands before the severity.
        if split_prefix(&e.message).is_some() {
            b.label("log_injection");
        }
        b.set_some("status_code", e.code.as_deref().filter(|c| *c != "00000"));
        if matches!(&*e.severity, "ERROR" | "FATAL" | "PANIC") {
            b.success(false);
        }
        b.set_some("status_detail", e.detail.as_deref());
        self.remote(b);
        if class_has_actor(b.class_uid()) {
            b.set_some("actor.user.name", e.user.as_deref());
            b.set_some("actor.session.uid", session);
            b.set_some("actor.app_name", e.application.as_deref().filter(|a| *a != "[unknown]"));
        }
        for (name, value) in [
            ("hint", &e.hint),
            ("command_tag", &e.tag),
            ("backend_type", &e.backend),
            ("pid", &e.pid),
        ] {
            b.unmapped_some(name, value.as_deref());
        }
        if !e.severity.is_empty() {
            b.unmapped("error_severity", &*e.severity);
        }
        let category = if b.class_uid() == class::AUTHENTICATION.uid {
            "authentication"
        } else {
            "database"
        };
        let service = if e.message.starts_with("AUDIT: ") {
            "pgaudit"
        } else {
            "postgresql"
        };
        b.logsource("postgresql", category, service);
        b.native(native(
            self.input.keep(),
            [
                ("user_name", e.user.as_deref()),
                ("database_name", e.database.as_deref()),
                ("process_id", e.pid.as_deref()),
                ("connection_from", e.remote.as_deref()),
                ("session_id", e.session.as_deref()),
                ("session_line_num", e.line.as_deref()),
                ("command_tag", e.tag.as_deref()),
                ("error_severity", Some(&*e.severity)),
                ("sql_state_code", e.code.as_deref()),
                ("message", Some(&*e.message)),
                ("detail", e.detail.as_deref()),
                ("hint", e.hint.as_deref()),
                ("query", e.query.as_deref()),
                ("application_name", e.application.as_deref()),
                ("backend_type", e.backend.as_deref()),
            ],
        ));
    }

    /// `127.0.0.1`, `127.0.0.1:44478`, `127.0.0.1(44478)`, `[local]`.
    fn remote(&self, b: &mut EventBuilder<'a>) {
        let class_has_source = b.class_uid() / 1000 >= 3 && b.class_uid() != class::APPLICATION_LIFECYCLE.uid;
        let Some(remote) = self.entry.remote.as_deref().filter(|_| class_has_source) else {
            return;
        };
        let (place, port) = match remote.strip_suffix(')').and_then(|r| seek::cut(r, b'(')) {
            Some((host, port)) => (host, Some(port)),
            // What is no address with a port is a name with one.
            None if !is_address(remote) && remote != "[local]" => match remote.rsplit_once(':') {
                Some((host, port)) if is_address(host) || port.parse::<u16>().is_ok() => (host, Some(port)),
                _ => (remote, None),
            },
            None => (remote, None),
        };
        if place == "[local]" {
            b.word("src_endpoint.name", "[local]");
        } else {
            b.host("src_endpoint", place);
        }
        if let Some(port) = port.and_then(|p| p.parse::<u16>().ok()) {
            b.set("src_endpoint.port", port);
        }
    }

    fn events(&self) -> Vec<EventBuilder<'a>> {
        let e = self.entry;
        let text = &*e.message;
        if e.is_continuation {
            return vec![self.other()];
        }
        if let Some(audit) = text.strip_prefix("AUDIT: ").and_then(|t| Audit::read(t.trim_start())) {
            return self.audit(&audit);
        }
        if let Some(statement) = statement(text) {
            return self.statement(statement);
        }
        if let Some(rest) = text.strip_prefix("connection authorized: ") {
            return self.logon(true, named(rest, "user="), named(rest, "database="));
        }
        if let Some(rest) = text.strip_prefix("connection authenticated: ") {
            let mut b = self.authentication(1, named(rest, "identity="));
            b.success(true).label(DETAIL);
            b.set_some("unmapped.method", named(rest, "method="));
            return vec![b];
        }
        if let Some(rest) = text.strip_prefix("connection received: ") {
            return vec![self.received(rest)];
        }
        if let Some(rest) = text.strip_prefix("disconnection: ") {
            let mut b = self.authentication(2, named(rest, "user="));
            b.success(true);
            let lasted = rest.strip_prefix("session time: ").and_then(|r| r.split(' ').next());
            b.set_some("duration", lasted.and_then(clock_ms));
            b.set_some("unmapped.session_time", lasted);
            return vec![b];
        }
        if &*e.severity == "FATAL"
            && let Some((user, database)) = refused(text)
        {
            return self.logon(false, user, database);
        }
        if let Some(activity) = lifecycle(text) {
            let mut b = self.event(&class::APPLICATION_LIFECYCLE, activity);
            b.set("app.name", PRODUCT.1).set("app.vendor_name", PRODUCT.0);
            b.set("message", text);
            return vec![b];
        }
        if let Some(query) = e.query.as_deref().filter(|_| &*e.severity == "ERROR") {
            let mut b = self.store(sql_statement::activity(query), e.database.as_deref());
            b.set("message", text);
            self.query(&mut b, query, None);
            return vec![b];
        }
        vec![self.other()]
    }

    fn other(&self) -> EventBuilder<'a> {
        let mut b = self.event(&class::BASE_EVENT, 99);
        b.word("activity_name", "Log").set("message", &*self.entry.message);
        b.set_some("unmapped.database", self.entry.database.as_deref());
        b
    }

    fn received(&self, rest: &str) -> EventBuilder<'a> {
        let mut b = self.event(&class::NETWORK_ACTIVITY, 1);
        if let Some(host) = named(rest, "host=").filter(|h| *h != "[local]") {
            b.host("src_endpoint", host);
        }
        if let Some(port) = named(rest, "port=").and_then(|p| p.parse::<u16>().ok()) {
            b.set("src_endpoint.port", port);
        }
        if !["ip", "hostname", "name"].iter().any(|n| b.has_in("src_endpoint", n)) {
            b.word("src_endpoint.name", "[local]");
        }
        b
    }

    fn authentication(&self, activity: u8, user: Option<&str>) -> EventBuilder<'a> {
        let e = self.entry;
        let mut b = self.event(&class::AUTHENTICATION, activity);
        let connected = e.user.as_deref().filter(|u| !u.is_empty());
        b.set("user.name", user.or(connected).unwrap_or("-"));
        b.set("service.name", PRODUCT.1).set("message", &*e.message);
        b.set_some("session.uid", e.session.as_deref().or(e.pid.as_deref()));
        b.set_some("unmapped.database", e.database.as_deref());
        b.set_some("unmapped.application_name", e.application.as_deref());
        if let Some(remote) = e.remote.as_deref() {
            b.set("is_remote", remote != "[local]");
        }
        b
    }

    /// A connection that was let in, or not.
    fn logon(&self, success: bool, user: Option<&str>, database: Option<&str>) -> Vec<EventBuilder<'a>> {
        let mut logon = self.authentication(1, user);
        logon.success(success);
        let database = database.filter(|d| !d.is_empty()).or(self.entry.database.as_deref());
        let mut store = self.store(3, database);
        store.success(success).set("message", &*self.entry.message);
        store.set_some("actor.user.name", user);
        vec![logon, store]
    }

    fn store(&self, activity: u8, database: Option<&str>) -> EventBuilder<'a> {
        let mut b = self.event(&class::DATASTORE_ACTIVITY, activity);
        let database = database.filter(|d| !d.is_empty()).unwrap_or("-");
        b.set("database.name", database)
            .set("database.type_id", 1)
            .word("database.type", "Relational");
        b.set("type_id", 1).word("type", "Database");
        if !b.has("src_endpoint") {
            b.word("src_endpoint.name", "-");
        }
        if !b.has("actor.user.name") {
            b.word("actor.user.name", "-");
        }
        b
    }

    fn query(&self, b: &mut EventBuilder<'a>, sql: &str, statement: Option<(&str, &str)>) {
        let e = self.entry;
        let session = e.session.as_deref().or(e.pid.as_deref()).unwrap_or("-");
        let uid = match (statement, &e.line) {
            (Some((id, sub)), _) => b.arena().concat(&[session, "/", id, "/", sub]),
            (None, Some(line)) => b.arena().concat(&[session, "/", line]),
            (None, None) => b.keep().text(session),
        };
        if sql.is_empty() {
            // The schema wants the text, be it of nothing.
            let info = b
                .arena()
                .object(&[("query_string", "".into()), ("uid", Value::String(uid))]);
            b.set("query_info", info);
        } else {
            b.set("query_info.query_string", sql)
                .set("query_info.uid", Value::String(uid));
        }
        b.commands(statements(sql));
        if e.is_cut {
            b.label("statement_truncated");
        }
    }

    fn effects(&self, sql: &str) -> Vec<EventBuilder<'a>> {
        sql_statement::events(self.input, PRODUCT, sql, |b| {
            self.common(b);
            if &*self.entry.severity == "LOG" {
                b.success(true);
            }
        })
    }

    fn audit(&self, audit: &Audit<'_>) -> Vec<EventBuilder<'a>> {
        let e = self.entry;
        let shown = !matches!(&*audit.statement, "<not logged>" | "<previously logged>");
        let activity = match (&*audit.class, shown) {
            ("READ", _) => 1,
            // COPY … FROM and the like: the class knows better than the words.
            (_, true) => match sql_statement::activity(&audit.statement) {
                4 => by_class(&audit.class, &audit.command),
                activity => activity,
            },
            _ => by_class(&audit.class, &audit.command),
        };
        let mut b = self.store(activity, e.database.as_deref());
        // pgaudit writes before the statement runs; a failure is an ERROR of its own.
        b.success(true);
        if !audit.object_name.is_empty() {
            b.set("table.name", &*audit.object_name);
        }
        if shown && !audit.statement.is_empty() {
            self.query(
                &mut b,
                &audit.statement,
                Some((&audit.statement_id, &audit.substatement_id)),
            );
        } else if !shown {
            b.label("statement_not_logged");
        }
        if audit.is_cut {
            b.label("statement_truncated");
        }
        for (name, value) in [
            ("audit_type", &audit.kind),
            ("class", &audit.class),
            ("command", &audit.command),
            ("object_type", &audit.object_type),
            ("rows", &audit.rows),
        ] {
            b.unmapped(name, &**value);
        }
        if !matches!(&*audit.parameters, "" | "<none>" | "<not logged>") {
            b.unmapped("parameters", &*audit.parameters);
        }
        let mut fields = native(
            self.input.keep(),
            [
                ("user_name", e.user.as_deref()),
                ("database_name", e.database.as_deref()),
                ("process_id", e.pid.as_deref()),
                ("connection_from", e.remote.as_deref()),
                ("session_id", e.session.as_deref()),
                ("application_name", e.application.as_deref()),
                ("audit_type", Some(&*audit.kind)),
                ("statement_id", Some(&*audit.statement_id)),
                ("substatement_id", Some(&*audit.substatement_id)),
                ("class", Some(&*audit.class)),
                ("command", Some(&*audit.command)),
                ("object_type", Some(&*audit.object_type)),
                ("object_name", Some(&*audit.object_name)),
                ("statement", Some(&*audit.statement)),
                ("parameter", Some(&*audit.parameters)),
                ("rows", Some(&*audit.rows)),
            ],
        );
        fields.insert("message", self.input.keep().text(&e.message));
        b.native(fields);
        let mut all = vec![b];
        if shown {
            all.extend(self.effects(&audit.statement));
        }
        all
    }

    fn statement(&self, sql: &str) -> Vec<EventBuilder<'a>> {
        let mut b = self.store(sql_statement::activity(sql), self.entry.database.as_deref());
        b.success(true);
        let took = self.entry.message.strip_prefix("duration: ");
        let took = took.and_then(|t| t.split(' ').next()?.parse::<f64>().ok());
        b.set_some("duration", took.filter(|t| (0.0..1e15).contains(t)).map(|t| t as i64));
        self.query(&mut b, sql, None);
        let mut all = vec![b];
        all.extend(self.effects(sql));
        all
    }
}

fn by_class(class: &str, command: &str) -> u8 {
    match (class, command) {
        ("READ", _) => 1,
        ("WRITE", "UPDATE") => 2,
        ("WRITE", "DELETE" | "TRUNCATE TABLE") => 7,
        ("WRITE", _) => 5,
        ("DDL" | "ROLE", c) if c.starts_with("DROP") => 7,
        ("DDL" | "ROLE", c) if c.starts_with("CREATE") || c.starts_with("GRANT") => 6,
        ("DDL" | "ROLE", c) if c.starts_with("ALTER") => 2,
        _ => 4,
    }
}

fn class_has_actor(uid: u32) -> bool {
    matches!(uid, 0 | 3001 | 3005 | 6005 | 1008)
}

/// `CST` and the like: several zones have such a name. What is known is an offset, `UTC` and `GMT`.
fn is_unknown_zone(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphabetic()) && !matches!(text, "UTC" | "GMT" | "Z")
}

/// `0:00:00.314` in milliseconds.
fn clock_ms(text: &str) -> Option<i64> {
    let mut parts = text.splitn(3, ':');
    let (hours, minutes, seconds) = (parts.next()?, parts.next()?, parts.next()?);
    let (seconds, fraction) = seek::cut(seconds, b'.').unwrap_or((seconds, "0"));
    let whole = i64::from(hours.parse::<u32>().ok()?) * 3600 + i64::from(minutes.parse::<u16>().ok()?) * 60;
    let fraction: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    Some((whole + i64::from(seconds.parse::<u16>().ok()?)) * 1000 + fraction)
}

/// The statement that `log_statement` or `log_min_duration_statement` wrote.
fn statement(text: &str) -> Option<&str> {
    let rest = match text.strip_prefix("duration: ") {
        Some(rest) => seek::split_once(rest, " ms  ")?.1,
        None => text,
    };
    if let Some(sql) = rest.strip_prefix("statement: ") {
        return Some(sql);
    }
    let rest = rest.strip_prefix("execute ")?;
    seek::split_once(rest, ": ").map(|(_, sql)| sql)
}

/// The value of `user=` and the like: up to a blank, or in quotes.
fn named<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let at = seek::find_all(text, name).find(|at| *at == 0 || text.as_bytes()[at - 1] == b' ')?;
    let rest = &text[at + name.len()..];
    match rest.strip_prefix('"') {
        Some(inner) => seek::cut(inner, b'"').map(|(value, _)| value),
        None => rest.split([' ', ',']).next(),
    }
    .filter(|v| !v.is_empty())
}

/// Whom the server did not let in, to which database.
fn refused(text: &str) -> Option<(Option<&str>, Option<&str>)> {
    let quoted = |after: &str| {
        let rest = &text[text.find(after)? + after.len()..];
        seek::cut(rest, b'"').map(|(value, _)| value).filter(|v| !v.is_empty())
    };
    let refused = seek::contains(text, "authentication failed for user")
        || text.starts_with("no pg_hba.conf entry for")
        || text.starts_with("pg_hba.conf rejects connection")
        || text.starts_with("role \"")
            && (text.ends_with("does not exist") || text.ends_with("is not permitted to log in"))
        || text.starts_with("database \"")
            && (seek::contains(text, "does not exist") || seek::contains(text, "not currently accepting"))
        || text.starts_with("permission denied for database")
        || text.starts_with("too many connections")
        || text.starts_with("remaining connection slots");
    refused.then(|| (quoted("user \"").or_else(|| quoted("role \"")), quoted("database \"")))
}

fn lifecycle(text: &str) -> Option<u8> {
    if text.starts_with("starting PostgreSQL") || text == "database system is ready to accept connections" {
        return Some(3);
    }
    (text.starts_with("received ") && text.ends_with(" shutdown request") || text == "database system is shut down")
        .then_some(4)
}
