//! All of `data/hostile` by the command line, by HTTP and by syslog: no crash, bounded memory, nothing lost.

mod harness;

use std::io::Write as _;
use std::net::TcpStream;
use std::path::PathBuf;

use harness::{Server, await_some, free_port, ndjson, request, rows, run, shared};

/// The bound of the resident set, in KiB.
const RSS_KIB_MAX: u64 = 512 << 10;

#[test]
fn every_hostile_file_normalizes() {
    let Some(dir) = shared("data/hostile") else { return };
    let records_of = [
        ("empty.log", 0),
        ("only_newlines.log", 0),
        ("bom_first.ndjson", 1),
        ("crlf_cr_mixed.log", 5),
    ];
    for file in files(&dir) {
        let path = file.display().to_string();
        let output = run(&["normalize", "--received", "2026-01-01T00:00:05+08:00", &path]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{path}: {said}");
        let last = said.lines().last().unwrap_or_default();
        let count = |name: &str| -> u64 {
            let value = last
                .split(' ')
                .find_map(|w| w.strip_prefix(&format!("{name}=")))
                .unwrap();
            value.parse().unwrap()
        };
        let events = ndjson(&output.stdout);
        assert_eq!(events.len() as u64, count("events"), "{path}");
        assert!(count("events") >= count("records"), "{path}: {last}");
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        if let Some((_, expected)) = records_of.iter().find(|(n, _)| *n == name) {
            assert_eq!(count("records"), *expected, "{name}");
        }
    }
}

#[test]
fn a_server_takes_all_of_it_in_bounded_memory() {
    let Some(dir) = shared("data/hostile") else { return };
    let (tcp, udp) = (free_port(), free_port());
    let mut server = Server::new(&format!(
        "[[syslog]]\nlisten = \"127.0.0.1:{tcp}\"\nprotocol = \"tcp\"\nsource = \"hostile-tcp\"\n\
         [[syslog]]\nlisten = \"127.0.0.1:{udp}\"\nprotocol = \"udp\"\nsource = \"hostile-udp\"\n"
    ));
    server.start();
    let token = server.token("shipper", "s");
    let mut accepted = 0;
    for file in files(&dir) {
        let mut bytes = std::fs::read(&file).unwrap();
        if file.extension().is_some_and(|e| e == "zst") {
            bytes = zstd::decode_all(&bytes[..]).unwrap();
        }
        for kind in ["application/x-ndjson", "application/json"] {
            let (status, body) = request(
                server.http,
                "POST",
                "/api/v1/ingest/hostile-http",
                Some(&token),
                &[("Content-Type", kind)],
                &bytes,
            )
            .unwrap();
            assert!(matches!(status, 200 | 400), "{}: {status} {body}", file.display());
            if status == 200 {
                accepted += serde_json::from_str::<serde_json::Value>(&body).unwrap()["accepted"]
                    .as_u64()
                    .unwrap();
            }
        }
        let mut stream = TcpStream::connect(("127.0.0.1", tcp)).unwrap();
        // The server may close a connection whose framing is broken.
        let _ = stream.write_all(&bytes);
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        for datagram in bytes.chunks(60_000).take(4) {
            socket.send_to(datagram, ("127.0.0.1", udp)).unwrap();
        }
    }
    let bomb = zstd::encode_all(&vec![b'x'; 200 << 20][..], 3).unwrap();
    let (status, _) = request(
        server.http,
        "POST",
        "/api/v1/ingest/bomb",
        Some(&token),
        &[("Content-Encoding", "zstd")],
        &bomb,
    )
    .unwrap();
    assert_eq!(status, 413);

    let accounts = || rows(&["source", "list", "--output", "ndjson", "--data", &server.data()]);
    await_some("all that was accepted to be accounted for", || {
        let sources = accounts();
        let http = sources.iter().find(|s| s["source"] == "hostile-http")?;
        (http["received"].as_u64() == Some(accepted)).then_some(())
    });
    server.settle(accepted);
    for s in accounts() {
        let n = |k: &str| s[k].as_u64().unwrap();
        assert_eq!(n("received"), n("stored") + n("quarantined") + n("deduplicated"), "{s}");
    }
    let peak = peak_rss_kib(server.pid());
    println!("peak RSS {peak} KiB");
    assert!(peak < RSS_KIB_MAX, "peak RSS {peak} KiB, at most {RSS_KIB_MAX}");
    assert_eq!(server.stop(), Some(0), "{}", server.log());
    assert!(!server.log().contains("panicked"), "{}", server.log());
    let verified = run(&["verify", "--data", &server.data()]);
    assert!(
        verified.status.success(),
        "{}",
        String::from_utf8_lossy(&verified.stdout)
    );
}

fn files(dir: &std::path::Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|f| f.file_name().is_some_and(|n| n != "manifest.json"));
    files.sort();
    assert!(files.len() > 30);
    files
}

fn peak_rss_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
