//! The tables and columns that an SQL statement names, for the data catalogue (`unmapped.tables`).

use std::borrow::Cow;

use super::sql_statement::{Word, Words};

/// What is kept of a statement.
const NAMES_MAX: usize = 64;
/// Tables whose columns are told.
const TABLES_MAX: usize = 4;
/// Columns that are told of each.
const COLUMNS_MAX: usize = 12;
/// Bytes of a name.
const NAME_BYTES_MAX: usize = 128;

/// After these words a table is named.
const LEADS: &[&str] = &["from", "join", "into", "update", "table", "copy", "truncate", "only"];
/// Before `update`, these make it something else (`FOR UPDATE`, `ON DUPLICATE KEY UPDATE`).
const NO_UPDATE: &[&str] = &["for", "do", "on", "key"];
/// Where a name would stand, these are none.
#[rustfmt::skip]
const RESERVED: &[&str] = &[
    "all",
    "alter",
    "analyse",
    "analyze",
    "and",
    "as",
    "asc",
    "between",
    "by",
    "case",
    "column",
    "concurrently",
    "create",
    "cross",
    "csv",
    "delete",
    "delimiter",
    "desc",
    "distinct",
    "drop",
    "dumpfile",
    "else",
    "end",
    "except",
    "exists",
    "explain",
    "false",
    "fetch",
    "for",
    "from",
    "full",
    "group",
    "having",
    "header",
    "if",
    "ignore",
    "in",
    "index",
    "inner",
    "insert",
    "intersect",
    "into",
    "is",
    "join",
    "lateral",
    "left",
    "like",
    "limit",
    "natural",
    "not",
    "null",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "outer",
    "outfile",
    "program",
    "recursive",
    "rename",
    "replace",
    "returning",
    "right",
    "select",
    "set",
    "stdin",
    "stdout",
    "table",
    "temp",
    "temporary",
    "then",
    "to",
    "true",
    "truncate",
    "union",
    "unnest",
    "update",
    "using",
    "values",
    "view",
    "when",
    "where",
    "with",
];

/// Names in lower case, each once: `crm.public.customer`, `public.customer`, `customer`; and of each table with each column that the
/// statement names `customer.mobile`, or [`model::ALL_COLUMNS`] in the column's place where it asks for all.
pub(crate) fn tables(sql: &str) -> Vec<String> {
    let words: Vec<Word<'_>> = Words::of(sql).collect();
    let mut out = Vec::new();
    let mut found: Vec<String> = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let lead = leads(&words, at);
        at += 1;
        if lead {
            at = named(&words, at, &mut found);
        }
    }
    for name in &found {
        let suffixes = std::iter::once(0).chain(name.match_indices('.').map(|(dot, _)| dot + 1));
        suffixes.for_each(|from| add(&mut out, &name[from..]));
    }
    let bare: Vec<&str> = found
        .iter()
        .map(|name| name.rsplit('.').next().unwrap_or(name))
        .collect();
    for table in bare.iter().take(TABLES_MAX) {
        for column in columns(&words, &bare) {
            add(&mut out, &format!("{table}.{column}"));
        }
    }
    out
}

fn add(out: &mut Vec<String>, name: &str) {
    if out.len() < NAMES_MAX && !out.iter().any(|n| n == name) {
        out.push(name.to_owned());
    }
}

fn any(word: &Word<'_>, of: &[&str]) -> bool {
    of.iter().any(|w| word.is(w))
}

fn leads(words: &[Word<'_>], at: usize) -> bool {
    let word = &words[at];
    any(word, LEADS) && !(word.is("update") && at > 0 && any(&words[at - 1], NO_UPDATE))
}

/// Reads the names that stand at `at`, one behind the other; where it goes on.
fn named(words: &[Word<'_>], mut at: usize, found: &mut Vec<String>) -> usize {
    loop {
        while words
            .get(at)
            .is_some_and(|w| any(w, &["only", "table", "if", "not", "exists", "ignore", "concurrently"]))
        {
            at += 1;
        }
        let Some((name, behind)) = name(words, at) else {
            return at;
        };
        at = behind;
        // What is called is no table: generate_series(1, 9). (`INSERT INTO t (a)` has its columns there.)
        let called = words.get(at).is_some_and(|w| w.is("(")) && words.get(at - 1).is_some_and(|w| !w.quoted);
        if !called || words.get(at + 1).is_some_and(|w| name_part(w).is_some()) {
            found.push(name);
        }
        // `FROM a x, b AS y`
        let alias = (0..2).take_while(|n| words.get(at + n).is_some_and(|w| w.is("as") || name_part(w).is_some()));
        let behind = at + alias.count();
        if !words.get(behind).is_some_and(|w| w.is(",")) {
            return at;
        }
        at = behind + 1;
    }
}

/// A name of one to four parts, and where it ends.
fn name(words: &[Word<'_>], mut at: usize) -> Option<(String, usize)> {
    let mut out = name_part(words.get(at)?)?.into_owned();
    at += 1;
    for _ in 0..3 {
        let next = words
            .get(at)
            .filter(|w| w.is("."))
            .and_then(|_| name_part(words.get(at + 1)?));
        let Some(part) = next else { break };
        out.push('.');
        out.push_str(&part);
        at += 2;
    }
    Some((out, at))
}

/// A word that may be a name, in lower case.
fn name_part<'w>(word: &'w Word<'_>) -> Option<Cow<'w, str>> {
    let text: &str = &word.text;
    let first = text.chars().next()?;
    let fits = text.len() <= NAME_BYTES_MAX && !text.contains(['.', '/']) && (first.is_alphabetic() || first == '_');
    (fits && (word.quoted || !any(word, RESERVED))).then(|| match text.chars().any(char::is_uppercase) {
        true => Cow::Owned(text.to_lowercase()),
        false => Cow::Borrowed(text),
    })
}

/// The columns that a statement names, as far as words tell.
fn columns(words: &[Word<'_>], tables: &[&str]) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for (n, word) in words.iter().enumerate() {
        let before = n.checked_sub(1).map(|n| &words[n]);
        let all = word.is("*") && before.is_some_and(|b| any(b, &["select", "distinct", ",", ".", "all"]));
        let column = match name_part(word) {
            _ if all => Cow::Borrowed(model::ALL_COLUMNS),
            // A value is personal data as likely as not.
            Some(name) if !word.value && !tables.contains(&&*name) && !any(word, LEADS) => name,
            _ => continue,
        };
        // What is called, and what is no word of the list of columns or of a condition.
        if words.get(n + 1).is_some_and(|w| w.is("(") || w.is(".")) {
            continue;
        }
        if out.len() < COLUMNS_MAX && !out.iter().any(|c| *c == column) {
            out.push(column.into_owned());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_statement_names_tables_and_columns() {
        let told = [
            (
                "SELECT name, id_card FROM customers WHERE id = 7",
                "customers customers.name customers.id_card customers.id",
            ),
            (
                "select * from crm.public.Customer c",
                "crm.public.customer public.customer customer customer.@all customer.c",
            ),
            (
                "SELECT c.mobile FROM `crm`.`customer` AS c JOIN orders o ON o.cid=c.id",
                "crm.customer customer orders customer.mobile customer.c customer.o customer.cid customer.id orders.mobile orders.c orders.o orders.cid orders.id",
            ),
            ("SELECT count(*) FROM a, b", "a b"),
            ("UPDATE only \"Orders\" SET a=1", "orders orders.a"),
            ("SELECT 1 FROM t FOR UPDATE", "t"),
            ("INSERT INTO t (a) VALUES ('x')", "t t.a"),
            ("select * into outfile '/tmp/x' from t", "t t.@all"),
            (
                "COPY public.customers TO '/tmp/c.csv' CSV",
                "public.customers customers",
            ),
            ("DROP TABLE IF EXISTS a, b", "a b"),
            ("TRUNCATE a", "a"),
            ("SELECT x FROM generate_series(1, 2)", ""),
            ("SELECT x FROM (SELECT y FROM t) z", "t t.x t.y t.z"),
            ("SELECT a FROM t WHERE b = 'li' OR c = \"na\"", "t t.a t.b t.c"),
            ("SET a = 1", ""),
            ("", ""),
        ];
        for (sql, expected) in told {
            assert_eq!(tables(sql).join(" "), expected, "{sql}");
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_few_names(sql in "(select|from|,|\\.|\\(|\"|'|\\*|[a-c ]|é){0,200}") {
            let names = tables(&sql);
            prop_assert!(names.len() <= NAMES_MAX);
            prop_assert!(names.iter().all(|n| n.len() <= 4 * NAME_BYTES_MAX + 3));
        }
    }
}
