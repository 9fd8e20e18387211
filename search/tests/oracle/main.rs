//! Generated queries, answered by the index and by a plain scan that shares no code with it.

#![allow(clippy::unwrap_used)]

mod ask;
mod order;
mod scan;
#[path = "../support/mod.rs"]
mod support;

use std::error::Error as StdError;

use model::{LedgerIndex, Millis};
use search::{Agg, Found, Query, RawText, Request, Searcher, Sort, Total};

use ask::{Ask, CMD, RAW};
use scan::values;
use support::{ADDRESSES, Placed, Rng, START, add, mask, open, open_with, records};

/// Records of the index.
pub const RECORDS: u64 = 600;

/// An index of many small segments, or of splits of so many events and what is hot yet, and what lies in it.
fn index(dir: &std::path::Path, split_docs: u64) -> (Searcher, Vec<Placed>) {
    let mut writer = open_with(dir, split_docs);
    let mut at = 0;
    for step in [1u64, 50, 3, 120, 200, 26, 150, 50] {
        add(&mut writer, at, at + step);
        at += step;
        writer.commit().unwrap();
    }
    writer.settle().unwrap();
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
    let (searcher, placed) = index(dir.path(), u64::MAX);
    assert_eq!(searcher.inventory().splits, []);
    compare(&searcher, &placed);
}

#[test]
fn splits_find_what_a_scan_finds() {
    let dir = tempfile::tempdir().unwrap();
    let (searcher, placed) = index(dir.path(), 100);
    let inventory = searcher.inventory();
    assert!(inventory.splits.len() >= 3 && inventory.hot_events > 0, "{inventory:?}");
    compare(&searcher, &placed);
}

fn compare(searcher: &Searcher, placed: &[Placed]) {
    let text = Ledger(placed);
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
        let in_range = |p: &&Placed| from.is_none_or(|f| p.event.time >= f) && to.is_none_or(|t| p.event.time < t);
        assert_eq!(
            answer.searched.in_range,
            placed.iter().filter(in_range).count() as u64,
            "query {n}"
        );
        assert_eq!(
            (answer.searched.up_to, answer.searched.dropped),
            (LedgerIndex(RECORDS), None)
        );
        found += got.len();
        if n % 10 == 0 {
            pages(searcher, &request, &got, &mut rng, &text);
            groups(searcher, &request, &got, placed, &text);
            order::check(searcher, &request, &got, placed, &mut rng, &text);
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
    let (searcher, placed) = index(dir.path(), u64::MAX);
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
