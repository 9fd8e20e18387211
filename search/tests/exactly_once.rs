//! Whatever happens between commits, a replay makes the index whole, and holds nothing twice.

#![allow(clippy::unwrap_used)]

mod support;

use model::LedgerIndex;
use search::{Budgets, Error, IndexWriter, Mask, NoText, Query, Request, Searcher, Total};
use support::{add, batches, mask, open, open_with, records};

fn uids(searcher: &Searcher) -> Vec<String> {
    let request = Request {
        limit: 100_000,
        ..Request::new(Query::all())
    };
    let mut uids: Vec<String> = searcher
        .search(&request, &NoText)
        .unwrap()
        .hits
        .into_iter()
        .map(|h| h.uid)
        .collect();
    uids.sort();
    uids
}

fn expected(to: u64) -> Vec<String> {
    let mut uids: Vec<String> = records(0, to).iter().map(|p| p.event.uid.to_string()).collect();
    uids.sort();
    uids
}

#[test]
fn what_was_not_committed_is_replayed_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut done = 0;
    for step in 0..12u64 {
        let mut writer = open(dir.path());
        assert_eq!(writer.position(), LedgerIndex(done), "step {step}");
        // Replay from before the position, as when another stage lags behind.
        let from = done.saturating_sub(7);
        let to = done + 11 + step;
        let new = add(&mut writer, from, to);
        assert_eq!(new, records(done, to).len() as u64);
        if step % 3 == 2 {
            // Killed: added, never committed.
            drop(writer);
            continue;
        }
        assert_eq!(writer.commit().unwrap(), LedgerIndex(to));
        done = to;
        // More that is lost.
        add(&mut writer, to, to + 5);
        assert_eq!(uids(&writer.searcher()), expected(done));
        drop(writer);
    }
    let searcher = Searcher::open(dir.path()).unwrap();
    assert_eq!(searcher.position(), LedgerIndex(done));
    assert_eq!(uids(&searcher), expected(done));
}

#[test]
fn events_past_the_position_are_not_doubled_by_a_replay() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    // Record 10 is being joined; 11 to 19 came meanwhile.
    writer.add(&batches(&records(0, 10)), LedgerIndex(10)).unwrap();
    writer.add(&batches(&records(11, 20)), LedgerIndex(10)).unwrap();
    assert_eq!(writer.commit().unwrap(), LedgerIndex(10));
    drop(writer);
    let mut writer = open(dir.path());
    assert_eq!(writer.position(), LedgerIndex(10));
    writer.add(&batches(&records(11, 20)), LedgerIndex(10)).unwrap();
    writer.add(&batches(&records(10, 11)), LedgerIndex(20)).unwrap();
    assert_eq!(writer.add(&batches(&records(0, 20)), LedgerIndex(20)).unwrap(), 0);
    assert_eq!(writer.commit().unwrap(), LedgerIndex(20));
    assert_eq!(uids(&writer.searcher()), expected(20));
}

#[test]
fn an_empty_index_knows_that_it_is_at_the_beginning() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let mut writer = open(dir.path());
    assert_eq!(writer.position(), LedgerIndex(0));
    writer.add(&[], LedgerIndex(4)).unwrap();
    assert_eq!(writer.position(), LedgerIndex(4));
    assert_eq!(writer.committed(), LedgerIndex(0));
    assert_eq!(writer.commit().unwrap(), LedgerIndex(4));
    let answer = writer.searcher().search(&Request::new(Query::all()), &NoText).unwrap();
    assert_eq!(
        (answer.hits.len(), answer.total, answer.searched.up_to),
        (0, Total::Exact(0), LedgerIndex(4))
    );
}

#[test]
fn a_second_writer_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _writer = open(dir.path());
    assert!(matches!(
        IndexWriter::open(dir.path(), Default::default(), Mask::of(mask)),
        Err(Error::Busy { .. })
    ));
}

/// Each file of the index in turn, cut, altered, removed: hot ones and the manifest, and those of splits.
#[test]
fn a_damaged_index_says_that_it_can_be_rebuilt() {
    let whole = tempfile::tempdir().unwrap();
    let mut writer = open_with(whole.path(), 40);
    add(&mut writer, 0, 50);
    writer.commit().unwrap();
    writer.settle().unwrap();
    add(&mut writer, 50, 60);
    writer.commit().unwrap();
    writer.close().unwrap();
    let all = files(whole.path());
    let is_hidden = |n: &std::path::PathBuf| n.file_name().unwrap().to_string_lossy().starts_with('.');
    let names: Vec<_> = all.iter().filter(|n| !is_hidden(n)).cloned().collect();
    assert!(
        names.len() > 10 && names.iter().any(|n| n.starts_with("split-000001-0")),
        "{names:?}"
    );
    for damaged in &names {
        for how in ["cut", "altered", "removed"] {
            let dir = tempfile::tempdir().unwrap();
            for name in &all {
                std::fs::create_dir_all(dir.path().join(name).parent().unwrap()).unwrap();
                std::fs::copy(whole.path().join(name), dir.path().join(name)).unwrap();
            }
            let path = dir.path().join(damaged);
            let mut bytes = std::fs::read(&path).unwrap();
            match how {
                "cut" => bytes.truncate(bytes.len() / 2),
                _ => {
                    let middle = bytes.len() / 3;
                    bytes[middle] ^= 0x55;
                }
            }
            match how {
                "removed" => std::fs::remove_file(&path).unwrap(),
                _ => std::fs::write(&path, bytes).unwrap(),
            }
            let opened = IndexWriter::open(dir.path(), Default::default(), Mask::of(mask)).map(|_| ());
            // The bytes of splits are read when they are asked for, and by a check.
            let found = match damaged.to_string_lossy().starts_with("split-") && how == "altered" {
                true => search::check(dir.path()),
                false => opened,
            };
            assert!(
                matches!(found, Err(Error::Rebuild { .. })),
                "{damaged:?} {how}: {found:?}"
            );
        }
    }
    search::check(whole.path()).unwrap();
}

/// The files of a folder and those below.
fn files(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut out = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => out.push(entry.path().strip_prefix(dir).unwrap().to_owned()),
            }
        }
    }
    out.sort();
    out
}

/// Every commit makes a segment, and merging keeps up with them.
#[test]
fn many_commits_leave_few_segments() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path());
    for n in 0..40 {
        add(&mut writer, n * 3, n * 3 + 3);
        writer.commit().unwrap();
    }
    assert_eq!(uids(&writer.searcher()), expected(120));
    writer.close().unwrap();
    let mut writer = open(dir.path());
    add(&mut writer, 120, 123);
    writer.commit().unwrap();
    assert_eq!(uids(&writer.searcher()), expected(123));
    writer.close().unwrap();
    let segments = files(dir.path())
        .iter()
        .filter(|f| f.extension().is_some_and(|e| e == "idx"))
        .count();
    assert!(segments < 20, "{segments}");
}

/// While commits and merges go on, every answer is of one commit: all that its position says, and nothing else.
#[test]
fn an_answer_is_of_one_commit() {
    let dir = tempfile::tempdir().unwrap();
    // Generations end, splits come, folders go meanwhile.
    let mut writer = open_with(dir.path(), 15);
    let beside = Searcher::open(dir.path()).unwrap();
    let shared = writer.searcher();
    let whole = |searcher: &Searcher| {
        let request = Request {
            limit: 100_000,
            ..Request::new(Query::all())
        };
        let answer = searcher.search(&request, &NoText).unwrap();
        let mut uids: Vec<String> = answer.hits.into_iter().map(|h| h.uid).collect();
        uids.sort();
        assert_eq!(uids, expected(answer.searched.up_to.0));
        answer.searched.up_to
    };
    std::thread::scope(|scope| {
        let readers = [shared, beside].map(|searcher| {
            scope.spawn(move || {
                while whole(&searcher) < LedgerIndex(100) {
                    searcher.reload().unwrap();
                }
                whole(&searcher);
            })
        });
        for n in 0..25 {
            add(&mut writer, n * 4, n * 4 + 4);
            writer.commit().unwrap();
        }
        readers.into_iter().for_each(|r| r.join().unwrap());
    });
}

/// A commit that the writer makes in the midst of an addition holds part of it, and a replay the rest.
#[test]
fn a_commit_in_the_midst_of_an_addition_is_no_double() {
    let dir = tempfile::tempdir().unwrap();
    let budgets = Budgets {
        heap_bytes: 16 << 20,
        waiting_bytes_max: 2_000,
        ..Budgets::default()
    };
    let mut writer = IndexWriter::open(dir.path(), budgets, Mask::of(mask)).unwrap();
    add(&mut writer, 0, 100);
    assert_eq!(
        (writer.position(), writer.committed()),
        (LedgerIndex(100), LedgerIndex(0))
    );
    drop(writer);
    let mut writer = open(dir.path());
    let held = uids(&writer.searcher()).len();
    let all = records(0, 100).len();
    assert!(held > 0 && held < all, "{held} of {all}");
    assert_eq!(add(&mut writer, 0, 100), (all - held) as u64);
    writer.commit().unwrap();
    assert_eq!(uids(&writer.searcher()), expected(100));
}
