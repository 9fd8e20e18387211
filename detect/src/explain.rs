//! Why a policy holds for an event, or does not: condition for condition, with the values that the event has.
//!
//! For authors. What is told is what the plain evaluator says; values are shown as the engine keeps them, secrets hidden.

mod detection;
mod lookup;
mod nearest;

use std::fmt::Write as _;

use serde::Serialize;

use crate::Place;
use crate::engine::Mask;

pub(crate) use self::detection::{rule, sign};
pub(crate) use self::lookup::{Asked, each_part, lookups, tell_gap};
pub(crate) use self::nearest::nearest;

/// Values of one field, or rows of one table, that are shown.
const SHOWN_MAX: usize = 5;
/// Characters of one value that are shown.
const CHARS_MAX: usize = 160;

/// One condition, and whether it holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Explained {
    /// What is asked for, in the words of the policy.
    pub what: String,
    /// Whether it holds; `None`: it was not judged.
    pub holds: Option<bool>,
    /// On which value of the event or of which row; empty where `parts` say it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub because: String,
    /// Where it is written (`file:line:column`); empty where it is nowhere.
    #[serde(rename = "at", skip_serializing_if = "String::is_empty")]
    pub place: String,
    /// What it is made of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Explained>,
}

impl Explained {
    pub(crate) fn new(what: impl Into<String>, holds: impl Into<Option<bool>>) -> Explained {
        Explained {
            what: what.into(),
            holds: holds.into(),
            ..Explained::default()
        }
    }

    pub(crate) fn because(mut self, because: impl Into<String>) -> Explained {
        self.because = because.into();
        self
    }

    pub(crate) fn at(mut self, place: &Place) -> Explained {
        self.place = place.to_string();
        self
    }

    pub(crate) fn of(mut self, parts: Vec<Explained>) -> Explained {
        self.parts = parts;
        self
    }
}

/// Values as they are shown: quoted, hidden where they are secret, no more than a few.
pub(crate) fn shown<T: AsRef<str>>(values: &[T], mask: Mask) -> String {
    let mut out = String::new();
    for (n, value) in values.iter().take(SHOWN_MAX).enumerate() {
        let masked = mask(value.as_ref());
        let mut text: String = masked.chars().take(CHARS_MAX).collect();
        if masked.chars().nth(CHARS_MAX).is_some() {
            text.push('…');
        }
        let _ = write!(out, "{}`{text}`", if n == 0 { "" } else { ", " });
    }
    if values.len() > SHOWN_MAX {
        let _ = write!(out, " and {} more", values.len() - SHOWN_MAX);
    }
    out
}
