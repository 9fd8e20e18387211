//! What the Splunk event collector's envelope tells of a record: its sourcetype names the format where nothing else does, its time and
//! host stand where the line has none. The envelope comes as the header [`HEADER`]; the record is the event inside.

use model::{Event, RawRecord};
use serde_json::{Map, Value};

use super::{Format, Input, by_name, collector};

/// The record's header that holds the envelope without its event, as JSON.
pub const HEADER: &str = "docket-hec";
/// A larger envelope is not looked into.
const BYTES_MAX: usize = 64 << 10;

/// Splunk's sourcetypes, by how they begin, and our formats; the first that fits counts.
const SOURCETYPES: &[(&str, &str)] = &[
    ("linux_secure", "linux_auth"),
    ("linux:auth", "linux_auth"),
    ("linux_audit", "linux_auditd"),
    ("linux:audit", "linux_auditd"),
    ("auditd", "linux_auditd"),
    ("linux_messages_syslog", "syslog_other"),
    ("syslog", "syslog_other"),
    ("journald", "systemd_journal"),
    ("systemd", "systemd_journal"),
    ("aws:cloudtrail", "cloud_trail"),
    ("aws:cloudwatchlogs:cloudtrail", "cloud_trail"),
    ("wineventlog", "windows_events"),
    ("xmlwineventlog", "windows_events"),
    ("kube:audit", "kubernetes_audit"),
    ("kubernetes:audit", "kubernetes_audit"),
    ("oktaim2:log", "okta"),
    ("okta", "okta"),
    ("github:", "github_audit"),
    ("gitlab:", "gitlab_audit"),
    ("teleport", "teleport"),
    ("jumpserver", "jumpserver"),
    ("postgresql", "postgresql"),
    ("postgres", "postgresql"),
    ("pgaudit", "postgresql"),
    ("mongodb:audit", "mongodb_audit"),
    ("mongo:audit", "mongodb_audit"),
    ("mysql:audit", "mysql_audit"),
    ("mysql:server:audit", "mysql_audit"),
    ("mariadb", "mysql_audit"),
    ("nginx:plus:kv", "nginx_json"),
    ("nginx:error", "error_log"),
    ("nginx", "access_log"),
    ("apache:error", "error_log"),
    ("apache_error", "error_log"),
    ("apache:access", "access_log"),
    ("access_combined", "access_log"),
    ("access_common", "access_log"),
    ("cefevents", "cef"),
    ("cef", "cef"),
    ("leef", "leef"),
    ("aliyun:actiontrail", "action_trail"),
    ("aliyun:bastionhost", "bastionhost"),
];

fn envelope(record: &RawRecord) -> Option<Map<String, Value>> {
    let (_, bytes) = record.headers.iter().find(|(name, _)| name == HEADER)?;
    if bytes.len() > BYTES_MAX {
        return None;
    }
    serde_json::from_slice(bytes).ok()
}

/// The format that the sourcetype names, where the record looks like it.
pub(crate) fn named(input: &Input<'_>) -> Option<&'static Format> {
    if input.record.headers.is_empty() {
        return None;
    }
    let envelope = envelope(input.record)?;
    let sourcetype = envelope.get("sourcetype")?.as_str()?.trim().to_ascii_lowercase();
    let (_, name) = SOURCETYPES.iter().find(|(start, _)| sourcetype.starts_with(start))?;
    // A sourcetype is the sender's word: one that the bytes deny is not believed.
    by_name(name).filter(|format| (format.matches)(input).is_some())
}

/// Puts what the envelope tells beside what the line tells.
pub(crate) fn describe<'a>(events: &mut [Event<'a>], input: &Input<'a>) {
    if input.record.headers.is_empty() {
        return;
    }
    let Some(mut envelope) = envelope(input.record) else {
        return;
    };
    let time = envelope.shift_remove("time");
    let host = envelope.shift_remove("host");
    let source = envelope.shift_remove("source");
    let text = |value: &Option<Value>| value.as_ref().and_then(Value::as_str).map(str::to_owned);
    let (rest, time) = (input.arena.object_of(&envelope), time.map(|t| input.arena.value(&t)));
    collector::describe_hec(events, input, text(&host), text(&source), rest, time);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sourcetype_names_a_format_of_ours() {
        for (sourcetype, name) in SOURCETYPES {
            assert!(by_name(name).is_some(), "{sourcetype} {name}");
        }
    }
}
