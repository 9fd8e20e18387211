//! The body of an Elasticsearch bulk request: an action a line, and the document of it on the next.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::body::BodyError;
use super::held::{Held, RECORD_COST_BYTES};

/// Items that a request may hold.
const ITEMS_MAX: usize = 50_000;
/// Bytes of an index's name or a document's id.
const NAME_BYTES_MAX: usize = 512;
/// Bytes that one item costs beside its document: action, result and answer.
const ITEM_COST_BYTES: usize = 4 * RECORD_COST_BYTES;

/// One item as asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// `index`, `create`, `update` or `delete`.
    pub operation: &'static str,
    /// The index, of the action or else of the path.
    pub index: Option<String>,
    /// The document's id, where the shipper gives one.
    pub id: Option<String>,
    /// The document, as it stands.
    pub document: Option<Bytes>,
}

/// A line that should be an action is none. Which of the following lines are documents nobody can say, so nothing of
/// the request is kept.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("Malformed action/metadata line [{line}]: {found}; give {{\"create\":{{\"_index\":\"…\"}}}}; nothing was kept")]
pub struct Malformed {
    /// Which line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub found: String,
}

#[derive(Deserialize)]
struct Line {
    index: Option<Meta>,
    create: Option<Meta>,
    update: Option<Meta>,
    delete: Option<Meta>,
}

#[derive(Deserialize)]
struct Meta {
    _index: Option<String>,
    /// Text, or a number from some shippers.
    _id: Option<Value>,
}

/// Parts a body into items.
///
/// # Errors
/// [`BodyError`]: too many, or no room. Inside: [`Malformed`].
pub fn parse(
    body: &Bytes,
    path_index: Option<&str>,
    held: &mut Held,
) -> Result<Result<Vec<Action>, Malformed>, BodyError> {
    let mut actions = Vec::new();
    let mut lines = Lines { body, at: 0, number: 0 };
    while let Some(line) = lines.next() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        if actions.len() >= ITEMS_MAX {
            return Err(BodyError::TooMany { limit: ITEMS_MAX });
        }
        held.grow(ITEM_COST_BYTES)?;
        let mut action = match action(&line, path_index) {
            Ok(action) => action,
            Err(found) => {
                return Ok(Err(Malformed {
                    line: lines.number,
                    found,
                }));
            }
        };
        if action.operation != "delete" {
            action.document = lines.next().filter(|d| !d.trim_ascii().is_empty());
        }
        actions.push(action);
    }
    Ok(Ok(actions))
}

fn action(line: &[u8], path_index: Option<&str>) -> Result<Action, String> {
    let parsed: Line = serde_json::from_slice(line).map_err(|e| e.to_string())?;
    let operations = [
        ("index", parsed.index),
        ("create", parsed.create),
        ("update", parsed.update),
        ("delete", parsed.delete),
    ];
    let mut asked = operations.into_iter().filter_map(|(name, meta)| Some((name, meta?)));
    let (Some((operation, meta)), None) = (asked.next(), asked.next()) else {
        return Err("not one of index, create, update, delete".to_owned());
    };
    let index = meta._index.or_else(|| path_index.map(str::to_owned));
    let id = meta._id.and_then(|id| match id {
        Value::String(id) => Some(id),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    });
    for name in index.iter().chain(&id) {
        if name.len() > NAME_BYTES_MAX {
            return Err(format!("a name of {} bytes, at most {NAME_BYTES_MAX}", name.len()));
        }
    }
    Ok(Action {
        operation,
        index,
        id,
        document: None,
    })
}

struct Lines<'a> {
    body: &'a Bytes,
    at: usize,
    number: usize,
}

impl Iterator for Lines<'_> {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.at >= self.body.len() {
            return None;
        }
        let rest = &self.body[self.at..];
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
        let line = self.body.slice(self.at..self.at + line.len());
        self.at += end + 1;
        self.number += 1;
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::super::held::Budget;
    use super::*;

    fn check(body: &str) -> Result<Vec<String>, usize> {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let parsed = parse(&body, Some("path"), &mut Budget::new(1 << 20).share()).unwrap();
        let shown = |a: Action| {
            let document = a.document.map(|d| String::from_utf8_lossy(&d).into_owned());
            let [index, id, document] = [a.index, a.id, document].map(|t| t.unwrap_or("-".into()));
            format!("{} {index} {id} {document}", a.operation)
        };
        parsed
            .map(|actions| actions.into_iter().map(shown).collect())
            .map_err(|m| m.line)
    }

    #[test]
    fn actions_and_documents_alternate() {
        let body = "{\"create\":{\"_index\":\"a\",\"_type\":\"_doc\"}}\n{\"x\": 1}\r\n\n{\"index\":{\"_id\":7}}\nnot json\n\
                    {\"delete\":{\"_id\":\"d\"}}\n{\"create\":{}}\n\n{\"update\":{}}\n{}\n{\"create\":{}}";
        assert_eq!(
            check(body).unwrap(),
            [
                "create a - {\"x\": 1}",
                "index path 7 not json",
                "delete path d -",
                "create path - -",
                "update path - {}",
                "create path - -"
            ]
        );
        assert_eq!(check("").unwrap(), [""; 0]);
    }

    #[test]
    fn a_line_that_is_no_action_is_told() {
        assert_eq!(check("{\"create\":{}}\n{}\n{\"a\":1}\n"), Err(3));
        assert_eq!(check("{\"create\":{},\"index\":{}}\n{}\n"), Err(1));
        assert_eq!(check("[[[\n"), Err(1));
        let long = format!("{{\"create\":{{\"_index\":\"{}\"}}}}", "x".repeat(600));
        assert_eq!(check(&long), Err(1));
    }
}
