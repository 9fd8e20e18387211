//! The source's own fields (`unmapped`), flattened into one field.
//!
//! Each value gives a term `<path>\0=<value, folded>`, and one that reads as a number also
//! `<path>\0#<16 hexadecimal digits>`, whose order is the numbers' order. Any path can so be looked up, matched by
//! wildcard and ranged over, without a column a path (a sender may invent as many as it likes).

use serde_json::Value;

use crate::keyword::{VALUE_BYTES_MAX, bounded};

/// Levels of objects; deeper ones are kept as their JSON text.
pub const DEPTH_MAX: usize = 8;
/// Values of one event; the rest is found by the raw line only.
pub const VALUES_MAX: usize = 512;
/// Bytes of a path.
pub const PATH_BYTES_MAX: usize = 256;

/// Calls `each` with path and text of every value of `unmapped`, an object as JSON.
pub fn values(json: &str, mut each: impl FnMut(&str, &str)) {
    let Ok(Value::Object(fields)) = serde_json::from_str::<Value>(json) else {
        return;
    };
    let mut left = VALUES_MAX;
    for (key, value) in &fields {
        walk(&mut key.clone(), value, DEPTH_MAX, &mut left, &mut each);
    }
}

fn walk(path: &mut String, value: &Value, depth: usize, left: &mut usize, each: &mut impl FnMut(&str, &str)) {
    if *left == 0 || path.len() > PATH_BYTES_MAX || path.contains('\0') {
        return;
    }
    match value {
        Value::Null => {}
        Value::Object(fields) if depth > 1 => {
            let length = path.len();
            for (key, value) in fields {
                path.push('.');
                path.push_str(key);
                walk(path, value, depth - 1, left, each);
                path.truncate(length);
            }
        }
        // Values that lie side by side share their path.
        Value::Array(items) if depth > 1 => items.iter().for_each(|v| walk(path, v, depth - 1, left, each)),
        Value::String(text) => {
            *left -= 1;
            each(path, text);
        }
        other => {
            *left -= 1;
            each(path, &other.to_string());
        }
    }
}

/// Whether a value says no more than a number or yes or no.
#[must_use]
pub fn is_plain(value: &str) -> bool {
    matches!(value, "" | "true" | "false") || number(value).is_some() && value.len() < 4
}

/// The term of a value.
#[must_use]
pub fn term(path: &str, value: &str) -> String {
    format!("{path}\0={}", bounded(value))
}

/// The term of a value that reads as a number.
#[must_use]
pub fn number_term(path: &str, value: &str) -> Option<String> {
    (value.len() < VALUE_BYTES_MAX)
        .then(|| number(value))?
        .map(|n| ordered(path, n))
}

/// The term that stands where `number` does among the numbers of a path.
#[must_use]
pub fn ordered(path: &str, number: f64) -> String {
    // -0.0 is 0.0.
    let bits = (number + 0.0).to_bits();
    let key = if bits >> 63 == 0 { bits | 1 << 63 } else { !bits };
    format!("{path}\0#{key:016x}")
}

/// Text that reads as a finite number: digits, a sign, a point, an exponent.
#[must_use]
pub fn number(text: &str) -> Option<f64> {
    let starts = text
        .trim_start_matches(['-', '+'])
        .starts_with(|c: char| c.is_ascii_digit());
    text.parse::<f64>().ok().filter(|n| starts && n.is_finite())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn objects_become_paths_and_arrays_share_one() {
        let mut out = Vec::new();
        values(
            r#"{"a":{"b":1,"c.d":[true,"x",null]},"e":[{"f":1.5},{"f":"2"}]}"#,
            |p, v| out.push(format!("{p}={v}")),
        );
        assert_eq!(out, ["a.b=1", "a.c.d=true", "a.c.d=x", "e.f=1.5", "e.f=2"]);
    }

    #[test]
    fn hostile_objects_are_bounded() {
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(100), "]".repeat(100));
        let wide = serde_json::to_string(
            &(0..5000)
                .map(|n| (n.to_string(), n))
                .collect::<std::collections::BTreeMap<_, _>>(),
        );
        for (text, least) in [(deep, 1), (wide.unwrap(), VALUES_MAX), ("nonsense".into(), 0)] {
            let mut count = 0;
            values(&text, |_, _| count += 1);
            assert_eq!(count, least);
        }
    }

    #[test]
    fn the_order_of_terms_is_the_order_of_numbers() {
        let numbers = [f64::MIN, -1e9, -2.0, -1.5, 0.0, 1e-9, 1.0, 10.0, 100.5, 1e300];
        for pair in numbers.windows(2) {
            assert!(ordered("p", pair[0]) < ordered("p", pair[1]), "{pair:?}");
        }
        assert_eq!(ordered("p", -0.0), ordered("p", 0.0));
        assert_eq!(number("nan"), None);
        assert_eq!(number("inf"), None);
        assert_eq!(number("1e999"), None);
    }
}
