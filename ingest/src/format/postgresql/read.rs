//! Entries of PostgreSQL's log, in its three forms.

use std::borrow::Cow;

use memchr::{memchr_iter, memchr2};
use model::Object;

use crate::address::is_address;
use crate::fields::Fields;
use crate::seek;

/// An entry, as far as its form has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Entry<'a> {
    pub time: Option<Cow<'a, str>>,
    pub host: Option<String>,
    pub user: Option<Cow<'a, str>>,
    pub database: Option<Cow<'a, str>>,
    pub pid: Option<Cow<'a, str>>,
    /// `127.0.0.1`, `127.0.0.1:44478`, `[local]`, or a name.
    pub remote: Option<Cow<'a, str>>,
    pub session: Option<Cow<'a, str>>,
    pub line: Option<Cow<'a, str>>,
    pub tag: Option<Cow<'a, str>>,
    /// `LOG`, `ERROR`, `FATAL`, …; empty of a continuation.
    pub severity: Cow<'a, str>,
    pub code: Option<Cow<'a, str>>,
    pub message: Cow<'a, str>,
    pub detail: Option<Cow<'a, str>>,
    pub hint: Option<Cow<'a, str>>,
    pub query: Option<Cow<'a, str>>,
    pub application: Option<Cow<'a, str>>,
    pub backend: Option<Cow<'a, str>>,
    /// Nothing but text that belongs to an entry before it.
    pub is_continuation: bool,
    /// The text ends within a quoted field.
    pub is_cut: bool,
}

fn is_severity(word: &str) -> bool {
    matches!(
        word,
        "LOG"
            | "ERROR"
            | "FATAL"
            | "PANIC"
            | "WARNING"
            | "NOTICE"
            | "INFO"
            | "DEBUG"
            | "DEBUG1"
            | "DEBUG2"
            | "DEBUG3"
            | "DEBUG4"
            | "DEBUG5"
    )
}

/// Of a line that tells more of the one before it.
fn is_detail(word: &str) -> bool {
    matches!(word, "DETAIL" | "HINT" | "STATEMENT" | "CONTEXT" | "QUERY" | "LOCATION")
}

impl<'a> Entry<'a> {
    pub(super) fn continuation(text: Cow<'a, str>) -> Entry<'a> {
        Entry {
            message: text,
            is_continuation: true,
            ..Entry::default()
        }
    }
}

/// Whether a prefix begins with a time.
pub(super) fn has_time(prefix: &str) -> bool {
    let bytes = prefix.trim_start_matches(['[', '<']).as_bytes();
    bytes.len() >= 19
        && bytes[4] == b'-'
        && bytes[13] == b':'
        && bytes[..4].iter().all(u8::is_ascii_digit)
        && bytes[17..19].iter().all(u8::is_ascii_digit)
}

/// What stands before the first `SEVERITY:  `, the severity, and the message.
pub(super) fn split_prefix(line: &str) -> Option<(&str, &str, &str)> {
    let bytes = line.as_bytes();
    memchr_iter(b':', bytes)
        .filter(|at| bytes[at + 1..].starts_with(b"  "))
        .find_map(|at| {
            let of_word = |b: &u8| b.is_ascii_uppercase() || b.is_ascii_digit();
            let start = bytes[..at].iter().rposition(|b| !of_word(b)).map_or(0, |n| n + 1);
            let word = &line[start..at];
            (is_severity(word) || is_detail(word)).then(|| (&line[..start], word, &line[at + 3..]))
        })
}

/// The entries of a text of several lines.
pub(super) fn text_entries<'a>(text: &'a str, entries_max: usize, entries: &mut Vec<Entry<'a>>) {
    for line in text.lines() {
        let found = if line.starts_with('\t') { None } else { text_entry(line) };
        let has_room = entries.len() < entries_max;
        match (found, entries.last_mut()) {
            (Some(entry), Some(last)) if entry.is_continuation && entry.pid == last.pid && !last.is_continuation => {
                let field = match &*entry.severity {
                    "HINT" => &mut last.hint,
                    "STATEMENT" | "QUERY" => &mut last.query,
                    _ => &mut last.detail,
                };
                *field = Some(entry.message);
            }
            (Some(entry), _) if has_room => entries.push(entry),
            (_, Some(last)) => {
                // A line of its own that has no prefix, or too many: it belongs to the one before.
                let field = match (&mut last.query, &mut last.detail) {
                    (Some(query), _) => query,
                    (_, Some(detail)) => detail,
                    _ => &mut last.message,
                };
                let field = field.to_mut();
                field.push('\n');
                field.push_str(line.strip_prefix('\t').unwrap_or(line));
            }
            (_, None) => entries.push(Entry::continuation(line.into())),
        }
    }
}

/// A line with a prefix and a severity.
pub(super) fn text_entry(line: &str) -> Option<Entry<'_>> {
    let (prefix, severity, message) = split_prefix(line)?;
    let mut entry = Entry {
        severity: severity.into(),
        message: message.into(),
        is_continuation: is_detail(severity),
        ..Entry::default()
    };
    read_prefix(prefix, &mut entry);
    Some(entry)
}

fn read_prefix<'a>(prefix: &'a str, entry: &mut Entry<'a>) {
    let mut rest = prefix;
    if has_time(prefix) {
        let from = prefix.len() - prefix.trim_start_matches(['[', '<']).len();
        // Date, time, and the zone where there is one.
        let mut end = prefix.as_bytes()[from + 19..]
            .iter()
            .position(|b| matches!(b, b' ' | b':' | b']' | b'>'))
            .map_or(prefix.len(), |n| n + from + 19);
        let zone = prefix[end..].strip_prefix(' ').unwrap_or("");
        let length = zone
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '-')))
            .unwrap_or(zone.len());
        let is_zone = (2..=6).contains(&length)
            && zone.starts_with(|c: char| c.is_ascii_uppercase() || matches!(c, '+' | '-'))
            && zone[..length].bytes().all(|b| !b.is_ascii_lowercase())
            && !zone[length..].starts_with(['@', '=']);
        if is_zone {
            end += 1 + length;
        }
        entry.time = Some(prefix[from..end].into());
        rest = &prefix[end..];
    }
    // RDS: `:10.0.0.1(54321):user@db:[123]:`
    let separators: &[char] = if seek::contains(rest, ":[") {
        &[' ', ':', ',']
    } else {
        &[' ', ',']
    };
    let words = rest
        .split(separators)
        .filter(|w| !w.is_empty() && !matches!(*w, "]" | ">" | "-" | ":"));
    let known = |value: &'a str| Some(Cow::Borrowed(value)).filter(|v| !matches!(&**v, "" | "[unknown]"));
    for word in words {
        if let Some((name, value)) = seek::cut(word, b'=') {
            match name {
                "user" | "usr" => entry.user = known(value),
                "db" | "database" => entry.database = known(value),
                "app" | "application" | "application_name" => entry.application = known(value),
                "client" | "host" | "remote" => entry.remote = known(value),
                _ => {}
            }
        } else if let Some(pid) = word.strip_prefix('[')
            && pid.starts_with(|c: char| c.is_ascii_digit())
            && entry.pid.is_none()
        {
            entry.pid = known(pid.trim_end_matches([']', ':']).split('-').next().unwrap_or(""));
        } else if let Some((user, database)) = seek::cut(word, b'@')
            && entry.user.is_none()
        {
            entry.user = known(user);
            entry.database = known(database.trim_end_matches(':'));
        } else if entry.remote.is_none() && is_remote(word) {
            entry.remote = Some(word.into());
            if separators.len() == 2 {
                // The application's name may hold blanks.
                let from = seek::find(rest, word).map_or(rest.len(), |n| n + word.len());
                entry.application = known(rest[from..].trim());
                break;
            }
        }
    }
}

fn is_remote(word: &str) -> bool {
    let host = seek::cut(word, b'(').map_or(word, |(host, _)| host);
    word == "[local]" || is_address(host)
}

/// Columns that an entry of csvlog has at least.
const COLUMNS_MIN: usize = 14;

/// An entry of csvlog, and what follows it.
pub(super) fn csv_entry(text: &str) -> Option<(Entry<'_>, &str)> {
    // Most lines of text are let go of here.
    if !has_time(text) || memchr_iter(b',', text.as_bytes()).nth(COLUMNS_MIN - 2).is_none() {
        return None;
    }
    let (columns, rest, is_cut) = csv(text, 26)?;
    let severity = columns.get(11)?;
    if columns.len() < COLUMNS_MIN || !is_severity(severity) {
        return None;
    }
    let mut columns = columns.into_iter();
    let mut next = || columns.next().filter(|c| !c.is_empty());
    let mut entry = Entry {
        time: next(),
        user: next(),
        database: next(),
        pid: next(),
        remote: next(),
        session: next(),
        line: next(),
        tag: next(),
        is_cut,
        ..Entry::default()
    };
    let (_start, _virtual, _transaction) = (next(), next(), next());
    entry.severity = next().unwrap_or_default();
    entry.code = next();
    entry.message = next().unwrap_or_default();
    entry.detail = next();
    entry.hint = next();
    let (_internal, _position, context) = (next(), next(), next());
    entry.detail = entry.detail.or(context);
    entry.query = next();
    let (_position, _location) = (next(), next());
    entry.application = next();
    entry.backend = next();
    Some((entry, rest))
}

/// The columns of a line of CSV, what follows it, and whether it ends within a quoted one.
pub(super) fn csv(text: &str, columns_max: usize) -> Option<(Vec<Cow<'_, str>>, &str, bool)> {
    let mut columns = Vec::with_capacity(columns_max.min(26));
    let mut rest = text;
    loop {
        if columns.len() >= columns_max {
            return None;
        }
        if let Some(inner) = rest.strip_prefix('"') {
            let mut value: Cow<'_, str> = Cow::Borrowed("");
            let mut after = inner;
            loop {
                let Some((part, tail)) = seek::cut(after, b'"') else {
                    add(&mut value, after);
                    columns.push(value);
                    return Some((columns, "", true));
                };
                add(&mut value, part);
                match tail.strip_prefix('"') {
                    Some(tail) => {
                        add(&mut value, "\"");
                        after = tail;
                    }
                    None => {
                        rest = tail;
                        break;
                    }
                }
            }
            columns.push(value);
        } else {
            let end = memchr2(b',', b'\n', rest.as_bytes()).unwrap_or(rest.len());
            columns.push(rest[..end].into());
            rest = &rest[end..];
        }
        if let Some(after) = rest.strip_prefix(',') {
            rest = after;
        } else {
            let rest = rest.strip_prefix('\r').unwrap_or(rest);
            return match rest.strip_prefix('\n') {
                Some(rest) => Some((columns, rest, false)),
                None if rest.is_empty() => Some((columns, "", false)),
                None => None,
            };
        }
    }
}

fn add<'a>(value: &mut Cow<'a, str>, part: &'a str) {
    if value.is_empty() {
        *value = Cow::Borrowed(part);
    } else {
        value.to_mut().push_str(part);
    }
}

/// An entry of jsonlog.
pub(super) fn json_entry(object: Object<'_>) -> Option<Entry<'_>> {
    let f = Fields(object);
    let text = |name| f.text(name);
    let remote = text("remote_host").map(|host| match text("remote_port") {
        Some(port) if seek::has(&host, b':') => format!("[{host}]:{port}").into(),
        Some(port) => format!("{host}:{port}").into(),
        None => host,
    });
    Some(Entry {
        time: text("timestamp"),
        user: text("user"),
        database: text("dbname"),
        pid: text("pid"),
        remote,
        session: text("session_id"),
        line: text("line_num"),
        tag: text("ps"),
        severity: text("error_severity")?,
        code: text("state_code"),
        message: text("message").unwrap_or_default(),
        detail: text("detail").or_else(|| text("context")),
        hint: text("hint"),
        query: text("statement"),
        application: text("application_name"),
        backend: text("backend_type"),
        ..Entry::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_prefix_is_read_in_the_usual_forms() {
        for (line, want) in [
            (
                "2026-11-22 02:43:00.590 UTC [691] LOG:  ready",
                ("2026-11-22 02:43:00.590 UTC", "691", "", "", "", ""),
            ),
            (
                "2026-11-22 02:43:01.126 UTC [700] li.na@crm 127.0.0.1 my app LOG:  x",
                (
                    "2026-11-22 02:43:01.126 UTC",
                    "700",
                    "li.na",
                    "crm",
                    "127.0.0.1",
                    "my app",
                ),
            ),
            (
                "2026-11-22 02:43:01 UTC:10.0.0.1(54321):li.na@crm:[700]:LOG:  x",
                ("2026-11-22 02:43:01 UTC", "700", "li.na", "crm", "10.0.0.1(54321)", ""),
            ),
            (
                "2026-11-22 02:43:01 UTC [700]: user=li.na,db=crm,app=psql,client=10.0.0.1 LOG:  x",
                ("2026-11-22 02:43:01 UTC", "700", "li.na", "crm", "10.0.0.1", "psql"),
            ),
            (
                "2026-11-22 02:43:01.1 +08 [700-1] li.na@crm LOG:  x",
                ("2026-11-22 02:43:01.1 +08", "700", "li.na", "crm", "", ""),
            ),
        ] {
            let e = text_entry(line).expect("an entry");
            let text = |v: &Option<Cow<'_, str>>| v.as_deref().unwrap_or("").to_owned();
            let got = (
                text(&e.time),
                text(&e.pid),
                text(&e.user),
                text(&e.database),
                text(&e.remote),
                text(&e.application),
            );
            let got = (&*got.0, &*got.1, &*got.2, &*got.3, &*got.4, &*got.5);
            assert_eq!(got, want, "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(2026-11-22 02:43:01 )?[ -~é\"\t\n]{0,80}(LOG:  )?[ -~é\",\n]{0,40}") {
            let mut entries = Vec::new();
            text_entries(&text, 10, &mut entries);
            prop_assert!(entries.len() <= 10);
            let _ = (csv_entry(&text), csv(&text, 26));
        }
    }
}
