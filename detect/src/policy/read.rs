//! References, durations, values and conditions, read from YAML.

use std::sync::Arc;

use ipnet::IpNet;
use model::{Millis, Namespace};
use regex::Regex;

use super::{Condition, EventField, Literal, Message, MessagePart, Op, Reference, Root, Subject, Test, Value};
use crate::Problem;
use crate::report::{Report, nearest, unknown};
use crate::sigma::{Number, Pattern, address};
use crate::yaml::{Key, Kind, Node};

/// What a reference may point at where it stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    /// The names of `$event`'s fields; `None`: there is no event.
    pub event: Option<Namespace>,
    /// The aliases of earlier lookups.
    pub aliases: Vec<Arc<str>>,
    /// There is a `$row`.
    pub row: bool,
    /// There is a `{count}`.
    pub count: bool,
}

impl Scope {
    /// The same, with a row at hand.
    pub fn with_row(&self) -> Scope {
        Scope {
            row: true,
            ..self.clone()
        }
    }
}

const TEST_MODIFIERS: &[&str] = &[
    "contains",
    "startswith",
    "endswith",
    "re",
    "lt",
    "lte",
    "gt",
    "gte",
    "exists",
    "covers",
    "cidr",
    "has",
    "distinct",
];

/// `15m` in milliseconds; `None` where it is no duration.
pub(crate) fn duration_ms(text: &str) -> Option<i64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let number: i64 = text[..digits].parse().ok()?;
    let unit = match text[digits..].trim_start() {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "w" => 7 * 86_400_000,
        // Sigma's month and year are no fixed spans; these are what its converters take them for.
        "M" => 30 * 86_400_000,
        "y" => 365 * 86_400_000,
        _ => return None,
    };
    // A hundred years: beyond it sums of times could leave `i64`.
    number.checked_mul(unit).filter(|ms| *ms <= 100 * 366 * 86_400_000)
}

/// Reads a duration of more than nothing.
pub(crate) fn duration(report: &mut Report, node: &Node, key: &str) -> Option<i64> {
    let ms = node.scalar().and_then(|t| duration_ms(&t));
    if ms.is_none_or(|ms| ms == 0) {
        report.shape(
            node,
            key,
            "a duration above 0: a number and ms, s, m, h, d or w (`15m`)",
        );
        return None;
    }
    ms
}

/// Reads a duration that may be nothing (`0s`).
pub(crate) fn duration_or_zero(report: &mut Report, node: &Node, key: &str) -> Option<i64> {
    let ms = node.scalar().and_then(|t| duration_ms(&t));
    if ms.is_none() {
        report.shape(node, key, "a duration: a number and ms, s, m, h, d or w (`60s`)");
    }
    ms
}

/// Reads what stands behind the `$`: `event.user.name`, `event.time + 2h`.
pub(crate) fn reference_text(text: &str, scope: &Scope) -> Result<Reference, Problem> {
    let wrong = |reason: &str| Problem::Value {
        key: format!("${text}"),
        reason: reason.to_owned(),
    };
    let (path, offset_ms) = match (text.rsplit_once(" + "), text.rsplit_once(" - ")) {
        (Some((path, d)), None) => (path, duration_ms(d)),
        (None, Some((path, d))) => (path, duration_ms(d).map(|ms| -ms)),
        (None, None) => (text, Some(0)),
        _ => return Err(wrong("one duration can be added or taken off, not several")),
    };
    let offset_ms = offset_ms.ok_or_else(|| wrong("what is added or taken off has to be a duration (`2h`)"))?;
    let path = path.trim();
    if path == "count" && scope.count {
        return Ok(Reference {
            root: Root::Count,
            offset_ms: 0,
        });
    }
    let Some((root, column)) = path.split_once('.').filter(|(r, c)| !r.is_empty() && !c.is_empty()) else {
        return Err(wrong(
            "a reference is `$event.<field>`, `$row.<column>` or `$<alias>.<column>`",
        ));
    };
    let root = match root {
        "event" => match (scope.event, column) {
            (None, _) => return Err(wrong("there is no event here")),
            (_, "time") => Root::EventTime,
            (_, "received_at") => Root::EventReceivedAt,
            (Some(namespace), field) => Root::Event(EventField::new(namespace, field)),
        },
        "row" if scope.row => Root::Row { column: column.into() },
        "row" => return Err(wrong("there is no row here; it is for `where`")),
        alias => match scope.aliases.iter().find(|a| &***a == alias) {
            Some(alias) => Root::Alias {
                alias: alias.clone(),
                column: column.into(),
            },
            None => {
                let known = scope.aliases.iter().map(|a| &**a).chain(scope.event.map(|_| "event"));
                let nearest = nearest(alias, known.chain(scope.row.then_some("row")));
                return Err(Problem::Dangling {
                    what: "alias of an earlier lookup",
                    given: alias.to_owned(),
                    nearest,
                });
            }
        },
    };
    Ok(Reference { root, offset_ms })
}

/// Reads `$…`; anything else is reported.
pub(crate) fn reference(report: &mut Report, node: &Node, key: &str, scope: &Scope) -> Option<Reference> {
    let text = node.scalar().unwrap_or_default();
    match text
        .strip_prefix('$')
        .filter(|t| !t.starts_with('$'))
        .map(|t| reference_text(t, scope))
    {
        Some(Ok(reference)) => Some(reference),
        Some(Err(problem)) => {
            report.at(node, problem);
            None
        }
        None => {
            report.shape(node, key, "a reference, which starts with `$` (`$event.user.name`)");
            None
        }
    }
}

/// One reference or a list of them.
pub(crate) fn references(report: &mut Report, node: &Node, key: &str, scope: &Scope) -> Vec<Reference> {
    node.one_or_many()
        .iter()
        .filter_map(|n| reference(report, n, key, scope))
        .collect()
}

/// Reads a value: a reference or a literal.
pub(crate) fn value(report: &mut Report, node: &Node, key: &str, scope: &Scope) -> Option<Value> {
    let literal = match &node.kind {
        Kind::Null => Literal::Null,
        Kind::Bool(b) => Literal::Bool(*b),
        Kind::Number(n, _) => Literal::Number(*n),
        Kind::Text(text) => match text.strip_prefix('$') {
            Some(rest) if !rest.starts_with('$') => {
                return reference(report, node, key, scope).map(Value::Reference);
            }
            stripped => {
                let raw = stripped.unwrap_or(text).to_owned();
                Literal::Text {
                    pattern: Pattern::parse(&raw),
                    raw,
                }
            }
        },
        Kind::List(_) | Kind::Map(_) => {
            report.shape(node, key, "text, a number, a boolean, null or a reference");
            return None;
        }
    };
    Some(Value::Literal(literal))
}

/// Reads the map of a `where` or a `when`: all its items have to hold.
pub(crate) fn condition(report: &mut Report, node: &Node, key: &str, scope: &Scope) -> Option<Condition> {
    let Some(items) = node.map() else {
        report.shape(node, key, "a map of `column|modifier: value`");
        return None;
    };
    let read: Vec<Option<Condition>> = items.iter().map(|(k, v)| item(report, k, v, scope)).collect();
    let mut all = read.into_iter().collect::<Option<Vec<_>>>()?;
    Some(if all.len() == 1 {
        all.swap_remove(0)
    } else {
        Condition::All(all)
    })
}

fn item(report: &mut Report, key: &Key, node: &Node, scope: &Scope) -> Option<Condition> {
    let mut maps = |report: &mut Report| {
        let maps: Vec<_> = node
            .one_or_many()
            .iter()
            .map(|n| condition(report, n, &key.text, scope))
            .collect();
        if maps.is_empty() {
            report.shape(node, &key.text, "a map or a list of maps");
            return None;
        }
        maps.into_iter().collect::<Option<Vec<_>>>()
    };
    match key.text.as_str() {
        "any" => return Some(Condition::Any(maps(report)?)),
        "all" => return Some(Condition::All(maps(report)?)),
        "none" => return Some(Condition::None(maps(report)?)),
        _ => {}
    }
    let mut words = key.text.split('|').map(str::trim);
    let name = words.next().unwrap_or_default();
    let subject = match name.strip_prefix('$') {
        Some(text) => match reference_text(text, scope) {
            Ok(reference) => Subject::Reference(reference),
            Err(problem) => {
                report.at_key(key, problem);
                return None;
            }
        },
        None if name.is_empty() => {
            report.at_key(
                key,
                Problem::Missing {
                    key: "column".to_owned(),
                    why: "a test looks at one".to_owned(),
                },
            );
            return None;
        }
        None if !scope.row => {
            let reason = "there is no row here; a key has to be a reference (`$event.user.name`)".to_owned();
            report.at_key(
                key,
                Problem::Value {
                    key: name.to_owned(),
                    reason,
                },
            );
            return None;
        }
        None => Subject::Column(name.into()),
    };
    let modifier = words.next();
    if let Some(second) = words.next() {
        let reason = match (modifier, second) {
            (Some("has"), "distinct") => "is not there yet".to_owned(),
            _ => "is a second modifier; a test takes one".to_owned(),
        };
        report.at_key(
            key,
            Problem::Modifier {
                given: second.to_owned(),
                reason,
            },
        );
        return None;
    }
    let op = op(report, key, modifier, node, scope)?;
    Some(Condition::Test(Test { subject, op }))
}

fn op(report: &mut Report, key: &Key, modifier: Option<&str>, node: &Node, scope: &Scope) -> Option<Op> {
    let name = key.text.as_str();
    Some(match modifier {
        Some("exists") => Op::Exists(report.bool(node, name)?),
        Some("has") => {
            let row = scope.with_row();
            let maps: Vec<_> = node
                .one_or_many()
                .iter()
                .map(|n| condition(report, n, name, &row))
                .collect();
            if maps.is_empty() {
                report.shape(node, name, "a list of maps");
                return None;
            }
            Op::Has(maps.into_iter().collect::<Option<Vec<_>>>()?)
        }
        Some("re") => {
            let mut all = Vec::new();
            for n in node.one_or_many() {
                let text = report.text(n, name)?;
                match Regex::new(&text) {
                    Ok(regex) => all.push(regex),
                    Err(e) => {
                        let reason = e.to_string().lines().last().unwrap_or_default().to_owned();
                        report.at(n, Problem::Regex { given: text, reason });
                        return None;
                    }
                }
            }
            Op::Re(all)
        }
        Some("distinct") => {
            let reason = "goes behind `has`, and is not there yet".to_owned();
            report.at_key(
                key,
                Problem::Modifier {
                    given: "distinct".to_owned(),
                    reason,
                },
            );
            return None;
        }
        None => Op::Equals(values(report, name, node, scope, &|_| true, "")?),
        Some("contains") => Op::Contains(values(report, name, node, scope, &is_text, "text")?),
        Some("startswith") => Op::StartsWith(values(report, name, node, scope, &is_text, "text")?),
        Some("endswith") => Op::EndsWith(values(report, name, node, scope, &is_text, "text")?),
        Some("covers") => Op::Covers(values(report, name, node, scope, &is_address, "an address")?),
        Some("cidr") => Op::Cidr(values(report, name, node, scope, &is_net, "a CIDR or an address")?),
        Some(word @ ("lt" | "lte" | "gt" | "gte")) => {
            let values = values(report, name, node, scope, &is_ordered, "a number or a time")?;
            match word {
                "lt" => Op::Lt(values),
                "lte" => Op::Lte(values),
                "gt" => Op::Gt(values),
                _ => Op::Gte(values),
            }
        }
        Some(word) => {
            report.at_key(key, unknown("modifier", word, TEST_MODIFIERS));
            return None;
        }
    })
}

fn values(
    report: &mut Report,
    key: &str,
    node: &Node,
    scope: &Scope,
    fits: &dyn Fn(&Literal) -> bool,
    allowed: &str,
) -> Option<Vec<Value>> {
    let nodes = match &node.kind {
        Kind::List(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    if nodes.is_empty() {
        report.shape(node, key, "a value or a list of values");
        return None;
    }
    let mut out = Vec::with_capacity(nodes.len());
    for n in nodes {
        let value = value(report, n, key, scope)?;
        if let Value::Literal(literal) = &value
            && !fits(literal)
        {
            report.shape(n, key, allowed);
            return None;
        }
        out.push(value);
    }
    Some(out)
}

fn is_text(literal: &Literal) -> bool {
    !matches!(literal, Literal::Null)
}

fn is_address(literal: &Literal) -> bool {
    matches!(literal, Literal::Text { raw, .. } if address(raw).is_some())
}

fn is_net(literal: &Literal) -> bool {
    matches!(literal, Literal::Text { raw, .. } if raw.parse::<IpNet>().is_ok() || address(raw).is_some())
}

fn is_ordered(literal: &Literal) -> bool {
    match literal {
        Literal::Number(_) => true,
        Literal::Text { raw, .. } => {
            Number::parse(raw).is_some() || Millis::parse(raw).is_ok() || raw.parse::<jiff::civil::Date>().is_ok()
        }
        Literal::Bool(_) | Literal::Null => false,
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, ms) in [
            ("60s", Some(60_000)),
            ("15m", Some(900_000)),
            ("250ms", Some(250)),
            ("7d", Some(604_800_000)),
            ("0s", Some(0)),
            ("1 h", Some(3_600_000)),
            ("1", None),
            ("h", None),
            ("-1s", None),
            ("1.5h", None),
            ("99999999999999y", None),
        ] {
            assert_eq!(duration_ms(text), ms, "{text}");
        }
    }

    #[test]
    fn references_read_back_or_say_why_not() {
        let scope = Scope {
            event: Some(Namespace::Ocsf),
            aliases: vec!["account".into()],
            row: false,
            count: false,
        };
        for (text, expected) in [
            ("event.user.name", "event.user.name"),
            ("event.time + 2h", "event.time + 7200000ms"),
            ("event.time - 60s", "event.time - 60000ms"),
            ("account.owner-id", "account.owner-id"),
            (
                "acount.owner",
                "there is no alias of an earlier lookup `acount`; did you mean `account`?",
            ),
            (
                "evnt.user",
                "there is no alias of an earlier lookup `evnt`; did you mean `event`?",
            ),
            ("row.x", "`$row.x`: there is no row here; it is for `where`"),
            (
                "account",
                "`$account`: a reference is `$event.<field>`, `$row.<column>` or `$<alias>.<column>`",
            ),
            (
                "event.time + x",
                "`$event.time + x`: what is added or taken off has to be a duration (`2h`)",
            ),
        ] {
            let read = reference_text(text, &scope).map_or_else(|e| e.to_string(), |r| r.to_string());
            assert_eq!(read, expected, "{text}");
        }
    }
}
