use std::path::Path;

use proptest::prelude::*;

use super::*;

fn push(joiner: &mut Joiner, n: i64, now: Millis, text: &str) -> Vec<Joined> {
    let piece = Piece::read(text).expect("an audit line");
    joiner.push(LedgerIndex(n as u64), now, piece)
}

/// What comes out, shortened: `58x2` two lines of number 58, `lost 50-58`.
fn run(lines: &[&str], received_at: impl Fn(i64) -> Millis) -> Vec<String> {
    let mut joiner = Joiner::new();
    let mut out = Vec::new();
    for (n, line) in lines.iter().enumerate() {
        let n = n as i64;
        out.extend(push(&mut joiner, n, received_at(n), line));
    }
    out.extend(joiner.flush(received_at(lines.len() as i64)));
    assert!(joiner.is_empty());
    assert_eq!(joiner.bytes, 0);
    out.iter().flat_map(short).collect()
}

fn short(e: &Joined) -> Vec<String> {
    let mut out = vec![format!("{}x{} {:?}", e.id.serial, e.lines.len(), e.end)];
    out.extend(e.lost.iter().map(|(from, to)| format!("lost {from}-{to}")));
    out
}

fn shared(name: &str) -> Option<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/data/linux_auditd")
        .join(name);
    let text = std::fs::read_to_string(path).ok();
    if text.is_none() {
        println!("skipped: ../shared/data/linux_auditd/{name} is not there");
    }
    text
}

#[test]
fn lines_out_of_order_are_the_same_events() {
    let (Some(normal), Some(mixed)) = (shared("normal.log"), shared("out_of_order.log")) else {
        return;
    };
    let sorted = |text: &str| {
        let mut all = run(&text.lines().collect::<Vec<_>>(), |_| Millis(0));
        all.sort();
        all.into_iter()
            .map(|e| e.split(' ').next().map(str::to_owned))
            .collect::<Vec<_>>()
    };
    let want: Vec<_> = ["58x2", "59x5", "60x5", "61x4", "62x1"]
        .map(|e| Some(e.to_owned()))
        .into();
    assert_eq!(sorted(&normal), want);
    assert_eq!(sorted(&mixed), want);
}

#[test]
fn numbers_that_never_came_are_told_once() {
    let Some(text) = shared("lost_messages.log") else {
        return;
    };
    let all = run(&text.lines().collect::<Vec<_>>(), |_| Millis(0));
    let lost: Vec<_> = all.iter().filter(|e| e.starts_with("lost")).collect();
    assert_eq!(lost, ["lost 50-58"]);
}

#[test]
fn each_end_gives_the_event() {
    let call = "type=SYSCALL msg=audit(10.000:7): syscall=59";
    let eoe = "type=EOE msg=audit(10.000:7): ";
    assert_eq!(run(&[call, eoe], Millis), ["7x2 Eoe"]);
    assert_eq!(
        run(&["type=USER_LOGIN msg=audit(10.000:7): pid=1"], Millis),
        ["7x1 Single"]
    );
    assert_eq!(run(&[call], Millis), ["7x1 Flush"]);

    let mut joiner = Joiner::new();
    let push = |j: &mut Joiner, n, text: &str| push(j, n, Millis(n), text);
    assert_eq!(push(&mut joiner, 0, call), []);
    assert_eq!(joiner.held().collect::<Vec<_>>(), [LedgerIndex(0)]);
    assert_eq!(joiner.tick(Millis(1_999)), []);
    assert_eq!(
        joiner.tick(Millis(2_000)).iter().flat_map(short).collect::<Vec<_>>(),
        ["7x1 Timeout"]
    );
    let title = "type=PROCTITLE msg=audit(10.000:8): proctitle=6C73";
    assert_eq!(push(&mut joiner, 3_000, title), []);
    assert_eq!(
        joiner.tick(Millis(3_200)).iter().flat_map(short).collect::<Vec<_>>(),
        ["8x1 Proctitle"]
    );
    assert_eq!(joiner.held().count(), 0);
    // A file that was received in one go: by audit time, some lines further on.
    assert_eq!(push(&mut joiner, 4_000, "type=SYSCALL msg=audit(11.000:9): a0=1"), []);
    let mut out = Vec::new();
    let mut n = 0;
    while out.is_empty() && n < 3 * BEHIND_LINES {
        let line = format!("type=SYSCALL msg=audit(13.000:{}): a0=1", 10 + n);
        out = push(&mut joiner, 4_000, &line);
        n += 1;
    }
    assert!(n > BEHIND_LINES);
    assert_eq!(out.iter().flat_map(short).collect::<Vec<_>>(), ["9x1 Timeout"]);
    assert_eq!(Piece::read("hello"), None);
}

#[test]
fn an_end_that_comes_first_waits_for_the_rest() {
    let line = |kind: &str| format!("type={kind} msg=audit(10.000:7): ");
    let call = line("SYSCALL") + "syscall=2 items=2 comm=\"x items=9\"";
    let (path, eoe) = (line("PATH"), line("EOE"));
    for lines in [
        [&eoe, &path, &call, &path],
        [&eoe, &call, &path, &path],
        [&call, &eoe, &path, &path],
        [&call, &path, &path, &eoe],
    ] {
        let lines = lines.map(String::as_str);
        assert_eq!(run(&lines, Millis), ["7x4 Eoe"], "{lines:?}");
    }
    // What never comes is waited for no longer than after PROCTITLE, and a line that does come makes it anew.
    let mut joiner = Joiner::new();
    assert_eq!(push(&mut joiner, 0, Millis(0), &eoe), []);
    assert_eq!(push(&mut joiner, 1, Millis(150), &call), []);
    assert_eq!(joiner.tick(Millis(349)), []);
    let given = joiner.tick(Millis(350));
    assert_eq!(given.iter().flat_map(short).collect::<Vec<_>>(), ["7x2 Eoe"]);
}

#[test]
fn hosts_do_not_mix() {
    let a = "node=a type=SYSCALL msg=audit(10.000:7): syscall=59";
    let b = "node=b type=EOE msg=audit(10.000:7): ";
    assert_eq!(run(&[a, b], Millis), ["7x1 Flush", "7x1 Flush"]);
}

#[test]
fn a_host_that_started_anew_has_lost_nothing() {
    let line = |time, serial| format!("type=USER_LOGIN msg=audit({time}.000:{serial}): pid=1");
    let lines = [
        line(10, 90_000),
        line(11, 90_001),
        line(100, 5),
        line(101, 6),
        line(200, 7),
    ];
    let out = run(&lines.iter().map(String::as_str).collect::<Vec<_>>(), Millis);
    assert_eq!(out.iter().filter(|o| o.starts_with("lost")).count(), 0, "{out:?}");
}

#[test]
fn memory_is_bounded() {
    let mut joiner = Joiner::new();
    let mut given = 0;
    for n in 0..(EVENTS_MAX as i64 + 10) {
        let line = format!("node=n{} type=SYSCALL msg=audit(10.000:{n}): x=1", n % 7);
        given += push(&mut joiner, n, Millis(0), &line).len();
    }
    assert_eq!((joiner.len(), given), (EVENTS_MAX, 10));
}

#[test]
fn holes_are_told_once_and_only_when_old() {
    let line = |serial| format!("type=USER_LOGIN msg=audit({}.000:{serial}): pid=1", 10 + serial / 10);
    let mut joiner = Joiner::new();
    let mut told = Vec::new();
    for (now, serial) in [
        (0, 1),
        (10, 2),
        (20, 5),
        (30, 4),
        (40, 9),
        (2_030, 10),
        (2_041, 11),
        (9_000, 12),
    ] {
        for joined in push(&mut joiner, serial, Millis(now), &line(serial)) {
            told.extend(joined.lost.into_iter().map(|hole| (now, hole)));
        }
    }
    // Number 3 is missing since 20, 6 to 8 since 40.
    assert_eq!(told, [(2_030, (3, 3)), (2_041, (6, 8))]);
}

proptest! {
    #[test]
    fn no_line_is_lost_or_doubled(kinds in prop::collection::vec((0_u64..40, 0_usize..5, 0_i64..5_000), 0..300)) {
        const KINDS: [&str; 5] = ["SYSCALL", "PATH", "EOE", "PROCTITLE", "USER_LOGIN"];
        let mut joiner = Joiner::new();
        let mut seen = Vec::new();
        let mut clock = 0;
        let take = |out: Vec<Joined>, seen: &mut Vec<u64>| seen.extend(out.into_iter().flat_map(|e| e.lines).map(|l| l.0));
        for (n, (serial, kind, step)) in kinds.iter().enumerate() {
            clock += step;
            let line = format!("type={} msg=audit({}.{:03}:{serial}): a=1", KINDS[*kind], 10 + serial / 7, serial);
            take(push(&mut joiner, n as i64, Millis(clock), &line), &mut seen);
        }
        take(joiner.flush(Millis(clock)), &mut seen);
        seen.sort_unstable();
        prop_assert_eq!(seen, (0..kinds.len() as u64).collect::<Vec<_>>());
    }

    #[test]
    fn any_text_is_taken_or_refused(lines in prop::collection::vec(".{0,80}", 0..20)) {
        let mut joiner = Joiner::new();
        for line in lines {
            for text in [line.clone(), format!("type={line} msg=audit(1.000:18446744073709551615): {line}")] {
                if let Some(piece) = Piece::read(&text) {
                    joiner.push(LedgerIndex(0), Millis(0), piece);
                }
            }
        }
        joiner.flush(Millis(0));
    }
}
