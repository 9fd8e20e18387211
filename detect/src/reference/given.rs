//! A table as it is given: JSON (an array of row objects, or one object), one row object a line, a capture of a Kafka
//! topic as `kcat -C -J` prints it (a row for each key, its last value), or CSV.

use std::collections::BTreeMap;

use serde_json::Value;

use super::csv;
use super::table::Fault;

/// How a table was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One JSON document.
    Json,
    /// One JSON object a line.
    Lines,
    /// Records of a Kafka topic, one a line.
    Topic,
    /// RFC 4180.
    Csv,
}

/// Rows, and where each stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Given {
    /// How they were written.
    pub form: Form,
    /// The rows, which need not be objects.
    pub rows: Vec<Value>,
    /// The line in which each row begins, from 1.
    pub lines: Vec<usize>,
}

/// Reads rows.
///
/// # Errors
/// The author's: it is neither of these.
pub fn read(bytes: &[u8]) -> Result<Given, Fault> {
    let text = std::str::from_utf8(bytes).map_err(|_| Fault::NotText)?;
    let json = text.trim_start_matches('\u{feff}');
    if !matches!(json.trim_start().bytes().next(), Some(b'[' | b'{')) {
        let (lines, rows) = csv::rows(text)?.into_iter().unzip();
        let form = Form::Csv;
        return Ok(Given { form, rows, lines });
    }
    match serde_json::from_str::<Value>(json) {
        Ok(Value::Array(rows)) => Ok(Given {
            form: Form::Json,
            lines: starts(json),
            rows,
        }),
        // A single record of a topic is one, too.
        Ok(one) if !is_record(&one) => Ok(Given {
            form: Form::Json,
            lines: vec![1 + before(json).matches('\n').count()],
            rows: vec![one],
        }),
        Ok(_) => by_lines(json),
        // A document over several lines begins with less than an object; lines of objects do not.
        Err(error) if first_line_is_an_object(json) => by_lines(json).map_err(|fault| match fault {
            Fault::Line { line: 1, .. } => Fault::Json(error.to_string()),
            other => other,
        }),
        Err(error) => Err(Fault::Json(error.to_string())),
    }
}

fn before(json: &str) -> &str {
    &json[..json.len() - json.trim_start().len()]
}

fn first_line_is_an_object(json: &str) -> bool {
    let line = json.trim_start().lines().next().unwrap_or_default();
    line.starts_with('{') && serde_json::from_str::<Value>(line).is_ok()
}

/// Whether an object is a record as `kcat -C -J` prints it.
fn is_record(value: &Value) -> bool {
    ["topic", "partition", "offset", "payload"]
        .iter()
        .all(|name| value.get(*name).is_some())
}

fn by_lines(text: &str) -> Result<Given, Fault> {
    let mut rows: BTreeMap<usize, Value> = BTreeMap::new();
    let mut by_key: BTreeMap<String, usize> = BTreeMap::new();
    let mut form = Form::Lines;
    for (n, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
        let wrong = |why: String| Fault::Line { line: n + 1, why };
        let value: Value = serde_json::from_str(line).map_err(|e| wrong(format!("not JSON: {e}")))?;
        if !is_record(&value) {
            rows.insert(n, value);
            continue;
        }
        form = Form::Topic;
        let key = match &value["key"] {
            Value::Null => None,
            Value::String(key) => Some(key.clone()),
            other => Some(other.to_string()),
        };
        let old = match key {
            Some(key) => by_key.insert(key, n),
            None => None,
        };
        if let Some(old) = old {
            rows.remove(&old);
        }
        let row = match &value["payload"] {
            // A tombstone: the row is gone.
            Value::Null => continue,
            Value::String(text) if text.is_empty() => continue,
            Value::String(text) => {
                serde_json::from_str(text).map_err(|e| wrong(format!("its payload is not JSON: {e}")))?
            }
            object => object.clone(),
        };
        rows.insert(n, row);
    }
    let (lines, rows) = rows.into_iter().map(|(n, row)| (n + 1, row)).unzip();
    Ok(Given { form, rows, lines })
}

/// The lines, from 1, in which the elements of an array begin. `json` is an array that was read.
fn starts(json: &str) -> Vec<usize> {
    let (mut lines, mut line, mut depth) = (Vec::new(), 1, 0_usize);
    let (mut quoted, mut escaped, mut between) = (false, false, true);
    for byte in json.bytes() {
        line += usize::from(byte == b'\n');
        if quoted {
            (quoted, escaped) = (escaped || byte != b'"', !escaped && byte == b'\\');
            continue;
        }
        let opens = matches!(byte, b'[' | b'{');
        let is_element = depth == 1 && between && !matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b',' | b']');
        if is_element {
            lines.push(line);
            between = false;
        }
        match byte {
            b'"' => quoted = true,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 1 => between = true,
            _ => depth += usize::from(opens),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn told(text: &str) -> (Form, Vec<usize>, Value) {
        let given = read(text.as_bytes()).unwrap();
        (given.form, given.lines, Value::Array(given.rows))
    }

    #[test]
    fn every_form_says_where_its_rows_stand() {
        for (text, want) in [
            ("[]", (Form::Json, vec![], json!([]))),
            (
                "\u{feff}[\n  {\"a\": \"]},\\\"\"},\n\n  {\"a\":\n [1]}, 7 ]",
                (Form::Json, vec![2, 4, 5], json!([{"a": "]},\""}, {"a": [1]}, 7])),
            ),
            ("\n{\"a\":\n 1}", (Form::Json, vec![2], json!([{"a": 1}]))),
            (
                "{\"a\": 1}\n\n{\"a\": 2}\n",
                (Form::Lines, vec![1, 3], json!([{"a": 1}, {"a": 2}])),
            ),
            ("a,b\n1,\n", (Form::Csv, vec![2], json!([{"a": "1", "b": null}]))),
            ("", (Form::Csv, vec![], json!([]))),
        ] {
            assert_eq!(told(text), want, "{text}");
        }
    }

    #[test]
    fn of_a_topic_the_last_value_of_each_key_counts() {
        let record = |offset: i64, key: Value, payload: Value| {
            json!({"topic": "hr", "partition": 0, "offset": offset, "key": key, "payload": payload}).to_string()
        };
        let text = [
            record(0, json!("E1"), json!("{\"id\": 1}")),
            record(1, json!("E2"), json!("{\"id\": 2}")),
            record(2, json!("E1"), json!({"id": 10})),
            record(3, json!("E2"), Value::Null),
            record(4, Value::Null, json!("{\"id\": 3}")),
        ];
        let want = (Form::Topic, vec![3, 5], json!([{"id": 10}, {"id": 3}]));
        assert_eq!(told(&text.join("\n")), want);
        assert_eq!(told(&text[0]), (Form::Topic, vec![1], json!([{"id": 1}])));
    }

    #[test]
    fn what_is_no_table_is_said_with_its_line() {
        for (text, want) in [
            ("[{]", "not JSON: "),
            ("{\"a\": 1}\n{\"a\" 2}", "line 2: not JSON: "),
            ("{\"a\": 1,\n\"b\" 2}", "not JSON: "),
            (
                "{\"topic\":\"t\",\"partition\":0,\"offset\":0,\"payload\":\"x\"}",
                "line 1: its payload is not JSON: ",
            ),
        ] {
            let error = read(text.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(want), "{error}");
        }
    }

    proptest! {
        #[test]
        fn an_array_has_a_line_for_each_row(rows in prop::collection::vec("[\\[\\]{}\",\\\\\na ]{0,6}", 0..6), pretty: bool) {
            let rows: Vec<Value> = rows.into_iter().map(|text| json!({"k": [text]})).collect();
            let text = if pretty { serde_json::to_string_pretty(&rows) } else { serde_json::to_string(&rows) }.unwrap();
            let given = read(text.as_bytes()).unwrap();
            prop_assert_eq!(given.lines.len(), rows.len());
            if pretty {
                for (line, row) in given.lines.iter().zip(&rows) {
                    prop_assert_eq!(text.lines().nth(line - 1).unwrap().trim(), "{");
                    prop_assert!(row.is_object());
                }
            }
        }

        #[test]
        fn hostile_bytes_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = read(&bytes);
        }
    }
}
