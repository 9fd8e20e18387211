//! Conditions over a row, an event and the rows found before: `where`, `when`.

use std::sync::Arc;

use regex::Regex;

use super::{Reference, Value};

/// A condition.
#[derive(Clone, Debug)]
pub enum Condition {
    /// All hold; of none, it holds.
    All(Vec<Condition>),
    /// One of them holds; of none, it does not.
    Any(Vec<Condition>),
    /// None of them holds.
    None(Vec<Condition>),
    /// One item of a map.
    Test(Test),
}

impl Condition {
    /// The condition that always holds.
    pub const ALWAYS: Condition = Condition::All(Vec::new());

    /// Calls `each` with every test in it, also those inside `has`.
    pub fn for_each_test<'a>(&'a self, each: &mut dyn FnMut(&'a Test)) {
        match self {
            Condition::All(cs) | Condition::Any(cs) | Condition::None(cs) => {
                cs.iter().for_each(|c| c.for_each_test(each));
            }
            Condition::Test(test) => {
                each(test);
                if let Op::Has(has) = &test.op {
                    has.wanted.iter().for_each(|w| w.condition.for_each_test(each));
                }
            }
        }
    }

    /// Calls `each` with every reference that it tests, or tests with.
    pub fn for_each_reference<'a>(&'a self, each: &mut dyn FnMut(&'a Reference)) {
        self.for_each_test(&mut |test| {
            if let Subject::Reference(reference) = &test.subject {
                each(reference);
            }
            for value in test.op.values() {
                value.references().iter().for_each(&mut *each);
            }
        });
    }
}

/// `column|modifier: value`.
#[derive(Clone, Debug)]
pub struct Test {
    /// What is tested. It may have many values: the test holds when it holds for one of them.
    pub subject: Subject,
    /// How. Of a list of values, one has to hold.
    pub op: Op,
}

/// What a test looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A column of the row at hand (inside `has`: of the element), a dotted path.
    Column(Arc<str>),
    /// A reference instead of a column.
    Reference(Reference),
}

/// How a test compares.
#[derive(Clone, Debug)]
pub enum Op {
    /// Equal to one of the values: text without regard to case, wildcards in literals, numbers as numbers.
    Equals(Vec<Value>),
    /// Contains one of the values.
    Contains(Vec<Value>),
    /// Starts with one of the values.
    StartsWith(Vec<Value>),
    /// Ends with one of the values.
    EndsWith(Vec<Value>),
    /// One of the expressions matches somewhere.
    Re(Vec<Regex>),
    /// Less than one of the values; numbers as numbers, times as moments.
    Lt(Vec<Value>),
    /// Less or equal.
    Lte(Vec<Value>),
    /// Greater.
    Gt(Vec<Value>),
    /// Greater or equal.
    Gte(Vec<Value>),
    /// Whether there is a value that is neither null nor empty.
    Exists(bool),
    /// The subject is a CIDR or an address, and one of the values an address inside it.
    Covers(Vec<Value>),
    /// The subject is an address, and one of the values a CIDR (or address) around it.
    Cidr(Vec<Value>),
    /// Each value of the subject equals one of the values; of none, it holds.
    Within(Vec<Value>),
    /// The subject is a list of objects; each condition holds for some element, whose columns it reads.
    Has(Has),
}

impl Op {
    /// What the subject is compared with; nothing where that is no value.
    pub fn values(&self) -> &[Value] {
        match self {
            Op::Equals(values)
            | Op::Contains(values)
            | Op::StartsWith(values)
            | Op::EndsWith(values)
            | Op::Lt(values)
            | Op::Lte(values)
            | Op::Gt(values)
            | Op::Gte(values)
            | Op::Covers(values)
            | Op::Cidr(values)
            | Op::Within(values) => values,
            Op::Re(_) | Op::Exists(_) | Op::Has(_) => &[],
        }
    }
}

/// Which elements a list has to have.
#[derive(Clone, Debug)]
pub struct Has {
    /// What has to be there.
    pub wanted: Vec<Wanted>,
    /// Whether one element may be several of them.
    pub apart: Apart,
}

/// One element of a list.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// By this name the maps behind it read its columns.
    pub alias: Option<Arc<str>>,
    /// What it has to satisfy.
    pub condition: Condition,
}

/// How the elements of a `has` have to differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Apart {
    /// One may be several of them.
    No,
    /// Each is another one.
    Elements,
    /// They have no value of this column in common: `approver`.
    Column(Arc<str>),
}
