//! SQL statements inside command lines.

use crate::seek;
use memchr::memchr2_iter;

/// Whether a text that stands where a command line would is SQL (a database session of a bastion).
pub(super) fn is_bare(text: &str) -> bool {
    if is_mongo(text.trim_start()) {
        return true;
    }
    let mut words = Words(text);
    let Some(first) = words.next() else { return false };
    let verb = |v: &str| first.eq_ignore_ascii_case(v);
    // `select(1)`, `select*`: the verb ends where its letters end.
    let mut second = || words.next().unwrap_or("");
    let any = |word: &str, of: &[&str]| of.iter().any(|w| word.eq_ignore_ascii_case(w));
    // A word inside is looked for in the beginning only: what is longer is not told apart by it.
    let beginning = super::prefix(text, 4096);
    let holds = |word: &str| stands_in(word, beginning) && Words(beginning).any(|w| w.eq_ignore_ascii_case(word));
    if verb("select") {
        return !holds("do") || holds("from");
    }
    if verb("insert") || verb("replace") || verb("merge") {
        return any(
            second(),
            &[
                "into",
                "ignore",
                "overwrite",
                "low_priority",
                "delayed",
                "high_priority",
                "all",
            ],
        );
    }
    if verb("update") {
        return holds("set");
    }
    if verb("delete") {
        return holds("from");
    }
    if ["drop", "create", "alter", "rename", "lock", "optimize", "repair"]
        .iter()
        .any(|v| verb(v))
    {
        return any(second(), OBJECTS);
    }
    if verb("install") || verb("uninstall") {
        return any(second(), &["plugin", "component", "soname"]);
    }
    if verb("truncate") {
        let second = second();
        return !second.is_empty() && !second.starts_with('-');
    }
    if verb("grant") {
        return holds("to");
    }
    if verb("revoke") {
        return holds("from");
    }
    if verb("with") {
        return holds("as") && holds("select");
    }
    if verb("copy") {
        return holds("to") || holds("from");
    }
    if verb("call") || verb("explain") || verb("begin") || verb("commit") || verb("rollback") {
        return true;
    }
    if verb("show") || verb("set") || verb("flush") || verb("load") || verb("purge") || verb("start") || verb("reset") {
        return any(second(), MODES);
    }
    verb("use") || verb("desc") || verb("describe")
}

/// `db.orders.drop(`, in the shell of MongoDB.
fn is_mongo(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("db.") else {
        return false;
    };
    let name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'$');
    let end = rest.bytes().position(|b| !name(b));
    end.is_some_and(|at| at > 0 && rest.as_bytes()[at] == b'(')
}

/// Whether a word stands anywhere in a text, be it within another one; in capitals or not.
fn stands_in(word: &str, text: &str) -> bool {
    let (word, text) = (word.as_bytes(), text.as_bytes());
    let Some(first) = word.first() else { return true };
    memchr2_iter(first.to_ascii_lowercase(), first.to_ascii_uppercase(), text).any(|at| {
        let there = text.get(at..at + word.len());
        there.is_some_and(|there| there.eq_ignore_ascii_case(word))
    })
}

const OBJECTS: &[&str] = &[
    "table",
    "tables",
    "database",
    "schema",
    "user",
    "role",
    "group",
    "index",
    "view",
    "function",
    "procedure",
    "trigger",
    "extension",
    "sequence",
    "type",
    "unique",
    "or",
    "temp",
    "temporary",
    "materialized",
    "global",
    "public",
    "tablespace",
    "system",
    "event",
    "server",
    "policy",
    "login",
    "package",
    "profile",
    "external",
    "publication",
    "subscription",
    "owned",
    "domain",
    "aggregate",
    "cast",
    "rule",
    "session",
    "instance",
    "undo",
    "foreign",
    "definer",
    "algorithm",
];

const MODES: &[&str] = &[
    "tables",
    "databases",
    "schemas",
    "grants",
    "create",
    "variables",
    "processlist",
    "status",
    "columns",
    "index",
    "full",
    "global",
    "session",
    "master",
    "slave",
    "replica",
    "binary",
    "engines",
    "password",
    "role",
    "names",
    "autocommit",
    "sql_log_bin",
    "foreign_key_checks",
    "sql_safe_updates",
    "privileges",
    "logs",
    "data",
    "transaction",
    "search_path",
    "local",
    "hosts",
    "all",
    "character",
    "default",
    "triggers",
    "events",
    "plugins",
    "warnings",
    "persist",
    "pgaudit.log",
    "pgaudit.log_level",
    "pgaudit.log_catalog",
    "pgaudit.role",
    "log_statement",
    "log_connections",
    "log_disconnections",
];

/// The words of SQL: letters, digits, `_`, `-` after a letter; comments are left out, but not MySQL's `/*! … */`.
struct Words<'a>(&'a str);

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        loop {
            let text = self
                .0
                .trim_start_matches(|c: char| c.is_whitespace() || c == '(' || c == ';');
            if let Some(after) = text.strip_prefix("/*!") {
                self.0 = after.trim_start_matches(|c: char| c.is_ascii_digit());
            } else if let Some(after) = text.strip_prefix("/*") {
                self.0 = seek::find(after, "*/").map_or("", |end| &after[end + 2..]);
            } else if let Some(after) = text.strip_prefix("--") {
                // In a shell `--` begins no comment, but no command begins with it either.
                self.0 = after.find('\n').map_or("", |end| &after[end..]);
            } else {
                let end = text
                    .find(|c: char| c.is_whitespace() || matches!(c, '(' | ')' | ',' | ';' | '*' | '=' | '\'' | '"'))
                    .unwrap_or(text.len());
                // A single character stands for itself, so that each step goes on.
                let end = end.max(text.chars().next()?.len_utf8());
                let end = text[..end].find("/*").filter(|&n| n > 0).unwrap_or(end);
                self.0 = &text[end..];
                return Some(&text[..end]);
            }
        }
    }
}

/// The statements of a text, split at `;` outside quotes, without comments, blanks joined to one.
pub(super) fn statements(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    // With room for what is put before it.
    let mut statement = String::with_capacity(text.len() + 8);
    let mut rest = text;
    let mut executable = false;
    loop {
        let plain = rest.bytes().position(|b| !is_plain(b)).unwrap_or(rest.len());
        statement.push_str(&rest[..plain]);
        rest = &rest[plain..];
        let Some(c) = rest.chars().next() else { break };
        let mut taken = c.len_utf8();
        match c {
            '\'' | '"' => {
                taken = quoted(rest, c);
                statement.push_str(&rest[..taken]);
            }
            '`' => {
                taken = rest[1..].find('`').map_or(rest.len(), |n| n + 2);
                statement.push_str(&rest[..taken]);
            }
            '$' => {
                taken = dollar_quoted(rest).unwrap_or(1);
                statement.push_str(&rest[..taken]);
            }
            ';' => {
                if out.len() >= super::COMMANDS_MAX {
                    return out;
                }
                end(&mut statement, &mut out);
            }
            '-' if rest.starts_with("--") => {
                taken = rest.find('\n').unwrap_or(rest.len());
                blank(&mut statement);
            }
            '#' if statement.is_empty() || statement.ends_with(' ') => {
                taken = rest.find('\n').unwrap_or(rest.len());
                blank(&mut statement);
            }
            // MySQL runs what stands in `/*! … */`.
            '/' if rest.starts_with("/*!") => {
                executable = true;
                taken = 3 + rest[3..].bytes().take_while(u8::is_ascii_digit).count();
                blank(&mut statement);
            }
            '*' if executable && rest.starts_with("*/") => {
                executable = false;
                taken = 2;
                blank(&mut statement);
            }
            '/' if rest.starts_with("/*") => {
                taken = rest[2..].find("*/").map_or(rest.len(), |n| n + 4);
                blank(&mut statement);
            }
            c if c.is_whitespace() => blank(&mut statement),
            c => statement.push(c),
        }
        rest = &rest[taken..];
    }
    end(&mut statement, &mut out);
    out
}

/// Whether a byte stands for itself only.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'_' | b',' | b'.' | b'=' | b'(' | b')' | b'<' | b'>' | b'@' | b'%'
        )
}

fn blank(statement: &mut String) {
    if !statement.is_empty() && !statement.ends_with(' ') {
        statement.push(' ');
    }
}

fn end(statement: &mut String, out: &mut Vec<String>) {
    let length = statement.trim().len();
    if length > 0 && length == statement.len() {
        return out.push(std::mem::take(statement));
    }
    if length > 0 {
        out.push(statement.trim().to_owned());
    }
    statement.clear();
}

/// The length of a quoted text with its quotes; a quote within is doubled or escaped.
fn quoted(text: &str, quote: char) -> usize {
    let bytes = text.as_bytes();
    let mut i = 1;
    while i < bytes.len() {
        if bytes[i] == b'\\' {
            i += 1;
        } else if bytes[i] == quote as u8 {
            return i + 1;
        }
        i += 1;
    }
    text.len()
}

/// The length of PostgreSQL's `$tag$ … $tag$`.
fn dollar_quoted(text: &str) -> Option<usize> {
    let tag = text[1..]
        .bytes()
        .take(64)
        .take_while(|b| b.is_ascii_alphanumeric() || *b == b'_')
        .count()
        + 2;
    let opening = text.get(..tag).filter(|t| t.ends_with('$'))?;
    Some(text[tag..].find(opening).map_or(text.len(), |n| n + 2 * tag))
}
