//! What waits to be sent.

use alert::{Delivery, DeliveryState, Error, Retry, Store};
use model::Severity;

use super::support::{finding, id};
use super::{NOW, open};

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
