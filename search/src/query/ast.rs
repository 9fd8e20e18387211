//! A query, as understood.

use std::net::Ipv6Addr;
use std::ops::Bound;

use model::Millis;

use super::field::FieldSpec;
use super::{People, QueryError, TextPattern, parse};
use crate::keyword::Glob;

/// A query that was read and found to make sense.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    pub(crate) root: Node,
}

impl Query {
    /// Reads a query. An empty one asks for everything. `now` is what relative times (`now-1h`) count from; without
    /// it they are refused.
    ///
    /// # Errors
    /// The author's, with the byte where it lies.
    pub fn parse(text: &str, now: Option<Millis>) -> Result<Query, QueryError> {
        Query::read(text, &Reading { now, people: None })
    }

    /// As [`Query::parse`], by one who knows people too.
    ///
    /// # Errors
    /// The author's, with the byte where it lies.
    pub fn read(text: &str, reading: &Reading<'_>) -> Result<Query, QueryError> {
        parse::query(text, reading).map(|root| Query { root })
    }

    /// The query that asks for everything.
    #[must_use]
    pub fn all() -> Query {
        Query {
            root: Node::And(Vec::new()),
        }
    }

    /// What any of these queries asks for; of none, nothing.
    #[must_use]
    pub fn any(queries: impl IntoIterator<Item = Query>) -> Query {
        Query {
            root: Node::Or(queries.into_iter().map(|q| q.root).collect()),
        }
    }

    /// What this query does not ask for.
    #[must_use]
    pub fn negated(self) -> Query {
        Query {
            root: Node::Not(Box::new(self.root)),
        }
    }

    /// Every condition of this query and of `other`.
    #[must_use]
    pub fn and(self, other: Query) -> Query {
        Query {
            root: Node::And(vec![self.root, other.root]),
        }
    }
}

/// What a query is read with.
#[derive(Clone, Copy, Default)]
pub struct Reading<'a> {
    /// What relative times count from; without it they are refused.
    pub now: Option<Millis>,
    /// Who knows whose an account is; without it `person:` is refused.
    pub people: Option<&'a dyn People>,
}

/// A part of a query.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    /// All of them; none is everything.
    And(Vec<Node>),
    /// Any of them.
    Or(Vec<Node>),
    Not(Box<Node>),
    Leaf(Leaf),
}

/// One condition.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Leaf {
    pub(crate) target: Target,
    pub(crate) test: Test,
    /// Byte of the query where the value starts.
    pub(crate) at: usize,
}

/// What is tested.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Target {
    Field(&'static FieldSpec),
    /// A path below `unmapped`, folded.
    Unmapped(String),
}

/// How it is tested.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// The whole value is this (folded).
    Is(String),
    /// The whole value matches.
    Like(Vec<Glob>),
    /// The words occur.
    Text(TextPattern),
    /// The (folded) text occurs as it stands.
    Holds(String),
    /// The address lies between these, both included.
    Network(Ipv6Addr, Ipv6Addr),
    /// The number is one of these.
    Number(Bound<u64>, Bound<u64>),
    /// The (any) number is one of these.
    Float(Bound<f64>, Bound<f64>),
    /// The moment lies between these, in ms, both included.
    Time(i64, i64),
    /// The field has a value.
    Exists,
}
