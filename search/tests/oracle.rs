//! Generated queries, answered by the index and by a plain scan that shares no code with it.

#![allow(clippy::unwrap_used)]

mod support;

use std::error::Error as StdError;

use model::{LedgerIndex, Millis};
use search::{Agg, Found, Query, RawText, Request, Searcher, Sort, Total};
use serde_json::Value;
use support::{ADDRESSES, HOSTS, Placed, Rng, START, USERS, WORDS, add, mask, open, records};

const RECORDS: u64 = 600;

/// A query as the generator makes it.
#[derive(Clone, Debug)]
enum Ask {
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

const CMD: &[&str] = &["process.cmd_line"];
const URL: &[&str] = &["http_request.url.path"];
const MSG: &[&str] = &["message"];
const RAW: &[&str] = &["raw_data"];
const ANY: &[&str] = &["process.cmd_line", "http_request.url.path", "message", "raw_data"];

impl Ask {
    fn make(rng: &mut Rng, depth: usize) -> Ask {
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

    fn text(&self) -> String {
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

    fn matches(&self, p: &Placed) -> bool {
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

// What follows is the plain scan.

fn values(p: &Placed, paths: &[&str]) -> Vec<String> {
    let mut out = Vec::new();
    for path in paths {
        let mut parts = path.split('.');
        let mut value = parts.next().and_then(|p0| p.event.ocsf.get(p0));
        for part in parts {
            value = value.and_then(|v| v.get(part));
        }
        match value {
            None | Some(Value::Null) => {}
            Some(Value::String(s)) => out.push(s.clone()),
            Some(other) => out.push(other.to_string()),
        }
    }
    out
}

fn plain(text: &str) -> Vec<char> {
    let narrow = |c: char| match u32::from(c) {
        n @ 0xFF01..=0xFF5E => char::from_u32(n - 0xFF01 + 0x21).unwrap(),
        _ => c,
    };
    text.chars().map(narrow).flat_map(char::to_lowercase).collect()
}

fn like(pattern: &str, value: &str) -> bool {
    fn go(p: &[char], v: &[char]) -> bool {
        match (p.first(), v.first()) {
            (None, None) => true,
            (Some('*'), _) => go(&p[1..], v) || (!v.is_empty() && go(p, &v[1..])),
            (Some('?'), Some(_)) => go(&p[1..], &v[1..]),
            (Some(a), Some(b)) => a == b && go(&p[1..], &v[1..]),
            _ => false,
        }
    }
    go(&plain(pattern), &plain(value))
}

/// A word, or a character of Chinese or Japanese.
#[derive(Debug)]
struct Unit {
    text: String,
    alone: bool,
    /// Follows the one before it at once.
    glued: bool,
}

fn units(text: &str) -> Vec<Unit> {
    let mut out: Vec<Unit> = Vec::new();
    let mut before = ' ';
    for c in plain(text) {
        let alone = ('\u{3041}'..='\u{9fff}').contains(&c);
        if alone {
            let glued = ('\u{3041}'..='\u{9fff}').contains(&before);
            out.push(Unit {
                text: c.into(),
                alone,
                glued,
            });
        } else if c.is_alphanumeric() || c == '*' {
            let joins = (before.is_alphanumeric() || before == '*') && !('\u{3041}'..='\u{9fff}').contains(&before);
            match out.last_mut() {
                Some(last) if joins => last.text.push(c),
                _ => out.push(Unit {
                    text: c.into(),
                    alone,
                    glued: false,
                }),
            }
        }
        before = c;
    }
    out
}

/// Whether the text holds the words in a row; with `wild`, `*` has its meaning.
fn holds(text: &str, words: &str, wild: bool) -> bool {
    let text = units(&text.replace('*', " "));
    if wild && words.contains('*') {
        // Beside Chinese a `*` divides.
        let mut spaced = String::new();
        let chars: Vec<char> = words.chars().collect();
        let mut parts = Vec::new();
        for (i, c) in chars.iter().enumerate() {
            let han = |i: Option<usize>| {
                i.and_then(|i| chars.get(i))
                    .is_some_and(|c| ('\u{3041}'..='\u{9fff}').contains(c))
            };
            if *c == '*' && (han(i.checked_sub(1)) || han(Some(i + 1))) {
                parts.push(std::mem::take(&mut spaced));
            } else {
                spaced.push(*c);
            }
        }
        parts.push(spaced);
        return parts.iter().all(|part| in_a_row(&text, &units(part), true));
    }
    in_a_row(&text, &units(&words.replace('*', " ")), false)
}

fn in_a_row(text: &[Unit], words: &[Unit], wild: bool) -> bool {
    let fits = |word: &Unit, unit: &Unit| {
        let same = if wild {
            like(&word.text, &unit.text)
        } else {
            word.text == unit.text
        };
        same && (!word.glued || unit.glued)
    };
    words.is_empty()
        || (0..text.len()).any(|at| {
            text.len() - at >= words.len()
                && words.iter().zip(&text[at..]).enumerate().all(|(i, (w, u))| {
                    // The first of a row may follow anything.
                    if i == 0 {
                        fits(
                            &Unit {
                                text: w.text.clone(),
                                alone: w.alone,
                                glued: false,
                            },
                            u,
                        )
                    } else {
                        fits(w, u)
                    }
                })
        })
}

fn within(net: &str, address: &str) -> bool {
    let Ok(address) = address.parse::<std::net::IpAddr>() else {
        return false;
    };
    let (base, prefix) = net
        .split_once('/')
        .unwrap_or((net, if net.contains(':') { "128" } else { "32" }));
    let prefix: u32 = prefix.parse().unwrap();
    match (base.parse().unwrap(), address) {
        (std::net::IpAddr::V4(a), std::net::IpAddr::V4(b)) => {
            let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
            a.to_bits() & mask == b.to_bits() & mask
        }
        (std::net::IpAddr::V6(a), std::net::IpAddr::V6(b)) => {
            let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
            a.to_bits() & mask == b.to_bits() & mask
        }
        _ => false,
    }
}

/// An index of many small segments, and what lies in it.
fn index(dir: &std::path::Path) -> (Searcher, Vec<Placed>) {
    let mut writer = open(dir);
    let mut at = 0;
    for step in [1u64, 50, 3, 120, 200, 26, 200] {
        add(&mut writer, at, at + step);
        at += step;
        writer.commit().unwrap();
    }
    assert_eq!(at, RECORDS);
    let searcher = writer.searcher();
    writer.close().unwrap();
    (searcher, records(0, RECORDS))
}

/// The records, read back as the server reads them.
struct Ledger<'a>(&'a [Placed]);

type Read<T> = Result<T, Box<dyn StdError + Send + Sync>>;

impl Ledger<'_> {
    fn at(&self, paths: &[&str], leaves: &[LedgerIndex], uid: &str) -> Read<Vec<String>> {
        let is = |p: &&Placed| p.index == leaves[0] && &*p.event.uid == uid;
        let found = self.0.iter().find(is).ok_or("no such event")?;
        Ok(values(found, paths).iter().map(|v| mask(v).into_owned()).collect())
    }
}

impl RawText for Ledger<'_> {
    fn raw(&self, leaves: &[LedgerIndex], uid: &str) -> Read<Option<String>> {
        Ok(self.at(RAW, leaves, uid)?.pop())
    }

    fn texts(&self, field: &str, leaves: &[LedgerIndex], uid: &str) -> Read<Vec<String>> {
        self.at(search::text_paths(field), leaves, uid)
    }

    fn values(&self, path: &str, leaves: &[LedgerIndex], uid: &str) -> Read<Vec<String>> {
        self.at(&[path], leaves, uid)
    }
}

#[test]
fn the_index_finds_what_a_scan_finds() {
    let dir = tempfile::tempdir().unwrap();
    let (searcher, placed) = index(dir.path());
    let text = Ledger(&placed);
    let mut rng = Rng(42);
    let mut found = 0;
    for n in 0..2500 {
        let ask = Ask::make(&mut rng, 3);
        let (from, to) = match rng.chance(20) {
            true => (
                Some(Millis(START + rng.below(300_000) as i64)),
                Some(Millis(START + 200_000 + rng.below(500_000) as i64)),
            ),
            false => (None, None),
        };
        let query = Query::parse(&ask.text(), None).unwrap_or_else(|e| panic!("{}: {e}", ask.text()));
        let sort = if rng.chance(70) { Sort::Newest } else { Sort::Oldest };
        let exact_total = rng.chance(50);
        let request = Request {
            from,
            to,
            sort,
            limit: 5000,
            after: None,
            exact_total,
            query,
        };
        let answer = searcher.search(&request, &text).unwrap();
        let mut expected: Vec<&Placed> = placed
            .iter()
            .filter(|p| from.is_none_or(|f| p.event.time >= f) && to.is_none_or(|t| p.event.time < t) && ask.matches(p))
            .collect();
        // Within a record the events of the generator are in order, so a stable sort keeps them so.
        expected.sort_by_key(|p| (p.event.time, p.index));
        if sort == Sort::Newest {
            expected.reverse();
        }
        let expected: Vec<&str> = expected.iter().map(|p| &*p.event.uid).collect();
        let got: Vec<&str> = answer.hits.iter().map(|h| h.uid.as_str()).collect();
        assert_eq!(got, expected, "query {n}: {}", ask.text());
        assert_eq!(
            answer.total,
            Total::Exact(expected.len() as u64),
            "query {n}: {}",
            ask.text()
        );
        assert_eq!(answer.next, None);
        found += got.len();
        if n % 10 == 0 {
            pages(&searcher, &request, &got, &mut rng, &text);
            groups(&searcher, &request, &got, &placed, &text);
        }
    }
    // The generator must ask for things that are there.
    assert!(found > 100_000, "{found}");
}

/// Page by page is the same as all at once.
fn pages(searcher: &Searcher, request: &Request, all: &[&str], rng: &mut Rng, text: &dyn RawText) {
    let limit = 1 + rng.below(70);
    let mut request = Request {
        limit,
        ..request.clone()
    };
    let mut got: Vec<String> = Vec::new();
    loop {
        let answer = searcher.search(&request, text).unwrap();
        match answer.total {
            Total::Exact(n) => assert_eq!(n, all.len() as u64),
            Total::AtMost(n) => assert!(!request.exact_total && n >= all.len() as u64),
        }
        got.extend(answer.hits.iter().map(|h| h.uid.clone()));
        match answer.next {
            Some(next) => request.after = Some(next.to_string().parse().unwrap()),
            None => break,
        }
        assert_eq!(answer.hits.len(), limit);
    }
    assert_eq!(got, all);
}

fn groups(searcher: &Searcher, request: &Request, all: &[&str], placed: &[Placed], text: &dyn RawText) {
    let of = |uid: &&str| placed.iter().find(|p| *p.event.uid == **uid).unwrap();
    let mut users: std::collections::BTreeMap<String, u64> = Default::default();
    let mut minutes: std::collections::BTreeMap<i64, u64> = Default::default();
    for p in all.iter().map(of) {
        let mut names = values(p, &["user.name", "actor.user.name"]);
        names.sort();
        names.dedup();
        names.into_iter().for_each(|n| *users.entry(n).or_default() += 1);
        *minutes.entry(p.event.time.0.div_euclid(60_000) * 60_000).or_default() += 1;
    }
    let mut users: Vec<(String, u64)> = users.into_iter().collect();
    users.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let distinct = users.len() as u64;
    users.truncate(3);
    let terms = searcher.terms(request, "user", 3, text).unwrap();
    let got: Vec<(String, u64)> = terms.buckets.into_iter().map(|b| (b.key, b.count)).collect();
    assert_eq!((got, terms.distinct, terms.total), (users, distinct, all.len() as u64));
    commands(searcher, request, all, placed, text);
    let histogram = searcher.date_histogram(request, 60_000, text).unwrap();
    let got: Vec<(i64, u64)> = histogram
        .buckets
        .iter()
        .filter(|b| b.count > 0)
        .map(|b| (b.key.0, b.count))
        .collect();
    assert_eq!(got, minutes.into_iter().collect::<Vec<_>>());
    assert!(histogram.buckets.windows(2).all(|w| w[1].key.0 - w[0].key.0 == 60_000));
}

/// By status, by five minutes within it, the commands (read from the ledger) and the bytes; different hosts.
fn commands(searcher: &Searcher, request: &Request, all: &[&str], placed: &[Placed], text: &dyn RawText) {
    let of = |uid: &&str| placed.iter().find(|p| *p.event.uid == **uid).unwrap();
    let field = |f: &str| f.to_owned();
    let inner = vec![
        Agg::Histogram {
            field: field("time"),
            interval_ms: 300_000,
            offset_ms: 60_000,
            within: vec![],
        },
        Agg::Terms {
            field: field("cmd"),
            size: 1000,
            within: vec![Agg::Stats {
                field: field("severity"),
            }],
        },
        Agg::Stats { field: field("bytes") },
    ];
    let asked = [
        Agg::Terms {
            field: field("class"),
            size: 9,
            within: inner,
        },
        Agg::Cardinality { field: field("host") },
        Agg::Cardinality {
            field: field("unmapped.ticket_id"),
        },
    ];
    let found = searcher.aggregate(request, &asked, text).unwrap();
    let distinct = |path: &'static str| {
        all.iter()
            .map(of)
            .flat_map(|p| values(p, &[path]))
            .collect::<std::collections::BTreeSet<_>>()
            .len() as u64
    };
    assert_eq!(found.found[1], Found::Cardinality(distinct("device.hostname")));
    assert_eq!(found.found[2], Found::Cardinality(distinct("unmapped.ticket_id")));
    let Found::Terms { buckets, .. } = &found.found[0] else {
        panic!()
    };
    for bucket in buckets {
        let class = |p: &Placed| search::query::class::name(p.event.class_uid).unwrap() == bucket.key;
        let here: Vec<&Placed> = all.iter().map(of).filter(|p| class(p)).collect();
        assert_eq!(bucket.count, here.len() as u64);
        let Found::Histogram { buckets: times } = &bucket.found[0] else {
            panic!()
        };
        for time in times {
            let within = |p: &&&Placed| (p.event.time.0 - time.key.0) / 300_000 == 0 && p.event.time >= time.key;
            assert_eq!(time.count, here.iter().filter(within).count() as u64);
            assert_eq!((time.key.0 + 60_000).rem_euclid(300_000), 0);
        }
        let Found::Terms {
            buckets: commands,
            missing,
            ..
        } = &bucket.found[1]
        else {
            panic!()
        };
        for command in commands {
            let with = here
                .iter()
                .filter(|p| values(p, CMD).iter().any(|v| mask(v) == command.key));
            let severities: f64 = with
                .clone()
                .flat_map(|p| values(p, &["severity_id"]))
                .map(|v| v.parse::<f64>().unwrap())
                .sum();
            assert_eq!(command.count, with.count() as u64);
            let Found::Stats(stats) = &command.found[0] else {
                panic!()
            };
            assert_eq!((stats.sum, stats.count), (severities, command.count));
        }
        let missed = here.iter().filter(|p| values(p, CMD).is_empty()).count() as u64;
        assert_eq!(*missing, missed);
        let bytes: Vec<f64> = here
            .iter()
            .flat_map(|p| values(p, &["http_response.length"]))
            .map(|v| v.parse().unwrap())
            .collect();
        let Found::Stats(stats) = &bucket.found[2] else {
            panic!()
        };
        assert_eq!((stats.count, stats.sum), (bytes.len() as u64, bytes.iter().sum()));
        assert_eq!(stats.max, bytes.iter().copied().reduce(f64::max));
    }
}

#[test]
fn a_piece_of_a_run_longer_than_a_word_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    let mut placed = records(0, 1);
    placed.truncate(1);
    let run: String = (0..700).map(|n| char::from(b'a' + (n * n % 26) as u8)).collect();
    placed[0]
        .event
        .ocsf
        .insert("raw_data".into(), format!("x={run}").into());
    writer.add(&support::batches(&placed), LedgerIndex(1)).unwrap();
    writer.commit().unwrap();
    let text = Ledger(&placed);
    for from in (0..690).step_by(7) {
        let query = Query::parse(&format!("raw:~{}", &run[from..from + 10]), None).unwrap();
        let answer = writer.searcher().search(&Request::new(query), &text).unwrap();
        assert_eq!(answer.hits.len(), 1, "{from}");
    }
}

#[test]
fn addresses_that_are_none_are_found_as_words() {
    let dir = tempfile::tempdir().unwrap();
    let (searcher, placed) = index(dir.path());
    for (query, value) in [
        ("src:unknown-host", "unknown-host"),
        ("src:FE80:0::1", "fe80::1"),
        ("src:10.8.1.*", "10.8.1.7"),
    ] {
        assert!(ADDRESSES.contains(&value));
        let request = Request {
            limit: 5000,
            ..Request::new(Query::parse(query, None).unwrap())
        };
        let expected = placed
            .iter()
            .filter(|p| values(p, &["src_endpoint.ip"]) == [value])
            .count();
        assert_eq!(
            searcher.search(&request, &search::NoText).unwrap().hits.len(),
            expected,
            "{query}"
        );
    }
}
