//! The store: one transaction, replays, lifecycle, queries.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod outbox;
mod people;
#[path = "../support/mod.rs"]
mod support;

use alert::{DeliveryState, Error, Filter, Page, Status, Store};
use model::{Delta, FindingStatus, LedgerIndex, Millis, Severity, StateStore};
use support::{delta, finding, id, superseded, with_status};

const NOW: Millis = Millis(1_780_000_000_000);

fn open(dir: &tempfile::TempDir) -> Store {
    Store::open(dir.path().join(alert::FILE_NAME))
        .unwrap()
        .with_channels(["hook", "mail"])
}

fn raw(dir: &tempfile::TempDir) -> rusqlite::Connection {
    rusqlite::Connection::open(dir.path().join(alert::FILE_NAME)).unwrap()
}

#[test]
fn a_commit_writes_state_position_alerts_and_outbox() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    let committed = store
        .commit(&[delta(7, &[(b"Da", b"1"), (b"Ib", b"2")], &[])], &[finding(1)], NOW)
        .unwrap();
    assert_eq!(committed.raised, [id(1)]);
    drop(store);
    let store = open(&dir);
    let state = vec![(b"Da".to_vec(), b"1".to_vec()), (b"Ib".to_vec(), b"2".to_vec())];
    assert_eq!(store.load().unwrap(), (LedgerIndex(7), state.clone()));
    assert_eq!(store.state_of(b'D').unwrap(), state[..1]);
    assert_eq!(store.state_of(b'I').unwrap(), state[1..]);
    assert_eq!(store.state_of(255).unwrap(), []);
    let detail = store.show(&id(1)).unwrap();
    assert_eq!(detail.alert.finding, finding(1));
    assert_eq!(detail.alert.status, Status::New);
    let keys: Vec<&str> = detail.deliveries.iter().map(|d| d.key.as_str()).collect();
    assert_eq!(
        keys,
        [format!("{}:hook:raised", id(1)), format!("{}:mail:raised", id(1))]
    );
}

#[test]
fn rows_of_the_duplicate_check_of_an_earlier_version_begin_with_the_leaf_now() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(&dir));
    let (leaf, key) = (
        0x0102_0304_u64.to_be_bytes(),
        [0, 0xff, 0x44, 0xc3, 4, 5, 6, 7, 8, 9, 10, 11, 0, 0x80, 14, 0],
    );
    let before = [b"D".as_slice(), &key, &leaf].concat();
    let raw = raw(&dir);
    for (key, value) in [
        (before.as_slice(), b"one".as_slice()),
        (b"D", b"of others"),
        (b"Eb", b"of others"),
    ] {
        raw.execute("INSERT INTO state VALUES (?1, ?2)", rusqlite::params![key, value])
            .unwrap();
    }
    raw.pragma_update(None, "user_version", 1).unwrap();
    drop(raw);
    for _ in 0..2 {
        let (_, state) = open(&dir).load().unwrap();
        let row = |key: &[u8], value: &[u8]| (key.to_vec(), value.to_vec());
        let after = row(&[b"D".as_slice(), &leaf, &key].concat(), b"one");
        assert_eq!(state, [row(b"D", b"of others"), after, row(b"Eb", b"of others")]);
    }
}

#[test]
fn a_commit_that_fails_at_any_table_changes_nothing() {
    for table in ["state", "position", "alerts", "alert_clauses", "alert_events", "outbox"] {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(&dir);
        store.commit(&[delta(3, &[(b"Dk", b"old")], &[])], &[], NOW).unwrap();
        let op = if table == "position" { "UPDATE" } else { "INSERT" };
        raw(&dir)
            .execute_batch(&format!(
                "CREATE TRIGGER fault AFTER {op} ON {table} BEGIN SELECT RAISE(ABORT, 'disk full'); END"
            ))
            .unwrap();
        let before = store.load().unwrap();
        let two = [delta(4, &[(b"Dk", b"new")], &[]), delta(5, &[], &[b"Dk"])];
        let result = store.commit(&two, &[finding(1), finding(2)], NOW);
        assert!(matches!(result, Err(Error::Sqlite { .. })), "{table}");
        assert_eq!(store.load().unwrap(), before, "{table}");
        assert_eq!(store.list(&Filter::default(), Page::default()).unwrap(), [], "{table}");
        assert_eq!(store.deliveries(DeliveryState::Pending, 9).unwrap(), [], "{table}");
        raw(&dir).execute_batch("DROP TRIGGER fault").unwrap();
        assert_eq!(
            store.commit(&two, &[finding(1)], NOW).unwrap().raised,
            [id(1)],
            "{table}"
        );
        assert_eq!(store.load().unwrap(), (LedgerIndex(5), vec![]), "{table}");
    }
}

#[test]
fn the_same_commit_twice_changes_nothing_more() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    let deltas = [delta(7, &[(b"Da", b"1")], &[b"Db"])];
    store.commit(&deltas, &[finding(1), finding(2)], NOW).unwrap();
    let all = |s: &Store| (s.load().unwrap(), s.show(&id(1)).unwrap(), s.show(&id(2)).unwrap());
    let before = all(&store);
    let again = store.commit(&deltas, &[finding(1), finding(2)], NOW + 5_000).unwrap();
    assert_eq!(again, alert::Committed::default());
    assert_eq!(all(&store), before);
}

#[test]
fn the_position_never_goes_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    store.commit(&[delta(7, &[], &[])], &[], NOW).unwrap();
    for (deltas, given) in [
        (vec![delta(6, &[], &[])], 6),
        (vec![delta(9, &[], &[]), delta(8, &[], &[])], 8),
    ] {
        match store.commit(&deltas, &[finding(1)], NOW) {
            Err(Error::Backwards {
                held: LedgerIndex(7),
                given: g,
            }) => assert_eq!(g, LedgerIndex(given)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(store.position().unwrap(), LedgerIndex(7));
    assert_eq!(store.count(&Filter::default()).unwrap(), 0);
    // Findings alone (a timer's) leave the position.
    store.commit(&[], &[finding(1)], NOW).unwrap();
    assert_eq!(store.position().unwrap(), LedgerIndex(7));
}

/// What the engine says, step by step, and what an alert becomes of it.
#[test]
fn the_engine_moves_an_alert() {
    use FindingStatus::{New, Resolved, Suppressed};
    use Status as S;
    // Each step: finding status, severity; then the status, and whether somebody is told.
    type Step = (FindingStatus, Severity, Status);
    let high = Severity::High;
    let cases: &[(&str, &[Step], usize, &[&str])] = &[
        (
            "revised",
            &[(New, high, S::New), (New, Severity::Critical, S::New)],
            1,
            &["raised", "severity"],
        ),
        (
            "refuted",
            &[(New, high, S::New), (Resolved, high, S::Resolved)],
            1,
            &["raised", "resolved"],
        ),
        (
            "holds again",
            &[(New, high, S::New), (Resolved, high, S::Resolved), (New, high, S::New)],
            1,
            &["raised", "resolved", "reopened"],
        ),
        ("refuted at once", &[(Resolved, high, S::Resolved)], 0, &["resolved"]),
        (
            "refuted at once, then holds",
            &[(Resolved, high, S::Resolved), (New, high, S::New)],
            1,
            &["resolved", "raised"],
        ),
        ("excepted", &[(Suppressed, high, S::Suppressed)], 0, &["suppressed"]),
        (
            "the exception ends",
            &[(Suppressed, high, S::Suppressed), (New, high, S::New)],
            1,
            &["suppressed", "raised"],
        ),
    ];
    for (name, steps, told, actions) in cases {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(&dir);
        for (n, (status, severity, after)) in steps.iter().enumerate() {
            let mut f = with_status(finding(1), *status);
            f.severity = *severity;
            store.commit(&[], &[f.clone()], NOW + n as i64).unwrap();
            let alert = store.show(&id(1)).unwrap().alert;
            assert_eq!((alert.status, alert.finding), (*after, f), "{name} {n}");
        }
        let detail = store.show(&id(1)).unwrap();
        assert_eq!(detail.deliveries.len(), told * 2, "{name}");
        let done: Vec<&str> = detail.events.iter().map(|e| e.action.as_str()).collect();
        assert_eq!(done, *actions, "{name}");
        assert!(detail.events.iter().all(|e| e.who == alert::ENGINE), "{name}");
    }
}

#[test]
fn a_superseded_alert_is_listed_only_on_demand() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    store.commit(&[], &[finding(1), finding(2)], NOW).unwrap();
    let committed = store.commit(&[], &[superseded(finding(1))], NOW).unwrap();
    assert_eq!(committed.resolved, [id(1)]);
    let ids = |f: &Filter| {
        store
            .list(f, Page::default())
            .unwrap()
            .into_iter()
            .map(|a| a.id)
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(&Filter::default()), [id(2)]);
    assert_eq!(
        ids(&Filter {
            status: vec![Status::Superseded],
            ..Filter::default()
        }),
        [id(1)]
    );
}

/// What people do, from each state.

#[test]
fn a_foreign_or_newer_file_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(&dir));
    raw(&dir).pragma_update(None, "user_version", 99).unwrap();
    let path = dir.path().join(alert::FILE_NAME);
    assert!(matches!(
        Store::open(&path),
        Err(Error::NewerSchema {
            found: 99,
            known: 2,
            ..
        })
    ));
    raw(&dir).pragma_update(None, "application_id", 5).unwrap();
    assert!(matches!(Store::open(&path), Err(Error::Foreign { found: 5, .. })));
    let text = dir.path().join("notes");
    std::fs::write(&text, "not a database, but long enough to look at ".repeat(99)).unwrap();
    assert!(matches!(Store::open(&text), Err(Error::Sqlite { .. })));
    assert!(matches!(Store::open(dir.path()), Err(Error::File { .. })));
}

#[test]
fn two_stores_on_one_file_take_turns() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(&dir));
    let write = |from: u32| {
        let mut store = open(&dir);
        move || {
            for n in from..from + 40 {
                store.commit(&[Delta::default()], &[finding(n)], NOW).unwrap();
            }
        }
    };
    let (a, b) = (write(0), write(1_000));
    std::thread::scope(|s| {
        s.spawn(a);
        s.spawn(b);
    });
    assert_eq!(open(&dir).count(&Filter::default()).unwrap(), 80);
}

#[cfg(unix)]
#[test]
fn nobody_else_may_read_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    store.commit(&[], &[finding(1)], NOW).unwrap();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o077, 0, "{entry:?}");
    }
}
