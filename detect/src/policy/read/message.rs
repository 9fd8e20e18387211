//! `message`, read from YAML.

use super::super::{Message, MessagePart};
use super::reference::{Scope, reference_text};
use crate::Problem;
use crate::report::Report;
use crate::yaml::Node;

/// Reads `{reference|default}` in a text; `{{` and `}}` stand for braces.
pub(crate) fn message(report: &mut Report, node: &Node, scope: &Scope) -> Option<Message> {
    let text = report.text(node, "message")?;
    let wrong = |reason: &str| Problem::Value {
        key: "message".to_owned(),
        reason: reason.to_owned(),
    };
    let mut parts = Vec::new();
    let mut plain = String::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find(['{', '}']) {
        plain.push_str(&rest[..at]);
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(brace) {
            plain.push_str(brace);
            rest = after;
            continue;
        }
        let Some((inner, after)) = (brace == "{").then(|| rest.split_once('}')).flatten() else {
            report.at(node, wrong("a brace without its partner; `{{` and `}}` write braces"));
            return None;
        };
        let (path, default) = match inner.split_once('|') {
            Some((path, default)) => (path, Some(default.trim().to_owned())),
            None => (inner, None),
        };
        match reference_text(path.trim().trim_start_matches('$'), scope) {
            Ok(reference) => {
                if !plain.is_empty() {
                    parts.push(MessagePart::Text(std::mem::take(&mut plain)));
                }
                parts.push(MessagePart::Value { reference, default });
            }
            Err(problem) => {
                report.at(node, problem);
                return None;
            }
        }
        rest = after;
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        parts.push(MessagePart::Text(plain));
    }
    Some(Message(parts))
}
