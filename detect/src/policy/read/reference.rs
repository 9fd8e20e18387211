//! References, durations and values, read from YAML.

use std::sync::Arc;

use model::Namespace;

use super::super::{EventField, Literal, Reference, Root, Value};
use crate::Problem;
use crate::report::{Report, nearest};
use crate::sigma::Pattern;
use crate::yaml::{Kind, Node};

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
    /// The aliases are those of the rules whose events a correlation takes, and what they found stands with the event.
    pub joined: bool,
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

/// What may be added to a number.
const PLUS_MAX: i64 = 1_000_000;
/// Working days that may be added at once.
const WORKING_DAYS_MAX: i32 = 1_000;

/// `15m` in milliseconds; `None` where it is no duration.
pub fn duration_ms(text: &str) -> Option<i64> {
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

/// `5wd`: working days; `None` where it is anything else.
fn working_days(text: &str) -> Option<i32> {
    let days: i32 = text.trim().strip_suffix("wd")?.trim_end().parse().ok()?;
    (1..=WORKING_DAYS_MAX).contains(&days).then_some(days)
}

/// `1`: what is added to a number; `None` where it is anything else.
fn whole_number(text: &str) -> Option<i64> {
    let number: i64 = text.trim().parse().ok()?;
    (1..=PLUS_MAX).contains(&number).then_some(number)
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
    let (path, given, sign) = match (text.rsplit_once(" + "), text.rsplit_once(" - ")) {
        (Some((path, d)), None) => (path, Some(d), 1),
        (None, Some((path, d))) => (path, Some(d), -1),
        (None, None) => (text, None, 1),
        _ => return Err(wrong("one duration can be added or taken off, not several")),
    };
    let working_days = given.and_then(working_days).unwrap_or(0) * sign as i32;
    let plus = given.and_then(whole_number).unwrap_or(0) * sign;
    let offset_ms = match given {
        Some(d) if working_days == 0 && plus == 0 => duration_ms(d).map(|ms| sign * ms),
        _ => Some(0),
    };
    let offset_ms = offset_ms.ok_or_else(|| {
        wrong("what is added or taken off has to be a duration (`2h`), working days (`5wd`) or a whole number (`1`)")
    })?;
    let path = path.trim();
    if path == "count" && scope.count {
        return Ok(Reference {
            root: Root::Count,
            offset_ms: 0,
            working_days: 0,
            plus: 0,
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
            Some(alias) if scope.joined => {
                let namespace = scope.event.unwrap_or(Namespace::Ocsf);
                Root::Event(EventField::joined(namespace, alias, column))
            }
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
    Ok(Reference {
        root,
        offset_ms,
        working_days,
        plus,
    })
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
            joined: false,
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
                "`$event.time + x`: what is added or taken off has to be a duration (`2h`), working days (`5wd`) or a whole number (`1`)",
            ),
            ("event.time + 5wd", "event.time + 5wd"),
            ("event.user.uid - 1", "event.user.uid - 1"),
            ("account.number + 10", "account.number + 10"),
            ("event.time - 1wd", "event.time - 1wd"),
            (
                "event.time + 0wd",
                "`$event.time + 0wd`: what is added or taken off has to be a duration (`2h`), working days (`5wd`) or a whole number (`1`)",
            ),
        ] {
            let read = reference_text(text, &scope).map_or_else(|e| e.to_string(), |r| r.to_string());
            assert_eq!(read, expected, "{text}");
        }
    }
}
