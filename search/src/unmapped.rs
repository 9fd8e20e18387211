//! The source's own fields (`unmapped`), flattened into one field.
//!
//! Each value gives a term `<path>\0=<value, folded>`, and one that reads as a number also
//! `<path>\0#<16 hexadecimal digits>`, whose order is the numbers' order. Any path can so be looked up, matched by
//! wildcard and ranged over, without a column a path (a sender may invent as many as it likes).

use std::borrow::Cow;

use serde_json::Value;

use crate::keyword::VALUE_BYTES_MAX;

/// Levels of objects; deeper ones are kept as their JSON text.
pub const DEPTH_MAX: usize = 8;
/// Values of one event; the rest is found by the raw line only.
pub const VALUES_MAX: usize = 512;
/// Bytes of a path.
pub const PATH_BYTES_MAX: usize = 256;

/// Calls `each` with path and text of every value of `unmapped`, an object as JSON.
pub fn values(json: &str, mut each: impl FnMut(&str, &str)) {
    let mut scan = Scan { json, at: 0 };
    if scan.peek() == Some(b'{') {
        let _ = walk(
            &mut scan,
            &mut String::new(),
            DEPTH_MAX + 1,
            &mut { VALUES_MAX },
            &mut each,
        );
    }
}

/// Reads JSON as the normalizer writes it. Of other text it gives what it understands, and ends where it does not.
struct Scan<'j> {
    json: &'j str,
    at: usize,
}

impl<'j> Scan<'j> {
    /// The byte that comes next, blanks aside.
    fn peek(&mut self) -> Option<u8> {
        let rest = self.json.as_bytes().get(self.at..)?;
        self.at += rest.iter().position(|b| !matches!(b, b' ' | b'\t' | b'\r' | b'\n'))?;
        self.json.as_bytes().get(self.at).copied()
    }

    /// Goes past `byte` if it comes next.
    fn takes(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    /// The text that begins here.
    fn text(&mut self) -> Option<Cow<'j, str>> {
        let quoted = self.quoted()?;
        match quoted.contains('\\') {
            false => quoted.get(1..quoted.len() - 1).map(Cow::Borrowed),
            true => serde_json::from_str(quoted).ok().map(Cow::Owned),
        }
    }

    /// The text that begins here, as it stands, in its quotes.
    fn quoted(&mut self) -> Option<&'j str> {
        if self.peek() != Some(b'"') {
            return None;
        }
        let (bytes, from) = (self.json.as_bytes(), self.at);
        let mut at = from + 1;
        loop {
            at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
            if bytes[at] == b'"' {
                self.at = at + 1;
                return self.json.get(from..at + 1);
            }
            at += 2;
        }
    }

    /// The value that begins here, as it stands.
    fn value(&mut self) -> Option<&'j str> {
        let first = self.peek()?;
        let from = self.at;
        if first == b'"' {
            return self.quoted();
        }
        let mut depth = 0usize;
        loop {
            match self.json.as_bytes().get(self.at) {
                Some(b'"') => {
                    self.quoted()?;
                    continue;
                }
                Some(b'{' | b'[') => depth += 1,
                Some(b'}' | b']') if depth > 0 => {
                    depth -= 1;
                    if depth == 0 {
                        self.at += 1;
                        break;
                    }
                }
                None | Some(b',' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n') if depth == 0 => break,
                None => return None,
                Some(_) => {}
            }
            self.at += 1;
        }
        self.json.get(from..self.at).filter(|v| !v.is_empty())
    }
}

fn walk(
    scan: &mut Scan<'_>,
    path: &mut String,
    depth: usize,
    left: &mut usize,
    each: &mut impl FnMut(&str, &str),
) -> Option<()> {
    if *left == 0 || path.len() > PATH_BYTES_MAX || path.contains('\0') {
        return scan.value().map(|_| ());
    }
    match scan.peek()? {
        b'{' if depth > 1 => {
            scan.takes(b'{');
            while !scan.takes(b'}') {
                let length = path.len();
                let key = scan.text()?;
                if length > 0 || depth <= DEPTH_MAX {
                    path.push('.');
                }
                path.push_str(&key);
                if !scan.takes(b':') {
                    return None;
                }
                walk(scan, path, depth - 1, left, each)?;
                path.truncate(length);
                scan.takes(b',');
            }
        }
        // Values that lie side by side share their path.
        b'[' if depth > 1 => {
            scan.takes(b'[');
            while !scan.takes(b']') {
                walk(scan, path, depth - 1, left, each)?;
                scan.takes(b',');
            }
        }
        b'"' => {
            *left -= 1;
            each(path, &scan.text()?);
        }
        first => {
            let value = scan.value()?;
            if value == "null" {
                return Some(());
            }
            *left -= 1;
            // Written as it would be without blanks.
            let compact = matches!(first, b'{' | b'[').then(|| serde_json::from_str::<Value>(value).ok());
            match compact.flatten() {
                Some(json) => each(path, &json.to_string()),
                None => each(path, value),
            }
        }
    }
    Some(())
}

/// Whether a value says no more than a number or yes or no.
#[must_use]
pub fn is_plain(value: &str) -> bool {
    matches!(value, "" | "true" | "false") || number(value).is_some() && value.len() < 4
}

/// The term of a value that reads as a number.
#[must_use]
pub fn number_term(path: &str, value: &str) -> Option<String> {
    number_of(value).map(|n| ordered(path, n))
}

/// The number that a value reads as, if that is indexed.
pub(crate) fn number_of(value: &str) -> Option<f64> {
    (value.len() < VALUE_BYTES_MAX).then(|| number(value)).flatten()
}

/// The term that stands where `number` does among the numbers of a path.
#[must_use]
pub fn ordered(path: &str, number: f64) -> String {
    format!("{path}\0#{}", digits(number, &mut [0; 16]))
}

/// Hexadecimal digits whose order is the numbers'.
pub(crate) fn digits(number: f64, out: &mut [u8; 16]) -> &str {
    // -0.0 is 0.0.
    let bits = (number + 0.0).to_bits();
    let key = if bits >> 63 == 0 { bits | 1 << 63 } else { !bits };
    for (n, digit) in out.iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(key >> (60 - 4 * n) & 15) as usize];
    }
    std::str::from_utf8(out).unwrap_or_default()
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
    use proptest::prelude::*;

    #[test]
    fn objects_become_paths_and_arrays_share_one() {
        let mut out = Vec::new();
        values(
            r#"{"a":{"b":1,"c.d":[true,"x",null]},"e":[{"f":1.5},{"f":"2"}]}"#,
            |p, v| out.push(format!("{p}={v}")),
        );
        assert_eq!(out, ["a.b=1", "a.c.d=true", "a.c.d=x", "e.f=1.5", "e.f=2"]);
    }

    /// As [`values`], by the tree of the whole.
    fn plain(path: &mut String, value: &Value, depth: usize, out: &mut Vec<(String, String)>) {
        match value {
            Value::Null => {}
            Value::Object(fields) if depth > 1 => {
                for (key, value) in fields {
                    let length = path.len();
                    if depth <= DEPTH_MAX {
                        path.push('.');
                    }
                    path.push_str(key);
                    plain(path, value, depth - 1, out);
                    path.truncate(length);
                }
            }
            Value::Array(items) if depth > 1 => items.iter().for_each(|v| plain(path, v, depth - 1, out)),
            Value::String(text) => out.push((path.clone(), text.clone())),
            other => out.push((path.clone(), other.to_string())),
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f32>().prop_map(|f| serde_json::Number::from_f64(f64::from(f)).map_or(Value::Null, Value::Number)),
            "[a-b\"\\\\中\n{}:,\\[\\] ]{0,4}".prop_map(Value::from),
        ];
        leaf.prop_recursive(12, 60, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-b\"{中]{0,2}", inner, 0..4)
                    .prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_values_are_those_of_the_tree(
            fields in prop::collection::btree_map("[a-b\"{中]{0,2}", json(), 0..5), pretty in any::<bool>(),
        ) {
            let whole = Value::Object(fields.into_iter().collect());
            let text = if pretty { serde_json::to_string_pretty(&whole).unwrap() } else { whole.to_string() };
            let (mut out, mut expected) = (Vec::new(), Vec::new());
            values(&text, |path, value| out.push((path.to_owned(), value.to_owned())));
            plain(&mut String::new(), &whole, DEPTH_MAX + 1, &mut expected);
            prop_assert_eq!(out, expected);
        }

        #[test]
        fn any_text_comes_to_an_end(text in r#"[{}\[\]":,\\a1 ]{0,40}"#) {
            values(&text, |_, _| ());
        }
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
