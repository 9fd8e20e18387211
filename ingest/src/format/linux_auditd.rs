//! The Linux audit log (auditd): one event of the kernel is several lines of the same id, `msg=audit(SEC.mmm:SERIAL)`.
//!
//! A record that holds several lines is joined by id; what the [`Joiner`] put together ([`crate::join`]) comes as such a record. A single
//! line gives an event, too; where it is but a part of one it has the label `auditd.partial`.
//! `metadata.original_event_uid` and `metadata.correlation_uid` are the id, with the node before it where there is one.
//!
//! | lines | OCSF |
//! |---|---|
//! | SYSCALL execve, EXECVE | Process Activity 1007.1: `process.cmd_line` the arguments, `actor.user` the **login** uid (the person behind sudo), `process.user` the effective one |
//! | SYSCALL with PATH | File System Activity 1001: open 14 (created: 1), unlink 4, rename 5, chmod and chown 7, truncate 3 |
//! | connect, accept, bind, listen with an internet address | Network Activity 4001.1, .1, .7, .7 |
//! | USER_LOGIN; USER_LOGOUT, USER_END | Authentication 3002.1; 3002.2 |
//! | USER_AUTH, USER_ACCT, CRED_*, USER_START, LOGIN | 3002.1 with the label `attempt.detail`: USER_LOGIN stands for the attempt; of `su` it is USER_START, or the refused USER_AUTH, as 3002.7 |
//! | USER_CMD (sudo) | 3002.7 and 1007.1 |
//! | ADD_USER, DEL_USER, USER_CHAUTHTOK, ACCT_LOCK, ACCT_UNLOCK, USER_MGMT | Account Change 3001.1, .6, .3 or .4, .9, .12, .99 |
//! | ADD_GROUP, DEL_GROUP, GRP_* | Group Management 3006.6, .5, .99 |
//! | ROLE_ASSIGN, ROLE_REMOVE | User Access 3005.1, .2 |
//! | CONFIG_CHANGE, DAEMON_* | Event Log Activity 1008: auditing off 10, on 9; start 6, end 7, rotate 5 |
//! | SERVICE_*, SYSTEM_BOOT, SYSTEM_SHUTDOWN | Application Lifecycle 6002.3, .4 |
//! | what the kernel says of its backlog, without an id | 1008.99, failed (`lost.rs`), in every source of syslog |
//! | AVC, ANOM_*, SECCOMP, … | Base Event; refusals have `status_id` 2 |
//!
//! `docket.system` is `host:<node>`, the node from `node=` or the syslog header. TTY records are not decoded, because
//! the keystrokes may be passwords; the raw record has them. Log source: product `linux`, service `auditd`, category by
//! what it is (`process_creation`, `file_event`, `network_connection`, `log`). Native fields are the source's own; of a
//! joined event `type`, `name` and `nametype` are lists, `a0` … are the program's arguments where there are any; beside
//! them stand `CommandLine`, `Image`, `User`, `CurrentDirectory`, `TargetFilename`, `DestinationIp`.
//!
//! Laurel's JSON (one object an event) is read as the lines it was made of.

use crate::format::{Format, Input, Match, Quarantine, syslog_other};
use crate::seek;
use crate::syslog;
use model::{Event, Object};

mod event;
pub mod join;
mod laurel;
pub(crate) mod lost;
mod merged;
pub mod pairs;
pub mod record;
mod syscall;

pub use join::{End, Joined, Joiner, Piece};

use merged::Merged;
use record::{EventId, Record};

/// Linux auditd.
pub static FORMAT: Format = Format {
    name: "linux_auditd",
    aliases: &["auditd", "laurel"],
    matches,
    normalize,
};

/// Lines that one record may hold; what goes over is a label, the raw record has it.
const LINES_MAX: usize = 4096;

fn matches(input: &Input<'_>) -> Option<Match> {
    if input.text.starts_with('{') {
        let object = input.object().ok()?;
        if laurel::is_one(object) {
            return Some(Match {
                score: 90,
                reason: "Laurel's ID and audit records",
            });
        }
        return over_syslog(object).map(|_| Match {
            score: 85,
            reason: "an audit line in rsyslog's JSON template",
        });
    }
    let first = input.text.lines().next()?;
    seek::contains(first, "type=").then_some(())?;
    Record::parse(first).map(|_| Match {
        score: 95,
        reason: "type= and an audit id",
    })
}

/// rsyslog's JSON template with lines of the audit log in it.
fn over_syslog(object: Object<'_>) -> Option<syslog::Envelope<'static>> {
    let envelope = syslog::from_object(object)?;
    let first = envelope.message.lines().next()?;
    (seek::contains(first, "type=") && Record::parse(first).is_some()).then_some(envelope)
}

/// The host of a line: the one that it names, or that of its syslog header, or that of what the line came in.
fn node(named: String, line: &str, around: Option<&str>) -> String {
    if !named.is_empty() {
        return named;
    }
    let header = match line.starts_with("type=") {
        true => None,
        false => syslog::parse(line).host.map(|h| h.into_owned()),
    };
    header.unwrap_or_else(|| around.unwrap_or("").to_owned())
}

fn normalize<'a>(input: &mut Input<'a>) -> Result<Vec<Event<'a>>, Quarantine> {
    if input.text.starts_with('{') {
        let input = &*input;
        let object = input.object()?;
        if let Some(line) = over_syslog(object) {
            let mut part = Input::of_text(input, &line.message);
            part.host = line.host.as_deref().map(|h| input.arena.text(h));
            return normalize(&mut part);
        }
        let records = laurel::records(object).ok_or(Quarantine("laurel_id"))?;
        return Ok(event::events(input, &Merged::new(records)));
    }
    let mut groups: Vec<(EventId, Vec<Record<'_>>)> = Vec::new();
    let mut flags = Vec::new();
    for (n, line) in input.text.lines().filter(|l| !l.trim().is_empty()).enumerate() {
        if n >= LINES_MAX {
            flags.push("auditd.lines_truncated");
            break;
        }
        let Some(mut record) = Record::parse(line) else {
            flags.push("auditd.line_unreadable");
            continue;
        };
        record.id.node = node(std::mem::take(&mut record.id.node), line, input.host);
        // Lines of one event mostly follow one another.
        match groups.iter_mut().rev().find(|(id, _)| *id == record.id) {
            Some((_, lines)) => lines.push(record),
            None => groups.push((record.id.clone(), vec![record])),
        }
    }
    if groups.is_empty() && lost::may_be(input.text) {
        return syslog_other::read(input);
    }
    let input = &*input;
    if groups.is_empty() {
        return Err(Quarantine("auditd_unreadable"));
    }
    flags.dedup();
    let mut part = Input::of_text(input, input.text);
    part.flags.extend(flags);
    Ok(groups
        .into_iter()
        .flat_map(|(_, lines)| event::events(&part, &Merged::new(lines)))
        .collect())
}
