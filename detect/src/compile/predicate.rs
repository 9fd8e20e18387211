//! Predicates: one field, one match; each judged once a batch, however many rules ask.

use std::collections::HashMap;

use super::required;
use crate::policy::EventField;
use crate::sigma::{Match, Number, Part, lower};

/// Index into [`Predicates::fields`].
pub(crate) type FieldId = u32;
/// Index into [`Predicates::all`].
pub(crate) type PredicateId = u32;

/// All predicates of a set, each once.
#[derive(Debug, Default)]
pub(crate) struct Predicates {
    pub fields: Vec<EventField>,
    pub all: Vec<Predicate>,
    field_ids: HashMap<EventField, FieldId>,
    ids: HashMap<(FieldId, String), PredicateId>,
}

/// One field, one match.
#[derive(Debug)]
pub(crate) struct Predicate {
    pub field: FieldId,
    pub matcher: Match,
    /// Of a [`Match::FieldRef`], the other field.
    pub other: Option<FieldId>,
    /// How an index finds the values that it may hold for.
    pub key: Option<Key>,
    /// Whether an index may ask it of each distinct value, having no key for it.
    pub is_asked: bool,
}

/// How an index over a column finds values for a predicate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// The value is this number.
    Number(Number),
    /// The value's lower case contains this, and stands so.
    Literal { text: String, check: Check },
}

/// What is left to check where a literal was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// Nothing: the match is the literal, anywhere.
    None,
    /// It stands at the start.
    Start,
    /// It stands at the end.
    End,
    /// It is the value.
    Exact,
    /// It is the value, but for its case, which is to be looked at.
    Cased,
    /// The whole match.
    Whole,
}

impl Predicates {
    /// The id of a field.
    pub fn field(&mut self, field: EventField) -> FieldId {
        if let Some(id) = self.field_ids.get(&field) {
            return *id;
        }
        let id = self.fields.len() as FieldId;
        self.fields.push(field.clone());
        self.field_ids.insert(field, id);
        id
    }

    /// The id of a predicate.
    pub fn intern(&mut self, field: &EventField, matcher: &Match) -> PredicateId {
        let id = self.field(field.clone());
        let key = (id, identity(matcher));
        if let Some(known) = self.ids.get(&key) {
            return *known;
        }
        let other = match matcher {
            Match::FieldRef { field: other, .. } => Some(self.field(EventField::new(field.namespace, other))),
            _ => None,
        };
        // Whether a value is there, or equals another field's, is not about one value; and keywords have too many.
        let of_one_value = !matches!(matcher, Match::Null | Match::Exists(_) | Match::FieldRef { .. });
        let is_asked = of_one_value && &*field.path != "*";
        let predicate = self.all.len() as PredicateId;
        self.all.push(Predicate {
            field: id,
            matcher: matcher.clone(),
            other,
            key: key_of(matcher),
            is_asked,
        });
        self.ids.insert(key, predicate);
        predicate
    }
}

impl Predicate {
    /// How rare it is thought to be: the more letters, the rarer.
    pub fn rarity(&self) -> usize {
        match &self.key {
            None => 0,
            // Most numbers are one of few (event ids, ports, status).
            Some(Key::Number(_)) => 2,
            // Whole values are often one of few, too (methods, types).
            Some(Key::Literal {
                text,
                check: Check::Exact | Check::Cased,
            }) => 1 + text.len().min(12) / 2,
            Some(Key::Literal { text, .. }) => text.len(),
        }
    }

    /// What judging one value costs, in no unit.
    pub fn cost(&self) -> usize {
        match &self.matcher {
            Match::Null | Match::Exists(_) => 0,
            Match::Number(_) | Match::Bool(_) => 1,
            Match::Pattern { pattern, .. } => pattern.parts().len().min(4),
            Match::Compare(..) | Match::Cidr(_) => 3,
            Match::FieldRef { .. } | Match::TimePart { .. } => 6,
            Match::Regex(_) => 8,
        }
    }
}

/// A text that tells a match from every other.
fn identity(matcher: &Match) -> String {
    let Match::Pattern { pattern, cased } = matcher else {
        // Its debug text does; see `Match`.
        return format!("{matcher:?}");
    };
    // Nearly all are patterns: they are written without ado. No debug text begins so.
    let mut text = String::from(if *cased { "=" } else { "~" });
    for part in pattern.parts() {
        match part {
            Part::Any => text.push('*'),
            Part::One => text.push('?'),
            Part::Dash => text.push('-'),
            Part::Literal(literal) => {
                text.push_str(model::value::int_text(literal.len() as i64, &mut [0; 20]));
                text.push(':');
                text.push_str(literal);
            }
        }
    }
    text
}

fn key_of(matcher: &Match) -> Option<Key> {
    match matcher {
        Match::Pattern { pattern, cased } => {
            if let Some(text) = pattern.as_literal() {
                return Some(Key::Literal {
                    text: lower(text),
                    check: if *cased { Check::Cased } else { Check::Exact },
                });
            }
            let text = required::of_pattern(pattern)?;
            let check = match (pattern.parts(), cased) {
                ([Part::Any, Part::Literal(_), Part::Any], false) => Check::None,
                ([Part::Literal(_), Part::Any], false) => Check::Start,
                ([Part::Any, Part::Literal(_)], false) => Check::End,
                _ => Check::Whole,
            };
            Some(Key::Literal { text, check })
        }
        Match::Number(n) => Some(Key::Number(*n)),
        Match::Bool(b) => Some(Key::Literal {
            text: b.to_string(),
            check: Check::Exact,
        }),
        Match::Regex(regex) => {
            let text = required::of_regex(regex.as_str())?;
            Some(Key::Literal {
                text,
                check: Check::Whole,
            })
        }
        _ => None,
    }
}
