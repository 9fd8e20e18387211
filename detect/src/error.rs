//! What is wrong with a policy, and where.

use std::fmt;
use std::sync::Arc;

/// A place in a policy file.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The file, as it was named to the loader.
    pub file: Arc<str>,
    /// The line, from 1; 0 where the whole file is meant.
    pub line: u32,
    /// The column in characters, from 1; 0 where the whole file is meant.
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (0, _) => self.file.fmt(f),
            (line, column) => write!(f, "{}:{line}:{column}", self.file),
        }
    }
}

/// A policy cannot be used as it is written, or (a lint) can but looks wrong. The author's move.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct PolicyError {
    /// Where.
    pub place: Place,
    /// What.
    pub problem: Problem,
}

impl PolicyError {
    /// Whether the policy loads all the same.
    #[must_use]
    pub fn is_lint(&self) -> bool {
        matches!(
            self.problem,
            Problem::Lint(_) | Problem::UnusedDetection { .. } | Problem::UnknownSigmaKey { .. }
        )
    }
}

/// Appends `; did you mean …?`.
fn suggest(nearest: &Option<String>) -> String {
    nearest
        .as_ref()
        .map(|n| format!("; did you mean `{n}`?"))
        .unwrap_or_default()
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The text is not YAML.
    #[error("not YAML: {0}")]
    Yaml(String),
    /// A document is larger or deeper than we read.
    #[error("{given} {what}, at most {limit}")]
    TooMuch {
        /// Of what: `levels of nesting`, `values in one detection item`, …
        what: &'static str,
        /// How many were given.
        given: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// A key that has to be there is not.
    #[error("`{key}` is missing: {why}")]
    Missing {
        /// The key.
        key: String,
        /// What it is for.
        why: String,
    },
    /// A value of the wrong shape.
    #[error("`{key}` is {given}; it has to be {allowed}")]
    Shape {
        /// Of which key.
        key: String,
        /// What was given.
        given: String,
        /// What is allowed.
        allowed: String,
    },
    /// A word that is not one of the words allowed there.
    #[error("unknown {what} `{given}`{}", suggest(nearest))]
    Unknown {
        /// `key of docket`, `modifier`, `OCSF class`, …
        what: String,
        /// What was given.
        given: String,
        /// The nearest right word.
        nearest: Option<String>,
    },
    /// The same key, id or name twice.
    #[error("{what} `{given}` is there already, at {first}")]
    Duplicate {
        /// `id`, `name`, `key`.
        what: &'static str,
        /// Which.
        given: String,
        /// Where it was first.
        first: Place,
    },
    /// Modifiers that do not go together.
    #[error("`|{given}` {reason}")]
    Modifier {
        /// The modifier.
        given: String,
        /// Why not.
        reason: String,
    },
    /// A regular expression that does not compile.
    #[error("regular expression `{given}`: {reason}")]
    Regex {
        /// The expression.
        given: String,
        /// Why not.
        reason: String,
    },
    /// A condition that does not parse.
    #[error("condition `{given}`: {reason}")]
    Condition {
        /// The condition.
        given: String,
        /// Why not.
        reason: String,
    },
    /// A name that stands for nothing: a rule, an alias, a detection, a placeholder.
    #[error("there is no {what} `{given}`{}", suggest(nearest))]
    Dangling {
        /// `rule`, `alias`, `detection`, `placeholder`.
        what: &'static str,
        /// What was given.
        given: String,
        /// The nearest right word.
        nearest: Option<String>,
    },
    /// Anything else that makes a value wrong.
    #[error("`{key}`: {reason}")]
    Value {
        /// Of which key.
        key: String,
        /// Why it is wrong.
        reason: String,
    },
    /// A rule refers to one that is itself broken, so that it cannot run.
    #[error("it needs `{name}`, which is broken")]
    Broken {
        /// The broken one.
        name: String,
    },
    /// Lint: a detection that no condition uses.
    #[error("lint: the detection `{name}` is used by no condition")]
    UnusedDetection {
        /// Its name.
        name: String,
    },
    /// Lint: a top-level key that neither Sigma nor Docket knows, and that is near one they do.
    #[error("lint: unknown key `{given}`; did you mean `{nearest}`?")]
    UnknownSigmaKey {
        /// What was given.
        given: String,
        /// What it resembles.
        nearest: String,
    },
    /// Lint: anything else.
    #[error("lint: {0}")]
    Lint(String),
}
