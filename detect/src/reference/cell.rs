//! The cells of a row: dotted paths through objects and lists, and text read as a moment.

use std::borrow::Cow;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use model::Millis;
use serde_json::{Map, Value};

/// Objects and lists inside one another that a path or a list is followed through.
const DEPTH_MAX: usize = 32;

/// Calls `found` with each value at the dotted `path`; crosses lists; a key that itself holds dots goes first.
/// A list at the end yields its elements. Null yields nothing.
pub fn each_value<'a>(row: &'a Value, path: &str, found: &mut dyn FnMut(&'a Value)) {
    walk(row, path, DEPTH_MAX, found);
}

fn walk<'a>(value: &'a Value, path: &str, depth: usize, found: &mut dyn FnMut(&'a Value)) {
    if depth == 0 {
        return;
    }
    match value {
        Value::Object(object) => walk_object(object, path, depth, found),
        Value::Array(items) => items.iter().for_each(|item| walk(item, path, depth - 1, found)),
        _ => {}
    }
}

fn walk_object<'a>(object: &'a Map<String, Value>, path: &str, depth: usize, found: &mut dyn FnMut(&'a Value)) {
    if let Some(value) = object.get(path) {
        return elements(value, depth, found);
    }
    for (dot, _) in path.match_indices('.') {
        if let Some(inner) = object.get(&path[..dot]) {
            walk(inner, &path[dot + 1..], depth - 1, found);
        }
    }
}

fn elements<'a>(value: &'a Value, depth: usize, found: &mut dyn FnMut(&'a Value)) {
    match value {
        Value::Null => {}
        Value::Array(items) => {
            if depth > 0 {
                items.iter().for_each(|item| elements(item, depth - 1, found));
            }
        }
        other => found(other),
    }
}

/// The value at a dotted path as it stands there, a list as a list; `None` where the path crosses a list.
#[must_use]
pub fn value_at<'a>(row: &'a Value, path: &str) -> Option<&'a Value> {
    let object = row.as_object()?;
    if let Some(value) = object.get(path) {
        return Some(value);
    }
    path.match_indices('.')
        .find_map(|(dot, _)| value_at(object.get(&path[..dot])?, &path[dot + 1..]))
}

/// A value as text: a string as it is, anything else as JSON writes it.
#[must_use]
pub fn scalar(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        other => Cow::Owned(other.to_string()),
    }
}

/// Text as a moment: RFC 3339 with an offset, epoch milliseconds, or a date or a date and time without an
/// offset, which is the operator's own (`zone`); a date is its first instant. `None` for any other text.
#[must_use]
pub fn moment(text: &str, zone: &TimeZone) -> Option<Millis> {
    let text = text.trim();
    // Most text is no time: look at the first byte, and the length, before trying.
    if text.len() > 40 || !text.bytes().next().is_some_and(|b| b.is_ascii_digit() || b == b'-') {
        return None;
    }
    if let Ok(time) = Millis::parse(text) {
        return Some(time);
    }
    let civil = match text.parse::<DateTime>() {
        Ok(civil) => civil,
        Err(_) => text.parse::<Date>().ok()?.to_datetime(jiff::civil::Time::midnight()),
    };
    Some(Millis(civil.to_zoned(zone.clone()).ok()?.timestamp().as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn all(row: &Value, path: &str) -> Vec<String> {
        let mut out = vec![];
        each_value(row, path, &mut |v| out.push(scalar(v).into_owned()));
        out
    }

    #[test]
    fn a_path_crosses_objects_lists_and_dotted_keys() {
        let row = json!({"scope": {"assets": ["a", "b"]}, "steps": [{"at": 1}, {"at": 2}, {}], "x.y": true, "n": null,
                         "deep": [["p"], ["q"]]});
        assert_eq!(all(&row, "scope.assets"), ["a", "b"]);
        assert_eq!(all(&row, "steps.at"), ["1", "2"]);
        assert_eq!(all(&row, "x.y"), ["true"]);
        assert_eq!(all(&row, "deep"), ["p", "q"]);
        assert!(all(&row, "n").is_empty());
        assert!(all(&row, "none.at.all").is_empty());
        assert_eq!(value_at(&row, "scope.assets"), Some(&json!(["a", "b"])));
    }

    #[test]
    fn a_value_nested_without_end_is_not_followed_to_it() {
        let mut value = json!("x");
        for _ in 0..1000 {
            value = json!([value]);
        }
        assert!(all(&json!({ "a": value }), "a").is_empty());
    }

    #[test]
    fn moments() {
        let zone = TimeZone::get("Asia/Shanghai").unwrap();
        for (text, want) in [
            ("2026-03-02T09:00:00+08:00", Some("2026-03-02T01:00:00.000Z")),
            ("2026-03-02", Some("2026-03-01T16:00:00.000Z")),
            ("2026-03-02 09:00:00", Some("2026-03-02T01:00:00.000Z")),
            ("1772413200000", Some("2026-03-02T01:00:00.000Z")),
            ("soon", None),
            ("", None),
            ("2026-13-45", None),
        ] {
            assert_eq!(moment(text, &zone).map(|m| m.to_string()).as_deref(), want, "{text}");
        }
    }
}
