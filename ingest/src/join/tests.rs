use std::convert::Infallible;

use proptest::prelude::*;

use super::*;
use crate::{Normalizer, Settings};

fn record(source: &str, offset: usize, received_at: i64, text: &str) -> RawRecord {
    RawRecord {
        coordinate: Coordinate::new(format!("audit.{source}"), 0, offset as i64),
        received_at: Millis(received_at),
        source: source.into(),
        peer: None,
        key: None,
        headers: Vec::new(),
        payload: text.to_owned().into(),
        truncated: None,
    }
}

/// What comes out, and at which leaf; a record that is no piece comes out where it stands.
type Told = (usize, Vec<u64>, Vec<String>, String);

/// Takes leaf `at` of the ledger.
fn take(assembler: &mut Assembler, normalizer: &Normalizer, at: usize, record: &RawRecord) -> Vec<Told> {
    let mut wholes = assembler.advance(record.received_at);
    match normalizer.piece(record) {
        Some(piece) => wholes.extend(assembler.push(LedgerIndex(at as u64), record.clone(), piece)),
        None => wholes.extend(Whole::of(&[(LedgerIndex(at as u64), record.clone())])),
    }
    wholes.iter().map(|w| told(at, w)).collect()
}

fn told(at: usize, whole: &Whole) -> Told {
    let mut labels = whole.labels.clone();
    labels.retain(|l| !l.starts_with("record:"));
    let payload = String::from_utf8_lossy(&whole.record.payload).into_owned();
    (at, whole.lines.iter().map(|l| l.index.0).collect(), labels, payload)
}

/// Everything that a ledger gives, stopped and gone on at `stops`.
fn run(ledger: &[RawRecord], stops: &[usize]) -> Vec<Told> {
    let normalizer = Normalizer::new(Settings::default());
    let mut assembler = Assembler::default();
    let mut out = Vec::new();
    for (at, record) in ledger.iter().enumerate() {
        if stops.contains(&at) {
            let state = assembler.state();
            let read = |index: LedgerIndex| Ok::<_, Infallible>(ledger[index.0 as usize].clone());
            assembler = Assembler::load(&state, read).unwrap();
            assert_eq!(assembler.state(), state);
        }
        let given = take(&mut assembler, &normalizer, at, record);
        out.extend(given);
        let held = assembler.sources.values().flat_map(|s| s.held.values());
        assert_eq!(assembler.bytes, held.map(|r| r.payload.len()).sum::<usize>());
    }
    out.extend(assembler.flush().iter().map(|w| told(ledger.len(), w)));
    assert_eq!((assembler.bytes, assembler.held(), assembler.due()), (0, None, None));
    out
}

/// The payloads that come out of lines of one source that come 10 ms apart, and their labels.
fn payloads(source: &str, lines: &[&str]) -> Vec<String> {
    let ledger: Vec<_> = lines
        .iter()
        .enumerate()
        .map(|(n, line)| record(source, n, n as i64 * 10, line))
        .collect();
    run(&ledger, &[])
        .into_iter()
        .map(|(_, _, labels, payload)| [&[payload], labels.as_slice()].concat().join(" | "))
        .collect()
}

#[test]
fn a_containers_line_is_put_together() {
    let got = payloads(
        "pods",
        &[
            "2026-03-02T14:06:33.1Z stdout P {\"a\": ",
            "2026-03-02T14:06:33.2Z stderr F other",
            "2026-03-02T14:06:33.3Z stdout P 1, ",
            "2026-03-02T14:06:33.4Z stdout F \"b\": 2}",
            "2026-03-02T14:06:33.5Z stdout F whole",
            "2026-03-02T14:06:33.6Z stdout P cut",
        ],
    );
    let want = [
        "2026-03-02T14:06:33.2Z stderr F other",
        "2026-03-02T14:06:33.1Z stdout F {\"a\": 1, \"b\": 2}",
        "2026-03-02T14:06:33.5Z stdout F whole",
        "2026-03-02T14:06:33.6Z stdout P cut",
    ];
    assert_eq!(got, want);
}

#[test]
fn a_statement_of_several_lines_is_one_entry() {
    let first = "2026-03-02 14:06:33.123 CST [811] app@crm LOG:  statement: SELECT *";
    let error = "2026-03-02 14:06:34.123 CST [811] app@crm ERROR:  relation \"x\" does not exist at character 15";
    let statement = "2026-03-02 14:06:34.123 CST [811] app@crm STATEMENT:  SELECT *";
    let other = "2026-03-02 14:06:34.123 CST [812] app@crm DETAIL:  of another process";
    let got = payloads("postgresql", &[first, "\tFROM x", error, statement, "\tFROM x;", other]);
    assert_eq!(
        got,
        [
            format!("{first}\n\tFROM x"),
            format!("{error}\n{statement}\n\tFROM x;"),
            other.to_owned()
        ]
    );
    // Of no other source is a tab a continuation.
    assert_eq!(payloads("app", &["one", "\ttwo"]), ["one", "\ttwo"]);
}

#[test]
fn lines_in_a_collectors_json_are_put_together() {
    let beat = |host: &str, line: &str| {
        let message = serde_json::to_string(line).unwrap();
        format!(
            r#"{{"@timestamp":"2026-03-02T01:06:33.5Z","message":{message},"host":{{"name":"{host}"}},"agent":{{"type":"filebeat"}}}}"#
        )
    };
    let call = r#"type=SYSCALL msg=audit(1772413593.412:901): syscall=59 items=0 comm="a b""#;
    let args = "type=EXECVE msg=audit(1772413593.412:901): argc=1 a0=\"id\"";
    let eoe = "type=EOE msg=audit(1772413593.412:901): ";
    let lines = [
        beat("a", call),
        beat("b", call),
        beat("a", args),
        beat("a", eoe),
        beat("b", eoe),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let got = payloads("shippers", &lines);
    assert_eq!(
        got,
        [
            beat("a", &format!("{call}\n{args}\n{}", eoe.trim_end())),
            beat("b", &format!("{call}\n{}", eoe.trim_end()))
        ]
        .map(|w| w.replace(eoe.trim_end(), eoe))
    );
    // rsyslog's template, of a source that is known to be auditd's.
    let template = |line: &str| {
        let message = serde_json::to_string(&format!(" {line}")).unwrap();
        format!(
            r#"{{"@timestamp":"2026-03-02T01:06:33.5Z","host":"db-a-01","syslog-tag":"audispd:","message":{message}}}"#
        )
    };
    let lines = [template(call), template(eoe)];
    assert_eq!(payloads("auditd", &[&lines[0], &lines[1]]).len(), 1);
    // What is written to the web server's topic does not speak for the kernel.
    assert_eq!(payloads("nginx", &[&lines[0], &lines[1]]).len(), 2);
}

#[test]
fn an_entry_over_syslog_is_put_together_by_its_numbers() {
    let line =
        |pid: u8, count: &str, text: &str| format!("<134>Mar  2 14:06:33 db-1 postgres[{pid}]: [{count}] {text}");
    let prefix = "2026-03-02 14:06:33.123 CST [811] app@crm";
    let lines = [
        line(8, "3-1", &format!("{prefix} ERROR:  relation \"x\" does not")),
        line(9, "7-1", &format!("{prefix} LOG:  statement: SELECT 1")),
        line(8, "3-2", " exist at character 15"),
        line(8, "3-3", &format!("{prefix} STATEMENT:  SELECT *")),
        line(8, "3-4", "#011FROM x"),
        line(8, "5-2", "#011of an entry whose beginning was lost"),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    for source in ["linux-all", "postgresql"] {
        assert_eq!(
            payloads(source, &lines),
            [
                format!(
                    "{} exist at character 15\n{prefix} STATEMENT:  SELECT *\n#011FROM x",
                    lines[0]
                ),
                lines[1].to_owned(),
                lines[5].to_owned()
            ],
            "{source}"
        );
    }
}

#[test]
fn an_entry_of_csvlog_is_its_lines_up_to_the_closing_quote() {
    let entry = |n: u8, message: &str, rest: &str| {
        format!(
            "2026-03-02 14:06:3{n}.123 CST,\"app\",\"crm\",811,\"10.0.0.9:5\",69a5.32b,{n},\"SELECT\",2026-03-02 14:06:00 CST,3/4,0,LOG,00000,\"{message}{rest}"
        )
    };
    let end = "\",,,,,,,,,\"psql\",\"client backend\",,0";
    let begins = entry(1, "statement: SELECT \"\"a\"\"", "");
    // A line of the statement that imitates an entry: its quotes are doubled, as the server does.
    let forged = entry(2, "statement: DROP TABLE x", end).replace('"', "\"\"");
    let closes = format!("FROM x{end}");
    let whole = entry(3, "statement: SELECT 1", end);
    let got = payloads("postgresql", &[&begins, &forged, &closes, &whole]);
    assert_eq!(got, [format!("{begins}\n{forged}\n{closes}"), whole.clone()]);
    // The line that closes it was lost: what came is no entry, and is given out as it came.
    let got = payloads("postgresql", &[&begins, &whole, &whole]);
    assert_eq!(got.len(), 3);
    assert!(got[1].starts_with(&whole), "{got:?}");
    // Of no other source.
    assert_eq!(payloads("app", &[&begins, &closes]).len(), 2);
    // A repeated entry has the key that it had before lines were joined.
    let normalizer = Normalizer::new(Settings::default());
    let record = record("postgresql", 0, 0, &whole);
    let piece = normalizer.piece(&record).unwrap();
    assert_eq!(piece.dedup(&record), normalizer.normalize_plain(&record).dedup(&record));
    assert!(piece.dedup(&record).is_some());
}

#[test]
fn what_is_whole_already_is_left_alone() {
    let normalizer = Normalizer::new(Settings::default());
    for text in [
        r#"{"ID":"1772413593.412:901","SYSCALL":{}}"#,
        "type=SYSCALL msg=audit(10.000:7): a0=1\ntype=EOE msg=audit(10.000:7): ",
        "<86>May  4 10:00:00 web-9 sshd[7]: Accepted password for eve from 10.30.0.5 port 2 ssh2",
        "",
        "\n",
    ] {
        assert_eq!(normalizer.piece(&record("x", 0, 0, text)), None, "{text}");
    }
    let line = "type=SYSCALL msg=audit(10.000:7): a0=1";
    assert!(normalizer.piece(&record("x", 0, 0, line)).is_some());
    assert!(normalizer.piece(&record("auditd", 0, 0, line)).is_some());
    // What is written to the web server's topic does not speak for the kernel.
    assert_eq!(normalizer.piece(&record("nginx", 0, 0, line)), None);
}

#[test]
fn an_event_whose_rest_is_lost_says_so() {
    let ledger = [
        record("auditd", 0, 0, "type=SYSCALL msg=audit(10.000:7): syscall=59"),
        record("app", 0, 1_999, "something else"),
        record("app", 1, 2_000, "something else"),
    ];
    let out = run(&ledger, &[]);
    assert_eq!((out[0].0, &out[0].1), (1, &vec![1]));
    assert_eq!(
        (out[1].0, &out[1].1, &out[1].2),
        (2, &vec![0], &vec!["join:timeout".to_owned()])
    );
}

#[test]
fn a_backlog_is_not_torn_by_another_sources_time() {
    // The other source is an hour ahead.
    let ledger = [
        record("app", 0, 3_600_000, "something else"),
        record("auditd", 0, 10, "type=SYSCALL msg=audit(10.000:7): syscall=59"),
        record("app", 1, 3_600_001, "something else"),
        record("auditd", 1, 20, "type=EOE msg=audit(10.000:7): "),
    ];
    assert_eq!(run(&ledger, &[]).last().map(|t| t.1.clone()), Some(vec![1, 3]));
}

#[test]
fn a_repeated_line_has_the_key_of_the_first() {
    let normalizer = Normalizer::new(Settings::default());
    let key = |offset, text: &str| {
        let record = record("auditd", offset, 0, text);
        normalizer.piece(&record).unwrap().dedup(&record)
    };
    let line = "node=a type=SYSCALL msg=audit(10.000:7): syscall=59";
    assert_eq!(key(0, line), key(1, line));
    assert!(key(0, line).is_some());
    assert_ne!(key(0, line), key(0, "node=a type=EOE msg=audit(10.000:7): "));
    // As the line by itself had before lines were joined.
    let whole = record("auditd", 0, 0, line);
    assert_eq!(key(0, line), normalizer.normalize_plain(&whole).dedup(&whole));
}

#[test]
fn a_state_that_is_not_ours_is_refused() {
    for text in ["{", "{\"version\":9,\"now\":null,\"sources\":{}}"] {
        let loaded = Assembler::load(text, |_| Ok::<_, Infallible>(record("a", 0, 0, "")));
        assert!(matches!(loaded, Err(StateError::Text { .. })), "{text}");
    }
}

#[test]
fn memory_is_bounded() {
    let normalizer = Normalizer::new(Settings::default());
    let mut assembler = Assembler::default();
    let filler = "x".repeat(900_000);
    let (mut given, mut most) = (0, 0);
    for n in 0..200 {
        let source = format!("s{}", n % 4);
        let line = format!("type=SYSCALL msg=audit(10.000:{n}): a={filler}");
        given += take(&mut assembler, &normalizer, n, &record(&source, n, 0, &line)).len();
        most = most.max(assembler.bytes);
    }
    assert!(most <= BYTES_MAX + (1 << 20), "{most}");
    assert_eq!(given + assembler.flush().len(), 200);
}

/// A line of one of several sources, of one of several hosts, processes and streams.
fn any_line() -> impl Strategy<Value = (&'static str, String)> {
    const KINDS: [&str; 6] = ["SYSCALL", "PATH", "EOE", "PROCTITLE", "USER_LOGIN", "CWD"];
    let audit = (0..2_usize, 0_u64..30, 0..6_usize, 0..3_u8).prop_map(|(source, serial, kind, host)| {
        let node = ["", "node=a ", "<13>Mar  2 10:00:00 b audispd: "][usize::from(host)];
        let seconds = 10 + serial / 3;
        let text = format!("{node}type={} msg=audit({seconds}.000:{serial}): a=1", KINDS[kind]);
        (["auditd", "unknown"][source], text)
    });
    let cri = (any::<bool>(), any::<bool>(), "[a-z ]{0,8}").prop_map(|(stream, whole, text)| {
        let stream = if stream { "stdout" } else { "stderr" };
        let tag = if whole { 'F' } else { 'P' };
        ("pods", format!("2026-03-02T14:06:33.123456Z {stream} {tag} {text}"))
    });
    let postgresql = (0..3_u8, 0..2_u8, "[a-z]{0,8}").prop_map(|(kind, pid, text)| {
        let head = format!("2026-03-02 14:06:33.123 CST [{pid}] app@crm");
        let line = match kind {
            0 => format!("{head} ERROR:  {text}"),
            1 => format!("{head} STATEMENT:  {text}"),
            _ => format!("\t{text}"),
        };
        ("postgresql", line)
    });
    let syslog = (0..2_u8, 1..3_u8, 1..4_u8, "[a-z]{0,8}").prop_map(|(pid, entry, part, text)| {
        let line = format!("<134>Mar  2 14:06:33 db-1 postgres[{pid}]: [{entry}-{part}] ");
        (
            "unknown",
            line + if part == 1 { "LOG:  statement: " } else { "#011" } + &text,
        )
    });
    let csv = (0..3_u8, "[a-z]{0,8}").prop_map(|(kind, text)| {
        let head =
            "2026-03-02 14:06:31.123 CST,\"app\",\"crm\",811,\"10.0.0.9:5\",69a5.32b,1,\"SELECT\",x,3/4,0,LOG,00000,\"";
        let line = match kind {
            0 => format!("{head}{text}"),
            1 => format!("{text}\",,,,,,,,,\"psql\",\"client backend\",,0"),
            _ => format!("{head}{text}\",,,,,,,,,\"psql\",\"client backend\",,0"),
        };
        ("pgaudit", line)
    });
    let wrapped = (0_u64..6, 0..3_usize).prop_map(|(serial, kind)| {
        let kind = ["SYSCALL", "PATH", "EOE"][kind];
        let line = format!("type={kind} msg=audit(10.000:{serial}): items=1");
        (
            "unknown",
            format!(r#"{{"log":"{line}\n","stream":"stdout","time":"2026-03-02T01:06:33.5Z"}}"#),
        )
    });
    let other = "[ -~]{0,20}".prop_map(|text| ("app", text));
    prop_oneof![5 => audit, 2 => cri, 2 => postgresql, 2 => syslog, 2 => csv, 2 => wrapped, 1 => other]
}

proptest! {
    /// Stopped anywhere and as often as one likes, with nothing but the state and the ledger, the events are the same, at the
    /// same leaves; no line is lost, none comes twice.
    #[test]
    fn a_restart_changes_nothing(
        lines in prop::collection::vec((any_line(), prop_oneof![3 => 0_i64..30, 1 => -500_i64..3_000]), 1..120),
        stops in prop::collection::vec(0_usize..120, 0..8),
    ) {
        let mut at = 100_000;
        let ledger: Vec<RawRecord> = lines
            .iter()
            .enumerate()
            .map(|(n, ((source, text), step))| { at += step; record(source, n, at, text) })
            .collect();
        let calm = run(&ledger, &[]);
        prop_assert_eq!(&run(&ledger, &stops), &calm);
        let mut seen: Vec<u64> = calm.iter().flat_map(|t| t.1.iter().copied()).collect();
        seen.sort_unstable();
        prop_assert_eq!(seen, (0..ledger.len() as u64).collect::<Vec<_>>());
        // Nothing is told before its last line has come.
        prop_assert!(calm.iter().all(|(at, lines, ..)| lines.iter().all(|l| *l <= *at as u64)));
    }

    #[test]
    fn any_bytes_are_taken(
        payloads in prop::collection::vec((0..4_usize, prop::collection::vec(any::<u8>(), 0..60), any::<i64>()), 0..20)
    ) {
        let heads: [&[u8]; 4] = [b"", b"type=X msg=audit(1.000:18446744073709551615): ", b"2026-03-02T14:06:33.1Z stdout P ", b"\t"];
        let normalizer = Normalizer::new(Settings::default());
        let mut assembler = Assembler::default();
        for (n, (head, bytes, at)) in payloads.into_iter().enumerate() {
            let mut raw = record(["auditd", "x", "pods", "postgresql"][head], n, at, "");
            raw.payload = [heads[head], &bytes].concat().into();
            take(&mut assembler, &normalizer, n, &raw);
        }
        assembler.flush();
    }
}
