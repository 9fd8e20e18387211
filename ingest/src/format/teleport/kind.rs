//! Which class and activity an event of Teleport is.

use crate::class::{self, Class};
use crate::fields::Fields;
use crate::format::mongodb_audit;
use crate::seek;

/// How an event is told; several events are told alike.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Logon,
    Session,
    Command,
    Disk,
    Network,
    Transfer,
    Database,
    Desktop,
    Recording,
    App,
    Kube,
    Account,
    Entity,
    Other,
}

/// How the event of that name is told, its class and activity.
pub(super) fn kind(fields: Fields<'_>, name: &str) -> (Kind, &'static Class, u8) {
    let ssh = |activity| (Kind::Session, &class::SSH_ACTIVITY, activity);
    let account = |activity| (Kind::Account, &class::ACCOUNT_CHANGE, activity);
    match name {
        "user.login" | "auth" | "bot.join" | "instance.join" => (Kind::Logon, &class::AUTHENTICATION, 1),
        "cert.create" => (Kind::Logon, &class::AUTHENTICATION, 3),
        "session.start" => ssh(1),
        "session.end" => ssh(2),
        "session.join" | "session.leave" | "session.connect" | "session.upload" | "session.rejected" | "resize" => {
            ssh(99)
        }
        "session.data" | "port" | "subsystem" | "x11-forward" | "x11.forward" => ssh(6),
        "session.command" | "exec" => (Kind::Command, &class::PROCESS_ACTIVITY, 1),
        "session.disk" => (Kind::Disk, &class::FILE_ACTIVITY, 14),
        "session.network" => (Kind::Network, &class::NETWORK_ACTIVITY, 1),
        "session.recording.access" => (Kind::Recording, &class::WEB_RESOURCES_ACTIVITY, 2),
        "scp" | "sftp" => (Kind::Transfer, &class::FILE_HOSTING, transfer(fields, name)),
        "desktop.directory.share" => (Kind::Transfer, &class::FILE_HOSTING, 12),
        "desktop.directory.read" => (Kind::Transfer, &class::FILE_HOSTING, 2),
        "desktop.directory.write" => (Kind::Transfer, &class::FILE_HOSTING, 1),
        "windows.desktop.session.start" => (Kind::Desktop, &class::RDP_ACTIVITY, 3),
        "windows.desktop.session.end" => (Kind::Desktop, &class::RDP_ACTIVITY, 7),
        _ if name.starts_with("desktop.") => (Kind::Desktop, &class::RDP_ACTIVITY, 6),
        "app.session.request" => (Kind::App, &class::WEB_RESOURCES_ACTIVITY, 2),
        _ if name.starts_with("app.session.") => (Kind::App, &class::WEB_RESOURCES_ACTIVITY, 99),
        "kube.request" => (
            Kind::Kube,
            &class::API_ACTIVITY,
            http_activity(&fields.text("verb").unwrap_or_default()),
        ),
        "db.session.start" => (Kind::Database, &class::DATASTORE_ACTIVITY, 3),
        "db.session.end" => (Kind::Database, &class::DATASTORE_ACTIVITY, 99),
        "db.create" | "db.update" | "db.delete" => (Kind::Entity, &class::ENTITY_MANAGEMENT, entity(name)),
        _ if name.starts_with("db.session.") || name.ends_with("dynamodb.request") => {
            (Kind::Database, &class::DATASTORE_ACTIVITY, statement(fields))
        }
        "user.create" => account(1),
        "user.delete" => account(6),
        "user.password_change" => account(3),
        "reset_password_token.create" => account(4),
        "lock.created" => account(9),
        "lock.deleted" => account(12),
        "mfa.add" => account(10),
        "mfa.delete" => account(11),
        _ if name.starts_with("user.")
            || name.starts_with("recovery_")
            || name == "privilege_token.create"
            || name == "reset_password_token.deleted" =>
        {
            account(99)
        }
        _ if name.starts_with("access_request.") || entity(name) != 99 && !name.starts_with("billing.") => {
            (Kind::Entity, &class::ENTITY_MANAGEMENT, entity(name))
        }
        _ => (Kind::Other, &class::API_ACTIVITY, 99),
    }
}

fn entity(name: &str) -> u8 {
    match name.rsplit('.').next().unwrap_or_default() {
        "create" | "created" => 1,
        "search" | "read" => 2,
        "update" | "updated" | "review" => 3,
        "delete" | "deleted" => 4,
        _ => 99,
    }
}

fn http_activity(verb: &str) -> u8 {
    match verb {
        "GET" | "HEAD" | "OPTIONS" => 2,
        "POST" => 1,
        "PUT" | "PATCH" => 3,
        "DELETE" => 4,
        _ => 99,
    }
}

/// The activity of a file transfer; sftp's actions are numbers: 1 open, 2 close, 3 read, 4 write, 5 lstat, 6 fstat, 7 setstat,
/// 8 fsetstat, 9 opendir, 10 readdir, 11 remove, 12 mkdir, 13 rmdir, 14 realpath, 15 stat, 16 rename, 17 readlink, 18 symlink.
fn transfer(fields: Fields<'_>, name: &str) -> u8 {
    let action = fields.text("action").unwrap_or_default();
    if name == "scp" {
        return match &*action {
            "upload" => 1,
            "download" => 2,
            _ => 99,
        };
    }
    match &*action {
        // An open for writing is an upload, one for reading a download; which the flags of open(2) tell.
        "1" => match fields.int("flags") {
            Some(flags) if flags & 3 != 0 => 1,
            Some(_) => 2,
            None => 14,
        },
        "3" => 2,
        "4" => 1,
        // setstat, fsetstat; remove, rmdir; rename.
        "7" | "8" => 3,
        "11" | "13" => 4,
        "16" => 5,
        _ => 99,
    }
}

/// The activity of a statement by its first word.
fn statement(fields: Fields<'_>) -> u8 {
    let query = fields.first(&["db_query", "query"]).unwrap_or_default();
    if let Some(command) = query.trim_start().strip_prefix('{') {
        // MongoDB's: the command is the first key.
        let command = command.trim_start().strip_prefix('"').and_then(|c| seek::cut(c, b'"'));
        return mongodb_audit::activity(command.map_or("", |(name, _)| name));
    }
    let first = query.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
    match &*first {
        "SELECT" => 1,
        "UPDATE" => 2,
        "INSERT" => 5,
        "CREATE" | "GRANT" => 6,
        "DELETE" | "DROP" | "TRUNCATE" => 7,
        "" => 99,
        _ => 4,
    }
}
