//! A line of the Linux audit log: `[node=HOST] type=T msg=audit(SEC.mmm:SERIAL): key=value …`.

use std::borrow::Cow;
use std::fmt;

use memchr::{memchr, memchr2};
use model::value::int_text;
use model::{Arena, Millis};
use serde::{Deserialize, Serialize};

use super::pairs::Pairs;
use crate::{seek, syslog};

/// Fields that one line may have; what goes over is left out.
const FIELDS_MAX: usize = 4096;
/// Separates what auditd added by `log_format=ENRICHED`.
const ENRICHED: u8 = 0x1d;

/// Which event a line belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventId {
    /// The host that auditd was told to name; empty where it was not.
    pub node: String,
    /// When, in milliseconds since 1970.
    pub time: Millis,
    /// Counts from 1 since the host's start.
    pub serial: u64,
}

impl EventId {
    /// Its id, with the host before it where there is one.
    #[must_use]
    pub fn uid(&self) -> String {
        match self.node.as_str() {
            "" => self.to_string(),
            node => format!("{node}/{self}"),
        }
    }

    /// [`EventId::uid`], and of it the time alone.
    #[must_use]
    pub fn uid_in<'a>(&self, arena: &'a Arena) -> (&'a str, &'a str) {
        let millis = 1000 + self.time.0.rem_euclid(1000);
        let (mut seconds_digits, mut millis_digits, mut serial_digits) = ([0; 20], [0; 20], [0; 20]);
        let seconds = int_text(self.time.0.div_euclid(1000), &mut seconds_digits);
        let millis = int_text(millis, &mut millis_digits).get(1..).unwrap_or_default();
        let serial = match i64::try_from(self.serial) {
            Ok(serial) => int_text(serial, &mut serial_digits),
            Err(_) => arena.format(format_args!("{}", self.serial)),
        };
        let slash = if self.node.is_empty() { "" } else { "/" };
        let uid = arena.concat(&[&self.node, slash, seconds, ".", millis, ":", serial]);
        let from = self.node.len() + slash.len();
        let time = uid.get(from..from + seconds.len() + 4).unwrap_or_default();
        (uid, time)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}.{:03}:{}",
            self.time.0.div_euclid(1000),
            self.time.0.rem_euclid(1000),
            self.serial
        )
    }
}

/// A line, read.
#[derive(Clone, Debug, PartialEq)]
pub struct Record<'a> {
    /// Which event it belongs to.
    pub id: EventId,
    /// `SYSCALL`, `USER_LOGIN`, …; a number where we know no name.
    pub kind: Cow<'a, str>,
    /// In order, decoded; those inside `msg='…'` among them.
    pub fields: Pairs<'a>,
    /// What auditd translated: `AUID`, `SYSCALL`, …
    pub enriched: Pairs<'a>,
    /// The text after the id, for records that are no `key=value`.
    pub text: &'a str,
}

/// What of a line before `audit(` the record itself says: all of it, or what is behind a syslog header.
fn own_words<'a>(line: &'a str, head: &'a str) -> Option<&'a str> {
    let begins = |text: &str| text.starts_with("type=") || text.starts_with("node=");
    let plain = of_kernel(head.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '\u{feff}'));
    if begins(plain) {
        return Some(plain);
    }
    let envelope = syslog::parse(line);
    let message = match envelope.program() {
        Some("kernel") => of_kernel(&envelope.message),
        _ => &envelope.message,
    };
    let mut starts = head.match_indices(['t', 'n']).map(|(at, _)| &head[at..]);
    starts.find(|rest| begins(rest) && message.starts_with(*rest))
}

/// The kernel's own text behind `[   12.345678] audit: `.
fn of_kernel(text: &str) -> &str {
    let stamped = text.strip_prefix('[').and_then(|t| t.split_once("] "));
    let text = stamped.map_or(text, |(_, behind)| behind);
    text.strip_prefix("audit: ").unwrap_or(text)
}

/// A line's head: its event, its type, and the text behind them. Before `node=` or `type=` a syslog header may stand, and nothing
/// else: what somebody typed for an account's name, and sshd wrote down, is no audit record.
#[must_use]
pub fn head(line: &str) -> Option<(EventId, Cow<'_, str>, &str)> {
    let audit = seek::find(line, "audit(")?;
    let (head, rest) = line.split_at(audit);
    let (stamp, text) = rest.strip_prefix("audit(")?.split_once(')')?;
    // Without it in old daemons' own records.
    let text = text.strip_prefix(':').unwrap_or(text);
    let (time, serial) = seek::cut(stamp, b':')?;
    let (seconds, millis) = seek::cut(time, b'.')?;
    if millis.len() != 3 || !millis.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let time = seconds
        .parse::<u32>()
        .ok()
        .map(|s| i64::from(s) * 1000 + millis.parse::<i64>().unwrap_or(0))?;
    let serial = serial.parse().ok()?;
    let mut kind = None;
    let mut node = "";
    for word in own_words(line, head)?.split_ascii_whitespace() {
        match seek::cut(word, b'=') {
            Some(("type", v)) => kind = Some(v),
            Some(("node", v)) => node = v,
            Some(("msg", "")) => {}
            _ => return None,
        }
    }
    let kind = kind.filter(|k| !k.is_empty() && k.len() <= 64)?;
    let kind = match kind.parse::<u32>() {
        Ok(number) => number_name(number).map_or(Cow::Borrowed(kind), Cow::Borrowed),
        Err(_) => kind
            .strip_prefix("UNKNOWN[")
            .and_then(|k| k.strip_suffix(']'))
            .and_then(|k| number_name(k.parse().ok()?))
            .map_or(Cow::Borrowed(kind), Cow::Borrowed),
    };
    let id = EventId {
        node: node.to_owned(),
        time: Millis(time),
        serial,
    };
    Some((id, kind, text))
}

impl<'a> Record<'a> {
    /// Reads a line; see [`head`].
    #[must_use]
    pub fn parse(line: &'a str) -> Option<Record<'a>> {
        let (id, kind, text) = head(line)?;
        let (plain, enriched) = match memchr(ENRICHED, text.as_bytes()) {
            Some(at) => (&text[..at], &text[at + 1..]),
            None => (text, ""),
        };
        let mut record = Record {
            id,
            kind,
            fields: Pairs::default(),
            enriched: Pairs::default(),
            text: seek::trim(plain),
        };
        let is_arguments = record.kind == "EXECVE";
        scan(plain, &mut |key, value, quoted| {
            if record.fields.len() < FIELDS_MAX {
                let value = decoded(&key, value, quoted, is_arguments);
                record.fields.push(key, value);
            }
        });
        scan(enriched, &mut |key, value, _| {
            if record.enriched.len() < FIELDS_MAX {
                record.enriched.push(key, Cow::Borrowed(value));
            }
        });
        Some(record)
    }

    /// A field that says something: none of `(null)`, `?`, `unset`, `(none)`, 4294967295.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        find(&self.fields, name)
    }

    /// A field that auditd translated. User id 0 needs no translation: it is root on every host.
    #[must_use]
    pub fn translated(&self, name: &str) -> Option<&str> {
        find(&self.enriched, name)
            .filter(|v| !v.starts_with("unknown("))
            .or_else(|| self.superuser(name))
    }

    fn superuser(&self, name: &str) -> Option<&str> {
        let (_, field) = USER_IDS.iter().find(|(translated, _)| *translated == name)?;
        (self.get(field)? == "0").then_some("root")
    }
}

/// The fields of user ids that are read, by the name of their translation.
const USER_IDS: [(&str, &str); 4] = [("AUID", "auid"), ("UID", "uid"), ("EUID", "euid"), ("ID", "id")];

fn find<'r>(fields: &'r Pairs<'_>, name: &str) -> Option<&'r str> {
    let value = &**fields.get(name)?;
    is_set(value).then_some(value)
}

/// Whether a value is none of those that stand for nothing.
#[must_use]
pub fn is_set(value: &str) -> bool {
    !matches!(value, "" | "?" | "(null)" | "(none)" | "unset" | "4294967295" | "-1")
}

/// Calls `found` with each key, value, and whether the value was in quotes.
fn scan<'a>(text: &'a str, found: &mut impl FnMut(Cow<'a, str>, &'a str, bool)) {
    let mut rest = seek::trim_start(text);
    // `old auid=4294967295 new auid=0` of old kernels
    let mut before = "";
    while !rest.is_empty() {
        let end = memchr2(b' ', b'=', rest.as_bytes()).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let Some(after) = after.strip_prefix('=') else {
            before = word;
            rest = seek::trim_start(after);
            continue;
        };
        let key = match word.as_bytes() {
            [b'a'..=b'z', ..] => word,
            _ => word.trim_start_matches(['(', ',', '\'']),
        };
        let (value, next, quoted) = value(key, after);
        rest = seek::trim_start(next);
        if key == "msg" && quoted {
            scan(value, found);
        } else if !key.is_empty() {
            let key = match before {
                "old" | "new" => Cow::Owned(format!("{before}-{key}")),
                _ => Cow::Borrowed(key),
            };
            found(key, value, quoted);
        }
        before = "";
    }
}

/// The value at the text's start, what follows it, and whether it was in quotes.
fn value<'a>(key: &str, text: &'a str) -> (&'a str, &'a str, bool) {
    if let Some(inner) = text.strip_prefix('"') {
        // Without its end (a cut line) the rest is the value.
        let end = memchr(b'"', inner.as_bytes());
        let (value, rest) = end.map_or((inner, ""), |end| (&inner[..end], &inner[end + 1..]));
        return (value, rest, true);
    }
    if let Some(inner) = text.strip_prefix('\'') {
        // `msg='…'` may hold such marks itself; it ends with the last one.
        let split = match key {
            "msg" => inner.rsplit_once('\''),
            _ => seek::cut(inner, b'\''),
        };
        let (value, rest) = split.unwrap_or((inner, ""));
        return (value, rest, true);
    }
    if let Some(inner) = text.strip_prefix('{') {
        let (value, rest) = seek::cut(inner, b'}').unwrap_or((inner, ""));
        return (seek::trim(value), rest, true);
    }
    let (value, rest) = text.split_at(memchr(b' ', text.as_bytes()).unwrap_or(text.len()));
    // `(hostname=?, addr=?, … res=success)` of old kernels; `(null)` and `(none)` keep their bracket.
    let cut = match value.as_bytes() {
        [b'(', ..] | [.., b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z'] => value,
        _ => value.trim_end_matches([',', ')', '\'']),
    };
    (cut, rest, false)
}

/// The kernel writes text with blanks, quotes or other than ASCII as hex without quotes.
fn decoded<'a>(key: &str, value: &'a str, quoted: bool, is_arguments: bool) -> Cow<'a, str> {
    let is_text = || {
        matches!(
            key,
            "comm"
                | "ocomm"
                | "exe"
                | "name"
                | "cwd"
                | "proctitle"
                | "cmd"
                | "acct"
                | "path"
                | "key"
                | "grp"
                | "dir"
                | "file"
                | "unit"
                | "watch"
                | "old-disk"
                | "new-disk"
                | "img-ctx"
                | "device"
                | "vm"
                | "new-group"
                | "cmdline"
        )
    };
    let is_argument = || {
        is_arguments
            && !key.ends_with("_len")
            && key
                .strip_prefix('a')
                .is_some_and(|k| k.starts_with(|c: char| c.is_ascii_digit()))
    };
    if quoted || !value.len().is_multiple_of(2) || !(is_text() || is_argument()) {
        return Cow::Borrowed(value);
    }
    match hex(value) {
        Some(bytes) => {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            Cow::Owned(if key == "proctitle" {
                text
            } else {
                text.trim_end_matches('\0').to_owned()
            })
        }
        None => Cow::Borrowed(value),
    }
}

/// Bytes from hex digits, as the kernel writes them: capitals, an even number, at least one byte.
#[must_use]
pub fn hex(text: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'A'..=b'F' => Some(b - b'A' + 10),
        _ => None,
    };
    if text.is_empty() || !text.len().is_multiple_of(2) {
        return None;
    }
    text.as_bytes()
        .chunks_exact(2)
        .map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?))
        .collect()
}

/// Of the kernel's own messages (`audit: type=1400 audit(…):`), which number the type.
fn number_name(number: u32) -> Option<&'static str> {
    Some(match number {
        1100 => "USER_AUTH",
        1101 => "USER_ACCT",
        1102 => "USER_MGMT",
        1103 => "CRED_ACQ",
        1104 => "CRED_DISP",
        1105 => "USER_START",
        1106 => "USER_END",
        1107 => "USER_AVC",
        1108 => "USER_CHAUTHTOK",
        1109 => "USER_ERR",
        1110 => "CRED_REFR",
        1111 => "USYS_CONFIG",
        1112 => "USER_LOGIN",
        1113 => "USER_LOGOUT",
        1114 => "ADD_USER",
        1115 => "DEL_USER",
        1116 => "ADD_GROUP",
        1117 => "DEL_GROUP",
        1123 => "USER_CMD",
        1124 => "USER_TTY",
        1127 => "SYSTEM_BOOT",
        1128 => "SYSTEM_SHUTDOWN",
        1130 => "SERVICE_START",
        1131 => "SERVICE_STOP",
        1133 => "GRP_CHAUTHTOK",
        1134 => "GRP_MGMT",
        1200 => "DAEMON_START",
        1201 => "DAEMON_END",
        1202 => "DAEMON_ABORT",
        1203 => "DAEMON_CONFIG",
        1300 => "SYSCALL",
        1302 => "PATH",
        1305 => "CONFIG_CHANGE",
        1306 => "SOCKADDR",
        1307 => "CWD",
        1309 => "EXECVE",
        1319 => "TTY",
        1320 => "EOE",
        1321 => "BPRM_FCAPS",
        1325 => "NETFILTER_CFG",
        1326 => "SECCOMP",
        1327 => "PROCTITLE",
        1330 => "KERN_MODULE",
        1006 => "LOGIN",
        1400 => "AVC",
        1700 => "ANOM_PROMISCUOUS",
        1701 => "ANOM_ABEND",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_header_stands_before_a_record() {
        for line in [
            "type=USER_LOGIN msg=audit(1772413593.100:880): pid=1",
            "node=db-1 type=USER_LOGIN msg=audit(1772413593.100:880): pid=1",
            "<86>Mar  2 09:00:00 db-1 audispd: type=USER_LOGIN msg=audit(1772413593.100:880): pid=1",
            "<86>Mar  2 09:00:00 db-1 audisp-syslog[12]: node=db-1 type=USER_LOGIN msg=audit(1772413593.100:880): pid=1",
            "<86>1 2026-03-02T09:00:00+08:00 db-1 auditd 7 - - type=USER_LOGIN msg=audit(1772413593.100:880): pid=1",
            "<4>Mar  2 09:00:00 db-1 kernel: [   12.345678] audit: type=1112 audit(1772413593.100:880): pid=1",
            "Mar  2 09:00:00 db-1 kernel: audit: type=1112 audit(1772413593.100:880): pid=1",
        ] {
            let (id, kind, text) = head(line).expect(line);
            assert_eq!((id.serial, &*kind, text.trim()), (880, "USER_LOGIN", "pid=1"), "{line}");
        }
        for line in [
            "<86>Mar  2 09:00:00 db-1 sshd[3]: Invalid user type=USER_LOGIN msg=audit(1772413593.100:880): pid=1 from 10.0.0.9",
            "<86>Mar  2 09:00:00 db-1 sshd[3]: Failed password for invalid user kernel: type=A msg=audit(1.000:1): from 10.0.0.9 port 1 ssh2",
            "type=USER_LOGIN please read audit(1772413593.100:880): pid=1",
        ] {
            assert!(head(line).is_none(), "{line}");
        }
    }
}
