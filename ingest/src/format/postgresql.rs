//! PostgreSQL, with and without pgaudit: stderr text, csvlog and jsonlog.
//!
//! | message | OCSF |
//! |---|---|
//! | `AUDIT: SESSION,…` (pgaudit) | Datastore Activity 6005 by the statement: SELECT 1, UPDATE and ALTER 2, INSERT 5, CREATE and GRANT 6, DELETE, DROP and TRUNCATE 7, else 4; what it does to accounts, privileges or auditing is an event of its own: 3001, 3005, 1008 |
//! | `statement:`, `execute …:` (log_statement) | the same; of a statement that pgaudit logs too this is a second one |
//! | `connection authorized` | Authentication 3002.1 and 6005.3 |
//! | `connection authenticated` | 3002.1 with the label `attempt.detail` |
//! | `connection received` | Network Activity 4001.1 |
//! | FATAL: password, pg_hba.conf, role or database that is not there | 3002.1 failed, and 6005.3 |
//! | `disconnection` | 3002.2 |
//! | the server starts, is ready, shuts down | Application Lifecycle 6002.3, .3, .4 |
//! | other | Base Event |
//!
//! Of text the prefix is a setting of the server (`log_line_prefix`); what is read of it: a time at its start, `[pid]`,
//! `user@database`, an address or `[local]` and what follows it as the application, or `user=… db=… app=… client=…`. A record
//! may hold several lines: those that begin with a tab and DETAIL, HINT, CONTEXT, STATEMENT, QUERY belong to the one before.
//! Where such a line is a record of its own it is a Base Event with the label `postgresql.continuation`, and the
//! statement that it continues has the label `statement_truncated`.
//!
//! `metadata.original_event_uid` is session and line number (csvlog, jsonlog). `docket.system` is the database server's
//! `host:<name>` of a syslog header or of the collector, else what the source's settings say: PostgreSQL's own log does not name its host.
//! Log source: product `postgresql`, category `database`, service `pgaudit` or `postgresql`.

use std::borrow::Cow;

use memchr::memchr_iter;
use model::{Event, Map, Value};

use crate::format::{Format, Input, Match, Quarantine};
use crate::keep::Keep;
use crate::seek;
use crate::syslog;

mod event;
mod read;

use read::Entry;

/// PostgreSQL.
pub static FORMAT: Format = Format {
    name: "postgresql",
    aliases: &["postgres", "pgaudit", "postgresql_csv"],
    matches,
    normalize,
};

/// Entries that one record may hold.
const ENTRIES_MAX: usize = 10_000;

fn matches(input: &Input<'_>) -> Option<Match> {
    if input.text.starts_with('{') {
        let object = input.object().ok()?;
        let is_one = ["error_severity", "message", "pid"]
            .iter()
            .all(|k| object.contains_key(k));
        return is_one.then_some(Match {
            score: 90,
            reason: "jsonlog's error_severity and pid",
        });
    }
    let text: &str = input.text;
    if read::csv_entry(text).is_some() {
        return Some(Match {
            score: 92,
            reason: "csvlog's columns",
        });
    }
    if let Some((envelope, message)) = over_syslog(text) {
        return read::split_prefix(message).map(|_| Match {
            score: 88,
            reason: if envelope.host.is_some() {
                "PostgreSQL over syslog"
            } else {
                "PostgreSQL"
            },
        });
    }
    let (prefix, ..) = read::split_prefix(text)?;
    read::has_time(prefix).then_some(Match {
        score: 85,
        reason: "a time, a prefix and a severity of PostgreSQL",
    })
}

/// A line, as far as [`crate::join`] reads it.
#[derive(Debug, PartialEq)]
pub(crate) enum Part {
    /// Of stderr.
    Text {
        /// The process, where the line names it.
        process: Option<String>,
        /// It belongs to the entry before it.
        is_more: bool,
    },
    /// Over syslog.
    Syslog {
        /// The host and the process.
        writer: String,
        /// The entry's number, where the line has one.
        entry: Option<String>,
        /// It belongs to the entry before it.
        is_more: bool,
    },
    /// An entry of csvlog, or the beginning of one.
    Csv {
        /// Session and line.
        uid: Option<String>,
        /// It ends within quotes.
        is_open: bool,
    },
}

/// What a line is; `None`: it does not say.
pub(crate) fn part(text: &str) -> Option<Part> {
    if text.starts_with('\t') {
        return Some(Part::Text {
            process: None,
            is_more: true,
        });
    }
    if text.starts_with('{') {
        return None;
    }
    if let Some((entry, _)) = read::csv_entry(text) {
        let uid = entry.session.zip(entry.line);
        return Some(Part::Csv {
            uid: uid.map(|(session, line)| format!("{session}/{line}")),
            is_open: entry.is_cut,
        });
    }
    if let Some((envelope, message)) = over_syslog(text) {
        let chunk = syslog_chunk(text)?;
        let begins = read::text_entry(message);
        let is_more = match chunk.number {
            Some((_, part)) => part > 1,
            None => begins.is_none_or(|e| e.is_continuation),
        };
        return Some(Part::Syslog {
            writer: format!(
                "{}\u{1f}{}",
                envelope.host.as_deref().unwrap_or_default(),
                envelope.pid.as_deref().unwrap_or_default()
            ),
            entry: chunk.number.map(|(entry, _)| entry.to_string()),
            is_more,
        });
    }
    let entry = read::text_entry(text)?;
    Some(Part::Text {
        is_more: entry.is_continuation,
        process: entry.pid.map(Cow::into_owned),
    })
}

/// Whether a text is one entry of csvlog and no more, be it cut.
pub(crate) fn is_one_csv_entry(text: &str) -> bool {
    read::csv_entry(text).is_some_and(|(_, rest)| seek::trim(rest).is_empty())
}

/// What a line of syslog holds of an entry.
pub(crate) struct Chunk<'a> {
    /// Of `[3-2]`, 3 and 2.
    number: Option<(u64, u64)>,
    pub(crate) text: &'a str,
    /// It is a line of the log; else it goes on where the one before was cut.
    pub(crate) begins_line: bool,
}

/// What a line of postgres over syslog holds; blanks at its beginning are its own.
pub(crate) fn syslog_chunk(text: &str) -> Option<Chunk<'_>> {
    let (envelope, _) = over_syslog(text)?;
    let message = said(text, &envelope)?;
    let counted = message
        .trim_start()
        .strip_prefix('[')
        .and_then(|m| seek::split_once(m, "] "));
    let number = |count: &str| {
        let (entry, part) = seek::cut(count, b'-')?;
        Some((entry.parse().ok()?, part.parse().ok()?))
    };
    let (number, text) = match counted.and_then(|(count, rest)| Some((number(count)?, rest))) {
        Some((number, rest)) => (Some(number), rest),
        None => (None, message),
    };
    let is_more = text.starts_with('\t') || text.starts_with("#011");
    let begins_line = is_more || read::text_entry(text).is_some_and(|e| e.is_continuation) || number.is_none();
    Some(Chunk {
        number,
        text,
        begins_line,
    })
}

/// Where postgres writes its name as syslog's tag.
fn tag(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let named = |at: &usize| bytes[..*at].ends_with(b"postgres");
    let tag = memchr_iter(b'[', bytes)
        .find(named)
        .or_else(|| memchr_iter(b':', bytes).find(|at| bytes.get(at + 1) == Some(&b' ') && named(at)))?;
    Some(tag - "postgres".len())
}

/// What postgres wrote: behind its tag; in RFC 5424's form, where a name and a process stand without marks, the envelope's message with the
/// tabs before it, which say that a line goes on.
fn said<'a>(text: &'a str, envelope: &syslog::Envelope<'_>) -> Option<&'a str> {
    if envelope.kind != syslog::Kind::Rfc5424 {
        return Some(text[tag(text)?..].split_once(": ")?.1);
    }
    let end = text.trim_end().len();
    let begin = end.checked_sub(envelope.message.len())?;
    let message = text.get(begin..end).filter(|m| *m == envelope.message)?;
    let tabs = text.as_bytes()[..begin]
        .iter()
        .rev()
        .take_while(|b| **b == b'\t')
        .count();
    Some(if tabs == 0 { message } else { &text[begin - tabs..end] })
}

/// A syslog line of postgres, and its message without the counter `[3-1]`.
fn over_syslog(text: &str) -> Option<(syslog::Envelope<'_>, &str)> {
    if tag(text).is_none() && !seek::contains(text, " postgres ") {
        return None;
    }
    let envelope = syslog::parse(text);
    if !envelope.is_syslog() || envelope.program() != Some("postgres") {
        return None;
    }
    let message = said(text, &envelope)?.trim_start();
    let message = match message.strip_prefix('[').and_then(|m| seek::split_once(m, "] ")) {
        Some((count, rest)) if count.bytes().all(|b| b.is_ascii_digit() || b == b'-') => rest.trim_start(),
        _ => message,
    };
    Some((envelope, message))
}

fn normalize<'a>(input: &mut Input<'a>) -> Result<Vec<Event<'a>>, Quarantine> {
    let input = &*input;
    let text: &str = input.text;
    if text.starts_with('{') {
        let entry = read::json_entry(input.object()?).ok_or(Quarantine("postgresql_fields"))?;
        return Ok(event::events(input, &entry));
    }
    if seek::trim(text).is_empty() {
        return Err(Quarantine("empty"));
    }
    let mut entries: Vec<Entry<'_>> = Vec::new();
    if read::csv_entry(text).is_some() {
        let mut rest = text;
        while !seek::trim(rest).is_empty() && entries.len() < ENTRIES_MAX {
            let Some((entry, after)) = read::csv_entry(rest) else {
                entries.push(Entry::continuation(rest.into()));
                break;
            };
            entries.push(entry);
            rest = after;
        }
    } else if let Some((envelope, message)) = over_syslog(text) {
        // rsyslog writes a tab as octal.
        let message = match seek::contains(message, "#011") {
            true => input.arena.text(&message.replace("#011", "\t")),
            false => message,
        };
        read::text_entries(message, ENTRIES_MAX, &mut entries);
        for entry in &mut entries {
            entry.host = envelope.host.as_deref().map(str::to_owned);
            entry.pid = entry
                .pid
                .take()
                .or(envelope.pid.as_deref().map(|p| p.to_owned().into()));
            entry.time = entry
                .time
                .take()
                .or(envelope.time_text.as_deref().map(|t| t.to_owned().into()));
        }
    } else {
        read::text_entries(text, ENTRIES_MAX, &mut entries);
    }
    for entry in entries.iter_mut().filter(|e| e.host.is_none()) {
        entry.host = input.host.map(str::to_owned);
    }
    Ok(entries.iter().flat_map(|e| event::events(input, e)).collect())
}

/// The source's own fields, those that say something.
fn native<'a, 'e>(keep: Keep<'a>, fields: impl IntoIterator<Item = (&'static str, Option<&'e str>)>) -> Map<'a> {
    if !keep.arena.wants_native() {
        return Map::new();
    }
    fields
        .into_iter()
        .filter(|(name, _)| keep.arena.wants_native_of(name))
        .filter_map(|(name, value)| Some((name, Value::String(keep.text(value.filter(|v| !v.is_empty())?)))))
        .collect()
}
