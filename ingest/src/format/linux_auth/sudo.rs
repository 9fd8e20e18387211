//! sudo, as text and as JSON.

use model::{Event, Map, Object, Value};

use super::line::Line;
use crate::builder::EventBuilder;
use crate::class;
use crate::command_line::simple_commands;
use crate::format::Input;
use crate::seek;
use crate::syslog;

/// What sudo tells of one run or refusal.
#[derive(Debug, Default, PartialEq)]
struct Run<'a> {
    invoker: &'a str,
    reason: Option<&'a str>,
    terminal: &'a str,
    folder: &'a str,
    user: &'a str,
    group: &'a str,
    environment: &'a str,
    session: &'a str,
    command: Option<&'a str>,
}

pub(super) fn events<'a>(line: &Line<'_, 'a>) -> Option<Vec<Event<'a>>> {
    let text = line.message.trim_start();
    let json = text.strip_prefix("@cee:").unwrap_or(text).trim_start();
    if json.starts_with("{\"sudo\"")
        && let Ok(parsed) = crate::json::parse(line.input.arena, line.input.keep().text(json))
    {
        return run_of(parsed.object, |run| events_of(line, run));
    }
    let (invoker, rest) = seek::split_once(text, " : ")?;
    if let Some(rest) = rest.strip_prefix("(command continued) ") {
        let mut b = process(line, invoker, rest, line.input.record.coordinate.to_string());
        b.label("sudo.command_continued");
        return Some(vec![b.finish()]);
    }
    let run = parse(invoker.trim(), rest);
    (run.command.is_some() || !run.user.is_empty()).then(|| events_of(line, &run))
}

/// A record of sudo's JSON log.
pub(super) fn json<'a>(input: &Input<'a>, object: Object<'a>) -> Option<Vec<Event<'a>>> {
    let (_, fields) = entry(object)?;
    let mut envelope = syslog::parse("");
    envelope.host = fields.get("submithost").and_then(Value::as_str).map(Into::into);
    envelope.tag = Some("sudo".into());
    let time = ["server_time", "submit_time"]
        .iter()
        .find_map(|t| fields.get(t)?.as_object());
    if let Some(time) = time {
        let seconds = time.get("seconds")?.as_i64()?;
        let nanoseconds = time.get("nanoseconds").and_then(Value::as_u64).unwrap_or(0);
        envelope.time_text = Some(format!("{seconds}.{nanoseconds:09}").into());
    }
    let line = Line::new(input, &envelope);
    told(&line, object)
        .map(|event| vec![event])
        .or_else(|| run_of(object, |run| events_of(&line, run)))
}

/// `exit`: a command ended, `uuid` says which; `alert`: sudo itself has trouble, whatever became of the command.
fn told<'a>(line: &Line<'_, 'a>, object: Object<'_>) -> Option<Event<'a>> {
    let (kind, fields) = entry(object)?;
    let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or("");
    let mut b = match kind {
        "exit" if !text("uuid").is_empty() => {
            let mut b = line.event(&class::PROCESS_ACTIVITY, 2);
            b.set("process.uid", text("uuid"));
            let code = fields.get("exit_value").and_then(Value::as_i64);
            b.set_some("exit_code", code.and_then(|c| i32::try_from(c).ok()));
            b.unmapped("signal", text("signal")).success(true);
            let invoker = text("submituser");
            b.set("actor.user.name", if invoker.is_empty() { "-" } else { invoker });
            if line.host().is_none() {
                b.word("device.name", "-").set("device.type_id", 0);
            }
            b
        }
        "alert" => {
            let mut b = line.event(&class::BASE_EVENT, 99);
            b.set("message", text("reason"))
                .set("actor.user.name", text("submituser"))
                .unmapped("command", text("command"))
                .unmapped("runuser", text("runuser"));
            b
        }
        _ => return None,
    };
    b.unmapped("uuid", text("uuid"));
    Some(b.finish())
}

/// `accept`, `reject`, `alert` or `exit`, and its fields.
fn entry<'a>(object: Object<'a>) -> Option<(&'a str, Object<'a>)> {
    let (kind, fields) = object.get("sudo")?.as_object()?.iter().next()?;
    Some((kind, fields.as_object()?))
}

fn run_of<'a>(object: Object<'a>, then: impl FnOnce(&Run<'_>) -> Vec<Event<'a>>) -> Option<Vec<Event<'a>>> {
    let (kind, fields) = entry(object)?;
    let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or("");
    let arguments: Vec<&str> = fields
        .get("runargv")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    // The arguments as the shell would have to be given them.
    let mut command = text("command").to_owned();
    for argument in arguments.iter().skip(1) {
        command.push(' ');
        let plain =
            !argument.is_empty() && !argument.contains(|c: char| c.is_whitespace() || "'\"\\$`;|&<>()#*?".contains(c));
        match plain {
            true => command.push_str(argument),
            false => command.extend(["'", &argument.replace('\'', "'\\''"), "'"]),
        }
    }
    let run = Run {
        invoker: text("submituser"),
        reason: match kind {
            "accept" | "exit" => None,
            _ => Some(text("reason")).filter(|r| !r.is_empty()).or(Some(kind)),
        },
        terminal: text("ttyname"),
        folder: text("submitcwd"),
        user: text("runuser"),
        group: text("rungroup"),
        command: Some(command.as_str()).filter(|c| !c.is_empty()),
        ..Run::default()
    };
    (!run.invoker.is_empty()).then(|| then(&run))
}

/// Keys are read from the left; everything after the first `COMMAND=` is the command, even if it holds ` ; USER=`.
fn parse<'a>(invoker: &'a str, text: &'a str) -> Run<'a> {
    let mut run = Run {
        invoker,
        ..Run::default()
    };
    let mut rest = text;
    loop {
        if let Some(command) = rest.strip_prefix("COMMAND=") {
            run.command = Some(command);
            return run;
        }
        let (part, after) = seek::split_once(rest, " ; ").unwrap_or((rest, ""));
        match seek::cut(part, b'=') {
            Some(("TTY", v)) => run.terminal = v,
            Some(("PWD" | "CWD", v)) => run.folder = v,
            Some(("USER", v)) => run.user = v,
            Some(("GROUP", v)) => run.group = v,
            Some(("TSID", v)) => run.session = v,
            Some(("ENV", v)) => run.environment = v,
            Some((key, _)) if !key.is_empty() && key.bytes().all(|b| b.is_ascii_uppercase()) => {}
            _ if run.reason.is_none() && !part.is_empty() => run.reason = Some(part),
            _ => {}
        }
        if after.is_empty() {
            return run;
        }
        rest = after;
    }
}

fn events_of<'a>(line: &Line<'_, 'a>, run: &Run<'_>) -> Vec<Event<'a>> {
    // Refused by the policy, not for a wrong password.
    let denied = run.reason.is_some_and(|r| {
        seek::contains(r, "not allowed")
            || seek::contains(r, "NOT in sudoers")
            || seek::contains(r, "NOT authorized")
            || r == "reject"
    });
    let finish = |mut b: EventBuilder<'a>| {
        b.success(run.reason.is_none()).set_some("status_detail", run.reason);
        b.set("actor.user.name", run.invoker)
            .set("actor.session.terminal", run.terminal);
        b.unmapped("environment", run.environment)
            .unmapped("group", run.group)
            .unmapped("tsid", run.session);
        if denied {
            b.control(2, 2);
        }
        b.finish()
    };
    let user = if run.user.is_empty() { "root" } else { run.user };
    let mut switch = line.authentication(7, run.reason.is_none(), user);
    switch
        .set("account_switch_type_id", 1)
        .word("account_switch_type", "Substitute User")
        .set("is_remote", false);
    switch
        .unmapped("command", run.command.unwrap_or(""))
        .unmapped("working_directory", run.folder);
    let mut events = vec![finish(switch)];
    if let Some(command) = run.command
        && line.host().is_some()
    {
        let mut b = process(line, run.invoker, command, line.input.record.coordinate.to_string());
        b.set("process.user.name", user)
            .set("process.working_directory", run.folder);
        b.commands(simple_commands(command));
        let mut native = Map::from(line.native());
        let program = command.split(' ').next().unwrap_or("");
        for (name, value) in [
            ("CommandLine", command),
            ("Image", program),
            ("User", user),
            ("ParentImage", "/usr/bin/sudo"),
            ("CurrentDirectory", run.folder),
        ] {
            if !value.is_empty() {
                native.insert(name, b.keep().text(value));
            }
        }
        b.native(native);
        events.push(finish(b));
    }
    events
}

/// The command as a process; its uid is the record's, since sudo tells no process id.
fn process<'a>(line: &Line<'_, 'a>, invoker: &str, command: &str, uid: String) -> EventBuilder<'a> {
    let mut b = line.event(&class::PROCESS_ACTIVITY, 1);
    let program = command.split(' ').next().unwrap_or("");
    let name = program.rsplit('/').next().unwrap_or(program);
    b.set("process.uid", uid)
        .set("process.cmd_line", command)
        .set("process.name", name);
    if program.starts_with('/') {
        b.set("process.file.path", program)
            .set("process.file.name", if name.is_empty() { program } else { name });
        b.set("process.file.type_id", 1)
            .word("process.file.type", "Regular File");
    }
    b.set(
        "actor.user.name",
        if invoker.trim().is_empty() { "-" } else { invoker.trim() },
    );
    line.acting_process(&mut b);
    if line.host().is_none() {
        b.word("device.name", "-").set("device.type_id", 0);
    }
    b
}
