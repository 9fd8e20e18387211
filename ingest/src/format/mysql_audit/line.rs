//! Lines of MariaDB's `server_audit`.

use std::borrow::Cow;

use memchr::memchr;
use model::Value;

use super::Act;
use crate::seek;
use crate::syslog;

fn is_operation(word: &str) -> bool {
    matches!(
        word,
        "CONNECT"
            | "DISCONNECT"
            | "FAILED_CONNECT"
            | "FAILED CONNECT"
            | "QUERY"
            | "QUERY_DDL"
            | "QUERY_DML"
            | "QUERY_DCL"
            | "QUERY_DML_NO_SELECT"
            | "READ"
            | "WRITE"
            | "CREATE"
            | "ALTER"
            | "RENAME"
            | "DROP"
            | "PROXY_CONNECT"
            | "CHANGEUSER"
            | "AUDIT"
    )
}

/// A line of `server_audit`: `20261122 02:43:15,bast-a-01,li.na,localhost,30,149,QUERY,crm,'…',1064`; over syslog without
/// the time; in Aurora with epoch microseconds.
pub(super) fn line(text: &str) -> Option<Act<'_>> {
    let (time, rest, server) = match seek::cut(text, b',') {
        Some((first, rest)) if is_time(first) => (Some(Value::from(first)), rest, None),
        _ => {
            seek::find(text, "mysql-server_auditing").or_else(|| seek::find(text, "mysqld"))?;
            let envelope = syslog::parse(text);
            if !matches!(envelope.program(), Some("mysql-server_auditing" | "mysqld")) {
                return None;
            }
            let rest = envelope.message_in(text)?;
            // The file's own form, shipped line by line.
            let rest = match seek::cut(rest, b',') {
                Some((first, behind)) if is_time(first) => behind,
                _ => rest,
            };
            let time = match &envelope.time_text {
                Some(Cow::Borrowed(time)) => Some(Value::String(time)),
                _ => None,
            };
            (time, rest, envelope.host.map(Cow::into_owned))
        }
    };
    let mut rest = Some(rest);
    let mut columns = 8;
    let mut next = || {
        columns -= 1;
        let all = rest?;
        let comma = if columns > 0 {
            memchr(b',', all.as_bytes())
        } else {
            None
        };
        let (column, after) = comma.map_or((all, None), |at| (&all[..at], Some(&all[at + 1..])));
        rest = after;
        Some(column)
    };
    let (written, user, client, connection, query, operation, database) =
        (next()?, next()?, next()?, next()?, next()?, next()?, next()?);
    if !is_operation(operation) || !connection.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let object = next().unwrap_or("");
    let mut act = Act {
        time,
        server: if written.is_empty() {
            server.unwrap_or_default().into()
        } else {
            written.into()
        },
        user: user.into(),
        host: client.into(),
        connection: connection.into(),
        query: query.into(),
        operation: operation.into(),
        database: database.into(),
        ..Act::default()
    };
    if let Some(quoted) = object.strip_prefix('\'') {
        let closed = quoted
            .rsplit_once(',')
            .filter(|(_, code)| code.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|(inner, code)| Some((inner.strip_suffix('\'')?, code)));
        match closed {
            Some((inner, code)) => {
                act.statement = unescape(inner);
                act.status = code.into();
            }
            None => {
                // Cut at the limit: no closing mark; a number may still follow.
                let (inner, code) = quoted
                    .rsplit_once(',')
                    .filter(|(_, code)| !code.is_empty() && code.bytes().all(|b| b.is_ascii_digit()))
                    .unwrap_or((quoted, ""));
                act.statement = unescape(inner);
                act.status = code.into();
                act.is_cut = true;
            }
        }
    } else {
        let (table, code) = object.rsplit_once(',').unwrap_or((object, ""));
        act.table = table.into();
        act.status = code.into();
    }
    Some(act)
}

fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digits = |b: &[u8]| b.iter().all(u8::is_ascii_digit);
    match bytes.len() {
        17 => digits(&bytes[..8]) && bytes[8] == b' ' && bytes[11] == b':',
        16 => digits(bytes),
        _ => false,
    }
}

fn unescape(text: &str) -> Cow<'_, str> {
    if !seek::has(text, b'\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some('r') => out.push('\r'),
                Some('t') => out.push('\t'),
                Some('0') => out.push('\0'),
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_read_to_its_end_or_marked_as_cut() {
        let read = |text: &'static str| line(text).map(|a| (a.statement, a.status, a.is_cut));
        assert_eq!(
            read(r"20261122 02:43:15,h,u,l,30,149,QUERY,crm,'select \'a\',1\nx',1064"),
            Some(("select 'a',1\nx".into(), "1064".into(), false))
        );
        assert_eq!(
            read(r"20261122 02:43:15,h,u,l,30,149,QUERY,crm,'select aaaa,0"),
            Some(("select aaaa".into(), "0".into(), true))
        );
        assert_eq!(read("20261122 02:43:15,h,u,l,30,149,HELLO,crm,'x',0"), None);
        assert_eq!(read("hello"), None);
    }
}
