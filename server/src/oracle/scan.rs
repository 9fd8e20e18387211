//! The plain scan: events as JSON, fields by their paths, words by their letters.

use std::collections::HashMap;
use std::net::IpAddr;

use detect::reference::{Tables, person_of};
use model::{LedgerIndex, Millis, PlainEvent, RawRecord};
use serde_json::Value;

use crate::api::records::masked;
use crate::asking::at_path;

/// The paths of the keyword fields that are asked for.
pub const KEYWORDS: &[(&str, &[&str])] = &[
    ("user", &["user.name", "actor.user.name"]),
    ("actor", &["actor.user.name"]),
    ("subject", &["user.name"]),
    ("src", &["src_endpoint.ip", "src_endpoint.hostname"]),
    (
        "host",
        &[
            "device.hostname",
            "dst_endpoint.hostname",
            "device.name",
            "dst_endpoint.name",
        ],
    ),
    (
        "session",
        &["actor.session.uid", "session.uid", "metadata.correlation_uid"],
    ),
    ("product", &["metadata.product.name"]),
    ("label", &["metadata.labels"]),
    ("object", &["web_resources.uid", "web_resources.name"]),
    ("account", &["unmapped.account"]),
    ("method", &["http_request.http_method"]),
];

/// The paths of the text fields.
pub const TEXTS: &[(&str, &[&str])] = &[
    (
        "cmd",
        &[
            "process.cmd_line",
            "query_info.query_string",
            "script.script_content.value",
        ],
    ),
    (
        "url",
        &[
            "url.url_string",
            "http_request.url.url_string",
            "http_request.url.path",
            "http_request.url.query_string",
        ],
    ),
    ("msg", &["message", "status_detail"]),
    ("raw", &["raw_data"]),
];

const NUMBERS: &[(&str, &[&str])] = &[
    ("severity", &["severity_id"]),
    ("code", &["http_response.code"]),
    (
        "bytes",
        &["traffic.bytes", "http_response.length", "file.size", "unmapped.bytes"],
    ),
    ("port", &["dst_endpoint.port", "src_endpoint.port"]),
];

/// An event.
pub struct Doc {
    pub uid: String,
    pub index: LedgerIndex,
    pub number: u64,
    pub time: Millis,
    pub received: Millis,
    pub source: String,
    pub system: Option<String>,
    pub class: u32,
    pub event: Value,
    texts: Vec<(&'static str, Vec<Text>)>,
    /// Values of the keyword fields, folded, to be matched.
    keys: Vec<(&'static str, Vec<Vec<char>>)>,
    numbers: Vec<(&'static str, Vec<u64>)>,
    addresses: Vec<IpAddr>,
    /// Who did it, by the registers.
    pub person: Option<String>,
}

/// A text, as it is, folded, and as words.
pub struct Text {
    pub text: String,
    pub folded: String,
    pub words: Vec<Word>,
}

/// A word, by number, and whether it follows the one before at once, both characters that stand alone.
#[derive(Clone, Copy, PartialEq)]
pub struct Word {
    pub id: u32,
    pub glued: bool,
}

/// Numbers of words.
#[derive(Default)]
pub struct Units {
    ids: HashMap<String, u32>,
}

impl Units {
    fn id(&mut self, word: String) -> u32 {
        let next = self.ids.len() as u32;
        *self.ids.entry(word).or_insert(next)
    }

    /// The words that fit a test.
    pub fn fitting(&self, fits: impl Fn(&str) -> bool) -> Vec<u32> {
        self.ids.iter().filter(|(w, _)| fits(w)).map(|(_, id)| *id).collect()
    }

    /// A text's words.
    pub fn words(&mut self, text: &str) -> Vec<Word> {
        let mut out: Vec<(String, bool, bool)> = Vec::new();
        let (mut before, mut joins) = (false, false);
        for c in text.chars().map(narrow) {
            let low: String = c.to_lowercase().collect();
            if alone(c) {
                out.push((low, true, before));
                (before, joins) = (true, false);
            } else if c.is_alphanumeric() {
                match out.last_mut() {
                    Some((word, _, _)) if joins && word.len() < 256 => word.push_str(&low),
                    _ => out.push((low, false, false)),
                }
                (before, joins) = (false, true);
            } else {
                (before, joins) = (false, false);
            }
        }
        out.into_iter()
            .map(|(word, is_alone, follows)| Word {
                id: self.id(word),
                glued: is_alone && follows,
            })
            .collect()
    }
}

fn narrow(c: char) -> char {
    match u32::from(c) {
        0x3000 => ' ',
        n @ 0xFF01..=0xFF5E => char::from_u32(n - 0xFF01 + 0x21).unwrap_or(c),
        _ => c,
    }
}

fn alone(c: char) -> bool {
    let n = u32::from(c);
    let kana = (0x3041..=0x30ff).contains(&n) && c != '\u{30fb}' && c.is_alphanumeric();
    kana || (0x3005..=0x3007).contains(&n)
        || (0x3400..=0x9fff).contains(&n)
        || (0xac00..=0xd7a3).contains(&n)
        || n == 0x30fc
}

/// Case and full-width forms folded.
pub fn folded(text: &str) -> String {
    text.chars().map(narrow).flat_map(char::to_lowercase).collect()
}

/// Whether a folded value matches a folded pattern of `*` and `?`.
pub fn like(pattern: &[char], value: &[char]) -> bool {
    match (pattern.first(), value.first()) {
        (None, None) => true,
        (Some('*'), _) => like(&pattern[1..], value) || (!value.is_empty() && like(pattern, &value[1..])),
        (Some('?'), Some(_)) => like(&pattern[1..], &value[1..]),
        (Some(a), Some(b)) => a == b && like(&pattern[1..], &value[1..]),
        _ => false,
    }
}

impl Doc {
    pub fn new(index: LedgerIndex, record: &RawRecord, event: &PlainEvent, units: &mut Units, tables: &Tables) -> Doc {
        let shown = masked(event);
        let text = |text: String, units: &mut Units| Text {
            folded: folded(&text),
            words: units.words(&text),
            text,
        };
        let texts = TEXTS.iter().map(|(name, paths)| {
            let mut values = Vec::new();
            paths.iter().for_each(|p| at_path(&shown, p, &mut values));
            (*name, values.into_iter().map(|v| text(v, units)).collect())
        });
        let texts = texts.collect();
        let mut doc = Doc {
            uid: event.uid.to_string(),
            index,
            number: event
                .uid
                .rsplit_once('#')
                .and_then(|(_, n)| n.parse().ok())
                .unwrap_or(0),
            time: event.time,
            received: record.received_at,
            source: record.source.to_string(),
            system: event.system.as_deref().map(str::to_owned),
            class: event.class_uid,
            event: shown,
            texts,
            keys: Vec::new(),
            numbers: Vec::new(),
            addresses: Vec::new(),
            person: None,
        };
        let own = ["source", "system", "status"];
        for field in KEYWORDS.iter().map(|(n, _)| *n).chain(own) {
            let values = doc
                .keywords(field)
                .iter()
                .map(|v| folded(v).chars().collect())
                .collect();
            doc.keys.push((field, values));
        }
        doc.numbers = NUMBERS.iter().map(|(n, _)| (*n, doc.read_numbers(n))).collect();
        let mut addresses = Vec::new();
        at_path(&doc.event, "src_endpoint.ip", &mut addresses);
        doc.addresses = addresses.iter().filter_map(|v| v.trim().parse().ok()).collect();
        doc.person = doc.read_person(tables);
        doc
    }

    fn read_person(&self, tables: &Tables) -> Option<String> {
        let one = |path: &str| {
            let mut out = Vec::new();
            at_path(&self.event, path, &mut out);
            out.into_iter().find(|v| !v.is_empty())
        };
        let account = one("actor.user.name").or_else(|| one("user.name"));
        let owner = self
            .system
            .as_deref()
            .zip(account)
            .and_then(|(s, a)| person_of(tables, s, &a, self.time));
        owner.map(|(person, _)| person)
    }

    /// The texts of a field; of the empty one, all.
    pub fn texts_of<'a>(&'a self, field: &'a str) -> impl Iterator<Item = &'a Text> {
        let of = self.texts.iter().filter(move |(n, _)| field.is_empty() || *n == field);
        of.flat_map(|(_, t)| t)
    }

    /// The values of a keyword field, folded.
    pub fn keys(&self, field: &str) -> &[Vec<char>] {
        self.keys.iter().find(|(n, _)| *n == field).map_or(&[], |(_, v)| v)
    }

    pub fn texts(&self, field: &str) -> &[Text] {
        self.texts
            .iter()
            .find(|(name, _)| *name == field)
            .map_or(&[], |(_, t)| t)
    }

    /// The values of a keyword field.
    pub fn keywords(&self, field: &str) -> Vec<String> {
        match field {
            "source" => return vec![self.source.clone()],
            "system" => return self.system.iter().cloned().collect(),
            "status" => return self.status().into_iter().collect(),
            _ => {}
        }
        let mut out = Vec::new();
        for path in KEYWORDS.iter().find(|(n, _)| *n == field).map_or(&[][..], |(_, p)| p) {
            at_path(&self.event, path, &mut out);
        }
        out.retain(|v| !v.is_empty());
        // Longer ones are cut in the index.
        for value in out.iter_mut().filter(|v| v.len() > 1024) {
            let end = (0..=1024).rev().find(|i| value.is_char_boundary(*i)).unwrap_or(0);
            value.truncate(end);
            value.push('…');
        }
        if field == "src" {
            for value in &mut out {
                if let Ok(address) = value.trim().parse::<IpAddr>() {
                    *value = address.to_canonical().to_string();
                }
            }
        }
        out
    }

    fn status(&self) -> Option<String> {
        let id = self.event["status_id"].as_u64();
        match id {
            Some(1) => Some("success".into()),
            Some(2) => Some("failure".into()),
            _ => self.event["status"]
                .as_str()
                .map(str::to_owned)
                .or_else(|| id.map(|_| "unknown".into())),
        }
    }

    /// As the values of a field are counted.
    pub fn grouped(&self, field: &str) -> Vec<String> {
        match field {
            "class" => {
                vec![search::query::class::name(self.class).map_or_else(|| self.class.to_string(), str::to_owned)]
            }
            _ => self.keywords(field),
        }
    }

    pub fn numbers(&self, field: &str) -> &[u64] {
        self.numbers.iter().find(|(n, _)| *n == field).map_or(&[], |(_, v)| v)
    }

    fn read_numbers(&self, field: &str) -> Vec<u64> {
        let mut out = Vec::new();
        for path in NUMBERS.iter().find(|(n, _)| *n == field).map_or(&[][..], |(_, p)| p) {
            at_path(&self.event, path, &mut out);
        }
        out.iter().filter_map(|v| v.parse().ok()).collect()
    }

    pub fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }
}
