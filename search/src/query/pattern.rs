//! What is looked for in text: words in a row.

use crate::keyword::{Glob, glob};
use crate::tokenizer::{fold, stands_alone, tokens};

/// Words in a row, or several such rows; all must occur.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextPattern {
    pub(crate) phrases: Vec<Phrase>,
}

/// Words in a row: distance from the first, and word. Rising, the first at 0, never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Phrase {
    pub(crate) pieces: Vec<(usize, Piece)>,
}

/// What one position must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Word(String),
    Like(Vec<Glob>),
}

impl TextPattern {
    /// The words of `text` in a row; `None` where it holds none.
    pub(crate) fn phrase(text: &str) -> Option<TextPattern> {
        let mut builder = Builder::default();
        builder.literal(text);
        builder.finish()
    }

    /// A pattern in which `*` stands for any letters of a word, or, beside characters that stand alone or by itself,
    /// for anything; `?` has no meaning in text. `None` where it holds no word.
    pub(crate) fn wild(pattern: &[Glob]) -> Option<TextPattern> {
        let mut builder = Builder::default();
        // The run that is being read: a word with wildcards, or text without.
        let mut run: Vec<Glob> = Vec::new();
        for (i, part) in pattern.iter().enumerate() {
            let alone = |p: Option<&Glob>| matches!(p, Some(Glob::Char(c)) if stands_alone(*c));
            match part {
                Glob::Many => {
                    let before = i.checked_sub(1).and_then(|i| pattern.get(i));
                    let after = pattern.get(i + 1);
                    if !alone(before) {
                        run.push(Glob::Many);
                    }
                    if alone(before) || alone(after) {
                        builder.run(&mut run);
                        builder.cut();
                    }
                    if alone(before) && !alone(after) {
                        run.push(Glob::Many);
                    }
                }
                Glob::Char(c) if stands_alone(*c) => {
                    if !run.iter().all(|p| matches!(p, Glob::Char(c) if stands_alone(*c))) {
                        builder.run(&mut run);
                    }
                    run.push(*part);
                }
                Glob::Char(c) if c.is_alphanumeric() => {
                    if matches!(run.last(), Some(Glob::Char(c)) if stands_alone(*c)) {
                        builder.run(&mut run);
                    }
                    run.push(*part);
                }
                Glob::Char(_) | Glob::Any => builder.run(&mut run),
            }
        }
        builder.run(&mut run);
        builder.finish()
    }

    /// Words that it asks for.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &Piece> {
        self.phrases
            .iter()
            .flat_map(|p| p.pieces.iter().map(|(_, piece)| piece))
    }

    /// Whether no two words must stand in a row, so that positions do not matter.
    pub(crate) fn is_loose(&self) -> bool {
        self.phrases.iter().all(|p| p.pieces.len() == 1)
    }

    /// Whether `text` holds it.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let mut words: Vec<String> = Vec::new();
        // Where the tokens of each position start in `words`.
        let mut starts: Vec<usize> = Vec::new();
        tokens(text, |position, word| {
            if starts.len() <= position {
                starts.push(words.len());
            }
            words.push(word.to_owned());
        });
        let at = |position: usize| {
            let start = starts.get(position).copied().unwrap_or(words.len());
            &words[start..starts.get(position + 1).copied().unwrap_or(words.len()).max(start)]
        };
        self.phrases.iter().all(|phrase| {
            (0..starts.len()).any(|base| {
                phrase
                    .pieces
                    .iter()
                    .all(|(offset, p)| at(base + offset).iter().any(|w| p.matches(w)))
            })
        })
    }
}

impl Piece {
    fn matches(&self, word: &str) -> bool {
        match self {
            Piece::Word(expected) => expected == word,
            Piece::Like(pattern) => glob(pattern, word),
        }
    }
}

#[derive(Default)]
struct Builder {
    phrases: Vec<Phrase>,
    pieces: Vec<(usize, Piece)>,
    /// The position that follows what was read.
    next: usize,
}

impl Builder {
    /// Adds the words of a text.
    fn literal(&mut self, text: &str) {
        let base = self.next;
        let mut read: Vec<(usize, Vec<String>)> = Vec::new();
        tokens(text, |position, word| match read.last_mut() {
            Some((last, words)) if *last == position => words.push(word.to_owned()),
            _ => read.push((position, vec![word.to_owned()])),
        });
        // A pair says all of its first character, and of its second that it follows.
        let mut covered = usize::MAX;
        for (position, mut words) in read {
            self.next = base + position + 1;
            let pair = words.len() > 1;
            if pair || position != covered {
                self.pieces
                    .extend(words.pop().map(|w| (base + position, Piece::Word(w))));
            }
            if pair {
                covered = position + 1;
            }
        }
    }

    /// Adds the run and empties it.
    fn run(&mut self, run: &mut Vec<Glob>) {
        if run.iter().any(|p| matches!(p, Glob::Char(_))) {
            if run.contains(&Glob::Many) {
                let word = run.iter().flat_map(|p| folded(*p)).collect();
                self.pieces.push((self.next, Piece::Like(word)));
                self.next += 1;
            } else {
                let text: String = run
                    .iter()
                    .filter_map(|p| if let Glob::Char(c) = p { Some(*c) } else { None })
                    .collect();
                self.literal(&text);
            }
        } else if !run.is_empty() {
            self.cut();
        }
        run.clear();
    }

    /// What follows may be anywhere.
    fn cut(&mut self) {
        let mut pieces = std::mem::take(&mut self.pieces);
        if let Some((first, _)) = pieces.first() {
            let first = *first;
            pieces.iter_mut().for_each(|(offset, _)| *offset -= first);
            self.phrases.push(Phrase { pieces });
        }
        self.next = 0;
    }

    fn finish(mut self) -> Option<TextPattern> {
        self.cut();
        (!self.phrases.is_empty()).then_some(TextPattern { phrases: self.phrases })
    }
}

/// A part of a pattern as folded text has it.
pub(crate) fn folded(part: Glob) -> Vec<Glob> {
    match part {
        Glob::Char(c) => {
            let mut text = String::new();
            fold(c, &mut text);
            text.chars().map(Glob::Char).collect()
        }
        other => vec![other],
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn wild(text: &str) -> Option<TextPattern> {
        let parts: Vec<Glob> = text
            .chars()
            .map(|c| if c == '*' { Glob::Many } else { Glob::Char(c) })
            .collect();
        TextPattern::wild(&parts)
    }

    #[test]
    fn phrases_are_words_in_a_row() {
        let check = |pattern: &str, text: &str, expected| {
            assert_eq!(
                TextPattern::phrase(pattern).unwrap().matches(text),
                expected,
                "{pattern} in {text}"
            );
        };
        check("drop table", "DROP  TABLE x", true);
        check("drop table", "drop the table", false);
        check("/etc/shadow", "cat /etc/shadow", true);
        check("计日", "审计日志", true);
        check("计志", "审计日志", false);
        check("志", "审计日志", true);
        check("用户root", "该用户root登录", true);
        check("用户root", "用 户 root", false);
        check("10.8.1.7", "from 10.8.1.70", false);
        assert_eq!(TextPattern::phrase(" /-"), None);
    }

    #[test]
    fn wildcards_match_within_words() {
        let check = |pattern: &str, text: &str, expected| {
            assert_eq!(wild(pattern).unwrap().matches(text), expected, "{pattern} in {text}");
        };
        check("*shadow*", "vi /etc/shadow-", true);
        check("*hado*", "vi /etc/SHADOW", true);
        check("/etc/sh*", "vi /etc/shadow", true);
        check("/etc/sh*", "vi /etc/x/shadow", false);
        check("rm * /data", "rm -r -f /data", true);
        check("审*志", "审计日志", true);
        check("*计日*", "审计日志", true);
        check("ab*日志", "abc 的 日志", true);
        check("ab*日志", "xabc 的 日志", false);
        assert_eq!(wild("*"), None);
        assert_eq!(wild("/*/"), None);
    }
}
