//! The condition language: `and`, `or`, `not`, parentheses, `1 of x*`, `all of them`.

/// Levels of nesting; parsing recurses.
const DEPTH_MAX: usize = 64;

/// A condition as written, names not resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ast {
    /// A name.
    Name(String),
    /// `and`.
    All(Vec<Ast>),
    /// `or`.
    Any(Vec<Ast>),
    /// `not`.
    Not(Box<Ast>),
    /// `1 of x*`, `any of x*`, `2 of them`; `None`: `all of x*`.
    Of(Option<u32>, String),
}

/// Reads a condition; the error is a sentence about it.
pub(crate) fn parse_condition(text: &str) -> Result<Ast, String> {
    let tokens = tokens(text);
    if tokens.contains(&"|") {
        return Err("`|` was Sigma 1's aggregation; write a `correlation` document instead".to_owned());
    }
    let mut parser = Parser { tokens: &tokens, at: 0 };
    let ast = parser.any(0)?;
    match parser.peek() {
        None => Ok(ast),
        Some(")") => Err("a `)` without its `(`".to_owned()),
        Some(token) => Err(format!("`{token}` stands where `and`, `or` or the end was expected")),
    }
}

fn tokens(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    for word in text.split_whitespace() {
        let mut rest = word;
        while let Some(at) = rest.find(['(', ')', '|']) {
            if at > 0 {
                out.push(&rest[..at]);
            }
            out.push(&rest[at..=at]);
            rest = &rest[at + 1..];
        }
        if !rest.is_empty() {
            out.push(rest);
        }
    }
    out
}

struct Parser<'t> {
    tokens: &'t [&'t str],
    at: usize,
}

impl<'t> Parser<'t> {
    fn peek(&self) -> Option<&'t str> {
        self.tokens.get(self.at).copied()
    }

    fn take(&mut self, word: &str) -> bool {
        let there = self.peek().is_some_and(|t| t.eq_ignore_ascii_case(word));
        self.at += usize::from(there);
        there
    }

    fn any(&mut self, depth: usize) -> Result<Ast, String> {
        let mut parts = vec![self.all(depth)?];
        while self.take("or") {
            parts.push(self.all(depth)?);
        }
        Ok(if parts.len() == 1 {
            parts.swap_remove(0)
        } else {
            Ast::Any(parts)
        })
    }

    fn all(&mut self, depth: usize) -> Result<Ast, String> {
        let mut parts = vec![self.not(depth)?];
        while self.take("and") {
            parts.push(self.not(depth)?);
        }
        Ok(if parts.len() == 1 {
            parts.swap_remove(0)
        } else {
            Ast::All(parts)
        })
    }

    fn not(&mut self, depth: usize) -> Result<Ast, String> {
        if depth > DEPTH_MAX {
            return Err(format!("nested deeper than {DEPTH_MAX} levels"));
        }
        if self.take("not") {
            return Ok(Ast::Not(Box::new(self.not(depth + 1)?)));
        }
        if self.take("(") {
            let inner = self.any(depth + 1)?;
            return if self.take(")") {
                Ok(inner)
            } else {
                Err("a `(` without its `)`".to_owned())
            };
        }
        let Some(name) = self.peek() else {
            return Err("it ends where a name was expected".to_owned());
        };
        self.at += 1;
        if self.peek().is_some_and(|t| t.eq_ignore_ascii_case("of")) {
            let quantity = match name.to_ascii_lowercase().as_str() {
                "all" => None,
                "any" => Some(1),
                number => match number.parse() {
                    Ok(n) if n > 0 => Some(n),
                    _ => {
                        return Err(format!(
                            "`{name} of` has to be `1 of`, `any of`, `all of` or a number above 0"
                        ));
                    }
                },
            };
            self.at += 1;
            let pattern = self.peek().ok_or("`of` needs a name, a pattern or `them`")?;
            self.at += 1;
            return Ok(Ast::Of(quantity, pattern.to_owned()));
        }
        match name.to_ascii_lowercase().as_str() {
            "and" | "or" | ")" | "of" => Err(format!("`{name}` stands where a name was expected")),
            _ if name.contains('*') => Err(format!("`{name}` is a pattern; write `1 of {name}` or `all of {name}`")),
            _ => Ok(Ast::Name(name.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_parse_or_say_why_not() {
        let show = |text: &str| match parse_condition(text) {
            Ok(ast) => format!("{ast:?}").replace('"', ""),
            Err(e) => format!("error: {e}"),
        };
        for (text, expected) in [
            ("a", "Name(a)"),
            ("a or b and not c", "Any([Name(a), All([Name(b), Not(Name(c))])])"),
            ("(a or b)and c", "All([Any([Name(a), Name(b)]), Name(c)])"),
            (
                "1 of sel* AND NOT all OF them",
                "All([Of(Some(1), sel*), Not(Of(None, them))])",
            ),
            ("any of x_*", "Of(Some(1), x_*)"),
            ("not not a", "Not(Not(Name(a)))"),
            ("", "error: it ends where a name was expected"),
            ("a and", "error: it ends where a name was expected"),
            ("(a", "error: a `(` without its `)`"),
            ("a)", "error: a `)` without its `(`"),
            ("a b", "error: `b` stands where `and`, `or` or the end was expected"),
            ("or a", "error: `or` stands where a name was expected"),
            (
                "0 of a",
                "error: `0 of` has to be `1 of`, `any of`, `all of` or a number above 0",
            ),
            ("sel*", "error: `sel*` is a pattern; write `1 of sel*` or `all of sel*`"),
        ] {
            assert_eq!(show(text), expected, "{text}");
        }
        assert!(show("a | count() > 5").contains("correlation"));
        assert!(show(&"(".repeat(100_000)).contains("deeper"));
        assert!(show(&"not ".repeat(100_000)).contains("deeper"));
    }
}
