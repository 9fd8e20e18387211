//! Two hundred connections that send as fast as they can, one of them a line without an end: bounded memory, and every
//! record accounted for. And more connections than are allowed.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod harness;

use std::io::{Read as _, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use harness::pki::certificates;
use harness::{Server, await_some, connect, exchange, free_port, get};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// The bound of the resident set, in KiB.
const RSS_KIB_MAX: u64 = 1 << 20;
/// Connections of each kind; with the endless one two hundred.
const TCP: usize = 50;
const TLS: usize = 49;
const HTTP: usize = 50;
const BULK: usize = 50;
/// Lines of a write, or of a request.
const LINES: usize = 100;

/// Writes, or requests, of each connection; `DOCKET_MEMORY_WRITES` for a measurement.
fn writes() -> usize {
    let given = std::env::var("DOCKET_MEMORY_WRITES").ok();
    given.and_then(|s| s.parse().ok()).unwrap_or(2)
}

/// A line of 2 KiB.
fn line(n: usize) -> String {
    let said = format!(
        "<86>1 2026-11-22T08:00:00Z web-{} sshd {n} - - Accepted password for u{n} from 10.8.1.{} port 51514 ssh2 ",
        n % 97,
        n % 251
    );
    said + &"x".repeat(1900)
}

/// Sends lines as fast as they are taken; returns how many.
fn stream(mut to: impl Write) -> u64 {
    let lines: String = (0..LINES).map(|n| line(n) + "\n").collect();
    for _ in 0..writes() {
        to.write_all(lines.as_bytes()).unwrap();
    }
    to.flush().unwrap();
    (writes() * LINES) as u64
}

/// Sends one line without an end until told to stop; returns its bytes.
fn endless(mut to: impl Write, stop: &AtomicBool) -> u64 {
    let chunk = vec![b'x'; 64 << 10];
    let mut bytes = 0;
    while !stop.load(Ordering::Relaxed) {
        to.write_all(&chunk).unwrap();
        bytes += chunk.len() as u64;
    }
    bytes
}

/// POSTs batches, each again until it is taken; returns how many lines.
fn post(address: SocketAddr, token: &str, path: &str, body: &str) -> u64 {
    let headers = [("Authorization", token)];
    for _ in 0..writes() {
        await_some("a batch to be taken", || {
            let answer = exchange(connect(address)?, "POST", path, &headers, body.as_bytes())?;
            assert!(matches!(answer.status, 200 | 429 | 503), "{answer:?}");
            (answer.status == 200).then_some(())
        });
    }
    (writes() * LINES) as u64
}

fn tls(server: &Server, port: u16) -> StreamOwned<ClientConnection, TcpStream> {
    let ca = CertificateDer::pem_file_iter(server.dir.path().join("ca.pem")).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(ca.map(Result::unwrap).next().unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("docket.example").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    StreamOwned::new(connection, connect(local(port)).unwrap())
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// No more is sent; returns when the server has kept what was.
fn closed(mut stream: &TcpStream) {
    stream.shutdown(Shutdown::Write).unwrap();
    let _ = stream.read_to_end(&mut Vec::new());
}

#[test]
fn two_hundred_connections_and_an_endless_line() {
    let [plain, secure] = [free_port(), free_port()];
    let mut server = Server::new(&format!(
        "[[syslog]]\nlisten = \"127.0.0.1:{plain}\"\nprotocol = \"tcp\"\nsource = \"plain\"\n\
         [[syslog]]\nlisten = \"127.0.0.1:{secure}\"\nprotocol = \"tls\"\nsource = \"secure\"\n\
         tls = {{cert = \"server.pem\", key = \"server.key\"}}\n"
    ));
    certificates(server.dir.path(), "ca", &[("server", &["docket.example"])]);
    server.start();
    let token = format!("Bearer {}", server.token("shipper", "s"));
    let ndjson: String = (0..LINES)
        .map(|n| format!("{{\"message\": {:?}}}\n", line(n)))
        .collect();
    let bulk: String = ndjson.lines().map(|l| format!("{{\"create\":{{}}}}\n{l}\n")).collect();

    // The endless one goes on as long as others send.
    let (stop, sending) = (AtomicBool::new(false), AtomicUsize::new(TCP + TLS + HTTP + BULK));
    let begun = Instant::now();
    let sent = [(); 4].map(|()| AtomicU64::new(0));
    let endless_bytes = AtomicU64::new(0);
    let http = server.http;
    let done = |n: usize, lines: u64| {
        sent[n].fetch_add(lines, Ordering::SeqCst);
        if sending.fetch_sub(1, Ordering::SeqCst) == 1 {
            stop.store(true, Ordering::SeqCst);
        }
    };
    std::thread::scope(|scope| {
        let (server, stop, token) = (&server, &stop, &token);
        let (ndjson, bulk, endless_bytes) = (&ndjson, &bulk, &endless_bytes);
        let done = &done;
        for _ in 0..TCP {
            scope.spawn(move || {
                let to = connect(local(plain)).unwrap();
                let lines = stream(&to);
                closed(&to);
                done(0, lines);
            });
        }
        scope.spawn(move || {
            let to = connect(local(plain)).unwrap();
            endless_bytes.store(endless(&to, stop), Ordering::Relaxed);
            closed(&to);
        });
        for _ in 0..TLS {
            scope.spawn(move || {
                let mut to = tls(server, secure);
                let lines = stream(&mut to);
                to.conn.send_close_notify();
                to.flush().unwrap();
                let _ = to.read(&mut [0; 1]);
                done(1, lines);
            });
        }
        for (n, count, path, body) in [
            (2, HTTP, "/api/v1/ingest/ndjson", ndjson),
            (3, BULK, "/bulk/_bulk", bulk),
        ] {
            for _ in 0..count {
                scope.spawn(move || done(n, post(http, token, path, body)));
            }
        }
    });
    let sending = begun.elapsed();
    let sent = sent.map(AtomicU64::into_inner);
    let total: u64 = sent.iter().sum::<u64>() + 1;
    server.settle(total);
    let peak = peak_rss_kib(server.pid());
    println!(
        "{} connections, {total} records in {sending:?}, one of {} MiB; peak RSS {} MiB; judged and searchable after {:?}",
        TCP + TLS + HTTP + BULK + 1,
        endless_bytes.into_inner() >> 20,
        peak >> 10,
        begun.elapsed()
    );
    for (source, sent) in [
        ("plain", sent[0] + 1),
        ("secure", sent[1]),
        ("ndjson", sent[2]),
        ("bulk", sent[3]),
    ] {
        assert!(sent > 0, "{source}");
        await_some("the account", || (server.account(source) == (sent, 0)).then_some(()));
    }
    assert!(peak < RSS_KIB_MAX, "peak RSS {peak} KiB, at most {RSS_KIB_MAX}");
    assert_eq!(server.stop(), Some(0), "{}", server.log());
}

#[test]
fn more_connections_than_are_allowed_are_told_to_come_again() {
    let mut server = Server::new("[limits]\nconnections = 4\n");
    server.start();
    let token = server.token("shipper", "s");
    // Connections that were closed are not yet let go of.
    let mut taken = Vec::new();
    let refused = await_some("a refusal", || {
        taken.push(connect(server.http)?);
        let answer = exchange(connect(server.http)?, "GET", "/healthz", &[], b"")?;
        (answer.status == 503).then_some(answer)
    });
    assert!(taken.len() <= 4, "{} taken", taken.len());
    assert!(refused.head.contains("retry-after: 1"), "{refused:?}");
    assert!(
        refused.json()["error"]
            .as_str()
            .unwrap()
            .contains("[limits] connections"),
        "{refused:?}"
    );
    taken.clear();
    let bearer = format!("Bearer {token}");
    let answer = await_some("room again", || {
        let headers = [("Authorization", &*bearer)];
        let answer = exchange(connect(server.http)?, "POST", "/api/v1/ingest/app", &headers, b"a line")?;
        (answer.status == 200).then_some(answer)
    });
    assert_eq!(answer.body, "{\"accepted\":1}");
    let metrics = await_some("the metrics", || {
        get(server.http, "/metrics", None).filter(|m| m.0 == 200)
    })
    .1;
    assert!(metrics.contains("docket_http_connections_refused_total"), "{metrics}");
}

fn peak_rss_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
