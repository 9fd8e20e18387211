//! The shell's words: quotes, escapes, separators, redirections, substitutions.

use super::windows;
use crate::seek;
/// A simple command as it was written.
#[derive(Debug, Default)]
pub(super) struct Simple {
    /// Its words, without quotes.
    pub words: Vec<String>,
    /// Its redirections to files, as text: ` > path`.
    pub files: String,
    /// What it reads from here-documents and here-strings.
    pub input: Vec<String>,
    /// The scripts that it substitutes.
    pub nested: Vec<String>,
    /// It reads what the command before it writes.
    pub piped: bool,
}

impl Simple {
    fn is_empty(&self) -> bool {
        self.words.is_empty() && self.files.is_empty() && self.nested.is_empty()
    }
}

/// The simple commands of a script, `most` at most. On Windows a backslash is no escape.
pub(super) fn simple(text: &str, most: usize, is_windows: bool) -> Vec<Simple> {
    let mut lexer = Lexer {
        text,
        at: 0,
        most,
        is_windows,
        ..Lexer::default()
    };
    lexer.run();
    lexer.done
}

/// Where the next word goes.
#[derive(Clone, Copy, Default, PartialEq)]
enum Target {
    #[default]
    Argument,
    File(&'static str),
    HereString,
    HereDocument {
        tabs: bool,
    },
    Nowhere,
}

#[derive(Default)]
struct Lexer<'a> {
    text: &'a str,
    at: usize,
    most: usize,
    is_windows: bool,
    done: Vec<Simple>,
    now: Simple,
    word: String,
    /// A word was begun, be it empty (`''`).
    in_word: bool,
    /// Some of the word was quoted: it is no number of a redirection, no reserved word.
    quoted: bool,
    /// Brackets open inside the word (`db.t.drop(`, `a=(1`).
    brackets: usize,
    target: Target,
    /// Here-documents announced on this line: the command's index, the delimiter, whether tabs are cut.
    here: Vec<(usize, String, bool)>,
}

impl Lexer<'_> {
    fn run(&mut self) {
        while self.done.len() < self.most
            && let Some(c) = self.next()
        {
            match c {
                '\'' => self.single_quoted(),
                '"' => self.double_quoted(),
                '\\' if self.is_windows || windows::is_path_so_far(&self.word) => {
                    self.in_word = true;
                    self.word.push('\\');
                }
                '\\' => match self.next() {
                    None | Some('\n') => {}
                    Some('\r') if self.peek() == Some('\n') => self.at += 1,
                    Some(c) => self.push_quoted(c),
                },
                '`' => self.backticks(),
                '$' => self.dollar(false),
                '\n' => {
                    self.end_command();
                    self.here_documents();
                }
                ' ' | '\t' | '\r' | '\u{b}' | '\u{c}' => self.end_word(),
                '#' if !self.in_word => self.skip_until_newline(),
                '(' if self.in_word => {
                    self.brackets += 1;
                    self.word.push('(');
                }
                ')' if self.in_word && self.brackets > 0 => {
                    self.brackets -= 1;
                    self.word.push(')');
                }
                '&' if self.peek() == Some('>') => {
                    self.end_word();
                    self.at += 1;
                    self.target = Target::File(if self.eat('>') { " >> " } else { " > " });
                }
                '|' if self.peek() != Some('|') => {
                    self.end_command();
                    self.eat('&');
                    self.now.piped = true;
                }
                '|' => {
                    self.at += 1;
                    self.end_command();
                }
                ';' | '&' | '(' | ')' => self.end_command(),
                '<' | '>' if self.peek() == Some('(') => {
                    self.in_word = true;
                    self.word.push(c);
                    self.at += 1;
                    self.substitution();
                }
                '<' => self.input(),
                '>' => self.output(),
                c => {
                    self.in_word = true;
                    self.word.push(c);
                }
            }
        }
        self.end_command();
        self.done.truncate(self.most);
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn eat(&mut self, c: char) -> bool {
        let eaten = self.peek() == Some(c);
        self.at += if eaten { c.len_utf8() } else { 0 };
        eaten
    }

    fn push_quoted(&mut self, c: char) {
        self.in_word = true;
        self.quoted = true;
        self.word.push(c);
    }

    fn skip_until_newline(&mut self) {
        self.at += self.rest().find('\n').unwrap_or(self.rest().len());
    }

    fn end_word(&mut self) {
        if !self.in_word {
            return;
        }
        let word = std::mem::take(&mut self.word);
        (self.in_word, self.quoted, self.brackets) = (false, false, 0);
        match std::mem::take(&mut self.target) {
            Target::Argument => self.now.words.push(word),
            Target::File(arrow) => {
                self.now.files.push_str(arrow);
                self.now.files.push_str(&word);
            }
            Target::HereString => self.now.input.push(word),
            Target::HereDocument { tabs } => self.here.push((self.done.len(), word, tabs)),
            Target::Nowhere => {}
        }
    }

    fn end_command(&mut self) {
        self.end_word();
        self.target = Target::Argument;
        let awaited = self.here.last().is_some_and(|(index, ..)| *index == self.done.len());
        let now = std::mem::take(&mut self.now);
        if !now.is_empty() || awaited {
            self.done.push(now);
        }
    }

    fn here_documents(&mut self) {
        for (index, delimiter, tabs) in std::mem::take(&mut self.here) {
            let mut body = String::new();
            while self.at < self.text.len() {
                let rest = &self.text[self.at..];
                let end = rest.find('\n').map_or(rest.len(), |n| n + 1);
                self.at += end;
                let line = rest[..end].trim_end_matches(['\r', '\n']);
                let line = if tabs { line.trim_start_matches('\t') } else { line };
                if line == delimiter {
                    break;
                }
                body.push_str(line);
                body.push('\n');
            }
            if let Some(command) = self.done.get_mut(index) {
                command.input.push(body);
            }
        }
    }

    fn single_quoted(&mut self) {
        (self.in_word, self.quoted) = (true, true);
        let rest = self.rest();
        let end = rest.find('\'').unwrap_or(rest.len());
        let inner = self.at..self.at + end;
        self.word.push_str(&self.text[inner]);
        self.at = (self.at + end + 1).min(self.text.len());
    }

    fn double_quoted(&mut self) {
        (self.in_word, self.quoted) = (true, true);
        while let Some(c) = self.next() {
            match c {
                '"' => return,
                '\\' if self.is_windows || windows::is_path_so_far(&self.word) => {
                    self.in_word = true;
                    self.word.push('\\');
                }
                '\\' => match self.next() {
                    None | Some('\n') => {}
                    Some(c @ ('"' | '\\' | '$' | '`')) => self.word.push(c),
                    Some(c) => self.word.extend(['\\', c]),
                },
                '`' => self.backticks(),
                '$' => self.dollar(true),
                c => self.word.push(c),
            }
        }
    }

    fn backticks(&mut self) {
        self.in_word = true;
        let rest = self.rest();
        let mut end = rest.len();
        let mut escaped = false;
        for (i, b) in rest.bytes().enumerate() {
            match b {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'`' => {
                    end = i;
                    break;
                }
                _ => {}
            }
        }
        let inner = rest[..end].to_owned();
        self.at = (self.at + end + 1).min(self.text.len());
        self.word.extend(["`", &inner, "`"]);
        self.now.nested.push(inner.replace("\\`", "`"));
    }

    fn dollar(&mut self, in_quotes: bool) {
        let rest = self.rest();
        // The field separator stands for a space where an attacker wants none to be seen.
        for separator in ["{IFS}", "IFS$9", "IFS"] {
            let after = rest.strip_prefix(separator);
            if !in_quotes
                && let Some(after) = after
                && (separator != "IFS" || !after.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
            {
                self.at += separator.len();
                return self.end_word();
            }
        }
        let first = rest.as_bytes().first().copied();
        self.in_word = true;
        match first {
            Some(b'(') => {
                self.word.push('$');
                self.at += 1;
                self.substitution();
            }
            Some(b'\'') if !in_quotes => {
                self.at += 1;
                self.ansi_quoted();
            }
            Some(b'"') if !in_quotes => {
                self.at += 1;
                self.double_quoted();
            }
            _ => self.word.push('$'),
        }
    }

    /// `(…)` after `$`, `<` or `>`: its script is a further command; its text stays in the word.
    fn substitution(&mut self) {
        let rest = self.rest();
        let end = closing(rest);
        let inner = rest[..end].to_owned();
        self.at = (self.at + end + 1).min(self.text.len());
        self.word.extend(["(", &inner, ")"]);
        if !is_arithmetic(&inner) {
            self.now.nested.push(inner);
        }
    }

    fn ansi_quoted(&mut self) {
        self.quoted = true;
        while let Some(c) = self.next() {
            match c {
                '\'' => return,
                '\\' => {
                    let Some(c) = self.next() else { return };
                    let decoded = match c {
                        'n' | 'r' => '\n',
                        't' => '\t',
                        'e' | 'E' => '\u{1b}',
                        'x' => self.code(16, 2).unwrap_or('x'),
                        'u' => self.code(16, 4).unwrap_or('u'),
                        '0'..='7' => {
                            self.at -= 1;
                            self.code(8, 3).unwrap_or(c)
                        }
                        c => c,
                    };
                    self.word.push(decoded);
                }
                c => self.word.push(c),
            }
        }
    }

    fn code(&mut self, radix: u32, most: usize) -> Option<char> {
        let length = self.rest().chars().take(most).take_while(|c| c.is_digit(radix)).count();
        let code = u32::from_str_radix(self.rest().get(..length)?, radix).ok()?;
        self.at += length;
        char::from_u32(code)
    }

    /// A word that is only digits, right before `<` or `>`, is the number of a file descriptor.
    fn descriptor(&mut self) {
        if self.in_word && !self.quoted && self.word.bytes().all(|b| b.is_ascii_digit()) {
            self.word.clear();
            self.in_word = false;
        }
        self.end_word();
    }

    fn input(&mut self) {
        self.descriptor();
        self.target = if self.eat('<') {
            if self.eat('<') {
                Target::HereString
            } else {
                Target::HereDocument { tabs: self.eat('-') }
            }
        } else if self.eat('&') {
            Target::Nowhere
        } else if self.eat('>') {
            Target::File(" > ")
        } else {
            Target::File(" < ")
        };
    }

    fn output(&mut self) {
        self.descriptor();
        self.target = if self.eat('>') {
            Target::File(" >> ")
        } else if self.eat('&') {
            // `>&2` copies a descriptor, `>&file` writes a file.
            if self.peek().is_some_and(|c| c.is_ascii_digit() || c == '-') {
                Target::Nowhere
            } else {
                Target::File(" > ")
            }
        } else {
            let _ = self.eat('|');
            Target::File(" > ")
        };
    }
}

/// Where the bracket that is open at the start of `text` closes; the end of the text if it does not.
fn closing(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut depth, mut i) = (1_usize, 0);
    while i < bytes.len() {
        match bytes[i] {
            b'\\' => i += 1,
            b'\'' => i += 1 + bytes[i + 1..].iter().position(|&b| b == b'\'').unwrap_or(bytes.len()),
            b'"' => {
                i += 1;
                while i < bytes.len() && bytes[i] != b'"' {
                    i += 1 + usize::from(bytes[i] == b'\\');
                }
            }
            b'(' => depth += 1,
            b')' => {
                depth -= 1;
                if depth == 0 {
                    return i;
                }
            }
            _ => {}
        }
        i += 1;
    }
    text.len()
}

/// The inside of `$((1 + x))`.
fn is_arithmetic(inner: &str) -> bool {
    inner.starts_with('(')
        && inner.ends_with(')')
        && inner
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b" _$+-*/%()<>=!&|^~?:,".contains(&b))
        && !seek::contains(inner, "$(")
}
