//! What Linux hosts write to auth.log and secure: sshd, sudo, su, PAM, cron, logind, the account tools.
//!
//! One attempt to log on gives several lines. The one that sshd itself counts by (`Failed … for`, `Accepted … for`)
//! is a plain event; its companions carry the label [`DETAIL`], so that policies that count leave them out.

mod accounts;
pub(crate) mod line;
mod pam;
mod sftp;
mod sshd;
mod su;
mod sudo;

use crate::format::{Format, Input, Match, Quarantine, syslog_other};
use crate::syslog::{self, Kind};
use line::Line;
use model::Event;

/// The label of lines that tell more of an attempt that another line stands for.
pub const DETAIL: &str = "attempt.detail";

/// Linux authentication logs, in every syslog form.
pub static FORMAT: Format = Format {
    name: "linux_auth",
    aliases: &["linux", "sshd", "sudo", "auth"],
    matches,
    normalize,
};

/// `message repeated N times` gives N events, at most these; the label `repeated_truncated` then says so.
const REPEATED_MAX: u32 = 1000;

const PROGRAMS: &[&str] = &[
    "sshd",
    "sshd-session",
    "sshd-auth",
    "internal-sftp",
    "sftp-server",
    "sudo",
    "su",
    "login",
    "cron",
    "CRON",
    "crond",
    "crontab",
    "systemd-logind",
    "useradd",
    "usermod",
    "userdel",
    "groupadd",
    "groupmod",
    "groupdel",
    "gpasswd",
    "passwd",
    "chpasswd",
    "chage",
];

fn matches(input: &Input<'_>) -> Option<Match> {
    let known = |program: Option<&str>| program.is_some_and(|p| PROGRAMS.contains(&p));
    if input.text.starts_with('{') {
        let object = input.object().ok()?;
        if object.get("sudo").is_some_and(|s| s.is_object()) {
            return Some(Match {
                score: 90,
                reason: "a sudo event in JSON",
            });
        }
        let envelope = syslog::from_object(object)?;
        return known(envelope.program()).then_some(Match {
            score: 85,
            reason: "rsyslog's JSON template with a program of authentication",
        });
    }
    let envelope = input.envelope();
    if envelope.kind == Kind::Bare && envelope.pri.is_none() {
        return None;
    }
    let pam =
        envelope.message.starts_with("pam_") || envelope.tag.as_deref().is_some_and(|t| t.ends_with("(pam_unix)"));
    (known(envelope.program()) || pam).then_some(Match {
        score: 80,
        reason: "a syslog line of a program of authentication",
    })
}

fn normalize<'a>(input: &mut Input<'a>) -> Result<Vec<Event<'a>>, Quarantine> {
    if input.text.starts_with('{')
        && let Ok(object) = input.object()
        && object.get("sudo").is_some_and(|s| s.is_object())
    {
        let object = input.take_object()?;
        return sudo::json(input, object).ok_or(Quarantine("sudo_json_incomplete"));
    }
    syslog_other::read(input)
}

/// The events of a line of a program that we know; `None`: it says nothing that we read.
pub(crate) fn events<'a>(line: &Line<'_, 'a>) -> Option<Vec<Event<'a>>> {
    if let Some((count, Some(inner))) = syslog::repeated(line.message) {
        let once = events_once(&line.with_message(inner))?;
        let mut all = Vec::with_capacity(once.len() * count.min(REPEATED_MAX) as usize);
        for _ in 0..count.clamp(1, REPEATED_MAX) {
            all.extend(once.iter().cloned());
        }
        return Some(all);
    }
    events_once(line)
}

/// Whether more repetitions were told than events are made of.
pub(crate) fn is_repeated_too_often(message: &str) -> bool {
    matches!(syslog::repeated(message), Some((count, Some(_))) if count > REPEATED_MAX)
}

fn events_once<'a>(line: &Line<'_, 'a>) -> Option<Vec<Event<'a>>> {
    if let Some(found) = pam::event(line) {
        return Some(vec![found]);
    }
    match line.program {
        "sshd" | "sshd-session" | "sshd-auth" => sshd::event(line).map(|e| vec![e]),
        "internal-sftp" | "sftp-server" => sftp::event(line).map(|e| vec![e]),
        "sudo" => sudo::events(line),
        "su" | "login" | "CRON" | "cron" | "crond" | "crontab" | "systemd-logind" => su::event(line).map(|e| vec![e]),
        _ => accounts::event(line).map(|e| vec![e]),
    }
}
