//! What people do with alerts, and how they find them.

use alert::{Error, Filter, Page, Status, Store, Verdict};
use model::{FindingStatus, Severity};

use super::support::{finding, id, with_status};
use super::{NOW, open};

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
