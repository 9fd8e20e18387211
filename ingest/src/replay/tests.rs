use super::*;
use crate::source::journal;
use proptest::prelude::*;
use std::io::Write;

fn read(bytes: impl Into<Vec<u8>>, options: Options) -> Vec<RawRecord> {
    records("f", io::Cursor::new(bytes.into()), options)
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

fn lines(bytes: impl Into<Vec<u8>>) -> Vec<(i64, String)> {
    let all = read(bytes, Options::new(Millis(5)));
    all.iter()
        .map(|r| (r.coordinate.offset, String::from_utf8_lossy(&r.payload).into_owned()))
        .collect()
}

fn want(expected: &[(i64, &str)]) -> Vec<(i64, String)> {
    expected.iter().map(|(n, t)| (*n, (*t).to_owned())).collect()
}

#[test]
fn a_line_is_a_record() {
    assert_eq!(
        lines("a\r\nb\n\n \t\r\nc\r\r\n\nd"),
        want(&[(0, "a"), (1, "b"), (4, "c"), (6, "d")])
    );
    assert_eq!(lines(""), []);
    assert_eq!(lines("a\rb\0c\n"), want(&[(0, "a\rb\0c")]));
    assert_eq!(lines("<14>app: a\0<14>b\n"), want(&[(0, "<14>app: a\0<14>b")]));
}

proptest! {
    /// Lent or given, whole or in pieces: the records are the same.
    #[test]
    fn what_is_lent_is_what_is_given(text in "[a \\r\\n]{0,60}", long in 0..3_usize, max in 1..20_usize) {
        let text = format!("{text}{}\n{text}", "x".repeat(long * 50_000));
        let options = Options { record_bytes_max: max, ..Options::new(Millis(5)) };
        let mut reading = records("f", io::Cursor::new(text.clone().into_bytes()), options.clone()).unwrap();
        let mut lent = Vec::new();
        loop {
            if let Some(line) = reading.lend() {
                lent.push(line.to_record());
            } else if let Some(record) = reading.next() {
                lent.push(record.unwrap());
            } else {
                break;
            }
        }
        prop_assert_eq!(lent, read(text, options));
    }
}

#[test]
fn datagrams_of_jumpserver_are_parted_by_nul() {
    let bytes = "<14>jumpserver: a - {}\0<14>jumpserver: b - {}\0\n<14>jumpserver: c - {}\0";
    assert_eq!(
        lines(bytes),
        want(&[
            (0, "<14>jumpserver: a - {}"),
            (1, "<14>jumpserver: b - {}"),
            (2, "<14>jumpserver: c - {}")
        ])
    );
}

#[test]
fn frames_with_a_wrong_count_are_flagged_and_never_merged() {
    let all = read("6 <1>a\nb8 <2>cdefg\n999 <3>x 5 <4>yz", Options::new(Millis(0)));
    let got: Vec<_> = all
        .iter()
        .map(|r| (String::from_utf8_lossy(&r.payload).into_owned(), r.headers.len()))
        .collect();
    let want = [("<1>a\nb", 0), ("<2>cdefg", 0), ("<3>x", 1), ("<4>yz", 0)];
    assert_eq!(got, want.map(|(t, f)| (t.to_owned(), f)));
}

#[test]
fn an_archive_is_read_as_what_is_in_it() {
    let text = "one\ntwo\n";
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(text.as_bytes()).unwrap();
    let gz = gz.finish().unwrap();
    let twice = [gz.clone(), gz.clone()].concat();
    let zst = zstd::encode_all(text.as_bytes(), 1).unwrap();
    assert_eq!(lines(gz.clone()), want(&[(0, "one"), (1, "two")]));
    assert_eq!(lines(twice).len(), 4);
    assert_eq!(lines(zst), want(&[(0, "one"), (1, "two")]));
    let broken: Vec<_> = records(
        "f",
        io::Cursor::new(gz[..gz.len() - 4].to_vec()),
        Options::new(Millis(0)),
    )
    .unwrap()
    .collect();
    assert!(broken.len() == 3 && broken[2].is_err());
}

#[test]
fn a_long_line_keeps_its_first_part_and_says_so() {
    let options = Options {
        record_bytes_max: 10,
        ..Options::new(Millis(0))
    };
    let long = "x".repeat(200_000);
    let all = read(format!("{long}\nnext\n{}\r\n", "y".repeat(10)), options);
    let cut = all[0].truncated.as_ref().unwrap();
    assert_eq!((all[0].payload.len(), cut.bytes), (10, 200_000));
    assert_eq!(cut.sha256, <[u8; 32]>::from(Sha256::digest(long.as_bytes())));
    assert_eq!((&all[1].payload[..], &all[1].truncated), (&b"next"[..], &None));
    assert_eq!(all[2].payload.len(), 10);
}

#[test]
fn kcat_objects_bring_their_own_coordinates() {
    let text = r#"{"topic":"audit.linux","partition":2,"offset":7,"tstype":"create","ts":99,"headers":["a","b","a","c"],"key":"k","payload":"l\u00e9"}
{"topic":"x","partition":0,"offset":8,"ts":-1,"key":null,"payload":null}
broken"#;
    let all = read(
        text,
        Options {
            reading: Reading::Kcat,
            ..Options::new(Millis(5))
        },
    );
    assert_eq!(all[0].coordinate.to_string(), "audit.linux/2/7");
    assert_eq!(
        (&*all[0].source, all[0].received_at, &all[0].payload[..]),
        ("linux", Millis(99), "lé".as_bytes())
    );
    assert_eq!((all[0].key.as_deref(), all[0].headers.len()), (Some(&b"k"[..]), 2));
    assert_eq!(
        (&*all[1].source, all[1].received_at, all[1].payload.len()),
        ("x", Millis(5), 0)
    );
    assert_eq!(
        (all[2].coordinate.to_string(), &all[2].payload[..]),
        ("f/0/2".to_owned(), &b"broken"[..])
    );
    assert_eq!(&all[2].headers[0].1[..], b"kcat_line_unreadable");
}

#[test]
fn a_line_that_is_not_kcats_keeps_no_more_than_another() {
    let options = Options {
        reading: Reading::Kcat,
        record_bytes_max: 4,
        ..Options::new(Millis(5))
    };
    let all = read("broken\n", options);
    assert_eq!(&all[0].payload[..], b"brok");
    assert_eq!(all[0].truncated, Some(cut(b"broken")));
}

proptest! {
    /// However the bytes lie, the entries of a file are those of a body.
    #[test]
    fn entries_of_the_journal_are_those_of_a_body(
        fields in prop::collection::vec((any::<bool>(), "[A-Z_]{1,8}|[a-z=]{0,3}", "[ -~\n]{0,12}", 0_u64..20), 0..12),
        cut in 0_usize..8,
    ) {
        let mut file = b"__CURSOR=a\n".to_vec();
        for (binary, name, value, length) in fields {
            file.extend(name.bytes());
            if binary {
                file.push(b'\n');
                file.extend(length.to_le_bytes());
            } else {
                file.push(b'=');
            }
            file.extend(value.bytes());
            file.push(b'\n');
        }
        file.truncate(file.len().saturating_sub(cut).max(9));
        let plain: Vec<Vec<u8>> = journal::entries(&file.clone().into()).map(Vec::from).collect();
        let all = read(file, Options::new(Millis(5)));
        prop_assert_eq!(all.iter().map(|r| r.payload.to_vec()).collect::<Vec<_>>(), plain);
    }
}

#[test]
fn values_that_are_laid_out_over_lines_are_records() {
    let one = "{\n  \"a\": \"}\\\"{\",\n  \"b\": [\n    1\n  ]\n}";
    let two = "{\n\t\"c\": {}\n}";
    for file in [
        format!("{one}\n{two}\n"),
        format!("[\n{one},\n{two}\n]\n"),
        format!("\u{feff}[{one}, {two}]"),
    ] {
        assert_eq!(lines(file.as_str()), want(&[(0, one), (1, two)]), "{file}");
    }
    // What is broken further on is a line, and what follows is read again.
    let file = format!("{one}\n{{ broken\n{two}\n");
    assert_eq!(lines(file.as_str()), want(&[(0, one), (1, "{ broken"), (2, two)]));
    let event = "<Event xmlns='x'>\n <System/>\n</Event>";
    for file in [
        format!("{event}\n{event}"),
        format!("<?xml version=\"1.0\"?>\n<Events>\n{event}\r\n{event}\n</Events>\n"),
    ] {
        assert_eq!(lines(file.as_str()), want(&[(0, event), (1, event)]), "{file}");
    }
    let cut = format!("{event}\n<Event>\n<System>");
    assert_eq!(lines(cut.as_str()), want(&[(0, event), (1, "<Event>\n<System>")]));
}

#[test]
fn files_of_lines_stay_so() {
    for file in [
        "{\n{\"time\n{\"time\":\"20\n",
        "[]\n{}\n",
        "[1,\n2]\n",
        "{\"a\": 1}\n{\n",
        "{\"a\": 1,\n{\"b\": 2}\n",
        "<Event>a</Event>\n<Event>\nb</Event>\n",
        "<86>Mar  2 10:00:00 h x: <Event>\n</Event>\n",
    ] {
        let plain: Vec<(i64, String)> = (0..).zip(file.lines().map(str::to_owned)).collect();
        assert_eq!(lines(file), plain, "{file}");
    }
}

#[test]
fn a_stem_has_no_endings() {
    for (path, want) in [
        ("x/capture.ndjson.zst", "capture"),
        ("a.log", "a"),
        ("a", "a"),
        (".log", ".log"),
        ("a.b.gz", "a"),
    ] {
        assert_eq!(stem(Path::new(path)), want);
    }
}

proptest! {
    /// Whatever the sizes of reads and bounds, lines are what splitting the whole gives.
    #[test]
    fn lines_are_those_of_a_plain_split(bytes in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'a'), any::<u8>()], 0..300), max in 1usize..40) {
        prop_assume!(frame_head(&bytes).is_none() && !bytes.starts_with(&[0x1f, 0x8b]) && !bytes.starts_with(&[0x28, 0xb5]));
        let all = read(bytes.clone(), Options { record_bytes_max: max, ..Options::new(Millis(0)) });
        let plain: Vec<_> = bytes
            .split(|b| *b == b'\n')
            .enumerate()
            .map(|(n, mut line)| {
                while let [rest @ .., b'\r'] = line { line = rest; }
                (n as i64, line)
            })
            // Of what was cut it is not known that it is blank.
            .filter(|(_, line)| !line.trim_ascii().is_empty() || line.len() > max)
            .collect();
        prop_assert_eq!(all.len(), plain.len());
        for (record, (n, line)) in all.iter().zip(plain) {
            prop_assert_eq!(record.coordinate.offset, n);
            prop_assert_eq!(&record.payload[..], &line[..line.len().min(max)]);
            prop_assert_eq!(record.truncated.as_ref().map(|t| t.bytes), (line.len() > max).then_some(line.len() as u64));
        }
    }

    #[test]
    fn frames_never_lose_a_byte_that_matters(frames in prop::collection::vec("<[0-9]{1,3}>[a-z \\n]{0,20}[a-z]", 1..8)) {
        let text: String = frames.iter().map(|f| format!("{} {f}", f.len())).collect();
        let got: Vec<_> = lines(text).into_iter().map(|(_, t)| t).collect();
        prop_assert_eq!(got, frames);
    }
}
