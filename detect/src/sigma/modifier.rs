//! `field|modifier|modifier: values` → [`Item`].

use std::collections::BTreeMap;

use super::encode::Encoding;
use super::{Compare, End, Item, TimePart};
use crate::Problem;
use crate::report::{Report, unknown};
use crate::yaml::{Key, Kind, Node};

mod value;

pub(super) use value::Wrong;
use value::matches;

/// What `%name%` stands for with `|expand`: from reference tables or the configuration.
pub type Placeholders = BTreeMap<String, Vec<String>>;

/// Values of one item.
const VALUES_MAX: usize = 65_536;

/// All modifiers, for suggestions.
const MODIFIERS: &[&str] = &[
    "all",
    "base64",
    "base64offset",
    "cased",
    "cidr",
    "contains",
    "day",
    "endswith",
    "exists",
    "expand",
    "fieldref",
    "gt",
    "gte",
    "hour",
    "i",
    "lt",
    "lte",
    "m",
    "minute",
    "month",
    "neq",
    "re",
    "s",
    "startswith",
    "utf16",
    "utf16be",
    "utf16le",
    "week",
    "wide",
    "windash",
    "year",
];

/// The modifiers of an item, read.
#[derive(Default)]
struct Modifiers {
    end: Option<End>,
    all: bool,
    cased: bool,
    neq: bool,
    windash: bool,
    expand: bool,
    encodings: Vec<Encoding>,
    kind: Option<ValueKind>,
    part: Option<TimePart>,
    flags: [bool; 3],
}

#[derive(Clone, Copy, PartialEq)]
enum ValueKind {
    Re,
    Cidr,
    Exists,
    FieldRef,
    Compare(Compare),
}

/// Reads an item; `None` where it is reported as broken.
pub(crate) fn item(report: &mut Report, key: &Key, value: &Node, placeholders: &Placeholders) -> Option<Item> {
    let mut words = key.text.split('|').map(str::trim);
    let field = words.next().filter(|f| !f.is_empty());
    let modifiers = modifiers(report, key, words)?;
    let values = match &value.kind {
        Kind::List(items) => items.as_slice(),
        _ => std::slice::from_ref(value),
    };
    if values.is_empty() {
        report.shape(value, &key.text, "a value or a list of values");
        return None;
    }
    if values.len() > VALUES_MAX {
        report.at_key(
            key,
            Problem::TooMuch {
                what: "values in one item",
                given: values.len(),
                limit: VALUES_MAX,
            },
        );
        return None;
    }
    let before = report.errors.len();
    let groups = values
        .iter()
        .filter_map(|v| {
            let result = matches(&modifiers, field.is_none(), v, placeholders);
            let missing = result.as_ref().map_or(&[][..], |r| &r.missing);
            for name in missing {
                report.at(
                    v,
                    Problem::Lint(format!("the placeholder `%{name}%` has no values; it matches nothing")),
                );
            }
            match result {
                Ok(r) => Some(r.matches),
                Err(Wrong::Shape(allowed)) => {
                    report.shape(v, &key.text, allowed);
                    None
                }
                Err(Wrong::Problem(problem)) => {
                    report.at(v, problem);
                    None
                }
            }
        })
        .collect();
    if report.errors[before..].iter().any(|e| !e.is_lint()) {
        return None;
    }
    if modifiers.all && values.len() == 1 {
        report.at_key(key, Problem::Lint("`all` says nothing about a single value".to_owned()));
    }
    if values.len() > 1
        && let Some(null) = values.iter().find(|v| matches!(v.kind, Kind::Null))
    {
        let lint = "other tools refuse null in a list; write a detection of its own for it".to_owned();
        report.at(null, Problem::Lint(lint));
    }
    let field = match modifiers.kind {
        // Whether the event has the field, be it null, is a column of its own.
        Some(ValueKind::Exists) => field.map(|f| format!("{f}{}", model::EXISTS).into()),
        _ => field.map(Into::into),
    };
    Some(Item {
        field,
        groups,
        all: modifiers.all,
        negated: modifiers.neq,
        place: key.place(&report.file),
    })
}

fn modifiers<'t>(report: &mut Report, key: &Key, words: impl Iterator<Item = &'t str>) -> Option<Modifiers> {
    let mut out = Modifiers::default();
    let mut fine = true;
    for word in words {
        let problem = match word {
            "all" => {
                out.all = true;
                None
            }
            "cased" => {
                out.cased = true;
                None
            }
            "neq" => {
                out.neq = true;
                None
            }
            "windash" => {
                out.windash = true;
                out.before_encodings()
            }
            "expand" => {
                out.expand = true;
                out.before_encodings()
            }
            "i" | "m" | "s" if out.kind == Some(ValueKind::Re) => {
                out.flags["ims".find(word).unwrap_or(0)] = true;
                None
            }
            "i" | "m" | "s" => Some("goes behind `re` only".to_owned()),
            "contains" => out.set_end(End::Contains),
            "startswith" => out.set_end(End::Starts),
            "endswith" => out.set_end(End::Ends),
            "re" => out.set_kind(ValueKind::Re),
            "cidr" => out.set_kind(ValueKind::Cidr),
            "exists" => out.set_kind(ValueKind::Exists),
            "fieldref" => out.set_kind(ValueKind::FieldRef),
            "lt" => out.set_kind(ValueKind::Compare(Compare::Lt)),
            "lte" => out.set_kind(ValueKind::Compare(Compare::Lte)),
            "gt" => out.set_kind(ValueKind::Compare(Compare::Gt)),
            "gte" => out.set_kind(ValueKind::Compare(Compare::Gte)),
            "minute" => out.set_part(TimePart::Minute),
            "hour" => out.set_part(TimePart::Hour),
            "day" => out.set_part(TimePart::Day),
            "week" => out.set_part(TimePart::Week),
            "month" => out.set_part(TimePart::Month),
            "year" => out.set_part(TimePart::Year),
            "utf16" => out.encode(Encoding::Utf16),
            "utf16le" | "wide" => out.encode(Encoding::Utf16Le),
            "utf16be" => out.encode(Encoding::Utf16Be),
            "base64" => out.encode(Encoding::Base64),
            "base64offset" => out.encode(Encoding::Base64Offset),
            _ => {
                report.at_key(key, unknown("modifier", word, MODIFIERS));
                fine = false;
                None
            }
        };
        if let Some(reason) = problem {
            report.at_key(
                key,
                Problem::Modifier {
                    given: word.to_owned(),
                    reason,
                },
            );
            fine = false;
        }
    }
    if let Some((given, reason)) = out.clash() {
        report.at_key(
            key,
            Problem::Modifier {
                given: given.to_owned(),
                reason: reason.to_owned(),
            },
        );
        fine = false;
    }
    fine.then_some(out)
}

impl Modifiers {
    fn set_end(&mut self, end: End) -> Option<String> {
        let twice = self.end.replace(end).is_some_and(|e| e != end);
        twice.then(|| "does not go with another of `contains`, `startswith`, `endswith`".to_owned())
    }

    fn set_kind(&mut self, kind: ValueKind) -> Option<String> {
        let twice = self.kind.replace(kind).is_some();
        twice.then(|| "does not go with another modifier that says what the value is".to_owned())
    }

    fn set_part(&mut self, part: TimePart) -> Option<String> {
        self.part
            .replace(part)
            .is_some()
            .then(|| "is the second part of a time".to_owned())
    }

    /// Modifiers are applied in order: behind an encoding there is no dash and no placeholder left.
    fn before_encodings(&self) -> Option<String> {
        (!self.encodings.is_empty()).then(|| "has to stand before an encoding".to_owned())
    }

    fn encode(&mut self, encoding: Encoding) -> Option<String> {
        if self.end.is_some() {
            return Some("has to stand before `contains`, `startswith` and `endswith`".to_owned());
        }
        let done = self
            .encodings
            .iter()
            .any(|e| matches!(e, Encoding::Base64 | Encoding::Base64Offset));
        self.encodings.push(encoding);
        done.then(|| "stands behind `base64`, which is text already".to_owned())
    }

    /// Modifiers that do not go together, wherever they stand.
    fn clash(&self) -> Option<(&'static str, &'static str)> {
        if let Some(kind) = self.kind {
            let word = kind.word();
            if self.end.is_some() && kind != ValueKind::FieldRef {
                return Some((word, "does not go with `contains`, `startswith`, `endswith`"));
            }
            if self.windash || !self.encodings.is_empty() {
                return Some((word, "does not go with `windash` or an encoding"));
            }
            if self.part.is_some() && !matches!(kind, ValueKind::Compare(_)) {
                return Some((word, "does not go with a part of a time"));
            }
            if kind == ValueKind::Exists && (self.all || self.neq || self.cased || self.expand) {
                return Some((word, "stands alone"));
            }
        } else if self.part.is_some()
            && (self.end.is_some() || self.windash || self.expand || !self.encodings.is_empty())
        {
            return Some(("minute … year", "go with `lt`, `lte`, `gt`, `gte`, `neq` only"));
        }
        None
    }
}

impl ValueKind {
    /// What its value has to be.
    fn shape(self) -> &'static str {
        match self {
            ValueKind::Re => "a regular expression",
            ValueKind::Cidr => "a CIDR (10.0.0.0/8) or an address",
            ValueKind::Exists => "true or false",
            ValueKind::FieldRef => "a field's name",
            ValueKind::Compare(_) => "a number",
        }
    }

    fn word(self) -> &'static str {
        match self {
            ValueKind::Re => "re",
            ValueKind::Cidr => "cidr",
            ValueKind::Exists => "exists",
            ValueKind::FieldRef => "fieldref",
            ValueKind::Compare(Compare::Lt) => "lt",
            ValueKind::Compare(Compare::Lte) => "lte",
            ValueKind::Compare(Compare::Gt) => "gt",
            ValueKind::Compare(_) => "gte",
        }
    }
}
