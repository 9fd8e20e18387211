//! Where the fuzzer begins: our own fixtures and policies, and the data beside the checkout where it is.
//!
//! Nothing names its format here: each line is normalized once, and is a seed of the format that it was told to be.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use ingest::Normalizer;
use ingest::replay::{Options, open};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;

use crate::format::{self, RECEIVED_AT, normalizer, record};
use crate::{Target, targets};

/// A line of every common kind.
pub const LINES: &[&str] = &[
    r#"<14>jumpserver: login_log - {"datetime": "2026/03/02 22:53:12 +0800", "id": "8b", "ip": "10.8.1.7", "mfa": {"value": 0}, "status": {"value": true}, "username": "张伟(zhang.wei)"}"#,
    r#"<14>jumpserver: session_command_log - {"account": "root(root)", "asset": "db(10.2.3.4)", "id": "1", "input": "rm -rf /", "risk_level": {"value": 5}, "session": "s", "timestamp": 1772463192, "user": "a(b)"}"#,
    r#"{"event_id":"1","time":"2026-03-02T22:53:12.418+08:00","system":"crm","actor":{"account":"li.na"},"source":{"ip":"10.8.2.19"},"action":"grant","object":{"type":"user","id":"x","level":"L3"},"result":"denied"}"#,
    r#"{"eventId":"1","eventTime":"2026-03-02T22:53:12Z","eventType":"ConsoleSignin","eventName":"ConsoleSignin","userIdentity":{"type":"root-account"},"acsRegion":"x","sourceIpAddress":"1.2.3.4"}"#,
    "<86>Mar  2 00:44:00 crm-db-01 sshd[43002]: Accepted publickey for backup from 10.20.1.50 port 44929 ssh2: ED25519 SHA256:AbC",
    "<34>1 2026-03-02T22:14:15.003Z h su 12 ID47 [a@1 k=\"v\\\"w\"][b] 'su root' failed",
    r#"10.0.0.1 - bob [02/Mar/2026:22:53:12 +0800] "GET /x?token=1 HTTP/1.1" 200 17 "-" "curl""#,
];

/// Texts that begin the readers of texts.
const TEXTS: &[(&str, &[&str])] = &[
    (
        "text-time",
        &[
            "2026-03-02T22:53:12.418+08:00",
            "Mar  2 00:44:00",
            "02/Mar/2026:22:53:12 +0800",
            "1772413200.25",
            "20260302",
            "2026-03-02 24:00:00",
            "Mon, 02 Mar 2026 22:53:12 GMT",
            "2016-12-31T23:59:60Z",
            "2026年03月02日 10:00",
            "Mon Mar  2 22:53:12 2026",
            "3/2/2026 10:53:12 PM",
            "1772413200000000000",
            "-62135596800",
        ],
    ),
    (
        "text-command",
        &[
            "sudo -u root sh -c \"cd /data && rm -rf ./*\"",
            "ssh h 'cat /etc/shadow' | base64 > x",
            "mysql -e 'select 1; drop table t'",
            "find / -name '*.pem' -exec cp {} /tmp \\;",
            "kubectl exec -it p -- bash -lc 'id; env'",
            "echo $(whoami) `id` <<EOF\nx\nEOF",
            "for i in 1 2; do echo \"$i\"; done",
            "xargs -n1 rm",
            "su - bob -c \"ls; sudo env A=1 nohup id\"",
            "drop table `t`; -- x",
        ],
    ),
    (
        "text-mask",
        &[
            "mysql -uroot -pS3cret! -h db",
            "curl https://u:p@h/?token=abc&x=1",
            "Authorization: Bearer abc.def.ghi",
            "password: \"x y\", api_key='z'",
            "AKIAIOSFODNN7EXAMPLE",
            "-----BEGIN RSA PRIVATE KEY-----\nx\n-----END RSA PRIVATE KEY-----",
            "110101199003078515 4111 1111 1111 1111",
            "pwd=a;pwd=b",
        ],
    ),
    (
        "text-sql",
        &[
            "GRANT ALL ON *.* TO 'u'@'%' IDENTIFIED BY 'x'",
            "select * from t into outfile '/tmp/x'",
            "ALTER ROLE a SUPERUSER",
            "/* c */ drop user if exists a, `b`; -- x",
            "SET GLOBAL server_audit_logging=OFF",
            "WITH x AS (SELECT 1) DELETE FROM t",
            "COPY t TO PROGRAM 'sh'",
        ],
    ),
    (
        "text-json",
        &[
            r#"{"a":{"b":[1,2.5e-3,-0,true,null,"\u00e9\ud83d\ude00\ud800"]},"a":2,"\u0061":3} "#,
            r#"[{"a":1},{"b":2}]"#,
            r#"{"a":1}{"b":2}"#,
            r#"{"a":"\x22"}"#,
        ],
    ),
    (
        "authored-query",
        &[
            "user:alice AND class:authentication AND NOT status:success \"drop table\" cmd:*shadow*",
            "time:[now-1h TO now} OR severity:>=3",
            "src_ip:10.0.0.0/8 (a OR b) -c",
            "unmapped.x.y:\"z\"~2",
            "*",
            "user:/a.*b/",
        ],
    ),
    (
        "request-hec",
        &[
            r#"{"event":"a \"b\"\n","time":1700000000.123,"index":"i"}{"event": {"x": 1e400}, "fields":{"k":"v"},"host":"h"}[{"event":7},{"event":"\ud800"}]"#,
        ],
    ),
    (
        "request-bulk",
        &[
            "{\"create\":{\"_index\":\"a\",\"_type\":\"_doc\"}}\n{\"x\": 1}\r\n\n{\"index\":{\"_id\":7}}\nnot json\n{\"delete\":{\"_id\":\"d\"}}\n{\"update\":{}}\n{}\n",
        ],
    ),
    ("request-otlp-json", &[OTLP]),
    (
        "request-records",
        &[
            "\0a\nb\r\n\nc",
            "\x01[{\"a\": 1},\n 2]",
            "\x01{\"a\":\n1}",
            "\x02{\"a\":1}\n{\"b\":2}",
        ],
    ),
    (
        "framing-syslog",
        &[
            "\x02\x034 <1>a6 <1>b\nc5 <1>\0d",
            "\x01\x07<1>a\n<1>b\r\n<1>c",
            "\x01\x02<14>j: {}\0<14>j: []\0",
            "\x02\x097 {\"a\":1}1 x<1>line\n2 yz",
        ],
    ),
    (
        "joined-detected",
        &[
            "\x00\x05\x03type=SYSCALL msg=audit(1772413200.250:17): a=1\n2026-03-02T01:00:00.5Z stdout P one \n2026-03-02T01:00:00.6Z stdout F two\ntype=EOE msg=audit(1772413200.250:17): \n",
        ],
    ),
    ("framing-lines", &["a\rb\r\r\n c \r", "\n\r\na"]),
    (
        "framing-files",
        &[
            "\x02\x034 <1>a6 <1>b\nc5 <1>\0d",
            "\x01\x07<1>a\n<1>b\r\n\n<1>c",
            "\x02\x02<14>jumpserver: {}\0<14>jumpserver: []\0",
            "\x01\x04[\n {\n \"a\": 1\n },\n {\"b\": [\n]}\n]\n{ x\n{}",
            "\x02\x03<?xml version=\"1.0\"?>\n<Events>\n<Event>\n<System/>\n</Event>\n<Event x='y'>\n</Events>",
        ],
    ),
    (
        "framing-kcat",
        &[
            "\x02\x05{\"topic\":\"audit.x\",\"partition\":0,\"offset\":7,\"tstype\":\"create\",\"ts\":1772413200000,\"broker\":1,\"headers\":[\"a\",\"b\"],\"key\":null,\"payload\":\"<86>x\"}\nnot one\n",
        ],
    ),
    (
        "files-followed",
        &[
            "\x2d\x48\x00one\ntwo\r\n\nthree is a line that is longer than the sixty-four bytes that are kept of it\nfour",
            "\x1f\x44\x00a\nb\nc\nd\ne\n",
        ],
    ),
    (
        "ledger-folder",
        &[
            "\x00\x03\x05\x00x",
            "\x03\x00\x40\x00",
            "\x05\x02\x10\x00abc",
            "\x04\x01\x00\x00",
        ],
    ),
    (
        "authored-table",
        &[
            "\x00[{\"employee_id\":\"1\",\"valid_from\":\"2026-03-02T00:00:00\"}]",
            "\x02a,b\n1,\"x \"\"y\"\"\n",
            "\x01[{\"timezone\":\"Asia/Shanghai\",\"working_days\":[1,2]}]",
        ],
    ),
];

const OTLP: &str = r#"{"resourceLogs":[{"resource":{"attributes":[{"key":"n","value":{"intValue":"1"}},{"key":"service.name","value":{"stringValue":"crm"}}]},"scopeLogs":[{"scope":{"name":"s"},"logRecords":[{"timeUnixNano":"1","severityNumber":9},{"body":{"stringValue":"b"}}],"schemaUrl":"u"}],"schemaUrl":"v"}]}"#;

/// Seeds of one kind at most.
const SEEDS_MAX: usize = 200;
/// Words of a dictionary.
const WORDS_MAX: usize = 400;
/// Records of one file that are looked at.
const RECORDS_MAX: usize = 400;

/// The seeds of every target, by its name; the same for the same files. With `beside`, also those of `../shared`.
#[must_use]
pub fn seeds(beside: bool) -> BTreeMap<String, Vec<Vec<u8>>> {
    let targets = targets();
    let mut all: BTreeMap<String, Vec<Vec<u8>>> = targets.iter().map(|t| (t.name.clone(), Vec::new())).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = Vec::new();
    walk(&root.join("fixtures"), &mut files);
    walk(&root.join("policies"), &mut files);
    if beside {
        walk(&root.join("../shared/data"), &mut files);
        sigma_rules(&root.join("../shared/data/sigmahq_rules.tar.zst"), &mut all);
    }
    let normalizer = normalizer(None);
    for file in files {
        match file.extension().and_then(|e| e.to_str()) {
            Some("yml") if !file.ends_with(".test.yml") => add(&mut all, "authored-policy", read(&file)),
            Some("toml") => add(&mut all, "authored-mapping", read(&file)),
            Some("csv") => add(&mut all, "authored-table", [b"\x02", &read(&file)[..]].concat()),
            Some("json")
                if file
                    .parent()
                    .is_some_and(|p| p.ends_with("tables") || p.ends_with("reference")) =>
            {
                add(&mut all, "authored-table", [b"\x00", &read(&file)[..]].concat());
            }
            Some("log" | "ndjson" | "bin" | "json" | "txt" | "csv.log" | "zst") => lines(&file, &normalizer, &mut all),
            _ => {}
        }
    }
    for line in LINES {
        line_of(line.as_bytes(), &normalizer, &mut all);
    }
    for (target, texts) in TEXTS {
        for text in *texts {
            add(&mut all, target, text.as_bytes().to_vec());
        }
    }
    made(&mut all);
    for target in &targets {
        let seeds = all.entry(target.name.clone()).or_default();
        seeds.retain(|s| s.len() <= target.bytes_max);
        seeds.truncate(SEEDS_MAX);
    }
    all
}

/// Writes the seeds as files, one folder a target, and beside each a dictionary (`<target>.dict`).
///
/// # Errors
/// The folder cannot be written.
pub fn write(into: &Path) -> std::io::Result<()> {
    for (target, seeds) in seeds(true) {
        let folder = into.join(&target);
        fs::create_dir_all(&folder)?;
        for (n, seed) in seeds.iter().enumerate() {
            fs::write(folder.join(format!("seed-{n:04}")), seed)?;
        }
        let mut dictionary = String::new();
        for word in words(&target, &seeds) {
            dictionary += &format!("\"{}\"\n", word.replace('\\', "\\\\").replace('"', "\\\""));
        }
        // libFuzzer refuses an empty one.
        if !dictionary.is_empty() {
            fs::write(into.join(format!("{target}.dict")), dictionary)?;
        }
    }
    Ok(())
}

/// What the sources of a target's reader compare with: the texts in quotes of the files that are called as it is, and
/// the words of its seeds.
fn words(target: &str, seeds: &[Vec<u8>]) -> Vec<String> {
    let name = target.split_once('-').map_or(target, |(_, name)| name);
    let mut files = Vec::new();
    for folder in ["ingest/src", "search/src", "detect/src"] {
        walk(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder),
            &mut files,
        );
    }
    let called = |file: &&PathBuf| {
        let parts = file.components().map(|c| c.as_os_str().to_string_lossy());
        parts.map(|p| p.trim_end_matches(".rs").to_owned()).any(|p| p == name)
    };
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    for file in files.iter().filter(called) {
        let text = String::from_utf8_lossy(&read(file)).into_owned();
        for line in text.lines().filter(|l| !l.trim_start().starts_with("//")) {
            for word in line.split('"').skip(1).step_by(2) {
                *found.entry(word.to_owned()).or_default() += 1000;
            }
        }
    }
    for seed in seeds {
        let text = String::from_utf8_lossy(seed);
        for word in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            *found.entry(word.to_owned()).or_default() += 1;
        }
    }
    found.retain(|word, _| (2..=32).contains(&word.len()) && word.bytes().all(|b| (b' '..=b'~').contains(&b)));
    let mut words: Vec<(String, usize)> = found.into_iter().collect();
    words.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    words.into_iter().take(WORDS_MAX).map(|(word, _)| word).collect()
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_default()
}

fn add(all: &mut BTreeMap<String, Vec<Vec<u8>>>, target: &str, seed: Vec<u8>) {
    let seeds = all
        .get_mut(target)
        .unwrap_or_else(|| panic!("there is no target `{target}`"));
    if seeds.len() < 4 * SEEDS_MAX && !seeds.contains(&seed) {
        seeds.push(seed);
    }
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
    paths.sort();
    for path in paths {
        match path.is_dir() {
            true => walk(&path, files),
            false => files.push(path),
        }
    }
}

/// The lines of a file, each a seed of the format that it is told to be.
fn lines(file: &Path, normalizer: &Normalizer, all: &mut BTreeMap<String, Vec<Vec<u8>>>) {
    let Ok(records) = open(file, Options::new(RECEIVED_AT)) else {
        return;
    };
    let folder = file.parent().and_then(Path::file_name).unwrap_or_default();
    let named = ingest::format::by_name(&folder.to_string_lossy());
    let mut kind = None;
    let mut whole = b"\x00\x01\x02".to_vec();
    for record in records.take(RECORDS_MAX).map_while(Result::ok) {
        if let Some(format) = named {
            add(all, &format::name(format.name), record.payload.to_vec());
        }
        let told = line_of(&record.payload, normalizer, all);
        if whole.len() + record.payload.len() < format::RECORD_BYTES / 2 {
            whole.extend_from_slice(&record.payload);
            whole.push(b'\n');
        }
        kind = kind.or(named.map(|f| f.name)).or(Some(told));
    }
    match kind {
        Some("linux_auditd") => add(all, "joined-auditd", whole),
        Some("postgresql") => add(all, "joined-postgresql", whole),
        Some("collector") => add(all, "joined-detected", whole),
        _ => {}
    }
}

fn line_of(payload: &[u8], normalizer: &Normalizer, all: &mut BTreeMap<String, Vec<Vec<u8>>>) -> &'static str {
    if payload.len() > format::RECORD_BYTES {
        return "unknown";
    }
    let format = normalizer.normalize_plain(&record("s", payload)).format;
    let detected = all.get("format-detected").map_or(0, Vec::len);
    match ingest::format::by_name(format) {
        Some(known) => {
            let target = format::name(known.name);
            let count = all.get(&target).map_or(0, Vec::len);
            add(all, &target, payload.to_vec());
            if count.is_multiple_of(16) {
                add(all, "format-detected", payload.to_vec());
                let number = ingest::format::FORMATS
                    .iter()
                    .position(|f| f.name == known.name)
                    .unwrap_or(0);
                add(
                    all,
                    "format-wrapped",
                    [&[number as u8, count as u8 / 16], payload].concat(),
                );
            }
        }
        None if detected < SEEDS_MAX => add(all, "format-detected", payload.to_vec()),
        None => {}
    }
    match payload.first() {
        Some(b'{' | b'[') if payload.len() < 1024 => add(all, "text-json", payload.to_vec()),
        Some(b'<') if payload.len() < 1024 => add(all, "text-syslog", payload.to_vec()),
        _ => {}
    }
    format
}

/// Seeds that are made: packed bodies, protobuf, leaves, proofs.
fn made(all: &mut BTreeMap<String, Vec<Vec<u8>>>) {
    let mut gzip = flate2::write::GzEncoder::new(vec![0], flate2::Compression::best());
    let _ = gzip.write_all(LINES.concat().as_bytes());
    add(all, "request-inflate", gzip.finish().unwrap_or_default());
    let zstd = zstd::encode_all(LINES.concat().as_bytes(), 3).unwrap_or_default();
    add(all, "request-inflate", [b"\x01", &zstd[..]].concat());
    add(all, "framing-files", [b"\x02\x05", &zstd[..]].concat());
    add(all, "files-followed", [b"\x01\x00\x03", &zstd[..]].concat());
    let journal = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/systemd_journal/export.log"));
    add(all, "framing-files", [b"\x02\x05", &journal[..]].concat());
    add(all, "request-records", [b"J", &journal[..]].concat());
    let request: ExportLogsServiceRequest = serde_json::from_str(OTLP).expect("our own request");
    add(all, "request-otlp-protobuf", crate::request::protobuf(&request));
    for seed in crate::evidence::seeds() {
        add(all, seed.0, seed.1);
    }
    let mut leaf = Vec::new();
    let mut one = record("s", b"payload");
    one.peer = Some("192.0.2.7".into());
    one.key = Some("k".into());
    one.headers = vec![("a".to_owned(), "b".into())];
    one.truncated = Some(model::Truncation {
        bytes: 9,
        sha256: [7; 32],
    });
    for record in [record("s", b"x"), one] {
        leaf.clear();
        if ledger::leaf::encode(&record, &mut leaf).is_ok() {
            add(all, "ledger-leaf", leaf.clone());
        }
    }
}

/// The rules of a packed archive (tar: blocks of 512 bytes, a file's name and length in octal before it).
fn sigma_rules(archive: &Path, all: &mut BTreeMap<String, Vec<Vec<u8>>>) {
    let Ok(tar) = zstd::decode_all(&read(archive)[..]) else {
        return;
    };
    let mut rest = &tar[..];
    let mut count = 0;
    while let Some(head) = rest.get(..512) {
        let octal = String::from_utf8_lossy(&head[124..135]).into_owned();
        let size = usize::from_str_radix(octal.trim_matches(['\0', ' ']), 8).unwrap_or(0);
        let Some(content) = rest.get(512..512 + size) else {
            return;
        };
        // Every twentieth: they are much alike.
        if head[..100].windows(4).any(|w| w == b".yml") {
            count += 1;
            if count % 20 == 0 {
                add(all, "authored-policy", content.to_vec());
            }
        }
        rest = rest.get(512 + size.next_multiple_of(512)..).unwrap_or_default();
    }
}

/// The target of a name, or its own complaint.
///
/// # Errors
/// There is none; says which there are.
pub fn target(name: &str) -> Result<Target, String> {
    crate::named(name).ok_or_else(|| {
        let names: Vec<String> = targets().into_iter().map(|t| t.name).collect();
        format!("there is no target `{name}`; there are {}", names.join(", "))
    })
}
