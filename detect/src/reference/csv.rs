//! A table as CSV (RFC 4180): the first line names the columns.
//!
//! A cell that is empty is null; one that starts with `[` or `{` and is JSON is that list or object; any
//! other is text. A name with a dot (`scope.systems`) is a dotted path as everywhere.

use serde_json::{Map, Value};

use super::table::Fault;

/// Columns that a table may have.
const COLUMNS_MAX: usize = 1_000;

/// Reads the rows as objects, each with the line that it begins in, from 1.
pub(super) fn rows(text: &str) -> Result<Vec<(usize, Value)>, Fault> {
    let mut lines = Lines {
        rest: text.trim_start_matches('\u{feff}'),
        line: 1,
    };
    let Some(header) = lines.next_line()? else {
        return Ok(vec![]);
    };
    if header.len() > COLUMNS_MAX {
        return Err(Fault::Columns {
            given: header.len(),
            limit: COLUMNS_MAX,
        });
    }
    let mut rows = Vec::new();
    loop {
        let line = lines.line;
        let Some(cells) = lines.next_line()? else {
            return Ok(rows);
        };
        if cells.len() == 1 && cells[0].is_empty() {
            continue;
        }
        if cells.len() != header.len() {
            return Err(Fault::Cells {
                line,
                given: cells.len(),
                wanted: header.len(),
            });
        }
        let row: Map<String, Value> = header
            .iter()
            .map(|h| h.trim().to_owned())
            .zip(cells.into_iter().map(cell))
            .collect();
        rows.push((line, Value::Object(row)));
    }
}

fn cell(text: String) -> Value {
    if text.is_empty() {
        return Value::Null;
    }
    if text.starts_with(['[', '{'])
        && let Ok(value) = serde_json::from_str(&text)
    {
        return value;
    }
    Value::String(text)
}

struct Lines<'t> {
    rest: &'t str,
    line: usize,
}

impl Lines<'_> {
    /// The cells of the next line; `None` at the end.
    fn next_line(&mut self) -> Result<Option<Vec<String>>, Fault> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let mut cells = Vec::new();
        loop {
            let text = match self.rest.strip_prefix('"') {
                Some(_) => self.quoted()?,
                None => {
                    let end = self.rest.find([',', '\n']).unwrap_or(self.rest.len());
                    let text = self.rest[..end].trim_end_matches('\r').to_owned();
                    self.rest = &self.rest[end..];
                    text
                }
            };
            cells.push(text);
            if let Some(rest) = self.rest.strip_prefix(',') {
                self.rest = rest;
                continue;
            }
            let rest = self.rest.strip_prefix('\r').unwrap_or(self.rest);
            self.line += 1;
            match rest.strip_prefix('\n') {
                Some(rest) => self.rest = rest,
                None if rest.is_empty() => self.rest = rest,
                None => return Err(Fault::Quote { line: self.line - 1 }),
            }
            return Ok(Some(cells));
        }
    }

    fn quoted(&mut self) -> Result<String, Fault> {
        let started = self.line;
        let mut text = String::new();
        self.rest = &self.rest[1..];
        loop {
            let end = self.rest.find('"').ok_or(Fault::Quote { line: started })?;
            text.push_str(&self.rest[..end]);
            self.line += self.rest[..end].matches('\n').count();
            self.rest = &self.rest[end + 1..];
            match self.rest.strip_prefix('"') {
                Some(rest) => {
                    text.push('"');
                    self.rest = rest;
                }
                None => return Ok(text),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn quotes_lists_and_empty_cells() {
        let text = "\u{feff}id,names,note\r\n1,\"[\"\"a\"\",\"\"b\"\"]\",\"x, \"\"y\"\"\nz\"\r\n2,,plain\n\n";
        let want = [
            (2, json!({"id": "1", "names": ["a", "b"], "note": "x, \"y\"\nz"})),
            (4, json!({"id": "2", "names": null, "note": "plain"})),
        ];
        assert_eq!(rows(text).unwrap(), want);
        assert_eq!(rows("").unwrap(), []);
    }

    #[test]
    fn what_is_wrong_names_its_line() {
        for (text, want) in [
            ("a,b\n1\n", "line 2 has 1 cells, the first line names 2"),
            ("a\n\"x", "line 2: a quote is not closed, or text follows it"),
            ("a\n\"x\"y\n", "line 2: a quote is not closed, or text follows it"),
        ] {
            assert_eq!(rows(text).unwrap_err().to_string(), want);
        }
    }
}
