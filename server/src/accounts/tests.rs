use proptest::prelude::*;

use super::*;

fn counted(outcome: Outcome, received_at: i64) -> Counted<'static> {
    Counted {
        outcome,
        received_at: Millis(received_at),
        time: Some(Millis(received_at - 40)),
        reason: (outcome == Outcome::Quarantined).then_some("unknown_format"),
        labels: &[],
    }
}

/// Adds a group's counts, and writes what changed.
fn add(all: &mut Accounts, group: &Accounts, state: &mut BTreeMap<StateKey, StateValue>) {
    let (put, delete) = all.add(group, Millis(0));
    state.extend(put);
    delete.iter().for_each(|k| drop(state.remove(k)));
}

fn load(state: &BTreeMap<StateKey, StateValue>) -> Accounts {
    Accounts::load(&state.iter().map(|(k, v)| (k.clone(), v.clone())).collect::<Vec<_>>())
}

#[test]
fn what_is_received_is_accounted_for_and_survives_the_state() {
    let source: Arc<str> = "linux".into();
    let mut group = Accounts::default();
    group.count(&source, counted(Outcome::Stored, 5));
    group.count(&source, counted(Outcome::Quarantined, 7));
    group.count(&source, counted(Outcome::Deduplicated, 60_006));
    let (mut all, mut state) = (Accounts::default(), BTreeMap::new());
    add(&mut all, &group, &mut state);
    add(&mut all, &group, &mut state);
    let a = all.get("linux").unwrap();
    assert_eq!(
        (a.received, a.stored + a.quarantined + a.deduplicated, a.last_received),
        (6, 6, Millis(60_006))
    );
    assert_eq!(a.reasons, [("unknown_format".to_owned(), 2)].into());
    assert_eq!(a.minutes().map(|(_, s)| s.received).collect::<Vec<_>>(), [4, 2]);
    assert_eq!((a.rate(Millis(120_000), 1), a.rate(Millis(120_000), 2)), (2.0, 3.0));
    assert!((38..=42).contains(&a.skew_ms().unwrap()));
    let read = load(&state);
    assert_eq!(read.get("linux").map(|r| &r.minutes), Some(&a.minutes));
    assert_eq!(read.get("linux").map(|r| r.received), Some(6));
}

#[test]
fn labels_are_counted_of_first_deliveries() {
    let source: Arc<str> = "linux".into();
    let labels = ["cmd.truncated", "time.zone_assumed"];
    let mut group = Accounts::default();
    for outcome in [Outcome::Stored, Outcome::Quarantined, Outcome::Deduplicated] {
        let record = Counted {
            labels: &labels,
            ..counted(outcome, 5)
        };
        group.count(&source, record);
    }
    let (mut all, mut state) = (Accounts::default(), BTreeMap::new());
    add(&mut all, &group, &mut state);
    let expected = BTreeMap::from([("cmd.truncated".to_owned(), 2), ("time.zone_assumed".to_owned(), 2)]);
    assert_eq!(load(&state).get("linux").unwrap().labels, expected);
}

#[test]
fn a_mended_record_is_counted_anew() {
    let source: Arc<str> = "app".into();
    let (mut all, mut state) = (Accounts::default(), BTreeMap::new());
    let mut group = Accounts::default();
    (0..3).for_each(|n| group.count(&source, counted(Outcome::Quarantined, n)));
    add(&mut all, &group, &mut state);
    let mut group = Accounts::default();
    group.mend(&source, "unknown_format", Millis(1), Outcome::Stored);
    group.mend(&source, "unknown_format", Millis(2), Outcome::Deduplicated);
    add(&mut all, &group, &mut state);
    for accounts in [&all, &load(&state)] {
        let a = accounts.get("app").unwrap();
        assert_eq!((a.received, a.stored, a.quarantined, a.deduplicated), (3, 1, 1, 1));
        assert_eq!(a.reasons, [("unknown_format".to_owned(), 1)].into());
        let (_, minute) = a.minutes().next().unwrap();
        assert_eq!(
            (minute.received, minute.stored, minute.quarantined, minute.deduplicated),
            (3, 1, 1, 1)
        );
        assert_eq!(a.last_received, Millis(2));
    }
    let mut group = Accounts::default();
    (0..5).for_each(|_| group.mend(&source, "unknown_format", Millis(0), Outcome::Stored));
    add(&mut all, &group, &mut state);
    let a = all.get("app").unwrap();
    assert_eq!(
        (a.stored, a.quarantined, a.reasons.len()),
        (2, 0, 0),
        "no more than there were"
    );
}

#[test]
fn the_register_says_how_long_a_source_may_be_silent() {
    let mut tables = Tables::default();
    tables
        .load(
            "source_register",
            br#"[{"source": "linux", "max_silence_s": 60}, {"source": "x"}, {"max_silence_s": 1}]"#,
        )
        .unwrap();
    let mut all = Accounts::default();
    all.declare(&tables);
    assert_eq!((all.max_silence_s("linux"), all.max_silence_s("x")), (Some(60), None));
    assert_eq!(all.declared().collect::<Vec<_>>(), ["linux"]);
}

proptest! {
    /// Minutes and hours add up to what was received, are bounded, and are what the state holds.
    #[test]
    fn spans_add_up(steps in prop::collection::vec((0i64..200, 0u8..3, 0i64..120), 1..300)) {
        let source: Arc<str> = "s".into();
        let (mut all, mut state, mut at) = (Accounts::default(), BTreeMap::new(), 0);
        for (minutes, outcome, back) in steps {
            at += minutes * MINUTE_MS;
            let outcome = [Outcome::Stored, Outcome::Quarantined, Outcome::Deduplicated][usize::from(outcome)];
            let mut group = Accounts::default();
            group.count(&source, counted(outcome, at - back * HOUR_MS));
            group.count(&source, counted(outcome, at));
            add(&mut all, &group, &mut state);
        }
        let a = all.get("s").unwrap();
        let spans = || a.minutes().chain(a.hours()).map(|(_, s)| s);
        prop_assert_eq!(spans().map(|s| s.received).sum::<u64>(), a.received);
        prop_assert!(spans().all(|s| s.received == s.stored + s.quarantined + s.deduplicated));
        prop_assert!(a.minutes.len() as i64 <= MINUTES_MS / MINUTE_MS + 1);
        let read = load(&state);
        prop_assert_eq!(&read.get("s").unwrap().minutes, &a.minutes);
        prop_assert_eq!(&read.get("s").unwrap().hours, &a.hours);
    }
}
