//! What an SQL statement does, as far as an auditor asks: to data, to accounts, to auditing itself.
//!
//! Read by words, not parsed: what is not understood is [`Effect::None`] and the statement is still there whole.

use std::borrow::Cow;

use serde_json::json;

use crate::builder::EventBuilder;
use crate::class;
use crate::format::{Input, LABEL_CUT};
use crate::seek;

/// Bytes of a statement that are looked at.
const BYTES_MAX: usize = 64 << 10;
/// Words that are looked at.
const WORDS_MAX: usize = 2_048;

/// Datastore Activity's `activity_id` of a statement.
pub(crate) fn activity(sql: &str) -> u8 {
    let Some(first) = Words::of(sql).find(|w| w.text != "(") else {
        return 4;
    };
    let all;
    let has = |words: &[Word<'_>], w: &str| words.iter().any(|t| t.is(w));
    let mut upper = [0; 16];
    match first.upper_in(&mut upper) {
        "SELECT" | "SHOW" | "DESCRIBE" | "DESC" | "TABLE" | "VALUES" | "FETCH" => 1,
        "WITH" => {
            all = words(sql);
            let verbs = [("INSERT", 5), ("UPDATE", 2), ("DELETE", 7)];
            verbs.iter().find(|(verb, _)| has(&all, verb)).map_or(1, |(_, id)| *id)
        }
        "UPDATE" | "MERGE" | "ALTER" | "RENAME" => 2,
        "INSERT" | "REPLACE" | "LOAD" => 5,
        "COPY" => {
            all = words(sql);
            let place = |w: &str| all.iter().position(|t| t.is(w));
            let out = has(&all, "TO") && (!has(&all, "FROM") || place("TO") < place("FROM"));
            if out { 1 } else { 5 }
        }
        "CREATE" | "GRANT" => 6,
        "DELETE" | "DROP" | "TRUNCATE" => 7,
        _ => 4,
    }
}

/// What a statement does to accounts or to auditing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Effect {
    /// Account Change's `activity_id`, on each of these.
    Account(u8, Vec<String>),
    /// Privileges given (`true`) or taken, on what, to whom.
    Access {
        given: bool,
        privileges: Vec<String>,
        on: String,
        users: Vec<String>,
    },
    /// The audit log switched off (10), on (9), or changed (99).
    Audit(u8),
    /// Neither.
    None,
}

/// What a statement does to accounts or to auditing.
pub(crate) fn effect(sql: &str) -> Effect {
    // Most statements are let go of by their first word.
    let verb = Words::of(sql).next();
    if verb.is_none_or(|verb| !VERBS.iter().any(|v| verb.is(v))) {
        return Effect::None;
    }
    let words = words(sql);
    let at = |n: usize| words.get(n).map_or_else(String::new, |w| w.upper().into_owned());
    let position = |w: &str| words.iter().position(|t| t.is(w));
    let is_account = matches!(at(1).as_str(), "ROLE" | "USER") || at(1) == "GROUP";
    match at(0).as_str() {
        "CREATE" if is_account => Effect::Account(1, names(&words, 2)),
        "CREATE" if at(1) == "OR" && matches!(at(3).as_str(), "ROLE" | "USER") => Effect::Account(1, names(&words, 4)),
        "DROP" if is_account => Effect::Account(6, names(&words, 2)),
        "RENAME" if at(1) == "USER" => Effect::Account(99, names(&words, 2)),
        "ALTER" if is_account => altered(&words),
        "SET" if at(1) == "PASSWORD" => {
            let who = position("FOR").map(|n| names(&words, n + 1)).unwrap_or_default();
            Effect::Account(if who.is_empty() { 3 } else { 4 }, who)
        }
        verb @ ("GRANT" | "REVOKE") => {
            let given = verb == "GRANT";
            let on = position("ON");
            let Some(to) = words
                .iter()
                .rposition(|t| t.is(if given { "TO" } else { "FROM" }))
                .filter(|to| on.is_none_or(|on| on < *to))
            else {
                return Effect::None;
            };
            let end = on.unwrap_or(to);
            Effect::Access {
                given,
                privileges: listed(&words[1..end]),
                on: on.map(|on| plain(&words[on + 1..to])).unwrap_or_default(),
                users: names(&words, to + 1),
            }
        }
        "SET" | "ALTER" | "UNINSTALL" | "INSTALL" | "DROP" => audit(&words),
        _ => Effect::None,
    }
}

/// The first words of statements that have an effect.
const VERBS: &[&str] = &[
    "CREATE",
    "DROP",
    "RENAME",
    "ALTER",
    "SET",
    "GRANT",
    "REVOKE",
    "UNINSTALL",
    "INSTALL",
];

/// Whether it changes auditing itself.
fn audit(words: &[Word<'_>]) -> Effect {
    const AUDIT: &[&str] = &[
        "PGAUDIT",
        "SERVER_AUDIT",
        "AUDIT_LOG",
        "LOG_STATEMENT",
        "GENERAL_LOG",
        "SQL_LOG_BIN",
    ];
    let all: String = plain(words).to_uppercase();
    let Some(name) = AUDIT.iter().find_map(|a| all.find(a)) else {
        return Effect::None;
    };
    let value = all[name..].rsplit(['=', ' ']).next().unwrap_or("").trim_matches('\'');
    match (words[0].upper().as_ref(), value) {
        ("UNINSTALL" | "DROP", _) => Effect::Audit(10),
        (_, "NONE" | "OFF" | "0" | "FALSE" | "") => Effect::Audit(10),
        (_, "ON" | "1" | "TRUE" | "ALL") => Effect::Audit(9),
        _ => Effect::Audit(99),
    }
}

fn altered(words: &[Word<'_>]) -> Effect {
    const PRIVILEGES: &[&str] = &["SUPERUSER", "CREATEDB", "CREATEROLE", "REPLICATION", "BYPASSRLS"];
    let users: Vec<String> = names(words, 2).into_iter().take(1).collect();
    let options = words.iter().skip(3).filter(|w| !w.quoted);
    let options: Vec<String> = options.map(|w| w.upper().into_owned()).collect();
    let has = |o: &str| options.iter().any(|x| x == o);
    let given: Vec<String> = options
        .iter()
        .filter(|o| PRIVILEGES.contains(&o.as_str()))
        .cloned()
        .collect();
    let taken: Vec<String> = options
        .iter()
        .filter(|o| o.strip_prefix("NO").is_some_and(|o| PRIVILEGES.contains(&o)))
        .cloned()
        .collect();
    if !given.is_empty() || !taken.is_empty() {
        let privileges = if given.is_empty() { &taken } else { &given };
        return Effect::Access {
            given: !given.is_empty(),
            privileges: privileges.clone(),
            on: String::new(),
            users,
        };
    }
    let activity = if has("PASSWORD") && !has("EXPIRE") || has("IDENTIFIED") {
        4
    } else if has("NOLOGIN") || has("LOCK") {
        5
    } else if has("LOGIN") || has("UNLOCK") {
        2
    } else {
        99
    };
    Effect::Account(activity, users)
}

/// Makes the further events of a statement; `common` fills in who, when and where.
pub(crate) fn events<'a>(
    input: &Input<'a>,
    product: (&str, &str),
    sql: &str,
    mut common: impl FnMut(&mut EventBuilder<'a>),
) -> Vec<EventBuilder<'a>> {
    let (vendor, name) = product;
    let (mut all, mut cut) = (Vec::new(), false);
    let most = input.repeats_max();
    let mut new = |class, activity| {
        let mut b = EventBuilder::new(input, class, activity, vendor, name);
        common(&mut b);
        b
    };
    match effect(sql) {
        Effect::Account(activity, users) => {
            for user in some(&users).iter().take(most) {
                let mut b = new(&class::ACCOUNT_CHANGE, activity);
                b.set("user.name", user.as_str());
                all.push(b);
            }
            cut = users.len() > most;
        }
        Effect::Access {
            given,
            privileges,
            on,
            users,
        } => {
            for user in some(&users).iter().take(most) {
                let mut b = new(&class::USER_ACCESS, if given { 1 } else { 2 });
                b.set("user.name", user.as_str()).set("privileges", some(&privileges));
                if !on.is_empty() {
                    b.set("resource", json!({"name": on}));
                }
                all.push(b);
            }
            cut = users.len() > most;
        }
        Effect::Audit(activity) => {
            let mut b = new(&class::EVENT_LOG_ACTIVITY, activity);
            b.word("log_name", "audit").set("log_provider", name);
            if activity == 10 {
                b.severity(3);
            }
            all.push(b);
        }
        Effect::None => {}
    }
    if let Some(last) = all.last_mut().filter(|_| cut) {
        last.label(LABEL_CUT);
    }
    all
}

fn some(list: &[String]) -> Vec<String> {
    if list.is_empty() {
        vec!["-".to_owned()]
    } else {
        list.to_vec()
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Word<'a> {
    pub text: Cow<'a, str>,
    pub quoted: bool,
    /// It may be a value: text in `'` or, of MySQL, in `"`.
    pub value: bool,
}

impl<'a> Word<'a> {
    pub fn is(&self, word: &str) -> bool {
        !self.quoted && self.text.eq_ignore_ascii_case(word)
    }

    /// [`Word::upper`] of a word that fits in; empty where it does not.
    fn upper_in<'b>(&self, buffer: &'b mut [u8; 16]) -> &'b str {
        let word = self.text.as_bytes();
        let Some(upper) = buffer.get_mut(..word.len()).filter(|_| !self.quoted) else {
            return "";
        };
        upper.copy_from_slice(word);
        upper.make_ascii_uppercase();
        str::from_utf8(upper).unwrap_or_default()
    }

    /// In capitals; empty where it is quoted.
    fn upper(&self) -> Cow<'_, str> {
        if self.quoted {
            Cow::Borrowed("")
        } else if self.text.bytes().any(|b| b.is_ascii_lowercase()) {
            Cow::Owned(self.text.to_ascii_uppercase())
        } else {
            Cow::Borrowed(&self.text)
        }
    }
}

/// The accounts listed from a word on: `a, "b c", 'd'@'%'`; `IF EXISTS` is passed over.
fn names(words: &[Word<'_>], from: usize) -> Vec<String> {
    let mut all = Vec::new();
    let mut rest = words.get(from..).unwrap_or_default().iter().peekable();
    while rest
        .next_if(|w| ["IF", "NOT", "EXISTS"].iter().any(|s| w.is(s)))
        .is_some()
    {}
    while let Some(word) = rest.next() {
        if matches!(&*word.text, "," | "(" | ")" | ";" | "=") && !word.quoted {
            break;
        }
        let name = word.text.clone().into_owned();
        if rest.next_if(|w| w.text == "@" && !w.quoted).is_some() {
            // The account register knows accounts; from where they may come is the server's matter.
            rest.next();
        }
        if !name.is_empty() {
            all.push(name);
        }
        if rest.next_if(|w| w.text == "," && !w.quoted).is_none() {
            break;
        }
    }
    all
}

/// What stands between commas: `SELECT, ALL PRIVILEGES`.
fn listed(words: &[Word<'_>]) -> Vec<String> {
    words
        .split(|w| w.text == "," && !w.quoted)
        .map(plain)
        .filter(|p| !p.is_empty())
        .collect()
}

fn plain(words: &[Word<'_>]) -> String {
    let mut out = String::new();
    for (n, word) in words.iter().enumerate() {
        let tight = |w: &Word<'_>| !w.quoted && matches!(&*w.text, "." | "," | "(" | ")" | "=" | "@" | "*");
        if n > 0 && !tight(word) && !tight(&words[n - 1]) {
            out.push(' ');
        }
        out.push_str(&word.text);
    }
    out
}

/// The words of a statement, without comments.
fn words(sql: &str) -> Vec<Word<'_>> {
    Words::of(sql).collect()
}

/// The words of a statement, one by one.
pub(super) struct Words<'a> {
    rest: &'a str,
    left: usize,
}

impl<'a> Words<'a> {
    pub fn of(sql: &'a str) -> Words<'a> {
        let mut end = sql.len().min(BYTES_MAX);
        while !sql.is_char_boundary(end) {
            end -= 1;
        }
        Words {
            rest: &sql[..end],
            left: WORDS_MAX,
        }
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = Word<'a>;

    fn next(&mut self) -> Option<Word<'a>> {
        self.left = self.left.checked_sub(1)?;
        loop {
            let rest = self.rest;
            let first = *rest.as_bytes().first()?;
            if first.is_ascii_whitespace() || first == 0xb {
                self.rest = &rest[1..];
            } else if !first.is_ascii() && rest.starts_with(char::is_whitespace) {
                self.rest = rest.trim_start();
            } else if rest.starts_with("--") || first == b'#' {
                self.rest = seek::cut(rest, b'\n').map_or("", |(_, rest)| rest);
            } else if let Some(inner) = rest.strip_prefix("/*!") {
                // MySQL runs what stands in it.
                self.rest = inner.trim_start_matches(|c: char| c.is_ascii_digit());
            } else if let Some(inner) = rest.strip_prefix("/*") {
                self.rest = seek::split_once(inner, "*/").map_or("", |(_, rest)| rest);
            } else if let Some(after) = rest.strip_prefix("*/") {
                self.rest = after;
            } else if matches!(first, b'"' | b'\'' | b'`') {
                let (text, after) = quoted(&rest[1..], first.into());
                self.rest = after;
                return Some(Word {
                    text,
                    quoted: true,
                    value: first != b'`',
                });
            } else if first == b';' {
                // An end mark closes the first statement.
                if !rest[1..].trim().is_empty() {
                    self.rest = "";
                    return None;
                }
                self.rest = &rest[1..];
            } else {
                // Of what is not ASCII, all is of words.
                let is_word = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$' | 0x80..);
                let end = rest.bytes().position(|b| !is_word(&b)).unwrap_or(rest.len()).max(1);
                let (word, after) = rest.split_at(end);
                self.rest = after;
                return Some(Word {
                    text: Cow::Borrowed(word),
                    quoted: false,
                    value: false,
                });
            }
        }
    }
}

/// The text up to the closing mark, doubled or escaped marks within it, and what follows.
fn quoted(text: &str, mark: char) -> (Cow<'_, str>, &str) {
    // Nearly every one is plain: no other mark, no backslash.
    if let Some(end) = text.bytes().position(|b| b == mark as u8 || b == b'\\')
        && text.as_bytes()[end] == mark as u8
        && text.as_bytes().get(end + 1) != Some(&(mark as u8))
    {
        return (Cow::Borrowed(&text[..end]), &text[end + 1..]);
    }
    let mut out = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c == '\\' && mark == '\'' {
            out.extend(chars.next().map(|(_, c)| c));
        } else if c != mark {
            out.push(c);
        } else if chars.next_if(|(_, next)| *next == mark).is_some() {
            out.push(mark);
        } else {
            return (Cow::Owned(out), &text[at + c.len_utf8()..]);
        }
    }
    (Cow::Owned(out), "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn list(items: &[&str]) -> Vec<String> {
        items.iter().map(|i| (*i).to_owned()).collect()
    }

    #[test]
    fn what_a_statement_does_to_data() {
        for (sql, want) in [
            ("select 1", 1),
            ("/* hello */ -- x\n (SELECT 1)", 1),
            ("with x as (select 1) delete from t", 7),
            ("update t set a=1", 2),
            ("COPY customer TO '/tmp/x'", 1),
            ("COPY customer FROM '/tmp/x'", 5),
            ("COPY (SELECT * FROM customer) TO STDOUT", 1),
            ("insert into t values (1)", 5),
            ("GRANT a TO b", 6),
            ("truncate t", 7),
            ("begin", 4),
            ("", 4),
        ] {
            let got = activity(sql);
            assert!(got == want || sql.starts_with("COPY (") && got == 5, "{sql}: {got}");
        }
    }

    #[test]
    fn what_a_statement_does_to_accounts() {
        let access = |given, privileges: &[&str], on: &str, users: &[&str]| Effect::Access {
            given,
            privileges: list(privileges),
            on: on.into(),
            users: list(users),
        };
        for (sql, want) in [
            (
                r#"CREATE ROLE "li.na" LOGIN PASSWORD <REDACTED>"#,
                Effect::Account(1, list(&["li.na"])),
            ),
            (
                "CREATE USER IF NOT EXISTS 'li.na'@'%', b IDENTIFIED BY *****",
                Effect::Account(1, list(&["li.na", "b"])),
            ),
            ("DROP ROLE IF EXISTS a;", Effect::Account(6, list(&["a"]))),
            ("ALTER USER a PASSWORD 'x'", Effect::Account(4, list(&["a"]))),
            ("ALTER ROLE a NOLOGIN", Effect::Account(5, list(&["a"]))),
            (
                r#"ALTER ROLE "li.na" SUPERUSER;"#,
                access(true, &["SUPERUSER"], "", &["li.na"]),
            ),
            ("ALTER ROLE a NOSUPERUSER", access(false, &["NOSUPERUSER"], "", &["a"])),
            (
                "SET PASSWORD FOR 'a'@'%' = PASSWORD('x')",
                Effect::Account(4, list(&["a"])),
            ),
            (
                "GRANT SELECT, INSERT ON crm.* TO 'app'@'127.0.0.1', b WITH GRANT OPTION",
                access(true, &["SELECT", "INSERT"], "crm.*", &["app", "b"]),
            ),
            (
                r#"GRANT dba_group TO "li.na";"#,
                access(true, &["dba_group"], "", &["li.na"]),
            ),
            (
                "REVOKE ALL PRIVILEGES ON *.* FROM a",
                access(false, &["ALL PRIVILEGES"], "*.*", &["a"]),
            ),
            ("SET pgaudit.log = 'none'", Effect::Audit(10)),
            ("SET GLOBAL server_audit_logging=OFF", Effect::Audit(10)),
            ("SET GLOBAL server_audit_logging=ON", Effect::Audit(9)),
            ("ALTER SYSTEM SET pgaudit.log TO 'ddl'", Effect::Audit(99)),
            ("UNINSTALL PLUGIN server_audit", Effect::Audit(10)),
            ("DROP USER ''@'%', a", Effect::Account(6, list(&["a"]))),
            ("SET search_path = x", Effect::None),
            ("GRANT", Effect::None),
            ("", Effect::None),
        ] {
            assert_eq!(effect(sql), want, "{sql}");
        }
    }

    proptest! {
        #[test]
        fn any_text_has_an_effect_or_none(sql in "(GRANT|SET|ALTER|CREATE|COPY)?[ a-zA-Z'\"`/*;,.@\\\\é-]{0,80}") {
            let _ = (effect(&sql), activity(&sql));
        }
    }
}
