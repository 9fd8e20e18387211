//! Text to query. One pass, no token list: what a character means depends on whether a value is being read.

use super::ast::{Leaf, Node, Reading, Target, Test};
use super::error::shown;
use super::field::{self, FieldSpec, Kind};
use super::meaning::{self, Ends, Written};
use super::people::{self, NoPerson};
use super::{CLAUSES_MAX, DEPTH_MAX, Problem, QUERY_BYTES_MAX, QueryError};
use crate::keyword::{Glob, folded};
use crate::unmapped;

type Result<T> = std::result::Result<T, QueryError>;

/// Reads a query.
pub(super) fn query(text: &str, reading: &Reading<'_>) -> Result<Node> {
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
        reading: *reading,
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
    reading: Reading<'a>,
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
            if matches!(&target, Target::Field(f) if f.kind == Kind::Person) {
                return Err(meaning::not_allowed(&target, at, "`exists:`"));
            }
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
        self.count(
            match &test {
                Test::Text(pattern) => pattern.pieces().count(),
                _ => 1,
            },
            at,
        )?;
        Ok(Node::Leaf(Leaf { target, test, at }))
    }

    fn count(&mut self, conditions: usize, at: usize) -> Result<()> {
        self.clauses += conditions;
        if self.clauses > CLAUSES_MAX {
            let problem = Problem::TooMuch {
                given: self.clauses,
                what: "conditions and words",
                limit: CLAUSES_MAX,
            };
            return Err(QueryError::new(at, problem));
        }
        Ok(())
    }

    /// The events of a person.
    fn person(&mut self, written: &Written) -> Result<Node> {
        let wrong = |e: NoPerson| QueryError::new(written.at, Problem::Person(e.problem)).suggest(e.suggestion);
        let unknown = || NoPerson {
            problem: "`person:` needs the tables account_registry and hr_roster, which are not loaded".into(),
            suggestion: Some("set `reference` in the configuration, or name the accounts: user:(a OR b)".into()),
        };
        let people = self.reading.people.ok_or_else(|| wrong(unknown()))?;
        let person = people.person(&written.text()).map_err(wrong)?;
        let node = people::events_of(&person, written.at);
        self.count(people::conditions(&node), written.at)?;
        Ok(node)
    }

    /// A value of a field; of no field, text.
    fn value(&mut self, field: Option<&Target>) -> Result<Node> {
        let at = self.at;
        if let Some(target) = field {
            match self.peek() {
                Some('[' | '{') => return self.range(target),
                Some('<' | '>') => return self.comparison(target),
                Some('~') => return self.fragment(target),
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
        if matches!(&target, Target::Field(f) if f.kind == Kind::Person) {
            return self.person(&written);
        }
        let test = meaning::test(&target, &written, self.reading.now)?;
        self.leaf(target, test, at)
    }

    /// Text as it stands, after `~`.
    fn fragment(&mut self, target: &Target) -> Result<Node> {
        self.take('~');
        let written = if self.peek() == Some('"') {
            self.quoted()?
        } else {
            self.word(false)?
        };
        self.space();
        let test = meaning::holds(target, &written)?;
        self.leaf(target.clone(), test, written.at)
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
        if matches!(target, Target::Field(f) if f.kind == Kind::Person) {
            return Err(meaning::not_allowed(target, at, "range"));
        }
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
        let low = low
            .map(|w| meaning::half(target, &w, &Ends::From(low_in), self.reading.now))
            .transpose()?;
        let high = high
            .map(|w| meaning::half(target, &w, &Ends::To(high_in), self.reading.now))
            .transpose()?;
        let test = match (low, high) {
            (Some(a), Some(b)) => meaning::both(a, b),
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
        let test = meaning::half(target, &written, &ends, self.reading.now)?;
        self.leaf(target.clone(), test, at)
    }
}
