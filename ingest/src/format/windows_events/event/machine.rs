//! What runs on the machine: processes, files, services, tasks, connections, scripts, its log.

use serde_json::json;

use super::super::classes::{NETWORK_FILE_ACTIVITY, SMB_ACTIVITY, WINDOWS_SERVICE_ACTIVITY};
use super::{Channel, Maker, number};
use crate::builder::EventBuilder;
use crate::class;
use crate::command_line::windows_commands;
use crate::format::host;
use crate::seek;

impl<'a> Maker<'a, '_> {
    pub(super) fn process(&self, activity: u8) -> EventBuilder<'a> {
        let mut b = self.event(&class::PROCESS_ACTIVITY, activity);
        let (id, name) = match activity {
            1 => ("NewProcessId", "NewProcessName"),
            _ => ("ProcessId", "ProcessName"),
        };
        self.process_at(&mut b, "process", id, name);
        if !b.has("process.pid") {
            // OCSF wants a process to be told by something: the record that told of it.
            let record = self.entry.record.as_deref().filter(|r| !r.trim().is_empty());
            b.set("process.uid", record.unwrap_or("-"));
        }
        self.user(&mut b, "actor.user", "Subject");
        b.set_some("actor.session.uid", self.get("SubjectLogonId").as_deref());
        if activity == 1 {
            self.process_at(&mut b, "process.parent_process", "ProcessId", "ParentProcessName");
            self.process_at(&mut b, "actor.process", "ProcessId", "ParentProcessName");
            self.user(&mut b, "process.user", "Target");
            if let Some(command) = self.get("CommandLine") {
                b.set("process.cmd_line", &*command);
                b.commands(windows_commands(&command));
            }
        } else {
            b.set_some("exit_code", self.get("Status").and_then(|s| number(&s)));
        }
        if !b.has("actor") {
            b.word("actor.user.name", "-");
        }
        b.success(true);
        b
    }

    pub(super) fn is_file(&self) -> bool {
        self.get("ObjectType").is_some_and(|t| t == "File") && self.get("ObjectName").is_some()
    }

    pub(super) fn file(&self, id: u32) -> EventBuilder<'a> {
        // DELETE, WRITE_DAC and WRITE_OWNER, WriteData and AppendData, ReadData.
        let mask = self.get("AccessMask").and_then(|m| number(&m)).unwrap_or(0);
        let activity = match id {
            4660 => 4,
            4670 => 7,
            4656 => 14,
            4658 => 99,
            _ if mask & 0x1_0000 != 0 => 4,
            _ if mask & 0xC_0000 != 0 => 7,
            _ if mask & 0x6 != 0 => 3,
            _ if mask & 0x1 != 0 => 2,
            _ => 14,
        };
        let mut b = self.event(&class::FILE_ACTIVITY, activity);
        if id == 4658 {
            b.word("activity_name", "Close");
        }
        host::file(&mut b, "file", &self.get("ObjectName").unwrap_or_default(), false);
        self.some_actor(&mut b);
        self.outcome(&mut b);
        b
    }

    pub(super) fn share(&self) -> EventBuilder<'a> {
        let mut b = self.event(&SMB_ACTIVITY, 2);
        self.actor(&mut b);
        self.source(&mut b, "IpAddress", "IpPort", "");
        if !b.has("src_endpoint") {
            b.word("src_endpoint.name", "-");
        }
        b.set_some("share", self.get("ShareName").as_deref());
        self.outcome(&mut b);
        b
    }

    pub(super) fn shared_file(&self) -> EventBuilder<'a> {
        let mut b = self.event(&NETWORK_FILE_ACTIVITY, 14);
        self.some_actor(&mut b);
        self.source(&mut b, "IpAddress", "IpPort", "");
        if !b.has("src_endpoint") {
            b.word("src_endpoint.name", "-");
        }
        let share = self.get("ShareName").unwrap_or_default();
        let name = self.get("RelativeTargetName").unwrap_or_default();
        let path = format!("{}\\{}", share.trim_end_matches('\\'), name.trim_start_matches('\\'));
        host::file(&mut b, "file", &path, false);
        self.outcome(&mut b);
        b
    }

    pub(super) fn service(&self) -> EventBuilder<'a> {
        let mut b = self.event(&WINDOWS_SERVICE_ACTIVITY, 1);
        b.set("win_service.name", self.get("ServiceName").as_deref().unwrap_or("-"));
        let image = self.get("ServiceFileName").or_else(|| self.get("ImagePath"));
        match image.as_deref().filter(|i| !i.is_empty()) {
            Some(image) => b.set("win_service.cmd_line", image),
            // The class wants one thing about the service beside its name.
            None => b.set("win_service.service_type_id", 0),
        };
        self.some_actor_or_log(&mut b);
        self.outcome(&mut b);
        b
    }

    /// System events name nobody but by SID, or as NXLog resolves it.
    pub(super) fn some_actor_or_log(&self, b: &mut EventBuilder<'a>) {
        self.actor(b);
        if !b.has("actor.user") {
            b.set_some(
                "actor.user.name",
                // In the event data itself the name is that of the account that the service runs under.
                self.get("AccountName")
                    .filter(|_| self.entry.id == 7045 && self.get("AccountType").is_some())
                    .as_deref(),
            );
            b.set_some("actor.user.uid", self.entry.user_sid.as_deref());
        }
        if !b.has("actor") {
            b.word("actor.user.name", "-");
        }
    }

    pub(super) fn task(&self, activity: u8) -> EventBuilder<'a> {
        let mut b = self.event(&class::SCHEDULED_JOB_ACTIVITY, activity);
        b.set("job.name", self.get("TaskName").as_deref().unwrap_or("-"));
        let content = self.get("TaskContent").or_else(|| self.get("TaskContentNew"));
        if let Some(content) = &content {
            let part = |name: &str| {
                let (_, rest) = content.split_once(&format!("<{name}>"))?;
                Some(seek::split_once(rest, "</")?.0.trim())
            };
            let command = match (part("Command"), part("Arguments")) {
                (Some(command), Some(arguments)) => format!("{command} {arguments}"),
                (command, _) => command.unwrap_or("").to_owned(),
            };
            b.set("job.cmd_line", command.as_str());
            if !command.is_empty() {
                b.commands(windows_commands(&command));
            }
            b.set_some("job.user.name", part("UserId").filter(|u| !u.is_empty()));
        }
        self.actor(&mut b);
        self.outcome(&mut b);
        b
    }

    /// The log itself was cleared, or the service that writes it stopped.
    pub(super) fn log(&self, activity: u8) -> EventBuilder<'a> {
        let mut b = self.event(&class::EVENT_LOG_ACTIVITY, activity);
        let log = self.get("Channel");
        b.set("log_name", log.as_deref().unwrap_or("Security"));
        if self.entry.provider.is_empty() {
            b.word("log_provider", "Windows");
        } else {
            b.set("log_provider", self.entry.provider.as_str());
        }
        self.some_actor_or_log(&mut b);
        b.success(true).severity(3);
        b
    }

    pub(super) fn audit_policy(&self) -> EventBuilder<'a> {
        // %%8448 and %%8450: success or failure no longer audited.
        let changes = self.get("AuditPolicyChanges").unwrap_or_default();
        let removed = ["%%8448", "%%8450", "removed"].iter().any(|c| changes.contains(c));
        let mut b = self.event(&class::EVENT_LOG_ACTIVITY, if removed { 10 } else { 99 });
        if removed {
            b.severity(3);
        } else {
            b.word("activity_name", "Change audit policy");
        }
        b.word("log_name", "Security")
            .word("log_provider", "Microsoft-Windows-Security-Auditing");
        self.actor(&mut b);
        self.outcome(&mut b);
        b
    }

    pub(super) fn policy(&self) -> EventBuilder<'a> {
        let mut b = self.event(&class::ENTITY_MANAGEMENT, 3);
        let kind = match self.entry.id {
            4713 => "Kerberos policy",
            4739 => "domain policy",
            _ => "audit policy",
        };
        let name = self.get("ObjectName").or_else(|| self.get("DomainName"));
        b.set("entity", json!({"type": kind, "name": name.as_deref().unwrap_or(kind)}));
        self.actor(&mut b);
        self.outcome(&mut b);
        b
    }

    pub(super) fn connection(&self, activity: u8) -> EventBuilder<'a> {
        let mut b = self.event(&class::NETWORK_ACTIVITY, activity);
        for (path, ip, port) in [
            ("src_endpoint", "SourceAddress", "SourcePort"),
            ("dst_endpoint", "DestAddress", "DestPort"),
        ] {
            match self.get(ip) {
                Some(ip) => drop(b.host(path, &ip)),
                None => drop(b.set_in(path, "name", "-")),
            }
            b.set_some_in(path, "port", self.get(port).and_then(|p| p.parse::<u16>().ok()));
        }
        self.process_at(&mut b, "actor.process", "ProcessId", "Application");
        self.process_at(&mut b, "actor.process", "ProcessID", "Application");
        b.success(activity == 1);
        b
    }

    pub(super) fn script(&self) -> EventBuilder<'a> {
        let mut b = self.event(&class::SCRIPT_ACTIVITY, 1);
        let text = self
            .get("ScriptBlockText")
            .or_else(|| self.get("Payload"))
            .unwrap_or_default();
        b.set(
            "script.script_content.value",
            if text.is_empty() { "-" } else { &*text },
        );
        b.set("script.type_id", 2).word("script.type", "PowerShell");
        b.set_some("script.uid", self.get("ScriptBlockId").as_deref());
        if let Some(path) = self.get("Path") {
            host::file(&mut b, "script.file", &path, false);
        }
        if self.get("MessageTotal").is_some_and(|t| t != "1") {
            b.label("script.part");
        }
        b.set_some("actor.user.uid", self.entry.user_sid.as_deref());
        // `… User = CORP\li.na …`, a line of the context of 4103.
        if let Some(context) = self.get("ContextInfo")
            && let Some((_, user)) = context
                .split_once("User = ")
                .filter(|(before, _)| !before.ends_with("Connected "))
            && let Some(user) = user.split(['\r', '\n']).next()
        {
            let (domain, name) = user.trim().split_once('\\').unwrap_or(("", user.trim()));
            b.set("actor.user.name", name).set("actor.user.domain", domain);
        }
        if !b.has("actor") {
            b.word("actor.user.name", "-");
        }
        b.commands(windows_commands(&text));
        b.success(true);
        b
    }

    pub(super) fn other(&self) -> EventBuilder<'a> {
        let mut b = self.event(&class::BASE_EVENT, 99);
        b.set("activity_name", format!("Event {}", self.entry.id));
        self.actor(&mut b);
        if self.channel() == Channel::Security {
            self.outcome(&mut b);
        }
        b
    }
}
