//! What a secret looks like: an anchor in the text, and how the text after it is read.

use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};

use super::MASK;

/// How the text after an anchor is read.
#[derive(Clone, Copy)]
enum Rule {
    /// A key's name; its value follows `=` or `:`.
    Key,
    /// A key in a URL's query, with its `=`.
    QueryKey,
    /// `Authorization`: a scheme and a credential.
    Authorization,
    /// `Bearer `
    Bearer,
    /// `://user:password@`
    Url,
    /// `IDENTIFIED [WITH x] BY 'x'`
    Identified,
    /// A program with the option letter of its password.
    Program { letter: u8, attached: bool, separate: bool },
    /// `curl -u user:password`
    Curl,
    /// `sqlplus user/password@db`
    SqlPlus,
    /// A token that is known by its beginning; that many characters more at least.
    Token { more: usize },
    /// `-----BEGIN … PRIVATE KEY-----`
    PrivateKey,
    /// `echo 'user:password' | chpasswd`: it stands before.
    Piped,
}

const ANCHORS: &[(&str, Rule)] = &[
    ("password", Rule::Key),
    ("passwd", Rule::Key),
    ("passphrase", Rule::Key),
    ("pwd", Rule::Key),
    ("secret", Rule::Key),
    ("token", Rule::Key),
    ("apikey", Rule::Key),
    ("api_key", Rule::Key),
    ("api-key", Rule::Key),
    ("access_key", Rule::Key),
    ("accesskey", Rule::Key),
    ("private_key", Rule::Key),
    ("credential", Rule::Key),
    ("密码", Rule::Key),
    ("口令", Rule::Key),
    ("?key=", Rule::QueryKey),
    ("&key=", Rule::QueryKey),
    ("?code=", Rule::QueryKey),
    ("&code=", Rule::QueryKey),
    ("?sig=", Rule::QueryKey),
    ("&sig=", Rule::QueryKey),
    ("?signature=", Rule::QueryKey),
    ("&signature=", Rule::QueryKey),
    ("authorization", Rule::Authorization),
    ("bearer ", Rule::Bearer),
    ("://", Rule::Url),
    ("identified ", Rule::Identified),
    (
        "mysql",
        Rule::Program {
            letter: b'p',
            attached: true,
            separate: false,
        },
    ),
    (
        "mariadb",
        Rule::Program {
            letter: b'p',
            attached: true,
            separate: false,
        },
    ),
    (
        "obclient",
        Rule::Program {
            letter: b'p',
            attached: true,
            separate: false,
        },
    ),
    (
        "sshpass",
        Rule::Program {
            letter: b'p',
            attached: true,
            separate: true,
        },
    ),
    (
        "mongo",
        Rule::Program {
            letter: b'p',
            attached: false,
            separate: true,
        },
    ),
    (
        "redis-cli",
        Rule::Program {
            letter: b'a',
            attached: false,
            separate: true,
        },
    ),
    (
        "ldapsearch",
        Rule::Program {
            letter: b'w',
            attached: true,
            separate: true,
        },
    ),
    (
        "ldapmodify",
        Rule::Program {
            letter: b'w',
            attached: true,
            separate: true,
        },
    ),
    (
        "sqlcmd",
        Rule::Program {
            letter: b'P',
            attached: true,
            separate: true,
        },
    ),
    ("curl", Rule::Curl),
    ("sqlplus", Rule::SqlPlus),
    ("AKIA", Rule::Token { more: 12 }),
    ("ASIA", Rule::Token { more: 12 }),
    ("LTAI", Rule::Token { more: 12 }),
    ("AKID", Rule::Token { more: 28 }),
    ("ghp_", Rule::Token { more: 20 }),
    ("gho_", Rule::Token { more: 20 }),
    ("ghs_", Rule::Token { more: 20 }),
    ("github_pat_", Rule::Token { more: 20 }),
    ("glpat-", Rule::Token { more: 16 }),
    ("xoxb-", Rule::Token { more: 10 }),
    ("xoxp-", Rule::Token { more: 10 }),
    ("eyJ", Rule::Token { more: 17 }),
    ("-----BEGIN ", Rule::PrivateKey),
    ("chpasswd", Rule::Piped),
    ("passwd --stdin", Rule::Piped),
];

static ANCHOR: LazyLock<AhoCorasick> = LazyLock::new(|| {
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::LeftmostLongest)
        .build(ANCHORS.iter().map(|(anchor, _)| anchor))
        .expect("the anchors are few and short")
});

/// Where the secrets of a text are.
pub(super) fn secrets(text: &str, spans: &mut Vec<Range<usize>>) {
    // Secrets that lie ahead: an anchor within one is a part of it, an anchor before it has its own.
    let mut ahead: Vec<Range<usize>> = Vec::new();
    // Up to where each program's options were looked at, so that a text of nothing but `mysql` stays linear.
    let mut options_until = [0; ANCHORS.len()];
    for found in ANCHOR.find_iter(text) {
        ahead.retain(|s| s.end > found.start());
        if ahead.iter().any(|s| s.contains(&found.start())) {
            continue;
        }
        let (anchor, rule) = ANCHORS[found.pattern().as_usize()];
        let options_until = &mut options_until[found.pattern().as_usize()];
        let end = found.end();
        let span = match rule {
            Rule::Key => key_value(text, found.start(), end),
            Rule::QueryKey => value(text, end, false),
            Rule::Authorization => authorization(text, end),
            Rule::Bearer => value(text, end, false).filter(|v| v.len() >= 8),
            Rule::Url => userinfo(text, end),
            Rule::Identified => identified(text, end),
            Rule::Program { .. } | Rule::Curl | Rule::SqlPlus if end < *options_until => None,
            Rule::Program {
                letter,
                attached,
                separate,
            } => {
                *options_until = command_end(text, end);
                program(text, end..*options_until, letter, attached, separate)
            }
            Rule::Curl => {
                *options_until = command_end(text, end);
                curl(text, end..*options_until)
            }
            Rule::SqlPlus => {
                *options_until = command_end(text, end);
                sqlplus(text, end..*options_until)
            }
            Rule::Token { more } => {
                // Case was folded to find it, and matters.
                (&text[found.range()] == anchor)
                    .then(|| token(text, end, more))
                    .flatten()
            }
            Rule::PrivateKey => private_key(text, end),
            Rule::Piped => piped(text, found.start()),
        };
        if let Some(span) = span.filter(|s| !s.is_empty() && &text[s.clone()] != MASK) {
            ahead.push(span.clone());
            spans.push(span);
        }
    }
}

/// `password=x`, `"password":"x"`, `DB_PASSWORD: x`, `WITH PASSWORD 'x'`
fn key_value(text: &str, start: usize, end: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    // The working folder of sudo and of the shell is no password.
    if &bytes[start..end] == b"PWD" && !start.checked_sub(1).is_some_and(|i| is_name(bytes[i])) {
        return None;
    }
    // PAM's `pam_unix(passwd:chauthtok)` names a service.
    if start > 0 && bytes[start - 1] == b'(' && bytes.get(end) == Some(&b':') {
        return None;
    }
    let mut at = end;
    // The rest of the key's name: `secret_access_key`, `tokenId`.
    at += bytes[at..].iter().take(24).take_while(|b| is_name(**b)).count();
    let named = at;
    // `\"password\":\"x\"` (JSON in JSON), `"password": "x"`.
    if bytes.get(at) == Some(&b'\\') {
        at += 1;
    }
    if matches!(bytes.get(at), Some(b'"' | b'\'')) {
        at += 1;
    }
    let blanks = |at: usize| {
        bytes[at..]
            .iter()
            .take(8)
            .take_while(|b| matches!(b, b' ' | b'\t'))
            .count()
    };
    let after = at + blanks(at);
    let mut separator = match bytes.get(after) {
        Some(b'=' | b':') => after + 1,
        _ if text[at..].starts_with("：") => at + "：".len(),
        _ if text[at..].get(..3).is_some_and(|s| s.eq_ignore_ascii_case("%3D")) => at + 3,
        // SQL: `PASSWORD 'x'`; a command: `--password x`.
        Some(b'\'') if after > named && at == named => after,
        Some(_) if after > named && is_long_option(bytes, start) => after,
        _ => return None,
    };
    separator += usize::from(matches!(bytes.get(separator), Some(b'>' | b'=')));
    value(text, separator + blanks(separator), true)
}

fn is_name(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_' || b == b'-'
}

/// `--password x`, `--db-password x`
fn is_long_option(bytes: &[u8], start: usize) -> bool {
    let name = bytes[..start]
        .iter()
        .rev()
        .take(24)
        .take_while(|b| is_name(**b))
        .count();
    bytes[start - name..start].starts_with(b"--")
}

/// The value at `at`: a quoted text without its quotes, or up to a blank or a delimiter.
fn value(text: &str, at: usize, literals: bool) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let (quote, at) = match *bytes.get(at)? {
        // A quote within a shell's quotes.
        b'\'' if bytes[at..].starts_with(SHELL_QUOTE) => (SHELL_QUOTE, at + SHELL_QUOTE.len()),
        q @ (b'"' | b'\'') => (&bytes[at..=at], at + usize::from(q == bytes[at])),
        b'\\' if matches!(bytes.get(at + 1), Some(b'"' | b'\'')) => (&bytes[at..at + 2], at + 2),
        b'{' | b'[' => return None,
        _ => (&[][..], at),
    };
    let rest = &bytes[at..];
    let length = if quote.is_empty() {
        rest.iter()
            .position(|b| b.is_ascii_control() || b" \t&;,\"'`<>|)}]\\".contains(b))
            .unwrap_or(rest.len())
    } else {
        quoted_length(rest, quote)
    };
    if literals && quote.is_empty() && matches!(&rest[..length], b"null" | b"true" | b"false" | b"***") {
        return None;
    }
    Some(at..at + length)
}

/// How a shell's words write a quote within quotes.
const SHELL_QUOTE: &[u8] = br"'\''";

fn quoted_length(rest: &[u8], quote: &[u8]) -> usize {
    if quote.len() > 1 {
        return memchr::memmem::find(rest, quote).unwrap_or(rest.len());
    }
    let mut i = 0;
    while i < rest.len() && rest[i] != quote[0] {
        i += 1 + usize::from(rest[i] == b'\\');
    }
    // An escape at the very end steps over it; a step onto the middle of a character is only seen by slicing.
    i.min(rest.len())
}

fn authorization(text: &str, end: usize) -> Option<Range<usize>> {
    let span = key_value(text, end, end)?;
    let scheme = text.get(span.clone())?;
    // Unquoted, the value ends at the blank between scheme and credential.
    let is_scheme = ["bearer", "basic", "token", "digest", "negotiate", "apikey"]
        .iter()
        .any(|s| scheme.eq_ignore_ascii_case(s));
    if is_scheme && text.as_bytes().get(span.end) == Some(&b' ') {
        return value(text, span.end + 1, false);
    }
    match scheme.split_once(' ') {
        Some((scheme, _)) => Some(span.start + scheme.len() + 1..span.end),
        None => Some(span),
    }
}

fn userinfo(text: &str, end: usize) -> Option<Range<usize>> {
    let rest = &text.as_bytes()[end..];
    let length = rest
        .iter()
        .take(512)
        .position(|b| b"/?# \t\"'<>".contains(b))
        .unwrap_or(rest.len().min(512));
    let authority = &rest[..length];
    let at = memchr::memrchr(b'@', authority)?;
    let colon = memchr::memchr(b':', &authority[..at])?;
    span_of(text, end + colon + 1..end + at)
}

fn identified(text: &str, end: usize) -> Option<Range<usize>> {
    let near = &text.as_bytes()[end..text.len().min(end + 80)];
    let by = near.windows(3).position(|w| w.eq_ignore_ascii_case(b"by "))?;
    let mut at = end + by + 3;
    if text
        .get(at..at + 9)
        .is_some_and(|w| w.eq_ignore_ascii_case("password "))
    {
        at += 9;
    }
    value(text, at, false)
}

/// Where the simple command at `at` ends, roughly: quotes are not followed.
fn command_end(text: &str, at: usize) -> usize {
    let rest = &text.as_bytes()[at..];
    at + rest.iter().position(|b| b"|;\n".contains(b)).unwrap_or(rest.len())
}

fn program(text: &str, within: Range<usize>, letter: u8, attached: bool, separate: bool) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let mut at = within.start;
    while let Some(dash) = memchr::memchr(b'-', &bytes[at..within.end]) {
        let dash = at + dash;
        at = dash + 1;
        if bytes.get(dash + 1) != Some(&letter) || dash == 0 || !bytes[dash - 1].is_ascii_whitespace() {
            continue;
        }
        let next = dash + 2;
        match bytes.get(next) {
            Some(b' ') if separate => return value(text, next + 1, false),
            Some(b) if attached && !b.is_ascii_whitespace() && *b != b'"' || attached && *bytes.get(next)? == b'\'' => {
                return value(text, next, false);
            }
            Some(b'"') if attached => return value(text, next, false),
            _ => {}
        }
    }
    None
}

fn curl(text: &str, within: Range<usize>) -> Option<Range<usize>> {
    let options = text.get(within.clone())?;
    for option in [" -u ", " --user ", " -u", " --user="] {
        let Some(found) = options.find(option) else { continue };
        let credentials = value(text, within.start + found + option.len(), false)?;
        let colon = memchr::memchr(b':', text.as_bytes().get(credentials.clone())?)?;
        return Some(credentials.start + colon + 1..credentials.end);
    }
    None
}

fn sqlplus(text: &str, within: Range<usize>) -> Option<Range<usize>> {
    let words = text.get(within.clone())?;
    let slash = within.start + words.find('/')?;
    let length = text.as_bytes()[slash + 1..within.end]
        .iter()
        .position(|b| b"@ \t\"'".contains(b));
    let end = length.map_or(within.end, |n| slash + 1 + n);
    span_of(text, slash + 1..end)
}

fn token(text: &str, end: usize, more: usize) -> Option<Range<usize>> {
    let rest = &text.as_bytes()[end..];
    let length = rest
        .iter()
        .position(|b| !is_name(*b) && *b != b'.')
        .unwrap_or(rest.len());
    (length >= more).then_some(end..end + length)
}

fn private_key(text: &str, end: usize) -> Option<Range<usize>> {
    let rest = &text[end..];
    let head = "PRIVATE KEY-----";
    let near = rest.bytes().take(48).position(|b| b == b'-').unwrap_or(0);
    if !rest.get(..near)?.ends_with("PRIVATE KEY") {
        return None;
    }
    let body = near + head.len() - "PRIVATE KEY".len();
    let start = end + body.min(rest.len());
    let length = memchr::memmem::find(&text.as_bytes()[start..], b"-----END").unwrap_or(text.len() - start);
    span_of(text, start..start + length)
}

/// The password in `echo 'user:password' | chpasswd`, `echo password | passwd --stdin user`.
fn piped(text: &str, start: usize) -> Option<Range<usize>> {
    let from = start.saturating_sub(256);
    let before = &text.as_bytes()[from..start];
    let echo = memchr::memmem::rfind(before, b"echo ")?;
    let pipe = echo + memchr::memchr(b'|', &before[echo..])?;
    let words = from + echo + "echo ".len()..from + pipe;
    let bytes = text.as_bytes();
    let trimmed = bytes[words.clone()].trim_ascii_end().len();
    let mut at = words.start;
    if bytes[at..].starts_with(b"-e ") || bytes[at..].starts_with(b"-n ") {
        at += 3;
    }
    let end = words.start + trimmed;
    let colon = memchr::memchr(b':', bytes.get(at..end)?);
    let secret = colon.map_or(at, |c| at + c + 1)..end;
    let quotes = bytes[secret.clone()]
        .iter()
        .rev()
        .take_while(|b| matches!(b, b'"' | b'\''))
        .count();
    span_of(text, secret.start..secret.end.saturating_sub(quotes).max(secret.start))
}

/// The span, where it begins and ends between characters.
fn span_of(text: &str, span: Range<usize>) -> Option<Range<usize>> {
    text.get(span.clone()).filter(|s| !s.is_empty()).map(|_| span)
}
