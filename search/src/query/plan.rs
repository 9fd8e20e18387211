//! A query, as Tantivy's queries, and what they cannot decide.

use std::ops::Bound;

use tantivy::Term;
use tantivy::query::{AllQuery, BooleanQuery, EmptyQuery, ExistsQuery, Occur, Query as TantivyQuery, RangeQuery};
use tantivy::schema::Field;

use super::ast::{Leaf, Node, Target, Test};
use super::field::{ALL_TEXTS, Kind};
use super::steady::Steady;
use super::{Phrase, Piece, TextPattern};
use crate::document::Uid;
use crate::keyword::{Glob, folded};
use crate::schema::{Fields, WITHOUT_COLUMN, WordField};
use crate::tokenizer::{each_token, stands_alone};
use crate::unmapped;
use crate::words::{Holding, InRow, Matching, Terms, Together};

type Boxed = Box<dyn TantivyQuery>;

/// What to ask Tantivy, and what then to check.
#[derive(Debug)]
pub(crate) enum Plan {
    /// Tantivy's answer is right.
    Exact(Boxed),
    /// Tantivy's answer holds every match and maybe more; the raw text decides.
    Check {
        over: Boxed,
        test: TextTest,
    },
    And(Vec<Plan>),
    Or(Vec<Plan>),
    Not(Box<Plan>),
}

/// What only the text itself can decide.
#[derive(Debug)]
pub(crate) enum TextTest {
    /// The raw line holds these words.
    Words(TextPattern),
    /// The text field holds this (folded) text.
    Holds(&'static str, String),
}

impl Plan {
    /// Plans a query.
    pub(crate) fn of(node: &Node, fields: &Fields) -> Plan {
        match node {
            Node::Leaf(leaf) => Planner { fields }.leaf(leaf),
            Node::Not(inner) => match Plan::of(inner, fields) {
                Plan::Exact(query) => Plan::Exact(and(vec![(Occur::MustNot, query)])),
                other => Plan::Not(Box::new(other)),
            },
            Node::And(items) => {
                let (mut exact, mut rest) = (Vec::new(), Vec::new());
                for item in items {
                    let (occur, inner) = match item {
                        Node::Not(inner) => (Occur::MustNot, &**inner),
                        other => (Occur::Must, other),
                    };
                    match (Plan::of(inner, fields), occur) {
                        (Plan::Exact(query), occur) => exact.push((occur, query)),
                        (other, Occur::MustNot) => rest.push(Plan::Not(Box::new(other))),
                        (other, _) => rest.push(other),
                    }
                }
                let exact = Plan::Exact(and(exact));
                if rest.is_empty() {
                    return exact;
                }
                rest.insert(0, exact);
                Plan::And(rest)
            }
            Node::Or(items) => Plan::or(items.iter().map(|i| Plan::of(i, fields)).collect()),
        }
    }

    fn or(items: Vec<Plan>) -> Plan {
        let (mut exact, mut rest) = (Vec::new(), Vec::new());
        for item in items {
            match item {
                Plan::Exact(query) => exact.push(query),
                other => rest.push(other),
            }
        }
        if rest.is_empty() {
            return Plan::Exact(or(exact));
        }
        if !exact.is_empty() {
            rest.insert(0, Plan::Exact(or(exact)));
        }
        Plan::Or(rest)
    }

    /// A query that finds every match, and maybe more.
    pub(crate) fn over(&self) -> Boxed {
        match self {
            Plan::Exact(query) => query.box_clone(),
            Plan::Check { over, .. } => over.box_clone(),
            Plan::And(items) => and(items.iter().map(|i| (Occur::Must, i.over())).collect()),
            Plan::Or(items) => or(items.iter().map(Plan::over).collect()),
            Plan::Not(inner) => and(vec![(Occur::MustNot, inner.under())]),
        }
    }

    /// A query that finds nothing but matches, maybe not all.
    fn under(&self) -> Boxed {
        match self {
            Plan::Exact(query) => query.box_clone(),
            Plan::Check { .. } => Box::new(EmptyQuery),
            Plan::And(items) => and(items.iter().map(|i| (Occur::Must, i.under())).collect()),
            Plan::Or(items) => or(items.iter().map(Plan::under).collect()),
            Plan::Not(inner) => and(vec![(Occur::MustNot, inner.over())]),
        }
    }
}

/// All of the first kind and none of the second; of nothing, everything.
pub(crate) fn and(mut items: Vec<(Occur, Boxed)>) -> Boxed {
    if items.iter().all(|(occur, _)| *occur == Occur::MustNot) {
        items.push((Occur::Must, Box::new(AllQuery)));
    }
    // Terms that must all be there are found in one go.
    let is_term = |(occur, query): &(Occur, Boxed)| *occur == Occur::Must && query.is::<Holding>();
    if items.iter().filter(|i| is_term(i)).count() > 1 {
        let (terms, rest): (Vec<_>, Vec<_>) = items.into_iter().partition(is_term);
        let terms = terms.iter().filter_map(|(_, q)| q.downcast_ref::<Holding>().cloned());
        items = vec![(Occur::Must, Box::new(Together::new(terms.collect())) as Boxed)];
        items.extend(rest);
    }
    if items.len() == 1 {
        return items.remove(0).1;
    }
    let steady = |(occur, query): (Occur, Boxed)| match occur == Occur::MustNot && !query.is::<Holding>() {
        true => (occur, Box::new(Steady(query)) as Boxed),
        false => (occur, query),
    };
    Box::new(BooleanQuery::new(items.into_iter().map(steady).collect()))
}

fn or(mut items: Vec<Boxed>) -> Boxed {
    match items.len() {
        0 => Box::new(EmptyQuery),
        1 => items.remove(0),
        _ => Box::new(BooleanQuery::union(items)),
    }
}

/// Moments of a field, both ends included.
pub(crate) fn moments(field: Field, first: i64, last: i64) -> Boxed {
    if first > last {
        return Box::new(EmptyQuery);
    }
    let term = |n| Bound::Included(Term::from_field_i64(field, n));
    Box::new(RangeQuery::new(term(first), term(last)))
}

/// Plans one condition.
struct Planner<'a> {
    fields: &'a Fields,
}

impl Planner<'_> {
    fn leaf(&self, leaf: &Leaf) -> Plan {
        let spec = match &leaf.target {
            Target::Unmapped(path) => return Plan::Exact(self.unmapped(path, &leaf.test)),
            Target::Field(spec) => spec,
        };
        match (&spec.kind, &leaf.test) {
            (Kind::Text(names), Test::Text(pattern)) => Plan::or(names.iter().map(|n| self.text(n, pattern)).collect()),
            (Kind::Text(names), Test::Holds(text)) => Plan::or(names.iter().map(|n| self.holds(n, text)).collect()),
            (Kind::Text(names), Test::Exists) => Plan::Exact(or(names.iter().map(|n| self.term("has", n)).collect())),
            (kind, test) => Plan::Exact(self.exact(kind, test)),
        }
    }

    fn exact(&self, kind: &Kind, test: &Test) -> Boxed {
        let exists = |name: &str| match WITHOUT_COLUMN.contains(&name) {
            true => self.between(name, Bound::Unbounded, Bound::Unbounded),
            false => Box::new(ExistsQuery::new(name.to_owned(), false)),
        };
        match (kind, test) {
            (Kind::Keyword(names), Test::Exists) => or(names.iter().map(|n| exists(n)).collect()),
            (Kind::Address(name, _), Test::Exists) => exists(name),
            (Kind::Severity, Test::Exists) => exists("severity"),
            // These are there always.
            (Kind::Number("index") | Kind::Class | Kind::Record | Kind::Time(_), Test::Exists) => Box::new(AllQuery),
            (Kind::Number(name), Test::Exists) => exists(name),
            (Kind::Keyword(names), test) => or(names.iter().map(|n| self.whole(n, test)).collect()),
            (Kind::Address(_, addresses), Test::Network(first, last)) => {
                if first > last {
                    return Box::new(EmptyQuery);
                }
                let field = self.field(addresses);
                let term = |a| Bound::Included(Term::from_field_ip_addr(field, a));
                Box::new(RangeQuery::new(term(*first), term(*last)))
            }
            (Kind::Address(name, _), test) => self.whole(name, test),
            (Kind::Number(name), Test::Number(low, high)) => self.number(name, *low, *high),
            (Kind::Class, Test::Number(low, high)) => self.number("class", *low, *high),
            (Kind::Severity, Test::Number(low, high)) => self.number("severity", *low, *high),
            (Kind::Time(name), Test::Time(first, last)) => moments(self.field(name), *first, *last),
            (Kind::Record, Test::Is(id)) => self.record(id),
            // The parser makes no other pairs.
            _ => Box::new(EmptyQuery),
        }
    }

    /// A handle; the tables of names are tested against the schema.
    fn field(&self, name: &str) -> Field {
        self.fields
            .named(name)
            .expect("a field that the table of names has is in the schema")
    }

    fn word(&self, name: &str) -> WordField {
        self.fields
            .word(name)
            .expect("a field that the table of names has is looked up by words")
    }

    fn term(&self, name: &str, value: &str) -> Boxed {
        Box::new(Holding::new(self.word(name), value))
    }

    fn between(&self, name: &str, low: Bound<String>, high: Bound<String>) -> Boxed {
        Box::new(Matching::new(self.word(name), Terms::Between(low, high)))
    }

    fn whole(&self, name: &str, test: &Test) -> Boxed {
        match test {
            Test::Is(value) => self.term(name, value),
            Test::Like(pattern) => self.like(name, pattern),
            _ => Box::new(EmptyQuery),
        }
    }

    fn like(&self, name: &str, pattern: &[Glob]) -> Boxed {
        Box::new(Matching::new(self.word(name), Terms::like(pattern)))
    }

    fn number(&self, name: &str, low: Bound<u64>, high: Bound<u64>) -> Boxed {
        let low = match low {
            Bound::Included(n) => Some(n),
            Bound::Excluded(n) => n.checked_add(1),
            Bound::Unbounded => Some(0),
        };
        let high = match high {
            Bound::Included(n) => Some(n),
            Bound::Excluded(n) => n.checked_sub(1),
            Bound::Unbounded => Some(u64::MAX),
        };
        let field = self.field(name);
        let term = |n| Term::from_field_u64(field, n);
        match (low, high) {
            (Some(a), Some(b)) if a == b && self.fields.word(name).is_some() => self.term(name, &a.to_string()),
            (Some(a), Some(b)) if a <= b => {
                Box::new(RangeQuery::new(Bound::Included(term(a)), Bound::Included(term(b))))
            }
            _ => Box::new(EmptyQuery),
        }
    }

    /// The events of a record, or one of them; those that it was joined into carry it as a label.
    fn record(&self, id: &str) -> Boxed {
        let uid = Uid::parse(id);
        let mut parts = vec![(Occur::Must, self.term("partition", &folded(uid.partition)))];
        if let Some(offset) = uid.offset {
            let term = || Bound::Included(Term::from_field_i64(self.fields.offset, offset));
            parts.push((Occur::Must, Box::new(RangeQuery::new(term(), term()))));
        }
        if uid.event > 0 {
            parts.push((
                Occur::Must,
                self.number("event", Bound::Included(uid.event), Bound::Included(uid.event)),
            ));
        }
        or(vec![and(parts), self.term("label", &folded(&format!("record:{id}")))])
    }

    fn unmapped(&self, path: &str, test: &Test) -> Boxed {
        let range = |low, high| self.between("unmapped", low, high);
        match test {
            // `>` follows `=`, `$` follows `#`.
            Test::Exists => range(
                Bound::Included(format!("{path}\0=")),
                Bound::Excluded(format!("{path}\0>")),
            ),
            Test::Is(value) => {
                let whole = self.term("unmapped", &format!("{path}\0={value}"));
                let number = unmapped::number_term(path, value).map(|t| self.term("unmapped", &t));
                or(std::iter::once(whole).chain(number).collect())
            }
            Test::Like(pattern) => {
                let prefix = path.chars().chain(['\0', '=']).map(Glob::Char);
                self.like("unmapped", &prefix.chain(pattern.iter().copied()).collect::<Vec<_>>())
            }
            Test::Float(low, high) => {
                let key = |n: &f64| unmapped::ordered(path, *n);
                let low = match low {
                    Bound::Included(n) => Bound::Included(key(n)),
                    Bound::Excluded(n) => Bound::Excluded(key(n)),
                    Bound::Unbounded => Bound::Included(format!("{path}\0#")),
                };
                let high = match high {
                    Bound::Included(n) => Bound::Included(key(n)),
                    Bound::Excluded(n) => Bound::Excluded(key(n)),
                    Bound::Unbounded => Bound::Excluded(format!("{path}\0$")),
                };
                range(low, high)
            }
            _ => Box::new(EmptyQuery),
        }
    }

    fn text(&self, name: &str, pattern: &TextPattern) -> Plan {
        // The last of the text fields is `raw`, which keeps no places.
        if ALL_TEXTS.last() == Some(&name) {
            let pieces = pattern.pieces().map(|p| (Occur::Must, self.piece(name, p)));
            let over = and(pieces.collect());
            return match pattern.is_loose() {
                true => Plan::Exact(over),
                false => Plan::Check {
                    over,
                    test: TextTest::Words(pattern.clone()),
                },
            };
        }
        let phrases = pattern.phrases.iter().map(|p| (Occur::Must, self.phrase(name, p)));
        Plan::Exact(and(phrases.collect()))
    }

    /// Candidates are what holds the fragment's words, those at its ends maybe in part.
    fn holds(&self, name: &'static str, text: &str) -> Plan {
        let mut words: Vec<(usize, usize, String)> = Vec::new();
        each_token(text, |from, to, word| words.push((from, to, word.to_owned())));
        let (mut parts, mut in_part) = (Vec::new(), Vec::new());
        for (from, to, word) in words {
            let is_whole = word.chars().all(stands_alone);
            let (left, right) = (from == 0 && !is_whole, to == text.len() && !is_whole);
            if !left && !right {
                parts.push((Occur::Must, self.term(name, &word)));
                continue;
            }
            let many = |wild: bool| wild.then_some(Glob::Many);
            let glob: Vec<Glob> = many(left)
                .into_iter()
                .chain(word.chars().map(Glob::Char))
                .chain(many(right))
                .collect();
            in_part.push((word.chars().count(), glob));
        }
        // A word in part is looked for among all words there are: worth it where it is long or nothing else is known, and
        // then for one of them.
        let longest = in_part.into_iter().max_by_key(|(length, _)| *length);
        if let Some((_, glob)) = longest.filter(|(length, _)| *length >= PART_CHARS_MIN || parts.is_empty()) {
            // A run of letters beyond the length of a word is cut, maybe within the fragment.
            let terms = Terms::like_or_cut(&glob);
            parts.push((Occur::Must, Box::new(Matching::new(self.word(name), terms)) as Boxed));
        }
        if parts.is_empty() {
            parts.push((Occur::Must, self.term("has", name)));
        }
        Plan::Check {
            over: and(parts),
            test: TextTest::Holds(name, text.to_owned()),
        }
    }

    fn piece(&self, name: &str, piece: &Piece) -> Boxed {
        match piece {
            Piece::Word(word) => self.term(name, word),
            Piece::Like(pattern) => self.like(name, pattern),
        }
    }

    fn phrase(&self, name: &str, phrase: &Phrase) -> Boxed {
        match &phrase.pieces[..] {
            [(_, piece)] => self.piece(name, piece),
            pieces => Box::new(InRow::new(self.word(name), pieces)),
        }
    }
}

/// Letters of a word in part beside which other words are known.
const PART_CHARS_MIN: usize = 3;
