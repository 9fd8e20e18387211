//! Events of system calls: programs run, files changed, connections.

use super::Maker;
use crate::builder::EventBuilder;
use crate::class;
use crate::command_line::simple_commands;
use crate::format::host;
use crate::format::linux_auditd::merged::{PathItem, Socket, command_line, number};
use crate::format::linux_auditd::syscall;

impl<'a> Maker<'a, '_> {
    /// A system call.
    pub(super) fn call(&self) -> EventBuilder<'a> {
        let lines = self.lines;
        let call = lines.syscall().unwrap_or("");
        if matches!(call, "execve" | "execveat") || call.is_empty() && lines.of("EXECVE").is_some() {
            return self.execution();
        }
        if matches!(call, "connect" | "accept" | "accept4" | "bind" | "listen" | "sendto")
            && let Some(socket) = lines.socket()
        {
            return self.network(call, &socket);
        }
        let paths = lines.paths();
        let files: Vec<PathItem<'_>> = paths.iter().copied().filter(|p| p.nametype != "PARENT").collect();
        let activity = syscall::file_activity(call);
        let file = match activity {
            // The name that is gone; the new one is the result.
            Some(4 | 5) => files.iter().find(|p| p.nametype == "DELETE").or(files.first()),
            _ => files.iter().find(|p| p.nametype == "CREATE").or(files.first()),
        };
        if let Some(file) = file.or(paths.last())
            && (activity.is_some() || call.is_empty())
        {
            return self.file(call, file, &files);
        }
        let mut b = self.event(&class::BASE_EVENT, 99);
        b.set("activity_name", if call.is_empty() { "SYSCALL" } else { call });
        self.outcome(&mut b);
        self.actor(&mut b);
        self.acting_process(&mut b);
        b
    }

    fn execution(&self) -> EventBuilder<'a> {
        let lines = self.lines;
        let mut b = self.event(&class::PROCESS_ACTIVITY, 1);
        let arguments = lines
            .arguments()
            .map(|(arguments, _)| command_line(arguments))
            .or_else(|| lines.of("EXECVE")?.get("ARGV_STR").map(str::to_owned));
        let arguments_missing = lines.arguments().is_some_and(|(_, whole)| !*whole);
        if arguments_missing || (arguments.is_none() && lines.title_is_cut()) {
            b.label("cmd.truncated");
        }
        let command = match arguments {
            Some(command) => command,
            None => lines.title().map(|t| command_line(&t)).unwrap_or_default(),
        };
        match number(lines.get("pid")) {
            Some(pid) => drop(b.set("process.pid", pid)),
            None => drop(b.set("process.uid", lines.id().to_string())),
        }
        b.set("process.cmd_line", command.as_str());
        // Of a call that failed `exe` is the caller.
        let image = lines
            .get("exe")
            .filter(|_| self.succeeded() != Some(false))
            .or_else(|| lines.paths().first().map(|p| p.name));
        let program = image.unwrap_or_else(|| command.split(' ').next().unwrap_or(""));
        b.set("process.name", host::file_name(program));
        if let Some(image) = image {
            host::file(&mut b, "process.file", image, false);
        }
        b.set_some("process.working_directory", lines.get("cwd"));
        b.set_some("process.parent_process.pid", number(lines.get("ppid")));
        b.set_some(
            "process.user.name",
            lines.translated("EUID").or_else(|| lines.translated("UID")),
        );
        b.set_some("process.user.uid", lines.get("euid").or_else(|| lines.get("uid")));
        b.set_some("process.session.uid", lines.get("ses"));
        self.outcome(&mut b);
        self.actor(&mut b);
        match number(lines.get("ppid")) {
            Some(parent) => drop(b.set("actor.process.pid", parent)),
            None if !b.has("actor.user") => drop(b.word("actor.user.name", "-")),
            None => {}
        }
        if !command.is_empty() {
            b.commands(simple_commands(&command));
        }
        let keep = self.input.keep();
        let mut native = lines.native(keep);
        let user = lines
            .translated("EUID")
            .or_else(|| lines.translated("UID"))
            .or_else(|| lines.get("euid"));
        for (name, value) in [
            ("CommandLine", Some(command.as_str())),
            ("Image", image),
            ("User", user),
            ("CurrentDirectory", lines.get("cwd")),
            ("LogonId", lines.get("ses")),
            ("ProcessId", lines.get("pid")),
        ] {
            if let Some(value) = value.filter(|v| !v.is_empty()) {
                native.insert(name, keep.text(value));
            }
        }
        b.native(native);
        b
    }

    fn file(&self, call: &str, file: &PathItem<'_>, files: &[PathItem<'_>]) -> EventBuilder<'a> {
        let lines = self.lines;
        let activity = match syscall::file_activity(call) {
            Some(14) if file.nametype == "CREATE" => 1,
            Some(activity) => activity,
            None => match file.nametype {
                "CREATE" => 1,
                "DELETE" => 4,
                _ => 0,
            },
        };
        let mut b = self.event(&class::FILE_ACTIVITY, activity);
        let path = absolute(lines.get("cwd"), file.name);
        host::file(&mut b, "file", &path, file.is_folder);
        if activity == 5
            && let Some(result) = files.iter().find(|p| p.nametype == "CREATE")
        {
            host::file(
                &mut b,
                "file_result",
                &absolute(lines.get("cwd"), result.name),
                result.is_folder,
            );
        }
        b.unmapped("syscall", call);
        let names: Vec<&str> = lines.paths().iter().map(|p| p.name).collect();
        b.unmapped("paths", names);
        self.outcome(&mut b);
        self.actor(&mut b);
        self.acting_process(&mut b);
        if !b.has("actor") {
            b.word("actor.user.name", "-");
        }
        let keep = self.input.keep();
        let mut native = lines.native(keep);
        native.insert("TargetFilename", keep.text(&path));
        if let Some(exe) = lines.get("exe") {
            native.insert("Image", keep.text(exe));
        }
        b.native(native);
        b
    }

    fn network(&self, call: &str, socket: &Socket) -> EventBuilder<'a> {
        let (activity, end) = match call {
            "bind" | "listen" => (7, "dst_endpoint"),
            "accept" | "accept4" => (1, "src_endpoint"),
            "sendto" => (6, "dst_endpoint"),
            _ => (1, "dst_endpoint"),
        };
        let mut b = self.event(&class::NETWORK_ACTIVITY, activity);
        b.set_in(end, "ip", socket.ip.as_str()).set_in(end, "port", socket.port);
        b.unmapped("syscall", call);
        self.outcome(&mut b);
        self.actor(&mut b);
        self.acting_process(&mut b);
        let keep = self.input.keep();
        let mut native = self.lines.native(keep);
        if let Some(exe) = self.lines.get("exe") {
            native.insert("Image", keep.text(exe));
        }
        if end == "dst_endpoint" {
            native.insert("DestinationIp", keep.text(&socket.ip));
            native.insert("DestinationPort", keep.text(&socket.port.to_string()));
            native.insert("Initiated", keep.text("true"));
        } else {
            native.insert("SourceIp", keep.text(&socket.ip));
            native.insert("SourcePort", keep.text(&socket.port.to_string()));
            native.insert("Initiated", keep.text("false"));
        }
        b.native(native);
        b
    }
}

/// A path as seen from the root.
fn absolute(folder: Option<&str>, name: &str) -> String {
    match folder {
        Some(folder) if !name.starts_with('/') && folder.starts_with('/') => {
            let name = name.strip_prefix("./").unwrap_or(name);
            format!("{}/{name}", folder.trim_end_matches('/'))
        }
        _ => name.to_owned(),
    }
}
