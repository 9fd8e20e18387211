//! Splits: what is made of the hot index, what is opened of it, what leaves it.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use model::{LedgerIndex, Millis};
use search::{IndexWriter, NoText, Place, Query, Request, Searcher, Sort, Total, Work};
use support::{Placed, Rng, START, add, batches, open_with, records};

fn uids(searcher: &Searcher) -> Vec<String> {
    let request = Request {
        limit: 100_000,
        ..Request::new(Query::all())
    };
    let answer = searcher.search(&request, &NoText).unwrap();
    let mut uids: Vec<String> = answer.hits.into_iter().map(|h| h.uid).collect();
    assert_eq!(answer.total, Total::Exact(uids.len() as u64));
    assert_eq!(answer.searched.events, uids.len() as u64);
    uids.sort();
    uids
}

fn expected(from: u64, to: u64) -> Vec<String> {
    let mut uids: Vec<String> = records(from, to).iter().map(|p| p.event.uid.to_string()).collect();
    uids.sort();
    uids
}

fn folders(dir: &Path) -> Vec<String> {
    let names = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name());
    let mut names: Vec<String> = names.map(|n| n.to_string_lossy().into_owned()).collect();
    names.retain(|n| n.starts_with("hot-") || n.starts_with("split-"));
    names.sort();
    names
}

/// Ten generations of a hundred records or so, as splits, and a few records that are hot.
fn ten(dir: &Path) -> IndexWriter {
    let mut writer = open_with(dir, 100);
    for n in 0..10 {
        add(&mut writer, n * 100, n * 100 + 100);
        writer.commit().unwrap();
    }
    add(&mut writer, 1_000, 1_007);
    writer.commit().unwrap();
    writer.settle().unwrap();
    writer
}

#[test]
fn each_generation_becomes_splits_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let writer = ten(dir.path());
    let check = |searcher: &Searcher| {
        let inventory = searcher.inventory();
        assert_eq!(inventory.splits.len(), 10);
        assert_eq!(inventory.hot_events, expected(1_000, 1_007).len() as u64);
        assert_eq!(inventory.position, LedgerIndex(1_007));
        for (n, split) in inventory.splits.iter().rev().enumerate() {
            let of = records(n as u64 * 100, n as u64 * 100 + 100);
            assert_eq!(split.events, of.len() as u64);
            assert_eq!(split.leaves, (of[0].index, of[of.len() - 1].index));
            assert_eq!(split.first, of.iter().map(|p| p.event.time).min().unwrap());
            assert_eq!(split.last, of.iter().map(|p| p.event.time).max().unwrap());
            assert_eq!(split.received.1, of.iter().map(|p| p.received).max().unwrap());
            assert_eq!(split.sources.as_deref(), Some(&["jumpserver".to_owned()][..]));
            assert_eq!(split.days.iter().map(|d| d.1).sum::<u64>(), split.events);
        }
        assert_eq!(uids(searcher), expected(0, 1_007));
    };
    check(&writer.searcher());
    let mut names: Vec<String> = writer.searcher().inventory().splits.iter().map(|s| s.name()).collect();
    names.push("hot-000011".into());
    names.sort();
    assert_eq!(folders(dir.path()), names);
    drop(writer);
    check(&Searcher::open(dir.path()).unwrap());
    check(&open_with(dir.path(), 100).searcher());
}

#[test]
fn the_newest_are_found_without_opening_every_split() {
    let dir = tempfile::tempdir().unwrap();
    drop(ten(dir.path()));
    let searcher = Searcher::open(dir.path()).unwrap();
    let ask = |q: &str, request: fn(Request) -> Request| {
        let request = request(Request::new(Query::parse(q, None).unwrap()));
        (searcher.search(&request, &NoText).unwrap(), searcher.inventory().open)
    };
    let (answer, open) = ask("", |r| r);
    // What is hot, the newest split, and maybe the one before, whose last seconds are late ones.
    assert!(answer.hits.len() == 100 && open <= 2, "{open}");
    let newest = open;
    assert_eq!(answer.total, Total::Exact(expected(0, 1_007).len() as u64));
    assert_eq!(answer.searched.in_range, expected(0, 1_007).len() as u64);
    // A source that no split has, and a time in none of them.
    let (answer, open) = ask("source:nginx", |r| r);
    assert_eq!((answer.hits.len(), open, answer.total), (0, newest, Total::Exact(0)));
    assert_eq!(answer.searched.in_range, expected(0, 1_007).len() as u64);
    let (answer, open) = ask("user:alice time:<2020-01-01", |r| r);
    assert_eq!((answer.hits.len(), open), (0, newest));
    // One range of time.
    let (answer, open) = ask("", |r| Request {
        from: Some(Millis(START + 320_000)),
        to: Some(Millis(START + 330_000)),
        ..r
    });
    let within = |p: &&Placed| (START + 320_000..START + 330_000).contains(&p.event.time.0);
    let all = records(0, 1_007);
    assert_eq!(answer.searched.in_range, all.iter().filter(within).count() as u64);
    assert!(open <= newest + 2, "{open}");
    let (answer, open) = ask("", |r| Request {
        sort: Sort::Oldest,
        limit: 10,
        ..r
    });
    assert_eq!(answer.hits[0].time, all.iter().map(|p| p.event.time).min().unwrap());
    assert!(open <= newest + 4, "{open}");
}

#[test]
fn what_was_received_before_a_moment_can_be_dropped_and_the_answer_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = ten(dir.path());
    // Who began to read before goes on.
    let before = Searcher::open(dir.path()).unwrap();
    let received = |n: u64| records(n, n + 1)[0].received;
    assert_eq!(writer.drop_before(received(99)).unwrap(), []);
    let dropped = writer.drop_before(received(350)).unwrap();
    assert_eq!(dropped.len(), 3);
    let check = |searcher: &Searcher| {
        assert_eq!(uids(searcher), expected(300, 1_007));
        let gone = searcher.inventory().dropped.unwrap();
        let events = expected(0, 300).len() as u64;
        assert_eq!((gone.events, gone.received_before), (events, received(350)));
        let ask = |from: i64| {
            let request = Request {
                from: Some(Millis(from)),
                ..Request::new(Query::all())
            };
            searcher.search(&request, &NoText).unwrap().searched
        };
        assert_eq!(ask(gone.last.0).dropped, Some(gone));
        assert_eq!(ask(gone.last.0 + 1).dropped, None);
    };
    check(&writer.searcher());
    assert_eq!(folders(dir.path()).len(), 8);
    // Once more, with what was dropped before.
    let more = writer.drop_before(received(450)).unwrap();
    assert_eq!(more.len(), 1);
    assert_eq!(
        writer.searcher().inventory().dropped.unwrap().events,
        expected(0, 400).len() as u64
    );
    drop(writer);
    let writer = open_with(dir.path(), 100);
    assert_eq!(writer.position(), LedgerIndex(1_007));
    assert_eq!(uids(&writer.searcher()), expected(400, 1_007));
    drop(before);
}

/// The event of a record, given anew at the leaf `at`.
fn again(writer: &mut IndexWriter, record: u64, at: u64) {
    let mut placed = records(record, record + 1);
    let received_at = placed[0].received;
    let mut places: BTreeMap<Arc<str>, Place> = BTreeMap::new();
    for p in &mut placed {
        p.index = LedgerIndex(at);
        p.event
            .ocsf
            .insert("user".into(), serde_json::json!({"name": format!("mended-{at}")}));
        let record = p.event.uid.split('#').next().unwrap().into();
        places.insert(
            record,
            Place {
                leaves: vec![LedgerIndex(index_of(&p.event.uid))],
                received_at,
            },
        );
    }
    let work = Work {
        batches: &batches(&placed),
        up_to: LedgerIndex(at + 1),
        places: &places,
        replaced: &[LedgerIndex(record)],
        note: "",
    };
    writer.take(&work).unwrap();
}

fn index_of(uid: &str) -> u64 {
    uid.split('#')
        .next()
        .unwrap()
        .rsplit('/')
        .next()
        .unwrap()
        .parse()
        .unwrap()
}

fn mended(searcher: &Searcher, at: u64) -> Vec<u64> {
    let query = Query::parse(&format!("subject:mended-{at}"), None).unwrap();
    let hits = searcher.search(&Request::new(query), &NoText).unwrap().hits;
    hits.iter().map(|h| h.index.0).collect()
}

#[test]
fn events_in_splits_can_be_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = ten(dir.path());
    again(&mut writer, 250, 1_007);
    assert_eq!(writer.commit().unwrap(), LedgerIndex(1_008));
    let check = |searcher: &Searcher, at: u64| {
        assert_eq!(uids(searcher), expected(0, 1_007));
        assert!(!mended(searcher, at).is_empty());
        assert!(mended(searcher, at).iter().all(|n| *n == 250));
    };
    check(&writer.searcher(), 1_007);
    // Beside it, by its own reading of the folder, and after it was opened again.
    check(&Searcher::open(dir.path()).unwrap(), 1_007);
    writer.settle().unwrap();
    check(&Searcher::open(dir.path()).unwrap(), 1_007);
    drop(writer);
    let mut writer = open_with(dir.path(), 100);
    check(&writer.searcher(), 1_007);
    // Once more: what took its place is in the hot generation, which is then sealed.
    again(&mut writer, 250, 1_008);
    add(&mut writer, 1_009, 1_120);
    // These are new, and not of what is compared.
    writer.commit().unwrap();
    writer.settle().unwrap();
    assert!(mended(&writer.searcher(), 1_007).is_empty());
    assert!(!mended(&writer.searcher(), 1_008).is_empty());
    let mut all = expected(0, 1_007);
    all.extend(expected(1_009, 1_120));
    all.sort();
    assert_eq!(uids(&writer.searcher()), all);
    search::check(dir.path()).unwrap();
}

/// Any order of additions, commits, kills, replacements and openings gives what the ledger holds.
#[test]
fn whatever_happens_the_index_is_what_the_ledger_holds() {
    for seed in 0..3 {
        let mut rng = Rng(seed);
        let dir = tempfile::tempdir().unwrap();
        // Every tenth leaf after the first hundred replaces an earlier one.
        let replaces = |at: u64| (at >= 100 && at % 10 == 7).then_some(at / 3);
        let take = |writer: &mut IndexWriter, from: u64, to: u64| {
            for at in from..to {
                match replaces(at) {
                    Some(record) => again(writer, record, at),
                    None => {
                        add(writer, at, at + 1);
                    }
                }
            }
        };
        let mut all: BTreeMap<String, Option<u64>> = BTreeMap::new();
        for at in 0..400 {
            match replaces(at) {
                None => all.extend(expected(at, at + 1).into_iter().map(|u| (u, None))),
                Some(record) => all.extend(expected(record, record + 1).into_iter().map(|u| (u, Some(at)))),
            }
        }
        let mut writer = open_with(dir.path(), 60);
        while writer.committed() < LedgerIndex(400) {
            let from = writer.position().0;
            take(&mut writer, from, (from + 1 + rng.below(40) as u64).min(400));
            match rng.below(6) {
                0 => {
                    drop(writer);
                    writer = open_with(dir.path(), 60);
                }
                1 => writer.settle().unwrap(),
                2 => {
                    writer.tend().unwrap();
                }
                _ => {
                    writer.commit().unwrap();
                }
            }
        }
        let copied = copy(dir.path());
        for writer in [writer, open_with(copied.path(), 60)] {
            let got = uids(&writer.searcher());
            assert_eq!(got, all.keys().cloned().collect::<Vec<_>>(), "seed {seed}");
            for at in (0..400).filter(|at| replaces(*at).is_some()) {
                let current = all.values().filter(|v| **v == Some(at)).count();
                assert_eq!(mended(&writer.searcher(), at).len(), current, "seed {seed} at {at}");
            }
        }
    }
}

/// A copy of a folder, as a process that dies leaves it.
fn copy(dir: &Path) -> tempfile::TempDir {
    let copied = tempfile::tempdir().unwrap();
    let to = copied.path();
    for folder in folders(dir).iter().map(String::as_str).chain(["."]) {
        std::fs::create_dir_all(to.join(folder)).unwrap();
        for entry in std::fs::read_dir(dir.join(folder)).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_file() {
                std::fs::copy(entry.path(), to.join(folder).join(entry.file_name())).unwrap();
            }
        }
    }
    copied
}
