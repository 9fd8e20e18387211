//! Which format a record is in.
//!
//! In this order: what the source's settings say; a format that the topic names (`audit.<format>`,
//! `local.<format>`); a format that has the source's id for a name or alias; else the bytes decide. A record of a
//! source whose format is known is never read in another one: whoever may write to the web server's topic must
//! not be able to speak for the bastion. Only what the same system writes beside it is told by its bytes: a host's audit
//! log and journal beside its syslog, a web server's errors beside its requests.

use model::{RawRecord, TOPIC_DOCKET};

use crate::SourceSettings;
use crate::format::{self, FORMATS, Format, Input};
use crate::seek;

/// A format, and why it was chosen.
#[derive(Clone, Copy, Debug)]
pub struct Choice {
    /// The format; none where nothing matched.
    pub format: Option<&'static Format>,
    /// Why.
    pub reason: &'static str,
}

/// What one system writes in several formats.
struct Beside {
    /// By any of these a source may be named,
    named: &'static [&'static Format],
    /// and these may be among its records.
    also: &'static [&'static Format],
    /// Whether a record is worth the look.
    may_be: fn(&str) -> bool,
}

static BESIDE: [Beside; 2] = [
    Beside {
        named: &[&format::linux_auth::FORMAT, &format::syslog_other::FORMAT],
        also: &[&format::linux_auditd::FORMAT, &format::systemd_journal::FORMAT],
        may_be: |text| text.starts_with(['{', '_']) || seek::contains(text, "audit("),
    },
    Beside {
        named: &[&format::nginx_json::FORMAT, &format::access_log::FORMAT],
        also: &[&format::error_log::FORMAT],
        may_be: |text| text.starts_with(|c: char| c == '[' || c.is_ascii_digit()),
    },
];

/// The format that the source decides, before the bytes are looked at: or what the same system writes beside it, where the bytes
/// look like that and not like the format.
#[must_use]
pub fn by_source(input: &Input<'_>) -> Option<Choice> {
    let choice = of_source(input.record, input.settings)?;
    let named = choice.format?;
    let is_named = |beside: &&Beside| beside.named.iter().any(|f| std::ptr::eq(*f, named));
    let beside = BESIDE.iter().find(is_named).filter(|b| (b.may_be)(input.text));
    let also = beside
        .filter(|_| (named.matches)(input).is_none())
        .and_then(|b| best(input, |f| b.also.iter().any(|also| std::ptr::eq(*also, f))));
    Some(match also {
        Some((format, _)) => Choice {
            format: Some(format),
            reason: "its bytes look like what such a source writes besides",
        },
        None => choice,
    })
}

/// Whether a source that is named by that format may send records of the other, too.
#[must_use]
pub fn may_send(named: &str, other: &Format) -> bool {
    let sends = |b: &Beside| b.named.iter().any(|f| f.name == named) && b.also.iter().any(|f| std::ptr::eq(*f, other));
    named == other.name || BESIDE.iter().any(sends)
}

/// As [`by_source`], of a record that nobody has looked into.
#[must_use]
pub fn of_source(record: &RawRecord, settings: &SourceSettings) -> Option<Choice> {
    let topic = &*record.coordinate.topic;
    // The reserved topic is written by the ledger's writer only; nobody else can name it.
    if topic == TOPIC_DOCKET {
        return Some(Choice {
            format: Some(&format::docket_acts::FORMAT),
            reason: "the reserved topic",
        });
    }
    if let Some(name) = &settings.format {
        let format = format::by_name(name);
        let reason = if format.is_some() {
            "configured"
        } else {
            "configured, but there is no format of that name"
        };
        return Some(Choice { format, reason });
    }
    let named = |name: &str, reason| {
        let format = format::by_name(name).filter(|f| f.name != format::docket_acts::FORMAT.name)?;
        Some(Choice {
            format: Some(format),
            reason,
        })
    };
    topic_source(topic)
        .and_then(|name| named(name, "the topic names it"))
        .or_else(|| named(&record.source, "the source names it"))
}

/// The format that the bytes look most like; of equals the first in [`FORMATS`].
#[must_use]
pub fn by_bytes(input: &Input<'_>) -> Choice {
    if let Some(format) = format::hec::named(input) {
        return Choice {
            format: Some(format),
            reason: "the sourcetype of its HEC envelope, and its bytes look like it",
        };
    }
    match best(input, |_| true) {
        Some((format, found)) => Choice {
            format: Some(format),
            reason: found.reason,
        },
        None => Choice {
            format: None,
            reason: "nothing matched",
        },
    }
}

/// The most like of the formats that are `allowed`; of equals the first.
pub(crate) fn best(input: &Input<'_>, allowed: impl Fn(&Format) -> bool) -> Option<(&'static Format, format::Match)> {
    let mut best: Option<(&'static Format, format::Match)> = None;
    for format in FORMATS.iter().copied().filter(|f| allowed(f)) {
        if let Some(found) = (format.matches)(input)
            && best.is_none_or(|(_, there)| found.score > there.score)
        {
            best = Some((format, found));
        }
    }
    best
}

/// The source that a topic is for: `audit.linux` and `local.linux@2` are for `linux`.
#[must_use]
pub fn topic_source(topic: &str) -> Option<&str> {
    let name = topic.strip_prefix("audit.").or_else(|| topic.strip_prefix("local."))?;
    Some(name.split('@').next().unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use model::{Arena, Coordinate, Millis, RawRecord};

    use super::*;

    #[test]
    fn what_a_system_writes_besides_is_told_by_its_bytes() {
        let audit = "type=USER_LOGIN msg=audit(1772413593.100:880): pid=1";
        let journal = r#"{"__REALTIME_TIMESTAMP": "1772413593100000", "MESSAGE": "hello", "_HOSTNAME": "db-1"}"#;
        let error = "2026/03/02 09:00:00 [error] 31#31: *5 access forbidden by rule, client: 10.8.2.37";
        let sshd =
            "<86>Mar  2 09:00:00 db-1 sshd[3]: Invalid user type=X msg=audit(1772413593.100:880): from 10.0.0.9 port 9";
        let teleport = r#"{"event": "user.login", "code": "T1000I", "time": "2026-03-02T01:00:00Z", "user": "li"}"#;
        for (source, configured, payload, want) in [
            ("linux", None, audit, "linux_auditd"),
            ("linux", None, journal, "systemd_journal"),
            ("linux", None, sshd, "linux_auth"),
            ("syslog", None, audit, "linux_auditd"),
            ("db-1", Some("linux"), audit, "linux_auditd"),
            ("nginx", None, error, "error_log"),
            // Who may write for one system does not speak for another.
            ("linux", None, teleport, "linux_auth"),
            ("nginx", None, audit, "nginx_json"),
            ("jumpserver", None, journal, "jumpserver"),
            ("db-1", Some("linux_auditd"), journal, "linux_auditd"),
        ] {
            let record = RawRecord {
                coordinate: Coordinate::new(format!("audit.{source}"), 0, 0),
                received_at: Millis(0),
                source: source.into(),
                peer: None,
                key: None,
                headers: vec![],
                payload: payload.into(),
                truncated: None,
            };
            let settings = SourceSettings {
                format: configured.map(Into::into),
                ..SourceSettings::default()
            };
            let arena = Arena::new();
            let choice = by_source(&Input::new(&arena, &record, &settings)).expect("a source that is known");
            assert_eq!(
                choice.format.map(|f| f.name),
                Some(want),
                "{source} {configured:?} {payload}"
            );
        }
    }
}
