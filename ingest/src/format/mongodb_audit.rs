//! MongoDB's audit log (Enterprise, Atlas, Percona), schema `mongo`: an object a record.
//!
//! | `atype` | OCSF |
//! |---|---|
//! | `authenticate`, `logout` | Authentication 3002.1, .2 |
//! | `authCheck` | Datastore Activity 6005 by the command: find and its like 1, update 2, insert 5, create 6, delete and drop 7, list 8, else 4. Only with `auditAuthorizationSuccess` are those told that were allowed |
//! | `createUser`, `updateUser`, `dropUser`, `dropAllUsersFromDatabase` | Account Change 3001.1; .4 where the password changed (.3 by oneself), else .99; .6; what roles it gives is a User Access event beside it |
//! | `grantRolesToUser`, `revokeRolesFromUser` | User Access 3005.1, .2 |
//! | `createRole`, `dropRole`, … of roles, shards, replica sets, parameters | Entity Management 3004.1, .4, .3 |
//! | `createCollection`, `createDatabase`, `createIndex`, …; `renameCollection`; `drop…` | 6005.6, .2, .7 |
//! | `auditConfigure`, `rotateLog` | Event Log Activity 1008.10 where reads and writes are not (or no longer) told, else .99; .5 |
//! | `startup`, `shutdown` | Application Lifecycle 6002.3, .4 |
//! | `clientMetadata` | Network Activity 4001.1 |
//! | `applicationMessage`, another | Base Event, fields in `unmapped` |
//!
//! `actor.user` is the first of `users`, its `uid` as MongoDB names it (`db.user`); the rest and `roles` are in `unmapped`. `src_endpoint`
//! is `remote`, `device` is `local`. The connection (`uuid`) is `actor.session.uid` (`session.uid` of 3002) and
//! `metadata.correlation_uid`. A result that is not 0 is a failure with the code and its name (18 `AuthenticationFailed`).
//!
//! Native fields: the record's own. Log source: product `mongodb`, category `database` or `authentication`, service `audit`. `docket.system`
//! is `host:<local>`, unless the source's settings name another.

use std::borrow::Cow;

use model::{Event, Object, Value};
use serde_json::json;

use crate::builder::EventBuilder;
use crate::class::{self, Class};
use crate::fields::{Fields, scalar};
use crate::format::draft;
use crate::format::draft::Names;
use crate::format::{Format, Input, Match, Quarantine, host};
use crate::seek;

/// MongoDB's audit log.
pub static FORMAT: Format = Format {
    name: "mongodb_audit",
    aliases: &["mongodb", "mongo"],
    matches,
    normalize,
};

/// Codes of results, and their names.
const RESULTS: &[(i64, &str)] = &[
    (11, "UserNotFound"),
    (13, "Unauthorized"),
    (18, "AuthenticationFailed"),
    (26, "NamespaceNotFound"),
    (31, "RoleNotFound"),
    (48, "NamespaceExists"),
    (276, "IndexBuildAborted"),
    (334, "MechanismUnavailable"),
    (51003, "UserAlreadyExists"),
];

/// Commands that an `authCheck` tells of, by what they do.
const COMMANDS: &[(u8, &[&str])] = &[
    (
        1,
        &[
            "find",
            "aggregate",
            "count",
            "distinct",
            "getMore",
            "mapReduce",
            "explain",
            "dbStats",
            "collStats",
        ],
    ),
    (
        2,
        &[
            "update",
            "findAndModify",
            "findandmodify",
            "renameCollection",
            "collMod",
        ],
    ),
    (5, &["insert", "bulkWrite"]),
    (6, &["create", "createIndexes", "createCollection"]),
    (7, &["delete", "drop", "dropDatabase", "dropIndexes", "deleteIndexes"]),
    (8, &["listCollections", "listDatabases", "listIndexes"]),
];

/// The activity of Datastore Activity that a command is.
pub(crate) fn activity(command: &str) -> u8 {
    let known = COMMANDS.iter().find(|(_, names)| names.contains(&command));
    known.map_or(4, |(id, _)| *id)
}

fn matches(input: &Input<'_>) -> Option<Match> {
    if !seek::trim_start(input.text).starts_with('{') {
        return None;
    }
    let object = input.object().ok()?;
    let has = |name: &str| object.contains_key(name);
    (has("atype") && has("ts") && (has("param") || has("result"))).then_some(Match {
        score: 93,
        reason: "the keys atype, ts and param",
    })
}

fn normalize<'a>(input: &mut Input<'a>) -> Result<Vec<Event<'a>>, Quarantine> {
    let object = input.take_object()?;
    let fields = Fields(object);
    let kind = fields.text("atype").ok_or(Quarantine("mongodb_no_atype"))?;
    let act = Act {
        input,
        object,
        fields,
        kind: &kind,
    };
    Ok(act.events().into_iter().map(EventBuilder::finish).collect())
}

struct Act<'a, 'i> {
    input: &'i Input<'a>,
    object: Object<'a>,
    fields: Fields<'a>,
    kind: &'i str,
}

impl<'a> Act<'a, '_> {
    fn events(&self) -> Vec<EventBuilder<'a>> {
        match self.kind {
            "authenticate" => vec![self.logon(1)],
            "logout" => vec![self.logon(2)],
            "authCheck" => vec![self.check()],
            "createUser" => self.account(1),
            "updateUser" => self.account(match (self.changes_password(), self.is_own()) {
                (true, true) => 3,
                (true, false) => 4,
                _ => 99,
            }),
            "dropUser" | "dropAllUsersFromDatabase" => self.account(6),
            "grantRolesToUser" => vec![self.access(1)],
            "revokeRolesFromUser" => vec![self.access(2)],
            "createCollection" | "createDatabase" | "createIndex" | "importCollection" | "createView" => {
                vec![self.store(6)]
            }
            "renameCollection" | "collMod" => vec![self.store(2)],
            "dropCollection" | "dropDatabase" | "dropIndex" | "dropView" => vec![self.store(7)],
            "auditConfigure" => vec![self.audit(self.audit_activity())],
            "rotateLog" => vec![self.audit(5)],
            "startup" => vec![self.lifecycle(3)],
            "shutdown" => vec![self.lifecycle(4)],
            "clientMetadata" => vec![self.event(&class::NETWORK_ACTIVITY, 1)],
            "createRole" | "enableSharding" | "shardCollection" | "addShard" => vec![self.entity(1)],
            "dropRole" | "dropAllRolesFromDatabase" | "removeShard" => vec![self.entity(4)],
            "updateRole"
            | "grantRolesToRole"
            | "revokeRolesFromRole"
            | "grantPrivilegesToRole"
            | "revokePrivilegesFromRole"
            | "replSetReconfig"
            | "refineCollectionShardKey"
            | "setClusterParameter" => vec![self.entity(3)],
            "getClusterParameter" => vec![self.entity(2)],
            _ => vec![self.other()],
        }
    }

    fn param(&self, name: &str) -> Option<Cow<'a, str>> {
        self.fields.object("param")?.text(name)
    }

    fn param_value(&self, name: &str) -> Option<&'a Value<'a>> {
        self.fields.object("param")?.value(name)
    }

    /// `database.collection` that it is about.
    fn namespace(&self) -> Option<Cow<'a, str>> {
        self.param("ns").or_else(|| self.param("old"))
    }

    /// Who, when, from where, with what result.
    fn event(&self, class: &'static Class, activity: u8) -> EventBuilder<'a> {
        let f = self.fields;
        let mut b = EventBuilder::new(self.input, class, activity, "MongoDB", "MongoDB");
        let is_logon = class.uid == class::AUTHENTICATION.uid;
        let category = if is_logon { "authentication" } else { "database" };
        b.logsource("mongodb", category, "audit");
        b.metadata("event_code", self.kind).metadata_word("log_name", "audit");
        draft::utc(&mut b, self.input, time(f));
        let local = f.first(&["local.ip", "local.unix"]);
        host::device(&mut b, local.as_deref().filter(|l| !l.starts_with('/')));
        if class.has_source() {
            self.source(&mut b);
        }
        if let Some(uid) = connection(f) {
            b.metadata("correlation_uid", &*uid);
            b.set(if is_logon { "session.uid" } else { "actor.session.uid" }, &*uid);
        }
        if !is_logon {
            self.person(&mut b);
        }
        if let Some(code) = f.int("result") {
            b.success(code == 0);
            if code != 0 {
                b.set("status_code", code.to_string());
                let name = RESULTS.iter().find(|(n, _)| *n == code).map(|(_, name)| *name);
                b.set_some("status_detail", name);
            }
        }
        for name in ["local", "param", "intermediates", "roles"] {
            if let Some(value) = f.value(name) {
                b.unmapped(name, *value);
            }
        }
        if let Some(Value::Array(users)) = f.value("users")
            && users.len() > 1
        {
            b.unmapped("users", Value::Array(users));
        }
        draft::keep_rest(&mut b, self.object, &READ);
        b.native(self.object);
        b
    }

    fn source(&self, b: &mut EventBuilder<'a>) {
        match self.fields.first(&["remote.ip", "remote.unix"]) {
            Some(text) if text.starts_with('/') => drop(b.set("src_endpoint.name", &*text)),
            Some(ip) if b.ip("src_endpoint.ip", &ip) => {
                b.set_some("src_endpoint.port", draft::port(self.fields, "remote.port"));
            }
            _ => {}
        }
        if !b.has("src_endpoint") {
            b.set("src_endpoint.name", if self.is_system() { "system" } else { "-" });
        }
    }

    /// The database itself, of which it says so since 5.0.
    fn is_system(&self) -> bool {
        ["remote.isSystemUser", "local.isSystemUser"]
            .iter()
            .any(|p| self.fields.bool(p) == Some(true))
    }

    /// The first of `users`, and its database.
    fn first_user(&self) -> Option<(Cow<'a, str>, Option<Cow<'a, str>>)> {
        let Some(Value::Array(users)) = self.fields.value("users") else {
            return None;
        };
        let user = Fields(users.first()?.as_object()?);
        Some((user.text("user")?, user.text("db")))
    }

    fn person(&self, b: &mut EventBuilder<'a>) {
        match self.first_user() {
            Some((user, database)) => {
                b.set("actor.user.name", &*user);
                b.set_some("actor.user.uid", database.map(|db| format!("{db}.{user}")));
            }
            None if self.is_system() => {
                b.word("actor.user.name", "system")
                    .set("actor.user.type_id", 3)
                    .word("actor.user.type", "System");
            }
            None => {
                b.word("actor.user.name", "-");
            }
        }
    }

    /// Puts the account that it is about.
    fn whom(&self, b: &mut EventBuilder<'a>) {
        let user = self.param("user");
        match (&user, self.param("db")) {
            (Some(user), database) => {
                b.set("user.name", &**user);
                b.set_some("user.uid", database.map(|db| format!("{db}.{user}")));
            }
            // All of a database.
            (None, Some(database)) => drop(b.set("user.name", format!("{database}.*"))),
            (None, None) => drop(b.word("user.name", "-")),
        }
    }

    fn is_own(&self) -> bool {
        self.first_user()
            .is_some_and(|(user, database)| Some(user) == self.param("user") && database == self.param("db"))
    }

    /// Up to 4.2 the parameters tell the password itself, later whether it changed.
    fn changes_password(&self) -> bool {
        match self
            .param_value("passwordChanged")
            .or_else(|| self.param_value("password"))
        {
            Some(Value::Bool(changed)) => *changed,
            told => told.is_some(),
        }
    }

    fn logon(&self, activity: u8) -> EventBuilder<'a> {
        let mut b = self.event(&class::AUTHENTICATION, activity);
        b.word("service.name", "MongoDB");
        b.set("is_remote", self.fields.text("remote.ip").is_some());
        if self.param("user").is_some() {
            self.whom(&mut b);
        } else {
            let user = self.first_user();
            b.set("user.name", user.as_ref().map_or("-", |(user, _)| &**user));
            let uid = user.and_then(|(user, db)| Some(format!("{}.{user}", db?)));
            b.set_some("user.uid", uid);
        }
        if let Some(mechanism) = self.param("mechanism") {
            b.set("auth_protocol_id", 99).set("auth_protocol", &*mechanism);
        }
        b
    }

    /// The roles that it gives or takes, `role@database`.
    fn roles(&self) -> Vec<String> {
        let Some(Value::Array(roles)) = self.param_value("roles") else {
            return Vec::new();
        };
        let role = |value: &Value<'a>| match value {
            Value::Object(role) => {
                let role = Fields(*role);
                let name = role.text("role")?;
                Some(
                    role.text("db")
                        .map_or_else(|| name.to_string(), |db| format!("{name}@{db}")),
                )
            }
            plain => scalar(plain).map(Cow::into_owned),
        };
        roles.iter().filter_map(role).take(draft::ITEMS_MAX).collect()
    }

    fn account(&self, activity: u8) -> Vec<EventBuilder<'a>> {
        let mut b = self.event(&class::ACCOUNT_CHANGE, activity);
        if activity == 99 {
            b.set("activity_name", self.kind);
        }
        self.whom(&mut b);
        let mut all = vec![b];
        if activity != 6 && !self.roles().is_empty() {
            all.push(self.access(1));
        }
        all
    }

    fn access(&self, activity: u8) -> EventBuilder<'a> {
        let mut b = self.event(&class::USER_ACCESS, activity);
        self.whom(&mut b);
        let roles = self.roles();
        b.set("privileges", if roles.is_empty() { json!(["-"]) } else { json!(roles) });
        b
    }

    fn store(&self, activity: u8) -> EventBuilder<'a> {
        let mut b = self.event(&class::DATASTORE_ACTIVITY, activity);
        let ns = self.namespace();
        let (database, collection) = match ns.as_deref() {
            Some(ns) => seek::cut(ns, b'.').unwrap_or((ns, "")),
            None => ("", ""),
        };
        let database = if database.is_empty() { "-" } else { database };
        b.set("database", json!({"name": database, "type_id": 6, "type": "NoSQL"}));
        b.set("table.name", collection);
        if !collection.is_empty() {
            // The names that the data catalogue is compared with, as of a statement.
            let name = collection.to_lowercase();
            b.unmapped("tables", vec![format!("{}.{name}", database.to_lowercase()), name]);
        }
        b.set("type_id", if collection.is_empty() { 1 } else { 3 });
        b.set("type", if collection.is_empty() { "Database" } else { "Table" });
        b.set_some("unmapped.renamed_to", self.param("new").as_deref());
        b
    }

    fn check(&self) -> EventBuilder<'a> {
        let command = self.param("command").unwrap_or_default();
        let mut b = self.store(activity(&command));
        if let Some(Value::Object(args)) = self.param_value("args") {
            let uid = connection(self.fields).unwrap_or_else(|| "-".to_owned());
            b.set(
                "query_info",
                json!({"query_string": args.to_string(), "uid": uid, "name": command}),
            );
        } else if !command.is_empty() {
            b.set("query_info", json!({"query_string": command, "name": command}));
        }
        b
    }

    fn entity(&self, activity: u8) -> EventBuilder<'a> {
        let mut b = self.event(&class::ENTITY_MANAGEMENT, activity);
        let role = self.param("role");
        let what = ["shard", "connectionString", "parameterName", "ns", "db"];
        let name = role.clone().or_else(|| what.iter().find_map(|n| self.param(n)));
        b.set("entity.name", name.as_deref().unwrap_or(self.kind));
        let kind = match self.kind {
            _ if role.is_some() => "role",
            kind if seek::contains(kind, "Role") => "role",
            kind if seek::contains(kind, "hard") => "shard",
            "replSetReconfig" => "replica_set",
            _ => "parameter",
        };
        b.set("entity.type", kind);
        if let (Some(role), Some(db)) = (role, self.param("db")) {
            b.set("entity.uid", format!("{db}.{role}"));
        }
        let roles = self.roles();
        if !roles.is_empty() {
            b.set("comment", roles.join(", "));
        }
        b
    }

    /// Reads and writes that are not told any more are the part that matters of auditing.
    fn audit_activity(&self) -> u8 {
        let param = self.fields.object("param");
        let told = param.and_then(|p| {
            p.bool("config.auditAuthorizationSuccess")
                .or(p.bool("auditAuthorizationSuccess"))
        });
        if told == Some(false) { 10 } else { 99 }
    }

    fn audit(&self, activity: u8) -> EventBuilder<'a> {
        let mut b = self.event(&class::EVENT_LOG_ACTIVITY, activity);
        if activity == 99 {
            b.set("activity_name", self.kind);
        }
        b.word("log_name", "audit").word("log_provider", "MongoDB");
        b
    }

    fn lifecycle(&self, activity: u8) -> EventBuilder<'a> {
        let mut b = self.event(&class::APPLICATION_LIFECYCLE, activity);
        b.word("app.name", "MongoDB").word("app.vendor_name", "MongoDB");
        b
    }

    fn other(&self) -> EventBuilder<'a> {
        let mut b = self.event(&class::BASE_EVENT, 99);
        b.set("message", self.param("msg").as_deref().unwrap_or(self.kind));
        b
    }
}

static READ: Names = Names::new(&[
    "atype",
    "ts",
    "uuid",
    "local",
    "remote",
    "users",
    "roles",
    "param",
    "result",
    "intermediates",
]);

/// `{"$date": "…"}`, `{"$date": {"$numberLong": "…"}}`, or the time itself.
fn time(fields: Fields<'_>) -> Option<&Value<'_>> {
    ["ts.$date.$numberLong", "ts.$date", "ts"]
        .iter()
        .find_map(|path| fields.value(path).filter(|v| !v.is_object()))
}

/// The connection's id, as it is written.
fn connection(fields: Fields<'_>) -> Option<String> {
    let uid = fields.first(&["uuid.$binary.base64", "uuid.$binary", "uuid.$uuid", "uuid"])?;
    Some(uid.into_owned())
}
