use super::*;
use proptest::prelude::*;
use serde_json::json;
use serde_json::{Map, Value};

/// A parsed object that outlives its arena.
#[derive(Debug)]
struct Owned {
    object: Map<String, Value>,
    flags: Vec<&'static str>,
    duplicates: Vec<(String, Value)>,
}

fn parse(text: &str) -> Result<Owned, Quarantine> {
    let arena = Arena::new();
    let parsed = super::parse(&arena, text)?;
    Ok(Owned {
        object: parsed.object.to_json(),
        flags: parsed.flags,
        duplicates: parsed
            .duplicates
            .iter()
            .map(|(k, v)| ((*k).to_owned(), v.to_json()))
            .collect(),
    })
}

#[test]
fn what_is_refused_says_why() {
    for (text, reason) in [
        ("", "json_not_object"),
        ("hello", "json_not_object"),
        ("null", "json_not_object"),
        ("[]", "json_not_object"),
        ("[1,2]", "json_not_object"),
        ("{", "json_truncated"),
        (r#"{"a":"b"#, "json_truncated"),
        (r#"{"a":tru"#, "json_truncated"),
        (r#"{"a":1."#, "json_truncated"),
        (r#"{"a":"\u12"#, "json_truncated"),
        (r#"{"a":NaN}"#, "json_invalid"),
        (r#"{"a":01}"#, "json_invalid"),
        (r#"{"a":1,}"#, "json_invalid"),
        (r#"{a:1}"#, "json_invalid"),
        (r#"{"a":"\q"}"#, "json_invalid"),
        (r#"{"a":1},"#, "json_trailing"),
        (r#"{"a":1}}"#, "json_trailing"),
        (r#"{"a":1} {"b":2}"#, "json_several_objects"),
        (r#"[{"a":1}]"#, "json_several_objects"),
    ] {
        assert_eq!(parse(text).unwrap_err().0, reason, "{text}");
    }
    let deep = |n: usize| format!("{}1{}", "{\"a\":".repeat(n), "}".repeat(n));
    assert!(parse(&deep(64)).is_ok());
    assert_eq!(parse(&deep(65)).unwrap_err(), TOO_DEEP);
    assert_eq!(parse(&"[".repeat(100_000)).unwrap_err(), TOO_DEEP);
}

#[test]
fn what_is_odd_is_flagged() {
    for (text, value, flags) in [
        (r#"{"u":"a","\u0075":"b"}"#, json!({"u": "b"}), &["duplicate_key"][..]),
        (r#"{"u":"\ud800"}"#, json!({"u": "\u{fffd}"}), &["lone_surrogate"]),
        (
            r#"{"u":"\ud83d\ud83d\ude00\udc00b"}"#,
            json!({"u": "\u{fffd}\u{1f600}\u{fffd}b"}),
            &["lone_surrogate"],
        ),
        ("{\"u\":\"a\tb\"}", json!({"u": "a\tb"}), &["control_character"]),
        (r#"{"u":"\xE4\xB8\xAD\x22"}"#, json!({"u": "中\""}), &["invalid_escape"]),
        ("\u{20} {\"u\":{}}\r\n", json!({"u": {}}), &[]),
    ] {
        let parsed = parse(text).unwrap();
        assert_eq!(Value::Object(parsed.object), value, "{text}");
        assert_eq!(parsed.flags, flags, "{text}");
    }
    let parsed = parse(r#"{"user":"admin","user":{"id":1},"user":null}"#).unwrap();
    assert_eq!(
        parsed.duplicates,
        [
            ("user".to_owned(), json!("admin")),
            ("user".to_owned(), json!({"id": 1}))
        ]
    );
}

#[test]
fn numbers_keep_their_digits() {
    for digits in [
        "9007199254740993",
        "-9223372036854775809",
        "1e400",
        "0.10e+1",
        "-0",
        "123456789012345678901.50",
    ] {
        let parsed = parse(&format!("{{\"n\":{digits}}}")).unwrap();
        assert_eq!(
            parsed.object["n"].to_string(),
            digits.replace("e400", "e+400").replace("e++", "e+"),
            "{digits}"
        );
    }
}

#[test]
fn several_objects_are_told_apart() {
    for text in [r#"{"a":1}{"a":2}"#, "{\"a\":1}\n{\"a\":2}\n", r#"[{"a":1}, {"a":2}]"#] {
        let arena = Arena::new();
        let parts = parse_all(&arena, text).unwrap();
        assert_eq!(
            parts.iter().map(|(t, _)| *t).collect::<Vec<_>>(),
            [r#"{"a":1}"#, r#"{"a":2}"#],
            "{text}"
        );
    }
    for text in [
        r#"{"a":1}{"a":"#,
        r#"[{"a":1},2]"#,
        r#"[{"a":1}"#,
        r#"[{"a":1}]x"#,
        r#"{"a":1} x"#,
        "[]",
    ] {
        assert!(parse_all(&Arena::new(), text).is_err(), "{text}");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec(("\\PC*", inner), 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn agrees_with_serde_json_on_what_it_writes(value in any_json(), pretty in any::<bool>()) {
        let object = json!({"v": value});
        let text = if pretty { serde_json::to_string_pretty(&object).unwrap() } else { object.to_string() };
        let parsed = parse(&text).unwrap();
        prop_assert_eq!(Value::Object(parsed.object), object);
        prop_assert!(parsed.flags.is_empty());
    }

    #[test]
    fn agrees_with_serde_json_on_near_misses(text in "\\{(\"[ab]\":[-0-9.eE\\[\\]{}\"\\\\u,:tfn ]{0,8},?){0,3}\\}? ?") {
        let theirs = serde_json::from_str::<Map<String, Value>>(&text);
        match parse(&text) {
            Ok(ours) if ours.flags.is_empty() => prop_assert_eq!(Some(ours.object), theirs.ok()),
            Ok(_) => {}
            Err(_) => prop_assert!(theirs.is_err(), "{}", text),
        }
    }

    #[test]
    fn never_panics(text in ".{0,200}") {
        let _ = parse(&text);
        let _ = parse_all(&Arena::new(), &text);
    }
}
