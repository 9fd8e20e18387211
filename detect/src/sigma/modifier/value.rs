//! One value of an item, as its modifiers say → [`Match`]es.

use ipnet::IpNet;
use regex::Regex;

use super::{Modifiers, Placeholders, ValueKind};
use crate::Problem;
use crate::sigma::encode::{dashes, encode, expand};
use crate::sigma::{Compare, End, Match, Number, Pattern, address};
use crate::yaml::{Kind, Node};

/// One value's matches, and the placeholders that had no values.
pub(super) struct Matches {
    pub(super) matches: Vec<Match>,
    pub(super) missing: Vec<String>,
}

/// Why a value is none.
pub(in crate::sigma) enum Wrong {
    Shape(&'static str),
    Problem(Problem),
}

impl From<Match> for Matches {
    fn from(m: Match) -> Matches {
        Matches {
            matches: vec![m],
            missing: Vec::new(),
        }
    }
}

/// What a value matches, as the modifiers say.
pub(super) fn matches(
    m: &Modifiers,
    keyword: bool,
    value: &Node,
    placeholders: &Placeholders,
) -> Result<Matches, Wrong> {
    if keyword && (m.part.is_some() || matches!(m.kind, Some(ValueKind::Exists | ValueKind::FieldRef))) {
        return Err(Wrong::Shape("behind the name of a field"));
    }
    let number = |n: &Node| match &n.kind {
        Kind::Number(number, _) => Ok(*number),
        // Quoted numbers are common, and can mean nothing else here.
        Kind::Text(text) => Number::parse(text).ok_or(Wrong::Shape("a number")),
        _ => Err(Wrong::Shape("a number")),
    };
    if let Some(part) = m.part {
        let compare = match m.kind {
            Some(ValueKind::Compare(compare)) => compare,
            _ => Compare::Eq,
        };
        return Ok(Match::TimePart {
            part,
            compare,
            value: number(value)?,
        }
        .into());
    }
    match m.kind {
        Some(ValueKind::Exists) => match value.kind {
            Kind::Bool(b) => Ok(Match::Exists(b).into()),
            _ => Err(Wrong::Shape("true or false")),
        },
        Some(kind) if m.expand => {
            let raw = value.scalar().ok_or(Wrong::Shape("text"))?;
            let mut missing = Vec::new();
            let values = expand(
                &raw,
                placeholders,
                &mut missing,
                String::push_str,
                |out: &mut String, v| {
                    // In an expression a value stands for itself.
                    let v = if kind == ValueKind::Re {
                        regex::escape(v)
                    } else {
                        v.to_owned()
                    };
                    out.push_str(&v);
                },
            )?;
            let matches = values
                .iter()
                .map(|v| typed(m, kind, v))
                .collect::<Result<Vec<_>, _>>()?;
            Ok(Matches { matches, missing })
        }
        Some(ValueKind::Compare(compare)) => Ok(Match::Compare(compare, number(value)?).into()),
        Some(kind) => {
            let text = value.scalar().ok_or(Wrong::Shape(kind.shape()))?;
            typed(m, kind, &text).map(Matches::from)
        }
        None => text(m, keyword, value, placeholders),
    }
}

/// A value whose modifier says what it is.
fn typed(m: &Modifiers, kind: ValueKind, text: &str) -> Result<Match, Wrong> {
    let shape = Wrong::Shape(kind.shape());
    match kind {
        ValueKind::Compare(compare) => Number::parse(text).map(|n| Match::Compare(compare, n)).ok_or(shape),
        ValueKind::Re => {
            let [i, multi, s] = m.flags;
            // As inline flags, so that the expression's text is all of it.
            let flags: String = [(i, 'i'), (multi, 'm'), (s, 's')]
                .iter()
                .filter(|(on, _)| *on)
                .map(|(_, c)| c)
                .collect();
            let built = if flags.is_empty() {
                Regex::new(text)
            } else {
                Regex::new(&format!("(?{flags}){text}"))
            };
            built.map(Match::Regex).map_err(|e| {
                // Its last line says what is wrong; those before draw the place.
                let reason = e.to_string();
                let reason = reason
                    .lines()
                    .last()
                    .unwrap_or_default()
                    .trim_start_matches("error: ")
                    .to_owned();
                Wrong::Problem(Problem::Regex {
                    given: text.to_owned(),
                    reason,
                })
            })
        }
        ValueKind::Cidr => {
            let net = text.parse::<IpNet>().ok().or_else(|| address(text).map(IpNet::from));
            net.map(Match::Cidr).ok_or(shape)
        }
        ValueKind::FieldRef if text.is_empty() => Err(shape),
        ValueKind::FieldRef => Ok(Match::FieldRef {
            field: text.into(),
            end: m.end.unwrap_or(End::Whole),
            cased: m.cased,
        }),
        // Handled where the value is still a node.
        ValueKind::Exists => Err(shape),
    }
}

fn text(m: &Modifiers, keyword: bool, value: &Node, placeholders: &Placeholders) -> Result<Matches, Wrong> {
    let as_text = keyword || m.end.is_some() || m.windash || m.expand || !m.encodings.is_empty();
    let raw = match &value.kind {
        Kind::Null if !as_text => return Ok(Match::Null.into()),
        Kind::Bool(b) if !as_text => return Ok(Match::Bool(*b).into()),
        Kind::Number(n, raw) if !as_text => {
            let mut out = Matches::from(Match::Number(*n));
            if Number::parse(raw).is_none() {
                // `0x1f`: YAML's 31, but logs write it as the rule does.
                out.matches.push(Match::Pattern {
                    pattern: Pattern::literal(raw),
                    cased: m.cased,
                });
            }
            return Ok(out);
        }
        Kind::Null | Kind::List(_) | Kind::Map(_) => {
            return Err(Wrong::Shape("text, a number, a boolean, or a list of them"));
        }
        _ => value.scalar().ok_or(Wrong::Shape("text"))?,
    };
    let mut missing = Vec::new();
    let mut patterns = if m.expand {
        let push =
            |out: &mut Pattern, text: &str| Pattern::parse(text).parts().iter().for_each(|p| out.push(p.clone()));
        expand(&raw, placeholders, &mut missing, push, push)?
    } else {
        vec![Pattern::parse(&raw)]
    };
    if m.windash {
        patterns.iter_mut().for_each(Pattern::dashes);
    }
    if !m.encodings.is_empty() {
        let mut encoded = Vec::new();
        for p in &patterns {
            for p in dashes(p)? {
                encode(&m.encodings, &p, &mut encoded)?;
            }
        }
        patterns = encoded;
    }
    let end = m.end.unwrap_or(if keyword { End::Contains } else { End::Whole });
    let matches = patterns
        .into_iter()
        .map(|p| match end {
            End::Whole => p,
            End::Starts => p.any_after(),
            End::Ends => p.any_before(),
            End::Contains => p.any_before().any_after(),
        })
        .map(|pattern| Match::Pattern {
            pattern,
            cased: m.cased,
        })
        .collect();
    Ok(Matches { matches, missing })
}
