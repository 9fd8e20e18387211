//! The compiled evaluator gives what the plain one gives, on rules and events made at random.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use detect::RuleSet;
use detect::plain::{self, Fields};
use detect::policy::{EventField, load_text};
use model::{Batch, LedgerIndex, LogSource, Millis, PlainEvent};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// Letters few enough that matches are common, among them wildcards, escapes and letters that fold.
fn text() -> impl Strategy<Value = String> {
    let letter = prop::sample::select(vec![
        "a", "b", "A", "ab", "K", "\u{212a}", "ſ", "é", "-", "/", " ", "\n", "1", ".",
    ]);
    prop::collection::vec(letter, 0..6).prop_map(|l| l.concat())
}

fn pattern() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => text(),
        1 => Just("*".to_owned()),
        1 => Just("?".to_owned()),
        1 => Just(r"\*".to_owned()),
        1 => Just(r"\".to_owned()),
    ];
    prop::collection::vec(piece, 0..4).prop_map(|p| p.concat())
}

fn yaml(text: &str) -> String {
    serde_json::to_string(text).expect("text is JSON, and JSON is YAML")
}

/// `field|modifiers: values`.
fn item() -> impl Strategy<Value = String> {
    let field = prop::sample::select(vec!["f", "g", "h.i", ""]);
    let texts = prop::collection::vec(pattern(), 1..4)
        .prop_map(|p| format!("[{}]", p.iter().map(|p| yaml(p)).collect::<Vec<_>>().join(", ")));
    let ends = prop::sample::select(vec!["", "|contains", "|startswith", "|endswith"]);
    let more = prop::sample::select(vec!["", "|all", "|cased", "|neq", "|windash", "|all|cased"]);
    let plain = (ends, more, texts).prop_map(|(e, m, t)| (format!("{e}{m}"), t));
    let other = prop::sample::select(vec![
        ("", "1"),
        ("", "[1, a, null]"),
        ("", "true"),
        ("", "null"),
        ("|exists", "true"),
        ("|exists", "false"),
        ("|re", "'a.b'"),
        ("|re|i", "'AB|ba'"),
        ("|re|i", "'xaks?b+'"),
        ("|re|s", "'^a.*ab$'"),
        ("|gt", "0.5"),
        ("|lte", "11"),
        ("|cidr", "1.0.0.0/8"),
        ("|fieldref", "g"),
        ("|fieldref|contains", "f"),
        ("|fieldref|cased|neq", "h.i"),
        ("|base64offset|contains", "a"),
        ("|hour|lt", "12"),
    ])
    .prop_map(|(m, v)| (m.to_owned(), v.to_owned()));
    (field, prop_oneof![3 => plain, 2 => other]).prop_map(|(f, (m, v))| {
        // Keywords take text only.
        let f = if f.is_empty() && (v.contains("null") || ["fieldref", "exists", "hour"].iter().any(|w| m.contains(w)))
        {
            "f"
        } else {
            f
        };
        format!("{}: {v}", yaml(&format!("{f}{m}")))
    })
}

fn detection() -> impl Strategy<Value = String> {
    let map = || {
        prop::collection::btree_map("[0-9]", item(), 1..3).prop_map(|items| {
            let mut lines: Vec<String> = items.into_values().collect();
            // A key may stand once.
            lines.sort_by_key(|l| l.split("\": ").next().map(str::to_owned));
            lines.dedup_by_key(|l| l.split("\": ").next().map(str::to_owned));
            format!("{{{}}}", lines.join(", "))
        })
    };
    prop_oneof![
        4 => map(),
        1 => prop::collection::vec(map(), 1..3).prop_map(|m| format!("[{}]", m.join(", "))),
        1 => prop::collection::vec(pattern(), 1..3)
            .prop_map(|k| format!("[{}]", k.iter().map(|k| yaml(k)).collect::<Vec<_>>().join(", "))),
    ]
}

fn condition() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec!["a", "b", "c", "1 of them", "all of them", "2 of them", "1 of a*"]);
    leaf.prop_map(str::to_owned).prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} and {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} or {b})")),
            inner.prop_map(|a| format!("not {a}")),
        ]
    })
}

fn rule() -> impl Strategy<Value = String> {
    let source = prop::sample::select(vec![
        "product: p",
        "product: p, service: s",
        "category: c",
        "product: q",
    ]);
    (source, detection(), detection(), detection(), condition()).prop_map(|(l, a, b, c, condition)| {
        format!("title: t\nlogsource: {{{l}}}\ndetection:\n  a: {a}\n  b: {b}\n  c: {c}\n  condition: {condition}\n")
    })
}

fn value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        6 => text().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => prop::sample::select(vec![json!(1), json!(1.0), json!(0), json!(11), json!(true), json!("1.2.3.4")]),
        1 => Just(json!("2026-03-02T09:00:00Z")),
    ];
    prop_oneof![4 => scalar.clone(), 1 => prop::collection::vec(scalar, 0..3).prop_map(Value::from)]
}

fn event() -> impl Strategy<Value = Map<String, Value>> {
    let field = || prop::option::weighted(0.8, value());
    (field(), field(), field()).prop_map(|(f, g, h)| {
        let mut out = Map::new();
        out.extend(f.map(|f| ("f".to_owned(), f)));
        out.extend(g.map(|g| ("g".to_owned(), g)));
        out.extend(h.map(|h| ("h".to_owned(), json!({"i": h}))));
        out
    })
}

/// Fields read straight from the JSON, by other code than the batch's.
struct Json<'e>(&'e Map<String, Value>);

impl Fields for Json<'_> {
    fn values(&self, field: &EventField) -> Vec<String> {
        fn scalars(value: &Value, out: &mut Vec<String>) {
            match value {
                Value::Null => {}
                Value::String(s) => out.push(s.clone()),
                Value::Array(vs) => vs.iter().for_each(|v| scalars(v, out)),
                Value::Object(o) => o.values().for_each(|v| scalars(v, out)),
                scalar => out.push(scalar.to_string()),
            }
        }
        let mut out = Vec::new();
        let exists = field.path.strip_suffix(model::EXISTS);
        let found = match exists.unwrap_or(&field.path) {
            "h.i" => self.0.get("h").and_then(|h| h.get("i")),
            "*" => {
                self.0.values().for_each(|v| scalars(v, &mut out));
                None
            }
            name => self.0.get(name),
        };
        if exists.is_some() {
            return found.map(|_| "true".to_owned()).into_iter().collect();
        }
        found.into_iter().for_each(|v| scalars(v, &mut out));
        out
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn compiled_equals_plain(
        rules in prop::collection::vec(rule(), 1..12),
        events in prop::collection::vec(event(), 1..80),
        labels in prop::sample::select(vec![("p", "", ""), ("p", "c", "s"), ("p", "x", "x"), ("", "", ""), ("q", "c", "")]),
    ) {
        let text = rules.join("---\n");
        let loaded = load_text(&text);
        let wrong: Vec<_> = loaded.errors.iter().filter(|e| !e.is_lint()).collect();
        prop_assert!(wrong.is_empty(), "{wrong:?}\n{text}");
        let (set, errors) = RuleSet::compile(&loaded.policies);
        prop_assert!(errors.is_empty());
        let logsource = LogSource::new(labels.0, labels.1, labels.2);
        let events: Vec<PlainEvent> = events
            .into_iter()
            .map(|native| PlainEvent {
                uid: "t/0/0".into(),
                class_uid: 0,
                time: Millis(0),
                ocsf: Map::new(),
                native,
                system: None,
                commands: vec![],
                logsource: logsource.clone(),
            })
            .collect();
        let rows: Vec<_> = events.iter().map(|e| (LedgerIndex(0), Millis(0), e)).collect();
        let source: Arc<str> = "s".into();
        let batch = Batch::plain(&source, &rows, set.wanted());
        let compiled: Vec<(u32, u32)> = set.evaluate(&batch).into_iter().map(|h| (h.row, h.rule.0)).collect();
        let mut expected = Vec::new();
        for (row, event) in events.iter().enumerate() {
            for (index, policy) in loaded.policies.iter() {
                let sigma = &policy.rule().expect("all are rules").sigma;
                if sigma.is_for(&logsource, 0) && plain::is_match(sigma, &Json(&event.native)) {
                    expected.push((row as u32, index.0));
                }
            }
        }
        prop_assert_eq!(&compiled, &expected, "{}", text);
        // Rows are looked at a thousand at a time.
        if events.len() > 70 {
            let many: Vec<_> = rows.iter().copied().cycle().take(1_100).collect();
            let batch = Batch::plain(&source, &many, set.wanted());
            let hits: Vec<(u32, u32)> = set.evaluate(&batch).into_iter().map(|h| (h.row, h.rule.0)).collect();
            let n = rows.len() as u32;
            let expected: Vec<(u32, u32)> = (0..1_100)
                .flat_map(|row| expected.iter().filter(move |(r, _)| *r == row % n).map(move |(_, rule)| (row, *rule)))
                .collect();
            prop_assert_eq!(&hits, &expected, "{}", text);
        }
        // A log source of which more is seen is judged with indexes of its own.
        for _ in 0..64 / events.len() + 2 {
            let again: Vec<(u32, u32)> = set.evaluate(&batch).into_iter().map(|h| (h.row, h.rule.0)).collect();
            prop_assert_eq!(&again, &expected, "{}", text);
        }
    }
}
