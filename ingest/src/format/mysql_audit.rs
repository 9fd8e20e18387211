//! Audit logs of MariaDB (`server_audit`), MySQL Enterprise and Percona (`audit_log`, JSON).
//!
//! | record | OCSF |
//! |---|---|
//! | CONNECT, FAILED_CONNECT, CHANGEUSER | Authentication 3002.1, .1, .7, and Datastore Activity 6005.3 |
//! | DISCONNECT | 3002.2 |
//! | QUERY | 6005 by the statement: SELECT 1, UPDATE and ALTER 2, INSERT 5, CREATE and GRANT 6, DELETE, DROP and TRUNCATE 7, else 4; what it does to accounts, privileges or auditing is an event of its own: 3001, 3005, 1008 |
//! | READ, WRITE, CREATE, ALTER, RENAME, DROP of a table | 6005 with the label `query.detail`: the QUERY of the same `metadata.correlation_uid` (connection and query) stands for it |
//!
//! A cut statement (server_audit_query_log_limit) has the label `statement_truncated`. Times of `server_audit` have no
//! zone: the source's configured one is taken. `docket.system` is `host:<server>`, the database server as an asset, unless
//! the source's settings name another. Log source: product `mysql`, category `database`, service `audit`.

mod line;

use std::borrow::Cow;

use model::value::{Member, tag};
use model::{Event, Map, Object, Value};
use smallvec::SmallVec;

use crate::builder::EventBuilder;
use crate::class::{self, Class};
use crate::command_line::statements;
use crate::fields::Fields;
use crate::format::linux_auth::DETAIL;
use crate::format::{Format, Input, Match, Quarantine, host, sql_statement};
use crate::seek;
use line::line;

/// MariaDB and MySQL audit logs.
pub static FORMAT: Format = Format {
    name: "mysql_audit",
    aliases: &["mariadb", "mariadb_audit", "mysql", "server_audit"],
    matches,
    normalize,
};

/// The label of a record that tells more of a statement that another record stands for.
const QUERY_DETAIL: &str = "query.detail";

/// What a record says, of whichever product.
#[derive(Clone, Debug, Default, PartialEq)]
struct Act<'a> {
    time: Option<Value<'a>>,
    server: Cow<'a, str>,
    user: Cow<'a, str>,
    host: Cow<'a, str>,
    ip: Cow<'a, str>,
    connection: Cow<'a, str>,
    query: Cow<'a, str>,
    operation: Cow<'a, str>,
    database: Cow<'a, str>,
    table: Cow<'a, str>,
    statement: Cow<'a, str>,
    status: Cow<'a, str>,
    id: Cow<'a, str>,
    is_cut: bool,
}

fn matches(input: &Input<'_>) -> Option<Match> {
    if input.text.starts_with('{') {
        let object = input.object().ok()?;
        let percona = object.get("audit_record").is_some_and(Value::is_object);
        let enterprise = ["class", "event", "timestamp"].iter().all(|k| object.contains_key(k))
            && ["account", "connection_id", "general_data", "connection_data", "login"]
                .iter()
                .any(|k| object.contains_key(k));
        return (percona || enterprise).then_some(Match {
            score: 90,
            reason: if percona {
                "Percona's audit_record"
            } else {
                "MySQL Enterprise's class, event and account"
            },
        });
    }
    line(input.text).map(|_| Match {
        score: 90,
        reason: "server_audit's columns with an operation of its own",
    })
}

/// What a line's columns are called, with the tags of the names.
static NATIVE: [(&str, u8); 9] = [
    ("serverhost", tag("serverhost")),
    ("username", tag("username")),
    ("host", tag("host")),
    ("connectionid", tag("connectionid")),
    ("queryid", tag("queryid")),
    ("operation", tag("operation")),
    ("database", tag("database")),
    ("object", tag("object")),
    ("retcode", tag("retcode")),
];

fn normalize<'a>(input: &mut Input<'a>) -> Result<Vec<Event<'a>>, Quarantine> {
    if input.text.starts_with('{') {
        let object = input.take_object()?;
        let (act, rest) = from_json(object).ok_or(Quarantine("mysql_audit_unknown"))?;
        return Ok(Maker {
            input,
            act,
            native: object,
            rest,
            product: product_of(object),
        }
        .events());
    }
    let keep = input.keep();
    let act = line(input.text).ok_or(Quarantine("server_audit_columns"))?;
    let mut native: SmallVec<[Member<'a>; 9]> = SmallVec::new();
    let object = if act.statement.is_empty() {
        &act.table
    } else {
        &act.statement
    };
    let values = [
        &act.server,
        &act.user,
        &act.host,
        &act.connection,
        &act.query,
        &act.operation,
        &act.database,
        object,
        &act.status,
    ];
    for ((name, tag), value) in NATIVE.iter().zip(values) {
        if keep.arena.wants_native_tag(*tag) && !value.is_empty() {
            native.push((name, Value::String(keep.text(value))));
        }
    }
    Ok(Maker {
        input,
        act,
        native: keep.arena.object(&native),
        rest: Map::new(),
        product: ("MariaDB", "MariaDB Server"),
    }
    .events())
}

fn product_of(object: Object<'_>) -> (&'static str, &'static str) {
    if object.contains_key("audit_record") {
        ("Percona", "Percona Server")
    } else {
        ("Oracle", "MySQL")
    }
}

/// Percona's and Enterprise's objects, and what is left of them.
fn from_json<'a>(object: Object<'a>) -> Option<(Act<'a>, Map<'a>)> {
    let mut rest = Map::from(object);
    if let Some(Value::Object(record)) = object.get("audit_record") {
        rest.shift_remove("audit_record");
        let f = Fields(*record);
        let get = |name: &str| f.text(name).unwrap_or_default();
        let name = get("name");
        let operation = match &*name {
            "Connect" if f.int("status").is_some_and(|s| s != 0) => "FAILED_CONNECT",
            "Connect" => "CONNECT",
            "Quit" => "DISCONNECT",
            "Change user" => "CHANGEUSER",
            "Audit" | "NoAudit" | "Startup" | "Shutdown" => "AUDIT",
            _ => "QUERY",
        };
        for (key, value) in record {
            let mapped = [
                "sqltext",
                "status",
                "user",
                "host",
                "ip",
                "db",
                "connection_id",
                "timestamp",
                "record",
            ];
            if !mapped.contains(&key) {
                rest.insert(key, *value);
            }
        }
        // `li.na[li.na] @ web-b-02 [10.0.0.9]`
        let user = get("user");
        let (account, from) = match seek::split_once(&user, " @ ") {
            Some((account, from)) => (account.trim().to_owned(), from.to_owned()),
            None => (user.into_owned(), String::new()),
        };
        let account = account.split('[').next().unwrap_or("").trim().to_owned();
        let (host, ip) = match seek::cut(&from, b'[') {
            Some((host, ip)) => (seek::trim(host).to_owned(), ip.trim_end_matches(']').to_owned()),
            None => (from.trim().to_owned(), String::new()),
        };
        let either = |a: Cow<'a, str>, b: String| if a.is_empty() { Cow::Owned(b) } else { a };
        return Some((
            Act {
                time: f.value("timestamp").cloned(),
                user: account.into(),
                host: either(get("host"), host),
                ip: either(get("ip"), ip),
                connection: get("connection_id"),
                operation: operation.into(),
                database: get("db"),
                statement: get("sqltext"),
                status: get("status"),
                id: get("record"),
                ..Act::default()
            },
            rest,
        ));
    }
    let f = Fields(object);
    let first = |names: &[&str]| f.first(names).unwrap_or_default();
    let (kind, event) = (f.text("class")?, f.text("event")?);
    let status = first(&["general_data.status", "connection_data.status"]);
    let operation = match (&*kind, &*event) {
        ("connection", "connect") if !matches!(&*status, "" | "0") => "FAILED_CONNECT",
        ("connection", "connect") => "CONNECT",
        ("connection", "disconnect") => "DISCONNECT",
        ("connection", "change_user") => "CHANGEUSER",
        ("table_access", "read") => "READ",
        ("table_access", "insert" | "update") => "WRITE",
        ("table_access", "delete") => "DELETE",
        ("audit", _) => "AUDIT",
        _ => "QUERY",
    };
    for key in ["timestamp", "id", "account", "login", "connection_id"] {
        rest.shift_remove(key);
    }
    Some((
        Act {
            time: f.value("timestamp").cloned(),
            user: first(&["login.user", "account.user"]),
            host: first(&["account.host"]),
            ip: first(&["login.ip"]),
            connection: first(&["connection_id"]),
            operation: operation.into(),
            database: first(&["table_access_data.db", "connection_data.db"]),
            table: first(&["table_access_data.table"]),
            statement: first(&["general_data.query", "table_access_data.query"]),
            status,
            id: first(&["id"]),
            ..Act::default()
        },
        rest,
    ))
}

struct Maker<'a, 'i> {
    input: &'i Input<'a>,
    act: Act<'i>,
    native: Object<'a>,
    rest: Map<'a>,
    product: (&'static str, &'static str),
}

impl<'a> Maker<'a, '_> {
    fn event(&self, class: &'static Class, activity: u8) -> EventBuilder<'a> {
        let mut b = EventBuilder::new(self.input, class, activity, self.product.0, self.product.1);
        self.common(&mut b);
        b
    }

    /// Who, when, where from, with what result.
    fn common(&self, b: &mut EventBuilder<'a>) {
        let act = &self.act;
        if let Some(time) = &act.time {
            b.time_of(self.input, time);
        }
        if !act.server.is_empty() {
            host::device(b, Some(&act.server));
        }
        if !act.id.is_empty() {
            b.original_uid(b.arena().concat(&[&act.connection, "/", &act.id]));
        }
        if !act.connection.is_empty() {
            let server = if act.server.is_empty() { "-" } else { &*act.server };
            let uid = match &*act.query {
                "" | "0" => b.arena().concat(&[server, "/", &act.connection]),
                query => b.arena().concat(&[server, "/", &act.connection, "/", query]),
            };
            b.metadata("correlation_uid", Value::String(uid));
        }
        b.metadata_word("log_name", "audit")
            .metadata("event_code", &*act.operation);
        if act.is_cut {
            b.label("statement_truncated");
        }
        match &*act.status {
            "" => {}
            "0" => drop(b.success(true)),
            code => drop(b.success(false).set("status_code", code)),
        }
        for place in [&act.ip, &act.host] {
            if !place.is_empty() && !b.has("src_endpoint") {
                b.host("src_endpoint", place);
            }
        }
        if !b.has("src_endpoint") {
            b.word("src_endpoint.name", "-");
        }
        let user = if act.user.is_empty() { "-" } else { &*act.user };
        if b.class_uid() != class::AUTHENTICATION.uid {
            b.set("actor.user.name", user);
            b.set("actor.session.uid", &*act.connection);
        }
        for (name, value) in self.rest.iter() {
            b.unmapped(name, *value);
        }
        let category = if b.class_uid() == class::AUTHENTICATION.uid {
            "authentication"
        } else {
            "database"
        };
        b.logsource("mysql", category, "audit");
        b.native(self.native);
    }

    /// Whether auditing starts or ends.
    fn audit_act(&self) -> Option<u8> {
        let told = Fields(self.native);
        match &*told.first(&["event", "audit_record.name"])?.to_ascii_lowercase() {
            "startup" | "audit" => Some(6),
            "shutdown" | "noaudit" => Some(7),
            _ => None,
        }
    }

    fn events(&self) -> Vec<Event<'a>> {
        let act = &self.act;
        match &*act.operation {
            "CONNECT" => vec![self.logon(1), self.store(3)],
            // Beside the CONNECT of the same connection: whose rights it goes on with, `account`@`host`.
            "PROXY_CONNECT" => {
                let mut b = self.logon(7);
                let (account, _) = seek::cut(&act.table, b'@').unwrap_or((&act.table, ""));
                let account = account.trim_matches(['`', '\'']);
                b.set("account_switch_type_id", 2)
                    .word("account_switch_type", "Impersonate");
                b.set("actor.user.name", if act.user.is_empty() { "-" } else { &*act.user });
                b.set("user.name", if account.is_empty() { "-" } else { account });
                b.label(DETAIL);
                vec![b]
            }
            "FAILED_CONNECT" | "FAILED CONNECT" => {
                let mut all = vec![self.logon(1), self.store(3)];
                for b in &mut all {
                    b.success(false);
                }
                all
            }
            "DISCONNECT" => vec![self.logon(2)],
            "CHANGEUSER" => {
                let mut b = self.logon(7);
                b.set("account_switch_type_id", 1)
                    .word("account_switch_type", "Substitute User");
                vec![b, self.store(3)]
            }
            "AUDIT" => {
                let mut b = match self.audit_act() {
                    Some(activity) => {
                        let mut b = self.event(&class::EVENT_LOG_ACTIVITY, activity);
                        b.success(true);
                        b
                    }
                    None => self.event(&class::EVENT_LOG_ACTIVITY, 99),
                };
                b.word("log_name", "audit").set("log_provider", self.product.1);
                vec![b]
            }
            "READ" | "WRITE" | "CREATE" | "ALTER" | "RENAME" | "DROP" | "DELETE" => {
                let activity = match &*act.operation {
                    "READ" => 1,
                    "WRITE" => 5,
                    "CREATE" => 6,
                    "DROP" | "DELETE" => 7,
                    _ => 2,
                };
                let mut b = self.store(activity);
                b.label(QUERY_DETAIL);
                vec![b]
            }
            _ => self.query(),
        }
        .into_iter()
        .map(EventBuilder::finish)
        .collect()
    }

    fn logon(&self, activity: u8) -> EventBuilder<'a> {
        let act = &self.act;
        let mut b = self.event(&class::AUTHENTICATION, activity);
        b.set("user.name", if act.user.is_empty() { "-" } else { &*act.user });
        b.set("service.name", self.product.1)
            .set("session.uid", &*act.connection);
        b.set("is_remote", !matches!(&*act.host, "localhost" | ""));
        if !act.database.is_empty() {
            b.unmapped("database", &*act.database);
        }
        b
    }

    fn store(&self, activity: u8) -> EventBuilder<'a> {
        let act = &self.act;
        let mut b = self.event(&class::DATASTORE_ACTIVITY, activity);
        let database = if act.database.is_empty() { "-" } else { &*act.database };
        b.set("database.name", database)
            .set("database.type_id", 1)
            .word("database.type", "Relational");
        // Of a renaming `old|db.new`.
        let (table, renamed) = match seek::cut(&act.table, b'|') {
            Some((old, new)) if act.operation == "RENAME" => (old, new),
            _ => (&*act.table, ""),
        };
        b.set("table.name", table).unmapped("renamed_to", renamed);
        b.set("type_id", 1).word("type", "Database");
        b
    }

    fn query(&self) -> Vec<EventBuilder<'a>> {
        let act = &self.act;
        let mut b = self.store(sql_statement::activity(&act.statement));
        if !act.statement.is_empty() {
            let id = if act.query.is_empty() { &act.id } else { &act.query };
            let uid = b.arena().concat(&[&act.connection, "/", id]);
            b.set("query_info.query_string", &*act.statement)
                .set("query_info.uid", Value::String(uid));
            b.commands(statements(&act.statement));
        }
        let mut all = vec![b];
        all.extend(sql_statement::events(self.input, self.product, &act.statement, |b| {
            self.common(b)
        }));
        all
    }
}
