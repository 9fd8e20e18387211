//! What a condition may refer to: an event, the row at hand and the rows found before; and the values that references stand for.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::tz::TimeZone;
use model::Millis;
use serde_json::Value as Json;
use smallvec::SmallVec;

use super::Gap;
use super::WorkCalendar;
use super::calendar::plus_weekdays;
use super::cell::{each_value, moment, scalar};
use crate::policy::{EventField, Literal, Reference, Root, Value};
use crate::sigma::{Number, lower};

/// What conditions read of an event.
pub trait EventValues {
    /// When it happened.
    fn time(&self) -> Millis;
    /// When its record was received.
    fn received_at(&self) -> Millis;
    /// The values of a field, in order.
    fn values(&self, field: &EventField) -> &[Arc<str>];
    /// Its time, of somebody who says of what it is compared with for which times that comes out the same.
    fn compared_time(&self) -> Millis {
        self.time()
    }
    /// What was asked of its time is the same of all times from `from` on and before `until`.
    fn same_between(&self, _from: Millis, _until: Millis) {}
    /// Its time, moved by an offset, was compared with a moment.
    fn same_beside(&self, _moment: Millis, _offset_ms: i64) {}
    /// What was answered to a question that was asked of this event before, by its number.
    fn answer(&self, _question: u32) -> Option<Answer> {
        None
    }
    /// Remembers an answer.
    fn remember(&self, _question: u32, _answer: &Answer) {}
}

/// The row of a reference table that a lookup found; or what it lacks to be asked.
pub type Answer = Result<Option<usize>, Gap>;

/// A row that a lookup found first, under its alias.
pub type Bound = Arc<Json>;
/// The rows found so far, by alias.
pub type Aliases = BTreeMap<Arc<str>, Bound>;

/// What a condition may refer to.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    /// The event; none in an absence that a table opens.
    pub event: Option<&'a dyn EventValues>,
    /// The rows found before.
    pub aliases: &'a Aliases,
    /// The row at hand.
    pub row: Option<&'a Json>,
    /// What a correlation counted.
    pub count: Option<Number>,
    /// The zone of moments written without an offset.
    pub zone: &'a TimeZone,
    /// Working days; Monday to Friday where there is none.
    pub calendar: Option<&'a WorkCalendar>,
}

/// A value that a reference stands for.
#[derive(Clone, Debug, PartialEq)]
pub enum Item<'a> {
    /// Text, or what JSON writes.
    Text(Cow<'a, str>),
    /// A moment.
    Time(Millis),
}

impl Item<'_> {
    /// As text: a moment as epoch milliseconds.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Item::Text(text) => Cow::Borrowed(text),
            Item::Time(time) => Cow::Owned(time.0.to_string()),
        }
    }

    /// As a moment, where it is one.
    #[must_use]
    pub fn moment(&self, zone: &TimeZone) -> Option<Millis> {
        match self {
            Item::Text(text) => moment(text, zone),
            Item::Time(time) => Some(*time),
        }
    }
}

/// The values of a reference.
pub type Items<'a> = SmallVec<[Item<'a>; 2]>;

/// What `reference` stands for; of none where it has no value. A reference with an offset has the values that
/// are moments, moved by it.
#[must_use]
pub fn resolve<'a>(reference: &Reference, scope: &Scope<'a>) -> Items<'a> {
    let mut items = Items::new();
    match &reference.root {
        Root::Event(field) => {
            let values = scope.event.map_or(&[][..], |e| e.values(field));
            items.extend(values.iter().map(|v| Item::Text(Cow::Borrowed(v.as_ref()))));
        }
        Root::EventTime => items.extend(scope.event.map(|e| Item::Time(e.time()))),
        Root::EventReceivedAt => items.extend(scope.event.map(|e| Item::Time(e.received_at()))),
        Root::Count => items.extend(scope.count.map(|n| Item::Text(Cow::Owned(n.to_string())))),
        Root::Alias { .. } | Root::Row { .. } => {
            each_json(reference, scope, &mut |v| items.push(Item::Text(scalar(v))));
        }
    }
    if reference.plus != 0 {
        let next = items
            .iter()
            .filter_map(|i| Some(Item::Text(Cow::Owned(numbered(&i.text(), reference.plus)?))));
        items = next.collect();
    }
    if reference.offset_ms != 0 || reference.working_days != 0 {
        let moved = items.iter().filter_map(|i| {
            let at = i.moment(scope.zone)?.plus_ms(reference.offset_ms);
            Some(Item::Time(match (reference.working_days, scope.calendar) {
                (0, _) => at,
                (days, Some(calendar)) => calendar.plus_working_days(at, days)?,
                (days, None) => plus_weekdays(at, days, scope.zone)?,
            }))
        });
        items = moved.collect();
    }
    items
}

/// Text whose last number is so much more, written with as many digits at least; `None` where it ends with no number, or one
/// below nothing.
fn numbered(text: &str, plus: i64) -> Option<String> {
    let digits = text.bytes().rev().take_while(u8::is_ascii_digit).count();
    let (head, number) = text.split_at(text.len() - digits);
    // Longer ones are hashes.
    let next = number.parse::<i64>().ok()?.checked_add(plus).filter(|n| *n >= 0)?;
    Some(format!("{head}{next:0digits$}"))
}

/// The values of a reference to a row, as they stand there.
pub(super) fn each_json<'a>(reference: &Reference, scope: &Scope<'a>, each: &mut dyn FnMut(&'a Json)) {
    match &reference.root {
        Root::Alias { alias, column } => {
            if let Some(row) = scope.aliases.get(alias) {
                each_value(row, column, each);
            }
        }
        Root::Row { column } => {
            if let Some(row) = scope.row {
                each_value(row, column, each);
            }
        }
        _ => {}
    }
}

/// The values of the first reference that has one.
#[must_use]
pub fn resolve_first<'a>(references: &'a [Reference], scope: &Scope<'a>) -> Items<'a> {
    let mut all = references.iter().map(|reference| resolve(reference, scope));
    all.find(|items| items.iter().any(|i| !i.text().is_empty()))
        .unwrap_or_default()
}

/// The first moment that a reference stands for.
#[must_use]
pub fn resolve_moment(reference: &Reference, scope: &Scope<'_>) -> Option<Millis> {
    resolve(reference, scope).iter().find_map(|i| i.moment(scope.zone))
}

/// The texts of a value: what a key is compared with, in lower case; empty texts are no values.
#[must_use]
pub fn key_texts(value: &Value, scope: &Scope<'_>) -> Vec<String> {
    let texts: Vec<String> = match value {
        Value::Literal(Literal::Text { raw, .. }) => vec![lower(raw)],
        Value::Literal(Literal::Number(n)) => vec![n.to_string()],
        Value::Literal(Literal::Bool(b)) => vec![b.to_string()],
        Value::Literal(Literal::Null) => vec![],
        Value::Reference(_) | Value::First(_) => resolve_first(value.references(), scope)
            .iter()
            .map(|i| lower(&i.text()))
            .collect(),
    };
    let mut distinct = Vec::with_capacity(texts.len());
    for text in texts {
        if !text.is_empty() && !distinct.contains(&text) {
            distinct.push(text);
        }
    }
    distinct
}
