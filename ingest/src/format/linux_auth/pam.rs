//! PAM's own lines, in whichever program: `pam_unix(sshd:auth): authentication failure; …`.

use super::DETAIL;
use super::line::{Line, Peer};
use crate::builder::EventBuilder;
use crate::class;
use crate::seek;
use model::Event;

pub(super) fn event<'a>(line: &Line<'_, 'a>) -> Option<Event<'a>> {
    let text = line.message;
    let tag = line.envelope.tag.as_deref().unwrap_or("");
    let old = tag.ends_with("(pam_unix)");
    let (module, service, kind, text) = if old {
        ("pam_unix", line.program, "", text)
    } else {
        let rest = text.strip_prefix("pam_").map(|_| text)?;
        let (module, rest) = seek::cut(rest, b'(')?;
        let (inner, rest) = seek::split_once(rest, "): ")?;
        let (service, kind) = seek::cut(inner, b':')?;
        if seek::has(module, b' ') {
            return None;
        }
        (module, service, kind, rest)
    };
    let pam = Pam { line, service, old };
    let mut b = match module {
        "pam_unix" | "pam_sss" | "pam_ldap" | "pam_krb5" | "pam_winbind" | "pam_systemd" => pam.text(kind, text)?,
        "pam_faillock" | "pam_tally2" | "pam_tally" if seek::contains(text, "locked") => {
            let user = text
                .split_once(" user ")
                .map_or("", |(_, u)| u.split([' ', '(']).next().unwrap_or(""));
            let mut b = line.event(&class::ACCOUNT_CHANGE, 9);
            b.success(true)
                .set("user.name", if user.is_empty() { "-" } else { user })
                .set("status_detail", text);
            b
        }
        _ => return None,
    };
    b.unmapped("pam_module", module).unmapped("pam_service", service);
    Some(b.finish())
}

struct Pam<'l, 'a> {
    line: &'l Line<'l, 'a>,
    service: &'l str,
    /// `sshd(pam_unix)[9]: …`: such hosts write no line of sshd's own beside it.
    old: bool,
}

impl<'a> Pam<'_, 'a> {
    fn text(&self, kind: &str, text: &str) -> Option<EventBuilder<'a>> {
        if let Some(rest) = text.strip_prefix("authentication failure;") {
            let f = fields(rest);
            let mut b = self.attempt(false, f.user);
            // The program's own line counts; other programs than these write none.
            if !self.old && (self.is_counted_elsewhere() || f.user.is_empty()) {
                b.label(DETAIL);
            }
            b.set("actor.user.name", f.ruser)
                .set("actor.session.terminal", f.tty)
                .word("status_detail", "authentication failure");
            if let Some((peer, _)) = Peer::read(f.rhost, true) {
                peer.put(&mut b);
            }
            return Some(b);
        }
        if let Some(rest) = text.strip_prefix("check pass; user ") {
            let mut b = self.attempt(false, "");
            b.label(DETAIL).set("status_detail", format!("user {rest}"));
            return Some(b);
        }
        if let Some(rest) = text.strip_prefix("auth could not identify password for [") {
            let mut b = self.attempt(false, rest.trim_end_matches(']'));
            b.label(DETAIL)
                .word("status_detail", "auth could not identify password");
            return Some(b);
        }
        if let Some(rest) = text.strip_prefix("session opened for user ") {
            let (user, by) = seek::split_once(rest, " by ").unwrap_or((rest, ""));
            let (user, uid) = account(user);
            let mut b = self.attempt(true, user);
            b.set_some("user.uid", uid);
            let (by, by_uid) = account(by);
            b.set("actor.user.name", by);
            // sshd opens sessions as root for whoever logs on.
            if !by.is_empty() || self.switches() {
                b.set_some("actor.user.uid", by_uid);
            }
            if self.is_service() || self.is_counted_elsewhere() && !self.old {
                b.label(DETAIL);
            }
            return Some(b);
        }
        if let Some(user) = text.strip_prefix("session closed for user ") {
            let (user, uid) = account(user);
            let mut b = self.line.authentication(2, true, user);
            b.set_some("user.uid", uid);
            self.kind(&mut b);
            if self.is_service() || matches!(self.service, "sudo" | "sudo-i") {
                b.label(DETAIL);
            }
            return Some(b);
        }
        if kind == "chauthtok"
            && let Some(user) = text.strip_prefix("password changed for ")
        {
            // chpasswd is the administrators' tool.
            let activity = if self.service == "chpasswd" { 4 } else { 3 };
            let mut b = self.line.event(&class::ACCOUNT_CHANGE, activity);
            b.success(true).set("user.name", user.trim());
            self.line.acting_process(&mut b);
            return Some(b);
        }
        None
    }

    fn attempt(&self, success: bool, user: &str) -> EventBuilder<'a> {
        let mut b = self
            .line
            .authentication(if self.switches() { 7 } else { 1 }, success, user);
        if self.switches() {
            b.set("account_switch_type_id", 1)
                .word("account_switch_type", "Substitute User");
        }
        self.kind(&mut b);
        b
    }

    fn switches(&self) -> bool {
        matches!(
            self.service,
            "su" | "su-l" | "sudo" | "sudo-i" | "runuser" | "runuser-l"
        )
    }

    fn kind(&self, b: &mut EventBuilder<'_>) {
        let (id, name) = match self.service {
            "sshd" => (3, "Network"),
            "cron" | "crond" | "atd" => (4, "Batch"),
            "systemd-user" => (5, "OS Service"),
            "login" | "gdm" | "gdm-password" | "lightdm" | "sddm" => (2, "Interactive"),
            _ => (0, ""),
        };
        if id != 0 {
            b.set("logon_type_id", id).set("logon_type", name);
        }
        b.set("is_remote", self.service == "sshd");
        if self.is_service() {
            b.unmapped("kind", "service");
        }
    }

    fn is_service(&self) -> bool {
        matches!(
            self.service,
            "cron" | "crond" | "atd" | "systemd-user" | "runuser" | "runuser-l"
        )
    }

    /// Whether the program writes a line of its own of each attempt.
    fn is_counted_elsewhere(&self) -> bool {
        matches!(self.service, "sshd" | "su" | "su-l" | "sudo" | "sudo-i")
    }
}

/// `U(uid=0)` as the name and the id.
fn account(text: &str) -> (&str, Option<&str>) {
    let text = seek::trim(text);
    match seek::split_once(text, "(uid=") {
        Some((name, id)) => (name, Some(id.trim_end_matches(')')).filter(|id| !id.is_empty())),
        None => (text, None),
    }
}

/// What PAM tells of a failure.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Fields<'a> {
    pub user: &'a str,
    pub ruser: &'a str,
    pub rhost: &'a str,
    pub tty: &'a str,
}

/// `logname= uid=0 euid=0 tty=ssh ruser= rhost=10.0.0.1  user=root`
pub(super) fn fields(text: &str) -> Fields<'_> {
    let mut fields = Fields::default();
    // The user stands last and is the client's choice: what follows `user=` is all his.
    let (text, user) = seek::split_once(text, " user=").unwrap_or((text, ""));
    fields.user = user.trim();
    for word in text.split_ascii_whitespace() {
        match seek::cut(word, b'=') {
            Some(("ruser", v)) => fields.ruser = v,
            Some(("rhost", v)) => fields.rhost = v,
            Some(("tty", v)) => fields.tty = v,
            _ => {}
        }
    }
    fields
}
