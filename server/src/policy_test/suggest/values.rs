//! Values with which a condition holds, or does not.

use regex_syntax::hir::{Class, Hir, HirKind};
use serde_json::{Map, Value, json};

/// The conditions on single fields below a map, in `any`, `all`, `none` and `has` too.
pub fn gather(items: &Map<String, Value>, above: &str, out: &mut Vec<(String, Value)>) {
    for (key, value) in items {
        let nested: Vec<&Map<String, Value>> = match value {
            Value::Object(map) => vec![map],
            Value::Array(all) => all.iter().filter_map(Value::as_object).collect(),
            _ => Vec::new(),
        };
        let name = key.split('|').next().unwrap_or_default();
        let below = match name {
            "any" | "all" | "none" | "where" => above.to_owned(),
            _ => format!("{above}{name}."),
        };
        if nested.is_empty() {
            out.push((format!("{above}{key}"), value.clone()));
        }
        if !nested.is_empty() && key.contains("|has") {
            out.push((format!("{above}{name}|exists"), Value::Bool(true)));
        }
        nested.iter().for_each(|map| gather(map, &below, out));
    }
}

/// Values with which a condition does not hold, or likely not.
pub fn others(key: &str, value: &Value) -> Vec<Value> {
    let one = match value {
        Value::Array(all) => all.first().unwrap_or(&Value::Null),
        one => one,
    };
    let early = json!("2000-01-01T00:00:00Z");
    let late = json!("2100-01-01T00:00:00Z");
    let mut modifiers = key.split('|').skip(1);
    let modifier = modifiers
        .find(|m| matches!(*m, "exists" | "gte" | "gt" | "lte" | "lt"))
        .unwrap_or("");
    match (modifier, one) {
        ("exists", Value::Bool(true)) => vec![Value::Null],
        ("exists", _) => vec![json!("other"), late, early],
        ("gte" | "gt", Value::Number(n)) => vec![json!(n.as_f64().unwrap_or(0.0) as i64 - 1), json!(-1)],
        ("lte" | "lt", Value::Number(n)) => vec![json!(n.as_f64().unwrap_or(0.0) as i64 + 1), json!(1_000_000_000)],
        ("gte" | "gt", _) => vec![early],
        ("lte" | "lt", _) => vec![late],
        (_, Value::Null) => vec![json!("other")],
        (_, Value::Number(_)) => vec![json!(99), Value::Null],
        (_, Value::Bool(b)) => vec![json!(!b), Value::Null],
        _ => vec![json!("other"), Value::Null, json!(["other"])],
    }
}

/// A text that a regular expression matches: of each choice the first, of each repetition the fewest.
fn written(pattern: &str) -> Option<String> {
    let mut out = String::new();
    write(&regex_syntax::parse(pattern).ok()?, &mut out);
    regex::Regex::new(pattern).ok()?.is_match(&out).then_some(out)
}

fn write(hir: &Hir, out: &mut String) {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => out.push_str(&String::from_utf8_lossy(&literal.0)),
        HirKind::Class(Class::Unicode(class)) => out.extend(class.iter().find_map(|range| {
            let plain = |c: &char| c.is_ascii_alphanumeric();
            (range.start()..=range.end())
                .take(128)
                .find(plain)
                .or(Some(range.start()))
        })),
        HirKind::Class(Class::Bytes(class)) => out.extend(class.iter().next().map(|range| char::from(range.start()))),
        HirKind::Repetition(repetition) => (0..repetition.min.min(64)).for_each(|_| write(&repetition.sub, out)),
        HirKind::Capture(capture) => write(&capture.sub, out),
        HirKind::Concat(all) => all.iter().for_each(|one| write(one, out)),
        HirKind::Alternation(all) => all.iter().take(1).for_each(|one| write(one, out)),
    }
}

/// A value with which a condition holds, where it is plain to see.
pub fn holding(key: &str, value: &Value) -> Option<Value> {
    let one = match value {
        Value::Array(all) => all.first()?,
        one => one,
    };
    let mut modifiers = key.split('|').skip(1);
    match modifiers.find(|m| !matches!(*m, "cased" | "contains" | "startswith" | "endswith" | "all")) {
        Some("re") => written(one.as_str()?).map(Value::from),
        Some("exists") => (one == &Value::Bool(true))
            .then(|| json!("other"))
            .or(Some(Value::Null)),
        Some("gte" | "lte") if one.is_number() => Some(one.clone()),
        Some("gte" | "gt") => Some(json!("2100-01-01T00:00:00Z")),
        Some("lte" | "lt") => Some(json!("2000-01-01T00:00:00Z")),
        Some(_) => None,
        None => match one {
            Value::String(text) if text.starts_with('$') => None,
            Value::String(text) => Some(json!(text.trim_matches('*'))),
            other => Some(other.clone()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_told_from_the_condition() {
        assert_eq!(holding("a|startswith", &json!(["x", "y"])), Some(json!("x")));
        assert_eq!(holding("a", &json!("$event.b")), None);
        assert_eq!(others("a", &json!(3)), [json!(99), Value::Null]);
        assert_eq!(others("a|exists", &json!(true)), [Value::Null]);
        assert_eq!(others("a|lte", &json!(5))[0], json!(6));
        let mut leaves = Vec::new();
        let items = json!({"kind": "x", "any": [{"s.t": 1}, {"u|gte": 2}], "rows|has": {"k": 3}});
        gather(items.as_object().unwrap(), "", &mut leaves);
        let mut names: Vec<&str> = leaves.iter().map(|(key, _)| key.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["kind", "rows.k", "rows|exists", "s.t", "u|gte"]);
    }

    #[test]
    fn a_text_is_written_for_an_expression() {
        for pattern in [
            "^(usermod|useradd)( .*)? (-u|--uid)[ =]*0( |$)",
            "(?i)^sql: *grant +all",
            r"\d{3}-[a-f]+x?",
        ] {
            let text = written(pattern).unwrap();
            assert!(
                regex::Regex::new(pattern).unwrap().is_match(&text),
                "{text:?} of {pattern}"
            );
        }
        assert_eq!(written("(").as_deref(), None);
        assert_eq!(written(r"\bx\By").as_deref(), Some("xy"));
    }
}
