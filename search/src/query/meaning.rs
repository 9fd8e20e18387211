//! What a written value means to the field that it is given to.

use std::ops::Bound;

use model::Millis;

use super::ast::{Target, Test};
use super::error::shown;
use super::field::{self, Kind, SEVERITIES};
use super::pattern::folded as folded_part;
use super::{PATTERN_CHARS_MAX, Problem, QueryError, TextPattern, class, value};
use crate::document::address;
use crate::keyword::{Glob, bounded, folded};
use crate::unmapped;

type Result<T> = std::result::Result<T, QueryError>;

/// A value as written.
pub(super) struct Written {
    /// Where it starts.
    pub(super) at: usize,
    /// As characters and wildcards; of a quoted one, characters only.
    pub(super) parts: Vec<Glob>,
}

impl Written {
    fn is_wild(&self) -> bool {
        self.parts.iter().any(|p| !matches!(p, Glob::Char(_)))
    }

    /// The text, wildcards as they were written.
    pub(super) fn text(&self) -> String {
        let char = |p: &Glob| match p {
            Glob::Char(c) => *c,
            Glob::Any => '?',
            Glob::Many => '*',
        };
        self.parts.iter().map(char).collect()
    }
}

/// How the end of a range or a comparison holds.
pub(super) enum Ends {
    From(bool),
    To(bool),
}

/// A range that is open at one end.
pub(super) fn half(target: &Target, written: &Written, ends: &Ends, now: Option<Millis>) -> Result<Test> {
    let text = written.text();
    let bound = |n| match ends {
        Ends::From(true) | Ends::To(true) => Bound::Included(n),
        Ends::From(false) | Ends::To(false) => Bound::Excluded(n),
    };
    let from = matches!(ends, Ends::From(_));
    let number = |n: u64| match from {
        true => Test::Number(bound(n), Bound::Unbounded),
        false => Test::Number(Bound::Unbounded, bound(n)),
    };
    let wrong = |allowed| wrong(written, allowed);
    match target {
        Target::Unmapped(_) => {
            let n = unmapped::number(&text).ok_or_else(|| wrong("a number"))?;
            let bound = match ends {
                Ends::From(true) | Ends::To(true) => Bound::Included(n),
                _ => Bound::Excluded(n),
            };
            Ok(if from {
                Test::Float(bound, Bound::Unbounded)
            } else {
                Test::Float(Bound::Unbounded, bound)
            })
        }
        Target::Field(spec) => match spec.kind {
            Kind::Number(_) => text.parse().map(number).map_err(|_| wrong("a whole number")),
            Kind::Severity => severity(&text).map(number).ok_or_else(|| wrong(SEVERITY)),
            Kind::Time(_) => {
                let (first, last) = value::moment(&text, now).ok_or_else(|| wrong(value::TIMES))?;
                Ok(match ends {
                    Ends::From(true) => Test::Time(first, i64::MAX),
                    Ends::From(false) => Test::Time(last.saturating_add(1), i64::MAX),
                    Ends::To(true) => Test::Time(i64::MIN, last),
                    Ends::To(false) => Test::Time(i64::MIN, first.saturating_sub(1)),
                })
            }
            Kind::Address(..) => {
                let (first, last) = address(&text)
                    .map(|a| (a, a))
                    .or_else(|| value::network(&text))
                    .ok_or_else(|| wrong("an address"))?;
                let (lowest, highest) = (0.into(), u128::MAX.into());
                Ok(match ends {
                    Ends::From(true) => Test::Network(first, highest),
                    Ends::From(false) => Test::Network(last.to_bits().saturating_add(1).into(), highest),
                    Ends::To(true) => Test::Network(lowest, last),
                    Ends::To(false) => Test::Network(lowest, first.to_bits().saturating_sub(1).into()),
                })
            }
            _ => {
                let problem = Problem::NotAllowed {
                    field: spec.name.to_owned(),
                    what: "range",
                };
                Err(QueryError::new(written.at, problem))
            }
        },
    }
}

/// A word or a phrase, as the field understands it.
pub(super) fn test(target: &Target, written: &Written, now: Option<Millis>) -> Result<Test> {
    if written.is_wild() && written.parts.len() > PATTERN_CHARS_MAX {
        let given = written.parts.len();
        let problem = Problem::TooMuch {
            given,
            what: "characters of a pattern",
            limit: PATTERN_CHARS_MAX,
        };
        return Err(QueryError::new(written.at, problem));
    }
    let text = written.text();
    let wrong = |allowed| wrong(written, allowed);
    let only_many = written.is_wild() && written.parts.iter().all(|p| *p == Glob::Many);
    if only_many {
        return Ok(Test::Exists);
    }
    let keyword = || match written.is_wild() {
        true => Test::Like(written.parts.iter().flat_map(|p| folded_part(*p)).collect()),
        false => Test::Is(folded(&bounded(&text))),
    };
    let one = |n| Test::Number(Bound::Included(n), Bound::Included(n));
    let spec = match target {
        Target::Unmapped(_) => return Ok(keyword()),
        Target::Field(spec) => spec,
    };
    let not_wild = |what| Problem::NotAllowed {
        field: spec.name.to_owned(),
        what,
    };
    let takes_patterns = matches!(spec.kind, Kind::Keyword(_) | Kind::Text(_) | Kind::Address(..));
    if written.is_wild() && !takes_patterns {
        return Err(QueryError::new(written.at, not_wild("wildcards")));
    }
    match &spec.kind {
        Kind::Keyword(_) => Ok(keyword()),
        Kind::Text(_) => {
            let many = written.parts.contains(&Glob::Many);
            let pattern = if many {
                TextPattern::wild(&written.parts)
            } else {
                TextPattern::phrase(&text)
            };
            let none = || QueryError::new(written.at, Problem::NoWord(shown(&text)));
            pattern.map(Test::Text).ok_or_else(none)
        }
        Kind::Address(..) if written.is_wild() => Ok(keyword()),
        Kind::Address(..) => match (address(&text), value::network(&text)) {
            (Some(a), _) => Ok(Test::Is(canonical(a))),
            (None, Some((first, last))) => Ok(Test::Network(first, last)),
            (None, None) if text.contains('/') => Err(wrong("a network; write 10.8.0.0/16")),
            (None, None) => Ok(keyword()),
        },
        Kind::Number(_) => text.parse().map(one).map_err(|_| wrong("a whole number")),
        Kind::Severity => severity(&text).map(one).ok_or_else(|| wrong(SEVERITY)),
        Kind::Class => class::find(&text).map(|uid| one(u64::from(uid))).ok_or_else(|| {
            let near = field::nearest(&class::plain(&text), class::names()).map(|n| format!("did you mean `\"{n}\"`?"));
            wrong("an OCSF class, by uid or name").suggest(near)
        }),
        Kind::Time(_) => {
            let (first, last) = value::moment(&text, now).ok_or_else(|| wrong(value::TIMES))?;
            Ok(Test::Time(first, last))
        }
        Kind::Record | Kind::Person => Ok(Test::Is(text)),
    }
}

/// Text that is looked for as it stands.
pub(super) fn holds(target: &Target, written: &Written) -> Result<Test> {
    let text = folded(&written.text());
    let within = || {
        let inner = text.chars().map(Glob::Char);
        Test::Like(std::iter::once(Glob::Many).chain(inner).chain([Glob::Many]).collect())
    };
    if written.parts.len() > PATTERN_CHARS_MAX {
        let problem = Problem::TooMuch {
            given: written.parts.len(),
            what: "characters after `~`",
            limit: PATTERN_CHARS_MAX,
        };
        return Err(QueryError::new(written.at, problem));
    }
    match target {
        _ if text.is_empty() => Err(wrong(written, "text to look for")),
        Target::Unmapped(_) => Ok(within()),
        Target::Field(spec) => match spec.kind {
            Kind::Keyword(_) | Kind::Address(..) => Ok(within()),
            Kind::Text(_) => Ok(Test::Holds(text)),
            _ => Err(not_allowed(target, written.at, "`~`")),
        },
    }
}

/// A field that does not take something.
pub(super) fn not_allowed(target: &Target, at: usize, what: &'static str) -> QueryError {
    let field = match target {
        Target::Field(spec) => spec.name.to_owned(),
        Target::Unmapped(path) => format!("unmapped.{path}"),
    };
    QueryError::new(at, Problem::NotAllowed { field, what })
}

const SEVERITY: &str = "a severity; write informational, low, medium, high, critical, fatal, or 0 to 6";

fn severity(text: &str) -> Option<u64> {
    text.parse().ok().or_else(|| {
        SEVERITIES
            .iter()
            .find(|(_, n)| n.eq_ignore_ascii_case(text))
            .map(|(id, _)| *id)
    })
}

fn wrong(written: &Written, allowed: &'static str) -> QueryError {
    QueryError::new(
        written.at,
        Problem::Value {
            value: shown(&written.text()),
            allowed,
        },
    )
}

/// An address as the keyword field has it.
pub(crate) fn canonical(address: std::net::Ipv6Addr) -> String {
    std::net::IpAddr::V6(address).to_canonical().to_string()
}

/// Two half ranges as one.
pub(super) fn both(low: Test, high: Test) -> Test {
    match (low, high) {
        (Test::Number(a, _), Test::Number(_, b)) => Test::Number(a, b),
        (Test::Float(a, _), Test::Float(_, b)) => Test::Float(a, b),
        (Test::Time(a, _), Test::Time(_, b)) => Test::Time(a, b),
        (Test::Network(a, _), Test::Network(_, b)) => Test::Network(a, b),
        // Both halves are of one field, so of one kind.
        (low, _) => low,
    }
}
