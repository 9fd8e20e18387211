//! The names that a query may use, and what they stand for.

/// A field as a query names it.
#[derive(Debug, PartialEq, Eq)]
pub struct FieldSpec {
    /// Its name.
    pub name: &'static str,
    /// Other names for it.
    pub aliases: &'static [&'static str],
    /// How its values are compared.
    pub kind: Kind,
}

/// How a field's values are compared, and the index fields that hold them.
#[derive(Debug, PartialEq, Eq)]
pub enum Kind {
    /// Whole values, folded, in any of these fields.
    Keyword(&'static [&'static str]),
    /// Whole values, or an address within a network.
    Address(&'static str, &'static str),
    /// Words, in any of these fields; `raw` among them or not.
    Text(&'static [&'static str]),
    /// A number.
    Number(&'static str),
    /// An OCSF class, by uid or name.
    Class,
    /// A severity, by id or name.
    Severity,
    /// A moment or a range of them.
    Time(&'static str),
    /// A record id.
    Record,
    /// A person, by employee id, name, login or address of mail: the accounts that were theirs at the time.
    Person,
}

/// The text fields of words without a field.
pub(crate) const ALL_TEXTS: &[&str] = &["cmd", "url", "msg", "raw"];

const fn field(name: &'static str, aliases: &'static [&'static str], kind: Kind) -> FieldSpec {
    FieldSpec { name, aliases, kind }
}

/// Every field but `unmapped.…`.
pub static FIELDS: &[FieldSpec] = &[
    field("user", &["user.name", "username"], Kind::Keyword(&["user", "actor"])),
    field("subject", &["target_user"], Kind::Keyword(&["user"])),
    field("user_uid", &["user.uid"], Kind::Keyword(&["user_uid"])),
    field("actor", &["actor.user.name", "by"], Kind::Keyword(&["actor"])),
    field(
        "actor_uid",
        &["actor.user.uid", "employee"],
        Kind::Keyword(&["actor_uid"]),
    ),
    field("account", &[], Kind::Keyword(&["account"])),
    field(
        "src",
        &["src_ip", "src_endpoint.ip", "source_ip"],
        Kind::Address("src", "src_addr"),
    ),
    field("dst", &["dst_ip", "dst_endpoint.ip"], Kind::Address("dst", "dst_addr")),
    field(
        "host",
        &["hostname", "asset", "device.hostname", "dst_endpoint.hostname"],
        Kind::Keyword(&["host"]),
    ),
    field(
        "session",
        &["actor.session.uid", "metadata.correlation_uid"],
        Kind::Keyword(&["session"]),
    ),
    field("source", &["docket.source"], Kind::Keyword(&["source"])),
    field("system", &["docket.system"], Kind::Keyword(&["system"])),
    field("product", &["metadata.product.name"], Kind::Keyword(&["product"])),
    field("service", &["service.name"], Kind::Keyword(&["service"])),
    field("ticket", &["ticket_id"], Kind::Keyword(&["ticket"])),
    field(
        "object",
        &["web_resources.uid", "web_resources.name"],
        Kind::Keyword(&["object"]),
    ),
    field("object_type", &["web_resources.type"], Kind::Keyword(&["object_type"])),
    field("file", &["path", "file.path", "file.name"], Kind::Keyword(&["file"])),
    field("label", &["labels", "metadata.labels"], Kind::Keyword(&["label"])),
    field("log", &["metadata.log_name"], Kind::Keyword(&["log"])),
    field("method", &["http_request.http_method"], Kind::Keyword(&["method"])),
    field(
        "original",
        &["metadata.original_event_uid"],
        Kind::Keyword(&["original"]),
    ),
    field("status", &["result", "outcome"], Kind::Keyword(&["status"])),
    field("cmd", &["command", "process.cmd_line", "query"], Kind::Text(&["cmd"])),
    field("url", &["uri"], Kind::Text(&["url"])),
    field("msg", &["message"], Kind::Text(&["msg"])),
    field("raw", &["raw_data", "line"], Kind::Text(&["raw"])),
    field("text", &["any"], Kind::Text(ALL_TEXTS)),
    field("class", &["class_uid", "class_name"], Kind::Class),
    field("activity", &["activity_id"], Kind::Number("activity")),
    field("severity", &["severity_id"], Kind::Severity),
    field("code", &["http_response.code", "status_code"], Kind::Number("code")),
    field("bytes", &["size"], Kind::Number("bytes")),
    field("rows", &[], Kind::Number("rows")),
    field("port", &[], Kind::Number("port")),
    field("time", &["@timestamp", "timestamp"], Kind::Time("time")),
    field("received", &["received_at", "logged_time"], Kind::Time("received")),
    field(
        "processed",
        &["processed_at", "processed_time"],
        Kind::Time("processed"),
    ),
    field("record", &["uid", "id", "metadata.uid"], Kind::Record),
    field("person", &["who"], Kind::Person),
    field("index", &["ledger_index", "leaf"], Kind::Number("index")),
];

/// Severities by id.
pub(crate) const SEVERITIES: &[(u64, &str)] = &[
    (0, "unknown"),
    (1, "informational"),
    (1, "info"),
    (2, "low"),
    (3, "medium"),
    (4, "high"),
    (5, "critical"),
    (6, "fatal"),
    (99, "other"),
];

/// Finds a field by name or alias, letter case aside.
#[must_use]
pub fn find(name: &str) -> Option<&'static FieldSpec> {
    let is = |n: &str| n.eq_ignore_ascii_case(name);
    FIELDS.iter().find(|f| is(f.name) || f.aliases.iter().any(|a| is(a)))
}

/// The known name that is nearest to `given`, where one is near.
#[must_use]
pub fn nearest<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let given: Vec<char> = given.to_lowercase().chars().take(64).collect();
    let limit = (given.len() / 2).clamp(1, 3);
    known
        .map(|name| (distance(&given, &name.chars().collect::<Vec<_>>()), name))
        .filter(|(d, _)| *d <= limit)
        .min_by_key(|(d, _)| *d)
        .map(|(_, name)| name)
}

/// Levenshtein's.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = (diagonal + usize::from(x != y)).min(above + 1).min(row[j] + 1);
            diagonal = above;
        }
    }
    row[b.len()]
}

/// All names, for a suggestion.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    FIELDS
        .iter()
        .flat_map(|f| std::iter::once(f.name).chain(f.aliases.iter().copied()))
        .chain(["unmapped", "exists"])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Fields, KEYWORDS, TEXTS};

    #[test]
    fn every_field_is_in_the_schema_and_named_once() {
        let fields = Fields::new();
        for f in FIELDS {
            let held: Vec<&str> = match &f.kind {
                Kind::Keyword(names) | Kind::Text(names) => names.to_vec(),
                Kind::Address(a, b) => vec![a, b],
                Kind::Number(n) | Kind::Time(n) => vec![n],
                Kind::Class | Kind::Severity | Kind::Record | Kind::Person => vec![],
            };
            held.iter()
                .for_each(|n| assert!(fields.named(n).is_some() || fields.word(n).is_some(), "{n}"));
        }
        let mut all: Vec<_> = names().collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
        assert_eq!(TEXTS.len() + 1, ALL_TEXTS.len());
        for (name, _) in KEYWORDS {
            let reachable = |f: &FieldSpec| matches!(&f.kind, Kind::Keyword(n) if n.contains(name)) || f.name == *name;
            assert!(FIELDS.iter().any(reachable), "{name}");
        }
    }

    #[test]
    fn a_misspelt_name_is_suggested() {
        assert_eq!(nearest("usr", names()), Some("user"));
        assert_eq!(nearest("sesion", names()), Some("session"));
        assert_eq!(nearest("zzzzzz", names()), None);
    }
}
