//! The index, at every place of its way from a commit to splits, and away from them: what is found afterwards is what the
//! ledger holds, nothing missing, nothing twice.
#![cfg(feature = "failpoints")]
#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

mod child;
#[path = "../../search/tests/support/mod.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use model::{LedgerIndex, Millis};
use search::{NoText, Place, Query, Request, Searcher, Total, Work};
use support::{batches, open_with, records};

/// The test that runs itself as the process that dies.
const TEST: &str = "the_index_dies_at_every_place";
const RECORDS: u64 = 220;
const SPLIT_DOCS: u64 = 50;
/// Splits received before this record leave at the end.
const DROPPED: u64 = 60;

/// The places, in the order in which a record comes to them.
const PLACES: &[&str] = &[
    "index::begun",
    "manifest::written",
    "manifest::renamed",
    "index::commit",
    "index::committed",
    "seal::made",
    "seal::published",
    "mature::window",
    "mature::merged",
    "mature::made",
    "mature::published",
    "bury::marked",
    "bury::published",
    "index::dropped",
];

/// Which record a leaf gives anew.
fn replaced(leaf: u64) -> Option<u64> {
    (leaf >= 90 && leaf % 30 == 7).then(|| leaf - 40)
}

/// Indexes from where the index stands to the end, as the server does, and lets the oldest go.
fn index(folder: &Path) {
    let mut writer = open_with(folder, SPLIT_DOCS);
    while writer.position() < LedgerIndex(RECORDS) {
        let from = writer.position().0;
        let to = (from / 10 * 10 + 10).min(RECORDS);
        for leaf in from..to {
            let mut placed = records(replaced(leaf).unwrap_or(leaf), replaced(leaf).unwrap_or(leaf) + 1);
            let mut places: BTreeMap<Arc<str>, Place> = BTreeMap::new();
            let again = replaced(leaf).map(LedgerIndex);
            for p in placed.iter_mut().filter(|_| again.is_some()) {
                let place = Place {
                    leaves: vec![p.index],
                    received_at: p.received,
                };
                places.insert(p.event.uid.split('#').next().unwrap().into(), place);
                p.index = LedgerIndex(leaf);
            }
            let work = Work {
                batches: &batches(&placed),
                up_to: LedgerIndex(leaf + 1),
                places: &places,
                replaced: again.as_slice(),
                note: "",
            };
            writer.take(&work).unwrap();
        }
        writer.commit().unwrap();
        // So that the thread beside comes to the same places in every run.
        writer.settle().unwrap();
    }
    writer.drop_before(records(DROPPED, DROPPED + 1)[0].received).unwrap();
    writer.close().unwrap();
}

/// What the ledger holds: each event once, and when its record was received.
fn ledger() -> BTreeMap<String, Millis> {
    let own = (0..RECORDS).filter(|leaf| replaced(*leaf).is_none());
    own.flat_map(|leaf| records(leaf, leaf + 1))
        .map(|p| (format!("{} [{}]", p.event.uid, p.index), p.received))
        .collect()
}

/// The events of the index, each once.
fn said(folder: &Path) -> BTreeSet<String> {
    let searcher = Searcher::open(folder).unwrap();
    let request = Request {
        limit: 100_000,
        ..Request::new(Query::all())
    };
    let answer = searcher.search(&request, &NoText).unwrap();
    assert_eq!(answer.total, Total::Exact(answer.hits.len() as u64));
    let said: BTreeSet<String> = answer.hits.iter().map(|h| format!("{} [{}]", h.uid, h.index)).collect();
    assert_eq!(said.len(), answer.hits.len(), "an event is there twice");
    said
}

/// All of the ledger is there, but what was dropped.
fn check(folder: &Path) {
    let (said, mut missing) = (said(folder), ledger());
    for event in &said {
        assert!(missing.remove(event).is_some(), "{event} is not in the ledger");
    }
    let inventory = Searcher::open(folder).unwrap().inventory();
    assert_eq!(inventory.position, LedgerIndex(RECORDS));
    let dropped = inventory.dropped.unwrap();
    assert_eq!(dropped.events, missing.len() as u64, "{missing:?}");
    assert!(missing.values().all(|at| *at < dropped.received_before));
    search::check(folder).unwrap();
}

#[test]
fn the_index_dies_at_every_place() {
    if child::works(index) {
        return;
    }
    let calm = child::folder();
    assert!(child::run(TEST, calm.path(), "").success());
    check(calm.path());
    let inventory = Searcher::open(calm.path()).unwrap().inventory();
    assert!(inventory.splits.len() >= 2, "{inventory:?}");
    for place in PLACES {
        for n in [0, 1] {
            let folder = child::folder();
            let died = child::run(TEST, folder.path(), &format!("{place}={n}*off->1*panic"));
            if died.success() {
                // It comes there once or twice only.
                assert!(n > 0, "{place}: it lives");
                continue;
            }
            assert_eq!(died.code(), None, "{place} after {n}");
            // Whoever asks before it goes on is answered of one moment: events of the ledger, none twice.
            if folder.path().join("manifest").exists() {
                let (all, before) = (ledger(), said(folder.path()));
                assert!(before.iter().all(|e| all.contains_key(e)), "{place} after {n}");
            }
            assert!(
                child::run(TEST, folder.path(), "").success(),
                "{place} after {n}: it does not go on"
            );
            check(folder.path());
        }
    }
}
