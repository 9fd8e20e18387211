//! Values of the `docket:` extension: literals, and references that start with `$`.

use std::fmt;
use std::sync::Arc;

use model::{Batch, Field, Namespace};
use smallvec::SmallVec;

use crate::sigma::{Number, Pattern, taxonomy};

/// A value: written out, or referred to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Written out.
    Literal(Literal),
    /// `$event.user.name`, `$account.owner_employee_id`, `$event.time + 2h`.
    Reference(Reference),
    /// In a lookup's key, `[$session.person, $event.actor.user.name]`: the first that has a value.
    First(Vec<Reference>),
}

impl Value {
    /// What it refers to.
    #[must_use]
    pub fn references(&self) -> &[Reference] {
        match self {
            Value::Literal(_) => &[],
            Value::Reference(reference) => std::slice::from_ref(reference),
            Value::First(references) => references,
        }
    }
}

/// A value written out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Literal {
    /// Text, read in Sigma's notation (`*` and `?` are wildcards).
    Text {
        /// As written, `$$` at the start replaced by `$`.
        raw: String,
        /// The same, read.
        pattern: Pattern,
    },
    /// A number.
    Number(Number),
    /// A boolean.
    Bool(bool),
    /// Null: no value, or an empty one.
    Null,
}

/// A reference to a value that is known only when an event or a row is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Where the value is.
    pub root: Root,
    /// Milliseconds to add to it; where it is not 0, the value is a time.
    pub offset_ms: i64,
    /// Working days to add to it; likewise.
    pub working_days: i32,
    /// What is added to the number that its text ends with: `C0099` and 1 is `C0100`. Text that ends with none is no value then.
    pub plus: i64,
}

/// Where a reference points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Root {
    /// `$event.<field>`: the field of the event, in its rule's own names.
    Event(EventField),
    /// `$event.time`: the event's time.
    EventTime,
    /// `$event.received_at`: when the event's record was received.
    EventReceivedAt,
    /// `$<alias>.<column>`: the column of the first row that an earlier lookup found.
    Alias {
        /// The lookup's `as`.
        alias: Arc<str>,
        /// A dotted path.
        column: Arc<str>,
    },
    /// `$row.<column>`: the column of the row at hand.
    Row {
        /// A dotted path.
        column: Arc<str>,
    },
    /// `{count}` in a correlation's message: what the condition counted.
    Count,
}

/// A field of an event as a rule names it.
///
/// In the native namespace it stands for the source's own field, else for the OCSF paths that Sigma's
/// taxonomy gives the name (`CommandLine` → `process.cmd_line`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventField {
    /// The rule's namespace. In a correlation, whose events come from several rules, that of the first.
    pub namespace: Namespace,
    /// The name.
    pub path: Arc<str>,
}

/// What the name of a field begins with that a join gives.
const JOINED: char = '$';

impl EventField {
    /// The field of a name in a namespace.
    #[must_use]
    pub fn new(namespace: Namespace, path: &str) -> EventField {
        EventField {
            namespace,
            path: path.into(),
        }
    }

    /// What a rule's join gives a correlation that takes its events: the column of the row that it found.
    #[must_use]
    pub fn joined(namespace: Namespace, alias: &str, column: &str) -> EventField {
        EventField::new(namespace, &format!("{JOINED}{alias}.{column}"))
    }

    /// The alias and the column, of a field that a join gives.
    #[must_use]
    pub fn join(&self) -> Option<(&str, &str)> {
        self.path.strip_prefix(JOINED)?.split_once('.')
    }

    /// The columns that may hold it, in the order in which they are asked: the first that has a value
    /// in a row is the field's. What a join gives is in none.
    #[must_use]
    pub fn columns(&self) -> SmallVec<[Field; 2]> {
        let mut out = SmallVec::new();
        if self.join().is_some() {
            return out;
        }
        out.push(Field {
            namespace: self.namespace,
            path: self.path.clone(),
        });
        if self.namespace == Namespace::Native {
            match self.path.strip_suffix(model::EXISTS) {
                Some(name) => {
                    let paths = taxonomy::ocsf_paths(name).iter();
                    out.extend(paths.map(|p| Field::ocsf(&format!("{p}{}", model::EXISTS))));
                }
                None => out.extend(taxonomy::ocsf_paths(&self.path).iter().map(|p| Field::ocsf(p))),
            }
        }
        out
    }

    /// The first value in a row of a batch.
    #[must_use]
    pub fn first<'a>(&self, batch: &'a Batch, row: usize) -> Option<&'a str> {
        self.columns().iter().find_map(|f| batch.column(f)?.first(row))
    }

    /// Every value in a row of a batch, in order.
    #[must_use]
    pub fn all<'a>(&self, batch: &'a Batch, row: usize) -> Vec<&'a str> {
        for field in self.columns() {
            let values = batch.column(&field).map(|c| c.all(row)).unwrap_or_default();
            if !values.is_empty() {
                return values;
            }
        }
        Vec::new()
    }
}

impl fmt::Display for Reference {
    /// As the author writes it, without the `$`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.root {
            Root::Event(field) => match field.join() {
                Some((alias, column)) => write!(f, "{alias}.{column}")?,
                None => write!(f, "event.{}", field.path)?,
            },
            Root::EventTime => f.write_str("event.time")?,
            Root::EventReceivedAt => f.write_str("event.received_at")?,
            Root::Alias { alias, column } => write!(f, "{alias}.{column}")?,
            Root::Row { column } => write!(f, "row.{column}")?,
            Root::Count => f.write_str("count")?,
        }
        match self.working_days {
            0 => {}
            days if days < 0 => write!(f, " - {}wd", days.unsigned_abs())?,
            days => write!(f, " + {days}wd")?,
        }
        match self.plus {
            0 => {}
            n if n < 0 => write!(f, " - {}", n.unsigned_abs())?,
            n => write!(f, " + {n}")?,
        }
        match self.offset_ms {
            0 => Ok(()),
            ms if ms < 0 => write!(f, " - {}ms", ms.unsigned_abs()),
            ms => write!(f, " + {ms}ms"),
        }
    }
}
