//! Mapping files: what is wrong with one is told with its place and the nearest right word; what it does to records is in
//! `fixtures/mapped`.

#![allow(clippy::unwrap_used)] // a test may panic

use ingest::mapping::Mapping;

/// The example of the documentation and the fixtures.
const EXAMPLE: &str = include_str!("../../fixtures/mapped/petty_cash.toml");

/// The problems of the example with something in it replaced.
fn problems(from: &str, to: &str) -> Vec<String> {
    assert_eq!(EXAMPLE.matches(from).count(), 1, "{from}");
    match Mapping::read(&EXAMPLE.replace(from, to)) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn problems_have_their_place_and_the_nearest_word() {
    for (from, to, want) in [
        (
            "name = \"petty-cash\"\n",
            "nam = \"petty-cash\"\n",
            &["1:1: there is no `name`", "2:1: setting or section `nam` is not known"][..],
        ),
        ("[actor]", "[actro]", &["15:2: setting or section `actro` is not known"]),
        (
            "account = [\"who.login\", \"user\"]",
            "acount = \"user\"",
            &["16:1: `actor` has no key `acount` is not known"],
        ),
        (
            "\"LIST_EXPORT\" = \"export\"",
            "\"LIST_EXPORT\" = \"exprot\"",
            &["44:17: action `exprot` is not known"],
        ),
        (
            "\"3001.9\"",
            "\"3001.77\"",
            &["49:20: 3001.77 is none of: 3001.0 Unknown"],
        ),
        ("\"3001.9\"", "\"9999.1\"", &["49:20: class 9999 is none of: 3001"]),
        (
            "\"%d.%m.%Y %H:%M:%S\"",
            "\"secnds\"",
            &["9:8: time.form `secnds` is not known"],
        ),
        (
            "\"Europe/Berlin\"",
            "\"Europe/Berlni\"",
            &["4:8: zone `Europe/Berlni` is not known"],
        ),
        (
            "failure = [false, \"N\", 0]",
            "failure = [\"Y\"]",
            &["55:12: `Y` is both success and failure"],
        ),
        (
            "missing = \"success\"",
            "missing = \"sucess\"",
            &["57:11: result `sucess` is not known"],
        ),
        ("\"3\" = \"L3\"", "\"3\" = \"L9\"", &["data.level `L9` is not known"]),
        (
            "personal = { constant = \"general\" }",
            "personal = { constnt = \"general\" }",
            &[
                "data.personal: the word `constnt`",
                "data.personal needs `from` or `constant`",
            ],
        ),
        (
            "[action]\nfrom = \"what\"\ndefault = \"view\"\n",
            "[action]\n",
            &["`action` needs `from`"],
        ),
        (
            "[time]\nfrom = [\"when\", \"meta.written\"]\n",
            "[time]\n",
            &["`time` needs `from`"],
        ),
        ("id = \"nr\"", "id = ", &["not TOML"]),
        ("id = \"nr\"", "id = []", &["12:6: event.id names no field"]),
        ("id = \"nr\"", "id = 5", &["12:6: event.id is a text in quotes"]),
    ] {
        let told = problems(from, to);
        assert!(!told.is_empty(), "{to}");
        for want in want {
            assert!(told.iter().any(|t| t.contains(want)), "{to}: {told:#?}");
        }
    }
    for (from, to, word) in [
        ("[actor]", "[actro]", "actor"),
        ("name = \"petty-cash\"\n", "nam = \"petty-cash\"\n", "name"),
        ("\"LIST_EXPORT\" = \"export\"", "\"LIST_EXPORT\" = \"exprot\"", "export"),
        ("\"%d.%m.%Y %H:%M:%S\"", "\"secnds\"", "seconds"),
        ("missing = \"success\"", "missing = \"sucess\"", "success"),
    ] {
        let want = format!("did you mean `{word}`?");
        let told = problems(from, to);
        assert!(told.iter().any(|t| t.ends_with(&want)), "{to}: {told:?}");
    }
}

#[test]
fn another_text_is_another_version() {
    let hash = |text: &str| Mapping::read(text).unwrap().hash;
    assert_eq!(hash(EXAMPLE), hash(EXAMPLE));
    assert_ne!(hash(EXAMPLE), hash(&EXAMPLE.replace("500 euros", "600 euros")));
    assert_eq!(hash(EXAMPLE).len(), 64);
}

#[test]
fn any_text_is_read_or_refused() {
    for text in [
        "",
        "\u{0}",
        "name = 1",
        "[[action]]",
        "action = 1",
        "name = \"x\"\n[action]\nfrom = [[]]",
        "a.b.c = 1",
    ] {
        assert!(Mapping::read(text).is_err(), "{text}");
    }
    assert!(Mapping::read(&"#".repeat(300_000)).is_err());
}
