//! The query language: what it accepts, what it refuses and where, and that nothing breaks it.

#![allow(clippy::unwrap_used)]

mod support;

use model::Millis;
use proptest::prelude::*;
use search::query::{CLAUSES_MAX, DEPTH_MAX, QUERY_BYTES_MAX};
use search::{NoText, Query, Request};

#[track_caller]
fn refused(query: &str, message: &str) {
    match Query::parse(query, None) {
        Err(e) => assert_eq!(e.to_string(), message, "{query}"),
        Ok(q) => panic!("{query}: {q:?}"),
    }
}

#[test]
fn errors_say_where_and_what_else() {
    refused("usr:alice", "there is no field `usr`, at byte 0; did you mean `user`?");
    refused(
        "user:a AND zzzzzz:b",
        "there is no field `zzzzzz`, at byte 11; put text that holds a colon within quotes",
    );
    refused(
        "(user:a",
        "expected `)`, found the end, at byte 7; the `(` at byte 0 is not closed",
    );
    refused("user:a)", "expected the end of the query, found `)`, at byte 6");
    refused(
        "user:\"a",
        "expected `\"`, found the end, at byte 7; the `\"` at byte 5 is not closed",
    );
    refused("a AND", "expected a word, a field or `(`, found the end, at byte 5");
    refused(
        "a OR OR b",
        "expected a word, a field or `(`, found `OR`, at byte 5; quote an operator to search for it",
    );
    refused(
        "AND",
        "expected a word, a field or `(`, found `AND`, at byte 0; quote an operator to search for it",
    );
    refused("rm -rf /", "`/` holds no letter or digit to search for, at byte 7");
    refused(
        "severity:loud",
        "`loud` is not a severity; write informational, low, medium, high, critical, fatal, or 0 to 6, at byte 9",
    );
    refused(
        "class:authentification",
        "`authentification` is not an OCSF class, by uid or name, at byte 6; did you mean `\"authentication\"`?",
    );
    refused(
        "time:yesterday",
        "`yesterday` is not a time; write 2026-03-01, 2026-03-01T09:00, 2026-03-01T09:00:00+08:00, epoch milliseconds, or now-7d, at byte 5",
    );
    refused(
        "src:10.8.0.0/64",
        "`10.8.0.0/64` is not a network; write 10.8.0.0/16, at byte 4",
    );
    refused(
        "person:alice",
        "`person:` needs the tables account_registry and hr_roster, which are not loaded, at byte 7; set `reference` in the configuration, or name the accounts: user:(a OR b)",
    );
    refused("exists:person", "`person` takes no `exists:`, at byte 7");
    refused("code:~4", "`code` takes no `~`, at byte 6");
    refused("cmd:~", "expected a value, found the end, at byte 5");
    refused("cmd:~\"\"", "`` is not text to look for, at byte 5");
    refused("user:[a TO b]", "`user` takes no range, at byte 6");
    refused("code:4*", "`code` takes no wildcards, at byte 5");
    refused(
        "code:[1 2]",
        "expected `TO`, found `2]`, at byte 8; a range is written [a TO b]",
    );
    refused("unmapped.rows:>many", "`many` is not a number, at byte 15");
    refused("审计 usr:x", "there is no field `usr`, at byte 7; did you mean `user`?");
}

#[test]
fn sizes_are_bounded() {
    let deep = "(".repeat(DEPTH_MAX + 1) + "a" + &")".repeat(DEPTH_MAX + 1);
    refused(
        &deep,
        &format!("33 levels of parentheses, at most {DEPTH_MAX}, at byte 32"),
    );
    assert!(Query::parse(&("(".repeat(DEPTH_MAX) + "a" + &")".repeat(DEPTH_MAX)), None).is_ok());
    let wide = "a ".repeat(CLAUSES_MAX + 1);
    refused(
        &wide,
        &format!("513 conditions and words, at most {CLAUSES_MAX}, at byte 1024"),
    );
    let long = "a".repeat(QUERY_BYTES_MAX + 1);
    refused(
        &long,
        &format!("16385 bytes of query, at most {QUERY_BYTES_MAX}, at byte 0"),
    );
    assert!(Query::parse(&("NOT ".repeat(4000) + "a"), None).is_ok());
    refused(
        &format!("user:*{}", "?".repeat(300)),
        "301 characters of a pattern, at most 200, at byte 5",
    );
}

#[test]
fn ways_to_say_the_same() {
    let same = |a: &str, b: &str| {
        // Where the values stand differs.
        let plain = |q: &str| {
            let text = format!(
                "{:?}",
                Query::parse(q, Some(Millis(0))).unwrap_or_else(|e| panic!("{q}: {e}"))
            );
            regex::Regex::new(r", at: \d+")
                .unwrap()
                .replace_all(&text, "")
                .into_owned()
        };
        assert_eq!(plain(a), plain(b), "{a} | {b}");
    };
    same("a b", "a AND b");
    same("a AND b OR c", "(a AND b) OR c");
    same("NOT a b", "(NOT a) AND b");
    same("NOT NOT a", "a");
    same("user:(a OR b)", "user:a OR user:b");
    same("user: Alice", "user.name:alice");
    same("user:\"a b\"", "user:a\\ b");
    same("class:Authentication", "class_uid:3002");
    same("severity:>=high", "severity:[4 TO *]");
    same("time:2026-03-01", "time:[2026-03-01T00:00:00.000Z TO 2026-03-02}");
    same("cmd:*", "exists:cmd");
    same("*", "");
    same("*:*", "");
    same("\"drop table\"", "text:\"DROP   TABLE;\"");
    same("/etc/shadow", "\"etc shadow\"");
    same("cmd:C:\\Windows", "cmd:\"C:\\Windows\"");
    same("10.8.1.7:22", "\"10 8 1 7 22\"");
    same("user:~ADM", "user:*adm*");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_text_is_read_or_refused_at_a_place_in_it(text in any::<String>()) {
        if let Err(e) = Query::parse(&text, None) {
            prop_assert!(text.is_char_boundary(e.at), "{e}");
        }
    }

    #[test]
    fn near_queries_are_read_or_refused_at_a_place_in_them(
        parts in prop::collection::vec(prop::sample::select(vec![
            "user:", "cmd:", "time:", "src:", "unmapped.a:", "class:", "record:", "exists:", "(", ")", "[", "]", "{", "}", "\"", "\\", " ", " AND ",
            " OR ", " NOT ", " TO ", "*", "?", ">", "<=", "a", "审计", "10.8.0.0/16", "2026-03-01", "now-1d", "5", "-", ":", "\u{0}", "é", "/",
        ]), 0..14),
    ) {
        let text = parts.concat();
        match Query::parse(&text, Some(Millis(0))) {
            Err(e) => prop_assert!(text.is_char_boundary(e.at) && e.at <= text.len(), "{e}"),
            Ok(query) => SEARCHER.with(|(_, s)| {
                let text = |_: &[model::LedgerIndex], _: &str| Ok(Some("审计 a 5 -".to_owned()));
                match s.search(&Request::new(query), &text) {
                    Ok(_) | Err(search::Error::Query(_)) => Ok(()),
                    Err(e) => Err(TestCaseError::fail(e.to_string())),
                }
            })?,
        }
    }
}

thread_local! {
    static SEARCHER: (tempfile::TempDir, search::Searcher) = {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = support::open(dir.path());
        support::add(&mut writer, 0, 40);
        writer.commit().unwrap();
        let searcher = writer.searcher();
        (dir, searcher)
    };
}

#[test]
fn a_phrase_in_the_raw_line_needs_the_ledger() {
    SEARCHER.with(|(_, searcher)| {
        let request = Request::new(Query::parse("raw:\"drop table\" OR raw:\"审计日志\"", None).unwrap());
        let error = searcher.search(&request, &NoText).unwrap_err().to_string();
        assert!(error.contains("no ledger to read from"), "{error}");
    });
}

#[test]
fn fields_that_cannot_be_grouped_are_named() {
    SEARCHER.with(|(_, searcher)| {
        let error = searcher
            .terms(&Request::new(Query::all()), "record", 3, &NoText)
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("`record` cannot be grouped by; fields that can: user, "),
            "{error}"
        );
        let classes = searcher
            .terms(&Request::new(Query::all()), "class", 9, &NoText)
            .unwrap();
        assert!(classes.buckets.iter().any(|b| b.key == "authentication"));
        let error = searcher
            .date_histogram(&Request::new(Query::all()), 1, &NoText)
            .unwrap_err()
            .to_string();
        assert!(error.contains("buckets, at most 10000"), "{error}");
    });
}
