//! What is wrong with a query, and where.

/// A query that cannot be answered; its author's to change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}, at byte {at}{}", suggestion.as_ref().map(|s| format!("; {s}")).unwrap_or_default())]
pub struct QueryError {
    /// Byte of the query where the trouble starts; at most its length, and the start of a character.
    pub at: usize,
    /// What is wrong.
    pub problem: Problem,
    /// What could be written instead.
    pub suggestion: Option<String>,
}

/// What is wrong with a query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A name that no field has.
    #[error("there is no field `{0}`")]
    UnknownField(String),
    /// Something else should stand here.
    #[error("expected {expected}, found {found}")]
    Expected {
        /// What could stand here.
        expected: &'static str,
        /// What does.
        found: String,
    },
    /// A value that the field cannot have.
    #[error("`{value}` is not {allowed}")]
    Value {
        /// What was given.
        value: String,
        /// What the field takes.
        allowed: &'static str,
    },
    /// The field has no order that could be ranged over, or no values that wildcards could match.
    #[error("`{field}` takes no {what}")]
    NotAllowed {
        /// The field.
        field: String,
        /// Ranges, wildcards, networks.
        what: &'static str,
    },
    /// Words are letters and digits; the text holds none.
    #[error("`{0}` holds no letter or digit to search for")]
    NoWord(String),
    /// Too much of something.
    #[error("{given} {what}, at most {limit}")]
    TooMuch {
        /// How much.
        given: usize,
        /// Of what, with its unit.
        what: &'static str,
        /// How much may be.
        limit: usize,
    },
    /// Nobody, or nobody in particular.
    #[error("{0}")]
    Person(String),
}

impl QueryError {
    pub(crate) fn new(at: usize, problem: Problem) -> QueryError {
        QueryError {
            at,
            problem,
            suggestion: None,
        }
    }

    pub(crate) fn suggest(mut self, suggestion: Option<String>) -> QueryError {
        self.suggestion = suggestion;
        self
    }
}

/// A text for a message: short, and without control characters.
pub(crate) fn shown(text: &str) -> String {
    text.chars()
        .take(60)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
