//! Text formats over whole files: every record gives an event, hardly any is quarantined, and the events pass the
//! independent checker. The files lie beside the checkout; where they are not, the tests say so and pass.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use bytes::Bytes;
use ingest::{Normalizer, Settings, SourceSettings};
use model::{Coordinate, Millis, PlainEvent, RawRecord};
use proptest::prelude::*;

const RECEIVED: &str = "2026-11-22T03:00:00Z";

fn shared() -> Option<PathBuf> {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    if shared.join("data").is_dir() {
        return Some(shared);
    }
    println!("skipped: there is no ../shared beside the checkout");
    None
}

fn record(source: &str, offset: i64, received: &str, payload: &[u8]) -> RawRecord {
    RawRecord {
        coordinate: Coordinate::new("local.test", 0, offset),
        received_at: Millis::parse(received).unwrap(),
        source: source.into(),
        peer: None,
        key: None,
        headers: vec![],
        payload: Bytes::copy_from_slice(payload),
        truncated: None,
    }
}

fn lines(path: &Path) -> Vec<Vec<u8>> {
    let mut bytes = std::fs::read(path).unwrap();
    if path.extension().is_some_and(|e| e == "zst") {
        bytes = zstd::decode_all(&bytes[..]).unwrap();
    }
    bytes
        .split(|b| *b == b'\n')
        .filter(|l| !l.is_empty())
        .map(<[u8]>::to_vec)
        .collect()
}

/// The events of a line of a source.
fn events(source: &str, received: &str, line: &str) -> Vec<PlainEvent> {
    Normalizer::new(Settings::default())
        .normalize_plain(&record(source, 0, received, line.as_bytes()))
        .events
}

/// `type_uid` and, of these paths, what is there; labels of time and clock left out.
fn show(event: &PlainEvent) -> String {
    let mut out = event.get("type_uid").unwrap().to_string();
    for path in [
        "status",
        "user.name",
        "actor.user.name",
        "src_endpoint.ip",
        "src_endpoint.port",
        "group.name",
        "process.cmd_line",
        "file.path",
        "http_request.url.path",
        "http_request.url.query_string",
        "http_response.code",
        "job.name",
    ] {
        if let Some(value) = event.get(path) {
            out += &format!(" {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        } else if matches!(path, "user.name" | "src_endpoint.ip") {
            out += " -";
        }
    }
    let labels = event
        .get("metadata.labels")
        .and_then(|l| l.as_array())
        .cloned()
        .unwrap_or_default();
    for label in labels.iter().filter_map(|l| l.as_str()) {
        if !label.starts_with("time.") && label != "clock_skew" {
            out += &format!(" !{label}");
        }
    }
    out
}

#[test]
fn hostile_bytes_give_events() {
    let Some(shared) = shared() else { return };
    let normalizer = Normalizer::new(Settings::default());
    for file in std::fs::read_dir(shared.join("data/hostile")).unwrap() {
        let path = file.unwrap().path();
        for source in ["", "linux", "syslog", "nginx", "apache"] {
            for (offset, line) in lines(&path).iter().enumerate().take(100) {
                let line = &line[..line.len().min(1 << 20)];
                let normalized = normalizer.normalize_plain(&record(source, offset as i64, RECEIVED, line));
                assert!(!normalized.events.is_empty(), "{}:{offset} as {source}", path.display());
            }
        }
    }
}

#[test]
fn lines_of_hosts_mean_what_they_say() {
    for (line, expected) in [
        (
            "Mar  1 10:00:00 h sshd[7]: Accepted password for root from 10.0.0.1 port 22 ssh2",
            "300201 Success root 10.0.0.1 22",
        ),
        (
            "Mar  1 10:00:00 h sshd-session[7]: Failed password for root from 10.0.0.1 port 22 ssh2",
            "300201 Failure root 10.0.0.1 22",
        ),
        (
            "Mar  1 10:00:00 h sshd[5]: Failed password for invalid user root from 8.8.8.8 port 22 ssh2 from 10.36.50.63 port 4242 ssh2",
            "300201 Failure root from 8.8.8.8 port 22 ssh2 10.36.50.63 4242",
        ),
        (
            "Mar  1 10:00:00 h sshd[5]: Invalid user  from 10.0.0.1 port 1",
            "300201 Failure - 10.0.0.1 1 !attempt.detail",
        ),
        (
            "Mar  1 10:00:00 h sshd[5]: pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=10.0.0.1  user=root",
            "300201 Failure root 10.0.0.1 !attempt.detail",
        ),
        (
            "Mar  1 10:00:00 h sshd(pam_unix)[5]: authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=10.0.0.1  user=root",
            "300201 Failure root 10.0.0.1",
        ),
        (
            "Mar  1 10:00:00 h sshd[5]: Accepted key ED25519 SHA256:x found at /root/.ssh/authorized_keys:1",
            "400799 - - !attempt.detail",
        ),
        (
            "Mar  1 10:00:00 h sshd[5]: Disconnected from invalid user a b 10.0.0.1 port 5 [preauth]",
            "400702 Success - a b 10.0.0.1 5",
        ),
        (
            "Mar  1 10:00:00 h su[5]: FAILED SU (to root) zhang on pts/1",
            "300207 Failure root zhang -",
        ),
        (
            "Mar  1 10:00:00 h useradd[5]: new user: name=x, UID=0, GID=0, home=/x, shell=/bin/sh, from=/dev/pts/0",
            "300101 Success x -",
        ),
        (
            "Mar  1 10:00:00 h usermod[5]: add 'x' to shadow group 'sudo'",
            "300603 Success x - sudo !change.detail",
        ),
        (
            "Mar  1 10:00:00 h gpasswd[5]: user x removed by root from group sudo",
            "300604 Success x root - sudo",
        ),
        (
            "Mar  1 10:00:00 h passwd[5]: password for 'x' changed by 'root'",
            "300104 Success x root -",
        ),
        (
            "Mar  1 10:00:00 h usermod[5]: lock user 'x' password",
            "300109 Success x -",
        ),
        (
            "Mar  1 10:00:00 h CRON[5]: (root) CMD (rm -rf /tmp/x)",
            "100606 Success - root - rm -rf /tmp/x",
        ),
        (
            "Mar  1 10:00:00 h internal-sftp[5]: close \"/a/b.sql\" bytes read 10 written 0",
            "600602 Success - - /a/b.sql",
        ),
        (
            "Mar  1 10:00:00 h app: user=bob\\nMar  1 10:00:01 h sshd[1]: Accepted password for root from 1.1.1.1 port 1 ssh2",
            "99 - - !log_injection",
        ),
        (
            "Mar  1 10:00:00 h app: x sshd[22]: Accepted password for root from 1.1.1.1 port 1 ssh2",
            "99 - - !log_injection",
        ),
        ("Mar  1 10:00:00 h whatever", "99 - -"),
    ] {
        let found = events("linux", RECEIVED, line);
        assert_eq!(found.len(), 1, "{line}");
        assert_eq!(show(&found[0]), expected, "{line}");
        assert_eq!(found[0].system.as_deref(), Some("host:h"), "{line}");
    }
}

#[test]
fn sudo_gives_the_switch_and_the_command() {
    let found = events(
        "linux",
        RECEIVED,
        "Mar  1 10:00:00 host sudo:  bob : TTY=pts/0 ; PWD=/tmp ; USER=root ; COMMAND=/bin/echo ; USER=nobody ; COMMAND=/bin/ls",
    );
    let shown: Vec<String> = found.iter().map(show).collect();
    assert_eq!(
        shown,
        [
            "300207 Success root bob -",
            "100701 Success - bob - /bin/echo ; USER=nobody ; COMMAND=/bin/ls",
        ]
    );
    assert_eq!(&*found[1].uid, "local.test/0/0#1");
    assert_eq!(found[1].commands[0], "echo");
    assert_eq!(
        found[1].native["CommandLine"],
        "/bin/echo ; USER=nobody ; COMMAND=/bin/ls"
    );

    let refused = events(
        "linux",
        RECEIVED,
        "Mar  1 10:00:00 h sudo: li.na : command not allowed ; PWD=/ ; USER=root ; COMMAND=/bin/sh -c 'rm -rf /x'",
    );
    assert_eq!(refused[0].text("status_detail"), Some("command not allowed"));
    assert_eq!(refused[1].text("action"), Some("Denied"));
    assert_eq!(refused[1].commands, ["rm -rf /x"]);

    let json = events(
        "linux",
        RECEIVED,
        r#"{"sudo":{"accept":{"uuid":"u","server_time":{"seconds":1772413200,"nanoseconds":250000000},"submituser":"bob","submithost":"h","runuser":"root","command":"/bin/rm","runargv":["rm","-rf","/a b"],"ttyname":"/dev/pts/0","submitcwd":"/"}}}"#,
    );
    assert_eq!(
        json.iter().map(show).collect::<Vec<_>>(),
        ["300207 Success root bob -", "100701 Success - bob - /bin/rm -rf '/a b'",]
    );
    assert_eq!(json[1].time, Millis(1_772_413_200_250));
    assert_eq!(json[1].commands, ["rm -rf /a b"]);
}

#[test]
fn repetitions_are_counted_out() {
    let found = events(
        "linux",
        RECEIVED,
        "Mar  1 10:00:00 h sshd[7]: message repeated 3 times: [ Failed password for root from 10.0.0.1 port 22 ssh2]",
    );
    assert_eq!(found.len(), 3);
    assert!(found.iter().all(|e| show(e) == "300201 Failure root 10.0.0.1 22"));
    let uids: Vec<&str> = found.iter().map(|e| &*e.uid).collect();
    assert_eq!(uids, ["local.test/0/0", "local.test/0/0#1", "local.test/0/0#2"]);
    let many = events(
        "linux",
        RECEIVED,
        "Mar  1 10:00:00 h sshd[7]: message repeated 4000000000 times: [ Failed password for a from 10.0.0.1 port 2 ssh2]",
    );
    assert_eq!(many.len(), 1000);
    assert!(show(&many[0]).ends_with("!repeated_truncated"));
}

#[test]
fn requests_mean_what_they_say() {
    for (source, line, expected) in [
        (
            "nginx",
            r#"10.0.0.1 - li.na [22/Nov/2026:02:42:47 +0000] "GET /e?id=1&token=s3 HTTP/1.1" 200 3 "-" "curl""#,
            "400203 Success - li.na 10.0.0.1 /e id=1&token=*** 200",
        ),
        (
            "apache",
            r#"h:80 10.0.0.1 - ro ot [22/Nov/2026:02:42:47 +0000] "POST /a HTTP/1.1" 401 -"#,
            "400206 Failure - ro ot 10.0.0.1 /a 401",
        ),
        (
            "nginx",
            r#"10.0.0.1 - - [22/Nov/2026:02:42:47 +0000] "\x16\x03\x01" 400 157 "-" "-""#,
            "400200 Failure - 10.0.0.1 400 !http.request_malformed",
        ),
        (
            "nginx",
            r#"10.0.0.1 - - [22/Nov/2026:02:42:47 +0000] "GET /old" 200 1"#,
            "400203 Success - 10.0.0.1 /old 200",
        ),
        (
            "nginx",
            r#"{"time":"2026-11-22T02:42:48+00:00","remote_addr":"10.0.0.1","method":"GET","uri":"/a?x=1","status":404,"bytes":4,"rt":0.1}"#,
            "400203 Failure - 10.0.0.1 /a x=1 404",
        ),
        (
            "nginx",
            r#"<190>Nov 22 02:42:48 web-1 nginx: {"time":"2026-11-22T02:42:48+00:00","remote_addr":"10.0.0.1","method":"PURGE","uri":"/a","status":200}"#,
            "400299 Success - 10.0.0.1 /a 200",
        ),
        (
            "linux",
            r#"<190>Nov 22 02:42:48 web-1 nginx: 10.0.0.1 - - [22/Nov/2026:02:42:47 +0000] "GET /a HTTP/1.1" 200 1"#,
            "400203 Success - 10.0.0.1 /a 200",
        ),
    ] {
        let found = events(source, RECEIVED, line);
        assert_eq!(found.len(), 1, "{line}");
        assert_eq!(show(&found[0]), expected, "{line}");
    }
}

#[test]
fn forwarded_addresses_are_believed_of_trusted_proxies_only() {
    let line = r#"{"time":"2026-11-22T02:42:48+00:00","remote_addr":"10.0.0.1","xff":"6.6.6.6, 1.2.3.4, 10.0.0.9","method":"GET","uri":"/","status":200}"#;
    let ip = |trusted: &[&str]| {
        let mut settings = Settings::default();
        settings.default.trusted_proxies = trusted.iter().map(|s| (*s).to_owned()).collect();
        let normalized = Normalizer::new(settings).normalize_plain(&record("nginx", 0, RECEIVED, line.as_bytes()));
        normalized.events[0].text("src_endpoint.ip").map(str::to_owned)
    };
    assert_eq!(ip(&[]).as_deref(), Some("10.0.0.1"));
    assert_eq!(ip(&["10.0.0.1"]).as_deref(), Some("10.0.0.9"));
    assert_eq!(ip(&["10.0.0.0/8"]).as_deref(), Some("1.2.3.4"));
    assert_eq!(ip(&["0.0.0.0/0"]).as_deref(), Some("6.6.6.6"));
}

#[test]
fn a_year_is_inferred_in_the_configured_zone() {
    let settings = Settings {
        default: SourceSettings {
            time_zone: jiff::tz::TimeZone::get("Asia/Shanghai").unwrap(),
            ..SourceSettings::default()
        },
        ..Settings::default()
    };
    let normalizer = Normalizer::new(settings);
    for (line, expected) in [
        ("Dec 31 23:59:59", "2025-12-31T15:59:59.000Z"),
        ("Jan  1 00:00:01", "2025-12-31T16:00:01.000Z"),
        ("Feb 29 12:00:00", "2024-02-29T04:00:00.000Z"),
    ] {
        let line = format!("{line} h sshd[1]: Accepted password for a from 10.0.0.1 port 1 ssh2");
        let record = record("linux", 0, "2026-01-01T00:00:05+08:00", line.as_bytes());
        let event = &normalizer.normalize_plain(&record).events[0];
        assert_eq!(event.time.to_string(), expected);
        let labels = event.get("metadata.labels").unwrap().to_string();
        assert!(
            labels.contains("time.year_inferred") && labels.contains("time.zone_assumed"),
            "{labels}"
        );
    }
}

proptest! {
    #[test]
    fn any_bytes_give_an_event(bytes in proptest::collection::vec(any::<u8>(), 0..200), source in 0..5_usize) {
        let source = ["", "linux", "syslog", "nginx", "apache"][source];
        let normalizer = Normalizer::new(Settings::default());
        prop_assert!(!normalizer.normalize_plain(&record(source, 0, RECEIVED, &bytes)).events.is_empty());
    }

    #[test]
    fn any_message_of_a_known_program_gives_an_event(
        program in proptest::sample::select(vec![
            "sshd", "sudo", "su", "login", "CRON", "systemd-logind", "useradd", "usermod", "userdel", "groupmod", "gpasswd",
            "passwd", "chage", "internal-sftp", "sshd(pam_unix)", "nginx",
        ]),
        parts in proptest::collection::vec(proptest::sample::select(vec![
            "Accepted ", "Failed ", "password ", "for ", "invalid user ", " from ", "10.0.0.1", " port ", "22", " ssh2", ": ",
            "pam_unix(sshd:auth): ", "authentication failure; ", "user=", " : ", "USER=", " ; ", "COMMAND=", "TTY=", "(to ", ") ",
            "'", "\"", "new user: ", "name=", "add ", "change user ", "审", " ", "(root) CMD (", "message repeated 3 times: [ ",
            "]", "[", "Disconnected from user ", "Starting session: ", "open \"", "close \"", "bytes read ", "#012", " on ",
            "(command continued) ", "{\"sudo\"", "@cee:", "Connection from ", " by ", " group ", "password for '",
        ]), 0..14),
    ) {
        let line = format!("Mar  1 10:00:00 h {program}[1]: {}", parts.concat());
        prop_assert!(!events("linux", RECEIVED, &line).is_empty());
    }
}
