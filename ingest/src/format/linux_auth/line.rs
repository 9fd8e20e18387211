//! A syslog line of a host, and what every event of it has.

use memchr::memchr2;
use model::{Object, Value};
use smallvec::SmallVec;

use crate::builder::{EventBuilder, address, is_ipv4};
use crate::class::{self, Class};
use crate::format::Input;
use crate::format::linux_auth::DETAIL;
use crate::seek;
use crate::syslog::{Envelope, imitates_line};

/// A syslog line.
#[derive(Clone, Copy)]
pub(crate) struct Line<'l, 'a> {
    pub input: &'l Input<'a>,
    pub envelope: &'l Envelope<'l>,
    /// The program's name without folder; empty where the line names none.
    pub program: &'l str,
    /// The text.
    pub message: &'l str,
}

impl<'l, 'a> Line<'l, 'a> {
    pub(crate) fn new(input: &'l Input<'a>, envelope: &'l Envelope<'l>) -> Line<'l, 'a> {
        Line {
            input,
            envelope,
            program: envelope.program().unwrap_or(""),
            message: &envelope.message,
        }
    }

    /// The same line with another text (of a repetition).
    pub(crate) fn with_message(&self, message: &'l str) -> Line<'l, 'a> {
        Line { message, ..*self }
    }

    pub(crate) fn host(&self) -> Option<&'l str> {
        self.envelope.host.as_deref()
    }

    /// Which process wrote it: the key that lines of one connection share.
    pub(crate) fn process_uid(&self) -> Option<Value<'a>> {
        let pid = self.envelope.pid.as_deref()?;
        let parts = [self.host().unwrap_or("-"), "/", self.program, "/", pid];
        Some(Value::String(self.input.arena.concat(&parts)))
    }

    /// An event of this line, with what every one has; `service` is Sigma's.
    pub(crate) fn event(&self, class: &'static Class, activity: u8) -> EventBuilder<'a> {
        let e = self.envelope;
        let product = if self.program.is_empty() { "Linux" } else { self.program };
        let mut b = EventBuilder::new(self.input, class, activity, "Linux", product);
        b.metadata(
            "log_name",
            if self.program.is_empty() {
                "syslog"
            } else {
                self.program
            },
        );
        if let Some(uid) = self.process_uid() {
            b.metadata("correlation_uid", uid);
        }
        if let Some(text) = e.time_text.as_deref() {
            match e.time(self.input.record.received_at, &self.input.settings.time_zone) {
                Some(time) => {
                    b.time(time.time).original_time(text, time.offset_minutes);
                    time.labels().for_each(|l| {
                        b.label(l);
                    });
                }
                None => {
                    b.time(self.input.record.received_at)
                        .original_time(text, None)
                        .label("time.invalid");
                }
            }
        }
        for flag in &e.flags {
            b.label(flag);
        }
        if imitates_line(self.message) || self.imitates_sshd() {
            b.label("log_injection");
        }
        if let Some(host) = self.host().filter(|h| !matches!(h.trim(), "" | "-")) {
            b.host("device", host)
                .set("device.type_id", 0)
                .word("device.type", "Unknown");
            b.system_of("host:", host);
        }
        if let Some((_, name)) = e.facility() {
            b.unmapped("facility", name);
        }
        if let Some((number, name)) = e.severity() {
            b.unmapped("severity", name);
            // Warnings and worse; OCSF's scale has fewer steps.
            if number <= 4 {
                b.severity([5, 5, 4, 3, 2][usize::from(number)]);
            }
        }
        b.set("message", self.message);
        b.native(self.native());
        let (category, service) = self.logsource(class);
        b.logsource("linux", category, service);
        b
    }

    /// Another program's line that holds `sshd[7]: Accepted`: whoever searches for that would take it for a logon.
    fn imitates_sshd(&self) -> bool {
        const VERDICTS: [&str; 2] = ["]: Accepted ", "]: Failed "];
        !self.program.starts_with("sshd")
            && seek::contains(self.message, "sshd[")
            && VERDICTS.iter().any(|v| seek::contains(self.message, v))
    }

    /// The source's own names.
    pub(crate) fn native(&self) -> Object<'a> {
        let keep = self.input.keep();
        if !keep.arena.wants_native() {
            return Object::default();
        }
        let mut native: SmallVec<[(&'a str, Value<'a>); 4]> = SmallVec::new();
        let mut put = |name: &'a str, value: Option<&str>| {
            if let Some(value) = value.filter(|v| !v.is_empty() && keep.arena.wants_native_of(name)) {
                native.push((name, Value::String(keep.text(value))));
            }
        };
        put("hostname", self.host());
        put("program", Some(self.program));
        put("pid", self.envelope.pid.as_deref());
        put("message", Some(self.message));
        self.input.arena.object(&native)
    }

    fn logsource(&self, class: &Class) -> (&'static str, &'static str) {
        let service = match self.program {
            "sshd" | "sshd-session" | "sshd-auth" | "internal-sftp" | "sftp-server" => "sshd",
            "sudo" => "sudo",
            "cron" | "CRON" | "crond" | "crontab" | "anacron" => "cron",
            "vsftpd" => "vsftpd",
            "clamd" | "freshclam" | "clamav" => "clamav",
            "guacd" => "guacamole",
            "audispd" | "auditd" | "audisp-syslog" => "auditd",
            _ if class.category_uid == class::AUTHENTICATION.category_uid => "auth",
            _ => match self.envelope.facility() {
                Some((4 | 10, _)) => "auth",
                _ => "syslog",
            },
        };
        // A category that no rule names keeps rules of other categories away.
        let category = match class.uid {
            1007 => "process_creation",
            3002 => "authentication",
            _ => "log",
        };
        (category, service)
    }

    /// A logon, logoff or account switch.
    pub(crate) fn authentication(&self, activity: u8, success: bool, user: &str) -> EventBuilder<'a> {
        let mut b = self.event(&class::AUTHENTICATION, activity);
        b.success(success);
        // The schema wants a user; `-` is what logs write for none.
        let user = seek::trim(user);
        b.set("user.name", if user.is_empty() { "-" } else { user });
        b.set(
            "service.name",
            if self.program.is_empty() { "Linux" } else { self.program },
        );
        if let Some(host) = self.host() {
            b.host("dst_endpoint", host);
        }
        b
    }

    /// A companion line of an attempt.
    pub(crate) fn detail(&self, activity: u8, success: bool, user: &str) -> EventBuilder<'a> {
        let mut b = self.authentication(activity, success, user);
        b.label(DETAIL);
        b
    }

    /// Puts the process that wrote the line as the actor's.
    pub(crate) fn acting_process(&self, b: &mut EventBuilder<'_>) {
        if let Some(pid) = self.envelope.pid.as_deref().and_then(|p| p.parse::<i32>().ok()) {
            b.set("actor.process.pid", pid).set("actor.process.name", self.program);
        }
    }
}

/// Where somebody comes from, as sshd and PAM write it: an address or a name, and a port.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Peer<'a> {
    pub host: &'a str,
    pub port: Option<&'a str>,
}

impl<'a> Peer<'a> {
    /// `10.0.0.1 port 22 rest`, `10.0.0.1 rest`; what follows is returned too. The host must be an address, or a name
    /// where `names` says so.
    pub(crate) fn read(text: &'a str, names: bool) -> Option<(Peer<'a>, &'a str)> {
        let end = memchr2(b' ', b',', text.as_bytes()).unwrap_or(text.len());
        let (word, mut rest) = text.split_at(end);
        let is_address = |word: &str| is_ipv4(word) || address(word).0.is_some();
        // `Received disconnect from 10.0.0.1: 11: …`; `::` is an address itself.
        let mut is_it = is_address(word);
        let word = if is_it {
            word
        } else {
            let bare = word.trim_end_matches([':', '.', ',']);
            is_it = bare.len() < word.len() && is_address(bare);
            bare
        };
        let is_name = || {
            names
                && word.len() <= 253
                && word.bytes().any(|b| b.is_ascii_alphanumeric())
                && word
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b':' | b'%'))
        };
        if !is_it && (word == "UNKNOWN" || !is_name() && !looks_like_address(word)) {
            return None;
        }
        let mut port = None;
        if let Some(after) = rest.strip_prefix(" port ") {
            let digits = after.bytes().take(6).take_while(u8::is_ascii_digit).count();
            if digits > 0 {
                port = Some(&after[..digits]);
                rest = &after[digits..];
            }
        }
        Some((Peer { host: word, port }, rest))
    }

    /// Puts it at `src_endpoint`.
    pub(crate) fn put(self, b: &mut EventBuilder<'_>) {
        b.host("src_endpoint", self.host);
        if let Some(port) = self.port.and_then(|p| p.parse::<u16>().ok()) {
            b.set("src_endpoint.port", port);
        }
    }
}

/// Nearly one (`001:db8::1`): digits, dots, colons.
fn looks_like_address(word: &str) -> bool {
    word.len() >= 3
        && word.bytes().all(|b| b.is_ascii_hexdigit() || matches!(b, b'.' | b':'))
        && word.bytes().filter(|b| matches!(b, b'.' | b':')).count() >= 2
}

/// The last ` from PEER`, because the name before it is the client's choice: the name, the peer, the rest.
pub(crate) fn last_from<'a>(text: &'a str, names: bool) -> Option<(&'a str, Peer<'a>, &'a str)> {
    const FROM: &str = " from ";
    // With a port first: a name may imitate the form without one.
    for with_port in [true, false] {
        let mut before = text;
        while let Some(at) = seek::find_last(before, FROM) {
            before = &before[..at];
            if let Some((peer, rest)) = Peer::read(&text[at + FROM.len()..], names)
                && peer.port.is_some() == with_port
            {
                return Some((&text[..at], peer, rest));
            }
        }
    }
    // An empty name: `Invalid user  from 10.0.0.1`, trimmed to `from 10.0.0.1`.
    let (peer, rest) = Peer::read(text.strip_prefix("from ")?, names)?;
    Some(("", peer, rest))
}

/// The text between two quotes at its start, and the rest: `'a' to 'b'`.
pub(crate) fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"' | '`'))?;
    let close = if quote == '`' { '\'' } else { quote };
    text[1..].split_once(close)
}
