//! `message`, read from YAML.

use super::super::{Message, MessagePart};
use super::reference::{Scope, reference_text};
use crate::Problem;
use crate::report::Report;
use crate::yaml::Node;

/// Reads `{reference|$another|default}` in a text; `{{` and `}}` stand for braces.
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
        match alternatives(inner, scope) {
            Ok(value) => {
                if !plain.is_empty() {
                    parts.push(MessagePart::Text(std::mem::take(&mut plain)));
                }
                parts.push(value);
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

/// What stands between the braces.
fn alternatives(inner: &str, scope: &Scope) -> Result<MessagePart, Problem> {
    let (first, mut rest) = inner
        .split_once('|')
        .map_or((inner, None), |(first, rest)| (first, Some(rest)));
    let mut references = vec![reference_text(first.trim().trim_start_matches('$'), scope)?];
    while let Some(another) = rest.and_then(|r| r.trim_start().strip_prefix('$')) {
        let (path, behind) = another
            .split_once('|')
            .map_or((another, None), |(path, behind)| (path, Some(behind)));
        references.push(reference_text(path.trim(), scope)?);
        rest = behind;
    }
    Ok(MessagePart::Value {
        references,
        default: rest.map(|default| default.trim().to_owned()),
    })
}
