//! Questions, made of what the records hold, as text and as a test of one event.

use std::collections::BTreeMap;
use std::net::IpAddr;

use model::Millis;

use super::scan::{Doc, KEYWORDS, TEXTS, Units, Word, folded, like};

/// A small generator of numbers: the questions are the same in every run.
pub struct Rng(pub u64);

impl Rng {
    pub fn below(&mut self, n: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }

    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// A question.
#[derive(Clone, Debug)]
pub enum Ask {
    All(Vec<Ask>),
    Any(Vec<Ask>),
    Not(Box<Ask>),
    /// A keyword field's value, or a pattern.
    Whole(&'static str, Vec<Sign>),
    Exists(&'static str),
    /// Words in a row, of a text field or (empty) any.
    Phrase(&'static str, String),
    /// A pattern within one word.
    Within(&'static str, Vec<Sign>),
    /// A piece of text as it stands.
    Holds(&'static str, String),
    Number(&'static str, u64, u64),
    Time(&'static str, i64, i64),
    Class(u32),
    Network(IpAddr, u32),
    Record(String),
    Index(u64, u64),
    Person(&'static str, &'static str),
}

/// A character of a pattern, or a wildcard.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sign {
    Is(char),
    Any,
    Many,
}

/// Some of the demo's people; the second manager owns the root accounts of every host.
const PEOPLE: &[(&str, &str)] = &[
    ("N2011", "liang.bo"),
    ("N2012", "shen.ya"),
    ("N2101", "tang.jing"),
    ("N2102", "feng.yue"),
    ("N2002", "ren.xiao"),
];

impl Ask {
    pub fn make(rng: &mut Rng, docs: &[Doc], depth: usize) -> Ask {
        if depth > 0 && rng.chance(40) {
            let items = (0..1 + rng.below(3)).map(|_| Ask::make(rng, docs, depth - 1)).collect();
            return match rng.below(3) {
                0 => Ask::All(items),
                1 => Ask::Any(items),
                _ => Ask::Not(Box::new(Ask::make(rng, docs, depth - 1))),
            };
        }
        // Until a record has what is asked for.
        loop {
            let doc = &docs[rng.below(docs.len())];
            if let Some(ask) = Ask::of(rng, doc) {
                return ask;
            }
        }
    }

    fn of(rng: &mut Rng, doc: &Doc) -> Option<Ask> {
        let keyword = |rng: &mut Rng| {
            let others = ["source", "status", "system"];
            let n = rng.below(KEYWORDS.len() + others.len());
            KEYWORDS
                .get(n)
                .map_or_else(|| others[n - KEYWORDS.len()], |(name, _)| *name)
        };
        Some(match rng.below(20) {
            0..=4 => {
                let field = keyword(rng);
                let values = doc.keywords(field);
                let value = values.get(rng.below(values.len().max(1)))?;
                Ask::Whole(field, pattern(rng, value)?)
            }
            5 => Ask::Exists(keyword(rng)),
            6..=9 => {
                let (field, text) = text_of(rng, doc)?;
                Ask::Phrase(any(rng, field), cut(rng, &text, 40)?)
            }
            10 | 11 => {
                let (field, text) = text_of(rng, doc)?;
                let words: Vec<&str> = text
                    .split(|c: char| !c.is_ascii_alphanumeric())
                    .filter(|w| w.len() > 2 && w.len() < 40)
                    .collect();
                let word = words.get(rng.below(words.len().max(1)))?;
                let chars: Vec<char> = word.chars().collect();
                let from = rng.below(chars.len() - 1);
                let to = from + 1 + rng.below(chars.len() - from);
                let inner = chars[from..to].iter().map(|c| Sign::Is(*c));
                Ask::Within(
                    field,
                    std::iter::once(Sign::Many).chain(inner).chain([Sign::Many]).collect(),
                )
            }
            12 | 13 => {
                let (field, text) = text_of(rng, doc)?;
                Ask::Holds(field, cut(rng, &text, 14)?)
            }
            14 => {
                let field = ["severity", "code", "bytes", "port"][rng.below(4)];
                let value = *doc.numbers(field).first()?;
                Ask::Number(
                    field,
                    value.saturating_sub(rng.below(50) as u64),
                    value + rng.below(500) as u64,
                )
            }
            15 => match rng.chance(70) {
                true => Ask::Time(
                    "time",
                    doc.time.0 - rng.below(3_600_000) as i64,
                    doc.time.0 + rng.below(7_200_000) as i64,
                ),
                false => Ask::Time("received", doc.received.0, doc.received.0 + rng.below(7_200_000) as i64),
            },
            16 => Ask::Class(doc.class),
            17 => {
                let address = *doc.addresses().first()?;
                let most = if address.is_ipv4() { 32 } else { 128 };
                Ask::Network(address, (most - rng.below(17)) as u32)
            }
            18 => match rng.chance(50) {
                true => Ask::Record(doc.uid.split('#').next()?.to_owned()),
                false => Ask::Index(doc.index.0, doc.index.0 + rng.below(500) as u64),
            },
            _ => {
                let (id, login) = PEOPLE[rng.below(PEOPLE.len())];
                Ask::Person(id, login)
            }
        })
    }

    pub fn count(&self, kinds: &mut BTreeMap<&'static str, usize>) {
        let kind = match self {
            Ask::All(items) => {
                items.iter().for_each(|i| i.count(kinds));
                "AND"
            }
            Ask::Any(items) => {
                items.iter().for_each(|i| i.count(kinds));
                "OR"
            }
            Ask::Not(inner) => {
                inner.count(kinds);
                "NOT"
            }
            Ask::Whole(..) => "keyword",
            Ask::Exists(_) => "exists",
            Ask::Phrase(..) => "phrase",
            Ask::Within(..) => "infix",
            Ask::Holds(..) => "fragment",
            Ask::Number(..) => "number",
            Ask::Time(..) => "time",
            Ask::Class(_) => "class",
            Ask::Network(..) => "network",
            Ask::Record(_) => "record",
            Ask::Index(..) => "index",
            Ask::Person(..) => "person",
        };
        *kinds.entry(kind).or_default() += 1;
    }

    /// In the language.
    pub fn text(&self) -> String {
        let joined = |items: &[Ask], by: &str| {
            items
                .iter()
                .map(|i| format!("({})", i.text()))
                .collect::<Vec<_>>()
                .join(by)
        };
        match self {
            Ask::All(items) => joined(items, " "),
            Ask::Any(items) => joined(items, " OR "),
            Ask::Not(inner) => format!("NOT ({})", inner.text()),
            Ask::Whole(field, signs) | Ask::Within(field, signs) => format!("{field}:{}", written(signs)),
            Ask::Exists(field) => format!("exists:{field}"),
            Ask::Phrase("", text) => quoted(text),
            Ask::Phrase(field, text) => format!("{field}:{}", quoted(text)),
            Ask::Holds(field, text) => format!("{field}:~{}", quoted(text)),
            Ask::Number(field, low, high) => format!("{field}:[{low} TO {high}]"),
            Ask::Time(field, from, to) => format!("{field}:[{} TO {}}}", Millis(*from), Millis(*to)),
            Ask::Class(uid) => format!("class:{uid}"),
            Ask::Network(address, bits) => format!("src:{address}/{bits}"),
            Ask::Record(id) => format!("record:{}", quoted(id)),
            Ask::Index(low, high) => format!("index:[{low} TO {high}]"),
            Ask::Person(_, login) => format!("person:{login}"),
        }
    }

    /// Ready to test events.
    pub fn prepare(&self, units: &mut Units) -> Prepared {
        let all = |items: &[Ask], units: &mut Units| items.iter().map(|i| i.prepare(units)).collect();
        match self {
            Ask::All(items) => Prepared::All(all(items, units)),
            Ask::Any(items) => Prepared::Any(all(items, units)),
            Ask::Not(inner) => Prepared::Not(Box::new(inner.prepare(units))),
            Ask::Phrase(field, text) => Prepared::Words(field, units.words(text)),
            Ask::Within(field, signs) => {
                let pattern = chars(signs);
                let ids = units.fitting(|w| like(&pattern, &w.chars().collect::<Vec<_>>()));
                Prepared::AnyWord(field, ids.into_iter().collect())
            }
            Ask::Holds(field, text) => Prepared::Holds(field, folded(text)),
            Ask::Whole(field, signs) => Prepared::Whole(field, chars(signs)),
            other => Prepared::Plain(other.clone()),
        }
    }
}

/// A question, ready to test events.
pub enum Prepared {
    All(Vec<Prepared>),
    Any(Vec<Prepared>),
    Not(Box<Prepared>),
    Words(&'static str, Vec<Word>),
    AnyWord(&'static str, std::collections::BTreeSet<u32>),
    Holds(&'static str, String),
    Whole(&'static str, Vec<char>),
    Plain(Ask),
}

impl Prepared {
    pub fn matches(&self, doc: &Doc) -> bool {
        match self {
            Prepared::All(items) => items.iter().all(|i| i.matches(doc)),
            Prepared::Any(items) => items.iter().any(|i| i.matches(doc)),
            Prepared::Not(inner) => !inner.matches(doc),
            Prepared::Words(field, words) => doc.texts_of(field).any(|t| in_a_row(&t.words, words)),
            Prepared::AnyWord(field, ids) => doc.texts_of(field).any(|t| t.words.iter().any(|w| ids.contains(&w.id))),
            Prepared::Holds(field, text) => doc.texts_of(field).any(|t| t.folded.contains(text)),
            Prepared::Whole(field, pattern) => doc.keys(field).iter().any(|v| like(pattern, v)),
            Prepared::Plain(ask) => plain(ask, doc),
        }
    }
}

fn plain(ask: &Ask, doc: &Doc) -> bool {
    match ask {
        Ask::Exists(field) => !doc.keys(field).is_empty(),
        Ask::Number(field, low, high) => doc.numbers(field).iter().any(|n| (*low..=*high).contains(n)),
        Ask::Time("received", from, to) => (*from..*to).contains(&doc.received.0),
        Ask::Time(_, from, to) => (*from..*to).contains(&doc.time.0),
        Ask::Class(uid) => doc.class == *uid,
        Ask::Network(address, bits) => doc.addresses().iter().any(|a| within(*address, *bits, *a)),
        Ask::Record(id) => doc.uid.split('#').next() == Some(id),
        Ask::Index(low, high) => (*low..=*high).contains(&doc.index.0),
        Ask::Person(id, _) => {
            let by_id = || {
                let mut uids = Vec::new();
                crate::asking::at_path(&doc.event, "actor.user.uid", &mut uids);
                uids.first().is_some_and(|u| folded(u) == folded(id))
            };
            doc.person.as_deref() == Some(id) || by_id()
        }
        _ => false,
    }
}

fn in_a_row(text: &[Word], words: &[Word]) -> bool {
    let fits = |at: usize| {
        words.iter().enumerate().all(|(i, w)| {
            let there = text[at + i];
            there.id == w.id && (i == 0 || !w.glued || there.glued)
        })
    };
    !words.is_empty() && text.len() >= words.len() && (0..=text.len() - words.len()).any(fits)
}

fn within(base: IpAddr, bits: u32, address: IpAddr) -> bool {
    let (a, b, width) = match (base, address) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(a.to_bits()), u128::from(b.to_bits()), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits(), b.to_bits(), 128),
        _ => return false,
    };
    bits == 0 || (a ^ b).checked_shr(width - bits).unwrap_or(0) == 0
}

/// A text field that a record has, and the text.
fn text_of(rng: &mut Rng, doc: &Doc) -> Option<(&'static str, String)> {
    let (name, _) = TEXTS[rng.below(TEXTS.len())];
    let texts = doc.texts(name);
    Some((name, texts.get(rng.below(texts.len().max(1)))?.text.clone()))
}

fn any(rng: &mut Rng, field: &'static str) -> &'static str {
    if rng.chance(30) { "" } else { field }
}

/// A piece of a text: from any character to any other, with something to search for.
fn cut(rng: &mut Rng, text: &str, most: usize) -> Option<String> {
    let chars: Vec<char> = text.chars().collect();
    let from = rng.below(chars.len().max(1));
    let to = (from + 1 + rng.below(most)).min(chars.len());
    let piece: String = chars.get(from..to)?.iter().collect();
    let fine = piece.chars().any(char::is_alphanumeric) && !piece.chars().any(char::is_control);
    fine.then_some(piece)
}

/// The value, or a pattern that it matches.
fn pattern(rng: &mut Rng, value: &str) -> Option<Vec<Sign>> {
    let chars: Vec<char> = value.chars().collect();
    // Patterns have a bound, and long values are cut in the index.
    if chars.is_empty() || chars.len() > 150 || chars.iter().any(|c| c.is_control() || "*?".contains(*c)) {
        return None;
    }
    let at = rng.below(chars.len());
    let is = |c: &[char]| c.iter().map(|c| Sign::Is(*c)).collect::<Vec<_>>();
    Some(match rng.below(5) {
        0 => [is(&chars[..=at]), vec![Sign::Many]].concat(),
        1 => [vec![Sign::Many], is(&chars[at..])].concat(),
        2 => [is(&chars[..at]), vec![Sign::Any], is(&chars[at + 1..])].concat(),
        3 => value.to_uppercase().chars().map(Sign::Is).collect(),
        _ => is(&chars),
    })
}

fn chars(signs: &[Sign]) -> Vec<char> {
    // Wildcards that are meant as characters do not occur: the values have none.
    signs
        .iter()
        .flat_map(|s| match s {
            Sign::Is(c) => folded(&c.to_string()).chars().collect(),
            Sign::Any => vec!['?'],
            Sign::Many => vec!['*'],
        })
        .collect()
}

fn written(signs: &[Sign]) -> String {
    signs.iter().fold(String::new(), |mut out, sign| {
        match sign {
            Sign::Is(c) if c.is_alphanumeric() => out.push(*c),
            Sign::Is(c) => out.extend(['\\', *c]),
            Sign::Any => out.push('?'),
            Sign::Many => out.push('*'),
        }
        out
    })
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
