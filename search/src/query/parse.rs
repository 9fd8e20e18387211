//! Text to query. One pass, no token list: what a character means depends on whether a value is being read.

use std::ops::Bound;

use model::Millis;

use super::ast::{Leaf, Node, Target, Test};
use super::error::shown;
use super::field::{self, FieldSpec, Kind, SEVERITIES};
use super::pattern::folded as folded_part;
use super::{
    CLAUSES_MAX, DEPTH_MAX, PATTERN_CHARS_MAX, Problem, QUERY_BYTES_MAX, QueryError, TextPattern, class, value,
};
use crate::document::address;
use crate::keyword::{Glob, bounded, folded};
use crate::unmapped;

type Result<T> = std::result::Result<T, QueryError>;

/// Reads a query.
pub(super) fn query(text: &str, now: Option<Millis>) -> Result<Node> {
    if text.len() > QUERY_BYTES_MAX {
        let problem = Problem::TooMuch {
            given: text.len(),
            what: "bytes of query",
            limit: QUERY_BYTES_MAX,
        };
        return Err(QueryError::new(0, problem));
    }
    let mut parser = Parser {
        text,
        at: 0,
        depth: 0,
        clauses: 0,
        now,
    };
    parser.space();
    if parser.rest().is_empty() {
        return Ok(Node::And(Vec::new()));
    }
    let node = parser.any_of(None)?;
    match parser.peek() {
        None => Ok(node),
        Some(_) => Err(parser.expected("the end of the query")),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    clauses: usize,
    now: Option<Millis>,
}

/// A value as written.
struct Written {
    /// Where it starts.
    at: usize,
    /// As characters and wildcards; of a quoted one, characters only.
    parts: Vec<Glob>,
}

impl Written {
    fn is_wild(&self) -> bool {
        self.parts.iter().any(|p| !matches!(p, Glob::Char(_)))
    }

    /// The text, wildcards as they were written.
    fn text(&self) -> String {
        let char = |p: &Glob| match p {
            Glob::Char(c) => *c,
            Glob::Any => '?',
            Glob::Many => '*',
        };
        self.parts.iter().map(char).collect()
    }
}

/// How the end of a range or a comparison holds.
enum Ends {
    From(bool),
    To(bool),
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn take(&mut self, c: char) -> bool {
        let found = self.peek() == Some(c);
        if found {
            self.at += c.len_utf8();
        }
        found
    }

    fn space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn expected(&self, expected: &'static str) -> QueryError {
        let found = match self.peek() {
            None => "the end".to_owned(),
            Some(_) => format!(
                "`{}`",
                shown(self.rest().split_whitespace().next().unwrap_or(self.rest()))
            ),
        };
        QueryError::new(self.at, Problem::Expected { expected, found })
    }

    /// Whether an operator stands here.
    fn sees(&self, operator: &str) -> bool {
        self.rest().strip_prefix(operator).is_some_and(|r| {
            r.chars()
                .next()
                .is_none_or(|c| c.is_whitespace() || matches!(c, '(' | ')' | '"'))
        })
    }

    fn operator(&mut self, operator: &str) -> bool {
        let found = self.sees(operator);
        if found {
            self.at += operator.len();
            self.space();
        }
        found
    }

    fn deeper(&mut self, at: usize) -> Result<()> {
        self.depth += 1;
        match self.depth > DEPTH_MAX {
            false => Ok(()),
            true => {
                let problem = Problem::TooMuch {
                    given: self.depth,
                    what: "levels of parentheses",
                    limit: DEPTH_MAX,
                };
                Err(QueryError::new(at, problem))
            }
        }
    }

    fn any_of(&mut self, field: Option<&Target>) -> Result<Node> {
        let mut items = vec![self.all_of(field)?];
        while self.operator("OR") {
            items.push(self.all_of(field)?);
        }
        Ok(if items.len() == 1 {
            items.remove(0)
        } else {
            Node::Or(items)
        })
    }

    fn all_of(&mut self, field: Option<&Target>) -> Result<Node> {
        let mut items = vec![self.negated(field)?];
        loop {
            self.space();
            if self.peek().is_none_or(|c| c == ')') || self.sees("OR") {
                break;
            }
            self.operator("AND");
            items.push(self.negated(field)?);
        }
        Ok(if items.len() == 1 {
            items.remove(0)
        } else {
            Node::And(items)
        })
    }

    fn negated(&mut self, field: Option<&Target>) -> Result<Node> {
        self.space();
        let mut not = false;
        while self.operator("NOT") {
            not = !not;
        }
        if self.sees("AND") || self.sees("OR") {
            return Err(self
                .expected("a word, a field or `(`")
                .suggest(Some("quote an operator to search for it".into())));
        }
        let node = self.primary(field)?;
        Ok(if not { Node::Not(Box::new(node)) } else { node })
    }

    fn primary(&mut self, field: Option<&Target>) -> Result<Node> {
        let at = self.at;
        match self.peek() {
            None | Some(')') => Err(self.expected("a word, a field or `(`")),
            Some('(') => {
                self.take('(');
                self.group(at, field)
            }
            Some(_) => match self.field_name() {
                Some(name) => self.condition(at, name),
                None => self.value(field),
            },
        }
    }

    /// What stands in parentheses, the opening one read.
    fn group(&mut self, at: usize, field: Option<&Target>) -> Result<Node> {
        self.deeper(at)?;
        let node = self.any_of(field)?;
        self.space();
        if !self.take(')') {
            return Err(self
                .expected("`)`")
                .suggest(Some(format!("the `(` at byte {at} is not closed"))));
        }
        self.depth -= 1;
        self.space();
        Ok(node)
    }

    /// A name with a colon, read past the colon.
    fn field_name(&mut self) -> Option<&'a str> {
        let rest = self.rest();
        if rest.starts_with("*:*") {
            self.at += 2;
            return None;
        }
        let end = rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.' | '@' | '-')))?;
        let name = &rest[..end];
        let starts = name.starts_with(|c: char| c.is_alphabetic() || matches!(c, '_' | '@'));
        if !starts || !rest[end..].starts_with(':') {
            return None;
        }
        self.at += end + 1;
        self.space();
        Some(name)
    }

    fn target(&self, at: usize, name: &str) -> Result<Target> {
        if let Some(spec) = field::find(name) {
            return Ok(Target::Field(spec));
        }
        match name.strip_prefix("unmapped.") {
            Some(path) if !path.is_empty() && path.len() <= unmapped::PATH_BYTES_MAX => {
                Ok(Target::Unmapped(folded(path)))
            }
            _ => {
                let near = field::nearest(name, field::names()).map(|n| format!("did you mean `{n}`?"));
                let quote = || Some("put text that holds a colon within quotes".to_owned());
                Err(QueryError::new(at, Problem::UnknownField(shown(name))).suggest(near.or_else(quote)))
            }
        }
    }

    /// What follows a name and a colon.
    fn condition(&mut self, at: usize, name: &str) -> Result<Node> {
        if name.eq_ignore_ascii_case("exists") {
            let at = self.at;
            let named = self.word(false)?;
            let target = self.target(at, &named.text())?;
            return self.leaf(target, Test::Exists, at);
        }
        let target = self.target(at, name)?;
        let at = self.at;
        match self.peek() {
            Some('(') => {
                self.take('(');
                self.group(at, Some(&target))
            }
            _ => self.value(Some(&target)),
        }
    }

    fn leaf(&mut self, target: Target, test: Test, at: usize) -> Result<Node> {
        self.clauses += match &test {
            Test::Text(pattern) => pattern.pieces().count(),
            _ => 1,
        };
        if self.clauses > CLAUSES_MAX {
            let problem = Problem::TooMuch {
                given: self.clauses,
                what: "conditions and words",
                limit: CLAUSES_MAX,
            };
            return Err(QueryError::new(at, problem));
        }
        Ok(Node::Leaf(Leaf { target, test, at }))
    }

    /// A value of a field; of no field, text.
    fn value(&mut self, field: Option<&Target>) -> Result<Node> {
        let at = self.at;
        if let Some(target) = field {
            match self.peek() {
                Some('[' | '{') => return self.range(target),
                Some('<' | '>') => return self.comparison(target),
                _ => {}
            }
        }
        let written = if self.peek() == Some('"') {
            self.quoted()?
        } else {
            self.word(true)?
        };
        self.space();
        let all: &FieldSpec = field::find("text").expect("the table has it");
        let target = match field {
            None if written.parts == [Glob::Many] => return Ok(Node::And(Vec::new())),
            None => Target::Field(all),
            Some(target) => target.clone(),
        };
        let test = self.test(&target, &written)?;
        self.leaf(target, test, at)
    }

    /// Characters up to white space, a parenthesis or a quote.
    fn word(&mut self, wild: bool) -> Result<Written> {
        let mut written = Written {
            at: self.at,
            parts: Vec::new(),
        };
        while let Some(c) = self.peek() {
            if c.is_whitespace() || matches!(c, '(' | ')' | '"') {
                break;
            }
            self.at += c.len_utf8();
            match c {
                '*' if wild => written.parts.push(Glob::Many),
                '?' if wild => written.parts.push(Glob::Any),
                '\\' => match self.peek() {
                    // `C:\Windows` is itself, `\*` an asterisk.
                    Some(next) if !next.is_alphanumeric() => {
                        self.at += next.len_utf8();
                        written.parts.push(Glob::Char(next));
                    }
                    _ => written.parts.push(Glob::Char('\\')),
                },
                c => written.parts.push(Glob::Char(c)),
            }
        }
        match written.parts.is_empty() {
            true => Err(self.expected("a value")),
            false => Ok(written),
        }
    }

    fn quoted(&mut self) -> Result<Written> {
        let at = self.at;
        self.take('"');
        let mut parts = Vec::new();
        while let Some(c) = self.peek() {
            self.at += c.len_utf8();
            match c {
                '"' => return Ok(Written { at, parts }),
                '\\' if matches!(self.peek(), Some('"' | '\\')) => {
                    let next = self.peek().unwrap_or('\\');
                    self.at += next.len_utf8();
                    parts.push(Glob::Char(next));
                }
                c => parts.push(Glob::Char(c)),
            }
        }
        Err(self
            .expected("`\"`")
            .suggest(Some(format!("the `\"` at byte {at} is not closed"))))
    }

    fn range(&mut self, target: &Target) -> Result<Node> {
        let at = self.at;
        let low_in = self.take('[');
        if !low_in {
            self.take('{');
        }
        let low = self.end_of_range()?;
        if !self.operator("TO") {
            return Err(self
                .expected("`TO`")
                .suggest(Some("a range is written [a TO b]".into())));
        }
        let high = self.end_of_range()?;
        let high_in = self.take(']');
        if !high_in && !self.take('}') {
            return Err(self.expected("`]` or `}`"));
        }
        self.space();
        let low = low.map(|w| self.half(target, &w, &Ends::From(low_in))).transpose()?;
        let high = high.map(|w| self.half(target, &w, &Ends::To(high_in))).transpose()?;
        let test = match (low, high) {
            (Some(a), Some(b)) => both(a, b),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => Test::Exists,
        };
        self.leaf(target.clone(), test, at)
    }

    /// `None` for `*`.
    fn end_of_range(&mut self) -> Result<Option<Written>> {
        self.space();
        if self.peek() == Some('"') {
            let written = self.quoted()?;
            self.space();
            return Ok(Some(written));
        }
        let at = self.at;
        let rest = self.rest();
        let end = rest
            .find(|c: char| c.is_whitespace() || matches!(c, ']' | '}'))
            .unwrap_or(rest.len());
        if end == 0 {
            return Err(self.expected("an end of the range"));
        }
        self.at += end;
        self.space();
        let text = &rest[..end];
        Ok((text != "*").then(|| Written {
            at,
            parts: text.chars().map(Glob::Char).collect(),
        }))
    }

    fn comparison(&mut self, target: &Target) -> Result<Node> {
        let at = self.at;
        let above = self.take('>');
        if !above {
            self.take('<');
        }
        let included = self.take('=');
        self.space();
        let written = if self.peek() == Some('"') {
            self.quoted()?
        } else {
            self.word(false)?
        };
        self.space();
        let ends = if above {
            Ends::From(included)
        } else {
            Ends::To(included)
        };
        let test = self.half(target, &written, &ends)?;
        self.leaf(target.clone(), test, at)
    }

    /// A range that is open at one end.
    fn half(&self, target: &Target, written: &Written, ends: &Ends) -> Result<Test> {
        let text = written.text();
        let bound = |n| match ends {
            Ends::From(true) | Ends::To(true) => Bound::Included(n),
            Ends::From(false) | Ends::To(false) => Bound::Excluded(n),
        };
        let from = matches!(ends, Ends::From(_));
        let number = |n: u64| match from {
            true => Test::Number(bound(n), Bound::Unbounded),
            false => Test::Number(Bound::Unbounded, bound(n)),
        };
        let wrong = |allowed| wrong(written, allowed);
        match target {
            Target::Unmapped(_) => {
                let n = unmapped::number(&text).ok_or_else(|| wrong("a number"))?;
                let bound = match ends {
                    Ends::From(true) | Ends::To(true) => Bound::Included(n),
                    _ => Bound::Excluded(n),
                };
                Ok(if from {
                    Test::Float(bound, Bound::Unbounded)
                } else {
                    Test::Float(Bound::Unbounded, bound)
                })
            }
            Target::Field(spec) => match spec.kind {
                Kind::Number(_) => text.parse().map(number).map_err(|_| wrong("a whole number")),
                Kind::Severity => severity(&text).map(number).ok_or_else(|| wrong(SEVERITY)),
                Kind::Time(_) => {
                    let (first, last) = value::moment(&text, self.now).ok_or_else(|| wrong(value::TIMES))?;
                    Ok(match ends {
                        Ends::From(true) => Test::Time(first, i64::MAX),
                        Ends::From(false) => Test::Time(last.saturating_add(1), i64::MAX),
                        Ends::To(true) => Test::Time(i64::MIN, last),
                        Ends::To(false) => Test::Time(i64::MIN, first.saturating_sub(1)),
                    })
                }
                Kind::Address(..) => {
                    let (first, last) = address(&text)
                        .map(|a| (a, a))
                        .or_else(|| value::network(&text))
                        .ok_or_else(|| wrong("an address"))?;
                    let (lowest, highest) = (0.into(), u128::MAX.into());
                    Ok(match ends {
                        Ends::From(true) => Test::Network(first, highest),
                        Ends::From(false) => Test::Network(last.to_bits().saturating_add(1).into(), highest),
                        Ends::To(true) => Test::Network(lowest, last),
                        Ends::To(false) => Test::Network(lowest, first.to_bits().saturating_sub(1).into()),
                    })
                }
                _ => {
                    let problem = Problem::NotAllowed {
                        field: spec.name.to_owned(),
                        what: "range",
                    };
                    Err(QueryError::new(written.at, problem))
                }
            },
        }
    }

    /// A word or a phrase, as the field understands it.
    fn test(&self, target: &Target, written: &Written) -> Result<Test> {
        if written.is_wild() && written.parts.len() > PATTERN_CHARS_MAX {
            let given = written.parts.len();
            let problem = Problem::TooMuch {
                given,
                what: "characters of a pattern",
                limit: PATTERN_CHARS_MAX,
            };
            return Err(QueryError::new(written.at, problem));
        }
        let text = written.text();
        let wrong = |allowed| wrong(written, allowed);
        let only_many = written.is_wild() && written.parts.iter().all(|p| *p == Glob::Many);
        if only_many {
            return Ok(Test::Exists);
        }
        let keyword = || match written.is_wild() {
            true => Test::Like(written.parts.iter().flat_map(|p| folded_part(*p)).collect()),
            false => Test::Is(folded(&bounded(&text))),
        };
        let one = |n| Test::Number(Bound::Included(n), Bound::Included(n));
        let spec = match target {
            Target::Unmapped(_) => return Ok(keyword()),
            Target::Field(spec) => spec,
        };
        let not_wild = |what| Problem::NotAllowed {
            field: spec.name.to_owned(),
            what,
        };
        let takes_patterns = matches!(spec.kind, Kind::Keyword(_) | Kind::Text(_) | Kind::Address(..));
        if written.is_wild() && !takes_patterns {
            return Err(QueryError::new(written.at, not_wild("wildcards")));
        }
        match &spec.kind {
            Kind::Keyword(_) => Ok(keyword()),
            Kind::Text(_) => {
                let many = written.parts.contains(&Glob::Many);
                let pattern = if many {
                    TextPattern::wild(&written.parts)
                } else {
                    TextPattern::phrase(&text)
                };
                let none = || QueryError::new(written.at, Problem::NoWord(shown(&text)));
                pattern.map(Test::Text).ok_or_else(none)
            }
            Kind::Address(..) if written.is_wild() => Ok(keyword()),
            Kind::Address(..) => match (address(&text), value::network(&text)) {
                (Some(a), _) => Ok(Test::Is(canonical(a))),
                (None, Some((first, last))) => Ok(Test::Network(first, last)),
                (None, None) if text.contains('/') => Err(wrong("a network; write 10.8.0.0/16")),
                (None, None) => Ok(keyword()),
            },
            Kind::Number(_) => text.parse().map(one).map_err(|_| wrong("a whole number")),
            Kind::Severity => severity(&text).map(one).ok_or_else(|| wrong(SEVERITY)),
            Kind::Class => class::find(&text).map(|uid| one(u64::from(uid))).ok_or_else(|| {
                let near =
                    field::nearest(&class::plain(&text), class::names()).map(|n| format!("did you mean `\"{n}\"`?"));
                wrong("an OCSF class, by uid or name").suggest(near)
            }),
            Kind::Time(_) => {
                let (first, last) = value::moment(&text, self.now).ok_or_else(|| wrong(value::TIMES))?;
                Ok(Test::Time(first, last))
            }
            Kind::Record => Ok(Test::Is(text)),
        }
    }
}

const SEVERITY: &str = "a severity; write informational, low, medium, high, critical, fatal, or 0 to 6";

fn severity(text: &str) -> Option<u64> {
    text.parse().ok().or_else(|| {
        SEVERITIES
            .iter()
            .find(|(_, n)| n.eq_ignore_ascii_case(text))
            .map(|(id, _)| *id)
    })
}

fn wrong(written: &Written, allowed: &'static str) -> QueryError {
    QueryError::new(
        written.at,
        Problem::Value {
            value: shown(&written.text()),
            allowed,
        },
    )
}

/// An address as the keyword field has it.
pub(crate) fn canonical(address: std::net::Ipv6Addr) -> String {
    std::net::IpAddr::V6(address).to_canonical().to_string()
}

/// Two half ranges as one.
fn both(low: Test, high: Test) -> Test {
    match (low, high) {
        (Test::Number(a, _), Test::Number(_, b)) => Test::Number(a, b),
        (Test::Float(a, _), Test::Float(_, b)) => Test::Float(a, b),
        (Test::Time(a, _), Test::Time(_, b)) => Test::Time(a, b),
        (Test::Network(a, _), Test::Network(_, b)) => Test::Network(a, b),
        // Both halves are of one field, so of one kind.
        (low, _) => low,
    }
}
