//! Queries as a generator makes them, and whether a record is one that they ask for.

use model::Millis;

use super::RECORDS;
use super::scan::{holds, like, plain, units, values, within};
use super::support::{HOSTS, Placed, Rng, START, USERS, WORDS, mask};

/// A query as the generator makes it.
#[derive(Clone, Debug)]
pub enum Ask {
    All(Vec<Ask>),
    Any(Vec<Ask>),
    Not(Box<Ask>),
    /// Paths, pattern with `*` and `?`.
    Whole(&'static str, &'static [&'static str], String),
    Status(&'static str),
    Exists(&'static str, &'static [&'static str]),
    /// Field and paths, text; quoted or not.
    Words(&'static str, &'static [&'static str], String, bool),
    Number(&'static str, &'static str, u64, u64),
    Above(&'static str, &'static str, f64),
    Class(u64),
    Time(i64, i64),
    Network(String),
    Record(String),
    /// Field and paths, a piece of text as it stands.
    Holds(&'static str, &'static [&'static str], String),
}

pub const CMD: &[&str] = &["process.cmd_line"];
pub const URL: &[&str] = &["http_request.url.path"];
pub const MSG: &[&str] = &["message"];
pub const RAW: &[&str] = &["raw_data"];
pub const ANY: &[&str] = &["process.cmd_line", "http_request.url.path", "message", "raw_data"];

impl Ask {
    pub fn make(rng: &mut Rng, depth: usize) -> Ask {
        if depth > 0 && rng.chance(45) {
            let items = (0..1 + rng.below(3)).map(|_| Ask::make(rng, depth - 1)).collect();
            return match rng.below(3) {
                0 => Ask::All(items),
                1 => Ask::Any(items),
                _ => Ask::Not(Box::new(Ask::make(rng, depth - 1))),
            };
        }
        match rng.below(18) {
            0 => Ask::Whole("user", &["user.name", "actor.user.name"], pattern(rng, USERS)),
            1 => Ask::Whole("actor", &["actor.user.name"], pattern(rng, USERS)),
            2 => Ask::Whole("host", &["device.hostname"], pattern(rng, HOSTS)),
            3 => Ask::Whole("session", &["actor.session.uid"], format!("s-{}", rng.below(7))),
            4 => Ask::Status(rng.pick_static(&["success", "failure"])),
            5 => match rng.below(3) {
                0 => Ask::Exists("ticket", &["unmapped.ticket_id"]),
                1 => Ask::Exists("cmd", CMD),
                _ => Ask::Exists("unmapped.ticket_id", &["unmapped.ticket_id"]),
            },
            6..=9 => {
                let (name, paths) = [
                    ("", ANY),
                    ("", ANY),
                    ("cmd", CMD),
                    ("url", URL),
                    ("msg", MSG),
                    ("raw", RAW),
                ][rng.below(6)];
                let quoted = rng.chance(60);
                Ask::Words(name, paths, text(rng, quoted), quoted)
            }
            10 => {
                let (name, path) = [
                    ("severity", "severity_id"),
                    ("code", "http_response.code"),
                    ("bytes", "http_response.length"),
                ][rng.below(3)];
                let low = rng.below(600) as u64 % [6, 600, 5000][rng.below(3)];
                Ask::Number(name, path, low, low + rng.below(300) as u64)
            }
            11 => match rng.chance(50) {
                true => Ask::Above("unmapped.rows", "unmapped.rows", rng.below(300) as f64),
                false => Ask::Above(
                    "unmapped.nested.score",
                    "unmapped.nested.Score",
                    rng.below(40) as f64 / 4.0,
                ),
            },
            12 => Ask::Class([3002, 1007, 6001, 4002][rng.below(4)]),
            13 => {
                let from = START + rng.below(RECORDS as usize) as i64 * 1000;
                Ask::Time(from, from + rng.below(200_000) as i64)
            }
            14 => Ask::Network(
                rng.pick(&[
                    "10.8.0.0/16",
                    "10.8.1.7/32",
                    "10.0.0.0/8",
                    "fe80::/10",
                    "192.168.1.1",
                    "0.0.0.0/0",
                ])
                .into(),
            ),
            16 | 17 => {
                let (name, paths) = [
                    ("cmd", CMD),
                    ("url", URL),
                    ("msg", MSG),
                    ("raw", RAW),
                    ("text", ANY),
                    ("user", &["user.name", "actor.user.name"]),
                ][rng.below(6)];
                Ask::Holds(name, paths, fragment(rng))
            }
            _ => Ask::Record(format!("audit.t{}/0/{}", rng.below(3), rng.below(RECORDS as usize))),
        }
    }

    pub fn text(&self) -> String {
        let joined = |items: &[Ask], by: &str| {
            items
                .iter()
                .map(|i| format!("({})", i.text()))
                .collect::<Vec<_>>()
                .join(by)
        };
        match self {
            Ask::All(items) => joined(items, if items.len() % 2 == 0 { " AND " } else { " " }),
            Ask::Any(items) => joined(items, " OR "),
            Ask::Not(inner) => format!("NOT ({})", inner.text()),
            Ask::Whole(name, _, value) => format!("{name}:{value}"),
            Ask::Status(value) => format!("status:{value}"),
            Ask::Exists(name, _) => format!("exists:{name}"),
            Ask::Words(name, _, text, quoted) => {
                let colon = if name.is_empty() { "" } else { ":" };
                let quote = if *quoted { "\"" } else { "" };
                format!("{name}{colon}{quote}{text}{quote}")
            }
            Ask::Number(name, _, low, high) => format!("{name}:[{low} TO {high}]"),
            Ask::Above(name, _, than) => format!("{name}:>{than}"),
            Ask::Class(uid) => format!("class:{uid}"),
            Ask::Time(from, to) => format!("time:{{{} TO {}]", Millis(*from), Millis(*to)),
            Ask::Network(net) => format!("src:{net}"),
            Ask::Record(id) => format!("record:{id}"),
            Ask::Holds(name, _, text) => format!("{name}:~\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
        }
    }

    pub fn matches(&self, p: &Placed) -> bool {
        match self {
            Ask::All(items) => items.iter().all(|i| i.matches(p)),
            Ask::Any(items) => items.iter().any(|i| i.matches(p)),
            Ask::Not(inner) => !inner.matches(p),
            Ask::Whole(_, paths, pattern) => values(p, paths).iter().any(|v| like(pattern, v)),
            Ask::Status(value) => {
                let id = if *value == "success" { "1" } else { "2" };
                values(p, &["status_id"]).iter().any(|v| v == id)
            }
            Ask::Exists(_, paths) => !values(p, paths).is_empty(),
            Ask::Words(_, paths, text, quoted) => values(p, paths).iter().any(|v| holds(&mask(v), text, !quoted)),
            Ask::Number(_, path, low, high) => values(p, &[path])
                .iter()
                .any(|v| v.parse::<u64>().is_ok_and(|n| (*low..=*high).contains(&n))),
            Ask::Above(_, path, than) => values(p, &[path]).iter().any(|v| v.parse::<f64>().unwrap() > *than),
            Ask::Class(uid) => u64::from(p.event.class_uid) == *uid,
            Ask::Time(from, to) => p.event.time.0 > *from && p.event.time.0 <= *to,
            Ask::Network(net) => values(p, &["src_endpoint.ip"]).iter().any(|v| within(net, v)),
            Ask::Holds(_, paths, text) => {
                let text: String = plain(text).into_iter().collect();
                let holds = |v: &String| plain(&mask(v)).into_iter().collect::<String>().contains(&text);
                values(p, paths).iter().any(holds)
            }
            Ask::Record(id) => p.event.uid.split('#').next() == Some(id),
        }
    }
}

impl Rng {
    fn pick_static(&mut self, from: &[&'static str]) -> &'static str {
        from[self.below(from.len())]
    }
}

/// A value, or a pattern that some values match.
fn pattern(rng: &mut Rng, from: &[&str]) -> String {
    let value: Vec<char> = rng.pick(from).chars().collect();
    match rng.below(4) {
        0 => format!("{}*", value[..1 + rng.below(value.len())].iter().collect::<String>()),
        1 => format!("*{}", value[rng.below(value.len())..].iter().collect::<String>()),
        2 => value
            .iter()
            .enumerate()
            .map(|(i, c)| if i == value.len() / 2 { '?' } else { *c })
            .collect(),
        _ => value.iter().collect::<String>().to_uppercase(),
    }
}

/// Words of the vocabulary, whole or in part. Unquoted: one word, maybe with `*`.
fn text(rng: &mut Rng, quoted: bool) -> String {
    if quoted {
        loop {
            let text = (0..1 + rng.below(3))
                .map(|_| rng.pick(WORDS))
                .collect::<Vec<_>>()
                .join(" ");
            let chars: Vec<char> = text.chars().collect();
            // A piece of Chinese text is searched as it stands; Latin words only whole.
            let piece = match units(&text).iter().all(|u| u.alone) && rng.chance(70) {
                true => {
                    let from = rng.below(chars.len());
                    chars[from..from + 1 + rng.below(chars.len() - from)].iter().collect()
                }
                false => text,
            };
            if !units(&piece.replace('*', " ")).is_empty() {
                return piece;
            }
        }
    }
    match rng.below(4) {
        0 => rng
            .pick(&[
                "*shad*", "*etc/sh*", "/etc/*", "back*", "*01", "审*志", "*计日*", "*数据*", "crm-*-01", "*o*", "*ab*",
            ])
            .into(),
        1 => rng
            .pick(&[
                "shadow",
                "10.8.1.7",
                "crm-web-01",
                "id=5",
                "/etc/shadow",
                "数据",
                "客户",
                "admin",
                "hunter2",
                "rm",
            ])
            .into(),
        _ => loop {
            let word = rng.pick(WORDS);
            if !units(&word.replace('*', " ")).is_empty() {
                return word.into();
            }
        },
    }
}

/// A piece of the vocabulary's text, punctuation and all.
fn fragment(rng: &mut Rng) -> String {
    let text = format!("{} {}", rng.pick(WORDS), rng.pick(WORDS));
    let chars: Vec<char> = text.chars().collect();
    let from = rng.below(chars.len() - 1);
    let to = from + 1 + rng.below((chars.len() - from).min(9));
    chars[from..to].iter().collect()
}
