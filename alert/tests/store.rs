//! The store: one transaction, replays, lifecycle, queries.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod support;

use alert::{Delivery, DeliveryState, Error, Filter, Page, Retry, Status, Store, Verdict};
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
fn people_move_an_alert() {
    let ack = |s: &mut Store| s.ack(&id(1), "wu", "mine", NOW + 1);
    let close = |s: &mut Store| s.close(&id(1), "xu", Verdict::Benign, "known", NOW + 2);
    let reopen = |s: &mut Store| s.reopen(&id(1), "yu", "not so", NOW + 3);
    type Act = fn(&mut Store) -> Result<alert::Alert, Error>;
    let (ack, close, reopen): (Act, Act, Act) = (ack, close, reopen);
    let cases: &[(&[Act], Act, Option<Status>)] = &[
        (&[], ack, Some(Status::Acknowledged)),
        (&[], close, Some(Status::Closed)),
        (&[], reopen, None),
        (&[ack], ack, None),
        (&[ack], close, Some(Status::Closed)),
        (&[ack], reopen, None),
        (&[close], ack, None),
        (&[close], close, None),
        (&[close], reopen, Some(Status::New)),
        (&[close, reopen], ack, Some(Status::Acknowledged)),
    ];
    for (n, (before, act, expected)) in cases.iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(&dir);
        store.commit(&[], &[finding(1)], NOW).unwrap();
        for step in *before {
            step(&mut store).unwrap();
        }
        let held = store.show(&id(1)).unwrap();
        let result = act(&mut store);
        let now = store.show(&id(1)).unwrap();
        match (expected, result) {
            (Some(status), Ok(alert)) => {
                assert_eq!(alert.status, *status, "case {n}");
                assert_eq!(now.alert, alert, "case {n}");
                let last = now.events.last().unwrap();
                assert_eq!(
                    (last.from, last.to, last.at),
                    (Some(held.alert.status), *status, alert.updated_at),
                    "case {n}"
                );
                assert_eq!(Some(&last.who), alert.owner.as_ref(), "case {n}");
                assert_eq!(last.verdict, alert.verdict, "case {n}");
                assert_eq!(
                    alert.verdict,
                    (*status == Status::Closed).then_some(Verdict::Benign),
                    "case {n}"
                );
            }
            (None, Err(Error::Transition { .. })) => assert_eq!(now, held, "case {n}"),
            other => panic!("case {n}: {other:?}"),
        }
    }
}

#[test]
fn what_a_person_closed_stays_closed() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    store.commit(&[], &[finding(1)], NOW).unwrap();
    store.close(&id(1), "xu", Verdict::FalsePositive, "", NOW).unwrap();
    let mut more = finding(1);
    more.evidence.push(model::Coordinate::new("audit.linux", 0, 99));
    for f in [more, with_status(finding(1), FindingStatus::Resolved), finding(1)] {
        let committed = store.commit(&[], std::slice::from_ref(&f), NOW).unwrap();
        assert_eq!(committed.revised, [id(1)]);
        let alert = store.show(&id(1)).unwrap().alert;
        assert_eq!(
            (alert.status, alert.verdict),
            (Status::Closed, Some(Verdict::FalsePositive))
        );
        assert_eq!(alert.finding, f);
    }
    assert_eq!(store.show(&id(1)).unwrap().events.len(), 2);
}

#[test]
fn an_act_needs_somebody_and_has_bounds() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    store.commit(&[], &[finding(1)], NOW).unwrap();
    assert!(matches!(store.ack(&id(1), " ", "", NOW), Err(Error::Nobody { .. })));
    assert!(matches!(
        store.ack(&id(1), &"w".repeat(257), "", NOW),
        Err(Error::TooLong { limit: 256, .. })
    ));
    assert!(matches!(
        store.ack(&id(1), "wu", &"c".repeat(16_385), NOW),
        Err(Error::TooLong { .. })
    ));
    assert_eq!(store.show(&id(1)).unwrap().alert.status, Status::New);
}

#[test]
fn a_prefix_finds_the_one_alert_that_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    let findings: Vec<_> = (0..14)
        .map(|n| finding(0xa000_0000 + n))
        .chain([finding(0xb000_0000)])
        .collect();
    store.commit(&[], &findings, NOW).unwrap();
    let at = |p: &str| store.show(p).map(|d| d.alert.id);
    assert_eq!(at(&id(0xb000_0000)).unwrap(), id(0xb000_0000));
    assert_eq!(at("B").unwrap(), id(0xb000_0000));
    assert_eq!(at("a000000c").unwrap(), id(0xa000_000c));
    for missing in ["", "c", "%", "_", "' OR 1=1 --", "b0000001"] {
        assert!(matches!(at(missing), Err(Error::NotFound { .. })), "{missing}");
    }
    match at("a") {
        Err(e @ Error::Ambiguous { .. }) => {
            let text = e.to_string();
            assert!(
                text.contains(&id(0xa000_0009)) && text.contains('…') && !text.contains(&id(0xa000_000a)),
                "{text}"
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_list_filters_and_pages() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    for n in 0..20 {
        let mut f = finding(n);
        f.clauses = vec![if n % 2 == 0 { "AU-10" } else { "DS-03" }.into(), "AU-16".into()];
        f.severity = if n % 5 == 0 {
            Severity::Critical
        } else {
            Severity::Medium
        };
        f.person = (n % 4 == 0).then(|| "E7".to_owned());
        f.account = Some(format!("acc{}", n % 3));
        store.commit(&[], &[f], NOW + i64::from(n)).unwrap();
    }
    store.ack(&id(3), "wu", "", NOW).unwrap();
    type Holds = Box<dyn Fn(u32) -> bool>;
    let cases: Vec<(Filter, Holds)> = vec![
        (Filter::default(), Box::new(|_| true)),
        (
            Filter {
                status: vec![Status::Acknowledged],
                ..Filter::default()
            },
            Box::new(|n| n == 3),
        ),
        (
            Filter {
                status: vec![Status::New, Status::Closed],
                ..Filter::default()
            },
            Box::new(|n| n != 3),
        ),
        (
            Filter {
                severity_min: Some(Severity::High),
                ..Filter::default()
            },
            Box::new(|n| n % 5 == 0),
        ),
        (
            Filter {
                clause: Some("au-10".into()),
                ..Filter::default()
            },
            Box::new(|n| n % 2 == 0),
        ),
        (
            Filter {
                clause: Some("AU-16".into()),
                ..Filter::default()
            },
            Box::new(|_| true),
        ),
        (
            Filter {
                person: Some("E7".into()),
                ..Filter::default()
            },
            Box::new(|n| n % 4 == 0),
        ),
        (
            Filter {
                account: Some("acc1".into()),
                ..Filter::default()
            },
            Box::new(|n| n % 3 == 1),
        ),
        (
            Filter {
                policy: Some("p-1".into()),
                ..Filter::default()
            },
            Box::new(|_| true),
        ),
        (
            Filter {
                since: Some(NOW + 15),
                ..Filter::default()
            },
            Box::new(|n| n >= 15),
        ),
        (
            Filter {
                person: Some("E7".into()),
                severity_min: Some(Severity::High),
                ..Filter::default()
            },
            Box::new(|n| n % 20 == 0),
        ),
    ];
    for (filter, holds) in &cases {
        let expected: Vec<String> = (0..20).rev().filter(|n| holds(*n)).map(id).collect();
        assert_eq!(store.count(filter).unwrap(), expected.len() as u64, "{filter:?}");
        let mut found = Vec::new();
        let mut page = Page { limit: 3, before: None };
        loop {
            let alerts = store.list(filter, page).unwrap();
            let Some(last) = alerts.last() else { break };
            page.before = Some(last.seq);
            assert!(alerts.len() <= 3);
            found.extend(alerts.into_iter().map(|a| a.id));
        }
        assert_eq!(found, expected, "{filter:?}");
    }
}

#[test]
fn a_delivery_is_tried_until_it_is_too_old() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    store.commit(&[], &[finding(1)], NOW).unwrap();
    let retry = Retry {
        first_ms: 1_000,
        wait_ms_max: 60_000,
        age_ms_max: 600_000,
    };
    let state = |s: &Store| -> Delivery { s.show(&id(1)).unwrap().deliveries[0].clone() };
    let mut now = NOW;
    let mut waits = Vec::new();
    loop {
        let notice = store.due("hook", now, 9).unwrap().remove(0);
        assert_eq!(notice.key, format!("{}:hook:raised", id(1)));
        let after = store
            .failed(notice.id, now, "connection refused", None, &retry)
            .unwrap();
        if after == DeliveryState::Expired {
            break;
        }
        assert!(store.due("hook", now, 9).unwrap().is_empty());
        let next = store.next_due("hook").unwrap().unwrap();
        assert_eq!(state(&store).next_at, next);
        waits.push(next - now);
        now = next;
    }
    for (n, wait) in waits.iter().enumerate() {
        let full = (1_000_i64 << n.min(20)).min(60_000);
        assert!(*wait <= full && *wait > full * 3 / 4, "{n}: {wait} of {full}");
    }
    assert!(now - NOW <= 600_000 && now - NOW > 500_000, "{}", now - NOW);
    assert_eq!(state(&store).attempts as usize, waits.len() + 1);
    assert_eq!(store.deliveries(DeliveryState::Expired, 9).unwrap(), [state(&store)]);
    // The other channel is none the worse.
    assert_eq!(store.due("mail", now, 9).unwrap().len(), 1);
    store.requeue(state(&store).id, now).unwrap();
    assert_eq!(store.due("hook", now, 9).unwrap().len(), 1);
    assert!(matches!(
        store.requeue(state(&store).id, now),
        Err(Error::NoDelivery { .. })
    ));
    assert!(matches!(store.delivered(99, now), Err(Error::NoDelivery { given: 99 })));
}

#[test]
fn a_notice_is_tried_once_however_late_and_heeds_retry_after() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    store.commit(&[], &[finding(1), finding(2)], NOW).unwrap();
    let retry = Retry::default();
    let late = NOW + 10 * retry.age_ms_max;
    let due = store.due("hook", late, 9).unwrap();
    assert_eq!(due.len(), 2);
    assert_eq!(
        store.failed(due[0].id, late, "x", None, &retry).unwrap(),
        DeliveryState::Expired
    );
    assert_eq!(
        store.failed(due[1].id, NOW, "x", Some(120_000), &retry).unwrap(),
        DeliveryState::Pending
    );
    assert_eq!(store.next_due("hook").unwrap(), Some(NOW + 120_000));
}

#[test]
fn a_later_revision_does_not_change_what_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    store.commit(&[], &[finding(1)], NOW).unwrap();
    let before = store.due("hook", NOW, 9).unwrap();
    let mut more = finding(1);
    more.severity = Severity::Critical;
    store.commit(&[], &[more], NOW).unwrap();
    assert_eq!(store.due("hook", NOW, 9).unwrap(), before);
}

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
            known: 1,
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
