//! Generated questions over mixed records, as the server normalizes and masks them, answered by the index and by a plain
//! scan of the events that shows no index, no tokens and no columns. `cargo test -p docket oracle`; the recorded run of
//! 2,500 questions over 120,000 records: `DOCKET_ORACLE=full cargo test -p docket oracle -- --nocapture`.

mod ask;
mod order;
mod scan;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as StdError;
use std::sync::Arc;

use bytes::Bytes;
use detect::reference::Tables;
use ingest::{Normalizer, Settings, batcher};
use model::{Arena, Coordinate, LedgerIndex, Millis, Plan, RawRecord};
use search::{Agg, Budgets, Found, IndexWriter, Query, RawText, Reading, Request, Searcher, Sort, Total};

use self::ask::{Ask, Rng};
use self::scan::{Doc, Units};
use crate::demo::{Traffic, reference};
use crate::masking;
use crate::people::Register;

/// A Thursday.
const START: Millis = Millis(1_795_046_400_000);

/// Hits of a page that are compared one by one.
const PAGE: usize = 300;

/// How many records and questions: `full`, or two numbers.
fn sizes() -> (usize, usize) {
    let given = std::env::var("DOCKET_ORACLE").unwrap_or_default();
    match given
        .split_once(',')
        .map(|(records, questions)| (records.parse(), questions.parse()))
    {
        Some((Ok(records), Ok(questions))) => (records, questions),
        _ if given == "full" => (120_000, 2_500),
        _ => (2_500, 250),
    }
}

/// The demo's traffic, with a fixture's line now and then.
fn records(count: usize) -> Vec<RawRecord> {
    let fixtures = fixtures();
    let mut traffic = Traffic::new(7, START);
    let mut next: BTreeMap<Arc<str>, i64> = BTreeMap::new();
    let mut received = START;
    (0..count)
        .map(|n| {
            let (source, line): (Arc<str>, String) = if n % 4 == 3 && !fixtures.is_empty() {
                let (source, line) = &fixtures[n / 4 % fixtures.len()];
                (source.clone(), line.clone())
            } else {
                let (at, source, line) = traffic.next().expect("the traffic has no end");
                received = received.max(at);
                (source.into(), line)
            };
            let offset = next.entry(source.clone()).or_default();
            *offset += 1;
            RawRecord {
                coordinate: Coordinate::new(format!("local.{source}"), 0, *offset - 1),
                received_at: received,
                source,
                peer: None,
                key: None,
                headers: Vec::new(),
                payload: Bytes::from(line),
                truncated: None,
            }
        })
        .collect()
}

/// Lines of every format's cases, by a source named after it.
fn fixtures() -> Vec<(Arc<str>, String)> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures");
    let mut files: Vec<_> = std::fs::read_dir(root)
        .unwrap()
        .flat_map(|f| std::fs::read_dir(f.unwrap().path()).into_iter().flatten())
        .collect::<Result<_, _>>()
        .unwrap();
    files.sort_by_key(std::fs::DirEntry::path);
    let mut lines = Vec::new();
    for file in files {
        let path = file.path();
        let name = path
            .parent()
            .and_then(|p| p.file_name())
            .and_then(|n| n.to_str())
            .unwrap_or_default();
        if path.extension().is_some_and(|e| e == "log") && name != "docket" {
            let text = std::fs::read(&path).unwrap();
            let all = String::from_utf8_lossy(&text).into_owned();
            lines.extend(
                all.lines()
                    .filter(|l| !l.is_empty())
                    .map(|l| (Arc::from(name), l.to_owned())),
            );
        }
    }
    lines
}

struct World {
    searcher: Searcher,
    docs: Vec<Doc>,
    by_uid: BTreeMap<String, usize>,
    tables: Tables,
    units: Units,
    _dir: tempfile::TempDir,
}

impl World {
    /// An index of splits of so many events, and what is hot yet; where nothing is said, all of it is hot.
    fn new(count: usize, split_docs: Option<u64>) -> World {
        let records = records(count);
        let mut tables = Tables::default();
        for (name, json) in reference(START) {
            tables.load(name, json.as_bytes()).unwrap();
        }
        let normalizer = Normalizer::new(Settings::default());
        let dir = tempfile::tempdir().unwrap();
        let heap_bytes = 32 << 20;
        let budgets = match split_docs {
            Some(split_docs) => Budgets {
                heap_bytes,
                split_docs,
                ..Budgets::default()
            },
            // The records are of many days.
            None => Budgets {
                heap_bytes,
                split_docs: u64::MAX,
                split_bytes: u64::MAX,
                split_ms: i64::MAX,
                ..Budgets::default()
            },
        };
        let mut writer = IndexWriter::open(dir.path(), budgets, masking::INDEX).unwrap();
        let mut plan = Plan::new(&search::wanted());
        let (mut docs, mut units) = (Vec::new(), Units::default());
        let mut at = 0u64;
        // Uneven pieces give segments of all sizes.
        let mut size = 100;
        let mut rest = &records[..];
        while !rest.is_empty() {
            // The last piece is small, so that it is hot beside splits.
            let size_now = match rest.len().saturating_sub(20) {
                0 => rest.len(),
                more => more.min(size).min(count / 9 + 1),
            };
            let (piece, more) = rest.split_at(size_now);
            rest = more;
            size = size * 3 % 7_001 + 50;
            let arena = Arena::new();
            let mut items = Vec::new();
            for record in piece {
                let index = LedgerIndex(at);
                at += 1;
                for event in normalizer.normalize(&arena, record).events {
                    items.push((index, record.received_at, &record.source, event));
                }
                for event in normalizer.normalize_plain(record).events {
                    docs.push(Doc::new(index, record, &event, &mut units, &tables));
                }
            }
            writer
                .add(&batcher::batches(&items, &mut plan), LedgerIndex(at))
                .unwrap();
            writer.commit().unwrap();
        }
        writer.settle().unwrap();
        let searcher = writer.searcher();
        writer.close().unwrap();
        let by_uid = docs.iter().enumerate().map(|(n, d)| (d.uid.clone(), n)).collect();
        World {
            searcher,
            docs,
            by_uid,
            tables,
            units,
            _dir: dir,
        }
    }
}

type Read<T> = Result<T, Box<dyn StdError + Send + Sync>>;

impl RawText for World {
    fn raw(&self, leaves: &[LedgerIndex], uid: &str) -> Read<Option<String>> {
        Ok(self.texts("raw", leaves, uid)?.pop())
    }

    fn texts(&self, field: &str, _: &[LedgerIndex], uid: &str) -> Read<Vec<String>> {
        let doc = &self.docs[*self.by_uid.get(uid).ok_or("no such event")?];
        Ok(doc.texts(field).iter().map(|t| t.text.clone()).collect())
    }

    fn values(&self, path: &str, _: &[LedgerIndex], uid: &str) -> Read<Vec<String>> {
        let doc = &self.docs[*self.by_uid.get(uid).ok_or("no such event")?];
        let mut out = Vec::new();
        crate::asking::at_path(&doc.event, path, &mut out);
        Ok(out)
    }
}

#[test]
fn the_index_answers_as_a_scan_of_mixed_records_does() {
    answers(None, |splits, _| splits == 0);
}

#[test]
fn splits_answer_as_a_scan_of_mixed_records_does() {
    let (count, _) = sizes();
    answers(Some(count as u64 / 7), |splits, hot| splits > 3 && hot > 0);
}

fn answers(split_docs: Option<u64>, is_built_so: fn(usize, u64) -> bool) {
    let (count, questions) = sizes();
    let started = std::time::Instant::now();
    let mut world = World::new(count, split_docs);
    let inventory = world.searcher.inventory();
    println!("{} splits, {} events hot", inventory.splits.len(), inventory.hot_events);
    assert!(is_built_so(inventory.splits.len(), inventory.hot_events));
    println!(
        "{count} records, {} events, indexed in {:?}",
        world.docs.len(),
        started.elapsed()
    );
    let mut rng = Rng(42);
    let (mut found, mut empty, mut aggregated) = (0usize, 0, 0);
    let mut kinds: BTreeMap<&'static str, usize> = BTreeMap::new();
    for n in 0..questions {
        let ask = Ask::make(&mut rng, &world.docs, 2);
        ask.count(&mut kinds);
        let text = ask.text();
        let prepared = ask.prepare(&mut world.units);
        let register = Register(&world.tables);
        let reading = Reading {
            now: None,
            people: Some(&register),
        };
        let query = Query::read(&text, &reading).unwrap_or_else(|e| panic!("{text}: {e}"));
        let pick = |rng: &mut Rng| world.docs[rng.below(world.docs.len())].time;
        let (from, to) = match rng.chance(30) {
            true => (Some(pick(&mut rng)), Some(pick(&mut rng))),
            false => (None, None),
        };
        let mut expected: Vec<&Doc> = world
            .docs
            .iter()
            .filter(|d| from.is_none_or(|f| d.time >= f) && to.is_none_or(|t| d.time < t) && prepared.matches(d))
            .collect();
        expected.sort_by_key(|d| (d.time, d.index, d.number));
        let sort = if rng.chance(70) { Sort::Newest } else { Sort::Oldest };
        if sort == Sort::Newest {
            expected.reverse();
        }
        // Of more the first, then those after some place in the midst; all are counted.
        let limit = PAGE;
        let after = expected
            .len()
            .checked_sub(PAGE * 2)
            .map(|more| PAGE + rng.below(more + 1));
        let request = Request {
            from,
            to,
            sort,
            limit,
            exact_total: true,
            ..Request::new(query)
        };
        let answer = world
            .searcher
            .search(&request, &world)
            .unwrap_or_else(|e| panic!("{n}: {text}: {e}"));
        let got: Vec<&str> = answer.hits.iter().map(|h| h.uid.as_str()).collect();
        let wanted: Vec<&str> = expected.iter().take(limit).map(|d| d.uid.as_str()).collect();
        if got != wanted {
            let (a, b): (BTreeSet<&str>, BTreeSet<&str>) =
                (got.iter().copied().collect(), wanted.iter().copied().collect());
            let more: Vec<_> = a.difference(&b).take(3).collect();
            let less: Vec<_> = b.difference(&a).take(3).collect();
            let shown = more
                .iter()
                .chain(&less)
                .next()
                .map(|uid| world.docs[world.by_uid[**uid]].event.to_string());
            panic!(
                "question {n}: {text}\n{} found, {} expected; found besides {more:?}, missed {less:?}\n{shown:?}",
                got.len(),
                wanted.len()
            );
        }
        assert_eq!(answer.total, Total::Exact(expected.len() as u64), "{text}");
        assert_eq!(answer.next.is_some(), expected.len() > limit, "{text}");
        if let Some(at) = after {
            let d = expected[at - 1];
            let after = format!("{}.{}.{}", d.time.0, d.index, d.number).parse().unwrap();
            let page = Request {
                after: Some(after),
                ..request.clone()
            };
            let answer = world.searcher.search(&page, &world).unwrap();
            let got: Vec<&str> = answer.hits.iter().map(|h| h.uid.as_str()).collect();
            let wanted: Vec<&str> = expected[at..].iter().take(limit).map(|d| d.uid.as_str()).collect();
            assert_eq!(got, wanted, "{text} after {at}");
        }
        let in_range = world
            .docs
            .iter()
            .filter(|d| from.is_none_or(|f| d.time >= f) && to.is_none_or(|t| d.time < t))
            .count();
        assert_eq!(answer.searched.in_range, in_range as u64, "{text}");
        found += expected.len();
        empty += usize::from(got.is_empty());
        if (n + 1) % 250 == 0 {
            println!("{} of {questions} questions, in {:?}", n + 1, started.elapsed());
        }
        if n % 5 == 0 {
            aggregates(&world, &request, &expected, &text, &mut rng);
            order::check(&world, &request, &expected, &text, &mut rng);
            aggregated += 1;
        }
    }
    println!(
        "{questions} questions ({aggregated} with aggregations), {found} hits, {empty} without any, in {:?}",
        started.elapsed()
    );
    println!("conditions: {kinds:?}");
    // The generator must ask for things that are there.
    assert!(found > questions * 10 && empty < questions / 2, "{found} {empty}");
}

fn aggregates(world: &World, request: &Request, expected: &[&Doc], text: &str, rng: &mut Rng) {
    let field = [
        "user", "actor", "host", "src", "session", "source", "status", "class", "label", "product",
    ][rng.below(10)];
    let interval = [60_000, 3_600_000, 86_400_000][rng.below(3)];
    let asked = [
        Agg::Terms {
            field: field.to_owned(),
            size: 7,
            within: vec![Agg::Stats { field: "bytes".into() }],
        },
        Agg::Histogram {
            field: "time".into(),
            interval_ms: interval,
            offset_ms: 28_800_000,
            within: vec![Agg::Cardinality { field: "src".into() }],
        },
        Agg::Numbers { field: "bytes".into() },
    ];
    let found = match world.searcher.aggregate(request, &asked, world) {
        Ok(found) => found,
        // Fixtures reach over decades: so many buckets are refused, not cut.
        Err(search::Error::TooManyBuckets { .. }) => return,
        Err(e) => panic!("{text}: {e}"),
    };
    assert_eq!(found.total, expected.len() as u64, "{text}");
    let mut counts: BTreeMap<String, (u64, u64, f64)> = BTreeMap::new();
    let mut missing = 0;
    for doc in expected {
        let values: BTreeSet<String> = doc.grouped(field).into_iter().collect();
        missing += u64::from(values.is_empty());
        for value in values {
            let entry = counts.entry(value).or_default();
            entry.0 += 1;
            for n in doc.numbers("bytes") {
                (entry.1, entry.2) = (entry.1 + 1, entry.2 + *n as f64);
            }
        }
    }
    let Found::Terms {
        buckets,
        distinct,
        missing: without,
        ..
    } = &found.found[0]
    else {
        panic!()
    };
    assert_eq!(
        (*distinct, *without),
        (counts.len() as u64, missing),
        "{text} by {field}"
    );
    let mut all: Vec<_> = counts.into_iter().collect();
    // Of equals the one that sorts first; classes are sorted as numbers were.
    all.sort_by(|a, b| b.1.0.cmp(&a.1.0));
    let counted: Vec<u64> = all.iter().take(7).map(|(_, c)| c.0).collect();
    assert_eq!(
        buckets.iter().map(|b| b.count).collect::<Vec<_>>(),
        counted,
        "{text} by {field}"
    );
    for bucket in buckets {
        let (_, (count, numbers, sum)) = all
            .iter()
            .find(|(k, _)| *k == bucket.key)
            .unwrap_or_else(|| panic!("{text} by {field}: {}", bucket.key));
        let Found::Stats(stats) = &bucket.found[0] else {
            panic!()
        };
        assert_eq!(
            (bucket.count, stats.count, stats.sum),
            (*count, *numbers, *sum),
            "{text} by {field}"
        );
    }
    let mut times: BTreeMap<i64, (u64, BTreeSet<String>)> = BTreeMap::new();
    for doc in expected {
        let key = (doc.time.0 + 28_800_000).div_euclid(interval) * interval - 28_800_000;
        let entry = times.entry(key).or_default();
        entry.0 += 1;
        entry.1.extend(doc.grouped("src"));
    }
    let Found::Histogram { buckets } = &found.found[1] else {
        panic!()
    };
    let got: Vec<(i64, u64, Found)> = buckets
        .iter()
        .filter(|b| b.count > 0)
        .map(|b| (b.key.0, b.count, b.found[0].clone()))
        .collect();
    let wanted: Vec<(i64, u64, Found)> = times
        .into_iter()
        .map(|(k, (n, s))| (k, n, Found::Cardinality(s.len() as u64)))
        .collect();
    assert_eq!(got, wanted, "{text}");
    let mut numbers: BTreeMap<u64, u64> = BTreeMap::new();
    let all = expected.iter().flat_map(|doc| doc.numbers("bytes"));
    all.for_each(|n| *numbers.entry(*n).or_default() += 1);
    let numbers = numbers.into_iter().map(|(n, count)| (n as f64, count)).collect();
    assert_eq!(found.found[2], Found::Numbers(search::Numbers(numbers)), "{text}");
}
