//! Events of the lines of one id.

mod call;

use std::borrow::Cow;

use model::{Event, Value};
use serde_json::json;

use super::merged::{Merged, command_line, number};
use crate::builder::EventBuilder;
use crate::class::{self, Class};
use crate::command_line::simple_commands;
use crate::format::Input;
use crate::format::host;
use crate::format::linux_auth::DETAIL;
use crate::seek;

/// A program that changes from one user to another.
const SWITCHERS: &[&str] = &["su", "runuser", "sudo", "pkexec", "doas"];
/// Programs whose sessions are jobs, not people.
const SCHEDULERS: &[&str] = &["cron", "crond", "atd", "anacron"];

/// The events of the lines of one id; never none.
pub(super) fn events<'a>(input: &Input<'a>, lines: &Merged<'_>) -> Vec<Event<'a>> {
    let maker = Maker { input, lines };
    let kind = &*lines.main().kind;
    let built = match kind {
        "SYSCALL" | "EXECVE" | "PATH" => maker.call(),
        "USER_CMD" => return maker.sudo(),
        "USER_LOGIN" => maker.logon(),
        "USER_LOGOUT" | "USER_END" => maker.logoff(kind),
        "USER_AUTH" | "USER_ACCT" | "USER_START" | "USER_ERR" | "CRED_ACQ" | "CRED_REFR" | "CRED_DISP" => {
            maker.step(kind)
        }
        "LOGIN" => maker.login_uid(),
        "ADD_USER" | "DEL_USER" | "USER_CHAUTHTOK" | "ACCT_LOCK" | "ACCT_UNLOCK" | "USER_MGMT" => maker.account(kind),
        "ADD_GROUP" | "DEL_GROUP" | "GRP_CHAUTHTOK" | "GRP_MGMT" => maker.group(kind),
        "ROLE_ASSIGN" | "ROLE_REMOVE" => maker.role(kind),
        "CONFIG_CHANGE" | "DAEMON_START" | "DAEMON_END" | "DAEMON_ABORT" | "DAEMON_CONFIG" | "DAEMON_ROTATE"
        | "DAEMON_RESUME" | "DAEMON_ACCEPT" | "DAEMON_CLOSE" => maker.audit_state(kind),
        "SERVICE_START" | "SERVICE_STOP" | "SYSTEM_BOOT" | "SYSTEM_SHUTDOWN" => maker.lifecycle(kind),
        _ => maker.other(kind),
    };
    vec![built.finish()]
}

struct Maker<'a, 'i> {
    input: &'i Input<'a>,
    lines: &'i Merged<'i>,
}

impl<'a> Maker<'a, '_> {
    /// What every event has.
    fn event(&self, class: &'static Class, activity: u8) -> EventBuilder<'a> {
        let mut b = EventBuilder::new(self.input, class, activity, "Linux", "auditd");
        let id = self.lines.id();
        let (uid, time) = id.uid_in(b.arena());
        b.time(id.time);
        b.set("metadata.original_time", Value::String(time))
            .set("metadata.original_event_uid", Value::String(uid))
            .metadata("correlation_uid", Value::String(uid))
            .metadata_word("log_name", "audit");
        // The daemon numbers its own records as it likes.
        if !self.lines.main().kind.starts_with("DAEMON_") {
            b.set_some("metadata.sequence", i32::try_from(id.serial).ok());
        }
        host::device(&mut b, Some(id.node.as_str()));
        if self.lines.is_partial() {
            b.label("auditd.partial");
        }
        let category = match class.uid {
            1007 => "process_creation",
            3002 => "authentication",
            4001 => "network_connection",
            1001 if activity == 1 => "file_event",
            _ => "log",
        };
        b.logsource("linux", category, "auditd");
        b.native(self.lines.native(self.input.keep()));
        b.set("metadata.event_code", &*self.lines.main().kind);
        self.unmapped(&mut b);
        b
    }

    /// The fields that have no home in OCSF, under their own names.
    fn unmapped(&self, b: &mut EventBuilder<'_>) {
        for record in &self.lines.records {
            if matches!(&*record.kind, "EXECVE" | "PATH" | "EOE") {
                continue;
            }
            for (key, _) in record.fields.iter() {
                if is_mapped(key) {
                    continue;
                }
                let Some(value) = record.get(key) else { continue };
                let value = match memchr::memchr2(0, 1, value.as_bytes()) {
                    Some(_) => Cow::Owned(value.replace(['\0', '\u{1}'], " ")),
                    None => Cow::Borrowed(value),
                };
                // Laurel's own, whose fields are called as those of the event.
                match &*record.kind {
                    kind @ ("PARENT_INFO" | "CONTAINER_INFO") => b.unmapped(&format!("{kind}.{key}"), value),
                    _ => b.unmapped(key, value),
                };
            }
        }
    }

    /// `res=success`, `res=1`, `success=yes`.
    fn succeeded(&self) -> Option<bool> {
        let result = self.lines.get("res").or_else(|| self.lines.get("success"))?;
        // A connection that is being made (EINPROGRESS) is none that failed.
        if result == "no" && matches!(self.lines.get("exit"), Some("-115" | "EINPROGRESS")) {
            return None;
        }
        Some(matches!(result, "success" | "yes" | "1"))
    }

    fn outcome(&self, b: &mut EventBuilder<'_>) {
        if let Some(success) = self.succeeded() {
            b.success(success);
            if !success {
                b.set_some("status_code", self.lines.get("exit"));
            }
        }
    }

    /// Who did it: the login uid, the session, the terminal.
    fn actor(&self, b: &mut EventBuilder<'_>) {
        let lines = self.lines;
        b.set_some("actor.user.name", lines.translated("AUID").filter(|n| *n != "unset"));
        b.set_some("actor.user.uid", lines.get("auid"));
        b.set_some("actor.session.uid", lines.get("ses"));
        b.set_some(
            "actor.session.terminal",
            lines.get("tty").or_else(|| lines.get("terminal")),
        );
    }

    /// The process that wrote the record, as the actor's.
    fn acting_process(&self, b: &mut EventBuilder<'_>) {
        let lines = self.lines;
        let Some(pid) = number(lines.get("pid")) else { return };
        b.set("actor.process.pid", pid);
        if let Some(exe) = lines.get("exe") {
            b.set("actor.process.name", host::file_name(exe));
            host::file(b, "actor.process.file", exe, false);
        } else {
            b.set_some("actor.process.name", lines.get("comm"));
        }
    }

    /// The account that it was done as or on: `acct=`, else the `id=`.
    fn account_name(&self) -> (Option<&str>, Option<&str>) {
        let translated = self.lines.translated("ID").filter(|n| *n != "unset");
        (self.lines.get("acct").or(translated), self.lines.get("id"))
    }

    fn user(&self, b: &mut EventBuilder<'_>) {
        let (name, uid) = self.account_name();
        b.set_some("user.name", name);
        b.set_some("user.uid", uid);
        if name.is_none() && uid.is_none() {
            b.word("user.name", "-");
        }
    }

    /// Where the person sits.
    fn source(&self, b: &mut EventBuilder<'_>) {
        for name in ["addr", "hostname"] {
            if let Some(place) = self.lines.get(name)
                && !b.has("src_endpoint")
            {
                b.host("src_endpoint", place);
            }
        }
    }

    fn program(&self) -> &str {
        self.lines
            .get("exe")
            .map(host::file_name)
            .or_else(|| self.lines.get("comm"))
            .unwrap_or("auditd")
    }

    fn authentication(&self, activity: u8) -> EventBuilder<'a> {
        let mut b = self.event(&class::AUTHENTICATION, activity);
        self.outcome(&mut b);
        self.user(&mut b);
        self.source(&mut b);
        self.acting_process(&mut b);
        b.set("service.name", self.program());
        b.set_some("session.uid", self.lines.get("ses"));
        b.set_some("session.terminal", self.lines.get("terminal"));
        if b.has("src_endpoint") {
            b.set("is_remote", true);
        }
        if !self.lines.id().node.is_empty() {
            b.host("dst_endpoint", &self.lines.id().node);
        }
        b
    }

    fn logon(&self) -> EventBuilder<'a> {
        self.authentication(1)
    }

    fn logoff(&self, kind: &str) -> EventBuilder<'a> {
        let mut b = self.authentication(2);
        // Of a session with a terminal sshd writes both.
        if kind == "USER_LOGOUT" || self.program() == "sudo" {
            b.label(DETAIL);
        }
        b
    }

    fn step(&self, kind: &str) -> EventBuilder<'a> {
        let program = self.program();
        let is_switch = SWITCHERS.contains(&program);
        let activity = match kind {
            "CRED_DISP" => 2,
            _ if is_switch => 7,
            _ => 1,
        };
        let mut b = self.authentication(activity);
        if activity == 7 {
            let (id, name) = match program {
                "sudo" => (2, "Impersonate"),
                _ => (1, "Substitute User"),
            };
            b.set("account_switch_type_id", id).set("account_switch_type", name);
            self.actor(&mut b);
        }
        if SCHEDULERS.contains(&program) {
            b.set("logon_type_id", 4).word("logon_type", "Batch");
        }
        let stands_for_it = is_switch
            && program != "sudo"
            && (kind == "USER_START" || kind == "USER_AUTH" && self.succeeded() == Some(false));
        if !stands_for_it {
            b.label(DETAIL);
        }
        b
    }

    /// The kernel's own record that a process's login uid was set.
    fn login_uid(&self) -> EventBuilder<'a> {
        let mut b = self.authentication(1);
        let lines = self.lines;
        let uid = lines.get("auid").or_else(|| lines.get("new-auid"));
        if let Some(uid) = uid {
            // No account is named.
            b.set("user", json!({"uid": uid}));
            b.set_some("user.name", lines.translated("AUID"));
        }
        b.label(DETAIL);
        b
    }

    /// sudo: the change of user, and the command.
    fn sudo(&self) -> Vec<Event<'a>> {
        let lines = self.lines;
        let command = lines.get("cmd").unwrap_or("");
        let mut switch = self.event(&class::AUTHENTICATION, 7);
        switch
            .set("account_switch_type_id", 2)
            .word("account_switch_type", "Impersonate");
        // The record does not say as whom; sudo's own line does.
        switch.set("user.name", lines.get("acct").unwrap_or("-"));
        switch.word("service.name", "sudo").set("is_remote", false);
        switch.unmapped("command", command);
        let mut events = Vec::new();
        for mut b in [Some(switch), self.sudo_command(command)].into_iter().flatten() {
            self.outcome(&mut b);
            self.actor(&mut b);
            if self.succeeded() == Some(false) {
                b.control(2, 2);
            }
            if !b.has("actor.user") {
                b.word("actor.user.name", "-");
            }
            events.push(b.finish());
        }
        events
    }

    fn sudo_command(&self, command: &str) -> Option<EventBuilder<'a>> {
        if command.is_empty() {
            return None;
        }
        let mut b = self.event(&class::PROCESS_ACTIVITY, 1);
        let program = command.split(' ').next().unwrap_or("");
        b.set("process.uid", self.lines.id().to_string())
            .set("process.cmd_line", command)
            .set("process.name", host::file_name(program));
        if program.starts_with('/') {
            host::file(&mut b, "process.file", program, false);
        }
        b.set_some("process.working_directory", self.lines.get("cwd"));
        self.acting_process(&mut b);
        b.commands(simple_commands(command));
        let keep = self.input.keep();
        let mut native = self.lines.native(keep);
        for (name, value) in [
            ("CommandLine", command),
            ("Image", program),
            ("ParentImage", self.lines.get("exe").unwrap_or("/usr/bin/sudo")),
        ] {
            native.insert(name, keep.text(value));
        }
        b.native(native);
        Some(b)
    }

    fn account(&self, kind: &str) -> EventBuilder<'a> {
        let operation = self.lines.get("op").unwrap_or("");
        let (name, uid) = self.account_name();
        let in_group = self.lines.get("grp").is_some();
        let (class, activity) = match kind {
            "ADD_USER" => (&class::ACCOUNT_CHANGE, 1),
            "DEL_USER" => (&class::ACCOUNT_CHANGE, 6),
            "ACCT_LOCK" => (&class::ACCOUNT_CHANGE, 9),
            "ACCT_UNLOCK" => (&class::ACCOUNT_CHANGE, 12),
            "USER_CHAUTHTOK" => {
                let own = self.lines.translated("AUID").is_some_and(|a| Some(a) == name)
                    || uid.is_some() && uid == self.lines.get("auid");
                (&class::ACCOUNT_CHANGE, if own { 3 } else { 4 })
            }
            _ if in_group && seek::contains(operation, "add") => (&class::GROUP_MANAGEMENT, 3),
            _ if in_group && (seek::contains(operation, "delete") || seek::contains(operation, "remov")) => {
                (&class::GROUP_MANAGEMENT, 4)
            }
            _ if seek::contains(operation, "unlock") => (&class::ACCOUNT_CHANGE, 12),
            _ if seek::contains(operation, "lock") => (&class::ACCOUNT_CHANGE, 9),
            _ => (&class::ACCOUNT_CHANGE, 99),
        };
        let mut b = self.event(class, activity);
        if activity == 99 && !operation.is_empty() {
            b.set("activity_name", operation);
        }
        if class.uid == class::GROUP_MANAGEMENT.uid {
            b.set_some("group.name", self.lines.get("grp"));
        }
        self.user(&mut b);
        self.done_by(&mut b);
        b
    }

    /// Result, actor and place of an administrative act.
    fn done_by(&self, b: &mut EventBuilder<'_>) {
        self.outcome(b);
        self.actor(b);
        self.acting_process(b);
        if class_has_source(b.class_uid()) {
            self.source(b);
        }
    }

    fn group(&self, kind: &str) -> EventBuilder<'a> {
        let operation = self.lines.get("op").unwrap_or("");
        let activity = match kind {
            "ADD_GROUP" => 6,
            "DEL_GROUP" => 5,
            _ if seek::contains(operation, "add-user") => 3,
            _ if seek::contains(operation, "delete-user") => 4,
            _ => 99,
        };
        let mut b = self.event(&class::GROUP_MANAGEMENT, activity);
        if activity == 99 && !operation.is_empty() {
            b.set("activity_name", operation);
        }
        let name = self.lines.get("grp").or_else(|| self.lines.get("acct"));
        b.set_some("group.name", name);
        b.set_some("group.uid", self.lines.get("id").or_else(|| self.lines.get("gid")));
        if !b.has("group") {
            b.word("group.name", "-");
        }
        self.done_by(&mut b);
        b
    }

    fn role(&self, kind: &str) -> EventBuilder<'a> {
        let mut b = self.event(&class::USER_ACCESS, if kind == "ROLE_ASSIGN" { 1 } else { 2 });
        let role = self
            .lines
            .get(if kind == "ROLE_ASSIGN" { "new-role" } else { "old-role" })
            .or_else(|| self.lines.get("new-seuser"))
            .unwrap_or("-");
        b.set("privileges", vec![role]);
        self.user(&mut b);
        self.done_by(&mut b);
        b
    }

    /// What happens to auditing itself.
    fn audit_state(&self, kind: &str) -> EventBuilder<'a> {
        let lines = self.lines;
        let (activity, name) = match (kind, lines.get("audit_enabled")) {
            ("CONFIG_CHANGE", Some("0")) => (10, ""),
            ("CONFIG_CHANGE", Some(_)) => (9, ""),
            ("DAEMON_START" | "DAEMON_RESUME", _) => (6, ""),
            ("DAEMON_END" | "DAEMON_ABORT", _) => (7, ""),
            ("DAEMON_ROTATE", _) => (5, ""),
            ("CONFIG_CHANGE", _) => (99, lines.get("op").unwrap_or("Change configuration")),
            _ => (99, kind),
        };
        let mut b = self.event(&class::EVENT_LOG_ACTIVITY, activity);
        b.set("activity_name", name)
            .word("log_name", "audit")
            .word("log_provider", "auditd");
        self.done_by(&mut b);
        if kind == "DAEMON_ABORT" {
            b.success(false);
        }
        // Whoever hides switches this off first.
        if matches!(activity, 7 | 10) {
            b.severity(3);
        }
        b
    }

    fn lifecycle(&self, kind: &str) -> EventBuilder<'a> {
        let start = matches!(kind, "SERVICE_START" | "SYSTEM_BOOT");
        let mut b = self.event(&class::APPLICATION_LIFECYCLE, if start { 3 } else { 4 });
        b.set("app.name", self.lines.get("unit").unwrap_or("system"));
        b.set_some("app.vendor_name", Some("Linux"));
        self.outcome(&mut b);
        self.actor(&mut b);
        self.acting_process(&mut b);
        b
    }

    /// What the kernel's security modules and its own alarms say.
    fn other(&self, kind: &str) -> EventBuilder<'a> {
        let lines = self.lines;
        let main = lines.main();
        let mut b = self.event(&class::BASE_EVENT, 99);
        b.set("activity_name", kind).set("message", main.text);
        let denied = main.get("apparmor") == Some("DENIED") || seek::contains(main.text, "avc:  denied");
        if denied {
            b.success(false);
        } else {
            self.outcome(&mut b);
        }
        if kind.starts_with("ANOM_") || kind.starts_with("INTEGRITY_") {
            b.severity(3);
        }
        self.actor(&mut b);
        self.acting_process(&mut b);
        if kind == "PROCTITLE"
            && let Some(title) = lines.title()
        {
            b.unmapped("proctitle", command_line(&title));
            if lines.title_is_cut() {
                b.label("cmd.truncated");
            }
        }
        if matches!(kind, "TTY" | "USER_TTY") {
            // The keystrokes, which may be a password; the text of the line has them as hex.
            b.word("message", "").label("auditd.keystrokes");
        }
        b
    }
}

/// Whether a field has a home in OCSF.
fn is_mapped(key: &str) -> bool {
    matches!(
        key,
        "pid"
            | "ppid"
            | "auid"
            | "exe"
            | "comm"
            | "cwd"
            | "res"
            | "acct"
            | "hostname"
            | "addr"
            | "terminal"
            | "tty"
            | "cmd"
            | "proctitle"
            | "success"
            | "data"
            | "argc"
            | "items"
            | "arch"
            | "syscall"
    )
}

fn class_has_source(uid: u32) -> bool {
    uid / 1000 >= 3 || uid == class::EVENT_LOG_ACTIVITY.uid
}
