//! What the labels of events and the reasons of quarantine mean, and what to do.

/// Why a record was quarantined, in a sentence, and what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remedy {
    /// What it means.
    pub meaning: &'static str,
    /// Whose move it is, and which.
    pub remedy: &'static str,
}

/// What a label means; labels with a colon by what stands before it.
#[must_use]
pub fn label(label: &str) -> &'static str {
    let name = label.split_once(':').map_or(label, |(name, _)| name);
    LABELS
        .iter()
        .find(|(l, _)| *l == label || *l == name)
        .map_or("a label without a description", |(_, meaning)| meaning)
}

/// What a reason of quarantine means.
#[must_use]
pub fn quarantine(reason: &str) -> Remedy {
    let (meaning, remedy) = QUARANTINES
        .iter()
        .find(|(r, ..)| *r == reason)
        .map_or(("the record could not be read", FORMAT), |(_, meaning, remedy)| {
            (meaning, remedy)
        });
    Remedy { meaning, remedy }
}

const LABELS: &[(&str, &str)] = &[
    ("actor.several", "the sender named several persons; the first is taken"),
    (
        "attempt.detail",
        "another line about an attempt that is counted by a line of its own; policies that count leave it out",
    ),
    (
        "auditd.keystrokes",
        "holds keystrokes, which may be passwords; they are not decoded, the raw record has them",
    ),
    (
        "auditd.line_unreadable",
        "one of the lines of the audit event is no audit line; it is kept in the raw record",
    ),
    (
        "auditd.lines_truncated",
        "the audit event has more lines than are read; the raw record has them all",
    ),
    (
        "auditd.partial",
        "one line of an audit event of several, which was not put together",
    ),
    (
        "bastionhost.policy_result_unknown",
        "what the control policy did is told in words that are not known",
    ),
    (
        "bastionhost.unknown_event_type",
        "an event type that the vendor added; who, where and what are read, the rest is kept",
    ),
    ("change.detail", "another line about one change of an account or group"),
    (
        "clock_skew",
        "the source's clock and ours are more than 120 s apart, or the record came late",
    ),
    (
        "people.cut",
        "more people are meant than have an event of their own: the text names them all",
    ),
    (
        "time.written_later",
        "the source writes the record long after the event, as it works: that says nothing of its clock",
    ),
    (
        "cmd.truncated",
        "the source keeps 127 characters of a command: its middle is lost",
    ),
    (
        "control_character",
        "JSON held a control character that must be escaped",
    ),
    ("cri.partial", "a part of a line: the container runtime cut it"),
    (
        "data.maybe_truncated",
        "the data is as long as the agent sends at most: its end may be lost",
    ),
    (
        "line.maybe_truncated",
        "the line is as long as something on its way lets through: its end may be lost",
    ),
    (
        "diff.lost",
        "the change was too long for the source, which put a sentence in its place",
    ),
    (
        "duplicate_key",
        "a key stood twice in one object: the last value counts, the others are in unmapped.duplicate_keys",
    ),
    (
        "encoding",
        "the bytes were no UTF-8 and were read in the source's configured encoding",
    ),
    ("http.request_empty", "the client sent no request"),
    ("http.request_malformed", "what the client sent is no HTTP request"),
    ("http.status_missing", "the line has no status code"),
    ("invalid_escape", "JSON held an escape that is none"),
    (
        "invalid_utf8",
        "bytes that are no text were replaced; the raw record has them",
    ),
    (
        "ip.list",
        "several addresses were given; the right-most one that is no trusted proxy is taken, all are in unmapped.source_ips",
    ),
    (
        "ip_invalid",
        "what should be an address is none; it is kept in unmapped",
    ),
    (
        "join",
        "parts of the event were waited for in vain: it may lack something",
    ),
    (
        "json.several_objects",
        "the record held several objects; each is an event",
    ),
    (
        "jumpserver.unknown_category",
        "a category of JumpServer that is not known; the fields are kept in unmapped",
    ),
    ("kcat_line_unreadable", "a line of the capture is not what kcat prints"),
    (
        "log_injection",
        "the text inside looks like a line of its own: somebody may have tried to forge one",
    ),
    ("lone_surrogate", "half of a surrogate pair in JSON was replaced"),
    ("missing", "what the contract demands is not there"),
    (
        "octet_count_wrong",
        "the syslog sender announced another length than it sent",
    ),
    (
        "personal_number",
        "the whole number of an identity or a bank card stands in the record; it is masked in what is shown",
    ),
    (
        "postgresql.continuation",
        "a further line of the entry before, cut off by the collector",
    ),
    (
        "quarantined",
        "could not be read; kept whole, searchable by its text, normalized again when a format is mended",
    ),
    (
        "query.detail",
        "a table that a statement touched; the statement is an event of its own",
    ),
    ("record", "a record that this event was put together from"),
    (
        "record_truncated",
        "longer than the bound for records; length and hash of the whole are kept",
    ),
    ("result.unknown", "the sender's word for the result is not known"),
    ("script.part", "a part of a script; the others have the same script.uid"),
    (
        "session.protocol_unknown",
        "the session's protocol is not told; taken as SSH",
    ),
    ("session.times_missing", "the session's content has no start or end"),
    ("statement_not_logged", "the database does not log the statement's text"),
    ("statement_truncated", "the database or the collector cut the statement"),
    (
        "sudo.command_continued",
        "sudo split a long command over several lines; this is a further one",
    ),
    ("syslog.header_missing", "the line has no syslog header"),
    ("syslog.header_short", "the syslog header ends early"),
    ("syslog.host_missing", "the syslog header names no host"),
    (
        "syslog.parameter_repeated",
        "a parameter of the structured data stands twice",
    ),
    ("syslog.pri_invalid", "the syslog priority is no number from 0 to 191"),
    (
        "syslog.structured_data_invalid",
        "the structured data of the syslog line is not well formed",
    ),
    ("syslog.tag_empty", "the syslog tag is empty"),
    ("syslog.tag_invalid", "the syslog tag is not well formed"),
    ("syslog.time_missing", "the syslog header has no time"),
    ("syslog.version", "the syslog header's version is not 1"),
    (
        "text.truncated",
        "a text of the record says of itself that something on its way cut it",
    ),
    (
        "time.adjusted",
        "the time does not exist as written (24:00:00, a leap second, an hour skipped): the moment that is meant is taken",
    ),
    ("time.future", "more than 120 s ahead of our clock"),
    ("time.invalid", "the time could not be read: that of receipt is taken"),
    (
        "time.late",
        "more than 24 h behind: policies keep their state no longer by default",
    ),
    ("time.missing", "the record has no time: that of receipt is taken"),
    ("time.of_collector", "the line has no time: the collector's is taken"),
    (
        "time.unreadable",
        "the time could not be read: that of receipt is taken; its text is in metadata.original_time",
    ),
    (
        "time.year_inferred",
        "the time has no year: the one is taken that brings it nearest to the time of receipt",
    ),
    (
        "time.zone_assumed",
        "the time has no zone: the source's configured one is taken",
    ),
    (
        "time.zone_inferred",
        "the time has no zone: it is told from the collector's time beside it",
    ),
    (
        "unmapped_truncated",
        "more fields than unmapped holds; the raw record has them all",
    ),
    (
        "user.maybe_truncated",
        "the name is as long as the source keeps: its middle may be lost",
    ),
];

const SENDER: &str =
    "the sender's: it sends what is not well formed; see the raw record, then its configuration or its collector";
const FORMAT: &str = "the operator's: the record is not of the format that its source is configured for; set `format` of \
    the source, or send those records to a source of their own. If the format has changed, report it: quarantined records are \
    normalized again when it is mended";
const NAME: &str = "the operator's: name the source's `format` in its settings, write a mapping file (`docket mapping check`), or \
    have it sent as syslog or JSON";
const CUT: &str = "the operator's: something between the source and Docket cuts lines (a datagram's size, an agent's limit); raise it \
    there, or send over TCP or HTTP";

const QUARANTINES: &[(&str, &str, &str)] = &[
    ("access_log_unreadable", "no line of an access log", FORMAT),
    (
        "action_trail_no_event_name",
        "no event name or type where ActionTrail has one",
        FORMAT,
    ),
    ("auditd_unreadable", "no line of the Linux audit log", FORMAT),
    (
        "bastionhost_no_event_type",
        "no event_type where Bastionhost has one",
        FORMAT,
    ),
    (
        "cef_header_incomplete",
        "the CEF header has fewer than seven fields",
        SENDER,
    ),
    ("cef_no_mark", "there is no `CEF:` in the line", FORMAT),
    ("cloud_trail_no_event", "the envelope holds no event", SENDER),
    (
        "cloud_trail_no_event_name",
        "no eventName where CloudTrail has one",
        FORMAT,
    ),
    ("collector_no_line", "the collector's envelope holds no line", SENDER),
    ("docket_no_act", "no act where Docket's own records have one", FORMAT),
    (
        "ecs_no_event",
        "nothing of the Elastic Common Schema in the object",
        FORMAT,
    ),
    ("empty", "the record is empty", SENDER),
    ("error_log_unreadable", "no line of an error log", FORMAT),
    ("gelf_no_message", "no short_message where GELF has one", SENDER),
    ("github_no_action", "no action where GitHub's audit log has one", FORMAT),
    ("gitlab_no_author", "no author where GitLab's audit log has one", FORMAT),
    ("journal_empty", "a journal entry without fields", SENDER),
    ("journal_invalid", "not the journal's export format", FORMAT),
    (
        "journal_too_many_entries",
        "more journal entries in one record than are read",
        "the operator's: send fewer entries at once",
    ),
    (
        "journal_truncated",
        "the journal entry ends before the length that it announces",
        CUT,
    ),
    ("json_invalid", "not well-formed JSON", SENDER),
    (
        "json_not_object",
        "no JSON object: a list, a text, or no JSON at all",
        SENDER,
    ),
    (
        "json_several_objects",
        "several objects in one record, where the format has one",
        SENDER,
    ),
    ("json_too_deep", "JSON nested deeper than is read", SENDER),
    ("json_too_many_keys", "more keys in the JSON than are read", SENDER),
    ("json_trailing", "something follows the JSON object", SENDER),
    ("json_truncated", "the JSON ends in its middle", CUT),
    (
        "jumpserver_no_tag",
        "no `jumpserver: ` in the line, and not a record's JSON",
        FORMAT,
    ),
    ("kubernetes_no_items", "an event list without items", SENDER),
    ("kubernetes_no_verb", "no verb where Kubernetes has one", FORMAT),
    ("laurel_id", "no ID where Laurel has one", FORMAT),
    ("leef_delimiter_unknown", "LEEF names a delimiter that is none", SENDER),
    ("leef_header_incomplete", "the LEEF header is too short", SENDER),
    ("leef_no_mark", "there is no `LEEF:` in the line", FORMAT),
    (
        "mapping_missing",
        "the source's format is `mapped`, but it has no mapping",
        "the operator's: name the file, `mapping = \"…\"`, in the source's settings",
    ),
    ("mongodb_no_atype", "no atype where MongoDB has one", FORMAT),
    ("mysql_audit_unknown", "not a record of MySQL's audit log", FORMAT),
    ("no_event", "the format made no event of it", FORMAT),
    ("not_syslog", "not a syslog line", FORMAT),
    ("okta_no_event", "the envelope holds no event", SENDER),
    ("okta_no_event_type", "no eventType where Okta has one", FORMAT),
    ("otlp_no_records", "OTLP without log records", SENDER),
    ("postgresql_fields", "a line of csvlog with too few fields", CUT),
    ("server_audit_columns", "not the columns of server_audit", FORMAT),
    (
        "sudo_json_incomplete",
        "sudo's JSON without what an event needs",
        FORMAT,
    ),
    ("teleport_no_event", "no event where Teleport has one", FORMAT),
    ("unknown_format", "no format knows these bytes", NAME),
    ("windows_event_id", "no event id where Windows has one", FORMAT),
    ("windows_xml", "not the XML of a Windows event", FORMAT),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    /// The literals in our sources that follow one of these.
    fn written(starts: &[&str]) -> BTreeSet<String> {
        let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
        let mut found = BTreeSet::new();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("our sources") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                if path.ends_with("explain/meaning.rs") {
                    continue;
                }
                let text = fs::read_to_string(&path).expect("a source");
                for start in starts {
                    for part in text.split(start).skip(1) {
                        found.extend(part.split_once('"').map(|(word, _)| word.to_owned()));
                    }
                }
            }
        }
        found
    }

    #[test]
    fn every_label_has_a_meaning() {
        let mut labels = written(&[
            ".label(\"",
            "flags.push(\"",
            "self.flag(\"",
            "DETAIL: &str = \"",
            "LINE: &str = \"",
            "TEXT: &str = \"",
        ]);
        // `missing:…` and the like are written with format!.
        labels.extend(
            [
                "missing:time",
                "quarantined:empty",
                "record:a/0/1",
                "join:timeout",
                "encoding:gbk",
            ]
            .map(str::to_owned),
        );
        assert!(labels.len() > 40, "{labels:?}");
        for written in labels {
            assert_ne!(label(&written), label("nothing.known"), "{written}");
        }
    }

    #[test]
    fn every_reason_of_quarantine_has_a_meaning() {
        let reasons = written(&["Quarantine(\""]);
        assert!(reasons.len() > 40, "{reasons:?}");
        for reason in reasons {
            assert!(QUARANTINES.iter().any(|(r, ..)| *r == reason), "{reason}");
        }
    }
}
