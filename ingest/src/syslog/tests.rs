use super::*;
use proptest::prelude::*;

/// kind pri|time|host|tag|pid|message flags
fn show(line: &str) -> String {
    let e = parse(line);
    let or = |o: &Option<Cow<'_, str>>| o.as_deref().unwrap_or("-").to_owned();
    let pri = e.pri.map_or("-".to_owned(), |p| p.to_string());
    let time = e
        .time(Millis::parse("2026-03-02T00:00:00Z").expect("a time"), &TimeZone::UTC)
        .map_or(or(&e.time_text) + "?", |t| t.time.to_string()[5..].to_owned());
    let time = if e.time_text.is_none() { "-".to_owned() } else { time };
    let flags: Vec<&str> = e.flags.iter().map(|f| f.trim_start_matches("syslog.")).collect();
    let sd: String = e.structured.iter().map(|(id, p)| format!(" {id}{p:?}")).collect();
    let flags = if flags.is_empty() {
        String::new()
    } else {
        format!(" !{}", flags.join(","))
    };
    format!(
        "{:?} {pri}|{time}|{}|{}|{}|{}{sd}{flags}",
        e.kind,
        or(&e.host),
        or(&e.tag),
        or(&e.pid),
        e.message
    )
}

#[test]
fn lines_of_every_form() {
    for (line, expected) in [
        (
            "<86>Mar  1 10:00:00 h sshd[7]: x",
            "Rfc3164 86|03-01T10:00:00.000Z|h|sshd|7|x",
        ),
        (
            "Mar  1 10:00:00 h sudo:    li.na : x",
            "Rfc3164 -|03-01T10:00:00.000Z|h|sudo|-|li.na : x",
        ),
        (
            "Mar  1 10:00:00 h sshd(pam_unix)[9]: x",
            "Rfc3164 -|03-01T10:00:00.000Z|h|sshd(pam_unix)|9|x",
        ),
        (
            "2026-03-01T10:00:00.5+00:00 h sshd[7]:  x",
            "Rfc3339 -|03-01T10:00:00.500Z|h|sshd|7|x",
        ),
        (
            "<86>1 2026-03-01T10:00:00Z h sshd 7 - -  x",
            "Rfc5424 86|03-01T10:00:00.000Z|h|sshd|7|x",
        ),
        (
            "<13>1 2026-03-01T00:00:00Z h a p m - \u{feff}BOM",
            "Rfc5424 13|03-01T00:00:00.000Z|h|a|p|BOM",
        ),
        (
            r#"<13>1 2026-03-01T00:00:00Z h a p m [x@1 a="1\]\"\\\n"][y] esc"#,
            r#"Rfc5424 13|03-01T00:00:00.000Z|h|a|p|esc x@1[("a", "1]\"\\\\n")] y[]"#,
        ),
        (
            r#"<13>1 2026-03-01T00:00:00Z h a p m [x@1 a="1""#,
            r#"Rfc5424 13|03-01T00:00:00.000Z|h|a|p|[x@1 a="1" !structured_data_invalid"#,
        ),
        ("<13>1 - - - - - -", "Rfc5424 13|-|-|-|-|"),
        ("<13>1", "Rfc5424 13|-|-|-|-| !header_short"),
        (
            "<13>1 2026-03-01T00:00:00Z",
            "Rfc5424 13|03-01T00:00:00.000Z|-|-|-| !header_short",
        ),
        (
            "<13>2 2026-03-01T00:00:00Z h a - - - v",
            "Rfc5424 13|03-01T00:00:00.000Z|h|a|-|v !version",
        ),
        ("<>x", "Bare 13|-|x|-|-| !pri_invalid,time_missing"),
        (
            "<999>Mar  1 10:00:00 h a: t",
            "Rfc3164 13|03-01T10:00:00.000Z|h|a|-|t !pri_invalid",
        ),
        (
            "<-1>Mar  1 10:00:00 h a: t",
            "Rfc3164 13|03-01T10:00:00.000Z|h|a|-|t !pri_invalid",
        ),
        (
            "<013>Mar  1 10:00:00 h a: t",
            "Rfc3164 13|03-01T10:00:00.000Z|h|a|-|t !pri_invalid",
        ),
        ("<13", "Bare 13|-|-|-|-| !pri_invalid,time_missing"),
        ("<13>", "Bare 13|-|-|-|-| !time_missing"),
        ("<13>Mar 1 10:00:00 h a: t", "Rfc3164 13|03-01T10:00:00.000Z|h|a|-|t"),
        ("<13>Mar 01 10:00:00 h a: t", "Rfc3164 13|03-01T10:00:00.000Z|h|a|-|t"),
        (
            "<13>Mar  1 10:00:00 2026 h a: t",
            "Rfc3164 13|03-01T10:00:00.000Z|h|a|-|t",
        ),
        (
            "<13>2026-03-01T10:00:00+08:00 h a: t",
            "Rfc3339 13|03-01T02:00:00.000Z|h|a|-|t",
        ),
        ("<13>h a: no time", "Bare 13|-|h|a|-|no time !time_missing"),
        (
            "<13>Mar  1 10:00:00 a: no host",
            "Rfc3164 13|03-01T10:00:00.000Z|-|a|-|no host !host_missing",
        ),
        ("<13>Feb 30 10:00:00 h a: t", "Rfc3164 13|Feb 30 10:00:00?|h|a|-|t"),
        ("<13>Mar  1 24:00:00 h a: t", "Rfc3164 13|03-02T00:00:00.000Z|h|a|-|t"),
        (
            "<13>Mar  1 10:00:00 fe80::1%eth0 a: t",
            "Rfc3164 13|03-01T10:00:00.000Z|fe80::1%eth0|a|-|t",
        ),
        (
            "<13>Mar  1 10:00:00 h a[: x",
            "Rfc3164 13|03-01T10:00:00.000Z|h|a|-|x !tag_invalid",
        ),
        (
            "<13>Mar  1 10:00:00 h : x",
            "Rfc3164 13|03-01T10:00:00.000Z|h|-|-|x !tag_empty",
        ),
        (
            "Mar  1 10:00:00 h last message repeated 7 times",
            "Rfc3164 -|03-01T10:00:00.000Z|h|-|-|last message repeated 7 times",
        ),
        (
            "<13>*Mar  1 10:00:00.123: %SYS-5-CONFIG_I: cisco",
            "Rfc3164 13|03-01T10:00:00.123Z|-|%SYS-5-CONFIG_I|-|cisco",
        ),
        (
            "Mar  1 10:00:00 h odd tag[: x",
            "Rfc3164 -|03-01T10:00:00.000Z|h|-|-|odd tag[: x",
        ),
        ("", "Bare -|-|-|-|-|"),
        ("hello world", "Bare -|-|-|-|-|hello world"),
    ] {
        assert_eq!(show(line), expected, "{line}");
    }
}

#[test]
fn the_json_template_is_read() {
    let text = r#"{"@timestamp":"2026-03-01T10:00:00+00:00","host":"h","severity":"info","facility":"authpriv","syslog-tag":"sshd[9]:","message":" x"}"#;
    let arena = model::Arena::new();
    let object = crate::json::parse(&arena, text).expect("an object").object;
    let e = from_object(object).expect("the template");
    assert_eq!(
        (e.pri, e.program(), e.pid.as_deref(), &*e.message),
        (Some(86), Some("sshd"), Some("9"), "x")
    );
    assert!(e.time(Millis(0), &TimeZone::UTC).is_some());
    assert!(from_object(Object::default()).is_none());
}

#[test]
fn repetitions_are_told() {
    assert_eq!(
        repeated("message repeated 2 times: [ Failed x]"),
        Some((2, Some("Failed x")))
    );
    assert_eq!(repeated("last message repeated 7 times"), Some((7, None)));
    assert_eq!(repeated("--- last message repeated 5 times ---"), Some((5, None)));
    assert_eq!(repeated("message repeated x times"), None);
    assert_eq!(repeated("hello"), None);
}

#[test]
fn text_that_imitates_a_line_is_told() {
    for text in [
        "login failed for user bob\\nMar  1 10:00:01 host sshd[1]: Accepted",
        "login failed#012Mar  1 10:00:01 host sshd[1]: Accepted",
        "user=bob\u{2028}Mar  1 10:00:01 host sshd[22]: Accepted",
        "x\n2026-03-01T00:00:00Z h sshd: Accepted",
        "msg <86>1 2026-03-01T00:00:01Z h sshd 1 - - Accepted",
    ] {
        assert!(imitates_line(text), "{text}");
    }
    for text in [
        "",
        "a#012b",
        "line\\nmore",
        "if a < b",
        "C:\\new",
        "Mar  1 10:00:01 host",
        "<a>1 b</a>",
    ] {
        assert!(!imitates_line(text), "{text}");
    }
}

#[test]
fn long_lines_are_read_in_linear_time() {
    for part in ["a", "[", "<1", "#012", "\\n", "=\"", " ", "x[1]:"] {
        let line = part.repeat(200_000);
        let _ = parse(&line);
        let _ = parse(&format!("<13>1 - - - - - [a b=\"{line}"));
        let _ = imitates_line(&line);
    }
}

proptest! {
    #[test]
    fn no_line_panics(line in "\\PC{0,80}") {
        let _ = parse(&line);
        let _ = imitates_line(&line);
    }

    #[test]
    fn no_syslog_like_line_panics(parts in proptest::collection::vec(proptest::sample::select(vec![
        "<13>", "<", ">", "1 ", "Mar  1 10:00:00", " ", "h", "sshd", "[", "]", ":", "-", "2026-03-01T00:00:00Z", "\"",
        "=\"", "\\", "审", "\u{feff}", "#012", "2026", "*", "%", "é",
    ]), 0..16)) {
        let line = parts.concat();
        let _ = parse(&line);
        let _ = imitates_line(&line);
    }
}
